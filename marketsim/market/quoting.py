"""Exact prices of the linear strategies, and the checks of a bid engine that need no clock."""

from __future__ import annotations

from marketsim.chain.events import hash64
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.market.tables import LANES, QUANTILES, Decline, Desk, E, Engine, Screen, Strategy, Table, Track

NANO = 1_000_000_000
PPM = 1_000_000
PICO = 1_000_000_000_000
QUANTITY_MAX = 9_000_000
"""Sum of quantities up to which their products with limbs of 12 digits can be added up without carrying."""
NO_LIMIT = 1 << 60
LOW_VALUE, OVER_CEILING, ALONE = 1 << 20, 1 << 21, 1 << 22
"""What `screen_desks` finds beside 0 and 1 + Decline: the order is worth less than the desk's minimum, the price is above the ceiling,
the price has to be asked for desk by desk, after which it is one of the others."""
SALT_LATENCY = 11
LOW_32 = (1 << 32) - 1
FACTOR_MAX = 1_000_000_000
"""Largest 10^6 + margin: a margin of 99,900 percent."""


@compiled_inline
def linear_price(desk: Table, cpu: int, memory: int, storage: int, gpu: int, floor: int) -> tuple[int, int]:
    """Return (whole, atto) of quantities x unit prices x (1 + margin) + the fixed part.

    `cpu` in millicores, `memory` and `storage` in MiB, `gpu` in units, each below 2^41. The unit prices already hold the margin, exact at
    24 decimals, so that the sum is exact and is rounded once to 18: down when `floor` is 1, else half to even (training document, Pricing
    Strategy). Bounds are checked when a desk is made: whole unit prices x quantities stay below 2^63.
    """
    whole = sum_of(desk, Desk.CPU_WHOLE + 0, 3, cpu, memory, storage, gpu)
    if cpu + memory + storage + gpu <= QUANTITY_MAX:
        high = sum_of(desk, Desk.CPU_HIGH + 0, 3, cpu, memory, storage, gpu)
        low = sum_of(desk, Desk.CPU_LOW + 0, 3, cpu, memory, storage, gpu)
    else:
        carry, low = sum_limb(desk, Desk.CPU_LOW + 0, cpu, memory, storage, gpu)
        more, high = sum_limb(desk, Desk.CPU_HIGH + 0, cpu, memory, storage, gpu)
        high += carry
        whole += more
    whole, atto = join_limbs(whole, high, low, floor)
    if desk[Desk.PLAIN] == 1:
        return whole, atto
    return finish_price(desk, whole, atto)


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
def finish_price(desk: Table, whole: int, small: int) -> tuple[int, int]:
    """Return a linear price with the desk's fixed part, rounded half up to the desk's decimals."""
    whole += desk[Desk.FIXED_WHOLE]
    small += desk[Desk.FIXED_ATTO]
    if small >= NANO * NANO:
        whole += 1
        small -= NANO * NANO
    if desk[Desk.DECIMALS] < 18:
        unit = 1
        for _ in range(18 - desk[Desk.DECIMALS]):
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
    small = low // PPM + (nano % PPM) * 1_000
    middle = nano // PPM + (whole % PPM) * 1_000 + small // NANO
    small = small % NANO
    desk[column] = whole // PPM + middle // NANO
    desk[column + 1] = (middle % NANO) * 1_000 + small // PPM
    desk[column + 2] = (small % PPM) * PPM + low % PPM


@compiled
def refresh_units(desk: Table) -> None:
    """Write the effective unit prices of a desk from its list prices, its multiplier and its margin."""
    multiplier = desk[Desk.MULTIPLIER_PPM]
    factor = PPM + desk[Desk.MARGIN_PPM]
    set_unit(desk, Desk.CPU_WHOLE, desk[Desk.LIST_CPU], desk[Desk.LIST_CPU_ATTO], multiplier, factor)
    set_unit(desk, Desk.MEMORY_WHOLE, desk[Desk.LIST_MEMORY], desk[Desk.LIST_MEMORY_ATTO], multiplier, factor)
    set_unit(desk, Desk.STORAGE_WHOLE, desk[Desk.LIST_STORAGE], desk[Desk.LIST_STORAGE_ATTO], multiplier, factor)
    set_unit(desk, Desk.GPU_WHOLE, desk[Desk.LIST_GPU], desk[Desk.LIST_GPU_ATTO], multiplier, factor)
    plain = desk[Desk.DECIMALS] == 18 and desk[Desk.FIXED_WHOLE] == 0 and desk[Desk.FIXED_ATTO] == 0
    desk[Desk.PLAIN] = 1 if plain else 0


@compiled
def reprice(desk: Table) -> int:
    """Move the desk's multiplier by its use of cpu and return 1 when it changed.

    Use above REPRICE_HIGH raises it, below REPRICE_LOW lowers it; the product is floored at 10^-6 and kept within its bounds.
    """
    old = desk[Desk.MULTIPLIER_PPM]
    new = old
    step = desk[Desk.REPRICE_STEP_PPM]
    if step > 0:
        # follows use from MIN (empty) to MAX (full), rounded down to whole steps
        span = (desk[Desk.REPRICE_MAX_PPM] - desk[Desk.REPRICE_MIN_PPM]) * desk[Desk.LEASED_CPU] // max(1, desk[Desk.CAP_CPU])
        new = desk[Desk.REPRICE_MIN_PPM] + span // step * step
        if new == old:
            return 0
        desk[Desk.MULTIPLIER_PPM] = new
        refresh_units(desk)
        return 1
    leased = desk[Desk.LEASED_CPU] * PPM
    if leased > desk[Desk.REPRICE_HIGH_PPM] * desk[Desk.CAP_CPU]:
        new = old * desk[Desk.REPRICE_UP_PPM] // PPM
    elif leased < desk[Desk.REPRICE_LOW_PPM] * desk[Desk.CAP_CPU]:
        new = old * desk[Desk.REPRICE_DOWN_PPM] // PPM
    new = min(max(new, desk[Desk.REPRICE_MIN_PPM]), desk[Desk.REPRICE_MAX_PPM])
    if new == old:
        return 0
    desk[Desk.MULTIPLIER_PPM] = new
    refresh_units(desk)
    return 1


@compiled_inline
def has_room(desk: Table, track: Table) -> bool:
    """Return whether the order's resources and one more lease fit beside what is leased and reserved."""
    return bool(
        desk[Desk.FREE_CPU] >= track[Track.CPU]
        and desk[Desk.FREE_MEMORY] >= track[Track.MEMORY]
        and desk[Desk.FREE_STORAGE] >= track[Track.STORAGE]
        and desk[Desk.FREE_GPU] >= track[Track.GPU]
        and desk[Desk.LEASES_LEFT] > 0
    )


@compiled_inline
def rows_screened(e: Engine) -> int:
    """Return how many rows of `screen` the desks take."""
    return int((e.globals[E.PROVIDERS] + LANES - 1) // LANES)


@compiled
def screen_desks(
    e: Engine,
    spec: int,
    order: int,
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

    FOUND is 0, or 1 + Decline of the checks 1 to 6 of an engine (protocol reference 4.5), or LOW_VALUE, OVER_CEILING or ALONE. Without
    branches and with the same steps for every desk: the compiler does eight at a time.
    """
    seed, floor = e.globals[E.SEED], e.globals[E.PRICE_FLOOR]
    fits = e.fits[spec]
    large = cpu + memory + storage + gpu > QUANTITY_MAX
    for block in range(rows_screened(e)):
        row = e.screen[block]
        codes = fits[block]
        for k in range(LANES):
            draw = hash64(seed, SALT_LATENCY, order, block * LANES + k)
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
            fit = (codes >> (8 * k)) & 127
            found = fit if fit != 0 else found
            row[Screen.FOUND * LANES + k] = shut if (shut != 0) & (shut != ALONE) else found


@compiled
def prepare_desks(e: Engine) -> None:
    """Write the derived columns of every desk and its part of `screen`, before the first block."""
    for row in range(e.desks.shape[0]):
        desk = e.desks[row]
        desk[Desk.SLOTS_LEFT] = desk[Desk.MAX_CONCURRENT]
        desk[Desk.LEASES_LEFT] = NO_LIMIT if desk[Desk.LEASE_CAPACITY] < 0 else desk[Desk.LEASE_CAPACITY]
        desk[Desk.RATED] = 1 if desk[Desk.PER_MINUTE] > 0 or desk[Desk.PER_HOUR] > 0 else 0
        for k in range(4):
            desk[Desk.FREE_CPU + k] = desk[Desk.CAP_CPU + k]
        if row < e.globals[E.PROVIDERS]:
            screen_desk(e, row)


@compiled
def screen_desk(e: Engine, desk_row: int) -> None:
    """Copy into `screen` what it holds of a desk."""
    desk = e.desks[desk_row]
    row = e.screen[desk_row // LANES]
    k = desk_row % LANES
    for at in range(4):
        row[(Screen.MAX_CPU + at) * LANES + k] = desk[Desk.MAX_CPU + at]
    row[Screen.MIN_VALUE * LANES + k] = desk[Desk.MIN_VALUE]
    row[Screen.MIN_VALUE_ATTO * LANES + k] = desk[Desk.MIN_VALUE_ATTO]
    row[Screen.SHUT * LANES + k] = desk[Desk.SHUT]
    if desk[Desk.SHUT] == 0 and (desk[Desk.STRATEGY] != Strategy.LINEAR or desk[Desk.PLAIN] == 0):
        row[Screen.SHUT * LANES + k] = ALONE
    row[Screen.LATENCY * LANES + k] = desk[Desk.LATENCY_BLOCKS] + (((1 << 32) % max(desk[Desk.LATENCY_BLOCKS], 1)) << 32)
    for at in range(12):
        row[(Screen.CPU_WHOLE + at) * LANES + k] = desk[Desk.CPU_WHOLE + at]


@compiled_inline
def rate_limited(e: Engine, desk_row: int, now_ms: int) -> bool:
    """Return whether the desk has used up its bids of the last minute or hour (two sliding windows)."""
    desk = e.desks[desk_row]
    written = desk[Desk.BID_TIMES]
    minute = desk[Desk.PER_MINUTE]
    if minute > 0 and written >= minute and e.bid_times[desk_row, (written - minute) % 128] > now_ms - 60_000:
        return True
    hour = desk[Desk.PER_HOUR]
    return bool(hour > 0 and written >= hour and e.bid_times[desk_row, (written - hour) % 128] > now_ms - 3_600_000)


@compiled
def note_bid_time(e: Engine, desk_row: int, now_ms: int) -> None:
    """Use one token of the desk's rate limit."""
    desk = e.desks[desk_row]
    e.bid_times[desk_row, desk[Desk.BID_TIMES] % 128] = now_ms
    desk[Desk.BID_TIMES] += 1


@compiled_inline
def hold(desk: Table, track: Table, column: int, sign: int) -> None:
    """Add (`sign` 1) or remove (-1) the order's resources at `column` (LEASED_CPU or RESERVED_CPU) of a desk."""
    for k in range(4):
        held = sign * track[Track.CPU + k]
        desk[column + k] += held
        desk[Desk.FREE_CPU + k] -= held


@compiled
def account_use(e: Engine, desk_row: int, height: int) -> None:
    """Add leased x blocks up to `height` to the desk's sums; called before what is leased changes."""
    desk = e.desks[desk_row]
    blocks = height - max(desk[Desk.SINCE], e.globals[E.WARM_UP])
    if blocks > 0:
        desk[Desk.SUM_CPU] += desk[Desk.LEASED_CPU] * blocks
        desk[Desk.SUM_MEMORY] += desk[Desk.LEASED_MEMORY] * blocks
        desk[Desk.SUM_STORAGE] += desk[Desk.LEASED_STORAGE] * blocks
        desk[Desk.SUM_GPU] += desk[Desk.LEASED_GPU] * blocks
    desk[Desk.SINCE] = height
