"""Hold a pricing strategy to its contract: a battery that anybody may run on his own class.

    from marketsim.strategies.check import check_strategy
    check_strategy(lambda: MyStrategy(margin=3))

and `load_strategy("module:Class")`, which is how a scenario names one.
"""

from __future__ import annotations

import copy
import pickle
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np

from marketsim.errors import InputError
from marketsim.money.text import format_amount
from marketsim.money.units import ATTO, GIB
from marketsim.strategies import users_code
from marketsim.strategies.check_decide import decided_wrongly
from marketsim.strategies.find import STRATEGY, ExtensionKind, unknown_name
from marketsim.strategies.requests import Prices, RequestBatch
from marketsim.strategies.rules import Answer, GpuModel, PriceRequest, Refusal, ResourceUnit, Strategy, Volume
from marketsim.strategies.users_modules import import_from

_SPEC = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<name>[A-Za-z_][\w.]*)")


class StrategyError(AssertionError):
    """A strategy breaks its contract; one line for each promise that it does not keep."""

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__("\n".join(failures))
        self.failures = tuple(failures)


def sample_requests() -> tuple[PriceRequest, ...]:
    """The orders that the battery asks for: small, large, with GPUs, without volumes, tight ceilings."""
    small = ResourceUnit(cpu=1000, memory=2 * GIB, volumes=(Volume(10 * GIB),), endpoints=1)
    disks = ResourceUnit(
        cpu=500,
        memory=512 << 20,
        volumes=(Volume(GIB), Volume(100 * GIB, "beta2"), Volume(64 << 20, "ram")),
        count=3,
    )
    gpu = ResourceUnit(
        cpu=8000,
        memory=64 * GIB,
        volumes=(Volume(200 * GIB),),
        gpu=2,
        gpu_models=(GpuModel("amd", "mi250"), GpuModel("nvidia", "a100", "80Gi", "sxm")),
        leased_ips=1,
    )
    bare = ResourceUnit(cpu=10, memory=1)
    huge = ResourceUnit(cpu=384_000, memory=1280 * GIB, volumes=(Volume(32 << 40),), gpu=8, count=20)
    groups = ((small,), (disks,), (gpu,), (bare,), (huge,), (small, disks, gpu))
    ceilings = (1, ATTO // 1000, ATTO, 1000 * ATTO, 10**9 * ATTO)
    requests = [
        PriceRequest(
            resources=group,
            price_ceiling=ceiling,
            order=f"tenant-{at}/7/1/1",
            owner=f"tenant-{at}",
            provider="provider-1",
            height=1_000 + at,
            attributes=(("region", "us-east"),),
            region="us-east",
        )
        for at, (group, ceiling) in enumerate((g, c) for g in groups for c in ceilings)
    ]
    busy = [
        replace(requests[4], utilization=Fraction(19, 20), last_winning_price=3 * ATTO),
        replace(requests[3], utilization=Fraction(1), last_winning_price=1),
    ]
    return (*requests, *busy)


def check_strategy(strategy: Strategy | Callable[[], Strategy], requests: Sequence[PriceRequest] | None = None) -> None:
    """Raise StrategyError unless the strategy keeps every promise of `Strategy` on `requests`.

    Give a factory (a class, a lambda) rather than an object where you can: only then is it tested that two
    equal strategies answer alike. Promises: an answer is exactly an `int` (units of 10^-18 uve per block,
    above 0, at most the ceiling) or a `Refusal`; equal requests get equal answers, in any order, from a
    fresh object and from a copy that went through pickle; the request, the strategy and the global random
    generators stay as they were; `price_many`, where there is one, answers as `price` does.

    A class with `decide` may learn from one batch to the next. It is held to this: a batch gets as many answers, each a price above 0 or
    none; a fresh object with the same random stream, and one that went through pickle, answer a story of batches alike; the batch and the
    global generators stay as they were.

    >>> import marketsim as ms
    >>> ms.check_strategy(ms.RepricedCostPlusColumns)
    """
    asked = tuple(requests if requests is not None else sample_requests())
    failures: list[str] = []
    if callable(getattr(strategy, "decide", None)) or (
        not isinstance(strategy, type) and callable(getattr(_made(strategy), "decide", None))
    ):
        failures += decided_wrongly(strategy, asked)
        if failures:
            raise StrategyError(failures)
        return
    try:
        subject = _built(strategy)
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise StrategyError([f"it cannot be built: {users_code.raised(error)}"]) from error
    answers = _answers(subject, asked, failures)
    failures += _wrong_answers(asked, answers)
    if not failures:  # a class that answers wrongly answers wrongly everywhere: one report of it is enough
        for check in (_forgets, _leaves_alone, _pickles, _batches):
            failures += check(strategy, asked, answers)
    if failures:
        raise StrategyError(failures)


def _made(strategy: Any) -> Any:
    """What a factory makes, or nothing where it fails: `_built` says why."""
    if hasattr(strategy, "price") or not callable(strategy):
        return strategy
    try:
        return strategy()
    except BaseException as error:
        if users_code.passes(error):
            raise
        return None


def load_strategy(
    spec: str,
    options: Mapping[str, Any] | None = None,
    *,
    search: Sequence[Path] = (),
    where: str = "strategy",
) -> Strategy:
    """The strategy that `spec` names, built with `options` as keyword arguments.

    `spec` is `module:Class`, found on the import path or in the folders of `search`, or the name of an
    installed entry point of the group `marketsim.strategies`. Raises InputError, each line beginning with
    `where`, for a name that does not exist, options that do not fit, and an object with neither `price` nor `decide`.
    """
    made = named_object(spec, search, where)
    try:
        strategy = made(**numbers_of(options or {})) if callable(made) else made
        is_strategy = any(callable(getattr(strategy, method, None)) for method in ("price", "decide"))
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise InputError(f"{where}: {spec} cannot be built: {users_code.raised(error)}") from None
    if not is_strategy:
        raise InputError(f"{where}: {spec} has no method price(request) and no decide(batch, own, outcomes), expected a pricing strategy")
    result: Strategy = strategy
    return result


def numbers_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with decimals, and texts that are plain numbers, as numbers: so the numbers of a mapping come, and the levels of a sweep."""
    return {key: _number(value) for key, value in options.items()}


def _number(text: Any) -> Any:
    if isinstance(text, Decimal):
        return float(text)
    if isinstance(text, list | tuple):
        return [_number(part) for part in text]
    if not isinstance(text, str):
        return text
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d+\.\d+", text) else text


def built_object(spec: str, options: Mapping[str, Any], search: Sequence[Path], where: str, kind: ExtensionKind) -> Any:
    """What the class or function that `spec` names makes of the keyword arguments `options`; raises InputError for what cannot be."""
    made = named_object(spec, search, where, kind)
    try:
        return made(**numbers_of(options)) if callable(made) else made
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise InputError(f"{where}: {spec} cannot be built: {users_code.raised(error)}") from None


def named_object(spec: str, search: Sequence[Path], where: str, kind: ExtensionKind = STRATEGY) -> Any:
    """What `spec`, module:name, names in the folders of `search` or on the import path, or an entry point of the kind's group; raises
    InputError where there is nothing."""
    match = _SPEC.fullmatch(spec)
    if match is None:
        if problem := unknown_name(spec, kind):
            raise InputError(f"{where}: {problem}")
        return _imported(entry_points(group=kind.group)[spec].load, spec, where)
    found = _imported(lambda: import_from(match["module"], search), f"module {match['module']}", where)
    for part in match["name"].split("."):
        found = _imported(partial(getattr, found, part, None), f"{match['name']} of module {match['module']}", where)
        if found is None:
            raise InputError(f"{where}: module {match['module']} has no {match['name']}, expected {kind.form} with one that is in it")
    return found


def _imported(load: Callable[[], Any], what: str, where: str) -> Any:
    try:
        return load()
    except ImportError as error:
        raise InputError(f"{where}: {what} cannot be imported: {users_code.shortened(str(error))}") from None
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise InputError(f"{where}: {what} fails on import: {users_code.raised(error)}") from None


def _built(strategy: Strategy | Callable[[], Strategy]) -> Strategy:
    made = strategy() if isinstance(strategy, type) or not hasattr(strategy, "price") else strategy
    if not callable(getattr(made, "price", None)):
        raise TypeError("it has no method price(request)")
    result: Strategy = made
    return result


def _answers(subject: Strategy, asked: Sequence[PriceRequest], failures: list[str]) -> list[Answer]:
    answers: list[Answer] = []
    for at, request in enumerate(asked):
        try:
            answers.append(subject.price(request))
        except BaseException as error:
            if users_code.passes(error):
                raise
            failures.append(f"request {at}: price raises {users_code.raised(error)}, expected a price or a Refusal")
            break
    return answers


def _wrong_answers(asked: Sequence[PriceRequest], answers: Sequence[Answer]) -> list[str]:
    wrong = []
    for at, (request, answer) in enumerate(zip(asked, answers, strict=False)):
        if isinstance(answer, Refusal):
            continue
        if type(answer) is not int:
            wrong.append(f"request {at}: the price is {users_code.answered(answer)}, expected int, units of 10^-18 uve per block")
        elif answer <= 0:
            wrong.append(f"request {at}: the price is {format_amount(answer)}, expected more than 0 or a Refusal")
        elif answer > request.price_ceiling:
            ceiling = format_amount(request.price_ceiling)
            wrong.append(f"request {at}: the price {format_amount(answer)} is above the ceiling {ceiling}, expected a Refusal")
    return wrong[:5]


def _forgets(strategy: Any, asked: Sequence[PriceRequest], answers: Sequence[Answer]) -> Iterator[str]:
    """Equal requests, equal answers: backwards, twice, and under other states of the global generators."""
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        for seed in (1, 2):
            random.seed(seed)
            np.random.seed(seed)
            subject = _built(strategy)
            again = [subject.price(request) for request in reversed(asked)][::-1]
            if list(answers) != again:
                at = next(i for i, (a, b) in enumerate(zip(answers, again, strict=True)) if a != b)
                yield f"request {at}: the answer depends on what was asked before or on a global generator"
                return
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


def _leaves_alone(strategy: Any, asked: Sequence[PriceRequest], answers: Sequence[Answer]) -> Iterator[str]:
    """Neither the request, nor the global generators, nor the strategy as it prints itself changes."""
    subject = _built(strategy)
    copies = copy.deepcopy(asked)
    generators, look = _global_generators(), repr(subject)
    for request in asked:
        subject.price(request)
    if tuple(copies) != tuple(asked):
        yield "price changes its request"
    if _global_generators() != generators:
        yield "price draws from a global random generator, expected draws from a seed of its own"
    if repr(subject) != look:
        yield "price changes the strategy itself, expected a frozen value"


def _global_generators() -> tuple[object, ...]:
    name, key, position, *gauss = np.random.get_state()
    return random.getstate(), name, np.asarray(key).tobytes(), position, *gauss


def _pickles(strategy: Any, asked: Sequence[PriceRequest], answers: Sequence[Answer]) -> Iterator[str]:
    """Sweeps send strategies to workers."""
    try:
        copied = pickle.loads(pickle.dumps(_built(strategy)))
    except BaseException as error:
        if users_code.passes(error):
            raise
        yield f"it cannot be sent to a worker (pickle): {users_code.raised(error)}"
        return
    if [copied.price(request) for request in asked] != list(answers):
        yield "a copy that went through pickle answers differently"


def _batches(strategy: Any, asked: Sequence[PriceRequest], answers: Sequence[Answer]) -> Iterator[str]:
    """`price_many` is optional; where it exists it answers as `price` does, also for one and for none.

    It gets what a run hands over: a sequence of requests that has columns too. Of refusals in columns (`Prices`)
    no more is asked than that they are refusals.
    """
    subject = _built(strategy)
    many = getattr(subject, "price_many", None)
    if many is None:
        return
    for part in (asked, asked[:1], ()):
        try:
            answered = many(RequestBatch.of(part))
            batch = list(answered)
        except BaseException as error:
            if users_code.passes(error):
                raise
            yield f"price_many of {len(part)} requests raises {users_code.raised(error)}"
            return
        if isinstance(answered, Prices) and len(batch) == len(part):
            pairs = zip(batch, answers, strict=False)
            batch = [b if not isinstance(a, Refusal) or not isinstance(b, Refusal) else a for b, a in pairs]
        if batch != list(answers[: len(part)]) or any(type(x) is not int for x in batch if not isinstance(x, Refusal)):
            yield f"price_many of {len(part)} requests answers differently from price"
            return
