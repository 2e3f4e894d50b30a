"""Users' own faults: a function or a class that says, when its time comes, which messages go into the market."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from marketsim.errors import InputError
from marketsim.simulation.views import View
from marketsim.strategies import users_code
from marketsim.strategies.check import named_object
from marketsim.strategies.find import FAULT
from marketsim.strategies.stuck import StuckError, Watchdog

MESSAGES_MAX = 100_000
"""The most messages of a user's fault at a time."""


@dataclass(frozen=True)
class FaultScene:
    """What a user's fault sees when it begins or ends; it goes by before the block `height` is executed, at `at_ms` from the start.

    `providers` and `tenants` are the names of those that the scenario's selectors chose; `options` is what stands under `options:`, texts
    that are numbers as numbers. `rng` is a stream named by the fault: draws from it depend on the seed and that name alone. `view` is what
    the chain shows after the block before; it is not to be kept.
    """

    name: str
    height: int
    at_ms: int
    providers: tuple[str, ...]
    tenants: tuple[str, ...]
    options: Mapping[str, Any]
    rng: np.random.Generator
    view: View = field(repr=False)


@runtime_checkable
class MarketFault(Protocol):
    """A fault of a user's own.

    It is named in a scenario by `kind: python`, `python: module:Class`, or by the name of an entry point of the group `marketsim.faults`,
    and built without arguments. A plain function of one scene is one, too: it is `begin`, and ends without a word. What is returned are
    messages as in `messages:` (docs/messages.md), to the chain or to the market (`fault`, `repair`, `configure`, `faucet`), without a
    height: they are executed in the block in their order, each signed by who must sign it, and have receipts. A generator does.
    """

    def begin(self, scene: FaultScene) -> Iterable[Mapping[str, Any]]:
        """Return the messages with which it begins."""
        ...

    def end(self, scene: FaultScene) -> Iterable[Mapping[str, Any]]:
        """Return the messages with which it ends, at `until:`, after `lasts:`, or when somebody mends it."""
        ...


class UsersFault:
    """A user's fault of one run: its object, made once, and what it is called in errors."""

    def __init__(self, spec: str, search: Sequence[Path], where: str) -> None:
        """Find it. Raises InputError at `where` for what is none."""
        self._label = f"{where}: {spec}"
        found = named_object(spec, search, where, FAULT)
        if isinstance(found, type):
            found = self._guarded(found)
        self._begin = getattr(found, "begin", found)
        self._end = getattr(found, "end", None)
        if not callable(self._begin):
            raise InputError(f"{self._label} is no fault, write `def begin(self, scene):` in a class, or a function of one scene")

    def messages(self, scene: FaultScene, begins: bool) -> list[dict[str, Any]]:
        """Return the messages of its begin or end; raises InputError with file and line where its code fails or answers no messages."""
        asked = self._begin if begins else self._end
        if asked is None:
            return []
        found: list[dict[str, Any]] = []
        answer = self._guarded(asked, scene)
        if answer is None or isinstance(answer, (str, bytes, Mapping)) or not isinstance(answer, Iterable):
            raise InputError(f"{self._label} gives {users_code.answered(answer)}, expected a list of messages, or to yield them")
        steps = self._guarded(iter, answer)
        nothing = object()
        while (message := self._guarded(next, steps, nothing)) is not nothing:
            if not isinstance(message, Mapping):
                raise InputError(f"{self._label} gives {users_code.answered(message)}, expected messages such as {{'op': 'repair', …}}")
            if "height" in message:
                raise InputError(f"{self._label} gives a message with a height, expected one without: it goes into block {scene.height}")
            if len(found) == MESSAGES_MAX:
                raise InputError(f"{self._label} gives more than {MESSAGES_MAX:,} messages at once, expected fewer")
            found.append(dict(message))
        return found

    def wrong(self, message: Mapping[str, Any], problem: str) -> InputError:
        """Return the error of a message that is none."""
        return InputError(f"{self._label}: {message.get('op')}: {problem}")

    def _guarded(self, function: Any, *arguments: Any) -> Any:
        watchdog = Watchdog()
        try:
            try:
                watchdog.begin()
                return function(*arguments)
            finally:
                watchdog.end()
        except StuckError as error:
            place = users_code.place_of(error)
            raise InputError(f"{self._label} has worked for {watchdog.seconds:g} s ({place}), expected messages sooner") from None
        except BaseException as error:
            if users_code.passes(error):
                raise
            raise InputError(f"{self._label} raises {users_code.raised(error)}, expected messages") from error


__all__ = ["FaultScene", "MarketFault", "UsersFault"]
