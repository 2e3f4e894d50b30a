"""An SDL manifest as the chain's own parser reads it: what it takes is taken, what it refuses is refused with all reasons.

Unknown keys below the top level are read past with a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, ValidationError, core_schema

from marketsim.scenario.go_values import parse_version
from marketsim.scenario.manifest_decoder import Decoding, is_scalar, node_of, plain_of, raw_entries
from marketsim.scenario.sdl_checks import check_groups, check_manifest
from marketsim.scenario.sdl_groups import Endpoint, SdlGroup, SdlUnit, build_groups
from marketsim.scenario.sdl_parts import SECTIONS, Manifest, Profiles, Reclamation
from marketsim.scenario.yaml_source import MAPPING, Problem, Source, YamlNode, composed, decode_text


@dataclass(frozen=True)
class Sdl:
    """A manifest that the chain takes."""

    manifest: Manifest

    @property
    def version(self) -> str:
        """Its version as written."""
        return self.manifest.version

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Sdl:
        """The manifest in plain data that a manifest was read to; raises pydantic's ValidationError for other data."""
        return _validated(plain)

    def groups(self) -> tuple[SdlGroup, ...]:
        """The groups of the deployment, placements in the order of their names."""
        return self._groups

    @cached_property
    def _groups(self) -> tuple[SdlGroup, ...]:
        return build_groups(self.manifest)

    def plain(self) -> dict[str, Any]:
        """Plain data that reads again to an equal manifest."""
        kept: dict[str, Any] = plain_of_manifest(self.manifest)
        return kept

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated, serialization=core_schema.plain_serializer_function_ser_schema(cls.plain)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        sections = {name: dict(reader.schema) for name, reader in SECTIONS.items()}
        version = {"type": ["string", "number"], "description": "2.0, or 2.1 and later"}
        return {
            "type": "object",
            "properties": {"version": version, **sections},
            "required": ["version", "services", "profiles", "deployment"],
            "additionalProperties": False,
        }


def plain_of_manifest(manifest: Manifest) -> dict[str, Any]:
    """A manifest as plain data, empty parts left out."""
    found = {part.name: plain_of(getattr(manifest, part.name)) for part in fields(manifest)}
    return {key: value for key, value in found.items() if value or (key == "reclamation" and value is not None)}


def manifest_source(text: str, name: str) -> Source:
    """A manifest's text as plain data with its places, problems and notes; InputError where it is no YAML."""
    return source_of(composed(text, name, manifest=True), name)


def source_of(node: YamlNode | None, name: str) -> Source:
    """As `manifest_source`, of a node that is at hand."""
    into = Decoding(name)
    manifest = decode_manifest(node, into)
    source = Source(name, plain_of_manifest(manifest))
    source.keys, source.values = into.keys, into.values
    source.problems, source.notes = into.problems, into.notes
    return source


def decode_manifest(node: YamlNode | None, into: Decoding) -> Manifest:
    """The manifest of a document's node; what is wrong is noted in `into`, the checks of what it says included."""
    if node is None or (is_scalar(node) and node.tag.endswith("null")):
        into.problems.append(Problem((), "is empty, expected an SDL manifest"))
        return Manifest()
    into.at((), node)
    version = _version(node, into)
    if version is None:
        return Manifest()
    found: dict[str, Any] = {"version": version}
    for name, key, value in raw_entries(node, (), into):
        into.at((name,), value, key)
        if name == "version":
            continue
        if name not in SECTIONS:
            known = ", ".join(("version", *SECTIONS))
            place = Problem((name,), f"unknown key, keys are {known}", into.place(key), at_key=True)
            into.problems.append(place)
            continue
        section = SECTIONS[name](value, (name,), into)
        if name == "include":
            continue
        found[name] = _added(name, found.get(name), section)
    manifest = Manifest(**{name: section for name, section in found.items() if section is not None})
    if not into.problems:
        into.problems += [Problem(path, message) for path, message in check_manifest(manifest)]
    if not into.problems:
        into.problems += [Problem(path, message) for path, message in check_groups(build_groups(manifest))]
    return manifest


def _added(name: str, before: Any, section: Any) -> Any:
    """A section after what stood under its name before: it is added to, where it is a null that empties a mapping."""
    if name == "reclamation":
        return Reclamation() if section is None else section
    if isinstance(before, Profiles):
        after = section or Profiles()
        return Profiles(before.compute | after.compute, before.placement | after.placement)
    return before | section if before and section else section


def _version(node: YamlNode, into: Decoding) -> str | None:
    """The version as written, None where there is none or one that the parser does not read."""
    content: list[YamlNode] = []
    if node.tag == MAPPING:
        content = [part for pair in node.value for part in pair]
    elif not is_scalar(node):
        content = list(node.value)
    at = next((at for at, part in enumerate(content) if is_scalar(part) and part.value == "version"), None)
    if at is None or at + 1 >= len(content):
        into.problems.append(Problem((), 'has no version, add version: "2.0" or "2.1"', into.place(node)))
        return None
    written = str(content[at + 1].value) if is_scalar(content[at + 1]) else ""
    version = parse_version(written)
    if version is None or not version.known:
        problem = f'\'{written}\' is not an SDL version, write "2.0" or "2.1"'
        into.problems.append(Problem(("version",), problem, into.place(content[at + 1])))
        return None
    return written


def _validated(data: Any) -> Sdl:
    """The manifest in plain data; raises pydantic's ValidationError with a line for each problem."""
    if isinstance(data, Sdl):
        return data
    if not isinstance(data, Mapping):
        raise ValueError("is not a manifest, write the path of an SDL file or the manifest itself")
    into = Decoding()
    manifest = decode_manifest(node_of(data), into)
    if into.problems:
        details: list[InitErrorDetails] = [
            {
                "type": PydanticCustomError("manifest", "{message}", {"message": problem.message, "at_key": problem.at_key}),
                "loc": problem.path,
                "input": None,
            }
            for problem in into.problems
        ]
        raise ValidationError.from_exception_data("SDL", details)
    return Sdl(manifest)


__all__ = [
    "Endpoint",
    "Sdl",
    "SdlGroup",
    "SdlUnit",
    "decode_manifest",
    "decode_text",
    "manifest_source",
    "plain_of_manifest",
    "source_of",
]
