"""What users' code raises and answers, as the line of an error."""

from __future__ import annotations

import reprlib
import sysconfig
import traceback
from pathlib import Path

from marketsim import interrupts
from marketsim.errors import StopRunError

LETTERS_MAX = 200
"""The longest text of a user's code that an error shows."""

_OURS = str(Path(__file__).resolve().parents[1])
_INSTALLED = tuple(sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = LETTERS_MAX


def passes(error: BaseException) -> bool:
    """Return whether what was raised while users' code ran is not theirs: Ctrl-C, or the end of a run's time. All else is, also
    SystemExit, GeneratorExit and a KeyboardInterrupt of their own, which would end a command as if all were well."""
    return isinstance(error, StopRunError) or interrupts.is_real(error)


def is_installed(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package, not to a user's folder."""
    return file.startswith(_INSTALLED)


def raised(error: BaseException) -> str:
    """Return an exception in short, with where the user's code raised it: `ValueError: no such region (my_prices.py:12)`."""
    try:
        text = str(error)
    except BaseException as another:  # a class of the user's own
        if passes(another):
            raise
        text = ""
    said = f"{type(error).__name__}: {shortened(text)}" if text else type(error).__name__
    place = place_of(error)
    return f"{said} ({place})" if place else said


def place_of(error: BaseException) -> str:
    """Return file and line of the innermost step of the user's own code that an exception passed, empty where it passed none."""
    own, other = "", ""
    for frame in traceback.walk_tb(error.__traceback__):
        file, line = frame[0].f_code.co_filename, frame[1]
        if file.startswith(_OURS):
            continue
        other = f"{file}:{line}"
        if not is_installed(file) and not file.startswith("<"):
            own = other
    return own or other


def answered(value: object) -> str:
    """Return a value in short: `'cheap' of type str`."""
    try:
        text = shortened(_REPR.repr(value))
    except BaseException as error:  # a class of the user's own, or a number of more digits than Python writes
        if passes(error):
            raise
        text = "something"
    return f"{text} of type {type(value).__name__}"


def shortened(text: str) -> str:
    """Return a text of at most 200 letters, the rest as `…`."""
    return text if len(text) <= LETTERS_MAX else f"{text[: LETTERS_MAX - 1]}…"
