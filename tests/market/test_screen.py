"""What is computed of eight desks at a time is what each desk finds alone: refusals in their order, exact prices, latencies."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marketsim.chain.events import hash64
from marketsim.market.quoting import ALONE, LOW_VALUE, OVER_CEILING, SALT_LATENCY, prepare_desks, refresh_units, screen_desks
from marketsim.market.tables import LANES, QUANTILES, Decline, Desk, E, Engine, Pricing, Screen, codes_of, make_engine
from marketsim.money.units import ATTO, PPM

UNIT_PRICE = st.one_of(st.integers(0, 10**6), st.integers(0, 20 * ATTO), st.just(20 * ATTO - 1))
QUANTITIES = st.tuples(st.integers(1, 64_000), st.integers(1, 500_000), st.integers(0, 8_000_000), st.integers(0, 100))
DESK = st.fixed_dictionaries(
    {
        "prices": st.tuples(UNIT_PRICE, UNIT_PRICE, UNIT_PRICE, UNIT_PRICE),
        "margin": st.sampled_from([0, 1, 333_333, 100_000, 2 * PPM]),
        "most": st.tuples(*[st.sampled_from([0, 30_000, 10**7])] * 4),
        "least": st.one_of(st.just(0), st.integers(0, 10**13 * ATTO)),
        "blocks": st.sampled_from([0, 1, 2, 5, 4_094]),
        "code": st.sampled_from([0, 0, 0, 1 + Decline.INVALID_ATTRIBUTES]),
        "shut": st.sampled_from([0, 0, 0, 1 + Decline.PROVIDER_BLOCKED]),
        "strategy": st.sampled_from([Pricing.LINEAR, Pricing.LINEAR, Pricing.UNDERCUT]),
        "key": st.integers(0, 2**63 - 1),
    }
)


def _engine(desks: list[dict[str, Any]], seed: int, floor: bool) -> Engine:
    engine = make_engine(len(desks))
    engine.globals[[E.seed, E.price_floor]] = seed, floor
    for row, made in zip(engine.desks, desks, strict=True):
        row[[Desk.multiplier_ppm, Desk.margin_ppm, Desk.decimals]] = PPM, made["margin"], 18
        row[[Desk.strategy, Desk.latency_blocks]] = made["strategy"], made["blocks"]
        row[Desk.key] = made["key"]
        row[Desk.max_cpu : Desk.max_gpu + 1] = made["most"]
        row[[Desk.min_value, Desk.min_value_atto]] = divmod(made["least"], ATTO)
        row[Desk.shut] = made["shut"]
        for at, price in enumerate(made["prices"]):
            row[[Desk.list_cpu + 2 * at, Desk.list_cpu_atto + 2 * at]] = divmod(price, ATTO)
        refresh_units(row)
    prepare_desks(engine)
    for at, made in enumerate(desks):
        codes_of(engine.fits)[0, at] = made["code"]
    return engine


def _price(made: dict[str, Any], quantities: tuple[int, ...], floor: bool) -> int:
    """The price in atto: exact, rounded once."""
    total = sum(price * quantity for price, quantity in zip(made["prices"], quantities, strict=True))
    exact = Fraction(total * (PPM + made["margin"]), PPM)
    return exact.numerator // exact.denominator if floor else round(exact)


@given(
    st.lists(DESK, min_size=1, max_size=19),
    QUANTITIES,
    st.integers(0, 2**62),
    st.integers(0, 2**63 - 1),
    st.booleans(),
    st.sampled_from([-1, 0, 1]),
    st.data(),
)
def test_eight_desks_at_a_time(
    desks: list[dict[str, Any]],
    quantities: tuple[int, int, int, int],
    seed: int,
    order: int,
    floor: bool,
    beside: int,
    data: st.DataObject,
) -> None:
    prices = [_price(made, quantities, floor) for made in desks]
    # a ceiling beside one of the prices: equal is not above
    ceiling = max(0, data.draw(st.sampled_from(prices)) + beside)
    value = data.draw(st.sampled_from([made["least"] for made in desks] + [10**13 * ATTO]))
    engine = _engine(desks, seed, floor)
    screen_desks(engine, 0, order, *quantities, *divmod(ceiling, ATTO), *divmod(value, ATTO))
    for at, (made, price) in enumerate(zip(desks, prices, strict=True)):
        found = engine.screen[at // LANES].reshape(Screen.SIZE, LANES)[:, at % LANES]
        expected = 0
        if made["shut"]:
            expected = made["shut"]
        elif made["code"]:
            expected = made["code"]
        elif any(q > most for q, most in zip(quantities, made["most"], strict=True)):
            expected = 1 + Decline.INSUFFICIENT_RESOURCES
        elif made["strategy"] != Pricing.LINEAR:
            expected = ALONE
        elif value < made["least"]:
            expected = LOW_VALUE
        elif price > ceiling:
            expected = OVER_CEILING
        assert found[Screen.FOUND] == expected
        assert int(found[Screen.PRICE]) * ATTO + int(found[Screen.PRICE_ATTO]) == price
        draw = hash64(seed, SALT_LATENCY, order, made["key"])
        assert found[Screen.DELAY] == (draw % made["blocks"] if made["blocks"] else ~(draw % QUANTILES))


def test_quantities_whose_limbs_could_overflow_are_priced_desk_by_desk() -> None:
    made = {"prices": (ATTO,) * 4, "margin": 0, "most": (2**41,) * 4, "least": 0, "blocks": 5, "code": 0, "shut": 0, "strategy": 0}
    made["key"] = 7
    engine = _engine([made], 1, True)
    for storage, expected in ((8_999_997, 0), (8_999_998, ALONE)):
        screen_desks(engine, 0, 1, 1, 1, storage, 1, 10**17, 0, 10**17, 0)
        assert engine.screen[0, Screen.FOUND * LANES] == expected


def test_codes_of_desks_are_a_view() -> None:
    fits = make_engine(LANES + 1).fits
    codes_of(fits)[0, LANES] = 5
    assert fits.tolist() == [[0, 5]] and codes_of(fits).dtype == np.int8
