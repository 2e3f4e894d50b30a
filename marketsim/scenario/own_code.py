"""How a scenario names code of its author's: `module:Class`, or an entry point of an installed package, with options."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationInfo

from marketsim.scenario.literals import shown
from marketsim.strategies.find import is_reference


def own_reference(value: str | None, form: str) -> str | None:
    """Return the name as it is; ValueError for what can name nothing. `form` is how one that stands in a file is written."""
    if value is not None and not is_reference(value):
        raise ValueError(f"{shown(value)} names nothing, write {form} or the name of an entry point")
    return value


def own_options(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Return the options as they are; ValueError where `python`, which stands before them, is not given."""
    if value and "python" in info.data and info.data["python"] is None:
        raise ValueError("is for a class of your own, give it beside python")
    return value


__all__ = ["own_options", "own_reference"]
