"""Says how far a run's chance was from the expected: controls of its demand and its providers' costs, each 0 on average.

Nothing here depends on what the market did, and a mean that no formula gives is that of fresh draws of the same law, from streams of
their own: so each control has mean 0 exactly, whatever the laws and wherever they are cut off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marketsim.agents.demand import Arrivals
from marketsim.agents.streams import Keys, key_of, keys_from
from marketsim.recording.record import Record
from marketsim.scenario import Scenario
from marketsim.scenario.tenants import TenantCohort
from marketsim.simulation.orders import arrivals_of, costs_of, expected_arrivals, horizon_of, lives_of, mean_arrivals, rate_of
from marketsim.statistics.estimates import FloatArray

IntArray = NDArray[np.int64]

# Fresh draws for each order that was made: they add a sixteenth to the variance of a control. No more than MOST, for speed: markets of
# more than 130,000 orders have controls of their number and costs, and weaker ones of their size.
FRESH, LEAST, MOST = 16, 1_024, 1 << 17


def arrivals_by_cohort(scenario: Scenario, seed: int) -> list[Arrivals | None]:
    """What every cohort's own demand is with this seed; None for one whose law is not known: of a trace, a class, RM-1."""
    if scenario.market is not None:
        return []
    return [
        None
        if cohort.demand.trace is not None or cohort.demand.python is not None
        else arrivals_of(cohort, scenario, seed, rate_of(cohort, scenario, seed), horizon_of(scenario))[0]
        for cohort in scenario.tenants
    ]


def chance_of(scenario: Scenario, seed: int, record: Record, drawn: Sequence[Arrivals | None]) -> dict[str, float]:
    """The controls of one run by name, of the window after `warm_up`; none that cannot vary in the scenario. `drawn` are its
    `arrivals_by_cohort`.

    `orders`: arrivals less those expected of a Poisson process with its profiles, bursts and surges. `size`: what the orders cost at
    generic prices, uve per block, less what so many are expected to. `work`: the same times the blocks that they would be served.
    `worth`: how many of them are worth at least that cost to their tenants, less the expected number. `cost`: the providers' mean
    logarithm of their own cost draws, weighed by their cpu.
    """
    return chance_of_demand(scenario, seed, drawn) | chance_of_costs(scenario, record)


def chance_of_demand(scenario: Scenario, seed: int, drawn: Sequence[Arrivals | None]) -> dict[str, float]:
    """The controls of `chance_of` that the demand alone decides: providers have no part in them."""
    found: dict[str, float] = {}
    for cohort, arrivals in zip(scenario.tenants, drawn, strict=False):
        for name, value in ({} if arrivals is None else _demand(cohort, scenario, seed, arrivals)).items():
            found[name] = found.get(name, 0.0) + value
    return found


def chance_of_costs(scenario: Scenario, record: Record) -> dict[str, float]:
    """The controls of `chance_of` that the providers' draws decide."""
    cost = _cost(scenario, record)
    return {} if cost is None else {"cost": cost}


def demand_of(scenario: Scenario, seed: int, drawn: Sequence[Arrivals | None]) -> dict[str, float]:
    """`arrivals` of the cohorts with a rate within the horizon, and how many were `expected` given the seed's bursts; `drawn` are its
    `arrivals_by_cohort`."""
    found = {"arrivals": 0.0, "expected": 0.0}
    for cohort, arrivals in zip(scenario.tenants, drawn, strict=False):
        if arrivals is not None and cohort.demand.orders is None:
            found["arrivals"] += float(len(arrivals.times))
            found["expected"] += expected_arrivals(cohort, scenario, seed, whole=True)
    return found


def _demand(cohort: TenantCohort, scenario: Scenario, seed: int, arrivals: Arrivals) -> dict[str, float]:
    block_ms, horizon, begin = scenario.block_ms, scenario.horizon_blocks, scenario.warm_up_blocks
    window = arrivals.times > begin * block_ms
    found: dict[str, float] = {}
    if cohort.demand.orders is None:
        found["orders"] = float(window.sum() - mean_arrivals(cohort, scenario))
    fresh = keys_from(key_of(seed, f"chance/{cohort.name}"), int(np.clip(FRESH * len(window), LEAST, MOST)))
    (own, value), (others, values) = costs_of(cohort, scenario, arrivals.keys), costs_of(cohort, scenario, fresh)
    found["worth"] = float((value >= own)[window].sum() - window.sum() * (values >= others).mean())
    found["size"] = float(own[window].sum() - window.sum() * others.mean())
    starts = arrivals.times / block_ms
    ends = starts + _lives(cohort, arrivals.keys, block_ms)
    lives = _lives(cohort, fresh, block_ms)
    served = np.clip(np.minimum(ends, horizon) - np.maximum(starts, begin), 0.0, None)
    until_horizon, until_window = _expected_within(others, lives, horizon - starts, np.maximum(begin - starts, 0.0))
    found["work"] = float((own * served).sum() - (until_horizon - until_window).sum())
    # Orders that are all alike differ from the expected by rounding alone.
    sizes = {"size": float(own.sum()), "work": float((own * served).sum())}
    return {name: 0.0 if abs(value) <= 1e-9 * sizes.get(name, 0.0) else value for name, value in found.items()}


def _lives(cohort: TenantCohort, keys: Keys, block_ms: int) -> FloatArray:
    planned, early = lives_of(cohort, keys, block_ms)
    return np.where(early >= 0, np.minimum(early, planned), planned).astype(np.float64)


def _expected_within(costs: FloatArray, lives: FloatArray, *rooms: FloatArray) -> list[FloatArray]:
    """Mean of cost × min(life, room) over the fresh draws, for each room in blocks."""
    order = _ascending(lives)
    ranked, costs = lives[order], costs[order]
    ended = np.concatenate([[0.0], np.cumsum(costs * ranked)])
    begun = np.concatenate([[0.0], np.cumsum(costs)])
    places = [np.searchsorted(ranked, room) for room in rooms]
    return [(ended[at] + room * (begun[-1] - begun[at])) / lives.size for at, room in zip(places, rooms, strict=True)]


def _ascending(blocks: FloatArray) -> IntArray:
    """The order in which whole numbers of blocks ascend, of equal ones the first first: each sorted with its place below it as one number,
    which takes a fifth of the time of a stable sort."""
    bits = (len(blocks) - 1).bit_length()
    if blocks.max(initial=0.0) * 2.0**bits >= 2.0**62:
        return np.argsort(blocks, kind="stable")
    placed = np.sort((blocks.astype(np.int64) << bits) | np.arange(len(blocks)))
    return placed & ((1 << bits) - 1)


def _cost(scenario: Scenario, record: Record) -> float | None:
    if not any(cohort.spread for cohort in scenario.providers):
        return None
    ppm, cpu = record.providers["cost_ppm"].astype(np.float64), record.providers["cpu"].astype(np.float64)
    known = (ppm > 0) & (cpu > 0)
    return float(np.average(np.log(ppm[known] / 1e6), weights=cpu[known])) if known.any() else None
