"""The course of a run: metrics by spans of simulated time, for the series of sweeps."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketsim.experiments.runs.metric_names import MetricName, metric_name
from marketsim.metrics.amounts import floats
from marketsim.money.units import HOUR_MS
from marketsim.recording.record import RESOURCES, Record
from marketsim.statistics.estimates import FloatArray


@dataclass(frozen=True, slots=True)
class Span:
    """A metric by spans of `every_ms` milliseconds; picklable."""

    metric: str
    every_ms: int

    @property
    def key(self) -> str:
        """What names it in summaries and tables."""
        return f"{self.metric} every {self.every_ms / HOUR_MS:g} h"


def unknown_course(name: str) -> str | None:
    """What is wrong with the name of a metric over time, None when there is one."""
    if name in _COURSES:
        return None
    near = difflib.get_close_matches(name, _COURSES, n=3, cutoff=0.4) or list(_COURSES)
    return f"`{name}` has no course over time; {', '.join(near)} would be accepted"


def course_name(name: str) -> MetricName:
    """Title, unit and scale of a metric over time."""
    titles = {"leases.active": "active leases", "orders.open": "open orders", "leases.warnings": "leases with less than 24 h of funds"}
    return MetricName(titles[name]) if name in titles else metric_name(name)


def course_of(record: Record, span: Span) -> dict[str, list[float | None]]:
    """`hours`, where each span ends, and `values`, the metric in each; None where it is undefined.

    Spans are whole steps of the run's own samples (an hour; a day in runs longer than a fortnight), at least one. What is a state is the
    mean of the span's samples, what is a flow the sum over the span; fill rate and price are of the orders created and the leases
    made in it.
    """
    block_ms = int(record.meta["block_ms"])
    heights = record.timeseries["height"]
    step = int(heights[0]) if len(heights) else record.blocks
    width = max(1, round(span.every_ms / block_ms / step)) * step
    edges = np.append(np.arange(0, record.blocks, width), record.blocks)
    if len(edges) > 2 and edges[-1] - edges[-2] < width:
        edges = np.delete(edges, -1)  # a last span that is cut off would stand lower than the others
    values = _COURSES[span.metric](record, edges)
    hours = [round(float(edge) * block_ms / HOUR_MS, 4) for edge in edges[1:]]
    return {"hours": list(hours), "values": [float(v) if np.isfinite(v) else None for v in values]}


def _state(column: str) -> Callable[[Record, Any], FloatArray]:
    return lambda record, edges: _sampled(record, record.timeseries[column].astype(np.float64), edges)


def _flow(column: str) -> Callable[[Record, Any], FloatArray]:
    def found(record: Record, edges: Any) -> FloatArray:
        heights = np.concatenate([[0], record.timeseries["height"]])
        total = np.concatenate([[0], record.timeseries[column]]).astype(np.float64)
        return np.asarray(np.diff(total[np.searchsorted(heights, edges, side="right") - 1]))

    return found


def _sampled(record: Record, values: FloatArray, edges: Any) -> FloatArray:
    at = np.searchsorted(edges, record.timeseries["height"], side="left") - 1
    inside = (at >= 0) & (at < len(edges) - 1)
    return _ratio(np.bincount(at[inside], values[inside], len(edges) - 1), np.bincount(at[inside], minlength=len(edges) - 1))


def _used(resource: str) -> Callable[[Record, Any], FloatArray]:
    def found(record: Record, edges: Any) -> FloatArray:
        capacity = float(record.providers[resource].astype(np.float64).sum())
        leased = record.timeseries[resource].astype(np.float64)
        return _sampled(record, leased / capacity if capacity else np.full(len(leased), np.nan), edges)

    return found


def _fill_rate(record: Record, edges: Any) -> FloatArray:
    orders = record.orders
    counted = (orders["relisted"] == 0) & (orders["decided"] == 1)
    leased = counted & (orders["lease"] >= 0)
    return _ratio(*(np.histogram(orders["created_at"][one], edges + 0.5)[0] for one in (leased, counted)))


def _price(record: Record, edges: Any) -> FloatArray:
    leases = record.leases
    made = leases["created_at"]
    return _ratio(np.histogram(made, edges + 0.5, weights=floats(leases, "price"))[0], np.histogram(made, edges + 0.5)[0])


def _ratio(part: Any, whole: Any) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(whole) > 0, np.asarray(part, np.float64) / whole, np.nan)


_COURSES: Mapping[str, Callable[[Record, Any], FloatArray]] = {
    "leases.active": _state("active_leases"),
    "orders.open": _state("open_orders"),
    "leases.warnings": _state("warnings"),
    **{f"utilization.{name}": _used(name) for name in RESOURCES},
    "revenue.total": _flow("revenue_net"),
    "orders.created": _flow("created"),
    "orders.leased": _flow("leased"),
    "bids.submitted": _flow("submitted"),
    "fill_rate": _fill_rate,
    "price.mean_won": _price,
}


FLOWS = ("revenue.total", "orders.created", "orders.leased", "bids.submitted")
"""What is summed over a span."""


def spans_key(spans: Sequence[Span]) -> str:
    """What of the spans makes a run another one: part of its key."""
    return ", ".join(sorted(span.key for span in spans))
