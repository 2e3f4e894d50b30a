"""What `import marketsim as ms` gives: every name typed, described, with an example that is run, and every command from Python."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import marketsim as ms
from marketsim.cli import build_app, main

ROOT = Path(__file__).resolve().parents[2]
FUNCTIONS = [name for name in ms.__all__ if inspect.isfunction(getattr(ms, name))]
EXAMPLES = sorted({getattr(ms, name).__module__ for name in ms.__all__})


@pytest.mark.parametrize("name", ms.__all__)
def test_every_name_is_described(name: str) -> None:
    value = getattr(ms, name)
    text = inspect.getdoc(value) or ""
    assert len(text.splitlines()[0]) > 12, "a sentence of its own"
    members = [value] if name in FUNCTIONS else [m for n, m in vars(value).items() if inspect.isfunction(m) and not n.startswith("_")]
    for member in members:
        assert inspect.getdoc(member), f"{name}.{member.__name__}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_typed_and_says_its_errors(name: str) -> None:
    function = getattr(ms, name)
    signature = inspect.signature(function)
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())
    assert signature.return_annotation is not inspect.Signature.empty
    assert re.search(r"\b[Rr]aises?\b", inspect.getdoc(function) or ""), "what it raises, or that it raises nothing"
    text = inspect.getdoc(function) or ""
    missing = [p for p in signature.parameters if p not in {"name", "config"} and not re.search(rf"`{p}\b", text)]
    assert not [p for p in missing if signature.parameters[p].kind is inspect.Parameter.KEYWORD_ONLY and p not in OBVIOUS], missing


OBVIOUS = {
    *("workers", "progress", "overrides", "overrides_a", "overrides_b", "seed", "seed_b", "level", "metrics"),
    *("region", "memory", "storage", "record", "until_decided", "minimize", "per_point", "independent"),
}
"""Parameters that mean the same in all functions; what they are stands with `run` and `sweep`."""


@pytest.mark.parametrize("module", EXAMPLES)
def test_the_examples_of_docstrings_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, _ = doctest.testmod(importlib.import_module(module))
    assert not failed


def test_every_name_has_an_example() -> None:
    finder = doctest.DocTestFinder()
    without = [name for name in ms.__all__ if not any(test.examples for test in finder.find(getattr(ms, name), name))]
    assert not without, without


# Every command from Python

TAKE = "take=0.05"
DAY = ["--set", "horizon=6h", "--set", "warm_up=1h"]
SMALL_SEARCH = ["--budget", "18", "--workers", "1"]
CHANGES = {"horizon": "6h", "warm_up": "1h"}


def by_command(folder: Path) -> dict[str, tuple[list[str], Callable[[], Any]]]:
    """A command line that prints JSON, and the call that gives the same."""
    vectors = ROOT / "tests" / "data" / "vectors"
    price = vectors / "price-virtengine.jsonl"
    sweep = folder / "sweep.yaml"
    design: dict[str, Any] = {
        "name": "two",
        "scenario": str(ROOT / "scenarios" / "tiny.yaml"),
        "factors": [{"name": "share", "path": "take", "levels": [0.02, 0.1]}],
        "metrics": ["orders.leased"],
        "replications": 1,
    }
    sweep.write_text(json.dumps(design), "utf-8")
    baseline, capsule, learner, other = folder / "baseline.json", folder / "r.capsule", folder / "anna", folder / "anna-too"
    coverage = ROOT / "scenarios" / "cases" / "seed"
    some = ["--metric", "fill_rate"]
    return {
        "run": (["run", "tiny", "--seed", "3", "--out", str(folder / "c")], lambda: ms.run("tiny", seed=3).summary),
        "validate": (["validate", "tiny"], lambda: ms.validate("tiny").data),
        "schema": (["schema", "sweep"], lambda: json.loads(ms.schema("sweep"))),
        "price": (
            ["price", str(ROOT / "scenarios/providers/training.yaml"), "--cpu", "500m", "--memory", "1Gi", "--storage", "1Gi"],
            lambda: ms.price("providers/training", cpu="500m", memory="1Gi", storage="1Gi").data,
        ),
        "report": (["report", str(folder / "r")], lambda: ms.load_result(folder / "r").summary),
        "explain": (["explain", str(folder / "r"), "0"], lambda: ms.load_result(folder / "r").explain("0").as_json()),
        "sweep": (
            ["sweep", str(sweep), "--workers", "1", "--out", str(folder / "s")],
            lambda: _swept(design | {"scenario": "tiny"}, folder / "p").content,
        ),
        "compare": (
            ["compare", "small", *DAY, "--set-b", TAKE, "--pairs", "2", "--workers", "1", *some, "--out", str(folder / "cmp")],
            lambda: (
                ms.compare("small", overrides=CHANGES, overrides_b=[TAKE], pairs=2, workers=1, metrics=["fill_rate"], progress=False).data
            ),
        ),
        "scenarios list": (["scenarios", "list"], ms.scenarios),
        "diff": (["diff", "tiny", "--set-b", TAKE], lambda: ms.diff("tiny", overrides_b=[TAKE]).data),
        "risk": (
            ["risk", "small", *DAY, "--runs", "3", "--workers", "1", *some],
            lambda: ms.risk("small", overrides=CHANGES, runs=3, workers=1, metrics=["fill_rate"], progress=False).data,
        ),
        "optimize": (
            [*("optimize", "tiny", "--factor", "take=0.01..0.1", "--objective", "take"), *SMALL_SEARCH, "--out", str(folder / "o")],
            lambda: ms.optimize("tiny", {"take": "0.01..0.1"}, "take", budget=18, workers=1, progress=False).data,
        ),
        "parity": (["parity", "price", "--vectors", str(price)], lambda: ms.parity("price", price).data),
        "check": (["check", str(baseline), "--workers", "1"], lambda: ms.check(baseline, workers=1).data),
        "capsule verify": (["capsule", "verify", str(capsule)], lambda: ms.verify_capsule(capsule).data),
        "exercise list": (["exercise", "list"], ms.list_exercises),
        "exercise check": (["exercise", "check", str(learner)], lambda: ms.StartedExercise(learner).check() or ""),
        "exercise hint": (["exercise", "hint", str(learner)], lambda: ms.StartedExercise(other).hint()),
        "exercise grade": (["exercise", "grade", str(learner)], lambda: ms.grade(learner).data),
        "coverage": (["coverage", str(coverage)], lambda: ms.coverage(coverage).data),
    }


STAY = {
    "devnet": "a server in a folder that outlives the process that starts it, and its operator's buttons; Python has ms.Market",
    "dash": "a terminal that somebody looks at; what it shows is `DevnetNode.dashboard` and `Client.dashboard`",
    "virtengine": "the chain's own command line word for word, for people who learn it; in Python messages are submitted to a market",
}
"""Commands that have no function of their own, each with the reason."""
REFUSALS: dict[str, Callable[[], Any]] = {
    "bench theory": lambda: ms.run_bench("theory", plant={"colour": 2.0}),
    "bench statistics": lambda: ms.run_bench("statistics", plant={"arrivals": 2.0}),
    "bisect": lambda: ms.bisect("nowhere.yaml", "v1"),
    "exercise selftest": lambda: ms.check_exercise("none"),
}
"""What takes minutes, or a repository with a history: tests of their own run it, here it is called and refuses."""
WRITERS = {"init", "scenarios copy", "capsule create", "export", "exercise start", "exercise reset", "exercise course init"}
"""Commands that write files and print no JSON: what they leave behind is compared."""


TINY = ROOT / "scenarios" / "tiny.yaml"


def _swept(design: dict[str, Any], out: Path) -> ms.SweepRuns:
    found = ms.sweep(design, workers=1, out=out, progress=False)
    assert isinstance(found, ms.SweepRuns)
    return found


def commands(group: Any = None, above: str = "") -> list[str]:
    """Every command, those of groups by both words."""
    found = []
    for name, command in (group or typer.main.get_command(build_app())).commands.items():
        found += commands(command, f"{above}{name} ") if hasattr(command, "commands") else [f"{above}{name}"]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("commands")
    ms.run(TINY, out=place / "r", record="everything")
    assert "new baseline" in str(ms.make_baseline(place / "baseline.json", TINY, metrics=["orders.leased:5%"], seeds=2, workers=1))
    ms.make_capsule(place / "r", place / "r.capsule")
    for name in ("anna", "anna-too"):
        ms.start_exercise("pricing", "anna", place / name)
    return place


@pytest.mark.parametrize("command", commands())
def test_every_command_can_be_had_from_python(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if command.partition(" ")[0] in STAY:
        return
    monkeypatch.chdir(folder)
    if command in REFUSALS:
        with pytest.raises(ms.InputError):
            REFUSALS[command]()
        return
    if command in WRITERS:
        line, call = writers(folder)[command]
        if command == "exercise reset":
            ms.start_exercise("pricing", "anna", folder / "by-command")
        assert main(line) == 0
        left, made = folder / "by-command", Path(call())
        assert without_names(files_in(made)) == without_names(files_in(left))
        shutil.rmtree(left) if left.is_dir() else left.unlink()
        shutil.rmtree(made) if made.is_dir() else made.unlink()
        return
    line, call = by_command(folder)[command]
    assert main([*line, *([] if command in PLAIN_TEXT else ["--json"])]) in (0, 1)
    text = capsys.readouterr().out
    found = call()
    if command in PLAIN_TEXT - {"schema"}:
        assert text.strip().endswith(str(found).strip())
        return
    assert without_times(json.loads(json.dumps(found, default=str))) == without_times(json.loads(text))


PLAIN_TEXT = {"schema", "exercise check", "exercise hint"}
"""Commands that print no JSON beyond what they print always."""


def files_in(place: Path) -> dict[str, bytes]:
    """The contents of a file, or of every file below a folder."""
    if place.is_file():
        return {"": place.read_bytes()}
    return {str(file.relative_to(place)): file.read_bytes() for file in sorted(place.rglob("*")) if file.is_file()}


def without_names(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without a course's secret, and without what tells the two folders apart."""
    return {
        name: b"" if "secret" in name or name == "check.json" else content.replace(b"by-command", b"").replace(b"by-python", b"")
        for name, content in files.items()
        if not name.startswith("kept")
    }


def writers(folder: Path) -> dict[str, tuple[list[str], Callable[[], Any]]]:
    """A command line that writes to by-command, and the call that writes the same to by-python."""
    left, made = folder / "by-command", folder / "by-python"

    def reset() -> Path:
        ms.StartedExercise(ms.start_exercise("pricing", "anna", made).folder).reset()
        return made

    return {
        "init": (["init", str(left), "--quiet"], lambda: ms.init(made)),
        "scenarios copy": (["scenarios", "copy", "small", str(left)], lambda: (ms.copy_scenario("small", made), made)[1]),
        "capsule create": (["capsule", "create", str(folder / "r"), "-o", str(left)], lambda: ms.make_capsule(folder / "r", made)),
        "export": (
            ["export", str(folder / "r"), "--openmetrics", str(left), "--scenario", str(TINY)],
            lambda: ms.export_run(folder / "r", openmetrics=made, scenario=TINY).path,
        ),
        "exercise start": (
            ["exercise", "start", "pricing", "--learner", "anna", "--dir", str(left)],
            lambda: ms.start_exercise("pricing", "anna", made).folder,
        ),
        "exercise reset": (["exercise", "reset", str(left)], reset),
        "exercise course init": (["exercise", "course", "init", str(left)], lambda: ms.new_course(made).parent),
    }


def without_times(value: Any) -> Any:
    """Without what differs from call to call: how long it took, where it stands, what a scenario is called there."""
    if isinstance(value, dict):
        return {
            k: without_times(v) for k, v in value.items() if k not in {"seconds", "timing", "a", "b", "file", "provider", "label", "sweep"}
        }
    return [without_times(item) for item in value] if isinstance(value, list) else value
