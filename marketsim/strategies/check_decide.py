"""What a class with `decide` promises, tried on batches that nobody has bid on: beside `check_strategy`."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from marketsim.kernel.table_set import rows_of
from marketsim.market.list_prices import set_list_prices
from marketsim.market.tables import BidOutcome, Desk, OutcomeKind
from marketsim.money.units import ATTO, PPM
from marketsim.strategies import users_code
from marketsim.strategies.hearing import Outcomes, OwnDesks, StrategyRun
from marketsim.strategies.requests import NO_BID, Prices, RequestBatch
from marketsim.strategies.rules import PriceRequest, Refusal

_SEED = 20_260_105


def decided_wrongly(strategy: Any, requests: Sequence[PriceRequest]) -> list[str]:
    """Return what a strategy with `decide` breaks of its promises, nothing where it keeps them."""
    try:
        first, failures = _story(_fresh(strategy), requests)
        if failures:
            return failures
        state = _global_state()
        again, failures = _story(_fresh(strategy), requests)
        if _global_state() != state:
            failures.append("decide draws from a global random generator, expected draws from me.rng (start)")
        if again != first:
            failures.append("a fresh object with the same random stream decides otherwise")
        return [*failures, *_after_pickle(strategy, requests, first)]
    except BaseException as error:
        if users_code.passes(error):
            raise
        return [f"decide raises {users_code.raised(error)}, expected as many prices as the batch has orders"]


def _global_state() -> tuple[Any, ...]:
    name, key, position, *gauss = np.random.get_state()
    return random.getstate(), name, np.asarray(key).tobytes(), position, *gauss


def _fresh(strategy: Any) -> Any:
    return strategy if hasattr(strategy, "decide") and not isinstance(strategy, type) else strategy()


def _after_pickle(strategy: Any, requests: Sequence[PriceRequest], first: list[Any]) -> Iterator[str]:
    try:
        copy = pickle.loads(pickle.dumps(_fresh(strategy)))
    except Exception as error:
        yield f"it cannot go through pickle: {users_code.raised(error)}, sweeps send strategies to workers"
        return
    if _story(copy, requests)[0] != first:
        yield "a copy that went through pickle decides otherwise"


def _story(subject: Any, requests: Sequence[PriceRequest]) -> tuple[list[Any], list[str]]:
    """Ask about the requests in batches of one and of many, with outcomes in between; return the answers and what is wrong with them."""
    desks = rows_of(1, Desk)
    desks[0, Desk.cap_cpu : Desk.cap_gpu + 1] = (64_000, 262_144, 10_485_760, 8)
    set_list_prices(desks[0], (ATTO // 1000, ATTO // 5000, ATTO // 100_000, ATTO // 2))
    desks[0, Desk.margin_ppm] = PPM // 10
    height = [0]
    own = OwnDesks(("provider-1",), lambda: desks, lambda: np.zeros((1, 2), np.int64), lambda: height[0])
    start, hear = getattr(subject, "start", None), getattr(subject, "hear", None)
    if start is not None:
        start(StrategyRun("provider-1", own, np.random.default_rng(_SEED), lambda who, values: None))
    told: list[Any] = []
    failures: list[str] = []
    for size in (1, 2, len(requests)):
        height[0] += 1_200
        batch = RequestBatch.of(requests[:size])
        before = [column.copy() for column in (batch.cpu, batch.memory, batch.ceiling_whole)]
        answers = subject.decide(batch, own, _outcomes(size))
        told.append(_plain(answers, size, failures))
        if any((one != other).any() for one, other in zip(before, (batch.cpu, batch.memory, batch.ceiling_whole), strict=True)):
            failures.append("decide writes into its batch")
        if hear is not None:
            hear(own, _outcomes(size))
    return told, failures


def _outcomes(count: int) -> Outcomes:
    rows = rows_of(count, BidOutcome)
    rows[:, BidOutcome.kind] = OutcomeKind.WON
    rows[:, BidOutcome.price] = rows[:, BidOutcome.other] = 2
    orders: Callable[[Any], Any] = lambda which: (which + 1, which * 0 + 1000)  # noqa: E731
    return Outcomes(rows, 0, orders)


def _plain(answers: Any, count: int, failures: list[str]) -> list[Any]:
    """The answers as plain values, what is wrong with them in `failures`."""
    if isinstance(answers, Prices):
        wrong = (answers.whole != NO_BID) & ((answers.whole < 0) | (answers.atto < 0) | (answers.atto >= ATTO))
        wrong |= (answers.whole == 0) & (answers.atto == 0)
        if wrong.any():
            failures.append(f"request {int(np.argmax(wrong))}: the price is not above 0, expected {NO_BID} as the whole part of no bid")
        if len(answers) != count:
            failures.append(f"decide of {count} orders returns {len(answers)} prices, expected as many")
        return [answers.whole.tolist(), answers.atto.tolist()]
    if not isinstance(answers, Sequence) or len(answers) != count:
        failures.append(f"decide of {count} orders returns {users_code.answered(answers)}, expected as many prices or refusals")
        return []
    for at, answer in enumerate(answers):
        if not (answer is None or isinstance(answer, Refusal) or (type(answer) is int and answer > 0)):
            failures.append(f"request {at}: the price is {users_code.answered(answer)}, expected an int above 0, a Refusal or None")
            break
    return list(answers)
