"""A recorded run played again from what its manifest says, and looked at on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from marketsim.errors import InputError
from marketsim.export.results import MANIFEST, read_json
from marketsim.kernel.table_set import Table
from marketsim.metrics.series import MarketSnapshot
from marketsim.metrics.snapshot import BidTimes, Moved
from marketsim.recording.record import Record
from marketsim.scenario.load import scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.simulation.live import LiveMarket
from marketsim.simulation.play import versions


class Observed:
    """A held market that is played and looked at; its looks change nothing of what happens."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        """Begin the market of a scenario at height 0. Raises InputError for one that cannot be run."""
        # Nobody asks for its record, whose long tables would go to the disk for nothing.
        quiet = scenario.model_copy(update={"record": "summary"})
        self.market = LiveMarket(quiet, seed=seed, messages=False, events=0, listens=True)
        self._bid_times = BidTimes(0)
        self._moved = Moved()
        self.market.listen(self)

    def events(self, rows: Table) -> None:
        """Take rows of events (`Event`)."""
        self._moved.add(rows)

    def bids(self, rows: Table) -> None:
        """Take rows of placed bids (`BidRow`)."""
        self._bid_times.add(rows)

    def declines(self, rows: Table) -> None:
        """Take what engines did not bid on, which no figure here asks for."""

    def snapshot(self, height: int) -> MarketSnapshot:
        """Advance to a height and return the market as it is then."""
        self.market.advance(height)
        return self.market.measured(self._bid_times, self._moved)


def again(record: Record, step: int, base: Path = Path()) -> Iterator[MarketSnapshot]:
    """Play a recorded run again and yield its market in block 0, every `step` blocks and in the last block.

    `base` is the folder that the paths of its traces start from. Raises InputError where these versions of the packages do not give the
    recorded run again: by its fingerprint, after the last block.
    """
    observed = Observed(recorded_scenario(record, base), int(record.meta["seed"]))
    last = record.blocks
    for height in [*range(0, last, step), last]:
        yield observed.snapshot(height)
    check_same(record, observed.market)


def recorded_scenario(record: Record, base: Path) -> Scenario:
    """Return the scenario that a manifest holds; `base` is the folder that the paths of its traces start from."""
    return scenario_from_mapping(record.meta["scenario"], base, name="manifest.json: scenario")


def check_same(record: Record, market: LiveMarket) -> None:
    """Raise InputError where a market that stands in a record's last block is not the recorded run, by its fingerprint."""
    if market.fingerprint() != record.meta["fingerprint"]:
        changed = [f"{name} {record.meta['versions'].get(name)} -> {now}" for name, now in versions().items()]
        raise InputError(
            "the run cannot be played again: its fingerprint is another with the packages of today, expected "
            f"{record.meta['fingerprint']}, run the scenario again (recorded with -> now: {'; '.join(changed)})"
        )


def base_of(record: Record, folder: Path, scenario: Path | None, mark: str = "--") -> Path:
    """Return the folder that a run's traces are found from: beside the scenario file, by default where the manifest says that it was.

    Raises InputError, which names the argument `scenario` behind `mark`, where a trace is not there.
    """
    origin = read_json(folder, MANIFEST).get("origin") or {}
    base = Path(origin.get("folder", "")) if scenario is None else scenario.parent
    for cohort in record.meta["scenario"].get("tenants") or ():
        trace = cohort["demand"].get("trace")
        if trace is not None and not (base / trace).exists():
            raise InputError(f"the run's demand comes from {trace}, which is not in {base}: give the scenario file with {mark}scenario")
    return base
