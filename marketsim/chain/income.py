"""What providers were paid, as the chain adds it up (`events.book_income`): a column a day, and two of the measured window."""

from __future__ import annotations

from marketsim.kernel.table_set import Table

NET, TAKE = -2, -1
"""Columns after the days: net pay-outs and the network's take in the window after warm-up."""


def paid_by_day(income: Table) -> Table:
    """Return net pay-outs in whole uve by provider and day: int64 (providers, days)."""
    return income[:, :NET]


def paid_in_window(income: Table) -> Table:
    """Return net pay-outs in whole uve by provider in the measured window: int64 (providers,)."""
    return income[:, NET]


def taken_in_window(income: Table) -> Table:
    """Return the network's take in whole uve by provider in the measured window: int64 (providers,)."""
    return income[:, TAKE]
