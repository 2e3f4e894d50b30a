"""A demand process of a user's own: what it is asked, what it answers, what its answer is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marketsim.chain.limits import CPU_MAX, CPU_MIN, GPU_MAX, MEMORY_MAX, MEMORY_MIN, VOLUME_MAX, VOLUME_MIN
from marketsim.errors import InputError
from marketsim.money.units import DAY_MS, SECOND_MS
from marketsim.strategies import users_code
from marketsim.strategies.check import built_object
from marketsim.strategies.find import DEMAND

DAY_SECONDS: Final = DAY_MS // SECOND_MS
ORDERS_MAX: Final = 10_000_000
"""Orders that a cohort may make in a day."""


@dataclass(frozen=True, slots=True)
class DemandDay:
    """The day that a demand process is asked about.

    `number` counts days of 86,400 s from the start of the run, 0 first; `start` is the moment at which it begins (UTC); `cohort` is the
    cohort's name and `tenants` how many it has.

    >>> import marketsim as ms
    >>> from datetime import datetime
    >>> ms.DemandDay(0, datetime(2026, 1, 5), "web", 10).start.weekday()
    0
    """

    number: int
    start: datetime
    cohort: str
    tenants: int


class DemandProcess(Protocol):
    """When the orders of a cohort arrive and, if it likes, how large they are.

    A scenario names one by `demand: {python: module:Class, options: {…}}`; it is built with the options as keyword arguments.

    >>> import marketsim as ms
    >>> class Mornings:
    ...     def orders(self, day, rng):
    ...         return {"at_seconds": rng.uniform(6 * 3600, 12 * 3600, rng.poisson(day.tenants))}
    >>> ms.check_demand(Mornings)
    """

    def orders(self, day: DemandDay, rng: np.random.Generator) -> Mapping[str, ArrayLike]:
        """Return the orders of one day as columns of equal length, a row an order, in any order.

        `at_seconds` is needed: seconds after the day's start, from 0 to below 86400, read to the millisecond. What else may be there
        takes the place of what the cohort draws: `cpu` (whole millicores), `memory` and `storage` (whole bytes), `gpu` (whole),
        `duration_seconds` (above 0) and `tenant` (the tenant's number in its cohort, 0 first).

        `rng` comes from a stream of seed, cohort and day: all draws are to come from it. A day must depend on nothing but `day` and
        `rng`: days may be asked for in any order, more than once, and by themselves. What is raised ends the run with file and line.
        """


class _Bounds(NamedTuple):
    low: float
    high: float
    whole: bool
    unit: str
    open_end: bool = False
    open_start: bool = False

    def wanted(self) -> str:
        first = f"above {self.low:.0f}" if self.open_start else f"{self.low:.0f}"
        return f"{self.unit} from {first} to {'below ' if self.open_end else ''}{self.high:.0f}"

    def wrong(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        bad = ~np.isfinite(values) | (values < self.low) | (values > self.high)
        if self.whole:
            bad |= values != np.floor(values)
        if self.open_end:
            bad |= values == self.high
        if self.open_start:
            bad |= values == self.low
        return bad


_COLUMNS: Final = {
    "at_seconds": _Bounds(0, DAY_SECONDS, False, "seconds after the day's start", open_end=True),
    "cpu": _Bounds(CPU_MIN, CPU_MAX, True, "whole millicores"),
    "memory": _Bounds(MEMORY_MIN, MEMORY_MAX, True, "whole bytes"),
    "storage": _Bounds(VOLUME_MIN, VOLUME_MAX, True, "whole bytes"),
    "gpu": _Bounds(0, GPU_MAX, True, "whole GPUs"),
    "duration_seconds": _Bounds(0, 100 * 366 * DAY_SECONDS, False, "seconds", open_start=True),
    "tenant": _Bounds(0, 0, True, "numbers of tenants"),
}


def load_demand(spec: str, options: Mapping[str, Any], search: Sequence[Path] = (), where: str = "demand") -> DemandProcess:
    """Return the demand process that `spec` names, built with `options`.

    `spec` is module:Class, looked for in the folders of `search`, then on the import path, or the name of an entry point of the group
    `marketsim.demand`. Raises InputError, beginning with `where`, for what is not there, cannot be built or has no method `orders`.
    """
    process = built_object(spec, options, search, where, DEMAND)
    if not callable(getattr(process, "orders", None)):
        raise InputError(f"{where}: {spec} has no method orders(day, rng), expected a demand process")
    found: DemandProcess = process
    return found


def orders_of_day(process: DemandProcess, day: DemandDay, rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a day's orders, float64, by time; raises ValueError, in words that follow `process day n:`, for what the
    process raises and for what are no orders."""
    try:
        found = process.orders(day, rng)
        columns = _columns_of(found)
    except ValueError as error:
        if isinstance(error, _WrongOrdersError):
            raise ValueError(f"day {day.number}: {error}") from None
        raise ValueError(f"day {day.number}: orders raises {users_code.raised(error)}, expected columns of orders") from error
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise ValueError(f"day {day.number}: orders raises {users_code.raised(error)}, expected columns of orders") from error
    problem = _problem(columns, day)
    if problem is not None:
        raise ValueError(f"day {day.number}: {problem}")
    by_time = np.argsort(columns["at_seconds"], kind="stable")
    return {name: column[by_time] for name, column in columns.items()}


class _WrongOrdersError(ValueError):
    """An answer of a demand process that is no columns of orders."""


def _columns_of(found: Any) -> dict[str, NDArray[np.float64]]:
    if not hasattr(found, "keys"):
        raise _WrongOrdersError(f"orders returns {users_code.answered(found)}, expected a mapping such as {{'at_seconds': […]}}")
    columns: dict[str, NDArray[np.float64]] = {}
    for name in found.keys():  # noqa: SIM118  (a frame has keys, and no membership test of them by iteration)
        if name not in _COLUMNS:
            raise _WrongOrdersError(f"{users_code.answered(name)} is no column of orders, columns are {', '.join(_COLUMNS)}")
        try:
            column = np.asarray(found[name], np.float64)
        except (TypeError, ValueError):
            raise _WrongOrdersError(f"{name} is {users_code.answered(found[name])}, expected numbers, one an order") from None
        if column.ndim != 1:
            raise _WrongOrdersError(f"{name} has the shape {column.shape}, expected one number an order")
        columns[str(name)] = column
    return columns


def _problem(columns: Mapping[str, NDArray[np.float64]], day: DemandDay) -> str | None:
    if "at_seconds" not in columns:
        return "at_seconds is missing, expected the seconds after the day's start at which orders arrive"
    count = len(columns["at_seconds"])
    if count > ORDERS_MAX:
        return f"{count:,} orders, accepted are {ORDERS_MAX:,} a day"
    for name, values in columns.items():
        if len(values) != count:
            return f"{name} has {len(values)} numbers and at_seconds {count}, expected one an order in each"
        rule = _COLUMNS[name]._replace(high=day.tenants - 1) if name == "tenant" else _COLUMNS[name]
        wrong = np.flatnonzero(rule.wrong(values))
        if len(wrong):
            return f"{name} of order {wrong[0]} is {values[wrong[0]]:g}, expected {rule.wanted()}"
    return None


__all__ = ["DemandDay", "DemandProcess", "load_demand", "orders_of_day"]
