"""Try a user's agent in a small market: a battery that anybody may run on his own function."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from marketsim.errors import InputError
from marketsim.scenario.load import scenario_from_mapping

_MODULE = "marketsim_checked_agent"
_CAPACITY = {"cpu": 16_000, "memory": "128Gi", "storage": "4Ti"}
TRIAL: dict[str, Any] = {
    "name": "trial",
    "horizon": "1d",
    "charging": "rate",
    "tenants": [
        {
            "name": "web",
            "count": 4,
            "wallet": "10000VE",
            "demand": {"orders": 60},
            "order": {"cpu": {"choice": {"values": [500, 2000]}}, "memory": "1Gi", "storage": "1Gi"},
            "ceiling": {"uniform": ["5uve", "20uve"]},
            "duration": {"exponential": {"mean": "2h"}},
            "deposit": {"blocks": 7200},
        }
    ],
    "providers": [{"name": "others", "count": 3, "spread": 0.2, "capacity": {"cpu": 8000, "memory": "64Gi", "storage": "1Ti"}}],
}
"""A day of sixty orders of four tenants, for three providers."""


class AgentError(AssertionError):
    """An agent breaks what it is held to; the text says how."""


def check_agent(function: Callable[[Any], Any], *, provider: bool = False, options: Mapping[str, Any] | None = None) -> None:
    """Raise AgentError unless `function` gets through a day of a small market, alike twice over, and leaves global generators alone.

    It must be a generator function of one argument, raise nothing, yield what the port gives, go on at most so often within a millisecond,
    and draw from `me.rng` alone. `provider` gives it a provider of 16 cores, `options` are its `me.options`.

    >>> import marketsim as ms
    >>> def bidder(me):
    ...     order = yield me.next_order(me.may_bid)
    ...     yield me.outcome(me.bid(order, "2uve"))
    >>> ms.check_agent(bidder, provider=True)
    """
    if not inspect.isgeneratorfunction(function):
        raise AgentError("it is no generator function, write `def agent(me):` with at least one yield")
    state = global_state()
    first = _played(function, provider, options or {})
    if global_state() != state:
        raise AgentError("it draws from a global random generator, expected draws from me.rng")
    if _played(function, provider, options or {}) != first:
        raise AgentError("it acts otherwise the second time: it keeps something between runs, or draws from elsewhere than me.rng")


def global_state() -> tuple[Any, ...]:
    """Return where the global random generators stand."""
    name, key, position, *gauss = np.random.get_state()
    return random.getstate(), name, np.asarray(key).tobytes(), position, *gauss


def _played(function: Callable[[Any], Any], provider: bool, options: Mapping[str, Any]) -> Any:
    from marketsim.simulation.run import run

    agent: dict[str, Any] = {"name": "agent", "python": f"{_MODULE}:agent", "options": dict(options)}
    if provider:
        agent["provider"] = {"capacity": dict(_CAPACITY)}
    module = ModuleType(_MODULE)
    module.__dict__["agent"] = function
    sys.modules[_MODULE] = module
    try:
        result = run(scenario_from_mapping(TRIAL | {"agents": [agent]}))
    except InputError as error:
        raise AgentError(str(error)) from error
    finally:
        sys.modules.pop(_MODULE, None)
    logs = {name: {key: column.tolist() for key, column in log.items()} for name, log in result.record.logs.items()}
    return result.summary["fingerprint"], repr(logs)


__all__ = ["TRIAL", "AgentError", "check_agent", "global_state"]
