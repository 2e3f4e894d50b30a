"""The folder of a sweep: finished runs, failures and the manifest, each written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketsim.errors import InputError
from marketsim.experiments.runs.execute import Outcome, RunTask, summary_bytes, write_atomically
from marketsim.experiments.sweep.file import SweepFile

MANIFEST = "manifest.json"
_RUNS = "runs"
_TEMPORARY = ".tmp-"
_KIND = "marketsim sweep"


@dataclass(frozen=True)
class SweepFolder:
    """A folder that belongs to one sweep."""

    root: Path

    @property
    def runs(self) -> Path:
        """Where the finished runs lie, one file each, named by resume key."""
        return self.root / _RUNS

    def finished(self, key: str) -> bool:
        """Whether the run with this key is on disk."""
        return (self.runs / f"{key}.json").is_file()

    def summary(self, key: str) -> dict[str, Any] | None:
        """The summary of a finished run, None when there is none."""
        path = self.runs / f"{key}.json"
        if not path.is_file():
            return None
        summary: dict[str, Any] = json.loads(path.read_bytes())
        return summary

    def record_failure(self, task: RunTask, outcome: Outcome) -> None:
        """Keep what became of a run that gave no summary; `--resume` tries it again."""
        content = {"status": outcome.status, "message": outcome.message}
        write_atomically(self.runs / f"{task.key}.failed.json", summary_bytes(content))

    def failure(self, key: str) -> tuple[str, str] | None:
        """Status and message of a failed run, None when it did not fail."""
        path = self.runs / f"{key}.failed.json"
        if not path.is_file():
            return None
        content = json.loads(path.read_bytes())
        return content["status"], content["message"]

    def forget(self, key: str) -> None:
        """Remove a finished run."""
        (self.runs / f"{key}.json").unlink(missing_ok=True)

    def keep_only(self, keys: Iterable[str]) -> int:
        """Remove runs that the finished sweep does not use (an edited file or other code made them); how many there were."""
        kept = set(keys)
        others = [path for path in self.runs.iterdir() if path.name.split(".")[0] not in kept]
        for path in others:
            path.unlink(missing_ok=True)
        return len(others)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write `manifest.json`, readable and with sorted keys."""
        text = json.dumps({"kind": _KIND, **manifest}, indent=1, sort_keys=True, default=str)
        write_atomically(self.root / MANIFEST, text.encode() + b"\n")


def open_sweep_folder(out: Path, sweep: SweepFile, *, resume: bool) -> SweepFolder:
    """Make or reopen a sweep's folder; raises InputError when it holds something else, and touches nothing then.

    A sweep is the same after an edit if it has the same name, scenario and factors: levels, replications and metrics may differ.
    With `resume` a missing or empty folder starts afresh, temporary files of a killed process are swept away
    and failed runs are forgotten so that they are tried again.
    """
    folder = SweepFolder(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file, a folder is needed")
    content = [path for path in out.iterdir() if not path.name.startswith(_TEMPORARY)] if out.is_dir() else []
    if content and not resume:
        raise InputError(f"--out: {out} is not empty; use --resume to go on with its sweep, or name another folder")
    if content and (holds := _other_content(out, sweep)) is not None:
        raise InputError(f"--out: {out} holds {holds}; name another folder")
    folder.runs.mkdir(parents=True, exist_ok=True)
    for place in (out, folder.runs, out / "figures"):
        if place.is_dir():
            for leftover in place.glob(f"{_TEMPORARY}*"):
                leftover.unlink(missing_ok=True)
    for failed in folder.runs.glob("*.failed.json"):
        failed.unlink()
    return folder


def _other_content(out: Path, sweep: SweepFile) -> str | None:
    """What a folder holds that is not this sweep; None where it is, or is nothing yet."""
    # Between the making of `runs` and the first manifest a kill leaves an empty `runs` and nothing else.
    if [path.name for path in out.iterdir() if not path.name.startswith(_TEMPORARY)] == [_RUNS] and not any((out / _RUNS).iterdir()):
        return None
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
        if manifest["kind"] != _KIND:
            return "something other than a sweep"
        before = manifest["sweep"]
        found = (before["name"], before["scenario"], [factor["name"] for factor in before["factors"]])
    except (OSError, ValueError, KeyError, TypeError):
        return "something other than a sweep"
    if found == (sweep.name, sweep.scenario, [factor.name for factor in sweep.factors]):
        return None
    return f"another sweep, {found[0]} of {found[1]} with the factors {', '.join(map(str, found[2]))}"
