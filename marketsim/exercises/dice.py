"""What an instance is drawn with: numbers that follow from a secret, an exercise and a learner, and from nothing else.

The key is HMAC-SHA256 of the secret. Only `Random.random` is used, whose numbers Python promises to keep for a given seed, so that
an instance is the same with other versions of the packages.
"""

from __future__ import annotations

import hmac
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, TypeVar

T = TypeVar("T")

PRACTICE: Final = b"practice"
"""The key of practice: anybody's, so its answers are nobody's secret."""


class Dice:
    """Draws of one instance, in the order in which they are asked for."""

    def __init__(self, key: bytes) -> None:
        self._random = random.Random(int.from_bytes(key, "big"))

    @classmethod
    def of(cls, secret: bytes | None, exercise: str, learner: str) -> Dice:
        """Return the draws of a learner's instance of an exercise; without a secret those of practice."""
        return cls(hmac.digest(PRACTICE if secret is None else secret, f"{exercise}\0{learner}".encode(), "sha256"))

    def below(self, count: int) -> int:
        """Return a whole number of 0 to `count` - 1, each as likely; `count` is far below 2**53."""
        return int(self._random.random() * count)

    def whole(self, low: int, high: int) -> int:
        """Return a whole number of `low` to `high`, both of them possible."""
        return low + self.below(high - low + 1)

    def decimal(self, low: str, high: str, step: str) -> Decimal:
        """Return low, low + step, … or high."""
        least, width = Decimal(low), Decimal(step)
        return least + width * self.below(int((Decimal(high) - least) / width) + 1)

    def share(self) -> float:
        """Return a number of [0, 1)."""
        return self._random.random()

    def pick(self, among: Sequence[T]) -> T:
        """Return one of a sequence, each as likely."""
        return among[self.below(len(among))]

    def sample(self, among: Sequence[T], count: int) -> list[T]:
        """Return `count` different ones of a sequence, in a drawn order."""
        left = list(among)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def shuffled(self, among: Sequence[T]) -> list[T]:
        """Return all of a sequence in a drawn order."""
        return self.sample(among, len(among))
