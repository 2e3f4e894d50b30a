"""The strategy that this project is about: the file's prices, dearer when more than half is leased."""

from __future__ import annotations

from marketsim import PriceRequest, Refusal, RefusalCode

BUSY_FROM = 0.5
BUSY_PERCENT = 20


class NightOwl:
    """Cost plus the file's margin, and `BUSY_PERCENT` more on a busy provider."""

    def __init__(self) -> None:
        self.own = None

    def observe(self, own) -> None:
        """Called before the first block and at every day's end."""
        self.own = own

    def price(self, request: PriceRequest) -> int | Refusal:
        """10⁻¹⁸ uve a block, or why there is no bid."""
        cost = self.own.prices.base_cost(request)
        price = cost * (1_000_000 + self.own.margin_ppm) // 1_000_000
        if self.own.utilization > BUSY_FROM:
            price = price * (100 + BUSY_PERCENT) // 100
        return price if price <= request.price_ceiling else Refusal(RefusalCode.PRICE_TOO_HIGH)
