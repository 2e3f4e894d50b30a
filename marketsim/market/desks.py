"""What the bid engines do in a block: quote a new order, place the bids that are due, let go of what they held."""

from __future__ import annotations

from marketsim.chain import leasing as market
from marketsim.chain.columns import OrderState, Rules
from marketsim.chain.events import hash64, leave_fact
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.intrinsics import add_eight, equal_eight, lowest_bit, rarely
from marketsim.market.calendar import push
from marketsim.market.fees import can_afford, charge
from marketsim.market.packing import free_nodes, has_nodes, lacks_nodes, pack
from marketsim.market.quoting import (
    ALONE,
    LOW_VALUE,
    OVER_CEILING,
    SILENT,
    account_use,
    has_room,
    hold,
    linear_price,
    note_bid_time,
    quoted_price,
    rate_limited,
    rows_screened,
    screen_desk,
    screen_desks,
)
from marketsim.market.tables import (
    DESK_SHIFT,
    FAR,
    LANES,
    LATENCY_BINS,
    ORDER_SHIFT,
    REFUSED,
    RING,
    Choosing,
    Decline,
    Desk,
    Engine,
    Kind,
    OutcomeKind,
    Phase,
    Pricing,
    Screen,
    Stage,
)
from marketsim.money.pairs import is_less, times
from marketsim.money.units import ATTO, MIB_A_GIB, NANO, PPM

SALT_TIE = 12
SALT_PRICE = 13
BLOCKS_A_WORD = 7
"""Rows of `screen` whose desks are bits of one number, which stays positive."""
RANDOM_LOW_A_GIB, RANDOM_HIGH_A_MIB = 50, 1024
"""Akash's random range goes from so many uve a GiB of memory to so many a MiB, and uses the lowest of RANDOM_PARTS parts of it."""
RANDOM_PARTS = 100
NO_QUOTE = -(1 << 62)
"""What `ask` returns for an order that the user's class was not asked about."""


@compiled_inline
def tie_of(e: Engine, kind: int, key: int) -> int:
    """Return what breaks ties of submission time: a stateless hash of what it is about, or nothing where ties go to the lower row."""
    if e.globals.tie_by_index == 1:
        return 0
    return hash64(e.globals.seed, SALT_TIE, kind, key)


@compiled_inline
def lease_key(s: State, e: Engine, lease: int) -> int:
    """Return the key of a lease: its order's."""
    return int(e.tracks[s.leases[lease].order].key)


@compiled_inline
def account_key(s: State, e: Engine, account: int) -> int:
    """Return the key of a deployment's account: that of its first group's order."""
    first = s.deployments[s.accounts[account].target].first_group
    return int(e.tracks[s.groups[first].last_order].key)


@compiled_inline
def decline(s: State, e: Engine, order: int, desk_row: int, code: int, stage: int) -> None:
    """Count one order that a desk did not bid on, and how far the order got."""
    number = code
    e.declined[number, desk_row] += 1
    if e.tracks[order].stage < stage:
        e.tracks[order].stage = stage
    if rarely(e.globals.keep_bid_rows == 1):
        keep_decline(s, e, order, desk_row, number)


@compiled
def keep_decline(s: State, e: Engine, order: int, desk_row: int, number: int) -> None:
    """Keep one order that a desk did not bid on, for the reason `number` (Decline)."""
    x = e.globals
    at = x.decline_rows
    g = s.globals
    if x.declined_at != g.height:
        x.declined_at = g.height
        e.decline_rows[at] = ~g.height
        at += 1
    e.decline_rows[at] = order << ORDER_SHIFT | desk_row << DESK_SHIFT | number
    x.decline_rows = at + 1


@compiled_inline
def append_offer(e: Engine, height: int, offer: int) -> None:
    """Date an offer for block `height`: last in that block's list, the block in the calendar once."""
    slot = height & (RING - 1)
    e.offers[offer].next = -1
    x = e.globals
    x.dated += 1
    if e.ring[slot, 0] < 0:
        e.ring[slot, 0] = offer
        x.next_bids = min(x.next_bids, height)
    else:
        e.offers[e.ring[slot, 1]].next = offer
    e.ring[slot, 1] = offer


@compiled_inline
def free_offer(e: Engine, offer: int) -> None:
    """Return an offer's row to the free list."""
    e.offers[offer].next = e.globals.free_offer
    e.offers[offer].order = -1
    e.globals.free_offer = offer


@compiled_inline
def new_offer(e: Engine) -> int:
    """Return a free row of offers; room is guaranteed by the block loop."""
    x = e.globals
    offer = x.free_offer
    if offer >= 0:
        x.free_offer = e.offers[offer].next
        return offer
    offer = x.offers
    x.offers = offer + 1
    return offer


@compiled
def set_shut(s: State, e: Engine, desk_row: int) -> None:
    """Write whether a desk may bid at all: its engine on and up, the chain within reach, its provider not blocked."""
    desk = e.desks[desk_row]
    shut = 0
    if desk.up == 0 or desk.enabled == 0:
        shut = 1 + Decline.ENGINE_DISABLED
    elif desk.cut == 1:
        shut = 1 + Decline.NOT_CONNECTED
    elif s.providers[desk_row].blocked == 1:
        shut = 1 + Decline.PROVIDER_BLOCKED
    desk.shut = shut
    if desk_row < e.globals.providers:
        screen_desk(e, desk_row)


@compiled
def know_blockings(s: State, e: Engine) -> None:
    """Bring the desks up to date when the chain has blocked or unblocked a provider since they looked."""
    if rarely(e.globals.blockings != s.globals.blockings):
        e.globals.blockings = s.globals.blockings
        for desk_row in range(e.desks.shape[0]):
            set_shut(s, e, desk_row)


@compiled
def quote_order(s: State, e: Engine, height: int, order: int) -> None:
    """Let every desk look at a new order: refuse it, or date a bid for the block its latency leads to.

    The checks go in the order of the protocol reference 4.5. Price, minimum value and ceiling are known when the order is seen; capacity,
    concurrency, rate limit and wallet are looked at in the bid's block (`place_offer`).
    """
    x = e.globals
    o = s.orders[order]
    group = o.group
    ceiling = o.price
    ceiling_atto = o.price_atto
    value, value_atto = times(ceiling, ceiling_atto, x.least_value_blocks)
    track = e.tracks[order]
    know_blockings(s, e)
    screen_desks(
        e,
        s.groups[group].spec,
        track.key,
        track.cpu,
        track.memory,
        track.storage,
        track.gpu,
        ceiling,
        ceiling_atto,
        value,
        value_atto,
    )
    stage = track.stage
    for first in range(0, x.providers, LANES * BLOCKS_A_WORD):
        every = (1 << min(LANES * BLOCKS_A_WORD, x.providers - first)) - 1
        bidding, priced = divide_desks(s, e, order, first, value, value_atto)
        others = every & ~(bidding | priced | silent_desks(e, first))
        bidding &= every
        while bidding != 0:
            desk_row = first + lowest_bit(bidding)
            bidding &= bidding - 1
            date_bid(e, height, order, desk_row)
        priced &= every
        while priced != 0:
            desk_row = first + lowest_bit(priced)
            priced &= priced - 1
            stage = max(stage, refuse_price(s, e, order, desk_row))
        while others != 0:
            desk_row = first + lowest_bit(others)
            code = e.screen[desk_row // LANES, Screen.FOUND * LANES + desk_row % LANES] - 1
            others ^= count_declined(e, first, code, others)
            if code == Decline.INSUFFICIENT_RESOURCES or code == Decline.ENGINE_DISABLED or code >= Decline.SCRIPT_FAILED:
                stage = max(stage, Stage.LIMITS)
            elif code == Decline.PRICE_TOO_HIGH:
                stage = max(stage, Stage.OVER_CEILING)
    track.stage = stage
    if rarely(x.keep_bid_rows == 1):
        for desk_row in range(x.providers):
            found = e.screen[desk_row // LANES, Screen.FOUND * LANES + desk_row % LANES]
            if found != 0 and found != SILENT:
                keep_decline(s, e, order, desk_row, found - 1)


@compiled
def silent_desks(e: Engine, first: int) -> int:
    """Return, of the desks from `first` on, those that agents bid for, a bit a desk: their engines look at no order."""
    silent = 0
    if e.globals.agents == 1:
        row = first // LANES
        for block in range(min(BLOCKS_A_WORD, rows_screened(e) - row)):
            silent |= equal_eight(e.screen[row + block], Screen.FOUND * LANES, SILENT) << (LANES * block)
    return silent


@compiled_inline
def count_declined(e: Engine, first: int, code: int, desks: int) -> int:
    """Count an order that those of `desks`, bit 0 the desk `first`, do not bid on of which `screen` says so for the reason `code`; return
    which these are.
    """
    row = first // LANES
    declined = e.declined[code]
    counted = 0
    for block in range(min(BLOCKS_A_WORD, rows_screened(e) - row)):
        found = equal_eight(e.screen[row + block], Screen.FOUND * LANES, 1 + code) & (desks >> (LANES * block))
        add_eight(declined, first + LANES * block, found)
        counted |= found << (LANES * block)
    return counted


@compiled_inline
def divide_desks(s: State, e: Engine, order: int, first: int, value: int, value_atto: int) -> tuple[int, int]:
    """Return, of the desks from `first` on, those that bid and those that the price keeps from it, a bit a desk.

    Bits beyond the last desk mean nothing. Going from bit to bit is what saves the processor from guessing at each desk which it is.
    """
    bidding, priced = 0, 0
    row = first // LANES
    for block in range(min(BLOCKS_A_WORD, rows_screened(e) - row)):
        screen = e.screen[row + block]
        if rarely(equal_eight(screen, Screen.FOUND * LANES, ALONE) != 0):
            ask_alone(s, e, order, row + block, value, value_atto)
        low, over = equal_eight(screen, Screen.FOUND * LANES, LOW_VALUE), equal_eight(screen, Screen.FOUND * LANES, OVER_CEILING)
        bidding |= equal_eight(screen, Screen.FOUND * LANES, 0) << (LANES * block)
        priced |= (low | over) << (LANES * block)
    return bidding, priced


@compiled_inline
def refuse_price(s: State, e: Engine, order: int, desk_row: int) -> int:
    """Count an order that a desk does not bid on for its price or its value; return how far it got (Stage).

    The reservation comes before the price: an engine without room never gets to it.
    """
    screen = e.screen[desk_row // LANES]
    column = Screen.FOUND * LANES + desk_row % LANES
    code, stage = Decline.PRICE_TOO_HIGH, Stage.OVER_CEILING
    if screen[column] == LOW_VALUE:
        code, stage = Decline.BELOW_MIN_ORDER_VALUE, Stage.BELOW_MIN_VALUE
    if not has_room(e.desks[desk_row], e.tracks[order]) or (rarely(has_nodes(e, desk_row)) and lacks_nodes(s, e, desk_row, order)):
        code, stage = Decline.INSUFFICIENT_RESOURCES, Stage.NO_CAPACITY
    screen[column] = 1 + code
    e.declined[code, desk_row] += 1
    return stage


@compiled
def ask_alone(s: State, e: Engine, order: int, block: int, value: int, value_atto: int) -> None:
    """Find what comes of those desks of a row of `screen` that are asked for their price one by one; no ALONE is left in it."""
    ceiling, ceiling_atto = s.orders[order].price, s.orders[order].price_atto
    screen = e.screen[block]
    for lane in range(min(LANES, e.globals.providers - LANES * block)):  # what follows the last desk is nobody's
        if screen[Screen.FOUND * LANES + lane] != ALONE:
            continue
        desk = e.desks[LANES * block + lane]
        price, atto = ask(s, e, order, LANES * block + lane)
        found = 0
        if price == NO_QUOTE:
            found = 1 + Decline.ENGINE_DISABLED
        elif price <= REFUSED:
            found = 1 + REFUSED - price
        elif price < 0:
            found = 1 + Decline.PRICE_TOO_HIGH
        elif is_less(value, value_atto, desk.min_value, desk.min_value_atto):
            found = LOW_VALUE
        elif is_less(ceiling, ceiling_atto, price, atto):
            found = OVER_CEILING
        screen[Screen.FOUND * LANES + lane] = found
        screen[Screen.PRICE * LANES + lane] = price
        screen[Screen.PRICE_ATTO * LANES + lane] = atto


@compiled_inline
def date_bid(e: Engine, height: int, order: int, desk_row: int) -> None:
    """Date a desk's bid, at the price found for it, for the block that its latency leads to."""
    x = e.globals
    screen = e.screen[desk_row // LANES]
    lane = desk_row % LANES
    delay = screen[Screen.DELAY * LANES + lane]
    at = height + 1 + delay
    time = at * x.block_ms
    tie = 0
    if delay < 0:
        time = height * x.block_ms + e.latencies[e.desks[desk_row].latency_profile, ~delay]
        at = max(height + 1, -(-time // x.block_ms))
        if at - height > RING - 2:
            at = height + RING - 2
        tie = hash64(x.seed, SALT_TIE, e.tracks[order].key, screen[Screen.KEY * LANES + lane])
    offer = new_offer(e)
    row_of = e.offers[offer]
    row_of.order = order
    row_of.desk = desk_row
    row_of.price = screen[Screen.PRICE * LANES + lane]
    row_of.price_atto = screen[Screen.PRICE_ATTO * LANES + lane]
    row_of.time = time
    row_of.tie = tie
    row_of.bid = -1
    append_offer(e, at, offer)


@compiled
def ask(s: State, e: Engine, order: int, desk_row: int) -> tuple[int, int]:
    """Return the price of one desk for an order, whatever its strategy; a negative one where it will not bid, NO_QUOTE where nobody asked
    the user's code. What comes from Python stands in the row QUOTE_ROW of quotes.
    """
    desk = e.desks[desk_row]
    track = e.tracks[order]
    strategy = desk.strategy
    row = e.globals.quote_row
    if strategy == Pricing.CUSTOM:
        if row < 0:
            return NO_QUOTE, 0
        return e.quotes[row, 2 * desk_row], e.quotes[row, 2 * desk_row + 1]
    if desk.quoted == 1 and row >= 0 and e.quotes[row, 2 * desk_row] >= 0:
        return quoted_price(desk, e.quotes[row, 2 * desk_row], e.quotes[row, 2 * desk_row + 1])
    cpu = track.cpu
    x = e.globals
    endpoints = 0
    if rarely(desk.endpoint + desk.endpoint_atto > 0):
        endpoints = endpoints_of(s, s.orders[order].group)
    price, atto = linear_price(desk, cpu, track.memory, track.storage, track.gpu, endpoints, x.price_floor)
    if strategy == Pricing.UNDERCUT and x.last_won >= 0:
        return undercut(e, desk_row, cpu, price, atto)
    if strategy == Pricing.RANDOM_RANGE:
        draw = hash64(x.seed, SALT_PRICE, track.key, desk.key)
        return random_range(track.memory, s.orders[order].price, draw)
    return price, atto


@compiled
def endpoints_of(s: State, group: int) -> int:
    """Return how many endpoints a group asks for: those of its resource units, whatever their counts."""
    found = 0
    first = s.groups[group].first_resource
    for resource in range(first, first + s.groups[group].resources):
        found += s.resources[resource].endpoints
    return int(found)


@compiled
def undercut(e: Engine, desk_row: int, cpu: int, price: int, atto: int) -> tuple[int, int]:
    """Return the last winning price per millicore, scaled to `cpu` and cut by UNDERCUT_PPM, but never below (price, atto)."""
    nano = (e.globals.last_won * NANO + e.globals.last_won_nano) * cpu
    nano = nano // PPM * (PPM - e.desks[desk_row].undercut_ppm)
    whole = nano // NANO
    small = (nano % NANO) * NANO
    if is_less(whole, small, price, atto):
        return price, atto
    return whole, small


@compiled
def random_range(memory: int, ceiling: int, draw: int) -> tuple[int, int]:
    """Return a uniform price of Akash's random-range strategy for `memory` MiB.

    It uses the lowest hundredth of its range (protocol reference 4.2); above the ceiling the caller drops it.
    """
    low = max(1, memory * RANDOM_LOW_A_GIB // MIB_A_GIB)
    high = max(1, min(memory * RANDOM_HIGH_A_MIB, ceiling))
    if low >= high:
        return low, 0
    k = draw % max(1, (high - low) * (PPM // RANDOM_PARTS))
    return low + k // PPM, (k % PPM) * (ATTO // PPM)


@compiled
def sort_batch(e: Engine, count: int) -> None:
    """Sort the first `count` offers of the batch by submission time, then tie (Shell's gaps; blocks hold few bids)."""
    batch = e.batch
    gap = count // 2
    while gap > 0:
        for i in range(gap, count):
            offer = batch[i]
            time = e.offers[offer].time
            tie = e.offers[offer].tie
            j = i
            while j >= gap:
                other = batch[j - gap]
                other_time = e.offers[other].time
                if other_time < time or (other_time == time and e.offers[other].tie <= tie):
                    break
                batch[j] = other
                j -= gap
            batch[j] = offer
        gap //= 2


@compiled_inline
def take_offers(e: Engine, height: int) -> int:
    """Return the first offer dated for `height`, linked to the others in canonical order; the caller counts them off E.dated."""
    slot = height & (RING - 1)
    first = e.ring[slot, 0]
    e.ring[slot, 0] = -1
    if e.globals.tie_by_index == 1:
        return int(first)  # they were dated order by order, desk by desk
    return sort_offers(e, first)


@compiled
def put_back(e: Engine, height: int, offer: int) -> None:
    """Let a list of offers that were taken for `height` wait there again; the caller has not counted them off."""
    slot = height & (RING - 1)
    e.ring[slot, 0] = offer
    while e.offers[offer].next >= 0:
        offer = e.offers[offer].next
    e.ring[slot, 1] = offer
    e.globals.next_bids = height


@compiled
def sort_offers(e: Engine, first: int) -> int:
    """Link a list of offers anew by submission time and tie; return its new first."""
    count = 0
    offer = first
    while offer >= 0:
        e.batch[count] = offer
        count += 1
        offer = e.offers[offer].next
    sort_batch(e, count)
    following = -1
    for at in range(count - 1, -1, -1):
        e.offers[e.batch[at]].next = following
        following = e.batch[at]
    return following


@compiled_inline
def find_next_bids(e: Engine, height: int) -> None:
    """Note the first block after `height` with offers dated for it."""
    at = FAR
    if e.globals.dated > 0:
        at = height + 1
        while e.ring[at & (RING - 1), 0] < 0:
            at += 1
    e.globals.next_bids = at


@compiled_inline
def is_before(e: Engine, a: int, b: int) -> bool:
    """Return whether offer `a` is the cheaper one; equal prices go by the tie rule."""
    one = e.offers[a]
    other = e.offers[b]
    if is_less(one.price, one.price_atto, other.price, other.price_atto):
        return True
    if is_less(other.price, other.price_atto, one.price, one.price_atto):
        return False
    if e.globals.tie_by_index == 1:
        return bool(one.desk < other.desk)
    return bool(one.tie < other.tie)


@compiled_inline
def lacks_deposit(s: State, wallet: int) -> bool:
    """Return whether a wallet cannot pay for a bid: its deposit, and its fee where there are fees."""
    deposit = s.globals.bid_min_deposit
    if deposit > 0 and s.wallets[wallet].balance < deposit:
        return True
    return not can_afford(s, wallet, Kind.BIDS, 0, deposit)


@compiled_inline
def place_offer(s: State, e: Engine, height: int, offer: int) -> bool:
    """Submit one dated bid after the checks that need the present; return whether the chain took it."""
    row = e.offers[offer]
    order = row.order
    desk_row = row.desk
    desk = e.desks[desk_row]
    track = e.tracks[order]
    x = e.globals
    code = -1
    stage = Stage.LIMITS
    shut = desk.shut
    o = s.orders[order]
    if rarely(shut == 1 + Decline.ENGINE_DISABLED):
        code = Decline.ENGINE_DISABLED
    elif rarely(shut == 1 + Decline.NOT_CONNECTED):
        code = Decline.NOT_CONNECTED  # it does not hear of the order's end either
    elif rarely(o.state != OrderState.OPEN):
        code = Decline.ORDER_NOT_OPEN
    elif rarely(shut != 0):
        code = shut - 1
    elif rarely(desk.slots_left <= 0):
        if desk.queued < x.queue_limit:
            row.next = -1
            if desk.queued == 0:
                desk.queue_head = offer
            else:
                e.offers[desk.queue_tail].next = offer
            desk.queue_tail = offer
            desk.queued += 1
            return False
        code = Decline.QUEUE_FULL
    elif rarely(desk.rated == 1 and rate_limited(e, desk_row, row.time)):
        code = Decline.RATE_LIMITED
    elif not has_room(desk, track) or (rarely(has_nodes(e, desk_row)) and lacks_nodes(s, e, desk_row, order)):
        code = Decline.INSUFFICIENT_RESOURCES
        stage = Stage.NO_CAPACITY
    elif lacks_deposit(s, desk.wallet):
        code = Decline.INSUFFICIENT_DEPOSIT
        stage = Stage.NO_DEPOSIT
    if code >= 0:
        decline(s, e, order, desk_row, code, stage)
        if rarely(desk.hears == 2):
            note_outcome(e, height, desk_row, order, OutcomeKind.DECLINED, row.price, row.price_atto, code, 0)
        free_offer(e, offer)
        return False
    if rarely(desk.rated == 1):
        note_bid_time(e, desk_row, row.time)
    desk.submitted += 1
    x.bids_submitted += 1
    latency = row.time - o.created_at * x.block_ms
    e.latency[min(latency, LATENCY_BINS - 1)] += 1
    window = 0
    if rarely(s.globals.rules == Rules.AKASH):
        window = desk.window
    status = market.create_bid(
        s,
        height,
        order,
        desk.wallet,
        desk_row,
        row.price,
        row.price_atto,
        s.globals.bid_min_deposit,
        1,
        0,
        0,
        window,
    )
    charge(s, desk.wallet, Kind.BIDS, status != Status.Ok, 0)
    if rarely(x.keep_bid_rows == 1):
        record = e.bid_rows[x.bids_rows]
        x.bids_rows += 1
        record.height = height
        record.order = order
        record.desk = desk_row
        record.price = row.price
        record.price_atto = row.price_atto
        record.latency = latency
        record.status = status
    leave_fact(s, o.id, s.providers[desk_row].id, latency, status)
    if rarely(status != Status.Ok):
        e.rejected[desk_row, status] += 1
        if rarely(desk.hears == 2):
            note_outcome(e, height, desk_row, order, OutcomeKind.REFUSED, row.price, row.price_atto, status, 0)
        free_offer(e, offer)
        return False
    desk.accepted += 1
    if rarely(desk.hears == 2):
        note_outcome(e, height, desk_row, order, OutcomeKind.PLACED, row.price, row.price_atto, 0, 0)
    row.bid = o.last_bid
    # where a bid went away the best of those left is unknown, until the next list begins
    if track.first_offer < 0 or (track.best >= 0 and not is_before(e, track.best, offer)):
        track.best = offer
    row.next = track.first_offer
    track.first_offer = offer
    track.offers += 1
    track.bids += 1
    track.stage = Stage.BID
    desk.slots_left -= 1
    if x.reserve_at_bid == 1:
        hold(desk, track, Desk.reserved_cpu, 1)
        desk.leases_left -= 1
        if has_nodes(e, desk_row):
            pack(s, e, desk_row, order, e.offer_nodes[offer])
    if desk.bid_timeout > 0 and (track.choosing != Choosing.WINDOW or desk.bid_timeout <= x.bid_window):
        push(e, height + desk.bid_timeout, Phase.BID_TIMEOUT, tie_of(e, Kind.BID_TIMEOUT, row.tie), Kind.BID_TIMEOUT, offer)
    return True


@compiled_inline
def let_go(e: Engine, height: int, offer: int) -> None:
    """End a placed offer: free its slot and its reservation, and let the next queued bid of the desk go out in the next block."""
    row = e.offers[offer]
    desk = e.desks[row.desk]
    desk.slots_left += 1
    if e.globals.reserve_at_bid == 1:
        hold(desk, e.tracks[row.order], Desk.reserved_cpu, -1)
        desk.leases_left += 1
        if rarely(has_nodes(e, row.desk)):
            free_nodes(e, e.offer_nodes[offer])
    free_offer(e, offer)
    if rarely(desk.queued > 0):
        queued = desk.queue_head
        desk.queue_head = e.offers[queued].next
        desk.queued -= 1
        append_offer(e, height + 1, queued)


@compiled
def hear(e: Engine, height: int, offer: int, kind: int, other: int, other_atto: int) -> None:
    """Write down what became of a placed bid, where its desk wants to hear of it; `other` is the price that won."""
    row = e.offers[offer]
    if e.desks[row.desk].hears == 0:
        return
    note_outcome(e, height, row.desk, row.order, kind, row.price, row.price_atto, other, other_atto)


@compiled
def note_outcome(
    e: Engine, height: int, desk_row: int, order: int, kind: int, price: int, price_atto: int, other: int, other_atto: int
) -> None:
    """Write one row of outcomes; the block loop sees to it that there is room for more than ever end at once."""
    x = e.globals
    if x.outcomes >= e.outcomes.shape[0]:
        return
    outcome = e.outcomes[x.outcomes]
    x.outcomes += 1
    x.heard += 1
    outcome.height = height
    outcome.desk = desk_row
    outcome.order = order
    outcome.kind = kind
    outcome.price = price
    outcome.price_atto = price_atto
    outcome.other = other
    outcome.other_atto = other_atto


@compiled
def hear_choice(e: Engine, height: int, order: int, winner: int, price: int, price_atto: int) -> None:
    """Let the desks of an order's placed bids hear that the bid in row `winner` of bids won at this price; -1: that none did."""
    offer = e.tracks[order].first_offer
    while offer >= 0:
        kind = OutcomeKind.LOST
        if winner < 0:
            kind = OutcomeKind.CLOSED
        elif e.offers[offer].bid == winner:
            kind = OutcomeKind.WON
        hear(e, height, offer, kind, price, price_atto)
        offer = e.offers[offer].next


@compiled
def hear_end(s: State, e: Engine, height: int, order: int, lease: int, ended: int) -> None:
    """Let the desk that served a lease hear that it is over, and why (Ended)."""
    desk_row = e.tracks[order].held_by
    if desk_row < 0 or e.desks[desk_row].hears == 0:
        return
    p = s.leases[lease]
    note_outcome(e, height, desk_row, order, OutcomeKind.ENDED, p.rate, p.rate_atto, ended, 0)


@compiled
def let_all_go(e: Engine, height: int, order: int, lost: int) -> None:
    """End every placed offer of an order; `lost` is added to each desk's count of lost bids."""
    track = e.tracks[order]
    offer = track.first_offer
    track.first_offer = -1
    track.best = -1
    track.offers = 0
    while offer >= 0:
        following = e.offers[offer].next
        e.desks[e.offers[offer].desk].lost += lost
        let_go(e, height, offer)
        offer = following


@compiled
def occupy(e: Engine, height: int, desk_row: int, order: int) -> None:
    """Count an order's resources as leased by a desk."""
    account_use(e, desk_row, height)
    hold(e.desks[desk_row], e.tracks[order], Desk.leased_cpu, 1)
    e.desks[desk_row].leases_left -= 1
    e.tracks[order].held_by = desk_row


@compiled
def vacate(e: Engine, height: int, order: int) -> None:
    """Give an order's resources back to the desk that leased them out."""
    desk_row = e.tracks[order].held_by
    account_use(e, desk_row, height)
    hold(e.desks[desk_row], e.tracks[order], Desk.leased_cpu, -1)
    e.desks[desk_row].leases_left += 1
    e.tracks[order].held_by = -1
    if rarely(has_nodes(e, desk_row)):
        free_nodes(e, e.order_nodes[order])
