"""Times marketsim on RM-1 as ratios to the first-written model and to the compiled limit.

    python benchmarks/reference_market.py [--json] [--full] [--rounds N]

Every design runs on the same draws; the outcomes are compared before a ratio is printed. The designs run in
turn, round after round, and a ratio is that of medians; only the first-written model, which takes most of a
minute, runs once, after the first round, between the two halves of the bare SimPy loop that it is held
against. Exit status 1 means that two outcomes part or that a yardstick is not what it should be.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import bare_loop
import first_written
import limit
import marketsim_designs
from digest import digest

from marketsim.agents.reference_market import ReferenceMarket, draw
from marketsim.simulation.memory import keep_memory

MAX_EVENTS = 14_000_000
MIN_LIMIT_RATIO = 250
MAX_BARE_LOOP_RATIO = 4
SEED = 1

Design = Callable[[ReferenceMarket], tuple[str, float]]
"""Runs the market; gives its outcome's digest and the seconds from the market laid out to the last block, of
processor time (time.process_time), which a busy machine disturbs least."""


class Size(NamedTuple):
    """Orders, providers, tenants and blocks of a market."""

    orders: int
    providers: int
    tenants: int
    blocks: int

    def draw(self) -> ReferenceMarket:
        return draw(SEED, *self)


HEADLINE = Size(50_000, 100, 1_000, 432_000)
WARM_UP = Size(200, 10, 20, 2_000)
EACH_RULE_SET = Size(5_000, 100, 1_000, 43_200)
GROWTH = {
    "orders": [Size(orders, 100, 1_000, 432_000) for orders in (5_000, 50_000, 200_000, 1_000_000)],
    "providers": [
        Size(50_000, 10, 1_000, 432_000),
        Size(50_000, 100, 1_000, 432_000),
        Size(5_000, 1_000, 1_000, 43_200),
        Size(50_000, 1_000, 1_000, 432_000),
    ],
    "blocks": [Size(20_000, 100, 1_000, blocks) for blocks in (43_200, 432_000, 4_320_000)],
}


def run_limit(draws: ReferenceMarket) -> tuple[str, float]:
    result = limit.run(draws)
    return digest(result.outcome), result.seconds


DESIGNS: dict[str, Design] = {"limit": run_limit, **marketsim_designs.DESIGNS}
"""What is timed in every round, by the name under which it is printed; first_written stands apart."""

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
        begun = time.perf_counter()
        design(warm_up)
        say(f"{name}: ready after {time.perf_counter() - begun:.1f} s")

    seconds: dict[str, list[float]] = {name: [] for name in DESIGNS}
    digests: dict[str, set[str]] = {name: set() for name in DESIGNS}
    slow: dict[str, float] = {}
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
        if number == 0:
            half = [bare_loop.run(MAX_EVENTS // 2)]
            gc.freeze()  # what is loaded by now is no work for the collector while objects come and go
            result = first_written.run(draws)
            gc.unfreeze()
            digests["first_written"] = {digest(result.outcome)}
            slow["first_written"], events = result.seconds, result.events
            del result
            gc.collect()
            say(f"first_written {slow['first_written']:.1f} s, {events:,} events")
            half.append(bare_loop.run(MAX_EVENTS // 2))
            slow["bare_loop"] = sum(half) * events / (2 * (MAX_EVENTS // 2))
            say(f"bare loop of as many events {slow['bare_loop']:.1f} s")

    medians = {name: statistics.median(taken) for name, taken in seconds.items()} | slow
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


def growth(rounds: int, say: Callable[[str], None]) -> dict[str, list[dict[str, Any]]]:
    """Microseconds per order of each design as orders, providers and blocks grow.

    `peak_mib` is the most memory that this process has held by then, what came before included.
    """
    tables: dict[str, list[dict[str, Any]]] = {}
    for grows, sizes in GROWTH.items():
        tables[grows] = []
        for size in sizes:
            draws = size.draw()
            taken: dict[str, list[float]] = {name: [] for name in DESIGNS if growing(name)}
            found: set[str] = set()
            for _ in range(rounds):
                for name, each in taken.items():
                    outcome, seconds = DESIGNS[name](draws)
                    found.add(outcome)
                    each.append(seconds)
            per_order = {
                name: statistics.median(all_taken) / size.orders * 1e6 for name, all_taken in taken.items()
            }
            tables[grows].append(
                size._asdict()
                | {
                    "identical": len(found) == 1,
                    "microseconds_per_order": per_order,
                    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                }
            )
            say(f"{grows}: {tables[grows][-1]}")
    return tables


def growing(name: str) -> bool:
    """Whether the design is part of the tables of growth; Python policies are not, they cost by the call."""
    return not name.startswith("python_policy")


def machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model
        )
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{package: version(package) for package in ("simpy", "numpy", "numba")},
    }


def print_report(figures: dict[str, Any]) -> None:
    seconds = figures["seconds"]
    print(f"RM-1: {HEADLINE.orders:,} orders, {HEADLINE.providers} providers, {HEADLINE.blocks:,} blocks")
    print(", ".join(f"{key} {value}" for key, value in figures["machine"].items()))
    same = "identical" if figures["identical"] else "DIFFERENT in " + ", ".join(figures["differing"])
    print(f"outcomes {same} ({figures['digest'][:16]})\n")
    print(f"{'design':28}{'seconds':>10}{'x first':>10}{'x limit':>10}")
    for name, taken in sorted(seconds.items(), key=lambda item: -item[1]):
        faster, slower = seconds["first_written"] / taken, taken / seconds["limit"]
        print(f"{name:28}{taken:10.3f}{faster:10.1f}{slower:10.1f}")
    checks = figures["yardsticks"]
    print(f"\nfirst_written: {figures['first_written_events']:,} events (at most {MAX_EVENTS:,})", end="; ")
    print(
        f"{figures['first_written_over_bare_loop']:.2f} x a bare loop (at most {MAX_BARE_LOOP_RATIO})",
        end="; ",
    )
    print(f"limit {figures['limit_ratio_to_first_written']:.0f} x first_written (at least {MIN_LIMIT_RATIO})")
    print("yardsticks: " + ("as they should be" if all(checks.values()) else "NOT as they should be"))
    for grows, rows in figures.get("growth", {}).items():
        print(f"\nµs per order as {grows} grow")
        for row in rows:
            costs = ", ".join(f"{name} {cost:.2f}" for name, cost in row["microseconds_per_order"].items())
            size = f"{row['orders']:>10,} x {row['providers']:>5,} x {row['blocks']:>10,}"
            print(f"{size}   {costs}; {row['peak_mib']:,} MiB{'' if row['identical'] else '  DIFFERENT'}")
    if "recording" in figures:
        print("\nseconds with each level of record:, reacting tenants (over summary)")
        for level, row in figures["recording"].items():
            run, whole = row["run_seconds"], row["run_and_results_seconds"]
            over, over_whole = row["run_over_summary"], row["run_and_results_over_summary"]
            print(f"{level:28}run {run:.3f} ({over:.2f}), results written {whole:.3f} ({over_whole:.2f})")
        print(f"audit {figures['audit']['ratio']:.2f} x")
        print(f"\neach rule set, {EACH_RULE_SET.orders:,} orders (x its first-written model)")
        for row in figures["rule_sets"]:
            same = "identical" if row["identical"] else f"DIFFERENT: {row['first_difference']}"
            print(f"{row['rules']:28}{row['seconds']:10.3f}{row['ratio_to_first_written']:10.1f}   {same}")


def main() -> int:
    arguments = argparse.ArgumentParser(description="Times marketsim on the reference market RM-1.")
    arguments.add_argument(
        "--json", action="store_true", help="print the figures as JSON, progress on stderr"
    )
    arguments.add_argument("--full", action="store_true", help="also growth, recording, audit and each rule set (minutes)")
    arguments.add_argument("--rounds", type=int, default=5, help="repeats of each design (default 5)")
    asked = arguments.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    keep_memory()  # as the workers of a sweep do
    figures = {"machine": machine()} | headline(max(asked.rounds, 1), say)
    if asked.full:
        figures["growth"] = growth(3, say)
        figures["recording"] = marketsim_designs.recording_costs(HEADLINE.draw(), 3, say)
        figures["audit"] = marketsim_designs.audit_cost(HEADLINE.draw(), 3, say)
        figures["rule_sets"] = marketsim_designs.rule_set_ratios(EACH_RULE_SET.draw(), 3, say)
        compared = [*(row for rows in figures["growth"].values() for row in rows), figures["audit"]]
        figures["identical"] &= all(row["identical"] for row in (*compared, *figures["rule_sets"]))
    if asked.json:
        print(json.dumps(figures, indent=2))
    else:
        print_report(figures)
    return 0 if figures["identical"] and all(figures["yardsticks"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
