"""The special-case markets of the theory bench: scenarios whose figures are known, and how to read them off
a run.

Each market isolates one mechanism. Blocks last 6 s; a bid takes one block, the choice is made two blocks
after the order, so that an order holds its provider's room from one block after it was created until its
lease ends: the life drawn for it and one block more. What whole blocks do to each figure is worked out in
`theory`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marketsim.market.tables import Ended
from marketsim.recording.record import UNFILLED, Record

Ints = npt.NDArray[np.int64]
BLOCKS_PER_HOUR, BLOCK_MS = 600, 6000
WINDOW = 2
LIFE = 4000
SERVERS, ARRIVALS = 10, 0.002
FEW_SERVERS, FEW_ARRIVALS = 5, 0.001
LOG_SIGMA = 1.0
CROWD_RATES = (0.005, 0.003, 0.002)
NEVER = 0.25
PLANNED, TERMINATED = 3000, 9000
QUOTERS, QUOTE_LOW, QUOTE_HIGH, QUOTED_LIFE = 5, 400.0, 496.0, 500
DAY_PROFILE = (1.0,) * 8 + (2.0,) * 4 + (1.0,) * 12
BUSY_HOURS = (8, 12)
TAKE = 0.02
CPU_LOW, CPU_HIGH, CPU_PRICE, MEMORY_MIB, MEMORY_PRICE, MARGIN = 1000, 4000, 0.004, 2048, 0.001, 10
USE_LOW, USE_HIGH = 0.5, 1.5
PRICE, FUNDED, GRACE = 10, 4000, 1
DEPOSIT_LOW, DEPOSIT_HIGH = 10_000, 90_000
WITHDRAW = 60
FRACTION_PRICE, TOUCH, TOUCHED_LIFE = 1.375, 10, 400
UP, DOWN = 2000, 500
SETTLE_LIVES = 12


@dataclass(frozen=True)
class Planted:
    """Factors by which a deliberate error scales every market's arrival rates, lives and unit prices; 1 is
    none.
    """

    arrivals: float = 1.0
    duration: float = 1.0
    price: float = 1.0


@dataclass(frozen=True)
class TheoryMarket:
    """A scenario (as a mapping, with an error planted or not) and the figures of one run of it, by name."""

    name: str
    scenario: Callable[[Planted], dict[str, Any]]
    figures: Callable[[Record], dict[str, float]]


def loss(law: Callable[[float], Any]) -> Callable[[Planted], dict[str, Any]]:
    """One provider with room for 10 leases and no queue: M/G/10/10 at load 8; `law` gives the life by its
    mean.
    """

    def scenario(planted: Planted) -> dict[str, Any]:
        return market_of(
            blocks=5_000_000,
            cohorts=[cohort_of(planted, "web", ARRIVALS, law(LIFE * planted.duration))],
            providers=[provider_of(planted, "p", cpu=SERVERS * 1000)],
        )

    return scenario


def exponential(mean: float) -> dict[str, Any]:
    """Exponential life in blocks."""
    return {"exponential": {"mean": constant(mean)}}


def constant(mean: float) -> str:
    """The same life for all, in blocks."""
    return f"{round(mean * BLOCK_MS)}ms"


def lognormal(mean: float) -> dict[str, Any]:
    """Log-normal life in blocks with the given mean."""
    median = mean / np.exp(LOG_SIGMA**2 / 2)
    return {"lognormal": {"median": constant(median), "sigma": LOG_SIGMA}}


def loss_figures(record: Record) -> dict[str, float]:
    """Arrivals, blocking, occupancy and lives of a loss system, each from the part of the run that is
    settled.
    """
    begin, end = SETTLE_LIVES * LIFE, record.blocks - SETTLE_LIVES * LIFE
    created = record.orders["created_at"]
    lost = record.orders["lease"] < 0
    inside = (created > begin) & (created <= end)
    leases = record.leases
    lasted = _lives(record, end)
    # An order holds its room from its bid on, a block after it was created.
    held_from = created[leases["order"]] + 1
    seen = _occupancy(held_from, _ends(record), begin, end, SERVERS)
    levels = np.arange(SERVERS + 1)
    sampled = record.timeseries["height"]
    window = (sampled > begin) & (sampled <= end)
    alive = record.timeseries["active_leases"][window].mean()
    joined = (leases["created_at"] > begin) & (leases["created_at"] <= end)
    flow = joined.sum() / (end - begin) * (_ends(record) - leases["created_at"])[joined].mean()
    counts = np.bincount(created // 500, minlength=record.blocks // 500)[1:-1]
    return {
        "arrivals": float(created.size / record.blocks),
        "dispersion": float(counts.var(ddof=1) / counts.mean()),
        "blocking": float(lost[inside].mean()),
        "busy": float(_busy(leases["created_at"], _ends(record), begin, end)),
        "littles_law": float(alive / flow - 1),
        "found_busy": float(lost[inside].mean() - seen[-1]),
        "busy_squared": float(seen @ levels**2),
        "half_busy": float(seen[: SERVERS // 2 + 1].sum()),
        "life": float(lasted.mean()),
        "long_lives": float((lasted > LIFE).mean()),
    }


def crowd(planted: Planted) -> dict[str, Any]:
    """Three cohorts that merge on one provider with room for all: M/G/∞; the third often never chooses."""
    law = {"uniform": [constant(LIFE * planted.duration / 4), constant(LIFE * planted.duration * 7 / 4)]}
    cohorts = [cohort_of(planted, f"c{i}", rate, law) for i, rate in enumerate(CROWD_RATES)]
    cohorts[2]["never_choose"] = NEVER
    return market_of(blocks=1_000_000, cohorts=cohorts, providers=[provider_of(planted, "p")])


def crowd_figures(record: Record) -> dict[str, float]:
    """Merged and split streams, occupancy and its variance about the known mean."""
    begin = 2 * LIFE
    cohort = np.asarray(record.tenants["cohort"])[record.orders["tenant"]]
    sampled = record.timeseries["height"] > begin
    alive = record.timeseries["active_leases"][sampled]
    mean = (CROWD_RATES[0] + CROWD_RATES[1] + CROWD_RATES[2] * (1 - NEVER)) * LIFE
    third = (cohort == 2) & (record.orders["created_at"] <= record.blocks - 100)
    return {
        "merged": float(cohort.size / record.blocks),
        "split": float((cohort == 0).mean()),
        "alive": float(alive.mean()),
        "alive_spread": float(((alive - mean) ** 2).mean() / mean),
        "never": float((record.orders["lease"][third] < 0).mean()),
    }


def ends(planted: Planted) -> dict[str, Any]:
    """Leases whose planned end races with the tenant's termination, both exponential."""
    cohort = cohort_of(planted, "web", 0.01, exponential(PLANNED * planted.duration))
    cohort["terminate_after"] = exponential(TERMINATED * planted.duration)
    return market_of(blocks=1_000_000, cohorts=[cohort], providers=[provider_of(planted, "p")])


def ends_figures(record: Record) -> dict[str, float]:
    """Share of leases that the tenant terminates, and the mean life."""
    end = record.blocks - SETTLE_LIVES * PLANNED
    joined = record.leases["created_at"] <= end
    return {
        "terminated": float((record.leases["ended"][joined] == Ended.TENANT_TERMINATED).mean()),
        "raced_life": float(_lives(record, end).mean()),
    }


def auction(planted: Planted) -> dict[str, Any]:
    """Five providers whose quotes for an order are uniform on [400, 496); demand doubles in four hours of
    the day.
    """
    cohort = cohort_of(planted, "web", 0.01, constant(QUOTED_LIFE * planted.duration), memory="8Gi")
    cohort["demand"] = {**cohort["demand"], "day_profile": list(DAY_PROFILE)}
    cohort["ceiling"] = "10000uve"
    provider = provider_of(planted, "p")
    provider.update(count=QUOTERS, strategy="random_range")
    # Whole days, so that every hour of the profile occurs equally often.
    days = 36 * 24 * BLOCKS_PER_HOUR
    return market_of(blocks=days, cohorts=[cohort], providers=[provider], take=TAKE)


def auction_figures(record: Record) -> dict[str, float]:
    """The lowest quote, who wins, what the network takes, and when orders arrive."""
    leases = record.leases
    price = leases["price_whole"] + leases["price_atto"] / 1e18
    closed = leases["closed_at"] >= 0
    hour = (record.orders["created_at"] - 1) // BLOCKS_PER_HOUR % 24
    return {
        "lowest": float(price.mean()),
        "high_lowest": float((price > QUOTE_LOW + (QUOTE_HIGH - QUOTE_LOW) / 4).mean()),
        "first_wins": float((leases["provider"] == 0).mean()),
        "take_loss": float((TAKE * leases["withdrawn"][closed] - leases["fees"][closed]).mean()),
        "busy_hours": float(((hour >= BUSY_HOURS[0]) & (hour < BUSY_HOURS[1])).mean()),
    }


def sizes(planted: Planted) -> dict[str, Any]:
    """Orders of uniform size, priced by base cost and margin, paid in full."""
    cohort = cohort_of(planted, "web", 0.01, exponential(LIFE * planted.duration), memory=f"{MEMORY_MIB}Mi")
    cohort["order"]["cpu"] = {"uniform": [CPU_LOW, CPU_HIGH]}
    provider = provider_of(planted, "p", price=CPU_PRICE, memory_price=MEMORY_PRICE, margin=MARGIN)
    return market_of(blocks=1_000_000, cohorts=[cohort], providers=[provider])


def sizes_figures(record: Record) -> dict[str, float]:
    """Mean winning price, and what providers earn per block of the window."""
    begin, end = 1, record.blocks - SETTLE_LIVES * LIFE
    leases = record.leases
    joined = (leases["created_at"] > begin) & (leases["created_at"] <= end)
    return {
        "price": float((leases["price_whole"] + leases["price_atto"] / 1e18).mean()),
        "earned": float(leases["withdrawn"][joined].sum() / (end - begin)),
    }


def metered(planted: Planted) -> dict[str, Any]:
    """Leases that are charged by use, never above their price; use is uniform on 0.5 to 1.5."""
    cohort = cohort_of(planted, "web", 0.01, constant(QUOTED_LIFE * planted.duration))
    cohort["utilization"] = {"uniform": [USE_LOW, USE_HIGH]}
    provider = provider_of(planted, "p", price=0.2)
    return market_of(blocks=500_000, cohorts=[cohort], providers=[provider], charging="usage_capped")


def metered_figures(record: Record) -> dict[str, float]:
    """Paid ÷ (price × blocks)."""
    leases = record.leases
    closed = leases["closed_at"] >= 0
    owed = (leases["price_whole"] * (leases["closed_at"] - leases["created_at"]))[closed]
    return {"capped_use": float((leases["withdrawn"][closed] / owed).mean())}


def funded(planted: Planted) -> dict[str, Any]:
    """Deposits for exactly 4,000 blocks against exponential lives: some leases complete, some run out of
    funds.
    """
    cohort = cohort_of(planted, "web", 0.01, exponential(LIFE * planted.duration))
    cohort["deposit"] = f"{FUNDED * PRICE}uve"
    return market_of(blocks=1_000_000, cohorts=[cohort], providers=[provider_of(planted, "p", price=PRICE / 1000)])


def funded_figures(record: Record) -> dict[str, float]:
    """Share that runs out of funds, and what a lease pays."""
    joined = record.leases["created_at"] <= record.blocks - SETTLE_LIVES * LIFE
    return {
        "ran_out": float((record.leases["ended"][joined] == Ended.INSUFFICIENT_FUNDS).mean()),
        "paid": float(record.leases["withdrawn"][joined].mean()),
    }


def depleted(planted: Planted) -> dict[str, Any]:
    """Deposits of random size and lives beyond any of them: each lease ends when its escrow does."""
    return market_of(
        blocks=600_000,
        cohorts=[_deposits_cohort(planted)],
        providers=[provider_of(planted, "p", price=PRICE / 1000)],
    )


def depleted_figures(record: Record) -> dict[str, float]:
    """Mean life of a lease whose funds decide it."""
    return {"depletion": float(_lives(record, record.blocks - DEPOSIT_HIGH // PRICE - 100).mean())}


def unpaid(planted: Planted) -> dict[str, Any]:
    """The same under lazy settlement: a provider that withdraws every 60 blocks serves on after the funds
    are gone.
    """
    market = market_of(
        blocks=600_000,
        cohorts=[_deposits_cohort(planted)],
        providers=[provider_of(planted, "p", price=PRICE / 1000)],
        rules="virtengine",
    )
    return {**market, "withdraw_every": f"{WITHDRAW} blocks"}


def unpaid_figures(record: Record) -> dict[str, float]:
    """Debt left behind by a lease, in blocks of its price."""
    ended = (record.leases["ended"] == Ended.INSUFFICIENT_FUNDS).sum()
    return {"unpaid": record.totals["debt"] / 10**18 / PRICE / max(int(ended), 1)}


def truncated(planted: Planted) -> dict[str, Any]:
    """A price with a fraction, settled every 10 blocks and cut to whole uve each time."""
    market = market_of(
        blocks=400_000,
        cohorts=[cohort_of(planted, "web", 0.01, exponential(TOUCHED_LIFE * planted.duration))],
        providers=[provider_of(planted, "p", price=FRACTION_PRICE / 1000)],
        rules="virtengine",
    )
    return {**market, "withdraw_every": f"{TOUCH} blocks"}


def truncated_figures(record: Record) -> dict[str, float]:
    """What a lease owes and does not pay, in uve."""
    leases = record.leases
    joined = leases["created_at"] <= record.blocks - SETTLE_LIVES * TOUCHED_LIFE
    owed = FRACTION_PRICE * (_ends(record) - leases["created_at"])
    return {"truncation": float((owed - leases["withdrawn"])[joined].mean())}


def overflow(planted: Planted) -> dict[str, Any]:
    """A cheap provider with room for 5 leases and a dear one with room for all: the dear one gets the
    overflow.
    """
    return market_of(
        blocks=10_000_000,
        cohorts=[cohort_of(planted, "web", FEW_ARRIVALS, exponential(LIFE * planted.duration))],
        providers=[
            provider_of(planted, "cheap", cpu=FEW_SERVERS * 1000),
            provider_of(planted, "dear", price=2 * PRICE / 1000),
        ],
    )


def overflow_figures(record: Record) -> dict[str, float]:
    """Share of orders that overflow, and the variance ÷ mean of the overflow group's leases."""
    from marketsim.bench.formulas import erlang_b

    begin, end = SETTLE_LIVES * LIFE, record.blocks - SETTLE_LIVES * LIFE
    leases = record.leases
    dear = leases["provider"] == 1
    inside = (leases["created_at"] > begin) & (leases["created_at"] <= end)
    load = FEW_ARRIVALS * LIFE
    mean = load * erlang_b(FEW_SERVERS, load)
    top = 40
    share = _occupancy(leases["created_at"][dear], _ends(record)[dear], begin, end, top)
    return {
        "overflow": float(dear[inside].mean()),
        "peakedness": float(share @ (np.arange(top + 1) - mean) ** 2 / mean),
    }


def outages(planted: Planted) -> dict[str, Any]:
    """One provider that is up and down for exponential times; orders that find it down stay unserved."""
    provider = provider_of(planted, "p")
    provider["outages"] = {"every": f"{UP} blocks", "lasts": f"{DOWN} blocks", "closes": 0.0}
    cohort = cohort_of(planted, "web", 0.005, constant(QUOTED_LIFE * planted.duration))
    return market_of(blocks=1_000_000, cohorts=[cohort], providers=[provider])


def outages_figures(record: Record) -> dict[str, float]:
    """Share of orders that no engine looked at."""
    asked = (record.orders["created_at"] > 10 * UP) & (record.orders["created_at"] <= record.blocks - 100)
    down = record.orders["unfilled"] == UNFILLED.index("engine_limits")
    return {"down": float(down[asked].mean())}


MARKETS: tuple[TheoryMarket, ...] = (
    TheoryMarket("loss", loss(exponential), loss_figures),
    TheoryMarket("loss, equal lives", loss(constant), loss_figures),
    TheoryMarket("loss, log-normal lives", loss(lognormal), loss_figures),
    TheoryMarket("crowd", crowd, crowd_figures),
    TheoryMarket("ends", ends, ends_figures),
    TheoryMarket("auction", auction, auction_figures),
    TheoryMarket("sizes", sizes, sizes_figures),
    TheoryMarket("metered", metered, metered_figures),
    TheoryMarket("funded", funded, funded_figures),
    TheoryMarket("depleted", depleted, depleted_figures),
    TheoryMarket("unpaid", unpaid, unpaid_figures),
    TheoryMarket("truncated", truncated, truncated_figures),
    TheoryMarket("overflow", overflow, overflow_figures),
    TheoryMarket("outages", outages, outages_figures),
)


def market_of(
    *,
    blocks: int,
    cohorts: list[dict[str, Any]],
    providers: list[dict[str, Any]],
    rules: str = "seed",
    take: float = 0.0,
    charging: str = "rate",
) -> dict[str, Any]:
    """What all markets share: no deposits on bids, a window of two blocks, settlement only where it is
    studied.
    """
    market: dict[str, Any] = {
        "name": "theory",
        "rules": rules,
        "charging": charging,
        "take": take,
        "bid_window": f"{WINDOW} blocks",
        "bid_min_deposit": "0VE",
        "deployment_min_deposit": "0VE",
        "usage_every": "100000000 blocks",
        "network_fees": False,
        "block_time": "6s",
        "horizon": f"{blocks} blocks",
        "record": "summary",
        "tenants": cohorts,
        "providers": providers,
    }
    if rules == "seed":
        market |= {
            "settle_every": "100000000 blocks",
            "order_timeout": "3 blocks",
            "grace": f"{GRACE} blocks",
        }
    return market


def cohort_of(planted: Planted, name: str, per_block: float, life: Any, memory: str = "1Gi") -> dict[str, Any]:
    """Tenants whose orders all look alike, with more funds than any lease can use."""
    return {
        "name": name,
        "count": 10,
        "wallet": "10000000VE",
        "demand": {"arrivals": f"{per_block * BLOCKS_PER_HOUR * planted.arrivals:.12g}/h"},
        "order": {"cpu": 1000, "memory": memory, "storage": "10Gi"},
        "ceiling": "1000uve",
        "duration": life,
        "deposit": "100VE",
        "deploy_delay": "0 blocks",
        "patience": f"{WINDOW + 1} blocks",
    }


def _deposits_cohort(planted: Planted) -> dict[str, Any]:
    cohort = cohort_of(planted, "web", 0.01, constant(500_000 * planted.duration))
    cohort["deposit"] = {"uniform": [f"{DEPOSIT_LOW}uve", f"{DEPOSIT_HIGH}uve"]}
    return cohort


def provider_of(
    planted: Planted,
    name: str,
    *,
    cpu: int = 10**9,
    price: float = PRICE / 1000,
    memory_price: float = 0.0,
    margin: int = 0,
) -> dict[str, Any]:
    """A provider that bids one block after an order and asks cpu × price + MiB × memory price, plus its
    margin.
    """
    return {
        "name": name,
        "count": 1,
        "wallet": "1000VE",
        "latency": "1s",
        "capacity": {"cpu": cpu, "memory": "100000Ti", "storage": "1000000Ti", "gpu": 0},
        "config": {
            "bid_engine": {
                "enabled": True,
                "min_profit_margin": margin,
                "max_concurrent_bids": 1_000_000,
                "bid_timeout": "5m",
                "pricing": {
                    "cpu_millicores": _money(price * planted.price),
                    "memory_mb": _money(memory_price * planted.price),
                    "storage_mb": "0uve",
                    "gpu": "0uve",
                },
            },
            "filters": {},
        },
    }


def _money(amount: float) -> str:
    return f"{amount:.9f}uve"


def _ends(record: Record) -> Ints:
    """The height at which each lease ended, the run's last block where it has not."""
    closed = record.leases["closed_at"]
    ended: Ints = np.where(closed < 0, record.blocks, closed)
    return ended


def _lives(record: Record, end: int) -> Ints:
    """Blocks from creation to closing of the leases created up to `end`."""
    joined = record.leases["created_at"] <= end
    lives: Ints = (_ends(record) - record.leases["created_at"])[joined]
    return lives


def _busy(start: Ints, stop: Ints, begin: int, end: int) -> float:
    """Mean number of intervals [start, stop) that are alive per block of (begin, end]."""
    inside = np.minimum(stop, end) - np.maximum(start, begin)
    return float(np.maximum(inside, 0).sum()) / (end - begin)


def _occupancy(start: Ints, stop: Ints, begin: int, end: int, top: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Share of time with 0 … top intervals alive, float64[top + 1].

    An arrival sees the block's departures but, on average, half of the block's arrivals: the mean of the
    state before and after them is what it finds.
    """
    shares = np.zeros(top + 1)
    # An interval that begins counts from its block on, or from the next one when read before the arrivals.
    for late in (0, 1):
        moments = np.concatenate([start + late, stop])
        steps = np.concatenate([np.ones(start.size, np.int64), np.full(stop.size, -1)])
        order = np.lexsort((steps, moments))
        moments, level = np.clip(moments[order], begin, end), np.cumsum(steps[order])
        lasts = np.diff(np.append(moments, end))
        shares += np.bincount(np.clip(level, 0, top), weights=lasts, minlength=top + 1)[: top + 1]
    found: np.ndarray[Any, np.dtype[np.float64]] = shares / shares.sum()
    return found
