"""Tenants as SimPy processes: they hand dated orders to the block clock, and those who react wait for the outcome."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marketsim.kernel.table_set import Table
from marketsim.market.clock import BlockClock
from marketsim.market.tables import Call

NEVER = 1 << 62
"""Later than every time in milliseconds."""


@dataclass
class HowFar:
    """How far a process of tenants has come: all that it knows beside what it was begun with, so that a copy goes on from there."""

    row: int = 0
    """The next message to hand over."""
    looks: deque[tuple[int, int]] = field(default_factory=deque)
    """When to look at which plan, the first to come in front."""

    def copy(self) -> HowFar:
        """Return another one that is as far."""
        return HowFar(self.row, deque(self.looks))


def batches(clock: BlockClock, calls: Table, every_ms: int, place: HowFar | None = None) -> Generator[Any, Any, None]:
    """SimPy process: hand over the orders of the next `every_ms` at a time, dated, at the start of each such span.

    `calls` are rows of `Call` sorted by submission time. `place` (here and in the other processes of this module) is where it begins, and
    kept up.
    """
    place = place or HowFar()
    start = place.row
    times = calls[:, Call.time]
    while start < len(calls):
        until = (int(times[start]) // every_ms) * every_ms
        if until > clock.env.now:
            yield clock.env.timeout(until - clock.env.now)
        end = int(np.searchsorted(times, until + every_ms, side="left"))
        rows = calls[start:end]
        clock.submit_rows(rows)
        start = place.row = end


def one_by_one(clock: BlockClock, calls: Table, place: HowFar | None = None) -> Generator[Any, Any, None]:
    """SimPy process: one event an order, submitted at its own moment."""
    place = place or HowFar()
    env = clock.env
    timeout = env.timeout
    send = clock.sender(calls)
    now = int(env.now)
    for row, time in enumerate(calls[place.row :, Call.time].tolist(), place.row):
        if time > now:
            place.row = row
            yield timeout(time - now)
            now = time
        send(row)
    place.row = len(calls)


def reacting(
    clock: BlockClock,
    calls: Table,
    wait_ms: int,
    again: Callable[[int], Table | None],
    place: HowFar | None = None,
) -> Generator[Any, Any, None]:
    """SimPy process of a cohort whose tenants wait for the outcome: it wakes for each order, and `wait_ms` after each.

    The tenant then looks at the chain; when its order has no lease, `again(plan)` may return another message to submit, and it waits
    for that one. All wait equally long, so that who ordered first looks first.
    """
    place = place or HowFar()
    env = clock.env
    timeout = env.timeout
    send, look, has_lease = clock.sender(calls), clock.look, clock.has_lease
    plans = calls[:, Call.plan].tolist()
    row, looks = place.row, place.looks
    times = iter(calls[row:, Call.time].tolist())
    order_at = next(times, NEVER)
    look_at = looks[0][0] if looks else NEVER
    now = int(env.now)
    while True:
        wake = order_at if order_at <= look_at else look_at
        if wake > now:
            if wake == NEVER:
                return
            yield timeout(wake - now)
            now = wake
        if order_at <= look_at:
            send(row)
            looks.append((now + wait_ms, plans[row]))
            row += 1
            place.row = row
            order_at = next(times, NEVER)
        else:
            plan = looks.popleft()[1]
            look()
            if not has_lease(plan):
                message = again(plan)
                if message is not None:
                    clock.submit_rows(message)
                    looks.append((now + wait_ms, int(message[0, Call.plan])))
        look_at = looks[0][0] if looks else NEVER
