"""The `marketsim report` command: figures and pages again from the record in a results folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from marketsim.cli.figures import Formats, Style
from marketsim.interrupts import Unwinding


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("report")(report)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder that `run` has written.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write into this folder, new or empty; default: into DIR."),
    ] = None,
    formats: Formats = None,
    style: Style = None,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Leave the figures out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json and nothing else.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
) -> None:
    """Make the figures, report.html and report.md again and print the report."""
    from marketsim.errors import InputError
    from marketsim.export.folder import written_whole
    from marketsim.export.images import look_of
    from marketsim.export.results import json_text, read_record, read_summary
    from marketsim.report.pages import write_pages
    from marketsim.report.terminal import print_report

    look = look_of(formats, style)
    record, summary = read_record(folder), read_summary(folder)
    try:
        if out is None:
            with Unwinding():
                content = write_pages(folder, record, summary, figures=not no_figures, look=look)
        else:
            with written_whole(out) as fresh:
                content = write_pages(fresh, record, summary, figures=not no_figures, look=look)
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder}: damaged results ({error!r}), expected what `marketsim run` has written") from None
    if as_json:
        sys.stdout.write(json_text(summary))
    elif not quiet:
        print_report(content)
        sys.stdout.write(f"\nReport: {(out or folder) / 'report.html'}\n")
