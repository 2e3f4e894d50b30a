"""VirtEngine's usage escrow by itself, with names: what `parity settlement` holds to the recorded chain.

The rules are those of `usage_escrow`, which a simulated market runs too; here are the names, the usage records
one by one, and the coins of customers, providers and the two modules. Time is the block's time in unix
seconds, coins are whole uve and move only in `_pay`; wallets, the escrow module and the settlement module
always add up to what the wallets held at the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from marketsim.chain.columns import UsageEscrow
from marketsim.chain.escrow import usage_escrow
from marketsim.chain.escrow.usage_escrow import LONGEST_SECONDS, PLATFORM_BPS, VALIDATOR_BPS, UsageAnswer
from marketsim.errors import InvariantError
from marketsim.kernel.rows import row_of
from marketsim.money.text import truncate
from marketsim.money.units import ATTO

ESCROW = "escrow"
SETTLEMENT = "settlement"
"""Names of the two modules that hold coins; they share the wallets' name space, as in the vectors."""


class EscrowState(StrEnum):
    """Where an order's escrow stands, in the numbers' order of `UsageEscrowState`; the last three are final."""

    PENDING = "pending"
    ACTIVE = "active"
    DISPUTED = "disputed"
    RELEASED = "released"
    REFUNDED = "refunded"
    EXPIRED = "expired"


TRANSITIONS: Mapping[EscrowState, frozenset[EscrowState]] = {
    EscrowState.PENDING: frozenset({EscrowState.ACTIVE, EscrowState.REFUNDED, EscrowState.EXPIRED}),
    EscrowState.ACTIVE: frozenset({EscrowState.DISPUTED, EscrowState.RELEASED, EscrowState.REFUNDED, EscrowState.EXPIRED}),
    EscrowState.DISPUTED: frozenset({EscrowState.RELEASED, EscrowState.REFUNDED}),
    EscrowState.RELEASED: frozenset(),
    EscrowState.REFUNDED: frozenset(),
    EscrowState.EXPIRED: frozenset(),
}
"""Every edge that an escrow can take; there are no others."""

_STATES = tuple(EscrowState)


class UsageStatus(StrEnum):
    """The answers of `UsageAnswer` as the vectors spell them."""

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
    """The fees of a settlement in basis points, VirtEngine's by default."""

    platform_bps: int = PLATFORM_BPS
    validator_bps: int = VALIDATOR_BPS


class Escrow:
    """One order's escrow: a row of `UsageEscrow` with the names of customer and recipient and its records' ids."""

    def __init__(self, customer: str) -> None:
        self.row = row_of(UsageEscrow)
        self.customer = customer
        self.recipient = ""
        self.usage: list[str] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Escrow) and self._all() == other._all()

    __hash__ = None  # type: ignore[assignment]

    def _all(self) -> tuple[object, ...]:
        return self.row.tolist(), self.customer, self.recipient, self.usage

    @property
    def state(self) -> EscrowState:
        """Where the escrow stands."""
        return _STATES[int(self.row.state) - 1]

    @property
    def balance(self) -> int:
        """Whole uve that are neither paid nor given back."""
        return int(self.row.balance)

    @property
    def settled_at(self) -> int:
        """The settlement clock: seconds of activation or of the last settlement."""
        return int(self.row.settled_at)


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
        self._names: dict[str, int] = {}

    # ------------------------------------------------------------------ messages

    def create(self, now: int, order: str, customer: str, amount: int, seconds: int) -> UsageStatus:
        """The customer puts `amount` into escrow for `order`; it expires `seconds` from now."""
        escrow = self.escrows.get(order) or Escrow(customer)
        available = self.wallets.get(customer, 0)
        asked = min(amount, available + 1), min(seconds, LONGEST_SECONDS + 1)  # however large, the same answer
        answer = usage_escrow.create(escrow.row, now, self._number(customer), available, *asked)
        if answer == UsageAnswer.Ok:
            self.escrows[order] = escrow
            self._pay(customer, ESCROW, amount)
        return _status(answer)

    def activate(self, now: int, order: str, provider: str) -> UsageStatus:
        """The provider that won the order becomes the recipient; the settlement clock starts."""
        escrow = self._escrow(order)
        answer = usage_escrow.activate(escrow.row, now, self._number(provider))
        if answer == UsageAnswer.Ok:
            escrow.recipient = provider
        return _status(answer)

    def record_usage(self, order: str, provider: str, usage_id: str, units: int, unit_price: int) -> UsageStatus:
        """The recipient reports `units` at `unit_price` (10^-18 uve); lateness and balance do not matter."""
        escrow = self._escrow(order)
        answer = usage_escrow.report(escrow.row, self._number(provider), int(units > 0))
        if answer == UsageAnswer.Ok and (unit_price < 0 or usage_id in self.usage):
            answer = UsageAnswer.InvalidUsageRecord
        if answer == UsageAnswer.Ok:
            self.usage[usage_id] = UsageRecord(order, usage_cost(units, unit_price))
            escrow.usage.append(usage_id)
        return _status(answer)

    def settle(self, now: int, order: str, usage_ids: Sequence[str] = (), *, final: bool = False) -> UsageStatus:
        """Pay for usage: all unsettled records, or the named ones; `final` pays out the whole balance.

        A named record counts as often as it is named, as upstream does.
        """
        escrow = self._escrow(order)
        answer = usage_escrow.can_settle(escrow.row, now)
        if answer != UsageAnswer.Ok:
            return _status(answer)
        for usage_id in usage_ids:
            record = self.usage.get(usage_id)
            if record is None:
                return UsageStatus.UsageRecordNotFound
            if record.settled:
                return UsageStatus.UsageAlreadySettled
            if record.order != order:
                return UsageStatus.InvalidUsageRecord
        selected = [self.usage[key] for key in usage_ids] if usage_ids else self.unsettled(order)
        cost = min(sum(record.cost for record in selected), escrow.balance)  # what is above it is never paid
        code, total = usage_escrow.settle(escrow.row, now, cost, final)
        if code != UsageAnswer.Ok:
            return _status(code)
        for record in selected:  # also those that the balance did not cover: the rest is forgiven
            record.settled = True
        parts = usage_escrow.split(total, self.params.platform_bps, self.params.validator_bps)
        provider, platform, validator = map(int, parts)
        kind = SettlementType.FINAL if final else SettlementType.USAGE_BASED
        self._record(order, kind, int(total), provider, platform, validator, final)
        self._pay(ESCROW, escrow.recipient, provider)
        self._pay(ESCROW, SETTLEMENT, platform + validator)
        return UsageStatus.Ok

    def release(self, now: int, order: str) -> UsageStatus:
        """The whole balance goes to the recipient without a fee."""
        escrow = self._escrow(order)
        answer, balance = usage_escrow.release(escrow.row, now)
        self._empty(order, escrow.recipient, int(balance), SettlementType.FINAL)
        return _status(answer)

    def refund(self, order: str) -> UsageStatus:
        """The whole balance goes back to the customer, also when the escrow is late."""
        escrow = self._escrow(order)
        answer, balance = usage_escrow.refund(escrow.row)
        self._empty(order, escrow.customer, int(balance), SettlementType.REFUND)
        return _status(answer)

    def dispute(self, now: int, order: str) -> UsageStatus:
        """Stop usage, settlement and expiry; past its time only a refund ends it."""
        return _status(usage_escrow.dispute(self._escrow(order).row, now))

    # ------------------------------------------------------------------ what a block does by itself

    def begin_block(self, now: int) -> None:
        """Give back every late escrow, pending or active, without a record, whatever usage is unsettled."""
        for escrow in self.escrows.values():
            balance = int(usage_escrow.expire(escrow.row, now))
            if balance >= 0:
                self._pay(ESCROW, escrow.customer, balance)

    def end_block(self, now: int) -> None:
        """Settle every active escrow whose settlement clock is a day old, by block time.

        Where there is nothing to pay the clock runs on.
        """
        for order, escrow in self.escrows.items():
            if usage_escrow.is_clock_due(escrow.row, now):
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

    def _escrow(self, order: str) -> Escrow:
        """The order's escrow; one that is not kept and refuses everything where there is none."""
        return self.escrows.get(order) or Escrow("")

    def _number(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _empty(self, order: str, receiver: str, balance: int, kind: SettlementType) -> None:
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
        number = int(self.escrows[order].row.settlements)
        self.settlements.append(Settlement(order, number, kind, total, provider, platform, validator, final))

    def _pay(self, giver: str, receiver: str, coins: int) -> None:
        self.wallets[giver] = self.wallets.get(giver, 0) - coins
        self.wallets[receiver] = self.wallets.get(receiver, 0) + coins


def _status(answer: int) -> UsageStatus:
    return UsageStatus[UsageAnswer(answer).name]
