"""Turns a search into its files: report.md, report.html, optimization.json, trials.csv and a figure."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from typing import Any

from marketsim.experiments.optimize.search import Optimization
from marketsim.experiments.runs.metric_names import MetricName, fitting_name, unknown_metric
from marketsim.experiments.runs.pages import render
from marketsim.export.csv_text import cell
from marketsim.export.images import report_image, styled


def optimization_files(found: Optimization) -> dict[str, bytes]:
    """Every file of a search's folder by relative path; bytes depend only on the search."""
    figures = {
        f"figures/search{f'_{k}' if len(found.factors) > 1 else ''}.png": _figure(found, k - 1) for k in range(1, len(found.factors) + 1)
    }
    page = _page(found, figures)
    return {
        "optimization.json": json.dumps(found.as_json(), indent=1).encode() + b"\n",
        "trials.csv": _trials(found),
        "report.md": render("optimize.md.j2", page, escape=False),
        "report.html": render("optimize.html.j2", page, escape=True),
        **figures,
    }


def optimization_lines(found: Optimization) -> list[str]:
    """What the command prints."""
    confirmed = found.confirmed
    level = f"{100 * confirmed.interval.level:g} %"
    head = "best found" if found.unchanged else "best"
    lines = [
        f"objective   {'maximize' if found.maximize else 'minimize'} {found.objective}",
        *(["recommended the scenario as it is: no point was better on the fresh seeds"] if found.unchanged else []),
        *(f"{head:<12}{setting}" for setting in found.point),
        f"confirmed   {_number(confirmed.mean_b)} (unchanged: {_number(confirmed.mean_a)}) on "
        f"{confirmed.pairs} fresh seeds, {found.confirm_seeds[0]} to {found.confirm_seeds[1]}",
        f"lift        {_signed(confirmed.difference)}, interval ({level}) "
        f"[{_signed(confirmed.interval.low)}, {_signed(confirmed.interval.high)}]"
        + (f", {100 * confirmed.relative:+.3g} %" if math.isfinite(confirmed.relative) else ""),
        f"search said {_signed(found.lucky_lift)}: the draw that won, not to be quoted",
    ]
    lines += [
        f"constraint  {one.text}: {one.verdict}, slack {_signed(one.slack)} [{_signed(one.interval.low)}, {_signed(one.interval.high)}]"
        for one in found.constraints
    ]
    seeds = "1 seed" if found.per_point == 1 else f"{found.per_point} seeds"
    lines.append(f"runs        {found.runs} of {found.budget}, {seeds} a point")
    if not found.unchanged and confirmed.interval.holds(0):
        lines.append("note        the interval holds 0: the runs do not show that the best point is better")
    return lines


def _page(found: Optimization, figures: dict[str, bytes]) -> dict[str, Any]:
    confirmed = found.confirmed
    return {
        "objective": found.objective,
        "direction": "maximize" if found.maximize else "minimize",
        "lines": optimization_lines(found),
        "settings": found.settings or ["the scenario as it is"],
        "facts": {
            "Rule set": found.rules,
            "Factors": ", ".join(f"{f.path} from {f.text(f.low)} to {f.text(f.high)}" for f in found.factors),
            "Search": f"{len(found.trials)} points in batches of equal seeds, {found.per_point} runs each, "
            f"seeds {found.search_seeds[0]} to {found.search_seeds[1]}; a Gaussian process on the lift over the "
            "unchanged scenario",
            "Confirmation": f"{confirmed.pairs} pairs with seeds {found.confirm_seeds[0]} to "
            f"{found.confirm_seeds[1]}, which the search never saw; Student's interval of the paired "
            "difference",
            "What was paired": "the chosen point and the unchanged scenario ran with equal seeds; variance "
            f"reduction {_number(confirmed.reduction)} ×",
            "Versions": ", ".join(f"{k} {v}" for k, v in found.versions.items()) or "not recorded",
        },
        "panels": [{"file": name, "data": base64.b64encode(png).decode()} for name, png in figures.items()],
    }


def _trials(found: Optimization) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["batch", *(cell(factor.path) for factor in found.factors), "lift", "slack"])
    for trial in found.trials:
        settings = [cell(f.text(v)) for f, v in zip(found.factors, trial.values, strict=True)]
        writer.writerow([trial.batch, *settings, repr(trial.lift), repr(trial.slack)])
    return text.getvalue().encode()


def _figure(found: Optimization, index: int) -> bytes:
    """Lift of every point against one factor; the confirmed lift with its interval at the chosen point."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.family": "DejaVu Sans",
    }
    factor = found.factors[index]
    confirmed = found.confirmed
    largest = max(abs(confirmed.mean_a), abs(confirmed.mean_b))
    known = fitting_name(found.objective, largest) if unknown_metric(found.objective) is None else MetricName(found.objective)
    with mpl.rc_context({**mpl.rcParamsDefault, **styled(style), "backend": "agg"}):
        figure = Figure(figsize=(4.6, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for feasible, colour, name in (
            (True, "#0072B2", "searched"),
            (False, "#BBBBBB", "breaks a constraint"),
        ):
            points = [t for t in found.trials if (t.slack >= 0) == feasible]
            if points:
                axes.plot([t.values[index] for t in points], [t.lift * known.scale for t in points], "o", color=colour, ms=4, label=name)
        half = confirmed.interval.half_width
        axes.errorbar(
            [found.best[index]],
            [confirmed.difference * known.scale],
            yerr=[[half * known.scale if math.isfinite(half) else 0.0]] * 2,
            fmt="s",
            color="#D55E00",
            capsize=3,
            label="chosen, confirmed on fresh seeds",
        )
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_xlabel(f"{short_path(found, index)}{f' [{factor.unit}]' if factor.unit else ''}")
        unit = "percentage points" if known.unit == "%" else known.unit
        axes.set_ylabel(f"lift of {known.title}{f' [{unit}]' if unit else ''}")
        figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=2)
        return report_image(figure)


def short_path(found: Optimization, index: int) -> str:
    """The last word of a factor's path, with those before it that tell it from another factor of the same last word."""
    words = found.factors[index].path.split(".")
    others = [f.path.split(".") for k, f in enumerate(found.factors) if k != index and f.path.split(".")[-1] == words[-1]]
    apart = [word for word in words[:-1] if any(word not in other for other in others)]
    return " ".join([*apart, words[-1]])


def _number(value: float) -> str:
    return f"{value:,.6g}" if math.isfinite(value) else "–"


def _signed(value: float) -> str:
    return f"{value:+,.5g}" if math.isfinite(value) else "–"
