"""Reads one YAML file into plain data that knows where each of its values stands.

Hostile or broken files end in bounded time and memory: the size of the file, its depth and what its aliases
expand to are limited before anything is built. Numbers with a decimal point become `Decimal`, so that no
digit is lost; dates stay text.
"""

from __future__ import annotations

import codecs
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
from ruamel.yaml.scanner import Scanner, ScannerError

from marketsim.errors import InputError

BYTES_MAX = 2 * 2**20
NODES_MAX = 100_000
DEPTH_MAX = 40

_TAG = "tag:yaml.org,2002:"
_BREAKS = ("\r", "\n", "\x85", "\u2028", "\u2029")
_LINE_ENDS = (*_BREAKS, "\0")
MAPPING, SEQUENCE = "mapping", "sequence"

_MANIFEST = frozenset(("services", "profiles", "deployment"))
"""Keys by which a mapping inside a file is known to be an SDL manifest."""

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
        self.notes: list[Problem] = []
        """What is no error and worth saying."""
        self.manifests: dict[KeyPath, YamlNode] = {}
        """The nodes of SDL manifests that stand inside the file: their values keep the letters they are written with."""

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
        self.notes += [note._replace(path=path + note.path) for note in other.notes]

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


def read_text(path: Path, shown_as: str, *, wide: bool = False) -> str:
    """The text of a file in UTF-8, or with `wide` in UTF-16 where it begins with the mark of that; InputError for anything else."""
    return decode_text(read_bytes(path, shown_as), shown_as, wide=wide)


def decode_text(content: bytes, name: str, *, wide: bool = False) -> str:
    """As `read_text`, of bytes that are at hand."""
    encoding = "utf-16" if wide and content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise InputError(f"{name}: is a binary file, expected YAML text") from None
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - (content.rfind(b"\n", 0, error.start) + 1) + 1
        raise InputError(f"{name}:{line}:{column}: byte 0x{content[error.start]:02x} is not UTF-8, save the file as UTF-8 text") from None
    if "\0" in text:
        raise InputError(f"{name}: is a binary file, expected YAML text")
    return text


def read_source(path: Path, shown_as: str | None = None) -> Source:
    """The YAML file at `path`; `shown_as` is its name in errors. InputError when it is no usable YAML
    mapping.
    """
    name = str(path) if shown_as is None else shown_as
    return parse_source(read_text(path, name), name)


def parse_source(text: str, name: str) -> Source:
    """As `read_source`, of a text that is at hand."""
    node = composed(text, name)
    if node is None or node.tag == _TAG + "null":
        raise InputError(f"{name}: is empty, expected a YAML mapping of keys and values")
    if node.tag != MAPPING:
        found = "a list" if node.tag == SEQUENCE else "a single value"
        raise InputError(f"{_mark(node, name)}: holds {found}, expected a mapping of keys and values")
    source = Source(name, None)
    source.data = _plain(node, (), source)
    return source


def parse_value(text: str, name: str) -> Any:
    """The plain data of one YAML value, as given on a command line; an empty text is None."""
    if len(text) > BYTES_MAX:
        raise InputError(f"{name}: the value is too long")
    node = composed(text, name, option=True)
    source = Source(name, None)
    value = None if node is None else _plain(node, (), source)
    if source.problems:
        raise InputError(f"{name}: {problem.message}" for problem in source.problems)
    return value


class YamlNode(NamedTuple):
    """A scalar's text, a sequence's nodes or a mapping's pairs of nodes, with where it begins.

    `tag` is MAPPING, SEQUENCE or what the scalar stands for under YAML 1.2; `given` the tag that is written at it;
    `quoted` whether it stands in quotes or as a block.
    """

    tag: str
    value: Any
    line: int = 0
    column: int = 0
    given: str | None = None
    quoted: bool = False


class _Open:
    """A collection under construction: its node, its anchor, how far it expands and how deep."""

    def __init__(self, node: YamlNode | None, anchor: str | None) -> None:
        self.node, self.anchor = node, anchor
        self.children: list[YamlNode] = []
        self.size, self.depth = 1, 1

    def add(self, child: YamlNode, size: int, depth: int) -> None:
        self.children.append(child)
        self.size += size
        self.depth = max(self.depth, depth + 1)


def composed(text: str, name: str, *, option: bool = False, manifest: bool = False) -> YamlNode | None:
    """The tree of nodes of a text, None for an empty one; InputError where it is no YAML.

    `manifest`: of several documents the first, and tabs where the chain's parser of manifests takes them.
    """
    yaml = YAML(typ="safe" if manifest else "rt", pure=True)
    if manifest:
        yaml.Scanner = _ManifestScanner
    try:
        return _compose(yaml, text, name, option=option, first_only=manifest)
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


class _ManifestScanner(Scanner):
    """Tabs between values, as libyaml and Go's port of it take them: inside a flow or a line, not where a block may begin."""

    def scan_to_next_token(self) -> None:
        """Skip blanks, comments and line breaks."""
        reader = self.reader
        if reader.index == 0 and reader.peek() == "\ufeff":
            reader.forward()
        while True:
            while reader.peek() == " " or (reader.peek() == "\t" and (self.flow_level or not self.allow_simple_key)):
                reader.forward()
            if reader.peek() == "#":
                while reader.peek() not in _LINE_ENDS:
                    reader.forward()
            if not self.scan_line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def scan_directive_name(self, start_mark: Any) -> str:
        """The name of a directive; only those that YAML 1.1 has."""
        name = str(super().scan_directive_name(start_mark))
        if name not in ("YAML", "TAG"):
            raise ScannerError("while scanning a directive", start_mark, f"found the unknown directive %{name}", start_mark)
        return name

    def scan_plain_spaces(self, indent: int, start_mark: Any) -> list[str] | None:
        """The blanks and folded line breaks after a word of a plain value; None where the value ends at a document's end."""
        reader = self.reader
        length = 0
        while reader.peek(length) in (" ", "\t"):
            length += 1
        blanks = reader.prefix(length)
        reader.forward(length)
        if reader.peek() not in _BREAKS:
            return [blanks] if blanks else []
        first, breaks = self.scan_line_break(), []
        self.allow_simple_key = True
        while True:
            if reader.prefix(3) in ("---", "...") and reader.peek(3) in (*_LINE_ENDS, " ", "\t"):
                return None
            while reader.peek() in (" ", "\t"):
                if reader.peek() == "\t" and not self.flow_level and reader.column < indent:
                    raise ScannerError("while scanning a plain value", start_mark, "found a tab in the indentation", reader.get_mark())
                reader.forward()
            if reader.peek() not in _BREAKS:
                break
            breaks.append(self.scan_line_break())
        if first != "\n":
            return [first, *breaks]
        return breaks or [" "]


def _compose(yaml: YAML, text: str, name: str, *, option: bool, first_only: bool = False) -> YamlNode | None:
    """The tree of nodes; stops as soon as depth or what aliases expand to passes its limit."""
    anchors: dict[str, tuple[YamlNode, int, int]] = {}
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
            tag = MAPPING if isinstance(event, MappingStartEvent) else SEQUENCE
            stack.append(_Open(YamlNode(tag, [], line, column), event.anchor))
            expanded += 1
        elif isinstance(event, CollectionEndEvent):
            done = stack.pop()
            assert done.node is not None
            children = done.children
            pairs = zip(children[::2], children[1::2], strict=True)
            done.node.value.extend(pairs if done.node.tag == MAPPING else children)
            stack[-1].add(done.node, done.size, done.depth)
            if done.anchor is not None:
                anchors[done.anchor] = (done.node, done.size, done.depth)
        elif isinstance(event, ScalarEvent):
            given = None if event.tag is None or str(event.tag) == "!" else str(event.tag)
            tag = given or str(yaml.resolver.resolve(ScalarNode, event.value, event.implicit))
            # ruamel marks where a folded text was folded, to write it back as it was
            value = event.value.replace("\a", "") if event.style == ">" else event.value
            node = YamlNode(tag, value, line, column, given, event.style is not None)
            stack[-1].add(node, 1, 1)
            expanded += 1
            if event.anchor is not None:
                anchors[event.anchor] = (node, 1, 1)
        elif isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1 and first_only:
                break
            if first_only and event.version not in (None, (1, 1)):
                raise InputError(f"{where}: asks for another YAML than 1.1, the one that the chain's parser reads; leave %YAML out")
            if documents > 1:
                raise InputError(f"{where}: a second document begins here, expected one document a file")
        if len(stack) + stack[-1].depth > DEPTH_MAX + 2:
            raise InputError(f"{where}: nested deeper than {DEPTH_MAX} levels, write a flatter file")
        if expanded > NODES_MAX:
            raise InputError(f"{where}: aliases and values expand to more than {NODES_MAX:,} values, write a smaller file")
    return stack[0].children[0] if stack[0].children else None


def _mark(node: YamlNode, name: str) -> Place:
    return Place(name, node.line, node.column)


def _plain(node: YamlNode, path: KeyPath, source: Source) -> Any:
    """The plain data of a node; notes places, duplicate keys and unusable values in `source`."""
    place = _mark(node, source.file)
    source.values[path] = place
    if node.tag == SEQUENCE:
        return [_plain(child, (*path, i), source) for i, child in enumerate(node.value)]
    if node.tag != MAPPING:
        return _scalar(node, path, place, source)
    if path and {key.value for key, _ in node.value if key.tag not in (MAPPING, SEQUENCE)} >= _MANIFEST:
        source.manifests[path] = node
    data: dict[str, Any] = {}
    merged: list[YamlNode] = []
    for key_node, value_node in node.value:
        key_place = _mark(key_node, source.file)
        if key_node.tag == _TAG + "merge":
            parts = value_node.value if value_node.tag == SEQUENCE else [value_node]
            if all(part.tag == MAPPING for part in parts):
                merged += parts
            else:
                source.problems.append(Problem(path, "'<<' merges a value, it can merge mappings only", key_place))
            continue
        if key_node.tag in (MAPPING, SEQUENCE):
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


def _merge(part: YamlNode, path: KeyPath, data: dict[str, Any], source: Source) -> None:
    """Adds what the merged mapping has and `data` has not, with its places."""
    other = Source(source.file, None)
    for key, value in _plain(part, (), other).items():
        if key not in data:
            data[key] = value
            source.keys |= {(*path, *p): q for p, q in other.keys.items() if p[:1] == (key,)}
            source.values |= {(*path, *p): q for p, q in other.values.items() if p[:1] == (key,)}


def _scalar(node: YamlNode, path: KeyPath, place: Place, source: Source) -> Any:
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
