"""Times marketsim on RM-1 as ratios to the first-written model and to the compiled limit.

    python benchmarks/reference_market.py [--json] [--full] [--rounds N]

Every design runs on the same draws; the outcomes are compared before a ratio is printed. The designs run in
turn, round after round, and a ratio is that of medians; only the first-written model, which takes half a
minute, runs twice, in the first round and in the last, each time between the two halves of the bare SimPy loop
that it is held against. benchmarks/README.md lists the keys of the JSON.

Exit status 1 means that two outcomes part, that a yardstick is not what it should be, or that a run is not reported in full. Whether
the figures are good enough is printed (`demands` in the JSON) and changes no status: a busy machine is no error.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import bare_loop
import first_written
import limit
import marketsim_designs
from acceptance import demands
from benchmark_tables import print_report
from digest import digest
from growth import Design, Size, growth
from start_up import start_up
from whole_run import whole_run

from marketsim.agents.reference_market import ReferenceMarket
from marketsim.simulation.memory import keep_memory

MAX_EVENTS = 14_000_000
MIN_LIMIT_RATIO = 250
MAX_BARE_LOOP_RATIO = 4
HEADLINE = Size(50_000, 100, 1_000, 432_000)
WARM_UP = Size(200, 10, 20, 2_000)
EACH_RULE_SET = Size(5_000, 100, 1_000, 43_200)
WHOLE_RUNS = ((1_000_000, "summary"), (1_000_000, "orders"), (200_000, "summary"), (200_000, "everything"))
"""Orders and level of `record:` of the runs that are made from the command to the report."""
AUDITS = 7
"""Repeats of a second each, of which single ones on a busy machine have been off by half."""
LONG = "growth, recording, audit, each rule set, memory and start-up as well: 10 to 20 minutes, 3 GiB of memory and 4 of disk in all"


def run_limit(draws: ReferenceMarket) -> tuple[str, float]:
    result = limit.run(draws)
    return digest(result.outcome), result.seconds


DESIGNS: dict[str, Design] = {"limit": run_limit, **marketsim_designs.DESIGNS}
"""What is timed in every round, by the name under which it is printed; first_written stands apart."""

YARDSTICKS = ("first_written", "bare_loop")
"""What is timed in the first round and in the last only."""

SLOW = {"python_policy_per_call": 2}
"""Designs that are timed only every so many rounds."""

RATIOS = {
    "batches": ("ratio_to_first_written", "time_over_limit"),
    "event_per_order": ("event_per_order_ratio", None),
    "reacting": ("reacting_ratio", None),
    "python_policy": ("python_policy_ratio", None),
    "python_policy_per_call": ("python_policy_per_call_ratio", None),
}
"""By the name of a design: keys of its speed over the first-written model's, its time over the limit's."""


def headline(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures of RM-1 at its full size, as the JSON has them."""
    draws = HEADLINE.draw()
    warm_up = WARM_UP.draw()
    for name, design in DESIGNS.items():
        design(warm_up)
        say(f"{name}: ready")

    seconds: dict[str, list[float]] = {name: [] for name in (*DESIGNS, *YARDSTICKS)}
    digests: dict[str, set[str]] = {name: set() for name in (*DESIGNS, "first_written")}
    events = 0
    for number in range(rounds):
        for name, design in DESIGNS.items():
            if number % SLOW.get(name, 1):
                continue
            found, taken = design(draws)
            seconds[name].append(taken)
            digests[name].add(found)
            say(f"round {number + 1}: {name} {taken:.3f} s")
            gc.collect()
        if number in (0, rounds - 1):
            half = [bare_loop.run(MAX_EVENTS // 2)]
            gc.freeze()  # what is loaded by now is no work for the collector while objects come and go
            result = first_written.run(draws)
            gc.unfreeze()
            digests["first_written"].add(digest(result.outcome))
            seconds["first_written"].append(result.seconds)
            events = result.events
            del result
            gc.collect()
            say(f"round {number + 1}: first_written {seconds['first_written'][-1]:.1f} s, {events:,} events")
            half.append(bare_loop.run(MAX_EVENTS // 2))
            seconds["bare_loop"].append(sum(half) * events / (2 * (MAX_EVENTS // 2)))
            say(f"round {number + 1}: bare loop of as many events {seconds['bare_loop'][-1]:.1f} s")

    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    first = medians["first_written"]
    figures: dict[str, Any] = {
        "identical": len(set.union(*digests.values())) == 1,
        "digest": min(digests["first_written"]),
        "first_written_events": events,
        "first_written_over_bare_loop": first / medians["bare_loop"],
        "limit_ratio_to_first_written": first / medians["limit"],
        "seconds": medians,
        "spread": {name: [min(taken), max(taken)] for name, taken in seconds.items()},
        "differing": sorted(name for name, found in digests.items() if found != digests["first_written"]),
    }
    for name, (ratio, over_limit) in RATIOS.items():
        if name in medians:
            figures[ratio] = first / medians[name]
            if over_limit:
                figures[over_limit] = medians[name] / medians["limit"]
    figures["yardsticks"] = {
        "first_written_events": events <= MAX_EVENTS,
        "first_written_over_bare_loop": figures["first_written_over_bare_loop"] <= MAX_BARE_LOOP_RATIO,
        "limit_ratio_to_first_written": figures["limit_ratio_to_first_written"] >= MIN_LIMIT_RATIO,
    }
    return figures


def growing(name: str) -> bool:
    """Whether the design is part of the tables of growth; Python policies are not, they cost by the call."""
    return not name.startswith("python_policy")


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{package: version(package) for package in ("simpy", "numpy", "numba")},
    }


def whole_commands(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The tables of --full that are measured in processes of their own: before anything else, while this one is small."""
    tables: dict[str, Any] = {"start_up": start_up(rounds, say), "whole_runs": []}
    for orders, level in WHOLE_RUNS:
        tables["whole_runs"].append(whole_run(orders, level))
        say(f"whole run: {tables['whole_runs'][-1]}")
    return tables


def large_tables(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The other tables of --full: after the headline, which large markets would leave with scattered memory."""
    return {
        "growth": growth({name: design for name, design in DESIGNS.items() if growing(name)}, rounds, say),
        "recording": marketsim_designs.recording_costs(HEADLINE.draw(), rounds, say),
        "audit": marketsim_designs.audit_cost(HEADLINE.draw(), AUDITS, say),
        "rule_sets": marketsim_designs.rule_set_ratios(EACH_RULE_SET.draw(), rounds, say),
    }


def main() -> int:
    arguments = argparse.ArgumentParser(description="Times marketsim on the reference market RM-1.")
    arguments.add_argument("--json", action="store_true", help="print the figures as JSON; progress goes to stderr in any case")
    arguments.add_argument("--full", action="store_true", help=LONG)
    arguments.add_argument("--rounds", type=int, default=9, help="repeats of each design (default 9); the tables of --full take 3 at most")
    asked = arguments.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    rounds = max(asked.rounds, 1)
    keep_memory()  # as the workers of a sweep do
    commands = whole_commands(min(rounds, 3), say) if asked.full else {}
    figures = {"machine": machine()} | headline(rounds, say) | commands
    if asked.full:
        figures |= large_tables(min(rounds, 3), say)
        compared = [*(row for rows in figures["growth"].values() for row in rows), figures["audit"], *figures["rule_sets"]]
        figures["identical"] &= all(row["identical"] for row in compared)
    reached = demands(figures)
    figures["demands"] = [demand._asdict() | {"holds": demand.holds} for demand in reached]
    if asked.json:
        print(json.dumps(figures, indent=2))
    else:
        print_report(figures, reached, HEADLINE, EACH_RULE_SET)
    reported = all(row["reported"] for row in figures.get("whole_runs", ()))
    return 0 if figures["identical"] and reported and all(figures["yardsticks"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
