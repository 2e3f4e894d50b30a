"""What Ctrl-C does to a command: it ends at once, or, where something has to be put away, as soon as that is done.

Python's own way raises KeyboardInterrupt wherever the program stands: in an import, whose traceback then is all that a user sees, in a
destructor, where it is lost, or in a library that takes it for another error.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

EXIT = 130
SAID = b"interrupted\n"
_LOST_SECONDS = 0.02


class _State:
    has_taken_over = False
    is_asked = False
    is_told = False


_STATE = _State()


def take_over() -> None:
    """Have Ctrl-C end this process at once, with one line and exit code 130, from now on. Where it is ignored (nohup) it stays so."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    signal.signal(signal.SIGINT, _leave)
    sys.unraisablehook = _raise_again
    _STATE.has_taken_over = True


def let_go() -> None:
    """Ignore Ctrl-C: all is done, and what the process found out shall stand."""
    if _STATE.has_taken_over:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def begin() -> None:
    """Forget that a command of this process has been interrupted: another begins."""
    _STATE.is_told = False


def tell(line: str = "interrupted") -> None:
    """Print the line of an interrupted command, once."""
    if not _STATE.is_told:
        _STATE.is_told = True
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def is_asked() -> bool:
    """Return whether Ctrl-C came while something had to be put away: whatever is raised since then comes of it."""
    return _STATE.is_asked


def is_real(error: BaseException) -> bool:
    """Return whether an exception is somebody's Ctrl-C, and not one that the code just called has raised by itself."""
    return isinstance(error, KeyboardInterrupt) and (_STATE.is_asked or not _STATE.has_taken_over)


class Unwinding:
    """As a context: Ctrl-C raises KeyboardInterrupt in here, so that files and processes are put away; a second one ends at once.

    Changes nothing in a process that was not taken over, and in threads.
    """

    def __enter__(self) -> None:
        self._is_on = signal.getsignal(signal.SIGINT) is _leave
        if self._is_on:
            signal.signal(signal.SIGINT, _unwind)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if not self._is_on:
            return
        signal.signal(signal.SIGINT, _leave)
        if _STATE.is_asked and kind is None:  # somebody has swallowed it
            raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None) -> None:
    try:
        os.write(2, SAID)
    finally:
        os._exit(EXIT)


def _unwind(number: int, frame: FrameType | None) -> None:
    if _STATE.is_asked:
        _leave(number, frame)
    _STATE.is_asked = True
    raise KeyboardInterrupt


def _raise_again(lost: Any) -> None:
    """Ask once more a little later where an interrupt came up in a destructor or a callback, from which nothing can be raised."""
    if not (_STATE.is_asked and isinstance(lost.exc_value, KeyboardInterrupt)):
        sys.__unraisablehook__(lost)
        return
    import threading

    _STATE.is_asked = False
    later = threading.Timer(_LOST_SECONDS, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    later.daemon = True
    later.start()
