"""Tables that lie in files: what nobody looks at leaves the memory for the disk, and comes back when somebody does.

A file has no name and ends with the process that made it; what it holds is made again from elsewhere. A row stands where it stood, whether
its page is in memory or not: compiled code and numpy read and write it like any other.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESERVED_BYTES = 1 << 36
"""Addresses, and length of the file, that one table may come to fill; what is not written takes neither memory nor disk."""
STEP_BYTES = 1 << 20
"""A table in a file grows by so much at least."""
OVER_BYTES = 1 << 24
"""By how much a table over the file of another may grow; behind that it goes on in memory."""
COPIED_BYTES = 1 << 24
"""Written at once when a file is copied."""


class TableFile(mmap.mmap):
    """The memory of one table, shared with a file of a folder, or its own pages over those of a file that others write."""

    folder: Path
    descriptor: int
    allocated: int
    """Bytes that the disk has promised."""
    reserved: int
    """Bytes that there are addresses for."""
    is_shared: bool

    @classmethod
    def of(cls, folder: Path) -> TableFile:
        """Return an empty one. Raises OSError where the system or the folder's disk has no such files."""
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            os.truncate(file.fileno(), RESERVED_BYTES)
            return cls._over(file.fileno(), RESERVED_BYTES, mmap.ACCESS_DEFAULT, folder, 0)

    def over(self) -> TableFile:
        """Return one that begins as this is and writes into its own pages, good for as long as this stays as it is. Raises OSError."""
        size = min(self.allocated + OVER_BYTES, self.reserved)
        return self._over(self.descriptor, size, mmap.ACCESS_COPY, self.folder, self.allocated)

    @classmethod
    def _over(cls, descriptor: int, size: int, access: int, folder: Path, allocated: int) -> TableFile:
        try:
            made = cls(descriptor, size, access=access)
        except ValueError as error:
            raise OSError(str(error)) from None
        made.folder, made.allocated, made.reserved, made.descriptor = folder, allocated, size, os.dup(descriptor)
        made.is_shared = access != mmap.ACCESS_COPY
        weakref.finalize(made, os.close, made.descriptor)
        return made

    def promise(self, size: int) -> None:
        """Have the disk keep room for the first `size` bytes: compiled code that found it full would end the process. Raises OSError."""
        if size > self.reserved:
            raise OSError(f"a table of more than {self.reserved} bytes")
        if size > self.allocated:
            more = max(size, min(self.allocated + STEP_BYTES, self.reserved))
            if self.is_shared and hasattr(os, "posix_fallocate"):
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


def copied_file(table: NDArray[Any], file: TableFile, on_write: bool = False) -> NDArray[Any]:
    """Return a copy of a table that lies in a file, in one of its own; with `on_write` one of which only what is written is copied: it is
    good for as long as the table stays as it is. Raises OSError where the disk is full."""
    width = table.shape[1] if table.ndim == 2 else 0
    if on_write and file.is_shared:
        return file.over().table(len(table), width, table.dtype)
    other = TableFile.of(file.folder)
    copy = other.table(len(table), width, table.dtype)
    data, done = table.reshape(-1).view(np.uint8).data, 0
    while done < table.nbytes:
        done += os.pwrite(other.descriptor, data[done : done + COPIED_BYTES], done)
    let_go(table)
    return copy


def copied_on_write(table: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return the first rows of a table to write into, of which the table sees nothing. Of a table in a file only what is written is copied:
    it is good for as long as the table stays as it is."""
    file = file_of(table)
    if file is None or not file.is_shared or not rows:
        return table[:rows].copy()
    return copied_file(table[:rows], file, on_write=True).view(type(table))


def let_go(table: NDArray[Any], begin: int = 0, end: int | None = None) -> None:
    """Let the memory of rows go, all of them unless it is said which, if they lie in a file: it has them when somebody looks."""
    file = file_of(table)
    if file is None or not file.is_shared:
        return
    size = table.strides[0]
    first = -(-begin * size // mmap.PAGESIZE) * mmap.PAGESIZE
    last = (len(table) if end is None else min(end, len(table))) * size
    if last > first:
        file.madvise(mmap.MADV_DONTNEED, first, last - first)


__all__ = ["TableFile", "can_be_in_files", "copied_file", "copied_on_write", "file_of", "in_file", "let_go"]
