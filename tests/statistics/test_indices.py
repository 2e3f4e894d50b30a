"""Sobol and Morris indices agree with functions whose indices are known."""

import math

import numpy as np
import pytest
from scipy.stats import qmc

from marketsim.statistics.indices import morris_effects, sobol_indices

NAMES = ["x1", "x2", "x3"]


def ishigami(unit: np.ndarray, a: float = 7.0, b: float = 0.1) -> np.ndarray:
    x = np.pi * (2 * unit - 1)
    return np.sin(x[:, 0]) + a * np.sin(x[:, 1]) ** 2 + b * x[:, 2] ** 4 * np.sin(x[:, 0])


def ishigami_indices(a: float = 7.0, b: float = 0.1) -> tuple[list[float], list[float]]:
    """First and total indices by integration (Ishigami and Homma 1990)."""
    v1 = 0.5 * (1 + b * math.pi**4 / 5) ** 2
    v2 = a**2 / 8
    v13 = b**2 * math.pi**8 * (1 / 18 - 1 / 50)
    total = v1 + v2 + v13
    return [v1 / total, v2 / total, 0.0], [(v1 + v13) / total, v2 / total, v13 / total]


def saltelli(samples: int, dimension: int, seed: int) -> np.ndarray:
    both = qmc.Sobol(2 * dimension, rng=np.random.default_rng(seed)).random(samples)
    a, b = both[:, :dimension], both[:, dimension:]
    mixed = [np.where(np.arange(dimension) == j, b, a) for j in range(dimension)]
    return np.vstack([a, b, *mixed])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sobol_indices_of_ishigami_within_their_intervals(seed: int) -> None:
    found = sobol_indices(ishigami(saltelli(1024, 3, seed)), NAMES)
    for index, first, total in zip(found, *ishigami_indices(), strict=True):
        assert index.first_interval.holds(first), index
        assert index.total_interval.holds(total), index
        assert index.total_interval.half_width < 0.1


def test_sobol_indices_cover_over_repetitions() -> None:
    """Plain random designs: the intervals are made for these and should hold in about 95 % of them."""
    firsts, totals = ishigami_indices()
    rng = np.random.default_rng(5)
    held = []
    for repetition in range(30):
        both = rng.random((512, 6))
        a, b = both[:, :3], both[:, 3:]
        design = np.vstack([a, b, *(np.where(np.arange(3) == j, b, a) for j in range(3))])
        found = sobol_indices(ishigami(design), NAMES, seed=repetition, resamples=300)
        held += [i.first_interval.holds(f) for i, f in zip(found, firsts, strict=True)]
        held += [i.total_interval.holds(t) for i, t in zip(found, totals, strict=True)]
    assert np.mean(held) > 0.95 - 2 * math.sqrt(0.05 * 0.95 / 30)


def test_few_samples_are_said_to_be_few() -> None:
    few, enough = (sobol_indices(ishigami(saltelli(n, 3, 1)), NAMES, resamples=99) for n in (32, 64))
    assert few[0].few
    assert few[0].as_json()["samples"] == 32
    assert not enough[0].few


def test_sobol_refuses_what_it_cannot_share_out() -> None:
    with pytest.raises(ValueError, match="does not vary"):
        sobol_indices(np.ones(40), NAMES)
    with pytest.raises(ValueError, match="whole blocks"):
        sobol_indices(np.arange(41.0), NAMES)


def trajectories(count: int, dimension: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        point = rng.integers(0, 2, dimension) / 3
        rows.append(point.copy())
        for j in rng.permutation(dimension):
            point[j] += 2 / 3
            rows.append(point.copy())
    return np.array(rows)


def test_morris_of_a_linear_function_is_exact() -> None:
    unit = trajectories(10, 3, 1)
    found = morris_effects(unit, unit @ np.array([5.0, -2.0, 0.0]) + 1, NAMES)
    assert [round(e.mean, 9) for e in found] == [5, -2, 0]
    assert [round(e.mean_absolute, 9) for e in found] == [5, 2, 0]
    assert max(e.deviation for e in found) < 1e-9


def test_morris_agrees_with_salib() -> None:
    analyse = pytest.importorskip("SALib.analyze.morris")
    unit = trajectories(40, 3, 2)
    values = ishigami(unit)
    problem = {"num_vars": 3, "names": NAMES, "bounds": [[0, 1]] * 3}
    theirs = analyse.analyze(problem, unit, values, num_levels=4)
    ours = morris_effects(unit, values, NAMES)
    assert [e.mean for e in ours] == pytest.approx(list(theirs["mu"]), abs=1e-9)
    assert [e.mean_absolute for e in ours] == pytest.approx(list(theirs["mu_star"]))
    assert [e.deviation for e in ours] == pytest.approx(list(theirs["sigma"]))
    assert ours[2].deviation > ours[2].mean_interval.half_width, "x3 acts only by interaction"


def test_morris_refuses_steps_that_are_not_trajectories() -> None:
    unit = trajectories(3, 3, 3)
    with pytest.raises(ValueError, match="whole trajectories"):
        morris_effects(unit[:-1], np.arange(11.0), NAMES)
    unit[1] = unit[0]
    with pytest.raises(ValueError, match="one factor a step"):
        morris_effects(unit, np.arange(12.0), NAMES)
