"""Named random draws: a seed and a name give a generator or a key, a key and a purpose give a draw, whatever else a scenario holds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
"""One 63-bit identity for each thing that draws: an order, a provider."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)


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


class Draws(Protocol):
    """Told of everything that is drawn while it listens (`listening`); what it is given it must not change."""

    def stream(self, name: str, made: np.random.Generator) -> np.random.Generator:
        """A generator was made; the one returned is used in its place, and must draw the same."""

    def named(self, name: str, key: int) -> None:
        """A key was made of a name."""

    def keys(self, parents: Keys, counts: NDArray[np.int64], made: Keys) -> None:
        """Keys were made from each of some, so many side by side."""

    def drawn(self, purpose: str, keys: Keys, values: NDArray[Any]) -> None:
        """A value was drawn for each key and a purpose: by a law, or as it is between 0 and 1."""


_LISTENER: ContextVar[Draws | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Draws) -> Iterator[None]:
    """Have a listener told of every draw of this thread, which changes none of them."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the counter-based generator of a name: Philox keyed by SHA-256 of seed and name.

    Two names never share a draw, so a new provider moves no tenant's demand and policies are compared on the
    same market.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    made = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    listener = _LISTENER.get()
    return made if listener is None else listener.stream(name, made)


def key_of(seed: int, name: str) -> int:
    """Return the key of a name: 63 bits of SHA-256 of seed and name."""
    key = int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little") >> 1
    listener = _LISTENER.get()
    if listener is not None:
        listener.named(name, key)
    return key


def keys_from(key: int | Keys, count: int | NDArray[np.int64]) -> Keys:
    """Return `count` keys from each of `key` on, uint64 below 2^63, side by side: each a hash of its key and its number there.

    A longer sequence begins with the shorter one.
    """
    counts = np.atleast_1d(np.asarray(count, np.int64))
    first = np.cumsum(counts) - counts
    number = np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(first, counts)
    start = np.repeat(np.atleast_1d(np.asarray(key)).astype(np.uint64), counts)
    made: Keys = _mixed(start + (number + 1).astype(np.uint64) * _GOLDEN) >> np.uint64(1)
    listener = _LISTENER.get()
    if listener is not None:
        listener.keys(np.atleast_1d(np.asarray(key)).astype(np.uint64), counts, made)
    return made


def uniform(keys: Keys, purpose: str) -> NDArray[np.float64]:
    """Return a draw of 0 < u < 1 for each key and a purpose: a hash of both, whatever else is drawn and beside whom."""
    bits = _mixed(keys + _salt(purpose)) >> np.uint64(12)
    return _told(purpose, keys, (bits.astype(np.float64) + 0.5) * 2.0**-52)


def _told(purpose: str, keys: Keys, values: NDArray[Any]) -> NDArray[Any]:
    listener = _LISTENER.get()
    if listener is not None:
        listener.drawn(purpose, keys, values)
    return values


def _mixed(z: Keys) -> Keys:
    """The finalizer of splitmix64, in place on what is its caller's own."""
    z ^= z >> np.uint64(30)
    z *= _MIX_A
    z ^= z >> np.uint64(27)
    z *= _MIX_B
    z ^= z >> np.uint64(31)
    return z


@cache
def _salt(purpose: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little"))


def exponential(keys: Keys, purpose: str) -> NDArray[np.float64]:
    """Return an exponential draw of mean 1 for each key and a purpose."""
    return np.asarray(-np.log(uniform(keys, purpose)))


def normal(keys: Keys, purpose: str) -> NDArray[np.float64]:
    """Return a standard normal draw for each key and a purpose (Box and Muller)."""
    return np.asarray(np.sqrt(2 * exponential(keys, purpose)) * np.cos(2 * math.pi * uniform(keys, purpose + "/angle")))


def draw(law: LawLike, keys: Keys, purpose: str) -> NDArray[np.float64]:
    """Return a draw of a law for each key and a purpose, float64, clamped to the law's bounds, in the law's unit."""
    if law.family == "choice":
        numbers = np.asarray([float(value) for value in law.values])
        out = numbers[draw_index(law, keys, purpose)]
    elif law.family == "uniform":
        out = uniform(keys, purpose)
        out = np.floor(law.a + out * (law.b - law.a + 1)) if law.whole else law.a + out * (law.b - law.a)
    elif law.family == "lognormal":
        out = law.a * np.exp(law.b * normal(keys, purpose))
    elif law.family == "exponential":
        out = law.a * exponential(keys, purpose)
    elif law.family == "normal":
        out = law.a + law.b * normal(keys, purpose)
    else:
        return _told(purpose, keys, np.full(len(keys), min(max(float(law.a), law.low), law.high)))
    return _told(purpose, keys, np.clip(out, law.low, law.high))


def draw_index(law: LawLike, keys: Keys, purpose: str) -> NDArray[np.int64]:
    """Return for each key an index into the values of a choice, by its weights; a constant gives index 0."""
    if len(law.values) <= 1:
        return np.zeros(len(keys), np.int64)
    edges = np.cumsum(np.asarray(law.weights))
    return _told(purpose, keys, np.searchsorted(edges / edges[-1], uniform(keys, purpose), side="right").astype(np.int64))


@lru_cache(maxsize=256)
def quantiles(law: LawLike, count: int) -> NDArray[np.float64]:
    """Return the quantiles of a law of numbers at the middles of `count` equal shares, ascending, clamped to its bounds; nobody may write
    into them."""
    shares = (np.arange(count) + 0.5) / count
    if law.family == "choice":
        order = np.argsort(np.asarray([float(value) for value in law.values]), kind="stable")
        edges = np.cumsum(np.asarray(law.weights)[order])
        out = np.asarray([float(value) for value in law.values])[order][np.searchsorted(edges / edges[-1], shares)]
    elif law.family == "uniform":
        out = law.a + shares * (law.b - law.a)
    elif law.family == "lognormal":
        out = law.a * np.exp(law.b * _normal_quantiles(count))
    elif law.family == "exponential":
        out = -law.a * np.log1p(-shares)
    elif law.family == "normal":
        out = law.a + law.b * _normal_quantiles(count)
    else:
        out = np.full(count, float(law.a))
    clamped: NDArray[np.float64] = np.clip(out, law.low, law.high)
    clamped.flags.writeable = False
    return clamped


@cache
def _normal_quantiles(count: int) -> NDArray[np.float64]:
    inverse = NormalDist().inv_cdf
    return np.asarray([inverse((at + 0.5) / count) for at in range(count)])


def to_blocks(values: NDArray[np.float64], unit: str, block_ms: int) -> NDArray[np.int64]:
    """Return durations drawn in milliseconds or blocks as whole blocks, rounded to the nearest."""
    blocks = values if unit == "blocks" else values / block_ms
    return np.rint(np.minimum(blocks, 1e15)).astype(np.int64)
