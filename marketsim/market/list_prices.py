"""The unit prices of a provider's file in the row of its desk: the one place that knows how they lie there, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from marketsim.kernel.compiled import compiled
from marketsim.kernel.rows import Rows
from marketsim.kernel.table_set import Table
from marketsim.market.quoting import refresh_units
from marketsim.market.tables import Desk
from marketsim.money.units import ATTO

UNITS = ("cpu", "memory", "storage", "gpu")
"""What has a price: a millicore, a MiB, a MiB and a GPU."""
COLUMNS = range(Desk.list_cpu, Desk.list_gpu_atto + 1)
"""The columns of a desk that hold list prices: whole uve and 10^-18 uve in turn, by unit."""


def set_list_prices(desk: Desk, prices: Sequence[int]) -> None:
    """Write the four unit prices of a desk, in 10^-18 uve per block, and the effective prices that follow from them."""
    desk[COLUMNS.start : COLUMNS.stop] = [part for price in prices for part in divmod(price, ATTO)]
    refresh_units(desk)


def set_each_list_prices(desks: Rows[Desk], prices: Sequence[Sequence[int]]) -> None:
    """Do for each of some desks what `set_list_prices` does for one; `prices` by desk."""
    parts = [[part for price in of_desk for part in divmod(price, ATTO)] for of_desk in prices]
    desks[:, COLUMNS.start : COLUMNS.stop] = np.asarray(parts, np.int64).reshape(len(desks), len(COLUMNS))
    refresh_each(desks)


@compiled
def refresh_each(desks: Rows[Desk]) -> None:
    """Write the effective unit prices of each desk (`refresh_units`)."""
    for desk in range(desks.shape[0]):
        refresh_units(desks[desk])


def list_prices(desk: Desk) -> list[int]:
    """Return the four unit prices of a desk in 10^-18 uve per block."""
    parts = [int(part) for part in desk[COLUMNS.start : COLUMNS.stop]]
    return [whole * ATTO + atto for whole, atto in zip(parts[::2], parts[1::2], strict=True)]


def list_price_pairs(desks: Table) -> Table:
    """Return the unit prices of desks, int64 (desks, units, 2): whole uve and 10^-18 uve."""
    return np.array(desks[:, COLUMNS.start : COLUMNS.stop]).reshape(len(desks), len(UNITS), 2)
