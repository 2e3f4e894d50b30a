from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_record import make_record

from marketsim.errors import InputError
from marketsim.export.folder import PARTIAL, remove_leftovers, safe_name, write_file, written_whole
from marketsim.export.results import as_recorded, new_results, read_record, read_summary, results_folder, run_name, write_record
from marketsim.export.table_files import read_columns, write_table
from marketsim.export.words import Words
from marketsim.metrics.summary import summarize
from marketsim.recording.record import COLUMNS, WIDE, Record, Table

RECORD = make_record(150)
SUMMARY = summarize(RECORD)


def _same(one: Table | None, other: Table | None, names: list[str]) -> None:
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        for name in names:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
            assert one[name].dtype == other[name].dtype


def _assert_equal(one: Record, other: Record) -> None:
    for table, columns in COLUMNS.items():
        wide = list(WIDE) if table == "providers" else []
        _same(getattr(one, table), getattr(other, table), [*columns, *wide])
    assert one.tenants["name"] == other.tenants["name"] and one.providers["name"] == other.providers["name"]
    assert one.totals == other.totals and one.meta == other.meta and one.regions == other.regions
    np.testing.assert_array_equal(one.latency_histogram, other.latency_histogram)


@pytest.mark.parametrize("level", ["summary", "orders", "everything"])
def test_a_record_reads_back_equal(tmp_path: Path, level: str) -> None:
    record = replace(RECORD, meta=RECORD.meta | {"record": level})
    write_record(tmp_path, record, SUMMARY)
    back = read_record(tmp_path)
    _assert_equal(back, as_recorded(record))
    assert read_summary(tmp_path) == json.loads(json.dumps(SUMMARY))
    if level != "summary":
        assert summarize(back) == SUMMARY
    tables = {"providers", "tenants", "timeseries", "latency"}
    tables |= {"orders", "leases", "settlements", "events"} if level != "summary" else set()
    tables |= {"bids"} if level == "everything" else set()
    assert {path.stem for path in tmp_path.glob("*.csv")} == tables
    tables |= {"declines"} if level == "everything" else set()
    assert {path.stem for path in tmp_path.glob("*.parquet")} == tables


def test_an_empty_market_reads_back(tmp_path: Path) -> None:
    record = make_record(0)
    write_record(tmp_path, record, summarize(record))
    _assert_equal(read_record(tmp_path), record)


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_record(folder, make_record(150), SUMMARY)
        digests.append({p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()})
    assert digests[0] == digests[1]


def test_tables_say_names_and_keep_money_whole(tmp_path: Path) -> None:
    from pyarrow import csv as tables
    from pyarrow import parquet

    write_record(tmp_path, RECORD, SUMMARY)
    leases = parquet.read_table(tmp_path / "leases.parquet")
    assert str(leases.schema.field("price_atto").type) == "int64"
    assert set(leases["provider"].to_pylist()) <= set(RECORD.providers["name"])
    text = tables.read_csv(tmp_path / "leases.csv")
    assert text["price_atto"].to_pylist() == leases["price_atto"].to_pylist()
    assert text["ended"].to_pylist() == leases["ended"].to_pylist()


FORMULAS = ("=1+1", "+cmd", "-rf", "@SUM(A1)", "\tx", "\rx", '=HYPERLINK("x";"y")', "-", "+1-1")
PLAIN = ("web", "a=b", "", "-1.5", "+3e9", "名前", "'=x", '"', "a,b")


@pytest.mark.parametrize("kinds", [{"who": Words([*FORMULAS, *PLAIN]), "n": int}, {"who": str, "n": float}], ids=["names", "texts"])
def test_no_cell_of_csv_is_a_formula_and_parquet_is_exact(tmp_path: Path, kinds: dict[str, Any]) -> None:
    texts = [*FORMULAS, *PLAIN]
    numbers = np.arange(len(texts)) - 3
    who = numbers + 3 if isinstance(kinds["who"], Words) else texts
    write_table(tmp_path, "cells", kinds, {"who": who, "n": numbers.astype(float) if kinds["n"] is float else numbers})
    with (tmp_path / "cells.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    assert [row[0] for row in rows] == [*(f"'{text}" for text in FORMULAS), *PLAIN]
    assert [float(row[1]) for row in rows] == numbers.tolist()
    kept = read_columns(tmp_path / "cells.parquet")["who"]
    assert (kept if isinstance(kept, list) else kept.to_pylist()) == texts


def test_names_of_runs() -> None:
    scenario = {"name": "base line/β", "seed": 1, "horizon": "7d"}
    assert run_name(3, scenario) == run_name(3, scenario | {"seed": 9})
    assert run_name(3, scenario) != run_name(3, scenario | {"horizon": "8d"})
    assert results_folder(Path("results"), 3, scenario).parts[:2] == ("results", "base-line")
    assert safe_name("../../etc") == "etc" and safe_name("..") == "scenario"


def test_a_full_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(InputError, match="not empty"), new_results(tmp_path, own=False):
        pytest.fail("the folder was opened")
    with pytest.raises(InputError, match="is a file"), new_results(tmp_path / "mine", own=True):
        pytest.fail("the folder was opened")
    assert (tmp_path / "mine").read_text() == "x"


def test_an_empty_folder_is_taken_and_an_own_one_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    with new_results(target, own=False) as write:
        inside = write(RECORD, SUMMARY)
        assert not any(target.iterdir()) and inside.parent == tmp_path
    (target / "extra").write_text("old")
    with new_results(target, own=True) as write:
        write(RECORD, SUMMARY)
    assert (target / "manifest.json").exists() and not (target / "extra").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert target.stat().st_mode & 0o055 == 0o055


def test_a_link_to_an_empty_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "disk" / "empty").mkdir(parents=True)
    for link, aim in (("to empty", tmp_path / "disk" / "empty"), ("to nothing yet", tmp_path / "disk" / "new")):
        (tmp_path / link).symlink_to(aim)
        with new_results(tmp_path / link, own=False) as write:
            write(RECORD, SUMMARY)
        assert (tmp_path / link).is_symlink() and (aim / "manifest.json").exists()
    with pytest.raises(InputError, match="not empty"), new_results(tmp_path / "to empty", own=False):
        pytest.fail("the folder was opened")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    with pytest.raises(InputError, match="round in a circle"), new_results(tmp_path / "round", own=False):
        pytest.fail("the folder was opened")
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["empty", "new"]


def test_a_mounted_file_system_is_refused_before_the_run() -> None:
    with pytest.raises(InputError, match="a file system is mounted there"), new_results(Path("/proc"), own=True):
        pytest.fail("the folder was opened")


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), ValueError("x"), OSError(errno.ENOSPC, "No space left")])
def test_what_fails_leaves_nothing(tmp_path: Path, failure: BaseException) -> None:
    expected = InputError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected), new_results(tmp_path / "s" / "out", own=False) as write:
        write(RECORD, SUMMARY)
        raise failure
    assert list((tmp_path / "s").iterdir()) == []


def test_a_disk_that_fills_up_keeps_the_older_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out"
    with new_results(target, own=True) as write:
        write(RECORD, SUMMARY)
    before = sorted(path.name for path in target.iterdir())

    def full(path: Path, content: bytes | str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("marketsim.export.results.write_file", full)
    with (
        pytest.raises(InputError, match=r"nothing was kept.*No space left"),
        new_results(target, own=True) as write,
    ):
        write(RECORD, SUMMARY)
    assert sorted(path.name for path in target.iterdir()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"), written_whole(tmp_path / "file" / "out"):
        pytest.fail("the folder was opened")


CHILD = """
import sys, time
from pathlib import Path
from marketsim.export.folder import written_whole
with written_whole(Path(sys.argv[1])) as folder:
    (folder / "manifest.json").write_text("{}")
    print("open", flush=True)
    time.sleep(60)
"""


def _child(target: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(target)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "open\n"
    return child


def test_a_killed_run_is_cleaned_up_by_the_next_and_a_living_one_is_not(tmp_path: Path) -> None:
    dead, living = _child(tmp_path / "dead"), _child(tmp_path / "living")
    try:
        dead.kill()
        dead.wait()
        assert not (tmp_path / "dead").exists() and len(list(tmp_path.glob(f".*{PARTIAL}*"))) == 2
        with written_whole(tmp_path / "next") as folder:
            (folder / "x").write_text("1")
        left = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
        assert len(left) == 1 and left[0].startswith(".living")
    finally:
        living.send_signal(signal.SIGINT)
        living.wait()
    deadline = time.monotonic() + 10
    while remove_leftovers(tmp_path) and time.monotonic() < deadline:
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["next"]


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    child = _child(tmp_path / "out")
    child.send_signal(signal.SIGINT)
    assert child.wait() != 0
    assert list(tmp_path.iterdir()) == []


def test_write_file_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_file(path, "one")
    write_file(path, b"two")
    assert path.read_text() == "two" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "not a mapping"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "schema"),
        (lambda folder: (folder / "leases.parquet").write_bytes(b"PAR1"), "damaged"),
        (lambda folder: (folder / "leases.parquet").unlink(), "damaged"),
        (lambda folder: os.truncate(folder / "orders.parquet", 2000), "damaged"),
    ],
)
def test_damaged_results_are_refused_in_plain_words(tmp_path: Path, damage: object, message: str) -> None:
    write_record(tmp_path, RECORD, SUMMARY)
    damage(tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        read_record(tmp_path)


def test_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such results folder"):
        read_record(tmp_path / "nowhere")


def test_tables_are_written_and_read_without_pandas(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from synthetic_record import make_record\n"
        "from marketsim.export.results import read_record, write_record\n"
        "write_record(Path(sys.argv[1]), make_record(20, days=1), {}); read_record(Path(sys.argv[1]))\n"
        "print({'pandas', 'pyarrow.compute', 'pyarrow.dataset'} & set(sys.modules))"
    )
    here = str(Path(__file__).parents[1] / "support")
    path = os.pathsep.join([here, str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.strip() == "set()"
