"""The option `--memory`, the same for every command that runs or checks scenarios."""

from __future__ import annotations

import os
from typing import Annotated

import typer


def _set(value: str | None) -> str | None:
    if value is not None:
        from marketsim.scenario.footprint import VARIABLE, limit

        os.environ[VARIABLE] = value  # processes that run scenarios for this one hold to it too
        limit()
    return value


Memory = Annotated[
    str | None,
    typer.Option(
        "--memory", metavar="SIZE", callback=_set, help="The most memory that a run may take, as far as its scenario tells; default 8Gi."
    ),
]
