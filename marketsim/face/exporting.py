"""A recorded run as metrics over time: one file of OpenMetrics text, or all that a Prometheus and a Grafana need to show it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from marketsim.errors import InputError
from marketsim.face.telling import Telling, Told, told

if TYPE_CHECKING:
    from marketsim.metrics.series import Sample
    from marketsim.recording.record import Record

MAX_STEP_MS = 300_000
"""Longest time between two samples: Prometheus looks back five minutes, and would see holes in a sparser series."""


class Exported(NamedTuple):
    """What was written: the file or folder, how many samples, and why there is no data for Prometheus (None where there is).

    >>> import marketsim as ms
    >>> from pathlib import Path
    >>> ms.Exported(Path("run.om"), 12).samples
    12
    """

    path: Path
    samples: int
    missing: str | None = None


class _Wanted(NamedTuple):
    """What is written of a run: a sample every `step` blocks of the providers in `rows` (all where None); traces stand below `base`."""

    folder: Path
    record: Record
    step: int
    rows: list[int] | None
    chain: bool
    base: Path


def export_run(
    folder: str | os.PathLike[str],
    *,
    openmetrics: str | os.PathLike[str] | None = None,
    prometheus: str | os.PathLike[str] | None = None,
    step: str = "5m",
    providers: Sequence[str] = (),
    names: Literal["document", "chain"] = "document",
    scenario: str | os.PathLike[str] | None = None,
    progress: Telling = None,
) -> Exported:
    """Write a recorded run as metrics over time; it is played again from its manifest, whatever its record kept.

    `folder` is a results folder. Give one of `openmetrics`, a file for the training document's metrics as OpenMetrics text, and
    `prometheus`, a new folder for data, rules and a dashboard. `step` is the time between samples, at most 5m; `providers` names the only
    ones whose series are written; `names="chain"` adds the names that the real code uses; `scenario` is the scenario file where its traces
    are not where they were. `progress` as for `run`. Returns path and number of samples. Raises InputError for what makes no sense and for
    a run whose files are gone; nothing is left half written.

    >>> import marketsim as ms
    >>> result = ms.run("tiny", out="exported")
    >>> ms.export_run("exported", openmetrics="run.om").samples > 1000
    True
    """
    with told(Path(folder).name, "blocks", progress) as tell:
        return write_export(Path(folder), openmetrics, prometheus, step, providers, names, scenario, tell)


def write_export(
    folder: Path,
    openmetrics: str | os.PathLike[str] | None,
    prometheus: str | os.PathLike[str] | None,
    step: str,
    providers: Sequence[str],
    names: str,
    scenario: str | os.PathLike[str] | None,
    tell: Told | None,
    mark: str = "",
) -> Exported:
    """As `export_run`; errors begin with the name of the argument behind `mark`."""
    from marketsim.export.results import read_record
    from marketsim.simulation.observed import base_of

    if (openmetrics is None) == (prometheus is None):
        wanted_form = f"{mark}openmetrics FILE or {mark}prometheus FOLDER" if mark else "openmetrics=file or prometheus=folder"
        raise InputError(f"nothing to write, expected {wanted_form}, one of the two")
    record = read_record(folder)
    wanted = _Wanted(
        folder,
        record,
        _step_blocks(step, int(record.meta["block_ms"]), mark),
        _rows(providers, record, mark),
        _with_chain(names, mark),
        base_of(record, folder, None if scenario is None else Path(scenario), mark),
    )
    if openmetrics is not None:
        return Exported(Path(openmetrics), _write_file(Path(openmetrics), wanted, tell))
    assert prometheus is not None
    return _write_prometheus(Path(prometheus), wanted, tell)


def _write_file(target: Path, wanted: _Wanted, tell: Callable[[int, int], None] | None) -> int:
    from marketsim.metrics.chain_names import CHAIN_SERIES
    from marketsim.metrics.openmetrics import write
    from marketsim.metrics.series import SERIES

    shown = (*SERIES, *(series for series, _ in CHAIN_SERIES)) if wanted.chain else SERIES
    partial = target.with_name(f".{target.name}.partial")
    try:
        count = write(partial, _times(wanted, tell), shown)
        os.replace(partial, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror}), choose another file") from None
    finally:
        partial.unlink(missing_ok=True)
    return count


def _write_prometheus(target: Path, wanted: _Wanted, tell: Callable[[int, int], None] | None) -> Exported:
    from marketsim.export.folder import written_whole
    from marketsim.metrics.prometheus_folder import backfill, write_configuration

    with written_whole(target) as fresh:
        count = _write_file(fresh / "metrics.om", wanted, tell)
        write_configuration(fresh)
        missing = backfill(fresh / "metrics.om", fresh / "data")
    return Exported(target, count, missing)


def _times(wanted: _Wanted, tell: Callable[[int, int], None] | None) -> Iterator[tuple[float, Mapping[str, list[Sample]]]]:
    from marketsim.metrics.chain_names import with_chain_names
    from marketsim.metrics.series import samples
    from marketsim.simulation.observed import again

    start = datetime.fromisoformat(str(wanted.record.meta["start"]))
    begin = (start if start.tzinfo else start.replace(tzinfo=UTC)).timestamp()
    for at in again(wanted.record, wanted.step, wanted.base):
        yield begin + at.height * at.block_ms / 1000, with_chain_names(samples(at, wanted.rows))
        if tell is not None:
            tell(at.height, wanted.record.blocks)


def _step_blocks(text: str, block_ms: int, mark: str) -> int:
    from marketsim.scenario.literals import parse_duration

    try:
        step = parse_duration(text)
    except ValueError as error:
        raise InputError(f"{mark}step: {error}") from None
    blocks = step.blocks(block_ms)
    if blocks < 1 or (blocks > 1 and blocks * block_ms > MAX_STEP_MS):
        raise InputError(f"{mark}step: {text} is {blocks} blocks, expected from 1 block to 5m: with less Prometheus would see holes")
    return blocks


def _rows(names: Sequence[str], record: Record, mark: str) -> list[int] | None:
    known = record.providers["name"]
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        key = f"{mark}provider" if mark else "providers"
        raise InputError([f"{key}: {name} is not in this run, expected one of {shown}" for name in unknown])
    return [known.index(name) for name in dict.fromkeys(names)] if names else None


def _with_chain(names: str, mark: str) -> bool:
    if names not in {"document", "chain"}:
        raise InputError(f"{mark}names: {names!r} is none, expected document or chain")
    return names == "chain"


__all__ = ["Exported", "export_run"]
