"""The usage escrow: vectors, every refusal in its order, every edge, and what holds for any sequence."""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsim.chain.columns import UsageEscrow
from marketsim.chain.escrow.usage_settlement import (
    ESCROW,
    SETTLEMENT,
    TRANSITIONS,
    EscrowState,
    Settlement,
    SettlementParams,
    SettlementType,
    UsageSettlementChain,
    UsageStatus,
    usage_cost,
)
from marketsim.conformance.report import replay_file
from marketsim.conformance.settlement import replay
from marketsim.conformance.shapes import check_settlement
from marketsim.errors import InvariantError
from marketsim.money.text import parse_atto
from marketsim.money.units import ATTO

VECTORS = Path(__file__).parents[2] / "data" / "vectors"
DAY = 86_400


def test_every_recorded_operation_is_identical() -> None:
    report = replay_file(VECTORS / "settlement-virtengine.jsonl.gz", replay, check=check_settlement)
    assert (report.identical, report.compared, report.differences) == (2116, 2116, [])


def chain_with(state: EscrowState | None, *, balance: int = 1_000, now: int = 0) -> UsageSettlementChain:
    """An order `o` in the given state (None: no escrow), customer `c`, recipient `p`, expiring at 3,600."""
    chain = UsageSettlementChain({"c": 10_000, "p": 0, "q": 0})
    if state is None:
        return chain
    assert chain.create(now, "o", "c", balance, 3_600) == "ok"
    if state not in (EscrowState.PENDING, EscrowState.EXPIRED):
        assert chain.activate(now, "o", "p") == "ok"
    if state == EscrowState.DISPUTED:
        assert chain.dispute(now, "o") == "ok"
    elif state == EscrowState.RELEASED:
        assert chain.release(now, "o") == "ok"
    elif state == EscrowState.REFUNDED:
        assert chain.refund("o") == "ok"
    elif state == EscrowState.EXPIRED:
        chain.begin_block(now + 3_601)
    assert chain.escrows["o"].state == state
    return chain


P, A, D, R, F, X = EscrowState  # pending, active, disputed, released, refunded, expired
N = None
IN_TIME, AT_EXPIRY, LATE = 100, 3_600, 3_601

LADDER = [
    # message, state before, time, answer
    ("activate", N, IN_TIME, "EscrowNotFound"),
    ("activate", P, IN_TIME, "ok"),
    ("activate", P, AT_EXPIRY, "ok"),
    ("activate", P, LATE, "EscrowExpired"),
    ("activate", A, LATE, "EscrowExpired"),
    ("activate", A, IN_TIME, "InvalidStateTransition"),
    ("activate", D, IN_TIME, "InvalidStateTransition"),
    ("activate", R, LATE, "InvalidStateTransition"),
    ("activate", F, LATE, "InvalidStateTransition"),
    ("activate", X, LATE, "InvalidStateTransition"),
    ("release", N, IN_TIME, "EscrowNotFound"),
    ("release", P, LATE, "EscrowExpired"),
    ("release", A, LATE, "EscrowExpired"),
    ("release", D, LATE, "EscrowExpired"),
    ("release", P, IN_TIME, "EscrowNotActive"),
    ("release", R, IN_TIME, "EscrowNotActive"),
    ("release", F, IN_TIME, "EscrowNotActive"),
    ("release", X, LATE, "EscrowNotActive"),
    ("release", A, AT_EXPIRY, "ok"),
    ("release", D, IN_TIME, "ok"),
    ("refund", N, IN_TIME, "EscrowNotFound"),
    ("refund", P, LATE, "ok"),
    ("refund", A, LATE, "ok"),
    ("refund", D, LATE, "ok"),
    ("refund", R, IN_TIME, "InvalidStateTransition"),
    ("refund", F, IN_TIME, "InvalidStateTransition"),
    ("refund", X, LATE, "InvalidStateTransition"),
    ("dispute", N, IN_TIME, "EscrowNotFound"),
    ("dispute", A, LATE, "EscrowExpired"),
    ("dispute", P, LATE, "EscrowExpired"),
    ("dispute", D, LATE, "EscrowExpired"),
    ("dispute", P, IN_TIME, "InvalidStateTransition"),
    ("dispute", D, IN_TIME, "InvalidStateTransition"),
    ("dispute", R, IN_TIME, "InvalidStateTransition"),
    ("dispute", F, IN_TIME, "InvalidStateTransition"),
    ("dispute", X, LATE, "InvalidStateTransition"),
    ("dispute", A, IN_TIME, "ok"),
    ("usage", N, IN_TIME, "EscrowNotFound"),
    ("usage", P, IN_TIME, "EscrowNotActive"),
    ("usage", D, IN_TIME, "EscrowNotActive"),
    ("usage", X, LATE, "EscrowNotActive"),
    ("usage", A, LATE, "ok"),
    ("settle", N, IN_TIME, "EscrowNotFound"),
    ("settle", P, LATE, "EscrowNotActive"),
    ("settle", D, IN_TIME, "EscrowNotActive"),
    ("settle", R, IN_TIME, "EscrowNotActive"),
    ("settle", A, LATE, "EscrowExpired"),
    ("settle", A, IN_TIME, "InvalidSettlement"),
    ("final", A, IN_TIME, "ok"),
    ("final", A, AT_EXPIRY, "ok"),
]


def send(chain: UsageSettlementChain, message: str, now: int) -> UsageStatus:
    match message:
        case "activate":
            return chain.activate(now, "o", "p")
        case "release":
            return chain.release(now, "o")
        case "refund":
            return chain.refund("o")
        case "dispute":
            return chain.dispute(now, "o")
        case "usage":
            return chain.record_usage("o", "p", "u", 10, ATTO)
        case "settle":
            return chain.settle(now, "o")
        case "final":
            return chain.settle(now, "o", final=True)
    raise AssertionError(message)


def frozen(chain: UsageSettlementChain) -> object:
    return copy.deepcopy((chain.wallets, chain.escrows, chain.usage, chain.settlements))


@pytest.mark.parametrize(("message", "state", "now", "answer"), LADDER)
def test_ladder(message: str, state: EscrowState | None, now: int, answer: str) -> None:
    chain = chain_with(state)
    before = frozen(chain)
    assert send(chain, message, now) == answer
    assert (frozen(chain) == before) == (answer != "ok")
    chain.check()


@pytest.mark.parametrize(
    ("order", "customer", "amount", "seconds", "answer"),
    [
        ("o", "c", 99_999, 1, "EscrowExists"),
        ("n", "c", 99_999, 3_599, "InvalidEscrow"),
        ("n", "c", 99_999, 31_536_001, "InvalidEscrow"),
        ("n", "c", 9_001, 3_600, "InsufficientFunds"),
        ("n", "nobody", 1, 3_600, "InsufficientFunds"),
        ("n", "c", 9_000, 3_600, "ok"),
        ("n", "c", 9_000, 31_536_000, "ok"),
    ],
)
def test_create_ladder(order: str, customer: str, amount: int, seconds: int, answer: str) -> None:
    assert chain_with(P).create(5, order, customer, amount, seconds) == answer


@pytest.mark.parametrize(
    ("provider", "usage_id", "units", "price", "answer"),
    [
        ("q", "u", 0, ATTO, "Unauthorized"),
        ("p", "u", 0, ATTO, "InvalidUsageRecord"),
        ("p", "u", -1, ATTO, "InvalidUsageRecord"),
        ("p", "u", 1, -1, "InvalidUsageRecord"),
        ("p", "twice", 1, ATTO, "InvalidUsageRecord"),
        ("p", "u", 1, 0, "ok"),
    ],
)
def test_usage_ladder(provider: str, usage_id: str, units: int, price: int, answer: str) -> None:
    chain = chain_with(A)
    assert chain.record_usage("o", "p", "twice", 1, ATTO) == "ok"
    assert chain.record_usage("o", provider, usage_id, units, price) == answer


def test_named_records_are_checked_in_turn() -> None:
    chain = chain_with(A)
    chain.create(0, "other", "c", 500, 3_600)
    chain.activate(0, "other", "p")
    for order, key in (("o", "settled"), ("o", "open"), ("other", "theirs")):
        chain.record_usage(order, "p", key, 10, ATTO)
    assert chain.settle(1, "o", ["settled"]) == "ok"
    assert chain.settle(2, "o", ["unknown", "settled"]) == "UsageRecordNotFound"
    assert chain.settle(2, "o", ["settled", "unknown"]) == "UsageAlreadySettled"
    assert chain.settle(2, "o", ["theirs"]) == "InvalidUsageRecord"
    assert chain.settle(2, "o", ["open"]) == "ok"
    assert [record.settled for record in chain.usage.values()] == [True, True, False]


def test_every_status_is_in_the_tables() -> None:
    named = {answer for *_, answer in LADDER}
    named |= {"EscrowExists", "InvalidEscrow", "InsufficientFunds", "Unauthorized", "InvalidUsageRecord"}
    named |= {"UsageRecordNotFound", "UsageAlreadySettled"}
    assert named == {str(status) for status in UsageStatus}


def test_every_edge_is_taken_and_no_other() -> None:
    seen = set()
    for state in EscrowState:
        for message in (
            "activate",
            "release",
            "refund",
            "dispute",
            "usage",
            "settle",
            "final",
            "begin",
            "end",
        ):
            for now in (IN_TIME, LATE, LATE + DAY):
                chain = chain_with(state)
                if message == "begin":
                    chain.begin_block(now)
                elif message == "end":
                    chain.end_block(now)
                else:
                    send(chain, message, now)
                if chain.escrows["o"].state != state:
                    seen.add((state, chain.escrows["o"].state))
    assert seen == {(old, new) for old, news in TRANSITIONS.items() for new in news}


def test_split_of_the_total() -> None:
    chain = chain_with(A, balance=1_234)
    assert chain.settle(7, "o", final=True) == "ok"
    assert chain.settlements == [Settlement("o", 1, SettlementType.FINAL, 1_234, 1_161, 61, 12, True)]
    assert (chain.wallets["p"], chain.wallets[SETTLEMENT], chain.wallets[ESCROW]) == (1_161, 73, 0)


def test_a_shortfall_is_forgiven_and_the_escrow_lives_on() -> None:
    chain = chain_with(A, balance=100)
    chain.record_usage("o", "p", "u", 250, ATTO)
    assert chain.settle(5, "o") == "ok"
    assert chain.settlements[0].total == 100
    assert chain.usage["u"].settled
    assert chain.escrows["o"].state == A
    chain.record_usage("o", "p", "v", 1, ATTO)
    assert chain.settle(6, "o") == "InvalidSettlement"
    assert not chain.usage["v"].settled
    assert chain.release(7, "o") == "ok"
    assert len(chain.settlements) == 1  # nothing left: no record


def test_a_refund_is_recorded_as_the_providers_though_the_customer_has_it() -> None:
    chain = chain_with(A)
    assert chain.refund("o") == "ok"
    assert asdict(chain.settlements[0])["provider"] == 1_000
    assert (chain.wallets["p"], chain.wallets["c"]) == (0, 10_000)


@pytest.mark.parametrize(("age", "cost", "settled"), [(DAY - 1, 10, False), (DAY, 10, True), (DAY, 0, False), (2 * DAY, 10, True)])
def test_end_of_block_settles_by_the_clock(age: int, cost: int, settled: bool) -> None:
    chain = UsageSettlementChain({"c": 5_000})
    chain.create(0, "o", "c", 1_000, 10 * DAY)
    chain.activate(50, "o", "p")
    if cost:
        chain.record_usage("o", "p", "u", cost, ATTO)
    chain.end_block(50 + age)
    assert bool(chain.settlements) == settled
    assert chain.escrows["o"].settled_at == (50 + age if settled else 50)


def test_expiry_gives_back_all_whatever_usage_is_unsettled() -> None:
    chain = chain_with(A)
    chain.record_usage("o", "p", "u", 400, ATTO)
    chain.begin_block(AT_EXPIRY)
    assert chain.escrows["o"].state == A
    chain.begin_block(LATE)
    chain.end_block(LATE + DAY)
    assert chain.wallets == {ESCROW: 0, SETTLEMENT: 0, "c": 10_000, "p": 0, "q": 0}
    assert chain.settlements == []
    disputed = chain_with(D)
    disputed.begin_block(LATE + DAY)
    assert disputed.escrows["o"].state == D


def test_costs_truncate() -> None:
    assert usage_cost(599, parse_atto("0.5")) == 299
    assert usage_cost(25, parse_atto("0.00143792")) == 0
    assert usage_cost(3, parse_atto("0.333333333333333333")) == 0


def test_broken_books_stop_the_run() -> None:
    chain = chain_with(A)
    chain.wallets["p"] += 1
    with pytest.raises(InvariantError, match="uve in all"):
        chain.check()
    chain.wallets["p"] -= 1
    chain.escrows["o"].row[UsageEscrow.balance] -= 1
    with pytest.raises(InvariantError, match="its accounts"):
        chain.check()
    chain.escrows["o"].row[UsageEscrow.balance] += 1
    chain.wallets["p"], chain.wallets["c"] = -1, chain.wallets["c"] + 1
    with pytest.raises(InvariantError, match="below zero"):
        chain.check()


ORDERS = st.sampled_from(["a", "b", "unknown"])
NAMES = st.sampled_from(["c", "d", "p", "q"])
MESSAGES = st.one_of(
    st.tuples(st.just("create"), ORDERS, NAMES, st.integers(0, 4_000), st.sampled_from([3_599, 3_600, 2 * DAY])),
    st.tuples(st.just("activate"), ORDERS, NAMES),
    st.tuples(st.just("usage"), ORDERS, NAMES, st.integers(0, 3_000), st.sampled_from(["0.5", "1", "0.333"])),
    st.tuples(st.just("settle"), ORDERS, st.booleans()),
    st.tuples(st.just("release"), ORDERS),
    st.tuples(st.just("refund"), ORDERS),
    st.tuples(st.just("dispute"), ORDERS),
    st.tuples(st.just("block"), st.integers(0, 2 * DAY)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(MESSAGES, max_size=40), st.integers(0, 1_000), st.integers(0, 300))
def test_any_sequence_conserves_coins(messages: list[tuple], platform: int, validator: int) -> None:  # type: ignore[type-arg]
    params = SettlementParams(platform_bps=platform, validator_bps=validator)
    chain = UsageSettlementChain({"c": 5_000, "d": 3_000, "p": 7}, params)
    now, final = 0, {}
    for index, (kind, *rest) in enumerate(messages):
        before = frozen(chain)
        answer = "ok"
        if kind == "create":
            answer = chain.create(now, rest[0], rest[1], rest[2], rest[3])
        elif kind == "activate":
            answer = chain.activate(now, rest[0], rest[1])
        elif kind == "usage":
            answer = chain.record_usage(rest[0], rest[1], f"u{index}", rest[2], parse_atto(rest[3]))
        elif kind == "settle":
            answer = chain.settle(now, rest[0], final=rest[1])
        elif kind == "release":
            answer = chain.release(now, rest[0])
        elif kind == "refund":
            answer = chain.refund(rest[0])
        elif kind == "dispute":
            answer = chain.dispute(now, rest[0])
        else:
            now += rest[0]
            chain.begin_block(now)
            chain.end_block(now)
            once = frozen(chain)
            chain.begin_block(now)
            chain.end_block(now)
            assert frozen(chain) == once  # a second pass over the same block does nothing
        chain.check()
        if answer != "ok":
            assert frozen(chain) == before
        for order, escrow in chain.escrows.items():
            if not TRANSITIONS[escrow.state]:
                assert escrow.balance == 0
                assert final.setdefault(order, escrow.state) == escrow.state
    for paid in chain.settlements:
        assert paid.total == paid.provider + paid.platform + paid.validator
        assert paid.total > 0


@given(st.lists(st.integers(1, 500), min_size=1, max_size=8), st.integers(0, 2_000))
def test_paying_in_parts_never_pays_more_than_at_once(costs: list[int], balance: int) -> None:
    """Gross is the same; truncated fees make the provider's part of many small payments the larger one."""
    at_once, in_parts = chain_with(A, balance=balance), chain_with(A, balance=balance)
    for at, cost in enumerate(costs):
        at_once.record_usage("o", "p", f"u{at}", cost, ATTO)
        in_parts.record_usage("o", "p", f"u{at}", cost, ATTO)
        in_parts.settle(at, "o")
    at_once.settle(99, "o")
    gross = min(sum(costs), balance)
    assert sum(paid.total for paid in at_once.settlements) == gross
    assert sum(paid.total for paid in in_parts.settlements) == gross
    assert in_parts.wallets["p"] >= at_once.wallets["p"]
