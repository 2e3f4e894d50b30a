"""Runs tasks on an existing Dask cluster, with the outcomes of local processes.

The cluster needs no shared disk: a task returns the run's bytes and this process writes them. Exceptions are
caught inside the task, because a task that crashes its worker can be blamed on its neighbour.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from marketsim.errors import InputError, StopRunError
from marketsim.experiments.runs.execute import LOST_RETRIES, Outcome, Runner, RunTask, attempt, one_line, write_atomically

_CONNECT_SECONDS = 15


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
            self._client: Any = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"--scheduler: no Dask scheduler answers at {address}, give its address such as tcp://127.0.0.1:8786"
            ) from error
        self._runner = runner
        self._folder = folder
        self._timeout = timeout_seconds
        self.workers = max(sum(self._client.nthreads().values()), 1)

    def outcomes(self, tasks: Sequence[RunTask]) -> Iterator[tuple[RunTask, Outcome]]:
        """Make all runs; yields each task once, in order of completion."""
        from distributed import as_completed

        owners: dict[str, tuple[RunTask, int]] = {}
        waiting: Any = as_completed([], loop=self._client.loop)
        for task in tasks:
            future = self._submit(task, 0)
            owners[future.key] = (task, 0)
            waiting.add(future)
        for future in waiting:
            task, lost = owners.pop(future.key)
            outcome = self._outcome(future)
            if outcome.status == "lost" and lost < LOST_RETRIES:
                again = self._submit(task, lost + 1)
                owners[again.key] = (task, lost + 1)
                waiting.add(again)
                continue
            if outcome.payload is not None:
                write_atomically(self._folder / f"{task.key}.json", outcome.payload)
                outcome = Outcome(outcome.status, outcome.message, outcome.seconds)
            yield task, outcome

    def close(self) -> None:
        """Leave the cluster; what it still runs for this sweep is cancelled."""
        self._client.close()

    def _submit(self, task: RunTask, lost: int) -> Any:
        return self._client.submit(
            limited_attempt,
            self._runner,
            task,
            self._timeout,
            key=f"marketsim-{task.key}-{lost}",
            retries=LOST_RETRIES,
            pure=False,
        )

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
        with contextlib.suppress(StopRunError):
            box.append(attempt(runner, task))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(StopRunError))
        return Outcome("timeout", f"the run took longer than {timeout_seconds:g} s", timeout_seconds)
    return box[0] if box else Outcome("error", "the run ended without an outcome")
