"""Workers that are being started when the command that starts them ends."""

from __future__ import annotations

import _multiprocessing
import os
import pickle
import subprocess
import sys
from multiprocessing import spawn
from typing import Any

import pytest

HOOKED = "import sys, marketsim.experiments.runs.orphans as o; assert sys.excepthook is o.show; "


class Gone:
    """What a worker is read from, with a semaphore that was removed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _multiprocessing.SemLock._rebuild, (0, 1, 1, "/marketsim-absent")


@pytest.mark.parametrize("rest", [pickle.dumps(Gone()), b""], ids=["no semaphore", "no more to read"])
def test_a_worker_whose_command_is_gone_says_nothing(rest: bytes) -> None:
    from marketsim.experiments.runs.orphans import is_orphans

    get, put = os.pipe()
    os.write(put, pickle.dumps({}) + rest)
    os.close(put)
    with pytest.raises((FileNotFoundError, EOFError)) as raised:
        spawn._main(get, get)  # type: ignore[attr-defined]
    assert is_orphans(raised.type, raised.tb)


def test_anything_else_is_shown() -> None:
    done = subprocess.run([sys.executable, "-c", HOOKED + "open('/absent/file')"], capture_output=True, text=True, check=False)
    assert "FileNotFoundError" in done.stderr and "Traceback" in done.stderr


def test_the_fork_server_loads_it_first() -> None:
    code = (
        "from marketsim.experiments.runs.execute import start_server\n"
        "import multiprocessing.forkserver as f\n"
        "start_server(['marketsim.errors'])\n"
        "print(f._forkserver._preload_modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['marketsim.experiments.runs.orphans', 'marketsim.errors']\n"
    assert done.stderr == ""
