"""What `import marketsim as ms` gives: every name typed, described, with an example that is run, and every command from Python."""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import re
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


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder()
    found = {name for name in ms.__all__ if any(test.examples for test in finder.find(getattr(ms, name), name))}
    assert found >= {"load_scenario", "price", "replicate", "run", "schema", "sweep", "validate", "RunResult"}


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
        "init": (["init", str(folder / "i"), "--quiet"], lambda: ms.init(folder / "j")),
        "scenarios": (["scenarios", "list"], ms.scenarios),
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
        "coverage": (["coverage", str(coverage)], lambda: ms.coverage(coverage).data),
    }


NOT_YET = {"bisect", "capsule", "check", "exercise", "export"}
"""Commands that Python has no function for so far."""
BENCHED = {"bench"}
"""Takes minutes: what it refuses is compared below."""


def _swept(design: dict[str, Any], out: Path) -> ms.SweepRuns:
    found = ms.sweep(design, workers=1, out=out, progress=False)
    assert isinstance(found, ms.SweepRuns)
    return found


def commands() -> list[str]:
    return list(typer.main.get_command(build_app()).commands)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("commands")
    ms.run("tiny", out=place / "r", record="everything")
    return place


@pytest.mark.parametrize("command", commands())
def test_every_command_can_be_had_from_python(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if command in BENCHED:
        with pytest.raises(ms.InputError, match="colour"):
            ms.run_bench("theory", plant={"colour": 2.0})
        return
    monkeypatch.chdir(folder)
    calls = by_command(folder)
    assert (command in calls) != (command in NOT_YET)
    if command in NOT_YET:
        return
    line, call = calls[command]
    assert main([*line, *([] if command in {"schema", "init"} else ["--json"])]) in (0, 1)
    if command == "init":
        made = call()
        assert {file.name: file.read_bytes() for file in made.iterdir() if file.is_file()} == {
            file.name: file.read_bytes() for file in (folder / "i").iterdir() if file.is_file()
        }
        return
    printed = json.loads(capsys.readouterr().out)
    found = json.loads(json.dumps(call(), default=str))
    assert without_times(found) == without_times(printed)


def without_times(value: Any) -> Any:
    """Without what differs from call to call: how long it took, where it stands, what a scenario is called there."""
    if isinstance(value, dict):
        return {
            k: without_times(v) for k, v in value.items() if k not in {"seconds", "timing", "a", "b", "file", "provider", "label", "sweep"}
        }
    return [without_times(item) for item in value] if isinstance(value, list) else value
