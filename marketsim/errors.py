"""The errors a user can cause, worded for that user."""

from __future__ import annotations

from collections.abc import Iterable


class InputError(Exception):
    """Bad input: one or more lines, each `file:line:col: key: what is wrong, what would be accepted`.

    Commands print every line unwrapped on standard error and exit with status 2.
    """

    def __init__(self, lines: str | Iterable[str]) -> None:
        self.lines: tuple[str, ...] = (lines,) if isinstance(lines, str) else tuple(lines)
        super().__init__("\n".join(self.lines))


class InvariantError(Exception):
    """A broken invariant: a defect of marketsim, never of the input. Commands exit with status 3."""
