"""The reference market as chain, desks and orders: the draws of `marketsim.agents.reference_market` in this simulator's tables."""

from __future__ import annotations

import numpy as np

from marketsim.agents.reference_market import ReferenceMarket, draw
from marketsim.chain.columns import Draft, G, Resource
from marketsim.chain.requirements import FITS, Eligibility, Requirements, with_eligible
from marketsim.chain.room import with_room
from marketsim.chain.state import make_state
from marketsim.kernel.table_set import Table
from marketsim.market.clock import make_room
from marketsim.market.quoting import refresh_units
from marketsim.market.tables import Call, Decline, Desk, E, Kind, Phase, Plan, Strategy, TopUp, codes_of, make_engine, no_fits
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import Market, number_deployments, set_calendar, set_engine, set_rules, set_wallets
from marketsim.simulation.desks import DeskBook

MIB = 2**20
DAY_BLOCKS = 14_400
ORDER_LIFE = 12
"""Blocks from an order's creation to its timeout, both included."""


def build_reference(scenario: Scenario, seed: int) -> Market:
    """Return the reference market of a scenario's `market:` block for one seed."""
    wish = scenario.market
    assert wish is not None
    draws = draw(seed, wish.orders, wish.providers, wish.tenants, scenario.horizon_blocks, wish.load)
    return market_of(draws, scenario, seed)


def market_of(draws: ReferenceMarket, scenario: Scenario, seed: int) -> Market:
    """Return chain, desks and orders that play out `draws` under the scenario's switches."""
    book = desks_of(draws, scenario, seed)
    orders = len(draws.created_at)
    chain = make_state(1024)
    set_rules(chain, scenario, seed)
    digits = len(str(max(draws.tenants - 1, 1)))
    tenant_names = [f"tenant-{number:0{digits}d}" for number in range(draws.tenants)]
    spent = np.zeros(draws.tenants, np.int64)
    np.add.at(spent, draws.tenant, draws.deposit + draws.top_up * draws.top_ups)
    chain = set_wallets(chain, book.names + tenant_names, [*book.wallets, *(int(x) for x in spent)], len(book.names))
    book.rows[:, Desk.WALLET] = chain.providers[: len(book.names), 0]
    agents = scenario.market.agents if scenario.market is not None else "batch"
    if agents in ("python", "python_batch"):
        price_by_python(book, agents == "python_batch")
    eligibility = Eligibility()
    chain = with_eligible(chain, 1, len(book.names))
    kinds, spec_of = np.unique(draws.regions * 256 + draws.attributes, return_inverse=True)
    fits = no_fits(max(1, len(kinds)), len(book.names))
    chain = with_eligible(chain, len(kinds), len(book.names))
    for spec, kind in enumerate(kinds):
        chain, number = eligibility.spec(chain, Requirements(attributes=(("reference", str(int(kind))),)))
        chain.eligible[number, :] = FITS
        suits = ((draws.regions_served & (int(kind) // 256)) != 0) & ((draws.excluded & (int(kind) % 256)) == 0)
        codes_of(fits)[spec, : len(book.names)] = np.where(suits, 0, 1 + Decline.INVALID_ATTRIBUTES)
    chain = with_room(chain, resources=orders, drafts=orders)
    resources = chain.resources[:orders]
    resources[:, Resource.PRICE] = draws.ceiling_whole
    resources[:, Resource.PRICE_ATTO] = draws.ceiling_atto
    resources[:, Resource.COUNT] = 1
    for column, at, unit in ((Resource.CPU, 0, 1), (Resource.MEMORY, 1, MIB), (Resource.STORAGE, 2, MIB), (Resource.GPU, 3, 1)):
        resources[:, column] = draws.size[:, at] * unit
    resources[:, Resource.SMALLEST_VOLUME] = resources[:, Resource.STORAGE]
    resources[:, Resource.LARGEST_VOLUME] = resources[:, Resource.STORAGE]
    drafts = chain.drafts[:orders]
    drafts[:, Draft.SPEC] = spec_of
    drafts[:, Draft.FIRST_RESOURCE] = np.arange(orders)
    drafts[:, Draft.RESOURCES] = 1
    chain.globals[[G.RESOURCES, G.DRAFTS]] = orders
    plans = plans_of(draws, 3 + len(book.names))
    calls = np.zeros((orders, Call.SIZE), np.int64)
    calls[:, Call.TIME] = draws.created_at * scenario.block_ms
    calls[:, Call.KEY] = draws.created_at * 16 + Phase.ARRIVE
    calls[:, Call.TIE] = np.arange(orders)
    calls[:, Call.KIND] = Kind.ARRIVE
    calls[:, Call.A] = np.arange(orders)
    calls[:, Call.B] = draws.deposit
    calls[:, Call.C] = np.arange(orders)
    calls[:, Call.D] = 1
    number_deployments([calls], [plans])
    engine = make_engine(len(book.names), 1024)._replace(desks=book.rows, latencies=book.latencies, plans=plans, fits=fits)
    set_engine(chain, engine, scenario, seed)
    engine.globals[E.LEAST_VALUE_BLOCKS] = 1
    engine.globals[E.QUEUE_LIMIT] = 0
    engine.globals[E.FUNDS_MONITOR] = 0  # providers withdraw every 100 blocks and look at nothing in between
    engine.globals[E.DRY_ENDS_COUNT] = 0
    chain = with_room(chain, **dict.fromkeys(("deployments", "groups", "orders", "leases"), orders + 64))
    # Free rows for the deposits of a block's bids are asked for to the end, though they are nothing here; growing for them would double
    # the table when it is full.
    chain = with_room(chain, accounts=orders + 64 + (most_waiting(draws) + 64) * len(book.names))
    chain = with_room(chain, deposits=2 * orders + 64)
    chain, engine = make_room(chain, engine)
    set_calendar(engine, scenario)
    return Market(
        chain, engine, book, [calls], tenant_names, [0] * draws.tenants, [], [], eligibility,
        3 + len(book.names),
    )  # fmt: skip


def most_waiting(draws: ReferenceMarket) -> int:
    """Return the most orders that wait for a lease at once: those created within ORDER_LIFE blocks."""
    if not len(draws.created_at):
        return 0
    earlier = np.searchsorted(draws.created_at, draws.created_at - ORDER_LIFE)
    return int((np.arange(len(draws.created_at)) - earlier).max()) + 1


def desks_of(draws: ReferenceMarket, scenario: Scenario, seed: int) -> DeskBook:
    """Return the providers of the reference market as desks."""
    count = len(draws.margin_bps)
    rows: Table = np.zeros((count, Desk.SIZE), np.int64)
    rows[:, [Desk.UP, Desk.ENABLED]] = 1
    rows[:, [Desk.MULTIPLIER_PPM, Desk.UPTIME_PPM, Desk.COST_PPM]] = 1_000_000
    rows[:, Desk.LEASE_CAPACITY] = -1
    rows[:, Desk.DECIMALS] = 18
    rows[:, Desk.LATENCY_BLOCKS] = 5
    rows[:, Desk.CAP_CPU : Desk.CAP_GPU + 1] = draws.capacity
    rows[:, Desk.MAX_CPU : Desk.MAX_GPU + 1] = draws.max_size
    for at in range(4):
        rows[:, Desk.LIST_CPU + 2 * at] = draws.unit_whole[:, at]
        rows[:, Desk.LIST_CPU + 2 * at + 1] = draws.unit_atto[:, at]
    rows[:, Desk.MARGIN_PPM] = draws.margin_bps * 100
    rows[:, Desk.MIN_VALUE] = draws.min_value_whole
    rows[:, Desk.MIN_VALUE_ATTO] = draws.min_value_atto
    rows[:, Desk.MAX_CONCURRENT] = draws.max_bids
    rows[:, Desk.REPRICE_EVERY] = DAY_BLOCKS
    rows[:, Desk.REPRICE_HIGH_PPM : Desk.REPRICE_MAX_PPM + 1] = [800_000, 300_000, 1_050_000, 950_000, 500_000, 2_000_000]
    rows[:, Desk.WITHDRAW_EVERY] = 100
    for row in rows:
        refresh_units(row)
    book = DeskBook(scenario, seed)
    digits = len(str(max(count - 1, 1)))
    book.names = [f"provider-{number:0{digits}d}" for number in range(count)]
    book.cohorts = [0] * count
    book.cohort_names = ["providers"]
    book.attributes = [{}] * count
    book.signed = [{}] * count
    book.wallets = [1_000_000] * count
    book.rows = rows
    return book


def price_by_python(book: DeskBook, many: bool) -> None:
    """Put a user's class behind every desk that prices, and reprices, as the compiled engine does."""
    from marketsim.strategies.repriced_cost import RepricedCostPlus, RepricedCostPlusColumns

    strategy = RepricedCostPlusColumns if many else RepricedCostPlus
    book.rows[:, Desk.STRATEGY] = Strategy.CUSTOM
    book.rows[:, Desk.REPRICE_EVERY] = 0
    book.custom = {row: strategy() for row in range(len(book.names))}


def plans_of(draws: ReferenceMarket, first_tenant: int) -> Table:
    """Return the tenants' plans of the reference market."""
    plans: Table = np.zeros((len(draws.created_at), Plan.SIZE), np.int64)
    plans[:, Plan.DEPLOYMENT] = -1
    plans[:, Plan.QUOTE] = -1
    plans[:, Plan.REGION] = -1
    plans[:, Plan.TENANT] = draws.tenant + first_tenant
    plans[:, Plan.DURATION] = draws.completes_after
    plans[:, Plan.TERMINATE] = draws.terminates_after
    plans[:, Plan.LEAVE_BLOCKS] = draws.provider_closes_after
    plans[:, Plan.PATIENCE] = 11
    plans[:, Plan.TOP_UP] = TopUp.AFTER_DEPLETION
    plans[:, Plan.TOP_UP_AMOUNT] = draws.top_up
    plans[:, Plan.TOP_UP_LEFT] = draws.top_ups
    plans[:, Plan.TOP_UP_DELAY] = draws.top_up_delay[:, 0]
    plans[:, Plan.TOP_UP_DELAY_2] = draws.top_up_delay[:, 1]
    plans[:, Plan.TOP_UP_DELAY_3] = draws.top_up_delay[:, 2]
    plans[:, Plan.UTILIZATION_PPM] = 1_000_000
    plans[:, Plan.DEPOSIT] = draws.deposit
    return plans


__all__ = ["build_reference", "market_of"]
