"""Plays scenarios as plain Python and prints every place of compiled code that reads or writes a row or column below zero.

    MARKETSIM_COMPILE=0 python tests/support/watch_rows.py SCENARIO…

Compiled code indexes without Python's meaning of negative numbers (marketsim.kernel.compiler), so there must be none.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from marketsim.chain.state import State
from marketsim.kernel.rows import Schema
from marketsim.market.tables import Engine
from marketsim.scenario.load import load_scenario
from marketsim.simulation.run import run

COMPILED = tuple(str(Path(sys.modules[State.__module__].__file__ or "").parents[1] / layer) for layer in ("money", "chain", "market"))


def is_below_zero(index: Any) -> bool:
    """Whether an index, or one of a tuple, is a negative number."""
    if isinstance(index, tuple):
        return any(is_below_zero(part) for part in index)
    return isinstance(index, int | np.integer) and int(index) < 0


class Watched(np.ndarray):  # type: ignore[type-arg]
    """An array that notes who indexes it below zero; rows of it are watched too."""

    places: ClassVar[set[str]] = set()
    looks = 0

    def _look(self, index: Any) -> None:
        Watched.looks += 1
        if is_below_zero(index):
            frame = sys._getframe(2)
            Watched.places.add(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} in {frame.f_code.co_name}")

    def __getitem__(self, index: Any) -> Any:
        self._look(index)
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._look(index)
        super().__setitem__(index, value)


@cache
def watched(kind: type[Any]) -> type[Any]:
    """The watched class of arrays of a class: rows keep their names."""
    return Schema(f"Watched{kind.__name__}", (Watched, kind), {}) if isinstance(kind, Schema) else Watched


def watch(kind: type[Any]) -> None:
    """Hand the tables of a set to compiled code as watched ones, to everybody else as they are."""
    for at, name in enumerate(kind._fields):

        def table(tables: Any, at: int = at) -> Any:
            found = tuple.__getitem__(tables, at)
            return found.view(watched(type(found))) if sys._getframe(1).f_code.co_filename.startswith(COMPILED) else found

        setattr(kind, name, property(table))


def main() -> None:
    """Play the scenarios named on the command line."""
    watch(State)
    watch(Engine)
    for name in sys.argv[1:]:
        path, _, overrides = name.partition("?")
        run(load_scenario(Path(path), overrides.split("&") if overrides else []))
    print(f"{Watched.looks} looks")
    print("\n".join(sorted(Watched.places)))


if __name__ == "__main__":
    main()
