"""What plain functions ask of the processor: eight columns at once, the lowest bit, rows brought near, a function at an address; as Python
here, as instructions when compiled (`table_set_numba`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

WORDS = 3
"""Words a table in the directory of a TableSet: address, rows, columns (1 for a line)."""
LINE = 64
"""Bytes that a processor fetches at once."""


def equal_eight(row: NDArray[Any], first: int, value: int) -> int:
    """Return which of the eight columns from `first` on hold `value`: bit k for column first + k. Compiled code asks all at once."""
    return sum(1 << k for k in range(8) if row[first + k] == value)


def lowest_bit(bits: int) -> int:
    """Return the number of the lowest bit that is set; `bits` is positive."""
    return (int(bits) & -int(bits)).bit_length() - 1


def add_eight(row: NDArray[Any], first: int, bits: int) -> None:
    """Add bit k of `bits` to the column first + k of a row, for eight columns; compiled code does it at once."""
    for k in range(8):
        row[first + k] += bits >> k & 1


def rarely(condition: bool) -> bool:
    """Return the condition; the compiler is told that it hardly ever holds, and keeps what follows from it out of the way.

    For refusals and for what few markets ask for: where it does hold, the way is longer, and nothing else is different.
    """
    return condition


PLAIN: dict[int, Callable[..., float]] = {}
"""What stands at an address where nothing is compiled: the function as Python."""


def score_at(
    address: int, price: float, lowest: float, ceiling: float, value: float, uptime: float, audited: float, home: float, provider: float
) -> float:
    """Return what the scalar function at an address makes of eight numbers: compiled code calls it there, with nothing between."""
    return PLAIN[address](price, lowest, ceiling, value, uptime, audited, home, provider)


def prefetch(_table: NDArray[Any], _row: int) -> None:
    """Have the processor bring a row near that will be read or written soon; in plain Python, do nothing.

    For rows that were last used long ago, asked for together: each wait for memory then overlaps the others.
    """


def prefetch_line(_table: NDArray[Any], _row: int) -> None:
    """Like `prefetch`, of the row's first cache line only."""
