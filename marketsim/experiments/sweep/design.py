"""Turns the factors of a sweep into design points: grid, list, latin hypercube, Sobol or Morris."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketsim.experiments.sweep.file import (
    Factor,
    GridDesign,
    LatinHypercubeDesign,
    Level,
    ListDesign,
    MorrisDesign,
    SobolDesign,
    SweepFile,
)
from marketsim.metrics.expressions import ExpressionError, Value, computable, plain_number, written


class DesignError(ValueError):
    """A design that cannot be made; `location` is the key path inside the sweep file."""

    def __init__(self, location: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.location = location


@dataclass(frozen=True, slots=True)
class DesignPoint:
    """One combination of levels, with its place in the design (`index`, counted from 0)."""

    index: int
    levels: tuple[Level, ...]

    def setting(self, factors: Sequence[Factor], decimals: Mapping[str, int | None] | None = None) -> dict[str, Any]:
        """Scenario path → value of all factors together, in the file's order; `decimals` are what paths can hold."""
        values = level_values(factors, self.levels)
        merged: dict[str, Any] = {}
        for factor, level in zip(factors, self.levels, strict=True):
            merged.update(factor.setting(level, values, decimals))
        return merged

    def labels(self) -> tuple[str, ...]:
        """What tables show for each factor."""
        return tuple(level.text for level in self.levels)


@dataclass(frozen=True, slots=True)
class DesignMatrix:
    """The points of a sweep and how many of the design the constraints removed.

    `unit` holds each point's place in the unit cube, float64[points, factors]: what the Sobol and Morris
    indices are computed from. It is empty for grid and list.
    """

    points: tuple[DesignPoint, ...]
    removed: int
    unit: np.ndarray[tuple[int, int], np.dtype[np.float64]]


def make_design(sweep: SweepFile, decimals: Mapping[str, int | None] | None = None) -> DesignMatrix:
    """All points of a sweep in a fixed order; raises DesignError when there is none or a rule is broken.

    `decimals` says of a scenario path how many its key can hold: levels of ranges that it gets as they are have no more.
    """
    factors = sweep.factors
    held = [_held(factor, decimals or {}) for factor in factors]
    for i, factor in enumerate(factors):
        if factor.range is not None and (problem := factor.range.too_coarse(held[i])):
            raise DesignError(("factors", i, "range"), f"{problem}, and the key takes no finer ones")
    empty = np.empty((0, len(factors)))
    match sweep.design:
        case GridDesign():
            combinations = list(_grid(factors, held))
            unit = empty
        case ListDesign(points=given):
            combinations = [_listed(factors, point, i) for i, point in enumerate(given)]
            unit = empty
        case LatinHypercubeDesign(points=count, seed=seed):
            unit = _latin_hypercube(len(factors), count, seed)
            combinations = [_sampled(factors, row, held) for row in unit]
        case SobolDesign(samples=samples, seed=seed):
            unit = saltelli_sample(len(factors), samples, seed)
            combinations = [_sampled(factors, row, held) for row in unit]
        case MorrisDesign() as morris:
            unit = morris_sample(len(factors), morris.trajectories, morris.grid_levels, morris.seed)
            combinations = [_sampled(factors, row, held) for row in unit]
    kept = _kept(sweep, combinations)
    if len(unit):
        unit = unit[kept]
    points = tuple(DesignPoint(i, combinations[k]) for i, k in enumerate(kept))
    return DesignMatrix(points, len(combinations) - len(kept), unit)


def saltelli_sample(factors: int, samples: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Points of Saltelli's design for Sobol indices, float64[samples × (factors + 2), factors] in [0, 1).

    Rows come in blocks of `samples`: A, B, then for each factor j the matrix A with column j taken from B,
    as `scipy.stats.sobol_indices` and Saltelli et al. (2010) order them.
    """
    from scipy.stats import qmc

    both = qmc.Sobol(2 * factors, scramble=True, rng=np.random.default_rng(seed)).random(samples)
    a, b = both[:, :factors], both[:, factors:]
    blocks = [a, b]
    for j in range(factors):
        mixed = a.copy()
        mixed[:, j] = b[:, j]
        blocks.append(mixed)
    return np.vstack(blocks)


def morris_sample(factors: int, trajectories: int, grid_levels: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Morris' trajectories, float64[trajectories × (factors + 1), factors] in [0, 1].

    Each trajectory starts on a grid of `grid_levels` levels and moves every factor once, in random order,
    by half the grid: delta = p / (2 (p − 1)) (Morris 1991).
    """
    generator = np.random.default_rng(seed)
    delta = grid_levels / (2 * (grid_levels - 1))
    rows = []
    for _ in range(trajectories):
        point = generator.integers(0, grid_levels // 2, factors) / (grid_levels - 1)
        up = generator.random(factors) < 0.5
        point = np.where(up, point, point + delta)
        rows.append(point.copy())
        for j in generator.permutation(factors):
            point[j] += delta if up[j] else -delta
            rows.append(point.copy())
    return np.clip(np.array(rows), 0.0, 1.0)


def level_values(factors: Sequence[Factor], levels: Sequence[Level]) -> dict[str, Value]:
    """What expressions see: factor name → the level's value, or its label where it has none."""
    return {factor.name: level.seen for factor, level in zip(factors, levels, strict=True)}


def level_number(level: Level) -> float | None:
    """The level as a number for axes and regressions, None for text."""
    if isinstance(level.value, bool) or level.value is None or isinstance(level.value, str):
        return None
    return float(level.value)


def _held(factor: Factor, decimals: Mapping[str, int | None]) -> int | None:
    """The fewest decimals that the keys hold which get a factor's level as it is."""
    found = [decimals.get(path) for path, template in factor.templates().items() if template.copies]
    return min((one for one in found if one is not None), default=None)


def _grid(factors: Sequence[Factor], held: Sequence[int | None]) -> Iterator[tuple[Level, ...]]:
    axes: list[tuple[Level, ...]] = []
    for i, factor in enumerate(factors):
        if factor.levels is not None:
            axes.append(factor.levels)
            continue
        assert factor.range is not None
        if factor.range.steps is None:
            raise DesignError(("factors", i, "range"), "a grid needs `steps:` in a range, or `levels:`")
        axes.append(tuple(Level(value=plain_number(value)) for value in factor.range.cut(held[i])))
    return itertools.product(*axes)


def _listed(factors: Sequence[Factor], point: dict[str, Any], index: int) -> tuple[Level, ...]:
    names = {factor.name for factor in factors}
    where: tuple[str | int, ...] = ("design", "points", index)
    for name in point:
        if name not in names:
            raise DesignError((*where, name), f"`{name}` is not a factor; factors are {', '.join(sorted(names))}")
    chosen = []
    for factor in factors:
        if factor.name not in point:
            raise DesignError(where, f"the point has no value for factor `{factor.name}`")
        chosen.append(_level_of(factor, point[factor.name], (*where, factor.name)))
    return tuple(chosen)


def _level_of(factor: Factor, value: Any, where: tuple[str | int, ...]) -> Level:
    if factor.levels is not None:
        for level in factor.levels:
            if level.text == written(value) or (level.value is not None and level.value == value):
                return level
        accepted = ", ".join(level.text for level in factor.levels)
        raise DesignError(where, f"{value} is not a level of `{factor.name}`; levels are {accepted}")
    assert factor.range is not None
    value = computable(value)
    if isinstance(value, bool | str) or not factor.range.low <= value <= factor.range.high:
        raise DesignError(
            where,
            f"{value} is outside the range of `{factor.name}`, {factor.range.low:g} to {factor.range.high:g}",
        )
    return Level(value=value)


def _latin_hypercube(factors: int, count: int, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    from scipy.stats import qmc

    # Coordinates are swapped between points as long as that lowers the centred discrepancy: of a plain hypercube of 20
    # points in two factors it is about twice as large.
    rng = np.random.default_rng(seed)
    sample: np.ndarray[tuple[int, int], np.dtype[np.float64]] = qmc.LatinHypercube(factors, optimization="random-cd", rng=rng).random(count)
    return sample


def _sampled(factors: Sequence[Factor], row: np.ndarray[Any, np.dtype[np.float64]], held: Sequence[int | None]) -> tuple[Level, ...]:
    chosen = []
    for factor, share, decimals in zip(factors, row.tolist(), held, strict=True):
        if factor.levels is not None:
            chosen.append(factor.levels[min(int(share * len(factor.levels)), len(factor.levels) - 1)])
        else:
            assert factor.range is not None
            chosen.append(Level(value=plain_number(factor.range.at(share, decimals))))
    return tuple(chosen)


def _kept(sweep: SweepFile, combinations: list[tuple[Level, ...]]) -> list[int]:
    expressions = sweep.expressions()
    names = {factor.name for factor in sweep.factors}
    for i, expression in enumerate(expressions):
        for name in expression.names:
            if name not in names:
                raise DesignError(("constraints", i), f"`{name}` is not a factor; factors are {', '.join(sorted(names))}")
    if expressions and isinstance(sweep.design, SobolDesign | MorrisDesign):
        raise DesignError(
            ("constraints",),
            f"a {sweep.design.kind} design cannot leave points out; use latin_hypercube or list",
        )
    kept = []
    for k, levels in enumerate(combinations):
        values = level_values(sweep.factors, levels)
        broken = _first_broken(expressions, values)
        if broken is None:
            kept.append(k)
        elif isinstance(sweep.design, ListDesign):
            raise DesignError(("design", "points", k), f"the point contradicts the constraint `{sweep.constraints[broken]}`")
    if not kept:
        raise DesignError(("constraints",), "the constraints contradict each other: no point of the design meets all")
    return kept


def _first_broken(expressions: Sequence[Any], values: dict[str, Value]) -> int | None:
    for i, expression in enumerate(expressions):
        try:
            if not expression.value(values):
                return i
        except ExpressionError as error:
            raise DesignError(("constraints", i), str(error)) from error
    return None
