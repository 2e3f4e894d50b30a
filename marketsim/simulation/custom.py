"""Which desks of a scenario are priced by a user's code, and the start of their strategies."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np

from marketsim.agents.streams import stream
from marketsim.errors import InputError
from marketsim.kernel.table_set import Table
from marketsim.market.clock import BlockClock
from marketsim.market.quoting import refresh_units
from marketsim.market.tables import Desk
from marketsim.money.units import DAY_MS
from marketsim.scenario.literals import parse_duration
from marketsim.scenario.model import Scenario
from marketsim.scenario.providers import StrategyChoice
from marketsim.simulation.build import MarketSetup
from marketsim.simulation.owners import owner_names
from marketsim.simulation.target_prices import built_in_strategy
from marketsim.strategies import users_code
from marketsim.strategies.asking import Asked, AskedDesks, CustomPricing, QuotedDesks, own_gpus
from marketsim.strategies.check import load_strategy
from marketsim.strategies.run_log import RunLog
from marketsim.strategies.script import OperatorScript

HEAR_LEAST_MS = 1_000
"""The shortest interval at which a strategy may hear."""


def start_pricing(clock: BlockClock, scenario: Scenario, market: MarketSetup, seed: int, log: RunLog) -> CustomPricing | None:
    """Build the strategies of all custom desks and start telling them; return what prices orders.

    None where no order needs it. Raises InputError for a class or script that cannot be loaded.
    """
    book = market.book
    quoted = _quoted_desks(clock, scenario, market)
    if not (book.custom or quoted):
        return None
    desks = [_asked_desks(clock, rows, scenario, market, seed) for rows in _side_by_side(market)]
    # the reference market's orders name no region: they carry bits that its providers are matched by
    named = scenario.market is None
    asked = Asked(
        market.eligibility.specs,
        lambda spec: market.asked[spec].region if named else None,
        owner_names(market),
        scenario.coin,
    )
    pricing = CustomPricing(clock, desks, asked, quoted, log)
    for process in pricing.processes():
        clock.env.process(process)
    return pricing


def _side_by_side(market: MarketSetup) -> list[list[int]]:
    """The rows of custom desks, those of a cohort together."""
    book = market.book
    return [list(rows) for _, rows in groupby(sorted(book.custom), key=lambda row: book.cohorts[row])]


def _asked_desks(clock: BlockClock, rows: list[int], scenario: Scenario, market: MarketSetup, seed: int) -> AskedDesks:
    """Load what prices the desks of a cohort: one object for all, or one a provider."""
    book = market.book
    name = book.cohort_names[book.cohorts[rows[0]]]
    where = f"providers.{name}.strategy"
    wish = book.custom[rows[0]]
    label = f"{where}: {getattr(wish, '__name__', wish)}"
    made: list[Any]
    if not isinstance(wish, StrategyChoice):
        made = [wish()] if hasattr(wish, "decide") else [wish() for _ in rows]
    elif wish.script is not None:
        made, label = [OperatorScript(scenario.base / wish.script)], f"{where}.script: {wish.script}"
    else:
        made, label = _loaded(wish, scenario, where, len(rows)), f"{where}.python: {wish.python}"
    names = [name] if len(made) == 1 else [f"{name}/{at}" for at in range(len(rows))]
    return AskedDesks(
        rows[0],
        tuple(book.names[row] for row in rows),
        tuple(made),
        label,
        name,
        tuple(stream(seed, f"strategy/{each}") for each in names),
        own_gpus(book.attributes[rows[0]]),
        _hear_ms(made[0], clock, label),
    )


def _loaded(wish: StrategyChoice, scenario: Scenario, where: str, count: int) -> list[Any]:
    """One object for a class with `decide` unless `each: provider` is asked for, one a provider for any other unless `each: cohort` is."""
    assert wish.python is not None

    def one() -> Any:
        return load_strategy(wish.python or "", wish.options, search=(scenario.base,), where=f"{where}.python")

    first = one()
    shared = wish.each == "cohort" or (wish.each is None and hasattr(first, "decide"))
    return [first] if shared else [first, *(one() for _ in range(count - 1))]


def _hear_ms(strategy: Any, clock: BlockClock, label: str) -> int:
    """How often a strategy wants to hear: its `hear_every`, a duration such as "1h" or "600 blocks"; a day where it says nothing."""
    try:
        every = getattr(strategy, "hear_every", None)
        text = None if every is None else str(every)
    except BaseException as error:
        if users_code.passes(error):
            raise
        raise InputError(f"{label}: hear_every raises {users_code.raised(error)}, expected a duration such as 1h") from error
    if text is None:
        return DAY_MS
    try:
        found = parse_duration(text).milliseconds(clock.block_ms)
    except ValueError as error:
        raise InputError(f"{label}: hear_every: {error}") from None
    if found < HEAR_LEAST_MS:
        raise InputError(f"{label}: hear_every: {text} is too short, give at least 1s")
    return found


def _quoted_desks(clock: BlockClock, scenario: Scenario, market: MarketSetup) -> list[QuotedDesks]:
    """The desks of built-in strategies that price volumes, addresses and models of GPUs, in a market where orders have any."""
    book, specs = market.book, market.eligibility.specs
    manifests = any(requirements.beyond is not None for requirements in specs)
    models = any(requirements.gpus for requirements in specs)
    found = []
    for number, cohort in enumerate(scenario.desks):
        strategy = built_in_strategy(cohort)
        by_model = cohort.strategy.monthly_targets is not None and bool(cohort.strategy.monthly_targets.gpu_mappings)
        if strategy is None or not (manifests or (models and by_model)):
            continue
        rows: Table = np.flatnonzero(np.asarray(book.cohorts) == number)
        for row in rows:
            clock.engine.desks[row, Desk.quoted] = 1
            refresh_units(clock.engine.desks[row])
        found.append(QuotedDesks(rows, strategy, own_gpus(book.attributes[rows[0]]), by_model))
    return found
