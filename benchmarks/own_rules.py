"""What a tenant's own choice rule costs: the cheapest bid by the built-in rule, by a compiled score and by a class in Python.

    python benchmarks/own_rules.py [--orders 40000]

All three choose the same bids. Printed are seconds of a run, the best of three, and their ratios to the built-in rule.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import marketsim as ms

CODE = """
class Score:
    def score(self, price, lowest, ceiling, value, uptime, audited, home, provider):
        return -price

class Asked:
    def choose(self, order, bids):
        return 0
"""
RULES: dict[str, Any] = {
    "built in": "lowest_price",
    "compiled": {"python": "own_rules_code:Score"},
    "in Python": {"python": "own_rules_code:Asked"},
}


def market(orders: int, rule: Any) -> dict[str, Any]:
    """A market of so many orders of one core for forty providers, by a choice rule."""
    return {
        "name": "rules",
        "horizon": "7d",
        "charging": "rate",
        "record": "summary",
        "tenants": [
            {
                "name": "web",
                "count": 100,
                "wallet": "100000VE",
                "demand": {"orders": orders},
                "order": {"cpu": 1000, "memory": "1Gi", "storage": "5Gi"},
                "ceiling": {"times_cost": 3},
                "duration": "2h",
                "choice": rule,
            }
        ],
        "providers": [
            {"name": "edge", "count": 40, "spread": 0.3, "capacity": {"cpu": 64000, "memory": "256Gi", "storage": "16Ti"}},
        ],
    }


def main() -> None:
    """Run each market three times and print the best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=40_000)
    orders = parser.parse_args().orders
    best: dict[str, float] = {}
    prints = set()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "own_rules_code.py").write_text(CODE, "utf-8")
        for name, rule in RULES.items():
            scenario = ms.load_scenario(market(orders, rule), base=folder)
            for _ in range(3):
                began = time.perf_counter()
                prints.add(ms.run(scenario, progress=False).fingerprint)
                best[name] = min(best.get(name, 1e9), time.perf_counter() - began)
    for name, seconds in best.items():
        print(f"{name:10} {seconds:6.2f} s  x {seconds / best['built in']:.2f}")
    if len(prints) != 1:
        sys.exit("the rules did not choose the same bids")


if __name__ == "__main__":
    main()
