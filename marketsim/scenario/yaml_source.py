"""Reads one YAML file into plain data that knows where each of its values stands.

Hostile or broken files end in bounded time and memory: the size of the file, its depth and what its aliases
expand to are limited before anything is built. Numbers with a decimal point become `Decimal`, so that no
digit is lost; dates stay text.
"""

from __future__ import annotations

import errno
import os
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent
from ruamel.yaml.nodes import ScalarNode

from marketsim.errors import InputError

BYTES_MAX = 2 * 2**20
NODES_MAX = 100_000
DEPTH_MAX = 40

_TAG = "tag:yaml.org,2002:"
_MAPPING, _SEQUENCE = "mapping", "sequence"

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
        raise InputError(f"{shown_as}: cannot be read (permission denied), give a file that you may read") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{shown_as}: cannot be read ({reason}), give the path of a YAML file") from None
    if len(content) > BYTES_MAX:
        raise InputError(f"{shown_as}: is larger than {BYTES_MAX // 2**20} MiB, no file of marketsim needs to be")
    return content


def read_source(path: Path, shown_as: str | None = None) -> Source:
    """The YAML file at `path`; `shown_as` is its name in errors. InputError when it is no usable YAML
    mapping.
    """
    name = str(path) if shown_as is None else shown_as
    content = read_bytes(path, name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise InputError(f"{name}: is a binary file, expected YAML text") from None
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        raise InputError(f"{name}:{line}:{column}: byte 0x{content[error.start]:02x} is not UTF-8, save the file as UTF-8 text") from None
    if "\0" in text:
        raise InputError(f"{name}: is a binary file, expected YAML text")
    return parse_source(text, name)


def parse_source(text: str, name: str) -> Source:
    """As `read_source`, of a text that is at hand."""
    node = _composed(text, name)
    if node is None or node.tag == _TAG + "null":
        raise InputError(f"{name}: is empty, expected a YAML mapping of keys and values")
    if node.tag != _MAPPING:
        found = "a list" if node.tag == _SEQUENCE else "a single value"
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


class _Node(NamedTuple):
    """A scalar's text, a sequence's nodes or a mapping's pairs of nodes, with where it begins."""

    tag: str
    value: Any
    line: int
    column: int


class _Open:
    """A collection under construction: its node, its anchor, how far it expands and how deep."""

    def __init__(self, node: _Node | None, anchor: str | None) -> None:
        self.node, self.anchor = node, anchor
        self.children: list[_Node] = []
        self.size, self.depth = 1, 1

    def add(self, child: _Node, size: int, depth: int) -> None:
        self.children.append(child)
        self.size += size
        self.depth = max(self.depth, depth + 1)


def _composed(text: str, name: str, *, option: bool = False) -> _Node | None:
    try:
        return _compose(YAML(typ="rt", pure=True), text, name, option=option)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = name if mark is None or option else f"{name}:{mark.line + 1}:{mark.column + 1}"
        problem = " ".join(str(error.problem or error.context or "cannot be parsed").split())
        raise InputError(f"{where}: not valid YAML ({problem}), expected a YAML mapping") from None
    except (YAMLError, ValueError, RecursionError) as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        control = "special characters are not allowed" in problem
        wrong = "has control characters" if control else f"not valid YAML ({problem[:120]})"
        raise InputError(f"{name}: {wrong}, expected YAML text") from None


def _compose(yaml: YAML, text: str, name: str, *, option: bool) -> _Node | None:
    """The tree of nodes; stops as soon as depth or what aliases expand to passes its limit."""
    anchors: dict[str, tuple[_Node, int, int]] = {}
    stack = [_Open(None, None)]
    documents = expanded = 0
    for event in yaml.parse(text):
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        where = name if option else f"{name}:{line}:{column}"
        if isinstance(event, AliasEvent):
            if event.anchor not in anchors:
                raise InputError(f"{where}: alias '*{event.anchor}' names no finished anchor, define '&{event.anchor}' above")
            stack[-1].add(*anchors[event.anchor])
            expanded += anchors[event.anchor][1]
        elif isinstance(event, CollectionStartEvent):
            tag = _MAPPING if isinstance(event, MappingStartEvent) else _SEQUENCE
            stack.append(_Open(_Node(tag, [], line, column), event.anchor))
            expanded += 1
        elif isinstance(event, CollectionEndEvent):
            done = stack.pop()
            assert done.node is not None
            children = done.children
            pairs = zip(children[::2], children[1::2], strict=True)
            done.node.value.extend(pairs if done.node.tag == _MAPPING else children)
            stack[-1].add(done.node, done.size, done.depth)
            if done.anchor is not None:
                anchors[done.anchor] = (done.node, done.size, done.depth)
        elif isinstance(event, ScalarEvent):
            given = event.tag
            if given is None or str(given) == "!":
                given = yaml.resolver.resolve(ScalarNode, event.value, event.implicit)
            # ruamel marks where a folded text was folded, to write it back as it was
            value = event.value.replace("\a", "") if event.style == ">" else event.value
            node = _Node(str(given), value, line, column)
            stack[-1].add(node, 1, 1)
            expanded += 1
            if event.anchor is not None:
                anchors[event.anchor] = (node, 1, 1)
        elif isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise InputError(f"{where}: a second document begins here, expected one document a file")
        if len(stack) + stack[-1].depth > DEPTH_MAX + 2:
            raise InputError(f"{where}: nested deeper than {DEPTH_MAX} levels, write a flatter file")
        if expanded > NODES_MAX:
            raise InputError(f"{where}: aliases and values expand to more than {NODES_MAX:,} values, write a smaller file")
    return stack[0].children[0] if stack[0].children else None


def _mark(node: _Node, name: str) -> Place:
    return Place(name, node.line, node.column)


def _plain(node: _Node, path: KeyPath, source: Source) -> Any:
    """The plain data of a node; notes places, duplicate keys and unusable values in `source`."""
    place = _mark(node, source.file)
    source.values[path] = place
    if node.tag == _SEQUENCE:
        return [_plain(child, (*path, i), source) for i, child in enumerate(node.value)]
    if node.tag != _MAPPING:
        return _scalar(node, path, place, source)
    data: dict[str, Any] = {}
    merged: list[_Node] = []
    for key_node, value_node in node.value:
        key_place = _mark(key_node, source.file)
        if key_node.tag == _TAG + "merge":
            parts = value_node.value if value_node.tag == _SEQUENCE else [value_node]
            if all(part.tag == _MAPPING for part in parts):
                merged += parts
            else:
                source.problems.append(Problem(path, "'<<' merges a value, it can merge mappings only", key_place))
            continue
        if key_node.tag in (_MAPPING, _SEQUENCE):
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
        _merge(part, path, data, source)
    return data


def _merge(part: _Node, path: KeyPath, data: dict[str, Any], source: Source) -> None:
    """Adds what the merged mapping has and `data` has not, with its places."""
    other = Source(source.file, None)
    for key, value in _plain(part, (), other).items():
        if key not in data:
            data[key] = value
            source.keys |= {(*path, *p): q for p, q in other.keys.items() if p[:1] == (key,)}
            source.values |= {(*path, *p): q for p, q in other.values.items() if p[:1] == (key,)}


def _scalar(node: _Node, path: KeyPath, place: Place, source: Source) -> Any:
    text, tag = str(node.value), node.tag
    if tag == _TAG + "null":
        return None
    if tag == _TAG + "bool":
        return text.lower() == "true"
    if tag == _TAG + "int":
        digits = text.replace("_", "")
        if len(digits) > 400:
            source.problems.append(Problem(path, "is a number with hundreds of digits, write a smaller one", place))
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
            source.problems.append(Problem(path, "is a number with hundreds of digits, write a smaller one", place))
            return 0
        return Decimal(digits)
    if tag in (_TAG + "str", _TAG + "timestamp", _TAG + "merge", _TAG + "value"):
        return text
    source.problems.append(Problem(path, f"tag '{tag}' is not supported, write a plain value", place))
    return text
