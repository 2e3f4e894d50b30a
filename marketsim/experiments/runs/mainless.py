"""Starts processes that do not run the program of whoever started them again.

A process of Python's own fork server first imports the main program, for what it may have to unpickle. A script that calls `sweep` without
`if __name__ == "__main__"` would then begin the sweep once more in every worker, and a notebook's kernel another kernel. Runs name
everything by module, so that workers need no main program.
"""

from __future__ import annotations

import threading
from multiprocessing import popen_forkserver, process, spawn
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any, Final

_LOCK: Final = threading.Lock()
_MAIN: Final = frozenset({"init_main_from_name", "init_main_from_path"})


class MainlessPopen(popen_forkserver.Popen):
    """The start of one process, told nothing of the main program."""

    def _launch(self, process_obj: process.BaseProcess) -> None:
        with _LOCK:  # pools start processes in threads of their own
            whole = spawn.get_preparation_data

            def mainless(name: str) -> dict[str, Any]:
                return {key: value for key, value in whole(name).items() if key not in _MAIN}

            spawn.get_preparation_data = mainless
            try:
                super()._launch(process_obj)  # type: ignore[misc]
            finally:
                spawn.get_preparation_data = whole


class MainlessProcess(ForkServerProcess):
    """A process that a fork server forks, without the main program."""

    @staticmethod
    def _Popen(process_obj: process.BaseProcess) -> MainlessPopen:  # noqa: N802  (the name that multiprocessing looks for)
        return MainlessPopen(process_obj)


class MainlessContext(ForkServerContext):
    """The context of such processes."""

    Process = MainlessProcess
