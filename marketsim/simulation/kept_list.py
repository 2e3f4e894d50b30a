"""A list whose items lie in a file, for those that grow with every message that a market was ever told."""

from __future__ import annotations

import os
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
_NONE = -1


class KeptList(Generic[T]):
    """Items by number; each is written once. Copies share the file, and each writes behind what is there. The file has no name and ends
    with the process; what a full disk does not take stays in memory."""

    def __init__(self, folder: Path) -> None:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            self._descriptor = os.dup(file.fileno())
        self._file = _Closing(self._descriptor)
        self._begin, self._size = array("q"), array("i")
        self._here: dict[int, T] = {}

    def copy(self) -> KeptList[T]:
        """Return a list with the same items, which goes its own way."""
        other = copy(self)
        other._begin, other._size, other._here = self._begin[:], self._size[:], dict(self._here)
        return other

    def __len__(self) -> int:
        return len(self._begin)

    def __iter__(self) -> Iterator[T]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> T:
        item = self.get(number)
        if item is None:
            raise IndexError(number)
        return item

    def get(self, number: int) -> T | None:
        """Return an item, None where none was put."""
        if not 0 <= number < len(self) or self._begin[number] == _NONE:
            return self._here.get(number)
        item: T = pickle.loads(os.pread(self._descriptor, self._size[number], self._begin[number]))
        return item

    def append(self, item: T) -> None:
        """Put an item behind the others."""
        self[len(self)] = item

    def __setitem__(self, number: int, item: T) -> None:
        data = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        begin, written = os.lseek(self._descriptor, 0, os.SEEK_END), 0
        for _ in range(len(self), number + 1):
            self._begin.append(_NONE)
            self._size.append(0)
        try:
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], begin + written)
        except OSError:
            self._here[number] = item
        else:
            self._begin[number], self._size[number] = begin, len(data)


class _Closing:
    """Closes a file when nobody has it any more."""

    def __init__(self, descriptor: int) -> None:
        weakref.finalize(self, os.close, descriptor)


__all__ = ["KeptList"]
