"""Finds the commit that moved an outcome: by halving the history between a good and a bad one, and by the diff of the two around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

from marketsim.errors import InputError
from marketsim.experiments.difference.commits import Commit, CommitFailedError, Laboratory, Repository, read_outcome
from marketsim.experiments.difference.find import FirstDifference, first_difference
from marketsim.experiments.difference.recorded import events_named
from marketsim.experiments.difference.report import difference_lines
from marketsim.experiments.difference.sides import side_of_folder
from marketsim.export.results import read_record
from marketsim.metrics.expressions import Expression, ExpressionError, parse_expression
from marketsim.metrics.paths import OutcomeError, bracketed, exact_at


@dataclass(frozen=True)
class Criterion:
    """What is looked at: a metric, the events that a text names, or, with neither, everything that a fingerprint knows."""

    metric: Expression | None = None
    event: str = ""

    @property
    def record(self) -> str:
        """What a run must keep for it."""
        return "everything" if self.event else "summary"

    def outcome(self, folder: Path) -> Any:
        """Return what a run gave; raises CommitFailedError where it cannot be told."""
        summary = read_outcome(folder)
        if self.event:
            try:
                return events_named(read_record(folder), self.event)
            except InputError as error:
                raise CommitFailedError(error.lines[0]) from None
        if self.metric is None:
            return str(summary.get("fingerprint"))
        try:
            paths = dict(zip(self.metric.names, self.metric.paths, strict=True))
            return self.metric.value({name: exact_at(summary, path) for name, path in paths.items()})
        except (ExpressionError, OutcomeError) as error:
            raise CommitFailedError(str(error)) from None

    def text(self, outcome: Any) -> str:
        """Return an outcome as one reads it."""
        if self.event:
            return f"{len(outcome)} such events" + (f", the first in block {outcome[0][0]:,}" if outcome else "")
        if self.metric is None:
            return f"fingerprint {outcome}"
        return f"{self.metric.text} = {float(outcome):.10g}" if isinstance(outcome, Real) else f"{self.metric.text} = {outcome}"

    def is_good(self, outcome: Any, good: Any, bad: Any) -> bool:
        """Return whether an outcome is on the good side: of two numbers nearer to the good one, else the same."""
        numbers = all(isinstance(each, Real) and not isinstance(each, bool) for each in (outcome, good, bad))
        return abs(outcome - good) < abs(outcome - bad) if numbers else bool(outcome == good)


def read_criterion(metric: str | None, event: str | None) -> Criterion:
    """Return what is asked for on the command line; raises InputError."""
    if metric is not None and event is not None:
        raise InputError("--event: stands beside --metric, give one of the two")
    if event is not None and not event.strip():
        raise InputError("--event: is empty, give the begin of an event as `diff` prints it: lease created: web-3/17")
    if metric is None:
        return Criterion(event=event.strip() if event else "")
    try:
        expression = parse_expression(bracketed(metric), "a metric")
    except ExpressionError as error:
        raise InputError(f"--metric: {error}, give a number of summary.json such as fill_rate") from None
    if not expression.paths:
        raise InputError(f"--metric: `{metric}` names no outcome, give a number of summary.json such as fill_rate")
    return Criterion(metric=expression)


@dataclass
class Tried:
    """A commit that was run: what it gave, on which side that is, or why it was skipped."""

    commit: Commit
    verdict: str
    text: str

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"commit": self.commit.sha, "subject": self.commit.subject, "verdict": self.verdict, "outcome": self.text}


@dataclass
class Bisection:
    """What a search found: `first` is the first commit on the bad side, `suspects` are commits that cannot be told from it."""

    scenario: str
    commits: int
    tried: list[Tried] = field(default_factory=list)
    before: Commit | None = None
    first: Commit | None = None
    suspects: list[Commit] = field(default_factory=list)
    difference: FirstDifference | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values for --json."""
        return {
            "scenario": self.scenario,
            "commits": self.commits,
            "tried": [each.as_json() for each in self.tried],
            "last_good": None if self.before is None else self.before.sha,
            "first_bad": None if self.first is None else self.first.sha,
            "suspects": [each.sha for each in self.suspects],
            "difference": None if self.difference is None else self.difference.as_json(),
        }


def bisect(
    repository: Repository,
    laboratory: Laboratory,
    scenario: str,
    good: Commit,
    bad: Commit,
    criterion: Criterion,
    tell: Callable[[str], None],
) -> Bisection:
    """Return the first commit after `good` whose run is on the side of `bad`; the laboratory is open. Raises InputError where the two ends
    cannot be run or give the same.
    """
    commits = repository.between(good, bad)
    found = Bisection(scenario, len(commits))
    if not commits:
        raise InputError(f"--bad: {bad.short} is {good.short} itself, give a later commit")
    outcomes: dict[str, Any] = {}
    for option, commit in (("--good", good), ("--bad", bad)):
        tell(f"{commit.short} ({option[2:]}) is run: {commit.subject}")
        try:
            outcomes[option] = criterion.outcome(laboratory.run(commit, criterion.record))
        except CommitFailedError as error:
            raise InputError(f"{option}: {commit.short} cannot be run: {error}") from None
        found.tried.append(Tried(commit, option[2:], criterion.text(outcomes[option])))
    good_outcome, bad_outcome = outcomes["--good"], outcomes["--bad"]
    if good_outcome == bad_outcome:
        raise InputError(f"--bad: {bad.short} gives the same as {good.short}: {criterion.text(good_outcome)}")
    low, high = -1, len(commits) - 1
    skipped: set[int] = set()
    while (at := _middle(low, high, skipped)) is not None:
        commit = commits[at]
        tell(f"{commit.short} is run, {high - low - 1} left: {commit.subject}")
        try:
            outcome = criterion.outcome(laboratory.run(commit, criterion.record))
        except CommitFailedError as error:
            found.tried.append(Tried(commit, "skipped", str(error)))
            skipped.add(at)
            continue
        is_good = criterion.is_good(outcome, good_outcome, bad_outcome)
        found.tried.append(Tried(commit, "good" if is_good else "bad", criterion.text(outcome)))
        low, high = (at, high) if is_good else (low, at)
    found.before = good if low < 0 else commits[low]
    found.first = commits[high]
    found.suspects = commits[low + 1 : high]
    found.difference = _difference(laboratory, found, tell)
    return found


def _middle(low: int, high: int, skipped: set[int]) -> int | None:
    """The commit to try next: the one nearest to the middle that was not skipped; None when none is left."""
    left = [at for at in range(low + 1, high) if at not in skipped]
    middle = (low + high) / 2
    return min(left, key=lambda at: (abs(at - middle), at)) if left else None


def _difference(laboratory: Laboratory, found: Bisection, tell: Callable[[str], None]) -> FirstDifference | None:
    """The first difference of the two runs around the step, with their events."""
    assert found.before is not None and found.first is not None
    tell(f"{found.before.short} and {found.first.short} are run with their events")
    try:
        sides = [side_of_folder(laboratory.run(commit, "everything")) for commit in (found.before, found.first)]
        for side, commit in zip(sides, (found.before, found.first), strict=True):
            side.label = f"{commit.short} {commit.subject}"
        return first_difference(sides[0], sides[1])
    except (CommitFailedError, InputError) as error:
        found.tried.append(Tried(found.first, "bad", f"its first event could not be told: {error}"))
        return None


def bisection_lines(found: Bisection) -> list[str]:
    """Return what `marketsim bisect` prints."""
    assert found.first is not None
    lines = [f"{found.scenario}: {found.commits} commits, {len(found.tried)} runs"]
    width = max(len(each.verdict) for each in found.tried)
    lines += [f"  {each.verdict:<{width}}  {each.commit.short}  {each.text}" for each in found.tried]
    lines.append("")
    if found.suspects:
        lines.append("The outcome moved with one of these; those in between could not be run:")
        lines += [f"  {_commit(commit)}" for commit in [*found.suspects, found.first]]
    else:
        lines += ["The outcome moved with", f"  {_commit(found.first)}"]
    if found.difference is not None:
        lines += ["", *difference_lines(found.difference)]
    return lines


def _commit(commit: Commit) -> str:
    return f"{commit.short}  {commit.day}  {commit.author}  {commit.subject}"


__all__: Sequence[str] = ["Bisection", "Criterion", "bisect", "bisection_lines", "read_criterion"]
