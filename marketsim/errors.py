"""The errors a user can cause, worded for that user."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from typing import TextIO


class InputError(Exception):
    """Bad input: one or more lines, each `file:line:col: key: what is wrong, what would be accepted`.

    Commands print every line unwrapped on standard error and exit with status 2.

    >>> import marketsim as ms
    >>> try:
    ...     ms.load_scenario("tiny", {"take": 2})
    ... except ms.InputError as error:
    ...     print(len(error.lines))
    1
    """

    def __init__(self, lines: str | Iterable[str]) -> None:
        self.lines: tuple[str, ...] = (lines,) if isinstance(lines, str) else tuple(lines)
        super().__init__("\n".join(self.lines))


class LackingError(InputError):
    """What the machine lacks for what is asked: a program that is not installed, worded with the package that has it."""


class InvariantError(Exception):
    """A broken invariant: a defect of marketsim, never of the input. Commands exit with status 3.

    >>> import marketsim as ms
    >>> issubclass(ms.InvariantError, Exception)
    True
    """


class StopRunError(BaseException):
    """Raised in a run from outside, to end it; no `except Exception` and no caller of users' code may take it for its own."""


class PlainWarning(UserWarning):
    """Something that a user should know and that stops nothing. Commands print it as one line on standard error."""


def show_warnings_plainly() -> None:
    """Have the warnings of marketsim printed as one line without the place in the code, in this process."""
    show = warnings.showwarning

    def plainly(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
    ) -> None:
        if issubclass(category, PlainWarning):
            print(message, file=file or sys.stderr, flush=True)
        else:
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = plainly
