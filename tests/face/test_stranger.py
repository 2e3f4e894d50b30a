"""A stranger's path: a wheel, an empty folder, and nothing of the checkout."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import marketsim as ms
from marketsim.cli import main


@pytest.fixture(scope="module")
def stranger(wheel_python: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The python of an environment that has the wheel, and an empty folder."""
    return wheel_python, tmp_path_factory.mktemp("empty")


def call(stranger: tuple[Path, Path], *words: str) -> str:
    python, folder = stranger
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONUTF8": "1", "MPLBACKEND": "agg"}
    done = subprocess.run([str(python), *words], cwd=folder, capture_output=True, text=True, env=env, check=False, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


AS_NOTEBOOK = """
import os, jupytext, nbclient
os.environ.pop("MPLBACKEND", None)
notebook = jupytext.read("first_look.py")
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
assert any("image/png" in output.get("data", {}) for output in outputs), "a figure is shown"
assert any("text/html" in output.get("data", {}) for output in outputs), "tables are shown"
print("".join(output.get("text", "") for output in outputs))
"""
"""Runs the project's notebook as Jupyter would and prints what it prints."""


@pytest.mark.slow
def test_from_a_wheel_to_a_notebook(stranger: tuple[Path, Path]) -> None:
    _, folder = stranger
    where = call(stranger, "-c", "import marketsim; print(marketsim.__file__)")
    assert "env" in Path(where).parts, "the wheel, not the checkout"
    cli = ("-m", "marketsim")
    assert "scenario.yaml" in call(stranger, *cli, "init")
    schema = json.loads((folder / "schema" / "scenario.json").read_text("utf-8"))
    assert "description" in schema["properties"]["take"], "what an editor completes and shows"
    assert (folder / "scenario.yaml").read_text("utf-8").startswith("# yaml-language-server: $schema=./schema/scenario.json")
    assert call(stranger, *cli, "validate", "scenario.yaml", "provider.yaml", "sweep.yaml").count(": ok (") == 3
    summary = json.loads(call(stranger, *cli, "run", "scenario.yaml", "--json", "--out", "out"))
    assert summary["conserved"] is True
    assert float(summary["revenue"]["by_cohort"]["mine"]) > 0, "the strategy of one's own earns"
    swept = json.loads(call(stranger, *cli, "sweep", "sweep.yaml", "--json", "--quiet"))
    assert len(swept["points"]) == 6
    margin = "providers.mine.config.bid_engine.min_profit_margin=30"
    assert "paired difference" in call(stranger, *cli, "compare", "scenario.yaml", "--set-b", margin, "--pairs", "3")
    assert "2 passed" in call(stranger, "-m", "pytest", "-q")
    assert "paired difference" in call(stranger, "-c", AS_NOTEBOOK)
    assert "baseline" in call(stranger, *cli, "scenarios", "list").split()
    assert json.loads(call(stranger, *cli, "run", "tiny", "--json", "--out", "tiny"))["fingerprint"] == ms.run("tiny").fingerprint
    copied_files = call(stranger, *cli, "scenarios", "copy", "tiny", "mine").split()
    assert len(copied_files) > 3
    assert call(stranger, *cli, "validate", "mine/tiny.yaml").count(": ok (") == 1


def test_init_refuses_a_folder_with_something_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept").write_text("mine", "utf-8")
    assert main(["init", str(tmp_path)]) == 2
    assert "the folder is not empty" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]


def test_init_in_the_folder_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--quiet"]) == 0
    assert {"scenario.yaml", "provider.yaml", "sweep.yaml", "my_prices.py", "test_my_prices.py", "README.md"} <= set(os.listdir())
    assert ms.validate("scenario.yaml", "sweep.yaml", "provider.yaml").holds


def test_every_shipped_scenario_can_be_copied_and_is_whole(tmp_path: Path) -> None:
    for name in ("tiny", "training", "cases/seed/usage", "sweeps/pricing"):
        files = ms.copy_scenario(name, tmp_path / name.replace("/", "-"))
        copied_one = next(file for file in files if file.stem == Path(name).name)
        assert ms.validate(copied_one).holds
    with pytest.raises(ms.InputError, match="is there already"):
        ms.copy_scenario("tiny", tmp_path / "tiny")
    with pytest.raises(ms.InputError, match="no shipped scenario"):
        ms.copy_scenario("nothing", tmp_path)
