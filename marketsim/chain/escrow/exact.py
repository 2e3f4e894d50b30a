"""Escrow under rule set `seed`: exact accrual, fractions carried, shortfall found at the block it happens
(rules.md 1).

An active payment accrues its price for every block since the account was last settled; what it was charged is
cumulative, so that settling more often moves no money. Three things happen by themselves: the settlement
every G.settle_every blocks (`fold`), the due settlement at the first block that the account may be unable to
pay (`due`, at Account.due_at) and the end of grace (`grace_end`, at Account.grace_at). Their heights are kept
in closed form; nobody has to poll. The caller keeps a calendar of DUE_AT and GRACE_AT and calls each at its
height; settlements of the cadence are folded into whatever touches the account next.

Folding rests on an account never owing more for a block than the sum of its prices. Use that was recorded
after a settlement breaks that once (the cap is on the total, so a late record catches up), use without a cap
always. DUE_AT then names the next settlement of the cadence, if that is earlier. It may also lie too early,
while settlements are unfolded. `due` copes with both: it settles as the cadence does, or only folds.

A payment is never debited without credit: what it gets leaves the deposits first in first out.
"""

from __future__ import annotations

from marketsim.chain.columns import Account, AccountState, Charging, ClosedForm, EventKind, G, Lease, PaymentState, Usage
from marketsim.chain.escrow.accounts import (
    consume,
    drop_fraction,
    is_key_used,
    leave_open,
    leave_overdrawn,
    link_payment,
    pay,
    refund_deposits,
)
from marketsim.chain.events import emit, note
from marketsim.chain.ledger import touch
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.kernel.compiled import compiled
from marketsim.kernel.intrinsics import rarely
from marketsim.money.doubled import doubled_of, doubled_quotient, doubled_sum, doubled_times, pair_of
from marketsim.money.pairs import BLOCKS_MAX, RATE_MAX, add, add_to, blocks_covered, is_less, subtract, times
from marketsim.money.units import ATTO, PPM
from marketsim.money.wide import (
    BASE,
    PAIR_LIMBS,
    add_limbs,
    divide_limbs_floor,
    length_of,
    mul_div_floor,
    mul_int_div_floor,
    multiply_limbs,
    put_pair,
    put_whole,
    take_pair,
)

PRICED_USE_MAX = 1_000_000_000_000_000_000
"""Most that the use of one lease may come to, whole uve; a record that would pass it is refused
(AmountTooLarge).
"""

_RESOURCES = 4
_RESERVED_MAX = 1 << 52
_UNIT_MAX = 1 << 52
_UNITS_MAX = 1e12
"""Bounds within which the price of metered use has a closed form in int64 and in floats that are whole: what is reserved of a resource, its
unit price, the unit prices of all that is reserved (uve).
"""
_DIVISOR_MAX = 9_000_000_000
"""Largest divisor of a pair limb by limb: a rest x 10^9 stays within int64."""
_PRODUCT_MAX = 2e18
"""Most whole uve of a product of which four are added."""
_COUNT_MAX = 1e17
"""Most units used, so that four products of their higher digits with a limb, added to four of the lower ones, stay within int64."""
_LOSS_MAX = 2e27
"""Most atto-uve of a `loss`: four of them times 10^9 stay within int64."""
_DOUBT = 32
"""Millionths of an atto by which `_price_less_cuts` may be off: four losses by four each, their sum cut, and as much again."""
_RATE_BLOCKS_MAX = 9_000_000
"""Most that price x (millions of blocks) may be, so that price x blocks x 10^6 stays within int64."""


# --- metering -----------------------------------------------------------------------------------------------


@compiled
def metered_until(s: State, h: int, lease: int) -> int:
    """Return the blocks that the built-in meter has seen when it is read at h: from the height at which the
    workload runs.
    """
    p = s.leases[lease]
    u = s.usage[p.usage]
    metered: int = u.metered
    if p.active_at < 0 or p.payment != PaymentState.OPEN:
        return metered
    start: int = max(u.until, p.active_at)
    return metered + max(0, h - start)


@compiled
def used(s: State, h: int, lease: int, resource: int) -> tuple[int, int]:
    """Return what the lease has used of resource 0..3 (cpu ms, byte-seconds twice, gpu seconds) as (high,
    low): high x 10^18 + low.

    Recorded use, or with a built-in meter floor(share x reserved x block seconds x metered blocks) on the
    cumulative value.
    """
    u = s.usage[s.leases[lease].usage]
    ppm = u.utilization_ppm
    if ppm < 0:
        return u[Usage.used_cpu + 2 * resource], u[Usage.used_cpu + 2 * resource + 1]
    share = ppm * s.globals.block_ms
    blocks = metered_until(s, h, lease)
    return mul_int_div_floor(s.scratch, share, u[Usage.reserved_cpu + resource], blocks, 1_000_000_000)


@compiled
def priced_use(s: State, h: int, lease: int) -> tuple[int, int]:
    """Return U(h), the price of what the lease has used since it began: a pair, floored once at the 18th
    decimal (rules.md 1).

    U = price x sum of unit x used / (block seconds x sum of unit x reserved), over the resources that are
    reserved; (-1, 0) when no reserved resource has a unit price, or beyond int64.
    """
    p = s.leases[lease]
    u = s.usage[p.usage]
    if u.utilization_ppm == PPM and s.globals.block_ms % 1000 == 0:
        # Full use of whole seconds has no fraction to lose: U is the price of the metered blocks.
        return times(p.rate, p.rate_atto, metered_until(s, h, lease))
    if u.utilization_ppm >= 0:
        if u.closed_form == ClosedForm.UNKNOWN:
            _find_closed_form(s, lease)
        if u.closed_form == ClosedForm.MARKED_UP:
            return _marked_up_use(s, h, lease)
        if u.closed_form == ClosedForm.LINEAR:
            whole, atto = _price_less_cuts(s, h, lease)
            if whole >= 0:
                return whole, atto
    return _priced_in_full(s, h, lease)


@compiled
def _find_closed_form(s: State, lease: int) -> None:
    """Write how the use of a lease that meters itself is priced, once a lease: MARKED_UP if that fits, else LINEAR."""
    u = s.usage[s.leases[lease].usage]
    u.closed_form = ClosedForm.FAILS
    if u.utilization_ppm > PPM:
        return
    for resource in range(_RESOURCES):
        if u[Usage.reserved_cpu + resource] > _RESERVED_MAX or u[Usage.unit_cpu + 2 * resource] > _UNIT_MAX:
            return
    if _find_mark_up(s, lease):
        u.closed_form = ClosedForm.MARKED_UP
    elif _find_losses(s, lease):
        u.closed_form = ClosedForm.LINEAR


@compiled
def _find_mark_up(s: State, lease: int) -> bool:
    # Whether price = ratio x sum of unit x reserved with a ratio of six decimals: use costs ratio x sum of unit x used / seconds then.
    p = s.leases[lease]
    u = s.usage[p.usage]
    whole, atto = 0, 0
    for resource in range(_RESOURCES):
        reserved = u[Usage.reserved_cpu + resource]
        if reserved > 0:
            part = times(u[Usage.unit_cpu + 2 * resource], u[Usage.unit_cpu + 2 * resource + 1], reserved)
            whole, atto = add(whole, atto, part[0], part[1])
    base = float(whole) + float(atto) * 1e-18
    price = float(p.rate) + float(p.rate_atto) * 1e-18
    divisor = s.globals.block_ms * (PPM // 1000)
    if divisor > _DIVISOR_MAX or base > _UNITS_MAX or price > 100.0 * base or base == 0.0:
        return False
    ratio = int(price / base * PPM + 0.5)
    marked = times(whole, atto, ratio)
    wanted = times(p.rate, p.rate_atto, PPM)
    if marked[0] != wanted[0] or marked[1] != wanted[1]:
        return False
    share = u.utilization_ppm * s.globals.block_ms
    if share > _DIVISOR_MAX:
        return False
    most = float(BLOCKS_MAX)
    for resource in range(_RESOURCES):
        reserved = u[Usage.reserved_cpu + resource]  # share x reserved / 10^9, by parts that fit
        low = share * (reserved % BASE)
        units = share * (reserved // BASE) + low // BASE
        u[Usage.units_cpu + 2 * resource] = units
        u[Usage.step_cpu + resource] = low % BASE
        cost = float(max(1, ratio)) * float(u[Usage.unit_cpu + 2 * resource] + 1)
        most = min(most, _COUNT_MAX / float(units + 1), _PRODUCT_MAX / (cost * float(units + 1)))
    u.mark_up = ratio
    u.mark_up_divisor = divisor
    u.mark_up_blocks = int(most) - 1
    return True


@compiled
def _marked_up_use(s: State, h: int, lease: int) -> tuple[int, int]:
    # U(h) of ClosedForm.MARKED_UP, in limbs of nine digits: the sum of unit price x used, times the mark-up, over the divisor.
    u = s.usage[s.leases[lease].usage]
    blocks = metered_until(s, h, lease)
    if rarely(blocks > u.mark_up_blocks):
        return _priced_in_full(s, h, lease)
    whole, middle, low = 0, 0, 0
    for resource in range(_RESOURCES):
        count = u[Usage.units_cpu + 2 * resource] * blocks + u[Usage.step_cpu + resource] * blocks // BASE
        more, few = count // BASE, count % BASE
        atto = u[Usage.unit_cpu + 2 * resource + 1]
        unit_middle, unit_low = atto // BASE, atto % BASE
        low += unit_low * few
        middle += unit_middle * few + unit_low * more
        whole += u[Usage.unit_cpu + 2 * resource] * count + unit_middle * more
    middle += low // BASE
    ratio = u.mark_up
    low = low % BASE * ratio
    whole = (whole + middle // BASE) * ratio
    middle = middle % BASE * ratio + low // BASE
    divisor = u.mark_up_divisor
    whole += middle // BASE
    rest = whole % divisor * BASE + middle % BASE
    return whole // divisor, rest // divisor * BASE + (rest % divisor * BASE + low % BASE) // divisor


@compiled
def _find_losses(s: State, lease: int) -> bool:
    """Write what `_price_less_cuts` needs; return whether it fits.

    With n metered blocks resource r has used c R n / 10^9, cut to whole units, where c is share x block ms and R what is reserved. Without
    the cuts U would be price x n x share; what the cut leaves off, f / 10^9 of a unit, takes price x unit x f / (block ms x sum of unit x
    reserved) millionths of an atto off. `step` is c R modulo 10^9, so that f = step x n modulo 10^9; `loss` is that quotient without f,
    10^9 times, off by four at most.
    """
    p = s.leases[lease]
    u = s.usage[p.usage]
    share = u.utilization_ppm * s.globals.block_ms % BASE
    weight, weight_low = 0.0, 0.0
    for resource in range(_RESOURCES):
        reserved = u[Usage.reserved_cpu + resource]
        if reserved > 0:
            unit, unit_low = doubled_of(u[Usage.unit_cpu + 2 * resource], u[Usage.unit_cpu + 2 * resource + 1])
            part, part_low = doubled_times(unit, unit_low, float(reserved), 0.0)
            weight, weight_low = doubled_sum(weight, weight_low, part, part_low)
    if weight == 0.0:
        return False
    weight, weight_low = doubled_times(weight, weight_low, float(s.globals.block_ms), 0.0)
    price, price_low = doubled_of(p.rate, p.rate_atto)
    price, price_low = doubled_times(price, price_low, 1e9, 0.0)
    price, price_low = doubled_quotient(price, price_low, weight, weight_low)
    for resource in range(_RESOURCES):
        u[Usage.step_cpu + resource] = 0
        reserved = u[Usage.reserved_cpu + resource]
        whole, atto = u[Usage.unit_cpu + 2 * resource], u[Usage.unit_cpu + 2 * resource + 1]
        if reserved > 0 and (whole > 0 or atto > 0):
            unit, unit_low = doubled_of(whole, atto)
            loss, loss_low = doubled_times(price, price_low, unit, unit_low)
            if loss > _LOSS_MAX:
                return False
            u[Usage.step_cpu + resource] = share * (reserved % BASE) % BASE
            u[Usage.loss_cpu + 2 * resource], u[Usage.loss_cpu + 2 * resource + 1] = pair_of(loss, loss_low)
    return True


@compiled
def _price_less_cuts(s: State, h: int, lease: int) -> tuple[int, int]:
    # U(h) of ClosedForm.LINEAR; (-1, 0) where that is too near to a whole atto to tell, about one in 15,000, or leaves int64.
    p = s.leases[lease]
    u = s.usage[p.usage]
    blocks = metered_until(s, h, lease)
    if p.rate * (blocks // PPM + 1) > _RATE_BLOCKS_MAX:
        return -1, 0
    whole, atto = times(p.rate, p.rate_atto, blocks * u.utilization_ppm)  # in millionths, without the cuts
    lost, lost_atto, is_cut = 0, 0, False
    for resource in range(_RESOURCES):
        cut = u[Usage.step_cpu + resource] * blocks % BASE
        if cut > 0:
            is_cut = True
            part = times(u[Usage.loss_cpu + 2 * resource], u[Usage.loss_cpu + 2 * resource + 1], cut)
            lost, lost_atto = add(lost, lost_atto, part[0], part[1])
    if is_cut:
        whole, atto = subtract(whole, atto, lost // BASE, lost % BASE * BASE + lost_atto // BASE)
        if atto % PPM < _DOUBT or atto % PPM >= PPM - _DOUBT:
            return -1, 0
    return whole // PPM, whole % PPM * (ATTO // PPM) + atto // PPM


@compiled
def _priced_in_full(s: State, h: int, lease: int) -> tuple[int, int]:
    # U(h) whatever was used and however it was recorded, through wide integers.
    p = s.leases[lease]
    u = s.usage[p.usage]
    k = s.scratch
    for i in range(100, 140):
        k[i] = 0
    for resource in range(_RESOURCES):
        reserved = u[Usage.reserved_cpu + resource]
        if reserved > 0:
            unit = u[Usage.unit_cpu + 2 * resource]
            unit_atto = u[Usage.unit_cpu + 2 * resource + 1]
            high, low = used(s, h, lease, resource)
            put_pair(k, 0, unit, unit_atto)
            put_pair(k, 5, high, low)
            limbs = multiply_limbs(k, 0, PAIR_LIMBS, 5, PAIR_LIMBS, 20)
            add_limbs(k, 100, 12, 20, limbs)
            put_whole(k, 10, reserved)
            limbs = multiply_limbs(k, 0, PAIR_LIMBS, 10, 3, 20)
            add_limbs(k, 120, 12, 20, limbs)
    # dividend: price x sum x 1000 ms; divisor: sum of reserved x block ms
    put_pair(k, 0, p.rate, p.rate_atto)
    put_whole(k, 10, 1000)
    limbs = multiply_limbs(k, 0, PAIR_LIMBS, 10, 1, 20)
    limbs = multiply_limbs(k, 20, limbs, 100, length_of(k, 100, 12), 140)
    put_whole(k, 10, s.globals.block_ms)
    divisor = multiply_limbs(k, 120, length_of(k, 120, 12), 10, 2, 180)
    if divisor == 0:
        return -1, 0
    limbs = divide_limbs_floor(k, 140, limbs, 180, divisor, 220)
    return take_pair(k, 220, limbs)


@compiled
def read_meter(s: State, h: int, lease: int) -> None:
    """Bring a built-in meter up to h."""
    row = s.leases[lease].usage
    if row < 0:
        return
    u = s.usage[row]
    if u.utilization_ppm >= 0:
        u.metered = metered_until(s, h, lease)
        u.until = max(h, u.until)


@compiled
def start_meter(s: State, h: int, lease: int) -> None:
    """Let the meter of the lease, if it has one, count from h, or from later where what it reads comes late."""
    row = s.leases[lease].usage
    if row >= 0:
        s.usage[row].until = max(h, s.usage[row].until)


@compiled
def record_usage(s: State, h: int, lease: int, cpu: int, memory: int, storage: int, gpu: int) -> Status:
    """Add what the lease used since its last record: cpu milliseconds, byte-seconds, byte-seconds, gpu
    seconds, recorded up to h.

    LeaseNotActive unless the payment is open (an insufficient_funds lease records nothing), UsageInvalid for
    a negative quantity, a lease without meter or one that meters itself, AmountTooLarge beyond PRICED_USE_MAX. Settlements of the
    cadence below h come first; DUE_AT may move. Overlap, lateness and who may report are the message
    handler's to check. Emits UsageRecorded.
    """
    p = s.leases[lease]
    row = p.usage
    if p.payment != PaymentState.OPEN:
        return Status.LeaseNotActive
    if row < 0 or s.usage[row].utilization_ppm >= 0 or cpu < 0 or memory < 0 or storage < 0 or gpu < 0:
        return Status.UsageInvalid
    fold(s, h - 1, p.account)
    if p.payment != PaymentState.OPEN:
        return Status.LeaseNotActive
    status = add_use(s, h, lease, cpu, memory, storage, gpu)
    if status != Status.Ok:
        return status
    schedule(s, p.account)
    emit(s, EventKind.USAGE_RECORDED, lease, h, 0, 0, 0)
    return Status.Ok


@compiled
def add_use(s: State, h: int, lease: int, cpu: int, memory: int, storage: int, gpu: int) -> Status:
    """Add to what the lease has used, up to h; AmountTooLarge, and nothing added, beyond PRICED_USE_MAX."""
    row = s.leases[lease].usage
    _add_use(s, row, cpu, memory, storage, gpu)
    whole, _ = priced_use(s, h, lease)
    if whole > PRICED_USE_MAX or (whole < 0 and _is_priced(s, row)):
        _take_use(s, row, cpu, memory, storage, gpu)
        return Status.AmountTooLarge
    s.usage[row].until = h
    return Status.Ok


@compiled
def _is_priced(s: State, row: int) -> bool:
    u = s.usage[row]
    for resource in range(_RESOURCES):
        if u[Usage.reserved_cpu + resource] > 0:
            if u[Usage.unit_cpu + 2 * resource] > 0 or u[Usage.unit_cpu + 2 * resource + 1] > 0:
                return True
    return False


@compiled
def _quantity(cpu: int, memory: int, storage: int, gpu: int, resource: int) -> int:
    if resource == 0:
        return cpu
    if resource == 1:
        return memory
    if resource == 2:
        return storage
    return gpu


@compiled
def _add_use(s: State, row: int, cpu: int, memory: int, storage: int, gpu: int) -> None:
    u = s.usage[row]
    for resource in range(_RESOURCES):
        quantity = _quantity(cpu, memory, storage, gpu, resource)
        add_to(u, Usage.used_cpu + 2 * resource, quantity // ATTO, quantity % ATTO)


@compiled
def _take_use(s: State, row: int, cpu: int, memory: int, storage: int, gpu: int) -> None:
    u = s.usage[row]
    for resource in range(_RESOURCES):
        quantity = _quantity(cpu, memory, storage, gpu, resource)
        add_to(u, Usage.used_cpu + 2 * resource, -(quantity // ATTO) - 1, ATTO - quantity % ATTO)


# --- what is owed -------------------------------------------------------------------------------------------


@compiled
def _is_share(u: Usage) -> bool:
    # Whether what is used is known to be a share of what is reserved.
    return bool(u.closed_form == ClosedForm.MARKED_UP or u.closed_form == ClosedForm.LINEAR)


@compiled
def charge(s: State, h: int, lease: int) -> tuple[int, int]:
    """Return C(h), what an open payment owes since it began, by G.charging (rules.md 1); a pair, nothing is
    changed.
    """
    p = s.leases[lease]
    delta = h - s.accounts[p.account].settled_at
    charging = s.globals.charging
    if charging == Charging.RATE or p.usage < 0:
        return times(p.rate, p.rate_atto, p.blocks + delta)
    use = priced_use(s, h, lease)
    if use[0] >= 0:
        u = s.usage[p.usage]
        if charging != Charging.USAGE_CAPPED or (_is_share(u) and metered_until(s, h, lease) <= p.blocks + delta):
            return use  # a share of what the metered blocks cost is no more than these
    accrued = times(p.rate, p.rate_atto, p.blocks + delta)
    if use[0] < 0 or is_less(accrued[0], accrued[1], use[0], use[1]):
        return accrued
    return use


@compiled
def owed(s: State, h: int, lease: int) -> tuple[int, int]:
    """Return what a settlement at h would move to an open payment: C(h) less what it was charged before; a
    pair.
    """
    p = s.leases[lease]
    if s.globals.charging == Charging.RATE:
        return times(p.rate, p.rate_atto, h - s.accounts[p.account].settled_at)
    whole, atto = charge(s, h, lease)
    return subtract(whole, atto, p.charged, p.charged_atto)


@compiled
def owed_by(s: State, h: int, account: int) -> tuple[int, int]:
    """Return what a settlement at h would move to all open payments of the account; a pair."""
    a = s.accounts[account]
    if s.globals.charging == Charging.RATE:
        return times(a.rates, a.rates_atto, h - a.settled_at)
    whole, atto = 0, 0
    lease = a.first_lease
    while lease >= 0:
        if s.leases[lease].payment == PaymentState.OPEN:
            part = owed(s, h, lease)
            whole, atto = add(whole, atto, part[0], part[1])
        lease = s.leases[lease].next
    return whole, atto


@compiled
def is_short(s: State, h: int, account: int) -> bool:
    """Return whether a settlement at h would find more owed than there is."""
    a = s.accounts[account]
    if a.open == 0:
        return False
    whole, atto = owed_by(s, h, account)
    return is_less(a.funds, a.funds_atto, whole, atto)


# --- settling -----------------------------------------------------------------------------------------------


@compiled
def _credit(s: State, h: int, lease: int, delta: int, whole: int, atto: int) -> None:
    # Move an amount that the account has to a payment and pay its whole uve; the caller takes it from the
    # deposits.
    p = s.leases[lease]
    p.blocks += delta
    if whole != 0 or atto != 0:
        add_to(p, Lease.balance, whole, atto)
        add_to(s.accounts[p.account], Account.transferred, whole, atto)
        note(s, EventKind.SETTLED, lease, h, whole, atto, delta)
        pay(s, lease, True)


@compiled
def dry_at(s: State, account: int) -> int:
    """Return settled_at + floor(funds / sum of prices) + 1, the first block that the account may be unable to
    pay; -1 without payment.
    """
    a = s.accounts[account]
    if a.open == 0:
        return -1
    covered = blocks_covered(a.funds, a.funds_atto, a.rates, a.rates_atto, BLOCKS_MAX)
    settled: int = a.settled_at
    return settled + covered + 1


@compiled
def _may_have_new_use(s: State, account: int) -> bool:
    # Whether there may be use that the last settlement has not seen: always without a cap.
    if s.globals.charging == Charging.USAGE:
        return True
    a = s.accounts[account]
    lease = a.first_lease
    while lease >= 0:
        p = s.leases[lease]
        row = p.usage
        if p.payment == PaymentState.OPEN and row >= 0 and s.usage[row].utilization_ppm < 0:
            if s.usage[row].until >= a.settled_at:
                return True
        lease = p.next
    return False


@compiled
def schedule(s: State, account: int) -> None:
    """Compute DUE_AT anew: the due height, or the settlement of the cadence that sees new use, if that comes
    first; -1 without payment.

    No settlement of the cadence lies between settled_at and a record, because recording folds; so the one that
    sees any new use is the next one.
    """
    a = s.accounts[account]
    height = dry_at(s, account)
    if s.globals.charging != Charging.RATE and _may_have_new_use(s, account):
        seen = next_cadence(s, a.settled_at, account)
        if seen >= 0:
            height = min(height, seen)
    a.due_at = height


@compiled
def _suspend(s: State, h: int, account: int) -> None:
    # Every open payment becomes insufficient_funds; grace begins.
    a = s.accounts[account]
    lease = a.first_lease
    while lease >= 0:
        if s.leases[lease].payment == PaymentState.OPEN:
            leave_open(s, lease, PaymentState.OVERDRAWN)
        lease = s.leases[lease].next
    a.due_at = -1
    a.grace_at = h + s.globals.grace


@compiled
def _settle_short(s: State, h: int, account: int, total: int, total_atto: int) -> None:
    # More is owed than there is: share the funds in proportion to what is owed, the last key takes the rest,
    # the missing part is forgiven.
    a = s.accounts[account]
    funds, funds_atto = a.funds, a.funds_atto
    delta = h - a.settled_at
    left, left_atto = funds, funds_atto
    consume(s, account, funds, funds_atto)
    a.funds = 0
    a.funds_atto = 0
    remaining = a.open
    lease = a.first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OPEN:
            remaining -= 1
            due_whole, due_atto = owed(s, h, lease)
            if remaining == 0:
                share, share_atto = left, left_atto
            else:
                share, share_atto = mul_div_floor(s.scratch, funds, funds_atto, due_whole, due_atto, total, total_atto)
                left, left_atto = subtract(left, left_atto, share, share_atto)
            read_meter(s, h, lease)
            add_to(p, Lease.charged, due_whole, due_atto)
            missing, missing_atto = subtract(due_whole, due_atto, share, share_atto)
            if missing != 0 or missing_atto != 0:
                add_to(p, Lease.shortfall, missing, missing_atto)
                add_to(a, Account.shortfall, missing, missing_atto)
                add_to(s.globals, G.shortfall, missing, missing_atto)
            _credit(s, h, lease, delta, share, share_atto)
            if missing != 0 or missing_atto != 0:
                emit(s, EventKind.SHORTFALL, lease, h, missing, missing_atto, 0)
        lease = p.next
    a.settled_at = h
    _suspend(s, h, account)


@compiled
def settle(s: State, h: int, account: int, is_due: bool) -> bool:
    """Settle and pay every open payment at h >= settled_at; return whether the payments became
    insufficient_funds.

    `is_due` says that this is the due settlement, which also ends them when it leaves less than one block.
    Without an open payment only settled_at moves.
    """
    a = s.accounts[account]
    if a.open == 0:
        a.settled_at = h
        return False
    total, total_atto = owed_by(s, h, account)
    return _settle_owed(s, h, account, is_due, total, total_atto)


@compiled
def _settle_owed(s: State, h: int, account: int, is_due: bool, total: int, total_atto: int) -> bool:
    # Settle open payments that are owed `total` (a pair) at h; as `settle`.
    a = s.accounts[account]
    touch(s, account)
    if is_less(a.funds, a.funds_atto, total, total_atto):
        _settle_short(s, h, account, total, total_atto)
        return True
    delta = h - a.settled_at
    if total != 0 or total_atto != 0:
        consume(s, account, total, total_atto)
        a.funds, a.funds_atto = subtract(a.funds, a.funds_atto, total, total_atto)
    lease = a.first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OPEN:
            whole, atto = total, total_atto
            if a.open > 1:
                whole, atto = owed(s, h, lease)
            read_meter(s, h, lease)
            add_to(p, Lease.charged, whole, atto)
            _credit(s, h, lease, delta, whole, atto)
        lease = p.next
    a.settled_at = h
    if is_due and is_less(a.funds, a.funds_atto, a.rates, a.rates_atto):
        _suspend(s, h, account)
        return True
    schedule(s, account)
    return False


# --- what happens by itself ---------------------------------------------------------------------------------


@compiled
def last_cadence(s: State, h: int, account: int) -> int:
    """Return the last height up to h that is congruent to the account's created_at by G.settle_every;
    created_at without a cadence.
    """
    created: int = s.accounts[account].created_at
    every: int = s.globals.settle_every
    if every <= 0:
        return created
    return h - (h - created) % every


@compiled
def next_cadence(s: State, h: int, account: int) -> int:
    """Return the first height above h at which the account settles by its cadence; -1 while it has no open
    payment.
    """
    every: int = s.globals.settle_every
    if every <= 0 or s.accounts[account].open == 0:
        return -1
    return last_cadence(s, h, account) + every


@compiled
def fold(s: State, h: int, account: int) -> bool:
    """Apply every settlement of the cadence above settled_at and up to h; return whether the payments became
    insufficient_funds.

    They commute: only the last one matters while it can be paid, and one event stands for the span. If it
    cannot, the first that cannot is found by halving (what is owed only grows). The caller has run `due` at
    every DUE_AT below h.
    """
    a = s.accounts[account]
    if a.open == 0:
        return False
    g = s.globals
    height = g.height  # the record names the blocks in which the settlements fall
    last = last_cadence(s, h, account)
    if last <= a.settled_at:
        return False
    total, total_atto = owed_by(s, last, account)
    if is_less(a.funds, a.funds_atto, total, total_atto):
        every = g.settle_every
        first = last_cadence(s, a.settled_at, account) + every
        low, high = 0, (last - first) // every
        while low < high:
            middle = (low + high) // 2
            if is_short(s, first + middle * every, account):
                high = middle
            else:
                low = middle + 1
        last = first + low * every
        if low > 0:
            g.height = last - every
            settle(s, last - every, account, False)
        total, total_atto = owed_by(s, last, account)
    g.height = last
    short = _settle_owed(s, last, account, False, total, total_atto)
    g.height = height
    return short


@compiled
def due(s: State, h: int, account: int) -> bool:
    """Run the due settlement at h if the account is due there; return whether the payments became
    insufficient_funds.

    Folds first, which may show that the account is not due yet: DUE_AT is then later than h. Where the
    cadence falls on h there is one settlement, by the cadence. After the call look at Account.due_at,
    GRACE_AT and SHORT; the market's leases follow Lease.payment.
    """
    a = s.accounts[account]
    if fold(s, h - 1, account):
        return True
    if a.open == 0 or a.due_at != h:
        return False
    return settle(s, h, account, last_cadence(s, h, account) != h)


@compiled
def end_payments(s: State, account: int) -> None:
    """Close every payment that is not closed, its fraction to dust; the sums, due height and grace of the
    account are reset.
    """
    touch(s, account)
    a = s.accounts[account]
    lease = a.first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment != PaymentState.CLOSED:
            drop_fraction(s, lease)
            p.payment = PaymentState.CLOSED
        lease = p.next
    a.open = 0
    a.short = 0
    a.rates = 0
    a.rates_atto = 0
    a.due_at = -1
    a.grace_at = -1


@compiled
def grace_end(s: State, h: int, account: int) -> bool:
    """End the grace of an account at h: its insufficient_funds payments close, then it closes and the rest is
    refunded.

    Returns whether anything happened: not unless GRACE_AT is h. settled_at stays. The caller closes the
    leases, their orders and, with its last one, the deployment (reason insufficient_funds). Where orders of
    the deployment are still open use `end_payments` and leave the account open.
    """
    a = s.accounts[account]
    if a.grace_at != h or a.state != AccountState.OPEN:
        return False
    end_payments(s, account)
    a.state = AccountState.CLOSED
    refund_deposits(s, account)
    return True


@compiled
def step_to(s: State, h: int, account: int) -> int:
    """Let the next thing that the account does by itself up to h happen, alone, at its own height; return
    that height, or -1.

    For replays and tests: the clock folds instead. Within a block: settle, end of grace, due.
    """
    a = s.accounts[account]
    soonest = next_cadence(s, a.settled_at, account)
    if a.grace_at >= 0 and (soonest < 0 or a.grace_at < soonest):
        soonest = a.grace_at
    if a.due_at >= 0 and (soonest < 0 or a.due_at < soonest):
        soonest = a.due_at
    if soonest < 0 or soonest > h:
        return -1
    if not grace_end(s, soonest, account) and not fold(s, soonest, account):
        due(s, soonest, account)
    return soonest


# --- messages -----------------------------------------------------------------------------------------------


@compiled
def _is_stepwise(s: State) -> bool:
    # Use without cap may run out before the due height, so the settlements before a message must be looked at
    # one by one. Otherwise they can all be paid and the message's own settlement covers them, unless it finds a shortfall: what is
    # shared out then must not depend on who looked before.
    charging: int = s.globals.charging
    return charging == Charging.USAGE


@compiled
def _record_cadence(s: State, h: int, account: int) -> None:
    """Where settlements are on the record, let those of the cadence before a message stand there under their own height. They can all be
    paid, else the caller folds, so that no money moves otherwise."""
    if rarely((s.globals.event_mask >> EventKind.SETTLED) & 1 == 1) and not is_short(s, h, account):
        fold(s, h, account)


@compiled
def deposited(s: State, h: int, account: int) -> None:
    """Follow up a deposit into an open account: reactivate its insufficient_funds payments when funds now
    cover one block of them all.
    """
    a = s.accounts[account]
    if a.short == 0:
        schedule(s, account)
        return
    whole, atto = 0, 0
    lease = a.first_lease
    while lease >= 0:
        p = s.leases[lease]
        if p.payment == PaymentState.OVERDRAWN:
            whole, atto = add(whole, atto, p.rate, p.rate_atto)
        lease = p.next
    if is_less(a.funds, a.funds_atto, whole, atto):
        return
    lease = a.first_lease
    while lease >= 0:
        if s.leases[lease].payment == PaymentState.OVERDRAWN:
            leave_overdrawn(s, lease, PaymentState.OPEN)
            start_meter(s, h, lease)
        lease = s.leases[lease].next
    a.settled_at = h
    a.grace_at = -1
    schedule(s, account)


@compiled
def payment_open(s: State, h: int, account: int, lease: int) -> Status:
    """AccountClosed, AccountOverdrawn, PaymentRateZero, AmountTooLarge, PaymentExists; else settle and open
    the payment of `lease`.
    """
    a = s.accounts[account]
    p = s.leases[lease]
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    if _is_stepwise(s):
        fold(s, h, account)
    if a.short > 0 or is_short(s, h, account):
        return Status.AccountOverdrawn
    if p.rate == 0 and p.rate_atto == 0:
        return Status.PaymentRateZero
    if a.rates + p.rate >= RATE_MAX:
        return Status.AmountTooLarge
    if is_key_used(s, account, lease):
        return Status.PaymentExists
    _record_cadence(s, h, account)
    settle(s, h, account, False)
    link_payment(s, account, lease)
    start_meter(s, h, lease)
    schedule(s, account)
    touch(s, account)
    return Status.Ok


@compiled
def payment_withdraw(s: State, h: int, lease: int) -> Status:
    """PaymentClosed unless the payment is open; else settle and pay, like a forced settlement.

    Where it is the one to find the account dry, settlements of before that nobody looked at share out what there was, and it is Ok.
    """
    account = s.leases[lease].account
    if _is_stepwise(s):
        fold(s, h, account)
    if s.leases[lease].payment != PaymentState.OPEN:
        return Status.PaymentClosed
    if is_short(s, h, account):
        fold(s, h, account)
    _record_cadence(s, h, account)
    settle(s, h, account, False)
    return Status.Ok


@compiled
def payment_close(s: State, h: int, lease: int) -> Status:
    """PaymentClosed; else settle, close the payment, its fraction to dust. The others may have become
    insufficient_funds.
    """
    p = s.leases[lease]
    account = p.account
    a = s.accounts[account]
    if p.payment == PaymentState.CLOSED:
        return Status.PaymentClosed
    if _is_stepwise(s) or is_short(s, h, account):
        fold(s, h, account)
    touch(s, account)
    _record_cadence(s, h, account)
    settle(s, h, account, False)
    drop_fraction(s, lease)
    if p.payment == PaymentState.OPEN:
        leave_open(s, lease, PaymentState.CLOSED)
    else:
        leave_overdrawn(s, lease, PaymentState.CLOSED)
        if a.short == 0:
            a.grace_at = -1
    schedule(s, account)
    return Status.Ok


@compiled
def account_close(s: State, h: int, account: int) -> Status:
    """AccountClosed; else settle, close every payment and the account, refund whole uve, fractions to
    dust.
    """
    a = s.accounts[account]
    if a.state == AccountState.CLOSED:
        return Status.AccountClosed
    touch(s, account)
    if a.first_lease >= 0:
        if _is_stepwise(s) or is_short(s, h, account):
            fold(s, h, account)
        _record_cadence(s, h, account)
        settle(s, h, account, False)
        end_payments(s, account)
    a.settled_at = h
    a.state = AccountState.CLOSED
    refund_deposits(s, account)
    return Status.Ok


@compiled
def settle_forced(s: State, h: int, account: int) -> Status:
    """AccountClosed; else settle and pay every payment; settled_at moves also without one."""
    if s.accounts[account].state == AccountState.CLOSED:
        return Status.AccountClosed
    if _is_stepwise(s) or is_short(s, h, account):
        fold(s, h, account)
    _record_cadence(s, h, account)
    settle(s, h, account, False)
    return Status.Ok
