"""What users' code raises and answers, as the line of an error."""

from __future__ import annotations

import reprlib

from marketsim import interrupts
from marketsim.errors import StopRunError

LETTERS_MAX = 200
"""The longest text of a user's code that an error shows."""

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = LETTERS_MAX


def passes(error: BaseException) -> bool:
    """Return whether what was raised while users' code ran is not theirs: Ctrl-C, or the end of a run's time. All else is, also
    SystemExit, GeneratorExit and a KeyboardInterrupt of their own, which would end a command as if all were well."""
    return isinstance(error, StopRunError) or interrupts.is_real(error)


def raised(error: BaseException) -> str:
    """Return an exception in short: `ValueError: no such region`."""
    try:
        text = str(error)
    except BaseException as another:  # a class of the user's own
        if passes(another):
            raise
        text = ""
    return f"{type(error).__name__}: {shortened(text)}" if text else type(error).__name__


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
