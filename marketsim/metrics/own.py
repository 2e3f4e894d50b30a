"""A metric of a user's own: what it is asked, and what its answer is held to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from marketsim.money.text import format_amount, half_even
from marketsim.money.units import ATTO
from marketsim.recording.record import Record
from marketsim.strategies import users_code

if TYPE_CHECKING:
    import pandas as pd

Figure = int | float | Decimal | None
"""A figure: a number, an exact amount of uve (Decimal), or None where the run has none."""
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_ .-]{0,79}")


class FinishedRun(Protocol):
    """A finished run as a metric sees it.

    >>> import marketsim as ms
    >>> def asked(run):
    ...     return len(run.frame("orders"))
    >>> asked(ms.run("tiny"))
    4
    """

    summary: Mapping[str, Any]
    """The mapping of summary.json as far as it is made: all but `metrics`."""
    record: Record
    """The tables as numpy columns, amounts as pairs of integers (whole uve, 10^-18 uve)."""

    def frame(self, table: str, *, exact: bool = False) -> pd.DataFrame:
        """Return a table as a frame, as `RunResult.frame` does: names in place of codes, amounts as float64 in uve."""


class Metric(Protocol):
    """A function of a finished run that gives a figure, or several by name.

    A scenario names one under `metrics:` with a name; the figure stands in summary.json as `metrics.<name>`, of several each as
    `metrics.<name>.<key>`, and is called so by sweeps, comparisons and conditions.

    >>> import marketsim as ms
    >>> def fee_share(run):
    ...     return run.summary["take_uve"] / run.summary["revenue"]["total_uve"] if run.summary["revenue"]["total_uve"] else None
    >>> ms.check_metric(fee_share)
    """

    def __call__(self, run: FinishedRun, /, *args: Any, **options: Any) -> Figure | Mapping[str, Figure]:
        """Return the figure of a run: a finite number, a Decimal for an exact amount in uve, None for none; or a mapping of those.

        `options` are what the scenario gives under `options:`; nothing else is handed over. It must depend on the run alone, change nothing
        of it and draw nothing. What it raises is told with file and line when the run is over, and the run is kept. With
        `record: summary` a run keeps no bids, settlements or events.
        """


def figures_of(metric: Metric, name: str, run: FinishedRun, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a metric says of a run, as summary.json holds it under `metrics`.

    Raises ValueError for what it raises and for what is no figure.
    """
    try:
        found = metric(run, **options)
        if isinstance(found, Mapping):
            found = dict(found)  # of a class of the user's, whose items are his code as well
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise ValueError(f"raises {users_code.raised(error)}, expected a number") from error
    if not isinstance(found, Mapping):
        return _written(name, found)
    figures: dict[str, Any] = {}
    for key, value in found.items():
        if not isinstance(key, str) or _KEY.fullmatch(key) is None or key.endswith("_uve"):
            raise ValueError(
                f"names a figure {users_code.answered(key)}, expected letters, digits, blanks, _, -, dots, and no _uve at its end"
            )
        figures |= _written(f"{name}.{key}", value)
    return figures


def _written(name: str, value: Any) -> dict[str, Any]:
    """A figure as JSON holds it; exact money as a text with the number beside it under `…_uve`."""
    if isinstance(value, Decimal) and _is_finite(value):
        exact = Fraction(value) * ATTO
        amount = half_even(exact.numerator, exact.denominator)
        return {name: format_amount(amount), f"{name}_uve": float(value)}
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()  # a number of numpy's
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value)):
        return {name: value}
    raise ValueError(f"gives {users_code.answered(value)} for {name}, expected a finite number, a Decimal for an amount in uve, or None")


def _is_finite(value: float | Decimal) -> bool:
    """Whether a number is one that JSON and a float hold."""
    try:
        return math.isfinite(float(value))
    except (OverflowError, ValueError):  # an integer of 400 digits, a signalling NaN
        return False


__all__ = ["Figure", "FinishedRun", "Metric", "figures_of"]
