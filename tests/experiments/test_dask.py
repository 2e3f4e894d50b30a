from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from queue_market import run_queue
from test_sweep import SMALL, carried, content, plan_of

from marketsim.errors import InputError
from marketsim.experiments.runs.execute import Outcome, PoolLostError, RunTask
from marketsim.experiments.sweep.rounds import Silence
from marketsim.experiments.sweep.session import carry_out, dask_pool

pytest.importorskip("distributed")

TESTS = Path(__file__).parents[1] / "support"


class Cluster:
    """A Dask scheduler and two worker processes on loopback."""

    def __init__(self, folder: Path) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
            "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False",
        }
        self._folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        wait_for(file.exists)
        self.address = str(read_address(file))
        for _ in range(2):
            self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")

    @property
    def workers(self) -> list[subprocess.Popen[bytes]]:
        return self.processes[1:]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def _start(self, kind: str, *options: str) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        place = self._folder / f"{kind}{len(self.processes)}"
        place.mkdir()
        self.processes.append(
            subprocess.Popen(
                command,
                env=self._environment,
                cwd=place,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )


def read_address(file: Path) -> str:
    import json

    deadline = time.monotonic() + 20
    while True:
        try:
            return str(json.loads(file.read_text())["address"])
        except ValueError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def wait_for(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "the cluster did not start"
        time.sleep(0.05)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    started = Cluster(folder)
    try:
        yield started
    finally:
        started.close()


def test_dask_gives_the_bytes_of_local_processes_though_a_worker_is_killed(tmp_path: Path, cluster: Cluster) -> None:
    text = SMALL.replace("replications: 4", "replications: 8\nset: {sleep: 0.05}")
    plan = plan_of(tmp_path, text)
    done: list[str] = []

    class Killer(Silence):
        def run_done(self, task: RunTask, outcome: Outcome) -> None:
            done.append(outcome.status)
            if len(done) == 5:
                os.kill(cluster.workers[0].pid, signal.SIGKILL)

    result, _ = carry_out(plan, tmp_path / "dask", dask_pool(plan, run_queue, cluster.address), watcher=Killer(), where="Dask")
    assert done == ["ok"] * 48
    assert not result.failures
    assert cluster.workers[0].wait(5) == -signal.SIGKILL
    assert cluster.workers[1].poll() is None
    carried(tmp_path, text, out="local")
    assert content(tmp_path / "dask") == content(tmp_path / "local")


def test_trouble_on_a_cluster_is_labelled_and_the_rest_goes_on(tmp_path: Path, cluster: Cluster) -> None:
    text = """
name: trouble
scenario: queue.yaml
factors:
  - {name: trouble, path: trouble, levels: ["", raise, hang]}
replications: 2
timeout: 1s
"""
    plan = plan_of(tmp_path, text)
    result, _ = carry_out(plan, tmp_path / "out", dask_pool(plan, run_queue, cluster.address))
    assert [row.status for row in result.rows] == ["ok", "ok", "error", "error", "timeout", "timeout"]
    local = carried(tmp_path, text, out="local")
    assert [(r.status, r.message) for r in result.rows] == [(r.status, r.message) for r in local.rows]


def test_a_missing_scheduler_is_an_input_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketsim.experiments.runs.dask_pool._CONNECT_SECONDS", 1)
    plan = plan_of(tmp_path, SMALL)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        carry_out(plan, tmp_path / "out", dask_pool(plan, run_queue, "tcp://127.0.0.1:9"))


def test_a_scheduler_that_dies_is_told_and_the_sweep_goes_on_elsewhere(
    tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tmp_path, SMALL.replace("replications: 4", "replications: 4\nset: {sleep: 0.05}"))

    class Killer(Silence):
        def run_done(self, task: RunTask, outcome: Outcome) -> None:
            cluster.processes[0].kill()

    monkeypatch.setattr("marketsim.experiments.runs.dask_pool._RETURN_SECONDS", 1)
    with pytest.raises(PoolLostError, match=rf"^the Dask scheduler at {cluster.address} has gone$"):
        carry_out(plan, tmp_path / "out", dask_pool(plan, run_queue, cluster.address), watcher=Killer())
    names = [path.name for path in (tmp_path / "out" / "runs").glob("*.json")]
    kept = len(names)
    assert not any("failed" in name for name in names)
    assert 1 <= kept < 24
    result = carried(tmp_path, SMALL.replace("replications: 4", "replications: 4\nset: {sleep: 0.05}"), resume=True)
    assert result.executed == 24 - kept and not result.failures


def test_a_cluster_without_workers_is_told(tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketsim.experiments.runs.dask_pool._LOOK_SECONDS", 0.2)
    plan = plan_of(tmp_path, SMALL.replace("replications: 4", "replications: 1\nset: {sleep: 0.05}"))

    class Killer(Silence):
        def run_done(self, task: RunTask, outcome: Outcome) -> None:
            for worker in cluster.workers:
                worker.kill()

    monkeypatch.setattr("marketsim.experiments.runs.dask_pool.warnings.warn", lambda text, *_, **__: interrupt(text))
    with pytest.raises(KeyboardInterrupt, match="has no worker left, waiting for one"):
        carry_out(plan, tmp_path / "out", dask_pool(plan, run_queue, cluster.address), watcher=Killer())


def interrupt(text: str) -> None:
    raise KeyboardInterrupt(text)
