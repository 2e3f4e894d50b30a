"""Writes a record to a results folder and reads it back.

`manifest.json`, `summary.json`, and each table as parquet and CSV. Money stays in pairs of int64 columns, `…_whole` and `…_atto`.
Names stand where the record has numbers of names (tenants, providers, states, reasons); rows refer to rows of other tables by
position (`orders.lease`, `leases.order`). Writing the same record again gives the same bytes, but for the manifest's `timing` and
`origin`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from marketsim.chain.status import Status
from marketsim.errors import InputError
from marketsim.export.folder import safe_name, write_file, written_whole
from marketsim.export.table_files import Kind, StoredTable, read_columns, write_table
from marketsim.export.words import Words, vocabulary
from marketsim.market.tables import LATENCY_BINS, STATUSES
from marketsim.recording import trail
from marketsim.recording.record import COLUMNS, DECLINE_CODES, OPTIONAL, Record, Table, blank, decline_codes

SCHEMA: Final = "marketsim-results/1"
MANIFEST: Final = "manifest.json"
_ROWS: Final = ("orders", "leases", *OPTIONAL)
"""Tables that `record: summary` leaves out."""
LOG: Final = "log_"
"""What the names of files begin with in which users' code has written down what it wanted."""


def run_name(seed: int, effective: Mapping[str, Any]) -> str:
    """Return a run's folder name: the seed and 8 hex digits that change with anything else in the
    scenario."""
    content = {key: value for key, value in effective.items() if key != "seed"}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return f"{seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def results_folder(root: Path, seed: int, effective: Mapping[str, Any]) -> Path:
    """Return where a run's results go unless --out says otherwise: `root/<scenario>/<run>`."""
    return root / safe_name(str(effective.get("name") or "scenario")) / run_name(seed, effective)


def as_recorded(record: Record) -> Record:
    """Return the record with what its scenario's `record:` keeps: `summary` has no orders and no leases."""
    level = record.meta["record"]
    if level == "everything":
        return record
    if level == "orders":
        return replace(record, bids=None, declines=None)
    nothing: dict[str, Any] = dict.fromkeys(OPTIONAL)
    return replace(record, orders=blank("orders", 0), leases=blank("leases", 0), **nothing)


class NewResults:
    """A results folder that is being written; calling it writes a record and its summary."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where the files go until the folder takes its name; `run(..., out=)` streams long tables into it."""

    def __call__(self, record: Record, summary: Mapping[str, Any], origin: Mapping[str, str] | None = None) -> Path:
        """Write a record, its summary and what it was made with; return the folder, for pages and figures to be added."""
        write_record(self.folder, record, summary, origin)
        return self.folder


@contextmanager
def new_results(target: Path, *, own: bool) -> Iterator[NewResults]:
    """Yield a folder to write a record into; it appears under its name at the end.

    `own` says that the folder is the run's own (named by seed and hash): an older one is replaced. Raises InputError (see
    written_whole)."""
    with written_whole(target, replace=own) as folder:
        yield NewResults(folder)


def write_record(folder: Path, record: Record, summary: Mapping[str, Any], origin: Mapping[str, str] | None = None) -> None:
    """Write manifest, summary and tables into an existing folder; `origin` says in the manifest where the run comes from."""
    kept = as_recorded(record)
    rows = {}
    for name, (kinds, columns) in _tables(kept).items():
        if isinstance(columns, StoredTable):
            columns.write(folder, name)
            rows[name] = columns.rows
        else:
            rows[name] = write_table(folder, name, kinds, columns)
    if record.trail is not None:
        write_file(folder / trail.FILE, record.trail.text())
    write_file(folder / "summary.json", json_text(summary))
    write_file(folder / MANIFEST, json_text(_manifest(kept, rows) | ({} if origin is None else {"origin": dict(origin)})))


def read_record(folder: Path) -> Record:
    """Return the record in a results folder; raise InputError when it is not one or is damaged."""
    manifest = read_json(folder, MANIFEST)
    if manifest.get("schema") != SCHEMA:
        raise InputError(f"{folder / MANIFEST}:1:1: schema: {manifest.get('schema')!r}, expected {SCHEMA!r}")
    try:
        return _record(folder, manifest).check()
    except (KeyError, ValueError, TypeError, OSError, OverflowError) as error:
        raise InputError(f"{folder}: damaged results ({error}), expected a folder that a run has written") from None


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the summary in a results folder; raise InputError when there is none."""
    return read_json(folder, "summary.json")


def json_text(value: Any) -> str:
    """Return the JSON text of files and of --json: indented, keys in the order given, one final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _manifest(record: Record, rows: Mapping[str, int]) -> dict[str, Any]:
    meta = dict(record.meta)
    wall = meta.pop("wall_seconds")
    scenario = dict(meta.pop("scenario"))
    return {
        "schema": SCHEMA,
        "name": scenario.get("name"),
        **meta,
        "latency_total_ms": int(meta["latency_total_ms"]),
        "tables": dict(rows),
        "tenant_cohorts": record.tenant_cohorts,
        "provider_cohorts": record.provider_cohorts,
        "regions": record.regions,
        "totals_atto": {key: str(value) for key, value in record.totals.items()},
        "scenario": scenario,
        "timing": {"wall_seconds": wall},
    }


def _vocabulary(record: Record) -> dict[tuple[str, str], Words]:
    names = (record.tenants["name"], record.providers["name"])
    return vocabulary(*names, record.tenant_cohorts, record.provider_cohorts, record.regions)


def _tables(record: Record) -> dict[str, tuple[dict[str, Kind], Mapping[str, Any]]]:
    """The tables as they stand in files: what each column holds, and the columns."""
    words = _vocabulary(record)
    tables: dict[str, tuple[dict[str, Kind], Mapping[str, Any]]] = {}
    for name in COLUMNS:
        columns = getattr(record, name)
        if columns is None or (name in _ROWS and record.meta["record"] == "summary"):
            continue
        kinds: dict[str, Kind] = {"name": str} if "name" in columns else {}
        kinds |= {key: words.get((name, key), float if dtype.kind == "f" else int) for key, dtype in COLUMNS[name].items()}
        tables[name] = kinds, columns if isinstance(columns, StoredTable) else {key: columns[key] for key in kinds}
    wide = _wide(record.providers, len(decline_codes(record)))
    kinds, columns = tables["providers"]
    tables["providers"] = kinds | dict.fromkeys(wide, int), {**columns, **wide}
    seen = np.flatnonzero(record.latency_histogram)
    latency = {"milliseconds": seen.astype(np.int64), "bids": record.latency_histogram[seen]}
    tables["latency"] = dict.fromkeys(latency, int), latency
    for name, log in record.logs.items():
        logged: dict[str, Kind] = {key: {"i": int, "f": float}.get(column.dtype.kind, str) for key, column in log.items()}
        tables[f"{LOG}{safe_name(name)}"] = logged, log
    return tables


def _wide(providers: Mapping[str, Any], codes: int) -> dict[str, Any]:
    """Columns of the wide tables of providers; of the decline codes the first `codes`."""
    rejected, declined, days = providers["rejected"], providers["declined"], providers["revenue_days"]
    return {
        **{f"rejected_{status.name}": rejected[:, status] for status in Status if rejected[:, status].any()},
        **{f"declined_{code}": declined[:, number] for number, code in enumerate(DECLINE_CODES[:codes])},
        **{f"revenue_day_{day}": days[:, day] for day in range(days.shape[1])},
    }


def _record(folder: Path, manifest: Mapping[str, Any]) -> Record:
    tables = {name: read_columns(folder / f"{name}.parquet") for name in manifest["tables"]}
    tenants = {"name": tables["tenants"]["name"]}
    providers: dict[str, Any] = {"name": tables["providers"]["name"]}
    record = Record(
        tenants=tenants,
        providers=providers,
        tenant_cohorts=list(manifest["tenant_cohorts"]),
        provider_cohorts=list(manifest["provider_cohorts"]),
        regions=list(manifest["regions"]),
        orders=blank("orders", 0),
        leases=blank("leases", 0),
        timeseries=blank("timeseries", 0),
        totals={key: int(value) for key, value in manifest["totals_atto"].items()},
        meta=_meta(manifest),
    )
    words = _vocabulary(record)
    read: dict[str, Any] = {name: _decoded(name, tables[name], words) for name in COLUMNS if name in tables}
    histogram = np.zeros(LATENCY_BINS, np.int64)
    histogram[tables["latency"]["milliseconds"]] = tables["latency"]["bids"]
    return replace(
        record,
        tenants=tenants | read.pop("tenants"),
        providers=providers | read.pop("providers") | _narrowed(tables["providers"]),
        latency_histogram=histogram,
        logs={name.removeprefix(LOG): dict(table) for name, table in tables.items() if name.startswith(LOG)},
        **read,
    )


def _meta(manifest: Mapping[str, Any]) -> dict[str, Any]:
    other = {
        *(
            "schema",
            "name",
            "tables",
            "tenant_cohorts",
            "provider_cohorts",
            "regions",
            "totals_atto",
            "timing",
            "origin",
        ),
    }
    meta = {key: value for key, value in manifest.items() if key not in other}
    return meta | {"wall_seconds": manifest["timing"]["wall_seconds"]}


def _decoded(name: str, columns: Mapping[str, Any], words: Mapping[tuple[str, str], Words]) -> Table:
    return {key: words[name, key].numbers(columns[key]) if (name, key) in words else columns[key] for key in COLUMNS[name]}


def _narrowed(columns: Mapping[str, Any]) -> dict[str, Any]:
    count = len(columns["name"])
    rejected = np.zeros((count, STATUSES), np.int64)
    declined = np.zeros((count, len(DECLINE_CODES)), np.int64)
    days: list[Any] = []
    for key, column in columns.items():
        kind, _, rest = key.partition("_")
        if kind == "rejected" and rest in Status.__members__:
            rejected[:, Status[rest]] = column
        elif kind == "declined" and rest in DECLINE_CODES:
            declined[:, DECLINE_CODES.index(rest)] = column
        elif key.startswith("revenue_day_"):
            days.append(column)
    return {"rejected": rejected, "declined": declined, "revenue_days": _stacked(days, count)}


def _stacked(columns: Sequence[Any], rows: int) -> Any:
    return np.column_stack(columns).astype(np.int64) if columns else np.zeros((rows, 0), np.int64)


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return the mapping in a file of a results folder; raise InputError when there is none."""
    path = folder / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such results folder, expected one that `marketsim run` has written")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{folder}: has no {name}, expected a folder that `marketsim run` has written") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected what `marketsim run` has written") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}:1:1: not a mapping, expected what `marketsim run` has written")
    return value
