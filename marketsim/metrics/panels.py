"""The figures of the training document's dashboard for a running market: of one provider or of all, over the last hour and days."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.columns import Event, EventKind
from marketsim.market.tables import BidRow
from marketsim.metrics.series import CLOSE_REASONS, HOUR_MS, WARNING_HOURS, MarketSnapshot
from marketsim.money.units import ATTO

Numbers = NDArray[np.int64]
DAY_MS: Final = 24 * HOUR_MS
TARGET_SECONDS: Final = 5.0
"""The document's target for the time of a bid."""
LOWEST: Final = 20
"""Leases that are listed where nobody says otherwise, those whose funds end first."""
_SETTLED, _WON, _BIDS = "settled", "won", "bids"
_COLUMNS: Final = {
    _SETTLED: [Event.height, Event.subject, Event.whole, Event.atto],
    _WON: [Event.height, Event.other],
    _BIDS: [BidRow.height, BidRow.desk, BidRow.latency],
}


class RecentDays:
    """What the windows of a dashboard need of two days: settlements, bids won, bids made; rows that are older are forgotten."""

    def __init__(self, block_ms: int) -> None:
        self._blocks = 2 * DAY_MS // block_ms
        self._pieces: dict[str, list[Numbers]] = {name: [] for name in _COLUMNS}

    def copy(self) -> RecentDays:
        """Return the same for a copied market."""
        other = copy(self)
        other._pieces = {name: list(pieces) for name, pieces in self._pieces.items()}
        return other

    def events(self, rows: Numbers) -> None:
        """Take rows of events (`Event`)."""
        for name, kind in ((_SETTLED, EventKind.SETTLED), (_WON, EventKind.BID_WON)):
            self._keep(name, rows[rows[:, Event.kind] == kind])

    def bids(self, rows: Numbers) -> None:
        """Take rows of placed bids (`BidRow`)."""
        self._keep(_BIDS, rows)

    def _keep(self, name: str, rows: Numbers) -> None:
        if len(rows):
            pieces = self._pieces[name]
            pieces.append(rows[:, _COLUMNS[name]])
            oldest = int(rows[-1, _COLUMNS[name][0]]) - self._blocks
            while int(pieces[0][-1, 0]) <= oldest:
                del pieces[0]

    def rows(self, name: str) -> Numbers:
        """Return what is kept of a kind, int64 (rows, columns of `_COLUMNS`)."""
        pieces = self._pieces[name]
        if len(pieces) > 1:
            pieces[:] = [np.concatenate(pieces)]
        return pieces[0] if pieces else np.zeros((0, len(_COLUMNS[name])), np.int64)


def dashboard_figures(at: MarketSnapshot, recent: RecentDays, provider: str | None = None, lowest: int = LOWEST) -> dict[str, Any]:
    """Return the panels of the document's dashboard at a market's height, of one provider or of all together (None); amounts are uve,
    shares and changes are fractions, None where nothing is to be divided by.

    Revenue is what settlements moved within the last day of market time, the change is against the day before that; a market that
    is younger than two days has none. Bid success and bid time are of the last hour, the reasons for closing of the last day, the fill
    rate of all that was ordered. `lowest` is how many leases are listed, those whose funds end first. Raises KeyError for a provider that
    is not there.
    """
    chosen = np.ones(len(at.providers), bool)
    if provider is not None:
        if provider not in at.providers:
            raise KeyError(provider)
        chosen = np.asarray([name == provider for name in at.providers])
    hour, day = HOUR_MS // at.block_ms, DAY_MS // at.block_ms
    return {
        "height": at.height,
        "provider": provider,
        "leases": _leases(at, chosen),
        "revenue": _revenue(at, recent.rows(_SETTLED), chosen, day),
        "bids": _bids(at.height - hour, recent, chosen),
        "orders": _orders(at),
        "escrow": _escrow(at, chosen, lowest),
        "closed": _closed(at, chosen, at.height - day),
        "declined": {code: n for code, counts in at.declined.items() if (n := int(counts[chosen].sum()))},
    }


def _leases(at: MarketSnapshot, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    mine = chosen[at.lease_provider]
    by_provider = np.bincount(at.lease_provider[at.lease_active], minlength=len(at.providers))
    limited = chosen & (at.lease_capacity >= 0)
    capacity, within = int(at.lease_capacity[limited].sum()), int(by_provider[limited].sum())
    return {
        "active": int((mine & at.lease_active).sum()),
        "insufficient": int((mine & ~at.lease_active).sum()),
        "capacity": capacity if limited.any() else None,
        "limited": within,
        "share": _share(within, capacity),
    }


def _revenue(at: MarketSnapshot, settled: Numbers, chosen: NDArray[np.bool_], day: int) -> dict[str, Any]:
    settled = settled[chosen[at.all_provider[settled[:, 1]]]]
    amounts = settled[:, 2] + settled[:, 3] / ATTO

    def moved(after: int, upto: int) -> float:
        return float(amounts[(settled[:, 0] > after) & (settled[:, 0] <= upto)].sum())

    last = moved(at.height - day, at.height)
    before = moved(at.height - 2 * day, at.height - day) if at.height >= 2 * day else 0.0
    return {"day_uve": last, "change": last / before - 1 if before else None}


def _bids(since: int, recent: RecentDays, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    bids, won = recent.rows(_BIDS), recent.rows(_WON)
    bids = bids[(bids[:, 0] > since) & chosen[bids[:, 1]]]
    wins = int((chosen[won[:, 1]] & (won[:, 0] > since)).sum())
    times = bids[bids[:, 2] >= 0, 2]  # a bid by hand takes no time
    return {
        "hour": len(bids),
        "won": wins,
        "success": _share(wins, len(bids)),
        "seconds": float(times.mean()) / 1000 if len(times) else None,
        "target_seconds": TARGET_SECONDS,
    }


def _orders(at: MarketSnapshot) -> dict[str, Any]:
    ended = sum(at.orders_ended.values())
    return {
        "created": at.orders_created,
        "open": at.orders_open,
        "leased": at.orders_leased,
        "ended": ended,
        "fill_rate": _share(at.orders_leased, at.orders_leased + ended),
    }


def _escrow(at: MarketSnapshot, chosen: NDArray[np.bool_], most: int) -> dict[str, Any]:
    mine = np.flatnonzero(chosen[at.lease_provider] & (at.lease_price > 0))
    hours = at.lease_balance[mine] / at.lease_price[mine] * at.block_ms / HOUR_MS
    order = np.argsort(hours, kind="stable")[:most]
    lowest = [
        {
            "lease": "/".join(at.lease_ids[row]),
            "active": bool(at.lease_active[row]),
            "balance_uve": float(at.lease_balance[row]),
            "price_uve": float(at.lease_price[row]),
            "hours": left,
        }
        for row, left in zip(mine[order].tolist(), hours[order].tolist(), strict=True)
    ]
    warned = int((at.lease_active[mine] & (hours < WARNING_HOURS)).sum())
    return {"warnings": warned, "warning_hours": WARNING_HOURS, "lowest": lowest}


def _closed(at: MarketSnapshot, chosen: NDArray[np.bool_], since: int) -> dict[str, int]:
    gone = np.flatnonzero((at.all_closed > since) & (at.all_closed >= 0) & chosen[at.all_provider])
    reasons: Sequence[str] = [at.all_ended[row] for row in gone.tolist()]
    return {reason: reasons.count(reason) for reason in CLOSE_REASONS}


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


__all__ = ["RecentDays", "dashboard_figures"]
