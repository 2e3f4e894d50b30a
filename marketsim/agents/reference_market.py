"""Draws the orders and providers of RM-1, the reference market that all figures of speed refer to.

Each draw comes from its own named stream (marketsim.agents.streams), so that another number of providers
changes no order and a longer horizon changes no provider's price. Amounts of money are exact: a pair of
int64 (whole, atto) stands for whole + atto / 10**18 uve, where 0 <= atto < 10**18.

What the market does with these draws stands in docs/reference-market.md.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from marketsim.agents.streams import stream
from marketsim.money.units import ATTO

Column = npt.NDArray[np.int64]

BLOCKS_PER_DAY = 14_400
RESOURCES = ("cpu", "memory", "storage", "gpu")
MAX_TOP_UPS = 3
MAX_BID_LATENCY = 5

_SIZES: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...] = (
    ((100, 500, 1_000, 2_000, 4_000, 8_000, 16_000), (0.15, 0.20, 0.25, 0.20, 0.10, 0.07, 0.03)),
    ((128, 512, 2_048, 8_192, 16_384, 65_536), (0.15, 0.25, 0.30, 0.20, 0.08, 0.02)),
    ((512, 10_240, 51_200, 204_800, 1_048_576), (0.30, 0.40, 0.20, 0.08, 0.02)),
    ((0, 1, 2, 4, 8), (0.9, 0.025, 0.025, 0.025, 0.025)),
)
_REFERENCE = (100, 10, 1, 100_000)
"""Reference price per unit and block in 10**-4 uve: cpu 0.01, memory 0.001, storage 0.0001, gpu 10 uve."""

_LEAST_CAPACITY = (16_000, 65_536, 1_048_576, 8)
_MAX_SIZES = ((8_000, 16_000, 64_000), (16_384, 65_536, 262_144), (204_800, 1_048_576, 10_485_760))
_MEAN_LIFE_BLOCKS = 15_000


class ReferenceMarket(NamedTuple):
    """The draws of one reference market; every column is an int64 array.

    Orders (N rows, ascending in created_at; a row number is the order's identity):
      created_at  height of the block in whose arrival phase the order is created, 1 … blocks
      tenant  who orders, 0 … tenants − 1
      size  (N, 4): cpu millicores, memory MiB, storage MiB, GPUs
      regions  bit mask of acceptable regions: one of 1, 2, 4, 8, or 15 for an order that names none
      attributes  bit mask of requested attributes: one of 8 bits for an order with GPUs, else 0
      ceiling_whole, ceiling_atto  the most it pays per block, uve
      completes_after, terminates_after, provider_closes_after  blocks from the lease's start to its planned
      end,
        the tenant's termination and the provider's close; the earliest counts
      deposit  whole uve, paid into the escrow account at created_at
      top_up  whole uve of each top-up
      top_ups  how many top-ups the tenant is ready to make, 0 … 3
      top_up_delay  (N, 3): blocks from the i-th depletion to the i-th top-up, 1 … 50

    Providers (P rows):
      capacity  (P, 4), units as in size
      unit_whole, unit_atto  (P, 4): price per unit of each resource and block, uve
      margin_bps  margin on the base cost, hundredths of a percent, 0 … 2500
      regions_served  bit mask of 1 to 4 of 4 regions
      excluded  bit mask of attributes that the provider refuses
      max_size  (P, 4): largest order it bids on, units as in size
      min_value_whole, min_value_atto  smallest ceiling per block it bids on, uve
      max_bids  how many of its bids may be undecided at once, 2 … 11
    """

    seed: int
    blocks: int
    tenants: int
    created_at: Column
    tenant: Column
    size: Column
    regions: Column
    attributes: Column
    ceiling_whole: Column
    ceiling_atto: Column
    completes_after: Column
    terminates_after: Column
    provider_closes_after: Column
    deposit: Column
    top_up: Column
    top_ups: Column
    top_up_delay: Column
    capacity: Column
    unit_whole: Column
    unit_atto: Column
    margin_bps: Column
    regions_served: Column
    excluded: Column
    max_size: Column
    min_value_whole: Column
    min_value_atto: Column
    max_bids: Column


def draw(seed: int, orders: int, providers: int, tenants: int, blocks: int, load: float = 0.8) -> ReferenceMarket:
    """Draws RM-1 with `orders` orders of `tenants` tenants over `blocks` blocks against `providers`
    providers.

    `load` is mean demand over capacity, before the least capacities are granted. The distributions are listed
    in docs/reference-market.md.

    Raises ValueError unless providers, tenants, blocks and load are positive and orders is not negative.
    """
    if orders < 0 or providers < 1 or tenants < 1 or blocks < 1 or not load > 0:
        raise ValueError("reference market: orders >= 0; providers, tenants, blocks and load > 0")
    size = np.empty((orders, len(RESOURCES)), dtype=np.int64)
    for k, name in enumerate(RESOURCES):
        size[:, k] = _pick(stream(seed, f"rm1/orders/{name}"), *_SIZES[k], orders)
    region = stream(seed, "rm1/orders/region").integers(0, 8, orders)
    attribute = stream(seed, "rm1/orders/attribute").integers(0, 8, orders)
    ceiling_whole, ceiling_atto = _ceilings(stream(seed, "rm1/orders/ceiling"), size)

    def blocks_until(name: str, mean: float) -> Column:
        return stream(seed, f"rm1/orders/{name}").exponential(mean, orders).astype(np.int64)

    def uve_for(blocks_paid: Column) -> Column:
        """Whole uve of `blocks_paid` blocks at the ceiling, floored (to 10**-9 inside)."""
        return ceiling_whole * blocks_paid + ceiling_atto // 10**9 * blocks_paid // 10**9

    return ReferenceMarket(
        seed=seed,
        blocks=blocks,
        tenants=tenants,
        created_at=np.sort(stream(seed, "rm1/orders/created_at").integers(1, blocks + 1, orders)),
        tenant=stream(seed, "rm1/orders/tenant").integers(0, tenants, orders),
        size=size,
        regions=np.array([1, 2, 4, 8, 15, 15, 15, 15])[region],
        attributes=np.where(size[:, 3] > 0, 1 << attribute, 0),
        ceiling_whole=ceiling_whole,
        ceiling_atto=ceiling_atto,
        completes_after=1 + blocks_until("completes_after", 34_000),
        terminates_after=1 + blocks_until("terminates_after", 30_000),
        provider_closes_after=1 + blocks_until("provider_closes_after", 270_000),
        deposit=uve_for(101 + blocks_until("deposit", 40_000)),
        top_up=uve_for(101 + blocks_until("top_up", 15_000)),
        top_ups=np.minimum(stream(seed, "rm1/orders/top_ups").geometric(0.5, orders) - 1, MAX_TOP_UPS),
        top_up_delay=stream(seed, "rm1/orders/top_up_delay").integers(1, 51, (orders, MAX_TOP_UPS)),
        **_providers(seed, providers, orders / blocks, load),
    )


def bid_latencies(seed: int, order: int, providers: int) -> Column:
    """Blocks from the creation of order row `order` to each provider's bid, 1 … 5, shape (providers,).

    1 + hash64(seed, 11, order, provider) % 5, the hash being that of `marketsim.chain.events` and 11 the bid
    engines' salt for latencies; all providers at once, in wrapping 64-bit arithmetic.
    """
    z = np.uint64(latency_key(seed, order)) + np.arange(providers, dtype=np.uint64) * np.uint64(PROVIDER_FACTOR)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    z ^= z >> np.uint64(31)
    z = (z + np.uint64(GOLDEN)) * np.uint64(SALT_FACTOR)
    z ^= z >> np.uint64(29)
    return 1 + (z & np.uint64(_MASK >> 1)).astype(np.int64) % MAX_BID_LATENCY


def latency_key(seed: int, order: int) -> int:
    """What hash64 mixes, before the provider's part is added: 64 bits."""
    return (seed * GOLDEN + LATENCY_SALT * SALT_FACTOR + order * ORDER_FACTOR + HASH_OFFSET) & _MASK


LATENCY_SALT = 11
GOLDEN = 0x9E3779B97F4A7C15
SALT_FACTOR = 0xFF51AFD7ED558CCD
ORDER_FACTOR = 0xC4CEB9FE1A85EC53
PROVIDER_FACTOR = 0xC2B2AE3D27D4EB4F
HASH_OFFSET = 0x165667B19E3779F9
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def _pick(rng: np.random.Generator, values: tuple[int, ...], shares: tuple[float, ...], count: int) -> Column:
    bounds = np.cumsum(shares[:-1])
    return np.array(values)[np.searchsorted(bounds, rng.random(count), side="right")]


def _ceilings(rng: np.random.Generator, size: Column) -> tuple[Column, Column]:
    """Reference price × U(0.9, 1.8), the factor with 14 decimals: 18 decimals in all, exact."""
    reference = size @ np.array(_REFERENCE)
    factor = rng.integers(9 * 10**13, 18 * 10**13, len(size))
    low = reference * (factor % 10**7)
    high = reference * (factor // 10**7) + low // 10**7
    return high // 10**11, high % 10**11 * 10**7 + low % 10**7


def _providers(seed: int, count: int, orders_per_block: float, load: float) -> dict[str, Column]:
    def of(name: str) -> np.random.Generator:
        return stream(seed, f"rm1/providers/{name}")

    weights = of("capacity").lognormal(0.0, 0.5, count)
    mean_size = np.array([np.dot(values, shares) for values, shares in _SIZES])
    demand = mean_size * (orders_per_block * _MEAN_LIFE_BLOCKS / load)
    capacity = np.outer(weights / weights.sum(), demand).astype(np.int64)

    # 0.7 … 1.3 × reference: below one uve for all but GPUs, whose price is 7 … 13 uve
    unit_whole = np.zeros((count, len(RESOURCES)), dtype=np.int64)
    unit_atto = np.empty((count, len(RESOURCES)), dtype=np.int64)
    for k, reference in enumerate(_REFERENCE[:3]):
        unit_atto[:, k] = of(f"unit/{RESOURCES[k]}").integers(reference * 7 * 10**13, reference * 13 * 10**13, count)
    unit_whole[:, 3] = of("unit/gpu").integers(7, 13, count)
    unit_atto[:, 3] = of("unit/gpu/atto").integers(0, ATTO, count)

    regions = of("regions").permuted(np.tile(np.array([1, 2, 4, 8]), (count, 1)), axis=1)
    served = of("regions/count").integers(1, 5, count)
    max_size = np.empty((count, len(RESOURCES)), dtype=np.int64)
    for k, choices in enumerate(_MAX_SIZES):
        max_size[:, k] = np.array(choices)[of(f"max/{RESOURCES[k]}").integers(0, 3, count)]
    max_size[:, 3] = np.where(of("max/gpu").integers(0, 4, count) == 0, 0, 8)
    return {
        "capacity": np.maximum(capacity, np.array(_LEAST_CAPACITY)),
        "unit_whole": unit_whole,
        "unit_atto": unit_atto,
        "margin_bps": of("margin").integers(0, 2_501, count),
        "regions_served": np.where(np.arange(4) < served[:, None], regions, 0).sum(axis=1),
        "excluded": np.where(of("excludes").random(count) < 0.5, of("excluded").integers(0, 256, count), 0),
        "max_size": max_size,
        "min_value_whole": of("min_value").integers(0, 3, count),
        "min_value_atto": of("min_value/atto").integers(0, ATTO, count),
        "max_bids": of("max_bids").integers(2, 12, count),
    }
