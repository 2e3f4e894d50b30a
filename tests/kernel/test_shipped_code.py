"""Machine code in a wheel: found without a compiler, held to the sources beside it, and refused in words where it cannot serve."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from marketsim.cli import main
from marketsim.kernel.shipped_code import WITH_ENTRIES

ROOT = Path(__file__).parents[2]
CALLS = """
from marketsim.money.pairs import blocks_covered, is_less
print(blocks_covered(5, 7 * 10**17, 0, 2 * 10**17, 100), is_less(1, 5, 1, 6), is_less(1, 6, 1, 5))
"""
NO_COMPILER = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("numba", "llvmlite"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in ("numba", "llvmlite") else found(name, package)
sys.meta_path.insert(0, Absent())
"""

pytestmark = pytest.mark.skipif(
    shutil.which("gcc") is None or sys.platform != "linux", reason="needs gcc on Linux, as making a wheel with machine code does"
)


def called(code: str, root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(root), **environment}, cwd=root, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel_maker() -> Any:
    spec = importlib.util.spec_from_file_location("compiled_wheel", ROOT / ".ci" / "compiled_wheel.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel_maker: Any) -> Path:
    """The package as a wheel would install it, with the code of two functions."""
    folder = tmp_path_factory.mktemp("installed")
    cache = tmp_path_factory.mktemp("cache")
    cache.chmod(0o755)
    portable = {"MARKETSIM_COMPILE": "portable", "MARKETSIM_CACHE": str(cache), "NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": ""}
    done = called(CALLS, ROOT, **portable)
    assert done.returncode == 0, done.stderr
    shutil.copytree(ROOT / "marketsim", folder / "marketsim", ignore=shutil.ignore_patterns("__pycache__"))
    index = wheel_maker.linked(cache, folder / "marketsim" / "machine_code")
    assert {name.partition("-")[0] for name in index["entries"]} == {
        "marketsim.money.pairs.blocks_covered",
        "marketsim.money.pairs.is_less",
    }
    return folder


def test_it_runs_without_a_compiler(installed: Path) -> None:
    plain = called(CALLS, ROOT, MARKETSIM_COMPILE="0").stdout
    assert plain == "28 True False\n"
    watched = CALLS + "from marketsim.kernel.modes import COMPILING, HAS_COMPILER\nprint(COMPILING, HAS_COMPILER, is_less)\n"
    done = called(NO_COMPILER + watched, installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(plain + "True False <marketsim.kernel.compiled.Compiled"), done.stdout
    assert done.stderr == ""


def test_with_a_compiler_it_is_used_as_well(installed: Path) -> None:
    done = called(CALLS + "import sys\nprint('numba' in sys.modules, 'llvmlite' in sys.modules)", installed)
    assert done.stdout == "28 True False\nFalse False\n", done.stderr


def test_what_the_wheel_has_not_runs_as_python(installed: Path) -> None:
    code = (
        "from marketsim.experiments.runs.warm import TINY\nfrom marketsim.scenario import scenario_from_mapping\n"
        "from marketsim.simulation import run\nprint(run(scenario_from_mapping(TINY), seed=1).summary['fingerprint'])\n"
    )
    done = called(NO_COMPILER + code, installed)
    assert done.stdout == called(code, ROOT, MARKETSIM_COMPILE="0").stdout, done.stderr


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("market/fees.py", b"\n", b"\n\n", "of other sources"),
        ("simulation/collect.py", b"\n", b"\n\n", "of other sources"),
        ("machine_code/code.so", b"\x7fELF", b"\x7fELG", "damaged"),
        ("machine_code/index.json", b"{", b"", "no machine code"),
        ("kernel/shipped_code.py", b'"abm"}', b'"abm", "an-instruction"}', "this one has no an-instruction"),
    ],
)
def test_other_code_is_not_run(installed: Path, tmp_path: Path, file: str, old: bytes, new: bytes, said: str) -> None:
    shutil.copytree(installed, tmp_path / "other")
    changed = tmp_path / "other" / "marketsim" / file
    changed.write_bytes(changed.read_bytes().replace(old, new, 1))
    done = called(NO_COMPILER + CALLS, tmp_path / "other")
    assert done.stdout == "28 True False\n", "as plain Python"
    assert said in done.stderr and "pip install 'marketsim[compile]'" in done.stderr
    assert done.stderr.count("plain Python") == 1


def test_every_package_that_compiles_is_in_the_digest() -> None:
    package = ROOT / "marketsim"
    compiling = {
        path.relative_to(package).parts[0]
        for path in package.glob("**/*.py")
        if re.search(r"^@compiled(_inline)?$", path.read_text(), re.MULTILINE)
    }
    assert compiling <= set(WITH_ENTRIES)


def test_what_a_lean_wheel_lacks_is_named_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr("marketsim.experiments.runs.simulated.find_spec", lambda name: None if name == "scipy" else there(name))
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "tiny", "--set-b", "take=0.1", "--pairs", "4", "--quiet"]) == 2
    assert capsys.readouterr().err == "this needs scipy: pip install 'marketsim[stats]'\n"
    assert not list(tmp_path.iterdir())


def test_a_lean_wheel_asks_for_no_compiler(wheel_maker: Any) -> None:
    extra = 'Requires-Dist: numba>=0.68.1; extra == "compile"\n'
    kept = ["Name: marketsim\n", "Requires-Dist: numpy>=2.0\n", extra]
    assert list(wheel_maker.leaner(["Requires-Dist: numba>=0.68.1\n", *kept, "Requires-Dist: scipy>=1.13\n"])) == kept
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package, name in wheel_maker.EXTRA_OF.items():
        assert any(one.startswith(package) for one in extras[name]), "what it leaves out is an extra's"
