"""What the provider daemon of a devnet writes down: each order that its engine saw, which filter refused it, the price, what became of
the bid."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from copy import copy
from datetime import datetime, timedelta

import numpy as np

from marketsim.chain.columns import Event, EventKind
from marketsim.chain.rendering import amount
from marketsim.chain.status import SEED_CODES, Status
from marketsim.kernel.table_set import Table
from marketsim.market.tables import DESK_SHIFT, ORDER_SHIFT, BidRow
from marketsim.metrics.panels import RecentDays
from marketsim.metrics.snapshot import BidTimes, Moved
from marketsim.recording.record import DECLINE_CODES
from marketsim.scenario.faults import FAULT_KINDS

UNIT = "provider-daemon"
LINES_KEPT = 20_000
"""Of the journal, the last ones that can be asked for."""
_BY_SLOT = {int(kind): word for kind, word in ((EventKind.BID_WON, "won"), (EventKind.BID_LOST, "lost"), (EventKind.BID_CLOSED, "closed"))}

_DOWN, _BLOCKED = (
    ("daemon: host is down", "daemon: host is up again"),
    ("chain: provider blocked by governance", "chain: provider unblocked"),
)
_OF_FAULTS = {
    "connectivity": ("chain: connection lost", "chain: connected again"),
    "workloads_fail": ("cluster: workloads do not start", "cluster: workloads start again"),
    "usage": ("usage: reports are short or late", "usage: reports are whole and in time again"),
    "settlement": ("settlement: withdrawals have stopped", "settlement: withdrawals go on"),
}
"""What the daemon says when a fault of its provider begins, and when it ends."""
_OWN = (EventKind.OUTAGE, EventKind.PROVIDER_FAULT, EventKind.PROVIDER_BLOCKED, EventKind.PROVIDER_UNBLOCKED)


def _trouble(kind: int, begins: int, fault: int) -> str:
    """What the daemon says of an event of its own provider; `fault` is the number of the fault's kind."""
    if kind == EventKind.OUTAGE:
        return _DOWN[1 - begins]
    if kind == EventKind.PROVIDER_FAULT:
        name = next(name for name, each in FAULT_KINDS.items() if each.number == fault)
        return _OF_FAULTS[name][1 - begins]
    return _BLOCKED[int(kind == EventKind.PROVIDER_UNBLOCKED)]


class Journal:
    """Listens to a market (`marketsim.simulation.play.Listener`) and keeps what is about one provider, and what metrics want to know."""

    def __init__(self, slot: int, epoch: datetime, block_ms: int, order_name: Callable[[int], str], host: str = "devnet") -> None:
        """`slot` is the provider's row, `order_name` says what an order's row is called, `host` is what its machine is called."""
        self.bid_times = BidTimes(slot + 1)
        self.moved = Moved()
        self.recent = RecentDays(block_ms)
        self._slot = slot
        self._epoch = epoch
        self._block_ms = block_ms
        self._order_name = order_name
        self._host = host
        self._lines: deque[tuple[int, int, str]] = deque(maxlen=LINES_KEPT)
        self._height = 0

    def copy(self) -> Journal:
        """Return the journal of a copied market, as far as it is."""
        other = copy(self)
        other._lines = self._lines.copy()
        other.bid_times, other.moved = copy(self.bid_times), copy(self.moved)
        other.bid_times.counts, other.bid_times.seconds = self.bid_times.counts.copy(), self.bid_times.seconds.copy()
        other.moved._pieces = list(self.moved._pieces)
        other.recent = self.recent.copy()
        return other

    def say(self, height: int, text: str, place: int) -> None:
        """Write a line of a block; within one, those of a lower place come first."""
        self._lines.append((height, place, text))

    def lines(self, count: int, more: Iterable[tuple[int, str]] = ()) -> list[str]:
        """Return the last lines, the oldest first, as `journalctl` prints them, with `more` among them: height, text."""
        lines = sorted([*self._lines, *((height, 3, text) for height, text in more)], key=lambda line: line[:2])
        return [self._line(height, text) for height, _, text in lines[-count:]] if count > 0 else []

    def _line(self, height: int, text: str) -> str:
        at = self._epoch + timedelta(milliseconds=height * self._block_ms)
        return f"{at:%b %d %H:%M:%S} {self._host} {UNIT}[1]: height={height} {text}"

    # --- as a listener -----------------------------------------------------------------------------------------------------------

    def events(self, rows: Table) -> None:
        """Take rows of events."""
        self.moved.add(rows)
        self.recent.events(rows)
        kinds = rows[:, Event.kind]
        mine = np.isin(kinds, list(_BY_SLOT)) & (rows[:, Event.other] == self._slot)
        for row in rows[mine].tolist():
            order = self._order_name(row[Event.subject])
            what = _BY_SLOT[row[Event.kind]]
            self.say(row[Event.height], f"bid-engine: bid {what} order={order}", 2)
        for row in rows[np.isin(kinds, _OWN) & (rows[:, Event.subject] == self._slot)].tolist():
            self.say(row[Event.height], _trouble(row[Event.kind], row[Event.other], row[Event.whole]), 0)

    def bids(self, rows: Table) -> None:
        """Take bids that were submitted."""
        self.bid_times.add(rows)
        self.recent.bids(rows)
        for row in rows[rows[:, BidRow.desk] == self._slot].tolist():
            price = amount(row[BidRow.price], row[BidRow.price_atto])
            head = f"bid-engine: bid submitted order={self._order_name(row[BidRow.order])} price={price}uve/block"
            status = Status(row[BidRow.status])
            if status == Status.Ok:
                seconds = "" if row[BidRow.latency] < 0 else f" after={row[BidRow.latency] / 1000:.1f}s"
                self.say(row[BidRow.height], f"{head}{seconds} accepted by the chain", 1)
            else:
                why = SEED_CODES.get(status, "other")
                self.say(row[BidRow.height], f"{head} refused by the chain code={status.name} reason={why}", 1)

    def declines(self, rows: Table) -> None:
        """Take what engines did not bid on."""
        at = np.maximum.accumulate(np.where(rows < 0, np.arange(len(rows)), -1)) if len(rows) else rows
        desks = (rows & ((1 << ORDER_SHIFT) - 1)) >> DESK_SHIFT
        for place in np.flatnonzero((rows >= 0) & (desks == self._slot)).tolist():
            height = ~int(rows[at[place]]) if at[place] >= 0 else self._height
            number = int(rows[place])
            reason = DECLINE_CODES[number & ((1 << DESK_SHIFT) - 1)]
            self.say(height, f"bid-engine: no bid order={self._order_name(number >> ORDER_SHIFT)} filter={reason}", 0)
        if len(rows) and at[-1] >= 0:
            self._height = ~int(rows[at[-1]])


__all__ = ["UNIT", "Journal"]
