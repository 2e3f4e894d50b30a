"""What a check or an experiment found: the data that its command prints with --json, its words, and whether all is well."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any


class Finding:
    """What a command would have printed.

    `data` is what it prints with `--json` (numbers, texts, lists, mappings), `str()` its lines for people, `holds` whether it would have
    ended with exit code 0: all targets met, all checks passed, nothing different. `found` is the object of the library behind it,
    `folder` where a report was written, None where nobody asked for one.

    >>> import marketsim as ms
    >>> found = ms.validate("tiny")
    >>> found.holds, len(found.data)
    (True, 1)
    """

    def __init__(self, data: Any, lines: Sequence[str], *, holds: bool = True, found: Any = None, folder: Path | None = None) -> None:
        self.data = data
        self.holds = holds
        self.found = found
        self.folder = folder
        self._lines = tuple(lines)

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def __repr__(self) -> str:
        first = self._lines[0] if self._lines else ""
        return f"<Finding, {'holds' if self.holds else 'does not hold'}: {first}>"

    def _repr_html_(self) -> str:
        """The lines, for notebooks."""
        return f"<pre>{escape(str(self))}</pre>"
