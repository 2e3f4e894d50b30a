"""A market of cohorts under the default rules as a SimPy user writes it first: the yardstick of `scenarios/small.yaml`, and its oracle.

A process per tenant, per order, per (provider, order) bid and per lease; a clock process that ticks every block and settles in a loop;
Python objects, Python integers. Nothing here is slow on purpose, nothing is clever, and no rule of marketsim's is called: what both have
in common is `drawn_market.py`.

The rules, which docs/scenario.md says at length (rule set `seed`):

* Blocks are 1 … B. Agents put what they want into the block's mempool; the clock runs after every other event of the instant and
  executes the block in fixed phases: settle, activate, close (leases, order timeouts, bid timeouts, ends of grace), deplete, top up,
  accept, bid (by submission time, then tie), arrive (orders that are listed again, then new ones by submission time, then tie), sample.
* A tenant's message opens a deployment and its order, if the tenant has the coins of the deposit, which go into an escrow account. Each
  provider looks at the order at once: its largest sizes, then price = Σ size × unit price × (1 + margin), rounded half to even at 18
  decimals, which is not to be above the ceiling. A provider without room finds that out before it prices. Its bid comes in the first
  block that is not before the end of its latency, the next one at the earliest.
* There it is declined if the order is not open any more; it waits in the provider's queue (100 places) while as many of the provider's
  bids are undecided as may be; it is declined if the provider has not the room, or not the coins of the bid's deposit; and the chain
  refuses it when the order has 20 bids. Else room is set aside for it. For each bid that is decided its provider sends the next of its
  queue in the next block.
* After 10 blocks the tenant takes the cheapest bid, or, if there is none, the first that comes after that; after 100 blocks the order
  ends. A bid that has no answer after 50 blocks is taken back. The deposit of the bid that wins stays until the lease ends.
* The workload runs `deploy_delay` blocks after the lease was made; a provider that would wait longer than 50 blocks closes the lease then.
* A lease ends as planned, or earlier by its tenant or its provider. When the provider left, the tenant lists the order again as often as
  it means to, and clears the deployment away after that.
* Charging `rate`: the lease owes its price for every block. `usage_capped`: the price of what it used since it began, at most its price
  for every block since it began. With n blocks metered, floor(share × reserved × seconds × n) of a resource is used; all of it costs
  price × Σ unit price × used / (seconds of a block × Σ unit price × reserved), floored once at 18 decimals.
* The account settles in every block congruent to its first one modulo 600, when its lease ends, and when it is due: settled_at +
  floor(funds / price) + 1 is the first block that it may be unable to pay. Whole uve are paid out at once; of all that was paid out the
  network takes 2 %, cut to whole uve once on the sum.
* If more is owed than there is, the provider gets what there is, the rest is forgiven and the lease is out of funds; so is it when a due
  settlement leaves less than a block's price. It accrues nothing then, until a top-up brings a block's price. 14,400 blocks after it ran
  out the deployment closes. A lease that its tenant ends while it is out of funds, with no top-up on its way, ended for want of funds.
* Tenants top up while few blocks are left, or some time after the account ran dry, as often as they mean to.
* When an account closes the whole uve in it go back; fractions are dust.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import simpy
from digest import Fate, MarketOutcome
from drawn_market import DrawnMarket, Listing, OrderDraws, ProviderDraws

from marketsim.market.tables import DECLINES, LATENCY_BINS, Decline, Stage, TopUpTime
from marketsim.money.units import ATTO, PPM

AFTER_ALL_ELSE = 2
"""SimPy priority of the clock's tick; SimPy's own are 0 and 1."""


class Tenant:
    """Has coins, and plans for its orders."""

    def __init__(self, coins: int) -> None:
        self.coins = coins
        self.plans: list[tuple[int, OrderDraws]] = []


class Provider:
    """Bids on what fits its limits, sets room aside for its bids and holds it for its leases."""

    def __init__(self, index: int, draws: ProviderDraws, days: int) -> None:
        self.index = index
        self.draws = draws
        self.max_cpu, self.max_memory, self.max_storage, self.max_gpu = draws.largest
        self.free_cpu, self.free_memory, self.free_storage, self.free_gpu = draws.capacity
        self.cpu_price, self.memory_price, self.storage_price, self.gpu_price = draws.prices
        self.factor = PPM + draws.margin_ppm
        self.coins = draws.coins
        self.undecided = 0
        self.queue: deque[Bid] = deque()
        self.submitted = self.accepted = self.won = self.lost = self.closed = 0
        self.declined = [0] * DECLINES
        self.revenue = [0] * days
        self.leased = [0, 0, 0, 0]
        self.used = [0, 0, 0, 0]
        self.used_until = 0

    def decline(self, order: Order, code: Decline, stage: Stage) -> None:
        self.declined[code] += 1
        order.reach(stage)

    def quote(self, order: Order) -> int | None:
        """The price per block in atto-uve, or None where the provider does not bid."""
        if order.cpu > self.max_cpu or order.memory > self.max_memory or order.storage > self.max_storage or order.gpu > self.max_gpu:
            self.decline(order, Decline.INSUFFICIENT_RESOURCES, Stage.LIMITS)
            return None
        price = self.price(order)
        if price > order.ceiling:
            if self.has_room(order):
                self.decline(order, Decline.PRICE_TOO_HIGH, Stage.OVER_CEILING)
            else:
                self.decline(order, Decline.INSUFFICIENT_RESOURCES, Stage.NO_CAPACITY)
            return None
        return price

    def cost(self, cpu: int, memory: int, storage: int, gpu: int) -> int:
        return cpu * self.cpu_price + memory * self.memory_price + storage * self.storage_price + gpu * self.gpu_price

    def price(self, order: Order) -> int:
        price, rest = divmod(self.cost(order.cpu, order.memory, order.storage, order.gpu) * self.factor, PPM)
        if 2 * rest > PPM or (2 * rest == PPM and price % 2 == 1):
            price += 1
        return price

    def bid(self, market: Market, order: Order, latency_ms: int, tie: int) -> Iterator[simpy.Event]:
        """The process of one bid: priced when the order is there, submitted after the latency."""
        price = self.quote(order)
        if price is None:
            return
        submitted_ms = market.env.now * market.block_ms + latency_ms
        yield market.env.timeout(max(1, -(-latency_ms // market.block_ms)))
        market.mempool.bids.append(Bid(submitted_ms, tie, price, order, self))

    def has_room(self, order: Order) -> bool:
        return (
            order.cpu <= self.free_cpu
            and order.memory <= self.free_memory
            and order.storage <= self.free_storage
            and order.gpu <= self.free_gpu
        )

    def set_aside(self, order: Order) -> None:
        self.free_cpu -= order.cpu
        self.free_memory -= order.memory
        self.free_storage -= order.storage
        self.free_gpu -= order.gpu

    def let_go(self, order: Order) -> None:
        self.free_cpu += order.cpu
        self.free_memory += order.memory
        self.free_storage += order.storage
        self.free_gpu += order.gpu

    def lease_out(self, order: Order, height: int, warm_up: int) -> None:
        self.count_use(height, warm_up)
        self.set_aside(order)
        self.leased = [held + size for held, size in zip(self.leased, order.sizes, strict=True)]

    def take_back(self, order: Order, height: int, warm_up: int) -> None:
        self.count_use(height, warm_up)
        self.let_go(order)
        self.leased = [held - size for held, size in zip(self.leased, order.sizes, strict=True)]

    def count_use(self, height: int, warm_up: int) -> None:
        """Add what was leased since the last change to what was used after the warm-up."""
        blocks = height - max(self.used_until, warm_up)
        if blocks > 0:
            self.used = [used + blocks * held for used, held in zip(self.used, self.leased, strict=True)]
        self.used_until = height


@dataclass(slots=True, eq=False)
class Deployment:
    """What a tenant opened, with its escrow account; money in atto-uve."""

    row: int
    tenant: Tenant
    plan: OrderDraws
    created_at: int
    settled_at: int
    funds: int
    top_ups_left: int
    restarts_left: int
    top_ups: int = 0
    first_lease: int = 0
    """Height of its first lease."""
    is_open: bool = True
    lease: Lease | None = None
    """The one that has not ended."""
    due: int = -1
    """First block that it may be unable to pay."""
    grace_end: int = -1
    top_up_at: int = -1
    dust: int = 0
    orders: list[Order] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Order:
    """One listing of a deployment's order."""

    deployment: Deployment
    number: int
    draws: Listing
    created_at: int
    cpu: int
    memory: int
    storage: int
    gpu: int
    ceiling: int
    fate: Fate = Fate.OPEN
    end: int = 0
    stage: int = Stage.NO_ELIGIBLE
    window_is_over: bool = False
    bids: list[Bid] = field(default_factory=list)
    """Those that stand; emptied when they are decided."""
    bid_count: int = 0
    lease: Lease | None = None

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return self.cpu, self.memory, self.storage, self.gpu

    def reach(self, stage: Stage) -> None:
        self.stage = max(self.stage, stage)


@dataclass(slots=True, eq=False)
class Bid:
    """A provider's bid on an order, from its submission on."""

    submitted_ms: int
    tie: int
    price: int
    order: Order
    provider: Provider
    stands: bool = False


@dataclass(slots=True, eq=False)
class Lease:
    """A lease and what it was charged; money in atto-uve."""

    order: Order
    provider: Provider
    price: int
    start: int
    weight: int
    """Unit prices of what is reserved."""
    accrues: bool = True
    """Not out of funds, not ended."""
    ended: bool = False
    runs_from: int = -1
    blocks: int = 0
    """That it accrued up to the last settlement."""
    metered: int = 0
    metered_until: int = 0
    charged: int = 0
    forgiven: int = 0
    balance: int = 0
    withdrawn: int = 0
    """Paid out, the network's part included, whole uve."""
    taken: int = 0

    def metered_at(self, height: int) -> int:
        """Blocks that the meter has seen."""
        if self.runs_from < 0 or not self.accrues:
            return self.metered
        return self.metered + max(0, height - max(self.metered_until, self.runs_from))


class Mempool:
    """What agents ask of the next block, by phase."""

    def __init__(self) -> None:
        self.activations: list[Lease] = []
        self.endings: list[tuple[Lease, Fate]] = []
        self.clearings: list[Deployment] = []
        self.timeouts: list[Order] = []
        self.bid_timeouts: list[Bid] = []
        self.ends_of_grace: list[Deployment] = []
        self.due: list[Deployment] = []
        self.top_ups: list[Deployment] = []
        self.choices: list[Order] = []
        self.bids: list[Bid] = []
        self.restarts: list[Deployment] = []
        self.arrivals: list[tuple[int, OrderDraws]] = []


class Ledger:
    """What went through escrow: whole uve, what stays there for ever and what was forgiven in atto-uve."""

    def __init__(self) -> None:
        self.deposited = self.paid = self.fees = self.refunded = 0
        self.dust = self.shortfall = 0

    @property
    def held(self) -> int:
        return (self.deposited - self.paid - self.fees - self.refunded) * ATTO - self.dust


class Market:
    """The chain, its agents and the clock that ties them."""

    def __init__(self, draws: DrawnMarket) -> None:
        self.draws = draws
        self.block_ms = draws.block_ms
        self.env = simpy.Environment()
        self.mempool = Mempool()
        self.ledger = Ledger()
        days = max(1, -(-draws.blocks // draws.day))
        self.providers = [Provider(index, provider, days) for index, provider in enumerate(draws.providers)]
        self.tenants = [Tenant(coins) for coins in draws.tenants]
        self.deployments: list[Deployment | None] = [None] * len(draws.orders)
        self.due_to_settle: list[dict[int, Deployment]] = [{} for _ in range(draws.settle_every)]
        self.latencies = [0] * LATENCY_BINS
        self.orders_open = self.created = self.leased = self.submitted = 0
        self.series: list[list[int]] = []
        for row, plan in enumerate(draws.orders):
            self.tenants[plan.tenant].plans.append((row, plan))
        for tenant in self.tenants:
            self.env.process(self.tenant(sorted(tenant.plans, key=lambda each: each[1].height)))
        self.end = self.env.process(self.clock())

    # The agents: what they wait for and what they then send.

    def tenant(self, plans: Sequence[tuple[int, OrderDraws]]) -> Iterator[simpy.Event]:
        for row, plan in plans:
            if plan.height > self.env.now:
                yield self.env.timeout(plan.height - self.env.now)
            self.mempool.arrivals.append((row, plan))

    def order(self, order: Order) -> Iterator[simpy.Event]:
        """Looks at the bids when the window is over, and ends the order if nothing has come of it."""
        yield self.env.timeout(self.draws.bid_window)
        self.mempool.choices.append(order)
        yield self.env.timeout(self.draws.order_timeout - self.draws.bid_window)
        if order.fate is Fate.OPEN:
            self.mempool.timeouts.append(order)

    def placed_bid(self, bid: Bid) -> Iterator[simpy.Event]:
        yield self.env.timeout(bid.provider.draws.bid_timeout)
        if bid.stands:
            self.mempool.bid_timeouts.append(bid)

    def queued_bid(self, bid: Bid) -> Iterator[simpy.Event]:
        yield self.env.timeout(1)
        self.mempool.bids.append(bid)

    def workload(self, lease: Lease) -> Iterator[simpy.Event]:
        """Starts after its delay, unless that is longer than the provider waits."""
        delay = lease.order.deployment.plan.deploy_delay
        if delay > self.draws.manifest_blocks:
            yield self.env.timeout(self.draws.manifest_blocks)
            self.mempool.endings.append((lease, Fate.CLOSED_BY_PROVIDER))
        else:
            yield self.env.timeout(delay)
            self.mempool.activations.append(lease)

    def life(self, lease: Lease) -> Iterator[simpy.Event]:
        """Ends the lease: as planned, early by the tenant, or by the provider, whatever comes first."""
        order, plan, provider = lease.order, lease.order.deployment.plan, lease.provider
        since = lease.start - order.deployment.first_lease
        blocks, fate = plan.duration - since, Fate.CLOSED_COMPLETED
        if 0 <= plan.terminate < plan.duration:
            blocks, fate = plan.terminate - since, Fate.CLOSED_BY_TENANT
        if provider.draws.stay > 0:
            stay = 1 + order.draws.leave_ppm[provider.index] * provider.draws.stay // PPM
            if stay < blocks:
                blocks, fate = stay, Fate.CLOSED_BY_PROVIDER
        yield self.env.timeout(max(1, blocks))
        if not lease.ended:
            self.mempool.endings.append((lease, fate))

    def funds(self, lease: Lease) -> Iterator[simpy.Event]:
        """Looks at the account in the first block that it may be unable to pay, which settlements put off."""
        deployment = lease.order.deployment
        while lease.accrues:
            if deployment.due > self.env.now:
                yield self.env.timeout(deployment.due - self.env.now)
            else:
                self.mempool.due.append(deployment)
                yield self.env.timeout(1)

    def grace(self, deployment: Deployment) -> Iterator[simpy.Event]:
        yield self.env.timeout(self.draws.grace)
        if deployment.grace_end == self.env.now:
            self.mempool.ends_of_grace.append(deployment)

    def top_up(self, deployment: Deployment, blocks: int) -> Iterator[simpy.Event]:
        yield self.env.timeout(blocks)
        if deployment.top_up_at == self.env.now:
            self.mempool.top_ups.append(deployment)

    def restart(self, deployment: Deployment) -> Iterator[simpy.Event]:
        yield self.env.timeout(max(1, deployment.plan.restart_delay))
        self.mempool.restarts.append(deployment)

    def clear_away(self, deployment: Deployment) -> Iterator[simpy.Event]:
        yield self.env.timeout(1)
        self.mempool.clearings.append(deployment)

    # The chain: one block at a time.

    def clock(self) -> Iterator[simpy.Event]:
        for height in range(1, self.draws.blocks + 1):
            tick = simpy.Event(self.env)
            tick._ok = True
            tick._value = None
            self.env.schedule(tick, AFTER_ALL_ELSE, delay=1)
            yield tick
            self.execute_block(height)
        yield self.env.timeout(0)  # the orders of the last block are looked at

    def execute_block(self, height: int) -> None:
        for deployment in self.due_to_settle[height % self.draws.settle_every].values():
            self.settle(deployment, height)
        pool = self.mempool
        if pool.activations:
            for lease in pool.activations:
                if not lease.ended:
                    lease.runs_from = height
            pool.activations.clear()
        if pool.endings:
            for lease, fate in pool.endings:
                self.end_lease(lease, fate, height)
            pool.endings.clear()
        if pool.clearings:
            for deployment in pool.clearings:
                self.close(deployment)
            pool.clearings.clear()
        if pool.timeouts:
            for order in pool.timeouts:
                self.time_out(order, height)
            pool.timeouts.clear()
        if pool.bid_timeouts:
            for bid in pool.bid_timeouts:
                if bid.stands:
                    bid.order.bids.remove(bid)
                    bid.provider.closed += 1
                    self.decide(bid)
            pool.bid_timeouts.clear()
        if pool.ends_of_grace:
            for deployment in pool.ends_of_grace:
                if deployment.grace_end == height and deployment.lease is not None:
                    self.drop(deployment.lease, Fate.CLOSED_FUNDS, height)
                    self.close(deployment)
            pool.ends_of_grace.clear()
        if pool.due:
            for deployment in pool.due:
                if deployment.due == height:
                    self.settle(deployment, height, is_due=True)
            pool.due.clear()
        if pool.top_ups:
            for deployment in pool.top_ups:
                self.add_funds(deployment, height)
            pool.top_ups.clear()
        if pool.choices:
            choices, pool.choices = pool.choices, []
            for order in choices:
                self.choose(order, height)
        if pool.bids:
            for bid in sorted(pool.bids, key=lambda bid: (bid.submitted_ms, bid.tie)):
                self.place(bid)
            pool.bids.clear()
        if pool.restarts:
            for deployment in pool.restarts:
                self.open_order(deployment, height)
            pool.restarts.clear()
        if pool.arrivals:
            for row, plan in sorted(pool.arrivals, key=lambda arrival: (arrival[1].time, arrival[1].tie)):
                self.open_deployment(row, plan, height)
            pool.arrivals.clear()
        if height % self.draws.sample_every == 0 or height == self.draws.blocks:
            self.sample(height)

    # Orders and bids.

    def open_deployment(self, row: int, plan: OrderDraws, height: int) -> None:
        tenant = self.tenants[plan.tenant]
        if plan.deposit < self.draws.least_deposit or plan.deposit > tenant.coins:
            return
        tenant.coins -= plan.deposit
        self.ledger.deposited += plan.deposit
        deployment = Deployment(row, tenant, plan, height, height, plan.deposit * ATTO, plan.top_ups, plan.restarts)
        self.deployments[row] = deployment
        self.created += 1
        self.open_order(deployment, height)

    def open_order(self, deployment: Deployment, height: int) -> None:
        plan, number = deployment.plan, len(deployment.orders) + 1
        draws = self.draws.listing(deployment.row, number)
        order = Order(deployment, number, draws, height, plan.cpu, plan.memory, plan.storage, plan.gpu, plan.ceiling)
        deployment.orders.append(order)
        self.orders_open += 1
        self.env.process(self.order(order))
        for provider, latency, tie in zip(self.providers, draws.latencies, draws.ties, strict=True):
            self.env.process(provider.bid(self, order, latency, tie))

    def place(self, bid: Bid) -> None:
        """Submits a bid after the checks that need the present."""
        order, provider, deposit = bid.order, bid.provider, self.draws.bid_deposit
        if order.fate is not Fate.OPEN:
            provider.decline(order, Decline.ORDER_NOT_OPEN, Stage.LIMITS)
        elif provider.undecided >= provider.draws.max_bids:
            if len(provider.queue) < self.draws.queue_limit:
                provider.queue.append(bid)
            else:
                provider.decline(order, Decline.QUEUE_FULL, Stage.LIMITS)
        elif not provider.has_room(order):
            provider.decline(order, Decline.INSUFFICIENT_RESOURCES, Stage.NO_CAPACITY)
        elif provider.coins < deposit:
            provider.decline(order, Decline.INSUFFICIENT_DEPOSIT, Stage.NO_DEPOSIT)
        else:
            provider.submitted += 1
            self.submitted += 1
            self.latencies[min(bid.submitted_ms - order.created_at * self.block_ms, LATENCY_BINS - 1)] += 1
            if order.bid_count >= self.draws.order_max_bids:
                return
            provider.accepted += 1
            provider.coins -= deposit
            self.ledger.deposited += deposit
            provider.undecided += 1
            provider.set_aside(order)
            bid.stands = True
            order.bids.append(bid)
            order.bid_count += 1
            order.reach(Stage.BID)
            self.env.process(self.placed_bid(bid))
            if order.window_is_over and not order.deployment.plan.never_chooses:
                self.mempool.choices.append(order)  # of the next block

    def decide(self, bid: Bid, won: bool = False) -> None:
        """Gives the room that a bid holds back, and its deposit unless it won; the next of its provider's queue follows."""
        provider = bid.provider
        bid.stands = False
        if not won:
            self.refund_bid(provider)
        provider.undecided -= 1
        provider.let_go(bid.order)
        if provider.queue:
            self.env.process(self.queued_bid(provider.queue.popleft()))

    def refund_bid(self, provider: Provider) -> None:
        provider.coins += self.draws.bid_deposit
        self.ledger.refunded += self.draws.bid_deposit

    def choose(self, order: Order, height: int) -> None:
        if order.fate is not Fate.OPEN:
            return
        order.window_is_over = True
        if order.bids and not order.deployment.plan.never_chooses:
            self.open_lease(order, min(order.bids, key=lambda bid: (bid.price, bid.tie)), height)

    def time_out(self, order: Order, height: int) -> None:
        if order.fate is not Fate.OPEN:
            return
        order.fate, order.end = Fate.TIMED_OUT, height
        self.orders_open -= 1
        for bid in order.bids:
            self.decide(bid)
        order.bids.clear()
        self.close(order.deployment)

    # Leases and their money.

    def open_lease(self, order: Order, chosen: Bid, height: int) -> None:
        deployment, provider = order.deployment, chosen.provider
        weight = provider.cost(*order.sizes)
        order.lease = lease = Lease(order, provider, chosen.price, height, weight, metered_until=height)
        order.fate = Fate.ACTIVE
        self.orders_open -= 1
        self.leased += order.number == 1
        for bid in order.bids:
            bid.provider.lost += bid is not chosen
            self.decide(bid, bid is chosen)
        order.bids.clear()
        provider.won += 1
        provider.lease_out(order, height, self.draws.warm_up)
        deployment.lease = lease
        deployment.first_lease = deployment.first_lease or height
        deployment.settled_at = height
        deployment.due = height + deployment.funds // lease.price + 1
        self.due_to_settle[deployment.created_at % self.draws.settle_every][deployment.row] = deployment
        if deployment.plan.deploy_delay > 0:
            self.env.process(self.workload(lease))
        else:
            lease.runs_from = height
        self.env.process(self.life(lease))
        self.env.process(self.funds(lease))
        if deployment.top_up_at < 0:
            self.plan_top_up(deployment, height)

    def charge(self, lease: Lease, height: int) -> int:
        """What the lease owes since it began."""
        deployment, order, provider = lease.order.deployment, lease.order, lease.provider
        accrued = lease.price * (lease.blocks + height - deployment.settled_at)
        if self.draws.charging == "rate" or lease.weight == 0:
            return accrued
        share = deployment.plan.utilization_ppm * self.block_ms * lease.metered_at(height)
        used = (share * size // (1_000 * PPM) for size in order.sizes)
        return min(accrued, lease.price * provider.cost(*used) * 1_000 // (lease.weight * self.block_ms))

    def settle(self, deployment: Deployment, height: int, is_due: bool = False) -> None:
        """Moves what is owed, at most what is there, and pays out whole uve."""
        lease = deployment.lease
        if lease is None or not lease.accrues:
            return
        owed = self.charge(lease, height) - lease.charged
        lease.charged += owed
        lease.metered = lease.metered_at(height)
        lease.metered_until = height
        lease.blocks += height - deployment.settled_at
        deployment.settled_at = height
        is_short = owed > deployment.funds
        if is_short:
            missing = owed - deployment.funds
            lease.forgiven += missing
            self.ledger.shortfall += missing
            owed = deployment.funds
        deployment.funds -= owed
        lease.balance += owed
        self.pay_out(lease, height)
        if is_short or (is_due and deployment.funds < lease.price):
            self.run_out(deployment, lease, height)
        else:
            deployment.due = height + deployment.funds // lease.price + 1

    def pay_out(self, lease: Lease, height: int) -> None:
        paid, lease.balance = divmod(lease.balance, ATTO)
        lease.withdrawn += paid
        fee = lease.withdrawn * self.draws.take_ppm // PPM - lease.taken
        lease.taken += fee
        self.ledger.paid += paid - fee
        self.ledger.fees += fee
        lease.provider.coins += paid - fee
        lease.provider.revenue[(height - 1) // self.draws.day] += paid - fee

    def run_out(self, deployment: Deployment, lease: Lease, height: int) -> None:
        lease.accrues = False
        deployment.due = -1
        deployment.grace_end = height + self.draws.grace
        self.env.process(self.grace(deployment))
        self.plan_rescue(deployment, height)

    def plan_rescue(self, deployment: Deployment, height: int) -> None:
        """Dates the top-up of a tenant that waits until its account is dry."""
        if deployment.plan.top_up == TopUpTime.AFTER_DEPLETION and deployment.top_ups_left > 0:
            delay = max(1, self.top_up_delay(deployment))
            if height + delay < deployment.grace_end:
                deployment.top_up_at = height + delay
                self.env.process(self.top_up(deployment, delay))

    def plan_top_up(self, deployment: Deployment, height: int) -> None:
        """Dates the next look of a tenant that tops up while some blocks are left."""
        lease, plan = deployment.lease, deployment.plan
        if plan.top_up == TopUpTime.BEFORE and deployment.top_ups_left > 0 and lease is not None and lease.accrues:
            left = self.blocks_left(deployment, lease, height)
            blocks = max(1, left - plan.top_up_at + self.top_up_delay(deployment))
            if height + blocks <= self.draws.blocks:
                deployment.top_up_at = height + blocks
                self.env.process(self.top_up(deployment, blocks))

    def top_up_delay(self, deployment: Deployment) -> int:
        return deployment.plan.top_up_delays[min(deployment.top_ups, 2)]

    def blocks_left(self, deployment: Deployment, lease: Lease, height: int) -> int:
        return deployment.settled_at + deployment.funds // lease.price - height

    def add_funds(self, deployment: Deployment, height: int) -> None:
        """Adds funds as planned, if they are still needed."""
        plan, lease, tenant = deployment.plan, deployment.lease, deployment.tenant
        if deployment.top_up_at != height or not deployment.is_open:
            return
        deployment.top_up_at = -1
        if lease is None:
            return
        if lease.accrues:
            if plan.top_up == TopUpTime.AFTER_DEPLETION:
                return
            if self.blocks_left(deployment, lease, height) > plan.top_up_at - self.top_up_delay(deployment):
                self.plan_top_up(deployment, height)
                return
        deployment.top_ups_left -= 1
        deployment.top_ups += 1
        if plan.top_up_amount > tenant.coins:
            return
        tenant.coins -= plan.top_up_amount
        self.ledger.deposited += plan.top_up_amount
        deployment.funds += plan.top_up_amount * ATTO
        if lease.accrues:
            deployment.due = deployment.settled_at + deployment.funds // lease.price + 1
        elif deployment.funds >= lease.price:
            lease.accrues = True
            lease.metered_until = height
            deployment.settled_at = height
            deployment.grace_end = -1
            deployment.due = height + deployment.funds // lease.price + 1
            self.env.process(self.funds(lease))
        if lease.accrues:
            self.plan_top_up(deployment, height)
        else:
            self.plan_rescue(deployment, height)

    def end_lease(self, lease: Lease, fate: Fate, height: int) -> None:
        """Ends a lease by its tenant or its provider; what follows for the deployment is the tenant's."""
        deployment = lease.order.deployment
        if lease.ended:
            return
        if fate is Fate.CLOSED_BY_PROVIDER:
            self.settle(deployment, height)
            self.drop(lease, fate, height)
            if deployment.restarts_left > 0:
                deployment.restarts_left -= 1
                self.env.process(self.restart(deployment))
            else:
                self.env.process(self.clear_away(deployment))
            return
        if not lease.accrues and not height <= deployment.top_up_at < deployment.grace_end:
            fate = Fate.CLOSED_FUNDS
        self.settle(deployment, height)
        self.drop(lease, fate, height)
        self.close(deployment)

    def drop(self, lease: Lease, fate: Fate, height: int) -> None:
        """Takes an ended lease out of the books; the fraction that was not paid out is dust."""
        order, deployment = lease.order, lease.order.deployment
        lease.ended, lease.accrues = True, False
        order.fate, order.end = fate, height
        self.leave_dust(deployment, lease.balance)
        lease.balance = 0
        lease.provider.take_back(order, height, self.draws.warm_up)
        self.refund_bid(lease.provider)
        deployment.lease = None
        deployment.due = deployment.grace_end = -1
        del self.due_to_settle[deployment.created_at % self.draws.settle_every][deployment.row]

    def close(self, deployment: Deployment) -> None:
        """Closes a deployment that has no lease any more; whole uve go back to the tenant."""
        whole, fraction = divmod(deployment.funds, ATTO)
        deployment.is_open = False
        deployment.funds = 0
        deployment.tenant.coins += whole
        self.ledger.refunded += whole
        self.leave_dust(deployment, fraction)

    def leave_dust(self, deployment: Deployment, amount: int) -> None:
        deployment.dust += amount
        self.ledger.dust += amount

    # What is seen of it.

    def sample(self, height: int) -> None:
        active = short = warnings = 0
        for deployments in self.due_to_settle:
            for deployment in deployments.values():
                lease = deployment.lease
                if lease is None:
                    continue
                if lease.accrues:
                    active += 1
                    warnings += deployment.funds < lease.price * (height + self.draws.day - deployment.settled_at)
                else:
                    short += 1
        leased = [sum(provider.leased[resource] for provider in self.providers) for resource in range(4)]
        self.series.append(
            [
                height, active, short, self.orders_open, *leased, self.ledger.paid, self.created, self.leased, self.submitted,
                self.ledger.held // ATTO, warnings,
            ]
        )  # fmt: skip

    def outcome(self) -> MarketOutcome:
        deployments = [deployment for deployment in self.deployments if deployment is not None]
        orders = [order for deployment in deployments for order in deployment.orders]
        leases = [order.lease for order in orders]
        for provider in self.providers:
            provider.count_use(self.draws.blocks, self.draws.warm_up)
        ledger = self.ledger
        return MarketOutcome(
            deployment=column(order.deployment.row for order in orders),
            listing=column(order.number for order in orders),
            fate=column(
                Fate.INSUFFICIENT_FUNDS if lease is not None and not lease.ended and not lease.accrues else order.fate
                for order, lease in zip(orders, leases, strict=True)
            ),
            winner=column(-1 if lease is None else lease.provider.index for lease in leases),
            start=column(0 if lease is None else lease.start for lease in leases),
            runs_from=column(0 if lease is None else lease.runs_from for lease in leases),
            end=column(order.end for order in orders),
            bids=column(order.bid_count for order in orders),
            stage=column(order.stage for order in orders),
            moved=pairs(0 if lease is None else lease.charged - lease.forgiven for lease in leases),
            taken=column(0 if lease is None else lease.taken for lease in leases),
            unpaid=pairs(0 if lease is None else lease.balance for lease in leases),
            forgiven=pairs(0 if lease is None else lease.forgiven for lease in leases),
            opened=column(deployment is not None for deployment in self.deployments),
            top_ups=column(0 if deployment is None else deployment.top_ups for deployment in self.deployments),
            funds=pairs(0 if deployment is None else deployment.funds for deployment in self.deployments),
            dust=pairs(0 if deployment is None else deployment.dust for deployment in self.deployments),
            revenue=np.array([provider.revenue for provider in self.providers], np.int64),
            tally=np.array(
                [(each.submitted, each.accepted, each.won, each.lost, each.closed, each.coins) for each in self.providers], np.int64
            ),
            declined=np.array([provider.declined for provider in self.providers], np.int64),
            used=np.array([provider.used for provider in self.providers], np.int64),
            tenants=column(tenant.coins for tenant in self.tenants),
            latencies=column(self.latencies),
            totals=column(
                [
                    ledger.deposited, ledger.paid, ledger.fees, ledger.refunded,
                    *divmod(ledger.held, ATTO), *divmod(ledger.dust, ATTO), *divmod(ledger.shortfall, ATTO),
                ]
            ),
            series=np.array(self.series, np.int64),
        )  # fmt: skip


def column(values: Iterable[int]) -> npt.NDArray[np.int64]:
    return np.array(list(values), dtype=np.int64)


def pairs(amounts: Iterable[int]) -> npt.NDArray[np.int64]:
    return np.array([divmod(amount, ATTO) for amount in amounts], dtype=np.int64).reshape(-1, 2)


class Result(NamedTuple):
    """An outcome, what it took in seconds of processor time (building the market not counted) and in SimPy events."""

    outcome: MarketOutcome
    seconds: float
    events: int


def run(draws: DrawnMarket) -> Result:
    """Runs a market to the end of its last block."""
    market = Market(draws)
    begun = time.process_time()
    market.env.run(market.end)
    seconds = time.process_time() - begun
    return Result(market.outcome(), seconds, next(market.env._eid))
