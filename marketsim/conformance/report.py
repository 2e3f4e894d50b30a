"""Read conformance vectors, drive a replay over them, count what is identical.

The shared protocol of the four kinds of replay. A replay is a generator::

    def replay(lines: Iterable[Vector]) -> Iterator[Result]:
        for line in lines:              # one JSON object of the file, already checked by `check`
            yield Result(...)           # exactly one Result per line, in order

It takes one line, answers it, and only then takes the next: the driver knows from that which line of the
file an error belongs to. `MalformedVectorError` is for content that no earlier check caught; the driver adds
file and line.
"""

from __future__ import annotations

import gzip
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from marketsim.errors import InputError, InvariantError

Vector = Mapping[str, Any]
"""One line of a vector file, as `json` reads it."""

ABSENT = "(absent)"
"""Stands for a field or an object that one side has and the other has not."""


class MalformedVectorError(ValueError):
    """A line is JSON but not a vector of this kind; `key` is the path to the culprit: `ops[3].amount`."""

    def __init__(self, key: str, problem: str) -> None:
        super().__init__(f"{key}: {problem}")
        self.key = key
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Difference:
    """One field in which the code and the recorded answer part.

    `message` counts from 0 inside the sequence; for prices, which have one question a line, it is 0.
    """

    sequence: str
    message: int
    object: str
    field: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one line: how many operations, messages or prices it holds, how many came out identical.

    After the first message that differs a replay may go on or stop; those it did not reach count as compared,
    not as identical.
    """

    sequence: str
    compared: int
    identical: int
    differences: tuple[Difference, ...] = ()


class Replay(Protocol):
    """The one call shape of the four kinds: lines in, one result per line out."""

    def __call__(self, lines: Iterable[Vector], /) -> Iterator[Result]:
        """Answer each line before the next is taken."""
        ...


@dataclass(slots=True)
class FileReport:
    """The count over one file, with the first `limit` differences in the order of the file."""

    file: str
    sequences: int = 0
    compared: int = 0
    identical: int = 0
    differences: list[Difference] = field(default_factory=list)
    hidden: int = 0
    seconds: float = 0.0

    @property
    def same(self) -> bool:
        """True when every operation, message or price of the file came out identical."""
        return self.compared == self.identical and not self.differences

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`; wall time is left out so that the same input prints the same bytes."""
        return {
            "file": self.file,
            "sequences": self.sequences,
            "compared": self.compared,
            "identical": self.identical,
            "differences": [
                {
                    "sequence": d.sequence,
                    "message": d.message,
                    "object": d.object,
                    "field": d.field,
                    "expected": d.expected,
                    "found": d.found,
                }
                for d in self.differences
            ],
            "differences_not_shown": self.hidden,
        }


def compare(sequence: str, message: int, name: str, expected: object, found: object) -> Iterator[Difference]:
    """Differences between two JSON-like values; a dict is descended into, all else is compared whole.

    `name` is the object's; the field of a difference in it is its dotted path, empty for the object itself.
    """
    yield from _compare(sequence, message, name, "", expected, found)


def _compare(sequence: str, message: int, name: str, path: str, expected: object, found: object) -> Iterator[Difference]:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in sorted(set(expected) | set(found), key=str):
            inner = f"{path}.{key}" if path else str(key)
            yield from _compare(sequence, message, name, inner, expected.get(key, _MISSING), found.get(key, _MISSING))
    elif expected != found or isinstance(expected, bool) != isinstance(found, bool):
        yield Difference(sequence, message, name, path, shown(expected), shown(found))


class _Missing:
    """Neither null nor any value: the key is not there."""


_MISSING = _Missing()


def shown(value: object) -> str:
    """A value as a difference prints it: strings as they are, the rest as compact JSON."""
    if isinstance(value, _Missing):
        return ABSENT
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), default=str, sort_keys=True)


def read_vectors(path: Path) -> Iterator[tuple[int, Vector]]:
    """Yield (line number from 1, object) of a JSON-lines file, `.gz` or plain; blank lines are passed over.

    Raises InputError, located, for a file that cannot be read, a line that is not one JSON object, and a file
    without any.
    """
    some = False
    try:
        with _opened(path) as stream:
            for number, raw in enumerate(iter(partial(stream.readline, LINE_MAX + 1), b""), start=1):
                if len(raw) > LINE_MAX:
                    raise InputError(f"{path}:{number}:1: line: longer than {LINE_MAX >> 20} MiB, expected one vector")
                if not raw.strip():
                    continue
                some = True
                yield number, _parsed(path, number, raw)
    except FileNotFoundError:
        raise InputError(f"{path}:1:1: --vectors: no such file, {_EXPECTED}") from None
    except IsADirectoryError:
        raise InputError(f"{path}:1:1: --vectors: is a folder, {_EXPECTED}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}:1:1: --vectors: cannot be read ({error}), {_EXPECTED}") from None
    if not some:
        raise InputError(f"{path}:1:1: --vectors: the file holds no vectors, expected one JSON object a line")


LINE_MAX = 16 << 20
"""Bytes of the longest line that is read, unpacked: some hundred times the longest vector there is."""
_DIGITS_MAX = 100
_EXPECTED = "expected a file of JSON lines, plain or gzip"


def _short(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    return text if len(text) <= 200 else f"{text[:199]}…"


def _opened(path: Path) -> BinaryIO:
    """A gzip file is known by its first two bytes, so that a wrong name does no harm."""
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def _parsed(path: Path, number: int, raw: bytes) -> Vector:
    try:
        value = json.loads(raw.decode("utf-8"), parse_int=_whole, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        column = error.start + 1
        raise InputError(f"{path}:{number}:{column}: line: not UTF-8, expected one JSON object") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{number}:{error.colno}: line: not JSON ({error.msg}), expected one JSON object") from None
    except MalformedVectorError as error:
        raise InputError(f"{path}:{number}:1: {error.key}: {error.problem}") from None
    except RecursionError:
        raise InputError(f"{path}:{number}:1: line: nested too deeply, expected one vector") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}:{number}:1: line: {type(value).__name__}, expected one JSON object")
    return value


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS_MAX:
        raise MalformedVectorError("line", f"a number of {len(digits)} digits, expected at most {_DIGITS_MAX}")
    return int(digits)


def _no_number(name: str) -> float:
    raise MalformedVectorError("line", f"{name} is no JSON, expected a number")


def replay_file(
    path: Path,
    replay: Replay,
    *,
    check: Callable[[Vector], None] | None = None,
    limit: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> FileReport:
    """Replay one file and count.

    `check` raises MalformedVectorError for a line of another kind, before the replay sees it. `progress` is
    called with (lines done, units compared) after each line. At most `limit` differences are kept, the others
    counted.
    Raises InputError for bad content, InvariantError when the replay skips a line.
    """
    report = FileReport(str(path))
    line_number = 1
    taken = 0
    begun = time.perf_counter()

    def lines() -> Iterator[Vector]:
        nonlocal line_number, taken
        for number, vector in read_vectors(path):
            line_number = number
            taken += 1
            if check is not None:
                check(vector)
            yield vector

    try:
        for result in replay(lines()):
            report.sequences += 1
            report.compared += result.compared
            report.identical += result.identical
            room = max(0, limit - len(report.differences))
            report.differences.extend(result.differences[:room])
            report.hidden += len(result.differences) - min(room, len(result.differences))
            if progress is not None:
                progress(report.sequences, report.compared)
    except MalformedVectorError as error:
        raise InputError(f"{path}:{line_number}:1: {error.key}: {error.problem}") from None
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if os.environ.get("MARKETSIM_DEBUG"):
            raise
        raise InputError(f"{path}:{line_number}:1: line: cannot be replayed ({_short(error)}), expected a vector of this kind") from None
    if report.sequences != taken:
        raise InvariantError(f"{path}: the replay answered {report.sequences} of {taken} lines")
    report.seconds = time.perf_counter() - begun
    return report
