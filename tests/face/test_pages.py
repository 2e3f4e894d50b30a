"""Pages about Python are true: every snippet runs, the reference is made of the docstrings."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import marketsim as ms

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "python.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda text: text.splitlines()[2][:30])
def test_every_snippet_runs(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, str(PAGE), "exec"), {})


OWN = ("demand", "choice-rules", "own-metrics")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", OWN)
def test_pages_of_extensions_are_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written where their scenario stands, its keys make a market that is run, and the checks pass."""
    blocks = BLOCK.findall((ROOT / "docs" / f"{name}.md").read_text("utf-8"))
    files = {text.splitlines()[0].removeprefix("# "): text for kind, text in blocks if kind == "python" and text.startswith("# ")}
    for file, text in files.items():
        (tmp_path / file).write_text(text, "utf-8")
    (keys,) = (yaml.safe_load(text) for kind, text in blocks if kind == "yaml")
    market = SMALL | keys
    result = ms.run(ms.load_scenario(market, base=tmp_path))
    assert result.summary["orders"]["leased"] > 0
    assert set(result.summary.get("metrics", {})) == ({"long", "paid.web", "paid.web_uve"} if "metrics" in keys else set())
    monkeypatch.syspath_prepend(tmp_path)
    for text in (text for kind, text in blocks if kind == "python" and not text.startswith("# ")):
        exec(compile(text, name, "exec"), {})
    for file in files:
        sys.modules.pop(file.removesuffix(".py"), None)


SMALL: dict[str, Any] = {
    "horizon": "2d",
    "tenants": [
        {
            "name": "web",
            "demand": "5/h",
            "order": {"cpu": 1000, "memory": "2Gi", "storage": "10Gi"},
            "ceiling": {"times_cost": 3},
            "duration": "4h",
        }
    ],
    "providers": [{"name": "edge", "count": 3, "spread": 0.2, "capacity": {"cpu": 32000, "memory": "128Gi", "storage": "4Ti"}}],
}


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) == PAGE.read_text("utf-8").count("```python") >= 6


def test_the_reference_is_made_of_the_docstrings() -> None:
    spec = importlib.util.spec_from_file_location("reference_page", ROOT / "docs" / "reference_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "reference.md").read_text("utf-8") == module.page(), "run python docs/reference_page.py"
