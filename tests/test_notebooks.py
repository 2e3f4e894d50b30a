"""Notebooks run from top to bottom, as a reader would run them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {"learner"}
"""Modules that notebooks import: what workers run stands in a file."""
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").glob("*.py") if path.stem not in MODULES)


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(path.parent)
    names = runpy.run_path(str(path))
    assert "# %%" in path.read_text(encoding="utf-8"), "percent format"
    assert capsys.readouterr().out, "it shows figures"
    if path.stem == "margins":
        assert len(names["runs"]) == len(names["MARGINS"]) * len(names["SEEDS"])
