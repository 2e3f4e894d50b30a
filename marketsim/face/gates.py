"""A gate on the outcomes of a market, capsules of runs, and the commit that moved an outcome, from Python."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from marketsim.errors import InputError
from marketsim.experiments.runs.execute import usable_cores, write_atomically
from marketsim.face.finding import Finding

if TYPE_CHECKING:
    from marketsim.experiments.runs.variants import Runs

PathLike = str | os.PathLike[str]
Tell = Callable[[str], None]
"""Called with a line each time that something long has come further."""


def _silent(_: str) -> None:
    return


def check(
    baseline: PathLike,
    *,
    alpha: float | None = None,
    power: float | None = None,
    budget: float | None = None,
    unpaired: bool = False,
    exact: bool = False,
    junit: PathLike | None = None,
    markdown: PathLike | None = None,
    workers: int | None = None,
    tell: Tell | None = None,
) -> Finding:
    """Hold the present code and scenarios to a baseline of outcomes that `make_baseline` wrote; `holds` says whether the gate is green.

    `baseline` is its file. `alpha` is how often a shift of the margin may pass and `power` how often no shift must (the baseline's without
    them). `budget` is the most time for runs in seconds, `unpaired` plans with the spreads of independent runs, `exact` fails as soon as a
    fingerprint differs. `junit` and `markdown` are files for the verdicts. `tell` gets a line now and then. Raises InputError for a file
    that is no baseline, and for a scenario or metric that is gone; RunFailedError for a run that fails.
    """
    from marketsim.experiments.gate.baseline import read_baseline
    from marketsim.experiments.gate.check import plan_gate, run_gate
    from marketsim.experiments.gate.report import gate_junit, gate_lines, gate_markdown

    for name, value, low, high in (("alpha", alpha, 0.0, 0.5), ("power", power, 0.5, 1.0)):
        if value is not None and not low < value < high:
            raise InputError(f"{name}: {value:g} is not possible, give one between {low:g} and {high:g}")
    if budget is not None and budget <= 0:
        raise InputError(f"budget: {budget:g} is no time, give seconds above 0")
    file, count = Path(baseline), workers or usable_cores()
    known = read_baseline(file)
    plan = plan_gate(known, file, alpha=alpha or known.alpha, power=power or known.power, unpaired=unpaired)
    with _runs([metric.name for metric in known.metrics], count) as runs:
        found = run_gate(plan, runs, at_once=count, budget=budget, exact=exact, tell=tell or _silent)
    if junit is not None:
        write_atomically(Path(junit), gate_junit(found))
    if markdown is not None:
        write_atomically(Path(markdown), gate_markdown(found).encode())
    return Finding(found.as_json(), gate_lines(found), holds=found.word.is_green, found=found)


def make_baseline(
    out: PathLike,
    *scenarios: PathLike,
    metrics: Sequence[str] = (),
    overrides: Sequence[str] = (),
    reason: str = "",
    alpha: float | None = None,
    power: float | None = None,
    seed: int = 1,
    seeds: int | None = None,
    workers: int | None = None,
    tell: Tell | None = None,
) -> Finding:
    """Run scenarios and write the baseline that `check` holds later ones to; `str()` says what changed against the one that stood there.

    `out` is its file, `scenarios` scenario files. `metrics` are texts such as `"revenue.total:2%"` or `"fill_rate:0.01:equivalent"`, those
    of the old baseline without them. `overrides` (`"path=value"`) and the `reason` are kept in it; `seed` is the first and `seeds` how many
    (as many as are needed without it). `alpha`, `power` and `tell` as for `check`. Raises InputError for what cannot be run or measured.
    """
    from marketsim.experiments.gate.baseline import baseline_bytes, read_baseline
    from marketsim.experiments.gate.check import changes, refuse_unknown, scenario_arm
    from marketsim.experiments.gate.check import make_baseline as made_of
    from marketsim.experiments.gate.gate_metric import parse_gate_metric

    target = Path(out)
    old = read_baseline(target) if target.exists() else None
    if not metrics and old is None:
        raise InputError(f"metrics: is missing, and there is no {target} to take the metrics from; give e.g. 'revenue.total:2%'")
    asked = [parse_gate_metric(text) for text in metrics] or (old.asked if old is not None else [])
    names = [one.name for one in asked]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"metrics: {twice[0]} is given twice")
    if not scenarios:
        raise InputError("scenarios: is missing, give at least one scenario file")
    files = dict.fromkeys(Path(scenario) for scenario in scenarios)
    arms = [(file, tuple(overrides), scenario_arm(file, list(overrides))) for file in files]
    refuse_unknown(asked, [arm for _, _, arm in arms], "metrics")
    with _runs(names, workers or usable_cores()) as runs:
        made = made_of(
            arms,
            asked,
            runs,
            target.parent,
            alpha=alpha or (old.alpha if old else 0.05),
            power=power or (old.power if old else 0.9),
            first_seed=seed,
            seeds=seeds,
            reason=reason,
            tell=tell or _silent,
        )
    lines = ["new baseline"] if old is None else changes(old, made) or ["nothing changes"]
    content = baseline_bytes(made)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content)
    return Finding(made, [f"{target}: {line}" for line in lines], found=made)


def check_gate(*, gates: int = 1000, tell: Tell | None = None) -> Finding:
    """Try how often a gate errs on the stored replications, as `marketsim check selftest` does; `holds` says whether as promised.

    `gates` is how many gates stand behind each line, `tell` as for `check`. Raises InputError for fewer than 20 gates.
    """
    from marketsim.experiments.gate.selftest import selftest, stored

    if gates < 20:
        raise InputError(f"gates: {gates} are too few to count errors, give at least 20")
    found = selftest(stored(), gates, tell or _silent)
    return Finding(found.as_json(), found.lines(), holds=found.holds, found=found)


@contextmanager
def _runs(metrics: list[str], workers: int) -> Iterator[Runs]:
    """Where runs are made."""
    from marketsim.experiments.runs.simulated import runner_for
    from marketsim.experiments.runs.variants import PooledRuns

    with tempfile.TemporaryDirectory(prefix="marketsim-check-") as scratch:
        runs = PooledRuns(runner_for(metrics), Path(scratch), workers)
        try:
            yield runs
        finally:
            runs.close()


def make_capsule(source: PathLike, out: PathLike, *, replace: bool = False) -> Path:
    """Put a run or a sweep into one file: scenario, contents that it read, seeds, versions, outputs with their hashes; return the file.

    `source` is the folder of a run or a sweep, or a scenario or sweep file, which is run first; `out` the capsule, which may be written
    over with `replace`. Raises InputError where one is there already, and for what is no run.
    """
    from marketsim.experiments.difference import capsule

    target = Path(out)
    if target.is_dir():
        raise InputError(f"{target}: is a folder, give the name of a file")
    if target.exists() and not replace:
        raise InputError(f"{target}: is there already, give another name or replace=True")
    capsule.save_capsule(target, capsule.make_capsule(Path(source)))
    return target


def verify_capsule(
    file: PathLike, *, workers: int | None = None, anyway: bool = False, code: bool = True, tell: Tell | None = None
) -> Finding:
    """Make a capsule's run or sweep again and compare every byte of its outputs; `holds` says whether all agree.

    `anyway` makes it again also where other versions are installed; `code=False` refuses one that brings classes or scripts of its own,
    which would be run. `tell` gets a line now and then. Raises InputError for what is no capsule.
    """
    from marketsim.experiments.difference import capsule

    found = capsule.verify_capsule(Path(file), workers=workers, anyway=anyway, allow_code=code, tell=tell or _silent)
    return Finding(found.as_json(), capsule.verdict_lines(Path(file), found), holds=found.agrees, found=found)


def bisect(
    scenario: PathLike,
    good: str,
    bad: str = "HEAD",
    *,
    repo: PathLike | None = None,
    metric: str | None = None,
    event: str | None = None,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    of_commit: bool = False,
    tell: Tell | None = None,
) -> Finding:
    """Find the commit that moved an outcome, and the first event that it changed.

    `scenario` is run with the code of each commit tried between `good` and `bad` of the git repository `repo` (the scenario's without it).
    `metric` (a number of the summary) or `event` (how it begins) say what is looked at, else everything that a fingerprint knows.
    `overrides` are texts `"path=value"`, `of_commit` takes the scenario as each commit has it. `tell` gets a line now and then. Raises
    InputError for what is no scenario, repository or commit.
    """
    from marketsim.experiments.difference.bisect import bisect as search
    from marketsim.experiments.difference.bisect import bisection_lines, read_criterion
    from marketsim.experiments.difference.commits import Laboratory, Repository

    file = Path(scenario)
    if not file.is_file():
        raise InputError(f"{file}: no such file, expected a scenario")
    criterion = read_criterion(metric, event)
    repository = Repository(Path(repo) if repo is not None else file.resolve().parent)
    ends = repository.commit(good, "good"), repository.commit(bad, "bad")
    options = [] if seed is None else ["--seed", str(seed)]
    options += [part for setting in overrides for part in ("--set", setting)]
    with Laboratory(repository, file, options, of_commit=of_commit, tell=tell or _silent) as laboratory:
        found = search(repository, laboratory, str(file), *ends, criterion, tell or _silent)
    return Finding(found.as_json(), bisection_lines(found), found=found)


__all__ = ["bisect", "check", "check_gate", "make_baseline", "make_capsule", "verify_capsule"]
