"""Messages about orders, bids, leases and their escrow: one ladder each, in the order of precedence of
protocol reference 1.4.

Objects are rows, -1 where there is none. `h` is the height of the block, which the caller has also put
into G.height. A refusal changes nothing. Rows that one call adds at most (the caller makes room before,
`state.with_room`):

    create_bid          bids 1 (none when G.free_bid has one), accounts 1, deposits 1 + one a grant
    create_lease        leases 1, usage 1
    close_lease         orders 1
    account_deposit     accounts 1, deposits 1 + one a grant
    others              none
    events              4 an object ended (group, order, bid, lease), 8 a payment or deposit of the account
"""

from __future__ import annotations

from marketsim.chain.bid_index import enter_bid, has_bid
from marketsim.chain.cascades import (
    close_bid_alone,
    close_order,
    end_lease,
    end_order,
    follow,
    has_quirk,
    is_live,
    lose_bids,
    open_order,
    set_group,
)
from marketsim.chain.columns import (
    AccountState,
    BidState,
    Charging,
    DeploymentState,
    EventKind,
    GroupState,
    LeaseState,
    OfferedUnit,
    OrderEnd,
    OrderState,
    PaymentState,
    Quirk,
    Reason,
    Rules,
    Scope,
)
from marketsim.chain.deployments import is_window_outside
from marketsim.chain.escrow.messages import account_close, account_open, can_collect, payment_close, payment_open, payment_withdraw
from marketsim.chain.escrow.messages import account_deposit as deposit_into
from marketsim.chain.events import bid_identity, emit
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.intrinsics import prefetch

FITS, LACKS_ATTRIBUTES, LACKS_CAPABILITIES = 1, 2, 3
"""Entries of `State.eligible`."""

PROVIDER_REASON_MIN, PROVIDER_REASON_MAX = 10_000, 19_999
"""The range of close reasons that a provider may give."""


@compiled
def block_seconds(s: State, h: int) -> int:
    """Return the time of block h in whole seconds since block 0."""
    return int(h * s.globals.block_ms // 1000)


@compiled_inline
def is_order_full(s: State, order: int) -> bool:
    """Return whether the order has as many bids as may be; lost ones do not count, closed ones do
    (support#413).

    Quirk max_bids_off_by_one: one more is admitted.
    """
    o = s.orders[order]
    bids = o.bids_open + o.bids_active + o.bids_closed
    limit = s.globals.order_max_bids
    if has_quirk(s, Quirk.MAX_BIDS_OFF_BY_ONE):
        return bool(bids > limit)
    return bool(bids >= limit)


@compiled
def does_offer_fit(s: State, group: int, first_offer: int, offers: int) -> bool:
    """Return whether every entry of a resource offer names a unit of the group once, with its count;
    sizes are not compared."""
    first = s.groups[group].first_resource
    for entry in range(first_offer, first_offer + offers):
        unit = s.drafts[entry, OfferedUnit.resource]
        if unit < 1 or unit > s.groups[group].resources:
            return False
        if s.drafts[entry, OfferedUnit.count] != s.resources[first + unit - 1].count:
            return False
        for other in range(first_offer, entry):
            if s.drafts[other, OfferedUnit.resource] == unit:
                return False
    return True


@compiled_inline
def create_bid(
    s: State,
    h: int,
    order: int,
    wallet: int,
    slot: int,
    price: int,
    price_atto: int,
    deposit: int,
    sources: int,
    first_offer: int,
    offers: int,
    window: int,
) -> Status:
    """Provider: bid a price per block on an open order and lock a deposit.

    `wallet` is the provider's, `slot` its row in providers (-1: the wallet is not a provider's).
    `deposit` in whole uve, `sources` as digits of base 4 (1 balance, 2 grant, lowest first). The offer is
    `offers` rows of `drafts` (columns Offer), `window` the notice offered in seconds (akash; 0 = none). A
    deposit of 0 opens no account.
    """
    if order >= 0 and s.deployments[s.orders[order].deployment].owner == wallet:
        return Status.Conflict
    if price == 0 and price_atto == 0:
        return Status.BidZeroPrice
    g = s.globals
    if deposit < g.bid_min_deposit:
        return Status.InvalidDeposit
    if order >= 0 and is_order_full(s, order):
        return Status.InvalidBid
    if order < 0:
        return Status.OrderNotFound
    o = s.orders[order]
    if o.state == OrderState.CLOSED:
        return Status.OrderClosed
    if o.state != OrderState.OPEN:
        return Status.OrderActive
    if price < 0:
        return Status.BidInvalidPrice
    ceiling = o.price
    if price > ceiling or (price == ceiling and price_atto > o.price_atto):
        return Status.BidInvalidPrice if g.rules == Rules.AKASH else Status.BidOverOrder
    group = o.group
    if offers > 0 and not does_offer_fit(s, group, first_offer, offers):
        return Status.CapabilitiesMismatch
    if wallet < 0:
        return Status.EmptyProvider
    if slot < 0:
        return Status.UnknownProvider
    if g.blockings > 0 and s.providers[slot].blocked != 0:
        return Status.ProviderBlocked
    fit = s.eligible[s.groups[group].spec, slot]
    if fit == LACKS_ATTRIBUTES:
        return Status.AttributeMismatch
    if fit == LACKS_CAPABILITIES:
        return Status.CapabilitiesMismatch
    if deposit > 0:
        status = can_collect(s, wallet, Scope.BID, deposit, sources)
        if status != Status.Ok:
            return status
    if g.rules != Rules.AKASH:
        window = 0
    else:
        asked = s.deployments[o.deployment].window
        if asked != 0 and window == 0:
            return Status.ReclamationRequired
        if window < asked:
            return Status.ReclamationWindowTooShort
        if window != 0 and is_window_outside(s, window):
            return Status.ReclamationWindowInvalid
    if has_bid(s, order, wallet, slot):
        return Status.BidExists
    bid = g.free_bid
    if bid >= 0:
        following = s.bids[bid].next
        g.free_bid = following
        prefetch(s.bids, following)
    else:
        bid = g.bids
        g.bids = bid + 1
    b = s.bids[bid]
    b.order = order
    b.provider = wallet
    b.state = BidState.OPEN
    b.created_at = h
    b.closed_at = 0
    b.price = price
    b.price_atto = price_atto
    b.account = -1
    b.lease = -1
    b.next = -1
    b.window = window
    b.slot = slot
    last = o.last_bid
    if last >= 0:
        s.bids[last].next = bid
    else:
        o.first_bid = bid
    o.last_bid = bid
    o.bids_open += 1
    enter_bid(s, order, wallet, slot, bid)
    emit(s, EventKind.BID_CREATED, order, slot, price, price_atto, bid)
    if deposit > 0:
        open_bid_account(s, h, bid)
        deposit_into(s, h, b.account, wallet, deposit, sources)
    return Status.Ok


@compiled
def open_bid_account(s: State, h: int, bid: int) -> None:
    """Open the escrow account of a bid, as of the bid's own height."""
    b = s.bids[bid]
    account = account_open(s, h, Scope.BID, bid, b.provider)
    s.accounts[account].id = bid_identity(s, b.order, b.slot)
    s.accounts[account].created_at = b.created_at
    s.accounts[account].settled_at = b.created_at
    b.account = account


@compiled
def close_bid(s: State, h: int, bid: int, reason: int) -> Status:
    """Provider: withdraw an open bid, or leave the lease that the bid won; then the group pauses and
    nothing is relisted."""
    if reason < PROVIDER_REASON_MIN or reason > PROVIDER_REASON_MAX:
        return Status.InvalidLeaseClosedReason
    if bid < 0:
        return Status.UnknownBid
    if s.bids[bid].state == BidState.OPEN:
        close_bid_alone(s, h, bid)
        return Status.Ok
    lease = s.bids[bid].lease
    if lease < 0:
        return Status.UnknownLeaseForBid
    p = s.leases[lease]
    state = p.state
    if state == LeaseState.ACTIVE and p.window != 0:
        return Status.ReclamationNotStarted
    if state == LeaseState.RECLAIMING and block_seconds(s, h) < p.deadline:
        return Status.ReclamationWindowNotElapsed
    if not is_live(s, lease):
        return Status.LeaseNotActive
    order = p.order
    account = p.account
    short = s.accounts[account].short
    set_group(s, s.orders[order].group, GroupState.PAUSED)
    end_lease(s, h, lease, LeaseState.CLOSED, reason)
    close_bid_alone(s, h, bid)
    close_order(s, h, order, OrderEnd.LEASE_ENDED)
    payment_close(s, h, lease)
    follow(s, h, account, short)
    return Status.Ok


@compiled
def create_lease(s: State, h: int, bid: int) -> Status:
    """Tenant: accept a bid; its price becomes the rate of a payment from the deployment's account, the
    other bids lose."""
    if bid < 0:
        return Status.BidNotFound
    b = s.bids[bid]
    if b.state != BidState.OPEN:
        return Status.BidNotOpen
    order = b.order
    o = s.orders[order]
    if o.state != OrderState.OPEN:
        return Status.OrderNotOpen
    group = o.group
    if s.groups[group].state != GroupState.OPEN:
        return Status.GroupNotOpen
    account = s.deployments[o.deployment].account
    g = s.globals
    lease = g.leases
    write_lease(s, h, lease, bid, account)
    short = s.accounts[account].short
    status = payment_open(s, h, account, lease)
    # A settlement of the cadence that was not looked at yet may have found the account short even where
    # the lease is refused.
    follow(s, h, account, short)
    if status != Status.Ok:
        return status
    g.leases = lease + 1
    s.providers[b.slot].active_leases += 1
    o.lease = lease
    o.bids_open -= 1
    o.bids_active += 1
    b.state = BidState.ACTIVE
    b.lease = lease
    if g.rules == Rules.SEED:
        o.state = OrderState.MATCHED
        s.leases[lease].active_at = -1
    else:
        o.state = OrderState.ACTIVE
        s.leases[lease].active_at = h
    if g.charging != Charging.RATE:
        open_usage(s, h, lease, group)
    slot = b.slot
    price, price_atto = b.price, b.price_atto
    emit(s, EventKind.BID_WON, order, slot, price, price_atto, bid)
    emit(s, EventKind.LEASE_CREATED, lease, order, price, price_atto, slot)
    lose_bids(s, h, order, bid)
    return Status.Ok


@compiled
def write_lease(s: State, h: int, lease: int, bid: int, account: int) -> None:
    """Fill a lease's row from its bid; the row counts once its payment is open."""
    b = s.bids[bid]
    order = b.order
    row = s.leases[lease]
    row[:] = 0
    row.bid = bid
    row.order = order
    row.provider = b.provider
    row.state = LeaseState.ACTIVE
    row.created_at = h
    row.active_at = h
    row.window = b.window
    row.account = account
    row.next = -1
    row.gseq = s.groups[s.orders[order].group].gseq
    row.oseq = s.orders[order].oseq
    row.payment = PaymentState.OPEN
    row.rate = b.price
    row.rate_atto = b.price_atto
    row.usage = -1
    row.slot = b.slot
    row.id = bid_identity(s, order, row.slot)


@compiled
def open_usage(s: State, h: int, lease: int, group: int) -> None:
    """Begin to meter a lease: what its group reserves, weighed by the generic monthly targets (protocol
    reference 4.2).

    The targets, in USD a month, are 1.60 a thread, 0.80 a GiB of memory, 0.02 a GB of storage and 100 a
    GPU. Only their ratios matter, so they stand here times 2^30, where a byte's share is exact. Whoever
    knows the provider's own unit prices writes them over these.
    """
    usage = s.globals.usage
    s.globals.usage = usage + 1
    row = s.usage[usage]
    row[:] = 0
    row.lease = lease
    asked = s.groups[group]
    row.reserved_cpu = asked.cpu
    row.reserved_memory = asked.memory
    row.reserved_storage = asked.storage
    row.reserved_gpu = asked.gpu
    row.unit_cpu = 1_717_986
    row.unit_cpu_atto = 918_400_000_000_000_000
    row.unit_memory_atto = 800_000_000_000_000_000
    row.unit_storage_atto = 21_474_836_480_000_000
    row.unit_gpu = 107_374_182_400
    row.until = h
    row.utilization_ppm = -1
    s.leases[lease].usage = usage


@compiled
def close_lease(s: State, h: int, order: int, bid: int) -> Status:
    """Tenant: end the lease of a bid; the order is relisted at once while the group is still open."""
    if order < 0:
        return Status.OrderNotFound
    state = s.orders[order].state
    if state not in (OrderState.ACTIVE, OrderState.MATCHED):
        return Status.OrderClosed
    if bid < 0:
        return Status.BidNotFound
    if s.bids[bid].state != BidState.ACTIVE:
        return Status.BidNotActive
    lease = s.bids[bid].lease
    account = s.leases[lease].account
    short = s.accounts[account].short
    end_lease(s, h, lease, LeaseState.CLOSED, Reason.OWNER)
    close_bid_alone(s, h, bid)
    close_order(s, h, order, OrderEnd.LEASE_ENDED)
    payment_close(s, h, lease)
    follow(s, h, account, short)
    group = s.orders[order].group
    if s.groups[group].state == GroupState.OPEN:
        open_order(s, h, group)
    return Status.Ok


@compiled
def withdraw(s: State, h: int, lease: int) -> Status:
    """Provider: settle the deployment's account and be paid what this lease has earned."""
    if lease < 0:
        return Status.UnknownLease
    account = s.leases[lease].account
    short = s.accounts[account].short
    status = payment_withdraw(s, h, lease)
    follow(s, h, account, short)
    return status


@compiled
def start_reclaim(s: State, h: int, lease: int, reason: int) -> Status:
    """Provider (akash): give notice on a lease with a window; from the deadline on the provider may
    close it."""
    if reason < PROVIDER_REASON_MIN or reason > PROVIDER_REASON_MAX:
        return Status.InvalidLeaseClosedReason
    if lease < 0:
        return Status.UnknownLease
    p = s.leases[lease]
    if p.state != LeaseState.ACTIVE:
        return Status.LeaseNotActive
    if p.window == 0:
        return Status.LeaseNotReclamable
    p.state = LeaseState.RECLAIMING
    p.deadline = block_seconds(s, h) + p.window
    emit(s, EventKind.LEASE_RECLAIMING, lease, reason, p.deadline, 0, 0)
    return Status.Ok


@compiled
def account_deposit(s: State, h: int, scope: int, target: int, signer: int, amount: int, sources: int) -> Status:
    """Anyone: add a deposit to the account of a deployment or of a bid (`scope` Scope, `target` its row)."""
    if amount <= 0:
        return Status.InvalidDeposit
    status = can_collect(s, signer, scope, amount, sources)
    if status != Status.Ok:
        return status
    if target < 0:
        return Status.AccountNotFound
    if scope == Scope.BID:
        return deposit_on_bid(s, h, target, signer, amount, sources)
    account = s.deployments[target].account
    if s.accounts[account].state == AccountState.CLOSED:
        return Status.AccountClosed
    short = s.accounts[account].short
    status = deposit_into(s, h, account, signer, amount, sources)
    follow(s, h, account, short)
    return status


@compiled
def deposit_on_bid(s: State, h: int, bid: int, signer: int, amount: int, sources: int) -> Status:
    """Add to a bid's account, which is opened now if the bid was made without a deposit."""
    b = s.bids[bid]
    state = b.state
    if state not in (BidState.OPEN, BidState.ACTIVE):
        return Status.AccountClosed
    if b.account < 0:
        open_bid_account(s, h, bid)
    deposit_into(s, h, b.account, signer, amount, sources)
    return Status.Ok


@compiled
def activate_lease(s: State, h: int, lease: int) -> Status:
    """Rule set seed: the workload of a matched order runs; from here on it is used."""
    if lease < 0:
        return Status.UnknownLease
    order = s.leases[lease].order
    o = s.orders[order]
    if o.state != OrderState.MATCHED:
        return Status.OrderActive if o.state == OrderState.ACTIVE else Status.OrderClosed
    o.state = OrderState.ACTIVE
    s.leases[lease].active_at = h
    emit(s, EventKind.ORDER_ACTIVATED, order, lease, 0, 0, 0)
    return Status.Ok


@compiled
def timeout_order(s: State, h: int, order: int) -> Status:
    """Rule set seed: an order without a lease ends `order_timeout` blocks after it was made, with its
    bids and its group.

    With its last group the deployment closes and what is left of the deposit goes back.
    """
    if order < 0:
        return Status.OrderNotFound
    o = s.orders[order]
    if o.state != OrderState.OPEN:
        return Status.OrderNotOpen
    if s.globals.order_timeout == 0 or h < o.created_at + s.globals.order_timeout:
        return Status.OrderTooEarly
    group = o.group
    if s.groups[group].state != GroupState.CLOSED:
        set_group(s, group, GroupState.CLOSED)
    end_order(s, h, order, OrderEnd.TIMEOUT, LeaseState.CLOSED, Reason.NONE)
    deployment = o.deployment
    if s.deployments[deployment].state == DeploymentState.ACTIVE and not has_group(s, deployment):
        account = s.deployments[deployment].account
        account_close(s, h, account)
        follow(s, h, account, s.accounts[account].short)
    return Status.Ok


@compiled
def has_group(s: State, deployment: int) -> bool:
    """Return whether a group of the deployment is not closed."""
    first = s.deployments[deployment].first_group
    for group in range(first, first + s.deployments[deployment].groups):
        if s.groups[group].state != GroupState.CLOSED:
            return True
    return False
