"""Providers' outages that come and go at random, as SimPy processes."""

from __future__ import annotations

import copy
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from marketsim.market.clock import BlockClock
from marketsim.market.tables import Kind, Phase


@dataclass
class Outage:
    """How far a provider's outages have come: all that their process knows beside what it was begun with."""

    rng: np.random.Generator
    at_ms: int = -1
    """When it goes down or comes up next; -1 = not drawn yet."""
    down: bool = False

    def copy(self, clock: BlockClock) -> Outage:
        """Return another one that is as far and will draw the same; whose clock it is does not matter."""
        return replace(self, rng=copy.deepcopy(self.rng))


def outages(
    clock: BlockClock, desk: int, key: int, place: Outage, every_ms: int, lasts_ms: int, closes_ppm: int
) -> Generator[Any, Any, None]:
    """SimPy process of one provider: exponential times up of mean `every_ms`, exponential times down of mean
    `lasts_ms`.

    `key` is the desk's (Desk.key), which breaks ties; `place` is where it begins, and kept up. Going down, the provider closes a share of
    its leases (`closes_ppm`); while it is down its engine does not bid.
    """
    if place.at_ms < 0:
        place.at_ms = int(clock.env.now) + max(1, round(place.rng.exponential(every_ms)))
    while True:
        if place.at_ms > clock.env.now:
            yield clock.env.timeout(place.at_ms - int(clock.env.now))
        if place.down:
            clock.submit(Kind.OUTAGE, Phase.GOVERN, desk=desk, begins=0, tie=key)
            place.at_ms += max(1, round(place.rng.exponential(every_ms)))
        else:
            clock.submit(Kind.OUTAGE, Phase.GOVERN, desk=desk, begins=1, share_ppm=closes_ppm, tie=key)
            place.at_ms += max(clock.block_ms, round(place.rng.exponential(lasts_ms)))
        place.down = not place.down
