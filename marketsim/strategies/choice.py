"""A tenant's choice rule of a user's own: what it is asked, what it answers, and its form as a compiled function."""

from __future__ import annotations

import ctypes
import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from marketsim.errors import InputError
from marketsim.kernel.intrinsics import PLAIN
from marketsim.kernel.modes import COMPILING, HAS_COMPILER
from marketsim.strategies import users_code
from marketsim.strategies.check import built_object
from marketsim.strategies.find import CHOICE_RULE

ARGUMENTS: Final = ("price", "lowest", "ceiling", "value", "uptime", "audited", "home", "provider")
"""What a score is made of, all floats, in this order."""


class OfferedBid(NamedTuple):
    """A bid as the tenant sees it: all of it stands on the chain."""

    provider: str
    price: int
    """10^-18 uve per block."""
    uptime: float
    """Share of the time that the provider is up, by its outages."""
    audited: bool
    """Whether an auditor has signed for the provider."""
    region: str | None
    """What the provider claims as its region."""
    attributes: Mapping[str, str]
    """All that it claims."""
    number: int
    """The provider's row in the results, from 0."""


class OrderToLease:
    """The order for which a tenant chooses.

    `id` is owner/dseq/gseq/oseq, `tenant` the owner, `cohort` its cohort, `height` the block in which it chooses, `created_at` that of the
    order; `cpu` in millicores, `memory` and `storage` in bytes, `gpu`; `ceiling` and `value` (what a block is worth to the tenant) in
    10^-18 uve per block; `home_region` the tenant's, None without one.
    """

    def __init__(self, *, rng: Callable[[], np.random.Generator], **columns: Any) -> None:
        self.id: str = columns["id"]
        self.tenant: str = columns["tenant"]
        self.cohort: str = columns["cohort"]
        self.height: int = columns["height"]
        self.created_at: int = columns["created_at"]
        self.cpu: int = columns["cpu"]
        self.memory: int = columns["memory"]
        self.storage: int = columns["storage"]
        self.gpu: int = columns["gpu"]
        self.ceiling: int = columns["ceiling"]
        self.value: int = columns["value"]
        self.home_region: str | None = columns["home_region"]
        self._rng = rng

    @cached_property
    def rng(self) -> np.random.Generator:
        """Draws that depend on the seed and this order alone; asked again, the order has the same draws."""
        return self._rng()

    def __repr__(self) -> str:
        return f"OrderToLease({self.id}, block {self.height})"


class ChoiceRule(Protocol):
    """Which bid a tenant takes.

    A scenario names one by `choice: {python: module:Class, options: {…}}`; it is built once a cohort, with the options as keyword
    arguments. A class with an attribute `score` in place of `choose` is compiled: see `ScoringRule`.
    """

    def choose(self, order: OrderToLease, bids: Sequence[OfferedBid]) -> int | None:
        """Return the place in `bids` of the bid to take, None for none.

        `bids` are those that stand and whose provider has room, the cheapest first (equal prices by the market's own tie rule); there is
        at least one. It is asked when the bid window is over; after None, and where nothing stood, again in each block in which a bid has
        come, until the order ends. All draws come from `order.rng`. What is raised ends the run with file and line.
        """


class ScoringRule(Protocol):
    """A choice rule that is compiled: the bid of the highest score is taken, of equal ones the cheapest.

    `score` is a function of eight floats, in this order: `price`, `lowest` (the cheapest bid), `ceiling` and `value` in uve per block,
    `uptime` (share), `audited` and `home` (1 where the provider is in the tenant's home region; both 0 or 1), `provider` (its row in the
    results, from 0). It returns a float; a bid of −inf is never taken, NaN ends the run. It is compiled with numba (division by zero gives
    inf or NaN, closures are frozen), or is already: an object with `address`, of a C function of that kind.
    """

    @property
    def score(self) -> Any:
        """The function, or an object with the address of one."""


class CompiledScore(NamedTuple):
    """A score as a function at an address."""

    address: int
    plain: Callable[..., float] | None
    """The same as Python, None of what came compiled."""
    kept: Any
    """What has to live as long as the address is called."""


_C_FUNCTION: Any = ctypes.CFUNCTYPE(None).__mro__[1]
"""What every function of a C library is to ctypes."""
_NUMBERS = itertools.count(1)


def load_choice_rule(spec: str, options: Mapping[str, Any], search: Sequence[Path] = (), where: str = "choice") -> Any:
    """Return the choice rule that `spec` names, built with `options`: a ChoiceRule or a ScoringRule.

    `spec` is module:Class, looked for in the folders of `search`, then on the import path, or the name of an entry point of the group
    `marketsim.choice_rules`. Raises InputError, beginning with `where`, for what is not there, cannot be built or has neither method.
    """
    rule = built_object(spec, options, search, where, CHOICE_RULE)
    if not any(callable(getattr(rule, name, None)) for name in ("choose", "score")) and not hasattr(rule, "score"):
        raise InputError(f"{where}: {spec} has no method choose(order, bids) and no function score, expected a choice rule")
    return rule


def compile_score(rule: Any) -> CompiledScore | None:
    """Return a rule's score at an address, None for a rule that chooses in Python. Raises ValueError for one that cannot be compiled."""
    score = getattr(rule, "score", None)
    if score is None or callable(getattr(rule, "choose", None)):
        return None
    address = getattr(score, "address", None)
    if isinstance(score, _C_FUNCTION):
        address = ctypes.cast(score, ctypes.c_void_p).value
    if isinstance(address, int) and address > 0:
        return CompiledScore(address, None, score) if COMPILING else _as_python(_of_address(address), score)
    if not callable(score):
        raise ValueError(f"score is {users_code.answered(score)}, expected a function of {', '.join(ARGUMENTS)}")
    function = getattr(score, "py_func", score)  # what numba has compiled otherwise
    try:
        inspect.signature(function).bind(*ARGUMENTS)
    except TypeError as error:
        raise ValueError(f"score cannot be called so: {error}; it is given {', '.join(ARGUMENTS)}") from None
    if not COMPILING:
        return _as_python(function, score)
    if not HAS_COMPILER:
        return _called_back(function)
    import numba

    try:
        made = numba.cfunc(numba.float64(*[numba.float64] * len(ARGUMENTS)), error_model="numpy")(function)
    except Exception as error:
        code = getattr(function, "__code__", None)
        place = f" ({code.co_filename}:{code.co_firstlineno})" if code is not None else ""
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Failed in nopython")]
        said = lines[0].strip() if lines else type(error).__name__
        raise ValueError(
            f"score cannot be compiled: {users_code.shortened(said)}{place}; write choose(order, bids) to stay in Python"
        ) from error
    return CompiledScore(int(made.address), function, made)


def _of_address(address: int) -> Callable[..., float]:
    return ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_double] * len(ARGUMENTS))(address)


def _called_back(function: Callable[..., float]) -> CompiledScore:
    """A score in a process whose compiled code came with the wheel: that calls back into Python, a microsecond or two a bid."""

    def plain(*numbers: float) -> float:
        try:
            return judged(function, numbers)
        except ValueError:
            return math.nan

    made = ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_double] * len(ARGUMENTS))(plain)
    address = ctypes.cast(made, ctypes.c_void_p).value
    assert address is not None
    return CompiledScore(address, function, made)


def _as_python(function: Callable[..., float], kept: Any) -> CompiledScore:
    """A score where nothing is compiled: it counts as compiled code does, NaN for what raises (`judged` tells it)."""
    address = next(_NUMBERS)

    def plain(*numbers: float) -> float:
        try:
            return judged(function, numbers)
        except ValueError:
            return math.nan

    PLAIN[address] = plain
    return CompiledScore(address, function, kept)


def judged(function: Callable[..., float], numbers: Sequence[float]) -> float:
    """Return what a score makes of eight numbers, in Python; raises ValueError for what it raises."""
    try:
        with np.errstate(all="ignore"):
            return float(function(*map(np.float64, numbers)))
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise ValueError(f"score raises {users_code.raised(error)}, expected a number") from error


def chosen_of(rule: ChoiceRule, order: OrderToLease, bids: Sequence[OfferedBid]) -> int | None:
    """Return which of the bids a rule takes, None for none; raises ValueError for what it raises and what is no place in `bids`."""
    try:
        chosen: Any = rule.choose(order, bids)
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise ValueError(f"choose raises {users_code.raised(error)}, expected a place in bids or None") from error
    if chosen is None:
        return None
    if isinstance(chosen, np.integer):
        chosen = int(chosen)
    if type(chosen) is not int or not 0 <= chosen < len(bids):
        raise ValueError(f"choose returns {users_code.answered(chosen)}, expected a place in bids, 0 to {len(bids) - 1}, or None")
    return chosen


__all__ = [
    "ARGUMENTS",
    "ChoiceRule",
    "CompiledScore",
    "OfferedBid",
    "OrderToLease",
    "ScoringRule",
    "chosen_of",
    "compile_score",
    "judged",
    "load_choice_rule",
]
