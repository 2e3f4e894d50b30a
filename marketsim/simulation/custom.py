"""Which desks of a scenario are priced by a user's code, and the start of their strategies."""

from __future__ import annotations

from marketsim.agents.tenants import OnLook
from marketsim.market.clock import BlockClock
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MarketSetup


def start_pricing(clock: BlockClock, scenario: Scenario, market: MarketSetup) -> OnLook | None:
    """Build the strategies of all custom desks, one object a desk, and start telling them; return what prices orders.

    None where no desk is custom. Raises InputError for a class or script that cannot be loaded.
    """
    book = market.book
    if not book.custom:
        return None
    from marketsim.strategies.asking import Asked, CustomPricing, custom_desks, load_desk_strategy
    from marketsim.strategies.rules import Strategy

    named: dict[int, tuple[Strategy, str]] = {}
    for row, wish in book.custom.items():
        where = f"providers.{book.cohort_names[book.cohorts[row]]}.strategy"
        if isinstance(wish, Strategy):
            named[row] = wish, f"{where}: {type(wish).__name__}"
        else:
            named[row] = load_desk_strategy(wish.python, wish.script, scenario.base, where)
    # the reference market's orders name no region: they carry bits that its providers are matched by
    regions = [kind.region for kind in market.asked] if scenario.market is None else [None] * len(market.eligibility.specs)
    asked = Asked(market.eligibility.specs, regions, market.tenant_names, market.first_tenant)
    pricing = CustomPricing(clock, custom_desks(named, book.names), asked)
    clock.env.process(pricing.days())
    return pricing.quote
