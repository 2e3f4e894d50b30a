"""Every key of a sweep file does what it says, as `test_keys_felt` holds it for scenarios: set to two values, and what differs."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from queue_market import run_queue
from queue_sweep import QueueScenarios

from marketsim.experiments.runs.execute import Outcome, RunPool, RunTask, attempt
from marketsim.experiments.sweep import report as sweep_report
from marketsim.experiments.sweep.file import SweepFile
from marketsim.experiments.sweep.folder import SweepFolder
from marketsim.experiments.sweep.plan import SweepPlan
from marketsim.experiments.sweep.rounds import SweepResult
from marketsim.experiments.sweep.session import carry_out, default_folder, local_pool, read_plan
from marketsim.scenario.key_list import every_model, keys_in, section_name

PRICE = {"name": "price", "path": "price", "levels": [0.2, 0.4, 0.6]}
PLAIN: dict[str, Any] = {
    "name": "plain",
    "scenario": "queue.yaml",
    "factors": [PRICE],
    "replications": 2,
    "metrics": ["fill_rate", "revenue.total"],
}
WIDE = {
    **PLAIN,
    "factors": [
        {"name": "price", "path": "price", "range": {"low": 0.1, "high": 0.9}},
        {"name": "demand", "path": "demand", "range": {"low": 1.0, "high": 3.0}},
    ],
}
"""Two ranges, for designs that fill the space between."""
STEPPED = {**PLAIN, "factors": [{"name": "price", "path": "price", "range": {"low": 0.1, "high": 0.9, "steps": 3}}]}
OPEN_ENDED = {**PLAIN, "replications": {"until": {"metric": "fill_rate", "half_width": 0.0001}, "round": 2, "at_most": 8}}
"""Replications until an interval is narrower than it ever gets."""


class Here:
    """A pool of this process."""

    workers = 1

    def __init__(self, runs: Path) -> None:
        self._runs = runs

    def outcomes(self, tasks: Sequence[RunTask]) -> Iterator[tuple[RunTask, Outcome]]:
        for task in tasks:
            done = attempt(run_queue, task)
            if done.payload is not None:
                self._runs.mkdir(exist_ok=True)
                (self._runs / f"{task.key}.json").write_bytes(done.payload)
            yield task, done

    def close(self) -> None:
        """Nothing."""


class Done(NamedTuple):
    plan: SweepPlan
    result: SweepResult
    report: str


Measure = Callable[[Done], Any]


def runs(done: Done) -> int:
    return len(done.result.rows)


def points(done: Done) -> int:
    return len(done.plan.design.points)


def written(done: Done) -> Any:
    """What the points write into the scenario."""
    return done.plan.effective


def fill_rate(done: Done) -> float:
    rows = [row.values[0] for row in done.result.rows]
    return sum(rows) / len(rows)


def seeds(done: Done) -> list[int]:
    return sorted({row.seed for row in done.result.rows})


def report(done: Done) -> str:
    return done.report


def measured(done: Done) -> str:
    """What runs measure beside the summary: part of the key of each."""
    return done.plan.code


def succeeded(done: Done) -> int:
    return sum(row.status == "ok" for row in done.result.rows)


class Felt(NamedTuple):
    """A key: where it stands, two values of it, in which sweep, and how the outcome of the second differs from the first's."""

    path: str
    first: Any
    second: Any
    sweep: Mapping[str, Any]
    measure: Measure
    effect: str
    """`more`, `less` or `other`."""
    processes: bool = False
    """Whether it takes processes to be felt."""


def design(kind: str, **keys: Any) -> Felt:
    """A design by its kind, beside a grid."""
    ranges = [{**factor, "range": {**factor["range"], "steps": 2}} for factor in WIDE["factors"]]
    return Felt("design", {"kind": "grid"}, {"kind": kind, **keys}, {**WIDE, "factors": ranges}, written, "other")


FELT: dict[str, Felt] = {
    "SweepFile.name": Felt("name", "a", "b", PLAIN, lambda done: default_folder(done.plan).name.partition("-")[0], "other"),
    "SweepFile.description": Felt("description", "of apples", "of pears", PLAIN, report, "other"),
    "SweepFile.scenario": Felt("scenario", "queue.yaml", "other.yaml", PLAIN, report, "other"),
    "SweepFile.set": Felt("set", {"demand": 1}, {"demand": 2}, PLAIN, fill_rate, "less"),
    "SweepFile.factors": Felt("factors", [{**PRICE, "levels": [0.2]}], [PRICE], PLAIN, points, "more"),
    "SweepFile.constraints": Felt("constraints", [], ["price < 0.5"], PLAIN, points, "less"),
    "SweepFile.design": Felt("design", "grid", {"kind": "list", "points": [{"price": 0.2}]}, PLAIN, points, "less"),
    "SweepFile.replications": Felt("replications", 2, 3, PLAIN, runs, "more"),
    "SweepFile.metrics": Felt("metrics", ["fill_rate"], ["fill_rate", "revenue.total"], PLAIN, report, "other"),
    "SweepFile.seeds": Felt("seeds", "common", "independent", PLAIN, lambda done: len(seeds(done)), "more"),
    "SweepFile.series": Felt("series", [], ["fill_rate"], PLAIN, measured, "other"),
    "SeriesWanted.metric": Felt("series.0.metric", "fill_rate", "orders.open", {**PLAIN, "series": [{}]}, measured, "other"),
    "SeriesWanted.every": Felt("series.0.every", "1h", "1d", {**PLAIN, "series": [{"metric": "fill_rate"}]}, measured, "other"),
    "SweepFile.trails": Felt("trails", False, True, PLAIN, measured, "other"),
    "SweepFile.confidence": Felt("confidence", 0.9, 0.99, PLAIN, report, "other"),
    "SweepFile.timeout": Felt(
        "timeout", 0.2, "10m", {**PLAIN, "set": {"sleep": 0.5}, "factors": [{**PRICE, "levels": [0.2]}]}, succeeded, "more", True
    ),
    "Factor.name": Felt("factors.0.name", "price", "fee", PLAIN, report, "other"),
    "Factor.path": Felt("factors.0.path", "price", "demand", PLAIN, written, "other"),
    "Factor.paths": Felt(
        "factors.0.paths",
        ["price"],
        {"price": "{}", "demand": "{x * 5}"},
        {**PLAIN, "factors": [{"name": "price", "levels": [0.4]}]},
        written,
        "other",
    ),
    "Factor.template": Felt("factors.0.template", "{}", "{x * 1.5}", PLAIN, fill_rate, "less"),
    "Factor.when": Felt(
        "factors.0.when",
        {},
        {"price": "price > 0.5"},
        PLAIN,
        lambda done: len({json.dumps(point, sort_keys=True) for point in done.plan.effective}),
        "less",
    ),
    "Factor.unit": Felt("factors.0.unit", "", "VE", PLAIN, report, "other"),
    "Factor.title": Felt("factors.0.title", "", "fee of entry", PLAIN, report, "other"),
    "Factor.levels": Felt("factors.0.levels", [0.2, 0.4], [0.2, 0.6], PLAIN, fill_rate, "less"),
    "Factor.range": Felt(
        "factors.0.range", {"low": 0.1, "high": 0.3, "steps": 2}, {"low": 0.1, "high": 0.9, "steps": 2}, STEPPED, fill_rate, "less"
    ),
    "Level.label": Felt(
        "factors.0.levels.0.label", None, "cheap", {**PLAIN, "factors": [{**PRICE, "levels": [{"value": 0.2}, 0.4]}]}, report, "other"
    ),
    "Level.value": Felt("factors.0.levels.0.value", 0.2, 0.3, {**PLAIN, "factors": [{**PRICE, "levels": [{}, 0.4]}]}, fill_rate, "less"),
    "Level.set": Felt(
        "factors.0.levels.0.set",
        {"price": 0.2},
        {"price": 0.7},
        {**PLAIN, "factors": [{"name": "price", "levels": [{}, {"set": {"price": 0.4}}]}]},
        fill_rate,
        "less",
    ),
    "Range.low": Felt("factors.0.range.low", 0.1, 0.5, STEPPED, fill_rate, "less"),
    "Range.high": Felt("factors.0.range.high", 0.5, 0.9, STEPPED, fill_rate, "less"),
    "Range.steps": Felt("factors.0.range.steps", 3, 5, STEPPED, points, "more"),
    "Range.scale": Felt("factors.0.range.scale", "linear", "log", STEPPED, fill_rate, "more"),
    "Range.integer": Felt(
        "factors.0.range.integer",
        False,
        True,
        {**PLAIN, "factors": [{"name": "demand", "path": "demand", "range": {"low": 1, "high": 4, "steps": 3}}]},
        written,
        "other",
    ),
    "Range.decimals": Felt(
        "factors.0.range.decimals",
        3,
        1,
        {**PLAIN, "factors": [{"name": "price", "path": "price", "range": {"low": 0.111, "high": 0.888, "steps": 3}}]},
        written,
        "other",
    ),
    "GridDesign.kind": Felt("design", {"kind": "latin_hypercube", "points": 3}, {"kind": "grid"}, STEPPED, written, "other"),
    "ListDesign.kind": design("list", points=[{"price": 0.1, "demand": 1}]),
    "ListDesign.points": Felt(
        "design.points", [{"price": 0.2}], [{"price": 0.6}], {**PLAIN, "design": {"kind": "list"}}, fill_rate, "less"
    ),
    "LatinHypercubeDesign.kind": design("latin_hypercube", points=4),
    "LatinHypercubeDesign.points": Felt("design.points", 4, 6, {**WIDE, "design": {"kind": "latin_hypercube"}}, points, "more"),
    "LatinHypercubeDesign.seed": Felt("design.seed", 1, 2, {**WIDE, "design": {"kind": "latin_hypercube", "points": 4}}, written, "other"),
    "SobolDesign.kind": design("sobol", samples=4),
    "SobolDesign.samples": Felt("design.samples", 4, 8, {**WIDE, "design": {"kind": "sobol"}}, points, "more"),
    "SobolDesign.seed": Felt("design.seed", 1, 2, {**WIDE, "design": {"kind": "sobol", "samples": 4}}, written, "other"),
    "MorrisDesign.kind": design("morris", trajectories=2),
    "MorrisDesign.trajectories": Felt("design.trajectories", 2, 4, {**WIDE, "design": {"kind": "morris"}}, points, "more"),
    "MorrisDesign.grid_levels": Felt(
        "design.grid_levels", 4, 8, {**WIDE, "design": {"kind": "morris", "trajectories": 3}}, written, "other"
    ),
    "MorrisDesign.seed": Felt("design.seed", 1, 2, {**WIDE, "design": {"kind": "morris", "trajectories": 3}}, written, "other"),
    "Replications.fixed": Felt("replications.fixed", 2, 4, {**PLAIN, "replications": {}}, runs, "more"),
    "Replications.until": Felt(
        "replications.until",
        {"metric": "fill_rate", "half_width": 9},
        {"metric": "fill_rate", "half_width": 0.0001},
        OPEN_ENDED,
        runs,
        "more",
    ),
    "Replications.budget": Felt("replications.budget", 6, 12, OPEN_ENDED, runs, "more"),
    "Replications.round": Felt(
        "replications.round", 2, 5, {**PLAIN, "replications": {"until": {"metric": "fill_rate", "half_width": 9}}}, runs, "more"
    ),
    "Replications.at_most": Felt("replications.at_most", 4, 6, OPEN_ENDED, runs, "more"),
    "Until.metric": Felt(
        "replications.until.metric",
        "fill_rate",
        "revenue.total",
        {**OPEN_ENDED, "replications": {"until": {"half_width": 1}, "round": 2, "at_most": 8}},
        runs,
        "more",
    ),
    "Until.half_width": Felt("replications.until.half_width", 9, 0.0001, OPEN_ENDED, runs, "more"),
    "Until.relative_half_width": Felt(
        "replications.until.relative_half_width",
        "900%",
        "0.01%",
        {**OPEN_ENDED, "replications": {"until": {"metric": "fill_rate"}, "round": 2, "at_most": 8}},
        runs,
        "more",
    ),
    "Budget.runs": Felt("replications.budget.runs", 6, 12, OPEN_ENDED, runs, "more"),
    "Budget.seconds": Felt("replications.budget.seconds", 0.000001, 10_000, OPEN_ENDED, runs, "more"),
    "Seeds.pairing": Felt("seeds.pairing", "common", "independent", PLAIN, lambda done: len(seeds(done)), "more"),
    "Seeds.first": Felt("seeds.first", 1, 7, PLAIN, seeds, "more"),
}


def put(sweep: dict[str, Any], path: str, value: Any) -> None:
    *way, last = path.split(".")
    here: Any = sweep
    for word in way:
        here = here[int(word)] if isinstance(here, list) else here.setdefault(word, {})
    here[last] = value


def outcome(felt: Felt, value: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    sweep = copy.deepcopy(dict(felt.sweep))
    put(sweep, felt.path, value)
    folder.mkdir()
    (folder / "sweep.yaml").write_text(json.dumps(sweep))
    for name in ("queue.yaml", "other.yaml"):
        (folder / name).touch()
    plan = read_plan(folder / "sweep.yaml", QueueScenarios())
    monkeypatch.setattr(sweep_report.SweepDrawing, "__init__", lambda drawing, result: None)
    monkeypatch.setattr(sweep_report.SweepDrawing, "finish", lambda drawing, statistics: [])

    def here(into: SweepFolder) -> RunPool:
        return Here(into.runs)

    result, _ = carry_out(plan, folder / "out", local_pool(plan, run_queue, 1) if felt.processes else here)
    return felt.measure(Done(plan, result, (folder / "out" / "report.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("key", FELT)
def test_a_sweep_feels_the_key(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    felt = FELT[key]
    first, second = (outcome(felt, value, tmp_path / name, monkeypatch) for name, value in (("a", felt.first), ("b", felt.second)))
    assert {"more": lambda: second > first, "less": lambda: second < first, "other": lambda: second != first}[felt.effect](), (
        first,
        second,
    )


def test_every_key_of_sweeps_has_a_row_and_every_row_a_key() -> None:
    keys = {f"{section_name(model)}.{key.name}" for model in every_model(SweepFile) for key in keys_in(model)}
    assert keys - FELT.keys() == set(), "a key without a row: say in which sweep it is felt"
    assert FELT.keys() - keys == set(), "a row without a key"
