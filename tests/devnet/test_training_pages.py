"""Every command block of docs/training/ is typed in its order, on one devnet, and prints what its page shows."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
TOOLS = ("bash", "curl", "jq")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("training_pages", DOCS / "training_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_played_and_every_block_found(pages: ModuleType) -> None:
    assert set(pages.PAGES) == {page.name for page in (DOCS / "training").glob("*.md")}
    for page in pages.PAGES:
        text = (DOCS / "training" / page).read_text(encoding="utf-8")
        fences = re.findall(r"^```(\w+)$", text, re.MULTILINE)
        found = list(pages.BLOCK.finditer(text))
        # a fence of another kind, or a text without its command, would be shown and never compared
        assert fences.count("sh") == len(found)
        assert fences.count("text") == sum(block["printed"] is not None for block in found)
        assert set(fences) <= {"sh", "text"}


@pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS), reason="the tutorial needs bash, curl and jq")
def test_from_a_wheel_in_an_empty_folder_the_pages_print_what_they_show(pages: ModuleType, wheel_python: Path, tmp_path: Path) -> None:
    """The whole module, with nothing of the checkout but the text of its pages."""
    where = subprocess.run(
        [wheel_python, "-P", "-c", "import marketsim; print(marketsim.__file__)"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert wheel_python.parents[1] in Path(where.stdout.strip()).parents

    def told(block: object) -> None:
        page, command, shown, printed, code = block  # type: ignore[misc]
        assert code == 0, f"{page}: exit code {code}\n{command}{printed}"
        assert printed == (shown or ""), f"{page}:\n{command}"

    pages.played(tmp_path / "learner", told, str(wheel_python))
