"""Metrics over time: spans by hand from a record, bands over replications, tables, figures and refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marketsim.errors import InputError
from marketsim.experiments.runs.course import Span, course_of, unknown_course
from marketsim.experiments.runs.simulated import runner_for
from marketsim.experiments.sweep.session import carry_out, local_pool, read_plan
from marketsim.scenario import load_scenario
from marketsim.simulation import Run, run

HOUR = 600
SWEEP = """
name: courses
scenario: {scenario}
set: {{horizon: 12h, warm_up: 0h}}
factors:
  - {{name: demand, path: tenants.web.demand.arrivals, template: "{{}}/h", levels: [4, 12]}}
replications: 3
metrics: [utilization.cpu, price.p50, fill_rate]
series:
  - {{metric: leases.active, every: 3h}}
  - {{metric: fill_rate, every: 4h}}
"""
SCENARIO = Path(__file__).parents[2] / "scenarios" / "small.yaml"


@pytest.fixture(scope="module")
def made() -> Run:
    scenario = load_scenario(SCENARIO, ["horizon=26h", "warm_up=2h"])
    return run(scenario, seed=3)


def test_spans_by_hand(made: Run) -> None:
    record = made.record
    heights, active = record.timeseries["height"], record.timeseries["active_leases"]
    found = course_of(record, Span("leases.active", 6 * 3_600_000))
    assert found["hours"] == [6.0, 12.0, 18.0, 24.0], "the last two hours are no whole span"
    for k, value in enumerate(found["values"]):
        inside = (heights > 6 * k * HOUR) & (heights <= 6 * (k + 1) * HOUR)
        assert value == pytest.approx(active[inside].mean())
    orders = record.orders
    counted = (orders["relisted"] == 0) & (orders["decided"] == 1)
    rates = course_of(record, Span("fill_rate", 12 * 3_600_000))["values"]
    for k, rate in enumerate(rates):
        inside = counted & (orders["created_at"] > 12 * k * HOUR) & (orders["created_at"] <= 12 * (k + 1) * HOUR)
        assert rate == pytest.approx((orders["lease"][inside] >= 0).mean())
    leases = record.leases
    first = leases["created_at"] <= 12 * HOUR
    prices = course_of(record, Span("price.mean_won", 12 * 3_600_000))["values"]
    assert prices[0] == pytest.approx((leases["price_whole"] + leases["price_atto"] / 1e18)[first].mean())


def test_flows_add_up(made: Run) -> None:
    record = made.record
    for name, column in (("orders.created", "created"), ("revenue.total", "revenue_net"), ("bids.submitted", "submitted")):
        whole = course_of(record, Span(name, 26 * 3_600_000))["values"]
        parts = course_of(record, Span(name, 2 * 3_600_000))["values"]
        assert whole == [record.timeseries[column][-1]]
        assert sum(value or 0.0 for value in parts) == whole[0]
    cpu = course_of(record, Span("utilization.cpu", 24 * 3_600_000))["values"][0]
    assert cpu is not None
    assert 0 < cpu <= 1.5
    assert course_of(record, Span("utilization.gpu", 24 * 3_600_000))["values"] == [None], "nobody has GPUs"


def test_a_sweep_shows_its_series_and_its_own_metrics_first(tmp_path: Path) -> None:
    file = tmp_path / "courses.yaml"
    file.write_text(SWEEP.format(scenario=SCENARIO))
    plan = read_plan(file)
    result, content = carry_out(plan, tmp_path / "out", local_pool(plan, runner_for(plan.sweep.recorded, plan.sweep.spans), 1))
    folder = tmp_path / "out"
    assert content["series"] == ["leases.active every 3 h", "fill_rate every 4 h"]
    import pandas as pd

    table = pd.read_csv(folder / "series.csv")
    assert (pd.read_parquet(folder / "series.parquet")["series"] == table["series"]).all()
    active = table[(table["series"] == "leases.active every 3 h") & (table["point"] == 1)]
    assert active["hour"].tolist() == [3.0, 6.0, 9.0, 12.0]
    assert set(active["demand"]) == {12.0}
    runs = [json.loads(path.read_bytes()) for path in sorted((folder / "runs").glob("*.json"))]
    of_point = [r["series"]["leases.active every 3 h"]["values"] for r in runs if r["fingerprint"] in prints(result, 1)]
    assert active["mean"].to_numpy() == pytest.approx(np.mean(of_point, axis=0))
    assert (active["t_low"] < active["mean"]).all()
    names = {path.name for path in (folder / "figures").iterdir()}
    assert {"series_leases_active_3h.png", "series_fill_rate_4h.png", "factor_demand_1.png", "factor_demand_3.png"} <= names
    page = (folder / "report.html").read_text()
    assert page.index("<h3>What demand does") < page.index("<h3>Active leases over time")
    headline = page[page.index('class="headline"') : page.index("<h2>Figures")]
    assert headline.index("cpu utilization") < headline.index("winning price, median")
    head = page[page.index("<h2>Design points") :]
    assert (
        head.index("cpu utilization")
        < head.index("winning price, median")
        < head.index("fill rate")
        < head.index("provider revenue per day")
    )
    assert "percentage points" in page


@pytest.mark.filterwarnings("error:Data has no positive values")
def test_a_metric_that_never_varies_is_drawn_without_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "courses.yaml"
    text = SWEEP.format(scenario=SCENARIO).partition("series:")[0].replace("12h", "3h").replace("[4, 12]", "[4, 5]")
    file.write_text(text.replace("[utilization.cpu, price.p50, fill_rate]", "[bids.rejected.duplicate_bid]"))
    plan = read_plan(file)
    carry_out(plan, tmp_path / "out", local_pool(plan, runner_for(plan.sweep.recorded, plan.sweep.spans), 1))
    assert list((tmp_path / "out" / "figures").glob("convergence*"))


def prints(result: Any, point: int) -> set[str]:
    return {row.fingerprint for row in result.rows if row.point == point}


@pytest.mark.parametrize(
    ("series", "words"),
    [
        ("[{metric: escrow.held}]", "series.0.metric: `escrow.held` has no course over time"),
        ("[{metric: fill_rate, every: 10m}]", "3600"),
        ("[fill_rate, {metric: fill_rate, every: 6h}]", "listed twice"),
    ],
)
def test_series_that_make_no_sense_are_refused(tmp_path: Path, series: str, words: str) -> None:
    file = tmp_path / "courses.yaml"
    head = SWEEP[: SWEEP.index("series:")].format(scenario=SCENARIO)
    file.write_text(f"{head}series: {series}\n")
    with pytest.raises(InputError) as error:
        read_plan(file)
    assert words in "\n".join(error.value.lines)


def test_every_course_is_known() -> None:
    assert unknown_course("leases.active") is None
    assert "leases.active would be accepted" in (unknown_course("leases.activ") or "") or "leases.active" in (
        unknown_course("leases.activ") or ""
    )
