"""The formulas of the theory bench against other ways to the same number."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsim.experiments import formulas


@given(st.integers(1, 60), st.floats(0.05, 80))
def test_erlang_b_is_the_top_of_the_cut_off_poisson(servers: int, load: float) -> None:
    assert formulas.erlang_b(servers, load) == pytest.approx(
        formulas.busy_distribution(servers, load)[-1], rel=1e-9
    )


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
    assert (overflow @ n**2 - mean**2) / mean == pytest.approx(
        formulas.overflow_peakedness(servers, load), rel=1e-8
    )


def rounded_lives(mean: float, count: int, seed: int) -> np.ndarray:
    return np.maximum(np.rint(np.random.default_rng(seed).exponential(mean, count)), 1).astype(int)


def test_lives_of_whole_blocks() -> None:
    lives = rounded_lives(40.0, 400_000, 1)
    assert np.mean(lives >= 30) == pytest.approx(
        formulas.survival(40.0, 30), abs=4 * math.sqrt(0.25 / lives.size)
    )
    error = np.minimum(lives, 25).std() / math.sqrt(lives.size)
    assert abs(np.minimum(lives, 25).mean() - formulas.capped_life(40.0, 25)) < 4 * error


def test_truncation_loss_against_draws() -> None:
    lives = rounded_lives(200.0, 200_000, 2)
    whole, rest = np.divmod(lives, 16)
    price = 1.375
    paid = whole * np.floor(price * 16) + np.floor(price * rest)
    lost = price * lives - paid
    assert price * 16 == 22
    assert abs(lost.mean() - formulas.truncation_loss(price, 16, 200.0)) < 4 * lost.std() / math.sqrt(
        lives.size
    )
    assert formulas.truncation_loss(2.0, 7, 50.0) == 0
    assert formulas.truncation_loss(0.03125, 16, 1000.0) > 0.97 * 0.03125 * 1000, (
        "half a coin a touch pays nothing"
    )


def test_small_formulas_by_hand() -> None:
    assert formulas.uniform_minimum(400, 496, 5) == 416
    assert formulas.uniform_minimum_above(0.5, 3) == 0.125
    assert formulas.first_of_two(3.0, 1.0) == (0.75, 0.75)
    assert formulas.depletion_blocks(100, 7) == 15
    assert formulas.unpaid_blocks(60) == np.mean(np.arange(1, 61))
    assert formulas.floor_loss(2, 100) == pytest.approx(np.mean([k * 2 % 100 / 100 for k in range(50)]))
    assert formulas.capped_uniform(0.5, 1.5) == pytest.approx(0.875)
    assert formulas.down_share(19.0, 1.0) == 0.05
    assert formulas.poisson_thinned(10.0, 0.25) == 7.5
    assert formulas.lognormal_mean(2.0, 1.0) == pytest.approx(2 * math.exp(0.5))
    assert formulas.erlang_c(3, 3.5) == 1.0
