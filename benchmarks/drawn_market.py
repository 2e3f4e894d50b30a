"""What a scenario draws before its first block, as plain Python values: all that the two sides of a comparison share.

Taken from a prepared market: who orders what, when, and means to do with it; what providers have and ask; and the draws that hang on an
order and a provider (latency, tie, how long it stays). No rule is in it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from marketsim.agents.reference_market import (
    GOLDEN,
    HASH_OFFSET,
    MIX_1,
    MIX_2,
    ORDER_FACTOR,
    PROVIDER_FACTOR,
    SALT_FACTOR,
)
from marketsim.chain.columns import Draft, Resource
from marketsim.market.desks import SALT_TIE
from marketsim.market.quoting import SALT_LATENCY
from marketsim.market.tables import PHASES, QUANTILES, BidChoice, Call, Desk, Plan, Pricing
from marketsim.market.tenants import SALT_LEAVE, SALT_ORDER
from marketsim.money.units import ATTO, MIB, PPM
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MODULE_WALLETS, MarketSetup

_MASK = (1 << 64) - 1
_POSITIVE = np.uint64((1 << 63) - 1)
_HALVES = 1 << 52


class ProviderDraws(NamedTuple):
    """A provider: resources in millicores, MiB, MiB and GPUs, prices in atto-uve a unit and block, coins in uve."""

    capacity: list[int]
    largest: list[int]
    prices: list[int]
    margin_ppm: int
    max_bids: int
    bid_timeout: int
    stay: int
    """Mean blocks until it ends a lease; 0 = never."""
    coins: int
    key: int
    latencies: list[int]
    """Milliseconds, by QUANTILES quantiles."""


class OrderDraws(NamedTuple):
    """A tenant's deployment, its first order and what the tenant means to do; times of the message in milliseconds, else blocks."""

    tenant: int
    height: int
    time: int
    tie: int
    cpu: int
    memory: int
    storage: int
    gpu: int
    ceiling: int
    deposit: int
    duration: int
    terminate: int
    leave_ppm: int
    deploy_delay: int
    never_chooses: bool
    top_up: int
    """TopUpTime."""
    top_up_amount: int
    top_ups: int
    top_up_at: int
    top_up_delays: list[int]
    restarts: int
    restart_delay: int
    utilization_ppm: int
    key: int


class Listing(NamedTuple):
    """What hangs on an order and a provider, by provider."""

    latencies: list[int]
    """Milliseconds from the order to the bid."""
    ties: list[int]
    leave_ppm: list[int]
    """How long the provider stays, in parts per million of its mean."""


class DrawnMarket(NamedTuple):
    """A market before its first block: the switches of its scenario, then who is in it."""

    seed: int
    blocks: int
    block_ms: int
    charging: str
    bid_window: int
    order_timeout: int
    order_max_bids: int
    settle_every: int
    grace: int
    manifest_blocks: int
    queue_limit: int
    bid_deposit: int
    least_deposit: int
    take_ppm: int
    sample_every: int
    warm_up: int
    day: int
    tenants: list[int]
    """Coins, whole uve."""
    providers: list[ProviderDraws]
    orders: list[OrderDraws]
    listings: list[Listing]
    """Of the first order of each deployment."""

    def listing(self, row: int, number: int) -> Listing:
        """Return the draws of the order of deployment `row` that is its `number`-th, from 1 on."""
        if number == 1:
            return self.listings[row]
        key = int(hashes(self.orders[row].key, SALT_ORDER, np.array([1]), np.array([number]))[0, 0])
        latencies, ties = _latencies_and_ties(self.seed, np.array([key]), self.providers)
        leaves = hashes(self.seed, SALT_LEAVE, np.array([key]), np.array([provider.key for provider in self.providers]))[0]
        ppm = [int(-math.log((draw % _HALVES + 0.5) / _HALVES) * float(PPM)) for draw in leaves.tolist()]
        return Listing(latencies[0], ties[0], ppm)


def drawn_market(scenario: Scenario, market: MarketSetup) -> DrawnMarket:
    """Return the draws of a market that is prepared and not played.

    Raises ValueError, with what it is, where the scenario turns on what the first-written model has not.
    """
    _refuse_the_rest(scenario, market)
    engine, chain = market.engine, market.chain
    x, g = engine.globals, chain.globals
    desks = engine.desks[: len(market.book.names)]
    profiles = engine.latencies.tolist()
    providers = [
        ProviderDraws(
            capacity=[int(one) for one in desk[Desk.cap_cpu : Desk.cap_gpu + 1]],
            largest=[int(one) for one in desk[Desk.max_cpu : Desk.max_gpu + 1]],
            prices=[int(desk[at]) * ATTO + int(desk[at + 1]) for at in range(Desk.list_cpu, Desk.list_gpu_atto + 1, 2)],
            margin_ppm=int(desk.margin_ppm),
            max_bids=int(desk.max_concurrent),
            bid_timeout=int(desk.bid_timeout),
            stay=int(desk.leave_blocks),
            coins=int(chain.wallets[desk.wallet].balance),
            key=int(desk.key),
            latencies=profiles[desk.latency_profile],
        )
        for desk in desks
    ]
    orders = _orders_of(market)
    latencies, ties = _latencies_and_ties(int(x.seed), np.array([order.key for order in orders], np.int64), providers)
    tenants = chain.wallets[market.first_tenant : market.first_tenant + len(market.tenant_names)]
    return DrawnMarket(
        seed=int(x.seed),
        blocks=scenario.horizon_blocks,
        block_ms=scenario.block_ms,
        charging=scenario.charging,
        bid_window=int(x.bid_window),
        order_timeout=int(g.order_timeout),
        order_max_bids=scenario.order_max_bids,
        settle_every=int(g.settle_every),
        grace=int(g.grace),
        manifest_blocks=int(x.manifest_blocks),
        queue_limit=int(x.queue_limit),
        bid_deposit=int(g.bid_min_deposit),
        least_deposit=int(g.deployment_min_deposit),
        take_ppm=int(g.take_ppm),
        sample_every=int(x.sample_every),
        warm_up=scenario.warm_up_blocks,
        day=max(1, 86_400_000 // scenario.block_ms),
        tenants=[int(wallet.balance) for wallet in tenants],
        providers=providers,
        orders=orders,
        listings=[Listing(late, tie, [order.leave_ppm] * len(providers)) for late, tie, order in zip(latencies, ties, orders, strict=True)],
    )


def _orders_of(market: MarketSetup) -> list[OrderDraws]:
    """Every deployment that tenants will ask for, in the order of the plans."""
    plans, chain = market.engine.plans, market.chain
    calls = np.concatenate(market.calls)
    calls = calls[np.argsort(calls[:, Call.plan])]
    units = chain.resources[chain.drafts[calls[:, Call.first_draft], Draft.first_resource]]
    found = []
    for call, plan, unit in zip(calls.tolist(), plans.tolist(), units.tolist(), strict=True):
        found.append(
            OrderDraws(
                tenant=plan[Plan.tenant] - market.first_tenant,
                height=call[Call.key] // PHASES,
                time=call[Call.time],
                tie=call[Call.tie],
                cpu=unit[Resource.cpu],
                memory=-(-unit[Resource.memory] // MIB),
                storage=-(-unit[Resource.storage] // MIB),
                gpu=unit[Resource.gpu],
                ceiling=unit[Resource.price] * ATTO + unit[Resource.price_atto],
                deposit=call[Call.deposit],
                duration=plan[Plan.duration],
                terminate=plan[Plan.terminate],
                leave_ppm=plan[Plan.leave_ppm],
                deploy_delay=plan[Plan.deploy_delay],
                never_chooses=plan[Plan.never] != 0,
                top_up=plan[Plan.top_up],
                top_up_amount=plan[Plan.top_up_amount],
                top_ups=plan[Plan.top_up_left],
                top_up_at=plan[Plan.top_up_at],
                top_up_delays=[plan[at] for at in (Plan.top_up_delay, Plan.top_up_delay_2, Plan.top_up_delay_3)],
                restarts=plan[Plan.restart_left],
                restart_delay=plan[Plan.restart_delay],
                utilization_ppm=plan[Plan.utilization_ppm],
                key=plan[Plan.key],
            )
        )
    return found


def _latencies_and_ties(seed: int, keys: npt.NDArray[np.int64], providers: list[ProviderDraws]) -> tuple[list[list[int]], list[list[int]]]:
    """Latencies in milliseconds and ties, a row an order by its key, a column a provider."""
    desks = np.array([provider.key for provider in providers], np.int64)
    profiles = np.array([provider.latencies for provider in providers], np.int64)
    at = hashes(seed, SALT_LATENCY, keys, desks) & (QUANTILES - 1)
    return profiles[np.arange(len(providers)), at].tolist(), hashes(seed, SALT_TIE, keys, desks).tolist()


def hashes(seed: int, salt: int, keys: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return `marketsim.chain.events.hash64` of seed, salt and every pair of a key and another: int64 (keys, others)."""
    z = np.uint64((seed * GOLDEN + salt * SALT_FACTOR + HASH_OFFSET) & _MASK) + keys.astype(np.uint64)[:, None] * np.uint64(ORDER_FACTOR)
    z = z + others.astype(np.uint64) * np.uint64(PROVIDER_FACTOR)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    z ^= z >> np.uint64(31)
    z = (z + np.uint64(GOLDEN)) * np.uint64(SALT_FACTOR)
    z ^= z >> np.uint64(29)
    return (z & _POSITIVE).astype(np.int64)


def _refuse_the_rest(scenario: Scenario, market: MarketSetup) -> None:
    """Raise ValueError where there is something that the first-written model has not."""
    desks, plans = market.engine.desks[: len(market.book.names)], market.engine.plans
    drafts = market.chain.drafts[: int(market.chain.globals.drafts)]
    units = market.chain.resources[: int(market.chain.globals.resources)]
    absent = {
        "rules": scenario.rules != "seed" or scenario.charging not in ("rate", "usage_capped") or bool(scenario.quirks),
        "switches": scenario.reserve != "at_bid" or scenario.tie != "hash" or scenario.price_rounding != "half_even",
        "network fees": scenario.network_fees,
        "what is sent or fails by plan": bool(
            scenario.messages or scenario.governance or scenario.faults or scenario.agents or scenario.stages or scenario.market
        ),
        "a choice of bids other than the lowest price": bool((plans[:, Plan.choice] != BidChoice.LOWEST_PRICE).any()),
        "tenants that order again": any(cohort.react is not None for cohort in scenario.tenants),
        "orders of several units": bool((drafts[:, Draft.resources] != 1).any() or (units[:, Resource.count] != 1).any()),
        "orders that not everybody may bid on": bool(market.engine.fits.any()),
        "prices other than cost and margin": bool((desks[:, Desk.strategy] != Pricing.LINEAR).any() or (desks[:, Desk.plain] != 1).any()),
        "outages": any(cohort.outages is not None for cohort in scenario.desks),
        "engines that are off": bool((desks[:, Desk.enabled] != 1).any()),
        "limits of providers": bool(
            desks[:, [Desk.per_minute, Desk.per_hour, Desk.min_value, Desk.min_value_atto]].any()
            or (desks[:, Desk.lease_capacity] != -1).any()
        ),
        "machines": bool((desks[:, Desk.nodes] > 1).any()),
        "repricing": bool(desks[:, Desk.reprice_every].any()),
        "use that is not metered": bool(desks[:, [Desk.usage_by_hand, Desk.unreported_ppm, Desk.lag]].any()),
        "wallets out of order": bool((desks[:, Desk.wallet] != np.arange(len(desks)) + MODULE_WALLETS).any()),
    }
    found = [what for what, there in absent.items() if there]
    if found:
        raise ValueError(f"the first-written model has no {', '.join(found)}")
