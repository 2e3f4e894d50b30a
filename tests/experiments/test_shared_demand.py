"""Design points that differ in their providers alone share the orders of a seed: nobody's figures show it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsim.experiments.runs import simulated
from marketsim.experiments.runs.chance import _ascending
from marketsim.experiments.runs.execute import summary_bytes
from marketsim.experiments.runs.simulated import Simulated
from marketsim.scenario.load import load_scenario
from marketsim.simulation import orders, shared_orders

SMALL = Path(__file__).parents[2] / "scenarios" / "small.yaml"
CHANGES: dict[str, Any] = {"horizon": "1d", "warm_up": "6h"}


def point(**changes: Any) -> dict[str, Any]:
    return load_scenario(SMALL).replace({**CHANGES, **changes}).effective()


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "_SCENARIOS", {})
    monkeypatch.setattr(simulated, "_DEMANDS", {})
    monkeypatch.setattr(shared_orders, "_KEPT", shared_orders._Kept())


def test_a_point_comes_out_the_same_after_others(monkeypatch: pytest.MonkeyPatch) -> None:
    dear = {"providers.large.config.bid_engine.min_profit_margin": 45}
    busy = {"tenants.web.demand.arrivals": "28/h"}
    points = [point(), point(**dear), point(**busy), point(**busy, **dear), point(initial=0.2)]
    alone = []
    for one in points:
        forget(monkeypatch)
        alone.append(summary_bytes(Simulated()(one, str(SMALL.parent), 3)))
    assert len(set(alone)) == len(points)
    forget(monkeypatch)
    drawn: list[int] = []
    whole = orders.arrivals_of
    monkeypatch.setattr(orders, "arrivals_of", lambda *given: drawn.append(1) or whole(*given))
    together = [summary_bytes(Simulated()(one, str(SMALL.parent), 3)) for one in points]
    assert together == alone
    assert len(drawn) == 2 * 3, "two cohorts, three demands"
    again = [summary_bytes(Simulated()(one, str(SMALL.parent), 3)) for one in reversed(points)]
    assert again[::-1] == alone
    assert len(drawn) == 2 * 3


def test_another_seed_is_another_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)
    one, other = (Simulated()(point(), str(SMALL.parent), seed) for seed in (3, 4))
    assert one["demand"] != other["demand"]
    assert one["orders"]["created"] != other["orders"]["created"]


def test_what_a_file_or_code_decides_is_not_shared() -> None:
    tiny = load_scenario(SMALL.parent / "tiny.yaml")
    assert any(cohort.demand.trace is not None for cohort in tiny.tenants)
    assert simulated._name_of_demand(tiny) is None
    assert simulated._name_of_demand(load_scenario(SMALL)) is not None


def test_shared_orders_cannot_be_written_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)
    scenario = load_scenario(SMALL).replace(CHANGES)
    made: list[int] = []

    def drawn(seed: int) -> orders.CohortOrders:
        made.append(seed)
        return orders.draw_orders(scenario.tenants[0], scenario, seed)

    size = shared_orders._bytes_of(orders.draw_orders(scenario.tenants[0], scenario, 1))
    monkeypatch.setattr(shared_orders, "KEPT_BYTES", 3 * size)
    with shared_orders.sharing("small"):
        first = shared_orders.shared(0, 1, lambda: drawn(1))
        with pytest.raises(ValueError, match="read-only"):
            first.plans[0, 0] = 1
        for seed in (1, 2, 3, 4, 5):
            shared_orders.shared(0, seed, lambda seed=seed: drawn(seed))
        assert made == [1, 2, 3, 4, 5]
        shared_orders.shared(0, 1, lambda: drawn(1))
    assert made == [1, 2, 3, 4, 5, 1]
    shared_orders.shared(0, 1, lambda: drawn(1))
    assert made[-2:] == [1, 1], "nothing is kept where nothing is shared"


@given(st.lists(st.one_of(st.integers(1, 9), st.integers(1, 2**40), st.just(10**15)), max_size=300))
def test_ascending_is_a_stable_sort(blocks: list[int]) -> None:
    values = np.asarray(blocks, np.float64)
    assert _ascending(values).tolist() == np.argsort(values, kind="stable").tolist()
