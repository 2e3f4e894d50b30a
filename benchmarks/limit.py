"""The reference market as one hand-written compiled loop on one core: the limit of what can be reached.

It takes the rules of first_written.py and nothing of its shape: no agents, no messages, no objects. What
makes it fast:

* One pass over the blocks. Orders are rows in order of arrival, so that the orders with something to do in a
  block are the few rows of a window: created now, 1 … 5 blocks ago (bids), 10 (choice), 11 (timeout).
* A quote compares a sum of products with the ceiling, in two limbs of 10**12 and without a division; quotes
  are divided only when two of them are closer than the rounding, and for the winner.
* A lease is settled in closed form when it closes or runs dry, one step a day. It waits for one thing at a
  time, to close, to run dry, for a top-up or the end of its grace, in a calendar of blocks threaded through
  the rows.

Ranges, checked before the run: sizes of one order below 2**21 units in all, multipliers and margins as in
RM-1, deposits and top-ups below 2**53 uve, horizons below 2**31 blocks.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from digest import Fate, Outcome
from numba import njit

from marketsim.agents.reference_market import (
    BLOCKS_PER_DAY,
    GOLDEN,
    MAX_BID_LATENCY,
    MIX_1,
    MIX_2,
    ORDER_FACTOR,
    PROVIDER_FACTOR,
    SALT_FACTOR,
    ReferenceMarket,
    latency_key,
)
from marketsim.money.units import ATTO

Column = npt.NDArray[np.int64]

SETTLE_EVERY = 100
GRACE = 100
BID_WINDOW = 10
ORDER_TIMEOUT = 11
PPM = 1_000_000
NANO = 10**9
TERA = 10**12

OPEN = int(Fate.OPEN)
TIMED_OUT = int(Fate.TIMED_OUT)
ACTIVE = int(Fate.ACTIVE)
INSUFFICIENT_FUNDS = int(Fate.INSUFFICIENT_FUNDS)
CLOSED_BY_TENANT = int(Fate.CLOSED_BY_TENANT)
CLOSED_COMPLETED = int(Fate.CLOSED_COMPLETED)
CLOSED_FUNDS = int(Fate.CLOSED_FUNDS)
CLOSED_BY_PROVIDER = int(Fate.CLOSED_BY_PROVIDER)

# Columns of the table of providers, a row of two cache lines each
FREE_CPU, FREE_MEMORY, FREE_STORAGE, FREE_GPU, UNDECIDED, MAX_BIDS, BIDS, WINS = range(8)
REGIONS, EXCLUDED, MAX_CPU, MAX_MEMORY, MAX_STORAGE, MAX_GPU, MIN_WHOLE, MIN_ATTO = range(8, 16)

# Columns of the table of orders
(
    CREATED_AT,
    CPU,
    MEMORY,
    STORAGE,
    GPU,
    ORDER_REGIONS,
    ATTRIBUTES,
    CEILING_WHOLE,
    CEILING_ATTO,
    DEPOSIT,
    END_AFTER,
    ENDS_AS,
) = range(12)
TOP_UP, TOP_UPS, DELAY = 12, 13, 14

# Columns of the table of leases, a row an order
WINNER, START, SETTLED_AT, PRICE_WHOLE, PRICE_ATTO, FUNDS, PAID_WHOLE, PAID_ATTO = range(8)
TOPPED_UP, END, FATE, BID_COUNT, NEXT, LINK = range(8, 14)

# Columns of the providers' price lists
UNIT_WHOLE, UNIT_ATTO, MARGIN, MULTIPLIER, CAPACITY_CPU = 0, 4, 8, 9, 10

# What a lease waits for (its column NEXT)
CLOSE, DRY, TOP_UP_DUE, GRACE_OVER = range(4)

FAR = 3_000_000
"""High limbs this far apart decide a comparison, whatever the low ones are."""

S30, S27, S31, S29 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(29)
U_GOLDEN, U_MIX_1, U_MIX_2 = np.uint64(GOLDEN), np.uint64(MIX_1), np.uint64(MIX_2)
U_SALT, U_ORDER, U_PROVIDER = np.uint64(SALT_FACTOR), np.uint64(ORDER_FACTOR), np.uint64(PROVIDER_FACTOR)
POSITIVE = np.uint64(2**63 - 1)


@njit(cache=True, inline="always")
def _latency(key, p):
    """Blocks until the bid of provider p, less one (reference_market.bid_latencies)."""
    z = key + np.uint64(p) * U_PROVIDER
    z = (z ^ (z >> S30)) * U_MIX_1
    z = (z ^ (z >> S27)) * U_MIX_2
    z ^= z >> S31
    z = (z + U_GOLDEN) * U_SALT
    z ^= z >> S29
    return np.int64(z & POSITIVE) % MAX_BID_LATENCY


@njit(cache=True, inline="always")
def _times(whole, atto, n):
    """(whole, atto) × n, exact for n < 2**31."""
    low = atto % NANO * n
    high = atto // NANO * n + low // NANO
    return whole * n + high // NANO, high % NANO * NANO + low % NANO


@njit(cache=True)
def _blocks_covered(funds, whole, atto):
    """floor(funds / price), funds in whole uve."""
    blocks = np.int64(funds / (whole + atto * 1e-18))
    while True:
        owed, fraction = _times(whole, atto, blocks)
        if owed > funds or (owed == funds and fraction > 0):
            blocks -= 1
            continue
        owed, fraction = _times(whole, atto, blocks + 1)
        if owed > funds or (owed == funds and fraction > 0):
            return blocks
        blocks += 1


@njit(cache=True)
def _reprice(p, price_list, limbs):
    """Sets limbs (10**12 atto, high ones first) to floor(unit × multiplier / 10**6) × (10,000 + margin)."""
    multiplier, margin = price_list[p, MULTIPLIER], price_list[p, MARGIN]
    for k in range(4):
        low = price_list[p, UNIT_ATTO + k] % NANO * multiplier
        high = price_list[p, UNIT_ATTO + k] // NANO * multiplier + low // NANO
        whole = price_list[p, UNIT_WHOLE + k] * multiplier + high // NANO
        low, high = low % NANO, high % NANO
        high += whole % PPM * NANO
        whole //= PPM
        low += high % PPM * NANO
        high //= PPM
        low //= PPM
        low *= margin
        high = high * margin + low // NANO
        whole = whole * margin + high // NANO
        low, high = low % NANO, high % NANO
        limbs[p, k] = whole * PPM + high // 1000
        limbs[p, 4 + k] = high % 1000 * NANO + low


@njit(cache=True)
def _reprice_all(provider, price_list, limbs):
    for p in range(len(provider)):
        capacity = price_list[p, CAPACITY_CPU]
        leased = capacity - provider[p, FREE_CPU]
        if leased * 100 > capacity * 80:
            price_list[p, MULTIPLIER] = min(price_list[p, MULTIPLIER] * 105 // 100, 2 * PPM)
        elif leased * 100 < capacity * 30:
            price_list[p, MULTIPLIER] = max(price_list[p, MULTIPLIER] * 95 // 100, PPM // 2)
        _reprice(p, price_list, limbs)


@njit(cache=True, inline="always")
def _is_dearer(high, low, than_high, than_low):
    """Whether floor(quote / 10,000) is more than another's; quotes are high × 10**12 + low, low < 2**61."""
    apart = high - than_high
    if apart > FAR:
        return True
    if apart < -FAR:
        return False
    apart = apart * TERA + low - than_low
    if apart >= 10_000:
        return True
    if apart <= 0:
        return False
    whole, atto = _price(high, low)
    than_whole, than_atto = _price(than_high, than_low)
    return whole > than_whole or (whole == than_whole and atto > than_atto)


@njit(cache=True)
def _price(high, low):
    """floor(quote / 10,000) as (whole, atto)."""
    high += low // TERA
    low %= TERA
    low = (high % 10_000 * TERA + low) // 10_000
    high //= 10_000
    return high // PPM, high % PPM * TERA + low


@njit(cache=True)
def _pay(row, height, created_at, lease, revenue):
    """Moves what the lease owes from settled_at to `height`, in the cadence's steps as far as days are
    concerned.

    Where the funds do not cover it all of them are moved.
    """
    provider, start = lease[row, WINNER], lease[row, SETTLED_AT]
    price_whole, price_atto = lease[row, PRICE_WHOLE], lease[row, PRICE_ATTO]
    paid, fraction = lease[row, PAID_WHOLE], lease[row, PAID_ATTO]
    day = (start - 1) // BLOCKS_PER_DAY
    last_day = (height - 1) // BLOCKS_PER_DAY
    counted = paid
    while day < last_day:
        day_end = (day + 1) * BLOCKS_PER_DAY
        cadence = day_end - (day_end - created_at) % SETTLE_EVERY
        if cadence > start:
            moved, atto = _times(price_whole, price_atto, cadence - start)
            moved += paid + (atto + fraction) // ATTO
            revenue[provider, day] += moved - counted
            counted = moved
        day += 1
    moved, atto = _times(price_whole, price_atto, height - start)
    funds = lease[row, FUNDS]
    if moved > funds or (moved == funds and atto > 0):
        moved, atto = funds, 0
    atto += fraction
    moved += paid + atto // ATTO
    revenue[provider, last_day] += moved - counted
    lease[row, PAID_WHOLE] = moved
    lease[row, PAID_ATTO] = atto % ATTO
    lease[row, SETTLED_AT] = height
    lease[row, FUNDS] = 0


@njit(cache=True)
def _wait(row, what, height, blocks, lease, calendar):
    """Puts the lease into the calendar; what would come after the last block never comes."""
    lease[row, NEXT] = what
    if height <= blocks:
        lease[row, LINK] = calendar[height]
        calendar[height] = row


@njit(cache=True)
def _wait_for_close_or_dry(row, blocks, order, lease, calendar):
    covered = _blocks_covered(lease[row, FUNDS], lease[row, PRICE_WHOLE], lease[row, PRICE_ATTO])
    dry = lease[row, SETTLED_AT] + covered + 1
    close = lease[row, START] + order[row, END_AFTER]
    if close <= dry:
        _wait(row, CLOSE, close, blocks, lease, calendar)
    else:
        _wait(row, DRY, dry, blocks, lease, calendar)


@njit(cache=True)
def _release(row, order, lease, provider):
    winner = lease[row, WINNER]
    provider[winner, FREE_CPU] += order[row, CPU]
    provider[winner, FREE_MEMORY] += order[row, MEMORY]
    provider[winner, FREE_STORAGE] += order[row, STORAGE]
    provider[winner, FREE_GPU] += order[row, GPU]


@njit(cache=True)
def _serve_calendar(height, blocks, order, lease, provider, revenue, calendar):
    """Closes, ends of grace, depletions and top-ups of a block, in any order: no lease shares an account."""
    row = calendar[height]
    while row >= 0:
        following = lease[row, LINK]
        what = lease[row, NEXT]
        close = lease[row, START] + order[row, END_AFTER]
        if what == CLOSE:
            if lease[row, FATE] == ACTIVE:
                _pay(row, height, order[row, CREATED_AT], lease, revenue)
            lease[row, FATE] = order[row, ENDS_AS]
            lease[row, END] = height
            _release(row, order, lease, provider)
        elif what == GRACE_OVER:
            lease[row, FATE] = CLOSED_FUNDS
            lease[row, END] = height
            _release(row, order, lease, provider)
        elif what == DRY:
            _pay(row, height, order[row, CREATED_AT], lease, revenue)
            lease[row, FATE] = INSUFFICIENT_FUNDS
            made = lease[row, TOPPED_UP]
            grace_over = height + GRACE
            top_up = grace_over
            if made < order[row, TOP_UPS]:
                top_up = height + order[row, DELAY + made]
            if close <= min(top_up, grace_over):
                _wait(row, CLOSE, close, blocks, lease, calendar)
            elif top_up < grace_over:
                _wait(row, TOP_UP_DUE, top_up, blocks, lease, calendar)
            else:
                _wait(row, GRACE_OVER, grace_over, blocks, lease, calendar)
        else:
            lease[row, FUNDS] += order[row, TOP_UP]
            lease[row, TOPPED_UP] += 1
            if _blocks_covered(lease[row, FUNDS], lease[row, PRICE_WHOLE], lease[row, PRICE_ATTO]) > 0:
                lease[row, FATE] = ACTIVE
                lease[row, SETTLED_AT] = height
                _wait_for_close_or_dry(row, blocks, order, lease, calendar)
            else:
                grace_over = lease[row, SETTLED_AT] + GRACE
                if close <= grace_over:
                    _wait(row, CLOSE, close, blocks, lease, calendar)
                else:
                    _wait(row, GRACE_OVER, grace_over, blocks, lease, calendar)
        row = following


@njit(cache=True, inline="always")
def _has_room(provider, p, order, row):
    return (
        provider[p, FREE_CPU] >= order[row, CPU]
        and provider[p, FREE_MEMORY] >= order[row, MEMORY]
        and provider[p, FREE_STORAGE] >= order[row, STORAGE]
        and provider[p, FREE_GPU] >= order[row, GPU]
    )


@njit(cache=True)
def _ask_all(row, key, order, provider, limbs, found_quote, found_bidder, quote, bidder, group):
    """Quotes of every provider that bids on an order, grouped by the blocks its bid takes."""
    providers = len(provider)
    cpu, memory, storage, gpu = order[row, CPU], order[row, MEMORY], order[row, STORAGE], order[row, GPU]
    regions, attributes = order[row, ORDER_REGIONS], order[row, ATTRIBUTES]
    whole, atto = order[row, CEILING_WHOLE], order[row, CEILING_ATTO]
    # price <= ceiling exactly if quote < (ceiling + 10**-18) × 10,000
    ceiling_low = (atto % TERA + 1) * 10_000
    ceiling_high = (whole * PPM + atto // TERA) * 10_000
    group[:] = 0
    found = 0
    for p in range(providers):
        if (
            cpu > provider[p, MAX_CPU]
            or memory > provider[p, MAX_MEMORY]
            or storage > provider[p, MAX_STORAGE]
            or gpu > provider[p, MAX_GPU]
            or (regions & provider[p, REGIONS]) == 0
            or (attributes & provider[p, EXCLUDED]) != 0
            or whole < provider[p, MIN_WHOLE]
            or (whole == provider[p, MIN_WHOLE] and atto < provider[p, MIN_ATTO])
        ):
            continue
        high = cpu * limbs[p, 0] + memory * limbs[p, 1] + storage * limbs[p, 2] + gpu * limbs[p, 3]
        low = cpu * limbs[p, 4] + memory * limbs[p, 5] + storage * limbs[p, 6] + gpu * limbs[p, 7]
        apart = ceiling_high - high
        if apart < -FAR or (apart < FAR and apart * TERA + ceiling_low - low <= 0):
            continue
        latency = _latency(key, p)
        group[latency + 1] += 1
        found_quote[found, 0] = high
        found_quote[found, 1] = low
        found_bidder[found, 0] = p
        found_bidder[found, 1] = latency
        found += 1
    for latency in range(1, MAX_BID_LATENCY + 1):
        group[latency] += group[latency - 1]
    for i in range(found):
        latency = found_bidder[i, 1]
        at = group[latency]
        group[latency] += 1
        bidder[at] = found_bidder[i, 0]
        quote[at, 0] = found_quote[i, 0]
        quote[at, 1] = found_quote[i, 1]
    for latency in range(MAX_BID_LATENCY, 0, -1):
        group[latency] = group[latency - 1]
    group[0] = 0


@njit(cache=True)
def _bid(row, latency, order, lease, provider, bidder, quote, group):
    """Accepts the bids that come this block, and moves them before those that were refused."""
    accepted = lease[row, BID_COUNT]
    for at in range(group[latency - 1], group[latency]):
        p = bidder[at]
        if provider[p, UNDECIDED] < provider[p, MAX_BIDS] and _has_room(provider, p, order, row):
            provider[p, UNDECIDED] += 1
            provider[p, BIDS] += 1
            bidder[accepted] = p
            quote[accepted, 0] = quote[at, 0]
            quote[accepted, 1] = quote[at, 1]
            accepted += 1
    lease[row, BID_COUNT] = accepted


@njit(cache=True)
def _decide_bids(row, lease, provider, bidder):
    for at in range(lease[row, BID_COUNT]):
        provider[bidder[at], UNDECIDED] -= 1


@njit(cache=True)
def _choose(row, height, blocks, order, lease, provider, bidder, quote, calendar):
    """Gives the lease to the cheapest bid whose provider has room, if there is one."""
    best = -1
    for at in range(lease[row, BID_COUNT]):
        if not _has_room(provider, bidder[at], order, row):
            continue
        if best >= 0:
            if _is_dearer(quote[at, 0], quote[at, 1], quote[best, 0], quote[best, 1]):
                continue
            if bidder[at] > bidder[best] and not _is_dearer(quote[best, 0], quote[best, 1], quote[at, 0], quote[at, 1]):
                continue
        best = at
    if best < 0:
        return
    winner = bidder[best]
    provider[winner, FREE_CPU] -= order[row, CPU]
    provider[winner, FREE_MEMORY] -= order[row, MEMORY]
    provider[winner, FREE_STORAGE] -= order[row, STORAGE]
    provider[winner, FREE_GPU] -= order[row, GPU]
    provider[winner, WINS] += 1
    _decide_bids(row, lease, provider, bidder)
    lease[row, WINNER] = winner
    lease[row, FATE] = ACTIVE
    lease[row, START] = height
    lease[row, SETTLED_AT] = height
    lease[row, FUNDS] = order[row, DEPOSIT]
    lease[row, PRICE_WHOLE], lease[row, PRICE_ATTO] = _price(quote[best, 0], quote[best, 1])
    _wait_for_close_or_dry(row, blocks, order, lease, calendar)


@njit(cache=True)
def _run(blocks, seed_key, order, lease, provider, price_list, revenue, calendar, window):
    """Executes all blocks.

    `order` has one row more than there are orders, created after everything; `window` is the largest number
    of orders created in ORDER_TIMEOUT + 1 blocks.
    """
    providers = len(provider)
    limbs = np.empty((providers, 8), np.int64)
    for p in range(providers):
        _reprice(p, price_list, limbs)
    found_quote = np.empty((providers, 2), np.int64)
    found_bidder = np.empty((providers, 2), np.int64)
    quote = np.empty((window, providers, 2), np.int64)
    bidder = np.empty((window, providers), np.int64)
    group = np.zeros((window, MAX_BID_LATENCY + 1), np.int64)

    bid_at = np.zeros(MAX_BID_LATENCY + 1, np.int64)  # by latency, the first order whose such bids are still to come
    arriving = choosing = expiring = 0
    height = 1
    while height <= blocks:
        if height % BLOCKS_PER_DAY == 0:
            _reprice_all(provider, price_list, limbs)
        if calendar[height] >= 0:
            _serve_calendar(height, blocks, order, lease, provider, revenue, calendar)
        while order[expiring, CREATED_AT] == height - ORDER_TIMEOUT:
            if lease[expiring, WINNER] < 0:
                lease[expiring, FATE] = TIMED_OUT
                lease[expiring, END] = height
                _decide_bids(expiring, lease, provider, bidder[expiring % window])
            expiring += 1
        while order[choosing, CREATED_AT] == height - BID_WINDOW:
            at = choosing % window
            _choose(choosing, height, blocks, order, lease, provider, bidder[at], quote[at], calendar)
            choosing += 1
        for latency in range(MAX_BID_LATENCY, 0, -1):
            row = bid_at[latency]
            while order[row, CREATED_AT] == height - latency:
                at = row % window
                _bid(row, latency, order, lease, provider, bidder[at], quote[at], group[at])
                row += 1
            bid_at[latency] = row
        while order[arriving, CREATED_AT] == height:
            at = arriving % window
            key = seed_key + np.uint64(arriving) * U_ORDER
            _ask_all(
                arriving,
                key,
                order,
                provider,
                limbs,
                found_quote,
                found_bidder,
                quote[at],
                bidder[at],
                group[at],
            )
            arriving += 1
        height += 1
        if expiring == arriving:  # no order is waiting for anything: on to the next block with something due
            until = min(order[arriving, CREATED_AT], (height + BLOCKS_PER_DAY - 1) // BLOCKS_PER_DAY * BLOCKS_PER_DAY)
            while height < until and height <= blocks and calendar[height] < 0:
                height += 1

    for row in range(len(lease)):
        if lease[row, FATE] == ACTIVE:
            created_at = order[row, CREATED_AT]
            cadence = blocks - (blocks - created_at) % SETTLE_EVERY
            if cadence > lease[row, SETTLED_AT]:
                _pay(row, cadence, created_at, lease, revenue)


class Result(NamedTuple):
    """An outcome, and what it took in seconds (building the market not counted, as in first_written)."""

    outcome: Outcome
    seconds: float


def run(draws: ReferenceMarket) -> Result:
    """Runs the reference market to the end of its last block."""
    orders, providers = len(draws.created_at), len(draws.capacity)
    blocks = draws.blocks
    _check_ranges(draws)
    ends = np.stack([draws.completes_after, draws.terminates_after, draws.provider_closes_after])
    order = np.empty((orders + 1, 18), np.int64)
    order[orders] = np.iinfo(np.int64).max
    rows = order[:orders]
    rows[:, CREATED_AT] = draws.created_at
    rows[:, CPU : GPU + 1] = draws.size
    rows[:, ORDER_REGIONS] = draws.regions
    rows[:, ATTRIBUTES] = draws.attributes
    rows[:, CEILING_WHOLE] = draws.ceiling_whole
    rows[:, CEILING_ATTO] = draws.ceiling_atto
    rows[:, DEPOSIT] = draws.deposit
    rows[:, END_AFTER] = ends.min(axis=0)
    rows[:, ENDS_AS] = np.array([CLOSED_COMPLETED, CLOSED_BY_TENANT, CLOSED_BY_PROVIDER])[ends.argmin(axis=0)]
    rows[:, TOP_UP] = draws.top_up
    rows[:, TOP_UPS] = draws.top_ups
    rows[:, DELAY : DELAY + 3] = draws.top_up_delay

    provider = np.zeros((providers, 16), np.int64)
    provider[:, FREE_CPU : FREE_GPU + 1] = draws.capacity
    provider[:, MAX_BIDS] = draws.max_bids
    provider[:, REGIONS] = draws.regions_served
    provider[:, EXCLUDED] = draws.excluded
    provider[:, MAX_CPU : MAX_GPU + 1] = draws.max_size
    provider[:, MIN_WHOLE] = draws.min_value_whole
    provider[:, MIN_ATTO] = draws.min_value_atto
    price_list = np.empty((providers, 11), np.int64)
    price_list[:, UNIT_WHOLE : UNIT_WHOLE + 4] = draws.unit_whole
    price_list[:, UNIT_ATTO : UNIT_ATTO + 4] = draws.unit_atto
    price_list[:, MARGIN] = 10_000 + draws.margin_bps
    price_list[:, MULTIPLIER] = PPM
    price_list[:, CAPACITY_CPU] = draws.capacity[:, 0]

    lease = np.zeros((orders, 14), np.int64)
    lease[:, WINNER] = -1
    revenue = np.zeros((providers, (blocks - 1) // BLOCKS_PER_DAY + 1), np.int64)
    calendar = np.full(blocks + 2, -1, np.int64)
    seen_before = np.searchsorted(draws.created_at, draws.created_at - ORDER_TIMEOUT)
    window = int((np.arange(orders) - seen_before).max(initial=0)) + 1
    seed_key = np.uint64(latency_key(draws.seed, 0))

    begun = time.process_time()
    _run(blocks, seed_key, order, lease, provider, price_list, revenue, calendar, window)
    seconds = time.process_time() - begun
    return Result(
        Outcome(
            fate=lease[:, FATE],
            winner=lease[:, WINNER],
            start=lease[:, START],
            end=lease[:, END],
            bids=lease[:, BID_COUNT],
            top_ups=lease[:, TOPPED_UP],
            paid_whole=lease[:, PAID_WHOLE],
            paid_atto=lease[:, PAID_ATTO],
            revenue=revenue,
            provider_bids=provider[:, BIDS],
            provider_wins=provider[:, WINS],
        ),
        seconds,
    )


def _check_ranges(draws: ReferenceMarket) -> None:
    if (
        (len(draws.size) and int(draws.size.sum(axis=1).max()) >= 1 << 21)
        or int(draws.unit_whole.max()) >= 1_000
        or int(draws.margin_bps.max()) >= 90_000
        or (len(draws.deposit) and 4 * int(max(draws.deposit.max(), draws.top_up.max())) >= 1 << 53)
        or draws.blocks >= 1 << 31
    ):
        raise ValueError("reference market out of the range of the limit's arithmetic")
