"""Writes everything a finished sweep leaves behind: tables, statistics, figures and the report pages."""

from __future__ import annotations

import base64
import io
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from marketsim.experiments.runs.drawing import load_drawing
from marketsim.experiments.runs.execute import write_atomically
from marketsim.experiments.runs.loading import much_code
from marketsim.experiments.runs.metric_names import MetricName, coverage
from marketsim.experiments.runs.pages import render
from marketsim.experiments.sweep.design import level_number
from marketsim.experiments.sweep.figures import FigureFile, SweepDrawing, SweepStatistics, course_over, shown_metrics
from marketsim.experiments.sweep.folder import SweepFolder
from marketsim.experiments.sweep.rounds import SweepResult
from marketsim.export.arrow import numbers, strings
from marketsim.export.csv_text import cell
from marketsim.export.images import FORMATS, with_copies
from marketsim.metrics.expressions import plain_number
from marketsim.statistics.controls import CONTROL_TITLES, LEAST_RUNS, Controlled, controlled
from marketsim.statistics.estimates import (
    Description,
    Effect,
    Interval,
    ResponseSurface,
    describe,
    effects,
    mser5,
    response_surface,
    t_interval,
)
from marketsim.statistics.indices import LEAST_SAMPLES, ElementaryEffect, SobolIndex, morris_effects, sobol_indices

# Beyond this many (point, metric) cells the bootstrap would take longer than the runs; t intervals remain.
_BOOTSTRAP_CELLS = 400
_TABLE_POINTS = 200
# Adjusting by controls takes a hundredth of a second a cell.
_CONTROLLED_CELLS = 1000
_INTERACTION_POINTS = 2000
_SURFACE_LEVELS = 3


@dataclass(frozen=True)
class WarmUpProposal:
    """The beginning that MSER-5 would leave out at a point, in hours; not `settled` if runs are too short."""

    point: int
    hours: float
    settled: bool


def sweep_statistics(result: SweepResult) -> SweepStatistics:
    """All statistics of a sweep, from its rows alone."""
    sweep = result.plan.sweep
    level = sweep.confidence
    points = result.plan.design.points
    cells = len(points) * len(result.metrics)
    resamples = 2000 if cells <= _BOOTSTRAP_CELLS else 0
    notes: list[str] = []
    if not resamples:
        notes.append(f"No bootstrap intervals: {cells:,} points × metrics are more than {_BOOTSTRAP_CELLS}.")
    described = {name: tuple(_describe(result.values(p.index, name), level, resamples) for p in points) for name in result.metrics}
    found_effects: dict[str, list[Effect]] = {}
    surfaces: dict[str, ResponseSurface] = {}
    sobol: dict[str, list[SobolIndex]] = {}
    morris: dict[str, list[ElementaryEffect]] = {}
    names = [factor.name for factor in sweep.factors]
    levels = [[_plain_level(level_) for level_ in point.levels] for point in points]
    for name in result.metrics:
        seeds, table = result.by_seed(name)
        means = [d.mean for d in described[name]]
        if len(seeds) and len(points) > 1:
            interactions = len(points) <= _INTERACTION_POINTS
            size = float(np.abs(table).max())
            numbers = [result.seed_of(replication) for replication in seeds]
            found = effects(levels, names, table, level=level, interactions=interactions, seeds=numbers)
            found_effects[name] = [_without_noise(effect, size) for effect in found]
        elif len(points) > 1:
            notes.append(f"No effects on {name}: no replication gave it at every point.")
        if sweep.design.kind in {"sobol", "morris"} and any(not math.isfinite(mean) for mean in means):
            notes.append(f"No indices of {name}: a point has no successful run.")
            continue
        if sweep.design.kind == "sobol" and _varies(means):
            sobol[name] = sobol_indices(means, names, level=level)
            if sobol[name][0].few:
                notes.append(
                    f"Sobol indices from {sobol[name][0].samples} samples: below {LEAST_SAMPLES} their {level:.0%} intervals "
                    "are too short (with 16 they hold in 85 % of cases)."
                )
        if sweep.design.kind == "morris":
            morris[name] = morris_effects(result.plan.design.unit, means, names, level=level)
        surface = _surface(levels, names, means)
        if isinstance(surface, str):
            notes.append(f"No response surface of {name}: {surface}.")
        else:
            surfaces[name] = surface
    adjusted: dict[str, tuple[Controlled | None, ...]] = {name: (None,) * len(points) for name in result.metrics}
    if cells <= _CONTROLLED_CELLS:
        chance = [result.chance(p.index) for p in points]
        adjusted = {n: tuple(controlled(result.values(p.index, n), chance[p.index], level) for p in points) for n in result.metrics}
    else:
        notes.append(f"No control variates: {cells:,} points × metrics are more than {_CONTROLLED_CELLS:,}.")
    return SweepStatistics(described, found_effects, surfaces, sobol, morris, tuple(dict.fromkeys(notes)), _pairing(result), adjusted)


def load_reporting() -> None:
    """Load the libraries that statistics, tables and figures need: a second, best spent while the runs' processes start."""
    with much_code():
        import scipy.stats  # noqa: F401

    load_drawing()


def write_report(result: SweepResult, folder: SweepFolder) -> dict[str, Any]:
    """Write tables, figures, pages and `sweep.json` into the folder; returns the content of `sweep.json`."""
    drawing = SweepDrawing(result)
    with warnings.catch_warnings():
        # Constant metrics have no bootstrap interval; scipy says so on standard error, the report by a dash.
        warnings.simplefilter("ignore")
        statistics = sweep_statistics(result)
    write_tables(result, statistics, folder)
    figures = drawing.finish(statistics)
    place = folder.root / "figures"
    place.mkdir(exist_ok=True)
    images = with_copies({name: png for figure in figures for name, png in figure.files.items()})
    for stale in (file for format_ in FORMATS for file in place.glob(f"*.{format_}")):
        if stale.name not in images:
            stale.unlink()
    for name, image in images.items():
        write_atomically(place / name, image)
    content = sweep_content(result, statistics)
    write_atomically(folder.root / "sweep.json", json.dumps(content, indent=1, allow_nan=False).encode() + b"\n")
    page = _page(result, statistics, figures)
    write_atomically(folder.root / "report.html", render("sweep.html.j2", page, escape=True))
    write_atomically(folder.root / "report.md", render("sweep.md.j2", page, escape=False))
    return content


def write_tables(result: SweepResult, statistics: SweepStatistics, folder: SweepFolder) -> None:
    """`results` (one row a run) and `points` (one row a point and metric), each as parquet and CSV."""
    import pyarrow as pa
    from pyarrow import csv, parquet

    tables = [("results", _run_columns(result)), ("points", _point_columns(result, statistics))]
    if result.plan.sweep.series:
        tables.append(("series", _series_columns(result)))
    for name, columns in tables:
        table = pa.table(columns)
        target = io.BytesIO()
        parquet.write_table(table, target, compression="zstd")
        write_atomically(folder.root / f"{name}.parquet", target.getvalue())
        text = io.BytesIO()
        csv.write_csv(pa.table({cell(key): _cells(column) for key, column in columns.items()}), text)
        write_atomically(folder.root / f"{name}.csv", text.getvalue())


def _cells(column: Any) -> Any:
    import pyarrow as pa

    if not pa.types.is_string(column.type):
        return column
    return strings([cell(text) for text in column.to_pylist()])


def sweep_content(result: SweepResult, statistics: SweepStatistics) -> dict[str, Any]:
    """The sweep as plain data: what `sweep.json` holds and `--json` prints."""
    sweep = result.plan.sweep
    return {
        "schema": 1,
        "sweep": sweep.name,
        "scenario": str(result.plan.scenario.get("name", "")),
        "rules": rule_sets(result),
        "design": sweep.design.kind,
        "factors": [{"name": f.name, "unit": f.unit, "writes": list(f.writes())} for f in sweep.factors],
        "runs": len(result.rows),
        "failed": len(result.failures),
        "confidence": sweep.confidence,
        "seeds": {"pairing": sweep.seeds.pairing, "first": sweep.seeds.first},
        "reproducible": result.reproducible,
        "points": [
            {
                "point": p.index,
                "levels": {f.name: _plain_level(level) for f, level in zip(sweep.factors, p.levels, strict=True)},
                "stopped": result.stopped[p.index],
                "metrics": {name: _point_json(statistics, name, p.index) for name in result.metrics},
            }
            for p in result.plan.design.points
        ],
        "effects": {name: [e.as_json() for e in found] for name, found in statistics.effects.items()},
        "response_surfaces": {name: s.as_json() for name, s in statistics.surfaces.items()},
        "sobol": {name: [i.as_json() for i in found] for name, found in statistics.sobol.items()},
        "morris": {name: [e.as_json() for e in found] for name, found in statistics.morris.items()},
        "pairing_gain": statistics.pairing,
        "series": [one.span.key for one in sweep.series],
        "warm_up": {
            "left_out": result.plan.scenario.get("warm_up"),
            "mser5": [{"point": p.point, "hours": p.hours, "settled": p.settled} for p in proposed_warm_up(result)],
        },
        "notes": [*statistics.notes, *(f"Not reproducible: {reason}." for reason in result.irreproducible)],
    }


def _point_json(statistics: SweepStatistics, name: str, point: int) -> dict[str, Any]:
    found = statistics.controlled[name][point]
    return {**statistics.points[name][point].as_json(), "controlled": found.as_json() if found else None}


def rule_sets(result: SweepResult) -> list[str]:
    """The rule sets that the points run under."""
    return list(dict.fromkeys(str(e.get("rules", "")) for e in result.plan.effective))


def _without_noise(effect: Effect, size: float) -> Effect:
    """An effect of rounding alone as 0: sums of equal numbers differ in their last bits, always alike."""
    if abs(effect.estimate) > 1e-12 * size:
        return effect
    interval = replace(effect.interval, low=0.0, high=0.0)
    return replace(effect, estimate=0.0, interval=interval, p=1.0, p_holm=1.0)


def _describe(values: list[float], level: float, resamples: int) -> Description:
    if resamples:
        return describe(values, level=level, resamples=resamples)
    # One value has no bootstrap, so the cheap description of the rest is made with it left open.
    short = describe(values, level=level, resamples=1)
    return replace(short, bootstrap=Interval(-math.inf, math.inf, level, "not computed"))


def _plain_level(level: Any) -> Any:
    number = level_number(level)
    return plain_number(number) if number is not None and level.label is None else level.text


def _surface(levels: list[list[Any]], names: list[str], means: list[float]) -> ResponseSurface | str:
    """A surface over the factors, or why there is none."""
    for k, name in enumerate(names):
        found = {row[k] for row in levels}
        if not all(isinstance(level, int | float) for level in found):
            return f"the levels of {name} are not numbers"
        if len(found) < _SURFACE_LEVELS:
            return f"{name} has {len(found)} levels, a surface needs {_SURFACE_LEVELS}"
    good = [i for i, mean in enumerate(means) if math.isfinite(mean)]
    if not _varies([means[i] for i in good]):
        return "it is the same at every point"
    try:
        return response_surface([[float(level) for level in levels[i]] for i in good], names, [means[i] for i in good])
    except ValueError as error:
        return str(error)


def _varies(means: list[float]) -> bool:
    """Whether the points' means differ by more than rounding."""
    return bool(means) and float(np.ptp(means)) > 1e-12 * max(abs(mean) for mean in means)


def _pairing(result: SweepResult) -> dict[str, float]:
    """By metric: variance of a difference of two points if they were independent ÷ its variance as run.

    The median over neighbouring points of the design.
    """
    gains = {}
    for name in result.metrics:
        seeds, table = result.by_seed(name)
        if len(seeds) < 3:
            continue
        found = []
        for a, b in pairwise(table):
            paired = float(np.var(a - b, ddof=1))
            if paired > 0:
                found.append(float(np.var(a, ddof=1) + np.var(b, ddof=1)) / paired)
        if found:
            gains[name] = float(np.median(found))
    return gains


def _run_columns(result: SweepResult) -> dict[str, Any]:
    rows = result.rows
    points = result.plan.design.points
    columns: dict[str, Any] = {
        "point": numbers([row.point for row in rows], np.int32),
        "replication": numbers([row.replication for row in rows], np.int32),
        "seed": numbers([row.seed for row in rows], np.int64),
    }
    for k, factor in enumerate(result.plan.sweep.factors):
        columns[factor.name] = _level_column([points[row.point].levels[k] for row in rows])
    columns["status"] = strings([row.status for row in rows])
    columns["message"] = strings([row.message for row in rows])
    columns["fingerprint"] = strings([row.fingerprint for row in rows])
    for k, name in enumerate(result.metrics):
        columns[name] = _numbers([row.values[k] for row in rows])
    return columns


def _point_columns(result: SweepResult, statistics: SweepStatistics) -> dict[str, Any]:
    cells = [(p, name, statistics.points[name][p.index]) for p in result.plan.design.points for name in result.metrics]
    columns: dict[str, Any] = {"point": numbers([p.index for p, _, _ in cells], np.int32)}
    for k, factor in enumerate(result.plan.sweep.factors):
        columns[factor.name] = _level_column([p.levels[k] for p, _, _ in cells])
    columns["metric"] = strings([name for _, name, _ in cells])
    columns["runs"] = numbers([d.count for _, _, d in cells], np.int32)
    found = [d for _, _, d in cells]
    for title, values in {
        "mean": [d.mean for d in found],
        "sd": [d.deviation for d in found],
        "se": [d.error for d in found],
        "t_low": [d.t.low for d in found],
        "t_high": [d.t.high for d in found],
        "bootstrap_low": [d.bootstrap.low for d in found],
        "bootstrap_high": [d.bootstrap.high for d in found],
        "median": [d.median.estimate for d in found],
        "median_low": [d.median.interval.low for d in found],
        "median_high": [d.median.interval.high for d in found],
    }.items():
        columns[title] = _numbers(values)
    adjusted = [statistics.controlled[name][p.index] for p, name, _ in cells]
    columns["controlled_mean"] = _numbers([math.nan if c is None else c.mean for c in adjusted])
    columns["controlled_low"] = _numbers([math.nan if c is None else c.interval.low for c in adjusted])
    columns["controlled_high"] = _numbers([math.nan if c is None else c.interval.high for c in adjusted])
    columns["controlled_ratio"] = _numbers([math.nan if c is None else c.ratio for c in adjusted])
    for k, quantile in enumerate(found[0].quantiles):
        title = f"q{round(100 * quantile.q)}"
        columns[title] = _numbers([d.quantiles[k].estimate for d in found])
        columns[f"{title}_low"] = _numbers([d.quantiles[k].interval.low for d in found])
        columns[f"{title}_high"] = _numbers([d.quantiles[k].interval.high for d in found])
    return columns


def _series_columns(result: SweepResult) -> dict[str, Any]:
    """One row a series, point and span: the end of the span in hours, replications, mean, sd, t interval, least and largest value."""
    rows: list[tuple[int, str, float, int, list[float]]] = []
    for wanted in result.plan.sweep.series:
        for point in result.plan.design.points:
            course = course_over(result, wanted.span.key, [point.index])
            if course is None:
                continue
            hours, values = course
            for hour, column in zip(hours, values.T, strict=True):
                seen = column[np.isfinite(column)]
                interval = t_interval(seen, result.plan.sweep.confidence)
                mean, deviation = (float(seen.mean()) if seen.size else math.nan), (float(seen.std(ddof=1)) if seen.size > 1 else math.nan)
                ends = [float(seen.min()), float(seen.max())] if seen.size else [math.nan, math.nan]
                rows.append((point.index, wanted.span.key, hour, int(seen.size), [mean, deviation, interval.low, interval.high, *ends]))
    columns: dict[str, Any] = {
        "series": strings([row[1] for row in rows]),
        "point": numbers([row[0] for row in rows], np.int32),
    }
    for k, factor in enumerate(result.plan.sweep.factors):
        columns[factor.name] = _level_column([result.plan.design.points[row[0]].levels[k] for row in rows])
    columns["hour"] = numbers([row[2] for row in rows], np.float64)
    columns["runs"] = numbers([row[3] for row in rows], np.int32)
    for k, title in enumerate(("mean", "sd", "t_low", "t_high", "least", "largest")):
        columns[title] = _numbers([row[4][k] for row in rows])
    return columns


def _level_column(levels: list[Any]) -> Any:
    plain = [_plain_level(level) for level in levels]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in plain):
        return numbers([float(value) for value in plain], np.float64)
    return strings([str(value) for value in plain])


def _numbers(values: list[float]) -> Any:
    found = np.array(values, np.float64)
    known = np.isfinite(found)
    return numbers(np.where(known, found, 0.0), np.float64, known)


def _page(result: SweepResult, statistics: SweepStatistics, figures: list[FigureFile]) -> dict[str, Any]:
    """Everything the templates show, as text and plain lists."""
    plan, sweep = result.plan, result.plan.sweep
    counts = [sum(1 for row in result.rows if row.point == p.index and row.status == "ok") for p in plan.design.points]
    seeds = sorted({row.seed for row in result.rows})
    level = f"{sweep.confidence:.0%}"
    return {
        "name": sweep.name,
        "description": sweep.description.strip(),
        "level": level,
        "headline": _headline(result, statistics),
        "facts": [
            ("Scenario", f"{plan.scenario.get('name', '')} ({sweep.scenario})"),
            ("Rule set", ", ".join(rule_sets(result))),
            ("Horizon", _time(plan.scenario.get("horizon"))),
            ("Warm-up left out", _warm_up_words(result)),
            ("Design", _design_words(result)),
            ("Replications", _replication_words(result, counts)),
            ("Runs", _run_words(result)),
            ("Seeds", _seed_words(result, seeds)),
            ("Pairing", _pairing_words(result, statistics)),
            ("Intervals", f"{level}, Student's t over replications unless said otherwise"),
            ("Several comparisons", "effects: p-values corrected by Holm over all effects on one metric"),
            ("Reproducible", "yes" if result.reproducible else f"not reproducible: {'; '.join(result.irreproducible)}"),
            ("Versions", ", ".join(f"{k} {v}" for k, v in result.versions.items()) or "not stated"),
            ("Code", plan.code),
        ],
        "factors": [
            {"name": f.label, "paths": list(f.writes()), "levels": _level_words(result, k)}
            for k, f in enumerate(sweep.factors)
        ],
        "constraints": list(sweep.constraints),
        "figures": [
            {
                "title": figure.title,
                "caption": figure.caption,
                "panels": [
                    {"file": f"figures/{name}", "data": base64.b64encode(png).decode()} for name, png in figure.files.items()
                ],
            }
            for figure in figures
        ],
        "point_head": [
            *(f.label for f in sweep.factors), "runs", *(result.naming(m).label for m in result.metrics)
        ],
        "point_rows": list(_point_rows(result, statistics)),
        "controls": _control_words(result, statistics),
        "controlled_rows": list(_controlled_rows(result, statistics)),
        "controls_left_out": f"fewer than {LEAST_RUNS} runs a point, or no control that varies",
        "points_left_out": max(0, len(plan.design.points) - _TABLE_POINTS),
        "effects": [
            {
                "metric": _difference_label(result.naming(name)),
                "seeds": f"{found[0].count} seeds: {_span(found[0].seeds)}",
                "rows": [
                    _effect_row(e, result.naming(name).scale, sweep.confidence, shared) for e in _ordered(found)
                ],
            }
            for name, found in statistics.effects.items()
            if found
            for shared in [_shared_chance(result, found[0].seeds)]
        ],
        "sobol": [
            {
                "metric": result.naming(name).title,
                "rows": [
                    (i.name, f"{i.first:.3f} {_bracket(i.first_interval, 1, 3)}",
                     f"{i.total:.3f} {_bracket(i.total_interval, 1, 3)}")
                    for i in found
                ],
            }
            for name, found in statistics.sobol.items()
        ],
        "morris": [
            {
                "metric": result.naming(name).label,
                "rows": [
                    (
                        e.name,
                        _with_interval(e.mean_absolute, e.absolute_interval, result.naming(name).scale),
                        _with_interval(e.mean, e.mean_interval, result.naming(name).scale),
                        _number(e.deviation * result.naming(name).scale),
                    )
                    for e in found
                ],
            }
            for name, found in statistics.morris.items()
        ],
        "surfaces": [_surface_words(result.naming(m), surface) for m, surface in statistics.surfaces.items()],
        "failures": [
            (
                row.point,
                row.replication,
                row.seed,
                ", ".join(plan.design.points[row.point].labels()),
                row.status,
                row.message,
            )
            for row in result.failures
        ],
        "notes": [*statistics.notes, *_no_effect_notes(result), *_warm_up_notes(result), _coverage_note(result)],
    }  # fmt: skip


def _headline(result: SweepResult, statistics: SweepStatistics) -> list[str]:
    """The best point by revenue and by fill rate, in a sentence each."""
    sentences = []
    for name in shown_metrics(result)[:2]:
        known = result.naming(name)
        means = [d.mean for d in statistics.points[name]]
        finite = [i for i, mean in enumerate(means) if math.isfinite(mean)]
        if not finite:
            continue
        best = max(finite, key=lambda i: (means[i], -i))
        place = ", ".join(
            f"{f.title or f.name.replace('_', ' ')} {label}{_unit_suffix(f.unit)}"
            for f, label in zip(result.plan.sweep.factors, result.plan.design.points[best].labels(), strict=True)
        )
        shown = _with_interval(means[best], statistics.points[name][best].t, known.scale)
        sentences.append(f"Highest {known.title}: {shown} {known.unit} at {place}.")
    return sentences


def _unit_suffix(unit: str) -> str:
    return "" if not unit else (unit if unit == "%" else f" {unit}")


def proposed_warm_up(result: SweepResult) -> list[WarmUpProposal]:
    """What MSER-5 proposes to leave out at each point whose runs tell the course of their active leases."""
    proposals = []
    for point, activity in enumerate(result.activity):
        if activity is None:
            continue
        found = mser5(activity.leases)
        hours = activity.hours[found.discard - 1] if found.discard else 0.0
        proposals.append(WarmUpProposal(point, hours, found.settled))
    return proposals


def _warm_up_words(result: SweepResult) -> str:
    left_out = _time(result.plan.scenario.get("warm_up"))
    proposals = proposed_warm_up(result)
    if not proposals:
        return left_out
    hours = sorted(p.hours for p in proposals)
    return (
        f"{left_out}; MSER-5 on the mean number of active leases proposes {hours[len(hours) // 2]:.3g} h "
        f"(median of the points, {hours[0]:.3g} to {hours[-1]:.3g} h); `set: {{warm_up: …}}` overrides"
    )


def _warm_up_notes(result: SweepResult) -> Iterator[str]:
    """Points whose runs are too short to tell where they settle."""
    unsettled = [str(p.point) for p in proposed_warm_up(result) if not p.settled]
    if unsettled:
        shown = ", ".join(unsettled[:12]) + (" …" if len(unsettled) > 12 else "")
        yield (
            "The number of active leases does not settle in the first half of the horizon at "
            f"{len(unsettled)} of {len(result.activity)} points ({shown}): a longer horizon would tell more "
            "about the long run."
        )


def _run_words(result: SweepResult) -> str:
    return f"{len(result.rows):,}" + (f", {len(result.failures):,} failed" if result.failures else "")


def _design_words(result: SweepResult) -> str:
    design = result.plan.design
    words = {
        "grid": "full grid",
        "list": "listed points",
        "latin_hypercube": "latin hypercube",
        "sobol": "Saltelli design over a Sobol sequence",
        "morris": "Morris trajectories",
    }[result.plan.sweep.design.kind]
    removed = f", {design.removed} left out by the constraints" if design.removed else ""
    return f"{words}, {len(design.points):,} points{removed}"


def _replication_words(result: SweepResult, counts: list[int]) -> str:
    rule = result.plan.sweep.replications
    spread = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    text = f"{spread} a point"
    if rule.until is not None:
        until = rule.until
        width = f"{until.half_width:g}" if until.half_width is not None else f"{until.relative_half_width:.3g} of the mean"
        text += (
            f", added in rounds of {rule.round} until the half-width of {until.metric} is at most {width} "
            f"(at most {rule.at_most}); looking after every round makes such an interval slightly too short"
        )
    reasons = {reason: result.stopped.count(reason) for reason in dict.fromkeys(result.stopped)}
    if rule.fixed is None:
        text += "; ended by: " + ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
    return text


def _seed_words(result: SweepResult, seeds: list[int]) -> str:
    if result.plan.sweep.seeds.pairing == "common":
        return f"{seeds[0]} to {seeds[-1]}, the same at every point" if seeds else "none"
    return f"independent: {result.plan.sweep.seeds.first} + 1,000,000 × point + replication"


def _pairing_words(result: SweepResult, statistics: SweepStatistics) -> str:
    if result.plan.sweep.seeds.pairing == "independent":
        return "none: every point has seeds of its own"
    gains = ", ".join(f"{result.naming(m).title} {gain:.3g}×" for m, gain in statistics.pairing.items() if m in shown_metrics(result))
    text = "common random numbers: differences between points are taken seed by seed"
    return f"{text}; variance of a difference between neighbouring points lower by {gains} (median)" if gains else text


def _level_words(result: SweepResult, index: int) -> str:
    factor = result.plan.sweep.factors[index]
    texts = list(dict.fromkeys(p.levels[index].text for p in result.plan.design.points))
    if factor.range is not None and len(texts) > 12:
        kind = ", logarithmic" if factor.range.scale == "log" else ""
        return f"{factor.range.low:g} to {factor.range.high:g}{kind}"
    return ", ".join(texts)


def _point_rows(result: SweepResult, statistics: SweepStatistics) -> Iterator[list[str]]:
    for point in result.plan.design.points[:_TABLE_POINTS]:
        first = statistics.points[result.metrics[0]][point.index]
        cells = [
            _with_interval(d.mean, d.t, result.naming(name).scale)
            for name in result.metrics
            for d in (statistics.points[name][point.index],)
        ]
        yield [*point.labels(), str(first.count), *cells]


def _helped(result: SweepResult, statistics: SweepStatistics) -> list[str]:
    """Metrics whose variance the controls lower at most points."""
    found = []
    for name in result.metrics:
        ratios = [c.ratio for c in statistics.controlled[name] if c is not None]
        if ratios and float(np.median(ratios)) > 1:
            found.append(name)
    return found


def _control_words(result: SweepResult, statistics: SweepStatistics) -> list[tuple[str, ...]]:
    """A row a metric: which controls at how many points, the variance ratio, whether they help."""
    rows: list[tuple[str, ...]] = []
    for name in result.metrics:
        found = [c for c in statistics.controlled[name] if c is not None]
        if not found:
            continue
        # A control counts at a point where most of the folds chose it.
        at = Counter(control for c in found for control, times in c.taken.items() if times > c.folds / 2)
        words = ", ".join(f"{CONTROL_TITLES.get(control, control)} at {times}" for control, times in at.most_common()) or "none"
        ratios = sorted(c.ratio for c in found)
        counts = sorted({c.count for c in found})
        rows.append((
            result.naming(name).title,
            f"{words} of {len(found)} points",
            f"{float(np.median(ratios)):.3g} ({ratios[0]:.3g} to {ratios[-1]:.3g})",
            f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}",
            "yes" if float(np.median(ratios)) > 1 else "no",
        ))  # fmt: skip
    return rows


def _controlled_rows(result: SweepResult, statistics: SweepStatistics) -> Iterator[list[str]]:
    """The points' means with controls, of the metrics that they help; the first row heads them."""
    names = _helped(result, statistics)
    if not names:
        return
    yield [*(f.label for f in result.plan.sweep.factors), *(result.naming(m).label for m in names)]
    for point in result.plan.design.points[:_TABLE_POINTS]:
        found = [statistics.controlled[name][point.index] for name in names]
        cells = [
            "–" if c is None else _with_interval(c.mean, c.interval, result.naming(name).scale)
            for c, name in zip(found, names, strict=True)
        ]
        yield [*point.labels(), *cells]


def _ordered(found: list[Effect]) -> list[Effect]:
    return sorted(found, key=lambda e: (-abs(e.estimate), e.name))


def _difference_label(known: MetricName) -> str:
    """A metric with the unit of its differences."""
    return f"{known.title} [percentage points]" if known.unit == "%" else known.label


def _span(seeds: tuple[int, ...]) -> str:
    if len(seeds) > 2 and seeds == tuple(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds[:12])) + (" …" if len(seeds) > 12 else "")


def _shared_chance(result: SweepResult, seeds: tuple[int, ...]) -> dict[str, list[float]]:
    """The controls of each seed by name, where they are the same at every point: none when a factor changes demand or costs."""
    by_seed: dict[int, list[Mapping[str, float]]] = {}
    for row in result.rows:
        if row.status == "ok" and row.chance:
            by_seed.setdefault(row.seed, []).append(row.chance)
    if result.plan.sweep.seeds.pairing != "common" or any(seed not in by_seed for seed in seeds) or not seeds:
        return {}
    names = [
        name for name in by_seed[seeds[0]][0] if all(one.get(name) == by_seed[seed][0].get(name) for seed in seeds for one in by_seed[seed])
    ]
    return {name: [by_seed[seed][0][name] for seed in seeds] for name in names}


def _effect_with_controls(effect: Effect, chance: Mapping[str, list[float]], scale: float, confidence: float) -> str:
    """The effect with known chance taken out, and its variance ratio; a dash where no control was taken."""
    found = controlled(effect.per_seed, chance, confidence) if chance and effect.estimate else None
    if found is None or not found.taken or found.ratio <= 1:
        return "–"
    return f"{_with_interval(found.mean, found.interval, scale)}, variance ÷ {found.ratio:.3g}"


def _effect_row(effect: Effect, scale: float, confidence: float, chance: Mapping[str, list[float]]) -> tuple[str, ...]:
    verdict = "yes" if effect.p_holm <= 1 - confidence else "no"
    p = "< 0.0001" if effect.p_holm < 1e-4 else f"{effect.p_holm:.4f}"
    shown = _with_interval(effect.estimate, effect.interval, scale)
    with_controls = _effect_with_controls(effect, chance, scale, confidence)
    return effect.name.replace("_", " "), effect.kind.value, shown, str(effect.count), p, verdict, with_controls


def _surface_words(known: MetricName, surface: ResponseSurface) -> dict[str, Any]:
    terms = surface.as_json()["terms"]
    return {
        "metric": known.label,
        "degree": "quadratic" if surface.degree == 2 else "linear",
        "ranges": ", ".join(f"{n} {low:g} … {high:g}" for n, low, high in zip(surface.names, surface.lows, surface.highs, strict=True)),
        "rows": [
            (term, _number((t["coefficient"] or 0) * known.scale), _number((t["se"] or 0) * known.scale)) for term, t in terms.items()
        ],
        "r_squared": f"{surface.r_squared:.4f}, adjusted for its {len(surface.terms)} terms {surface.adjusted:.4f}",
        "residual": _number(surface.residual * known.scale),
        "cross_validated": _number(surface.cross_validated * known.scale),
        "unit": known.unit,
    }


def _coverage_note(result: SweepResult) -> str:
    return f"What the metrics cover: {coverage(result.plan.sweep.metrics)}"


def _no_effect_notes(result: SweepResult) -> Iterator[str]:
    """Factors whose levels made no difference at all, neither in what happened nor in a metric that the sweep names."""
    prints = {(row.point, row.replication): (row.fingerprint, repr(row.values)) for row in result.rows if row.fingerprint}
    if result.plan.sweep.seeds.pairing != "common" or not prints:
        return
    points = result.plan.design.points
    for k, factor in enumerate(result.plan.sweep.factors):
        groups: dict[tuple[tuple[str, ...], int], set[tuple[str, str]]] = {}
        sizes: dict[tuple[tuple[str, ...], int], int] = {}
        for (point, replication), outcome in prints.items():
            labels = points[point].labels()
            key = ((*labels[:k], *labels[k + 1 :]), replication)
            groups.setdefault(key, set()).add(outcome)
            sizes[key] = sizes.get(key, 0) + 1
        compared = [key for key, size in sizes.items() if size > 1]
        if compared and all(len(groups[key]) == 1 for key in compared):
            yield f"Factor {factor.name} changed nothing: equal seeds gave equal runs at all of its levels."


def _with_interval(mean: float, interval: Interval, scale: float) -> str:
    if not math.isfinite(mean):
        return "–"
    digits = _digits(mean * scale, interval.half_width * scale)
    return f"{mean * scale:,.{digits}f} {_bracket(interval, scale, digits)}".rstrip()


def _bracket(interval: Interval, scale: float, digits: int) -> str:
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    return f"[{interval.low * scale:,.{digits}f}, {interval.high * scale:,.{digits}f}]"


def _digits(mean: float, half: float) -> int:
    """Decimals that show two digits of the interval's half-width."""
    size = half if math.isfinite(half) and half > 0 else abs(mean) / 1000
    return 0 if size <= 0 else min(max(1 - math.floor(math.log10(size)), 0), 9)


def _number(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:,.4g}"


def _time(value: Any) -> str:
    if value in (None, 0, "0", "0s"):
        return "none"
    if isinstance(value, int | float):
        days = value / 86_400_000
        return f"{days:g} days" if days >= 1 else f"{value / 3_600_000:g} hours"
    return str(value)
