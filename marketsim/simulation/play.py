"""One market that is played block by block: its clock, its agents as SimPy processes, its record."""

from __future__ import annotations

import platform
from collections.abc import Callable, Generator
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import simpy

from marketsim.agents import providers, tenants
from marketsim.agents.streams import stream
from marketsim.kernel.table_set import Table, rows_of
from marketsim.market.clock import AFTER_HANDS, BlockClock
from marketsim.market.fingerprint import fingerprint
from marketsim.market.tables import BidRow, Call, Desk, Kind
from marketsim.money.units import DAY_MS, PPM
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MarketSetup, build_market, with_settlement_wallet
from marketsim.simulation.collect import Collector
from marketsim.simulation.custom import start_pricing
from marketsim.simulation.messages import ByHand, Observe, with_actors
from marketsim.simulation.reference import build_reference

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


def prepare(scenario: Scenario, seed: int) -> MarketSetup:
    """Return what a run of the scenario starts from. Raises InputError for a scenario that cannot be run."""
    if scenario.market is not None:
        for key in ("messages", "governance"):
            if getattr(scenario, key):
                raise scenario.refusal((key,), "stands beside market, a generated market takes no messages by hand")
        return build_reference(scenario, seed)
    return with_settlement_wallet(with_actors(build_market(scenario, seed), scenario), scenario)


class Play:
    """A market that is played block by block: `advance` it as far as the horizon, then `finish` it.

    In how many steps it advances, and who looks between them, changes nothing. `by_hand` sends messages beyond those of the scenario.
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
        out: Path | None = None,
    ) -> None:
        self._scenario = scenario
        self.collector = Collector(scenario, seed, market._replace(calls=[]), out)
        self.env = simpy.Environment()
        engine = market.engine
        if scenario.record == "everything":  # else the clock hands them over every few blocks
            engine = engine._replace(
                bid_rows=rows_of(BIDS_AT_ONCE, BidRow),
                decline_rows=np.zeros(DECLINES_AT_ONCE, np.int64),
            )
        self.clock = clock = BlockClock(
            self.env,
            self.collector.attach(market.chain),
            engine,
            take_events=self.collector.take_events,
            take_bids=self.collector.take_bids,
            take_declines=self.collector.take_declines,
            audit=audit,
        )
        self.collector.watch(clock)
        pricing = start_pricing(clock, scenario, market)
        before = None if pricing is None else pricing.quote
        if pricing is not None:
            self.collector.reasons = pricing.reasons
        if scenario.market is not None:
            start_reference(clock, scenario.market.agents, market, before)
        else:
            start_tenants(clock, scenario, market, before)
        start_providers(clock, scenario, market, seed)
        self._by_hand: ByHand | None = None
        self._hands = partial(ByHand, clock, scenario, market, receipts, observe)
        if scenario.messages or scenario.governance:
            self.env.process(self.by_hand.process())
        last = scenario.horizon_blocks
        day = max(1, DAY_MS // scenario.block_ms)
        step = min(max(1, last // PROGRESS_STEPS), day) if progress else day
        report = (lambda height: progress(height, last)) if progress else _silent
        self.env.process(clock.blocks_process(step, last, report))
        if 0 < scenario.warm_up_blocks < last:
            self.env.process(self._window())

    @property
    def by_hand(self) -> ByHand:
        """Who sends messages by hand: `send(height, message)` at the start of a block that is not executed yet."""
        if self._by_hand is None:
            self._by_hand = self._hands()
        return self._by_hand

    def advance(self, height: int) -> None:
        """Execute every block up to and including `height`."""
        until = height * self._scenario.block_ms + 1
        if until > self.env.now:
            self.env.run(until=until)
        self.clock.advance(height)

    def fingerprint(self) -> str:
        """Return the fingerprint of what happened up to the last executed block; nothing changes by it."""
        return fingerprint(self.clock.chain, self.clock.engine, self.clock.refused_by_hand)

    def finish(self) -> tuple[BlockClock, Collector]:
        """Advance to the scenario's last block and hand over what is left of the record."""
        self.advance(self._scenario.horizon_blocks)
        self.clock.finish()
        return self.clock, self.collector

    def _window(self) -> Generator[Any, Any, None]:
        height = self._scenario.warm_up_blocks
        yield self.clock.after_all(height * self._scenario.block_ms, AFTER_HANDS)
        self.clock.advance(height)
        self.collector.begin_window(self.clock)


def play(scenario: Scenario, market: MarketSetup, seed: int, **options: Any) -> tuple[BlockClock, Collector]:
    """Run a market to the scenario's last block; return the clock with the final tables, and the collector of the record.

    Of the options of `Play`, `receipts` is filled with the answers to hand-written messages, `observe` is told of each; `out` as for `run`.
    """
    return Play(scenario, market, seed, **options).finish()


def start_reference(clock: BlockClock, agents: str, market: MarketSetup, before: tenants.OnLook | None = None) -> None:
    """Start the tenants of the reference market: how they hand over their orders changes no outcome, only the cost of a run."""
    calls = market.calls[0]
    if agents == "per_order":
        clock.env.process(tenants.one_by_one(clock, calls, before))
    elif agents == "reacting":
        clock.env.process(tenants.reacting(clock, calls, REACTING_BLOCKS * clock.block_ms, lambda _: None, before))
    else:
        clock.env.process(tenants.batches(clock, calls, DAY_MS, before))


def _silent(_: int) -> None:
    return


def start_tenants(clock: BlockClock, scenario: Scenario, market: MarketSetup, before: tenants.OnLook | None = None) -> None:
    """Start a process for each cohort, and hand over what stands in the first block; `before` sees every order before it goes."""
    for number, calls in enumerate(market.calls):
        cohort = scenario.tenants[number % len(scenario.tenants)] if scenario.tenants else None
        if number >= len(scenario.tenants):
            if before is not None:
                before(calls)
            clock.submit_rows(calls)
            continue
        order = np.argsort(calls[:, Call.time], kind="stable")
        rows: Table = calls[order]
        if cohort is not None and cohort.react is not None:
            wait = (scenario.bid_window.blocks(scenario.block_ms) + 2) * scenario.block_ms
            again = Retry(clock, cohort.react.retry, cohort.react.raise_ceiling, scenario.block_ms)
            clock.env.process(tenants.reacting(clock, rows, wait, again, before))
        else:
            clock.env.process(tenants.batches(clock, rows, DAY_MS, before))


def start_providers(clock: BlockClock, scenario: Scenario, market: MarketSetup, seed: int) -> None:
    """Start a process for each provider that has outages, each fault and each governance action."""
    block_ms = scenario.block_ms
    slot = 0
    slots: dict[str, int] = {}
    for cohort in scenario.providers:
        for index in range(cohort.count):
            slots[f"{cohort.name}/{index}"] = slot
            if cohort.outages is not None:
                rule = cohort.outages
                clock.env.process(
                    providers.outages(
                        clock,
                        slot,
                        int(market.book.rows[slot, Desk.key]),
                        stream(seed, f"provider/{cohort.name}/{index}/outages"),
                        rule.every.milliseconds(block_ms),
                        rule.lasts.milliseconds(block_ms),
                        round(rule.closes * PPM),
                    )
                )
            slot += 1
    for number, fault in enumerate(scenario.faults):
        kind = Kind.OUTAGE if fault.kind == "outage" else Kind.BLOCK
        lasts = 0 if fault.lasts is None else fault.lasts.milliseconds(block_ms)
        at = fault.at.milliseconds(block_ms)
        slot = slots[fault.provider]
        clock.env.process(providers.fault(clock, slot, number, kind, at, lasts, fault.kind != "unblock"))


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
        except Exception:  # not installed as a distribution: run from the source tree
            from marketsim import __version__

            found[name] = __version__
    return found


class Retry:
    """What a tenant does whose order found no lease: order again with a higher ceiling, a few times."""

    def __init__(self, clock: BlockClock, times: int, factor: float, block_ms: int) -> None:
        self._clock = clock
        self._times = times
        self._factor_ppm = round(factor * PPM)
        self._block_ms = block_ms
        self._tries: dict[int, int] = {}

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
