"""Messages about orders, bids, leases and their escrow: one ladder each, in the order of precedence of
protocol reference 1.4.

Objects are rows, -1 where there is none. `h` is the height of the block, which the caller has also put
into G.HEIGHT. A refusal changes nothing. Rows that one call adds at most (the caller makes room before,
`state.with_room`):

    create_bid          bids 1 (none when G.FREE_BID has one), accounts 1, deposits 1 + one a grant
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
    Account,
    AccountState,
    Bid,
    BidState,
    Charging,
    Deployment,
    DeploymentState,
    EventKind,
    G,
    Group,
    GroupState,
    Lease,
    LeaseState,
    Offer,
    Order,
    OrderEnd,
    OrderState,
    PaymentState,
    Provider,
    Quirk,
    Reason,
    Resource,
    Rules,
    Scope,
    Usage,
)
from marketsim.chain.deployments import is_window_outside
from marketsim.chain.escrow.messages import account_close, account_open, can_collect, payment_close, payment_open, payment_withdraw
from marketsim.chain.escrow.messages import account_deposit as deposit_into
from marketsim.chain.events import emit
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
    return int(h * s.globals[G.BLOCK_MS] // 1000)


@compiled_inline
def is_order_full(s: State, order: int) -> bool:
    """Return whether the order has as many bids as may be; lost ones do not count, closed ones do
    (support#413).

    Quirk max_bids_off_by_one: one more is admitted.
    """
    bids = s.orders[order, Order.BIDS_OPEN] + s.orders[order, Order.BIDS_ACTIVE] + s.orders[order, Order.BIDS_CLOSED]
    limit = s.globals[G.ORDER_MAX_BIDS]
    if has_quirk(s, Quirk.MAX_BIDS_OFF_BY_ONE):
        return bool(bids > limit)
    return bool(bids >= limit)


@compiled
def does_offer_fit(s: State, group: int, first_offer: int, offers: int) -> bool:
    """Return whether every entry of a resource offer names a unit of the group once, with its count;
    sizes are not compared."""
    first = s.groups[group, Group.FIRST_RESOURCE]
    for entry in range(first_offer, first_offer + offers):
        unit = s.drafts[entry, Offer.RESOURCE]
        if unit < 1 or unit > s.groups[group, Group.RESOURCES]:
            return False
        if s.drafts[entry, Offer.COUNT] != s.resources[first + unit - 1, Resource.COUNT]:
            return False
        for other in range(first_offer, entry):
            if s.drafts[other, Offer.RESOURCE] == unit:
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
    if order >= 0 and s.deployments[s.orders[order, Order.DEPLOYMENT], Deployment.OWNER] == wallet:
        return Status.Conflict
    if price == 0 and price_atto == 0:
        return Status.BidZeroPrice
    if deposit < s.globals[G.BID_MIN_DEPOSIT]:
        return Status.InvalidDeposit
    if order >= 0 and is_order_full(s, order):
        return Status.InvalidBid
    if order < 0:
        return Status.OrderNotFound
    if s.orders[order, Order.STATE] == OrderState.CLOSED:
        return Status.OrderClosed
    if s.orders[order, Order.STATE] != OrderState.OPEN:
        return Status.OrderActive
    if price < 0:
        return Status.BidInvalidPrice
    ceiling = s.orders[order, Order.PRICE]
    if price > ceiling or (price == ceiling and price_atto > s.orders[order, Order.PRICE_ATTO]):
        return Status.BidInvalidPrice if s.globals[G.RULES] == Rules.AKASH else Status.BidOverOrder
    group = s.orders[order, Order.GROUP]
    if offers > 0 and not does_offer_fit(s, group, first_offer, offers):
        return Status.CapabilitiesMismatch
    if wallet < 0:
        return Status.EmptyProvider
    if slot < 0:
        return Status.UnknownProvider
    if s.globals[G.BLOCKINGS] > 0 and s.providers[slot, Provider.BLOCKED] != 0:
        return Status.ProviderBlocked
    fit = s.eligible[s.groups[group, Group.SPEC], slot]
    if fit == LACKS_ATTRIBUTES:
        return Status.AttributeMismatch
    if fit == LACKS_CAPABILITIES:
        return Status.CapabilitiesMismatch
    if deposit > 0:
        status = can_collect(s, wallet, Scope.BID, deposit, sources)
        if status != Status.Ok:
            return status
    if s.globals[G.RULES] != Rules.AKASH:
        window = 0
    else:
        asked = s.deployments[s.orders[order, Order.DEPLOYMENT], Deployment.WINDOW]
        if asked != 0 and window == 0:
            return Status.ReclamationRequired
        if window < asked:
            return Status.ReclamationWindowTooShort
        if window != 0 and is_window_outside(s, window):
            return Status.ReclamationWindowInvalid
    if has_bid(s, order, wallet, slot):
        return Status.BidExists
    bid = s.globals[G.FREE_BID]
    if bid >= 0:
        following = s.bids[bid, Bid.NEXT]
        s.globals[G.FREE_BID] = following
        prefetch(s.bids, following)
    else:
        bid = s.globals[G.BIDS]
        s.globals[G.BIDS] = bid + 1
    row = s.bids[bid]
    row[Bid.ORDER] = order
    row[Bid.PROVIDER] = wallet
    row[Bid.STATE] = BidState.OPEN
    row[Bid.CREATED_AT] = h
    row[Bid.CLOSED_AT] = 0
    row[Bid.PRICE] = price
    row[Bid.PRICE_ATTO] = price_atto
    row[Bid.ACCOUNT] = -1
    row[Bid.LEASE] = -1
    row[Bid.NEXT] = -1
    row[Bid.WINDOW] = window
    row[Bid.SLOT] = slot
    last = s.orders[order, Order.LAST_BID]
    if last >= 0:
        s.bids[last, Bid.NEXT] = bid
    else:
        s.orders[order, Order.FIRST_BID] = bid
    s.orders[order, Order.LAST_BID] = bid
    s.orders[order, Order.BIDS_OPEN] += 1
    enter_bid(s, order, wallet, slot, bid)
    emit(s, EventKind.BID_CREATED, order, slot, price, price_atto, bid)
    if deposit > 0:
        open_bid_account(s, h, bid)
        deposit_into(s, h, s.bids[bid, Bid.ACCOUNT], wallet, deposit, sources)
    return Status.Ok


@compiled
def open_bid_account(s: State, h: int, bid: int) -> None:
    """Open the escrow account of a bid, as of the bid's own height."""
    account = account_open(s, h, Scope.BID, bid, s.bids[bid, Bid.PROVIDER])
    s.accounts[account, Account.CREATED_AT] = s.bids[bid, Bid.CREATED_AT]
    s.accounts[account, Account.SETTLED_AT] = s.bids[bid, Bid.CREATED_AT]
    s.bids[bid, Bid.ACCOUNT] = account


@compiled
def close_bid(s: State, h: int, bid: int, reason: int) -> Status:
    """Provider: withdraw an open bid, or leave the lease that the bid won; then the group pauses and
    nothing is relisted."""
    if reason < PROVIDER_REASON_MIN or reason > PROVIDER_REASON_MAX:
        return Status.InvalidLeaseClosedReason
    if bid < 0:
        return Status.UnknownBid
    if s.bids[bid, Bid.STATE] == BidState.OPEN:
        close_bid_alone(s, h, bid)
        return Status.Ok
    lease = s.bids[bid, Bid.LEASE]
    if lease < 0:
        return Status.UnknownLeaseForBid
    state = s.leases[lease, Lease.STATE]
    if state == LeaseState.ACTIVE and s.leases[lease, Lease.WINDOW] != 0:
        return Status.ReclamationNotStarted
    if state == LeaseState.RECLAIMING and block_seconds(s, h) < s.leases[lease, Lease.DEADLINE]:
        return Status.ReclamationWindowNotElapsed
    if not is_live(s, lease):
        return Status.LeaseNotActive
    order = s.leases[lease, Lease.ORDER]
    account = s.leases[lease, Lease.ACCOUNT]
    short = s.accounts[account, Account.SHORT]
    set_group(s, s.orders[order, Order.GROUP], GroupState.PAUSED)
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
    if s.bids[bid, Bid.STATE] != BidState.OPEN:
        return Status.BidNotOpen
    order = s.bids[bid, Bid.ORDER]
    if s.orders[order, Order.STATE] != OrderState.OPEN:
        return Status.OrderNotOpen
    group = s.orders[order, Order.GROUP]
    if s.groups[group, Group.STATE] != GroupState.OPEN:
        return Status.GroupNotOpen
    account = s.deployments[s.orders[order, Order.DEPLOYMENT], Deployment.ACCOUNT]
    lease = s.globals[G.LEASES]
    write_lease(s, h, lease, bid, account)
    short = s.accounts[account, Account.SHORT]
    status = payment_open(s, h, account, lease)
    # A settlement of the cadence that was not looked at yet may have found the account short even where
    # the lease is refused.
    follow(s, h, account, short)
    if status != Status.Ok:
        return status
    s.globals[G.LEASES] = lease + 1
    s.providers[s.bids[bid, Bid.SLOT], Provider.ACTIVE_LEASES] += 1
    s.orders[order, Order.LEASE] = lease
    s.orders[order, Order.BIDS_OPEN] -= 1
    s.orders[order, Order.BIDS_ACTIVE] += 1
    s.bids[bid, Bid.STATE] = BidState.ACTIVE
    s.bids[bid, Bid.LEASE] = lease
    if s.globals[G.RULES] == Rules.SEED:
        s.orders[order, Order.STATE] = OrderState.MATCHED
        s.leases[lease, Lease.ACTIVE_AT] = -1
    else:
        s.orders[order, Order.STATE] = OrderState.ACTIVE
        s.leases[lease, Lease.ACTIVE_AT] = h
    if s.globals[G.CHARGING] != Charging.RATE:
        open_usage(s, h, lease, group)
    slot = s.bids[bid, Bid.SLOT]
    price, price_atto = s.bids[bid, Bid.PRICE], s.bids[bid, Bid.PRICE_ATTO]
    emit(s, EventKind.BID_WON, order, slot, price, price_atto, bid)
    emit(s, EventKind.LEASE_CREATED, lease, order, price, price_atto, slot)
    lose_bids(s, h, order, bid)
    return Status.Ok


@compiled
def write_lease(s: State, h: int, lease: int, bid: int, account: int) -> None:
    """Fill a lease's row from its bid; the row counts once its payment is open."""
    order = s.bids[bid, Bid.ORDER]
    row = s.leases[lease]
    row[:] = 0
    row[Lease.BID] = bid
    row[Lease.ORDER] = order
    row[Lease.PROVIDER] = s.bids[bid, Bid.PROVIDER]
    row[Lease.STATE] = LeaseState.ACTIVE
    row[Lease.CREATED_AT] = h
    row[Lease.ACTIVE_AT] = h
    row[Lease.WINDOW] = s.bids[bid, Bid.WINDOW]
    row[Lease.ACCOUNT] = account
    row[Lease.NEXT] = -1
    row[Lease.GSEQ] = s.groups[s.orders[order, Order.GROUP], Group.GSEQ]
    row[Lease.OSEQ] = s.orders[order, Order.OSEQ]
    row[Lease.PAYMENT] = PaymentState.OPEN
    row[Lease.RATE] = s.bids[bid, Bid.PRICE]
    row[Lease.RATE_ATTO] = s.bids[bid, Bid.PRICE_ATTO]
    row[Lease.USAGE] = -1
    row[Lease.SLOT] = s.bids[bid, Bid.SLOT]


@compiled
def open_usage(s: State, h: int, lease: int, group: int) -> None:
    """Begin to meter a lease: what its group reserves, weighed by the generic monthly targets (protocol
    reference 4.2).

    The targets, in USD a month, are 1.60 a thread, 0.80 a GiB of memory, 0.02 a GB of storage and 100 a
    GPU. Only their ratios matter, so they stand here times 2^30, where a byte's share is exact. Whoever
    knows the provider's own unit prices writes them over these.
    """
    usage = s.globals[G.USAGE]
    s.globals[G.USAGE] = usage + 1
    row = s.usage[usage]
    row[:] = 0
    row[Usage.LEASE] = lease
    row[Usage.RESERVED_CPU] = s.groups[group, Group.CPU]
    row[Usage.RESERVED_MEMORY] = s.groups[group, Group.MEMORY]
    row[Usage.RESERVED_STORAGE] = s.groups[group, Group.STORAGE]
    row[Usage.RESERVED_GPU] = s.groups[group, Group.GPU]
    row[Usage.UNIT_CPU] = 1_717_986
    row[Usage.UNIT_CPU_ATTO] = 918_400_000_000_000_000
    row[Usage.UNIT_MEMORY_ATTO] = 800_000_000_000_000_000
    row[Usage.UNIT_STORAGE_ATTO] = 21_474_836_480_000_000
    row[Usage.UNIT_GPU] = 107_374_182_400
    row[Usage.UNTIL] = h
    row[Usage.UTILIZATION_PPM] = -1
    s.leases[lease, Lease.USAGE] = usage


@compiled
def close_lease(s: State, h: int, order: int, bid: int) -> Status:
    """Tenant: end the lease of a bid; the order is relisted at once while the group is still open."""
    if order < 0:
        return Status.OrderNotFound
    state = s.orders[order, Order.STATE]
    if state not in (OrderState.ACTIVE, OrderState.MATCHED):
        return Status.OrderClosed
    if bid < 0:
        return Status.BidNotFound
    if s.bids[bid, Bid.STATE] != BidState.ACTIVE:
        return Status.BidNotActive
    lease = s.bids[bid, Bid.LEASE]
    account = s.leases[lease, Lease.ACCOUNT]
    short = s.accounts[account, Account.SHORT]
    end_lease(s, h, lease, LeaseState.CLOSED, Reason.OWNER)
    close_bid_alone(s, h, bid)
    close_order(s, h, order, OrderEnd.LEASE_ENDED)
    payment_close(s, h, lease)
    follow(s, h, account, short)
    group = s.orders[order, Order.GROUP]
    if s.groups[group, Group.STATE] == GroupState.OPEN:
        open_order(s, h, group)
    return Status.Ok


@compiled
def withdraw(s: State, h: int, lease: int) -> Status:
    """Provider: settle the deployment's account and be paid what this lease has earned."""
    if lease < 0:
        return Status.UnknownLease
    account = s.leases[lease, Lease.ACCOUNT]
    short = s.accounts[account, Account.SHORT]
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
    if s.leases[lease, Lease.STATE] != LeaseState.ACTIVE:
        return Status.LeaseNotActive
    if s.leases[lease, Lease.WINDOW] == 0:
        return Status.LeaseNotReclamable
    s.leases[lease, Lease.STATE] = LeaseState.RECLAIMING
    s.leases[lease, Lease.DEADLINE] = block_seconds(s, h) + s.leases[lease, Lease.WINDOW]
    emit(s, EventKind.LEASE_RECLAIMING, lease, reason, s.leases[lease, Lease.DEADLINE], 0, 0)
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
    account = s.deployments[target, Deployment.ACCOUNT]
    if s.accounts[account, Account.STATE] == AccountState.CLOSED:
        return Status.AccountClosed
    short = s.accounts[account, Account.SHORT]
    status = deposit_into(s, h, account, signer, amount, sources)
    follow(s, h, account, short)
    return status


@compiled
def deposit_on_bid(s: State, h: int, bid: int, signer: int, amount: int, sources: int) -> Status:
    """Add to a bid's account, which is opened now if the bid was made without a deposit."""
    state = s.bids[bid, Bid.STATE]
    if state not in (BidState.OPEN, BidState.ACTIVE):
        return Status.AccountClosed
    if s.bids[bid, Bid.ACCOUNT] < 0:
        open_bid_account(s, h, bid)
    deposit_into(s, h, s.bids[bid, Bid.ACCOUNT], signer, amount, sources)
    return Status.Ok


@compiled
def activate_lease(s: State, h: int, lease: int) -> Status:
    """Rule set seed: the workload of a matched order runs; from here on it is used."""
    if lease < 0:
        return Status.UnknownLease
    order = s.leases[lease, Lease.ORDER]
    if s.orders[order, Order.STATE] != OrderState.MATCHED:
        return Status.OrderActive if s.orders[order, Order.STATE] == OrderState.ACTIVE else Status.OrderClosed
    s.orders[order, Order.STATE] = OrderState.ACTIVE
    s.leases[lease, Lease.ACTIVE_AT] = h
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
    if s.orders[order, Order.STATE] != OrderState.OPEN:
        return Status.OrderNotOpen
    if s.globals[G.ORDER_TIMEOUT] == 0 or h < s.orders[order, Order.CREATED_AT] + s.globals[G.ORDER_TIMEOUT]:
        return Status.OrderTooEarly
    group = s.orders[order, Order.GROUP]
    if s.groups[group, Group.STATE] != GroupState.CLOSED:
        set_group(s, group, GroupState.CLOSED)
    end_order(s, h, order, OrderEnd.TIMEOUT, LeaseState.CLOSED, Reason.NONE)
    deployment = s.orders[order, Order.DEPLOYMENT]
    if s.deployments[deployment, Deployment.STATE] == DeploymentState.ACTIVE and not has_group(s, deployment):
        account = s.deployments[deployment, Deployment.ACCOUNT]
        account_close(s, h, account)
        follow(s, h, account, s.accounts[account, Account.SHORT])
    return Status.Ok


@compiled
def has_group(s: State, deployment: int) -> bool:
    """Return whether a group of the deployment is not closed."""
    first = s.deployments[deployment, Deployment.FIRST_GROUP]
    for group in range(first, first + s.deployments[deployment, Deployment.GROUPS]):
        if s.groups[group, Group.STATE] != GroupState.CLOSED:
            return True
    return False
