"""Escrow accounts under every rule: their deposits first in first out, their payments in key order,
collecting and refunding.

What an account owes its payments, and when, is the business of `exact`, `sequential` and `proportional`;
messages reach all of them through `escrow`.
"""

from __future__ import annotations

from marketsim.chain.columns import Account, AccountState, Deposit, DepositSource, EventKind, Lease, PaymentState
from marketsim.chain.events import book_income, emit, note
from marketsim.chain.ledger import deposit_coins, drop_to_dust, pay_coins, refund_coins, touch
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.money.pairs import add_to, is_less, share_ppm, subtract, subtract_from

FROM_BALANCE = 1
"""Base-4 digit of a `sources` number: the signer's wallet."""
FROM_GRANT = 2
"""Base-4 digit of a `sources` number: deposit authorizations given to the signer."""


# --- opening and releasing ----------------------------------------------------------------------------------


@compiled
def open_account(s: State, h: int, scope: int, target: int, owner: int) -> int:
    """Return the row of a new open account without funds, settled at h; from the free list when there is
    one.
    """
    g = s.globals
    row: int = g.free_account
    if row >= 0:
        g.free_account = s.accounts[row].next
    else:
        row = g.accounts
        g.accounts = row + 1
        s.accounts[row].touched = 0
    a = s.accounts[row]
    touched = a.touched
    for column in range(Account.width):
        a[column] = 0
    a.touched = touched
    a.owner = owner
    a.scope = scope
    a.target = target
    a.state = AccountState.OPEN
    a.created_at = h
    a.settled_at = h
    a.first_deposit = -1
    a.last_deposit = -1
    a.first_lease = -1
    a.due_at = -1
    a.grace_at = -1
    a.next = -1
    return row


@compiled_inline
def release_account(s: State, account: int) -> None:
    """Put the row of a closed account of a bid on the free list; does nothing while rows of ended bids are
    kept (G.keep_bids).
    """
    g = s.globals
    if g.keep_bids == 0:
        s.accounts[account].next = g.free_account
        g.free_account = account


# --- deposits -----------------------------------------------------------------------------------------------


@compiled
def _append_deposit(s: State, h: int, account: int, wallet: int, source: int, whole: int) -> None:
    g = s.globals
    row = g.free_deposit
    if row >= 0:
        g.free_deposit = s.deposits[row].next
    else:
        row = g.deposits
        g.deposits = row + 1
    d = s.deposits[row]
    d.depositor = wallet
    d.source = source
    d.amount = whole
    d.amount_atto = 0
    d.next = -1
    d.height = h
    a = s.accounts[account]
    last = a.last_deposit
    if last >= 0:
        s.deposits[last].next = row
    else:
        a.first_deposit = row
    a.last_deposit = row
    a.funds += whole
    deposit_coins(s, wallet, whole)
    emit(s, EventKind.DEPOSITED, account, wallet, whole, 0, source)


@compiled
def _free_deposit(s: State, row: int) -> None:
    d = s.deposits[row]
    d.amount = 0
    d.amount_atto = 0
    d.next = s.globals.free_deposit
    s.globals.free_deposit = row


@compiled
def _next_grant(s: State, grantee: int, scope: int, after_rank: int) -> int:
    # The grant to `grantee` for `scope` whose granter comes next in the order of names; -1 when there is
    # none.
    found = -1
    found_rank = 0
    for row in range(s.globals.grants):
        grant = s.grants[row]
        if grant.grantee == grantee and grant.scopes & scope:
            rank = s.wallets[grant.granter].rank
            if rank > after_rank and (found < 0 or rank < found_rank):
                found = row
                found_rank = rank
    return found


@compiled
def can_collect(s: State, signer: int, scope: int, amount: int, sources: int) -> Status:
    """Return what `collect` would answer, moving nothing: Ok, InvalidDeposit, or InsufficientFunds of a
    granter's wallet.

    A source listed twice gives nothing the second time: what is still missing after it means that it was used
    up.
    """
    missing = amount
    taken = 0
    balance_used, grants_used = False, False
    while sources > 0 and missing > 0:
        source = sources % 4
        sources //= 4
        if source == FROM_BALANCE and not balance_used:
            balance_used = True
            taken = min(s.wallets[signer].balance, missing)
            missing -= taken
        elif source == FROM_GRANT and not grants_used:
            grants_used = True
            row = _next_grant(s, signer, scope, -1)
            while row >= 0 and missing > 0:
                granter = s.grants[row].granter
                part = min(s.grants[row].limit, missing)
                coins = s.wallets[granter].balance
                if granter == signer:
                    coins -= taken
                if coins < part:
                    return Status.InsufficientFunds
                missing -= part
                row = _next_grant(s, signer, scope, s.wallets[granter].rank)
    return Status.Ok if missing == 0 else Status.InvalidDeposit


@compiled
def collect_checked(s: State, h: int, account: int, signer: int, scope: int, amount: int, sources: int) -> None:
    """Move the deposit into the account, one record a part, after `can_collect` said Ok (protocol reference
    3.3).
    """
    touch(s, account)
    missing = amount
    while missing > 0:
        source = sources % 4
        sources //= 4
        if source == FROM_BALANCE:
            part = min(s.wallets[signer].balance, missing)
            if part > 0:
                _append_deposit(s, h, account, signer, DepositSource.BALANCE, part)
                missing -= part
        elif source == FROM_GRANT:
            row = _next_grant(s, signer, scope, -1)
            while row >= 0 and missing > 0:
                granted = s.grants[row]
                granter = granted.granter
                part = min(granted.limit, missing)
                if part > 0:
                    granted.limit -= part
                    _append_deposit(s, h, account, granter, DepositSource.GRANT, part)
                    missing -= part
                row = _next_grant(s, signer, scope, s.wallets[granter].rank)


@compiled
def consume(s: State, account: int, whole: int, atto: int) -> None:
    """Take an amount that is there from the account's deposits, first in first out; a record used up is
    gone.
    """
    a = s.accounts[account]
    row = a.first_deposit
    while row >= 0:
        d = s.deposits[row]
        if is_less(whole, atto, d.amount, d.amount_atto):
            subtract_from(d, Deposit.amount, whole, atto)
            break
        whole, atto = subtract(whole, atto, d.amount, d.amount_atto)
        following = d.next
        _free_deposit(s, row)
        row = following
    a.first_deposit = row
    if row < 0:
        a.last_deposit = -1


@compiled
def consume_from(s: State, account: int, source: int, whole: int, atto: int) -> tuple[int, int]:
    """Take up to an amount from the deposits of one source, first in first out; return what is still
    missing.
    """
    a = s.accounts[account]
    previous = -1
    row = a.first_deposit
    while row >= 0 and (whole > 0 or atto > 0):
        d = s.deposits[row]
        following = d.next
        if d.source != source:
            previous = row
        elif is_less(whole, atto, d.amount, d.amount_atto):
            subtract_from(d, Deposit.amount, whole, atto)
            whole, atto = 0, 0
        else:
            whole, atto = subtract(whole, atto, d.amount, d.amount_atto)
            if previous >= 0:
                s.deposits[previous].next = following
            else:
                a.first_deposit = following
            if following < 0:
                a.last_deposit = previous
            _free_deposit(s, row)
        row = following
    return whole, atto


@compiled
def _raise_grant(s: State, granter: int, grantee: int, whole: int) -> None:
    for row in range(s.globals.grants):
        granted = s.grants[row]
        if granted.granter == granter and granted.grantee == grantee:
            granted.limit += whole


@compiled
def refund_deposits(s: State, account: int) -> None:
    """Give every deposit's whole uve back to its depositor, leave its fraction as dust, and empty the
    account's funds.

    Money of a grant raises the grant from its depositor to the account's owner, whoever had signed the
    deposit and whatever scope that grant has: a defect of both chains, kept (protocol reference 3.3).
    """
    a = s.accounts[account]
    row = a.first_deposit
    while row >= 0:
        d = s.deposits[row]
        whole = d.amount
        depositor = d.depositor
        if whole > 0:
            refund_coins(s, depositor, whole)
            if d.source == DepositSource.GRANT:
                _raise_grant(s, depositor, a.owner, whole)
            emit(s, EventKind.REFUNDED, account, depositor, whole, 0, d.source)
        if d.amount_atto > 0:
            drop_to_dust(s, account, 0, d.amount_atto)
        following = d.next
        _free_deposit(s, row)
        row = following
    a.first_deposit = -1
    a.last_deposit = -1
    a.funds = 0
    a.funds_atto = 0


# --- payments -----------------------------------------------------------------------------------------------


@compiled
def compare_decimals(a: int, b: int) -> int:
    """Return -1, 0 or 1 as the decimal string of a comes before, at or after that of b, with a `/` behind
    both (a, b >= 0).
    """
    if a == b:
        return 0
    low, high, swapped = a, b, False
    if a > b:
        low, high, swapped = b, a, True
    # Bring the longer number down to the length of the shorter one; a `/` sorts before every digit.
    head = high
    length = 10
    while length <= low:
        length *= 10
    while head >= length:
        head //= 10
    if low <= head:
        return 1 if swapped else -1
    return -1 if swapped else 1


@compiled
def compare_keys(s: State, a: int, b: int) -> int:
    """Return -1, 0 or 1 as the key `gseq/oseq/provider` of lease a comes before, at or after that of lease b
    as a string.
    """
    x, y = s.leases[a], s.leases[b]
    order = compare_decimals(x.gseq, y.gseq)
    if order == 0:
        order = compare_decimals(x.oseq, y.oseq)
    if order == 0:
        rank_a = s.wallets[x.provider].rank
        rank_b = s.wallets[y.provider].rank
        if rank_a != rank_b:
            order = -1 if rank_a < rank_b else 1
    return order


@compiled
def is_key_used(s: State, account: int, lease: int) -> bool:
    """Return whether the account ever had a payment with the key of `lease`."""
    row = s.accounts[account].first_lease
    while row >= 0:
        if compare_keys(s, row, lease) == 0:
            return True
        row = s.leases[row].next
    return False


@compiled
def link_payment(s: State, account: int, lease: int) -> None:
    """Open the payment of `lease` in the account: zero balances, its place in key order, its rate in the sum
    of rates.
    """
    p = s.leases[lease]
    p.account = account
    p.payment = PaymentState.OPEN
    for column in range(Lease.balance, Lease.charged_atto + 1):
        p[column] = 0
    p.shortfall = 0
    p.shortfall_atto = 0
    a = s.accounts[account]
    previous = -1
    row = a.first_lease
    while row >= 0 and compare_keys(s, row, lease) < 0:
        previous = row
        row = s.leases[row].next
    p.next = row
    if previous >= 0:
        s.leases[previous].next = lease
    else:
        a.first_lease = lease
    a.open += 1
    add_to(a, Account.rates, p.rate, p.rate_atto)


@compiled
def leave_open(s: State, lease: int, state: int) -> None:
    """Take an open payment to another state, its rate out of the account's sum of rates and the counts in
    step.
    """
    p = s.leases[lease]
    a = s.accounts[p.account]
    a.open -= 1
    subtract_from(a, Account.rates, p.rate, p.rate_atto)
    p.payment = state
    if state == PaymentState.OVERDRAWN:
        a.short += 1


@compiled
def leave_overdrawn(s: State, lease: int, state: int) -> None:
    """Take an overdrawn (under the exact rule: insufficient_funds) payment to another state, the counts in
    step.
    """
    p = s.leases[lease]
    a = s.accounts[p.account]
    a.short -= 1
    p.payment = state
    if state == PaymentState.OPEN:
        a.open += 1
        add_to(a, Account.rates, p.rate, p.rate_atto)


@compiled
def pay(s: State, lease: int, cumulative: bool) -> None:
    """Pay the whole uve of the payment's balance to its provider; a fraction stays in the balance (protocol
    reference 3.6).

    The take fee is truncated on this pay-out, or, `cumulative`, once on all that was ever paid out (rules.md
    1).
    """
    p = s.leases[lease]
    gross = p.balance
    if gross <= 0:
        return
    take = s.globals.take_ppm
    fee = 0
    if take > 0:
        if cumulative:
            # A take that governance has lowered gives nothing back.
            fee = max(0, share_ppm(p.withdrawn + gross, take) - p.fees)
        else:
            fee = share_ppm(gross, take)
    p.balance = 0
    p.withdrawn += gross
    p.fees += fee
    pay_coins(s, p.provider, gross, fee)
    if cumulative:  # when it is paid depends on who looks, what was paid in the end does not
        note(s, EventKind.PAID, lease, p.provider, gross - fee, 0, fee)
    else:
        emit(s, EventKind.PAID, lease, p.provider, gross - fee, 0, fee)
    book_income(s, p.slot, gross - fee, fee)


@compiled
def drop_fraction(s: State, lease: int) -> None:
    """Leave the fraction of an ended payment's balance as dust."""
    p = s.leases[lease]
    if p.balance_atto > 0:
        drop_to_dust(s, p.account, 0, p.balance_atto)
        p.balance_atto = 0
