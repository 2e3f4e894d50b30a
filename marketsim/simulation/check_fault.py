"""Try a user's own fault in a small market: a battery that anybody may run on his own function or class."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from marketsim.errors import InputError
from marketsim.scenario.load import scenario_from_mapping
from marketsim.simulation.check_agent import TRIAL, global_state

_MODULE = "marketsim_checked_fault"
_PRICES = {"cpu_millicores": "0.002uve", "memory_mb": "0.0002uve", "storage_mb": "0.00002uve", "gpu": "1uve"}
_FILE = {"bid_engine": {"min_profit_margin": 10, "max_concurrent_bids": 50, "pricing": _PRICES}}
"""The provider file of the three, which a fault may change."""


class FaultError(AssertionError):
    """A user's fault breaks what it is held to; the text says how."""


def check_fault(fault: Any, *, options: Mapping[str, Any] | None = None, **selectors: Any) -> None:
    """Raise FaultError unless `fault`, a function or class (`MarketFault`), gets through a day of a small market, alike twice over.

    It begins after six hours and ends three hours later. It must raise nothing, say something when it begins, give messages that are some
    and that nobody refuses, draw from `scene.rng` alone, and keep nothing between runs. `options` are its `scene.options`,
    `selectors` those of a scenario's fault (`provider`, `cohort`, `tenant`, `share`), by default the cohort `others` of three providers;
    tenants are `web`, four of them.
    """
    state = global_state()
    first = _played(fault, options or {}, selectors or {"cohort": "others"})
    if global_state() != state:
        raise FaultError("it draws from a global random generator, expected draws from scene.rng")
    if _played(fault, options or {}, selectors or {"cohort": "others"}) != first:
        raise FaultError("it does otherwise the second time: it keeps something between runs, or draws from elsewhere than scene.rng")


def _played(fault: Any, options: Mapping[str, Any], selectors: Mapping[str, Any]) -> Any:
    from marketsim.simulation.run import run

    entry = {"at": "6h", "lasts": "3h", "kind": "python", "name": "trial", "python": f"{_MODULE}:fault", "options": dict(options)}
    module = ModuleType(_MODULE)
    module.__dict__["fault"] = fault
    sys.modules[_MODULE] = module
    try:
        providers = [cohort | {"config": _FILE} for cohort in TRIAL["providers"]]
        result = run(scenario_from_mapping(TRIAL | {"providers": providers, "faults": [entry | dict(selectors)]}))
    except InputError as error:
        raise FaultError(str(error)) from error
    finally:
        sys.modules.pop(_MODULE, None)
    receipts = result.summary["messages"]["receipts"]
    said = [each for each in receipts if each["id"] != "trial"]
    if not any(each["height"] == receipts[0]["height"] for each in said):
        raise FaultError("it says nothing when it begins, expected at least one message")
    for each in said:
        if each["result"] != "ok":
            raise FaultError(f"its message {each['op']} {each['id']} in block {each['height']} is answered {each['result']}, expected ok")
    return result.summary["fingerprint"], repr(receipts)


__all__ = ["FaultError", "check_fault"]
