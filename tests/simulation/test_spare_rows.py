"""What stands in rows that a market has not used yet decides nothing, for nobody wipes them before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from marketsim.kernel.table_set import Rooms
from marketsim.metrics.summary import summarize
from marketsim.scenario.load import load_scenario, scenario_from_mapping
from marketsim.simulation.run import play, prepare, versions

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
RUBBISH = 0x5A5A5A5A5A5A
UNIT = {"price": "50", "count": 1, "cpu": 100, "memory": 1 << 20, "storage": 5 << 20, "gpu": 0}
START = {"wallets": {"ada": 5_000_000, "north": 5_000_000}, "providers": {"north": {}}}
MESSAGES = [
    {
        "height": 5, "op": "create_deployment", "id": "ada/1", "deposit": "5000", "sources": ["balance"], "hash": "a",
        "groups": [{"name": "g", "resources": [UNIT]}],
    },
    {
        "height": 6, "op": "create_bid", "id": "ada/1/1/1/north", "price": "1", "deposit": "500", "sources": ["balance"],
        "offer": [[1, 1]],
    },
    {"height": 7, "op": "create_lease", "id": "ada/1/1/1/north"},
]  # fmt: skip
REFERENCE = {
    "name": "rm1", "market": {"generator": "rm1", "orders": 1100, "providers": 5, "tenants": 9, "agents": "batch"}, "take": 0,
    "horizon": "9000 blocks", "settle_every": "100 blocks", "grace": "100 blocks", "order_timeout": "11 blocks", "charging": "rate",
    "reserve": "at_acceptance", "network_fees": False, "bid_min_deposit": "0uve", "deployment_min_deposit": "0uve",
}  # fmt: skip


@pytest.mark.parametrize(
    ("market", "settings"),
    [
        ("tiny", ["rules=seed"]),
        ("small", ["rules=virtengine", "record=everything", "horizon=1d", "warm_up=0s"]),
        ("akash", ["record=orders", "horizon=1d", "warm_up=0s"]),
        ("ve-settlement", ["horizon=2d", "warm_up=0s"]),
        ("agents/scalper", ["horizon=1d", "warm_up=0s"]),
        ("tiny", ["messages=" + json.dumps(MESSAGES), "start=" + json.dumps(START)]),
        (REFERENCE, []),
    ],
)
def test_unused_rows_decide_nothing(monkeypatch: pytest.MonkeyPatch, market: str | Mapping[str, Any], settings: list[str]) -> None:
    scenario = load_scenario(SCENARIOS / f"{market}.yaml", settings) if isinstance(market, str) else scenario_from_mapping(market, Path())
    zeros, spare, made = Rooms.zeros, 0, 0

    def filled(rooms: Rooms, count: int, wiped: bool = True) -> NDArray[np.int64]:
        nonlocal made
        numbers = zeros(rooms, count, wiped)
        if not wiped:
            made += 1
            numbers[:] = spare
        return numbers

    monkeypatch.setattr(Rooms, "zeros", filled)
    found = []
    for number in (0, RUBBISH, -RUBBISH):
        spare = number
        receipts: list[dict[str, Any]] = []
        block_clock, collector = play(scenario, prepare(scenario, scenario.seed), scenario.seed, audit=True, receipts=receipts)
        assert [receipt["result"] for receipt in receipts] == ["ok"] * len(scenario.messages)
        found.append(summarize(collector.record(block_clock, versions(), 0.0, None)))
    assert found[0] == found[1] == found[2] and found[0]["leases"]["created"] > 0 and made


def test_room_is_made_for_what_is_kept_and_audited_alone() -> None:
    scenario = load_scenario(SCENARIOS / "tiny.yaml", ["record=everything", "horizon=1h", "warm_up=0s"])
    kept = prepare(scenario, scenario.seed).engine
    bare = prepare(load_scenario(SCENARIOS / "tiny.yaml", ["record=summary", "horizon=1h", "warm_up=0s"]), scenario.seed)
    assert len(kept.bid_rows) > 0 == len(bare.engine.bid_rows)
    assert len(bare.engine.audit_values) < len(bare.chain.accounts)
    for audit in (False, True):
        block_clock, _ = play(scenario, prepare(scenario, scenario.seed), scenario.seed, audit=audit, receipts=[])
        assert (len(block_clock.engine.audit_values) >= len(block_clock.chain.accounts)) == audit
