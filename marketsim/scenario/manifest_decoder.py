"""Decodes YAML nodes into frozen values as Go's YAML library decodes them into a program's types.

A reader is a function of a node; a dataclass whose fields name their readers (`reads`) is read by `struct`. A null leaves the default,
keys that no field has are read past with a note, wrong types are problems. Source: gopkg.in/yaml.v3 decode.go.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from decimal import Decimal
from typing import Any, Generic, TypeVar

from marketsim.scenario.go_values import WrongTagError, read_bool, read_uint, resolve
from marketsim.scenario.literals import shown
from marketsim.scenario.yaml_source import MAPPING, SEQUENCE, KeyPath, Place, Problem, YamlNode

T = TypeVar("T")
_NULL = "tag:yaml.org,2002:null"


class Decoding:
    """One pass over a manifest: what is wrong, what was read past, and where the values stand."""

    def __init__(self, file: str = "") -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}

    def wrong(self, node: YamlNode, path: KeyPath, message: str) -> None:
        """Note a problem at a path: where its value stands if that is known, else at a node around it."""
        self.problems.append(Problem(path, message, self.values.get(path) or self.place(node)))

    def past(self, node: YamlNode, path: KeyPath, known: list[str]) -> None:
        """Note a key that the chain's parser does not know and reads past."""
        close = difflib.get_close_matches(str(path[-1]), known, 1, 0.7)
        meant = f", did you mean '{close[0]}'?" if close else ""
        self.notes.append(Problem(path, f"is read past, the chain's parser knows no such key{meant}", self.place(node), at_key=True))

    def at(self, path: KeyPath, node: YamlNode, key: YamlNode | None = None) -> None:
        """Note where a value and its key stand."""
        place = self.place(node)
        if place is not None:
            self.values[path] = place
        key_place = None if key is None else self.place(key)
        if key_place is not None:
            self.keys[path] = key_place

    def place(self, node: YamlNode) -> Place | None:
        """Where a node stands; None for one that was made of plain data."""
        return Place(self.file, node.line, node.column) if node.line else None


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """Reads the value of a node: None for a null, and where there is a problem; `schema` says the same to editors."""

    read: Callable[[YamlNode, KeyPath, Decoding], T | None]
    schema: Mapping[str, Any]

    def __call__(self, node: YamlNode, path: KeyPath, into: Decoding) -> T | None:
        """Read one node at `path`."""
        return self.read(node, path, into)


def node_of(data: Any) -> YamlNode:
    """The node of plain data, as if a manifest had been written with it."""
    if isinstance(data, Mapping):
        return YamlNode(MAPPING, [(node_of(key), node_of(value)) for key, value in data.items()])
    if isinstance(data, (list, tuple)):
        return YamlNode(SEQUENCE, [node_of(part) for part in data])
    if data is None:
        return YamlNode("null", "null")
    if isinstance(data, bool):
        return YamlNode("bool", "true" if data else "false")
    if isinstance(data, (int, float, Decimal)):
        return YamlNode("number", format(data, "f") if isinstance(data, Decimal) else repr(data))
    return YamlNode("str", str(data), quoted=True)


def is_scalar(node: YamlNode) -> bool:
    """Whether the node is neither a list nor a mapping."""
    return node.tag not in (MAPPING, SEQUENCE)


def is_null(node: YamlNode) -> bool:
    """Whether the node stands for nothing."""
    if not is_scalar(node):
        return False
    if node.given in (_NULL, "!!null"):
        return True
    try:
        return resolve(str(node.value), node.given, node.quoted) is None
    except WrongTagError:
        return False


def what(node: YamlNode) -> str:
    """A node in a message."""
    return {MAPPING: "a mapping", SEQUENCE: "a list"}.get(node.tag) or shown(str(node.value))


def _resolved(node: YamlNode, path: KeyPath, into: Decoding) -> object:
    try:
        return resolve(str(node.value), node.given, node.quoted)
    except WrongTagError as error:
        into.wrong(node, path, f"{error}, write a plain value")
        return None


def _text(node: YamlNode, path: KeyPath, into: Decoding) -> str | None:
    """A string field: any scalar with the letters that it is written with."""
    if is_scalar(node):
        found = _resolved(node, path, into)
        if found is None:
            return None
        return found if isinstance(found, str) else str(node.value)
    into.wrong(node, path, f"{what(node)} is not a text, write a word or a text in quotes")
    return None


def _boolean(node: YamlNode, path: KeyPath, into: Decoding) -> bool | None:
    """A truth value; the words of YAML 1.1 (yes, off) count, the text "true" in quotes does not."""
    found = _resolved(node, path, into) if is_scalar(node) else MISSING
    if found is None:
        return None
    value = read_bool(found)
    if value is None:
        into.wrong(node, path, f"{what(node)} is neither true nor false, write true or false without quotes")
    return value


def _uint32(node: YamlNode, path: KeyPath, into: Decoding) -> int | None:
    """A whole number of 0 or more; a fraction is cut off, digits in quotes are no number."""
    found = _resolved(node, path, into) if is_scalar(node) else MISSING
    if found is None:
        return None
    value = read_uint(found, 32)
    if value is None:
        into.wrong(node, path, f"{what(node)} is not a whole number of 0 to 4294967295, write digits without quotes")
    return value


text: Reader[str] = Reader(_text, {"type": ["string", "number", "boolean", "null"]})
boolean: Reader[bool] = Reader(_boolean, {"type": ["boolean", "string", "null"]})
uint32: Reader[int] = Reader(_uint32, {"type": ["number", "null"], "minimum": 0})


def list_of(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    """A list; nulls in it fall away."""

    def read(node: YamlNode, path: KeyPath, into: Decoding) -> tuple[T, ...] | None:
        if is_null(node):
            return None
        if node.tag != SEQUENCE:
            into.wrong(node, path, f"{what(node)} is not a list, write [a, b] or lines that begin with '-'")
            return None
        parts = []
        for at, part in enumerate(node.value):
            into.at((*path, at), part)
            parts.append(reader(part, (*path, at), into))
        return tuple(part for part in parts if part is not None)

    return Reader(read, {"type": ["array", "null"], "items": dict(reader.schema)})


def map_of(reader: Reader[T], empty: Callable[[], T]) -> Reader[dict[str, T]]:
    """A mapping of names to values; a null value is an `empty` one, a null key falls away."""

    def read(node: YamlNode, path: KeyPath, into: Decoding) -> dict[str, T] | None:
        pairs = entries(node, path, into)
        if pairs is None:
            return None
        found: dict[str, T] = {}
        for name, key, value in pairs:
            into.at((*path, name), value, key)
            item = reader(value, (*path, name), into)
            if item is not None or name not in found:
                found[name] = empty() if item is None else item
        return found

    return Reader(read, {"type": ["object", "null"], "additionalProperties": dict(reader.schema)})


def struct(kind: type[T]) -> Reader[T]:
    """A mapping whose keys are the fields of a dataclass; others are read past with a note."""
    known: dict[str, Field[Any]] = {_key(part): part for part in fields(kind)}  # type: ignore[arg-type]

    def read(node: YamlNode, path: KeyPath, into: Decoding) -> T | None:
        pairs = entries(node, path, into)
        if pairs is None:
            return None
        values = {}
        for name, key, value in pairs:
            if name not in known:
                into.past(key, (*path, name), list(known))
                continue
            into.at((*path, name), value, key)
            item = known[name].metadata["reader"](value, (*path, name), into)
            if item is not None:
                values[known[name].name] = item
        return kind(**values)

    properties = {key: dict(part.metadata["reader"].schema) for key, part in known.items()}
    described = (kind.__doc__ or "").partition(";")[0].splitlines()[0]
    return Reader(read, {"type": ["object", "null"], "description": described, "properties": properties})


def reads(reader: Reader[Any], default: Any = MISSING, *, key: str | None = None) -> Any:
    """A field of a dataclass with how it is read; `key` where a manifest spells it differently."""
    metadata = {"reader": reader, "key": key}
    if default in ((), {}) and default is not MISSING:
        return field(default_factory=type(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def _key(part: Field[Any]) -> str:
    return part.metadata["key"] or part.name


def entries(node: YamlNode, path: KeyPath, into: Decoding) -> list[tuple[str, YamlNode, YamlNode]] | None:
    """Name, key and value of what a mapping holds, what it merges included; None for a null or a problem.

    A key that stands twice is a problem, and so is one that is no text.
    """
    if is_null(node):
        return None
    if node.tag != MAPPING:
        into.wrong(node, path, f"{what(node)} is not a mapping, write key: value pairs")
        return None
    pairs: list[tuple[str, YamlNode, YamlNode]] = []
    merged: list[YamlNode] = []
    seen: dict[object, YamlNode] = {}
    for key, value in node.value:
        mark = (is_scalar(key), str(key.value)) if is_scalar(key) else (False, id(key))
        if mark in seen:
            name = str(key.value)
            into.wrong(key, (*path, name), f"stands here already in line {seen[mark].line}, keep one of the two")
            return None
        seen[mark] = key
        if _is_merge(key):
            merged = _merged(value, path, into)
        elif not is_scalar(key):
            into.wrong(key, path, f"{what(key)} as a key, keys are words")
        elif not is_null(key):
            pairs.append((str(key.value), key, value))
    names = {name for name, _, _ in pairs}
    for part in merged:
        for name, key, value in entries(part, path, into) or ():
            if name not in names:
                names.add(name)
                pairs.append((name, key, value))
    return pairs


def _is_merge(key: YamlNode) -> bool:
    return is_scalar(key) and key.value == "<<" and not key.quoted and (key.given is None or key.given.endswith("merge"))


def _merged(value: YamlNode, path: KeyPath, into: Decoding) -> list[YamlNode]:
    parts: list[YamlNode] = value.value if value.tag == SEQUENCE else [value]
    if all(part.tag == MAPPING for part in parts):
        return parts
    into.wrong(value, path, f"'<<' merges {what(value)}, it merges a mapping or a list of mappings")
    return []


def raw_entries(node: YamlNode, path: KeyPath, into: Decoding) -> Iterator[tuple[str, YamlNode, YamlNode]]:
    """Pairs as a decoder sees them that walks over a node's content by itself: nothing is merged, keys may stand twice,
    a list counts as pairs of items and a scalar as nothing.
    """
    if node.tag == MAPPING:
        yield from ((str(key.value) if is_scalar(key) else "", key, value) for key, value in node.value)
    elif node.tag == SEQUENCE:
        items = node.value
        if len(items) % 2:
            into.wrong(node, path, "is a list, write key: value pairs")
            return
        yield from ((str(key.value) if is_scalar(key) else "", key, value) for key, value in zip(items[::2], items[1::2], strict=True))


def plain_of(value: Any) -> Any:
    """A read value as plain data that reads again to an equal one; what is at its default is left out."""
    if isinstance(value, Mapping):
        return {key: plain_of(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [plain_of(part) for part in value]
    if hasattr(value, "plain"):
        return value.plain()
    if hasattr(value, "__dataclass_fields__"):
        return {
            _key(part): plain_of(getattr(value, part.name))
            for part in fields(value)
            if part.metadata and getattr(value, part.name) != _default(part)
        }
    return value


def _default(part: Field[Any]) -> Any:
    return part.default_factory() if part.default_factory is not MISSING else part.default
