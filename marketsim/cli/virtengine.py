"""`marketsim virtengine …`: the real chain's command line and the training document's, against a devnet."""

from __future__ import annotations

import typer

SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}
"""Everything behind `virtengine` is read by its own rules, options and --help too."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    about = "The chain's own command line against a devnet: tx, query, keys, status; --dir DIR before them."
    app.command("virtengine", help=about, context_settings=SETTINGS)(virtengine)


def virtengine(context: typer.Context) -> None:
    """Run one command; exit codes are the real chain's, 0 and 1."""
    from marketsim.cli.devnet import need_extra

    need_extra()
    from marketsim.devnet.words.tools import run_tool

    raise typer.Exit(run_tool("virtengine", context.args))
