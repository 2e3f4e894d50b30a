"""A tenant's home region is weighed, never required: who bids stays, who wins moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from marketsim.errors import InputError
from marketsim.scenario.load import scenario_from_mapping
from marketsim.simulation import Run, run


def market(weight: float, home: Any, tenants: int = 6, **cohort: Any) -> dict[str, Any]:
    """Two regions with equal providers, east a tenth dearer; tenants look at the price and, by `weight`, at where a provider is."""
    engine = {"pricing": {"cpu_millicores": "0.004uve", "memory_mb": "0.001uve", "storage_mb": "0.0001uve"}}
    capacity = {"cpu": 640_000, "memory": "2Ti", "storage": "40Ti"}
    providers = [
        {"name": "west", "count": 2, "config": {"bid_engine": {**engine, "min_profit_margin": 0}}, "regions": ["west"]},
        {"name": "east", "count": 2, "config": {"bid_engine": {**engine, "min_profit_margin": 10}}, "attributes": {"region": "east"}},
    ]
    web = {
        "name": "web",
        "count": tenants,
        "demand": {"orders": 120},
        "order": {"cpu": 1000, "memory": "1Gi", "storage": "10Gi"},
        "ceiling": "50uve",
        "duration": "50 blocks",
        "deposit": "5000uve",
        "choice": {"score": {"price": 1, "region": weight}},
        "home_region": home,
    }
    return {
        "horizon": "1200 blocks",
        "deployment_min_deposit": "1uve",
        "bid_min_deposit": "1uve",
        "tenants": [web | cohort],
        "providers": [{**provider, "capacity": capacity, "latency": "1s"} for provider in providers],
    }


def played(mapping: dict[str, Any]) -> Run:
    return run(scenario_from_mapping(mapping))


def regions_by_tenant(result: Run) -> dict[int, set[str]]:
    leases, orders, providers = result.record.leases, result.record.orders, result.record.providers
    found: dict[int, set[str]] = {}
    for order, provider in zip(leases["order"], leases["provider"], strict=True):
        found.setdefault(int(orders["tenant"][order]), set()).add(providers["name"][provider].partition("-")[0])
    return found


def test_a_weight_above_the_difference_in_price_keeps_every_tenant_at_home() -> None:
    mixed = {"choice": {"values": ["east", "west", None]}}
    without, with_it = played(market(0, mixed)), played(market(0.2, mixed))
    assert set().union(*regions_by_tenant(without).values()) == {"west"}
    homes = regions_by_tenant(with_it)
    assert all(len(where) == 1 for where in homes.values()), "a tenant has one home"
    assert set().union(*homes.values()) == {"east", "west"}
    assert with_it.summary["bids"]["submitted"] == without.summary["bids"]["submitted"]


def test_a_weight_below_the_difference_in_price_changes_nothing() -> None:
    small, none = played(market(0.05, "east")), played(market(0, "east"))
    assert small.summary["fingerprint"] == none.summary["fingerprint"]


def test_a_home_where_nobody_is_is_nobodys() -> None:
    far, none = played(market(5, "mars")), played(market(0, "east"))
    assert far.summary["fingerprint"] == none.summary["fingerprint"]


def test_one_tenant_more_moves_no_home() -> None:
    from marketsim.simulation.build import home_regions

    mixed = {"choice": {"values": ["east", "west", None], "weights": [1, 2, 1]}}
    few, many = (home_regions(scenario_from_mapping(market(1, mixed, tenants)), 7) for tenants in (50, 51))
    assert np.array_equal(few, many[:50]) and set(few.tolist()) == {-1, 1, 2}


@pytest.mark.parametrize(
    ("cohort", "told"),
    [
        ({"home_region": None}, "choice: score.region prefers a tenant's home_region, and there is none"),
        ({"choice": "lowest_price"}, "choice: does not look at home_region"),
        ({"choice": {"random_among_cheapest": 2}}, "choice: does not look at home_region"),
    ],
)
def test_a_home_and_its_weight_stand_together(cohort: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=f"tenants.web.{told}"):
        scenario_from_mapping(market(1, "east", **cohort))
