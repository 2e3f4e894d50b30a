from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from synthetic_record import make_record

from marketsim import cli, simulation
from marketsim.errors import InvariantError
from marketsim.export.folder import PARTIAL
from marketsim.metrics.summary import summarize
from marketsim.recording.record import Record

RECORD = make_record(60, days=2)
SUMMARY = summarize(RECORD)

PROVIDER = """
bid_engine:
  enabled: true
  min_profit_margin: 10
  max_concurrent_bids: 50
  bid_timeout: 5m
  pricing: {cpu_millicores: 0.000001uve, memory_mb: 0.0000001uve, storage_mb: 0.00000001uve, gpu: 0.001uve}
"""
SCENARIO = """
name: probe
seed: 7
horizon: 2d
tenants:
  - name: web
    count: 2
    wallet: 5000VE
    demand: {arrivals: 12/h}
    order: {cpu: 1000, memory: 1Gi, storage: 1Gi}
    duration: 1h
providers:
  - {name: edge, count: 2, config: provider.yaml, capacity: {cpu: 64000, memory: 64Gi, storage: 1Ti}}
"""

Simulation = Callable[..., Any]


class Made(NamedTuple):
    summary: dict[str, Any]
    record: Record


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of every simulation, which answers with a synthetic record."""
    (tmp_path / "provider.yaml").write_text(PROVIDER)
    (tmp_path / "probe.yaml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    made: list[dict[str, Any]] = []

    def fake(scenario: Any, **arguments: Any) -> Made:
        made.append({"scenario": scenario, **arguments})
        if arguments["progress"] is not None:
            arguments["progress"](1, 2)
            arguments["progress"](2, 2)
        meta = RECORD.meta | {"record": scenario.record, "scenario": scenario.effective()}
        return Made(SUMMARY, replace(RECORD, meta=meta))

    monkeypatch.setattr(simulation, "run", fake)
    return made


def _visible(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_prints_its_report_and_leaves_its_folder(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "probe.yaml"]) == 0
    text = capsys.readouterr().out
    assert f"Order fill rate: {100 * SUMMARY['fill_rate']:.1f} %" in text
    (folder,) = Path("results/probe").iterdir()
    assert folder.name.startswith("7-") and str(folder) in text
    files = {"manifest.json", "summary.json", "report.html", "report.md", "figures"}
    tables = {"orders", "leases", "providers", "tenants", "timeseries", "settlements", "events", "latency"}
    assert _visible(folder) == files | {f"{name}.{ending}" for name in tables for ending in ("parquet", "csv")}
    assert calls[0]["seed"] is None and calls[0]["audit"] is False


def test_json_is_exactly_the_summary(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "probe.yaml", "--json", "--no-figures", "--out", "o"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == json.loads(json.dumps(SUMMARY))
    assert out == Path("o/summary.json").read_text()
    assert "figures" not in _visible(Path("o"))


def test_quiet_prints_nothing(calls: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "probe.yaml", "--quiet", "--no-figures"]) == 0
    assert capfd.readouterr() == ("", "")
    assert calls[0]["progress"] is None


def test_options_reach_the_scenario(calls: list[dict[str, Any]]) -> None:
    options = [
        "--seed",
        "9",
        "--set",
        "providers.0.count=5",
        "--horizon",
        "1d",
        "--record",
        "everything",
        "--audit",
    ]
    assert cli.main(["run", "probe.yaml", "--quiet", "--no-figures", *options]) == 0
    (call,) = calls
    scenario = call["scenario"]
    assert (call["seed"], call["audit"], scenario.providers[0].count) == (9, True, 5)
    assert scenario.horizon_blocks == 14_400 and scenario.record == "everything"
    (folder,) = Path("results/probe").iterdir()
    assert folder.name.startswith("9-") and (folder / "bids.parquet").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "nonsense"], "--set"),
        (["--set", "providers.7.count=1"], "--set: providers.7.count"),
        (["--set", "horizon=parsecs"], "horizon"),
        (["--horizon", "0"], "horizon"),
        (["--record", "nothing"], "record"),
        (["--assert", "fil_rate>=0.8"], "--assert: fil_rate: no such outcome, expected fill_rate"),
        (["--assert", "fill_rate"], "compares nothing"),
        (["--seed", "-1"], "--seed"),
        (["--out", "full"], "full: --out: the folder is not empty"),
        (["--out", "probe.yaml"], "probe.yaml: --out: is a file"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_nonsense_is_refused_before_the_run(
    calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    Path("full").mkdir()
    Path("full/mine").write_text("x")
    assert cli.main(["run", "probe.yaml", "--quiet", *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and "Traceback" not in err
    assert calls == [] and not list(Path().rglob(f"*{PARTIAL}*")) and _visible(Path("full")) == {"mine"}


def test_two_bad_conditions_get_two_lines(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "probe.yaml", "--assert", "a>1", "--assert", "b>1"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2 and calls == []


def test_an_outcome_that_misses_is_exit_1_and_keeps_the_results(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--quiet", "--no-figures", "--out", "o", "--assert", "conserved", "--assert"]
    assert cli.main(["run", "probe.yaml", *options, "fill_rate>=0"]) == 0
    assert cli.main(["run", "probe.yaml", *options[:3], "p", *options[4:], "fill_rate > 1"]) == 1
    assert f"fill_rate > 1: does not hold; fill_rate = {SUMMARY['fill_rate']}" in capsys.readouterr().err
    assert Path("p/summary.json").exists()
    assert cli.main(["run", "probe.yaml", *options[:3], "q", *options[4:], "revenue.by_provider_uve['x'] > 1"]) == 2


@pytest.mark.parametrize(("failure", "code"), [(KeyboardInterrupt(), 130), (InvariantError("leak"), 3), (MemoryError("none"), 3)])
def test_a_run_that_breaks_off_leaves_nothing(
    calls: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    code: int,
) -> None:
    def broken(*_: Any, **__: Any) -> Made:
        raise failure

    monkeypatch.setattr(simulation, "run", broken)
    assert cli.main(["run", "probe.yaml"]) == code
    assert list(Path("results/probe").iterdir()) == []
    assert "Traceback" not in capsys.readouterr().err


def test_a_second_run_replaces_its_own_folder(calls: list[dict[str, Any]]) -> None:
    for _ in range(2):
        assert cli.main(["run", "probe.yaml", "--quiet", "--no-figures"]) == 0
    assert len(list(Path("results/probe").iterdir())) == 1


def test_report_again_gives_the_same_bytes(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "probe.yaml", "--out", "o"]) == 0
    first = capsys.readouterr().out
    before = {path: path.read_bytes() for path in Path("o").rglob("*") if path.is_file()}
    assert cli.main(["report", "o"]) == 0
    again = capsys.readouterr().out
    assert again.rsplit("\n", 2)[0] == first.rsplit("\n", 2)[0]
    assert {path: path.read_bytes() for path in Path("o").rglob("*") if path.is_file()} == before
    assert cli.main(["report", "o", "--out", "p", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Path("o/summary.json").read_text())
    assert (Path("p") / "report.html").read_bytes() == before[Path("o/report.html")]


def test_report_and_explain_refuse_what_is_no_run(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    for arguments in (["report", "empty"], ["explain", "empty", "edge/0"], ["report", "nowhere"]):
        assert cli.main(arguments) == 2
        assert "expected" in capsys.readouterr().err


def test_explain_prints_text_or_json(calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["run", "probe.yaml", "--quiet", "--no-figures", "--record", "everything", "--out", "o"])
    assert cli.main(["explain", "o", "hyperscale/0"]) == 0
    assert capsys.readouterr().out.startswith("Provider hyperscale/0\n")
    assert cli.main(["explain", "o", "#0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "order"
    assert cli.main(["explain", "o", "hyperscale/77"]) == 2
    assert "near: hyperscale/" in capsys.readouterr().err


def test_progress_away_from_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from marketsim.cli import progress

    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.progress_shown("base", quiet=False) as show:
        assert show is not None
        for second in range(12):
            now = float(second)
            show(1000 * second, 12_000)
    assert capsys.readouterr().err.splitlines() == [
        "base: 16 %, block 2,000 of 12,000, about 10 s left",
        "base: 58 %, block 7,000 of 12,000, about 5 s left",
    ]


def test_a_first_run_says_that_it_compiles(
    calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for cold in (True, False):
        monkeypatch.setattr("marketsim.kernel.compiled.is_cache_cold", lambda cold=cold: cold)
        assert cli.main(["run", "probe.yaml", "--json", "--no-figures"]) == 0
        assert ("compiling" in capsys.readouterr().err) is cold


def test_help_imports_nothing_heavy() -> None:
    import subprocess

    code = "import sys; from marketsim import cli; cli.build_app(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pandas", "pyarrow", "matplotlib", "numba", "jinja2", "scipy"} & set(loaded)
