"""Compares two arms run for run: paired differences, a verdict by the stopping rule, and what pairing saved."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from marketsim.experiments.runs.metric_names import metric_value
from marketsim.experiments.runs.variants import Arm, Recorded, Runs, Summary
from marketsim.statistics.cautious_t import INFORMATIVE_LEAST, informative
from marketsim.statistics.controls import Controlled, adjusted_by_earlier, controlled
from marketsim.statistics.estimates import FloatArray, Interval, finite, holm, t_interval
from marketsim.statistics.group_sequential import PlannedLook, Stopping, group_looks, planned_looks, repeated_p
from marketsim.statistics.sequential import Decision, Look, Verdict, decide, looks, undecided, verdict_at

DEFAULT_METRICS = ("revenue.total", "fill_rate", "price.mean_won", "utilization.cpu")
# Runs are made in rounds of this many pairs whatever the number of workers, so that where a comparison stops
# does not depend on the machine.
ROUND_PAIRS = 4
# Independent arms get seeds from here on, far from those anybody counts up from 1.
INDEPENDENT_OFFSET = 1_000_000
# Beyond this skewness of the differences the stated level is called approximate: of the false declarations
# between arms of equal means and log-normal or exponential differences, nine in ten show more.
_SKEWED = 0.5
# A sequence may be decided before skewness shows at all; with so many pairs it does.
_SKEWNESS_SHOWS = 20
# Figures of two runs that differ by less than this share of their size are equal, seen through rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Margin:
    """The largest difference that does not matter: in the metric's unit, or as a share of A's mean."""

    amount: float
    relative: bool = False

    def of(self, mean: float) -> float:
        """The margin in the metric's unit."""
        return self.amount * abs(mean) if self.relative else self.amount

    def __str__(self) -> str:
        return f"{self.amount * 100:g} %" if self.relative else f"{self.amount:g}"


@dataclass(frozen=True)
class MetricComparison:
    """Difference B − A of one metric over pairs of runs.

    `interval` is Student's for the mean difference if the number of pairs had been fixed beforehand;
    `looks` has the confidence sequence, which holds wherever one stops, `planned` the looks of the rule
    that decides (none when that is the sequence itself). `reduction` is the variance of an independent difference ÷ the paired
    one, `unequal` how many differences are not the most frequent one, `skewness` the one with most of the
    pairs seen: at the end, or when it was decided if it was larger then. `controlled` is the mean difference with known chance
    taken out, where controls were given: then `looks` and `planned` are of adjusted differences too.
    """

    metric: str
    pairs: int
    left_out: int
    mean_a: float
    mean_b: float
    difference: float
    interval: Interval
    looks: tuple[Look, ...]
    planned: tuple[PlannedLook, ...]
    rule: Stopping
    verdict: Verdict
    margin: float | None
    variance_paired: float
    variance_independent: float
    correlation: float
    skewness: float
    unequal: int
    corrected: float | None = None
    controlled: Controlled | None = None

    @cached_property
    def p(self) -> float:
        """p-value for no difference by the rule that decides: valid although it looks more than once."""
        return self.p_any if self.rule is Stopping.ALWAYS_VALID else repeated_p(self.planned, self.rule)

    @property
    def p_any(self) -> float:
        """p-value of the sequence, valid at any look."""
        return self.looks[-1].p

    @property
    def p_holm(self) -> float:
        """`p` corrected for the number of metrics."""
        return self.p if self.corrected is None else self.corrected

    @property
    def ruling(self) -> Interval:
        """The interval of the rule that decides, at its last look; open without one."""
        series = self.planned if self.rule is not Stopping.ALWAYS_VALID else self.looks
        return series[-1].interval if series else replace(self.interval, low=-math.inf, high=math.inf, method=self.rule.words)

    @property
    def reduction(self) -> float:
        """Variance of the difference of independent runs ÷ variance of the paired difference."""
        if self.variance_paired == 0:
            return math.inf if self.variance_independent > 0 else 1.0
        return self.variance_independent / self.variance_paired

    @property
    def relative(self) -> float:
        """Difference ÷ |mean of A|."""
        return self.difference / abs(self.mean_a) if self.mean_a else math.nan

    @property
    def runs_decided(self) -> int | None:
        """Runs of both arms together up to the decision, None while undecided."""
        return None if self.verdict.decision is Decision.UNDECIDED else 2 * self.verdict.pairs

    @property
    def skewed(self) -> bool:
        """Whether the differences are so lopsided that the stated level is only approximate, or the sequence was
        decided too early to see.
        """
        early = self.rule is Stopping.ALWAYS_VALID and self.runs_decided is not None and self.verdict.pairs < _SKEWNESS_SHOWS
        return abs(self.skewness) > _SKEWED or early

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; infinite or undefined ones become None."""
        return {
            "metric": self.metric,
            "pairs": self.pairs,
            "left_out": self.left_out,
            "mean_a": finite(self.mean_a),
            "mean_b": finite(self.mean_b),
            "difference": finite(self.difference),
            "relative": finite(self.relative),
            "interval": self.interval.as_json(),
            "sequence": self.looks[-1].interval.as_json(),
            "stopping": self.rule.value,
            "stopping_interval": self.ruling.as_json(),
            "planned_looks": [look.as_json() for look in self.planned],
            "p": finite(self.p),
            "p_any_look": finite(self.p_any),
            "p_holm": finite(self.p_holm),
            "margin": self.margin,
            "decision": self.verdict.decision.value,
            "decided_at": self.verdict.pairs if self.runs_decided else None,
            "runs_until_decided": self.runs_decided,
            "verdict": self.verdict.sentence,
            "variance_paired": finite(self.variance_paired),
            "variance_independent": finite(self.variance_independent),
            "variance_reduction": finite(self.reduction),
            "correlation": finite(self.correlation),
            "skewness": finite(self.skewness),
            "skewed": self.skewed,
            "unequal_pairs": self.unequal,
            "controlled": self.controlled.as_json() if self.controlled else None,
        }


@dataclass(frozen=True)
class Comparison:
    """Two arms compared on several metrics; the first metric decides when to stop."""

    label_a: str
    label_b: str
    metrics: tuple[MetricComparison, ...]
    seeds: tuple[int, ...]
    budget: int
    level: float
    until_decided: bool
    rule: Stopping
    independent: MetricComparison | None
    controls: bool
    values_a: dict[str, FloatArray]
    values_b: dict[str, FloatArray]
    rules: tuple[str, str]
    versions: Mapping[str, Any]

    @property
    def first(self) -> MetricComparison:
        """The metric that decides."""
        return self.metrics[0]

    @property
    def runs(self) -> int:
        """Paired runs that were made."""
        return 2 * len(self.seeds)

    @property
    def runs_saved(self) -> float:
        """Further runs that independent arms would need for an interval as narrow (first metric)."""
        return self.runs * (self.first.reduction - 1)

    def as_json(self) -> dict[str, Any]:
        """Plain data: what `--json` prints."""
        return {
            "schema": "marketsim.comparison/1",
            "a": self.label_a,
            "b": self.label_b,
            "rules": list(self.rules),
            "versions": dict(self.versions),
            "pairing": "common random numbers: both arms run with equal seeds",
            "seeds": list(self.seeds),
            "pairs": len(self.seeds),
            "runs": self.runs,
            "budget_pairs": self.budget,
            "until_decided": self.until_decided,
            "stopping": self.rule.value,
            "level": self.level,
            "correction": f"Holm over {len(self.metrics)} metrics",
            "runs_saved": finite(self.runs_saved),
            "budget_left_runs": 2 * (self.budget - len(self.seeds)),
            "metrics": [metric.as_json() for metric in self.metrics],
            "independent": self.independent.as_json() if self.independent else None,
        }


def compare(
    a: Arm,
    b: Arm,
    runs: Runs,
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    pairs: int = 60,
    first_seed: int = 1,
    until_decided: bool = False,
    margin: Margin | None = None,
    independent: bool = False,
    level: float = 0.95,
    stopping: Stopping = Stopping.OBRIEN_FLEMING,
    controls: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run both arms with equal seeds and judge B − A per metric by the rule `stopping`.

    With `controls` what the runs' demand and costs were beyond the expected is taken out of the differences where that helps
    (`statistics/controls.py`); runs that do not tell it are compared as they are.

    With `until_decided` the comparison stops after the round in which the first metric is decided, else it
    makes all `pairs`. `independent` adds the same comparison of the first metric with other seeds for B.
    Finished runs (`Recorded`) are paired by the seeds they have. Raises ValueError when no pair can be
    formed or a metric is undefined in all of them, RunFailedError when a run fails.
    """
    seeds = _seeds(a, b, pairs, first_seed)
    runs = _Remembered(runs)
    share = 1 - (1 - level) / len(metrics)
    sampled = _Sample(a, b, runs, metrics, controls=controls)
    for begin in range(0, len(seeds), ROUND_PAIRS):
        sampled.extend(seeds[begin : begin + ROUND_PAIRS])
        if progress is not None:
            progress(sampled.count, len(seeds))
        if until_decided and begin + ROUND_PAIRS < len(seeds):
            so_far = sampled.comparison(metrics[0], share, margin, stopping, len(seeds))
            if so_far is not None and so_far.verdict.decision is not Decision.UNDECIDED:
                break
    compared = []
    for name in metrics:
        one = sampled.comparison(name, share, margin, stopping, len(seeds))
        if one is None:
            raise ValueError(f"{name} is undefined in all {sampled.count} pairs, name another metric")
        compared.append(one)
    corrected = [_corrected(one, float(p), level) for one, p in zip(compared, holm([c.p for c in compared]), strict=True)]
    last = sampled.last
    return Comparison(
        label_a=a.label,
        label_b=b.label,
        metrics=tuple(corrected),
        seeds=tuple(seeds[: sampled.count]),
        budget=len(seeds),
        level=level,
        until_decided=until_decided,
        rule=stopping,
        independent=_independent(a, b, runs, metrics[0], seeds, until_decided, margin, level, stopping) if independent else None,
        controls=controls,
        values_a={name: sampled.values(0, name) for name in metrics},
        values_b={name: sampled.values(1, name) for name in metrics},
        rules=(str(last[0].get("rules")), str(last[1].get("rules"))),
        versions=last[0].get("versions", {}),
    )


def compare_values(
    metric: str,
    a: Sequence[float] | FloatArray,
    b: Sequence[float] | FloatArray,
    *,
    level: float = 0.95,
    margin: Margin | None = None,
    stopping: Stopping = Stopping.OBRIEN_FLEMING,
    budget: int | None = None,
    controls: Mapping[str, Sequence[float] | FloatArray] | None = None,
) -> MetricComparison | None:
    """The comparison of one metric from its values in pairs of runs (equal lengths); None without one full
    pair.

    Pairs in which an arm has no value (NaN) are left out and counted. `budget` is the number of pairs that were
    planned, default those given: the looks of `stopping` are spread over it. `controls` are numbers of each pair that are 0 on average.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    budget = x.size if budget is None else budget
    whole = np.isfinite(x) & np.isfinite(y)
    x, y = x[whole], y[whole]
    if x.size == 0:
        return None
    differences = y - x
    differences[np.abs(differences) <= _ROUNDING * np.maximum(np.abs(x), np.abs(y))] = 0.0
    chance = {name: np.asarray(one, dtype=np.float64)[whole] for name, one in (controls or {}).items()}
    series = looks(adjusted_by_earlier(differences, chance), level=level)
    planned = _planned(differences, whole, stopping, budget, level, chance)
    width = margin.of(float(x.mean())) if margin is not None else None
    many = x.size > 1
    spread_a = float(x.var(ddof=1)) if many else math.nan
    spread_b = float(y.var(ddof=1)) if many else math.nan
    both = math.sqrt(spread_a * spread_b) if many else 0.0
    unequal = int(informative(differences[None, :])[0, -1])
    if stopping is Stopping.ALWAYS_VALID:
        verdict = decide(series, width, level)
    else:
        verdict = _decide_planned(planned, width, stopping)
    if verdict.decision is Decision.UNDECIDED:
        verdict = undecided(x.size, _why_undecided(differences, unequal, budget))
    return MetricComparison(
        metric=metric,
        pairs=int(x.size),
        left_out=int((~whole).sum()),
        mean_a=float(x.mean()),
        mean_b=float(y.mean()),
        difference=float(differences.mean()),
        interval=t_interval(differences, level),
        looks=tuple(series),
        planned=tuple(planned),
        rule=stopping,
        verdict=verdict,
        margin=width,
        variance_paired=float(differences.var(ddof=1)) if many else math.nan,
        variance_independent=spread_a + spread_b,
        correlation=float(np.cov(x, y)[0, 1]) / both if both > 0 else math.nan,
        skewness=max(_skewness(differences), _skewness(differences[: verdict.pairs]), key=abs),
        unequal=unequal,
        controlled=controlled(differences, chance, level),
    )


def _planned(
    differences: FloatArray,
    whole: npt.NDArray[np.bool_],
    stopping: Stopping,
    budget: int,
    level: float,
    controls: Mapping[str, FloatArray],
) -> list[PlannedLook]:
    """The looks that the pairs reach; a pair that is left out brings no information, the budget's last all that
    is left. Each sees its pairs adjusted by controls as they all say.
    """
    if stopping is Stopping.ALWAYS_VALID:
        return []
    defined = np.cumsum(whole)
    counts: dict[int, float] = {}
    for pairs in planned_looks(budget, ROUND_PAIRS, stopping):
        if pairs <= defined.size and defined[pairs - 1] > 0:
            counts[int(defined[pairs - 1])] = 1.0 if pairs == budget else float(defined[pairs - 1]) / budget
    at, shares = list(counts), list(counts.values())
    plain = group_looks(differences, at, shares, stopping, level)
    if not controls:
        return plain
    found = []
    for k, look in enumerate(plain):
        one = controlled(differences[: at[k]], {name: column[: at[k]] for name, column in controls.items()}, level)
        # Its boundary depends on the shares before it, its statistic on the values alone.
        found.append(look if one is None else group_looks(one.values, at[: k + 1], shares[: k + 1], stopping, level)[-1])
    return found


def _decide_planned(planned: Sequence[PlannedLook], margin: float | None, stopping: Stopping) -> Verdict:
    for number, look in enumerate(planned, 1):
        how = f" (look {number}, {stopping.words})" if stopping is not Stopping.FIXED else f" ({stopping.words})"
        found = verdict_at(look.pairs, look.crossed, look.interval, margin, how)
        if found is not None:
            return found
    return undecided(0)


def _why_undecided(differences: FloatArray, unequal: int, budget: int) -> str:
    """What stands in the way of a decision: equal pairs, or that the budget is spent."""
    if unequal >= INFORMATIVE_LEAST:
        return f"the budget of {budget} pairs is spent"
    alike = differences.size - unequal
    values, times = np.unique(differences, return_counts=True)
    common = float(values[times.argmax()])
    what = "are exactly equal" if common == 0 else f"differ by exactly {common:.6g}"
    return (
        f"{alike} of {differences.size} pairs {what}; until {INFORMATIVE_LEAST} pairs are otherwise, rare differences cannot be ruled out"
    )


class _Remembered:
    """Runs that are made once: the independent comparison uses A's runs again."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._found: dict[tuple[int, int], Summary] = {}

    def summaries(self, arms: Sequence[Arm], seeds: Sequence[int]) -> list[list[Summary]]:
        """One list per arm, one summary per seed."""
        missing = [s for s in seeds if any((id(arm), s) not in self._found for arm in arms)]
        for arm, found in zip(arms, self._runs.summaries(arms, missing), strict=True):
            self._found.update({(id(arm), s): one for s, one in zip(missing, found, strict=True)})
        return [[self._found[id(arm), s] for s in seeds] for arm in arms]


class _Sample:
    """Summaries of both arms as they come in."""

    def __init__(self, a: Arm, b: Arm, runs: Runs, metrics: Sequence[str], offset: int = 0, *, controls: bool = False) -> None:
        self._arms, self._runs, self._offset = (a, b), runs, offset
        self._controls = controls
        self._chance: tuple[list[Mapping[str, float]], ...] = ([], [])
        self._values: tuple[dict[str, list[float]], ...] = (
            {m: [] for m in metrics},
            {m: [] for m in metrics},
        )
        self.count = 0
        self.last: list[Summary] = []

    def extend(self, seeds: Sequence[int]) -> None:
        if self._offset:
            found = [
                self._runs.summaries([self._arms[0]], seeds)[0],
                self._runs.summaries([self._arms[1]], [seed + self._offset for seed in seeds])[0],
            ]
        else:
            found = self._runs.summaries(self._arms, seeds)
        for values, summaries in zip(self._values, found, strict=True):
            for metric, column in values.items():
                column.extend(metric_value(summary, metric) for summary in summaries)
        for chance, summaries in zip(self._chance, found, strict=True):
            chance.extend(summary.get("chance", {}) for summary in summaries)
        self.count += len(seeds)
        self.last = [summaries[-1] for summaries in found]

    def values(self, arm: int, metric: str) -> FloatArray:
        return np.array(self._values[arm][metric])

    def comparison(self, metric: str, level: float, margin: Margin | None, stopping: Stopping, budget: int) -> MetricComparison | None:
        a, b = self.values(0, metric), self.values(1, metric)
        return compare_values(metric, a, b, level=level, margin=margin, stopping=stopping, budget=budget, controls=self.controls())

    def controls(self) -> dict[str, FloatArray]:
        """The controls of the pairs by name, those of B apart where the two arms draw otherwise."""
        if not self._controls:
            return {}
        a, b = ({name: np.array([one.get(name, math.nan) for one in chance]) for name in chance[0]} for chance in self._chance)
        b = {name: column for name, column in b.items() if name not in a or not np.array_equal(column, a[name])}
        found = {**a, **{f"{name} of B": column for name, column in b.items()}}
        return {name: column for name, column in found.items() if np.isfinite(column).all()}


def _independent(
    a: Arm,
    b: Arm,
    runs: Runs,
    metric: str,
    seeds: Sequence[int],
    until_decided: bool,
    margin: Margin | None,
    level: float,
    stopping: Stopping,
) -> MetricComparison | None:
    """The first metric again, B with seeds of its own, within the same budget."""
    sampled = _Sample(a, b, runs, [metric], INDEPENDENT_OFFSET)
    found = None
    for begin in range(0, len(seeds), ROUND_PAIRS):
        sampled.extend(seeds[begin : begin + ROUND_PAIRS])
        found = sampled.comparison(metric, level, margin, stopping, len(seeds))
        if until_decided and found is not None and found.verdict.decision is not Decision.UNDECIDED:
            break
    return found


def _corrected(one: MetricComparison, p_holm: float, level: float) -> MetricComparison:
    """The same with the corrected p-value; Holm may declare what a metric's own share of the level did
    not.
    """
    if one.verdict.decision is Decision.DIFFERENT or p_holm > 1 - level:
        return replace(one, corrected=p_holm)
    sentence = f"a difference is declared after {one.pairs} pairs (by Holm's step)"
    return replace(one, corrected=p_holm, verdict=Verdict(Decision.DIFFERENT, one.pairs, sentence))


def _seeds(a: Arm, b: Arm, pairs: int, first_seed: int) -> list[int]:
    recorded = [set(arm.by_seed) for arm in (a, b) if isinstance(arm, Recorded)]
    if not recorded:
        return list(range(first_seed, first_seed + pairs))
    common = sorted(set.intersection(*recorded))
    if not common:
        raise ValueError("the two folders have no seed in common, so no runs can be paired")
    return common[:pairs]


def _skewness(differences: FloatArray) -> float:
    spread = float(differences.std())
    # Fewer values than this say nothing about skewness.
    if differences.size < 8 or spread <= 1e-12 * float(np.abs(differences).max()):
        return 0.0
    return float((((differences - differences.mean()) / spread) ** 3).mean())
