"""Scenario files: read, checked with located errors, and turned into frozen values."""

from marketsim.scenario.load import load_scenario, scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.scenario.overrides import PathError, apply_override, decimals_at, known_path, path_problem

__all__ = [
    "PathError",
    "Scenario",
    "apply_override",
    "decimals_at",
    "known_path",
    "load_scenario",
    "path_problem",
    "scenario_from_mapping",
]
