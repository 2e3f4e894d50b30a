"""Runs a sweep of the queue market as a process: `queue_sweep.py FILE OUT WORKERS|tcp://… [--resume]`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from queue_market import run_queue

from marketsim.experiments.sweep import plan as sweep_plan
from marketsim.experiments.sweep.session import carry_out, dask_pool, local_pool, read_plan

# The sources may be edited while tests run; what the hash is for has tests of its own.
sweep_plan.package_hash = lambda: "0123456789abcdef"

QUEUE = {"name": "queue", "rules": "seed", "price": 0.5, "demand": 1.0, "sleep": 0.0, "trouble": ""}


class QueueScenarios:
    """Scenarios of the queue market: one flat mapping."""

    def read(self, path: Path) -> dict[str, Any]:
        return dict(QUEUE)

    def path_problem(self, mapping: dict[str, Any], path: str) -> str | None:
        return None if path in mapping else f"unknown key '{path}'"

    def decimals(self, mapping: dict[str, Any], path: str, written: str) -> int | None:
        return 2 if path == "price" else None

    def effective(self, mapping: dict[str, Any], base: str, setting: Mapping[str, Any]) -> dict[str, Any]:
        return {**mapping, **{path: float(value) if isinstance(value, Decimal) else value for path, value in setting.items()}}

    def contents(self, effective: dict[str, Any], base: str) -> str:
        return ""

    def ignored(self, path: str, effective: dict[str, Any], metrics: Sequence[str]) -> str | None:
        return "it only names the run" if path == "name" else None

    def unknown_metric(self, name: str, effective: dict[str, Any]) -> str | None:
        return None if name in {"fill_rate", "revenue.total"} else f"`{name}` is not a number"


def main(file: str, out: str, where: str, *options: str) -> None:
    plan = read_plan(Path(file), QueueScenarios())
    pool = dask_pool(plan, run_queue, where) if where.startswith("tcp") else local_pool(plan, run_queue, int(where))
    carry_out(plan, Path(out), pool, resume="--resume" in options)


if __name__ == "__main__":
    main(*sys.argv[1:])
