"""The `marketsim sweep` command."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from marketsim import interrupts
from marketsim.cli.figures import ReportFormats, Style
from marketsim.cli.memory import Memory
from marketsim.interrupts import Unwinding

if TYPE_CHECKING:
    from marketsim.experiments.sweep.dry_run import DryRun
    from marketsim.experiments.sweep.rounds import SweepResult

_DRY_POINTS = 20


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("sweep")(sweep)


def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP", help="A sweep file such as scenarios/sweeps/pricing.yaml.")],
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Processes on this machine; default: its usable cores."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster at tcp://host:port."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with the sweep in the output folder; failed runs are tried again."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Exactly this folder; default: below results/."),
    ] = None,
    dry: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the design, the number of runs and a time estimate; write nothing."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no summary, only errors.")] = False,
    memory: Memory = None,
    formats: ReportFormats = None,
    style: Style = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the content of sweep.json and nothing else.")] = False,
) -> None:
    """Run a design × replications, locally or on a Dask cluster, and report what each factor does."""
    from marketsim.cli.progress import tell_of_compiling
    from marketsim.experiments.runs.execute import SIMULATED, PoolLostError, preloads, start_server, usable_cores

    if scheduler is None:
        tell_of_compiling(quiet=quiet or as_json)
    if scheduler is None and not dry:
        start_server(preloads(SIMULATED))  # it loads the simulation while this process loads the rest and plans
    from marketsim.experiments.sweep.dry_run import dry_run
    from marketsim.experiments.sweep.progress import watcher_for
    from marketsim.experiments.sweep.session import carry_out, dask_pool, default_folder, local_pool, read_plan
    from marketsim.export.images import look_of, looking

    look = look_of(formats, style)
    plan = read_plan(file)
    runner = plan.runner
    count = workers or usable_cores()
    if dry:
        estimate = dry_run(plan, runner, count)
        if as_json:
            print(json.dumps(estimate.as_json(), indent=1))
        else:
            _print_dry_run(estimate)
        return
    folder = out or default_folder(plan)
    if scheduler is not None:
        maker, where = dask_pool(plan, runner, scheduler), "Dask"
    else:
        maker, where = local_pool(plan, runner, count), "local processes"
    try:
        with Unwinding(), looking(look):
            result, content = carry_out(plan, folder, maker, resume=resume, watcher=watcher_for(quiet=quiet or as_json), where=where)
    except KeyboardInterrupt:
        raise _interrupted(folder) from None
    except PoolLostError as error:
        print(_go_on(str(error), folder), file=sys.stderr)
        raise typer.Exit(1) from None
    except Exception as error:  # a library may have taken Ctrl-C for another error
        if interrupts.is_asked():
            raise _interrupted(folder) from error
        raise
    if result.dropped and not quiet:
        print(f"{result.dropped} runs of an earlier state of this sweep, which it does not use any more, are removed", file=sys.stderr)
    for reason in result.irreproducible:
        print(f"not reproducible: {reason}", file=sys.stderr)
    if as_json:
        print(json.dumps(content, indent=1))
    elif not quiet:
        _print_result(result, content, folder)
    if result.failures:
        print(
            f"{len(result.failures)} of {len(result.rows)} runs failed; see {folder / 'report.md'}",
            file=sys.stderr,
        )
        raise typer.Exit(1)


def _interrupted(folder: Path) -> typer.Exit:
    interrupts.tell(_go_on("interrupted", folder))
    return typer.Exit(interrupts.EXIT)


def _go_on(why: str, folder: Path) -> str:
    return f"{why}; finished runs are kept, go on with --resume --out {folder}"


def _print_result(result: SweepResult, content: Mapping[str, Any], folder: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    sweep_file = result.plan.sweep
    names = list(sweep_file.metrics)
    known = {name: result.naming(name) for name in names}
    table = Table(box=box.SIMPLE_HEAD, title=f"Sweep {sweep_file.name}", title_justify="left", title_style="bold")
    for factor in sweep_file.factors:
        table.add_column(escape(factor.label), no_wrap=True)
    table.add_column("runs", justify="right")
    for name in names:
        table.add_column(escape(known[name].label), justify="right")
    for point in content["points"][:_DRY_POINTS]:
        cells = [point["metrics"][name] for name in names]
        table.add_row(
            *map(escape, result.plan.design.points[point["point"]].labels()),
            str(cells[0]["count"]),
            *(_mean_cell(cell, known[name].scale) for cell, name in zip(cells, names, strict=True)),
        )
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    if len(content["points"]) > _DRY_POINTS:
        print(f"{len(content['points']) - _DRY_POINTS} more points in {folder / 'points.csv'}")
    print(f"report: {folder / 'report.html'}")


def _mean_cell(cell: Mapping[str, Any], scale: float) -> str:
    if cell["mean"] is None:
        return "–"
    low, high = cell["t"]["low"], cell["t"]["high"]
    half = f" ± {(high - low) / 2 * scale:.3g}" if low is not None and high is not None else ""
    return f"{cell['mean'] * scale:,.5g}{half}"


def _print_dry_run(estimate: DryRun) -> None:
    from marketsim.experiments.sweep.progress import duration

    plan = estimate.plan
    names = [factor.name for factor in plan.sweep.factors]
    removed = f", {plan.design.removed} left out by constraints" if plan.design.removed else ""
    print(f"design      {plan.sweep.design.kind}, {len(plan.design.points)} points{removed}")
    for factor in plan.sweep.factors:
        print(f"factor      {factor.label}: {', '.join(factor.writes())}")
    for point in plan.design.points[:_DRY_POINTS]:
        levels = ", ".join(f"{name} {label}" for name, label in zip(names, point.labels(), strict=True))
        print(f"point {point.index:<5} {levels}")
    if len(plan.design.points) > _DRY_POINTS:
        print(f"            … {len(plan.design.points) - _DRY_POINTS} more")
    seeds = plan.sweep.seeds
    print(f"seeds       {seeds.pairing} from {seeds.first}")
    least, most = estimate.runs_least, estimate.runs_most
    print(f"runs        {least:,}" + (f" to {most:,}" if most != least else ""))
    print(f"pilot       {len(estimate.pilot)} runs, {estimate.run_seconds:.2f} s each")
    for outcome in estimate.pilot:
        if outcome.status != "ok":
            print(f"pilot       failed: {outcome.message}")
    times = duration(estimate.seconds(least))
    if most != least:
        times += f" to {duration(estimate.seconds(most))}"
    if estimate.compile_seconds:
        after = "which every sweep does again" if estimate.compiles_again else "kept: the sweep finds it"
        print(f"compiled    for {duration(estimate.compile_seconds)}, {after}")
    print(f"estimate    {times} with {estimate.workers} workers")
