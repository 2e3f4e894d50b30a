"""Many runs from Python: sweeps, comparisons, searches, risks; on all processors, from notebooks and from scripts of any kind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marketsim.errors import InputError
from marketsim.experiments.compare.asked import check_metrics, parse_margin, parse_stopping
from marketsim.experiments.compare.paired import DEFAULT_METRICS
from marketsim.experiments.compare.paired import compare as compare_arms
from marketsim.experiments.compare.report import comparison_files, comparison_lines
from marketsim.experiments.compare.risk import assess, parse_event, risk_lines
from marketsim.experiments.optimize.asked import check_search, fitted
from marketsim.experiments.optimize.report import optimization_files, optimization_lines
from marketsim.experiments.optimize.search import optimize as search
from marketsim.experiments.optimize.search import parse_constraint, parse_factor, parse_figure
from marketsim.experiments.runs.execute import Outcome, PoolLostError, RunTask, usable_cores
from marketsim.experiments.runs.scenario_source import ScenarioFiles
from marketsim.experiments.runs.simulated import runner_for
from marketsim.experiments.runs.variants import Arm, PooledRuns, Recorded, RunFailedError, Runs, SerialRuns, Variant, read_recorded
from marketsim.experiments.runs.whole_folder import write_folder
from marketsim.experiments.sweep.dry_run import dry_run
from marketsim.experiments.sweep.plan import SweepPlan, plan_sweep
from marketsim.experiments.sweep.reader import load_sweep, sweep_of
from marketsim.experiments.sweep.rounds import SweepResult
from marketsim.experiments.sweep.session import carry_out, dask_pool, default_folder, local_pool
from marketsim.export.folder import free_folder
from marketsim.export.images import StyleLike, look_of, looking, with_copies
from marketsim.face.finding import Finding
from marketsim.face.runs import ScenarioLike
from marketsim.face.telling import Telling, Told, told
from marketsim.interrupts import Unwinding
from marketsim.scenario.html_lines import html_table
from marketsim.scenario.load import Overrides, load_scenario
from marketsim.scenario.model import Scenario
from marketsim.scenario.shipped import found_file

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SweepLike = str | os.PathLike[str] | Mapping[str, Any]
"""The path of a sweep file, the name of a shipped one, or a mapping with its keys."""


class SweepRuns:
    """What a sweep gave: its runs and its design points as frames, its report on disk.

    `content` is the mapping of sweep.json, `folder` holds report.html, results.csv and a file for each run, `holds` says whether every run
    succeeded.
    """

    def __init__(self, result: SweepResult, content: Mapping[str, Any], folder: Path) -> None:
        self.result = result
        self.content = dict(content)
        self.folder = folder

    @property
    def holds(self) -> bool:
        """Whether every run gave a summary."""
        return not self.result.failures

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row a run: point, replication, seed, the level of each factor, status, and each metric as a number (money in uve)."""
        import pandas as pd

        result = self.result
        rows = []
        for row in result.rows:
            levels = dict(zip(self._factors, result.plan.design.points[row.point].labels(), strict=True))
            metrics = dict(zip(result.metrics, row.values, strict=True))
            rows.append({"point": row.point, **levels, "replication": row.replication, "seed": row.seed, "status": row.status, **metrics})
        return pd.DataFrame(rows)

    @cached_property
    def points(self) -> pd.DataFrame:
        """A row a design point: the level of each factor, and of each metric mean, low and high (Student's interval) and count.

        Columns of metrics are pairs (metric, part); of factors (factor, "").
        """
        import pandas as pd

        rows = []
        for point in self.content["points"]:
            labels = self.result.plan.design.points[point["point"]].labels()
            row: dict[tuple[str, str], Any] = {(name, ""): label for name, label in zip(self._factors, labels, strict=True)}
            for name, cell in point["metrics"].items():
                row |= {(name, "mean"): cell["mean"], (name, "low"): cell["t"]["low"], (name, "high"): cell["t"]["high"]}
                row[name, "count"] = cell["count"]
            rows.append(row)
        found = pd.DataFrame(rows)
        found.columns = pd.MultiIndex.from_tuples(list(found.columns))
        return found

    def plot(self, metric: str, factor: str | None = None, axes: Axes | None = None) -> Axes:
        """Draw a metric's mean with its interval at each level of a factor (the first one), a line for each combination of the others."""
        from marketsim.face.plots import plot_points

        if metric not in self.result.metrics:
            raise InputError(f"plot: {metric!r} was not recorded, metrics are {', '.join(self.result.metrics)}")
        if factor is not None and factor not in self._factors:
            raise InputError(f"plot: {factor!r} is no factor, factors are {', '.join(self._factors)}")
        return plot_points(self.points, metric, factor or self._factors[0], self._factors, self.result.naming(metric), axes)

    @property
    def _factors(self) -> list[str]:
        return [factor.name for factor in self.result.plan.sweep.factors]

    def __repr__(self) -> str:
        return (
            f"<Sweep {self.result.plan.sweep.name}: {len(self.result.rows)} runs, {len(self.content['points'])} points, in {self.folder}>"
        )

    def _repr_html_(self) -> str:
        """A few lines for notebooks."""
        failed = len(self.result.failures)
        rows = {
            "factors": ", ".join(self._factors),
            "points": str(len(self.content["points"])),
            "runs": f"{len(self.result.rows)}" + (f", {failed} failed" if failed else ""),
            "report": str(self.folder / "report.html"),
        }
        return html_table(f"Sweep {self.result.plan.sweep.name}", rows)


def sweep(
    design: SweepLike,
    *,
    scenario: ScenarioLike | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    resume: bool = True,
    out: str | os.PathLike[str] | None = None,
    dry: bool = False,
    formats: Sequence[str] = (),
    style: StyleLike | None = None,
    progress: Telling = None,
) -> SweepRuns | Finding:
    """Run a design × replications on all processors, or on a Dask cluster at `scheduler`, and return its runs.

    `design` is a sweep file, the name of a shipped one (`"pricing"`), or a mapping with the keys of a sweep file; `scenario` takes the
    place of the one that it names. `workers` are processes on this machine, all its cores unless given: it works from notebooks, and
    scripts need no `if __name__ == "__main__"`. `out` is the folder, by default one below results/ that is named by what is run. A run
    that is there is not made again (`resume=False` refuses a folder with runs), so an interrupted sweep goes on where it was when it is
    called again. `dry` makes a few pilot runs only and returns a Finding with the number of runs and an estimate of the time. `formats`
    writes the report's figures as pdf or svg too, `style` is how they look (see `Plots`).

    Results do not depend on the number of workers. Raises InputError for a design that cannot be run, RuntimeError when the cluster is
    lost.

    >>> import tempfile, marketsim as ms
    >>> take = {"name": "share", "path": "take", "levels": [0.02, 0.1]}
    >>> design = {"scenario": "tiny", "factors": [take], "metrics": ["orders.leased"], "replications": 1}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ms.sweep(design, workers=1, out=folder, progress=False).runs["orders.leased"].tolist()
    [3.0, 3.0]
    """
    plan = _plan(design, scenario)
    runner = plan.runner
    count = _workers(workers)
    if dry:
        estimate = dry_run(plan, runner, count)
        data = estimate.as_json()
        return Finding(data, [f"{key}: {value}" for key, value in data.items() if not isinstance(value, (list, dict))], found=estimate)
    look = look_of(formats, style)
    folder = Path(out) if out is not None else default_folder(plan)
    maker, where = (
        (dask_pool(plan, runner, scheduler), "Dask") if scheduler is not None else (local_pool(plan, runner, count), "local processes")
    )
    going_on = _kept(f"go on with ms.sweep(…, out={str(folder)!r})")
    with told(f"sweep {plan.sweep.name}", "runs", progress) as tell, going_on, Unwinding(), looking(look):
        result, content = carry_out(plan, folder, maker, resume=resume, watcher=_Telling(tell), where=where)
    return SweepRuns(result, content, folder)


class _Telling:
    """Tells the progress of a sweep's rounds."""

    def __init__(self, tell: Told | None) -> None:
        self._tell = tell
        self._done = self._all = 0

    def start(self, runs: int, finished: int, workers: int) -> None:
        """A round begins."""
        self._all += runs
        self._done += finished
        self._say()

    def run_done(self, task: RunTask, outcome: Outcome) -> None:
        """A run is done."""
        self._done += 1
        self._say()

    def stop(self) -> None:
        """A round is over."""

    def _say(self) -> None:
        if self._tell is not None:
            self._tell(self._done, self._all)


@contextmanager
def _kept(how: str) -> Iterator[None]:
    """Say of an interrupt, and of a cluster that has gone, that what is done is kept."""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(f"finished runs are kept, {how}")
        raise
    except PoolLostError as error:
        raise RuntimeError(f"{error}; finished runs are kept, {how}") from None


def _plan(design: SweepLike, scenario: ScenarioLike | None) -> SweepPlan:
    if isinstance(design, Mapping):
        keys = dict(design)
        inner = scenario if scenario is not None else keys.get("scenario")
        if inner is None:
            raise InputError("sweep: scenario: is missing, give a path, the name of a shipped scenario, a mapping or a loaded scenario")
        loaded = load_scenario(inner) if not isinstance(inner, Scenario) else inner
        keys["scenario"] = str(inner) if isinstance(inner, (str, os.PathLike)) else loaded.name
        keys.setdefault("name", "sweep")
        return plan_sweep(sweep_of(keys, Path()), ScenarioFiles(), (loaded.written(), str(loaded.base.resolve())))
    read = load_sweep(found_file(design, "sweeps"))
    if scenario is None:
        return plan_sweep(read, ScenarioFiles())
    loaded = load_scenario(scenario)
    return plan_sweep(read, ScenarioFiles(), (loaded.written(), str(loaded.base.resolve())))


def compare(
    a: ScenarioLike,
    b: ScenarioLike | None = None,
    *,
    overrides: Overrides = (),
    overrides_a: Overrides = (),
    overrides_b: Overrides = (),
    metrics: Sequence[str] = DEFAULT_METRICS,
    pairs: int = 60,
    until_decided: bool = False,
    margin: str | float | None = None,
    stopping: str = "obrien-fleming",
    independent: bool = False,
    level: float = 0.95,
    seed: int = 1,
    workers: int | None = None,
    out: str | os.PathLike[str] | None = None,
    formats: Sequence[str] = (),
    style: StyleLike | None = None,
    progress: Telling = None,
) -> Finding:
    """Compare two scenarios run for run over common random numbers; the first metric decides.

    `a` and `b` are scenarios of any kind, or folders of finished runs; without `b` it is `a` changed by `overrides_b`. `metrics` are
    numbers of summary.json by dotted path. `pairs` is the most pairs, pair k has seed `seed` + k on both sides. `margin` is what counts
    as no difference: `"2%"` of A's mean or a number in the metric's unit. `stopping` is obrien-fleming, pocock, fixed or always-valid.
    `out` is a new folder for report and data; none is written without it. `formats` writes its figures as pdf or svg too, `style` is how
    they look (see `Plots`).

    `found` is a Comparison: `found.first.difference`, `.interval`, `.verdict`. Raises InputError for what cannot be compared,
    RuntimeError when a run fails.
    """
    if b is None and not overrides_b:
        raise InputError("compare: b: is missing, give another scenario, or overrides_b to change a")
    rule = parse_stopping(stopping, until_decided=until_decided)
    _level(level)
    arms = (_arm(a, overrides, overrides_a, "a"), _arm(a if b is None else b, overrides, overrides_b, "b"))
    wanted = list(dict.fromkeys(metrics))
    check_metrics(arms, wanted, independent=independent)
    difference = None if margin is None else parse_margin(str(margin))
    target, look = _free(out), look_of(formats, style)
    with _runs(arms, wanted, workers) as runs, told("compare", "pairs", progress) as tell:
        try:
            found = compare_arms(
                *arms,
                runs,
                metrics=wanted,
                pairs=pairs,
                first_seed=seed,
                until_decided=until_decided,
                margin=difference,
                independent=independent,
                level=level,
                stopping=rule,
                progress=tell,
            )
        except ValueError as error:
            raise InputError(f"compare: {error}") from error
    if target is not None:
        with looking(look):
            write_folder(target, with_copies(comparison_files(found)))
    return Finding(found.as_json(), comparison_lines(found), found=found, folder=target)


def optimize(
    scenario: ScenarioLike,
    factors: str | Sequence[str] | Mapping[str, str],
    objective: str,
    *,
    budget: int = 200,
    constraints: Sequence[str] = (),
    minimize: bool = False,
    overrides: Overrides = (),
    per_point: int = 1,
    seed: int = 1,
    workers: int | None = None,
    out: str | os.PathLike[str] | None = None,
    formats: Sequence[str] = (),
    style: StyleLike | None = None,
    progress: Telling = None,
) -> Finding:
    """Search a scenario's best setting under noise; the figures come from fresh seeds.

    `factors` are texts `"bid_window=5..50 blocks"` or path → range; `objective` is a metric or an expression of several, `constraints`
    are like `"fill_rate>=0.8"`. `budget` is the number of runs in all. `out` is a new folder for report and data, `formats` writes its
    figures as pdf or svg too, `style` is how they look (see `Plots`). `found` is an
    Optimization: `found.settings` is the recommendation, empty for the scenario as it is; `holds` says whether it meets the constraints.
    Raises InputError for what cannot be searched, RuntimeError when a run fails.
    """
    texts = [factors] if isinstance(factors, str) else [f"{k}={v}" for k, v in factors.items()] if isinstance(factors, Mapping) else factors
    variant = _arm(scenario, overrides, (), "scenario")
    if isinstance(variant, Recorded):
        raise InputError(f"optimize: {scenario}: is a folder, give a scenario")
    searched = [fitted(variant, parse_factor(text)) for text in texts]
    goal = parse_figure(objective, "objective")
    wanted = [parse_constraint(text) for text in constraints]
    check_search(variant, searched, goal, wanted)
    target, look = _free(out), look_of(formats, style)
    names = [name for figure in (goal, *(one.slack for one in wanted)) for name in figure.metrics]
    with _runs((variant,), names, workers) as runs, told("optimize", "runs", progress) as tell:
        found = search(
            variant,
            runs,
            searched,
            goal,
            budget=budget,
            constraints=wanted,
            maximize=not minimize,
            per_point=per_point,
            seed=seed,
            progress=tell,
        )
    if target is not None:
        with looking(look):
            write_folder(target, with_copies(optimization_files(found)))
    return Finding(found.as_json(), optimization_lines(found), holds=found.feasible, found=found, folder=target)


def risk(
    scenario: ScenarioLike,
    *,
    metrics: Sequence[str] = (),
    events: Sequence[str] = (),
    overrides: Overrides = (),
    runs: int = 200,
    level: float = 0.95,
    seed: int = 1,
    workers: int | None = None,
    progress: Telling = None,
) -> Finding:
    """Say how bad it can get: value at risk and expected shortfall (95 and 99 %) of metrics, probabilities of `events` such as
    `"revenue.total<5e8"`.

    `scenario` may be a folder of finished runs. `runs` have one seed each from `seed` on. Raises InputError for metrics that no run has,
    RuntimeError when a run fails.
    """
    _level(level)
    arm = _arm(scenario, overrides, (), "scenario")
    asked = [parse_event(text) for text in events]
    wanted = list(dict.fromkeys(metrics or ([] if asked else DEFAULT_METRICS)))
    names = [*wanted, *(name for one in asked for name in one.condition.slack.metrics)]
    check_metrics((arm,), names, independent=False)
    with _runs((arm,), names, workers) as made, told("risk", "runs", progress) as tell:
        found = assess(arm, made, metrics=wanted, events=asked, count=runs, first_seed=seed, level=level, progress=tell)
    return Finding(found.as_json(), risk_lines(found), found=found)


def _arm(source: ScenarioLike, both: Overrides, own: Overrides, name: str) -> Arm:
    """A scenario with its changes, or finished runs; the label of a scenario is its name and what was changed in it alone."""
    if isinstance(source, (str, os.PathLike)) and Path(source).is_dir():
        if both or own:
            raise InputError(f"{source}: {name}: finished runs cannot be changed, give the scenario file")
        return read_recorded(Path(source), str(source))
    scenario = load_scenario(source)
    changes = [f"{path}={value}" for path, value in own.items()] if isinstance(own, Mapping) else list(own)
    for some in (both, own):
        scenario = load_scenario(scenario, some) if some else scenario
    return Variant(" ".join([scenario.name, *changes]), scenario.written(), str(scenario.base.resolve()))


@contextmanager
def _runs(arms: Sequence[Arm], metrics: Sequence[str], workers: int | None) -> Iterator[Runs]:
    """What makes the runs of arms, in processes unless all are finished."""
    runner = runner_for(metrics)
    count = _workers(workers)
    with Unwinding(), tempfile.TemporaryDirectory(prefix="marketsim-runs-") as scratch:
        if all(isinstance(arm, Recorded) for arm in arms):
            yield SerialRuns(runner)
            return
        pool = PooledRuns(runner, Path(scratch), count)
        try:
            yield pool
        except RunFailedError as error:
            raise RuntimeError(f"run failed: {error}") from None
        finally:
            pool.close()


def _workers(workers: int | None) -> int:
    if workers is not None and workers < 1:
        raise InputError(f"workers: {workers} is no number of processes, give at least 1")
    return workers or usable_cores()


def _free(out: str | os.PathLike[str] | None) -> Path | None:
    return None if out is None else free_folder(Path(out))


def _level(level: float) -> None:
    if not 0.5 <= level < 1:
        raise InputError(f"level: {level:g} is not a confidence level, give one from 0.5 to below 1")
