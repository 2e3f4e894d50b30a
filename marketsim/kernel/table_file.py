"""Tables that lie in files: what nobody looks at leaves the memory for the disk, and comes back when somebody does.

A file has no name and ends with the process that made it; what it holds is made again from elsewhere. A row stands where it stood, whether
its page is in memory or not: compiled code and numpy read and write it like any other.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESERVED_BYTES = 1 << 36
"""Addresses, and length of the file, that one table may come to fill; what is not written takes neither memory nor disk."""
STEP_BYTES = 1 << 20
"""A table in a file grows by so much at least."""


class TableFile(mmap.mmap):
    """The memory of one table, shared with a file of a folder."""

    folder: Path
    descriptor: int
    allocated: int
    """Bytes that the disk has promised."""

    @classmethod
    def of(cls, folder: Path) -> TableFile:
        """Return an empty one. Raises OSError where the system or the folder's disk has no such files."""
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            os.truncate(file.fileno(), RESERVED_BYTES)
            try:
                made = cls(file.fileno(), RESERVED_BYTES)
            except ValueError as error:
                raise OSError(str(error)) from None
            made.folder, made.allocated, made.descriptor = folder, 0, os.dup(file.fileno())
        weakref.finalize(made, os.close, made.descriptor)
        return made

    def promise(self, size: int) -> None:
        """Have the disk keep room for the first `size` bytes: compiled code that found it full would end the process. Raises OSError."""
        if size > RESERVED_BYTES:
            raise OSError(f"a table of more than {RESERVED_BYTES} bytes")
        if size > self.allocated:
            more = max(size, min(self.allocated + STEP_BYTES, RESERVED_BYTES))
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.descriptor, self.allocated, more - self.allocated)
            self.allocated = more

    def table(self, rows: int, width: int, dtype: Any = np.int64) -> NDArray[Any]:
        """Return the first rows as a table, (rows, width); (rows,) for a width of 0. Rows that were never written are zeros. Raises OSError
        where the disk is full."""
        numbers = rows * max(width, 1)
        self.promise(numbers * np.dtype(dtype).itemsize)
        line: NDArray[Any] = np.frombuffer(self, dtype, numbers)
        return line.reshape(rows, width) if width else line


def can_be_in_files() -> bool:
    """Return whether this system can let go of a part of a file's memory."""
    return hasattr(mmap, "MADV_DONTNEED")


def file_of(table: NDArray[Any]) -> TableFile | None:
    """Return the file that a table begins with, None for a table in memory."""
    base: Any = table
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, TableFile) else None


def in_file(table: NDArray[Any], folder: Path) -> NDArray[Any]:
    """Return a table moved into a file of the folder. Raises OSError where that cannot be."""
    moved = TableFile.of(folder).table(len(table), table.shape[1] if table.ndim == 2 else 0, table.dtype)
    moved[...] = table
    return moved


def copied_file(table: NDArray[Any], file: TableFile) -> NDArray[Any]:
    """Return a copy of a table that lies in a file, in one of its own; it goes from file to file, past the memory of this process. Raises
    OSError where the disk is full."""
    other = TableFile.of(file.folder)
    copy = other.table(len(table), table.shape[1] if table.ndim == 2 else 0, table.dtype)
    done = 0
    with suppress(OSError, AttributeError):
        while done < table.nbytes:
            more = os.copy_file_range(file.descriptor, other.descriptor, min(table.nbytes - done, 1 << 30), done, done)
            if not more:
                break
            done += more
    if done < table.nbytes:
        copy[...] = table
        let_go(copy)
        let_go(table)
    return copy


def copied_on_write(table: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return the first rows of a table to write into, of which the table sees nothing. Of a table in a file only what is written is copied:
    it is good for as long as the table stays as it is."""
    file = file_of(table)
    if file is None or not rows:
        return table[:rows].copy()
    count = table[:rows].size
    pages = mmap.mmap(file.descriptor, count * table.itemsize, access=mmap.ACCESS_COPY)
    copy: NDArray[Any] = np.frombuffer(pages, table.dtype, count).reshape(table[:rows].shape)
    return copy.view(type(table))


def let_go(table: NDArray[Any], begin: int = 0, end: int | None = None) -> None:
    """Let the memory of rows go, all of them unless it is said which, if they lie in a file: it has them when somebody looks."""
    file = file_of(table)
    if file is None:
        return
    size = table.strides[0]
    first = -(-begin * size // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (len(table) if end is None else min(end, len(table))) * size
    if last > first:
        file.madvise(mmap.MADV_DONTNEED, first, last - first)


__all__ = ["TableFile", "can_be_in_files", "copied_file", "copied_on_write", "file_of", "in_file", "let_go"]
