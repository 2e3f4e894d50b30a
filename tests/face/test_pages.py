"""Pages about Python are true: every snippet runs, the reference is made of the docstrings."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "python.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.splitlines()[2][:30])
def test_every_snippet_runs(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, str(PAGE), "exec"), {})


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) == PAGE.read_text("utf-8").count("```python") >= 6


def test_the_reference_is_made_of_the_docstrings() -> None:
    spec = importlib.util.spec_from_file_location("reference_page", ROOT / "docs" / "reference_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "reference.md").read_text("utf-8") == module.page(), "run python docs/reference_page.py"
