"""The days of a cohort whose demand a user's own process makes: asked one by one, each with a generator of its own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from marketsim.agents.streams import stream
from marketsim.scenario.model import Scenario
from marketsim.scenario.tenants import TenantCohort
from marketsim.strategies.demand import DemandDay, DemandProcess, load_demand, orders_of_day


def process_of(cohort: TenantCohort, scenario: Scenario) -> DemandProcess:
    """Return the demand process of a cohort, newly built. Raises InputError where it cannot be."""
    wish = cohort.demand
    return load_demand(wish.python or "", wish.options, (scenario.base,), f"tenants.{cohort.name}.demand.python")


def days_of(
    process: DemandProcess, cohort: TenantCohort, scenario: Scenario, seed: int, days: Iterable[int]
) -> list[dict[str, NDArray[np.float64]]]:
    """Return the columns of orders of some days, by time; of a day without orders `at_seconds` alone.

    Raises InputError for what the process raises, for what are no orders, and where one day has columns that another has not.
    """
    found: list[dict[str, NDArray[np.float64]]] = []
    given: dict[str, NDArray[np.float64]] = {}
    for number in days:
        day = DemandDay(number, scenario.start.time + timedelta(days=number), cohort.name, cohort.count)
        try:
            columns = orders_of_day(process, day, stream(seed, f"tenant/{cohort.name}/day/{number}/process"))
            if not len(columns["at_seconds"]):
                columns = {"at_seconds": columns["at_seconds"]}
            elif (given := given or columns).keys() != columns.keys():
                raise ValueError(f"day {number}: has the columns {', '.join(columns)}, and another day {', '.join(given)}")
        except ValueError as error:
            problem = f"{cohort.demand.python}: {error}"
            raise scenario.refusal(("tenants", cohort.name, "demand", "python"), problem) from error.__cause__
        found.append(columns)
    return found


__all__ = ["days_of", "process_of"]
