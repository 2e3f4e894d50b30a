from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from queue_market import run_closed_market, run_queue

from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.experiments.runs.execute import Runner
from marketsim.experiments.runs.ignored_keys import ignored_because
from marketsim.experiments.runs.metric_names import metric_value, unknown_metric
from marketsim.experiments.runs.scenario_source import ScenarioFiles
from marketsim.experiments.runs.simulated import Simulated
from marketsim.experiments.sweep.session import read_plan
from marketsim.scenario import load_scenario

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "scenarios" / "sweeps").glob("*.yaml"))
SMALL = ROOT / "scenarios" / "small.yaml"
MARGIN = "providers.large.config.bid_engine.min_profit_margin"


@dataclass(frozen=True)
class Queued(Simulated):
    """The queue in place of the simulation."""

    market: Runner = run_queue

    def __call__(self, scenario: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
        return self.market({}, base, seed)


def sweep_file(folder: Path, factors: str, rest: str = "replications: 2") -> Path:
    path = folder / "sweep.yaml"
    path.write_text(f"name: s\nscenario: {os.path.relpath(SMALL, folder)}\nfactors:\n{factors}\n{rest}\n")
    return path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command with the queue in place of the simulation."""
    monkeypatch.setattr("marketsim.experiments.sweep.plan.runner_for", lambda *_, **__: Queued())


def test_help_names_the_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--help"]) == 0
    out = capsys.readouterr().out
    for option in ("--workers", "--scheduler", "--resume", "--out", "--dry-run", "--quiet", "--json"):
        assert option in out


@pytest.mark.usefixtures("quick")
def test_a_sweep_writes_its_folder_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = sweep_file(tmp_path, f"  - {{name: margin, path: {MARGIN}, unit: '%', levels: [5, 10]}}")
    out = tmp_path / "out"
    assert main(["sweep", str(file), "--workers", "1", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "margin [%]" in shown.out and str(out / "report.html") in shown.out
    assert "4/4 runs" in shown.err
    assert main(["sweep", str(file), "--workers", "1", "--out", str(out)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main(["sweep", str(file), "--resume", "--out", str(out), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["runs"] == 4
    assert shown.err == ""
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["state"] == "complete" and manifest["timing"]["runs_made"] == 0


@pytest.mark.usefixtures("quick")
def test_failed_runs_end_in_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = sweep_file(tmp_path, f"  - {{name: margin, path: {MARGIN}, levels: [5]}}", "replications: 1")
    assert main(["sweep", str(file), "--out", str(tmp_path / "ok"), "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setattr("marketsim.experiments.sweep.plan.runner_for", lambda *_, **__: Queued(market=run_closed_market))
    assert main(["sweep", str(file), "--out", str(tmp_path / "bad"), "--quiet"]) == 1
    assert capsys.readouterr().err.startswith("1 of 1 runs failed")


@pytest.mark.usefixtures("quick")
def test_a_dry_run_prints_design_runs_and_estimate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = sweep_file(tmp_path, f"  - {{name: margin, path: {MARGIN}, levels: [5, 10, 20]}}", "replications: 7")
    assert main(["sweep", str(file), "--dry-run", "--workers", "2"]) == 0
    out = capsys.readouterr().out
    assert "grid, 3 points" in out and "margin 20" in out and "runs        21" in out and "with 2 workers" in out
    assert main(["sweep", str(file), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == {"least": 21, "most": 21}
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.yaml"]


BAD = [
    (
        "  - {name: m, path: providers.large.config.bid_engine.margin, levels: [1]}",
        "",
        "factors.0.path",
        "margin",
    ),
    ("  - {name: m, path: providers.huge.count, levels: [1]}", "", "factors.0.path", "huge"),
    ("  - {name: m, path: gas_price, levels: [1uve]}", "", "factors.0.path", "charges no gas"),
    ("  - {name: m, path: tenants.web.patience, levels: [1h, 2h]}", "", "factors.0.path", "order_timeout"),
    (
        "  - {name: m, path: providers.large.config.bid_engine.pricing.gpu, levels: [1uve]}",
        "",
        "factors.0.path",
        "no order asks for a GPU",
    ),
    ("  - {name: m, path: providers.large.cost_share, levels: [0.5]}", "", "factors.0.path", "only welfare"),
    ("  - {name: m, path: record, levels: [summary, orders]}", "", "factors.0.path", "changes nothing"),
    ("  - {name: m, path: seed, levels: [1, 2]}", "", "factors.0.path", "not for factors"),
    ("  - {name: m, path: horizon, levels: [1h]}", "", "factors", "warm"),
    ("  - {name: m, path: take, range: [0.5, 0.1]}", "", "factors.0.range", "is empty"),
    ("  - {name: m, path: take, levels: [0.1]}", "constraints: [m > 1]", "constraints", "no point"),
    ("  - {name: m, path: take, levels: [0.1]}", "metrics: [revenu.total]", "metrics.0", "revenue.total"),
    (
        "  - {name: m, path: take, levels: [0.1]}",
        "metrics: [bids.declined.tired]",
        "metrics.0",
        "engine_disabled",
    ),
    (
        "  - {name: m, path: take, levels: [0.1]}",
        "metrics: [revenue.by_cohort.none]",
        "metrics.0",
        "large, local",
    ),
    ("  - {name: m, path: take, levels: [0.1]}", "set: {block_tim: 6s}", "set", "block_tim"),
]


@pytest.mark.parametrize(("factor", "rest", "key", "words"), BAD)
def test_bad_sweeps_are_refused_before_the_first_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], factor: str, rest: str, key: str, words: str
) -> None:
    file = sweep_file(tmp_path, factor, rest)
    assert main(["sweep", str(file), "--out", str(tmp_path / "out")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{file}:")
    assert f": {key}: " in line
    assert words in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_sweeps_are_valid_and_say_what_they_teach(path: Path) -> None:
    plan = read_plan(path)
    assert len(plan.sweep.description.split()) > 50
    assert 5 <= len(plan.design.points) <= 400


def test_the_file_in_the_manual_is_valid(tmp_path: Path) -> None:
    manual = (ROOT / "docs" / "sweeps.md").read_text()
    example = manual.split("```yaml\n", 1)[1].split("```", 1)[0]
    path = tmp_path / "example.yaml"
    path.write_text(example.replace("../small.yaml", os.path.relpath(SMALL, tmp_path)))
    assert len(read_plan(path).design.points) == 8


def test_the_six_shipped_questions_are_there() -> None:
    names = {path.stem for path in SHIPPED}
    assert {"pricing", "settlement", "take", "entry", "bid_window", "deposit"} <= names


def test_a_factor_reaches_into_a_provider_file(tmp_path: Path) -> None:
    path = "providers.large.config.bid_engine.pricing.cpu_millicores"
    file = sweep_file(tmp_path, f"  - {{name: cpu, path: {path}, levels: [0.001uve, 0.002uve]}}")
    plan = read_plan(file)
    prices = [e["providers"][0]["config"]["bid_engine"]["pricing"]["cpu_millicores"] for e in plan.effective]
    assert prices[0] != prices[1]
    assert plan.task(0, 0).key != plan.task(1, 0).key
    assert plan.task(0, 0).key != plan.task(0, 1).key


def test_keys_are_judged_by_the_effective_scenario() -> None:
    effective = load_scenario(SMALL).effective()
    assert ignored_because("tenants.web.utilization", effective) is None
    rate = load_scenario(SMALL, ["charging=rate"]).effective()
    assert "reads no usage" in (ignored_because("tenants.web.utilization", rate) or "")
    by_usage = effective | {"charging": "ve_settlement"}
    for key in ("take", "settle_every", "grace"):
        assert ignored_because(key, effective) is None
        assert "usage escrows" in (ignored_because(key, by_usage) or "")
    assert "adds to an order's escrow" in (ignored_because("tenants.web.top_up.blocks", by_usage) or "")
    assert "nobody withdraws" in (ignored_because("providers.large.withdraw_every", effective) or "")
    other = load_scenario(SMALL, ["rules=virtengine"]).effective()
    assert ignored_because("providers.large.withdraw_every", other) is None
    assert ignored_because("tenants.web.patience", other) is None
    assert ignored_because("tenants.web.value", effective) is None  # the ceiling is all of it
    apart = load_scenario(SMALL, ["tenants.web.ceiling=25uve"]).effective()
    assert "only welfare metrics" in (ignored_because("tenants.web.value", apart) or "")


def test_metrics_are_found_in_a_summary() -> None:
    summary: dict[str, Any] = {
        "fill_rate": None,
        "take": "12.5",
        "take_uve": 12.5,
        "revenue": {"by_cohort": {"a": "7"}, "by_cohort_uve": {"a": 7}},
        "bids": {"rejected": {}},
    }
    assert metric_value(summary, "take") == 12.5
    assert metric_value(summary, "revenue.by_cohort.a") == 7
    assert metric_value(summary, "bids.rejected.too_many_bids") == 0
    assert metric_value(summary, "fill_rate") != metric_value(summary, "fill_rate")  # undefined there
    assert unknown_metric("fill_rate") is None
    assert "fill_rate" in (unknown_metric("filrate") or "")


def test_a_scenario_that_is_wrong_by_itself_is_reported_at_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\nhorizn: 3d\n")
    with pytest.raises(InputError, match=r"bad\.yaml:2:1"):
        ScenarioFiles().read(tmp_path / "bad.yaml")


@pytest.mark.slow
def test_the_real_market_survives_kill_9_and_any_number_of_workers(tmp_path: Path) -> None:
    file = sweep_file(
        tmp_path,
        f"  - {{name: margin, path: {MARGIN}, levels: [5, 15]}}",
        "replications: 8\nset: {horizon: 3d, warm_up: 1d}",
    )

    def command(out: str, workers: int) -> list[str]:
        return [
            *(sys.executable, "-m", "marketsim", "sweep", str(file), "--workers", str(workers)),
            *("--resume", "--quiet", "--out", str(tmp_path / out)),
        ]

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command("one", 1), env=environment, check=True)
    process = subprocess.Popen(command("two", 2), env=environment)
    runs = tmp_path / "two" / "runs"
    deadline = time.monotonic() + 300
    while len(list(runs.glob("[0-9a-f]*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "two" / "report.html").exists()
    subprocess.run(command("two", 2), env=environment, check=True)
    for path in sorted((tmp_path / "one").rglob("*")):
        if path.is_file() and path.name != "manifest.json":
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
