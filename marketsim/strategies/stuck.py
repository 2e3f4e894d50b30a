"""Ends users' code that works on without giving up control: an exception in its own thread, after so many seconds.

One thread watches everybody of the process. It sees to Python code; what is within a call of another language is ended when that returns.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref

STEP_SECONDS = 60.0
"""How long users' code may work in one step, on the clock on the wall."""
LOOK_SECONDS = 0.1


class StuckError(BaseException):
    """Users' code has worked for longer than it may in one step."""


class Watchdog:
    """Stands around users' code: `begin` before each step, `end` after the last of several."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = STEP_SECONDS if seconds is None else seconds
        self._thread = 0
        self._lock = threading.Lock()
        self._since: float | None = None
        _WATCHED.add(self)

    def begin(self) -> None:
        """A step begins, in this thread."""
        if not _watchers:
            _begin_watching()
        self._thread = threading.get_ident()
        self._since = time.monotonic()

    def end(self) -> None:
        """The step has ended; raises StuckError where that was too late."""
        with self._lock:
            self._since = None

    def look(self) -> None:
        """End a step that takes too long."""
        with self._lock:
            since = self._since
            if since is not None and time.monotonic() - since > self.seconds:
                self._since = None
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(StuckError))


_WATCHED: weakref.WeakSet[Watchdog] = weakref.WeakSet()
_STARTING = threading.Lock()
_watchers: list[threading.Thread] = []


def _begin_watching() -> None:
    with _STARTING:
        if not _watchers:
            _watchers.append(threading.Thread(target=_watch, daemon=True, name="marketsim-watchdog"))
            _watchers[0].start()


if hasattr(os, "register_at_fork"):  # a process that was forked of one that watched has no such thread
    os.register_at_fork(after_in_child=_watchers.clear)


def _watch() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        for one in list(_WATCHED):
            one.look()
