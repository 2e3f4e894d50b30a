"""Draws the figures of a run from its record, the same bytes for the same record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marketsim.export.images import COLOURS, INK, NARROW, SHADE, StyleLike, drawn, image_bytes, new_figure
from marketsim.metrics.amounts import floats
from marketsim.metrics.calibration import calibration_targets
from marketsim.money.units import BLOCKS_A_MONTH
from marketsim.recording.record import RESOURCES, Column, Record
from marketsim.report.phrases import ENDED_TEXT, UVE_IN_VE, count, unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS_MAX: Final = 56
"""Points of a curve over time; fewer when there are too few orders for that many."""

ORDERS_A_POINT: Final = 25

POINTS_MIN: Final = 6
"""A cohort with fewer points than this has no curve of its own."""

PRICE_ROWS_MAX: Final = 6
"""Cohorts that have a row of their own in the figure of prices, the largest ones."""

_BACKGROUND: Final = {"all tenants": 0, "95 % interval (Wilson)": 2, "target": 3, "warm-up": 4}


def draw_figures(record: Record, summary: Mapping[str, Any], format_: str = "png", style: StyleLike | None = None) -> dict[str, bytes]:
    """Return images by file name without ending, in one of FORMATS; what was not recorded is not drawn.

    `style` changes how they look (see `marketsim.export.images`). Figures: revenue_per_day, fill_rate, utilization, winning_prices,
    close_reasons, price_paths.
    """
    images = {}
    with drawn(format_, style):
        for name in IN_REPORTS:
            figure = new_figure(format_)
            if PLOTS[name](record, summary, figure.add_subplot()):
                images[name] = image_bytes(figure, format_, style)
    return images


def _revenue_per_day(record: Record, summary: Mapping[str, Any], axes: Axes) -> bool:
    days = record.providers["revenue_days"]
    by_cohort = np.zeros((len(record.provider_cohorts), days.shape[1]))
    np.add.at(by_cohort, record.providers["cohort"], days)
    unit = unit_of(by_cohort.sum(axis=0))
    by_cohort /= UVE_IN_VE if unit == "VE" else 1
    x = np.arange(days.shape[1]) + 0.5
    base = np.zeros(days.shape[1])
    for row, name in enumerate(record.provider_cohorts):
        colour = COLOURS[row % len(COLOURS)]
        axes.bar(x, by_cohort[row], 0.78, base, label=name, color=colour, edgecolor="white", linewidth=0.5)
        base += by_cohort[row]
    _days_axis(axes, record, "Simulated day")
    if days.shape[1] <= 21:
        axes.set_xticks(x, [str(day + 1) for day in range(days.shape[1])])
        axes.tick_params(axis="x", length=0)
    _thousands(axes)
    axes.set_ylabel(f"Net revenue, {unit} a day")
    axes.set_ylim(0, max(base.max(initial=0) * 1.08, 1e-9))
    axes.set_title("Revenue per day by provider cohort")
    _legend(axes, min(4, max(1, len(record.provider_cohorts))))
    return True


def _fill_rate(record: Record, summary: Mapping[str, Any], axes: Axes) -> bool:
    if record.meta["record"] == "summary":
        return False
    orders = record.orders
    counted = (orders["relisted"] == 0) & (orders["decided"] == 1)
    total = int(counted.sum())
    if not total:
        return False
    edges = _time_bins(record, total)
    middle = (edges[:-1] + edges[1:]) / 2 / record.day_blocks
    leased = orders["lease"] >= 0
    rate, low, high = _rates(orders["created_at"][counted], leased[counted], edges)
    targets = calibration_targets(summary, record.meta["scenario"].get("calibration"))
    for target in targets:
        if target.name == "fill_rate":
            axes.axhspan(
                100 * target.low,
                min(100, 100 * target.high),
                color="#009e73",
                alpha=0.09,
                lw=0,
                label="target",
            )
    axes.fill_between(middle, low, high, color=INK, alpha=0.15, lw=0, label="95 % interval (Wilson)")
    cohort = record.tenants["cohort"][orders["tenant"]]
    cohorts = record.tenant_cohorts if 1 < len(record.tenant_cohorts) <= len(COLOURS) else []
    for row, name in enumerate(cohorts):
        mine = counted & (cohort == row)
        own = _time_bins(record, int(mine.sum()) // 3)
        if len(own) > POINTS_MIN:
            part, _, _ = _rates(orders["created_at"][mine], leased[mine], own)
            axes.plot(
                (own[:-1] + own[1:]) / 2 / record.day_blocks,
                part,
                lw=1.1,
                color=COLOURS[row],
                alpha=0.9,
                label=f"{name}, {_span_words(own, record)}",
            )
    axes.plot(middle, rate, color=INK, lw=2, label="all tenants", marker="o", ms=2.5)
    _days_axis(axes, record, f"Day on which the order was created; leased of those created in spans of {_span_words(edges, record)}")
    lowest = np.nanmin(low) if np.isfinite(low).any() else 0
    axes.set_ylim(0 if lowest < 50 else 50, 101)
    axes.set_ylabel("Orders leased, % of orders created")
    axes.set_title("Fill rate over time by tenant cohort" if cohorts else "Fill rate over time")
    _legend(axes, 4)
    return True


def _utilization(record: Record, summary: Mapping[str, Any], axes: Axes) -> bool:
    series, providers = record.timeseries, record.providers
    x = series["height"] / record.day_blocks
    peak = 0.0
    for row, name in enumerate(RESOURCES):
        capacity = float(providers[name].astype(float).sum())
        if capacity:
            label = {"cpu": "CPU", "gpu": "GPU"}.get(name, name)
            mean = summary["utilization"][name]
            text = label if mean is None else f"{label} (mean {100 * mean:.0f} %)"
            leased = 100 * series[name] / capacity
            peak = max(peak, float(leased.max(initial=0)))
            axes.plot(x, leased, color=COLOURS[row], lw=1.6, label=text)
    _days_axis(axes, record, "Simulated days")
    # Over-committed providers lease more than they have.
    axes.set_ylim(0, max(101.0, 1.04 * peak))
    axes.set_ylabel("Leased, % of capacity")
    axes.set_title("Utilization of all providers")
    _legend(axes, 4)
    return True


def _winning_prices(record: Record, summary: Mapping[str, Any], axes: Axes) -> bool:
    leases = record.leases
    chosen = leases["created_at"] > record.warm_up_blocks
    prices = floats(leases, "price")[chosen]
    if not len(prices) or prices.max() <= 0:
        return False
    monthly = int((record.meta["scenario"].get("report") or {}).get("monthly_blocks") or BLOCKS_A_MONTH)
    scale = monthly / UVE_IN_VE
    cohort = record.providers["cohort"][leases["provider"]][chosen]
    wide = prices.max() / max(prices.min(), 1e-18) > 20
    edges = _price_edges(prices, wide)
    names = list(record.provider_cohorts)
    parts = [prices[cohort == row] for row in range(len(names))]
    # A row a cohort, the largest ones: stacked bars hide all but the lowest.
    shown = [row for row in np.argsort([-len(part) for part in parts], kind="stable")[:PRICE_ROWS_MAX] if len(parts[row])]
    rows = [("all", prices, INK), *((names[row], parts[row], COLOURS[row % len(COLOURS)]) for row in sorted(shown))]
    rows = rows if len(shown) > 1 else [(names[shown[0]], prices, COLOURS[shown[0] % len(COLOURS)])]
    for place, (_, part, colour) in enumerate(rows[::-1]):
        counts = np.histogram(part, edges)[0]
        axes.bar(
            edges[:-1], 0.68 * counts / counts.max(), np.diff(edges), place, align="edge", color=colour, edgecolor="white", linewidth=0.4
        )
        ranked = np.sort(part)
        for share in (10, 50, 90):
            value = ranked[max(0, -(-len(ranked) * share // 100) - 1)]
            axes.plot(
                [value, value], [place, place + 0.73], color=INK, lw=1.2 if share == 50 else 0.9, ls="-" if share == 50 else (0, (3, 2))
            )
            if share == 50:
                axes.annotate(f"{value:,.4g}", (value, place + 0.73), (0, 1), "data", "offset points", fontsize="small", ha="center")
    if wide:
        axes.set_xscale("log")
    axes.set_ylim(0, len(rows) + 0.15)
    axes.set_yticks(np.arange(len(rows)) + 0.34, [f"{name}\n{count(len(part))} leases" for name, part, _ in rows[::-1]])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        "Price of the lease, uve a block"
        + (", logarithmic" if wide else "")
        + "; each row on a scale of its own, lines: 10 %, median, 90 %"
    )
    month = axes.secondary_xaxis("top", functions=(partial(np.multiply, scale), partial(np.multiply, 1 / scale)))
    month.set_xlabel("VE a month", fontsize="medium")
    month.tick_params(labelsize="small")
    axes.set_title(f"Winning prices of {count(len(prices))} leases by provider cohort")
    _plain_ticks(axes, month, wide)
    return True


def _close_reasons(record: Record, summary: Mapping[str, Any], axes: Axes) -> bool:
    counts = summary["leases"]["close_reasons"]
    closed = sum(counts.values())
    if not closed:
        return False
    names = list(counts)
    y = np.arange(len(names))[::-1]
    shares = np.array([100 * counts[name] / closed for name in names])
    axes.barh(y, shares, 0.58, color="#7db8dc")
    targets = {target.name: target for target in calibration_targets(summary, record.meta["scenario"].get("calibration"))}
    reach = shares.copy()
    labelled = False
    for row, name in enumerate(names):
        target = targets.get(f"close_reasons.{name}")
        if target is not None and target.aim is not None:
            low, high = max(0.0, 100 * target.low), 100 * target.high
            # A band behind the bar: whiskers on it would be taken for its error.
            axes.barh(
                y[row], high - low, 0.86, low, color="#009e73", alpha=0.16, lw=0, zorder=0, label=None if labelled else "target range"
            )
            labelled = True
            reach[row] = max(reach[row], high)
    for row, name in enumerate(names):
        text = f"{shares[row]:.1f} %  ({count(counts[name])})"
        axes.annotate(text, (reach[row], y[row]), (6, 0), "data", "offset points", va="center")
    axes.set_yticks(y, [ENDED_TEXT[name] for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, max(20.0, reach.max() * 1.25))
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 100])
    axes.grid(axis="x")
    axes.set_xlabel("Closed leases, %")
    axes.set_title(f"Why {count(closed)} leases ended")
    if labelled:
        _legend(axes, 1)
    return True


def _span_words(edges: Column, record: Record) -> str:
    """How long the spans between edges are: `3 h`."""
    return f"{(edges[1] - edges[0]) * 24 / record.day_blocks:.3g} h"


def _time_bins(record: Record, orders: int) -> Column:
    """Edges of equal spans of whole hours that divide a day (or whole days), with enough orders each, in
    blocks."""
    hour = max(1, record.day_blocks // 24)
    hours = record.blocks / hour
    wanted = min(BINS_MAX, max(1, orders // ORDERS_A_POINT))
    for width in (1, 2, 3, 4, 6, 8, 12, 24, 48, 96, 168, 336, 720):
        if hours / width <= wanted:
            break
    edges = np.arange(0, record.blocks + 1, width * hour, dtype=float)
    if len(edges) < 2:
        return np.array([0.0, float(record.blocks)])
    return edges


def _rates(created: Column, leased: Column, edges: Column) -> tuple[Column, Column, Column]:
    """Fill rate in % of each span with Wilson's 95 % interval; NaN where no order was created."""
    made, _ = np.histogram(created, edges)
    got, _ = np.histogram(created[leased], edges)
    z = 1.959964
    with np.errstate(invalid="ignore", divide="ignore"):
        share = got / made
        centre = (share + z * z / (2 * made)) / (1 + z * z / made)
        half = z * np.sqrt(share * (1 - share) / made + z * z / (4 * made * made)) / (1 + z * z / made)
    return 100 * share, 100 * (centre - half), 100 * (centre + half)


def _price_edges(prices: Column, wide: bool) -> Column:
    low, high = float(prices.min()), float(prices.max())
    if high <= low:
        return np.array([low * 0.95, low * 1.05])
    bins = int(np.clip(2 * len(prices) ** (1 / 3), 8, 48))
    return np.geomspace(low, high * 1.000001, bins + 1) if wide else np.linspace(low, high, bins + 1)


def _days_axis(axes: Axes, record: Record, label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    days = record.blocks / record.day_blocks
    axes.set_xlim(0, max(days, 1e-9))
    axes.xaxis.set_major_locator(MaxNLocator(integer=days >= 3, nbins=10))
    axes.set_xlabel(label)
    axes.grid(axis="y")
    if record.warm_up_blocks:
        axes.axvspan(0, record.warm_up_blocks / record.day_blocks, color=SHADE, zorder=0, lw=0, label="warm-up")


def _thousands(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def _plain_ticks(axes: Axes, month: Any, wide: bool) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    plain = FuncFormatter(lambda value, _: f"{value:,.6g}" if value >= 1e-4 else f"{value:.0e}")
    for axis in (axes.xaxis, month.xaxis):
        axis.set_major_formatter(plain)
        if wide:
            axis.set_minor_formatter(NullFormatter())


def _price_paths(record: Record, summary: Mapping[str, Any], axes: Axes) -> bool:
    """The columns named price or price_… that strategies and agents wrote down, a line each."""
    paths = [
        (str(who), name, log["height"][log["who"] == who], log[name][log["who"] == who])
        for log in record.logs.values()
        for name in log
        if (name == "price" or name.startswith("price_")) and log[name].dtype.kind in "if"
        for who in dict.fromkeys(log["who"].tolist())
    ][: len(COLOURS)]
    if not any(len(heights) > 1 for _, _, heights, _ in paths):
        return False
    several = len({name for _, name, _, _ in paths}) > 1
    for row, (who, name, heights, prices) in enumerate(paths):
        label = f"{who}, {name}" if several else who
        axes.plot(heights / record.day_blocks, prices, lw=1.2, color=COLOURS[row], label=label)
    _days_axis(axes, record, "Simulated day")
    axes.set_ylabel("Price that was written down")
    axes.set_title("Price paths")
    _legend(axes, 4)
    return True


def _legend(axes: Axes, columns: int) -> None:
    """A legend under the figure, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        # The line that matters first, what explains the background last.
        ranked = sorted(zip(labels, handles, strict=True), key=lambda pair: _BACKGROUND.get(pair[0], 1))
        names, shown = [label for label, _ in ranked], [handle for _, handle in ranked]
        if len(axes.figure.axes) > 1:  # somebody's figure of several: under all of them legends would lie on each other
            axes.legend(shown, names)
            return
        width = axes.figure.get_figure(root=True).get_figwidth()
        axes.figure.legend(shown, names, loc="outside lower center", ncols=min(max(columns, 4) if width > NARROW else 3, len(ranked)))


Plot = Callable[[Record, Mapping[str, Any], "Axes"], bool]
"""Draws one figure of a run; False where the run has nothing to draw."""

PLOTS: Final[Mapping[str, Plot]] = {
    "revenue_per_day": _revenue_per_day,
    "fill_rate": _fill_rate,
    "utilization": _utilization,
    "winning_prices": _winning_prices,
    "close_reasons": _close_reasons,
    "price_paths": _price_paths,
}
IN_REPORTS: Final = ("revenue_per_day", "fill_rate", "utilization", "winning_prices", "close_reasons", "price_paths")
"""The figures of a report, in its order."""
