"""Refuses what a search is asked for and no run could answer."""

from __future__ import annotations

from dataclasses import replace

from marketsim.errors import InputError
from marketsim.experiments.optimize.search import Constraint, Figure, SearchFactor
from marketsim.experiments.runs.scenario_source import ScenarioFiles
from marketsim.experiments.runs.variants import Variant
from marketsim.metrics.expressions import ExpressionError
from marketsim.scenario import PathError


def fitted(variant: Variant, factor: SearchFactor) -> SearchFactor:
    """The factor with the decimals that its key can hold; as it is where there is no such key, which is found later."""
    try:
        return replace(factor, decimals=ScenarioFiles().decimals(variant.mapping, factor.path, factor.text(1.0)))
    except (PathError, ExpressionError):
        return factor


def check_search(variant: Variant, factors: list[SearchFactor], objective: Figure, constraints: list[Constraint]) -> None:
    """Refuse paths, ranges and metrics that no run could answer, before the first run; raises InputError."""

    source = ScenarioFiles()
    wrong: list[str] = []
    effective = variant.effective()
    wanted = [name for figure in (objective, *(c.slack for c in constraints)) for name in figure.metrics]
    paths = [factor.path for factor in factors]
    wrong += [f"--factor: {path}: given twice, give each path once" for path in paths if paths.count(path) > 1]
    for one in factors:
        problem = source.path_problem(variant.mapping, one.path)
        if problem is not None:
            wrong.append(f"--factor: {one.path}: {problem}")
            continue
        for end in (one.low, one.high):
            try:
                at_end = source.effective(variant.mapping, variant.base, {one.path: one.value(end)})
            except ExpressionError as error:
                wrong.append(f"--factor: {one.path}: {error}")
            except InputError as error:
                wrong += [f"--factor: {one.override(end)}: {line.removeprefix('--set: ')}" for line in error.lines]
            else:
                ignored = source.ignored(one.path, at_end, wanted)
                if ignored is not None:
                    wrong.append(f"--factor: {one.path}: {ignored}")
    for option, figure in [("--objective", objective), *(("--constraint", c.slack) for c in constraints)]:
        problems = [source.unknown_metric(name, effective) for name in figure.metrics]
        wrong += [f"{option}: {problem}" for problem in problems if problem is not None]
    if wrong:
        raise InputError(dict.fromkeys(wrong))
