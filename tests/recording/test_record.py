from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_record import make_record

from marketsim.chain.status import Status
from marketsim.errors import InvariantError
from marketsim.market.tables import STATUSES
from marketsim.money.units import ATTO
from marketsim.recording.record import COLUMNS, bin_of_rank, blank, day_count, exact, exact_sum

LIMIT = 2**63 - 1


@given(st.lists(st.tuples(st.integers(-LIMIT, LIMIT), st.integers(0, ATTO - 1)), max_size=30))
def test_exact_sum_is_the_sum_of_python_integers(amounts: list[tuple[int, int]]) -> None:
    whole = np.array([amount[0] for amount in amounts], np.int64)
    atto = np.array([amount[1] for amount in amounts], np.int64)
    assert exact_sum(whole, atto) == sum(exact(*amount) for amount in amounts)
    assert exact_sum(whole) == sum(amount[0] for amount in amounts) * ATTO


def test_every_status_has_a_column() -> None:
    assert max(Status) < STATUSES


def test_blank_tables_have_their_columns_and_say_none() -> None:
    for table, columns in COLUMNS.items():
        made = blank(table, 3)
        assert set(columns) <= set(made)
        assert {len(column) for column in made.values()} == {3}
    assert list(blank("orders", 2)["lease"]) == [-1, -1]
    assert blank("providers", 2, days=9)["revenue_days"].shape == (2, 9)


@pytest.mark.parametrize(("blocks", "days"), [(1, 1), (14_400, 1), (14_401, 2), (28_800, 2)])
def test_days_begun(blocks: int, days: int) -> None:
    assert day_count(blocks, 14_400) == days


def test_check_names_what_is_wrong() -> None:
    record = make_record(40, days=2)
    short = record.leases | {"provider": record.leases["provider"][:-1]}
    far = record.orders | {"tenant": record.orders["tenant"] + 1000}
    real = record.leases | {"withdrawn": record.leases["withdrawn"].astype(float)}
    less = {key: value for key, value in record.meta.items() if key != "seed"}
    for broken, message in (
        (replace(record, leases=short), "different lengths"),
        (replace(record, orders=far), "orders: tenant has a value outside"),
        (replace(record, leases=real), "withdrawn is missing or not a column of int64"),
        (replace(record, meta=less), "meta: seed is missing"),
        (replace(record, totals={**record.totals, "dust": 0.5}), "dust is missing or not an integer"),  # type: ignore[dict-item]
    ):
        with pytest.raises(InvariantError, match=message):
            broken.check()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30).filter(any), st.data())
def test_the_bin_of_a_rank_is_that_of_the_number_at_its_place(counts: list[int], data: st.DataObject) -> None:
    values = [place for place, count in enumerate(counts) for _ in range(count)]
    rank = data.draw(st.integers(1, len(values)))
    assert bin_of_rank(np.array(counts, np.int64), rank) == values[rank - 1]
