"""What a run is compared by: its outcome in canonical columns, and their digest; of the reference market, and of a market of cohorts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

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


class MarketOutcome(NamedTuple):
    """All that a market of cohorts decides under rule set `seed`, as int64 arrays; amounts with fractions are pairs (whole uve, atto-uve).

    A row an order, by deployment and then by number: deployment (its place among the plans) and listing (1, then 2 … for one that is
    listed again); fate, winner, start, end and bids as in Outcome; runs_from (height, -1 while it does not run, 0 without a lease); stage
    (how far it got, by `Stage`); moved (orders, 2), what the lease has moved to the provider; taken, the network's part of what was paid
    out; unpaid (orders, 2), the fraction that waits for the next pay-out; forgiven (orders, 2).

    A row a deployment, by its place among the plans: opened (1, 0 where the tenant could not pay the deposit), top_ups (that its tenant
    tried), funds (deployments, 2) left in its account, dust (deployments, 2).

    A row a provider: revenue (providers, days) net, by the block of the pay-out; tally (providers, 6): bids submitted, accepted, won, lost
    and closed, and coins; declined (providers, codes of `Decline`); used (providers, 4), leased x blocks after the warm-up by resource.

    tenants: coins of each, whole uve. latencies: bids by latency in milliseconds, as `Engine.latency`. totals: deposited, paid, fees,
    refunded, whole uve, then held, dust and shortfall, pairs. series (samples, 14): the time series, columns as `Sample`.
    """

    deployment: Column
    listing: Column
    fate: Column
    winner: Column
    start: Column
    runs_from: Column
    end: Column
    bids: Column
    stage: Column
    moved: Column
    taken: Column
    unpaid: Column
    forgiven: Column
    opened: Column
    top_ups: Column
    funds: Column
    dust: Column
    revenue: Column
    tally: Column
    declined: Column
    used: Column
    tenants: Column
    latencies: Column
    totals: Column
    series: Column


class Columns(Protocol):
    """A named tuple of int64 arrays."""

    def _asdict(self) -> Mapping[str, Any]: ...


def digest(outcome: Columns) -> str:
    """SHA-256 (hex) over name, shape and little-endian int64 of every column, in their order."""
    total = hashlib.sha256()
    for name, column in outcome._asdict().items():
        total.update(f"{name}{column.shape}".encode())
        total.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return total.hexdigest()


def first_difference(left: Columns, right: Columns) -> str | None:
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
