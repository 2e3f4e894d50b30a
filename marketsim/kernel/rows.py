"""Rows with names: a class says which columns a table has, in order, and a row of that table has them as attributes.

    class Order(Row):
        price = column("ceiling per block", "uve")
        state = column("OrderState")

    orders = rows_of(64, Order)      # a table, (64, Order.width)
    orders[3].price = 7              # a row's number
    orders[:, Order.price].max()     # of the class, the number of the column

Compiled code reads and writes the same attributes as loads and stores (`table_set_numba`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

R = TypeVar("R", bound="Row")


class Column:
    """One column of a table: of the class its number, of a row the number that stands in it, of a table all of them."""

    __slots__ = ("about", "default", "name", "number", "place", "unit")

    def __init__(self, about: str, unit: str, default: int, place: Column | None = None) -> None:
        self.about = about
        self.unit = unit
        self.default = default
        self.place = place
        self.name = ""
        self.number = -1

    @overload
    def __get__(self, row: None, schema: type) -> int: ...
    @overload
    def __get__(self, row: Row, schema: type) -> int: ...
    def __get__(self, row: Row | None, schema: type) -> Any:
        if row is None:
            return self.number
        return row[self.number] if row.ndim == 1 else row[..., self.number]

    def __set__(self, row: Row, value: int) -> None:
        if row.ndim == 1:
            row[self.number] = value
        else:
            row[..., self.number] = value

    def __repr__(self) -> str:
        return f"column {self.number}, {self.name}: {self.about or self.name}{self.unit and f' ({self.unit})'}"


def column(about: str = "", unit: str = "", default: int = 0) -> Column:
    """Return the next column of a row class: what stands in it, in which unit, and what stands in a new row."""
    return Column(about, unit, default)


def same_place(as_column: Any, about: str = "", unit: str = "") -> Column:
    """Return another name of a column, for rows of another kind in the same table."""
    return Column(about, unit, 0, as_column)


class Schema(type):
    """The class of row classes: numbers their columns. The compiler tells by it what has columns.

    Attributes: `columns` in order; `defaults`, those of them that are not 0 in a new row; `width`, the numbers a row takes, which may be
    more than it has columns (`class Order(Row, width=20)`); `blank`, the numbers of a new row.
    Raises TypeError for a column that has the name of something that arrays have, and for a width that does not hold the columns.
    """

    columns: tuple[Column, ...]
    defaults: tuple[Column, ...]
    width: int
    blank: tuple[int, ...]

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], width: int = 0) -> Schema:
        """Make a row class."""
        schema = super().__new__(cls, name, bases, body)
        columns = [each for base in bases for each in getattr(base, "columns", ())]
        for key, value in body.items():
            if isinstance(value, Column):
                if any(hasattr(base, key) for base in bases):
                    raise TypeError(f"{name}.{key}: rows have something else of this name")
                value.name = key
                if value.place is not None:
                    value.number = value.place.number
                else:
                    value.number = len(columns)
                    columns.append(value)
        schema.columns = tuple(columns)
        schema.defaults = tuple(each for each in columns if each.default)
        schema.width = width or max([len(columns), *(getattr(base, "width", 0) for base in bases)])
        if schema.width < len(columns):
            raise TypeError(f"{name}: {len(columns)} columns in a width of {schema.width}")
        schema.blank = tuple([each.default for each in columns] + [0] * (schema.width - len(columns)))
        return schema

    def __init__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], width: int = 0) -> None:
        super().__init__(name, bases, body)


class Row(np.ndarray[tuple[int, ...], np.dtype[np.int64]], metaclass=Schema):
    """A row of a table, int64 (width,), or a table of such rows, (rows, width). Subclasses say which columns there are."""


class Rows(np.ndarray[tuple[int, ...], np.dtype[np.int64]], Generic[R]):
    """A table of rows, int64 (rows, width), in annotations: the tables themselves are of their row class."""

    if TYPE_CHECKING:

        @overload  # type: ignore[override]
        def __getitem__(self, index: int | np.integer[Any]) -> R: ...
        @overload
        def __getitem__(self, index: slice) -> Rows[R]: ...
        @overload
        def __getitem__(self, index: Any) -> Any: ...
        def __getitem__(self, index: Any) -> Any:
            """Return a row, some of them, or numbers."""


def as_rows(schema: type[R], table: NDArray[np.int64]) -> Rows[R]:
    """Return a view of an int64 array, (rows, width) or (width,), whose rows have the names of a row class."""
    return table if type(table) is schema else table.view(schema)  # type: ignore[return-value]


def row_of(schema: type[R], **values: int) -> R:
    """Return a row by itself: the values given by name, else each column's default."""
    numbers = list(schema.blank)
    for name, value in values.items():
        numbers[getattr(schema, name)] = value
    return as_rows(schema, np.array(numbers, np.int64))  # type: ignore[return-value]


def fill(table: NDArray[np.int64], schema: type[Row]) -> None:
    """Write the defaults into the columns of a table of zeros, or a row, that have one."""
    for each in schema.defaults:
        table[..., each.number] = each.default
