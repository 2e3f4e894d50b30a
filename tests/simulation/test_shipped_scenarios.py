"""The shipped scenarios say what their descriptions promise."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from marketsim.metrics.calibration import calibration_targets
from marketsim.scenario import load_scenario
from marketsim.simulation import Run, run

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"


def played(name: str) -> Run:
    return run(load_scenario(SCENARIOS / f"{name}.yaml"))


@pytest.mark.parametrize("name", ["baseline", "training"])
def test_calibration_targets_are_met(name: str) -> None:
    scenario = load_scenario(SCENARIOS / f"{name}.yaml")
    assert scenario.calibration is not None
    targets = calibration_targets(run(scenario).summary, scenario.calibration.model_dump(exclude_none=True))
    assert len(targets) >= 6
    assert [target.name for target in targets if not target.met] == []


def test_training_has_the_dashboard_of_the_document() -> None:
    """47 of 50 leases, 1,234.56 uve a day, 2.3 s, 85 % filled, a few warnings; prices of the document's formula."""
    market = played("training")
    summary, record = market.summary, market.record
    trainee = record.leases["provider"] == 0
    assert record.providers["lease_capacity"].tolist() == [50, -1]
    assert 44 <= int((trainee & (record.leases["closed_at"] < 0)).sum()) <= 50
    days = summary["revenue"]["per_day_uve"]
    assert all(abs(day / 1234.56 - 1) < 0.15 for day in days)
    assert 1100 < summary["revenue"]["per_day_mean"] < 1370
    assert summary["price"]["mean_won_uve"] == pytest.approx(0.00182, rel=0.03)
    assert summary["bid_latency_seconds"]["mean"] == pytest.approx(2.3, abs=0.15)
    assert summary["fill_rate"] == pytest.approx(0.85, abs=0.03)
    assert 1 <= record.timeseries["warnings"][-1] <= 8
    won, lost, closed = (int(record.providers[name][0]) for name in ("won", "lost", "closed"))
    assert won / (won + lost + closed) == pytest.approx(0.78, abs=0.05)
    # the smallest order costs what the document's example does
    smallest = (record.orders["cpu"] == 1000) & (record.orders["memory"] == 2 << 30) & (record.orders["storage"] == 10 << 30)
    leases = record.orders["lease"][smallest & (record.orders["lease"] >= 0)]
    mine = leases[record.leases["provider"][leases] == 0]
    prices = {Decimal(int(record.leases["price_atto"][row])).scaleb(-18) for row in mine}
    assert prices == {Decimal("0.00143792")}


def test_a_lease_of_the_document_pays_less_than_a_coin_of_take() -> None:
    """2 % of under 50 uve is less than one: whole leases of this market pay no fee, as the formula says."""
    record = played("training").record
    small = record.leases["withdrawn"] < 50
    assert small.any()
    assert (record.leases["fees"][small] == 0).all()
    assert (record.leases["fees"] == record.leases["withdrawn"] * 2 // 100).all()


@pytest.mark.parametrize("name", ["virtengine", "akash"])
def test_the_other_rule_sets_run_and_differ_where_they_should(name: str) -> None:
    market = played(name)
    summary = market.summary
    assert summary["conserved"] is True
    assert 0.75 <= summary["fill_rate"] <= 0.95
    assert summary["leases"]["close_reasons"]["insufficient_funds"] > 10
    assert summary["leases"]["close_reasons"]["provider_closed"] > 10
    assert summary["orders"]["timed_out"] == 0  # no order timeout on these chains
    assert summary["orders"]["cancelled"] > 0
    assert int(summary["network_fees"]) > 0
    # prices are whole payments a block: what a lease got is whole uve a settlement, never more than its price
    blocks = np.where(market.record.leases["closed_at"] >= 0, market.record.leases["closed_at"], summary["blocks"])
    blocks = blocks - market.record.leases["created_at"]
    price = market.record.leases["price_whole"] + market.record.leases["price_atto"] / 1e18
    assert (market.record.leases["withdrawn"] <= price * blocks + 1e-6).all()
    assert (summary["take"] == "0") == (name == "akash")


def test_the_baselines_orders_have_the_sizes_of_published_templates() -> None:
    orders = played("baseline").record.orders
    first = orders["oseq"] == 1
    cores = orders["cpu"][first] / 1000
    assert np.median(cores) == pytest.approx(4, rel=0.15)
    assert np.percentile(cores, 90) == pytest.approx(24, rel=0.35)  # web orders are smaller than the templates' 32
    per_core = orders["memory"][first] / 2**30 / cores
    assert 0.99 <= np.percentile(per_core, 5) <= np.percentile(per_core, 95) <= 4.1
    assert 0.05 <= (orders["gpu"][first] > 0).mean() <= 0.15


def test_no_provider_wins_far_more_than_its_siblings_without_a_reason() -> None:
    """Over the cohorts of the baseline, who wins more is who draws the lower costs or stands in the emptier region."""
    market = played("baseline")
    providers = market.record.providers
    cohort, cost, won = (np.asarray(providers[name]) for name in ("cohort", "cost_ppm", "won"))
    community = cohort == 2
    assert np.corrcoef(cost[community], won[community])[0, 1] < -0.3
    for number in range(3):
        assert won[cohort == number].min() > 0
        assert won[cohort == number].max() < 6 * np.median(won[cohort == number])
