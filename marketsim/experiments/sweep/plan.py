"""Checks a sweep against its scenario and lays out every run before the first one starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from marketsim.errors import InputError
from marketsim.experiments.runs.course import unknown_course
from marketsim.experiments.runs.execute import RunTask, package_hash, run_key
from marketsim.experiments.runs.simulated import Simulated, runner_for
from marketsim.experiments.sweep.design import DesignError, DesignMatrix, make_design
from marketsim.experiments.sweep.file import SweepFile
from marketsim.metrics.expressions import ExpressionError, written

Location = tuple[str | int, ...]


class ScenarioSource(Protocol):
    """How a sweep reads scenarios: the seam between sweeps and the scenario package."""

    def read(self, path: Path) -> dict[str, Any]:
        """The scenario file as plain data, checked, with the files it names inlined; raises InputError."""
        ...

    def path_problem(self, mapping: dict[str, Any], path: str) -> str | None:
        """Why a dotted path names nothing in the scenario and what would, None when it can be set."""
        ...

    def decimals(self, mapping: dict[str, Any], path: str, written: str) -> int | None:
        """How many decimals the number in a value such as `written` may have at a dotted path, None for any."""
        ...

    def effective(self, mapping: dict[str, Any], base: str, setting: Mapping[str, Any]) -> dict[str, Any]:
        """The scenario with defaults filled and the paths of `setting` set, as plain data; raises InputError."""
        ...

    def contents(self, effective: dict[str, Any], base: str) -> str:
        """A digest of the files beside the scenario that a run reads, empty where there is none."""
        ...

    def ignored(self, path: str, effective: dict[str, Any], metrics: Sequence[str]) -> str | None:
        """Why no metric of a run of this scenario depends on `path`, None when one may."""
        ...

    def unknown_metric(self, name: str, effective: dict[str, Any]) -> str | None:
        """What is wrong with a metric's name, None when a summary has it."""
        ...


@dataclass(frozen=True)
class LoadedSweep:
    """A sweep file with its place and the position of each key, for errors that are found later."""

    file: SweepFile
    path: Path
    locate: Callable[[Location], str] = field(repr=False)

    def error(self, location: Location, message: str) -> str:
        """One line: `file:line:col: key: message`."""
        key = ".".join(str(part) for part in location)
        return f"{self.locate(location)}: {key}: {message}"


@dataclass(frozen=True)
class SweepPlan:
    """Everything that is known before the first run; points and replications are counted from 0.

    `effective` are the points' scenarios, each as it is run: what a run's key is made of is what the run gets.
    `contents` are digests of the files that the points' runs read beside it.
    """

    loaded: LoadedSweep
    design: DesignMatrix
    base: str
    effective: tuple[dict[str, Any], ...] = field(repr=False)
    contents: tuple[str, ...] = field(repr=False)
    code: str

    @property
    def sweep(self) -> SweepFile:
        """The sweep file."""
        return self.loaded.file

    @property
    def runner(self) -> Simulated:
        """What makes one run of the sweep, with all that the file asks for."""
        return _runner(self.sweep)

    @cached_property
    def scenario(self) -> dict[str, Any]:
        """The effective scenario of the first point: what all points share is read from it."""
        return self.effective[0]

    def task(self, point: int, replication: int) -> RunTask:
        """One run of the plan, with its resume key."""
        seed = self.sweep.seeds.seed(point, replication)
        scenario = self.effective[point]
        key = run_key(scenario, seed, self.code, self.contents[point])
        return RunTask(key, point, replication, seed, scenario, self.base)

    def digest(self) -> str:
        """Hash of the sweep as it would run, 16 hex digits: equal for equal results."""
        text = json.dumps([self.sweep.as_json(), self.effective], sort_keys=True, default=str)
        return run_key({"sweep": text}, 0, self.code, "".join(self.contents))[:16]


def _runner(sweep: SweepFile) -> Simulated:
    return runner_for(sweep.recorded, sweep.spans, trail=sweep.trails)


def plan_sweep(loaded: LoadedSweep, source: ScenarioSource, scenario: tuple[dict[str, Any], str] | None = None) -> SweepPlan:
    """Lay out a sweep; raises InputError with every problem that can be found without a run.

    `scenario` is the scenario as plain data and the folder of its files, where it stands in no file of its own.
    """
    sweep = loaded.file
    mapping, base = _read_scenario(loaded, source) if scenario is None else scenario
    try:
        before = source.effective(mapping, base, sweep.set)
    except InputError as error:
        raise InputError([loaded.error(("set",), _plain(line)) for line in error.lines]) from error
    problems = [*_metric_problems(loaded, source, before), *_path_problems(loaded, source, mapping)]
    decimals = {} if problems else _decimals(sweep, source, mapping)
    try:
        design = make_design(sweep, decimals)
    except DesignError as error:
        problems.append(loaded.error(error.location, str(error)))
        raise InputError(problems) from error
    if problems:
        raise InputError(problems)
    effective, problems = _effective_points(loaded, design, decimals, source, mapping, base)
    problems += _ignored_problems(loaded, source, effective)
    if problems:
        raise InputError(dict.fromkeys(problems))
    extent = _runner(sweep).extent
    by_scenario = {id(one): source.contents(one, base) for one in effective}
    contents = tuple(by_scenario[id(one)] for one in effective)
    return SweepPlan(loaded, design, base, tuple(effective), contents, package_hash() + ("" if extent == "plain" else f"-{extent}"))


def _read_scenario(loaded: LoadedSweep, source: ScenarioSource) -> tuple[dict[str, Any], str]:
    path = (loaded.path.parent / loaded.file.scenario).resolve()
    if not path.is_file():
        raise InputError(loaded.error(("scenario",), f"there is no file {loaded.file.scenario} beside this one"))
    return source.read(path), str(path.parent)


def _decimals(sweep: SweepFile, source: ScenarioSource, mapping: dict[str, Any]) -> dict[str, int | None]:
    """How many decimals each path that a factor writes can hold, in the unit that its template gives it."""
    found: dict[str, int | None] = {}
    for factor in sweep.factors:
        for path, template in factor.templates().items():
            try:
                found[path] = source.decimals(mapping, path, written(template.fill(1)))
            except ExpressionError:  # of 1 alone: what it makes of the levels is still to be seen
                found[path] = None
    return found


def _plain(line: str) -> str:
    """A scenario's error without the place of an override, which is this sweep and not a command line."""
    return line.removeprefix("--set: ").removeprefix("scenario: ")


def _metric_problems(loaded: LoadedSweep, source: ScenarioSource, effective: dict[str, Any]) -> Iterable[str]:
    sweep = loaded.file
    named: list[tuple[Location, str]] = [(("metrics", i), name) for i, name in enumerate(sweep.metrics)]
    if sweep.replications.until is not None:
        named.append((("replications", "until", "metric"), sweep.replications.until.metric))
    for i, one in enumerate(sweep.series):
        if (problem := unknown_course(one.metric)) is not None:
            yield loaded.error(("series", i, "metric"), problem)
    for location, name in named:
        if (problem := source.unknown_metric(name, effective)) is not None:
            yield loaded.error(location, problem)


def _path_problems(loaded: LoadedSweep, source: ScenarioSource, mapping: dict[str, Any]) -> Iterable[str]:
    for i, factor in enumerate(loaded.file.factors):
        for location, path in _written(factor.path, factor.paths, factor.levels, i):
            if path.split(".")[0] in {"seed", "start"}:
                yield loaded.error(location, f"`{path}` is not for factors; seeds are counted by `seeds:`")
            elif (problem := source.path_problem(mapping, path)) is not None:
                yield loaded.error(location, f"`{path}` is not in the scenario: {problem}")


def _written(path: Any, paths: Any, levels: Any, index: int) -> Iterable[tuple[Location, str]]:
    where: Location = ("factors", index)
    if path is not None:
        yield (*where, "path"), path
    elif isinstance(paths, dict):
        for name in paths:
            yield (*where, "paths", name), name
    elif paths is not None:
        for k, name in enumerate(paths):
            yield (*where, "paths", k), name
    else:
        for k, level in enumerate(levels or ()):
            for name in level.set or ():
                yield (*where, "levels", k, "set", name), name


def _effective_points(
    loaded: LoadedSweep,
    design: DesignMatrix,
    decimals: Mapping[str, int | None],
    source: ScenarioSource,
    mapping: dict[str, Any],
    base: str,
) -> tuple[list[dict[str, Any]], list[str]]:
    sweep = loaded.file
    effective: list[dict[str, Any]] = []
    problems: list[str] = []
    known: dict[str, dict[str, Any]] = {}
    for point in design.points:
        try:
            setting = point.setting(sweep.factors, decimals)
        except ExpressionError as error:
            raise InputError(loaded.error(("factors",), str(error))) from error
        content = repr(setting)
        if content not in known:
            try:
                known[content] = source.effective(mapping, base, {**sweep.set, **setting})
            except InputError as error:
                names = ", ".join(f"{f.name} = {text}" for f, text in zip(sweep.factors, point.labels(), strict=True))
                problems += [loaded.error(("factors",), f"at {names}: {_plain(line)}") for line in error.lines]
                known[content] = {}
        effective.append(known[content])
    return effective, problems


def _ignored_problems(loaded: LoadedSweep, source: ScenarioSource, effective: Sequence[dict[str, Any]]) -> Iterable[str]:
    """A factor is refused when no point's run looks at one of its paths."""
    distinct = list({id(e): e for e in effective if e}.values())
    if not distinct:
        return
    for i, factor in enumerate(loaded.file.factors):
        for location, path in _written(factor.path, factor.paths, factor.levels, i):
            reasons = [source.ignored(path, e, loaded.file.recorded) for e in distinct]
            if all(reason is not None for reason in reasons):
                yield loaded.error(location, f"`{path}` changes nothing: {reasons[0]}")
