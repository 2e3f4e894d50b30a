"""What it costs to hold a market: steps, looks, forks, each with its ratio to a run of `tiny` in the same process.

    python benchmarks/live.py            # tiny, small and the baseline; about half a minute

Seconds are this machine's and differ from run to run; the ratio is what may be compared with `benchmarks/README.md`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from marketsim.scenario import load_scenario  # noqa: E402
from marketsim.simulation.live import LiveMarket  # noqa: E402
from marketsim.simulation.run import run  # noqa: E402

EMPTY_BLOCKS = 100_000
SCENARIOS = ROOT / "scenarios"


def seconds(function: Callable[[], Any], calls: int = 1, repeats: int = 5) -> float:
    """Return the median of some timings of a call, in seconds a call."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(calls):
            function()
        found.append((time.perf_counter() - began) / calls)
    return statistics.median(found)


def empty(blocks: int) -> LiveMarket:
    """Return a market in which nothing happens for so many blocks after the first."""
    overrides = [f"horizon={2 * blocks + 10} blocks", "tenants.0.demand={orders: 1, within: 1 block}"]
    market = LiveMarket(load_scenario(SCENARIOS / "tiny.yaml", overrides))
    market.advance(5_000)
    return market


def measured() -> dict[str, float]:
    """Return each cost in seconds."""
    tiny = load_scenario(SCENARIOS / "tiny.yaml")
    found = {"a run of tiny": seconds(lambda: run(tiny), repeats=9)}
    market = empty(EMPTY_BLOCKS)
    began = time.perf_counter()
    market.advance(f"{EMPTY_BLOCKS // 2} blocks")
    found[f"{EMPTY_BLOCKS:,} empty blocks in one call"] = 2 * (time.perf_counter() - began)
    began = time.perf_counter()
    for _ in range(EMPTY_BLOCKS // 10):
        market.advance(market.height + 1)
    found[f"{EMPTY_BLOCKS:,} empty blocks, block by block"] = 10 * (time.perf_counter() - began)
    small = LiveMarket(load_scenario(SCENARIOS / "small.yaml"))
    small.advance("24h")
    view = small.view()
    lease = view.leases(state="active")[3].id
    found["a view of one lease"] = seconds(lambda: small.view().lease(lease), 1_000)
    found["a view of 100 leases"] = seconds(lambda: small.view().leases(limit=100), 20)
    found["the state hash of small after a day"] = seconds(small.state_hash)
    baseline = LiveMarket(load_scenario(SCENARIOS / "baseline.yaml"))
    baseline.advance(baseline.scenario.horizon_blocks // 2)
    found["a fork of the baseline at half time"] = seconds(baseline.fork)
    return found


def main() -> None:
    """Print a table."""
    found = measured()
    tiny = found["a run of tiny"]
    print("| | seconds | runs of tiny |\n|---|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.6f} | {value / tiny:.5f} |")


if __name__ == "__main__":
    main()
