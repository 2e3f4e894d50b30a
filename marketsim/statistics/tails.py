"""Says how bad it can get: value at risk, expected shortfall and probabilities of rare events, each with an interval.

Values are independent: one per replication, or one per lease of independent replications (then the replications are the
sample, `clustered`). The loss is the value itself; where small values are the bad ones, pass `lower=True`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketsim.statistics.estimates import FloatArray, Interval, finite, quantile_interval, t_interval


@dataclass(frozen=True)
class TailRisk:
    """Value at risk and conditional value at risk (expected shortfall) at `share` of a sample of `count` values.

    `at_risk` is the quantile that a share of values does not pass, `beyond` the mean of the values from there on.
    """

    share: float
    lower: bool
    count: int
    at_risk: float
    at_risk_interval: Interval
    beyond: float
    beyond_interval: Interval

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; open ends become None."""
        return {
            "share": self.share,
            "tail": "lower" if self.lower else "upper",
            "n": self.count,
            "value_at_risk": finite(self.at_risk),
            "value_at_risk_interval": self.at_risk_interval.as_json(),
            "expected_shortfall": finite(self.beyond),
            "expected_shortfall_interval": self.beyond_interval.as_json(),
        }


def tail_risk(values: Sequence[float] | FloatArray, share: float = 0.95, *, lower: bool = False, level: float = 0.95) -> TailRisk:
    """Value at risk with the interval between order statistics, expected shortfall with Student's over its influence.

    Missing values (NaN) are left out. The expected shortfall is Rockafellar and Uryasev's (2000): q + mean(excess over q)
    ÷ (1 − share); its error is that of the mean of those excesses, as the quantile's own error cancels to first order.
    Too few values open an end of the first interval; the second needs five values in the tail and is open below that.
    """
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    sign = -1.0 if lower else 1.0
    losses = sign * x
    if losses.size == 0:
        nothing = Interval(-math.inf, math.inf, level, "none")
        return TailRisk(share, lower, 0, math.nan, nothing, math.nan, nothing)
    quantile = quantile_interval(losses, share, level)
    # The smallest value that at least the share of the sample does not pass, so that the tail's weights add up.
    threshold = float(np.sort(losses)[math.ceil(share * losses.size - 1e-9) - 1])
    influence = threshold + np.maximum(losses - threshold, 0.0) / (1 - share)
    beyond = t_interval(influence, level)
    if (1 - share) * losses.size < _LEAST_TAIL:
        beyond = Interval(-math.inf, math.inf, level, "t over excesses")
    return TailRisk(
        share,
        lower,
        int(losses.size),
        sign * threshold,
        _turned(quantile.interval, sign),
        sign * float(influence.mean()),
        _turned(Interval(beyond.low, beyond.high, level, "t over excesses"), sign),
    )


_LEAST_TAIL = 5


def _turned(interval: Interval, sign: float) -> Interval:
    if sign > 0:
        return interval
    return Interval(-interval.high, -interval.low, interval.level, interval.method)


@dataclass(frozen=True)
class Probability:
    """The probability of an event seen `hits` times in `count` independent trials, with an interval that is right at 0."""

    hits: int
    count: int
    interval: Interval

    @property
    def estimate(self) -> float:
        """Share of the trials that were hits."""
        return self.hits / self.count if self.count else math.nan

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"hits": self.hits, "n": self.count, "probability": finite(self.estimate), "interval": self.interval.as_json()}


def probability(hits: int, count: int, level: float = 0.95) -> Probability:
    """Clopper and Pearson's exact interval (1934) from `hits` of `count` trials: one-sided when there is no hit or no miss.

    At 0 of n the upper end is 1 − (1 − level)^(1 ÷ n), the largest probability that would leave no hit in 5 % of cases.
    """
    from scipy import special

    if not 0 <= hits <= count:
        raise ValueError(f"{hits} hits of {count} trials cannot be, give 0 to {count}")
    if count == 0:
        return Probability(0, 0, Interval(0.0, 1.0, level, "Clopper–Pearson"))
    tail = (1 - level) / 2 if 0 < hits < count else 1 - level
    low = 0.0 if hits == 0 else float(special.betaincinv(hits, count - hits + 1, tail))
    high = 1.0 if hits == count else float(special.betaincinv(hits + 1, count - hits, 1 - tail))
    return Probability(hits, count, Interval(low, high, level, "Clopper–Pearson"))


def probability_beyond(values: Sequence[float] | FloatArray, limit: float, *, lower: bool = False, level: float = 0.95) -> Probability:
    """How likely a value passes the limit (falls below it with `lower`); missing values are left out."""
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    return probability(int((x < limit).sum() if lower else (x > limit).sum()), int(x.size), level)
