"""Every shipped scenario, audited block by block from its event record by integers of the auditor's own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from auditor import Auditor

from marketsim.chain.columns import G, Lease, Wallet
from marketsim.market.clock import BlockClock
from marketsim.market.loop import next_due
from marketsim.recording.record import Record
from marketsim.scenario import load_scenario, scenario_from_mapping
from marketsim.scenario.files import kind_of
from marketsim.scenario.model import Scenario
from marketsim.scenario.yaml_source import read_source

running = importlib.import_module("marketsim.simulation.run")  # the package has a function of that name
playing = importlib.import_module("marketsim.simulation.play")
SCENARIOS = Path(__file__).parents[2] / "scenarios"
FILES = sorted(path for path in SCENARIOS.rglob("*.yaml") if kind_of(read_source(path).data) == "scenario")
LONGEST_BLOCKS = 6_000
"""Longer scenarios are cut to this many blocks here; `-m slow` audits them to their end."""


class AuditedClock(BlockClock):
    """A block clock that stops after every block in which something is executed and has it audited."""

    auditor: Auditor

    def __init__(self, *arguments: Any, take_events: Callable[[Any], None], **keys: Any) -> None:
        def both(rows: Any) -> None:
            self.auditor.take(rows)
            take_events(rows)

        super().__init__(*arguments, take_events=both, **keys)
        type(self).auditor = Auditor.of(self.chain)

    def advance(self, until: int) -> None:
        """Execute block after block, the auditor looking at each."""
        self._take_pending()
        self._audit()
        while (height := self._next_height()) <= until:
            super().advance(height)
            self._audit()
        super().advance(until)

    def _next_height(self) -> int:
        return next_due(self.chain, self.engine, 1 << 62)[0] // 16

    def _audit(self) -> None:
        self.hand_over()
        self.auditor.compare(self.chain)

    def finish(self) -> None:
        """Keep the chain for the last look."""
        super().finish()
        type(self).last = self.chain  # type: ignore[attr-defined]


def audited(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, int], Record]:
    monkeypatch.setattr(playing, "BlockClock", AuditedClock)
    record = running.run(scenario).record
    totals = AuditedClock.auditor.finish(AuditedClock.last)  # type: ignore[attr-defined]
    for name in ("deposited", "paid", "fees", "refunded", "held", "dust", "stranded", "shortfall"):
        assert totals[name] == record.totals[name], name
    assert totals["network"] == record.totals["network_fees"]
    return totals, record


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SCENARIOS)))
def test_the_record_accounts_for_every_coin(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = load_scenario(path).horizon_blocks
    cut = [f"horizon={LONGEST_BLOCKS} blocks", "warm_up=0s"] if blocks > LONGEST_BLOCKS else []
    totals, record = audited(load_scenario(path, ["record=everything", *cut]), monkeypatch)
    auditor = AuditedClock.auditor
    assert record.events is not None
    assert 0 < auditor.events <= len(record.events["kind"])
    assert auditor.blocks > 3
    assert totals["deposited"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["baseline.yaml", "virtengine.yaml", "akash.yaml", "small.yaml", "ve-settlement.yaml"])
def test_long_scenarios_are_audited_to_their_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load_scenario(SCENARIOS / name, ["record=everything"])
    totals, _ = audited(scenario, monkeypatch)
    assert totals["paid"] > 0
    assert AuditedClock.auditor.blocks > 1000


@pytest.mark.parametrize("charging", ["rate", "usage_capped", "usage", "ve_settlement"])
def test_each_charging_mode(charging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["record=everything", f"charging={charging}"]
    totals, _ = audited(load_scenario(SCENARIOS / "tiny.yaml", overrides), monkeypatch)
    assert totals["paid"] > 0


def test_the_older_escrow_rule_of_akash(monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["record=everything", "escrow=proportional"]
    path = SCENARIOS / "cases" / "akash" / "life.yaml"
    totals, _ = audited(load_scenario(path, overrides), monkeypatch)
    assert totals["paid"] > 0


def test_what_a_quirk_strands_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = load_scenario(SCENARIOS / "cases" / "virtengine" / "quirk-settle-same-height.yaml").effective()
    mapping |= {"record": "everything"}
    totals, _ = audited(scenario_from_mapping(mapping), monkeypatch)
    assert totals["stranded"] > 0


@pytest.mark.parametrize(
    ("table", "column"),
    [("wallets", Wallet.balance), ("leases", Lease.withdrawn), ("leases", Lease.balance_atto), ("globals", G.dust)],
)
def test_the_auditor_finds_a_coin_too_many(table: str, column: int, monkeypatch: pytest.MonkeyPatch) -> None:
    compare = Auditor.compare

    def tampered(self: Auditor, chain: Any) -> None:
        if self.payments:
            values = getattr(chain, table)
            values[column if table == "globals" else (0, column)] += 1
        compare(self, chain)

    monkeypatch.setattr(Auditor, "compare", tampered)
    with pytest.raises(AssertionError):
        audited(load_scenario(SCENARIOS / "tiny.yaml", ["record=everything"]), monkeypatch)
