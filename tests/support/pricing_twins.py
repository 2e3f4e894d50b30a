"""Readable twins of rules that run compiled, which tests hold to them: a price in integers, two windows of rate limits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from marketsim.money.text import half_even, truncate
from marketsim.money.units import ATTO, HOUR_MS, MINUTE_MS
from marketsim.strategies.rules import Answer, PriceRequest, UnitPrices, within_ceiling


@dataclass(frozen=True, slots=True)
class CostPlusMargin:
    """The training document: base cost times (1 + margin), the exact product rounded half to even at 10^-18.

    `margin_percent` is a percentage in units of 10^-18: 10 % is 10 x 10^18. `floor` rounds down instead.
    """

    prices: UnitPrices
    margin_percent: int = 0
    floor: bool = False

    def price(self, request: PriceRequest, /) -> Answer:
        """Base cost and margin."""
        product = self.prices.base_cost(request) * (100 * ATTO + self.margin_percent)
        rounded = truncate if self.floor else half_even
        return within_ceiling(rounded(product, 100 * ATTO), request)


@dataclass(slots=True)
class RateLimit:
    """Two sliding windows over the times (ms) at which a bid was let through; both must have room.

    A bid leaves a window when it is exactly as old as the window is long. A refused attempt takes no room;
    one that is let through does, even if pricing then fails.
    """

    per_minute: int = 10
    per_hour: int = 100
    minute: deque[int] = field(default_factory=deque)
    hour: deque[int] = field(default_factory=deque)

    def allow(self, now_ms: int) -> bool:
        """Take a place in both windows at `now_ms`, which never goes back; False where one is full."""
        while self.minute and self.minute[0] <= now_ms - MINUTE_MS:
            self.minute.popleft()
        while self.hour and self.hour[0] <= now_ms - HOUR_MS:
            self.hour.popleft()
        if len(self.minute) >= self.per_minute or len(self.hour) >= self.per_hour:
            return False
        self.minute.append(now_ms)
        self.hour.append(now_ms)
        return True
