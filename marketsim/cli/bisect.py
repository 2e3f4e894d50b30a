"""The `marketsim bisect` command: the commit that moved an outcome."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("bisect")(bisect_command)


def bisect_command(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO", help="A scenario file.")],
    good: Annotated[str, typer.Option("--good", metavar="REV", help="A commit with the outcome as it was.")],
    bad: Annotated[str, typer.Option("--bad", metavar="REV", help="A later commit with another outcome.")] = "HEAD",
    repo: Annotated[
        Path | None,
        typer.Option("--repo", metavar="DIR", help="A git repository with marketsim or a strategy in it; default: the scenario's."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", metavar="EXPR", help="Look at a number of summary.json, such as fill_rate.")
    ] = None,
    event: Annotated[
        str | None, typer.Option("--event", metavar="TEXT", help="Look at the events that begin so, such as 'lease created: web-3/17'.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="In place of the scenario's seed.")] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a value; repeatable.")] = None,
    horizon: Annotated[str | None, typer.Option("--horizon", metavar="D", help="Length of the run: 7d, 12h, 100 blocks.")] = None,
    of_commit: Annotated[
        bool, typer.Option("--scenario-of-commit", help="Take the scenario as each commit has it, not as it is now.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Find the commit that moved an outcome, and the first event that it changed.

    The scenario is run with the code of each commit that is tried, in a worktree of its own; a commit that cannot be run is skipped and
    said. Nothing is left behind, also on Ctrl-C. Without --metric and --event everything counts that a fingerprint knows.
    """
    from marketsim.errors import InputError
    from marketsim.experiments.difference.bisect import bisect, bisection_lines, read_criterion
    from marketsim.experiments.difference.commits import Laboratory, Repository
    from marketsim.interrupts import Unwinding

    if not scenario.is_file():
        raise InputError(f"{scenario}: no such file, expected a scenario")
    criterion = read_criterion(metric, event)
    repository = Repository(repo if repo is not None else scenario.resolve().parent)
    ends = repository.commit(good, "--good"), repository.commit(bad, "--bad")
    options = [] if seed is None else ["--seed", str(seed)]
    options += [part for setting in settings or () for part in ("--set", setting)]
    options += [] if horizon is None else ["--horizon", horizon]

    def tell(text: str) -> None:
        if not (quiet or as_json):
            print(f"bisect: {text}", file=sys.stderr, flush=True)

    with Unwinding(), Laboratory(repository, scenario, options, of_commit=of_commit, tell=tell) as laboratory:
        found = bisect(repository, laboratory, str(scenario), *ends, criterion, tell)
    if as_json:
        print(json.dumps(found.as_json(), indent=1, ensure_ascii=False, default=str))
    else:
        print("\n".join(bisection_lines(found)))
