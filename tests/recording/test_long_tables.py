"""Long tables: gathered in chunks, written while the run goes on, the same bytes as when they are written at once."""

from __future__ import annotations

import gc
import hashlib
import io
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsim.chain.columns import BidState, Event, EventKind
from marketsim.errors import InputError
from marketsim.export import table_files
from marketsim.export.csv_text import CsvText
from marketsim.export.long_tables import LongTable, Spill
from marketsim.export.results import new_results, read_record
from marketsim.export.table_files import PARQUET_ONLY, StoredTable, TableWriter, read_columns, write_table
from marketsim.export.words import Words, members
from marketsim.kernel.modes import COMPILING
from marketsim.kernel.table_set import rows_of
from marketsim.market.tables import DESK_SHIFT, ORDER_SHIFT
from marketsim.recording import rows as rows_module
from marketsim.recording.record import COLUMNS, OPTIONAL
from marketsim.recording.rows import ColumnChunks, WaitingRows, pick_rows
from marketsim.scenario import load_scenario
from marketsim.simulation import collect, run
from marketsim.simulation.collect import Declines, Settlements

TINY = Path(__file__).parents[2] / "scenarios" / "tiny.yaml"


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def short_chunks(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """Chunks of a few rows, so that a small run has many."""
    for module in (rows_module, table_files):
        monkeypatch.setattr(module, "CHUNK", length)
    monkeypatch.setattr(collect, "ENOUGH", length)
    for kind in (ColumnChunks, WaitingRows):
        defaults = kind.__init__.__defaults__
        assert defaults == (rows_module.CHUNK,) or len(defaults or ()) == 1
        monkeypatch.setattr(kind.__init__, "__defaults__", (length,))


# --- rows into chunks ---------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 7), st.booleans())
def test_chunks_have_one_length_whatever_the_pieces(pieces: list[int], length: int, by_columns: bool) -> None:
    rows = np.arange(3 * sum(pieces), dtype=np.int64).reshape(-1, 3)
    taken: list[Any] = []
    chunks = ColumnChunks((2, 0), lambda block: taken.append(block.copy()), length)
    at = 0
    for piece in pieces:
        part = rows[at : at + piece]
        if by_columns:
            chunks.add_columns([part[:, 2], part[:, 0]])
        else:
            chunks.add(part)
        at += piece
    assert [block.shape for block in taken] == [(2, length)] * (at // length)
    together = np.concatenate([*taken, chunks.rest()], axis=1)
    np.testing.assert_array_equal(together, rows[:, [2, 0]].T)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 9), max_size=15), st.integers(1, 5), st.integers(0, 80))
def test_rows_wait_in_order_in_memory_or_in_a_file(pieces: list[int], length: int, known_below: int) -> None:
    rows = np.arange(2 * sum(pieces), dtype=np.int64).reshape(-1, 2)
    taken: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        waiting = WaitingRows(
            2, lambda part: bool((part < known_below).all()), lambda part: taken.append(part.copy()), lambda: Path(folder), length
        )
        at = 0
        for piece in pieces:
            waiting.add(rows[at : at + piece])
            at += piece
            assert all((part < known_below).all() for part in taken)
        waiting.finish()
        assert list(Path(folder).iterdir()) == []
    np.testing.assert_array_equal(np.concatenate(taken), rows)


def test_rows_are_picked_by_the_bits_of_a_column() -> None:
    rows = np.array([[1, 5], [2, 6], [62, 7], [2, 8]], np.int64)
    out = np.zeros((5, 2), np.int64)
    assert pick_rows(rows, 1, 4, 0, 1 << 2 | 1 << 62, out, 1) == 4
    assert out.tolist() == [[0, 0], [2, 6], [62, 7], [2, 8], [0, 0]]
    assert pick_rows(rows, 0, 1, 0, 1 << 2, out, 3) == 3


# --- text ---------------------------------------------------------------------------------------------------

EDGES = [0, 9, 10, 99, 100, 999, 1000, 9999, 10**4, 10**7, 10**8 - 1, 10**8, 10**15, 10**16 - 1, 10**16, 10**18, 2**63 - 1]
numbers = st.one_of(st.sampled_from([*EDGES, *(-edge for edge in EDGES), -(2**63)]), st.integers(-(2**63), 2**63 - 1))
TEXTS = ["", "a", 'q"uoted', "longer than eight bytes, yes é", None, "12345", "123456"]


@settings(max_examples=100 if COMPILING else 15, deadline=None)
@given(st.lists(st.tuples(numbers, st.integers(-2, 9), numbers, st.integers(-1, 7)), max_size=30))
def test_lines_of_csv(lines: list[tuple[int, int, int, int]]) -> None:
    def quoted(number: int) -> str:
        text = TEXTS[number] if 0 <= number < len(TEXTS) else None
        return "" if text is None else '"' + text.replace('"', '""') + '"'

    file = io.BytesIO()
    block = np.ascontiguousarray(np.array(lines, np.int64).reshape(-1, 4).T)
    CsvText(file, ["a", "b", 'c"', "d"], [None, TEXTS, None, TEXTS]).write(block)
    wanted = ['"a","b","c""","d"', *(f"{a},{quoted(b)},{c},{quoted(d)}" for a, b, c, d in lines)]
    assert file.getvalue().decode() == "".join(line + "\n" for line in wanted)


def test_the_compiled_text_is_that_of_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    rows = 20_000 if COMPILING else 200
    columns = {
        "number": rng.integers(-(2**62), 2**62, rows) >> rng.integers(0, 62, rows),
        "named": rng.integers(-1, 5, rows),
        "last": rng.integers(0, 2, rows),
    }
    kinds: dict[str, Any] = {"number": int, "named": Words({0: "zero", 3: 'th"ree'}), "last": Words(["no", "yes, it is so"])}
    found = []
    for fast in (True, False):
        monkeypatch.setattr(table_files, "IS_FAST", fast)
        folder = tmp_path / str(fast)
        folder.mkdir()
        assert write_table(folder, "t", kinds, columns) == rows
        found.append(digests(folder))
    assert found[0] == found[1]
    back = read_columns(tmp_path / "True" / "t.parquet")
    np.testing.assert_array_equal(back["number"], columns["number"])
    wanted = np.where(np.isin(columns["named"], [0, 3]), columns["named"], -1)
    np.testing.assert_array_equal(kinds["named"].numbers(back["named"]), wanted)


def test_files_are_read_by_others(tmp_path: Path) -> None:
    kinds: dict[str, Any] = {"height": int, "kind": members(EventKind)}
    write_table(tmp_path, "t", kinds, {"height": np.arange(300_000), "kind": np.arange(300_000) % 40})
    code = (
        "import sys, pandas\n"
        "frame = pandas.read_parquet(sys.argv[1])\n"
        "print(frame.height.dtype, len(frame), frame.height.iloc[-1], frame.kind.iloc[32], frame.kind.isna().sum())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "t.parquet")], capture_output=True, text=True, check=True)
    known = sum(1 for number in range(300_000) if number % 40 in set(EventKind))
    assert done.stdout.split() == ["int64", "300000", "299999", "outage", str(300_000 - known)]


# --- settlements and bids -----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans(), st.integers(0, 5)), max_size=60),
    st.integers(1, 9),
    st.integers(0, 3),
)
def test_settlements_by_parts_are_those_of_the_whole(steps: list[tuple[int, int, bool, int]], piece: int, late: int) -> None:
    rows = rows_of(len(steps), Event)
    for row, (later, lease, is_paid, amount) in zip(rows, steps, strict=True):
        row[[Event.height, Event.subject, Event.whole]] = later, lease, amount
        row[Event.kind] = EventKind.PAID if is_paid else EventKind.SETTLED
    rows[:, Event.height] = 4 + np.cumsum(rows[:, Event.height]) - rows[:, Event.subject] % (late + 1)
    rows[:, Event.other] = rows[:, Event.height] - rows[:, Event.whole] % 2
    rows[:, Event.atto], rows[:, Event.extra] = rows[:, Event.whole] + 7, rows[:, Event.whole] + 11
    groups: dict[tuple[int, int], list[int]] = {}
    for event in rows.tolist():
        height, kind, lease, until, whole, atto, extra = event[:7]
        sums = groups.setdefault((height, lease), [0, 0, 0, 0, 0])
        if kind == EventKind.PAID:
            sums[3], sums[4] = sums[3] + whole, sums[4] + extra
        else:
            sums[:3] = [max(sums[0], until), sums[1] + whole, sums[2] + atto]
    plain: list[Any] = [(*key, sums[0] or key[0], *sums[1:]) for key, sums in sorted(groups.items())]
    wanted = dict(zip(COLUMNS["settlements"], np.array(plain, np.int64).reshape(-1, 7).T, strict=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "ENOUGH", 7)
        settlements = Settlements(Spill())
        for begin in range(0, len(rows), piece):
            settlements.add(rows, begin, min(begin + piece, len(rows)))
            settlements.settle(late)
        found = settlements.finish()
    for name in COLUMNS["settlements"]:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**31), st.integers(0, 2**20), st.integers(0, 9)), max_size=40),
    st.integers(1, 9),
)
def test_declines_are_packed_and_taken_apart(rows: list[tuple[int, int, int, int]], piece: int) -> None:
    packed: list[int] = []
    wanted: list[list[int]] = []
    height = -1
    for later, order, desk, code in rows:
        if later or height < 0:
            height += 1 + later
            packed.append(~height)
        packed.append(order << ORDER_SHIFT | desk << DESK_SHIFT | code)
        wanted.append([height, order, desk, code])
    declines = Declines(Spill(), [])
    numbers = np.array(packed, np.int64)
    for begin in range(0, len(numbers), piece):
        declines.add(numbers[begin : begin + piece])
    found = declines.finish()
    assert [list(row) for row in zip(*(found[name].tolist() for name in COLUMNS["declines"]), strict=True)] == wanted


# --- runs ---------------------------------------------------------------------------------------------------


def written(folder: Path, streamed: bool, overrides: list[str]) -> tuple[dict[str, str], Any]:
    with new_results(folder, own=False) as write:
        scenario = load_scenario(TINY, overrides)
        result = run(scenario, out=write.folder if streamed else None)
        write(result.record, result.summary)
    return {name: text for name, text in digests(folder).items() if name != "manifest.json"}, result.record


@pytest.mark.parametrize("overrides", [[], ["order_timeout=2000 blocks"]])
def test_a_streamed_run_writes_the_bytes_of_one_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str]) -> None:
    short_chunks(monkeypatch, 2)
    streamed, record = written(tmp_path / "streamed", True, overrides)
    temporary, other = written(tmp_path / "temporary", False, overrides)
    assert streamed == temporary
    back = read_record(tmp_path / "streamed")
    for name in OPTIONAL:
        one, two = getattr(record, name), getattr(other, name)
        assert isinstance(one, StoredTable) and isinstance(two, StoredTable) and len(one) == len(COLUMNS[name])
        assert list(one) == list(COLUMNS[name]) and "height" in one and "name" not in one
        with pytest.raises(KeyError):
            one["name"]
        for column in COLUMNS[name]:
            np.testing.assert_array_equal(one[column], getattr(back, name)[column], err_msg=column)
            np.testing.assert_array_equal(one[column], two[column], err_msg=column)
    monkeypatch.undo()
    _, whole = written(tmp_path / "memory", False, overrides)
    for name in OPTIONAL:
        assert isinstance(getattr(whole, name), dict)
        for column in COLUMNS[name]:
            np.testing.assert_array_equal(getattr(whole, name)[column], getattr(back, name)[column], err_msg=column)
        if name not in PARQUET_ONLY:
            assert (tmp_path / "memory" / f"{name}.csv").read_bytes() == (tmp_path / "streamed" / f"{name}.csv").read_bytes()


def test_every_decline_is_a_row_and_every_bid_is_told_once() -> None:
    scenario = load_scenario(TINY.parent / "small.yaml", ["record=everything", "horizon=3000 blocks", "warm_up=0s"])
    record = run(scenario).record
    declines, bids, events = record.declines, record.bids, record.events
    assert declines is not None and bids is not None and events is not None
    counts = np.zeros_like(record.providers["declined"])
    np.add.at(counts, (declines["provider"], declines["reason"]), 1)
    np.testing.assert_array_equal(counts, record.providers["declined"])
    assert counts.sum() > 1000
    assert (np.diff(declines["height"]) >= 0).all()
    assert (declines["height"] >= record.orders["created_at"][declines["order"]]).all()
    assert len(bids["height"]) == record.providers["submitted"].sum() > 1000
    assert not np.isin(events["kind"], [EventKind.BID_CREATED, EventKind.BID_LOST]).any()
    won = events["kind"] == EventKind.BID_WON
    assert won.sum() == len(record.leases["order"]) == (bids["state"] == BidState.ACTIVE).sum() > 10


def test_a_temporary_folder_goes_with_the_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short_chunks(monkeypatch, 4)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    record = run(load_scenario(TINY)).record
    assert [path.name[:15] for path in tmp_path.iterdir()] == ["marketsim-rows-"]
    assert record.events is not None and len(record.events["height"]) > 4
    del record
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short_chunks(monkeypatch, 4)
    calls = 0
    write: Callable[..., None] = TableWriter.write

    def full(self: TableWriter, columns: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")
        write(self, columns)

    monkeypatch.setattr(TableWriter, "write", full)
    with pytest.raises(InputError, match=r"nothing was kept.*No space left"):
        written(tmp_path / "out", True, [])
    assert calls == 3 and list(tmp_path.iterdir()) == []


def test_an_empty_long_table() -> None:
    assert {key: len(column) for key, column in LongTable("events", Spill(), {}).finish().items()} == dict.fromkeys(COLUMNS["events"], 0)
