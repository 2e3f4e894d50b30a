"""Dotted paths into a scenario: what `--set path=value` and the factors of a sweep may name."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from marketsim.errors import InputError
from marketsim.scenario.inlined import inline_files
from marketsim.scenario.literals import parse_duration
from marketsim.scenario.model import Scenario
from marketsim.scenario.problems import below, keys_of, reading_of, suggestion, unwrapped
from marketsim.scenario.yaml_source import KeyPath, Place, Source, parse_value

OPTION = Place("--set")
_UNIT = re.compile(r"\A[-+]?[\d_.]*(?:[eE][-+]?\d+)?\s*")


class PathError(ValueError):
    """A dotted path that names nothing in a scenario; the text says why and what would."""


def split_override(text: str) -> tuple[str, Any]:
    """`path=value` as path and plain data (the value is read as YAML); InputError otherwise."""
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        raise InputError(f"{OPTION}: '{text}' is not an assignment, write path=value such as tenants.web.count=5")
    try:
        return path, parse_value(value, f"{OPTION}: {path}")
    except InputError as error:
        raise InputError(line.replace("expected a YAML mapping", "write a value") for line in error.lines) from None


def resolve(data: Any, path: str) -> KeyPath:
    """The key path that `path` names in a scenario's raw mapping; PathError when a scenario has no such key.

    Items of lists go by their `name` or their index. Keys that the file leaves to their default resolve too.
    """
    return _walk(data, path)[0]


def decimals_at(mapping: Mapping[str, Any], path: str, written: str) -> int | None:
    """How many decimals the number in a literal such as `written` may have at `path`, None where any number may stand."""
    reading = reading_of(_walk(mapping, path)[1])
    unit = _UNIT.sub("", written.strip())
    return None if reading is None else reading.decimals.get(unit)


def _walk(data: Any, path: str) -> tuple[KeyPath, Any]:
    """The key path, and the type of what stands there."""
    annotation: Any = Scenario
    found: list[str | int] = []
    words = path.split(".")
    for position, word in enumerate(words):
        annotation = unwrapped(annotation)
        so_far = ".".join(words[:position])
        if not word:
            raise PathError("an empty word in the path, write words joined by single dots")
        if word == "filters" and found[-1:] == ["bid_engine"]:
            found.pop()  # a provider file may nest its filters; loaded, they stand beside bid_engine
            from marketsim.scenario.provider_file import ProviderFile

            annotation = ProviderFile
        key: str | int = word
        if _is_list(annotation):
            items = data if isinstance(data, list) else []
            names = [item.get("name") if isinstance(item, dict) else None for item in items]
            if word in names:
                key = names.index(word)
            elif word.isdigit() and int(word) < max(len(items), 2 if _is_pair(annotation) else 0):
                key = int(word)
            else:
                known = [name for name in names if isinstance(name, str)] or [str(i) for i in range(len(items))]
                hint = suggestion(word, known) if known else "the list is empty"
                raise PathError(f"{so_far or 'the scenario'} has no item '{word}', {hint}")
        inside = below(annotation, key)
        if inside is None:
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                hint = suggestion(word, keys_of(annotation))
                raise PathError(f"unknown key '{word}'{' in ' + so_far if so_far else ''}, {hint}")
            raise PathError(f"{so_far} is a single value, nothing can be set below it")
        found.append(key)
        annotation = inside
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            data = None
    return tuple(found), annotation


def _is_list(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) in (list, tuple)


def _is_pair(annotation: Any) -> bool:
    return Ellipsis not in getattr(annotation, "__args__", ())


def assign(source: Source, base: Path, path: str, value: Any, failed: set[KeyPath]) -> KeyPath:
    """Sets one path of a loaded scenario mapping in place; reaches into provider files by inlining them."""
    if any(word in path.split(".")[:-1] for word in ("config", "sdl")):
        inline_files(source, base, failed)
    keys = resolve(source.data, path)
    if keys == ("horizon",):
        _keep_spans(source.data)
    holder = source.data
    for key, following in pairwise(keys):
        inner = holder.get(key) if isinstance(holder, dict) else holder[key]
        if not isinstance(inner, (dict, list)):
            inner = {} if isinstance(following, str) else []
            holder[key] = inner
        holder = inner
    last = keys[-1]
    if isinstance(holder, list) and isinstance(last, int) and last >= len(holder):
        raise PathError(f"has no item {last} to set, give the whole list")
    holder[last] = copy.deepcopy(value)
    source.forget(keys)
    source.keys[keys] = OPTION
    source.values[keys] = OPTION
    # a file that could not be read at this path no longer matters; what is wrong with the text itself does
    source.problems = [p for p in source.problems if p.place is not None or p.path[: len(keys)] != keys]
    failed -= {path for path in failed if path[: len(keys)] == keys}
    return keys


def _keep_spans(data: dict[str, Any]) -> None:
    """Write the horizon of the file beside every `orders:` that is spread over it: another horizon moves none of them."""
    try:
        written = str(parse_duration(data.get("horizon")))
    except ValueError:
        return
    for cohort in data["tenants"] if isinstance(data.get("tenants"), list) else []:
        demand = cohort.get("demand") if isinstance(cohort, dict) else None
        if isinstance(demand, dict) and demand.get("orders") is not None and demand.get("within") is None:
            demand["within"] = written


def apply_override(mapping: Mapping[str, Any], path: str, value: Any, base: Path | None = None) -> dict[str, Any]:
    """A copy of a scenario mapping with `value` at the dotted `path`; PathError when no such key exists.

    `base` is the folder of the scenario file, for paths that reach into a provider file. The value itself is
    checked when the mapping is loaded.
    """
    source = Source("scenario", copy.deepcopy(dict(mapping)))
    assign(source, base or Path(), path, value, set())
    data: dict[str, Any] = source.data
    return data


def path_problem(mapping: Mapping[str, Any], path: str, base: Path | None = None) -> str | None:
    """Why `path` names nothing in this scenario, with what would; None when it can be set."""
    try:
        apply_override(mapping, path, None, base)
    except PathError as error:
        return str(error)
    return None


def known_path(mapping: Mapping[str, Any], path: str, base: Path | None = None) -> bool:
    """Whether `path` can be set in this scenario."""
    return path_problem(mapping, path, base) is None


__all__ = ["PathError", "apply_override", "assign", "decimals_at", "known_path", "path_problem", "resolve", "split_override"]
