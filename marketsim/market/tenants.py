"""What the tenants' standing instructions do in a block: choose a bid, end a lease, add funds, start again."""

from __future__ import annotations

import math

from marketsim.chain import leasing as market
from marketsim.chain.columns import (
    AccountState,
    BidState,
    ClosedForm,
    DeploymentState,
    GroupState,
    LeaseState,
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
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.intrinsics import rarely, score_at
from marketsim.market.calendar import push
from marketsim.market.desks import (
    account_key,
    hear,
    hear_choice,
    hear_end,
    is_before,
    lease_key,
    let_all_go,
    let_go,
    occupy,
    quote_order,
    tie_of,
    vacate,
)
from marketsim.market.fees import can_afford, charge
from marketsim.market.packing import has_nodes, lacks_nodes, lease_nodes
from marketsim.market.quoting import has_room
from marketsim.market.tables import BidChoice, Choosing, Desk, Ended, Engine, Kind, OutcomeKind, Phase, TopUpTime, Track
from marketsim.money.pairs import blocks_covered
from marketsim.money.units import ATTO, MIB, NANO, PPM, SECOND_MS

SALT_CHOICE = 21
SALT_LEAVE = 22
SALT_ORDER = 23
TWO_52 = 1 << 52
TRY_AGAIN = 10
"""Blocks after which a provider that is cut off from the chain tries once more to close a bid or a lease."""
FOREVER = 10**18
"""Blocks that nothing lasts, the most that `blocks_covered` counts to."""


@compiled
def open_track(s: State, e: Engine, height: int, order: int) -> None:
    """Start to follow a new order: its size in the engines' units, its decision in the calendar, the desks' quotes."""
    x = e.globals
    o = s.orders[order]
    group = o.group
    plan = e.plan_of[o.deployment]
    track = e.tracks[order]
    track.plan = plan
    track.first_offer = -1
    track.best = -1
    track.held_by = -1
    asked = s.groups[group]
    track.cpu = asked.cpu
    track.memory = -(-asked.memory // MIB)
    track.storage = -(-asked.storage // MIB)
    track.gpu = asked.gpu
    track.decided_at = -1
    track.key = order_key(s, e, order, plan)
    x.orders_open += 1
    if o.oseq == 1:
        x.orders_created += 1
    if plan >= 0:
        push(e, height + x.bid_window, Phase.ACCEPT, tie_of(e, Kind.DECIDE, track.key), Kind.DECIDE, order)
        limit = s.globals.order_timeout
        if limit > 0 and limit <= x.bid_window:
            push(e, height + limit, Phase.TIMEOUT, tie_of(e, Kind.ORDER_TIMEOUT, track.key), Kind.ORDER_TIMEOUT, order)
    if rarely(x.asks != 0) and is_asked(e, asked.spec):
        x.asking_at = height
        e.asking[x.asking] = order
        x.asking += 1
        return
    quote_order(s, e, height, order)


@compiled
def is_asked(e: Engine, spec: int) -> bool:
    """Return whether an order waits for prices from Python; it also does behind one that waits, so that desks see orders in their order."""
    x = e.globals
    if x.asking >= e.asking.shape[0]:
        return False
    return bool(x.asks == 2 or x.asking > 0 or (spec < e.ask_specs.shape[0] and e.ask_specs[spec] == 1))


@compiled_inline
def is_followed(track: Track) -> bool:
    """Return whether `open_track` has begun to follow an order; no order is without cpu."""
    return bool(track.cpu > 0)


@compiled
def order_key(s: State, e: Engine, order: int, plan: int) -> int:
    """Return the key of an order: its plan's for the first of a deployment, hashed with its numbers for every other; of an order by hand
    its identity.
    """
    gseq, oseq = s.groups[s.orders[order].group].gseq, s.orders[order].oseq
    if plan < 0:
        return int(s.orders[order].id)
    if gseq == 1 and oseq == 1:
        return int(e.plans[plan].key)
    return hash64(e.plans[plan].key, SALT_ORDER, gseq, oseq)


@compiled
def sync_order(s: State, e: Engine, height: int, order: int) -> None:
    """Bring the agents' view of one order up to what the chain says."""
    track = e.tracks[order]
    state = s.orders[order].state
    if not is_followed(track):
        if state == OrderState.OPEN:
            open_track(s, e, height, order)
        return
    if state != OrderState.CLOSED or track.choosing == Choosing.CLOSED:
        return
    track.choosing = Choosing.CLOSED
    if track.decided_at < 0:
        track.decided_at = height
    lease = s.orders[order].lease
    if lease < 0:
        e.globals.orders_open -= 1
    if lease >= 0:
        track.ended = ended_by(s, lease, track.end_tag)
    if rarely(e.globals.hears == 1):
        hear_choice(e, height, order, -1, 0, 0)
        if lease >= 0:
            hear_end(s, e, height, order, lease, track.ended)
    if track.first_offer >= 0:
        let_all_go(e, height, order, 0)
    if track.held_by >= 0:
        vacate(e, height, order)


@compiled
def ended_by(s: State, lease: int, tag: int) -> int:
    """Return the Ended that a closed lease's reason means; `tag` tells a planned end from a termination."""
    reason = s.leases[lease].reason
    if reason == Reason.INSUFFICIENT_FUNDS:
        return Ended.INSUFFICIENT_FUNDS
    if reason >= Reason.UNSTABLE and reason < Reason.INSUFFICIENT_FUNDS:
        return Ended.PROVIDER_CLOSED
    # virtengine closes overdrawn leases as the owner's: the account tells
    if s.accounts[s.leases[lease].account].state == AccountState.OVERDRAWN:
        return Ended.INSUFFICIENT_FUNDS
    if tag == 0:
        return Ended.TENANT_TERMINATED
    return tag


@compiled
def date_due(s: State, e: Engine, account: int) -> None:
    """Enter an account's due height into the calendar, unless an earlier entry will look at it again: settlements put it off many times."""
    watch = e.accounts[account]
    if watch.due >= 0 and watch.due <= e.globals.horizon and (watch.dated < 0 or watch.due < watch.dated):
        watch.dated = watch.due
        push(e, watch.due, Phase.DEPLETE, tie_of(e, Kind.DUE, account_key(s, e, account)), Kind.DUE, account)


@compiled
def sync_account(s: State, e: Engine, account: int) -> None:
    """Keep an account's due height, its end of grace and its place among the living in step with the chain."""
    watch = e.accounts[account]
    a = s.accounts[account]
    due = a.due_at
    x = e.globals
    if due != watch.due:
        watch.due = due
        date_due(s, e, account)
    grace = a.grace_at
    if grace != watch.grace:
        watch.grace = grace
        if grace >= 0:
            push(e, grace, Phase.GRACE, tie_of(e, Kind.GRACE, account_key(s, e, account)), Kind.GRACE, account)
            plan_rescue(s, e, account)
    living = a.open + a.short > 0
    at = watch.alive
    if living and at < 0:
        watch.alive = x.alive
        e.alive[x.alive] = account
        x.alive += 1
    elif not living and at >= 0:
        last = x.alive - 1
        x.alive = last
        other = e.alive[last]
        e.alive[at] = other
        e.accounts[other].alive = at
        watch.alive = -1


@compiled
def sync_deployment(s: State, e: Engine, height: int, deployment: int) -> None:
    """Bring the agents' view of a deployment, its orders and its account up to what the chain says."""
    deployed = s.deployments[deployment]
    first = deployed.first_group
    for group in range(first, first + deployed.groups):
        order = s.groups[group].last_order
        previous = s.orders[order].previous
        if previous >= 0:
            sync_order(s, e, height, previous)
        sync_order(s, e, height, order)
    sync_account(s, e, deployed.account)


@compiled
def delay_of(e: Engine, plan: int) -> int:
    """Return the delay of a plan's next top-up in blocks; the third draw serves every later one."""
    planned = e.plans[plan]
    used = planned.top_ups_used
    if used == 0:
        return planned.top_up_delay
    if used == 1:
        return planned.top_up_delay_2
    return planned.top_up_delay_3


@compiled
def plan_rescue(s: State, e: Engine, account: int) -> None:
    """Date the top-up of a tenant whose leases have just run out of funds, if the plan holds one."""
    plan = e.plan_of[s.accounts[account].target]
    if plan < 0 or e.plans[plan].top_up != TopUpTime.AFTER_DEPLETION or e.plans[plan].top_up_left <= 0:
        return
    at = s.globals.height + max(1, delay_of(e, plan))
    if at >= s.accounts[account].grace_at:
        return  # the account closes first
    e.accounts[account].top_up = at
    push(e, at, Phase.TOP_UP, tie_of(e, Kind.TOP_UP, account_key(s, e, account)), Kind.TOP_UP, account)


@compiled
def plan_top_up(s: State, e: Engine, height: int, account: int) -> None:
    """Date the next look of a tenant who adds funds while some blocks are left."""
    a = s.accounts[account]
    plan = e.plan_of[a.target]
    if plan < 0:
        return
    planned = e.plans[plan]
    if planned.top_up != TopUpTime.BEFORE or planned.top_up_left <= 0 or a.open == 0:
        return
    left = a.settled_at + covered(s, account) - height
    at = height + max(1, left - planned.top_up_at + delay_of(e, plan))
    if at > e.globals.horizon:
        return
    e.accounts[account].top_up = at
    push(e, at, Phase.TOP_UP, tie_of(e, Kind.TOP_UP, account_key(s, e, account)), Kind.TOP_UP, account)


@compiled
def covered(s: State, account: int) -> int:
    """Return the blocks after its last settlement that an account's funds cover at the sum of its rates."""
    row = s.accounts[account]
    if row.funds < 0:
        return 0
    if row.rates == 0 and row.rates_atto == 0:
        return FOREVER  # nothing is owed; blocks_covered divides by the rate
    return blocks_covered(row.funds, row.funds_atto, row.rates, row.rates_atto, FOREVER)


@compiled
def top_up(s: State, e: Engine, height: int, account: int) -> None:
    """Add funds as the plan says, when they are still needed."""
    a = s.accounts[account]
    deployment = a.target
    plan = e.plan_of[deployment]
    if e.accounts[account].top_up != height or a.state == AccountState.CLOSED:
        return
    e.accounts[account].top_up = -1
    planned = e.plans[plan]
    if planned.top_up == TopUpTime.BEFORE:
        settle_cadence(s, height, account)
        left = a.settled_at + covered(s, account) - height
        if a.open + a.short == 0:
            return
        if a.short == 0 and left > planned.top_up_at - delay_of(e, plan):
            sync_account(s, e, account)
            plan_top_up(s, e, height, account)
            return
    elif a.short == 0:
        return
    planned.top_up_left -= 1
    planned.top_ups_used += 1
    owner = planned.tenant
    if not can_afford(s, owner, Kind.TOP_UP, 0, planned.top_up_amount):
        return
    status = market.account_deposit(s, height, Scope.DEPLOYMENT, deployment, owner, planned.top_up_amount, 1)
    charge(s, owner, Kind.TOP_UP, status != Status.Ok, 0)
    sync_deployment(s, e, height, deployment)
    if status == Status.Ok:
        if a.short > 0:
            plan_rescue(s, e, account)
        else:
            plan_top_up(s, e, height, account)


@compiled
def is_choosable(s: State, e: Engine, offer: int) -> bool:
    """Return whether a placed offer can still be taken: its desk has the room that it showed."""
    if e.globals.reserve_at_bid == 1:
        return True
    row = e.offers[offer]
    if has_nodes(e, row.desk) and lacks_nodes(s, e, row.desk, row.order):
        return False
    return has_room(e.desks[row.desk], e.tracks[row.order])


@compiled
def score_of(e: Engine, plan: int, offer: int, cheapest: int) -> float:
    """Return the weighted score of an offer: cheapness, uptime, audited, right region; higher is better."""
    row = e.offers[offer]
    low = e.offers[cheapest]
    weights = e.plans[plan]
    desk = e.desks[row.desk]
    price = row.price + row.price_atto / float(ATTO)
    best = low.price + low.price_atto / float(ATTO)
    return (
        weights.weight_price * (best / price)
        + weights.weight_uptime * (desk.uptime_ppm / float(PPM))
        + weights.weight_audit * (1.0 if desk.audited == 1 else 0.0)
        + weights.weight_region * (1.0 if desk.region == weights.region else 0.0)
    )


@compiled
def own_score_of(s: State, e: Engine, order: int, offer: int, cheapest: int) -> float:
    """Return what the rule of a user's own makes of an offer: higher is better, -inf is never taken, NaN is no answer."""
    row = e.offers[offer]
    low = e.offers[cheapest]
    planned = e.plans[e.tracks[order].plan]
    desk = e.desks[row.desk]
    asked = s.orders[order]
    return float(
        score_at(
            e.rules[planned.choice_k],
            row.price + row.price_atto / float(ATTO),
            low.price + low.price_atto / float(ATTO),
            asked.price + asked.price_atto / float(ATTO),
            planned.value + planned.value_atto / float(ATTO),
            desk.uptime_ppm / float(PPM),
            1.0 if desk.audited == 1 else 0.0,
            1.0 if desk.region == planned.region and planned.region >= 0 else 0.0,
            float(row.desk),
        )
    )


@compiled
def choose_by_rule(s: State, e: Engine, order: int, cheapest: int) -> int:
    """Return the offer that a rule of a user's own picks among those that stand, -1 for none."""
    x = e.globals
    if x.chosen_for == order:
        x.chosen_for = -1
        return int(x.chosen)
    if e.rules[e.plans[e.tracks[order].plan].choice_k] == 0:
        return -1  # Python was not asked: nothing stands that could be taken
    best = -1
    top = -math.inf
    offer = e.tracks[order].first_offer
    while offer >= 0:
        if is_choosable(s, e, offer):
            score = own_score_of(s, e, order, offer, cheapest)
            if math.isnan(score):
                x.misjudged = order
                return -1
            if score > top or (best >= 0 and score == top and is_before(e, offer, best)):
                top = score
                best = offer
        offer = e.offers[offer].next
    return int(best)


@compiled
def awaits_choice(s: State, e: Engine, order: int) -> bool:
    """Return whether the decision about an order waits for Python, for a rule of a user's own that is not compiled."""
    track = e.tracks[order]
    if e.globals.chosen_for == order or s.orders[order].state != OrderState.OPEN:
        return False
    if track.choosing != Choosing.WINDOW and track.choosing != Choosing.FIRST_BID:
        return False
    planned = e.plans[track.plan]
    if planned.choice != BidChoice.OWN or planned.never != 0 or e.rules[planned.choice_k] != 0:
        return False
    offer = track.first_offer
    while offer >= 0:
        if is_choosable(s, e, offer):
            return True
        offer = e.offers[offer].next
    return False


@compiled
def choose(s: State, e: Engine, order: int) -> int:
    """Return the offer that the tenant's plan picks among those that stand, -1 for none."""
    track = e.tracks[order]
    plan = track.plan
    choice = e.plans[plan].choice
    best = track.best
    if choice == BidChoice.LOWEST_PRICE and best >= 0 and is_choosable(s, e, best):
        return int(best)
    best = -1
    offer = track.first_offer
    while offer >= 0:
        if (best < 0 or is_before(e, offer, best)) and is_choosable(s, e, offer):
            best = offer
        offer = e.offers[offer].next
    if best < 0 or choice == BidChoice.LOWEST_PRICE:
        return int(best)
    if rarely(choice == BidChoice.OWN):
        return choose_by_rule(s, e, order, best)
    if choice == BidChoice.SCORE:
        cheapest = best
        top = score_of(e, plan, best, cheapest)
        offer = track.first_offer
        while offer >= 0:
            if is_choosable(s, e, offer):
                score = score_of(e, plan, offer, cheapest)
                if score > top or (score == top and is_before(e, offer, best)):
                    top = score
                    best = offer
            offer = e.offers[offer].next
        return int(best)
    # random among the k cheapest: pick the n-th by counting those before it
    nth = hash64(e.globals.seed, SALT_CHOICE, track.key, 0) % max(1, min(e.plans[plan].choice_k, track.offers))
    offer = track.first_offer
    while offer >= 0:
        if is_choosable(s, e, offer):
            before = 0
            other = track.first_offer
            while other >= 0:
                if other != offer and is_choosable(s, e, other) and is_before(e, other, offer):
                    before += 1
                other = e.offers[other].next
            if before == nth:
                return int(offer)
        offer = e.offers[offer].next
    return int(best)


@compiled
def watch_bid_timeouts(s: State, e: Engine, height: int, order: int) -> None:
    """Date the timeouts of an order's placed offers, once its window has passed without a lease."""
    offer = e.tracks[order].first_offer
    while offer >= 0:
        offered = e.offers[offer]
        timeout = e.desks[offered.desk].bid_timeout
        if timeout > e.globals.bid_window:
            at = max(height + 1, s.bids[offered.bid].created_at + timeout)
            push(e, at, Phase.BID_TIMEOUT, tie_of(e, Kind.BID_TIMEOUT, offered.tie), Kind.BID_TIMEOUT, offer)
        offer = offered.next


@compiled
def decide(s: State, e: Engine, height: int, order: int) -> None:
    """Make the tenant's choice at the end of the bid window, or let it take the first acceptable bid from now on."""
    track = e.tracks[order]
    if s.orders[order].state != OrderState.OPEN or track.choosing == Choosing.CLOSED:
        return
    plan = track.plan
    if track.choosing == Choosing.WINDOW:
        limit = s.globals.order_timeout
        created = s.orders[order].created_at
        planned = e.plans[plan]
        if planned.never == 0:
            offer = choose(s, e, order)
            if offer >= 0 and accept(s, e, height, order, offer):
                return
        if limit > 0:
            push(
                e,
                max(height + 1, created + limit),
                Phase.TIMEOUT,
                tie_of(e, Kind.ORDER_TIMEOUT, track.key),
                Kind.ORDER_TIMEOUT,
                order,
            )
        elif planned.patience > 0:
            at = max(height + 1, created + planned.patience)
            push(e, at, Phase.TIMEOUT, tie_of(e, Kind.PATIENCE, track.key), Kind.PATIENCE, order)
        track.choosing = Choosing.FIRST_BID if planned.never == 0 else Choosing.DECIDED
        watch_bid_timeouts(s, e, height, order)
        return
    if track.choosing == Choosing.FIRST_BID:
        offer = choose(s, e, order)
        if offer >= 0:
            accept(s, e, height, order, offer)


@compiled
def accept(s: State, e: Engine, height: int, order: int, offer: int) -> bool:
    """Send CreateLease for an offer; when the chain takes it, set everything that follows in motion."""
    track = e.tracks[order]
    tenant = e.plans[track.plan].tenant
    if not can_afford(s, tenant, Kind.DECIDE, track.offers - 1, 0):
        return False
    status = market.create_lease(s, height, e.offers[offer].bid)
    charge(s, tenant, Kind.DECIDE, status != Status.Ok, track.offers - 1)
    if status != Status.Ok:
        return False
    follow_lease(s, e, height, order, offer)
    return True


@compiled
def follow_lease(s: State, e: Engine, height: int, order: int, offer: int) -> None:
    """Set in motion what follows from an order's new lease: for all desks, the one that leases, and the tenant's plan if there is one.

    `offer` is the one whose bid was accepted, -1 for a bid made by hand.
    """
    x = e.globals
    g = s.globals
    track = e.tracks[order]
    plan = track.plan
    lease = s.orders[order].lease
    p = s.leases[lease]
    desk_row = p.slot
    if g.quirks != 0:
        chase_bids(s, e, height, order, offer)
    desk = e.desks[desk_row]
    desk.won += 1
    if offer >= 0:
        desk.lost -= 1  # let_all_go counts each of them as lost
    runs_engine = desk_row < x.providers
    if runs_engine and has_nodes(e, desk_row):
        lease_nodes(s, e, desk_row, order, offer)
    if rarely(x.hears == 1):
        hear_choice(e, height, order, p.bid, p.rate, p.rate_atto)
    let_all_go(e, height, order, 1)
    track.choosing = Choosing.DECIDED
    track.decided_at = height
    x.orders_open -= 1
    if s.orders[order].oseq == 1:
        x.orders_leased += 1
    nano = (p.rate * NANO + p.rate_atto // NANO) // track.cpu
    x.last_won = nano // NANO
    x.last_won_nano = nano % NANO
    if runs_engine:
        occupy(e, height, desk_row, order)
    if plan >= 0:
        start_meter(s, e, lease, plan, desk_row, order)
        delay = e.plans[plan].deploy_delay
        if rarely(desk.failing == 1):
            push(e, height + x.manifest_blocks, Phase.CLOSE, tie_of(e, Kind.MANIFEST, track.key), Kind.MANIFEST, lease)
        elif g.rules == Rules.SEED:
            if delay <= 0:
                market.activate_lease(s, height, lease)
            elif delay > x.manifest_blocks:
                push(e, height + x.manifest_blocks, Phase.CLOSE, tie_of(e, Kind.MANIFEST, track.key), Kind.MANIFEST, lease)
            else:
                push(e, height + delay, Phase.ACTIVATE, tie_of(e, Kind.ACTIVATE, track.key), Kind.ACTIVATE, lease)
        schedule_end(s, e, height, lease, plan, desk_row)
    if g.rules != Rules.SEED and runs_engine:
        every = desk.withdraw_every
        if every > 0:
            push(e, height + every, Phase.SETTLE, tie_of(e, Kind.WITHDRAW, track.key), Kind.WITHDRAW, lease)
        if x.funds_monitor > 0:
            push(e, height + 1, Phase.SETTLE, tie_of(e, Kind.WATCH, track.key), Kind.WATCH, lease)
    account = p.account
    sync_account(s, e, account)
    if e.accounts[account].top_up < 0:
        plan_top_up(s, e, height, account)


@compiled
def chase_bids(s: State, e: Engine, height: int, order: int, winner: int) -> None:
    """Let losing desks close the bids that the chain left open (quirk losing_bids_stay): a CloseBid each in the next block."""
    other = e.tracks[order].first_offer
    while other >= 0:
        bid = e.offers[other].bid
        if other != winner and is_bid_open(s, bid, order):
            push(e, height + 1, Phase.BID_TIMEOUT, tie_of(e, Kind.CLOSE_BID, e.offers[other].tie), Kind.CLOSE_BID, bid)
        other = e.offers[other].next


@compiled
def is_bid_open(s: State, bid: int, order: int) -> bool:
    """Return whether row `bid` is still an open bid on `order` (rows of ended bids are used again)."""
    return bool(s.bids[bid].order == order and s.bids[bid].state == BidState.OPEN)


@compiled
def start_meter(s: State, e: Engine, lease: int, plan: int, desk_row: int, order: int) -> None:
    """Give a metered lease its reservation, the desk's unit prices as weights, and the plan's utilization; where messages report the use
    it stays as the chain has made it. What a desk's meters leave out or read late is so from the start.
    """
    usage = s.leases[lease].usage
    desk = e.desks[desk_row]
    if usage < 0 or desk.usage_by_hand == 1:
        return
    row = s.usage[usage]
    track = e.tracks[order]
    row.reserved_cpu = track.cpu
    row.reserved_memory = track.memory
    row.reserved_storage = track.storage
    row.reserved_gpu = track.gpu
    for k in range(8):
        row[Usage.unit_cpu + k] = desk[Desk.list_cpu + k]
    row.utilization_ppm = e.plans[plan].utilization_ppm
    row.closed_form = ClosedForm.UNKNOWN
    if rarely(desk.unreported_ppm > 0):
        row.utilization_ppm = row.utilization_ppm * (PPM - desk.unreported_ppm) // PPM
    if rarely(desk.lag > 0):
        row.until = s.globals.height + max(0, e.plans[plan].deploy_delay) + desk.lag


@compiled
def schedule_end(s: State, e: Engine, height: int, lease: int, plan: int, desk_row: int) -> None:
    """Date the first of a lease's planned end, the tenant's termination and the provider's leaving; ties in that order.

    The first two count from the deployment's first lease, so a workload that is listed again ends when it was meant to. The draw of
    the provider's leaving is the plan's for the first lease, a stateless one for every later.
    """
    row = e.plans[plan]
    if row.first_lease == 0:
        row.first_lease = height
    since = height - row.first_lease
    kind = Kind.PLANNED_END
    blocks = row.duration - since
    if row.terminate >= 0 and row.terminate < row.duration:
        kind = Kind.TERMINATE
        blocks = row.terminate - since
    leave = row.leave_blocks
    if leave < 0 and e.desks[desk_row].leave_blocks > 0:
        ppm = row.leave_ppm
        order = s.leases[lease].order
        if s.orders[order].oseq > 1:
            ppm = exponential_ppm(hash64(e.globals.seed, SALT_LEAVE, e.tracks[order].key, e.desks[desk_row].key))
        leave = 1 + ppm * e.desks[desk_row].leave_blocks // PPM
    if leave >= 0 and leave < blocks:
        kind = Kind.LEAVE
        blocks = leave
    at = height + max(1, blocks)
    if at <= e.globals.horizon:
        push(e, at, Phase.CLOSE, tie_of(e, kind, lease_key(s, e, lease)), kind, lease)


@compiled
def exponential_ppm(draw: int) -> int:
    """Return an exponential of mean 1 x 10^6 made of 52 random bits."""
    return int(-math.log((draw % TWO_52 + 0.5) / TWO_52) * float(PPM))


@compiled
def is_top_up_on_its_way(s: State, e: Engine, height: int, account: int) -> bool:
    """Return whether a tenant's next top-up reaches its account: dated, and before the end of grace where that has begun."""
    at = e.accounts[account].top_up
    grace = s.accounts[account].grace_at
    return bool(at >= height and (grace < 0 or at < grace))


@compiled
def tag_end(s: State, e: Engine, deployment: int, tag: int) -> None:
    """Write what the end of a deployment means for each of its leases that is alive: what ended it ended all of them."""
    first = s.deployments[deployment].first_group
    for group in range(first, first + s.deployments[deployment].groups):
        order = s.groups[group].last_order
        if s.orders[order].state != OrderState.CLOSED:
            e.tracks[order].end_tag = tag


@compiled
def finish(s: State, e: Engine, height: int, lease: int, tag: int) -> None:
    """Close a lease's deployment because it is complete or the tenant ends it: every lease of it ends for that reason.

    What a tenant clears away that ran out of funds, with no more on the way, did not complete: it counts as insufficient funds.
    """
    p = s.leases[lease]
    if p.state == LeaseState.CLOSED:
        return
    order = p.order
    deployment = s.orders[order].deployment
    if s.deployments[deployment].state != DeploymentState.ACTIVE:
        return
    reached = tag
    if e.globals.dry_ends_count == 1 and p.state == LeaseState.INSUFFICIENT_FUNDS:
        if not is_top_up_on_its_way(s, e, height, p.account):
            reached = Ended.INSUFFICIENT_FUNDS
    tag_end(s, e, deployment, reached)
    end_deployment_by_tenant(s, e, height, deployment)


@compiled
def end_deployment_by_tenant(s: State, e: Engine, height: int, deployment: int) -> None:
    """Send CloseDeployment and follow what it ends."""
    owner = s.deployments[deployment].owner
    account = s.deployments[deployment].account
    ends = min(1, s.accounts[account].open + s.accounts[account].short)
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
    p = s.leases[lease]
    state = p.state
    order = p.order
    o = s.orders[order]
    deployment = o.deployment
    if o.state == OrderState.CLOSED or state == LeaseState.CLOSED or p.bid < 0:
        return
    if rarely(e.desks[p.slot].cut == 1):  # no message reaches the chain
        kind = Kind.MANIFEST if reason == Reason.MANIFEST_TIMEOUT else Kind.LEAVE
        push(e, height + TRY_AGAIN, Phase.CLOSE, tie_of(e, kind, lease_key(s, e, lease)), kind, lease)
        return
    if not can_afford(s, p.provider, Kind.LEAVE, 1, 0):
        return
    window = p.window
    if window > 0 and state == LeaseState.ACTIVE:
        status = market.start_reclaim(s, height, lease, reason)
        charge(s, p.provider, Kind.START_GROUP, status != Status.Ok, 0)
        at = height - (-(window * SECOND_MS) // e.globals.block_ms)
        if status == Status.Ok and at <= e.globals.horizon:
            push(e, at, Phase.CLOSE, tie_of(e, Kind.LEAVE, lease_key(s, e, lease)), Kind.LEAVE, lease)
        return
    status = market.close_bid(s, height, p.bid, reason)
    charge(s, p.provider, Kind.LEAVE, status != Status.Ok, 1)
    if status != Status.Ok:
        return
    sync_deployment(s, e, height, deployment)
    plan = e.plan_of[deployment]
    if plan < 0 or s.deployments[deployment].state != DeploymentState.ACTIVE:
        return
    group = o.group
    planned = e.plans[plan]
    if planned.restart_left > 0:
        planned.restart_left -= 1
        at = height + max(1, planned.restart_delay)
        push(e, at, Phase.ARRIVE, tie_of(e, Kind.START_GROUP, e.tracks[order].key), Kind.START_GROUP, group)
    else:
        tag_end(s, e, deployment, Ended.PROVIDER_CLOSED)
        push(
            e,
            height + 1,
            Phase.CLOSE,
            tie_of(e, Kind.CLOSE_DEPLOYMENT, e.tracks[order].key),
            Kind.CLOSE_DEPLOYMENT,
            deployment,
        )


@compiled
def restart(s: State, e: Engine, height: int, group: int) -> None:
    """Send StartGroup for a paused group: the order is listed again."""
    deployment = s.groups[group].deployment
    if s.groups[group].state != GroupState.PAUSED:
        return
    deployed = s.deployments[deployment]
    if deployed.state != DeploymentState.ACTIVE:
        return
    if not can_afford(s, deployed.owner, Kind.START_GROUP, 0, 0):
        return
    status = start_group(s, height, group)
    charge(s, deployed.owner, Kind.START_GROUP, status != Status.Ok, 0)
    if status == Status.Ok:
        sync_deployment(s, e, height, deployment)


@compiled
def time_out_bid(s: State, e: Engine, height: int, offer: int) -> None:
    """Close a bid that got no answer in time, and let go of what it held."""
    row = e.offers[offer]
    order = row.order
    if order < 0 or row.bid < 0:
        return
    desk = e.desks[row.desk]
    if height < s.bids[row.bid].created_at + desk.bid_timeout:
        return
    if rarely(desk.cut == 1):
        push(e, height + TRY_AGAIN, Phase.BID_TIMEOUT, tie_of(e, Kind.BID_TIMEOUT, row.tie), Kind.BID_TIMEOUT, offer)
        return
    if not can_afford(s, desk.wallet, Kind.LEAVE, 0, 0):
        return
    status = market.close_bid(s, height, row.bid, Reason.UNSPECIFIED)
    charge(s, desk.wallet, Kind.LEAVE, status != Status.Ok, 0)
    if status != Status.Ok:
        return
    withdraw_offer(e, height, offer)


@compiled
def withdraw_offer(e: Engine, height: int, offer: int) -> None:
    """Take an offer whose bid its desk has closed out of its order's list, and let go of what it held."""
    row = e.offers[offer]
    e.desks[row.desk].closed += 1
    if rarely(e.globals.hears == 1):
        hear(e, height, offer, OutcomeKind.CLOSED, 0, 0)
    track = e.tracks[row.order]
    track.offers -= 1
    track.best = -1
    following = row.next
    if track.first_offer == offer:
        track.first_offer = following
    else:
        before = track.first_offer
        while e.offers[before].next != offer:
            before = e.offers[before].next
        e.offers[before].next = following
    let_go(e, height, offer)
