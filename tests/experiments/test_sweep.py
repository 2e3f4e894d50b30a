from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from queue_market import run_queue, run_queue_unseen
from queue_sweep import QueueScenarios

from marketsim.errors import InputError
from marketsim.experiments.runs.execute import LocalPool, Outcome, RunTask
from marketsim.experiments.sweep import session
from marketsim.experiments.sweep.dry_run import dry_run, run_bounds
from marketsim.experiments.sweep.file import POINT_COLUMNS, RUN_COLUMNS, Factor
from marketsim.experiments.sweep.folder import open_sweep_folder
from marketsim.experiments.sweep.plan import SweepPlan
from marketsim.experiments.sweep.rounds import Silence, SweepResult, Watcher, run_sweep
from marketsim.experiments.sweep.session import carry_out, local_pool, read_plan

TESTS = Path(__file__).parents[1] / "support"
SMALL = """
name: small
description: Price against demand in a queue.
scenario: queue.yaml
factors:
  - {name: price, path: price, levels: [0.2, 0.5, 0.8]}
  - {name: demand, path: demand, levels: [1, 2]}
replications: 4
"""


def write(folder: Path, text: str) -> Path:
    (folder / "queue.yaml").write_text("name: queue\n")
    path = folder / "sweep.yaml"
    path.write_text(text.lstrip("\n"))
    return path


def plan_of(folder: Path, text: str) -> SweepPlan:
    return read_plan(write(folder, text), QueueScenarios())


def carried(folder: Path, text: str, out: str = "out", workers: int = 2, **options: Any) -> SweepResult:
    plan = plan_of(folder, text)
    return carry_out(plan, folder / out, local_pool(plan, run_queue, workers), **options)[0]


def ran(folder: Path, text: str, out: str = "out", watcher: Watcher | None = None) -> SweepResult:
    """The rows of a sweep without its report, which takes longer than the runs."""
    plan = plan_of(folder, text)
    opened = open_sweep_folder(folder / out, plan.sweep, resume=True)
    opened.write_manifest({"sweep": plan.sweep.as_json()})
    with LocalPool(run_queue, opened.runs, 2, plan.sweep.timeout) as pool:
        return run_sweep(plan, opened, pool, watcher)


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a sweep, the manifest without its timing."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    manifest = json.loads(files["manifest.json"])
    del manifest["timing"]
    return {**files, "manifest.json": json.dumps(manifest, sort_keys=True).encode()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SweepResult]:
    """The folder and the rows of one finished sweep."""
    folder = tmp_path_factory.mktemp("small")
    return folder / "out", carried(folder, SMALL)


def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    for workers in (1, 2, 7):
        carried(tmp_path, SMALL, out=f"out{workers}", workers=workers)
    one = content(tmp_path / "out1")
    assert content(tmp_path / "out2") == one
    assert content(tmp_path / "out7") == one
    assert {"report.html", "report.md", "results.parquet", "results.csv", "points.csv"} <= set(one)
    assert sum(name.startswith("runs/") for name in one) == 24


@pytest.mark.parametrize(("cores", "workers", "beside"), [(64, 6, 3), (64, 2, 1), (1, 6, 0), (64, 1, 0)])
def test_a_report_is_drawn_by_as_many_processes_as_made_the_runs_four_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, beside: int
) -> None:
    asked: list[int] = []

    def drawers(runner: Any, count: int) -> Any:
        asked.append(count)
        return nullcontext()

    monkeypatch.setattr(session, "drawers", drawers)
    monkeypatch.setattr(session, "usable_cores", lambda: cores)
    monkeypatch.setattr(session, "write_report", lambda result, folder: {})
    carried(tmp_path, SMALL, workers=workers)
    carried(tmp_path, SMALL, workers=workers, resume=True)  # nothing is left to run, and no process runs
    assert asked == [beside, 0]


def test_results_are_tidy_and_sorted(small: tuple[Path, SweepResult]) -> None:
    out, _ = small
    frame = pd.read_parquet(out / "results.parquet")
    assert list(frame[["point", "replication"]].itertuples(index=False, name=None)) == [(p, r) for p in range(6) for r in range(4)]
    assert set(frame["seed"]) == {1, 2, 3, 4}
    row = frame[(frame["price"] == 0.5) & (frame["demand"] == 2) & (frame["seed"] == 3)].iloc[0]
    summary = run_queue({"price": 0.5, "demand": 2}, "", 3)
    assert row["fill_rate"] == summary["fill_rate"]
    assert row["revenue.total"] == summary["revenue"]["total_uve"]
    pd.testing.assert_frame_equal(
        pd.read_csv(out / "results.csv").drop(columns=["message"]),
        frame.drop(columns=["message"]),
        check_dtype=False,
    )


def test_the_report_is_one_file_that_states_what_was_done(small: tuple[Path, SweepResult]) -> None:
    out, _ = small
    html = (out / "report.html").read_text()
    assert "http:" not in html and "https:" not in html and 'src="figures' not in html
    assert html.count("data:image/png;base64,") == len(list((out / "figures").glob("*.png"))) == 11
    for text in (
        "common random numbers",
        "1 to 4, the same at every point",
        "Holm",
        "full grid, 6 points",
        "seed",
    ):
        assert text in html
    markdown = (out / "report.md").read_text()
    assert "Price against demand in a queue." in markdown
    assert "figures/tornado_1.png" in markdown


def test_points_csv_has_means_with_intervals(small: tuple[Path, SweepResult]) -> None:
    out, result = small
    frame = pd.read_csv(out / "points.csv")
    row = frame[(frame["point"] == 0) & (frame["metric"] == "fill_rate")].iloc[0]
    values = pd.Series(result.values(0, "fill_rate"))
    assert row["mean"] == pytest.approx(values.mean())
    half = 3.182446 * values.std(ddof=1) / 2  # Student's 97.5 % quantile with 3 degrees of freedom, √4 values
    assert row["t_high"] - row["mean"] == pytest.approx(half, rel=1e-5)
    assert row["bootstrap_low"] < row["mean"] < row["bootstrap_high"]


def test_a_failed_run_is_one_labelled_row_and_is_tried_again(tmp_path: Path) -> None:
    text = """
    name: trouble
    scenario: queue.yaml
    factors:
      - {name: trouble, path: trouble, levels: ["", raise, hang]}
    replications: 2
    timeout: 1s
    """
    text = "\n".join(line[4:] for line in text.splitlines())
    result = carried(tmp_path, text)
    assert [(row.point, row.status) for row in result.failures] == [
        (1, "error"),
        (1, "error"),
        (2, "timeout"),
        (2, "timeout"),
    ]
    first = content(tmp_path / "out")
    frame = pd.read_csv(tmp_path / "out" / "results.csv")
    assert frame["fill_rate"].isna().sum() == 4
    assert "ValueError: the market is closed" in set(frame["message"])
    assert "the market is closed" in (tmp_path / "out" / "report.html").read_text()

    tried: list[str] = []

    class Watch(Silence):
        def run_done(self, task: RunTask, outcome: Outcome) -> None:
            tried.append(outcome.status)

    carried(tmp_path, text, resume=True, watcher=Watch())
    assert sorted(tried) == ["error", "error", "timeout", "timeout"]
    assert content(tmp_path / "out") == first


def test_resume_makes_only_what_is_missing(tmp_path: Path) -> None:
    carried(tmp_path, SMALL)
    whole = content(tmp_path / "out")
    for path in sorted((tmp_path / "out" / "runs").iterdir())[:5]:
        path.unlink()
    (tmp_path / "out" / "runs" / ".tmp-1-2-left.json").write_text("half")
    (tmp_path / "out" / "report.html").unlink()
    assert carried(tmp_path, SMALL, resume=True).executed == 5
    assert content(tmp_path / "out") == whole


def test_an_extended_sweep_keeps_its_runs_and_a_shortened_one_drops_the_rest(tmp_path: Path) -> None:
    def kept() -> int:
        return len(list((tmp_path / "out" / "runs").iterdir()))

    ran(tmp_path, SMALL)
    assert (ran(tmp_path, SMALL.replace(": 4", ": 5")).executed, kept()) == (6, 30)
    assert (ran(tmp_path, SMALL.replace(": 4", ": 3")).executed, kept()) == (0, 18)


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    carried(tmp_path, SMALL, out="empty", resume=True)
    with pytest.raises(InputError, match="--resume"):
        carried(tmp_path, SMALL, out="empty")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("x")
    for resume in (False, True):
        with pytest.raises(InputError):
            carried(tmp_path, SMALL, out="other", resume=resume)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["precious.txt"]


@pytest.mark.parametrize("delay", [0.3, *(pytest.param(x, marks=pytest.mark.slow) for x in (0.0, 0.6, 1.0, 1.4, 2.0))])
def test_kill_9_and_resume_end_with_the_same_bytes(tmp_path: Path, delay: float) -> None:
    text = SMALL.replace("replications: 4", "replications: 8\nset: {sleep: 0.05}")
    file = write(tmp_path, text)
    command = [
        sys.executable,
        str(TESTS / "queue_sweep.py"),
        str(file),
        str(tmp_path / "out"),
        "2",
        "--resume",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out" / "manifest.json").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(delay)
    workers = worker_processes(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline, "workers outlive a command that was killed"
        time.sleep(0.02)
    subprocess.run(command, env=environment, check=True, timeout=60)
    carried(tmp_path, text, out="whole")
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_killed_worker_costs_at_most_its_own_run(tmp_path: Path) -> None:
    text = SMALL.replace("replications: 4", "replications: 6\nset: {sleep: 0.1}")
    killed: list[int] = []

    class Killer(Silence):
        def run_done(self, task: RunTask, outcome: Outcome) -> None:
            if len(killed) < 2:
                workers = worker_processes(os.getpid())
                os.kill(workers[0], signal.SIGKILL)
                killed.append(workers[0])

    result = ran(tmp_path, text, watcher=Killer())
    assert len(killed) == 2
    assert not result.failures
    assert result.executed == 36
    calm = ran(tmp_path, text.replace("sleep: 0.1", "sleep: 0.0"), out="calm")
    assert [row.values for row in result.rows] == [row.values for row in calm.rows]
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 36


def worker_processes(ancestor: int) -> list[int]:
    """The processes below `ancestor` that run a pool's workers: descendants of its fork server."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    children = [pid for pid, parent in parents.items() if parent == ancestor]
    return sorted(pid for pid, parent in parents.items() if parent in children)


def test_replications_go_on_until_the_interval_is_narrow(tmp_path: Path) -> None:
    rule = "{until: {metric: fill_rate, half_width: 0.02}, round: 4, at_most: 60}"
    result = ran(tmp_path, SMALL.replace("replications: 4", f"replications: {rule}"))
    for point in range(6):
        values = pd.Series(result.values(point, "fill_rate"))
        assert len(values) % 4 == 0
        quantile = {4: 3.182, 8: 2.365, 12: 2.201, 16: 2.131, 20: 2.093}.get(len(values), 2.0)
        assert quantile * values.std(ddof=1) / math.sqrt(len(values)) <= 0.02 * 1.01
        assert result.stopped[point] == "interval narrow enough"
    assert len({len(result.values(point, "fill_rate")) for point in range(6)}) > 1


def test_a_budget_of_runs_is_kept_to_the_run(tmp_path: Path) -> None:
    result = ran(tmp_path, SMALL.replace("replications: 4", "replications: {budget: 40 runs, round: 3}"))
    assert len(result.rows) == 40
    assert sorted(len(result.values(p, "fill_rate")) for p in range(6)) == [6, 6, 7, 7, 7, 7]
    assert result.reproducible


def test_a_budget_of_time_marks_the_report(tmp_path: Path) -> None:
    rule = "replications: {budget: 0.2s, round: 1}\nset: {sleep: 0.02}"
    result = carried(tmp_path, SMALL.replace("replications: 4", rule))
    assert not result.reproducible
    assert "not reproducible" in (tmp_path / "out" / "report.html").read_text()


def test_independent_seeds_differ_between_points(tmp_path: Path) -> None:
    result = carried(tmp_path, SMALL + "seeds: independent\n")
    assert len({row.seed for row in result.rows}) == 24
    assert "every point has seeds of its own" in (tmp_path / "out" / "report.html").read_text()


def test_common_random_numbers_make_differences_quieter(tmp_path: Path) -> None:
    common = ran(tmp_path, SMALL.replace(": 4", ": 30"), out="common")
    apart = ran(tmp_path, SMALL.replace(": 4", ": 30") + "seeds: independent\n", out="apart")

    def variance(result: SweepResult) -> float:
        return float(pd.Series(result.values(0, "fill_rate")).sub(result.values(2, "fill_rate")).var())

    assert variance(common) < variance(apart)


def test_a_factor_without_any_effect_is_named(tmp_path: Path) -> None:
    text = SMALL.replace("path: demand, levels: [1, 2]", "path: sleep, levels: [0, 0.001]")
    carried(tmp_path, text)
    assert "Factor demand changed nothing" in (tmp_path / "out" / "report.md").read_text()


def test_a_factor_that_moves_a_named_metric_alone_has_an_effect(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SMALL)
    carry_out(plan, tmp_path / "out", local_pool(plan, run_queue_unseen, 2))
    assert "changed nothing" not in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize("design", ["{kind: sobol, samples: 16}", "{kind: morris, trajectories: 4}"])
def test_indices_are_in_the_report(tmp_path: Path, design: str) -> None:
    text = f"""
name: sampled
scenario: queue.yaml
factors:
  - {{name: price, path: price, range: [0.1, 0.9]}}
  - {{name: demand, path: demand, range: [1, 3]}}
design: {design}
replications: 1
"""
    carried(tmp_path, text)
    found = json.loads((tmp_path / "out" / "sweep.json").read_text())
    indices = found["sobol"] or found["morris"]
    assert [entry["name"] for entry in indices["fill_rate"]] == ["price", "demand"]
    html = (tmp_path / "out" / "report.html").read_text()
    assert "Sobol indices" in html or "Elementary effects" in html
    assert "Response surface" in html


def test_a_dry_run_counts_and_estimates(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SMALL + "set: {sleep: 0.02}\n")
    estimate = dry_run(plan, run_queue, workers=2)
    assert (estimate.runs_least, estimate.runs_most) == (24, 24)
    assert 0.02 <= estimate.run_seconds < 0.2
    assert not (tmp_path / "results").exists()
    until = "replications: {until: {metric: fill_rate, half_width: 0.1}, round: 5, at_most: 50}"
    assert run_bounds(plan_of(tmp_path, SMALL.replace("replications: 4", until))) == (30, 300)


BAD = [
    (("path: price", "path: prize"), 5, "factors.0.path", "unknown key 'prize'"),
    (("path: demand", "path: name"), 6, "factors.1.path", "changes nothing"),
    (("path: demand", "path: seed"), 6, "factors.1.path", "not for factors"),
    (("levels: [1, 2]", "range: [2, 1]"), 6, "factors.1.range", "is empty"),
    (("replications: 4", "constraints: [price > 1]"), 7, "constraints", "no point"),
    (("replications: 4", "metrics: [fill_rate, filrate]"), 7, "metrics.1", "not a number"),
    (("replications: 4", "replication: 4"), 7, "replication", "is not a key"),
    (("scenario: queue.yaml", "scenario: none.yaml"), 3, "scenario", "no file"),
    (
        ("replications: 4", "replications: {until: {metric: x, half_width: 1}}"),
        7,
        "replications.until.metric",
        "x",
    ),
]


@pytest.mark.parametrize(("change", "line", "key", "words"), BAD)
def test_a_bad_file_is_refused_with_file_line_and_key(tmp_path: Path, change: tuple[str, str], line: int, key: str, words: str) -> None:
    file = write(tmp_path, SMALL.replace(*change))
    with pytest.raises(InputError) as caught:
        read_plan(file, QueueScenarios())
    [text] = caught.value.lines
    assert text.startswith(f"{file}:{line}:")
    assert f" {key}: " in text
    assert words in text


def test_all_errors_of_a_file_come_at_once(tmp_path: Path) -> None:
    text = SMALL.replace("path: price", "path: prize").replace("replications: 4", "metrics: [x, y]")
    with pytest.raises(InputError) as caught:
        plan_of(tmp_path, text)
    assert len(caught.value.lines) == 3


@pytest.mark.parametrize(
    "change",
    [("name: small", "name: other"), ("- {name: price,", "- {name: cost,"), ("  - {name: demand, path: demand, levels: [1, 2]}\n", "")],
)
def test_another_sweeps_folder_is_refused_and_left_as_it_is(tmp_path: Path, change: tuple[str, str]) -> None:
    ran(tmp_path, SMALL)
    (tmp_path / "out" / "runs" / "0.failed.json").write_text("{}")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"holds another sweep, small of queue\.yaml with the factors price, demand"):
        carried(tmp_path, SMALL.replace(*change), resume=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_every_column_of_the_tables_has_a_name_of_its_own(small: tuple[Path, SweepResult]) -> None:
    out, result = small
    factors = [factor.name for factor in result.plan.sweep.factors]
    for table, own, others in (("results", RUN_COLUMNS, result.metrics), ("points", POINT_COLUMNS, ())):
        columns = list(pd.read_parquet(out / f"{table}.parquet").columns)
        assert sorted(columns) == sorted([*factors, *own, *others])
    for name in (*RUN_COLUMNS, *POINT_COLUMNS, "take", "fill_rate", "blocks", "max"):
        with pytest.raises(ValueError, match="cannot be a factor's name"):
            Factor(name=name, path="a", levels=[1])


def test_numbers_that_are_computed_are_rounded_to_what_the_key_holds(tmp_path: Path) -> None:
    text = SMALL.replace("levels: [0.2, 0.5, 0.8]", "range: {low: 0.1, high: 0.9, steps: 4}")
    plan = plan_of(tmp_path, text)  # the queue's prices have two decimals
    assert [point.labels()[0] for point in plan.design.points[::2]] == ["0.1", "0.37", "0.63", "0.9"]
    assert [one["price"] for one in plan.effective[::2]] == [0.1, 0.37, 0.63, 0.9]
    computed = plan_of(tmp_path, SMALL.replace("path: price, levels: [0.2", "path: price, template: '{x / 3}', levels: [0.2"))
    assert [one["price"] for one in computed.effective[::2]] == [0.07, 0.17, 0.27]
    with pytest.raises(InputError, match="make only 3 different numbers of 2 decimals, and the key takes no finer ones"):
        plan_of(tmp_path, SMALL.replace("levels: [0.2, 0.5, 0.8]", "range: {low: 0.1, high: 0.12, steps: 4}"))
    exact = plan_of(tmp_path, SMALL.replace("levels: [0.2, 0.5, 0.8]", "levels: [0.123456789012345678]"))
    assert exact.design.points[0].labels()[0] == "0.123456789012345678"
