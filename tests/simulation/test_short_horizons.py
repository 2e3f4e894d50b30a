"""Markets that end before a provider daemon's next look at the funds: the look is dated ahead, whatever is left of the run."""

from __future__ import annotations

import pytest

from marketsim.scenario import scenario_from_mapping
from marketsim.simulation import run


@pytest.mark.parametrize("rules", ["virtengine", "akash"])
def test_a_lease_that_outlasts_a_short_run_is_looked_at_once_a_look(rules: str) -> None:
    scenario = scenario_from_mapping(
        {
            "name": "short",
            "rules": rules,
            "charging": "rate",
            "block_time": "1500ms",
            "horizon": "150 blocks",
            "bid_min_deposit": "500uve",
            "deployment_min_deposit": "1uve",
            "bid_window": "10 blocks",
            "tenants": [
                {
                    "name": "t",
                    "count": 2,
                    "demand": {"orders": 4, "within": "20 blocks"},
                    "order": {"cpu": 500, "memory": "512Mi", "storage": "1Gi"},
                    "duration": "2d",
                    "deposit": {"amount": "50VE"},
                    "ceiling": "5000uve",
                }
            ],
            "providers": [{"name": "p", "count": 2, "capacity": {"cpu": 64000, "memory": "64Gi", "storage": "1Ti"}, "latency": "3s"}],
        }
    )
    summary = run(scenario).summary
    assert summary["leases"]["created"] == 4
    assert summary["leases"]["active"] == 4
