"""What stands in rows that a market has not used yet decides nothing, for nobody wipes them before."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketsim.chain.state import AS_WRITTEN, TABLES
from marketsim.market.room import WRITTEN_FIRST
from marketsim.metrics.summary import summarize
from marketsim.scenario.load import load_scenario
from marketsim.simulation.run import play, prepare, versions

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
RUBBISH = 0x5A5A5A5A5A5A


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tiny", ["rules=seed"]),
        ("small", ["rules=virtengine", "record=everything", "horizon=1d", "warm_up=0s"]),
        ("akash", ["record=orders", "horizon=1d", "warm_up=0s"]),
        ("ve-settlement", ["horizon=2d", "warm_up=0s"]),
    ],
)
def test_unused_rows_decide_nothing(name: str, settings: list[str]) -> None:
    scenario = load_scenario(SCENARIOS / f"{name}.yaml", settings)
    found = []
    for spare in (0, RUBBISH):
        market = prepare(scenario, scenario.seed)
        for table in AS_WRITTEN:
            counter, _ = TABLES[table]
            rows = getattr(market.chain, table)
            assert int(market.chain.globals[counter]) == 0 < len(rows)
            rows[:] = spare
        market.engine.calendar[1 + int(market.engine.globals.calendar) :] = spare
        market.engine.later[int(market.engine.globals.later) :] = spare
        block_clock, collector = play(scenario, market, scenario.seed, audit=True, receipts=[])
        found.append(summarize(collector.record(block_clock, versions(), 0.0, None)))
    assert WRITTEN_FIRST == ("calendar", "later")
    assert found[0] == found[1] and found[0]["leases"]["created"] > 0
