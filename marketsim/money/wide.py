"""Wide integers in limbs of 10^9: products and quotients of money that do not fit a pair, without allocation.

A number is a run of limbs in `State.scratch`, least first, named by its position and length. Every step stays
within int64, so the functions give the same result compiled and as plain Python. Each rounding is in a
function's name.
"""

from __future__ import annotations

from marketsim.kernel.compiled import compiled
from marketsim.kernel.table_set import Table
from marketsim.money.units import ATTO

BASE = 1_000_000_000
PAIR_LIMBS = 5
"""Limbs of a pair counted in atto: two of the fraction, three of the whole."""


@compiled
def put_pair(scratch: Table, at: int, whole: int, atto: int) -> None:
    """Write a pair >= 0, counted in atto, as PAIR_LIMBS limbs."""
    scratch[at] = atto % BASE
    scratch[at + 1] = atto // BASE
    scratch[at + 2] = whole % BASE
    upper = whole // BASE
    scratch[at + 3] = upper % BASE
    scratch[at + 4] = upper // BASE


@compiled
def put_whole(scratch: Table, at: int, number: int) -> None:
    """Write an int64 >= 0 as three limbs."""
    scratch[at] = number % BASE
    upper = number // BASE
    scratch[at + 1] = upper % BASE
    scratch[at + 2] = upper // BASE


@compiled
def length_of(scratch: Table, at: int, limbs: int) -> int:
    """Return how many limbs are left when leading zeros are dropped; 0 for zero."""
    while limbs > 0 and scratch[at + limbs - 1] == 0:
        limbs -= 1
    return limbs


@compiled
def multiply_limbs(scratch: Table, a: int, a_limbs: int, b: int, b_limbs: int, out: int) -> int:
    """Write a x b at `out` (a_limbs + b_limbs limbs, apart from both); return its length without leading
    zeros.
    """
    for i in range(a_limbs + b_limbs):
        scratch[out + i] = 0
    for i in range(a_limbs):
        factor = scratch[a + i]
        if factor == 0:
            continue
        carry = 0
        for j in range(b_limbs):
            cell = scratch[out + i + j] + factor * scratch[b + j] + carry
            carry = cell // BASE
            scratch[out + i + j] = cell - carry * BASE
        scratch[out + i + b_limbs] = carry
    return length_of(scratch, out, a_limbs + b_limbs)


@compiled
def add_limbs(scratch: Table, into: int, into_limbs: int, b: int, b_limbs: int) -> None:
    """Add b to the number at `into`, whose into_limbs >= b_limbs limbs have room for the sum."""
    carry = 0
    for i in range(into_limbs):
        cell = scratch[into + i] + carry
        if i < b_limbs:
            cell += scratch[b + i]
        elif carry == 0:
            return
        carry = cell // BASE
        scratch[into + i] = cell - carry * BASE


@compiled
def _scale_limbs(scratch: Table, at: int, limbs: int, factor: int) -> int:
    # Multiply in place by factor < BASE; return the carry that left the top.
    carry = 0
    for i in range(limbs):
        cell = scratch[at + i] * factor + carry
        carry = cell // BASE
        scratch[at + i] = cell - carry * BASE
    return carry


@compiled
def divide_limbs_floor(scratch: Table, a: int, a_limbs: int, b: int, b_limbs: int, out: int) -> int:
    """Write floor(a / b) at `out`; return its length without leading zeros.

    `a` needs one spare limb above it; both arguments are overwritten: `a` with the remainder and `b` with the
    divisor, both times the same factor. `b_limbs` counts no leading zero limb and b > 0. `out` takes a_limbs
    limbs. The long division of Knuth (The Art of Computer Programming 4.3.1, algorithm D) in base 10^9.
    """
    for i in range(a_limbs):
        scratch[out + i] = 0
    if b_limbs == 1:
        divisor = scratch[b]
        rest = 0
        for i in range(a_limbs - 1, -1, -1):
            cell = rest * BASE + scratch[a + i]
            digit = cell // divisor
            scratch[out + i] = digit
            rest = cell - digit * divisor
            scratch[a + i] = 0
        scratch[a] = rest
        return length_of(scratch, out, a_limbs)
    if a_limbs < b_limbs:
        return 0
    factor = BASE // (scratch[b + b_limbs - 1] + 1)
    scratch[a + a_limbs] = _scale_limbs(scratch, a, a_limbs, factor)
    _scale_limbs(scratch, b, b_limbs, factor)
    top = scratch[b + b_limbs - 1]
    second = scratch[b + b_limbs - 2]
    for j in range(a_limbs - b_limbs, -1, -1):
        head = scratch[a + j + b_limbs] * BASE + scratch[a + j + b_limbs - 1]
        digit = head // top
        rest = head - digit * top
        while digit >= BASE or digit * second > rest * BASE + scratch[a + j + b_limbs - 2]:
            digit -= 1
            rest += top
            if rest >= BASE:
                break
        borrow = 0
        for i in range(b_limbs):
            cell = scratch[a + j + i] - digit * scratch[b + i] - borrow
            borrow = -(cell // BASE)
            scratch[a + j + i] = cell + borrow * BASE
        scratch[a + j + b_limbs] -= borrow
        if scratch[a + j + b_limbs] < 0:
            digit -= 1
            carry = 0
            for i in range(b_limbs):
                cell = scratch[a + j + i] + scratch[b + i] + carry
                carry = cell // BASE
                scratch[a + j + i] = cell - carry * BASE
            scratch[a + j + b_limbs] += carry
        scratch[out + j] = digit
    return length_of(scratch, out, a_limbs)


@compiled
def take_pair(scratch: Table, at: int, limbs: int) -> tuple[int, int]:
    """Return the number at `at`, counted in atto, as a pair; (-1, 0) when its whole part leaves int64."""
    if limbs > PAIR_LIMBS or (limbs == PAIR_LIMBS and scratch[at + 4] > 8):
        return -1, 0
    atto = 0
    whole = 0
    if limbs > 4:
        whole = scratch[at + 4] * ATTO
    if limbs > 3:
        whole += scratch[at + 3] * BASE
    if limbs > 2:
        whole += scratch[at + 2]
    if limbs > 1:
        atto = scratch[at + 1] * BASE
    if limbs > 0:
        atto += scratch[at]
    return whole, atto


@compiled
def _mul_div(scratch: Table, a_whole: int, a_atto: int, b_whole: int, b_atto: int, c_whole: int, c_atto: int) -> int:
    # Leaves the quotient at 40, the scaled remainder at 20, the scaled divisor at 60; returns the quotient's
    # length.
    put_pair(scratch, 0, a_whole, a_atto)
    put_pair(scratch, 5, b_whole, b_atto)
    limbs = multiply_limbs(scratch, 0, PAIR_LIMBS, 5, PAIR_LIMBS, 20)
    put_pair(scratch, 60, c_whole, c_atto)
    divisor = length_of(scratch, 60, PAIR_LIMBS)
    return divide_limbs_floor(scratch, 20, limbs, 60, divisor, 40)


@compiled
def mul_div_floor(scratch: Table, a_whole: int, a_atto: int, b_whole: int, b_atto: int, c_whole: int, c_atto: int) -> tuple[int, int]:
    """Return a x b / c cut to 18 decimals, of pairs a, b >= 0 and c > 0; (-1, 0) when it leaves int64."""
    limbs = _mul_div(scratch, a_whole, a_atto, b_whole, b_atto, c_whole, c_atto)
    return take_pair(scratch, 40, limbs)


@compiled
def mul_div_half_even(scratch: Table, a_whole: int, a_atto: int, b_whole: int, b_atto: int, c_whole: int, c_atto: int) -> tuple[int, int]:
    """Return a x b / c rounded half to even at the 18th decimal, of pairs a, b >= 0 and c > 0; (-1, 0) when
    it leaves int64.
    """
    limbs = _mul_div(scratch, a_whole, a_atto, b_whole, b_atto, c_whole, c_atto)
    whole, atto = take_pair(scratch, 40, limbs)
    if whole < 0:
        return whole, atto
    # The remainder lies below the divisor, so its double has at most one limb more.
    rest = length_of(scratch, 20, PAIR_LIMBS + 1)
    divisor = length_of(scratch, 60, PAIR_LIMBS)
    scratch[20 + rest] = _scale_limbs(scratch, 20, rest, 2)
    rest = length_of(scratch, 20, rest + 1)
    order = compare_limbs(scratch, 20, rest, 60, divisor)
    if order > 0 or (order == 0 and atto % 2 == 1):
        atto += 1
        if atto == ATTO:
            return whole + 1, 0
    return whole, atto


@compiled
def compare_limbs(scratch: Table, a: int, a_limbs: int, b: int, b_limbs: int) -> int:
    """Return -1, 0 or 1 as a is less than, equal to or greater than b; lengths count no leading zeros."""
    if a_limbs != b_limbs:
        return -1 if a_limbs < b_limbs else 1
    for i in range(a_limbs - 1, -1, -1):
        if scratch[a + i] != scratch[b + i]:
            return -1 if scratch[a + i] < scratch[b + i] else 1
    return 0


@compiled
def mul_int_div_floor(scratch: Table, a: int, b: int, c: int, divisor: int) -> tuple[int, int]:
    """Return floor(a x b x c / divisor) of int64 >= 0, divisor from 1 to 10^9, as (high, low) with value =
    high x 10^18 + low.

    (-1, 0) when high leaves int64.
    """
    put_whole(scratch, 0, a)
    put_whole(scratch, 3, b)
    put_whole(scratch, 6, c)
    limbs = multiply_limbs(scratch, 0, 3, 3, 3, 20)
    limbs = multiply_limbs(scratch, 20, limbs, 6, 3, 40)
    scratch[60] = divisor
    if divisor == BASE:
        scratch[60] = 0
        scratch[61] = 1
        limbs = divide_limbs_floor(scratch, 40, limbs, 60, 2, 80)
    else:
        limbs = divide_limbs_floor(scratch, 40, limbs, 60, 1, 80)
    return take_pair(scratch, 80, limbs)
