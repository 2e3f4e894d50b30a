"""Searches the best setting of a scenario's factors under noise, then confirms it on seeds nobody has
searched on.

Points are proposed in batches: a quasi-random start, then a Gaussian process on what was seen (`surrogate`). All points of
a batch and the scenario as it is run with the same seeds, the next batch with new ones: the search sees each point's lift over
the unchanged scenario, in which most of the noise cancels, and cannot fit itself to one set of seeds. The best few points
get new seeds to choose among them, and the chosen one fresh seeds again: the figures that are reported are
those, not the draw that won the search. The unchanged scenario stands among the candidates at every step: it is what is
recommended unless a point was better on the fresh seeds.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from marketsim.errors import InputError
from marketsim.experiments.compare.paired import MetricComparison, compare_values
from marketsim.experiments.optimize.surrogate import Proposals
from marketsim.experiments.runs.metric_names import metric_value
from marketsim.experiments.runs.variants import Runs, Summary, Variant
from marketsim.metrics.expressions import (
    Expression,
    ExpressionError,
    Value,
    parse_expression,
    parse_template,
    plain_number,
    rounded,
    written,
)
from marketsim.metrics.paths import bracketed
from marketsim.statistics.estimates import FloatArray, Interval, finite, t_interval
from marketsim.statistics.group_sequential import Stopping

BATCH = 4
SHORT_LIST = 3
_FACTOR = re.compile(r"\s*([-+]?[0-9.]*[0-9](?:[eE][-+]?\d+)?)\s*([A-Za-z%/][\w/ ]*)?\s*")
# Seeds with which the short list is compared, and the share of the budget that they are at least.
CHOICE_SEEDS, CHOICE_SHARE = 4, 20
_COMPARISON = re.compile(r"^(.*?)(>=|<=|>|<)(.*)$")


@dataclass(frozen=True)
class SearchFactor:
    """A scenario path with the range searched; whole numbers at both ends search whole numbers only.

    `template` makes the scenario's value of a number, `decimals` are what the key can hold (None: any).
    """

    path: str
    low: float
    high: float
    unit: str
    whole: bool
    template: str = "{}"
    decimals: int | None = None

    def value(self, number: float) -> Value:
        """The scenario value of a number of the range."""
        exact: Value = round(number) if self.whole else number
        template = parse_template(self.template)
        if template.copies and not self.whole:
            exact = plain_number(number if self.decimals is None else rounded(number, self.decimals))
            exact = Decimal(repr(exact)) if isinstance(exact, float) else exact
        return template.fill(exact, self.decimals)

    def text(self, number: float) -> str:
        """The scenario value of a number of the range, as a file has it."""
        return written(self.value(number))

    def override(self, number: float) -> str:
        """`path=value` as `--set` takes it."""
        return f"{self.path}={self.text(number)}"


def parse_factor(text: str) -> SearchFactor:
    """`PATH=LOW..HIGH`, with one unit behind the ends or a template behind a colon; raises InputError.

    Units are those of the key (`0.5uve..2uve`, `5..50 blocks`, `10..60/h`); a template is that of a sweep file
    (`2..20:{x * 3}s`).
    """
    path, equals, rest = text.partition("=")
    ends, colon, template = rest.partition(":")
    low_text, dots, high_text = ends.partition("..")
    low, high = _FACTOR.fullmatch(low_text), _FACTOR.fullmatch(high_text)
    if not (equals and dots and path.strip() and low and high):
        raise InputError(
            f"--factor: '{text}' is not a range, write PATH=LOW..HIGH such as "
            "providers.large.config.bid_engine.min_profit_margin=0..40 or tenants.web.demand.arrivals=10..60/h"
        )
    units = {(match[2] or "").strip() for match in (low, high)} - {""}
    if len(units) > 1:
        raise InputError(f"--factor: {path.strip()}: two units, {' and '.join(sorted(units))}, give one")
    unit = next(iter(units), "")
    if colon and unit:
        raise InputError(f"--factor: {path.strip()}: a unit {unit} and a template, write the unit into the template: {{}}{unit}")
    if colon:
        try:
            parse_template(template)
        except ExpressionError as error:
            raise InputError(f"--factor: {path.strip()}: {error}") from None
    whole = all(re.fullmatch(r"[-+]?\d+", match[1]) for match in (low, high))
    made = template if colon else f"{{}} {unit}" if unit[:1].isalpha() and len(unit) > 3 else f"{{}}{unit}"
    factor = SearchFactor(path.strip(), float(low[1]), float(high[1]), unit, whole, made)
    if not factor.low < factor.high:
        raise InputError(f"--factor: {factor.path}: the range {low_text}..{high_text} is empty, give LOW below HIGH")
    return factor


@dataclass(frozen=True)
class Figure:
    """An expression of metrics, `revenue.total / 1e6 + 100 * fill_rate`, evaluated on one run's summary."""

    text: str
    metrics: tuple[str, ...]
    expression: Expression

    def of(self, summary: Summary) -> float:
        """The figure of a run; NaN where one of its metrics is undefined there, or it divides by 0."""
        values = {name: metric_value(summary, name) for name in self.metrics}
        if any(math.isnan(value) for value in values.values()):
            return math.nan
        try:
            return float(self.expression.value(values))
        except ExpressionError:
            return math.nan


def parse_figure(text: str, option: str) -> Figure:
    """A metric's dotted path or an expression of several; raises InputError."""
    try:
        expression = parse_expression(bracketed(text))
        if expression.names:
            # Text among numbers has no value in any run.
            expression.value(dict.fromkeys(expression.names, 0.5))
    except ExpressionError as error:
        if not isinstance(error.__cause__, ArithmeticError):
            raise InputError(
                f"{option}: '{text}' is not an expression of metrics, write revenue.total or revenue.total / 1e6 + 100 * fill_rate"
            ) from None
    if not expression.names:
        raise InputError(f"{option}: '{text}' names no metric, write one such as revenue.total")
    return Figure(text, expression.names, expression)


@dataclass(frozen=True)
class Constraint:
    """A comparison of figures that a point has to meet on average: `fill_rate >= 0.8`."""

    text: str
    slack: Figure
    """What has to be at least 0."""


def parse_constraint(text: str, option: str = "--constraint") -> Constraint:
    """`LEFT >= RIGHT` or with <=, <, >; raises InputError."""
    found = _COMPARISON.match(text)
    if found is None or re.search(r"[<>=]", found[3]) or not found[1].strip() or not found[3].strip():
        raise InputError(f"{option}: '{text}' is not a comparison, write one such as fill_rate>=0.8")
    left, right = (found[1], found[3]) if found[2].startswith(">") else (found[3], found[1])
    return Constraint(text, parse_figure(f"({left}) - ({right})", option))


@dataclass(frozen=True)
class Trial:
    """One point of the search: its setting, its mean lift over the unchanged scenario, its worst constraint
    slack.
    """

    values: tuple[float, ...]
    lift: float
    slack: float
    batch: int


@dataclass(frozen=True)
class ConstraintOutcome:
    """A constraint at the confirmed point: mean slack with its interval, at least 0 when met."""

    text: str
    slack: float
    interval: Interval

    @property
    def verdict(self) -> str:
        """Met, broken, or not decided by the runs."""
        if self.interval.low >= 0:
            return "met"
        return "broken" if self.interval.high < 0 else ("met on average" if self.slack >= 0 else "broken on average")


@dataclass(frozen=True)
class Optimization:
    """The outcome of a search: the point chosen, confirmed on fresh seeds against the unchanged scenario."""

    objective: str
    maximize: bool
    factors: tuple[SearchFactor, ...]
    best: tuple[float, ...]
    unchanged: bool
    """Whether the scenario as it is is recommended: no point was better on the fresh seeds."""
    lucky_lift: float
    confirmed: MetricComparison
    mean_interval: Interval
    constraints: tuple[ConstraintOutcome, ...]
    trials: tuple[Trial, ...]
    runs: int
    budget: int
    per_point: int
    search_seeds: tuple[int, int]
    confirm_seeds: tuple[int, int]
    rules: str
    versions: Mapping[str, Any]

    @property
    def settings(self) -> list[str]:
        """The recommendation as `path=value`; empty for the scenario as it is."""
        return [] if self.unchanged else self.point

    @property
    def point(self) -> list[str]:
        """The best point found as `path=value`, recommended or not."""
        return [factor.override(value) for factor, value in zip(self.factors, self.best, strict=True)]

    @property
    def feasible(self) -> bool:
        """Whether what is recommended meets every constraint on average."""
        return all(one.slack >= 0 for one in self.constraints)

    def as_json(self) -> dict[str, Any]:
        """Plain data: what `--json` prints."""
        confirmed = self.confirmed
        return {
            "schema": "marketsim.optimization/1",
            "objective": self.objective,
            "direction": "maximize" if self.maximize else "minimize",
            "rules": self.rules,
            "versions": dict(self.versions),
            "factors": [
                {"path": f.path, "low": f.low, "high": f.high, "unit": f.unit, "best": f.text(value)}
                for f, value in zip(self.factors, self.best, strict=True)
            ],
            "recommended": "unchanged" if self.unchanged else "point",
            "confirmed": {
                "seeds": list(self.confirm_seeds),
                "mean": finite(confirmed.mean_b),
                "interval": self.mean_interval.as_json(),
                "unchanged_mean": finite(confirmed.mean_a),
                "lift": finite(confirmed.difference),
                "lift_interval": confirmed.interval.as_json(),
                "variance_reduction": finite(confirmed.reduction),
            },
            "search_lift": finite(self.lucky_lift),
            "constraints": [
                {
                    "constraint": c.text,
                    "slack": finite(c.slack),
                    "interval": c.interval.as_json(),
                    "verdict": c.verdict,
                }
                for c in self.constraints
            ],
            "feasible": self.feasible,
            "runs": self.runs,
            "budget": self.budget,
            "runs_per_point": self.per_point,
            "search_seeds": list(self.search_seeds),
            "trials": [
                {
                    "batch": trial.batch,
                    "values": [f.text(v) for f, v in zip(self.factors, trial.values, strict=True)],
                    "lift": finite(trial.lift),
                    "slack": finite(trial.slack),
                }
                for trial in self.trials
            ],
        }


def optimize(
    variant: Variant,
    runs: Runs,
    factors: Sequence[SearchFactor],
    objective: Figure,
    *,
    budget: int,
    constraints: Sequence[Constraint] = (),
    maximize: bool = True,
    per_point: int = 1,
    seed: int = 1,
    level: float = 0.95,
    progress: Callable[[int, int], None] | None = None,
) -> Optimization:
    """Search the factors' ranges for the objective's best mean within `budget` runs, confirmation included.

    A fifth of the budget confirms (half of it the unchanged scenario), one more look at the best three and the
    unchanged scenario chooses, the rest searches with `per_point` seeds a point: one is enough where a model smooths over
    all points. The outcome depends on `seed` and not on how the runs are spread over
    processes. Raises InputError when the budget is too small for two batches, RunFailedError when a run
    fails.
    """
    spent = RunsSpent(runs, budget, progress)
    confirm_count = max(2, budget // 10)
    per_batch = (BATCH + 1) * per_point
    choice_count = max(per_point, min(CHOICE_SEEDS, budget // CHOICE_SHARE))
    search_runs = budget - 2 * confirm_count - choice_count * (SHORT_LIST + 1)
    batches = search_runs // per_batch
    if batches < 2:
        least = _least(per_point)
        raise InputError(f"--budget: {budget} runs are too few for a search and its confirmation, give at least {least}")
    seeds = SeedsTaken(seed)
    study = _Study(factors, maximize=maximize, seed=seed)
    start = values_of(variant, factors)
    if start is not None:
        # What the unchanged scenario lifts is known without a run.
        study.tell(Trial(start, 0.0, math.inf, -1))
    trials: list[Trial] = []
    for batch in range(batches):
        points = study.ask(BATCH)
        measured = _measure(spent, variant, factors, points, objective, constraints, seeds.take(per_point), batch)
        for trial in measured:
            study.tell(trial)
        trials += measured
    ranked = _ranked(study.believed(trials), maximize)
    short = [trial.values for trial in ranked[:SHORT_LIST]]
    again = _measure(spent, variant, factors, short, objective, constraints, seeds.take(choice_count), batches)
    searched = {trial.values: trial for trial in trials}
    # The winner of a search was lucky: the new seeds alone decide who is best. A constraint has to hold
    # twice.
    joined = [replace(one, slack=min(one.slack, searched[one.values].slack)) for one in again]
    chosen = _ranked(joined, maximize)[0]
    lucky = searched[chosen.values].lift
    fresh = seeds.take(confirm_count)
    best = varied(variant, factors, chosen.values)
    base_summaries, best_summaries = spent.summaries([variant, best], fresh)
    values_base = np.array([objective.of(summary) for summary in base_summaries])
    values_best = np.array([objective.of(summary) for summary in best_summaries])
    confirmed = compare_values(objective.text, values_base, values_best, level=level, stopping=Stopping.FIXED)
    if confirmed is None:
        raise InputError(f"--objective: {objective.text} is undefined in every confirming run, name another")
    outcomes = tuple(_outcome(constraint, best_summaries, level) for constraint in constraints)
    base_outcomes = tuple(_outcome(constraint, base_summaries, level) for constraint in constraints)
    better = confirmed.difference > 0 if maximize else confirmed.difference < 0
    met, base_met = (all(one.slack >= 0 for one in found) for found in (outcomes, base_outcomes))
    unchanged = (base_met and not met) or (met == base_met and not better)
    return Optimization(
        objective=objective.text,
        maximize=maximize,
        factors=tuple(factors),
        best=chosen.values,
        unchanged=unchanged,
        lucky_lift=lucky,
        confirmed=confirmed,
        mean_interval=t_interval(values_best, level),
        constraints=base_outcomes if unchanged else outcomes,
        trials=tuple(trials),
        runs=spent.made,
        budget=budget,
        per_point=per_point,
        search_seeds=(seed, fresh[0] - 1),
        confirm_seeds=(fresh[0], fresh[-1]),
        rules=str(best_summaries[-1].get("rules")),
        versions=best_summaries[-1].get("versions", {}),
    )


class RunsSpent:
    """Makes runs and counts them."""

    def __init__(self, runs: Runs, budget: int, progress: Callable[[int, int], None] | None) -> None:
        self._runs, self._budget, self._progress = runs, budget, progress
        self.made = 0

    def summaries(self, arms: Sequence[Variant], seeds: Sequence[int]) -> list[list[Summary]]:
        """One list per arm, one summary per seed; raises RunFailedError."""
        found = self._runs.summaries(arms, seeds)
        self.made += len(arms) * len(seeds)
        if self._progress is not None:
            self._progress(self.made, self._budget)
        return found


class SeedsTaken:
    """Hands out seeds, each once."""

    def __init__(self, first: int) -> None:
        self._next = first

    def take(self, count: int) -> list[int]:
        """The next `count` seeds."""
        taken = list(range(self._next, self._next + count))
        self._next += count
        return taken


def _least(per_point: int) -> int:
    """The smallest budget that leaves two batches."""
    return next(
        runs
        for runs in itertools.count(1)
        if runs - 2 * max(2, runs // 10) - max(per_point, min(CHOICE_SEEDS, runs // CHOICE_SHARE)) * (SHORT_LIST + 1)
        >= 2 * (BATCH + 1) * per_point
    )


def values_of(variant: Variant, factors: Sequence[SearchFactor]) -> tuple[float, ...] | None:
    """The unchanged scenario's own point, None when a factor is no number of its unit there or outside its range."""
    found = []
    for factor in factors:
        given = _written(variant.mapping, factor.path)
        match = _FACTOR.fullmatch(str(given)) if isinstance(given, int | float | Decimal | str) and not isinstance(given, bool) else None
        if match is None or (match[2] or "").strip() != factor.unit or not factor.low <= float(match[1]) <= factor.high:
            return None
        found.append(float(match[1]))
    return tuple(found)


def _written(mapping: Mapping[str, Any], path: str) -> Any:
    """What the scenario file says at a dotted path, cohorts by their name; None where it says nothing."""
    node: Any = mapping
    for part in path.split("."):
        if isinstance(node, list):
            node = next((one for one in node if isinstance(one, Mapping) and one.get("name") == part), None)
        else:
            node = node.get(part) if isinstance(node, Mapping) else None
    return node


class _Study:
    """The proposals in the factors' own numbers; a larger lift is better when maximizing."""

    def __init__(self, factors: Sequence[SearchFactor], *, maximize: bool, seed: int) -> None:
        self._cube, self._sign = UnitCube(factors), 1.0 if maximize else -1.0
        self._proposals = Proposals(len(factors), seed=seed, snap=self._cube.snap)

    def ask(self, count: int) -> list[tuple[float, ...]]:
        return [self._cube.values(point) for point in self._proposals.ask(count)]

    def tell(self, trial: Trial) -> None:
        self._proposals.tell(self._cube.unit(trial.values), self._sign * trial.lift, trial.slack)

    def believed(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials with what the model believes of them in place of the lift and slack that were measured."""
        found = self._proposals.believed(np.array([self._cube.unit(trial.values) for trial in trials]))
        if found is None:
            return list(trials)
        return [
            trial
            if math.isnan(trial.lift)
            else replace(trial, lift=self._sign * float(value), slack=trial.slack if math.isinf(trial.slack) else float(slack))
            for trial, value, slack in zip(trials, *found, strict=True)
        ]


class UnitCube:
    """The factors' ranges as [0, 1] each, and back to numbers that can be run."""

    def __init__(self, factors: Sequence[SearchFactor]) -> None:
        self.factors = factors
        self._lows = np.array([factor.low for factor in factors])
        self._widths = np.array([factor.high - factor.low for factor in factors])

    def unit(self, values: Sequence[float]) -> FloatArray:
        """Numbers of the ranges as a point of the cube."""
        unit: FloatArray = (np.array(values) - self._lows) / self._widths
        return unit

    def values(self, point: FloatArray) -> tuple[float, ...]:
        """A point of the cube as numbers of the ranges."""
        return tuple(
            float(round(f.low + float(u) * (f.high - f.low)))
            if f.whole
            # Six significant digits of the range: a value that can be written down, and that prices accept.
            else _rounded(f.low + float(u) * (f.high - f.low), f)
            for f, u in zip(self.factors, point, strict=True)
        )

    def snap(self, points: FloatArray) -> FloatArray:
        """Points of the cube moved to the nearest that can be run."""
        values = self._lows + points * self._widths
        columns = [
            np.rint(column) if f.whole else np.clip(np.round(column, _digits(f)), f.low, f.high)
            for column, f in zip(values.T, self.factors, strict=True)
        ]
        unit: FloatArray = (np.column_stack(columns) - self._lows) / self._widths
        return unit


def _rounded(value: float, factor: SearchFactor) -> float:
    return min(max(round(value, _digits(factor)), factor.low), factor.high)


def _digits(factor: SearchFactor) -> int:
    return 5 - math.floor(math.log10(factor.high - factor.low))


def varied(variant: Variant, factors: Sequence[SearchFactor], values: Sequence[float]) -> Variant:
    """The scenario with the factors at these numbers."""
    pairs = list(zip(factors, values, strict=True))
    label = " ".join(factor.override(value) for factor, value in pairs)
    return variant.changed(label, {factor.path: factor.value(value) for factor, value in pairs})


def _measure(
    spent: RunsSpent,
    variant: Variant,
    factors: Sequence[SearchFactor],
    points: Sequence[tuple[float, ...]],
    objective: Figure,
    constraints: Sequence[Constraint],
    seeds: Sequence[int],
    batch: int,
) -> list[Trial]:
    """Lift over the unchanged scenario and slack of points with equal seeds."""
    arms = [varied(variant, factors, point) for point in points]
    found = spent.summaries([variant, *arms], seeds)
    reference = _means(objective, found[0])
    measured = found[1:]
    return [
        Trial(
            values=point,
            lift=float(np.nanmean(_means(objective, summaries) - reference))
            if np.isfinite(_means(objective, summaries) - reference).any()
            else math.nan,
            slack=min((float(np.mean(_means(c.slack, summaries))) for c in constraints), default=math.inf),
            batch=batch,
        )
        for point, summaries in zip(points, measured, strict=True)
    ]


def _means(figure: Figure, summaries: Sequence[Summary]) -> FloatArray:
    return np.array([figure.of(summary) for summary in summaries])


def _ranked(trials: Sequence[Trial], maximize: bool) -> list[Trial]:
    """Best first: feasible points by lift, then the others by how little they miss; each setting once."""
    sign = 1.0 if maximize else -1.0

    def key(trial: Trial) -> tuple[bool, float]:
        defined = not math.isnan(trial.lift) and not math.isnan(trial.slack)
        if not defined:
            return (False, -math.inf)
        return (trial.slack >= 0, sign * trial.lift if trial.slack >= 0 else trial.slack)

    unique: dict[tuple[float, ...], Trial] = {}
    for trial in sorted(trials, key=key, reverse=True):
        unique.setdefault(trial.values, trial)
    return list(unique.values())


def _outcome(constraint: Constraint, summaries: Sequence[Summary], level: float) -> ConstraintOutcome:
    slacks = _means(constraint.slack, summaries)
    slacks = slacks[np.isfinite(slacks)]
    mean = float(slacks.mean()) if slacks.size else math.nan
    return ConstraintOutcome(constraint.text, mean, t_interval(slacks, level))
