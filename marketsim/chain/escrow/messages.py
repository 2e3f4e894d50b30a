"""The escrow messages and queries under whichever rule G.escrow names: what the market's handlers call.

Every function returns a Status; a refusal has changed nothing. None of them touches the market: after `Ok`
(and after `due`, `grace_end`, `fold` of `exact`) the caller looks at Account.state, Account.short and the
Lease.payment of the account's payments (from Account.first_lease along Lease.next) and runs the cascades of
protocol reference 1.7; escrow is by then in its final state, so that calls made by a cascade change nothing
more. Under the exact rule PaymentState.OVERDRAWN reads insufficient_funds and the account stays open.

Room is the caller's to guarantee: one free row in `accounts` for an opening, one in `deposits` for each
source and grant of a deposit, and in `events` eight, eight for each payment of the account and one for each of
its deposits and for each grant.
"""

from __future__ import annotations

from marketsim.chain.columns import AccountState, EscrowRule, PaymentState
from marketsim.chain.escrow import accounts, exact, proportional, sequential, usage_accounts
from marketsim.chain.escrow.accounts import can_collect, collect_checked, release_account
from marketsim.chain.escrow.exact import due, fold, grace_end, next_cadence
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled
from marketsim.money.pairs import BLOCKS_MAX, add, blocks_covered, subtract, times

__all__ = [
    "account_close",
    "account_deposit",
    "account_open",
    "blocks_left",
    "can_collect",
    "collect",
    "dry_at",
    "due",
    "fold",
    "grace_end",
    "live_funds",
    "next_cadence",
    "payment_close",
    "payment_open",
    "payment_withdraw",
    "record_usage",
    "release_account",
    "settle_forced",
]


@compiled
def account_open(s: State, h: int, scope: int, target: int, owner: int) -> int:
    """Return the row of a new escrow account for a deployment or bid (Scope, row), open, empty, settled at
    h.
    """
    return accounts.open_account(s, h, scope, target, owner)


@compiled
def collect(s: State, h: int, account: int, signer: int, scope: int, amount: int, sources: int) -> Status:
    """Collect a deposit into a new account: InvalidDeposit, InsufficientFunds, or everything is moved
    (protocol reference 3.3).

    `sources` has one base-4 digit a source, the lowest first: 1 the signer's wallet, 2 grants to the signer
    of this scope. `can_collect` gives the same answer without moving anything, for handlers that create rows
    in between.
    """
    status = can_collect(s, signer, scope, amount, sources)
    if status == Status.Ok:
        collect_checked(s, h, account, signer, scope, amount, sources)
    return status


@compiled
def account_deposit(s: State, h: int, account: int, signer: int, amount: int, sources: int) -> Status:
    """AccountDeposit: InvalidDeposit, InsufficientFunds, AccountClosed; else the money is in (protocol
    reference 1.4, 3.4).

    Under the sequential rule it pays the debts of an overdrawn account and may close it; look at
    Account.state. Under the exact rule it may reactivate the insufficient_funds payments: Account.short was
    above 0 and is 0. Under the proportional rule an overdrawn account is AccountClosed. An unknown account is
    the caller's to refuse: `can_collect` first, then AccountNotFound.
    """
    a = s.accounts[account]
    if amount <= 0:
        return Status.InvalidDeposit
    rule = s.globals.escrow
    scope = a.scope
    status = can_collect(s, signer, scope, amount, sources)
    if status != Status.Ok:
        return status
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    if rule == EscrowRule.PROPORTIONAL and a.state != AccountState.OPEN:
        return Status.AccountClosed
    if rule == EscrowRule.EXACT:
        exact.fold(s, h, account)
    elif a.funds < 0:
        # The debt stands in the payments' unsettled amounts from here on.
        a.funds = 0
    collect_checked(s, h, account, signer, scope, amount, sources)
    if rule == EscrowRule.EXACT:
        exact.deposited(s, h, account)
    elif rule == EscrowRule.SEQUENTIAL:
        sequential.deposited(s, h, account)
    return Status.Ok


@compiled
def payment_open(s: State, h: int, account: int, lease: int) -> Status:
    """Open the payment of a lease row that holds GSEQ, OSEQ, PROVIDER, RATE, RATE_ATTO and USAGE (-1 = not
    metered).

    AccountClosed, AccountOverdrawn, PaymentRateZero, AmountTooLarge (RATE_MAX), PaymentExists. After Ok the
    lease is in the account's list in key order with an open payment and zero balances.
    """
    rule = s.globals.escrow
    if rule == EscrowRule.EXACT:
        return exact.payment_open(s, h, account, lease)
    if rule == EscrowRule.SEQUENTIAL:
        return sequential.payment_open(s, h, account, lease)
    if rule == EscrowRule.PROPORTIONAL:
        return proportional.payment_open(s, h, account, lease)
    return usage_accounts.payment_open(s, h, account, lease)


@compiled
def payment_withdraw(s: State, h: int, lease: int) -> Status:
    """Settle the account and pay this payment: PaymentClosed; AccountClosed and Panic with quirk
    settle_same_height.

    Afterwards the account may be overdrawn (exact rule: its payments insufficient_funds).
    """
    rule = s.globals.escrow
    if rule == EscrowRule.EXACT:
        return exact.payment_withdraw(s, h, lease)
    if rule == EscrowRule.SEQUENTIAL:
        return sequential.payment_withdraw(s, h, lease)
    if rule == EscrowRule.PROPORTIONAL:
        return proportional.payment_withdraw(s, h, lease)
    return usage_accounts.payment_withdraw(s, h, lease)


@compiled
def payment_close(s: State, h: int, lease: int) -> Status:
    """Settle the account, close and pay this payment: PaymentClosed; AccountClosed with quirk
    settle_same_height.

    Look at the state of this payment (overdrawn, or with the quirk still open, in spite of Ok) and of the
    others.
    """
    rule = s.globals.escrow
    if rule == EscrowRule.EXACT:
        return exact.payment_close(s, h, lease)
    if rule == EscrowRule.SEQUENTIAL:
        return sequential.payment_close(s, h, lease)
    if rule == EscrowRule.PROPORTIONAL:
        return proportional.payment_close(s, h, lease)
    return usage_accounts.payment_close(s, h, lease)


@compiled
def account_close(s: State, h: int, account: int) -> Status:
    """Settle, close and pay every payment, refund the deposits: AccountClosed. An overdrawn account stays so,
    in spite of Ok.
    """
    rule = s.globals.escrow
    if rule == EscrowRule.EXACT:
        return exact.account_close(s, h, account)
    if rule == EscrowRule.SEQUENTIAL:
        return sequential.account_close(s, h, account)
    if rule == EscrowRule.PROPORTIONAL:
        return proportional.account_close(s, h, account)
    return usage_accounts.account_close(s, h, account)


@compiled
def settle_forced(s: State, h: int, account: int) -> Status:
    """Settle and pay every payment, by governance: AccountClosed. The account may be overdrawn afterwards."""
    rule = s.globals.escrow
    if rule == EscrowRule.EXACT:
        return exact.settle_forced(s, h, account)
    if rule == EscrowRule.SEQUENTIAL:
        return sequential.settle_forced(s, h, account)
    if rule == EscrowRule.PROPORTIONAL:
        return proportional.settle_forced(s, h, account)
    return usage_accounts.settle_forced(s, h, account)


@compiled
def record_usage(s: State, h: int, lease: int, cpu: int, memory: int, storage: int, gpu: int) -> Status:
    """Record what the lease used since its last record, up to h: LeaseNotActive, UsageInvalid, AmountTooLarge (see `exact`)."""
    if s.globals.escrow == EscrowRule.USAGE:
        return usage_accounts.record_usage(s, h, lease, cpu, memory, storage, gpu)
    return exact.record_usage(s, h, lease, cpu, memory, storage, gpu)


@compiled
def live_funds(s: State, h: int, account: int) -> tuple[int, int]:
    """Return what a settlement at h would leave of the account's funds, a pair; negative = debt not found yet
    (protocol reference 3.11).

    Read only. Under the exact rule a negative amount is what the settlement would forgive; a closed account
    has nothing.
    """
    a = s.accounts[account]
    rule = s.globals.escrow
    if a.state != AccountState.OPEN:
        return a.funds, a.funds_atto
    if rule == EscrowRule.EXACT:
        whole, atto = exact.owed_by(s, h, account)
    elif rule == EscrowRule.SEQUENTIAL:
        whole, atto = sequential.accrued_by(s, h, account), 0
    elif rule == EscrowRule.USAGE:
        whole, atto = 0, 0
    else:
        blocks = proportional.blocks_paid(s, account, h - a.settled_at)
        whole, atto = 0, 0
        lease = a.first_lease
        while lease >= 0:
            p = s.leases[lease]
            if p.payment == PaymentState.OPEN:
                part = times(p.rate, p.rate_atto, blocks)
                whole, atto = add(whole, atto, part[0], part[1])
            lease = p.next
    return subtract(a.funds, a.funds_atto, whole, atto)


@compiled
def blocks_left(s: State, h: int, account: int) -> int:
    """Return how many more blocks the funds last: trunc(funds / sum of rates) from settled_at, less the
    blocks since; -1 without a payment, BLOCKS_MAX where nothing is owed by the block.

    Negative values below -1 do not occur: an account past its end has 0.
    """
    a = s.accounts[account]
    if a.open == 0:
        return -1
    if a.rates == 0 and a.rates_atto == 0:
        return BLOCKS_MAX
    covered = blocks_covered(a.funds, a.funds_atto, a.rates, a.rates_atto, BLOCKS_MAX)
    settled: int = a.settled_at
    return max(0, covered - (h - settled))


@compiled
def dry_at(s: State, account: int) -> int:
    """Return the first height at which a settlement could find the open account short; -1 when none could."""
    a = s.accounts[account]
    rule = s.globals.escrow
    if a.state != AccountState.OPEN or a.open == 0:
        return -1
    if rule == EscrowRule.EXACT:
        return exact.dry_at(s, account)
    if rule == EscrowRule.SEQUENTIAL:
        return sequential.dry_at(s, account)
    if rule == EscrowRule.USAGE:
        return -1
    settled: int = a.settled_at
    return settled + proportional.blocks_paid(s, account, BLOCKS_MAX) + 1
