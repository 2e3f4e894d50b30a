"""The `marketsim dash` command: the training document's dashboard of a running devnet, on a terminal."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from marketsim.errors import InputError

INSTALL = "pip install 'marketsim[dash]'"
LINES = 5


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("dash")(dash)


def dash(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="The devnet's folder.")] = Path(".devnet"),
    provider: Annotated[str, typer.Option("--provider", metavar="NAME", help="Whose figures: a key, an address, or all.")] = "provider",
    once: Annotated[bool, typer.Option("--once", help="Print one frame as plain text and end.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, max=3600, metavar="SECONDS", help="How often it asks.")] = 1.0,
) -> None:
    """Show the dashboard of a running devnet; keys: p pause, r resume, a 100 blocks, h an hour, m mine or all, 1 2 3 tables, q quit."""
    from marketsim.devnet.client import Client

    if not once and importlib.util.find_spec("textual") is None:
        raise InputError(f"dash: textual is not installed, `{INSTALL}` brings it; --once needs none")
    client = Client.of(folder)
    whose = None if provider == "all" else provider
    found = client.dashboard(whose)
    if once:
        from marketsim.devnet.panel import frame

        width = min(100, shutil.get_terminal_size((80, 24)).columns)
        sys.stdout.write("".join(f"{line}\n" for line in frame(found, client.journal(n=LINES), width)))
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("dash: this is no terminal, `marketsim dash --once` prints one frame as text")
    from marketsim.devnet.screen import DashboardScreen

    DashboardScreen(client, provider=whose, every=every).run()
