"""The numbers of `summary.json` that sweeps can use: their names, what people call them, their units."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from marketsim.metrics.paths import OutcomeError, metric_at


@dataclass(frozen=True, slots=True)
class MetricName:
    """How a metric is called on axes; `scale` turns the summary's number into the unit (1e-6: uve to VE)."""

    title: str
    unit: str = ""
    scale: float = 1.0

    @property
    def label(self) -> str:
        """Title with the unit in brackets."""
        return f"{self.title} [{self.unit}]" if self.unit else self.title


_VE = 1e-6
_FIXED: dict[str, MetricName] = {
    "fill_rate": MetricName("fill rate", "%", 100),
    "acceptance_rate": MetricName("acceptance rate of bids", "%", 100),
    "win_rate": MetricName("win rate of bids", "%", 100),
    "bid_latency_seconds.mean": MetricName("bid latency, mean", "s"),
    "bid_latency_seconds.p95": MetricName("bid latency, 95th percentile", "s"),
    "revenue.total": MetricName("provider revenue", "VE", _VE),
    "revenue.per_day_mean": MetricName("provider revenue per day", "VE/day", _VE),
    "revenue.accrued": MetricName("provider revenue accrued, not yet settled", "VE", _VE),
    "take": MetricName("network take", "VE", _VE),
    "network_fees": MetricName("network fees", "VE", _VE),
    "shortfall": MetricName("shortfall forgiven", "VE", _VE),
    "blocks": MetricName("blocks"),
    **{f"orders.{k}": MetricName(f"orders {k.replace('_', ' ')}") for k in (
        "created", "relisted", "leased", "timed_out", "cancelled", "open")},
    **{f"bids.{k}": MetricName(f"bids {k}") for k in ("submitted", "accepted", "won", "lost", "closed")},
    **{f"leases.{k}": MetricName(f"leases {k.replace('_', ' ')}") for k in (
        "created", "active", "insufficient_funds", "closed")},
    **{f"escrow.{k}": MetricName(f"escrow {k}", "VE", _VE) for k in (
        "deposited", "held", "paid", "refunded", "fees", "dust", "stranded", "debt")},
    **{f"utilization.{k}": MetricName(f"{k} utilization", "%", 100) for k in (
        "cpu", "memory", "storage", "gpu")},
    **{f"price.{k}": MetricName(f"winning price, {text}", "uve/block") for k, text in {
        "mean_won": "mean", "p10": "10th percentile", "p50": "median", "p90": "90th percentile"}.items()},
    **{f"welfare.{k}": MetricName(text, "VE", _VE) for k, text in {
        "tenant_surplus": "tenant surplus", "provider_profit": "provider profit", "protocol_take": "protocol take",
        "total": "gains from trade"}.items()},
    "welfare.hhi": MetricName("concentration of revenue (HHI)"),
    "welfare.gini": MetricName("inequality of revenue (Gini)"),
    "welfare.price_dispersion": MetricName("dispersion of prices"),
    "welfare.efficiency": MetricName("efficiency against hindsight", "%", 100),
    "price.spread": MetricName("spread of winning prices (90th − 10th percentile)", "uve/block"),
}  # fmt: skip
OWN = "metrics"
"""Where a summary has the figures of a scenario's own metrics."""
_OPEN: dict[str, MetricName] = {
    "orders.unfilled_reasons": MetricName("orders unfilled: {}"),
    "bids.rejected": MetricName("bids rejected: {}"),
    "bids.declined": MetricName("bids declined: {}"),
    "leases.close_reasons": MetricName("leases closed: {}"),
    "revenue.by_provider": MetricName("revenue of {}", "VE", _VE),
    "revenue.by_cohort": MetricName("revenue of {}", "VE", _VE),
    "unserved": MetricName("unserved orders: {}", "%", 100),
    OWN: MetricName("{}"),
}
"""Mappings of a summary whose keys depend on the run; a key that a run lacks counts 0, but for figures of one's own."""


_COVERS: dict[str, tuple[str, ...]] = {
    "the window after warm-up": (
        "fill_rate", "acceptance_rate", "win_rate", "revenue", "take", "utilization", "price", "welfare",
    ),
    "the end of the run": ("revenue.accrued", "orders.open", "leases.active", "leases.insufficient_funds", "escrow.held", "escrow.debt"),
    "the whole run": ("", "welfare.unserved_percent", "welfare.efficiency", "welfare.efficiency_low", "welfare.efficiency_gap"),
}  # fmt: skip


def covers(name: str) -> str:
    """What a metric covers: the window after warm-up, the end of the run, or the whole run."""
    words = name.split(".")
    for count in range(len(words), 0, -1):
        start = ".".join(words[:count]).removesuffix("_uve")
        for span, names in _COVERS.items():
            if start in names:
                return span
    return "the whole run"


def coverage(names: Sequence[str]) -> str:
    """Say of the metrics of one table what each covers, in a sentence."""
    spans: dict[str, list[str]] = {}
    for name in names:
        spans.setdefault(covers(name), []).append(metric_name(name).title)
    if len(spans) == 1:
        return f"All metrics cover {next(iter(spans))}."
    return "; ".join(f"{span}: {', '.join(dict.fromkeys(titles))}" for span, titles in spans.items()) + "."


def unknown_metric(name: str, open_keys: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """What is wrong with a metric's name, None when summaries have it.

    `open_keys` names the keys that can occur in an open mapping (cohorts, reasons), where they are known.
    """
    parent = _open_parent(name)
    if parent is not None:
        keys = (open_keys or {}).get(parent)
        key = name[len(parent) + 1 :]
        if keys is None or key in keys or (parent == OWN and any(key.startswith(f"{own}.") for own in keys)):
            return None
        if parent == OWN and not keys:
            return f"`{key}` is not in metrics; the scenario has none of its own, name it under metrics:"
        return f"`{name[len(parent) + 1 :]}` is not in {parent}; {', '.join(keys)} would be accepted"
    if name in _FIXED:
        return None
    near = difflib.get_close_matches(name, _FIXED, n=3, cutoff=0.4)
    accepted = ", ".join(near or ("revenue.total", "revenue.per_day_mean", "fill_rate", "utilization.cpu"))
    return f"`{name}` is not a number of summary.json; {accepted} would be accepted"


def metric_name(name: str) -> MetricName:
    """Title, unit and scale of a metric."""
    if name in _FIXED:
        return _FIXED[name]
    parent = _open_parent(name)
    if parent is None:
        return MetricName(name)
    form = _OPEN[parent]
    return MetricName(form.title.format(name[len(parent) + 1 :].replace("_", " ")), form.unit, form.scale)


def fitting_name(name: str, largest: float) -> MetricName:
    """As `metric_name`, in uve where the largest value (in uve) is below a hundredth of a VE."""
    known = metric_name(name)
    if known.unit.startswith("VE") and largest * _VE < 0.01:
        return MetricName(known.title, known.unit.replace("VE", "uve", 1))
    return known


def metric_value(summary: Mapping[str, Any], name: str) -> float:
    """A metric of one run: NaN where the run has none, 0 for a reason or code that did not occur."""
    try:
        return metric_at(summary, name)
    except OutcomeError:
        return math.nan if _open_parent(name) in (None, OWN) else 0.0


def wants_welfare(metrics: Iterable[str]) -> bool:
    """Whether one of the metrics is about welfare, which takes longer than the run's own summary."""
    return any(name.startswith("welfare.") for name in metrics)


def wants_hindsight(metrics: Iterable[str]) -> bool:
    """Whether one of the metrics needs the best assignment in hindsight, which can take a minute a run."""
    return any(name.startswith("welfare.efficiency") for name in metrics)


def _open_parent(name: str) -> str | None:
    return next((parent for parent in _OPEN if name.startswith(f"{parent}.") and len(name) > len(parent) + 1), None)
