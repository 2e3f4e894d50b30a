"""The commands compare, optimize and bench: what they print, write and refuse."""

import json
from pathlib import Path

import pytest

from marketsim.cli import main

SMALL = Path(__file__).parents[2] / "scenarios" / "small.yaml"
SHORT = ["--set", "horizon=12h", "--set", "warm_up=0s"]
MARGIN = "providers.large.config.bid_engine.min_profit_margin"


def test_compare_prints_writes_and_repeats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", str(SMALL), *SHORT, "--set-b", f"{MARGIN}=25", "--pairs", "4", "--workers", "2"]
    words += ["--metric", "revenue.total", "--metric", "welfare.provider_profit", "--margin", "1%"]
    assert main([*words, "--out", str(tmp_path / "one"), "--quiet", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "one" / "comparison.json").read_text())
    assert [metric["metric"] for metric in printed["metrics"]] == ["revenue.total", "welfare.provider_profit"]
    assert printed["seeds"] == [1, 2, 3, 4]
    assert printed["metrics"][0]["margin"] == pytest.approx(0.01 * printed["metrics"][0]["mean_a"])
    assert main([*words, "--out", str(tmp_path / "two")]) == 0
    shown = capsys.readouterr()
    assert "variance reduction" in shown.out
    assert "4 of at most 4 pairs" in shown.err
    assert "O'Brien–Fleming spending over a budget of 4 pairs" in shown.out
    for file in (tmp_path / "one").rglob("*.*"):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes(), file
    assert main([*words, "--out", str(tmp_path / "one")]) == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        ([str(SMALL), "--metric", "fil_rate"], "--metric: `fil_rate`"),
        ([str(SMALL), "--margin", "some"], "--margin: 'some'"),
        ([str(SMALL), "--set-b", "providers.large.colour=red"], "colour"),
        ([str(SMALL), "--level", "1.5"], "--level"),
        ([str(SMALL), "--stopping", "soon"], "--stopping: 'soon'"),
        ([str(SMALL), "--stopping", "fixed", "--until-decided"], "--stopping: fixed"),
    ],
)
def test_compare_refuses_before_the_first_run(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words]) == 2
    assert reason in capsys.readouterr().err


def test_optimize_reports_its_confirmation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["optimize", str(SMALL), *SHORT, "--factor", f"{MARGIN}=0..40", "--objective", "revenue.total"]
    words += ["--constraint", "fill_rate>=0.05", "--budget", "20", "--per-point", "1", "--workers", "2"]
    assert main([*words, "--out", str(tmp_path / "found"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["confirmed"]["seeds"][0] > found["search_seeds"][1]
    assert found["runs"] <= 20
    assert 0 <= int(found["factors"][0]["best"]) <= 40
    assert found["constraints"][0]["verdict"].startswith("met")
    assert (tmp_path / "found" / "report.html").is_file()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--factor", "nothing=1..2", "--objective", "fill_rate"], "--factor: nothing"),
        (["--factor", "bid_window=5..50", "--objective", "fill_rate"], "bid_window"),
        (["--factor", f"{MARGIN}=0..40", "--objective", "profit"], "--objective: `profit`"),
        (["--factor", f"{MARGIN}=0..40", "--objective", "fill_rate", "--constraint", "win"], "--constraint"),
        (["--factor", f"{MARGIN}=0..40", "--objective", "fill_rate", "--budget", "3"], "--budget"),
        (["--factor", f"{MARGIN}=0..40", "--factor", f"{MARGIN}=1..4", "--objective", "fill_rate"], "given twice"),
        (["--factor", "providers.large.cost_share=0.5..1.0", "--objective", "fill_rate"], "welfare"),
    ],
)
def test_optimize_refuses_before_the_first_run(words: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", str(SMALL), *words]) == 2
    assert reason in capsys.readouterr().err


def test_risk_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["risk", str(SMALL), *SHORT, "--metric", "revenue.total", "--event", "revenue.total<1", "--event", "fill_rate>=0"]
    assert main([*words, "--runs", "6", "--workers", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["seeds"] == [1, 2, 3, 4, 5, 6]
    low, _, high, _ = found["tails"]["revenue.total"]
    assert low["tail"] == "lower"
    assert low["value_at_risk"] <= high["value_at_risk"]
    assert low["value_at_risk_interval"]["low"] is None, "six runs do not bound a tail"
    never, always = found["events"]["revenue.total<1"], found["events"]["fill_rate>=0"]
    assert (never["hits"], always["hits"]) == (0, 6)
    assert never["interval"]["high"] == pytest.approx(1 - 0.05 ** (1 / 6))
    assert main([*words, "--runs", "2", "--quiet", "--workers", "1"]) == 0
    assert "probability 0 % [0 %, 77.6 %]" in capsys.readouterr().out
    assert main(["risk", str(SMALL), "--event", "fil_rate<1"]) == 2
    assert "--event: `fil_rate`" in capsys.readouterr().err
