"""Escrow at its edges: amounts of one unit and one atto, the last block, the first refusal, every message where
settlements are still to be caught up, and the exact rows that the record gets.
"""

from __future__ import annotations

import numpy as np
import pytest
from one_account import COINS, STREAMS, OneAccount

from marketsim.chain.columns import (
    COMMUNITY_WALLET,
    ESCROW_WALLET,
    Account,
    Charging,
    Deposit,
    DepositSource,
    EscrowRule,
    EventKind,
    G,
    Lease,
    Quirk,
    Scope,
    Usage,
)
from marketsim.chain.escrow import accounts, exact
from marketsim.chain.escrow import messages as escrow
from marketsim.chain.escrow.accounts import FROM_BALANCE, FROM_GRANT
from marketsim.chain.status import Status
from marketsim.money.pairs import BLOCKS_MAX, from_pair
from marketsim.money.text import format_amount
from marketsim.money.units import ATTO

SEQUENTIAL, PROPORTIONAL, EXACT = EscrowRule.SEQUENTIAL, EscrowRule.PROPORTIONAL, EscrowRule.EXACT
TRUNCATING = (SEQUENTIAL, PROPORTIONAL)
MOST = "9999999999"
"""The highest rate that an account takes: the sum stays below 10^10 uve a block."""


def meter(ppm: int = -1, reserved: tuple[int, ...] = (1, 0, 0, 0), units: tuple[str, ...] = ("1", "0", "0", "0")) -> dict[str, object]:
    return {"ppm": ppm, "reserved": reserved, "unit": units}


def settled(one: OneAccount, *kinds: EventKind) -> list[list[int]]:
    """The events of some kinds, without their height."""
    return [row[1:] for row in one.events() if row[1] in kinds]


def column(one: OneAccount, *columns: int) -> list[int]:
    return [int(one.state.accounts[one.account, c]) for c in columns]


# --- opening payments ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", STREAMS)
def test_the_sum_of_rates_stays_below_ten_thousand_million(rule: EscrowRule) -> None:
    one = OneAccount(rule, 100)
    assert one.open("p1", "10000000000") == Status.AmountTooLarge
    assert one.open("p1", MOST) == Status.Ok
    assert one.open("p2", "1") == Status.AmountTooLarge
    assert one.open("p2", "0.999999999999999999") == Status.Ok
    assert one.amount(Account.rates) == "9999999999.999999999999999999"


@pytest.mark.parametrize("rule", STREAMS)
def test_opening_settles_what_the_others_earned(rule: EscrowRule) -> None:
    one = OneAccount(rule, 100)
    assert one.open("p1", "10") == Status.Ok
    assert one.at(109).open("p2", "7") == Status.Ok
    # 90 went to p1, whose payment is not closed by another's opening; 10 cover no block of both
    assert (one.funds, one.payment("p1"), one.payment("p2")) == ("10", "open", "open")
    assert column(one, Account.settled_at, Account.open, Account.short) == [109, 2, 0]
    assert one.amount(Account.transferred) == "90"
    assert one.problems() == []


@pytest.mark.parametrize("rule", STREAMS)
def test_an_account_without_a_payment_closes_and_gives_everything_back(rule: EscrowRule) -> None:
    one = OneAccount(rule, 60, 40)
    assert one.at(150).settle() == Status.Ok
    assert column(one, Account.settled_at) == [150]
    assert one.at(160).close() == Status.Ok
    assert (one.account_state, one.funds, one.gained("tenant")) == ("closed", "0", 0)
    assert column(one, Account.first_deposit, Account.last_deposit, Account.first_lease) == [-1, -1, -1]
    tenant = one.wallets["tenant"]
    assert settled(one, EventKind.REFUNDED) == [
        [EventKind.REFUNDED, 0, tenant, 60, 0, DepositSource.BALANCE],
        [EventKind.REFUNDED, 0, tenant, 40, 0, DepositSource.BALANCE],
    ]


# --- the take fee -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", TRUNCATING)
@pytest.mark.parametrize("last", ["withdraw", "close_payment", "close", "settle"])
def test_take_is_truncated_on_each_pay_out(rule: EscrowRule, last: str) -> None:
    one = OneAccount(rule, 200, take=2)
    assert one.open("p1", "49") == Status.Ok
    assert one.at(101).withdraw("p1") == Status.Ok
    # 2 % of 49 is 0.98 both times; on 98 it would be 1
    one.at(102)
    assert getattr(one, last)(*(["p1"] if last in ("withdraw", "close_payment") else [])) == Status.Ok
    assert (one.count("p1", Lease.withdrawn), one.gained("p1"), one.coins(COMMUNITY_WALLET)) == (98, 98, 0)
    assert settled(one, EventKind.PAID)[-1] == [EventKind.PAID, 0, one.wallets["p1"], 49, 0, 0]


@pytest.mark.parametrize("rule", TRUNCATING)
def test_take_is_truncated_on_the_pay_out_of_a_shortfall(rule: EscrowRule) -> None:
    one = OneAccount(rule, 98, take=2)
    assert one.open("p1", "49") == Status.Ok
    assert one.at(101).withdraw("p1") == Status.Ok
    assert one.at(103).settle() == Status.Ok
    assert (one.account_state, one.gained("p1"), one.count("p1", Lease.fees)) == ("overdrawn", 98, 0)


def test_take_is_truncated_on_the_pay_outs_of_a_debt() -> None:
    one = OneAccount(SEQUENTIAL, 49, take=2)
    assert one.open("p1", "49") == Status.Ok
    assert one.at(101).withdraw("p1") == Status.Ok
    assert one.at(103).settle() == Status.Ok
    assert one.of("p1", Lease.unsettled) == "98"
    for paid in (49, 49):
        assert one.deposit(paid) == Status.Ok
    assert (one.account_state, one.gained("p1"), one.count("p1", Lease.fees)) == ("closed", 147, 0)


def test_the_exact_rule_takes_on_all_that_was_paid_out() -> None:
    one = OneAccount(EXACT, 200, take=2)
    assert one.open("p1", "49") == Status.Ok
    assert one.at(101).withdraw("p1") == Status.Ok
    assert one.at(102).withdraw("p1") == Status.Ok
    assert (one.gained("p1"), one.count("p1", Lease.fees), one.coins(COMMUNITY_WALLET)) == (97, 1, 1)
    assert settled(one, EventKind.PAID)[-1] == [EventKind.PAID, 0, one.wallets["p1"], 48, 0, 1]


@pytest.mark.parametrize("rule", STREAMS)
@pytest.mark.parametrize(("ppm", "fee"), [(0, 0), (1, 1), (999_999, 999_999), (10**6, 10**6)])
def test_take_is_a_share_in_millionths(rule: EscrowRule, ppm: int, fee: int) -> None:
    one = OneAccount(rule, 10**6)
    one.state.globals.take_ppm = ppm
    assert one.open("p1", "1000000") == Status.Ok
    assert one.at(101).withdraw("p1") == Status.Ok
    assert (one.coins(COMMUNITY_WALLET), one.gained("p1")) == (fee, 10**6 - fee)


@pytest.mark.parametrize("lower", [0, 1])
def test_a_take_that_is_lowered_gives_nothing_back(lower: int) -> None:
    one = OneAccount(EXACT, 10_000, take=2)
    assert one.open("p1", "10") == Status.Ok
    assert one.at(200).withdraw("p1") == Status.Ok
    assert (one.gained("p1"), one.count("p1", Lease.fees)) == (980, 20)
    one.state.globals.take_ppm = lower * 10_000
    # 1 % of 1,500 is less than the 20 that were taken, 1 % of 2,100 is 21
    assert one.at(250).withdraw("p1") == Status.Ok
    assert (one.gained("p1"), one.count("p1", Lease.fees)) == (1480, 20)
    assert one.at(310).withdraw("p1") == Status.Ok
    assert one.count("p1", Lease.fees) == 20 + lower
    assert one.problems() == []


def test_a_pay_out_is_income_of_its_providers_day() -> None:
    one = OneAccount(EXACT, 1000, take=2)
    g = one.state.globals
    one.state = one.state._replace(income=np.zeros((3, 40), np.int64))
    g[G.day_blocks], g[G.income_from] = 10, 160
    assert one.open("p1", "3") == one.open("p2", "50.5") == Status.Ok
    one.state.leases[1].slot = 2
    for h in (110, 170):
        assert one.at(h).withdraw("p1") == Status.Ok
    # at block 110, the eleventh day, 30 and 505, of which 10 are the take; at 170 what is left of the funds
    fees = [one.count(p, Lease.fees) for p in ("p1", "p2")]
    later = one.gained("p1") - 30, one.gained("p2") - 495
    found = {(int(r), int(c)): int(one.state.income[r, c]) for r, c in zip(*np.nonzero(one.state.income), strict=True)}
    # the last two columns: what was earned and taken after the block from which income counts
    assert found == {
        **{(0, 10): 30, (0, 16): later[0], (0, 38): later[0], (0, 39): fees[0]},
        **{(2, 10): 495, (2, 16): later[1], (2, 38): later[1], (2, 39): fees[1] - 10},
    }
    assert one.problems() == []


def test_coins_move_between_their_wallets_alone() -> None:
    one = OneAccount(EXACT, 900, take=20)
    others = one.state.wallets[:, 1:].copy()
    assert one.deposit(100) == Status.Ok
    assert one.open("p1", "10") == Status.Ok
    assert one.at(110).close() == Status.Ok
    assert (one.state.wallets[:, 1:] == others).all()
    changed = {"tenant": -100, "p1": 80}
    assert {name: one.gained(name) for name in one.wallets if one.gained(name)} == changed
    assert (one.coins(ESCROW_WALLET), one.coins(COMMUNITY_WALLET)) == (0, 20)


# --- sequential: debts of one unit, what is stranded, how long funds last -----------------------------------


@pytest.mark.parametrize("rates", [["10"], ["4", "6"]])
def test_an_overdraft_of_one_unit_is_recorded(rates: list[str]) -> None:
    one = OneAccount(SEQUENTIAL, 99)
    for i, rate in enumerate(rates, 1):
        assert one.open(f"p{i}", rate) == Status.Ok
    assert one.at(110).settle() == Status.Ok
    last = f"p{len(rates)}"
    assert (one.account_state, one.funds, one.of(last, Lease.unsettled)) == ("overdrawn", "-1", "1")
    assert int(one.state.globals.debt) == 1
    lease = one.leases[last]
    owed = 10 * int(rates[-1])
    # the record names what is missing beside what was moved
    assert settled(one, EventKind.SETTLED)[-1] == [EventKind.SETTLED, lease, 110, owed - 1, 0, 1]
    assert one.problems() == []


def test_a_debt_is_paid_but_for_one_unit() -> None:
    one = OneAccount(SEQUENTIAL, 100)
    assert one.open("p1", "10") == one.open("p2", "10") == Status.Ok
    assert one.at(110).settle() == Status.Ok
    assert one.of("p2", Lease.unsettled) == "100"
    assert one.deposit(99) == Status.Ok
    assert (one.account_state, one.of("p2", Lease.unsettled), int(one.state.globals.debt)) == ("overdrawn", "1", 1)
    assert settled(one, EventKind.SETTLED)[-1] == [EventKind.SETTLED, 1, 110, 99, 0, 1]
    assert one.deposit(1) == Status.Ok
    assert (one.account_state, one.gained("p1"), one.gained("p2")) == ("closed", 100, 100)
    assert one.problems() == []


def test_a_balance_of_one_unit_is_stranded_by_the_defect() -> None:
    one = OneAccount(SEQUENTIAL, 100, quirks=Quirk.SETTLE_SAME_HEIGHT)
    assert one.open("p1", "1") == one.open("p2", "2") == Status.Ok
    assert one.at(101).withdraw("p2") == Status.Ok
    # E3: settled in this block already, so closing passes over p1 and its one uve
    assert one.close() == Status.Ok
    assert (one.gained("p1"), one.gained("p2"), int(one.state.globals.stranded)) == (0, 2, 1)
    assert (one.payment("p1"), one.gained("tenant")) == ("open", -3)
    assert one.problems() == []


@pytest.mark.parametrize(
    ("rates", "funds", "blocks"),
    [
        (["10"], 0, 1),
        (["10"], 9, 1),
        (["10"], 10, 2),
        (["10"], 100, 11),
        (["0.5"], 100, 202),
        (["1.75", "0.5"], 100, 46),
        (["0.00143792"], 500_000, 347_725_187),
        (["0.002"], 999_999, BLOCKS_MAX),
        (["0.002"], 1_000_000, None),
    ],
)
def test_the_first_span_that_overdraws(rates: list[str], funds: int, blocks: int | None) -> None:
    one = OneAccount(SEQUENTIAL, funds) if funds else OneAccount(SEQUENTIAL)
    for i, rate in enumerate(rates, 1):
        assert one.open(f"p{i}", rate) == Status.Ok
    assert int(escrow.dry_at(one.state, one.account)) == (-1 if blocks is None else 100 + blocks)


# --- proportional -------------------------------------------------------------------------------------------


def test_shares_that_round_up_leave_the_last_one_what_is_there() -> None:
    # 2/3 is rounded up twice; the third gets what is left, one atto less
    one = OneAccount(PROPORTIONAL, 2)
    assert one.open("p1", "1") == one.open("p2", "1") == one.open("p3", "1") == Status.Ok
    assert one.at(101).settle() == Status.Ok
    shares = [one.of(p, Lease.charged) for p in ("p1", "p2", "p3")]
    assert shares == ["0.666666666666666667", "0.666666666666666667", "0.666666666666666666"]
    assert (one.funds, one.amount(Account.transferred), one.amount(Account.dust)) == ("0", "2", "2")
    assert one.problems() == []


def test_one_atto_is_moved_and_nothing_is_no_event() -> None:
    one = OneAccount(PROPORTIONAL, 5)
    assert one.open("p1", "0.000000000000000001") == Status.Ok
    assert one.at(101).withdraw("p1") == Status.Ok
    assert (one.funds, one.of("p1", Lease.balance)) == ("4.999999999999999999", "0.000000000000000001")
    assert settled(one, EventKind.SETTLED, EventKind.PAID) == [[EventKind.SETTLED, 0, 101, 0, 1, 0]]
    assert one.withdraw("p1") == Status.Ok
    assert len(settled(one, EventKind.SETTLED, EventKind.PAID)) == 1
    assert one.close_payment("p1") == Status.Ok
    assert (one.amount(Account.dust), one.of("p1", Lease.balance)) == ("0.000000000000000001", "0")
    assert one.at(102).close() == Status.Ok
    assert (one.gained("tenant"), one.amount(Account.dust)) == (-1, "1")
    assert one.problems() == []


def test_less_than_a_block_from_the_start_is_shared_without_a_whole_block() -> None:
    one = OneAccount(PROPORTIONAL, 6)
    assert one.open("p1", "8") == one.open("p2", "4") == Status.Ok
    assert one.at(103).settle() == Status.Ok
    assert settled(one, EventKind.SETTLED) == [
        [EventKind.SETTLED, 0, 103, 4, 0, 0],
        [EventKind.SETTLED, 1, 103, 2, 0, 0],
    ]
    assert [one.payment("p1"), one.payment("p2"), one.account_state] == ["overdrawn"] * 3
    assert column(one, Account.open, Account.short, Account.rates) == [0, 2, 0]


def test_exactly_the_blocks_that_are_paid_leave_the_account_open() -> None:
    one = OneAccount(PROPORTIONAL, 100)
    assert one.open("p1", "10") == Status.Ok
    assert int(escrow.dry_at(one.state, one.account)) == 111
    assert one.at(110).settle() == Status.Ok
    assert (one.account_state, one.funds, one.gained("p1")) == ("open", "0", 100)
    assert one.settle() == Status.Ok
    assert one.account_state == "open"
    assert one.at(111).close() == Status.Ok
    assert (one.account_state, one.gained("p1")) == ("overdrawn", 100)


# --- deposits -----------------------------------------------------------------------------------------------


def test_the_first_granter_by_name_is_asked_first_whichever_row_he_has() -> None:
    for granters in (["friend", "granter", "p1"], ["p1", "granter", "friend"], ["granter", "friend", "p1"]):
        one = OneAccount(SEQUENTIAL)
        for name in granters:
            one.grant(name, "tenant", 10)
        assert one.collect("tenant", 25, FROM_GRANT) == Status.Ok
        assert one.deposits() == [("friend", "10"), ("granter", "10"), ("p1", "5")]
        left = {name: int(one.state.grants[row].limit) for row, name in enumerate(granters)}
        assert left == {"friend": 0, "granter": 0, "p1": 5}


def test_the_tail_of_the_list_may_stand_in_row_0() -> None:
    one = OneAccount(PROPORTIONAL, 5)
    assert one.deposit(7) == Status.Ok
    one.grant("granter", "tenant", 100)
    accounts.consume(one.state, one.account, 5, 0)
    # row 0 is free again and becomes the tail behind row 1
    assert one.deposit(9, sources=FROM_GRANT) == Status.Ok
    assert column(one, Account.first_deposit, Account.last_deposit) == [1, 0]
    assert tuple(map(int, accounts.consume_from(one.state, one.account, DepositSource.BALANCE, 7, 0))) == (0, 0)
    assert column(one, Account.first_deposit, Account.last_deposit) == [0, 0]
    assert one.deposit(3) == Status.Ok
    assert one.deposits() == [("granter", "9"), ("tenant", "3")]
    assert tuple(map(int, accounts.consume_from(one.state, one.account, DepositSource.GRANT, 10, 5))) == (1, 5)
    assert tuple(map(int, accounts.consume_from(one.state, one.account, DepositSource.BALANCE, 3, 0))) == (0, 0)
    assert column(one, Account.first_deposit, Account.last_deposit) == [-1, -1]


def test_one_atto_is_taken_from_a_deposit() -> None:
    for take in ("consume", "consume_from"):
        one = OneAccount(PROPORTIONAL, 5)
        arguments = (DepositSource.BALANCE, 0, 1) if take == "consume_from" else (0, 1)
        getattr(accounts, take)(one.state, one.account, *arguments)
        assert one.deposits() == [("tenant", "4.999999999999999999")]
        # the rest, to the atto, uses the record up
        rest = (DepositSource.BALANCE, 4, ATTO - 1) if take == "consume_from" else (4, ATTO - 1)
        getattr(accounts, take)(one.state, one.account, *rest)
        assert one.deposits() == []
        assert column(one, Account.first_deposit, Account.last_deposit) == [-1, -1]


def test_a_deposit_keeps_its_height_and_source() -> None:
    one = OneAccount(SEQUENTIAL, 5)
    one.grant("granter", "tenant", 100)
    assert one.at(107).deposit(6, sources=FROM_GRANT + 4 * FROM_BALANCE) == Status.Ok
    rows = one.state.deposits[:2, [Deposit.depositor, Deposit.source, Deposit.amount, Deposit.next, Deposit.height]].tolist()
    assert rows == [
        [one.wallets["tenant"], DepositSource.BALANCE, 5, 1, 100],
        [one.wallets["granter"], DepositSource.GRANT, 6, -1, 107],
    ]
    assert settled(one, EventKind.DEPOSITED)[-1] == [EventKind.DEPOSITED, 0, one.wallets["granter"], 6, 0, DepositSource.GRANT]


def test_a_deposit_of_less_than_one_uve_is_dust_and_no_refund() -> None:
    one = OneAccount(EXACT, 1)
    assert one.open("p1", "0.25") == Status.Ok
    assert one.at(101).close() == Status.Ok
    assert settled(one, EventKind.REFUNDED) == []
    assert (one.gained("tenant"), one.amount(Account.dust)) == (-1, "1")
    assert one.problems() == []


def test_keys_are_ordered_by_number_strings_and_then_by_name() -> None:
    one = OneAccount(SEQUENTIAL, 1000)
    for provider, gseq, oseq in (("p1", 1, 2), ("p2", 1, 2), ("p3", 10, 1), ("p4", 2, 1), ("p5", 1, 10)):
        assert one.open(provider, "1", gseq, oseq) == Status.Ok
    order = [one.leases[p] for p in ("p5", "p1", "p2", "p3", "p4")]
    for i, a in enumerate(order):
        for j, b in enumerate(order):
            assert accounts.compare_keys(one.state, a, b) == (i > j) - (i < j)
    # the later name is opened first and still stands behind
    assert one.open("p7", "1", 5) == one.open("p6", "1", 5) == Status.Ok
    found = []
    lease = column(one, Account.first_lease)[0]
    while lease >= 0:
        found.append(lease)
        lease = int(one.state.leases[lease].next)
    assert found == [*order, one.leases["p6"], one.leases["p7"]]


def test_a_payment_begins_with_nothing_whatever_the_row_held() -> None:
    one = OneAccount(EXACT, 1000)
    x = one.state.leases[0]
    x[:] = 5
    x[Lease.provider], x[Lease.usage] = one.wallets["p1"], -1
    assert escrow.payment_open(one.state, 100, one.account, 0) == Status.Ok
    kept = {Lease.bid, Lease.order, Lease.state, Lease.created_at, Lease.active_at, Lease.closed_at, Lease.reason, Lease.window}
    kept |= {Lease.deadline, Lease.gseq, Lease.oseq, Lease.rate, Lease.rate_atto, Lease.slot}
    assert all(x[c] == 5 for c in kept)
    for c in range(Lease.balance, Lease.charged_atto + 1):
        assert x[c] == 0
    assert x[[Lease.account, Lease.next, Lease.shortfall, Lease.shortfall_atto]].tolist() == [0, -1, 0, 0]


@pytest.mark.parametrize("rule", [EXACT, PROPORTIONAL])
def test_one_atto_of_an_ended_payment_is_dust(rule: EscrowRule) -> None:
    one = OneAccount(rule, 5)
    assert one.open("p1", "1.000000000000000001") == Status.Ok
    assert one.at(101).close_payment("p1") == Status.Ok
    assert (one.gained("p1"), one.amount(Account.dust), one.of("p1", Lease.balance)) == (1, "0.000000000000000001", "0")
    assert one.problems() == []


def test_row_0_is_used_again_as_well() -> None:
    one = OneAccount(EXACT, 10)
    assert one.close() == Status.Ok
    escrow.release_account(one.state, 0)
    assert int(escrow.account_open(one.state, 200, Scope.BID, 7, one.wallets["tenant"])) == 0
    assert one.state.globals[[G.accounts, G.free_account]].tolist() == [1, -1]


def test_an_account_of_a_bid_that_is_used_again_has_nothing_of_the_old_one() -> None:
    one = OneAccount(EXACT, 10)
    s, tenant = one.state, one.wallets["tenant"]
    bid = int(escrow.account_open(s, 200, Scope.BID, 7, tenant))
    assert escrow.collect(s, 200, bid, tenant, Scope.BID, 25, FROM_BALANCE) == Status.Ok
    s.accounts[bid, [Account.dust, Account.shortfall_atto, Account.transferred]] = 3
    assert escrow.account_close(s, 201, bid) == Status.Ok
    escrow.release_account(s, bid)
    friend = one.wallets["friend"]
    assert int(escrow.account_open(s, 300, Scope.BID, 8, friend)) == bid
    row = dict(enumerate(s.accounts[bid].tolist()))
    for none in (Account.first_deposit, Account.last_deposit, Account.first_lease, Account.due_at, Account.grace_at, Account.next):
        assert row.pop(none) == -1
    assert (row.pop(Account.owner), row.pop(Account.scope), row.pop(Account.target)) == (friend, Scope.BID, 8)
    assert (row.pop(Account.created_at), row.pop(Account.settled_at)) == (300, 300)
    row.pop(Account.touched)  # the audit's list lives on
    row.pop(Account.state)
    assert set(row.values()) == {0}
    assert int(s.globals.free_account) == -1


# --- exact: settlements that a message has to catch up ------------------------------------------------------


def behind() -> OneAccount:
    """Use without a cap, three times the price, settled every 10 blocks; nobody has settled since 100: at 110
    there was 300 owed and 100 there, so everything after is wrong to charge.
    """
    one = OneAccount(EXACT, 100, charging=Charging.USAGE, settle_every=10, grace=50)
    assert one.open("p1", "10", usage=meter(3_000_000)) == Status.Ok
    return one.at(125)


@pytest.mark.parametrize(
    ("message", "arguments", "status", "payment", "settled_at"),
    [
        ("withdraw", ["p1"], Status.PaymentClosed, "overdrawn", 110),
        ("open", ["p2", "1"], Status.AccountOverdrawn, "overdrawn", 110),
        ("close_payment", ["p1"], Status.Ok, "closed", 125),
        ("close", [], Status.Ok, "closed", 125),
        ("settle", [], Status.Ok, "overdrawn", 125),
        ("deposit", [9], Status.Ok, "overdrawn", 110),
        ("deposit", [10], Status.Ok, "open", 125),
    ],
)
def test_a_message_finds_the_shortfall_of_a_settlement_before_it(
    message: str, arguments: list[object], status: Status, payment: str, settled_at: int
) -> None:
    one = behind()
    assert getattr(one, message)(*arguments) == status
    assert (one.payment("p1"), column(one, Account.settled_at)) == (payment, [settled_at])
    # found at 110: 300 owed, not the 750 of block 125
    assert (one.amount(Account.shortfall), one.gained("p1")) == ("200", 100)
    assert [row[0] for row in one.events() if row[1] == EventKind.SHORTFALL] == [110]
    assert int(one.state.globals.height) == 125
    assert one.problems() == []


@pytest.mark.parametrize("message", ["withdraw", "close_payment", "settle", "open"])
def test_a_message_that_leaves_less_than_one_block_ends_nothing(message: str) -> None:
    one = OneAccount(EXACT, 115, grace=50)
    assert one.open("p1", "10") == one.open("p2", "0.5") == Status.Ok
    one.at(110)
    arguments = {"withdraw": ["p2"], "close_payment": ["p2"], "settle": [], "open": ["p3", "1"]}[message]
    assert getattr(one, message)(*arguments) == Status.Ok
    # 105 of 115 are gone; the next block costs more than the 10 that are left, or exactly them
    assert (one.funds, one.payment("p1"), one.gained("p1")) == ("10", "open", 100)
    assert column(one, Account.settled_at, Account.grace_at) == [110, -1]
    assert column(one, Account.due_at) == [112 if message == "close_payment" else 111]


def test_a_due_settlement_needs_one_block_of_all_to_go_on() -> None:
    # Nothing is used, so all of it is still there at the due height; a block costs as much, or an atto more.
    for rate, state in (("100", "open"), ("100.000000000000000001", "overdrawn")):
        one = OneAccount(EXACT, 100, charging=Charging.USAGE_CAPPED, grace=50)
        assert one.open("p1", rate, usage=meter()) == Status.Ok
        due = column(one, Account.due_at)[0]
        assert due == (102 if state == "open" else 101)
        one.at(due).room()
        assert bool(exact.due(one.state, due, one.account)) == (state == "overdrawn")
        assert (one.payment("p1"), one.funds, one.amount(Account.shortfall)) == (state, "100", "0")
        grace = due + 50 if state == "overdrawn" else -1
        assert column(one, Account.grace_at, Account.due_at) == [grace, -1 if state == "overdrawn" else due + 2]


def test_grace_ends_at_its_height_alone_and_leaves_no_dates() -> None:
    one = OneAccount(EXACT, 105, grace=50)
    assert one.open("p1", "10") == one.open("p2", "0.25", oseq=2) == Status.Ok
    assert one.step_to(111) == [111]
    assert one.at(120).deposit(6) == Status.Ok
    one.at(161).room()
    for h in (160, 162):
        assert bool(exact.grace_end(one.state, h, one.account)) is False
    assert bool(exact.grace_end(one.state, 161, one.account)) is True
    assert column(one, Account.due_at, Account.grace_at, Account.open, Account.short, Account.settled_at) == [-1, -1, 0, 0, 111]
    assert (one.account_state, one.payment("p1"), one.payment("p2")) == ("closed", "closed", "closed")
    assert one.problems() == []
    assert bool(exact.grace_end(one.state, 161, one.account)) is False


def test_payments_that_are_closed_stay_so_when_the_others_end() -> None:
    one = OneAccount(EXACT, 100)
    assert one.open("p1", "0.75") == one.open("p2", "0.5") == Status.Ok
    assert one.at(101).close_payment("p1") == Status.Ok
    assert one.at(102).close() == Status.Ok
    # 0.75 of p1, nothing of p2, who is owed one whole uve, and 0.25 of the 98.25 that go back
    assert (one.gained("p1"), one.gained("p2"), one.gained("tenant"), one.amount(Account.dust)) == (0, 1, -2, "1")


# --- exact: the cadence -------------------------------------------------------------------------------------


def test_without_a_cadence_only_the_due_height_settles() -> None:
    one = OneAccount(EXACT, 100, settle_every=0, grace=50)
    assert one.open("p1", "10") == Status.Ok
    assert [int(exact.last_cadence(one.state, h, one.account)) for h in (100, 500)] == [100, 100]
    assert int(exact.next_cadence(one.state, 105, one.account)) == -1
    assert one.step_to(1000) == [111, 161]
    assert (one.gained("p1"), one.amount(Account.shortfall)) == (100, "10")


def test_the_cadence_counts_from_the_accounts_creation() -> None:
    one = OneAccount(EXACT, 1000, settle_every=7, opened_at=103)
    assert one.open("p1", "10") == Status.Ok
    assert [int(exact.last_cadence(one.state, h, one.account)) for h in (103, 109, 110, 116, 117)] == [103, 103, 110, 110, 117]
    assert [int(exact.next_cadence(one.state, h, one.account)) for h in (103, 109, 110)] == [110, 110, 117]
    assert int(exact.step_to(one.state, 109, one.account)) == -1
    assert int(exact.step_to(one.state, 110, one.account)) == 110
    assert one.at(112).close_payment("p1") == Status.Ok
    assert int(exact.next_cadence(one.state, 112, one.account)) == -1
    assert int(exact.step_to(one.state, 10_000, one.account)) == -1


def test_settling_without_a_payment_moves_the_date_alone() -> None:
    one = OneAccount(EXACT, 10)
    assert bool(exact.settle(one.state, 150, one.account, False)) is False
    assert column(one, Account.settled_at, Account.due_at) == [150, -1]
    assert one.funds == "10"


def test_one_atto_is_settled_and_nothing_is_no_event() -> None:
    one = OneAccount(EXACT, 1)
    assert one.open("p1", "0.000000000000000001") == Status.Ok
    assert one.at(101).settle() == Status.Ok
    assert (one.funds, one.of("p1", Lease.balance), one.deposits()) == (
        "0.999999999999999999",
        "0.000000000000000001",
        [("tenant", "0.999999999999999999")],
    )
    assert one.settle() == Status.Ok
    assert settled(one, EventKind.SETTLED) == [[EventKind.SETTLED, 0, 101, 0, 1, 1]]
    assert one.problems() == []


def test_the_cadence_below_the_due_height_settles_in_its_own_block() -> None:
    one = OneAccount(EXACT, 100, settle_every=10, grace=50)
    assert one.open("p1", "7") == one.open("p2", "3") == Status.Ok
    assert column(one, Account.due_at) == [111]
    one.at(111).room()
    assert bool(exact.due(one.state, 111, one.account)) is True
    assert [row for row in one.events() if row[1] in (EventKind.SETTLED, EventKind.SHORTFALL)] == [
        [110, EventKind.SETTLED, 0, 110, 70, 0, 10],
        [110, EventKind.SETTLED, 1, 110, 30, 0, 10],
        [111, EventKind.SHORTFALL, 0, 111, 7, 0, 0],
        [111, EventKind.SHORTFALL, 1, 111, 3, 0, 0],
    ]


@pytest.mark.parametrize("funds", [*range(38, 800, 37), 605, 10_000, 14_999])
def test_folding_finds_the_first_settlement_that_cannot_be_paid(funds: int) -> None:
    # Two payments at three times their price of 1.234567890123456789 and 2 together: about 97 a cadence.
    one = OneAccount(EXACT, funds, charging=Charging.USAGE, settle_every=10, grace=10**6)
    assert one.open("p1", "1.234567890123456789", usage=meter(3_000_000)) == Status.Ok
    assert one.open("p2", "2", usage=meter(3_000_000)) == Status.Ok
    first, each = 30 * 1_234_567_890_123_456_789, 30 * 3_234_567_890_123_456_789
    paid, left = divmod(funds * ATTO, each)
    one.at(5_005).room()
    assert bool(exact.fold(one.state, 5_005, one.account)) is True
    assert int(one.state.globals.height) == 5_005
    end = 100 + 10 * (paid + 1)
    assert column(one, Account.settled_at, Account.grace_at) == [end, end + 10**6]
    assert one.amount(Account.shortfall) == format_amount(each - left)
    assert one.of("p1", Lease.charged) == format_amount((paid + 1) * first)
    assert (one.funds, one.amount(Account.transferred), one.problems()) == ("0", str(funds), [])
    # what was left is shared by what was owed
    whole, fraction = divmod(paid * first + left * first // each, ATTO)
    assert (one.gained("p1"), one.of("p1", Lease.balance)) == (whole, format_amount(fraction))
    # one event for all that could be paid, one for the rest, each in its own block
    spans = [(row[0], row[3], row[6]) for row in one.events() if row[1] == EventKind.SETTLED and row[2] == 1]
    assert spans == [(end - 10, end - 10, 10 * paid)] * (paid > 0) + [(end, end, 10)]


def test_folding_is_exact_where_the_cap_binds() -> None:
    one = OneAccount(EXACT, 40, charging=Charging.USAGE_CAPPED, settle_every=10, grace=50)
    assert one.open("p1", "1.234567890123456789", usage=meter()) == one.open("p2", "0.1", usage=meter()) == Status.Ok
    for provider in ("p1", "p2"):
        assert one.at(105).use(provider, 10**9, 0, 0, 0) == Status.Ok
    one.at(5_005).room()
    # 13.34567890123456789 a cadence: twice paid in full, 13.30864219753086422 left for the third
    assert bool(exact.fold(one.state, 5_005, one.account)) is True
    assert column(one, Account.settled_at, Account.transferred, Account.transferred_atto) == [130, 40, 0]
    assert (one.of("p1", Lease.charged), one.of("p2", Lease.charged)) == ("37.03703670370370367", "3")
    assert one.amount(Account.shortfall) == "0.03703670370370367"


def test_a_settlement_that_leaves_less_than_a_block_does_not_stop_a_fold() -> None:
    one = OneAccount(EXACT, 605, charging=Charging.USAGE, settle_every=10, grace=50)
    assert one.open("p1", "10", usage=meter(3_000_000)) == Status.Ok
    one.at(145).room()
    # 300 a cadence: 5 are left at 120, fewer than the price of a block, and 300 are owed at 130
    assert bool(exact.fold(one.state, 145, one.account)) is True
    assert (column(one, Account.settled_at), one.amount(Account.shortfall)) == ([130], "295")


def test_new_use_is_seen_by_the_next_settlement_of_the_cadence() -> None:
    one = OneAccount(EXACT, 10_000, charging=Charging.USAGE_CAPPED, settle_every=50)
    assert one.open("p1", "1", usage=meter()) == one.open("p2", "1", usage=meter()) == Status.Ok
    assert column(one, Account.due_at) == [150]
    one.step_to(150)
    # nothing recorded since: 10,000 / 2 blocks from 150 on, and one
    assert column(one, Account.due_at) == [5_151]
    assert one.at(160).use("p2", 6, 0, 0, 0) == Status.Ok
    assert column(one, Account.due_at) == [200]
    assert one.at(170).settle() == Status.Ok
    assert column(one, Account.due_at)[0] > 5_151
    # in the block of the settlement, after it
    assert one.use("p1", 6, 0, 0, 0) == Status.Ok
    assert column(one, Account.due_at) == [200]
    assert one.at(180).close_payment("p1") == Status.Ok
    assert column(one, Account.due_at)[0] > 5_151
    assert one.at(181).close_payment("p2") == Status.Ok
    assert column(one, Account.due_at) == [-1]


def test_use_without_a_cap_is_looked_at_by_every_settlement() -> None:
    for settle_every, due in ((50, 150), (0, 10_101)):
        one = OneAccount(EXACT, 10_000, charging=Charging.USAGE, settle_every=settle_every)
        assert one.open("p1", "1", usage=meter(500_000)) == Status.Ok
        assert column(one, Account.due_at) == [due]
    by_rate = OneAccount(EXACT, 10_000, charging=Charging.RATE, settle_every=50)
    assert by_rate.open("p1", "1", usage=meter()) == Status.Ok
    assert column(by_rate, Account.due_at) == [10_101]
    # the funds end before the next settlement
    short = OneAccount(EXACT, 20, charging=Charging.USAGE, settle_every=50)
    assert short.open("p1", "1", usage=meter(500_000)) == Status.Ok
    assert column(short, Account.due_at) == [121]


# --- exact: the shortfall -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "missing"),
    [("100.000000000000000001", (0, 1)), ("101", (1, 0)), ("101.5", (1, ATTO // 2)), ("102", (2, 0))],
)
def test_what_is_missing_is_forgiven_and_recorded(rate: str, missing: tuple[int, int]) -> None:
    one = OneAccount(EXACT, 100, grace=50)
    assert one.open("p1", rate) == Status.Ok
    assert one.at(101).settle() == Status.Ok
    row, a, g = one.state.leases[0], one.state.accounts[0], one.state.globals
    for pairs, at in ((row, Lease.shortfall), (a, Account.shortfall), (g, G.shortfall)):
        assert tuple(pairs[at : at + 2].tolist()) == missing
    assert one.of("p1", Lease.charged) == rate
    assert settled(one, EventKind.SETTLED, EventKind.PAID, EventKind.SHORTFALL) == [
        [EventKind.SETTLED, 0, 101, 100, 0, 1],
        [EventKind.PAID, 0, one.wallets["p1"], 100, 0, 0],
        [EventKind.SHORTFALL, 0, 101, *missing, 0],
    ]
    assert one.problems() == []


def test_who_is_owed_nothing_misses_nothing() -> None:
    one = OneAccount(EXACT, 100, charging=Charging.USAGE_CAPPED)
    assert one.open("p1", "10") == one.open("p2", "10", usage=meter()) == Status.Ok
    assert one.at(111).settle() == Status.Ok
    kinds = (EventKind.SETTLED, EventKind.PAID, EventKind.SHORTFALL)
    assert settled(one, *kinds) == [
        [EventKind.SETTLED, 0, 111, 100, 0, 11],
        [EventKind.PAID, 0, one.wallets["p1"], 100, 0, 0],
        [EventKind.SHORTFALL, 0, 111, 10, 0, 0],
    ]
    assert [one.payment("p1"), one.payment("p2")] == ["overdrawn", "overdrawn"]


def test_a_shortfall_is_shared_by_what_is_owed_and_the_last_takes_the_rest() -> None:
    one = OneAccount(EXACT, 10, grace=50)
    assert one.open("p1", "1") == one.open("p2", "3") == one.open("p3", "3") == Status.Ok
    assert one.at(102).settle() == Status.Ok
    # owed 2, 6, 6 with 10 there
    credited = [one.of(p, Lease.balance) for p in ("p1", "p2", "p3")]
    assert credited == ["0.428571428571428571", "0.285714285714285714", "0.285714285714285715"]
    assert [one.gained(p) for p in ("p1", "p2", "p3")] == [1, 4, 4]
    forgiven = [one.of(p, Lease.shortfall) for p in ("p1", "p2", "p3")]
    assert forgiven == ["0.571428571428571429", "1.714285714285714286", "1.714285714285714285"]
    assert (one.amount(Account.shortfall), one.funds, one.amount(Account.transferred)) == ("4", "0", "10")
    assert one.problems() == []


# --- exact: metering ----------------------------------------------------------------------------------------


def test_a_workload_that_does_not_run_uses_nothing() -> None:
    one = OneAccount(EXACT, 1000, charging=Charging.USAGE_CAPPED)
    assert one.open("p1", "10", usage=meter(500_000) | {"active_at": -1}) == Status.Ok
    assert one.at(110).settle() == Status.Ok
    assert (one.gained("p1"), one.count("p1", Lease.blocks)) == (0, 10)
    # running since 115: five blocks at half use are 25
    one.state.leases[0].active_at = 115
    assert one.at(120).settle() == Status.Ok
    assert one.gained("p1") == 25


def test_a_workload_that_runs_from_block_0_is_metered() -> None:
    one = OneAccount(EXACT, 1000, charging=Charging.USAGE_CAPPED, opened_at=0)
    assert one.open("p1", "10", usage=meter(500_000) | {"active_at": 0}) == Status.Ok
    assert one.at(10).settle() == Status.Ok
    assert one.gained("p1") == 50


def test_the_meter_stands_still_while_funds_are_out() -> None:
    one = OneAccount(EXACT, 10, charging=Charging.USAGE, settle_every=600)
    assert one.open("p1", "10", usage=meter(1_000_000, reserved=(2, 0, 0, 0))) == Status.Ok
    assert one.step_to(102) == [102]
    assert one.payment("p1") == "overdrawn"
    # two blocks of 6 s with 2 millicores in full use
    for h in (102, 500):
        assert tuple(map(int, exact.used(one.state, h, 0, 0))) == (0, 24)
    assert one.at(300).deposit(10) == Status.Ok
    assert tuple(map(int, exact.used(one.state, 301, 0, 0))) == (0, 36)


def test_use_of_exactly_the_most_is_taken() -> None:
    one = OneAccount(EXACT, 1000, charging=Charging.USAGE_CAPPED)
    assert one.open("p1", "6", usage=meter()) == Status.Ok
    # price 6, blocks of 6 s, one millicore: each recorded unit is worth one uve
    assert one.use("p1", exact.PRICED_USE_MAX, 0, 0, 0) == Status.Ok
    assert from_pair(*exact.priced_use(one.state, one.h, 0)) == exact.PRICED_USE_MAX * ATTO
    assert one.use("p1", 1, 0, 0, 0) == Status.AmountTooLarge
    assert from_pair(*exact.priced_use(one.state, one.h, 0)) == exact.PRICED_USE_MAX * ATTO


def test_only_what_is_reserved_is_priced_and_nothing_left_in_the_work_space_counts() -> None:
    one = OneAccount(EXACT, 1000, charging=Charging.USAGE)
    assert one.open("p1", "6", usage=meter(-1, (1, 0, 5, 0), ("1", "1", "0", "1"))) == Status.Ok
    one.state.scratch[:] = 7
    assert one.use("p1", 50, 60, 70, 80) == Status.Ok
    one.state.scratch[:] = 10**9 - 1
    assert tuple(map(int, exact.priced_use(one.state, one.h, 0))) == (50, 0)
    one.state.usage[0].unit_cpu = 0
    assert tuple(map(int, exact.priced_use(one.state, one.h, 0))) == (-1, 0)


def test_a_meter_at_nothing_counts_blocks_and_no_use() -> None:
    one = OneAccount(EXACT, 10_000, charging=Charging.USAGE_CAPPED)
    assert one.open("p1", "1", usage=meter(0)) == Status.Ok
    assert one.at(110).settle() == Status.Ok
    assert one.gained("p1") == 0
    assert one.state.usage[0, [Usage.metered, Usage.until]].tolist() == [10, 110]
    assert tuple(map(int, exact.used(one.state, 500, 0, 0))) == (0, 0)
    # nor does it look at what may stand where reported use is kept
    one.state.usage[0].used_cpu_low = 5
    assert tuple(map(int, exact.used(one.state, 500, 0, 0))) == (0, 0)
    # what a built-in meter counts is no record that a settlement would have to see: due after 10,000 blocks
    assert column(one, Account.due_at) == [110 + 10_001]


def test_full_use_costs_the_price_of_the_metered_blocks_whatever_the_units() -> None:
    for units in (("1", "0", "0", "0"), ("0", "0", "0", "0")):
        one = OneAccount(EXACT, 1000, charging=Charging.USAGE_CAPPED)
        assert one.open("p1", "3.5", usage=meter(1_000_000, units=units) | {"active_at": 104}) == Status.Ok
        assert one.at(110).settle() == Status.Ok
        assert one.gained("p1") == 21


@pytest.mark.parametrize(
    ("block_ms", "cost"), [(6000, "35"), (1001, "34.965034965034965034"), (6500, "35"), (1000, "35"), (999, "31.531531531531531531")]
)
def test_use_in_blocks_of_broken_seconds_is_cut_to_whole_units(block_ms: int, cost: str) -> None:
    # one millicore in full use: 10 blocks of 1.001 s are 10 whole units of 10.01
    one = OneAccount(EXACT, 1000, charging=Charging.USAGE)
    one.state.globals.block_ms = block_ms
    assert one.open("p1", "3.5", usage=meter(1_000_000)) == Status.Ok
    assert one.at(110).settle() == Status.Ok
    assert one.of("p1", Lease.charged) == cost


@pytest.mark.parametrize("resource", range(4))
@pytest.mark.parametrize("unit", ["1", "0.000000000000000001", "3.5"])
def test_use_that_no_int64_holds_is_refused_for_each_resource(resource: int, unit: str) -> None:
    one = OneAccount(EXACT, 1000, charging=Charging.USAGE)
    reserved = tuple(int(k == resource) for k in range(4))
    units = tuple(unit if k == resource else "0" for k in range(4))
    assert one.open("p1", MOST, usage=meter(-1, reserved, units)) == Status.Ok
    quantities = [9 * 10**18 if k == resource else 0 for k in range(4)]
    before = one.state.usage[0].tolist()
    assert one.use("p1", *quantities) == Status.AmountTooLarge
    assert one.state.usage[0].tolist() == before
    assert one.use("p1", *(1 if q else 0 for q in quantities)) == Status.Ok


@pytest.mark.parametrize("resource", range(4))
def test_use_that_costs_nothing_is_never_too_large(resource: int) -> None:
    # nothing of a priced resource is reserved, or what is reserved has no price
    for reserved, units in (((0, 0, 0, 0), ("5", "5", "5", "5")), (None, None)):
        one = OneAccount(EXACT, 1000, charging=Charging.USAGE)
        if reserved is None:
            reserved = tuple(int(k == resource) for k in range(4))
            units = tuple("0" if k == resource else "5" for k in range(4))
        one.state.globals.leases = 1  # a lease of another row than 0, so that no column of the meter is 0 by chance
        assert one.open("p1", "2", usage=meter(-1, reserved, units)) == Status.Ok
        assert one.use("p1", *[9 * 10**18] * 4) == Status.Ok
        assert int(exact.priced_use(one.state, one.h, 1)[0]) == -1


def test_quantities_are_counted_to_the_last_unit() -> None:
    one = OneAccount(EXACT, 1000, charging=Charging.USAGE)
    assert one.open("p1", "0.000000000000000001", usage=meter(-1, (1, 1, 1, 1), ("1", "1", "1", "1"))) == Status.Ok
    quantities = (2 * 10**18 - 1, 3 * 10**18 - 1, 4 * 10**18, 10**18 - 1)
    assert one.use("p1", *quantities) == Status.Ok
    assert one.state.usage[0, Usage.used_cpu : Usage.used_gpu_low + 1].tolist() == [1, ATTO - 1, 2, ATTO - 1, 4, 0, 0, ATTO - 1]
    # what is refused is taken back to the last unit as well
    one.state.leases[0].rate = int(MOST)
    assert one.use("p1", *quantities) == Status.AmountTooLarge
    assert one.state.usage[0, Usage.used_cpu : Usage.used_gpu_low + 1].tolist() == [1, ATTO - 1, 2, ATTO - 1, 4, 0, 0, ATTO - 1]


def test_a_record_comes_after_the_settlements_below_it() -> None:
    one = OneAccount(EXACT, 1000, charging=Charging.USAGE_CAPPED, settle_every=10)
    assert one.open("p1", "6", usage=meter()) == one.open("p2", "1") == Status.Ok
    assert one.at(111).use("p1", 12, 0, 0, 0) == Status.Ok
    # the settlement at 110 has paid p2 its ten blocks, and did not see this record
    assert column(one, Account.settled_at) == [110]
    assert (one.gained("p1"), one.gained("p2")) == (0, 10)
    assert one.events()[-1] == [111, EventKind.USAGE_RECORDED, 0, 111, 0, 0, 0]
    # in the block of a settlement it comes before it
    assert one.at(120).use("p1", 6, 0, 0, 0) == Status.Ok
    assert column(one, Account.settled_at) == [110]
    one.jump_to(120)
    assert (one.gained("p1"), one.gained("p2")) == (18, 20)


@pytest.mark.parametrize("ppm", [0, 500_000])
def test_a_lease_that_meters_itself_takes_no_record(ppm: int) -> None:
    one = OneAccount(EXACT, 1000, charging=Charging.USAGE)
    assert one.open("p1", "10", usage=meter(ppm)) == Status.Ok
    before = one.state.usage[0].tolist()
    assert one.at(104).use("p1", 10**6, 0, 0, 0) == Status.UsageInvalid
    assert one.state.usage[0].tolist() == before
    assert from_pair(*exact.priced_use(one.state, 104, 0)) == 40 * ppm * ATTO // 10**6


def test_a_record_that_comes_after_the_shortfall_is_refused() -> None:
    one = OneAccount(EXACT, 100, charging=Charging.USAGE, settle_every=10)
    assert one.open("p1", "10", usage=meter()) == Status.Ok
    # 180 units in blocks of 6 s at a price of 10: 300 owed, with 100 there
    assert one.at(105).use("p1", 180, 0, 0, 0) == Status.Ok
    assert one.at(125).use("p1", 6, 0, 0, 0) == Status.LeaseNotActive
    assert (one.payment("p1"), one.amount(Account.shortfall), column(one, Account.settled_at)) == ("overdrawn", "200", [110])
    assert one.state.usage[0, [Usage.used_cpu_low, Usage.until]].tolist() == [180, 105]


# --- projections --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "left", "dry"), [(SEQUENTIAL, 7, 114), (PROPORTIONAL, 7, 114), (EXACT, 7, 114)])
def test_projections_count_from_the_last_settlement(rule: EscrowRule, left: int, dry: int) -> None:
    one = OneAccount(rule, 70, opened_at=93)
    assert one.open("p1", "3") == one.open("p2", "0.5") == Status.Ok
    assert one.at(103).settle() == Status.Ok
    # 35 of 70 are gone; 10 more blocks from 103 on
    assert (one.funds, int(escrow.blocks_left(one.state, 106, one.account))) == ("35", left)
    assert int(escrow.dry_at(one.state, one.account)) == dry
    assert from_pair(*escrow.live_funds(one.state, 107, one.account)) == 21 * ATTO
    assert one.close_payment("p1") == Status.Ok
    assert from_pair(*escrow.live_funds(one.state, 107, one.account)) == 33 * ATTO
    assert int(escrow.blocks_left(one.state, 107, one.account)) == 66
    assert one.close_payment("p2") == Status.Ok
    assert (int(escrow.blocks_left(one.state, 107, one.account)), int(escrow.dry_at(one.state, one.account))) == (-1, -1)
    assert one.gained("tenant") == -70
    assert COINS == 10**15


def test_whole_blocks_left_at_a_rate_of_one_of_an_atto_and_of_nothing() -> None:
    one = OneAccount(EXACT, 100)
    assert one.open("p1", "1") == Status.Ok
    assert int(escrow.blocks_left(one.state, 103, one.account)) == 97
    a = one.state.accounts[one.account]
    a[Account.rates], a[Account.rates_atto] = 0, 1
    assert int(escrow.blocks_left(one.state, 110, one.account)) == BLOCKS_MAX - 10
    a[Account.rates_atto] = 0
    assert int(escrow.blocks_left(one.state, 110, one.account)) == BLOCKS_MAX


# --- usage escrows through the same messages ----------------------------------------------------------------


def reserving() -> OneAccount:
    """1,000 uve set aside for one order at 10 uve a block, half of it used; the module's parts go to p7."""
    one = OneAccount(EscrowRule.USAGE, 1000)
    one.state.globals.settlement_wallet = one.wallets["p7"]
    one.state.wallets[one.wallets["p7"], 0] = 0
    one.state.globals.supply -= COINS
    assert one.open("p1", "10", usage=meter(500_000)) == Status.Ok
    return one


@pytest.mark.parametrize("message", ["withdraw", "close_payment", "settle", "close"])
def test_a_usage_escrow_answers_the_same_messages(message: str) -> None:
    one = reserving()
    assert from_pair(*escrow.live_funds(one.state, 120, one.account)) == 1000 * ATTO
    assert int(escrow.dry_at(one.state, one.account)) == -1
    assert int(escrow.blocks_left(one.state, 120, one.account)) == BLOCKS_MAX
    assert one.open("p2", "1", 2) == Status.AccountOverdrawn
    one.at(140)
    assert getattr(one, message)(*(["p1"] if message in ("withdraw", "close_payment") else [])) == Status.Ok
    # 40 blocks at half use: 200, of which 5 % and 1 % go to the settlement module
    assert (one.gained("p1"), one.coins(one.wallets["p7"])) == (188, 12)
    closed = message in ("close", "close_payment")
    assert one.payment("p1") == ("closed" if closed else "open")
    assert (one.funds, one.account_state) == (("0", "closed") if message == "close" else ("800", "open"))
    assert one.gained("tenant") == (-200 if message == "close" else -1000)
    assert one.problems() == []
    if closed:
        assert one.withdraw("p1") == one.close_payment("p1") == Status.PaymentClosed
    if message == "close":
        assert one.close() == one.settle() == one.deposit(1) == Status.AccountClosed


def test_a_usage_escrow_takes_records() -> None:
    one = OneAccount(EscrowRule.USAGE, 1000)
    assert one.open("p1", "6", usage=meter()) == Status.Ok
    assert one.at(110).use("p1", 30, 0, 0, 0) == Status.Ok
    # price 6, blocks of 6 s, one millicore: each unit is worth one uve
    assert [row[1:5] for row in one.events()[-1:]] == [[EventKind.USAGE_RECORDED, 0, 110, 30]]
    assert one.use("p1", -1, 0, 0, 0) == Status.UsageInvalid
    for k in range(1, 4):
        assert one.use("p1", *(-1 if j == k else 0 for j in range(4))) == Status.UsageInvalid
    assert one.deposit(7) == Status.Ok
    assert (one.gained("p1"), one.funds) == (0, "1007")
