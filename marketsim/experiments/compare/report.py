"""Turns a comparison into its files: report.md, report.html, comparison.json, pairs.csv and figures."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from typing import Any

import numpy as np

from marketsim.experiments.compare.paired import Comparison, MetricComparison
from marketsim.experiments.runs.metric_names import MetricName, coverage, fitting_name
from marketsim.experiments.runs.pages import render
from marketsim.export.csv_text import cell
from marketsim.export.images import report_image, styled
from marketsim.statistics.controls import LEAST_RUNS
from marketsim.statistics.group_sequential import Stopping
from marketsim.statistics.sequential import Decision

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#7F7F7F"


def comparison_files(comparison: Comparison) -> dict[str, bytes]:
    """Every file of a comparison's folder by relative path; bytes depend only on the comparison."""
    figures = {f"{_slug(one.metric)}.png": _convergence(comparison, one) for one in comparison.metrics}
    page = _page(comparison, figures)
    return {
        "comparison.json": json.dumps(comparison.as_json(), indent=1).encode() + b"\n",
        "pairs.csv": _pairs(comparison),
        "report.md": render("compare.md.j2", page, escape=False),
        "report.html": render("compare.html.j2", page, escape=True),
        **{f"figures/{name}": png for name, png in figures.items()},
    }


def comparison_lines(comparison: Comparison) -> list[str]:
    """What the command prints: one block per metric, then what pairing and stopping saved."""
    lines = [
        f"A           {comparison.label_a}",
        f"B           {comparison.label_b}",
        f"pairs       {len(comparison.seeds)} of at most {comparison.budget}, "
        f"seeds {_span(comparison.seeds)}, equal in both arms (common random numbers)",
        f"stopping    {_stopping_words(comparison)}",
        f"correction  Holm over {len(comparison.metrics)} metrics; intervals hold at every look together"
        if len(comparison.metrics) > 1
        else "correction  none needed (one metric); intervals hold at every look together",
        f"covers      {coverage([one.metric for one in comparison.metrics])}",
    ]
    for one in comparison.metrics:
        lines += ["", *_metric_lines(one, comparison.level)]
    lines += ["", *_saving_lines(comparison)]
    return lines


def _metric_lines(one: MetricComparison, level: float) -> list[str]:
    known = _naming(one)
    unit = f" {known.unit}" if known.unit else ""
    s = known.scale
    confidence = f"{100 * one.interval.level:.3g} %"
    sequence = one.looks[-1].interval
    lines = [
        f"{one.metric}  ({known.label})",
        f"  mean A              {_number(one.mean_a * s)}{unit}",
        f"  mean B              {_number(one.mean_b * s)}{unit}",
        f"  paired difference   {_signed(one.difference * s)}{_of_difference(known)}"
        + (f" ({100 * one.relative:+.3g} %)" if math.isfinite(one.relative) else ""),
        f"  interval ({confidence})   {_ends(one.interval.low * s, one.interval.high * s)} Student, for a fixed number of pairs",
        *_controlled_lines(one, s, confidence, unit=_of_difference(known)),
        *_ruling_lines(one, s, confidence),
        f"  sequence ({confidence})   {_ends(sequence.low * s, sequence.high * s)} valid at any look",
        f"  p                   {_p(one.p)} by {one.rule.words}, corrected {_p(one.p_holm)}",
        f"  verdict             {one.verdict.sentence}",
        f"  variance reduction  {_factor(one.reduction)} (independent ÷ paired difference), "
        f"correlation of the arms {_plain(one.correlation)}",
    ]
    if one.skewed:
        lines.append(f"  note                {_skew_words(one)}: the {100 * level:.3g} % is approximate")
    if one.left_out:
        lines.append(f"  note                {one.left_out} pairs left out: undefined in one of their runs")
    return lines


def _controlled_lines(one: MetricComparison, scale: float, confidence: str, unit: str) -> list[str]:
    found = one.controlled
    if found is None:
        return []
    if not found.taken:
        return [f"  controls            none helped in {found.count} pairs: the differences are as they are"]
    return [
        f"  with controls       {_signed(found.mean * scale)}{unit}, interval ({confidence}) "
        f"{_ends(found.interval.low * scale, found.interval.high * scale)}",
        f"  controls            {found.words}; variance ÷ {found.ratio:.3g}, n {found.count}; what follows is of adjusted differences",
    ]


def _of_difference(known: MetricName) -> str:
    """The unit of a difference, with a blank before it: shares differ by percentage points."""
    return " percentage points" if known.unit == "%" else f" {known.unit}" if known.unit else ""


def _ruling_lines(one: MetricComparison, scale: float, confidence: str) -> list[str]:
    if one.rule in (Stopping.ALWAYS_VALID, Stopping.FIXED):
        return []
    ruling = one.ruling
    ends = _ends(ruling.low * scale, ruling.high * scale)
    return [f"  repeated ({confidence})   {ends} {one.rule.words}, valid at all {len(one.planned)} planned looks made"]


def _skew_words(one: MetricComparison) -> str:
    if abs(one.skewness) > 0.5:
        return f"differences are skewed ({one.skewness:+.2g})"
    return "decided before skewness could show"


def _stopping_words(comparison: Comparison) -> str:
    """Which rule decides, and what it did."""
    first = comparison.first
    rule = comparison.rule.words
    if comparison.until_decided and first.runs_decided is not None:
        return f"by {rule} on {first.metric}, after {len(comparison.seeds)} of {comparison.budget} pairs"
    when = "stopping when decided, which it was not" if comparison.until_decided else "all pairs made"
    return f"{rule} over a budget of {comparison.budget} pairs, {when}"


def _saving_lines(comparison: Comparison) -> list[str]:
    first = comparison.first
    lines = [f"runs made   {comparison.runs} ({len(comparison.seeds)} pairs)"]
    if first.runs_decided is not None:
        left = 2 * comparison.budget - first.runs_decided
        lines.append(f"decided     after {first.runs_decided} runs, {left} before the budget's end")
    if math.isfinite(comparison.runs_saved):
        needed = comparison.runs + comparison.runs_saved
        lines.append(
            f"runs saved  {comparison.runs_saved:,.0f} on {first.metric}: independent arms would need "
            f"{needed:,.0f} runs for an interval as narrow"
        )
    if comparison.independent is not None:
        lines.append(f"independent {_independent_words(comparison.independent, first)}")
    return lines


def _independent_words(other: MetricComparison, paired: MetricComparison) -> str:
    spent = f"decided after {other.runs_decided} runs" if other.runs_decided is not None else f"undecided after {2 * other.pairs} runs"
    known = _naming(paired)
    low, high = other.interval.low * known.scale, other.interval.high * known.scale
    return (
        f"{spent} with seeds of its own for B; difference {_signed(other.difference * known.scale)}, "
        f"interval {_ends(low, high)}; its variance is "
        f"{_factor(other.variance_paired / paired.variance_paired if paired.variance_paired else math.inf)} "
        "the paired one"
    )


def _page(comparison: Comparison, figures: dict[str, bytes]) -> dict[str, Any]:
    metrics = []
    for one in comparison.metrics:
        known = _naming(one)
        s = known.scale
        sequence = one.looks[-1].interval
        name = f"{_slug(one.metric)}.png"
        control = one.controlled
        metrics.append(
            {
                "controls": control.words if control else "",
                "controlled": (
                    f"{_signed(control.mean * s)} {_ends(control.interval.low * s, control.interval.high * s)}" if control else ""
                ),
                "controlled_n": control.count if control else 0,
                "controlled_ratio": f"{control.ratio:.3g}" if control else "",
                "name": one.metric,
                "label": known.label,
                "mean_a": _number(one.mean_a * s),
                "mean_b": _number(one.mean_b * s),
                "difference": _signed(one.difference * s) + (_of_difference(known) if known.unit == "%" else ""),
                "relative": f"{100 * one.relative:+.3g} %" if math.isfinite(one.relative) else "–",
                "interval": _ends(one.interval.low * s, one.interval.high * s),
                "ruling": _ends(one.ruling.low * s, one.ruling.high * s),
                "sequence": _ends(sequence.low * s, sequence.high * s),
                "p_holm": _p(one.p_holm),
                "verdict": one.verdict.sentence,
                "decision": one.verdict.decision.value,
                "sd_paired": _number(math.sqrt(one.variance_paired) * s) if one.pairs > 1 else "–",
                "sd_independent": _number(math.sqrt(one.variance_independent) * s) if one.pairs > 1 else "–",
                "reduction": _factor(one.reduction),
                "correlation": _plain(one.correlation),
                "skewed": _skew_words(one) if one.skewed else "",
                "left_out": one.left_out,
                "file": f"figures/{name}",
                "data": base64.b64encode(figures[name]).decode(),
            }
        )
    first = comparison.first
    facts = {
        "A": comparison.label_a,
        "B": comparison.label_b,
        "Rule sets": " / ".join(dict.fromkeys(comparison.rules)),
        "Pairs": f"{len(comparison.seeds)} of a budget of {comparison.budget}",
        "Stopping": _stopping_words(comparison),
        "Seeds": _span(comparison.seeds),
        "What is paired": "run k of A and run k of B have the same seed and so the same demand "
        "(common random numbers); the figures are differences B − A within pairs",
        "Intervals": f"{100 * comparison.level:g} % for all metrics together "
        f"({100 * first.interval.level:.4g} % each); Student's for a fixed number of pairs, "
        "the sequence valid at every look",
        "Control variates": _control_facts(comparison),
        "Correction": f"Holm over {len(comparison.metrics)} metrics",
        "Versions": ", ".join(f"{k} {v}" for k, v in comparison.versions.items()) or "not recorded",
    }
    return {
        "headline": _headline(comparison),
        "metrics": metrics,
        "facts": facts | {"Covers": coverage([one.metric for one in comparison.metrics])},
        "savings": _saving_lines(comparison),
        "rule": comparison.rule.words,
    }


def _control_facts(comparison: Comparison) -> str:
    if not comparison.controls:
        return "not used (--no-controls)"
    if any(one.controlled is not None for one in comparison.metrics):
        return (
            "how far each run's demand and costs were from the expected is taken out of the differences, by slopes fitted on other pairs; "
            "the rule and the sequence see adjusted differences"
        )
    few = len(comparison.seeds) < LEAST_RUNS
    return f"none: fewer than {LEAST_RUNS} pairs" if few else "none: the runs do not tell their demand, or it does not vary"


def _headline(comparison: Comparison) -> str:
    first = comparison.first
    known = _naming(first)
    match first.verdict.decision:
        case Decision.DIFFERENT:
            change = f"{100 * first.relative:+.3g} %" if math.isfinite(first.relative) else "a change"
            return f"B changes {known.title} by {change}: {first.verdict.sentence}."
        case Decision.EQUIVALENT:
            return f"A and B are equivalent in {known.title}: {first.verdict.sentence}."
        case Decision.UNDECIDED:
            return f"{known.title[:1].upper()}{known.title[1:]} is {first.verdict.sentence}."


def _pairs(comparison: Comparison) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["seed", "metric", "a", "b", "difference"])
    for name, a in comparison.values_a.items():
        for seed, x, y in zip(comparison.seeds, a, comparison.values_b[name], strict=True):
            writer.writerow([seed, cell(name), repr(float(x)), repr(float(y)), repr(float(y - x))])
    return text.getvalue().encode()


def _convergence(comparison: Comparison, one: MetricComparison) -> bytes:
    """The running mean difference with its sequence, and Student's interval as one would wrongly look at
    it.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from marketsim.statistics.estimates import t_interval

    known = _naming(one)
    s = known.scale
    pairs = [look.pairs for look in one.looks]
    a, b = comparison.values_a[one.metric], comparison.values_b[one.metric]
    whole = np.isfinite(a) & np.isfinite(b)
    differences = (b - a)[whole] * s
    style = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "font.family": "DejaVu Sans",
    }
    with mpl.rc_context({**mpl.rcParamsDefault, **styled(style), "backend": "agg"}):
        figure = Figure(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.add_subplot()
        shown = [look for look in one.looks if math.isfinite(look.interval.half_width)]
        axes.fill_between(
            [look.pairs for look in shown],
            [look.interval.low * s for look in shown],
            [look.interval.high * s for look in shown],
            color=_BLUE,
            alpha=0.18,
            linewidth=0,
            label=f"sequence, {100 * one.interval.level:.3g} % at all looks together",
        )
        bars = [look for look in one.planned if math.isfinite(look.interval.half_width)]
        axes.vlines(
            [look.pairs for look in bars],
            [look.interval.low * s for look in bars],
            [look.interval.high * s for look in bars],
            color=_BLUE,
            alpha=0.6,
            linewidth=1.2,
            label=f"{one.rule.words}, {100 * one.interval.level:.3g} % at its looks" if bars else "",
        )
        students = [t_interval(differences[:n], one.interval.level) for n in range(3, len(differences) + 1)]
        for end in ("low", "high"):
            axes.plot(
                range(3, len(differences) + 1),
                [getattr(interval, end) for interval in students],
                color=_GREY,
                linestyle=":",
                linewidth=1,
                label="Student's interval, one look only" if end == "low" else None,
            )
        axes.plot(pairs, [look.mean * s for look in one.looks], color=_BLUE, label="mean paired difference")
        axes.axhline(0, color="black", linewidth=0.8)
        if one.margin is not None:
            axes.axhspan(-one.margin * s, one.margin * s, color=_ORANGE, alpha=0.12, linewidth=0, label="margin")
        if one.runs_decided is not None:
            axes.axvline(
                one.verdict.pairs, color=_ORANGE, linewidth=1.2, label=f"{one.verdict.decision.value} after {one.verdict.pairs} pairs"
            )
        _limit(axes, shown, students, s, one)
        axes.set_xlabel("pairs of runs")
        axes.set_ylabel(f"{known.title} [{_of_difference(known).strip()}]\nB − A" if known.unit else f"{known.label}\nB − A")
        axes.set_title(f"{known.title}: how the difference settles", loc="left", fontweight="bold", fontsize=10)
        figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
        return report_image(figure)


def _limit(axes: Any, shown: list[Any], students: list[Any], scale: float, one: MetricComparison) -> None:
    """Vertical range from what is known late, so that the first wide looks do not flatten the picture."""
    ends = [0.0, one.difference * scale]
    for look in shown[len(shown) // 4 :] or shown:
        ends += [look.interval.low * scale, look.interval.high * scale]
    for interval in students[len(students) // 4 :]:
        ends += [interval.low, interval.high]
    room = (max(ends) - min(ends)) * 0.15 or 1.0
    axes.set_ylim(min(ends) - room, max(ends) + room)


def _naming(one: MetricComparison) -> MetricName:
    return fitting_name(one.metric, max(abs(one.mean_a), abs(one.mean_b)))


def _slug(metric: str) -> str:
    return metric.replace(".", "_").replace("/", "_")


def _span(seeds: tuple[int, ...]) -> str:
    if seeds == tuple(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    return ", ".join(map(str, seeds))


def _number(value: float) -> str:
    return f"{value:,.6g}" if math.isfinite(value) else "–"


def _signed(value: float) -> str:
    return f"{value:+,.5g}" if math.isfinite(value) else "–"


def _p(value: float) -> str:
    return "< 1e-9" if value <= 1e-9 else f"{value:.3g}"


def _plain(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "–"


def _factor(value: float) -> str:
    return f"{value:,.3g} ×" if math.isfinite(value) else "unbounded (the paired difference never varies)"


def _ends(low: float, high: float) -> str:
    if not (math.isfinite(low) and math.isfinite(high)):
        return "open (too few pairs)"
    return f"[{low:+,.5g}, {high:+,.5g}]"
