"""Writes a table to parquet and CSV, chunk by chunk, and reads its columns back.

Rows go out in chunks of `CHUNK`, a row group each, so that the bytes are the same whether a table is written at once or while the
run goes on. Values are plain and packed with snappy: of what every reader understands, the cheapest to write (a dictionary of the
numbers in a column would cost twice as much).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marketsim.errors import InputError
from marketsim.export.arrow import numbers, strings, values
from marketsim.export.csv_text import IS_FAST, LINES, CsvText, cell
from marketsim.export.words import Words
from marketsim.recording.record import Column, Table
from marketsim.recording.rows import CHUNK

Kind = Words | type[int] | type[float] | type[str]
"""What a column holds: numbers of names, int64, float64, or texts."""

PARQUET_ONLY = frozenset({"declines"})
"""Tables that are not written as CSV: an order may have a row for every provider, which nobody reads as text."""

SORTED = frozenset({"height", "lease", "order"})
"""Columns whose least and greatest value stand with each row group, for readers that look for few rows."""


class TableWriter:
    """Two files of one table, open for writing: `<name>.parquet` and, with `csv` and unless PARQUET_ONLY, `<name>.csv`."""

    def __init__(self, folder: Path, name: str, kinds: Mapping[str, Kind], *, csv: bool = True) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._kinds = dict(kinds)
        is_numbered = all(kind is int or isinstance(kind, Words) for kind in kinds.values())
        self._schema = pa.schema([_field(key, kind) for key, kind in kinds.items()])
        named = [key for key, kind in kinds.items() if isinstance(kind, Words)]
        self._parquet = parquet.ParquetWriter(
            folder / f"{name}.parquet",
            self._schema,
            compression="snappy",
            use_dictionary=named or False,
            write_statistics=[key for key in kinds if key in SORTED] or False,
        )
        self._csv: _PlainCsv | _NumberedCsv | None = None
        if csv and name not in PARQUET_ONLY:
            self._csv = (_NumberedCsv if IS_FAST and is_numbered else _PlainCsv)(folder / f"{name}.csv", self._kinds)
        self.rows = 0

    def write(self, columns: Sequence[Any] | Column) -> None:
        """Write one chunk: the columns in their order, arrays or, where they hold texts, lists of str."""
        import pyarrow as pa

        rows = len(columns[0])
        arrays = [_array(kind, column) for kind, column in zip(self._kinds.values(), columns, strict=True)]
        self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=CHUNK)
        if self._csv is not None:
            self._csv.write(columns)
        self.rows += rows

    def close(self) -> None:
        """Finish both files."""
        self._parquet.close()
        if self._csv is not None:
            self._csv.close()


def write_table(folder: Path, name: str, kinds: Mapping[str, Kind], columns: Mapping[str, Any]) -> int:
    """Write a table that is in memory; return its rows."""
    writer = TableWriter(folder, name, kinds)
    for begin in range(0, max(1, len(next(iter(columns.values())))), CHUNK):
        writer.write([columns[key][begin : begin + CHUNK] for key in kinds])
    writer.close()
    return writer.rows


class StoredTable(Mapping[str, Column]):
    """A table of the record that was written while the run went on: a column is read when it is asked for.

    The file stays open, so that it is found when its folder takes another name or goes.
    """

    def __init__(self, path: Path, kinds: Mapping[str, Kind], rows: int, keep: Any = None) -> None:
        """Open the file; `keep` lives as long as the table does (a temporary folder)."""
        self._handle = path.open("rb")
        self._kinds = dict(kinds)
        self._keep = keep
        self._read: Table = {}
        self.rows = rows

    def __getitem__(self, name: str) -> Column:
        kind = self._kinds[name]
        if name not in self._read:
            self._read[name] = _numbers(kind, self._file().read([name], use_threads=False).column(0).combine_chunks())
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def write(self, folder: Path, name: str) -> None:
        """Put the files of the table into `folder`, where the parquet file may be already."""
        path = folder / f"{name}.parquet"
        if path.exists() and os.path.samestat(path.stat(), os.fstat(self._handle.fileno())):
            return
        writer = TableWriter(folder, name, self._kinds)
        file = self._file()
        for group in range(file.num_row_groups):
            chunk = file.read_row_group(group, use_threads=False)
            writer.write([_numbers(kind, chunk.column(key).combine_chunks()) for key, kind in self._kinds.items()])
        writer.close()

    def _file(self) -> Any:
        from pyarrow import parquet

        return parquet.ParquetFile(self._handle)


def read_columns(path: Path) -> dict[str, Any]:
    """Return the columns of a parquet file: numpy arrays, dictionary arrays for names, lists for texts.

    Raises InputError when it is damaged.
    """
    import pyarrow as pa
    from pyarrow import ArrowException, parquet

    # Not parquet.read_table, which imports a part that takes a quarter of a second and is not needed.
    try:
        table = parquet.ParquetFile(path).read()
    except ArrowException as error:
        raise InputError(f"{path}: damaged ({error}), expected a table that a run has written") from None
    columns: dict[str, Any] = {}
    for key, parts in zip(table.column_names, table.columns, strict=True):
        column = parts.combine_chunks()
        if isinstance(column, pa.DictionaryArray):
            columns[key] = column
        else:
            columns[key] = column.to_pylist() if column.type == pa.string() else values(column)
    return columns


class _NumberedCsv:
    """CSV of whole numbers and names."""

    def __init__(self, path: Path, kinds: Mapping[str, Kind]) -> None:
        self._file = path.open("wb", buffering=0)
        self._block = np.empty((len(kinds), LINES), np.int64)
        self._text = CsvText(self._file, list(kinds), [kind.by_number if isinstance(kind, Words) else None for kind in kinds.values()])

    def write(self, columns: Sequence[Any] | Column) -> None:
        if isinstance(columns, np.ndarray) and columns.flags.c_contiguous:
            self._text.write(columns)
            return
        # A few lines at a time into one block that stays in the processor's cache: a copy of everything would cost as much as the text.
        for begin in range(0, len(columns[0]), LINES):
            for place, column in zip(self._block, columns, strict=True):
                part = column[begin : begin + LINES]
                place[: len(part)] = part
            self._text.write(self._block if len(part) == LINES else np.ascontiguousarray(self._block[:, : len(part)]))

    def close(self) -> None:
        self._file.close()


class _PlainCsv:
    """CSV of any columns, and without compiled code."""

    def __init__(self, path: Path, kinds: Mapping[str, Kind]) -> None:
        import pyarrow as pa
        from pyarrow import csv

        self._kinds = kinds
        fields = [pa.field(key, pa.string()) if isinstance(kind, Words) else _field(key, kind) for key, kind in kinds.items()]
        self._schema = pa.schema(fields)
        self._writer = csv.CSVWriter(path, self._schema, write_options=csv.WriteOptions(quoting_style="needed"))

    def write(self, columns: Sequence[Any] | Column) -> None:
        import pyarrow as pa

        arrays = [
            kind.cells(column) if isinstance(kind, Words) else _array(kind, list(map(cell, column)) if kind is str else column)
            for kind, column in zip(self._kinds.values(), columns, strict=True)
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _field(name: str, kind: Kind) -> Any:
    import pyarrow as pa

    if isinstance(kind, Words):
        return pa.field(name, pa.dictionary(pa.int32(), pa.string()))
    # Not null: without marks for it numbers are written in half the time.
    return pa.field(name, {int: pa.int64(), float: pa.float64(), str: pa.string()}[kind], nullable=False)


def _array(kind: Kind, column: Any) -> Any:
    if isinstance(kind, Words):
        return kind.array(column)
    return strings(column) if kind is str else numbers(column, np.int64 if kind is int else np.float64)


def _numbers(kind: Kind, column: Any) -> Column:
    return kind.numbers(column) if isinstance(kind, Words) else values(column)
