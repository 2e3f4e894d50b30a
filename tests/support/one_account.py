"""One escrow account with named wallets, driven through the chain's own functions, for the tests of money and
escrow.
"""

from __future__ import annotations

from marketsim.chain import ledger
from marketsim.chain.columns import (
    Account,
    AccountState,
    Charging,
    Deposit,
    EscrowRule,
    Event,
    G,
    Grant,
    Lease,
    PaymentState,
    Scope,
    Usage,
    Wallet,
)
from marketsim.chain.escrow import exact
from marketsim.chain.escrow import messages as escrow
from marketsim.chain.escrow.accounts import FROM_BALANCE
from marketsim.chain.room import with_room
from marketsim.chain.state import make_state
from marketsim.chain.status import Status
from marketsim.money.pairs import to_pair
from marketsim.money.text import format_amount, parse_amount
from marketsim.money.units import ATTO

COINS = 10**15
STREAMS = (EscrowRule.EXACT, EscrowRule.SEQUENTIAL, EscrowRule.PROPORTIONAL)
"""The rules under which an account alone pays by the block; usage escrows need the market's orders."""
BY_BLOCK = (Charging.RATE, Charging.USAGE_CAPPED, Charging.USAGE)
NAMES = ("tenant", "friend", "granter", "p1", "p2", "p3", "p4", "p5", "p6", "p7")


class OneAccount:
    """Account 0 of a fresh chain, opened at `opened_at` with deposits; leases named by their provider."""

    def __init__(
        self,
        rule: EscrowRule,
        *deposits: int,
        take: int = 0,
        quirks: int = 0,
        charging: Charging = Charging.RATE,
        opened_at: int = 100,
        settle_every: int = 600,
        grace: int = 14_400,
        owner: str = "tenant",
    ) -> None:
        self.state = make_state(64)
        g = self.state.globals
        g[G.escrow], g[G.take_ppm], g[G.quirks], g[G.charging] = rule, take * 10_000, quirks, charging
        g[G.settle_every], g[G.grace], g[G.auditing], g[G.event_mask] = settle_every, grace, 1, -1
        self.wallets = {name: row for row, name in enumerate(NAMES, 3)}
        g[G.wallets] = 3 + len(NAMES)
        for rank, name in enumerate(NAMES):
            row = self.wallets[name]
            self.state.wallets[row, Wallet.balance] = COINS
            self.state.wallets[row, Wallet.rank] = rank
        g[G.supply] = COINS * len(NAMES)
        self.leases: dict[str, int] = {}
        self.h = opened_at
        self.account = int(escrow.account_open(self.state, opened_at, Scope.DEPLOYMENT, 0, self.wallets[owner]))
        for amount in deposits:
            assert self.collect("tenant", amount) == Status.Ok

    # --- messages -------------------------------------------------------------------------------------------

    def room(self) -> None:
        self.state = with_room(self.state, events=256, deposits=8, leases=2, usage=2)
        self.state.globals.height = self.h

    def at(self, h: int) -> OneAccount:
        self.h = h
        return self

    def collect(self, signer: str, amount: int, sources: int = FROM_BALANCE) -> Status:
        self.room()
        w = self.wallets[signer]
        return Status(escrow.collect(self.state, self.h, self.account, w, Scope.DEPLOYMENT, amount, sources))

    def deposit(self, amount: int, signer: str = "tenant", sources: int = FROM_BALANCE) -> Status:
        self.room()
        w = self.wallets[signer]
        return Status(escrow.account_deposit(self.state, self.h, self.account, w, amount, sources))

    def open(self, provider: str, rate: str, gseq: int = 1, oseq: int = 1, usage: dict[str, object] | None = None) -> Status:
        """Open a payment; `usage` = {"reserved": 4 ints, "unit": 4 decimals, "ppm": share or -1, "active_at":
        height}.
        """
        self.room()
        s, g = self.state, self.state.globals
        lease = int(g[G.leases])
        x = s.leases[lease]
        x[:] = 0
        x[Lease.gseq], x[Lease.oseq], x[Lease.provider], x[Lease.usage] = (
            gseq,
            oseq,
            self.wallets[provider],
            -1,
        )
        x[Lease.rate], x[Lease.rate_atto] = to_pair(parse_amount(rate))
        x[Lease.active_at] = -1
        if usage is not None:
            row = int(g[G.usage])
            u = s.usage[row]
            u[:] = 0
            u[Usage.lease], u[Usage.utilization_ppm] = lease, usage["ppm"]
            u[Usage.reserved_cpu : Usage.reserved_gpu + 1] = usage["reserved"]
            for k, unit in enumerate(usage["unit"]):  # type: ignore[arg-type]
                u[Usage.unit_cpu + 2 * k], u[Usage.unit_cpu + 2 * k + 1] = to_pair(parse_amount(unit))
            x[Lease.usage], x[Lease.active_at] = row, usage.get("active_at", self.h)
        status = Status(escrow.payment_open(s, self.h, self.account, lease))
        if status == Status.Ok:
            g[G.leases] += 1
            g[G.usage] += usage is not None
            self.leases[provider] = lease
        return status

    def withdraw(self, provider: str) -> Status:
        self.room()
        return Status(escrow.payment_withdraw(self.state, self.h, self.leases[provider]))

    def close_payment(self, provider: str) -> Status:
        self.room()
        return Status(escrow.payment_close(self.state, self.h, self.leases[provider]))

    def close(self) -> Status:
        self.room()
        return Status(escrow.account_close(self.state, self.h, self.account))

    def settle(self) -> Status:
        self.room()
        return Status(escrow.settle_forced(self.state, self.h, self.account))

    def use(self, provider: str, *quantities: int) -> Status:
        self.room()
        return Status(escrow.record_usage(self.state, self.h, self.leases[provider], *quantities))

    def grant(self, granter: str, grantee: str, limit: int, scopes: int = Scope.DEPLOYMENT) -> int:
        g = self.state.globals
        row = int(g[G.grants])
        g[G.grants] += 1
        self.state.grants[row, :] = 0
        values = (self.wallets[granter], self.wallets[grantee], limit, scopes)
        self.state.grants[row, [Grant.granter, Grant.grantee, Grant.limit, Grant.scopes]] = values
        return row

    # --- what happens by itself (exact rule) ----------------------------------------------------------------

    def step_to(self, h: int) -> list[int]:
        """Every settlement, due settlement and end of grace up to h, one at a time; their heights."""
        heights = []
        while True:
            self.room()
            at = int(exact.step_to(self.state, h, self.account))
            if at < 0:
                return heights
            heights.append(at)

    def jump_to(self, h: int) -> None:
        """The same as a calendar does it: due settlements and ends of grace at their heights, cadence folded
        at the end.
        """
        while True:
            self.room()
            a = self.state.accounts[self.account]
            dates = [int(x) for x in (a[Account.due_at], a[Account.grace_at]) if 0 <= x <= h]
            if not dates:
                break
            at = min(dates)
            if not exact.grace_end(self.state, at, self.account):
                exact.due(self.state, at, self.account)
        exact.fold(self.state, h, self.account)

    # --- what is there --------------------------------------------------------------------------------------

    def amount(self, column: int) -> str:
        row = self.state.accounts[self.account]
        return format_amount(int(row[column]) * ATTO + int(row[column + 1]))

    def of(self, provider: str, column: int) -> str:
        row = self.state.leases[self.leases[provider]]
        return format_amount(int(row[column]) * ATTO + int(row[column + 1]))

    def count(self, provider: str, column: int) -> int:
        return int(self.state.leases[self.leases[provider], column])

    @property
    def funds(self) -> str:
        return self.amount(Account.funds)

    @property
    def account_state(self) -> str:
        return AccountState(int(self.state.accounts[self.account].state)).name.lower()

    def payment(self, provider: str) -> str:
        return PaymentState(self.count(provider, Lease.payment)).name.lower()

    def gained(self, name: str) -> int:
        """Coins of a wallet beyond what it began with."""
        return int(self.state.wallets[self.wallets[name]].balance) - COINS

    def coins(self, row: int) -> int:
        return int(self.state.wallets[row].balance)

    def deposits(self) -> list[tuple[str, str]]:
        names = {row: name for name, row in self.wallets.items()}
        found = []
        row = int(self.state.accounts[self.account].first_deposit)
        while row >= 0:
            d = self.state.deposits[row]
            amount = int(d[Deposit.amount]) * ATTO + int(d[Deposit.amount_atto])
            found.append((names[int(d[Deposit.depositor])], format_amount(amount)))
            row = int(d[Deposit.next])
        return found

    def events(self) -> list[list[int]]:
        rows = self.state.events[: self.state.globals.events]
        return [row[: Event.extra + 1].tolist() for row in rows]

    def problems(self) -> list[str]:
        return ledger.recount_problems(self.state)

    def snapshot(self) -> list[bytes]:
        """The contents of every table but the work space, to show that a refusal changed nothing."""
        return [table.tobytes() for name, table in self.state._asdict().items() if name not in {"scratch", "events"}]
