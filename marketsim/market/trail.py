"""The trail of a run, chunk by chunk of blocks: what the desks' state is at the end of each, and where the next one ends."""

from __future__ import annotations

from marketsim.chain.events import SUM, TRAIL_BLOCKS, chunk_of, hash64
from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled
from marketsim.market.tables import Decline, Engine

FIRST_USERS = int(Decline.SCRIPT_FAILED)
"""Reasons for no bid from this one on are users' code's, and count where they occur."""


@compiled
def desks_state(s: State, e: Engine) -> int:
    """Return a hash of the state of all desks by their names, 0 < hash < 2^62: what is free, queued, won and declined, never a price."""
    total = 1
    for slot in range(s.globals.providers):
        desk = e.desks[slot]
        one = hash64(s.providers[slot].id, desk.accepted, desk.won, desk.lost)
        one = hash64(one, desk.closed, desk.queued, desk.slots_left)
        one = hash64(one, desk.shut, desk.leases_left, desk.multiplier_ppm)
        one = hash64(one, desk.free_cpu, desk.free_memory, desk.free_storage)
        one = hash64(one, desk.free_gpu, desk.up, desk.enabled)
        declined = 0
        for reason in range(FIRST_USERS):
            if e.declined[reason, slot] != 0:
                declined = hash64(declined, reason, e.declined[reason, slot], 0)
        total = (total + (hash64(one, declined, 0, 0) & SUM)) & SUM
    return total


@compiled
def close_chunk(s: State, e: Engine, height: int) -> None:
    """End the chunk under way, in the present state, and begin the one of block `height`."""
    at = chunk_of(s, e.globals.trail_until)
    s.trail[at].desks = desks_state(s, e)
    e.globals.trail_until = (height + TRAIL_BLOCKS - 1) // TRAIL_BLOCKS * TRAIL_BLOCKS
