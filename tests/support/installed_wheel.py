"""The package as a stranger has it: built into a wheel, installed in an environment of its own, nothing of the checkout on its path."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def installed_wheel(place: Path) -> Path:
    """Build a wheel in a folder and return the python of an environment that has it, and the libraries of this one beside it."""
    subprocess.run(
        [sys.executable, "-c", "from setuptools.build_meta import build_wheel; import sys; build_wheel(sys.argv[1])", str(place)],
        cwd=_copied(place / "tree"),
        check=True,
        capture_output=True,
    )
    wheel = next(place.glob("*.whl"))
    env = place / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(env), "platbase": str(env)}))
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    # A plain folder on the path: what is written in its own .pth files, an editable marketsim among them, is not read.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    return env / "bin" / "python"


def _copied(tree: Path) -> Path:
    """The files that a build needs, where it may leave what it makes."""
    tree.mkdir()
    for name in ("marketsim", "scenarios"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copyfile(ROOT / name, tree / name)
    return tree
