"""A market of cohorts through marketsim, with its outcome in the columns of the first-written model that is held against it."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from digest import Fate, MarketOutcome
from drawn_market import DrawnMarket, drawn_market
from marketsim_designs import FATES

from marketsim.chain.columns import Account, Deployment, G, Lease, LeaseState, Order, OrderState, Wallet
from marketsim.market.clock import BlockClock
from marketsim.market.tables import Desk, Ended, Plan, Track
from marketsim.money.units import ATTO
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MarketSetup
from marketsim.simulation.collect import Collector
from marketsim.simulation.play import play, prepare

Ints = npt.NDArray[np.int64]
TOTALS = (G.deposited, G.paid, G.fees, G.refunded, G.held, G.held_atto, G.dust, G.dust_atto, G.shortfall, G.shortfall_atto)


class Played(NamedTuple):
    """What was drawn, what became of it, and processor seconds from the market laid out to the last block."""

    draws: DrawnMarket
    outcome: MarketOutcome
    seconds: float


def play_small(scenario: Scenario, seed: int) -> Played:
    """Prepare a scenario, take its draws and play it. Raises ValueError where the first-written model has not all of it."""
    market = prepare(scenario, seed)
    draws = drawn_market(scenario, market)
    begun = time.process_time()
    clock, collector = play(scenario, market, seed)
    seconds = time.process_time() - begun
    return Played(draws, outcome_of(clock, collector, market), seconds)


def outcome_of(clock: BlockClock, collector: Collector, market: MarketSetup) -> MarketOutcome:
    """The final tables as the columns that runs are compared by."""
    chain, engine = clock.chain, clock.engine
    x = engine.globals
    count = int(chain.globals.orders)
    tracks, orders = engine.tracks[:count], chain.orders[:count]
    rows = np.lexsort((orders[:, Order.oseq], tracks[:, Track.plan]))
    tracks, orders = tracks[rows], orders[rows]
    leased = orders[:, Order.lease] >= 0
    closed = orders[:, Order.state] == OrderState.CLOSED
    leases = chain.leases[np.maximum(orders[:, Order.lease], 0)]
    ended = np.zeros(len(Ended), np.int64)
    for reason, value in FATES.items():
        ended[reason] = value
    running = np.where(leases[:, Lease.state] == LeaseState.INSUFFICIENT_FUNDS, int(Fate.INSUFFICIENT_FUNDS), int(Fate.ACTIVE))
    unleased = np.where(closed, int(Fate.TIMED_OUT), int(Fate.OPEN))

    plans = engine.plans
    opened = plans[:, Plan.deployment] >= 0
    accounts = chain.accounts[chain.deployments[np.maximum(plans[:, Plan.deployment], 0), Deployment.account]]

    desks = engine.desks[: len(market.book.names)]
    since = int(x.horizon) - np.maximum(desks[:, Desk.since], int(x.warm_up))
    used = desks[:, Desk.sum_cpu : Desk.sum_gpu + 1] + desks[:, Desk.leased_cpu : Desk.leased_gpu + 1] * np.maximum(since, 0)[:, None]
    tally = desks[:, [Desk.submitted, Desk.accepted, Desk.won, Desk.lost, Desk.closed, Desk.closed]].copy()
    tally[:, -1] = chain.wallets[desks[:, Desk.wallet], Wallet.balance]
    g = chain.globals
    tenants = chain.wallets[market.first_tenant : market.first_tenant + len(market.tenant_names), Wallet.balance]
    charged = pairs_at(leases, Lease.charged, leased)
    forgiven = pairs_at(leases, Lease.shortfall, leased)
    return MarketOutcome(
        deployment=tracks[:, Track.plan].copy(),
        listing=orders[:, Order.oseq].copy(),
        fate=np.where(leased, np.where(closed, ended[tracks[:, Track.ended]], running), unleased).astype(np.int64),
        winner=np.where(leased, leases[:, Lease.slot], -1),
        start=np.where(leased, leases[:, Lease.created_at], 0),
        runs_from=np.where(leased, leases[:, Lease.active_at], 0),
        end=np.where(closed, orders[:, Order.closed_at], 0),
        bids=tracks[:, Track.bids].copy(),
        stage=tracks[:, Track.stage].copy(),
        moved=less(charged, forgiven),
        taken=np.where(leased, leases[:, Lease.fees], 0),
        unpaid=pairs_at(leases, Lease.balance, leased),
        forgiven=forgiven,
        opened=opened.astype(np.int64),
        top_ups=plans[:, Plan.top_ups_used].copy(),
        funds=pairs_at(accounts, Account.funds, opened),
        dust=pairs_at(accounts, Account.dust, opened),
        revenue=collector.revenue[: len(desks)].copy(),
        tally=tally,
        declined=engine.declined[:, : len(desks)].T.copy(),
        used=used,
        tenants=tenants.copy(),
        latencies=engine.latency.copy(),
        totals=np.asarray(g)[[int(at) for at in TOTALS]],
        series=engine.samples[: int(x.samples)].copy(),
    )


def pairs_at(rows: Ints, column: int, there: npt.NDArray[np.bool_]) -> Ints:
    """A pair of columns (whole, atto), 0 where a row stands for nothing."""
    found: Ints = np.where(there[:, None], rows[:, column : column + 2], 0)
    return found


def less(pairs: Ints, others: Ints) -> Ints:
    """Pairs less other pairs that are no larger."""
    whole, atto = (pairs - others).T
    borrowed = atto < 0
    return np.column_stack([whole - borrowed, atto + ATTO * borrowed])
