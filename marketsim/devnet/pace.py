"""How far a devnet should be by now: a height for each moment, by speed, without drift."""

from __future__ import annotations

import math


class Pace:
    """The height that is due: where it began, plus the blocks of the time since then. Moments are seconds that never go back."""

    def __init__(self, block_seconds: float) -> None:
        self._block_seconds = block_seconds
        self._base = 0
        self._since = 0.0
        self._speed = 0.0

    def begin(self, height: int, now: float, speed: float) -> None:
        """Count anew from a height: the speed has changed, or the devnet rested or was moved; 0 stands still."""
        self._base, self._since, self._speed = height, now, speed

    def due(self, now: float) -> int:
        """Return the height that is due at a moment."""
        return self._base + math.floor((now - self._since) * self._speed / self._block_seconds)

    def next_at(self, now: float) -> float | None:
        """Return the moment at which the next block is due, None where none ever is."""
        if self._speed <= 0:
            return None
        return self._since + (self.due(now) - self._base + 1) * self._block_seconds / self._speed


__all__ = ["Pace"]
