"""Room in the tables: whatever adds many rows asks for them by number, and nothing is written beyond a table's end.

The markets here once ended by a signal, or wrote over other tables. `test_differential.py` holds for random ones that what a step adds is
never more than it asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hand_market import provider, tenant

from marketsim.chain.columns import EventKind
from marketsim.scenario import scenario_from_mapping
from marketsim.simulation import Run, run

UNIT = {"price": "50", "count": 1, "cpu": 100, "memory": 1 << 20, "storage": 5 << 20, "gpu": 0}
START: dict[str, Any] = {
    "params": {"bid_min_deposit": 500, "deployment_min_deposit": 1000},
    "wallets": {"ada": 5_000_000, "north": 5_000_000},
    "providers": {"north": {}},
}
DEPLOY: dict[str, Any] = {
    "height": 5, "op": "create_deployment", "id": "ada/1", "deposit": "5000", "sources": ["balance"], "hash": "a",
}  # fmt: skip


def ran(folder: Path, **mapping: Any) -> Run:
    base: dict[str, Any] = {"horizon": "100 blocks", "charging": "rate", "bid_min_deposit": "1uve", "deployment_min_deposit": "1uve"}
    return run(scenario_from_mapping(base | mapping, folder), audit=True)


def manifest_of(placements: int) -> str:
    """An SDL that puts one service in so many placements: a group each."""
    places = "\n".join(f"    place{at}:\n      pricing:\n        web: {{denom: uve, amount: 50}}" for at in range(placements))
    here = "\n".join(f"    place{at}: {{profile: web, count: 1}}" for at in range(placements))
    return f"""version: "2.0"
services:
  web: {{image: example/web:1, expose: [{{port: 80, to: [{{global: true}}]}}]}}
profiles:
  compute:
    web: {{resources: {{cpu: {{units: 0.1}}, memory: {{size: 1Mi}}, storage: {{size: 5Mi}}}}}}
  placement:
{places}
deployment:
  web:
{here}
"""


def test_a_manifest_of_more_groups_than_tables_have_spare_rows(tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text(manifest_of(300))
    wide = tenant(tmp_path, "t", [3, 4, 5]) | {"order": {"sdl": "wide.yaml"}, "deposit": "90000uve"}
    del wide["ceiling"]
    wide["wallet"] = "1000000uve"
    result = ran(tmp_path, tenants=[wide], providers=[provider(cores=64, engine={"max_concurrent_bids": 1000})], record="everything")
    assert result.summary["orders"]["created"] == 900
    assert result.summary["orders"]["leased"] > 300


@pytest.mark.parametrize("record", ["summary", "everything"])
def test_a_message_of_five_hundred_groups(tmp_path: Path, record: str) -> None:
    groups = [{"name": f"g{at}", "resources": [UNIT]} for at in range(500)]
    bids = [
        {"height": 6, "op": "create_bid", "id": f"ada/1/{at + 1}/1/north", "price": "1", "deposit": "500", "sources": ["balance"]}
        for at in range(0, 500, 7)
    ]
    leases = [{"height": 7, "op": "create_lease", "id": bid["id"]} for bid in bids]
    many = [provider(f"p{at}", engine={"max_concurrent_bids": 1000}) for at in range(3)]
    messages = [DEPLOY | {"groups": groups}, *bids, *leases, {"height": 9, "op": "set_params", "params": {"take_percent": 3}}]
    messages.append({"height": 20, "op": "close_deployment", "id": "ada/1"})
    result = ran(tmp_path, start=START, messages=messages, providers=many, record=record)
    assert {receipt["result"] for receipt in result.summary["messages"]["receipts"]} == {"ok"}
    assert result.summary["orders"]["created"] == 500
    assert result.summary["leases"]["closed"] == len(leases)


def test_an_outage_that_ends_more_leases_than_the_calendar_has_spare_entries(tmp_path: Path) -> None:
    big = provider(cores=10_000, engine={"max_concurrent_bids": 1_000_000}, wallet="9000000uve") | {"latency": "1s"}
    big["capacity"] = {"cpu": 10_000_000, "memory": "100Ti", "storage": "1Pi"}
    many = {
        "name": "t", "count": 10, "wallet": "90000000uve", "demand": {"orders": 6_000, "within": "20 blocks"},
        "order": {"cpu": 1000, "memory": "1Mi", "storage": "5Mi"}, "ceiling": "5uve", "deposit": "1000uve", "duration": "1000 blocks",
    }  # fmt: skip
    fault = {"at": "60 blocks", "provider": "p/0", "kind": "outage", "lasts": "30 blocks"}
    result = ran(tmp_path, tenants=[many], providers=[big], faults=[fault], record="summary", horizon="90 blocks")
    assert result.summary["orders"]["leased"] == 6_000
    assert result.summary["leases"]["close_reasons"]["provider_closed"] == 6_000


def crowd(count: int, **more: Any) -> dict[str, Any]:
    """So many providers with a price each, all of whom bid on what comes, a block after it."""
    return provider("crowd", cores=64, engine={"bid_timeout": "2m"}) | {"count": count, "spread": 0.1, "wallet": "90000uve"} | more


@pytest.mark.parametrize("quirks", [[], ["losing_bids_stay"]])
def test_an_order_with_more_bids_than_the_calendar_has_spare_entries(tmp_path: Path, quirks: list[str]) -> None:
    """Their timeouts are dated at once when the window ends without a lease; with the quirk each is closed by its provider after one."""
    count = 4_500
    late = tenant(tmp_path, "t", [3]) | {"never_choose": 0 if quirks else 1}
    chain = {"order_max_bids": 5_000, "quirks": quirks, "order_timeout": "90 blocks"}
    result = ran(tmp_path, tenants=[late], providers=[crowd(count)], record="summary", **chain)
    assert result.summary["bids"]["accepted"] == count
    assert result.summary["orders"]["leased"] == bool(quirks)
    assert result.summary["escrow"]["held"] == "0" if not quirks else True


def test_a_block_with_more_bids_than_tables_have_spare_rows_where_each_is_awaited_and_times_out(tmp_path: Path) -> None:
    """Providers of a latency beyond the window: every bid dates a timeout and a look of the tenant."""
    slow = crowd(500, latency="90s")
    slow["config"]["bid_engine"]["bid_timeout"] = "5s"
    many = tenant(tmp_path, "t", [3] * 12, cores=100)  # nobody has so much: no bid is acceptable
    many["order"] = {"cpu": 1000, "memory": "1Mi", "storage": "5Mi"}
    result = ran(tmp_path, tenants=[many], providers=[slow], order_max_bids=600, record="summary", order_timeout="90 blocks")
    assert result.summary["bids"]["accepted"] > 4_096


def test_more_bids_by_governance_than_the_scenario_began_with(tmp_path: Path) -> None:
    """Every bid of every group ends with the deployment, each with its refund, in one block: room for events follows what is there."""
    groups = [{"name": f"g{at}", "resources": [UNIT]} for at in range(40)]
    messages = [DEPLOY | {"groups": groups}, {"height": 50, "op": "close_deployment", "id": "ada/1"}]
    governance = [{"height": 2, "op": "set_params", "params": {"order_max_bids": 500}}]
    many = crowd(450)
    many["config"]["bid_engine"] |= {"max_concurrent_bids": 1000, "bid_timeout": "1h"}
    result = ran(
        tmp_path, start=START, messages=messages, governance=governance, providers=[many], order_max_bids=1, record="everything",
        order_timeout="90 blocks",
    )  # fmt: skip
    assert result.summary["bids"]["accepted"] == 40 * 450
    events = result.record.events
    assert events is not None
    assert int((events["kind"] == EventKind.REFUNDED).sum()) == 40 * 450 + 1


def test_every_deposit_of_an_account_is_refunded_in_one_block(tmp_path: Path) -> None:
    """80,000 events of one message: more than are handed over at once."""
    deposit = {"op": "account_deposit", "id": "ada/1", "signer": "ada", "deposit": "1", "sources": ["balance"]}
    messages = [DEPLOY | {"groups": [{"name": "g", "resources": [UNIT]}]}]
    messages += [{"height": 6, **deposit}] * 3_000
    messages.append({"height": 20, "op": "close_deployment", "id": "ada/1"})
    result = ran(tmp_path, start=START, messages=messages, record="everything")
    assert result.summary["escrow"]["held"] == "0"
    assert result.summary["escrow"]["refunded"] == "8000"


def test_more_providers_that_reprice_than_events_have_spare_rows(tmp_path: Path) -> None:
    many = crowd(6_000)
    many["config"]["bid_engine"]["enabled"] = False
    many["repricing"] = {"every": "9 blocks", "low": 0.5, "down": 0.9}
    result = ran(tmp_path, tenants=[tenant(tmp_path, "t", [3])], providers=[many], record="everything", order_max_bids=1)
    events = result.record.events
    assert events is not None
    assert int((events["kind"] == EventKind.REPRICED).sum()) >= 6_000
