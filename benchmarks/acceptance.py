"""What speed, growth and memory have to reach, and whether the figures of a benchmark reach it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Demand(NamedTuple):
    """One figure held against its bound."""

    name: str
    figure: float
    bound: float
    at_least: bool

    @property
    def holds(self) -> bool:
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound


HEADLINE = {
    "ratio_to_first_written": (150, True),
    "time_over_limit": (3, False),
    "event_per_order_ratio": (100, True),
    "reacting_ratio": (50, True),
    "python_policy_ratio": (10, True),
    "python_policy_per_call_ratio": (3, True),
}
"""By the key in the JSON: the bound, and whether the figure has to be at least that (else at most)."""

MIB_OF_A_MILLION = 2048
MIB_OF_ALL_ROWS = 512
"""How much more memory a run of 200,000 orders may take that records everything than one that records a summary."""


def demands(figures: Mapping[str, Any]) -> list[Demand]:
    """Return every demand that the figures answer: those of the headline, and of the tables of --full where they are there."""
    found = [Demand(name, figures[name], bound, least) for name, (bound, least) in HEADLINE.items() if name in figures]
    if "growth" in figures:
        found += _growth(figures["growth"])
    if "whole_runs" in figures:
        found += _whole_runs(figures["whole_runs"])
    if "recording" in figures:
        recording = figures["recording"]
        found.append(Demand("record: orders over record: summary", recording["orders"]["run_and_results_over_summary"], 1.3, False))
        found.append(Demand("record: everything over record: summary", recording["everything"]["run_and_results_over_summary"], 3, False))
    if "audit" in figures:
        found.append(Demand("--audit over a run without", figures["audit"]["ratio"], 2, False))
    if "rule_sets" in figures:
        same = sum(row["identical"] for row in figures["rule_sets"])
        found.append(Demand("rule sets that give what their first-written model gives", same, len(figures["rule_sets"]), True))
    if "start_up" in figures:
        for name, bound in (("help", 0.4), ("tiny", 2.0), ("tiny_with_figures", 5.0)):
            found.append(Demand(f"start-up, s: {name}", figures["start_up"][name]["least"], bound, False))
    return found


def _growth(tables: Mapping[str, list[dict[str, Any]]]) -> Iterator[Demand]:
    for name in tables["orders"][0]["microseconds_per_order"]:
        if name == "limit":
            continue
        orders = {row["orders"]: row["microseconds_per_order"][name] for row in tables["orders"]}
        yield Demand(f"{name}: µs an order, 1,000,000 over 50,000 orders", orders[1_000_000] / orders[50_000], 1.5, False)
        pairs = {row["providers"]: row["microseconds_per_order"][name] / row["providers"] for row in tables["providers"]}
        yield Demand(f"{name}: µs an order and provider, 1,000 over 100 providers", pairs[1_000] / pairs[100], 1.5, False)
        blocks = [row["microseconds_per_order"][name] for row in tables["blocks"]]
        yield Demand(f"{name}: µs an order, most over fewest blocks", blocks[-1] / blocks[0], 1.5, False)


def _whole_runs(rows: list[dict[str, Any]]) -> Iterator[Demand]:
    by_kind = {(row["orders"], row["record"]): row for row in rows}
    million = [row for (orders, _), row in by_kind.items() if orders == 1_000_000]
    for row in million:
        yield Demand(f"1,000,000 orders, record: {row['record']}, MiB", row["peak_mib"], MIB_OF_A_MILLION, False)
    yield Demand("whole runs that are reported in full", sum(row["reported"] for row in rows), len(rows), True)
    more = by_kind[200_000, "everything"]["peak_mib"] - by_kind[200_000, "summary"]["peak_mib"]
    yield Demand("200,000 orders: MiB of record: everything over those of summary", more, MIB_OF_ALL_ROWS, False)
