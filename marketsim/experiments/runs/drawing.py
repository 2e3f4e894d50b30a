"""Draws the figures of a report in several processes of this machine; the images are those that one process draws.

A report's images are drawn one like the other in a tenth of a second each, and by then the processes that made the runs have nothing to do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from marketsim.experiments.runs.execute import Runner, worker_pool
from marketsim.experiments.runs.loading import much_code
from marketsim.export.images import FigureLook, copies_made, keep_copies, looking, present_look

_LOADING: Final = 45
"""How long it takes `drawers` to be ready, in hundredths of a second."""


class DrawingPart(NamedTuple):
    """A piece of a report's drawing: hundredths of a second that it takes, about, and what draws it (picklable for others to draw it)."""

    length: int
    draw: Callable[[], Any]


class _Drawers(NamedTuple):
    """Processes that draw beside this one."""

    pool: Any
    number: int


_DRAWERS: ContextVar[_Drawers | None] = ContextVar("drawers", default=None)


@contextlib.contextmanager
def drawers(runner: Runner, count: int) -> Iterator[None]:
    """Within this context a `Drawing` shares its work with `count` processes forked beside this one, from where those of a runner are.

    They load what drawing needs at once, while this process does something else. A look that is a function of the user's stays in this
    process, which then draws alone.
    """
    if count < 1 or callable(present_look().style):
        yield
        return
    with worker_pool(runner, count) as pool:
        for _ in range(count):
            pool.schedule(load_drawing)
        token = _DRAWERS.set(_Drawers(pool, count))
        try:
            yield
        finally:
            _DRAWERS.reset(token)


def load_drawing() -> None:
    """Load the libraries that draw."""
    with much_code():
        import matplotlib.backends.backend_agg
        import matplotlib.figure
        import matplotlib.layout_engine  # noqa: F401


class Drawing:
    """Parts that are being drawn: the `drawers` of this context begin with their shares at once, this process draws its own at the end.

    `busy` is how many hundredths of a second this process has other things to do.
    """

    def __init__(self, parts: Sequence[DrawingPart], busy: int = 0) -> None:
        beside = _DRAWERS.get()
        self._parts = parts
        self._shares = shared_out([part.length for part in parts], [busy] + [_LOADING] * (beside.number if beside else 0))
        self._asked = [beside.pool.schedule(_draw, args=(present_look(), self._of(share))) for share in self._shares[1:]] if beside else []

    def finish(self) -> list[Any]:
        """Return what each part draws, in order."""
        found = {k: self._parts[k].draw() for k in self._shares[0]}
        for share, future in zip(self._shares[1:], self._asked, strict=True):
            try:
                images, copies = future.result()
            except _lost():
                images, copies = [draw() for draw in self._of(share)], {}
            keep_copies(copies)
            found |= dict(zip(share, images, strict=True))
        return [found[k] for k in range(len(self._parts))]

    def _of(self, share: Sequence[int]) -> list[Callable[[], Any]]:
        return [self._parts[k].draw for k in share]


def shared_out(lengths: Sequence[int], begun: Sequence[int]) -> list[list[int]]:
    """Return the positions of parts in each share: the longest part first, each to the share that is shortest, the first of equal ones.

    `begun` is how long each share is without any part.
    """
    found: list[list[int]] = [[] for _ in begun]
    loads = list(begun)
    for k in sorted(range(len(lengths)), key=lambda k: -lengths[k]):
        least = loads.index(min(loads))
        found[least].append(k)
        loads[least] += lengths[k]
    return found


def _draw(look: FigureLook, parts: Sequence[Callable[[], Any]]) -> tuple[list[Any], dict[bytes, dict[str, bytes]]]:
    with looking(look):
        return [draw() for draw in parts], copies_made()


def _lost() -> tuple[type[Exception], ...]:
    """What a process that died raises where it is waited for: its share is then drawn here."""
    from concurrent.futures.process import BrokenProcessPool

    from pebble import ProcessExpired

    return ProcessExpired, BrokenProcessPool
