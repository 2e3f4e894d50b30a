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
la Peña 1999); M_n is, up to terms of order 1/n, its mixture over λ on the data's own scale. M_n depends on
the data through Student's t alone, and the t that enters is the cautious one of `cautious_t`: moved towards
zero by the skewness, and zero until five values differ from the most frequent one. What is left open is
measured: `marketsim bench statistics` and docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from marketsim.statistics.cautious_t import Running, running
from marketsim.statistics.estimates import FloatArray, Interval, finite

# Precision of the mixture over effects: 1/c is the variance of mean ÷ standard deviation before any data.
# With 4 the sequence is near its tightest around 60 values, where budgets end: smaller values declare large
# effects a pair or two earlier, but on skewed and two-valued data falsely more often.
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
    so_far = running(x[None, :])
    lows, highs = _bounds(so_far, level, precision)
    evidence = _log_evidence(so_far, precision, 0.0)[0]
    found: list[Look] = []
    low, high = -math.inf, math.inf
    best = 0.0
    for n in range(1, x.size + 1):
        new_low, new_high = max(low, float(lows[0, n - 1])), min(high, float(highs[0, n - 1]))
        if new_low <= new_high:
            low, high = new_low, new_high
        best = max(best, float(evidence[n - 1]))
        interval = Interval(low, high, level, "confidence sequence")
        mean = float(so_far.mean[0, n - 1])
        found.append(Look(n, mean, interval, math.exp(min(best, 700)), math.exp(-best)))
    return found


def sequence_bounds(
    values: FloatArray,
    level: float = 0.95,
    precision: float = MIXTURE_PRECISION,
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper ends for many series at once (each rows × looks), not intersected over looks.

    Ends are infinite as long as the level cannot be reached with so few values, or so few different ones.
    """
    return _bounds(running(values), level, precision)


def log_evidence(values: FloatArray, precision: float = MIXTURE_PRECISION, null: float = 0.0) -> FloatArray:
    """log M_n(null) for many series at once (rows × looks), of the cautious t; at most 0 while too few values
    differ.
    """
    return _log_evidence(running(values), precision, null)


def _bounds(so_far: Running, level: float, precision: float) -> tuple[FloatArray, FloatArray]:
    n = np.arange(1, so_far.mean.shape[1] + 1, dtype=np.float64)
    # M_n = 1/α solved for t²; growth is (√((n + c)/c) / α)^(2/n).
    growth = np.exp((np.log((n + precision) / precision) - 2 * math.log(1 - level)) / n)
    room = n + precision - precision * growth
    with np.errstate(divide="ignore", invalid="ignore"):
        critical = np.where(room > 0, np.sqrt((n - 1) * (n + precision) * (growth - 1) / room), np.inf)
    return so_far.ends(critical)


def _log_evidence(so_far: Running, precision: float, null: float) -> FloatArray:
    n = np.arange(1, so_far.mean.shape[1] + 1, dtype=np.float64)
    squared = so_far.statistic(null) ** 2
    # S² ÷ V is n t² ÷ (n − 1 + t²), and 0 ÷ 0 at the first value says nothing.
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(squared > 0, n / (n + precision) / (1 + (n - 1) / squared), 0.0)
    found: FloatArray = 0.5 * np.log(precision / (n + precision)) - n / 2 * np.log1p(-share)
    return found


@dataclass(frozen=True)
class Verdict:
    """The decision, the number of pairs after which it fell (or of the last look), and a sentence for the
    report.
    """

    decision: Decision
    pairs: int
    sentence: str


def decide(series: Sequence[Look], margin: float | None = None, level: float = 0.95) -> Verdict:
    """The first look at which the comparison is decided, or the last one: out of budget.

    Different: zero lies outside the sequence. Equivalent: the whole sequence lies within ±margin (only with a
    margin; a difference smaller than the margin may be both, then it says so).
    """
    if not series:
        raise ValueError("a decision needs at least one look")
    for look in series:
        found = verdict_at(look.pairs, look.p <= 1 - level + 1e-12, look.interval, margin)
        if found is not None:
            return found
    return undecided(series[-1].pairs)


def verdict_at(pairs: int, different: bool, interval: Interval, margin: float | None, how: str = "") -> Verdict | None:
    """The verdict at one look, None when it decides nothing; `how` ends its sentence."""
    equivalent = margin is not None and -margin <= interval.low and interval.high <= margin
    if different:
        note = f", within the margin of ±{margin:.6g}" if equivalent else ""
        return Verdict(Decision.DIFFERENT, pairs, f"a difference is declared after {pairs} pairs{how}{note}")
    if equivalent:
        sentence = f"equivalent within ±{margin:.6g}, declared after {pairs} pairs{how}"
        return Verdict(Decision.EQUIVALENT, pairs, sentence)
    return None


def undecided(pairs: int, why: str = "") -> Verdict:
    """No decision after the last pair."""
    return Verdict(Decision.UNDECIDED, pairs, f"undecided: {why or f'the budget of {pairs} pairs is spent'}")


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
