"""Named random streams: a seed and a name give a generator, whatever else a scenario holds."""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class LawLike(Protocol):
    """A distribution as plain numbers (see `marketsim.scenario.distributions.Law`)."""

    @property
    def family(self) -> str:
        """The kind of distribution."""

    @property
    def a(self) -> float:
        """The first parameter."""

    @property
    def b(self) -> float:
        """The second parameter."""

    @property
    def values(self) -> tuple[Any, ...]:
        """What a choice is among."""

    @property
    def weights(self) -> tuple[float, ...]:
        """Their shares, adding to 1."""

    @property
    def low(self) -> float:
        """No draw is below this."""

    @property
    def high(self) -> float:
        """No draw is above this."""

    @property
    def unit(self) -> str:
        """ "ms" or "blocks" for durations, else ""."""

    @property
    def whole(self) -> bool:
        """Whether draws are whole numbers."""


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the counter-based generator of a name: Philox keyed by SHA-256 of seed and name.

    Two names never share a draw, so a new provider moves no tenant's demand and policies are compared on the
    same market.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def draw(law: LawLike, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Return `size` draws as float64, clamped to the law's bounds, in the law's unit."""
    if law.family == "choice":
        numbers = np.asarray([float(value) for value in law.values])
        out = numbers[draw_index(law, rng, size)]
    elif law.family == "uniform":
        out = rng.random(size)
        out = np.floor(law.a + out * (law.b - law.a + 1)) if law.whole else law.a + out * (law.b - law.a)
    elif law.family == "lognormal":
        out = law.a * np.exp(law.b * rng.standard_normal(size))
    elif law.family == "exponential":
        out = law.a * rng.standard_exponential(size)
    elif law.family == "normal":
        out = law.a + law.b * rng.standard_normal(size)
    else:
        out = np.full(size, float(law.a))
    clamped: NDArray[np.float64] = np.clip(out, law.low, law.high)
    return clamped


def draw_index(law: LawLike, rng: np.random.Generator, size: int) -> NDArray[np.int64]:
    """Return `size` indices into the values of a choice, by its weights; a constant gives index 0."""
    if len(law.values) <= 1:
        return np.zeros(size, np.int64)
    edges = np.cumsum(np.asarray(law.weights))
    return np.searchsorted(edges / edges[-1], rng.random(size), side="right").astype(np.int64)


def quantile(law: LawLike, share: float) -> float:
    """Return the quantile of a law at 0 < share < 1, clamped to its bounds."""
    if law.family == "choice":
        total = 0.0
        pairs = sorted(zip((float(value) for value in law.values), law.weights, strict=True))
        out = pairs[-1][0]
        for value, weight in pairs:
            total += weight
            if share <= total:
                out = value
                break
    elif law.family == "uniform":
        out = law.a + share * (law.b - law.a)
    elif law.family == "lognormal":
        out = law.a * math.exp(law.b * NormalDist().inv_cdf(share))
    elif law.family == "exponential":
        out = -law.a * math.log1p(-share)
    elif law.family == "normal":
        out = law.a + law.b * NormalDist().inv_cdf(share)
    else:
        out = law.a
    return min(max(out, law.low), law.high)


def to_blocks(values: NDArray[np.float64], unit: str, block_ms: int) -> NDArray[np.int64]:
    """Return durations drawn in milliseconds or blocks as whole blocks, rounded to the nearest."""
    blocks = values if unit == "blocks" else values / block_ms
    return np.rint(np.minimum(blocks, 1e15)).astype(np.int64)
