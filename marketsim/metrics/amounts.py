"""Exact amounts of money as text and as numbers."""

from __future__ import annotations

from marketsim.recording.record import ATTO, Column, LongTable, Table, exact


def exact_text(atto: int) -> str:
    """Return an amount of atto-uve as a decimal number of uve, exact, without needless zeros:
    `0.00143792`."""
    sign = "-" if atto < 0 else ""
    whole, fraction = divmod(abs(atto), ATTO)
    return f"{sign}{whole}.{fraction:018d}".rstrip("0").rstrip(".") if fraction else f"{sign}{whole}"


def number(atto: int) -> int | float:
    """Return an amount of atto-uve as a number of uve: an int when it is whole, else the nearest float."""
    whole, fraction = divmod(atto, ATTO)
    return whole if fraction == 0 else atto / ATTO


def half_even(numerator: int, denominator: int) -> int:
    """Return numerator / denominator rounded half to even; the denominator is positive."""
    quotient, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return quotient + (twice > denominator or (twice == denominator and quotient % 2 == 1))


def floats(table: Table, name: str) -> Column:
    """Return the money column `name` of a table as float64 uve, for figures and ratios only."""
    values: Column = table[f"{name}_whole"] + table[f"{name}_atto"] / ATTO
    return values


def pair(table: LongTable, name: str, row: int) -> int:
    """Return the amount in column `name` of one row, in atto-uve."""
    return exact(table[f"{name}_whole"][row], table[f"{name}_atto"][row])
