"""Tables in files: the same rows as in memory, whose memory can go."""

import os
from pathlib import Path

import numpy as np
import pytest

from marketsim.chain.columns import Account, Bid
from marketsim.kernel import table_file
from marketsim.kernel.rows import as_rows
from marketsim.kernel.table_file import TableFile, can_be_in_files, copied_file, copied_on_write, file_of, in_file, let_go
from marketsim.kernel.table_set import Table, appended, longer, rows_of

pytestmark = pytest.mark.skipif(not can_be_in_files(), reason="this system cannot let go of a part of a file's memory")


def numbers(rows: int, width: int = 12) -> Table:
    return np.arange(rows * width).reshape(rows, width)


def test_rows_whose_memory_went_are_what_they_were(tmp_path: Path) -> None:
    table = in_file(numbers(5_000), TableFile.of(tmp_path))
    table[3] = -7
    let_go(table)
    expected = numbers(5_000)
    expected[3] = -7
    assert np.array_equal(table, expected)
    let_go(table, 100, 4_000)
    assert np.array_equal(table, expected)
    assert list(tmp_path.iterdir()) == []  # the file has no name: nothing is left of it, however the process ends


def test_a_table_in_a_file_grows_where_it_lies_with_defaults_in_new_rows(tmp_path: Path) -> None:
    first = as_rows(Bid, in_file(numbers(10), TableFile.of(tmp_path)))
    table = longer(first, 10, 40_000, Bid)
    assert table.ctypes.data == first.ctypes.data and len(table) >= 40_000 and type(table) is Bid
    assert np.array_equal(table[:10], numbers(10)) and np.array_equal(table[10:40_000], rows_of(39_990, Bid))
    line = in_file(np.arange(10), TableFile.of(tmp_path))
    assert longer(line, 10, 12, 0)[:14].tolist() == [*range(10), -1, -1, -1, -1]


def test_appended_rows_stand_behind_the_others_in_a_file_and_in_memory(tmp_path: Path) -> None:
    expected = np.concatenate([numbers(10), numbers(3), numbers(2)])
    for table in (numbers(10), in_file(numbers(10), TableFile.of(tmp_path))):
        assert np.array_equal(appended(table, numbers(3), numbers(2)), expected)
        assert np.array_equal(appended(table), numbers(10))


def test_a_copy_is_written_to_by_itself(tmp_path: Path) -> None:
    table = as_rows(Account, in_file(numbers(3_000, 26), TableFile.of(tmp_path)))
    file = file_of(table)
    assert file is not None
    with_files, on_write = copied_file(table, file, TableFile.of(tmp_path)), copied_on_write(table, 2_000)
    assert np.array_equal(with_files, table) and np.array_equal(on_write, table[:2_000]) and type(on_write) is Account
    with_files[7], on_write[9] = 0, 0
    table[11] = 5
    assert table[7].tolist() == numbers(3_000, 26)[7].tolist() and table[9].tolist() == numbers(3_000, 26)[9].tolist()
    assert with_files[11].tolist() == numbers(3_000, 26)[11].tolist()
    trial = as_rows(Account, copied_file(table, file, file.over()))
    grown = longer(trial, len(trial), 20_000, Account)  # over what the file has promised, and past it
    grown[:3_000, 0] = -1
    let_go(grown)  # which would lose what was written
    assert (grown[:3_000, 0] == -1).all() and np.array_equal(grown[3_000:20_000], rows_of(17_000, Account))
    assert table[11:13, 0].tolist() == [5, 12 * 26] and file_of(grown) is not file
    again = copied_file(grown, file_of(grown), TableFile.of(tmp_path))
    again[:3_000, 0] = -2
    assert (grown[:3_000, 0] == -1).all() and (again[3_000:] == grown[3_000:]).all()
    in_memory = copied_on_write(numbers(4), 2)
    assert file_of(in_memory) is None and np.array_equal(in_memory, numbers(2))


def test_a_full_disk_leaves_the_table_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = as_rows(Bid, in_file(numbers(10), TableFile.of(tmp_path)))
    if not hasattr(os, "posix_fallocate"):
        pytest.skip("this system keeps no room ahead")

    def full(descriptor: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_file.os, "posix_fallocate", full)
    grown = longer(table, 10, 200_000, Bid)
    assert file_of(grown) is None and len(grown) == 200_000 and np.array_equal(grown[:10], numbers(10))
    assert np.array_equal(appended(grown, numbers(1))[-1:], numbers(1))


def test_tables_of_a_file_do_not_meet_and_a_market_has_one(tmp_path: Path) -> None:
    file = TableFile.of(tmp_path)
    tables = [in_file(numbers(10 * (at + 1)), file) for at in range(5)]
    tables[1] = longer(tables[1], 20, 50_000, 12)
    for at, table in enumerate(tables):
        let_go(table)
        assert file_of(table) is file and file.place_of(table) == at
        assert np.array_equal(table[: 10 * (at + 1)], numbers(10 * (at + 1)))


def test_files_are_closed_with_their_tables(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(5):
        in_file(numbers(10), TableFile.of(tmp_path))
    assert not before or len(os.listdir("/proc/self/fd")) == before
