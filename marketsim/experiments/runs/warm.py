"""Loads the compiled simulation on import, so that processes forked afterwards have it.

A sweep's fork server imports this module once: without it every worker would load the compiled code by
itself, or, on a machine that has never run marketsim, compile it by itself.
"""

from __future__ import annotations

import contextlib
from typing import Any

from marketsim.errors import show_warnings_plainly
from marketsim.experiments.runs.loading import much_code

TINY: dict[str, Any] = {
    "name": "warm",
    "horizon": "2h",
    "deployment_min_deposit": "1uve",
    "tenants": [
        {
            "name": "t",
            "demand": "60/h",
            "order": {"cpu": 1000, "memory": "1Gi", "storage": "1Gi"},
            "duration": "30m",
            "top_up": {"when_blocks_left": 10, "blocks": 100},
        }
    ],
    "providers": [
        {
            "name": "p",
            "strategy": "monthly_targets",
            "capacity": {"cpu": 64000, "memory": "64Gi", "storage": "1Ti"},
        }
    ],
}
"""A market of a hundred orders."""


def warm_up() -> None:
    """Run the tiny market once; a failure is left to the first real run, which reports it."""
    from marketsim.scenario import scenario_from_mapping
    from marketsim.simulation import run

    run(scenario_from_mapping(TINY), seed=1)


show_warnings_plainly()
with much_code(), contextlib.suppress(Exception):
    warm_up()
