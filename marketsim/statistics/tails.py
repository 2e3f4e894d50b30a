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
    clusters: int = 0
    """Independent groups that the values come in, 0 where each value is independent of the others."""

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; open ends become None."""
        return {
            "share": self.share,
            "tail": "lower" if self.lower else "upper",
            "n": self.count,
            "clusters": self.clusters or None,
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


def clustered_tail_risk(groups: Sequence[FloatArray], share: float = 0.95, *, lower: bool = False, level: float = 0.95) -> TailRisk:
    """Value at risk and expected shortfall over all values of independent groups, such as the leases of each run.

    Values of a group depend on each other, so the groups are the sample. The value at risk's interval is Woodruff's (1952): between the
    quantiles at share ± Student's quantile × the standard error of the share of values below, which is that of a ratio of sums over
    groups. The expected shortfall's error is that of its influence, summed by group. Missing values (NaN) and groups without values are
    left out; fewer than two groups, or fewer than five with values in the tail, leave the intervals open.
    """
    from scipy import stats

    sign = -1.0 if lower else 1.0
    losses = [sign * group[np.isfinite(group)] for group in groups]
    losses = [group for group in losses if group.size]
    count, total = len(losses), sum(group.size for group in losses)
    opened = Interval(-math.inf, math.inf, level, "over groups")
    if not total:
        return TailRisk(share, lower, 0, math.nan, opened, math.nan, opened, count)
    ranked = np.sort(np.concatenate(losses))
    threshold = _at(ranked, share)
    influence = [threshold + np.maximum(group - threshold, 0.0) / (1 - share) for group in losses]
    beyond = sum(float(one.sum()) for one in influence) / total
    interval, tail = opened, opened
    if count > 1:
        t = float(stats.t.ppf((1 + level) / 2, count - 1))
        scale = math.sqrt(count / (count - 1)) / total
        below = np.array([float((group <= threshold).sum()) for group in losses])
        sizes = np.array([float(group.size) for group in losses])
        reached = float(below.sum()) / total
        error = scale * math.sqrt(float(((below - reached * sizes) ** 2).sum()))
        low, high = share - t * error, share + t * error
        # Where the error of the share reaches beyond what was seen the end is not known.
        ends = (_at(ranked, low) if low * total >= 1 else -math.inf, _at(ranked, high) if (1 - high) * total >= 1 else math.inf)
        interval = Interval(ends[0], ends[1], level, "Woodruff over groups")
        if sum(bool((group > threshold).any()) for group in losses) >= _LEAST_TAIL:
            sums = np.array([float((one - beyond).sum()) for one in influence])
            half = t * scale * math.sqrt(float((sums**2).sum()))
            tail = Interval(beyond - half, beyond + half, level, "t over groups")
    return TailRisk(share, lower, total, sign * threshold, _turned(interval, sign), sign * beyond, _turned(tail, sign), count)


def _at(ranked: FloatArray, share: float) -> float:
    """The smallest value that at least the share of the sample does not pass."""
    return float(ranked[min(max(math.ceil(share * ranked.size - 1e-9) - 1, 0), ranked.size - 1)])


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


@dataclass(frozen=True)
class WeightedProbability:
    """The probability of an event from runs drawn otherwise, each weighed by how much likelier it is in truth.

    `gain` is how many times more runs drawn as they are would be needed for an error as small.
    """

    hits: int
    count: int
    estimate: float
    error: float
    interval: Interval

    @property
    def gain(self) -> float:
        """Variance of the share of hits among as many plain runs ÷ variance of the estimate; NaN without a hit."""
        return self.estimate * (1 - self.estimate) / self.count / self.error**2 if self.error > 0 else math.nan

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "hits": self.hits,
            "n": self.count,
            "probability": finite(self.estimate),
            "error": finite(self.error),
            "interval": self.interval.as_json(),
            "gain": finite(self.gain),
        }


LEAST_HITS = 10
"""With fewer hits a weighted probability has no interval."""


def weighted_probability(strata: Sequence[tuple[FloatArray, FloatArray]], level: float = 0.95) -> WeightedProbability:
    """Importance sampling: by stratum the weight of every run and whether the event happened (1 or 0).

    A weight is the density of the run in truth ÷ that of the mixture of all strata in proportion to their runs (Veach and Guibas 1995, the
    balance heuristic), so the mean of weight × happened over all runs is unbiased. Its error is that within strata; the interval is
    Student's about its logarithm, as the error is in proportion to the estimate, and [0, 1] with fewer than `LEAST_HITS` hits.
    """
    from scipy import stats

    values = [weights * happened for weights, happened in strata]
    count = sum(one.size for one in values)
    hits = int(sum(happened.sum() for _, happened in strata))
    estimate = sum(float(one.sum()) for one in values) / count
    variance = sum(one.size * float(one.var(ddof=1)) for one in values if one.size > 1) / count**2
    error = math.sqrt(variance)
    interval = Interval(0.0, 1.0, level, "none: too few hits")
    if hits >= LEAST_HITS and estimate > 0:
        factor = math.exp(float(stats.t.ppf((1 + level) / 2, hits - 1)) * error / estimate)
        interval = Interval(estimate / factor, min(estimate * factor, 1.0), level, "t of weighted hits")
    return WeightedProbability(hits, count, estimate, error, interval)


def probability_beyond(values: Sequence[float] | FloatArray, limit: float, *, lower: bool = False, level: float = 0.95) -> Probability:
    """How likely a value passes the limit (falls below it with `lower`); missing values are left out."""
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    return probability(int((x < limit).sum() if lower else (x > limit).sum()), int(x.size), level)
