"""Memory of large tables that is kept from run to run."""

from __future__ import annotations

import numpy as np

from marketsim.kernel.intrinsics import LINE
from marketsim.kernel.table_set import Rooms

COUNT = Rooms.LARGE // 8


def _keeping() -> Rooms:
    rooms = Rooms()
    rooms.keeps = True
    return rooms


def test_memory_of_a_table_that_is_gone_comes_back_as_zeros() -> None:
    rooms = _keeping()
    lent = rooms.zeros(COUNT + 100)
    where = lent.ctypes.data
    table = lent[8 : 8 + COUNT].reshape(-1, 8)
    table[:] = 7
    del lent
    other = rooms.zeros(COUNT + 50)
    assert other.ctypes.data != where and not other.any(), "a view of the first still lives"
    assert (table == 7).all()
    del table
    again = rooms.zeros(COUNT)
    assert again.ctypes.data == where and len(again) == COUNT and not again.any()


def test_what_nobody_reads_is_not_wiped() -> None:
    rooms = _keeping()
    lent = rooms.zeros(COUNT)
    lent[:] = 7
    del lent
    assert (rooms.zeros(COUNT, wiped=False) == 7).all()


def test_no_table_gets_memory_twice_as_large_as_it_needs() -> None:
    rooms = _keeping()
    del (lent := {"one": rooms.zeros(2 * COUNT + 1)})["one"]
    assert not lent and len(rooms._free) == 1
    kept = rooms.zeros(COUNT)
    assert len(rooms._free) == 1 and len(kept) == COUNT


def test_what_is_kept_has_a_bound() -> None:
    rooms = _keeping()
    rooms.MOST = 3 * Rooms.LARGE
    lent = [rooms.zeros(COUNT) for _ in range(5)]
    lent.clear()
    assert len(rooms._free) == 3


def test_nothing_is_kept_unless_asked_for_or_of_small_tables() -> None:
    for rooms, count in ((Rooms(), COUNT), (_keeping(), COUNT - LINE)):
        lent = rooms.zeros(count)
        assert not lent.any() and lent.dtype == np.int64
        del lent
        assert not rooms._free
