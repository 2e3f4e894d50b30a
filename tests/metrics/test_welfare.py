"""Welfare figures by hand, and the hindsight optimum against brute force."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsim.metrics.welfare import cost_per_block, efficiency, gini, herfindahl, price_dispersion, surplus, unserved_shares


def test_concentration_by_hand() -> None:
    assert herfindahl([50, 30, 20]) == pytest.approx(0.38)
    assert herfindahl([1, 1, 1, 1]) == pytest.approx(0.25)
    assert herfindahl([7, 0, 0]) == 1
    assert gini([1, 1, 1, 1]) == pytest.approx(0)
    assert gini([0, 0, 0, 8]) == pytest.approx(0.75)
    assert gini([1, 2, 3, 4]) == pytest.approx(0.25)
    assert math.isnan(gini([0, 0]))
    assert math.isnan(herfindahl([]))


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=30))
def test_gini_is_half_the_relative_mean_difference(amounts: list[float]) -> None:
    x = np.array(amounts)
    if x.sum() < 1e-6:
        return
    by_definition = np.abs(x[:, None] - x[None, :]).sum() / (2 * x.size**2 * x.mean())
    assert gini(x) == pytest.approx(by_definition, abs=1e-9)


def test_price_dispersion_knows_size_from_price() -> None:
    sizes = np.array([1.0, 10.0, 100.0])
    assert price_dispersion(2 * sizes, sizes) == pytest.approx(0)
    assert price_dispersion(2 * sizes) > 1
    assert math.isnan(price_dispersion([1.0]))


@given(st.dictionaries(st.sampled_from(["price", "capacity", "region", "timeout", "gpu", "funds"]), st.integers(0, 9999)))
def test_unserved_shares_add_to_one_hundred(counts: dict[str, int]) -> None:
    found = unserved_shares(counts)
    total = sum(counts.values())
    if total == 0:
        assert found.percent == {}
        return
    assert sum(round(10 * part) for part in found.percent.values()) == 1000
    for reason, part in found.percent.items():
        assert abs(part - 100 * counts[reason] / total) < 0.1


def test_thirds_print_as_one_hundred() -> None:
    assert unserved_shares({"a": 1, "b": 1, "c": 1}).percent == {"a": 33.4, "b": 33.3, "c": 33.3}


def test_surplus_parts_add_up() -> None:
    found = surplus(
        value=np.array([3.0, 2.0]),
        blocks=np.array([10.0, 5.0]),
        paid=np.array([20.0, 8.0]),
        cost=np.array([1.0, 1.5]),
        fees=np.array([0.4, 0.16]),
    )
    assert found.tenants == pytest.approx(30 + 10 - 28)
    assert found.protocol == pytest.approx(0.56)
    assert found.providers == pytest.approx(28 - 0.56 - 17.5)
    assert found.total == pytest.approx(40 - 17.5)


def test_cost_share_is_per_provider() -> None:
    costs = cost_per_block(np.array([[1.0, 2.0]]), np.array([[10.0, 1.0], [5.0, 5.0]]), np.array([1.0, 0.5]))
    assert costs.tolist() == [[12.0, 7.5]]


def market(rng: np.random.Generator, orders: int, providers: int) -> dict[str, np.ndarray]:
    start = rng.integers(0, 30, orders)
    resources = rng.integers(1, 5, (orders, 2)).astype(float)
    unit = rng.uniform(0.5, 1.5, (providers, 2))
    return {
        "value": resources.sum(axis=1) * rng.uniform(0.5, 2.5, orders),
        "start": start,
        "end": start + rng.integers(1, 15, orders),
        "resources": resources,
        "winner": np.full(orders, -1),
        "capacity": rng.integers(4, 8, (providers, 2)).astype(float),
        "cost": cost_per_block(resources, unit),
    }


def feasible(case: dict[str, np.ndarray], winners: tuple[int, ...]) -> bool:
    chosen = np.array(winners)
    for block in range(int(case["end"].max())):
        alive = (case["start"] <= block) & (case["end"] > block)
        for provider, capacity in enumerate(case["capacity"]):
            if (case["resources"][alive & (chosen == provider)].sum(axis=0) > capacity).any():
                return False
    return True


def gains(case: dict[str, np.ndarray], winners: tuple[int, ...]) -> float:
    return sum((case["value"][o] - case["cost"][o, w]) * (case["end"][o] - case["start"][o]) for o, w in enumerate(winners) if w >= 0)


@pytest.mark.parametrize("seed", range(6))
def test_optimum_equals_brute_force(seed: int) -> None:
    case = market(np.random.default_rng(seed), orders=6, providers=2)
    best = max(gains(case, w) for w in itertools.product((-1, 0, 1), repeat=6) if feasible(case, w))
    found = efficiency(**case)
    assert found.optimum == pytest.approx(best)
    assert found.gap < 1e-6
    assert feasible(case, found.winners)
    assert gains(case, found.winners) == pytest.approx(found.optimum)


def test_realised_surplus_is_what_the_winners_made() -> None:
    case = market(np.random.default_rng(20), orders=6, providers=2)
    perfect = efficiency(**case)
    case["winner"] = np.array(perfect.winners)
    assert efficiency(**case).efficiency == pytest.approx(1)
    half = efficiency(**case, served_blocks=(case["end"] - case["start"]) / 2)
    assert half.efficiency == pytest.approx(0.5)


def test_eligibility_and_hopeless_markets() -> None:
    case = market(np.random.default_rng(21), orders=5, providers=2)
    nobody = efficiency(**case, eligible=np.zeros((5, 2), bool))
    assert nobody.optimum == 0
    assert nobody.efficiency == 1
    only_first = efficiency(**case, eligible=np.array([[True, False]] * 5))
    assert set(only_first.winners) <= {-1, 0}


def test_the_largest_market_is_solved_with_its_gap() -> None:
    rng = np.random.default_rng(22)
    case = market(rng, orders=300, providers=20)
    begun = time.perf_counter()
    found = efficiency(**case)
    assert time.perf_counter() - begun < 60
    assert 0 <= found.gap < 0.15
    assert found.bound >= found.optimum
    assert feasible(case, found.winners)
    with pytest.raises(ValueError, match="at most 300 × 20"):
        efficiency(**market(rng, orders=301, providers=2))
