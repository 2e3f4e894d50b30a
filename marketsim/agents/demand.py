"""When orders arrive: Poisson with profiles and bursts, an exact number, or a trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketsim.errors import InputError
from marketsim.money.units import DAY_MS, HOUR_MS

Times = NDArray[np.int64]


def poisson_times(
    rng: np.random.Generator,
    per_ms: float,
    horizon_ms: int,
    start_ms: int,
    day: Sequence[float],
    week: Sequence[float],
    bursts: NDArray[np.float64],
    burst_factor: float,
) -> Times:
    """Return sorted arrival times in whole milliseconds of a Poisson process whose rate follows the profiles.

    `per_ms` is the mean rate of an average hour; `day` has 24 multipliers and `week` 7 (Monday first), both
    of mean 1; `start_ms` is the moment of time 0 after Monday 00:00; `bursts` of shape (n, 2) holds times
    during which the rate is `burst_factor` times as high. Thinning.
    """
    peak = per_ms * max(day) * max(week) * (max(1.0, burst_factor) if len(bursts) else 1.0)
    count = int(rng.poisson(peak * horizon_ms))
    times = np.sort(rng.random(count)) * horizon_ms
    moment = times + start_ms
    hour = (moment // HOUR_MS).astype(np.int64) % 24
    weekday = (moment // DAY_MS).astype(np.int64) % 7
    rate = per_ms * np.asarray(day)[hour] * np.asarray(week)[weekday]
    if len(bursts):
        at = np.searchsorted(bursts[:, 0], times, side="right") - 1
        inside = (at >= 0) & (times < bursts[np.maximum(at, 0), 1])
        rate = np.where(inside, rate * burst_factor, rate)
    kept = rng.random(count) * peak < rate
    arrivals: Times = np.maximum(times[kept].astype(np.int64), 1)
    return arrivals


def burst_spans(rng: np.random.Generator, every_ms: float, lasts_ms: float, horizon_ms: int) -> NDArray[np.float64]:
    """Return bursts as (start, end) in milliseconds: exponential gaps of mean `every_ms`, each `lasts_ms`
    long.
    """
    starts: list[float] = []
    at = float(rng.exponential(every_ms))
    while at < horizon_ms:
        starts.append(at)
        at += lasts_ms + float(rng.exponential(every_ms))
    first = np.asarray(starts, np.float64)
    return np.column_stack([first, first + lasts_ms])


def exact_times(rng: np.random.Generator, orders: int, horizon_ms: int, block_ms: int) -> Times:
    """Return exactly `orders` sorted arrival times, uniform over the blocks of the horizon (a Poisson process
    given its count).
    """
    blocks = max(1, horizon_ms // block_ms)
    return np.sort(rng.integers(1, blocks + 1, orders)) * block_ms


def read_trace(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the numeric columns of a demand trace (CSV or parquet), sorted by `at_seconds`.

    Raises InputError when the file cannot be read, has no `at_seconds`, or holds something that is not a
    number.
    """
    import pyarrow as pa

    try:
        table = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: the trace cannot be read ({error}), expected CSV or parquet with a column at_seconds") from error
    columns: dict[str, NDArray[np.float64]] = {}
    for name in table.column_names:
        try:
            columns[name] = _numbers(table[name])
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise InputError(f"{path}: column {name}: not numbers, expected numbers only") from error
    if "at_seconds" not in columns:
        raise InputError(f"{path}: no column at_seconds, found {', '.join(table.column_names) or 'none'}")
    if np.isnan(columns["at_seconds"]).any() or (len(columns["at_seconds"]) and columns["at_seconds"].min() < 0):
        raise InputError(f"{path}: column at_seconds: a missing or negative time, expected seconds after the start")
    order = np.argsort(columns["at_seconds"], kind="stable")
    return {name: column[order] for name, column in columns.items()}


# Neither parquet.read_table nor a column's own to_numpy: each imports pandas to see whether there is one, half a second.


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path).read()


def _read_csv(path: Path) -> Any:
    from pyarrow import csv

    return csv.read_csv(path)


def _numbers(column: Any) -> NDArray[np.float64]:
    """Return a column of a table as float64, NaN where a value is missing; ValueError or TypeError when it holds no numbers."""
    import pyarrow as pa

    if pa.types.is_null(column.type):  # of a file without rows, or without a value
        return np.full(len(column), np.nan)
    if pa.types.is_temporal(column.type):
        raise TypeError(f"a column of type {column.type}")
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
    parts = []
    for chunk in column.chunks:
        valid, values = chunk.buffers()
        size = chunk.offset + len(chunk)
        part = np.frombuffer(values or b"", chunk.type.to_pandas_dtype(), size)[chunk.offset :].astype(np.float64)
        if chunk.null_count:
            known = np.unpackbits(np.frombuffer(valid, np.uint8), count=size, bitorder="little")[chunk.offset :]
            part[known == 0] = np.nan
        parts.append(part)
    return np.concatenate(parts) if parts else np.zeros(0)
