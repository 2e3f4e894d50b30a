"""What an order costs at the generic monthly targets: the yardstick of ceilings, values and deposits that
scenarios name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

USD_THREAD = 1.60
USD_MEMORY_GIB = 0.80
USD_STORAGE_GIB = 0.02
USD_GPU = 100.0
"""USD a month (protocol reference 4.2, production generic script)."""

MONTH_BLOCKS = 429_909
"""Blocks of a month of 30.437 days at 6.117 s, the script's own figure."""


def generic_cost(
    cpu: NDArray[np.int64], memory: NDArray[np.int64], storage: NDArray[np.int64], gpu: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return uve per block for columns of millicores, bytes, bytes and units, with 1 VE = 1 USD."""
    usd = cpu / 1000 * USD_THREAD + memory / 2**30 * USD_MEMORY_GIB + storage / 2**30 * USD_STORAGE_GIB + gpu * USD_GPU
    return np.asarray(usd / MONTH_BLOCKS * 1e6)


WHOLE_MAX = 4e18
"""Draws beyond are cut: a column of whole numbers holds no more than 9.2e18."""


def whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return numbers of 0 or more as the nearest whole ones that a column holds."""
    found: NDArray[np.int64] = np.rint(np.minimum(values, WHOLE_MAX)).astype(np.int64)
    return found


def to_pair(uve: NDArray[np.float64], decimals: int = 6) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return prices as (whole, atto) columns, rounded to `decimals` as manifests write them, at least one
    last unit.
    """
    units = np.maximum(whole(uve * 10**decimals), 1)
    scale = 10**decimals
    return units // scale, (units % scale) * (10**18 // scale)
