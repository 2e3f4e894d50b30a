"""The formulas of the theory bench against other ways to the same number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from marketsim.bench import formulas, rule_markets, theory, theory_markets, waiting_room
from marketsim.errors import InputError


@given(st.integers(1, 60), st.floats(0.05, 80))
def test_erlang_b_is_the_top_of_the_cut_off_poisson(servers: int, load: float) -> None:
    assert formulas.erlang_b(servers, load) == pytest.approx(formulas.busy_distribution(servers, load)[-1], rel=1e-9)


def test_erlang_b_by_hand() -> None:
    assert formulas.erlang_b(1, 1.0) == 0.5
    assert formulas.erlang_b(2, 1.0) == pytest.approx(0.2)
    assert formulas.erlang_b(10, 8.0) == pytest.approx(0.1216610642, abs=1e-9)


@given(st.integers(1, 30), st.floats(0.1, 30))
def test_elasticity_is_the_derivative(servers: int, load: float) -> None:
    step = 1e-5
    up, down = formulas.erlang_b(servers, load * (1 + step)), formulas.erlang_b(servers, load * (1 - step))
    numeric = (up - down) / (2 * step * formulas.erlang_b(servers, load))
    assert formulas.erlang_b_elasticity(servers, load) == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_impatient_queue_between_loss_and_patience() -> None:
    lost, _ = formulas.impatient_queue(5, 4.0, 1e-7)
    assert lost == pytest.approx(formulas.erlang_b(5, 4.0), rel=1e-4)
    # Patience as long as service: the number in the system is that of M/M/∞.
    _, queue = formulas.impatient_queue(3, 2.5, 1.0)
    poisson = [math.exp(-2.5) * 2.5**n / math.factorial(n) for n in range(60)]
    assert queue == pytest.approx(sum(max(n - 3, 0) * p for n, p in enumerate(poisson)), rel=1e-10)
    # Who gives up: queue length × rate of giving up ÷ arrival rate.
    lost, queue = formulas.impatient_queue(4, 4.5, 2.0)
    assert lost == pytest.approx(queue / 2.0 / 4.5)
    # Nearly infinite patience: Erlang-C's queue.
    _, queue = formulas.impatient_queue(4, 3.0, 1e9)
    assert queue == pytest.approx(formulas.erlang_c(4, 3.0) * 3.0 / (4 - 3.0), rel=1e-6)


def test_overflow_peakedness_against_the_two_dimensional_chain() -> None:
    servers, load, top = 3, 2.0, 40
    size = (servers + 1) * (top + 1)
    rates = np.zeros((size, size))

    def at(first: int, second: int) -> int:
        return first * (top + 1) + second

    for first in range(servers + 1):
        for second in range(top + 1):
            here = at(first, second)
            if first < servers:
                rates[here, at(first + 1, second)] += load
            elif second < top:
                rates[here, at(first, second + 1)] += load
            if first:
                rates[here, at(first - 1, second)] += first
            if second:
                rates[here, at(first, second - 1)] += second
    rates -= np.diag(rates.sum(axis=1))
    system = np.vstack([rates.T, np.ones(size)])
    chances = np.linalg.lstsq(system, np.append(np.zeros(size), 1.0), rcond=None)[0]
    overflow = chances.reshape(servers + 1, top + 1).sum(axis=0)
    n = np.arange(top + 1)
    mean = overflow @ n
    assert mean == pytest.approx(load * formulas.erlang_b(servers, load), rel=1e-8)
    assert (overflow @ n**2 - mean**2) / mean == pytest.approx(formulas.overflow_peakedness(servers, load), rel=1e-8)


def rounded_lives(mean: float, count: int, seed: int) -> np.ndarray:
    return np.maximum(np.rint(np.random.default_rng(seed).exponential(mean, count)), 1).astype(int)


def test_lives_of_whole_blocks() -> None:
    lives = rounded_lives(40.0, 400_000, 1)
    assert np.mean(lives >= 30) == pytest.approx(formulas.survival(40.0, 30), abs=4 * math.sqrt(0.25 / lives.size))
    error = np.minimum(lives, 25).std() / math.sqrt(lives.size)
    assert abs(np.minimum(lives, 25).mean() - formulas.capped_life(40.0, 25)) < 4 * error


def test_truncation_loss_against_draws() -> None:
    lives = rounded_lives(200.0, 200_000, 2)
    whole, rest = np.divmod(lives, 16)
    price = 1.375
    paid = whole * np.floor(price * 16) + np.floor(price * rest)
    lost = price * lives - paid
    assert price * 16 == 22
    assert abs(lost.mean() - formulas.truncation_loss(price, 16, 200.0)) < 4 * lost.std() / math.sqrt(lives.size)
    assert formulas.truncation_loss(2.0, 7, 50.0) == 0
    assert formulas.truncation_loss(0.03125, 16, 1000.0) > 0.97 * 0.03125 * 1000, "half a coin a touch pays nothing"


def test_small_formulas_by_hand() -> None:
    assert formulas.uniform_minimum(400, 496, 5) == 416
    assert formulas.uniform_minimum_above(0.5, 3) == 0.125
    assert formulas.first_of_two(3.0, 1.0) == (0.75, 0.75)
    # Funds for 0 to 2 whole looks: the look after them finds what is missing, one deposit at a time.
    debts = [next(7 * b - d for b in range(5, 400, 5) if 7 * b > d) / 7 for d in range(40, 121)]
    assert formulas.unpaid_blocks(40, 120, 7, 5) == pytest.approx(np.mean(debts))
    assert formulas.unpaid_blocks(theory_markets.DEPOSIT_LOW + 1, theory_markets.DEPOSIT_HIGH, 10, 60) == pytest.approx(30.0005, abs=1e-4)
    assert formulas.floor_loss(2, 100) == pytest.approx(np.mean([k * 2 % 100 / 100 for k in range(50)]))
    assert formulas.capped_uniform(0.5, 1.5) == pytest.approx(0.875)
    assert formulas.down_share(19.0, 1.0) == 0.05
    assert formulas.poisson_thinned(10.0, 0.25) == 7.5
    assert formulas.erlang_c(3, 3.5) == 1.0


def test_every_market_has_a_check_and_every_check_its_figure() -> None:
    found = theory.checks()
    assert len(found) >= 22
    assert len({check.title for check in found}) == len(found)
    names = {market.name for market in (*theory_markets.MARKETS, *rule_markets.RULE_MARKETS)} | {waiting_room.WAITING_ROOM}
    assert {check.market for check in found} == names


def outcome(values: list[float], expected: float, bias: float = 0.0) -> theory.Checked:
    check = theory.Check("title", "market", "figure", expected, bias, "nothing")
    return theory.judge(check, np.array(values), 4.0)


def test_verdicts() -> None:
    near = outcome([1.0, 1.2, 0.8, 1.1, 0.9], 1.02)
    assert near.agrees
    assert near.line().endswith("  ok")
    assert near.z == pytest.approx((1.0 - 1.02) / (np.std([1.0, 1.2, 0.8, 1.1, 0.9], ddof=1) / math.sqrt(5)))
    far = outcome([1.0, 1.2, 0.8, 1.1, 0.9], 2.0)
    assert not far.agrees
    assert far.line().endswith("  FAILED")
    assert far.as_json()["ok"] is False
    blunt = outcome([1.0, 1.2, 0.8, 1.1, 0.9], 1.02, bias=0.03)
    assert not blunt.agrees, "a bias that could reach a tenth of the standard error is no test"
    assert outcome([2.0, 2.0, 2.0], 2.0).agrees
    assert not outcome([2.0, 2.0, 2.0], 2.1).agrees
    assert outcome([2.0, 2.0, 2.0], 2.1).as_json()["z"] is None


def test_a_count_of_broken_rules_is_zero_in_every_replication() -> None:
    check = theory.Check("title", "market", "figure", 0.0, 0.0, "none", exact=True)
    assert theory.judge(check, np.zeros(20), 4.0).agrees
    once = theory.judge(check, np.array([0.0] * 19 + [1.0]), 4.0)
    assert once.line().endswith("FAILED"), "one lease in one replication is enough"
    nothing = theory.judge(check, np.array([0.0, math.nan]), 4.0)
    assert not nothing.agrees, "a market without a lease to look at tests nothing"


def test_every_rule_is_kept_and_tested_on_many_leases() -> None:
    found = theory.bench(7, replications=3, only=[market.name for market in rule_markets.RULE_MARKETS])
    exact = [one for one in found.outcomes if one.check.exact]
    assert len(exact) == len(rule_markets.RULE_CHECKS) == len(found.outcomes) - 1  # beside them the share of equal bids
    assert found.agrees, "\n".join(found.lines())


def test_threshold_shares_the_family_error_out() -> None:
    found = theory.bench(1, replications=4, only=["metered"])
    checks = sum(not check.exact for check in theory.checks())
    assert found.outcomes[0].threshold == pytest.approx(float(stats.t.ppf(1 - theory.FAMILY_ERROR / checks / 2, 3)))
    assert found.lines()[-1].startswith("1 checks, 0 failed; 4 replications")


def test_a_bench_is_repeatable_and_seeds_differ() -> None:
    first, again = (theory.bench(3, replications=2, only=["metered", "outages"]) for _ in range(2))
    assert [o.mean for o in first.outcomes] == [o.mean for o in again.outcomes]
    other = theory.bench(4, replications=2, only=["metered", "outages"])
    assert all(a.mean != b.mean for a, b in zip(first.outcomes, other.outcomes, strict=True))


@pytest.mark.parametrize(
    ("market", "planted"),
    [
        ("sizes", theory.Planted(price=1.02)),
        ("sizes", theory.Planted(price=0.98)),
        ("loss", theory.Planted(arrivals=1.02)),
        ("loss", theory.Planted(duration=1.02)),
    ],
)
def test_a_planted_error_of_two_per_cent_is_found(market: str, planted: theory.Planted) -> None:
    assert not theory.bench(5, only=[market], planted=planted).agrees


def test_errors_to_plant_are_read() -> None:
    assert theory.parse_planted(["price=1.02", "arrivals=0.98"]) == theory.Planted(arrivals=0.98, price=1.02)
    assert theory.parse_planted([]) == theory.Planted()
    for text in ("price", "price=much", "colour=1.02", "price=-1", "price=nan"):
        with pytest.raises(InputError, match="--plant"):
            theory.parse_planted([text])


@pytest.mark.slow
def test_twenty_seeds_agree_and_planted_errors_are_found() -> None:
    """At least 19 of 20 seeds agree in every check; at least 18 of 20 find each planted error."""
    seeds = range(1, 21)
    assert sum(theory.bench(seed, workers=2).agrees for seed in seeds) >= 19
    for kind in ("arrivals", "duration", "price"):
        # The markets run here are part of the bench and judged by its threshold: what they find it finds.
        planted = [theory.Planted(**{kind: 1.02 if seed % 2 else 0.98}) for seed in seeds]
        found = [
            not theory.bench(seed, workers=2, only=["loss", "sizes"], planted=error).agrees
            for seed, error in zip(seeds, planted, strict=True)
        ]
        assert sum(found) >= 18, kind
