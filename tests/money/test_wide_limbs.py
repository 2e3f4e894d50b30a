"""Wide integers limb by limb: the rare steps of the long division, what earlier numbers left behind, and the
last number that fits.
"""

from __future__ import annotations

import numpy as np
import pytest

from marketsim.money import wide
from marketsim.money.units import ATTO

TOP = 10**9 - 1
HALF = 500_000_000
LARGEST = 9 * 10**18 - 1
STALE = 7


def value(limbs: list[int]) -> int:
    return sum(limb * 10 ** (9 * i) for i, limb in enumerate(limbs))


def table(**numbers: list[int]) -> np.ndarray:
    """A work space full of stale limbs, with numbers at the positions named `at_<position>`."""
    scratch = np.full(512, STALE, np.int64)
    for name, limbs in numbers.items():
        at = int(name.removeprefix("at_"))
        scratch[at : at + len(limbs)] = limbs
    return scratch


# The first estimate of a digit can be one or two too large, also by reaching the base itself; the look at the
# second limb, then the addition back, bring it down. Each row takes another of these paths, in the last digit
# or in an earlier one.
DIVISIONS = [
    ([999_999_998, 499_999_999], [499_999_999, 537_836_865]),
    ([HALF, 999_999_999], [700_696_995, 1]),
    ([HALF, 0, 1], [1, 1]),
    ([0, 0, HALF + 1], [HALF + 1, 0, HALF + 1]),
    ([904_610_357, 1, HALF - 1], [TOP, HALF + 1]),
    ([TOP - 1, HALF + 1, HALF + 1], [TOP, HALF + 1]),
    ([1, 0, 0, HALF - 1], [573_369_946, HALF + 1, HALF]),
    ([TOP - 1, 1, 0, TOP - 1], [HALF + 1, TOP, TOP - 1]),
    ([0, TOP, HALF + 1], [TOP - 1, HALF]),
    ([TOP - 1, 1, TOP], [TOP, 1]),
    ([HALF + 1, TOP - 1, 0, HALF], [HALF, HALF]),
    ([0, 1, TOP, HALF], [157_599_217, TOP, HALF]),
    ([HALF, TOP, TOP - 1, TOP - 1], [TOP, HALF + 1]),
    ([0, 1, HALF, HALF], [TOP - 1, HALF]),
    ([HALF, 0, HALF + 1, HALF, HALF - 1], [TOP - 1, HALF + 1, HALF]),
    ([1, 0, 1, HALF, TOP - 1], [TOP, HALF - 1, HALF - 1]),
    ([5, 6, 7, 8], [3]),
    ([5, 6], [3, 2, 1]),
]


@pytest.mark.parametrize(("a", "b"), DIVISIONS)
def test_division_leaves_quotient_and_remainder(a: list[int], b: list[int]) -> None:
    scratch = table(at_100=a, at_200=b)
    limbs = int(wide.divide_limbs_floor(scratch, 100, len(a), 200, len(b), 300))
    quotient, remainder = divmod(value(a), value(b))
    assert value(scratch[300 : 300 + limbs].tolist()) == quotient
    assert limbs == 0 or scratch[300 + limbs - 1] > 0
    if len(a) < len(b):
        return
    # Remainder and divisor are scaled by one factor; nothing is left above the remainder.
    scaled = value(scratch[200 : 200 + len(b)].tolist())
    assert scaled % value(b) == 0
    assert value(scratch[100 : 100 + len(a) + (len(b) > 1)].tolist()) == remainder * (scaled // value(b))
    assert scratch[99] == scratch[199] == scratch[299] == scratch[300 + len(a)] == STALE


@pytest.mark.parametrize(
    ("a", "b", "order"),
    [
        ([1, 2, 3], [1, 2, 3], 0),
        ([2, 2, 3], [1, 2, 3], 1),
        ([1, 2, 3], [2, 2, 3], -1),
        ([9, 1, 3], [1, 2, 3], -1),
        ([1, 2, 3], [9, 1, 3], 1),
        ([9, 9, 2], [1, 1, 3], -1),
        ([9, 9], [0, 0, 1], -1),
        ([0, 0, 1], [9, 9], 1),
        ([], [], 0),
    ],
)
def test_comparison_reads_no_limb_of_another_number(a: list[int], b: list[int], order: int) -> None:
    around = [8, *a, 8, 8, 8], [6, *b, 6, 6, 6]
    for left, right in (around, around[::-1]):
        scratch = table(at_99=left, at_199=right)
        first = left is around[0]
        sizes = (len(a), len(b)) if first else (len(b), len(a))
        assert wide.compare_limbs(scratch, 100, sizes[0], 200, sizes[1]) == (order if first else -order)


@pytest.mark.parametrize(
    ("limbs", "pair"),
    [
        ([], (0, 0)),
        ([5], (0, 5)),
        ([5, 6], (0, 6_000_000_005)),
        ([5, 6, 4], (4, 6_000_000_005)),
        ([5, 6, 4, 3], (3_000_000_004, 6_000_000_005)),
        ([5, 6, 4, 3, 8], (8_000_000_003_000_000_004, 6_000_000_005)),
        ([TOP, TOP, TOP, TOP, 8], (LARGEST, ATTO - 1)),
        ([0, 0, 0, 0, 9], (-1, 0)),
        ([0, 0, 0, 0, 0, 1], (-1, 0)),
    ],
)
def test_a_pair_is_taken_from_its_own_limbs(limbs: list[int], pair: tuple[int, int]) -> None:
    assert tuple(map(int, wide.take_pair(table(at_40=limbs), 40, len(limbs)))) == pair


@pytest.mark.parametrize("pair", [(0, 0), (0, 1), (3, 5), (LARGEST, ATTO - 1), (10**9, 10**9), (TOP, TOP)])
def test_a_pair_is_put_as_five_limbs_and_a_whole_number_as_three(pair: tuple[int, int]) -> None:
    scratch = table()
    wide.put_pair(scratch, 50, *pair)
    assert value(scratch[50:55].tolist()) == pair[0] * ATTO + pair[1]
    assert scratch[49] == scratch[55] == STALE
    wide.put_whole(scratch, 60, pair[0])
    assert value(scratch[60:63].tolist()) == pair[0]
    assert scratch[59] == scratch[63] == STALE


def test_a_remainder_of_five_limbs_rounds() -> None:
    # 3 x 10^36 x 1 / (5 x 10^36), counted in atto: 0.6, 0.5 and 0.4 of an atto.
    scratch = table()
    for whole, rounded in ((3, 1), (2, 0)):
        found = wide.mul_div_half_even(scratch, whole * 10**18, 0, 0, 1, 5 * 10**18, 0)
        assert tuple(map(int, found)) == (0, rounded)
    for whole, atto, rounded in ((2, 5 * 10**17, 0), (2, 5 * 10**17 + 1, 1), (7, 5 * 10**17, 2)):
        found = wide.mul_div_half_even(scratch, whole * 10**18 + atto, 0, 0, 1, 5 * 10**18, 0)
        assert tuple(map(int, found)) == (0, rounded), whole


def test_a_sum_carries_through_its_upper_limbs_and_no_further() -> None:
    scratch = table(at_10=[TOP, TOP, TOP, 4, STALE], at_30=[1])
    wide.add_limbs(scratch, 10, 4, 30, 1)
    assert scratch[10:15].tolist() == [0, 0, 0, 5, STALE]
    wide.add_limbs(scratch, 10, 4, 30, 1)
    assert scratch[10:15].tolist() == [1, 0, 0, 5, STALE]
