"""Comparisons: pairing, stopping, correction, verdicts, and the pages they leave."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from queue_market import run_queue

from marketsim.errors import InputError
from marketsim.experiments.compare.asked import parse_margin
from marketsim.experiments.compare.paired import INDEPENDENT_OFFSET, ROUND_PAIRS, Margin, compare, compare_values
from marketsim.experiments.compare.report import comparison_files, comparison_lines
from marketsim.experiments.runs.variants import PooledRuns, Recorded, RunFailedError, SerialRuns, Variant, read_arm, read_recorded
from marketsim.experiments.runs.whole_folder import write_folder
from marketsim.statistics.sequential import Decision, first_declared

METRICS = ["revenue.total", "fill_rate"]


def arm(price: float, **extra: object) -> Variant:
    return Variant(f"price {price}", {"price": price, **extra}, ".")


def test_pairing_cuts_variance_and_runs() -> None:
    found = compare(arm(0.50), arm(0.52), SerialRuns(run_queue), metrics=METRICS, pairs=60, independent=True)
    first = found.first
    assert first.pairs == 60
    assert first.mean_a == pytest.approx(50, abs=1.5)
    assert first.reduction > 3
    assert found.runs_saved == pytest.approx(120 * (first.reduction - 1))
    assert found.independent is not None
    # Independent runs confirm what the pairs predict from the arms' own variances.
    ratio = found.independent.variance_paired / first.variance_independent
    assert 0.5 < ratio < 2
    assert first.variance_independent / found.independent.variance_independent == pytest.approx(1, abs=0.5)


def test_stops_at_the_end_of_a_round_once_decided() -> None:
    found = compare(arm(0.5), arm(0.7), SerialRuns(run_queue), metrics=METRICS, pairs=60, until_decided=True)
    assert found.first.verdict.decision is Decision.DIFFERENT
    assert len(found.seeds) < 40
    assert len(found.seeds) % ROUND_PAIRS == 0
    assert found.first.runs_decided is not None
    assert found.first.runs_decided <= found.runs


def test_equal_arms_are_never_different_and_say_so() -> None:
    found = compare(arm(0.5), arm(0.5), SerialRuns(run_queue), metrics=["fill_rate"], pairs=20, margin=Margin(0.02, relative=True))
    assert found.first.verdict.decision is Decision.UNDECIDED
    assert "20 of 20 pairs are exactly equal" in found.first.verdict.sentence
    assert found.first.variance_paired == 0
    assert math.isinf(found.first.reduction)
    assert found.first.as_json()["variance_reduction"] is None
    assert found.first.p == 1


def test_nearly_equal_arms_are_equivalent() -> None:
    rng = np.random.default_rng(4)
    a = rng.normal(100, 5, 40)
    found = compare_values("m", a, a + rng.normal(0, 0.5, 40), margin=Margin(0.02, relative=True))
    assert found is not None
    assert found.verdict.decision is Decision.EQUIVALENT
    assert "O'Brien–Fleming" in found.verdict.sentence


def test_correction_makes_a_single_borderline_metric_weaker() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=30)
    b = a + 0.6 + rng.normal(size=30)
    alone = compare_values("m", a, b)
    among = compare_values("m", a, b, level=1 - 0.05 / 10)
    assert alone is not None
    assert among is not None
    assert among.looks[-1].interval.half_width > alone.looks[-1].interval.half_width


def test_holm_in_a_comparison() -> None:
    found = compare(arm(0.5), arm(0.6), SerialRuns(run_queue), metrics=METRICS, pairs=40)
    raw = sorted(one.p for one in found.metrics)
    corrected = sorted(one.p_holm for one in found.metrics)
    assert corrected[0] == pytest.approx(min(1.0, 2 * raw[0]))
    assert all(one.interval.level == pytest.approx(0.975) for one in found.metrics)


def test_undefined_metrics_are_left_out_pair_by_pair() -> None:
    found = compare_values("m", [1.0, math.nan, 3.0, 4.0], [2.0, 2.0, math.nan, 5.0])
    assert found is not None
    assert (found.pairs, found.left_out, found.difference) == (2, 2, 1.0)
    assert compare_values("m", [math.nan], [1.0]) is None
    with pytest.raises(ValueError, match="undefined in all"):
        compare(arm(0.5), arm(0.6), SerialRuns(run_queue), metrics=["price.p50"], pairs=4)


def test_seeds_are_equal_when_paired_and_far_apart_when_independent() -> None:
    asked: list[tuple[str, int]] = []

    class Spy(SerialRuns):
        def _one(self, arm: object, seed: int) -> dict[str, object]:
            asked.append((arm.label, seed))  # type: ignore[attr-defined]
            return super()._one(arm, seed)  # type: ignore[arg-type]

    compare(arm(0.5), arm(0.6), Spy(run_queue), metrics=METRICS, pairs=5, first_seed=3, independent=True)
    of_a = [seed for label, seed in asked if label == "price 0.5"]
    of_b = [seed for label, seed in asked if label == "price 0.6"]
    assert of_a == [3, 4, 5, 6, 7], "A's runs are made once and used twice"
    assert of_b == [3, 4, 5, 6, 7, *(s + INDEPENDENT_OFFSET for s in range(3, 8))]


def test_results_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    serial = compare(arm(0.5), arm(0.6), SerialRuns(run_queue), metrics=METRICS, pairs=6)
    pool = PooledRuns(run_queue, tmp_path, 2)
    try:
        pooled = compare(arm(0.5), arm(0.6), pool, metrics=METRICS, pairs=6)
        with pytest.raises(RunFailedError, match="seed 1: error: ValueError: the market is closed"):
            compare(arm(0.5), arm(0.6, trouble="raise"), pool, metrics=METRICS, pairs=2)
    finally:
        pool.close()
    assert pooled.as_json() == serial.as_json()
    assert comparison_files(pooled) == comparison_files(serial)


def test_files_of_a_comparison(tmp_path: Path) -> None:
    found = compare(
        arm(0.5),
        arm(0.55),
        SerialRuns(run_queue),
        metrics=METRICS,
        pairs=12,
        margin=Margin(2.0),
        independent=True,
    )
    files = comparison_files(found)
    assert set(files) == {
        "comparison.json", "pairs.csv", "report.md", "report.html",
        "figures/revenue_total.png", "figures/fill_rate.png",
    }  # fmt: skip
    assert files["figures/revenue_total.png"].startswith(b"\x89PNG")
    content = json.loads(files["comparison.json"])
    assert content["metrics"][0]["variance_reduction"] == pytest.approx(found.first.reduction)
    html = files["report.html"].decode()
    assert "http" not in html.replace("http-equiv", ""), "the page works offline"
    for words in ("O'Brien–Fleming spending", "variance reduction", "Holm over 2 metrics", "common random numbers", "1 to 12"):
        assert words.lower() in files["report.md"].decode().lower(), words
    assert files["pairs.csv"].decode().splitlines()[0] == "seed,metric,a,b,difference"
    assert len(files["pairs.csv"].decode().splitlines()) == 1 + 2 * 12
    text = "\n".join(comparison_lines(found))
    assert "variance reduction" in text
    assert "runs saved" in text
    assert "independent" in text
    write_folder(tmp_path / "out", files)
    with pytest.raises(InputError, match="not empty"):
        write_folder(tmp_path / "out", files)
    write_folder(tmp_path / "out", {"only": b"this"}, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["only"]


def write_runs(folder: Path, price: float, seeds: range) -> None:
    for seed in seeds:
        run = folder / f"{seed}-abc"
        run.mkdir(parents=True)
        (run / "summary.json").write_text(json.dumps(run_queue({"price": price}, ".", seed)))


def test_folders_are_paired_by_the_seeds_they_share(tmp_path: Path) -> None:
    write_runs(tmp_path / "a", 0.5, range(1, 9))
    write_runs(tmp_path / "b", 0.6, range(4, 12))
    a, b = read_recorded(tmp_path / "a", "a"), read_recorded(tmp_path / "b", "b")
    found = compare(a, b, SerialRuns(run_queue), metrics=METRICS, pairs=60)
    assert found.seeds == (4, 5, 6, 7, 8)
    direct = compare(arm(0.5), arm(0.6), SerialRuns(run_queue), metrics=METRICS, pairs=5, first_seed=4)
    assert found.first.difference == direct.first.difference
    mixed = compare(a, arm(0.6), SerialRuns(run_queue), metrics=METRICS, pairs=60)
    assert mixed.seeds == tuple(range(1, 9))
    with pytest.raises(ValueError, match="no seed in common"):
        compare(a, Recorded("none", {99: {}}), SerialRuns(run_queue), metrics=METRICS)


def test_folders_that_are_not_runs_of_one_scenario_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no finished run"):
        read_recorded(tmp_path / "empty", "x")
    write_runs(tmp_path / "two" / "a", 0.5, range(1, 3))
    write_runs(tmp_path / "two" / "b", 0.6, range(1, 3))
    with pytest.raises(InputError, match="two different runs have seed 1"):
        read_recorded(tmp_path / "two", "x")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "summary.json").write_text("[]")
    with pytest.raises(InputError, match="not a run's summary"):
        read_recorded(tmp_path / "bad", "x")


@pytest.mark.parametrize(("text", "margin"), [("2%", Margin(0.02, True)), ("0.5 %", Margin(0.005, True)), ("150", Margin(150.0))])
def test_margins(text: str, margin: Margin) -> None:
    assert parse_margin(text) == margin


@pytest.mark.parametrize("text", ["", "-1", "0", "two", "nan", "inf", "%"])
def test_margins_that_make_no_sense(text: str) -> None:
    with pytest.raises(InputError, match="--margin"):
        parse_margin(text)


@pytest.mark.slow
def test_pairing_in_the_baseline(tmp_path: Path) -> None:
    """Margin 10 against 11 %: a third of the variance at most, and of the runs until decided (median of 20 deals)."""
    from marketsim.experiments.runs.simulated import Simulated

    baseline = Path(__file__).parents[2] / "scenarios" / "baseline.yaml"
    margin = "providers.regional.config.bid_engine.min_profit_margin"
    arms = [read_arm(baseline, [f"{margin}={percent}", "record=summary"], f"{percent} %") for percent in (10, 11)]
    pool = PooledRuns(Simulated(), tmp_path, 2)
    try:
        found = compare(*arms, pool, metrics=["revenue.total"], pairs=24)
    finally:
        pool.close()
    assert found.first.reduction >= 3
    a, b = found.values_a["revenue.total"], found.values_b["revenue.total"]
    paired, apart = [], []
    for deal in range(20):
        rng = np.random.default_rng(deal)
        left, right = rng.integers(0, a.size, (2, 2000))
        paired.append(int(first_declared((b[left] - a[left])[None, :])[0]) or 2000)
        apart.append(int(first_declared((b[right] - a[left])[None, :])[0]) or 2000)
    assert np.median(paired) <= np.median(apart) / 3
