"""Tells the kinds of files apart by their top-level keys and checks any of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from marketsim.errors import InputError
from marketsim.scenario.inlined import lift_source
from marketsim.scenario.model import Scenario
from marketsim.scenario.problems import keys_of, located, suggestion, validation_problems
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.sdl import Sdl
from marketsim.scenario.yaml_source import Source, read_source

M = TypeVar("M", bound=BaseModel)

_MARKS: dict[str, tuple[str, ...]] = {
    "provider": ("bid_engine", "filters"),
    "sdl": ("services", "profiles", "deployment"),
    "sweep": ("factors", "design", "replications", "scenario"),
}


def kind_of(mapping: Mapping[str, Any]) -> str | None:
    """`provider`, `sdl`, `sweep` or `scenario` by the top-level keys; None when they tell nothing."""
    for kind, marks in _MARKS.items():
        if any(key in mapping for key in marks):
            return kind
    return "scenario" if any(key in mapping for key in keys_of(Scenario)) else None


def require_kind(source: Source) -> str:
    """The kind of a file that was read; InputError when its keys tell nothing."""
    kind = kind_of(source.data)
    if kind is None:
        known = [*keys_of(Scenario), *(mark for marks in _MARKS.values() for mark in marks)]
        first = next(iter(source.data), "")
        place = source.place((first,), at_key=True)
        if not source.data:
            raise InputError(f"{place}: the mapping is empty, expected a scenario, sweep, provider file or SDL")
        raise InputError(f"{place}: {first}: unknown key, expected a scenario, sweep, provider file or SDL; {suggestion(first, known)}")
    return kind


def load_provider(path: str | os.PathLike[str]) -> ProviderFile:
    """The provider file at `path`; InputError with every error located."""
    return _load(read_source(Path(path)), ProviderFile)


def load_sdl(path: str | os.PathLike[str]) -> Sdl:
    """The SDL manifest at `path`; InputError with every error located."""
    return _load(read_source(Path(path)), Sdl)


def _load(source: Source, model: type[M]) -> M:
    if model is ProviderFile:
        lift_source(source)
    problems = list(source.problems)
    result: M | None = None
    try:
        result = model.model_validate(source.data)
    except ValidationError as error:
        problems += validation_problems(error, model, source.data)
    if problems or result is None:
        raise InputError(located(source, problems, {}))
    return result
