"""The two sides of a comparison: a scenario that is run, or a results folder that a run has written."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import marketsim
from marketsim import interrupts
from marketsim.errors import InputError
from marketsim.experiments.difference.origin import code, other_than_here
from marketsim.experiments.runs.files_read import Contents, user_code
from marketsim.export.results import MANIFEST, SCHEMA, read_json
from marketsim.recording.trail import RunTrail, read_trail, trail_of
from marketsim.scenario import load_scenario, scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.simulation.play import Play, prepare, versions

Progress = Callable[[int, int], None]
"""Called with (blocks done, blocks in all)."""


@dataclass
class Side:
    """One of two runs. `scenario` is None where a folder's files are not there any more; `unlike` says in words why the run cannot be made
    again here, empty where it can."""

    label: str
    seed: int
    effective: dict[str, Any] = field(repr=False)
    blocks: int
    fingerprint: str
    trail: RunTrail | None = field(repr=False)
    scenario: Scenario | None = field(repr=False)
    folder: Path | None
    versions: Mapping[str, Any] = field(repr=False)
    code: str
    unlike: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def block_ms(self) -> int:
        """Length of a block in milliseconds."""
        if self.scenario is not None:
            return self.scenario.block_ms
        return int(read_json(self.folder or Path(), MANIFEST)["block_ms"])

    def place_of(self, where: tuple[str | int, ...]) -> str:
        """Return the place of a part of the scenario in its file, `file:line:col`; of a folder its manifest's key."""
        dotted = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" if at else key for at, key in enumerate(where))
        if self.folder is not None or self.scenario is None:
            return f"{self.folder / MANIFEST if self.folder else self.label}: scenario.{dotted}"
        line = self.scenario.refusal(where, "here").lines[0]
        place = line.split(": ", 1)[0]
        return place if place.count(":") >= 2 else f"{self.label}: {dotted}"


def side_of(path: Path, overrides: Sequence[str] = (), seed: int | None = None, progress: Progress | None = None) -> Side:
    """Return the side of a scenario file, which is run, or of a results folder; raises InputError with located lines."""
    if path.is_dir():
        if overrides or seed is not None:
            option = "--set" if overrides else "--seed"
            raise InputError(f"{path}: {option}: a finished run cannot be changed, give the scenario file")
        return side_of_folder(path)
    return side_of_scenario(load_scenario(path, overrides), seed, " ".join([str(path), *overrides]), progress)


def side_of_scenario(scenario: Scenario, seed: int | None = None, label: str | None = None, progress: Progress | None = None) -> Side:
    """Return the side of a scenario: it is run here, for its trail alone."""
    number = scenario.seed if seed is None else seed
    began = time.perf_counter()
    market = prepare(scenario, number)
    lean = scenario.model_copy(update={"record": "summary"})
    play = Play(lean, market, number, trail=True, progress=progress)
    play.finish()
    trail = trail_of(play.clock.chain.trail, scenario.horizon_blocks)
    effective, name = scenario.effective(), label or scenario.name
    seconds = time.perf_counter() - began
    return Side(
        name, number, effective, scenario.horizon_blocks, play.fingerprint(), trail, scenario, None, versions(), code(), (), seconds
    )  # fmt: skip


def side_of_folder(folder: Path) -> Side:
    """Return the side of a results folder; raises InputError where it is none or damaged."""
    manifest = read_json(folder, MANIFEST)
    if manifest.get("schema") != SCHEMA:
        raise InputError(
            f"{folder / MANIFEST}:1:1: schema: {manifest.get('schema')!r}, expected {SCHEMA!r}, what `marketsim run` has written"
        )
    try:
        blocks, seed, effective = int(manifest["blocks"]), int(manifest["seed"]), dict(manifest["scenario"])
        recorded, fingerprint = dict(manifest["versions"]), str(manifest["fingerprint"])
        origin = manifest.get("origin")
        seconds = float(manifest["timing"]["wall_seconds"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{folder / MANIFEST}: damaged ({error}), expected what `marketsim run` has written") from None
    unlike = other_than_here(recorded, origin)
    base = Path(origin["folder"]) if isinstance(origin, dict) and "folder" in origin else Path()
    scenario: Scenario | None = None
    try:
        scenario = scenario_from_mapping(effective, base, name=str(folder / MANIFEST))
    except InputError as error:
        unlike.append(f"a scenario that is not accepted here ({error.lines[0]})")
    if scenario is not None and isinstance(origin, dict):
        now = Contents(base).digest(effective)
        if now != origin.get("contents", now):
            unlike.append(f"other contents of the files that it read in {base}")
    kept = str(origin.get("code")) if isinstance(origin, dict) else "unknown"
    return Side(
        str(folder), seed, effective, blocks, fingerprint, read_trail(folder, blocks), scenario, folder, recorded, kept, unlike, seconds
    )  # fmt: skip


def hold_both(a: Side, b: Side) -> bool:
    """Return whether one process can play both: not where they call classes or scripts of one name with other contents."""
    if a.scenario is None or b.scenario is None:
        return True
    return not clash(a.scenario, b.scenario)


def clash(a: Scenario, b: Scenario) -> bool:
    """Return whether two scenarios call users' code by one name that is not the same code: Python keeps one module of a name."""
    effective = a.effective(), b.effective()
    if not set(user_code(effective[0])) & set(user_code(effective[1])):
        return False
    return Contents(a.base).digest(effective[0]) != Contents(b.base).digest(effective[1])


def sides_of(
    paths: tuple[Path, Path],
    overrides: tuple[Sequence[str], Sequence[str]],
    seeds: tuple[int | None, int | None],
    scratch: Path,
    progress: Callable[[str], AbstractContextManager[Progress | None]],
) -> tuple[Side, Side]:
    """Return both sides of a comparison. Two scenarios whose classes have one name and not one content are run in processes of their own,
    with their events, in `scratch`. Raises InputError with located lines.
    """
    files = [path for path in paths if not path.is_dir()]
    apart = len(files) == 2 and clash(*(load_scenario(path, changes) for path, changes in zip(paths, overrides, strict=True)))
    made = []
    for name, path, changes, seed in zip("AB", paths, overrides, seeds, strict=True):
        if apart:
            folder = scratch / name
            options = [part for change in changes for part in ("--set", change)] + ([] if seed is None else ["--seed", str(seed)])
            run_apart(["run", str(path), "--out", str(folder), "--record", "everything", "--no-figures", "--quiet", *options], Path.cwd())
            made.append(replace(side_of_folder(folder), label=" ".join([str(path), *changes])))
            continue
        with progress(f"{name} {path.name}") as show:
            made.append(side_of(path, changes, seed, show))
    return made[0], made[1]


def run_apart(command: Sequence[str], folder: Path, environment: Mapping[str, str] = MappingProxyType({})) -> None:
    """Run a command of marketsim in a process of its own; raises InputError with what it complains of."""
    package = str(Path(marketsim.__file__).resolve().parent.parent)
    before = [path for path in (environment.get("PYTHONPATH"), package, os.environ.get("PYTHONPATH")) if path]
    every = {**os.environ, **environment, "PYTHONPATH": os.pathsep.join(before)}
    done = subprocess.run(
        [sys.executable, "-m", "marketsim", *command], cwd=folder, env=every, capture_output=True, text=True, errors="replace", check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode == interrupts.EXIT:
        raise KeyboardInterrupt
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise InputError([f"marketsim {command[0]} failed:", *lines[-8:]])


def changed_keys(a: Any, b: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Return what differs between two plain values, by dotted path, in order; None for what one of them does not have."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return [
            each for key in dict.fromkeys([*a, *b]) for each in changed_keys(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [each for at, (one, other) in enumerate(zip(a, b, strict=True)) for each in changed_keys(one, other, f"{path}.{at}")]
    return [] if a == b else [(path, a, b)]
