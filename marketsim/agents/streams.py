"""Named random draws: a seed and a name give a generator or a key, a key and a purpose give a draw, whatever else a scenario holds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from statistics import NormalDist
from typing import Any, Protocol

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from marketsim.kernel.table_set import Table
from marketsim.market.draws import keys_of, put_uniform

Keys = NDArray[np.uint64]
"""One 63-bit identity for each thing that draws: an order, a provider."""


KEYS_KEPT = 1 << 14
"""Keys of names that are kept: runs of one process that differ in anything but their seed have most of them in common."""


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


class _Digest(ISeedSequence):
    """Seeds a generator with a digest as it is, and with nothing of the system's."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        """Return the first words of the digest, lowest byte first."""
        return np.frombuffer(self._digest, np.dtype(dtype).newbyteorder("<"), n_words)


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the counter-based generator of a name: Philox keyed by SHA-256 of seed and name.

    Two names never share a draw, so a new provider moves no tenant's demand and policies are compared on the
    same market.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    made = np.random.Generator(np.random.Philox(_Digest(digest)))  # type: ignore[arg-type]
    listener = _LISTENER.get()
    return made if listener is None else listener.stream(name, made)


def key_of(seed: int, name: str) -> int:
    """Return the key of a name: 63 bits of SHA-256 of seed and name."""
    key = _key_of(seed, name)
    listener = _LISTENER.get()
    if listener is not None:
        listener.named(name, key)
    return key


@lru_cache(maxsize=KEYS_KEPT, typed=True)
def _key_of(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little") >> 1


def keys_from(key: int | Keys, count: int | NDArray[np.int64]) -> Keys:
    """Return `count` keys from each of `key` on, uint64 below 2^63, side by side: each a hash of its key and its number there.

    A longer sequence begins with the shorter one.
    """
    parents, counts = np.atleast_1d(np.asarray(key)).astype(np.uint64), np.atleast_1d(np.asarray(count, np.int64))
    made: Keys = keys_of(parents, counts)
    listener = _LISTENER.get()
    if listener is not None:
        listener.keys(parents, counts, made)
    return made


def uniform(keys: Keys, purpose: str) -> NDArray[np.float64]:
    """Return a draw of 0 < u < 1 for each key and a purpose: a hash of both, whatever else is drawn and beside whom."""
    drawn: NDArray[np.float64] = uniforms(keys, (purpose,))[0]
    return drawn


def uniforms(keys: Keys, purposes: tuple[str, ...]) -> NDArray[np.float64]:
    """Return what `uniform` does for several purposes, (purposes, keys)."""
    drawn = _uniforms(keys, purposes)
    for purpose, values in zip(purposes, drawn, strict=True):
        _told(purpose, keys, values)
    return drawn


def _uniforms(keys: Keys, purposes: tuple[str, ...]) -> NDArray[np.float64]:
    """The draws of `uniforms`, of which nobody is told."""
    drawn = np.empty((len(purposes), len(keys)))
    put_uniform(np.ascontiguousarray(keys).view(np.int64), salts_of(purposes), drawn.view(np.int64))
    return drawn


def _told(purpose: str, keys: Keys, values: NDArray[Any]) -> NDArray[Any]:
    listener = _LISTENER.get()
    if listener is not None:
        listener.drawn(purpose, keys, values)
    return values


@lru_cache(maxsize=1024)
def salts_of(purposes: tuple[str, ...]) -> Table:
    """Return what stands for each of some purposes in the hashes of draws, int64; nobody may write into it."""
    digests = b"".join(hashlib.sha256(purpose.encode()).digest()[:8] for purpose in purposes)
    return np.frombuffer(digests, "<i8").astype(np.int64)


def exponential(keys: Keys, purpose: str) -> NDArray[np.float64]:
    """Return an exponential draw of mean 1 for each key and a purpose."""
    return np.asarray(-np.log(uniform(keys, purpose)))


def normal(keys: Keys, purpose: str) -> NDArray[np.float64]:
    """Return a standard normal draw for each key and a purpose (Box and Muller)."""
    return _normal_of(exponential(keys, purpose), uniform(keys, purpose + "/angle").copy())


def draw(law: LawLike, keys: Keys, purpose: str) -> NDArray[np.float64]:
    """Return a draw of a law for each key and a purpose, float64, clamped to the law's bounds, in the law's unit."""
    if law.family == "choice":
        numbers = np.asarray([float(value) for value in law.values])
        out = _clamped(law, numbers[draw_index(law, keys, purpose)])
    elif law.family == "uniform":
        out = _shaped(law, uniform(keys, purpose).copy())
    elif law.family == "exponential":
        out = _shaped(law, exponential(keys, purpose))
    elif law.family in _NORMAL:
        out = _shaped(law, normal(keys, purpose))
    else:
        out = np.full(len(keys), _only_value(law))
    return _told(purpose, keys, out)


_NORMAL = ("normal", "lognormal")
"""Families of which a draw is made of a standard normal one."""
_LEAST = {"exponential": 0.0, "lognormal": 0.0}
"""By family what no draw is below anyhow; a uniform one is never below where it begins."""
FEW = 8
"""Values of a choice up to which each is looked at: no search that branches is as fast."""
_DRAWN = frozenset({"choice", "uniform", "exponential", *_NORMAL})
"""Families of more than one value."""


def constant(law: LawLike) -> float | None:
    """Return what all draws of a law are, None for a law of more than one value, and while somebody listens, who is told of each draw."""
    return None if law.family in _DRAWN or is_heard() else _only_value(law)


def is_heard() -> bool:
    """Return whether somebody listens to the draws of this thread."""
    return _LISTENER.get() is not None


def _only_value(law: LawLike) -> float:
    return min(max(float(law.a), law.low), law.high)


def draw_rows(laws: Mapping[str, LawLike], keys: Keys) -> tuple[dict[str, int], NDArray[np.float64]]:
    """Return the draws of several laws of more than one value at once, (rows, keys), and the row of each purpose: bit by bit what `draw`
    returns, in less time.

    Whoever listens is told of draws in the order in which they are asked for: while somebody does, nothing is drawn here.
    """
    by_log, by_angle, plain = [], [], []
    for purpose, law in () if is_heard() else laws.items():
        if law.family in _NORMAL:
            by_angle.append(purpose)
        elif law.family == "exponential":
            by_log.append(purpose)
        elif law.family == "uniform" or len(law.values) > 1:
            plain.append(purpose)
    purposes = (*by_log, *by_angle, *plain)
    drawn = _uniforms(keys, (*purposes, *[f"{purpose}/angle" for purpose in by_angle]))
    if purposes:
        logs, normals = drawn[: len(by_log) + len(by_angle)], drawn[len(by_log) : len(by_log) + len(by_angle)]
        np.negative(np.log(logs, out=logs), out=logs)
        normals[:] = _normal_of(normals, drawn[len(purposes) :])
    for row, purpose in enumerate(purposes):
        base = drawn[row]
        shaped = _shaped(laws[purpose], base)
        if shaped is not base:
            drawn[row] = shaped
    return {purpose: row for row, purpose in enumerate(purposes)}, drawn


def _normal_of(logs: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normal draws of exponential and uniform ones, which are written over (Box and Muller)."""
    angles *= 2 * math.pi
    out = np.cos(angles, out=angles)
    logs *= 2
    out *= np.sqrt(logs, out=logs)
    return out


def _shaped(law: LawLike, base: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draws of a law out of uniform, standard exponential or standard normal ones, by its family; those may be written over."""
    out = base
    if law.family == "choice":
        out = np.asarray([float(value) for value in law.values])[_index_of(law, base)]
    elif law.family == "uniform":
        width = law.b - law.a + 1 if law.whole else law.b - law.a
        if width != 1:
            out *= width
        if law.a != 0:
            out += law.a
        if law.whole:
            np.floor(out, out=out)
    elif law.family == "lognormal":
        out *= law.b
        np.exp(out, out=out)
        out *= law.a
    elif law.family == "exponential":
        if law.a != 1:
            out *= law.a
    else:
        out *= law.b
        out += law.a
    return _clamped(law, out)


def _clamped(law: LawLike, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """`drawn`, which is nobody else's, with what lies beyond a law's bounds brought to them."""
    least = law.a if law.family == "uniform" else _LEAST.get(law.family, -math.inf)
    if law.low > least:
        np.maximum(drawn, law.low, out=drawn)
    return drawn if law.high == math.inf else np.minimum(drawn, law.high, out=drawn)


def _index_of(law: LawLike, base: NDArray[np.float64]) -> NDArray[np.int64]:
    edges = np.cumsum(np.asarray(law.weights))
    edges /= edges[-1]
    if len(edges) > FEW:
        return np.searchsorted(edges, base, side="right").astype(np.int64)
    found = np.zeros(base.shape, np.int64)
    for edge in edges[:-1].tolist():
        found += base >= edge
    return found


def draw_index(law: LawLike, keys: Keys, purpose: str) -> NDArray[np.int64]:
    """Return for each key an index into the values of a choice, by its weights; a constant gives index 0."""
    if len(law.values) <= 1:
        return np.zeros(len(keys), np.int64)
    return _told(purpose, keys, _index_of(law, uniform(keys, purpose)))


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


BLOCKS_MAX = 1e15
"""Most blocks of a duration that is drawn."""


def to_blocks(values: NDArray[np.float64], unit: str, block_ms: int) -> NDArray[np.int64]:
    """Return durations drawn in milliseconds or blocks as whole blocks, rounded to the nearest."""
    blocks = values if unit == "blocks" else values / block_ms
    return np.rint(np.minimum(blocks, BLOCKS_MAX)).astype(np.int64)


def to_block_count(value: float, unit: str, block_ms: int) -> int:
    """Return what `to_blocks` does for one duration: where all have the same."""
    return round(min(value if unit == "blocks" else value / block_ms, BLOCKS_MAX))
