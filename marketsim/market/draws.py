"""Draws as hashes of a key and a purpose, for whole columns of keys at once: compiled, or with numpy where nothing is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.modes import COMPILING
from marketsim.kernel.table_set import Table
from marketsim.money.units import DAY_MS, HOUR_MS

WEEK_HOURS = 168
GOLDEN, _A, _B = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""The numbers of splitmix64."""
_1, _27, _30, _31 = (np.uint64(bits) for bits in (1, 27, 30, 31))
_MANTISSA = np.uint64(12)
"""Bits of a hash that a draw has no room for."""
_SPACING = 2.0**-52
"""Between two neighbouring draws."""


def mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the finalizer of splitmix64 of numbers, in place on what is its caller's own."""
    z ^= z >> _30
    z *= _A
    z ^= z >> _27
    z *= _B
    z ^= z >> _31
    return z


def keys_of(parents: NDArray[np.uint64], counts: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return so many keys from each of some on, side by side: each a hash of its key and its number there, below 2^63."""
    made = np.empty(int(counts.sum()), np.uint64)
    put_keys(parents.view(np.int64), counts, made.view(np.int64))
    return made


if COMPILING:

    @compiled_inline
    def _hash(z: int) -> int:
        """Return the finalizer of splitmix64."""
        bits = np.uint64(z)
        bits = (bits ^ (bits >> _30)) * _A
        bits = (bits ^ (bits >> _27)) * _B
        return bits ^ (bits >> _31)  # type: ignore[return-value]

    @compiled_inline
    def _key(parent: int, number: int) -> int:
        """Return key `number` of another one."""
        return _hash(np.uint64(parent) + np.uint64(number + 1) * GOLDEN) >> _1  # type: ignore[arg-type, return-value]

    @compiled_inline
    def _uniform(key: int, salt: int) -> float:
        """Return a draw of a key and a purpose."""
        return (np.float64(_hash(np.uint64(key) + np.uint64(salt)) >> _MANTISSA) + 0.5) * _SPACING  # type: ignore[arg-type]

    @compiled
    def put_keys(parents: Table, counts: Table, out: Table) -> None:
        """Put so many keys from each of some on into `out`, side by side."""
        at = 0
        for row in range(parents.shape[0]):
            for number in range(counts[row]):
                out[at] = np.int64(_key(parents[row], number))
                at += 1

    @compiled
    def put_uniform(keys: Table, salts: Table, out: Table) -> None:
        """Put a draw of 0 < u < 1 for each of some keys, int64 (n,), and each of some purposes, given by their salts, int64 (m,), into
        `out`: the bits of float64 (m, n).
        """
        for row in range(salts.shape[0]):
            salt = salts[row]
            for at in range(keys.shape[0]):
                out[row, at] = np.float64(_uniform(keys[at], salt)).view(np.int64)

    @compiled
    def put_arrivals(
        day_keys: Table, counts: Table, levels: Table, salts: Table, edges: Table, rates: Table, span: Table, out: Table
    ) -> int:
        """Put the points of some days that lie below a rate into `out`, int64 (3, at least as many): key, time in milliseconds, and the
        bits of its level; return how many there are.

        By day its key, (days,), and how many points each slab of levels has, (days, slabs); `levels` are the bits of where each slab begins
        and how wide it is, (2, slabs). `salts` are those of the time within the day and of the level within the slab. `rates` are bits of
        the rate by stretch between two `edges` (bits of milliseconds) and by hour of the week, (edges + 1, 168). `span` is the first day,
        the moment of time 0 after Monday 00:00, and the times after and until which points count, in milliseconds.
        """
        found = 0
        for day in range(counts.shape[0]):
            begin = (span[0] + day) * DAY_MS
            for slab in range(counts.shape[1]):
                parent = _key(day_keys[day], slab)
                bottom = np.int64(levels[0, slab]).view(np.float64)
                width = np.int64(levels[1, slab]).view(np.float64)
                for number in range(counts[day, slab]):
                    key = _key(parent, number)
                    time = np.int64(_uniform(key, salts[0]) * float(DAY_MS)) + begin
                    level = bottom + _uniform(key, salts[1]) * width
                    low, high = 0, edges.shape[0]
                    while low < high:
                        middle = (low + high) // 2
                        if np.int64(edges[middle]).view(np.float64) <= float(time):
                            low = middle + 1
                        else:
                            high = middle
                    rate = np.int64(rates[low, (time + span[1]) // HOUR_MS % WEEK_HOURS]).view(np.float64)
                    if level < rate and span[2] < time <= span[3]:
                        out[0, found] = np.int64(key)
                        out[1, found] = time
                        out[2, found] = np.float64(level).view(np.int64)
                        found += 1
        return found

else:

    def put_keys(parents: Table, counts: Table, out: Table) -> None:
        """Put so many keys from each of some on into `out`, side by side."""
        number = np.arange(1, 1 + len(out)) - np.repeat(np.cumsum(counts) - counts, counts)
        out[:] = (mixed(np.repeat(parents.view(np.uint64), counts) + number.astype(np.uint64) * GOLDEN) >> _1).view(np.int64)

    def put_uniform(keys: Table, salts: Table, out: Table) -> None:
        """Put a draw of 0 < u < 1 for each of some keys, int64 (n,), and each of some purposes, given by their salts, int64 (m,), into
        `out`: the bits of float64 (m, n).
        """
        for salt, row in zip(salts.view(np.uint64), out.view(np.float64), strict=True):
            row[:] = mixed(keys.view(np.uint64) + salt) >> _MANTISSA
            row += 0.5
            row *= _SPACING

    def put_arrivals(
        day_keys: Table, counts: Table, levels: Table, salts: Table, edges: Table, rates: Table, span: Table, out: Table
    ) -> int:
        """Put the points of some days that lie below a rate into `out`, int64 (3, at least as many): key, time in milliseconds, and the
        bits of its level; return how many there are.

        By day its key, (days,), and how many points each slab of levels has, (days, slabs); `levels` are the bits of where each slab begins
        and how wide it is, (2, slabs). `salts` are those of the time within the day and of the level within the slab. `rates` are bits of
        the rate by stretch between two `edges` (bits of milliseconds) and by hour of the week, (edges + 1, 168). `span` is the first day,
        the moment of time 0 after Monday 00:00, and the times after and until which points count, in milliseconds.
        """
        first, start, after, until = span.tolist()
        slabs = np.full(len(counts), counts.shape[1])
        keys = keys_of(keys_of(day_keys.view(np.uint64), slabs), counts.ravel())
        drawn = np.empty((2, len(keys)))
        put_uniform(keys.view(np.int64), salts, drawn.view(np.int64))
        times = (drawn[0] * DAY_MS).astype(np.int64) + np.repeat((first + np.arange(len(counts))) * DAY_MS, counts.sum(axis=1))
        bottoms, widths = (np.repeat(np.broadcast_to(row, counts.shape).ravel(), counts.ravel()) for row in levels.view(np.float64))
        level = bottoms + drawn[1] * widths
        stretch = np.searchsorted(edges.view(np.float64), times, side="right")
        rate = rates.view(np.float64)[stretch, (times + start) // HOUR_MS % WEEK_HOURS]
        kept = np.flatnonzero((level < rate) & (times > after) & (times <= until))
        out[:, : len(kept)] = keys[kept].view(np.int64), times[kept], level[kept].view(np.int64)
        return len(kept)
