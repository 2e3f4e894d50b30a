"""The `marketsim bench` commands: what theory says, and how often the statistics are right."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

SEED = Annotated[int, typer.Option("--seed", min=0, help="Seed of the bench; seeds share no random stream.")]
JSON = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON and nothing else.")]
QUIET = Annotated[bool, typer.Option("--quiet", help="No progress, only the checks.")]
WORKERS = Annotated[int | None, typer.Option("--workers", min=1, help="Processes on this machine; default: its usable cores.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    bench = typer.Typer(help="Check the simulator against theory, and the statistics against known answers.")
    bench.command("theory")(theory)
    bench.command("statistics")(statistics)
    app.add_typer(bench, name="bench")


def theory(
    seed: SEED = 1,
    plant: Annotated[
        list[str] | None,
        typer.Option(
            "--plant", metavar="NAME=FACTOR", help="Plant an error in arrivals, duration or price, which the bench then has to find."
        ),
    ] = None,
    as_json: JSON = False,
    quiet: QUIET = False,
    workers: WORKERS = None,
) -> None:
    """Run special cases whose answers are known; one line a check, exit 1 when one fails."""
    from marketsim.bench.theory import bench, parse_planted
    from marketsim.experiments.runs.execute import usable_cores

    def progress(market: str) -> None:
        if not quiet and not as_json:
            print(f"theory: {market} done", file=sys.stderr, flush=True)

    planted = parse_planted(plant or ())
    found = bench(seed, workers=workers or usable_cores(), planted=planted, progress=progress)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        for line in found.lines():
            print(line)
    if not found.agrees:
        raise typer.Exit(1)


def statistics(seed: SEED = 1, as_json: JSON = False, quiet: QUIET = False, workers: WORKERS = None) -> None:
    """Measure coverage of intervals, false declarations and power; one line a check, exit 1 when one
    fails.
    """
    from marketsim.bench.statistics import bench
    from marketsim.experiments.runs.execute import usable_cores

    def progress(part: str) -> None:
        if not quiet and not as_json:
            print(f"statistics: {part}", file=sys.stderr, flush=True)

    found = bench(seed, workers=workers or usable_cores(), progress=progress)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        for line in found.lines():
            print(line)
    if not found.holds:
        raise typer.Exit(1)
