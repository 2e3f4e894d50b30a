"""Exact prices of the linear strategies, and the checks of a bid engine that need no clock."""

from __future__ import annotations

from marketsim.chain.events import hash64
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.market.tables import BID_TIMES, LANES, QUANTILES, Decline, Desk, Engine, Pricing, Screen, Table, Track
from marketsim.money.pairs import add, times
from marketsim.money.units import DECIMALS, HOUR_MS, MINUTE_MS, NANO, PPM

PICO = 1_000_000_000_000
QUANTITY_MAX = 9_000_000
"""Sum of quantities up to which their products with limbs of 12 digits can be added up without carrying."""
NO_LIMIT = 1 << 60
LOW_VALUE, OVER_CEILING, ALONE, SILENT = 1 << 20, 1 << 21, 1 << 22, 1 << 23
"""What `screen_desks` finds beside 0 and 1 + Decline: the order is worth less than the desk's minimum, the price is above the ceiling,
the price has to be asked for desk by desk, after which it is one of the others; the desk's bids come from a user's agent."""
SALT_LATENCY = 11
LOW_32 = (1 << 32) - 1
QUOTE_MAX = 1_000_000_000
"""Most whole uve of a quote, and 10^18 / COST_PPM where that is less: so its products with the factors stay below 2^63."""
LIMBS = 12
"""Limbs of a desk's unit prices: three a resource."""
CODE = 127
"""Bits of a code of `Engine.fits`."""
FACTOR_MAX = 1_000_000_000
"""Largest 10^6 + margin: a margin of 99,900 percent."""


@compiled_inline
def linear_price(desk: Desk, cpu: int, memory: int, storage: int, gpu: int, endpoints: int, floor: int) -> tuple[int, int]:
    """Return (whole, atto) of quantities x unit prices x (1 + margin) + endpoints x their price.

    `cpu` in millicores, `memory` and `storage` in MiB, `gpu` and `endpoints` in units, each below 2^41. The unit prices already hold the
    margin, exact at 24 decimals, so that the sum is exact and is rounded once to 18: down when `floor` is 1, else half to even (training
    document, Pricing Strategy). Bounds are checked when a desk is made: whole unit prices x quantities stay below 2^63.
    """
    whole = sum_of(desk, Desk.cpu_whole, 3, cpu, memory, storage, gpu)
    if cpu + memory + storage + gpu <= QUANTITY_MAX:
        high = sum_of(desk, Desk.cpu_high, 3, cpu, memory, storage, gpu)
        low = sum_of(desk, Desk.cpu_low, 3, cpu, memory, storage, gpu)
    else:
        carry, low = sum_limb(desk, Desk.cpu_low, cpu, memory, storage, gpu)
        more, high = sum_limb(desk, Desk.cpu_high, cpu, memory, storage, gpu)
        high += carry
        whole += more
    whole, atto = join_limbs(whole, high, low, floor)
    if desk.plain == 1:
        return whole, atto
    return finish_price(desk, whole, atto, endpoints)


@compiled_inline
def sum_of(row: Table, column: int, step: int, cpu: int, memory: int, storage: int, gpu: int) -> int:
    """Return the sum of quantities x the four columns that begin at `column`, `step` apart."""
    sum_of_two = cpu * row[column] + memory * row[column + step]
    return int(sum_of_two + storage * row[column + 2 * step] + gpu * row[column + 3 * step])


@compiled_inline
def join_limbs(whole: int, high: int, low: int, floor: int) -> tuple[int, int]:
    """Return whole + high / 10^12 + low / 10^24 as (whole, atto), rounded as `linear_price` says.

    `high` and `low` are at most 9 x 10^18. The quotients are taken in floating point, where they are off by one at most, and put right:
    so eight desks' are taken at once.
    """
    atto = int(float(low) * 1e-6)
    rest = low - atto * PPM
    off = (1 if rest >= PPM else 0) - (1 if rest < 0 else 0)
    atto += off
    rest -= off * PPM
    up = (2 * rest > PPM) | ((2 * rest == PPM) & ((atto & 1) == 1))
    atto += 1 if up & (floor == 0) else 0
    carry = int(float(high) * 1e-12)
    rest = high - carry * PICO
    off = (1 if rest >= PICO else 0) - (1 if rest < 0 else 0)
    carry += off
    rest -= off * PICO
    atto += rest * PPM
    over = 1 if atto >= NANO * NANO else 0
    return whole + carry + over, atto - over * (NANO * NANO)


@compiled
def sum_limb(desk: Table, column: int, cpu: int, memory: int, storage: int, gpu: int) -> tuple[int, int]:
    """Return the sum of quantities x the limbs of 12 digits at `column`, three columns apart, as (x 10^12, rest)."""
    upper, lower = 0, 0
    at = column
    for quantity in (cpu, memory, storage, gpu):
        upper += quantity * (desk[at] // PPM)
        lower += quantity * (desk[at] % PPM)
        at += 3
    upper += lower // PPM
    return upper // PPM, (upper % PPM) * PPM + lower % PPM


@compiled
def finish_price(desk: Desk, whole: int, small: int, endpoints: int) -> tuple[int, int]:
    """Return a linear price with that of the endpoints, rounded half up to the desk's decimals."""
    more, more_small = times(desk.endpoint, desk.endpoint_atto, endpoints)
    whole, small = add(whole, small, more, more_small)
    return round_price(desk, whole, small)


@compiled
def quoted_price(desk: Desk, whole: int, atto: int) -> tuple[int, int]:
    """Return a quoted price after the desk's cost draw and its multiplier, each product floored at 18 decimals, then rounded half up to
    the desk's decimals. `whole` is bounded as QUOTE_MAX says.
    """
    for factor in (desk.cost_ppm, desk.multiplier_ppm):
        product = whole * factor
        rest = product % PPM
        nano = atto // NANO * factor + rest * NANO
        low = atto % NANO * factor + nano % PPM * NANO
        low = low // PPM
        nano = nano // PPM + low // NANO
        whole = product // PPM + nano // NANO
        atto = nano % NANO * NANO + low % NANO
    return round_price(desk, whole, atto)


@compiled
def round_price(desk: Desk, whole: int, small: int) -> tuple[int, int]:
    """Return a price rounded half up to the desk's decimals."""
    if desk.decimals < DECIMALS:
        unit = 1
        for _ in range(DECIMALS - desk.decimals):
            unit *= 10
        rest = small % unit
        small -= rest
        if 2 * rest >= unit:
            small += unit
        if small >= NANO * NANO:
            whole += 1
            small -= NANO * NANO
    return whole, small


@compiled
def set_unit(desk: Table, column: int, whole: int, atto: int, multiplier: int, factor: int) -> None:
    """Write the three limbs of floor(unit price x multiplier / 10^6) x factor / 10^6 from `column` on, exact at 24 decimals.

    The first product is floored at 18 decimals: it is the unit price that the desk asks today. `factor` is 10^6 + margin, at most
    FACTOR_MAX.
    """
    nano = atto // NANO
    low = atto % NANO
    product = whole * multiplier
    whole = product // PPM
    product = (product % PPM) * NANO + nano * multiplier
    nano = product // PPM
    product = (product % PPM) * NANO + low * multiplier
    low = product // PPM
    nano += low // NANO
    low = low % NANO
    whole += nano // NANO
    nano = nano % NANO
    low *= factor
    nano *= factor
    whole *= factor
    small = low // PPM + (nano % PPM) * (NANO // PPM)
    middle = nano // PPM + (whole % PPM) * (NANO // PPM) + small // NANO
    small = small % NANO
    desk[column] = whole // PPM + middle // NANO
    desk[column + 1] = (middle % NANO) * (NANO // PPM) + small // PPM
    desk[column + 2] = (small % PPM) * PPM + low % PPM


@compiled
def refresh_units(desk: Desk) -> None:
    """Write the effective unit prices of a desk from its list prices, its multiplier and its margin."""
    multiplier = desk.multiplier_ppm
    factor = PPM + desk.margin_ppm
    set_unit(desk, Desk.cpu_whole, desk.list_cpu, desk.list_cpu_atto, multiplier, factor)
    set_unit(desk, Desk.memory_whole, desk.list_memory, desk.list_memory_atto, multiplier, factor)
    set_unit(desk, Desk.storage_whole, desk.list_storage, desk.list_storage_atto, multiplier, factor)
    set_unit(desk, Desk.gpu_whole, desk.list_gpu, desk.list_gpu_atto, multiplier, factor)
    plain = desk.decimals == DECIMALS and desk.endpoint == 0 and desk.endpoint_atto == 0
    desk.plain = 1 if plain and desk.quoted == 0 else 0


@compiled
def scarcest(desk: Table) -> int:
    """Return which resource is used most, in millionths of its capacity: 0 cpu … 3 gpu; the first of equals, cpu where there is none."""
    found, most = 0, -1
    for k in range(4):
        capacity = desk[Desk.cap_cpu + k]
        if capacity > 0:
            use = desk[Desk.leased_cpu + k] * PPM // capacity
            if use > most:
                found, most = k, use
    return found


@compiled
def reprice(desk: Desk) -> int:
    """Move the desk's multiplier by its use of the resource that it follows and return 1 when it changed.

    Use above REPRICE_HIGH raises it, below REPRICE_LOW lowers it; the product is floored at 10^-6 and kept within its bounds.
    """
    old = desk.multiplier_ppm
    new = old
    step = desk.reprice_step_ppm
    followed = desk.reprice_follows if desk.reprice_follows < 4 else scarcest(desk)
    capacity = desk[Desk.cap_cpu + followed]
    if step > 0:
        # follows use from MIN (empty) to MAX (full), rounded down to whole steps
        span = (desk.reprice_max_ppm - desk.reprice_min_ppm) * desk[Desk.leased_cpu + followed] // max(1, capacity)
        new = desk.reprice_min_ppm + span // step * step
        if new == old:
            return 0
        desk.multiplier_ppm = new
        refresh_units(desk)
        return 1
    leased = desk[Desk.leased_cpu + followed] * PPM
    if leased > desk.reprice_high_ppm * capacity:
        new = old * desk.reprice_up_ppm // PPM
    elif leased < desk.reprice_low_ppm * capacity:
        new = old * desk.reprice_down_ppm // PPM
    new = min(max(new, desk.reprice_min_ppm), desk.reprice_max_ppm)
    if new == old:
        return 0
    desk.multiplier_ppm = new
    refresh_units(desk)
    return 1


@compiled_inline
def has_room(desk: Desk, track: Track) -> bool:
    """Return whether the order's resources and one more lease fit beside what is leased and reserved."""
    return bool(
        desk.free_cpu >= track.cpu
        and desk.free_memory >= track.memory
        and desk.free_storage >= track.storage
        and desk.free_gpu >= track.gpu
        and desk.leases_left > 0
    )


@compiled_inline
def rows_screened(e: Engine) -> int:
    """Return how many rows of `screen` the desks take."""
    return int((e.globals.providers + LANES - 1) // LANES)


@compiled
def screen_desks(
    e: Engine,
    spec: int,
    key: int,
    cpu: int,
    memory: int,
    storage: int,
    gpu: int,
    ceiling: int,
    ceiling_atto: int,
    value: int,
    value_atto: int,
) -> None:
    """Write into `e.screen` what is known of an order without looking at what each desk holds: whether it bids, its price, its latency.

    `key` is the order's (Track.key). FOUND is 0, or 1 + Decline of the checks 1 to 6 of an engine (protocol reference 4.5), or LOW_VALUE,
    OVER_CEILING or ALONE. Without branches and with the same steps for every desk: the compiler does eight at a time.
    """
    seed, floor = e.globals.seed, e.globals.price_floor
    fits = e.fits[spec]
    large = cpu + memory + storage + gpu > QUANTITY_MAX
    for block in range(rows_screened(e)):
        row = e.screen[block]
        codes = fits[block]
        for k in range(LANES):
            draw = hash64(seed, SALT_LATENCY, key, row[Screen.KEY * LANES + k])
            latency = row[Screen.LATENCY * LANES + k]
            blocks = latency & LOW_32
            spread = (draw >> 32) * (latency >> 32) + (draw & LOW_32)
            delay = spread - int(float(spread) / float(max(blocks, 1))) * blocks
            row[Screen.DELAY * LANES + k] = delay if blocks > 0 else ~(draw & (QUANTILES - 1))
            at = Screen.CPU_WHOLE * LANES + k
            price, atto = join_limbs(
                sum_of(row, at, 3 * LANES, cpu, memory, storage, gpu),
                sum_of(row, at + LANES, 3 * LANES, cpu, memory, storage, gpu),
                sum_of(row, at + 2 * LANES, 3 * LANES, cpu, memory, storage, gpu),
                floor,
            )
            row[Screen.PRICE * LANES + k] = price
            row[Screen.PRICE_ATTO * LANES + k] = atto
            found = OVER_CEILING if (price > ceiling) | ((price == ceiling) & (atto > ceiling_atto)) else 0
            least, least_atto = row[Screen.MIN_VALUE * LANES + k], row[Screen.MIN_VALUE_ATTO * LANES + k]
            found = LOW_VALUE if (value < least) | ((value == least) & (value_atto < least_atto)) else found
            shut = row[Screen.SHUT * LANES + k]
            found = ALONE if large | (shut == ALONE) else found
            larger = (cpu > row[Screen.MAX_CPU * LANES + k]) | (memory > row[Screen.MAX_MEMORY * LANES + k])
            larger |= (storage > row[Screen.MAX_STORAGE * LANES + k]) | (gpu > row[Screen.MAX_GPU * LANES + k])
            found = 1 + Decline.INSUFFICIENT_RESOURCES if larger else found
            fit = (codes >> (8 * k)) & CODE
            found = fit if fit != 0 else found
            row[Screen.FOUND * LANES + k] = shut if (shut != 0) & (shut != ALONE) else found


@compiled
def prepare_desks(e: Engine) -> None:
    """Write the derived columns of every desk and its part of `screen`, before the first block."""
    for row in range(e.desks.shape[0]):
        desk = e.desks[row]
        desk.slots_left = desk.max_concurrent
        desk.leases_left = NO_LIMIT if desk.lease_capacity < 0 else desk.lease_capacity
        desk.rated = 1 if desk.per_minute > 0 or desk.per_hour > 0 else 0
        for k in range(4):
            desk[Desk.free_cpu + k] = desk[Desk.cap_cpu + k]
        if row < e.globals.providers:
            screen_desk(e, row)


@compiled
def screen_desk(e: Engine, desk_row: int) -> None:
    """Copy into `screen` what it holds of a desk."""
    desk = e.desks[desk_row]
    row = e.screen[desk_row // LANES]
    k = desk_row % LANES
    for at in range(4):
        row[(Screen.MAX_CPU + at) * LANES + k] = desk[Desk.max_cpu + at]
    row[Screen.MIN_VALUE * LANES + k] = desk.min_value
    row[Screen.MIN_VALUE_ATTO * LANES + k] = desk.min_value_atto
    row[Screen.SHUT * LANES + k] = desk.shut
    if desk.shut == 0 and (desk.strategy != Pricing.LINEAR or desk.plain == 0):
        row[Screen.SHUT * LANES + k] = ALONE if desk.strategy != Pricing.AGENT else SILENT
    row[Screen.KEY * LANES + k] = desk.key
    row[Screen.LATENCY * LANES + k] = desk.latency_blocks + (((LOW_32 + 1) % max(desk.latency_blocks, 1)) << 32)
    for at in range(LIMBS):
        row[(Screen.CPU_WHOLE + at) * LANES + k] = desk[Desk.cpu_whole + at]


@compiled_inline
def rate_limited(e: Engine, desk_row: int, now_ms: int) -> bool:
    """Return whether the desk has used up its bids of the last minute or hour (two sliding windows)."""
    desk = e.desks[desk_row]
    written = desk.bid_times
    minute = desk.per_minute
    if minute > 0 and written >= minute and e.bid_times[desk_row, (written - minute) % BID_TIMES] > now_ms - MINUTE_MS:
        return True
    hour = desk.per_hour
    return bool(hour > 0 and written >= hour and e.bid_times[desk_row, (written - hour) % BID_TIMES] > now_ms - HOUR_MS)


@compiled
def note_bid_time(e: Engine, desk_row: int, now_ms: int) -> None:
    """Use one token of the desk's rate limit."""
    desk = e.desks[desk_row]
    e.bid_times[desk_row, desk.bid_times % BID_TIMES] = now_ms
    desk.bid_times += 1


@compiled_inline
def hold(desk: Table, track: Table, column: int, sign: int) -> None:
    """Add (`sign` 1) or remove (-1) the order's resources at `column` (LEASED_CPU or RESERVED_CPU) of a desk."""
    for k in range(4):
        held = sign * track[Track.cpu + k]
        desk[column + k] += held
        desk[Desk.free_cpu + k] -= held


@compiled
def account_use(e: Engine, desk_row: int, height: int) -> None:
    """Add leased x blocks up to `height` to the desk's sums; called before what is leased changes."""
    desk = e.desks[desk_row]
    blocks = height - max(desk.since, e.globals.warm_up)
    if blocks > 0:
        desk.sum_cpu += desk.leased_cpu * blocks
        desk.sum_memory += desk.leased_memory * blocks
        desk.sum_storage += desk.leased_storage * blocks
        desk.sum_gpu += desk.leased_gpu * blocks
    desk.since = height
