"""What a scenario comes to, as plain data that is made when somebody reads it: most records of a sweep are asked for its name alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marketsim.scenario.model import Scenario


class Effective(Mapping[str, Any]):
    """What `Scenario.effective` returns, made when more than the name is read. It equals that dict and is pickled and copied as one;
    whoever writes it as JSON makes one of it."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._all: dict[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        """Return the value of a key at the top; raises KeyError for one that scenarios have not."""
        if key == "name":
            return self._scenario.name
        return self._everything()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._everything())

    def __len__(self) -> int:
        return len(self._everything())

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        """Return a dict of this and more."""
        return self._everything() | dict(other)

    def __repr__(self) -> str:
        return repr(self._everything())

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self._everything(),)

    def _everything(self) -> dict[str, Any]:
        if self._all is None:
            self._all = self._scenario.effective()
        return self._all


__all__ = ["Effective"]
