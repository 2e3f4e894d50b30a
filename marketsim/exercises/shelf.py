"""The exercises by name, in the order of the training document."""

from __future__ import annotations

import difflib
import importlib
from typing import Final

from marketsim.errors import InputError
from marketsim.exercises.exercise import Exercise

_PLACES: Final = {
    "pricing": "pricing",
    "alerts": "alerts",
    "low-revenue": "low_revenue",
    "escrow": "escrow_monitoring",
    "settlement": "settlement",
    "capacity": "capacity",
    "incident-replay": "incident_replay",
    "filters": "filters",
}
"""The module of each, loaded when it is asked for; each has a constant EXERCISE."""

NAMES: Final = tuple(_PLACES)


def exercise_of(name: str) -> Exercise:
    """Return an exercise. Raises InputError for a name that there is not."""
    if name not in _PLACES:
        close = difflib.get_close_matches(name, NAMES, 1)
        meant = f"did you mean '{close[0]}'? " if close else ""
        raise InputError(f"'{name}' is no exercise, {meant}there are {', '.join(NAMES)}")
    found: Exercise = importlib.import_module(f"marketsim.exercises.{_PLACES[name]}").EXERCISE
    return found


def every_exercise() -> list[Exercise]:
    """Return all exercises."""
    return [exercise_of(name) for name in NAMES]
