"""Messages handed over in batches: whether they must be sorted is what a stable sort would find."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from marketsim.kernel.table_set import rows_of
from marketsim.market.inbox import is_in_order
from marketsim.market.tables import Call

FEW = st.integers(0, 2)


@given(st.lists(st.tuples(FEW, FEW, FEW, FEW), max_size=6), st.booleans())
def test_in_order_is_by_key_then_time_then_tie(messages: list[tuple[int, int, int, int]], is_sorted: bool) -> None:
    rows = rows_of(len(messages), Call)
    for row, values in zip(rows, sorted(messages) if is_sorted else messages, strict=True):
        row[[Call.key, Call.time, Call.tie, Call.plan]] = values
    keys = [tuple(row[[Call.key, Call.time, Call.tie]].tolist()) for row in rows]
    assert is_in_order(rows) == (keys == sorted(keys))
