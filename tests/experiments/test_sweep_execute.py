from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from queue_market import run_queue

from marketsim.experiments.runs.execute import LocalPool, RunTask, package_hash, run_key, summary_bytes, write_atomically


def task(name: str, base: Path, seed: int = 1, **scenario: object) -> RunTask:
    return RunTask(name, 0, 0, seed, scenario, str(base))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


def test_trouble_stays_with_the_run_that_made_it(tmp_path: Path, runs: Path) -> None:
    tasks = [task(f"good{i}", tmp_path, seed=i, price=(i + 1) / 10) for i in range(6)]
    tasks.insert(1, task("raises", tmp_path, trouble="raise"))
    tasks.insert(2, task("hangs", tmp_path, trouble="hang"))
    tasks.insert(3, task("dies", tmp_path, trouble="die"))
    with LocalPool(run_queue, runs, workers=2, timeout_seconds=1.0) as pool:
        outcomes = {done.key: outcome for done, outcome in pool.outcomes(tasks)}
    assert set(outcomes) == {t.key for t in tasks}
    assert [outcomes[f"good{i}"].status for i in range(6)] == ["ok"] * 6
    assert outcomes["raises"].status == "error"
    assert outcomes["raises"].message == "ValueError: the market is closed"
    assert outcomes["hangs"].status == "timeout"
    assert outcomes["dies"].status == "lost"
    assert sorted(path.name for path in runs.iterdir()) == [f"good{i}.json" for i in range(6)]


def test_a_lost_run_that_then_succeeds_leaves_no_trace(tmp_path: Path, runs: Path) -> None:
    with LocalPool(run_queue, runs, workers=1, timeout_seconds=5.0) as pool:
        [(_, lost)] = list(pool.outcomes([task("lost", tmp_path, trouble="die once")]))
        [(_, never)] = list(pool.outcomes([task("never", tmp_path)]))
    assert (lost.status, lost.message) == (never.status, never.message) == ("ok", "")
    assert (runs / "lost.json").read_bytes() == (runs / "never.json").read_bytes()


def test_a_process_that_dies_between_two_runs_costs_none(tmp_path: Path, runs: Path) -> None:
    with LocalPool(run_queue, runs, workers=2, timeout_seconds=5.0) as pool:
        assert [outcome.status for _, outcome in pool.outcomes([task("first", tmp_path)])] == ["ok"]
        for worker in list(pool._pool._pool_manager.worker_manager.workers):
            os.kill(worker, signal.SIGKILL)
        tasks = [task(f"later{i}", tmp_path, seed=i, sleep=0.05) for i in range(6)]
        outcomes = {done.key: outcome.status for done, outcome in pool.outcomes(tasks)}
    assert outcomes == {t.key: "ok" for t in tasks}


def test_what_is_done_meanwhile_is_done_once_and_only_where_there_are_runs(tmp_path: Path, runs: Path) -> None:
    done: list[int] = []
    with LocalPool(run_queue, runs, workers=1, timeout_seconds=5.0, meanwhile=lambda: done.append(len(list(runs.iterdir())))) as pool:
        assert list(pool.outcomes([])) == []
        assert done == []
        for name in ("first", "second"):
            assert [outcome.status for _, outcome in pool.outcomes([task(name, tmp_path, sleep=1.0)])] == ["ok"]
    assert done == [0]


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_key_knows_scenario_seed_and_code() -> None:
    keys = {
        run_key({"a": 1, "b": 2}, 1, "c"),
        run_key({"a": 1, "b": 3}, 1, "c"),
        run_key({"a": 1, "b": 2}, 2, "c"),
        run_key({"a": 1, "b": 2}, 1, "d"),
    }
    assert len(keys) == 4
    assert run_key({"b": 2, "a": 1}, 1, "c") in keys
    assert len(package_hash()) == 16


def test_equal_summaries_have_equal_bytes() -> None:
    assert summary_bytes({"b": 1.5, "a": "x"}) == summary_bytes({"a": "x", "b": 1.5})
    assert json.loads(summary_bytes({"b": 0.1}))["b"] == 0.1
