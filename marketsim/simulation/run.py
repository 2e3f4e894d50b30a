"""One run of one scenario."""

from __future__ import annotations

from pathlib import Path

from marketsim.scenario.model import Scenario
from marketsim.simulation.live import LiveMarket, Run
from marketsim.simulation.play import OnProgress, Play, play, prepare, versions


def run(
    scenario: Scenario,
    *,
    seed: int | None = None,
    audit: bool = False,
    progress: OnProgress | None = None,
    out: Path | None = None,
    trail: bool = False,
) -> Run:
    """Run a scenario and return its summary and record.

    `seed` replaces the scenario's. `audit` checks the ledger after every executed block. `progress(blocks done, blocks in all)` is
    called now and then. Of tables longer than a chunk (bids, declines, settlements, events) the rows go to files while the run goes on:
    into `out`, the folder into which the record will be written, or into a temporary one that lives as long as the record. `trail` keeps
    the run's trail in the record, and changes nothing else.
    Raises InputError for a scenario that cannot be run, InvariantError when the ledger does not add up.
    """
    market = LiveMarket(scenario, seed=seed, audit=audit, progress=progress, out=out, messages=False, events=0, trail=trail)
    return market.finish()


__all__ = ["Play", "Run", "play", "prepare", "run", "versions"]
