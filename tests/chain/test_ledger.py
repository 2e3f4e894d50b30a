"""The ledger: every total under its name, every problem under its number and in its words, every account that
was touched looked at once.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from one_account import COINS, STREAMS, OneAccount

from marketsim.chain import ledger
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
    Quirk,
    Scope,
    UsageEscrow,
    Wallet,
)
from marketsim.chain.escrow import messages as escrow
from marketsim.chain.escrow.accounts import FROM_BALANCE
from marketsim.chain.ledger import (
    AUDIT_BELOW,
    AUDIT_COINS,
    AUDIT_DEBT,
    AUDIT_DEPOSITS,
    AUDIT_FINE,
    AUDIT_FLOW,
    AUDIT_HELD,
    AUDIT_LIVE,
    AUDIT_PROBLEMS,
    AUDIT_RANGE,
    AUDIT_RATES,
    AUDIT_SET_ASIDE,
    AUDIT_SPLIT,
    AUDIT_SUPPLY,
)
from marketsim.chain.status import Status
from marketsim.money.units import ATTO

Edit = Callable[[OneAccount], None]


def used() -> OneAccount:
    """1,000 uve in, 10 blocks at 0.75 paid but for a half, another payment open since then."""
    one = OneAccount(EscrowRule.EXACT, 1000, take=20)
    assert one.open("p1", "0.75") == Status.Ok
    assert one.at(110).settle() == Status.Ok
    assert one.open("p2", "2") == Status.Ok
    return one


def set_(table: str, column: int, value: int) -> Edit:
    def edit(one: OneAccount) -> None:
        getattr(one.state, table)[0, column] = value

    return edit


def add(table: str, column: int, value: int) -> Edit:
    def edit(one: OneAccount) -> None:
        rows = getattr(one.state, table)
        rows[(column,) if table == "globals" else (0, column)] += value

    return edit


# --- totals -------------------------------------------------------------------------------------------------


def test_totals_stand_under_their_names() -> None:
    one = used()
    assert one.at(120).close() == Status.Ok
    # p1: 20 x 0.75 = 15; p2: 20; 20 % of 15 and of 20 go to the community pool; 965 go back
    assert ledger.totals(one.state) == {
        "deposited": 1000 * ATTO,
        "paid": 28 * ATTO,
        "fees": 7 * ATTO,
        "refunded": 965 * ATTO,
        "supply": COINS * 10 * ATTO,
        "held": 0,
        "dust": 0,
        "stranded": 0,
        "shortfall": 0,
        "debt": 0,
    }
    assert one.coins(COMMUNITY_WALLET) == 7


def test_a_recount_finds_the_same_in_the_tables() -> None:
    one = used()
    one.at(112).settle()
    # 9 of p1 with half a unit carried from 7.5, 4 of p2
    assert ledger.recount(one.state) == {
        "supply": COINS * 10 * ATTO,
        "escrow": 987 * ATTO,
        "held": 987 * ATTO,
        "dust": 0,
        "paid": (9 + 4 - 1) * ATTO,
        "fees": 1 * ATTO,
        "shortfall": 0,
        "debt": 0,
        "lost": 0,
    }
    assert one.problems() == []


def test_a_recount_knows_dust_debt_shortfall_and_what_is_lost() -> None:
    dusty = OneAccount(EscrowRule.EXACT, 10)
    assert dusty.open("p1", "0.75") == Status.Ok
    assert dusty.at(101).close_payment("p1") == Status.Ok
    assert dusty.open("p2", "100") == Status.Ok
    assert dusty.at(102).settle() == Status.Ok
    found = ledger.recount(dusty.state)
    assert (found["dust"], found["shortfall"]) == (3 * ATTO // 4, 363 * ATTO // 4)
    indebted = OneAccount(EscrowRule.SEQUENTIAL, 10)
    assert indebted.open("p1", "7") == Status.Ok
    assert indebted.at(102).settle() == Status.Ok
    assert ledger.recount(indebted.state)["debt"] == 4 * ATTO
    stranded = OneAccount(EscrowRule.SEQUENTIAL, 10, quirks=Quirk.PAYMENT_CREATE_LOSES)
    assert stranded.open("p1", "3") == Status.Ok
    assert stranded.at(101).open("p2", "1") == Status.Ok
    assert (ledger.recount(stranded.state)["lost"], ledger.totals(stranded.state)["stranded"]) == (3 * ATTO, 3 * ATTO)
    for one in (dusty, indebted, stranded):
        assert one.problems() == []


# --- problems -----------------------------------------------------------------------------------------------

ACCOUNT_EDITS = [
    (add("accounts", Account.funds, 1), AUDIT_DEPOSITS),
    (add("accounts", Account.funds_atto, 1), AUDIT_DEPOSITS),
    (set_("accounts", Account.funds_atto, ATTO), AUDIT_RANGE),
    (set_("accounts", Account.funds_atto, -1), AUDIT_RANGE),
    (set_("accounts", Account.transferred_atto, ATTO), AUDIT_RANGE),
    (set_("accounts", Account.transferred_atto, -1), AUDIT_RANGE),
    (set_("accounts", Account.transferred_atto, ATTO - 1), AUDIT_FINE),
    (set_("deposits", Deposit.amount, -1), AUDIT_RANGE),
    (set_("deposits", Deposit.amount_atto, ATTO), AUDIT_RANGE),
    (set_("deposits", Deposit.amount_atto, -1), AUDIT_RANGE),
    (set_("deposits", Deposit.amount_atto, ATTO - 1), AUDIT_DEPOSITS),
    (set_("deposits", Deposit.amount, 0), AUDIT_DEPOSITS),
    (set_("leases", Lease.balance, -1), AUDIT_RANGE),
    (set_("leases", Lease.balance_atto, ATTO), AUDIT_RANGE),
    (set_("leases", Lease.balance_atto, -1), AUDIT_RANGE),
    (set_("leases", Lease.balance_atto, ATTO - 1), AUDIT_FINE),
    (set_("leases", Lease.balance, 1), AUDIT_FINE),
    (add("accounts", Account.rates, 1), AUDIT_RATES),
    (add("accounts", Account.rates_atto, -1), AUDIT_RATES),
    (add("accounts", Account.open, 1), AUDIT_RATES),
    (add("accounts", Account.short, 1), AUDIT_RATES),
    (set_("leases", Lease.payment, PaymentState.CLOSED), AUDIT_RATES),
    (set_("leases", Lease.payment, PaymentState.OVERDRAWN), AUDIT_RATES),
]


@pytest.mark.parametrize(("edit", "problem"), ACCOUNT_EDITS)
def test_an_account_is_held_to_its_deposits_and_payments(edit: Edit, problem: int) -> None:
    one = used()
    assert ledger.account_problem(one.state, one.account) == AUDIT_FINE
    edit(one)
    assert ledger.account_problem(one.state, one.account) == problem
    assert ledger.first_problem(one.state, 0) == (-1 if problem == AUDIT_FINE else 0)


def test_the_payments_of_the_middle_and_the_end_count_as_well() -> None:
    for row in range(3):
        one = OneAccount(EscrowRule.PROPORTIONAL, 100)
        assert [one.open(f"p{i}", f"{i}.5") for i in (1, 2, 3)] == [Status.Ok] * 3
        assert one.amount(Account.rates) == "7.5"
        one.state.leases[row, Lease.rate_atto] += 1
        assert ledger.account_problem(one.state, one.account) == AUDIT_RATES


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (add("accounts", Account.funds, -1), AUDIT_DEBT),
        (add("leases", Lease.unsettled, 1), AUDIT_DEBT),
        (add("leases", Lease.unsettled_atto, 1), AUDIT_DEBT),
        (add("accounts", Account.short, -1), AUDIT_RATES),
    ],
)
def test_an_account_in_debt_owes_what_its_payments_miss(edit: Edit, problem: int) -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL, 10)
    assert one.open("p1", "7") == Status.Ok
    assert one.at(102).settle() == Status.Ok
    assert ledger.account_problem(one.state, one.account) == AUDIT_FINE
    edit(one)
    assert ledger.account_problem(one.state, one.account) == problem


@pytest.mark.parametrize("column", [Deposit.amount, Deposit.amount_atto])
def test_an_account_in_debt_has_nothing_left(column: int) -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL, 10)
    one.state.accounts[one.account, Account.funds] = -5
    one.state.deposits[0, [Deposit.amount, Deposit.amount_atto]] = 0
    assert ledger.account_problem(one.state, one.account) == AUDIT_DEBT
    one.state.deposits[0, column] = 3
    assert ledger.account_problem(one.state, one.account) == AUDIT_DEPOSITS


def test_both_identities_are_told_apart() -> None:
    for edit, problem in (
        (add("globals", G.held, 1), AUDIT_COINS),
        (add("globals", G.held_atto, 1), AUDIT_COINS),
        (add("globals", G.dust, 1), AUDIT_COINS),
        (add("globals", G.stranded, -1), AUDIT_COINS),
        (add("globals", G.deposited, 1), AUDIT_FLOW),
        (add("globals", G.paid, 1), AUDIT_FLOW),
        (add("globals", G.fees, -1), AUDIT_FLOW),
        (add("globals", G.refunded, 1), AUDIT_FLOW),
    ):
        one = used()
        assert ledger.audit_totals(one.state) == AUDIT_FINE
        edit(one)
        assert ledger.audit_totals(one.state) == problem
        assert AUDIT_PROBLEMS[problem] in one.problems()


def test_every_problem_is_told_in_words() -> None:
    one = used()
    one.state.accounts[0].rates += 1
    assert one.problems() == [f"account 0: {AUDIT_PROBLEMS[AUDIT_RATES]}"]
    one.state.globals.paid += 2
    assert one.problems() == [
        "deposited is not held + paid + fees + refunded + dust + stranded",
        "paid: the running total is 8 uve, the tables hold 6 uve",
        "account 0: an account's sum of rates or count of payments is not that of its payments",
    ]
    one = used()
    one.state.wallets[5].balance -= 1
    assert one.problems() == ["supply: the running total is 10000000000000000 uve, the tables hold 9999999999999999 uve"]
    one.state.globals.supply = 0  # a chain that keeps no supply
    assert one.problems() == []
    one.state.wallets[5].balance = -1
    assert one.problems() == ["a wallet is below zero"]
    one.state.wallets[5].balance = 0
    assert one.problems() == []
    one.state.globals.stranded += 1
    assert one.problems() == [AUDIT_PROBLEMS[AUDIT_COINS], "lost: the running total is 1 uve, the tables hold 0 uve"]


def test_every_account_with_a_problem_is_named_but_for_rows_of_ended_bids() -> None:
    one = OneAccount(EscrowRule.EXACT, 10)
    s, tenant = one.state, one.wallets["tenant"]
    rows = [int(escrow.account_open(s, 100, scope, 0, tenant)) for scope in (Scope.BID, Scope.BID, Scope.DEPLOYMENT, Scope.BID)]
    assert rows == [1, 2, 3, 4]
    for row in range(5):
        s.accounts[row, Account.rates] = 1
    s.accounts[[1, 3], Account.state] = AccountState.CLOSED
    assert [int(ledger.first_problem(s, start)) for start in range(6)] == [0, 2, 2, 3, 4, -1]
    assert [line.partition(":")[0] for line in one.problems()] == ["account 0", "account 2", "account 3", "account 4"]
    s.accounts[0].rates = 0
    assert int(ledger.first_problem(s, 0)) == 2


# --- the audit of what was touched --------------------------------------------------------------------------


def audit(one: OneAccount, values: np.ndarray, held: np.ndarray) -> int:
    problem = int(ledger.audit_touched(one.state, values, held))
    assert one.state.globals.touched == 0
    assert not one.state.accounts[:, Account.touched].any()
    return problem


def books() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((64, 2), np.int64), np.zeros(2, np.int64)


def test_all_touched_accounts_are_looked_at_once() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    values, held = books()
    assert audit(one, values, held) == AUDIT_FINE
    assert values[0].tolist() == [1000, 0]
    s, tenant = one.state, one.wallets["tenant"]
    for row in range(1, 5):
        assert escrow.account_open(s, 100, Scope.BID, row, tenant) == row
        assert escrow.collect(s, 100, row, tenant, Scope.BID, 10 * row, FROM_BALANCE) == Status.Ok
    # the first one touched is the last of the list
    assert int(s.accounts[1].touched) == -1
    ledger.touch(s, 1)
    # touched a second time, an account stands in the list once
    ledger.touch(s, 2)
    ledger.touch(s, 0)
    listed = [int(s.globals.touched) - 1]
    while s.accounts[listed[-1], Account.touched] > 0:
        listed.append(int(s.accounts[listed[-1]].touched) - 1)
    assert listed == [0, 4, 3, 2, 1]
    assert audit(one, values, held) == AUDIT_FINE
    assert values[:5, 0].tolist() == [1000, 10, 20, 30, 40]
    assert held.tolist() == [1100, 0]
    assert audit(one, values, held) == AUDIT_FINE


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_leak_in_any_touched_account_is_found(row: int) -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    values, held = books()
    s, tenant = one.state, one.wallets["tenant"]
    for k in (1, 2):
        assert escrow.account_open(s, 100, Scope.BID, k, tenant) == k
        assert escrow.collect(s, 100, k, tenant, Scope.BID, 10, FROM_BALANCE) == Status.Ok
    first = int(s.accounts[row].first_deposit)
    # the columns agree with each other, but not with what was held
    s.accounts[row, Account.funds] += 1
    s.deposits[first, Deposit.amount] += 1
    assert audit(one, values, held) == AUDIT_HELD
    s.accounts[row, Account.funds_atto] += 1
    ledger.touch(s, row)
    assert audit(one, values, held) == AUDIT_DEPOSITS


def test_a_fraction_that_leaks_is_found() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    values, held = books()
    assert one.open("p1", "0.75") == Status.Ok
    assert one.at(101).settle() == Status.Ok
    assert audit(one, values, held) == AUDIT_FINE
    assert (values[0].tolist(), held.tolist()) == ([1000, 0], [1000, 0])
    one.state.leases[0].balance_atto += 1
    ledger.touch(one.state, 0)
    assert audit(one, values, held) == AUDIT_HELD


def test_a_broken_identity_is_reported_before_an_account() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    values, held = books()
    one.state.wallets[ESCROW_WALLET, Wallet.balance] += 1
    one.state.accounts[0].rates = 1
    assert audit(one, values, held) == AUDIT_COINS
    one.state.wallets[ESCROW_WALLET, Wallet.balance] -= 1
    ledger.touch(one.state, 0)
    assert audit(one, values, held) == AUDIT_RATES


@pytest.mark.parametrize("rule", STREAMS)
@pytest.mark.parametrize("message", ["deposit", "open", "withdraw", "close_payment", "settle", "close"])
@pytest.mark.parametrize("blocks", [0, 3, 200])
def test_every_message_puts_its_account_on_the_list(rule: EscrowRule, message: str, blocks: int) -> None:
    # 1 and 0.75 uve are earned and not yet paid where the rule pays nobody but who asks
    one = OneAccount(rule, 200)
    values, held = books()
    assert one.open("p1", "1.75") == Status.Ok
    assert one.at(101).open("p2", "0.5") == Status.Ok
    assert audit(one, values, held) == AUDIT_FINE
    one.at(101 + blocks)
    arguments = {"deposit": [5], "open": ["p3", "1"], "withdraw": ["p1"], "close_payment": ["p1"]}.get(message, [])
    status = getattr(one, message)(*arguments)
    assert status == (Status.AccountOverdrawn if (message, blocks) == ("open", 200) else Status.Ok)
    assert audit(one, values, held) == AUDIT_FINE
    assert one.problems() == []


def test_nothing_is_listed_while_no_audit_is_kept() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    values, held = books()
    assert audit(one, values, held) == AUDIT_FINE
    one.state.globals.auditing = 0
    assert one.at(110).deposit(5) == Status.Ok
    assert int(one.state.globals.touched) == 0
    assert int(ledger.audit_touched(one.state, values, held)) == AUDIT_HELD


def test_what_a_closed_account_holds_is_its_deposits() -> None:
    one = used()
    assert tuple(map(int, ledger.inspect_account(one.state, 0)[1:])) == (993, 0)
    one.state.leases[0].balance = 4
    assert tuple(map(int, ledger.inspect_account(one.state, 0)[1:])) == (997, 0)
    one.state.accounts[0].state = AccountState.CLOSED
    assert tuple(map(int, ledger.inspect_account(one.state, 0)[1:])) == (992, ATTO // 2)


# --- the settlement module, usage escrows, sweeps and recounts ----------------------------------------------


def with_settlement_module() -> OneAccount:
    one = OneAccount(EscrowRule.USAGE, 1000)
    one.state.globals.settlement_wallet = one.wallets["p7"]
    one.state.wallets[one.wallets["p7"], Wallet.balance] = 0
    one.state.globals.supply -= COINS
    return one


def test_a_settlement_is_split_between_provider_platform_and_validators() -> None:
    one = with_settlement_module()
    before = one.state.wallets[:, 1:].copy()
    s, g, p1 = one.state, one.state.globals, one.wallets["p1"]
    for _ in range(2):
        ledger.pay_split(s, p1, 94, 5, 1)
    assert (one.gained("p1"), one.coins(one.wallets["p7"]), one.coins(ESCROW_WALLET)) == (188, 12, 800)
    assert [int(g[c]) for c in (G.paid, G.fees, G.platform_fees, G.validator_fees, G.held)] == [188, 12, 10, 2, 800]
    assert (s.wallets[:, 1:] == before).all()
    assert ledger.audit_totals(s) == AUDIT_FINE
    found = ledger.totals(s)
    assert (found["platform_fees"], found["validator_fees"]) == (10 * ATTO, 2 * ATTO)
    assert not {"platform_fees", "validator_fees"} & ledger.totals(OneAccount(EscrowRule.EXACT, 5).state).keys()


@pytest.mark.parametrize(("column", "change"), [(G.platform_fees, 1), (G.validator_fees, -1), (G.platform_fees, -1), (G.validator_fees, 1)])
def test_the_settlement_module_holds_both_parts(column: int, change: int) -> None:
    one = with_settlement_module()
    ledger.pay_split(one.state, one.wallets["p1"], 94, 5, 1)
    one.state.globals[column] += change
    assert ledger.audit_totals(one.state) == AUDIT_SPLIT
    # coins and parts agree, but not with the fees that were taken
    one.state.wallets[one.wallets["p7"], Wallet.balance] += change
    assert ledger.audit_totals(one.state) == AUDIT_SPLIT
    # a chain without the module keeps no parts
    one.state.globals.settlement_wallet = 0
    assert ledger.audit_totals(one.state) == AUDIT_FINE


def test_usage_escrows_hold_no_more_than_the_funds() -> None:
    one = with_settlement_module()
    assert one.open("p1", "2", usage={"ppm": 10**6, "reserved": (1, 0, 0, 0), "unit": ("1", "0", "0", "0")}) == Status.Ok
    escrows = one.state.usage_escrows
    assert int(escrows[0, UsageEscrow.balance]) == 1000
    assert ledger.account_problem(one.state, 0) == AUDIT_FINE
    escrows[0, UsageEscrow.balance] += 1
    assert ledger.account_problem(one.state, 0) == AUDIT_SET_ASIDE
    escrows[0, UsageEscrow.balance] -= 1
    # two of them hold no more than the funds together
    escrows[0, UsageEscrow.balance] = 400
    assert one.open("p2", "2", 2, usage={"ppm": 10**6, "reserved": (1, 0, 0, 0), "unit": ("1", "0", "0", "0")}) == Status.Ok
    assert int(escrows[1, UsageEscrow.balance]) == 600
    assert ledger.account_problem(one.state, 0) == AUDIT_FINE
    for row in (0, 1):
        escrows[row, UsageEscrow.balance] += 1
        assert ledger.account_problem(one.state, 0) == AUDIT_SET_ASIDE
        escrows[row, UsageEscrow.balance] -= 1
    # nothing is owed by the block
    one.state.accounts[0].rates = 2
    assert ledger.account_problem(one.state, 0) == AUDIT_RATES


def test_a_sweep_finds_what_no_touched_account_shows() -> None:
    one = used()
    s, g = one.state, one.state.globals
    assert ledger.sweep_problem(s) == AUDIT_FINE
    s.wallets[5].balance -= 1
    assert ledger.sweep_problem(s) == AUDIT_SUPPLY
    g[G.supply] = 0
    assert ledger.sweep_problem(s) == AUDIT_FINE
    s.wallets[int(g[G.wallets]) - 1, Wallet.balance] = -1
    assert ledger.sweep_problem(s) == AUDIT_BELOW
    s.wallets[int(g[G.wallets]) - 1, Wallet.balance] = 0
    assert ledger.sweep_problem(s) == AUDIT_FINE
    for column in (G.held, G.held_atto):
        g[column] += 1
        assert ledger.sweep_problem(s) == AUDIT_LIVE
        g[column] -= 1
    # a closed account that still has a deposit, in row 0, is looked at as well
    s.accounts[0].state = AccountState.CLOSED
    s.leases[0, [Lease.balance, Lease.balance_atto]] = 0
    g[G.held], g[G.held_atto] = 992, ATTO // 2
    assert ledger.sweep_problem(s) == AUDIT_FINE
    s.accounts[0].funds += 1
    assert ledger.sweep_problem(s) == AUDIT_DEPOSITS


def test_the_sweep_comes_as_often_as_the_tables_allow() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000)
    s, g, tenant = one.state, one.state.globals, one.wallets["tenant"]
    values, held = books()
    # 13 wallets and 51 accounts, 64 rows: every second audited block
    for row in range(1, 51):
        assert escrow.account_open(s, 100, Scope.BID, row, tenant) == row
    s.wallets[5].balance -= 1
    assert [audit(one, values, held) for _ in range(4)] == [AUDIT_FINE, AUDIT_SUPPLY, AUDIT_FINE, AUDIT_SUPPLY]
    assert int(g[G.audits]) == 4
    # what was found first is told
    ledger.touch(s, 0)
    s.accounts[0].rates = 1
    audit(one, values, held)
    ledger.touch(s, 0)
    assert audit(one, values, held) == AUDIT_RATES


@pytest.mark.parametrize(("rows", "every"), [(1, 1000), (7_999, 1000), (8_000, 1000), (8_008, 1001), (80_007, 10_000)])
def test_full_recounts_keep_pace_with_the_tables(rows: int, every: int) -> None:
    one = OneAccount(EscrowRule.EXACT)
    g = one.state.globals
    g[G.leases] = rows - 1  # and one account
    assert ledger.is_recount_due(one.state)
    assert int(g[G.recount_at]) == every
    g[G.audits] = every - 1
    assert not ledger.is_recount_due(one.state)
    g[G.audits] = every + 5
    assert ledger.is_recount_due(one.state)
    assert int(g[G.recount_at]) == 2 * every + 5


@pytest.mark.parametrize(
    "amount", [(0, 0), (5, 7), (-1, ATTO - 1), (9 * 10**18, ATTO - 1), (-(9 * 10**18), 1), ((1 << 32) - 1, (1 << 30) - 1)]
)
def test_sums_are_kept_in_parts_that_cannot_wrap(amount: tuple[int, int]) -> None:
    sums = np.zeros((2, 4), np.int64)
    for _ in range(1000):
        ledger.add_parts(sums, 1, *amount)
    high, low, fine, finest = (int(part) for part in sums[1])
    assert ((high << 32) + low) * ATTO + (fine << 30) + finest == 1000 * (amount[0] * ATTO + amount[1])
    assert not sums[0].any()
    assert max(abs(high), low, fine, finest) < 1000 * 2**32


def test_a_lease_row_without_a_payment_counts_nothing_and_hides_nothing() -> None:
    one = used()
    s, g = one.state, one.state.globals
    s.leases[2] = s.leases[1]
    s.leases[1] = 0
    s.leases[0].next = 2
    g[G.leases] = 3
    assert one.at(112).settle() == Status.Ok
    assert one.problems() == []
    assert ledger.recount(s)["paid"] == (9 + 4 - 1) * ATTO


def test_the_recount_adds_in_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(state: object, sums: np.ndarray) -> None:
        seen.append((sums.dtype, sums.shape))

    monkeypatch.setattr(ledger, "sum_tables", spy)
    ledger.recount(used().state)
    assert seen == [(np.dtype(np.int64), (7, 4))]
