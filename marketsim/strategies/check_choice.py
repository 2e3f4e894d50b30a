"""Hold a tenant's choice rule to its contract: a battery that anybody may run on his own class."""

from __future__ import annotations

import ctypes
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from marketsim.kernel.intrinsics import PLAIN
from marketsim.kernel.modes import COMPILING
from marketsim.money.units import ATTO, GIB
from marketsim.strategies import users_code
from marketsim.strategies.choice import ARGUMENTS, ChoiceRule, OfferedBid, OrderToLease, ScoringRule, chosen_of, compile_score, judged

_Story = list[tuple[OrderToLease, tuple[OfferedBid, ...]]]


class ChoiceError(AssertionError):
    """A choice rule breaks its contract; one line for each promise that it does not keep."""

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


def check_choice_rule(rule: ChoiceRule | ScoringRule | Callable[[], ChoiceRule | ScoringRule]) -> None:
    """Raise ChoiceError unless a choice rule keeps every promise of `ChoiceRule` or `ScoringRule` on sixty orders with one to five bids.

    Give a factory (a class, a lambda) where you can: only then it is tried that two equal rules choose alike. Of `choose`: it returns a
    place in its bids or None, draws from `order.rng` alone, and a fresh object tells the same story again. Of `score`: it can be compiled,
    makes a number of every bid (−inf for one never to take), and the same number compiled and as Python.

    >>> import marketsim as ms
    >>> class AtHome:
    ...     def __init__(self, worth=0.2):
    ...         def score(price, lowest, ceiling, value, uptime, audited, home, provider):
    ...             return lowest / price + worth * home
    ...         self.score = score
    >>> ms.check_choice_rule(AtHome)
    """
    subject = _made(rule)
    failures = list(_scores(subject) if not callable(getattr(subject, "choose", None)) else _chooses(rule, subject))
    if failures:
        raise ChoiceError(failures[:5])


def _made(rule: Any) -> Any:
    try:
        subject = rule() if isinstance(rule, type) or not (hasattr(rule, "choose") or hasattr(rule, "score")) else rule
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise ChoiceError([f"it cannot be built: {users_code.raised(error)}"]) from error
    if not callable(getattr(subject, "choose", None)) and not hasattr(subject, "score"):
        raise ChoiceError(["it has no method choose(order, bids) and no function score"])
    return subject


def _story() -> _Story:
    """Orders of all sizes, with bids from one to five, at equal prices and far apart, in and out of the home region."""
    rng = np.random.Generator(np.random.Philox(key=7))
    regions = (None, "us-east", "eu-west")
    story: _Story = []
    for number, (bids, home) in enumerate(itertools.product((1, 2, 3, 5), regions * 5)):
        prices = sorted(int(price) * ATTO // 1000 for price in rng.integers(1, 10**6, bids))
        if number % 4 == 0:
            prices = [prices[0]] * bids
        offered = tuple(
            OfferedBid(f"trial-{at}", price, float(rng.uniform(0.5, 1)), bool(rng.integers(2)), regions[int(rng.integers(3))], {}, at)
            for at, price in enumerate(prices)
        )
        ceiling = prices[-1] * int(rng.integers(1, 4))
        order = OrderToLease(
            id=f"tenant-{number}/7/1/1", tenant=f"tenant-{number}", cohort="tenant", height=100 + number, created_at=90 + number,
            cpu=500 * (1 + number % 7), memory=(1 + number % 5) * GIB, storage=10 * GIB, gpu=number % 3, ceiling=ceiling,
            value=ceiling * 5 // 4, home_region=home, rng=partial(_generator, number),
        )  # fmt: skip
        story.append((order, offered))
    return story


def _generator(number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=number))


def _chooses(rule: Any, subject: ChoiceRule) -> Iterator[str]:
    state = _global_state()
    try:
        first = [chosen_of(subject, order, bids) for order, bids in _story()]
    except ValueError as error:
        yield str(error)
        return
    if _global_state() != state:
        yield "choose draws from a global random generator, expected draws from order.rng"
        return
    kept, numpy_kept = random.getstate(), np.random.get_state()
    try:
        random.seed(1)
        np.random.seed(1)
        fresh = _made(rule)
        if fresh is not subject and [chosen_of(fresh, order, bids) for order, bids in _story()] != first:
            yield "a fresh object chooses otherwise: it keeps something between objects, or draws from elsewhere than order.rng"
    finally:
        random.setstate(kept)
        np.random.set_state(numpy_kept)


def _scores(subject: Any) -> Iterator[str]:
    try:
        score = compile_score(subject)
    except ValueError as error:
        yield str(error)
        return
    assert score is not None
    call: Callable[..., float] = PLAIN[score.address] if not COMPILING else _at(score.address)
    for order, bids in _story():
        for bid in bids:
            numbers = (
                bid.price / ATTO, bids[0].price / ATTO, order.ceiling / ATTO, order.value / ATTO, bid.uptime, float(bid.audited),
                float(bid.region is not None and bid.region == order.home_region), float(bid.number),
            )  # fmt: skip
            shown = ", ".join(f"{name}={value:g}" for name, value in zip(ARGUMENTS, numbers, strict=True))
            found = call(*numbers)
            if score.plain is not None:
                try:
                    plain = judged(score.plain, numbers)
                except ValueError as error:
                    yield f"{error}, of {shown}"
                    return
                if plain != found and not math.isnan(found):
                    yield f"score gives {found!r} compiled and {plain!r} as Python, of {shown}"
                    return
            if math.isnan(found):
                yield f"score gives NaN, expected a number, of {shown}"
                return


def _at(address: int) -> Callable[..., float]:
    call: Callable[..., float] = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_double] * len(ARGUMENTS))(address)
    return call


def _global_state() -> tuple[Any, ...]:
    name, key, position, *gauss = np.random.get_state()
    return random.getstate(), name, np.asarray(key).tobytes(), position, *gauss


__all__ = ["ChoiceError", "check_choice_rule"]
