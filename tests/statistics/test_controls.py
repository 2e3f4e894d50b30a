"""Control variates: held to a computation by hand, unbiased on known means, with intervals that cover."""

import math

import numpy as np
import pytest

from marketsim.statistics.controls import CHANCE, FOLDS, LEAST_RUNS, _errors_left_out, adjusted_by_earlier, controlled
from marketsim.statistics.estimates import t_interval

Sample = tuple[np.ndarray, dict[str, np.ndarray]]


def normal(rng: np.random.Generator, n: int) -> Sample:
    a, b, noise = rng.standard_normal((3, n))
    return 3 + 2 * a + b + noise, {"a": a, "b": b}


def bent(rng: np.random.Generator, n: int) -> Sample:
    """The metric is no line of its control: a slope fitted on all runs would be biased."""
    a = rng.exponential(1, n) - 1
    return 3 + a + a**2 - 1, {"a": a}


def demand(rng: np.random.Generator, n: int) -> Sample:
    """A Poisson number of log-normal orders; the metric is what they pay, and noise."""
    number = rng.poisson(100, n)
    size = np.array([rng.lognormal(0, 1, k).sum() - k * math.exp(0.5) for k in number])
    return (number * math.exp(0.5) + size + rng.normal(0, 10, n)) / 100 / math.exp(0.5) + 2, {"orders": number - 100.0, "size": size}


def left_out_by_hand(y: np.ndarray, columns: np.ndarray, taken: list[int]) -> float:
    """Sum of squared errors of prediction, each run left out and the line fitted anew."""
    total = 0.0
    for i in range(y.size):
        others = np.arange(y.size) != i
        matrix = np.column_stack([np.ones(y.size), columns[:, taken]])
        found, *_ = np.linalg.lstsq(matrix[others], y[others], rcond=None)
        total += float((y[i] - matrix[i] @ found) ** 2)
    return total


def test_errors_of_all_choices_at_once_are_those_of_each() -> None:
    rng = np.random.default_rng(8)
    columns = rng.standard_normal((14, 5))
    columns[:, 4] = columns[:, 0] + columns[:, 1]  # no fit with all three
    y = columns @ np.array([3.0, 0.0, 1.0, 0.5, 0.0]) + rng.standard_normal(14)
    trials = [[0, 1, k] for k in (2, 3, 4)]
    found = _errors_left_out(y, columns / columns.std(axis=0), trials)
    expected = [left_out_by_hand(y, columns, taken) for taken in trials[:2]]
    assert found[:2] == pytest.approx(expected, rel=1e-9)
    assert found[2] == math.inf


def test_by_hand() -> None:
    """Every fold anew, without the hat matrix: the first control lowers the error most, the second enough, the third does not."""
    rng = np.random.default_rng(3)
    columns = rng.standard_normal((20, 3))
    y = 5 + 3 * columns[:, 0] + 2 * columns[:, 1] + 0.5 * rng.standard_normal(20)
    expected = y.copy()
    for k in range(FOLDS):
        mine = np.arange(20) % FOLDS == k
        errors = [left_out_by_hand(y[~mine], columns[~mine], taken) for taken in ([], [0], [0, 1], [0, 1, 2])]
        wanted = 1 - CHANCE / np.count_nonzero(~mine)
        assert errors[1] < errors[0] * wanted
        assert errors[2] < errors[1] * wanted
        taken = [0, 1, 2] if errors[3] < errors[2] * wanted else [0, 1]
        matrix = np.column_stack([np.ones(20), columns[:, taken]])
        slopes = np.linalg.lstsq(matrix[~mine], y[~mine], rcond=None)[0][1:]
        expected[mine] -= columns[mine][:, taken] @ slopes
    found = controlled(y, {"a": columns[:, 0], "b": columns[:, 1], "c": columns[:, 2], "again": columns[:, 0]})
    assert found is not None
    assert found.values == pytest.approx(expected)
    assert found.ratio == pytest.approx(y.var() / expected.var())
    assert found.ratio > 10
    assert found.taken["a"] == found.taken["b"] == FOLDS
    assert "again" not in found.taken


@pytest.mark.slow
@pytest.mark.parametrize("draw", [normal, bent, demand])
def test_unbiased_and_covering_on_known_means(draw) -> None:  # type: ignore[no-untyped-def]
    """Every mean is 3 and so is the estimate's, whatever the distribution; the interval covers as Student's plain one does."""
    rng = np.random.default_rng(7)
    samples = [draw(rng, 20) for _ in range(400)]
    found = [controlled(y, controls) for y, controls in samples]
    means = np.array([one.mean for one in found if one is not None])
    assert means.size == 400
    assert abs(means.mean() - 3) < 3.5 * means.std() / math.sqrt(means.size)
    cover = np.mean([one.interval.holds(3) for one in found if one is not None])
    plain = np.mean([t_interval(y).holds(3) for y, _ in samples])
    wanted = min(0.95, plain)  # of crooked draws the plain one covers 77 %
    assert cover >= wanted - 2.5 * math.sqrt(wanted * (1 - wanted) / 400)
    if draw is not bent:
        assert np.var([y.mean() for y, _ in samples]) > 2.5 * means.var(), "less variance is what controls are for"


def test_in_a_sequence_no_value_depends_on_later_ones() -> None:
    y, controls = normal(np.random.default_rng(2), 40)
    whole = adjusted_by_earlier(y, controls)
    assert (whole[:LEAST_RUNS] == y[:LEAST_RUNS]).all()
    part = adjusted_by_earlier(y[:30], {name: column[:30] for name, column in controls.items()})
    assert part == pytest.approx(whole[:30], rel=1e-12)
    assert whole[LEAST_RUNS:].std() < 0.7 * y[LEAST_RUNS:].std()


def test_what_cannot_help_is_left_alone() -> None:
    rng = np.random.default_rng(5)
    few = controlled(rng.standard_normal(LEAST_RUNS - 1), {"a": rng.standard_normal(LEAST_RUNS - 1)})
    assert few is None
    assert controlled(rng.standard_normal(30), {"a": np.zeros(30)}) is None
    assert controlled(rng.standard_normal(30), {}) is None
    # Equal pairs stay equal: adjusted, they would look like thirty different values.
    rare = np.where(np.arange(30) < 27, 0.0, 1.0)
    found = controlled(rare, {"a": rng.standard_normal(30)})
    assert found is not None
    assert not found.taken
    assert (found.values == rare).all()
    holed = rng.standard_normal(40)
    holed[3] = math.nan
    found = controlled(holed, {"a": np.where(np.arange(40) == 5, math.nan, holed)})
    assert found is not None
    assert found.count == 38
