"""marketsim on the reference market: the same draws through its chain, and the outcome in the yardsticks'
columns; what recording and auditing cost, and its other rule sets against theirs.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import first_written
from digest import Fate, Outcome, digest, first_difference

from marketsim.agents.reference_market import ReferenceMarket
from marketsim.chain.columns import EscrowRule, Lease, LeaseState, Order, OrderState
from marketsim.export.results import new_results
from marketsim.market.clock import BlockClock
from marketsim.market.tables import Desk, Ended, Plan, Track
from marketsim.metrics.summary import summarize
from marketsim.money.units import ATTO
from marketsim.scenario.load import scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.simulation.collect import Collector
from marketsim.simulation.play import play, versions
from marketsim.simulation.reference import market_of

FATES = {
    Ended.LEASE_COMPLETED: Fate.CLOSED_COMPLETED,
    Ended.TENANT_TERMINATED: Fate.CLOSED_BY_TENANT,
    Ended.INSUFFICIENT_FUNDS: Fate.CLOSED_FUNDS,
    Ended.PROVIDER_CLOSED: Fate.CLOSED_BY_PROVIDER,
}

RULE_SETS: dict[str, dict[str, Any]] = {
    "seed": {},
    "virtengine": {"rules": "virtengine"},
    "akash": {"rules": "akash"},
    "akash, escrow: proportional": {"rules": "akash", "escrow": "proportional"},
}
"""By the name that first_written.RULE_SETS gives them: the switches of a scenario."""


def scenario_of(draws: ReferenceMarket, agents: str = "batch", **switches: Any) -> Scenario:
    """The reference market's switches (docs/reference-market.md) for a market of this size."""
    seed_only = {"settle_every": "100 blocks", "grace": "100 blocks", "order_timeout": "11 blocks"}
    mapping: dict[str, Any] = {
        "name": "rm1",
        "horizon": f"{draws.blocks} blocks",
        "charging": "rate",
        "take": 0,
        "bid_min_deposit": "0uve",
        "deployment_min_deposit": "0uve",
        "order_max_bids": max(500, len(draws.margin_bps)),  # no limit
        "reserve": "at_acceptance",
        "tie": "provider_index",
        "price_rounding": "floor",
        "record": "summary",
        "network_fees": False,
        "market": {
            "generator": "rm1",
            "orders": max(1, len(draws.created_at)),
            "providers": len(draws.margin_bps),
            "tenants": draws.tenants,
            "agents": agents,
        },
    }
    if switches.get("rules", "seed") == "seed":
        mapping |= seed_only
    return scenario_from_mapping(mapping | switches, Path())


def play_outcome(draws: ReferenceMarket, agents: str = "batch", audit: bool = False, **switches: Any) -> tuple[Outcome, float]:
    """Run the market; return its outcome and the processor seconds from the market laid out to the last
    block.
    """
    scenario = scenario_of(draws, agents, **switches)
    market = market_of(draws, scenario, draws.seed)
    begun = time.process_time()
    clock, collector = play(scenario, market, draws.seed, audit=audit)
    seconds = time.process_time() - begun
    return outcome_of(clock, collector, len(draws.created_at)), seconds


def outcome_of(clock: BlockClock, collector: Collector, orders: int) -> Outcome:
    """The final tables as the columns that runs are compared by; every order of the reference market has its
    own deployment.
    """
    chain, engine = clock.chain, clock.engine
    rows = chain.orders[:orders]
    tracks = engine.tracks[:orders]
    plans = engine.plans[tracks[:, Track.plan]]
    leased = rows[:, Order.lease] >= 0
    leases = chain.leases[np.maximum(rows[:, Order.lease], 0)]
    closed = rows[:, Order.state] == OrderState.CLOSED
    fate = np.where(closed, int(Fate.TIMED_OUT), int(Fate.OPEN))
    running = np.where(
        leases[:, Lease.state] == LeaseState.INSUFFICIENT_FUNDS,
        int(Fate.INSUFFICIENT_FUNDS),
        int(Fate.ACTIVE),
    )
    ended = np.zeros(len(Ended), np.int64)
    for reason, value in FATES.items():
        ended[reason] = value
    fate = np.where(leased, np.where(closed, ended[tracks[:, Track.ended]], running), fate)
    desks = engine.desks[: len(collector.revenue)]
    if chain.globals.escrow == EscrowRule.SEQUENTIAL:  # moves whole uve, and keeps no sum of what was owed
        moved_whole, moved_atto = leases[:, Lease.withdrawn], np.zeros(len(leases), np.int64)
    else:
        moved_atto = leases[:, Lease.charged_atto] - leases[:, Lease.shortfall_atto]
        borrowed = moved_atto < 0
        moved_whole = leases[:, Lease.charged] - leases[:, Lease.shortfall] - borrowed
        moved_atto = moved_atto + ATTO * borrowed
    return Outcome(
        fate=fate.astype(np.int64),
        winner=np.where(leased, leases[:, Lease.slot], -1),
        start=np.where(leased, leases[:, Lease.created_at], 0),
        end=np.where(closed, rows[:, Order.closed_at], 0),
        bids=tracks[:, Track.bids].copy(),
        top_ups=plans[:, Plan.top_ups_used].copy(),
        paid_whole=np.where(leased, moved_whole, 0),
        paid_atto=np.where(leased, moved_atto, 0),
        revenue=collector.revenue,
        provider_bids=desks[:, Desk.accepted].copy(),
        provider_wins=desks[:, Desk.won].copy(),
    )


def design(agents: str) -> Any:
    """A benchmark design: run the market with such agents, return digest and seconds."""

    def run(draws: ReferenceMarket) -> tuple[str, float]:
        outcome, seconds = play_outcome(draws, agents)
        return digest(outcome), seconds

    return run


DESIGNS = {
    "batches": design("batch"),
    "event_per_order": design("per_order"),
    "reacting": design("reacting"),
    "python_policy": design("python_batch"),
    "python_policy_per_call": design("python"),
}
"""How agents hand over their orders, and who prices them."""


def recording_costs(draws: ReferenceMarket, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """What each level of `record:` costs with reacting tenants, medians of processor time: the run itself, and with
    the record made and written; over `summary`, and the most memory the process has held by then.
    """
    taken: dict[str, dict[str, list[float]]] = {}
    rows: dict[str, Any] = {}
    for number in range(rounds):
        for level in ("summary", "orders", "everything"):
            scenario = scenario_of(draws, "reacting", record=level)
            market = market_of(draws, scenario, draws.seed)
            begun = time.process_time()
            with tempfile.TemporaryDirectory() as folder, new_results(Path(folder) / "run", own=True) as write:
                clock, collector = play(scenario, market, draws.seed, out=write.folder)
                played = time.process_time() - begun
                record = collector.record(clock, versions(), played)
                write(record, summarize(record))
                whole = time.process_time() - begun
            each = taken.setdefault(level, {"run": [], "run_and_results": []})
            each["run"].append(played)
            each["run_and_results"].append(whole)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            rows.setdefault(level, {"peak_mib": peak})
            say(f"recording, round {number + 1}: {level} {played:.3f} s, written {whole:.3f} s, {peak:,} MiB")
            del clock, collector, market, record
            gc.collect()
    for level, each in taken.items():
        for name, seconds in each.items():
            rows[level][f"{name}_seconds"] = statistics.median(seconds)
            rows[level][f"{name}_over_summary"] = statistics.median(seconds) / statistics.median(taken["summary"][name])
    return rows


def audit_cost(draws: ReferenceMarket, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """What `--audit` costs with agents that hand over batches: medians of processor time, and their ratio."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    digests = set()
    for _ in range(rounds):
        for audit, each in taken.items():
            outcome, seconds = play_outcome(draws, audit=audit)
            digests.add(digest(outcome))
            each.append(seconds)
            gc.collect()
    plain, audited = (statistics.median(each) for each in taken.values())
    say(f"audit: {audited:.3f} s over {plain:.3f} s")
    return {"seconds": audited, "without": plain, "ratio": audited / plain, "identical": len(digests) == 1}


def rule_set_ratios(draws: ReferenceMarket, rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Each rule set against its own first-written model: equal outcomes, and how many times as fast."""
    rows = []
    for name, switches in RULE_SETS.items():
        slow = first_written.run(draws, first_written.RULE_SETS[name])
        outcomes = [play_outcome(draws, **switches) for _ in range(rounds)]
        parted = next((d for outcome, _ in outcomes if (d := first_difference(slow.outcome, outcome))), None)
        seconds = statistics.median(taken for _, taken in outcomes)
        rows.append(
            {
                "rules": name,
                "identical": parted is None,
                "first_difference": parted,
                "seconds": seconds,
                "first_written_seconds": slow.seconds,
                "ratio_to_first_written": slow.seconds / seconds,
            }
        )
        say(f"rules {name}: {rows[-1]}")
        del slow, outcomes
        gc.collect()
    return rows


__all__ = [
    "DESIGNS", "RULE_SETS", "audit_cost", "design", "outcome_of", "play_outcome", "recording_costs",
    "rule_set_ratios", "scenario_of",
]  # fmt: skip
