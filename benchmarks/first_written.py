"""The reference market as a SimPy user writes it first, the yardstick and the oracle of everything faster.

A process per tenant, per order, per (provider, order) bid and per lease; a clock process that ticks every
block and settles in a loop; Python objects, Python integers. Nothing here is slow on purpose, nothing is
clever.

The rules, which docs/reference-market.md says at length:

* Blocks are 1 … B. Agents put what they want into the block's mempool; the clock runs after every other event
  of the instant and executes the block in fixed phases, each sorted by order row (bids: order row, provider
  index): settle, reprice, close (leases, order timeouts, ends of grace), deplete, top up, accept, bid,
  arrive.
* Providers reprice in blocks divisible by 14,400: more than 80 % of the cpu leased, multiplier × 105 // 100,
  less than 30 %, × 95 // 100, kept within 500,000 … 2,000,000 ppm. Unit prices become floor(unit × multiplier
  / 10**6).
* When an order arrives in block A each provider looks at it at once, with its prices of that moment: region,
  excluded attributes, largest sizes, smallest value (of the ceiling), then
  price = floor(Σ size × unit price × (10,000 + margin) / 10,000) ≤ ceiling. Its bid comes in block
  A + 1 … A + 5 and is accepted if the provider has fewer than max_bids undecided and the free capacity.
* In A + 10 the cheapest bid (lowest index on ties) whose provider still has room gets the lease, and all bids
  of the order are decided. Without a lease the order and its bids close in A + 11.
* The account settles in every block congruent to A modulo 100. Block settled_at + floor(funds / price) + 1 is
  the first that it cannot pay: the provider gets all that is left and the lease is out of funds. The i-th
  time the i-th top-up, if the tenant has one, follows 1 … 50 blocks later and reactivates the lease if the
  funds then hold a block's price; if not they stay, and no further one comes. 100 blocks after it ran out the
  lease closes.
* Of what has been moved, whole uve are paid out in the block of each settlement. Nothing settles after
  block B.

Under the rule sets virtengine and akash a provider withdraws every 100 blocks from its lease's start
on, in the settle phase; a settlement moves ⌊price × blocks⌋, and only a settlement finds out that funds
are short: the provider gets what is left, the lease closes at once (reason insufficient_funds, unless
it is the provider who closes it), and nobody tops up. Under akash's older proportional rule fractions
are kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import simpy
from digest import Fate, Outcome

from marketsim.agents.reference_market import BLOCKS_PER_DAY, ReferenceMarket, bid_latencies
from marketsim.money.units import ATTO

AFTER_ALL_ELSE = 2
"""SimPy priority of the clock's tick; SimPy's own are 0 and 1."""

PPM = 1_000_000


@dataclass(frozen=True)
class Rules:
    """The switches of a rule set that this model looks at; blocks.

    `eager`: a lease that runs dry is found out in that block, may be topped up, and has a grace; otherwise it
    is found out when somebody touches the account, and closes there and then. `truncated`: each settlement
    drops the fraction of what is owed; otherwise fractions add up in the provider's balance.
    """

    settle_every: int = 100
    bid_window: int = 10
    order_timeout: int = 11
    grace: int = 100
    eager: bool = True
    truncated: bool = False


RULE_SETS = {
    "seed": Rules(),
    "virtengine": Rules(eager=False, truncated=True),
    "akash": Rules(eager=False, truncated=True),
    "akash, escrow: proportional": Rules(eager=False),
}


class Provider:
    """Bids on what fits its limits and holds capacity for what it leased."""

    __slots__ = (
        "base_units", "bids", "capacity", "excluded", "free_cpu", "free_gpu", "free_memory", "free_storage",
        "index", "margin", "max_bids", "max_cpu", "max_gpu", "max_memory", "max_storage", "min_value",
        "multiplier", "regions", "revenue", "undecided", "units", "wins",
    )  # fmt: skip

    def __init__(self, market: ReferenceMarket, index: int, days: int) -> None:
        self.index = index
        self.capacity: list[int] = market.capacity[index].tolist()
        self.free_cpu, self.free_memory, self.free_storage, self.free_gpu = self.capacity
        self.max_cpu, self.max_memory, self.max_storage, self.max_gpu = market.max_size[index].tolist()
        self.regions = int(market.regions_served[index])
        self.excluded = int(market.excluded[index])
        self.min_value = int(market.min_value_whole[index]) * ATTO + int(market.min_value_atto[index])
        self.margin = 10_000 + int(market.margin_bps[index])
        self.max_bids = int(market.max_bids[index])
        self.base_units = [
            int(whole) * ATTO + int(atto) for whole, atto in zip(market.unit_whole[index], market.unit_atto[index], strict=True)
        ]
        self.multiplier = PPM
        self.units = tuple(self.base_units)
        self.undecided = 0
        self.bids = 0
        self.wins = 0
        self.revenue = [0] * days

    def quote(self, order: Order) -> int | None:
        """The price per block in atto, or None where the provider does not bid."""
        if (
            not order.regions & self.regions
            or order.attributes & self.excluded
            or order.cpu > self.max_cpu
            or order.memory > self.max_memory
            or order.storage > self.max_storage
            or order.gpu > self.max_gpu
            or order.ceiling < self.min_value
        ):
            return None
        cpu, memory, storage, gpu = self.units
        base = order.cpu * cpu + order.memory * memory + order.storage * storage + order.gpu * gpu
        price = base * self.margin // 10_000
        return price if price <= order.ceiling else None

    def bid(self, env: simpy.Environment, mempool: Mempool, order: Order, latency: int) -> Iterator[simpy.Event]:
        """The process of one bid: priced when the order arrives, submitted `latency` blocks later."""
        price = self.quote(order)
        if price is None:
            return
        yield env.timeout(latency)
        mempool.bids.append((order.row, self.index, price, order, self))

    def has_room(self, order: Order) -> bool:
        return (
            order.cpu <= self.free_cpu
            and order.memory <= self.free_memory
            and order.storage <= self.free_storage
            and order.gpu <= self.free_gpu
        )

    def hold(self, order: Order) -> None:
        self.free_cpu -= order.cpu
        self.free_memory -= order.memory
        self.free_storage -= order.storage
        self.free_gpu -= order.gpu

    def release(self, order: Order) -> None:
        self.free_cpu += order.cpu
        self.free_memory += order.memory
        self.free_storage += order.storage
        self.free_gpu += order.gpu

    def reprice(self) -> None:
        leased = self.capacity[0] - self.free_cpu
        if leased * 100 > self.capacity[0] * 80:
            self.multiplier = min(self.multiplier * 105 // 100, 2 * PPM)
        elif leased * 100 < self.capacity[0] * 30:
            self.multiplier = max(self.multiplier * 95 // 100, PPM // 2)
        self.units = tuple(unit * self.multiplier // PPM for unit in self.base_units)


@dataclass(slots=True, eq=False)
class Order:
    """One order, with what its tenant has decided about its life."""

    row: int
    created_at: int
    cpu: int
    memory: int
    storage: int
    gpu: int
    regions: int
    attributes: int
    ceiling: int
    deposit: int
    top_up: int
    top_up_delays: list[int]
    latencies: bytes
    """Blocks from here to the bid of each provider."""
    life: int
    """Blocks from the lease's start to its planned end."""
    life_ends_as: Fate
    fate: Fate = Fate.OPEN
    end: int = 0
    bids: list[tuple[int, int, Provider]] = field(default_factory=list)
    """Price, provider's index, provider; emptied when they are decided."""
    bid_count: int = 0
    lease: Lease | None = None


@dataclass(slots=True, eq=False)
class Lease:
    """A lease with the escrow account that pays it; money in atto."""

    order: Order
    provider: Provider
    price: int
    start: int
    settled_at: int
    funds: int
    balance: int = 0
    paid: int = 0
    """Whole uve."""
    top_ups: int = 0
    active: bool = True
    truncated: bool = False
    topped_up: simpy.Event | None = None

    def due(self) -> int:
        """The first block whose settlement the funds cannot cover."""
        return self.settled_at + self.funds // self.price + 1

    def settle(self, height: int) -> None:
        """Moves what is owed, at most what is there, and pays out whole uve."""
        if not self.active:
            return
        owed = self.price * (height - self.settled_at)
        if self.truncated:
            owed -= owed % ATTO
        if owed > self.funds:
            owed = self.funds
            self.active = False
        self.funds -= owed
        self.settled_at = height
        paid, self.balance = divmod(self.balance + owed, ATTO)
        self.paid += paid
        self.provider.revenue[(height - 1) // BLOCKS_PER_DAY] += paid


class Mempool:
    """What agents ask of the next block, by phase."""

    def __init__(self) -> None:
        self.closings: list[tuple[int, Lease]] = []
        self.timeouts: list[Order] = []
        self.ends_of_grace: list[tuple[int, Lease]] = []
        self.due: list[tuple[int, Lease]] = []
        self.top_ups: list[tuple[int, Lease]] = []
        self.choices: list[Order] = []
        self.bids: list[tuple[int, int, int, Order, Provider]] = []
        self.arrivals: list[Order] = []


class Market:
    """The chain, its agents and the clock that ties them."""

    def __init__(self, draws: ReferenceMarket, rules: Rules) -> None:
        self.draws = draws
        self.rules = rules
        self.env = simpy.Environment()
        self.mempool = Mempool()
        days = (draws.blocks - 1) // BLOCKS_PER_DAY + 1
        self.providers = [Provider(draws, index, days) for index in range(len(draws.capacity))]
        self.orders = orders_of(draws)
        self.due_to_settle: list[dict[int, Lease]] = [{} for _ in range(rules.settle_every)]

        by_tenant: dict[int, list[Order]] = {}
        for order, tenant in zip(self.orders, draws.tenant.tolist(), strict=True):
            by_tenant.setdefault(tenant, []).append(order)
        for orders in by_tenant.values():
            self.env.process(self.tenant(orders))
        self.env.process(self.clock())

    # The agents: what they wait for and what they then send.

    def tenant(self, orders: list[Order]) -> Iterator[simpy.Event]:
        for order in orders:
            if order.created_at > self.env.now:
                yield self.env.timeout(order.created_at - self.env.now)
            self.mempool.arrivals.append(order)

    def order(self, order: Order) -> Iterator[simpy.Event]:
        yield self.env.timeout(self.rules.bid_window)
        self.mempool.choices.append(order)
        yield self.env.timeout(self.rules.order_timeout - self.rules.bid_window)
        if order.lease is None:
            self.mempool.timeouts.append(order)

    def lease(self, lease: Lease) -> Iterator[simpy.Event]:
        """Sees a lease to its end: planned, or 100 blocks after its funds ran out for good."""
        row, delays = lease.order.row, lease.order.top_up_delays
        end = lease.start + lease.order.life
        while self.rules.eager:
            dry = lease.due()
            if end <= dry:  # a close comes before a depletion within a block, and before top-ups
                break
            yield self.env.timeout(dry - self.env.now)
            self.mempool.due.append((row, lease))
            grace_over = dry + self.rules.grace
            if lease.top_ups < len(delays) and dry + delays[lease.top_ups] < grace_over:
                topped_up = dry + delays[lease.top_ups]
                if end <= topped_up:
                    break
                yield self.env.timeout(topped_up - self.env.now)
                self.mempool.top_ups.append((row, lease))
                lease.topped_up = self.env.event()
                yield lease.topped_up
                if lease.active:
                    continue
            if end <= grace_over:
                break
            yield self.env.timeout(grace_over - self.env.now)
            self.mempool.ends_of_grace.append((row, lease))
            return
        yield self.env.timeout(end - self.env.now)
        if not lease.order.end:
            self.mempool.closings.append((row, lease))

    # The chain: one block at a time.

    def clock(self) -> Iterator[simpy.Event]:
        for height in range(1, self.draws.blocks + 1):
            tick = simpy.Event(self.env)
            tick._ok = True
            tick._value = None
            self.env.schedule(tick, AFTER_ALL_ELSE, delay=1)
            yield tick
            self.execute_block(height)

    def execute_block(self, height: int) -> None:
        for lease in self.due_to_settle[height % self.rules.settle_every].values():
            lease.settle(height)
        if not self.rules.eager:
            self.close_overdrawn(height)
        if height % BLOCKS_PER_DAY == 0:
            for provider in self.providers:
                provider.reprice()

        pool = self.mempool
        if pool.closings:
            for _, lease in sorted(pool.closings, key=by_row):
                self.close(lease, lease.order.life_ends_as, height)
            pool.closings.clear()
        if pool.timeouts:
            for order in sorted(pool.timeouts, key=lambda order: order.row):
                order.fate, order.end = Fate.TIMED_OUT, height
                self.decide_bids(order)
            pool.timeouts.clear()
        if pool.ends_of_grace:
            for _, lease in sorted(pool.ends_of_grace, key=by_row):
                self.close(lease, Fate.CLOSED_FUNDS, height)
            pool.ends_of_grace.clear()
        if pool.due:
            for _, lease in sorted(pool.due, key=by_row):
                lease.settle(height)
            pool.due.clear()
        if pool.top_ups:
            for _, lease in sorted(pool.top_ups, key=by_row):
                self.top_up(lease, height)
            pool.top_ups.clear()
        if pool.choices:
            for order in sorted(pool.choices, key=lambda order: order.row):
                self.choose(order, height)
            pool.choices.clear()
        if pool.bids:
            pool.bids.sort()  # by order row, then provider index; no two are alike in both
            for _, _, price, order, provider in pool.bids:
                self.place_bid(order, provider, price)
            pool.bids.clear()
        if pool.arrivals:
            for order in sorted(pool.arrivals, key=lambda order: order.row):
                self.announce(order)
            pool.arrivals.clear()

    def announce(self, order: Order) -> None:
        self.env.process(self.order(order))
        env, mempool, process = self.env, self.mempool, self.env.process
        for provider, latency in zip(self.providers, order.latencies, strict=True):
            process(provider.bid(env, mempool, order, latency))

    def place_bid(self, order: Order, provider: Provider, price: int) -> None:
        if provider.undecided < provider.max_bids and provider.has_room(order):
            order.bids.append((price, provider.index, provider))
            provider.undecided += 1
            provider.bids += 1

    def choose(self, order: Order, height: int) -> None:
        for price, _, provider in sorted(order.bids):
            if provider.has_room(order):
                self.open_lease(order, provider, price, height)
                self.decide_bids(order)
                return

    def decide_bids(self, order: Order) -> None:
        for _, _, provider in order.bids:
            provider.undecided -= 1
        order.bid_count = len(order.bids)
        order.bids.clear()

    def open_lease(self, order: Order, provider: Provider, price: int, height: int) -> None:
        provider.hold(order)
        provider.wins += 1
        order.fate = Fate.ACTIVE
        order.lease = lease = Lease(order, provider, price, height, height, order.deposit * ATTO)
        lease.truncated = self.rules.truncated
        self.cadence_of(lease)[order.row] = lease
        self.env.process(self.lease(lease))

    def cadence_of(self, lease: Lease) -> dict[int, Lease]:
        """The leases that settle in the same blocks as this one."""
        # the chain counts from the account's creation, a provider from the start of its lease
        since = lease.order.created_at if self.rules.eager else lease.start
        return self.due_to_settle[since % self.rules.settle_every]

    def close(self, lease: Lease, fate: Fate, height: int) -> None:
        order = lease.order
        if order.end:  # found out of funds earlier in the block
            return
        lease.settle(height)
        if not self.rules.eager and not lease.active and fate is not Fate.CLOSED_BY_PROVIDER:
            fate = Fate.CLOSED_FUNDS
        lease.active = False
        order.fate, order.end = fate, height
        lease.provider.release(order)
        del self.cadence_of(lease)[order.row]

    def close_overdrawn(self, height: int) -> None:
        withdrawn = self.due_to_settle[height % self.rules.settle_every].values()
        for lease in [lease for lease in withdrawn if not lease.active]:
            self.close(lease, Fate.CLOSED_FUNDS, height)

    def top_up(self, lease: Lease, height: int) -> None:
        lease.funds += lease.order.top_up * ATTO
        lease.top_ups += 1
        if lease.funds >= lease.price:
            lease.active = True
            lease.settled_at = height
        lease.topped_up.succeed()

    def outcome(self) -> Outcome:
        leases = [order.lease for order in self.orders]

        def column(values: Iterable[int]) -> npt.NDArray[np.int64]:
            return np.array(list(values), dtype=np.int64)

        return Outcome(
            fate=column(
                Fate.INSUFFICIENT_FUNDS if order.fate is Fate.ACTIVE and not order.lease.active else order.fate for order in self.orders
            ),
            winner=column(-1 if lease is None else lease.provider.index for lease in leases),
            start=column(0 if lease is None else lease.start for lease in leases),
            end=column(order.end for order in self.orders),
            bids=column(order.bid_count + len(order.bids) for order in self.orders),
            top_ups=column(0 if lease is None else lease.top_ups for lease in leases),
            paid_whole=column(0 if lease is None else lease.paid for lease in leases),
            paid_atto=column(0 if lease is None else lease.balance for lease in leases),
            revenue=np.array([provider.revenue for provider in self.providers], dtype=np.int64),
            provider_bids=column(provider.bids for provider in self.providers),
            provider_wins=column(provider.wins for provider in self.providers),
        )


def by_row(request: tuple[int, ...]) -> int:
    return request[0]


def orders_of(draws: ReferenceMarket) -> list[Order]:
    fates = (Fate.CLOSED_COMPLETED, Fate.CLOSED_BY_TENANT, Fate.CLOSED_BY_PROVIDER)
    ends = zip(
        draws.completes_after.tolist(),
        draws.terminates_after.tolist(),
        draws.provider_closes_after.tolist(),
        strict=True,
    )
    lives = [min(zip(blocks, fates, strict=True)) for blocks in ends]
    columns = zip(
        draws.created_at.tolist(),
        draws.size.tolist(),
        draws.regions.tolist(),
        draws.attributes.tolist(),
        draws.ceiling_whole.tolist(),
        draws.ceiling_atto.tolist(),
        draws.deposit.tolist(),
        draws.top_up.tolist(),
        draws.top_ups.tolist(),
        draws.top_up_delay.tolist(),
        lives,
        strict=True,
    )
    return [
        Order(
            row,
            created_at,
            *size,
            regions=regions,
            attributes=attributes,
            ceiling=ceiling_whole * ATTO + ceiling_atto,
            deposit=deposit,
            top_up=top_up,
            top_up_delays=delays[:top_ups],
            latencies=bytes(bid_latencies(draws.seed, row, len(draws.capacity)).tolist()),
            life=life,
            life_ends_as=fate,
        )
        for row, (
            created_at,
            size,
            regions,
            attributes,
            ceiling_whole,
            ceiling_atto,
            deposit,
            top_up,
            top_ups,
            delays,
            (life, fate),
        ) in enumerate(columns)
    ]


class Result(NamedTuple):
    """An outcome, what it took in seconds (building the market not counted) and in SimPy events."""

    outcome: Outcome
    seconds: float
    events: int


def run(draws: ReferenceMarket, rules: Rules = Rules()) -> Result:
    """Runs the reference market to the end of its last block."""
    market = Market(draws, rules)
    begun = time.process_time()
    market.env.run()
    seconds = time.process_time() - begun
    return Result(market.outcome(), seconds, next(market.env._eid))
