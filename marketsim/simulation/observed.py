"""A recorded run played again from what its manifest says, and looked at on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from marketsim.chain.columns import Order, OrderState
from marketsim.chain.state import State
from marketsim.errors import InputError
from marketsim.market.tables import Engine, Plan, Track
from marketsim.metrics.series import MarketSnapshot
from marketsim.metrics.snapshot import BidTimes, Moved, snapshot
from marketsim.recording.record import Record
from marketsim.scenario.load import scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.simulation.collect import planned, unfilled_codes
from marketsim.simulation.play import Play, prepare, versions


class Observed:
    """A market that is played and looked at; its looks change nothing of what happens."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        scenario = scenario.model_copy(update={"record": "everything"})  # else nobody hears of bids
        self._market = prepare(scenario, seed)
        self._bid_times = BidTimes(len(self._market.book.names))
        self._moved = Moved()
        self.scenario = scenario
        self.play = Play(scenario, self._market, seed, watch_bids=self._bid_times.add, watch_events=self._moved.add)

    def snapshot(self, height: int) -> MarketSnapshot:
        """Advance to a height and return the market as it is then."""
        self.play.advance(height)
        clock, market = self.play.clock, self._market
        clock.hand_over()
        return snapshot(
            clock.chain,
            clock.engine,
            providers=market.book.names,
            owner_of=self._owner,
            bid_times=self._bid_times,
            moved=self._moved,
            unfilled=unfilled,
        )

    def _owner(self, wallet: int) -> str:
        market = self._market
        return market.tenant_names[market.newcomers.get(wallet, wallet - market.first_tenant)]


def again(record: Record, step: int, base: Path = Path()) -> Iterator[MarketSnapshot]:
    """Play a recorded run again and yield its market in block 0, every `step` blocks and in the last block.

    `base` is the folder that the paths of its traces start from. Raises InputError where these versions of the packages do not give the
    recorded run again: by its fingerprint, after the last block.
    """
    observed = Observed(scenario_from_mapping(record.meta["scenario"], base, name="manifest.json: scenario"), int(record.meta["seed"]))
    last = record.blocks
    for height in [*range(0, last, step), last]:
        yield observed.snapshot(height)
    if observed.play.fingerprint() != record.meta["fingerprint"]:
        changed = [f"{name} {record.meta['versions'].get(name)} -> {now}" for name, now in versions().items()]
        raise InputError(
            "the run cannot be played again: its fingerprint is another with the packages of today, expected "
            f"{record.meta['fingerprint']}, run the scenario again (recorded with -> now: {'; '.join(changed)})"
        )


def unfilled(chain: State, engine: Engine) -> Any:
    """Return the index into UNFILLED of each order, int64 (orders,), -1 unless it ended without a lease."""
    rows = chain.orders[: int(chain.globals.orders)]
    tracks = engine.tracks[: len(rows)]
    codes = unfilled_codes(rows, tracks, planned(engine.plans, tracks[:, Track.plan], Plan.never))
    ended = (rows[:, Order.state] == OrderState.CLOSED) & (rows[:, Order.lease] < 0)
    return np.where(ended, codes, -1)
