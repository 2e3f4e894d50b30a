"""One market that is played block by block: its clock, its agents as SimPy processes, its record."""

from __future__ import annotations

import platform
from collections.abc import Callable, Generator, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from inspect import GEN_CLOSED, getgeneratorstate
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import simpy

from marketsim.agents import providers, tenants
from marketsim.agents.streams import stream
from marketsim.chain.columns import Trail
from marketsim.chain.events import TRAIL_BLOCKS
from marketsim.kernel import shipped_code
from marketsim.kernel.table_set import Table, rows_of
from marketsim.market.clock import AFTER_HANDS, BlockClock
from marketsim.market.fingerprint import fingerprint
from marketsim.market.tables import BidRow, Call, Desk
from marketsim.market.trail import close_chunk
from marketsim.money.units import DAY_MS, PPM
from marketsim.scenario.model import Scenario
from marketsim.scenario.tenants import TenantCohort
from marketsim.simulation.agents import Agents
from marketsim.simulation.build import MarketSetup, build_market, with_settlement_wallet
from marketsim.simulation.choosing import Choosers
from marketsim.simulation.collect import Collector
from marketsim.simulation.custom import start_pricing
from marketsim.simulation.faults import FaultRecord
from marketsim.simulation.heard import Heard
from marketsim.simulation.messages import ByHand, Observe, Tell, with_actors
from marketsim.simulation.orders import Stretch
from marketsim.simulation.reference import build_reference
from marketsim.simulation.stages import priced_anew
from marketsim.strategies.run_log import RunLog

BIDS_AT_ONCE = 32_768
"""Bids that the record takes over at once."""
DECLINES_AT_ONCE = 65_536
"""Declines that the record takes over at once, beside the room that one order may need."""
OnProgress = Callable[[int, int], None]
"""Told the blocks done and the blocks in all."""

PROGRESS_STEPS = 200
"""How often progress is reported in a run."""
REACTING_BLOCKS = 12
"""When tenants of the reference market look what became of an order: a block after its timeout."""


def prepare(scenario: Scenario, seed: int, by_hand: bool = False, stretch: Stretch | None = None) -> MarketSetup:
    """Return what a run of the scenario starts from; `by_hand` when it must take messages that the scenario does not hold, `stretch` where
    orders are drawn for a part of the horizon.

    Raises InputError for a scenario that cannot be run.
    """
    if scenario.market is not None:
        for key in ("messages", "governance"):
            if getattr(scenario, key):
                raise scenario.refusal((key,), "stands beside market, a generated market takes no messages by hand")
        if scenario.stages:
            raise scenario.refusal(("market",), "stands beside a schedule, nothing changes in a generated market")
        return build_reference(scenario, seed)
    by_hand = by_hand or bool(scenario.agents) or any(fault.kind == "python" for fault in scenario.faults)
    return with_settlement_wallet(with_actors(build_market(scenario, seed, by_hand, stretch), scenario), scenario)


class Listener(Protocol):
    """Told of what happens in a market while it goes on, in rows that are the market's again afterwards; it changes nothing."""

    def events(self, rows: Table) -> None:
        """Take rows of `Event`, of all kinds."""

    def bids(self, rows: Table) -> None:
        """Take rows of `BidRow`: bids that were submitted, with the chain's answer."""

    def declines(self, rows: Table) -> None:
        """Take numbers of `Engine.decline_rows`."""


class Part(NamedTuple):
    """One of a market's processes as data: begun anew from its place, it goes on as if it had never stopped."""

    begin: Callable[[BlockClock, Any], Generator[Any, Any, None]]
    place: Any
    """How far it has come; `copy(clock)` gives another one."""
    calls: int = -1
    """Messages that it hands over, -1 for a process without an end."""

    def is_over(self) -> bool:
        """Return whether it has nothing more to do."""
        return self.calls >= 0 and self.place.sent.row >= self.calls and not self.place.sent.looks


def _silent(_: object) -> None:
    return


class Play:
    """A market that is played block by block: `advance` it as far as the horizon, then `finish` it.

    In how many steps it advances, and who looks between them, changes nothing. `by_hand` sends messages beyond those of the scenario.
    A market whose `keeps` is true can be copied (`copy`): the long tables of its record then stay apart from the results until the end.
    `hears` is how many of its last events are kept in `heard`, of all kinds and whatever the record keeps.
    With `trail` the chain's table of that name is kept (`marketsim.recording.trail`). With `listens` a `listener` may be named, who is told
    of events, bids and declines whatever the record keeps.
    """

    def __init__(
        self,
        scenario: Scenario,
        market: MarketSetup,
        seed: int,
        *,
        audit: bool = False,
        progress: OnProgress | None = None,
        receipts: list[dict[str, Any]] | None = None,
        observe: Observe | None = None,
        tell: Tell | None = None,
        out: Path | None = None,
        keeps: bool = False,
        hears: int = 0,
        trail: bool = False,
        listens: bool = False,
    ) -> None:
        self._scenario = scenario
        self.market = market._replace(calls=[])
        self.collector = Collector(scenario, seed, self.market, out, keeps)
        self.env = simpy.Environment()
        engine = market.engine
        self.listener: Listener | None = None
        self._listens = listens
        if listens:
            engine.globals.keep_bid_rows = 1
        if listens or scenario.record == "everything":  # else the clock hands them over every few blocks
            engine = engine._replace(
                bid_rows=rows_of(BIDS_AT_ONCE, BidRow),
                decline_rows=np.zeros(DECLINES_AT_ONCE, np.int64),
            )
        chain = self.collector.attach(market.chain)
        self.heard: Heard | None = None
        if hears or listens:  # else nobody hears of events that the record does not keep
            self.heard = Heard(hears, int(chain.globals.event_mask), self.collector.take_events)
            chain.globals.event_mask = -1
        if trail:
            chain = chain._replace(trail=rows_of(scenario.horizon_blocks // TRAIL_BLOCKS + 2, Trail))
            engine.globals.trail_until = 0
        self.clock = clock = BlockClock(
            self.env,
            chain,
            engine,
            take_events=self._told("events", self.heard or self.collector.take_events),
            take_bids=self._told("bids", self.collector.take_bids),
            take_declines=self._told("declines", self.collector.take_declines),
            audit=audit,
        )
        self.choosers: Choosers | None = None
        if any(cohort.choice.python is not None for cohort in scenario.tenants):
            self.choosers = Choosers(clock, scenario, market, seed)
        self.collector.watch(clock)
        self.collector.log = log = RunLog()
        self.pricing = start_pricing(clock, scenario, market, seed, log)
        if self.pricing is not None:
            self.collector.reasons = self.pricing.reasons
        if scenario.market is not None:
            self._parts = reference_parts(clock, scenario.market.agents, market)
        else:
            self._parts = tenant_parts(clock, scenario, market)
        self._parts += provider_parts(clock, scenario, market, seed)
        self._progress = progress
        self.agents: Agents | None = None
        self._by_hand: ByHand | None = None
        self._hands = partial(ByHand, clock, scenario, self.market, receipts, observe, tell)
        for name, number in priced_anew(scenario):
            if engine.desks[np.asarray(market.book.cohorts) == number, Desk.quoted].any():
                problem = "its prices change while it prices volumes, addresses or models of GPUs, which have one price for the whole run"
                raise scenario.refusal(("providers", name), problem)
        if scenario.messages or scenario.governance or scenario.stages or scenario.faults:
            self.by_hand  # noqa: B018  (makes it)
        if scenario.agents:
            self.agents = Agents(clock, scenario, self.market, self.by_hand, seed, log)
            for process in self.agents.processes():
                self.env.process(process)
        self._begin()
        if not keeps:
            self._parts = []  # messages that were sent go with their process

    def _told(self, what: str, take: Callable[[Table], None]) -> Callable[[Table], None]:
        """Return what tells the listener first, where there may be one: the record writes into bids how each fared."""
        if not self._listens:
            return take

        def both(rows: Table) -> None:
            if self.listener is not None:
                getattr(self.listener, what)(rows)
            take(rows)

        return both

    def _begin(self) -> None:
        """Start every process from where it stands."""
        self._running: list[Generator[Any, Any, None]] = []
        for part in self._parts:
            self._start(part.begin(self.clock, part.place))
        if self._by_hand is not None:
            self._by_hand.begin()
        scenario, progress = self._scenario, self._progress
        last = scenario.horizon_blocks
        day = max(1, DAY_MS // scenario.block_ms)
        step = min(max(1, last // PROGRESS_STEPS), day) if progress else day
        report = (lambda height: progress(height, last)) if progress else _silent
        self._start(self.clock.blocks_process(step, last, report))
        if max(0, self.clock.executed) < scenario.warm_up_blocks < last:
            self._start(self._window())

    def _start(self, process: Generator[Any, Any, None]) -> None:
        self._running.append(process)
        self.env.process(process)

    def keep_no_record(self) -> None:
        """Keep nothing for results: of a market that has none at any time."""
        self.collector.keep_nothing()
        self.by_hand.keeps_receipts = False

    def add(self, part: Part) -> None:
        """Begin one more process; those that are over go."""
        self._parts = [*(each for each in self._parts if not each.is_over()), part]
        self._running = [process for process in self._running if getgeneratorstate(process) != GEN_CLOSED]
        self._start(part.begin(self.clock, part.place))

    def faults(self) -> tuple[FaultRecord, ...]:
        """Return the faults that have begun."""
        return () if self._by_hand is None else self._by_hand.faults.records()

    @property
    def by_hand(self) -> ByHand:
        """Who sends messages by hand: `send(height, message)` at the start of a block that is not executed yet."""
        if self._by_hand is None:
            self._by_hand = self._hands()
        return self._by_hand

    def why_not_copied(self) -> str:
        """Return why this market cannot be copied, "" when it can: whose code would have to be."""
        if self.pricing is not None:
            return "its prices are made in Python, whose objects are not copied"
        if self.choosers is not None:
            return "its tenants choose by users' rules, which are not copied"
        if self.agents is not None:
            return "its agents are users' generators, which are not copied"
        if self._by_hand is not None and self._by_hand.faults.uses_code:
            return "its faults are users' code, whose objects are not copied"
        return "" if self.collector.keeps else "its record goes into a results folder as it comes"

    def copy(self, on_write: bool = False) -> Play:
        """Return a market that goes its own way from the last executed block on, with agents, messages and record as they are here; with
        `on_write` for as long as this one stays where it is.

        Raises ValueError for one that cannot be copied (`why_not_copied`).
        """
        if reason := self.why_not_copied():
            raise ValueError(reason)
        clock = self.clock
        clock.hand_over()
        other = copy(self)
        other.env = simpy.Environment(initial_time=self.env.now)
        other.listener = None
        other.market = self.market.copy()
        other.collector = self.collector.copy(other.market)
        other.heard = None if self.heard is None else self.heard.copy(other.collector.take_events)
        other.clock = clock.copy(
            other.env,
            take_events=other._told("events", other.heard or other.collector.take_events),
            take_bids=other._told("bids", other.collector.take_bids),
            take_declines=other._told("declines", other.collector.take_declines),
            on_write=on_write,
        )
        other.collector.watch(other.clock)
        other._parts = [part._replace(place=part.place.copy(other.clock)) for part in self._parts]
        other._by_hand = None if self._by_hand is None else self._by_hand.copy(other.clock, other.market)
        other._hands = partial(ByHand, other.clock, self._scenario, other.market, None, None)
        other._progress = None
        other._begin()
        return other

    def advance(self, height: int) -> None:
        """Execute every block up to and including `height`."""
        env, at = self.env, height * self.clock.block_ms
        while env.peek() <= at:  # SimPy's own clock stays at the last moment at which somebody had something to do
            env.step()
        self.clock.advance(height)

    def fingerprint(self) -> str:
        """Return the fingerprint of what happened up to the last executed block; nothing changes by it."""
        return fingerprint(self.clock.chain, self.clock.engine, self.clock.refused_by_hand)

    def finish(self) -> tuple[BlockClock, Collector]:
        """Advance to the scenario's last block, hand over what is left of the record and end what would go on behind it, so that the tables
        go with the last who looks at the clock; users' agents and strategies may hold them longer.
        """
        self.advance(self._scenario.horizon_blocks)
        self.clock.finish()
        for process in self._running:
            process.close()
        chain, engine = self.clock.chain, self.clock.engine
        if len(chain.trail):
            close_chunk(chain, engine, self._scenario.horizon_blocks)
        return self.clock, self.collector

    def _window(self) -> Generator[Any, Any, None]:
        height = self._scenario.warm_up_blocks
        yield self.clock.after_all(height * self._scenario.block_ms, AFTER_HANDS)
        self.clock.advance(height)
        self.collector.begin_window(self.clock)


def play(scenario: Scenario, market: MarketSetup, seed: int, **options: Any) -> tuple[BlockClock, Collector]:
    """Run a market to the scenario's last block; return the clock with the final tables, and the collector of the record.

    Of the options of `Play`, `receipts` is filled with the answers to hand-written messages, `observe` is told of each that was executed,
    `tell` of each that was sent; `out` as for `run`.
    """
    return Play(scenario, market, seed, **options).finish()


def reference_parts(clock: BlockClock, agents: str, market: MarketSetup) -> list[Part]:
    """Return the tenants of the reference market: how they hand over their orders changes no outcome, only the cost of a run."""
    calls = market.calls[0]
    if agents == "per_order":
        return [Part(lambda clock, place: tenants.one_by_one(clock, calls, place.sent), Tenants())]
    if agents == "reacting":
        wait = REACTING_BLOCKS * clock.block_ms
        return [Part(lambda clock, place: tenants.reacting(clock, calls, wait, lambda _: None, place.sent), Tenants())]
    return [Part(lambda clock, place: tenants.batches(clock, calls, DAY_MS, place.sent), Tenants())]


def tenant_parts(clock: BlockClock, scenario: Scenario, market: MarketSetup) -> list[Part]:
    """Return a process for each cohort, and hand over what stands in the first block."""
    parts = []
    for number, calls in enumerate(market.calls):
        cohort = scenario.tenants[number % len(scenario.tenants)] if scenario.tenants else None
        if number >= len(scenario.tenants):
            clock.submit_rows(calls)
            continue
        assert cohort is not None
        parts.append(tenant_part(clock, scenario, cohort, calls))
    return parts


def tenant_part(clock: BlockClock, scenario: Scenario, cohort: TenantCohort, calls: Table) -> Part:
    """Return the process of a cohort for some of its orders."""
    rows: Table = calls[np.argsort(calls[:, Call.time], kind="stable")]
    if cohort.react is None:
        return Part(partial(_batches, rows), Tenants(), len(rows))
    wait = (scenario.bid_window.blocks(scenario.block_ms) + 2) * scenario.block_ms
    again = Retry(clock, cohort.react.retry, cohort.react.raise_ceiling, scenario.block_ms)
    return Part(partial(_reacting, rows, wait), Tenants(again=again), len(rows))


def _reacting(rows: Table, wait_ms: int, clock: BlockClock, place: Tenants) -> Generator[Any, Any, None]:
    assert place.again is not None
    return tenants.reacting(clock, rows, wait_ms, place.again, place.sent)


def _batches(rows: Table, clock: BlockClock, place: Tenants) -> Generator[Any, Any, None]:
    return tenants.batches(clock, rows, DAY_MS, place.sent)


def provider_parts(clock: BlockClock, scenario: Scenario, market: MarketSetup, seed: int) -> list[Part]:
    """Return a process for each provider that has outages."""
    block_ms = scenario.block_ms
    slot = 0
    parts = []
    for cohort in scenario.desks:
        for index in range(cohort.count):
            if cohort.outages is not None:
                rule = cohort.outages
                numbers = {
                    "desk": slot,
                    "key": int(market.book.rows[slot, Desk.key]),
                    "every_ms": rule.every.milliseconds(block_ms),
                    "lasts_ms": rule.lasts.milliseconds(block_ms),
                    "closes_ppm": round(rule.closes * PPM),
                }
                rng = stream(seed, f"provider/{cohort.name}/{index}/outages")
                parts.append(Part(partial(_outages, numbers), providers.Outage(rng)))
            slot += 1
    return parts


def _outages(numbers: Mapping[str, int], clock: BlockClock, place: providers.Outage) -> Generator[Any, Any, None]:
    return providers.outages(clock, place=place, **numbers)


def versions() -> dict[str, str]:
    """Return the versions that a fingerprint holds for."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    packages = ("marketsim", "numpy", "numba", "simpy")
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from the source tree without an installation; a wheel's code was compiled elsewhere
            from marketsim import __version__

            found[name] = __version__ if name == "marketsim" else (shipped_code.compiler_version() or "none") if name == "numba" else "none"
    return found


class Retry:
    """What a tenant does whose order found no lease: order again with a higher ceiling, a few times."""

    def __init__(self, clock: BlockClock, times: int, factor: float, block_ms: int) -> None:
        self._clock = clock
        self._times = times
        self._factor_ppm = round(factor * PPM)
        self._block_ms = block_ms
        self._tries: dict[int, int] = {}

    def copy(self, clock: BlockClock) -> Retry:
        """Return what the tenant of a copied market does."""
        other = copy(self)
        other._clock, other._tries = clock, dict(self._tries)
        return other

    def __call__(self, plan: int) -> Table | None:
        """Return the next order of the tenant whose order of `plan` failed, None when it gives up."""
        from marketsim.simulation.retries import repeat_order

        tries = self._tries.pop(plan, 0)
        if tries >= self._times:
            return None
        message = repeat_order(self._clock, plan, self._factor_ppm)
        if message is None:
            return None
        self._tries[int(message[0, Call.plan])] = tries + 1
        return message


@dataclass
class Tenants:
    """How far a cohort has come: what it has sent and waits for, and how often its tenants tried."""

    sent: tenants.HowFar = field(default_factory=tenants.HowFar)
    again: Retry | None = None

    def copy(self, clock: BlockClock) -> Tenants:
        """Return what a cohort of a copied market goes on from."""
        return Tenants(self.sent.copy(), None if self.again is None else self.again.copy(clock))
