"""One run of a sweep, a comparison or a search: the simulation's summary with what their reports need beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marketsim.experiments.runs.course import Span, spans_key
from marketsim.experiments.runs.items import is_item
from marketsim.experiments.runs.metric_names import wants_hindsight, wants_welfare

if TYPE_CHECKING:
    from marketsim.scenario import Scenario
    from marketsim.simulation import Run

SAMPLES_MAX = 400
SCENARIOS_KEPT = 256
"""Scenarios of design points that a worker keeps."""
DEMANDS_KEPT = 1_024
"""Demands, each with a seed, of which a worker keeps how far they were from the expected."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """Makes one run of a scenario given as plain data; picklable. `welfare` adds the block of that name to the summary.

    `spans` adds `series`, by key the course of each metric over time, `items` the values of every
    lease or provider, `trail` the text of `trail.csv`. `hindsight` adds to the welfare
    the efficiency against the best assignment in hindsight, which takes longer. Every
    summary has `activity`: `hours` of simulated time and `active_leases` at each, at most 400 samples; and `chance`, how far the run's
    demand and costs were from the expected (`chance_of`), and `demand`, its Poisson arrivals and their expected number.
    """

    welfare: bool = False
    hindsight: bool = False
    spans: tuple[Span, ...] = ()
    items: tuple[str, ...] = ()
    trail: bool = False

    def __call__(self, scenario: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
        """The summary of one run; `base` is the folder of the files that the scenario names."""
        from marketsim.experiments.runs.chance import chance_of_costs
        from marketsim.simulation import run
        from marketsim.simulation.shared_orders import sharing

        loaded, demand = _loaded(scenario, base)
        with sharing(demand):
            finished = run(loaded, seed=seed, trail=self.trail)
        chance, arrived = _demand_of(loaded, seed, demand)
        summary = {**finished.summary, "activity": _activity(finished), "chance": chance | chance_of_costs(loaded, finished.record)}
        summary["demand"] = dict(arrived)
        if finished.record.trail is not None:
            summary["trail"] = finished.record.trail.text()
        if self.items:
            from marketsim.experiments.runs.items import items_of

            summary["items"] = items_of(finished.record, self.items)
        if self.spans:
            from marketsim.experiments.runs.course import course_of

            summary["series"] = {span.key: course_of(finished.record, span) for span in self.spans}
        if self.welfare:
            from marketsim.experiments.runs.welfare import welfare_of

            summary["welfare"] = welfare_of(loaded, seed, finished.record, hindsight=self.hindsight)
        return summary

    @property
    def extent(self) -> str:
        """What the summaries hold: part of a run's key, so that no run stands for one that holds more."""
        plain = "hindsight" if self.hindsight else "welfare" if self.welfare else "plain"
        return ", ".join([plain, *([spans_key(self.spans)] if self.spans else []), *self.items, *(["trail"] if self.trail else [])])


def _loaded(mapping: dict[str, Any], base: str) -> tuple[Scenario, str | None]:
    """Return the scenario in a mapping and what names its demand: it is read and checked once for all replications of a design point that
    a worker makes."""
    from marketsim.scenario import scenario_from_mapping

    key = json.dumps([mapping, base], default=str)
    found = _SCENARIOS.get(key)
    if found is None:
        scenario = scenario_from_mapping(mapping, Path(base))
        found = scenario, _name_of_demand(scenario)
        if len(_SCENARIOS) >= SCENARIOS_KEPT:
            _SCENARIOS.clear()
        _SCENARIOS[key] = found
    return found


def _name_of_demand(scenario: Scenario) -> str | None:
    """Return what two scenarios have in common whose tenants draw the same orders from one seed: all but the providers. None where a
    file, a user's code or a schedule has a part in the orders."""
    drawn = all(cohort.demand.python is None and cohort.demand.trace is None for cohort in scenario.tenants)
    if scenario.market is not None or scenario.stages or not drawn:
        return None
    content = {key: value for key, value in scenario.effective().items() if key not in ("name", "description", "seed", "providers")}
    return json.dumps([content, str(scenario.base)], sort_keys=True, default=str)


def _demand_of(scenario: Scenario, seed: int, demand: str | None) -> tuple[dict[str, float], dict[str, float]]:
    """Return how far a run's demand was from the expected, and its arrivals: once for all design points that share the demand."""
    from marketsim.experiments.runs.chance import arrivals_by_cohort, chance_of_demand, demand_of

    found = _DEMANDS.get((demand, seed))
    if found is None:
        drawn = arrivals_by_cohort(scenario, seed)
        found = chance_of_demand(scenario, seed, drawn), demand_of(scenario, seed, drawn)
        if demand is not None:
            if len(_DEMANDS) >= DEMANDS_KEPT:
                _DEMANDS.clear()
            _DEMANDS[demand, seed] = found
    return found


_SCENARIOS: dict[str, tuple[Scenario, str | None]] = {}
_DEMANDS: dict[tuple[str | None, int], tuple[dict[str, float], dict[str, float]]] = {}


def runner_for(metrics: Iterable[str], spans: Iterable[Span] = (), *, trail: bool = False) -> Simulated:
    """The runner whose summaries have all the metrics and series: no welfare, or no hindsight, where none asks for it.

    Raises ModuleNotFoundError without scipy (extra `stats`): what is made of many runs needs it, better said before they run.
    """
    if find_spec("scipy") is None:
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")
    names = list(metrics)
    items = tuple(dict.fromkeys(name for name in names if is_item(name)))
    return Simulated(welfare=wants_welfare(names), hindsight=wants_hindsight(names), spans=tuple(spans), items=items, trail=trail)


def _activity(finished: Run) -> dict[str, Any]:
    series = finished.record.timeseries
    step = -(-len(series["height"]) // SAMPLES_MAX)
    hours = series["height"][::step] * int(finished.record.meta["block_ms"]) / 3_600_000
    active = series["active_leases"][::step]
    return {"hours": [round(float(h), 4) for h in hours], "active_leases": [int(n) for n in active]}
