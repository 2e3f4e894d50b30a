"""The `marketsim capsule` commands: a run or a sweep as one file, and whether it comes out the same here."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    group = typer.Typer(
        help="A run or a sweep as one file that can be made again, byte for byte.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command("create")(create)
    group.command("verify")(verify)
    app.add_typer(group, name="capsule")


def create(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|SWEEP", help="The folder of a run or a sweep; a scenario or sweep file is run first.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The capsule, such as baseline.capsule.")],
    replace: Annotated[bool, typer.Option("--replace", help="Write over a capsule that is there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Put a run or a sweep into one file: scenario, contents that it read, seeds, versions, outputs with a tree of their hashes."""
    from marketsim.errors import InputError
    from marketsim.experiments.difference.capsule import make_capsule, save_capsule
    from marketsim.interrupts import Unwinding

    if out.is_dir():
        raise InputError(f"{out}: -o: is a folder, give the name of a file")
    if out.exists() and not replace:
        raise InputError(f"{out}: -o: is there already, give another name or --replace")
    with Unwinding():
        content = make_capsule(source)
        save_capsule(out, content)
    if not quiet:
        print(f"{out}: {len(content):,} bytes")


def verify(
    capsule: Annotated[Path, typer.Argument(metavar="CAPSULE", help="A file that `capsule create` has written.")],
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes of a sweep; default: usable cores.")] = None,
    anyway: Annotated[bool, typer.Option("--anyway", help="Make it again also where other versions are installed.")] = False,
    no_code: Annotated[bool, typer.Option("--no-code", help="Refuse a capsule that brings classes or scripts of its own.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Make a capsule's run or sweep again and compare every byte of its outputs: exit code 0 where all agree, else 1."""
    from marketsim.experiments.difference.capsule import verdict_lines, verify_capsule
    from marketsim.interrupts import Unwinding

    def tell(text: str) -> None:
        if not (quiet or as_json):
            print(f"capsule: {text}", file=sys.stderr, flush=True)

    with Unwinding():
        verdict = verify_capsule(capsule, workers=workers, anyway=anyway, allow_code=not no_code, tell=tell)
    if as_json:
        print(json.dumps(verdict.as_json(), indent=1, ensure_ascii=False))
    else:
        print("\n".join(verdict_lines(capsule, verdict)))
    if not verdict.agrees:
        raise typer.Exit(1)
