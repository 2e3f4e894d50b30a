"""A market of microseconds for the tests of sweeps: customers with ceilings meet one price.

The value of `trouble` makes a run misbehave in the named way.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np


def run_queue(values: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """A summary with revenue and fill rate of 200 customers whose ceilings are uniform on 0 … 1."""
    price, demand = float(values.get("price", 0.5)), float(values.get("demand", 1.0))
    _misbehave(str(values.get("trouble", "")), Path(base), seed)
    time.sleep(float(values.get("sleep", 0)))
    generator = np.random.default_rng(seed)
    ceilings = generator.random(200)
    patient = generator.random(200) < 1 / demand
    served = (ceilings >= price) & patient
    revenue = float(served.sum() * price)
    return {
        "fill_rate": float(served.mean()),
        "revenue": {"total": f"{revenue:.6f}uve", "total_uve": revenue, "per_day_mean": revenue / 2},
        "fingerprint": f"{seed}-{price}-{demand}",
        "seed": seed,
    }


def run_closed_market(values: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """A run that always fails."""
    return run_queue({**values, "trouble": "raise"}, base, seed)


def _misbehave(trouble: str, base: Path, seed: int) -> None:
    if trouble == "raise":
        raise ValueError("the market is closed\nsecond line")
    if trouble == "hang":
        while True:
            time.sleep(0.01)
    if trouble == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if trouble == "die once":
        flag = base / f"died-{seed}"
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def run_queue_unseen(mapping: dict[str, Any], base: str, overrides: list[str], seed: int) -> dict[str, Any]:
    """As `run_queue`, with one fingerprint for all: what factors move is reported alone."""
    return run_queue(mapping, base, overrides, seed) | {"fingerprint": "0" * 32}
