"""Rows with names, compiled and not: what a row class says of its columns, and what its rows and tables do."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from marketsim.chain.columns import G, Lease, Order, OrderState
from marketsim.chain.state import State, make_state
from marketsim.kernel.codes import Code
from marketsim.kernel.compiled import compiled
from marketsim.kernel.modes import COMPILING
from marketsim.kernel.rows import Row, Schema, as_rows, column, row_of
from marketsim.kernel.table_set import rows_of
from marketsim.market.tables import Engine, make_engine


class Shape(Code):
    """A code."""

    ROUND = 3
    FLAT = 4


class Fruit(Row, width=4):
    """A row class of three columns in a width of four."""

    weight = column("of one", "g")
    price = column("of a kilogram", "uve", default=-1)
    form = column("Shape")


@compiled
def dearer(fruit: Fruit, more: int) -> Shape:
    """Raise the price of a row that Python hands in."""
    fruit.price += more
    fruit.weight = Fruit.width
    fruit.form = Shape.ROUND
    return Shape.FLAT if fruit.price > 5 else Shape.ROUND


@compiled
def take_over(s: State, order: int, other: int) -> int:
    """Give an order what another has, by rows and by their place."""
    o = s.orders[order]
    o.price = s.orders[other].price + 1
    s.orders[order].price_atto = -o.price
    o.state = OrderState.MATCHED
    s.globals.height += o.price
    return s.orders[order, Order.price] + o.state


def test_a_class_numbers_its_columns_in_order() -> None:
    assert (Fruit.weight, Fruit.price, Fruit.form, Fruit.width) == (0, 1, 2, 4)
    assert [(each.name, each.number, each.unit, each.default) for each in Fruit.columns] == [
        ("weight", 0, "g", 0),
        ("price", 1, "uve", -1),
        ("form", 2, "", 0),
    ]
    assert repr(Fruit.columns[1]) == "column 1, price: of a kilogram (uve)"


def test_a_row_is_read_and_written_by_name() -> None:
    row = row_of(Fruit, weight=5)
    assert row.tolist() == [5, -1, 0, 0]
    row.price += 8
    row.form = Shape.ROUND
    assert row.tolist() == [5, 7, 3, 0] and row.price == 7


def test_a_table_gives_rows_and_columns() -> None:
    table = rows_of(3, Fruit)
    assert table.tolist() == [[0, -1, 0, 0]] * 3
    table[1].price = 4
    table[:, Fruit.weight] = 2
    table[1:].form = 9
    assert table.tolist() == [[2, -1, 0, 0], [2, 4, 9, 0], [2, -1, 9, 0]]
    assert table.price.tolist() == [-1, 4, -1]
    assert type(table[0]) is Fruit and type(pickle.loads(pickle.dumps(table))) is Fruit


@pytest.mark.parametrize("name", ["sum", "shape", "data", "T", "columns", "width", "flat"])
def test_what_arrays_have_is_no_name_of_a_column(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^Bad\.{name}: rows have something else of this name$"):
        Schema("Bad", (Row,), {name: column()})


def test_a_width_holds_the_columns() -> None:
    with pytest.raises(TypeError, match=r"^Bad: 2 columns in a width of 1$"):
        Schema("Bad", (Row,), {"one": column(), "two": column()}, width=1)


def test_sets_see_their_tables_as_rows_whatever_is_given() -> None:
    state = make_state(4)._replace(leases=np.zeros((2, Lease.width), np.int64))
    assert type(state.leases) is Lease and type(state.globals) is G
    for made in (make_state(2), make_engine(2)):
        for name, table in zip(made._fields, made, strict=True):
            schema = type(made).rows.get(name)
            assert type(table) is (schema or np.ndarray), name
            assert schema is None or table.shape[-1] == schema.width


def test_compiled_code_reads_and_writes_the_same() -> None:
    state = make_state(4)
    state.orders[2].price = 40
    assert take_over(state, 1, 2) == 41 + OrderState.MATCHED
    assert (state.orders[1].price, state.orders[1].price_atto, state.orders[1].state) == (41, -41, OrderState.MATCHED)
    assert state.globals.height == 41
    row = row_of(Fruit)
    assert dearer(row, 9) is Shape.FLAT
    assert row.tolist() == [4, 8, 3, 0]
    table = as_rows(Fruit, np.zeros((2, 4), np.int64))
    assert dearer(table[1], 2) is Shape.ROUND
    assert table.tolist() == [[0] * 4, [4, 2, 3, 0]]


def test_a_set_with_another_table_has_that_one_and_the_rest() -> None:
    state = make_state(4)
    state.orders[2].price = 40
    take_over(state, 1, 2)
    other = state._replace(orders=np.zeros((8, Order.width), np.int64))._replace(wallets=state.wallets.copy())
    other.orders[6].price = 70
    assert take_over(other, 5, 6) == 71 + OrderState.MATCHED
    assert (other.orders[5].price, state.orders[1].price, state.globals.height) == (71, 41, 41 + 71)
    if COMPILING:
        with pytest.raises(TypeError, match=rf"^table leases: 3 columns, expected {Lease.width}$"):
            _ = other._replace(leases=np.zeros((2, 3), np.int64)).address


@pytest.mark.skipif(not COMPILING, reason="compilation is off")
def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^array of shape \(3,\), expected 4 columns of Fruit$"):
        dearer(np.zeros(3, np.int64), 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=rf"^table leases: 3 columns, expected {Lease.width}$"):
        _ = make_state(2)._replace(leases=np.zeros((2, 3), np.int64)).address


def test_every_column_is_a_name_that_arrays_have_not() -> None:
    for tables in (State, Engine):
        for schema in tables.rows.values():
            assert not {each.name for each in schema.columns} & set(dir(np.ndarray))
