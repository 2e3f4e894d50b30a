"""Tenants as SimPy processes: they hand dated orders to the block clock, and those who react wait for the outcome."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import simpy

from marketsim.chain.columns import Deployment, Group, Order
from marketsim.chain.state import Table
from marketsim.clock.block_clock import BlockClock
from marketsim.policies.tables import Call, Plan

OnLook = Callable[[Table], None]


def batches(clock: BlockClock, calls: Table, every_ms: int, before: OnLook | None = None) -> Generator[Any, Any, None]:
    """SimPy process: hand over the orders of the next `every_ms` at a time, dated, at the start of each such span.

    `calls` are rows of `Call` sorted by submission time. `before` (here and in the other processes of this module) sees the messages before
    they go, to price them where desks are a user's.
    """
    start = 0
    times = calls[:, Call.TIME]
    while start < len(calls):
        until = (int(times[start]) // every_ms) * every_ms
        if until > clock.env.now:
            yield clock.env.timeout(until - clock.env.now)
        end = int(np.searchsorted(times, until + every_ms, side="left"))
        rows = calls[start:end]
        if before is not None:
            before(rows)
        clock.submit_rows(rows)
        start = end


def one_by_one(clock: BlockClock, calls: Table, before: OnLook | None = None) -> Generator[Any, Any, None]:
    """SimPy process: one event an order, submitted at its own moment."""
    env = clock.env
    times = calls[:, Call.TIME].tolist()
    timeout = env.timeout
    submit = clock.submit_rows
    now = 0
    for at, time in enumerate(times):
        if time > now:
            yield timeout(time - now)
            now = time
        if before is not None:
            before(calls[at : at + 1])
        submit(calls[at : at + 1])


def reacting(
    clock: BlockClock, calls: Table, wait_ms: int, again: Callable[[int], Table | None], before: OnLook | None = None
) -> Generator[Any, Any, None]:
    """SimPy process of a cohort whose tenants wait for the outcome: a process of its own for each order.

    After `wait_ms` the tenant looks at the chain; when its order has no lease, `again(plan)` may return another message to submit.
    """
    env = clock.env
    times = calls[:, Call.TIME].tolist()
    now = 0
    for at, time in enumerate(times):
        if time > now:
            yield env.timeout(time - now)
            now = time
        env.process(order_and_react(clock, calls[at : at + 1], wait_ms, again, before))


def order_and_react(
    clock: BlockClock, call: Table, wait_ms: int, again: Callable[[int], Table | None], before: OnLook | None = None
) -> Generator[Any, Any, None]:
    """SimPy process of one order: submit, wait, read the outcome, perhaps order again."""
    message: Table | None = call
    while message is not None:
        plan = int(message[0, Call.A])
        if before is not None:
            before(message)
        clock.submit_rows(message)
        yield clock.env.timeout(wait_ms)
        clock.look()
        message = None if has_lease(clock, plan) else again(plan)


def has_lease(clock: BlockClock, plan: int) -> bool:
    """Return whether the deployment of a plan has a lease on its first group's newest order."""
    deployment = int(clock.engine.plans[plan, Plan.DEPLOYMENT])
    if deployment < 0:
        return False
    chain = clock.chain
    group = int(chain.deployments[deployment, Deployment.FIRST_GROUP])
    order = int(chain.groups[group, Group.LAST_ORDER])
    return bool(chain.orders[order, Order.LEASE] >= 0)


def start(env: simpy.Environment, process: Generator[Any, Any, None]) -> None:
    """Start a process."""
    env.process(process)
