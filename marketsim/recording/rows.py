"""Gathers the rows of a long table, whatever pieces they come in, into chunks of one fixed length.

A chunk is what is handed on, encoded and written at once: memory holds a chunk or two of a table however
long the run, and files do not depend on when their rows came.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Final

import numpy as np

from marketsim.kernel.compiled import compiled
from marketsim.kernel.table_set import Table

CHUNK: Final = 131_072
"""Rows of a chunk; of a row group in the files."""
PIECE: Final = 4_096
"""Rows worked on at once, so that they are still in the processor's cache when they are read again."""


@compiled
def put_columns(rows: Table, begin: int, end: int, places: Table, block: Table, at: int) -> None:
    """Copy the rows from `begin` up to `end` into the columns of `block`, int64 (columns, length), from place `at` on: into each the
    column of the rows that `places` (columns,) names."""
    for column in range(block.shape[0]):
        place = places[column]
        for row in range(begin, end):
            block[column, at + row - begin] = rows[row, place]


@compiled
def pick_rows(rows: Table, begin: int, end: int, column: int, wanted: int, out: Table, at: int) -> int:
    """Copy the rows from `begin` up to `end` whose number in `column` (0 to 62) is a bit of `wanted` to `out` from row `at` on; return
    the row after the last of them."""
    for row in range(begin, end):
        if (wanted >> rows[row, column]) & 1:
            for place in range(out.shape[1]):
                out[at, place] = rows[row, place]
            at += 1
    return at


class ColumnChunks:
    """Turns pieces of rows into chunks of columns."""

    def __init__(self, places: Sequence[int], full: Callable[[Table], None], length: int = CHUNK) -> None:
        """`places` says where in a row each column stands."""
        self._full = full
        self._places = np.array(places, np.int64)
        self._block: Table = np.empty((len(places), length), np.int64)
        self._used = 0

    def copy(self, full: Callable[[Table], None]) -> ColumnChunks:
        """Return other chunks that go on from these; `full` gets what fills them."""
        other = copy(self)
        other._full, other._block = full, np.empty_like(self._block)
        other._block[:, : self._used] = self._block[:, : self._used]
        return other

    def add(self, rows: Table) -> None:
        """Take rows, int64 of shape (rows, numbers), C-contiguous; `full` gets every chunk that they fill, int64 of shape
        (columns, `length`), and may not keep it."""
        length = self._block.shape[1]
        done = 0
        while done < len(rows):
            count = min(length - self._used, len(rows) - done)
            put_columns(rows, done, done + count, self._places, self._block, self._used)
            done += count
            self._advance(count)

    def add_columns(self, columns: Table | Sequence[Table]) -> None:
        """Take rows as columns, one array a column, all of one length."""
        length = self._block.shape[1]
        rows, done = len(columns[0]), 0
        while done < rows:
            count = min(length - self._used, rows - done)
            for place, column in zip(self._block, columns, strict=True):
                place[self._used : self._used + count] = column[done : done + count]
            done += count
            self._advance(count)

    def room(self) -> int:
        """Return how many rows fill the chunk at hand."""
        return int(self._block.shape[1]) - self._used

    def fill(self, put: Callable[[Table, int], int]) -> None:
        """Take rows that `put` writes: it gets the chunk, int64 (columns, length), and the place from which on it may write up to `room`
        rows, and returns how many it wrote."""
        self._advance(put(self._block, self._used))

    def _advance(self, count: int) -> None:
        self._used += count
        if self._used == self._block.shape[1]:
            self._full(self._block)
            self._used = 0

    def rest(self) -> Table:
        """Return the rows that fill no chunk, as columns: a view of shape (columns, fewer than `length`)."""
        return self._block[:, : self._used]


class WaitingRows:
    """Keeps rows until it is known what became of them, and hands them on in the order in which they came.

    A chunk is handed on when the next one is full, if all in it is known by then. If not, it and everything after it goes to a file
    without a name until the end, so that memory holds two chunks whatever the rows wait for.
    """

    def __init__(
        self, columns: int, known: Callable[[Table], bool], take: Callable[[Table], None], folder: Callable[[], Path], length: int = CHUNK
    ) -> None:
        """`known` says whether everything is known of rows, int64 of shape (rows, columns); `take` gets them, may
        change and not keep them; `folder` says where the file goes if it comes to that."""
        self._known = known
        self._take = take
        self._folder = folder
        self._block: Table = np.empty((length, columns), np.int64)
        self._full: Table | None = None
        self._used = 0
        self._chunks = 0
        self._file: Any = None

    def copy(self, known: Callable[[Table], bool], take: Callable[[Table], None], folder: Callable[[], Path]) -> WaitingRows:
        """Return other waiting rows that go on from these, with a file of their own where these have one."""
        other = copy(self)
        other._known, other._take, other._folder = known, take, folder
        other._block = np.empty_like(self._block)
        other._block[: self._used] = self._block[: self._used]
        other._full = None if self._full is None else self._full.copy()
        if self._file is not None:
            other._file = tempfile.TemporaryFile(dir=folder(), buffering=0)  # noqa: SIM115
            self._file.seek(0)
            shutil.copyfileobj(self._file, other._file)
        return other

    def add(self, rows: Table) -> None:
        """Take rows, int64 of shape (rows, columns)."""
        length = len(self._block)
        done = 0
        while done < len(rows):
            if self._used == length:
                self._put_aside()
            count = min(length - self._used, len(rows) - done)
            self._block[self._used : self._used + count] = rows[done : done + count]
            done += count
            self._used += count

    def finish(self) -> None:
        """Hand on all rows that are left: at the end everything is known."""
        if self._full is not None:
            self._take(self._full)
        if self._file is not None:
            with self._file as file:
                file.seek(0)
                for _ in range(self._chunks):
                    self._take(np.fromfile(file, np.int64, self._block.size).reshape(self._block.shape))
        self._take(self._block[: self._used])
        self._full, self._file, self._used = None, None, 0

    def _put_aside(self) -> None:
        self._used = 0
        waiting = self._full
        if waiting is None and self._file is None:
            self._full, self._block = self._block, np.empty_like(self._block)
        elif waiting is not None and self._known(waiting):
            self._take(waiting)
            self._full, self._block = self._block, waiting
        else:
            if self._file is None:
                # Without a name, so that nothing is left behind however the run ends.
                self._file = tempfile.TemporaryFile(dir=self._folder(), buffering=0)  # noqa: SIM115
            if waiting is not None:
                self._write(waiting)
                self._full = None
            self._write(self._block)

    def _write(self, block: Table) -> None:
        data = block.view(np.uint8).data.cast("B")
        while len(data):  # an unbuffered file may take a part only
            data = data[self._file.write(data) :]
        self._chunks += 1
