"""A strategy that learns its margin from what is leased: the module of notebooks/learning.py, so that workers can import it."""

from __future__ import annotations

import random
from typing import Any

from marketsim import PriceRequest, Refusal, RefusalCode

MARGINS = (0, 10, 20, 30, 45, 60)
"""Percent on top of the file's prices, among which it chooses."""


class Learner:
    """Tries a margin each day and keeps to what earned most: the margin × what was leased of the cpu at the day's end.

    One object a provider. Chance comes from a generator of its own with a seed, so that equal runs are equal.
    """

    def __init__(self) -> None:
        self.own: Any = None
        self.margin = MARGINS[1]
        self.earned: dict[int, list[float]] = {margin: [] for margin in MARGINS}
        self.history: list[tuple[int, int, float]] = []
        self.random = random.Random(0)

    def observe(self, own: Any) -> None:
        """Judge the day that ends, and choose for the next one."""
        if self.own is not None:
            reward = (100 + self.margin) * own.utilization
            self.earned[self.margin].append(reward)
            self.history.append((own.height, self.margin, reward))
        self.own = own
        untried = [margin for margin in MARGINS if not self.earned[margin]]
        if untried:
            self.margin = untried[0]
        elif self.random.random() < 0.1:
            self.margin = self.random.choice(MARGINS)
        else:
            self.margin = max(MARGINS, key=lambda margin: sum(self.earned[margin]) / len(self.earned[margin]))

    def price(self, request: PriceRequest) -> int | Refusal:
        """The file's price with the margin of the day, in units of 10^-18 uve a block."""
        price = self.own.prices.base_cost(request) * (100 + self.margin) // 100
        return int(price) if price <= request.price_ceiling else Refusal(RefusalCode.PRICE_TOO_HIGH)
