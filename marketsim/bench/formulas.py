"""Known answers of queueing theory, order statistics and settlement arithmetic that the theory bench checks
against.

Pure functions of plain numbers. `load` is the offered load in Erlang, arrival rate × mean holding time.
"""

from __future__ import annotations

import math

import numpy as np

from marketsim.statistics.estimates import FloatArray


def erlang_b(servers: int, load: float) -> float:
    """Share of arrivals that find all servers busy and are lost, M/G/c/c (Erlang 1917), by the stable
    recursion.
    """
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked


def erlang_b_elasticity(servers: int, load: float) -> float:
    """Relative change of Erlang's B per relative change of the load: c − a + a·B."""
    return servers - load + load * erlang_b(servers, load)


def erlang_c(servers: int, load: float) -> float:
    """Share of arrivals that wait, M/M/c with unlimited patience; 1 where the load is not below the
    servers.
    """
    if load >= servers:
        return 1.0
    blocked = erlang_b(servers, load)
    return servers * blocked / (servers - load * (1 - blocked))


def busy_distribution(servers: int, load: float) -> FloatArray:
    """Stationary distribution of busy servers in M/G/c/c: Poisson cut off at c, float64[c + 1]."""
    k = np.arange(servers + 1)
    logs = k * math.log(load) - np.array([math.lgamma(i + 1) for i in k])
    weights = np.exp(logs - logs.max())
    found: FloatArray = weights / weights.sum()
    return found


def overflow_peakedness(servers: int, load: float) -> float:
    """Variance ÷ mean of the busy servers of an unlimited group that takes what c servers lose (Riordan
    1956).

    Needs exponential holding times with the same mean in both groups.
    """
    mean = load * erlang_b(servers, load)
    return 1 - mean + load / (servers + 1 - load + mean)


def impatient_queue(servers: int, load: float, patience: float) -> tuple[float, float]:
    """Share that gives up and mean queue length of M/M/c with exponential patience (Palm's Erlang-A).

    `patience` is the mean patience ÷ mean service time. Birth-death chain, summed until terms vanish.
    """
    weight, total, queued = 1.0, 1.0, 0.0
    busy_total = 0.0
    n = 0
    while True:
        n += 1
        death = min(n, servers) + max(n - servers, 0) / patience
        weight *= load / death
        total += weight
        queued += weight * max(n - servers, 0)
        busy_total += weight * min(n, servers)
        if n > servers + load and weight < 1e-16 * total:
            break
        if total > 1e250:  # keep far from overflow in very large groups
            weight, total, queued, busy_total = weight / total, 1.0, queued / total, busy_total / total
    mean_queue = queued / total
    return 1 - busy_total / total / load, mean_queue


def uniform_minimum(low: float, high: float, count: int) -> float:
    """Expected lowest of `count` independent uniform quotes."""
    return low + (high - low) / (count + 1)


def uniform_minimum_above(share: float, count: int) -> float:
    """Probability that all of `count` uniform quotes lie above the given share of their range."""
    return (1 - share) ** count


def first_of_two(mean: float, other: float) -> tuple[float, float]:
    """Probability that the second of two exponential times comes first, and the mean of the earlier one."""
    return mean / (mean + other), mean * other / (mean + other)


def survival(mean: float, blocks: float) -> float:
    """Probability that an exponential life rounded to whole blocks lasts at least so many blocks (a half
    added by rounding).
    """
    return math.exp(-(blocks - 0.5) / mean) if blocks >= 1 else 1.0


def capped_life(mean: float, cap: int) -> float:
    """Mean of the smaller of an exponential life rounded to blocks (at least one) and a cap in blocks."""
    # Σ P(life ≥ j) for j = 1 … cap; a life is at least one block, whatever was drawn.
    return 1 + sum(survival(mean, j) for j in range(2, cap + 1))


def unpaid_blocks(low: int, high: int, price: int, period: int) -> float:
    """Mean debt, in blocks of the price, when a provider looks every `period` blocks and deposits are uniform on low …
    high.

    Spending the funds to exactly 0 is not yet a shortfall, so the look that finds it is the first one at which
    price × blocks exceeds the deposit. By enumeration: the rests of the deposits by price × period are uniform only where
    their number is a multiple of it.
    """
    deposits = np.arange(low, high + 1)
    step = price * period
    return float((step * (deposits // step + 1) - deposits).mean()) / price


def truncation_loss(price: float, period: int, mean: float) -> float:
    """Mean uve lost to truncation by a lease of exponential life (rounded to blocks) that is touched every
    `period` blocks.

    A touch pays floor(price × period); the last one pays for the blocks since. The price has to be exact in
    binary or the periods short, otherwise the floor of a float is not the floor of the price.
    """
    loss, blocks = 0.0, 1
    full = price * period - math.floor(price * period)
    while True:
        share = (survival(mean, blocks) if blocks > 1 else 1.0) - survival(mean, blocks + 1)
        whole, rest = divmod(blocks, period)
        loss += share * (whole * full + price * rest - math.floor(price * rest))
        if survival(mean, blocks + 1) < 1e-15:
            return loss
        blocks += 1


def poisson_thinned(rate: float, dropped: float) -> float:
    """Rate of a Poisson stream after each arrival is dropped with a probability."""
    return rate * (1 - dropped)


def floor_loss(numerator: int, denominator: int) -> float:
    """Mean of what truncation takes from a share numerator ÷ denominator of a whole amount that is uniform
    modulo denominator.
    """
    step = math.gcd(numerator, denominator)
    classes = denominator // step
    return (classes - 1) / (2 * classes)


def capped_uniform(low: float, high: float, cap: float = 1.0) -> float:
    """Mean of the smaller of a uniform draw and a cap inside its range."""
    return ((cap**2 - low**2) / 2 + cap * (high - cap)) / (high - low)


def down_share(up: float, down: float) -> float:
    """Long-run share of time that a unit with exponential times up and down is down."""
    return down / (up + down)
