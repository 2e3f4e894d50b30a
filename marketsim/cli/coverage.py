"""`marketsim coverage`: which answers of the protocol a folder of scenarios reaches."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marketsim.cli.memory import Memory

if TYPE_CHECKING:
    from marketsim.conformance.coverage import Coverage


def register(app: typer.Typer) -> None:
    """Add `coverage` to the application."""
    app.command("coverage", help="Count the answers of the protocol that scenarios reach.")(coverage)


def coverage(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a folder, searched with its subfolders")],
    require: Annotated[
        float,
        typer.Option("--require", min=0.0, max=100.0, metavar="P", help="Exit with 1 below P percent."),
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; print only what is missing.")] = False,
    memory: Memory = None,
) -> None:
    """Print rows reached per message and rule set, then what is missing; exit 1 below --require and when a
    scenario gets an answer that the table does not have."""
    from marketsim.conformance.coverage import cover, missing_lines, total_line

    def say(name: str) -> None:
        sys.stderr.write(f"\r\x1b[K{name}")
        sys.stderr.flush()

    shown = not quiet and not as_json and sys.stderr.isatty()
    found = cover(folder, say if shown else None)
    if shown:
        sys.stderr.write("\r\x1b[K")
    if as_json:
        document = found.as_json() | {"required": require, "enough": found.percent >= require}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        if not quiet:
            _print_table(found)
        for line in missing_lines(found):
            typer.echo(line)
        if not quiet or found.percent < require:
            typer.echo(total_line(found, require))
    if found.percent < require or any(found.outside.values()):
        raise typer.Exit(1)


def _print_table(found: Coverage) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    table.add_column("Message", no_wrap=True)
    for rules in found.allowed:
        table.add_column(rules, justify="right", no_wrap=True)
    for message, line in found.by_message().items():
        table.add_row(message, *(f"{reached}/{total}" if total else "–" for reached, total in line.values()))
    table.add_section()
    sums = []
    for rules, allowed in found.allowed.items():
        sums.append(f"{len(allowed) - len(found.missing(rules))}/{len(allowed)}")
    table.add_row("all", *sums)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 100)
    console.print(table)
