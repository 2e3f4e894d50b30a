"""The `marketsim compare` command."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marketsim.cli.figures import ReportFormats, Style
from marketsim.cli.memory import Memory
from marketsim.errors import InputError
from marketsim.interrupts import Unwinding

if TYPE_CHECKING:
    from marketsim.experiments.runs.variants import Arm


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("compare")(compare_command)


def compare_command(
    a: Annotated[Path, typer.Argument(metavar="A", help="A scenario file, or a folder of finished runs.")],
    b: Annotated[
        Path | None,
        typer.Argument(metavar="[B]", help="Another; default: A again, changed by --set-b.", show_default=False),
    ] = None,
    set_both: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change both arms.")] = None,
    set_a: Annotated[list[str] | None, typer.Option("--set-a", metavar="PATH=VALUE", help="Change A only.")] = None,
    set_b: Annotated[list[str] | None, typer.Option("--set-b", metavar="PATH=VALUE", help="Change B only.")] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A number of summary.json by dotted path; the first one decides."),
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=2, help="Pairs of runs, or the most of them.")] = 60,
    until_decided: Annotated[bool, typer.Option("--until-decided", help="Stop as soon as the first metric is decided.")] = False,
    margin: Annotated[
        str | None,
        typer.Option("--margin", metavar="M", help="What is no difference: 2%% of A's mean, or a number."),
    ] = None,
    stopping: Annotated[
        str,
        typer.Option(
            "--stopping",
            metavar="RULE",
            help="What decides within the budget of pairs: obrien-fleming, pocock, fixed (one look at the end), always-valid.",
        ),
    ] = "obrien-fleming",
    independent: Annotated[
        bool,
        typer.Option("--independent", help="Compare also with other seeds for B, to see what pairing saves."),
    ] = False,
    controls: Annotated[
        bool,
        typer.Option("--controls/--no-controls", help="Take out of the differences what the runs' demand and costs explain."),
    ] = True,
    level: Annotated[float, typer.Option("--level", help="Confidence of all metrics together.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="First seed; pair k has seed + k.")] = 1,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes on this machine; default: its usable cores."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Exactly this folder; default: below results/."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no report, only errors.")] = False,
    memory: Memory = None,
    formats: ReportFormats = None,
    style: Style = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print comparison.json and nothing else.")] = False,
) -> None:
    """Compare two scenarios run for run over common random numbers, with a verdict that holds however often one looks."""
    from marketsim.cli.progress import tell_of_compiling
    from marketsim.experiments.compare.asked import check_metrics, parse_margin, parse_stopping
    from marketsim.experiments.compare.paired import DEFAULT_METRICS, compare
    from marketsim.experiments.compare.report import comparison_files, comparison_lines
    from marketsim.experiments.runs.execute import usable_cores
    from marketsim.experiments.runs.simulated import runner_for
    from marketsim.experiments.runs.variants import PooledRuns, Recorded, RunFailedError, SerialRuns, read_arm
    from marketsim.experiments.runs.whole_folder import write_folder
    from marketsim.export.folder import free_folder
    from marketsim.export.images import look_of, looking, with_copies

    look = look_of(formats, style)
    if not 0.5 <= level < 1:
        raise InputError(f"--level: {level:g} is not a confidence level, give one from 0.5 to below 1")
    rule = parse_stopping(stopping, until_decided=until_decided)
    both = list(set_both or ())
    other = a if b is None else b
    arms = (
        read_arm(a, [*both, *(set_a or ())], _label(a, set_a)),
        read_arm(other, [*both, *(set_b or ())], _label(other, set_b)),
    )
    metrics = list(dict.fromkeys(metric or DEFAULT_METRICS))
    check_metrics(arms, metrics, independent=independent)
    difference = parse_margin(margin) if margin is not None else None
    folder = out if out is not None else _default_folder(arms, metrics, pairs, seed)
    if out is not None:
        free_folder(out)
    finished = all(isinstance(arm, Recorded) for arm in arms)
    show = not quiet and not as_json

    def progress(done: int, most: int) -> None:
        if show:
            print(f"compare: {done} of at most {most} pairs", file=sys.stderr, flush=True)

    tell_of_compiling(quiet=not show or finished)
    with Unwinding(), tempfile.TemporaryDirectory(prefix="marketsim-compare-") as scratch:
        count, runner = workers or usable_cores(), runner_for(metrics)
        runs = SerialRuns(runner) if finished else PooledRuns(runner, Path(scratch), count)
        try:
            comparison = compare(
                *arms,
                runs,
                metrics=metrics,
                pairs=pairs,
                first_seed=seed,
                until_decided=until_decided,
                margin=difference,
                independent=independent,
                level=level,
                stopping=rule,
                controls=controls,
                progress=progress,
            )
        except RunFailedError as error:
            print(f"run failed: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except ValueError as error:
            raise InputError(f"compare: {error}") from error
        finally:
            if isinstance(runs, PooledRuns):
                runs.close()
    with looking(look):
        write_folder(folder, with_copies(comparison_files(comparison)), replace=out is None)
    if as_json:
        print(json.dumps(comparison.as_json(), indent=1))
    elif not quiet:
        print("\n".join(comparison_lines(comparison)))
        print(f"report      {folder / 'report.html'}")


def _label(path: Path, changes: list[str] | None) -> str:
    return " ".join([path.stem if path.is_file() else str(path), *(changes or ())])


def _default_folder(arms: tuple[Arm, Arm], metrics: list[str], pairs: int, seed: int) -> Path:
    import hashlib

    from marketsim.experiments.runs.variants import Variant

    content = [[arm.effective() if isinstance(arm, Variant) else sorted(arm.by_seed), arm.label] for arm in arms]
    text = json.dumps([content, metrics, pairs, seed], sort_keys=True, default=str)
    first = arms[0]
    name = first.effective()["name"] if isinstance(first, Variant) else "runs"
    return Path("results") / str(name) / f"compare-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
