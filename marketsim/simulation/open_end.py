"""A market without an end: its demand is drawn a few days ahead, as it would be for any longer horizon."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np

from marketsim.chain.columns import Draft
from marketsim.chain.room import with_room
from marketsim.kernel.rows import Rows, as_rows
from marketsim.kernel.table_set import appended, rows_of
from marketsim.market.order_rows import place_rows
from marketsim.market.tables import BidChoice, Call, Plan
from marketsim.money.units import DAY_MS, DAYS_A_YEAR
from marketsim.scenario.literals import Duration
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MarketSetup, home_regions, number_deployments
from marketsim.simulation.orders import Stretch, staged_orders
from marketsim.simulation.play import Play, tenant_part

STRETCH_MS = 7 * DAY_MS
"""Demand that is drawn at once."""
YEARS = 10
BLOCKS_MAX = 1 << 28
"""Heights that tables hold with room to spare."""


def without_end(scenario: Scenario) -> Scenario:
    """Return the scenario with a horizon that nobody reaches: ten years, or 2^28 blocks; what is spread over the horizon stays so."""
    far = min(YEARS * DAYS_A_YEAR * DAY_MS, BLOCKS_MAX * scenario.block_ms)
    tenants = [
        cohort.model_copy(update={"demand": cohort.demand.model_copy(update={"within": cohort.demand.within or scenario.horizon})})
        if cohort.demand.orders is not None
        else cohort
        for cohort in scenario.tenants
    ]
    changes: dict[str, Any] = {"horizon": Duration(far), "tenants": tuple(tenants)}
    other = scenario.model_copy(update=changes)
    other._stages = tuple((at, stage.model_copy(update={"horizon": Duration(far)})) for at, stage in scenario._stages)
    return other


class OpenEnd:
    """Draws the demand of a market without an end, stretch by stretch."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self._last: dict[int, int] = {}
        self.first = Stretch(-1, STRETCH_MS)
        """What is drawn at the start."""
        self.until_ms = STRETCH_MS

    def begin(self, market: MarketSetup) -> None:
        """Note which numbers deployments have had in the first stretch."""
        for calls in market.calls:
            owners = market.engine.plans[calls[:, Call.plan], Plan.tenant]
            for owner, dseq in zip(owners.tolist(), calls[:, Call.dseq].tolist(), strict=True):
                self._last[owner] = max(dseq, self._last.get(owner, 0))

    def copy(self) -> OpenEnd:
        """Return what draws for a copied market."""
        other = copy(self)
        other._last = dict(self._last)
        return other

    def extend(self, play: Play) -> None:
        """Give a market the demand of the next stretch; the market has not come to its end yet."""
        scenario, market, clock = self._scenario, play.market, play.clock
        stretch = Stretch(self.until_ms, self.until_ms + STRETCH_MS)
        homes = home_regions(scenario, self._seed)
        calls: list[Rows[Call]] = []
        plans: list[Rows[Plan]] = []
        first_plan, first_tenant = len(clock.engine.plans), market.first_tenant
        for number in range(len(scenario.tenants)):
            part = staged_orders(number, scenario, self._seed, stretch)
            specs = play.by_hand.learn(part.asked)
            rows, mine, drafts = as_rows(Call, part.calls.copy()), as_rows(Plan, part.plans.copy()), as_rows(Draft, part.drafts.copy())
            chain = with_room(clock.chain, resources=len(part.resources), drafts=len(drafts))
            resource, draft = int(chain.globals.resources), int(chain.globals.drafts)
            tenant = first_tenant + sum(each.count for each in scenario.tenants[:number])
            place_rows(rows, mine, drafts, specs, first_plan, draft, resource, tenant)
            chain.resources[resource : resource + len(part.resources)] = part.resources
            chain.drafts[draft : draft + len(drafts)] = drafts
            chain.globals.resources = resource + len(part.resources)
            chain.globals.drafts = draft + len(drafts)
            clock.chain = chain
            mine[mine[:, Plan.choice] == BidChoice.OWN, Plan.choice_k] = number
            mine[:, Plan.region] = homes[mine[:, Plan.tenant] - first_tenant]
            first_plan += len(mine)
            calls.append(rows)
            plans.append(mine)
        made = as_rows(Plan, np.concatenate([rows_of(0, Plan), *plans]))
        sent = as_rows(Call, np.concatenate([rows_of(0, Call), *calls]))
        wallets = range(first_tenant, first_tenant + sum(cohort.count for cohort in scenario.tenants))
        self._last = number_deployments(sent, made, wallets, self._last)
        clock.engine = clock.engine._replace(plans=as_rows(Plan, appended(clock.engine.plans, made)))
        at = 0
        for cohort, rows in zip(scenario.tenants, calls, strict=True):
            play.add(tenant_part(clock, scenario, cohort, sent[at : at + len(rows)]))
            at += len(rows)
        self.until_ms = stretch.end_ms


__all__ = ["OpenEnd", "without_end"]
