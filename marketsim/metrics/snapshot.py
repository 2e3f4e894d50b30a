"""A market at one height as numpy columns, out of the tables of the chain and of the agents; they stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.columns import (
    Account,
    Deployment,
    EscrowRule,
    Event,
    EventKind,
    Group,
    Lease,
    LeaseState,
    Order,
    OrderState,
    PaymentState,
    Provider,
    UsageEscrow,
    Wallet,
)
from marketsim.chain.income import paid_by_day
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.market.fingerprint import settled
from marketsim.market.tables import BidRow, Desk, Ended, Engine, Track
from marketsim.metrics.series import BID_SECONDS, MarketSnapshot
from marketsim.money.units import ATTO, MIB
from marketsim.recording.record import DECLINE_CODES, UNFILLED

Floats = NDArray[np.float64]
UnfilledCodes = Callable[[State, Engine], NDArray[np.int64]]
PIECES_MAX = 256
"""Pieces of settlements that wait to be added up, at most."""
_RESOURCES = {"cpu": 1e-3, "memory": float(MIB), "storage": float(MIB), "gpu": 1.0}


class BidTimes:
    """How long bids took, by provider: counts in the buckets of `BID_SECONDS` and the sum."""

    def __init__(self, providers: int) -> None:
        self.counts = np.zeros((providers, len(BID_SECONDS) + 1), np.int64)
        self.seconds = np.zeros(providers, np.float64)

    def add(self, rows: NDArray[np.int64]) -> None:
        """Take rows of placed bids (`BidRow`); bids by hand, which no engine made, take no time and are left out."""
        rows = rows[rows[:, BidRow.latency] >= 0]
        if len(rows) and (top := int(rows[:, BidRow.desk].max())) >= len(self.seconds):
            more = top + 1 - len(self.seconds)
            self.counts = np.pad(self.counts, ((0, more), (0, 0)))
            self.seconds = np.pad(self.seconds, (0, more))
        seconds = rows[:, BidRow.latency] / 1000
        np.add.at(self.counts, (rows[:, BidRow.desk], np.searchsorted(BID_SECONDS, seconds)), 1)
        np.add.at(self.seconds, rows[:, BidRow.desk], seconds)


class Moved:
    """What settlements have moved to each lease's provider, out of the events of kind SETTLED."""

    def __init__(self) -> None:
        self._pieces: list[NDArray[np.int64]] = []
        self._sums: Floats = np.zeros(0)

    def add(self, rows: NDArray[np.int64]) -> None:
        """Take rows of events (`Event`)."""
        self._pieces.append(rows[rows[:, Event.kind] == EventKind.SETTLED][:, [Event.subject, Event.whole, Event.atto]])
        if len(self._pieces) >= PIECES_MAX:
            self._add_up(0)

    def by_lease(self, leases: int) -> Floats:
        """Return uve moved so far, float64 (leases,)."""
        return self._add_up(leases)

    def _add_up(self, leases: int) -> Floats:
        rows = np.concatenate([np.zeros((0, 3), np.int64), *self._pieces])
        self._pieces.clear()
        leases = max(leases, len(self._sums), int(rows[:, 0].max(initial=-1)) + 1)
        sums = _sum_by(rows[:, 0], rows[:, 1] + rows[:, 2] / ATTO, leases)
        sums[: len(self._sums)] += self._sums
        self._sums = sums
        return sums.copy()


def snapshot(
    chain: State,
    engine: Engine,
    *,
    providers: Sequence[str],
    owner_of: Callable[[int], str],
    bid_times: BidTimes,
    moved: Moved,
    unfilled: UnfilledCodes,
    lag_blocks: int = 0,
) -> MarketSnapshot:
    """Return the market as it is after the last executed block.

    `owner_of` names a wallet; `unfilled` gives the index into UNFILLED of each order, int64 (orders,), -1 unless it ended without a lease.
    """
    chain = settled(chain, engine)
    height = max(0, int(engine.globals.executed))  # a market that has not begun stands at block 0
    count = len(providers)
    leases = chain.leases[: int(chain.globals.leases)]
    living = np.flatnonzero(leases[:, Lease.state] != LeaseState.CLOSED)
    desks = engine.desks[:count]
    every = leases[:, Lease.slot]
    closed = leases[:, Lease.state] == LeaseState.CLOSED
    ended = engine.tracks[leases[:, Lease.order], Track.ended]
    orders = chain.orders[: int(chain.globals.orders)]
    codes = unfilled(chain, engine)
    income = chain.income[:count]
    rejected = engine.rejected[:count]
    return MarketSnapshot(
        height=height,
        block_ms=int(engine.globals.block_ms),
        providers=list(providers),
        lease_ids=_lease_ids(chain, living, providers, owner_of),
        lease_provider=every[living],
        lease_active=leases[living, Lease.state] != LeaseState.INSUFFICIENT_FUNDS,
        lease_price=_money(leases[living], Lease.rate, Lease.rate_atto),
        lease_balance=balances(chain, living, height),
        all_provider=every,
        all_begun=leases[:, Lease.active_at],
        all_closed=np.where(closed, leases[:, Lease.closed_at], -1),
        all_ended=[Ended(number).name.lower() if gone else "" for number, gone in zip(ended.tolist(), closed.tolist(), strict=True)],
        lease_capacity=desks[:, Desk.lease_capacity],
        capacity={name: desks[:, Desk.cap_cpu + at] * scale for at, (name, scale) in enumerate(_RESOURCES.items())},
        used={name: desks[:, Desk.leased_cpu + at] * scale for at, (name, scale) in enumerate(_RESOURCES.items())},
        net=paid_by_day(income).sum(axis=1).astype(np.float64),
        moved=_sum_by(every, _moved(chain, leases, moved), count),
        take=_sum_by(every, _money(leases, Lease.fees), count),
        gas=chain.wallets[desks[:, Desk.wallet], Wallet.fees].astype(np.float64),
        submitted=desks[:, Desk.submitted],
        won=desks[:, Desk.won],
        accepted=desks[:, Desk.accepted],
        lost=desks[:, Desk.lost],
        rejected={Status(code).name: rejected[:, code] for code in np.flatnonzero(rejected.any(axis=0)).tolist()},
        declined={DECLINE_CODES[code]: engine.declined[code, :count] for code in range(len(DECLINE_CODES))},
        bid_seconds=np.pad(bid_times.counts, ((0, count - len(bid_times.counts)), (0, 0))),
        bid_seconds_sum=np.pad(bid_times.seconds, (0, count - len(bid_times.seconds))),
        up=desks[:, Desk.up],
        enabled=desks[:, Desk.enabled],
        blocked=chain.providers[:count, Provider.blocked],
        orders_created=len(orders),
        orders_leased=int((orders[:, Order.lease] >= 0).sum()),
        orders_open=int((orders[:, Order.state] == OrderState.OPEN).sum()),
        orders_ended={name: int((codes == at).sum()) for at, name in enumerate(UNFILLED)},
        lag_blocks=lag_blocks,
    )


def balances(chain: State, rows: NDArray[np.int64], height: int) -> Floats:
    """Return what is left for each of some leases at a height, float64 (rows,), uve: of what its account holds, less what its leases have
    earned since they were last settled, the share that the lease has in the prices. Hours left then agree for all leases of an account.

    Under usage escrows (rules page, charging ve_settlement) each lease has coins of its own.
    """
    leases = chain.leases[rows]
    is_open = leases[:, Lease.payment] == PaymentState.OPEN
    if chain.globals.escrow == EscrowRule.USAGE:
        metered = is_open & (leases[:, Lease.usage] >= 0)
        own = chain.usage_escrows[np.maximum(leases[:, Lease.usage], 0)]
        return np.where(metered, np.maximum(own[:, UsageEscrow.balance] - own[:, UsageEscrow.unsettled], 0), 0).astype(np.float64)
    accounts = chain.accounts[leases[:, Lease.account]]
    rates = _money(accounts, Account.rates, Account.rates_atto)
    left = _money(accounts, Account.funds, Account.funds_atto) - rates * (height - accounts[:, Account.settled_at])
    price = _money(leases, Lease.rate, Lease.rate_atto)
    share = np.divide(price, rates, out=np.zeros_like(price), where=rates > 0)
    return np.where(is_open, np.maximum(left, 0.0) * share, 0.0)


def _money(rows: NDArray[np.int64], whole: int, atto: int | None = None) -> Floats:
    found: Floats = rows[:, whole].astype(np.float64)
    return found if atto is None else found + rows[:, atto] / ATTO


def _moved(chain: State, leases: NDArray[np.int64], moved: Moved) -> Floats:
    """What settlements have moved for each lease. Where a cadence settles, not every settlement has been an event yet: what the lease was
    charged less what was forgiven is the same sum.
    """
    if chain.globals.escrow == EscrowRule.EXACT:
        forgiven = _money(leases, Lease.shortfall, Lease.shortfall_atto)
        return _money(leases, Lease.charged, Lease.charged_atto) - forgiven
    return moved.by_lease(len(leases))


def _sum_by(rows: NDArray[np.int64], amounts: Floats, count: int) -> Floats:
    return np.bincount(rows, amounts, minlength=count).astype(np.float64)


def _lease_ids(
    chain: State, rows: NDArray[np.int64], providers: Sequence[str], owner_of: Callable[[int], str]
) -> list[tuple[str, str, str, str, str]]:
    leases = chain.leases[rows]
    orders = chain.orders[leases[:, Lease.order]]
    deployments = chain.deployments[orders[:, Order.deployment]]
    groups = chain.groups[orders[:, Order.group]]
    columns = (
        deployments[:, Deployment.owner],
        deployments[:, Deployment.dseq],
        groups[:, Group.gseq],
        orders[:, Order.oseq],
        leases[:, Lease.slot],
    )
    return [
        (owner_of(owner), str(dseq), str(gseq), str(oseq), providers[slot])
        for owner, dseq, gseq, oseq, slot in zip(*(column.tolist() for column in columns), strict=True)
    ]
