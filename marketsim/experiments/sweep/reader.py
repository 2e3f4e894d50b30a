"""Reads a sweep file and reports each of its errors with file, line, column and key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from marketsim.errors import InputError
from marketsim.experiments.sweep.file import SweepFile
from marketsim.experiments.sweep.plan import LoadedSweep, Location
from marketsim.scenario.plain import plain
from marketsim.scenario.yaml_source import Source, read_source


def load_sweep(path: Path) -> LoadedSweep:
    """The sweep file at `path`; raises InputError with one located line per problem."""
    return _checked(read_source(path), path)


def sweep_of(mapping: Mapping[str, Any], base: Path, name: str = "sweep") -> LoadedSweep:
    """The sweep in a mapping with the keys of a sweep file; `base` is the folder that its scenario is looked for in.

    Raises InputError with one line per problem, each beginning with `name`.
    """
    return _checked(Source(name, plain(mapping)), base / name)


def _checked(source: Source, path: Path) -> LoadedSweep:
    lines = [_line(source, p.path, p.message, at_key=p.at_key) for p in source.problems]
    try:
        file = SweepFile.model_validate(source.data)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        for problem in problems:
            location = _known(source, problem["loc"])
            if problem["type"] == "too_short" and any(
                p is not problem and _known(source, p["loc"])[: len(location)] == location for p in problems
            ):
                continue  # what stands in the list is refused already
            missing = problem["type"] in {"missing", "union_tag_not_found"}
            unknown = problem["type"] == "extra_forbidden"
            where = (*location, str(problem["loc"][-1])) if problem["type"] == "missing" else location
            lines.append(_line(source, where, _words(problem), at_key=missing or unknown))
    if lines:
        raise InputError(dict.fromkeys(lines))
    return LoadedSweep(file, path, partial(_place, source))


def _place(source: Source, location: Location) -> str:
    return str(source.place(location))


def _line(source: Source, location: Location, message: str, *, at_key: bool) -> str:
    key = ".".join(str(part) for part in location) or "file"
    return f"{source.place(location, at_key=at_key)}: {key}: {message}"


def _known(source: Source, loc: tuple[int | str, ...]) -> Location:
    """The part of pydantic's location that stands in the file; names of union members do not."""
    found: list[str | int] = []
    for part in loc:
        if (*found, part) in source.values:
            found.append(part)
    return tuple(found)


def _words(problem: Any) -> str:
    match problem["type"]:
        case "too_short":
            return "is empty, write at least one"
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a key of sweep files here"
        case "union_tag_invalid" | "union_tag_not_found" | "literal_error":
            return "is not a known kind; " + _accepted(problem)
    text = str(problem["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:] if text[:1].isupper() and not text[:2].isupper() else text


def _accepted(problem: Any) -> str:
    text = str(problem["msg"])
    if problem["type"] == "union_tag_not_found":
        return "write one with `kind: grid`, list, latin_hypercube, sobol or morris"
    start = text.rfind("Input should be ")
    if start >= 0:
        return f"accepted are {text[start + len('Input should be ') :]}"
    start = text.find("expected tags: ")
    return f"accepted are {text[start + len('expected tags: ') :]}" if start >= 0 else text
