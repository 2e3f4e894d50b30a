"""A package outside the tree adds an extension of each kind: it is installed, its tests pass, and a run uses all by their names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from marketsim.strategies.find import EXTENSION_KINDS

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "examples" / "campus"


def test_the_package_has_every_kind_and_each_has_a_page() -> None:
    offered = tomllib.loads((PACKAGE / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    assert set(offered) == {kind.group for kind in EXTENSION_KINDS}
    page = (ROOT / "docs" / "extensions.md").read_text("utf-8")
    names = (PACKAGE / "scenario.yaml").read_text("utf-8")
    readme = (PACKAGE / "README.md").read_text("utf-8")
    for group, points in offered.items():
        assert f"`{group}`" in page
        assert any(f"python: {name}" in names for name in points), group
        assert all(f"`{name}`" in readme for name in points)


def test_a_package_outside_the_tree_adds_one_of_each(tmp_path: Path) -> None:
    copied, installed = tmp_path / "campus", tmp_path / "installed"
    shutil.copytree(PACKAGE, copied, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    made = subprocess.run([*pip, "--target", str(installed), str(copied)], capture_output=True, text=True, check=False)
    if made.returncode and "No module named pip" in made.stderr:
        pytest.skip("this environment has no pip")
    assert made.returncode == 0, made.stderr
    shutil.rmtree(copied / "marketsim_campus")  # what is installed, not what stands there
    env = os.environ | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(copied), str(copied / "tests")],
        cwd=copied, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout
    command = [sys.executable, "-m", "marketsim", "run", "scenario.yaml", "--json", "--set", "horizon=1d", "--out", "out"]
    found = subprocess.run(command, cwd=copied, env=env, capture_output=True, text=True, check=True)
    assert "night.all" in json.loads(found.stdout)["metrics"]
