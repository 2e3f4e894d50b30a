"""Loads a scenario from its file or from a mapping, with every error located at once."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from marketsim.errors import InputError
from marketsim.scenario.footprint import excess
from marketsim.scenario.inlined import inline_files
from marketsim.scenario.literals import Duration, parse_duration
from marketsim.scenario.model import Scenario
from marketsim.scenario.overrides import OPTION, PathError, assign, split_override
from marketsim.scenario.places import Places
from marketsim.scenario.plain import plain
from marketsim.scenario.problems import located, validation_problems
from marketsim.scenario.schedules import staged
from marketsim.scenario.shipped import found_file
from marketsim.scenario.trace import read_trace
from marketsim.scenario.yaml_source import KeyPath, Problem, Source, read_source

Overrides = Sequence[str] | Mapping[str, Any]
"""`path=value` each, as `--set` takes them, or path → value: `{"providers.edge.count": 5}`."""


def load_scenario(
    source: str | os.PathLike[str] | Mapping[str, Any] | Scenario | None = None,
    overrides: Overrides = (),
    *,
    base: str | os.PathLike[str] = ".",
    **keys: Any,
) -> Scenario:
    """Return a scenario, read from a file, a mapping or its keys, with every error found at once.

    `source` is the path of a scenario file, the name of a shipped one (`"baseline"`; a path that exists wins), a mapping with the
    keys of a scenario, a loaded scenario, or None where `keys` say everything. `overrides` change values by dotted path, the value as a
    file would have it: `{"providers.edge.count": 5, "take": 0.04}`, or texts `path=value`. `keys` replace whole keys at the top:
    `horizon="2d"`. `base` is the folder of the files (traces, provider files, manifests, scripts) that a mapping names; a file's own
    folder is its base.

    Durations, sizes and prices are texts with a unit (`"6s"`, `"2Gi"`, `"0.5VE"`) or numbers in the unit that docs/scenario.md names;
    `datetime.timedelta` is a duration.

    Raises InputError with every error of the scenario and of the files it names, one located line each.

    >>> scenario = load_scenario("tiny", {"seed": 3}, horizon="30m")
    >>> scenario.name, scenario.seed, scenario.horizon_blocks
    ('tiny', 3, 300)
    """
    try:
        if isinstance(source, Scenario):
            return source.replace(_paths(overrides) | keys)
        if isinstance(source, Mapping) or source is None:
            if source is None and not keys:
                raise InputError("scenario: is missing, give a path, the name of a shipped scenario, a mapping, or its keys")
            return _build(Source("scenario", plain({**(source or {}), **keys})), Path(base), overrides)
        if not isinstance(source, (str, os.PathLike)):
            raise InputError(f"scenario: {type(source).__name__} is no scenario, give a path, a mapping or a loaded scenario")
        file = found_file(source)
        return _build(read_source(file), file.parent, _paths(overrides) | plain(keys) if keys else overrides)
    except InputError as error:
        if isinstance(overrides, Mapping) or keys:  # who writes Python knows no option of that name
            raise InputError(line.removeprefix(f"{OPTION}: ") for line in error.lines) from None
        raise


def _paths(overrides: Overrides) -> dict[str, Any]:
    """Path → value, whichever way they are written."""
    return plain(overrides) if isinstance(overrides, Mapping) else dict(map(split_override, overrides))


def scenario_from_mapping(
    mapping: Mapping[str, Any],
    base: str | os.PathLike[str] = ".",
    overrides: Sequence[str] | Mapping[str, Any] = (),
    name: str = "scenario",
) -> Scenario:
    """The scenario in a plain mapping such as `Scenario.effective()`; `base` is the folder of the files it
    names. `overrides` are `path=value` as `--set` takes them, or path → value.

    Raises InputError; its lines begin with `name` in place of a file.
    """
    return _build(Source(name, plain(mapping)), Path(base), overrides)


def _build(source: Source, base: Path, overrides: Overrides) -> Scenario:
    failed: set[KeyPath] = set()
    if isinstance(overrides, Mapping):
        overrides = plain(overrides)
    option_lines: list[str] = []
    for override in overrides.items() if isinstance(overrides, Mapping) else overrides:
        path = override[0] if isinstance(override, tuple) else override.partition("=")[0].strip()
        try:
            value = override[1] if isinstance(override, tuple) else split_override(override)[1]
            assign(source, base, path, value, failed)
        except PathError as error:
            option_lines.append(f"{OPTION}: {path}: {error}")
        except InputError as error:
            option_lines += error.lines
    inline_files(source, base, failed)
    problems = list(source.problems)
    block_ms = _block_ms(source.data)
    stages = staged(source.data, block_ms)
    problems += stages.problems
    scenario = _validated(stages.first, problems, failed, partial(stages.written, ms=0, block_ms=block_ms))
    later: list[tuple[Duration, Scenario]] = []
    for at, data in stages.later if scenario is not None and not stages.problems else ():
        stage = _validated(data, problems, failed, partial(stages.written, ms=at.milliseconds(block_ms), block_ms=block_ms))
        if stage is None:
            break
        stage._base = base
        later.append((at, stage))
    trace_lines: list[str] = []
    problems += _file_problems(source.data, base, trace_lines)
    if scenario is not None and not problems and not trace_lines:
        scenario._base = base
        if wrong := excess(scenario):
            problems.append(Problem(*wrong))
    if problems or option_lines or trace_lines or scenario is None:
        raise InputError(option_lines + located(source, problems, roots_of(source)) + list(dict.fromkeys(trace_lines)))
    scenario._base = base
    scenario._stages, scenario._schedules = tuple(later), tuple(schedule.path for schedule in stages.schedules)
    scenario._places = Places(source, roots_of(source), partial(_rebuilt, source, base))
    return scenario


def _rebuilt(source: Source, base: Path, changes: Mapping[str, Any]) -> Scenario:
    """The scenario of a source that was loaded, with other values at some paths; the source stays as it is."""
    return _build(copy.deepcopy(source), base, changes)


def _validated(data: Any, problems: list[Problem], failed: set[KeyPath], written: Callable[[KeyPath], KeyPath]) -> Scenario | None:
    """The scenario in raw data, None with the problems noted; of a schedule that is none itself nothing more is said."""
    wrong = {problem.path[:length] for problem in problems for length in range(len(problem.path))}
    try:
        return Scenario.model_validate(data)
    except ValidationError as error:
        found = [problem for problem in validation_problems(error, Scenario, data) if not _follows(problem, failed)]
        problems += [problem._replace(path=written(problem.path)) for problem in found if problem.path not in wrong]
        return None


def _block_ms(data: Any) -> int:
    """The block time of raw data, by which moments in blocks and in time are compared; that of a file without one where it is wrong."""
    try:
        return max(1, parse_duration(data.get("block_time", "6s")).amount)
    except (ValueError, AttributeError):
        return 6_000


def roots_of(source: Source) -> dict[KeyPath, str]:
    """Where the content of other files begins."""
    roots = {}
    for path, place in source.values.items():
        if path and place.line and path[-1] in ("config", "sdl") and place.file != source.file:
            roots[path] = place.file
    return roots


def _follows(problem: Problem, failed: set[KeyPath]) -> bool:
    """Whether the problem only repeats that a file could not be read."""
    return any(
        problem.path[: len(path)] == path or problem.path == (*path[:-1], "strategy") or problem.path[:-1] == path[:-2] for path in failed
    )


def _file_problems(data: Any, base: Path, lines: list[str]) -> list[Problem]:
    """Traces and scripts that are not there or not usable; what is wrong inside a trace goes to `lines`, with its own place."""
    found: list[Problem] = []
    if not isinstance(data, dict):
        return found
    for i, cohort in enumerate(data["tenants"] if isinstance(data.get("tenants"), list) else []):
        demand = cohort.get("demand") if isinstance(cohort, dict) else None
        trace = demand.get("trace") if isinstance(demand, dict) else None
        if isinstance(trace, str):
            found += [Problem(("tenants", i, "demand", "trace"), wrong) for wrong in _trace_problems(base / trace, lines)]
    for i, cohort in enumerate(data["providers"] if isinstance(data.get("providers"), list) else []):
        strategy = cohort.get("strategy") if isinstance(cohort, dict) else None
        script = strategy.get("script") if isinstance(strategy, dict) else None
        if isinstance(script, str):
            file = base / script
            if not file.is_file():
                found.append(
                    Problem(
                        ("providers", i, "strategy", "script"),
                        f"{file} does not exist, give the path of an executable",
                    )
                )
            elif not os.access(file, os.X_OK):
                found.append(
                    Problem(
                        ("providers", i, "strategy", "script"),
                        f"{file} is not executable, run chmod +x on it",
                    )
                )
    return found


def _trace_problems(file: Path, lines: list[str]) -> list[str]:
    if not file.is_file():
        return [f"{file} does not exist, give the path of a CSV or parquet file"]
    if file.suffix not in (".csv", ".parquet"):
        return [f"{file} is neither .csv nor .parquet, give one of the two"]
    try:
        read_trace(file)
    except InputError as error:
        lines += error.lines
    return []
