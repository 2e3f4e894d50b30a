"""The double entry of the chain: the one place where coins change hands, with running totals that must always
agree.

Coins are whole uve in wallets; what the escrow wallet holds belongs to accounts (deposits), payments (earned,
not yet paid), dust or stranded coins. After every message, exactly:

    wallet[escrow] = HELD + DUST + STRANDED
    DEPOSITED      = HELD + PAID + FEES + REFUNDED + DUST + STRANDED

`deposit_coins`, `pay_coins` and `refund_coins` are the only callers of `move` inside escrow. The audit comes
in two strengths: `audit_touched` compares the accounts touched since the last call with the running totals,
in compiled code, cheap enough for every block; `recount_problems` computes everything again from the tables.
"""

from __future__ import annotations

import numpy as np

from marketsim.chain.columns import (
    ATTO,
    COMMUNITY_WALLET,
    ESCROW_WALLET,
    Account,
    AccountState,
    Deposit,
    EscrowRule,
    G,
    Lease,
    PaymentState,
    Scope,
    Wallet,
)
from marketsim.chain.compiled import compiled
from marketsim.chain.money import (
    Column,
    add,
    add_to,
    format_amount,
    from_pair,
    subtract,
    subtract_from,
    total_columns,
)
from marketsim.chain.state import State, Table

# --- moving coins -------------------------------------------------------------------------------------------


@compiled
def move(s: State, source: int, target: int, whole: int) -> None:
    """Move whole uve between two wallets; the caller has checked that the source has them."""
    s.wallets[source, Wallet.BALANCE] -= whole
    s.wallets[target, Wallet.BALANCE] += whole


@compiled
def deposit_coins(s: State, wallet: int, whole: int) -> None:
    """Wallet to escrow."""
    move(s, wallet, ESCROW_WALLET, whole)
    s.globals[G.DEPOSITED] += whole
    s.globals[G.HELD] += whole


@compiled
def pay_coins(s: State, wallet: int, gross: int, fee: int) -> None:
    """Escrow to a provider, the take fee to the community pool."""
    move(s, ESCROW_WALLET, wallet, gross - fee)
    s.globals[G.PAID] += gross - fee
    s.globals[G.HELD] -= gross
    if fee > 0:
        move(s, ESCROW_WALLET, COMMUNITY_WALLET, fee)
        s.globals[G.FEES] += fee


@compiled
def refund_coins(s: State, wallet: int, whole: int) -> None:
    """Escrow back to a depositor."""
    move(s, ESCROW_WALLET, wallet, whole)
    s.globals[G.REFUNDED] += whole
    s.globals[G.HELD] -= whole


@compiled
def drop_to_dust(s: State, account: int, whole: int, atto: int) -> None:
    """Leave a fraction behind for ever: from what is held to the dust of the account and of all."""
    subtract_from(s.globals, G.HELD + 0, whole, atto)
    add_to(s.globals, G.DUST + 0, whole, atto)
    add_to(s.accounts[account], Account.DUST + 0, whole, atto)


@compiled
def strand(s: State, whole: int, atto: int) -> None:
    """Book coins that a defect of the chain has lost inside the escrow module."""
    subtract_from(s.globals, G.HELD + 0, whole, atto)
    add_to(s.globals, G.STRANDED + 0, whole, atto)


# --- the audit after a block --------------------------------------------------------------------------------

AUDIT_FINE = 0
AUDIT_COINS = 1
AUDIT_FLOW = 2
AUDIT_HELD = 3
AUDIT_DEPOSITS = 4
AUDIT_RATES = 5
AUDIT_DEBT = 6
AUDIT_RANGE = 7

AUDIT_PROBLEMS = {
    AUDIT_COINS: "the escrow wallet holds other than deposits, unpaid balances, dust and stranded coins",
    AUDIT_FLOW: "deposited is not held + paid + fees + refunded + dust + stranded",
    AUDIT_HELD: "the touched accounts changed by other than the running total of what is held",
    AUDIT_DEPOSITS: "an account's funds are not the sum of its deposits",
    AUDIT_RATES: "an account's sum of rates or count of payments is not that of its payments",
    AUDIT_DEBT: "an account's debt is not what its payments are owed",
    AUDIT_RANGE: "an amount is no pair: its atto part lies outside 0..10^18-1, or its whole part is negative",
}
"""What each number of `audit_touched` and `audit_totals` means."""


@compiled
def touch(s: State, account: int) -> None:
    """Put the account on the audit's list of touched ones, once, while an audit is kept."""
    g = s.globals
    if g[G.AUDITING] != 0 and s.accounts[account, Account.TOUCHED] == 0:
        s.accounts[account, Account.TOUCHED] = g[G.TOUCHED] if g[G.TOUCHED] > 0 else -1
        g[G.TOUCHED] = account + 1


@compiled
def audit_totals(s: State) -> int:
    """Return AUDIT_FINE when both identities of this module hold, else which one is broken."""
    g = s.globals
    rest = add(g[G.HELD], g[G.HELD_ATTO], g[G.DUST], g[G.DUST_ATTO])
    inside = add(rest[0], rest[1], g[G.STRANDED], g[G.STRANDED_ATTO])
    if inside[0] != s.wallets[ESCROW_WALLET, Wallet.BALANCE] or inside[1] != 0:
        return AUDIT_COINS
    if g[G.DEPOSITED] != inside[0] + g[G.PAID] + g[G.FEES] + g[G.REFUNDED]:
        return AUDIT_FLOW
    return AUDIT_FINE


@compiled
def account_value(s: State, account: int) -> tuple[int, int]:
    """Return what the account holds: its deposits and, while it is not closed, the unpaid balances of its
    payments.
    """
    a = s.accounts[account]
    whole, atto = 0, 0
    row = a[Account.FIRST_DEPOSIT]
    while row >= 0:
        whole, atto = add(whole, atto, s.deposits[row, Deposit.AMOUNT], s.deposits[row, Deposit.AMOUNT_ATTO])
        row = s.deposits[row, Deposit.NEXT]
    if a[Account.STATE] == AccountState.CLOSED:
        return whole, atto
    lease = a[Account.FIRST_LEASE]
    while lease >= 0:
        whole, atto = add(whole, atto, s.leases[lease, Lease.BALANCE], s.leases[lease, Lease.BALANCE_ATTO])
        lease = s.leases[lease, Lease.NEXT]
    return whole, atto


@compiled
def account_problem(s: State, account: int) -> int:
    """Return AUDIT_FINE when the columns of the account agree with its deposits and payments, else what does
    not.
    """
    a = s.accounts[account]
    if not 0 <= a[Account.FUNDS_ATTO] < ATTO or not 0 <= a[Account.TRANSFERRED_ATTO] < ATTO:
        return AUDIT_RANGE
    whole, atto = 0, 0
    row = a[Account.FIRST_DEPOSIT]
    while row >= 0:
        d = s.deposits[row]
        if d[Deposit.AMOUNT] < 0 or not 0 <= d[Deposit.AMOUNT_ATTO] < ATTO:
            return AUDIT_RANGE
        whole, atto = add(whole, atto, d[Deposit.AMOUNT], d[Deposit.AMOUNT_ATTO])
        row = d[Deposit.NEXT]
    in_debt = a[Account.FUNDS] < 0
    if in_debt:
        if whole != 0 or atto != 0:
            return AUDIT_DEPOSITS
    elif whole != a[Account.FUNDS] or atto != a[Account.FUNDS_ATTO]:
        return AUDIT_DEPOSITS
    rates, rates_atto, debt, debt_atto = 0, 0, 0, 0
    open_payments, short_payments = 0, 0
    lease = a[Account.FIRST_LEASE]
    while lease >= 0:
        x = s.leases[lease]
        if x[Lease.BALANCE] < 0 or not 0 <= x[Lease.BALANCE_ATTO] < ATTO:
            return AUDIT_RANGE
        if x[Lease.PAYMENT] == PaymentState.OPEN:
            open_payments += 1
            rates, rates_atto = add(rates, rates_atto, x[Lease.RATE], x[Lease.RATE_ATTO])
        elif x[Lease.PAYMENT] == PaymentState.OVERDRAWN:
            short_payments += 1
            debt, debt_atto = add(debt, debt_atto, x[Lease.UNSETTLED], x[Lease.UNSETTLED_ATTO])
        lease = x[Lease.NEXT]
    if rates != a[Account.RATES] or rates_atto != a[Account.RATES_ATTO]:
        return AUDIT_RATES
    if open_payments != a[Account.OPEN] or short_payments != a[Account.SHORT]:
        return AUDIT_RATES
    if s.globals[G.ESCROW] == EscrowRule.SEQUENTIAL and in_debt:
        owed = add(debt, debt_atto, a[Account.FUNDS], a[Account.FUNDS_ATTO])
        if owed[0] != 0 or owed[1] != 0:
            return AUDIT_DEBT
    return AUDIT_FINE


@compiled
def first_problem(s: State, start: int) -> int:
    """Return the first account from row `start` on whose columns disagree; -1 when there is none.

    Rows on the free list (closed accounts of bids) are passed over.
    """
    for row in range(start, s.globals[G.ACCOUNTS]):
        a = s.accounts[row]
        if a[Account.STATE] != AccountState.CLOSED or a[Account.SCOPE] == Scope.DEPLOYMENT:
            if account_problem(s, row) != AUDIT_FINE:
                return row
    return -1


@compiled
def audit_touched(s: State, values: Table, held: Table) -> int:
    """Audit the accounts touched since the last call; return AUDIT_FINE or the first problem.

    `values` of shape (accounts, 2) keeps what each account held at the last audit, `held` of shape (2,) their
    sum: both zero before the first message, both brought up to date here. Needs G.AUDITING = 1 from then on,
    and `values` as long as the accounts' table.
    """
    g = s.globals
    problem = audit_totals(s)
    row = g[G.TOUCHED] - 1
    g[G.TOUCHED] = 0
    while row >= 0:
        following = s.accounts[row, Account.TOUCHED]
        s.accounts[row, Account.TOUCHED] = 0
        if problem == AUDIT_FINE:
            problem = account_problem(s, row)
        now = account_value(s, row)
        change = subtract(now[0], now[1], values[row, 0], values[row, 1])
        held[0], held[1] = add(held[0], held[1], change[0], change[1])
        values[row, 0], values[row, 1] = now
        row = following - 1 if following > 0 else -1
    if problem == AUDIT_FINE and (held[0] != g[G.HELD] or held[1] != g[G.HELD_ATTO]):
        problem = AUDIT_HELD
    return problem


# --- the full recount ---------------------------------------------------------------------------------------


def recount(state: State) -> dict[str, int]:
    """Compute the ledger's totals again from the tables alone, as Python integers in atto.

    Keys: `supply` (all wallets), `escrow` (the module's wallet), `held`, `dust`, `paid`, `fees`, `shortfall`,
    `debt`, and `lost`: what the wallet holds beyond deposits, balances and dust, which is what defects have
    stranded.
    """
    g = state.globals
    wallets = state.wallets[: g[G.WALLETS], Wallet.BALANCE]
    leases = state.leases[: g[G.LEASES]]
    accounts = state.accounts[: g[G.ACCOUNTS]]
    deposits = state.deposits[: g[G.DEPOSITS]]
    supply = total_columns(wallets, np.zeros_like(wallets))
    escrow = int(state.wallets[ESCROW_WALLET, Wallet.BALANCE]) * ATTO
    paying = leases[:, Lease.PAYMENT] != 0
    rows = leases[paying]
    alive = rows[accounts[rows[:, Lease.ACCOUNT], Account.STATE] != AccountState.CLOSED]
    held = total_columns(alive[:, Lease.BALANCE], alive[:, Lease.BALANCE_ATTO])
    held += total_columns(deposits[:, Deposit.AMOUNT], deposits[:, Deposit.AMOUNT_ATTO])
    dust = total_columns(accounts[:, Account.DUST], accounts[:, Account.DUST_ATTO])
    none = np.zeros(len(rows), np.int64)
    return {
        "supply": supply,
        "escrow": escrow,
        "held": held,
        "dust": dust,
        "paid": total_columns(rows[:, Lease.WITHDRAWN] - rows[:, Lease.FEES], none),
        "fees": total_columns(rows[:, Lease.FEES], none),
        "shortfall": total_columns(accounts[:, Account.SHORTFALL], accounts[:, Account.SHORTFALL_ATTO]),
        "debt": total_columns(rows[:, Lease.UNSETTLED], rows[:, Lease.UNSETTLED_ATTO]),
        "lost": escrow - held - dust,
    }


def totals(state: State) -> dict[str, int]:
    """Return the ledger's running totals as Python integers in atto, by the names of `recount` and of
    `summary.json`.
    """
    g = state.globals
    whole = {
        "deposited": G.DEPOSITED,
        "paid": G.PAID,
        "fees": G.FEES,
        "refunded": G.REFUNDED,
        "supply": G.SUPPLY,
    }
    pairs = {"held": G.HELD, "dust": G.DUST, "stranded": G.STRANDED, "shortfall": G.SHORTFALL, "debt": G.DEBT}
    found = {name: int(g[column]) * ATTO for name, column in whole.items()}
    found.update({name: from_pair(g[column], g[column + 1]) for name, column in pairs.items()})
    return found


def recount_problems(state: State) -> list[str]:
    """Return one sentence for every total that a full recount contradicts; an empty list when the ledger is
    sound.

    Checks the identities, every total, every account's own columns and, where G.SUPPLY is set, that no coin
    was made or lost.
    """
    problems = []
    running, counted = totals(state), recount(state)
    broken = int(audit_totals(state))
    if broken != AUDIT_FINE:
        problems.append(AUDIT_PROBLEMS[broken])
    expected = {
        "held": running["held"],
        "dust": running["dust"],
        "paid": running["paid"],
        "fees": running["fees"],
        "shortfall": running["shortfall"],
        "debt": running["debt"],
        "lost": running["stranded"],
    }
    if running["supply"]:
        expected["supply"] = running["supply"]
    for name, amount in expected.items():
        if counted[name] != amount:
            found = format_amount(counted[name])
            problems.append(f"{name}: the running total is {format_amount(amount)} uve, the tables hold {found} uve")
    if bool(np.any(state.wallets[: state.globals[G.WALLETS], Wallet.BALANCE] < 0)):
        problems.append("a wallet is below zero")
    row = int(first_problem(state, 0))
    while row >= 0:
        problems.append(f"account {row}: {AUDIT_PROBLEMS[int(account_problem(state, row))]}")
        row = int(first_problem(state, row + 1))
    return problems


def balances(state: State) -> Column:
    """Return a copy of all wallets' coins, whole uve, shape (wallets,)."""
    return state.wallets[: state.globals[G.WALLETS], Wallet.BALANCE].copy()
