"""Decimal strings as exact Python integers of 10^-18, each rounding by its name.

For the edges and for rules that are not compiled; what the compiled chain moves is a pair of int64.
"""

from __future__ import annotations

import re
from fractions import Fraction

from marketsim.money.units import ATTO, DECIMALS, UVE_PER_VE, WHOLE_MAX

_AMOUNT = re.compile(r"(?P<sign>[+-]?)(?P<whole>[0-9]+)(?:\.(?P<fraction>[0-9]+))?\s*(?P<unit>uve|VE)?", re.ASCII)
_ACCEPTED = "a decimal such as 0.000001uve or 0.5VE with at most 18 decimals"
_PLAIN = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_GO_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_DIGITS_MAX = 200
"""More than any amount has; Python takes quadratic time for more, or refuses them with an error of its own."""
_GO_DECIMAL_BITS = 315  # LegacyDec refuses what needs more: 256 bits and the 59 of eighteen decimals


class AmountError(ValueError):
    """A literal that is no amount of money; the message says what would be accepted."""


def scaled(sign: str, whole: str | None, fraction: str | None, digits: int) -> int | None:
    """The decimal number x 10^digits; None when it has more decimals than that or no digit at all."""
    if whole is None and fraction is None:
        return None
    kept = (fraction or "").rstrip("0")
    if len(kept) > digits:
        return None
    scale: int = 10**digits
    value = int((whole or "0").replace("_", "")) * scale + int(kept.ljust(digits, "0") or "0")
    return -value if sign == "-" else value


def parse_amount(text: str) -> int:
    """Return the amount that `text` names, counted in atto; a bare number is uve, `VE` is a million of them.

    Raises AmountError for anything else, for more than 18 decimals and beyond WHOLE_MAX uve.
    """
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise AmountError(f"{text!r} is not an amount, expected {_ACCEPTED}")
    fraction = match["fraction"] or ""
    if len(fraction) > DECIMALS:
        raise AmountError(f"{text!r} has {len(fraction)} decimals, expected {_ACCEPTED}")
    if len(match["whole"]) > 40:
        raise AmountError(f"{text[:20]!r}... is too large, expected at most {WHOLE_MAX}uve")
    atto = int(match["whole"]) * ATTO + int(fraction.ljust(DECIMALS, "0"))
    if match["unit"] == "VE":
        atto *= UVE_PER_VE
    if atto > WHOLE_MAX * ATTO:
        raise AmountError(f"{text!r} is too large, expected at most {WHOLE_MAX}uve")
    return -atto if match["sign"] == "-" else atto


def format_amount(atto: int, unit: str = "") -> str:
    """Return the amount as an exact decimal without trailing zeros, in uve, or in VE where the unit says
    so.
    """
    scale = DECIMALS + 6 if unit == "VE" else DECIMALS
    sign = "-" if atto < 0 else ""
    whole, fraction = divmod(abs(int(atto)), 10**scale)
    decimals = str(fraction).rjust(scale, "0").rstrip("0")
    return f"{sign}{whole}{'.' + decimals if decimals else ''}{unit}"


def parse_atto(text: str) -> int:
    """An exact decimal such as `0.00143792` in units of 10^-18.

    Raises ValueError for anything that is not a plain decimal, and for more than 18 decimals.
    """
    if len(text) > _DIGITS_MAX:
        raise ValueError(f"{text[:20]}… has {len(text)} letters, expected a decimal number such as 0.00143792")
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a decimal number, expected one such as 0.00143792")
    sign, whole, part = match[1], match[2], match[3] or ""
    if len(part) > DECIMALS:
        raise ValueError(f"{text!r} has {len(part)} decimals, at most {DECIMALS} are kept")
    value = int(whole) * ATTO + int(part.ljust(DECIMALS, "0"))
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
    if decimals > DECIMALS or _GO_INTEGER.fullmatch(joined) is None:
        return None
    sign = joined[0].strip("0123456789")
    digits = joined[len(sign) :].lstrip("0") or "0"
    if len(digits) > _DIGITS_MAX:
        return None
    value: int = int(sign + digits) * 10 ** (DECIMALS - decimals)
    return None if go_decimal_overflows(value) else -value if negative else value


def go_decimal_overflows(value: int) -> bool:
    """True where Cosmos' LegacyDec has no room for `value` (units of 10^-18) and aborts."""
    return abs(value).bit_length() > _GO_DECIMAL_BITS


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
