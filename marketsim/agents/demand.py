"""When orders arrive: Poisson with profiles and bursts, or an exact number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

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
