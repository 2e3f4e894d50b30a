"""Tells in a notebook or on a terminal how far long work is; nothing where nobody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

Told = Callable[[int, int], None]
"""Called with (done, in all)."""
Telling = Told | bool | None
"""How a function tells its progress: a callable of one's own, False for nothing, True for always, None where somebody looks."""

FIRST_SECONDS, EVERY_SECONDS = 0.5, 0.2
"""Seconds until work counts as long, and between two changes of what is shown."""
_NOTEBOOK = "ZMQInteractiveShell"


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    return type(found).__name__ == _NOTEBOOK


@contextmanager
def told(label: str, unit: str, progress: Telling) -> Iterator[Told | None]:
    """Yield what long work calls with (done, in all), None where nobody wants to know."""
    if callable(progress):
        yield progress
        return
    where = _where(progress)
    if where is None:
        yield None
        return
    shown = _Shown(label, unit, where)
    try:
        yield shown
    finally:
        shown.close()


def _where(progress: bool | None) -> Literal["notebook", "terminal"] | None:
    if progress is False:
        return None
    if is_notebook():
        return "notebook"
    return "terminal" if progress or sys.stderr.isatty() else None


class _Shown:
    """One line that says how far something is, shown when it takes long and taken away at the end."""

    def __init__(self, label: str, unit: str, where: Literal["notebook", "terminal"]) -> None:
        self._label, self._unit, self._where = label, unit, where
        self._began = self._first = time.monotonic()
        self._said = self._began + FIRST_SECONDS - EVERY_SECONDS
        self._handle: Any = None
        self._from: int | None = None

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._from is None:  # what came before may have been compiling
            self._from, self._first = done, now
        if now - self._said < EVERY_SECONDS:
            return
        self._said = now
        seconds, made = now - self._first, done - self._from
        left = f", {_span(seconds / made * (total - done))} left" if made > 0 and done < total else ""
        self._show(done, total, f"{done:,} of {total:,} {self._unit}{left}")

    def _show(self, done: int, total: int, words: str) -> None:
        if self._where == "terminal":
            self._handle = True
            sys.stderr.write(f"\r\x1b[K{self._label}: {words}")
            sys.stderr.flush()
            return
        from html import escape

        from IPython.display import HTML, display

        bar = f'<progress max="{max(total, 1)}" value="{done}" style="width:18em"></progress>'
        html = HTML(f"<div>{escape(self._label)} {bar} {escape(words)}</div>")
        if self._handle is None:
            self._handle = display(html, display_id=True)
        else:
            self._handle.update(html)

    def close(self) -> None:
        """Take the line away."""
        if self._handle is None:
            return
        if self._where == "terminal":
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            return
        from html import escape

        from IPython.display import HTML

        self._handle.update(HTML(f"<div>{escape(self._label)}: {_span(time.monotonic() - self._began)}</div>"))


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
