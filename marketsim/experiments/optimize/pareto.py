"""Searches the settings that trade two objectives off best, and confirms them on seeds nobody has searched on.

Points are proposed as in `search`, each for a weight of its own between the two objectives: the lifts over the unchanged scenario, brought
to [0, 1] by what was seen, are joined by the augmented Tchebycheff function (Knowles 2006, ParEGO) and a Gaussian process proposes where
that is largest. Points that no other one is believed to beat in both objectives run with fresh seeds, the unchanged scenario among
them; the front that is reported is that of the fresh seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from marketsim.errors import InputError
from marketsim.experiments.optimize.search import (
    BATCH,
    Constraint,
    Figure,
    RunsSpent,
    SearchFactor,
    SeedsTaken,
    UnitCube,
    values_of,
    varied,
)
from marketsim.experiments.optimize.surrogate import START_POINTS, Proposals
from marketsim.experiments.runs.variants import Runs, Variant
from marketsim.statistics.estimates import FloatArray, Interval, finite, t_interval

# Points of the front that are confirmed, beside the unchanged scenario, and the share of the budget for it.
FRONT_MOST, CONFIRM_SHARE, CONFIRM_LEAST = 8, 0.4, 4
# How much of the mean of both objectives joins the worse one, so that points that are better in one alone count.
_AUGMENTED = 0.05
# Weights come one after the other and fill the interval evenly: multiples of the golden ratio.
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Goal:
    """An objective with its direction."""

    figure: Figure
    maximize: bool

    @property
    def sign(self) -> float:
        """1 where larger is better, else −1."""
        return 1.0 if self.maximize else -1.0

    @property
    def words(self) -> str:
        """`maximize revenue.total`."""
        return f"{'maximize' if self.maximize else 'minimize'} {self.figure.text}"


@dataclass(frozen=True)
class FrontTrial:
    """One point of the search: its mean lifts over the unchanged scenario and its worst constraint slack."""

    values: tuple[float, ...]
    lifts: tuple[float, float]
    slack: float
    batch: int


@dataclass(frozen=True)
class FrontPoint:
    """A candidate on fresh seeds: means of both objectives and lifts over the unchanged scenario with Student's intervals.

    `values` is None for the unchanged scenario. `on_front`: meets the constraints on average and no other such candidate is at least as
    good in both means and better in one.
    """

    values: tuple[float, ...] | None
    means: tuple[float, float]
    intervals: tuple[Interval, Interval]
    lifts: tuple[float, float]
    lift_intervals: tuple[Interval, Interval]
    slack: float
    on_front: bool


@dataclass(frozen=True)
class ParetoFront:
    """The outcome of a search for two objectives."""

    goals: tuple[Goal, Goal]
    factors: tuple[SearchFactor, ...]
    points: tuple[FrontPoint, ...]
    trials: tuple[FrontTrial, ...]
    constraints: tuple[str, ...]
    runs: int
    budget: int
    per_point: int
    search_seeds: tuple[int, int]
    confirm_seeds: tuple[int, int]
    level: float
    rules: str
    versions: Mapping[str, Any] = field(repr=False)

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """The candidates on the front, by the first objective, its best first."""
        sign = self.goals[0].sign
        return tuple(sorted((p for p in self.points if p.on_front), key=lambda p: -sign * p.means[0]))

    def texts(self, point: FrontPoint) -> list[str]:
        """The point's settings as `path=value`; empty for the unchanged scenario."""
        return [] if point.values is None else [f.override(v) for f, v in zip(self.factors, point.values, strict=True)]

    def as_json(self) -> dict[str, Any]:
        """Plain data: what `--json` prints."""
        return {
            "schema": "marketsim.pareto/1",
            "objectives": [{"objective": g.figure.text, "direction": "maximize" if g.maximize else "minimize"} for g in self.goals],
            "rules": self.rules,
            "versions": dict(self.versions),
            "factors": [{"path": f.path, "low": f.low, "high": f.high, "unit": f.unit} for f in self.factors],
            "points": [
                {
                    "point": "unchanged" if p.values is None else self.texts(p),
                    "on_front": p.on_front,
                    "means": [finite(m) for m in p.means],
                    "intervals": [i.as_json() for i in p.intervals],
                    "lifts": [finite(m) for m in p.lifts],
                    "lift_intervals": [i.as_json() for i in p.lift_intervals],
                    "slack": finite(p.slack),
                }
                for p in self.points
            ],
            "constraints": list(self.constraints),
            "runs": self.runs,
            "budget": self.budget,
            "runs_per_point": self.per_point,
            "search_seeds": list(self.search_seeds),
            "confirm_seeds": list(self.confirm_seeds),
            "level": self.level,
            "trials": [
                {
                    "batch": t.batch,
                    "values": [f.text(v) for f, v in zip(self.factors, t.values, strict=True)],
                    "lifts": [finite(lift) for lift in t.lifts],
                    "slack": finite(t.slack),
                }
                for t in self.trials
            ],
        }


def pareto(
    variant: Variant,
    runs: Runs,
    factors: Sequence[SearchFactor],
    goals: tuple[Goal, Goal],
    *,
    budget: int,
    constraints: Sequence[Constraint] = (),
    per_point: int = 1,
    seed: int = 1,
    level: float = 0.95,
    progress: Callable[[int, int], None] | None = None,
) -> ParetoFront:
    """Search the front of two objectives within `budget` runs: 60 % searches, 40 % confirms up to eight points and the unchanged scenario.

    The outcome depends on `seed` and not on how the runs are spread over processes. Raises InputError when the budget is too small for two
    batches and their confirmation or an objective is never defined, RunFailedError when a run fails.
    """
    spent = RunsSpent(runs, budget, progress)
    confirm_runs = max(int(CONFIRM_SHARE * budget), CONFIRM_LEAST * (FRONT_MOST + 1))
    per_batch = (BATCH + 1) * per_point
    batches = (budget - confirm_runs) // per_batch
    if batches < 2:
        least = 2 * per_batch + CONFIRM_LEAST * (FRONT_MOST + 1)
        least = next(b for b in range(least, 10 * least) if (b - max(int(CONFIRM_SHARE * b), 36)) // per_batch >= 2)
        raise InputError(f"--budget: {budget} runs are too few for a front and its confirmation, give at least {least}")
    seeds = SeedsTaken(seed)
    cube = UnitCube(factors)
    start = Proposals(len(factors), seed=seed, snap=cube.snap)
    trials: list[FrontTrial] = []
    own = values_of(variant, factors)
    known = [] if own is None else [FrontTrial(own, (0.0, 0.0), math.inf, -1)]
    for batch in range(batches):
        if len(trials) < START_POINTS:
            points = [cube.values(point) for point in start.ask(BATCH)]
        else:
            points = _proposed([*known, *trials], goals, cube, batch, seed)
        arms = [varied(variant, factors, point) for point in points]
        found = spent.summaries([variant, *arms], seeds.take(per_point))
        reference = [np.array([g.figure.of(s) for s in found[0]]) for g in goals]
        for point, summaries in zip(points, found[1:], strict=True):
            lifts = [float(np.mean([g.figure.of(s) for s in summaries] - r)) for g, r in zip(goals, reference, strict=True)]
            slack = min((float(np.mean([c.slack.of(s) for s in summaries])) for c in constraints), default=math.inf)
            trials.append(FrontTrial(point, (lifts[0], lifts[1]), slack, batch))
    candidates = _candidates(trials, goals, cube, seed)
    count = (budget - spent.made) // (len(candidates) + 1)
    fresh = seeds.take(max(count, 2))
    arms = [variant, *(varied(variant, factors, point) for point in candidates)]
    confirmed = spent.summaries(arms, fresh)
    measured = [[np.array([g.figure.of(s) for s in summaries]) for g in goals] for summaries in confirmed]
    for g, column in zip(goals, zip(*measured, strict=True), strict=True):
        if not any(np.isfinite(values).any() for values in column):
            raise InputError(f"--objective: {g.figure.text} is undefined in every confirming run, name another")
    slacks = [min((float(np.mean([c.slack.of(s) for s in summaries])) for c in constraints), default=math.inf) for summaries in confirmed]
    means = np.array([[_mean(values) for values in row] for row in measured])
    better = means * np.array([g.sign for g in goals])
    allowed = np.array([not slack < 0 for slack in slacks])
    if not allowed.any():
        allowed[:] = True
    front = undominated(np.where(allowed[:, None], better, np.nan))
    level_each = level
    made = [
        FrontPoint(
            values=None if k == 0 else candidates[k - 1],
            means=(float(means[k, 0]), float(means[k, 1])),
            intervals=(t_interval(row[0], level_each), t_interval(row[1], level_each)),
            lifts=(_mean(row[0] - measured[0][0]), _mean(row[1] - measured[0][1])),
            lift_intervals=(t_interval(row[0] - measured[0][0], level_each), t_interval(row[1] - measured[0][1], level_each)),
            slack=slacks[k],
            on_front=bool(front[k]),
        )
        for k, row in enumerate(measured)
    ]
    return ParetoFront(
        goals=goals,
        factors=tuple(factors),
        points=tuple(made),
        trials=tuple(trials),
        constraints=tuple(c.text for c in constraints),
        runs=spent.made,
        budget=budget,
        per_point=per_point,
        search_seeds=(seed, fresh[0] - 1),
        confirm_seeds=(fresh[0], fresh[-1]),
        level=level,
        rules=str(confirmed[0][-1].get("rules")),
        versions=confirmed[0][-1].get("versions", {}),
    )


def undominated(better: FloatArray) -> npt.NDArray[np.bool_]:
    """Which rows of float64[points, objectives], larger better, no other row matches or beats in all and beats in one; NaN never."""
    found = np.zeros(len(better), dtype=np.bool_)
    for i, row in enumerate(better):
        if np.isfinite(row).all():
            found[i] = not ((better >= row).all(axis=1) & (better > row).any(axis=1)).any()
    return found


def scalarized(better: FloatArray, weight: float) -> FloatArray:
    """Both objectives as one by the augmented Tchebycheff function, larger better, each brought to [0, 1] by the whole rows."""
    whole = better[np.isfinite(better).all(axis=1)]
    low, width = whole.min(axis=0), np.ptp(whole, axis=0)
    unit = (better - low) / np.where(width > 0, width, 1.0)
    parts = np.array([weight, 1 - weight]) * unit
    # Below the best of each objective by so much, weighed: the farther one counts.
    missed = np.array([weight, 1 - weight]) * (1 - unit)
    found: FloatArray = -missed.max(axis=1) + _AUGMENTED * parts.sum(axis=1)
    return found


def _better(trials: Sequence[FrontTrial], goals: tuple[Goal, Goal]) -> FloatArray:
    found: FloatArray = np.array([trial.lifts for trial in trials]) * np.array([g.sign for g in goals])
    return found


def _proposed(trials: Sequence[FrontTrial], goals: tuple[Goal, Goal], cube: UnitCube, batch: int, seed: int) -> list[tuple[float, ...]]:
    """A batch of points, each proposed for its own weight, none twice."""
    better = _better(trials, goals)
    asked: list[tuple[float, ...]] = []
    for k in range(BATCH):
        weight = ((batch * BATCH + k) * _GOLDEN) % 1.0
        proposals = Proposals(len(cube.factors), seed=seed + 1000 * (batch * BATCH + k), snap=cube.snap, start=0)
        values = scalarized(better, weight) if np.isfinite(better).all(axis=1).any() else np.full(len(trials), math.nan)
        for trial, value in zip(trials, values, strict=True):
            proposals.tell(cube.unit(trial.values), float(value), trial.slack)
        for point in asked:
            # What was asked in this batch is not asked again: it counts as a point like those seen.
            proposals.tell(cube.unit(point), float(np.nanmedian(values)), math.inf)
        asked.append(cube.values(proposals.ask(1)[0]))
    return asked


def _candidates(trials: Sequence[FrontTrial], goals: tuple[Goal, Goal], cube: UnitCube, seed: int) -> list[tuple[float, ...]]:
    """The points that are believed to be on the front, at most FRONT_MOST, spread over it."""
    unique = list({trial.values: trial for trial in trials}.values())
    points = np.array([cube.unit(trial.values) for trial in unique])
    better = _better(trials, goals)
    believed = np.empty((len(unique), 2))
    slacks = np.full(len(unique), math.inf)
    for k in range(2):
        proposals = Proposals(len(cube.factors), seed=seed, snap=cube.snap, start=0)
        for trial, value in zip(trials, better[:, k], strict=True):
            proposals.tell(cube.unit(trial.values), float(value), trial.slack)
        found = proposals.believed(points)
        believed[:, k] = _better(unique, goals)[:, k] if found is None else found[0]
        if found is not None and np.isfinite(found[1]).any():
            slacks = found[1]
    allowed = slacks >= 0 if (slacks >= 0).any() else np.ones(len(unique), dtype=np.bool_)
    front = np.flatnonzero(undominated(np.where(allowed[:, None], believed, np.nan)))
    front = front[np.argsort(believed[front, 0])]
    if len(front) > FRONT_MOST:
        # Evenly along the front, its ends included.
        unit = (believed[front] - believed[front].min(axis=0)) / np.maximum(np.ptp(believed[front], axis=0), 1e-300)
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(unit, axis=0).T))])
        wanted = np.linspace(0, along[-1], FRONT_MOST)
        front = front[np.unique([int(np.abs(along - at).argmin()) for at in wanted])]
    return [unique[k].values for k in front]


def _mean(values: FloatArray) -> float:
    x = values[np.isfinite(values)]
    return float(x.mean()) if x.size else math.nan
