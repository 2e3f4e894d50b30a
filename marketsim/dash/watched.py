"""What the dashboard asks of the market that it shows, whether a devnet that runs or a recorded run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

LEASES_MOST = 10_000
"""Leases that are listed, those whose funds end first."""
ORDERS_MOST = 1_000
BIDS_MOST = 1_000
JOURNAL_LINES = 500
TABS = ("leases", "orders", "providers", "warnings", "journal")
"""What can be looked at below the panel, one at a time."""


class LeaseRow(NamedTuple):
    """A lease that is not closed: hours that its funds last, its share of them in uve, its price in uve a block."""

    hours: float
    balance: float
    price: float
    state: str
    id: str


class OrderRow(NamedTuple):
    """An open order: the block it was created in, its ceiling in uve a block, millicores, bids on it and the lowest (None: none)."""

    since: int
    ceiling: Decimal
    cpu: int
    bids: int
    lowest: Decimal | None
    id: str


class ProviderLine(NamedTuple):
    """A provider: active leases, the shares of its processors and memory that are leased (None: it has none), bids made and won."""

    leases: int
    cpu: float | None
    memory: float | None
    bids: int
    won: int
    share: float | None
    state: str
    id: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: figures as `DevnetNode.dashboard` answers them, and what the table that was asked for has."""

    figures: dict[str, Any]
    rows: Sequence[LeaseRow] | Sequence[OrderRow] | Sequence[ProviderLine] = ()
    lines: Sequence[str] = ()
    trouble: str = ""
    """What somebody should know, such as a run that is not the recorded one."""
    more: dict[str, Any] = field(default_factory=dict)


class Watched(Protocol):
    """A market that can be looked at and whose clock can be told. Calls may take long, and come from several threads."""

    speeds: Sequence[float]
    """Speeds to choose from, simulated seconds a second."""

    def look(self, provider: str | None, tab: str) -> Seen:
        """Return the figures of a provider (None: of all) and the rows or lines of one of TABS."""

    def set_clock(self, *, speed: float | None = None, paused: bool | None = None) -> str:
        """Set the pace, rest or go on; return the command that does the same."""

    def step(self, blocks: int) -> str:
        """Go so many blocks on, or back where they are negative; return the command that does it. Raises InputError where it cannot."""

    def seek(self, where: str) -> str:
        """Go to a block ("1200") or a time from the start ("12h"), or on ("+2h") or back ("-2h") by one; return the command."""

    def why(self, target: str) -> list[str]:
        """Return what is known of an order, a lease, a bid or a provider, as `marketsim explain` tells it. Raises InputError for none."""

    def command(self, tab: str) -> str:
        """Return the command that lists what a table shows."""

    def commands(self, target: str) -> list[str]:
        """Return commands about one object: that show it, and that act on it."""


def order_rows(orders: Sequence[Any], bids: Sequence[Any]) -> list[OrderRow]:
    """Return open orders with the bids on them: `orders` are (created_at, ceiling, cpu, id), `bids` are (order, price)."""
    prices: dict[str, list[Decimal]] = {}
    for order, price in bids:
        prices.setdefault(order, []).append(Decimal(price))
    found = []
    for since, ceiling, cpu, id in orders:
        on = prices.get(id, [])
        found.append(OrderRow(since, Decimal(ceiling), cpu, len(on), min(on, default=None), id))
    return found


def lease_rows(figures: dict[str, Any], warned: bool) -> list[LeaseRow]:
    """Return the leases that figures list; with `warned` active ones alone that have less than 24 h of funds."""
    found = [
        LeaseRow(each["hours"], each["balance_uve"], each["price_uve"], "active" if each["active"] else "out of funds", each["lease"])
        for each in figures["escrow"]["lowest"]
    ]
    return [row for row in found if row.state == "active" and row.hours < figures["escrow"]["warning_hours"]] if warned else found


def printable(text: str) -> str:
    """Return a text in which nothing tells a terminal what to do, whatever names a chain has."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


def share(part: float, whole: float) -> float | None:
    """Return a share, None of nothing."""
    return part / whole if whole else None


__all__ = [
    "BIDS_MOST",
    "JOURNAL_LINES",
    "LEASES_MOST",
    "ORDERS_MOST",
    "TABS",
    "LeaseRow",
    "OrderRow",
    "ProviderLine",
    "Seen",
    "Watched",
    "lease_rows",
    "order_rows",
    "printable",
    "share",
]
