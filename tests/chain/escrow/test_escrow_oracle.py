"""The sequential rule against a second model, written from protocol reference 3.4-3.7 on Python fractions
and dicts, at extreme sizes.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsim.conformance.escrow import replay
from marketsim.kernel.modes import COMPILING
from marketsim.money.text import format_amount

YEARS = 5 * 5_259_600


class Model:
    """One account as the text says it; everything found by searching, nothing kept twice."""

    def __init__(self, take: int, quirks: bool) -> None:
        self.take, self.quirks = take, quirks
        self.state, self.settled_at, self.transferred = "open", 0, 0
        self.funds: int = 0
        self.deposits: list[list[Any]] = []
        self.refunded: dict[str, int] = {}
        self.payments: dict[str, dict[str, Any]] = {}

    def settle(self, h: int, keep: bool = True) -> tuple[bool, list[str]]:
        """Whether the account is overdrawn, and which payments were selected."""
        if self.funds < 0:
            return True, []
        delta = h - self.settled_at if self.state == "open" else 0
        if self.state == "open":
            self.settled_at = h
        keys = sorted(self.payments)
        selected = [k for k in keys if self.payments[k]["state"] == "overdrawn"]
        if delta or (not self.quirks and self.state == "open"):
            selected += [k for k in keys if self.payments[k]["state"] == "open"]
        short = False
        for key in selected:
            p = dict(self.payments[key])
            owed = p["unsettled"] if p["state"] == "overdrawn" else floor(p["rate"] * delta)
            p["unsettled"] = 0 if p["state"] == "overdrawn" else p["unsettled"]
            paid = 0
            while paid < owed and self.deposits:
                part = min(owed - paid, self.deposits[0][1])
                self.deposits[0][1] -= part
                paid += part
                if not self.deposits[0][1]:
                    self.deposits.pop(0)
            p["balance"] += paid
            self.transferred += paid
            self.funds -= owed
            p["state"] = "overdrawn" if paid < owed else "open"
            p["unsettled"] += owed - paid
            short |= paid < owed
            if keep:
                self.payments[key] = p
        if short:
            self.state = "overdrawn"
            for key in selected:
                self.payments[key]["state"] = "overdrawn"
                self.pay(key)
        return short, selected

    def pay(self, key: str) -> None:
        p = self.payments[key]
        fee = p["balance"] * self.take // 100
        p["withdrawn"] += p["balance"]
        p["fees"] += fee
        p["balance"] = 0

    def finish(self) -> None:
        self.state = "closed"
        for owner, left in self.deposits:
            self.refunded[owner] = self.refunded.get(owner, 0) + left
        self.funds, self.deposits = 0, []

    def deposit(self, h: int, owner: str, amount: int) -> str:
        if self.state == "closed":
            return "AccountClosed"
        self.funds = max(0, self.funds) + amount
        self.deposits.append([owner, amount])
        if self.state == "overdrawn":
            short, selected = self.settle(h)
            if not short:
                for key in selected:
                    self.payments[key]["state"] = "closed"
                    self.pay(key)
                self.finish()
        return "ok"

    def payment_create(self, h: int, key: str, rate: Fraction) -> str:
        if self.state == "closed":
            return "AccountClosed"
        delta = h - self.settled_at
        owed = sum(floor(p["rate"] * delta) for p in self.payments.values() if p["state"] == "open")
        if self.state == "overdrawn" or owed > self.funds:
            return "AccountOverdrawn"
        if rate == 0:
            return "PaymentRateZero"
        if key in self.payments:
            return "PaymentExists"
        self.settle(h, keep=not self.quirks)
        self.payments[key] = {"state": "open", "rate": rate} | dict.fromkeys(("balance", "unsettled", "withdrawn", "fees"), 0)
        return "ok"

    def payment_withdraw(self, h: int, key: str) -> str:
        if key not in self.payments:
            return "PaymentNotFound"
        if self.payments[key]["state"] != "open":
            return "PaymentClosed"
        if self.state == "closed":
            return "AccountClosed"
        if self.quirks and h == self.settled_at:
            return "panic"
        if not self.settle(h)[0]:
            self.pay(key)
        return "ok"

    def payment_close(self, h: int, key: str) -> str:
        if key not in self.payments:
            return "PaymentNotFound"
        if self.payments[key]["state"] == "closed":
            return "PaymentClosed"
        if self.state == "closed":
            return "AccountClosed"
        short, selected = self.settle(h)
        if not short and key in selected:
            self.payments[key]["state"] = "closed"
            self.pay(key)
        return "ok"

    def account_close(self, h: int) -> str:
        if self.state == "closed":
            return "AccountClosed"
        short, selected = self.settle(h)
        if not short:
            for key in selected:
                self.payments[key]["state"] = "closed"
                self.pay(key)
            self.finish()
        return "ok"

    def after(self) -> dict[str, Any]:
        return {
            "account": {
                "state": self.state,
                "funds": str(self.funds),
                "settled_at": self.settled_at,
                "transferred": str(self.transferred),
                "deposits": [[owner, str(left)] for owner, left in self.deposits],
                "refunded": {owner: str(n) for owner, n in self.refunded.items() if n},
            },
            "payments": {
                key: {
                    "state": p["state"],
                    "rate": format_amount(int(p["rate"] * 10**18)),
                    "balance": str(p["balance"]),
                    "unsettled": str(p["unsettled"]),
                    "withdrawn": str(p["withdrawn"]),
                    "provider": str(p["withdrawn"] - p["fees"]),
                    "fees": str(p["fees"]),
                }
                for key, p in self.payments.items()
            },
        }


rates = st.one_of(
    st.integers(0, 10**7 * 10**18),
    st.sampled_from([0, 1, 10**18, 10**25 - 1, 1437920000000000, 333333333333333333]),
)
gaps = st.one_of(st.integers(0, 3), st.integers(0, 20_000), st.integers(0, YEARS))
coins = st.one_of(st.integers(1, 1000), st.integers(1, 10**12))
keys = st.builds(
    "{}/{}/{}".format,
    st.sampled_from([1, 2, 9, 10, 11, 100]),
    st.sampled_from([1, 2, 10]),
    st.sampled_from(["a", "b", "b-1", "b.1", "B"]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("deposit"), gaps, st.sampled_from(["tenant", "friend"]), coins),
        st.tuples(st.just("payment_create"), gaps, keys, rates),
        st.tuples(st.sampled_from(["payment_withdraw", "payment_close"]), gaps, st.integers(0, 5), st.none()),
        st.tuples(st.sampled_from(["account_close", "payment_withdraw"]), gaps, st.integers(0, 5), st.none()),
    ),
    min_size=2,
    max_size=20,
)


@pytest.mark.parametrize("quirks", [False, True])
@settings(max_examples=250 if COMPILING else 40)
@given(steps=steps, take=st.sampled_from([0, 2, 20]), first=coins, begin=st.integers(1, 10**6))
def test_the_code_agrees_with_a_second_model(quirks: bool, steps: list[tuple[Any, ...]], take: int, first: int, begin: int) -> None:
    model = Model(take, quirks)
    model.settled_at = h = begin
    ops: list[dict[str, Any]] = []
    known: list[str] = []
    for kind, gap, what, size in [("deposit", 0, "tenant", first), *steps]:
        h += gap
        op: dict[str, Any] = {"height": h, "op": kind}
        if kind == "deposit":
            op |= {"owner": what, "amount": str(size)}
            result = model.deposit(h, what, size)
        elif kind == "payment_create":
            op |= {"payment": what, "rate": format_amount(size)}
            result = model.payment_create(h, what, Fraction(size, 10**18))
            known.append(what)
        elif kind == "account_close":
            result = model.account_close(h)
        else:
            op["payment"] = known[what % len(known)] if known else "1/1/a"
            result = getattr(model, kind)(h, op["payment"])
        ops.append(op | {"result": result, "after": model.after()})
    line = {
        "id": "x",
        "rule": "sequential",
        "take_percent": take,
        "quirks": quirks,
        "opened_at": begin,
        "ops": ops,
    }
    (found,) = replay([line])
    assert found.differences == ()
    assert found.identical == len(ops)
