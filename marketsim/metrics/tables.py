"""The outcome by provider, by cohort of providers and by cohort of tenants, as rows for reports."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from marketsim.metrics.summary import close_reasons, fill_rate, price, ratio, rejections, utilization, window_orders
from marketsim.recording.record import DECLINE_CODES, UNFILLED, Column, Record, exact_sum


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One provider, or a cohort of them (`count` > 1): rates, revenue and utilization of the window, counts
    of the run."""

    name: str
    count: int
    submitted: int
    acceptance_rate: float | None
    won: int
    win_rate: float | None
    leases: int
    active: int
    revenue: int
    """Net revenue of the window, whole uve."""
    take: int
    network_fees: int
    utilization: dict[str, float | None]
    declined: tuple[str, int] | None
    """The engine's most frequent reason not to bid, with its count."""
    rejected: tuple[str, int] | None
    """The chain's most frequent reason to refuse its bids, with its count."""


@dataclass(frozen=True, slots=True)
class TenantRow:
    """One cohort of tenants: orders, fill rate and price of the window, payments and reasons of the whole
    run."""

    name: str
    tenants: int
    orders: int
    fill_rate: float | None
    price_p50: str | None
    price_p50_uve: float | None
    paid: int
    """Paid to providers and in take, whole uve, whole run."""
    shortfall: int
    """Owed and forgiven, atto-uve."""
    close_reasons: dict[str, int]
    unfilled: dict[str, int]


def provider_rows(record: Record) -> list[ProviderRow]:
    """Return one row a provider, in the record's order."""
    count, alive = len(record.providers["name"]), _running_leases(record)
    return [_provider_row(record, name, np.arange(count) == row, alive) for row, name in enumerate(record.providers["name"])]


def provider_cohort_rows(record: Record) -> list[ProviderRow]:
    """Return one row a cohort of providers, in the scenario's order."""
    cohort, alive = record.providers["cohort"], _running_leases(record)
    return [_provider_row(record, name, cohort == row, alive) for row, name in enumerate(record.provider_cohorts)]


def tenant_cohort_rows(record: Record) -> list[TenantRow]:
    """Return one row a cohort of tenants, in the scenario's order."""
    orders, leases = record.orders, record.leases
    of_order = record.tenants["cohort"][orders["tenant"]]
    of_lease = of_order[leases["order"]]
    counted = window_orders(record)
    rows = []
    for cohort, name in enumerate(record.tenant_cohorts):
        mine, own = of_order == cohort, of_lease == cohort
        won = price(record, own)
        lost = orders["unfilled"][mine & (orders["relisted"] == 0) & (orders["unfilled"] >= 0)]
        reasons = np.bincount(lost, minlength=len(UNFILLED))
        rows.append(
            TenantRow(
                name=name,
                tenants=int((record.tenants["cohort"] == cohort).sum()),
                orders=int((counted & mine).sum()),
                fill_rate=fill_rate(record, mine),
                price_p50=won["p50"],
                price_p50_uve=won["p50_uve"],
                paid=int(leases["withdrawn"][own].sum()),
                shortfall=exact_sum(leases["shortfall_whole"][own], leases["shortfall_atto"][own]),
                close_reasons=close_reasons({"ended": leases["ended"][own]}),
                unfilled={code: int(count) for code, count in zip(UNFILLED, reasons, strict=True) if count},
            )
        )
    return rows


def _running_leases(record: Record) -> Column:
    """Leases not closed at the end, by provider."""
    running = record.leases["provider"][record.leases["closed_at"] < 0]
    return np.bincount(running, minlength=len(record.providers["name"]))


def _provider_row(record: Record, name: str, mask: Column, alive: Column) -> ProviderRow:
    table = record.providers
    sums = {
        key: int(table[key][mask].sum())
        for key in (
            *("submitted", "won", "leases", "revenue_net", "fees", "network_fees"),
            *("submitted_window", "accepted_window", "won_window", "lost_window", "closed_window"),
        )
    }
    declined = table["declined"][mask].sum(axis=0)
    rejected = rejections(table["rejected"][mask].sum(axis=0), record.meta["rules"])
    resolved = sums["won_window"] + sums["lost_window"] + sums["closed_window"]
    return ProviderRow(
        name=name,
        count=int(mask.sum()),
        submitted=sums["submitted"],
        acceptance_rate=ratio(sums["accepted_window"], sums["submitted_window"]),
        won=sums["won"],
        win_rate=ratio(sums["won_window"], resolved),
        leases=sums["leases"],
        active=int(alive[mask].sum()),
        revenue=sums["revenue_net"],
        take=sums["fees"],
        network_fees=sums["network_fees"],
        utilization=utilization(record, mask),
        declined=_most(dict(zip(DECLINE_CODES, map(int, declined), strict=True))),
        rejected=_most(rejected),
    )


def _most(counts: dict[str, int]) -> tuple[str, int] | None:
    code = max(counts, key=lambda key: counts[key], default=None)
    return None if code is None or not counts[code] else (code, counts[code])
