"""Welfare and market structure of a recorded run: who gained, how concentrated, how far from the best.

Costs are a provider's own unit prices without margin (its cost draw included) times its cohort's `cost_share`;
providers without unit prices cost the generic targets. The lives that the hindsight optimum needs for orders that were
never served are the ones drawn for them (streams do not depend on what happened).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from marketsim.chain.columns import Draft
from marketsim.market.list_prices import list_price_pairs
from marketsim.market.tables import Call, Plan, codes_of
from marketsim.metrics.welfare import (
    ORDERS_MAX,
    PROVIDERS_MAX,
    Efficiency,
    cost_per_block,
    efficiency,
    gini,
    herfindahl,
    price_dispersion,
    surplus,
    unserved_shares,
)
from marketsim.money.units import MIB
from marketsim.recording.record import UNFILLED, Record
from marketsim.scenario import Scenario
from marketsim.simulation.build import MarketSetup, build_market
from marketsim.simulation.generic_cost import generic_cost
from marketsim.statistics.estimates import FloatArray, finite


def welfare_of(scenario: Scenario, seed: int, record: Record, *, hindsight: bool = True) -> dict[str, Any]:
    """Welfare of one recorded run as plain numbers (docs/statistics.md has the definitions).

    Surplus, concentration and dispersion cover the window after `warm_up`, like revenue and take in the summary: a lease counts with its
    blocks there and with what it earned there, settled or not; the take is what was settled. Unserved orders and the efficiency cover the
    whole run. The efficiency is None without `hindsight`, beyond 300 orders × 20 providers, and where orders were relisted or repeated.
    Raises ValueError for a market that is not made of cohorts (`market:`, hand-written messages).
    """
    if not scenario.tenants or not scenario.providers:
        raise ValueError("welfare needs cohorts of tenants and providers")
    market = build_market(scenario, seed)
    orders, leases = record.orders, record.leases
    value = orders["value_whole"] + orders["value_atto"] / 1e18
    sizes = _sizes(orders["cpu"], orders["memory"], orders["storage"], orders["gpu"])
    generic = generic_cost(orders["cpu"], orders["memory"], orders["storage"], orders["gpu"])
    unit, share = _unit_prices(market), _cost_shares(scenario, record)
    row, slot = leases["order"], leases["provider"]
    own = (sizes[row] * unit[slot]).sum(axis=1)
    cost = np.where(unit[slot].any(axis=1), own, generic[row]) * share[slot]
    gains = surplus(
        value=value[row],
        blocks=_served(record, record.warm_up_blocks),
        paid=_earned(leases, "earned") - _earned(leases, "earned_before"),
        cost=cost,
        fees=(leases["fees"] - leases["fees_before"]).astype(np.float64),
    )
    here = leases["created_at"] > record.warm_up_blocks
    price = (leases["price_whole"] + leases["price_atto"] / 1e18)[here]
    reasons = orders["unfilled"][(orders["relisted"] == 0) & (orders["unfilled"] >= 0)]
    counts = dict(zip(UNFILLED, np.bincount(reasons, minlength=len(UNFILLED)).tolist(), strict=True))
    revenue = record.providers["revenue_net"]
    found: dict[str, Any] = {
        "tenant_surplus_uve": gains.tenants,
        "provider_profit_uve": gains.providers,
        "protocol_take_uve": gains.protocol,
        "total_uve": gains.total,
        "hhi": finite(herfindahl(revenue)),
        "gini": finite(gini(revenue)),
        "price_dispersion": finite(price_dispersion(price, generic[row][here])),
        "unserved_percent": unserved_shares(counts).percent,
        "efficiency": None,
        "efficiency_low": None,
        "efficiency_gap": None,
    }
    small = 0 < len(value) <= ORDERS_MAX and len(unit) <= PROVIDERS_MAX and not any(cohort.react for cohort in scenario.tenants)
    if hindsight and small and not orders["relisted"].any():
        best = _hindsight(market, record, value, sizes, generic, unit, share)
        found["efficiency"] = finite(best.efficiency)
        found["efficiency_low"] = finite(best.efficiency_low)
        found["efficiency_gap"] = finite(best.gap)
    return found


def _hindsight(
    market: MarketSetup,
    record: Record,
    value: FloatArray,
    sizes: FloatArray,
    generic: FloatArray,
    unit: FloatArray,
    share: FloatArray,
) -> Efficiency:
    """The best assignment of the orders that were made, each from its first possible lease to its drawn end."""
    orders, leases, providers = record.orders, record.leases, record.providers
    drawn = _drawn(market)
    asked = [drawn[key] for key in zip(orders["tenant"].tolist(), orders["dseq"].tolist(), strict=True)]
    life, spec = np.array(asked, dtype=np.int64).T
    lease = orders["lease"]
    # Who was never served would have begun when the others do, at the end of the bid window.
    window = int(market.engine.globals.bid_window)
    start = np.where(lease >= 0, np.append(leases["created_at"], 0)[lease], orders["created_at"] + window)
    cost = cost_per_block(sizes, unit, share)
    priceless = ~unit.any(axis=1)
    cost[:, priceless] = generic[:, None] * share[priceless]
    return efficiency(
        value=value,
        start=start,
        end=np.maximum(np.minimum(start + life, record.blocks), start + 1),
        resources=sizes,
        winner=np.append(leases["provider"], -1)[lease],
        capacity=_sizes(providers["cpu"], providers["memory"], providers["storage"], providers["gpu"]),
        cost=cost,
        # An order whose window ends with the run could not have been served by anybody.
        eligible=(codes_of(market.engine.fits)[spec, : len(providers["cpu"])] == 0) & (start < record.blocks)[:, None],
        served_blocks=np.append(_served(record), 0.0)[lease],
    )


def _drawn(market: MarketSetup) -> dict[tuple[int, int], tuple[int, int]]:
    """Life in blocks and kind of place asked for, by (tenant, deployment number)."""
    calls = np.concatenate(market.calls)
    plan = market.engine.plans[calls[:, Call.plan]]
    early = plan[:, Plan.terminate]
    life = np.maximum(np.where(early >= 0, np.minimum(early, plan[:, Plan.duration]), plan[:, Plan.duration]), 1)
    spec = market.chain.drafts[calls[:, Call.first_draft], Draft.spec]
    tenant = plan[:, Plan.tenant] - market.first_tenant
    keys = zip(tenant.tolist(), calls[:, Call.dseq].tolist(), strict=True)
    return dict(zip(keys, zip(life.tolist(), spec.tolist(), strict=True), strict=True))


def _served(record: Record, after: int = 0) -> FloatArray:
    """Blocks after a height that each lease was alive."""
    closed = np.where(record.leases["closed_at"] < 0, record.blocks, record.leases["closed_at"])
    served: FloatArray = np.maximum(closed - np.maximum(record.leases["created_at"], after), 0).astype(np.float64)
    return served


def _earned(leases: Mapping[str, Any], name: str) -> FloatArray:
    earned: FloatArray = leases[f"{name}_whole"] + leases[f"{name}_atto"] / 1e18
    return earned


def _sizes(cpu: Any, memory: Any, storage: Any, gpu: Any) -> FloatArray:
    """Millicores, MiB, MiB and units as float64[rows, 4]: the units that prices are for."""
    return np.column_stack([cpu, memory / MIB, storage / MIB, gpu]).astype(np.float64)


def _unit_prices(market: MarketSetup) -> FloatArray:
    """uve per millicore, MiB, MiB and GPU of every provider, float64[providers, 4]; zeros where it has none."""
    pairs = list_price_pairs(market.book.rows)
    return np.asarray(pairs[:, :, 0] + pairs[:, :, 1] / 1e18)


def _cost_shares(scenario: Scenario, record: Record) -> FloatArray:
    shares = np.array([cohort.cost_share for cohort in scenario.providers], dtype=np.float64)
    found: FloatArray = shares[np.asarray(record.providers["cohort"])]
    return found
