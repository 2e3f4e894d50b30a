"""Welfare of recorded runs: parts by hand on markets where every figure is known."""

from typing import Any

import pytest

from marketsim.bench.theory_markets import Planted, cohort_of, constant, market_of, provider_of
from marketsim.experiments.runs.simulated import Simulated, runner_for
from marketsim.experiments.runs.welfare import welfare_of
from marketsim.metrics.summary import summarize
from marketsim.scenario import scenario_from_mapping
from marketsim.simulation import run


def market(rooms: int, **changes: Any) -> dict[str, Any]:
    """Thirty orders at 10 uve a block, worth 25, of 100 blocks each, for a provider with room for some."""
    cohort = cohort_of(Planted(), "web", 1.0, constant(100))
    cohort |= {"demand": {"orders": 30}, "value": "25uve"} | changes.pop("cohort", {})
    provider = provider_of(Planted(), "p", cpu=rooms * 1000) | changes.pop("provider", {})
    return market_of(blocks=600, cohorts=[cohort], providers=[provider], **changes)


def welfare(mapping: dict[str, Any], seed: int = 1) -> tuple[dict[str, Any], Any]:
    scenario = scenario_from_mapping(mapping)
    found = run(scenario, seed=seed)
    return welfare_of(scenario, seed, found.record), found.record


def test_a_market_with_room_for_all() -> None:
    found, record = welfare(market(1000, take=0.02))
    leases = record.leases
    blocks = (leases["closed_at"] - leases["created_at"])[leases["closed_at"] >= 0].sum()
    alive = (record.blocks - leases["created_at"])[leases["closed_at"] < 0].sum()
    assert alive > 0, "leases that go on"
    assert leases["withdrawn"].sum() == 10 * blocks
    earned = leases["earned_whole"].sum()
    assert earned == 10 * (blocks + alive)
    assert record.totals["accrued"] == 98 * 10**17 * int(alive)
    assert found["protocol_take_uve"] == leases["fees"].sum()
    assert found["tenant_surplus_uve"] == pytest.approx(15 * (blocks + alive))
    assert found["provider_profit_uve"] == pytest.approx(earned - leases["fees"].sum() - 10 * (blocks + alive))
    assert found["total_uve"] == pytest.approx(15 * (blocks + alive))
    assert found["efficiency"] == pytest.approx(1.0)
    assert found["efficiency_gap"] == pytest.approx(0.0, abs=1e-6)
    assert (found["hhi"], found["gini"]) == (1.0, 0.0)
    assert found["price_dispersion"] == pytest.approx(0.0)
    assert found["unserved_percent"] == {}


@pytest.mark.parametrize("rules", ["seed", "virtengine"])
def test_welfare_revenue_and_take_cover_the_same_window(rules: str) -> None:
    """Two halves of a run are the whole: what is settled and accrued in them, and every part of the surplus."""

    def part(*overrides: str) -> tuple[dict[str, Any], Any]:
        scenario = scenario_from_mapping(market(1000, take=0.02, rules=rules), overrides=overrides)
        found = run(scenario, seed=1)
        return welfare_of(scenario, 1, found.record), found.record

    whole, record = part()
    late, later = part("warm_up=300 blocks")
    early, first = part("horizon=300 blocks")
    summary = summarize(later)
    assert late["protocol_take_uve"] == summary["take_uve"] > 0
    assert summarize(record)["take_uve"] == summary["take_uve"] + summarize(first)["take_uve"]
    for name in ("tenant_surplus_uve", "total_uve"):
        assert late[name] + early[name] == pytest.approx(whole[name])
        assert 0 < late[name] < whole[name]
    gross = later.leases["earned_whole"].sum() - later.leases["earned_before_whole"].sum()
    blocks = sum(
        max(0, (end if end >= 0 else later.blocks) - max(begun, 300))
        for begun, end in zip(later.leases["created_at"].tolist(), later.leases["closed_at"].tolist(), strict=True)
    )
    assert gross == 10 * blocks
    begun = len(first.leases["order"])
    assert 0 < begun < len(later.leases["order"])
    for before, then in (("earned_before_whole", "earned_whole"), ("earned_before_atto", "earned_atto"), ("fees_before", "fees")):
        assert later.leases[before][:begun].tolist() == first.leases[then].tolist()
        assert not later.leases[before][begun:].any()


def test_a_full_market_is_below_its_optimum() -> None:
    found, record = welfare(market(3))
    assert 0 < found["efficiency"] <= 1 + 1e-9
    assert found["efficiency_low"] <= found["efficiency"]
    assert found["unserved_percent"] == {"no_capacity": 100.0}
    assert (record.orders["lease"] < 0).any()


def test_a_cheaper_provider_makes_more_of_the_same_price() -> None:
    dear, _ = welfare(market(1000))
    cheap, _ = welfare(market(1000, provider={"cost_share": 0.5}))
    assert cheap["tenant_surplus_uve"] == dear["tenant_surplus_uve"]
    assert cheap["provider_profit_uve"] > dear["provider_profit_uve"]
    assert cheap["total_uve"] == pytest.approx(dear["total_uve"] * 20 / 15)


def test_the_runner_adds_welfare_only_where_it_is_asked_for() -> None:
    assert runner_for(["revenue.total"]) == Simulated()
    assert runner_for(["fill_rate", "welfare.gini"]) == Simulated(welfare=True)
    assert runner_for(["welfare.efficiency_low"]) == Simulated(welfare=True, hindsight=True)
    mapping = market(1000)
    plain, rich = Simulated()(mapping, ".", 3), Simulated(welfare=True)(mapping, ".", 3)
    gains = rich.pop("welfare")
    assert gains["tenant_surplus_uve"] > 0
    assert gains["efficiency"] is None, "the optimum is looked for only where a metric needs it"
    assert Simulated(welfare=True, hindsight=True)(mapping, ".", 3)["welfare"]["efficiency"] == pytest.approx(1.0)
    assert rich == plain
