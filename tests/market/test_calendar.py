"""The calendar gives back what was entered by height, phase and tie, whether it waited in a chunk's rows or in the heap."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marketsim.kernel.table_set import rows_of
from marketsim.market.calendar import CHUNK_BITS, FIRST, drop_first, open_chunk, push
from marketsim.market.tables import Chunk, Engine, Entry, Kind, Later, make_engine

CHUNKS = 5
HEIGHTS = st.one_of(st.integers(1, (CHUNKS << CHUNK_BITS) - 1), st.sampled_from([1023, 1024, 1025, 4_000_000, 4_000_001]))
ENTRIES = st.lists(st.tuples(HEIGHTS, st.integers(0, 15), st.integers(0, 3), st.integers(0, 99)), max_size=200)


def _calendar() -> Engine:
    engine = make_engine(1)
    return engine._replace(
        calendar=rows_of(1_000, Entry),
        later=np.zeros((1_000, Later.SIZE), np.int64),
        chunks=np.full((CHUNKS, Chunk.width), -1, np.int64),
    )


def _take_all(e: Engine) -> list[tuple[int, int, int]]:
    """Every entry in the order in which the block loop takes them: a chunk is opened before its first block."""
    taken = []
    while True:
        while e.globals.calendar > 0:
            key, tie, what = e.calendar[FIRST, : Entry.what + 1].tolist()
            if e.globals.chunk + 1 < CHUNKS and key >> 4 >= (int(e.globals.chunk) + 1) << CHUNK_BITS:
                break
            taken.append((key, tie, what))
            drop_first(e)
        if e.globals.chunk + 1 >= CHUNKS:
            return taken
        open_chunk(e)


@given(ENTRIES, ENTRIES)
def test_entries_come_in_order(first: list[tuple[int, int, int, int]], second: list[tuple[int, int, int, int]]) -> None:
    e = _calendar()
    for entries in (first, second):  # the second time in rows that the first has given back
        e.globals.chunk = 0
        for height, phase, tie, row in entries:
            push(e, height, phase, tie, Kind.DUE, row)
        assert e.globals.calendar + e.globals.waiting == len(entries)
        taken = _take_all(e)
        assert taken == sorted((height * 16 + phase, tie, row * 64 + Kind.DUE) for height, phase, tie, row in entries)
        assert e.globals.calendar == e.globals.waiting == 0
        assert (e.chunks[:, Chunk.last] == -1).all()
    most = max(sum(min(height >> CHUNK_BITS, CHUNKS - 1) > 0 for height, *_ in entries) for entries in (first, second))
    assert e.globals.later <= CHUNKS + most // Later.ENTRIES
