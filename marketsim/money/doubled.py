"""Numbers as the sum of two floats, 100 bits and more: for quotients of money whose last digits are put right, or told to be in doubt, in
integers afterwards.

The sums and products are those of Dekker (A floating-point technique for extending the available precision, 1971) and Knuth (The Art of
Computer Programming 4.2.2): every step is exact to a relative 2^-102 as long as nothing overflows, compiled and as plain Python.
"""

from __future__ import annotations

from marketsim.kernel.compiled import compiled_inline

_SPLIT = 134_217_729.0  # 2^27 + 1
_ATTO = 1e18  # a float, exact
_HALF = 1_073_741_824  # 2^30


@compiled_inline
def product(a: float, b: float) -> tuple[float, float]:
    """Return a x b, exact."""
    high = a * b
    big_a = _SPLIT * a
    a_high = big_a - (big_a - a)
    big_b = _SPLIT * b
    b_high = big_b - (big_b - b)
    a_low, b_low = a - a_high, b - b_high
    return high, ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low


@compiled_inline
def total(a: float, b: float) -> tuple[float, float]:
    """Return a + b, exact."""
    high = a + b
    shown = high - a
    return high, (a - (high - shown)) + (b - shown)


@compiled_inline
def doubled_of(whole: int, atto: int) -> tuple[float, float]:
    """Return a pair of money in atto-uve, for 0 <= whole < 2^53."""
    high, low = product(float(whole), _ATTO)
    part, rest = total(float(atto // _HALF * _HALF), float(atto % _HALF))
    sum_high, sum_low = total(high, part)
    return total(sum_high, sum_low + (low + rest))


@compiled_inline
def doubled_times(a: float, a_low: float, b: float, b_low: float) -> tuple[float, float]:
    """Return a x b."""
    high, low = product(a, b)
    return total(high, low + (a * b_low + a_low * b))


@compiled_inline
def doubled_sum(a: float, a_low: float, b: float, b_low: float) -> tuple[float, float]:
    """Return a + b of two numbers >= 0."""
    high, low = total(a, b)
    return total(high, low + (a_low + b_low))


@compiled_inline
def doubled_quotient(a: float, a_low: float, b: float, b_low: float) -> tuple[float, float]:
    """Return a / b, b > 0."""
    first = a / b
    part, part_low = product(first, b)
    rest = ((a - part) - part_low) + (a_low - first * b_low)
    return total(first, rest / b)


@compiled_inline
def pair_of(high: float, low: float) -> tuple[int, int]:
    """Return a number of atto-uve, 0 <= number < 2^53 x 10^18, as a pair of money, off by three at most beside its own error."""
    whole = int(high / _ATTO)
    part, part_low = product(float(whole), _ATTO)
    atto = int(high - part) + int(low - part_low)
    if atto < 0:
        return whole - 1, atto + 1_000_000_000_000_000_000
    if atto >= 1_000_000_000_000_000_000:
        return whole + 1, atto - 1_000_000_000_000_000_000
    return whole, atto
