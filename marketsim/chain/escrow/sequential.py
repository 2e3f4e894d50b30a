"""Escrow as both chains keep it since 2025: truncated at each settlement, served in key order, the missing
part recorded as debt.

Nothing settles by itself: only opening, withdrawing and closing a payment, closing the account and a deposit
into an overdrawn account do, so an overdraft is found late. Amounts are whole uve throughout, because what is
owed is truncated (protocol reference 3.4-3.8).
"""

from __future__ import annotations

from marketsim.chain.columns import AccountState, EventKind, PaymentState, Quirk
from marketsim.chain.escrow.accounts import consume, is_key_used, leave_open, leave_overdrawn, link_payment, pay, refund_deposits
from marketsim.chain.events import emit
from marketsim.chain.ledger import strand, touch
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled
from marketsim.money.pairs import BLOCKS_MAX, RATE_MAX, times


@compiled
def _selects_open(s: State, delta: int) -> bool:
    # Upstream passes over open payments when no block has gone by since the last settlement (defects E1-E3).
    return delta != 0 or s.globals.quirks & Quirk.SETTLE_SAME_HEIGHT == 0


@compiled
def accrued(s: State, lease: int, delta: int) -> int:
    """Return what an open payment accrues in delta blocks: trunc(rate x delta), whole uve."""
    whole, _ = times(s.leases[lease].rate, s.leases[lease].rate_atto, delta)
    return whole


@compiled
def accrued_by(s: State, h: int, account: int) -> int:
    """Return what all open payments of the account have accrued since it was settled, whole uve."""
    delta = h - s.accounts[account].settled_at
    total = 0
    lease = s.accounts[account].first_lease
    while lease >= 0:
        if s.leases[lease].payment == PaymentState.OPEN:
            total += accrued(s, lease, delta)
        lease = s.leases[lease].next
    return total


@compiled
def _serve(s: State, h: int, account: int, lease: int, amount: int, credited: bool) -> int:
    # Take what is owed to one payment from the deposits; return what is missing. `funds` falls by all that is
    # owed.
    a = s.accounts[account]
    paid: int = min(amount, max(0, a.funds))
    a.funds -= amount
    if paid > 0:
        consume(s, account, paid, 0)
        a.transferred += paid
        if credited:
            s.leases[lease].balance += paid
            emit(s, EventKind.SETTLED, lease, h, paid, 0, amount - paid)
        else:
            strand(s, paid, 0)
    missing = amount - paid
    if missing > 0:
        s.leases[lease].unsettled += missing
        s.globals.debt += missing
    return missing


@compiled
def _settle(s: State, h: int, account: int, credited: bool) -> bool:
    # Protocol reference 3.5; returns whether the account is overdrawn afterwards. The caller has refused a
    # closed account.
    a = s.accounts[account]
    if a.funds < 0:
        return True
    touch(s, account)
    delta = h - a.settled_at
    if a.state == AccountState.OPEN:
        a.settled_at = h
    short = False
    if a.short > 0:
        lease = a.first_lease
        while lease >= 0:
            p = s.leases[lease]
            if p.payment == PaymentState.OVERDRAWN:
                debt = p.unsettled
                p.unsettled = 0
                s.globals.debt -= debt
                short = _serve(s, h, account, lease, debt, credited) > 0 or short
            lease = p.next
    if a.open > 0:
        # In no time nothing accrues, so it does not matter that upstream would pass over them.
        lease = a.first_lease
        while lease >= 0:
            p = s.leases[lease]
            if p.payment == PaymentState.OPEN:
                short = _serve(s, h, account, lease, accrued(s, lease, delta), credited) > 0 or short
            lease = p.next
    if short:
        _overdraw(s, account)
    return short


@compiled
def _overdraw(s: State, account: int) -> None:
    # Everyone whom the settlement touched is overdrawn and paid now, those in full as well.
    a = s.accounts[account]
    a.state = AccountState.OVERDRAWN
    lease = a.first_lease
    while lease >= 0:
        state = s.leases[lease].payment
        if state == PaymentState.OPEN:
            leave_open(s, lease, PaymentState.OVERDRAWN)
            pay(s, lease, False)
        elif state == PaymentState.OVERDRAWN:
            pay(s, lease, False)
        lease = s.leases[lease].next


@compiled
def _close(s: State, account: int) -> None:
    # The account is closed and what is left of its deposits goes back.
    a = s.accounts[account]
    a.state = AccountState.CLOSED
    lease = a.first_lease
    while lease >= 0:
        p = s.leases[lease]
        # Balances that nobody can withdraw any more (defect E3).
        if p.balance > 0:
            strand(s, p.balance, p.balance_atto)
        lease = p.next
    refund_deposits(s, account)


@compiled
def deposited(s: State, h: int, account: int) -> None:
    """Follow up a deposit into an overdrawn account: pay recorded debts; when none is left, payments and
    account close, the rest is refunded.
    """
    a = s.accounts[account]
    if a.state != AccountState.OVERDRAWN:
        return
    if _settle(s, h, account, True):
        return
    lease = a.first_lease
    while lease >= 0:
        if s.leases[lease].payment == PaymentState.OVERDRAWN:
            leave_overdrawn(s, lease, PaymentState.CLOSED)
            pay(s, lease, False)
        lease = s.leases[lease].next
    _close(s, account)


@compiled
def payment_open(s: State, h: int, account: int, lease: int) -> Status:
    """AccountClosed, AccountOverdrawn, PaymentRateZero, AmountTooLarge, PaymentExists; else settle and open
    the payment of `lease`.

    With quirk payment_create_loses what the settlement takes for the other payments reaches nobody (defect
    E4).
    """
    a = s.accounts[account]
    p = s.leases[lease]
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    if a.state == AccountState.OVERDRAWN or a.funds < accrued_by(s, h, account):
        return Status.AccountOverdrawn
    if p.rate == 0 and p.rate_atto == 0:
        return Status.PaymentRateZero
    if a.rates + p.rate >= RATE_MAX:
        return Status.AmountTooLarge
    if is_key_used(s, account, lease):
        return Status.PaymentExists
    _settle(s, h, account, s.globals.quirks & Quirk.PAYMENT_CREATE_LOSES == 0)
    link_payment(s, account, lease)
    return Status.Ok


@compiled
def payment_withdraw(s: State, h: int, lease: int) -> Status:
    """PaymentClosed unless open; AccountClosed and Panic with quirks only; else settle, and pay this payment
    unless that overdrew the account.
    """
    p = s.leases[lease]
    account = p.account
    a = s.accounts[account]
    if p.payment != PaymentState.OPEN:
        return Status.PaymentClosed
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    if a.state == AccountState.OPEN and not _selects_open(s, h - a.settled_at):
        return Status.Panic
    if not _settle(s, h, account, True):
        pay(s, lease, False)
    return Status.Ok


@compiled
def payment_close(s: State, h: int, lease: int) -> Status:
    """PaymentClosed; AccountClosed with quirks only; else settle, close and pay this payment.

    An overdrawn payment stays as it is, without error; a settlement that overdraws the account leaves the
    target overdrawn. With quirk settle_same_height a payment settled in this block stays open (defect E2).
    """
    p = s.leases[lease]
    account = p.account
    a = s.accounts[account]
    if p.payment == PaymentState.CLOSED:
        return Status.PaymentClosed
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    selected = _selects_open(s, h - a.settled_at)
    if _settle(s, h, account, True) or not selected:
        return Status.Ok
    if p.payment == PaymentState.OPEN:
        leave_open(s, lease, PaymentState.CLOSED)
        pay(s, lease, False)
    return Status.Ok


@compiled
def account_close(s: State, h: int, account: int) -> Status:
    """AccountClosed; nothing on an overdrawn account, without error; else settle, close and pay every
    payment, refund the deposits.

    With quirk settle_same_height an account settled in this block closes over its open payments (defect E3).
    """
    a = s.accounts[account]
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    selected = _selects_open(s, h - a.settled_at)
    if _settle(s, h, account, True):
        return Status.Ok
    if selected:
        lease = a.first_lease
        while lease >= 0:
            if s.leases[lease].payment == PaymentState.OPEN:
                leave_open(s, lease, PaymentState.CLOSED)
                pay(s, lease, False)
            lease = s.leases[lease].next
    _close(s, account)
    return Status.Ok


@compiled
def settle_forced(s: State, h: int, account: int) -> Status:
    """AccountClosed; else settle and pay every open payment; an account in debt stays as it is."""
    a = s.accounts[account]
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    if not _settle(s, h, account, True):
        lease = a.first_lease
        while lease >= 0:
            if s.leases[lease].payment == PaymentState.OPEN:
                pay(s, lease, False)
            lease = s.leases[lease].next
    return Status.Ok


@compiled
def dry_at(s: State, account: int) -> int:
    """Return the first height at which a settlement would overdraw an open account with an open payment; -1
    when none within BLOCKS_MAX blocks would.

    The smallest span for which the sum of trunc(rate x span) exceeds the funds (protocol reference 3.11), by
    halving.
    """
    a = s.accounts[account]
    settled: int = a.settled_at
    low, high = 1, 1
    while accrued_by(s, settled + high, account) <= a.funds:
        if high == BLOCKS_MAX:
            return -1
        low = high + 1
        high = min(2 * high, BLOCKS_MAX)
    while low < high:
        middle = (low + high) // 2
        if accrued_by(s, settled + middle, account) > a.funds:
            high = middle
        else:
            low = middle + 1
    return settled + low
