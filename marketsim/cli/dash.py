"""The `marketsim dash` command: the training document's dashboard of a devnet or of a recorded run, on a terminal."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marketsim.errors import InputError

if TYPE_CHECKING:
    from marketsim.dash.watched import Watched

INSTALL = "pip install 'marketsim[dash]'"
LINES = 5


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("dash")(dash)


def dash(
    run: Annotated[Path | None, typer.Argument(metavar="DIR", help="A results folder that `run` has written; else a devnet.")] = None,
    folder: Annotated[Path, typer.Option("--devnet", "--dir", metavar="DIR", help="The devnet's folder.")] = Path(".devnet"),
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help="Whose figures and log: a name, a key, an address, or all.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="PLACE", help="Of a run: a block, a time such as 12h, or end.")] = None,
    scenario: Annotated[
        Path | None, typer.Option("--scenario", metavar="FILE", help="Of a run: the scenario's file, where its traces have moved.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print one frame as plain text and end.")] = False,
    every: Annotated[float, typer.Option("--every", min=0.1, max=3600, metavar="SECONDS", help="How often it asks.")] = 1.0,
) -> None:
    """Show the dashboard of a running devnet, or of a recorded run that is played again; ? lists the keys, q quits."""
    if not once and importlib.util.find_spec("textual") is None:
        raise InputError(f"dash: textual is not installed, `{INSTALL}` brings it; --once needs none")
    if run is None and (at is not None or scenario is not None):
        raise InputError(f"{'--at' if at is not None else '--scenario'}: is for a recorded run, give its folder as well")
    market, shown, own = _devnet(folder, provider) if run is None else _recorded(run, provider, at, scenario, once)
    if once:
        _print(market, shown)
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("dash: this is no terminal, `marketsim dash --once` prints one frame as text")
    from marketsim.dash.screen import DashboardScreen

    DashboardScreen(market, provider=shown, own=own, every=every).run()


def _devnet(folder: Path, provider: str | None) -> tuple[Watched, str | None, str]:
    from marketsim.cli.devnet import need_extra

    need_extra()
    from marketsim.dash.running import RunningDevnet
    from marketsim.devnet.client import Client

    shown = None if provider == "all" else provider or "provider"
    client = Client.of(folder)
    client.dashboard(shown, 0)
    return RunningDevnet(client), shown, shown or "provider"


def _recorded(run: Path, provider: str | None, at: str | None, scenario: Path | None, once: bool) -> tuple[Watched, str | None, str | None]:
    if (run / "logs").is_dir() and not (run / "manifest.json").exists():
        raise InputError(f"{run}: is a devnet's folder, `marketsim dash --devnet {run}` shows it")
    from marketsim.dash.recorded import RecordedMarket

    named = None if provider in (None, "all") else provider
    market = RecordedMarket(run, provider=named, scenario=scenario)
    where = at or ("end" if once else None)
    if where is None:
        market.set_clock(paused=False)
    else:
        market.go(market.block_of(where))
    return market, named, market.provider


def _print(market: Watched, provider: str | None) -> None:
    from marketsim.dash.panel import frame

    seen = market.look(provider, "journal")
    width = min(100, shutil.get_terminal_size((80, 24)).columns)
    sys.stdout.write("".join(f"{line}\n" for line in frame(seen.figures, seen.lines[-LINES:], width)))
