"""The JSON Schemas of scenario, provider and SDL files, for editors."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from marketsim.scenario.model import Scenario
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.sdl import Sdl

KINDS: dict[str, type[BaseModel]] = {"scenario": Scenario, "provider": ProviderFile, "sdl": Sdl}


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of one kind of `KINDS`."""
    schema = KINDS[kind].model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"marketsim {kind} file",
    }


def schema_text(schema: dict[str, Any]) -> str:
    """A schema as it is committed and printed."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
