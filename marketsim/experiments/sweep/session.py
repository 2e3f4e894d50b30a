"""One sweep from its file to its report, in a folder of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from marketsim.experiments.runs.drawing import drawers
from marketsim.experiments.runs.execute import LocalPool, Runner, RunPool, usable_cores
from marketsim.experiments.runs.scenario_source import ScenarioFiles
from marketsim.experiments.sweep.folder import SweepFolder, open_sweep_folder
from marketsim.experiments.sweep.plan import ScenarioSource, SweepPlan, plan_sweep
from marketsim.experiments.sweep.reader import load_sweep
from marketsim.experiments.sweep.report import load_reporting, rule_sets, write_report
from marketsim.experiments.sweep.rounds import SweepResult, Watcher, run_sweep
from marketsim.scenario.shipped import found_file

_DRAWERS = 4
"""Most processes that draw a report: with more, each has less to draw than it takes to begin."""

PoolMaker = Callable[[SweepFolder], RunPool]


def read_plan(path: Path, source: ScenarioSource | None = None) -> SweepPlan:
    """The sweep in a file or of a shipped name, laid out and checked; raises InputError."""
    return plan_sweep(load_sweep(found_file(path, "sweeps")), source or ScenarioFiles())


def default_folder(plan: SweepPlan) -> Path:
    """Where a sweep goes without `--out`: `results/<scenario>/<sweep>-<8 hex of what it would run>`."""
    scenario = str(plan.scenario.get("name") or "scenario")
    return Path("results") / scenario / f"{plan.sweep.name}-{plan.digest()[:8]}"


def local_pool(plan: SweepPlan, runner: Runner, workers: int) -> PoolMaker:
    """A maker of the pool of local processes for a sweep."""
    return lambda folder: LocalPool(runner, folder.runs, workers, plan.sweep.timeout, load_reporting)


def dask_pool(plan: SweepPlan, runner: Runner, address: str) -> PoolMaker:
    """A maker of the pool on a Dask cluster for a sweep; making it raises InputError when none answers."""

    def make(folder: SweepFolder) -> RunPool:
        from marketsim.experiments.runs.dask_pool import DaskPool

        return DaskPool(runner, folder.runs, address, plan.sweep.timeout)

    return make


def carry_out(
    plan: SweepPlan,
    out: Path,
    make_pool: PoolMaker,
    *,
    resume: bool = False,
    watcher: Watcher | None = None,
    where: str = "local processes",
) -> tuple[SweepResult, dict[str, Any]]:
    """Run a planned sweep into `out` and report it; returns its rows and the content of `sweep.json`.

    Raises InputError when the folder is not this command's to write. Every file but the manifest's `timing`
    block depends only on the sweep, its scenario and the code.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    file = str(plan.loaded.path.resolve())  # by which `capsule create` finds what the sweep read
    pool = make_pool(SweepFolder(out))  # before anything is written: a cluster may not answer
    try:
        folder = open_sweep_folder(out, plan.sweep, resume=resume)
        folder.write_manifest({**_identity(plan), "state": "running", "timing": {"started": started.isoformat(), "file": file}})
        result = run_sweep(plan, folder, pool, watcher)
    finally:
        pool.close()
    beside = min(pool.workers, usable_cores(), _DRAWERS) - 1 if isinstance(pool, LocalPool) and result.executed else 0
    with drawers(plan.runner, beside):
        content = write_report(result, folder)
    folder.write_manifest(
        {
            **_identity(plan),
            "state": "complete",
            "rules": rule_sets(result),
            "versions": result.versions,
            "runs": len(result.rows),
            "failed": len(result.failures),
            "reproducible": result.reproducible,
            "timing": {
                "started": started.isoformat(),
                "finished": datetime.now(UTC).isoformat(),
                "wall_seconds": round(time.monotonic() - clock, 3),
                "runs_made": result.executed,
                "run_seconds": round(result.run_seconds, 3),
                "workers": pool.workers,
                "where": where,
                "file": file,
            },
        }
    )
    return result, content


def _identity(plan: SweepPlan) -> dict[str, Any]:
    return {
        "sweep": plan.sweep.as_json(),
        "digest": plan.digest(),
        "code": plan.code,
        "scenario": plan.scenario,
        "points": [list(point.labels()) for point in plan.design.points],
    }
