"""Tenants that choose by a rule of a user's own: compiled rules get their address into the market, others are asked in their turn."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from marketsim.agents.streams import stream
from marketsim.chain.columns import Deployment, Group
from marketsim.errors import InputError
from marketsim.kernel.compiled import bound
from marketsim.market.clock import BlockClock
from marketsim.market.desks import is_before
from marketsim.market.tenants import is_choosable, own_score_of
from marketsim.money.units import ATTO, PPM
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MarketSetup
from marketsim.simulation.desks import region_codes
from marketsim.strategies.choice import (
    CompiledScore,
    OfferedBid,
    OrderToLease,
    chosen_of,
    compile_score,
    judged,
    load_choice_rule,
)


class Choosers:
    """The choice rules of a scenario's cohorts that are users' own."""

    def __init__(self, clock: BlockClock, scenario: Scenario, market: MarketSetup, seed: int) -> None:
        self._clock = clock
        self._scenario = scenario
        self._market = market
        self._seed = seed
        self._rules: dict[int, Any] = {}
        self._compiled: dict[int, CompiledScore] = {}
        self._regions = {code: name for name, code in region_codes(scenario).items()}
        self._bound: tuple[int, int, Any] = (0, 0, None)
        addresses = np.zeros(max(1, len(scenario.tenants)), np.int64)
        for number, cohort in enumerate(scenario.tenants):
            if cohort.choice.python is None:
                continue
            where = f"tenants.{cohort.name}.choice.python"
            rule = self._rules[number] = load_choice_rule(cohort.choice.python, cohort.choice.options, (scenario.base,), where)
            try:
                score = compile_score(rule)
            except ValueError as error:
                raise InputError(f"{where}: {cohort.choice.python}: {error}") from error.__cause__
            if score is not None:
                self._compiled[number] = score
                addresses[number] = score.address
        clock.engine = clock.engine._replace(rules=addresses)
        clock.engine.globals.own_choices = 1
        clock.choose = self._choose
        clock.misjudge = self._misjudge

    def _tables(self) -> tuple[Any, Any, Callable[[int, int], bool], Callable[[int], bool]]:
        chain, engine = self._clock.chain, self._clock.engine
        if self._bound[:2] != (id(chain), id(engine)):
            made = chain, engine, bound(is_before, engine), bound(is_choosable, chain, engine)
            self._bound = id(chain), id(engine), made
        return self._bound[2]  # type: ignore[no-any-return]

    def _offers(self, order: int) -> list[int]:
        """The offers for an order that can be taken, the cheapest first."""
        _, engine, is_first, stands = self._tables()
        found: list[int] = []
        offer = int(engine.tracks[order].first_offer)
        while offer >= 0:
            if stands(offer):
                at = 0
                while at < len(found) and not is_first(offer, found[at]):
                    at += 1
                found.insert(at, offer)
            offer = int(engine.offers[offer].next)
        return found

    def _choose(self, order: int) -> int:
        offers = self._offers(order)
        number = self._cohort_of(order)
        asked = self._order(order, number)
        try:
            chosen = chosen_of(self._rules[number], asked, tuple(self._bid(offer) for offer in offers))
        except ValueError as error:
            raise self._refusal(number, asked, str(error)) from error.__cause__
        return -1 if chosen is None else offers[chosen]

    def _misjudge(self, order: int) -> None:
        """Say what a compiled rule makes of the bids for an order: asked again in Python, which tells where it fails."""
        chain, engine, _, _ = self._tables()
        number = self._cohort_of(order)
        asked = self._order(order, number)
        plain = self._compiled[number].plain
        offers = self._offers(order)
        problem = "score gives NaN"
        for offer in offers:
            row = engine.offers[offer]
            bid = self._bid(offer)
            numbers = (
                bid.price / ATTO, self._bid(offers[0]).price / ATTO, asked.ceiling / ATTO, asked.value / ATTO, bid.uptime,
                float(bid.audited), float(bid.region is not None and bid.region == asked.home_region), float(row.desk),
            )  # fmt: skip
            try:
                score = judged(plain, numbers) if plain is not None else own_score_of(chain, engine, order, offer, offers[0])
            except ValueError as error:
                raise self._refusal(number, asked, str(error)) from error.__cause__
            if math.isnan(score):
                problem = f"score gives NaN for the bid of {bid.provider} at {bid.price / ATTO:g} uve, expected a number, -inf for never"
                break
        raise self._refusal(number, asked, problem)

    def _refusal(self, number: int, asked: OrderToLease, problem: str) -> InputError:
        cohort = self._scenario.tenants[number]
        text = f"{cohort.choice.python}: order {asked.id} in block {asked.height}: {problem}"
        return self._scenario.refusal(("tenants", cohort.name, "choice", "python"), text)

    def _cohort_of(self, order: int) -> int:
        engine = self._clock.engine
        return int(engine.plans[int(engine.tracks[order].plan)].choice_k)

    def _bid(self, offer: int) -> OfferedBid:
        row = self._clock.engine.offers[offer]
        at = int(row.desk)
        desk, book = self._clock.engine.desks[at], self._market.book
        return OfferedBid(
            book.names[at],
            int(row.price) * ATTO + int(row.price_atto),
            int(desk.uptime_ppm) / PPM,
            bool(desk.audited == 1),
            self._regions.get(int(desk.region)),
            dict(book.attributes[at]),
            at,
        )

    def _order(self, order: int, number: int) -> OrderToLease:
        clock, market, cohort = self._clock, self._market, self._scenario.tenants[number]
        chain, engine = clock.chain, clock.engine
        row, track = chain.orders[order], engine.tracks[order]
        plan = engine.plans[int(track.plan)]
        group = chain.groups[int(row.group)]
        tenant = market.tenant_names[int(plan.tenant) - market.first_tenant]
        dseq = int(chain.deployments[int(row.deployment), Deployment.dseq])
        name = f"tenant/{cohort.name}/choice/{int(track.key)}"
        return OrderToLease(
            id=f"{tenant}/{dseq}/{int(group.gseq)}/{int(row.oseq)}",
            tenant=tenant,
            cohort=cohort.name,
            height=int(engine.globals.last_block),
            created_at=int(row.created_at),
            cpu=int(group[Group.cpu]),
            memory=int(group[Group.memory]),
            storage=int(group[Group.storage]),
            gpu=int(group[Group.gpu]),
            ceiling=int(row.price) * ATTO + int(row.price_atto),
            value=int(plan.value) * ATTO + int(plan.value_atto),
            home_region=self._regions.get(int(plan.region)),
            rng=partial(stream, self._seed, name),
        )


__all__ = ["Choosers"]
