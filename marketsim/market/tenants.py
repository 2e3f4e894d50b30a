"""What the tenants' standing instructions do in a block: choose a bid, end a lease, add funds, start again."""

from __future__ import annotations

import math

from marketsim.chain import leasing as market
from marketsim.chain.columns import (
    Account,
    AccountState,
    Bid,
    BidState,
    Deployment,
    DeploymentState,
    G,
    Group,
    GroupState,
    Lease,
    LeaseState,
    Order,
    OrderState,
    Reason,
    Rules,
    Scope,
    Usage,
)
from marketsim.chain.deployments import close_deployment, start_group
from marketsim.chain.due_work import settle_cadence
from marketsim.chain.events import hash64
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled
from marketsim.market.calendar import push
from marketsim.market.desks import is_before, let_all_go, let_go, occupy, quote_order, tie_of, vacate
from marketsim.market.fees import can_afford, charge
from marketsim.market.packing import has_nodes, lacks_nodes, lease_nodes
from marketsim.market.quoting import NANO, has_room
from marketsim.market.tables import Choice, Desk, E, Ended, Engine, Kind, Offer, Phase, Plan, TopUp, Track, Watch
from marketsim.money.pairs import blocks_covered

SALT_CHOICE = 21
SALT_LEAVE = 22
TWO_52 = 1 << 52
FOREVER = 1 << 60


@compiled
def open_track(s: State, e: Engine, height: int, order: int) -> None:
    """Start to follow a new order: its size in the engines' units, its decision in the calendar, the desks' quotes."""
    g = e.globals
    group = s.orders[order, Order.GROUP]
    plan = e.plan_of[s.orders[order, Order.DEPLOYMENT]]
    track = e.tracks[order]
    track[Track.PLAN] = plan
    track[Track.FIRST_OFFER] = -1
    track[Track.BEST] = -1
    track[Track.HELD_BY] = -1
    track[Track.CPU] = s.groups[group, Group.CPU]
    track[Track.MEMORY] = -(-s.groups[group, Group.MEMORY] // 1_048_576)
    track[Track.STORAGE] = -(-s.groups[group, Group.STORAGE] // 1_048_576)
    track[Track.GPU] = s.groups[group, Group.GPU]
    track[Track.DECIDED_AT] = -1
    g[E.ORDERS_OPEN] += 1
    if s.orders[order, Order.OSEQ] == 1:
        g[E.ORDERS_CREATED] += 1
    else:
        g[E.RELISTED] += 1
    if plan >= 0:
        push(e, height + g[E.BID_WINDOW], Phase.ACCEPT, tie_of(e, Kind.DECIDE, order), Kind.DECIDE, order)
        limit = s.globals[G.ORDER_TIMEOUT]
        if limit > 0 and limit <= g[E.BID_WINDOW]:
            push(e, height + limit, Phase.TIMEOUT, tie_of(e, Kind.ORDER_TIMEOUT, order), Kind.ORDER_TIMEOUT, order)
    quote_order(s, e, height, order)


@compiled
def sync_order(s: State, e: Engine, height: int, order: int) -> None:
    """Bring the agents' view of one order up to what the chain says."""
    track = e.tracks[order]
    state = s.orders[order, Order.STATE]
    if track[Track.CPU] == 0:
        if state == OrderState.OPEN:
            open_track(s, e, height, order)
        return
    if state != OrderState.CLOSED or track[Track.CHOOSING] == 3:
        return
    track[Track.CHOOSING] = 3
    if track[Track.DECIDED_AT] < 0:
        track[Track.DECIDED_AT] = height
    lease = s.orders[order, Order.LEASE]
    if lease < 0:
        e.globals[E.ORDERS_OPEN] -= 1
    if track[Track.FIRST_OFFER] >= 0:
        let_all_go(e, height, order, 0)
    if track[Track.HELD_BY] >= 0:
        vacate(e, height, order)
    if lease >= 0:
        track[Track.ENDED] = ended_by(s, lease, track[Track.END_TAG])


@compiled
def ended_by(s: State, lease: int, tag: int) -> int:
    """Return the Ended that a closed lease's reason means; `tag` tells a planned end from a termination."""
    reason = s.leases[lease, Lease.REASON]
    if reason == Reason.INSUFFICIENT_FUNDS:
        return Ended.INSUFFICIENT_FUNDS + 0
    if reason >= Reason.UNSTABLE and reason < Reason.INSUFFICIENT_FUNDS:
        return Ended.PROVIDER_CLOSED + 0
    # virtengine closes overdrawn leases as the owner's: the account tells
    if s.accounts[s.leases[lease, Lease.ACCOUNT], Account.STATE] == AccountState.OVERDRAWN:
        return Ended.INSUFFICIENT_FUNDS + 0
    if tag == 0:
        return Ended.TENANT_TERMINATED + 0
    return tag


@compiled
def sync_account(s: State, e: Engine, account: int) -> None:
    """Keep an account's due height, its end of grace and its place among the living in step with the chain."""
    watch = e.accounts[account]
    due = s.accounts[account, Account.DUE_AT]
    if due != watch[Watch.DUE]:
        watch[Watch.DUE] = due
        if due >= 0 and due <= e.globals[E.HORIZON]:
            push(e, due, Phase.DEPLETE, tie_of(e, Kind.DUE, account), Kind.DUE, account)
    grace = s.accounts[account, Account.GRACE_AT]
    if grace != watch[Watch.GRACE]:
        watch[Watch.GRACE] = grace
        if grace >= 0:
            push(e, grace, Phase.GRACE, tie_of(e, Kind.GRACE, account), Kind.GRACE, account)
            plan_rescue(s, e, account)
    living = s.accounts[account, Account.OPEN] + s.accounts[account, Account.SHORT] > 0
    at = watch[Watch.ALIVE]
    if living and at < 0:
        watch[Watch.ALIVE] = e.globals[E.ALIVE]
        e.alive[e.globals[E.ALIVE]] = account
        e.globals[E.ALIVE] += 1
    elif not living and at >= 0:
        last = e.globals[E.ALIVE] - 1
        e.globals[E.ALIVE] = last
        other = e.alive[last]
        e.alive[at] = other
        e.accounts[other, Watch.ALIVE] = at
        watch[Watch.ALIVE] = -1


@compiled
def sync_deployment(s: State, e: Engine, height: int, deployment: int) -> None:
    """Bring the agents' view of a deployment, its orders and its account up to what the chain says."""
    first = s.deployments[deployment, Deployment.FIRST_GROUP]
    for group in range(first, first + s.deployments[deployment, Deployment.GROUPS]):
        order = s.groups[group, Group.LAST_ORDER]
        previous = s.orders[order, Order.PREVIOUS]
        if previous >= 0:
            sync_order(s, e, height, previous)
        sync_order(s, e, height, order)
    sync_account(s, e, s.deployments[deployment, Deployment.ACCOUNT])


@compiled
def delay_of(e: Engine, plan: int) -> int:
    """Return the delay of a plan's next top-up in blocks; the third draw serves every later one."""
    used = e.plans[plan, Plan.TOP_UPS_USED]
    if used == 0:
        return e.plans[plan, Plan.TOP_UP_DELAY]  # type: ignore[no-any-return]
    if used == 1:
        return e.plans[plan, Plan.TOP_UP_DELAY_2]  # type: ignore[no-any-return]
    return e.plans[plan, Plan.TOP_UP_DELAY_3]  # type: ignore[no-any-return]


@compiled
def plan_rescue(s: State, e: Engine, account: int) -> None:
    """Date the top-up of a tenant whose leases have just run out of funds, if the plan holds one."""
    plan = e.plan_of[s.accounts[account, Account.TARGET]]
    if plan < 0 or e.plans[plan, Plan.TOP_UP] != TopUp.AFTER_DEPLETION or e.plans[plan, Plan.TOP_UP_LEFT] <= 0:
        return
    at = s.globals[G.HEIGHT] + max(1, delay_of(e, plan))
    e.accounts[account, Watch.TOP_UP] = at
    push(e, at, Phase.TOP_UP, tie_of(e, Kind.TOP_UP, account), Kind.TOP_UP, account)


@compiled
def plan_top_up(s: State, e: Engine, height: int, account: int) -> None:
    """Date the next look of a tenant who adds funds while some blocks are left."""
    plan = e.plan_of[s.accounts[account, Account.TARGET]]
    if plan < 0 or e.plans[plan, Plan.TOP_UP] != TopUp.BEFORE or e.plans[plan, Plan.TOP_UP_LEFT] <= 0:
        return
    if s.accounts[account, Account.OPEN] == 0:
        return
    left = s.accounts[account, Account.SETTLED_AT] + covered(s, account) - height
    at = height + max(1, left - e.plans[plan, Plan.TOP_UP_AT] + delay_of(e, plan))
    if at > e.globals[E.HORIZON]:
        return
    e.accounts[account, Watch.TOP_UP] = at
    push(e, at, Phase.TOP_UP, tie_of(e, Kind.TOP_UP, account), Kind.TOP_UP, account)


@compiled
def covered(s: State, account: int) -> int:
    """Return the blocks after its last settlement that an account's funds cover at the sum of its rates."""
    row = s.accounts[account]
    if row[Account.FUNDS] < 0:
        return 0
    if row[Account.RATES] == 0 and row[Account.RATES_ATTO] == 0:
        return FOREVER  # nothing is owed; blocks_covered divides by the rate
    return blocks_covered(row[Account.FUNDS], row[Account.FUNDS_ATTO], row[Account.RATES], row[Account.RATES_ATTO], FOREVER)


@compiled
def top_up(s: State, e: Engine, height: int, account: int) -> None:
    """Add funds as the plan says, when they are still needed."""
    deployment = s.accounts[account, Account.TARGET]
    plan = e.plan_of[deployment]
    if e.accounts[account, Watch.TOP_UP] != height or s.accounts[account, Account.STATE] == AccountState.CLOSED:
        return
    e.accounts[account, Watch.TOP_UP] = -1
    if e.plans[plan, Plan.TOP_UP] == TopUp.BEFORE:
        settle_cadence(s, height, account)
        left = s.accounts[account, Account.SETTLED_AT] + covered(s, account) - height
        if s.accounts[account, Account.OPEN] + s.accounts[account, Account.SHORT] == 0:
            return
        if s.accounts[account, Account.SHORT] == 0 and left > e.plans[plan, Plan.TOP_UP_AT] - delay_of(e, plan):
            sync_account(s, e, account)
            plan_top_up(s, e, height, account)
            return
    elif s.accounts[account, Account.SHORT] == 0:
        return
    e.plans[plan, Plan.TOP_UP_LEFT] -= 1
    e.plans[plan, Plan.TOP_UPS_USED] += 1
    owner = e.plans[plan, Plan.TENANT]
    if not can_afford(s, owner, Kind.TOP_UP, 0, e.plans[plan, Plan.TOP_UP_AMOUNT]):
        return
    status = market.account_deposit(s, height, Scope.DEPLOYMENT, deployment, owner, e.plans[plan, Plan.TOP_UP_AMOUNT], 1)
    charge(s, owner, Kind.TOP_UP, status != Status.Ok, 0)
    sync_deployment(s, e, height, deployment)
    if status == Status.Ok:
        if s.accounts[account, Account.SHORT] > 0:
            plan_rescue(s, e, account)
        else:
            plan_top_up(s, e, height, account)


@compiled
def is_choosable(s: State, e: Engine, offer: int) -> bool:
    """Return whether a placed offer can still be taken: its desk has the room that it showed."""
    if e.globals[E.RESERVE_AT_BID] == 1:
        return True
    row = e.offers[offer]
    if has_nodes(e, row[Offer.DESK]) and lacks_nodes(s, e, row[Offer.DESK], row[Offer.ORDER]):
        return False
    return has_room(e.desks[row[Offer.DESK]], e.tracks[row[Offer.ORDER]])


@compiled
def score_of(e: Engine, plan: int, offer: int, cheapest: int) -> float:
    """Return the weighted score of an offer: cheapness, uptime, audited, right region; higher is better."""
    row = e.offers[offer]
    low = e.offers[cheapest]
    weights = e.plans[plan]
    desk = e.desks[row[Offer.DESK]]
    price = row[Offer.PRICE] + row[Offer.PRICE_ATTO] / 1e18
    best = low[Offer.PRICE] + low[Offer.PRICE_ATTO] / 1e18
    return (  # type: ignore[no-any-return]
        weights[Plan.WEIGHT_PRICE] * (best / price)
        + weights[Plan.WEIGHT_UPTIME] * (desk[Desk.UPTIME_PPM] / 1e6)
        + weights[Plan.WEIGHT_AUDIT] * (1.0 if desk[Desk.AUDITED] == 1 else 0.0)
        + weights[Plan.WEIGHT_REGION] * (1.0 if desk[Desk.REGION] == weights[Plan.REGION] else 0.0)
    )


@compiled
def choose(s: State, e: Engine, order: int) -> int:
    """Return the offer that the tenant's plan picks among those that stand, -1 for none."""
    track = e.tracks[order]
    plan = track[Track.PLAN]
    choice = e.plans[plan, Plan.CHOICE]
    best = track[Track.BEST]
    if choice == Choice.LOWEST_PRICE and best >= 0 and is_choosable(s, e, best):
        return int(best)
    best = -1
    offer = track[Track.FIRST_OFFER]
    while offer >= 0:
        if (best < 0 or is_before(e, offer, best)) and is_choosable(s, e, offer):
            best = offer
        offer = e.offers[offer, Offer.NEXT]
    if best < 0 or choice == Choice.LOWEST_PRICE:
        return int(best)
    if choice == Choice.SCORE:
        cheapest = best
        top = -1.0
        offer = track[Track.FIRST_OFFER]
        while offer >= 0:
            if is_choosable(s, e, offer):
                score = score_of(e, plan, offer, cheapest)
                if score > top or (score == top and is_before(e, offer, best)):
                    top = score
                    best = offer
            offer = e.offers[offer, Offer.NEXT]
        return int(best)
    # random among the k cheapest: pick the n-th by counting those before it
    nth = hash64(e.globals[E.SEED], SALT_CHOICE, order, 0) % max(1, min(e.plans[plan, Plan.CHOICE_K], track[Track.OFFERS]))
    offer = track[Track.FIRST_OFFER]
    while offer >= 0:
        if is_choosable(s, e, offer):
            before = 0
            other = track[Track.FIRST_OFFER]
            while other >= 0:
                if other != offer and is_choosable(s, e, other) and is_before(e, other, offer):
                    before += 1
                other = e.offers[other, Offer.NEXT]
            if before == nth:
                return int(offer)
        offer = e.offers[offer, Offer.NEXT]
    return int(best)


@compiled
def watch_bid_timeouts(s: State, e: Engine, height: int, order: int) -> None:
    """Date the timeouts of an order's placed offers, once its window has passed without a lease."""
    offer = e.tracks[order, Track.FIRST_OFFER]
    while offer >= 0:
        timeout = e.desks[e.offers[offer, Offer.DESK], Desk.BID_TIMEOUT]
        if timeout > e.globals[E.BID_WINDOW]:
            at = max(height + 1, s.bids[e.offers[offer, Offer.BID], Bid.CREATED_AT] + timeout)
            push(e, at, Phase.BID_TIMEOUT, tie_of(e, Kind.BID_TIMEOUT, offer), Kind.BID_TIMEOUT, offer)
        offer = e.offers[offer, Offer.NEXT]


@compiled
def decide(s: State, e: Engine, height: int, order: int) -> None:
    """Make the tenant's choice at the end of the bid window, or let it take the first acceptable bid from now on."""
    track = e.tracks[order]
    if s.orders[order, Order.STATE] != OrderState.OPEN or track[Track.CHOOSING] == 3:
        return
    plan = track[Track.PLAN]
    if track[Track.CHOOSING] == 0:
        limit = s.globals[G.ORDER_TIMEOUT]
        created = s.orders[order, Order.CREATED_AT]
        if e.plans[plan, Plan.NEVER] == 0:
            offer = choose(s, e, order)
            if offer >= 0 and accept(s, e, height, order, offer):
                return
        if limit > 0:
            push(
                e,
                max(height + 1, created + limit),
                Phase.TIMEOUT,
                tie_of(e, Kind.ORDER_TIMEOUT, order),
                Kind.ORDER_TIMEOUT,
                order,
            )
        elif e.plans[plan, Plan.PATIENCE] > 0:
            at = max(height + 1, created + e.plans[plan, Plan.PATIENCE])
            push(e, at, Phase.TIMEOUT, tie_of(e, Kind.PATIENCE, order), Kind.PATIENCE, order)
        track[Track.CHOOSING] = 1 + e.plans[plan, Plan.NEVER]
        watch_bid_timeouts(s, e, height, order)
        return
    if track[Track.CHOOSING] == 1:
        offer = choose(s, e, order)
        if offer >= 0:
            accept(s, e, height, order, offer)


@compiled
def accept(s: State, e: Engine, height: int, order: int, offer: int) -> bool:
    """Send CreateLease for an offer and, when the chain takes it, set everything that follows from it in motion."""
    g = e.globals
    track = e.tracks[order]
    desk_row = e.offers[offer, Offer.DESK]
    plan = track[Track.PLAN]
    tenant = e.plans[plan, Plan.TENANT]
    if not can_afford(s, tenant, Kind.DECIDE, track[Track.OFFERS] - 1, 0):
        return False
    status = market.create_lease(s, height, e.offers[offer, Offer.BID])
    charge(s, tenant, Kind.DECIDE, status != Status.Ok, track[Track.OFFERS] - 1)
    if status != Status.Ok:
        return False
    price = e.offers[offer, Offer.PRICE]
    price_atto = e.offers[offer, Offer.PRICE_ATTO]
    lease = s.orders[order, Order.LEASE]
    if s.globals[G.QUIRKS] != 0:
        chase_bids(s, e, height, order, offer)
    e.desks[desk_row, Desk.WON] += 1
    e.desks[desk_row, Desk.LOST] -= 1
    if has_nodes(e, desk_row):
        lease_nodes(s, e, desk_row, order, offer)
    let_all_go(e, height, order, 1)
    occupy(e, height, desk_row, order)
    track[Track.CHOOSING] = 2
    track[Track.DECIDED_AT] = height
    g[E.ORDERS_OPEN] -= 1
    if s.orders[order, Order.OSEQ] == 1:
        g[E.ORDERS_LEASED] += 1
    nano = (price * NANO + price_atto // NANO) // track[Track.CPU]
    g[E.LAST_WON] = nano // NANO
    g[E.LAST_WON_NANO] = nano % NANO
    start_meter(s, e, lease, plan, desk_row, order)
    delay = e.plans[plan, Plan.DEPLOY_DELAY]
    if s.globals[G.RULES] == Rules.SEED:
        if delay <= 0:
            market.activate_lease(s, height, lease)
        elif delay > g[E.MANIFEST_BLOCKS]:
            push(e, height + g[E.MANIFEST_BLOCKS], Phase.CLOSE, tie_of(e, Kind.MANIFEST, lease), Kind.MANIFEST, lease)
        else:
            push(e, height + delay, Phase.ACTIVATE, tie_of(e, Kind.ACTIVATE, lease), Kind.ACTIVATE, lease)
    schedule_end(s, e, height, lease, plan, desk_row)
    every = e.desks[desk_row, Desk.WITHDRAW_EVERY]
    if s.globals[G.RULES] != Rules.SEED:
        if every > 0:
            push(e, height + every, Phase.SETTLE, tie_of(e, Kind.WITHDRAW, lease), Kind.WITHDRAW, lease)
        if g[E.FUNDS_MONITOR] > 0:
            push(e, height + 1, Phase.SETTLE, tie_of(e, Kind.WATCH, lease), Kind.WATCH, lease)
    account = s.leases[lease, Lease.ACCOUNT]
    sync_account(s, e, account)
    if e.accounts[account, Watch.TOP_UP] < 0:
        plan_top_up(s, e, height, account)
    return True


@compiled
def chase_bids(s: State, e: Engine, height: int, order: int, winner: int) -> None:
    """Let losing desks close the bids that the chain left open (quirk losing_bids_stay): a CloseBid each in the next block."""
    other = e.tracks[order, Track.FIRST_OFFER]
    while other >= 0:
        bid = e.offers[other, Offer.BID]
        if other != winner and is_bid_open(s, bid, order):
            push(e, height + 1, Phase.BID_TIMEOUT, tie_of(e, Kind.CLOSE_BID, bid), Kind.CLOSE_BID, bid)
        other = e.offers[other, Offer.NEXT]


@compiled
def is_bid_open(s: State, bid: int, order: int) -> bool:
    """Return whether row `bid` is still an open bid on `order` (rows of ended bids are used again)."""
    return bool(s.bids[bid, Bid.ORDER] == order and s.bids[bid, Bid.STATE] == BidState.OPEN)


@compiled
def start_meter(s: State, e: Engine, lease: int, plan: int, desk_row: int, order: int) -> None:
    """Give a metered lease its reservation, the desk's unit prices as weights, and the plan's utilization."""
    usage = s.leases[lease, Lease.USAGE]
    if usage < 0:
        return
    row = s.usage[usage]
    desk = e.desks[desk_row]
    track = e.tracks[order]
    row[Usage.RESERVED_CPU] = track[Track.CPU]
    row[Usage.RESERVED_MEMORY] = track[Track.MEMORY]
    row[Usage.RESERVED_STORAGE] = track[Track.STORAGE]
    row[Usage.RESERVED_GPU] = track[Track.GPU]
    for k in range(8):
        row[Usage.UNIT_CPU + k] = desk[Desk.LIST_CPU + k]
    row[Usage.UTILIZATION_PPM] = e.plans[plan, Plan.UTILIZATION_PPM]


@compiled
def schedule_end(s: State, e: Engine, height: int, lease: int, plan: int, desk_row: int) -> None:
    """Date the first of a lease's planned end, the tenant's termination and the provider's leaving; ties in that order.

    The first two count from the deployment's first lease, so a workload that is listed again ends when it was meant to. The draw of
    the provider's leaving is the plan's for the first lease, a stateless one for every later.
    """
    row = e.plans[plan]
    if row[Plan.FIRST_LEASE] == 0:
        row[Plan.FIRST_LEASE] = height
    since = height - row[Plan.FIRST_LEASE]
    kind = Kind.PLANNED_END + 0
    blocks = row[Plan.DURATION] - since
    if row[Plan.TERMINATE] >= 0 and row[Plan.TERMINATE] < row[Plan.DURATION]:
        kind = Kind.TERMINATE + 0
        blocks = row[Plan.TERMINATE] - since
    leave = row[Plan.LEAVE_BLOCKS]
    if leave < 0 and e.desks[desk_row, Desk.LEAVE_BLOCKS] > 0:
        ppm = row[Plan.LEAVE_PPM]
        order = s.leases[lease, Lease.ORDER]
        if s.orders[order, Order.OSEQ] > 1:
            ppm = exponential_ppm(hash64(e.globals[E.SEED], SALT_LEAVE, order, desk_row))
        leave = 1 + ppm * e.desks[desk_row, Desk.LEAVE_BLOCKS] // 1_000_000
    if leave >= 0 and leave < blocks:
        kind = Kind.LEAVE + 0
        blocks = leave
    at = height + max(1, blocks)
    if at <= e.globals[E.HORIZON]:
        push(e, at, Phase.CLOSE, tie_of(e, kind, lease), kind, lease)


@compiled
def exponential_ppm(draw: int) -> int:
    """Return an exponential of mean 1 x 10^6 made of 52 random bits."""
    return int(-math.log((draw % TWO_52 + 0.5) / TWO_52) * 1e6)


@compiled
def finish(s: State, e: Engine, height: int, lease: int, tag: int) -> None:
    """Close a lease's deployment because it is complete or the tenant ends it.

    What a tenant clears away that ran out of funds, with no more on the way, did not complete: it counts as insufficient funds.
    """
    if s.leases[lease, Lease.STATE] == LeaseState.CLOSED:
        return
    order = s.leases[lease, Lease.ORDER]
    deployment = s.orders[order, Order.DEPLOYMENT]
    if s.deployments[deployment, Deployment.STATE] != DeploymentState.ACTIVE:
        return
    reached = tag + 0
    if e.globals[E.DRY_ENDS_COUNT] == 1 and s.leases[lease, Lease.STATE] == LeaseState.INSUFFICIENT_FUNDS:
        if e.accounts[s.leases[lease, Lease.ACCOUNT], Watch.TOP_UP] < height:
            reached = Ended.INSUFFICIENT_FUNDS + 0
    e.tracks[order, Track.END_TAG] = reached
    end_deployment_by_tenant(s, e, height, deployment)


@compiled
def end_deployment_by_tenant(s: State, e: Engine, height: int, deployment: int) -> None:
    """Send CloseDeployment and follow what it ends."""
    owner = s.deployments[deployment, Deployment.OWNER]
    account = s.deployments[deployment, Deployment.ACCOUNT]
    ends = min(1, s.accounts[account, Account.OPEN] + s.accounts[account, Account.SHORT])
    if not can_afford(s, owner, Kind.CLOSE_DEPLOYMENT, ends, 0):
        return
    status = close_deployment(s, height, deployment)
    charge(s, owner, Kind.CLOSE_DEPLOYMENT, status != Status.Ok, ends)
    if status == Status.Ok:
        sync_deployment(s, e, height, deployment)


@compiled
def leave(s: State, e: Engine, height: int, lease: int, reason: int) -> None:
    """Close a lease from the provider's side; the tenant then starts again or takes its funds back.

    A lease with a reclamation window gets its notice first and ends at the deadline (akash).
    """
    state = s.leases[lease, Lease.STATE]
    order = s.leases[lease, Lease.ORDER]
    deployment = s.orders[order, Order.DEPLOYMENT]
    if s.orders[order, Order.STATE] == OrderState.CLOSED or state == LeaseState.CLOSED or s.leases[lease, Lease.BID] < 0:
        return
    if not can_afford(s, s.leases[lease, Lease.PROVIDER], Kind.LEAVE, 1, 0):
        return
    window = s.leases[lease, Lease.WINDOW]
    if window > 0 and state == LeaseState.ACTIVE:
        status = market.start_reclaim(s, height, lease, reason)
        charge(s, s.leases[lease, Lease.PROVIDER], Kind.START_GROUP, status != Status.Ok, 0)
        at = height - (-(window * 1000) // e.globals[E.BLOCK_MS])
        if status == Status.Ok and at <= e.globals[E.HORIZON]:
            push(e, at, Phase.CLOSE, tie_of(e, Kind.LEAVE, lease), Kind.LEAVE, lease)
        return
    status = market.close_bid(s, height, s.leases[lease, Lease.BID], reason)
    charge(s, s.leases[lease, Lease.PROVIDER], Kind.LEAVE, status != Status.Ok, 1)
    if status != Status.Ok:
        return
    sync_deployment(s, e, height, deployment)
    plan = e.plan_of[deployment]
    if plan < 0 or s.deployments[deployment, Deployment.STATE] != DeploymentState.ACTIVE:
        return
    group = s.orders[order, Order.GROUP]
    if e.plans[plan, Plan.RESTART_LEFT] > 0:
        e.plans[plan, Plan.RESTART_LEFT] -= 1
        at = height + max(1, e.plans[plan, Plan.RESTART_DELAY])
        push(e, at, Phase.ARRIVE, tie_of(e, Kind.START_GROUP, group), Kind.START_GROUP, group)
    else:
        push(
            e,
            height + 1,
            Phase.CLOSE,
            tie_of(e, Kind.CLOSE_DEPLOYMENT, deployment),
            Kind.CLOSE_DEPLOYMENT,
            deployment,
        )


@compiled
def restart(s: State, e: Engine, height: int, group: int) -> None:
    """Send StartGroup for a paused group: the order is listed again."""
    deployment = s.groups[group, Group.DEPLOYMENT]
    if s.groups[group, Group.STATE] != GroupState.PAUSED:
        return
    if s.deployments[deployment, Deployment.STATE] != DeploymentState.ACTIVE:
        return
    if not can_afford(s, s.deployments[deployment, Deployment.OWNER], Kind.START_GROUP, 0, 0):
        return
    status = start_group(s, height, group)
    charge(s, s.deployments[deployment, Deployment.OWNER], Kind.START_GROUP, status != Status.Ok, 0)
    if status == Status.Ok:
        sync_deployment(s, e, height, deployment)


@compiled
def time_out_bid(s: State, e: Engine, height: int, offer: int) -> None:
    """Close a bid that got no answer in time, and let go of what it held."""
    row = e.offers[offer]
    order = row[Offer.ORDER]
    if order < 0 or row[Offer.BID] < 0:
        return
    desk = e.desks[row[Offer.DESK]]
    if height < s.bids[row[Offer.BID], Bid.CREATED_AT] + desk[Desk.BID_TIMEOUT]:
        return
    if not can_afford(s, desk[Desk.WALLET], Kind.LEAVE, 0, 0):
        return
    status = market.close_bid(s, height, row[Offer.BID], Reason.UNSPECIFIED)
    charge(s, desk[Desk.WALLET], Kind.LEAVE, status != Status.Ok, 0)
    if status != Status.Ok:
        return
    desk[Desk.CLOSED] += 1
    track = e.tracks[order]
    track[Track.OFFERS] -= 1
    track[Track.BEST] = -1
    following = row[Offer.NEXT]
    if track[Track.FIRST_OFFER] == offer:
        track[Track.FIRST_OFFER] = following
    else:
        before = track[Track.FIRST_OFFER]
        while e.offers[before, Offer.NEXT] != offer:
            before = e.offers[before, Offer.NEXT]
        e.offers[before, Offer.NEXT] = following
    let_go(e, height, offer)
