"""Proposes where to look next: a Gaussian process over the unit cube, and the points of largest expected improvement.

The process has a Matérn 5/2 kernel with a length a factor, a constant mean and a noise variance, all fitted by marginal
likelihood under weak priors (Rasmussen and Williams 2006, chapter 5). The first points are a scrambled Sobol sequence.
Further ones maximise the expected improvement over the best posterior mean so far, times the probability that the
constraint's slack, a second process, is at least 0; of a batch each next point believes the mean of those before it.
Objectives are seen through −log(1 + (best − y) ÷ scale): what lies far below the best need not be told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from marketsim.statistics.estimates import FloatArray

START_POINTS = 8
_CANDIDATES = 512
# The kernel is fitted again when the points are so many times as many; in between it only learns them.
_REFIT = 1.2
_CLOSER = (0.15, 0.05, 0.015, 0.005)
_JITTER = 1e-8
# Prior of log length (in cube sides), log signal (of standardised values) and log noise: mean and deviation.
_LENGTH, _SIGNAL, _NOISE = (math.log(0.4), 1.0), (0.0, 1.0), (math.log(0.05), 2.5)


@dataclass(frozen=True)
class Process:
    """A fitted process: `mean` and `deviation` of the noise-free function at points of the unit cube."""

    points: FloatArray
    logs: FloatArray
    centre: float
    scale: float
    weights: FloatArray
    factor: FloatArray

    def predict(self, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation at points × factors."""
        from scipy import linalg

        cross = _kernel(at, self.points, self.logs)
        solved = linalg.solve_triangular(self.factor, cross.T, lower=True)
        variance = np.maximum(math.exp(2 * self.logs[-2]) - (solved**2).sum(axis=0), 1e-16)
        return self.centre + self.scale * (cross @ self.weights), self.scale * np.sqrt(variance)

    def believing(self, point: FloatArray) -> Process:
        """The same process after its own mean was seen at a point."""
        seen, _ = self.predict(point[None, :])
        old = (self.factor @ self.factor.T) @ self.weights
        values = np.append(old, (seen - self.centre) / self.scale)
        return _posterior(np.vstack([self.points, point]), values, self.logs, self.centre, self.scale)


def fit(points: FloatArray, values: FloatArray, logs: FloatArray | None = None) -> Process:
    """The process of largest marginal likelihood for noisy values at points × factors of the unit cube, or the one
    with the kernel `logs`.
    """
    from scipy import optimize

    centre, spread = float(values.mean()), float(values.std())
    scale = spread if spread > 1e-12 * max(abs(centre), 1e-300) else 1.0
    standard = (values - centre) / scale
    if logs is not None:
        return _posterior(points, standard, logs, centre, scale)
    count = points.shape[1]
    first = np.array([_LENGTH[0]] * count + [_SIGNAL[0], _NOISE[0]])
    bounds = [(math.log(0.02), math.log(20.0))] * count + [(math.log(0.05), math.log(20.0)), (math.log(1e-4), math.log(2.0))]
    found = optimize.minimize(_surprise, first, args=(points, standard), method="L-BFGS-B", bounds=bounds, options={"maxiter": 20})
    return _posterior(points, standard, np.asarray(found.x, dtype=np.float64), centre, scale)


def _surprise(logs: FloatArray, points: FloatArray, values: FloatArray) -> float:
    """Negative log posterior of the kernel's parameters, without constants."""
    from scipy import linalg

    covariance = _kernel(points, points, logs) + (math.exp(2 * logs[-1]) + _JITTER) * np.eye(len(points))
    try:
        factor = linalg.cholesky(covariance, lower=True)
    except linalg.LinAlgError:
        return 1e12
    solved = linalg.solve_triangular(factor, values, lower=True)
    priors = [_LENGTH] * points.shape[1] + [_SIGNAL, _NOISE]
    unlikely: float = sum(((x - mean) / deviation) ** 2 for x, (mean, deviation) in zip(logs.tolist(), priors, strict=True))
    return float(solved @ solved) / 2 + float(np.log(np.diag(factor)).sum()) + unlikely / 2


def _posterior(points: FloatArray, values: FloatArray, logs: FloatArray, centre: float, scale: float) -> Process:
    from scipy import linalg

    covariance = _kernel(points, points, logs) + (math.exp(2 * logs[-1]) + _JITTER) * np.eye(len(points))
    factor = linalg.cholesky(covariance, lower=True)
    weights = linalg.cho_solve((factor, True), values)
    return Process(points, logs, centre, scale, weights, factor)


def _kernel(a: FloatArray, b: FloatArray, logs: FloatArray) -> FloatArray:
    """Matérn 5/2, float64[len(a), len(b)]; `logs` holds a log length a factor, log signal and log noise."""
    lengths = np.exp(logs[:-2])
    distance = np.sqrt(5 * (((a[:, None, :] - b[None, :, :]) / lengths) ** 2).sum(axis=2))
    found: FloatArray = math.exp(2 * logs[-2]) * (1 + distance + distance**2 / 3) * np.exp(-distance)
    return found


class Proposals:
    """Asks for points of the unit cube in batches and learns what was measured there; larger values are better."""

    def __init__(self, factors: int, *, seed: int, snap: Callable[[FloatArray], FloatArray], start: int = START_POINTS) -> None:
        """`snap` maps points × factors to the nearest ones that can be run; the first `start` points are quasi-random."""
        from scipy.stats import qmc

        self._snap, self._factors = snap, factors
        self._rng = np.random.default_rng([seed, 7])
        self._start = qmc.Sobol(factors, scramble=True, rng=np.random.default_rng([seed, 8])).random(START_POINTS)[:start]
        self._points: list[FloatArray] = []
        self._values: list[float] = []
        self._slacks: list[float] = []
        self._logs: dict[str, tuple[int, FloatArray]] = {}

    def tell(self, point: FloatArray, value: float, slack: float) -> None:
        """Add a measurement; NaN stands for what could not be measured, an infinite slack for no constraint."""
        self._points.append(self._snap(point[None, :])[0])
        self._values.append(value)
        self._slacks.append(slack)

    def ask(self, count: int) -> list[FloatArray]:
        """The next batch of points, none twice as long as there are others."""
        asked: list[FloatArray] = []
        while len(asked) < count and len(self._start):
            asked.append(self._snap(self._start[:1])[0])
            self._start = self._start[1:]
        known = [value for value in self._values if math.isfinite(value)]
        if len(asked) < count and len(known) >= 2:
            asked += self._improving(count - len(asked), asked)
        while len(asked) < count:
            asked.append(self._snap(self._rng.random((1, self._factors)))[0])
        return asked

    def believed(self, points: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """What is believed of value (on a scale of its own) and slack at points; None before two measurements."""
        x, values, slacks = np.array(self._points), np.array(self._values), np.array(self._slacks)
        whole, bounded = np.isfinite(values), np.isfinite(slacks)
        if whole.sum() < 2:
            return None
        means = self._process("value", x[whole], _warped(values[whole])).predict(points)[0]
        if bounded.sum() < 2 or np.ptp(slacks[bounded]) == 0:
            return means, np.full(len(points), slacks[bounded][0] if bounded.any() else math.inf)
        return means, self._process("slack", x[bounded], slacks[bounded]).predict(points)[0]

    def _process(self, name: str, points: FloatArray, values: FloatArray) -> Process:
        """A process of all that was seen, its kernel the last one fitted while that was to nearly as many points."""
        count, logs = self._logs.get(name, (0, None))
        if logs is not None and len(points) < _REFIT * count:
            return fit(points, values, logs)
        process = fit(points, values)
        self._logs[name] = len(points), process.logs
        return process

    def _improving(self, count: int, taken: Sequence[FloatArray]) -> list[FloatArray]:
        from scipy import special

        x = np.array(self._points)
        values, slacks = np.array(self._values), np.array(self._slacks)
        whole = np.isfinite(values)
        process = self._process("value", x[whole], _warped(values[whole]))
        bounded = np.isfinite(slacks)
        bound = bounded.sum() >= 2 and np.ptp(slacks[bounded]) > 0
        limits = self._process("slack", x[bounded], slacks[bounded]) if bound else None
        asked: list[FloatArray] = []
        for _ in range(count):
            means, _ = process.predict(process.points)
            allowed = np.ones(len(means), dtype=np.bool_) if limits is None else limits.predict(process.points)[0] >= 0
            best = float(means[allowed].max()) if allowed.any() else math.inf
            candidates = self._candidates(process.points[np.argsort(-np.where(allowed, means, -np.inf))[:4]])
            mean, deviation = process.predict(candidates)
            gain = np.ones(len(candidates))
            if math.isfinite(best):
                z = (mean - best) / deviation
                density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
                gain = deviation * (z * special.ndtr(z) + density)
            if limits is not None:
                slack, doubt = limits.predict(candidates)
                gain = gain * special.ndtr(slack / doubt)
            for point in (*x, *taken, *asked):
                gain[(candidates == point).all(axis=1)] = -1.0
            asked.append(candidates[int(gain.argmax())])
            process = process.believing(asked[-1])
            if limits is not None:
                limits = limits.believing(asked[-1])
        return asked

    def _candidates(self, around: FloatArray) -> FloatArray:
        """Points all over the cube and, ever closer, around the best ones."""
        spread = self._rng.random((_CANDIDATES, self._factors))
        shape = (_CANDIDATES // 16, self._factors)
        near = [np.clip(point + self._rng.normal(0, size, shape), 0, 1) for point in around for size in _CLOSER]
        return self._snap(np.vstack([spread, *near]))


def _warped(values: FloatArray) -> FloatArray:
    """Values seen from the best one: linear near it, logarithmic far below."""
    below = values.max() - values
    scale = float(np.quantile(below, 0.25))
    found: FloatArray = -np.log1p(below / scale) if scale > 0 else -below
    return found
