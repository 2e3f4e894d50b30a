"""The double entry of the chain: the one place where coins change hands, with running totals that must always
agree.

Coins are whole uve in wallets; what the escrow wallet holds belongs to accounts (deposits), payments (earned,
not yet paid), dust or stranded coins. After every message, exactly:

    wallet[escrow] = HELD + DUST + STRANDED
    DEPOSITED      = HELD + PAID + FEES + REFUNDED + DUST + STRANDED

`deposit_coins`, `pay_coins` and `refund_coins` are the only callers of `move` inside escrow. The audit comes in three strengths, all
in compiled code. `audit_touched`, after every block, holds both identities and the accounts touched since the last call against the
running totals; every so many blocks it also goes through all wallets and all accounts that hold something (`sweep_problem`).
`recount_problems` computes everything again from the tables, closed rows included. How often the two larger ones come grows with the
tables, so that the audit of a block costs the same in a short run and in a long one.
"""

from __future__ import annotations

import numpy as np

from marketsim.chain.columns import (
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
    UsageEscrow,
    Wallet,
)
from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled
from marketsim.kernel.table_set import Table
from marketsim.money.pairs import Column, add, add_to, from_pair, subtract, subtract_from
from marketsim.money.text import format_amount
from marketsim.money.units import ATTO

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
def pay_split(s: State, wallet: int, provider: int, platform: int, validators: int) -> None:
    """Escrow to a provider, the two fees of a usage escrow's settlement to the settlement module, where they stay."""
    fees = platform + validators
    move(s, ESCROW_WALLET, wallet, provider)
    move(s, ESCROW_WALLET, s.globals[G.SETTLEMENT_WALLET], fees)
    s.globals[G.PAID] += provider
    s.globals[G.FEES] += fees
    s.globals[G.PLATFORM_FEES] += platform
    s.globals[G.VALIDATOR_FEES] += validators
    s.globals[G.HELD] -= provider + fees


@compiled
def refund_coins(s: State, wallet: int, whole: int) -> None:
    """Escrow back to a depositor."""
    move(s, ESCROW_WALLET, wallet, whole)
    s.globals[G.REFUNDED] += whole
    s.globals[G.HELD] -= whole


@compiled
def drop_to_dust(s: State, account: int, whole: int, atto: int) -> None:
    """Leave a fraction behind for ever: from what is held to the dust of the account and of all."""
    subtract_from(s.globals, G.HELD, whole, atto)
    add_to(s.globals, G.DUST, whole, atto)
    add_to(s.accounts[account], Account.DUST, whole, atto)


@compiled
def strand(s: State, whole: int, atto: int) -> None:
    """Book coins that a defect of the chain has lost inside the escrow module."""
    subtract_from(s.globals, G.HELD, whole, atto)
    add_to(s.globals, G.STRANDED, whole, atto)


# --- the audit after a block --------------------------------------------------------------------------------

AUDIT_FINE = 0
AUDIT_COINS = 1
AUDIT_FLOW = 2
AUDIT_HELD = 3
AUDIT_DEPOSITS = 4
AUDIT_RATES = 5
AUDIT_DEBT = 6
AUDIT_RANGE = 7
AUDIT_SUPPLY = 8
AUDIT_BELOW = 9
AUDIT_LIVE = 10
AUDIT_SET_ASIDE = 11
AUDIT_SPLIT = 12

AUDIT_PROBLEMS = {
    AUDIT_COINS: "the escrow wallet holds other than deposits, unpaid balances, dust and stranded coins",
    AUDIT_FLOW: "deposited is not held + paid + fees + refunded + dust + stranded",
    AUDIT_HELD: "the touched accounts changed by other than the running total of what is held",
    AUDIT_DEPOSITS: "an account's funds are not the sum of its deposits",
    AUDIT_RATES: "an account's sum of rates or count of payments is not that of its payments",
    AUDIT_DEBT: "an account's debt is not what its payments are owed",
    AUDIT_RANGE: "an amount is no pair: its atto part lies outside 0..10^18-1, or its whole part is negative",
    AUDIT_SUPPLY: "the wallets together hold other than was ever created",
    AUDIT_BELOW: "a wallet is below zero",
    AUDIT_LIVE: "the accounts together hold other than the running total of what is held",
    AUDIT_SET_ASIDE: "an account's usage escrows hold more than its funds",
    AUDIT_SPLIT: "the settlement module holds other than the platform's and the validators' parts",
}
"""What each number of `audit_touched` and `audit_totals` means."""

SWEEP_ROWS = 64
"""Wallets and accounts that a sweep looks at, by each block audited since the last one."""
RECOUNT_ROWS = 8
"""Accounts and leases that a full recount looks at, by each block audited since the last one."""
RECOUNT_EVERY = 1_000
"""Audited blocks between two full recounts, at least."""


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
    if g[G.SETTLEMENT_WALLET] > 0:
        split = g[G.PLATFORM_FEES] + g[G.VALIDATOR_FEES]
        if s.wallets[g[G.SETTLEMENT_WALLET], Wallet.BALANCE] != split or split != g[G.FEES]:
            return AUDIT_SPLIT
    return AUDIT_FINE


@compiled
def inspect_account(s: State, account: int) -> tuple[int, int, int]:
    """Return AUDIT_FINE when the columns of the account agree with its deposits and payments, else what does not; and what it holds:
    its deposits and, while it is not closed, the unpaid balances of its payments.
    """
    a = s.accounts[account]
    problem = AUDIT_FINE
    if not 0 <= a[Account.FUNDS_ATTO] < ATTO or not 0 <= a[Account.TRANSFERRED_ATTO] < ATTO:
        problem = AUDIT_RANGE
    whole, atto = 0, 0
    row = a[Account.FIRST_DEPOSIT]
    while row >= 0:
        d = s.deposits[row]
        if d[Deposit.AMOUNT] < 0 or not 0 <= d[Deposit.AMOUNT_ATTO] < ATTO:
            problem = AUDIT_RANGE
        whole, atto = add(whole, atto, d[Deposit.AMOUNT], d[Deposit.AMOUNT_ATTO])
        row = d[Deposit.NEXT]
    in_debt = a[Account.FUNDS] < 0
    if problem == AUDIT_FINE:
        if in_debt:
            if whole != 0 or atto != 0:
                problem = AUDIT_DEPOSITS
        elif whole != a[Account.FUNDS] or atto != a[Account.FUNDS_ATTO]:
            problem = AUDIT_DEPOSITS
    rates, rates_atto, debt, debt_atto = 0, 0, 0, 0
    open_payments, short_payments, aside = 0, 0, 0
    closed = a[Account.STATE] == AccountState.CLOSED
    by_block = s.globals[G.ESCROW] != EscrowRule.USAGE
    lease = a[Account.FIRST_LEASE]
    while lease >= 0:
        x = s.leases[lease]
        if problem == AUDIT_FINE and (x[Lease.BALANCE] < 0 or not 0 <= x[Lease.BALANCE_ATTO] < ATTO):
            problem = AUDIT_RANGE
        if not closed:
            whole, atto = add(whole, atto, x[Lease.BALANCE], x[Lease.BALANCE_ATTO])
        if x[Lease.PAYMENT] == PaymentState.OPEN:
            open_payments += 1
            if by_block:
                rates, rates_atto = add(rates, rates_atto, x[Lease.RATE], x[Lease.RATE_ATTO])
            else:
                aside += s.usage_escrows[x[Lease.USAGE], UsageEscrow.BALANCE]
        elif x[Lease.PAYMENT] == PaymentState.OVERDRAWN:
            short_payments += 1
            debt, debt_atto = add(debt, debt_atto, x[Lease.UNSETTLED], x[Lease.UNSETTLED_ATTO])
        lease = x[Lease.NEXT]
    if problem == AUDIT_FINE:
        rates_agree = rates == a[Account.RATES] and rates_atto == a[Account.RATES_ATTO]
        if not rates_agree or open_payments != a[Account.OPEN] or short_payments != a[Account.SHORT]:
            problem = AUDIT_RATES
        elif s.globals[G.ESCROW] == EscrowRule.SEQUENTIAL and in_debt:
            owed = add(debt, debt_atto, a[Account.FUNDS], a[Account.FUNDS_ATTO])
            if owed[0] != 0 or owed[1] != 0:
                problem = AUDIT_DEBT
        elif not by_block and aside > a[Account.FUNDS]:
            problem = AUDIT_SET_ASIDE
    return problem, whole, atto


@compiled
def account_problem(s: State, account: int) -> int:
    """Return AUDIT_FINE when the columns of the account agree with its deposits and payments, else what does not."""
    return inspect_account(s, account)[0]


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
def sweep_problem(s: State) -> int:
    """Return AUDIT_FINE when all wallets together hold the supply and all accounts that hold something, or are open, agree with their
    columns and together with what is held; else what does not.
    """
    g = s.globals
    coins = 0
    for row in range(g[G.WALLETS]):
        balance = s.wallets[row, Wallet.BALANCE]
        if balance < 0:
            return AUDIT_BELOW
        coins += balance
    if g[G.SUPPLY] != 0 and coins != g[G.SUPPLY]:
        return AUDIT_SUPPLY
    whole, atto = 0, 0
    for row in range(g[G.ACCOUNTS]):
        a = s.accounts[row]
        if a[Account.STATE] != AccountState.CLOSED or a[Account.FIRST_DEPOSIT] >= 0:
            problem, value, value_atto = inspect_account(s, row)
            if problem != AUDIT_FINE:
                return problem
            whole, atto = add(whole, atto, value, value_atto)
    if whole != g[G.HELD] or atto != g[G.HELD_ATTO]:
        return AUDIT_LIVE
    return AUDIT_FINE


@compiled
def audit_touched(s: State, values: Table, held: Table) -> int:
    """Audit the accounts touched since the last call, and now and then all of them; return AUDIT_FINE or the first problem.

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
        found, whole, atto = inspect_account(s, row)
        if problem == AUDIT_FINE:
            problem = found
        change = subtract(whole, atto, values[row, 0], values[row, 1])
        held[0], held[1] = add(held[0], held[1], change[0], change[1])
        values[row, 0], values[row, 1] = whole, atto
        row = following - 1 if following > 0 else -1
    if problem == AUDIT_FINE and (held[0] != g[G.HELD] or held[1] != g[G.HELD_ATTO]):
        problem = AUDIT_HELD
    g[G.AUDITS] += 1
    if problem == AUDIT_FINE and g[G.AUDITS] % (1 + (g[G.WALLETS] + g[G.ACCOUNTS]) // SWEEP_ROWS) == 0:
        problem = sweep_problem(s)
    return problem


@compiled
def is_recount_due(s: State) -> bool:
    """Return whether enough blocks were audited since the last full recount for the next one, and date the one after it."""
    g = s.globals
    if g[G.AUDITS] < g[G.RECOUNT_AT]:
        return False
    g[G.RECOUNT_AT] = g[G.AUDITS] + max(RECOUNT_EVERY, (g[G.ACCOUNTS] + g[G.LEASES]) // RECOUNT_ROWS)
    return True


# --- the full recount ---------------------------------------------------------------------------------------

SUM_SUPPLY = 0
SUM_HELD = 1
SUM_DUST = 2
SUM_PAID = 3
SUM_FEES = 4
SUM_SHORTFALL = 5
SUM_DEBT = 6
SUMS = 7
WORD = 32
HALF = 30
WORD_MASK = (1 << WORD) - 1
HALF_MASK = (1 << HALF) - 1


@compiled
def add_parts(sums: Table, at: int, whole: int, atto: int) -> None:
    """Add an amount to row `at` of the sums, in parts that cannot leave int64: the whole uve in words of 32 bits, atto in halves of 30."""
    total = sums[at]
    total[0] += whole >> WORD
    total[1] += whole & WORD_MASK
    total[2] += atto >> HALF
    total[3] += atto & HALF_MASK


@compiled
def sum_tables(s: State, sums: Table) -> None:
    """Add up wallets, accounts, deposits and payments into the rows SUM_… of `sums`, shape (SUMS, 4), zero before."""
    g = s.globals
    for row in range(g[G.WALLETS]):
        add_parts(sums, SUM_SUPPLY, s.wallets[row, Wallet.BALANCE], 0)
    for row in range(g[G.ACCOUNTS]):
        a = s.accounts[row]
        add_parts(sums, SUM_DUST, a[Account.DUST], a[Account.DUST_ATTO])
        add_parts(sums, SUM_SHORTFALL, a[Account.SHORTFALL], a[Account.SHORTFALL_ATTO])
    for row in range(g[G.DEPOSITS]):
        d = s.deposits[row]
        add_parts(sums, SUM_HELD, d[Deposit.AMOUNT], d[Deposit.AMOUNT_ATTO])
    for row in range(g[G.LEASES]):
        x = s.leases[row]
        if x[Lease.PAYMENT] == 0:
            continue
        if s.accounts[x[Lease.ACCOUNT], Account.STATE] != AccountState.CLOSED:
            add_parts(sums, SUM_HELD, x[Lease.BALANCE], x[Lease.BALANCE_ATTO])
        add_parts(sums, SUM_PAID, x[Lease.WITHDRAWN] - x[Lease.FEES], 0)
        add_parts(sums, SUM_FEES, x[Lease.FEES], 0)
        add_parts(sums, SUM_DEBT, x[Lease.UNSETTLED], x[Lease.UNSETTLED_ATTO])


def recount(state: State) -> dict[str, int]:
    """Compute the ledger's totals again from the tables alone, as Python integers in atto.

    Keys: `supply` (all wallets), `escrow` (the module's wallet), `held`, `dust`, `paid`, `fees`, `shortfall`,
    `debt`, and `lost`: what the wallet holds beyond deposits, balances and dust, which is what defects have
    stranded.
    """
    sums = np.zeros((SUMS, 4), np.int64)
    sum_tables(state, sums)
    exact = [((int(high) << WORD) + int(low)) * ATTO + (int(fine) << HALF) + int(finest) for high, low, fine, finest in sums]
    escrow = int(state.wallets[ESCROW_WALLET, Wallet.BALANCE]) * ATTO
    return {
        "supply": exact[SUM_SUPPLY],
        "escrow": escrow,
        "held": exact[SUM_HELD],
        "dust": exact[SUM_DUST],
        "paid": exact[SUM_PAID],
        "fees": exact[SUM_FEES],
        "shortfall": exact[SUM_SHORTFALL],
        "debt": exact[SUM_DEBT],
        "lost": escrow - exact[SUM_HELD] - exact[SUM_DUST],
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
    if g[G.SETTLEMENT_WALLET] > 0:
        found |= {"platform_fees": int(g[G.PLATFORM_FEES]) * ATTO, "validator_fees": int(g[G.VALIDATOR_FEES]) * ATTO}
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
