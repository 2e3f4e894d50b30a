"""Runs random scenarios that are asked for by number, a line each, in one mode, and prints what came out, a line each.

The mode is `MARKETSIM_COMPILE` of the process. As plain Python it also holds what each step adds to the tables against what it asked for.
"""

from __future__ import annotations

import hashlib
import json
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from random_scenarios import scenario_of

from marketsim.errors import InputError
from marketsim.kernel.compiled import COMPILING
from marketsim.market import loop, room
from marketsim.market.clock import BlockClock
from marketsim.scenario import scenario_from_mapping
from marketsim.simulation import run

SCENARIOS = Path(__file__).parents[2] / "scenarios"


class Asked:
    """Compares the rows that were added since the last look with those that were asked for then."""

    def __init__(self) -> None:
        self.looks = 0
        self._before: dict[str, int] | None = None
        self._most: dict[str, int] = {}
        self._has_rows = loop.has_rows
        loop.has_rows = self  # type: ignore[assignment]
        make_room = BlockClock.make_room

        def forget_and_make_room(clock: BlockClock, **asked: int) -> None:
            self.forget()  # what Python adds by hand is its own to ask for
            make_room(clock, **asked)

        BlockClock.make_room = forget_and_make_room  # type: ignore[method-assign]

    def __call__(self, s: Any, e: Any, orders: int, bids: int, entries: int, events: int) -> bool:
        g, x = s.globals, e.globals
        now = {
            "orders": g.orders, "groups": g.groups, "bids": g.bids, "accounts": g.accounts, "deposits": g.deposits, "leases": g.leases,
            "deployments": g.deployments, "usage": g.usage, "entries": x.calendar + x.waiting, "events": g.events, "offers": x.offers,
            "bits": g.bits, "declines": x.decline_rows, "bid rows": x.bids_rows,
        }  # fmt: skip
        now = {name: int(count) for name, count in now.items()}
        if self._before is not None:
            for name, count in now.items():
                assert count - self._before[name] <= self._most[name], (name, count - self._before[name], self._most, int(x.last_block))
        self.looks += 1
        roomy = self._has_rows(s, e, orders, bids, entries, events)
        few = 16  # what a step may add without asking: a few of the rows that every table has free
        self._before = now if roomy else None
        self._most = dict.fromkeys(now, few) | {
            "orders": orders, "groups": orders, "bids": bids, "accounts": bids + 1, "deposits": bids + 1, "deployments": 1, "leases": 1,
            "entries": entries + room.ENTRIES_AN_ORDER * orders + room.ENTRIES_A_BID * bids + few, "bits": bids, "bid rows": bids,
            "events": (events + room.EVENTS_A_BID * bids) if g.event_mask else 0,
            "offers": orders * int(x.providers), "declines": room.most_declines(e, orders, bids) * int(x.keep_bid_rows),
        }  # fmt: skip
        return bool(roomy)

    def forget(self) -> None:
        """Begin anew: what is added from here to the next look is another's."""
        self._before = None


def outcome_of(data: dict[str, Any], audit: bool) -> list[Any]:
    """Return fingerprint and a hash of the summary, or the refusal of a scenario."""
    try:
        result = run(scenario_from_mapping(data, SCENARIOS), audit=audit)
    except InputError as error:
        return ["refused", str(error)]
    except Exception:
        return ["broken", traceback.format_exc(limit=-4)]
    summary = {name: value for name, value in result.summary.items() if name not in {"timing", "versions"}}
    counts = summary["orders"]["created"], summary["leases"]["created"] if "created" in summary["leases"] else None
    text = json.dumps(summary, sort_keys=True, default=str)
    return [summary["fingerprint"], hashlib.sha256(text.encode()).hexdigest(), *counts]


def main() -> None:
    """Answer until there is nothing more to read."""
    warnings.simplefilter("ignore")
    asked = None if COMPILING else Asked()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        number, audit = json.loads(line)
        if asked is not None:
            asked.forget()
        print(json.dumps([number, audit, outcome_of(scenario_of(number), audit)]), flush=True)


if __name__ == "__main__":
    main()
