"""Providers as SimPy processes: outages that come and go, faults and governance at given moments."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from marketsim.market.clock import BlockClock
from marketsim.market.tables import Kind, Phase


def outages(
    clock: BlockClock, desk: int, key: int, rng: np.random.Generator, every_ms: int, lasts_ms: int, closes_ppm: int
) -> Generator[Any, Any, None]:
    """SimPy process of one provider: exponential times up of mean `every_ms`, exponential times down of mean
    `lasts_ms`.

    `key` is the desk's (Desk.key), which breaks ties. Going down, the provider closes a share of its leases (`closes_ppm`); while it is
    down its engine does not bid.
    """
    while True:
        yield clock.env.timeout(max(1, round(rng.exponential(every_ms))))
        clock.submit(Kind.OUTAGE, Phase.GOVERN, desk=desk, begins=1, share_ppm=closes_ppm, tie=key)
        yield clock.env.timeout(max(clock.block_ms, round(rng.exponential(lasts_ms))))
        clock.submit(Kind.OUTAGE, Phase.GOVERN, desk=desk, begins=0, tie=key)


def fault(clock: BlockClock, desk: int, key: int, kind: Kind, at_ms: int, lasts_ms: int, begins: bool) -> Generator[Any, Any, None]:
    """SimPy process of one planned fault: an outage, or a block by governance, lifted after `lasts_ms` (0 =
    never).
    """
    yield clock.env.timeout(at_ms)
    clock.submit(kind, Phase.GOVERN, desk=desk, begins=int(begins), share_ppm=1_000_000 if kind == Kind.OUTAGE else 0, tie=key)
    if lasts_ms > 0:
        yield clock.env.timeout(lasts_ms)
        clock.submit(kind, Phase.GOVERN, desk=desk, begins=0, tie=key)
