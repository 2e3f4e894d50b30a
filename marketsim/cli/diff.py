"""The `marketsim diff` command: the first thing that two runs did differently."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from marketsim.cli.memory import Memory
from marketsim.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("diff")(diff)


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="A results folder, or a scenario file, which is run first.")],
    b: Annotated[
        Path | None, typer.Argument(metavar="[B]", help="Another; default: the scenario A again, changed by --set-b.", show_default=False)
    ] = None,
    set_both: Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change both scenarios.")] = None,
    set_a: Annotated[list[str] | None, typer.Option("--set-a", metavar="PATH=VALUE", help="Change A only.")] = None,
    set_b: Annotated[list[str] | None, typer.Option("--set-b", metavar="PATH=VALUE", help="Change B only.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="Of scenarios, in place of their seeds.")] = None,
    seed_b: Annotated[int | None, typer.Option("--seed-b", min=0, metavar="N", help="Of B, in place of --seed.")] = None,
    ingredients: Annotated[
        list[str] | None,
        typer.Option(
            "--ingredients", metavar="NAMES", help="Compare these only, of messages,events,prices,payments,settlements,states; repeatable."
        ),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", metavar="NAMES", help="Leave these out; repeatable.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors: the exit code says it.")] = False,
    memory: Memory = None,
) -> None:
    """Find the first thing that two runs did differently: exit code 0 where there is none, 1 where there is.

    Results folders remember by names, every 100 blocks, what happened (trail.csv). Where two trails part, both runs are played again up to
    there, and the first event that differs is shown with its message, both states of what it touches, and the random streams that were
    drawn differently.
    """
    from marketsim.cli.progress import Progress, progress_shown
    from marketsim.experiments.difference.find import chosen_ingredients, first_difference
    from marketsim.experiments.difference.report import difference_lines, difference_markdown
    from marketsim.experiments.difference.sides import sides_of
    from marketsim.interrupts import Unwinding

    if as_json and as_markdown:
        raise InputError("--json: stands beside --markdown, give one of the two")
    chosen = chosen_ingredients(_names(ingredients), _names(ignore))
    other = a if b is None else b
    if b is None and a.is_dir():
        raise InputError(f"{a}: B: is missing, a finished run is compared with another folder or a scenario file")
    silent = quiet or as_json or as_markdown
    paths = (a, other)
    both = list(set_both or ())  # what is said of both scenarios is said of none that is done
    overrides = tuple([*([] if path.is_dir() else both), *(own or ())] for path, own in zip(paths, (set_a, set_b), strict=True))
    numbers = (seed, seed if seed_b is None else seed_b)
    seeds = tuple(None if path.is_dir() else number for path, number in zip(paths, numbers, strict=True))

    def tell(text: str) -> None:
        if not silent:
            print(f"diff: {text}", file=sys.stderr, flush=True)

    def show(label: str) -> AbstractContextManager[Progress | None]:
        return progress_shown(label, quiet=silent)

    with Unwinding(), tempfile.TemporaryDirectory(prefix="marketsim-diff-") as scratch:
        sides = sides_of(paths, (overrides[0], overrides[1]), (seeds[0], seeds[1]), Path(scratch), show)
        found = first_difference(*sides, ingredients=chosen, progress=tell)
    if as_json:
        print(json.dumps(found.as_json(), indent=1, ensure_ascii=False, default=str))
    elif as_markdown:
        print(difference_markdown(found))
    elif not quiet:
        print("\n".join(difference_lines(found)))
    if not found.equal:
        raise typer.Exit(1)


def _names(options: list[str] | None) -> list[str]:
    return [name.strip() for option in options or () for name in option.split(",") if name.strip()]
