"""The folder of a sweep: finished runs, failures and the manifest, each written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketsim.errors import InputError
from marketsim.experiments.runs.execute import Outcome, RunTask, summary_bytes, write_atomically

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

    def keep_only(self, keys: Iterable[str]) -> None:
        """Remove runs that the finished sweep does not use (an edited file or other code made them)."""
        kept = set(keys)
        for path in self.runs.iterdir():
            if path.name.split(".")[0] not in kept:
                path.unlink(missing_ok=True)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write `manifest.json`, readable and with sorted keys."""
        text = json.dumps({"kind": _KIND, **manifest}, indent=1, sort_keys=True, default=str)
        write_atomically(self.root / MANIFEST, text.encode() + b"\n")


def open_sweep_folder(out: Path, *, resume: bool) -> SweepFolder:
    """Make or reopen a sweep's folder; raises InputError when it holds something else.

    With `resume` a missing or empty folder starts afresh, temporary files of a killed process are swept away
    and failed runs are forgotten so that they are tried again.
    """
    folder = SweepFolder(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {out} is a file, a folder is needed")
    content = [path for path in out.iterdir() if not path.name.startswith(_TEMPORARY)] if out.is_dir() else []
    if content and not resume:
        raise InputError(f"--out: {out} is not empty; use --resume to go on with its sweep, or name another folder")
    if content and not _is_sweep(out):
        raise InputError(f"--out: {out} holds something other than a sweep; name another folder")
    folder.runs.mkdir(parents=True, exist_ok=True)
    for place in (out, folder.runs, out / "figures"):
        if place.is_dir():
            for leftover in place.glob(f"{_TEMPORARY}*"):
                leftover.unlink(missing_ok=True)
    for failed in folder.runs.glob("*.failed.json"):
        failed.unlink()
    return folder


def _is_sweep(out: Path) -> bool:
    # Between the making of `runs` and the first manifest a kill leaves an empty `runs` and nothing else.
    if [path.name for path in out.iterdir() if not path.name.startswith(_TEMPORARY)] == [_RUNS]:
        return True
    try:
        return bool(json.loads((out / MANIFEST).read_bytes()).get("kind") == _KIND)
    except (OSError, ValueError, AttributeError):
        return False
