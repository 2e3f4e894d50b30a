"""Student's statistic after every value of many series, made cautious about lopsided and repeated values.

Two things make a test of a mean declare falsely long before its numbers are large. A lopsided distribution
hides its rare far values at first, and mean and spread are then both wrong in the same direction: Hall's
cubic (Hall 1992, On the removal of skewness by transformation) moves the statistic by the skewness seen so
far, and here it only ever moves it towards zero. And a series that repeats one value has shown nothing yet:
until `INFORMATIVE_LEAST` values differ from the most frequent one, nothing may be concluded from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marketsim.statistics.estimates import FloatArray

# With fewer values off the most frequent one a spread is a guess: in series of 95 % zeros seven equal values
# come first in two cases of three, and a sequence that closes on them never opens again.
INFORMATIVE_LEAST = 5
# Values nearer to each other than this share of the series' spread are one value, seen through rounding.
_SAME = 1e-9


@dataclass(frozen=True)
class Running:
    """Moments of each row after each of its values, all float64[rows, looks]; `informative` is int64.

    `error` is the standard error of the mean (NaN at the first value), `skewness` the third standardised
    moment (0 without spread), `informative` how many values so far differ from the most frequent one, `counts`
    the number of values at each look, default 1, 2, 3 ….
    """

    mean: FloatArray
    error: FloatArray
    skewness: FloatArray
    informative: npt.NDArray[np.int64]
    counts: FloatArray | None = None

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether enough values differ to conclude anything, bool[rows, looks]."""
        return self.informative >= INFORMATIVE_LEAST

    def statistic(self, null: float = 0.0) -> FloatArray:
        """Student's statistic against a mean, with its sign, moved towards 0 by the skewness; 0 while not
        `known`.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            plain = np.where(self.known, (self.mean - null) / self.error, 0.0)
        moved = _hall(plain, self._lean)
        same = np.sign(moved) == np.sign(plain)
        return np.where(same, np.sign(plain) * np.minimum(np.abs(plain), np.abs(moved)), 0.0)

    def ends(self, critical: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The means m at which |statistic(m)| reaches `critical` (looks,), below and above; open while not
        `known`.
        """
        below = np.maximum(critical, _hall_inverse(critical, self._lean))
        above = np.maximum(critical, -_hall_inverse(-critical, self._lean))
        with np.errstate(invalid="ignore"):
            low = np.where(self.known, self.mean - below * self.error, -np.inf)
            high = np.where(self.known, self.mean + above * self.error, np.inf)
        return np.where(np.isnan(low), -np.inf, low), np.where(np.isnan(high), np.inf, high)

    @property
    def _lean(self) -> FloatArray:
        n = np.arange(1, self.mean.shape[1] + 1, dtype=np.float64) if self.counts is None else self.counts
        lean: FloatArray = self.skewness / np.sqrt(n)
        return lean


def running(values: FloatArray) -> Running:
    """Moments after every value of each row of `values` (rows × looks), from values shifted by the row's
    first.
    """
    n = np.arange(1, values.shape[1] + 1, dtype=np.float64)
    shift = values[:, :1]
    moved = values - shift
    mean = np.cumsum(moved, axis=1) / n
    square = np.cumsum(moved**2, axis=1) / n
    variance = np.maximum(square - mean**2, 0.0)
    third = np.cumsum(moved**3, axis=1) / n - 3 * mean * square + 2 * mean**3
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(variance / (n - 1))
        skewness = np.where(variance > 1e-12 * np.maximum(square, 1e-300), third / variance**1.5, 0.0)
    return Running(mean + shift, error, np.nan_to_num(skewness), informative(values))


def at_end(values: FloatArray) -> Running:
    """Moments of each row of `values` (rows × n, n at least 2) after its last value alone, arrays of one look; every row counts as
    `known`: whoever asks has looked for repeated values.
    """
    n = values.shape[1]
    mean = values.mean(axis=1, keepdims=True)
    moved = values - mean
    variance = (moved**2).mean(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        skewness = np.nan_to_num((moved**3).mean(axis=1, keepdims=True) / variance**1.5)
    known = np.full(mean.shape, max(n, INFORMATIVE_LEAST), dtype=np.int64)
    return Running(mean, np.sqrt(variance / (n - 1)), skewness, known, np.array([float(n)]))


def informative(values: FloatArray) -> npt.NDArray[np.int64]:
    """How many of each row's values so far differ from the most frequent of them, int64[rows, looks]."""
    moved = values - values[:, :1]
    # Shifting by the first value has rounded the others by up to their own last digits.
    step = np.maximum(_SAME * np.abs(moved).max(axis=1), 1e-15 * np.abs(values).max(axis=1))[:, None]
    keys = np.rint(moved / np.where(step > 0, step, 1.0))
    order = np.argsort(keys, axis=1, kind="stable")
    ranked = np.take_along_axis(keys, order, axis=1)
    place = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    begins = np.ones(values.shape, dtype=bool)
    begins[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    # The how-manieth of its kind each value is, back in the order in which they came.
    count = place - np.maximum.accumulate(np.where(begins, place, 0), axis=1) + 1
    times = np.empty(values.shape, dtype=np.int64)
    np.put_along_axis(times, order, count, axis=1)
    found: npt.NDArray[np.int64] = place + 1 - np.maximum.accumulate(times, axis=1)
    return found


def _hall(t: FloatArray, lean: FloatArray) -> FloatArray:
    """t + at²/3 + a²t³/27 + a/6 for a = skewness ÷ √n: strictly increasing in t."""
    with np.errstate(over="ignore", invalid="ignore"):
        return t + lean / 3 * t**2 + lean**2 / 27 * t**3 + lean / 6


def _hall_inverse(value: FloatArray, lean: FloatArray) -> FloatArray:
    """The t whose `_hall` is `value`: 3 ((1 + a (value − a/6))^⅓ − 1) ÷ a."""
    small = np.abs(lean) < 1e-9
    a = np.where(small, 1.0, lean)
    with np.errstate(invalid="ignore"):
        return np.where(small, value, 3 * (np.cbrt(1 + a * (value - a / 6)) - 1) / a)
