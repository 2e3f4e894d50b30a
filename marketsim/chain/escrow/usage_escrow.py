"""The rules of one order's usage escrow (protocol reference 5.4, VirtEngine's `x/settlement`), over one row of `UsageEscrow`.

Each message is a ladder of refusals; past the ladder it can only succeed, and a refused one changes nothing.
No function moves coins: each says what left the balance, and its caller moves that. Two callers share these
rules: `usage_accounts`, where a simulated market pays for its leases so, and `usage_settlement`, the module by
itself, which is held to the recorded chain. Times are unix seconds of the block, coins whole uve.
"""

from __future__ import annotations

from marketsim.chain.columns import UsageEscrow, UsageEscrowState
from marketsim.kernel.codes import Code
from marketsim.kernel.compiled import compiled

PLATFORM_BPS = 500
"""VirtEngine's default part of the platform in a settlement, basis points."""
VALIDATOR_BPS = 100
"""VirtEngine's default part of the validators."""
SHORTEST_SECONDS = 3_600
LONGEST_SECONDS = 31_536_000
"""The bounds of an escrow's life, both allowed."""
SETTLE_SECONDS = 86_400
"""Age of the settlement clock from which the end of a block settles."""

_BPS = 10_000


class UsageAnswer(Code):
    """How a message was answered, by the chain's names; all but `Ok` are refusals."""

    Ok = 0
    EscrowNotFound = 1
    EscrowExists = 2
    EscrowNotActive = 3
    EscrowExpired = 4
    InvalidEscrow = 5
    InvalidSettlement = 6
    InvalidStateTransition = 7
    InvalidUsageRecord = 8
    UsageRecordNotFound = 9
    UsageAlreadySettled = 10
    InsufficientFunds = 11
    Unauthorized = 12


@compiled
def is_live(row: UsageEscrow) -> bool:
    """Return whether the escrow is pending, active or disputed: the states in which it can be late."""
    state = row.state
    return bool(state == UsageEscrowState.PENDING or state == UsageEscrowState.ACTIVE or state == UsageEscrowState.DISPUTED)


@compiled
def is_late(row: UsageEscrow, now: int) -> bool:
    """Return whether a live escrow is past its expiry; at exactly the expiry everything still works."""
    return is_live(row) and bool(now > row.expires_at)


@compiled
def create(row: UsageEscrow, now: int, customer: int, available: int, amount: int, seconds: int) -> UsageAnswer:
    """EscrowExists, InvalidEscrow, InsufficientFunds; else `amount` of the `available` coins is in escrow for `seconds`."""
    if row.state != UsageEscrowState.NONE:
        return UsageAnswer.EscrowExists
    if seconds < SHORTEST_SECONDS or seconds > LONGEST_SECONDS:
        return UsageAnswer.InvalidEscrow
    if available < amount:
        return UsageAnswer.InsufficientFunds

    row.state = UsageEscrowState.PENDING
    row.customer = customer
    row.recipient = -1
    row.balance = amount
    row.expires_at = now + seconds
    return UsageAnswer.Ok


@compiled
def activate(row: UsageEscrow, now: int, provider: int) -> UsageAnswer:
    """EscrowNotFound, EscrowExpired, InvalidStateTransition; else the provider is the recipient and the clock starts."""
    if row.state == UsageEscrowState.NONE:
        return UsageAnswer.EscrowNotFound
    if is_late(row, now):
        return UsageAnswer.EscrowExpired
    if row.state != UsageEscrowState.PENDING:
        return UsageAnswer.InvalidStateTransition

    row.state = UsageEscrowState.ACTIVE
    row.recipient = provider
    row.settled_at = now
    return UsageAnswer.Ok


@compiled
def report(row: UsageEscrow, provider: int, units: int) -> UsageAnswer:
    """EscrowNotFound, EscrowNotActive, Unauthorized, InvalidUsageRecord; lateness and balance do not matter.

    The caller keeps the record and its cost.
    """
    if row.state == UsageEscrowState.NONE:
        return UsageAnswer.EscrowNotFound
    if row.state != UsageEscrowState.ACTIVE:
        return UsageAnswer.EscrowNotActive
    if row.recipient != provider:
        return UsageAnswer.Unauthorized
    if units <= 0:
        return UsageAnswer.InvalidUsageRecord
    return UsageAnswer.Ok


@compiled
def can_settle(row: UsageEscrow, now: int) -> UsageAnswer:
    """EscrowNotFound, EscrowNotActive, EscrowExpired: what is refused before any record is looked at."""
    if row.state == UsageEscrowState.NONE:
        return UsageAnswer.EscrowNotFound
    if row.state != UsageEscrowState.ACTIVE:
        return UsageAnswer.EscrowNotActive
    if is_late(row, now):
        return UsageAnswer.EscrowExpired
    return UsageAnswer.Ok


@compiled
def settle(row: UsageEscrow, now: int, cost: int, final: bool) -> tuple[int, int]:
    """Return (answer, total) for records that cost `cost` together: total = min(cost, balance), `final`: the balance.

    The refusals of `can_settle`, then InvalidSettlement where there is nothing to pay. After Ok every selected
    record is settled, also what the balance did not cover.
    """
    answer = can_settle(row, now)
    if answer != UsageAnswer.Ok:
        return answer, 0
    total = row.balance
    if not final and cost < total:
        total = cost
    if total == 0:
        return UsageAnswer.InvalidSettlement, 0

    row.balance -= total
    row.settled_at = now
    row.settlements += 1
    if final:
        row.state = UsageEscrowState.RELEASED
    return UsageAnswer.Ok, total


@compiled
def fee_part(total: int, bps: int) -> int:
    """Return floor(total x bps / 10^4), without leaving int64."""
    return (total // _BPS) * bps + (total % _BPS) * bps // _BPS


@compiled
def split(total: int, platform_bps: int, validator_bps: int) -> tuple[int, int, int]:
    """Return (provider, platform, validators) of a settlement's total: both fees truncated, the provider has the rest."""
    platform = fee_part(total, platform_bps)
    validators = fee_part(total, validator_bps)
    return total - platform - validators, platform, validators


@compiled
def _empty(row: UsageEscrow, state: int) -> int:
    # End the escrow and return its balance; what leaves a balance by a message writes a record.
    balance: int = row.balance
    row.balance = 0
    row.state = state
    if balance > 0:
        row.settlements += 1
    return balance


@compiled
def release(row: UsageEscrow, now: int) -> tuple[int, int]:
    """Return (answer, balance): the whole balance goes to the recipient without a fee.

    EscrowNotFound, EscrowExpired, EscrowNotActive.
    """
    if row.state == UsageEscrowState.NONE:
        return UsageAnswer.EscrowNotFound, 0
    if is_late(row, now):
        return UsageAnswer.EscrowExpired, 0
    if row.state != UsageEscrowState.ACTIVE and row.state != UsageEscrowState.DISPUTED:
        return UsageAnswer.EscrowNotActive, 0
    return UsageAnswer.Ok, _empty(row, UsageEscrowState.RELEASED)


@compiled
def refund(row: UsageEscrow) -> tuple[int, int]:
    """Return (answer, balance): the whole balance goes back to the customer, also when the escrow is late.

    EscrowNotFound, InvalidStateTransition.
    """
    if row.state == UsageEscrowState.NONE:
        return UsageAnswer.EscrowNotFound, 0
    if not is_live(row):
        return UsageAnswer.InvalidStateTransition, 0
    return UsageAnswer.Ok, _empty(row, UsageEscrowState.REFUNDED)


@compiled
def dispute(row: UsageEscrow, now: int) -> UsageAnswer:
    """EscrowNotFound, EscrowExpired, InvalidStateTransition; else usage, settlement and expiry stop."""
    if row.state == UsageEscrowState.NONE:
        return UsageAnswer.EscrowNotFound
    if is_late(row, now):
        return UsageAnswer.EscrowExpired
    if row.state != UsageEscrowState.ACTIVE:
        return UsageAnswer.InvalidStateTransition

    row.state = UsageEscrowState.DISPUTED
    return UsageAnswer.Ok


@compiled
def expire(row: UsageEscrow, now: int) -> int:
    """Begin of a block: end a late escrow that is pending or active; return the balance for the customer, -1 = not late."""
    if row.state == UsageEscrowState.DISPUTED or not is_late(row, now):
        return -1
    balance: int = row.balance
    row.balance = 0
    row.state = UsageEscrowState.EXPIRED
    return balance


@compiled
def is_clock_due(row: UsageEscrow, now: int) -> bool:
    """End of a block: return whether an active escrow's settlement clock is SETTLE_SECONDS old."""
    return bool(row.state == UsageEscrowState.ACTIVE and now - row.settled_at >= SETTLE_SECONDS)
