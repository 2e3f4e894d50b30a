"""Draws the figures of a sweep's report as PNG files whose bytes depend only on the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from marketsim.experiments.runs.course import FLOWS, course_name
from marketsim.experiments.runs.drawing import Drawing, DrawingPart
from marketsim.experiments.sweep.design import level_number
from marketsim.experiments.sweep.file import ALWAYS, Factor, Level
from marketsim.experiments.sweep.rounds import SweepResult
from marketsim.export.images import report_image, styled
from marketsim.statistics.controls import Controlled
from marketsim.statistics.estimates import Description, Effect, Interval, ResponseSurface, t_interval
from marketsim.statistics.indices import ElementaryEffect, SobolIndex

# Okabe and Ito's palette, told apart by readers with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#B8A500")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.hashsalt": "marketsim",
}
_DPI = 150
_SERIES_MAX = len(COLOURS)
_SHOWN_MAX = 4
# Levels this far apart are shown on a logarithmic axis.
_LOG_RATIO = 20
_LABELLED_MAX = 8
_TORNADO_MAX = 12
_STATISTICS = 40
"""How long the statistics of a sweep take, in hundredths of a second: which process draws what hangs on it, and nothing else."""
# Where a label may stand beside its mark, in points, the best first.
_LABEL_PLACES = [(across * dx, up * dy) for dx, dy in ((9, 0), (9, 9), (5, 15)) for across in (1, -1) for up in (1, -1)]


@dataclass(frozen=True)
class FigureFile:
    """One figure: file name without suffix, heading, caption, and a PNG image a panel, which pages put side by side or stack."""

    name: str
    title: str
    caption: str
    panels: tuple[bytes, ...] = field(repr=False)

    @property
    def files(self) -> dict[str, bytes]:
        """The panels by file name."""
        if len(self.panels) == 1:
            return {f"{self.name}.png": self.panels[0]}
        return {f"{self.name}_{number}.png": png for number, png in enumerate(self.panels, 1)}


@dataclass(frozen=True)
class Series:
    """Means of a metric with intervals at some x positions."""

    label: str
    x: tuple[float, ...]
    means: tuple[float, ...]
    intervals: tuple[Interval, ...]


@dataclass(frozen=True)
class SweepStatistics:
    """What a sweep's rows say, by metric: at each point, and about the factors."""

    points: dict[str, tuple[Description, ...]]
    effects: dict[str, list[Effect]]
    surfaces: dict[str, ResponseSurface]
    sobol: dict[str, list[SobolIndex]]
    morris: dict[str, list[ElementaryEffect]]
    notes: tuple[str, ...]
    pairing: dict[str, float]
    controlled: dict[str, tuple[Controlled | None, ...]]
    """The points' means with known chance taken out, None where there are too few runs or no control."""


class SweepDrawing:
    """The figures that a sweep's design allows: what needs no statistics is begun at once where others draw too (`Drawing`)."""

    def __init__(self, result: SweepResult) -> None:
        self._result = result
        self._shown = any(row.status == "ok" for row in result.rows)
        number = len(shown_metrics(result))
        parts: dict[str, DrawingPart] = {}
        if self._shown:
            parts = {f"factor {i}": _part(10 * number, _factor_figure, result, i) for i in range(len(result.plan.sweep.factors))}
            if result.plan.sweep.series:
                parts["courses"] = _part(15 * len(result.plan.sweep.series), _courses, result)
            if not _is_sampled(result):
                parts["maps"] = _part(13 * number, _heat_maps, result)
            parts["frontier"] = _part(18, _frontier, result)
            if max(len(result.values(p.index, result.metrics[0])) for p in result.plan.design.points) > 2:
                parts["convergence"] = _part(25, _convergence, result)
        self._names = list(parts)
        self._drawing = Drawing(list(parts.values()), busy=_STATISTICS + (20 if _is_sampled(result) else 7) * number)

    def finish(self, statistics: SweepStatistics) -> list[FigureFile]:
        """Every figure, in the order of the report."""
        if not self._shown:
            return []
        found = dict(zip(self._names, self._drawing.finish(), strict=True))
        found["influences"] = _part(0, _influences, self._result, statistics).draw()
        if "maps" not in found:
            found["maps"] = _part(0, _surface_maps, self._result, statistics.surfaces).draw()
        factors = [name for name in self._names if name.startswith("factor")]
        order = [*factors, "courses", "maps", "frontier", "influences", "convergence"]
        return [figure for name in order for figure in found.get(name, ())]


def _part(length: int, draw: Callable[..., list[FigureFile]], *of: Any) -> DrawingPart:
    """A part of the drawing; lengths were measured, in hundredths of a second."""
    return DrawingPart(length, partial(_styled, draw, *of))


def _styled(draw: Callable[..., list[FigureFile]], *of: Any) -> list[FigureFile]:
    import matplotlib as mpl

    with mpl.rc_context({**mpl.rcParamsDefault, **styled(_STYLE), "backend": "agg"}):
        return draw(*of)


def shown_metrics(result: SweepResult) -> tuple[str, ...]:
    """The metrics that the figures show: those that the file names, in its order, at most `_SHOWN_MAX`; with one alone revenue or fill
    rate beside it.
    """
    named = result.plan.sweep.metrics[:_SHOWN_MAX]
    return named if len(named) > 1 else tuple(dict.fromkeys((*named, *reversed(ALWAYS))))[:2]


def traded_off(result: SweepResult) -> tuple[str, str]:
    """Revenue and fill rate, of which more is better in both: the file's own revenue metric when it has one."""
    revenue = next((m for m in result.plan.sweep.metrics if m.startswith("revenue.")), "revenue.per_day_mean")
    return revenue, "fill_rate"


def _factor_figure(result: SweepResult, index: int) -> list[FigureFile]:
    factors = result.plan.sweep.factors
    factor = factors[index]
    other = _grouping(result, index)
    panels = []
    for name in shown_metrics(result):
        figure, axis = _panel(height=3.4)
        handles = _draw_sampled(axis, result, index, name) if _is_sampled(result) else _draw_levels(axis, result, index, other, name)
        axis.set_xlabel(factor.label)
        axis.set_ylabel(result.naming(name).label)
        _roomy(axis)
        if handles and other is not None:
            _legend_below(figure, handles, factors[other].label)
        panels.append(_png(figure))
    level = f"{result.plan.sweep.confidence:.0%}"
    averaged = [f.title or f.name.replace("_", " ") for k, f in enumerate(factors) if k not in (index, other)]
    caption = f"Bars: {level} t intervals over replications."
    if _is_sampled(result):
        caption = f"One dot a design point, with its {level} t interval; line: least-squares quadratic."
    elif averaged:
        caption += f" Averaged over {' and '.join(averaged)}."
    title = f"What {factor.title or factor.name.replace('_', ' ')} does"
    return [FigureFile(f"factor_{factor.name}", title, caption, tuple(panels))]


def _courses(result: SweepResult) -> list[FigureFile]:
    """Each series of the sweep over simulated time, a line with a band a point or a level of the first factor."""
    found = []
    for wanted in result.plan.sweep.series:
        known = course_name(wanted.metric)
        groups = course_groups(result)
        figure, axis = _panel(width=5.8, height=3.6)
        for g, (label, members) in enumerate(groups):
            course = course_over(result, wanted.span.key, members)
            if course is None:
                continue
            hours, values = course
            days = np.array(hours) / 24
            intervals = [t_interval(column * known.scale, result.plan.sweep.confidence) for column in values.T]
            middle = np.array([float(np.nanmean(c)) if np.isfinite(c).any() else math.nan for c in values.T * known.scale])
            low = [i.low if math.isfinite(i.low) else math.nan for i in intervals]
            high = [i.high if math.isfinite(i.high) else math.nan for i in intervals]
            centre = days - np.diff(days, prepend=0.0) / 2
            axis.fill_between(centre, low, high, color=COLOURS[g % len(COLOURS)], alpha=0.18, linewidth=0)
            axis.plot(centre, middle, color=COLOURS[g % len(COLOURS)], marker=_MARKERS[g % len(_MARKERS)], markersize=3, label=label)
        axis.set_xlabel("simulated days")
        per = f" in {wanted.every / 3600:g} h" if wanted.metric in FLOWS else ""
        axis.set_ylabel(f"{known.title}{per}{f' [{known.unit}]' if known.unit else ''}")
        if len(groups) > 1:
            _legend_below(figure, axis.lines, ", ".join(f.label for f in result.plan.sweep.factors[: 1 if _by_level(result) else None]))
        _roomy(axis)
        level = f"{result.plan.sweep.confidence:.0%}"
        caption = f"Means of spans of {wanted.every / 3600:g} h over replications, bands: {level} t intervals at each span by itself."
        if _by_level(result):
            caption += " Averaged over the other factors."
        name = f"series_{wanted.metric.replace('.', '_')}_{wanted.every / 3600:g}h"
        found.append(FigureFile(name, f"{known.title[:1].upper()}{known.title[1:]} over time", caption, (_png(figure),)))
    return found


def _by_level(result: SweepResult) -> bool:
    """Whether lines stand for the first factor's levels, because the points are too many for one each."""
    levels = {p.levels[0].text for p in result.plan.design.points}
    return len(result.plan.design.points) > 6 and len(levels) <= _SERIES_MAX and not _is_sampled(result)


def course_groups(result: SweepResult) -> list[tuple[str, list[int]]]:
    """What has a line of its own: label and points."""
    points = result.plan.design.points
    if _by_level(result):
        return [(level.text, [p.index for p in points if p.levels[0].text == level.text]) for level in _levels(result, 0)]
    return [(", ".join(p.labels()), [p.index]) for p in points[:_SERIES_MAX]]


def course_over(result: SweepResult, key: str, members: Sequence[int]) -> tuple[list[float], np.ndarray[Any, np.dtype[np.float64]]] | None:
    """The hours at which spans end and the series as float64[replications, spans], averaged over the points that share a replication.

    None where no run has it. Replications whose spans differ from the first one's are left out.
    """
    by_replication: dict[int, list[Any]] = {}
    hours: list[float] | None = None
    for row in result.rows:
        one = row.series.get(key)
        if row.point not in members or one is None:
            continue
        hours = [float(h or 0.0) for h in one["hours"]] if hours is None else hours
        if len(one["values"]) == len(hours):
            by_replication.setdefault(row.replication, []).append([math.nan if v is None else v for v in one["values"]])
    complete = [np.mean(found, axis=0) for found in by_replication.values() if len(found) == len(members)]
    if hours is None or not complete:
        return None
    return hours, np.array(complete, dtype=np.float64)


def _draw_levels(axis: Any, result: SweepResult, index: int, other: int | None, name: str) -> list[Any]:
    factor = result.plan.sweep.factors[index]
    levels = _levels(result, index)
    positions = _positions(axis, factor, levels)
    groups: list[Level | None] = [None] if other is None else list(_levels(result, other))
    handles = []
    span = max(positions) - min(positions) if len(positions) > 1 else 1.0
    categorical = any(level_number(level) is None for level in levels)
    for g, group in enumerate(groups):
        series = _series(result, index, levels, positions, other, group, name)
        # Intervals of neighbouring series would cover each other where they share an x position.
        shift = (g - (len(groups) - 1) / 2) * (0.08 if categorical else 0.008 * span)
        x = np.array(series.x) + shift
        if axis.get_xscale() == "log":
            x = np.array(series.x) * (max(positions) / min(positions)) ** (shift / span if span else 0)
        handles.append(
            axis.errorbar(
                x,
                series.means,
                yerr=_error_bars(series.means, series.intervals),
                color=COLOURS[g % len(COLOURS)],
                marker=_MARKERS[g % len(_MARKERS)],
                linestyle=":" if categorical else "-",
                capsize=2.5,
                elinewidth=1.1,
                label=series.label,
            )
        )
    return handles


def _draw_sampled(axis: Any, result: SweepResult, index: int, name: str) -> list[Any]:
    scale = result.naming(name).scale
    factor = result.plan.sweep.factors[index]
    levels = [point.levels[index] for point in result.plan.design.points]
    numbers = [level_number(level) for level in levels]
    if any(number is None for number in numbers):
        texts = [level.text for level in _levels(result, index)]
        x = np.array([float(texts.index(level.text)) for level in levels])
        axis.set_xticks(range(len(texts)), texts)
    else:
        x = np.array(numbers, dtype=np.float64)
        if factor.range is not None and factor.range.scale == "log":
            axis.set_xscale("log")
    means, intervals = [], []
    for point in range(len(levels)):
        values = _finite(result.values(point, name)) * scale
        means.append(float(values.mean()) if values.size else math.nan)
        intervals.append(t_interval(values, result.plan.sweep.confidence))
    y = np.array(means)
    axis.errorbar(
        x, y, yerr=_error_bars(means, intervals), color=COLOURS[0], marker="o", linestyle="none", alpha=0.55,
        elinewidth=0.7, markersize=3.5,
    )  # fmt: skip
    good = np.isfinite(y)
    position = np.log(x) if axis.get_xscale() == "log" else x
    if np.unique(position[good]).size > 3:
        fit = np.polynomial.Polynomial.fit(position[good], y[good], 2)
        line = np.linspace(position[good].min(), position[good].max(), 100)
        axis.plot(np.exp(line) if axis.get_xscale() == "log" else line, fit(line), color=COLOURS[1])
    return []


def _heat_maps(result: SweepResult) -> list[FigureFile]:
    factors = result.plan.sweep.factors
    if len(factors) < 2:
        return []
    rows, columns = _levels(result, 1), _levels(result, 0)
    if len(rows) < 2 or len(columns) < 2:
        return []
    height = max(2.6, 0.42 * len(rows) + 1.7)
    panels = []
    for name in shown_metrics(result):
        figure, axis = _panel(height=height)
        known = result.naming(name)
        table = np.full((len(rows), len(columns)), math.nan)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                values = _pooled(result, {0: column, 1: row}, name)
                if values.size:
                    table[i, j] = float(values.mean()) * known.scale
        _draw_table(figure, axis, table, known.label)
        axis.set_xticks(range(len(columns)), [level.text for level in columns])
        axis.set_yticks(range(len(rows)), [level.text for level in rows])
        axis.set_xlabel(factors[0].label)
        axis.set_ylabel(factors[1].label)
        axis.set_title(known.title)
        panels.append(_png(figure))
    caption = "Means over replications" + (", averaged over the other factors." if len(factors) > 2 else ".")
    title = f"{factors[0].name.replace('_', ' ')} × {factors[1].name.replace('_', ' ')}".capitalize()
    return [FigureFile("heat_map", title, caption, tuple(panels))]


def _draw_table(figure: Any, axis: Any, table: np.ndarray[Any, np.dtype[np.float64]], label: str) -> None:
    image = axis.imshow(np.ma.masked_invalid(table), cmap="viridis", aspect="auto", origin="lower")
    axis.grid(False)
    bar = figure.colorbar(image, ax=axis, fraction=0.05, pad=0.03)
    bar.set_label(label)
    bar.outline.set_visible(False)
    if table.size > 120:
        return
    low, high = np.nanmin(table), np.nanmax(table)
    for (i, j), value in np.ndenumerate(table):
        if math.isfinite(value):
            dark = high > low and (value - low) / (high - low) < 0.6
            axis.text(
                j,
                i,
                _short(value),
                ha="center",
                va="center",
                fontsize=7.5,
                color="white" if dark else "black",
            )


def _surface_maps(result: SweepResult, surfaces: dict[str, ResponseSurface]) -> list[FigureFile]:
    if len(result.plan.sweep.factors) < 2:
        return []
    names = [name for name in shown_metrics(result) if name in surfaces]
    if not names:
        return []
    surface = surfaces[names[0]]
    if len(surface.names) < 2:
        return []
    panels = []
    labels = {f.name: f.label for f in result.plan.sweep.factors}
    for name in names:
        figure, axis = _panel(height=3.6)
        surface, known = surfaces[name], result.naming(name)
        x = np.linspace(surface.lows[0], surface.highs[0], 60)
        y = np.linspace(surface.lows[1], surface.highs[1], 60)
        middle = [(low + high) / 2 for low, high in zip(surface.lows, surface.highs, strict=True)]
        grid = np.tile(np.array(middle), (3600, 1))
        grid[:, 0], grid[:, 1] = np.tile(x, 60), np.repeat(y, 60)
        fitted = surface.predict(grid)[0].reshape(60, 60) * known.scale
        filled = axis.contourf(x, y, fitted, levels=14, cmap="viridis")
        bar = figure.colorbar(filled, ax=axis, fraction=0.05, pad=0.03)
        bar.set_label(known.label)
        bar.outline.set_visible(False)
        axis.grid(False)
        axis.set_xlabel(labels[surface.names[0]])
        axis.set_ylabel(labels[surface.names[1]])
        axis.set_title(known.title)
        panels.append(_png(figure))
    rest = " Other factors at the middle of their ranges." if len(surface.names) > 2 else ""
    return [
        FigureFile(
            "response_surface",
            "Response surface",
            f"Least-squares surface of the points' means.{rest}",
            tuple(panels),
        )
    ]


def _frontier(result: SweepResult) -> list[FigureFile]:
    revenue, fill = traded_off(result)
    names = result.naming(revenue), result.naming(fill)
    points = result.plan.design.points
    level = result.plan.sweep.confidence
    y_values = [_finite(result.values(p.index, revenue)) * names[0].scale for p in points]
    x_values = [_finite(result.values(p.index, fill)) * names[1].scale for p in points]
    y = np.array([v.mean() if v.size else math.nan for v in y_values])
    x = np.array([v.mean() if v.size else math.nan for v in x_values])
    best = [i for i in range(len(points)) if _undominated(i, x, y)]
    best.sort(key=lambda i: (x[i], -y[i]))
    figure, axis = _panel(width=6.4, height=4.3)
    groups = [level_.text for level_ in _levels(result, 0)] if not _is_sampled(result) else []
    coloured = 1 < len(groups) <= _SERIES_MAX
    handles = []
    for g, text in enumerate(groups if coloured else [""]):
        member = [i for i, p in enumerate(points) if not coloured or p.levels[0].text == text]
        handles.append(
            axis.errorbar(
                x[member],
                y[member],
                xerr=_error_bars(x[member], [t_interval(x_values[i], level) for i in member]),
                yerr=_error_bars(y[member], [t_interval(y_values[i], level) for i in member]),
                linestyle="none",
                marker=_MARKERS[g % len(_MARKERS)],
                color=COLOURS[g % len(COLOURS)],
                elinewidth=0.7,
                alpha=0.8,
                label=text,
            )
        )
    axis.plot(x[best], y[best], color="#444444", linewidth=1.0, linestyle="--", zorder=1)
    axis.scatter(x[best], y[best], s=90, facecolors="none", edgecolors="#444444", linewidths=1.0, zorder=4)
    axis.set_xlabel(names[1].label)
    axis.set_ylabel(names[0].label)
    _roomy(axis)
    if coloured:
        _legend_below(figure, handles, result.plan.sweep.factors[0].label)
    short = [f.name.replace("_", " ") for f in result.plan.sweep.factors]
    texts = {i: ", ".join(f"{name} {label}" for name, label in zip(short, points[i].labels(), strict=True)) for i in best[:_LABELLED_MAX]}
    _label_apart(figure, axis, x, y, texts)
    caption = (
        f"Each mark is a design point with {level:.0%} t intervals; circles on the dashed line are points "
        "that no other point beats in both."
    )
    return [FigureFile("frontier", "Revenue against fill rate", caption, (_png(figure),))]


def _label_apart(
    figure: Any,
    axis: Any,
    x: np.ndarray[Any, np.dtype[np.float64]],
    y: np.ndarray[Any, np.dtype[np.float64]],
    texts: dict[int, str],
) -> None:
    """Writes each text beside its point where it covers no other text and no mark, else leaves it out."""
    from matplotlib import patheffects

    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    frame = axis.get_window_extent(renderer)
    marks = axis.transData.transform(np.column_stack([x, y])[np.isfinite(x) & np.isfinite(y)])
    taken: list[Any] = []
    halo = [patheffects.withStroke(linewidth=2.2, foreground="white")]
    for i, text in texts.items():
        for dx, dy in _LABEL_PLACES:
            label = axis.annotate(
                text,
                (x[i], y[i]),
                xytext=(dx, dy),
                textcoords="offset points",
                fontsize=7,
                ha="left" if dx > 0 else "right",
                va="center",
                color="#222222",
                path_effects=halo,
                zorder=5,
            )
            box = label.get_window_extent(renderer)
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            free = not any(box.overlaps(other) for other in taken)
            clear = not any(box.padded(4).contains(mx, my) for mx, my in marks)
            if inside and free and clear:
                taken.append(box.padded(3))
                break
            label.remove()


def _influences(result: SweepResult, statistics: SweepStatistics) -> list[FigureFile]:
    """What each factor does: Sobol or Morris measures where the design is made for them, else effects."""
    level = f"{result.plan.sweep.confidence:.0%}"
    names = shown_metrics(result)
    if statistics.sobol:
        bars = [
            BarPanel(
                f"share of variance of {result.naming(m).title}",
                tuple(i.name for i in found),
                {
                    "first order": [(i.first, i.first_interval) for i in found],
                    "total": [(i.total, i.total_interval) for i in found],
                },
            )
            for m, found in statistics.sobol.items()
            if m in names
        ]
        caption = f"Share of the variance of the points' means, with {level} bootstrap intervals."
        return [FigureFile("sobol", "Sobol indices", caption, _bars(bars))]
    if statistics.morris:
        bars = [
            BarPanel(
                f"µ* on {result.naming(m).label}",
                tuple(e.name for e in found),
                {"mean size of elementary effects": [_scaled(e.mean_absolute, e.absolute_interval, result.naming(m).scale) for e in found]},
            )
            for m, found in statistics.morris.items()
            if m in names
        ]
        caption = f"Elementary effects over the whole range, with {level} t intervals over trajectories."
        return [FigureFile("morris", "Elementary effects (Morris)", caption, _bars(bars))]
    return _tornado(result, statistics.effects)


@dataclass(frozen=True)
class BarPanel:
    """Bars of one metric: axis label, factors, and by measure one value with interval a factor."""

    label: str
    names: tuple[str, ...]
    measures: dict[str, list[tuple[float, Interval]]]


def _scaled(value: float, interval: Interval, scale: float) -> tuple[float, Interval]:
    return value * scale, Interval(interval.low * scale, interval.high * scale, interval.level, interval.method)


def _bars(panels: Sequence[BarPanel]) -> tuple[bytes, ...]:
    """Bars by factor, one panel a metric, one colour a measure, the largest factor on top."""
    rows = max(len(panel.names) for panel in panels)
    images = []
    for panel in panels:
        figure, axis = _panel(height=max(2.4, 0.45 * rows + 1.6))
        measures = list(panel.measures.values())
        order = sorted(range(len(panel.names)), key=lambda k: (measures[-1][k][0], panel.names[k]))
        places = np.arange(len(order))
        width = 0.7 / len(measures)
        handles = []
        for m, found in enumerate(measures):
            values = np.array([found[k][0] for k in order])
            at = places + (len(measures) - 1) / 2 * width - m * width
            handles.append(axis.barh(at, values, height=width, color=COLOURS[m], alpha=0.85))
            spans = _error_bars(values, [found[k][1] for k in order])
            axis.errorbar(values, at, xerr=spans, linestyle="none", ecolor="#222222", elinewidth=0.9, capsize=2)
        axis.axvline(0, color="#222222", linewidth=0.8)
        axis.set_yticks(places, [panel.names[k].replace("_", " ") for k in order])
        axis.grid(axis="y", visible=False)
        axis.set_xlabel(panel.label)
        measured = list(panel.measures)
        figure.legend(handles, measured, loc="outside lower center", ncols=len(measured))
        images.append(_png(figure))
    return tuple(images)


def _tornado(result: SweepResult, effects: dict[str, list[Effect]]) -> list[FigureFile]:
    shown = [(name, effects[name]) for name in shown_metrics(result) if effects.get(name)]
    if not shown:
        return []
    rows = min(max(len(found) for _, found in shown), _TORNADO_MAX)
    panels = []
    for name, found in shown:
        figure, axis = _panel(height=max(2.2, 0.38 * rows + 1.4))
        known = result.naming(name)
        ordered = sorted(found, key=lambda e: (-abs(e.estimate), e.name))[:_TORNADO_MAX][::-1]
        estimates = np.array([e.estimate * known.scale for e in ordered])
        sure = [e.p_holm <= 1 - result.plan.sweep.confidence for e in ordered]
        colours = [COLOURS[0] if estimate >= 0 else COLOURS[1] for estimate in estimates]
        places = np.arange(len(ordered))
        bars = axis.barh(places, estimates, color=colours, height=0.62)
        for bar, is_sure in zip(bars, sure, strict=True):
            bar.set_alpha(0.9 if is_sure else 0.3)
        intervals = [Interval(e.interval.low * known.scale, e.interval.high * known.scale, e.interval.level, "") for e in ordered]
        axis.errorbar(
            estimates, places, xerr=_error_bars(estimates, intervals), linestyle="none", ecolor="#222222",
            elinewidth=1.0, capsize=2.5,
        )  # fmt: skip
        axis.axvline(0, color="#222222", linewidth=0.8)
        axis.set_yticks(places, [_wrapped(e.name.replace("_", " ")) for e in ordered])
        axis.grid(axis="y", visible=False)
        unit = "percentage points" if known.unit == "%" else known.unit
        axis.set_xlabel(_wrapped(f"effect on {known.title}{f' [{unit}]' if unit else ''}", 48))
        axis.margins(y=0.02)
        panels.append(_png(figure))
    caption = (
        "Mean of the metric at a factor's highest level − mean at its lowest (where the table says so: rise of a fitted line), "
        f"with {result.plan.sweep.confidence:.0%} t intervals over seeds; pale bars are not significant after "
        "Holm's correction. Curvature: how far the levels between lie above the line between the ends. a × b is an "
        "interaction."
    )
    return [FigureFile("tornado", "Effects", caption, tuple(panels))]


def _convergence(result: SweepResult) -> list[FigureFile]:
    until = result.plan.sweep.replications.until
    name = until.metric if until is not None else shown_metrics(result)[0]
    known = result.naming(name)
    level = result.plan.sweep.confidence
    points = result.plan.design.points
    drawn = [_panel(height=3.4) for _ in range(2)]
    axes = [axis for _, axis in drawn]
    chosen = sorted({0, len(points) // 2, len(points) - 1})
    for colour, p in enumerate(chosen):
        values = _finite(result.values(p, name)) * known.scale
        if values.size < 2:
            continue
        counts = np.arange(2, values.size + 1)
        running = [t_interval(values[:n], level) for n in counts]
        means = [float(values[:n].mean()) for n in counts]
        label = ", ".join(points[p].labels())
        axes[0].plot(counts, means, color=COLOURS[colour], label=label)
        axes[0].fill_between(
            counts,
            [i.low for i in running],
            [i.high for i in running],
            color=COLOURS[colour],
            alpha=0.15,
            linewidth=0,
        )
    axes[0].set_xlabel("replications")
    axes[0].set_ylabel(known.label)
    axes[0].set_title("Running mean and interval")
    if axes[0].lines:
        title = ", ".join(f.label for f in result.plan.sweep.factors)
        _legend_below(drawn[0][0], axes[0].lines, title)
    _clip_early(axes[0])
    widest, positive = 0, False
    for point in points:
        values = _finite(result.values(point.index, name)) * known.scale
        if values.size < 2:
            continue
        counts = np.arange(2, values.size + 1)
        halves = np.array([t_interval(values[:n], level).half_width for n in counts])
        if until is None or until.half_width is None:
            middles = np.abs(np.array([values[:n].mean() for n in counts]))
            with np.errstate(divide="ignore", invalid="ignore"):
                halves = np.where(middles > 0, 100 * halves / middles, math.nan)
        widest = max(widest, int(values.size))
        positive = positive or bool((halves > 0).any())
        axes[1].plot(counts, halves, color=COLOURS[0], alpha=0.35, linewidth=1.0)
    relative = until is None or until.half_width is None
    if until is not None:
        target = 100 * (until.relative_half_width or 0) if relative else (until.half_width or 0) * known.scale
        axes[1].axhline(target, color=COLOURS[1], linestyle="--", linewidth=1.2, label="stopping rule")
        axes[1].legend(loc="upper right")
    is_log = widest > 2 and positive  # a metric that never varies has no intervals
    if is_log:
        axes[1].set_yscale("log")
    axes[1].set_xlabel("replications")
    axes[1].set_ylabel("half-width [% of the mean]" if relative else f"half-width [{known.unit}]")
    axes[1].set_title("Half-width at every point")
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    for axis in axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    if is_log:
        axes[1].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes[1].yaxis.set_minor_formatter(NullFormatter())
    caption = f"{known.title.capitalize()}: {level:.0%} t intervals as replications are added."
    return [FigureFile("convergence", "Convergence of the interval", caption, tuple(_png(figure) for figure, _ in drawn))]


def _clip_early(axis: Any) -> None:
    """Limits the y axis to the bands from the fifth replication on; those of two values would hide them."""
    lows, highs = [], []
    for band in axis.collections:
        vertices = band.get_paths()[0].vertices
        late = vertices[vertices[:, 0] >= min(5, vertices[:, 0].max())]
        lows.append(late[:, 1].min())
        highs.append(late[:, 1].max())
    if lows and max(highs) > min(lows):
        pad = 0.08 * (max(highs) - min(lows))
        axis.set_ylim(min(lows) - pad, max(highs) + pad)


def _panel(*, width: float = 4.4, height: float) -> tuple[Any, Any]:
    """A figure of one panel: pages put panels side by side where there is room and stack them where there is none."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(width, height), dpi=_DPI, layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.06))
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _png(figure: Any) -> bytes:
    return report_image(figure, _DPI)


def _legend_below(figure: Any, handles: Sequence[Any], title: str) -> None:
    figure.legend(handles=list(handles), title=title, loc="outside lower center", ncols=min(len(handles), 6))


def _is_sampled(result: SweepResult) -> bool:
    return result.plan.sweep.design.kind in {"latin_hypercube", "sobol", "morris"}


def _grouping(result: SweepResult, index: int) -> int | None:
    """The other factor whose levels become separate lines: the first that has few enough."""
    for k in range(len(result.plan.sweep.factors)):
        if k != index and 1 < len(_levels(result, k)) <= _SERIES_MAX:
            return k
    return None


def _levels(result: SweepResult, index: int) -> list[Level]:
    """The levels that a factor has in the design, numbers in rising order, others as in the file."""
    found = {point.levels[index].text: point.levels[index] for point in result.plan.design.points}
    levels = list(found.values())
    if all(level_number(level) is not None for level in levels):
        levels.sort(key=lambda level: level_number(level) or 0.0)
    return levels


def _positions(axis: Any, factor: Factor, levels: Sequence[Level]) -> list[float]:
    numbers = [level_number(level) for level in levels]
    if all(number is not None for number in numbers) and all(level.label is None for level in levels):
        positions = [float(number or 0.0) for number in numbers]
        stretched = min(positions) > 0 and max(positions) / min(positions) >= _LOG_RATIO and len(positions) > 2
        if stretched or (factor.range is not None and factor.range.scale == "log"):
            axis.set_xscale("log")
            axis.set_xticks(positions, [level.text for level in levels])
            axis.minorticks_off()
        return positions
    axis.set_xticks(range(len(levels)), [_wrapped(level.text) for level in levels])
    axis.set_xlim(-0.5, len(levels) - 0.5)
    return [float(i) for i in range(len(levels))]


def _series(
    result: SweepResult,
    index: int,
    levels: Sequence[Level],
    positions: Sequence[float],
    other: int | None,
    group: Level | None,
    name: str,
) -> Series:
    scale = result.naming(name).scale
    x, means, intervals = [], [], []
    for level, position in zip(levels, positions, strict=True):
        fixed = {index: level}
        if other is not None and group is not None:
            fixed[other] = group
        values = _pooled(result, fixed, name) * scale
        if values.size:
            x.append(position)
            means.append(float(values.mean()))
            intervals.append(t_interval(values, result.plan.sweep.confidence))
    return Series(group.text if group is not None else "", tuple(x), tuple(means), tuple(intervals))


def _pooled(result: SweepResult, fixed: dict[int, Level], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One value a replication: the metric's mean over the points with these levels, which share seeds."""
    members = [p.index for p in result.plan.design.points if all(p.levels[k].text == level.text for k, level in fixed.items())]
    column = result.metrics.index(name)
    wanted = set(members)
    by_replication: dict[int, list[float]] = {}
    for row in result.rows:
        if row.point in wanted and row.status == "ok" and math.isfinite(row.values[column]):
            by_replication.setdefault(row.replication, []).append(row.values[column])
    complete = [v for v in by_replication.values() if len(v) == len(members)]
    return np.array([float(np.mean(v)) for v in (complete or by_replication.values())])


def _error_bars(
    means: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]], intervals: Sequence[Interval]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Distances below and above each mean, float64[2, n]; an open interval draws nothing."""
    below = [m - i.low if math.isfinite(i.low) else 0.0 for m, i in zip(means, intervals, strict=True)]
    above = [i.high - m if math.isfinite(i.high) else 0.0 for m, i in zip(means, intervals, strict=True)]
    distances: np.ndarray[Any, np.dtype[np.float64]] = np.nan_to_num(np.maximum([below, above], 0.0))
    return distances


def _finite(values: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    x = np.asarray(values, dtype=np.float64)
    return x[np.isfinite(x)]


def _undominated(i: int, x: np.ndarray[Any, np.dtype[np.float64]], y: np.ndarray[Any, np.dtype[np.float64]]) -> bool:
    if not (math.isfinite(x[i]) and math.isfinite(y[i])):
        return False
    with np.errstate(invalid="ignore"):
        return not bool(np.any((x >= x[i]) & (y >= y[i]) & ((x > x[i]) | (y > y[i]))))


def _roomy(axis: Any) -> None:
    axis.margins(x=0.06, y=0.12)


def _short(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _wrapped(text: str, width: int = 22) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width)) or text
