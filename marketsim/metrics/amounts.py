"""Exact amounts of money as numbers."""

from __future__ import annotations

from marketsim.money.units import ATTO
from marketsim.recording.record import Column, LongTable, Table, exact


def number(atto: int) -> int | float:
    """Return an amount of atto-uve as a number of uve: an int when it is whole, else the nearest float."""
    whole, fraction = divmod(atto, ATTO)
    return whole if fraction == 0 else atto / ATTO


def floats(table: Table, name: str) -> Column:
    """Return the money column `name` of a table as float64 uve, for figures and ratios only."""
    values: Column = table[f"{name}_whole"] + table[f"{name}_atto"] / ATTO
    return values


def pair(table: LongTable, name: str, row: int) -> int:
    """Return the amount in column `name` of one row, in atto-uve."""
    return exact(table[f"{name}_whole"][row], table[f"{name}_atto"][row])
