"""The compiled engine prices and limits exactly as the strategies that users and parity call."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from pricing_twins import CostPlusMargin, RateLimit

from marketsim.kernel.rows import row_of
from marketsim.market.quoting import linear_price, note_bid_time, rate_limited, refresh_units
from marketsim.market.tables import Desk, make_engine
from marketsim.money.units import ATTO, MIB, PPM
from marketsim.strategies.rules import PriceRequest, ResourceUnit, UnitPrices, Volume

UNIT_PRICE = st.one_of(st.integers(0, 10**6), st.integers(0, 20 * ATTO))


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(UNIT_PRICE, UNIT_PRICE, UNIT_PRICE, UNIT_PRICE),
    st.integers(0, 2 * PPM),
    st.integers(1, 400_000),
    st.integers(1, 2**41),
    st.integers(0, 2**45),
    st.integers(0, 16),
    st.booleans(),
)
def test_cost_plus_margin(
    prices: tuple[int, int, int, int],
    margin_ppm: int,
    cpu: int,
    memory: int,
    storage: int,
    gpu: int,
    floor: bool,
) -> None:
    desk = row_of(Desk)
    desk[Desk.multiplier_ppm] = PPM
    desk[Desk.margin_ppm] = margin_ppm
    desk[Desk.decimals] = 18
    for at, price in enumerate(prices):
        desk[Desk.list_cpu + 2 * at], desk[Desk.list_cpu_atto + 2 * at] = divmod(price, ATTO)
    refresh_units(desk)
    whole, atto = linear_price(desk, cpu, -(-memory // MIB), -(-storage // MIB), gpu, 1, int(floor))
    strategy = CostPlusMargin(UnitPrices(*prices), margin_ppm * ATTO // 10_000, floor)
    unit = ResourceUnit(cpu=cpu, memory=memory, volumes=(Volume(storage),), gpu=gpu)
    answer = strategy.price(PriceRequest((unit,), price_ceiling=10**40))
    expected = answer if isinstance(answer, int) else 0
    assert int(whole) * ATTO + int(atto) == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 40_000), max_size=150), st.integers(1, 8), st.integers(1, 120))
def test_rate_limits(gaps: list[int], per_minute: int, per_hour: int) -> None:
    engine = make_engine(1)
    engine.desks[0].per_minute, engine.desks[0].per_hour = per_minute, per_hour
    limit, now = RateLimit(per_minute, per_hour), 0
    for gap in gaps:
        now += gap
        limited = rate_limited(engine, 0, now)
        assert limit.allow(now) == (not limited)
        if not limited:
            note_bid_time(engine, 0, now)


def test_started_units_of_two_sizes_are_one_order() -> None:
    """The engine knows only the order's total: so does the strategy."""
    half = ResourceUnit(memory=MIB // 2)
    strategy = CostPlusMargin(UnitPrices(0, ATTO, 0, 0))
    both = PriceRequest((half, replace(half, memory=MIB // 2 + 1)), price_ceiling=10**30)
    assert strategy.price(both) == 2 * ATTO
