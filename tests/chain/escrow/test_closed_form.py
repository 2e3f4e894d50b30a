"""The price of what a lease meters, read in closed form, is the definition's: every cut of a unit, floored once at the 18th decimal."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import example, given, settings
from hypothesis import strategies as st
from one_account import OneAccount

from marketsim.chain.columns import Charging, ClosedForm, EscrowRule, Lease, Usage
from marketsim.chain.escrow import exact
from marketsim.chain.status import Status
from marketsim.money.pairs import from_pair, to_pair
from marketsim.money.units import ATTO, PPM

ONE = OneAccount(EscrowRule.EXACT, 10_000, charging=Charging.USAGE_CAPPED, opened_at=0)
assert ONE.open("p1", "6", usage={"reserved": (1, 0, 0, 0), "unit": ("1", "0", "0", "0"), "ppm": PPM, "active_at": 0}) == Status.Ok

UNITS = st.one_of(st.just(0), st.integers(0, 400 * ATTO), st.integers(0, 9_000).map(lambda n: n * 10**15))
RESERVED = st.one_of(st.just(0), st.integers(1, 64), st.integers(1, 2_000_000), st.integers(1, 2**42))


def definition(rate: int, ppm: int, block_ms: int, reserved: list[int], unit: list[int], blocks: int) -> int:
    """U in atto-uve by its definition (rules.md 1), in fractions; -1 where nothing that is reserved has a price."""
    used = [ppm * block_ms * r * blocks // 10**9 for r in reserved]
    whole = block_ms * sum(u * r for u, r in zip(unit, reserved, strict=True))
    return int(Fraction(rate * 1000 * sum(u * q for u, q in zip(unit, used, strict=True)), whole)) if whole else -1


@settings(max_examples=300, deadline=None)
@given(
    rate=st.one_of(st.integers(1, 2_000 * ATTO), st.integers(1, 10**4).map(lambda n: n * ATTO), st.integers(1, 10**10 * ATTO - 1)),
    ppm=st.one_of(st.integers(0, PPM), st.sampled_from([500_000, 950_000, PPM, PPM + 1])),
    block_ms=st.sampled_from([6_000, 6_117, 500, 1_000, 86_400_000]),
    reserved=st.lists(RESERVED, min_size=4, max_size=4),
    unit=st.lists(UNITS, min_size=4, max_size=4),
    marked=st.one_of(st.none(), st.integers(1, 20_000), st.just(11_000)),
    blocks=st.one_of(st.integers(0, 200_000), st.integers(0, 500_000_000)),
)
@example(rate=1, ppm=500_000, block_ms=6_117, reserved=[0, 0, 163_479, 0], unit=[0, 0, 1, 0], marked=None, blocks=2)
@example(rate=10 * ATTO, ppm=333_333, block_ms=6_000, reserved=[1, 0, 0, 0], unit=[ATTO, 0, 0, 0], marked=None, blocks=3)
@example(rate=1, ppm=999_999, block_ms=500, reserved=[1, 1, 1, 1], unit=[ATTO, ATTO, ATTO, ATTO], marked=None, blocks=499_999_999)
def test_the_closed_form_is_the_definition(
    rate: int, ppm: int, block_ms: int, reserved: list[int], unit: list[int], marked: int | None, blocks: int
) -> None:
    s = ONE.state
    if marked is not None:
        rate = max(1, marked * sum(u * r for u, r in zip(unit, reserved, strict=True)) // 10_000)
        if rate >= 10**10 * ATTO:
            return
    s.globals.block_ms = block_ms
    s.scratch[:] = 10**9 - 1
    s.leases[0, Lease.rate], s.leases[0, Lease.rate_atto] = to_pair(rate)
    u = s.usage[0]
    u.until = u.metered = 0
    u.utilization_ppm = ppm
    u.closed_form = ClosedForm.UNKNOWN
    for k in range(4):
        u[Usage.reserved_cpu + k] = reserved[k]
        u[Usage.unit_cpu + 2 * k], u[Usage.unit_cpu + 2 * k + 1] = to_pair(unit[k])
    if ppm == PPM and block_ms % 1000 == 0:
        return  # full use is the price of the blocks, whatever units weigh
    wanted = definition(rate, ppm, block_ms, reserved, unit, blocks)
    if wanted >= (2**63 - 1) * ATTO or any(ppm * block_ms * r * blocks // 10**27 >= 2**63 for r in reserved):
        return
    for _ in range(2):  # found, then read
        whole, atto = exact.priced_use(s, blocks, 0)
        assert from_pair(whole, atto) == (wanted if wanted >= 0 else -ATTO)


def a_lease(rate: int, ppm: int, reserved: tuple[int, ...], unit: tuple[int, ...]) -> None:
    s = ONE.state
    s.globals.block_ms = 6_000
    s.leases[0, Lease.rate], s.leases[0, Lease.rate_atto] = to_pair(rate)
    u = s.usage[0]
    u.until = u.metered = 0
    u.utilization_ppm = ppm
    u.closed_form = ClosedForm.UNKNOWN
    for k in range(4):
        u[Usage.reserved_cpu + k] = reserved[k]
        u[Usage.unit_cpu + 2 * k], u[Usage.unit_cpu + 2 * k + 1] = to_pair(unit[k])


RESERVES = (3_562, 3_648, 1_024, 2)
UNIT_PRICES = (3_331_387_500_000_000, 1_618_102_500_000_000, 42_832_125_000_000, 10**18)


def test_a_price_that_is_its_unit_prices_times_a_ratio_and_any_other_are_read_in_closed_form() -> None:
    base = sum(u * r for u, r in zip(UNIT_PRICES, RESERVES, strict=True))
    for rate, form in ((base * 11 // 10, ClosedForm.MARKED_UP), (base * 11 // 10 + 1, ClosedForm.LINEAR)):
        a_lease(rate, 603_294, RESERVES, UNIT_PRICES)
        for h in range(1, 60):
            wanted = definition(rate, 603_294, 6_000, list(RESERVES), list(UNIT_PRICES), h)
            assert from_pair(*exact.priced_use(ONE.state, h, 0)) == wanted
        assert ONE.state.usage[0].closed_form == form


def test_a_marked_up_price_is_exact_up_to_the_last_block_whose_products_fit_and_behind_it() -> None:
    for reserved, unit in (
        ((2**22, 7, 0, 0), (10**15, ATTO, 0, 0)),
        ((384_000, 2**21, 2**25, 24), (9 * ATTO, ATTO // 3 * 2, 10**13, 400 * ATTO)),
    ):
        rate = sum(u * r for u, r in zip(unit, reserved, strict=True)) * 5 // 4
        a_lease(rate, 500_000, reserved, unit)
        exact.priced_use(ONE.state, 1, 0)
        assert ONE.state.usage[0].closed_form == ClosedForm.MARKED_UP
        last = int(ONE.state.usage[0].mark_up_blocks)
        assert 1_000 < last < 10**7, "else no block is behind it"
        for h in (last - 1, last, last + 1, 2 * last):
            wanted = definition(rate, 500_000, 6_000, list(reserved), list(unit), h)
            assert from_pair(*exact.priced_use(ONE.state, h, 0)) == wanted
