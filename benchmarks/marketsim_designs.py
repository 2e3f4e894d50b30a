"""marketsim on the reference market: the same draws through its chain, and the outcome in the yardsticks'
columns.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from digest import Fate, Outcome, digest

from marketsim.agents.reference_market import ReferenceMarket
from marketsim.chain.columns import Lease, LeaseState, Order, OrderState
from marketsim.chain.money import subtract_columns
from marketsim.clock.block_clock import BlockClock
from marketsim.policies.tables import Desk, Ended, Plan, Track
from marketsim.scenario.load import scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.simulation.collect import Collector
from marketsim.simulation.reference import market_of
from marketsim.simulation.run import play

FATES = {
    Ended.LEASE_COMPLETED: Fate.CLOSED_COMPLETED,
    Ended.TENANT_TERMINATED: Fate.CLOSED_BY_TENANT,
    Ended.INSUFFICIENT_FUNDS: Fate.CLOSED_FUNDS,
    Ended.PROVIDER_CLOSED: Fate.CLOSED_BY_PROVIDER,
}


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
        "order_max_bids": 500,
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


def play_outcome(
    draws: ReferenceMarket, agents: str = "batch", audit: bool = False, **switches: Any
) -> tuple[Outcome, float]:
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
    plans = engine.plans[tracks[:, Track.PLAN]]
    leased = rows[:, Order.LEASE] >= 0
    leases = chain.leases[np.maximum(rows[:, Order.LEASE], 0)]
    closed = rows[:, Order.STATE] == OrderState.CLOSED
    fate = np.where(closed, int(Fate.TIMED_OUT), int(Fate.OPEN))
    running = np.where(
        leases[:, Lease.STATE] == LeaseState.INSUFFICIENT_FUNDS,
        int(Fate.INSUFFICIENT_FUNDS),
        int(Fate.ACTIVE),
    )
    ended = np.zeros(len(Ended), np.int64)
    for reason, value in FATES.items():
        ended[reason] = value
    fate = np.where(leased, np.where(closed, ended[tracks[:, Track.ENDED]], running), fate)
    desks = engine.desks[: len(collector.revenue)]
    moved_whole, moved_atto = subtract_columns(
        leases[:, Lease.CHARGED],
        leases[:, Lease.CHARGED_ATTO],
        leases[:, Lease.SHORTFALL],
        leases[:, Lease.SHORTFALL_ATTO],
    )
    return Outcome(
        fate=fate.astype(np.int64),
        winner=np.where(leased, leases[:, Lease.SLOT], -1),
        start=np.where(leased, leases[:, Lease.CREATED_AT], 0),
        end=np.where(closed, rows[:, Order.CLOSED_AT], 0),
        bids=tracks[:, Track.BIDS].copy(),
        top_ups=plans[:, Plan.TOP_UPS_USED].copy(),
        paid_whole=np.where(leased, moved_whole, 0),
        paid_atto=np.where(leased, moved_atto, 0),
        revenue=collector.revenue,
        provider_bids=desks[:, Desk.ACCEPTED].copy(),
        provider_wins=desks[:, Desk.WON].copy(),
    )


def design(agents: str) -> Any:
    """A benchmark design: run the market with such agents, return digest and seconds."""

    def run(draws: ReferenceMarket) -> tuple[str, float]:
        outcome, seconds = play_outcome(draws, agents)
        return digest(outcome), seconds

    return run


__all__ = ["design", "outcome_of", "play_outcome", "scenario_of"]
