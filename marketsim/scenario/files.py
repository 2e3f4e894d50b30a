"""Tells the kinds of files apart by their top-level keys and checks any of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from marketsim.errors import InputError
from marketsim.scenario.inlined import lift_source
from marketsim.scenario.manifest_decoder import Decoding
from marketsim.scenario.model import Scenario
from marketsim.scenario.problems import keys_of, located, suggestion, validation_problems
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.sdl import Sdl, decode_manifest, plain_of_manifest
from marketsim.scenario.yaml_source import MAPPING, Source, composed, parse_source, read_source, read_text

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


def provider_of_text(text: str, name: str) -> ProviderFile:
    """As `load_provider`, of a text that is at hand; `name` stands in errors in place of a path."""
    return _load(parse_source(text, name), ProviderFile)


def load_sdl(path: str | os.PathLike[str], notes: list[str] | None = None) -> Sdl:
    """The SDL manifest at `path`; InputError with every error located. What it says that is read past goes to `notes`."""
    name = str(path)
    node = composed(read_text(Path(path), name, wide=True), name, manifest=True)
    into = Decoding(name)
    manifest = decode_manifest(node, into)
    source = Source(name, plain_of_manifest(manifest))
    source.keys, source.values = into.keys, into.values
    if into.problems:
        raise InputError(located(source, into.problems, {}))
    if notes is not None and into.notes:
        notes += located(source, into.notes, {})
    return Sdl(manifest)


def kind_of_file(path: str | os.PathLike[str]) -> str:
    """The kind of the file at `path`; InputError when its keys tell nothing.

    A manifest is known by its keys also where only the chain's parser takes it for YAML.
    """
    try:
        return require_kind(read_source(Path(path)))
    except InputError:
        try:
            node = composed(read_text(Path(path), str(path), wide=True), str(path), manifest=True)
        except InputError:
            node = None
        if node is None or node.tag != MAPPING or not any(key.value in _MARKS["sdl"] for key, _ in node.value):
            raise
        return "sdl"


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
