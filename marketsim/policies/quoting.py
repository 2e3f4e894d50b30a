"""Exact prices of the linear strategies, and the checks of a bid engine that need no clock."""

from __future__ import annotations

from marketsim.chain.compiled import compiled
from marketsim.policies.tables import Decline, Desk, E, Engine, Table, Track

NANO = 1_000_000_000
PPM = 1_000_000
FACTOR_MAX = 1_000_000_000
"""Largest 10^6 + margin: a margin of 99,900 percent."""


@compiled
def linear_price(desk: Table, cpu: int, memory: int, storage: int, gpu: int, floor: int) -> tuple[int, int]:
    """Return (whole, atto) of quantities x unit prices x (1 + margin) + the fixed part.

    `cpu` in millicores, `memory` and `storage` in MiB, `gpu` in units. The unit prices already hold the margin, exact at 24 decimals, so
    that the sum is exact and is rounded once to 18: down when `floor` is 1, else half to even (training document, Pricing Strategy).
    Bounds are checked when a desk is made: whole unit prices x quantities stay below 2^63.
    """
    tiny = (
        cpu * desk[Desk.CPU_TINY] + memory * desk[Desk.MEMORY_TINY] + storage * desk[Desk.STORAGE_TINY] + gpu * desk[Desk.GPU_TINY]
    )
    atto = (
        cpu * desk[Desk.CPU_ATTO] + memory * desk[Desk.MEMORY_ATTO] + storage * desk[Desk.STORAGE_ATTO] + gpu * desk[Desk.GPU_ATTO]
    )
    nano = (
        cpu * desk[Desk.CPU_NANO] + memory * desk[Desk.MEMORY_NANO] + storage * desk[Desk.STORAGE_NANO] + gpu * desk[Desk.GPU_NANO]
    )
    whole = (
        cpu * desk[Desk.CPU_WHOLE]
        + memory * desk[Desk.MEMORY_WHOLE]
        + storage * desk[Desk.STORAGE_WHOLE]
        + gpu * desk[Desk.GPU_WHOLE]
    )
    carry = tiny // PPM
    rest = tiny - carry * PPM
    atto += carry
    if floor == 0 and (2 * rest > PPM or (2 * rest == PPM and atto % 2 == 1)):
        atto += 1
    carry = atto // NANO
    atto -= carry * NANO
    nano += carry
    carry = nano // NANO
    nano -= carry * NANO
    if desk[Desk.PLAIN] == 1:
        return whole + carry, nano * NANO + atto
    return finish_price(desk, whole + carry, nano * NANO + atto)


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
    """Write the four limbs of floor(unit price x multiplier / 10^6) x factor / 10^6 from `column` on, exact at 24 decimals.

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
    desk[column] = whole // PPM + middle // NANO
    desk[column + 1] = middle % NANO
    desk[column + 2] = small % NANO
    desk[column + 3] = low % PPM


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


@compiled
def has_room(desk: Table, track: Table) -> bool:
    """Return whether the order's resources and one more lease fit beside what is leased and reserved."""
    if desk[Desk.CAP_CPU] - desk[Desk.LEASED_CPU] - desk[Desk.RESERVED_CPU] < track[Track.CPU]:
        return False
    if desk[Desk.CAP_MEMORY] - desk[Desk.LEASED_MEMORY] - desk[Desk.RESERVED_MEMORY] < track[Track.MEMORY]:
        return False
    if desk[Desk.CAP_STORAGE] - desk[Desk.LEASED_STORAGE] - desk[Desk.RESERVED_STORAGE] < track[Track.STORAGE]:
        return False
    if desk[Desk.CAP_GPU] - desk[Desk.LEASED_GPU] - desk[Desk.RESERVED_GPU] < track[Track.GPU]:
        return False
    return bool(desk[Desk.LEASE_CAPACITY] < 0 or desk[Desk.LEASES] < desk[Desk.LEASE_CAPACITY])


@compiled
def standing_refusal(e: Engine, desk_row: int, spec: int, cpu: int, memory: int, storage: int, gpu: int) -> int:
    """Return 0, or 1 + Decline: the checks 1 to 6 of an engine (protocol reference 4.5) that no price enters."""
    desk = e.desks[desk_row]
    if desk[Desk.ENABLED] == 0 or desk[Desk.UP] == 0:
        return 1 + Decline.ENGINE_DISABLED
    refusal = e.fits[spec, desk_row]
    if refusal != 0:
        return int(refusal)
    if cpu > desk[Desk.MAX_CPU] or memory > desk[Desk.MAX_MEMORY] or storage > desk[Desk.MAX_STORAGE] or gpu > desk[Desk.MAX_GPU]:
        return 1 + Decline.INSUFFICIENT_RESOURCES
    return 0


@compiled
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


@compiled
def hold(desk: Table, track: Table, column: int, sign: int) -> None:
    """Add (`sign` 1) or remove (-1) the order's resources at `column` (LEASED_CPU or RESERVED_CPU) of a desk."""
    desk[column] += sign * track[Track.CPU]
    desk[column + 1] += sign * track[Track.MEMORY]
    desk[column + 2] += sign * track[Track.STORAGE]
    desk[column + 3] += sign * track[Track.GPU]


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
