"""Says how sure a simulated figure is: intervals, warm-up, effects and response surfaces over replications.

Every function takes plain numbers (one per replication unless it says otherwise) and returns frozen values
with an `as_json` method. Nothing here knows a scenario or a run.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
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
    x = _defined(values)
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


@lru_cache(maxsize=1024)
def t_quantile(share: float, freedom: int) -> float:
    """The quantile of Student's t with `freedom` degrees of freedom below which `share` of it lies."""
    from scipy import stats

    return float(stats.t.ppf(share, freedom))


def t_interval(values: Sequence[float] | FloatArray, level: float = 0.95) -> Interval:
    """Student's interval for a mean of independent values; open when fewer than two.

    Missing values (NaN) are left out, here and in every other estimate of this module.
    """
    x = _defined(values)
    if x.size < 2:
        return Interval(-math.inf, math.inf, level, "t")
    half = t_quantile((1 + level) / 2, x.size - 1) * float(np.std(x, ddof=1)) / math.sqrt(x.size)
    mean = float(np.mean(x))
    return Interval(mean - half, mean + half, level, "t")


def _defined(values: Sequence[float] | FloatArray) -> FloatArray:
    x = np.asarray(values, dtype=np.float64)
    found: FloatArray = x[np.isfinite(x)]
    return found


def bootstrap_interval(values: Sequence[float] | FloatArray, level: float = 0.95, *, resamples: int = 2000, seed: int = 0) -> Interval:
    """Bias-corrected and accelerated bootstrap interval for a mean (Efron 1987, by scipy).

    The resampling has a seed of its own so that a report keeps its bytes. It assumes nothing about the
    distribution, but with few replications it is too short: `docs/statistics.md` has its measured coverage.
    """
    x = _defined(values)
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
    x = np.sort(_defined(values))
    n = int(x.size)
    if n == 0:
        return QuantileEstimate(q, math.nan, Interval(-math.inf, math.inf, 1.0, "order statistics"))
    lower, upper, coverage = _ranks(n, q, level)
    low = float(x[lower - 1]) if lower >= 1 else -math.inf
    high = float(x[upper - 1]) if upper <= n else math.inf
    return QuantileEstimate(q, float(np.quantile(x, q)), Interval(low, high, coverage, "order statistics"))


@lru_cache(maxsize=1024)
def _ranks(n: int, q: float, level: float) -> tuple[int, int, float]:
    """Ranks, counted from 1, of the order statistics that are the ends of the interval of a quantile, and what it covers."""
    from scipy import stats

    tail = (1 - level) / 2
    # Number of values below the quantile is binomial(n, q): x[lower-1] is above it with P(B < lower) <= tail.
    lower = int(stats.binom.ppf(tail, n, q))
    if stats.binom.cdf(lower - 1, n, q) > tail:
        lower -= 1
    upper = int(stats.binom.ppf(1 - tail, n, q)) + 1
    coverage = float(stats.binom.cdf(upper - 1, n, q) - (stats.binom.cdf(lower - 1, n, q) if lower else 0.0))
    return lower, upper, coverage


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
    is not a warm-up but a series that is too short: then `settled` is False and `discard` is that half. A series
    with a gap (NaN) has no order of time left: ValueError.
    """
    x = _whole(series)
    # About its mean, so that squares keep their digits however far the series is from 0.
    batches = (x - x.mean() if x.size else x)[: x.size // 5 * 5].reshape(-1, 5).mean(axis=1)
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
    correlation_time: float
    independent: bool

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "mean": finite(self.mean),
            "interval": self.interval.as_json(),
            "batches": self.batches,
            "batch_size": self.batch_size,
            "lag_one": finite(self.lag_one),
            "correlation_time": finite(self.correlation_time),
            "independent": self.independent,
        }


def batch_means(series: Sequence[float] | FloatArray, *, batches: int = 20, level: float = 0.95) -> BatchMeans:
    """Mean of one stationary run, its interval from the means of non-overlapping batches.

    Observations that do not fill the last batch are dropped from the front. `independent` is False when a batch
    is shorter than `BATCH_TIMES` correlation times of the series, or the batches' lag-one correlation exceeds two of
    its standard errors: then the interval is too short and the run needs to be longer. Twenty batches alone
    cannot tell: their lag-one correlation has a standard error of 0.22. A series with a gap (NaN) is refused
    (ValueError), as is one of fewer than 3 observations.
    """
    x = _whole(series)
    batches = min(batches, x.size)
    if batches < 3:
        raise ValueError(f"batch means need at least 3 observations, found {x.size}")
    size = x.size // batches
    means = x[x.size - size * batches :].reshape(batches, size).mean(axis=1)
    centred = means - means.mean()
    spread = float(centred @ centred)
    lag_one = float(centred[1:] @ centred[:-1]) / spread if spread > 0 else 0.0
    time = correlation_time(x)
    return BatchMeans(
        mean=float(means.mean()),
        interval=t_interval(means, level),
        batches=batches,
        batch_size=size,
        lag_one=lag_one,
        correlation_time=time,
        independent=lag_one <= 2 / math.sqrt(batches) and size >= 1 + BATCH_TIMES * (time - 1),
    )


# Batches of an autoregressive series that are so many correlation times long have means whose variance is a tenth
# too small at most, so that the interval is a twentieth too short.
BATCH_TIMES = 5


def correlation_time(series: Sequence[float] | FloatArray) -> float:
    """Integrated autocorrelation time in observations: 1 for independent ones, (1 + φ) ÷ (1 − φ) for AR(φ).

    1 + 2 Σ ρ_k up to where the sum of a pair of neighbouring autocorrelations first is not positive (Geyer's
    initial positive sequence, 1992), by the fast Fourier transform. At least 1; 1 for a constant series.
    """
    x = _whole(series)
    centred = x - x.mean()
    n = x.size
    spectrum = np.fft.rfft(centred, 2 * n)
    covariance = np.fft.irfft(spectrum * spectrum.conj())[:n]
    if not covariance[0] > 1e-20 * float(np.abs(x).max()) ** 2 * n:
        return 1.0
    pairs = (covariance[0 : n - n % 2 : 2] + covariance[1:n:2][: n // 2]) / covariance[0]
    end = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else pairs.size
    return max(1.0, 2 * float(pairs[:end].sum()) - 1)


def _whole(series: Sequence[float] | FloatArray) -> FloatArray:
    x = np.asarray(series, dtype=np.float64)
    if not np.isfinite(x).all():
        raise ValueError("a series in order of time cannot leave values out: one of them is undefined")
    return x


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


class EffectKind(StrEnum):
    """What an effect is the size of."""

    DIFFERENCE = "difference"
    """Mean at the highest level − mean at the lowest (for words: at one level − at the first)."""
    LINEAR_FIT = "linear fit"
    """Rise of the fitted straight line over the factor's range, where levels are too many to stand alone."""
    CURVATURE = "curvature"
    """How far the levels between lie above the straight line between the ends, on average."""
    INTERACTION = "interaction"
    """Half the change of one factor's effect from the other's lowest to its highest level."""


@dataclass(frozen=True)
class Effect:
    """How a metric changes with a factor or a pair of factors, over `seeds` that gave it at every point."""

    name: str
    kind: EffectKind
    estimate: float
    interval: Interval
    p: float
    p_holm: float
    seeds: tuple[int, ...]
    per_seed: FloatArray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    """The effect at each seed, float64[seeds]: the estimate is their mean."""

    @property
    def count(self) -> int:
        """Number of seeds."""
        return len(self.seeds)

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "name": self.name,
            "kind": self.kind.value,
            "estimate": finite(self.estimate),
            "interval": self.interval.as_json(),
            "p": finite(self.p),
            "p_holm": finite(self.p_holm),
            "n": self.count,
            "seeds": list(self.seeds),
        }


def effects(
    points: Sequence[Sequence[object]],
    names: Sequence[str],
    values: FloatArray,
    *,
    level: float = 0.95,
    interactions: bool = True,
    seeds: Sequence[int] | None = None,
) -> list[Effect]:
    """Main effects, curvatures and two-factor interactions of a design, with intervals over replications.

    `points` holds one level per factor (design points × factors), `values` one number per point and
    replication (points × replications); column k of `values` is one seed (`seeds` names them, default 0, 1, …),
    used at every point; a seed without a value at one point (NaN) is left out at all. The contrast
    is computed per seed and the interval is Student's over seeds: with common random numbers the points of
    one seed move together, and intervals that treat them as independent would be wrong.

    The effect of a number is the difference of the means at its highest and its lowest level, the other factors
    averaged over; where its levels are more than `SEPARATE_LEVELS`, or stand at one point each among other factors,
    it is the rise of a straight line fitted over its range, and `kind` says so. From three levels on its curvature
    stands beside it. Factors that are not numbers get one effect per level against their first level. What the
    design cannot tell apart is left out. The p-values are corrected by Holm over all effects returned.
    """
    from scipy import stats

    y = np.asarray(values, dtype=np.float64)
    whole: npt.NDArray[np.bool_] = np.array([np.isfinite(column).all() for column in y.T], dtype=np.bool_)
    used = tuple(int(seed) for seed, kept in zip(range(y.shape[1]) if seeds is None else seeds, whole, strict=True) if kept)
    y = y[:, whole]
    contrasts, weights = _contrasts(points, names, interactions)
    replications = y.shape[1]
    if not contrasts or not replications:
        return []
    per_seed = weights @ y
    means = per_seed.mean(axis=1)
    if replications > 1:
        errors = per_seed.std(axis=1, ddof=1) / math.sqrt(replications)
        half = float(stats.t.ppf((1 + level) / 2, replications - 1)) * errors
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(errors > 0, np.abs(means) / errors, np.where(means == 0, 0.0, np.inf))
        p = 2 * np.asarray(stats.t.sf(t, replications - 1), dtype=np.float64)
    else:
        half = np.full(len(contrasts), math.inf)
        p = np.ones(len(contrasts))
    adjusted = holm(p)
    return [
        Effect(
            name,
            kind,
            float(mean),
            Interval(float(mean - h), float(mean + h), level, "t over seeds"),
            float(p_i),
            float(a),
            used,
            row,
        )
        for (name, kind), mean, h, p_i, a, row in zip(contrasts, means, half, p, adjusted, per_seed, strict=True)
    ]


# A number with more levels is described by a line and its curvature, not level by level.
SEPARATE_LEVELS = 8


@dataclass(frozen=True)
class _Factor:
    """A factor's columns of the design: `main` with the effects' names, then what bends between the ends."""

    name: str
    main: list[tuple[FloatArray, str]]
    bends: list[FloatArray]
    separate: bool


def _contrasts(
    points: Sequence[Sequence[object]], names: Sequence[str], interactions: bool
) -> tuple[list[tuple[str, EffectKind]], FloatArray]:
    """Estimable effects with their kinds, and what to weigh the points with to get each, float64[effects, points]."""
    factors = [_coded([point[index] for point in points], name, alone=len(names) == 1) for index, name in enumerate(names)]
    matrix = np.ones((len(points), 1))

    def add(column: FloatArray) -> int | None:
        nonlocal matrix
        trial = np.column_stack([matrix, column])
        if np.linalg.matrix_rank(trial) < trial.shape[1]:
            return None
        matrix = trial
        return int(trial.shape[1]) - 1

    mains = [[(add(column), label) for column, label in factor.main] for factor in factors]
    bends = [[add(column) for column in factor.bends] for factor in factors]
    pairs: list[tuple[int | None, str]] = []
    if interactions:
        for left, right in itertools.combinations(factors, 2):
            for (a, a_name), (b, b_name) in itertools.product(left.main, right.main):
                # About their means, so that a main effect is that over all levels of the other factors.
                pairs.append((add(2 * (a - a.mean()) * (b - b.mean())), f"{a_name} × {b_name}"))
    inverse = np.linalg.pinv(matrix)
    found: list[tuple[str, EffectKind]] = []
    rows: list[FloatArray] = []
    for factor, main, bend in zip(factors, mains, bends, strict=True):
        known = [place for place in bend if place is not None]
        straight = factor.separate and len(known) == len(bend)
        for place, label in main:
            if place is not None:
                found.append((label, EffectKind.DIFFERENCE if straight else EffectKind.LINEAR_FIT))
                rows.append(inverse[place])
        if known:
            found.append((f"{factor.name} (curvature)", EffectKind.CURVATURE))
            rows.append(inverse[known].mean(axis=0))
    for place, label in pairs:
        if place is not None:
            found.append((label, EffectKind.INTERACTION))
            rows.append(inverse[place])
    return found, np.array(rows).reshape(len(rows), len(points))


def _coded(levels: Sequence[object], name: str, *, alone: bool) -> _Factor:
    """A factor's columns, its main ones at −½ … +½ so that a coefficient is the change from low to high."""
    numbers = as_numbers(levels)
    if numbers is not None:
        return _coded_number(numbers, name, alone=alone)
    texts = [str(level) for level in levels]
    distinct = list(dict.fromkeys(texts))
    if len(distinct) == 2:
        column = np.array([0.5 if text == distinct[1] else -0.5 for text in texts])
        return _Factor(name, [(column, f"{name} ({distinct[1]} against {distinct[0]})")], [], True)
    columns = [
        (np.array([1.0 if text == other else 0.0 for text in texts]), f"{name} ({other} against {distinct[0]})") for other in distinct[1:]
    ]
    return _Factor(name, columns, [], True)


def _coded_number(numbers: FloatArray, name: str, *, alone: bool) -> _Factor:
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return _Factor(name, [], [], True)
    line = (numbers - low) / (high - low) - 0.5
    levels, counts = np.unique(numbers, return_counts=True)
    # Beside the line each level between the ends has a departure of its own: then the line's rise is exactly the
    # difference between the ends.
    separate = levels.size <= SEPARATE_LEVELS and (alone or int(counts.min()) > 1)
    if separate:
        bends = [np.where(numbers == level, 1.0, 0.0) for level in levels[1:-1]]
    else:
        bends = [1 - 4 * line**2] if levels.size > 2 else []
    return _Factor(name, [(line, name)], bends, separate)


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
    adjusted: float
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
            "r_squared_adjusted": finite(self.adjusted),
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
    cross-validated error is the root mean square of leave-one-out residuals (by the hat matrix). A quadratic with
    fewer than three points for two of its terms follows noise (R² 0.9 where there is nothing): such a design, and
    one whose points left out are no nearer to the quadratic than to the plane, gets the plane; one too small for
    that is refused (ValueError). R² is NaN where the metric does not vary.
    """
    x = np.asarray(points, dtype=np.float64)
    y = np.asarray(values, dtype=np.float64)
    lows, highs = x.min(axis=0), x.max(axis=0)
    if np.any(lows == highs):
        raise ValueError("a factor with one level has no surface")
    unit = _to_unit(x, lows, highs)
    plane = _fitted(unit, y, 1)
    if plane is None:
        raise ValueError(f"{x.shape[0]} design points are too few for a surface of {x.shape[1]} factors")
    curved = _fitted(unit, y, 2)
    enough = curved is not None and x.shape[0] >= _POINTS_PER_TERM * len(curved.terms)
    fit = curved if curved is not None and enough and curved.cross_validated < 0.999 * plane.cross_validated else plane
    total = float(((y - y.mean()) ** 2).sum())
    unexplained = fit.squares / total if total > 1e-20 * float(y @ y) else math.nan
    freedom = x.shape[0] - len(fit.terms)
    return ResponseSurface(
        names=tuple(names),
        lows=tuple(float(v) for v in lows),
        highs=tuple(float(v) for v in highs),
        terms=fit.terms,
        coefficients=fit.coefficients,
        errors=np.sqrt(np.diag(fit.covariance)),
        covariance=fit.covariance,
        degree=fit.degree,
        r_squared=1 - unexplained,
        adjusted=1 - unexplained * (x.shape[0] - 1) / freedom,
        residual=math.sqrt(fit.squares / freedom),
        cross_validated=fit.cross_validated,
        points=x.shape[0],
    )


_POINTS_PER_TERM = 1.5


@dataclass(frozen=True)
class _Fit:
    degree: int
    terms: tuple[str, ...]
    coefficients: FloatArray
    covariance: FloatArray
    squares: float
    cross_validated: float


def _fitted(unit: FloatArray, y: FloatArray, degree: int) -> _Fit | None:
    """The polynomial of a degree, None when the points do not determine it and leave some over."""
    matrix, terms = _polynomial(unit, degree)
    if matrix.shape[0] <= matrix.shape[1] or np.linalg.matrix_rank(matrix) < matrix.shape[1]:
        return None
    inverse = np.linalg.inv(matrix.T @ matrix)
    coefficients = inverse @ matrix.T @ y
    residuals = y - matrix @ coefficients
    squares = float(residuals @ residuals)
    leverage = np.einsum("ij,jk,ik->i", matrix, inverse, matrix)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = np.where(leverage < 1 - 1e-9, residuals / (1 - leverage), np.nan)
    variance = squares / (matrix.shape[0] - matrix.shape[1])
    return _Fit(degree, tuple(terms), coefficients, inverse * variance, squares, float(np.sqrt(np.mean(left_out**2))))


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
