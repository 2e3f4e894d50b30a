"""A market that is held: started, told, advanced and asked, while it runs; everything that reaches a running market goes through here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any, NamedTuple, Self
from weakref import WeakSet

from marketsim.chain.columns import G, Lease, LeaseState
from marketsim.chain.edge import Receipt
from marketsim.chain.parsing import Parsed
from marketsim.errors import InputError
from marketsim.market.fingerprint import settled
from marketsim.metrics.series import MarketSnapshot
from marketsim.metrics.snapshot import BidTimes, Moved, snapshot
from marketsim.metrics.summary import summarize
from marketsim.money.units import DAY_MS, HOUR_MS
from marketsim.recording.record import Record
from marketsim.recording.trail import trail_of
from marketsim.scenario.footprint import warn_if_scarce
from marketsim.scenario.literals import Duration, parse_duration
from marketsim.scenario.load import load_scenario, scenario_from_mapping
from marketsim.scenario.model import Scenario, read_message
from marketsim.simulation.collect import unfilled
from marketsim.simulation.faults import FaultRecord
from marketsim.simulation.kept_list import KeptList
from marketsim.simulation.market_files import let_rest, move_to_files
from marketsim.simulation.market_messages import OPERATIONS
from marketsim.simulation.measured import MetricFailedError, own_figures, own_metrics
from marketsim.simulation.messages import Observe, wallet_names
from marketsim.simulation.open_end import OpenEnd, without_end
from marketsim.simulation.play import Listener, OnProgress, Play, prepare, versions
from marketsim.simulation.state_hash import state_hash
from marketsim.simulation.views import (
    AccountRecord,
    BidRecord,
    DeploymentRecord,
    LeaseRecord,
    Looks,
    OrderRecord,
    Page,
    ProviderRecord,
    View,
    WalletNames,
    WalletRecord,
)

EVENTS_KEPT = 100_000
"""Of the events of a held market, the last ones that can still be asked for, unless it is started with another number."""
PAGE = 1_000
"""Events of a page, unless it is asked for another number."""
Message = Mapping[str, Any]


class Run(NamedTuple):
    """A finished run: `summary` as in summary.json, `record` everything that was recorded."""

    summary: dict[str, Any]
    record: Record


class Progress(NamedTuple):
    """How far a market has come: the last executed block, the one that it is to reach, whether what was awaited has happened."""

    height: int
    until: int
    met: bool = False


class Ticket(NamedTuple):
    """What a message was taken with: by it its receipt is asked for, after block `height`."""

    number: int
    height: int


class LogEntry(NamedTuple):
    """A message that came from outside: the block that it went into, and who signed it (None: who must)."""

    height: int
    message: Message
    signer: str | None


class EventPage(NamedTuple):
    """Events by name, the first of them number `first`; `following` is what to give as `after` for those behind. `lost` are gone that were
    asked for: a market keeps the last ones only."""

    events: tuple[dict[str, Any], ...]
    first: int
    following: int
    lost: int


class Origin(NamedTuple):
    """How a fork was made: `by` copy or replay, and then why no copy could be made; `seconds` that it took."""

    by: str
    reason: str
    seconds: float


class Snapshot:
    """A market as it was at `height`, to go back to (`LiveMarket.restore`) as often as one likes."""

    def __init__(self, market: LiveMarket) -> None:
        self._market = market
        self.height = market.height

    def market(self) -> LiveMarket:
        """Return the market as it was."""
        return self._market.fork()


class LiveMarket:
    """One running market: scenario, seed and the log of what it was told are all that it depends on.

    In how many steps it advances, who looks in between and what was refused changes nothing: the same log gives the same bytes. Not to be
    used by several threads at once.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int | None = None,
        audit: bool = False,
        out: Path | None = None,
        progress: OnProgress | None = None,
        observe: Observe | None = None,
        messages: bool = True,
        events: int = EVENTS_KEPT,
        trail: bool = False,
        open_end: bool = False,
        listens: bool = False,
        tables: Path | None = None,
    ) -> None:
        """Begin a market at height 0.

        `seed` replaces the scenario's. `audit` checks the ledger after every executed block. `out` is a folder into which the long tables
        of the record go as they come. `progress(blocks done, blocks in all)` is called now and then. `observe` is told of every message
        by hand. A market with `messages=False` takes none beside the scenario's, keeps no bid that has ended, cannot be copied, and needs
        less memory. `events` is how many of the last events are kept, `trail` whether the run's trail goes into its record. With `listens`
        somebody may `listen`. Raises InputError for a scenario that cannot be run.

        With `open_end` the market goes on behind the scenario's horizon, for ten years or 2^28 blocks: its demand is drawn a week ahead
        and is that of any longer horizon. Such a market takes messages and has no results. `tables` is a folder: the long tables of the
        market lie in files there, which have no names and end with it; memory holds what it works on (`rest`). Its forks do the same.
        """
        warn_if_scarce(scenario)
        if open_end and not (messages and scenario.market is None):
            raise InputError("open_end: a market without an end takes messages and is made of cohorts")
        self._began = time.perf_counter()
        self.scenario = scenario = without_end(scenario) if open_end else scenario
        self.seed = scenario.seed if seed is None else seed
        self._open = OpenEnd(scenario, self.seed) if open_end else None
        self.log: list[LogEntry] | KeptList[LogEntry] = []
        """Messages from outside, in the order in which they were submitted."""
        self.origin: Origin | None = None
        """How this market was made of another one."""
        self._messages = messages
        self._takes = messages and scenario.market is None
        self._audit = audit
        self._events = events
        self._trail = trail
        self._metrics = own_metrics(scenario)
        self._listens = listens
        setup = prepare(scenario, self.seed, self._takes, self._open.first if self._open else None)
        if self._open:
            self._open.begin(setup)
        receipts: list[dict[str, Any]] = []
        self._receipts = receipts
        self._play = Play(
            scenario,
            setup,
            self.seed,
            audit=audit,
            progress=progress,
            receipts=receipts,
            observe=observe,
            out=out,
            keeps=messages and out is None,
            hears=events,
            trail=trail,
            listens=listens,
        )
        if open_end:
            self._play.keep_no_record()
        self._tables = tables
        if tables is not None and move_to_files(self._play.clock, tables):
            self.log = KeptList(tables)
            self._play.by_hand.answers = KeptList(tables)
        self._finished: Run | None = None
        self._height = 0
        self._last = scenario.horizon_blocks
        self._views: WeakSet[View] = WeakSet()
        self._set_names()

    @classmethod
    def start(cls, scenario: Scenario, **options: Any) -> LiveMarket:
        """Begin a market at height 0, with the options of the class."""
        return LiveMarket(scenario, **options)

    def _set_names(self) -> None:
        play = self._play
        self._looks = Looks(play.clock.chain)
        self._names = WalletNames(play.by_hand.names.wallet_names if self._takes else wallet_names(play.clock.chain, play.market))

    @property
    def height(self) -> int:
        """The last executed block; 0 before the first."""
        return self._height

    @property
    def now_ms(self) -> int:
        """The moment of the last executed block, in milliseconds from the start."""
        return self.height * self.scenario.block_ms

    # --- told -------------------------------------------------------------------------------------------------------------------

    def parse(self, message: Message, *, signer: str | None = None) -> Parsed:
        """Return a message, a mapping as in `messages:` or one to the market itself (`market_messages.OPERATIONS`), as it is taken; nothing
        changes by it, not even a name.

        Raises InputError for what is no message.
        """
        return self._read(message, signer)[1]

    def _read(self, message: Message, signer: str | None) -> tuple[Message, Parsed]:
        """Return a message as plain data, numbers as a file would have them, and as the chain takes it."""
        given = dict(message)
        op = given.get("op")
        if signer is not None and op != "grant":
            given["signer"] = signer
        try:
            read = given if op in OPERATIONS else read_message({"height": 1} | given)
        except ValueError as error:
            raise InputError(f"message: {error}") from None
        if not self._takes:
            why = "start it with messages=True" if self.scenario.market is None else "one that is generated (market:) has none by hand"
            raise InputError(f"message: this market takes no messages, {why}")
        parsed = self._play.by_hand.parsed(read)
        plain = {key: read[key] for key in message}
        return plain, parsed if signer is None else parsed._replace(signer=signer)

    def submit(self, message: Message, *, signer: str | None = None) -> Ticket:
        """Let a message wait for the next block, or for that of its `height:`, behind those that wait for it; return its ticket.

        The chain answers when the block is executed (`receipt`). `signer` is who signs it; who does not say so signs as who must. Raises
        InputError for what is no message, for a height that is executed already, and when the market is finished.
        """
        plain, parsed = self._read(message, signer)
        height = message.get("height", self.height + 1)
        if self._finished is not None or height > self.scenario.horizon_blocks:
            raise InputError(f"message: block {height} is behind the last one ({self.scenario.horizon_blocks}), give a longer horizon")
        if height <= self.height:
            raise InputError(f"message: block {height} is executed, the next one is {self.height + 1}")
        ticket = Ticket(len(self.log), height)
        self.log.append(LogEntry(height, dict(message), signer))
        self._play.by_hand.submit(height, plain, parsed, ticket.number)
        return ticket

    def receipt(self, ticket: Ticket) -> Receipt | None:
        """Return how the chain answered a message, with what happened by it, None while its block is not executed."""
        found = self._play.by_hand.answers.get(ticket.number) if self._takes else None
        if found is None:
            return None
        receipt, rows = found
        view = self.view()
        events = tuple(view.event(row) for row in rows.tolist())
        return Receipt(receipt.height, receipt.op, receipt.status, receipt.id, receipt.gas, receipt.fee, events)

    # --- advanced ---------------------------------------------------------------------------------------------------------------

    def advance(self, to: int | str | Duration, *, budget_blocks: int | None = None) -> Iterator[Progress]:
        """Execute every block up to `to`: a height, or a time from now such as "12h" or "100 blocks".

        It is done when this returns; what is returned tells of the way in slices of `budget_blocks`. Raises InputError for a height that
        lies behind and one beyond the horizon, InvariantError when the ledger does not add up.
        """
        if type(to) is int and self._height < to <= self._last and budget_blocks is None:
            self._go(to)  # the shortest way, for who goes block by block
            return iter((Progress(to, to),))
        return iter(list(self.slices(to, budget_blocks=budget_blocks)))

    def slices(self, to: int | str | Duration, *, budget_blocks: int | None = None) -> Iterator[Progress]:
        """Do what `advance` does a slice at a time, whenever the next one is asked for, for whoever has other things to do in between."""
        until = self._target(to)
        return self._slices(until, max(1, budget_blocks or until - self.height))

    def _slices(self, until: int, blocks: int) -> Iterator[Progress]:
        while self.height < until:
            self._go(min(until, self.height + blocks))
            yield Progress(self.height, until)

    def advance_until(self, condition: str | Message | Ticket | Callable[[LiveMarket], bool], limit: int | str | Duration) -> Progress:
        """Execute block after block until something has happened, at most to `limit`; `met` of what is returned says whether it has.

        The condition is an event by its name ("LeaseCreated"), a mapping that an event must agree with ({"event": "OrderClosed", "id":
        "web-0/7/1/1"}), a ticket whose receipt is awaited, or a function of the market. Raises InputError as `advance` does.
        """
        until = self._target(limit)
        if isinstance(condition, Ticket):
            self._go(max(self.height, min(until, condition.height)))
            return Progress(self.height, until, self.height >= condition.height)
        if callable(condition):
            while not (met := bool(condition(self))) and self.height < until:
                self._go(self.height + 1)
            return Progress(self.height, until, met)
        if not self._events:
            raise InputError("advance_until: this market keeps no events, start it with events=")
        wanted = {"event": condition} if isinstance(condition, str) else dict(condition)
        heard = self._heard()
        while self.height < until:
            self._go(self.height + 1)
            now = self._heard()
            if now > heard and any(wanted.items() <= event.items() for event in self.events(heard, now - heard).events):
                return Progress(self.height, until, True)
            heard = now
        return Progress(self.height, until)

    def _go(self, height: int) -> None:
        if self._finished is not None:
            raise InputError("the market is finished, start another one or fork it before")
        if self._views:
            for view in list(self._views):
                view.detach()
            self._views.clear()
        while self._open and (height + 1) * self.scenario.block_ms + DAY_MS > self._open.until_ms:
            self._open.extend(self._play)
            self._play.by_hand.faults.refresh()
        self._play.advance(height)
        self._height = height

    def rest(self) -> None:
        """Let the memory of what is over go, where its tables lie in files (`tables`); what somebody looks at comes back by itself."""
        let_rest(self._play.clock)

    def _target(self, to: int | str | Duration) -> int:
        if isinstance(to, bool) or not isinstance(to, (int, str, Duration)):
            raise InputError(f"advance: {to!r} is neither a height nor a time, write 5000, '12h' or '100 blocks'")
        if isinstance(to, int):
            until = to
        else:
            try:
                until = self.height + parse_duration(to).blocks(self.scenario.block_ms)
            except ValueError as error:
                raise InputError(f"advance: {error}") from None
        last = self._last
        if until < self.height:
            raise InputError(f"advance: block {until} lies behind, the market stands at {self.height}")
        if until > last:
            raise InputError(f"advance: block {until} lies behind the horizon (block {last}), give the scenario a longer one")
        return until

    # --- asked ------------------------------------------------------------------------------------------------------------------

    def view(self) -> View:
        """Return what the chain would answer now, for as long as one likes; looking changes nothing."""
        clock = self._play.clock
        if self._looks.chain is not clock.chain:
            self._looks = Looks(clock.chain)
        texts: Callable[[], Sequence[str]] = self._texts if self._takes else tuple
        eligibility = self._play.market.eligibility
        view = View(self.height, self.scenario.block_ms, self._looks, clock.engine, self._names, eligibility, texts)
        self._views.add(view)
        return view

    def _texts(self) -> Sequence[str]:
        return self._play.by_hand.names.texts

    def events(self, after: int = 0, limit: int = PAGE) -> EventPage:
        """Return what happened, from event number `after` on, counted from 0."""
        if self._play.heard is None:
            raise InputError("events: this market keeps none, start it with events=")
        self._heard()
        rows, first, lost = self._play.heard.after(after, limit)
        view = self.view()
        return EventPage(tuple(view.event(row) for row in rows.tolist()), first, first + len(rows), lost)

    def listen(self, listener: Listener) -> None:
        """Tell somebody of events, bids and declines from here on, whatever the record keeps. A fork has nobody who listens."""
        if not self._listens:
            raise InputError("listen: this market tells nobody, start it with listens=True")
        self._heard()
        self._play.listener = listener

    def events_heard(self) -> int:
        """Return how many events there were so far; who listens has been told of all of them then."""
        return self._heard()

    def order_name(self, row: int) -> str:
        """Return what the order in a row of the chain's table is called, owner/dseq/gseq/oseq."""
        return self.view().order_name(row)

    def measured(self, bid_times: BidTimes, moved: Moved, lag_blocks: int = 0, called: Callable[[str], str] = str) -> MarketSnapshot:
        """Return the market's figures at this height, of which the series of `marketsim.metrics.series` are made; nothing changes by it.

        `called` says what a wallet of a name is called there.
        """
        clock, market = self._play.clock, self._play.market
        self._heard()
        return snapshot(
            clock.chain,
            clock.engine,
            providers=[called(name) for name in market.book.names],
            owner_of=lambda wallet: called(self.wallet_names[wallet]),
            bid_times=bid_times,
            moved=moved,
            unfilled=unfilled,
            lag_blocks=lag_blocks,
        )

    @property
    def wallet_names(self) -> Sequence[str]:
        """The names of all wallets by row; more are added at the end as they come to be."""
        return self._names.wallets

    def _heard(self) -> int:
        """How many events there were."""
        self._play.clock.hand_over()
        return self._play.heard.total if self._play.heard else 0

    def record_so_far(self) -> Record:
        """Return the record of what has happened up to this height, for `marketsim.report.explain`: orders, leases and the bids that the
        chain has; nothing changes by it. Takes the time of a fork. Raises InputError before the first block."""
        if not self.height:
            raise InputError("the market stands at block 0, nothing has happened")
        play = self.fork(trial=True)._play
        return play.collector.so_far(play.clock, self.height, versions(), play.faults())

    def faults(self, active: bool | None = None) -> tuple[FaultRecord, ...]:
        """Return the faults that have begun, in that order; with `active` those that go on, or those that are over."""
        return tuple(each for each in self._play.faults() if active is None or (each.ended is None) == active)

    def fingerprint(self) -> str:
        """Return the fingerprint of what happened so far, 32 hex digits: the path to where the market stands."""
        return self._play.fingerprint()

    def state_hash(self) -> str:
        """Return a hash of where the market stands, 64 hex digits (see `marketsim.simulation.state_hash`)."""
        clock, market = self._play.clock, self._play.market
        texts = self._play.by_hand.names.texts if self._takes else [""]
        return state_hash(settled(clock.chain, clock.engine), self.height, market.eligibility.specs, texts)

    @property
    def needs_replay(self) -> bool:
        """Whether a fork is made by replaying all that has happened, for a market of users' code, rather than by copying."""
        return bool(self._play.why_not_copied())

    # --- another one ------------------------------------------------------------------------------------------------------------

    def fork(self, *, trial: bool = False) -> Self:
        """Return a market that stands where this one does and goes its own way; a `trial` for as long as this one stays where it is, which
        costs less where tables lie in files.

        Built-in agents are data: it is a copy of some tens of megabytes at most and takes a fraction of a second. A market whose prices are
        made by users' code is made anew from scenario, seed and log instead, which takes as long as it took to come here; `origin` of the
        fork says which, why, and the seconds. A finished market has no fork.
        """
        if self._finished is not None:
            raise InputError("the market is finished, fork it before")
        began = time.perf_counter()
        reason = self._play.why_not_copied()
        other = self._replayed() if reason else self._copied(trial)
        other.origin = Origin("replay" if reason else "copy", reason, time.perf_counter() - began)
        return other

    def _copied(self, on_write: bool) -> Self:
        other = copy(self)
        other._play = self._play.copy(on_write)
        other._open = self._open.copy() if self._open else None
        other.log = self.log.copy()
        other._views = WeakSet()
        if self._takes:
            other._receipts = other._play.by_hand.receipts
        other._set_names()
        return other

    def _replayed(self) -> Self:
        other = copy(self)
        options: dict[str, Any] = {"audit": self._audit, "messages": self._messages, "events": self._events, "trail": self._trail}
        options["open_end"] = self._open is not None
        options["listens"] = self._listens
        options["tables"] = self._tables
        LiveMarket.__init__(other, self.scenario, seed=self.seed, **options)
        for height, message, signer in self.log:
            other.submit({**message, "height": height}, signer=signer)
        other._go(self.height)
        return other

    def close(self) -> None:
        """Let everything go at once that this market holds, sooner than the collector of garbage would; nobody may use it any more."""
        play = self._play
        for held in (play.clock, play._by_hand, play, self):
            if held is not None:
                vars(held).clear()

    def snapshot(self) -> Snapshot:
        """Return the market as it is, to go back to: it takes the time and the memory of a fork."""
        return Snapshot(self.fork())

    @staticmethod
    def restore(snapshot: Snapshot) -> LiveMarket:
        """Return a market as it was at the snapshot, which can be restored again."""
        return snapshot.market()

    # --- the end ----------------------------------------------------------------------------------------------------------------

    def finish(self) -> Run:
        """Advance to the scenario's last block and return summary and record, as `marketsim run` does; the market is over then.

        Raises MetricFailedError, which has the run, for a metric of the user's own that fails; asked again it returns the run without.
        """
        if self._open:
            raise InputError("finish: a market without an end has no last block, start it without open_end to have results")
        if self._finished is None:
            self._go(self.scenario.horizon_blocks)
            clock, collector = self._play.finish()
            by_hand = bool(self.scenario.messages or self.scenario.governance or self._receipts)
            seconds, faults = time.perf_counter() - self._began, self._play.faults()
            record = collector.record(clock, versions(), seconds, self._receipts if by_hand else None, faults)
            if self._trail:
                record = replace(record, trail=trail_of(clock.chain.trail, self.scenario.horizon_blocks))
            if not self._messages:
                # the tables go before anything is made of the record, which has its own columns
                del clock, collector, self._play, self._looks
            summary = summarize(record)
            self._finished = Run(summary, record)
            if self._metrics:
                summary["metrics"], failed = own_figures(self.scenario, self._metrics, summary, record)
                if failed:
                    raise MetricFailedError(failed, self._finished)
        return self._finished


class Market(LiveMarket):
    """A running market for people and scripts: `Market("scenarios/small.yaml", seed=1)`.

        market.advance("12h")
        market.orders(state="open")
        market.submit({"op": "close_deployment", "id": "web-0/17"})
        other = market.fork()
        summary = market.finish().summary

    Heights are block numbers, amounts exact decimals of uve; what is wrong with what one gives raises `marketsim.InputError`.
    """

    def __init__(self, source: Scenario | str | os.PathLike[str] | Mapping[str, Any], seed: int | None = None, **options: Any) -> None:
        """Begin the market of a scenario, of the file at a path, or of a mapping; `options` as for `LiveMarket`."""
        if isinstance(source, Mapping):
            source = scenario_from_mapping(source)
        elif not isinstance(source, Scenario):
            source = load_scenario(source)
        super().__init__(source, seed=seed, **options)

    def deployments(self, **filters: Any) -> Page[DeploymentRecord]:
        """Return deployments now, as `View.deployments`."""
        return self.view().deployments(**filters)

    def orders(self, **filters: Any) -> Page[OrderRecord]:
        """Return orders now, such as `market.orders(state="open")`, as `View.orders`."""
        return self.view().orders(**filters)

    def bids(self, **filters: Any) -> Page[BidRecord]:
        """Return bids now, as `View.bids`."""
        return self.view().bids(**filters)

    def leases(self, **filters: Any) -> Page[LeaseRecord]:
        """Return leases now, as `View.leases`."""
        return self.view().leases(**filters)

    def accounts(self, **filters: Any) -> Page[AccountRecord]:
        """Return escrow accounts now, as `View.accounts`."""
        return self.view().accounts(**filters)

    def providers(self, **filters: Any) -> Page[ProviderRecord]:
        """Return providers now, as `View.providers`."""
        return self.view().providers(**filters)

    def wallets(self, **filters: Any) -> Page[WalletRecord]:
        """Return wallets now, as `View.wallets`."""
        return self.view().wallets(**filters)

    def figures(self) -> dict[str, Any]:
        """Return where the market stands in a few figures: height, hours gone, orders and how many of those that are not open any more
        found a lease, leases that are not closed, uve in escrow, paid to providers and taken by the network."""
        clock = self._play.clock
        state = settled(clock.chain, clock.engine)
        x, g = clock.engine.globals, state.globals
        created, leased, waiting = int(x.orders_created), int(x.orders_leased), int(x.orders_open)
        ended = created - waiting
        return {
            "height": self.height,
            "hours": self.now_ms / HOUR_MS,
            "orders": created,
            "open_orders": waiting,
            "fill_rate": leased / ended if ended else None,
            "leases": int((state.leases[: int(g.leases), Lease.state] != LeaseState.CLOSED).sum()),
            "held": int(g[G.held]),
            "paid": int(g[G.paid]),
            "fees": int(g[G.fees]),
        }

    def _repr_html_(self) -> str:
        """Return height, money and fill rate, as notebooks show them."""
        figures = self.figures()
        filled = "none yet" if figures["fill_rate"] is None else f"{figures['fill_rate']:.1%}"
        rows = {
            "block": f"{figures['height']:,} of {self.scenario.horizon_blocks:,} ({figures['hours']:.1f} h)",
            "orders": f"{figures['orders']:,}, {figures['open_orders']:,} of them open",
            "fill rate": filled,
            "leases": f"{figures['leases']:,}",
            "in escrow": f"{figures['held']:,} uve",
            "paid to providers": f"{figures['paid']:,} uve",
            "taken by the network": f"{figures['fees']:,} uve",
        }
        cells = "".join(
            f"<tr><th style='text-align: left'>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows.items()
        )
        return f"<table><caption>{escape(self.scenario.name)}</caption><tbody>{cells}</tbody></table>"

    def __repr__(self) -> str:
        return f"Market({self.scenario.name!r}, seed={self.seed}, height={self.height})"


__all__ = ["EventPage", "LiveMarket", "LogEntry", "Market", "Origin", "Progress", "Run", "Snapshot", "Ticket"]
