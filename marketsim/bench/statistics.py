"""Measures the statistics themselves: coverage of intervals, false declarations under A/A, power at a
planted shift.

Coverage is measured on draws whose truth is known, with the very functions that reports use. False
declarations and power are measured on runs of a small market: A against A (no difference to find) with
seeds of their own, looked at after every pair, and A against A with prices 5 % higher.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketsim.bench.theory_markets import Planted, cohort_of, exponential, market_of, provider_of
from marketsim.experiments.compare.paired import ROUND_PAIRS, Margin, compare_values
from marketsim.experiments.runs.execute import mapped
from marketsim.statistics.controls import controlled
from marketsim.statistics.estimates import FloatArray, batch_means, bootstrap_bounds, effects, quantile_interval, t_interval
from marketsim.statistics.group_sequential import Stopping, first_crossed
from marketsim.statistics.sequential import first_declared

LEVEL = 0.95
STATED_REPETITIONS = 1000
TOLERANCE = 2 * math.sqrt(LEVEL * (1 - LEVEL) / STATED_REPETITIONS)
PAIRS = 60
SHIFT = 1.05
POWER = 0.90
METRICS = ("revenue", "fill rate")
_A_RUNS, _B_RUNS = 12_000, 6_000


@dataclass(frozen=True)
class Measured:
    """One property: a rate over repetitions and the range in which it has to lie."""

    title: str
    rate: float
    repetitions: int
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the rate lies in its range."""
        return self.low <= self.rate <= self.high

    def line(self) -> str:
        """One line of the report."""
        wanted = (
            f"at least {100 * self.low:.1f} %"
            if self.high >= 1
            else f"at most {100 * self.high:.1f} %"
            if self.low <= 0
            else f"{100 * self.low:.1f} % to {100 * self.high:.1f} %"
        )
        verdict = "ok" if self.holds else "FAILED"
        measured = f"{100 * self.rate:>5.1f} % of {self.repetitions:>5,}"
        return f"{self.title:<78} {measured}  wanted {wanted:<18} {verdict}"

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "check": self.title,
            "rate": self.rate,
            "repetitions": self.repetitions,
            "low": self.low,
            "high": self.high,
            "ok": self.holds,
        }


@dataclass(frozen=True)
class StatisticsBench:
    """All properties measured with one seed."""

    seed: int
    measured: tuple[Measured, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every property holds."""
        return all(one.holds for one in self.measured)

    def lines(self) -> list[str]:
        """The report: one line a property, then how it was measured."""
        failed = sum(not one.holds for one in self.measured)
        return [
            *(one.line() for one in self.measured),
            *self.notes,
            f"{len(self.measured)} properties, {failed} missed; seed {self.seed}; coverage is wanted "
            f"within two binomial errors of {STATED_REPETITIONS:,} repetitions "
            f"(± {100 * TOLERANCE:.2f} points); {self.seconds:.0f} s",
        ]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "schema": "marketsim.statistics/1",
            "seed": self.seed,
            "checks": [one.as_json() for one in self.measured],
            "notes": list(self.notes),
            "ok": self.holds,
            "seconds": round(self.seconds, 1),
        }


def bench(
    seed: int = 1,
    *,
    workers: int = 1,
    runs_a: int = _A_RUNS,
    runs_b: int = _B_RUNS,
    repetitions: int = STATED_REPETITIONS,
    progress: Callable[[str], None] | None = None,
) -> StatisticsBench:
    """Measure everything; `runs_a` and `runs_b` are the distinct runs of the small market, dealt out anew
    until there are `repetitions` comparisons (a run is never twice in one comparison, and never meets the
    same partner in the same place).
    """
    begun = time.perf_counter()
    tell = progress or (lambda part: None)
    measured = coverage(seed)
    tell("coverage measured")
    measured += families(seed)
    tell("families of differences measured")
    found_a, found_b = market_figures(seed, runs_a, runs_b, workers)
    tell(f"{runs_a + runs_b:,} runs made")
    measured += declarations(found_a, found_b, repetitions, seed)
    spread = found_a.std(axis=0, ddof=1) / found_a.mean(axis=0)
    notes = (
        f"A/A and power: {runs_a:,} runs of A and {runs_b:,} of B, dealt into {repetitions:,} comparisons "
        f"of up to {PAIRS} pairs, looked at after every pair; between runs "
        + ", ".join(f"{name} varies by {100 * s:.1f} %" for name, s in zip(METRICS, spread, strict=True)),
    )
    return StatisticsBench(seed, tuple(measured), notes, time.perf_counter() - begun)


def coverage(seed: int) -> list[Measured]:
    """Coverage of every kind of interval on draws with a known truth."""
    rng = np.random.default_rng([seed, 1])
    normal, gamma = rng.normal(5.0, 2.0, (4000, 10)), rng.gamma(4.0, 1.0, (4000, 30))
    found = [
        _covered("t interval, normal values, n = 10", [t_interval(row).holds(5.0) for row in normal]),
        _covered("t interval, skewed values (gamma 4), n = 30", [t_interval(row).holds(4.0) for row in gamma]),
    ]
    for title, draws, truth in (
        ("bootstrap (BCa), normal values, n = 60", rng.normal(5.0, 2.0, (2000, 60)), 5.0),
        ("bootstrap (BCa), skewed values (gamma 4), n = 60", rng.gamma(4.0, 1.0, (2000, 60)), 4.0),
    ):
        low, high = bootstrap_bounds(draws, LEVEL, resamples=999, seed=seed)
        found.append(_covered(title, (low <= truth) & (truth <= high)))
    found.append(_covered("batch means, autocorrelated run (AR 0.8), 4,000 values", _batch_means_cover(rng)))
    for q, n in ((0.5, 25), (0.9, 60)):
        estimates = [quantile_interval(row, q) for row in rng.exponential(size=(4000, n))]
        level = estimates[0].interval.level
        truth = -math.log(1 - q)
        name = "median" if q == 0.5 else "90 % quantile"
        title = f"{name}, exponential values, n = {n} (exact level {100 * level:.1f} %)"
        found.append(_covered(title, [e.interval.holds(truth) for e in estimates], level))
    found.append(_covered("effect of a factor, 2 × 2 design, 6 common seeds", _effects_cover(rng)))
    return found + _controls(rng)


def _controls(rng: np.random.Generator) -> list[Measured]:
    """Means with control variates: coverage, bias in standard errors, and comparisons that use them."""
    found = []
    for name, n in (("normal values", 20), ("sums of a Poisson number of log-normal sizes", 40)):
        made = [_told(rng, n, compound=n == 40) for _ in range(_CONTROLLED)]
        adjusted = [one for one in (controlled(y, controls, LEVEL) for y, controls in made) if one is not None]
        found.append(_covered(f"control variates, {name}, n = {n}", [one.interval.holds(0.0) for one in adjusted]))
        # Unbiased: of so many standard errors of their mean a normal one passes 3.3 in one case of a thousand.
        means = np.array([one.mean for one in adjusted])
        off = abs(float(means.mean())) / float(means.std(ddof=1)) * math.sqrt(means.size)
        found.append(Measured(f"control variates, {name}: mean within 3.3 standard errors of the truth", float(off <= 3.3), 1, 1.0, 1.0))
    declared = 0
    for _ in range(_CONTROLLED // 5):
        y, controls = _told(rng, 40, compound=False)
        one = compare_values("x", np.zeros(40), y, controls=controls)
        declared += one is not None and one.verdict.decision.value == "different"
    most = 0.05 + 2 * math.sqrt(0.05 * 0.95 / (_CONTROLLED // 5))
    found.append(
        Measured("control variates, 40 pairs, O'Brien–Fleming: declared", declared / (_CONTROLLED // 5), _CONTROLLED // 5, 0.0, most)
    )
    return found


def _told(rng: np.random.Generator, n: int, *, compound: bool) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Values of mean 0 that move with one or two of three controls."""
    useless = rng.normal(size=n)
    if not compound:
        a, b, noise = rng.normal(size=(3, n))
        return 2 * a + b + noise, {"a": a, "b": b, "c": useless}
    number = rng.poisson(60, n).astype(np.float64)
    size = np.array([rng.lognormal(0, 1, int(k)).sum() - k * math.exp(0.5) for k in number])
    orders = number - 60
    return orders * math.exp(0.5) + size + rng.normal(0, 8, n), {"orders": orders, "size": size, "c": useless}


_CONTROLLED = 2000


# Differences of two policies with equal means, by name: `size` is (series, pairs).
FAMILIES: dict[str, Callable[[np.random.Generator, tuple[int, int]], FloatArray]] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "skewed arms (log-normal)": lambda rng, size: rng.lognormal(0, 1, size) - rng.lognormal(0, 1, size),
    "counts (Poisson 2)": lambda rng, size: rng.poisson(2, size).astype(float) - rng.poisson(2, size),
    "heavy tails (Student 2)": lambda rng, size: rng.standard_t(2, size),
    "±1": lambda rng, size: rng.choice([-1.0, 1.0], size=size),
    "two values, 9 to 1": lambda rng, size: np.where(rng.random(size) < 0.9, 1.0, -9.0),
    "two values, 7 to 3": lambda rng, size: np.where(rng.random(size) < 0.7, 3.0, -7.0),
    **{
        f"{zeros} % zeros": lambda rng, size, zeros=zeros: rng.normal(size=size) * (100 * rng.random(size) >= zeros)  # type: ignore[misc]
        for zeros in (50, 70, 80, 90, 95)
    },
}
# Lopsided differences of mean 0: no test of a mean holds its level on them with few pairs, so each false
# declaration has to carry a warning.
SKEWED: dict[str, Callable[[np.random.Generator, tuple[int, int]], FloatArray]] = {
    "exponential": lambda rng, size: rng.exponential(size=size) - 1,
    "log-normal": lambda rng, size: rng.lognormal(0, 1, size) - math.exp(0.5),
}
FAMILY_PAIRS = {60: 4000, 200: 2000, 2000: 500}
"""Pairs of a budget, looked at by the rule or after every pair, and the series measured with it."""
_RULES = (Stopping.OBRIEN_FLEMING, Stopping.POCOCK, Stopping.ALWAYS_VALID)


def families(seed: int) -> list[Measured]:
    """False declarations, false equivalence, warnings and power of the stopping rules, on families of differences."""
    found: list[Measured] = []
    for number, (name, draw) in enumerate(FAMILIES.items()):
        for pairs, series in FAMILY_PAIRS.items():
            rng = np.random.default_rng([seed, 3, number, pairs])
            differences = draw(rng, (series, pairs))
            most = 0.05 + 2 * math.sqrt(0.05 * 0.95 / series)
            rates = {rule: float((_declared(differences, rule) > 0).mean()) for rule in _RULES}
            worst = max(rates, key=lambda rule: rates[rule])
            title = f"{name}, {pairs:,} pairs: declared, worst of three rules: {worst.value}"
            found.append(Measured(title, rates[worst], series, 0.0, most))
    return found + _equivalences(seed) + _warnings(seed) + _powers(seed)


def _declared(differences: FloatArray, rule: Stopping) -> Any:
    return first_declared(differences) if rule is Stopping.ALWAYS_VALID else first_crossed(differences, ROUND_PAIRS, rule)


def _equivalences(seed: int) -> list[Measured]:
    """Series of mostly zeros whose mean lies just outside the margin, by the verdict that reports print."""
    found = []
    for zeros in (0, 70, 80, 90, 95):
        for rule in (Stopping.OBRIEN_FLEMING, Stopping.ALWAYS_VALID):
            rng = np.random.default_rng([seed, 4, zeros])
            size = (400, PAIRS)
            other = 100 * rng.random(size) >= zeros
            shifted = np.where(other, rng.normal(size=size) + 100 / (100 - zeros), 0.0)
            verdicts = [compare_values("x", np.zeros(PAIRS), row, margin=Margin(0.99), stopping=rule) for row in shifted]
            rate = sum(one is not None and one.verdict.decision.value == "equivalent" for one in verdicts) / size[0]
            title = f"{zeros} % zeros, mean 1.01 × margin: declared equivalent, {rule.value}"
            found.append(Measured(title, rate, size[0], 0.0, 0.05 + 2 * math.sqrt(0.05 * 0.95 / size[0])))
    return found


def _warnings(seed: int) -> list[Measured]:
    found = []
    for number, (name, draw) in enumerate(SKEWED.items()):
        differences = draw(np.random.default_rng([seed, 5, number]), (FAMILY_PAIRS[PAIRS], PAIRS))
        for rule in (Stopping.OBRIEN_FLEMING, Stopping.ALWAYS_VALID):
            false = differences[_declared(differences, rule) > 0]
            judged = [compare_values("x", np.zeros(PAIRS), row, stopping=rule) for row in false]
            share = sum(one is not None and one.skewed for one in judged) / max(len(judged), 1)
            title = f"{name} differences of mean 0, {rule.value}: false ones warned of"
            least = 0.9 - 2 * math.sqrt(0.9 * 0.1 / max(len(judged), 1))
            found.append(Measured(title, share, len(judged), least, 1.0))
    return found


def _powers(seed: int) -> list[Measured]:
    shifted = np.random.default_rng([seed, 6]).normal(0.3, 1, (FAMILY_PAIRS[PAIRS], PAIRS))
    found = []
    for rule, least in ((Stopping.OBRIEN_FLEMING, 0.57), (Stopping.POCOCK, 0.46), (Stopping.FIXED, 0.61), (Stopping.ALWAYS_VALID, 0.28)):
        rate = float((_declared(shifted, rule) > 0).mean())
        wanted = least - 2 * math.sqrt(least * (1 - least) / len(shifted))
        found.append(Measured(f"0.3 standard deviations within {PAIRS} pairs declared, {rule.value}", rate, len(shifted), wanted, 1.0))
    return found


def declarations(a: FloatArray, b: FloatArray, repetitions: int, seed: int) -> list[Measured]:
    """False declarations and power; rows of `a` and `b` are runs with equal seeds, columns metrics."""
    rng = np.random.default_rng([seed, 2])
    most = 0.05 + 2 * math.sqrt(0.05 * 0.95 / repetitions)
    found = []
    for column, name in enumerate(METRICS):
        pairs = _dealt(rng, a.shape[0], repetitions)
        differences = a[pairs[:, 1], column] - a[pairs[:, 0], column]
        for rule in _RULES:
            false = _declared(differences, rule) > 0
            title = f"A/A, {name}: declared different within {PAIRS} pairs, {rule.value}"
            found.append(Measured(title, float(false.mean()), repetitions, 0.0, most))
        fixed = [t_interval(row).holds(0.0) for row in differences]
        found.append(_covered(f"A/A, {name}: t interval of the difference covers 0", fixed))
    pairs = _dealt(rng, min(a.shape[0], b.shape[0]), repetitions)
    apart = b[pairs[:, 1], 0] - a[pairs[:, 0], 0]
    together = b[pairs[:, 0], 0] - a[pairs[:, 0], 0]
    for title, differences in (("independent seeds", apart), ("common random numbers", together)):
        declared = first_crossed(differences, ROUND_PAIRS)
        found.append(
            Measured(
                f"planted 5 % shift of revenue declared within {PAIRS} pairs, {title}",
                float((declared > 0).mean()),
                repetitions,
                POWER,
                1.0,
            )
        )
    verdicts = [
        one.verdict.decision.value
        for mine, other in zip(pairs[:200, 0], together[:200], strict=True)
        if (one := compare_values("x", a[mine, 0], a[mine, 0] + other, margin=Margin(0.025, relative=True))) is not None
    ]
    found.append(
        Measured(
            "common random numbers: 5 % shift is not called no difference",
            verdicts.count("different") / 200,
            200,
            POWER,
            1.0,
        )
    )
    return found


def market_figures(seed: int, runs_a: int, runs_b: int, workers: int) -> tuple[FloatArray, FloatArray]:
    """Revenue and fill rate of runs of A and of B (prices 5 % higher); B's run k has the seed of A's run
    k.
    """
    tasks = [(1.0, seed, k) for k in range(runs_a)] + [(SHIFT, seed, k) for k in range(runs_b)]
    if workers <= 1:
        rows = list(map(_one_run, tasks))
    else:
        rows = mapped(_one_run, tasks, workers, 100, ("marketsim.experiments.runs.warm", __name__))
    figures = np.array(rows)
    return figures[:runs_a], figures[runs_a:]


def small_market(price: float = 1.0) -> dict[str, Any]:
    """A market of milliseconds: 400 orders for a provider with room for 75 leases; `price` scales its
    price.
    """
    cohort = cohort_of(Planted(), "web", 1.0, exponential(60))
    cohort["demand"] = {"orders": 400}
    provider = provider_of(Planted(price=price), "p", cpu=75_000, price=0.2)
    return market_of(blocks=300, cohorts=[cohort], providers=[provider])


def _one_run(task: tuple[float, int, int]) -> tuple[float, float]:
    from marketsim.simulation import run

    price, seed, k = task
    summary = run(_parsed(price), seed=seed * 1_000_000 + k).summary
    return float(summary["revenue"]["total_uve"]), float(summary["fill_rate"])


_PARSED: dict[float, Any] = {}


def _parsed(price: float) -> Any:
    """The small market's scenario, read once a process."""
    from marketsim.scenario import scenario_from_mapping

    if price not in _PARSED:
        _PARSED[price] = scenario_from_mapping(small_market(price))
    return _PARSED[price]


def _dealt(rng: np.random.Generator, runs: int, repetitions: int) -> Any:
    """Rows of 2 × PAIRS different runs, dealt from a shuffled pack that is shuffled again when it is used
    up.
    """
    size = 2 * PAIRS
    hands = runs // size
    if hands < 1:
        raise ValueError(f"{runs} runs are too few for one comparison of {PAIRS} pairs")
    packs = [rng.permutation(runs)[: hands * size].reshape(hands, 2, PAIRS) for _ in range(-(-repetitions // hands))]
    return np.concatenate(packs)[:repetitions]


def _covered(title: str, held: Any, level: float = LEVEL) -> Measured:
    held = np.asarray(held)
    return Measured(title, float(held.mean()), held.size, level - TOLERANCE, min(level + TOLERANCE, 0.9999))


def _batch_means_cover(rng: np.random.Generator) -> list[bool]:
    from scipy import signal

    phi, rows, length = 0.8, 2000, 4000
    noise = rng.normal(size=(rows, length + 100))
    series = signal.lfilter([1.0], [1.0, -phi], noise, axis=1)[:, 100:]
    return [batch_means(row).interval.holds(0.0) for row in series]


def _effects_cover(rng: np.random.Generator) -> list[bool]:
    points = [[a, b] for a in (0, 1) for b in (0, 1)]
    truth = np.array([2.0 * a + b + a * b for a, b in points])
    held = []
    for _ in range(2000):
        values = truth[:, None] + rng.normal(0, 3, 6)[None, :] + rng.normal(0, 0.7, (4, 6))
        held.append(effects(points, ["a", "b"], values)[0].interval.holds(2.5))
    return held
