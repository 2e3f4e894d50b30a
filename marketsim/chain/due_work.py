"""Settlements that nobody's message asks for: by cadence, when an account runs dry, at the end of
grace, and by governance.

Rule set seed (rules.md 1). Each does the escrow part and then lets the market follow: leases, bids,
orders, groups, the deployment. Within a block: settle, end of grace, due. No rows are added but events:
4 an object ended and 8 a payment or deposit of the account.
"""

from __future__ import annotations

from marketsim.chain.cascades import end_deployment, follow
from marketsim.chain.columns import AccountState, EscrowRule, EventKind
from marketsim.chain.escrow import usage_accounts
from marketsim.chain.escrow.exact import due, fold, grace_end, settle
from marketsim.chain.escrow.messages import settle_forced
from marketsim.chain.events import emit
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled


@compiled
def settle_cadence(s: State, h: int, account: int) -> None:
    """Apply the settlements of the account's cadence up to h; the caller has run everything due below h.

    A usage escrow has no cadence: its clock is due at heights of its own.
    """
    if s.globals.escrow == EscrowRule.USAGE:
        return
    short = s.accounts[account].short
    fold(s, h, account)
    follow(s, h, account, short)


@compiled
def settle_late(s: State, h: int, account: int) -> None:
    """Settle an account at h of which meters have just been read that were not for long.

    More may be owed than the prices of the blocks since its last settlement, which no settlement to come reckons with.
    """
    short = s.accounts[account].short
    settle(s, h, account, False)
    follow(s, h, account, short)


@compiled
def settle_due(s: State, h: int, account: int) -> None:
    """Settle an account at the height at which it may be unable to pay (Account.due_at); its leases may
    run out of funds. For usage escrows: the height of the next report, settlement or expiry."""
    if s.globals.escrow == EscrowRule.USAGE:
        usage_accounts.due(s, h, account)
        return
    short = s.accounts[account].short
    due(s, h, account)
    follow(s, h, account, short)


@compiled
def end_of_grace(s: State, h: int, account: int) -> None:
    """End the grace of an account at h (Account.grace_at): everything of its deployment closes for lack
    of funds, the rest is refunded."""
    if grace_end(s, h, account):
        end_deployment(s, h, s.accounts[account].target, True)


@compiled
def settle_escrow(s: State, h: int, authority: int, account: int) -> Status:
    """Governance: settle a deployment's account now and pay every payment."""
    if authority != 1:
        return Status.Unauthorized
    if account < 0:
        return Status.AccountNotFound
    if s.accounts[account].state == AccountState.CLOSED:
        return Status.AccountClosed
    short = s.accounts[account].short
    emit(s, EventKind.FORCED_SETTLEMENT, account, 0, 0, 0, 0)
    settle_forced(s, h, account)
    follow(s, h, account, short)
    return Status.Ok
