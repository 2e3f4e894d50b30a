"""The last events of a held market, all kinds of them, beside what its record keeps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import copy
from typing import NamedTuple

import numpy as np

from marketsim.chain.columns import Event
from marketsim.kernel.table_set import Table


class HeardRows(NamedTuple):
    """Rows of `Event` from number `first` on; `lost` were asked for and are not kept any more."""

    rows: Table
    first: int
    lost: int


class Heard:
    """Takes every event, keeps the last ones and hands on to the record what its level keeps."""

    def __init__(self, keeps: int, mask: int, take: Callable[[Table], None]) -> None:
        """`keeps` is how many rows stay at least, `mask` has a bit for each kind of event that `take` gets."""
        self.total = 0
        """Events so far."""
        self._keeps = keeps
        self._mask = mask
        self._take = take
        self._pieces: deque[tuple[int, Table]] = deque()

    def copy(self, take: Callable[[Table], None]) -> Heard:
        """Return what a copied market has heard."""
        other = copy(self)
        other._take, other._pieces = take, deque(self._pieces)
        return other

    def __call__(self, rows: Table) -> None:
        """Take rows of `Event`, which are the caller's again afterwards."""
        wanted = rows[self._mask >> rows[:, Event.kind] & 1 == 1]
        if len(wanted):
            self._take(np.ascontiguousarray(wanted))
        self._pieces.append((self.total, rows.copy()))
        self.total += len(rows)
        while len(self._pieces) > 1 and self.total - self._pieces[1][0] >= self._keeps:
            self._pieces.popleft()

    def after(self, number: int, limit: int) -> HeardRows:
        """Return up to `limit` rows from event `number` on, counted from 0."""
        first = self._pieces[0][0] if self._pieces else 0
        begin = max(number, first)
        found = [rows[max(0, begin - at) : begin - at + limit] for at, rows in self._pieces if at < begin + limit]
        rows = np.concatenate(found)[:limit] if found else np.empty((0, Event.width), np.int64)
        return HeardRows(rows, begin, begin - number)


__all__ = ["Heard", "HeardRows"]
