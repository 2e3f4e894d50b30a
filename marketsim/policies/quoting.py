"""Exact prices of the linear strategies, and the checks of a bid engine that need no clock."""

from __future__ import annotations

from marketsim.chain.compiled import compiled, compiled_inline
from marketsim.policies.tables import Decline, Desk, E, Engine, Screen, Strategy, Table, Track

NANO = 1_000_000_000
PPM = 1_000_000
PICO = 1_000_000_000_000
QUANTITY_MAX = 9_000_000
"""Sum of quantities up to which their products with limbs of 12 digits can be added up without carrying."""
NO_LIMIT = 1 << 60
OVER_CEILING = 1 << 20
"""What `screen_desks` finds where the price is certainly above the ceiling; other findings are 0 or 1 + Decline."""
FACTOR_MAX = 1_000_000_000
"""Largest 10^6 + margin: a margin of 99,900 percent."""


@compiled_inline
def linear_price(desk: Table, cpu: int, memory: int, storage: int, gpu: int, floor: int) -> tuple[int, int]:
    """Return (whole, atto) of quantities x unit prices x (1 + margin) + the fixed part.

    `cpu` in millicores, `memory` and `storage` in MiB, `gpu` in units, each below 2^41. The unit prices already hold the margin, exact at
    24 decimals, so that the sum is exact and is rounded once to 18: down when `floor` is 1, else half to even (training document, Pricing
    Strategy). Bounds are checked when a desk is made: whole unit prices x quantities stay below 2^63.
    """
    whole = cpu * desk[Desk.CPU_WHOLE] + memory * desk[Desk.MEMORY_WHOLE] + storage * desk[Desk.STORAGE_WHOLE] + gpu * desk[Desk.GPU_WHOLE]
    if cpu + memory + storage + gpu <= QUANTITY_MAX:
        high = cpu * desk[Desk.CPU_HIGH] + memory * desk[Desk.MEMORY_HIGH] + storage * desk[Desk.STORAGE_HIGH] + gpu * desk[Desk.GPU_HIGH]
        low = cpu * desk[Desk.CPU_LOW] + memory * desk[Desk.MEMORY_LOW] + storage * desk[Desk.STORAGE_LOW] + gpu * desk[Desk.GPU_LOW]
    else:
        carry, low = sum_limb(desk, Desk.CPU_LOW + 0, cpu, memory, storage, gpu)
        more, high = sum_limb(desk, Desk.CPU_HIGH + 0, cpu, memory, storage, gpu)
        high += carry
        whole += more
    atto = low // PPM
    rest = low - atto * PPM
    if floor == 0 and (2 * rest > PPM or (2 * rest == PPM and atto % 2 == 1)):
        atto += 1
    carry = high // PICO
    atto += (high - carry * PICO) * PPM
    whole += carry
    if atto >= NANO * NANO:
        atto -= NANO * NANO
        whole += 1
    if desk[Desk.PLAIN] == 1:
        return whole, atto
    return finish_price(desk, whole, atto)


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


@compiled
def screen_desks(e: Engine, spec: int, cpu: int, memory: int, storage: int, gpu: int, most: float) -> None:
    """Write into `e.screened`, for every desk, what is certain of an order before its price is computed.

    That is 0, or 1 + Decline of the checks 1 to 6 of an engine (protocol reference 4.5), or OVER_CEILING where a lower bound of the
    price exceeds `most`, the ceiling in 10^-12 uve with room for rounding. One pass without branches over rows of desks side by side:
    the compiler does eight at a time.
    """
    screen = e.screen
    shut, fits, found = screen[Screen.SHUT], e.fits[spec], e.screened
    max_cpu, max_memory = screen[Screen.MAX_CPU], screen[Screen.MAX_MEMORY]
    max_storage, max_gpu = screen[Screen.MAX_STORAGE], screen[Screen.MAX_GPU]
    unit_cpu, unit_memory = screen[Screen.UNIT_CPU], screen[Screen.UNIT_MEMORY]
    unit_storage, unit_gpu = screen[Screen.UNIT_STORAGE], screen[Screen.UNIT_GPU]
    for at in range(e.globals[E.PROVIDERS]):
        price = float(cpu) * float(unit_cpu[at]) + float(memory) * float(unit_memory[at])
        price += float(storage) * float(unit_storage[at]) + float(gpu) * float(unit_gpu[at])
        over = OVER_CEILING if price > most else 0
        large = (cpu > max_cpu[at]) | (memory > max_memory[at]) | (storage > max_storage[at]) | (gpu > max_gpu[at])
        code = 1 + Decline.INSUFFICIENT_RESOURCES if large else over
        code = fits[at] if fits[at] != 0 else code
        found[at] = shut[at] if shut[at] != 0 else code


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
        if row < e.screen.shape[1]:
            for k in range(4):
                e.screen[Screen.MAX_CPU + k, row] = desk[Desk.MAX_CPU + k]
            screen_prices(e, row)


@compiled
def screen_prices(e: Engine, desk_row: int) -> None:
    """Write the lower bounds of a desk's unit prices into `screen`; nothing is known of prices that are not the plain linear one."""
    desk = e.desks[desk_row]
    known = desk[Desk.STRATEGY] == Strategy.LINEAR and desk[Desk.PLAIN] == 1
    for k in range(4):
        whole = desk[Desk.CPU_WHOLE + 3 * k]
        pico = 0
        if known and whole < 1_000_000:
            pico = whole * PICO + desk[Desk.CPU_HIGH + 3 * k]
        e.screen[Screen.UNIT_CPU + k, desk_row] = pico


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
