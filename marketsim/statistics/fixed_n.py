"""Judges with a number of pairs fixed beforehand whether a mean got worse by a margin, and says how many pairs that needs.

With d the differences after − before of n pairs and m > 0 the margin, the metric **passes** when the one-sided
1 − α interval of the mean of d excludes a shift of m to the worse side, and, where it is to be equivalent, to either
side (two one-sided tests). A shift of m or more then passes with probability α at most. What does not pass **fails**
when a shift to the worse is declared (p-value corrected by Holm over all metrics), else it is **undecided**.

Passing needs no correction: a gate passes when all its metrics do, so that a gate with one metric shifted by its
margin passes with at most the probability α of that metric alone (intersection–union, Berger 1982). What several
metrics multiply is false alarms: Holm corrects the failures, and a plan for k metrics gives each a k-th of the
error 1 − power.

Statistics are Student's, made cautious by `cautious_t`. Pairs that are all equal are **identical**: at most
1 − α^(1/n) of all pairs differ, with confidence 1 − α. As soon as some of them repeat a value and others do not,
nothing is concluded until `INFORMATIVE_LEAST` differ from the most frequent one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from marketsim.statistics.cautious_t import INFORMATIVE_LEAST, at_end, informative
from marketsim.statistics.estimates import FloatArray, Interval, finite, holm

PAIRS_MAX = 4096
"""No plan goes beyond: a gate that needs more has a margin too narrow for its spread."""
PAIRS_LEAST = 2
_ROUNDING = 1e-12
_DRAWS, _NUMBERS = 8000, 500_000


class Aim(StrEnum):
    """What a metric must show: not lower by the margin, not higher by it, or neither."""

    NO_LOWER = "no-lower"
    NO_HIGHER = "no-higher"
    EQUIVALENT = "equivalent"


class GateWord(StrEnum):
    """How a metric came out of a gate."""

    IDENTICAL = "identical"
    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"

    @property
    def is_green(self) -> bool:
        """Whether the metric lets the gate pass."""
        return self in (GateWord.IDENTICAL, GateWord.PASS)


@dataclass(frozen=True)
class JudgedMetric:
    """One metric judged from `pairs` pairs, of which `equal` are equal; shift, interval and margin in the metric's unit.

    `interval` has confidence 1 − 2α, each end 1 − α; it is open while nothing may be concluded. `p` is for "no shift"
    against a shift to the worse (two-sided for `Aim.EQUIVALENT`), `p_holm` corrected for all metrics of the gate.
    `equivalent` says whether the interval lies within the margin on both sides, `differ_most` the largest share of
    pairs that may differ when none did.
    """

    aim: Aim
    word: GateWord
    pairs: int
    equal: int
    margin: float
    before: float
    after: float
    shift: float
    spread: float
    interval: Interval
    p: float
    p_holm: float
    equivalent: bool
    differ_most: float | None
    why: str

    def as_json(self) -> dict[str, Any]:
        """Plain numbers; undefined ones become None."""
        return {
            "verdict": self.word.value,
            "aim": self.aim.value,
            "pairs": self.pairs,
            "equal_pairs": self.equal,
            "margin": finite(self.margin),
            "mean_before": finite(self.before),
            "mean_after": finite(self.after),
            "shift": finite(self.shift),
            "spread": finite(self.spread),
            "interval": self.interval.as_json(),
            "p": finite(self.p),
            "p_holm": finite(self.p_holm),
            "equivalent": self.equivalent,
            "differ_most": self.differ_most,
            "why": self.why,
        }


def judge(
    before: Sequence[float] | FloatArray, after: Sequence[float] | FloatArray, margin: float, aim: Aim = Aim.NO_LOWER, alpha: float = 0.05
) -> JudgedMetric:
    """Judge one metric from its values in pairs of runs (equal lengths), as the only one of its gate.

    A value that is missing (NaN) in both runs of a pair is equal there; missing in one alone, nothing can be concluded.
    Values that differ by less than 1e-12 of their size are equal, seen through rounding. Raises ValueError without a pair.
    """
    x, y = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if x.size == 0 or x.shape != y.shape:
        raise ValueError("a gate needs one value before and one after for each of its pairs")
    there = np.isfinite(x) & np.isfinite(y)
    lonely = int((np.isfinite(x) != np.isfinite(y)).sum())
    differences = y[there] - x[there]
    differences[np.abs(differences) <= _ROUNDING * np.maximum(np.abs(x[there]), np.abs(y[there]))] = 0.0
    equal = int((differences == 0).sum()) + int((~np.isfinite(x) & ~np.isfinite(y)).sum())
    n = differences.size
    base = JudgedMetric(
        aim=aim,
        word=GateWord.UNDECIDED,
        pairs=int(x.size),
        equal=equal,
        margin=margin,
        before=float(x[there].mean()) if n else math.nan,
        after=float(y[there].mean()) if n else math.nan,
        shift=float(differences.mean()) if n else math.nan,
        spread=float(differences.std(ddof=1)) if n > 1 else math.nan,
        interval=Interval(-math.inf, math.inf, 1 - 2 * alpha, "Student's, cautious"),
        p=1.0,
        p_holm=1.0,
        equivalent=False,
        differ_most=None,
        why="",
    )
    if lonely:
        return replace(base, why=f"has a value in only one run of {lonely} of {x.size} pairs")
    if equal == x.size:
        bound = differ_most(int(x.size), alpha)
        why = f"equal in all {x.size} pairs: at most {100 * bound:.3g} % of seeds may differ"
        return replace(base, word=GateWord.IDENTICAL, equivalent=True, differ_most=bound, why=why)
    if n < PAIRS_LEAST:
        return replace(base, why="one pair alone has no spread")
    if why := _repeats(differences):
        return replace(base, why=why)
    return _tested(base, differences, alpha)


def _tested(base: JudgedMetric, differences: FloatArray, alpha: float) -> JudgedMetric:
    from scipy import special

    n, m = differences.size, base.margin
    seen = at_end(differences[None, :])
    low, high = (float(end[0, 0]) for end in seen.ends(np.array([critical(alpha, n)])))
    t = float(seen.statistic()[0, 0])
    below, above = float(special.stdtr(n - 1, t)), float(special.stdtr(n - 1, -t))
    within_low, within_high = low > -m, high < m
    match base.aim:
        case Aim.NO_LOWER:
            passes, p = within_low, below
        case Aim.NO_HIGHER:
            passes, p = within_high, above
        case Aim.EQUIVALENT:
            passes, p = within_low and within_high, min(1.0, 2 * min(below, above))
    interval = replace(base.interval, low=low, high=high)
    judged = replace(base, interval=interval, p=p, p_holm=p, equivalent=within_low and within_high)
    return replace(judged, word=GateWord.PASS) if passes else _not_passed(judged, alpha)


def _not_passed(judged: JudgedMetric, alpha: float) -> JudgedMetric:
    if judged.p_holm <= alpha:
        return replace(judged, word=GateWord.FAIL, why="")
    return replace(judged, word=GateWord.UNDECIDED, why=f"{judged.pairs} pairs show neither a shift nor that it is within the margin")


def corrected(judged: Sequence[JudgedMetric], alpha: float) -> list[JudgedMetric]:
    """The metrics of one gate together: p-values by Holm, and failures that do not stand the correction become undecided."""
    found = []
    for one, p in zip(judged, holm([one.p for one in judged]), strict=True):
        one = replace(one, p_holm=float(p))
        found.append(_not_passed(one, alpha) if math.isfinite(one.interval.low) and not one.word.is_green else one)
    return found


def _repeats(differences: FloatArray) -> str:
    """Why repeated differences forbid a conclusion, empty where they do not."""
    unequal = int(informative(differences[None, :])[0, -1])
    alike = differences.size - unequal
    if unequal >= INFORMATIVE_LEAST or (alike < 2 and not (differences == 0).any()):
        return ""
    values, times = np.unique(differences, return_counts=True)
    common = float(values[times.argmax()]) if alike > 1 else 0.0
    what = "equal" if common == 0 else f"different by exactly {common:.6g}"
    counted = f"{max(alike, 1)} of {differences.size} pairs are {what}"
    return f"{counted}; until {INFORMATIVE_LEAST} are otherwise, rare differences cannot be judged"


def critical(alpha: float, pairs: int) -> float:
    """Student's one-sided quantile."""
    from scipy import special

    return float(special.stdtrit(pairs - 1, 1 - alpha))


def differ_most(pairs: int, alpha: float = 0.05) -> float:
    """The largest share of seeds that differs with none of `pairs` differing in at least α of cases: 1 − α^(1/n)."""
    return float(1 - alpha ** (1 / pairs))


def pairs_for_share(share: float, alpha: float = 0.05) -> int:
    """How many equal pairs show that at most `share` (0 … 1, exclusive) of seeds differ."""
    return math.ceil(math.log(alpha) / math.log1p(-share) - 1e-9)


class Chances(NamedTuple):
    """What a gate does to one metric: passes without a shift, fails at a shift of the margin to the worse."""

    passes: float
    fails: float


@lru_cache(maxsize=256)
def _outcomes(
    pairs: int, aim: Aim, alpha: float, metrics: int, freedom: int | None
) -> tuple[FloatArray, FloatArray, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Of many gates on normal differences: from which margin on (in spreads as estimated) each passes without a shift, and fails at a
    shift of the margin but for those that then pass.

    `freedom` degrees of freedom have estimated the spread, None when it is known.
    """
    draws = max(1000, min(_DRAWS, _NUMBERS // pairs))
    rng = np.random.default_rng([pairs, 27])
    seen = at_end(rng.normal(size=(draws, pairs)))
    low, high = (end[:, 0] for end in seen.ends(np.array([critical(alpha, pairs)])))
    failing = alpha / metrics / (2 if aim is Aim.EQUIVALENT else 1)
    _, upper = (end[:, 0] for end in seen.ends(np.array([critical(failing, pairs)])))
    spread = np.sqrt(rng.chisquare(freedom, draws) / freedom) if freedom else np.ones(draws)
    width = np.maximum(-low, high) if aim is Aim.EQUIVALENT else -low
    return width / spread, upper / spread, low <= 0


def chances(ratio: float, pairs: int, aim: Aim, alpha: float, metrics: int = 1, freedom: int | None = None) -> Chances:
    """The chances with `pairs` pairs at a margin of `ratio` spreads of the differences, one of `metrics` metrics of its gate."""
    if math.isinf(ratio):
        return Chances(1.0, 1.0)
    if pairs < PAIRS_LEAST:
        return Chances(0.0, 0.0)
    width, upper, not_passing = _outcomes(pairs, aim, alpha, metrics, freedom)
    return Chances(float((width < ratio).mean()), float(((upper < ratio) & not_passing).mean()))


def planned_pairs(
    ratio: float, aim: Aim = Aim.NO_LOWER, *, alpha: float = 0.05, power: float = 0.9, metrics: int = 1, freedom: int | None = None
) -> int:
    """The fewest pairs with which a metric of margin ÷ spread = `ratio`, one of `metrics` of its gate, passes without a shift in at least
    1 − (1 − power) ÷ metrics of cases and fails at a shift of the margin in at least `power`; `PAIRS_MAX` when none do.

    Chances are for normal differences, of many gates drawn and judged by `judge`'s own rules, so that its caution is paid for;
    `freedom` degrees of freedom have estimated the spread.
    """
    wanted = 1 - (1 - power) / metrics
    # More than 1 − α cannot fail at the margin; what is asked beyond is not planned for.
    failing = power if power < 1 - alpha else 0.0

    def enough(pairs: int) -> bool:
        found = chances(ratio, pairs, aim, alpha, metrics, freedom)
        return found.passes >= wanted and found.fails >= failing

    low, high = PAIRS_LEAST - 1, PAIRS_LEAST
    while not enough(high):
        if high >= PAIRS_MAX:
            return PAIRS_MAX
        low, high = high, min(2 * high, PAIRS_MAX)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def pairs_for_repeats(equal_share: float, chance: float) -> int:
    """How many pairs leave `INFORMATIVE_LEAST` unequal ones with probability `chance`, where `equal_share` of them are equal."""
    from scipy import stats

    if not 0 < equal_share < 1:
        return PAIRS_LEAST
    n = INFORMATIVE_LEAST + 1
    while n < PAIRS_MAX and stats.binom.cdf(n - INFORMATIVE_LEAST, n, equal_share) + equal_share**n < chance:
        n += 1
    return n
