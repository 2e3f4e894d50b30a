"""Loads a scenario from its file or from a mapping, with every error located at once."""

from __future__ import annotations

import copy
import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from marketsim.errors import InputError
from marketsim.scenario.footprint import excess
from marketsim.scenario.inlined import inline_files
from marketsim.scenario.model import Scenario
from marketsim.scenario.overrides import OPTION, PathError, assign, split_override
from marketsim.scenario.places import Places
from marketsim.scenario.problems import located, validation_problems
from marketsim.scenario.yaml_source import KeyPath, Problem, Source, read_source


def load_scenario(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Scenario:
    """The scenario in the file at `path`, after `overrides` (`path=value` each).

    Raises InputError with every error of the file and of the files it names, one located line each.
    """
    file = Path(path)
    return _build(read_source(file), file.parent, overrides)


def scenario_from_mapping(
    mapping: Mapping[str, Any],
    base: str | os.PathLike[str] = ".",
    overrides: Sequence[str] = (),
    name: str = "scenario",
) -> Scenario:
    """The scenario in a plain mapping such as `Scenario.effective()`; `base` is the folder of the files it
    names.

    Raises InputError; its lines begin with `name` in place of a file.
    """
    return _build(Source(name, copy.deepcopy(dict(mapping))), Path(base), overrides)


def _build(source: Source, base: Path, overrides: Sequence[str]) -> Scenario:
    failed: set[KeyPath] = set()
    option_lines: list[str] = []
    for override in overrides:
        try:
            path, value = split_override(override)
            assign(source, base, path, value, failed)
        except PathError as error:
            option_lines.append(f"{OPTION}: {override.partition('=')[0].strip()}: {error}")
        except InputError as error:
            option_lines += error.lines
    inline_files(source, base, failed)
    problems = list(source.problems)
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(source.data)
    except ValidationError as error:
        problems += [p for p in validation_problems(error, Scenario, source.data) if not _follows(p, failed)]
    problems += _file_problems(source.data, base)
    if scenario is not None and not problems:
        scenario._base = base
        if wrong := excess(scenario):
            problems.append(Problem(*wrong))
    if problems or option_lines or scenario is None:
        raise InputError(option_lines + located(source, problems, roots_of(source)))
    scenario._base = base
    scenario._places = Places(source, roots_of(source))
    return scenario


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


def _file_problems(data: Any, base: Path) -> list[Problem]:
    """Traces and scripts that are not there or not usable."""
    found: list[Problem] = []
    if not isinstance(data, dict):
        return found
    for i, cohort in enumerate(data["tenants"] if isinstance(data.get("tenants"), list) else []):
        demand = cohort.get("demand") if isinstance(cohort, dict) else None
        trace = demand.get("trace") if isinstance(demand, dict) else None
        if isinstance(trace, str) and (wrong := _trace_problem(base / trace)):
            found.append(Problem(("tenants", i, "demand", "trace"), wrong))
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


def _trace_problem(file: Path) -> str | None:
    if not file.is_file():
        return f"{file} does not exist, give the path of a CSV or parquet file"
    if file.suffix == ".parquet":
        return None
    if file.suffix != ".csv":
        return f"{file} is neither .csv nor .parquet, give one of the two"
    try:
        with open(file, encoding="utf-8", newline="") as stream:
            header = next(csv.reader(stream), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return f"{file} cannot be read as CSV, give a UTF-8 text with a header line"
    return None if "at_seconds" in header else f"{file} has no column at_seconds, add it: seconds since the start"
