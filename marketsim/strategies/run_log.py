"""What users' code writes down during a run: tables of its own, one a name, that land in the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketsim.errors import InputError
from marketsim.strategies import users_code

ROWS_MAX = 5_000_000
"""Rows that the tables of a run hold together."""
COLUMNS_MAX = 64
"""Columns that a table may have beside height and name."""
FIXED = ("height", "who")
"""The columns that every table begins with: the block, and the provider or agent that wrote the row."""


class RunLog:
    """The tables of one run. A value is an int of 63 bits, a float, a text or a truth value; a column holds one kind of them."""

    def __init__(self) -> None:
        self._heights: dict[str, list[int]] = {}
        self._who: dict[str, list[str]] = {}
        self._values: dict[str, dict[str, list[Any]]] = {}
        self._kinds: dict[str, dict[str, type]] = {}
        self._rows = 0

    def write(self, table: str, height: int, who: str, values: Mapping[str, Any], where: str) -> None:
        """Add a row. Raises InputError, beginning with `where`, for values that no column can hold, and beyond ROWS_MAX rows."""
        heights = self._heights.setdefault(table, [])
        columns = self._values.setdefault(table, {})
        kinds = self._kinds.setdefault(table, {})
        if self._rows >= ROWS_MAX:
            raise InputError(f"{where}: log: {ROWS_MAX:,} rows are written already, the tables of a run hold no more")
        for name, value in values.items():
            kind = _kind_of(value)
            if kind is None:
                raise InputError(
                    f"{where}: log: {name} is {users_code.answered(value)}, expected an int below 2^63, a float, a text or a truth value"
                )
            known = kinds.get(name)
            if known is None:
                if name in FIXED or len(kinds) >= COLUMNS_MAX:
                    reason = "every table has that column already" if name in FIXED else f"a table has {COLUMNS_MAX} columns of its own"
                    raise InputError(f"{where}: log: no column {name}, {reason}")
                kinds[name] = kind
                columns[name] = [None] * len(heights)
            elif known is not kind:
                if {known, kind} != {int, float}:
                    raise InputError(
                        f"{where}: log: {name} is {users_code.answered(value)}, its column holds values of type {known.__name__}"
                    )
                kinds[name] = float
        for name, column in columns.items():
            column.append(values.get(name))
        heights.append(height)
        self._who.setdefault(table, []).append(who)
        self._rows += 1

    def tables(self) -> dict[str, dict[str, NDArray[Any]]]:
        """The tables by name, each a dict of equally long columns: height int64, who, then the user's own. What a row left out is 0, NaN or
        an empty text; truth values are 0 and 1.
        """
        return {table: self._table(table) for table in sorted(self._heights)}

    def _table(self, table: str) -> dict[str, NDArray[Any]]:
        heights = np.asarray(self._heights[table], np.int64)
        found: dict[str, NDArray[Any]] = {"height": heights, "who": np.asarray(self._who.get(table, []), object)}
        for name, column in self._values[table].items():
            kind = self._kinds[table][name]
            lacking = {int: 0, float: float("nan"), str: "", bool: False}[kind]
            values = [lacking if value is None else value for value in column]
            if kind is bool:
                values = [1 if value else 0 for value in values]
            found[name] = np.asarray(values, {int: np.int64, float: np.float64, str: object, bool: np.int64}[kind])
        return found


def _kind_of(value: Any) -> type | None:
    if isinstance(value, (bool, np.bool_)):
        return bool
    if isinstance(value, (int, np.integer)):
        return int if -(1 << 63) <= value < 1 << 63 else None
    if isinstance(value, (float, np.floating)):
        return float
    return str if type(value) is str else None
