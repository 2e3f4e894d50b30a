"""One run of one scenario."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from marketsim.metrics.summary import summarize
from marketsim.recording.record import Record
from marketsim.scenario.footprint import warn_if_scarce
from marketsim.scenario.model import Scenario
from marketsim.simulation.play import OnProgress, Play, play, prepare, versions


class Run(NamedTuple):
    """A finished run: `summary` as in summary.json, `record` everything that was recorded."""

    summary: dict[str, Any]
    record: Record


def run(
    scenario: Scenario,
    *,
    seed: int | None = None,
    audit: bool = False,
    progress: OnProgress | None = None,
    out: Path | None = None,
) -> Run:
    """Run a scenario and return its summary and record.

    `seed` replaces the scenario's. `audit` checks the ledger after every executed block. `progress(blocks done, blocks in all)` is
    called now and then. Of tables longer than a chunk (bids, declines, settlements, events) the rows go to files while the run goes on:
    into `out`, the folder into which the record will be written, or into a temporary one that lives as long as the record.
    Raises InputError for a scenario that cannot be run, InvariantError when the ledger does not add up.
    """
    began = time.perf_counter()
    warn_if_scarce(scenario)
    number = scenario.seed if seed is None else seed
    market = prepare(scenario, number)
    receipts: list[dict[str, Any]] = []
    clock, collector = play(scenario, market, number, audit=audit, progress=progress, receipts=receipts, out=out)
    del market  # and with it the messages that have been sent
    by_hand = bool(scenario.messages or scenario.governance)
    record = collector.record(clock, versions(), time.perf_counter() - began, receipts if by_hand else None)
    del clock, collector  # the tables go before anything is made of the record, which has its own columns
    return Run(summarize(record), record)


__all__ = ["Play", "Run", "play", "prepare", "run", "versions"]
