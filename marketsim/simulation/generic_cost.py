"""What an order costs at the generic monthly targets: the yardstick of ceilings, values and deposits that
scenarios name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marketsim.market.order_rows import COUNT_MAX, DRAWN_MAX
from marketsim.money.units import ATTO, BLOCKS_A_MONTH, GIB, MILLICORES, UVE_PER_VE, WHOLE_MAX

USD_THREAD = 1.60
USD_MEMORY_GIB = 0.80
USD_STORAGE_GIB = 0.02
USD_GPU = 100.0
"""USD a month (protocol reference 4.2, production generic script)."""


def generic_cost(
    cpu: NDArray[np.int64], memory: NDArray[np.int64], storage: NDArray[np.int64], gpu: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return uve per block for columns of millicores, bytes, bytes and units, with 1 VE = 1 USD."""
    usd = cpu / MILLICORES * USD_THREAD + memory / GIB * USD_MEMORY_GIB + storage / GIB * USD_STORAGE_GIB + gpu * USD_GPU
    return np.asarray(usd / BLOCKS_A_MONTH * UVE_PER_VE)


def whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return numbers of 0 or more as the nearest whole ones that a column holds."""
    found: NDArray[np.int64] = np.rint(np.minimum(values, DRAWN_MAX)).astype(np.int64)
    return found


def whole_number(value: float) -> int:
    """Return what `whole` does for one number."""
    return round(min(value, DRAWN_MAX))


def to_pair(uve: NDArray[np.float64], decimals: int = 6) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return prices as (whole, atto) columns, rounded to `decimals` as manifests write them, at least one
    last unit.
    """
    uve = np.minimum(uve, float(WHOLE_MAX))
    scale = 10**decimals
    if uve.max(initial=0.0) * float(scale) < COUNT_MAX:
        units = np.maximum(np.rint(uve * scale), 1).astype(np.int64)
        in_uve = units // scale
        return in_uve, (units - in_uve * scale) * (ATTO // scale)
    large = uve * float(scale) >= COUNT_MAX  # beyond what a count of last units holds: whole uve and the rest apart
    units = np.maximum(np.rint(np.where(large, uve % 1.0, uve) * scale), np.where(large, 0, 1)).astype(np.int64)
    units_of_uve = np.where(large, np.floor(uve), 0.0).astype(np.int64)
    return units_of_uve + units // scale, (units % scale) * (ATTO // scale)
