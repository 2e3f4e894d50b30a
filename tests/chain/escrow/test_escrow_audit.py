"""Conservation under random messages, and the audit: a leak of one unit is found in the block in which it
happens.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from one_account import STREAMS, OneAccount

from marketsim.chain import ledger
from marketsim.chain.columns import (
    ESCROW_WALLET,
    Account,
    AccountState,
    Charging,
    Deposit,
    EscrowRule,
    EventKind,
    G,
    Lease,
    PaymentState,
    Quirk,
    Wallet,
)
from marketsim.chain.escrow import messages as escrow
from marketsim.chain.ledger import AUDIT_FINE
from marketsim.chain.room import with_room
from marketsim.chain.status import Status
from marketsim.kernel.modes import COMPILING
from marketsim.money.text import parse_amount

ACTIONS = ("deposit", "open", "withdraw", "close_payment", "settle", "close")
RATES = ("0.5", "1.75", "3", "10", "0.000000000000000001", "333.333333333333333333", "7")
messages = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 30), st.integers(1, 4), st.integers(0, 300)),
    min_size=3,
    max_size=25,
)


def act(one: OneAccount, action: str, blocks: int, which: int, amount: int) -> Status | None:
    """One random message; None when it names a payment that never was. Closing is made rare."""
    h = one.h + blocks
    if one.state.globals.escrow == EscrowRule.EXACT:
        one.step_to(h)
    one.at(h)
    provider = f"p{which}"
    if action == "deposit":
        return one.deposit(amount)
    if action == "open":
        return one.open(provider, RATES[amount % len(RATES)], gseq=1 + amount % 12)
    if action == "settle":
        return one.settle()
    if action == "close":
        return one.close() if amount > 200 else None
    if provider not in one.leases:
        return None
    return one.withdraw(provider) if action == "withdraw" else one.close_payment(provider)


def debts(one: OneAccount) -> int:
    leases = one.state.leases[: one.state.globals.leases]
    return int(leases[:, Lease.unsettled].sum())


@settings(max_examples=120 if COMPILING else 25)
@given(
    messages,
    st.sampled_from(STREAMS),
    st.sampled_from([0, 2, 20]),
    st.booleans(),
    st.integers(0, 2000),
)
@example([("deposit", 0, 1, 2), ("open", 0, 1, 1), ("settle", 1, 1, 0)], EscrowRule.PROPORTIONAL, 0, False, 0)
def test_money_is_conserved_and_refusals_change_nothing(
    steps: list[tuple[str, int, int, int]], rule: EscrowRule, take: int, quirks: bool, deposit: int
) -> None:
    bits = Quirk.SETTLE_SAME_HEIGHT | Quirk.PAYMENT_CREATE_LOSES if quirks and rule != EscrowRule.EXACT else 0
    one = OneAccount(rule, deposit, take=take, quirks=bits, settle_every=17, grace=40)
    values, held = np.zeros((64, 2), np.int64), np.zeros(2, np.int64)
    a = one.state.accounts[one.account]
    for action, blocks, which, amount in steps:
        was = (int(a[Account.transferred]), int(a[Account.state]))
        paid = one.state.leases[: one.state.globals.leases, Lease.withdrawn].copy()
        funds = int(a[Account.funds])
        status = act(one, action, blocks, which, amount)
        assert one.problems() == []
        assert int(ledger.audit_touched(one.state, values, held)) == AUDIT_FINE
        # totals never fall, funds rise by a deposit only, closed is final
        assert int(a[Account.transferred]) >= was[0]
        assert (one.state.leases[: len(paid), Lease.withdrawn] >= paid).all()
        if was[1] == AccountState.CLOSED:
            assert a[Account.state] == AccountState.CLOSED
        elif not (action == "deposit" and status == Status.Ok) and funds >= 0:
            assert int(a[Account.funds]) <= funds
        if rule == EscrowRule.SEQUENTIAL:
            assert debts(one) == max(0, -int(a[Account.funds]))
    if not bits:
        assert ledger.totals(one.state)["stranded"] == 0


@settings(max_examples=80 if COMPILING else 20)
@given(messages, st.sampled_from([EscrowRule.SEQUENTIAL, EscrowRule.PROPORTIONAL]))
def test_settling_twice_at_one_height_is_settling_once(steps: list[tuple[str, int, int, int]], rule: EscrowRule) -> None:
    one = OneAccount(rule, 500)
    for action, blocks, which, amount in steps:
        act(one, action, blocks, which, amount)
        one.settle()
        before = one.snapshot()
        one.settle()
        assert one.snapshot() == before


@settings(max_examples=60 if COMPILING else 15)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.sampled_from(RATES))
def test_nobody_gets_more_than_the_rate_for_the_time(spans: list[int], rate: str) -> None:
    whole = rate in ("3", "10", "7")
    worlds = []
    for heights in (np.cumsum(spans).tolist(), [sum(spans)]):
        one = OneAccount(EscrowRule.SEQUENTIAL, 10**6)
        assert one.open("p1", rate) == Status.Ok
        for h in heights:
            assert one.at(100 + h).withdraw("p1") == Status.Ok
        worlds.append(one.count("p1", Lease.withdrawn))
    parts, once = worlds
    assert once - len(spans) < parts <= once
    assert parts == once or not whole


# --- planted leaks ------------------------------------------------------------------------------------------


def plant_wallet(one: OneAccount) -> None:
    one.state.wallets[ESCROW_WALLET, Wallet.balance] -= 1


def plant_deposit(one: OneAccount) -> None:
    one.state.deposits[one.state.accounts[0].first_deposit, Deposit.amount] += 1


def plant_balance(one: OneAccount) -> None:
    one.state.leases[0].balance += 1


def plant_atto(one: OneAccount) -> None:
    one.state.leases[0].balance_atto = 10**18


def plant_funds(one: OneAccount) -> None:
    one.state.accounts[0].funds -= 1


def plant_rates(one: OneAccount) -> None:
    one.state.accounts[0].rates_atto += 1


def plant_count(one: OneAccount) -> None:
    one.state.accounts[0].open -= 1


def plant_flow(one: OneAccount) -> None:
    one.state.globals.deposited += 1


def plant_paid(one: OneAccount) -> None:
    one.state.globals.paid += 1
    one.state.globals.deposited += 1


PLANTS = [
    plant_wallet,
    plant_deposit,
    plant_balance,
    plant_atto,
    plant_funds,
    plant_rates,
    plant_count,
    plant_flow,
]


@pytest.mark.parametrize("plant", [*PLANTS, plant_paid])
def test_a_full_recount_finds_a_unit(plant: object) -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    assert one.open("p1", "0.7") == Status.Ok
    assert one.at(110).settle() == Status.Ok
    assert one.problems() == []
    plant(one)  # type: ignore[operator]
    assert one.problems() != []


@pytest.mark.parametrize("plant", PLANTS)
def test_the_audit_after_a_block_finds_a_unit_in_its_block(plant: object) -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    values, held = np.zeros((64, 2), np.int64), np.zeros(2, np.int64)
    assert one.open("p1", "0.7") == Status.Ok
    for h in range(101, 121):
        assert one.at(h).settle() == Status.Ok
        if h == 110:
            plant(one)  # type: ignore[operator]
        found = int(ledger.audit_touched(one.state, values, held))
        assert (found == AUDIT_FINE) == (h < 110)
        if h == 110:
            assert ledger.AUDIT_PROBLEMS[found]
            break


def plant_gift(one: OneAccount) -> None:
    one.state.wallets[5].balance += 1


def plant_overdraft(one: OneAccount) -> None:
    one.state.wallets[5].balance -= 2 * 10**15
    one.state.wallets[6].balance += 2 * 10**15


def plant_twice(one: OneAccount) -> None:
    plant_deposit(one)
    one.state.accounts[0].funds += 1


SILENT: dict[Callable[[OneAccount], None], int] = {
    plant_gift: ledger.AUDIT_SUPPLY,
    plant_overdraft: ledger.AUDIT_BELOW,
    plant_deposit: ledger.AUDIT_DEPOSITS,
    plant_balance: ledger.AUDIT_LIVE,
    plant_twice: ledger.AUDIT_LIVE,
    plant_atto: ledger.AUDIT_RANGE,
    plant_rates: ledger.AUDIT_RATES,
}


@pytest.mark.parametrize("plant", list(SILENT))
@pytest.mark.parametrize("wallets", [0, 640])
def test_what_no_message_touches_is_found_by_the_next_sweep(plant: Callable[[OneAccount], None], wallets: int) -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    g = one.state.globals
    one.state = with_room(one.state, wallets=wallets)
    g[G.wallets] += wallets
    g[G.supply] = one.state.wallets[: g[G.wallets], Wallet.balance].sum()
    values, held = np.zeros((64, 2), np.int64), np.zeros(2, np.int64)
    assert one.open("p1", "0.7") == Status.Ok
    assert one.at(110).settle() == Status.Ok
    every = 1 + (int(g[G.wallets]) + int(g[G.accounts])) // ledger.SWEEP_ROWS
    for _ in range(2 * every):
        assert int(ledger.audit_touched(one.state, values, held)) == AUDIT_FINE
    plant(one)
    found = [int(ledger.audit_touched(one.state, values, held)) for _ in range(every)]
    assert found == [AUDIT_FINE] * (every - 1) + [SILENT[plant]]
    assert ledger.AUDIT_PROBLEMS[found[-1]]


def test_full_recounts_keep_pace_with_the_tables() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    g = one.state.globals
    due = []
    for block in range(1, 20_001):
        g[G.audits] = block
        g[G.accounts], g[G.leases] = 3 * block, block
        if ledger.is_recount_due(one.state):
            due.append(block)
    gaps = np.diff(due)
    assert due[0] == 1 and gaps.min() == ledger.RECOUNT_EVERY
    assert (gaps == np.maximum(ledger.RECOUNT_EVERY, 4 * np.array(due[:-1]) // ledger.RECOUNT_ROWS)).all()


def test_sums_of_the_recount_are_exact_beyond_a_word() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    one.state = with_room(one.state, deposits=40)
    one.state.globals.deposits = 40
    one.state.deposits[:40, Deposit.amount] = np.arange(40) * 10**17 - 3
    one.state.deposits[:40, Deposit.amount_atto] = 10**18 - 1 - np.arange(40)
    rows = one.state.deposits[:40, [Deposit.amount, Deposit.amount_atto]].tolist()
    assert ledger.recount(one.state)["held"] == sum(whole * 10**18 + atto for whole, atto in rows)


def test_a_planted_debt_is_found() -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL, 10)
    assert one.open("p1", "7") == Status.Ok
    assert one.at(102).settle() == Status.Ok
    assert one.problems() == []
    one.state.leases[0].unsettled -= 1
    assert len(one.problems()) == 2
    one.state.leases[0].unsettled += 1
    one.state.wallets[5].balance -= 2 * 10**15
    one.state.wallets[6].balance += 2 * 10**15
    assert one.problems() == ["a wallet is below zero"]


def test_the_audit_is_off_until_it_is_asked_for() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    one.state.globals.auditing = one.state.globals.touched = 0
    one.state.accounts[0].touched = 0
    one.settle()
    assert one.state.globals.touched == 0
    assert ledger.balances(one.state).tolist()[ESCROW_WALLET] == 1000


# --- an auditor of its own: balances from the event record alone --------------------------------------------


@settings(max_examples=80 if COMPILING else 20)
@given(messages, st.sampled_from(STREAMS), st.sampled_from([0, 2]))
def test_the_event_record_alone_gives_every_balance(steps: list[tuple[str, int, int, int]], rule: EscrowRule, take: int) -> None:
    one = OneAccount(rule, 700, take=take, settle_every=17, grace=40, charging=Charging.RATE)
    for step in steps:
        act(one, *step)
    coins = dict.fromkeys(range(int(one.state.globals.wallets)), 0)
    for _, kind, subject, other, whole, atto, extra in one.events():
        assert atto == 0 or kind in (EventKind.SETTLED, EventKind.SHORTFALL)
        if kind == EventKind.DEPOSITED:
            coins[other] -= whole
        elif kind == EventKind.REFUNDED:
            coins[other] += whole
        elif kind == EventKind.PAID:
            assert other == one.state.leases[subject, Lease.provider]
            coins[other] += whole
            coins[1] += extra
    coins[ESCROW_WALLET] = -sum(coins.values())
    begin = [0, 0, 0] + [10**15] * (len(coins) - 3)
    assert [begin[row] + gain for row, gain in coins.items()] == ledger.balances(one.state).tolist()
    settled = sum(row[4] * 10**18 + row[5] for row in one.events() if row[1] == EventKind.SETTLED)
    a = one.state.accounts[one.account]
    assert settled == int(a[Account.transferred]) * 10**18 + int(a[Account.transferred_atto])
    lost = -sum((row[4] * 10**18 + row[5]) for row in one.events() if row[1] == EventKind.SHORTFALL)
    assert ledger.totals(one.state)["shortfall"] == -lost


def test_projections_of_the_other_rules() -> None:
    for rule, left, dry in ((EscrowRule.SEQUENTIAL, -6, 108), (EscrowRule.PROPORTIONAL, 1, 107)):
        one = OneAccount(rule, 10)
        assert escrow.dry_at(one.state, one.account) == -1
        assert one.open("p1", "1.5") == Status.Ok
        assert escrow.dry_at(one.state, one.account) == dry
        assert int(escrow.live_funds(one.state, 111, one.account)[0]) == left
        assert escrow.blocks_left(one.state, 103, one.account) == 3
        assert one.payment("p1") == PaymentState.OPEN.name.lower()
        one.at(111).settle()
        assert one.account_state == "overdrawn"
        assert escrow.dry_at(one.state, one.account) == -1


@given(st.integers(0, 500), st.lists(st.sampled_from(RATES), min_size=1, max_size=4))
def test_the_first_height_that_would_overdraw_is_found(deposit: int, rates: list[str]) -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL, deposit)
    for i, rate in enumerate(rates, 1):
        assert one.open(f"p{i}", rate, gseq=i) == Status.Ok
    found = int(escrow.dry_at(one.state, one.account))
    atto = [parse_amount(rate) for rate in rates]
    blocks = found - 100
    if found < 0:
        assert set(rates) == {"0.000000000000000001"}
    else:
        assert sum(a * blocks // 10**18 for a in atto) > deposit
        assert sum(a * (blocks - 1) // 10**18 for a in atto) <= deposit


def test_less_than_one_unit_of_funds_is_sound() -> None:
    one = OneAccount(EscrowRule.EXACT, 1)
    assert one.open("p1", "0.5") == Status.Ok
    assert one.at(101).settle() == Status.Ok
    assert one.funds == "0.5"
    assert one.problems() == []


def test_a_rate_that_never_comes_to_a_unit_never_runs_dry() -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL, 10)
    assert one.open("p1", "0.000000000000000001") == Status.Ok
    assert escrow.dry_at(one.state, one.account) == -1
