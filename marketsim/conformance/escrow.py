"""Replay recorded operations on one escrow account, and compare result and complete state after each.

Lines of the rules `sequential` and `proportional` come from a chain's keeper; lines of rule `seed` also hold
what the account must do by itself, at exactly which height. Each operation is a call of the same function
that a market's handler calls. One set of tables serves all lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from marketsim.chain.columns import (
    Account,
    AccountState,
    Charging,
    Deposit,
    EscrowRule,
    G,
    Lease,
    PaymentState,
    Quirk,
    Rules,
    Scope,
    Usage,
    Wallet,
)
from marketsim.chain.escrow import exact
from marketsim.chain.escrow import messages as escrow
from marketsim.chain.ledger import AUDIT_FINE, AUDIT_PROBLEMS, audit_totals
from marketsim.chain.state import State, make_state
from marketsim.chain.status import Status
from marketsim.conformance.report import Difference, MalformedVectorError, Result, Vector, compare
from marketsim.errors import InvariantError
from marketsim.money.pairs import RATE_MAX, to_pair
from marketsim.money.text import AmountError, format_amount, parse_amount
from marketsim.money.units import ATTO

_FIRST_WALLET = 3
_NAMES = {int(status): status.name for status in Status} | {
    int(Status.Ok): "ok",
    int(Status.Panic): "panic",
}
_ACCOUNT_STATES = {
    AccountState.OPEN: "open",
    AccountState.CLOSED: "closed",
    AccountState.OVERDRAWN: "overdrawn",
}
_PAYMENT_STATES = {
    PaymentState.OPEN: "open",
    PaymentState.CLOSED: "closed",
    PaymentState.OVERDRAWN: "overdrawn",
}
_SEED_STATES = {
    PaymentState.OPEN: "active",
    PaymentState.CLOSED: "closed",
    PaymentState.OVERDRAWN: "insufficient_funds",
}
_CHARGING = {"rate": Charging.RATE, "usage_capped": Charging.USAGE_CAPPED, "usage": Charging.USAGE}
_RULES = {
    "seed": EscrowRule.EXACT,
    "sequential": EscrowRule.SEQUENTIAL,
    "proportional": EscrowRule.PROPORTIONAL,
}
_RESOURCES = ("cpu", "memory", "storage", "gpu")
_NO_ACCOUNT: dict[str, Any] = {"account": None, "payments": {}}


def replay(lines: Iterable[Vector], /) -> Iterator[Result]:
    """One result per sequence; an operation is identical when its result, its height and the complete state
    after it are.
    """
    tables = make_state(64)
    for line in lines:
        tables = _with_rows(tables, len(line["ops"]) + 8)
        yield _Sequence(tables, line).run()


def _with_rows(state: State, rows: int) -> State:
    return state if len(state.leases) >= rows else make_state(2 * rows)


class _Sequence:
    """The replay of one line: its names, and the rows that stand for them."""

    def __init__(self, state: State, line: Vector) -> None:
        self.state = state
        self.line = line
        self.name = str(line["id"])
        self.seed = line["rule"] == "seed"
        self.account = -1
        self.payments: dict[str, int] = {}
        self.order: list[tuple[str, int]] = []
        self._reset()
        self._parameters()
        self._wallets()

    def run(self) -> Result:
        """Hand every operation to the chain and compare."""
        differences: list[Difference] = []
        identical = 0
        after: dict[str, Any] = _NO_ACCOUNT
        for index, op in enumerate(self.line["ops"]):
            found: list[Difference] = []
            if op.get("auto", False):
                answer = self._by_itself(op["height"])
                expected: dict[str, Any] = {"does": op["op"], "height": op["height"]}
            else:
                early = self._by_itself(op["height"]) if self.seed and self.account >= 0 else None
                if early is not None:
                    found += compare(self.name, index, "account", {"does": "nothing"}, early)
                answer = {"result": _NAMES[int(self._apply(op, index))]}
                expected = {"result": op["result"]}
            if answer != expected:
                found += compare(self.name, index, op["op"], expected, answer or {"does": "nothing"})
            after = self._after()
            if after != op["after"]:
                found += compare(self.name, index, "state", op["after"], after)
            self._audit(index)
            identical += not found
            differences += found
        return Result(self.name, len(self.line["ops"]), identical, tuple(differences))

    # --- setting up -----------------------------------------------------------------------------------------

    def _reset(self) -> None:
        s = self.state
        g = s.globals
        for table, fill in (
            (s.wallets, G.wallets),
            (s.leases, G.leases),
            (s.usage, G.usage),
            (s.accounts, G.accounts),
            (s.deposits, G.deposits),
        ):
            table[: g[fill] + 1] = 0
        g[:] = 0
        g[[G.free_bid, G.free_account, G.free_deposit]] = -1

    def _parameters(self) -> None:
        line, g = self.line, self.state.globals
        if not 0 <= line["take_percent"] <= 100:
            raise MalformedVectorError("take_percent", f"{line['take_percent']}, expected 0 to 100")
        g.escrow = _RULES[line["rule"]]
        g.rules = Rules.SEED if self.seed else Rules.VIRTENGINE
        g.take_ppm = line["take_percent"] * 10_000
        g.block_ms = 6000
        if not self.seed:
            if line["quirks"]:
                g.quirks = Quirk.SETTLE_SAME_HEIGHT | Quirk.PAYMENT_CREATE_LOSES
            return
        if line["charging"] not in _CHARGING:
            raise MalformedVectorError("charging", f"{line['charging']!r}, expected {', '.join(_CHARGING)}")
        g.charging = _CHARGING[line["charging"]]
        g.settle_every = line["settle_every"]
        g.grace = line["grace"]
        g.block_ms = line["block_seconds"] * 1000

    def _wallets(self) -> None:
        # Each owner begins with exactly what the line lets him deposit; providers with nothing. Ranks order
        # the providers' names.
        s = self.state
        funds: dict[str, int] = {}
        providers: set[str] = set()
        for index, op in enumerate(self.line["ops"]):
            if op["op"] == "deposit":
                funds[op["owner"]] = funds.get(op["owner"], 0) + int(op["amount"])
            elif "payment" in op:
                providers.add(_key(op["payment"], index)[2])
        self.owners = {name: row for row, name in enumerate(sorted(funds), _FIRST_WALLET)}
        first = _FIRST_WALLET + len(funds)
        self.providers = {name: row for row, name in enumerate(sorted(providers), first)}
        self.owner_names = {row: name for name, row in self.owners.items()}
        rows = first + len(providers)
        if rows > len(s.wallets) or sum(funds.values()) > 9 * ATTO:
            raise MalformedVectorError("ops", "too many names or coins for one sequence")
        s.wallets[:rows, Wallet.rank] = np.arange(rows)
        for name, row in self.owners.items():
            s.wallets[row, Wallet.balance] = funds[name]
        s.globals.wallets = rows
        s.globals.supply = sum(funds.values())
        self.unspent = {row: funds[name] for name, row in self.owners.items()}

    # --- operations -----------------------------------------------------------------------------------------

    def _by_itself(self, height: int) -> dict[str, Any] | None:
        """Let the account do the next thing it does unasked up to `height`: what and when, or None."""
        if self.account < 0:
            return None
        s, account = self.state, self.account
        row = s.accounts[account]
        cadence = int(exact.next_cadence(s, row[Account.settled_at], account))
        grace = int(row[Account.grace_at])
        s.globals.height = height
        at = int(exact.step_to(s, height, account))
        if at < 0:
            return None
        does = "settle" if at == cadence else "grace_end" if at == grace else "deplete"
        return {"does": does, "height": at}

    def _apply(self, op: Vector, index: int) -> int:
        """Hand one operation to the chain; its status."""
        s, h, kind = self.state, op["height"], op["op"]
        s.globals.height = h
        if kind == "deposit":
            return self._deposit(op)
        if self.account < 0:
            return Status.AccountNotFound
        if kind in ("payment_create", "lease_open"):
            return self._open(op, index)
        if kind == "account_close":
            return escrow.account_close(s, h, self.account)
        if kind == "settle":
            return escrow.settle_forced(s, h, self.account)
        lease = self.payments.get(op["payment"], -1)
        if lease < 0:
            return Status.PaymentNotFound
        if kind == "payment_withdraw":
            return escrow.payment_withdraw(s, h, lease)
        if kind in ("payment_close", "lease_close"):
            return escrow.payment_close(s, h, lease)
        if kind == "usage":
            metrics = op["metrics"]
            return escrow.record_usage(s, h, lease, *(metrics[name] for name in _RESOURCES))
        raise MalformedVectorError(f"ops[{index}].op", f"{kind!r}, expected an operation of an escrow account")

    def _deposit(self, op: Vector) -> int:
        s, h = self.state, op["height"]
        wallet, amount = self.owners[op["owner"]], int(op["amount"])
        if self.account < 0:
            self.account = int(escrow.account_open(s, h, Scope.DEPLOYMENT, 0, wallet))
            status = escrow.collect(s, h, self.account, wallet, Scope.DEPLOYMENT, amount, 1)
        else:
            status = escrow.account_deposit(s, h, self.account, wallet, amount, 1)
        if status == Status.Ok:
            self.unspent[wallet] -= amount
        return status

    def _open(self, op: Vector, index: int) -> int:
        s, g = self.state, self.state.globals
        lease = int(g.leases)
        row = s.leases[lease]
        row[:] = 0
        gseq, oseq, provider = _key(op["payment"], index)
        row[Lease.gseq], row[Lease.oseq] = gseq, oseq
        row[Lease.provider] = self.providers[provider]
        rate = _amount(op, "price" if self.seed else "rate", index)
        if rate >= RATE_MAX * ATTO:
            raise MalformedVectorError(f"ops[{index}]", f"a rate above {RATE_MAX} uve per block")
        row[Lease.rate], row[Lease.rate_atto] = to_pair(rate)
        row[Lease.usage] = self._meter(op, index) if self.seed else -1
        status = escrow.payment_open(s, op["height"], self.account, lease)
        if status == Status.Ok:
            g.leases += 1
            g.usage += self.seed
            self.payments[op["payment"]] = lease
            self.order = sorted(self.payments.items())
        return status

    def _meter(self, op: Vector, index: int) -> int:
        usage = int(self.state.globals.usage)
        row = self.state.usage[usage]
        row[:] = 0
        row[Usage.lease] = self.state.globals.leases
        row[Usage.utilization_ppm] = -1
        for at, name in enumerate(_RESOURCES):
            row[Usage.reserved_cpu + at] = op["reserved"][name]
            unit = to_pair(_amount(op["unit"], name, index))
            row[Usage.unit_cpu + 2 * at], row[Usage.unit_cpu + 2 * at + 1] = unit
        return usage

    # --- what is there --------------------------------------------------------------------------------------

    def _after(self) -> dict[str, Any]:
        """The complete state as a vector file spells it."""
        if self.account < 0:
            return _NO_ACCOUNT
        a = self.state.accounts[self.account].tolist()
        account: dict[str, Any] = {
            "state": _ACCOUNT_STATES[a[Account.state]],
            "funds": _pair(a, Account.funds),
            "settled_at": a[Account.settled_at],
            "deposits": self._deposits(a[Account.first_deposit]),
            "refunded": self._refunded(),
        }
        if self.seed:
            account["shortfall"] = _pair(a, Account.shortfall)
            account["dust"] = _pair(a, Account.dust)
        else:
            account["transferred"] = _pair(a, Account.transferred)
        leases = self.state.leases
        return {
            "account": account,
            "payments": {key: self._payment(leases[row].tolist()) for key, row in self.order},
        }

    def _payment(self, x: list[int]) -> dict[str, Any]:
        payment: dict[str, Any] = {
            "state": (_SEED_STATES if self.seed else _PAYMENT_STATES)[PaymentState(x[Lease.payment])],
            "balance": _pair(x, Lease.balance),
            "withdrawn": str(x[Lease.withdrawn]),
            "provider": str(x[Lease.withdrawn] - x[Lease.fees]),
            "fees": str(x[Lease.fees]),
        }
        rate = _pair(x, Lease.rate)
        if self.seed:
            payment["price"] = rate
            payment["blocks"] = x[Lease.blocks]
        else:
            payment["rate"] = rate
            payment["unsettled"] = _pair(x, Lease.unsettled)
        return payment

    def _deposits(self, row: int) -> list[list[str]]:
        found = []
        while row >= 0:
            d = self.state.deposits[row].tolist()
            found.append([self.owner_names[d[Deposit.depositor]], _pair(d, Deposit.amount)])
            row = d[Deposit.next]
        return found

    def _refunded(self) -> dict[str, str]:
        wallets = self.state.wallets
        back = {row: int(wallets[row, Wallet.balance]) - left for row, left in self.unspent.items()}
        return {self.owner_names[row]: str(amount) for row, amount in back.items() if amount}

    def _audit(self, index: int) -> None:
        problem = int(audit_totals(self.state))
        if problem != AUDIT_FINE:
            raise InvariantError(f"{self.name}, operation {index}: {AUDIT_PROBLEMS[problem]}")


def _pair(row: list[int], column: int) -> str:
    whole, atto = row[column], row[column + 1]
    return format_amount(whole * ATTO + atto) if atto else str(whole)


def _key(payment: str, index: int) -> tuple[int, int, str]:
    """A payment's key `gseq/oseq/provider`."""
    gseq, _, rest = payment.partition("/")
    oseq, _, provider = rest.partition("/")
    numbers = (gseq, oseq)
    if not provider or not all(n.isascii() and n.isdecimal() and len(n) < 10 and str(int(n)) == n for n in numbers):
        raise MalformedVectorError(f"ops[{index}].payment", f"{payment!r}, expected gseq/oseq/provider")
    return int(gseq), int(oseq), provider


def _amount(values: Any, key: str, index: int) -> int:
    try:
        return parse_amount(values[key])
    except AmountError as error:
        raise MalformedVectorError(f"ops[{index}].{key}", str(error)) from None
