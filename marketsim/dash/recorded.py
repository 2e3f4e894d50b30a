"""A recorded run that is played again from its manifest as it is looked at: on, back, to any block, at any pace."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from marketsim.dash.watched import (
    BIDS_MOST,
    JOURNAL_LINES,
    LEASES_MOST,
    ORDERS_MOST,
    OrderRow,
    ProviderLine,
    Seen,
    lease_rows,
    order_rows,
    share,
)
from marketsim.devnet.journal import Journal
from marketsim.errors import InputError
from marketsim.export.results import read_record
from marketsim.metrics.panels import dashboard_figures
from marketsim.recording.record import Record
from marketsim.report.explain import explain
from marketsim.scenario.literals import parse_duration
from marketsim.simulation.live import LiveMarket
from marketsim.simulation.observed import base_of, check_same, recorded_scenario
from marketsim.simulation.play import versions

SPEEDS = (1.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0)
"""Simulated seconds a second."""
SLICE_SECONDS = 0.2
"""How long blocks are made within one look, so that a look is answered soon."""
SLICE_BLOCKS = 200
PLACES = 8
"""Moments of the run that are kept on the way, from which it goes on when somebody goes back."""
SETTLED_STATES = ("active", "insufficient_funds", "reclaiming")


class RecordedMarket:
    """A results folder as `marketsim.dash.watched.Watched`: it begins in block 0 and rests. Several threads may use it."""

    speeds: Sequence[float] = SPEEDS

    def __init__(
        self,
        folder: Path,
        *,
        provider: str | None = None,
        scenario: Path | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`provider` is whose daemon writes the log, the run's first one where that is None; `scenario` is the scenario's file where its
        traces are not where they were; `now` is the wall's clock in seconds.

        Raises InputError for a folder that has no run, a provider that is not in it, and a run that these packages do not give again.
        """
        self.folder = folder
        self.record: Record = read_record(folder)
        names = self.record.providers["name"]
        self.provider = names[0] if provider is None and names else provider
        if self.provider is not None and self.provider not in names:
            shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
            raise InputError(f"--provider: {provider} is not in this run, expected one of {shown}")
        self._scenario = recorded_scenario(self.record, base_of(self.record, folder, scenario))
        self._named = scenario
        self._lock = threading.RLock()
        self._now = now
        self._at = now()
        self._owed = 0.0
        self._lag = 0
        self._goal: int | None = None
        self.speed, self.paused = 3600.0, True
        self._begin()
        if self.record.meta["versions"] != versions():
            self._market.advance(self.last)  # the packages are others: better now than when somebody has looked at it for an hour
            check_same(self.record, self._market)
            self._begin()
        self._trouble = ""
        self._checked = False

    def _begin(self) -> None:
        """Start at block 0."""
        self._market = LiveMarket(self._scenario.model_copy(update={"record": "summary"}), seed=int(self.record.meta["seed"]), listens=True)
        names = self.record.providers["name"]
        slot = names.index(self.provider) if self.provider is not None else -1
        self._journal = Journal(slot, self._scenario.start.time, self._scenario.block_ms, self._order_name, host="recorded")
        self._market.listen(self._journal)
        self._kept: dict[int, tuple[LiveMarket, Journal]] = {}

    def _order_name(self, row: int) -> str:
        return self._market.order_name(row)

    @property
    def last(self) -> int:
        """The run's last block."""
        return self.record.blocks

    @property
    def height(self) -> int:
        """The block that is looked at."""
        return self._market.height

    # --- looked at -----------------------------------------------------------------------------------------------------------------------

    def look(self, provider: str | None, tab: str) -> Seen:
        """As `Watched.look`, after the blocks are made that are due by now."""
        with self._lock:
            self._play()
            figures = self._figures(provider)
            if tab in ("leases", "warnings"):
                return Seen(figures, lease_rows(figures, tab == "warnings"), trouble=self._trouble)
            if tab == "journal":
                return Seen(figures, lines=self.lines(JOURNAL_LINES), trouble=self._trouble)
            return Seen(figures, self._orders() if tab == "orders" else self._providers(), trouble=self._trouble)

    def lines(self, count: int) -> list[str]:
        """Return the last lines of the provider's daemon."""
        self._market.events_heard()
        return self._journal.lines(count)

    def _figures(self, provider: str | None) -> dict[str, Any]:
        self._market.events_heard()
        at = self._market.measured(self._journal.bid_times, self._journal.moved, self._lag)
        try:
            found = dashboard_figures(at, self._journal.recent, provider, LEASES_MOST)
        except KeyError:
            raise InputError(f"--provider: {provider!r} is not in this run") from None
        return found | {
            "time": self.time_of(at.height),
            "block_seconds": self._scenario.block_ms / 1000,
            "speed": self.speed,
            "paused": self.paused,
            "lag_blocks": self._lag,
            "name": self.folder.name,
            "scenario": self._scenario.name,
            "last": self.last,
            "goal": self._goal,
        }

    def time_of(self, height: int) -> str:
        """Return the moment of a block, as ISO text in UTC."""
        at = self._scenario.start.time + timedelta(milliseconds=height * self._scenario.block_ms)
        return f"{at:%Y-%m-%dT%H:%M:%S}Z"

    def _orders(self) -> list[OrderRow]:
        view = self._market.view()
        orders = [(each.created_at, each.ceiling, each.cpu, each.id) for each in view.orders(state="open", limit=ORDERS_MOST)]
        return order_rows(orders, [(each.order, each.price) for each in view.bids(state="open", limit=BIDS_MOST)])

    def _providers(self) -> list[ProviderLine]:
        return [
            ProviderLine(
                each.active_leases,
                share(each.cpu_leased, each.cpu),
                share(each.memory_leased, each.memory),
                each.submitted,
                each.won,
                share(each.won, each.submitted),
                "blocked" if each.blocked else "up" if each.up else "down",
                each.name,
            )
            for each in self._market.view().providers()
        ]

    # --- played --------------------------------------------------------------------------------------------------------------------------

    def _play(self) -> None:
        """Make the blocks that are due, as many of them as there is time for."""
        now = self._now()
        passed, self._at = now - self._at, now
        if self._goal is not None:
            target = self._goal
        elif not self.paused:
            self._owed += passed * self.speed * 1000 / self._scenario.block_ms
            target = min(self.last, self.height + int(self._owed))
        else:
            target = self.height
        begun, end = self.height, time.monotonic() + SLICE_SECONDS
        while self.height < target:
            self._advance(min(target, self.height + SLICE_BLOCKS))
            if time.monotonic() > end:
                break
        self._owed = 0.0 if self.paused else max(0.0, self._owed - (self.height - begun))
        self._lag = 0 if self._goal is not None else target - self.height
        self._owed -= self._lag  # what was not to be had in this time is not owed later
        if self.height == self._goal:
            self._goal = None
        if self.height == self.last:
            self.paused = True
            self._check()

    def _advance(self, to: int) -> None:
        """Go on to a block, and keep the moments on the way that are to be kept."""
        step = max(1, -(-self.last // PLACES))
        while self.height < to:
            self._market.advance(min(to, (self.height // step + 1) * step))
            if self.height % step == 0 and self.height not in self._kept and not self._market.needs_replay:
                self._market.events_heard()
                self._kept[self.height] = (self._market.fork(), self._journal.copy())

    def _check(self) -> None:
        if not self._checked:
            self._checked = True
            try:
                check_same(self.record, self._market)
            except InputError as error:
                self._trouble = " ".join(error.lines)

    def go(self, height: int) -> None:
        """Stand in a block, however long it takes to come there."""
        with self._lock:
            self._aim(height)
            while self._goal is not None:
                self._play()

    def _aim(self, height: int) -> None:
        if not 0 <= height <= self.last:
            raise InputError(f"block {height:,} is not in this run, which has blocks 0 to {self.last:,}")
        if height < self.height:
            places = [each for each in self._kept if each <= height]
            if places:
                market, journal = self._kept[max(places)]
                self._market, self._journal = market.fork(), journal.copy()
                self._market.listen(self._journal)
            else:
                kept = self._kept
                self._begin()
                self._kept = kept
        self._goal, self._owed = height, 0.0
        if height == self.height:
            self._goal = None

    # --- told ----------------------------------------------------------------------------------------------------------------------------

    def set_clock(self, *, speed: float | None = None, paused: bool | None = None) -> str:
        """As `Watched.set_clock`."""
        with self._lock:
            self._play()
            if speed is not None:
                self.speed = speed
            if paused is not None:
                self.paused, self._goal, self._owed = paused, None, 0.0
            return self._again(self.height)

    def step(self, blocks: int) -> str:
        """As `Watched.step`; it rests there."""
        with self._lock:
            self._play()
            self.paused = True
            self._aim(min(max(0, (self.height if self._goal is None else self._goal) + blocks), self.last))
            return self._again(self.height if self._goal is None else self._goal)

    def seek(self, where: str) -> str:
        """As `Watched.seek`; what played goes on playing from there."""
        with self._lock:
            self._aim(self.block_of(where))
            return self._again(self.height if self._goal is None else self._goal)

    def block_of(self, where: str) -> int:
        """Return the block that "1200", "end", "12h" from the start, "+2h" and "-2h" from here mean. Raises InputError for others."""
        text = where.strip().replace(",", "")
        if text == "end":
            return self.last
        sign = text[:1] if text[:1] in ("+", "-") else ""
        rest = text[len(sign) :]
        try:
            blocks = int(rest) if rest.isascii() and rest.isdigit() else parse_duration(rest).blocks(self._scenario.block_ms)
        except ValueError:
            raise InputError(f"{where!r} is no place in a run, write a block (1200), a time from its start (12h), +2h, -2h, end") from None
        found = self.height + (blocks if sign == "+" else -blocks) if sign else blocks
        if not 0 <= found <= self.last:
            raise InputError(f"block {found:,} is not in this run, which has blocks 0 to {self.last:,}")
        return found

    def why(self, target: str) -> list[str]:
        """As `Watched.why`: of the whole run, what came after this block too."""
        return str(explain(self.record, target)).splitlines()

    # --- the same as commands ------------------------------------------------------------------------------------------------------------

    def _again(self, height: int) -> str:
        words = ["marketsim", "dash", str(self.folder), "--at", str(height)]
        return shlex.join(words + ([] if self._named is None else ["--scenario", str(self._named)]))

    def command(self, tab: str) -> str:
        """As `Watched.command`: what a devnet would be asked."""
        return LISTS[tab]

    def commands(self, target: str) -> list[str]:
        """As `Watched.commands`."""
        return [shlex.join(["marketsim", "explain", str(self.folder), target]), *chain_commands(target)]


LISTS = {
    "leases": "virtengine query market lease list --state active",
    "orders": "virtengine query market order list --state open",
    "providers": "virtengine query provider list",
    "warnings": "virtengine query escrow accounts open",
    "journal": f"journalctl -u provider-daemon -n {JOURNAL_LINES}",
}
"""The chain's command that lists what a table shows."""


def chain_commands(target: str) -> list[str]:
    """Return the chain's commands that show an object, and those that act on it: of a lease, an order or a provider, by its name."""
    parts = target.split("/")
    if len(parts) < 4:
        return [shlex.join(["virtengine", "query", "provider", "get", target])]
    owner, dseq, gseq, oseq = parts[:4]
    order = f"--owner {shlex.quote(owner)} --dseq {dseq} --gseq {gseq} --oseq {oseq}"
    if len(parts) == 4:
        return [
            f"virtengine query market order get {order}",
            f"virtengine query market bid list {order}",
            f"virtengine tx deployment close --dseq {dseq} --from {shlex.quote(owner)}",
        ]
    provider = shlex.quote(parts[4])
    return [
        f"virtengine query market lease get {order} --provider {provider}",
        f"virtengine query escrow accounts open deployment/{owner}/{dseq}",
        f"virtengine tx escrow deposit deployment 1000000uve --dseq {dseq} --owner {shlex.quote(owner)} --from {shlex.quote(owner)}",
        f"virtengine tx market lease withdraw {order} --provider {provider} --from {provider}",
        f"virtengine tx market bid close {order} --provider {provider} --from {provider}",
        f"virtengine tx market lease close {order} --provider {provider} --from {shlex.quote(owner)}",
    ]


__all__ = ["LISTS", "SPEEDS", "RecordedMarket", "chain_commands"]
