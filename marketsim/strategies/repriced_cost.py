"""Cost plus margin that moves with utilization, as a user writes it: the example class of docs/strategies.md.

The rule is that of the reference market (docs/reference-market.md, Repricing): the same prices as the compiled
engine's, to the last unit, from Python integers or from numpy columns.
"""

from __future__ import annotations

import numpy as np

from marketsim.money.units import MIB, NANO, PPM
from marketsim.strategies.requests import Column, OwnDesk, Prices, RequestBatch
from marketsim.strategies.rules import Answer, PriceRequest, within_ceiling


class RepricedCostPlus:
    """Resources x unit prices x (1 + margin), rounded down; unit prices follow the provider's own use once a day.

    Above 80 % of its cpu leased the multiplier rises by 5 %, below 30 % it falls by 5 %, within a half and two.
    Prices and margin are the provider's own, as `observe` tells them.
    """

    def __init__(self) -> None:
        self.multiplier_ppm = PPM
        self.margin_ppm = 0
        self.units = (0, 0, 0, 0)

    def observe(self, own: OwnDesk, /) -> None:
        """Move the multiplier by the day's use; the first call, before block 1, only tells the prices."""
        if own.height > 0:
            used, capacity = own.leased.cpu * 100, own.capacity.cpu
            if used > capacity * 80:
                self.multiplier_ppm = min(self.multiplier_ppm * 105 // 100, 2 * PPM)
            elif used < capacity * 30:
                self.multiplier_ppm = max(self.multiplier_ppm * 95 // 100, PPM // 2)
        self.margin_ppm = own.margin_ppm
        prices = (own.prices.cpu_millicores, own.prices.memory_mb, own.prices.storage_mb, own.prices.gpu)
        cpu, memory, storage, gpu = (price * self.multiplier_ppm // PPM for price in prices)
        self.units = (cpu, memory, storage, gpu)

    def price(self, request: PriceRequest, /) -> Answer:
        """The price in 10^-18 uve per block, or the refusal where it is above the ceiling."""
        cpu, memory, storage, gpu = self.units
        base = (
            request.total_cpu() * cpu
            + -(-request.total_memory() // MIB) * memory
            + -(-request.total_storage() // MIB) * storage
            + request.total_gpu() * gpu
        )
        return within_ceiling(base * (PPM + self.margin_ppm) // PPM, request)


class RepricedCostPlusColumns(RepricedCostPlus):
    """The same prices for a whole hand-over at once.

    Money outgrows int64, so that each amount is three limbs: whole uve, the next nine decimals, the last nine.
    """

    def price_many(self, requests: RequestBatch, /) -> Prices:
        """As `price`, one by one. A sum of sizes x limbs stays below 2^63 up to 9 x 10^9 units of a resource."""
        sizes = (requests.cpu, -(-requests.memory // MIB), -(-requests.storage // MIB), requests.gpu)
        last = _total(sizes, [unit % NANO for unit in self.units])
        middle = _total(sizes, [unit // NANO % NANO for unit in self.units]) + last // NANO
        whole = _total(sizes, [unit // NANO**2 for unit in self.units]) + middle // NANO
        factor = PPM + self.margin_ppm
        whole *= factor
        middle = whole % PPM * NANO + middle % NANO * factor
        last = middle % PPM * NANO + last % NANO * factor
        # what is carried down from a remainder comes back up at most once
        last //= PPM
        middle = middle // PPM + last // NANO
        whole = whole // PPM + middle // NANO
        return Prices.within_ceilings(requests, whole, middle % NANO * NANO + last % NANO)


def _total(sizes: tuple[Column, ...], limbs: list[int]) -> Column:
    """Sizes times limbs, summed; limbs of 0 are left out."""
    total: Column = np.zeros(len(sizes[0]), np.int64)
    for size, limb in zip(sizes, limbs, strict=True):
        if limb:
            total += size * limb
    return total
