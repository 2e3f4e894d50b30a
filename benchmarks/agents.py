"""Counts what users' agents do in a second: wakings, bids and messages, beside a run of `tiny` in the same process.

    python benchmarks/agents.py [--json]

An agent's event is a step of its generator: it wakes, looks at something, does something. Prints events a second of processor time of three
kinds of agent, and the time of an event over that of a run of `tiny` under `charging: rate`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from marketsim.scenario.load import load_scenario, scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.simulation.run import run

TINY = Path(__file__).parents[1] / "scenarios" / "tiny.yaml"
COUNTED = [0]


def sleeps(me: Any) -> Any:
    while True:
        yield me.sleep("1m")
        COUNTED[0] += 1


def blocks(me: Any) -> Any:
    while True:
        yield me.block()
        COUNTED[0] += 1


def bids(me: Any) -> Any:
    while True:
        order = yield me.next_order()
        COUNTED[0] += 1
        lowest = me.lowest_bid(order)
        me.bid(order, lowest * 99 // 100 if lowest else order.ceiling // 2)
        COUNTED[0] += 1


def market(kind: str, horizon: str, count: int) -> Scenario:
    agent: dict[str, Any] = {"name": "agent", "python": f"benchmark_agents:{kind}", "count": count}
    if kind == "bids":
        agent["provider"] = {"capacity": {"cpu": "1000 cores", "memory": "4Ti", "storage": "100Ti"}}
    tenant = {
        "name": "web",
        "count": 20,
        "wallet": "1000000VE",
        "demand": {"arrivals": "200/h"},
        "order": {"cpu": 1000, "memory": "1Gi", "storage": "1Gi"},
        "ceiling": "50uve",
        "duration": "1h",
        "deposit": {"blocks": 1200},
    }
    provider = {"name": "others", "count": 3, "capacity": {"cpu": 64000, "memory": "1Ti", "storage": "10Ti"}}
    return scenario_from_mapping(
        {"name": kind, "horizon": horizon, "charging": "rate", "tenants": [tenant], "providers": [provider], "agents": [agent]}
    )


def measured(kind: str, horizon: str, count: int) -> dict[str, float]:
    run(market(kind, "1h", count))
    COUNTED[0] = 0
    scenario = market(kind, horizon, count)
    begun = time.process_time()
    run(scenario)
    seconds = time.process_time() - begun
    return {"events": COUNTED[0], "seconds": seconds, "events_a_second": COUNTED[0] / seconds}


def main() -> int:
    arguments = argparse.ArgumentParser(description="Counts what users' agents do in a second.")
    arguments.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = arguments.parse_args()
    module = ModuleType("benchmark_agents")
    module.__dict__.update(sleeps=sleeps, blocks=blocks, bids=bids)
    sys.modules["benchmark_agents"] = module
    tiny = load_scenario(TINY, {"charging": "rate"})
    run(tiny)
    begun = time.process_time()
    for _ in range(5):
        run(tiny)
    yardstick = (time.process_time() - begun) / 5
    figures: dict[str, Any] = {
        kind: measured(kind, horizon, count) for kind, horizon, count in (("sleeps", "7d", 10), ("blocks", "7d", 1), ("bids", "2d", 4))
    }
    for each in figures.values():
        each["event_over_tiny"] = each["seconds"] / each["events"] / yardstick
    figures["tiny_seconds"] = yardstick
    if asked.json:
        print(json.dumps(figures, indent=2))
    else:
        for kind, each in figures.items():
            if isinstance(each, dict):
                print(f"{kind}: {each['events_a_second']:,.0f} events a second, an event {each['event_over_tiny']:.2e} of a run of tiny")
    return 0


if __name__ == "__main__":
    sys.exit(main())
