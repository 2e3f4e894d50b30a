"""Ends users' code that works on without giving up control: an exception in its own thread, after so many seconds."""

from __future__ import annotations

import ctypes
import threading
import time

STEP_SECONDS = 60.0
"""How long an agent may work between two yields, on the clock on the wall."""
LOOK_SECONDS = 0.1


class StuckError(BaseException):
    """An agent has worked for longer than it may without a yield."""


class Watchdog:
    """Watches the thread that it was made in: `begin` and `end` stand around each step of users' code."""

    def __init__(self, seconds: float | None = None) -> None:
        self.seconds = STEP_SECONDS if seconds is None else seconds
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._since: float | None = None
        self._watcher: threading.Thread | None = None
        self._is_over = False

    def begin(self) -> None:
        """A step begins."""
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, daemon=True, name="marketsim-agents")
            self._watcher.start()
        self._since = time.monotonic()

    def end(self) -> None:
        """The step has ended; raises StuckError where that was too late."""
        with self._lock:
            self._since = None

    def close(self) -> None:
        """No step follows."""
        self._is_over = True

    def _watch(self) -> None:
        while not self._is_over:
            time.sleep(LOOK_SECONDS)
            with self._lock:
                since = self._since
                if since is not None and time.monotonic() - since > self.seconds:
                    self._since = None
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(StuckError))
