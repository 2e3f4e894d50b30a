"""The `marketsim export` command: a recorded run as series for other tools."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from marketsim.metrics.series import Sample
    from marketsim.recording.record import Record

MAX_STEP_MS = 300_000
"""Longest time between two samples: Prometheus looks back five minutes, and would see holes in a sparser series."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("export")(export)


def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder that `run` has written.")],
    openmetrics: Annotated[
        Path,
        typer.Option(
            "--openmetrics", metavar="FILE", help="Write the metrics of the training document as OpenMetrics, for promtool's backfill."
        ),
    ],
    step: Annotated[str, typer.Option("--step", metavar="D", help="Time between samples, at most 5m.")] = "5m",
    providers: Annotated[
        list[str] | None,
        typer.Option("--provider", metavar="NAME", help="Only this provider's series and those of the market; repeatable."),
    ] = None,
    names: Annotated[
        str, typer.Option("--names", metavar="document|chain", help="`chain` adds the names that the real code uses.")
    ] = "document",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no closing line, only errors.")] = False,
) -> None:
    """Write a recorded run as metrics over time. The run is played again from its manifest, whatever its record kept."""
    from marketsim.export.results import read_record
    from marketsim.metrics.chain_names import CHAIN_SERIES
    from marketsim.metrics.openmetrics import write
    from marketsim.metrics.series import SERIES

    record = read_record(folder)
    blocks = _step_blocks(step, int(record.meta["block_ms"]))
    chosen = _rows(providers or [], record)
    shown = (*SERIES, *(series for series, _ in CHAIN_SERIES)) if _with_chain(names) else SERIES
    partial = openmetrics.with_name(f".{openmetrics.name}.partial")
    try:
        count = write(partial, _times(folder, record, blocks, chosen, quiet=quiet), shown)
        os.replace(partial, openmetrics)
    except OSError as error:
        from marketsim.errors import InputError

        raise InputError(f"{openmetrics}: cannot be written ({error.strerror}), choose another file") from None
    finally:
        partial.unlink(missing_ok=True)
    if not quiet:
        print(f"{openmetrics}: {count:,} samples", file=sys.stderr)


def _times(
    folder: Path, record: Record, step: int, rows: list[int] | None, *, quiet: bool
) -> Iterator[tuple[float, Mapping[str, list[Sample]]]]:
    from marketsim.cli.progress import progress_shown
    from marketsim.metrics.chain_names import with_chain_names
    from marketsim.metrics.series import samples
    from marketsim.simulation.observed import again

    start = datetime.fromisoformat(str(record.meta["start"]))
    begin = (start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp()
    with progress_shown(folder.name, quiet=quiet) as progress:
        for at in again(record, step):
            yield begin + at.height * at.block_ms / 1000, with_chain_names(samples(at, rows))
            if progress is not None:
                progress(at.height, record.blocks)


def _step_blocks(text: str, block_ms: int) -> int:
    from marketsim.errors import InputError
    from marketsim.scenario.literals import parse_duration

    try:
        step = parse_duration(text)
    except ValueError as error:
        raise InputError(f"--step: {error}") from None
    blocks = step.blocks(block_ms)
    if blocks < 1 or (blocks > 1 and blocks * block_ms > MAX_STEP_MS):
        raise InputError(f"--step: {text} is {blocks} blocks, expected from 1 block to 5m: with less Prometheus would see holes")
    return blocks


def _rows(names: list[str], record: Record) -> list[int] | None:
    from marketsim.errors import InputError

    known = record.providers["name"]
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        raise InputError([f"--provider: {name} is not in this run, expected one of {shown}" for name in unknown])
    return [known.index(name) for name in dict.fromkeys(names)] if names else None


def _with_chain(names: str) -> bool:
    from marketsim.errors import InputError

    if names not in {"document", "chain"}:
        raise InputError(f"--names: {names!r} is none, expected document or chain")
    return names == "chain"
