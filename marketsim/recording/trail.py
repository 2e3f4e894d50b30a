"""A run's trail as a file: for every chunk of blocks, and each ingredient, a running hash of what happened up to its end.

`trail.csv` has a row for each chunk in which something happened: its last block, then eight hex digits an ingredient. A hash stands for
everything up to that block, so the first row that differs is the first chunk in which two runs parted. Names are hashed and never rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.columns import Trail
from marketsim.chain.events import TRAIL_BLOCKS, hash64
from marketsim.errors import InputError
from marketsim.kernel.compiled import compiled
from marketsim.kernel.rows import Rows, as_rows
from marketsim.kernel.table_set import Table

INGREDIENTS: Final = ("messages", "events", "prices", "payments", "settlements", "states")
"""What a trail tells apart: messages by hand and of governance with their answers; which events, about whom, in which order; the amounts of
prices; of what moved; of what cadences settled; what no event says: desks' capacity and counts, sizes, latencies."""
FILE: Final = "trail.csv"
HEADER: Final = "block," + ",".join(INGREDIENTS)
_DIGITS = 8


@dataclass(frozen=True)
class RunTrail:
    """The trail of one run: `ends` int64 (rows,), the last blocks of chunks in which something happened, ascending; `hashes` uint32 (rows,
    ingredients), running; `blocks` the run's last block."""

    ends: NDArray[np.int64]
    hashes: NDArray[np.uint32]
    blocks: int

    def text(self) -> str:
        """Return the file's text."""
        lines = [HEADER]
        rows = self.hashes.tolist()
        lines += [f"{end}," + ",".join(f"{value:08x}" for value in row) for end, row in zip(self.ends.tolist(), rows, strict=True)]
        return "\n".join(lines) + "\n"

    def upto(self, end: int) -> list[int]:
        """Return the hashes of everything up to block `end`, one an ingredient; zeros before anything happened."""
        at = int(np.searchsorted(self.ends, end, side="right")) - 1
        return [int(value) for value in self.hashes[at]] if at >= 0 else [0] * len(INGREDIENTS)


def trail_of(trail: Table, blocks: int) -> RunTrail:
    """Return the running hashes of the chain's table `trail` after the last block of a run of `blocks`."""
    running = np.zeros((len(trail), len(INGREDIENTS)), np.int64)
    put_running(as_rows(Trail, np.ascontiguousarray(trail)), running)
    ends = np.minimum(np.arange(len(trail), dtype=np.int64) * TRAIL_BLOCKS, blocks)
    moved = np.ones(len(trail), bool)
    moved[1:] = (running[1:] != running[:-1]).any(axis=1)
    if len(moved) > 1 and ends[-1] == ends[-2]:  # a last chunk of no blocks
        moved[-1] = False
    return RunTrail(ends[moved], (running[moved] >> 30).astype(np.uint32), blocks)


@compiled
def put_running(trail: Rows[Trail], running: Table) -> None:
    """Write the running hashes of all ingredients, chunk by chunk, int64 (chunks, ingredients), in the order of INGREDIENTS."""
    desks = 0
    for at in range(trail.shape[0]):
        if at > 0:
            for one in range(running.shape[1]):
                running[at, one] = running[at - 1, one]
        states = trail[at, Trail.states]
        if trail[at, Trail.desks] != 0 and trail[at, Trail.desks] != desks:
            desks = trail[at, Trail.desks]
            states = hash64(states, desks, 0, 0)
        if trail[at, Trail.messages] != 0:
            running[at, 0] = hash64(running[at, 0], trail[at, Trail.messages], at, 0)
        if trail[at, Trail.events] != 0:
            running[at, 1] = hash64(running[at, 1], trail[at, Trail.events], at, 0)
        if trail[at, Trail.prices] != 0:
            running[at, 2] = hash64(running[at, 2], trail[at, Trail.prices], at, 0)
        if trail[at, Trail.payments] != 0:
            running[at, 3] = hash64(running[at, 3], trail[at, Trail.payments], at, 0)
        if trail[at, Trail.settlements] != 0:
            running[at, 4] = hash64(running[at, 4], trail[at, Trail.settlements], at, 0)
        if states != 0:
            running[at, 5] = hash64(running[at, 5], states, at, 0)


def read_trail(folder: Path, blocks: int) -> RunTrail | None:
    """Return the trail in a results folder, None where there is none; raises InputError for one that is damaged."""
    path = folder / FILE
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected what `marketsim run` has written") from None
    if not lines or lines[0] != HEADER:
        raise InputError(f"{path}:1:1: not a trail, expected the line {HEADER}")
    ends, hashes = [], []
    for number, line in enumerate(lines[1:], 2):
        end, *digits = line.split(",")
        try:
            if len(digits) != len(INGREDIENTS) or any(len(each) != _DIGITS for each in digits):
                raise ValueError(line)
            ends.append(int(end))
            hashes.append([int(each, 16) for each in digits])
        except ValueError:
            raise InputError(f"{path}:{number}:1: not a row of a trail, expected a block and {len(INGREDIENTS)} × 8 hex digits") from None
    if any(low >= high for low, high in pairwise(ends)):
        raise InputError(f"{path}: blocks do not rise from row to row, expected what `marketsim run` has written")
    return RunTrail(np.array(ends, np.int64), np.array(hashes, np.uint32).reshape(-1, len(INGREDIENTS)), blocks)
