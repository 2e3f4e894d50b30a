"""Loaded by the fork server before anything else: a worker whose command ended while it was being started says nothing.

Such a worker finds its semaphores gone, or the pipe that it reads itself from closed, and Python would print a traceback behind the line of
the command that was interrupted. Where the command lives on, its pool notices and reports that a worker has ended.
"""

from __future__ import annotations

import sys
import traceback
from multiprocessing import spawn
from types import TracebackType

_USUAL = sys.excepthook


def is_orphans(kind: type[BaseException], trace: TracebackType | None) -> bool:
    """Return whether an exception is that of a worker which could not read itself from who started it."""
    frames = (frame.f_code for frame, _ in traceback.walk_tb(trace))
    return issubclass(kind, FileNotFoundError | EOFError | ConnectionError) and any(code is spawn._main.__code__ for code in frames)


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show what nobody has caught, but for an orphan's end."""
    if not is_orphans(kind, trace):
        _USUAL(kind, error, trace)


sys.excepthook = show
