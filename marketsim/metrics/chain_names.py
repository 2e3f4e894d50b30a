"""The same market under the names that the real code's exporters use: a table of what maps to what, and of what has no counterpart.

Names are those of the protocol reference, section 7. Labels of the real code that name what a simulator does not have (instances, methods)
are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from marketsim.metrics.series import MetricSeries, Sample

Found = Mapping[str, list[Sample]]
_P = ("provider",)


def _of(name: str) -> Callable[[Found], list[Sample]]:
    return lambda found: found[name]


def _counted(name: str) -> Callable[[Found], list[Sample]]:
    return lambda found: [("_total", labels, value) for _, labels, value in found[name]]


def _sum(name: str) -> Callable[[Found], list[Sample]]:
    return lambda found: [("", (), sum(value for _, _, value in found[name]))]


def _by_provider(name: str) -> Callable[[Found], list[Sample]]:
    def add(found: Found) -> list[Sample]:
        sums: dict[str, float] = {}
        for _, labels, value in found[name]:
            sums[labels[0]] = sums.get(labels[0], 0.0) + value
        return [("_total", (provider,), value) for provider, value in sums.items()]

    return add


def _fill_rate(found: Found) -> list[Sample]:
    leased = found["virtengine_market_orders_leased"][0][2]
    decided = leased + sum(value for _, _, value in found["virtengine_market_orders_ended"])
    return [("", (), 100.0 * leased / decided)] if decided else []


def _used_percent(found: Found) -> list[Sample]:
    used = {labels: value for _, labels, value in found["virtengine_provider_capacity_used"]}
    return [("", labels, 100.0 * used[labels] / value) for _, labels, value in found["virtengine_provider_capacity"] if value]


def _looked_at(found: Found) -> list[Sample]:
    bids = {labels[0]: value for _, labels, value in found["virtengine_bid"]}
    for _, (provider, _code), value in found["virtengine_bid_declined"]:
        bids[provider] += value
    return [("_total", (provider,), value) for provider, value in bids.items()]


CHAIN_SERIES: Final[tuple[tuple[MetricSeries, Callable[[Found], list[Sample]]], ...]] = (
    (MetricSeries("virtengine_market_orders", "counter", "orders", (), "Orders created."), _of("virtengine_market_orders_created")),
    (MetricSeries("virtengine_market_orders_active", "gauge", "orders", (), "Orders that are open."), _of("virtengine_market_orders_open")),
    (MetricSeries("virtengine_market_bids", "counter", "bids", _P, "Bids submitted."), _of("virtengine_bid")),
    (MetricSeries("virtengine_market_leases", "counter", "leases", (), "Leases created."), _of("virtengine_market_orders_leased")),
    (
        MetricSeries("virtengine_market_leases_active", "gauge", "leases", (), "Leases that are active."),
        _sum("virtengine_market_active_leases"),
    ),
    (
        MetricSeries("virtengine_market_provider_capacity", "gauge", "cores, bytes, units", (*_P, "resource"), "What can be leased."),
        _of("virtengine_provider_capacity"),
    ),
    (
        MetricSeries("virtengine_market_provider_utilization_percent", "gauge", "%", (*_P, "resource"), "Share of it that is leased."),
        _used_percent,
    ),
    (MetricSeries("virtengine_market_fill_rate_percent", "gauge", "%", (), "Orders that became a lease among those decided."), _fill_rate),
    (MetricSeries("virtengine_escrow_locked", "gauge", "uve", (), "Held in escrow for open leases."), _sum("virtengine_escrow_balance")),
    (
        MetricSeries("virtengine_escrow_released", "counter", "uve", _P, "Moved out of escrow by settlements."),
        _counted("virtengine_escrow_settlement_amount"),
    ),
    (MetricSeries("virtengine_provider_bid_engine_decisions", "counter", "orders", _P, "Orders that the engine decided on."), _looked_at),
    (MetricSeries("provider_daemon_orders_received", "counter", "orders", _P, "Orders that the engine decided on."), _looked_at),
    (
        MetricSeries("provider_daemon_orders_skipped", "counter", "orders", _P, "Orders without a bid."),
        _by_provider("virtengine_bid_declined"),
    ),
    (MetricSeries("provider_daemon_bids_submitted", "counter", "bids", _P, "Bids submitted."), _of("virtengine_bid")),
    (
        MetricSeries("provider_daemon_bids_failed", "counter", "bids", _P, "Bids that the chain refused."),
        _by_provider("virtengine_bid_rejected"),
    ),
    (
        MetricSeries("provider_daemon_active_leases", "gauge", "leases", _P, "Leases that are active."),
        _of("virtengine_provider_active_leases"),
    ),
    (
        MetricSeries("provider_daemon_bid_duration_seconds", "histogram", "s", _P, "From the engine seeing an order to its bid."),
        _of("virtengine_bid_duration_seconds"),
    ),
)
"""Names of the real code, each with where its samples come from."""

NOT_SIMULATED: Final = (
    "virtengine_market_order_latency_seconds",
    "virtengine_market_order_value",
    "virtengine_market_bids_active",
    "virtengine_market_bid_latency_seconds",
    "virtengine_market_bid_value",
    "virtengine_market_bid_spread_bps",
    "virtengine_market_lease_value",
    "virtengine_market_lease_duration_hours",
    "virtengine_market_providers_active",
    "virtengine_market_providers_total",
    "virtengine_market_provider_reliability_score",
    "virtengine_market_efficiency_score",
    "virtengine_market_volume_24h",
    "virtengine_market_spread_avg_bps",
    "virtengine_escrow_total",
    "virtengine_escrow_disputed_total",
    "virtengine_provider_bid_engine_orders",
    "virtengine_provider_bid_engine_latency_seconds",
    "virtengine_provider_deployments_*",
    "provider_daemon_orders_processed_total",
    "provider_daemon_pending_orders",
    "provider_daemon_claim_conflicts_total",
    "provider_daemon_usage_records_collected_total",
)
"""Names of the real code that nothing here is exported under."""


def with_chain_names(found: Found) -> dict[str, list[Sample]]:
    """Return the samples of one height with those of the real code's names beside them."""
    return {**found, **{series.name: source(found) for series, source in CHAIN_SERIES}}
