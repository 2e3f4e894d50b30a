"""What a devnet refuses, in process and over HTTP."""

from __future__ import annotations

from collections.abc import Iterable

from marketsim.errors import InputError


class NodeError(InputError):
    """What a devnet does not do, and why; `code` is the status that HTTP answers with."""

    def __init__(self, lines: str | Iterable[str], code: int = 400) -> None:
        super().__init__(lines)
        self.code = code


__all__ = ["NodeError"]
