"""Which draws of two runs differ: by the names of their streams, the number within the stream and what they are drawn for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from marketsim.agents.streams import Keys

DIFFERENCES_MAX: Final = 200
"""Streams and purposes named at most; how many there are in all is counted."""


@dataclass(frozen=True, slots=True)
class DrawDifference:
    """A stream and a purpose of which draws differ: the first of them and how many; None for what only the other run drew."""

    stream: str
    purpose: str
    index: int
    a: float | None
    b: float | None
    draws: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"stream": self.stream, "purpose": self.purpose, "index": self.index, "a": self.a, "b": self.b, "draws": self.draws}


class _Told(np.random.Generator):
    """A generator that tells what it draws."""

    def __init__(self, made: np.random.Generator, tell: Callable[[Any], None]) -> None:
        super().__init__(made.bit_generator)
        self._tell = tell


def _telling(method: str) -> Any:
    plain = getattr(np.random.Generator, method)

    def told(self: Any, *arguments: Any, **options: Any) -> Any:
        values = plain(self, *arguments, **options)
        self._tell(values)
        return values

    return told


for _method in ("choice", "exponential", "geometric", "integers", "lognormal", "normal", "poisson", "random", "standard_normal", "uniform"):
    setattr(_Told, _method, _telling(_method))


class DrawBook:
    """Everything that a run has drawn by name; a listener of `marketsim.agents.streams.listening`."""

    def __init__(self) -> None:
        self._made: dict[str, list[NDArray[Any]]] = {}
        self._names: dict[int, str] = {}
        self._families: list[tuple[Keys, NDArray[np.int64], Keys]] = []
        self._drawn: dict[str, list[tuple[Keys, NDArray[Any]]]] = {}
        self._index: tuple[Keys, NDArray[np.int64], Keys] | None = None

    def stream(self, name: str, made: np.random.Generator) -> np.random.Generator:
        """See `Draws`."""
        values = self._made.setdefault(name, [])

        def tell(drawn: Any) -> None:
            values.append(np.asarray(drawn).ravel())
            if isinstance(drawn, int | np.integer) and int(drawn) > 1 << 32:
                self._names.setdefault(int(drawn), name)  # a key of others, known by its stream

        return _Told(made, tell)

    def named(self, name: str, key: int) -> None:
        """See `Draws`."""
        self._names[key] = name

    def keys(self, parents: Keys, counts: NDArray[np.int64], made: Keys) -> None:
        """See `Draws`."""
        self._families.append((parents, counts, made))
        self._index = None

    def drawn(self, purpose: str, keys: Keys, values: NDArray[Any]) -> None:
        """See `Draws`."""
        self._drawn.setdefault(purpose, []).append((keys.copy(), values))

    @property
    def purposes(self) -> list[str]:
        """What was drawn for, in the order of the first draws."""
        return list(self._drawn)

    @property
    def streams(self) -> dict[str, NDArray[Any]]:
        """What every generator drew, one after the other."""
        return {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in self._made.items()}

    def draws_like(self, other: DrawBook, purpose: str) -> bool:
        """Return whether another run has drawn the same for a purpose, in the same order."""
        mine, theirs = self._drawn.get(purpose, []), other._drawn.get(purpose, [])
        same = len(mine) == len(theirs)
        return same and all(np.array_equal(a, b) for pair in zip(mine, theirs, strict=True) for a, b in zip(*pair, strict=True))

    def of(self, purpose: str) -> tuple[Keys, NDArray[np.float64]]:
        """Return the keys, ascending, and the last value drawn for each of them and a purpose."""
        parts = self._drawn.get(purpose, [])
        if not parts:
            return np.zeros(0, np.uint64), np.zeros(0)
        keys = np.concatenate([keys for keys, _ in parts])
        values = np.concatenate([np.asarray(values, np.float64) for _, values in parts])
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], values[order]
        last = np.append(keys[1:] != keys[:-1], True)
        return keys[last], values[last]

    def groups(self, keys: Keys) -> list[tuple[str, NDArray[np.int64], Keys]]:
        """Return keys by the stream that they are of: its name, their numbers there, ascending, and the keys."""
        if self._index is None:
            self._index = self._indexed()
        made, number, parents = self._index
        at = np.minimum(np.searchsorted(made, keys), max(len(made) - 1, 0))
        is_made = made[at] == keys if len(made) else np.zeros(len(keys), bool)
        found: list[tuple[str, NDArray[np.int64], Keys]] = []
        for key in keys[~is_made].tolist():
            found.append((self._names.get(key, "without a name"), np.zeros(1, np.int64), np.array([key], np.uint64)))
        mine, above, numbers = keys[is_made], parents[at[is_made]], number[at[is_made]]
        for parent in np.unique(above).tolist():
            here = np.flatnonzero(above == np.uint64(parent))
            here = here[np.argsort(numbers[here], kind="stable")]
            found.append((self._name(parent), numbers[here], mine[here]))
        return found

    def _name(self, key: int) -> str:
        """The name of a stream by its key: given, or that of the stream above it and its number there."""
        if key in self._names:
            return self._names[key]
        assert self._index is not None
        made, number, parents = self._index
        at = int(np.searchsorted(made, np.uint64(key)))
        if at == len(made) or int(made[at]) != key:
            return "without a name"
        return f"{self._name(int(parents[at]))}/{int(number[at])}"

    def _indexed(self) -> tuple[Keys, NDArray[np.int64], Keys]:
        none = np.zeros(0, np.uint64)
        made = np.concatenate([none, *(made for _, _, made in self._families)])
        numbers, parents = [np.zeros(0, np.int64)], [none]
        for above, counts, children in self._families:
            whole = np.broadcast_to(counts, above.shape) if len(counts) == 1 else counts
            firsts = np.cumsum(whole) - whole
            numbers.append(np.arange(len(children), dtype=np.int64) - np.repeat(firsts, whole))
            parents.append(np.repeat(above, whole))
        order = np.argsort(made, kind="stable")
        return made[order], np.concatenate(numbers)[order], np.concatenate(parents)[order]


def draw_differences(a: DrawBook, b: DrawBook) -> tuple[list[DrawDifference], int]:
    """Return what two runs of one seed drew differently, stream by stream, at most DIFFERENCES_MAX, and how many draws differ in all."""
    found: list[DrawDifference] = []
    streams_a, streams_b = a.streams, b.streams
    for name in dict.fromkeys([*streams_a, *streams_b]):
        mine, other = streams_a.get(name, np.zeros(0)), streams_b.get(name, np.zeros(0))
        shared = min(len(mine), len(other))
        differ = np.flatnonzero(mine[:shared] != other[:shared])
        count = len(differ) + abs(len(mine) - len(other))
        if count:
            first = int(differ[0]) if len(differ) else shared
            found.append(DrawDifference(name, "", first, _value(mine, first), _value(other, first), count))
    for purpose in dict.fromkeys([*a.purposes, *b.purposes]):
        found += _of_purpose(a, b, purpose)
    total = sum(each.draws for each in found)
    return found[:DIFFERENCES_MAX], total


def _value(values: NDArray[Any], at: int) -> float | None:
    return float(values[at]) if at < len(values) else None


def _of_purpose(a: DrawBook, b: DrawBook, purpose: str) -> list[DrawDifference]:
    if a.draws_like(b, purpose):
        return []
    keys_a, values_a = a.of(purpose)
    keys_b, values_b = b.of(purpose)
    both, in_a, in_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    other = ~np.equal(values_a[in_a], values_b[in_b])
    only_a, only_b = np.setdiff1d(keys_a, both, assume_unique=True), np.setdiff1d(keys_b, both, assume_unique=True)
    first: dict[str, DrawDifference] = {}
    for keys, book in ((both[other], a), (only_a, a), (only_b, b)):
        for stream, numbers, mine in book.groups(keys):
            index, key = int(numbers[0]), int(mine[0])
            before = first.get(stream)
            if before is not None and before.index < index:
                first[stream] = replace(before, draws=before.draws + len(mine))
                continue
            draws = len(mine) + (0 if before is None else before.draws)
            drawn_a, drawn_b = _drawn_for(keys_a, values_a, key), _drawn_for(keys_b, values_b, key)
            first[stream] = DrawDifference(stream, purpose, index, drawn_a, drawn_b, draws)
    return [first[name] for name in sorted(first, key=_natural)]


def _drawn_for(keys: Keys, values: NDArray[np.float64], key: int) -> float | None:
    at = int(np.searchsorted(keys, np.uint64(key)))
    return float(values[at]) if at < len(keys) and int(keys[at]) == key else None


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split("/")]
