"""`marketsim init` begins a folder of one's own; `marketsim scenarios` lists and copies what comes with marketsim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command("init")(init)
    shipped = typer.Typer(help="List and copy the scenarios and sweeps that come with marketsim.", no_args_is_help=True)
    shipped.command("list")(list_names)
    shipped.command("copy")(copy)
    app.add_typer(shipped, name="scenarios")


def init(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="A new or empty folder; default: this one.", show_default=False)] = Path(),
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Begin a folder: a scenario with its schema, a provider file, a sweep, a strategy with a test, a notebook, a README."""
    from marketsim.face import projects

    made = projects.init(folder)
    if not quiet:
        for path in sorted(made.iterdir()):
            typer.echo(str(path))
        typer.echo(f"begin with: {'' if made == Path() else f'cd {made}; '}marketsim run scenario.yaml")


def list_names(as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list of the names.")] = False) -> None:
    """Print the names that `marketsim run NAME` and `marketsim sweep NAME` take."""
    from marketsim.face import projects

    names = projects.scenarios()
    typer.echo(json.dumps(names, indent=1) if as_json else "\n".join(names))


def copy(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name that `marketsim scenarios list` prints.")],
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to; default: this folder.", show_default=False)] = Path(),
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Copy a shipped scenario or sweep with the provider files, manifests and traces that it names."""
    from marketsim.face import projects

    for path in projects.copy_scenario(name, folder):
        if not quiet:
            typer.echo(str(path))
