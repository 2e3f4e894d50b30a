"""Begins a folder of one's own: a market, a provider, a strategy with its test, a sweep, a notebook; and copies what is shipped."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from marketsim.errors import InputError
from marketsim.export.folder import written_whole
from marketsim.face.files import docs_of, schema_of
from marketsim.scenario.shipped import shipped_folder, shipped_names

TEMPLATES = Path(__file__).parent / "project"
"""The files that a new folder begins with."""


def init(folder: str | os.PathLike[str] = ".") -> Path:
    """Write a scenario with its schema, a provider file, a sweep, a strategy with a test, a notebook and a README into a folder; return it.

    Raises InputError where the folder has something in it.
    """
    target = Path(folder)
    here = target.resolve() == Path.cwd()
    if target.is_dir() and any(target.iterdir()):
        raise InputError(f"{target}: the folder is not empty, give a new or an empty one")
    if here:  # a folder that somebody stands in cannot be exchanged for another
        _fill(target)
        return target
    with written_whole(target) as fresh:
        _fill(fresh)
    return target


def _fill(folder: Path) -> None:
    for file in sorted(TEMPLATES.iterdir()):
        if file.is_file():
            shutil.copyfile(file, folder / file.name.removesuffix(".txt"))
    schema = folder / "schema"
    schema.mkdir()
    for kind in ("scenario", "provider", "sweep"):
        (schema / f"{kind}.json").write_text(schema_of(kind), "utf-8")
    (schema / "scenario.md").write_text(docs_of("scenario"), "utf-8")


def scenarios() -> list[str]:
    """Return the names of the scenarios and sweeps that come with marketsim; `run` and `load_scenario` take them. Raises nothing.

    >>> import marketsim as ms
    >>> "baseline" in ms.scenarios()
    True
    """
    return shipped_names()


def copy_scenario(name: str, folder: str | os.PathLike[str] = ".") -> list[Path]:
    """Copy a shipped scenario or sweep with the files that it names into a folder, and return what was written.

    Files stand to each other as they do where they come from. Raises InputError for a name that is not shipped, and where a file of the
    same name is there: nothing is written then.
    """
    root = shipped_folder()
    source = next((file.resolve() for file in (root / f"{name}.yaml", root / name) if file.is_file()), None)
    if source is None or not source.is_relative_to(root.resolve()):
        raise InputError(f"{name}: is no shipped scenario, `marketsim scenarios list` has their names")
    wanted = _with_files(source)
    target = Path(folder)
    placed = {file: target / file.relative_to(root.resolve()) for file in wanted}
    if there := [place for place in placed.values() if place.exists()]:
        raise InputError(f"{there[0]}: is there already, give another folder")
    for file, place in placed.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
        place.chmod(0o755 if place.suffix == ".sh" else 0o644)
    return list(placed.values())


def _with_files(file: Path) -> list[Path]:
    """A file and those that it names, and those that they name."""
    found, waiting = [file], [file]
    while waiting:
        one = waiting.pop()
        if one.suffix != ".yaml":
            continue
        for word in re.findall(r"[\w./-]+\.(?:yaml|csv|sh)\b", one.read_text("utf-8")):
            other = (one.parent / word).resolve()
            if other.is_file() and other not in found:
                found.append(other)
                waiting.append(other)
    return found
