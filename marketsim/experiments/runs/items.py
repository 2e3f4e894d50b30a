"""Values of single leases and providers of a run: the metrics `lease.…` and `provider.…` of tail risks and rare events."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from marketsim.experiments.runs.metric_names import MetricName
from marketsim.metrics.amounts import floats
from marketsim.recording.record import Record
from marketsim.statistics.estimates import FloatArray

_VE = 1e-6


def _lived(record: Record) -> FloatArray:
    closed = np.where(record.leases["closed_at"] < 0, record.blocks, record.leases["closed_at"])
    return np.asarray(closed - record.leases["created_at"], np.float64)


def _idle_days(record: Record) -> FloatArray:
    """The longest row of whole days in which each provider was paid nothing."""
    paid = record.providers["revenue_days"][:, : record.blocks // record.day_blocks] > 0
    longest, current = np.zeros(len(paid)), np.zeros(len(paid))
    for day in paid.T:
        current = np.where(day, 0, current + 1)
        longest = np.maximum(longest, current)
    return longest


def _column(table: str, name: str) -> Callable[[Record], FloatArray]:
    return lambda record: np.asarray(getattr(record, table)[name], np.float64)


def _win_rate(record: Record) -> FloatArray:
    won = record.providers["won"].astype(np.float64)
    decided = won + record.providers["lost"] + record.providers["closed"]
    return np.where(decided > 0, won / np.maximum(decided, 1), np.nan)


def _used_cpu(record: Record) -> FloatArray:
    room = record.providers["cpu"].astype(np.float64) * (record.blocks - record.warm_up_blocks)
    return np.where(room > 0, record.providers["unit_blocks_cpu"] / np.maximum(room, 1), np.nan)


_ITEMS: Mapping[str, tuple[MetricName, Callable[[Record], FloatArray]]] = {
    "lease.price": (MetricName("price of a lease", "uve/block"), lambda record: floats(record.leases, "price")),
    "lease.paid": (MetricName("paid out of a lease", "VE", _VE), _column("leases", "withdrawn")),
    "lease.earned": (MetricName("earned by a lease", "VE", _VE), lambda record: floats(record.leases, "earned")),
    "lease.unpaid": (MetricName("owed and forgiven of a lease", "VE", _VE), lambda record: floats(record.leases, "shortfall")),
    "lease.blocks": (MetricName("life of a lease", "blocks"), _lived),
    "provider.revenue": (MetricName("revenue of a provider", "VE", _VE), _column("providers", "revenue_net")),
    "provider.take": (MetricName("take from a provider", "VE", _VE), _column("providers", "fees")),
    "provider.leases": (MetricName("leases won by a provider"), _column("providers", "won")),
    "provider.win_rate": (MetricName("win rate of a provider", "%", 100), _win_rate),
    "provider.cpu": (MetricName("cpu utilization of a provider", "%", 100), _used_cpu),
    "provider.idle_days": (MetricName("longest row of days without income of a provider", "days"), _idle_days),
}


def is_item(name: str) -> bool:
    """Whether a metric is of single leases or providers."""
    return name.startswith(("lease.", "provider."))


def unknown_item(name: str) -> str | None:
    """What is wrong with the name of a metric of leases or providers, None when there is one."""
    if name in _ITEMS:
        return None
    near = difflib.get_close_matches(name, _ITEMS, n=3, cutoff=0.4) or list(_ITEMS)
    return f"`{name}` is not a metric of a lease or provider; {', '.join(near)} would be accepted"


def item_name(name: str) -> MetricName:
    """Title, unit and scale."""
    return _ITEMS[name][0]


def items_of(record: Record, names: Iterable[str]) -> dict[str, list[float | None]]:
    """The value of every lease or provider of a run by metric, in the order of the record; None where undefined."""
    return {name: [float(v) if np.isfinite(v) else None for v in _ITEMS[name][1](record)] for name in names}


def item_values(summary: Mapping[str, Any], name: str) -> FloatArray:
    """The values that a summary has of a metric of leases or providers, NaN where undefined."""
    found: Sequence[float | None] = summary["items"][name]
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)
