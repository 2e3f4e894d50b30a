"""Money as pairs of integers: whole uve and atto (10^-18 uve), exact in every operation.

A pair `(whole, atto)` has `0 <= atto < 10**18` and stands for `whole + atto / 10**18`; a negative amount has
a negative whole part. The arithmetic is compiled functions on scalars (`add`, `times`, ...). Python integers
counted in atto, for the edge, are in `text`.

Range: amounts up to `WHOLE_MAX` uve (the supply), rates up to `RATE_MAX` uve per block, spans up to
`BLOCKS_MAX` blocks, so that rate x blocks stays inside as well. The chain refuses what would leave it
(`Status.AmountTooLarge`), the edge raises `MoneyRangeError`; nothing wraps.
"""

from __future__ import annotations

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


_BELOW = 1.0 - 2.0**-48
"""Factor that makes a quotient in floating point too small, whatever was rounded up before: eight roundings of 2^-53 at most."""
_MANY = 1 << 40
"""Quotients below this are by less than one block too small."""


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
    more, few = count // LIMB, count % LIMB
    low = (atto % LIMB) * few
    high = (atto // LIMB) * few + (atto % LIMB) * more + low // LIMB  # three times 10^18 at most
    return whole * count + (atto // LIMB) * more + high // LIMB, (high % LIMB) * LIMB + low % LIMB


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
    """Return min(limit, floor(funds / rate)), exact and in constant time, for any funds >= 0, any rate > 0 and 0 <= limit <= 10^18.

    A quotient in floating point that is never too large is taken from the funds, exactly; what is left, some thousand rates where the
    quotient was 10^18, is divided likewise. So the machine's rounding never shows.
    """
    blocks = 0
    more = _MANY
    while more >= _MANY:
        estimate = (funds + funds_atto * 1e-18) / (rate + rate_atto * 1e-18) * _BELOW
        if estimate >= limit - blocks:
            return limit
        more = int(estimate)
        whole, atto = times(rate, rate_atto, more)
        funds, funds_atto = subtract(funds, funds_atto, whole, atto)
        blocks += more
    while not is_less(funds, funds_atto, rate, rate_atto):  # once or twice
        funds, funds_atto = subtract(funds, funds_atto, rate, rate_atto)
        blocks += 1
    return min(blocks, limit)


# --- at the edge ---------------------------------------------------------------------------------------------


def to_pair(atto: int) -> tuple[int, int]:
    """Return the pair of an amount counted in atto. Raises MoneyRangeError beyond WHOLE_MAX uve."""
    if abs(atto) > WHOLE_MAX * ATTO:
        raise MoneyRangeError(f"{format_amount(atto)} uve is outside the range of {WHOLE_MAX} uve")
    return divmod(int(atto), ATTO)


def from_pair(whole: int, atto: int) -> int:
    """Return the amount of a pair counted in atto, as a Python integer."""
    return int(whole) * ATTO + int(atto)
