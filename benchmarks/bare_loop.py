"""The least that SimPy can take for a number of events: one process that waits, again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import simpy


def waiting(env: simpy.Environment, times: int) -> Iterator[simpy.Event]:
    for _ in range(times):
        yield env.timeout(1)


def run(events: int) -> float:
    """Seconds for `events` timeouts of one process, one after the other."""
    env = simpy.Environment()
    env.process(waiting(env, events))
    begun = time.process_time()
    env.run()
    return time.process_time() - begun
