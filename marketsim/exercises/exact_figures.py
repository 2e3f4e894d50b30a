"""Answers that are figures: read as exact decimals, compared exactly, counted."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation, localcontext

DIGITS = 60
"""More than any amount, price or product of the exercises has."""


def figure_of(value: object) -> Decimal | None:
    """Return what somebody wrote as an exact number; a unit uve may stand behind it. None for what is no number."""
    text = str(value).strip().removesuffix("uve").strip().replace("_", "").replace(",", "")
    if isinstance(value, bool) or len(text) > DIGITS:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def right_figures(asked: Mapping[str, Decimal], mine: Mapping[str, object]) -> list[str]:
    """Return the names of the figures that are exactly right."""
    return [name for name, value in asked.items() if name in mine and figure_of(mine[name]) == value]


def shown_figure(value: Decimal) -> str:
    """An exact decimal without trailing zeros and without an exponent."""
    with localcontext() as context:
        context.prec = DIGITS
        text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
