"""marketsim simulates the VirtEngine compute marketplace: orders, bids, leases and their escrow, block by
block.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marketsim.errors import InputError, InvariantError
    from marketsim.exercises.lessons import StartedExercise, check_exercise, grade, list_exercises, new_course, start_exercise
    from marketsim.face.checks import coverage, diff, parity, run_bench
    from marketsim.face.experiments import SweepRuns, compare, optimize, risk, sweep
    from marketsim.face.exporting import Exported, export_run
    from marketsim.face.files import schema, validate
    from marketsim.face.finding import Finding
    from marketsim.face.gates import bisect, check, check_gate, make_baseline, make_capsule, verify_capsule
    from marketsim.face.market import Market
    from marketsim.face.prices import price
    from marketsim.face.projects import copy_scenario, init, scenarios
    from marketsim.face.runs import ReplicatedRuns, RunResult, load_result, replicate, run
    from marketsim.metrics.own import FinishedRun, Metric
    from marketsim.scenario import Scenario, load_scenario
    from marketsim.simulation.agents import Agent, AgentPort
    from marketsim.simulation.check_agent import check_agent
    from marketsim.simulation.check_fault import check_fault
    from marketsim.simulation.check_metric import check_metric
    from marketsim.simulation.users_faults import FaultScene, MarketFault
    from marketsim.strategies.check import check_strategy
    from marketsim.strategies.check_choice import check_choice_rule
    from marketsim.strategies.check_demand import check_demand
    from marketsim.strategies.choice import ChoiceRule, OfferedBid, OrderToLease, ScoringRule
    from marketsim.strategies.demand import DemandDay, DemandProcess
    from marketsim.strategies.hearing import LearningStrategy
    from marketsim.strategies.repriced_cost import RepricedCostPlusColumns
    from marketsim.strategies.requests import Prices
    from marketsim.strategies.rules import PriceRequest, Refusal, RefusalCode, Strategy
    from marketsim.strategies.virtengine import DaemonPricing

__version__ = "0.1.0"
__all__ = [
    "Agent",
    "AgentPort",
    "ChoiceRule",
    "DaemonPricing",
    "DemandDay",
    "DemandProcess",
    "Exported",
    "FaultScene",
    "Finding",
    "FinishedRun",
    "InputError",
    "InvariantError",
    "LearningStrategy",
    "Market",
    "MarketFault",
    "Metric",
    "OfferedBid",
    "OrderToLease",
    "PriceRequest",
    "Prices",
    "Refusal",
    "RefusalCode",
    "ReplicatedRuns",
    "RepricedCostPlusColumns",
    "RunResult",
    "Scenario",
    "ScoringRule",
    "StartedExercise",
    "Strategy",
    "SweepRuns",
    "bisect",
    "check",
    "check_agent",
    "check_choice_rule",
    "check_demand",
    "check_exercise",
    "check_fault",
    "check_gate",
    "check_metric",
    "check_strategy",
    "compare",
    "copy_scenario",
    "coverage",
    "diff",
    "export_run",
    "grade",
    "init",
    "list_exercises",
    "load_result",
    "load_scenario",
    "make_baseline",
    "make_capsule",
    "new_course",
    "optimize",
    "parity",
    "price",
    "replicate",
    "risk",
    "run",
    "run_bench",
    "scenarios",
    "schema",
    "start_exercise",
    "sweep",
    "validate",
    "verify_capsule",
]

_PLACES = {
    "errors": ("InputError", "InvariantError"),
    "scenario": ("Scenario", "load_scenario"),
    "face.runs": ("ReplicatedRuns", "RunResult", "load_result", "replicate", "run"),
    "face.checks": ("coverage", "diff", "parity", "run_bench"),
    "face.experiments": ("SweepRuns", "compare", "optimize", "risk", "sweep"),
    "face.gates": ("bisect", "check", "check_gate", "make_baseline", "make_capsule", "verify_capsule"),
    "face.exporting": ("Exported", "export_run"),
    "exercises.lessons": ("StartedExercise", "check_exercise", "grade", "list_exercises", "new_course", "start_exercise"),
    "face.files": ("schema", "validate"),
    "face.finding": ("Finding",),
    "face.market": ("Market",),
    "face.prices": ("price",),
    "face.projects": ("copy_scenario", "init", "scenarios"),
    "metrics.own": ("FinishedRun", "Metric"),
    "simulation.agents": ("Agent", "AgentPort"),
    "simulation.check_agent": ("check_agent",),
    "simulation.check_fault": ("check_fault",),
    "simulation.check_metric": ("check_metric",),
    "simulation.users_faults": ("FaultScene", "MarketFault"),
    "strategies.check": ("check_strategy",),
    "strategies.check_choice": ("check_choice_rule",),
    "strategies.check_demand": ("check_demand",),
    "strategies.choice": ("ChoiceRule", "OfferedBid", "OrderToLease", "ScoringRule"),
    "strategies.demand": ("DemandDay", "DemandProcess"),
    "strategies.repriced_cost": ("RepricedCostPlusColumns",),
    "strategies.virtengine": ("DaemonPricing",),
    "strategies.hearing": ("LearningStrategy",),
    "strategies.requests": ("Prices",),
    "strategies.rules": ("PriceRequest", "Refusal", "RefusalCode", "Strategy"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: `import marketsim` alone costs nothing."""
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_PLACE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    """Return the public names, those not loaded yet too."""
    return sorted({*globals(), *__all__})
