"""What a command takes from the shell to its last line: the help, a run of scenarios/tiny.yaml, and compiling everything from nothing."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TINY = str(ROOT / "scenarios" / "tiny.yaml")
COMMANDS = {
    "help": ("--help",),
    "tiny": ("run", TINY, "--no-figures", "--quiet"),
    "tiny_with_figures": ("run", TINY, "--quiet"),
}
"""By the name in the JSON: what comes after `marketsim`."""


def seconds_of(arguments: tuple[str, ...], cache: Path | None = None) -> float:
    """Return the wall time of one `marketsim` command; machine code is kept in `cache` if that is given."""
    with tempfile.TemporaryDirectory() as folder:
        out = ("--out", str(Path(folder) / "out")) if "run" in arguments else ()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": path} | ({} if cache is None else {"MARKETSIM_CACHE": str(cache)})
        begun = time.perf_counter()
        command = [sys.executable, "-m", "marketsim", *arguments, *out]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - begun


def start_up(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the least and the median wall seconds of each command, by its name, and of a run that has nothing compiled (once)."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for name, arguments in COMMANDS.items():
        seconds_of(arguments)  # files are in memory and code is compiled from here on
        say(f"start-up: {name} ready")
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds_of(arguments))
    figures: dict[str, Any] = {name: {"least": min(each), "median": statistics.median(each)} for name, each in taken.items()}
    with tempfile.TemporaryDirectory() as folder:
        figures["nothing_compiled"] = seconds_of(COMMANDS["tiny"], Path(folder))
    say(f"start-up: {figures}")
    return figures
