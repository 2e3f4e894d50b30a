"""Sets of tables as one argument of compiled code: a pointer to where each table lies, instead of dozens of arrays.

A compiled function that takes every array of a chain by value has some 350 arguments, and so has every call that it makes: compiling
that took minutes. A `TableSet` (a named tuple of int64 arrays) goes in as the address of a small directory, three numbers a table, and
`s.orders` becomes an array view when it is used. Directories are written once and never change: the compiler is told so, and keeps what it
has read of them.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, overload

import numpy as np
from numpy.typing import NDArray

from marketsim.kernel.compiled import address_of, when_compiling
from marketsim.kernel.intrinsics import LINE
from marketsim.kernel.rows import R, Row, Rows, as_rows, fill
from marketsim.kernel.table_file import STEP_BYTES, TableFile, copied_file, file_of, longer_in_file

Table = NDArray[np.int64]
"""One table: (rows, columns), or one dimension where a TableSet says so."""
Codes = NDArray[np.int8]
"""A table of small codes."""


class Rooms:
    """Memory of large tables that are gone, kept for the next ones: fresh pages cost more than zeros written over old ones."""

    LARGE = 1 << 25
    """Bytes from which a table's memory is kept; below the C library keeps it (`marketsim.simulation.memory`)."""
    MOST = 1 << 31
    """Bytes kept at most."""

    def __init__(self) -> None:
        self.keeps = False
        self._free: list[NDArray[np.int64]] = []

    def zeros(self, count: int, wiped: bool = True) -> NDArray[np.int64]:
        """Return so many zeros, without `wiped` anything, in memory of a table before where there is some that is not twice as large."""
        if not self.keeps or 8 * count < self.LARGE:
            return np.zeros(count, np.int64) if wiped else np.empty(count, np.int64)
        fitting = [at for at, room in enumerate(self._free) if count <= len(room) <= 2 * count]
        if fitting:
            room = self._free.pop(min(fitting, key=lambda at: len(self._free[at])))
            if wiped:
                room[:count] = 0
        else:
            room = np.zeros(count, np.int64)
        lent: NDArray[np.int64] = np.frombuffer(room.data, np.int64, count)  # of which views keep hold, not of `room`
        weakref.finalize(lent, self._take_back, room).atexit = False
        return lent

    def _take_back(self, room: NDArray[np.int64]) -> None:
        self._free.append(room)
        while sum(each.nbytes for each in self._free) > self.MOST:
            del self._free[0]


ROOMS = Rooms()
"""Those of this process; only a process that makes run after run keeps any."""


@overload
def rows_of(count: int, kind: type[R], wiped: bool = True) -> Rows[R]: ...
@overload
def rows_of(count: int, kind: int, wiped: bool = True) -> NDArray[np.int64]: ...
def rows_of(count: int, kind: Any, wiped: bool = True) -> Any:
    """Return a table that begins where a cache line does: a row of eight columns is one line. `kind` is a row class, whose defaults stand
    in the rows, or a number of columns, all zeros; shape (count, width). Without `wiped` anything stands there: for rows that nobody reads
    before they are written.
    """
    schema: type[Row] | None = kind if isinstance(kind, type) else None
    width = kind if schema is None else schema.width
    words = LINE // 8
    room = ROOMS.zeros(count * width + words, wiped)
    first = -(address_of(room) // 8) % words
    table = room[first : first + count * width].reshape(count, width)
    if schema is None:
        return table
    if wiped:
        fill(table, schema)
    return as_rows(schema, table)


def longer(table: NDArray[np.int64], used: int, needed: int, kind: Any, wiped: bool = True) -> Any:
    """Return a table of at least `needed` rows that begins with the first `used` ones of another; `kind` and `wiped` as for `rows_of`, or
    `kind` 0 for a table of one dimension, whose numbers are -1 at first. One in memory is twice as large, one in a file becomes longer
    where it lies.
    """
    if (file := file_of(table)) is not None:
        rows = max(needed, len(table) + STEP_BYTES // table.strides[0])
        with suppress(OSError):  # a full disk: in memory from here on
            grown = longer_in_file(table, file, rows)
            if table.ndim == 1:
                grown[len(table) :] = -1
            elif isinstance(kind, type):
                fill(grown[len(table) :], kind)
                grown = as_rows(kind, grown)
            return grown
    rows = max(needed, 2 * len(table))
    grown = np.full(rows, -1, np.int64) if table.ndim == 1 else rows_of(rows, kind, wiped)
    grown[:used] = table[:used]
    return grown


def appended(table: NDArray[np.int64], *more: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a table with the rows of others behind its own."""
    if (file := file_of(table)) is not None:
        with suppress(OSError):
            grown = longer_in_file(table, file, len(table) + sum(len(rows) for rows in more))
            if more:
                np.concatenate(more, out=grown[len(table) :])
            return grown
    return np.concatenate([table, *more])


class TableSet:
    """Mixin of named tuples of C-contiguous int64 arrays (int8 where `narrow` says so): the address of their directory.

    It is made when first asked for, of that of the set it comes from (`_replace`) where it has one. The directory lives as long as the
    tuple, and so do the arrays.
    """

    __slots__ = ()
    lines: ClassVar[frozenset[str]] = frozenset()
    """Fields of one dimension; all others have two."""
    narrow: ClassVar[frozenset[str]] = frozenset()
    """Fields of int8 instead of int64: small codes of which every order reads a row."""
    widths: ClassVar[Mapping[str, int]] = {}
    """Columns of fields without a row class that have always as many: compiled code need not look them up."""
    rows: ClassVar[Mapping[str, type[Row]]] = {}
    """Row classes of the fields that have one: their rows have names, whatever array is given."""

    if not TYPE_CHECKING:

        def __new__(cls, *tables: Any, **named: Any) -> Any:
            """Return a set of these tables."""
            given = super().__new__(cls, *tables, **named)
            each = zip(cls._fields, given, strict=True)
            return tuple.__new__(cls, (as_rows(cls.rows[name], table) if name in cls.rows else table for name, table in each))

        @classmethod
        def _make(cls, tables: Any) -> Any:
            return cls(*tables)

        def _replace(self, **changes: Any) -> Any:
            """Return a set of the same tables but for some; what the directory of this one says of the others is taken over."""
            tables, entries = list(self), self.__dict__.get("entries")
            entries = entries and list(entries)
            for name, table in changes.items():
                at = self._fields.index(name)
                tables[at] = as_rows(self.rows[name], table) if name in self.rows else table
                if entries:
                    entries[at] = None
            other = tuple.__new__(type(self), tables)
            if entries:
                other.__dict__["entries"] = entries
            return other

    @classmethod
    def width_of(cls, name: str) -> int | None:
        """Return the columns of a field of two dimensions that always has as many, None for any other."""
        return cls.rows[name].width if name in cls.rows else cls.widths.get(name)

    @classmethod
    @cache
    def _layout(cls) -> tuple[tuple[str, np.dtype[Any], int, int | None], ...]:
        """What each table has to be: its name, kind of number, dimensions, and columns where it always has as many."""
        fields: tuple[str, ...] = cls._fields  # type: ignore[attr-defined]
        kinds = [np.dtype(np.int8 if name in cls.narrow else np.int64) for name in fields]
        return tuple((name, kind, 1 if name in cls.lines else 2, cls.width_of(name)) for name, kind in zip(fields, kinds, strict=True))

    def copied(self, empty: frozenset[str] = frozenset(), into: TableFile | None = None) -> Any:
        """Return the same tables in memory of their own; of those in `empty` the size alone, zeros. Those that lie in a
        file go `into` another one, if it is given (`file_for_copies`)."""
        named = zip(self._fields, self, strict=True)  # type: ignore[attr-defined, call-overload]
        return type(self)(*(_copied(table, name in empty, into) for name, table in named))

    @property
    def address(self) -> int:
        """Where the directory of this set lies in memory."""
        kept: dict[str, Any] = self.__dict__
        address = kept.get("where")
        if address is not None:
            return int(address)
        entries = kept.setdefault("entries", [None] * len(self))  # type: ignore[arg-type]
        for at, ((name, kind, ndim, width), table) in enumerate(zip(self._layout(), self, strict=True)):  # type: ignore[call-overload]
            if entries[at] is not None:
                continue
            shape = table.shape
            if table.dtype != kind or not table.flags.c_contiguous or len(shape) != ndim:
                raise TypeError(f"table {name}: {table.dtype} {shape}, expected contiguous {kind} of {ndim} dimensions")
            if width is not None and width != shape[-1]:
                raise TypeError(f"table {name}: {shape[-1]} columns, expected {width}")
            entries[at] = (address_of(table), shape[0], 1 if ndim == 1 else shape[1])
        directory = np.asarray(entries, np.int64)
        kept["directory"] = directory
        kept["where"] = address_of(directory)
        return int(kept["where"])


def _copied(table: NDArray[Any], empty: bool, into: TableFile | None) -> NDArray[Any]:
    """A table of the same shape and kind that begins where a cache line does."""
    if not empty and into is not None and (file := file_of(table)) is not None:
        with suppress(OSError):
            return copied_file(table, file, into)
    words = LINE // table.itemsize
    room = np.zeros(table.size + words, table.dtype) if empty else np.empty(table.size + words, table.dtype)
    first = -(room.ctypes.data // table.itemsize) % words
    copy: NDArray[Any] = room[first : first + table.size].reshape(table.shape)
    if not empty:
        copy[...] = table
    return copy


def register(kind: type[Any]) -> None:
    """Have the compiler taught a TableSet class when there is something to compile."""

    def teach() -> None:
        from marketsim.kernel.table_set_numba import register_with_numba

        register_with_numba(kind)

    when_compiling(teach)
