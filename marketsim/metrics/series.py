"""The series of the training document: one table for a running market's `/metrics` and for the files that `export` writes.

Each series says its name, type, unit, labels and meaning; `samples` computes all of them from one `MarketSnapshot`, the market as it is
at one height. Prices are per block, rates per second. Names that grow without `_total` are of type unknown: as counters, exporters append
`_total`, and the training document's queries would find nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]

HOUR_MS: Final = 3_600_000
WARNING_HOURS: Final = 24
"""Leases whose funds last less than so many hours count as escrow warnings."""
BID_SECONDS: Final = (1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 120, 300)
"""Upper bounds of the buckets of bid times; the document's target is 5 s."""

LEASE_LABELS: Final = ("owner", "dseq", "gseq", "oseq", "provider")


class MetricSeries(NamedTuple):
    """One series: `kind` is gauge, counter, unknown or histogram; a counter's name is given without its `_total`."""

    name: str
    kind: str
    unit: str
    labels: tuple[str, ...]
    help: str

    @property
    def exposed(self) -> str:
        """Its name as queries use it."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


_P = ("provider",)

SERIES: Final = (
    MetricSeries("virtengine_market_active_leases", "gauge", "leases", _P, "Leases that are active, those out of funds apart."),
    MetricSeries("virtengine_provider_active_leases", "gauge", "leases", _P, "Leases that are active, those out of funds apart."),
    MetricSeries("virtengine_provider_insufficient_leases", "gauge", "leases", _P, "Leases whose escrow account has run dry."),
    MetricSeries(
        "virtengine_provider_lease_capacity", "gauge", "leases", _P, "Leases that the provider may have at a time, where that is set."
    ),
    MetricSeries("virtengine_provider_capacity", "gauge", "cores, bytes, units", (*_P, "resource"), "What can be leased of a resource."),
    MetricSeries("virtengine_provider_capacity_used", "gauge", "cores, bytes, units", (*_P, "resource"), "What is leased of a resource."),
    MetricSeries("virtengine_provider_lease_revenue", "unknown", "uve", _P, "Paid out to the provider so far, net of the take."),
    MetricSeries(
        "virtengine_provider_lease_close_rate",
        "gauge",
        "1/h",
        _P,
        "Leases closed in the last hour by leases active at its start; no sample where none was.",
    ),
    MetricSeries("virtengine_provider_leases_closed", "counter", "leases", (*_P, "reason"), "Leases that have ended, by reason."),
    MetricSeries("virtengine_escrow_balance", "gauge", "uve", LEASE_LABELS, "The lease's share of what its escrow account still holds."),
    MetricSeries("virtengine_lease_rate", "gauge", "uve/s", LEASE_LABELS, "The lease's price by second; it is agreed by block."),
    MetricSeries("virtengine_escrow_settlement_amount", "unknown", "uve", _P, "Moved out of escrow for its leases by settlements so far."),
    MetricSeries("virtengine_escrow_settlement_take", "unknown", "uve", _P, "Taken by the network from the provider's pay-outs so far."),
    MetricSeries("virtengine_bid", "counter", "bids", _P, "Bids submitted."),
    MetricSeries("virtengine_bid_success", "counter", "bids", _P, "Bids that won a lease."),
    MetricSeries("virtengine_bid_accepted", "counter", "bids", _P, "Bids that the chain accepted."),
    MetricSeries("virtengine_bid_rejected", "counter", "bids", (*_P, "code"), "Bids that the chain refused, by its code."),
    MetricSeries("virtengine_bid_declined", "counter", "orders", (*_P, "code"), "Orders that the engine did not bid on, by reason."),
    MetricSeries("virtengine_bid_lost", "counter", "bids", _P, "Bids on orders that went to another or ended."),
    MetricSeries("virtengine_bid_duration_seconds", "histogram", "s", _P, "From the engine seeing an order to its bid."),
    MetricSeries("virtengine_market_orders_created", "counter", "orders", (), "Orders created."),
    MetricSeries("virtengine_market_orders_leased", "counter", "orders", (), "Orders that became a lease."),
    MetricSeries(
        "virtengine_market_orders_ended", "counter", "orders", ("reason",), "Orders that ended without a lease, by what they lacked."
    ),
    MetricSeries("virtengine_market_orders_open", "gauge", "orders", (), "Orders that wait for bids or for their tenant's choice."),
    MetricSeries("virtengine_escrow_warnings", "gauge", "leases", _P, "Active leases with less than 24 h of funds."),
    MetricSeries("virtengine_provider_gas_fees", "unknown", "uve", _P, "Paid by the provider for its messages so far."),
    MetricSeries("virtengine_provider_up", "gauge", "", _P, "1 unless the provider is down."),
    MetricSeries("virtengine_provider_engine_enabled", "gauge", "", _P, "1 where its bid engine is switched on."),
    MetricSeries("virtengine_provider_blocked", "gauge", "", _P, "1 while governance blocks it."),
    MetricSeries("virtengine_chain_height", "gauge", "blocks", (), "Height of the last block."),
    MetricSeries("virtengine_block_time_seconds", "gauge", "s", (), "Seconds from block to block."),
    MetricSeries(
        "marketsim_lag_blocks", "gauge", "blocks", (), "Blocks by which a paced market is behind its clock; 0 for a recorded run."
    ),
)
"""Every series, in the order of the training document and then of what its dashboards and exercises need."""


@dataclass(frozen=True)
class MarketSnapshot:
    """A market at one height; columns are of one length for providers (P), for living leases (L) and for all leases that were (A)."""

    height: int
    block_ms: int
    providers: Sequence[str]
    """Names, (P,)."""
    lease_ids: Sequence[tuple[str, str, str, str, str]]
    """Values of `LEASE_LABELS` of leases that are not closed, (L,)."""
    lease_provider: Numbers
    """Row in `providers`, (L,)."""
    lease_active: NDArray[np.bool_]
    """Whether it has funds, (L,)."""
    lease_price: Floats
    """uve a block, (L,)."""
    lease_balance: Floats
    """uve, (L,): the lease's share of its account's funds at this height, by its share of the prices."""
    all_provider: Numbers
    """Row in `providers`, (A,)."""
    all_begun: Numbers
    """Height from which it was active, (A,)."""
    all_closed: Numbers
    """Height of its end, -1 while it goes on, (A,)."""
    all_ended: Sequence[str]
    """Why it ended, empty while it goes on, (A,)."""
    lease_capacity: Numbers
    """(P,), -1 = not set."""
    capacity: Mapping[str, Floats]
    """By resource, (P,): cores, bytes, bytes, units."""
    used: Mapping[str, Floats]
    net: Floats
    """uve, (P,)."""
    moved: Floats
    take: Floats
    gas: Floats
    submitted: Numbers
    won: Numbers
    accepted: Numbers
    lost: Numbers
    rejected: Mapping[str, Numbers]
    """By code, (P,)."""
    declined: Mapping[str, Numbers]
    bid_seconds: NDArray[np.int64]
    """Bids by bucket of `BID_SECONDS` and beyond, (P, len(BID_SECONDS) + 1), not cumulative."""
    bid_seconds_sum: Floats
    up: Numbers
    enabled: Numbers
    blocked: Numbers
    orders_created: int
    orders_leased: int
    orders_open: int
    orders_ended: Mapping[str, int]
    lag_blocks: int = 0


Sample = tuple[str, tuple[str, ...], float]
"""Suffix of the name, values of the labels, and the value."""


def samples(at: MarketSnapshot, providers: Sequence[int] | None = None) -> dict[str, list[Sample]]:
    """Return the samples of every series at one height, by `MetricSeries.name`.

    `providers` are rows of those to be shown, default all; series of the whole market are always there. The buckets of the histogram
    have the label `le` after its others.
    """
    rows = np.arange(len(at.providers)) if providers is None else np.asarray(providers, np.int64)
    names = [at.providers[row] for row in rows.tolist()]
    count = len(at.providers)
    active = np.bincount(at.lease_provider[at.lease_active], minlength=count)
    short = np.bincount(at.lease_provider[~at.lease_active], minlength=count)
    shown = np.isin(at.lease_provider, rows)
    seconds = at.block_ms / 1000

    def by_provider(column: Any) -> list[Sample]:
        return [("", (name,), float(value)) for name, value in zip(names, np.asarray(column)[rows].tolist(), strict=True)]

    def by_code(columns: Mapping[str, Any], suffix: str) -> list[Sample]:
        return [
            (suffix, (name, code), float(value))
            for code, column in columns.items()
            for name, value in zip(names, np.asarray(column)[rows].tolist(), strict=True)
        ]

    def counted(column: Any) -> list[Sample]:
        return [("_total", labels, value) for _, labels, value in by_provider(column)]

    def by_lease(column: Floats) -> list[Sample]:
        return [("", at.lease_ids[row], float(column[row])) for row in np.flatnonzero(shown).tolist()]

    limited = [sample for sample, row in zip(by_provider(at.lease_capacity), rows.tolist(), strict=True) if at.lease_capacity[row] >= 0]
    return {
        "virtengine_market_active_leases": by_provider(active),
        "virtengine_provider_active_leases": by_provider(active),
        "virtengine_provider_insufficient_leases": by_provider(short),
        "virtengine_provider_lease_capacity": limited,
        "virtengine_provider_capacity": by_code(at.capacity, ""),
        "virtengine_provider_capacity_used": by_code(at.used, ""),
        "virtengine_provider_lease_revenue": by_provider(at.net),
        "virtengine_provider_lease_close_rate": _close_rates(at, rows, names),
        "virtengine_provider_leases_closed": by_code(_closed(at), "_total"),
        "virtengine_escrow_balance": by_lease(at.lease_balance),
        "virtengine_lease_rate": by_lease(at.lease_price / seconds),
        "virtengine_escrow_settlement_amount": by_provider(at.moved),
        "virtengine_escrow_settlement_take": by_provider(at.take),
        "virtengine_bid": counted(at.submitted),
        "virtengine_bid_success": counted(at.won),
        "virtengine_bid_accepted": counted(at.accepted),
        "virtengine_bid_rejected": by_code(at.rejected, "_total"),
        "virtengine_bid_declined": by_code(at.declined, "_total"),
        "virtengine_bid_lost": counted(at.lost),
        "virtengine_bid_duration_seconds": _bid_times(at, rows, names),
        "virtengine_market_orders_created": [("_total", (), float(at.orders_created))],
        "virtengine_market_orders_leased": [("_total", (), float(at.orders_leased))],
        "virtengine_market_orders_ended": [("_total", (reason,), float(number)) for reason, number in at.orders_ended.items()],
        "virtengine_market_orders_open": [("", (), float(at.orders_open))],
        "virtengine_escrow_warnings": by_provider(_warnings(at)),
        "virtengine_provider_gas_fees": by_provider(at.gas),
        "virtengine_provider_up": by_provider(at.up),
        "virtengine_provider_engine_enabled": by_provider(at.enabled),
        "virtengine_provider_blocked": by_provider(at.blocked),
        "virtengine_chain_height": [("", (), float(at.height))],
        "virtengine_block_time_seconds": [("", (), seconds)],
        "marketsim_lag_blocks": [("", (), float(at.lag_blocks))],
    }


def _warnings(at: MarketSnapshot) -> Numbers:
    blocks = WARNING_HOURS * HOUR_MS / at.block_ms
    low = at.lease_active & (at.lease_balance < at.lease_price * blocks)
    return np.bincount(at.lease_provider[low], minlength=len(at.providers))


def _closed(at: MarketSnapshot) -> dict[str, Numbers]:
    count = len(at.providers)
    ended = np.asarray(at.all_ended, object)
    return {
        reason: np.bincount(at.all_provider[ended == reason], minlength=count) if len(ended) else np.zeros(count, np.int64)
        for reason in CLOSE_REASONS
    }


CLOSE_REASONS: Final = ("tenant_terminated", "lease_completed", "insufficient_funds", "provider_closed")
"""Why leases end, in the training document's terms."""


def _close_rates(at: MarketSnapshot, rows: Numbers, names: Iterable[str]) -> list[Sample]:
    since = at.height - HOUR_MS // at.block_ms
    closed = at.all_closed >= 0
    begun = (at.all_begun >= 0) & (at.all_begun <= since)
    there = begun & (~closed | (at.all_closed > since))
    count = len(at.providers)
    base = np.bincount(at.all_provider[there], minlength=count)
    gone = np.bincount(at.all_provider[closed & (at.all_closed > since)], minlength=count)
    return [("", (name,), float(gone[row] / base[row])) for name, row in zip(names, rows.tolist(), strict=True) if base[row]]


def _bid_times(at: MarketSnapshot, rows: Numbers, names: Iterable[str]) -> list[Sample]:
    found: list[Sample] = []
    bounds = [*(str(float(bound)) for bound in BID_SECONDS), "+Inf"]
    for name, row in zip(names, rows.tolist(), strict=True):
        upto = np.cumsum(at.bid_seconds[row]).tolist()
        found += [("_bucket", (name, bound), float(number)) for bound, number in zip(bounds, upto, strict=True)]
        found += [("_count", (name,), float(upto[-1])), ("_sum", (name,), float(at.bid_seconds_sum[row]))]
    return found
