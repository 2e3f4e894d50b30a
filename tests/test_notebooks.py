"""Notebooks run from top to bottom in a kernel, as a reader would run them, and show tables and figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = {"learner", "undercutter"}
"""Modules that notebooks import: what workers run, and what a scenario names, stands in a file."""
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").glob("*.py") if path.stem not in MODULES)


def executed(path: Path) -> Any:
    """The notebook of a percent script with everything that its cells show; a cell that fails raises."""
    import jupytext
    from nbclient import NotebookClient

    assert "# %%" in path.read_text(encoding="utf-8"), "percent format"
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    return notebook


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} >= {"quick_start", "learning", "agent", "who_pays"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    cells = [cell for cell in executed(path).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert "image/png" in kinds, "it shows a figure"
    assert "text/html" in kinds or any(output.output_type == "stream" for output in outputs), "it shows figures in words"
    stray = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    assert not stray, "nothing is said on standard error"
