"""The confidence sequence holds at every look, on data it was made for and on data it was not."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsim.statistics import sequential
from marketsim.statistics.sequential import Decision, decide, first_declared, looks, sequence_bounds

REPETITIONS, PAIRS = 4000, 60
TWO_ERRORS = 2 * math.sqrt(0.05 * 0.95 / REPETITIONS)


def null_differences(kind: str, rng: np.random.Generator) -> np.ndarray:
    size = (REPETITIONS, PAIRS)
    draws = {
        "normal": lambda: rng.normal(size=size),
        "exponential arms": lambda: rng.exponential(size=size) - rng.exponential(size=size),
        "lognormal arms": lambda: rng.lognormal(0, 1.5, size) - rng.lognormal(0, 1.5, size),
        "poisson arms": lambda: rng.poisson(2, size).astype(float) - rng.poisson(2, size),
        "mostly equal": lambda: rng.choice([-1.0, 0.0, 1.0], p=[0.05, 0.9, 0.05], size=size),
        "two values": lambda: rng.choice([-1.0, 1.0], size=size),
    }
    return draws[kind]()


@pytest.mark.parametrize("kind", ["normal", "exponential arms", "lognormal arms", "poisson arms", "mostly equal", "two values"])
def test_false_declarations_when_looked_at_after_every_pair(kind: str) -> None:
    declared = first_declared(null_differences(kind, np.random.default_rng(7))) > 0
    assert declared.mean() <= 0.05 + TWO_ERRORS


def test_repeated_fixed_tests_would_fail_where_the_sequence_holds() -> None:
    """The guard that the test above can fail: Student's t at every look is wrong far more often."""
    x = null_differences("normal", np.random.default_rng(7))
    n = np.arange(1, PAIRS + 1)
    means = np.cumsum(x, axis=1) / n
    sd = np.sqrt((np.cumsum(x**2, axis=1) / n - means**2) * n / np.maximum(n - 1, 1))
    declared = (np.abs(means[:, 9:]) > 2.1 * sd[:, 9:] / np.sqrt(n[9:])).any(axis=1)
    assert declared.mean() > 0.10


def test_power_against_a_moderate_shift() -> None:
    x = np.random.default_rng(3).normal(size=(2000, PAIRS)) + 0.6
    declared = first_declared(x)
    assert (declared > 0).mean() >= 0.90


def test_bounds_cover_the_true_mean_at_all_looks_together() -> None:
    x = np.random.default_rng(5).normal(3.0, 2.0, size=(REPETITIONS, PAIRS))
    low, high = sequence_bounds(x)
    missed = ((low > 3.0) | (high < 3.0)).any(axis=1)
    assert missed.mean() <= 0.05 + TWO_ERRORS
    assert np.isfinite(high - low)[:, -1].all()


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=7, max_size=40),
    st.floats(0.01, 1000),
    st.floats(-1e6, 1e6),
)
def test_scale_and_shift_move_the_interval_with_the_data(values: list[float], scale: float, shift: float) -> None:
    x = np.array(values)
    if np.ptp(x) < 1e-3:
        return
    found = sequence_bounds(x[None, :])
    moved = sequence_bounds((scale * x + shift)[None, :])
    for end, other in zip(found, moved, strict=True):
        assert (np.isfinite(end) == np.isfinite(other)).all()
        known = np.isfinite(end)
        expected = scale * end[known] + shift
        assert np.allclose(other[known], expected, rtol=1e-4, atol=1e-4 * scale * np.ptp(x) + 1e-6)


def test_plain_data_give_the_closed_form() -> None:
    """Without skewness the sequence is M_n(m) = 1/α solved by hand: by bisection on the martingale itself."""
    x = np.array([1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1.5, -1.5]) + 4.0
    n, c = x.size, sequential.MIXTURE_PRECISION

    def martingale(m: float) -> float:
        total, squares = (x - m).sum(), ((x - m) ** 2).sum()
        return math.sqrt(c / (n + c)) * ((n + c) * squares / ((n + c) * squares - total**2)) ** (n / 2)

    low, high = sequence_bounds(x[None, :])
    assert martingale(low[0, -1]) == pytest.approx(20)
    assert martingale(high[0, -1]) == pytest.approx(20)
    assert math.exp(sequential.log_evidence(x[None, :], null=3.0)[0, -1]) == pytest.approx(martingale(3.0))


def test_interval_and_evidence_tell_the_same_story() -> None:
    x = np.random.default_rng(9).normal(0.5, 1.0, size=(300, PAIRS))
    low, high = sequence_bounds(x)
    outside = (low > 0) | (high < 0)
    certain = sequential.log_evidence(x) > math.log(20)
    assert (outside == certain).mean() > 0.9999


def test_looks_only_ever_narrow() -> None:
    series = looks(np.random.default_rng(11).normal(1.0, 1.0, size=40))
    widths = [look.interval.high - look.interval.low for look in series]
    assert all(later <= earlier for earlier, later in itertools.pairwise(widths))
    assert all(later.p <= earlier.p for earlier, later in itertools.pairwise(series))


def test_decisions() -> None:
    rng = np.random.default_rng(2)
    apart = decide(looks(rng.normal(2.0, 1.0, 60)), margin=0.1)
    assert apart.decision is Decision.DIFFERENT
    assert apart.pairs < 30
    same = decide(looks(rng.normal(0.0, 0.1, 60)), margin=0.5)
    assert same.decision is Decision.EQUIVALENT
    assert decide(looks(rng.normal(0.0, 1.0, 10)), margin=0.01).decision is Decision.UNDECIDED
    assert decide(looks(np.zeros(60)), margin=1e-9).decision is Decision.UNDECIDED
    with pytest.raises(ValueError, match="at least one look"):
        decide([])


def test_nothing_is_certain_until_five_values_differ_from_the_most_frequent() -> None:
    for series in (looks(np.full(60, 2.5)), looks([2.5] * 50 + [2.6] * 4)):
        assert all(look.p == 1 and look.interval.half_width == math.inf for look in series)
    assert looks([2.5] * 50 + [2.6] * 5)[-1].interval.low > 2
