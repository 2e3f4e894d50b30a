"""The `marketsim export` command: a recorded run as series for other tools."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

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
        Path | None,
        typer.Option("--openmetrics", metavar="FILE", help="Write the training document's metrics as OpenMetrics text."),
    ] = None,
    prometheus: Annotated[
        Path | None,
        typer.Option(
            "--prometheus",
            metavar="FOLDER",
            help="Write all that a Prometheus and a Grafana need to show the run: data, rules, a dashboard.",
        ),
    ] = None,
    step: Annotated[str, typer.Option("--step", metavar="D", help="Time between samples, at most 5m.")] = "5m",
    providers: Annotated[
        list[str] | None,
        typer.Option("--provider", metavar="NAME", help="Only this provider's series and those of the market; repeatable."),
    ] = None,
    names: Annotated[
        str, typer.Option("--names", metavar="document|chain", help="`chain` adds the names that the real code uses.")
    ] = "document",
    scenario: Annotated[
        Path | None,
        typer.Option("--scenario", metavar="FILE", help="The scenario file that was run, where its traces are not where they were."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no closing line, only errors.")] = False,
) -> None:
    """Write a recorded run as metrics over time. The run is played again from its manifest, whatever its record kept."""
    from marketsim.errors import InputError
    from marketsim.export.results import read_record

    if (openmetrics is None) == (prometheus is None):
        raise InputError("nothing to write, expected --openmetrics FILE or --prometheus FOLDER, one of the two")
    record = read_record(folder)
    wanted = _Wanted(
        step=_step_blocks(step, int(record.meta["block_ms"])),
        rows=_rows(providers or [], record),
        chain=_with_chain(names),
        base=_base(scenario, folder, record),
        quiet=quiet,
    )
    if openmetrics is not None:
        count = _write_file(openmetrics, folder, record, wanted)
        _say(f"{openmetrics}: {count:,} samples", quiet)
    if prometheus is not None:
        _write_prometheus(prometheus, folder, record, wanted)


class _Wanted(NamedTuple):
    """What is written of a run: a sample every `step` blocks of the providers in `rows` (all where None); traces stand below `base`."""

    step: int
    rows: list[int] | None
    chain: bool
    base: Path
    quiet: bool


def _write_file(target: Path, folder: Path, record: Record, wanted: _Wanted) -> int:
    from marketsim.errors import InputError
    from marketsim.metrics.chain_names import CHAIN_SERIES
    from marketsim.metrics.openmetrics import write
    from marketsim.metrics.series import SERIES

    shown = (*SERIES, *(series for series, _ in CHAIN_SERIES)) if wanted.chain else SERIES
    partial = target.with_name(f".{target.name}.partial")
    try:
        count = write(partial, _times(folder, record, wanted), shown)
        os.replace(partial, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror}), choose another file") from None
    finally:
        partial.unlink(missing_ok=True)
    return count


def _write_prometheus(target: Path, folder: Path, record: Record, wanted: _Wanted) -> None:
    from marketsim.export.folder import written_whole
    from marketsim.metrics.prometheus_folder import backfill, serve_command, write_configuration

    with written_whole(target) as fresh:
        count = _write_file(fresh / "metrics.om", folder, record, wanted)
        write_configuration(fresh)
        missing = backfill(fresh / "metrics.om", fresh / "data")
    _say(f"{target}: {count:,} samples, rules and a dashboard", wanted.quiet)
    if missing is not None:
        _say(f"no data for Prometheus: {missing}", quiet=False)
    else:
        _say(f"serve it with\n  {serve_command(target)}", wanted.quiet)


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr)


def _times(folder: Path, record: Record, wanted: _Wanted) -> Iterator[tuple[float, Mapping[str, list[Sample]]]]:
    from marketsim.cli.progress import progress_shown
    from marketsim.metrics.chain_names import with_chain_names
    from marketsim.metrics.series import samples
    from marketsim.simulation.observed import again

    start = datetime.fromisoformat(str(record.meta["start"]))
    begin = (start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp()
    with progress_shown(folder.name, quiet=wanted.quiet) as progress:
        for at in again(record, wanted.step, wanted.base):
            yield begin + at.height * at.block_ms / 1000, with_chain_names(samples(at, wanted.rows))
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


def _base(scenario: Path | None, folder: Path, record: Record) -> Path:
    """The folder that the run's traces are found from: beside the scenario file, by default where the manifest says that it was."""
    from marketsim.errors import InputError
    from marketsim.export.results import MANIFEST, read_json

    origin = read_json(folder, MANIFEST).get("origin") or {}
    base = Path(origin.get("folder", "")) if scenario is None else scenario.parent
    for cohort in record.meta["scenario"].get("tenants") or ():
        trace = cohort["demand"].get("trace")
        if trace is not None and not (base / trace).exists():
            raise InputError(f"the run's demand comes from {trace}, which is not in {base}: give the scenario file with --scenario FILE")
    return base
