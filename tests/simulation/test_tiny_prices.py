"""Prices at the smallest that money can hold: funds for more blocks than there will ever be, and still every run comes to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hand_market import provider, tenant

from marketsim.cli import main
from marketsim.scenario import scenario_from_mapping
from marketsim.simulation import run

TOP_UPS: dict[str, dict[str, Any]] = {
    "none": {},
    "before": {"top_up": {"when_blocks_left": 5, "blocks": 10}},
    "after": {"top_up": {"after_depletion": {"delay": "1 blocks"}, "blocks": 10}},
}
RULES = [
    ("seed", "exact", "rate"),
    ("seed", "exact", "usage_capped"),
    ("virtengine", "sequential", "rate"),
    ("akash", "sequential", "rate"),
    ("akash", "proportional", "rate"),
]


@pytest.mark.parametrize("top_up", TOP_UPS)
@pytest.mark.parametrize(("rules", "escrow", "charging"), RULES)
def test_a_price_that_money_can_hold_runs_to_its_end(tmp_path: Path, rules: str, escrow: str, charging: str, top_up: str) -> None:
    cheap = provider(price="0.000000000000000001uve") | {"wallet": "5VE"}
    dear = provider("dear", price="0.00000000000012uve") | {"wallet": "5VE"}
    payer = tenant(tmp_path, "t", [3, 9], lasts=150) | {"deposit": "5VE", "wallet": "9000000000VE", **TOP_UPS[top_up]}
    rich = tenant(tmp_path, "rich", [5], lasts=150) | {"deposit": "4000000000000VE", "wallet": "8000000000000VE", **TOP_UPS[top_up]}
    small = {"order": {"cpu": 10, "memory": "1Mi", "storage": "5Mi"}}
    mapping = {
        "horizon": "200 blocks", "rules": rules, "escrow": escrow, "charging": charging, "record": "everything", "bid_min_deposit": "1uve",
        "deployment_min_deposit": "1uve", "tenants": [payer | small, rich], "providers": [cheap, dear],
    }  # fmt: skip
    result = run(scenario_from_mapping(mapping, tmp_path), audit=True)
    assert result.summary["orders"]["leased"] == 3
    assert {reason: count for reason, count in result.summary["leases"]["close_reasons"].items() if count} == {"lease_completed": 3}


def test_a_price_below_what_money_can_hold_is_refused_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "horizon: 60 blocks\n"
        "tenants: [{name: t, demand: {orders: 1}, order: {cpu: 100, memory: 1Gi, storage: 1Gi}, ceiling: 0.0000000000000000001uve}]\n"
        "providers: [{name: p, capacity: {cpu: 4000, memory: 1Gi, storage: 1Gi}}]\n"
    )
    assert main(["run", str(file), "--quiet", "--out", str(tmp_path / "out")]) == 2
    assert "19 decimals" in capsys.readouterr().err
