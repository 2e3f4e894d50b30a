"""Says how sure a simulated figure is: intervals, warm-up, effects and response surfaces over replications.

Every function takes plain numbers (one per replication unless it says otherwise) and returns frozen values
with an `as_json` method. Nothing here knows a scenario or a run.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def finite(value: float) -> float | None:
    """The number for a JSON file, None when it is infinite or undefined."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class Interval:
    """Two ends between which the named method expects the unknown, with confidence `level`."""

    low: float
    high: float
    level: float
    method: str

    @property
    def half_width(self) -> float:
        """Half the distance between the ends (infinite when one end is open)."""
        return (self.high - self.low) / 2

    def holds(self, value: float) -> bool:
        """Whether the value lies between the ends, both included."""
        return self.low <= value <= self.high

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; open ends become None."""
        return {
            "low": finite(self.low),
            "high": finite(self.high),
            "level": self.level,
            "method": self.method,
        }


@dataclass(frozen=True)
class QuantileEstimate:
    """A quantile over replications with its order-statistic interval; `interval.level` is the exact level."""

    q: float
    estimate: float
    interval: Interval

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"q": self.q, "estimate": finite(self.estimate), "interval": self.interval.as_json()}


@dataclass(frozen=True)
class Description:
    """What replications say about one metric at one design point."""

    count: int
    mean: float
    deviation: float
    error: float
    t: Interval
    bootstrap: Interval
    median: QuantileEstimate
    quantiles: tuple[QuantileEstimate, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; undefined ones become None."""
        return {
            "count": self.count,
            "mean": finite(self.mean),
            "sd": finite(self.deviation),
            "se": finite(self.error),
            "t": self.t.as_json(),
            "bootstrap": self.bootstrap.as_json(),
            "median": self.median.as_json(),
            "quantiles": [quantile.as_json() for quantile in self.quantiles],
        }


def describe(
    values: Sequence[float] | FloatArray,
    *,
    level: float = 0.95,
    quantiles: Sequence[float] = (0.1, 0.9),
    resamples: int = 2000,
    seed: int = 0,
) -> Description:
    """Mean, median and quantiles of independent replications, each with its interval.

    Missing values (NaN: the metric was undefined in that run) are left out and `count` says how many remain.
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    count = int(x.size)
    deviation = float(np.std(x, ddof=1)) if count > 1 else math.nan
    return Description(
        count=count,
        mean=float(np.mean(x)) if count else math.nan,
        deviation=deviation,
        error=deviation / math.sqrt(count) if count > 1 else math.nan,
        t=t_interval(x, level),
        bootstrap=bootstrap_interval(x, level, resamples=resamples, seed=seed),
        median=quantile_interval(x, 0.5, level),
        quantiles=tuple(quantile_interval(x, q, level) for q in quantiles),
    )


def t_interval(values: Sequence[float] | FloatArray, level: float = 0.95) -> Interval:
    """Student's interval for a mean of independent values; open when fewer than two."""
    from scipy import stats

    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        return Interval(-math.inf, math.inf, level, "t")
    half = float(stats.t.ppf((1 + level) / 2, x.size - 1)) * float(np.std(x, ddof=1)) / math.sqrt(x.size)
    mean = float(np.mean(x))
    return Interval(mean - half, mean + half, level, "t")


def bootstrap_interval(values: Sequence[float] | FloatArray, level: float = 0.95, *, resamples: int = 2000, seed: int = 0) -> Interval:
    """Bias-corrected and accelerated bootstrap interval for a mean (Efron 1987, by scipy).

    The resampling has a seed of its own so that a report keeps its bytes. It assumes nothing about the
    distribution, but with few replications it is too short: `docs/statistics.md` has its measured coverage.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size < 2:
        return Interval(-math.inf, math.inf, level, "bootstrap BCa")
    if np.ptp(x) == 0:
        return Interval(float(x[0]), float(x[0]), level, "bootstrap BCa")
    low, high = bootstrap_bounds(x[None, :], level, resamples=resamples, seed=seed)
    return Interval(float(low[0]), float(high[0]), level, "bootstrap BCa")


def bootstrap_bounds(samples: FloatArray, level: float = 0.95, *, resamples: int = 2000, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """BCa bounds for the mean of each row of `samples` (rows × values)."""
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a row of nearly equal values is degenerate and gives NaN
        found = stats.bootstrap(
            (samples,),
            np.mean,
            axis=-1,
            confidence_level=level,
            n_resamples=resamples,
            batch=max(1, 4_000_000 // max(samples.size, 1)),
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    interval = found.confidence_interval
    return np.atleast_1d(interval.low), np.atleast_1d(interval.high)


def quantile_interval(values: Sequence[float] | FloatArray, q: float, level: float = 0.95) -> QuantileEstimate:
    """A quantile with the interval between two order statistics, whatever the distribution.

    The ends are the order statistics nearest to symmetric in probability whose binomial coverage reaches
    `level`; the interval's `level` is that exact coverage. With too few values an end is open.
    """
    from scipy import stats

    x = np.sort(np.asarray(values, dtype=np.float64))
    n = int(x.size)
    if n == 0:
        return QuantileEstimate(q, math.nan, Interval(-math.inf, math.inf, 1.0, "order statistics"))
    tail = (1 - level) / 2
    # Number of values below the quantile is binomial(n, q): x[lower-1] is above it with P(B < lower) <= tail.
    lower = int(stats.binom.ppf(tail, n, q))
    if stats.binom.cdf(lower - 1, n, q) > tail:
        lower -= 1
    upper = int(stats.binom.ppf(1 - tail, n, q)) + 1
    coverage = float(stats.binom.cdf(upper - 1, n, q) - (stats.binom.cdf(lower - 1, n, q) if lower else 0.0))
    low = float(x[lower - 1]) if lower >= 1 else -math.inf
    high = float(x[upper - 1]) if upper <= n else math.inf
    return QuantileEstimate(q, float(np.quantile(x, q)), Interval(low, high, coverage, "order statistics"))


@dataclass(frozen=True)
class WarmUp:
    """The part of a series to discard as proposed by MSER-5; `settled` is False where the series is too
    short.
    """

    discard: int
    settled: bool
    mean_before: float
    mean_after: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "discard": self.discard,
            "settled": self.settled,
            "mean_before": finite(self.mean_before),
            "mean_after": finite(self.mean_after),
        }


def mser5(series: Sequence[float] | FloatArray) -> WarmUp:
    """Warm-up by MSER-5: the cut that minimises the standard error of what remains, over means of five.

    `series` is one run's output in order of time (White 1997). A minimum found in the last half of the series
    is not a warm-up but a series that is too short: then `settled` is False and `discard` is that half.
    """
    x = np.asarray(series, dtype=np.float64)
    batches = x[: x.size // 5 * 5].reshape(-1, 5).mean(axis=1)
    n = batches.size
    if n < 4:
        return WarmUp(0, False, math.nan, float(x.mean()) if x.size else math.nan)
    remaining = n - np.arange(n)
    backward_mean = np.cumsum(batches[::-1])[::-1] / remaining
    squares = np.maximum(np.cumsum((batches**2)[::-1])[::-1] / remaining - backward_mean**2, 0.0)
    cut = int(np.argmin(squares[: n - 2] / remaining[: n - 2]))
    settled = cut <= n // 2
    discard = 5 * min(cut, n // 2)
    return WarmUp(discard, settled, float(x[:discard].mean()) if discard else math.nan, float(x[discard:].mean()))


@dataclass(frozen=True)
class BatchMeans:
    """The mean of one long run with an interval from batches, and how far batches still depend on each
    other.
    """

    mean: float
    interval: Interval
    batches: int
    batch_size: int
    lag_one: float
    independent: bool

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "mean": finite(self.mean),
            "interval": self.interval.as_json(),
            "batches": self.batches,
            "batch_size": self.batch_size,
            "lag_one": finite(self.lag_one),
            "independent": self.independent,
        }


def batch_means(series: Sequence[float] | FloatArray, *, batches: int = 20, level: float = 0.95) -> BatchMeans:
    """Mean of one stationary run, its interval from the means of non-overlapping batches.

    Observations that do not fill the last batch are dropped from the front. `independent` is False when the
    batches' lag-one correlation exceeds two of its standard errors: then the interval is too short and the
    run needs to be longer.
    """
    x = np.asarray(series, dtype=np.float64)
    batches = min(batches, x.size)
    if batches < 3:
        raise ValueError(f"batch means need at least 3 observations, found {x.size}")
    size = x.size // batches
    means = x[x.size - size * batches :].reshape(batches, size).mean(axis=1)
    centred = means - means.mean()
    spread = float(centred @ centred)
    lag_one = float(centred[1:] @ centred[:-1]) / spread if spread > 0 else 0.0
    return BatchMeans(
        mean=float(means.mean()),
        interval=t_interval(means, level),
        batches=batches,
        batch_size=size,
        lag_one=lag_one,
        independent=lag_one <= 2 / math.sqrt(batches),
    )


def holm(p_values: Sequence[float] | FloatArray) -> FloatArray:
    """p-values adjusted for their number by Holm's step-down rule: rejecting those ≤ 5 % keeps the family
    at 5 %.
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


@dataclass(frozen=True)
class Effect:
    """The change of a metric when a factor goes from its low to its high level (or two factors do
    together).
    """

    name: str
    estimate: float
    interval: Interval
    p: float
    p_holm: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "name": self.name,
            "estimate": finite(self.estimate),
            "interval": self.interval.as_json(),
            "p": finite(self.p),
            "p_holm": finite(self.p_holm),
        }


def effects(
    points: Sequence[Sequence[object]],
    names: Sequence[str],
    values: FloatArray,
    *,
    level: float = 0.95,
    interactions: bool = True,
) -> list[Effect]:
    """Main effects and two-factor interactions of a design, with intervals over replications.

    `points` holds one level per factor (design points × factors), `values` one number per point and
    replication (points × replications); column k of `values` is one seed, used at every point. The contrast
    is computed per seed and the interval is Student's over seeds: with common random numbers the points of
    one seed move together, and intervals that treat them as independent would be wrong. Numbers are coded
    to −1 … +1 between a factor's lowest and highest level; the effect is twice the least-squares
    coefficient, in a two-level factorial the classical difference of means. Factors that are not numbers
    get one effect per level against their first level. Interactions that the design cannot tell apart are
    left out. The p-values are corrected by Holm over all effects returned.
    """
    from scipy import stats

    y = np.asarray(values, dtype=np.float64)
    columns, labels = _contrasts(points, names, interactions)
    replications = y.shape[1]
    if not labels:
        return []
    matrix = np.column_stack([np.ones(len(points)), *columns])
    weights = np.linalg.pinv(matrix)[1:]
    per_seed = weights @ y
    means = per_seed.mean(axis=1)
    if replications > 1:
        errors = per_seed.std(axis=1, ddof=1) / math.sqrt(replications)
        half = float(stats.t.ppf((1 + level) / 2, replications - 1)) * errors
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(errors > 0, np.abs(means) / errors, np.where(means == 0, 0.0, np.inf))
        p = 2 * np.asarray(stats.t.sf(t, replications - 1), dtype=np.float64)
    else:
        half = np.full(len(labels), math.inf)
        p = np.ones(len(labels))
    adjusted = holm(p)
    return [
        Effect(
            label,
            float(mean),
            Interval(float(mean - h), float(mean + h), level, "t over seeds"),
            float(p_i),
            float(a),
        )
        for label, mean, h, p_i, a in zip(labels, means, half, p, adjusted, strict=True)
    ]


def _contrasts(points: Sequence[Sequence[object]], names: Sequence[str], interactions: bool) -> tuple[list[FloatArray], list[str]]:
    """Design columns scaled so that a coefficient is an effect, with their labels; estimable ones only."""
    mains: list[list[tuple[FloatArray, str]]] = []
    for index, name in enumerate(names):
        levels = [point[index] for point in points]
        mains.append(_coded(levels, name))
    candidates = [column for factor in mains for column in factor]
    if interactions:
        for left, right in itertools.combinations(mains, 2):
            for (a, a_name), (b, b_name) in itertools.product(left, right):
                candidates.append((2 * a * b, f"{a_name} × {b_name}"))
    kept: list[FloatArray] = [np.ones(len(points))]
    labels: list[str] = []
    for column, label in candidates:
        trial = np.column_stack([*kept, column])
        if np.linalg.matrix_rank(trial) == trial.shape[1]:
            kept.append(column)
            labels.append(label)
    return kept[1:], labels


def _coded(levels: Sequence[object], name: str) -> list[tuple[FloatArray, str]]:
    """Columns of a factor at −½ … +½, so that the coefficient is the change from low to high."""
    numbers = as_numbers(levels)
    if numbers is not None:
        low, high = float(numbers.min()), float(numbers.max())
        return [] if low == high else [((numbers - low) / (high - low) - 0.5, name)]
    distinct = list(dict.fromkeys(str(level) for level in levels))
    if len(distinct) == 2:
        return [
            (
                np.array([0.5 if str(level) == distinct[1] else -0.5 for level in levels]),
                f"{name} ({distinct[1]} against {distinct[0]})",
            )
        ]
    return [
        (
            np.array([1.0 if str(level) == other else 0.0 for level in levels]),
            f"{name} ({other} against {distinct[0]})",
        )
        for other in distinct[1:]
    ]


def as_numbers(levels: Sequence[object]) -> FloatArray | None:
    """The levels as numbers, None when one of them is not a number (booleans are not)."""
    if any(isinstance(level, bool) or not isinstance(level, int | float) for level in levels):
        return None
    return np.array(levels, dtype=np.float64)


@dataclass(frozen=True)
class ResponseSurface:
    """A quadratic (or, with too few points, linear) polynomial of coded factors fitted to a metric's
    means.
    """

    names: tuple[str, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    terms: tuple[str, ...]
    coefficients: FloatArray
    errors: FloatArray
    covariance: FloatArray
    degree: int
    r_squared: float
    residual: float
    cross_validated: float
    points: int

    def predict(self, at: Sequence[Sequence[float]] | FloatArray) -> tuple[FloatArray, FloatArray]:
        """Fitted value and its standard error (of the surface, not of a new run) at points × factors."""
        rows = _polynomial(_to_unit(np.atleast_2d(np.asarray(at, np.float64)), self.lows, self.highs), self.degree)[0]
        return rows @ self.coefficients, np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", rows, self.covariance, rows), 0))

    def as_json(self) -> dict[str, Any]:
        """Plain numbers: coefficients in coded units (low = −1, high = +1)."""
        return {
            "factors": {name: {"low": low, "high": high} for name, low, high in zip(self.names, self.lows, self.highs, strict=True)},
            "degree": self.degree,
            "terms": {
                _named(term, self.names): {"coefficient": finite(c), "se": finite(e)}
                for term, c, e in zip(self.terms, self.coefficients, self.errors, strict=True)
            },
            "r_squared": finite(self.r_squared),
            "residual_sd": finite(self.residual),
            "cross_validated_rmse": finite(self.cross_validated),
            "points": self.points,
        }


def response_surface(
    points: Sequence[Sequence[float]] | FloatArray,
    names: Sequence[str],
    values: Sequence[float] | FloatArray,
) -> ResponseSurface:
    """Least-squares quadratic in the factors, with its error in and out of sample.

    `points` is design points × factors (numbers), `values` the metric's mean at each point. The
    cross-validated error is the root mean square of leave-one-out residuals (by the hat matrix). A design too
    small for the quadratic's terms gets the linear surface; one too small for that is refused (ValueError).
    """
    x = np.asarray(points, dtype=np.float64)
    y = np.asarray(values, dtype=np.float64)
    lows, highs = x.min(axis=0), x.max(axis=0)
    if np.any(lows == highs):
        raise ValueError("a factor with one level has no surface")
    unit = _to_unit(x, lows, highs)
    for degree in (2, 1):
        matrix, terms = _polynomial(unit, degree)
        if matrix.shape[0] > matrix.shape[1] and np.linalg.matrix_rank(matrix) == matrix.shape[1]:
            break
    else:
        raise ValueError(f"{x.shape[0]} design points are too few for a surface of {x.shape[1]} factors")
    inverse = np.linalg.inv(matrix.T @ matrix)
    coefficients = inverse @ matrix.T @ y
    residuals = y - matrix @ coefficients
    freedom = matrix.shape[0] - matrix.shape[1]
    variance = float(residuals @ residuals) / freedom
    leverage = np.einsum("ij,jk,ik->i", matrix, inverse, matrix)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = np.where(leverage < 1 - 1e-9, residuals / (1 - leverage), np.nan)
    total = float(((y - y.mean()) ** 2).sum())
    return ResponseSurface(
        names=tuple(names),
        lows=tuple(float(v) for v in lows),
        highs=tuple(float(v) for v in highs),
        terms=tuple(terms),
        coefficients=coefficients,
        errors=np.sqrt(np.diag(inverse) * variance),
        covariance=inverse * variance,
        degree=degree,
        r_squared=1 - float(residuals @ residuals) / total if total > 0 else math.nan,
        residual=math.sqrt(variance),
        cross_validated=float(np.sqrt(np.mean(left_out**2))),
        points=x.shape[0],
    )


def _to_unit(x: FloatArray, lows: Sequence[float] | FloatArray, highs: Sequence[float] | FloatArray) -> FloatArray:
    low, high = np.asarray(lows, np.float64), np.asarray(highs, np.float64)
    coded: FloatArray = 2 * (x - low) / (high - low) - 1
    return coded


def _polynomial(unit: FloatArray, degree: int) -> tuple[FloatArray, list[str]]:
    """Columns 1, x_i, x_i x_j, x_i² of coded factors and their labels by factor index."""
    count = unit.shape[1]
    columns = [np.ones(unit.shape[0]), *(unit[:, i] for i in range(count))]
    labels = ["1", *(f"x{i}" for i in range(count))]
    if degree == 2:
        for i in range(count):
            for j in range(i, count):
                columns.append(unit[:, i] * unit[:, j])
                labels.append(f"x{i}·x{j}")
    return np.column_stack(columns), labels


def _named(term: str, names: Sequence[str]) -> str:
    return " × ".join(names[int(part[1:])] if part.startswith("x") else part for part in term.split("·"))
