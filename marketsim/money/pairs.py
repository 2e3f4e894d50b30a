"""Money as pairs of integers: whole uve and atto (10^-18 uve), exact in every operation.

A pair `(whole, atto)` has `0 <= atto < 10**18` and stands for `whole + atto / 10**18`; a negative amount has
a negative whole part. Two forms of the same arithmetic: compiled functions on scalars for the chain (`add`,
`times`, ...) and functions on whole columns for reports and checks (`add_columns`, ...). Python integers
counted in atto, for the edge, are in `text`.

Range: amounts up to `WHOLE_MAX` uve (the supply), rates up to `RATE_MAX` uve per block, spans up to
`BLOCKS_MAX` blocks, so that rate x blocks stays inside as well. The chain refuses what would leave it
(`Status.AmountTooLarge`), the edge and the columns raise `MoneyRangeError`; nothing wraps.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.money.text import format_amount
from marketsim.money.units import ATTO, WHOLE_MAX

Column = NDArray[np.int64]

LIMB = 1_000_000_000
"""Base of the limbs through which products go."""
RATE_MAX = 10_000_000_000
"""Largest sum of rates of one account, whole uve per block."""
BLOCKS_MAX = 500_000_000
"""Largest height: 95 years of blocks of six seconds."""

_INT64_MAX = (1 << 63) - 1


class MoneyRangeError(OverflowError):
    """An amount outside the range that pairs of int64 carry."""


# --- scalars, compiled --------------------------------------------------------------------------------------


@compiled_inline
def add(a_whole: int, a_atto: int, b_whole: int, b_atto: int) -> tuple[int, int]:
    """Return a + b, exact."""
    atto = a_atto + b_atto
    whole = a_whole + b_whole
    if atto >= ATTO:
        return whole + 1, atto - ATTO
    return whole, atto


@compiled_inline
def subtract(a_whole: int, a_atto: int, b_whole: int, b_atto: int) -> tuple[int, int]:
    """Return a - b, exact."""
    atto = a_atto - b_atto
    whole = a_whole - b_whole
    if atto < 0:
        return whole - 1, atto + ATTO
    return whole, atto


@compiled_inline
def add_to(row: Column, column: int, whole: int, atto: int) -> None:
    """Add an amount to the pair in columns `column` and `column + 1` of a row."""
    row[column], row[column + 1] = add(row[column], row[column + 1], whole, atto)


@compiled_inline
def subtract_from(row: Column, column: int, whole: int, atto: int) -> None:
    """Take an amount from the pair in columns `column` and `column + 1` of a row."""
    row[column], row[column + 1] = subtract(row[column], row[column + 1], whole, atto)


@compiled_inline
def is_less(a_whole: int, a_atto: int, b_whole: int, b_atto: int) -> bool:
    """Return whether a < b."""
    return a_whole < b_whole or (a_whole == b_whole and a_atto < b_atto)


@compiled
def compare(a_whole: int, a_atto: int, b_whole: int, b_atto: int) -> int:
    """Return -1, 0 or 1 as a is less than, equal to or greater than b."""
    if a_whole != b_whole:
        return -1 if a_whole < b_whole else 1
    if a_atto != b_atto:
        return -1 if a_atto < b_atto else 1
    return 0


@compiled
def _times_limb(whole: int, atto: int, count: int) -> tuple[int, int]:
    # 0 <= count <= 10^9: every partial product is at most 10^18.
    low = (atto % LIMB) * count
    high = (atto // LIMB) * count + low // LIMB
    return whole * count + high // LIMB, (high % LIMB) * LIMB + low % LIMB


@compiled
def times(whole: int, atto: int, count: int) -> tuple[int, int]:
    """Return the amount x count, exact, for 0 <= count <= 10^18; see `times_fits` for what fits."""
    if count <= LIMB:
        return _times_limb(whole, atto, count)
    whole_high, atto_high = _times_limb(whole, atto, count // LIMB)
    whole_high, atto_high = _times_limb(whole_high, atto_high, LIMB)
    whole_low, atto_low = _times_limb(whole, atto, count % LIMB)
    return add(whole_high, atto_high, whole_low, atto_low)


@compiled
def times_fits(whole: int, count: int) -> bool:
    """Return whether an amount of `whole` uve and a fraction, times count >= 0, stays within WHOLE_MAX."""
    if count == 0:
        return True
    limit = WHOLE_MAX // count
    return -limit <= whole < limit


@compiled
def truncate(whole: int, atto: int) -> int:
    """Return the amount in whole uve, the fraction dropped towards zero (protocol reference 3.2)."""
    if whole < 0 and atto > 0:
        return whole + 1
    return whole


@compiled
def share_ppm(amount: int, ppm: int) -> int:
    """Return floor(amount x ppm / 10^6) of a whole amount >= 0 with 0 <= ppm <= 10^6, without leaving
    int64.
    """
    return (amount // 1_000_000) * ppm + (amount % 1_000_000) * ppm // 1_000_000


@compiled
def blocks_covered(funds: int, funds_atto: int, rate: int, rate_atto: int, limit: int) -> int:
    """Return min(limit, floor(funds / rate)), exact, for funds >= 0, rate > 0 and limit <= 10^9.

    An estimate in floating point comes first; multiplying back and comparing makes it exact, so the machine's
    rounding never shows.
    """
    estimate = (funds + funds_atto * 1e-18) / (rate + rate_atto * 1e-18)
    if estimate > limit + 1.0:
        return limit
    blocks = int(estimate)
    whole, atto = _times_limb(rate, rate_atto, blocks)
    while is_less(funds, funds_atto, whole, atto):
        blocks -= 1
        whole, atto = subtract(whole, atto, rate, rate_atto)
    while True:
        whole, atto = add(whole, atto, rate, rate_atto)
        if is_less(funds, funds_atto, whole, atto):
            break
        blocks += 1
    return min(blocks, limit)


# --- columns ------------------------------------------------------------------------------------------------


def _refuse(outside: NDArray[np.bool_], operation: str) -> None:
    if bool(np.any(outside)):
        row = int(np.argmax(outside))
        raise MoneyRangeError(f"{operation}: row {row} leaves the range of {WHOLE_MAX} uve; nothing was computed")


def _in_range(whole: Column, operation: str) -> None:
    _refuse((whole > WHOLE_MAX) | (whole < -WHOLE_MAX), operation)


def _checked(whole: Column, atto: Column, wrapped: NDArray[np.bool_], operation: str) -> tuple[Column, Column]:
    outside = (whole > WHOLE_MAX) | ((whole == WHOLE_MAX) & (atto > 0)) | (whole < -WHOLE_MAX)
    _refuse(wrapped | outside, operation)
    return whole, atto


def add_columns(a_whole: Column, a_atto: Column, b_whole: Column, b_atto: Column) -> tuple[Column, Column]:
    """Return a + b row by row; int64 columns of one shape. Raises MoneyRangeError instead of wrapping."""
    atto = a_atto + b_atto
    carry = atto >= ATTO
    whole = a_whole + b_whole
    # A sum that wrapped has another sign than both its parts.
    wrapped = ((a_whole ^ whole) & (b_whole ^ whole)) < 0
    return _checked(whole + carry, atto - ATTO * carry, wrapped, "add")


def negate_columns(whole: Column, atto: Column) -> tuple[Column, Column]:
    """Return the amounts with the other sign."""
    _in_range(whole, "negate")
    fraction = atto > 0
    return -whole - fraction, np.where(fraction, ATTO - atto, 0)


def subtract_columns(a_whole: Column, a_atto: Column, b_whole: Column, b_atto: Column) -> tuple[Column, Column]:
    """Return a - b row by row. Raises MoneyRangeError instead of wrapping."""
    atto = a_atto - b_atto
    borrow = atto < 0
    whole = a_whole - b_whole
    wrapped = ((a_whole ^ b_whole) & (a_whole ^ whole)) < 0
    return _checked(whole - borrow, atto + ATTO * borrow, wrapped, "subtract")


def multiply_columns(whole: Column, atto: Column, count: Column) -> tuple[Column, Column]:
    """Return amount x count row by row; counts are int64 from 0 to 10^9. Raises MoneyRangeError instead of
    wrapping.
    """
    _in_range(whole, "multiply")
    if bool(np.any((count < 0) | (count > LIMB))):
        raise MoneyRangeError(f"multiply: a count is outside 0..{LIMB}; nothing was computed")
    limit = WHOLE_MAX // np.maximum(count, 1)
    _refuse((count > 0) & ((whole >= limit) | (whole < -limit)), "multiply")
    low = (atto % LIMB) * count
    high = (atto // LIMB) * count + low // LIMB
    return whole * count + high // LIMB, (high % LIMB) * LIMB + low % LIMB


def compare_columns(a_whole: Column, a_atto: Column, b_whole: Column, b_atto: Column) -> Column:
    """Return -1, 0 or 1 row by row as a is less than, equal to or greater than b."""
    whole = (a_whole > b_whole).astype(np.int64) - (a_whole < b_whole)
    atto = (a_atto > b_atto).astype(np.int64) - (a_atto < b_atto)
    return np.where(whole != 0, whole, atto)


def truncate_columns(whole: Column, atto: Column) -> Column:
    """Return whole uve row by row, fractions dropped towards zero."""
    return whole + ((whole < 0) & (atto > 0))


def total_columns(whole: Column, atto: Column) -> int:
    """Return the exact sum in atto as a Python integer, of any size; shape (n,)."""
    upper, lower = int(np.sum(whole // LIMB)), int(np.sum(whole % LIMB))
    fine = int(np.sum(atto // LIMB)) * LIMB + int(np.sum(atto % LIMB))
    return (upper * LIMB + lower) * ATTO + fine


def sum_columns(whole: Column, atto: Column) -> tuple[int, int]:
    """Return the exact sum as a pair of Python integers. Raises MoneyRangeError when the sum leaves the
    range.
    """
    return to_pair(total_columns(whole, atto))


def sum_columns_by(index: Column, size: int, whole: Column, atto: Column) -> tuple[Column, Column]:
    """Return the exact sums of the rows by `index` (0 <= index < size) as two columns of shape (size,).

    Raises MoneyRangeError when one sum leaves the range.
    """
    limbs = (whole // LIMB, whole % LIMB, atto // LIMB, atto % LIMB)
    sums = np.zeros((4, size), np.int64)
    for row, limb in zip(sums, limbs, strict=True):
        np.add.at(row, index, limb)
    nano = sums[2] + sums[3] // LIMB
    lower = sums[1] + nano // LIMB
    upper = sums[0] + lower // LIMB
    _refuse((upper >= WHOLE_MAX // LIMB) | (upper < -(WHOLE_MAX // LIMB)), "sum")
    return upper * LIMB + lower % LIMB, (nano % LIMB) * LIMB + sums[3] % LIMB


def to_columns(amounts: Iterable[int]) -> tuple[Column, Column]:
    """Return the columns (whole, atto) of amounts counted in atto. Raises MoneyRangeError."""
    pairs = [to_pair(amount) for amount in amounts]
    table = np.array(pairs, np.int64).reshape(len(pairs), 2)
    return table[:, 0].copy(), table[:, 1].copy()


def from_columns(whole: Column, atto: Column) -> list[int]:
    """Return the amounts counted in atto as Python integers."""
    return [w * ATTO + a for w, a in zip(whole.tolist(), atto.tolist(), strict=True)]


def to_pair(atto: int) -> tuple[int, int]:
    """Return the pair of an amount counted in atto. Raises MoneyRangeError beyond WHOLE_MAX uve."""
    if abs(atto) > WHOLE_MAX * ATTO:
        raise MoneyRangeError(f"{format_amount(atto)} uve is outside the range of {WHOLE_MAX} uve")
    return divmod(int(atto), ATTO)


def from_pair(whole: int, atto: int) -> int:
    """Return the amount of a pair counted in atto, as a Python integer."""
    return int(whole) * ATTO + int(atto)
