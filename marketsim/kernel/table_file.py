"""Tables that lie in files: what nobody looks at leaves the memory for the disk, and comes back when somebody does.

A file has no name and ends with the process that made it; what it holds is made again from elsewhere. A row stands where it stood, whether
its page is in memory or not: compiled code and numpy read and write it like any other.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESERVED_BYTES = 1 << 35
"""Addresses, and length of the file, that one table may come to fill; what is not written takes neither memory nor disk."""
TABLES = 32
"""Tables of a file."""
STEP_BYTES = 1 << 20
"""A table in a file grows by so much at least."""
COPIED_BYTES = 1 << 24
"""Written at once when a file is copied."""
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)


class TableFile(mmap.mmap):
    """The memory of some tables, shared with a file of a folder, or own pages over those of a file that others write.

    All tables of a market are in one, which takes two of the files that a process may have open.
    """

    folder: Path
    descriptor: int
    allocated: list[int]
    """By place, the bytes of a table that the disk has promised."""
    address: int
    is_shared: bool

    @classmethod
    def of(cls, folder: Path) -> TableFile:
        """Return an empty one. Raises OSError where the system or the folder's disk has no such files."""
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            os.truncate(file.fileno(), TABLES * RESERVED_BYTES)
            return cls._mapped(file.fileno(), folder, [], mmap.MAP_SHARED)

    def over(self) -> TableFile:
        """Return one that begins as this is and writes into its own pages, good for as long as this stays as it is. Raises OSError."""
        return self._mapped(self.descriptor, self.folder, list(self.allocated), mmap.MAP_PRIVATE | _NO_RESERVE)

    @classmethod
    def _mapped(cls, descriptor: int, folder: Path, allocated: list[int], flags: int) -> TableFile:
        try:
            made = cls(descriptor, TABLES * RESERVED_BYTES, flags=flags)
        except ValueError as error:
            raise OSError(str(error)) from None
        made.folder, made.allocated, made.descriptor = folder, allocated, os.dup(descriptor)
        made.is_shared = flags == mmap.MAP_SHARED
        made.address = int(np.frombuffer(made, np.uint8, 1).ctypes.data)
        weakref.finalize(made, os.close, made.descriptor)
        return made

    def place_of(self, table: NDArray[Any]) -> int:
        """Return the place of a table that lies here."""
        return int(table.ctypes.data - self.address) // RESERVED_BYTES

    def _promise(self, place: int, size: int) -> None:
        """Have the disk keep room for the first `size` bytes: compiled code that found it full would end the process. Raises OSError."""
        if size > RESERVED_BYTES or place >= TABLES:
            raise OSError(f"more than {TABLES} tables of {RESERVED_BYTES} bytes")
        self.allocated += [0] * (place + 1 - len(self.allocated))
        has = self.allocated[place]
        if size > has:
            more = max(size, min(has + STEP_BYTES, RESERVED_BYTES))
            if self.is_shared and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.descriptor, place * RESERVED_BYTES + has, more - has)
            self.allocated[place] = more

    def table(self, place: int, rows: int, width: int, dtype: Any = np.int64) -> NDArray[Any]:
        """Return the first rows at a place as a table, (rows, width); (rows,) for a width of 0. Rows that were never written are zeros.
        Raises OSError where the disk is full."""
        numbers = rows * max(width, 1)
        self._promise(place, numbers * np.dtype(dtype).itemsize)
        line: NDArray[Any] = np.frombuffer(self, dtype, numbers, place * RESERVED_BYTES)
        return line.reshape(rows, width) if width else line


def can_be_in_files() -> bool:
    """Return whether this system can let go of a part of a file's memory."""
    return hasattr(mmap, "MADV_DONTNEED")


def file_of(table: NDArray[Any]) -> TableFile | None:
    """Return the file that a table lies in, None for a table in memory."""
    base: Any = table
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, TableFile) else None


def in_file(table: NDArray[Any], file: TableFile) -> NDArray[Any]:
    """Return a table moved into a file, behind those that are in it. Raises OSError where that cannot be."""
    moved = file.table(len(file.allocated), len(table), _width(table), table.dtype)
    moved[...] = table
    return moved


def longer_in_file(table: NDArray[Any], file: TableFile, rows: int) -> NDArray[Any]:
    """Return a table of a file with so many rows, zeros behind those that it has. Raises OSError where the disk is full."""
    return file.table(file.place_of(table), rows, _width(table), table.dtype)


def file_for_copies(table: NDArray[Any], on_write: bool) -> TableFile | None:
    """Return where copies of a market's tables go, of which one is given: another file, or with `on_write` pages over the same one, good
    for as long as they stay as they are. None for a table in memory, and where no other file can be."""
    file = file_of(table)
    if file is None:
        return None
    with suppress(OSError):
        return file.over() if on_write and file.is_shared else TableFile.of(file.folder)
    return None


def copied_file(table: NDArray[Any], file: TableFile, other: TableFile) -> NDArray[Any]:
    """Return a copy in another file of a table that lies in one. Raises OSError where the disk is full."""
    place = file.place_of(table)
    copy = other.table(place, len(table), _width(table), table.dtype)
    if not other.is_shared:
        return copy
    data, done = table.reshape(-1).view(np.uint8).data, 0
    while done < table.nbytes:
        done += os.pwrite(other.descriptor, data[done : done + COPIED_BYTES], place * RESERVED_BYTES + done)
    let_go(table)
    return copy


def copied_on_write(table: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return the first rows of a table to write into, of which the table sees nothing. Of a table in a file only what is written is copied:
    it is good for as long as the table stays as it is."""
    file = file_of(table)
    if file is None or not file.is_shared or not rows:
        return table[:rows].copy()
    count = table[:rows].size
    begin = file.place_of(table) * RESERVED_BYTES
    pages = mmap.mmap(file.descriptor, count * table.itemsize, access=mmap.ACCESS_COPY, offset=begin)
    copy: NDArray[Any] = np.frombuffer(pages, table.dtype, count).reshape(table[:rows].shape)
    return copy.view(type(table))


def let_go(table: NDArray[Any], begin: int = 0, end: int | None = None) -> None:
    """Let the memory of rows go, all of them unless it is said which, if they lie in a file: it has them when somebody looks."""
    file = file_of(table)
    if file is None or not file.is_shared:
        return
    size, start = table.strides[0], file.place_of(table) * RESERVED_BYTES
    first = -(-begin * size // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (len(table) if end is None else min(end, len(table))) * size
    if last > first:
        file.madvise(mmap.MADV_DONTNEED, start + first, last - first)


def _width(table: NDArray[Any]) -> int:
    return table.shape[1] if table.ndim == 2 else 0


__all__ = [
    "TableFile",
    "can_be_in_files",
    "copied_file",
    "copied_on_write",
    "file_for_copies",
    "file_of",
    "in_file",
    "let_go",
    "longer_in_file",
]
