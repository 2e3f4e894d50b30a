"""Decides a paired comparison while it runs: intervals that hold at every look, however often one looks.

The sequence is the normal-mixture t-sequence (Lai 1976; Wang and Ramdas 2024): for values X_1 … X_n and a
supposed mean m, with S = Σ(X_i − m) and V = Σ(X_i − m)²,

    M_n(m) = √(c / (n + c)) · ((n + c) V / ((n + c) V − S²))^(n/2)

is the likelihood of the scale-free data under an effect (mean ÷ standard deviation) drawn from a normal
of variance 1/c, over their likelihood under mean m. Under mean m and normal data of any unknown variance it
is a martingale that starts at 1, so by Ville's inequality it ever reaches 1/α with probability at most α. The
interval at look n is the set of m with M_n(m) < 1/α: exact for normal data from the second value on, no
asymptotics in the estimated variance.

Without normality: differences under a true null of "same policy" are exchangeable between the two arms and
so symmetric, and for symmetric X the self-normalised exp(λS − λ²V/2) is a supermartingale for every λ (de
la Peña 1999); M_n is, up to terms of order 1/n, its mixture over λ on the data's own scale. What that
leaves open at small n and for skewed or discrete data is measured: `marketsim bench statistics` and
docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from marketsim.statistics.estimates import FloatArray, Interval, finite

# Precision of the mixture over effects: 1/c is the variance of mean ÷ standard deviation before any data.
# With 4 the sequence is near its tightest around 60 values, where budgets end, and cannot close before the
# seventh value even when all are equal: smaller values declare large effects a pair or two earlier, but on
# skewed and two-valued data falsely more often (0.25: 14 % of symmetric ±1 series, 4: 4 %).
MIXTURE_PRECISION = 4.0


class Decision(StrEnum):
    """How a comparison ended."""

    DIFFERENT = "different"
    EQUIVALENT = "equivalent"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Look:
    """What is known after `pairs` values: the running mean, its interval valid at any look, the evidence."""

    pairs: int
    mean: float
    interval: Interval
    evidence: float
    p: float

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "pairs": self.pairs,
            "mean": finite(self.mean),
            "interval": self.interval.as_json(),
            "evidence": finite(self.evidence),
            "p": finite(self.p),
        }


def looks(
    values: Sequence[float] | FloatArray,
    *,
    level: float = 0.95,
    precision: float = MIXTURE_PRECISION,
) -> list[Look]:
    """One look after each value: running mean, confidence sequence and p-value for mean 0, all valid at any
    time.

    The sequence's ends are intersected over the looks so far (they only ever come closer), and the p-value
    is the smallest so far; both keep their guarantee because it is for all looks at once. Should the
    intersection become empty (it does with probability at most 1 − level), the last interval before stands.
    """
    x = np.asarray(values, dtype=np.float64)
    means, halves = sequence_bounds(x[None, :], level, precision)
    evidence = log_evidence(x[None, :], precision)[0]
    found: list[Look] = []
    low, high = -math.inf, math.inf
    best = 0.0
    for n in range(1, x.size + 1):
        mean, half = float(means[0, n - 1]), float(halves[0, n - 1])
        new_low, new_high = max(low, mean - half), min(high, mean + half)
        if new_low <= new_high:
            low, high = new_low, new_high
        best = max(best, float(evidence[n - 1]))
        p = math.exp(-best)
        found.append(Look(n, mean, Interval(low, high, level, "confidence sequence"), math.exp(min(best, 700)), p))
    return found


def sequence_bounds(
    values: FloatArray,
    level: float = 0.95,
    precision: float = MIXTURE_PRECISION,
) -> tuple[FloatArray, FloatArray]:
    """Running means and half-widths for many series at once (rows × looks), not intersected over looks.

    A half-width is infinite as long as the level cannot be reached with so few values.
    """
    alpha = 1 - level
    n = np.arange(1, values.shape[1] + 1, dtype=np.float64)
    means, variances = _running(values)
    # M_n(m) = 1/α solved for (mean − m)²; growth is (√((n + c)/c) / α)^(2/n).
    growth = np.exp((np.log((n + precision) / precision) - 2 * math.log(alpha)) / n)
    room = n + precision - precision * growth
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(room > 0, (n + precision) * (growth - 1) / np.where(room > 0, room, 1), np.inf)
    with np.errstate(invalid="ignore"):
        halves = np.sqrt(np.where(np.isinf(factor)[None, :], np.inf, variances * np.where(np.isinf(factor), 0, factor)))
    return means, halves


def log_evidence(values: FloatArray, precision: float = MIXTURE_PRECISION, null: float = 0.0) -> FloatArray:
    """log M_n(null) for many series at once (rows × looks); 0 while all values so far equal the null."""
    n = np.arange(1, values.shape[1] + 1, dtype=np.float64)
    centred = values - null
    total = np.cumsum(centred, axis=1)
    squares = np.cumsum(centred**2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(squares > 0, total**2 / ((n + precision) * np.where(squares > 0, squares, 1.0)), 0.0)
    share = np.minimum(share, n / (n + precision))  # Cauchy-Schwarz, lost to rounding when all values are equal
    return 0.5 * np.log(precision / (n + precision)) - n / 2 * np.log1p(-share)


def _running(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Running mean and running variance (divided by n) of each row, from values shifted by the row's
    first.
    """
    n = np.arange(1, values.shape[1] + 1, dtype=np.float64)
    shift = values[:, :1]
    means = np.cumsum(values - shift, axis=1) / n
    variances = np.maximum(np.cumsum((values - shift) ** 2, axis=1) / n - means**2, 0.0)
    return means + shift, variances


@dataclass(frozen=True)
class Verdict:
    """The decision, the look at which it fell (or the last one), and a sentence for the report."""

    decision: Decision
    look: Look
    sentence: str


def decide(series: Sequence[Look], margin: float | None = None, level: float = 0.95) -> Verdict:
    """The first look at which the comparison is decided, or the last one: out of budget.

    Different: zero lies outside the sequence. Equivalent: the whole sequence lies within ±margin (only with a
    margin; a difference smaller than the margin may be both, then it says so).
    """
    if not series:
        raise ValueError("a decision needs at least one look")
    for look in series:
        different = look.p <= 1 - level + 1e-12
        equivalent = margin is not None and look.interval.low >= -margin and look.interval.high <= margin
        if different:
            note = f", within the margin of ±{margin:.6g}" if equivalent else ""
            return Verdict(Decision.DIFFERENT, look, f"a difference is declared after {look.pairs} pairs{note}")
        if equivalent:
            return Verdict(
                Decision.EQUIVALENT,
                look,
                f"equivalent within ±{margin:.6g}, declared after {look.pairs} pairs",
            )
    last = series[-1]
    return Verdict(Decision.UNDECIDED, last, f"undecided: the budget of {last.pairs} pairs is spent")


def first_declared(
    values: FloatArray,
    level: float = 0.95,
    precision: float = MIXTURE_PRECISION,
) -> npt.NDArray[np.int64]:
    """For each row the number of values at which a difference from 0 is first declared, 0 if never
    (rows,).
    """
    reached = log_evidence(values, precision) >= -math.log(1 - level)
    declared: npt.NDArray[np.int64] = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 0)
    return declared
