"""Shows how far a run is: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Called with (blocks done, blocks in total)."""

FIRST_LINE, LINE_EVERY = 2.0, 5.0
"""Seconds until the first plain line and between two; a short run prints none."""


def tell_of_compiling(*, quiet: bool) -> None:
    """Say on standard error that compiling comes first, where nothing is compiled yet; nothing under `quiet`."""
    from marketsim.kernel.compiled import is_cache_cold

    if not quiet and is_cache_cold():
        text = "compiling for this machine, once: the first run takes half a minute or so longer than the next ones"
        print(text, file=sys.stderr, flush=True)


@contextmanager
def progress_shown(label: str, *, quiet: bool) -> Iterator[Progress | None]:
    """Yield what a run should call with its progress, or None under `quiet`. Everything goes to standard
    error."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar(label) as show:
            yield show
    else:
        yield _lines(label)


@contextmanager
def _bar(label: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("block {task.completed:,.0f} of {task.total:,.0f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=1)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show


def _lines(label: str) -> Progress:
    due = time.monotonic() + FIRST_LINE
    first: tuple[float, int] | None = None

    def show(done: int, total: int) -> None:
        nonlocal due, first
        now = time.monotonic()
        if first is None:
            # The speed is measured from the first call on: what came before may have been compiling.
            first = (now, done)
        if now < due or done >= total:
            return
        due = now + LINE_EVERY
        seconds, blocks = now - first[0], done - first[1]
        left = f", about {_duration(seconds / blocks * (total - done))} left" if blocks > 0 else ""
        print(
            f"{label}: {100 * done // total} %, block {done:,} of {total:,}{left}",
            file=sys.stderr,
            flush=True,
        )

    return show


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
