"""Welfare of recorded runs: parts by hand on markets where every figure is known."""

from typing import Any

import pytest

from marketsim.bench.theory_markets import Planted, cohort_of, constant, market_of, provider_of
from marketsim.experiments.runs.simulated import Simulated, runner_for
from marketsim.experiments.runs.welfare import welfare_of
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
    paid = int(leases["withdrawn"].sum())
    assert paid == 10 * blocks
    assert found["protocol_take_uve"] == leases["fees"].sum()
    alive = (record.blocks - leases["created_at"])[leases["closed_at"] < 0].sum()
    assert found["tenant_surplus_uve"] == pytest.approx(25 * (blocks + alive) - paid)
    assert found["provider_profit_uve"] == pytest.approx(paid - leases["fees"].sum() - 10 * (blocks + alive))
    assert found["total_uve"] == pytest.approx(15 * (blocks + alive))
    assert found["efficiency"] == pytest.approx(1.0)
    assert found["efficiency_gap"] == pytest.approx(0.0, abs=1e-6)
    assert (found["hhi"], found["gini"]) == (1.0, 0.0)
    assert found["price_dispersion"] == pytest.approx(0.0)
    assert found["unserved_percent"] == {}


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
