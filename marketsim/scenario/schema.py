"""The JSON Schemas of scenario, provider and SDL files, for editors."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from marketsim.scenario.model import Scenario
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.sdl import Sdl

KINDS: dict[str, type[Any]] = {"scenario": Scenario, "provider": ProviderFile, "sdl": Sdl}


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one kind of `KINDS`."""
    schema: dict[str, Any] = _untitled(TypeAdapter(KINDS[kind]).json_schema(by_alias=True))
    if kind == "provider":  # a file may nest its filters; loaded, they stand beside bid_engine
        schema["$defs"]["BidEngine"]["properties"]["filters"] = {"$ref": "#/$defs/Filters"}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"marketsim {kind} file"}
    return head | schema


def _untitled(node: Any) -> Any:
    """Without the titles that pydantic derives from names: they say nothing and double the size."""
    if isinstance(node, dict):
        return {k: _untitled(v) for k, v in node.items() if not (k == "title" and isinstance(v, str))}
    return [_untitled(part) for part in node] if isinstance(node, list) else node


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as it is committed and printed."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
