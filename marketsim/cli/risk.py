"""The `marketsim risk` command."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marketsim.cli.memory import Memory
from marketsim.errors import InputError
from marketsim.interrupts import Unwinding

if TYPE_CHECKING:
    from marketsim.experiments.runs.variants import Arm


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("risk")(risk_command)


def risk_command(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="A scenario file, or a folder of finished runs.")],
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A number of summary.json by dotted path, or lease.… or provider.… such as lease.paid."),
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option("--event", metavar="EXPR", help="How likely is this, e.g. 'revenue.total<5e8'."),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change the scenario first.")] = None,
    runs: Annotated[int, typer.Option("--runs", min=2, help="Runs, one seed each.")] = 200,
    tilted: Annotated[
        int | None,
        typer.Option("--tilted", min=0, help="Further runs with other demand for each event that is rare; default: as many as --runs."),
    ] = None,
    level: Annotated[float, typer.Option("--level", help="Confidence of each interval.")] = 0.95,
    seed: Annotated[int, typer.Option("--seed", min=0, help="First seed.")] = 1,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes on this machine; default: its usable cores.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, only the result.")] = False,
    memory: Memory = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
) -> None:
    """How bad it can get: value at risk and expected shortfall (95 and 99 %) over runs, probabilities of rare events."""
    from marketsim.experiments.compare.paired import DEFAULT_METRICS
    from marketsim.experiments.compare.risk import assess, parse_event, risk_lines
    from marketsim.experiments.runs.execute import usable_cores
    from marketsim.experiments.runs.items import is_item
    from marketsim.experiments.runs.simulated import runner_for
    from marketsim.experiments.runs.variants import PooledRuns, RunFailedError, SerialRuns, Variant, read_arm

    if not 0.5 <= level < 1:
        raise InputError(f"--level: {level:g} is not a confidence level, give one from 0.5 to below 1")
    arm = read_arm(scenario, set_ or (), scenario.stem if scenario.is_file() else str(scenario))
    events = [parse_event(text) for text in event or ()]
    metrics = list(dict.fromkeys(metric or ([] if events else DEFAULT_METRICS)))
    named = [("--metric", name) for name in metrics] + [("--event", name) for one in events for name in one.condition.slack.metrics]
    problems = {f"{option}: {problem}": None for option, name in named if (problem := _problem(arm, name))}
    for one in events:
        kinds = {name.partition(".")[0] for name in one.condition.slack.metrics if is_item(name)}
        if len(kinds) > 1:
            problems[f"--event: {one.text}: speaks of leases and of providers at once, give one event for each"] = None
    if problems:
        raise InputError(problems)

    def progress(done: int, most: int) -> None:
        if not quiet and not as_json:
            print(f"risk: {done} of {most} runs", file=sys.stderr, flush=True)

    with Unwinding(), tempfile.TemporaryDirectory(prefix="marketsim-risk-") as scratch:
        runner = runner_for(name for _, name in named)
        maker = PooledRuns(runner, Path(scratch), workers or usable_cores()) if isinstance(arm, Variant) else SerialRuns(runner)
        try:
            found = assess(
                arm,
                maker,
                metrics=metrics,
                events=events,
                count=runs,
                first_seed=seed,
                level=level,
                tilted_runs=runs if tilted is None else tilted,
                progress=progress,
            )
        except RunFailedError as error:
            print(f"run failed: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        finally:
            if isinstance(maker, PooledRuns):
                maker.close()
    print(json.dumps(found.as_json(), indent=1) if as_json else "\n".join(risk_lines(found)))


def _problem(arm: Arm, name: str) -> str | None:
    """What is wrong with a metric's name, None when the runs have it."""
    from marketsim.experiments.runs.items import is_item, unknown_item
    from marketsim.experiments.runs.metric_names import unknown_metric
    from marketsim.experiments.runs.scenario_source import ScenarioFiles
    from marketsim.experiments.runs.variants import Variant

    if is_item(name):
        found = unknown_item(name)
        return found if found or isinstance(arm, Variant) else f"`{name}` is not in summaries of finished runs, give the scenario file"
    return ScenarioFiles().unknown_metric(name, arm.effective()) if isinstance(arm, Variant) else unknown_metric(name)
