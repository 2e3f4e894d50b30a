"""The `marketsim run` command: one run of a scenario, its report and its results folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsim.cli.figures import Formats, Style
from marketsim.cli.memory import Memory

if TYPE_CHECKING:
    from marketsim.export.images import FigureLook
    from marketsim.metrics.outcome import Condition
    from marketsim.report.content import Content
    from marketsim.scenario import Scenario

RESULTS = Path("results")
"""Where runs go unless --out says otherwise: `results/<scenario>/<run>`."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("run")(run)


def run(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="A scenario file such as scenarios/baseline.yaml.")],
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="In place of the scenario's seed.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change a value, e.g. providers.0.count=5; repeatable."),
    ] = None,
    horizon: Annotated[str | None, typer.Option("--horizon", metavar="D", help="Length of the run: 7d, 12h, 100 blocks.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Exactly this folder, new or empty; default: below results/."),
    ] = None,
    audit: Annotated[bool, typer.Option("--audit", help="Check the money after every executed block.")] = False,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Leave the figures out.")] = False,
    formats: Formats = None,
    style: Style = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option("--assert", metavar="EXPR", help="Exit with 1 unless it holds, e.g. 'fill_rate>=0.8'; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no report, only errors.")] = False,
    memory: Memory = None,
    record: Annotated[
        str | None,
        typer.Option("--record", metavar="LEVEL", help="What to keep: summary, orders or everything."),
    ] = None,
) -> None:
    """Run a scenario, print its revenue and fill-rate report and write the results folder."""
    from marketsim.errors import InputError
    from marketsim.experiments.difference.origin import origin_of
    from marketsim.export.images import look_of
    from marketsim.export.results import as_recorded, json_text, new_results, results_folder
    from marketsim.scenario import load_scenario
    from marketsim.simulation.measured import MetricFailedError

    begun = time.monotonic()
    look = look_of(formats, style)
    checked = _conditions(conditions or [])
    overrides = list(settings or [])
    overrides += [f"{key}={value}" for key, value in (("horizon", horizon), ("record", record)) if value is not None]
    loaded = load_scenario(scenario, overrides)
    if not (quiet or as_json):
        for note in loaded.notes:
            print(f"note: {note}", file=sys.stderr)
    used = loaded.seed if seed is None else seed
    target = results_folder(RESULTS, used, loaded.effective()) if out is None else out
    failed: MetricFailedError | None = None
    with new_results(target, own=out is None) as write:
        try:
            result = _simulate(loaded, seed, audit=audit, quiet=quiet, out=write.folder)
        except MetricFailedError as error:  # the run itself is kept
            result, failed = error.run, error
        folder = write(result.record, result.summary, origin_of(loaded))
        figures = loaded.report.figures and not no_figures
        content = _pages(folder, as_recorded(result.record), result.summary, figures=figures, look=look)
    if as_json:
        sys.stdout.write(json_text(result.summary))
    elif not quiet:
        _print(content, target, time.monotonic() - begun)
    if failed is not None:
        raise InputError([*failed.lines, f"{target}: has the results without it"])
    if _missed(checked, result.summary):
        raise typer.Exit(1)


def _conditions(texts: Sequence[str]) -> list[Condition]:
    """Read every condition before the run; InputError with a line for each that makes no sense."""
    from marketsim.errors import InputError

    if not texts:
        return []
    from marketsim.metrics.outcome import OutcomeError, parse_condition
    from marketsim.metrics.shape import summary_shape

    shape = summary_shape()
    conditions, lines = [], []
    for text in texts:
        try:
            conditions.append(parse_condition(text).check(shape))
        except OutcomeError as error:
            lines.append(f"--assert: {error}")
    if lines:
        raise InputError(lines)
    return conditions


def _simulate(scenario: Scenario, seed: int | None, *, audit: bool, quiet: bool, out: Path) -> Any:
    from marketsim.cli.progress import progress_shown, tell_of_compiling

    tell_of_compiling(quiet=quiet)
    from marketsim import simulation

    with progress_shown(scenario.name, quiet=quiet) as progress:
        return simulation.run(scenario, seed=seed, audit=audit, progress=progress, out=out, trail=True)


def _pages(folder: Path, record: Any, summary: Mapping[str, Any], *, figures: bool, look: FigureLook) -> Content:
    from marketsim.report.pages import write_pages

    return write_pages(folder, record, summary, figures=figures, look=look)


def _print(content: Content, target: Path, seconds: float) -> None:
    from marketsim.report.terminal import print_report

    print_report(content)
    sys.stdout.write(f"\nResults: {target} (report.html, summary.json, tables as parquet and CSV), {seconds:.1f} s\n")


def _missed(conditions: Sequence[Condition], summary: Mapping[str, Any]) -> bool:
    """Judge every condition; those that do not hold are named on standard error."""
    from marketsim.errors import InputError
    from marketsim.metrics.outcome import OutcomeError

    missed = False
    for condition in conditions:
        try:
            verdict = condition.judge(summary)
        except OutcomeError as error:
            raise InputError(f"--assert: {error}") from None
        if not verdict.holds:
            missed = True
            print(f"--assert: {verdict}", file=sys.stderr)
    return missed
