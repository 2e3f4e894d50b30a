"""The chain's tables: made empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from marketsim.chain.columns import (
    Account,
    Bid,
    Deployment,
    Deposit,
    Draft,
    Event,
    G,
    Grant,
    Group,
    Lease,
    Order,
    Provider,
    Resource,
    Usage,
    UsageEscrow,
    Wallet,
)
from marketsim.kernel.table_set import Codes, Table, TableSet, register, rows_of


class _StateTables(NamedTuple):
    """All tables of one chain; every field an int64 array, (rows, columns) but for the 1-D globals, index and scratch."""

    globals: Table
    wallets: Table
    providers: Table
    deployments: Table
    groups: Table
    resources: Table
    drafts: Table
    orders: Table
    bids: Table
    leases: Table
    usage: Table
    usage_escrows: Table
    """Row for row beside `usage`; filled under charging ve_settlement only."""
    accounts: Table
    deposits: Table
    grants: Table
    eligible: Codes
    """(specs, providers): 0 unknown, 1 fits, 2 attributes or auditors missing, 3 capabilities missing; filled at the edge."""
    bid_index: Table
    """Open-addressed hash of (order, provider wallet) to bid row; length a power of two; -1 empty."""
    bid_bits: Table
    """(rows, words): which providers have bid on an open order, a bit a slot, BITS_A_WORD to a word; used where ended bids are not kept."""
    income: Table
    """(providers, days + 2): paid out by provider and day, net, whole uve, then net and take fees of all after G.INCOME_FROM; kept where
    G.DAY_BLOCKS says how long a day is."""
    events: Table
    scratch: Table
    """1-D work space of wide arithmetic; nothing in it outlives a call."""


class State(TableSet, _StateTables):
    """All tables of one chain, passed to compiled code as one address."""

    lines = frozenset({"globals", "bid_index", "scratch"})
    narrow = frozenset({"eligible"})
    widths: ClassVar[Mapping[str, int]] = {
        "wallets": Wallet.SIZE + 0,
        "providers": Provider.SIZE + 0,
        "deployments": Deployment.SIZE + 0,
        "groups": Group.SIZE + 0,
        "resources": Resource.SIZE + 0,
        "drafts": Draft.SIZE + 0,
        "orders": Order.SIZE + 0,
        "bids": Bid.SIZE + 0,
        "leases": Lease.SIZE + 0,
        "usage": Usage.SIZE + 0,
        "accounts": Account.SIZE + 0,
        "deposits": Deposit.SIZE + 0,
        "grants": Grant.SIZE + 0,
        "events": Event.SIZE + 0,
    }


register(State)


BITS_A_WORD = 32
"""Providers a word of `bid_bits`: a power of two, and never the sign bit."""

TABLES: Mapping[str, tuple[G, int]] = {
    "wallets": (G.WALLETS, Wallet.SIZE),
    "providers": (G.PROVIDERS, Provider.SIZE),
    "deployments": (G.DEPLOYMENTS, Deployment.SIZE),
    "groups": (G.GROUPS, Group.SIZE),
    "resources": (G.RESOURCES, Resource.SIZE),
    "drafts": (G.DRAFTS, Draft.SIZE),
    "orders": (G.ORDERS, Order.SIZE),
    "bids": (G.BIDS, Bid.SIZE),
    "leases": (G.LEASES, Lease.SIZE),
    "usage": (G.USAGE, Usage.SIZE),
    "usage_escrows": (G.USAGE, UsageEscrow.SIZE),
    "accounts": (G.ACCOUNTS, Account.SIZE),
    "deposits": (G.DEPOSITS, Deposit.SIZE),
    "grants": (G.GRANTS, Grant.SIZE),
    "events": (G.EVENTS, Event.SIZE),
}
"""Each table that fills row by row: the global that counts its rows, and its width."""


def make_state(rows: int = 64) -> State:
    """Return empty tables with room for `rows` rows each and the three module wallets in place."""
    tables: dict[str, Any] = {name: rows_of(rows, width) for name, (_, width) in TABLES.items()}
    totals = np.zeros(G.SIZE, np.int64)
    totals[G.WALLETS] = 3
    totals[[G.FREE_BID, G.FREE_ACCOUNT, G.FREE_DEPOSIT]] = -1
    totals[G.BLOCK_MS] = 6000
    tables["wallets"][:3, Wallet.PROVIDER] = -1
    return State(
        globals=totals,
        **tables,
        eligible=np.zeros((rows, rows), np.int8),
        bid_bits=np.zeros((rows, 1), np.int64),
        income=np.zeros((1, 3), np.int64),
        bid_index=np.full(1 << max(6, (2 * rows - 1).bit_length()), -1, np.int64),
        scratch=np.zeros(512, np.int64),
    )
