"""Code about code: layers, types, style, pins, names, links, and a README that prints what the commands
print.
"""

from __future__ import annotations

import ast
import gzip
import importlib
import importlib.util
import json
import os
import pkgutil
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import pytest

import marketsim

ROOT = Path(__file__).resolve().parent.parent
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TEXTS = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ".jsonl", ".csv", ".j2", ".sdl", ""}


def tracked() -> list[Path]:
    """Return the files that belong to the repository: what git tracks, or all of a tree without git."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
        files = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        skipped = {".venv", "build", "dist", "__pycache__", ".git"}
        files = [p for p in ROOT.rglob("*") if p.is_file() and not skipped & set(p.relative_to(ROOT).parts)]
    return sorted(p for p in files if p.is_file())


FILES = tracked()
SOURCES = [p for p in FILES if p.suffix == ".py"]
PACKAGE = [p for p in SOURCES if p.relative_to(ROOT).parts[0] == "marketsim"]
PAGES = [p for p in FILES if p.suffix == ".md" and p.relative_to(ROOT).parts[0] != "tests"]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def run_tool(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# Layers, types, style


def test_layers_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == 0


def test_every_part_has_its_layer() -> None:
    """A package that the layers do not name could import anything."""
    contract = next(c for c in CONFIG["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    named = {part.strip() for line in contract["layers"] for part in line.split("|")}
    parts = {f"marketsim.{m.name}" for m in pkgutil.iter_modules(marketsim.__path__) if m.name != "__main__"}
    assert parts == named


def test_types_are_strict() -> None:
    assert CONFIG["tool"]["mypy"]["strict"]
    run_tool("mypy")


def test_style() -> None:
    run_tool("ruff", "check", "--no-cache", ".")


# Names and sentences


BANNED_MODULES = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}


@pytest.mark.parametrize("path", PACKAGE, ids=name_of)
def test_module_says_its_one_job(path: Path) -> None:
    words = set(path.relative_to(ROOT).with_suffix("").parts) | set(path.stem.split("_"))
    assert not words & BANNED_MODULES
    text = path.read_text(encoding="utf-8")
    sentence = (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0]
    assert sentence, "a module opens with a sentence that says what it is for"
    assert sentence.rstrip()[-1] in ".:?`", sentence


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_nothing_is_left_undone(path: Path) -> None:
    marks = "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "NotImplemented" + "Error"))
    found = re.findall(rf"\b(?:{marks})\b", path.read_text(encoding="utf-8"))
    assert not found


def test_classes_are_not_called_managers() -> None:
    for path in PACKAGE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                assert not re.search(r"(Manager|Helper|Utils?|Base)$", node.name), f"{name_of(path)}: {node.name}"


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(marketsim.__path__, "marketsim."):
        if found.name not in {"marketsim.__main__", "marketsim.policies"} and not found.name.endswith(".warm"):
            yield importlib.import_module(found.name)


def test_the_public_names_are_loaded_when_they_are_asked_for() -> None:
    code = (
        "import sys, marketsim\n"
        "heavy = {'numpy', 'numba', 'pandas', 'pyarrow', 'scipy', 'matplotlib', 'pydantic', 'simpy', 'ruamel', 'typer', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert set(marketsim.__all__) <= set(dir(marketsim))\n"
        "assert marketsim.run is __import__('marketsim.face.runs', fromlist=['run']).run"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    places = {name: getattr(marketsim, name) for name in marketsim.__all__}
    assert all(place.__module__.startswith("marketsim.") and place.__doc__ for place in places.values())
    with pytest.raises(AttributeError, match="no attribute 'runs'"):
        _ = marketsim.runs


def test_names_that_documents_told_users_to_import_work_with_one_warning() -> None:
    code = (
        "import marketsim\n"
        "from marketsim.policies.check_strategy import check_strategy\n"
        "from marketsim.policies.repriced_cost import RepricedCostPlusColumns\n"
        "from marketsim.policies.strategies import Refusal, RefusalCode\n"
        "assert check_strategy is marketsim.check_strategy and Refusal is marketsim.Refusal\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning") == 1 and "import check_strategy" in done.stderr


def test_what_is_exported_exists() -> None:
    for module in modules():
        names = getattr(module, "__all__", [])
        assert len(names) == len(set(names)), module.__name__
        missing = [name for name in names if not hasattr(module, name)]
        assert not missing, f"{module.__name__} exports {missing}"


# What the package needs and carries


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    matches = [re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.+!]*)", line) for line in lines if not line.startswith("#")]
    assert all(matches), "constraints.txt has lines of the form name==version and no address"
    return {re.sub(r"[-_.]+", "-", m[1]).lower(): m[2] for m in matches if m}


def test_pins_satisfy_what_the_package_asks_for() -> None:
    from packaging.requirements import Requirement

    project = CONFIG["project"]
    asked = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    for requirement in map(Requirement, asked):
        pin = pins()[re.sub(r"[-_.]+", "-", requirement.name).lower()]
        assert requirement.url is None
        assert requirement.specifier.contains(pin), f"{requirement} is pinned to {pin}"


def test_data_files_are_in_the_wheel() -> None:
    globs = CONFIG["tool"]["setuptools"]["package-data"]["marketsim"]
    data = [p for p in FILES if p.is_relative_to(ROOT / "marketsim") and p.suffix != ".py"]
    assert data
    carried = {found for glob in globs for found in (ROOT / "marketsim").glob(glob)}
    assert set(data) <= carried


def test_one_version() -> None:
    assert CONFIG["project"]["version"] == marketsim.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{marketsim.__version__}]" in changes


def test_help_imports_nothing_heavy() -> None:
    """The clock cannot be a test on a busy machine; what costs the time can."""
    code = (
        "import sys\nfrom marketsim.cli import main\ncode = main(['--help'])\n"
        "heavy = {'numpy', 'numba', 'pandas', 'pyarrow', 'scipy', 'matplotlib', 'pydantic', 'simpy'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else code)"
    )
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout
    assert time.monotonic() - begun < 10


# What must not be in the repository


def test_no_machine_and_no_registry_is_named() -> None:
    """Neither a path of somebody's machine nor where packages are fetched from, in any tracked file."""
    banned = [
        "/" + "work/",
        "/" + "root/",
        "/" + "opt/",
        "/" + r"home/[a-z]",
        "/" + r"tmp/(?:lab|bash_jobs)",
        r"\." + "library",
        "far" + r"m-[0-9a-z]",
        "file:" + "///",
        "py" + r"pi\.org",
        "python" + r"hosted\.org",
        "index" + "-url",
        r"\.\./" + "shared",
    ]
    pattern = re.compile("|".join(banned).encode())
    for path in FILES:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        found = pattern.search(data)
        assert not found, f"{name_of(path)}: {found[0].decode(errors='replace') if found else ''}"


def test_lock_files_are_ignored() -> None:
    names = {p.name for p in FILES}
    assert not names & {"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock"}


def test_results_stay_out() -> None:
    kept = [name_of(p) for p in FILES if p.is_relative_to(ROOT / "results")]
    assert all(name == "results/README.md" or name.startswith("results/example/") for name in kept)


def test_test_data_is_small() -> None:
    large = {name_of(p): p.stat().st_size for p in FILES if p.is_relative_to(ROOT / "tests" / "data")}
    assert not {name: size for name, size in large.items() if size > 300_000}


# Documents


def slug(heading: str) -> str:
    """Return the anchor that a heading gets on the pages that render Markdown."""
    text = re.sub(r"[`*]|(?<!\w)_|_(?!\w)|\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)", without_code(page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{link}: there is no such file"
        assert path.is_relative_to(ROOT), f"{link} leaves the repository"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{link}: {name_of(path)} has no such heading"


def test_every_page_is_on_the_map() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    pages = {p for p in PAGES if p.is_relative_to(ROOT / "docs")} - {index}
    assert not {name_of(p) for p in pages - linked}


def test_readme_lists_every_command() -> None:
    import typer

    from marketsim.cli import build_app

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Commands")[2].partition("\n## ")[0]
    rows = set(re.findall(r"^\| `marketsim ([a-z]+)", table, re.MULTILINE))
    commands = typer.main.get_command(build_app()).commands  # type: ignore[attr-defined]
    assert rows == set(commands)


def test_readme_and_ci_pass_the_same_tests() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^make test$", readme, re.MULTILINE)
    assert re.search(r"^make test$", ci, re.MULTILINE)
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_readme_scenario_runs(tmp_path: Path) -> None:
    from marketsim.scenario import load_scenario
    from marketsim.simulation import run

    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## A scenario")[2]
    block = re.search(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block
    path = tmp_path / "scenario.yaml"
    path.write_text(block[1], encoding="utf-8")
    summary = run(load_scenario(path)).summary
    assert summary["conserved"] is True
    assert 0.5 < summary["fill_rate"] <= 1


def printed() -> ModuleType:
    spec = importlib.util.spec_from_file_location("printed", ROOT / "docs" / "printed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def printer() -> ModuleType:
    return printed()


@pytest.mark.parametrize("page", [p for p in PAGES if "<!-- printed" in p.read_text(encoding="utf-8")], ids=name_of)
def test_pages_print_what_the_commands_print(page: Path, printer: ModuleType, tmp_path: Path) -> None:
    assert printer.commands(page), "the line before a printed block is not read"
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- printed") == len(printer.BLOCK.findall(text))
    assert printer.refreshed(page, tmp_path) == text, "run `make readme`"


def test_readme_prints_the_baseline(printer: ModuleType) -> None:
    assert printer.BASELINE in printer.commands(ROOT / "README.md")


def test_a_changed_figure_is_noticed(printer: ModuleType, tmp_path: Path) -> None:
    """The check of printed blocks can fail."""
    page = tmp_path / "page.md"
    page.write_text("<!-- printed: marketsim --version -->\n```text\nmarketsim 0\n```\n", encoding="utf-8")
    text = printer.refreshed(page, tmp_path)
    assert f"marketsim {marketsim.__version__}\n" in text
    assert text.startswith("<!-- printed: marketsim --version -->\n```text\n")
    assert text.endswith("```\n")


def test_example_is_of_this_version(tmp_path: Path) -> None:
    """The shipped example is what the tiny scenario gives today, to the fingerprint."""
    example = ROOT / "results" / "example"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "marketsim", "run", "scenarios/tiny.yaml", "--json", "--no-figures"),
            *("--record", "everything", "--out", str(tmp_path / "tiny")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONUTF8": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shipped = json.loads((example / "summary.json").read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == shipped, "run `make readme`"
    for table in ("orders.csv", "bids.csv", "leases.csv", "events.csv"):
        assert (example / table).read_bytes() == (tmp_path / "tiny" / table).read_bytes(), table
