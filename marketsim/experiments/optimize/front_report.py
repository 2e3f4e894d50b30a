"""Turns a search for two objectives into its files: report.md, report.html, optimization.json, front.csv, trials.csv and a figure."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from typing import Any

from marketsim.experiments.optimize.pareto import FrontPoint, ParetoFront
from marketsim.experiments.runs.metric_names import MetricName, fitting_name, unknown_metric
from marketsim.experiments.runs.pages import render
from marketsim.export.csv_text import cell
from marketsim.export.images import report_image, styled
from marketsim.statistics.estimates import Interval


def front_files(found: ParetoFront) -> dict[str, bytes]:
    """Every file of the search's folder by relative path; bytes depend only on the search."""
    figure = _figure(found)
    page = _page(found, figure)
    return {
        "optimization.json": json.dumps(found.as_json(), indent=1).encode() + b"\n",
        "front.csv": _front(found),
        "trials.csv": _trials(found),
        "report.md": render("pareto.md.j2", page, escape=False),
        "report.html": render("pareto.html.j2", page, escape=True),
        "figures/front.png": figure,
    }


def front_lines(found: ParetoFront) -> list[str]:
    """What the command prints: a line a point of the front, best in the first objective first."""
    names = namings(found)
    lines = [*(f"objective   {goal.words}" for goal in found.goals)]
    lines.append(
        f"front       {len(found.front)} of {len(found.points)} candidates, "
        f"on fresh seeds {found.confirm_seeds[0]} to {found.confirm_seeds[1]}; intervals {100 * found.level:g} %"
    )
    for point in found.front:
        figures = "  ".join(
            f"{name.title} {_number(mean * name.scale)} {_ends(interval, name.scale)}{f' {name.unit}' if name.unit else ''}"
            for name, mean, interval in zip(names, point.means, point.intervals, strict=True)
        )
        lines.append(f"  {_setting(found, point)}: {figures}")
    unchanged = found.points[0]
    if not unchanged.on_front:
        better = [p for p in found.front if _beats(found, p, unchanged)]
        lines.append(f"unchanged   not on the front: {len(better)} of its points are better in both objectives")
    broken = [p for p in found.points if p.slack < 0]
    if found.constraints:
        lines.append(f"constraint  {'; '.join(found.constraints)}: {len(broken)} of {len(found.points)} candidates break it on average")
    seeds = "1 seed" if found.per_point == 1 else f"{found.per_point} seeds"
    lines.append(f"runs        {found.runs} of {found.budget}, {seeds} a point in the search")
    return lines


def namings(found: ParetoFront) -> list[MetricName]:
    """What the objectives are called, in the unit that fits; expressions as they are written."""
    names = []
    for k, goal in enumerate(found.goals):
        text = goal.figure.text
        sizes = [abs(p.means[k]) for p in found.points if math.isfinite(p.means[k])]
        names.append(fitting_name(text, max(sizes, default=0.0)) if unknown_metric(text) is None else MetricName(text))
    return names


def _beats(found: ParetoFront, a: FrontPoint, b: FrontPoint) -> bool:
    return all(goal.sign * x > goal.sign * y for goal, x, y in zip(found.goals, a.means, b.means, strict=True))


def _setting(found: ParetoFront, point: FrontPoint) -> str:
    return " ".join(found.texts(point)) or "the scenario as it is"


def _page(found: ParetoFront, figure: bytes) -> dict[str, Any]:
    names = namings(found)
    ranked = [*found.front, *(p for p in found.points if not p.on_front)]
    rows = []
    for point in ranked:
        cells = [_setting(found, point)]
        for name, mean, interval, lift, lift_interval in zip(
            names, point.means, point.intervals, point.lifts, point.lift_intervals, strict=True
        ):
            cells.append(f"{_number(mean * name.scale)} {_ends(interval, name.scale)}")
            cells.append("–" if point.values is None else f"{_signed(lift * name.scale)} {_ends(lift_interval, name.scale)}")
        rows.append([*cells, "yes" if point.on_front else "breaks a constraint" if point.slack < 0 else "no"])
    return {
        "title": " and ".join(goal.words for goal in found.goals),
        "lines": front_lines(found),
        "head": [
            "Setting",
            *(
                text
                for name in names
                for text in (name.label, f"lift of {name.title} [{_of_lift(name)}]" if name.unit else f"lift of {name.title}")
            ),
            "On the front",
        ],
        "rows": rows,
        "facts": {
            "Rule set": found.rules,
            "Factors": ", ".join(f"{f.path} from {f.text(f.low)} to {f.text(f.high)}" for f in found.factors),
            "Search": f"{len(found.trials)} points, {found.per_point} runs each, seeds {found.search_seeds[0]} to {found.search_seeds[1]}; "
            "each proposed for a weight of its own between the objectives (augmented Tchebycheff, a Gaussian process on it)",
            "Confirmation": f"seeds {found.confirm_seeds[0]} to {found.confirm_seeds[1]}, which the search never saw, the same for every "
            f"candidate; {100 * found.level:g} % Student's intervals, for each figure by itself",
            "On the front": "no other candidate that meets the constraints is at least as good in both means and better in one",
            "Versions": ", ".join(f"{k} {v}" for k, v in found.versions.items()) or "not recorded",
        },
        "data": base64.b64encode(figure).decode(),
    }


def _of_lift(name: MetricName) -> str:
    return "percentage points" if name.unit == "%" else name.unit


def _front(found: ParetoFront) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [f"{what}_{k}{end}" for k in (1, 2) for what in ("mean", "lift") for end in ("", "_low", "_high")]
    writer.writerow(["point", *(cell(f.path) for f in found.factors), "on_front", *columns, "slack"])
    for number, point in enumerate(found.points):
        settings = ["" for _ in found.factors]
        if point.values is not None:
            settings = [cell(f.text(v)) for f, v in zip(found.factors, point.values, strict=True)]
        figures: list[str] = []
        for k in range(2):
            for mean, interval in ((point.means[k], point.intervals[k]), (point.lifts[k], point.lift_intervals[k])):
                figures += [repr(mean), repr(interval.low), repr(interval.high)]
        writer.writerow(["unchanged" if number == 0 else number, *settings, int(point.on_front), *figures, repr(point.slack)])
    return text.getvalue().encode()


def _trials(found: ParetoFront) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["batch", *(cell(factor.path) for factor in found.factors), "lift_1", "lift_2", "slack"])
    for trial in found.trials:
        settings = [cell(f.text(v)) for f, v in zip(found.factors, trial.values, strict=True)]
        writer.writerow([trial.batch, *settings, *(repr(lift) for lift in trial.lifts), repr(trial.slack)])
    return text.getvalue().encode()


def _figure(found: ParetoFront) -> bytes:
    """Candidates by both objectives with their intervals, the front as a line, what was searched behind them."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = namings(found)
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "font.family": "DejaVu Sans"}
    with mpl.rc_context({**mpl.rcParamsDefault, **styled(style), "backend": "agg"}):
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        axes = figure.add_subplot()
        base = found.points[0].means
        searched = [[(base[k] + t.lifts[k]) * names[k].scale for t in found.trials] for k in range(2)]
        axes.plot(*searched, "o", color="#BBBBBB", ms=3, label="searched: unchanged + lift, not to be quoted")
        for points, colour, marker, label in (
            ([p for p in found.points if not p.on_front and p.values is not None], "#7F7F7F", "o", "confirmed, beaten"),
            (list(found.front), "#0072B2", "s", "front, confirmed on fresh seeds"),
            (found.points[:1], "#D55E00", "D", "unchanged scenario"),
        ):
            if not points:
                continue
            spans = [[[abs(p.means[k] - end) * names[k].scale if math.isfinite(end) else 0.0 for p, end in
                       ((p, getattr(p.intervals[k], side)) for p in points)] for side in ("low", "high")] for k in range(2)]  # fmt: skip
            axes.errorbar(
                [p.means[0] * names[0].scale for p in points],
                [p.means[1] * names[1].scale for p in points],
                xerr=spans[0],
                yerr=spans[1],
                fmt=marker,
                color=colour,
                ms=5,
                elinewidth=0.8,
                label=label,
            )
        front = found.front
        axes.plot(
            [p.means[0] * names[0].scale for p in front], [p.means[1] * names[1].scale for p in front], color="#0072B2", lw=1, ls="--"
        )
        labels = [
            f"{name.label}, {'larger' if goal.maximize else 'smaller'} is better" for name, goal in zip(names, found.goals, strict=True)
        ]
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=2)
        return report_image(figure)


def _number(value: float) -> str:
    return f"{value:,.5g}" if math.isfinite(value) else "–"


def _signed(value: float) -> str:
    return f"{value:+,.4g}" if math.isfinite(value) else "–"


def _ends(interval: Interval, scale: float) -> str:
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    return f"[{interval.low * scale:,.5g}, {interval.high * scale:,.5g}]"
