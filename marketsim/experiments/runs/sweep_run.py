"""One run of a sweep: the simulation's summary with the course of its active leases, for the warm-up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marketsim.experiments.runs.execute import Runner

if TYPE_CHECKING:
    from marketsim.simulation import Run

SAMPLES_MAX = 400


def sweep_runner(metrics: Iterable[str]) -> Runner:
    """The runner whose summaries have all the metrics: with `welfare` only where one begins with it."""
    names = list(metrics)
    if any(name.startswith("welfare.efficiency") for name in names):
        return run_with_hindsight
    return run_with_welfare if wants_welfare(names) else run_with_activity


def wants_welfare(metrics: Iterable[str]) -> bool:
    """Whether one of the metrics is about welfare, which takes longer than the run's own summary."""
    return any(name.startswith("welfare.") for name in metrics)


def run_with_activity(mapping: dict[str, Any], base: str, overrides: Sequence[str], seed: int) -> dict[str, Any]:
    """As `marketsim.simulation.run_summary`, with `activity` in the summary.

    It holds `hours` of simulated time and `active_leases` at each, at most 400 samples.
    """
    from marketsim.scenario import scenario_from_mapping
    from marketsim.simulation import run

    return _with_activity(run(scenario_from_mapping(mapping, Path(base), overrides), seed=seed))


def run_with_welfare(mapping: dict[str, Any], base: str, overrides: Sequence[str], seed: int) -> dict[str, Any]:
    """As `run_with_activity`, with the block `welfare` of `run_welfare` in the summary."""
    return _with_welfare(mapping, base, overrides, seed, hindsight=False)


def run_with_hindsight(mapping: dict[str, Any], base: str, overrides: Sequence[str], seed: int) -> dict[str, Any]:
    """As `run_with_welfare`, with the efficiency against the best assignment in hindsight, which takes longer."""
    return _with_welfare(mapping, base, overrides, seed, hindsight=True)


def _with_welfare(mapping: dict[str, Any], base: str, overrides: Sequence[str], seed: int, *, hindsight: bool) -> dict[str, Any]:
    from marketsim.experiments.runs.welfare import welfare_of
    from marketsim.scenario import scenario_from_mapping
    from marketsim.simulation import run

    scenario = scenario_from_mapping(mapping, Path(base), overrides)
    finished = run(scenario, seed=seed)
    return {**_with_activity(finished), "welfare": welfare_of(scenario, seed, finished.record, hindsight=hindsight)}


def _with_activity(finished: Run) -> dict[str, Any]:
    series = finished.record.timeseries
    step = -(-len(series["height"]) // SAMPLES_MAX)
    hours = series["height"][::step] * int(finished.record.meta["block_ms"]) / 3_600_000
    active = series["active_leases"][::step]
    activity = {"hours": [round(float(h), 4) for h in hours], "active_leases": [int(n) for n in active]}
    return {**finished.summary, "activity": activity}
