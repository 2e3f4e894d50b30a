"""What changes in a market when its scenario goes on to the next stage: messages for the chain, and what is written into its desks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.state import State
from marketsim.market.desks import set_shut
from marketsim.market.list_prices import COLUMNS
from marketsim.market.quoting import refresh_units
from marketsim.market.tables import Desk, Engine
from marketsim.scenario.model import Scenario
from marketsim.simulation.desks import DeskBook

CONFIGURED = (
    *COLUMNS,
    Desk.margin_ppm,
    Desk.endpoint,
    Desk.endpoint_atto,
    Desk.min_value,
    Desk.min_value_atto,
    *range(Desk.max_cpu, Desk.max_gpu + 1),
    Desk.bid_timeout,
    Desk.enabled,
)
"""Columns of a desk that a file or a schedule may change and that nothing else writes."""
HELD = {Desk.cap_cpu + at: Desk.free_cpu + at for at in range(4)} | {Desk.max_concurrent: Desk.slots_left}
"""Columns that others are what is left of."""


class StageChange(NamedTuple):
    """A change: from block `height` on the market is as in `after`, which was as in `before`."""

    height: int
    before: Scenario
    after: Scenario


def stages_of(scenario: Scenario) -> Iterator[StageChange]:
    """Yield the changes of a scenario in their order."""
    before = scenario
    for at, after in scenario.stages:
        yield StageChange(max(1, at.blocks(scenario.block_ms)), before, after)
        before = after


def parameters(stage: StageChange) -> dict[str, int]:
    """Return the chain's parameters that change, as a message set_params has them."""
    before, after = stage.before, stage.after
    found = {}
    if before.take_ppm != after.take_ppm:
        found["take_ppm"] = after.take_ppm
    if before.order_timeout != after.order_timeout:
        found["order_timeout"] = 0 if after.order_timeout is None else after.order_timeout.blocks(after.block_ms)
    return found


def configure(chain: State, engine: Engine, slot: int, before: Desk, after: Desk) -> None:
    """Write what differs between two states of a desk as files have them into the desk, and what follows from it."""
    desk = engine.desks[slot]
    for column, left in HELD.items():
        desk[left] += after[column] - before[column]
    for column in (*CONFIGURED, *HELD):
        if after[column] != before[column]:
            desk[column] = after[column]
    refresh_units(desk)
    set_shut(chain, engine, slot)


def reconfigure(stage: StageChange, seed: int, chain: State, engine: Engine, book: DeskBook) -> list[int]:
    """Write what changes into the desks, and return those whose filters are others; the tables are changed in place."""
    before, after = DeskBook(stage.before, seed), DeskBook(stage.after, seed)
    for slot in np.flatnonzero((before.rows[:, [*CONFIGURED, *HELD]] != after.rows[:, [*CONFIGURED, *HELD]]).any(axis=1)).tolist():
        configure(chain, engine, slot, before.rows[slot], after.rows[slot])
    return book.take_filters(before, after)


def priced_anew(scenario: Scenario) -> Iterator[tuple[str, int]]:
    """Yield the name and number of each cohort of providers whose prices change in some stage."""
    for number, cohort in enumerate(scenario.providers):
        for _, after in scenario.stages:
            other = after.providers[number]
            prices = [(each.strategy, None if each.config is None else each.config.bid_engine) for each in (cohort, other)]
            if prices[0] != prices[1]:
                yield cohort.name, number
                break


def mean_capacity(scenario: Scenario, seed: int) -> NDArray[np.int64] | None:
    """Return the capacity of each desk of a cohort on average over the measured window, int64 (desks, 4); None where it never changes."""
    if not scenario.stages:
        return None
    stages = list(stages_of(scenario))
    if all(stage.before.providers == stage.after.providers for stage in stages):
        return None
    begin, last = scenario.warm_up_blocks, scenario.horizon_blocks
    heights = [min(last, max(begin, stage.height)) for stage in stages]
    spans = np.diff([begin, *heights, last])
    books = [DeskBook(each, seed) for each in (scenario, *(stage.after for stage in stages))]
    sums: Any = sum(int(span) * each.rows[:, Desk.cap_cpu : Desk.cap_gpu + 1] for span, each in zip(spans, books, strict=True))
    whole: NDArray[np.int64] = np.asarray(sums, np.int64) // max(1, last - begin)
    return whole


__all__ = ["StageChange", "mean_capacity", "parameters", "priced_anew", "reconfigure", "stages_of"]
