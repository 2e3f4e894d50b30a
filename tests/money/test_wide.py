"""Wide products and quotients agree with Python integers, roundings included, up to the limits of the
representation.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from marketsim.money import wide
from marketsim.money.units import ATTO

LIMIT = 9 * 10**36
scratch = np.zeros(512, np.int64)

sizes = st.sampled_from([1, 10**9, 10**18, 10**27, LIMIT])
numbers = sizes.flatmap(lambda top: st.one_of(st.integers(0, top - 1), st.integers(max(0, top - 3), top - 1), st.integers(0, 3))).map(
    lambda n: min(n, LIMIT - 1)
)


def pair(atto: int) -> tuple[int, int]:
    return divmod(atto, ATTO)


def expected(atto: int) -> tuple[int, int]:
    return pair(atto) if atto < LIMIT else (-1, 0)


@given(numbers, numbers, numbers)
@example(LIMIT - 1, LIMIT - 1, 0)
@example(LIMIT - 1, LIMIT - 1, LIMIT - 2)
@example(10**18, 5, 9)
@example(10**36 - 1, 10**27 + 1, 10**27)
def test_mul_div_rounds_as_its_name_says(a: int, b: int, c: int) -> None:
    c += 1
    if c >= LIMIT:
        c = LIMIT - 1
    operands = (*pair(a), *pair(b), *pair(c))
    assert wide.mul_div_floor(scratch, *operands) == expected(a * b // c)
    assert wide.mul_div_half_even(scratch, *operands) == expected(round(Fraction(a * b, c)))


@given(numbers, st.integers(1, 10**12))
def test_half_even_ties_go_to_the_even_neighbour(a: int, c: int) -> None:
    # a/2, rounded: c and 2c as multiplier and divisor leave the tie in place.
    found = wide.mul_div_half_even(scratch, *pair(a), *pair(c), *pair(2 * c))
    assert found == expected(round(Fraction(a, 2)))


whole = st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.integers(10**18 - 2, 10**18 + 2))


@given(whole, whole, whole, st.one_of(st.integers(1, 10**9), st.integers(10**9 - 2, 10**9)))
def test_mul_int_div_floor_counts_in_two_parts(a: int, b: int, c: int, divisor: int) -> None:
    assert wide.mul_int_div_floor(scratch, a, b, c, divisor) == expected(a * b * c // divisor)


digits = st.lists(st.one_of(st.sampled_from([0, 1, 10**9 - 1]), st.integers(0, 10**9 - 1)), min_size=1, max_size=12)


def put(at: int, limbs: list[int]) -> int:
    scratch[at : at + len(limbs)] = limbs
    return sum(limb * 10 ** (9 * i) for i, limb in enumerate(limbs))


def value(at: int, limbs: int) -> int:
    return sum(int(scratch[at + i]) * 10 ** (9 * i) for i in range(limbs))


@given(digits, digits)
@example([0, 0, 0, 500_000_000], [1, 500_000_000])
@example([10**9 - 1, 10**9 - 1, 10**9 - 2, 10**9 - 1], [10**9 - 1, 10**9 - 1, 10**9 - 1])
@example([0, 0, 999_999_999, 499_999_999], [1, 0, 500_000_000])
def test_limbs_multiply_divide_add_and_compare(x: list[int], y: list[int]) -> None:
    scratch[:] = 7  # what an earlier call may have left
    a, b = put(0, x), put(50, y)
    limbs = wide.multiply_limbs(scratch, 0, len(x), 50, len(y), 100)
    assert value(100, limbs) == a * b
    nx, ny = wide.length_of(scratch, 0, len(x)), wide.length_of(scratch, 50, len(y))
    assert wide.compare_limbs(scratch, 0, nx, 50, ny) == (a > b) - (a < b)
    if b:
        limbs = wide.divide_limbs_floor(scratch, 0, nx, 50, ny, 200)
        assert value(200, limbs) == a // b
    put(0, x)
    put(50, y)
    scratch[300:320] = 0
    wide.add_limbs(scratch, 300, 20, 0, len(x))
    wide.add_limbs(scratch, 300, 20, 50, len(y))
    assert value(300, 20) == a + b
