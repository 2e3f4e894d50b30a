"""Reads one YAML file into plain data that knows where each of its values stands.

Hostile or broken files end in bounded time and memory: the size of the file, its depth and what its aliases
expand to are limited before anything is built. Numbers with a decimal point become `Decimal`, so that no
digit is lost; dates stay text."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    NodeEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from marketsim.errors import InputError

BYTES_MAX = 4 * 2**20
NODES_MAX = 200_000
DEPTH_MAX = 40

_TAG = "tag:yaml.org,2002:"

KeyPath = tuple[str | int, ...]


class Place(NamedTuple):
    """Where a value stands: `file:line:col`, or an option such as `--set` (line 0)."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class Problem(NamedTuple):
    """One error: at a key or at its value, in words."""

    path: KeyPath
    message: str
    place: Place | None = None
    at_key: bool = False


class Source:
    """Plain data (dict, list, str, int, Decimal, bool, None) with the places of its keys and values."""

    def __init__(self, file: str, data: Any) -> None:
        self.file = file
        self.data = data
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}
        self.problems: list[Problem] = []

    def place(self, path: KeyPath, *, at_key: bool = False) -> Place:
        """The place of the value (or of the key) at `path`, else of the nearest value around it."""
        if at_key and path in self.keys:
            return self.keys[path]
        for length in range(len(path), -1, -1):
            if path[:length] in self.values:
                return self.values[path[:length]]
        return Place(self.file)

    def graft(self, path: KeyPath, other: Source) -> None:
        """Puts the content of another file in place of the value at `path`."""
        self.forget(path)
        self.keys |= {path + below: place for below, place in other.keys.items()}
        self.values |= {path + below: place for below, place in other.values.items()}
        self.problems += [problem._replace(path=path + problem.path) for problem in other.problems]

    def forget(self, path: KeyPath) -> None:
        """Drops the places at and below `path` (its key's own place stays)."""
        length = len(path)
        self.keys = {p: place for p, place in self.keys.items() if p[:length] != path or len(p) == length}
        self.values = {p: place for p, place in self.values.items() if p[:length] != path}


def read_bytes(path: Path, shown_as: str) -> bytes:
    """The content of a file of bounded size; InputError with the file's name otherwise."""
    try:
        with open(path, "rb") as stream:
            if stat.S_ISDIR(os.fstat(stream.fileno()).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            content = stream.read(BYTES_MAX + 1)
    except FileNotFoundError:
        raise InputError(f"{shown_as}: does not exist, give the path of a YAML file") from None
    except IsADirectoryError:
        raise InputError(f"{shown_as}: is a folder, give the path of a YAML file") from None
    except PermissionError:
        raise InputError(
            f"{shown_as}: cannot be read (permission denied), give a file that you may read"
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{shown_as}: cannot be read ({reason}), give the path of a YAML file") from None
    if len(content) > BYTES_MAX:
        raise InputError(
            f"{shown_as}: is larger than {BYTES_MAX // 2**20} MiB, no file of marketsim needs to be"
        )
    return content


def read_source(path: Path, shown_as: str | None = None) -> Source:
    """The YAML file at `path`; `shown_as` is its name in errors. InputError when it is no usable YAML
    mapping."""
    name = str(path) if shown_as is None else shown_as
    content = read_bytes(path, name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise InputError(f"{name}: is a binary file, expected YAML text") from None
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        raise InputError(
            f"{name}:{line}:{column}: byte 0x{content[error.start]:02x} is not UTF-8, "
            "save the file as UTF-8 text"
        ) from None
    if "\0" in text:
        raise InputError(f"{name}: is a binary file, expected YAML text")
    return parse_source(text, name)


def parse_source(text: str, name: str) -> Source:
    """As `read_source`, of a text that is at hand."""
    node = _composed(text, name)
    if node is None or (isinstance(node, ScalarNode) and node.tag == _TAG + "null"):
        raise InputError(f"{name}: is empty, expected a YAML mapping of keys and values")
    if not isinstance(node, MappingNode):
        found = "a list" if isinstance(node, SequenceNode) else "a single value"
        raise InputError(f"{_mark(node, name)}: holds {found}, expected a mapping of keys and values")
    source = Source(name, None)
    source.data = _plain(node, (), source)
    return source


def parse_value(text: str, name: str) -> Any:
    """The plain data of one YAML value, as given on a command line; an empty text is None."""
    if len(text) > BYTES_MAX:
        raise InputError(f"{name}: the value is too long")
    node = _composed(text, name, option=True)
    source = Source(name, None)
    value = None if node is None else _plain(node, (), source)
    if source.problems:
        raise InputError(f"{name}: {problem.message}" for problem in source.problems)
    return value


def _composed(text: str, name: str, *, option: bool = False) -> Node | None:
    try:
        _check_events(YAML(typ="rt", pure=True).parse(text), name)
        node: Node | None = YAML(typ="rt", pure=True).compose(text)
        return node
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = name if mark is None or option else f"{name}:{mark.line + 1}:{mark.column + 1}"
        problem = " ".join(str(error.problem or error.context or "cannot be parsed").split())
        raise InputError(f"{where}: not valid YAML ({problem}), expected a YAML mapping") from None
    except (YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        hint = (
            "is not text"
            if "special characters are not allowed" in problem
            else f"not valid YAML ({problem[:120]})"
        )
        raise InputError(f"{name}: {hint}, expected YAML text") from None


def _check_events(events: Iterator[Any], name: str) -> None:
    """Counts what the file would expand to, alias by alias, and stops before it grows."""
    sizes: dict[str, int] = {}
    counts = [0]
    anchors: list[str | None] = [None]
    documents = 0
    for event in events:
        where = (
            f"{name}:{event.start_mark.line + 1}:{event.start_mark.column + 1}" if event.start_mark else name
        )
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise InputError(f"{where}: a second document begins here, expected one document a file")
        elif isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise InputError(
                    f"{where}: alias '*{event.anchor}' names no finished anchor, "
                    f"define '&{event.anchor}' above"
                )
            counts[-1] += sizes[event.anchor]
        elif isinstance(event, CollectionStartEvent):
            counts.append(1)
            anchors.append(event.anchor)
            if len(counts) > DEPTH_MAX + 1:
                raise InputError(
                    f"{where}: nested deeper than {DEPTH_MAX} levels, no file of marketsim needs to be"
                )
        elif isinstance(event, CollectionEndEvent):
            size, anchor = counts.pop(), anchors.pop()
            if anchor is not None:
                sizes[anchor] = size
            counts[-1] += size
        elif isinstance(event, NodeEvent):
            counts[-1] += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if counts[-1] > NODES_MAX or sum(counts) > NODES_MAX:
            raise InputError(
                f"{where}: aliases and values expand to more than {NODES_MAX:,} values, write a smaller file"
            )


def _mark(node: Node, name: str) -> Place:
    return Place(name, node.start_mark.line + 1, node.start_mark.column + 1)


def _plain(node: Node, path: KeyPath, source: Source) -> Any:
    """The plain data of a node; notes places, duplicate keys and unusable values in `source`."""
    place = _mark(node, source.file)
    source.values[path] = place
    if isinstance(node, ScalarNode):
        return _scalar(node, path, place, source)
    if isinstance(node, SequenceNode):
        return [_plain(child, (*path, i), source) for i, child in enumerate(node.value)]
    data: dict[str, Any] = {}
    merged: list[MappingNode] = []
    for key_node, value_node in node.value:
        key_place = _mark(key_node, source.file)
        if key_node.tag == _TAG + "merge":
            parts = value_node.value if isinstance(value_node, SequenceNode) else [value_node]
            if all(isinstance(part, MappingNode) for part in parts):
                merged += parts
            else:
                source.problems.append(
                    Problem(path, "'<<' merges a value, it can merge mappings only", key_place)
                )
            continue
        if not isinstance(key_node, ScalarNode):
            source.problems.append(Problem(path, "a key is a list or a mapping, keys are words", key_place))
            continue
        key = str(key_node.value)
        here = (*path, key)
        if key in data:
            first = source.keys[here]
            message = f"duplicate key, it stands already in line {first.line}; keep one of the two"
            source.problems.append(Problem(here, message, key_place))
            continue
        source.keys[here] = key_place
        data[key] = _plain(value_node, here, source)
    for part in merged:
        other = Source(source.file, None)
        for key, value in _plain(part, (), other).items():
            if key not in data:
                data[key] = value
                below = Source(source.file, None)
                below.keys = {p[1:]: q for p, q in other.keys.items() if p[:1] == (key,) and len(p) > 1}
                below.values = {p[1:]: q for p, q in other.values.items() if p[:1] == (key,)}
                source.keys[(*path, key)] = other.keys[(key,)]
                source.graft((*path, key), below)
    return data


def _scalar(node: ScalarNode, path: KeyPath, place: Place, source: Source) -> Any:
    text, tag = str(node.value), str(node.tag)
    if node.style == ">":
        # ruamel marks where a folded text was folded, to write it back as it was
        text = text.replace("\a", "")
    if tag == _TAG + "null":
        return None
    if tag == _TAG + "bool":
        return text.lower() == "true"
    if tag == _TAG + "int":
        digits = text.replace("_", "")
        if len(digits) > 400:
            source.problems.append(
                Problem(path, "is a number with hundreds of digits, write a smaller one", place)
            )
            return 0
        sign = -1 if digits.startswith("-") else 1
        digits = digits.lstrip("+-")
        radix = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2].lower(), 10)
        return sign * int(digits[2:] if radix != 10 else digits, radix)
    if tag == _TAG + "float":
        digits = text.replace("_", "").lower()
        if "inf" in digits or "nan" in digits:
            source.problems.append(Problem(path, f"'{text}' is not a finite number, write a number", place))
            return 0
        if len(digits) > 400 or abs(int("0" + digits.partition("e")[2].lstrip("+-"))) > 300:
            source.problems.append(
                Problem(path, "is a number with hundreds of digits, write a smaller one", place)
            )
            return 0
        return Decimal(digits)
    if tag in (_TAG + "str", _TAG + "timestamp", _TAG + "merge", _TAG + "value"):
        return text
    source.problems.append(Problem(path, f"tag '{tag}' is not supported, write a plain value", place))
    return text
