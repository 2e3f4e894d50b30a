"""What a run holds in memory: no table of a reference market grows while it runs, and a record outlives the tables it came from."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marketsim.agents.reference_market import draw
from marketsim.market.clock import BlockClock
from marketsim.scenario.load import load_scenario, scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.simulation import live
from marketsim.simulation.collect import Collector
from marketsim.simulation.reference import ORDER_LIFE, market_of, most_waiting
from marketsim.simulation.run import play, prepare, run

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
A_ROW_AN_ORDER = ("deployments", "groups", "resources", "drafts", "orders", "leases", "accounts", "deposits")


def reference(orders: int, blocks: int, **switches: str) -> Scenario:
    market = {"generator": "rm1", "orders": orders, "providers": 20, "tenants": 50, "agents": "batch"}
    every = {"settle_every": "100 blocks", "grace": "100 blocks", "order_timeout": "11 blocks"}
    plain = {"horizon": f"{blocks} blocks", "charging": "rate", "take": 0, "reserve": "at_acceptance", "network_fees": False}
    free = {"bid_min_deposit": "0uve", "deployment_min_deposit": "0uve"}
    return scenario_from_mapping({"name": "rm1", "market": market} | every | plain | free | switches, Path())


@pytest.mark.parametrize(("orders", "blocks"), [(3_000, 30_000), (2_000, 40)])
def test_no_table_with_a_row_an_order_grows_while_the_reference_market_runs(orders: int, blocks: int) -> None:
    scenario = reference(orders, blocks)
    market = prepare(scenario, 1)
    before = {name: len(getattr(market.chain, name)) for name in A_ROW_AN_ORDER}
    clock, _ = play(scenario, market, 1)
    assert {name: len(getattr(clock.chain, name)) for name in A_ROW_AN_ORDER} == before
    assert clock.chain.globals.orders == orders


def test_the_most_orders_that_wait_at_once_are_counted() -> None:
    draws = draw(1, orders=6, providers=1, tenants=1, blocks=100)
    at = np.array([1, 5, 6, 17, 18, 40])
    assert ORDER_LIFE == 12
    assert most_waiting(draws._replace(created_at=at)) == 3  # 5, 6 and 17, or 6, 17 and 18
    assert most_waiting(draws._replace(created_at=np.full(6, 9))) == 6
    assert most_waiting(draws._replace(created_at=np.zeros(0, np.int64))) == 0


def test_the_record_has_columns_of_its_own() -> None:
    """A view would keep whole tables of the chain for one column of them; the columns of one table may lie side by side."""
    record = run(reference(400, 4_000, record="orders")).record
    for table in (record.orders, record.leases):
        rows = len(next(iter(table.values())))
        for name, column in table.items():
            owner = column if column.base is None else column.base
            assert owner.shape[-1] == rows and owner.size <= rows * len(table), name


@pytest.mark.parametrize("name", ["tiny", "small", "baseline", "training", "ve-settlement"])
def test_the_tables_of_a_run_are_gone_before_it_is_summed_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: the collector of garbage comes late, and a sweep's next run would take fresh pages."""
    scenario = load_scenario(SCENARIOS / f"{name}.yaml", () if name == "tiny" else ("horizon=2d", "warm_up=6h"))
    run(scenario)  # whatever has to be compiled is then: the compiler leaves circles through what it was called with
    tables: list[weakref.ref[np.ndarray]] = []
    record, summarized = Collector.record, live.summarize

    def recorded(collector: Collector, clock: BlockClock, *given: Any) -> Any:
        found = record(collector, clock, *given)
        tables.extend(map(weakref.ref, (clock.chain.orders, clock.chain.accounts, clock.engine.plans, clock.engine.calendar)))
        assert all(table() is not None for table in tables)
        return found

    def summarize(found: Any) -> Any:
        assert [table() is None for table in tables] == [True] * 4
        return summarized(found)

    monkeypatch.setattr(Collector, "record", recorded)
    monkeypatch.setattr(live, "summarize", summarize)
    gc.disable()
    try:
        assert run(scenario).summary["orders"]["created"] > 0
    finally:
        gc.enable()


def test_market_of_keeps_no_draws() -> None:
    draws = draw(1, orders=5, providers=2, tenants=2, blocks=100)
    market = market_of(draws, reference(5, 100), 1)
    held = {id(table) for table in (*market.chain, *market.engine, *market.calls)}
    assert not held & {id(column) for column in draws}
