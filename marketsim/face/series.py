"""What happened span by span: orders, leases, prices, use and revenue over time, by groups, and across replications with bands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marketsim.errors import InputError
from marketsim.metrics.amounts import floats
from marketsim.recording.record import RESOURCES, Column, Record
from marketsim.scenario.literals import parse_duration
from marketsim.simulation.generic_cost import generic_cost

if TYPE_CHECKING:
    import pandas as pd

GROUPS: Final = ("tenant_cohort", "provider_cohort", "tenant", "provider", "region")
"""What a series can be split by."""

UNITS: Final = {
    "orders": "orders created in the span, relisted ones left out",
    "leased": "of them, those that found a lease",
    "fill_rate": "leased ÷ orders whose bidding ended before the horizon",
    "begun": "leases made in the span",
    "ended": "leases closed in the span",
    "active": "leases open at the span's end, those out of funds too",
    "price": "uve a block, mean of the leases made in the span",
    "price_index": "100 × what the leases made in the span cost ÷ what their resources cost at the generic monthly targets",
    "contracted": "uve, price × blocks of the open leases: what they pay where charging is by the block and funds last",
    "revenue": "uve settled to providers in the span, net of take",
    **{f"utilization_{name}": "leased ÷ capacity, mean over the span" for name in RESOURCES},
}
"""Each column of a series, and what it counts."""


def series(record: Record, every: str = "1h", by: str | None = None) -> pd.DataFrame:
    """Return the run span by span of length `every`; see `Result.series`."""
    import pandas as pd

    if record.meta["record"] == "summary" and not len(record.orders["tenant"]):
        raise InputError("series: orders and leases were not kept (record: summary), run again with record='orders'")
    if by is not None and by not in GROUPS:
        raise InputError(f"series: by={by!r}: is nothing to split by, accepted are {', '.join(GROUPS)}")
    edges = span_edges(record, every)
    groups = [("", None, None)] if by is None else _groups(record, by)
    parts = [_columns(record, edges, orders, leases, _providers(record, by, number)) for number, (_, orders, leases) in enumerate(groups)]
    for part, (_, _, leases) in zip(parts, groups, strict=True):
        if record.settlements is not None:
            part["revenue"] = _settled(record, edges, leases)
        elif by is None:
            part["revenue"] = _sampled(record, edges)
    times = moments(record, edges[:-1]).rename("time")
    frames = [pd.DataFrame(part, index=times) for part in parts]
    found = frames[0] if by is None else pd.concat(frames, keys=[name for name, _, _ in groups], names=[by])
    found.attrs["units"] = {name: UNITS[name] for name in found.columns}
    return found


def moments(record: Record, heights: Any) -> Any:
    """Return the moments of blocks as a DatetimeIndex: the start of the run plus the blocks' time."""
    import pandas as pd

    start = pd.Timestamp(record.meta["start"])
    return pd.DatetimeIndex(start + pd.to_timedelta(np.asarray(heights, np.int64) * int(record.meta["block_ms"]), unit="ms"))


def span_edges(record: Record, every: str) -> Column:
    """Return the last blocks before each span and of the last one: 0, n, 2n, …, the last block. InputError for no length of time."""
    try:
        span = parse_duration(every)
    except ValueError as error:
        raise InputError(f"series: every: {error}") from None
    blocks = span.blocks(int(record.meta["block_ms"]))
    if blocks < 1:
        raise InputError(f"series: every: {every} is no length of time, give at least a block")
    edges = np.arange(0, record.blocks, blocks, dtype=np.int64)
    return np.append(edges, record.blocks)


def _groups(record: Record, by: str) -> list[tuple[str, Column | None, Column | None]]:
    """Name, which orders and which leases, of each group; orders None where they belong to no group of the kind."""
    orders, leases = record.orders, record.leases
    tables: Mapping[str, tuple[Sequence[str], Any]] = {
        "tenant": (record.tenants["name"], orders["tenant"]),
        "tenant_cohort": (record.tenant_cohorts, record.tenants["cohort"][orders["tenant"]]),
        "region": (record.regions, orders["region"]),
    }
    if by in tables:
        names, of_order = tables[by]
        return [(name, of_order == row, of_order[leases["order"]] == row) for row, name in enumerate(names)]
    names, of_lease = (
        (record.providers["name"], leases["provider"])
        if by == "provider"
        else (record.provider_cohorts, record.providers["cohort"][leases["provider"]])
    )
    return [(name, None, of_lease == row) for row, name in enumerate(names)]


def _providers(record: Record, by: str | None, number: int) -> Column | None:
    """Which providers' capacity a group's use is a share of: its own, all where groups are of tenants."""
    if by == "provider":
        own: Column = np.arange(len(record.providers["name"])) == number
        return own
    if by != "provider_cohort":
        return None
    found: Column = record.providers["cohort"] == number
    return found


def _columns(record: Record, edges: Column, orders: Column | None, leases: Column | None, providers: Column | None) -> dict[str, Any]:
    """The series of a group; without orders where they cannot be told apart by group."""
    made: dict[str, Any] = {}
    table = record.orders
    if orders is not None or leases is None:
        counted = (table["relisted"] == 0) if orders is None else (table["relisted"] == 0) & orders
        decided = counted & (table["decided"] == 1)
        made["orders"] = _count(table["created_at"][counted], edges)
        made["leased"] = _count(table["created_at"][counted & (table["lease"] >= 0)], edges)
        made["fill_rate"] = _ratio(
            _count(table["created_at"][decided & (table["lease"] >= 0)], edges), _count(table["created_at"][decided], edges)
        )
    chosen = slice(None) if leases is None else leases
    own = {name: column[chosen] for name, column in record.leases.items()}
    made |= _lease_columns(record, edges, own)
    _add_use(record, edges, own, providers, made)
    return made


def _lease_columns(record: Record, edges: Column, own: Mapping[str, Column]) -> dict[str, Any]:
    begun = _count(own["created_at"], edges)
    ended = _count(own["closed_at"][own["closed_at"] >= 0], edges)
    prices = floats(dict(own), "price")
    sums = np.histogram(own["created_at"], _bins(edges), weights=prices)[0]
    orders = own["order"]
    generic = generic_cost(*(record.orders[name][orders] for name in RESOURCES))
    reference = np.histogram(own["created_at"], _bins(edges), weights=generic)[0]
    return {
        "begun": begun,
        "ended": ended,
        "active": np.cumsum(begun - ended),
        "price": _ratio(sums, begun),
        "price_index": 100 * _ratio(sums, reference),
        "contracted": _held(own, prices, edges, record.blocks),
    }


def _add_use(record: Record, edges: Column, own: Mapping[str, Column], providers: Column | None, made: dict[str, Any]) -> None:
    spans = np.diff(edges)
    for name in RESOURCES:
        capacity = record.providers[name].astype(float)
        total = float((capacity if providers is None else capacity[providers]).sum())
        units = record.orders[name][own["order"]].astype(float)
        made[f"utilization_{name}"] = _ratio(_held(own, units, edges, record.blocks), total * spans)


def _held(own: Mapping[str, Column], weights: Column, edges: Column, last: int) -> Column:
    """Weight × blocks of leases in each span: a lease holds its weight from the block after its creation to its end."""
    ends = np.where(own["closed_at"] >= 0, own["closed_at"], last)
    begins = own["created_at"]
    found: Column = np.diff(_integral(begins, weights, edges) - _integral(ends, weights, edges))
    return found


def _integral(since: Column, weights: Column, edges: Column) -> Column:
    """Sum of weight × blocks since a moment, at each edge."""
    order = np.argsort(since, kind="stable")
    sorted_since, sorted_weights = since[order].astype(float), weights[order]
    place = np.searchsorted(sorted_since, edges, side="right")
    mass = np.append(0.0, np.cumsum(sorted_weights))[place]
    moment = np.append(0.0, np.cumsum(sorted_weights * sorted_since))[place]
    found: Column = mass * edges - moment
    return found


def _settled(record: Record, edges: Column, leases: Column | None) -> Column:
    """Net pay-outs of a group's leases."""
    assert record.settlements is not None
    heights, net = record.settlements["height"], record.settlements["net"]
    if leases is not None:
        own = leases[record.settlements["lease"]]
        heights, net = heights[own], net[own]
    found: Column = np.histogram(heights, _bins(edges), weights=net.astype(float))[0]
    return found


def _sampled(record: Record, edges: Column) -> Column:
    """Net pay-outs of all as the samples of the run have them: by the last sample before each edge."""
    samples = record.timeseries
    place = np.searchsorted(samples["height"], edges, side="right")
    found: Column = np.diff(np.append(0, samples["revenue_net"])[place]).astype(float)
    return found


def _count(heights: Column, edges: Column) -> Column:
    """How many heights lie in each span: after its edge, up to the next one."""
    found: Column = np.histogram(heights, _bins(edges))[0]
    return found


def _bins(edges: Column) -> Column:
    """Between blocks; what stands before block 1 (a chain that begins with leases) belongs to the first span."""
    bins: Column = edges + 0.5
    bins[0] = -0.5
    return bins


def _ratio(part: Column, whole: Any) -> Column:
    """Part ÷ whole, NaN where the whole is 0."""
    whole = np.asarray(whole, float)
    found: Column = np.divide(part, whole, out=np.full(len(part), math.nan), where=whole != 0)
    return found


def bands(frames: Sequence[pd.DataFrame], level: float = 0.95) -> pd.DataFrame:
    """Return mean, low and high (Student's interval for the mean, NaN left out) and count of equal series of several runs.

    Columns are pairs (series, one of mean, low, high, count); an interval of fewer than two values is NaN.
    """
    import pandas as pd
    from scipy import stats

    values = np.stack([one.to_numpy(float) for one in frames])
    count = np.isfinite(values).sum(axis=0)
    filled = np.where(np.isfinite(values), values, 0.0)
    mean = _ratio(filled.sum(axis=0).ravel(), count.ravel()).reshape(count.shape)
    squares = np.where(np.isfinite(values), (values - mean) ** 2, 0.0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        half = stats.t.ppf((1 + level) / 2, count - 1) * np.sqrt(squares / (count - 1) / count)
    half = np.where(count > 1, half, math.nan)
    parts = {"mean": mean, "low": mean - half, "high": mean + half, "count": count}
    columns = list(frames[0].columns)
    made = {(name, part): table[:, at] for at, name in enumerate(columns) for part, table in parts.items()}
    found = pd.DataFrame(made, index=frames[0].index)
    found.columns = pd.MultiIndex.from_tuples(list(made), names=["series", "part"])
    found.attrs["units"] = frames[0].attrs.get("units", {})
    return found
