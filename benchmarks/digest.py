"""What a run of the reference market is compared by: its outcome in canonical columns, and their digest."""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[np.int64]


class Fate(IntEnum):
    """Where an order, or the lease it became, stands after the last block."""

    OPEN = 0
    TIMED_OUT = 1
    ACTIVE = 2
    INSUFFICIENT_FUNDS = 3
    CLOSED_COMPLETED = 4
    CLOSED_BY_TENANT = 5
    CLOSED_FUNDS = 6
    CLOSED_BY_PROVIDER = 7


class Outcome(NamedTuple):
    """All that a run decides, as int64 arrays.

    A row an order: fate (Fate), winner (provider's index, −1 without a lease), start (height at which the
    lease was made, else 0), end (height at which the lease closed or the order timed out, else 0), bids (that
    the order received and the chain accepted), top_ups (made), paid_whole and paid_atto (what the lease moved
    to the provider up to its last settlement, with the fraction that was not paid out).

    A row a provider: revenue (providers, days), whole uve paid out in the blocks 14,400 d + 1 …
    14,400 (d + 1); provider_bids (accepted) and provider_wins.
    """

    fate: Column
    winner: Column
    start: Column
    end: Column
    bids: Column
    top_ups: Column
    paid_whole: Column
    paid_atto: Column
    revenue: Column
    provider_bids: Column
    provider_wins: Column


def digest(outcome: Outcome) -> str:
    """SHA-256 (hex) over name, shape and little-endian int64 of every column in the order of Outcome."""
    total = hashlib.sha256()
    for name, column in outcome._asdict().items():
        total.update(f"{name}{column.shape}".encode())
        total.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return total.hexdigest()


def first_difference(left: Outcome, right: Outcome) -> str | None:
    """The first cell at which two outcomes part, in words; None when they are equal."""
    for name, column in left._asdict().items():
        other = getattr(right, name)
        if column.shape != other.shape:
            return f"{name}: shape {column.shape} against {other.shape}"
        apart = np.argwhere(column != other)
        if len(apart):
            cell = tuple(int(i) for i in apart[0])
            return f"{name}{list(cell)}: {column[cell]} against {other[cell]} ({len(apart)} cells differ)"
    return None
