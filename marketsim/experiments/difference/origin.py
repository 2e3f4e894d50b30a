"""What a run was made with: the code, the versions and the files beside its scenario, so that it can be made again or be told apart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from marketsim.experiments.runs.execute import package_hash
from marketsim.experiments.runs.files_read import Contents
from marketsim.scenario.model import Scenario
from marketsim.simulation.play import versions

COMPARED = ("marketsim", "numpy", "numba", "simpy", "python", "machine")
"""Versions that a fingerprint may depend on."""


@cache
def code() -> str:
    """Return the hash of marketsim's sources as they run here, 16 hex digits."""
    return package_hash()


def origin_of(scenario: Scenario) -> dict[str, str]:
    """Return what a results folder remembers of a run: the folder of the scenario's files, the code's hash, and that of the files read."""
    contents = Contents(scenario.base).digest(scenario.effective())
    return {"folder": str(scenario.base.resolve()), "code": code(), "contents": contents}


def other_than_here(recorded: Mapping[str, Any], origin: Mapping[str, Any] | None) -> list[str]:
    """Return in words what a run was made with that is not what is installed here: `numpy 2.1.0, here 2.4.1`."""
    here = versions()
    found = [f"{name} {recorded.get(name, 'unknown')}, here {here.get(name)}" for name in COMPARED if recorded.get(name) != here.get(name)]
    if origin is None:
        found.append("sources that the folder does not name (written before trails were)")
    elif origin.get("code") != code():
        found.append(f"sources {origin.get('code')}, here {code()}")
    return found
