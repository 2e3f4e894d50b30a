"""The gate's fixed-n test: verdicts by hand, error rates and planned pairs against other ways of computing them."""

import math

import numpy as np
import pytest
from scipy import stats

from marketsim.statistics.cautious_t import at_end, running
from marketsim.statistics.fixed_n import (
    Aim,
    GateWord,
    chances,
    corrected,
    differ_most,
    judge,
    pairs_for_repeats,
    pairs_for_share,
    planned_pairs,
)

BEFORE = [100.0, 110.0, 90.0, 105.0, 95.0, 102.0, 98.0, 101.0]


def after(*shifts: float) -> list[float]:
    return [value + shift for value, shift in zip(BEFORE, shifts, strict=True)]


NOISE = (0.3, -0.2, 0.1, -0.4, 0.25, -0.15, 0.2, -0.1)


@pytest.mark.parametrize(
    ("shift", "aim", "word", "equivalent"),
    [
        (0.0, Aim.NO_LOWER, GateWord.PASS, True),
        (5.0, Aim.NO_LOWER, GateWord.PASS, False),
        (-5.0, Aim.NO_LOWER, GateWord.FAIL, False),
        (5.0, Aim.NO_HIGHER, GateWord.FAIL, False),
        (-5.0, Aim.NO_HIGHER, GateWord.PASS, False),
        (5.0, Aim.EQUIVALENT, GateWord.FAIL, False),
        (-0.5, Aim.EQUIVALENT, GateWord.PASS, True),
    ],
)
def test_a_shift_is_judged_by_its_side_and_its_margin(shift: float, aim: Aim, word: GateWord, equivalent: bool) -> None:
    judged = judge(BEFORE, after(*(shift + noise for noise in NOISE)), 1.0, aim)
    assert (judged.word, judged.equivalent) == (word, equivalent)
    assert judged.shift == pytest.approx(shift + np.mean(NOISE))


def test_the_interval_is_students_moved_outward_for_skewness() -> None:
    symmetric = np.array([-3.0, -1.0, -0.5, 0.5, 1.0, 3.0, -2.0, 2.0])
    judged = judge(np.zeros(8), symmetric + 0.25, 10.0)
    low, high = stats.t.interval(0.9, 7, 0.25, stats.sem(symmetric))
    # Even without skewness Hall's map adds a term of order 1/n² or nothing; none here.
    assert judged.interval.low == pytest.approx(low, abs=1e-12)
    assert judged.interval.high == pytest.approx(high, abs=1e-12)
    lopsided = np.random.default_rng(3).exponential(size=8)
    judged = judge(np.zeros(8), lopsided, 10.0)
    low, high = stats.t.interval(0.9, 7, lopsided.mean(), stats.sem(lopsided))
    assert judged.interval.low <= low + 1e-12
    assert judged.interval.high > high


def test_the_last_look_is_the_series_last() -> None:
    rows = np.random.default_rng(1).gamma(2.0, size=(20, 9))
    one, all_looks = at_end(rows), running(rows)
    for found, wanted in ((one.mean, all_looks.mean), (one.error, all_looks.error), (one.skewness, all_looks.skewness)):
        assert found[:, 0] == pytest.approx(wanted[:, -1])
    for found, wanted in zip(one.ends(np.array([1.8])), all_looks.ends(np.full(9, 1.8)), strict=True):
        assert found[:, 0] == pytest.approx(wanted[:, -1])


def test_equal_pairs_are_identical_with_their_bound() -> None:
    judged = judge(BEFORE, BEFORE, 1.0)
    assert judged.word is GateWord.IDENTICAL
    # With that share differing, none of 8 differs in exactly α of cases.
    assert judged.differ_most is not None
    assert (1 - judged.differ_most) ** 8 == pytest.approx(0.05)
    last_digits = np.nextafter(BEFORE, math.inf)
    assert judge(BEFORE, last_digits, 1.0).word is GateWord.IDENTICAL
    assert judge([math.nan, 1.0], [math.nan, 1.0], 1.0).word is GateWord.IDENTICAL


def test_rare_differences_are_not_judged_before_five_differ() -> None:
    judged = judge(BEFORE, after(0, 0, 0, 0, 0.001, 0, 0, 0), 1.0)
    assert judged.word is GateWord.UNDECIDED
    assert "7 of 8 pairs are equal" in judged.why
    assert judge(BEFORE, after(0, 0, 0, 0.001, -0.001, 0.002, 0.003, -0.002), 1.0).word is GateWord.PASS
    # No pair is equal, but all differ by the same: nothing is known of the spread.
    assert "different by exactly 2" in judge(BEFORE, after(*[2.0] * 8), 1.0).why


def test_what_cannot_be_compared_is_undecided() -> None:
    assert "only one run of 1 of 2" in judge([1.0, 2.0], [math.nan, 2.0], 1.0).why
    assert judge([1.0], [2.0], 1.0).word is GateWord.UNDECIDED
    with pytest.raises(ValueError, match="a gate needs"):
        judge([], [], 1.0)


def test_holm_takes_back_failures_and_nothing_else() -> None:
    weak = judge(BEFORE, after(*(3 * noise - 0.55 for noise in NOISE)), 0.2)
    assert weak.word is GateWord.FAIL
    assert 0.0125 < weak.p < 0.05
    clear = judge(BEFORE, after(*(noise - 5 for noise in NOISE)), 1.0)
    passing = judge(BEFORE, after(*NOISE), 1.0)
    # Steps of Holm by hand: the least p times 4, the next times 3, ….
    found = corrected([weak, clear, passing, judge(BEFORE, BEFORE, 1.0)], 0.05)
    assert [one.word for one in found] == [GateWord.UNDECIDED, GateWord.FAIL, GateWord.PASS, GateWord.IDENTICAL]
    assert found[1].p_holm == pytest.approx(4 * clear.p)
    assert found[0].p_holm == pytest.approx(3 * weak.p)


@pytest.mark.parametrize("pairs", [3, 6, 20])
@pytest.mark.parametrize("aim", list(Aim))
def test_a_shift_of_the_margin_passes_in_alpha_at_most(pairs: int, aim: Aim) -> None:
    series = 3000
    draws = np.random.default_rng(pairs).normal(size=(series, pairs))
    shift = 1.0 if aim is Aim.NO_HIGHER else -1.0
    hits = sum(judge(np.zeros(pairs), row * 0.3 + shift, 1.0, aim).word is GateWord.PASS for row in draws)
    assert hits / series <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / series)
    assert hits > 0


@pytest.mark.parametrize(("spread", "pairs"), [(0.25, 2), (0.5, 4), (1.0, 5)])
def test_a_shift_of_3_percent_needs_2_to_5_pairs(spread: float, pairs: int) -> None:
    assert planned_pairs(3 / spread) == pairs


def test_plans_approach_the_textbooks_number() -> None:
    # Normal theory: n = ((z_α + z_power) spread ÷ margin)²; caution and Student's quantile add a little.
    wanted = ((stats.norm.ppf(0.95) + stats.norm.ppf(0.9)) / 0.2) ** 2
    assert wanted <= planned_pairs(0.2) <= 1.06 * wanted


@pytest.mark.parametrize(("aim", "metrics"), [(Aim.NO_LOWER, 1), (Aim.NO_HIGHER, 3), (Aim.EQUIVALENT, 2)])
def test_planned_gates_do_what_the_plan_says(aim: Aim, metrics: int) -> None:
    pairs = planned_pairs(1.5, aim, metrics=metrics)
    series = 3000
    draws = np.random.default_rng(11).normal(size=(series, pairs))
    share = np.mean([judge(np.zeros(pairs), row, 1.5, aim).word is GateWord.PASS for row in draws])
    wanted = 1 - 0.1 / metrics
    assert share >= wanted - 2 * math.sqrt(wanted * (1 - wanted) / series)
    assert share == pytest.approx(chances(1.5, pairs, aim, 0.05, metrics).passes, abs=0.02)
    fewer = chances(1.5, pairs - 1, aim, 0.05, metrics)
    assert fewer.passes < wanted or fewer.fails < 0.9


def test_an_estimated_spread_is_paid_for() -> None:
    assert planned_pairs(1.0, freedom=5) > planned_pairs(1.0, freedom=50) >= planned_pairs(1.0)


def test_shares_of_seeds() -> None:
    # 59 is the textbooks' number: 0.95^59 = 0.0485, 0.95^58 = 0.0510.
    assert pairs_for_share(0.05) == 59
    assert differ_most(59) == pytest.approx(0.0495, abs=1e-4)
    n = pairs_for_repeats(0.9, 0.9)
    assert stats.binom.sf(4, n, 0.1) + 0.9**n >= 0.9 > stats.binom.sf(4, n - 1, 0.1) + 0.9 ** (n - 1)
    assert pairs_for_repeats(0.0, 0.9) == pairs_for_repeats(1.0, 0.9) == 2
