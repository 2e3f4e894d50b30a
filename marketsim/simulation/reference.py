"""The reference market as chain, desks and orders: the draws of `marketsim.agents.reference_market` in this simulator's tables."""

from __future__ import annotations

import numpy as np

from marketsim.agents.reference_market import ReferenceMarket, draw
from marketsim.chain.columns import Draft, G, Provider, Resource
from marketsim.chain.requirements import FITS, Eligibility, Requirements, with_eligible
from marketsim.chain.room import with_room
from marketsim.chain.state import make_state
from marketsim.kernel.rows import Rows
from marketsim.kernel.table_set import rows_of
from marketsim.market.list_prices import set_list_prices
from marketsim.market.room import ROWS, make_room
from marketsim.market.tables import PHASES, Call, Decline, Desk, Kind, Phase, Plan, Pricing, TopUpTime, codes_of, make_engine, no_fits
from marketsim.money.units import ATTO, DECIMALS, MIB, PPM
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import (
    FIRST_ROWS,
    MODULE_WALLETS,
    MarketSetup,
    number_deployments,
    set_calendar,
    set_engine,
    set_rules,
    set_wallets,
)
from marketsim.simulation.desks import DeskBook

DAY_BLOCKS = 14_400
ORDER_LIFE = 12
"""Blocks from an order's creation to its timeout, both included."""
PATIENCE = ORDER_LIFE - 1
"""Blocks from an order's creation after which it times out."""
WITHDRAW_EVERY = 100
"""Blocks between withdrawals of a lease (rules page, reference market)."""
REPRICING_PPM = [800_000, 300_000, 1_050_000, 950_000, 500_000, 2_000_000]
"""Repricing from which use on and up to which, by which factors up and down, between which multipliers."""
COINS = 1_000_000
"""Whole uve that each provider begins with."""
PPM_A_BASIS_POINT = 100
KINDS_OF_ATTRIBUTES = 256
"""Sets of attributes that an order may ask for, of eight attributes."""


def build_reference(scenario: Scenario, seed: int) -> MarketSetup:
    """Return the reference market of a scenario's `market:` block for one seed."""
    wish = scenario.market
    assert wish is not None
    draws = draw(seed, wish.orders, wish.providers, wish.tenants, scenario.horizon_blocks, wish.load)
    return market_of(draws, scenario, seed)


def market_of(draws: ReferenceMarket, scenario: Scenario, seed: int) -> MarketSetup:
    """Return chain, desks and orders that play out `draws` under the scenario's switches."""
    book = desks_of(draws, scenario, seed)
    orders = len(draws.created_at)
    chain = make_state(FIRST_ROWS)
    set_rules(chain, scenario)
    digits = len(str(max(draws.tenants - 1, 1)))
    tenant_names = [f"tenant-{number:0{digits}d}" for number in range(draws.tenants)]
    spent = np.zeros(draws.tenants, np.int64)
    np.add.at(spent, draws.tenant, draws.deposit + draws.top_up * draws.top_ups)
    chain = set_wallets(chain, book.names + tenant_names, [*book.wallets, *(int(x) for x in spent)], len(book.names))
    book.rows[:, Desk.wallet] = chain.providers[: len(book.names), Provider.wallet]
    agents = scenario.market.agents if scenario.market is not None else "batch"
    if agents in ("python", "python_batch"):
        price_by_python(book, agents == "python_batch")
    eligibility = Eligibility()
    chain = with_eligible(chain, 1, len(book.names))
    kinds, spec_of = np.unique(draws.regions * KINDS_OF_ATTRIBUTES + draws.attributes, return_inverse=True)
    fits = no_fits(max(1, len(kinds)), len(book.names))
    chain = with_eligible(chain, len(kinds), len(book.names))
    for spec, kind in enumerate(kinds):
        chain, number = eligibility.spec(chain, Requirements(attributes=(("reference", str(int(kind))),)))
        chain.eligible[number, :] = FITS
        suits = ((draws.regions_served & (int(kind) // KINDS_OF_ATTRIBUTES)) != 0) & (
            (draws.excluded & (int(kind) % KINDS_OF_ATTRIBUTES)) == 0
        )
        codes_of(fits)[spec, : len(book.names)] = np.where(suits, 0, 1 + Decline.INVALID_ATTRIBUTES)
    chain = with_room(chain, resources=orders, drafts=orders)
    resources = chain.resources[:orders]
    resources[:] = 0
    resources[:, Resource.price] = draws.ceiling_whole
    resources[:, Resource.price_atto] = draws.ceiling_atto
    resources[:, Resource.count] = 1
    for column, at, unit in ((Resource.cpu, 0, 1), (Resource.memory, 1, MIB), (Resource.storage, 2, MIB), (Resource.gpu, 3, 1)):
        resources[:, column] = draws.size[:, at] * unit
    resources[:, Resource.smallest_volume] = resources[:, Resource.storage]
    resources[:, Resource.largest_volume] = resources[:, Resource.storage]
    drafts = chain.drafts[:orders]
    drafts[:] = 0
    drafts[:, Draft.spec] = spec_of
    drafts[:, Draft.first_resource] = np.arange(orders)
    drafts[:, Draft.resources] = 1
    chain.globals[[G.resources, G.drafts]] = orders
    first_tenant = MODULE_WALLETS + len(book.names)
    plans = plans_of(draws, first_tenant)
    calls = rows_of(orders, Call)
    calls[:, Call.time] = draws.created_at * scenario.block_ms
    calls[:, Call.key] = draws.created_at * PHASES + Phase.ARRIVE
    calls[:, Call.tie] = np.arange(orders)
    calls[:, Call.kind] = Kind.ARRIVE
    calls[:, Call.plan] = np.arange(orders)
    calls[:, Call.deposit] = draws.deposit
    calls[:, Call.first_draft] = np.arange(orders)
    calls[:, Call.drafts] = 1
    number_deployments(calls, plans, range(first_tenant, first_tenant + draws.tenants))
    engine = make_engine(len(book.names), FIRST_ROWS)._replace(desks=book.rows, latencies=book.latencies, plans=plans, fits=fits)
    set_engine(engine, scenario, seed)
    engine.globals.least_value_blocks = 1
    engine.globals.queue_limit = 0
    engine.globals.funds_monitor = 0  # providers withdraw every 100 blocks and look at nothing in between
    engine.globals.dry_ends_count = 0
    chain = with_room(chain, **dict.fromkeys(("deployments", "groups", "orders", "leases"), orders + ROWS))
    # Free rows for the deposits of a block's bids are asked for to the end, though they are nothing here; growing for them would double
    # the table when it is full.
    chain = with_room(chain, accounts=orders + ROWS + (most_waiting(draws) + ROWS) * len(book.names))
    chain = with_room(chain, deposits=2 * orders + ROWS)
    chain, engine = make_room(chain, engine)
    set_calendar(engine, scenario)
    return MarketSetup(
        chain, engine, book, [calls], tenant_names, [0] * draws.tenants, [], [], eligibility,
        first_tenant, {},
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
    rows = rows_of(count, Desk)
    rows[:, [Desk.up, Desk.enabled]] = 1
    rows[:, [Desk.multiplier_ppm, Desk.uptime_ppm, Desk.cost_ppm]] = PPM
    rows[:, Desk.lease_capacity] = -1
    rows[:, Desk.decimals] = DECIMALS
    rows[:, Desk.key] = np.arange(count)  # the market's latencies are hashes of row numbers (docs/reference-market.md)
    rows[:, Desk.latency_blocks] = 5
    rows[:, Desk.cap_cpu : Desk.cap_gpu + 1] = draws.capacity
    rows[:, Desk.max_cpu : Desk.max_gpu + 1] = draws.max_size
    rows[:, Desk.margin_ppm] = draws.margin_bps * PPM_A_BASIS_POINT
    rows[:, Desk.min_value] = draws.min_value_whole
    rows[:, Desk.min_value_atto] = draws.min_value_atto
    rows[:, Desk.max_concurrent] = draws.max_bids
    rows[:, Desk.reprice_every] = DAY_BLOCKS
    rows[:, Desk.reprice_high_ppm : Desk.reprice_max_ppm + 1] = REPRICING_PPM
    rows[:, Desk.withdraw_every] = WITHDRAW_EVERY
    for row, whole, atto in zip(rows, draws.unit_whole.tolist(), draws.unit_atto.tolist(), strict=True):
        set_list_prices(row, [each * ATTO + more for each, more in zip(whole, atto, strict=True)])
    book = DeskBook(scenario, seed)
    digits = len(str(max(count - 1, 1)))
    book.names = [f"provider-{number:0{digits}d}" for number in range(count)]
    book.cohorts = [0] * count
    book.cohort_names = ["providers"]
    book.attributes = [{}] * count
    book.signed = [{}] * count
    book.wallets = [COINS] * count
    book.rows = rows
    return book


def price_by_python(book: DeskBook, many: bool) -> None:
    """Put a user's class behind every desk that prices, and reprices, as the compiled engine does."""
    from marketsim.strategies.repriced_cost import RepricedCostPlus, RepricedCostPlusColumns

    strategy = RepricedCostPlusColumns if many else RepricedCostPlus
    book.rows[:, Desk.strategy] = Pricing.CUSTOM
    book.rows[:, Desk.reprice_every] = 0
    book.custom = dict.fromkeys(range(len(book.names)), strategy)


def plans_of(draws: ReferenceMarket, first_tenant: int) -> Rows[Plan]:
    """Return the tenants' plans of the reference market."""
    plans = rows_of(len(draws.created_at), Plan)
    plans[:, Plan.key] = np.arange(len(plans))
    plans[:, Plan.deployment] = -1
    plans[:, Plan.region] = -1
    plans[:, Plan.tenant] = draws.tenant + first_tenant
    plans[:, Plan.duration] = draws.completes_after
    plans[:, Plan.terminate] = draws.terminates_after
    plans[:, Plan.leave_blocks] = draws.provider_closes_after
    plans[:, Plan.patience] = PATIENCE
    plans[:, Plan.top_up] = TopUpTime.AFTER_DEPLETION
    plans[:, Plan.top_up_amount] = draws.top_up
    plans[:, Plan.top_up_left] = draws.top_ups
    plans[:, Plan.top_up_delay] = draws.top_up_delay[:, 0]
    plans[:, Plan.top_up_delay_2] = draws.top_up_delay[:, 1]
    plans[:, Plan.top_up_delay_3] = draws.top_up_delay[:, 2]
    plans[:, Plan.utilization_ppm] = PPM
    plans[:, Plan.deposit] = draws.deposit
    return plans


__all__ = ["build_reference", "market_of"]
