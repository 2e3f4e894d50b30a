"""The options of figures, the same for every command that writes some."""

from __future__ import annotations

from typing import Annotated

import typer

Formats = Annotated[
    list[str] | None,
    typer.Option("--format", metavar="FORMAT", help="Figures as pdf or svg too, as wide as a column of a paper; repeatable."),
]
ReportFormats = Annotated[
    list[str] | None,
    typer.Option("--format", metavar="FORMAT", help="The report's figures as pdf or svg too, beside the PNG; repeatable."),
]
Style = Annotated[
    str | None,
    typer.Option("--style", metavar="FILE", help="How figures look: a style sheet of matplotlib, by file or name such as grayscale."),
]
