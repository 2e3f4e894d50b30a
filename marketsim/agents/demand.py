"""When orders arrive: Poisson with profiles, bursts and surges, an exact number, or the times of a trace."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from marketsim.agents.streams import Keys, is_heard, key_of, keys_from, salts_of, stream, uniform
from marketsim.market.draws import put_arrivals
from marketsim.money.units import DAY_MS, HOUR_MS

Times = NDArray[np.int64]


INT64_BITS = 63
"""Bits of a number above 0."""
SLABS = 64
"""Slabs of the levels of demand: below 1 an hour, then each up to twice the one before."""
SLAB_TOPS = 2.0 ** np.arange(SLABS)
"""Where each slab ends, orders an hour."""
SLAB_WIDTHS = np.diff(SLAB_TOPS, prepend=0.0)
_SLABS = np.asarray((SLAB_TOPS - SLAB_WIDTHS, SLAB_WIDTHS)).view(np.int64)
"""Bits of where each slab begins and how wide it is."""
SLAB_MEANS = (SLAB_WIDTHS * (DAY_MS / HOUR_MS)).tolist()
"""Points of each slab on average, a day."""
_TOPS = SLAB_TOPS.tolist()


class Arrivals(NamedTuple):
    """When orders arrive, a row an order, by time.

    Attributes: `times` int64 in milliseconds, at least 1; `keys` uint64, what every draw of the order comes from; `levels` float64, the
    rate in orders an hour above which the order arrives (NaN where none was drawn).
    """

    times: Times
    keys: Keys
    levels: NDArray[np.float64]


@dataclass(frozen=True)
class ArrivalRate:
    """How many orders an hour arrive at a moment.

    `per_hour` is the rate where all multipliers are 1; `day` has 24 multipliers and `week` 7 (Monday first); `start_ms` is the moment of
    time 0 after Monday 00:00. `spans` of shape (n, 3) holds start and end in milliseconds and the factor of the rate between them: bursts
    and surges, which multiply where they overlap.
    """

    per_hour: float
    day: Sequence[float] = (1.0,) * 24
    week: Sequence[float] = (1.0,) * 7
    start_ms: int = 0
    spans: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 3)))

    @property
    def is_even(self) -> bool:
        """Whether the rate is the same at every moment."""
        return len({*self.day}) == 1 and len({*self.week}) == 1 and not len(self.spans)

    def factors(self, times: NDArray[Any]) -> NDArray[np.float64]:
        """Return what the rate at `times` (milliseconds) is multiplied by."""
        moment = np.asarray(times, np.int64) + self.start_ms
        out = np.asarray(self.day)[moment // HOUR_MS % 24] * np.asarray(self.week)[moment // DAY_MS % 7]
        edges, steps = self._steps
        return np.asarray(out * steps[np.searchsorted(edges, times, side="right")], np.float64)

    @cached_property
    def _steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where bursts and surges begin or end, milliseconds, and the factor before the first and from each on."""
        if not len(self.spans):
            return np.zeros(0), np.ones(1)
        edges = np.asarray(sorted({*self.spans[:, :2].ravel().tolist()}))
        inside = (self.spans[:, :1] <= edges) & (edges < self.spans[:, 1:2])
        return edges, np.concatenate([[1.0], np.where(inside, self.spans[:, 2:], 1.0).prod(axis=0)])

    def by_stretch(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the moments at which bursts and surges begin or end, milliseconds, ascending, and the rate before the first and from each
        on, orders an hour, by hour of the week: float64 (moments + 1, 168). At any time it is `per_hour` times `factors`, bit by bit."""
        edges, steps = self._steps
        week = (np.asarray(self.week)[:, None] * np.asarray(self.day)).ravel()
        return edges, self.per_hour * (week * steps[:, None])

    def peaks(self, first: int, days: int) -> list[float]:
        """Return for so many days from day `first` on a rate that none of the day's moments exceeds, orders an hour."""
        edges, steps = (part.tolist() for part in self._steps)
        top, week, found = max(self.day), self.week, []
        for begin in range(first * DAY_MS, (first + days) * DAY_MS, DAY_MS):
            weekday, last = (begin + self.start_ms) // DAY_MS % 7, (begin + DAY_MS - 1 + self.start_ms) // DAY_MS % 7
            factor = top * max(week[weekday], week[last])
            if edges:
                factor *= max(steps[bisect_right(edges, begin) : bisect_left(edges, begin + DAY_MS) + 1])
            found.append(self.per_hour * factor)
        return found

    def edges(self, until_ms: int) -> NDArray[np.float64]:
        """Return the moments from 0 to `until_ms` between which the rate stays as it is."""
        hours = np.arange(-(self.start_ms % HOUR_MS), until_ms, HOUR_MS, dtype=np.float64)
        inner = np.concatenate([hours, self.spans[:, 0], self.spans[:, 1]])
        return np.unique(np.concatenate([[0.0, until_ms], inner[(inner > 0) & (inner < until_ms)]]))


def poisson_arrivals(seed: int, name: str, rate: ArrivalRate, horizon_ms: int, begin_ms: int = -1) -> Arrivals:
    """Return the arrivals after `begin_ms` and until `horizon_ms` of a Poisson process with a rate that moves.

    They are the points of a Poisson process of unit density on time x level that lie below the rate. The points do not depend on the
    rate: how many a day and slab of levels holds is drawn from the stream `name`/day/17, where they lie from their keys, which are
    named by day and slab. So a higher rate adds orders and changes none, and a longer horizon leaves the first days as they were.
    """
    first = max(0, begin_ms) // DAY_MS
    days = max(0, -(-horizon_ms // DAY_MS) - first)
    counts = np.zeros((days, SLABS), np.int64)
    day_keys = np.zeros(days, np.uint64)
    for day, peak in enumerate(rate.peaks(first, days)):
        rng = stream(seed, f"{name}/day/{first + day}")
        day_keys[day] = rng.integers(0, 1 << 63)
        slabs = bisect_left(_TOPS, peak) + 1  # a slab's count is drawn after those below it
        counts[day, :slabs] = [rng.poisson(mean) for mean in SLAB_MEANS[:slabs]]
    if is_heard():
        keys = keys_from(keys_from(day_keys, np.full(days, SLABS)), counts.ravel())
        uniform(keys, "moment"), uniform(keys, "level")
    edges, rates = rate.by_stretch()
    found = np.empty((3, int(counts.sum())), np.int64)
    count = put_arrivals(
        day_keys.view(np.int64),
        counts,
        _SLABS,
        salts_of(("moment", "level")),
        edges.view(np.int64),
        rates.view(np.int64),
        np.asarray((first, rate.start_ms, begin_ms, horizon_ms), np.int64),
        found,
    )
    order = by_time(found[1, :count], found[0, :count])
    keys, times, levels = found.take(order, axis=1)
    return Arrivals(np.maximum(times, 1), keys.view(np.uint64), levels.view(np.float64))


def by_time(times: Times, ties: NDArray[Any]) -> NDArray[np.int64]:
    """Return where things stand by their times, int64 (n,), and by `ties` at one time."""
    bits = len(times).bit_length()
    if not 0 <= times.min(initial=0) <= times.max(initial=0) < 1 << INT64_BITS - bits:
        return np.lexsort((ties, times))
    placed = times << bits | np.arange(len(times))  # one number each, which are sorted faster than places
    placed.sort()
    order = placed & (1 << bits) - 1
    placed >>= bits
    same = placed[1:] == placed[:-1]
    if same.any():
        has_equal = np.zeros(len(order), np.bool_)
        has_equal[1:] = same
        has_equal[:-1] |= same
        tied = np.flatnonzero(has_equal)
        rows = order[tied]
        order[tied] = rows[np.lexsort((ties[rows], placed[tied]))]
    return order


def burst_spans(rng: np.random.Generator, every_ms: float, lasts_ms: float, horizon_ms: int, factor: float) -> NDArray[np.float64]:
    """Return bursts as (start, end, factor), times in milliseconds: exponential gaps of mean `every_ms`, each `lasts_ms` long."""
    starts: list[float] = []
    at = float(rng.exponential(every_ms))
    while at < horizon_ms:
        starts.append(at)
        at += lasts_ms + float(rng.exponential(every_ms))
    first = np.asarray(starts, np.float64)
    return np.column_stack([first, first + lasts_ms, np.full(len(first), factor)])


@lru_cache(maxsize=64)
def mean_burst_time(every_ms: float, lasts_ms: float, moments: tuple[float, ...]) -> NDArray[np.float64]:
    """Return how long on average bursts of `burst_spans` are on from 0 until each moment, in milliseconds; shape of `moments`.

    The k-th burst begins after the sum of k exponential gaps and k - 1 bursts. The chance that it has begun is an incomplete gamma
    function, whose integral has a closed form; what has begun and was not yet over is on.
    """
    from scipy.special import gammainc

    until = np.asarray(moments, np.float64)
    most = float(until.max(initial=0.0)) / every_ms
    count = 1 + int(min(most + 12 * math.sqrt(most + 1) + 12, until.max(initial=0.0) / lasts_ms + 1))
    number = np.arange(1, count + 1, dtype=np.float64)

    def begun(until: NDArray[np.float64]) -> NDArray[np.float64]:
        """The integral of the mean number of bursts that have begun."""
        left = np.maximum(until[:, None] - (number - 1) * lasts_ms, 0.0)
        gaps = left / every_ms
        found: NDArray[np.float64] = (left * gammainc(number, gaps) - number * every_ms * gammainc(number + 1, gaps)).sum(axis=1)
        return found

    return begun(until) - begun(np.maximum(until - lasts_ms, 0.0))


def exact_arrivals(seed: int, name: str, orders: int, within_ms: int, block_ms: int, rate: ArrivalRate) -> Arrivals:
    """Return exactly `orders` arrivals, spread over the blocks until `within_ms` (a Poisson process given its count).

    The rate says where they are dense, not how many they are. One order more changes none of the others.
    """
    keys = keys_from(key_of(seed, f"{name}/orders"), orders)
    share = uniform(keys, "moment")
    if rate.is_even:
        times = (share * max(1, within_ms // block_ms)).astype(np.int64) * block_ms + block_ms
    else:
        edges = rate.edges(within_ms)
        sums = np.concatenate([[0.0], np.cumsum(np.diff(edges) * rate.factors((edges[1:] + edges[:-1]) / 2))])
        times = np.interp(share * sums[-1], sums, edges).astype(np.int64)
    order = np.lexsort((keys, times))
    return Arrivals(np.maximum(times[order], 1), keys[order], np.full(orders, np.nan))


def between(arrivals: Arrivals, begin_ms: int, end_ms: int) -> Arrivals:
    """Return the arrivals after `begin_ms` and until `end_ms`."""
    first, last = np.searchsorted(arrivals.times, [begin_ms, end_ms], side="right").tolist()
    return Arrivals(arrivals.times[first:last], arrivals.keys[first:last], arrivals.levels[first:last])


def traced_arrivals(seed: int, name: str, times: Times, kept: NDArray[np.bool_] | None = None) -> Arrivals:
    """Return arrivals at the times of a trace, in milliseconds and ascending, as far as they are kept; a row's key is named by its
    number."""
    keys = keys_from(key_of(seed, f"{name}/trace"), len(times))
    if kept is not None:
        times, keys = times[kept], keys[kept]
    return Arrivals(np.maximum(times, 1), keys, np.full(len(keys), np.nan))
