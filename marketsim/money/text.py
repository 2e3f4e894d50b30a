"""Decimal strings as exact Python integers of 10^-18, each rounding by its name.

For the edges and for rules that are not compiled; what the compiled chain moves is a pair of int64.
"""

from __future__ import annotations

import re
from fractions import Fraction

PLACES = 18
ATTO = 10**PLACES
"""Units of 10^-18 in one uve."""

_PLAIN = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_GO_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_GO_DECIMAL_BITS = 315  # LegacyDec refuses what needs more: 256 bits and the 59 of eighteen decimals


def parse_atto(text: str) -> int:
    """An exact decimal such as `0.00143792` in units of 10^-18.

    Raises ValueError for anything that is not a plain decimal, and for more than 18 decimals.
    """
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a decimal number, expected one such as 0.00143792")
    sign, whole, part = match[1], match[2], match[3] or ""
    if len(part) > PLACES:
        raise ValueError(f"{text!r} has {len(part)} decimals, at most {PLACES} are kept")
    value: int = int(whole) * ATTO + int(part.ljust(PLACES, "0"))
    return -value if sign == "-" else value


def parse_go_decimal(text: str) -> int | None:
    """A decimal as Cosmos' `LegacyNewDecFromStr` reads it, in units of 10^-18, or None where that one errs.

    It errs on the empty string, exponents, more than 18 decimals, and a point without something on both
    sides. It takes a second sign after a minus (`-+1`, `--1`): it strips one and leaves the rest to the
    integer parser.
    """
    negative = text.startswith("-")
    body = text[1:] if negative else text
    parts = body.split(".")
    if len(parts) > 2 or not parts[0] or not parts[-1]:
        return None
    decimals = len(parts[1]) if len(parts) == 2 else 0
    joined = "".join(parts)
    if decimals > PLACES or _GO_INTEGER.fullmatch(joined) is None:
        return None
    value: int = int(joined) * 10 ** (PLACES - decimals)
    return None if go_decimal_overflows(value) else -value if negative else value


def go_decimal_overflows(value: int) -> bool:
    """True where Cosmos' LegacyDec has no room for `value` (units of 10^-18) and aborts."""
    return abs(value).bit_length() > _GO_DECIMAL_BITS


def show_atto(value: int) -> str:
    """`value` (units of 10^-18) as a plain decimal without trailing zeros: `0.00143792`, `88`, `-0.5`."""
    whole, part = divmod(abs(value), ATTO)
    text = f"{whole}.{part:018d}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def truncate(numerator: int, denominator: int) -> int:
    """The quotient without its fraction, towards zero; `denominator` is positive."""
    return numerator // denominator if numerator >= 0 else -(-numerator // denominator)


def half_even(numerator: int, denominator: int) -> int:
    """The integer nearest to the quotient, a tie to the even one; `denominator` is positive."""
    quotient, rest = divmod(numerator, denominator)
    double = 2 * rest
    return quotient + (double > denominator or (double == denominator and quotient & 1 == 1))


def multiply_half_even(left: int, right: int) -> int:
    """The product of two decimals of 10^-18, rounded half to even there (Cosmos' `LegacyDec.Mul`)."""
    return half_even(left * right, ATTO)


def nearest_binary(value: Fraction, bits: int) -> Fraction:
    """The binary floating-point number with `bits` of mantissa nearest to `value` >= 0, ties to even.

    53 bits are C's `double`, 64 its `long double` on x86. Exponents are taken as unbounded.
    """
    if value == 0:
        return value
    shift = bits - (value.numerator.bit_length() - value.denominator.bit_length())
    scaled = value * Fraction(2) ** shift
    # the quotient of the two has `bits` or `bits` + 1 binary digits
    if scaled >= 1 << bits:
        shift -= 1
        scaled = value * Fraction(2) ** shift
    return half_even(scaled.numerator, scaled.denominator) / Fraction(2) ** shift


def show_fixed(value: Fraction, places: int) -> str:
    """`value` >= 0 with exactly `places` decimals, half to even (C's `printf("%.*f")` of an exact value)."""
    scaled = value * 10**places
    digits = str(half_even(scaled.numerator, scaled.denominator)).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits
