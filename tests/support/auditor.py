"""An auditor of its own: keeps every balance in Python integers from the event record alone.

It shares no arithmetic with the chain. Of the chain it knows the wallets at height 0 and, to compare, its
tables after each block. What an event does not say follows from what ended: the fraction of an ended payment
and of a refunded deposit is dust, a balance that nobody withdrew before its account closed is stranded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marketsim.chain.columns import (
    Account,
    Charging,
    Deposit,
    DepositSource,
    EscrowRule,
    Event,
    EventKind,
    G,
    Lease,
    Rules,
    UsageEscrow,
    UsageEscrowState,
    Wallet,
)

ATTO = 10**18
ESCROW, COMMUNITY, COLLECTOR = 0, 1, 2
IGNORED = [EventKind.BID_CREATED, EventKind.BID_WON, EventKind.BID_LOST, EventKind.BID_CLOSED]


@dataclass
class Payment:
    """What the auditor knows of one lease's payment; amounts in atto."""

    account: int
    rate: int
    since: int
    balance: int = 0
    moved: int = 0
    missing: int = 0
    withdrawn: int = 0
    fees: int = 0
    blocks: int = 0
    ended: bool = False
    split: int = 0


@dataclass
class Aside:
    """What the auditor knows of one usage escrow, whole uve: its balance, and reported cost that nobody has paid."""

    account: int
    balance: int
    unsettled: int = 0
    settlements: int = 0


@dataclass
class Deposited:
    """What is left of one deposit, in atto."""

    depositor: int
    source: int
    amount: int


@dataclass
class Auditor:
    """Balances by row: coins of wallets in uve, the rest in atto. `take` and `compare` raise AssertionError."""

    wallets: list[int]
    rules: int
    escrow: int
    charging: int
    take_ppm: int
    quirks: int
    accounts: dict[int, list[Deposited]] = field(default_factory=dict)
    payments: list[Payment] = field(default_factory=list)
    asides: dict[int, Aside] = field(default_factory=dict)
    settlement_wallet: int = 0
    account_of: dict[str, dict[int, int]] = field(default_factory=lambda: {"deployment": {}, "group": {}, "order": {}})
    closed: set[int] = field(default_factory=set)
    closing: set[int] = field(default_factory=set)
    ending: set[int] = field(default_factory=set)
    touched: tuple[set[int], set[int], set[int]] = field(default_factory=lambda: (set(), set(), set()))
    totals: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("deposited", "paid", "fees", "refunded", "dust", "stranded", "shortfall", "network", "platform", "validators"), 0
        )
    )
    seen: dict[str, Any] = field(default_factory=dict)
    events: int = 0
    blocks: int = 0

    @classmethod
    def of(cls, chain: Any) -> Auditor:
        """Begin with the wallets of a chain on which nothing has happened yet."""
        g = chain.globals
        assert g[G.accounts] == g[G.leases] == g[G.events] == 0
        return cls(
            chain.wallets[: g[G.wallets], Wallet.balance].tolist(),
            int(g[G.rules]),
            int(g[G.escrow]),
            int(g[G.charging]),
            int(g[G.take_ppm]),
            int(g[G.quirks]),
            settlement_wallet=int(g[G.settlement_wallet]),
        )

    # --- the record ------------------------------------------------------------------------------------------

    def take(self, rows: Any) -> None:
        """Book rows of the record in the order in which they were written."""
        rows = rows[~np.isin(rows[:, Event.kind], IGNORED)]
        for height, kind, subject, other, whole, atto, extra in rows[:, :7].tolist():
            self.events += 1
            name = EventKind(kind).name.lower()
            handler = getattr(self, f"_{name}", None)
            if handler is not None:
                handler(height, subject, other, whole * ATTO + atto, extra)

    def _deployment_created(self, height: int, row: int, account: int, amount: int, extra: int) -> None:
        self.account_of["deployment"][row] = account
        self.accounts.setdefault(account, [])

    def _group_opened(self, height: int, row: int, deployment: int, amount: int, extra: int) -> None:
        self.account_of["group"][row] = self.account_of["deployment"][deployment]

    def _order_created(self, height: int, row: int, group: int, amount: int, extra: int) -> None:
        self.account_of["order"][row] = self.account_of["group"][group]

    def _lease_created(self, height: int, row: int, order: int, price: int, extra: int) -> None:
        assert row == len(self.payments)
        self.payments.append(Payment(self.account_of["order"][order], price, height))
        self.touched[2].add(row)

    def _deposited(self, height: int, account: int, wallet: int, amount: int, source: int) -> None:
        assert amount > 0 and amount % ATTO == 0
        self._move(wallet, ESCROW, amount // ATTO)
        self.accounts.setdefault(account, []).append(Deposited(wallet, source, amount))
        self.touched[1].add(account)
        self.totals["deposited"] += amount

    def _refunded(self, height: int, account: int, wallet: int, amount: int, source: int) -> None:
        deposits = self.accounts[account]
        while deposits[0].amount < ATTO:
            self.totals["dust"] += deposits.pop(0).amount
        first = deposits.pop(0)
        assert (first.depositor, first.source) == (wallet, source)
        assert amount == first.amount // ATTO * ATTO, "a refund is the whole uve of the deposit"
        self.totals["dust"] += first.amount - amount
        self._move(ESCROW, wallet, amount // ATTO)
        self.touched[1].add(account)
        self.totals["refunded"] += amount

    def _settled(self, height: int, lease: int, until: int, amount: int, extra: int) -> None:
        payment = self.payments[lease]
        self._check_owed(lease, payment, until, amount, extra)
        self._spend(payment.account, amount)
        payment.balance += amount
        payment.moved += amount
        self.touched[1].add(payment.account)
        self.touched[2].add(lease)

    def _check_owed(self, lease: int, payment: Payment, until: int, amount: int, extra: int) -> None:
        """What is moved is what the price and the blocks say, unless funds were short."""
        if self.escrow == EscrowRule.EXACT:
            if self.charging == Charging.RATE:
                assert extra == until - payment.since > 0
                assert amount <= payment.rate * extra
                payment.missing = payment.rate * extra - amount
                payment.since = until
            payment.blocks += extra
            assert self.charging == Charging.USAGE or payment.moved + amount <= payment.rate * payment.blocks
        elif self.escrow == EscrowRule.SEQUENTIAL and not self.quirks and not payment.ended:
            assert amount + extra * ATTO == payment.rate * (until - payment.since) // ATTO * ATTO
            payment.since = until
        elif self.escrow == EscrowRule.USAGE:
            aside = self.asides[lease]
            assert amount == min(aside.unsettled, aside.balance) * ATTO > 0, "what was reported, as far as the escrow goes"
            payment.missing = max(0, aside.unsettled - aside.balance) * ATTO
            aside.balance -= amount // ATTO
            aside.unsettled = 0
            aside.settlements += 1

    def _spend(self, account: int, amount: int) -> None:
        deposits = self.accounts[account]
        order = list(deposits)
        if self.escrow == EscrowRule.PROPORTIONAL:
            order.sort(key=lambda deposit: deposit.source != DepositSource.GRANT)
        for deposit in order:
            part = min(deposit.amount, amount)
            deposit.amount -= part
            amount -= part
        assert amount == 0, "more is settled than was deposited"
        deposits[:] = [deposit for deposit in deposits if deposit.amount]

    def _paid(self, height: int, lease: int, wallet: int, net: int, fee: int) -> None:
        payment = self.payments[lease]
        gross = net + fee * ATTO
        assert gross == payment.balance // ATTO * ATTO > 0, "a pay-out is the whole uve of the balance"
        if self.escrow == EscrowRule.USAGE:
            due = payment.split
        elif self.escrow == EscrowRule.EXACT:
            due = (payment.withdrawn + gross) // ATTO * self.take_ppm // 10**6 - payment.fees
        else:
            due = gross // ATTO * self.take_ppm // 10**6
        assert fee == due, "the take"
        payment.balance -= gross
        payment.withdrawn += gross
        payment.fees += fee
        self._move(ESCROW, wallet, net // ATTO)
        self._move(ESCROW, self.settlement_wallet or COMMUNITY, fee)
        self.touched[2].add(lease)
        self.totals["paid"] += net
        self.totals["fees"] += fee * ATTO

    def _shortfall(self, height: int, lease: int, other: int, missing: int, extra: int) -> None:
        payment = self.payments[lease]
        if self.charging == Charging.RATE and payment.missing:
            assert missing == payment.missing
        if self.charging == Charging.VE_SETTLEMENT and not payment.missing:
            aside = self.asides[lease]  # an escrow that has ended or is empty, with reports that nobody will pay
            assert missing == aside.unsettled * ATTO and aside.balance == 0
            aside.unsettled = 0
        elif self.charging == Charging.VE_SETTLEMENT:
            assert missing == payment.missing
        payment.missing = 0
        self.totals["shortfall"] += missing

    def _usage_escrow_opened(self, height: int, lease: int, account: int, amount: int, extra: int) -> None:
        assert amount > 0 and lease not in self.asides
        self.asides[lease] = Aside(account, amount // ATTO)
        self.touched[2].add(lease)
        aside = sum(a.balance for a in self.asides.values() if a.account == account)
        assert aside * ATTO <= sum(d.amount for d in self.accounts[account]), "more set aside than there is"

    def _usage_recorded(self, height: int, lease: int, until: int, cost: int, extra: int) -> None:
        if self.charging == Charging.VE_SETTLEMENT:
            self.asides[lease].unsettled += cost // ATTO
            self.touched[2].add(lease)
        else:
            assert cost == 0

    def _fees_split(self, height: int, lease: int, number: int, platform: int, validators: int) -> None:
        payment = self.payments[lease]
        assert number == self.asides[lease].settlements
        assert platform // ATTO == payment.balance // ATTO * 5 // 100
        assert validators == payment.balance // ATTO // 100
        payment.split = platform // ATTO + validators
        self.totals["platform"] += platform
        self.totals["validators"] += validators * ATTO

    def _usage_escrow_ended(self, height: int, lease: int, state: int, back: int, extra: int) -> None:
        assert back // ATTO == self.asides[lease].balance, "all that is left goes back"
        self.asides[lease].balance = 0
        self.touched[2].add(lease)

    def _lease_reactivated(self, height: int, lease: int, other: int, amount: int, extra: int) -> None:
        self.payments[lease].since = height

    def _lease_closed(self, height: int, lease: int, reason: int, amount: int, extra: int) -> None:
        self.ending.add(lease)

    def _lease_insufficient_funds(self, height: int, lease: int, reason: int, amount: int, extra: int) -> None:
        if self.rules != Rules.SEED:
            self.ending.add(lease)

    def _deployment_closed(self, height: int, row: int, account: int, amount: int, extra: int) -> None:
        assert account == self.account_of["deployment"][row]
        self.closing.add(account)

    def _params_changed(self, height: int, param: int, other: int, value: int, extra: int) -> None:
        if param == G.take_ppm:
            self.take_ppm = value // ATTO

    def _network_fee(self, height: int, wallet: int, kind: int, fee: int, extra: int) -> None:
        self._move(wallet, COLLECTOR, fee // ATTO)
        self.totals["network"] += fee

    def _move(self, source: int, target: int, coins: int) -> None:
        assert coins >= 0
        self.wallets[source] -= coins
        self.wallets[target] += coins
        assert self.wallets[source] >= 0, "a wallet below zero"
        self.touched[0].update((source, target))

    # --- the end of a block -----------------------------------------------------------------------------------

    def _close_what_ended(self) -> None:
        for account in self.closing:
            if not self.accounts[account] or all(d.amount < ATTO for d in self.accounts[account]):
                self.totals["dust"] += sum(d.amount for d in self.accounts[account])
                self.accounts[account].clear()
            self.closed.add(account)
        for lease in self.ending:
            payment = self.payments[lease]
            payment.ended = True
            self.totals["dust"] += payment.balance % ATTO
            payment.balance -= payment.balance % ATTO
        self.closing.clear()
        self.ending.clear()

    def compare(self, chain: Any) -> None:
        """Agree with the chain on every wallet, deposit and payment, at the end of a block."""
        self.blocks += 1
        self._close_what_ended()
        g = chain.globals
        fresh = not self.seen
        for row in self._changed("wallets", chain.wallets[: g[G.wallets], Wallet.balance], self.touched[0]):
            assert self.wallets[row] == chain.wallets[row, Wallet.balance], f"wallet {row}"
        funds = chain.accounts[: g[G.accounts], [Account.funds, Account.funds_atto]]
        for row in self._changed("accounts", funds, self.touched[1]):
            assert self._deposits_of(chain, row) == self._own_deposits(row), f"account {row}"
        columns = [Lease.balance, Lease.balance_atto, Lease.withdrawn, Lease.fees]
        payments = chain.leases[: g[G.leases], columns]
        assert len(payments) == len(self.payments)
        for row in self._changed("leases", payments, self.touched[2]):
            own = self.payments[row]
            whole, atto, withdrawn, fees = payments[row].tolist()
            assert whole * ATTO + atto == own.balance, f"payment {row}"
            assert (withdrawn * ATTO, fees) == (own.withdrawn, own.fees), f"payment {row}"
        for row in sorted(self.asides if fresh else self.touched[2] & self.asides.keys()):
            aside, escrow = self.asides[row], chain.usage_escrows[chain.leases[row, Lease.usage]]
            found = escrow[[UsageEscrow.balance, UsageEscrow.unsettled, UsageEscrow.settlements]].tolist()
            refunded = int(escrow[UsageEscrow.state] == UsageEscrowState.REFUNDED and found[2] > aside.settlements)
            assert found == [aside.balance, aside.unsettled, aside.settlements + refunded], f"usage escrow {row}"
        for part in self.touched:
            part.clear()
        assert int(g[G.dust]) * ATTO + int(g[G.dust_atto]) == self.totals["dust"]
        assert int(g[G.shortfall]) * ATTO + int(g[G.shortfall_atto]) == self.totals["shortfall"]

    def _changed(self, name: str, now: Any, touched: set[int]) -> list[int]:
        """Rows that differ from the last look, and those that events were about."""
        before = self.seen.get(name)
        self.seen[name] = now.copy()
        if before is None:
            return list(range(len(now)))
        different = now[: len(before)] != before
        if different.ndim == 2:
            different = different.any(axis=1)
        rows = set(np.flatnonzero(different).tolist()) | touched
        return sorted(rows | set(range(len(before), len(now))))

    def _deposits_of(self, chain: Any, account: int) -> list[tuple[int, int, int]]:
        found = []
        row = int(chain.accounts[account].first_deposit)
        while row >= 0:
            d = chain.deposits[row].tolist()
            amount = d[Deposit.amount] * ATTO + d[Deposit.amount_atto]
            found.append((d[Deposit.depositor], d[Deposit.source], amount))
            row = d[Deposit.next]
        return found

    def _own_deposits(self, account: int) -> list[tuple[int, int, int]]:
        return [(d.depositor, d.source, d.amount) for d in self.accounts.get(account, [])]

    # --- the end of a run ------------------------------------------------------------------------------------

    def finish(self, chain: Any) -> dict[str, int]:
        """Compare every row once more and return the totals in atto, `held` and `stranded` with them."""
        self.seen.clear()
        self.compare(chain)
        for payment in self.payments:
            if payment.account in self.closed and payment.balance:
                self.totals["stranded"] += payment.balance
        deposits = sum(d.amount for account in self.accounts.values() for d in account)
        balances = sum(payment.balance for payment in self.payments)
        held = deposits + balances - self.totals["stranded"]
        assert self.wallets[ESCROW] * ATTO == held + self.totals["dust"] + self.totals["stranded"]
        if self.settlement_wallet:
            kept = self.totals["platform"] + self.totals["validators"]
            assert kept == self.totals["fees"] == self.wallets[self.settlement_wallet] * ATTO
        return self.totals | {"held": held}
