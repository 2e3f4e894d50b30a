"""Takes out of a metric what known chance explains: control variates whose mean is 0 by construction.

A control is a number of each run that is known to be 0 on average, such as orders beyond the expected number. Where a metric moves with it,

    value − slope × control

has the metric's mean and less variance. A slope fitted on the runs that it is applied to would be biased, and choosing the controls
that look best would be worse. So the runs are dealt out to at most `FOLDS` folds, and the values of each are adjusted by controls and
slopes that the other folds alone chose (Avramidis and Wilson 1993, A splitting scheme for control variates): slope and control of a run are
then independent, and the mean is unbiased for every distribution and every number of runs. In a sequence, where a run must not depend
on later ones, each is adjusted by what the runs before it say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from marketsim.statistics.cautious_t import informative
from marketsim.statistics.estimates import FloatArray, Interval, finite, t_quantile

FOLDS = 16
# With fewer runs a slope costs more than it brings; a control has to lower the squared error of prediction by GAIN to be taken, and by
# what the best of five useless ones reaches in one case of twenty, CHANCE ÷ runs.
LEAST_RUNS = 16
GAIN = 0.1
CHANCE = 5.0
# Metrics of which more values than this are one and the same are left alone: adjusted, equal pairs would look different.
_ALIKE = 0.5


@dataclass(frozen=True)
class Controlled:
    """A mean adjusted by controls, with Student's interval over the adjusted values.

    `taken` says in how many of the `folds` each control was chosen, those that never were are left out; `ratio` is the variance of a
    value ÷ that of an adjusted one. `values` are the adjusted ones, float64[count].
    """

    count: int
    folds: int
    taken: Mapping[str, int]
    mean: float
    interval: Interval
    plain: float
    ratio: float
    values: FloatArray = field(repr=False, compare=False)

    @property
    def words(self) -> str:
        """Which controls, how often chosen: `number of orders (16 of 16 folds)`; `none` without one."""
        return ", ".join(f"{_title(name)} ({times} of {self.folds} folds)" for name, times in self.taken.items()) or "none"

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "n": self.count,
            "folds": self.folds,
            "controls": dict(self.taken),
            "mean": finite(self.mean),
            "interval": self.interval.as_json(),
            "plain_mean": finite(self.plain),
            "variance_ratio": finite(self.ratio),
        }


CONTROL_TITLES = {
    "orders": "number of orders",
    "size": "size of orders",
    "work": "size × life of orders",
    "worth": "orders worth their cost",
    "cost": "costs of providers",
}
"""What the controls of runs (experiments/runs/chance.py) are called."""


def _title(name: str) -> str:
    control, of, arm = name.partition(" of ")
    return CONTROL_TITLES.get(control, control) + of + arm


def controlled(
    values: Sequence[float] | FloatArray, controls: Mapping[str, Sequence[float] | FloatArray], level: float = 0.95
) -> Controlled | None:
    """The mean of independent runs with the chance taken out that `controls` tell of, each one number a run with mean 0.

    Runs without a value or a control (NaN) are left out. None with fewer than `LEAST_RUNS` runs or without a control that varies.
    The interval is Student's over the adjusted values with one degree of freedom less for each control that was taken; `bench
    statistics` measures what it covers.
    """
    y, columns, names = _whole(values, controls)
    if y.size < LEAST_RUNS or not names:
        return None
    folds = min(FOLDS, y.size)
    fold = np.arange(y.size) % folds
    adjusted = y.copy()
    taken = np.zeros(len(names), dtype=np.int64)
    for k in range(folds):
        slopes = _slopes(y[fold != k], columns[fold != k])
        adjusted[fold == k] -= columns[fold == k] @ slopes
        taken += slopes != 0
    most = int((taken > folds / 2).sum())
    error = float(adjusted.std(ddof=1)) / math.sqrt(y.size)
    half = t_quantile((1 + level) / 2, y.size - 1 - most) * error
    mean = float(adjusted.mean())
    spread = float(adjusted.var(ddof=1))
    ranked = sorted((name for name, times in zip(names, taken, strict=True) if times), key=lambda name: -taken[names.index(name)])
    return Controlled(
        count=int(y.size),
        folds=folds,
        taken={name: int(taken[names.index(name)]) for name in ranked},
        mean=mean,
        interval=Interval(mean - half, mean + half, level, "t over adjusted values"),
        plain=float(y.mean()),
        ratio=float(y.var(ddof=1)) / spread if spread > 0 else 1.0,
        values=adjusted,
    )


def adjusted_by_earlier(values: FloatArray, controls: Mapping[str, FloatArray]) -> FloatArray:
    """Each value adjusted by what the values before it say of the controls, float64[runs]: sums of them less their mean are a martingale.

    Controls and slopes are chosen anew when a sixteenth more runs are there; the first `LEAST_RUNS` stay as they are.
    """
    found = np.array(values, dtype=np.float64)
    columns = _columns(controls, len(found))[0]
    if not columns.shape[1]:
        return found
    slopes, fitted = np.zeros(columns.shape[1]), 0
    y = found.copy()
    for n in range(LEAST_RUNS, y.size):
        if n >= fitted + max(1, fitted // 16):
            slopes, fitted = _slopes(y[:n], columns[:n]), n
        found[n] = y[n] - columns[n] @ slopes
    return found


def _whole(
    values: Sequence[float] | FloatArray, controls: Mapping[str, Sequence[float] | FloatArray]
) -> tuple[FloatArray, FloatArray, list[str]]:
    y = np.asarray(values, dtype=np.float64)
    columns, names = _columns(controls, y.size)
    kept = np.isfinite(y) & np.isfinite(columns).all(axis=1)
    y, columns = y[kept], columns[kept]
    varies = np.ptp(columns, axis=0) > 0 if y.size else np.zeros(len(names), dtype=np.bool_)
    return y, columns[:, varies], [name for name, one in zip(names, varies, strict=True) if one]


def _columns(controls: Mapping[str, Sequence[float] | FloatArray], count: int) -> tuple[FloatArray, list[str]]:
    """The controls side by side, float64[runs, controls], those left out that are equal to one before."""
    names: list[str] = []
    found: list[FloatArray] = []
    for name, one in controls.items():
        column = np.asarray(one, dtype=np.float64)
        if not any(np.array_equal(column, other, equal_nan=True) for other in found):
            names.append(name)
            found.append(column)
    return np.column_stack(found) if found else np.empty((count, 0)), names


def _slopes(y: FloatArray, columns: FloatArray) -> FloatArray:
    """Slopes of the controls that lower the error of prediction, one taken after the other; 0 for the rest."""
    slopes = np.zeros(columns.shape[1])
    if y.size < 4 or informative(y[None, :])[0, -1] < _ALIKE * y.size:
        return slopes
    scales = columns.std(axis=0)
    scaled = columns / np.where(scales > 0, scales, 1.0)
    taken: list[int] = []
    error, wanted = _left_out(y, columns, scales, taken)[0], max(GAIN, CHANCE / y.size)
    while left := [k for k in range(columns.shape[1]) if k not in taken and scales[k] > 0]:
        errors = _errors_left_out(y, scaled, [[*taken, k] for k in left])
        best = int(np.argmin(errors))
        if not errors[best] < (1 - wanted) * error:
            break
        error = float(errors[best])
        taken.append(left[best])
    if taken:
        slopes[taken] = _left_out(y, columns, scales, taken)[1]
    return slopes


def _errors_left_out(y: FloatArray, scaled: FloatArray, trials: Sequence[Sequence[int]]) -> FloatArray:
    """The first answer of `_left_out` for each of several choices of equally many controls, float64[trials]."""
    matrices = np.ones((len(trials), y.size, 1 + len(trials[0])))
    matrices[:, :, 1:] = np.moveaxis(scaled[:, np.array(trials)], 0, 1)
    base, triangle = np.linalg.qr(matrices)
    steady = np.abs(np.diagonal(triangle, axis1=1, axis2=2)).min(axis=1) >= 1e-9 * math.sqrt(y.size)
    room = 1 - (base**2).sum(axis=2)
    steady &= room.min(axis=1) >= 1e-9
    along = y @ base
    errors = (y - (base @ along[:, :, None])[:, :, 0]) / np.where(steady[:, None], room, 1.0)
    found: FloatArray = np.where(steady, (errors**2).sum(axis=1), math.inf)
    return found


def _left_out(y: FloatArray, columns: FloatArray, scales: FloatArray, taken: Sequence[int]) -> tuple[float, FloatArray]:
    """Sum of squared errors at each run left out in turn (by the hat matrix), and the slopes fitted to all."""
    chosen = list(taken)
    matrix = np.column_stack([np.ones(y.size), columns[:, chosen] / scales[chosen]])
    base, triangle = np.linalg.qr(matrix)
    if np.abs(np.diag(triangle)).min() < 1e-9 * math.sqrt(y.size):
        return math.inf, np.zeros(len(chosen))
    along = base.T @ y
    room = 1 - (base**2).sum(axis=1)
    if room.min() < 1e-9:
        return math.inf, np.zeros(len(chosen))
    residuals = (y - base @ along) / room
    solved: FloatArray = np.linalg.solve(triangle, along)[1:] / scales[chosen]
    return float(residuals @ residuals), solved
