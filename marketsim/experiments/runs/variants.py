"""Gives comparisons and searches their summaries: scenario variants that are run, folders that were."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from marketsim.errors import InputError
from marketsim.experiments.runs.execute import LocalPool, Runner, RunTask, run_key

Summary = dict[str, Any]
_TIMEOUT_SECONDS = 3600.0


class RunFailedError(Exception):
    """A run of a comparison or search did not finish; the text names the variant, the seed and the reason."""


@dataclass(frozen=True)
class Variant:
    """A scenario as plain data; `base` is the folder of the files it names."""

    label: str
    mapping: dict[str, Any] = field(repr=False)
    base: str

    def effective(self) -> dict[str, Any]:
        """The scenario with its defaults; raises InputError."""
        from marketsim.scenario import scenario_from_mapping

        return scenario_from_mapping(self.mapping, self.base, name=self.label).effective()

    def changed(self, label: str, setting: Mapping[str, Any]) -> Variant:
        """The same with other values at some paths, not checked yet; raises PathError for a path that names nothing."""
        from marketsim.scenario import apply_override

        mapping = self.mapping
        for path, value in setting.items():
            mapping = apply_override(mapping, path, value, Path(self.base))
        return Variant(label, mapping, self.base)


@dataclass(frozen=True)
class Recorded:
    """Finished runs of one scenario, by seed."""

    label: str
    by_seed: dict[int, Summary] = field(repr=False)


Arm = Variant | Recorded


class Runs(Protocol):
    """Makes or finds the summaries of arms × seeds, in that order."""

    def summaries(self, arms: Sequence[Arm], seeds: Sequence[int]) -> list[list[Summary]]:
        """One list per arm, one summary per seed; raises RunFailedError."""
        ...


class SerialRuns:
    """Runs in this process, one after the other."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def summaries(self, arms: Sequence[Arm], seeds: Sequence[int]) -> list[list[Summary]]:
        """One list per arm, one summary per seed."""
        return [[self._one(arm, seed) for seed in seeds] for arm in arms]

    def _one(self, arm: Arm, seed: int) -> Summary:
        if isinstance(arm, Recorded):
            return arm.by_seed[seed]
        return self._runner(arm.mapping, arm.base, seed)


class PooledRuns:
    """Runs in processes of this machine; finished summaries stay in `folder` as one file a run."""

    def __init__(self, runner: Runner, folder: Path, workers: int) -> None:
        self._folder = folder
        self._pool = LocalPool(runner, folder, workers, _TIMEOUT_SECONDS)

    def summaries(self, arms: Sequence[Arm], seeds: Sequence[int]) -> list[list[Summary]]:
        """One list per arm, one summary per seed; raises RunFailedError when a run fails."""
        tasks = {(i, seed): self._task(i, arm, seed) for i, arm in enumerate(arms) if isinstance(arm, Variant) for seed in seeds}
        failed = [(task, outcome) for task, outcome in self._pool.outcomes(list(tasks.values())) if outcome.status != "ok"]
        if failed:
            # The first by arm and seed, whichever ended first.
            task, outcome = min(failed, key=lambda one: (one[0].point, one[0].seed))
            raise RunFailedError(f"{arms[task.point].label}, seed {task.seed}: {outcome.status}: {outcome.message}")
        return [
            [
                arm.by_seed[seed] if isinstance(arm, Recorded) else json.loads((self._folder / f"{tasks[i, seed].key}.json").read_bytes())
                for seed in seeds
            ]
            for i, arm in enumerate(arms)
        ]

    def close(self) -> None:
        """Stop the processes."""
        self._pool.close()

    def _task(self, index: int, arm: Variant, seed: int) -> RunTask:
        content = {"mapping": arm.mapping, "base": arm.base, "arm": index}
        return RunTask(run_key(content, seed, ""), index, 0, seed, arm.mapping, arm.base)


def read_arm(path: Path, overrides: Sequence[str], label: str) -> Arm:
    """A scenario file with overrides, or a folder of finished runs; raises InputError with located lines."""
    if path.is_dir():
        if overrides:
            raise InputError(f"{path}: --set: finished runs cannot be changed, give the scenario file")
        return read_recorded(path, label)
    from marketsim.experiments.runs.scenario_source import ScenarioFiles
    from marketsim.scenario import scenario_from_mapping
    from marketsim.scenario.overrides import split_override
    from marketsim.scenario.shipped import found_file

    path = found_file(path)
    variant = Variant(label, ScenarioFiles().read(path), str(path.parent))
    scenario_from_mapping(variant.mapping, variant.base, overrides, name=label)  # errors in them are of the command line
    return variant.changed(label, dict(map(split_override, overrides)))


def read_recorded(folder: Path, label: str) -> Recorded:
    """All finished runs below a folder, which must be of one scenario; raises InputError."""
    found: dict[int, Summary] = {}
    names: set[str] = set()
    for file in sorted(folder.rglob("summary.json")):
        try:
            summary = json.loads(file.read_bytes())
            seed = int(summary["seed"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{file}: seed: not a run's summary, give folders written by `run`") from None
        names.add(str(summary.get("scenario")))
        if seed in found and found[seed].get("fingerprint") != summary.get("fingerprint"):
            raise InputError(f"{file}: seed: two different runs have seed {seed}, give a folder of one scenario")
        found[seed] = summary
    if not found:
        raise InputError(f"{folder}: summary.json: no finished run in this folder, give one written by `run`")
    if len(names) > 1:
        raise InputError(f"{folder}: scenario: runs of {', '.join(sorted(names))}, give a folder of one scenario")
    return Recorded(label, found)
