"""Tells on standard error how a sweep goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

from marketsim.experiments.runs.execute import Outcome, RunTask
from marketsim.experiments.sweep.rounds import Silence, Watcher

_LINE_SECONDS = 10.0
_TELLING_RUNS = 8


def watcher_for(stream: TextIO | None = None, *, quiet: bool = False) -> Watcher:
    """The watcher that suits the stream (standard error unless given)."""
    stream = stream or sys.stderr
    if quiet:
        return Silence()
    return Bar() if stream.isatty() else Lines(stream)


class Lines:
    """One line when a round begins, every ten seconds, at each failure and at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._runs = self._done = self._failed = 0
        self._began = self._said = 0.0
        self._made = 0

    def start(self, runs: int, finished: int, workers: int) -> None:
        """Say how many runs there are."""
        self._runs, self._done, self._failed, self._made = runs, finished, 0, 0
        self._began = self._said = time.monotonic()
        kept = f", {finished} of them on disk" if finished else ""
        self._say(f"{runs} runs{kept}, {workers} workers")

    def run_done(self, task: RunTask, outcome: Outcome) -> None:
        """Count; say it now and then, and every failure."""
        self._done += 1
        self._made += 1
        if outcome.status != "ok":
            self._failed += 1
            self._say(_failure(task, outcome))
        now = time.monotonic()
        if now - self._said >= _LINE_SECONDS and self._done < self._runs:
            self._said = now
            left = (now - self._began) / self._made * (self._runs - self._done)
            # The first runs wait for imports and say little about the rest.
            known = f", {duration(left)} left" if self._made >= _TELLING_RUNS else ""
            self._say(f"{self._done}/{self._runs} runs{known}")

    def stop(self) -> None:
        """Say how the round ended."""
        failed = f", {self._failed} failed" if self._failed else ""
        self._say(f"{self._done}/{self._runs} runs in {duration(time.monotonic() - self._began)}{failed}")

    def _say(self, text: str) -> None:
        print(f"sweep: {text}", file=self._stream, flush=True)


class Bar:
    """A progress bar with the time left, by rich."""

    def __init__(self) -> None:
        self._progress: Any = None
        self._task: Any = None
        self._failed = 0

    def start(self, runs: int, finished: int, workers: int) -> None:
        """Show the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._failed = 0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(f"{workers} workers", total=runs, completed=finished)
        self._progress.start()

    def run_done(self, task: RunTask, outcome: Outcome) -> None:
        """Move the bar; a failure stands above it."""
        if outcome.status != "ok":
            self._failed += 1
            self._progress.console.print(
                _failure(task, outcome),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        self._progress.advance(self._task)

    def stop(self) -> None:
        """Leave the finished bar on the screen."""
        self._progress.stop()


def _failure(task: RunTask, outcome: Outcome) -> str:
    where = f"point {task.point} replication {task.replication} seed {task.seed}"
    return f"{where}: {outcome.status}: {outcome.message}"


def duration(seconds: float) -> str:
    """Seconds for people: 4.2 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
