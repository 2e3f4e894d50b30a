"""`marketsim parity`: replay recorded answers of the real chains and count what is identical."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marketsim.errors import InputError

if TYPE_CHECKING:
    from marketsim.conformance.report import FileReport, Replay, Vector

_PROGRESS_EVERY_SECONDS = 5.0


def register(app: typer.Typer) -> None:
    """Add `parity` to the application."""
    app.command("parity", help="Replay conformance vectors and compare every answer.")(parity)


def parity(
    kind: Annotated[str, typer.Argument(metavar="(escrow|market|settlement|price|sdl|script)", help="what to replay")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="further files")] = None,
    vectors: Annotated[
        list[Path] | None,
        typer.Option("--vectors", metavar="FILE...", help="JSON lines, plain or gzip"),
    ] = None,
    differences: Annotated[int, typer.Option("--differences", min=0, metavar="N", help="Show the first N differences a file.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of lines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress; print only files that differ.")] = False,
) -> None:
    """Print `N/N identical` for each file, or the first differences; exit 1 on any, 2 for a bad file."""
    from marketsim.conformance.kinds import KINDS, UNITS, replay_of, report_lines

    if kind not in KINDS:
        raise InputError(f"parity: {kind!r} cannot be replayed, expected one of {', '.join(KINDS)}")
    files = [*(vectors or ()), *(more or ())]
    if not files:
        raise InputError("parity: no --vectors FILE, expected at least one file of JSON lines")
    replay, check = replay_of(kind)
    reports: list[FileReport] = []
    errors: list[str] = []
    for path in files:
        try:
            report = _replay(path, kind, replay, check, differences, quiet=quiet)
        except InputError as error:
            errors += error.lines
            continue
        reports.append(report)
        if not as_json and not (quiet and report.same):
            typer.echo("\n".join(report_lines(report, UNITS[kind])))
    if as_json:
        identical = not errors and all(report.same for report in reports)
        document = {"kind": kind, "identical": identical, "files": [report.as_json() for report in reports]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    if errors:
        raise InputError(errors)
    if not all(report.same for report in reports):
        raise typer.Exit(1)


def _replay(path: Path, kind: str, replay: Replay, check: Callable[[Vector], None], limit: int, *, quiet: bool) -> FileReport:
    from marketsim.conformance.report import replay_file

    if quiet:
        return replay_file(path, replay, check=check, limit=limit)
    if sys.stderr.isatty():
        return _with_bar(path, kind, replay, check, limit)
    said = time.monotonic()
    unit = _unit(kind)

    def say(lines: int, compared: int) -> None:
        nonlocal said
        if time.monotonic() - said >= _PROGRESS_EVERY_SECONDS:
            said = time.monotonic()
            typer.echo(f"{path}: {lines} sequences, {compared} {unit}", err=True)

    return replay_file(path, replay, check=check, limit=limit, progress=say)


def _with_bar(path: Path, kind: str, replay: Replay, check: Callable[[Vector], None], limit: int) -> FileReport:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from marketsim.conformance.report import replay_file

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(path.name)

        def say(lines: int, compared: int) -> None:
            bar.update(task, description=f"{path.name}: {lines} sequences, {compared} {_unit(kind)}")

        return replay_file(path, replay, check=check, limit=limit, progress=say)


def _unit(kind: str) -> str:
    from marketsim.conformance.kinds import UNITS

    return UNITS[kind]
