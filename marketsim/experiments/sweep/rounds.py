"""Carries out a sweep: rounds of runs until its rule of replications is met, then tables and the report."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from marketsim.experiments.runs.execute import Outcome, RunPool, RunTask
from marketsim.experiments.runs.files_read import user_code
from marketsim.experiments.runs.metric_names import MetricName, fitting_name, metric_value
from marketsim.experiments.sweep.folder import SweepFolder
from marketsim.experiments.sweep.plan import SweepPlan
from marketsim.statistics.estimates import t_interval


class Watcher(Protocol):
    """Who is told how a sweep goes on."""

    def start(self, runs: int, finished: int, workers: int) -> None:
        """A round begins: number of its runs, how many of them are on disk already."""
        ...

    def run_done(self, task: RunTask, outcome: Outcome) -> None:
        """One run has ended."""
        ...

    def stop(self) -> None:
        """The round is over."""
        ...


class Silence:
    """A watcher that says nothing."""

    def start(self, runs: int, finished: int, workers: int) -> None:
        """Nothing."""

    def run_done(self, task: RunTask, outcome: Outcome) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Replication:
    """One replication of one point: a summary's metrics, or why there is none."""

    point: int
    replication: int
    seed: int
    key: str
    status: str
    message: str
    fingerprint: str
    values: tuple[float, ...]
    chance: Mapping[str, float] = field(default_factory=dict)
    """How far the run's demand and costs were from the expected, by control."""
    series: Mapping[str, Mapping[str, Sequence[float | None]]] = field(default_factory=dict)
    """The course of metrics over time: by key the `hours` at which spans end and the `values` in them."""


@dataclass(frozen=True)
class Activity:
    """The number of active leases over simulated time at one point, its mean over replications."""

    hours: tuple[float, ...]
    leases: tuple[float, ...]


@dataclass(frozen=True)
class SweepResult:
    """All rows of a finished sweep, sorted by point and replication, with what was needed to get them."""

    plan: SweepPlan
    metrics: tuple[str, ...]
    rows: tuple[Replication, ...]
    stopped: tuple[str, ...]
    irreproducible: tuple[str, ...]
    """Why the same sweep may end otherwise another time."""
    versions: dict[str, str]
    executed: int
    run_seconds: float
    dropped: int = 0
    """Finished runs of an earlier state of the sweep that were removed."""
    activity: tuple[Activity | None, ...] = ()

    def values(self, point: int, name: str) -> list[float]:
        """A metric of the point's successful replications, in order."""
        column = self.metrics.index(name)
        return [row.values[column] for row in self.rows if row.point == point and row.status == "ok"]

    def chance(self, point: int) -> dict[str, list[float]]:
        """The controls of the point's successful replications by name, in order; none where the runs do not tell."""
        rows = [row.chance for row in self.rows if row.point == point and row.status == "ok"]
        return {name: [row.get(name, math.nan) for row in rows] for name in (rows[0] if rows else ())}

    def by_seed(self, name: str) -> tuple[list[int], np.ndarray[Any, np.dtype[np.float64]]]:
        """A metric as float64[points, replications] over the replications that succeeded at every point."""
        column = self.metrics.index(name)
        table: dict[int, dict[int, float]] = {}
        for row in self.rows:
            if row.status == "ok" and math.isfinite(row.values[column]):
                table.setdefault(row.replication, {})[row.point] = row.values[column]
        points = len(self.plan.design.points)
        complete = sorted(r for r, found in table.items() if len(found) == points)
        return complete, np.array([[table[r][p] for r in complete] for p in range(points)]).reshape(points, len(complete))

    def seed_of(self, replication: int) -> int:
        """The seed of a replication at the first point: with common random numbers that of every point."""
        return next(row.seed for row in self.rows if row.replication == replication)

    def naming(self, name: str) -> MetricName:
        """What the report calls a metric, in the unit that fits this sweep's values."""
        column = self.metrics.index(name)
        sizes = [abs(row.values[column]) for row in self.rows if math.isfinite(row.values[column])]
        return fitting_name(name, max(sizes, default=0.0))

    @property
    def reproducible(self) -> bool:
        """Whether the same sweep gives the same bytes again, as far as is known."""
        return not self.irreproducible

    @property
    def failures(self) -> tuple[Replication, ...]:
        """Rows without a summary."""
        return tuple(row for row in self.rows if row.status != "ok")


def run_sweep(plan: SweepPlan, folder: SweepFolder, pool: RunPool, watcher: Watcher | None = None) -> SweepResult:
    """Make every run that is not on disk yet, round by round, and read all of them back.

    What is run depends only on the plan and on earlier results, never on the number of workers, but for a budget of
    time. Where a run calls code of others, one is made twice, to see whether it comes out alike.
    """
    watcher = watcher or Silence()
    metrics = plan.sweep.recorded
    state = _Rounds(plan, folder, metrics)
    began = time.monotonic()
    executed, seconds = 0, 0.0
    while batch := state.next_round(time.monotonic() - began):
        unique = {task.key: task for task in batch}
        missing = [task for task in unique.values() if not folder.finished(task.key)]
        watcher.start(len(unique), len(unique) - len(missing), pool.workers)
        try:
            for task, outcome in pool.outcomes(side_by_side(missing, pool.workers)):
                executed += 1
                seconds += outcome.seconds
                if outcome.status != "ok":
                    folder.record_failure(task, outcome)
                watcher.run_done(task, outcome)
        finally:
            watcher.stop()
        state.read(batch)
    irreproducible = []
    if plan.sweep.replications.budget is not None and plan.sweep.replications.budget.seconds is not None:
        irreproducible.append("the budget was a time")
    irreproducible += _unlike(plan, folder, pool, state.rows)
    dropped = folder.keep_only(row.key for row in state.rows)
    rows = tuple(sorted(state.rows, key=lambda row: (row.point, row.replication)))
    activity = tuple(state.activity(p.index) for p in plan.design.points)
    return SweepResult(
        plan, metrics, rows, tuple(state.reasons), tuple(irreproducible), state.versions, executed, seconds, dropped, activity
    )


def side_by_side(tasks: Iterable[RunTask], workers: int) -> list[RunTask]:
    """Tasks in the order in which they are made: as many replications side by side as there are workers, point by point.

    So each worker has, by and large, a replication of its own: points with one demand and one seed are played by the worker that has it.
    """
    return sorted(tasks, key=lambda task: (task.replication // max(1, workers), task.point, task.replication))


def _unlike(plan: SweepPlan, folder: SweepFolder, pool: RunPool, rows: Sequence[Replication]) -> Iterator[str]:
    """What a second run of one seed shows about classes and scripts that users wrote; nothing where there are none."""
    row = next((row for row in rows if row.status == "ok" and user_code(plan.effective[row.point])), None)
    if row is None:
        return
    again = replace(plan.task(row.point, row.replication), key=f"{row.key}-again")
    codes = ", ".join(user_code(plan.effective[row.point]))
    for _, outcome in pool.outcomes([again]):
        if outcome.status != "ok":
            yield f"a run with {codes} was made twice and failed the second time ({outcome.message})"
        elif folder.summary(again.key) != folder.summary(row.key):
            yield f"a run with {codes} was made twice with seed {row.seed} and came out differently"
    folder.forget(again.key)


class _Rounds:
    """Which runs come next, decided at fixed round sizes from results alone."""

    def __init__(self, plan: SweepPlan, folder: SweepFolder, metrics: tuple[str, ...]) -> None:
        self.rows: list[Replication] = []
        self.versions: dict[str, str] = {}
        self._plan = plan
        self._folder = folder
        self._metrics = metrics
        points = len(plan.design.points)
        self._done = [0] * points
        self._open = [True] * points
        self._activity: dict[int, tuple[list[float], np.ndarray[Any, np.dtype[np.float64]], int]] = {}
        self.reasons = ["fixed number of replications"] * points

    def next_round(self, elapsed: float) -> list[RunTask]:
        """The tasks of the next round, empty when the sweep is over."""
        rule = self._plan.sweep.replications
        budget = rule.budget
        if budget is not None and budget.seconds is not None and elapsed >= budget.seconds and self.rows:
            self._close_all("time budget spent")
            return []
        size = rule.fixed if rule.fixed is not None else rule.round
        wanted = [
            (replication, point)
            for point, done in enumerate(self._done)
            if self._open[point]
            for replication in range(done, min(done + size, rule.most))
        ]
        if budget is not None and budget.runs is not None:
            left = budget.runs - len(self.rows)
            if left < len(wanted):
                # Replication by replication, so that the last runs are spread over the points.
                wanted = sorted(wanted)[: max(left, 0)]
                if not wanted:
                    self._close_all("budget of runs spent")
        return [self._plan.task(point, replication) for replication, point in sorted(wanted)]

    def read(self, batch: Sequence[RunTask]) -> None:
        """Take in a round's results and close the points that need no more."""
        successes = [0] * len(self._done)
        for task in batch:
            row = self._row(task)
            self.rows.append(row)
            self._done[task.point] = max(self._done[task.point], task.replication + 1)
            successes[task.point] += row.status == "ok"
        rule = self._plan.sweep.replications
        for point in sorted({task.point for task in batch}):
            if rule.fixed is not None:
                self._open[point] = False
            elif not successes[point]:
                self._close(point, "no run of a round succeeded")
            elif self._narrow(point):
                self._close(point, "interval narrow enough")
            elif self._done[point] >= rule.most:
                self._close(point, f"at most {rule.most} replications")

    def activity(self, point: int) -> Activity | None:
        """The mean course of active leases at a point, None where runs do not tell."""
        if point not in self._activity:
            return None
        hours, total, count = self._activity[point]
        return Activity(tuple(hours), tuple((total / count).tolist()))

    def _take_activity(self, point: int, activity: dict[str, list[float]] | None) -> None:
        if not activity:
            return
        leases = np.array(activity["active_leases"], dtype=np.float64)
        hours, total, count = self._activity.get(point, (activity["hours"], np.zeros(len(leases)), 0))
        if len(total) == len(leases):
            self._activity[point] = (hours, total + leases, count + 1)

    def _close(self, point: int, reason: str) -> None:
        self._open[point] = False
        self.reasons[point] = reason

    def _close_all(self, reason: str) -> None:
        for point, is_open in enumerate(self._open):
            if is_open:
                self._close(point, reason)

    def _narrow(self, point: int) -> bool:
        until = self._plan.sweep.replications.until
        if until is None:
            return False
        column = self._metrics.index(until.metric)
        values = [r.values[column] for r in self.rows if r.point == point and r.status == "ok"]
        finite = [value for value in values if math.isfinite(value)]
        if len(finite) < 2:
            return False
        half = t_interval(finite, self._plan.sweep.confidence).half_width
        if until.half_width is not None:
            return half <= until.half_width
        assert until.relative_half_width is not None
        return half <= until.relative_half_width * abs(float(np.mean(finite)))

    def _row(self, task: RunTask) -> Replication:
        summary = self._folder.summary(task.key)
        if summary is None:
            status, message = self._folder.failure(task.key) or ("lost", "the run left no result")
            values: tuple[float, ...] = (math.nan,) * len(self._metrics)
            return Replication(task.point, task.replication, task.seed, task.key, status, message, "", values)
        if not self.versions:
            self.versions = {str(k): str(v) for k, v in _flat(summary.get("versions", {}))}
        self._take_activity(task.point, summary.get("activity"))
        values = tuple(metric_value(summary, name) for name in self._metrics)
        fingerprint = str(summary.get("fingerprint", ""))
        chance, series = summary.get("chance", {}), summary.get("series", {})
        return Replication(task.point, task.replication, task.seed, task.key, "ok", "", fingerprint, values, chance, series)


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in sorted(node.items()) if isinstance(node, dict) else ():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", value
