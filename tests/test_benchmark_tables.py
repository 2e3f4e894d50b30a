"""The tables of the full benchmark, on markets small enough for a test."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import limit
import marketsim_designs
import whole_run
from acceptance import Demand, demands
from benchmark_tables import print_report
from design_rules import RULES, copy_without
from digest import first_difference
from growth import Size, growth


def row(**key: Any) -> dict[str, Any]:
    """A row of growth in which an order costs `cost` µs."""
    cost = key.pop("cost")
    size = {"orders": 20_000, "providers": 100, "tenants": 1_000, "blocks": 432_000} | key
    spread = {"limit": [1, 3], "batches": [1, 3]}
    return size | {"identical": True, "microseconds_per_order": {"limit": 2.0, "batches": cost}, "spread": spread}


def good_figures() -> dict[str, Any]:
    """Figures that reach everything, each exactly where it has to be."""
    level = {"run_seconds": 1.0, "run_over_summary": 1.0, "run_and_results_seconds": 1.0, "peak_mib": 300}
    levels = (("summary", 1), ("orders", 1.3), ("everything", 3))
    run = {"seconds": 1.0, "wall_seconds": 1.0, "results_mib": 1, "reported": True}
    return {
        "machine": {"cores": 4}, "identical": True, "digest": "0123456789abcdef0", "differing": [],
        "ratio_to_first_written": 150, "time_over_limit": 3, "event_per_order_ratio": 100, "reacting_ratio": 50,
        "python_policy_ratio": 10, "python_policy_per_call_ratio": 3,
        "first_written_events": 13, "first_written_over_bare_loop": 3.5, "limit_ratio_to_first_written": 300,
        "yardsticks": {"first_written_events": True},
        "seconds": {"limit": 1.0, "batches": 3.0, "first_written": 450.0},
        "spread": {"limit": [1.0, 1.0], "batches": [3.0, 3.0], "first_written": [440.0, 460.0]},
        "growth": {
            "orders": [row(orders=50_000, cost=8.0), row(orders=1_000_000, cost=12.0)],
            "providers": [row(providers=100, cost=8.0), row(providers=1_000, cost=120.0)],
            "blocks": [row(blocks=43_200, cost=8.0), row(blocks=4_320_000, cost=12.0)],
        },
        "recording": {name: level | {"run_and_results_over_summary": over} for name, over in levels},
        "audit": {"ratio": 2.0, "identical": True},
        "rule_sets": [{"rules": "seed", "identical": True, "seconds": 1.0, "ratio_to_first_written": 9.0, "first_difference": None}],
        "whole_runs": [
            {"orders": orders, "record": level, "peak_mib": peak} | run
            for orders, level, peak in ((1_000_000, "orders", 2048), (200_000, "summary", 400), (200_000, "everything", 912))
        ],
        "start_up": {"help": {"least": 0.4}, "tiny": {"least": 2}, "tiny_with_figures": {"least": 5}, "nothing_compiled": 60.0},
    }  # fmt: skip


def missed(figures: dict[str, Any]) -> list[str]:
    return [demand.name for demand in demands(figures) if not demand.holds]


def test_what_is_just_reached_holds() -> None:
    assert missed(good_figures()) == []
    assert len(demands(good_figures())) == 19


WORSE: list[tuple[tuple[Any, ...], Any, str]] = [
    (("ratio_to_first_written",), 149.9, "ratio_to_first_written"),
    (("time_over_limit",), 3.01, "time_over_limit"),
    (("growth", "orders", 1, "microseconds_per_order", "batches"), 12.1, "batches: µs an order, 1,000,000 over 50,000 orders"),
    (("growth", "providers", 1, "microseconds_per_order", "batches"), 121.0, "batches: µs an order and provider, 1,000 over 100 providers"),
    (("growth", "blocks", 1, "microseconds_per_order", "batches"), 12.1, "batches: µs an order, most over fewest blocks"),
    (("recording", "everything", "run_and_results_over_summary"), 3.1, "record: everything over record: summary"),
    (("rule_sets", 0, "identical"), False, "rule sets that give what their first-written model gives"),
    (("whole_runs", 0, "peak_mib"), 2049, "1,000,000 orders, record: orders, MiB"),
    (("whole_runs", 0, "reported"), False, "whole runs that are reported in full"),
    (("whole_runs", 2, "peak_mib"), 913, "200,000 orders: MiB of record: everything over those of summary"),
    (("start_up", "help", "least"), 0.41, "start-up, s: help"),
]


@pytest.mark.parametrize(("place", "value", "name"), WORSE)
def test_what_is_just_missed_is_named(place: tuple[Any, ...], value: Any, name: str) -> None:
    figures: Any = copy.deepcopy(good_figures())
    inner = figures
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    assert missed(figures) == [name]


def test_figures_without_the_full_tables_are_held_against_the_headline_alone() -> None:
    headline = {key: value for key, value in good_figures().items() if key.endswith(("_ratio", "_over_limit", "_to_first_written"))}
    assert [type(demand) for demand in demands(headline)] == [Demand] * 6


def test_the_tables_are_printed_and_say_what_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    figures = good_figures() | {"time_over_limit": 3.5}
    print_report(figures, demands(figures), Size(50_000, 100, 1_000, 432_000), Size(5_000, 100, 1_000, 43_200))
    printed = capsys.readouterr().out
    assert next(line for line in printed.splitlines() if "time_over_limit" in line).split()[-2] == "NO"
    assert printed.count(" NO ") == 1
    assert "1,000,000" in printed and "4,320,000" in printed


def test_growth_runs_every_size_in_every_round_and_compares_the_outcomes() -> None:
    sizes = {"orders": [Size(orders, 4, 5, 600) for orders in (20, 40)]}
    designs = {"batches": marketsim_designs.DESIGNS["batches"], "reacting": marketsim_designs.DESIGNS["reacting"]}
    said: list[str] = []
    rows = growth(designs, 2, said.append, sizes)["orders"]
    assert [each["orders"] for each in rows] == [20, 40]
    assert all(each["identical"] and set(each["microseconds_per_order"]) == set(designs) for each in rows)
    assert len(said) == 2 + 4  # once to warm up, then round by round
    calls = iter(range(100))
    other = growth({"one": lambda draws: (str(next(calls)), 1.0)}, 1, said.append, sizes)["orders"]
    assert not any(each["identical"] for each in other)
    assert other[1]["microseconds_per_order"]["one"] == 1e6 / 40


def test_no_number_of_providers_meets_a_limit_on_bids() -> None:
    draws = Size(30, 600, 5, 600).draw()
    yardstick = limit.run(draws).outcome
    assert int(yardstick.bids.max()) > 500, "else the comparison is idle"
    assert first_difference(yardstick, marketsim_designs.play_outcome(draws)[0]) is None


def test_a_run_in_a_process_of_its_own_is_reported_in_full() -> None:
    found = whole_run.whole_run(60, "everything")
    assert found["reported"] and found["orders_reported"] == found["tables"]["orders"] == 60
    assert 50 < found["peak_mib"] < 1_000
    assert found["tables"]["bids"] > 60


@pytest.mark.parametrize("name", RULES)
def test_each_rule_of_the_design_can_be_taken_away(name: str, tmp_path: Path) -> None:
    folder = copy_without(RULES[name], tmp_path)

    changed = {file for file, _, _ in RULES[name].edits}
    for file in changed:
        text = (folder / "marketsim" / file).read_text("utf-8")
        compile(text, file, "exec")
        assert text != (Path(__file__).parents[1] / "marketsim" / file).read_text("utf-8")
    assert changed or RULES[name].environment or name == "nothing"
