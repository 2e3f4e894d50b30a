"""What a summary looks like before there is a run."""

from __future__ import annotations

from typing import Any

from marketsim.metrics.summary import summarize
from marketsim.recording.record import META, TOTALS, Record, blank


def summary_shape() -> dict[str, Any]:
    """Return the summary of a run in which nothing happened: every key that all summaries have."""
    nobody: dict[str, Any] = {"name": []}
    meta: dict[str, Any] = dict.fromkeys(META, 0) | {
        "scenario": {},
        "rules": "seed",
        "blocks": 1,
        "block_ms": 6000,
        "versions": {},
    }
    return summarize(
        Record(
            tenants=nobody | blank("tenants", 0),
            providers=nobody | blank("providers", 0),
            tenant_cohorts=[],
            provider_cohorts=[],
            regions=[],
            orders=blank("orders", 0),
            leases=blank("leases", 0),
            timeseries=blank("timeseries", 0),
            totals=dict.fromkeys(TOTALS, 0),
            meta=meta,
        ).check()
    )
