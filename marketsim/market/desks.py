"""What the bid engines do in a block: quote a new order, place the bids that are due, let go of what they held."""

from __future__ import annotations

from marketsim.chain import leasing as market
from marketsim.chain.columns import G, Group, Order, OrderState, Provider, Rules, Wallet
from marketsim.chain.events import hash64
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
    NANO,
    OVER_CEILING,
    PPM,
    account_use,
    has_room,
    hold,
    linear_price,
    note_bid_time,
    rate_limited,
    rows_screened,
    screen_desk,
    screen_desks,
)
from marketsim.market.tables import (
    DESK_SHIFT,
    FAR,
    LANES,
    ORDER_SHIFT,
    RING,
    BidRow,
    Decline,
    Desk,
    E,
    Engine,
    Kind,
    Offer,
    Phase,
    Plan,
    Screen,
    Stage,
    Strategy,
    Track,
)
from marketsim.money.pairs import is_less, times

SALT_TIE = 12
SALT_PRICE = 13
BLOCKS_A_WORD = 7
"""Rows of `screen` whose desks are bits of one number, which stays positive."""
NO_QUOTE = -(1 << 62)
"""What `ask` returns for an order that the user's class was not asked about."""


@compiled_inline
def tie_of(e: Engine, kind: int, row: int) -> int:
    """Return what breaks ties of submission time: a stateless hash, or nothing where ties go to the lower row."""
    if e.globals[E.TIE_BY_INDEX] == 1:
        return 0
    return hash64(e.globals[E.SEED], SALT_TIE, kind + 0, row)


@compiled_inline
def decline(s: State, e: Engine, order: int, desk_row: int, code: int, stage: int) -> None:
    """Count one order that a desk did not bid on, and how far the order got."""
    number = code + 0
    e.declined[number, desk_row] += 1
    if e.tracks[order, Track.STAGE] < stage:
        e.tracks[order, Track.STAGE] = stage
    if rarely(e.globals[E.KEEP_BID_ROWS] == 1):
        keep_decline(s, e, order, desk_row, number)


@compiled
def keep_decline(s: State, e: Engine, order: int, desk_row: int, number: int) -> None:
    """Keep one order that a desk did not bid on, for the reason `number` (Decline)."""
    x = e.globals
    at = x[E.DECLINE_ROWS]
    if x[E.DECLINED_AT] != s.globals[G.HEIGHT]:
        x[E.DECLINED_AT] = s.globals[G.HEIGHT]
        e.decline_rows[at] = ~s.globals[G.HEIGHT]
        at += 1
    e.decline_rows[at] = order << ORDER_SHIFT | desk_row << DESK_SHIFT | number
    x[E.DECLINE_ROWS] = at + 1


@compiled_inline
def append_offer(e: Engine, height: int, offer: int) -> None:
    """Date an offer for block `height`: last in that block's list, the block in the calendar once."""
    slot = height & (RING - 1)
    e.offers[offer, Offer.NEXT] = -1
    e.globals[E.DATED] += 1
    if e.ring[slot, 0] < 0:
        e.ring[slot, 0] = offer
        e.globals[E.NEXT_BIDS] = min(e.globals[E.NEXT_BIDS], height)
    else:
        e.offers[e.ring[slot, 1], Offer.NEXT] = offer
    e.ring[slot, 1] = offer


@compiled_inline
def free_offer(e: Engine, offer: int) -> None:
    """Return an offer's row to the free list."""
    e.offers[offer, Offer.NEXT] = e.globals[E.FREE_OFFER]
    e.offers[offer, Offer.ORDER] = -1
    e.globals[E.FREE_OFFER] = offer


@compiled_inline
def new_offer(e: Engine) -> int:
    """Return a free row of offers; room is guaranteed by the block loop."""
    offer = e.globals[E.FREE_OFFER]
    if offer >= 0:
        e.globals[E.FREE_OFFER] = e.offers[offer, Offer.NEXT]
        return offer  # type: ignore[no-any-return]
    offer = e.globals[E.OFFERS]
    e.globals[E.OFFERS] = offer + 1
    return offer  # type: ignore[no-any-return]


@compiled
def set_shut(s: State, e: Engine, desk_row: int) -> None:
    """Write whether a desk may bid at all: its engine on and up, its provider not blocked."""
    desk = e.desks[desk_row]
    shut = 0
    if desk[Desk.UP] == 0 or desk[Desk.ENABLED] == 0:
        shut = 1 + Decline.ENGINE_DISABLED
    elif s.providers[desk_row, Provider.BLOCKED] == 1:
        shut = 1 + Decline.PROVIDER_BLOCKED
    desk[Desk.SHUT] = shut
    if desk_row < e.globals[E.PROVIDERS]:
        screen_desk(e, desk_row)


@compiled
def know_blockings(s: State, e: Engine) -> None:
    """Bring the desks up to date when the chain has blocked or unblocked a provider since they looked."""
    if rarely(e.globals[E.BLOCKINGS] != s.globals[G.BLOCKINGS]):
        e.globals[E.BLOCKINGS] = s.globals[G.BLOCKINGS]
        for desk_row in range(e.desks.shape[0]):
            set_shut(s, e, desk_row)


@compiled
def quote_order(s: State, e: Engine, height: int, order: int) -> None:
    """Let every desk look at a new order: refuse it, or date a bid for the block its latency leads to.

    The checks go in the order of the protocol reference 4.5. Price, minimum value and ceiling are known when the order is seen; capacity,
    concurrency, rate limit and wallet are looked at in the bid's block (`place_offer`).
    """
    g = e.globals
    group = s.orders[order, Order.GROUP]
    ceiling = s.orders[order, Order.PRICE]
    ceiling_atto = s.orders[order, Order.PRICE_ATTO]
    value, value_atto = times(ceiling, ceiling_atto, g[E.LEAST_VALUE_BLOCKS])
    track = e.tracks[order]
    know_blockings(s, e)
    screen_desks(
        e,
        s.groups[group, Group.SPEC],
        order,
        track[Track.CPU],
        track[Track.MEMORY],
        track[Track.STORAGE],
        track[Track.GPU],
        ceiling,
        ceiling_atto,
        value,
        value_atto,
    )
    stage = track[Track.STAGE]
    for first in range(0, g[E.PROVIDERS], LANES * BLOCKS_A_WORD):
        every = (1 << min(LANES * BLOCKS_A_WORD, g[E.PROVIDERS] - first)) - 1
        bidding, priced = divide_desks(s, e, order, first, value, value_atto)
        others = every & ~(bidding | priced)
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
            if code == Decline.INSUFFICIENT_RESOURCES or code == Decline.ENGINE_DISABLED:
                stage = max(stage, Stage.LIMITS + 0)
            elif code == Decline.PRICE_TOO_HIGH:
                stage = max(stage, Stage.OVER_CEILING + 0)
    track[Track.STAGE] = stage
    if rarely(g[E.KEEP_BID_ROWS] == 1):
        for desk_row in range(g[E.PROVIDERS]):
            found = e.screen[desk_row // LANES, Screen.FOUND * LANES + desk_row % LANES]
            if found != 0:
                keep_decline(s, e, order, desk_row, found - 1)


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
    code, stage = Decline.PRICE_TOO_HIGH + 0, Stage.OVER_CEILING + 0
    if screen[column] == LOW_VALUE:
        code, stage = Decline.BELOW_MIN_ORDER_VALUE + 0, Stage.BELOW_MIN_VALUE + 0
    if not has_room(e.desks[desk_row], e.tracks[order]) or (rarely(has_nodes(e, desk_row)) and lacks_nodes(s, e, desk_row, order)):
        code, stage = Decline.INSUFFICIENT_RESOURCES + 0, Stage.NO_CAPACITY + 0
    screen[column] = 1 + code
    e.declined[code, desk_row] += 1
    return stage


@compiled
def ask_alone(s: State, e: Engine, order: int, block: int, value: int, value_atto: int) -> None:
    """Find what comes of those desks of a row of `screen` that are asked for their price one by one; no ALONE is left in it."""
    ceiling, ceiling_atto = s.orders[order, Order.PRICE], s.orders[order, Order.PRICE_ATTO]
    screen = e.screen[block]
    for lane in range(min(LANES, e.globals[E.PROVIDERS] - LANES * block)):  # what follows the last desk is nobody's
        if screen[Screen.FOUND * LANES + lane] != ALONE:
            continue
        desk = e.desks[LANES * block + lane]
        price, atto = ask(s, e, order, LANES * block + lane)
        found = 0
        if price == NO_QUOTE:
            found = 1 + Decline.ENGINE_DISABLED
        elif price < 0:
            found = 1 + Decline.PRICE_TOO_HIGH
        elif is_less(value, value_atto, desk[Desk.MIN_VALUE], desk[Desk.MIN_VALUE_ATTO]):
            found = LOW_VALUE
        elif is_less(ceiling, ceiling_atto, price, atto):
            found = OVER_CEILING
        screen[Screen.FOUND * LANES + lane] = found
        screen[Screen.PRICE * LANES + lane] = price
        screen[Screen.PRICE_ATTO * LANES + lane] = atto


@compiled_inline
def date_bid(e: Engine, height: int, order: int, desk_row: int) -> None:
    """Date a desk's bid, at the price found for it, for the block that its latency leads to."""
    g = e.globals
    screen = e.screen[desk_row // LANES]
    lane = desk_row % LANES
    delay = screen[Screen.DELAY * LANES + lane]
    at = height + 1 + delay
    time = at * g[E.BLOCK_MS]
    tie = 0
    if delay < 0:
        time = height * g[E.BLOCK_MS] + e.latencies[e.desks[desk_row, Desk.LATENCY_PROFILE], ~delay]
        at = max(height + 1, -(-time // g[E.BLOCK_MS]))
        if at - height > RING - 2:
            at = height + RING - 2
        tie = hash64(g[E.SEED], SALT_TIE, order, desk_row)
    offer = new_offer(e)
    row_of = e.offers[offer]
    row_of[Offer.ORDER] = order
    row_of[Offer.DESK] = desk_row
    row_of[Offer.PRICE] = screen[Screen.PRICE * LANES + lane]
    row_of[Offer.PRICE_ATTO] = screen[Screen.PRICE_ATTO * LANES + lane]
    row_of[Offer.TIME] = time
    row_of[Offer.TIE] = tie
    row_of[Offer.BID] = -1
    append_offer(e, at, offer)


@compiled
def ask(s: State, e: Engine, order: int, desk_row: int) -> tuple[int, int]:
    """Return the price of one desk for an order, whatever its strategy; a negative one where it will not bid, NO_QUOTE where nobody asked
    the user's class.
    """
    desk = e.desks[desk_row]
    track = e.tracks[order]
    strategy = desk[Desk.STRATEGY]
    if strategy == Strategy.CUSTOM:
        plan = track[Track.PLAN]
        row = -1
        if plan >= 0:
            row = e.plans[plan, Plan.QUOTE]
        if row < 0:
            return NO_QUOTE, 0
        row += s.groups[s.orders[order, Order.GROUP], Group.GSEQ] - 1  # a row a group, side by side
        return e.quotes[row, 2 * desk_row], e.quotes[row, 2 * desk_row + 1]
    cpu = track[Track.CPU]
    price, atto = linear_price(desk, cpu, track[Track.MEMORY], track[Track.STORAGE], track[Track.GPU], e.globals[E.PRICE_FLOOR])
    if strategy == Strategy.UNDERCUT and e.globals[E.LAST_WON] >= 0:
        return undercut(e, desk_row, cpu, price, atto)
    if strategy == Strategy.RANDOM_RANGE:
        draw = hash64(e.globals[E.SEED], SALT_PRICE, order, desk_row)
        return random_range(track[Track.MEMORY], s.orders[order, Order.PRICE], draw)
    return price, atto


@compiled
def undercut(e: Engine, desk_row: int, cpu: int, price: int, atto: int) -> tuple[int, int]:
    """Return the last winning price per millicore, scaled to `cpu` and cut by UNDERCUT_PPM, but never below (price, atto)."""
    nano = (e.globals[E.LAST_WON] * NANO + e.globals[E.LAST_WON_NANO]) * cpu
    nano = nano // PPM * (PPM - e.desks[desk_row, Desk.UNDERCUT_PPM])
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
    low = max(1, memory * 50 // 1024)
    high = max(1, min(memory * 1024, ceiling))
    if low >= high:
        return low, 0
    k = draw % max(1, (high - low) * 10_000)
    return low + k // PPM, (k % PPM) * (NANO * 1000)


@compiled
def sort_batch(e: Engine, count: int) -> None:
    """Sort the first `count` offers of the batch by submission time, then tie (Shell's gaps; blocks hold few bids)."""
    batch = e.batch
    gap = count // 2
    while gap > 0:
        for i in range(gap, count):
            offer = batch[i]
            time = e.offers[offer, Offer.TIME]
            tie = e.offers[offer, Offer.TIE]
            j = i
            while j >= gap:
                other = batch[j - gap]
                other_time = e.offers[other, Offer.TIME]
                if other_time < time or (other_time == time and e.offers[other, Offer.TIE] <= tie):
                    break
                batch[j] = other
                j -= gap
            batch[j] = offer
        gap //= 2


@compiled_inline
def take_offers(e: Engine, height: int) -> int:
    """Return the first offer dated for `height`, linked to the others in canonical order; the caller counts them off E.DATED."""
    slot = height & (RING - 1)
    first = e.ring[slot, 0]
    e.ring[slot, 0] = -1
    if e.globals[E.TIE_BY_INDEX] == 1:
        return int(first)  # they were dated order by order, desk by desk
    return sort_offers(e, first)


@compiled
def sort_offers(e: Engine, first: int) -> int:
    """Link a list of offers anew by submission time and tie; return its new first."""
    count = 0
    offer = first
    while offer >= 0:
        e.batch[count] = offer
        count += 1
        offer = e.offers[offer, Offer.NEXT]
    sort_batch(e, count)
    following = -1
    for at in range(count - 1, -1, -1):
        e.offers[e.batch[at], Offer.NEXT] = following
        following = e.batch[at]
    return following


@compiled_inline
def find_next_bids(e: Engine, height: int) -> None:
    """Note the first block after `height` with offers dated for it."""
    at = FAR
    if e.globals[E.DATED] > 0:
        at = height + 1
        while e.ring[at & (RING - 1), 0] < 0:
            at += 1
    e.globals[E.NEXT_BIDS] = at


@compiled_inline
def is_before(e: Engine, a: int, b: int) -> bool:
    """Return whether offer `a` is the cheaper one; equal prices go by the tie rule."""
    x = e.offers[a]
    y = e.offers[b]
    if is_less(x[Offer.PRICE], x[Offer.PRICE_ATTO], y[Offer.PRICE], y[Offer.PRICE_ATTO]):
        return True
    if is_less(y[Offer.PRICE], y[Offer.PRICE_ATTO], x[Offer.PRICE], x[Offer.PRICE_ATTO]):
        return False
    if e.globals[E.TIE_BY_INDEX] == 1:
        return bool(x[Offer.DESK] < y[Offer.DESK])
    return bool(x[Offer.TIE] < y[Offer.TIE])


@compiled_inline
def lacks_deposit(s: State, wallet: int) -> bool:
    """Return whether a wallet cannot pay for a bid: its deposit, and its fee where there are fees."""
    deposit = s.globals[G.BID_MIN_DEPOSIT]
    if deposit > 0 and s.wallets[wallet, Wallet.BALANCE] < deposit:
        return True
    return not can_afford(s, wallet, Kind.BIDS, 0, deposit)


@compiled_inline
def place_offer(s: State, e: Engine, height: int, offer: int) -> bool:
    """Submit one dated bid after the checks that need the present; return whether the chain took it."""
    row = e.offers[offer]
    order = row[Offer.ORDER]
    desk_row = row[Offer.DESK]
    desk = e.desks[desk_row]
    track = e.tracks[order]
    g = e.globals
    code = -1
    stage = Stage.LIMITS + 0
    shut = desk[Desk.SHUT]
    if rarely(shut == 1 + Decline.ENGINE_DISABLED):
        code = Decline.ENGINE_DISABLED + 0
    elif rarely(s.orders[order, Order.STATE] != OrderState.OPEN):
        code = Decline.ORDER_NOT_OPEN + 0
    elif rarely(shut != 0):
        code = shut - 1
    elif rarely(desk[Desk.SLOTS_LEFT] <= 0):
        if desk[Desk.QUEUED] < g[E.QUEUE_LIMIT]:
            row[Offer.NEXT] = -1
            if desk[Desk.QUEUED] == 0:
                desk[Desk.QUEUE_HEAD] = offer
            else:
                e.offers[desk[Desk.QUEUE_TAIL], Offer.NEXT] = offer
            desk[Desk.QUEUE_TAIL] = offer
            desk[Desk.QUEUED] += 1
            return False
        code = Decline.QUEUE_FULL + 0
    elif rarely(desk[Desk.RATED] == 1 and rate_limited(e, desk_row, row[Offer.TIME])):
        code = Decline.RATE_LIMITED + 0
    elif not has_room(desk, track) or (rarely(has_nodes(e, desk_row)) and lacks_nodes(s, e, desk_row, order)):
        code = Decline.INSUFFICIENT_RESOURCES + 0
        stage = Stage.NO_CAPACITY + 0
    elif lacks_deposit(s, desk[Desk.WALLET]):
        code = Decline.INSUFFICIENT_DEPOSIT + 0
        stage = Stage.NO_DEPOSIT + 0
    if code >= 0:
        decline(s, e, order, desk_row, code, stage)
        free_offer(e, offer)
        return False
    if rarely(desk[Desk.RATED] == 1):
        note_bid_time(e, desk_row, row[Offer.TIME])
    desk[Desk.SUBMITTED] += 1
    g[E.BIDS_SUBMITTED] += 1
    latency = row[Offer.TIME] - s.orders[order, Order.CREATED_AT] * g[E.BLOCK_MS]
    e.latency[min(latency, 60_000)] += 1
    window = 0
    if rarely(s.globals[G.RULES] == Rules.AKASH):
        window = desk[Desk.WINDOW]
    status = market.create_bid(
        s,
        height,
        order,
        desk[Desk.WALLET],
        desk_row,
        row[Offer.PRICE],
        row[Offer.PRICE_ATTO],
        s.globals[G.BID_MIN_DEPOSIT],
        1,
        0,
        0,
        window,
    )
    charge(s, desk[Desk.WALLET], Kind.BIDS, status != Status.Ok, 0)
    if rarely(g[E.KEEP_BID_ROWS] == 1):
        record = e.bid_rows[g[E.BIDS_ROWS]]
        g[E.BIDS_ROWS] += 1
        record[BidRow.HEIGHT] = height
        record[BidRow.ORDER] = order
        record[BidRow.DESK] = desk_row
        record[BidRow.PRICE] = row[Offer.PRICE]
        record[BidRow.PRICE_ATTO] = row[Offer.PRICE_ATTO]
        record[BidRow.LATENCY] = latency
        record[BidRow.STATUS] = status + 0
    if rarely(status != Status.Ok):
        e.rejected[desk_row, status + 0] += 1
        free_offer(e, offer)
        return False
    desk[Desk.ACCEPTED] += 1
    row[Offer.BID] = s.orders[order, Order.LAST_BID]
    # where a bid went away the best of those left is unknown, until the next list begins
    if track[Track.FIRST_OFFER] < 0 or (track[Track.BEST] >= 0 and not is_before(e, track[Track.BEST], offer)):
        track[Track.BEST] = offer
    row[Offer.NEXT] = track[Track.FIRST_OFFER]
    track[Track.FIRST_OFFER] = offer
    track[Track.OFFERS] += 1
    track[Track.BIDS] += 1
    track[Track.STAGE] = Stage.BID
    desk[Desk.SLOTS_LEFT] -= 1
    if g[E.RESERVE_AT_BID] == 1:
        hold(desk, track, Desk.RESERVED_CPU, 1)
        desk[Desk.LEASES_LEFT] -= 1
        if has_nodes(e, desk_row):
            pack(s, e, desk_row, order, e.offer_nodes[offer])
    if desk[Desk.BID_TIMEOUT] > 0 and (track[Track.CHOOSING] != 0 or desk[Desk.BID_TIMEOUT] <= g[E.BID_WINDOW]):
        push(e, height + desk[Desk.BID_TIMEOUT], Phase.BID_TIMEOUT, tie_of(e, Kind.BID_TIMEOUT, offer), Kind.BID_TIMEOUT, offer)
    return True


@compiled_inline
def let_go(e: Engine, height: int, offer: int) -> None:
    """End a placed offer: free its slot and its reservation, and let the next queued bid of the desk go out in the next block."""
    row = e.offers[offer]
    desk = e.desks[row[Offer.DESK]]
    desk[Desk.SLOTS_LEFT] += 1
    if e.globals[E.RESERVE_AT_BID] == 1:
        hold(desk, e.tracks[row[Offer.ORDER]], Desk.RESERVED_CPU, -1)
        desk[Desk.LEASES_LEFT] += 1
        if rarely(has_nodes(e, row[Offer.DESK])):
            free_nodes(e, e.offer_nodes[offer])
    free_offer(e, offer)
    if rarely(desk[Desk.QUEUED] > 0):
        queued = desk[Desk.QUEUE_HEAD]
        desk[Desk.QUEUE_HEAD] = e.offers[queued, Offer.NEXT]
        desk[Desk.QUEUED] -= 1
        append_offer(e, height + 1, queued)


@compiled
def let_all_go(e: Engine, height: int, order: int, lost: int) -> None:
    """End every placed offer of an order; `lost` is added to each desk's count of lost bids."""
    track = e.tracks[order]
    offer = track[Track.FIRST_OFFER]
    track[Track.FIRST_OFFER] = -1
    track[Track.BEST] = -1
    track[Track.OFFERS] = 0
    while offer >= 0:
        following = e.offers[offer, Offer.NEXT]
        e.desks[e.offers[offer, Offer.DESK], Desk.LOST] += lost
        let_go(e, height, offer)
        offer = following


@compiled
def occupy(e: Engine, height: int, desk_row: int, order: int) -> None:
    """Count an order's resources as leased by a desk."""
    account_use(e, desk_row, height)
    hold(e.desks[desk_row], e.tracks[order], Desk.LEASED_CPU, 1)
    e.desks[desk_row, Desk.LEASES_LEFT] -= 1
    e.tracks[order, Track.HELD_BY] = desk_row


@compiled
def vacate(e: Engine, height: int, order: int) -> None:
    """Give an order's resources back to the desk that leased them out."""
    desk_row = e.tracks[order, Track.HELD_BY]
    account_use(e, desk_row, height)
    hold(e.desks[desk_row], e.tracks[order], Desk.LEASED_CPU, -1)
    e.desks[desk_row, Desk.LEASES_LEFT] += 1
    e.tracks[order, Track.HELD_BY] = -1
    if rarely(has_nodes(e, desk_row)):
        free_nodes(e, e.order_nodes[order])
