"""Figures of results for notebooks and papers: each is drawn into matplotlib axes and returned."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from marketsim.errors import InputError
from marketsim.export.images import COLOURS, INK, STYLE, StyleLike, drawn, fit_titles, new_figure
from marketsim.face.series import UNITS
from marketsim.face.telling import is_notebook

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from marketsim.face.runs import ReplicatedRuns, RunResult

_LABELS: Mapping[str, str] = {
    "orders": "Orders created",
    "leased": "Orders leased",
    "fill_rate": "Fill rate",
    "begun": "Leases made",
    "ended": "Leases ended",
    "active": "Active leases",
    "price": "Mean price of leases made, uve a block",
    "price_index": "Price index, generic targets = 100",
    "contracted": "Price × blocks of open leases, uve",
    "revenue": "Net revenue settled, uve",
    **{f"utilization_{name}": f"Leased share of {name}" for name in ("cpu", "memory", "storage", "gpu")},
}


class Plots:
    """The figures of one run.

    Each method draws into `axes` (new ones where none are given; in a notebook they are shown) and returns them, for titles, limits and
    `axes.figure.savefig("name.pdf")`. `style` is a style sheet of matplotlib by name or file, a mapping of its parameters, or a function
    that is given the figure. `width` in inches: 3.5 is a column of a paper.
    """

    def __init__(self, result: RunResult) -> None:
        self._result = result

    def revenue_per_day(self, axes: Axes | None = None, *, style: StyleLike | None = None, width: float = 7.6) -> Axes:
        """Net revenue per simulated day, VE, stacked by cohort of providers."""
        return self._report("revenue_per_day", axes, style, width)

    def fill_rate(self, axes: Axes | None = None, *, style: StyleLike | None = None, width: float = 7.6) -> Axes:
        """Orders leased in % of orders created over time, by cohort of tenants, with Wilson's 95 % interval."""
        return self._report("fill_rate", axes, style, width)

    def utilization(self, axes: Axes | None = None, *, style: StyleLike | None = None, width: float = 7.6) -> Axes:
        """Leased share of all providers' capacity over time, %."""
        return self._report("utilization", axes, style, width)

    def winning_prices(self, axes: Axes | None = None, *, style: StyleLike | None = None, width: float = 7.6) -> Axes:
        """Distribution of the prices of leases, uve a block and VE a month, by cohort of providers."""
        return self._report("winning_prices", axes, style, width)

    def close_reasons(self, axes: Axes | None = None, *, style: StyleLike | None = None, width: float = 7.6) -> Axes:
        """Why leases ended, % of closed leases, beside the scenario's targets."""
        return self._report("close_reasons", axes, style, width)

    def series(
        self,
        column: str,
        every: str = "1h",
        by: str | None = None,
        axes: Axes | None = None,
        *,
        style: StyleLike | None = None,
        width: float = 7.6,
    ) -> Axes:
        """One column of `RunResult.series` over time, a line a group; raises InputError for a column that there is not."""
        table = self._result.series(every, by)
        _known(column, table.columns)

        def draw(on: Axes) -> None:
            _lines(on, table[column], by)
            _time_axis(on, _LABELS.get(column, column))

        return _drawn(draw, axes, style, width)

    def prices(
        self,
        every: str = "6h",
        by: str | None = "provider_cohort",
        axes: Axes | None = None,
        *,
        index: bool = True,
        style: StyleLike | None = None,
        width: float = 7.6,
    ) -> Axes:
        """Prices of the leases made in each span over time, a line a group.

        With `index` 100 is what the leases' resources cost at the generic monthly targets, so that a span with larger orders is not a
        dearer one; without it the mean price in uve a block. Raises InputError as `RunResult.series`.
        """
        return self.series("price_index" if index else "price", every, by, axes, style=style, width=width)

    def _report(self, name: str, axes: Axes | None, style: StyleLike | None, width: float) -> Axes:
        from marketsim.export.results import as_recorded
        from marketsim.report.figures import PLOTS

        result = self._result

        def draw(on: Axes) -> None:
            if not PLOTS[name](as_recorded(result.record), result.summary, on):
                on.set_axis_off()
                on.set_title(f"{name}: nothing of it was recorded")

        return _drawn(draw, axes, style, width)


class ReplicationPlots:
    """The figures across replications."""

    def __init__(self, replications: ReplicatedRuns) -> None:
        self._replications = replications

    def series(
        self,
        column: str,
        every: str = "1h",
        by: str | None = None,
        axes: Axes | None = None,
        *,
        level: float = 0.95,
        style: StyleLike | None = None,
        width: float = 7.6,
    ) -> Axes:
        """The mean of one column of `RunResult.series` over time, a line a group, in a band that is Student's interval for the mean.

        Raises InputError for a column that there is not.
        """
        table = self._replications.series(every, by, level=level)
        _known(column, table.columns.get_level_values(0).unique())
        part = table[column]

        def draw(on: Axes) -> None:
            _lines(on, part["mean"], by)
            for number, (_, group) in enumerate(_split(part, by)):
                colour = INK if by is None else COLOURS[number % len(COLOURS)]
                on.fill_between(_moments(group), group["low"], group["high"], color=colour, alpha=0.18, lw=0)
            _time_axis(on, _LABELS.get(column, column))
            count = len(self._replications)
            on.set_title(f"Mean of {count} replications, {100 * level:g} % band")

        return _drawn(draw, axes, style, width)


def plot_points(points: pd.DataFrame, metric: str, factor: str, factors: list[str], naming: Any, axes: Axes | None) -> Axes:
    """Means of a metric at the levels of a factor with their intervals, a line for each combination of the other factors."""
    others = [name for name in factors if name != factor]
    levels = list(dict.fromkeys(points[factor, ""]))
    groups = points.groupby([(name, "") for name in others], sort=False) if others else [("", points)]

    def draw(on: Axes) -> None:
        for number, (name, part) in enumerate(groups):
            x = [levels.index(level) for level in part[factor, ""]]
            cells = part[metric]
            mean = cells["mean"].to_numpy(float) * naming.scale
            ends = abs(cells[["low", "high"]].to_numpy(float).T * naming.scale - mean)
            label = ", ".join(f"{key} {value}" for key, value in zip(others, name if isinstance(name, tuple) else (name,), strict=False))
            on.errorbar(x, mean, yerr=ends, fmt="o-", ms=4, capsize=3, lw=1.4, color=COLOURS[number % len(COLOURS)], label=label or None)
        on.set_xticks(range(len(levels)), [str(level) for level in levels])
        on.set_xlabel(factor.replace("_", " "))
        on.set_ylabel(naming.label)
        on.grid(axis="y")
        if others:
            on.legend()

    return _drawn(draw, axes, None, 7.6)


def _known(column: str, columns: Any) -> None:
    if column not in columns:
        raise InputError(f"series: {column!r} is no column here, columns are {', '.join(name for name in UNITS if name in columns)}")


def _split(table: Any, by: str | None) -> list[tuple[str, Any]]:
    """The groups of a series, each indexed by time."""
    if by is None:
        return [("", table)]
    return [(name, table.xs(name, level=by)) for name in table.index.get_level_values(by).unique()]


def _lines(axes: Axes, column: pd.Series[Any], by: str | None) -> None:
    groups = _split(column, by)
    for number, (name, values) in enumerate(groups):
        colour = INK if by is None else COLOURS[number % len(COLOURS)]
        marker = "o" if len(values) < 60 else None
        axes.plot(_moments(values), values.to_numpy(), label=name or None, color=colour, lw=1.6, marker=marker, ms=2.5)
    if by is not None and len(groups) <= 12:
        axes.legend(title=by.replace("_", " "), ncols=1 + len(groups) // 5)


def _moments(table: Any) -> Any:
    """The moments of a series without their time zone, which matplotlib would show in its own."""
    return table.index.tz_localize(None) if table.index.tz is not None else table.index


def _time_axis(axes: Axes, label: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    axes.set_ylabel(label)
    axes.grid(axis="y")
    low, high = axes.get_ylim()
    if low > 0 and low < 0.5 * high and math.isfinite(low):
        axes.set_ylim(bottom=0)


def _drawn(draw: Callable[[Axes], None], axes: Axes | None, style: StyleLike | None, width: float) -> Axes:
    """Draw into axes, new ones where none are given; a notebook shows figures that pyplot knows of, so there they are its own."""
    if axes is not None:
        draw(axes)
        _say(axes, style)
        return axes
    if not 1 <= width <= 40:
        raise InputError(f"width: {width:g} inches are no width of a figure, give 1 to 40")
    is_column = width <= 4
    with drawn("pdf" if is_column else "png", style, STYLE, is_shown=is_notebook()):
        figure = _figure(width)
        made = cast("Axes", figure.add_subplot())
        draw(made)
        fit_titles(figure)
        _say(made, style)
    return made


def _say(axes: Axes, style: StyleLike | None) -> None:
    if callable(style):
        style(axes.get_figure(root=True))  # type: ignore[arg-type]


def _figure(width: float) -> Any:
    height = width * 4.1 / 7.6 if width > 4 else width * 0.72
    if not is_notebook():
        return new_figure("png", width, height)
    from matplotlib import pyplot

    return pyplot.figure(figsize=(width, height), layout="constrained")
