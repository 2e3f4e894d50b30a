"""Measures a gate's own error rates: many gates dealt out of kept replications of a market, by the functions that `check` uses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from marketsim.errors import InputError
from marketsim.experiments.compare.paired import Margin
from marketsim.experiments.gate.check import PILOT_SEEDS, plan_from
from marketsim.experiments.gate.gate_metric import GateMetric, default_aim
from marketsim.experiments.runs.metric_names import metric_value
from marketsim.experiments.runs.variants import Runs, Variant
from marketsim.statistics.estimates import FloatArray
from marketsim.statistics.fixed_n import GateWord, JudgedMetric, corrected, judge

SCHEMA = "marketsim.gate-selftest/1"
REPLICATIONS = 500
BASE, TWIN, SAME, SHIFTED = "base", "twin", "same", "shifted"
"""The arms: as it is; under the salts 1 and 2, which changes nothing but the fine grain; under salt 3 with a larger take."""
TAKE_MORE = 0.03
"""The shifted arm takes so much more of what providers earn: their revenue falls by about 3 %."""
METRICS = ("revenue.total", "fill_rate", "utilization.cpu", "price.mean_won")
_REVENUE = METRICS[0]
_CHANGED_ONE_IN = 10
_DISJOINT_SEEDS = 60
_BATCH = 50


@dataclass(frozen=True)
class KeptArms:
    """Values of each arm and metric, float64[replications] by equal seeds, of a scenario as plain data."""

    scenario: dict[str, Any]
    base: str
    metrics: tuple[str, ...]
    values: dict[str, dict[str, FloatArray]]

    @property
    def count(self) -> int:
        """Replications of each arm."""
        return len(self.values[BASE][_REVENUE])


@dataclass(frozen=True)
class GateRate:
    """One line of the selftest: how often something happened, how often it may or has to, and the pairs that were planned."""

    title: str
    rate: float
    gates: int
    limit: float
    least: bool
    pairs: tuple[int, int, int]
    beside: str = ""

    @property
    def room(self) -> float:
        """Two binomial errors of the limit."""
        return 2 * math.sqrt(self.limit * (1 - self.limit) / self.gates)

    @property
    def holds(self) -> bool:
        """Whether the rate is within two binomial errors of its limit, or on its right side."""
        return self.rate >= self.limit - self.room if self.least else self.rate <= self.limit + self.room

    def line(self) -> str:
        """One line of the report."""
        low, median, high = self.pairs
        n = f"n {low}" if low == high else f"n {low}–{high}, median {median}"
        wanted = f"{'at least' if self.least else 'at most'} {100 * self.limit:.3g} {'−' if self.least else '+'} {100 * self.room:.1f} %"
        return f"{self.title:<62} {100 * self.rate:5.1f} %  {wanted:<22} {'ok' if self.holds else 'FAILED':<6}  {n}{self.beside}"

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "check": self.title,
            "rate": self.rate,
            "gates": self.gates,
            "limit": self.limit,
            "kind": "at least" if self.least else "at most",
            "pairs_least": self.pairs[0],
            "pairs_median": self.pairs[1],
            "pairs_most": self.pairs[2],
            "beside": self.beside.strip(" ;"),
            "ok": self.holds,
        }


@dataclass(frozen=True)
class Selftest:
    """All lines of one selftest."""

    rates: tuple[GateRate, ...]
    notes: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every line holds."""
        return all(rate.holds for rate in self.rates)

    def lines(self) -> list[str]:
        """What the command prints."""
        missed = sum(not rate.holds for rate in self.rates)
        return [*(rate.line() for rate in self.rates), *self.notes, f"{len(self.rates)} rates, {missed} missed"]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema": "marketsim.gate-selftest-result/1",
            "rates": [rate.as_json() for rate in self.rates],
            "notes": list(self.notes),
            "ok": self.holds,
        }


def stored() -> KeptArms:
    """The replications that come with marketsim."""
    data = json.loads((files("marketsim.experiments.gate") / "selftest.json").read_bytes())
    values = {
        arm: {name: np.array(column, dtype=np.float64) for name, column in columns.items()} for arm, columns in data["values"].items()
    }
    return KeptArms(data["scenario"], "", tuple(data["metrics"]), values)


def stored_bytes(arms: KeptArms) -> bytes:
    """Replications as the file has them: values to nine digits, a metric a line."""
    values = [
        f'  "{arm}": {{\n'
        + ",\n".join(f'   "{name}": [{", ".join(f"{value:.9g}" for value in arms.values[arm][name])}]' for name in arms.metrics)
        + "\n  }"
        for arm in arms.values
    ]
    head = {"schema": SCHEMA, "metrics": list(arms.metrics), "scenario": arms.scenario}
    lines = [f' "{key}": {json.dumps(value)},' for key, value in head.items()]
    return ("{\n" + "\n".join(lines) + '\n "values": {\n' + ",\n".join(values) + "\n }\n}\n").encode()


def drawn(
    scenario: dict[str, Any], base: str, runs: Runs, count: int = REPLICATIONS, tell: Callable[[str], None] | None = None
) -> KeptArms:
    """Make `count` replications of each arm of a scenario; InputError where a larger take moves no revenue."""
    plain = Variant(BASE, scenario, base)
    effective = plain.effective()
    take = round(float(effective.get("take") or 0) + TAKE_MORE, 6)
    arms = {
        BASE: plain,
        TWIN: plain.changed(TWIN, {"salt": 1}),
        SAME: plain.changed(SAME, {"salt": 2}),
        SHIFTED: plain.changed(SHIFTED, {"salt": 3, "take": str(take)}),
    }
    columns: dict[str, dict[str, list[float]]] = {arm: {name: [] for name in METRICS} for arm in arms}
    for first in range(1, count + 1, _BATCH):
        seeds = list(range(first, min(first + _BATCH, count + 1)))
        for arm, summaries in zip(arms, runs.summaries(list(arms.values()), seeds), strict=True):
            for name in METRICS:
                columns[arm][name] += [float(f"{metric_value(summary, name):.9g}") for summary in summaries]
        if tell is not None:
            tell(f"selftest: {seeds[-1]} of {count} replications of {len(arms)} arms")
    values = {arm: {name: np.array(column) for name, column in found.items()} for arm, found in columns.items()}
    if not np.isfinite([list(found.values()) for found in values.values()]).all():
        raise InputError("selftest: a metric is undefined in some runs of this scenario, give one in which leases are made in every run")
    if _shift(values, _REVENUE) >= 0:
        raise InputError("selftest: a larger take does not lower revenue in this scenario, give one with take")
    return KeptArms(scenario, base, METRICS, values)


def _shift(values: dict[str, dict[str, FloatArray]], metric: str, arm: str = SHIFTED) -> float:
    return float(values[arm][metric].mean() - values[BASE][metric].mean())


def selftest(
    arms: KeptArms,
    gates: int = 1000,
    tell: Callable[[str], None] | None = None,
    *,
    alpha: float = 0.05,
    power: float = 0.9,
    seed: int = 27,
) -> Selftest:
    """Deal `gates` gates for each line out of the replications and count their verdicts.

    A gate gets a baseline of seeds drawn without replacement, plans its pairs from that baseline's spreads, and judges the other arm on
    them: on the same seeds, or on others. The true shift is that of all replications, so that margins can be as large as it, exactly.
    """
    tell = tell or (lambda _: None)
    dealt = _Dealt(arms, gates, alpha, power, seed)
    shift = abs(_shift(arms.values, _REVENUE))
    mean = float(arms.values[BASE][_REVENUE].mean())
    rates: list[GateRate] = []
    for name in arms.metrics:
        asked = GateMetric(name, Margin(0.03, relative=True), default_aim(name))
        found = dealt.gates([asked], SAME)
        rates += [
            _red(f"A/A, equal seeds: {name} within 3 % is red", found, 1 - power),
        ]
    together = [GateMetric(name, Margin(0.03, relative=True), default_aim(name)) for name in arms.metrics]
    rates.append(_red(f"A/A, equal seeds: one of {len(together)} metrics together is red", dealt.gates(together, SAME), 1 - power))
    tell("selftest: equal seeds judged")
    revenue = GateMetric(_REVENUE, Margin(shift), default_aim(_REVENUE))
    # The salts themselves move the means of so many replications a little: a margin as large as the true shift counts that in.
    found = dealt.gates([revenue], SHIFTED)
    rates.append(_passes("a shift as large as the margin passes, equal seeds", found, alpha))
    rates.append(_fails(f"a shift of revenue by {100 * shift / mean:.1f} %, margin as large, fails, equal seeds", found, power))
    found = dealt.gates([revenue, *(replace(one, margin=Margin(0.05, relative=True)) for one in together[1:])], SHIFTED)
    rates.append(_passes(f"a gate of {len(together)} metrics passes with one shifted by its margin", found, alpha))
    tell("selftest: shifts judged")
    apart = GateMetric(_REVENUE, Margin(0.03, relative=True), default_aim(_REVENUE))
    rates.append(_red("A/A, disjoint seeds: revenue within 3 % is red", dealt.gates([apart], SAME, disjoint=True), 1 - power))
    rates.append(_passes("a shift as large as the margin passes, disjoint seeds", dealt.gates([revenue], SHIFTED, disjoint=True), alpha))
    tell("selftest: disjoint seeds judged")
    for rare, title in (
        (None, "changed in one seed of ten, mean shifted by the margin, passes"),
        (0.1, "the same as a metric :rare=10%, passes or is identical"),
    ):
        judged, pairs = dealt.rare_gates(rare)
        words = _words(judged)
        hits = sum(word is GateWord.PASS or (rare is not None and word is GateWord.IDENTICAL) for word in words)
        rates.append(GateRate(title, hits / len(words), len(words), alpha, False, _spread(pairs), _beside(words)))
    spreads = []
    for name in arms.metrics:
        base, twin = arms.values[BASE][name], arms.values[TWIN][name]
        spreads.append(f"{name} {100 * float(np.std(twin - base, ddof=1)) / abs(float(base.mean())):.2f} %")
    notes = (
        f"{gates:,} gates a line, dealt out of {arms.count} replications of each arm; baselines of {PILOT_SEEDS} seeds and more, "
        f"α {100 * alpha:g} %, power {100 * power:g} %; spreads of a pair: {', '.join(spreads)}",
    )
    return Selftest(tuple(rates), notes)


Found = tuple[list[list[JudgedMetric]], list[int]]


class _Dealt:
    """Deals gates out of replications."""

    def __init__(self, arms: KeptArms, gates: int, alpha: float, power: float, seed: int) -> None:
        self._arms, self._gates, self._alpha, self._power, self._seed = arms, gates, alpha, power, seed

    def gates(self, metrics: Sequence[GateMetric], arm: str, *, disjoint: bool = False) -> Found:
        """The verdicts of many gates on `arm`, and their planned pairs."""
        after = self._arms.values[arm]
        return self._judged(metrics, {one.name: after[one.name] for one in metrics}, disjoint)

    def rare_gates(self, share: float | None) -> Found:
        """Gates on revenue of an arm that is changed in one seed of ten only; the margin is its true shift."""
        base, shifted = self._arms.values[BASE][_REVENUE], self._arms.values[SHIFTED][_REVENUE]
        rng = np.random.default_rng([self._seed, 10])
        changed = rng.permutation(base.size) < base.size // _CHANGED_ONE_IN
        after = np.where(changed, shifted, base)
        metric = GateMetric(_REVENUE, Margin(abs(float((after - base).mean()))), default_aim(_REVENUE), share)
        return self._judged([metric], {_REVENUE: after}, False, plan_as=replace(metric, margin=Margin(0.03, relative=True)))

    def _judged(
        self, metrics: Sequence[GateMetric], after: dict[str, FloatArray], disjoint: bool, plan_as: GateMetric | None = None
    ) -> Found:
        base, twin = self._arms.values[BASE], self._arms.values[TWIN]
        found, planned = [], []
        for number in range(self._gates):
            rng = np.random.default_rng([self._seed, number])
            deck = rng.permutation(self._arms.count)
            kept = deck[: _DISJOINT_SEEDS if disjoint else PILOT_SEEDS]
            plans = [
                plan_from(
                    base[one.name][kept],
                    (twin[one.name] - base[one.name])[kept],
                    plan_as or one,
                    self._alpha,
                    self._power,
                    len(metrics),
                    unpaired=disjoint,
                )
                for one in metrics
            ]
            pairs = min(max(plan.pairs for plan in plans), self._arms.count // 2)
            first, second = deck[:pairs], deck[pairs : 2 * pairs] if disjoint else deck[:pairs]
            judged = [
                judge(
                    base[one.name][first], after[one.name][second], one.margin.of(float(base[one.name][kept].mean())), one.aim, self._alpha
                )
                for one in metrics
            ]
            found.append(corrected(judged, self._alpha))
            planned.append(pairs)
        return found, planned


def _words(judged: Sequence[Sequence[JudgedMetric]]) -> list[GateWord]:
    """The verdict of each gate: the worst of its metrics'."""
    order = [GateWord.FAIL, GateWord.UNDECIDED, GateWord.PASS, GateWord.IDENTICAL]
    return [min((one.word for one in gate), key=order.index) for gate in judged]


def _red(title: str, found: Found, limit: float) -> GateRate:
    words = _words(found[0])
    hits = sum(not word.is_green for word in words)
    return GateRate(title, hits / len(words), len(words), limit, False, _spread(found[1]), _beside(words))


def _passes(title: str, found: Found, limit: float) -> GateRate:
    words = _words(found[0])
    return GateRate(title, sum(word.is_green for word in words) / len(words), len(words), limit, False, _spread(found[1]), _beside(words))


def _fails(title: str, found: Found, limit: float) -> GateRate:
    words = _words(found[0])
    return GateRate(title, words.count(GateWord.FAIL) / len(words), len(words), limit, True, _spread(found[1]), _beside(words))


def _beside(words: Sequence[GateWord]) -> str:
    return "; " + ", ".join(f"{word.value} {100 * words.count(word) / len(words):.1f} %" for word in GateWord if words.count(word))


def _spread(pairs: Sequence[int]) -> tuple[int, int, int]:
    return min(pairs), int(np.median(pairs)), max(pairs)


def scenario_data(path: Path, settings: Sequence[str] = ()) -> tuple[dict[str, Any], str]:
    """A scenario's file with settings as plain data with every default, and its folder."""
    from marketsim.scenario import load_scenario

    return load_scenario(path, settings).effective(), str(path.parent)
