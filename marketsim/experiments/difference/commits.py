"""Runs a scenario with the code of a commit: in a worktree of its own, with an environment for each set of dependencies."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from packaging.requirements import InvalidRequirement, Requirement

from marketsim.errors import InputError
from marketsim.kernel.code_store import folders
from marketsim.kernel.modes import COMPILING

PACKAGE = "marketsim"
_SECONDS_MAX = 3600.0
_BOILERPLATE = "this is a defect of marketsim"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its hash, author, day and first line."""

    sha: str
    author: str
    day: str
    subject: str

    @property
    def short(self) -> str:
        """Its first ten digits."""
        return self.sha[:10]


class CommitFailedError(Exception):
    """A commit with which the scenario cannot be run; the text says why, in one line."""


class Repository:
    """A git repository; raises InputError where there is none or git is not installed."""

    def __init__(self, folder: Path) -> None:
        try:
            self.root = Path(_git(folder, "rev-parse", "--show-toplevel").strip())
        except CommitFailedError as error:
            raise InputError(f"--repo: {folder}: {error}, give a folder in a git repository") from None

    def commit(self, revision: str, option: str) -> Commit:
        """Return the commit that a revision names; raises InputError for one that names none."""
        try:
            text = _git(
                self.root,
                "show",
                "-s",
                "--no-show-signature",
                "--format=%H%x00%an%x00%cs%x00%s",
                "--end-of-options",
                f"{revision}^{{commit}}",
            )
        except CommitFailedError:
            raise InputError(f"{option}: {revision}: names no commit in {self.root}, give a hash, a branch or a tag") from None
        return Commit(*text.strip().split("\0", 3))

    def between(self, good: Commit, bad: Commit) -> list[Commit]:
        """Return the commits after `good` up to and including `bad`, oldest first, of merges the first parents."""
        try:
            _git(self.root, "merge-base", "--is-ancestor", good.sha, bad.sha)
        except CommitFailedError:
            raise InputError(
                f"--good: {good.short} comes not before {bad.short} in the history of {self.root}, give one that does"
            ) from None
        listed = _git(self.root, "rev-list", "--reverse", "--first-parent", "--ancestry-path", f"{good.sha}..{bad.sha}").split()
        return [self.commit(sha, "--bad") for sha in listed]


class Laboratory:
    """Makes runs with the code of commits. As a context: whatever it made is gone afterwards, however it ends.

    `scenario` is the scenario's file; where it lies in the repository it is put, as it is now, in its place in each worktree
    (`of_commit`: it is taken as the commit has it), so that the files that it names are the commit's.
    """

    def __init__(
        self, repository: Repository, scenario: Path, options: Sequence[str], *, of_commit: bool, tell: Callable[[str], None]
    ) -> None:
        self._repository = repository
        self._scenario = scenario.resolve()
        self._options = list(options)
        self._of_commit = of_commit
        self._tell = tell
        self._environments: dict[str, Path | str] = {}
        self._trusted: set[str] = set()
        root = repository.root.resolve()
        self._inside = self._scenario.relative_to(root) if self._scenario.is_relative_to(root) else None

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="marketsim-bisect-"))
        self._cache = self.folder / "cache"
        known = folders()[0]
        if COMPILING and known.is_dir():  # compiled code of sources that did not change is used again, and none is left among the user's
            shutil.copytree(known, self._cache, copy_function=_link)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for tree in sorted(self.folder.glob("tree-*")):
            subprocess.run(
                ["git", "-C", str(self._repository.root), "worktree", "remove", "--force", str(tree)], capture_output=True, check=False
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run(["git", "-C", str(self._repository.root), "worktree", "prune"], capture_output=True, check=False)

    def run(self, commit: Commit, record: str) -> Path:
        """Run the scenario with a commit's code and return the results folder; raises CommitFailedError."""
        results = self.folder / f"results-{commit.short}-{record}"
        if results.is_dir():
            return results
        tree = self._tree(commit)
        python, package = self._python(tree), _package_in(tree)
        inherited = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
        paths = [str(package)] if package is not None else []
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, *inherited]), "MARKETSIM_CACHE": str(self._cache)}
        if package is not None and python not in self._trusted:
            said = _run([python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)"], tree, environment).strip()
            if not Path(said).resolve().is_relative_to(package.resolve()):
                raise CommitFailedError(f"{said} is imported in place of the commit's own {PACKAGE}")
            self._trusted.add(python)
        command = [
            python,
            "-m",
            PACKAGE,
            "run",
            str(self._placed(tree)),
            "--out",
            str(results),
            "--no-figures",
            "--quiet",
            "--record",
            record,
        ]
        _run([*command, *self._options], tree, environment)
        if not (results / "summary.json").is_file():
            raise CommitFailedError("the run left no summary.json")
        return results

    def _tree(self, commit: Commit) -> Path:
        tree = self.folder / f"tree-{commit.short}"
        if not tree.is_dir():
            _git(self._repository.root, "worktree", "add", "--detach", "--force", str(tree), commit.sha)
        return tree

    def _placed(self, tree: Path) -> Path:
        if self._inside is None:
            return self._scenario
        place = tree / self._inside
        if not self._of_commit:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._scenario, place)
        elif not place.is_file():
            raise CommitFailedError(f"it has no {self._inside}")
        return place

    def _python(self, tree: Path) -> str:
        """The interpreter for a tree's dependencies: this one where they are installed here, else one of a venv, made once."""
        wanted = _requirements(tree)
        lacking = [text for text in wanted if not _is_installed(text)]
        if not lacking:
            return sys.executable
        key = hashlib.sha256("\n".join(sorted(wanted)).encode()).hexdigest()[:12]
        made = self._environments.get(key)
        if made is None:
            made = self._environments[key] = self._new_environment(key, lacking)
        if isinstance(made, str):
            raise CommitFailedError(made)
        return str(made)

    def _new_environment(self, key: str, lacking: Sequence[str]) -> Path | str:
        folder = self.folder / f"environment-{key}"
        self._tell(f"installing {', '.join(lacking)} into an environment of its own")
        try:
            _run([sys.executable, "-m", "venv", "--system-site-packages", str(folder)], self.folder, dict(os.environ))
            python = folder / "bin" / "python"
            # what this interpreter's own environment has is not the system's: both are there for the new one
            site = next(folder.glob("lib/python*/site-packages"))
            here = [path for path in sys.path if path.endswith("site-packages")]
            (site / "here.pth").write_text("\n".join(here) + "\n")
            _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *lacking], self.folder, dict(os.environ))
        except CommitFailedError as error:
            return f"its dependencies ({', '.join(lacking)}) cannot be installed: {error}"
        return python


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _package_in(tree: Path) -> Path | None:
    """The folder from which a tree's marketsim is imported, None where it holds none."""
    return next((place for place in (tree, tree / "src") if (place / PACKAGE / "__init__.py").is_file()), None)


def _requirements(tree: Path) -> list[str]:
    try:
        project: Any = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
        return [str(text) for text in project.get("dependencies", [])]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError, TypeError) as error:
        raise CommitFailedError(f"its pyproject.toml cannot be read: {error}") from None


def _is_installed(text: str) -> bool:
    try:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate():
            return True
        return wanted.name == PACKAGE or wanted.specifier.contains(version(wanted.name), prereleases=True)
    except (InvalidRequirement, PackageNotFoundError):
        return False


def _git(folder: Path, *arguments: str) -> str:
    return _run(["git", "-C", str(folder), *arguments], None, {**os.environ, "GIT_OPTIONAL_LOCKS": "0"})


def _run(command: Sequence[str], folder: Path | None, environment: dict[str, str]) -> str:
    """Run a program and return what it prints; raises CommitFailedError with the last line of what it complains of."""
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", timeout=_SECONDS_MAX, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError:
        raise CommitFailedError(f"there is no program {command[0]}") from None
    except subprocess.TimeoutExpired:
        raise CommitFailedError(f"{Path(command[0]).name} took longer than {_SECONDS_MAX:g} s") from None
    if done.returncode == 130:
        raise KeyboardInterrupt
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith(_BOILERPLATE)]
        said = lines or [f"exit code {done.returncode}"]
        raise CommitFailedError(said[-1].strip()[:300])
    return done.stdout


def read_outcome(folder: Path) -> dict[str, Any]:
    """Return the summary in a results folder of a commit; raises CommitFailedError."""
    try:
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_bytes())
    except (OSError, ValueError) as error:
        raise CommitFailedError(f"its summary.json cannot be read: {error}") from None
    return summary
