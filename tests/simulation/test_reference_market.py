"""RM-1: its draws, and the two yardsticks of benchmarks/ held against each other."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from marketsim.agents.reference_market import LATENCY_SALT, MAX_BID_LATENCY, ReferenceMarket, bid_latencies, draw
from marketsim.chain.events import hash64
from marketsim.money.units import ATTO

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import first_written
import limit
from digest import Fate, Outcome, digest, first_difference

FIRST_ORDER_COLUMN = ReferenceMarket._fields.index("created_at")
FIRST_PROVIDER_COLUMN = ReferenceMarket._fields.index("capacity")


def small_market(number: int) -> ReferenceMarket:
    """A random market in which much happens: lives, deposits and top-ups are shortened to fit its blocks."""
    rng = np.random.default_rng(number)
    blocks = int(rng.choice([1, 11, 40, 300, 2_000, 9_000, 30_000, 45_000]))
    draws = draw(
        number,
        orders=int(rng.integers(1, 301)),
        providers=int(rng.integers(1, 41)),
        tenants=int(rng.integers(1, 20)),
        blocks=blocks,
        load=float(rng.uniform(0.3, 2.5)),
    )
    shorter = int(rng.choice([1, 5, 30, 400]))
    poorer = int(rng.choice([1, 20, 300, 3_000]))
    draws = draws._replace(
        completes_after=1 + draws.completes_after // shorter,
        terminates_after=1 + draws.terminates_after // shorter,
        provider_closes_after=1 + draws.provider_closes_after // shorter,
        deposit=draws.deposit // poorer,
        top_up=draws.top_up // int(rng.choice([poorer, 10 * poorer, 100_000])),
        max_bids=np.minimum(draws.max_bids, rng.integers(1, 12)),
    )
    if rng.random() < 0.3:  # equal prices, so that the lowest index decides
        draws = draws._replace(**{name: getattr(draws, name)[:1].repeat(len(draws.capacity), axis=0) for name in PRICING})
    return draws


PRICING = ("unit_whole", "unit_atto", "margin_bps")


def test_the_limit_gives_what_the_first_written_model_gives() -> None:
    fates: set[int] = set()
    top_ups = 0
    for number in range(60):
        draws = small_market(number)
        expected = first_written.run(draws).outcome
        found = limit.run(draws).outcome
        assert first_difference(expected, found) is None, number
        assert digest(expected) == digest(found)
        fates |= set(expected.fate.tolist())
        top_ups += int(expected.top_ups.sum())
    assert fates == {int(fate) for fate in Fate}, "the markets reach every fate, else the comparison is idle"
    assert top_ups > 50


def test_an_outcome_that_differs_in_one_cell_is_told_apart() -> None:
    outcome = limit.run(draw(3, orders=40, providers=5, tenants=3, blocks=500)).outcome
    for name in Outcome._fields:
        changed = getattr(outcome, name).copy()
        changed.flat[-1] += 1
        other = outcome._replace(**{name: changed})
        assert digest(other) != digest(outcome)
        assert str(first_difference(outcome, other)).startswith(name)


def test_every_uve_paid_is_in_the_revenue_of_a_day() -> None:
    outcome = limit.run(draw(4, orders=2_000, providers=30, tenants=50, blocks=100_000)).outcome
    by_winner = np.zeros(30, dtype=np.int64)
    leased = outcome.winner >= 0
    np.add.at(by_winner, outcome.winner[leased], outcome.paid_whole[leased])
    assert by_winner.tolist() == outcome.revenue.sum(axis=1).tolist()
    assert outcome.provider_bids.sum() == outcome.bids.sum()
    assert outcome.provider_wins.sum() == leased.sum() > 1_000


def life_by_hand() -> ReferenceMarket:
    """One provider at 2.5 uve a block, one order with 1,000 uve, one top-up of 500 after 20 blocks."""
    draws = draw(1, orders=1, providers=1, tenants=1, blocks=2_000)
    one = np.ones(1, dtype=np.int64)
    return draws._replace(
        created_at=one * 7,
        size=np.array([[1_000, 0, 0, 0]]),
        regions=one * 15,
        attributes=one * 0,
        ceiling_whole=one * 3,
        ceiling_atto=one * 0,
        completes_after=one * 1_500,
        terminates_after=one * 1_000,
        provider_closes_after=one * 1_600,
        deposit=one * 1_000,
        top_up=one * 500,
        top_ups=one,
        top_up_delay=np.array([[20, 1, 1]]),
        unit_whole=np.zeros((1, 4), dtype=np.int64),
        unit_atto=np.full((1, 4), 2 * 10**15),
        margin_bps=one * 2_500,
        min_value_whole=one * 3,
        min_value_atto=one * 0,
        max_size=np.full((1, 4), 1_000),
    )


def test_a_life_followed_by_hand() -> None:
    """Every figure by mental arithmetic."""
    draws = life_by_hand()
    one = np.ones(1, dtype=np.int64)
    for run in (first_written.run, limit.run):
        outcome = run(draws).outcome
        assert outcome.start.tolist() == [17]
        # 400 blocks to 417, dry at 418; topped up at 438 for 200 blocks, dry at 639, grace over at 739
        assert outcome.fate.tolist() == [Fate.CLOSED_FUNDS]
        assert outcome.end.tolist() == [739]
        assert outcome.top_ups.tolist() == [1]
        assert outcome.paid_whole.tolist() == [1_500]
        assert outcome.revenue.tolist() == [[1_500]]

        alive = run(draws._replace(blocks=450)).outcome  # last settled at 407
        assert alive.fate.tolist() == [Fate.ACTIVE]
        assert alive.revenue.tolist() == [[1_000]]

        before = run(draws._replace(blocks=416)).outcome  # settled at 107, 207, 307, 407: 390 blocks
        assert before.paid_whole.tolist() == [975]

        ended = run(draws._replace(terminates_after=one * 404)).outcome  # while it waits for the top-up
        assert (ended.fate.tolist(), ended.end.tolist()) == ([Fate.CLOSED_BY_TENANT], [421])
        assert ended.top_ups.tolist() == [0]


def test_draws_are_those_of_the_design() -> None:
    draws = draw(5, orders=200_000, providers=2_000, tenants=1_000, blocks=432_000)
    assert all(column.dtype == np.int64 for column in draws[3:])
    assert np.all(np.diff(draws.created_at) >= 0)
    assert draws.created_at[0] >= 1 and draws.created_at[-1] <= 432_000
    assert set(draws.tenant.tolist()) == set(range(1_000))
    for k, (values, shares) in enumerate(
        [
            ([100, 500, 1_000, 2_000, 4_000, 8_000, 16_000], [0.15, 0.20, 0.25, 0.20, 0.10, 0.07, 0.03]),
            ([128, 512, 2_048, 8_192, 16_384, 65_536], [0.15, 0.25, 0.30, 0.20, 0.08, 0.02]),
            ([512, 10_240, 51_200, 204_800, 1_048_576], [0.30, 0.40, 0.20, 0.08, 0.02]),
            ([0, 1, 2, 4, 8], [0.9, 0.025, 0.025, 0.025, 0.025]),
        ]
    ):
        found, counts = np.unique(draws.size[:, k], return_counts=True)
        assert found.tolist() == values
        spread = np.sqrt(np.array(shares) * (1 - np.array(shares)) * 200_000)
        assert np.all(np.abs(counts - np.array(shares) * 200_000) < 5 * spread)
    for column, mean in (
        (draws.completes_after, 34_000),
        (draws.terminates_after, 30_000),
        (draws.provider_closes_after, 270_000),
    ):
        assert column.min() >= 1
        assert abs(column.mean() - (mean + 0.5)) < 5 * mean / np.sqrt(200_000)
    assert np.all((draws.attributes > 0) == (draws.size[:, 3] > 0))
    assert abs((draws.regions == 15).mean() - 0.5) < 0.01
    assert np.bincount(draws.top_ups).tolist() == pytest.approx([1e5, 5e4, 2.5e4, 2.5e4], rel=0.05)
    assert draws.top_up_delay.min() == 1 and draws.top_up_delay.max() == 50
    assert set(np.bitwise_count(draws.regions_served).tolist()) == {1, 2, 3, 4}
    assert abs((draws.excluded > 0).mean() - 0.5) < 0.06
    assert draws.max_bids.min() == 2 and draws.max_bids.max() == 11
    assert abs((draws.max_size[:, 3] == 0).mean() - 0.25) < 0.05
    units = draws.unit_whole + draws.unit_atto / ATTO
    relative = units / np.array([0.01, 0.001, 0.0001, 10.0])
    assert relative.min() >= 0.7 and relative.max() <= 1.3
    assert relative.mean() == pytest.approx(1.0, abs=0.01)


def test_ceilings_are_exact_multiples_of_the_reference_price() -> None:
    draws = draw(6, orders=500, providers=3, tenants=5, blocks=1_000)
    for size, whole, atto in zip(draws.size.tolist(), draws.ceiling_whole, draws.ceiling_atto, strict=True):
        assert 0 <= atto < ATTO
        ceiling = Fraction(int(whole) * ATTO + int(atto), ATTO)
        cpu, memory, storage, gpu = size
        reference = Fraction(cpu, 100) + Fraction(memory, 1_000) + Fraction(storage, 10_000) + 10 * gpu
        assert Fraction(9, 10) <= ceiling / reference < Fraction(18, 10)
        assert (ceiling / reference * 10**14).denominator == 1
    longest = (draws.deposit + 1) / (draws.ceiling_whole + draws.ceiling_atto / ATTO)
    assert longest.min() > 101


def test_more_providers_change_no_order_and_no_earlier_price() -> None:
    few = draw(7, orders=300, providers=10, tenants=20, blocks=5_000)
    many = draw(7, orders=300, providers=25, tenants=20, blocks=5_000)
    for name in ReferenceMarket._fields[FIRST_ORDER_COLUMN:FIRST_PROVIDER_COLUMN]:
        assert np.array_equal(getattr(few, name), getattr(many, name)), name
    for name in (
        "unit_whole",
        "unit_atto",
        "margin_bps",
        "regions_served",
        "max_size",
        "min_value_atto",
        "max_bids",
    ):
        assert np.array_equal(getattr(few, name), getattr(many, name)[:10]), name
    assert np.array_equal(bid_latencies(7, 11, 10), bid_latencies(7, 11, 25)[:10])
    other = draw(8, orders=300, providers=10, tenants=20, blocks=5_000)
    assert not np.array_equal(few.created_at, other.created_at)


def test_latencies_are_uniform_and_stateless() -> None:
    counts = np.bincount(np.concatenate([bid_latencies(1, order, 500) for order in range(400)]))
    assert len(counts) == MAX_BID_LATENCY + 1 and counts[0] == 0
    assert np.all(np.abs(counts[1:] - 40_000) < 5 * np.sqrt(200_000 * 0.2 * 0.8))
    for seed, order in ((1, 0), (-3, 17), (2**40, 999_999)):
        expected = [1 + hash64(seed, LATENCY_SALT, order, provider) % MAX_BID_LATENCY for provider in range(50)]
        assert bid_latencies(seed, order, 50).tolist() == expected


def test_impossible_markets_are_refused() -> None:
    for wrong in ({"providers": 0}, {"tenants": 0}, {"blocks": 0}, {"load": 0.0}, {"orders": -1}):
        sizes = {"orders": 1, "providers": 1, "tenants": 1, "blocks": 1} | wrong
        with pytest.raises(ValueError, match="reference market"):
            draw(1, **sizes)  # type: ignore[arg-type]


def test_under_the_chains_rules_an_overdraft_waits_until_it_is_touched() -> None:
    """The same life where nobody settles eagerly: it is the fifth withdrawal that finds the account empty."""
    draws = life_by_hand()
    for name in ("virtengine", "akash", "akash, escrow: proportional"):
        outcome = first_written.run(draws, first_written.RULE_SETS[name]).outcome
        assert (outcome.fate.tolist(), outcome.end.tolist()) == ([Fate.CLOSED_FUNDS], [517])
        assert outcome.top_ups.tolist() == [0]
        assert outcome.revenue.tolist() == [[1_000]]

        one = np.ones(1, dtype=np.int64)
        ended = first_written.run(draws._replace(terminates_after=one * 450), first_written.RULE_SETS[name]).outcome
        assert (ended.fate.tolist(), ended.end.tolist()) == ([Fate.CLOSED_FUNDS], [467])
        left = first_written.run(draws._replace(provider_closes_after=one * 450), first_written.RULE_SETS[name])
        assert (left.outcome.fate.tolist(), left.outcome.end.tolist()) == ([Fate.CLOSED_BY_PROVIDER], [467])
        assert left.outcome.revenue.tolist() == [[1_000]]


def test_truncation_at_each_withdrawal_costs_the_provider_the_fractions() -> None:
    one = np.ones(1, dtype=np.int64)
    draws = life_by_hand()._replace(unit_atto=np.full((1, 4), 2 * 10**15 + 10**13), terminates_after=one * 350)
    price = (2 * 10**15 + 10**13) * 1_000 * 12_500 // 10_000  # 2.5125 uve
    paid = {name: first_written.run(draws, rules).outcome for name, rules in first_written.RULE_SETS.items()}
    exact = paid["akash, escrow: proportional"]
    assert int(exact.paid_whole[0]) * ATTO + int(exact.paid_atto[0]) == 350 * price
    for name in ("virtengine", "akash"):
        assert paid[name].paid_whole.tolist() == [3 * (100 * price // ATTO) + 50 * price // ATTO] == [878]
        assert paid[name].paid_atto.tolist() == [0]
    assert exact.paid_whole.tolist() == [879]
