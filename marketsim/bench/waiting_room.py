"""Tenants that queue for a provider with room for few, and give up when they have waited too long: M/M/c
with patience.

The market has no queue for capacity of its own: who finds a provider full is refused. Here the tenants keep
one, as SimPy processes before the block clock: a tenant orders when a place is free, watches the chain
until its lease is closed, and then lets the next one in.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from marketsim.agents.streams import stream
from marketsim.bench.theory_markets import BLOCK_MS, PRICE, SETTLE_LIVES, WINDOW, Planted, cohort_of, exponential, market_of, provider_of
from marketsim.chain.columns import Lease, LeaseState
from marketsim.market.clock import BlockClock
from marketsim.market.tables import Call, Phase

WAITING_ROOM = "waiting room"
QUEUE_SERVERS, QUEUE_LIFE, QUEUE_PATIENCE, QUEUE_RATE = 5, 5000, 4000, 0.0009
# Besides its life a lease takes the window of two blocks; the block that takes the order comes half a block
# after an arrival and a whole one after a place was freed, half and half within a quarter of a block.
QUEUE_BLOCKS = QUEUE_LIFE + WINDOW + 0.75
_BLOCKS = 4_000_000


def queue_figures(seed: int, planted: Planted) -> dict[str, float]:
    """Share of tenants that give up, and mean number waiting, in one replication."""
    from marketsim.scenario import scenario_from_mapping
    from marketsim.simulation.build import build_market

    law = exponential(QUEUE_LIFE * planted.duration)
    scenario = scenario_from_mapping(
        market_of(
            blocks=_BLOCKS,
            cohorts=[cohort_of(planted, "web", QUEUE_RATE, law)],
            providers=[provider_of(planted, "p", cpu=QUEUE_SERVERS * 1000, price=PRICE / 1000)],
        )
    )
    market = build_market(scenario, seed)
    env = simpy.Environment()
    clock = BlockClock(env, market.chain, market.engine, take_events=_drop, take_bids=_drop, take_declines=_drop)
    places = simpy.Resource(env, QUEUE_SERVERS)
    calls = market.calls[0][np.argsort(market.calls[0][:, Call.time], kind="stable")]
    patience = stream(seed, "theory/patience").exponential(QUEUE_PATIENCE * BLOCK_MS, len(calls))
    waits: list[tuple[int, int, bool]] = []
    for call, limit in zip(calls, patience, strict=True):
        env.process(_tenant(clock, places, call[None, :].copy(), max(1, round(float(limit))), waits))
    env.run(until=_BLOCKS * BLOCK_MS)
    begin, end = SETTLE_LIVES * QUEUE_LIFE * BLOCK_MS, (_BLOCKS - SETTLE_LIVES * QUEUE_PATIENCE) * BLOCK_MS
    inside = [(waited, gave_up) for arrived, waited, gave_up in waits if begin < arrived <= end]
    return {
        "gave_up": sum(gave_up for _, gave_up in inside) / len(inside),
        "queue": sum(waited for waited, _ in inside) / (end - begin),
    }


def _tenant(
    clock: BlockClock, places: simpy.Resource, call: Any, patience_ms: int, waits: list[tuple[int, int, bool]]
) -> Generator[Any, Any, None]:
    """SimPy process: wait for a place, give up, or order and hold the place until the lease is closed."""
    env = clock.env
    arrived = int(call[0, Call.time])
    yield env.timeout(arrived)
    with places.request() as ticket:
        yield ticket | env.timeout(patience_ms)
        waits.append((arrived, int(env.now) - arrived, not ticket.triggered))
        if not ticket.triggered:
            return
        height = clock.height_of(int(env.now))
        call[0, Call.time] = env.now
        call[0, Call.key] = height * 16 + Phase.ARRIVE
        clock.submit_rows(call)
        plan = int(call[0, Call.plan])
        # The chain shows a block's outcome once it has been executed: a moment after the block's time.
        wait = (height + WINDOW + int(clock.engine.plans[plan].duration)) * BLOCK_MS + 1 - env.now
        while wait > 0:
            yield env.timeout(wait)
            clock.look()
            wait = 0 if _has_left(clock, plan) else BLOCK_MS


def _has_left(clock: BlockClock, plan: int) -> bool:
    """Whether the lease of a plan's order is closed, or the order never got one."""
    chain = clock.chain
    deployment = int(clock.engine.plans[plan].deployment)
    order = int(chain.groups[int(chain.deployments[deployment].first_group)].last_order)
    lease = int(chain.orders[order].lease)
    return lease < 0 or bool(chain.leases[lease, Lease.state] == LeaseState.CLOSED)


def _drop(rows: Any) -> None:
    del rows
