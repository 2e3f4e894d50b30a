"""Execute every block in which something is due, in canonical order, up to a height."""

from __future__ import annotations

from marketsim.chain import due_work, registry
from marketsim.chain import leasing as market
from marketsim.chain.columns import (
    BidState,
    DeploymentState,
    EventKind,
    LeaseState,
    OrderState,
    PaymentState,
    Reason,
    Rules,
    Scope,
)
from marketsim.chain.deployments import create_deployment
from marketsim.chain.event_room import events_of
from marketsim.chain.events import emit, hash64
from marketsim.chain.ledger import AUDIT_FINE, audit_touched, is_recount_due
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.intrinsics import prefetch, prefetch_line, rarely
from marketsim.market.calendar import CHUNK_BITS, FIRST, KINDS, drop_first, open_chunk, push
from marketsim.market.desks import (
    find_next_bids,
    know_blockings,
    lacks_deposit,
    lease_key,
    place_offer,
    put_back,
    set_shut,
    take_offers,
    tie_of,
)
from marketsim.market.fees import can_afford, charge
from marketsim.market.quoting import account_use, prepare_desks, reprice, screen_desk
from marketsim.market.room import CALENDAR, INBOX, NOWHERE, RING_OF_BIDS, ask_room, asked_by_next, has_rows
from marketsim.market.tables import PHASES, Choosing, Desk, Ended, Engine, Kind, Phase, Sample
from marketsim.market.tenants import (
    awaits_choice,
    covered,
    date_due,
    decide,
    end_deployment_by_tenant,
    finish,
    leave,
    restart,
    sync_account,
    sync_deployment,
    time_out_bid,
    top_up,
)
from marketsim.market.trail import close_chunk
from marketsim.market.unpaid import leave_unpaid
from marketsim.money.pairs import is_less, times
from marketsim.money.units import PPM

DONE = 0
NEED_ROOM = 1
RECOUNT = 2
AUDIT_BROKEN = 3
ASK = 4
MESSAGE = 5
SEEN = 6
CHOOSE = 7
MISJUDGED = 8

ROOM_TO_ASK = 64
"""Places that must be left among the orders that wait for prices; with fewer they are priced before anything else happens."""
FOLD_CHUNK = 1_000
"""Accounts settled a call when all of them are."""
FOLD_AHEAD = 2
"""Accounts before its turn that one row of an account leads to the next."""
SALT_OUTAGE = 31
AHEAD = 2
"""How many messages before its turn the rows of an order are brought near."""
WARNING_MS = 86_400_000


@compiled_inline
def next_due(s: State, e: Engine, limit: int) -> tuple[int, int]:
    """Return the key (height x 16 + phase) of what is due first before the key `limit`, and where it waits: NOWHERE (the key is the limit
    then), CALENDAR, INBOX or RING_OF_BIDS.
    """
    x = e.globals
    while True:
        key = limit
        source = NOWHERE
        if x.calendar > 0 and e.calendar[FIRST].key < key:
            key = e.calendar[FIRST].key
            source = CALENDAR
        if x.inbox < x.inbox_end:
            other = e.inbox[x.inbox].key
            if other < key or (other == key and source == CALENDAR and comes_first(e, x.inbox)):
                key = other
                source = INBOX
        if x.next_bids * PHASES + Phase.BID < key:
            key = x.next_bids * PHASES + Phase.BID
            source = RING_OF_BIDS
        if (x.chunk + 1) << CHUNK_BITS > key >> 4 or x.chunk + 1 >= e.chunks.shape[0]:
            return key, source
        open_chunk(e)
        bring_near(s, e)


@compiled_inline
def lease_touched(s: State, e: Engine, at: int) -> int:
    """Return the lease that entry `at` of the heap will end or find without funds, -1 for an entry of another kind."""
    entry = e.calendar[at]
    row = entry.what // KINDS
    kind = entry.what % KINDS
    if kind == Kind.PLANNED_END or kind == Kind.TERMINATE or kind == Kind.LEAVE:
        return int(row)
    if kind == Kind.DUE and e.accounts[row].due == entry.key // PHASES:
        return int(s.accounts[row].first_lease)
    return -1


@compiled
def bring_near(s: State, e: Engine) -> None:
    """Have the rows brought near that entries of the heap will touch when leases end or run dry: most were last used when the lease began.

    Pass by pass, because each row says where the next ones are; within a pass the waits for memory overlap.
    """
    last = FIRST + e.globals.calendar
    for at in range(FIRST, last):
        entry = e.calendar[at]
        if entry.what % KINDS == Kind.DUE:
            prefetch(e.accounts, entry.what // KINDS)
            prefetch(s.accounts, entry.what // KINDS)
    for at in range(FIRST, last):
        lease = lease_touched(s, e, at)
        if lease >= 0:
            prefetch(s.leases, lease)
    for at in range(FIRST, last):
        lease = lease_touched(s, e, at)
        if lease >= 0:
            order, account = s.leases[lease].order, s.leases[lease].account
            prefetch(s.orders, order)
            prefetch(e.tracks, order)
            prefetch(s.accounts, account)
            prefetch(e.accounts, account)
    for at in range(FIRST, last):
        lease = lease_touched(s, e, at)
        if lease >= 0:
            order, account = s.leases[lease].order, s.leases[lease].account
            prefetch(s.groups, s.orders[order].group)
            prefetch(s.deployments, s.orders[order].deployment)
            prefetch(s.deposits, s.accounts[account].first_deposit)
            prefetch(e.plans, e.tracks[order].plan)


@compiled
def advance(s: State, e: Engine, until: int) -> int:
    """Execute everything due up to and including block `until`; empty blocks cost nothing.

    Returns DONE, or what the caller must do before it calls again: NEED_ROOM, a table must grow or the record be taken away; RECOUNT, a
    full recount is due; AUDIT_BROKEN, the audit after a block found E.audit_problem; ASK, the arrivals of a block are over and orders
    wait for prices from Python (`market/asking.py`); MESSAGE, the first message of the inbox is a user's agent's, for Python to carry out;
    SEEN, agents wait (E.watching) and in the block that is over now there was something to see; CHOOSE, a tenant's choice for the order of
    the first entry of the calendar is Python's to make; MISJUDGED, a compiled rule made no number of the bids for E.misjudged.
    """
    x = e.globals
    if rarely(x.prepared == 0):
        x.prepared = 1
        x.blockings = -1
        prepare_desks(e)
    while True:
        key, source = next_due(s, e, (until + 1) * PHASES)
        height = key // PHASES
        if rarely(x.asking > 0) and (key > x.asking_at * PHASES + Phase.ARRIVE or x.asking + ROOM_TO_ASK > e.asking.shape[0]):
            return ASK
        if rarely(x.watching == 1) and height > x.last_block:
            if s.globals.orders != x.watched_orders or x.heard != x.watched_heard:
                x.watched_orders = s.globals.orders
                x.watched_heard = x.heard
                x.executed = x.last_block
                return SEEN
        if rarely(height > x.trail_until):
            close_chunk(s, e, height)
        if rarely(x.audit == 1 and x.last_block > x.last_audit and (source == NOWHERE or height > x.last_block)):
            x.last_audit = x.last_block
            x.audited += 1
            x.audit_problem = audit_touched(s, e.audit_values, e.audit_held)
            if x.audit_problem != AUDIT_FINE:
                return AUDIT_BROKEN
            if is_recount_due(s):
                return RECOUNT
        if source == NOWHERE:
            x.executed = until
            return DONE
        orders, bids, entries, events = asked_by_next(s, e, source)
        if rarely(not has_rows(s, e, orders, bids, entries, events)):
            ask_room(e, orders, bids, entries, events)
            return NEED_ROOM
        if height > x.last_block:
            x.last_block = height
            s.globals.height = height
        if source == INBOX:
            at = x.inbox
            if rarely(e.inbox[at].kind == Kind.MESSAGE):
                return MESSAGE
            x.inbox = at + 1
            execute_call(s, e, height, at)
            continue
        if source == RING_OF_BIDS:
            if rarely(x.pay_first == 1):
                if fold_some(s, e, height):
                    x.pay_first = 0
                    x.all_paid_at = height
                continue
            place_bids(s, e, height)
            continue
        row = e.calendar[FIRST].what // KINDS
        kind = e.calendar[FIRST].what % KINDS
        if kind == Kind.SAMPLE or kind == Kind.WARM_UP:
            if not fold_some(s, e, height):
                continue
        if rarely(s.globals.network_fees == 1) and rarely(has_pay_to_leave(s, e, height, kind, row)):
            if fold_some(s, e, height):
                x.all_paid_at = height
            continue
        if rarely(x.own_choices == 1) and kind == Kind.DECIDE and awaits_choice(s, e, row):
            return CHOOSE
        drop_first(e)
        execute_entry(s, e, height, kind, row)
        if rarely(x.misjudged >= 0):
            return MISJUDGED


@compiled
def comes_first(e: Engine, call: int) -> bool:
    """Return whether an inbox message of the same block and phase goes before the first calendar entry."""
    return bool(e.inbox[call].time == 0 and e.inbox[call].tie < e.calendar[FIRST].tie)


@compiled
def execute_entry(s: State, e: Engine, height: int, kind: int, row: int) -> None:
    """Carry out one calendar entry; entries whose object has moved on since they were made do nothing."""
    if kind == Kind.DECIDE:
        decide(s, e, height, row)
    elif kind == Kind.ACTIVATE:
        activate(s, e, height, row)
    elif kind == Kind.PLANNED_END:
        finish(s, e, height, row, Ended.LEASE_COMPLETED)
    elif kind == Kind.TERMINATE:
        finish(s, e, height, row, Ended.TENANT_TERMINATED)
    elif kind == Kind.LEAVE:
        leave(s, e, height, row, Reason.UNSTABLE)
    elif kind == Kind.MANIFEST:
        if s.leases[row].active_at < 0 or s.globals.rules != Rules.SEED:  # there only a workload that failed has such an entry
            leave(s, e, height, row, Reason.MANIFEST_TIMEOUT)
    elif kind == Kind.ORDER_TIMEOUT:
        time_out_order(s, e, height, row)
    elif kind == Kind.PATIENCE:
        if s.orders[row].state == OrderState.OPEN:
            end_deployment_by_tenant(s, e, height, s.orders[row].deployment)
    elif kind == Kind.BID_TIMEOUT:
        time_out_bid(s, e, height, row)
    elif kind == Kind.GRACE:
        end_grace(s, e, height, row)
    elif kind == Kind.DUE:
        settle_due(s, e, height, row)
    elif kind == Kind.TOP_UP:
        top_up(s, e, height, row)
    elif kind == Kind.SAMPLE:
        # row 1 is the one at the horizon
        if e.globals.sampled != height:
            take_sample(s, e, height)
        if row == 0:
            push(e, height + e.globals.sample_every, Phase.LAST, 0, Kind.SAMPLE, 0)
    elif kind == Kind.REPRICE:
        reprice_desks(s, e, height, row)
    elif kind == Kind.WARM_UP:
        start_window(e, height)
    elif kind == Kind.WITHDRAW:
        withdraw(s, e, height, row, True)
    elif kind == Kind.WATCH:
        watch_funds(s, e, height, row)
    elif kind == Kind.START_GROUP:
        restart(s, e, height, row)
    elif kind == Kind.CLOSE_DEPLOYMENT:
        if s.deployments[row].state == DeploymentState.ACTIVE:
            end_deployment_by_tenant(s, e, height, row)
    elif kind == Kind.CLOSE_BID:
        close_left_bid(s, height, row)


@compiled
def execute_call(s: State, e: Engine, height: int, at: int) -> None:
    """Carry out one message of the inbox."""
    call = e.inbox[at]
    kind = call.kind
    if kind == Kind.ARRIVE:
        arrive(s, e, height, at)
    elif kind == Kind.OUTAGE:
        set_outage(s, e, height, call.desk, call.begins, call.share_ppm, 0)
    elif kind == Kind.BLOCK:
        set_blocked(s, height, call.desk, call.begins)
    elif kind == Kind.SETTLE:
        force_settlement(s, e, height, call.account)
    elif kind == Kind.SET_PARAM:
        s.globals[call.param] = call.value
        emit(s, EventKind.PARAMS_CHANGED, call.param, 0, call.value, 0, 0)
    elif kind == Kind.DEPOSIT:
        account = call.account
        market.account_deposit(s, height, Scope.DEPLOYMENT, s.accounts[account].target, call.wallet, call.amount, 1)
        sync_deployment(s, e, height, s.accounts[account].target)
    elif kind == Kind.CLOSE_DEPLOYMENT:
        if s.deployments[call.deployment].state == DeploymentState.ACTIVE:
            end_deployment_by_tenant(s, e, height, call.deployment)


@compiled
def set_blocked(s: State, height: int, slot: int, blocked: int) -> None:
    """Block or unblock a provider by governance."""
    if blocked == 1:
        registry.block_provider(s, height, 1, slot)
    else:
        registry.unblock_provider(s, height, 1, slot)


@compiled_inline
def bring_next(s: State, e: Engine, at: int) -> None:
    """Have the rows brought near that the order after next will read and fill; `at` is the message of this one."""
    call = e.inbox[at]
    prefetch(s.drafts, call.first_draft + AHEAD)
    prefetch(s.resources, s.drafts[call.first_draft].first_resource + AHEAD)
    if at + AHEAD < e.globals.inbox_end:
        prefetch(e.plans, e.inbox[at + AHEAD].plan)
    g = s.globals
    prefetch(s.deployments, g.deployments + AHEAD)
    prefetch(s.groups, g.groups + AHEAD)
    prefetch(s.orders, g.orders + AHEAD)
    prefetch(s.accounts, g.accounts + AHEAD)
    prefetch(s.deposits, g.deposits + AHEAD)
    prefetch(s.leases, g.leases + AHEAD)
    prefetch(e.tracks, g.orders + AHEAD)
    prefetch(e.accounts, g.accounts + AHEAD)


@compiled
def arrive(s: State, e: Engine, height: int, at: int) -> None:
    """Send a tenant's CreateDeployment and follow its orders."""
    call = e.inbox[at]
    bring_next(s, e, at)
    plan = call.plan
    planned = e.plans[plan]
    owner = planned.tenant
    if not can_afford(s, owner, Kind.ARRIVE, 0, call.deposit):
        planned.deployment = -1
        emit(s, EventKind.MESSAGE_REFUSED, owner, Status.InsufficientFunds, Kind.ARRIVE, 0, 0)
        return
    deployment = s.globals.deployments
    dseq = free_dseq(s, owner, call.dseq)
    status = create_deployment(s, height, owner, dseq, -1, call.deposit, 1, 0, call.window, call.first_draft, call.drafts)
    charge(s, owner, Kind.ARRIVE, status != Status.Ok, 0)
    if rarely(status != Status.Ok):
        planned.deployment = -1
        emit(s, EventKind.MESSAGE_REFUSED, owner, status, Kind.ARRIVE, 0, 0)
        return
    s.wallets[owner].dseq = dseq
    e.plan_of[deployment] = plan
    planned.deployment = deployment
    account = s.deployments[deployment].account
    for column in range(e.accounts.shape[1]):
        e.accounts[account, column] = -1
    sync_deployment(s, e, height, deployment)


@compiled
def free_dseq(s: State, owner: int, wanted: int) -> int:
    """Return the first sequence number from `wanted` on that no deployment of the owner has."""
    dseq = max(wanted, s.wallets[owner].dseq + 1)
    other = s.wallets[owner].by_hand - 1
    while other >= 0:  # what messages by hand made, few and in no order
        if s.deployments[other].dseq == dseq:
            dseq += 1
            other = s.wallets[owner].by_hand - 1
        else:
            other = s.deployments[other].by_hand - 1
    return int(dseq)


@compiled
def place_bids(s: State, e: Engine, height: int) -> None:
    """Submit the bids dated for this block; a tenant past its window looks at them in the next block.

    At a bid for which its provider has not the coins it stops, and goes on when what the provider has earned is paid to it (E.pay_first).
    """
    x = e.globals
    know_blockings(s, e)
    offer = take_offers(e, height)
    while offer >= 0:
        if rarely(has_pay_to_come(s, e, height, offer)):
            x.pay_first = 1
            put_back(e, height, offer)
            return
        x.dated -= 1
        order = e.offers[offer].order
        following = e.offers[offer].next
        if following >= 0:
            prefetch_line(e.desks, e.offers[following].desk)
        if place_offer(s, e, height, offer) and rarely(e.tracks[order].choosing == Choosing.FIRST_BID):
            push(e, height + 1, Phase.ACCEPT, tie_of(e, Kind.DECIDE, e.tracks[order].key), Kind.DECIDE, order)
        offer = following
    find_next_bids(e, height)


@compiled_inline
def has_pay_to_come(s: State, e: Engine, height: int, offer: int) -> bool:
    """Return whether a bid's provider lacks the coins for it and serves leases whose settlements up to this block nobody has looked at."""
    desk_row = e.offers[offer].desk
    return bool(lacks_deposit(s, e.desks[desk_row].wallet) and is_paid_late(s, e, height, desk_row))


@compiled
def has_pay_to_leave(s: State, e: Engine, height: int, kind: int, row: int) -> bool:
    """Return whether an entry has a provider close a bid or a lease, for whose fee it lacks the coins until it is paid for its leases."""
    if kind == Kind.LEAVE or kind == Kind.MANIFEST:
        desk_row, closes_lease = s.leases[row].slot, 1
    elif kind == Kind.CLOSE_BID:
        desk_row, closes_lease = s.bids[row].slot, 0
    elif kind == Kind.BID_TIMEOUT and e.offers[row].order >= 0:
        desk_row, closes_lease = e.offers[row].desk, 0
    else:
        return False
    return bool(not can_afford(s, e.desks[desk_row].wallet, Kind.LEAVE, closes_lease, 0) and is_paid_late(s, e, height, desk_row))


@compiled
def is_paid_late(s: State, e: Engine, height: int, desk_row: int) -> bool:
    """Return whether a provider serves leases whose settlements up to this block nobody has looked at."""
    return bool(s.globals.rules == Rules.SEED and e.globals.all_paid_at != height and s.providers[desk_row].active_leases > 0)


@compiled
def activate(s: State, e: Engine, height: int, lease: int) -> None:
    """Turn a matched order active: the workload runs."""
    p = s.leases[lease]
    if p.state == LeaseState.CLOSED or p.active_at >= 0:
        return
    if rarely(e.desks[p.slot].failing == 1):
        at = max(height + 1, p.created_at + e.globals.manifest_blocks)
        push(e, at, Phase.CLOSE, tie_of(e, Kind.MANIFEST, lease_key(s, e, lease)), Kind.MANIFEST, lease)
        return
    market.activate_lease(s, height, lease)


@compiled
def time_out_order(s: State, e: Engine, height: int, order: int) -> None:
    """Close an order that found no lease in time."""
    if s.orders[order].state != OrderState.OPEN:
        return
    deployment = s.orders[order].deployment
    if market.timeout_order(s, height, order) == Status.Ok:
        sync_deployment(s, e, height, deployment)


@compiled
def settle_due(s: State, e: Engine, height: int, account: int) -> None:
    """Settle an account at the first block that it may be unable to pay, unless that has moved."""
    watch = e.accounts[account]
    if watch.dated == height:
        watch.dated = -1
    if watch.due != height:
        date_due(s, e, account)
        return
    watch.due = -1
    due_work.settle_due(s, height, account)
    sync_deployment(s, e, height, s.accounts[account].target)
    leave_unpaid(s, e, height, account)


@compiled
def end_grace(s: State, e: Engine, height: int, account: int) -> None:
    """End the leases that stayed out of funds for the whole grace."""
    if s.accounts[account].grace_at != height:
        return
    due_work.end_of_grace(s, height, account)
    sync_deployment(s, e, height, s.accounts[account].target)


@compiled
def force_settlement(s: State, e: Engine, height: int, account: int) -> None:
    """Settle an account by governance."""
    due_work.settle_escrow(s, height, 1, account)
    sync_deployment(s, e, height, s.accounts[account].target)


@compiled
def withdraw(s: State, e: Engine, height: int, lease: int, again: bool) -> None:
    """Withdraw what a lease has earned, on chains that settle when touched, and date the next withdrawal.

    A provider that is cut off from the chain, or does not withdraw, sends nothing and tries again at its next time.
    """
    p = s.leases[lease]
    if p.payment != PaymentState.OPEN:
        return
    if not (rarely(e.desks[p.slot].cut == 1) or rarely(e.desks[p.slot].withheld == 1)):
        wallet = p.provider
        deployment = s.orders[p.order].deployment
        status = Status.InsufficientFunds
        if can_afford(s, wallet, Kind.WITHDRAW, 0, 0):
            status = market.withdraw(s, height, lease)
            charge(s, wallet, Kind.WITHDRAW, status != Status.Ok, 0)
        sync_deployment(s, e, height, deployment)
        leave_unpaid(s, e, height, p.account)
    if again and p.payment == PaymentState.OPEN:
        at = height + e.desks[p.slot].withdraw_every
        push(e, at, Phase.SETTLE, tie_of(e, Kind.WITHDRAW, lease_key(s, e, lease)), Kind.WITHDRAW, lease)


@compiled
def watch_funds(s: State, e: Engine, height: int, lease: int) -> None:
    """Look at the funds behind a lease as the provider daemon does, and withdraw when none are left (protocol reference 4.1)."""
    p = s.leases[lease]
    if p.payment != PaymentState.OPEN:
        return
    account = p.account
    every = e.globals.funds_monitor
    left = s.accounts[account].settled_at + covered(s, account) - height
    if left <= 0:
        withdraw(s, e, height, lease, False)
        left = every
    if p.payment == PaymentState.OPEN:
        at = height + max(1, min(left, every))
        if left > every and s.deployments[s.accounts[account].target].groups == 1:
            # With one payment the funds can only come to last longer: the looks until the last one before they are gone see nothing.
            at = height + max(1, (min(left, e.globals.horizon) - 1) // every) * every
        push(e, at, Phase.SETTLE, tie_of(e, Kind.WATCH, lease_key(s, e, lease)), Kind.WATCH, lease)


@compiled
def close_left_bid(s: State, height: int, bid: int) -> None:
    """Close a losing bid that the chain left open."""
    b = s.bids[bid]
    if b.state != BidState.OPEN or s.orders[b.order].state == OrderState.OPEN:
        return
    wallet = b.provider
    if not can_afford(s, wallet, Kind.LEAVE, 0, 0):
        return
    status = market.close_bid(s, height, bid, Reason.UNSPECIFIED)
    charge(s, wallet, Kind.LEAVE, status != Status.Ok, 0)


@compiled
def reprice_desks(s: State, e: Engine, height: int, every: int) -> None:
    """Let the desks that reprice every `every` blocks move their prices by their use."""
    for desk_row in range(e.globals.providers):
        desk = e.desks[desk_row]
        if desk.reprice_every == every and reprice(desk) == 1:
            screen_desk(e, desk_row)
            emit(s, EventKind.REPRICED, desk_row, 0, desk.multiplier_ppm, 0, 0)
    push(e, height + every, Phase.REPRICE, every, Kind.REPRICE, every)


@compiled
def start_window(e: Engine, height: int) -> None:
    """Begin the measured window: uses of capacity are summed from here."""
    for desk_row in range(e.globals.providers):
        account_use(e, desk_row, height)
        for k in range(5):
            e.desks[desk_row, Desk.base_submitted + k] = e.desks[desk_row, Desk.submitted + k]


@compiled
def set_outage(s: State, e: Engine, height: int, desk_row: int, down: int, share_ppm: int, held: int) -> None:
    """Take a provider down or up again; going down it closes a share of its leases.

    `held` 1: a fault does; 0: an outage that came by itself. It is up again when neither has it down.
    """
    desk = e.desks[desk_row]
    if held == 1:
        desk.held = down
    else:
        desk.out = down
    up = 1 - max(desk.out, desk.held)
    if up != desk.up:
        desk.up = up
        set_shut(s, e, desk_row)
        emit(s, EventKind.OUTAGE, desk_row, down, share_ppm, 0, 0)
    if down == 1 and share_ppm > 0:
        close_share(s, e, height, desk_row, share_ppm)


@compiled
def close_share(s: State, e: Engine, height: int, desk_row: int, share_ppm: int) -> None:
    """Let a provider leave a share of its active leases, drawn by a stateless hash, in this block."""
    x = e.globals
    for at in range(x.alive - 1, -1, -1):
        if at >= x.alive:
            continue
        lease = s.accounts[e.alive[at]].first_lease
        while lease >= 0:
            p = s.leases[lease]
            after = p.next
            if p.slot == desk_row and p.state == LeaseState.ACTIVE:
                if hash64(x.seed, SALT_OUTAGE, lease_key(s, e, lease), height) % PPM < share_ppm:
                    push(e, height, Phase.CLOSE, tie_of(e, Kind.LEAVE, lease_key(s, e, lease)), Kind.LEAVE, lease)
            lease = after


@compiled_inline
def bring_account(s: State, e: Engine, at: int) -> None:
    """Have the rows brought near that settling the living accounts behind place `at` will touch.

    An account says where its lease is, a lease where its meter is.
    """
    last = e.globals.alive - 1
    far = e.alive[min(at + 3 * FOLD_AHEAD, last)]
    prefetch(s.accounts, far)
    prefetch(e.accounts, far)
    account = s.accounts[e.alive[min(at + 2 * FOLD_AHEAD, last)]]
    prefetch(s.leases, account.first_lease)
    prefetch(s.deposits, account.first_deposit)
    near = s.accounts[e.alive[min(at + FOLD_AHEAD, last)]]
    prefetch(s.usage, s.leases[near.first_lease].usage)


@compiled
def fold_some(s: State, e: Engine, height: int) -> bool:
    """Settle the next living accounts up to the end of this block, a chunk a call; return whether all are done.

    Where events have no room for one more account, it is asked for.
    """
    x = e.globals
    last = min(x.alive, x.fold_cursor + FOLD_CHUNK)
    if s.globals.rules == Rules.SEED:
        for at in range(x.fold_cursor, last):
            bring_account(s, e, at)
            account = e.alive[at]
            events = events_of(s, s.accounts[account].target)
            if rarely(s.globals.events + events > s.events.shape[0]):
                ask_room(e, 0, 0, 0, events)
                last = at
                break
            due_work.settle_cadence(s, height, account)
            sync_account(s, e, account)
    x.fold_cursor = last
    if last < x.alive:
        return False
    x.fold_cursor = 0
    return True


@compiled
def take_sample(s: State, e: Engine, height: int) -> None:
    """Write one row of the time series."""
    x = e.globals
    row = e.samples[x.samples]
    x.samples += 1
    x.sampled = height
    row.height = height
    active = 0
    short = 0
    warnings = 0
    day = WARNING_MS // x.block_ms
    for at in range(x.alive):
        account = s.accounts[e.alive[at]]
        active += account.open
        short += account.short
        if account.open > 0:
            blocks = height + day - account.settled_at
            need, need_atto = times(account.rates, account.rates_atto, blocks)
            if is_less(account.funds, account.funds_atto, need, need_atto):
                warnings += 1
    row.active = active
    row.short = short
    row.warnings = warnings
    row.open_orders = x.orders_open
    for k in range(4):
        total = 0
        for desk_row in range(x.providers):
            total += e.desks[desk_row, Desk.leased_cpu + k]
        row[Sample.cpu + k] = total
    row.paid = s.globals.paid
    row.created = x.orders_created
    row.leased = x.orders_leased
    row.submitted = x.bids_submitted
    row.held = s.globals.held
