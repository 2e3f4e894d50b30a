"""Values that change while a run goes on: what was before stays, what comes after is as if it had always been so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_market import ENGINE, play, provider, tenant

from marketsim import InputError
from marketsim.scenario import Scenario, load_scenario, scenario_from_mapping
from marketsim.simulation import Run, run
from marketsim.simulation.live import LiveMarket

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
AT = "600 blocks"


def small(**keys: Any) -> Scenario:
    mapping = load_scenario(SCENARIOS / "small.yaml", ["horizon=2h", "warm_up=0s"]).effective()
    for path, value in keys.items():
        *above, last = path.split("__")
        data: Any = mapping
        for key in above:
            data = data[int(key)] if key.isdigit() else data[key]
        data[last] = value
    return scenario_from_mapping(mapping, SCENARIOS)


def then(first: Any, later: Any, at: str = AT) -> list[dict[str, Any]]:
    return [{"value": first}, {"at": at, "value": later}]


def drawn(scenario: Scenario) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.asarray(column) for name, column in run(scenario).record.orders.items()}


@pytest.mark.parametrize(
    ("key", "first", "later", "params"),
    [("take", "0.02", "0.5", {"take_percent": 50}), ("order_timeout", "100 blocks", "30 blocks", {"order_timeout": 30})],
)
def test_a_parameter_of_the_chain_changes_as_by_governance(key: str, first: str, later: str, params: dict[str, int]) -> None:
    governed = run(small(governance=[{"height": 600, "op": "set_params", "params": params}]), audit=True)
    scheduled = run(small(**{key: then(first, later)}), audit=True)
    assert scheduled.summary["fingerprint"] == governed.summary["fingerprint"] != run(small()).summary["fingerprint"]
    assert scheduled.summary["messages"] == governed.summary["messages"]


def test_a_change_to_what_holds_already_changes_nothing() -> None:
    same = small(take=then("0.02", "0.02"), bid_window=then("10 blocks", "10 blocks"), tenants__0__demand__arrivals=then("20/h", "20/h"))
    assert run(same).summary["fingerprint"] == run(small()).summary["fingerprint"]


def test_orders_are_those_of_the_rate_at_their_time() -> None:
    low, high, changed = (drawn(small(tenants__0__demand__arrivals=rate)) for rate in ("20/h", "80/h", then("20/h", "80/h")))
    for plain, mine in ((low, lambda at: at < 600), (high, lambda at: at > 600)):
        kept, expected = mine(changed["created_at"]), mine(plain["created_at"])
        assert kept.any()
        first = changed["oseq"] == 1
        for name in ("created_at", "cpu", "ceiling_whole", "ceiling_atto", "value_whole"):
            assert sorted(changed[name][kept & first]) == sorted(plain[name][expected & (plain["oseq"] == 1)])


def test_values_and_uses_are_those_of_the_time_of_the_order() -> None:
    dear, cheap = {"times_cost": 4}, {"times_cost": 0.5}
    changed, before, after = (drawn(small(tenants__0__value=value)) for value in (then(dear, cheap), dear, cheap))
    early = changed["created_at"] < 600
    assert (changed["value_whole"][early] == before["value_whole"][: early.sum()]).all()
    late = changed["value_whole"][changed["created_at"] > 600].sum()
    assert late < 0.9 * before["value_whole"][before["created_at"] > 600].sum()
    assert late <= 1.1 * after["value_whole"][after["created_at"] > 600].sum()
    used = run(small(tenants__0__utilization=then(1, 0.01, "60 blocks"), charging="usage")).summary["escrow"]["paid"]
    assert int(run(small(tenants__0__utilization=0.01, charging="usage")).summary["escrow"]["paid"]) < int(used)
    assert int(used) < int(run(small(tenants__0__utilization=1, charging="usage")).summary["escrow"]["paid"])


def hand(folder: Path, desk: dict[str, Any], blocks: list[int], **more: Any) -> Run:
    return play(folder, [tenant(folder, "a", blocks)], [desk], **more)


def prices(result: Run) -> list[int]:
    found: list[int] = result.record.leases["price_whole"].tolist()
    return found


def changed(**engine: Any) -> dict[str, Any]:
    desk = provider()
    desk["config"]["changes"] = [{"at": "200 blocks", "bid_engine": engine}]
    return desk


def test_prices_and_margins_of_a_file_change_for_bids_made_after(tmp_path: Path) -> None:
    assert prices(hand(tmp_path, provider(), [10, 190, 300])) == [1, 1, 1]
    assert prices(hand(tmp_path, changed(pricing={"cpu_millicores": "0.003uve"}), [10, 190, 300])) == [1, 1, 3]
    assert prices(hand(tmp_path, changed(min_profit_margin=100), [10, 190, 300])) == [1, 1, 2]
    assert prices(hand(tmp_path, changed(enabled=False), [10, 190, 300])) == [1, 1]
    both = changed(min_profit_margin=100)
    both["config"]["changes"].append({"at": "250 blocks", "bid_engine": {"pricing": {"cpu_millicores": "0.002uve"}}})
    assert prices(hand(tmp_path, both, [10, 220, 300])) == [1, 2, 4]
    scheduled = provider()
    scheduled["config"]["bid_engine"] = ENGINE | {
        "pricing": ENGINE["pricing"] | {"cpu_millicores": then("0.001uve", "0.004uve", "200 blocks")},
        "min_profit_margin": then(0, 25, "250 blocks"),
    }
    assert prices(hand(tmp_path, scheduled, [10, 220, 300])) == [1, 4, 5]


def test_filters_and_capacity_change_for_orders_that_come_after(tmp_path: Path) -> None:
    desk = provider()
    desk["config"]["changes"] = [{"at": "200 blocks", "filters": {"max_cpu": 500}}]
    assert len(prices(hand(tmp_path, desk, [10, 190, 300]))) == 2
    desk["config"]["changes"] = [{"at": "200 blocks", "filters": {"excluded_attributes": ["tier=gold"]}}]
    gold = tenant(tmp_path, "a", [10, 300])
    gold["order"] |= {"attributes": {"tier": "gold"}}
    desk |= {"attributes": {"tier": "gold"}}
    assert len(prices(play(tmp_path, [gold], [desk]))) == 1
    small_one = provider(cores=1)
    assert len(prices(hand(tmp_path, small_one, [10, 20, 300, 310]))) == 2
    small_one["capacity"] |= {"cpu": then(1000, 2000, "200 blocks")}
    result = hand(tmp_path, small_one, [10, 20, 300, 310], horizon="400 blocks")
    assert len(prices(result)) == 3
    assert result.record.providers["cpu"].tolist() == [1500]  # on average over 400 blocks


def test_a_bid_window_is_that_of_the_order_s_time(tmp_path: Path) -> None:
    result = hand(tmp_path, provider(), [10, 300], bid_window=then("5 blocks", "20 blocks", "200 blocks"))
    waited = result.record.leases["created_at"] - result.record.orders["created_at"][result.record.leases["order"]]
    assert waited.tolist() == [5, 20]


def test_a_scenario_that_changes_is_written_as_it_is_and_can_be_held() -> None:
    scenario = small(
        take=then("0.02", "0.05", "30m"),
        tenants__0__demand__arrivals=then("20/h", "60/h"),
        providers__0__capacity__cpu=then(64_000, 32_000),
    )
    again = scenario_from_mapping(scenario.effective(), SCENARIOS)
    assert again.effective() == scenario.effective()
    assert scenario.effective()["take"] == [{"value": "0.02"}, {"at": "30m", "value": "0.05"}]
    market = LiveMarket(scenario, seed=3)
    for height in (1, 299, 300, 601, 900):
        market.advance(height)
        market = market.fork()
    assert market.finish().summary["fingerprint"] == run(again, seed=3).summary["fingerprint"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"take": [{"at": "3h", "value": "0.02"}]}, "scenario: take.0: holds from 3h on, what holds before it must be given"),
        ({"take": [{"value": "0.02"}, {"value": "0.03"}]}, "scenario: take.1: does not say from when on it holds"),
        ({"take": then("0.02", "7")}, "scenario: take.1.value: '7' is above 1"),
        ({"take": [*then("0.02", "0.1"), {"at": "10 blocks", "value": 0}]}, "scenario: take.2.at: '10 blocks' is not after 600 blocks"),
        ({"take": then("0.02", "0.1", "soon")}, "scenario: take.1.at: 'soon' is not a duration"),
        ({"take": [{"value": 1, "till": 2}]}, "scenario: take.0: a mapping is no part of a schedule"),
        ({"settle_every": then("10 blocks", "20 blocks")}, "scenario: settle_every: a list is not a duration"),
        ({"tenants__0__demand__arrivals": then("20/h", "x")}, "scenario: tenants.web.demand.arrivals.1.value: 'x' is not a rate"),
        ({"providers__0__config__changes": [{"bid_engine": {}}]}, "scenario: providers.large.config.changes.0.at: is missing"),
        (
            {"providers__0__config__changes": [{"at": "1h", "bid_engine": {"min_profit_margin": -1}}]},
            "scenario: providers.large.config.changes.0.bid_engine.min_profit_margin: '-1' is negative",
        ),
    ],
)
def test_what_is_no_schedule_is_refused(keys: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        small(**keys)
    assert caught.value.lines[0].startswith(line)
    assert len(caught.value.lines) == 1
