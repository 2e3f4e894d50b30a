"""The exact rule of rule set `seed` (rules.md 1): cadence moves no money, shortfall, grace, reactivation,
usage, folding.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_account import BY_BLOCK, COINS, OneAccount

from marketsim.chain.columns import Account, Charging, EscrowRule, EventKind, G, Lease, Usage
from marketsim.chain.escrow import exact
from marketsim.chain.escrow import messages as escrow
from marketsim.chain.status import Status
from marketsim.kernel.modes import COMPILING
from marketsim.money.pairs import from_pair, to_pair
from marketsim.money.text import format_amount, parse_amount
from marketsim.money.units import ATTO

SEED_RATE = "0.00143792"
UNITS = ("0.000001", "0.0000000000000953", "0.00000000000000953", "0.001")
RESERVED = (1000, 2 * 2**30, 10 * 2**30, 0)


def meter(ppm: int, reserved: tuple[int, ...] = RESERVED, units: tuple[str, ...] = UNITS) -> dict[str, object]:
    return {"ppm": ppm, "reserved": reserved, "unit": units}


# --- the seed's example rate: what truncation costs, and that the cadence of seed costs nothing -------------


@pytest.mark.parametrize(("every", "gross"), [(50, 0), (600, 0), (695, 0), (696, 143), (1000, 100), (10_000, 140), (100_000, 143)])
def test_the_seeds_rate_under_truncation_depends_on_the_cadence(every: int, gross: int) -> None:
    one = OneAccount(EscrowRule.SEQUENTIAL, 500_000, opened_at=0)
    assert one.open("p1", SEED_RATE) == Status.Ok
    for h in range(every, 100_001, every):
        assert one.at(h).withdraw("p1") == Status.Ok
    assert one.count("p1", Lease.withdrawn) == gross
    assert one.problems() == []


@pytest.mark.parametrize("every", [1, 100, 600, 695, 696, 1000, 10_000, 100_000])
def test_the_seeds_rate_under_seed_pays_the_same_at_every_cadence(every: int) -> None:
    one = OneAccount(EscrowRule.EXACT, 500_000, opened_at=0, take=2, settle_every=every)
    assert one.open("p1", SEED_RATE) == Status.Ok
    if every >= 100:
        assert one.step_to(100_000) == list(range(every, 100_001, every))
    one.at(100_000).jump_to(100_000)
    assert one.settle() == Status.Ok
    assert (one.count("p1", Lease.withdrawn), one.gained("p1")) == (143, 141)
    assert one.of("p1", Lease.balance) == "0.792"
    assert one.problems() == []


def test_take_is_truncated_once_on_all_that_was_paid_out() -> None:
    one = OneAccount(EscrowRule.EXACT, 10_000, take=2, settle_every=1)
    assert one.open("p1", "10") == Status.Ok
    one.step_to(200)
    # A hundred pay-outs of 10 would pay no fee if each were truncated.
    assert (one.gained("p1"), one.count("p1", Lease.fees)) == (980, 20)


# --- shortfall, grace, reactivation -------------------------------------------------------------------------


def test_a_shortfall_is_found_in_its_block_and_shared_in_proportion() -> None:
    one = OneAccount(EscrowRule.EXACT, 100, take=0, grace=50)
    assert one.open("p1", "3") == one.open("p2", "4") == Status.Ok
    a = one.state.accounts[one.account]
    assert a[Account.due_at] == 115  # 14 blocks cost 98, the fifteenth is not covered
    assert one.step_to(115) == [115]
    # owed 45 and 60 with 100 there: floored to 10^-18, the rest to the last key
    assert one.of("p1", Lease.shortfall) == format_amount(45 * ATTO - 100 * 45 * ATTO // 105)
    assert one.amount(Account.shortfall) == "5"
    assert (one.gained("p1"), one.gained("p2")) == (42, 57)
    assert [one.payment("p1"), one.payment("p2")] == ["overdrawn", "overdrawn"]
    assert (one.funds, one.account_state, a[Account.grace_at], a[Account.due_at]) == ("0", "open", 165, -1)
    assert one.problems() == []


def test_exactly_the_funds_are_no_shortfall() -> None:
    one = OneAccount(EscrowRule.EXACT, 100, settle_every=10)
    assert one.open("p1", "10") == Status.Ok
    assert one.step_to(110) == [110]
    assert (one.payment("p1"), one.funds) == ("open", "0")
    assert one.step_to(111) == [111]
    assert (one.payment("p1"), one.amount(Account.shortfall)) == ("overdrawn", "10")


@pytest.mark.parametrize(("left", "state"), [("9", "overdrawn"), ("10", "open")])
def test_a_due_settlement_that_leaves_less_than_one_block_ends_them(left: str, state: str) -> None:
    # Nothing is used, so the due settlement finds all the money there; funds are 100 in both cases.
    one = OneAccount(EscrowRule.EXACT, 100, charging=Charging.USAGE_CAPPED)
    rate = "10" if left == "10" else "101"
    assert one.open("p1", rate, usage=meter(-1)) == Status.Ok
    due = int(one.state.accounts[one.account].due_at)
    assert one.step_to(due) == [due]
    assert (one.payment("p1"), one.funds, one.amount(Account.shortfall)) == (state, "100", "0")
    if state == "open":
        assert int(one.state.accounts[one.account].due_at) == due + 11


def test_another_settlement_that_leaves_less_than_one_block_makes_the_next_block_due() -> None:
    one = OneAccount(EscrowRule.EXACT, 105, grace=50)
    assert one.open("p1", "10") == Status.Ok
    assert one.at(110).settle() == Status.Ok
    assert (one.payment("p1"), one.funds) == ("open", "5")
    assert one.step_to(10_000) == [111, 161]


def test_a_deposit_in_the_block_of_a_settlement_comes_after_it() -> None:
    one = OneAccount(EscrowRule.EXACT, 100, settle_every=11)
    assert one.open("p1", "10") == Status.Ok
    # Nobody has folded the settlement at 111 yet, which is also the due height.
    assert one.at(111).deposit(50) == Status.Ok
    assert (one.amount(Account.shortfall), one.funds, one.payment("p1")) == ("10", "50", "open")


def test_a_deposit_reactivates_all_when_it_covers_a_block_of_all() -> None:
    one = OneAccount(EscrowRule.EXACT, 70, grace=100, settle_every=600)
    assert one.open("p1", "3") == one.open("p2", "4") == Status.Ok
    assert one.step_to(111) == [111]
    assert one.at(120).deposit(6) == Status.Ok
    assert one.payment("p1") == "overdrawn"
    assert one.at(125).deposit(1) == Status.Ok
    a = one.state.accounts[one.account]
    assert [one.payment("p1"), one.payment("p2")] == ["open", "open"]
    assert (a[Account.settled_at], a[Account.grace_at], a[Account.due_at]) == (125, -1, 127)
    assert one.count("p1", Lease.blocks) == 11
    assert one.step_to(127) == [127]
    # the span in between cost nothing
    assert (one.count("p1", Lease.blocks), one.amount(Account.shortfall)) == (13, "14")
    assert one.problems() == []


def test_grace_ends_where_it_was_set_and_refunds_the_rest() -> None:
    one = OneAccount(EscrowRule.EXACT, 100, grace=50)
    assert one.open("p1", "0.3") == one.open("p2", "9") == Status.Ok
    due = int(one.state.accounts[one.account].due_at)
    one.step_to(due)
    for h in (due + 10, due + 40):
        assert one.at(h).deposit(4, "friend") == Status.Ok
        assert one.at(h).settle() == Status.Ok
    assert one.step_to(due + 1000) == [due + 50]
    a = one.state.accounts[one.account]
    assert (one.account_state, a[Account.settled_at]) == ("closed", due + 40)
    assert [one.payment("p1"), one.payment("p2")] == ["closed", "closed"]
    assert one.gained("friend") == 0
    assert one.problems() == []


def test_closing_the_last_suspended_payment_lets_grace_lapse() -> None:
    one = OneAccount(EscrowRule.EXACT, 70, grace=100)
    assert one.open("p1", "3") == one.open("p2", "4") == Status.Ok
    one.step_to(111)
    assert one.at(115).deposit(5) == Status.Ok
    assert one.close_payment("p2") == Status.Ok
    # 5 would cover a block of p1 now, but only a deposit reactivates
    assert (one.payment("p1"), int(one.state.accounts[one.account].grace_at)) == ("overdrawn", 211)
    assert one.close_payment("p1") == Status.Ok
    a = one.state.accounts[one.account]
    assert (one.account_state, one.funds, a[Account.grace_at], a[Account.short]) == ("open", "5", -1, 0)
    assert a[Account.due_at] == -1
    assert one.open("p3", "1") == Status.Ok


def test_a_closing_that_finds_a_shortfall_completes() -> None:
    one = OneAccount(EscrowRule.EXACT, 70)
    assert one.open("p1", "3") == one.open("p2", "4") == Status.Ok
    assert one.at(111).close_payment("p1") == Status.Ok
    assert [one.payment("p1"), one.payment("p2")] == ["closed", "overdrawn"]
    assert one.amount(Account.shortfall) == "7"
    assert one.close_payment("p1") == Status.PaymentClosed


def test_opening_is_refused_in_this_order_and_undone() -> None:
    one = OneAccount(EscrowRule.EXACT, 70)
    assert one.open("p1", "7") == Status.Ok
    one.at(105).room()
    before = one.snapshot()
    for h, provider, rate, status in [
        (111, "p1", "0", Status.AccountOverdrawn),
        (110, "p1", "0", Status.PaymentRateZero),
        (110, "p1", "10000000000", Status.AmountTooLarge),
        (110, "p1", "1", Status.PaymentExists),
    ]:
        assert one.at(h).open(provider, rate) == status
    one.at(105).room()
    changed = [a != b for a, b in zip(before, one.snapshot(), strict=True)]
    assert sum(changed) <= 1  # the test's own free lease row
    one.step_to(111)
    assert one.open("p2", "0") == Status.AccountOverdrawn
    assert one.at(112).close() == Status.Ok
    for refused in (one.close, one.settle, lambda: one.deposit(1), lambda: one.open("p2", "0")):
        assert refused() == Status.AccountClosed
    assert one.close_payment("p1") == one.withdraw("p1") == Status.PaymentClosed
    assert one.deposit(0) == Status.InvalidDeposit
    assert one.use("p1", 0, 0, 0, 0) == Status.LeaseNotActive


def test_closing_leaves_fractions_as_dust() -> None:
    one = OneAccount(EscrowRule.EXACT, 100)
    assert one.open("p1", "0.3") == one.open("p2", "0.25") == Status.Ok
    assert one.at(111).close_payment("p1") == Status.Ok
    assert (one.gained("p1"), one.amount(Account.dust)) == (3, "0.3")
    assert one.at(113).close() == Status.Ok
    # 13 x 0.25 = 3.25 to p2; 93.45 is left of the deposit
    assert (one.gained("p2"), one.gained("tenant"), one.amount(Account.dust)) == (3, -7, "1")
    assert one.problems() == []


# --- usage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("charging", [Charging.USAGE, Charging.USAGE_CAPPED])
@pytest.mark.parametrize("reported", [True, False])
def test_full_use_costs_the_price_to_the_unit(charging: Charging, reported: bool) -> None:
    by_rate = OneAccount(EscrowRule.EXACT, 10**6)
    by_use = OneAccount(EscrowRule.EXACT, 10**6, charging=charging)
    price = "123.456789012345678901"[:-3]
    assert by_rate.open("p1", price) == Status.Ok
    assert by_use.open("p1", price, usage=meter(-1 if reported else 1_000_000)) == Status.Ok
    for h in (700, 1300, 1333):
        if reported:
            blocks = h - int(by_use.state.usage[0].until)
            assert by_use.at(h).use("p1", *(r * 6 * blocks for r in RESERVED)) == Status.Ok
        for one in (by_rate, by_use):
            assert one.at(h).settle() == Status.Ok
    assert by_rate.of("p1", Lease.charged) == by_use.of("p1", Lease.charged)
    assert by_rate.gained("p1") == by_use.gained("p1")


quantities = st.tuples(*[st.one_of(st.integers(0, 10**4), st.integers(0, 10**17))] * 4)
prices = st.integers(1, 10**7 * ATTO)
decimals = st.one_of(st.integers(0, 10**4), st.integers(0, 10**18), st.integers(0, 10**24))


@given(prices, quantities, st.tuples(*[decimals] * 4), st.lists(quantities, min_size=1, max_size=3))
def test_priced_use_is_the_exact_rational_floored_once(
    price: int, reserved: tuple[int, ...], units: tuple[int, ...], records: list[tuple[int, ...]]
) -> None:
    one = OneAccount(EscrowRule.EXACT, 10**6, charging=Charging.USAGE)
    units_text = tuple(format_amount(u) for u in units)
    assert one.open("p1", format_amount(price), usage=meter(-1, reserved, units_text)) == Status.Ok
    weights = sum(r * u for r, u in zip(reserved, units, strict=True))
    used = [0, 0, 0, 0]
    for record in records:
        status = one.use("p1", *record)
        total = [a + b for a, b in zip(used, record, strict=True)]
        # only a resource of which something is reserved counts
        cost = sum(n * u for n, u, r in zip(total, units, reserved, strict=True) if r)
        worth = Fraction(price * cost, 6 * weights) if weights else Fraction(0)
        if worth > exact.PRICED_USE_MAX * ATTO + ATTO:
            assert status == Status.AmountTooLarge
        else:
            assert status == Status.Ok
            used = total
    if weights:
        cost = sum(n * u for n, u, r in zip(used, units, reserved, strict=True) if r)
        found = from_pair(*exact.priced_use(one.state, one.h, 0))
        assert found == floor(Fraction(price * cost, 6 * weights))
    else:
        assert int(exact.priced_use(one.state, one.h, 0)[0]) == -1


@given(
    prices.map(lambda p: p % (1000 * ATTO) + 1),
    st.sampled_from([0, 1, 333_333, 500_000, 999_999, 1_000_000, 1_700_000]),
    st.sampled_from([6000, 1000, 6500, 7]),
    st.integers(0, 300),
    st.lists(st.integers(1, 400), min_size=1, max_size=6),
)
def test_the_built_in_meter_counts_from_the_running_workload_whatever_the_path(
    price: int, ppm: int, block_ms: int, late: int, spans: list[int]
) -> None:
    end = 100 + sum(spans)
    worlds = []
    for heights in ([end], [100 + sum(spans[: i + 1]) for i in range(len(spans))]):
        one = OneAccount(EscrowRule.EXACT, 10**12, charging=Charging.USAGE)
        one.state.globals.block_ms = block_ms
        usage = meter(ppm) | {"active_at": 100 + late}
        assert one.open("p1", format_amount(price), usage=usage) == Status.Ok
        for h in heights:
            assert one.at(h).settle() == Status.Ok
        worlds.append(one)
    blocks = max(0, end - 100 - late)
    used = [ppm * r * block_ms * blocks // 10**9 for r in RESERVED]
    units = [parse_amount(u) for u in UNITS]
    cost = sum(n * u for n, u in zip(used, units, strict=True))
    weights = sum(r * u for r, u in zip(RESERVED, units, strict=True))
    expected = floor(Fraction(price * cost * 1000, block_ms * weights))
    for one in worlds:
        assert one.of("p1", Lease.charged) == format_amount(expected)
    assert worlds[0].gained("p1") == worlds[1].gained("p1")


def test_an_unmetered_lease_and_one_without_unit_prices_owe_the_price() -> None:
    for usage in (None, meter(-1, RESERVED, ("0", "0", "0", "5")), meter(500_000, (0, 0, 0, 0))):
        one = OneAccount(EscrowRule.EXACT, 1000, charging=Charging.USAGE_CAPPED)
        # Row -1 means no meter, not the last row of the table.
        one.state.usage[-1, [Usage.reserved_cpu, Usage.unit_cpu, Usage.utilization_ppm]] = 1, 1, -1
        assert one.open("p1", "2", usage=usage) == Status.Ok
        assert one.at(110).settle() == Status.Ok
        assert one.gained("p1") == 20


def test_use_beyond_the_range_is_refused_and_not_counted() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000, charging=Charging.USAGE)
    usage = meter(-1, (1, 0, 0, 0), ("0.001", "0", "0", "0"))
    assert one.open("p1", "1000000", usage=usage) == Status.Ok
    assert one.use("p1", 7, 0, 0, 0) == Status.Ok
    before = one.state.usage[0].tolist()
    # 10^6 uve x 10^17 ms / 6 s is beyond int64, 10^14 ms beyond what a lease may come to
    for cpu in (10**17, 10**18, 9 * 10**18, 10**14):
        assert one.use("p1", cpu, 5, 5, 5) == Status.AmountTooLarge
        assert one.state.usage[0].tolist() == before
    assert one.use("p1", 10**11, 0, 0, 0) == Status.Ok


def test_a_settlement_is_no_record_of_use() -> None:
    one = OneAccount(EscrowRule.EXACT, 10**6, charging=Charging.USAGE_CAPPED)
    assert one.open("p1", "2", usage=meter(-1)) == Status.Ok
    assert one.at(110).use("p1", 6000, 0, 0, 0) == Status.Ok
    a, u = one.state.accounts[one.account], one.state.usage[0]
    assert a[Account.due_at] == 700  # the settlement that sees it
    assert one.at(130).settle() == Status.Ok
    assert (u[Usage.until], u[Usage.metered]) == (110, 0)
    assert a[Account.due_at] > 700
    # recorded after the settlement of its own block, it waits for the next
    assert one.use("p1", 6000, 0, 0, 0) == Status.Ok
    assert a[Account.due_at] == 700


def test_a_due_height_that_folding_moves_is_no_settlement() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000, charging=Charging.USAGE_CAPPED, settle_every=60)
    assert one.open("p1", "10", usage=meter(500_000)) == Status.Ok
    a = one.state.accounts[one.account]
    assert a[Account.due_at] == 201
    one.at(201).room()
    assert bool(exact.due(one.state, 201, one.account)) is False
    # 60 blocks at half use cost 300, the 700 left last 70 blocks from 160 on
    assert (a[Account.settled_at], a[Account.due_at], one.funds) == (160, 231, "700")


def test_whoever_comes_late_still_finds_the_shortfall() -> None:
    one = OneAccount(EscrowRule.EXACT, 100, charging=Charging.USAGE, settle_every=10)
    assert one.open("p1", "10", usage=meter(3_000_000)) == Status.Ok
    assert one.at(500)
    one.room()
    assert bool(exact.due(one.state, 500, one.account)) is True
    a = one.state.accounts[one.account]
    # three times the price: 300 owed at the first settlement with 100 there
    assert (a[Account.settled_at], one.amount(Account.shortfall)) == (110, "200")
    assert bool(exact.due(one.state, 500, one.account)) is False


def test_records_that_make_no_sense_are_refused() -> None:
    one = OneAccount(EscrowRule.EXACT, 1000, charging=Charging.USAGE_CAPPED)
    assert one.open("p1", "2", usage=meter(-1)) == one.open("p2", "2") == Status.Ok
    for quantities_ in ((-1, 0, 0, 0), (0, -1, 0, 0), (0, 0, -1, 0), (0, 0, 0, -1)):
        assert one.use("p1", *quantities_) == Status.UsageInvalid
    assert one.use("p2", 1, 1, 1, 1) == Status.UsageInvalid
    assert one.use("p1", 1, 1, 1, 1) == Status.Ok
    assert one.events()[-1][1:4] == [EventKind.USAGE_RECORDED, 0, 100]


# --- folding is stepping ------------------------------------------------------------------------------------

operations = st.lists(
    st.tuples(
        st.sampled_from(["deposit", "open", "close_payment", "settle", "use", "nothing", "withdraw"]),
        st.integers(1, 900),
        st.integers(0, 2),
        st.integers(1, 1000),
    ),
    min_size=1,
    max_size=14,
)


def state_of(one: OneAccount) -> list[object]:
    # The unused parts and the audit's list aside, all that escrow keeps.
    g = one.state.globals
    accounts = one.state.accounts[: g[G.accounts], : Account.next].tolist()
    leases = one.state.leases[: g[G.leases]].tolist()
    wallets = one.state.wallets[: g[G.wallets]].tolist()
    return [accounts, leases, wallets, one.deposits(), g[G.deposited : G.network_fees_paid].tolist()]


@settings(max_examples=150 if COMPILING else 10)
@given(
    operations,
    st.sampled_from(BY_BLOCK),
    st.sampled_from([7, 50, 600]),
    st.sampled_from([30, 400]),
    st.sampled_from([-1, 400_000, 1_000_000, 1_300_000]),
    st.sampled_from([20, 300, 20_000]),
)
def test_folding_the_cadence_equals_stepping_through_it(
    steps: list[tuple[str, int, int, int]], charging: Charging, every: int, grace: int, ppm: int, deposit: int
) -> None:
    worlds = [OneAccount(EscrowRule.EXACT, deposit, charging=charging, settle_every=every, grace=grace, take=2) for _ in range(2)]
    stepping, folding = worlds
    h = 100
    for kind, blocks, which, amount in steps:
        h += blocks
        until = h - (kind == "use")
        stepping.step_to(until)
        folding.jump_to(until)
        # Both have settled by the cadence up to h; what the account does in the block of a message is the
        # message's own business.
        assert state_of(stepping) == state_of(folding)
        for one in worlds:
            one.at(h)
            provider = f"p{which + 1}"
            if kind == "deposit":
                one.deposit(amount)
            elif kind == "open":
                one.open(provider, f"{amount % 7}.{amount:03}", gseq=which + 1, usage=meter(ppm))
            elif kind == "settle":
                one.settle()
            elif provider in one.leases and kind == "close_payment":
                one.close_payment(provider)
            elif provider in one.leases and kind == "withdraw":
                one.withdraw(provider)
            elif provider in one.leases and kind == "use" and ppm < 0:
                one.use(provider, *(r * amount for r in RESERVED))
        assert state_of(stepping) == state_of(folding)
        assert stepping.problems() == folding.problems() == []


@settings(max_examples=100 if COMPILING else 10)
@given(operations, st.sampled_from([-1, 300_000, 1_000_000]), st.sampled_from([60, 5000]))
def test_messages_need_no_fold_before_them(steps: list[tuple[str, int, int, int]], ppm: int, deposit: int) -> None:
    # The clock folds only at messages and dates; the account comes to the same as one that settles every 7
    # blocks by itself.
    worlds = [OneAccount(EscrowRule.EXACT, deposit, charging=Charging.USAGE_CAPPED, settle_every=7, grace=400, take=2) for _ in range(2)]
    eager, lazy = worlds
    h = 100
    for kind, blocks, which, amount in steps:
        h += blocks
        # within a block: usage, then the settlement, then the other messages
        until = h - (kind == "use")
        eager.step_to(until)
        while True:
            a = lazy.state.accounts[lazy.account]
            dates = [int(x) for x in (a[Account.due_at], a[Account.grace_at]) if 0 <= x <= until]
            if not dates:
                break
            if not exact.grace_end(lazy.state, min(dates), lazy.account):
                exact.due(lazy.state, min(dates), lazy.account)
            lazy.room()
        provider = f"p{which + 1}"
        answers = []
        for one in worlds:
            one.at(h)
            if kind == "deposit":
                answers.append(one.deposit(amount))
            elif kind == "open":
                answers.append(one.open(provider, f"{amount % 7}.{amount:03}", gseq=which + 1, usage=meter(ppm)))
            elif provider in one.leases and kind == "close_payment":
                answers.append(one.close_payment(provider))
            elif provider in one.leases and kind == "use" and ppm < 0:
                answers.append(one.use(provider, *(r * amount for r in RESERVED)))
        assert len(set(answers)) <= 1
    for one in worlds:
        one.at(h).settle()
    assert state_of(eager) == state_of(lazy)


def test_one_event_stands_for_a_folded_span() -> None:
    one = OneAccount(EscrowRule.EXACT, 10_000, settle_every=10)
    assert one.open("p1", "1") == Status.Ok
    one.at(1105)
    one.jump_to(1105)
    kinds = [row[1] for row in one.events()]
    assert kinds == [EventKind.DEPOSITED, EventKind.SETTLED, EventKind.PAID]
    assert one.events()[1][2:7] == [0, 1100, 1000, 0, 1000]


# --- projections --------------------------------------------------------------------------------------------


def test_projections_look_and_change_nothing() -> None:
    one = OneAccount(EscrowRule.EXACT, 100)
    assert one.open("p1", "3") == Status.Ok
    one.at(110).room()
    before = one.snapshot()
    assert from_pair(*escrow.live_funds(one.state, 110, one.account)) == 70 * ATTO
    assert from_pair(*escrow.live_funds(one.state, 140, one.account)) == -20 * ATTO
    assert escrow.blocks_left(one.state, 110, one.account) == 23
    assert escrow.blocks_left(one.state, 1000, one.account) == 0
    assert escrow.dry_at(one.state, one.account) == 134
    assert escrow.next_cadence(one.state, 110, one.account) == 700
    assert one.snapshot() == before
    one.close()
    assert from_pair(*escrow.live_funds(one.state, 140, one.account)) == 0
    assert escrow.dry_at(one.state, one.account) == escrow.blocks_left(one.state, 140, one.account) == -1
    assert escrow.next_cadence(one.state, 110, one.account) == -1


@given(st.integers(1, 10**12), st.lists(st.integers(1, 10**6 * ATTO), min_size=1, max_size=4))
def test_the_due_height_is_the_first_block_that_cannot_be_paid(deposit: int, rates: list[int]) -> None:
    one = OneAccount(EscrowRule.EXACT, deposit)
    for i, rate in enumerate(rates, 1):
        assert one.open(f"p{i}", format_amount(rate), gseq=i) == Status.Ok
    due = int(one.state.accounts[one.account].due_at)
    if due < 500_000_000:
        assert sum(rates) * (due - 100) > deposit * ATTO >= sum(rates) * (due - 101)
    assert to_pair(sum(rates)) == tuple(one.state.accounts[one.account, Account.rates : Account.rates_atto + 1])
    assert one.gained("tenant") == COINS - COINS - deposit
