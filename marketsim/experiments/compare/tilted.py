"""Finds how likely a rare event is with runs of another demand, weighed by how much likelier they are in truth: importance sampling.

The arrivals of all cohorts with a rate are multiplied by one factor f. Under it n arrivals, of which Λ were expected in truth (given the
seed's bursts), have the likelihood ratio

    truth ÷ tilted = exp((f − 1) Λ) f^−n

and nothing else of a run changes its law. The factor is found by the cross-entropy method (Rubinstein 1999): pilot runs, the fifth of
them that come nearest to the event, and the factor under which their arrivals are likeliest, again until a fifth reaches the event.
A tenth of the runs that then measure it are drawn as they are in truth, which keeps every weight below ten (Hesterberg 1995).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketsim.experiments.runs.variants import Runs, Summary, Variant
from marketsim.scenario.literals import Rate, parse_rate
from marketsim.statistics.estimates import FloatArray
from marketsim.statistics.tails import WeightedProbability, weighted_probability

ELITE, PILOT_SHARE, PILOT_LEAST, PILOTS_MOST, TRUE_SHARE = 0.2, 0.1, 20, 5, 0.1
# Beyond this a scenario is another market, and below it has no demand.
_FACTOR_MOST = 5.0


@dataclass(frozen=True)
class Tilted:
    """A probability by runs with demand multiplied by `factor`, or the `reason` why there is none."""

    factor: float
    pilots: int
    found: WeightedProbability | None
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "demand_factor": self.factor,
            "pilot_runs": self.pilots,
            "reason": self.reason or None,
            **(self.found.as_json() if self.found is not None else {}),
        }

    def words(self) -> str:
        """A line for the command."""
        if self.found is None:
            return f"tilted      not used: {self.reason}"
        found = self.found
        head = f"tilted      demand × {self.factor:.3g}, {self.pilots} pilot runs and {found.count} more"
        if self.reason:
            return f"{head}: {self.reason}"
        return (
            f"{head}: probability {100 * found.estimate:.3g} % [{100 * found.interval.low:.3g} %, {100 * found.interval.high:.3g} %]; "
            f"as small an error takes {found.gain:,.3g} × as many plain runs"
        )


def tilted_probability(
    variant: Variant,
    runs: Runs,
    slack: Callable[[Summary], float],
    reached: Callable[[float], bool],
    count: int,
    first_seed: int,
    level: float = 0.95,
    progress: Callable[[int, int], None] | None = None,
) -> Tilted:
    """The probability of what `reached(slack(summary))` says of a run, by `count` runs in all from `first_seed` on; RunFailedError."""
    rates = rates_of(variant)
    if isinstance(rates, str):
        return Tilted(1.0, 0, None, rates)
    pilot = max(PILOT_LEAST, round(PILOT_SHARE * count))
    if count < 2 * pilot:
        return Tilted(1.0, 0, None, f"{count} runs are too few, give at least {2 * pilot}")
    made, factor = 0, 1.0

    def summaries(at: float, number: int) -> list[Summary]:
        nonlocal made
        seeds = range(first_seed + made, first_seed + made + number)
        made += number
        found = runs.summaries([variant if at == 1.0 else _at(variant, rates, at)], list(seeds))[0]
        if progress is not None:
            progress(made, count)
        return found

    for _ in range(PILOTS_MOST):
        if made + 2 * pilot > count:
            return Tilted(factor, made, None, "the number of orders does not bring the event near: pilot runs did not reach it")
        pilots = summaries(factor, pilot)
        slacks = np.array([slack(one) for one in pilots])
        if not np.isfinite(slacks).any():
            return Tilted(factor, made, None, "a metric of it is undefined in the pilot runs")
        slacks = np.where(np.isfinite(slacks), slacks, -np.inf)
        line = float(np.sort(slacks)[-max(2, round(ELITE * pilot))])
        there = reached(line)
        elite = np.array([reached(value) for value in slacks]) if there else slacks >= line
        arrivals, expected = _demand(pilots, factor)
        if not expected.any():
            return Tilted(1.0, made, None, "the number of orders does not vary")
        weights = np.exp(likelihood_ratio(arrivals, expected, factor) - likelihood_ratio(arrivals, expected, factor)[elite].max())
        factor = float((weights * arrivals)[elite].sum() / (weights * expected)[elite].sum())
        factor = min(max(factor, 1 / _FACTOR_MOST), _FACTOR_MOST)
        if there:
            break
    pilots_made = made
    left = count - made
    truly = max(2, round(TRUE_SHARE * left))
    share = truly / left
    strata: list[tuple[FloatArray, FloatArray]] = []
    for at, number in ((1.0, truly), (factor, left - truly)):
        found = summaries(at, number)
        arrivals, expected = _demand(found, at)
        ratio = np.exp(np.minimum(-likelihood_ratio(arrivals, expected, factor), 700.0))
        happened = np.array([float(reached(slack(one))) for one in found])
        strata.append((1 / (share + (1 - share) * ratio), happened))
    measured = weighted_probability(strata, level)
    reason = "" if math.isfinite(measured.interval.low) and measured.hits >= 10 else f"{measured.hits} hits are too few for an interval"
    if not reason and not measured.gain > 1:
        reason = "it helps nothing, the event does not follow the number of orders; the plain runs stand"
    return Tilted(factor, pilots_made, measured, reason)


def likelihood_ratio(arrivals: FloatArray, expected: FloatArray, factor: float) -> FloatArray:
    """Logarithm of the density of so many arrivals in truth ÷ under demand × factor, `expected` in truth."""
    found: FloatArray = (factor - 1) * expected - arrivals * math.log(factor)
    return found


def _demand(summaries: list[Summary], factor: float) -> tuple[FloatArray, FloatArray]:
    """Arrivals of runs under demand × factor, and how many were expected in truth."""
    arrivals = np.array([one["demand"]["arrivals"] for one in summaries], dtype=np.float64)
    return arrivals, np.array([one["demand"]["expected"] for one in summaries], dtype=np.float64) / factor


def rates_of(variant: Variant) -> dict[str, Rate] | str:
    """The paths of all rates of arrivals with their values, or why demand cannot be tilted."""
    tenants = variant.mapping.get("tenants") or []
    found: dict[str, Rate] = {}
    others = []
    for cohort in tenants:
        demand = cohort.get("demand")
        demand = {"arrivals": demand} if isinstance(demand, str) else demand
        key = next((key for key in ("arrivals", "arrivals_each") if isinstance(demand, Mapping) and demand.get(key) is not None), None)
        if key is None:
            others.append(str(cohort.get("name")))
            continue
        # `demand: 20/h` stands for its `arrivals`.
        short = isinstance(cohort.get("demand"), str)
        found[f"tenants.{cohort['name']}.demand" + ("" if short else f".{key}")] = parse_rate(demand[key])
    if not found:
        return "no cohort orders by a Poisson process, so the number of orders does not vary"
    if others and variant.mapping.get("initial"):
        return f"orders at the start depend on the rates, and {', '.join(others)} has none to multiply"
    return found


def _at(variant: Variant, rates: Mapping[str, Rate], factor: float) -> Variant:
    return variant.changed(f"{variant.label}, demand × {factor:.6g}", {path: _times(rate, factor) for path, rate in rates.items()})


def _times(rate: Rate, factor: float) -> str:
    return str(Rate(float(f"{rate.count * factor:.12g}"), rate.unit))
