"""Prints the figures of the benchmark as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acceptance import Demand
from growth import Size
from rich.console import Console
from rich.table import Table


def print_report(figures: Mapping[str, Any], reached: Sequence[Demand], headline: Size, each_rule_set: Size) -> None:
    """Print all that the figures hold, and at the end whether each demand is reached."""
    console = Console(width=120, highlight=False)
    console.print(f"RM-1: {headline.orders:,} orders, {headline.providers} providers, {headline.blocks:,} blocks", style="bold")
    console.print(", ".join(f"{key} {value}" for key, value in figures["machine"].items()))
    same = "identical" if figures["identical"] else "DIFFERENT in " + ", ".join(figures["differing"])
    console.print(f"outcomes {same} ({figures['digest'][:16]})")
    console.print(_designs(figures))
    console.print(_yardsticks(figures))
    for grows, rows in figures.get("growth", {}).items():
        console.print(_growth(grows, rows))
    if "recording" in figures:
        console.print(_recording(figures["recording"]))
    if "rule_sets" in figures:
        console.print(_rule_sets(figures["rule_sets"], each_rule_set))
    if "whole_runs" in figures:
        console.print(_whole_runs(figures["whole_runs"]))
    if "start_up" in figures:
        compiling = figures["start_up"]["nothing_compiled"]
        console.print(f"the first run, with everything to compile: {compiling:.0f} s")
    console.print(_demands(reached))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left")
    return table


def _designs(figures: Mapping[str, Any]) -> Table:
    seconds, spread = figures["seconds"], figures["spread"]
    table = _table("Medians of processor time", "design", "seconds", "least and most", "x first-written", "x limit")
    for name, taken in sorted(seconds.items(), key=lambda item: -item[1]):
        least_most = "{:.3f} {:.3f}".format(*spread[name])
        faster, slower = seconds["first_written"] / taken, taken / seconds["limit"]
        table.add_row(name, f"{taken:.3f}", least_most, f"{faster:.1f}", f"{slower:.1f}")
    return table


def _yardsticks(figures: Mapping[str, Any]) -> str:
    good = "as they should be" if all(figures["yardsticks"].values()) else "NOT as they should be"
    return (
        f"yardsticks {good}: first_written {figures['first_written_events']:,} events (at most 14,000,000), "
        f"{figures['first_written_over_bare_loop']:.2f} x a bare loop (at most 4); "
        f"limit {figures['limit_ratio_to_first_written']:.0f} x first_written (at least 250)"
    )


def _growth(grows: str, rows: list[dict[str, Any]]) -> Table:
    designs = list(rows[0]["microseconds_per_order"])
    table = _table(f"µs an order as {grows} grow, medians (least and most)", "orders", "providers", "blocks", *designs, "outcomes")
    for row in rows:
        costs = (
            f"{row['microseconds_per_order'][name]:.2f} ({row['spread'][name][0]:.2f} {row['spread'][name][1]:.2f})" for name in designs
        )
        same = "same" if row["identical"] else "DIFFERENT"
        table.add_row(*(f"{row[key]:,}" for key in ("orders", "providers", "blocks")), *costs, same)
    return table


def _recording(rows: Mapping[str, Any]) -> Table:
    table = _table("record:, reacting tenants; seconds (over summary)", "level", "the run", "with all results written", "peak MiB by then")
    for level, row in rows.items():
        table.add_row(
            level,
            f"{row['run_seconds']:.3f} ({row['run_over_summary']:.2f})",
            f"{row['run_and_results_seconds']:.3f} ({row['run_and_results_over_summary']:.2f})",
            f"{row['peak_mib']:,}",
        )
    return table


def _rule_sets(rows: list[dict[str, Any]], size: Size) -> Table:
    table = _table(f"Each rule set, {size.orders:,} orders", "rules", "seconds", "x its first-written model", "outcomes")
    for row in rows:
        same = "same" if row["identical"] else f"DIFFERENT: {row['first_difference']}"
        table.add_row(row["rules"], f"{row['seconds']:.3f}", f"{row['ratio_to_first_written']:.0f}", same)
    return table


def _whole_runs(rows: list[dict[str, Any]]) -> Table:
    table = _table("marketsim run, from the command to the report", "orders", "record:", "CPU s", "peak MiB", "results MiB", "in full")
    for row in rows:
        table.add_row(
            f"{row['orders']:,}",
            row["record"],
            f"{row['seconds']:.1f}",
            f"{row['peak_mib']:,}",
            f"{row['results_mib']:,}",
            "yes" if row["reported"] else "NO",
        )
    return table


def _demands(reached: Sequence[Demand]) -> Table:
    table = _table("What is demanded", "figure", "is", "has to be", "holds")
    for demand in reached:
        bound = f"{'at least' if demand.at_least else 'at most'} {demand.bound:g}"
        table.add_row(demand.name, f"{demand.figure:.4g}", bound, "yes" if demand.holds else "[bold red]NO[/]")
    return table
