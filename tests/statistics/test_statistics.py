"""Intervals cover, warm-up is found, effects and surfaces come out as planted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, stats

from marketsim.statistics.estimates import (
    EffectKind,
    batch_means,
    bootstrap_bounds,
    bootstrap_interval,
    correlation_time,
    describe,
    effects,
    holm,
    mser5,
    quantile_interval,
    response_surface,
    t_interval,
)

REPETITIONS = 1000
TWO_ERRORS = 2 * math.sqrt(0.05 * 0.95 / REPETITIONS)


def test_t_interval_by_hand() -> None:
    interval = t_interval([1.0, 2.0, 3.0, 4.0])
    half = 3.182446305284263 * math.sqrt(5 / 3) / 2
    assert interval.low == pytest.approx(2.5 - half)
    assert interval.high == pytest.approx(2.5 + half)


def test_t_interval_covers() -> None:
    x = np.random.default_rng(1).normal(5, 2, (REPETITIONS, 8))
    covered = np.mean([t_interval(row).holds(5) for row in x])
    assert abs(covered - 0.95) <= TWO_ERRORS


def test_bootstrap_covers_a_skewed_mean_with_fifty_values() -> None:
    x = np.random.default_rng(2).gamma(4.0, 1.0, (REPETITIONS, 50))
    low, high = bootstrap_bounds(x, resamples=999)
    covered = np.mean((low <= 4) & (high >= 4))
    assert abs(covered - 0.95) <= TWO_ERRORS


def test_bootstrap_is_repeatable_and_survives_equal_values() -> None:
    x = np.random.default_rng(2).gamma(4.0, 1.0, 30)
    assert bootstrap_interval(x) == bootstrap_interval(x)
    flat = bootstrap_interval([2.0, 2.0, 2.0])
    assert (flat.low, flat.high) == (2.0, 2.0)


@pytest.mark.parametrize(("q", "n"), [(0.5, 15), (0.9, 60), (0.1, 60), (0.5, 30)])
def test_quantile_interval_covers_with_its_stated_level(q: float, n: int) -> None:
    x = np.random.default_rng(4).exponential(size=(REPETITIONS, n))
    truth = -math.log(1 - q)
    found = [quantile_interval(row, q) for row in x]
    level = found[0].interval.level
    assert level >= 0.95
    covered = np.mean([estimate.interval.holds(truth) for estimate in found])
    assert abs(covered - level) <= 2 * math.sqrt(level * (1 - level) / REPETITIONS) + 1e-3


@given(st.integers(1, 200), st.floats(0.05, 0.95), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_quantile_interval_reaches_its_level_and_no_narrower_one_would(n: int, q: float, level: float) -> None:
    x = np.arange(1, n + 1, dtype=float)
    interval = quantile_interval(x, q, level).interval
    assert interval.level >= level - 1e-12
    if math.isfinite(interval.low):
        # One order statistic further in would leave more than half the risk below.
        assert stats.binom.cdf(interval.low - 1, n, q) <= (1 - level) / 2 + 1e-12
        assert stats.binom.cdf(interval.low, n, q) > (1 - level) / 2 - 1e-12
    if math.isfinite(interval.high):
        assert stats.binom.sf(interval.high - 1, n, q) <= (1 - level) / 2 + 1e-12


def test_median_of_too_few_is_open() -> None:
    interval = quantile_interval([1.0, 2.0, 3.0], 0.5).interval
    assert interval.low == -math.inf
    assert interval.high == math.inf
    assert interval.as_json()["low"] is None


def test_describe_leaves_out_what_is_undefined() -> None:
    found = describe([1.0, math.nan, 3.0, 2.0, 2.5])
    assert found.count == 4
    assert found.mean == pytest.approx(2.125)
    assert found.as_json()["median"]["estimate"] == pytest.approx(2.25)
    assert describe([]).as_json()["mean"] is None
    assert describe([1.0]).as_json()["t"]["low"] is None


def test_mser5_finds_a_planted_warm_up() -> None:
    rng = np.random.default_rng(5)
    series = rng.normal(10, 1, 1000)
    series[:150] -= np.linspace(20, 5, 150)
    found = mser5(series)
    assert found.settled
    assert 140 <= found.discard <= 200
    assert found.mean_after == pytest.approx(10, abs=0.2)


def test_mser5_keeps_a_stationary_series_and_refuses_a_trend() -> None:
    assert mser5(np.random.default_rng(6).normal(size=1000)).discard <= 100
    assert not mser5(np.linspace(0, 1, 500)).settled
    assert not mser5([1.0, 2.0]).settled


def test_batch_means_cover_an_autocorrelated_mean() -> None:
    rng = np.random.default_rng(7)
    repetitions, length, phi = 400, 4000, 0.8
    noise = rng.normal(size=(repetitions, length))
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0] / math.sqrt(1 - phi**2)
    for step in range(1, length):
        x[:, step] = phi * x[:, step - 1] + noise[:, step]
    covered = np.mean([batch_means(row).interval.holds(0.0) for row in x])
    assert abs(covered - 0.95) <= 2 * math.sqrt(0.05 * 0.95 / repetitions)
    naive = np.mean([t_interval(row).holds(0.0) for row in x])
    assert naive < 0.6


def test_batch_means_say_when_batches_are_too_short() -> None:
    walk = np.cumsum(np.random.default_rng(8).normal(size=400))
    assert not batch_means(walk).independent
    assert batch_means(np.random.default_rng(8).normal(size=400)).independent
    with pytest.raises(ValueError, match="at least 3"):
        batch_means([1.0, 2.0])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_the_raw_value_and_bonferroni(p: list[float]) -> None:
    adjusted = holm(p)
    assert (adjusted >= np.array(p) - 1e-15).all()
    assert (adjusted <= np.minimum(np.array(p) * len(p), 1.0) + 1e-15).all()


def factorial(rng: np.random.Generator, seeds: int) -> tuple[list[list[object]], np.ndarray]:
    points: list[list[object]] = [[a, b, c] for a in (1, 3) for b in (10, 20) for c in ("x", "y")]
    truth = np.array(
        [4 * (a == 3) + 2 * (b == 20) + 6 * ((a == 3) and (b == 20)) + 0 * (c == "x") for a, b, c in points],
        float,
    )
    common = rng.normal(0, 5, seeds)
    return points, truth[:, None] + common[None, :] + rng.normal(0, 0.5, (8, seeds))


def test_effects_of_a_factorial_with_common_random_numbers() -> None:
    points, values = factorial(np.random.default_rng(9), 12)
    found = {effect.name: effect for effect in effects(points, ["a", "b", "c"], values)}
    assert set(found) == {
        "a", "b", "c (y against x)", "a × b", "a × c (y against x)", "b × c (y against x)",
    }  # fmt: skip
    # Marginal effect of a: 4 + 6/2; interaction: half the difference of the two conditional effects.
    assert found["a"].estimate == pytest.approx(7, abs=0.4)
    assert found["b"].estimate == pytest.approx(5, abs=0.4)
    assert found["a × b"].estimate == pytest.approx(3, abs=0.4)
    assert found["a"].interval.half_width < 1, "the seeds' common noise (sd 5) must not widen a paired contrast"
    assert found["a"].p_holm < 0.001
    assert found["c (y against x)"].p_holm > 0.05


def test_effect_intervals_cover() -> None:
    rng = np.random.default_rng(10)
    repetitions = 500
    covered = sum({e.name: e for e in effects(*_named(factorial(rng, 5)))}["a"].interval.holds(7.0) for _ in range(repetitions))
    assert abs(covered / repetitions - 0.95) <= 2 * math.sqrt(0.05 * 0.95 / repetitions)


def _named(case: tuple[list[list[object]], np.ndarray]) -> tuple[list[list[object]], list[str], np.ndarray]:
    return case[0], ["a", "b", "c"], case[1]


def test_effects_that_a_design_cannot_tell_apart_are_left_out() -> None:
    points = [[0, 0], [1, 1], [2, 2]]
    names = [e.name for e in effects(points, ["a", "b"], np.arange(6.0).reshape(3, 2))]
    assert names == ["a", "a (curvature)"]  # b repeats a, and a × b a's curvature


def test_three_unordered_levels_and_one_replication() -> None:
    found = effects([["x"], ["y"], ["z"]], ["kind"], np.array([[1.0], [4.0], [2.0]]))
    assert [(e.name, e.estimate) for e in found] == [
        ("kind (y against x)", pytest.approx(3)),
        ("kind (z against x)", pytest.approx(1)),
    ]
    assert found[0].interval.as_json()["low"] is None


def test_response_surface_recovers_a_quadratic() -> None:
    rng = np.random.default_rng(11)
    x = rng.uniform([0, 10], [1, 30], (40, 2))
    u, v = 2 * x[:, 0] - 1, (x[:, 1] - 20) / 10
    y = 5 + 2 * u - v + 3 * u * v - 4 * u**2 + rng.normal(0, 0.1, 40)
    surface = response_surface(x, ["margin", "demand"], y)
    assert surface.degree == 2
    assert surface.r_squared > 0.99
    assert 0.08 < surface.cross_validated < 0.2
    at = np.array([[0.3, 14.0], [0.8, 25.0]])
    fitted, errors = surface.predict(at)
    u, v = 2 * at[:, 0] - 1, (at[:, 1] - 20) / 10
    truth = 5 + 2 * u - v + 3 * u * v - 4 * u**2
    assert (np.abs(fitted - truth) < 4 * errors).all()
    assert "margin × demand" in surface.as_json()["terms"]


def test_response_surface_with_few_points() -> None:
    points = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    assert response_surface(points, ["a", "b"], [1.0, 2.0, 3.0, 4.1]).degree == 1
    with pytest.raises(ValueError, match="too few"):
        response_surface(points[:3], ["a", "b"], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="one level"):
        response_surface([[1.0], [1.0]], ["a"], [1.0, 2.0])


def test_cross_validation_sees_what_the_fit_does_not() -> None:
    rng = np.random.default_rng(12)
    surface = response_surface(rng.uniform(size=(9, 2)), ["a", "b"], rng.normal(size=9))
    assert surface.cross_validated > surface.residual


def test_missing_values_are_left_out_of_every_estimate() -> None:
    holed, whole = [1.0, math.nan, 2.0, 4.0, math.inf, 3.5], [1.0, 2.0, 4.0, 3.5]
    assert t_interval(holed) == t_interval(whole)
    assert quantile_interval(holed, 0.5) == quantile_interval(whole, 0.5)
    assert bootstrap_interval(holed) == bootstrap_interval(whole)
    points, values = factorial(np.random.default_rng(9), 12)
    values[3, 5] = math.nan
    found = effects(points, ["a", "b", "c"], values, seeds=range(100, 112))
    assert found[0].seeds == (100, 101, 102, 103, 104, 106, 107, 108, 109, 110, 111)
    assert [e.p for e in found] == [e.p for e in effects(points, ["a", "b", "c"], np.delete(values, 5, axis=1))]
    assert found[0].as_json()["n"] == 11
    assert effects(points, ["a", "b", "c"], np.full((8, 2), math.nan)) == []
    for function in (mser5, batch_means, correlation_time):
        with pytest.raises(ValueError, match="order of time"):
            function([1.0, 2.0, math.nan, 4.0])


def test_an_effect_is_the_difference_itself_and_bends_are_shown() -> None:
    """Three uneven levels of one factor, two of another, a metric that is no straight line: means by hand."""
    points: list[list[object]] = [[a, b] for a in (0, 10, 15, 40) for b in (1, 2, 5)]
    truth = np.array([100 + {0: 0, 10: 60, 15: 70, 40: 100.7}[a] + 3 * b * b + a * b for a, b in points])  # type: ignore[index, operator]
    values = truth[:, None] + np.random.default_rng(1).normal(0, 5, 6)[None, :]
    found = {e.name: e for e in effects(points, ["a", "b"], values)}
    by_a = {a: truth[[row[0] == a for row in points]].mean() for a in (0, 10, 15, 40)}
    assert found["a"].kind is EffectKind.DIFFERENCE
    assert found["a"].estimate == pytest.approx(by_a[40] - by_a[0])
    between = [by_a[a] - (by_a[0] + (by_a[40] - by_a[0]) * a / 40) for a in (10, 15)]
    assert found["a (curvature)"].estimate == pytest.approx(np.mean(between))
    u_shaped = effects([[x] for x in range(5)], ["x"], np.array([[(x - 2.0) ** 2 + n for n in (0, 1, 5)] for x in range(5)]))
    assert [(e.name, e.p < 1e-6) for e in u_shaped] == [("x", False), ("x (curvature)", True)]
    assert [e.estimate for e in u_shaped] == pytest.approx([0.0, -10 / 3], abs=1e-9)


def test_a_line_is_called_a_line() -> None:
    x = np.random.default_rng(2).uniform(0, 1, (30, 2))
    y = 2 * x[:, 0] + 5 * (x[:, 0] - 0.5) ** 2 + x[:, 1]
    found = {e.name: e for e in effects(x.tolist(), ["a", "b"], np.column_stack([y, y + 1]))}
    low, high = x[:, 0].min(), x[:, 0].max()
    assert found["a"].kind is EffectKind.LINEAR_FIT
    quadratic = np.polynomial.Polynomial([5 / 4, -3, 5])
    assert found["a"].estimate == pytest.approx(quadratic(high) - quadratic(low))
    middle = (low + high) / 2
    assert found["a (curvature)"].estimate == pytest.approx(quadratic(middle) - (quadratic(low) + quadratic(high)) / 2)


@pytest.mark.parametrize("phi", [0.0, 0.8, 0.99])
def test_batches_that_depend_on_each_other_are_flagged(phi: float) -> None:
    x = signal.lfilter([1.0], [1.0, -phi], np.random.default_rng(3).normal(size=(60, 6000)), axis=1)[:, 2000:]
    flagged = np.mean([not batch_means(row).independent for row in x])
    assert flagged >= 0.95 if phi == 0.99 else flagged <= 0.05
    if phi < 0.99:
        assert np.median([correlation_time(row) for row in x]) == pytest.approx((1 + phi) / (1 - phi), rel=0.1)


def test_correlation_time_against_the_sums_themselves() -> None:
    x = signal.lfilter([1.0], [1.0, -0.7], np.random.default_rng(4).normal(size=301))
    centred = x - x.mean()
    rho = [float(centred[: x.size - k] @ centred[k:]) / float(centred @ centred) for k in range(x.size - 1)]
    total, k = 0.0, 0
    while rho[k] + rho[k + 1] > 0:
        total += rho[k] + rho[k + 1]
        k += 2
    assert correlation_time(x) == pytest.approx(2 * total - 1)
    assert correlation_time(np.full(50, 1e8)) == 1.0


def test_warm_up_far_from_zero_is_the_same() -> None:
    series = np.random.default_rng(5).normal(10, 1, 1000)
    series[:65] -= np.linspace(20, 5, 65)
    near, far = mser5(series), mser5(series + 1e8)
    assert near.discard == far.discard == 65
    # By the definition, cut by cut.
    batches = series.reshape(-1, 5).mean(axis=1)
    errors = [batches[d:].std() / math.sqrt(batches.size - d) for d in range(batches.size - 2)]
    assert near.discard == 5 * int(np.argmin(errors))


def test_a_surface_does_not_follow_noise() -> None:
    rng = np.random.default_rng(6)
    for points in (7, 8):
        assert all(response_surface(rng.uniform(size=(points, 2)), ["a", "b"], rng.normal(size=points)).degree == 1 for _ in range(50))
    many = [response_surface(rng.uniform(size=(12, 2)), ["a", "b"], rng.normal(size=12)) for _ in range(100)]
    assert np.mean([surface.degree == 2 for surface in many]) < 0.4
    assert abs(np.mean([surface.adjusted for surface in many])) < 0.15
    flat = response_surface(rng.uniform(size=(12, 2)), ["a", "b"], np.full(12, 3.1))
    assert flat.as_json()["r_squared"] is None
