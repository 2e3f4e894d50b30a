"""One run of one scenario: the same whatever is recorded, audited or watched, and different where it should be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marketsim.agents.streams import stream
from marketsim.chain.columns import BidState
from marketsim.scenario import load_scenario
from marketsim.simulation import run

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "scenarios" / "tiny.yaml"
SMALL = ROOT / "scenarios" / "small.yaml"
BASELINE = ROOT / "scenarios" / "baseline.yaml"


def fingerprint(path: Path, overrides: Sequence[str] = (), **how: Any) -> str:
    return str(run(load_scenario(path, list(overrides)), **how).summary["fingerprint"])


def elsewhere(path: Path, **environment: str) -> str:
    """The fingerprint that another process finds."""
    code = (
        "import sys; from pathlib import Path; from marketsim.scenario import load_scenario; from marketsim.simulation import run; "
        "print(run(load_scenario(Path(sys.argv[1]))).summary['fingerprint'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip
    return done.stdout.strip()


def test_the_same_run_in_another_process_and_under_another_hash_seed() -> None:
    here = fingerprint(SMALL)
    assert elsewhere(SMALL, PYTHONHASHSEED="1") == here
    assert elsewhere(SMALL, PYTHONHASHSEED="77") == here


def test_compiled_and_not_give_the_same_run() -> None:
    assert elsewhere(TINY, MARKETSIM_COMPILE="0") == elsewhere(TINY, MARKETSIM_COMPILE="1") == fingerprint(TINY)


@pytest.mark.parametrize("name", ["small", "training", "virtengine", "akash"])
def test_what_is_recorded_audited_and_watched_changes_nothing(name: str) -> None:
    path = ROOT / "scenarios" / f"{name}.yaml"
    short = ["horizon=36h", "warm_up=0s"]
    plain = run(load_scenario(path, [*short, "record=summary"]))
    seen: list[int] = []
    for level in ("orders", "everything"):
        other = run(load_scenario(path, [*short, f"record={level}"]), audit=True, progress=lambda height, _: seen.append(height))
        compared = {key: value for key, value in other.summary.items() if key != "audit"}
        assert compared == {key: value for key, value in plain.summary.items() if key != "audit"}
    assert len(seen) > 100
    assert plain.summary["conserved"] is True


def test_another_seed_gives_another_run() -> None:
    assert len({fingerprint(SMALL, ["horizon=12h", "warm_up=0s"], seed=seed) for seed in range(5)}) == 5


def test_one_more_provider_leaves_every_tenant_alone() -> None:
    base = load_scenario(SMALL, ["horizon=1d", "warm_up=0s", "initial=0"])
    more = load_scenario(SMALL, ["horizon=1d", "warm_up=0s", "initial=0", "providers.1.count=11"])
    few, many = run(base).record, run(more).record
    for name in ("tenant", "dseq", "ceiling_whole", "ceiling_atto", "value_whole", "cpu", "memory", "storage", "gpu"):
        original = [few.orders[name][row] for row in range(len(few.orders[name])) if few.orders["oseq"][row] == 1]
        changed = [many.orders[name][row] for row in range(len(many.orders[name])) if many.orders["oseq"][row] == 1]
        assert original == changed, name
    # nor any other provider's costs
    assert many.providers["cost_ppm"][: len(few.providers["name"])].tolist() == few.providers["cost_ppm"].tolist()


def test_streams_are_named() -> None:
    first = stream(1, "tenant/web/arrivals").random(4)
    assert first.tolist() == stream(1, "tenant/web/arrivals").random(4).tolist()
    assert first.tolist() != stream(2, "tenant/web/arrivals").random(4).tolist()
    assert first.tolist() != stream(1, "tenant/web/cpu").random(4).tolist()


def test_what_providers_did_is_what_the_long_tables_say() -> None:
    record = run(load_scenario(SMALL, ["record=everything", "horizon=36h", "warm_up=12h"])).record
    providers, bids, leases = record.providers, record.bids, record.leases
    assert bids is not None
    count = len(providers["name"])
    refused, late = bids["state"] < 0, bids["height"] > record.warm_up_blocks
    for name, of in (("submitted", bids["height"] > 0), ("accepted", ~refused), ("won", bids["state"] == BidState.ACTIVE)):
        found = np.bincount(bids["provider"][of], minlength=count)
        assert found.sum() > 0
        assert providers[name].tolist() == found.tolist()
    assert providers["leases"].tolist() == np.bincount(leases["provider"], minlength=count).tolist()
    assert providers["submitted_window"].tolist() == np.bincount(bids["provider"][late], minlength=count).tolist()
    for name in ("submitted", "accepted", "won", "lost", "closed"):
        assert (providers[f"{name}_window"] <= providers[name]).all()


def test_summaries_are_plain_data() -> None:
    summary = run(load_scenario(TINY)).summary
    assert json.loads(json.dumps(summary)) == summary


def test_the_baseline_meets_its_targets() -> None:
    played = run(load_scenario(BASELINE, ["record=summary"]))
    summary, providers = played.summary, played.record.providers
    assert summary["conserved"] is True
    assert 0.75 <= summary["fill_rate"] <= 0.95
    reasons = summary["leases"]["close_reasons"]
    closed = sum(reasons.values())
    targets = {"tenant_terminated": 0.45, "lease_completed": 0.40, "insufficient_funds": 0.10, "provider_closed": 0.05}
    for reason, share in targets.items():
        assert abs(reasons[reason] / closed - share) <= 0.10, reason
    assert 0.5 <= summary["utilization"]["cpu"] <= 0.8
    bidders = summary["bids"]["accepted"] / (summary["orders"]["created"] + summary["orders"]["relisted"])
    assert 0.5 / bidders <= summary["win_rate"] <= 1.5 / bidders
    per_day = summary["revenue"]["per_day_uve"]
    assert max(per_day) <= 1.5 * min(per_day)
    # who wins far more than its siblings is cheaper than they are
    cohort, cost, won = (np.asarray(providers[name]) for name in ("cohort", "cost_ppm", "won"))
    for number in range(len(played.record.provider_cohorts)):
        mine = cohort == number
        outstanding = mine & (won > 2.5 * won[mine].mean())
        assert (cost[outstanding] < np.median(cost[mine])).all()


def aggregates(path: Path, seed: int, mirrored: bool) -> list[float]:
    from marketsim.scenario.load import scenario_from_mapping

    mapping = load_scenario(path, ["record=summary", "horizon=4d"]).effective()
    if mirrored:
        mapping["providers"] = mapping["providers"][::-1]
    summary = run(scenario_from_mapping(mapping, path.parent, ()), seed=seed).summary
    cohorts = summary["revenue"]["by_cohort_uve"]
    total = sum(cohorts.values())
    return [
        summary["fill_rate"],
        summary["acceptance_rate"],
        summary["win_rate"],
        summary["utilization"]["cpu"],
        summary["utilization"]["gpu"],
        summary["price"]["mean_won_uve"],
        summary["revenue"]["total_uve"],
        *(cohorts[name] / total for name in sorted(cohorts)),
    ]


def test_the_order_of_the_cohorts_in_the_file_decides_nothing() -> None:
    """Provider cohorts as written and reversed: every aggregate is the same, but for the order in which floats are added up."""
    for seed in (1, 2, 3):
        assert aggregates(BASELINE, seed, True) == pytest.approx(aggregates(BASELINE, seed, False), rel=1e-12, abs=0)
