"""What one ending brings with it: bids with their order, leases with their group, everything with its
escrow account.

Protocol reference 1.7. Upstream does this with hooks that call each other; here each function ends one
kind of object, and `follow`, called once after every escrow operation of a deployment's account, draws
the consequences of what that operation found.
"""

from __future__ import annotations

from marketsim.chain.bid_index import forget_bids
from marketsim.chain.columns import (
    AccountState,
    BidState,
    DeploymentState,
    EventKind,
    GroupState,
    LeaseState,
    OrderEnd,
    OrderState,
    PaymentState,
    Quirk,
    Reason,
    Rules,
)
from marketsim.chain.escrow.messages import account_close, payment_close, release_account
from marketsim.chain.events import emit, note, order_identity
from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.intrinsics import rarely


@compiled_inline
def has_quirk(s: State, quirk: Quirk) -> bool:
    """Return whether an upstream defect is switched on."""
    return bool((s.globals.quirks & quirk) != 0)


@compiled
def is_live(s: State, lease: int) -> bool:
    """Return whether a lease has not ended: active or reclaiming; insufficient_funds too where a top-up
    can return it."""
    state = s.leases[lease].state
    if state == LeaseState.INSUFFICIENT_FUNDS:
        return bool(s.leases[lease].closed_at == 0)
    return state in (LeaseState.ACTIVE, LeaseState.RECLAIMING)


@compiled
def open_order(s: State, h: int, group: int) -> None:
    """Make the group's next order, open. Adds one row to orders."""
    order = s.globals.orders
    s.globals.orders = order + 1
    o = s.orders[order]
    o.group = group
    asked = s.groups[group]
    o.oseq = 1 + asked.closed_orders
    o.state = OrderState.OPEN
    o.created_at = h
    o.closed_at = 0
    o.price = asked.price
    o.price_atto = asked.price_atto
    o.previous = asked.last_order
    o.first_bid = -1
    o.last_bid = -1
    o.bids_open = 0
    o.bids_active = 0
    o.bids_closed = 0
    o.bids_lost = 0
    o.lease = -1
    o.bits = 0
    o.reason = OrderEnd.NONE
    o.deployment = asked.deployment
    o.id = order_identity(s, asked.deployment, asked.gseq, o.oseq)
    asked.orders += 1
    asked.last_order = order
    emit(
        s,
        EventKind.ORDER_CREATED,
        order,
        group,
        o.price,
        o.price_atto,
        0,
    )


@compiled
def close_order(s: State, h: int, order: int, end: int) -> None:
    """Close an order for the reason `end` (OrderEnd); its bids and its lease are the caller's."""
    o = s.orders[order]
    o.state = OrderState.CLOSED
    o.closed_at = h
    o.reason = end
    forget_bids(s, order)
    s.groups[o.group].closed_orders += 1
    emit(s, EventKind.ORDER_CLOSED, order, end, 0, 0, 0)


@compiled_inline
def free_bid(s: State, bid: int) -> None:
    """Give back the rows of an ended bid that is no longer in its order's list: index entry, account,
    deposits, its own."""
    b = s.bids[bid]
    account = b.account
    if account >= 0:
        release_account(s, account)
    lease = b.lease
    if rarely(lease >= 0):
        s.leases[lease].bid = -1
    b.next = s.globals.free_bid
    s.globals.free_bid = bid


@compiled_inline
def mark_ended(s: State, h: int, order: int, bid: int, state: int, kind: int) -> None:
    """Write a bid's end into its row, refund its deposit and keep a row of it; the order's counts are the caller's."""
    row = s.bids[bid]
    row.state = state
    row.closed_at = h
    if row.account >= 0:
        account_close(s, h, row.account)
    note(s, kind, order, row.slot, row.price, row.price_atto, bid)


@compiled
def end_bid(s: State, h: int, bid: int, state: int) -> None:
    """End an open or active bid as lost or closed and refund its deposit; it stays in its order's list."""
    order = s.bids[bid].order
    o = s.orders[order]
    if s.bids[bid].state == BidState.OPEN:
        o.bids_open -= 1
    else:
        o.bids_active -= 1
    kind = EventKind.BID_CLOSED
    if state == BidState.LOST:
        o.bids_lost += 1
        kind = EventKind.BID_LOST
    else:
        o.bids_closed += 1
    mark_ended(s, h, order, bid, state, kind)


@compiled
def unlink_bid(s: State, bid: int) -> None:
    """Take one bid out of its order's list and give back its rows. Walks the list from the start."""
    order = s.bids[bid].order
    before = -1
    o = s.orders[order]
    at = o.first_bid
    while at != bid:
        before = at
        at = s.bids[at].next
    after = s.bids[bid].next
    if before < 0:
        o.first_bid = after
    else:
        s.bids[before].next = after
    if after < 0:
        o.last_bid = before
    free_bid(s, bid)


@compiled
def close_bid_alone(s: State, h: int, bid: int) -> None:
    """Close one bid and refund it; its rows go back where ended bids are not kept."""
    end_bid(s, h, bid, BidState.CLOSED)
    if s.globals.keep_bids == 0:
        unlink_bid(s, bid)


@compiled
def close_bids(s: State, h: int, order: int) -> None:
    """Close every open and active bid of an order, oldest first, and refund them."""
    keep = s.globals.keep_bids
    o = s.orders[order]
    bid = o.first_bid
    while bid >= 0:
        after = s.bids[bid].next
        state = s.bids[bid].state
        if state in (BidState.OPEN, BidState.ACTIVE):
            end_bid(s, h, bid, BidState.CLOSED)
        if keep == 0:
            free_bid(s, bid)
        bid = after
    if keep == 0:
        o.first_bid = -1
        o.last_bid = -1


@compiled
def rank_of(s: State, bid: int) -> int:
    """Return the rank of a bid's provider among all addresses."""
    return int(s.wallets[s.bids[bid].provider].rank)


@compiled
def lose_bids(s: State, h: int, order: int, winner: int) -> None:
    """End the open bids beside the winner as lost and refund them.

    Quirk losing_bids_stay: only the loser of the lowest provider address; the others stay open,
    deposits locked (support#441).
    """
    forget_bids(s, order)
    o = s.orders[order]
    if rarely(has_quirk(s, Quirk.LOSING_BIDS_STAY)):
        first = -1
        bid = o.first_bid
        while bid >= 0:
            if bid != winner and s.bids[bid].state == BidState.OPEN:
                if first < 0 or rank_of(s, bid) < rank_of(s, first):
                    first = bid
            bid = s.bids[bid].next
        if first >= 0:
            end_bid(s, h, first, BidState.LOST)
            if s.globals.keep_bids == 0:
                unlink_bid(s, first)
        return
    keep = s.globals.keep_bids
    lost = 0
    bid = o.first_bid
    while bid >= 0:
        b = s.bids[bid]
        after = b.next
        if bid != winner:
            if b.state == BidState.OPEN:
                mark_ended(s, h, order, bid, BidState.LOST, EventKind.BID_LOST)
                lost += 1
            if keep == 0:
                free_bid(s, bid)
        bid = after
    o.bids_open -= lost
    o.bids_lost += lost
    if keep == 0:
        o.first_bid = winner
        o.last_bid = winner
        s.bids[winner].next = -1


@compiled
def end_lease(s: State, h: int, lease: int, state: int, reason: int) -> None:
    """End a lease for good, as closed or (akash) insufficient_funds; its payment is the caller's."""
    p = s.leases[lease]
    p.state = state
    p.reason = reason
    p.closed_at = h
    s.providers[p.slot].active_leases -= 1
    kind = EventKind.LEASE_CLOSED
    if state == LeaseState.INSUFFICIENT_FUNDS:
        kind = EventKind.LEASE_INSUFFICIENT_FUNDS
    emit(s, kind, lease, reason, 0, 0, 0)


@compiled
def end_order(s: State, h: int, order: int, end: int, state: int, reason: int) -> None:
    """Close an order with its bids and, if it has a live one, its lease (as `state` for `reason`), paid
    up to now."""
    close_order(s, h, order, end)
    lease = s.orders[order].lease
    close_bids(s, h, order)
    if lease >= 0 and is_live(s, lease):
        end_lease(s, h, lease, state, reason)
        payment_close(s, h, lease)


@compiled
def set_group(s: State, group: int, state: int) -> None:
    """Set a group's state and record it."""
    s.groups[group].state = state
    kind = EventKind.GROUP_OPENED
    if state == GroupState.PAUSED:
        kind = EventKind.GROUP_PAUSED
    elif state == GroupState.INSUFFICIENT_FUNDS:
        kind = EventKind.GROUP_INSUFFICIENT_FUNDS
    elif state == GroupState.CLOSED:
        kind = EventKind.GROUP_CLOSED
    emit(s, kind, group, s.groups[group].deployment, 0, 0, 0)


@compiled
def cascade_group(s: State, h: int, group: int, end: int, state: int, reason: int, keep_open: bool) -> None:
    """End what a group that is no longer open has: its order, bids and lease.

    Only the newest order of a group can still be open or active. `keep_open` leaves an open one with
    its bids (quirks open_orders_stay and pause_open_order; virtengine as it is, support#438).
    """
    order = s.groups[group].last_order
    if s.orders[order].state == OrderState.CLOSED:
        return
    if keep_open and s.orders[order].state == OrderState.OPEN:
        return
    end_order(s, h, order, end, state, reason)


@compiled
def end_deployment(s: State, h: int, deployment: int, short: bool) -> None:
    """Close a deployment whose account has ended, and every group that is not closed; `short`: for lack
    of funds."""
    deployed = s.deployments[deployment]
    deployed.state = DeploymentState.CLOSED
    deployed.closed_at = h
    emit(s, EventKind.DEPLOYMENT_CLOSED, deployment, deployed.account, 0, 0, 0)
    group_state = GroupState.CLOSED
    end = OrderEnd.CANCELLED
    lease_state = LeaseState.CLOSED
    reason = Reason.OWNER
    if short:
        group_state = GroupState.INSUFFICIENT_FUNDS
        end = OrderEnd.INSUFFICIENT_FUNDS
        reason = Reason.INSUFFICIENT_FUNDS
        if s.globals.rules == Rules.AKASH:
            lease_state = LeaseState.INSUFFICIENT_FUNDS
    keep_open = has_quirk(s, Quirk.OPEN_ORDERS_STAY)
    first = deployed.first_group
    for group in range(first, first + deployed.groups):
        if s.groups[group].state != GroupState.CLOSED:
            set_group(s, group, group_state)
            cascade_group(s, h, group, end, lease_state, reason, keep_open)


@compiled
def follow_payments(s: State, account: int) -> None:
    """Carry over what the exact rule decided: payments out of funds, and those that a deposit brought
    back."""
    lease = s.accounts[account].first_lease
    while lease >= 0:
        p = s.leases[lease]
        payment = p.payment
        state = p.state
        if payment == PaymentState.OVERDRAWN and state == LeaseState.ACTIVE:
            p.state = LeaseState.INSUFFICIENT_FUNDS
            emit(s, EventKind.LEASE_INSUFFICIENT_FUNDS, lease, Reason.INSUFFICIENT_FUNDS, 0, 0, 0)
        elif payment == PaymentState.OPEN and state == LeaseState.INSUFFICIENT_FUNDS:
            p.state = LeaseState.ACTIVE
            emit(s, EventKind.LEASE_REACTIVATED, lease, 0, 0, 0, 0)
        lease = p.next


@compiled
def follow(s: State, h: int, account: int, short_before: int) -> None:
    """Draw the consequences of an escrow operation on a deployment's account, which had `short_before`
    payments out of funds."""
    a = s.accounts[account]
    state = a.state
    if state != AccountState.OPEN:
        deployment = a.target
        if s.deployments[deployment].state == DeploymentState.ACTIVE:
            end_deployment(s, h, deployment, state == AccountState.OVERDRAWN)
    elif a.short != short_before:
        follow_payments(s, account)
