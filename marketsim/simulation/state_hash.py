"""The state of a market as one hash that anybody can make again: of its height, its parameters and its rows by name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.columns import (
    Account,
    Bid,
    BidState,
    Deployment,
    Deposit,
    G,
    Grant,
    Group,
    Lease,
    Order,
    Provider,
    Scope,
    Usage,
    Wallet,
)
from marketsim.chain.parsing import PARAMS
from marketsim.chain.requirements import Requirements
from marketsim.chain.state import State
from marketsim.kernel.table_set import Table

Columns = list[NDArray[np.int64]]
DIGEST_BYTES = 32


def state_hash(chain: State, height: int, specs: Sequence[Requirements], texts: Sequence[str]) -> str:
    """Return 64 hex digits of BLAKE2b over `chain` as it stands after block `height`, all accounts settled.

    Every row is written by its names, as their 63-bit hashes (`chain.state.identity`), and sorted: where rows stand in memory, what links
    them and which have been used before decides nothing. Bids that have ended are left out, since not every market keeps them. An
    account's deposits stand in the order in which they are spent. `specs` are the requirements by number, `texts` the manifest hashes.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    g = chain.globals
    parameters = [int(g[column]) for column, _ in PARAMS.values()]
    rules = [int(value) for value in (g.rules, g.escrow, g.charging, g.quirks, g.network_fees, g.gas_price_atto)]
    totals = [int(g[at]) for at in range(G.deposited, G.validator_fees + 1)]
    _write(digest, "market", [np.asarray([number], np.int64) for number in (height, *rules, *parameters, *totals)])
    for name, columns in _tables(chain, specs, texts):
        _write(digest, name, columns)
    return digest.hexdigest()


def _write(digest: hashlib.blake2b, name: str, columns: Columns) -> None:
    table = np.column_stack(columns) if columns[0].size else np.empty((0, len(columns)), np.int64)
    order = np.lexsort(table.T[::-1]) if len(table) else np.empty(0, np.int64)
    digest.update(f"{name} {table.shape[0]} {table.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(table[order]).astype("<i8").tobytes())


def _tables(chain: State, specs: Sequence[Requirements], texts: Sequence[str]) -> list[tuple[str, Columns]]:
    g = chain.globals
    wallets, providers = _plain(chain.wallets, g.wallets), _plain(chain.providers, g.providers)
    deployments, groups = _plain(chain.deployments, g.deployments), _plain(chain.groups, g.groups)
    orders, bids, leases = _plain(chain.orders, g.orders), _plain(chain.bids, g.bids), _plain(chain.leases, g.leases)
    usage, accounts, grants = _plain(chain.usage, g.usage), _plain(chain.accounts, g.accounts), _plain(chain.grants, g.grants)
    who, deployed, ordered = wallets[:, Wallet.id], deployments[:, Deployment.id], orders[:, Order.id]
    said = np.asarray([_number(text) for text in texts] or [0], np.int64)
    asked = np.asarray([_number(repr(spec)) for spec in specs] or [0], np.int64)
    # a name that is only mentioned has a row and nothing else: it is not there
    wallets = wallets[(wallets[:, Wallet.balance] != 0) | (wallets[:, Wallet.fees] != 0)]
    known = providers[providers[:, Provider.registered] == 1]
    bids = bids[(bids[:, Bid.state] == BidState.OPEN) | (bids[:, Bid.state] == BidState.ACTIVE)]
    accounts = accounts[
        (accounts[:, Account.scope] == Scope.DEPLOYMENT) | (accounts[:, Account.open] > 0) | (accounts[:, Account.funds] > 0)
    ]
    metered = usage[usage[:, Usage.lease] >= 0] if len(usage) else usage
    return [
        ("wallets", [wallets[:, Wallet.id], wallets[:, Wallet.balance], wallets[:, Wallet.fees]]),
        ("providers", [known[:, Provider.id], known[:, Provider.blocked], known[:, Provider.active_leases]]),
        (
            "deployments",
            [
                deployed,
                who[deployments[:, Deployment.owner]],
                said[np.minimum(deployments[:, Deployment.hash], len(said) - 1)],
                *_of(deployments, Deployment.dseq, Deployment.state, Deployment.created_at, Deployment.closed_at, Deployment.window),
            ],
        ),
        (
            "groups",
            [
                deployed[groups[:, Group.deployment]],
                asked[np.minimum(groups[:, Group.spec], len(asked) - 1)],
                *_of(groups, Group.gseq, Group.state, Group.created_at, Group.price, Group.price_atto, *range(Group.cpu, Group.orders + 1)),
            ],
        ),
        (
            "orders",
            [
                ordered,
                *_of(orders, Order.oseq, Order.state, Order.created_at, Order.closed_at, Order.price, Order.price_atto, Order.reason),
                orders[:, Order.bids_open],
            ],
        ),
        (
            "bids",
            [
                ordered[bids[:, Bid.order]],
                who[bids[:, Bid.provider]],
                *_of(bids, Bid.state, Bid.created_at, Bid.price, Bid.price_atto, Bid.window),
            ],
        ),
        (
            "leases",
            [
                leases[:, Lease.id],
                *_of(leases, Lease.state, Lease.created_at, Lease.active_at, Lease.closed_at, Lease.reason, Lease.window, Lease.deadline),
                *_of(leases, *range(Lease.payment, Lease.charged_atto + 1), Lease.shortfall, Lease.shortfall_atto),
            ],
        ),
        ("usage", [leases[metered[:, Usage.lease], Lease.id], *_of(metered, *range(Usage.reserved_cpu, Usage.metered + 1))]),
        (
            "accounts",
            [
                accounts[:, Account.id],
                who[accounts[:, Account.owner]],
                *_of(accounts, Account.scope, Account.state, Account.created_at, Account.settled_at, Account.funds, Account.funds_atto),
                *_of(accounts, Account.transferred, Account.transferred_atto, Account.open, Account.short, Account.grace_at),
            ],
        ),
        ("deposits", _deposits(chain, accounts, who)),
        ("grants", [who[grants[:, Grant.granter]], who[grants[:, Grant.grantee]], *_of(grants, Grant.limit, Grant.scopes)]),
    ]


def _plain(table: Table, count: int) -> Table:
    rows: Table = np.asarray(table)[: int(count)]
    return rows


def _of(table: Table, *columns: int) -> Columns:
    return [table[:, column] for column in columns]


def _deposits(chain: State, accounts: Table, who: NDArray[np.int64]) -> Columns:
    """The deposits of accounts: whose, at which place of its list, from whom, from where, how much is left."""
    table, found = np.asarray(chain.deposits), [np.empty((0, 6), np.int64)]
    rows, names, place = accounts[:, Account.first_deposit], accounts[:, Account.id], 0
    while (there := rows >= 0).any():
        rows, names = rows[there], names[there]
        values = table[rows]
        places = np.full(len(rows), place, np.int64)
        amounts = _of(values, Deposit.source, Deposit.amount, Deposit.amount_atto)
        found.append(np.column_stack([names, places, who[values[:, Deposit.depositor]], *amounts]))
        rows, place = values[:, Deposit.next], place + 1
    return list(np.concatenate(found).T)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


__all__ = ["state_hash"]
