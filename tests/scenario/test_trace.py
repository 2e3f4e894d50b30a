"""Demand traces: what is read, and every cell that is refused with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.scenario.trace import COLUMNS, read_trace

HEAD = "at_seconds,cpu,memory,storage,gpu,duration_seconds"
ROW = "60,1000,1073741824,5242880,0,600"


def trace(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "trace.csv"
    path.write_bytes(text.encode(encoding))
    return path


def refused(path: Path) -> list[str]:
    with pytest.raises(InputError) as error:
        read_trace(path)
    return error.value.lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_trace_is_read_and_sorted_by_time(tmp_path: Path, encoding: str, end: str) -> None:
    lines = [HEAD, "120.5,2000,1048576,35184372088832,24,0.5", ROW, "", '"0",10,2199023255552,5242880,1,1e3']
    columns = read_trace(trace(tmp_path, end.join(lines) + end, encoding))
    assert list(columns) == list(COLUMNS)
    assert columns["at_seconds"].tolist() == [0, 60, 120.5]
    assert columns["cpu"].tolist() == [10, 1000, 2000]
    assert columns["duration_seconds"].tolist() == [1000, 600, 0.5]


@pytest.mark.parametrize(
    ("head", "column", "words"),
    [
        ("at_second,cpu", 1, "at_second: unknown column, did you mean 'at_seconds'?"),
        ("at_seconds,CPU", 12, "CPU: unknown column, did you mean 'cpu'?"),
        ("at_seconds, cpu", 12, "cpu: unknown column, did you mean 'cpu'?"),
        ("at_seconds,cpu,mem", 16, "mem: unknown column, did you mean 'memory'?"),
        ("at_seconds,cpu,colour", 16, "colour: unknown column, columns are at_seconds, cpu"),
        ("at_seconds,cpu,cpu", 16, "cpu: stands here twice"),
        ("at_seconds,", 12, "unknown column"),
        ("cpu", 1, "at_seconds: is missing"),
        ("at_seconds;cpu", 1, "columns are separated by commas"),
        ("", 1, "at_seconds: is missing, the file is empty"),
    ],
)
def test_a_column_that_is_none_is_refused_with_a_suggestion(tmp_path: Path, head: str, column: int, words: str) -> None:
    path = trace(tmp_path, f"{head}\n" + ",".join(["60"] * (head.count(",") + 1)) + "\n" if head else "")
    [line] = refused(path)
    assert line.startswith(f"{path}:1:{column}: ")
    assert words in line


@pytest.mark.parametrize(
    ("name", "cell", "words"),
    [(name, cell, words) for name in COLUMNS for cell, words in (
        ("", "is blank"), (" ", "is blank"), ("-1", "is negative"), ("-0.5", "is negative"), ("inf", "not a finite number"),
        ("-inf", "not a finite number"), ("nan", "not a finite number"), ("NaN", "not a finite number"), ("1e999", "out of range"),
        ("many", "not a finite number"), ("1_000", "not a finite number"), ("0x10", "not a finite number"), ("null", "not a finite number"),
        ("true", "not a finite number"), ("99999999999999999", "out of range"),
    )]
    + [
        ("cpu", "4", "'4' is out of range, write millicores from 10 to 384000"),
        ("cpu", "0", "out of range"),
        ("cpu", "384001", "out of range"),
        ("cpu", "1000.5", "not a whole number"),
        ("memory", "1048575", "out of range"),
        ("memory", "2199023255553", "out of range"),
        ("storage", "5242879", "out of range"),
        ("gpu", "25", "out of range"),
        ("gpu", "0.5", "not a whole number"),
        ("duration_seconds", "0", "seconds above 0 to"),
    ],
)  # fmt: skip
def test_a_cell_that_no_order_can_have_is_refused_at_its_place(tmp_path: Path, name: str, cell: str, words: str) -> None:
    names, cells = HEAD.split(","), ROW.split(",")
    at = names.index(name)
    cells[at] = cell
    path = trace(tmp_path, "\n".join([HEAD, ROW, "", ",".join(cells), ROW]) + "\n")
    [line] = refused(path)
    assert line.startswith(f"{path}:4:{len(','.join(cells[:at])) + 1 + (at > 0)}: {name}: ")
    assert words in line


def test_a_line_with_another_number_of_cells_is_named(tmp_path: Path) -> None:
    path = trace(tmp_path, "at_seconds,cpu\n60,1000\n70\n80,1000,5\n")
    assert [line.removeprefix(f"{path}:")[:3] for line in refused(path)] == ["3:1", "4:1"]


def test_many_wrong_cells_are_told_up_to_twenty(tmp_path: Path) -> None:
    lines = refused(trace(tmp_path, "at_seconds\n" + "-1\n" * 50))
    assert len(lines) == 21 and lines[-1].endswith("and 30 more")


def test_other_encodings_are_named(tmp_path: Path) -> None:
    assert "UTF-8" in refused(trace(tmp_path, "at_seconds\n60\n", "utf-16"))[0]
    assert "UTF-8" in refused(trace(tmp_path, "at_seconds,größe\n60,1\n", "latin-1"))[0]


def test_parquet_is_judged_alike(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "trace.parquet"

    def write(**columns: object) -> Path:
        parquet.write_table(pa.table(columns), path)
        return path

    good = read_trace(write(at_seconds=np.array([70, 60]), cpu=pa.array([20, 10], pa.int16())))
    assert good["cpu"].tolist() == [10, 20]
    for columns, words in (
        ({"at_seconds": [60, 70], "cpu": [1000, 4]}, "cpu, row 2: '4.0' is out of range"),
        ({"at_seconds": [60, None]}, "at_seconds, row 2: is blank"),
        ({"at_seconds": [60.0, float("inf")]}, "at_seconds, row 2: 'inf' is not a finite number"),
        ({"at_seconds": [60], "cpus": [1]}, "cpus: unknown column, did you mean 'cpu'?"),
        ({"cpu": [60]}, "at_seconds: is missing"),
        ({"at_seconds": ["60"]}, "expected numbers"),
    ):
        [line] = refused(write(**columns))
        assert line.startswith(f"{path}: ") and words in line


SCENARIO = """
name: t
horizon: 1h
tenants: [{name: a, demand: {trace: trace.csv}, order: ORDER}]
providers: [{name: p, strategy: monthly_targets, capacity: {cpu: 64000, memory: 64Gi, storage: 1Ti}}]
"""


def test_validate_and_run_tell_what_is_wrong_in_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO.replace("ORDER", "{cpu: 1000, memory: 1Gi, storage: 1Gi}"))
    path = trace(tmp_path, "at_seconds,cpu\n60,1000\n70,4\n")
    for command in ("validate", "run"):
        assert main([command, str(tmp_path / "s.yaml")]) == 2
        assert f"{path}:3:4: cpu: '4' is out of range" in capsys.readouterr().err
    trace(tmp_path, "at_seconds,cpu\n60,1000\n")
    assert main(["validate", str(tmp_path / "s.yaml")]) == 0
    capsys.readouterr()
