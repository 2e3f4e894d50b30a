"""Takes the long tables of a run while it goes on: what is more than a chunk goes to files at once.

Bids, declines, settlements and events are many times the orders. Each is kept in memory up to one chunk; from then on chunk after chunk is
encoded and written, into the results folder of the run or, when it has none, into a temporary one that goes with the record.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marketsim.export.table_files import Kind, StoredTable, TableWriter
from marketsim.recording.record import COLUMNS, Column
from marketsim.recording.rows import ColumnChunks


class Spill:
    """Where rows go that are too many for memory."""

    def __init__(self, results: Path | None = None, keeps: bool = False) -> None:
        """`results` is the folder in which the run's results are being written, None when nobody asked for them. Where chunks must be kept
        apart until the end, because the market may be copied (`keeps`), they stand in a temporary folder that the copies share."""
        self.results = results
        self.keeps = keeps
        self.chunks = tempfile.TemporaryDirectory(prefix="marketsim-chunks-") if keeps else None
        self.temporary: tempfile.TemporaryDirectory[str] | None = None

    def folder(self) -> Path:
        """Return the folder; a temporary one is made when it is first needed."""
        if self.results is not None:
            return self.results
        if self.temporary is None:
            self.temporary = tempfile.TemporaryDirectory(prefix="marketsim-rows-")
        return Path(self.temporary.name)

    def kept(self, block: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return a block as it is read back from a file of the shared folder, which lasts as long as some market has it."""
        assert self.chunks is not None
        handle, path = tempfile.mkstemp(dir=self.chunks.name)
        with open(handle, "wb") as file:
            block.tofile(file)
        return np.memmap(path, np.int64, "r", shape=block.shape)

    def copy(self) -> Spill:
        """Return the place of a copied market, which shares the chunks until now."""
        other = Spill()
        other.keeps, other.chunks = self.keeps, self.chunks
        return other


class LongTable:
    """One table of the record whose rows come by and by."""

    def __init__(self, name: str, spill: Spill, words: Mapping[str, Kind], places: Sequence[int] | None = None) -> None:
        """Begin the table `name` of the record.

        `words` are the names of its columns that are numbers of names. `places` says where in a row each column stands, None when
        rows have the columns in their order.
        """
        self._name = name
        self._spill = spill
        self._kinds: dict[str, Kind] = {key: words.get(key, int) for key in COLUMNS[name]}
        self._writer: TableWriter | None = None
        self._kept: list[NDArray[np.int64]] = []
        self.chunks = ColumnChunks(places or range(len(self._kinds)), self._write)
        """Takes the rows."""

    def copy(self, spill: Spill, words: Mapping[str, Kind]) -> LongTable:
        """Return the table of a copied market, which shares the chunks that are full."""
        other = copy(self)
        other._spill, other._kept = spill, list(self._kept)
        other._kinds = {**self._kinds, **words}
        other.chunks = self.chunks.copy(other._write)
        return other

    def finish(self) -> Mapping[str, Column]:
        """Return the table, from memory or from its file."""
        rest = self.chunks.rest()
        self._spill.keeps = False  # nobody copies what is finished
        for block in self._kept:
            self._write(block)
        if self._writer is None:
            return dict(zip(self._kinds, rest, strict=True))
        if rest.shape[1]:
            self._write(rest)
        self._writer.close()
        path = self._spill.folder() / f"{self._name}.parquet"
        return StoredTable(path, self._kinds, self._writer.rows, self._spill.temporary)

    def _write(self, block: NDArray[np.int64]) -> None:
        if self._spill.keeps:
            self._kept.append(self._spill.kept(block))
            return
        if self._writer is None:
            csv = self._spill.results is not None
            self._writer = TableWriter(self._spill.folder(), self._name, self._kinds, csv=csv)
        self._writer.write(block)
