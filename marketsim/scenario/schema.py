"""The JSON Schemas of scenario, provider and SDL files, for editors, and the pages of their keys, for people."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from marketsim.scenario.key_list import every_model, keys_in
from marketsim.scenario.key_page import key_page, manifest_page
from marketsim.scenario.model import Scenario
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.schedules import SCHEDULED
from marketsim.scenario.sdl import Sdl

KINDS: dict[str, type[Any]] = {"scenario": Scenario, "provider": ProviderFile, "sdl": Sdl}
_TIME = {"type": ["string", "integer"], "description": "from when on it holds, such as 3d or 100 blocks"}
_NESTED_FILTERS = {"$ref": "#/$defs/Filters", "description": "the same as filters at the top level"}


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one kind of `KINDS`."""
    if kind == "sdl":
        own: dict[str, Any] = _untitled(TypeAdapter(Sdl).json_schema(by_alias=True))
        return {**_head(kind), **own}
    schema = described_schema(kind, KINDS[kind])
    if kind == "scenario":  # a provider file by itself has changes in their place
        _let_change(schema)
    if kind == "provider":  # a file may nest its filters; loaded, they stand beside bid_engine
        schema["$defs"]["BidEngine"]["properties"]["filters"] = _NESTED_FILTERS
    return schema


def _let_change(schema: dict[str, Any]) -> None:
    """Let the keys that may change while a run goes on take a list of values too."""
    for name, keys in SCHEDULED.items():
        mapping = schema["$defs"].get(name, {}) if name else schema  # a provider's file has a schema of its own
        for properties in _properties(mapping):
            for key in keys:
                told = {part: text for part, text in properties[key].items() if part in ("description", "default")}
                one = {part: content for part, content in properties[key].items() if part not in told}
                entry = {"type": "object", "required": ["value"], "properties": {"at": _TIME, "value": one}, "additionalProperties": False}
                properties[key] = {"anyOf": [one, {"type": "array", "items": entry, "minItems": 1}], **told}


def docs_page(kind: str) -> str:
    """The page of the keys of one kind of `KINDS`; manifests that a scenario names have a page of their own."""
    return manifest_page(json_schema(kind)) if kind == "sdl" else key_page(kind, KINDS[kind])


def _head(kind: str) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"marketsim {kind} file"}


def described_schema(kind: str, root: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model whose keys say what they take, in which unit, and their default as a file has it."""
    models = every_model(root)
    named, everything = models_json_schema([(model, "validation") for model in models], by_alias=True)
    definitions: dict[str, Any] = everything["$defs"]
    for model in models:
        name = named[model, "validation"]["$ref"].rpartition("/")[2]
        for properties in _properties(definitions[name]):
            _describe(properties, model)
    own: dict[str, Any] = definitions.pop(named[root, "validation"]["$ref"].rpartition("/")[2])
    if definitions := _reached(own, definitions):
        own = {"$defs": definitions, **own}
    return {**_head(kind), **_untitled(own)}


def _properties(definition: dict[str, Any]) -> list[dict[str, Any]]:
    """The properties of a mapping, also where it stands beside short forms."""
    forms = [definition, *definition.get("anyOf", [])]
    return [form["properties"] for form in forms if "properties" in form]


def _describe(properties: dict[str, Any], model: type[BaseModel]) -> None:
    for key in keys_in(model):
        unit = key.takes.partition(" or <")[0]
        described = dict(properties[key.name])
        if key.description:
            told = unit.startswith(("<", "`", "list of <"))  # the schema shows it
            described["description"] = key.description if told else f"{key.description} ({unit})"
        if not key.field.is_required():
            described["default"] = key.written_default()
        properties[key.name] = described


def _reached(node: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The definitions that a schema refers to, by name, and those that they do."""
    wanted: set[str] = set()
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            waiting += found.values()
            name = str(found.get("$ref", "")).rpartition("/")[2]
            if name and name not in wanted:
                wanted.add(name)
                waiting.append(definitions[name])
        elif isinstance(found, list):
            waiting += found
    return {name: definitions[name] for name in sorted(wanted)}


def _untitled(node: Any) -> Any:
    """Without the titles that pydantic derives from names: they say nothing and double the size."""
    if isinstance(node, dict):
        return {k: _untitled(v) for k, v in node.items() if not (k == "title" and isinstance(v, str))}
    return [_untitled(part) for part in node] if isinstance(node, list) else node


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as it is committed and printed."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
