"""Runs tasks on an existing Dask cluster, with the outcomes of local processes.

The cluster needs no shared disk: a task returns the run's bytes and this process writes them. Exceptions are
caught inside the task, because a task that crashes its worker can be blamed on its neighbour.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import queue
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from marketsim.errors import InputError, PlainWarning, StopRunError
from marketsim.experiments.runs.execute import (
    LOST_RETRIES,
    Outcome,
    PoolLostError,
    Runner,
    RunTask,
    attempt,
    one_line,
    scatter_generators,
    write_atomically,
)

_CONNECT_SECONDS = 15
_LOOK_SECONDS = 5.0
_RETURN_SECONDS = 30.0
"""Longer than a client tries to find its scheduler again."""


class DaskPool:
    """A pool on the Dask scheduler at `address`, as `tcp://host:port`; InputError when none answers.

    A run that exceeds its time limit is interrupted inside its worker at the next Python instruction.
    """

    def __init__(self, runner: Runner, folder: Path, address: str, timeout_seconds: float) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError("--scheduler: the package `distributed` is not installed; install marketsim[distributed]") from error
        try:
            # its client tells of a lost scheduler in words of its own, beside ours
            logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
            self._client: Any = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"--scheduler: no Dask scheduler answers at {address}, give its address such as tcp://127.0.0.1:8786"
            ) from error
        self._runner = runner
        self._folder = folder
        self._timeout = timeout_seconds
        self._address = address
        self._is_lonely = False
        self.workers = max(sum(self._client.nthreads().values()), 1)

    def outcomes(self, tasks: Sequence[RunTask]) -> Iterator[tuple[RunTask, Outcome]]:
        """Make all runs; yields each task once, in order of completion. Raises PoolLostError when the scheduler has gone."""
        finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        owners = {self._submit(task, 0, finished): (task, 0) for task in tasks}
        while owners:
            try:
                future = finished.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                self._look_for_workers()
                continue
            task, lost = owners.pop(future.key)
            outcome = self._outcome(future)
            if outcome.status != "ok":
                self._require_scheduler()
            if outcome.status == "lost" and lost < LOST_RETRIES:
                owners[self._submit(task, lost + 1, finished)] = (task, lost + 1)
                continue
            if outcome.payload is not None:
                write_atomically(self._folder / f"{task.key}.json", outcome.payload)
                outcome = Outcome(outcome.status, outcome.message, outcome.seconds)
            yield task, outcome

    def close(self) -> None:
        """Leave the cluster; what it still runs for this sweep is cancelled."""
        self._client.close()

    def _submit(self, task: RunTask, lost: int, finished: queue.SimpleQueue[Any]) -> str:
        """Hand a run to the cluster; its future goes to `finished` in the end. Returns the future's key."""
        from distributed.client import ClosedClientError

        key = f"marketsim-{task.key}-{lost}"
        try:
            future = self._client.submit(limited_attempt, self._runner, task, self._timeout, key=key, retries=LOST_RETRIES, pure=False)
        except ClosedClientError:
            raise self._lost() from None
        future.add_done_callback(finished.put)
        return key

    def _require_scheduler(self) -> None:
        """Raise PoolLostError unless the scheduler is there, or comes back within the time in which a client looks for it."""
        until = time.monotonic() + _RETURN_SECONDS
        while self._client.status == "connecting" and time.monotonic() < until:
            time.sleep(0.1)
        try:
            if self._client.status == "running":
                self._client.nthreads()  # the client may not have noticed yet that nobody answers
                return
        except Exception as error:  # whatever a connection that breaks raises
            raise self._lost() from error
        raise self._lost()

    def _look_for_workers(self) -> None:
        """Say so, once, when nobody is left to make the runs: others may join."""
        self._require_scheduler()
        if not self._is_lonely and not self._client.nthreads():
            self._is_lonely = True
            text = f"the Dask cluster at {self._address} has no worker left, waiting for one; Ctrl-C keeps the finished runs"
            warnings.warn(text, PlainWarning, stacklevel=2)

    def _lost(self) -> PoolLostError:
        return PoolLostError(f"the Dask scheduler at {self._address} has gone")

    def _outcome(self, future: Any) -> Outcome:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        try:
            result: Outcome = future.result()
        except (KilledWorker, CancelledError):
            return Outcome("lost", f"the process of the run died {LOST_RETRIES + 1} times")
        except Exception as error:
            return Outcome("error", one_line(error))
        return result


def limited_attempt(runner: Runner, task: RunTask, timeout_seconds: float) -> Outcome:
    """Make one run in a thread of its own and give up after `timeout_seconds`.

    Signals do not reach a Dask worker's threads, so the late thread is ended by an exception raised in it.
    """
    box: list[Outcome] = []

    def work() -> None:
        scatter_generators()
        with contextlib.suppress(StopRunError):
            box.append(attempt(runner, task))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(StopRunError))
        return Outcome("timeout", f"the run took longer than {timeout_seconds:g} s", timeout_seconds)
    return box[0] if box else Outcome("error", "the run ended without an outcome")
