"""VirtEngine's usage escrow: one customer-funded account per order, paid out by reported usage.

The charging mode `ve_settlement` (protocol reference 5.4, upstream `x/settlement`). Time is the block's
time in unix seconds. Every message is a ladder of refusals; past the ladder it can only succeed, and a
refused one changes nothing. Coins are whole uve and move only in `_pay`; wallets, the escrow module and the
settlement module always add up to what the wallets held at the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from marketsim.chain.decimals import ATTO, truncate
from marketsim.errors import InvariantError

ESCROW = "escrow"
SETTLEMENT = "settlement"
"""Names of the two modules that hold coins; they share the wallets' name space, as in the vectors."""


class EscrowState(StrEnum):
    """Where an order's escrow stands; the last three are final."""

    PENDING = "pending"
    ACTIVE = "active"
    DISPUTED = "disputed"
    RELEASED = "released"
    REFUNDED = "refunded"
    EXPIRED = "expired"


LIVE = frozenset({EscrowState.PENDING, EscrowState.ACTIVE, EscrowState.DISPUTED})
"""The states in which an escrow can be late."""

TRANSITIONS: Mapping[EscrowState, frozenset[EscrowState]] = {
    EscrowState.PENDING: frozenset({EscrowState.ACTIVE, EscrowState.REFUNDED, EscrowState.EXPIRED}),
    EscrowState.ACTIVE: frozenset(
        {EscrowState.DISPUTED, EscrowState.RELEASED, EscrowState.REFUNDED, EscrowState.EXPIRED}
    ),
    EscrowState.DISPUTED: frozenset({EscrowState.RELEASED, EscrowState.REFUNDED}),
    EscrowState.RELEASED: frozenset(),
    EscrowState.REFUNDED: frozenset(),
    EscrowState.EXPIRED: frozenset(),
}
"""Every edge that an escrow can take; there are no others."""


class UsageStatus(StrEnum):
    """How a message was answered, by the chain's names; all but `Ok` are refusals."""

    Ok = "ok"
    EscrowNotFound = "EscrowNotFound"
    EscrowExists = "EscrowExists"
    EscrowNotActive = "EscrowNotActive"
    EscrowExpired = "EscrowExpired"
    InvalidEscrow = "InvalidEscrow"
    InvalidSettlement = "InvalidSettlement"
    InvalidStateTransition = "InvalidStateTransition"
    InvalidUsageRecord = "InvalidUsageRecord"
    UsageRecordNotFound = "UsageRecordNotFound"
    UsageAlreadySettled = "UsageAlreadySettled"
    InsufficientFunds = "InsufficientFunds"
    Unauthorized = "Unauthorized"


class SettlementType(StrEnum):
    """Why coins left an escrow; an expiry leaves no record."""

    USAGE_BASED = "usage_based"
    FINAL = "final"
    REFUND = "refund"


@dataclass(frozen=True, slots=True)
class SettlementParams:
    """The module's parameters with VirtEngine's defaults: fees in basis points, times in seconds."""

    platform_bps: int = 500
    validator_bps: int = 100
    escrow_min_seconds: int = 3_600
    escrow_max_seconds: int = 31_536_000
    settle_every_seconds: int = 86_400


@dataclass(slots=True)
class Escrow:
    """One order's escrow: balance in whole uve, times in unix seconds."""

    customer: str
    balance: int
    expires_at: int
    state: EscrowState = EscrowState.PENDING
    recipient: str = ""
    settled_at: int = 0
    usage: list[str] = field(default_factory=list)  # ids of the records, as they came
    settlements: int = 0


@dataclass(slots=True)
class UsageRecord:
    """What a provider reported for an order: its cost in whole uve, and whether it was settled."""

    order: str
    cost: int
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """Coins that left an escrow, in whole uve.

    For a `refund` upstream writes the customer's coins under `provider`; income is read from wallets.
    """

    order: str
    number: int
    type: SettlementType
    total: int
    provider: int
    platform: int
    validator: int
    final: bool


def usage_cost(units: int, unit_price: int) -> int:
    """Whole uve for `units` at `unit_price` (10^-18 uve), truncated per record (protocol reference 5.2)."""
    return truncate(units * unit_price, ATTO)


def usage_reward(cost: int, bps: Sequence[int]) -> int:
    """The claimable reward on a record: `cost` times each multiplier in basis points, truncated once."""
    scale = 10_000 ** len(bps)
    for multiplier in bps:
        cost *= multiplier
    return truncate(cost, scale)


class UsageSettlementChain:
    """The escrows of all orders, the usage records, and the coins behind them."""

    def __init__(self, wallets: Mapping[str, int], params: SettlementParams | None = None) -> None:
        self.params = params or SettlementParams()
        self.wallets: dict[str, int] = {ESCROW: 0, SETTLEMENT: 0}
        for name, coins in wallets.items():
            self.wallets[name] = self.wallets.get(name, 0) + coins
        self.escrows: dict[str, Escrow] = {}
        self.usage: dict[str, UsageRecord] = {}
        self.settlements: list[Settlement] = []
        self.supply = sum(self.wallets.values())

    # ------------------------------------------------------------------ messages

    def create(self, now: int, order: str, customer: str, amount: int, seconds: int) -> UsageStatus:
        """The customer puts `amount` into escrow for `order`; it expires `seconds` from now."""
        if order in self.escrows:
            return UsageStatus.EscrowExists
        if not self.params.escrow_min_seconds <= seconds <= self.params.escrow_max_seconds:
            return UsageStatus.InvalidEscrow
        if self.wallets.get(customer, 0) < amount:
            return UsageStatus.InsufficientFunds

        self.escrows[order] = Escrow(customer, amount, now + seconds)
        self._pay(customer, ESCROW, amount)
        return UsageStatus.Ok

    def activate(self, now: int, order: str, provider: str) -> UsageStatus:
        """The provider that won the order becomes the recipient; the settlement clock starts."""
        escrow = self.escrows.get(order)
        if escrow is None:
            return UsageStatus.EscrowNotFound
        if self._late(escrow, now):
            return UsageStatus.EscrowExpired
        if escrow.state != EscrowState.PENDING:
            return UsageStatus.InvalidStateTransition

        self._move(escrow, EscrowState.ACTIVE)
        escrow.recipient = provider
        escrow.settled_at = now
        return UsageStatus.Ok

    def record_usage(
        self, order: str, provider: str, usage_id: str, units: int, unit_price: int
    ) -> UsageStatus:
        """The recipient reports `units` at `unit_price` (10^-18 uve); lateness and balance do not matter."""
        escrow = self.escrows.get(order)
        if escrow is None:
            return UsageStatus.EscrowNotFound
        if escrow.state != EscrowState.ACTIVE:
            return UsageStatus.EscrowNotActive
        if provider != escrow.recipient:
            return UsageStatus.Unauthorized
        if units <= 0 or unit_price < 0 or usage_id in self.usage:
            return UsageStatus.InvalidUsageRecord

        self.usage[usage_id] = UsageRecord(order, usage_cost(units, unit_price))
        escrow.usage.append(usage_id)
        return UsageStatus.Ok

    def settle(
        self, now: int, order: str, usage_ids: Sequence[str] = (), *, final: bool = False
    ) -> UsageStatus:
        """Pay for usage: all unsettled records, or the named ones; `final` pays out the whole balance.

        A named record counts as often as it is named, as upstream does.
        """
        escrow = self.escrows.get(order)
        if escrow is None:
            return UsageStatus.EscrowNotFound
        if escrow.state != EscrowState.ACTIVE:
            return UsageStatus.EscrowNotActive
        if self._late(escrow, now):
            return UsageStatus.EscrowExpired
        for usage_id in usage_ids:
            record = self.usage.get(usage_id)
            if record is None:
                return UsageStatus.UsageRecordNotFound
            if record.settled:
                return UsageStatus.UsageAlreadySettled
            if record.order != order:
                return UsageStatus.InvalidUsageRecord
        selected = [self.usage[key] for key in usage_ids] if usage_ids else self.unsettled(order)
        cost = sum(record.cost for record in selected)
        total = escrow.balance if final else min(cost, escrow.balance)
        if total == 0:
            return UsageStatus.InvalidSettlement

        platform = truncate(total * self.params.platform_bps, 10_000)
        validator = truncate(total * self.params.validator_bps, 10_000)
        provider = total - platform - validator
        escrow.balance -= total
        escrow.settled_at = now
        for record in selected:  # also those that the balance did not cover: the rest is forgiven
            record.settled = True
        if final:
            self._move(escrow, EscrowState.RELEASED)
        kind = SettlementType.FINAL if final else SettlementType.USAGE_BASED
        self._record(order, kind, total, provider, platform, validator, final)
        self._pay(ESCROW, escrow.recipient, provider)
        self._pay(ESCROW, SETTLEMENT, platform + validator)
        return UsageStatus.Ok

    def release(self, now: int, order: str) -> UsageStatus:
        """The whole balance goes to the recipient without a fee."""
        escrow = self.escrows.get(order)
        if escrow is None:
            return UsageStatus.EscrowNotFound
        if self._late(escrow, now):
            return UsageStatus.EscrowExpired
        if escrow.state not in (EscrowState.ACTIVE, EscrowState.DISPUTED):
            return UsageStatus.EscrowNotActive

        self._move(escrow, EscrowState.RELEASED)
        self._empty(order, escrow, escrow.recipient, SettlementType.FINAL)
        return UsageStatus.Ok

    def refund(self, order: str) -> UsageStatus:
        """The whole balance goes back to the customer, also when the escrow is late."""
        escrow = self.escrows.get(order)
        if escrow is None:
            return UsageStatus.EscrowNotFound
        if escrow.state not in LIVE:
            return UsageStatus.InvalidStateTransition

        self._move(escrow, EscrowState.REFUNDED)
        self._empty(order, escrow, escrow.customer, SettlementType.REFUND)
        return UsageStatus.Ok

    def dispute(self, now: int, order: str) -> UsageStatus:
        """Stop usage, settlement and expiry; past its time only a refund ends it."""
        escrow = self.escrows.get(order)
        if escrow is None:
            return UsageStatus.EscrowNotFound
        if self._late(escrow, now):
            return UsageStatus.EscrowExpired
        if escrow.state != EscrowState.ACTIVE:
            return UsageStatus.InvalidStateTransition

        self._move(escrow, EscrowState.DISPUTED)
        return UsageStatus.Ok

    # ------------------------------------------------------------------ what a block does by itself

    def begin_block(self, now: int) -> None:
        """Give back every late escrow, pending or active, without a record, whatever usage is unsettled."""
        for escrow in self.escrows.values():
            if escrow.state in (EscrowState.PENDING, EscrowState.ACTIVE) and self._late(escrow, now):
                balance, escrow.balance = escrow.balance, 0
                self._move(escrow, EscrowState.EXPIRED)
                self._pay(ESCROW, escrow.customer, balance)

    def end_block(self, now: int) -> None:
        """Settle every active escrow whose settlement clock is a day old, by block time.

        Where there is nothing to pay the clock runs on.
        """
        for order, escrow in self.escrows.items():
            if escrow.state == EscrowState.ACTIVE:
                if now - escrow.settled_at >= self.params.settle_every_seconds:
                    self.settle(now, order)

    # ------------------------------------------------------------------ views and the one mover of coins

    def unsettled(self, order: str) -> list[UsageRecord]:
        """The order's records that no settlement has taken, in the order in which they came."""
        return [self.usage[key] for key in self.escrows[order].usage if not self.usage[key].settled]

    def check(self) -> None:
        """Raise InvariantError unless coins are conserved and the module holds the escrows' balances."""
        if sum(self.wallets.values()) != self.supply:
            raise InvariantError(f"{sum(self.wallets.values())} uve in all, {self.supply} at the start")
        held = sum(escrow.balance for escrow in self.escrows.values())
        if held != self.wallets[ESCROW]:
            raise InvariantError(f"escrow module holds {self.wallets[ESCROW]} uve, its accounts {held}")
        if min(self.wallets.values()) < 0:
            raise InvariantError("a wallet is below zero")

    @staticmethod
    def _late(escrow: Escrow, now: int) -> bool:
        return escrow.state in LIVE and now > escrow.expires_at

    @staticmethod
    def _move(escrow: Escrow, state: EscrowState) -> None:
        if state not in TRANSITIONS[escrow.state]:
            raise InvariantError(f"an escrow cannot go from {escrow.state} to {state}")
        escrow.state = state

    def _empty(self, order: str, escrow: Escrow, receiver: str, kind: SettlementType) -> None:
        balance, escrow.balance = escrow.balance, 0
        if balance:
            self._record(order, kind, balance, balance, 0, 0, True)
            self._pay(ESCROW, receiver, balance)

    def _record(
        self,
        order: str,
        kind: SettlementType,
        total: int,
        provider: int,
        platform: int,
        validator: int,
        final: bool,
    ) -> None:
        escrow = self.escrows[order]
        escrow.settlements += 1
        self.settlements.append(
            Settlement(order, escrow.settlements, kind, total, provider, platform, validator, final)
        )

    def _pay(self, giver: str, receiver: str, coins: int) -> None:
        self.wallets[giver] = self.wallets.get(giver, 0) - coins
        self.wallets[receiver] = self.wallets.get(receiver, 0) + coins
