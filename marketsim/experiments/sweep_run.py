"""One run of a sweep: the simulation's summary with the course of its active leases, for the warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SAMPLES_MAX = 400


def run_with_activity(mapping: dict[str, Any], base: str, overrides: Sequence[str], seed: int) -> dict[str, Any]:
    """As `marketsim.simulation.run_summary`, with `activity` in the summary.

    It holds `hours` of simulated time and `active_leases` at each, at most 400 samples.
    """
    from marketsim.scenario import scenario_from_mapping
    from marketsim.simulation import run

    finished = run(scenario_from_mapping(mapping, Path(base), overrides), seed=seed)
    series = finished.record.timeseries
    step = -(-len(series["height"]) // SAMPLES_MAX)
    hours = series["height"][::step] * int(finished.record.meta["block_ms"]) / 3_600_000
    active = series["active_leases"][::step]
    activity = {"hours": [round(float(h), 4) for h in hours], "active_leases": [int(n) for n in active]}
    return {**finished.summary, "activity": activity}
