"""Demand traces: one row an order, as CSV or parquet, checked cell by cell.

| Column | Holds | From … to |
|---|---|---|
| `at_seconds` | when the order arrives, seconds after the start (needed; read to the millisecond) | 0 … |
| `cpu` | millicores, whole | 10 … 384000 |
| `memory` | bytes, whole; a started MiB counts whole | 1048576 … 2199023255552 |
| `storage` | bytes, whole; a started MiB counts whole | 5242880 … 35184372088832 |
| `gpu` | units, whole | 0 … 24 |
| `duration_seconds` | how long the lease would last, rounded to blocks | above 0 … |

A column that is not there is drawn as the cohort says. Rows need no order; every cell needs a value.
"""

from __future__ import annotations

import csv
import difflib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marketsim.chain.limits import CPU_MAX, CPU_MIN, GPU_MAX, MEMORY_MAX, MEMORY_MIN, VOLUME_MAX, VOLUME_MIN
from marketsim.errors import InputError
from marketsim.scenario.literals import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Columns = dict[str, NDArray[np.float64]]

_SECONDS_MAX = 100 * 366 * 86_400
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_TOLD_MAX = 20


@dataclass(frozen=True, slots=True)
class _Column:
    """What a cell may hold."""

    low: float
    high: float
    whole: bool
    unit: str
    above: bool = False

    def problem(self, cell: str) -> str | None:
        """Why a cell is refused, with what would be accepted; None when it is taken."""
        text = cell.strip()
        if not text:
            return f"is blank, write {self.wanted}"
        if not _NUMBER.fullmatch(text):
            return f"{shown(cell)} is not a finite number, write {self.wanted}"
        value = float(text)
        if value < 0:
            return f"{shown(cell)} is negative, write {self.wanted}"
        if value < self.low or (self.above and value == self.low) or value > self.high:
            return f"{shown(cell)} is out of range, write {self.wanted}"
        if self.whole and value != int(value):
            return f"{shown(cell)} is not a whole number, write {self.wanted}"
        return None

    @property
    def wanted(self) -> str:
        first = f"above {self.low:.0f}" if self.above else f"from {self.low:.0f}"
        return f"{self.unit} {first} to {self.high:.0f}"


COLUMNS = {
    "at_seconds": _Column(0, _SECONDS_MAX, False, "seconds after the start"),
    "cpu": _Column(CPU_MIN, CPU_MAX, True, "millicores"),
    "memory": _Column(MEMORY_MIN, MEMORY_MAX, True, "bytes"),
    "storage": _Column(VOLUME_MIN, VOLUME_MAX, True, "bytes"),
    "gpu": _Column(0, GPU_MAX, True, "GPUs"),
    "duration_seconds": _Column(0, _SECONDS_MAX, False, "seconds", above=True),
}
SIZES = ("cpu", "memory", "storage", "gpu")
"""Columns that say what an order asks for."""


def read_trace(path: Path) -> Columns:
    """The columns of a trace as float64, sorted by `at_seconds`; not to be changed, as they are read once.

    Raises InputError with a line `file:line:column: name: …` for each of the first 20 cells and column names that are refused.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: the trace cannot be read ({error.strerror}), give a CSV or parquet file") from None
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _read(path: Path, modified: int, size: int) -> Columns:
    import numpy as np
    import pyarrow as pa

    found: Columns | None = None
    is_table = path.suffix == ".parquet"
    try:
        table = _read_parquet(path) if is_table else _read_csv(path)
        if not _wrong_names(table.column_names):
            found = {name: _numbers(table[name]) for name in table.column_names}
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no UTF-8 text, give a CSV file in UTF-8 or a parquet file") from None
    except (OSError, pa.ArrowException, TypeError, ValueError) as error:
        if is_table:
            raise InputError(f"{path}: the trace cannot be read ({_first_line(error)}), expected numbers in every column") from None
    if found is None or not all(_all_taken(column, COLUMNS[name]) for name, column in found.items()):
        lines = list(_table_problems(path, table.column_names, found or {}) if is_table else _text_problems(path))
        more = [f"{path}: and {len(lines) - _TOLD_MAX} more"] if len(lines) > _TOLD_MAX else []
        raise InputError([*lines[:_TOLD_MAX], *more] or [f"{path}: the trace cannot be read, expected numbers separated by commas"])
    order = np.argsort(found["at_seconds"], kind="stable")
    columns = {name: column[order] for name, column in found.items()}
    for column in columns.values():
        column.flags.writeable = False
    return columns


def _all_taken(column: NDArray[np.float64], rule: _Column) -> bool:
    import numpy as np

    taken = np.isfinite(column) & (column >= rule.low) & (column <= rule.high)
    if rule.above:
        taken &= column > rule.low
    if rule.whole:
        taken &= column == np.floor(column)
    return bool(taken.all())


def _wrong_names(names: Sequence[str]) -> list[tuple[int, str]]:
    """Position and problem of each column name that is refused; a missing `at_seconds` has position 0."""
    found = []
    for at, name in enumerate(names):
        if name in COLUMNS:
            if name in names[:at]:
                found.append((at, f"{name}: stands here twice, keep one of the two"))
            continue
        written = name.strip().strip("\"'").lower().replace(" ", "_").replace("-", "_")
        near = [written] if written in COLUMNS else difflib.get_close_matches(written, COLUMNS, 1, 0.5)
        accepted = f"did you mean '{near[0]}'?" if near else f"columns are {', '.join(COLUMNS)}"
        if len(names) == 1 and any(mark in name for mark in ";\t|"):
            accepted = "columns are separated by commas"
        found.append((at, f"{shown(name).strip(chr(39)) or 'a column'}: unknown column, {accepted}"))
    if "at_seconds" not in names and not found:
        found.append((0, f"at_seconds: is missing, add it: {COLUMNS['at_seconds'].unit}"))
    return found


def _table_problems(path: Path, names: Sequence[str], columns: Columns) -> Iterator[str]:
    yield from (f"{path}: {problem}" for _, problem in _wrong_names(names))
    for name, column in columns.items():
        for row, value in enumerate(column.tolist()):
            if problem := COLUMNS[name].problem("" if math.isnan(value) else repr(value)):
                yield f"{path}: {name}, row {row + 1}: {problem}"


def _text_problems(path: Path) -> Iterator[str]:
    """Each refused name and cell of a CSV, at its line and column."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            lines = stream.read().splitlines()
    except UnicodeDecodeError:
        yield f"{path}:1:1: is no UTF-8 text, save it as UTF-8"
        return
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        yield f"{path}:1:1: at_seconds: is missing, the file is empty; write a header line with the columns {', '.join(COLUMNS)}"
        return
    number, head = rows[0]
    names = _cells(head)
    wrong = _wrong_names(names)
    yield from (f"{path}:{number}:{_column(head, at)}: {problem}" for at, problem in wrong)
    if wrong:
        return
    for number, line in rows[1:]:
        cells = _cells(line)
        if len(cells) != len(names):
            yield f"{path}:{number}:1: {len(cells)} cells, expected {len(names)}: {', '.join(names)}"
            continue
        for at, (name, cell) in enumerate(zip(names, cells, strict=True)):
            if problem := COLUMNS[name].problem(cell):
                yield f"{path}:{number}:{_column(line, at)}: {name}: {problem}"


def _cells(line: str) -> list[str]:
    return next(csv.reader([line]), [])


def _column(line: str, at: int) -> int:
    """The place of a line's cell, counted from 1."""
    quoted, left = False, at
    for place, letter in enumerate(line, 1):
        if left == 0:
            return place
        quoted ^= letter == '"'
        left -= letter == "," and not quoted
    return len(line) + 1


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# Neither parquet.read_table nor a column's own to_numpy: each imports pandas to see whether there is one, half a second.


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path).read()


def _read_csv(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import csv as reader

    # Every cell is a number: a column of whole numbers and one of `inf` are read alike, and `0042` is 42.
    kinds = reader.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.float64()), null_values=[""])
    return reader.read_csv(path, convert_options=kinds)


def _numbers(column: Any) -> NDArray[np.float64]:
    """A column of a table as float64, NaN where a value is missing; ValueError or TypeError when it holds no numbers."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_null(column.type):  # of a file without rows, or without a value
        return np.full(len(column), np.nan)
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        raise TypeError(f"a column of type {column.type}")
    parts = []
    for chunk in column.chunks:
        valid, values = chunk.buffers()
        size = chunk.offset + len(chunk)
        part = np.frombuffer(values or b"", chunk.type.to_pandas_dtype(), size)[chunk.offset :].astype(np.float64)
        if chunk.null_count:
            known = np.unpackbits(np.frombuffer(valid, np.uint8), count=size, bitorder="little")[chunk.offset :]
            part[known == 0] = np.nan
        parts.append(part)
    return np.concatenate(parts) if parts else np.zeros(0)
