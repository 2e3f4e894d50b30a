"""The planned looks: boundaries by a second way, cautious statistics by hand, error and power on families that are hard."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from marketsim.experiments.compare.paired import Margin, compare_values
from marketsim.statistics import cautious_t
from marketsim.statistics.group_sequential import Stopping, boundaries, first_crossed, group_looks, planned_looks, repeated_p, spent
from marketsim.statistics.sequential import Decision, first_declared, sequence_bounds

RULES = [Stopping.OBRIEN_FLEMING, Stopping.POCOCK]
REPETITIONS, PAIRS = 4000, 60
TWO_ERRORS = 2 * math.sqrt(0.05 * 0.95 / REPETITIONS)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shares", [(1.0,), (0.5, 1.0), (0.2, 0.7, 1.0), (0.25, 0.5, 0.75, 1.0)])
def test_boundaries_against_the_multivariate_normal(rule: Stopping, shares: tuple[float, ...]) -> None:
    """Staying within all boundaries up to look k has probability 1 − error spent, by scipy's integral over k dimensions."""
    found = boundaries(rule, 0.05, shares)
    t = np.array(shares)
    correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    for k in range(1, len(shares) + 1):
        limit = np.array(found[:k])
        inside = stats.multivariate_normal.cdf(limit, np.zeros(k), correlation[:k, :k], lower_limit=-limit, abseps=1e-8, maxpts=2_000_000)
        assert 1 - inside == pytest.approx(spent(rule, 0.05, shares[k - 1]), abs=2e-6)


def test_boundaries_of_five_equal_looks_as_they_are_tabulated() -> None:
    fifths = tuple(k / 5 for k in range(1, 6))
    assert boundaries(Stopping.OBRIEN_FLEMING, 0.05, fifths) == pytest.approx((4.8769, 3.3569, 2.6803, 2.2898, 2.0310), abs=2e-4)
    assert boundaries(Stopping.POCOCK, 0.05, fifths) == pytest.approx((2.4380, 2.4268, 2.4101, 2.3966, 2.3859), abs=2e-4)
    assert boundaries(Stopping.FIXED, 0.05, (1.0,)) == pytest.approx((stats.norm.isf(0.025),))
    assert boundaries(Stopping.OBRIEN_FLEMING, 0.05, (0.01, 1.0))[0] == math.inf, "nothing is spent so early"
    with pytest.raises(ValueError, match="no budget"):
        spent(Stopping.ALWAYS_VALID, 0.05, 0.5)


@given(st.integers(1, 3000), st.integers(1, 8))
def test_planned_looks_end_at_the_budget(budget: int, every: int) -> None:
    found = planned_looks(budget, every)
    assert found[-1] == budget
    assert len(found) <= 20
    assert all(n % every == 0 for n in found[:-1])
    assert all(a < b for a, b in itertools.pairwise(found))
    assert planned_looks(budget, every, Stopping.FIXED) == (budget,)


@given(st.lists(st.sampled_from([0.0, 1.0, 1.5, -2.0, 7.0]), min_size=2, max_size=30))
def test_running_moments_against_scipy_at_every_look(values: list[float]) -> None:
    found = cautious_t.running(np.array([values]))
    for n in range(2, len(values) + 1):
        part = np.array(values[:n])
        assert found.mean[0, n - 1] == pytest.approx(part.mean())
        assert found.error[0, n - 1] == pytest.approx(stats.sem(part), abs=1e-9)
        expected = stats.skew(part) if np.ptp(part) else 0.0
        assert found.skewness[0, n - 1] == pytest.approx(expected, abs=1e-6)
        assert found.informative[0, n - 1] == n - max(Counter(values[:n]).values())


def test_values_that_differ_by_rounding_are_one_value() -> None:
    noise = np.random.default_rng(1).normal(0, 1e-13, 50)
    assert cautious_t.informative((1e8 + np.arange(50) % 2 * 0.5)[None, :])[0, -1] == 25
    assert cautious_t.informative(np.append(noise, 1.0)[None, :])[0, -1] == 1
    assert compare_values("m", np.full(50, 1e6), 1e6 * (1 + noise)).unequal == 0  # type: ignore[union-attr]


@given(st.floats(-30, 30), st.floats(-2, 2))
def test_halls_cubic_and_its_inverse(t: float, lean: float) -> None:
    moved = cautious_t._hall(np.array([t]), np.array([lean]))
    assert cautious_t._hall_inverse(moved, np.array([lean]))[0] == pytest.approx(t, abs=1e-5)
    assert moved[0] == pytest.approx(t + lean * t**2 / 3 + lean**2 * t**3 / 27 + lean / 6)


def test_ends_are_where_the_statistic_reaches_its_critical_value() -> None:
    x = np.random.default_rng(3).gamma(1.0, size=(20, 30))
    found = cautious_t.running(x)
    low, high = found.ends(np.full(30, 2.3))
    for row, n in itertools.product(range(20), (10, 29)):
        for end, sign in ((low[row, n], 1.0), (high[row, n], -1.0)):
            assert found.statistic(end)[row, n] == pytest.approx(sign * 2.3)
    assert (found.statistic() <= np.abs(found.mean / found.error) + 1e-9)[:, 1:].all(), "only ever moved towards zero"


def test_one_look_at_symmetric_data_is_the_t_test() -> None:
    x = np.concatenate([0.25 + np.arange(1, 16) / 10, 0.25 - np.arange(1, 16) / 10])
    (look,) = group_looks(x, [30], [1.0], Stopping.FIXED)
    assert repeated_p([look], Stopping.FIXED) == pytest.approx(stats.ttest_1samp(x, 0).pvalue, rel=1e-3)
    assert look.interval.low == pytest.approx(stats.t.interval(0.95, 29, x.mean(), stats.sem(x))[0])


@pytest.mark.parametrize("rule", RULES)
def test_repeated_p_is_the_error_at_which_it_is_just_declared(rule: Stopping) -> None:
    x = np.random.default_rng(5).normal(0.35, 1, 60)
    planned = planned_looks(60, 4)
    series = group_looks(x, planned, [n / 60 for n in planned], rule)
    p = repeated_p(series, rule)
    for error, declared in ((p * 1.01, True), (p * 0.99, False)):
        again = group_looks(x, planned, [n / 60 for n in planned], rule, level=1 - error)
        assert any(look.crossed for look in again) == declared


def family(kind: str, size: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    zeros = {"70": 0.7, "80": 0.8, "90": 0.9, "95": 0.95}
    if kind[:2] in zeros:
        return rng.normal(size=size) * (rng.random(size) >= zeros[kind[:2]])
    draws = {
        "normal": lambda: rng.normal(size=size),
        "plus or minus one": lambda: rng.choice([-1.0, 1.0], size=size),
        "nine to one": lambda: np.where(rng.random(size) < 0.9, 1.0, -9.0),
        "seven to three": lambda: np.where(rng.random(size) < 0.7, 3.0, -7.0),
        "heavy tails": lambda: rng.standard_t(2, size),
        "exponential": lambda: rng.exponential(size=size) - 1,
        "log-normal": lambda: rng.lognormal(0, 1, size) - math.exp(0.5),
    }
    return draws[kind]()


FAMILIES = ["normal", "plus or minus one", "nine to one", "seven to three", "heavy tails", "70 zeros", "80 zeros", "90 zeros", "95 zeros"]


@pytest.mark.parametrize("kind", FAMILIES)
def test_false_declarations_of_every_rule(kind: str) -> None:
    x = family(kind, (REPETITIONS, PAIRS), 11)
    for rule in RULES:
        assert (first_crossed(x, 4, rule) > 0).mean() <= 0.05 + TWO_ERRORS, rule
    assert (first_declared(x) > 0).mean() <= 0.05 + TWO_ERRORS


@pytest.mark.parametrize("kind", [kind for kind in FAMILIES if "zeros" in kind])
def test_sequences_never_close_on_zeros_alone(kind: str) -> None:
    """Any margin: an interval that misses the mean, 0.05 here, may be declared equivalent to 0 falsely."""
    x = family(kind, (REPETITIONS, PAIRS), 12)
    x = np.where(x != 0, x + 0.05 / (x != 0).mean(), 0.0)
    low, high = sequence_bounds(x)
    assert ((low > 0.05) | (high < 0.05)).any(axis=1).mean() <= 0.05 + TWO_ERRORS


def test_power_of_the_planned_looks_is_near_that_of_one_look() -> None:
    x = np.random.default_rng(13).normal(0.3, 1, (REPETITIONS, PAIRS))
    power = {rule: (first_crossed(x, 4, rule) > 0).mean() for rule in (*RULES, Stopping.FIXED)}
    assert power[Stopping.OBRIEN_FLEMING] >= 0.57
    assert power[Stopping.FIXED] >= power[Stopping.OBRIEN_FLEMING] > power[Stopping.POCOCK] > (first_declared(x) > 0).mean()


@pytest.mark.parametrize("kind", ["exponential", "log-normal"])
@pytest.mark.parametrize("rule", [Stopping.OBRIEN_FLEMING, Stopping.ALWAYS_VALID])
def test_lopsided_differences_are_warned_of(kind: str, rule: Stopping) -> None:
    """Nine in ten false declarations between unlike arms of equal mean carry the warning; far from all true ones do."""
    x = family(kind, (REPETITIONS, PAIRS), 14)
    declared = first_declared(x) if rule is Stopping.ALWAYS_VALID else first_crossed(x, 4, rule)
    warned = [compare_values("m", np.zeros(PAIRS), row, stopping=rule).skewed for row in x[declared > 0]]  # type: ignore[union-attr]
    assert np.mean(warned) >= 0.9
    true = [compare_values("m", np.zeros(PAIRS), row).skewed for row in np.random.default_rng(15).normal(1, 1, (50, PAIRS))]  # type: ignore[union-attr]
    assert np.mean(true) < 0.4


@pytest.mark.parametrize("rule", list(Stopping))
def test_seven_equal_pairs_settle_nothing(rule: Stopping) -> None:
    found = compare_values("x", [1000] * 60, [1000] * 7 + [1100] * 53, margin=Margin(0.001), stopping=rule)
    assert found is not None
    assert found.verdict.decision is Decision.DIFFERENT
    assert found.verdict.pairs >= 12
    alike = compare_values("x", [1000] * 60, [1000] * 56 + [1001] * 4, margin=Margin(50.0), stopping=rule)
    assert alike is not None
    assert alike.verdict.decision is Decision.UNDECIDED
    assert "56 of 60 pairs are exactly equal" in alike.verdict.sentence
    assert alike.ruling.low == -math.inf


def test_pairs_left_out_bring_no_information() -> None:
    rng = np.random.default_rng(16)
    b = rng.normal(0.5, 1, 60)
    b[::5] = math.nan
    found = compare_values("m", np.zeros(60), b)
    assert found is not None
    assert [look.pairs for look in found.planned] == [int(np.isfinite(b[:n]).sum()) for n in planned_looks(60, 4)]
    assert found.planned[-1].share == 1.0
    assert found.planned[-2].share == pytest.approx(found.planned[-2].pairs / 60)
    half = compare_values("m", np.zeros(30), b[:30], budget=60)
    assert half is not None
    assert [look.boundary for look in half.planned] == pytest.approx([look.boundary for look in found.planned[: len(half.planned)]])
