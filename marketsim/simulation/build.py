"""Chain, desks and orders out of a scenario: everything a run starts from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from marketsim.agents.demand import by_time
from marketsim.agents.streams import Keys, key_of, keys_from, stream, uniforms
from marketsim.chain.columns import Charging, Draft, EscrowRule, EventKind, Provider, Resource, Wallet
from marketsim.chain.requirements import Eligibility, with_eligible
from marketsim.chain.room import with_room
from marketsim.chain.rule_sets import rule_globals
from marketsim.chain.state import MODULES, State, identity, make_state
from marketsim.errors import InputError
from marketsim.kernel.rows import Rows, as_rows
from marketsim.kernel.table_set import Table
from marketsim.market.calendar import push
from marketsim.market.order_rows import place_rows, put_lives, put_numbers
from marketsim.market.packing import REPLICA
from marketsim.market.room import ROWS, make_room
from marketsim.market.tables import BidChoice, Call, Desk, Engine, Kind, Node, Phase, Plan, codes_of, make_engine, no_fits
from marketsim.money.units import ATTO, DAY_MS, HOUR_MS
from marketsim.scenario.model import Scenario
from marketsim.scenario.tenants import TenantCohort
from marketsim.simulation.desks import DeskBook, region_codes, repricing_periods
from marketsim.simulation.orders import (
    Arrived,
    CohortOrders,
    OrderKind,
    OrderPlace,
    OrderTables,
    Stretch,
    arrived_orders,
    cpu_of,
    first_orders,
    lives_of,
    mean_cpu,
    mean_life,
    mean_per_hour,
    moved,
    orders_with_first,
    staged_orders,
)
from marketsim.simulation.shared_orders import is_sharing, shared

REPLICAS_MAX = 200
"""Most replicas of an order that a desk with nodes looks at; for more it has not the resources."""
MODULE_WALLETS = len(MODULES)
FIRST_ROWS = 1_024
"""Rows of the tables of the reference market at the start; they grow."""
BARE_ROWS = 64
"""Rows of tables before it is known how many they will need."""
SHARE_OF_MORE = 16
"""Orders that are listed again or made by hand have room for one in so many of those drawn, to begin with."""
MORE_ORDERS = 4_096
"""Orders of groups that start again for which there is room from the start, a sixteenth of all at most; the tables grow."""
BIDS_AT_FIRST = 4_096
"""Bids on the orders of the first block for which there is room from the start."""
QUEUE_LIMIT = 100
"""Bids that may wait at a desk for a free slot (training document)."""
LEAST_VALUE_BLOCKS = 14_400
"""Expected life of a lease behind a provider's `min_order_value`: a day of blocks of 6 s."""
MANIFEST_MS = 300_000
"""A provider that has no manifest by then closes its bid."""
FUNDS_LOOK_MS = 600_000
"""How often the provider daemon looks at the funds behind a lease (protocol reference 4.1)."""
EVENT_ROOM = 4_096
"""Events for which there is room at any time, beside those of bids."""
EVENTS_A_BID_LIMIT = 80
"""Events for each bid that an order may have: a deployment of 20 groups may end with all its bids, each refunded."""
FORTNIGHT_DAYS = 14
SETTLEMENT = "settlement"
"""Name of the wallet of VirtEngine's settlement module."""
POOL, POOL_PICKS, POOLS_MAX = 1024, 256, 1 << 14
"""Lives drawn for each pool of orders at the start, orders made of them by their length, and the most pools."""
PICKS_STEP, PICKS_SPARE = 64, 1.25
"""Orders at the start are made in so many at once, and so much more of them than are needed on average."""
EVENTS_KEPT = {
    "summary": 0,
    "orders": (1 << EventKind.PAID) | (1 << EventKind.SETTLED) | (1 << EventKind.SHORTFALL),
    "everything": ((1 << 62) - 1) & ~(1 << EventKind.BID_CREATED | 1 << EventKind.BID_LOST),
}
"""Kinds of event of which rows are kept, by what a scenario records; which bids were made and lost is in the bids table."""
CHARGING = {
    "rate": Charging.RATE,
    "usage_capped": Charging.USAGE_CAPPED,
    "usage": Charging.USAGE,
    "ve_settlement": Charging.VE_SETTLEMENT,
}
ESCROW = {"exact": EscrowRule.EXACT, "sequential": EscrowRule.SEQUENTIAL, "proportional": EscrowRule.PROPORTIONAL}


class MarketSetup(NamedTuple):
    """What a run starts from. `calls` by cohort are rows of the inbox with their final plan and draft rows."""

    chain: State
    engine: Engine
    book: DeskBook
    calls: list[Table]
    tenant_names: list[str]
    tenant_cohorts: list[int]
    regions: list[str]
    asked: list[OrderKind]
    """What orders ask for, by chain spec."""
    eligibility: Eligibility
    first_tenant: int
    """Wallet of the first of `tenant_names`; the others follow."""
    newcomers: dict[int, int]
    """Places in `tenant_names` by wallet of owners who came later."""
    cut: Mapping[str, dict[str, Any]] = MappingProxyType({})
    """By key of the scenario: draws that were cut off, rows of traces that were left out."""

    def copy(self) -> MarketSetup:
        """Return the setup of a market that goes its own way from here on; the tables in it are those of the start."""
        return self._replace(
            book=self.book.copy(),
            tenant_names=list(self.tenant_names),
            tenant_cohorts=list(self.tenant_cohorts),
            regions=list(self.regions),
            asked=list(self.asked),
            eligibility=self.eligibility.copy(),
            newcomers=dict(self.newcomers),
        )


def build_market(scenario: Scenario, seed: int, by_hand: bool = False, stretch: Stretch | None = None) -> MarketSetup:
    """Return chain, engine and orders for one seed; `by_hand` for a market that takes messages which the scenario does not hold, `stretch`
    where orders are drawn for a part of the horizon."""
    book = DeskBook(scenario, seed)
    orders, tables = drawn_orders(scenario, book, seed, stretch)
    total = sum(len(part.calls) for part in orders)
    at_once = min(sum(len(part.calls) for part in orders[len(scenario.tenants) :]), BIDS_AT_FIRST // max(1, len(book.names)))
    bids = at_once * len(book.names)
    most = total + min(total // SHARE_OF_MORE, MORE_ORDERS) + ROWS
    chain = make_state(
        BARE_ROWS,
        **dict.fromkeys(("deployments", "groups", "orders", "leases"), most),
        **dict.fromkeys(("accounts", "deposits"), most + bids),
        usage=0 if scenario.charging == "rate" else most,
        usage_escrows=most if scenario.charging == "ve_settlement" else 0,
    )
    set_rules(chain, scenario)
    chain.globals.keep_bids = int(by_hand or bool(scenario.messages))
    chain, tenant_names, tenant_cohorts = add_wallets(chain, scenario, book)
    book.rows[:, Desk.wallet] = np.arange(len(book.names)) + MODULE_WALLETS
    eligibility = Eligibility()
    chain = with_eligible(chain, 1, max(1, len(book.names)))
    for slot, claims in enumerate(book.attributes):
        chain = eligibility.set_provider(chain, slot, claims, book.signed[slot])
    engine = make_engine(len(book.names), BARE_ROWS)
    engine = engine._replace(desks=book.rows if len(book.rows) else engine.desks, latencies=book.latencies)
    chain, engine, calls, asked = add_orders(chain, engine, scenario, book, eligibility, orders, tables)
    first_tenant = MODULE_WALLETS + len(book.names)
    if any(cohort.home_region is not None for cohort in scenario.tenants):
        engine.plans[:, Plan.region] = home_regions(scenario, seed)[engine.plans[:, Plan.tenant] - first_tenant]
    engine = with_nodes(chain, engine, book)
    set_engine(engine, scenario, seed)
    x = engine.globals
    x.asked_orders, x.asked_bids, x.asked_entries, x.asked_events = at_once, bids, 3 + len(scenario.providers), 0
    chain, engine = make_room(chain, engine)
    set_calendar(engine, scenario)
    regions = sorted({kind.region for kind in asked if kind.region is not None})
    return MarketSetup(
        chain, engine, book, calls, tenant_names, tenant_cohorts, regions, asked, eligibility,
        first_tenant, {}, cuts_of(scenario, orders),
    )  # fmt: skip


def cuts_of(scenario: Scenario, orders: Sequence[CohortOrders]) -> dict[str, dict[str, Any]]:
    """Return what was cut off the distributions of all cohorts, and how many rows of traces lie behind the horizon, by key."""
    found: dict[str, dict[str, Any]] = {}
    for number, part in enumerate(orders):
        prefix = f"tenants.{scenario.tenants[number % len(scenario.tenants)].name}"
        if part.late or part.unread:
            found[f"{prefix}.demand.trace"] = {"left_out": part.late, "not_read": list(part.unread)}
        for key, cut in part.cuts.items():
            one = found.setdefault(f"{prefix}.{key}", {"draws": 0, "raised": 0, "lowered": 0, "low": "", "high": ""})
            one["draws"] += len(cut.side)
            one["raised"] += int((cut.side < 0).sum())
            one["lowered"] += int((cut.side > 0).sum())
            one["low"], one["high"] = cut.low or one["low"], cut.high or one["high"]
    return found


def home_regions(scenario: Scenario, seed: int) -> Table:
    """Return the home region of each tenant, cohort by cohort, by its number in `region_codes`; -1 for one without, or where nobody is."""
    codes = region_codes(scenario)
    homes = [np.zeros(0, np.int64)]
    for cohort in scenario.tenants:
        if cohort.home_region is None:
            homes.append(np.full(cohort.count, -1))
            continue
        law = cohort.home_region.law()
        numbers = np.asarray([codes.get(name, -1) for name in law.values], np.int64)
        homes.append(numbers[stream(seed, f"tenant/{cohort.name}/home_region").choice(len(numbers), cohort.count, p=law.weights)])
    return np.concatenate(homes)


def set_rules(chain: State, scenario: Scenario) -> None:
    """Write the rule set, its switches and the kinds of event to keep."""
    g = chain.globals
    for column, value in rule_globals(scenario.rules, scenario.quirks).items():
        g[column] = value
    block_ms = scenario.block_ms
    g.escrow = ESCROW[scenario.escrow]
    g.charging = CHARGING[scenario.charging]
    if scenario.charging == "ve_settlement":
        g.escrow = EscrowRule.USAGE
        g.usage_every = scenario.usage_every.blocks(block_ms)
    g.take_ppm = scenario.take_ppm
    g.order_max_bids = scenario.order_max_bids
    g.bid_min_deposit = scenario.bid_min_deposit // ATTO
    g.deployment_min_deposit = scenario.deployment_min_deposit // ATTO
    g.settle_every = 0 if scenario.settle_every is None else scenario.settle_every.blocks(block_ms)
    g.grace = 0 if scenario.grace is None else scenario.grace.blocks(block_ms)
    g.order_timeout = 0 if scenario.order_timeout is None else scenario.order_timeout.blocks(block_ms)
    g.usage_grace = scenario.usage_grace.blocks(block_ms)
    g.block_ms = block_ms
    g.network_fees = int(scenario.network_fees)
    g.gas_price_atto = scenario.gas_price * 3 // 2
    g.keep_bids = 0  # unless messages by hand may name them
    g.event_mask = EVENTS_KEPT[scenario.record]


def add_wallets(chain: State, scenario: Scenario, book: DeskBook) -> tuple[State, list[str], list[int]]:
    """Give every provider and tenant a wallet: module wallets first, then providers in slot order, then tenants."""
    names: list[str] = []
    cohorts: list[int] = []
    coins = list(book.wallets)
    for number, cohort in enumerate(scenario.tenants):
        names += [f"{cohort.name}-{index}" for index in range(cohort.count)]
        cohorts += [number] * cohort.count
        coins += [int(cohort.wallet) // ATTO] * cohort.count
    return set_wallets(chain, book.names + names, coins, len(book.names)), names, cohorts


def with_settlement_wallet(market: MarketSetup, scenario: Scenario) -> MarketSetup:
    """Return the market with the wallet of VirtEngine's settlement module as its last one, where charging is by usage escrows."""
    if scenario.charging != "ve_settlement":
        return market
    chain = with_room(market.chain, wallets=1)
    row = int(chain.globals.wallets)
    chain.wallets[row] = 0
    chain.wallets[row, Wallet.provider] = -1
    chain.wallets[row, Wallet.id] = identity(SETTLEMENT)
    chain.globals.wallets = row + 1
    chain.globals.settlement_wallet = row
    return market._replace(chain=chain)


def set_wallets(chain: State, everybody: list[str], coins: list[int], providers: int) -> State:
    """Return the chain with a wallet of so many coins for everybody, the first `providers` of them registered as providers."""
    total = sum(coins)
    if total >= 9 * ATTO:
        raise InputError(f"wallets: {total} uve in all, accepted up to {9 * ATTO} (the supply that money is exact for)")
    chain = with_room(chain, wallets=len(everybody), providers=providers)
    rows = chain.wallets[MODULE_WALLETS : MODULE_WALLETS + len(everybody)]
    rows[:, Wallet.balance] = coins
    rows[:, Wallet.provider] = -1
    rows[:, Wallet.id] = [identity(name) for name in everybody]
    rank = np.empty(len(everybody), np.int64)
    rank[np.asarray(sorted(range(len(everybody)), key=everybody.__getitem__), np.int64)] = np.arange(len(everybody))
    rows[:, Wallet.rank] = rank
    slots = np.arange(providers)
    rows[:providers, Wallet.provider] = slots
    chain.providers[:providers, Provider.wallet] = slots + MODULE_WALLETS
    chain.providers[:providers, Provider.id] = rows[:providers, Wallet.id]
    chain.providers[:providers, Provider.registered] = 1
    chain.globals.wallets = MODULE_WALLETS + len(everybody)
    chain.globals.providers = providers
    chain.globals.supply = total
    return chain


def add_orders(
    chain: State,
    engine: Engine,
    scenario: Scenario,
    book: DeskBook,
    eligibility: Eligibility,
    parts: Sequence[CohortOrders],
    tables: OrderTables | None = None,
) -> tuple[State, Engine, list[Table], list[OrderKind]]:
    """Enter every cohort's plans, drafts and resources, intern what they ask for, and number their deployments by tenant.

    `tables` are those in which the rows of all parts stand one behind another, if they do; else they are copied.
    """
    in_place = tables is not None
    if tables is None:
        schemas = zip(OrderTables._fields, (Call, Plan, Draft, Resource), strict=True)
        copied = {name: [getattr(part, name) for part in (OrderTables.of(0), *parts)] for name in OrderTables._fields}
        tables = OrderTables._make(as_rows(schema, np.concatenate(copied[name])) for name, schema in schemas)
    kinds: list[OrderKind] = []
    calls: list[Table] = []
    first_plan, first_draft, first_resource = 0, 0, 0
    first_tenant = MODULE_WALLETS + len(book.names)
    stages = (scenario, *(stage for _, stage in scenario.stages))
    has_own = any(cohort.choice.python is not None for stage in stages for cohort in stage.tenants)
    for number, part in enumerate(parts):
        cohort = number % max(1, len(scenario.tenants))
        rows = tables.calls[first_plan : first_plan + len(part.calls)]
        plans = tables.plans[first_plan : first_plan + len(part.plans)]
        drafts = tables.drafts[first_draft : first_draft + len(part.drafts)]
        specs = np.zeros(max(1, len(part.asked)), np.int64)
        for at, asked in enumerate(part.asked):
            chain, specs[at] = eligibility.spec(chain, asked.requirements)
            while len(kinds) <= specs[at]:
                kinds.append(asked)
        if not in_place:
            tenant = first_tenant + sum(each.count for each in scenario.tenants[:cohort])
            place_rows(rows, plans, drafts, specs, first_plan, first_draft, first_resource, tenant)
        elif specs.tolist() != list(range(len(specs))):
            drafts[:, Draft.spec] = specs[drafts[:, Draft.spec]]
        if has_own:
            plans[plans[:, Plan.choice] == BidChoice.OWN, Plan.choice_k] = cohort
        calls.append(rows)
        first_plan += len(plans)
        first_draft += len(drafts)
        first_resource += len(part.resources)
    chain = chain._replace(resources=tables.resources[:first_resource], drafts=tables.drafts[:first_draft])
    chain.globals.resources, chain.globals.drafts = first_resource, first_draft
    wallets = range(first_tenant, first_tenant + sum(cohort.count for cohort in scenario.tenants))
    number_deployments(tables.calls[:first_plan], tables.plans[:first_plan], wallets)
    fits = no_fits(max(1, len(kinds)), len(book.names))
    codes = codes_of(fits)
    for spec, asked in enumerate(kinds):
        requested, known = requested_values(asked), dict[tuple[int, int], int]()
        for desk, fit in enumerate(chain.eligible[spec, : len(book.names)].tolist()):
            key = id(book.file_of(desk)), fit  # desks of a cohort have one file
            if key not in known:
                known[key] = book.refusal(desk, asked.requirements, asked.region, requested, fit)
            codes[spec, desk] = known[key]
    return chain, engine._replace(plans=tables.plans[:first_plan], fits=fits), calls, kinds


def with_nodes(chain: State, engine: Engine, book: DeskBook) -> Engine:
    """Return the engine with the nodes of its desks and, where there are any, places for the replicas of the largest order."""
    if not len(book.nodes):
        return engine
    drafts = chain.drafts[: int(chain.globals.drafts)]
    counts = np.concatenate([[0], np.cumsum(chain.resources[: int(chain.globals.resources), Resource.count])])
    sums = counts[drafts[:, Draft.first_resource] + drafts[:, Draft.resources]] - counts[drafts[:, Draft.first_resource]]
    most = int(sums.max(initial=1))
    if chain.globals.keep_bids:  # orders may come by hand
        most = REPLICAS_MAX
    width = 1 + REPLICA * min(most, REPLICAS_MAX)
    return engine._replace(
        nodes=as_rows(Node, book.nodes.copy()), offer_nodes=np.zeros((0, width), np.int64), order_nodes=np.zeros((0, width), np.int64)
    )


def requested_values(asked: OrderKind) -> dict[str, set[str]]:
    """Return what an excluded attribute may name, values by key."""
    requested: dict[str, set[str]] = {}
    for key, value in asked.requested:
        requested.setdefault(key, set()).add(value)
    return requested


def number_deployments(
    calls: Rows[Call], plans: Rows[Plan], wallets: range, last: Mapping[int, int] = MappingProxyType({})
) -> dict[int, int]:
    """Give the deployments of each tenant, row for row in both tables, the height of their creation as sequence number, plus one while an
    earlier one of it has that.

    `wallets` are those of all tenants; `last` are the numbers that they had last, by wallet, where these orders come after others; they are
    returned for the next ones.
    """
    latest = np.zeros(len(wallets), np.int64)
    for wallet, number in last.items():
        latest[wallet - wallets.start] = number
    put_numbers(by_time(calls[:, Call.time].copy(), calls[:, Call.tie]), calls, plans, wallets.start, latest)
    return {wallet: number for wallet, number in zip(wallets, latest.tolist(), strict=True) if number}


def set_engine(engine: Engine, scenario: Scenario, seed: int) -> None:
    """Write the engine's switches."""
    x = engine.globals
    block_ms = scenario.block_ms
    x.tie_by_index = int(scenario.tie == "provider_index")
    x.reserve_at_bid = int(scenario.reserve == "at_bid")
    x.price_floor = int(scenario.price_rounding == "floor")
    x.seed = seed if scenario.salt == 0 else key_of(seed, f"salt/{scenario.salt}")
    x.bid_window = scenario.bid_window.blocks(block_ms)
    x.queue_limit = QUEUE_LIMIT
    x.block_ms = block_ms
    x.manifest_blocks = max(1, MANIFEST_MS // block_ms)
    x.sample_every = max(1, sample_ms(scenario) // block_ms)
    x.warm_up = scenario.warm_up_blocks
    x.horizon = scenario.horizon_blocks
    x.least_value_blocks = LEAST_VALUE_BLOCKS
    x.event_room = EVENT_ROOM + EVENTS_A_BID_LIMIT * (scenario.order_max_bids + 1)
    streams = scenario.rules != "seed" and scenario.charging != "ve_settlement"
    x.funds_monitor = max(1, FUNDS_LOOK_MS // block_ms) if streams else 0
    x.dry_ends_count = 1
    x.keep_bid_rows = int(scenario.record == "everything")


def sample_ms(scenario: Scenario) -> int:
    """Return how often the time series is sampled: every hour up to a fortnight, every day in longer runs."""
    horizon_ms = scenario.horizon_blocks * scenario.block_ms
    return HOUR_MS if horizon_ms <= FORTNIGHT_DAYS * DAY_MS else DAY_MS


def set_calendar(engine: Engine, scenario: Scenario) -> None:
    """Enter what comes round by itself: samples, the end of the warm-up, repricing."""
    x = engine.globals
    push(engine, int(x.sample_every), int(Phase.LAST), 0, int(Kind.SAMPLE), 0)
    push(engine, int(x.horizon), int(Phase.LAST), 2, int(Kind.SAMPLE), 1)
    if scenario.warm_up_blocks > 0:
        push(engine, scenario.warm_up_blocks, int(Phase.LAST), 1, int(Kind.WARM_UP), 0)
    for every in repricing_periods(engine.desks):
        push(engine, every, int(Phase.REPRICE), every, int(Kind.REPRICE), every)


def drawn_orders(scenario: Scenario, book: DeskBook, seed: int, stretch: Stretch | None) -> tuple[list[CohortOrders], OrderTables | None]:
    """Return the orders of all cohorts and, behind them, orders in the first block whose resources make up `initial` of all cpu, each
    cohort by its share of the demand; and the tables in which all of them stand one behind another, None where they do not.

    Lives of orders in the first block are what is left in a market in balance: drawn with a chance proportional to the life, then cut at a
    uniform moment.
    """
    wanted = first_shares(scenario, book) if scenario.initial > 0 else []
    picks = [picks_for(share / max(size, 1.0)) for share, size in wanted] or [0] * len(scenario.tenants)
    drawn = [_Beside(number, scenario, seed, stretch) for number in range(len(scenario.tenants))]
    tables, at, first_at, tenant = None, 0, 0, MODULE_WALLETS + len(book.names)
    if not is_sharing() and all(each.arrived is not None for each in drawn):  # orders that others share stand by themselves
        first_at = sum(each.count for each in drawn)
        tables = OrderTables.of(first_at + sum(picks))
    later, first = list[CohortOrders](), list[CohortOrders]()
    for number, each in enumerate(drawn):
        into = None
        if tables is not None:
            firsts = tables.rows(first_at, picks[number])
            into = OrderPlace(tables.rows(at, each.count), at, tenant), OrderPlace(firsts, first_at, tenant)
            at += each.count
            tenant += scenario.tenants[number].count
        part = shared((number, stretch), seed, partial(each.later, picks[number], into))
        later.append(part if into is None or part.calls is into[0].tables.calls else moved(part, into[0]))
        if not wanted:
            continue
        part = shared((number, "initial", picks[number]), seed, partial(each.initial, picks[number]))
        while (held := cpu_of(part)).sum() < wanted[number].cpu and picks[number] < POOL_PICKS * POOLS_MAX:
            picks[number] = more_picks(picks[number])
            part = shared((number, "initial", picks[number]), seed, partial(each.initial, picks[number]))
        count = int(np.searchsorted(np.cumsum(held), wanted[number].cpu))
        taken = _front(part, count)
        if tables is not None and into is not None and part.calls is not into[1].tables.calls:
            more = count + sum(picks[number + 1 :])
            if first_at + more > len(tables.calls):
                tables = tables.longer(first_at, first_at + more)
            taken = moved(taken, OrderPlace(tables.rows(first_at, count), *into[1][1:]))
        first.append(taken)
        first_at += count
    return later + first, tables


def picks_for(orders: float) -> int:
    """Return of how many orders of the first block so many are likely to be made, a few sizes for all that differ by little: shared ones
    serve several runs."""
    likely = PICKS_STEP * math.ceil((PICKS_SPARE * orders + PICKS_STEP / 2) / PICKS_STEP)
    return min(likely, POOL_PICKS * (1 + int(orders) // POOL_PICKS))


def more_picks(picks: int) -> int:
    """Return how many are made where so many were too few: all of the last pool, then those of twice as many pools."""
    pools = pools_of(picks)
    return POOL_PICKS * (pools if picks < POOL_PICKS * pools else 2 * pools)


def pools_of(picks: int) -> int:
    """Return from how many pools so many orders of the first block are."""
    return -(-picks // POOL_PICKS)


class _Share(NamedTuple):
    cpu: float
    """Millicores of a cohort's orders in the first block."""
    mean_cpu: float
    """Millicores of an order of it."""


def first_shares(scenario: Scenario, book: DeskBook) -> list[_Share]:
    """Return how much of all cpu the orders of each cohort hold in the first block: their share of the demand."""
    wanted = scenario.initial * float(book.rows[:, Desk.cap_cpu].sum())
    sizes = [mean_cpu(cohort) for cohort in scenario.tenants]
    loads = [
        mean_per_hour(cohort, scenario) * mean_life(cohort, scenario.block_ms) * size
        for cohort, size in zip(scenario.tenants, sizes, strict=True)
    ]
    everything = sum(loads) or 1.0
    return [_Share(wanted * load / everything, size) for size, load in zip(sizes, loads, strict=True)]


def _front(part: CohortOrders, count: int) -> CohortOrders:
    """The first so many orders of a cohort."""
    by_size = len(part.drafts) == len(part.resources) == len(part.calls)
    names = OrderTables._fields if by_size else ("calls", "plans")
    kept = {name: getattr(part, name)[:count] for name in (*names, "tenants", "value")}
    return part._replace(**kept, cuts={key: cut._replace(side=cut.side[:count]) for key, cut in part.cuts.items()})


class _Beside:
    """Draws the orders of a cohort and beside them those of the first block, as far as both are asked for."""

    def __init__(self, number: int, scenario: Scenario, seed: int, stretch: Stretch | None) -> None:
        self._number = number
        self._scenario = scenario
        self._seed = seed
        self._stretch = stretch
        self._made: dict[int, CohortOrders | None] = {}

    @cached_property
    def arrived(self) -> Arrived | None:
        """When they arrive, where that can be told before what they are."""
        return arrived_orders(self._number, self._scenario, self._seed, self._stretch)

    @property
    def count(self) -> int:
        """How many have arrived."""
        return 0 if self.arrived is None else len(self.arrived.times)

    def later(self, picks: int, into: tuple[OrderPlace, OrderPlace] | None) -> CohortOrders:
        scenario, cohort = self._scenario, self._scenario.tenants[self._number]
        if self.arrived is None:
            return staged_orders(self._number, scenario, self._seed, self._stretch)
        keys = initial_keys(cohort, self._seed, picks)
        orders, self._made[picks] = orders_with_first(cohort, scenario, self.arrived, keys, into)
        return orders

    def initial(self, picks: int) -> CohortOrders:
        return initial_orders(self._scenario.tenants[self._number], self._scenario, self._seed, picks, self._made.pop(picks, None))


def initial_keys(cohort: TenantCohort, seed: int, picks: int) -> Keys:
    """Return the keys of orders of a cohort for the first block, POOL_PICKS a pool."""
    names = [f"tenant/{cohort.name}/initial/{number}/picks" for number in range(pools_of(picks))]
    return keys_from(np.asarray([key_of(seed, name) for name in names], np.uint64), np.full(len(names), POOL_PICKS))[:picks]


def initial_orders(cohort: TenantCohort, scenario: Scenario, seed: int, picks: int, made: CohortOrders | None = None) -> CohortOrders:
    """Return orders of a cohort for the first block, with the lives that are left to them, POOL_PICKS a pool; `made` are those orders with
    lives of their own, where they are drawn.

    More of them leave the first ones as they were, so that they do not depend on how many are needed.
    """
    pools = pools_of(picks)
    names = [f"tenant/{cohort.name}/initial/{number}" for number in range(pools)]
    lives = keys_from(np.asarray([key_of(seed, name) for name in names], np.uint64), np.full(pools, POOL))
    planned, early = (each.reshape(pools, POOL) for each in lives_of(cohort, lives, scenario.block_ms))
    part = first_orders(cohort, scenario, initial_keys(cohort, seed, picks)) if made is None else made
    draws = uniforms(part.plans[:, Plan.key].astype(np.uint64), ("alike", "left"))
    put_lives(planned, early, POOL_PICKS, draws.view(np.int64), np.empty(POOL, np.int64), as_rows(Plan, part.plans))
    return part
