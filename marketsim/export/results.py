"""Writes a record to a results folder and reads it back.

`manifest.json`, `summary.json`, and each table as parquet (zstd) and CSV. Money stays in pairs of int64
columns, `…_whole` and `…_atto`. Names stand where the record has numbers of names (tenants, providers,
states, reasons); rows refer to rows of other tables by position (`orders.lease`, `leases.order`). Writing
the same record again gives the same bytes, but for the manifest's `timing`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from marketsim.chain.columns import BidState, EventKind, LeaseState, OrderEnd, OrderState
from marketsim.chain.status import Status
from marketsim.errors import InputError
from marketsim.export.folder import safe_name, write_file, written_whole
from marketsim.recording.record import (
    COLUMNS,
    DECLINE_CODES,
    LATENCY_BINS,
    OPTIONAL,
    STATUSES,
    UNFILLED,
    Ended,
    Record,
    Table,
    blank,
)

SCHEMA: Final = "marketsim-results/1"
MANIFEST: Final = "manifest.json"
_ROWS: Final = ("orders", "leases", *OPTIONAL)
"""Tables that `record: summary` leaves out."""

Names = Mapping[int, str]


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
        return replace(record, bids=None)
    return replace(
        record, orders=blank("orders", 0), leases=blank("leases", 0), bids=None, settlements=None, events=None
    )


@contextmanager
def new_results(target: Path, *, own: bool) -> Iterator[Callable[[Record, Mapping[str, Any]], Path]]:
    """Yield a function that writes a record and its summary; the folder appears under its name at the end.

    `own` says that the folder is the run's own (named by seed and hash): an older one is replaced. The
    function returns the folder being written, for pages and figures to be added. Raises InputError (see
    written_whole)."""
    with written_whole(target, replace=own) as folder:

        def write(record: Record, summary: Mapping[str, Any]) -> Path:
            write_record(folder, record, summary)
            return folder

        yield write


def write_record(folder: Path, record: Record, summary: Mapping[str, Any]) -> None:
    """Write manifest, summary and tables into an existing folder."""
    kept = as_recorded(record)
    rows = {}
    for name, columns in _tables(kept).items():
        rows[name] = len(next(iter(columns.values())))
        _write_table(folder, name, columns)
    write_file(folder / "summary.json", json_text(summary))
    write_file(folder / MANIFEST, json_text(_manifest(kept, rows)))


def read_record(folder: Path) -> Record:
    """Return the record in a results folder; raise InputError when it is not one or is damaged."""
    manifest = _read_json(folder, MANIFEST)
    if manifest.get("schema") != SCHEMA:
        raise InputError(f"{folder / MANIFEST}:1:1: schema: {manifest.get('schema')!r}, expected {SCHEMA!r}")
    try:
        return _record(folder, manifest).check()
    except (KeyError, ValueError, TypeError, OSError, OverflowError) as error:
        raise InputError(
            f"{folder}: damaged results ({error}), expected a folder that a run has written"
        ) from None


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the summary in a results folder; raise InputError when there is none."""
    return _read_json(folder, "summary.json")


def json_text(value: Any) -> str:
    """Return the JSON text of files and of --json: indented, keys in the order given, one final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _manifest(record: Record, rows: Mapping[str, int]) -> dict[str, Any]:
    meta = dict(record.meta)
    wall = meta.pop("wall_seconds")
    scenario = meta.pop("scenario")
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


def _names(values: Any) -> dict[int, str]:
    """Number -> name of a list of names or of an enumeration; enumerations in lower case."""
    if isinstance(values, type):
        return {int(member): member.name.lower() for member in values}  # type: ignore[attr-defined]
    return dict(enumerate(values))


def _vocabulary(record: Record) -> dict[tuple[str, str], Names]:
    """Which columns hold numbers of names, and the names."""
    tenants, providers = _names(record.tenants["name"]), _names(record.providers["name"])
    return {
        ("tenants", "cohort"): _names(record.tenant_cohorts),
        ("providers", "cohort"): _names(record.provider_cohorts),
        ("orders", "tenant"): tenants,
        ("orders", "state"): _names(OrderState),
        ("orders", "end"): _names(OrderEnd),
        ("orders", "region"): _names(record.regions),
        ("orders", "unfilled"): _names(UNFILLED),
        ("leases", "provider"): providers,
        ("leases", "state"): _names(LeaseState),
        ("leases", "ended"): _names(Ended),
        ("bids", "provider"): providers,
        ("bids", "state"): _names(BidState),
        ("events", "kind"): _names(EventKind),
    }


def _tables(record: Record) -> dict[str, dict[str, Any]]:
    """The tables as they stand in files: pyarrow arrays or numpy columns by name."""
    words = _vocabulary(record)
    tables: dict[str, dict[str, Any]] = {}
    for name in COLUMNS:
        columns = getattr(record, name)
        if columns is None or (name in _ROWS and record.meta["record"] == "summary"):
            continue
        named = {"name": _strings(columns["name"])} if "name" in columns else {}
        tables[name] = named | {
            key: _named(columns[key], words[name, key]) if (name, key) in words else columns[key]
            for key in COLUMNS[name]
        }
    tables["providers"] |= _wide(record.providers)
    seen = np.flatnonzero(record.latency_histogram)
    tables["latency"] = {"milliseconds": seen.astype(np.int64), "bids": record.latency_histogram[seen]}
    return tables


class _Named(NamedTuple):
    """A column of numbers of names: where in `texts` each row's name is, and which rows have none."""

    places: Any
    known: Any
    texts: list[str]

    def __len__(self) -> int:
        return len(self.places)

    def dictionary(self) -> Any:
        """A dictionary array for parquet; numbers without a name are null."""
        import pyarrow as pa

        buffers = [self._valid(), pa.py_buffer(self.places)]
        numbers = pa.Array.from_buffers(pa.int32(), len(self.places), buffers)
        return pa.DictionaryArray.from_arrays(numbers, _strings(self.texts))

    def strings(self) -> Any:
        """The names themselves, for CSV."""
        texts = np.array([*(text.encode() for text in self.texts), b""], object)
        return _joined(texts, np.where(self.known, self.places, len(texts) - 1), self._valid())

    def _valid(self) -> Any:
        import pyarrow as pa

        return pa.py_buffer(np.packbits(self.known, bitorder="little"))


def _named(column: Any, names: Names) -> _Named:
    keys = np.array(sorted(names), np.int64)
    place = np.searchsorted(keys, column)
    known = place < len(keys)
    known[known] = keys[place[known]] == column[known]
    return _Named(np.where(known, place, 0).astype(np.int32), known, [names[int(key)] for key in keys])


def _strings(texts: Sequence[str]) -> Any:
    encoded = np.array([*(text.encode() for text in texts), b""], object)
    return _joined(encoded, np.arange(len(texts)))


def _joined(texts: Any, places: Any, valid: Any = None) -> Any:
    """The string array of `texts[places]`; `valid` is the bit mask of the rows that are not null."""
    import pyarrow as pa

    lengths = np.array([len(text) for text in texts], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths[places])]).astype(np.int32)
    joined = b"".join(texts[places].tolist())
    return pa.StringArray.from_buffers(len(places), pa.py_buffer(offsets), pa.py_buffer(joined), valid)


def _numeric(column: Any) -> Any:
    import pyarrow as pa

    # Not pa.array: it imports pandas to see whether the column is one of its own, half a second.
    plain = np.ascontiguousarray(column)
    return pa.Array.from_buffers(pa.from_numpy_dtype(plain.dtype), len(plain), [None, pa.py_buffer(plain)])


def _wide(providers: Mapping[str, Any]) -> dict[str, Any]:
    rejected, declined, days = providers["rejected"], providers["declined"], providers["revenue_days"]
    return {
        **{f"rejected_{status.name}": rejected[:, status] for status in Status if rejected[:, status].any()},
        **{f"declined_{code}": declined[:, number] for number, code in enumerate(DECLINE_CODES)},
        **{f"revenue_day_{day}": days[:, day] for day in range(days.shape[1])},
    }


def _write_table(folder: Path, name: str, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    from pyarrow import csv, parquet

    # Neither dictionaries' own decoding nor, below, parquet.read_table: each imports a part that takes a
    # quarter of a second and is not needed.
    numbers = {key: _numeric(column) for key, column in columns.items() if isinstance(column, np.ndarray)}
    full, plain = {}, {}
    for key, column in columns.items():
        full[key] = (
            numbers[key] if key in numbers else column.dictionary() if isinstance(column, _Named) else column
        )
        plain[key] = column.strings() if isinstance(column, _Named) else full[key]
    parquet.write_table(pa.table(full), folder / f"{name}.parquet", compression="zstd")
    csv.write_csv(pa.table(plain), folder / f"{name}.csv", csv.WriteOptions(quoting_style="needed"))


def _record(folder: Path, manifest: Mapping[str, Any]) -> Record:
    tables = {name: _read_table(folder, name) for name in manifest["tables"]}
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
        ),
    }
    meta = {key: value for key, value in manifest.items() if key not in other}
    return meta | {"wall_seconds": manifest["timing"]["wall_seconds"]}


def _read_table(folder: Path, name: str) -> dict[str, Any]:
    from pyarrow import ArrowException, parquet

    try:
        table = parquet.ParquetFile(folder / f"{name}.parquet").read()
    except ArrowException as error:
        raise InputError(
            f"{folder / name}.parquet: damaged ({error}), expected a table that a run has written"
        ) from None
    return {
        key: column.to_pylist() if key == "name" else _read_column(column.combine_chunks())
        for key, column in zip(table.column_names, table.columns, strict=True)
    }


def _decoded(name: str, columns: Mapping[str, Any], words: Mapping[tuple[str, str], Names]) -> Table:
    return {
        key: _numbers(columns[key], words[name, key]) if (name, key) in words else columns[key]
        for key in COLUMNS[name]
    }


def _numbers(column: Any, names: Names) -> Any:
    """The numbers of a column of names, -1 for null."""

    number = {text: key for key, text in names.items()}
    table = np.array([number[text] for text in column.dictionary.to_pylist()] or [-1], np.int64)
    indices, missing = column.indices, _nulls(column.indices)
    taken = table[np.where(missing, 0, _values(indices))]
    return np.where(missing, -1, taken)


def _read_column(column: Any) -> Any:
    """A column of names stays as it was read, one of numbers becomes a numpy array."""
    import pyarrow as pa

    return column if isinstance(column, pa.DictionaryArray) else _values(column)


def _values(column: Any) -> Any:
    """The numbers of an array. Not to_numpy, which imports pandas."""
    kind = np.dtype(str(column.type))
    return np.frombuffer(column.buffers()[1] or b"", kind)[column.offset : column.offset + len(column)]


def _nulls(column: Any) -> Any:
    """Which rows of an array are null."""
    valid = column.buffers()[0]
    if valid is None:
        return np.zeros(len(column), bool)
    bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
    return bits[column.offset : column.offset + len(column)] == 0


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


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    if not folder.is_dir():
        raise InputError(f"{folder}: no such results folder, expected one that `marketsim run` has written")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder}: has no {name}, expected a folder that `marketsim run` has written"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}), expected what `marketsim run` has written"
        ) from None
    if not isinstance(value, dict):
        raise InputError(f"{path}:1:1: not a mapping, expected what `marketsim run` has written")
    return value
