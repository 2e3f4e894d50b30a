"""The `marketsim optimize` command."""

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
    from marketsim.experiments.optimize.pareto import Goal
    from marketsim.experiments.optimize.search import Optimization, SearchFactor
    from marketsim.experiments.runs.variants import Variant


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("optimize")(optimize_command)


def optimize_command(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="A scenario file.")],
    factor: Annotated[
        list[str],
        typer.Option(
            "--factor",
            metavar="PATH=LOW..HIGH",
            help="What to search: bid_window=5..50 blocks, tenants.web.demand.arrivals=10..60/h, PATH=2..20:{x * 3}s.",
        ),
    ],
    objective: Annotated[
        list[str],
        typer.Option(
            "--objective",
            metavar="METRIC",
            help="A metric or an expression of several, min: or max: before it. Twice: the front of both.",
        ),
    ],
    budget: Annotated[int, typer.Option("--budget", metavar="RUNS", min=1, help="Runs in all.")] = 200,
    constraint: Annotated[list[str] | None, typer.Option("--constraint", metavar="EXPR", help="To be met, e.g. fill_rate>=0.8.")] = None,
    minimize: Annotated[bool, typer.Option("--minimize", help="The smallest value is the best, where no max: stands before it.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change the scenario first.")] = None,
    per_point: Annotated[int, typer.Option("--per-point", min=1, help="Seeds a point is run with in the search.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="First seed.")] = 1,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print optimization.json and nothing else.")] = False,
) -> None:
    """Search a scenario's best setting under noise, or the front of two objectives; the figures reported come from fresh seeds."""
    from marketsim.cli.progress import tell_of_compiling
    from marketsim.experiments.optimize.asked import check_search, fitted
    from marketsim.experiments.optimize.front_report import front_files, front_lines
    from marketsim.experiments.optimize.pareto import ParetoFront, pareto
    from marketsim.experiments.optimize.report import optimization_files, optimization_lines
    from marketsim.experiments.optimize.search import optimize, parse_constraint, parse_factor
    from marketsim.experiments.runs.execute import usable_cores
    from marketsim.experiments.runs.simulated import runner_for
    from marketsim.experiments.runs.variants import PooledRuns, RunFailedError, Variant, read_arm
    from marketsim.experiments.runs.whole_folder import write_folder
    from marketsim.export.folder import free_folder
    from marketsim.export.images import look_of, looking, with_copies

    look = look_of(formats, style)
    if scenario.is_dir():
        raise InputError(f"{scenario}: is a folder, give a scenario file")
    variant = read_arm(scenario, set_ or (), scenario.stem)
    assert isinstance(variant, Variant)
    factors = [fitted(variant, parse_factor(text)) for text in factor]
    goals = [parse_goal(text, minimize=minimize) for text in objective]
    if len(goals) > 2 or len({goal.figure.text for goal in goals}) < len(goals):
        raise InputError("--objective: give one, or two different ones for their front")
    wanted = [parse_constraint(text) for text in constraint or ()]
    for goal in goals:
        check_search(variant, factors, goal.figure, wanted)
    folder = out if out is not None else _default_folder(variant, factors, goals, budget, seed)
    if out is not None:
        free_folder(out)
    show = not quiet and not as_json

    def progress(done: int, most: int) -> None:
        if show:
            print(f"optimize: {done} of {most} runs", file=sys.stderr, flush=True)

    tell_of_compiling(quiet=not show)
    with Unwinding(), tempfile.TemporaryDirectory(prefix="marketsim-optimize-") as scratch:
        figures = [*(goal.figure for goal in goals), *(one.slack for one in wanted)]
        runner = runner_for(name for figure in figures for name in figure.metrics)
        runs = PooledRuns(runner, Path(scratch), workers or usable_cores())
        try:
            found: Optimization | ParetoFront
            if len(goals) > 1:
                found = pareto(
                    variant,
                    runs,
                    factors,
                    (goals[0], goals[1]),
                    budget=budget,
                    constraints=wanted,
                    per_point=per_point,
                    seed=seed,
                    progress=progress,
                )
            else:
                found = optimize(
                    variant,
                    runs,
                    factors,
                    goals[0].figure,
                    budget=budget,
                    constraints=wanted,
                    maximize=goals[0].maximize,
                    per_point=per_point,
                    seed=seed,
                    progress=progress,
                )
        except RunFailedError as error:
            print(f"run failed: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        finally:
            runs.close()
    with looking(look):
        files = front_files(found) if isinstance(found, ParetoFront) else optimization_files(found)
        write_folder(folder, with_copies(files), replace=out is None)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    elif not quiet:
        print("\n".join(front_lines(found) if isinstance(found, ParetoFront) else optimization_lines(found)))
        print(f"report      {folder / 'report.html'}")
    if isinstance(found, ParetoFront):
        if found.points and all(point.slack < 0 for point in found.points):
            print("every candidate breaks a constraint on its fresh seeds", file=sys.stderr)
            raise typer.Exit(1)
    elif not found.feasible:
        print("what is recommended breaks a constraint on its fresh seeds", file=sys.stderr)
        raise typer.Exit(1)


def parse_goal(text: str, *, minimize: bool) -> Goal:
    """`METRIC`, `min:METRIC` or `max:METRIC`; raises InputError."""
    from marketsim.experiments.optimize.pareto import Goal
    from marketsim.experiments.optimize.search import parse_figure

    direction, colon, rest = text.partition(":")
    if colon and direction.strip() in ("min", "max"):
        return Goal(parse_figure(rest.strip(), "--objective"), direction.strip() == "max")
    return Goal(parse_figure(text, "--objective"), not minimize)


def _default_folder(variant: Variant, factors: list[SearchFactor], goals: list[Goal], budget: int, seed: int) -> Path:
    import hashlib

    effective = variant.effective()
    content = [effective, [repr(factor) for factor in factors], [goal.words for goal in goals], budget, seed]
    text = json.dumps(content, sort_keys=True, default=str)
    name = f"optimize-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    return Path("results") / str(effective["name"]) / name
