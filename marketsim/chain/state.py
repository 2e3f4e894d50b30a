"""The chain's tables: made empty."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
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
    Trail,
    Usage,
    UsageEscrow,
    Wallet,
)
from marketsim.kernel.rows import Row, Rows, row_of
from marketsim.kernel.table_set import Codes, Table, TableSet, register, rows_of


class _StateTables(NamedTuple):
    """All tables of one chain; every field an int64 array, (rows, columns) but for the 1-D globals, index and scratch."""

    globals: G
    wallets: Rows[Wallet]
    providers: Rows[Provider]
    deployments: Rows[Deployment]
    groups: Rows[Group]
    resources: Rows[Resource]
    drafts: Rows[Draft]
    orders: Rows[Order]
    bids: Rows[Bid]
    leases: Rows[Lease]
    usage: Rows[Usage]
    usage_escrows: Rows[UsageEscrow]
    """Row for row beside `usage`; filled under charging ve_settlement only."""
    accounts: Rows[Account]
    deposits: Rows[Deposit]
    grants: Rows[Grant]
    eligible: Codes
    """(specs, providers): 0 unknown, 1 fits, 2 attributes or auditors missing, 3 capabilities missing; filled at the edge."""
    bid_index: Table
    """Open-addressed hash of (order, provider wallet) to bid row; length a power of two; -1 empty."""
    bid_bits: Table
    """(rows, words): which providers have bid on an open order, a bit a slot, BITS_A_WORD to a word; used where ended bids are not kept."""
    income: Table
    """(providers, days + 2): paid out by provider and day, net, whole uve, then net and take fees of all after G.income_from; kept where
    G.day_blocks says how long a day is."""
    events: Rows[Event]
    trail: Rows[Trail]
    """A row a chunk of TRAIL_BLOCKS blocks (`events.chunk_of`), from the one before the first block on; no rows where nobody keeps it."""
    scratch: Table
    """1-D work space of wide arithmetic; nothing in it outlives a call."""


class State(TableSet, _StateTables):
    """All tables of one chain, passed to compiled code as one address."""

    lines = frozenset({"globals", "bid_index", "scratch"})
    narrow = frozenset({"eligible"})
    rows: ClassVar[Mapping[str, type[Row]]] = {
        "globals": G,
        "wallets": Wallet,
        "providers": Provider,
        "deployments": Deployment,
        "groups": Group,
        "resources": Resource,
        "drafts": Draft,
        "orders": Order,
        "bids": Bid,
        "leases": Lease,
        "usage": Usage,
        "usage_escrows": UsageEscrow,
        "accounts": Account,
        "deposits": Deposit,
        "grants": Grant,
        "events": Event,
        "trail": Trail,
    }


register(State)


BITS_A_WORD = 32
"""Providers a word of `bid_bits`: a power of two, and never the sign bit."""

TABLES: Mapping[str, tuple[int, type[Row]]] = {
    "wallets": (G.wallets, Wallet),
    "providers": (G.providers, Provider),
    "deployments": (G.deployments, Deployment),
    "groups": (G.groups, Group),
    "resources": (G.resources, Resource),
    "drafts": (G.drafts, Draft),
    "orders": (G.orders, Order),
    "bids": (G.bids, Bid),
    "leases": (G.leases, Lease),
    "usage": (G.usage, Usage),
    "usage_escrows": (G.usage, UsageEscrow),
    "accounts": (G.accounts, Account),
    "deposits": (G.deposits, Deposit),
    "grants": (G.grants, Grant),
    "events": (G.events, Event),
}
"""Each table that fills row by row: the global that counts its rows, and its row class."""

AS_WRITTEN = frozenset(
    {"deployments", "groups", "resources", "drafts", "orders", "bids", "leases", "usage", "accounts", "deposits", "events"}
)
"""Tables whose new rows are written whole before anything of them is read: nobody has to wipe them before."""


NAMES_KEPT = 1 << 14
"""Names of which the identities are kept, for the next run of a process."""


@lru_cache(maxsize=NAMES_KEPT)
def identity(name: str) -> int:
    """Return the identity of what has only a name, wallets and so providers: a 63-bit hash."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") >> 1


MODULES = ("escrow", "community", "collector")
"""Names of the wallets that every chain begins with, in the order of their rows."""


def make_state(rows: int = 64, **more: int) -> State:
    """Return empty tables with room for `rows` rows each, those named for so many more, and the three module wallets in place.

    All zeros, but for what `AS_WRITTEN` says of those named.
    """
    tables: dict[str, Any] = {
        name: rows_of(max(rows, len(MODULES)) + more.get(name, 0), schema, not (name in more and name in AS_WRITTEN))
        for name, (_, schema) in TABLES.items()
    }
    tables["wallets"][: len(MODULES), Wallet.provider] = -1
    tables["wallets"][: len(MODULES), Wallet.id] = [identity(name) for name in MODULES]
    return State(
        globals=row_of(G),
        **tables,
        trail=rows_of(0, Trail),
        eligible=np.zeros((rows, rows), np.int8),
        bid_bits=np.zeros((rows, 1), np.int64),
        income=np.zeros((1, 3), np.int64),
        bid_index=np.full(1 << max(6, (2 * rows - 1).bit_length()), -1, np.int64),
        scratch=np.zeros(512, np.int64),
    )
