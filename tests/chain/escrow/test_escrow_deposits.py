"""Deposits: sources in order, grants, refunds to who paid, the list first in first out, rows reused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_account import COINS, NAMES, OneAccount

from marketsim.chain.columns import Account, EscrowRule, Grant, Scope, Wallet
from marketsim.chain.escrow import accounts
from marketsim.chain.escrow import messages as escrow
from marketsim.chain.escrow.accounts import FROM_BALANCE, FROM_GRANT
from marketsim.chain.status import Status

BOTH = FROM_BALANCE + 4 * FROM_GRANT
GRANT_FIRST = FROM_GRANT + 4 * FROM_BALANCE


def with_balance(one: OneAccount, name: str, coins: int) -> None:
    row = one.wallets[name]
    one.state.globals.supply += coins - one.state.wallets[row, Wallet.balance]
    one.state.wallets[row, Wallet.balance] = coins


@pytest.mark.parametrize(
    ("sources", "amount", "status", "records"),
    [
        (FROM_BALANCE, 60, Status.Ok, [("tenant", "60")]),
        (FROM_BALANCE, 101, Status.InvalidDeposit, []),
        (BOTH, 101, Status.Ok, [("tenant", "100"), ("friend", "1")]),
        (BOTH, 160, Status.Ok, [("tenant", "100"), ("friend", "50"), ("granter", "10")]),
        (BOTH, 171, Status.InvalidDeposit, []),
        (GRANT_FIRST, 60, Status.Ok, [("friend", "50"), ("granter", "10")]),
        (GRANT_FIRST, 75, Status.Ok, [("friend", "50"), ("granter", "20"), ("tenant", "5")]),
        (FROM_GRANT, 71, Status.InvalidDeposit, []),
        (FROM_BALANCE + 4 * FROM_BALANCE, 101, Status.InvalidDeposit, []),
        (FROM_GRANT + 4 * FROM_GRANT, 71, Status.InvalidDeposit, []),
        (0, 1, Status.InvalidDeposit, []),
        (0, 0, Status.Ok, []),
    ],
)
def test_sources_are_tried_in_order(sources: int, amount: int, status: Status, records: list[tuple[str, str]]) -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL)
    with_balance(one, "tenant", 100)
    # asked in the order of the granters' names, wherever their rows stand; other scopes and grantees are
    # passed over
    one.grant("granter", "tenant", 20)
    one.grant("p1", "tenant", 1000, Scope.BID)
    one.grant("p2", "friend", 1000)
    one.grant("friend", "tenant", 50, Scope.DEPLOYMENT | Scope.BID)
    one.room()
    before = one.snapshot()
    tenant = one.wallets["tenant"]
    assert escrow.can_collect(one.state, tenant, Scope.DEPLOYMENT, amount, sources) == status
    assert one.snapshot() == before
    assert one.collect("tenant", amount, sources) == status
    assert one.deposits() == records
    if status != Status.Ok:
        assert one.snapshot() == before
    assert one.problems() == []


@pytest.mark.parametrize(("sources", "amount"), [(GRANT_FIRST, 60), (FROM_GRANT, 1000), (BOTH, 150)])
def test_a_granter_who_cannot_pay_fails_the_whole_message(sources: int, amount: int) -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL)
    with_balance(one, "tenant", 100)
    with_balance(one, "friend", 30)
    one.grant("friend", "tenant", 50)
    assert one.collect("tenant", amount, sources) == Status.InsufficientFunds
    assert one.deposits() == []
    # as far as his coins reach
    assert one.collect("tenant", 130, BOTH) == Status.Ok


def test_a_grant_to_oneself_is_asked_for_what_the_balance_left() -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL)
    with_balance(one, "tenant", 100)
    one.grant("tenant", "tenant", 50)
    assert one.collect("tenant", 120, BOTH) == Status.InsufficientFunds
    assert one.collect("tenant", 100, GRANT_FIRST) == Status.Ok
    assert one.deposits() == [("tenant", "50"), ("tenant", "50")]
    with_balance(one, "tenant", 60)
    one.state.grants[0].limit = 60
    assert one.collect("tenant", 60, FROM_GRANT) == Status.Ok


def test_a_grant_at_zero_stays_and_makes_no_record() -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL)
    row = one.grant("friend", "tenant", 50)
    assert one.collect("tenant", 50, FROM_GRANT) == Status.Ok
    assert one.state.grants[row, Grant.limit] == 0
    assert one.collect("tenant", 10, GRANT_FIRST) == Status.Ok
    assert one.deposits() == [("friend", "50"), ("tenant", "10")]


def test_refunds_of_a_grants_money_raise_the_grant_to_the_accounts_owner() -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL, owner="tenant")
    to_owner = one.grant("granter", "tenant", 5, Scope.BID)
    to_friend = one.grant("granter", "friend", 100)
    # A third party pays with a grant of its own; closing raises the owner's grant instead, whatever its
    # scope.
    assert one.collect("friend", 40, FROM_GRANT) == Status.Ok
    assert one.at(110).close() == Status.Ok
    assert one.gained("granter") == 0
    assert one.state.grants[[to_owner, to_friend], Grant.limit].tolist() == [45, 60]


def test_a_deposit_must_reach_an_open_account() -> None:
    one = OneAccount(EscrowRule.EXACT, 10)
    one.grant("friend", "tenant", 50)
    with_balance(one, "friend", 0)
    assert one.close() == Status.Ok
    # what is wrong with the money comes first
    assert one.deposit(0) == Status.InvalidDeposit
    assert one.deposit(COINS + 1) == Status.InvalidDeposit
    assert one.deposit(5, sources=FROM_GRANT) == Status.InsufficientFunds
    assert one.deposit(5) == Status.AccountClosed


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 50)), min_size=1, max_size=8),
    st.lists(st.integers(0, 120), max_size=12),
)
def test_deposits_are_used_first_in_first_out(deposits: list[tuple[bool, int]], amounts: list[int]) -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL)
    one.grant("granter", "tenant", 10**6)
    expected = []
    for granted, amount in deposits:
        assert one.collect("tenant", amount, FROM_GRANT if granted else FROM_BALANCE) == Status.Ok
        expected.append(["granter" if granted else "tenant", amount])
    for amount in amounts:
        left = sum(part for _, part in expected)
        taken = min(amount, left)
        accounts.consume(one.state, one.account, taken, 0)
        while taken > 0:
            part = min(taken, expected[0][1])
            taken -= part
            expected[0][1] -= part
            if expected[0][1] == 0:
                expected.pop(0)
        assert one.deposits() == [(name, str(part)) for name, part in expected]
    # a new deposit goes to the end, in a freed row where there is one
    rows = int(one.state.globals.deposits)
    assert one.collect("tenant", 7) == Status.Ok
    assert one.deposits()[-1] == ("tenant", "7")
    assert int(one.state.globals.deposits) == rows + (len(expected) == len(deposits))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 50)), max_size=8), st.booleans(), st.integers(0, 200))
def test_one_source_can_be_used_first(deposits: list[tuple[bool, int]], from_grant: bool, amount: int) -> None:
    one = OneAccount(EscrowRule.PROPORTIONAL)
    one.grant("granter", "tenant", 10**6)
    for granted, part in deposits:
        one.collect("tenant", part, FROM_GRANT if granted else FROM_BALANCE)
    missing = accounts.consume_from(one.state, one.account, int(from_grant), amount, 0)
    expected, left = [], amount
    for granted, part in deposits:
        taken = min(part, left) if granted == from_grant else 0
        left -= taken
        if part > taken:
            expected.append(("granter" if granted else "tenant", str(part - taken)))
    assert (int(missing[0]), int(missing[1])) == (left, 0)
    assert one.deposits() == expected
    assert one.collect("tenant", 3) == Status.Ok
    assert one.deposits() == [*expected, ("tenant", "3")]


def test_rows_of_released_accounts_are_used_again() -> None:
    one = OneAccount(EscrowRule.EXACT, 10)
    s = one.state
    tenant = one.wallets["tenant"]
    for keep, rows in ((0, 2), (1, 3)):
        s.globals.keep_bids = keep
        for height in range(200, 205):
            bid = int(escrow.account_open(s, height, Scope.BID, 7, tenant))
            assert escrow.collect(s, height, bid, tenant, Scope.BID, 25, FROM_BALANCE) == Status.Ok
            assert s.accounts[bid, Account.created_at] == height
            assert escrow.account_close(s, height + 1, bid) == Status.Ok
            escrow.release_account(s, bid)
            assert one.problems() == []
            if keep:
                break
        assert int(s.globals.accounts) == rows - (keep == 1)
    bid = int(escrow.account_open(s, 300, Scope.BID, 7, tenant))
    assert bid == 2


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers_sort_as_strings_before_a_slash(a: int, b: int) -> None:
    x, y = f"{a}/", f"{b}/"
    assert accounts.compare_decimals(a, b) == (x > y) - (x < y)


@given(
    st.lists(
        st.tuples(st.integers(1, 120), st.integers(1, 120), st.sampled_from(NAMES)),
        min_size=1,
        max_size=12,
        unique=True,
    )
)
def test_payments_stand_in_the_string_order_of_their_keys(keys: list[tuple[int, int, str]]) -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL, 1000)
    ranks = {name: rank for rank, name in enumerate(sorted(NAMES))}
    for name, row in one.wallets.items():
        one.state.wallets[row, Wallet.rank] = ranks[name]
    spelled = {}
    for gseq, oseq, provider in keys:
        spelled[int(one.state.globals.leases)] = f"{gseq}/{oseq}/{provider}"
        assert one.open(provider, "1", gseq, oseq) == Status.Ok
        assert one.open(provider, "1", gseq, oseq) == Status.PaymentExists
    found = []
    lease = int(one.state.accounts[one.account].first_lease)
    while lease >= 0:
        found.append(spelled[lease])
        lease = int(one.state.leases[lease].next)
    assert found == sorted(spelled.values())
