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
SCENARIOS_KEPT = 32
"""Scenarios of design points that a worker keeps."""


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
        from marketsim.experiments.runs.chance import arrivals_by_cohort, chance_of, demand_of
        from marketsim.simulation import run

        loaded = _loaded(scenario, base)
        finished = run(loaded, seed=seed, trail=self.trail)
        drawn = arrivals_by_cohort(loaded, seed)
        summary = {**finished.summary, "activity": _activity(finished), "chance": chance_of(loaded, seed, finished.record, drawn)}
        summary["demand"] = demand_of(loaded, seed, drawn)
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


def _loaded(mapping: dict[str, Any], base: str) -> Scenario:
    """Return the scenario in a mapping: it is read and checked once for all replications of a design point that a worker makes."""
    from marketsim.scenario import scenario_from_mapping

    key = json.dumps([mapping, base], default=str)
    scenario = _KEPT.get(key)
    if scenario is None:
        scenario = scenario_from_mapping(mapping, Path(base))
        if len(_KEPT) >= SCENARIOS_KEPT:
            _KEPT.clear()
        _KEPT[key] = scenario
    return scenario


_KEPT: dict[str, Scenario] = {}


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
