"""Orders that are made all at once are those that are made column by column, byte for byte, and those of the first block beside others
are what they are alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from marketsim.agents.streams import keys_from, listening
from marketsim.experiments.difference.draws import DrawBook
from marketsim.kernel.modes import COMPILING
from marketsim.market.tables import Call, Plan
from marketsim.scenario.load import load_scenario
from marketsim.scenario.model import Scenario
from marketsim.simulation import orders
from marketsim.simulation.orders import (
    CohortOrders,
    OrderPlace,
    OrderTables,
    arrived_orders,
    draw_orders,
    first_orders,
    orders_with_first,
    staged_orders,
)

SMALL = Path(__file__).resolve().parents[2] / "scenarios" / "small.yaml"
WHOLE = [
    "",
    "ceiling={share_of_value: {uniform: [0.5, 1]}}",
    "ceiling={share_of_value: {choice: [1, 1]}}",
    "ceiling={share_of_value: 0.7}",
    "ceiling={times_cost: {lognormal: {median: 1.1, sigma: 0.2}}}",
    "deposit={price_blocks: {uniform: [1000, 9000]}}",
    "deposit=25VE",
    "deposit={amount: {choice: [20VE, 30VE]}}",
    "order.gpu={choice: {values: [0, 1, 8], weights: [5, 2, 1]}}",
    "order.gpu_model={choice: [nvidia-a100, nvidia-h100]};order.gpu={choice: [0, 2]};order.region={choice: [eu-west, us-east]}",
    "order.region={choice: [eu-west, us-east]}",
    "order={cpu: 500..4000, memory: {choice: [512Mi, 3Gi]}, storage: {normal: {mean: 30Gi, sd: 2Gi}}}",
    "restart={probability: 0.4, delay: {exponential: {mean: 5m}}}",
    "restart={probability: 1}",
    "never_choose=0.2;patience=40 blocks",
    "top_up={when_blocks_left: 600, blocks: {lognormal: {median: 900, sigma: 1}}, times: 1..5, delay: {uniform: [0s, 10m]}}",
    "top_up={after_depletion: {delay: {exponential: {mean: 5m}}}, blocks: 50, probability: 0.5}",
    "duration={uniform: [20 blocks, 900 blocks]};terminate_after={choice: [1h, 3h]};deploy_delay={exponential: {mean: 2m}}",
    "duration={normal: {mean: 9h, sd: 1h}}",
    "utilization={choice: [0.25, 0.5]}",
]
"""Changes of a cohort of which no draw is cut."""
OTHERS = [
    "order.cpu={lognormal: {median: 4000, sigma: 4}}",
    "order.memory_per_core={lognormal: {median: 64Gi, sigma: 3}}",
    "duration={normal: {mean: 2h, sd: 2h}}",
    "utilization={normal: {mean: 0.5, sd: 0.5}}",
    "value={times_cost: {uniform: [0, 0.00001]}}",
    "value={times_cost: {uniform: [1, 1000000000]}}",
    "value={per_block: {uniform: [5uve, 90uve]}}",
    "ceiling={per_block: 30uve}",
    "utilization={choice: [0.5]}",
    "demand={arrivals: 0.001/h}",
]
"""Changes that are left to the columns, in part or in whole."""


def changed(cohort: str, change: str, *more: str) -> Scenario:
    return load_scenario(SMALL, (*(f"tenants.{cohort}.{part}" for part in change.split(";") if part), *more))


def assert_same(one: CohortOrders, other: CohortOrders) -> None:
    for name in ("calls", "plans", "drafts", "resources", "tenants", "value"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert one.asked == other.asked
    assert one.cuts.keys() == other.cuts.keys()
    for key, cut in one.cuts.items():
        assert cut[:2] == other.cuts[key][:2]
        assert cut.side.tolist() == other.cuts[key].side.tolist()


@pytest.mark.parametrize("change", [*WHOLE, *OTHERS])
@pytest.mark.parametrize("number", [0, 1])
def test_orders_made_at_once_are_those_made_column_by_column(number: int, change: str) -> None:
    scenario = changed(("web", "batch")[number], change)
    cohort = scenario.tenants[number]
    at_once = draw_orders(cohort, scenario, 3)
    with listening(DrawBook()):  # which is told of draws one by one
        by_column = draw_orders(cohort, scenario, 3)
    assert_same(at_once, by_column)


@pytest.mark.skipif(not COMPILING, reason="without the compiler all orders are made column by column")
@pytest.mark.parametrize("change", WHOLE)
def test_what_is_not_cut_is_made_at_once(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = changed("web", change)
    monkeypatch.setattr(orders, "_sizes", None)
    assert len(draw_orders(scenario.tenants[0], scenario, 3).calls) > 1000


@pytest.mark.parametrize("change", [*WHOLE, *OTHERS, "demand={arrivals_each: 0.7/h}", "demand={orders: 50}"])
def test_orders_of_the_first_block_beside_others_are_those_alone(change: str) -> None:
    scenario = changed("web", change)
    keys = keys_from(7, 200)
    arrived = arrived_orders(0, scenario, 3, None)
    assert arrived is not None
    room = OrderTables.of(len(arrived.times) + 300)
    room.plans[:] = room.calls[:, :1] = -7
    into = OrderPlace(room.rows(50, len(arrived.times)), 0, 0), OrderPlace(room.rows(60 + len(arrived.times), 200), 0, 0)
    later, first = orders_with_first(scenario.tenants[0], scenario, arrived, keys, into)
    assert first.plans[:, Plan.key].tolist() == keys.astype(np.int64).tolist()
    assert_same(later, staged_orders(0, scenario, 3))
    alone = first_orders(scenario.tenants[0], scenario, keys)
    assert set(alone.calls[:, Call.time].tolist()) == {scenario.block_ms}
    assert_same(first, alone)
    if first.calls is into[1].tables.calls:
        assert room.plans[50 : 50 + len(arrived.times)].tobytes() == later.plans.tobytes()
        between = [*range(50), *range(50 + len(arrived.times), 60 + len(arrived.times)), *range(260 + len(arrived.times), len(room.plans))]
        assert (room.plans[between] == -7).all()
        assert (room.calls[between, 0] == -7).all()
    else:
        assert not COMPILING or change in OTHERS
