"""The worked examples of protocol reference 3.10 as one table: V1-V23 (sequential rule) and W1-W8
(proportional rule), escrow side.

An example is a list of steps, one tuple each: an operation at a block counted from the opening of the
payments ("@", n), or a fact that must hold. Payments are served in the order p1, p2, p3.
"""

from __future__ import annotations

from typing import Any

import pytest
from one_account import OneAccount

from marketsim.chain.columns import COMMUNITY_WALLET, Account, EscrowRule, Lease, Quirk
from marketsim.chain.escrow import messages as escrow
from marketsim.chain.escrow.accounts import FROM_GRANT
from marketsim.chain.ledger import totals
from marketsim.chain.status import Status
from marketsim.money.units import ATTO

UPSTREAM = Quirk.SETTLE_SAME_HEIGHT | Quirk.PAYMENT_CREATE_LOSES
Step = tuple[Any, ...]


def settle_table(
    rows: list[tuple[int, list[str], int, list[int], str, str, str]],
) -> dict[str, tuple[Any, ...]]:
    """V1 and its like: a deposit, rates, one forced settlement after some blocks."""
    examples: dict[str, tuple[Any, ...]] = {}
    for dep, rates, delta, paid, funds, state, unsettled in rows:
        steps: list[Step] = [("@", delta), ("settle",), ("funds", funds), ("account", state)]
        steps += [("net", f"p{i}", amount) for i, amount in enumerate(paid, 1)]
        steps += [("unsettled", f"p{len(paid)}", unsettled)]
        examples[f"V1 {dep} {'+'.join(rates)} x {delta}"] = ([dep], rates, {}, steps)
    return examples


EXAMPLES: dict[str, tuple[list[int], list[str], dict[str, Any], list[Step]]] = {
    **settle_table(
        [
            (100, ["1", "2"], 5, [5, 10], "85", "open", "0"),
            (100, ["10", "10"], 5, [50, 50], "0", "open", "0"),
            (100, ["10", "10"], 6, [60, 40], "-20", "overdrawn", "20"),
            (200, ["10", "10"], 5, [50, 50], "100", "open", "0"),
            (200, ["10", "10"], 6, [60, 60], "80", "open", "0"),
            (200, ["10", "10"], 10, [100, 100], "0", "open", "0"),
            (200, ["10", "10"], 11, [110, 90], "-20", "overdrawn", "20"),
        ]
    ),
    "V2 closing pays, takes and refunds": (
        [1000],
        ["10"],
        {"take": 2},
        [
            ("@", 10),
            ("close",),
            ("fees", 2),
            ("net", "p1", 98),
            ("refunded", 900),
            ("transferred", "100"),
            ("account", "closed"),
            ("payment", "p1", "closed"),
        ],
    ),
    "V3 withdraw, close payment, close account": (
        [1000],
        ["10"],
        {"take": 2},
        [
            ("@", 10),
            ("withdraw", "p1"),
            ("fees", 2),
            ("net", "p1", 98),
            ("funds", "900"),
            ("@", 30),
            ("close_payment", "p1"),
            ("fees", 6),
            ("net", "p1", 98 + 196),
            ("funds", "700"),
            ("withdraw", "p1", Status.PaymentClosed),
            ("close_payment", "p1", Status.PaymentClosed),
            ("open", "p1", "10", Status.PaymentExists),
            ("@", 50),
            ("close",),
            ("refunded", 700),
            ("close", Status.AccountClosed),
            ("open", "p1", "10", Status.AccountClosed),
        ],
    ),
    "V4 overdraft, repeated close, top-up clears the debt": (
        [1000],
        ["10"],
        {"take": 2},
        [
            ("@", 105),
            ("withdraw", "p1"),
            ("fees", 20),
            ("net", "p1", 980),
            ("funds", "-50"),
            ("transferred", "1000"),
            ("unsettled", "p1", "50"),
            ("account", "overdrawn"),
            ("payment", "p1", "overdrawn"),
            ("settled_at", 105),
            ("@", 110),
            ("close",),
            ("close_payment", "p1"),
            ("settled_at", 105),
            ("funds", "-50"),
            ("open", "p2", "1", Status.AccountOverdrawn),
            ("withdraw", "p1", Status.PaymentClosed),
            ("deposit", 1000),
            ("fees", 21),
            ("net", "p1", 980 + 49),
            ("refunded", 950),
            ("account", "closed"),
            ("payment", "p1", "closed"),
            ("funds", "0"),
            ("transferred", "1050"),
        ],
    ),
    "V5 debt paid in two parts": (
        [1000],
        ["10"],
        {},
        [
            ("@", 105),
            ("withdraw", "p1"),
            ("@", 110),
            ("deposit", 30),
            ("net", "p1", 1030),
            ("unsettled", "p1", "20"),
            ("funds", "-20"),
            ("account", "overdrawn"),
            ("payment", "p1", "overdrawn"),
            ("deposit", 20),
            ("net", "p1", 1050),
            ("account", "closed"),
            ("payment", "p1", "closed"),
            ("refunded", 0),
        ],
    ),
    "V6 half a unit a block, withdrawn every block": (
        [100],
        ["0.5"],
        {},
        [s for n in range(1, 11) for s in (("@", n), ("withdraw", "p1"))] + [("net", "p1", 0), ("funds", "100")],
    ),
    "V6 half a unit a block, withdrawn once": (
        [100],
        ["0.5"],
        {},
        [("@", 10), ("withdraw", "p1"), ("net", "p1", 5), ("funds", "95")],
    ),
    "V7 fractions dropped at each settlement": (
        [100],
        ["1.75"],
        {},
        [
            ("@", 3),
            ("withdraw", "p1"),
            ("net", "p1", 5),
            ("@", 6),
            ("withdraw", "p1"),
            ("net", "p1", 10),
            ("@", 10),
            ("withdraw", "p1"),
            ("net", "p1", 17),
            ("funds", "83"),
        ],
    ),
    "V8 accrued and unpaid": (
        [1000],
        ["3", "7"],
        {},
        [
            ("@", 10),
            ("withdraw", "p1"),
            ("net", "p1", 30),
            ("balance", "p2", "70"),
            ("funds", "900"),
            ("@", 20),
            ("withdraw", "p2"),
            ("net", "p2", 140),
            ("balance", "p1", "30"),
            ("funds", "800"),
            ("@", 25),
            ("close",),
            ("net", "p1", 75),
            ("net", "p2", 175),
            ("refunded", 750),
        ],
    ),
    "V9 first in first out": (
        [],
        ["10"],
        {"deposits": [("granter", 50), ("tenant", 100)]},
        [
            ("@", 7),
            ("withdraw", "p1"),
            ("net", "p1", 70),
            ("deposits", [("tenant", "80")]),
            ("@", 10),
            ("close",),
            ("net", "p1", 100),
            ("refunded", 50),
            ("gained", "granter", -50),
        ],
    ),
    "V10 twice in one block, upstream": (
        [1000],
        ["10"],
        {"quirks": UPSTREAM},
        [
            ("@", 10),
            ("withdraw", "p1"),
            ("net", "p1", 100),
            ("withdraw", "p1", Status.Panic),
            ("close_payment", "p1"),
            ("payment", "p1", "open"),
            ("@", 15),
            ("close_payment", "p1"),
            ("net", "p1", 150),
            ("payment", "p1", "closed"),
            ("funds", "850"),
        ],
    ),
    "V10 twice in one block, repaired": (
        [1000],
        ["10"],
        {},
        [
            ("@", 10),
            ("withdraw", "p1"),
            ("withdraw", "p1"),
            ("net", "p1", 100),
            ("close_payment", "p1"),
            ("payment", "p1", "closed"),
            ("funds", "900"),
        ],
    ),
    "V10 closing after a withdrawal, upstream": (
        [1000],
        ["10", "20"],
        {"quirks": UPSTREAM},
        [
            ("@", 10),
            ("withdraw", "p1"),
            ("close",),
            ("net", "p1", 100),
            ("net", "p2", 0),
            ("refunded", 700),
            ("stranded", 200),
            ("payment", "p2", "open"),
            ("withdraw", "p2", Status.AccountClosed),
            ("close_payment", "p2", Status.AccountClosed),
        ],
    ),
    "V10 closing after a withdrawal, repaired": (
        [1000],
        ["10", "20"],
        {},
        [
            ("@", 10),
            ("withdraw", "p1"),
            ("close",),
            ("net", "p1", 100),
            ("net", "p2", 200),
            ("refunded", 700),
            ("stranded", 0),
        ],
    ),
    "V11 a second lease, upstream": (
        [1000],
        ["10"],
        {"quirks": UPSTREAM},
        [
            ("@", 10),
            ("open", "p2", "5"),
            ("@", 20),
            ("withdraw", "p1"),
            ("@", 21),
            ("close",),
            ("net", "p1", 110),
            ("net", "p2", 55),
            ("refunded", 735),
            ("stranded", 100),
        ],
    ),
    "V11 a second lease, repaired": (
        [1000],
        ["10"],
        {},
        [
            ("@", 10),
            ("open", "p2", "5"),
            ("@", 20),
            ("withdraw", "p1"),
            ("@", 21),
            ("close",),
            ("net", "p1", 210),
            ("net", "p2", 55),
            ("refunded", 735),
            ("stranded", 0),
        ],
    ),
    "V12 the last key gets nothing": (
        [100],
        ["10", "10", "10"],
        {},
        [
            ("@", 5),
            ("settle",),
            ("net", "p1", 50),
            ("net", "p2", 50),
            ("net", "p3", 0),
            ("unsettled", "p3", "50"),
            ("funds", "-50"),
            ("payment", "p1", "overdrawn"),
        ],
    ),
    **{
        f"V13 the seed's rate after {blocks} blocks": (
            [500_000],
            [rate],
            {},
            [("@", blocks), ("withdraw", "p1"), ("net", "p1", paid)],
        )
        for rate, blocks, paid in [
            ("0.00143792", 600, 0),
            ("0.00143792", 695, 0),
            ("0.00143792", 696, 1),
            ("0.00143792", 14_400, 20),
            ("0.001437", 1000, 1),
        ]
    },
    "V13 how long the seed's deposit lasts": (
        [500_000],
        ["0.00143792"],
        {},
        [("blocks_left", 347_724_490)],
    ),
    "V14 two units left": (
        [100],
        ["7"],
        {},
        [
            ("@", 14),
            ("withdraw", "p1"),
            ("net", "p1", 98),
            ("funds", "2"),
            ("account", "open"),
            ("@", 15),
            ("withdraw", "p1"),
            ("net", "p1", 100),
            ("unsettled", "p1", "5"),
            ("account", "overdrawn"),
        ],
    ),
    "V15 nothing left is no overdraft": (
        [100],
        ["10"],
        {},
        [
            ("dry_at", 11),
            ("@", 10),
            ("withdraw", "p1"),
            ("funds", "0"),
            ("account", "open"),
            ("@", 11),
            ("withdraw", "p1"),
            ("unsettled", "p1", "10"),
            ("account", "overdrawn"),
        ],
    ),
    **{
        f"V16 take {take} % of {gross}": (
            [gross],
            [str(gross)],
            {"take": take},
            [("@", 1), ("withdraw", "p1"), ("fees", fee), ("net", "p1", gross - fee)],
        )
        for take, gross, fee in [(5, 100, 5), (2, 49, 0), (2, 50, 1), (2, 99, 1), (20, 4, 0), (20, 5, 1)]
    },
    "V16 a hundred small pay-outs": (
        [1000],
        ["10"],
        {"take": 2},
        [s for n in range(1, 101) for s in (("@", n), ("withdraw", "p1"))] + [("fees", 0), ("net", "p1", 1000)],
    ),
    "V16 one large pay-out": (
        [1000],
        ["10"],
        {"take": 2},
        [("@", 100), ("withdraw", "p1"), ("fees", 20), ("net", "p1", 980)],
    ),
    "V17 found by the first daily withdrawal": (
        [500_000],
        ["40"],
        {"take": 2, "opened_at": 103},
        [
            ("dry_at", 12_501),
            ("@", 12_500),
            ("live", 0),
            ("@", 14_400),
            ("live", -76_000),
            ("withdraw", "p1"),
            ("fees", 10_000),
            ("net", "p1", 490_000),
            ("unsettled", "p1", "76000"),
        ],
    ),
    "V17 found by withdrawals every 600 blocks": (
        [500_000],
        ["40"],
        {"take": 2, "opened_at": 103},
        [s for n in range(600, 12_601, 600) for s in (("@", n), ("withdraw", "p1"))]
        + [("settled_at", 12_600), ("unsettled", "p1", "4000"), ("account", "overdrawn")],
    ),
    "V18 a top-up does not settle": (
        [1000],
        ["10"],
        {},
        [("@", 50), ("deposit", 500), ("funds", "1500"), ("transferred", "0"), ("settled_at", 0)],
    ),
    "V18 a late top-up rescues an undetected lease": (
        [1000],
        ["10"],
        {},
        [
            ("@", 120),
            ("live", -200),
            ("deposit", 500),
            ("withdraw", "p1"),
            ("net", "p1", 1200),
            ("funds", "300"),
            ("account", "open"),
        ],
    ),
    "V19 closing one payment finds the overdraft": (
        [100],
        ["10", "5"],
        {},
        [
            ("@", 8),
            ("close_payment", "p2"),
            ("net", "p1", 80),
            ("net", "p2", 20),
            ("unsettled", "p2", "20"),
            ("account", "overdrawn"),
            ("payment", "p1", "overdrawn"),
            ("payment", "p2", "overdrawn"),
        ],
    ),
    "V20 a top-up pays the debt and the rest comes back": (
        [100],
        ["10", "10"],
        {},
        [
            ("@", 6),
            ("settle",),
            ("net", "p1", 60),
            ("net", "p2", 40),
            ("unsettled", "p1", "0"),
            ("unsettled", "p2", "20"),
            ("deposit", 25),
            ("net", "p1", 60),
            ("net", "p2", 60),
            ("payment", "p1", "closed"),
            ("payment", "p2", "closed"),
            ("refunded", 5),
        ],
    ),
    "V21 an ended lease keeps draining, upstream": (
        [1000],
        ["10", "20"],
        {"quirks": UPSTREAM},
        [
            ("@", 10),
            ("withdraw", "p2"),
            ("net", "p2", 200),
            ("close_payment", "p1"),
            ("payment", "p1", "open"),
            ("balance", "p1", "100"),
            ("@", 20),
            ("close",),
            ("net", "p1", 200),
            ("net", "p2", 400),
            ("refunded", 400),
        ],
    ),
    "V22 a deposit record used up exactly": (
        [500_000] * 4,
        ["500000"],
        {"take": 2},
        [
            ("@", 1),
            ("withdraw", "p1"),
            ("deposits", [("tenant", "500000")] * 3),
            ("fees", 10_000),
            ("net", "p1", 490_000),
        ],
    ),
    "V23 closed a hundred blocks late, topped up by exactly the debt": (
        [1000],
        ["10"],
        {},
        [
            ("@", 200),
            ("close",),
            ("account", "overdrawn"),
            ("payment", "p1", "overdrawn"),
            ("unsettled", "p1", "1000"),
            ("deposit", 1000),
            ("account", "closed"),
            ("funds", "0"),
            ("refunded", 0),
        ],
    ),
    "keys in string order, not in the order of numbers": (
        [100],
        [],
        {},
        [
            ("open", "p3", "10", Status.Ok, 2, 1),
            ("open", "p1", "10", Status.Ok, 10, 1),
            ("open", "p2", "10", Status.Ok, 1, 2),
            ("@", 7),
            ("settle",),
            # 1/2/p2, 10/1/p1, 2/1/p3: the last is served last
            ("net", "p2", 70),
            ("net", "p1", 30),
            ("net", "p3", 0),
        ],
    ),
    "refusals change nothing": (
        [100],
        ["10"],
        {},
        [
            ("open", "p2", "0", Status.PaymentRateZero),
            ("open", "p2", "10000000000", Status.AmountTooLarge),
            ("open", "p1", "0", Status.PaymentRateZero),
            ("open", "p1", "1", Status.PaymentExists),
            ("deposit", 0, Status.InvalidDeposit),
            ("@", 11),
            ("open", "p2", "1", Status.AccountOverdrawn),
            ("open", "p1", "0", Status.AccountOverdrawn),
            ("settled_at", 0),
            ("account", "open"),
            ("@", 10),
            ("close",),
            ("deposit", 1, Status.AccountClosed),
            ("settle", Status.AccountClosed),
            ("withdraw", "p1", Status.PaymentClosed),
            ("close_payment", "p1", Status.PaymentClosed),
        ],
    ),
}


def play(rule: EscrowRule, example: tuple[list[int], list[str], dict[str, Any], list[Step]]) -> None:
    deposits, rates, options, steps = example
    options = dict(options)
    signers = options.pop("deposits", [])
    one = OneAccount(rule, *deposits, **options)
    for signer, amount in signers:
        assert one.collect(signer, amount) == Status.Ok
    begin = one.h
    paid_in = sum(deposits) + sum(amount for signer, amount in signers if signer == "tenant")
    for i, rate in enumerate(rates, 1):
        assert one.open(f"p{i}", rate) == Status.Ok
    for step in steps:
        paid_in += _play_step(one, step, begin, paid_in)
        assert one.problems() == []


def _play_step(one: OneAccount, step: Step, begin: int, paid_in: int) -> int:
    name, *args = step
    if name == "@":
        one.at(begin + args[0])
    elif name in ("withdraw", "close_payment", "open", "deposit", "close", "settle"):
        expected = next((arg for arg in args if isinstance(arg, Status)), Status.Ok)
        given = [arg for arg in args if not isinstance(arg, Status)]
        one.room()
        before = one.snapshot()
        assert getattr(one, name)(*given) == expected, step
        if expected != Status.Ok:
            changed = [a != b for a, b in zip(before, one.snapshot(), strict=True)]
            # the next free lease row is filled by the test before the payment is opened
            assert sum(changed) <= (name == "open"), step
        elif name == "deposit":
            return int(args[0])
    else:
        found = {
            "funds": lambda: one.funds,
            "transferred": lambda: one.amount(Account.transferred),
            "settled_at": lambda: int(one.state.accounts[one.account].settled_at) - begin,
            "account": lambda: one.account_state,
            "deposits": one.deposits,
            "fees": lambda: one.coins(COMMUNITY_WALLET),
            "refunded": lambda: paid_in + one.gained("tenant"),
            "stranded": lambda: totals(one.state)["stranded"] // ATTO,
            "gained": lambda: one.gained(args[0]),
            "net": lambda: one.gained(args[0]),
            "payment": lambda: one.payment(args[0]),
            "balance": lambda: one.of(args[0], Lease.balance),
            "unsettled": lambda: one.of(args[0], Lease.unsettled),
            "moved": lambda: one.of(args[0], Lease.charged),
            "dust": lambda: one.amount(Account.dust),
            "live": lambda: int(escrow.live_funds(one.state, one.h, one.account)[0]),
            "dry_at": lambda: int(escrow.dry_at(one.state, one.account)) - begin,
            "blocks_left": lambda: int(escrow.blocks_left(one.state, one.h, one.account)),
        }[name]()
        assert found == args[-1], step
    return 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_sequential_rule(name: str) -> None:
    play(EscrowRule.SEQUENTIAL, EXAMPLES[name])


THIRD = "33.333333333333333333"
PROPORTIONAL: dict[str, tuple[list[int], list[str], dict[str, Any], list[Step]]] = {
    "W1": (
        [100],
        ["10", "10"],
        {},
        [("@", 6), ("settle",), *[("moved", p, "50") for p in ("p1", "p2")], ("account", "overdrawn")],
    ),
    "W2": (
        [90],
        ["10", "10"],
        {},
        [
            ("dry_at", 5),
            ("@", 6),
            ("settle",),
            ("moved", "p1", "45"),
            ("moved", "p2", "45"),
            ("net", "p1", 45),
        ],
    ),
    "W5": (
        [100],
        ["1", "2"],
        {},
        [
            ("@", 40),
            ("settle",),
            ("moved", "p1", THIRD),
            ("moved", "p2", "66.666666666666666667"),
            ("funds", "0"),
            ("dust", "1"),
        ],
    ),
    "W6": (
        [100],
        ["1.75", "0.5"],
        {},
        [
            ("@", 50),
            ("settle",),
            ("moved", "p1", "77.777777777777777778"),
            ("moved", "p2", "22.222222222222222222"),
        ],
    ),
    "W7": (
        [100],
        ["1", "1", "1"],
        {},
        [
            ("@", 50),
            ("settle",),
            *[("moved", p, THIRD) for p in ("p1", "p2", "p3")],
            *[("net", p, 33) for p in ("p1", "p2", "p3")],
            ("dust", "1"),
        ],
    ),
    "W8": (
        [200],
        ["10", "10"],
        {},
        [("@", 11), ("settle",), ("moved", "p1", "100"), ("moved", "p2", "100"), ("account", "overdrawn")],
    ),
    "a fraction is carried": (
        [100],
        ["1.75"],
        {},
        [
            ("@", 3),
            ("withdraw", "p1"),
            ("net", "p1", 5),
            ("balance", "p1", "0.25"),
            ("funds", "94.75"),
            ("@", 6),
            ("withdraw", "p1"),
            ("net", "p1", 10),
            ("@", 10),
            ("live", 82),
            ("withdraw", "p1"),
            ("net", "p1", 17),
            ("balance", "p1", "0.5"),
            ("funds", "82.5"),
            ("close_payment", "p1"),
            ("dust", "0.5"),
            ("close",),
            ("refunded", 82),
            ("dust", "1"),
        ],
    ),
    "overdrawn is final, nothing is owed": (
        [100],
        ["10"],
        {"take": 2},
        [
            ("@", 50),
            ("withdraw", "p1"),
            ("net", "p1", 98),
            ("fees", 2),
            ("account", "overdrawn"),
            ("unsettled", "p1", "0"),
            ("deposit", 100, Status.AccountClosed),
            ("open", "p2", "1", Status.AccountOverdrawn),
            ("withdraw", "p1", Status.PaymentClosed),
            ("close_payment", "p1", Status.PaymentClosed),
            ("close", Status.AccountClosed),
            ("settle", Status.AccountClosed),
        ],
    ),
    "refusals change nothing": (
        [100],
        ["10"],
        {},
        [
            ("open", "p2", "0", Status.PaymentRateZero),
            ("open", "p2", "10000000000", Status.AmountTooLarge),
            ("open", "p1", "1", Status.PaymentExists),
            ("@", 11),
            ("open", "p2", "1", Status.AccountOverdrawn),
            ("close",),
            ("account", "overdrawn"),
            ("net", "p1", 100),
        ],
    ),
    "twice in one block loses nothing": (
        [100],
        ["10"],
        {},
        [
            ("@", 5),
            ("withdraw", "p1"),
            ("withdraw", "p1"),
            ("net", "p1", 50),
            ("open", "p2", "1"),
            ("@", 6),
            ("close",),
            ("net", "p1", 60),
            ("net", "p2", 1),
            ("refunded", 39),
            ("open", "p3", "1", Status.AccountClosed),
        ],
    ),
    "more than there is, rounded up: the last ones get what is left": (
        [1],
        ["6"] * 6 + ["1"],
        {},
        [("@", 1), ("settle",), ("funds", "0"), ("account", "overdrawn")],
    ),
}


@pytest.mark.parametrize("name", PROPORTIONAL)
def test_proportional_rule(name: str) -> None:
    play(EscrowRule.PROPORTIONAL, PROPORTIONAL[name])


def test_w3_grants_are_used_before_the_balance() -> None:
    one = OneAccount(EscrowRule.PROPORTIONAL, 100)
    one.grant("granter", "tenant", 100)
    assert one.collect("tenant", 100, FROM_GRANT) == Status.Ok
    assert one.open("p1", "10") == one.open("p2", "10") == Status.Ok
    assert one.at(105).settle() == Status.Ok
    assert [one.gained("p1"), one.gained("p2")] == [50, 50]
    assert one.deposits() == [("tenant", "100")]
    assert one.account_state == "open"
    assert one.problems() == []


@pytest.mark.parametrize(
    ("rates", "shares"),
    [(("20", "30"), ("4", "6")), (("30", "30"), ("5", "5")), (("45", "55"), ("4.5", "5.5"))],
)
def test_w4_a_remainder_is_split_by_rate(rates: tuple[str, str], shares: tuple[str, str]) -> None:
    one = OneAccount(EscrowRule.PROPORTIONAL, 10)
    assert one.open("p1", rates[0]) == one.open("p2", rates[1]) == Status.Ok
    assert one.at(101).settle() == Status.Ok
    assert (one.of("p1", Lease.charged), one.of("p2", Lease.charged)) == shares
