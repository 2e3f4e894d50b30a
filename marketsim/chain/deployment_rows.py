"""The rows of deployments by owner and sequence number, in a few bytes each: there are hundreds of thousands in a market that goes on."""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.columns import Deployment
from marketsim.chain.state import State

NEW_MAX = 4_096
"""Deployments that are kept in a dictionary until they are sorted among the others."""
_MASK = (1 << 64) - 1
_BY_DSEQ, _BY_OWNER = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F


class DeploymentRows:
    """Finds the row of a deployment by the row of its owner's wallet and its dseq."""

    def __init__(self) -> None:
        self._known = 0
        self._new: dict[tuple[int, int], int] = {}
        self._keys: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._rows: NDArray[np.int64] = np.empty(0, np.int64)

    def copy(self) -> DeploymentRows:
        """Return what finds those of a copied chain."""
        other = copy(self)
        other._new = dict(self._new)
        return other

    def find(self, chain: State, owner: int, dseq: int) -> int:
        """Return a row, -1 for none."""
        count = int(chain.globals.deployments)
        if self._known < count:
            self._take(chain, count)
        row = self._new.get((owner, dseq), -1)
        if row >= 0:
            return row if row < count else -1
        key = np.uint64((dseq * _BY_DSEQ + owner * _BY_OWNER) & _MASK)
        begin, end = np.searchsorted(self._keys, key, "left"), np.searchsorted(self._keys, key, "right")
        for found in self._rows[begin:end].tolist():
            if found < count and chain.deployments[found, [Deployment.owner, Deployment.dseq]].tolist() == [owner, dseq]:
                return int(found)
        return -1

    def _take(self, chain: State, count: int) -> None:
        """Take deployments that are new."""
        known, self._known = self._known, count
        if count - known + len(self._new) <= NEW_MAX:
            keys = chain.deployments[known:count, [Deployment.owner, Deployment.dseq]].tolist()
            self._new.update(zip(map(tuple, keys), range(known, count), strict=True))
            return
        self._new.clear()
        first = len(self._rows)  # rows are taken in their order: those of the dictionary are the ones behind the sorted
        owners, dseqs = (chain.deployments[first:count, column].astype(np.uint64) for column in (Deployment.owner, Deployment.dseq))
        added = dseqs * np.uint64(_BY_DSEQ) + owners * np.uint64(_BY_OWNER)
        keys_now, rows_now = np.concatenate([self._keys, added]), np.concatenate([self._rows, np.arange(first, count)])
        order = np.argsort(keys_now, kind="stable")
        self._keys, self._rows = keys_now[order], rows_now[order]


__all__ = ["DeploymentRows"]
