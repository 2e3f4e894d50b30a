"""Runs tasks in a pool of local processes, each run apart from the others.

A run that raises or exceeds its time limit becomes a labelled outcome. A run whose process disappears is
given to another process, twice; only then it is labelled too. Nothing that a run does can stop the rest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeVar

from marketsim.interrupts import Unwinding

Task = TypeVar("Task")
Made = TypeVar("Made")

Runner = Callable[[dict[str, Any], str, int], dict[str, Any]]
"""`runner(scenario, base, seed)`: a picklable callable that makes one run's summary; `base` is the folder of the scenario's files."""

Status = Literal["ok", "error", "timeout", "lost", "broken"]
BREAKS_MAX = 10
"""How often in a row, without a run that ends, a pool that broke is replaced."""

LOST_RETRIES = 2
_STALL_SECONDS = 60.0
_ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMBA_NUM_THREADS",
    )
}


@dataclass(frozen=True, slots=True)
class RunTask:
    """One run to make: a design point's scenario as plain data, a seed, and the key of its result."""

    key: str
    point: int
    replication: int
    seed: int
    scenario: dict[str, Any] = field(repr=False)
    base: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task: status, one line of explanation when it failed, seconds it took."""

    status: Status
    message: str = ""
    seconds: float = 0.0
    payload: bytes | None = field(default=None, repr=False)


class PoolLostError(Exception):
    """Where runs were made is no longer there; those that ended are on disk."""


class RunPool(Protocol):
    """Where runs are made: local processes or a Dask cluster."""

    workers: int

    def outcomes(self, tasks: Sequence[RunTask]) -> Iterator[tuple[RunTask, Outcome]]:
        """Make all runs; yields each task once, in order of completion."""
        ...

    def close(self) -> None:
        """Stop the processes that this pool started."""
        ...


SIMULATED = "marketsim.experiments.runs.simulated"
"""The module of the runner that plays simulations, by name for those who have no time to load it."""


def preloads(module: str) -> tuple[str, ...]:
    """The modules that workers of a runner's module should find imported; the simulation's come with their compiled code."""
    warm = ("marketsim.experiments.runs.warm",) if module.startswith("marketsim.") else ()
    return (*warm, module, "pebble.pool.process", __name__)


def summary_bytes(summary: dict[str, Any]) -> bytes:
    """A summary as compact JSON with sorted keys: equal summaries give equal bytes."""
    return json.dumps(summary, sort_keys=True, separators=(",", ":"), allow_nan=True).encode() + b"\n"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a temporary neighbour, then a rename."""
    temporary = path.with_name(f".tmp-{os.getpid()}-{threading.get_ident()}-{path.name}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except FileNotFoundError:
        # A resumed sweep has swept away the temporary file of a worker that outlived its parent.
        if path.parent.is_dir() and not path.exists():
            raise


def run_key(effective: dict[str, Any], seed: int, code: str, contents: str = "") -> str:
    """The resume key: 32 hex digits of a hash of the effective scenario, the seed, the code and the files that the run reads."""
    parts = [effective, seed, code, *([contents] if contents else [])]
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def package_hash() -> str:
    """Hash of the installed marketsim sources (every .py file by relative path), 16 hex digits."""
    import marketsim

    root = Path(marketsim.__file__).parent
    digest = hashlib.sha256()
    for source in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        digest.update(source.relative_to(root).as_posix().encode() + b"\0")
        digest.update(source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def attempt(runner: Runner, task: RunTask) -> Outcome:
    """Make one run here; an exception becomes an outcome, so that no pool ever sees one."""
    started = time.perf_counter()
    try:
        summary = runner(task.scenario, task.base, task.seed)
        payload = summary_bytes(summary)
    except Exception as error:
        return Outcome("error", one_line(error), time.perf_counter() - started)
    return Outcome("ok", "", time.perf_counter() - started, payload)


def one_line(error: BaseException) -> str:
    """An exception as one line that does not differ from run to run."""
    text = str(error).strip().splitlines()
    first = text[0][:300] if text else ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


Waiting = Mapping[str, tuple[RunTask, int]]
"""Unfinished runs by key, with how often each lost its process."""

Finished = queue.SimpleQueue[tuple[Any, str, Any]]
"""Ended runs: the pool, the key, the future."""


class LocalPool:
    """A pool of `workers` processes on this machine that write finished runs into `folder`.

    Processes are forked from a server that has imported the simulation once; each keeps to one thread and
    ends by itself when this process dies. `meanwhile` is called once, as soon as they have their first runs.
    """

    def __init__(
        self,
        runner: Runner,
        folder: Path,
        workers: int,
        timeout_seconds: float,
        meanwhile: Callable[[], None] | None = None,
    ) -> None:
        self.workers = workers
        self._meanwhile = meanwhile
        self._preload = preloads(runner.__module__)
        self._runner = runner
        self._folder = folder
        self._timeout = timeout_seconds
        self._pool: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def outcomes(self, tasks: Sequence[RunTask]) -> Iterator[tuple[RunTask, Outcome]]:
        """Make all runs; yields each task once, in order of completion."""
        waiting = {task.key: (task, 0) for task in tasks}
        finished: Finished = queue.SimpleQueue()
        self._hand_over(tasks, waiting, finished)
        if waiting and self._meanwhile is not None:
            meanwhile, self._meanwhile = self._meanwhile, None
            meanwhile()
        breaks = 0
        while waiting:
            try:
                pool, key, future = finished.get(timeout=self._timeout + _STALL_SECONDS)
            except queue.Empty:
                # A process killed inside the pool's own lock can leave the others waiting for ever.
                self._start_again(waiting, finished)
                continue
            if pool is not self._pool or key not in waiting:
                continue
            task, lost = waiting[key]
            outcome = self._outcome(future)
            if outcome.status == "broken":
                breaks += 1
                if breaks <= BREAKS_MAX:
                    self._start_again(waiting, finished)
                    continue
                outcome = Outcome("lost", outcome.message)
            elif outcome.status == "lost" and lost < LOST_RETRIES:
                waiting[key] = (task, lost + 1)
                self._hand_over([task], waiting, finished)
                continue
            else:
                breaks = 0
            del waiting[key]
            yield task, outcome

    def _hand_over(self, tasks: Sequence[RunTask], waiting: Waiting, finished: Finished) -> None:
        try:
            for task in tasks:
                self._submit(task, finished)
        except RuntimeError:  # the pool broke in the meantime and takes nothing more
            self._start_again(waiting, finished)

    def _start_again(self, waiting: Waiting, finished: Finished) -> None:
        """Hand all unfinished runs to a new pool."""
        self.close()
        for task, _ in list(waiting.values()):
            self._submit(task, finished)

    def close(self) -> None:
        """Stop the processes at once; finished runs are on disk already."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.stop()
            pool.join()

    def _submit(self, task: RunTask, finished: Finished) -> None:
        if self._pool is None:
            self._pool = self._start()
        pool = self._pool
        future = pool.schedule(_run_and_write, args=(self._runner, task, str(self._folder)), timeout=self._timeout)
        future.add_done_callback(lambda done, key=task.key: finished.put((pool, key, done)))

    def _start(self) -> Any:
        return _started_pool(self._preload, self.workers)

    def _outcome(self, future: Any) -> Outcome:
        from concurrent.futures import TimeoutError as RunTimeoutError
        from concurrent.futures.process import BrokenProcessPool

        from pebble import ProcessExpired

        try:
            result: Outcome = future.result()
        except RunTimeoutError:
            return Outcome("timeout", f"the run took longer than {self._timeout:g} s", self._timeout)
        except BrokenProcessPool as error:
            # The pool gives up as a whole when a process dies between two runs.
            return Outcome("broken", one_line(error))
        except ProcessExpired:
            return Outcome("lost", f"the process of the run died {LOST_RETRIES + 1} times")
        except Exception as error:
            return Outcome("error", one_line(error))
        return result


def start_server(preload: Sequence[str]) -> Any:
    """Start the process from which workers are forked, if it does not run yet; returns its context.

    It imports `preload` by itself while this process goes on. Where processes cannot be forked (Windows) the
    context spawns them.
    """
    if sys.platform == "win32":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    from marketsim.experiments.runs.mainless import MainlessContext

    context = MainlessContext()
    context.set_forkserver_preload(["marketsim.experiments.runs.orphans", *preload])
    with _one_thread(), _without_interrupts():
        forkserver.ensure_running()
    return context


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Processes that start in here, and theirs, never see Ctrl-C, also not while they start: this process decides what it ends."""
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # it would let interrupts in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _started_pool(preload: Sequence[str], workers: int) -> Any:
    """A pool whose processes run."""
    from pebble import ProcessPool

    context = start_server(preload)
    with _one_thread():
        pool = ProcessPool(max_workers=workers, context=context, initializer=_prepare_worker)
        pool.active  # noqa: B018  (starts the processes while the environment is pinned)
    return pool


@contextlib.contextmanager
def worker_pool(runner: Runner, workers: int) -> Iterator[Any]:
    """Yield a pool of processes like those that make the runs of a runner; they end with the context, whatever they do."""
    pool = _started_pool(preloads(runner.__module__), workers)
    try:
        yield pool
    finally:
        pool.stop()
        pool.join()


def mapped(function: Callable[[Task], Made], tasks: Sequence[Task], workers: int, chunk: int, preload: Sequence[str]) -> list[Made]:
    """Return the function of each task, made in `workers` processes that have `preload` imported; they end with this process, whatever
    ends it. An exception of a task is raised here."""
    from pebble import ProcessPool

    with Unwinding(), ProcessPool(workers, context=start_server(preload), initializer=_prepare_worker) as pool:
        try:
            return list(pool.map(function, tasks, chunksize=chunk).result())
        except BaseException:
            pool.stop()
            raise


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that start in here keep numerical libraries to one thread."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def scatter_generators() -> None:
    """Gives the global random generators a state that no other run has, so that a run which draws from them shows."""
    import random

    import numpy as np

    random.seed()
    np.random.seed()


def _run_and_write(runner: Runner, task: RunTask, folder: str) -> Outcome:
    scatter_generators()
    outcome = attempt(runner, task)
    if outcome.payload is None:
        return outcome
    write_atomically(Path(folder) / f"{task.key}.json", outcome.payload)
    return Outcome(outcome.status, outcome.message, outcome.seconds)


def _prepare_worker() -> None:
    from marketsim.simulation.memory import keep_memory

    keep_memory()
    os.environ.update(_ONE_THREAD)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt stops
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # for the programs that a run may start
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
