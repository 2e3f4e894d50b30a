"""The `marketsim explain` command: everything that happened to one object of a recorded run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("explain")(explain)


def explain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder that `run` has written.")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="ORDER|PROVIDER|TENANT",
            help="An order tenant/dseq/gseq/oseq or its row 12, a provider such as edge-0, or a tenant such as web-3.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Tell everything that happened to an order or a provider: bids, prices, refusals, payments, and why."""
    from marketsim.export.results import json_text, read_record
    from marketsim.report import explain as stories

    story = stories.explain(read_record(folder), target)
    sys.stdout.write(json_text(story.as_json()) if as_json else f"{story}\n")
