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
    EscrowRule,
    G,
    PaymentState,
    Scope,
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
    s.wallets[source].balance -= whole
    s.wallets[target].balance += whole


@compiled
def deposit_coins(s: State, wallet: int, whole: int) -> None:
    """Wallet to escrow."""
    move(s, wallet, ESCROW_WALLET, whole)
    s.globals.deposited += whole
    s.globals.held += whole


@compiled
def pay_coins(s: State, wallet: int, gross: int, fee: int) -> None:
    """Escrow to a provider, the take fee to the community pool."""
    move(s, ESCROW_WALLET, wallet, gross - fee)
    s.globals.paid += gross - fee
    s.globals.held -= gross
    if fee > 0:
        move(s, ESCROW_WALLET, COMMUNITY_WALLET, fee)
        s.globals.fees += fee


@compiled
def pay_split(s: State, wallet: int, provider: int, platform: int, validators: int) -> None:
    """Escrow to a provider, the two fees of a usage escrow's settlement to the settlement module, where they stay."""
    fees = platform + validators
    move(s, ESCROW_WALLET, wallet, provider)
    move(s, ESCROW_WALLET, s.globals.settlement_wallet, fees)
    s.globals.paid += provider
    s.globals.fees += fees
    s.globals.platform_fees += platform
    s.globals.validator_fees += validators
    s.globals.held -= provider + fees


@compiled
def refund_coins(s: State, wallet: int, whole: int) -> None:
    """Escrow back to a depositor."""
    move(s, ESCROW_WALLET, wallet, whole)
    s.globals.refunded += whole
    s.globals.held -= whole


@compiled
def drop_to_dust(s: State, account: int, whole: int, atto: int) -> None:
    """Leave a fraction behind for ever: from what is held to the dust of the account and of all."""
    subtract_from(s.globals, G.held, whole, atto)
    add_to(s.globals, G.dust, whole, atto)
    add_to(s.accounts[account], Account.dust, whole, atto)


@compiled
def strand(s: State, whole: int, atto: int) -> None:
    """Book coins that a defect of the chain has lost inside the escrow module."""
    subtract_from(s.globals, G.held, whole, atto)
    add_to(s.globals, G.stranded, whole, atto)


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
    if g.auditing != 0 and s.accounts[account].touched == 0:
        s.accounts[account].touched = g.touched if g.touched > 0 else -1
        g.touched = account + 1


@compiled
def audit_totals(s: State) -> int:
    """Return AUDIT_FINE when both identities of this module hold, else which one is broken."""
    g = s.globals
    rest = add(g.held, g.held_atto, g.dust, g.dust_atto)
    inside = add(rest[0], rest[1], g.stranded, g.stranded_atto)
    if inside[0] != s.wallets[ESCROW_WALLET].balance or inside[1] != 0:
        return AUDIT_COINS
    if g.deposited != inside[0] + g.paid + g.fees + g.refunded:
        return AUDIT_FLOW
    if g.settlement_wallet > 0:
        split = g.platform_fees + g.validator_fees
        if s.wallets[g.settlement_wallet].balance != split or split != g.fees:
            return AUDIT_SPLIT
    return AUDIT_FINE


@compiled
def inspect_account(s: State, account: int) -> tuple[int, int, int]:
    """Return AUDIT_FINE when the columns of the account agree with its deposits and payments, else what does not; and what it holds:
    its deposits and, while it is not closed, the unpaid balances of its payments.
    """
    a = s.accounts[account]
    problem = AUDIT_FINE
    if not 0 <= a.funds_atto < ATTO or not 0 <= a.transferred_atto < ATTO:
        problem = AUDIT_RANGE
    whole, atto = 0, 0
    row = a.first_deposit
    while row >= 0:
        d = s.deposits[row]
        if d.amount < 0 or not 0 <= d.amount_atto < ATTO:
            problem = AUDIT_RANGE
        whole, atto = add(whole, atto, d.amount, d.amount_atto)
        row = d.next
    in_debt = a.funds < 0
    if problem == AUDIT_FINE:
        if in_debt:
            if whole != 0 or atto != 0:
                problem = AUDIT_DEPOSITS
        elif whole != a.funds or atto != a.funds_atto:
            problem = AUDIT_DEPOSITS
    rates, rates_atto, debt, debt_atto = 0, 0, 0, 0
    open_payments, short_payments, aside = 0, 0, 0
    closed = a.state == AccountState.CLOSED
    by_block = s.globals.escrow != EscrowRule.USAGE
    lease = a.first_lease
    while lease >= 0:
        x = s.leases[lease]
        if problem == AUDIT_FINE and (x.balance < 0 or not 0 <= x.balance_atto < ATTO):
            problem = AUDIT_RANGE
        if not closed:
            whole, atto = add(whole, atto, x.balance, x.balance_atto)
        if x.payment == PaymentState.OPEN:
            open_payments += 1
            if by_block:
                rates, rates_atto = add(rates, rates_atto, x.rate, x.rate_atto)
            else:
                aside += s.usage_escrows[x.usage].balance
        elif x.payment == PaymentState.OVERDRAWN:
            short_payments += 1
            debt, debt_atto = add(debt, debt_atto, x.unsettled, x.unsettled_atto)
        lease = x.next
    if problem == AUDIT_FINE:
        rates_agree = rates == a.rates and rates_atto == a.rates_atto
        if not rates_agree or open_payments != a.open or short_payments != a.short:
            problem = AUDIT_RATES
        elif s.globals.escrow == EscrowRule.SEQUENTIAL and in_debt:
            owed = add(debt, debt_atto, a.funds, a.funds_atto)
            if owed[0] != 0 or owed[1] != 0:
                problem = AUDIT_DEBT
        elif not by_block and aside > a.funds:
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
    for row in range(start, s.globals.accounts):
        a = s.accounts[row]
        if a.state != AccountState.CLOSED or a.scope == Scope.DEPLOYMENT:
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
    for row in range(g.wallets):
        balance = s.wallets[row].balance
        if balance < 0:
            return AUDIT_BELOW
        coins += balance
    if g.supply != 0 and coins != g.supply:
        return AUDIT_SUPPLY
    whole, atto = 0, 0
    for row in range(g.accounts):
        a = s.accounts[row]
        if a.state != AccountState.CLOSED or a.first_deposit >= 0:
            problem, value, value_atto = inspect_account(s, row)
            if problem != AUDIT_FINE:
                return problem
            whole, atto = add(whole, atto, value, value_atto)
    if whole != g.held or atto != g.held_atto:
        return AUDIT_LIVE
    return AUDIT_FINE


@compiled
def audit_touched(s: State, values: Table, held: Table) -> int:
    """Audit the accounts touched since the last call, and now and then all of them; return AUDIT_FINE or the first problem.

    `values` of shape (accounts, 2) keeps what each account held at the last audit, `held` of shape (2,) their
    sum: both zero before the first message, both brought up to date here. Needs G.auditing = 1 from then on,
    and `values` as long as the accounts' table.
    """
    g = s.globals
    problem = audit_totals(s)
    row = g.touched - 1
    g.touched = 0
    while row >= 0:
        following = s.accounts[row].touched
        s.accounts[row].touched = 0
        found, whole, atto = inspect_account(s, row)
        if problem == AUDIT_FINE:
            problem = found
        change = subtract(whole, atto, values[row, 0], values[row, 1])
        held[0], held[1] = add(held[0], held[1], change[0], change[1])
        values[row, 0], values[row, 1] = whole, atto
        row = following - 1 if following > 0 else -1
    if problem == AUDIT_FINE and (held[0] != g.held or held[1] != g.held_atto):
        problem = AUDIT_HELD
    g.audits += 1
    if problem == AUDIT_FINE and g.audits % (1 + (g.wallets + g.accounts) // SWEEP_ROWS) == 0:
        problem = sweep_problem(s)
    return problem


@compiled
def is_recount_due(s: State) -> bool:
    """Return whether enough blocks were audited since the last full recount for the next one, and date the one after it."""
    g = s.globals
    if g.audits < g.recount_at:
        return False
    g.recount_at = g.audits + max(RECOUNT_EVERY, (g.accounts + g.leases) // RECOUNT_ROWS)
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
    for row in range(g.wallets):
        add_parts(sums, SUM_SUPPLY, s.wallets[row].balance, 0)
    for row in range(g.accounts):
        a = s.accounts[row]
        add_parts(sums, SUM_DUST, a.dust, a.dust_atto)
        add_parts(sums, SUM_SHORTFALL, a.shortfall, a.shortfall_atto)
    for row in range(g.deposits):
        d = s.deposits[row]
        add_parts(sums, SUM_HELD, d.amount, d.amount_atto)
    for row in range(g.leases):
        x = s.leases[row]
        if x.payment == 0:
            continue
        if s.accounts[x.account].state != AccountState.CLOSED:
            add_parts(sums, SUM_HELD, x.balance, x.balance_atto)
        add_parts(sums, SUM_PAID, x.withdrawn - x.fees, 0)
        add_parts(sums, SUM_FEES, x.fees, 0)
        add_parts(sums, SUM_DEBT, x.unsettled, x.unsettled_atto)


def recount(state: State) -> dict[str, int]:
    """Compute the ledger's totals again from the tables alone, as Python integers in atto.

    Keys: `supply` (all wallets), `escrow` (the module's wallet), `held`, `dust`, `paid`, `fees`, `shortfall`,
    `debt`, and `lost`: what the wallet holds beyond deposits, balances and dust, which is what defects have
    stranded.
    """
    sums = np.zeros((SUMS, 4), np.int64)
    sum_tables(state, sums)
    exact = [((int(high) << WORD) + int(low)) * ATTO + (int(fine) << HALF) + int(finest) for high, low, fine, finest in sums]
    escrow = int(state.wallets[ESCROW_WALLET].balance) * ATTO
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
        "deposited": G.deposited,
        "paid": G.paid,
        "fees": G.fees,
        "refunded": G.refunded,
        "supply": G.supply,
    }
    pairs = {"held": G.held, "dust": G.dust, "stranded": G.stranded, "shortfall": G.shortfall, "debt": G.debt}
    found = {name: int(g[column]) * ATTO for name, column in whole.items()}
    found.update({name: from_pair(g[column], g[column + 1]) for name, column in pairs.items()})
    if g[G.settlement_wallet] > 0:
        found |= {"platform_fees": int(g[G.platform_fees]) * ATTO, "validator_fees": int(g[G.validator_fees]) * ATTO}
    return found


def recount_problems(state: State) -> list[str]:
    """Return one sentence for every total that a full recount contradicts; an empty list when the ledger is
    sound.

    Checks the identities, every total, every account's own columns and, where G.supply is set, that no coin
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
    if bool(np.any(state.wallets[: state.globals.wallets, Wallet.balance] < 0)):
        problems.append("a wallet is below zero")
    row = int(first_problem(state, 0))
    while row >= 0:
        problems.append(f"account {row}: {AUDIT_PROBLEMS[int(account_problem(state, row))]}")
        row = int(first_problem(state, row + 1))
    return problems


def balances(state: State) -> Column:
    """Return a copy of all wallets' coins, whole uve, shape (wallets,)."""
    coins: Column = state.wallets[: state.globals.wallets, Wallet.balance].copy()
    return coins
