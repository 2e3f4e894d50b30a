"""Says what a sweep would do and how long it would take, from a pilot that leaves nothing behind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from marketsim.experiments.runs.execute import Outcome, Runner, attempt
from marketsim.experiments.sweep.plan import SweepPlan
from marketsim.kernel.compiled import is_cache_cold

_REPORT_SECONDS = 5.0


@dataclass(frozen=True)
class DryRun:
    """A sweep before its first run; seconds are estimates."""

    plan: SweepPlan
    runs_least: int
    runs_most: int
    pilot: tuple[Outcome, ...]
    workers: int
    compile_seconds: float = 0.0
    """How long the dry run compiled; 0 where everything was compiled before."""
    compiles_again: bool = False
    """Whether the sweep has to compile as well, because there is no place to keep what was compiled."""

    @property
    def run_seconds(self) -> float:
        """Mean time of a pilot run."""
        return sum(outcome.seconds for outcome in self.pilot) / len(self.pilot)

    def seconds(self, runs: int) -> float:
        """Estimated time of the whole command for a number of runs, compiling included where it has to."""
        compiling = self.compile_seconds if self.compiles_again else 0.0
        return runs * self.run_seconds / self.workers + _REPORT_SECONDS + compiling

    def as_json(self) -> dict[str, Any]:
        """Plain data: the design, the number of runs and the estimate."""
        sweep = self.plan.sweep
        return {
            "sweep": sweep.name,
            "design": sweep.design.kind,
            "factors": [factor.name for factor in sweep.factors],
            "points": [list(point.labels()) for point in self.plan.design.points],
            "removed": self.plan.design.removed,
            "runs": {"least": self.runs_least, "most": self.runs_most},
            "pilot": {
                "runs": len(self.pilot),
                "seconds_a_run": round(self.run_seconds, 4),
                "failed": [outcome.message for outcome in self.pilot if outcome.status != "ok"],
            },
            "workers": self.workers,
            "compiling": {"seconds": round(self.compile_seconds, 1), "again": self.compiles_again},
            "estimate_seconds": {
                "least": round(self.seconds(self.runs_least), 1),
                "most": round(self.seconds(self.runs_most), 1),
            },
        }


def dry_run(plan: SweepPlan, runner: Runner, workers: int) -> DryRun:
    """Count a sweep's runs and time a pilot of its first, middle and last point.

    The first pilot run is made twice and counted once: it pays for imports and compilation.
    """
    count = len(plan.design.points)
    chosen = sorted({0, count // 2, count - 1})
    cold = is_cache_cold()
    began = time.perf_counter()
    attempt(runner, plan.task(0, 0))
    first = time.perf_counter() - began
    outcomes = []
    for point in chosen:
        started = time.perf_counter()
        outcome = attempt(runner, plan.task(point, 0))
        outcomes.append(Outcome(outcome.status, outcome.message, time.perf_counter() - started))
    least, most = run_bounds(plan)
    compiled = max(0.0, first - outcomes[0].seconds) if cold else 0.0
    return DryRun(plan, least, most, tuple(outcomes), workers, compiled, cold and is_cache_cold())


def run_bounds(plan: SweepPlan) -> tuple[int, int]:
    """The least and the most runs that the sweep's rule of replications can ask for."""
    rule = plan.sweep.replications
    count = len(plan.design.points)
    if rule.fixed is not None:
        return count * rule.fixed, count * rule.fixed
    least = count * min(rule.round, rule.most) if rule.until is not None else count * rule.most
    most = count * rule.most
    if rule.budget is not None and rule.budget.runs is not None:
        least, most = min(least, rule.budget.runs), min(most, rule.budget.runs)
    if rule.budget is not None and rule.budget.seconds is not None:
        least = min(least, count * rule.round)
    return least, most
