"""Runs random scenarios and random messages that are asked for by number, a line each, in one mode; prints what came out, a line each.

The mode is `MARKETSIM_COMPILE` of the process. As plain Python it also holds what each step adds to the tables against what it asked for.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

from random_scenarios import messages_of, scenario_of

from marketsim.chain.columns import G
from marketsim.chain.edge import Chain
from marketsim.chain.events import fingerprint
from marketsim.chain.ledger import recount_problems, totals
from marketsim.chain.rule_sets import QUIRKS, QUIRKS_OF, RULES
from marketsim.chain.status import Status
from marketsim.errors import InputError
from marketsim.kernel.modes import COMPILING
from marketsim.market import asking, loop, room
from marketsim.market.clock import BlockClock
from marketsim.scenario import load_scenario, scenario_from_mapping
from marketsim.simulation import run

QUIRK_NAMES = {quirk: name for name, quirk in QUIRKS.items()}
MESSAGES = 200
SCENARIOS = Path(__file__).parents[2] / "scenarios"


class Asked:
    """Compares the rows that were added since the last look with those that were asked for then."""

    def __init__(self) -> None:
        self.looks = 0
        self._before: dict[str, int] | None = None
        self._most: dict[str, int] = {}
        self._has_rows = loop.has_rows
        loop.has_rows = asking.has_rows = self  # type: ignore[assignment]
        make_room = BlockClock.make_room

        def forget_and_make_room(clock: BlockClock, **asked: int) -> None:
            self.forget()  # what Python adds by hand is its own to ask for
            make_room(clock, **asked)

        BlockClock.make_room = forget_and_make_room  # type: ignore[method-assign]
        fold_some = loop.fold_some

        def fold_some_apart(s: Any, e: Any, height: int) -> bool:  # it asks for each account by itself, as many as there are
            events = int(s.globals.events)
            done = fold_some(s, e, height)
            assert s.globals.events <= s.events.shape[0]
            if self._before is not None:
                self._before["events"] += int(s.globals.events) - events
            return bool(done)

        loop.fold_some = fold_some_apart  # type: ignore[assignment]

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


def outcome_of(data: dict[str, Any] | str, audit: bool) -> list[Any]:
    """Return fingerprint and a hash of the summary, or the refusal of a scenario: a mapping, or a path with overrides behind it."""
    try:
        if isinstance(data, str):
            path, *overrides = data.split("?")
            scenario = load_scenario(SCENARIOS / path, overrides)
        else:
            scenario = scenario_from_mapping(data, SCENARIOS)
        result = run(scenario, audit=audit)
    except InputError as error:
        return ["refused", str(error)]
    except Exception:
        return ["broken", traceback.format_exc(limit=-4)]
    summary = {name: value for name, value in result.summary.items() if name not in {"timing", "versions", "audit"}}
    counts = summary["orders"]["created"], summary["leases"].get("created")
    text = json.dumps(summary, sort_keys=True, default=str)
    return [summary["fingerprint"], hashlib.sha256(text.encode()).hexdigest(), *counts]


def answers_of(number: int, audit: bool) -> list[Any]:
    """Return the fingerprint of a chain after MESSAGES random messages, a hash of what it answered and holds, and how many were Ok."""
    chance = random.Random(f"messages/{number}")
    rules = chance.choice(("seed", "virtengine", "akash"))
    quirks = [QUIRK_NAMES[quirk] for quirk in sorted(QUIRKS_OF[RULES[rules]]) if chance.random() < 0.3]
    start = {"wallets": {"ada": 10**7, "ben": 3_000, "north": 10**6, "south": 900}, "providers": {"north": {}, "south": {}, "p0-0": {}}}
    charging = chance.choice(("rate", "usage_capped", "usage")) if rules == "seed" else None
    params = {G.bid_min_deposit: 500, G.deployment_min_deposit: 1}
    chain = Chain(rules, quirks, start=start, charging=charging, params=params)
    digest, height, done = hashlib.sha256(), 1, 0
    for message in messages_of(chance, MESSAGES, MESSAGES):
        height = max(height, int(message.pop("height")))
        (receipt,), events = chain.execute_block(height, [message])
        done += receipt.status == Status.Ok
        digest.update(json.dumps([receipt.result, events], default=str).encode())
        if audit:
            assert recount_problems(chain.state) == []
    digest.update(json.dumps(totals(chain.state), default=str).encode())
    return [fingerprint(chain.state), digest.hexdigest(), done, MESSAGES]


def main() -> None:
    """Answer until there is nothing more to read: `[kind, what, audit]` with the number of a scenario or of messages, or a file."""
    warnings.simplefilter("ignore")
    asked = None if COMPILING else Asked()
    for line in sys.stdin:
        kind, what, audit = json.loads(line)
        if asked is not None:
            asked.forget()
        if kind == "messages":
            outcome = answers_of(what, audit)
        else:
            outcome = outcome_of(scenario_of(what) if kind == "scenario" else what, audit)
        print(json.dumps([kind, what, audit, outcome]), flush=True)


if __name__ == "__main__":
    main()
