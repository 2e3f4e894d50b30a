"""Keeps where the content of a loaded scenario stands in its files, for what only a run can find wrong in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from marketsim.scenario.problems import located
from marketsim.scenario.yaml_source import KeyPath, Problem, Source


class Places:
    """The source of one scenario. All are equal: where a scenario stands is no part of what it says."""

    def __init__(self, source: Source, roots: Mapping[KeyPath, str], rebuilt: Callable[[Mapping[str, Any]], Any]) -> None:
        self._source = source
        self._roots = roots
        self.rebuilt = rebuilt
        """Makes the scenario anew from its source with other values at some dotted paths."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Places)

    def __hash__(self) -> int:
        return 0

    @property
    def written(self) -> dict[str, Any]:
        """The scenario as it was written, without defaults, other files inlined."""
        data: dict[str, Any] = copy.deepcopy(self._source.data)
        return data

    @property
    def notes(self) -> list[str]:
        """Located lines of what is no error and worth saying."""
        return located(self._source, self._source.notes, self._roots) if self._source.notes else []

    def lines(self, path: KeyPath, problem: str) -> list[str]:
        """Return the located line of a problem at `path`.

        Items of lists may be named by index or by their `name`. A last part that is not there, as when a
        message names a value by its key alone, is looked for below the rest: first with a value that the problem quotes.
        """
        return located(self._source, [Problem(self._found(path, problem), problem)], self._roots)

    def _found(self, path: KeyPath, problem: str) -> KeyPath:
        data: Any = self._source.data
        found: list[str | int] = []
        for number, key in enumerate(path):
            if isinstance(data, list) and isinstance(key, str):
                named = [i for i, item in enumerate(data) if isinstance(item, dict) and str(item.get("name")) == key]
                key = named[0] if named else int(key) if key.isdigit() else key
            inside = key in data if isinstance(data, dict) else isinstance(key, int) and isinstance(data, list) and key < len(data)
            if not inside:
                rest = path[number:]
                deep = [(below, value) for below, value in _walk(data) if below[-len(rest) :] == rest]
                quoted = [below for below, value in deep if repr(value) in problem or repr(str(value)) in problem]
                best = quoted or [below for below, _ in deep]
                return (*found, *(best[0] if best else rest))
            data = data[key]
            found.append(key)
        return tuple(found)


def _walk(data: Any, above: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every path below `data` with its value, the nearest first."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    pairs = [((*above, key), value) for key, value in inner]
    yield from pairs
    for path, value in pairs:
        yield from _walk(value, path)
