"""Decides a paired comparison at looks planned within a budget: group-sequential boundaries by error spending.

A budget of N values known beforehand lets a test spend its error over a few planned looks and keep nearly
the power of one look at the end. The error spent up to the share t of the budget is (Lan and DeMets 1983)

    O'Brien–Fleming    4 (1 − Φ(z ÷ √t)) with z the normal quantile of 1 − α/4
    Pocock             α ln(1 + (e − 1) t)

both sides together. The boundary at each look is solved from it by integrating the density of the
random walk that has not yet crossed (Armitage, McPherson and Rowe 1969). Boundaries are normal; Student's
statistic is held to the boundary of equal tail probability, and it is the cautious one of `cautious_t`.
Intervals are repeated ones (Jennison and Turnbull 1989): mean ± boundary × standard error holds at all planned
looks together, so that stopping by another metric does not spoil it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from marketsim.statistics.cautious_t import running
from marketsim.statistics.estimates import FloatArray, Interval, finite

# More looks would gain next to nothing: with 20 the mean number of pairs at a stop is within 2 % of looking always.
MOST_LOOKS = 20
# Below this p-values are not told apart; every boundary is computed to better than that.
_LEAST_P = 1e-9
_NODES = 160
# The walk beyond so many standard deviations is left out of the integral: less than the least p-value by far.
_REACH = 7.0


class Stopping(StrEnum):
    """When a comparison may be decided: at planned looks by error spending, at the end only, or at any look."""

    OBRIEN_FLEMING = "obrien-fleming"
    POCOCK = "pocock"
    FIXED = "fixed"
    ALWAYS_VALID = "always-valid"

    @property
    def words(self) -> str:
        """The rule as reports name it."""
        return _WORDS[self]


_WORDS = {
    Stopping.OBRIEN_FLEMING: "O'Brien–Fleming spending",
    Stopping.POCOCK: "Pocock spending",
    Stopping.FIXED: "one look at the end",
    Stopping.ALWAYS_VALID: "the sequence valid at any look",
}


def spent(rule: Stopping, alpha: float, share: float) -> float:
    """Error spent, on both sides together, when `share` (0 … 1) of the budget has been seen."""
    from scipy import special

    match rule:
        case Stopping.OBRIEN_FLEMING:
            return 4 * float(special.ndtr(special.ndtri(alpha / 4) / math.sqrt(share)))
        case Stopping.POCOCK:
            return alpha * math.log1p((math.e - 1) * share)
        case Stopping.FIXED:
            return alpha if share >= 1 else 0.0
        case Stopping.ALWAYS_VALID:
            raise ValueError("the sequence valid at any look has no budget to spend an error over")


@lru_cache(maxsize=4096)
def boundaries(rule: Stopping, alpha: float, shares: tuple[float, ...]) -> tuple[float, ...]:
    """Two-sided boundaries for the normal statistic at looks after `shares` of the budget, ascending; infinite
    where nothing is spent.
    """
    from scipy import optimize, special

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    grid, density = np.zeros(1), np.ones(1)
    found: list[float] = []
    before, used = 0.0, 0.0
    for share in shares:
        step = math.sqrt(share - before)
        allowed = spent(rule, alpha, share) - used

        walk = (step, grid, density, allowed)

        def left(limit: float, walk: tuple[float, FloatArray, FloatArray, float] = walk) -> float:
            step, grid, density, allowed = walk
            crossing = special.ndtr((grid - limit) / step) + special.ndtr((-grid - limit) / step)
            return float(density @ crossing) - allowed

        reach = _REACH * math.sqrt(share)
        limit = math.inf
        # What is too little to solve for stays unspent until the next look.
        if allowed > 1e-13:
            limit = optimize.brentq(left, 0.0, 2 * reach, xtol=1e-12) if left(0.0) > 0 else 0.0
            used += allowed
        found.append(limit / math.sqrt(share))
        inside = min(limit, reach)
        points = inside * nodes
        kernel = np.exp(-(((points[:, None] - grid[None, :]) / step) ** 2) / 2) / (step * math.sqrt(2 * math.pi))
        density = (kernel @ density) * weights * inside
        grid, before = points, share
    return tuple(found)


def planned_looks(budget: int, every: int, rule: Stopping = Stopping.OBRIEN_FLEMING) -> tuple[int, ...]:
    """Numbers of pairs after which to look: at most `MOST_LOOKS`, whole rounds of `every`, the last one the
    budget.
    """
    if rule is Stopping.FIXED:
        return (budget,)
    rounds = -(-budget // every)
    count = min(MOST_LOOKS, rounds)
    return tuple(dict.fromkeys(min(every * round(rounds * k / count), budget) for k in range(1, count + 1)))


@dataclass(frozen=True)
class PlannedLook:
    """What one planned look saw, after which share of the budget: mean, repeated interval, statistic and its
    boundary (normal scale).
    """

    pairs: int
    share: float
    mean: float
    interval: Interval
    statistic: float
    boundary: float

    @property
    def crossed(self) -> bool:
        """Whether a difference is declared here."""
        return abs(self.statistic) >= self.boundary

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "pairs": self.pairs,
            "budget_share": self.share,
            "mean": finite(self.mean),
            "interval": self.interval.as_json(),
            "statistic": finite(self.statistic),
            "boundary": finite(self.boundary),
        }


def group_looks(
    values: Sequence[float] | FloatArray,
    counts: Sequence[int],
    shares: Sequence[float],
    rule: Stopping = Stopping.OBRIEN_FLEMING,
    level: float = 0.95,
) -> list[PlannedLook]:
    """What is seen after each of `counts` values (ascending, at most all), each with its share of the budget.

    The statistic is on the normal scale: the normal quantile of Student's tail probability.
    """
    x = np.asarray(values, dtype=np.float64)
    if not counts:
        return []
    limits = boundaries(rule, 1 - level, tuple(shares))
    so_far = running(x[None, :])
    statistics = so_far.statistic()[0]
    found = []
    for n, share, limit in zip(counts, shares, limits, strict=True):
        low, high = so_far.ends(np.full(x.size, _student(limit, n)))
        interval = Interval(float(low[0, n - 1]), float(high[0, n - 1]), level, f"repeated, {rule.words}")
        normal = _normal(float(statistics[n - 1]), n)
        found.append(PlannedLook(n, share, float(so_far.mean[0, n - 1]), interval, normal, limit))
    return found


def repeated_p(series: Sequence[PlannedLook], rule: Stopping) -> float:
    """The smallest error at which one of the looks would have declared a difference, to four digits and
    not below 1e-9; 1 without a look.
    """
    from scipy import optimize

    shares = tuple(look.share for look in series)
    sizes = [abs(look.statistic) for look in series]
    if not series or max(sizes) == 0:
        return 1.0

    def beyond(log_alpha: float) -> float:
        limits = boundaries(rule, math.exp(log_alpha), shares)
        return max(size - limit for size, limit in zip(sizes, limits, strict=True))

    low = math.log(_LEAST_P)
    if beyond(low) >= 0:
        return _LEAST_P
    return math.exp(optimize.brentq(beyond, low, 0.0, xtol=1e-4)) if beyond(0.0) > 0 else 1.0


def first_crossed(
    values: FloatArray,
    every: int,
    rule: Stopping = Stopping.OBRIEN_FLEMING,
    level: float = 0.95,
) -> npt.NDArray[np.int64]:
    """For each row (its length the budget) the number of values at which a difference from 0 is declared, 0 if
    never (rows,).
    """
    budget = values.shape[1]
    planned = planned_looks(budget, every, rule)
    limits = boundaries(rule, 1 - level, tuple(n / budget for n in planned))
    statistics = np.abs(running(values).statistic()[:, [n - 1 for n in planned]])
    critical = np.array([_student(limit, n) for n, limit in zip(planned, limits, strict=True)])
    reached = statistics >= critical
    declared: npt.NDArray[np.int64] = np.where(reached.any(axis=1), np.array(planned)[reached.argmax(axis=1)], 0)
    return declared


def _student(limit: float, n: int) -> float:
    """Student's quantile with the normal boundary's tail probability; infinite with one value."""
    from scipy import special

    if n < 2 or math.isinf(limit):
        return math.inf
    return -float(special.stdtrit(n - 1, special.ndtr(-limit)))


def _normal(t: float, n: int) -> float:
    """The normal quantile with Student's tail probability, with the sign of t."""
    from scipy import special

    if n < 2 or t == 0 or math.isnan(t):
        return 0.0
    return math.copysign(-float(special.ndtri(special.stdtr(n - 1, -abs(t)))), t)
