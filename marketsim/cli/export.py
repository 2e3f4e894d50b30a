"""The `marketsim export` command: a recorded run as series for other tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export")(export)


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder that `run` has written.")],
    openmetrics: Annotated[
        Path | None,
        typer.Option("--openmetrics", metavar="FILE", help="Write the training document's metrics as OpenMetrics text."),
    ] = None,
    prometheus: Annotated[
        Path | None,
        typer.Option(
            "--prometheus",
            metavar="FOLDER",
            help="Write all that a Prometheus and a Grafana need to show the run: data, rules, a dashboard.",
        ),
    ] = None,
    step: Annotated[str, typer.Option("--step", metavar="D", help="Time between samples, at most 5m.")] = "5m",
    providers: Annotated[
        list[str] | None,
        typer.Option("--provider", metavar="NAME", help="Only this provider's series and those of the market; repeatable."),
    ] = None,
    names: Annotated[
        str, typer.Option("--names", metavar="document|chain", help="`chain` adds the names that the real code uses.")
    ] = "document",
    scenario: Annotated[
        Path | None,
        typer.Option("--scenario", metavar="FILE", help="The scenario file that was run, where its traces are not where they were."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no closing line, only errors.")] = False,
) -> None:
    """Write a recorded run as metrics over time. The run is played again from its manifest, whatever its record kept."""
    from marketsim.cli.progress import progress_shown
    from marketsim.face.exporting import write_export
    from marketsim.metrics.prometheus_folder import serve_command

    with progress_shown(folder.name, quiet=quiet) as progress:
        made = write_export(folder, openmetrics, prometheus, step, providers or [], names, scenario, progress, "--")
    if prometheus is None:
        _say(f"{made.path}: {made.samples:,} samples", quiet)
        return
    _say(f"{made.path}: {made.samples:,} samples, rules and a dashboard", quiet)
    if made.missing is not None:
        _say(f"no data for Prometheus: {made.missing}", quiet=False)
    else:
        _say(f"serve it with\n  {serve_command(made.path)}", quiet)


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr)
