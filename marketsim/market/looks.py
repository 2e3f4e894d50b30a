"""What an account and all that it pays would be if somebody looked at it now, worked out beside the market, which stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from marketsim.chain.cascades import follow_payments
from marketsim.chain.columns import AccountState, EscrowRule, Event, Rules, Trail
from marketsim.chain.escrow.exact import fold
from marketsim.chain.state import MODULES, State
from marketsim.kernel.compiled import compiled
from marketsim.kernel.table_set import Table, rows_of

_CHANGED = ("wallets", "leases", "usage", "usage_escrows", "accounts", "deposits")
"""Tables of which a settlement by cadence changes rows."""


def beside(chain: State) -> State:
    """Return the chain with empty tables, as large, in place of those that a look changes: `look` brings the rows that it needs."""
    empty: dict[str, Any] = {}
    for name in _CHANGED:
        table: Table = getattr(chain, name)
        rows = np.empty(table.size + 8, np.int64)  # not written to, so not in memory either
        first = -(rows.ctypes.data // 8) % 8
        empty[name] = rows[first : first + table.size].reshape(table.shape)
    empty["globals"], empty["scratch"], empty["income"] = chain.globals.copy(), chain.scratch.copy(), np.zeros((1, 3), np.int64)
    empty["events"], empty["trail"] = rows_of(0, Event), rows_of(0, Trail)
    return chain._replace(**empty)


@compiled
def look(s: State, aside: State, height: int, account: int) -> None:
    """Bring an account, its payments and deposits to `aside`, made by `beside`, and settle its cadence there up to `height`."""
    for column in range(s.globals.shape[0]):
        aside.globals[column] = s.globals[column]
    g = aside.globals
    g.event_mask = 0
    g.auditing = 0
    g.day_blocks = 0
    for wallet in range(len(MODULES)):
        copy_row(s.wallets, aside.wallets, wallet)
    copy_row(s.wallets, aside.wallets, g.settlement_wallet)
    copy_row(s.accounts, aside.accounts, account)
    copy_row(s.wallets, aside.wallets, s.accounts[account].owner)
    deposit = s.accounts[account].first_deposit
    while deposit >= 0:
        copy_row(s.deposits, aside.deposits, deposit)
        copy_row(s.wallets, aside.wallets, s.deposits[deposit].depositor)
        deposit = s.deposits[deposit].next
    lease = s.accounts[account].first_lease
    while lease >= 0:
        copy_row(s.leases, aside.leases, lease)
        copy_row(s.wallets, aside.wallets, s.leases[lease].provider)
        usage = s.leases[lease].usage
        if usage >= 0:
            copy_row(s.usage, aside.usage, usage)
        lease = s.leases[lease].next
    a = aside.accounts[account]
    if g.rules != Rules.SEED or g.escrow == EscrowRule.USAGE or a.state != AccountState.OPEN or a.open == 0:
        return  # nothing is outstanding
    short = a.short
    fold(aside, height, account)
    if a.short != short:
        follow_payments(aside, account)


@compiled
def copy_row(table: Table, other: Table, row: int) -> None:
    """Copy one row of a table to the same place of another."""
    for column in range(table.shape[1]):
        other[row, column] = table[row, column]


__all__ = ["beside", "look"]
