"""Draws of whole columns are what the rule in plain numbers says, bit by bit, compiled and not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from marketsim.agents.demand import SLAB_TOPS, SLAB_WIDTHS, ArrivalRate
from marketsim.market.draws import keys_of, put_arrivals, put_uniform
from marketsim.money.units import DAY_MS, HOUR_MS

ROOT = Path(__file__).parents[2]
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
SALTS = np.asarray([12345, 1 << 62, -7], np.int64)
RATE = ArrivalRate(
    3.5, tuple(0.5 + hour % 5 for hour in range(24)), (1, 1, 1, 1, 1, 0.5, 0.25), 5 * HOUR_MS, np.asarray([[9e6, 9.6e7, 4.0]])
)

ARRIVALS = """
import hashlib
from marketsim.agents.demand import poisson_arrivals
from tests.market.test_draws import RATE
found = poisson_arrivals(3, "tenant/web", RATE, 5 * 86_400_000, 7_200_000)
print(len(found.times), hashlib.sha256(found.times.tobytes() + found.keys.tobytes() + found.levels.tobytes()).hexdigest())
"""


def mixed(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def key_of(parent: int, number: int) -> int:
    return mixed((parent + (number + 1) * GOLDEN) & MASK) >> 1


def uniform(key: int, salt: int) -> float:
    return ((mixed((key + salt) & MASK) >> 12) + 0.5) * 2.0**-52


def test_keys_are_hashes_of_their_parents_and_numbers() -> None:
    made = keys_of(np.asarray([5, (1 << 63) - 1], np.uint64), np.asarray([3, 2]))
    assert made.tolist() == [*(key_of(5, n) for n in range(3)), *(key_of((1 << 63) - 1, n) for n in range(2))]


def test_draws_are_hashes_of_keys_and_purposes() -> None:
    keys = keys_of(np.asarray([9], np.uint64), np.asarray([40])).view(np.int64)
    drawn = np.empty((len(SALTS), len(keys)))
    put_uniform(keys, SALTS, drawn.view(np.int64))
    assert drawn.tolist() == [[uniform(int(key), int(salt)) for key in keys] for salt in SALTS]


def test_points_are_kept_below_the_rate_and_within_the_stretch() -> None:
    day_keys, counts = np.asarray([77, 78], np.int64), np.zeros((2, len(SLAB_TOPS)), np.int64)
    counts[:, :5] = [[24, 20, 50, 90, 200], [25, 30, 40, 100, 180]]
    edges, rates = RATE.by_stretch()
    after, until = 3 * DAY_MS + 4 * HOUR_MS, 5 * DAY_MS - HOUR_MS
    out = np.empty((3, counts.sum()), np.int64)
    levels = np.asarray((SLAB_TOPS - SLAB_WIDTHS, SLAB_WIDTHS))
    span = np.asarray((3, RATE.start_ms, after, until))
    found = put_arrivals(day_keys, counts, levels.view(np.int64), SALTS[:2].copy(), edges.view(np.int64), rates.view(np.int64), span, out)
    expected = []
    for day, key in enumerate(day_keys.tolist()):
        for slab, count in enumerate(counts[day].tolist()):
            for number in range(count):
                one = key_of(key_of(key, slab), number)
                time = int(uniform(one, int(SALTS[0])) * DAY_MS) + (3 + day) * DAY_MS
                level = float(levels[0, slab]) + uniform(one, int(SALTS[1])) * float(levels[1, slab])
                if after < time <= until and level < RATE.per_hour * RATE.factors(np.asarray([time]))[0]:
                    expected.append((one, time, level))
    assert list(zip(out[0, :found].tolist(), out[1, :found].tolist(), out[2, :found].view(np.float64).tolist(), strict=True)) == expected
    assert 50 < found < counts.sum() - 50


@pytest.mark.parametrize("mode", ["0", "checked"])
def test_arrivals_are_the_same_compiled_and_not(mode: str) -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", ARRIVALS],
            env=os.environ | {"MARKETSIM_COMPILE": each},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for each in (mode, "1")
    ]
    assert said[0] == said[1] and int(said[0].split()[0]) > 100
