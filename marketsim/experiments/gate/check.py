"""Runs the present code on a baseline's seeds and judges every metric, and writes new baselines."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marketsim.errors import InputError
from marketsim.experiments.gate.baseline import SCHEMA, Baseline, KeptRun, KeptScenario, kept_metric, relative_to
from marketsim.experiments.gate.gate_metric import GateMetric
from marketsim.experiments.gate.parted import Parting, kept_trail, where_parted
from marketsim.experiments.runs.metric_names import metric_value
from marketsim.experiments.runs.scenario_source import ScenarioFiles
from marketsim.experiments.runs.variants import Runs, Summary, Variant, read_arm
from marketsim.statistics.estimates import FloatArray, finite
from marketsim.statistics.fixed_n import (
    PAIRS_LEAST,
    PAIRS_MAX,
    Chances,
    GateWord,
    JudgedMetric,
    chances,
    corrected,
    judge,
    pairs_for_repeats,
    pairs_for_share,
    planned_pairs,
)

Tell = Callable[[str], None]
PILOT_SEEDS = 12
"""Seeds of a new baseline, unless a metric needs more; each is run twice, under two salts, to know the spread of a pair."""
SEEDS_MAX = 1000
"""No baseline grows beyond it by itself."""
TWIN_SALT = 1


@dataclass(frozen=True)
class MetricPlan:
    """What one metric needs: spread of a pair's difference and margin in its unit, pairs, and what that many pairs do.

    `paired` says whether the spread is of pairs (twins), or of independent runs. `pairs` counts what repeated values and rare
    differences need too.
    """

    metric: GateMetric
    margin: float
    spread: float
    freedom: int
    paired: bool
    pairs: int

    @property
    def ratio(self) -> float:
        """Margin ÷ spread."""
        return self.margin / self.spread if self.spread > 0 else math.inf

    def chances(self, pairs: int, alpha: float, metrics: int) -> Chances:
        """What the gate does to this metric with another number of pairs."""
        return chances(self.ratio, pairs, self.metric.aim, alpha, metrics, self.freedom)


def plan_metric(
    scenario: KeptScenario, metric: GateMetric, alpha: float, power: float, metrics: int, *, unpaired: bool = False
) -> MetricPlan:
    """How many pairs a metric needs, from the spreads that the baseline keeps.

    The spread is that of twins (the same seed under another salt), with `unpaired` or without twins that of independent runs. A metric
    that no twin moves needs no more than the others: `identical` is what it should be.
    """
    return plan_from(scenario.values(metric.name), scenario.twin_differences(metric.name), metric, alpha, power, metrics, unpaired=unpaired)


def plan_from(
    values: FloatArray, twins: FloatArray, metric: GateMetric, alpha: float, power: float, metrics: int, *, unpaired: bool = False
) -> MetricPlan:
    """As `plan_metric`, from a metric's values by seed and the differences that another salt made (NaN where undefined)."""
    values, twins = values[np.isfinite(values)], twins[np.isfinite(twins)]
    margin = metric.margin.of(float(values.mean())) if values.size else 0.0
    alone = float(values.std(ddof=1)) * math.sqrt(2) if values.size > 1 else 0.0
    pairs = PAIRS_LEAST
    if unpaired or twins.size < 2:
        spread, freedom, paired = alone, max(values.size - 1, 1), False
    else:
        spread, freedom, paired = float(twins.std(ddof=1)), twins.size - 1, True
    if spread > 0 and margin > 0:
        pairs = planned_pairs(margin / spread, metric.aim, alpha=alpha, power=power, metrics=metrics, freedom=freedom)
    if paired:
        equal = float((twins == 0).mean())
        pairs = max(pairs, pairs_for_repeats(equal, 1 - (1 - power) / metrics))
    if metric.rare is not None:
        pairs = max(pairs, pairs_for_share(metric.rare, alpha))
    return MetricPlan(metric, margin, spread, int(freedom), paired, pairs)


@dataclass(frozen=True)
class ScenarioOutcome:
    """One scenario of a baseline, judged on `seeds`; `planned` pairs were wanted, `kept` the baseline has."""

    path: str
    plans: tuple[MetricPlan, ...]
    judged: tuple[JudgedMetric, ...]
    planned: int
    kept: int
    seeds: tuple[int, ...]
    changed_seeds: tuple[int, ...]
    changed_content: bool
    seconds: float
    parted: Parting | None

    @property
    def is_byte_equal(self) -> bool:
        """Whether every run has the fingerprint that the baseline keeps."""
        return not self.changed_seeds


@dataclass(frozen=True)
class GateOutcome:
    """A whole gate: its verdict is the worst of its metrics', and for `exact` whether every fingerprint is the baseline's."""

    baseline: str
    reason: str
    alpha: float
    power: float
    exact: bool
    unpaired: bool
    scenarios: tuple[ScenarioOutcome, ...]
    other_versions: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float
    budget: float | None = None

    @property
    def word(self) -> GateWord:
        """The verdict of the whole."""
        if self.exact:
            return GateWord.IDENTICAL if all(one.is_byte_equal for one in self.scenarios) else GateWord.FAIL
        words = [judged.word for one in self.scenarios for judged in one.judged]
        for word in (GateWord.FAIL, GateWord.UNDECIDED, GateWord.PASS):
            if word in words:
                return word
        return GateWord.IDENTICAL

    @property
    def metrics(self) -> int:
        """How many metrics are judged together."""
        return sum(len(one.judged) for one in self.scenarios)

    def as_json(self) -> dict[str, Any]:
        """Plain data: what `--json` prints."""
        return {
            "schema": "marketsim.gate/1",
            "baseline": self.baseline,
            "reason": self.reason,
            "verdict": self.word.value,
            "exact": self.exact,
            "alpha": self.alpha,
            "power": self.power,
            "planned_from": "spreads of independent runs" if self.unpaired else "spreads of pairs",
            "correction": f"Holm over {self.metrics} metrics",
            "other_versions": list(self.other_versions),
            "notes": list(self.notes),
            "scenarios": [
                {
                    "path": one.path,
                    "pairs": len(one.seeds),
                    "planned_pairs": one.planned,
                    "seeds": list(one.seeds),
                    "changed_seeds": list(one.changed_seeds),
                    "scenario_changed": one.changed_content,
                    "first_difference": one.parted.as_json() if one.parted else None,
                    "metrics": [
                        {
                            "metric": plan.metric.name,
                            **judged.as_json(),
                            "margin_relative": plan.metric.margin.amount if plan.metric.margin.relative else None,
                            "rare": plan.metric.rare,
                            "planned_spread": finite(plan.spread),
                            "planned_pairs": plan.pairs,
                            "passes_without_shift": chance.passes,
                            "fails_at_margin": chance.fails,
                        }
                        for plan, judged in zip(one.plans, one.judged, strict=True)
                        for chance in [plan.chances(len(one.seeds), self.alpha, self.metrics)]
                    ],
                }
                for one in self.scenarios
            ],
        }


@dataclass(frozen=True)
class GatePlan:
    """What a gate would run: the scenarios as they are now, and the plans of their metrics."""

    baseline: Baseline
    name: str
    alpha: float
    power: float
    unpaired: bool
    arms: tuple[Variant, ...]
    plans: tuple[tuple[MetricPlan, ...], ...]

    @property
    def metrics(self) -> int:
        """How many metrics are judged together."""
        return sum(map(len, self.plans))

    def planned(self, number: int) -> int:
        """Pairs wanted for a scenario."""
        return max(plan.pairs for plan in self.plans[number])

    def pairs(self, number: int) -> int:
        """Pairs that the baseline lets a scenario have."""
        return min(self.planned(number), len(self.baseline.scenarios[number].runs))


def plan_gate(baseline: Baseline, path: Path, *, alpha: float, power: float, unpaired: bool) -> GatePlan:
    """Read the scenarios as they are now and plan; raises InputError for a scenario or a metric that is gone."""
    arms = [scenario_arm(path.parent / one.path, one.settings) for one in baseline.scenarios]
    count = len(baseline.metrics) * len(arms)
    refuse_unknown(baseline.asked, arms, f"{path}: metrics")
    plans = [
        tuple(plan_metric(one, metric, alpha, power, count, unpaired=unpaired) for metric in baseline.asked) for one in baseline.scenarios
    ]
    return GatePlan(baseline, path.as_posix(), alpha, power, unpaired, tuple(arms), tuple(plans))


def scenario_arm(path: Path, settings: Sequence[str]) -> Variant:
    """A scenario's file with settings; raises InputError."""
    if not path.is_file():
        raise InputError(f"{path}: no such scenario, give a scenario file")
    arm = read_arm(path, settings, " ".join([path.stem, *settings]))
    assert isinstance(arm, Variant)
    return arm


def refuse_unknown(metrics: Sequence[GateMetric], arms: Sequence[Variant], where: str) -> None:
    """Raise InputError when a scenario's summaries cannot have a metric."""
    wrong = {
        f"{where}: {problem}": None
        for arm in arms
        for metric in metrics
        if (problem := ScenarioFiles().unknown_metric(metric.name, arm.effective())) is not None
    }
    if wrong:
        raise InputError(wrong)


class Stopwatch:
    """Says whether another round of runs fits into a budget; only time decides, never what the runs gave."""

    def __init__(self, budget: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._begun, self._budget = clock, clock(), budget

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return self._clock() - self._begun

    def fits(self, seconds: float) -> bool:
        """Whether so many seconds more stay within the budget."""
        return self._budget is None or self.seconds + seconds <= self._budget


def run_gate(
    plan: GatePlan,
    runs: Runs,
    *,
    at_once: int = 1,
    budget: float | None = None,
    exact: bool = False,
    tell: Tell | None = None,
) -> GateOutcome:
    """Make the planned runs and judge them together; raises RunFailedError when a run fails.

    `budget` seconds may end the runs before the planned number, in rounds of `at_once`; each scenario has an equal part.
    `exact` takes all seeds that the baseline has and compares fingerprints, unless it is of another version or platform.
    """
    watch = Stopwatch(budget)
    baseline = plan.baseline
    others = other_versions(baseline.versions)
    notes = []
    if exact and others:
        notes.append("fingerprints hold for one version and platform only: compared by statistics instead")
    by_fingerprint = exact and not others
    made: list[tuple[list[Summary], float]] = []
    for number, kept in enumerate(baseline.scenarios):
        count = len(kept.runs) if by_fingerprint else plan.pairs(number)
        begun = watch.seconds
        part = None if budget is None else begun + (budget - begun) / (len(baseline.scenarios) - number)
        summaries: list[Summary] = []
        longest = 0.0
        while len(summaries) < count:
            if summaries and part is not None and watch.seconds + longest > part:
                notes.append(f"{kept.path}: the budget of {budget:g} s ends after {len(summaries)} of {count} planned runs")
                break
            at = watch.seconds
            seeds = kept.seeds[len(summaries) : min(len(summaries) + at_once, count)]
            summaries += runs.summaries([plan.arms[number]], seeds)[0]
            longest = watch.seconds - at
            if tell is not None:
                tell(f"{kept.path}: {len(summaries)} of {count} runs")
        made.append((summaries, watch.seconds - begun))
    judged = [
        judge(
            kept.values(metric.metric.name)[: len(summaries)],
            [metric_value(summary, metric.metric.name) for summary in summaries],
            metric.margin,
            metric.metric.aim,
            plan.alpha,
        )
        for kept, (summaries, _), plans in zip(baseline.scenarios, made, plan.plans, strict=True)
        for metric in plans
    ]
    judged = corrected(judged, plan.alpha)
    found = []
    for number, (kept, (summaries, seconds)) in enumerate(zip(baseline.scenarios, made, strict=True)):
        count = len(plan.plans[number])
        here, judged = judged[:count], judged[count:]
        used = tuple(kept.seeds[: len(summaries)])
        changed = tuple(
            run.seed for run, summary in zip(kept.runs, summaries, strict=False) if str(summary.get("fingerprint")) != run.fingerprint
        )
        red = bool(changed) if by_fingerprint else any(not one.word.is_green for one in here)
        parted = where_parted(plan.arms[number], kept, changed) if red and changed else None
        found.append(
            ScenarioOutcome(
                path=kept.path,
                plans=plan.plans[number],
                judged=tuple(here),
                planned=plan.planned(number),
                kept=len(kept.runs),
                seeds=used,
                changed_seeds=changed,
                changed_content=bool(kept.content) and kept.content != content_of(plan.arms[number]),
                seconds=seconds,
                parted=parted,
            )
        )
    return GateOutcome(
        baseline=plan.name,
        reason=baseline.reason,
        alpha=plan.alpha,
        power=plan.power,
        exact=by_fingerprint,
        unpaired=plan.unpaired,
        scenarios=tuple(found),
        other_versions=others,
        notes=tuple(notes),
        seconds=watch.seconds,
        budget=budget,
    )


def make_baseline(
    arms: Sequence[tuple[Path, tuple[str, ...], Variant]],
    metrics: Sequence[GateMetric],
    runs: Runs,
    folder: Path,
    *,
    alpha: float,
    power: float,
    first_seed: int = 1,
    seeds: int | None = None,
    reason: str = "",
    tell: Tell | None = None,
) -> Baseline:
    """Run scenarios (path, settings, arm) and return a baseline for a file in `folder`.

    Twelve seeds are run under two salts; the spreads of these pairs say how many seeds the metrics need, and what is missing is run.
    `seeds` gives the number instead. Raises InputError for a relative margin of a metric whose mean is 0, and where a plan would need
    more than `SEEDS_MAX` seeds; RunFailedError when a run fails.
    """
    kept = []
    count = len(metrics) * len(arms)
    for path, settings, arm in arms:
        pilot = min(seeds or PILOT_SEEDS, PILOT_SEEDS)
        numbers = list(range(first_seed, first_seed + pilot))
        twin = arm.changed(f"{arm.label}, other salt", {"salt": int(arm.effective().get("salt", 0)) + TWIN_SALT})
        if tell is not None:
            tell(f"{path}: {2 * pilot} runs of {pilot} seeds")
        plain, other = runs.summaries([arm, twin], numbers)
        scenario = KeptScenario(
            path=relative_to(path, folder),
            settings=settings,
            content=content_of(arm),
            runs=tuple(map(lambda seed, a, b: _kept_run(seed, a, metrics, b), numbers, plain, other)),
            trail=kept_trail(arm, numbers[0]),
        )
        plans = [plan_metric(scenario, metric, alpha, power, count) for metric in metrics]
        _refuse_marginless(path, plans)
        wanted = seeds if seeds is not None else max(PILOT_SEEDS, *(plan.pairs for plan in plans))
        if wanted > SEEDS_MAX:
            worst = max(plans, key=lambda plan: plan.pairs)
            needs = f"{worst.pairs}" if worst.pairs < PAIRS_MAX else f"more than {PAIRS_MAX}"
            raise InputError(
                f"--metric: {worst.metric}: {path} needs {needs} seeds for it (a pair varies by {worst.spread:.4g}, the margin is "
                f"{worst.margin:.4g}); give a wider margin, a longer horizon, or --seeds"
            )
        more = list(range(first_seed + pilot, first_seed + wanted))
        if more:
            if tell is not None:
                tell(f"{path}: {len(more)} more seeds, as {max(plans, key=lambda plan: plan.pairs).metric.name} needs")
            added = runs.summaries([arm], more)[0]
            scenario = scenario.model_copy(
                update={"runs": (*scenario.runs, *(_kept_run(s, a, metrics) for s, a in zip(more, added, strict=True)))}
            )
        kept.append(scenario)
    return Baseline(
        schema=SCHEMA,
        alpha=alpha,
        power=power,
        reason=reason,
        versions=versions_now(),
        metrics=tuple(map(kept_metric, metrics)),
        scenarios=tuple(kept),
    )


def _refuse_marginless(path: Path, plans: Sequence[MetricPlan]) -> None:
    wrong = [
        f"--metric: {plan.metric.name}: is 0 on average in {path}, a share of it is no margin; give a number: {plan.metric.name}:1000"
        for plan in plans
        if plan.margin == 0 and plan.metric.rare is None
    ]
    if wrong:
        raise InputError(wrong)


def _kept_run(seed: int, summary: Summary, metrics: Sequence[GateMetric], twin: Summary | None = None) -> KeptRun:
    names = [metric.name for metric in metrics]
    return KeptRun(
        seed=seed,
        fingerprint=str(summary.get("fingerprint")),
        values={name: finite(metric_value(summary, name)) for name in names},
        twin={} if twin is None else {name: finite(metric_value(twin, name)) for name in names},
    )


def content_of(arm: Variant) -> str:
    """A hash of a scenario with its settings and of all files that its runs read, users' classes among them: 16 hex digits."""
    import hashlib
    import json

    effective = arm.effective()
    text = json.dumps([effective, ScenarioFiles().contents(effective, arm.base)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def versions_now() -> dict[str, str]:
    """The versions and the platform that fingerprints hold for."""
    from marketsim.simulation.play import versions

    return {**versions(), "system": platform.system()}


def other_versions(kept: dict[str, str]) -> tuple[str, ...]:
    """What differs from a baseline's versions, as `numpy 2.3.1 → 2.4.0`."""
    now = versions_now()
    return tuple(
        f"{name} {kept.get(name, 'unknown')} → {now.get(name, 'none')}" for name in sorted({*kept, *now}) if kept.get(name) != now.get(name)
    )


def changes(old: Baseline, new: Baseline) -> list[str]:
    """What an update rewrites, a line each."""
    lines = []
    before = {one.path: one for one in old.scenarios}
    for one in new.scenarios:
        was = before.pop(one.path, None)
        if was is None:
            lines.append(f"{one.path}: new, {len(one.runs)} seeds")
            continue
        if was.settings != one.settings:
            lines.append(f"{one.path}: settings {' '.join(was.settings) or 'none'} → {' '.join(one.settings) or 'none'}")
        prints = {run.seed: run.fingerprint for run in was.runs}
        moved = [run.seed for run in one.runs if run.seed in prints and prints[run.seed] != run.fingerprint]
        if len(was.runs) != len(one.runs) or was.seeds != one.seeds:
            lines.append(f"{one.path}: {len(was.runs)} seeds → {len(one.runs)}")
        if moved:
            lines.append(f"{one.path}: {len(moved)} of {len(one.runs)} runs have another fingerprint")
        for metric in new.metrics:
            if not any(metric.name == each.name for each in old.metrics):
                continue
            a, b = float(np.nanmean(was.values(metric.name))), float(np.nanmean(one.values(metric.name)))
            if a != b:
                share = f" ({100 * (b - a) / abs(a):+.3g} %)" if a else ""
                lines.append(f"{one.path}: {metric.name} {a:.6g} → {b:.6g}{share}, means over its seeds")
    lines += [f"{path}: dropped" for path in before]
    lines += _asked_changes(old, new)
    names = sorted({*old.versions, *new.versions})
    lines += [
        f"versions: {name} {old.versions.get(name)} → {new.versions.get(name)}"
        for name in names
        if old.versions.get(name) != new.versions.get(name)
    ]
    for name in ("alpha", "power"):
        if getattr(old, name) != getattr(new, name):
            lines.append(f"{name}: {getattr(old, name):g} → {getattr(new, name):g}")
    return lines


def _asked_changes(old: Baseline, new: Baseline) -> list[str]:
    was = {metric.name: str(metric.asked()) for metric in old.metrics}
    now = {metric.name: str(metric.asked()) for metric in new.metrics}
    return [
        f"metric {was.get(name, 'none')} → {now.get(name, 'dropped')}" for name in sorted({*was, *now}) if was.get(name) != now.get(name)
    ]
