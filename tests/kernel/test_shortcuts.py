"""What numba is spared while marketsim compiles: afterwards it is as before, errors say where they are, rows are read as by Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marketsim.chain.columns import Order
from marketsim.chain.state import State, make_state
from marketsim.kernel.compiled import compiled
from marketsim.kernel.modes import COMPILING
from marketsim.kernel.rows import Rows
from marketsim.market.tables import Table

pytestmark = pytest.mark.skipif(not COMPILING, reason="nothing is compiled")


@compiled
def misspelt(s: State, row: int) -> int:
    """Ask a row for a column that there is not."""
    return s.orders[row].no_such_column  # type: ignore[attr-defined, no-any-return]


@compiled
def without_support(table: Table) -> int:
    """Ask for what cannot be compiled: memory of its own."""
    return int(np.sort(table[0])[0])


@compiled
def neighbours(orders: Rows[Order], row: int, column: int, step: int) -> int:
    """Read numbers of rows by their place and by name, by numbers and by truths."""
    by_place = orders[row][column] + orders[row + step][column]
    nearby = orders[row - step]
    nearby.price = by_place
    return int(nearby[Order.price] + orders[int(row > 0)].state)


@compiled
def shape_of(orders: Rows[Order], row: int) -> int:
    """What a row and a table say of their size."""
    one = orders[row]
    return len(orders) * 1_000_000 + orders.shape[1] * 10_000 + one.shape[0] * 100 + len(one[2:5])


def taken_over() -> dict[str, Any]:
    from numba.core import base, event, postproc, typeinfer, types
    from numba.core.typing.context import BaseContext
    from numba.np import arrayobj

    names: list[tuple[Any, str]] = [
        (types.BaseFunction, "get_call_type"), (BaseContext, "resolve_getattr"), (BaseContext, "refresh"), (base.BaseContext, "refresh"),
        (base, "_has_loc"), (arrayobj, "make_array"), (postproc.PostProcessor, "run"), (typeinfer.ConstraintNetwork, "propagate"),
        (typeinfer, "new_error_context"), (event, "start_event"), (event, "end_event"),
    ]  # fmt: skip
    return {f"{owner.__name__}.{name}": getattr(owner, name) for owner, name in names}


@pytest.fixture
def numba_before() -> Iterator[dict[str, Any]]:
    before = taken_over()
    yield before
    assert taken_over() == before


def test_while_it_lasts_numba_is_another_and_then_as_before(numba_before: dict[str, Any]) -> None:
    from marketsim.kernel.shortcuts import shortcuts

    with pytest.raises(KeyError), shortcuts():
        now = taken_over()
        assert [name for name, was in numba_before.items() if now[name] is was] == []
        raise KeyError


@pytest.mark.usefixtures("numba_before")
@pytest.mark.parametrize(
    "function, arguments, what",
    [(misspelt, (make_state(4), 1), "no_such_column"), (without_support, (np.zeros((2, 2), np.int64),), "sort")],
)
def test_an_error_says_what_is_wrong_and_in_which_line(function: Any, arguments: tuple[Any, ...], what: str) -> None:
    from numba.core.errors import NumbaError

    with pytest.raises(NumbaError) as raised:
        function(*arguments)
    line = function.py_func.__code__.co_firstlineno + 3
    assert what in str(raised.value) and __file__ in str(raised.value) and f"({line})" in str(raised.value)


@pytest.mark.usefixtures("numba_before")
def test_who_compiles_with_numba_afterwards_gets_references_and_is_told() -> None:
    """Arrays that others' functions make are given back, and listeners hear of their compiling."""
    from numba import njit
    from numba.core import event
    from numba.core.runtime import _nrt_python, rtsys

    from marketsim.kernel.compiler import emit, type_of

    kinds = (type_of("Order2", make_state(4).orders, Order), *[type_of("int", 0)] * 3)
    assert b"neighbours" in emit(neighbours.dispatcher, kinds, "neighbours")  # type: ignore[attr-defined]

    def summed(numbers: Any) -> Any:
        made = numbers * 2
        for _ in range(3):
            made = made + numbers
        return made

    with event.install_recorder("numba:run_pass") as heard:
        theirs = njit(summed)
        theirs(np.arange(2))
        _nrt_python.memsys_enable_stats()
        before = rtsys.get_allocation_stats()
        made = theirs(np.arange(5))
    assert made.tolist() == [0, 5, 10, 15, 20] and len(heard.buffer) > 10
    del made
    after = rtsys.get_allocation_stats()
    assert after.alloc - before.alloc == after.free - before.free >= 4


def test_rows_are_read_as_python_reads_them() -> None:
    orders = make_state(6).orders
    orders[:] = np.arange(orders.size).reshape(orders.shape)
    plain = orders.copy()
    for row, column, step in ((3, Order.price, 1), (2, Order.width - 1, 2), (5, 0, 0)):
        assert neighbours(orders, row, column, step) == neighbours.py_func(plain, row, column, step)  # type: ignore[attr-defined]
        assert (orders == plain).all()
    assert shape_of(orders, 4) == shape_of.py_func(plain, 4)  # type: ignore[attr-defined]


OUTSIDE = """from __future__ import annotations

from marketsim.chain.columns import Order
from marketsim.chain.state import make_state
from marketsim.kernel.compiled import compiled
from marketsim.kernel.rows import Rows


@compiled
def number_at(orders: Rows[Order], row: int, column: int) -> int:
    return int(orders[row][column])


orders = make_state(6).orders
for row, column in ((5, 0), (6, 0), (-1, 0), (0, Order.width), (0, -1)):
    try:
        print(row, column, number_at(orders, row, column))
    except IndexError as error:
        print(row, column, error)
"""


def test_the_build_with_bounds_sees_an_index_outside(tmp_path: Path) -> None:
    script = tmp_path / "outside.py"
    script.write_text(OUTSIDE)
    said = subprocess.run(
        [sys.executable, script], env=os.environ | {"MARKETSIM_COMPILE": "checked"}, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert said[0] == "5 0 0"
    assert len(said) == 5
    for line in said[1:]:
        assert "outside its table" in line
