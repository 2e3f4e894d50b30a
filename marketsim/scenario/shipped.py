"""Finds the scenarios, sweeps, provider files and manifests that come with marketsim."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from marketsim.errors import InputError

INSTALLED = "shipped"
"""The folder of the installed package that holds the files; in a checkout it is `scenarios/` beside the package."""


_LETTERS_MAX = 100
"""A longer word is no name of a shipped file."""


PARTS = ("providers", "sdl", "traces")
"""Folders of files that scenarios name."""


def shipped_folder() -> Path:
    """Return the folder of the shipped files: in it scenarios, and `cases/`, `providers/`, `sdl/`, `sweeps/`, `traces/`.

    Raises InputError where an installation lacks them.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / INSTALLED, package.parent / "scenarios"):
        if (folder / "tiny.yaml").is_file():
            return folder
    raise InputError(f"{package / INSTALLED}: the shipped scenarios are not there, install marketsim again")


def shipped_names() -> list[str]:
    """Return the names of the shipped scenarios and sweeps: `baseline`, `cases/seed/grace`, `sweeps/pricing`, in a fixed order."""
    return [name for name, _ in _files()]


def _files(kind: str = "") -> Iterator[tuple[str, Path]]:
    folder = shipped_folder()
    paths = [path for path in folder.rglob("*.yaml") if kind or path.relative_to(folder).parts[0] not in PARTS]
    named = {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
    yield from sorted(named.items(), key=lambda pair: (pair[0].count("/"), pair[0]))


def found_file(source: str | os.PathLike[str], kind: str = "") -> Path:
    """Return the file that a user means: a path that exists, else the shipped file of this name, else the path as it is.

    Names go without `.yaml` and without folders where one file has that name; of a `kind` (`sweeps`) only those below it.
    """
    path = Path(source)
    if len(path.name) > _LETTERS_MAX or path.exists() or path.suffix in (".yaml", ".yml") or path.is_absolute():
        return path
    name = os.fspath(source)
    files = [(known, file) for known, file in _files(kind) if known.startswith(kind)]
    exact = [file for known, file in files if known in (name, f"{kind}/{name}")]
    if exact:
        return exact[0]
    # Two cases may have one name under two rule sets: then it takes the longer name.
    ending = [(known, file) for known, file in files if known.endswith(f"/{name}")]
    if len(ending) > 1:
        raise InputError(f"{name}: {' and '.join(known for known, _ in ending)} have this name, give one of them")
    if ending:
        return ending[0][1]
    if len(path.parts) == 1 and not path.suffix:
        raise InputError(f"{name}: there is no such file and no shipped scenario of this name, `marketsim scenarios list` has them")
    return path
