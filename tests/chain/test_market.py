"""The market by hand: what each message does to states and coins, under every rule set and with every
quirk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from witness import PARAMS, PROVIDERS, WALLETS, Witness, group

from marketsim.chain import leasing as market
from marketsim.chain.bid_index import bid_insert, bid_slot
from marketsim.chain.columns import Bid, BidState, G, Order, OrderState, Rules
from marketsim.chain.deployments import close_group
from marketsim.chain.edge import Chain
from marketsim.chain.leasing import create_bid, create_lease
from marketsim.chain.ledger import recount_problems
from marketsim.chain.parsing import MessageError, parse_price
from marketsim.chain.requirements import (
    FITS,
    LACKS_ATTRIBUTES,
    LACKS_CAPABILITIES,
    Eligibility,
    Requirements,
    has_attribute,
    match,
    requirements_of,
)
from marketsim.chain.room import with_room
from marketsim.chain.rule_sets import rule_globals
from marketsim.chain.state import State, make_state
from marketsim.chain.status import Status

COINS = 50_000_000
CHAINS = ("virtengine", "akash")
ALL = ("seed", *CHAINS)


# --- quirks, each by its price -----------------------------------------------------------------------------


def two_leases(w: Witness) -> None:
    """Rates 10 and 5, the second ten blocks after the first (protocol reference 3.10, V11)."""
    w.deploy(groups=2)
    w.lease("t1/1/1/1/p1", "10")
    w.height += 10
    w.lease("t1/1/2/1/p2", "5")
    w.height += 10


@pytest.mark.parametrize(("quirks", "paid", "stranded"), [((), 200, 0), (("payment_create_loses",), 100, 100)])
def test_opening_a_payment_keeps_or_loses_what_the_others_earned(quirks: Any, paid: int, stranded: int) -> None:
    w = Witness("akash", quirks)
    two_leases(w)
    w.ok("close_deployment", "t1/1")
    assert w.coins("p1") == COINS + paid
    assert w.coins("p2") == COINS + 50
    assert w.coins("escrow") == stranded
    assert w.coins("t1") == COINS - 250


@pytest.mark.parametrize(("quirks", "second", "stranded"), [((), 50, 0), (("settle_same_height",), 0, 50)])
def test_settling_twice_at_one_height_loses_nothing_or_strands(quirks: Any, second: int, stranded: int) -> None:
    w = Witness("akash", quirks)
    two_leases(w)
    w.ok("withdraw", "t1/1/1/1/p1")
    w.ok("close_deployment", "t1/1")
    assert w.coins("p1") == COINS + 200
    assert w.coins("p2") == COINS + second
    assert w.coins("escrow") == stranded


@pytest.mark.parametrize("rules", ALL)
@pytest.mark.parametrize(("quirks", "locked"), [((), 0), (("losing_bids_stay",), 500)])
def test_losers_get_their_deposits_back_or_only_the_first_does(rules: str, quirks: Any, locked: int) -> None:
    w = Witness(rules, quirks)
    w.deploy()
    for name in ("p3", "p2", "p1"):
        w.bid(f"t1/1/1/1/{name}")
    w.ok("create_lease", "t1/1/1/1/p2")
    assert w.coins("p1") == COINS  # the lowest address, though the last to bid
    assert w.coins("p3") == COINS - locked
    if locked:
        assert w.leave("t1/1/1/1/p3") == "ok"
        assert w.coins("p3") == COINS


@pytest.mark.parametrize("rules", ("seed", "virtengine"))
@pytest.mark.parametrize(("quirks", "locked"), [((), 0), (("open_orders_stay",), 500)])
def test_closing_a_deployment_frees_or_keeps_the_deposits_of_bids(rules: str, quirks: Any, locked: int) -> None:
    w = Witness(rules, quirks)
    w.deploy()
    w.bid("t1/1/1/1/p1")
    w.ok("close_deployment", "t1/1")
    assert w.coins("t1") == COINS
    assert w.coins("p1") == COINS - locked


@pytest.mark.parametrize("rules", ("seed", "virtengine"))
@pytest.mark.parametrize(("quirks", "locked", "restart"), [((), 0, "ok"), (("pause_open_order",), 500, "OrderActive")])
def test_pausing_closes_the_open_order_or_leaves_the_group_stuck(rules: str, quirks: Any, locked: int, restart: str) -> None:
    w = Witness(rules, quirks)
    w.deploy()
    w.bid("t1/1/1/1/p1")
    w.ok("pause_group", "t1/1/1")
    assert w.coins("p1") == COINS - locked
    assert w.do("start_group", "t1/1/1") == restart


@pytest.mark.parametrize("rules", ALL)
@pytest.mark.parametrize(("quirks", "last"), [((), "InvalidBid"), (("max_bids_off_by_one",), "ok")])
def test_the_order_takes_as_many_bids_as_it_says_or_one_more(rules: str, quirks: Any, last: str) -> None:
    w = Witness(rules, quirks)
    w.ok("set_params", params={"order_max_bids": 2})
    w.deploy()
    assert [w.bid(f"t1/1/1/1/p{n}") for n in (1, 2, 3)] == ["ok", "ok", last]
    assert w.coins("p3") == COINS - (500 if last == "ok" else 0)


# --- the acceptance scenarios under seed (those that differ from virtengine's vectors) ---------------------


def test_seed_order_is_matched_until_the_workload_runs() -> None:
    w = Witness("seed")
    w.deploy()
    assert w.lease("t1/1/1/1/p1") == "ok"
    assert w.state("order t1/1/1/1") == "matched"
    w.later(10)
    w.ok("activate_lease", "t1/1/1/1/p1")
    assert w.state("order t1/1/1/1") == "active"
    w.ok("close_lease", "t1/1/1/1/p1")
    assert w.value("lease t1/1/1/1/p1") == {
        "closed_on": 110,
        "created_at": 100,
        "price": "10",
        "state": "closed",
        "reason": 1,
    }
    assert w.value("order t1/1/1/2") == {"created_at": 110, "price": "50", "state": "open"}
    assert w.coins("p1") == COINS + 98  # ten blocks less 2 %
    assert w.coins("community") == 2


def test_seed_conflict_ceiling_and_limits_s1_s2_s3_s4() -> None:
    w = Witness("seed")
    w.ok("set_params", params={"order_max_bids": 2})
    w.deploy()
    assert w.bid("t1/1/1/1/t1") == "Conflict"
    assert w.bid("t1/1/1/1/p1", "50.000000000000000001") == "BidOverOrder"
    assert w.bid("t1/1/1/1/p1", "50") == "ok"
    assert w.bid("t1/1/1/1/p1", "50") == "BidExists"
    assert w.leave("t1/1/1/1/p1") == "ok"
    assert w.bid("t1/1/1/1/p1", "50") == "BidExists"
    assert w.bid("t1/1/1/1/p2", "50") == "ok"
    assert w.bid("t1/1/1/1/p3", "50") == "InvalidBid"


def test_seed_provider_leaves_then_the_group_starts_again_s10_s11() -> None:
    w = Witness("seed")
    w.deploy()
    w.lease("t1/1/1/1/p1")
    w.later(5)
    assert w.leave("t1/1/1/1/p1", 10003) == "ok"
    assert w.value("lease t1/1/1/1/p1")["reason"] == 10003
    assert w.do("close_lease", "t1/1/1/1/p1") == "OrderClosed"
    assert w.state("group t1/1/1") == "paused"
    assert w.do("start_group", "t1/1/1") == "ok"
    assert w.state("order t1/1/1/2") == "open"
    assert w.do("start_group", "t1/1/1") == "GroupOpen"


def test_seed_pause_pays_and_keeps_the_rest_s12_s13() -> None:
    w = Witness("seed")
    w.deploy()
    w.lease("t1/1/1/1/p1")
    w.later(7)
    w.ok("pause_group", "t1/1/1")
    assert w.coins("p1") == COINS + 70 - 1
    assert w.value("account t1/1")["funds"] == "930"
    assert w.do("pause_group", "t1/1/1") == "GroupPaused"
    assert w.do("close_group", "t1/1/1") == "ok"
    assert w.do("close_group", "t1/1/1") == "GroupClosed"
    assert w.do("start_group", "t1/1/1") == "GroupClosed"
    assert w.state("deployment t1/1") == "active"


def test_seed_closing_the_deployment_pays_both_leases_s14_s15() -> None:
    w = Witness("seed", params={G.take_ppm: 0})
    w.deploy(groups=2)
    w.lease("t1/1/1/1/p1", "3")
    w.lease("t1/1/2/1/p2", "7")
    w.later(25)
    w.ok("close_deployment", "t1/1")
    assert (w.coins("p1"), w.coins("p2"), w.coins("t1")) == (COINS + 75, COINS + 175, COINS - 250)


def test_seed_runs_dry_returns_on_a_deposit_and_ends_with_grace_s16_s22() -> None:
    w = Witness("seed", params={G.grace: 100, G.order_timeout: 0})
    w.deploy(groups=3)
    w.lease("t1/1/1/1/p1", "10")
    w.lease("t1/1/2/1/p2", "10")
    w.bid("t1/1/3/1/p3")
    w.to(150)
    assert w.state("lease t1/1/1/1/p1") == "active"  # funds of exactly 0 are no shortfall
    w.to(151)
    assert w.state("lease t1/1/1/1/p1") == w.state("lease t1/1/2/1/p2") == "insufficient_funds"
    assert w.state("deployment t1/1") == "active"
    assert w.coins("p2") == COINS - 500 + 490  # the deposit of its bid stays locked
    assert w.do("create_lease", "t1/1/3/1/p3") == "AccountOverdrawn"
    assert w.deposit("t1/1", 19) == "ok"
    assert w.state("lease t1/1/1/1/p1") == "insufficient_funds"
    assert w.deposit("t1/1", 1) == "ok"
    assert w.state("lease t1/1/1/1/p1") == "active"
    w.to(153)
    assert w.state("lease t1/1/1/1/p1") == "insufficient_funds"
    w.to(252)
    assert w.state("deployment t1/1") == "active"
    w.to(253)
    assert w.value("lease t1/1/1/1/p1")["reason"] == 20000
    assert w.state("lease t1/1/1/1/p1") == w.state("deployment t1/1") == w.state("account t1/1") == "closed"
    assert w.state("group t1/1/3") == "insufficient_funds"
    assert w.state("order t1/1/3/1") == w.state("bid t1/1/3/1/p3") == "closed"
    assert w.coins("escrow") == 0
    assert w.deposit("t1/1", 1) == "AccountClosed"


def test_seed_order_times_out_with_its_group_and_at_last_the_deployment() -> None:
    w = Witness("seed")
    w.deploy(groups=2)
    w.bid("t1/1/1/1/p1")
    w.to(150)
    w.ok("pause_group", "t1/1/2")
    w.ok("start_group", "t1/1/2")
    w.to(199)
    assert w.state("order t1/1/1/1") == "open"
    w.to(200)
    assert w.state("order t1/1/1/1") == w.state("group t1/1/1") == w.state("bid t1/1/1/1/p1") == "closed"
    assert w.state("deployment t1/1") == "active"
    assert w.coins("p1") == COINS
    w.to(250)
    assert w.state("deployment t1/1") == "closed"
    assert w.coins("t1") == COINS


def test_seed_lease_at_the_last_moment() -> None:
    w = Witness("seed")
    w.deploy()
    w.bid("t1/1/1/1/p1")
    w.to(199)
    w.ok("create_lease", "t1/1/1/1/p1")
    w.later(50)
    assert w.state("order t1/1/1/1") == "matched"


def test_seed_usage_pays_what_was_used_up_to_the_price() -> None:
    w = Witness("seed", charging="usage_capped", params={G.take_ppm: 0})
    w.deploy()
    w.lease("t1/1/1/1/p1", "10")
    w.later(50)
    half = {"cpu": 100 * 300 // 2, "memory": (1 << 20) * 300 // 2, "storage": (5 << 20) * 300 // 2}
    w.ok("submit_usage", "t1/1/1/1/p1", metrics=half)
    assert w.do("submit_usage", "t1/1/1/1/p1", metrics=half, since=120) == "UsageOverlap"
    # a time that ends before it began is invalid even without usage, and does not open what is paid to another record
    assert w.do("submit_usage", "t1/1/1/1/p1", metrics={}, since=w.height, until=110) == "UsageInvalid"
    assert w.do("submit_usage", "t1/1/1/1/p1", metrics=half, since=110) == "UsageOverlap"
    w.ok("close_lease", "t1/1/1/1/p1")
    assert w.coins("p1") == COINS + 250


def test_a_relisted_order_stays_within_the_deployment_for_every_rule_set() -> None:
    for rules in ALL:
        w = Witness(rules)
        w.deploy()
        for n in (1, 2, 3):
            assert w.lease(f"t1/1/1/{n}/p1", str(n)) == "ok"
            w.height += 10
            w.ok("close_lease", f"t1/1/1/{n}/p1")
        assert w.state("order t1/1/1/4") == "open"
        assert recount_problems(w.chain.state) == []


# --- bids without a deposit, and rows that come back --------------------------------------------------------


def test_a_bid_without_a_deposit_has_no_account_until_somebody_pays() -> None:
    w = Witness("virtengine")
    w.ok("set_params", params={"bid_min_deposit": 0})
    w.deploy()
    for name in ("p1", "p2"):
        assert w.bid(f"t1/1/1/1/{name}", deposit="0") == "ok"
    assert int(w.chain.state.globals.accounts) == 1
    empty = {"deposits": [], "funds": "0", "settled_at": 100, "state": "open", "transferred": "0"}
    assert w.value("account t1/1/1/1/p1") == empty
    w.height += 5
    assert w.deposit("t1/1/1/1/p1", 70, "friend") == "ok"
    assert w.value("account t1/1/1/1/p1") == empty | {
        "deposits": [["friend", "balance", "70"]],
        "funds": "70",
    }
    w.ok("create_lease", "t1/1/1/1/p2")
    assert w.coins("friend") == COINS
    assert w.value("account t1/1/1/1/p1") == empty | {"settled_at": 105, "state": "closed"}
    assert w.deposit("t1/1/1/1/p1", 70, "friend") == "AccountClosed"


def recycling() -> Chain:
    start = {"params": PARAMS, "wallets": WALLETS, "providers": PROVIDERS}
    return Chain("seed", start=start, charging="rate", params={G.keep_bids: 0}, rows=64)


def listed(chain: Chain, order: int) -> list[int]:
    """The wallets that have a bid in the order's list, oldest first."""
    found = []
    bid = int(chain.state.orders[order].first_bid)
    while bid >= 0:
        assert chain.state.bids[bid, Bid.order] == order
        found.append(int(chain.state.bids[bid].provider))
        last, bid = bid, int(chain.state.bids[bid].next)
    assert chain.state.orders[order, Order.last_bid] == (last if found else -1)
    return found


def _provider(chain: Chain, name: str) -> tuple[int, int]:
    """The wallet of a provider and its row in providers."""
    return chain.wallet(name), chain.row_of("provider", name)


def bid_on(chain: Chain, order: int, name: str) -> int:
    status = create_bid(chain.state, 1, order, *_provider(chain, name), 10, 0, 500, 1, 0, 0, 0)
    assert status == Status.Ok
    return int(chain.state.orders[order].last_bid)


def deploy(chain: Chain, n: int) -> None:
    message = {"op": "create_deployment", "id": f"t1/{n + 1}", "deposit": "1000", "sources": ["balance"]}
    assert chain.execute(message | {"groups": [group()]}, 1) == Status.Ok


def test_rows_of_ended_bids_come_back() -> None:
    chain = recycling()
    for n in range(40):
        deploy(chain, n)
        bids = [bid_on(chain, n, name) for name in ("p1", "p2", "p3")]
        assert listed(chain, n) == [chain.wallet(name) for name in ("p1", "p2", "p3")]
        if n % 2:
            assert market.close_bid(chain.state, 1, bids[1], 10001) == Status.Ok
            assert listed(chain, n) == [chain.wallet(name) for name in ("p1", "p3")]
            again = create_bid(chain.state, 1, n, *_provider(chain, "p2"), 10, 0, 500, 1, 0, 0, 0)
            assert again == Status.BidExists
        assert create_lease(chain.state, 1, bids[2]) == Status.Ok
        assert listed(chain, n) == [chain.wallet("p3")]
        assert chain.state.orders[n, Order.bids_lost] == (1 if n % 2 else 2)
        account = int(chain.state.orders[n].deployment)
        assert close_group(chain.state, 2, n) == Status.Ok
        assert listed(chain, n) == []
        assert chain.execute({"op": "close_deployment", "id": f"t1/{account + 1}"}, 2) == Status.Ok
    totals = chain.state.globals
    assert totals[G.bids] == 3
    assert totals[G.accounts] <= 40 + 3
    assert totals[G.deposits] <= 4
    assert totals[G.held] == 0


def test_closing_from_either_end_keeps_the_list_whole() -> None:
    for leaving, staying in (("p1", ["p2", "p3"]), ("p3", ["p1", "p2"])):
        chain = recycling()
        deploy(chain, 0)
        bids = {name: bid_on(chain, 0, name) for name in ("p1", "p2", "p3")}
        market.close_bid(chain.state, 1, bids[leaving], 10001)
        assert listed(chain, 0) == [chain.wallet(name) for name in staying]
        assert bid_on(chain, 0, "p4") == bids[leaving]  # the row that came back
        assert listed(chain, 0) == [chain.wallet(name) for name in (*staying, "p4")]


def bid_of(state: State, order: int, wallet: int) -> int:
    """The row that the index has for a key, -1 when it has none."""
    slot = int(bid_slot(state, order, wallet))
    return int(state.bid_index[-1 - slot]) if slot < 0 else -1


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(3, 9)), max_size=60))
def test_the_bid_index_is_a_dictionary(keys: list[tuple[int, int]]) -> None:
    state = make_state(8)
    state.globals.keep_bids = 1
    expected: dict[tuple[int, int], int] = {}
    for order, wallet in keys:
        state = with_room(state, bids=1)
        slot = int(bid_slot(state, order, wallet))
        assert (slot < 0) == ((order, wallet) in expected)
        if slot >= 0:
            bid = int(state.globals.bids)
            state.globals.bids = bid + 1
            state.bids[bid, [Bid.order, Bid.provider]] = order, wallet
            bid_insert(state, slot, bid)
            expected[order, wallet] = bid
    assert state.globals.bids_live == len(expected)
    for order in range(7):
        for wallet in range(3, 10):
            assert bid_of(state, order, wallet) == expected.get((order, wallet), -1)


def test_the_bid_index_grows_before_it_is_half_full() -> None:
    state = make_state(80)
    state.globals.keep_bids = 1
    for bid in range(500):
        state = with_room(state, bids=1)
        state.globals.bids = bid + 1
        state.bids[bid, [Bid.order, Bid.provider]] = bid // 7, bid % 7
        bid_insert(state, int(bid_slot(state, bid // 7, bid % 7)), bid)
        assert 2 * (bid + 1) <= len(state.bid_index)
    assert [bid_of(state, bid // 7, bid % 7) for bid in range(500)] == list(range(500))


def test_the_bid_index_forgets_bids_on_closed_orders_and_stays_small() -> None:
    state = make_state(100)
    state.globals.keep_bids = 1
    first, sizes = len(state.bid_index), set()
    for bid in range(6_000):
        order = bid // 60
        if bid % 60 == 0 and order >= 2:
            state.orders[order - 2].state = OrderState.CLOSED
        state = with_room(state, bids=1)
        state.globals.bids = bid + 1
        state.bids[bid, [Bid.order, Bid.provider]] = order, bid % 60
        bid_insert(state, int(bid_slot(state, order, bid % 60)), bid)
        sizes.add(len(state.bid_index))
        assert 2 * state.globals.bids_live <= len(state.bid_index)
    assert max(sizes) <= max(first, 1_024)
    assert [bid_of(state, bid // 60, bid % 60) for bid in range(5_880, 6_000)] == list(range(5_880, 6_000))


# --- what a group asks of a provider ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "found"),
    [
        ("region", True),
        ("reg*", True),
        ("r?gion", True),
        ("re[fgh]ion", True),
        ("re[^g]ion", False),
        ("region*x", False),
        ("vendor/*", False),  # a star stops at a slash
        ("vendor/*/*", True),
        ("[", False),
        ("region\\", False),
        ("re\\gion", True),
        ("", False),
    ],
)
def test_keys_may_be_globs(key: str, found: bool) -> None:
    assert has_attribute({"region": "west", "vendor/nvidia/a100": "west"}, key, "west") is found
    assert not has_attribute({"region": "west", "vendor/nvidia/a100": "west"}, key, "wes*")


OWNED = {
    "region": "west",
    "capabilities/gpu/vendor/nvidia/model/a100": "true",
    "capabilities/storage/1/class": "beta2",
    "capabilities/storage/1/persistent": "true",
    "capabilities/storage/2/class": "beta3",
    "capabilities/storage/2/persistent": "false",
}


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({}, FITS),
        ({"attributes": {"region": "east"}}, LACKS_ATTRIBUTES),
        ({"attributes": {"region": "west"}, "all_of": ["a"]}, FITS),
        ({"attributes": {"tier": "gold"}, "all_of": ["b"]}, FITS),  # signed, though not claimed
        ({"all_of": ["a", "c"]}, LACKS_ATTRIBUTES),
        ({"any_of": ["c", "b"]}, FITS),
        ({"attributes": {"region": "west"}, "all_of": ["a"], "any_of": ["b"]}, LACKS_ATTRIBUTES),
        ({"storage_attributes": {"class": "beta2", "persistent": True}}, FITS),
        ({"storage_attributes": {"class": "beta2", "persistent": False}}, LACKS_CAPABILITIES),
        ({"gpu": 1, "gpu_attributes": {"vendor/nvidia/model/*": "true"}}, FITS),
        ({"gpu": 1, "gpu_attributes": {"vendor/amd/model/*": "true"}}, LACKS_CAPABILITIES),
        (
            {"gpu": 1, "gpu_attributes": {"vendor/amd/model/x": "true", "vendor/nvidia/model/a100": "true"}},
            FITS,
        ),
        ({"gpu": 0, "gpu_attributes": {"vendor/amd/model/*": "true"}}, FITS),
    ],
)
def test_requirements(asked: dict[str, Any], answer: int) -> None:
    signed = {"a": {"region": "west"}, "b": {"tier": "gold"}}
    assert match(requirements_of(group(**asked)), OWNED, signed) == answer


def test_eligibility_follows_providers_and_signatures() -> None:
    state, eligibility = make_state(1), Eligibility()
    asked = [Requirements(attributes=(("n", str(n)),), all_of=("a",)) for n in range(5)]
    for n, one in enumerate(asked):
        state, number = eligibility.spec(state, one)
        assert number == n
        assert eligibility.spec(state, one)[1] == n
    for slot in (2, 0, 1):
        state = eligibility.set_provider(state, slot, {}, {})
    assert (state.eligible[:5, :3] == LACKS_ATTRIBUTES).all()
    state, number = eligibility.spec(state, Requirements())
    assert state.eligible[number, :3].tolist() == [FITS] * 3
    state = eligibility.sign(state, 1, "a", {"n": "3"})
    expected = np.full((5, 3), LACKS_ATTRIBUTES)
    expected[3, 1] = FITS
    assert (state.eligible[:5, :3] == expected).all()
    state = eligibility.sign(state, 1, "a", {"n": "4"})
    assert state.eligible[3:5, 1].tolist() == [LACKS_ATTRIBUTES, FITS]


def test_signatures_may_come_before_the_provider_registers() -> None:
    w = Witness("virtengine")
    w.ok("sign_attributes", signer="auditor", provider="p5", attributes={"tier": "gold"})
    w.deploy(groups=[group(all_of=["auditor"], attributes={"tier": "gold"})])
    assert w.bid("t1/1/1/1/p5") == "UnknownProvider"
    w.ok("create_provider", provider="p5", attributes={})
    assert w.bid("t1/1/1/1/p5") == "ok"
    assert w.bid("t1/1/1/1/p1") == "AttributeMismatch"


# --- governance ---------------------------------------------------------------------------------------------


def test_a_blocked_provider_keeps_its_leases_and_gets_no_new_ones() -> None:
    w = Witness("seed")
    w.deploy(groups=2)
    w.lease("t1/1/1/1/p1")
    assert w.do("block_provider", provider="p1", signer="p2") == "Unauthorized"
    w.ok("block_provider", provider="p1")
    assert w.bid("t1/1/2/1/p1") == "ProviderBlocked"
    w.later(10)
    w.ok("withdraw", "t1/1/1/1/p1")
    assert w.value("payment t1/1/1/1/p1")["withdrawn"] == "100"


@pytest.mark.parametrize("rules", ALL)
def test_governance_settles_every_payment(rules: str) -> None:
    w = Witness(rules, params={G.take_ppm: 0})
    two_leases(w)
    w.ok("settle_escrow", "t1/1")
    assert (w.coins("p1"), w.coins("p2")) == (COINS - 500 + 200, COINS - 500 + 50)


def test_parameters_change_from_the_next_message_on_all_or_none() -> None:
    w = Witness("virtengine")
    assert w.do("set_params", params={"bid_min_deposit": 7, "order_max_bids": 0}) == "InvalidParam"
    assert w.do("set_params", params={"take_percent": 101}) == "InvalidParam"
    w.deploy()
    assert w.bid("t1/1/1/1/p1", deposit="7") == "InvalidDeposit"
    w.ok("set_params", params={"bid_min_deposit": 7, "take_percent": 10})
    assert w.bid("t1/1/1/1/p1", deposit="7") == "ok"
    w.ok("create_lease", "t1/1/1/1/p1")
    w.height += 10
    w.ok("withdraw", "t1/1/1/1/p1")
    assert w.coins("community") == 10


# --- the edge -----------------------------------------------------------------------------------------------


def test_tables_grow_from_one_row() -> None:
    start = {"params": PARAMS, "wallets": WALLETS, "providers": PROVIDERS}
    chain = Chain("virtengine", start=start, rows=4)
    for n in range(60):
        base = {"deposit": "1000", "sources": ["balance"]}
        messages = [
            {"op": "create_deployment", "id": f"t1/{n + 1}", "groups": [group("a"), group("b")], **base},
            {"op": "create_bid", "id": f"t1/{n + 1}/1/1/p1", "price": "1", **base},
            {"op": "create_bid", "id": f"t1/{n + 1}/1/1/p2", "price": "1", **base},
            {"op": "create_lease", "id": f"t1/{n + 1}/1/1/p2"},
            {
                "op": "account_deposit",
                "id": f"t1/{n + 1}",
                "signer": f"stranger-{n}",
                "deposit": "0",
                "sources": [],
            },
        ]
        receipts, events = chain.execute_block(n + 1, messages)
        assert [receipt.result for receipt in receipts] == ["ok"] * 4 + ["InvalidDeposit"]
        assert events[0] == {
            "height": n + 1,
            "event": "DeploymentCreated",
            "id": f"t1/{n + 1}",
            "other": int(chain.state.deployments[n, 5]),
            "amount": "0",
            "extra": 0,
        }
        assert {"LeaseCreated", "BidLost", "BidWon", "Deposited", "Refunded"} <= {event["event"] for event in events}
    assert recount_problems(chain.state) == []
    assert (chain.state.bids[:120, Bid.state] == [BidState.LOST, BidState.ACTIVE] * 60).all()


def test_empty_blocks_cost_nothing_and_the_past_is_refused() -> None:
    w = Witness("seed", params={G.order_timeout: 0})
    w.deploy(deposit="40000000")
    w.lease("t1/1/1/1/p1", "0.5")
    steps = list(w.chain.advance_steps(10_000_000))
    assert len(steps) < 10
    assert w.chain.height == 10_000_000
    assert w.chain.next_due() == 100 + 80_000_000 + 1
    with pytest.raises(ValueError, match="in the past"):
        w.chain.advance(9_999_999)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("0", (0, 0)),
        ("1.5", (1, 500_000_000_000_000_000)),
        ("-1.5", (-2, 500_000_000_000_000_000)),
        ("-2", (-2, 0)),
        ("9" * 40, (9_000_000_000_000_000_000, 0)),
        (7, (7, 0)),
    ],
)
def test_prices(text: Any, pair: tuple[int, int]) -> None:
    assert parse_price(text, "price") == pair


@pytest.mark.parametrize("text", ["", ".", "1.", ".5", "1e3", "٣", "1,5", "nan", None, "0." + "0" * 19])
def test_what_is_no_price(text: Any) -> None:
    with pytest.raises(MessageError):
        parse_price(text, "price")


def test_rule_sets_by_name() -> None:
    assert rule_globals("akash", ["losing_bids_stay"])[G.quirks] == 4
    assert rule_globals("akash", True)[G.quirks] == rule_globals("akash", ["all"])[G.quirks] == 1 + 2 + 4 + 32
    assert rule_globals("virtengine", True)[G.quirks] == 63
    assert rule_globals("seed")[G.rules] == Rules.SEED
    with pytest.raises(ValueError, match="not a rule set"):
        rule_globals("cosmos")
    with pytest.raises(ValueError, match="not a quirk"):
        rule_globals("seed", ["slow"])
    with pytest.raises(ValueError, match="does not have quirk"):
        rule_globals("seed", ["settle_same_height"])


def test_an_unknown_message_is_named() -> None:
    with pytest.raises(MessageError, match="dance"):
        Chain("seed").execute({"op": "dance"}, 1)
