"""Cost plus margin that moves with utilization, as a user writes it: the example class of docs/strategies.md.

The rule is that of the reference market (docs/reference-market.md, Repricing): the same prices as the compiled
engine's, to the last unit, from Python integers or from numpy columns.
"""

from __future__ import annotations

import numpy as np

from marketsim.kernel.table_set import Table
from marketsim.money.units import MIB, NANO, PPM
from marketsim.strategies.hearing import Outcomes, OwnDesks, StrategyRun
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


class RepricedCostPlusColumns:
    """The same prices for every provider of a cohort and every order of a block at once.

    Money outgrows int64, so that each unit price is three limbs: whole uve, the next nine decimals, the last nine.

    >>> import marketsim as ms
    >>> ms.check_strategy(ms.RepricedCostPlusColumns)
    """

    def __init__(self) -> None:
        self.multiplier_ppm: Column = np.zeros(0, np.int64)
        self.factor: Column = np.zeros(0, np.int64)
        self.limbs: Table = np.zeros((3, 4, 0), np.int64)

    def start(self, me: StrategyRun, /) -> None:
        """Begin with the prices of the providers' files."""
        self.multiplier_ppm = np.full(len(me.own), PPM)
        self._reprice(me.own)

    def hear(self, own: OwnDesks, outcomes: Outcomes, /) -> None:
        """Move the multipliers by the day's use."""
        used, capacity, now = own.leased_cpu * 100, own.cpu, self.multiplier_ppm
        lower = np.where(used < capacity * 30, np.maximum(now * 95 // 100, PPM // 2), now)
        self.multiplier_ppm = np.where(used > capacity * 80, np.minimum(now * 105 // 100, 2 * PPM), lower)
        self._reprice(own)

    def _reprice(self, own: OwnDesks) -> None:
        """Write the unit prices times the multiplier, rounded down at 10^-18, as limbs (3, resources, desks)."""
        units = own.units.reshape(len(own), 4, 2)
        limbs = np.stack([units[:, :, 0], units[:, :, 1] // NANO, units[:, :, 1] % NANO], axis=1)
        limbs = limbs * self.multiplier_ppm[:, None, None]
        limbs[:, 1] += limbs[:, 0] % PPM * NANO
        limbs[:, 2] += limbs[:, 1] % PPM * NANO
        limbs //= PPM
        limbs[:, 1] += limbs[:, 2] // NANO
        limbs[:, 0] += limbs[:, 1] // NANO
        limbs[:, 1:] %= NANO
        self.limbs = np.ascontiguousarray(limbs.transpose(1, 2, 0))
        self.factor = PPM + own.margin_ppm

    def decide(self, batch: RequestBatch, own: OwnDesks, outcomes: Outcomes, /) -> Prices:
        """As `price` of RepricedCostPlus, one by one; what is above a ceiling the engine refuses. A sum of sizes x limbs stays below 2^63
        up to 9 x 10^9 units of a resource.
        """
        desk = batch.desk
        sizes = np.array([batch.cpu, batch.memory, batch.storage, batch.gpu])
        sizes[1:3] += MIB - 1
        sizes[1:3] //= MIB
        whole, middle, last = (self.limbs[:, :, desk] * sizes).sum(axis=1)
        factor = self.factor[desk]
        carried = last // NANO
        last -= carried * NANO
        middle += carried
        carried = middle // NANO
        middle -= carried * NANO
        whole = (whole + carried) * factor
        middle *= factor
        last *= factor
        # each is divided by a million; what is left goes down a limb, and what it is too much there comes back up
        carried = whole // PPM
        middle += (whole - carried * PPM) * NANO
        whole = carried
        carried = middle // PPM
        last += (middle - carried * PPM) * NANO
        middle = carried + last // (PPM * NANO)
        last = last // PPM % NANO
        carried = middle // NANO
        return Prices(whole + carried, (middle - carried * NANO) * NANO + last)
