"""Escrow as Akash kept it from 2021 to 2025: whole blocks first, what is left shared in proportion to the
rates, no debt.

Fractions stay in a payment's balance; money of grants is used before the owner's own; an overdrawn account is
final (protocol reference 3.9).
"""

from __future__ import annotations

from marketsim.chain.columns import Account, AccountState, DepositSource, EventKind, Lease, PaymentState
from marketsim.chain.escrow.accounts import consume_from, drop_fraction, is_key_used, leave_open, link_payment, pay, refund_deposits
from marketsim.chain.events import emit
from marketsim.chain.ledger import touch
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled
from marketsim.money.pairs import RATE_MAX, add_to, blocks_covered, is_less, subtract, times
from marketsim.money.wide import mul_div_half_even


@compiled
def blocks_paid(s: State, account: int, limit: int) -> int:
    """Return min(limit, trunc(funds / sum of rates)): the whole blocks that the account pays for from
    settled_at, limit <= 10^9.
    """
    a = s.accounts[account]
    if a.open == 0:
        return limit
    return blocks_covered(a.funds, a.funds_atto, a.rates, a.rates_atto, limit)


@compiled
def _credit(s: State, h: int, account: int, lease: int, whole: int, atto: int) -> None:
    a = s.accounts[account]
    p = s.leases[lease]
    if whole == 0 and atto == 0:
        return
    missing, missing_atto = consume_from(s, account, DepositSource.GRANT, whole, atto)
    consume_from(s, account, DepositSource.BALANCE, missing, missing_atto)
    a.funds, a.funds_atto = subtract(a.funds, a.funds_atto, whole, atto)
    add_to(a, Account.transferred, whole, atto)
    add_to(p, Lease.balance, whole, atto)
    add_to(p, Lease.charged, whole, atto)
    emit(s, EventKind.SETTLED, lease, h, whole, atto, 0)


@compiled
def _settle(s: State, h: int, account: int) -> bool:
    # Returns whether this settlement overdrew the account, whose payments are then overdrawn and paid.
    touch(s, account)
    a = s.accounts[account]
    delta = h - a.settled_at
    if delta == 0:
        return False
    full = blocks_paid(s, account, delta)
    a.settled_at = h
    if a.open == 0:
        return False
    lease = a.first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OPEN:
            whole, atto = times(p.rate, p.rate_atto, full)
            _credit(s, h, account, lease, whole, atto)
        lease = p.next
    if full == delta:
        return False
    _share_rest(s, h, account)
    return True


@compiled
def _share_rest(s: State, h: int, account: int) -> None:
    # Less than one block is left: each payment gets its part by rate, rounded half to even. Rounding up can
    # ask for a few 10^-18 more than there is, which upstream's coins reject; here the last ones get what is
    # left.
    a = s.accounts[account]
    rest, rest_atto = a.funds, a.funds_atto
    rates, rates_atto = a.rates, a.rates_atto
    a.state = AccountState.OVERDRAWN
    lease = a.first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OPEN:
            whole, atto = mul_div_half_even(s.scratch, rest, rest_atto, p.rate, p.rate_atto, rates, rates_atto)
            if is_less(a.funds, a.funds_atto, whole, atto):
                whole, atto = a.funds, a.funds_atto
            _credit(s, h, account, lease, whole, atto)
            leave_open(s, lease, PaymentState.OVERDRAWN)
            pay(s, lease, False)
            drop_fraction(s, lease)
        lease = p.next
    refund_deposits(s, account)


@compiled
def payment_open(s: State, h: int, account: int, lease: int) -> Status:
    """AccountClosed, AccountOverdrawn, PaymentRateZero, AmountTooLarge, PaymentExists; else settle and open
    the payment of `lease`.
    """
    a = s.accounts[account]
    p = s.leases[lease]
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    delta = h - a.settled_at
    if a.state == AccountState.OVERDRAWN or blocks_paid(s, account, delta) < delta:
        return Status.AccountOverdrawn
    if p.rate == 0 and p.rate_atto == 0:
        return Status.PaymentRateZero
    if a.rates + p.rate >= RATE_MAX:
        return Status.AmountTooLarge
    if is_key_used(s, account, lease):
        return Status.PaymentExists
    _settle(s, h, account)
    link_payment(s, account, lease)
    return Status.Ok


@compiled
def payment_withdraw(s: State, h: int, lease: int) -> Status:
    """PaymentClosed unless open; else settle and pay the whole part of this payment's balance, the fraction
    carried.
    """
    p = s.leases[lease]
    if p.payment != PaymentState.OPEN:
        return Status.PaymentClosed
    if not _settle(s, h, p.account):
        pay(s, lease, False)
    return Status.Ok


@compiled
def payment_close(s: State, h: int, lease: int) -> Status:
    """PaymentClosed unless open; else settle, close and pay this payment unless that overdrew the account."""
    p = s.leases[lease]
    if p.payment != PaymentState.OPEN:
        return Status.PaymentClosed
    if not _settle(s, h, p.account):
        leave_open(s, lease, PaymentState.CLOSED)
        pay(s, lease, False)
        drop_fraction(s, lease)
    return Status.Ok


@compiled
def account_close(s: State, h: int, account: int) -> Status:
    """AccountClosed unless open; else settle and, unless that overdrew it, close and pay every payment and
    refund the deposits.
    """
    a = s.accounts[account]
    if a.state != AccountState.OPEN:
        return Status.AccountClosed
    if _settle(s, h, account):
        return Status.Ok
    lease = a.first_lease
    while lease >= 0:
        if s.leases[lease].payment == PaymentState.OPEN:
            leave_open(s, lease, PaymentState.CLOSED)
            pay(s, lease, False)
            drop_fraction(s, lease)
        lease = s.leases[lease].next
    a.state = AccountState.CLOSED
    refund_deposits(s, account)
    return Status.Ok


@compiled
def settle_forced(s: State, h: int, account: int) -> Status:
    """AccountClosed unless open; else settle and pay every open payment."""
    a = s.accounts[account]
    if a.state != AccountState.OPEN:
        return Status.AccountClosed
    if not _settle(s, h, account):
        lease = a.first_lease
        while lease >= 0:
            if s.leases[lease].payment == PaymentState.OPEN:
                pay(s, lease, False)
            lease = s.leases[lease].next
    return Status.Ok
