"""Which desks of a scenario are priced by a user's code, and the start of their strategies."""

from __future__ import annotations

import numpy as np

from marketsim.market.clock import BlockClock
from marketsim.market.quoting import refresh_units
from marketsim.market.tables import Desk
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MarketSetup
from marketsim.simulation.target_prices import built_in_strategy
from marketsim.strategies.asking import Asked, CustomPricing, QuotedDesks, custom_desks, load_desk_strategy, own_gpus
from marketsim.strategies.rules import Strategy


def start_pricing(clock: BlockClock, scenario: Scenario, market: MarketSetup) -> CustomPricing | None:
    """Build the strategies of all custom desks, one object a desk, and start telling them; return what prices orders.

    None where no order needs it. Raises InputError for a class or script that cannot be loaded.
    """
    book = market.book
    quoted = _quoted_desks(clock, scenario, market)
    if not (book.custom or quoted):
        return None
    named: dict[int, tuple[Strategy, str]] = {}
    for row, wish in book.custom.items():
        where = f"providers.{book.cohort_names[book.cohorts[row]]}.strategy"
        if isinstance(wish, Strategy):
            named[row] = wish, f"{where}: {type(wish).__name__}"
        else:
            named[row] = load_desk_strategy(wish.python, wish.script, scenario.base, where)
    # the reference market's orders name no region: they carry bits that its providers are matched by
    regions = [kind.region for kind in market.asked] if scenario.market is None else [None] * len(market.eligibility.specs)
    asked = Asked(market.eligibility.specs, regions, market.tenant_names, market.first_tenant, scenario.coin)
    pricing = CustomPricing(clock, custom_desks(named, book.names, book.attributes), asked, quoted)
    clock.env.process(pricing.days())
    return pricing


def _quoted_desks(clock: BlockClock, scenario: Scenario, market: MarketSetup) -> list[QuotedDesks]:
    """The desks of built-in strategies that price volumes, addresses and models of GPUs, in a market where orders have any."""
    book, specs = market.book, market.eligibility.specs
    manifests = any(requirements.beyond is not None for requirements in specs)
    models = any(requirements.gpus for requirements in specs)
    found = []
    for number, cohort in enumerate(scenario.providers):
        strategy = built_in_strategy(cohort)
        by_model = cohort.strategy.monthly_targets is not None and bool(cohort.strategy.monthly_targets.gpu_mappings)
        if strategy is None or not (manifests or (models and by_model)):
            continue
        rows = np.flatnonzero(np.asarray(book.cohorts) == number)
        for row in rows:
            clock.engine.desks[row, Desk.quoted] = 1
            refresh_units(clock.engine.desks[row])
        found.append(QuotedDesks(rows, strategy, own_gpus(book.attributes[rows[0]]), by_model))
    return found
