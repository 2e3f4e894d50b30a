"""Gates: baselines, planted changes of the code, budgets, reports; on a market of milliseconds unless the market matters."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.experiments.compare.paired import Margin
from marketsim.experiments.gate.baseline import Baseline, baseline_bytes, read_baseline
from marketsim.experiments.gate.check import changes, make_baseline, plan_gate, run_gate, scenario_arm
from marketsim.experiments.gate.gate_metric import GateMetric, parse_gate_metric
from marketsim.experiments.gate.report import gate_annotations, gate_junit, gate_lines, gate_markdown, plan_lines
from marketsim.experiments.runs.simulated import Simulated
from marketsim.experiments.runs.variants import SerialRuns
from marketsim.statistics.fixed_n import Aim, GateWord

MARKET = """
name: gated
horizon: 2400 blocks
bid_min_deposit: 1uve
deployment_min_deposit: 1uve
tenants:
  - name: web
    count: 20
    wallet: 100VE
    demand: {orders: 300}
    order: {cpu: {uniform: [500, 4000]}, memory: 1Gi, storage: 10Gi}
    ceiling: {times_cost: {uniform: [0.9, 2]}}
    duration: {exponential: {mean: 300 blocks}}
    deposit: {price_blocks: 600}
    top_up: {when_blocks_left: 60, blocks: 600, times: 5}
providers:
  - name: north
    count: 4
    spread: 0.1
    capacity: {cpu: 32000, memory: 128Gi, storage: 4Ti}
    latency: {lognormal: {median: 2s, p95: 8s}}
"""
METRICS = ("revenue.total:2%", "fill_rate:3%", "price.mean_won:3%:equivalent")

Planted = Callable[[dict[str, Any]], dict[str, Any]]


class PlantedRuns:
    """The simulator as somebody has changed it: every summary passes through `planted`, and is counted."""

    def __init__(self, planted: Planted = lambda summary: summary) -> None:
        self._planted, self.made = planted, 0

    def summaries(self, arms: Sequence[Any], seeds: Sequence[int]) -> list[list[dict[str, Any]]]:
        self.made += len(arms) * len(seeds)
        found = SerialRuns(Simulated()).summaries(arms, seeds)
        return [[self._planted(json.loads(json.dumps(one))) for one in row] for row in found]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("gate")
    (made / "market.yaml").write_text(MARKET)
    return made


@pytest.fixture(scope="module")
def baseline(folder: Path) -> Baseline:
    path = folder / "market.yaml"
    arm = scenario_arm(path, ())
    return make_baseline(
        [(path, (), arm)], [parse_gate_metric(text) for text in METRICS], PlantedRuns(), folder, alpha=0.05, power=0.9, reason="first"
    )


def gate(baseline: Baseline, folder: Path, runs: Any = None, **options: Any) -> Any:
    file = folder / "baseline.json"
    plan = plan_gate(baseline, file, alpha=baseline.alpha, power=baseline.power, unpaired=bool(options.pop("unpaired", False)))
    return run_gate(plan, runs or PlantedRuns(), **options)


def with_revenue(share: float) -> Planted:
    """Providers are paid `share` more; the fingerprint knows it."""

    def planted(summary: dict[str, Any]) -> dict[str, Any]:
        summary["revenue"]["total_uve"] *= 1 + share
        summary["fingerprint"] = f"{share:+}"
        return summary

    return planted


# What is asked of a metric


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("revenue.total", GateMetric("revenue.total", Margin(0.02, True), Aim.NO_LOWER)),
        ("shortfall:1000", GateMetric("shortfall", Margin(1000), Aim.NO_HIGHER)),
        ("price.p50:1.5%", GateMetric("price.p50", Margin(0.015, True), Aim.EQUIVALENT)),
        ("fill_rate:0.01:equivalent", GateMetric("fill_rate", Margin(0.01), Aim.EQUIVALENT)),
        ("orders.created:no-lower", GateMetric("orders.created", Margin(0.02, True), Aim.NO_LOWER)),
        ("shortfall:5%:rare", GateMetric("shortfall", Margin(0.05, True), Aim.NO_HIGHER, 0.05)),
        ("shortfall:rare=10%", GateMetric("shortfall", Margin(0.02, True), Aim.NO_HIGHER, 0.1)),
    ],
)
def test_metrics_are_read_and_written(text: str, wanted: GateMetric) -> None:
    assert parse_gate_metric(text) == wanted
    assert parse_gate_metric(str(wanted)) == wanted


@pytest.mark.parametrize(
    "text", ["fill_rate:", "fill_rate:-1%", "fill_rate:better", "fill_rate:rare=0%", "fill_rate:rare=2", "fill_rate:1%:2%"]
)
def test_other_metrics_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--metric"):
        parse_gate_metric(text)


# The baseline's file


def test_a_baseline_reads_as_it_was_written(baseline: Baseline, folder: Path) -> None:
    file = folder / "kept.json"
    file.write_bytes(baseline_bytes(baseline))
    assert read_baseline(file) == baseline
    data = json.loads(file.read_bytes())
    assert list(data) == sorted(data)
    assert data["scenarios"][0]["path"] == "market.yaml"
    assert file.stat().st_size < 20_000
    lines = [line for line in file.read_text().splitlines() if '"fingerprint"' in line]
    assert len(lines) == len(baseline.scenarios[0].runs)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data.update(schema="other/1"), "schema"),
        (lambda data: data.update(alpha=2), "alpha"),
        (lambda data: data.update(colour="red"), "colour"),
        (lambda data: data["metrics"][0].update(margin=-1), "metrics.0.margin"),
        (lambda data: data["scenarios"][0]["runs"][0]["values"].pop("fill_rate"), "scenarios.0.runs.0.values: has no fill_rate"),
        (lambda data: data["scenarios"][0]["runs"][0].update(seed=2), "a seed stands twice"),
        (lambda data: data["scenarios"][0].update(path="gone.yaml"), "gone.yaml"),
    ],
)
def test_a_damaged_baseline_is_refused(
    baseline: Baseline, folder: Path, change: Callable[[Any], None], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads(baseline_bytes(baseline))
    change(data)
    file = folder / "damaged.json"
    file.write_text(json.dumps(data))
    assert main(["check", str(file)]) == 2
    assert reason in capsys.readouterr().err


# Verdicts


def test_a_byte_equal_change_is_identical(baseline: Baseline, folder: Path) -> None:
    runs = PlantedRuns()
    outcome = gate(baseline, folder, runs)
    assert outcome.word is GateWord.IDENTICAL
    assert runs.made == outcome.scenarios[0].planned < len(baseline.scenarios[0].runs) + 1
    assert gate(baseline, folder, exact=True).word is GateWord.IDENTICAL


@pytest.mark.parametrize(("share", "word"), [(-0.01, GateWord.PASS), (-0.03, GateWord.FAIL), (-0.05, GateWord.FAIL), (0.05, GateWord.PASS)])
def test_planted_changes_of_revenue_are_judged_as_their_margin_says(baseline: Baseline, folder: Path, share: float, word: GateWord) -> None:
    """The margin is 2 %, a rise is no worse; a share of every run's own revenue leaves hardly a spread."""
    outcome = gate(baseline, folder, PlantedRuns(with_revenue(share)))
    revenue, fill, price = outcome.scenarios[0].judged
    assert (revenue.word, fill.word, price.word) == (word, GateWord.IDENTICAL, GateWord.IDENTICAL)
    assert revenue.shift / revenue.before == pytest.approx(share)
    assert gate(baseline, folder, PlantedRuns(with_revenue(share)), exact=True).word is GateWord.FAIL
    text = "\n".join(gate_lines(outcome))
    assert ("better by more than the margin" in text) == (share == 0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("take", "margin", "word"), [("0.05", "2%", GateWord.FAIL), ("0.03", "3%", GateWord.PASS), ("0.07", "3%", GateWord.FAIL)]
)
def test_a_change_of_the_rules_is_judged_with_its_noise(baseline: Baseline, folder: Path, take: str, margin: str, word: GateWord) -> None:
    """A take of 3, 5, 7 in place of 2 % moves revenue by 1, 3, 5 %; another salt moves every run beside it."""
    changed = folder / "changed.yaml"
    changed.write_text(MARKET + f"take: {take}\nsalt: 9\n")
    kept = json.loads(baseline_bytes(baseline))
    kept["scenarios"][0]["path"] = "changed.yaml"
    kept["metrics"][0]["margin"] = float(margin[:-1]) / 100
    outcome = gate(Baseline.model_validate(kept), folder)
    assert outcome.scenarios[0].judged[0].word is word
    assert outcome.scenarios[0].changed_content


def test_a_red_metric_names_where_runs_part(baseline: Baseline, folder: Path) -> None:
    changed = folder / "dear.yaml"
    changed.write_text(MARKET + "take: 0.2\nfaults: [{provider: north/0, kind: outage, at: 1200 blocks, lasts: 600 blocks}]\n")
    kept = json.loads(baseline_bytes(baseline))
    kept["scenarios"][0]["path"] = "dear.yaml"
    outcome = gate(Baseline.model_validate(kept), folder)
    parted = outcome.scenarios[0].parted
    assert outcome.word is GateWord.FAIL
    assert parted is not None and parted.blocks is not None
    # The take is settled 600 blocks after the first lease, long before the outage.
    assert parted.blocks[1] < 1200
    assert f"first difference: seed 1, blocks {parted.blocks[0]:,} to {parted.blocks[1]:,}" in "\n".join(gate_lines(outcome))
    only_late = folder / "late.yaml"
    only_late.write_text(MARKET + "faults: [{provider: north/0, kind: outage, at: 1250 blocks, lasts: 1000 blocks}]\n")
    kept["scenarios"][0]["path"] = "late.yaml"
    late = gate(Baseline.model_validate(kept), folder, exact=True).scenarios[0].parted
    assert late is not None and late.blocks == (1201, 1300)


def test_a_shift_in_one_seed_of_ten_is_not_called_equivalent(baseline: Baseline, folder: Path) -> None:
    def rare(summary: dict[str, Any]) -> dict[str, Any]:
        return with_revenue(-0.5)(summary) if summary["seed"] == 3 else summary

    judged = gate(baseline, folder, PlantedRuns(rare)).scenarios[0].judged[0]
    assert judged.word is GateWord.UNDECIDED
    assert "pairs are equal" in judged.why


def test_rare_metrics_need_pairs_for_their_share(folder: Path) -> None:
    path = folder / "market.yaml"
    arms = [(path, (), scenario_arm(path, ()))]
    kept = make_baseline(arms, [parse_gate_metric("shortfall:1000:rare=10%")], PlantedRuns(), folder, alpha=0.05, power=0.9)
    # 0.9^28 = 0.052, 0.9^29 = 0.047
    assert len(kept.scenarios[0].runs) == 29
    judged = gate(kept, folder).scenarios[0].judged[0]
    assert judged.word is GateWord.IDENTICAL
    assert judged.differ_most is not None and judged.differ_most <= 0.1


def test_a_share_of_nothing_is_no_margin(folder: Path) -> None:
    path = folder / "market.yaml"
    with pytest.raises(InputError, match="is 0 on average"):
        make_baseline(
            [(path, (), scenario_arm(path, ()))],
            [parse_gate_metric("orders.relisted:2%")],
            PlantedRuns(),
            folder,
            alpha=0.05,
            power=0.9,
            seeds=3,
        )


def test_a_budget_ends_the_runs_early_and_says_so(baseline: Baseline, folder: Path) -> None:
    runs = PlantedRuns(with_revenue(-0.03))
    outcome = gate(baseline, folder, runs, budget=1e-6)
    assert runs.made == 1
    assert outcome.word is GateWord.UNDECIDED
    text = "\n".join(gate_lines(outcome))
    assert "the budget of 1e-06 s ends after 1 of" in text
    assert "--budget cuts it short" in text


def test_other_versions_are_compared_by_statistics(baseline: Baseline, folder: Path) -> None:
    other = baseline.model_copy(update={"versions": {**baseline.versions, "numpy": "1.0"}})
    outcome = gate(other, folder, PlantedRuns(with_revenue(-0.001)), exact=True)
    assert not outcome.exact
    assert outcome.word is GateWord.PASS
    text = "\n".join(gate_lines(outcome))
    assert "numpy 1.0 →" in text
    assert "compared by statistics instead" in text


def test_unpaired_plans_need_more_pairs(baseline: Baseline, folder: Path) -> None:
    plan = plan_gate(baseline, folder / "baseline.json", alpha=0.05, power=0.9, unpaired=True)
    paired = plan_gate(baseline, folder / "baseline.json", alpha=0.05, power=0.9, unpaired=False)
    assert plan.planned(0) > paired.planned(0)
    revenue = plan.plans[0][0]
    assert revenue.spread == pytest.approx(np.std(baseline.scenarios[0].values("revenue.total"), ddof=1) * 2**0.5)
    text = "\n".join(plan_lines(plan, 0.5, 2))
    assert f"{plan.planned(0)} are needed" in text


# What it writes


def test_reports_carry_the_verdicts(baseline: Baseline, folder: Path) -> None:
    outcome = gate(baseline, folder, PlantedRuns(with_revenue(-0.03)))
    text = "\n".join(gate_lines(outcome))
    assert "FAIL      revenue.total" in text
    assert "margin    no lower by 2 %" in text
    root = ElementTree.fromstring(gate_junit(outcome))
    suite = root.find("testsuite")
    assert suite is not None and (suite.get("tests"), suite.get("failures")) == ("3", "1")
    failure = suite.find("testcase[@name='revenue.total']/failure")
    assert failure is not None and failure.get("type") == "fail" and "shift" in (failure.text or "")
    page = gate_markdown(outcome)
    assert "| ❌ fail | market.yaml | revenue.total | " in page
    annotations = gate_annotations(outcome)
    assert [line.partition(" ")[0] for line in annotations] == ["::error", "::notice"]
    assert "title=revenue.total fail::market.yaml" in annotations[0]
    assert "%25" in annotations[0] and " %" not in annotations[0].replace("%25", "")
    json.dumps(outcome.as_json(), allow_nan=False)
    equal = gate(baseline, folder)
    assert gate_markdown(equal).startswith("### Market outcomes: identical")


def test_the_command_updates_checks_and_says_what_it_rewrites(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    words = ["check", "--update", "market.yaml", "--out", "held/by.json", "--workers", "1"]
    assert main(words) == 2
    assert "--metric: is missing" in capsys.readouterr().err
    assert main([*words, "--metric", "fill_rate:5%", "--reason", "first"]) == 0
    assert capsys.readouterr().out.strip() == "held/by.json: new baseline"
    first = Path("held/by.json").read_bytes()
    assert json.loads(first)["scenarios"][0]["path"] == "../market.yaml"
    assert main(["check", "held/by.json", "--workers", "1", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["check", "held/by.json", "--workers", "1", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "no shift passes in" in printed and "time        about" in printed
    assert main([*words, "--set", "take=0.4", "--metric", "fill_rate:5%", "--metric", "take:1%"]) == 0
    said = capsys.readouterr().out
    assert "settings none → take=0.4" in said
    assert "metric none → take:1%:no-lower" in said
    assert "runs have another fingerprint" in said
    kept = json.loads(Path("held/by.json").read_bytes())
    kept["scenarios"][0]["settings"] = ["take=0.2"]
    Path("held/by.json").write_text(json.dumps(kept))
    assert main(["check", "held/by.json", "--workers", "1", "--junit", "out/j.xml", "--markdown", "out/m.md", "--annotations"]) == 1
    printed = capsys.readouterr().out
    assert "FAIL      take" in printed and "::error file=held/by.json,title=take fail::" in printed
    assert "❌ fail" in Path("out/m.md").read_text() and ElementTree.parse("out/j.xml").getroot().tag == "testsuites"
    assert main(["check", "held/by.json", "--workers", "1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "fail"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nowhere.json"], "nowhere.json"),
        (["market.yaml"], "not JSON"),
        (["a.json", "b.json"], "one baseline at a time"),
        (["a.json", "--metric", "fill_rate"], "--update"),
        (["--update", "market.yaml", "--metric", "fill_rate"], "--out"),
        (["--update", "market.yaml", "--metric", "fil_rate", "--out", "x.json"], "--metric: `fil_rate`"),
        (["--update", "market.yaml", "--metric", "fill_rate", "--metric", "fill_rate:1%", "--out", "x.json"], "given twice"),
        (["--update", "gone.yaml", "--metric", "fill_rate", "--out", "x.json"], "gone.yaml"),
        (["--update", "market.yaml", "--metric", "fill_rate", "--out", "x.json", "--exact"], "--exact"),
        (["a.json", "--alpha", "0.7"], "--alpha"),
        (["a.json", "--budget", "soon"], "--budget"),
        (["selftest", "market.yaml"], "--fresh"),
        (["selftest", "--store", "x.json"], "--store"),
    ],
)
def test_bad_words_are_refused_before_the_first_run(
    words: list[str], reason: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["check", *words]) == 2
    assert reason in capsys.readouterr().err
    assert not (folder / "x.json").exists()


def test_an_update_tells_what_changes(baseline: Baseline) -> None:
    kept = json.loads(baseline_bytes(baseline))
    kept["versions"]["numpy"] = "1.0"
    kept["scenarios"][0]["runs"][0]["fingerprint"] = "other"
    kept["scenarios"][0]["runs"][0]["values"]["fill_rate"] = 0.0
    lines = "\n".join(changes(Baseline.model_validate(kept), baseline))
    assert "1 of " in lines and "runs have another fingerprint" in lines
    assert "fill_rate" in lines and "versions: numpy 1.0 →" in lines
    assert changes(baseline, baseline) == []


def test_the_plugin_loads_nothing_of_the_simulator() -> None:
    import sys

    code = (
        "import sys, marketsim.pytest_plugin\n"
        "heavy = {'numpy', 'numba', 'pandas', 'scipy', 'pydantic', 'simpy', 'ruamel.yaml'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
