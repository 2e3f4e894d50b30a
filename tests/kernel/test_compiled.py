"""Compiled functions as Python sees them: made once, kept on disk, loaded without the compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsim.chain.events import hash64
from marketsim.chain.state import State, make_state
from marketsim.chain.status import Status
from marketsim.kernel.compiled import bound, compiled, folder_of
from marketsim.kernel.intrinsics import add_eight, equal_eight, lowest_bit, rarely
from marketsim.kernel.modes import COMPILING
from marketsim.market.tables import Table
from marketsim.money.pairs import add, add_to

ROOT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(not COMPILING, reason="compilation is off")


@compiled
def answer(s: State, number: int, sure: bool) -> Status:
    """Return one status or another."""
    if sure and s.globals[0] < number:
        return Status.OrderNotOpen
    return Status.Ok


@compiled
def ordered(a: int, b: int, c: int) -> Status:
    """Refuse what is in the wrong order; the last step only says yes."""
    if a > b:
        return Status.InvalidBid
    if b > c:
        return Status.InvalidDeposit
    if a == c:
        return Status.Ok
    return Status.Ok


@compiled
def share(a: int, b: int) -> float:
    """Return a quotient."""
    return a / b


@compiled
def halve(s: State, row: int) -> None:
    """Halve a number of a table."""
    s.wallets[row, 1] //= 2


@compiled
def bids_equal(s: State, row: int, first: int, value: int) -> int:
    """Ask for eight columns of a bid at once."""
    return equal_eight(s.bids[row], first, value)


@compiled
def add_to_bids(s: State, row: int, first: int, bits: int) -> None:
    """Add to eight columns of a bid at once."""
    add_eight(s.bids[row], first, bits)


@compiled
def lowest(bits: int) -> int:
    """Find the lowest bit."""
    return lowest_bit(bits)


@compiled
def clamp(value: int, least: int, most: int) -> int:
    """Return the value, within bounds that it rarely leaves."""
    if rarely(value < least or value > most):
        return least if value < least else most
    return value


@compiled
def raise_price(s: State, table: Table, row: int, other: int) -> int:
    """Add 1 to a number by way of another table, and to the same column of another row; return it as it is then."""
    before = s.bids[row, 5]
    s.orders[row, 5] = -1
    table[row, 5] = before + 1
    s.bids[other, 5] += 1
    return int(s.bids[row, 5])


def test_results_are_plain_python() -> None:
    state = make_state(4)
    state.globals[0] = 5
    assert answer(state, 6, True) is Status.OrderNotOpen
    assert answer(state, 6, False) is Status.Ok
    assert share(1, 4) == 0.25
    assert add(1, 10**18 - 1, 2, 1) == (4, 0)
    assert add(-1, 0, 0, 1) == (-1, 1)
    state.wallets[2, 1] = -7
    halve(state, 2)
    assert state.wallets[2, 1] == -4


def test_a_row_of_a_table_is_written_where_it_is() -> None:
    table = np.zeros((3, 4), np.int64)
    add_to(table[1], 2, 5, 10**18 - 1)
    add_to(table[1], np.int64(2), 5, 1)
    assert table.tolist() == [[0] * 4, [0, 0, 11, 0], [0] * 4]


@given(st.lists(st.integers(-2, 2), min_size=12, max_size=12), st.integers(0, 4), st.integers(-2, 2))
def test_eight_numbers_are_compared_at_once(numbers: list[int], first: int, value: int) -> None:
    state = make_state(2)
    state.bids[1] = numbers
    expected = "".join("1" if number == value else "0" for number in reversed(numbers[first : first + 8]))
    assert bids_equal(state, 1, first, value) == equal_eight(state.bids[1], first, value) == int(expected, 2)


@given(st.integers(-(1 << 63), (1 << 63) - 9), st.integers(0, 4), st.integers(0, 255))
def test_eight_columns_get_a_bit_each(start: int, first: int, bits: int) -> None:
    state = make_state(3)
    state.bids[:] = np.arange(12) % 7 + start
    expected = state.bids.copy()
    expected[1, first : first + 8] += [int(bit) for bit in reversed(f"{bits:08b}")]
    plain = state.bids.copy()
    add_eight(plain[1], first, bits)
    add_to_bids(state, 1, first, bits)
    assert (state.bids == expected).all() and (plain == expected).all()


@given(st.integers(1, (1 << 63) - 1))
def test_the_lowest_bit(bits: int) -> None:
    low = next(k for k in range(64) if bits >> k & 1)
    assert lowest(bits) == lowest_bit(bits) == low


@pytest.mark.parametrize("value, expected", [(-3, 0), (0, 0), (5, 5), (9, 9), (10, 9)])
def test_what_rarely_holds_is_what_it_is(value: int, expected: int) -> None:
    assert clamp(value, 0, 9) == expected


@needs_compiler
@pytest.mark.parametrize("function, refusals", [(answer, 1), (ordered, 2), (clamp, 0)])
def test_a_ladder_expects_no_refusal(function: Any, refusals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the steps that end with a refusal, each is marked; a function that answers with a number has none."""
    from numba import types

    from marketsim.kernel import compiler

    modules: list[Any] = []
    mark = compiler.expect_no_refusal
    monkeypatch.setattr(compiler, "expect_no_refusal", lambda module: (modules.append(module), mark(module))[1])
    kinds = {"s": compiler.type_of("SetState", make_state()), "sure": types.boolean}
    annotations = function.py_func.__annotations__
    compiler.Inner(function.py_func, inline=False).compile(tuple(kinds.get(name, types.int64) for name in annotations if name != "return"))
    assert sum(str(module).count("!prof") for module in modules) == refusals


def test_what_is_written_is_read_again() -> None:
    """A row may be another by name, and an array that is handed in may be any table's."""
    state = make_state(4)
    assert raise_price(state, state.bids, 1, 2) == 1
    assert raise_price(state, state.bids, 1, 1) == 3
    assert raise_price(state, np.zeros((4, 12), np.int64), 1, 3) == 3
    assert state.bids[:, 5].tolist() == [0, 3, 1, 1] and state.orders[1, 5] == -1


def test_bound_tables_are_given_once() -> None:
    state = make_state(4)
    state.wallets[1, 1] = 12
    halve_of = bound(halve, state)
    halve_of(1)
    halve_of(1)
    assert state.wallets[1, 1] == 3


@needs_compiler
def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OverflowError):
        add(1 << 63, 0, 0, 0)
    with pytest.raises(TypeError):
        add(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        add(1.5, 0, 0, 0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="contiguous"):
        add_to(np.zeros((4, 4), np.int64)[:, 1], 0, 1, 1)
    with pytest.raises(TypeError, match="contiguous"):
        add_to(np.zeros(4, np.int32), 0, 1, 1)
    with pytest.raises(TypeError):
        bound(halve, make_state(2))(1, 2)


@needs_compiler
def test_what_does_not_fit_is_refused_after_what_does() -> None:
    amounts = np.zeros(4, np.int64)
    add_to(amounts, 0, 1, 1)
    for wrong in (amounts.astype(np.int32), np.zeros((4, 4), np.int64)[:, 1], np.zeros(4)):
        with pytest.raises(TypeError, match="contiguous"):
            add_to(wrong, 0, 1, 1)
    with pytest.raises(TypeError):
        add_to(amounts, 0, 1)  # type: ignore[call-arg]
    add_to(amounts, 0, 1, 1)
    assert amounts.tolist() == [2, 2, 0, 0]


def calls(cache: Path) -> list[str]:
    code = "import sys; from marketsim.chain.events import hash64; print(hash64(1, 2, 3, 4), 'numba' in sys.modules)"
    environment = os.environ | {"MARKETSIM_CACHE": str(cache), "PYTHONPATH": str(ROOT), "TMPDIR": str(cache / "tmp")}
    (cache / "tmp").mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@needs_compiler
def test_a_second_process_needs_no_compiler(tmp_path: Path) -> None:
    number = str(hash64(1, 2, 3, 4))
    assert calls(tmp_path) == [number, "True"]
    assert calls(tmp_path) == [number, "False"]
    (file,) = tmp_path.glob("events-*/hash64-*")
    file.write_bytes(file.read_bytes()[:-9])  # damaged: made again
    assert calls(tmp_path) == [number, "True"]
    assert calls(tmp_path) == [number, "False"]


@needs_compiler
def test_code_that_cannot_be_kept_runs_all_the_same(tmp_path: Path) -> None:
    number = str(hash64(1, 2, 3, 4))
    assert calls(tmp_path) == [number, "True"]
    (folder,) = tmp_path.glob("events-*")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    assert calls(tmp_path) == [number, "True"]


def test_the_folder_of_compiled_code_follows_the_sources() -> None:
    package = ROOT / "marketsim"
    folder = folder_of(package / "money" / "pairs.py")
    assert folder.startswith("pairs-")
    assert folder != folder_of(package / "chain" / "events.py")
