"""Escrow under charging `ve_settlement`: a usage escrow an order, set aside from the deployment's account, paid by reported usage.

The rules of one escrow are those of `usage_escrow`; here is what the market does with them. The account holds
the deposits as under every rule, but nothing is streamed from it: its sum of rates stays 0. Opening a lease
makes the order's escrow (`create` and `activate` in one) for as long as may be, with an equal share of what is
free for each group that has none: a deployment of one group puts everything in. What an escrow gives back, at
its end or expiry, is free for the deployment's next order and goes back to the depositors with the account.

A lease is reported every G.usage_every blocks from its creation and at its close, one unit at the price of its
use since the last report, so a record's cost is cut to whole uve. A message's record is a report too. The
block settles what is a day old; the close of a lease reports, settles and refunds. What a settlement does not
cover, and what is unsettled at the end, is forgiven and counts as shortfall. The escrow then lives on at 0 and
the lease with it: ending one is the provider's decision (`clock.unpaid`).

Account.due_at is the next height at which a report, the settlement clock or an expiry of the account's escrows
falls; the caller runs `due` there, as under the exact rule.
"""

from __future__ import annotations

from marketsim.chain.columns import (
    Account,
    AccountState,
    EventKind,
    G,
    GroupState,
    Lease,
    PaymentState,
    UsageEscrow,
    UsageEscrowState,
)
from marketsim.chain.escrow import usage_escrow
from marketsim.chain.escrow.accounts import consume, is_key_used, link_payment, refund_deposits
from marketsim.chain.escrow.exact import add_use, metered_until, priced_use, read_meter
from marketsim.chain.escrow.usage_escrow import LONGEST_SECONDS, PLATFORM_BPS, SETTLE_SECONDS, VALIDATOR_BPS, UsageAnswer
from marketsim.chain.events import book_income, emit
from marketsim.chain.ledger import pay_split, touch
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled
from marketsim.money.pairs import RATE_MAX, add_to, is_less, subtract, subtract_from, times

_create = usage_escrow.create
_activate = usage_escrow.activate
_report = usage_escrow.report
_settle = usage_escrow.settle
_split = usage_escrow.split
_refund = usage_escrow.refund
_expire = usage_escrow.expire
_is_clock_due = usage_escrow.is_clock_due


# --- times --------------------------------------------------------------------------------------------------


@compiled
def seconds_at(s: State, h: int) -> int:
    """Return the time of block h in whole seconds since block 0."""
    return int(h * s.globals.block_ms // 1000)


@compiled
def height_at(s: State, seconds: int) -> int:
    """Return the first block whose time is at least `seconds`."""
    return int(-(-(seconds * 1000) // s.globals.block_ms))


@compiled
def next_report(s: State, lease: int) -> int:
    """Return the height of the lease's next report of its own."""
    created = s.leases[lease].created_at
    every = max(1, s.globals.usage_every)
    last = s.usage_escrows[s.leases[lease].usage].reported_at
    return int(created + ((last - created) // every + 1) * every)


@compiled
def schedule(s: State, h: int, account: int) -> None:
    """Compute DUE_AT anew: the first of all reports, settlement clocks and expiries of the account's escrows; -1 = none.

    A clock that is past and found nothing to pay runs on until there is something.
    """
    soonest = -1
    lease = s.accounts[account].first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OPEN:
            row = s.usage_escrows[p.usage]
            if row.state == UsageEscrowState.ACTIVE:
                at = min(next_report(s, lease), height_at(s, row.expires_at + 1))
                clock = height_at(s, row.settled_at + SETTLE_SECONDS)
                if clock > h or (row.unsettled > 0 and row.balance > 0):
                    at = min(at, clock)
                at = max(at, h)
                if soonest < 0 or at < soonest:
                    soonest = at
        lease = p.next
    s.accounts[account].due_at = soonest


# --- what is set aside --------------------------------------------------------------------------------------


@compiled
def set_aside(s: State, account: int) -> int:
    """Return the whole uve that the account's escrows hold of its funds."""
    held = 0
    lease = s.accounts[account].first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OPEN:
            held += s.usage_escrows[p.usage].balance
        lease = p.next
    return held


@compiled
def groups_without_escrow(s: State, deployment: int) -> int:
    """Return how many of the deployment's groups are not closed and have no lease with an open payment."""
    count = 0
    first = s.deployments[deployment].first_group
    for group in range(first, first + s.deployments[deployment].groups):
        if s.groups[group].state != GroupState.CLOSED:
            lease = s.orders[s.groups[group].last_order].lease
            if lease < 0 or s.leases[lease].payment != PaymentState.OPEN:
                count += 1
    return count


# --- reports and settlements --------------------------------------------------------------------------------


@compiled
def use_of(s: State, h: int, lease: int) -> tuple[int, int]:
    """Return the price of what the lease has used since it began (a pair); use without unit prices costs the bid's price a block."""
    p = s.leases[lease]
    use = priced_use(s, h, lease)
    if use[0] >= 0:
        return use
    if s.usage[p.usage].utilization_ppm >= 0:
        return times(p.rate, p.rate_atto, metered_until(s, h, lease))
    blocks = h - p.active_at if p.active_at >= 0 else 0
    return times(p.rate, p.rate_atto, blocks)


@compiled
def _record(s: State, h: int, lease: int) -> None:
    # One record for the use since the last report; none where nothing was used, or the escrow takes none.
    p = s.leases[lease]
    row = s.usage_escrows[p.usage]
    use, use_atto = use_of(s, h, lease)
    read_meter(s, h, lease)
    row.reported_at = h
    if not is_less(row.priced, row.priced_atto, use, use_atto):
        return
    part, _ = subtract(use, use_atto, row.priced, row.priced_atto)
    row.priced = use
    row.priced_atto = use_atto
    if _report(row, p.provider, 1) == UsageAnswer.Ok:
        row.unsettled += part  # the fraction of a record is cut off
        emit(s, EventKind.USAGE_RECORDED, lease, h, part, 0, 0)


@compiled
def _forgive(s: State, h: int, lease: int, missing: int) -> None:
    if missing > 0:
        add_to(s.leases[lease], Lease.shortfall, missing, 0)
        add_to(s.accounts[s.leases[lease].account], Account.shortfall, missing, 0)
        add_to(s.globals, G.shortfall, missing, 0)
        emit(s, EventKind.SHORTFALL, lease, h, missing, 0, 0)


@compiled
def _settle_lease(s: State, h: int, lease: int) -> None:
    # Pay for what is reported and not settled, and split the fees; what the balance does not cover is forgiven.
    p = s.leases[lease]
    row = s.usage_escrows[p.usage]
    cost = row.unsettled
    answer, total = _settle(row, seconds_at(s, h), cost, False)
    if answer != UsageAnswer.Ok:
        return
    account = p.account
    a = s.accounts[account]
    touch(s, account)
    consume(s, account, total, 0)
    a.funds -= total
    a.transferred += total
    a.settled_at = h
    row.unsettled = 0
    provider, platform, validators = _split(total, PLATFORM_BPS, VALIDATOR_BPS)
    p.withdrawn += total
    p.fees += platform + validators
    emit(s, EventKind.SETTLED, lease, h, total, 0, 0)
    emit(s, EventKind.FEES_SPLIT, lease, row.settlements, platform, 0, validators)
    pay_split(s, p.provider, provider, platform, validators)
    emit(s, EventKind.PAID, lease, p.provider, provider, 0, platform + validators)
    book_income(s, p.slot, provider, platform + validators)
    _forgive(s, h, lease, cost - total)


@compiled
def _give_back(s: State, lease: int, balance: int) -> None:
    # Record that an escrow has ended with `balance` for the account; it is free there, no coins move.
    row = s.usage_escrows[s.leases[lease].usage]
    emit(s, EventKind.USAGE_ESCROW_ENDED, lease, row.state, balance, 0, 0)


@compiled
def _begin(s: State, h: int, account: int) -> None:
    # The begin of the block: whatever touches the account, its late escrows have expired before.
    lease = s.accounts[account].first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OPEN:
            row = s.usage_escrows[p.usage]
            balance = _expire(row, seconds_at(s, h))
            if balance >= 0:
                touch(s, account)
                _give_back(s, lease, balance)
                _forgive(s, h, lease, row.unsettled)
                row.unsettled = 0
        lease = p.next


@compiled
def _end_lease(s: State, h: int, lease: int) -> None:
    p = s.leases[lease]
    # Close a lease's payment: last report, settlement, and a refund of the rest.
    row = s.usage_escrows[p.usage]
    _record(s, h, lease)
    _settle_lease(s, h, lease)
    answer, balance = _refund(row)
    if answer == UsageAnswer.Ok:
        _give_back(s, lease, balance)
    _forgive(s, h, lease, row.unsettled)
    row.unsettled = 0
    p.payment = PaymentState.CLOSED
    s.accounts[p.account].open -= 1


@compiled
def due(s: State, h: int, account: int) -> None:
    """Do what falls on h, if DUE_AT is h: expiries, then reports, then the settlements of the end of the block."""
    if s.accounts[account].due_at != h:
        return
    _begin(s, h, account)
    lease = s.accounts[account].first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OPEN:
            if next_report(s, lease) <= h:
                _record(s, h, lease)
            if _is_clock_due(s.usage_escrows[p.usage], seconds_at(s, h)):
                _settle_lease(s, h, lease)
        lease = p.next
    schedule(s, h, account)


@compiled
def is_spent(s: State, lease: int) -> bool:
    """Return whether an open payment can earn nothing more: its escrow has ended, or what is reported takes all of it."""
    row = s.usage_escrows[s.leases[lease].usage]
    return bool(row.state != UsageEscrowState.ACTIVE or row.unsettled >= row.balance)


# --- messages -----------------------------------------------------------------------------------------------


@compiled
def payment_open(s: State, h: int, account: int, lease: int) -> Status:
    """AccountClosed, PaymentRateZero, AmountTooLarge, PaymentExists, AccountOverdrawn (nothing is free); else the
    order's escrow is active. It takes the row of `usage_escrows` beside which the lease's metering will stand.
    """
    a = s.accounts[account]
    p = s.leases[lease]
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    if p.rate == 0 and p.rate_atto == 0:
        return Status.PaymentRateZero
    if p.rate >= RATE_MAX:
        return Status.AmountTooLarge
    if is_key_used(s, account, lease):
        return Status.PaymentExists
    free = a.funds - set_aside(s, account)
    amount = free // max(1, groups_without_escrow(s, a.target))
    if amount <= 0:
        return Status.AccountOverdrawn

    at = s.globals.usage
    row = s.usage_escrows[at]
    for column in range(UsageEscrow.width):
        row[column] = 0
    now = seconds_at(s, h)
    _create(row, now, a.owner, free, amount, LONGEST_SECONDS)
    _activate(row, now, p.provider)
    row.reported_at = h
    touch(s, account)
    link_payment(s, account, lease)
    subtract_from(a, Account.rates, p.rate, p.rate_atto)  # nothing is owed by the block
    p.usage = at
    schedule(s, h, account)
    emit(s, EventKind.USAGE_ESCROW_OPENED, lease, account, amount, 0, row.expires_at)
    return Status.Ok


@compiled
def payment_withdraw(s: State, h: int, lease: int) -> Status:
    """PaymentClosed unless the payment is open; else report and settle now, which restarts the settlement clock."""
    if s.leases[lease].payment != PaymentState.OPEN:
        return Status.PaymentClosed
    account = s.leases[lease].account
    _begin(s, h, account)
    _record(s, h, lease)
    _settle_lease(s, h, lease)
    schedule(s, h, account)
    return Status.Ok


@compiled
def payment_close(s: State, h: int, lease: int) -> Status:
    """PaymentClosed; else report, settle, and free what is left for the account."""
    if s.leases[lease].payment != PaymentState.OPEN:
        return Status.PaymentClosed
    account = s.leases[lease].account
    touch(s, account)
    _begin(s, h, account)
    _end_lease(s, h, lease)
    schedule(s, h, account)
    return Status.Ok


@compiled
def account_close(s: State, h: int, account: int) -> Status:
    """AccountClosed; else close every payment and the account, and refund the deposits."""
    a = s.accounts[account]
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    touch(s, account)
    if a.first_lease >= 0:
        _begin(s, h, account)
        lease = a.first_lease
        while lease >= 0:
            if s.leases[lease].payment == PaymentState.OPEN:
                _end_lease(s, h, lease)
            lease = s.leases[lease].next
    a.due_at = -1
    a.settled_at = h
    a.state = AccountState.CLOSED
    refund_deposits(s, account)
    return Status.Ok


@compiled
def settle_forced(s: State, h: int, account: int) -> Status:
    """AccountClosed; else report and settle every payment."""
    if s.accounts[account].state == AccountState.CLOSED:
        return Status.AccountClosed
    _begin(s, h, account)
    lease = s.accounts[account].first_lease
    while lease >= 0:
        if s.leases[lease].payment == PaymentState.OPEN:
            _record(s, h, lease)
            _settle_lease(s, h, lease)
        lease = s.leases[lease].next
    schedule(s, h, account)
    return Status.Ok


@compiled
def record_usage(s: State, h: int, lease: int, cpu: int, memory: int, storage: int, gpu: int) -> Status:
    """Report what the lease used since its last record: LeaseNotActive (no open payment, or its escrow takes no usage),
    UsageInvalid (a negative quantity, a lease that meters itself), AmountTooLarge; else it is recorded and nothing is paid.
    """
    p = s.leases[lease]
    if p.payment != PaymentState.OPEN:
        return Status.LeaseNotActive
    row = p.usage
    if s.usage[row].utilization_ppm >= 0 or cpu < 0 or memory < 0 or storage < 0 or gpu < 0:
        return Status.UsageInvalid
    _begin(s, h, p.account)
    if _report(s.usage_escrows[row], p.provider, 1) != UsageAnswer.Ok:
        return Status.LeaseNotActive
    status = add_use(s, h, lease, cpu, memory, storage, gpu)
    if status != Status.Ok:
        return status
    _record(s, h, lease)
    schedule(s, h, p.account)
    return Status.Ok
