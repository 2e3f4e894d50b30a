"""Rows as people read them: objects by name, states as words, money as exact decimal strings; and what
changed since the last look."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import IntEnum
from typing import Any, Protocol

import numpy as np

from marketsim.chain.columns import (
    Account,
    AccountState,
    Bid,
    BidState,
    Deployment,
    DeploymentState,
    Deposit,
    DepositSource,
    EventKind,
    Grant,
    Group,
    GroupState,
    Lease,
    LeaseState,
    Order,
    OrderState,
    PaymentState,
    Rules,
    Scope,
)
from marketsim.chain.state import TABLES, State
from marketsim.kernel.table_set import Table
from marketsim.money.text import format_amount
from marketsim.money.units import ATTO


class RenderedChain(Protocol):
    """What rendering needs to know of a chain: its tables, its rule set and its names by row
    (`edge.Chain` has them)."""

    state: State
    rules: Rules
    wallet_names: list[str]
    deployment_names: list[str]
    group_names: list[str]
    order_names: list[str]
    bid_names: list[str]
    lease_names: list[str]
    wallets_seen: set[str]

    def name_of(self, kind: str, row: int) -> str:
        """Return the name of an object."""
        ...


Value = Any
"""What an object renders to: a mapping of JSON values, or a string for wallets and grants."""


def _words(states: type[IntEnum]) -> dict[int, str]:
    return {int(state): state.name.lower() for state in states}


DEPLOYMENT_STATES = _words(DeploymentState)
GROUP_STATES = _words(GroupState)
ORDER_STATES = _words(OrderState)
BID_STATES = _words(BidState)
LEASE_STATES = _words(LeaseState)
ACCOUNT_STATES = _words(AccountState)
PAYMENT_STATES = _words(PaymentState)
SOURCES = _words(DepositSource)


def amount(whole: int, atto: int) -> str:
    """Return a pair as an exact decimal string without trailing zeros."""
    return format_amount(whole * ATTO + atto) if atto else str(whole)


# --- one object ------------------------------------------------------------


def deployment_value(chain: RenderedChain, row: int) -> Value:
    """Render a deployment."""
    values = chain.state.deployments[row].tolist()
    return {"created_at": values[Deployment.created_at], "state": DEPLOYMENT_STATES[values[Deployment.state]]}


def group_value(chain: RenderedChain, row: int) -> Value:
    """Render a group."""
    values = chain.state.groups[row].tolist()
    return {"created_at": values[Group.created_at], "state": GROUP_STATES[values[Group.state]]}


def order_value(chain: RenderedChain, row: int) -> Value:
    """Render an order."""
    values = chain.state.orders[row].tolist()
    return {
        "created_at": values[Order.created_at],
        "price": amount(values[Order.price], values[Order.price_atto]),
        "state": ORDER_STATES[values[Order.state]],
    }


def bid_value(chain: RenderedChain, row: int) -> Value:
    """Render a bid; its window only where it offers one."""
    values = chain.state.bids[row].tolist()
    value = {
        "created_at": values[Bid.created_at],
        "price": amount(values[Bid.price], values[Bid.price_atto]),
        "state": BID_STATES[values[Bid.state]],
    }
    if values[Bid.window]:
        value["window"] = values[Bid.window]
    return value


def lease_value(chain: RenderedChain, row: int) -> Value:
    """Render a lease; virtengine stores no reason, and a deadline shows once reclaiming has begun."""
    values = chain.state.leases[row].tolist()
    value = {
        "closed_on": values[Lease.closed_at],
        "created_at": values[Lease.created_at],
        "price": amount(values[Lease.rate], values[Lease.rate_atto]),
        "state": LEASE_STATES[values[Lease.state]],
    }
    if chain.rules != Rules.VIRTENGINE:
        value["reason"] = values[Lease.reason]
    if values[Lease.deadline]:
        value["deadline"] = values[Lease.deadline]
    return value


def payment_value(chain: RenderedChain, row: int) -> Value:
    """Render the escrow payment of a lease."""
    values = chain.state.leases[row].tolist()
    return {
        "balance": amount(values[Lease.balance], values[Lease.balance_atto]),
        "rate": amount(values[Lease.rate], values[Lease.rate_atto]),
        "state": PAYMENT_STATES[values[Lease.payment]],
        "unsettled": amount(values[Lease.unsettled], values[Lease.unsettled_atto]),
        "withdrawn": str(values[Lease.withdrawn]),
    }


def account_value(chain: RenderedChain, row: int) -> Value:
    """Render an escrow account with its deposits, first in first out: [depositor, source, what is left]."""
    values = chain.state.accounts[row].tolist()
    return {
        "deposits": [
            [
                chain.wallet_names[d[Deposit.depositor]],
                SOURCES[d[Deposit.source]],
                amount(d[Deposit.amount], d[Deposit.amount_atto]),
            ]
            for _, d in deposits_of(chain, values[Account.first_deposit])
        ],
        "funds": amount(values[Account.funds], values[Account.funds_atto]),
        "settled_at": values[Account.settled_at],
        "state": ACCOUNT_STATES[values[Account.state]],
        "transferred": amount(values[Account.transferred], values[Account.transferred_atto]),
    }


def deposits_of(chain: RenderedChain, first: int) -> Iterator[tuple[int, list[int]]]:
    """Yield (row, values) of the deposit records from `first` on."""
    row = first
    while row >= 0:
        values: list[int] = chain.state.deposits[row].tolist()
        yield row, values
        row = values[Deposit.next]


def bid_account_value(chain: RenderedChain, bid: int) -> Value:
    """Render the account of a bid made without a deposit, for which no row exists: empty, and ended
    with the bid."""
    values = chain.state.bids[bid].tolist()
    ended = values[Bid.state] in {BidState.LOST, BidState.CLOSED}
    return {
        "deposits": [],
        "funds": "0",
        "settled_at": values[Bid.closed_at] if ended else values[Bid.created_at],
        "state": "closed" if ended else "open",
        "transferred": "0",
    }


# --- events ------------------------------------------------------------

_SUBJECTS: dict[str, tuple[EventKind, ...]] = {
    "deployment": (EventKind.DEPLOYMENT_CREATED, EventKind.DEPLOYMENT_CLOSED),
    "group": (
        EventKind.GROUP_OPENED,
        EventKind.GROUP_PAUSED,
        EventKind.GROUP_INSUFFICIENT_FUNDS,
        EventKind.GROUP_CLOSED,
    ),
    "order": (EventKind.ORDER_CREATED, EventKind.ORDER_ACTIVATED, EventKind.ORDER_CLOSED),
    "bid": (EventKind.BID_CREATED, EventKind.BID_WON, EventKind.BID_LOST, EventKind.BID_CLOSED),
    "lease": (
        EventKind.LEASE_CREATED,
        EventKind.LEASE_INSUFFICIENT_FUNDS,
        EventKind.LEASE_REACTIVATED,
        EventKind.LEASE_RECLAIMING,
        EventKind.LEASE_CLOSED,
        EventKind.SETTLED,
        EventKind.PAID,
        EventKind.SHORTFALL,
        EventKind.USAGE_RECORDED,
    ),
    "account": (EventKind.DEPOSITED, EventKind.REFUNDED, EventKind.FORCED_SETTLEMENT),
    "provider": (EventKind.PROVIDER_BLOCKED, EventKind.PROVIDER_UNBLOCKED),
}
SUBJECT_OF = {int(kind): subject for subject, kinds in _SUBJECTS.items() for kind in kinds}
"""What kind of object each kind of event is about."""


def event_value(chain: RenderedChain, values: list[int]) -> dict[str, Any]:
    """Render one row of the record: its height, its name in the past tense, what it is about, and its
    figures."""
    height, kind, subject, other, whole, atto, extra = values[:7]
    what = SUBJECT_OF.get(kind)
    value: dict[str, Any] = {"height": height, "event": EventKind(kind).name.title().replace("_", "")}
    if what == "bid":
        value["id"] = chain.bid_names[extra]
    elif what is not None:
        value["id"] = chain.name_of(what, subject)
    else:
        value["subject"] = subject
    value["other"] = other
    value["amount"] = amount(whole, atto)
    value["extra"] = extra
    return value


# --- what changed ------------------------------------------------------------


class Changes:
    """Everything that the state renders to, kept up to date by looking only at rows whose bytes changed."""

    def __init__(self, chain: RenderedChain) -> None:
        self._chain = chain
        self._bytes: dict[str, bytes] = dict.fromkeys(_WATCHED, b"")
        self._deposit_owner: dict[int, int] = {}
        self.values: dict[str, Value] = {}
        self.collect()

    def collect(self) -> dict[str, Value]:
        """Return every object that was made or changed since the last call, by name, with its new value."""
        changed: dict[str, Value] = {}
        values = self.values
        for name, value in self._rendered():
            if values.get(name) != value:
                values[name] = value
                changed[name] = value
        return changed

    def _rendered(self) -> Iterator[tuple[str, Value]]:
        chain = self._chain
        accounts: dict[int, None] = {}
        for table, render in _WATCHED.items():
            rows = self._changed_rows(table)
            if not rows:
                continue
            if render is not None:
                yield from render(chain, rows)
            elif table == "accounts":
                accounts.update(dict.fromkeys(rows))
            else:
                accounts.update((self._deposit_owner[row], None) for row in rows if row in self._deposit_owner)
        for row in accounts:
            owner = _account_name(chain, row)
            if owner is None:
                continue
            for deposit, _ in deposits_of(chain, int(chain.state.accounts[row].first_deposit)):
                self._deposit_owner[deposit] = row
            yield owner, account_value(chain, row)

    def _changed_rows(self, table: str) -> list[int]:
        counter, _ = TABLES[table]
        now: Table = getattr(self._chain.state, table)[: self._chain.state.globals[counter]]
        after = now.tobytes()
        before = self._bytes[table]
        if after == before:
            return []
        self._bytes[table] = after
        old = np.frombuffer(before, np.int64).reshape(-1, now.shape[1])
        kept = len(old)
        rows: list[int] = np.flatnonzero((now[:kept] != old).any(axis=1)).tolist()
        return rows + list(range(kept, len(now)))


def _account_name(chain: RenderedChain, row: int) -> str | None:
    scope, target = (
        int(chain.state.accounts[row].scope),
        int(chain.state.accounts[row].target),
    )
    if scope == Scope.DEPLOYMENT:
        return f"account {chain.deployment_names[target]}"
    return f"account {chain.bid_names[target]}" if scope == Scope.BID else None


def _wallets(chain: RenderedChain, rows: Iterable[int]) -> Iterator[tuple[str, Value]]:
    for row in rows:
        balance = int(chain.state.wallets[row].balance)
        name = f"wallet {chain.wallet_names[row]}"
        # A name that is only mentioned has a row without coins: no wallet yet.
        if balance or name in chain.wallets_seen:
            chain.wallets_seen.add(name)
            yield name, str(balance)


def _deployments(chain: RenderedChain, rows: Iterable[int]) -> Iterator[tuple[str, Value]]:
    for row in rows:
        yield f"deployment {chain.deployment_names[row]}", deployment_value(chain, row)


def _groups(chain: RenderedChain, rows: Iterable[int]) -> Iterator[tuple[str, Value]]:
    for row in rows:
        yield f"group {chain.group_names[row]}", group_value(chain, row)


def _orders(chain: RenderedChain, rows: Iterable[int]) -> Iterator[tuple[str, Value]]:
    for row in rows:
        yield f"order {chain.order_names[row]}", order_value(chain, row)


def _bids(chain: RenderedChain, rows: Iterable[int]) -> Iterator[tuple[str, Value]]:
    for row in rows:
        yield f"bid {chain.bid_names[row]}", bid_value(chain, row)
        if chain.state.bids[row].account < 0:
            yield f"account {chain.bid_names[row]}", bid_account_value(chain, row)


def _leases(chain: RenderedChain, rows: Iterable[int]) -> Iterator[tuple[str, Value]]:
    for row in rows:
        yield f"lease {chain.lease_names[row]}", lease_value(chain, row)
        yield f"payment {chain.lease_names[row]}", payment_value(chain, row)


def _grants(chain: RenderedChain, rows: Iterable[int]) -> Iterator[tuple[str, Value]]:
    for row in rows:
        granter, grantee, limit, _ = chain.state.grants[row].tolist()[: Grant.width]
        yield f"grant {chain.wallet_names[granter]} to {chain.wallet_names[grantee]}", str(limit)


Renderer = Callable[[RenderedChain, Iterable[int]], Iterator[tuple[str, Value]]]
_WATCHED: dict[str, Renderer | None] = {
    "deployments": _deployments,
    "groups": _groups,
    "orders": _orders,
    "bids": _bids,
    "leases": _leases,
    "wallets": _wallets,
    "grants": _grants,
    "accounts": None,
    "deposits": None,
}
