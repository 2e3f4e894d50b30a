"""Tenants as SimPy processes: they hand dated orders to the block clock, and those who react wait for the outcome."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import simpy

from marketsim.kernel.table_set import Table
from marketsim.market.clock import BlockClock
from marketsim.market.tables import Call

NEVER = 1 << 62
"""Later than every time in milliseconds."""


def batches(clock: BlockClock, calls: Table, every_ms: int) -> Generator[Any, Any, None]:
    """SimPy process: hand over the orders of the next `every_ms` at a time, dated, at the start of each such span.

    `calls` are rows of `Call` sorted by submission time.
    """
    start = 0
    times = calls[:, Call.time]
    while start < len(calls):
        until = (int(times[start]) // every_ms) * every_ms
        if until > clock.env.now:
            yield clock.env.timeout(until - clock.env.now)
        end = int(np.searchsorted(times, until + every_ms, side="left"))
        rows = calls[start:end]
        clock.submit_rows(rows)
        start = end


def one_by_one(clock: BlockClock, calls: Table) -> Generator[Any, Any, None]:
    """SimPy process: one event an order, submitted at its own moment."""
    env = clock.env
    timeout = env.timeout
    send = clock.sender(calls)
    now = int(env.now)
    for row, time in enumerate(calls[:, Call.time].tolist()):
        if time > now:
            yield timeout(time - now)
            now = time
        send(row)


def reacting(clock: BlockClock, calls: Table, wait_ms: int, again: Callable[[int], Table | None]) -> Generator[Any, Any, None]:
    """SimPy process of a cohort whose tenants wait for the outcome: it wakes for each order, and `wait_ms` after each.

    The tenant then looks at the chain; when its order has no lease, `again(plan)` may return another message to submit, and it waits
    for that one. All wait equally long, so that who ordered first looks first.
    """
    env = clock.env
    timeout = env.timeout
    send, look, has_lease = clock.sender(calls), clock.look, clock.has_lease
    plans = calls[:, Call.plan].tolist()
    times = iter(calls[:, Call.time].tolist())
    looks: deque[tuple[int, int]] = deque()
    row = 0
    order_at = next(times, NEVER)
    look_at = NEVER
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


def start(env: simpy.Environment, process: Generator[Any, Any, None]) -> None:
    """Start a process."""
    env.process(process)
