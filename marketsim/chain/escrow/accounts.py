"""Escrow accounts under every rule: their deposits first in first out, their payments in key order,
collecting and refunding.

What an account owes its payments, and when, is the business of `exact`, `sequential` and `proportional`;
messages reach all of them through `escrow`.
"""

from __future__ import annotations

from marketsim.chain.columns import Account, AccountState, Deposit, EventKind, G, Grant, Lease, PaymentState, Source, Wallet
from marketsim.chain.events import book_income, emit
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
    row: int = g[G.FREE_ACCOUNT]
    if row >= 0:
        g[G.FREE_ACCOUNT] = s.accounts[row, Account.NEXT]
    else:
        row = g[G.ACCOUNTS]
        g[G.ACCOUNTS] = row + 1
    a = s.accounts[row]
    touched = a[Account.TOUCHED]
    for column in range(Account.SIZE):
        a[column] = 0
    a[Account.TOUCHED] = touched
    a[Account.OWNER] = owner
    a[Account.SCOPE] = scope
    a[Account.TARGET] = target
    a[Account.STATE] = AccountState.OPEN
    a[Account.CREATED_AT] = h
    a[Account.SETTLED_AT] = h
    a[Account.FIRST_DEPOSIT] = -1
    a[Account.LAST_DEPOSIT] = -1
    a[Account.FIRST_LEASE] = -1
    a[Account.DUE_AT] = -1
    a[Account.GRACE_AT] = -1
    a[Account.NEXT] = -1
    return row


@compiled_inline
def release_account(s: State, account: int) -> None:
    """Put the row of a closed account of a bid on the free list; does nothing while rows of ended bids are
    kept (G.KEEP_BIDS).
    """
    g = s.globals
    if g[G.KEEP_BIDS] == 0:
        s.accounts[account, Account.NEXT] = g[G.FREE_ACCOUNT]
        g[G.FREE_ACCOUNT] = account


# --- deposits -----------------------------------------------------------------------------------------------


@compiled
def _append_deposit(s: State, h: int, account: int, wallet: int, source: int, whole: int) -> None:
    g = s.globals
    row = g[G.FREE_DEPOSIT]
    if row >= 0:
        g[G.FREE_DEPOSIT] = s.deposits[row, Deposit.NEXT]
    else:
        row = g[G.DEPOSITS]
        g[G.DEPOSITS] = row + 1
    d = s.deposits[row]
    d[Deposit.DEPOSITOR] = wallet
    d[Deposit.SOURCE] = source
    d[Deposit.AMOUNT] = whole
    d[Deposit.AMOUNT_ATTO] = 0
    d[Deposit.NEXT] = -1
    d[Deposit.HEIGHT] = h
    a = s.accounts[account]
    last = a[Account.LAST_DEPOSIT]
    if last >= 0:
        s.deposits[last, Deposit.NEXT] = row
    else:
        a[Account.FIRST_DEPOSIT] = row
    a[Account.LAST_DEPOSIT] = row
    a[Account.FUNDS] += whole
    deposit_coins(s, wallet, whole)
    emit(s, EventKind.DEPOSITED, account, wallet, whole, 0, source)


@compiled
def _free_deposit(s: State, row: int) -> None:
    s.deposits[row, Deposit.AMOUNT] = 0
    s.deposits[row, Deposit.AMOUNT_ATTO] = 0
    s.deposits[row, Deposit.NEXT] = s.globals[G.FREE_DEPOSIT]
    s.globals[G.FREE_DEPOSIT] = row


@compiled
def _next_grant(s: State, grantee: int, scope: int, after_rank: int) -> int:
    # The grant to `grantee` for `scope` whose granter comes next in the order of names; -1 when there is
    # none.
    found = -1
    found_rank = 0
    for row in range(s.globals[G.GRANTS]):
        grant = s.grants[row]
        if grant[Grant.GRANTEE] == grantee and grant[Grant.SCOPES] & scope:
            rank = s.wallets[grant[Grant.GRANTER], Wallet.RANK]
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
            taken = min(s.wallets[signer, Wallet.BALANCE], missing)
            missing -= taken
        elif source == FROM_GRANT and not grants_used:
            grants_used = True
            row = _next_grant(s, signer, scope, -1)
            while row >= 0 and missing > 0:
                granter = s.grants[row, Grant.GRANTER]
                part = min(s.grants[row, Grant.LIMIT], missing)
                coins = s.wallets[granter, Wallet.BALANCE]
                if granter == signer:
                    coins -= taken
                if coins < part:
                    return Status.InsufficientFunds
                missing -= part
                row = _next_grant(s, signer, scope, s.wallets[granter, Wallet.RANK])
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
            part = min(s.wallets[signer, Wallet.BALANCE], missing)
            if part > 0:
                _append_deposit(s, h, account, signer, Source.BALANCE, part)
                missing -= part
        elif source == FROM_GRANT:
            row = _next_grant(s, signer, scope, -1)
            while row >= 0 and missing > 0:
                granter = s.grants[row, Grant.GRANTER]
                part = min(s.grants[row, Grant.LIMIT], missing)
                if part > 0:
                    s.grants[row, Grant.LIMIT] -= part
                    _append_deposit(s, h, account, granter, Source.GRANT, part)
                    missing -= part
                row = _next_grant(s, signer, scope, s.wallets[granter, Wallet.RANK])


@compiled
def consume(s: State, account: int, whole: int, atto: int) -> None:
    """Take an amount that is there from the account's deposits, first in first out; a record used up is
    gone.
    """
    a = s.accounts[account]
    row = a[Account.FIRST_DEPOSIT]
    while row >= 0:
        d = s.deposits[row]
        if is_less(whole, atto, d[Deposit.AMOUNT], d[Deposit.AMOUNT_ATTO]):
            subtract_from(d, Deposit.AMOUNT, whole, atto)
            break
        whole, atto = subtract(whole, atto, d[Deposit.AMOUNT], d[Deposit.AMOUNT_ATTO])
        following = d[Deposit.NEXT]
        _free_deposit(s, row)
        row = following
    a[Account.FIRST_DEPOSIT] = row
    if row < 0:
        a[Account.LAST_DEPOSIT] = -1


@compiled
def consume_from(s: State, account: int, source: int, whole: int, atto: int) -> tuple[int, int]:
    """Take up to an amount from the deposits of one source, first in first out; return what is still
    missing.
    """
    a = s.accounts[account]
    previous = -1
    row = a[Account.FIRST_DEPOSIT]
    while row >= 0 and (whole > 0 or atto > 0):
        d = s.deposits[row]
        following = d[Deposit.NEXT]
        if d[Deposit.SOURCE] != source:
            previous = row
        elif is_less(whole, atto, d[Deposit.AMOUNT], d[Deposit.AMOUNT_ATTO]):
            subtract_from(d, Deposit.AMOUNT, whole, atto)
            whole, atto = 0, 0
        else:
            whole, atto = subtract(whole, atto, d[Deposit.AMOUNT], d[Deposit.AMOUNT_ATTO])
            if previous >= 0:
                s.deposits[previous, Deposit.NEXT] = following
            else:
                a[Account.FIRST_DEPOSIT] = following
            if following < 0:
                a[Account.LAST_DEPOSIT] = previous
            _free_deposit(s, row)
        row = following
    return whole, atto


@compiled
def _raise_grant(s: State, granter: int, grantee: int, whole: int) -> None:
    for row in range(s.globals[G.GRANTS]):
        if s.grants[row, Grant.GRANTER] == granter and s.grants[row, Grant.GRANTEE] == grantee:
            s.grants[row, Grant.LIMIT] += whole


@compiled
def refund_deposits(s: State, account: int) -> None:
    """Give every deposit's whole uve back to its depositor, leave its fraction as dust, and empty the
    account's funds.

    Money of a grant raises the grant from its depositor to the account's owner, whoever had signed the
    deposit and whatever scope that grant has: a defect of both chains, kept (protocol reference 3.3).
    """
    a = s.accounts[account]
    row = a[Account.FIRST_DEPOSIT]
    while row >= 0:
        d = s.deposits[row]
        whole = d[Deposit.AMOUNT]
        depositor = d[Deposit.DEPOSITOR]
        if whole > 0:
            refund_coins(s, depositor, whole)
            if d[Deposit.SOURCE] == Source.GRANT:
                _raise_grant(s, depositor, a[Account.OWNER], whole)
            emit(s, EventKind.REFUNDED, account, depositor, whole, 0, d[Deposit.SOURCE])
        if d[Deposit.AMOUNT_ATTO] > 0:
            drop_to_dust(s, account, 0, d[Deposit.AMOUNT_ATTO])
        following = d[Deposit.NEXT]
        _free_deposit(s, row)
        row = following
    a[Account.FIRST_DEPOSIT] = -1
    a[Account.LAST_DEPOSIT] = -1
    a[Account.FUNDS] = 0
    a[Account.FUNDS_ATTO] = 0


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
    order = compare_decimals(x[Lease.GSEQ], y[Lease.GSEQ])
    if order == 0:
        order = compare_decimals(x[Lease.OSEQ], y[Lease.OSEQ])
    if order == 0:
        rank_a = s.wallets[x[Lease.PROVIDER], Wallet.RANK]
        rank_b = s.wallets[y[Lease.PROVIDER], Wallet.RANK]
        if rank_a != rank_b:
            order = -1 if rank_a < rank_b else 1
    return order


@compiled
def is_key_used(s: State, account: int, lease: int) -> bool:
    """Return whether the account ever had a payment with the key of `lease`."""
    row = s.accounts[account, Account.FIRST_LEASE]
    while row >= 0:
        if compare_keys(s, row, lease) == 0:
            return True
        row = s.leases[row, Lease.NEXT]
    return False


@compiled
def link_payment(s: State, account: int, lease: int) -> None:
    """Open the payment of `lease` in the account: zero balances, its place in key order, its rate in the sum
    of rates.
    """
    x = s.leases[lease]
    x[Lease.ACCOUNT] = account
    x[Lease.PAYMENT] = PaymentState.OPEN
    for column in range(Lease.BALANCE, Lease.CHARGED_ATTO + 1):
        x[column] = 0
    x[Lease.SHORTFALL] = 0
    x[Lease.SHORTFALL_ATTO] = 0
    a = s.accounts[account]
    previous = -1
    row = a[Account.FIRST_LEASE]
    while row >= 0 and compare_keys(s, row, lease) < 0:
        previous = row
        row = s.leases[row, Lease.NEXT]
    x[Lease.NEXT] = row
    if previous >= 0:
        s.leases[previous, Lease.NEXT] = lease
    else:
        a[Account.FIRST_LEASE] = lease
    a[Account.OPEN] += 1
    add_to(a, Account.RATES, x[Lease.RATE], x[Lease.RATE_ATTO])


@compiled
def leave_open(s: State, lease: int, state: int) -> None:
    """Take an open payment to another state, its rate out of the account's sum of rates and the counts in
    step.
    """
    x = s.leases[lease]
    a = s.accounts[x[Lease.ACCOUNT]]
    a[Account.OPEN] -= 1
    subtract_from(a, Account.RATES, x[Lease.RATE], x[Lease.RATE_ATTO])
    x[Lease.PAYMENT] = state
    if state == PaymentState.OVERDRAWN:
        a[Account.SHORT] += 1


@compiled
def leave_overdrawn(s: State, lease: int, state: int) -> None:
    """Take an overdrawn (under the exact rule: insufficient_funds) payment to another state, the counts in
    step.
    """
    x = s.leases[lease]
    a = s.accounts[x[Lease.ACCOUNT]]
    a[Account.SHORT] -= 1
    x[Lease.PAYMENT] = state
    if state == PaymentState.OPEN:
        a[Account.OPEN] += 1
        add_to(a, Account.RATES, x[Lease.RATE], x[Lease.RATE_ATTO])


@compiled
def pay(s: State, lease: int, cumulative: bool) -> None:
    """Pay the whole uve of the payment's balance to its provider; a fraction stays in the balance (protocol
    reference 3.6).

    The take fee is truncated on this pay-out, or, `cumulative`, once on all that was ever paid out (rules.md
    1).
    """
    x = s.leases[lease]
    gross = x[Lease.BALANCE]
    if gross <= 0:
        return
    take = s.globals[G.TAKE_PPM]
    fee = 0
    if take > 0:
        if cumulative:
            # A take that governance has lowered gives nothing back.
            fee = max(0, share_ppm(x[Lease.WITHDRAWN] + gross, take) - x[Lease.FEES])
        else:
            fee = share_ppm(gross, take)
    x[Lease.BALANCE] = 0
    x[Lease.WITHDRAWN] += gross
    x[Lease.FEES] += fee
    pay_coins(s, x[Lease.PROVIDER], gross, fee)
    emit(s, EventKind.PAID, lease, x[Lease.PROVIDER], gross - fee, 0, fee)
    book_income(s, x[Lease.SLOT], gross - fee, fee)


@compiled
def drop_fraction(s: State, lease: int) -> None:
    """Leave the fraction of an ended payment's balance as dust."""
    x = s.leases[lease]
    if x[Lease.BALANCE_ATTO] > 0:
        drop_to_dust(s, x[Lease.ACCOUNT], 0, x[Lease.BALANCE_ATTO])
        x[Lease.BALANCE_ATTO] = 0
