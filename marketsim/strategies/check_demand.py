"""Hold a demand process to its contract: a battery that anybody may run on his own class."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketsim.strategies import users_code
from marketsim.strategies.demand import DemandDay, DemandProcess, orders_of_day

_MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
_Day = dict[str, NDArray[np.float64]]


class DemandError(AssertionError):
    """A demand process breaks its contract; one line for each promise that it does not keep."""

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


def check_demand(process: DemandProcess | Callable[[], DemandProcess], *, days: int = 8, tenants: int = 10) -> None:
    """Raise DemandError unless a demand process keeps every promise of `DemandProcess` on `days` days of a cohort of `tenants` tenants.

    Give a factory (a class, a lambda) where you can: only then it is tried that two equal processes answer alike. Promises: every day gets
    columns of orders within their bounds; a day depends on nothing but itself and its generator, so that asking backwards, again, and a
    fresh object changes nothing; all draws come from that generator.

    >>> import marketsim as ms
    >>> class Hourly:
    ...     def orders(self, day, rng):
    ...         return {"at_seconds": range(0, 86_400, 3_600)}
    >>> ms.check_demand(Hourly)
    """
    asked = [DemandDay(at, _MONDAY + timedelta(days=at), "trial", tenants) for at in range(days)]
    try:
        state = _global_state()
        subject = _made(process)
        first = _story(subject, asked)
        failures = ["orders draws from a global random generator, expected draws from rng"] if _global_state() != state else []
        if first is not None and not failures:
            failures += _unlike(process, subject, asked, first)
    except ValueError as error:
        raise DemandError([str(error)]) from error.__cause__
    if failures:
        raise DemandError(failures)


def _made(process: Any) -> DemandProcess:
    try:
        subject = process if hasattr(process, "orders") and not isinstance(process, type) else process()
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise DemandError([f"it cannot be built: {users_code.raised(error)}"]) from error
    if not callable(getattr(subject, "orders", None)):
        raise DemandError(["it has no method orders(day, rng)"])
    made: DemandProcess = subject
    return made


def _story(subject: DemandProcess, asked: Sequence[DemandDay]) -> list[_Day]:
    return [orders_of_day(subject, day, np.random.Generator(np.random.Philox(key=day.number))) for day in asked]


def _unlike(process: Any, subject: DemandProcess, asked: Sequence[DemandDay], first: Sequence[_Day]) -> Iterator[str]:
    backwards = _story(subject, asked[::-1])[::-1]
    if (at := _other_day(first, backwards)) is not None:
        yield f"day {at} comes out otherwise when days are asked for backwards, expected a day that depends on itself and rng alone"
        return
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        random.seed(1)
        np.random.seed(1)
        if (at := _other_day(first, _story(_made(process), asked))) is not None:
            yield f"day {at} comes out otherwise from a fresh object, expected draws from rng and nothing that is kept"
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


def _other_day(some: Sequence[_Day], others: Sequence[_Day]) -> int | None:
    for at, (one, other) in enumerate(zip(some, others, strict=True)):
        if one.keys() != other.keys() or any(not np.array_equal(one[name], other[name]) for name in one):
            return at
    return None


def _global_state() -> tuple[Any, ...]:
    name, key, position, *gauss = np.random.get_state()
    return random.getstate(), name, np.asarray(key).tobytes(), position, *gauss


__all__ = ["DemandError", "check_demand"]
