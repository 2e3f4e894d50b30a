"""Formulas of the statistics computed another way: scipy, loops, regressions on indicators, integrals."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from marketsim.statistics.estimates import effects, mser5, response_surface, t_interval
from marketsim.statistics.sequential import MIXTURE_PRECISION, log_evidence


@pytest.mark.parametrize("n", [2, 7, 40])
def test_t_interval_against_scipy(n: int) -> None:
    x = np.random.default_rng(n).normal(100, 3, n)
    found, expected = t_interval(x, 0.9), stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-13)


@pytest.mark.parametrize("seed", range(5))
def test_mser5_against_all_cuts(seed: int) -> None:
    """The cut with the smallest squared error of the mean of what remains, each computed from the values themselves."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=120) + 8 * np.exp(-np.arange(120) / 10)
    means = x.reshape(-1, 5).mean(axis=1)
    errors = {cut: np.var(means[cut:]) / (len(means) - cut) for cut in range(len(means) - 2)}
    best = min(errors, key=lambda cut: errors[cut])
    found = mser5(x)
    assert found.settled == (best <= len(means) // 2)
    assert found.discard == 5 * min(best, len(means) // 2)


@pytest.mark.parametrize("precision", [1.0, MIXTURE_PRECISION])
def test_evidence_against_the_integral_over_effects(precision: float) -> None:
    """The likelihood ratio of Student's t under effects drawn from a normal law: scipy's noncentral t, integrated.

    Symmetric values, so that the cautious statistic is the plain one.
    """
    for n, shift in ((8, 0.4), (12, 0.9), (20, -0.3)):
        half = np.random.default_rng(n).normal(size=n // 2)
        x = np.concatenate([half, -half]) + shift
        t = x.mean() / x.std(ddof=1) * math.sqrt(n)

        def joint(effect: float, n: int = n, t: float = t) -> float:
            return float(stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) * stats.norm.pdf(effect, scale=precision**-0.5))

        total = integrate.quad(joint, -6, 6, points=[0.0, t / math.sqrt(n)], limit=400, epsabs=1e-13)[0]
        expected = math.log(total / stats.t.pdf(t, n - 1))
        assert log_evidence(x[None, :], precision)[0, -1] == pytest.approx(expected, abs=1e-7)


def test_effects_against_a_regression_on_indicators() -> None:
    """A full factorial of 3 × 2 with common seeds: contrasts of cell means that least squares on one indicator a cell gives."""
    rng = np.random.default_rng(5)
    points = list(itertools.product([0.0, 1.0, 3.0], [10.0, 20.0]))
    y = rng.normal(size=(6, 9)) + 5 * rng.normal(size=9) + np.array([[2 * a + 0.3 * b + 0.1 * a * b] for a, b in points])
    cells = np.kron(np.eye(6), np.ones((9, 1)))
    means = np.linalg.lstsq(cells, y.ravel(), rcond=None)[0].reshape(3, 2)
    found = {effect.name: effect for effect in effects(points, ["a", "b"], y)}
    assert found["a"].estimate == pytest.approx((means[2] - means[0]).mean())
    assert found["b"].estimate == pytest.approx((means[:, 1] - means[:, 0]).mean())
    assert found["a (curvature)"].estimate == pytest.approx((means[1] - (2 * means[0] + means[2]) / 3).mean())
    per_seed = (y.reshape(3, 2, 9)[2] - y.reshape(3, 2, 9)[0]).mean(axis=0)
    assert found["a"].p == pytest.approx(stats.ttest_1samp(per_seed, 0).pvalue)


def test_surface_against_refits_without_each_point() -> None:
    rng = np.random.default_rng(6)
    x = rng.uniform(-1, 1, (24, 2))
    y = 3 + x[:, 0] - 2 * x[:, 1] + 1.5 * x[:, 0] * x[:, 1] - x[:, 0] ** 2 + 0.1 * rng.normal(size=24)
    found = response_surface(x, ["a", "b"], y)
    assert found.degree == 2
    matrix = np.column_stack([np.ones(24), x, x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2])
    errors = []
    for i in range(24):
        others = np.arange(24) != i
        errors.append(y[i] - matrix[i] @ np.linalg.lstsq(matrix[others], y[others], rcond=None)[0])
    assert found.cross_validated == pytest.approx(math.sqrt(np.mean(np.square(errors))))
    fitted = matrix @ np.linalg.lstsq(matrix, y, rcond=None)[0]
    assert found.predict(x)[0] == pytest.approx(fitted)
    assert found.r_squared == pytest.approx(1 - np.sum((y - fitted) ** 2) / np.sum((y - y.mean()) ** 2))
