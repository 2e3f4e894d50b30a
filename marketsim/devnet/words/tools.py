"""Runs a tool of a devnet's shell as a process does: reads the folder, prints, returns the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from marketsim.devnet.client import Client
from marketsim.devnet.words.execute import STRICT, CommandOutput, execute
from marketsim.devnet.words.shell import FOLDER
from marketsim.devnet.words.units import journalctl, systemctl

DEFAULT_FOLDER = ".devnet"
_OFF = ("", "0", "false", "no", "off")


def run_tool(tool: str, words: Sequence[str], folder: str | None = None) -> int:
    """Run `virtengine`, `journalctl` or `systemctl` with these words; return its exit code.

    The devnet is that of `folder`, of `--dir` before the other words, of MARKETSIM_DEVNET, or of the folder .devnet.
    """
    found, rest = _folder(words)
    where = Path(found or folder or os.environ.get(FOLDER) or DEFAULT_FOLDER)

    def devnet() -> Client:
        return Client.of(where)

    try:
        return _shown(_TOOLS[tool](rest, devnet))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _folder(words: Sequence[str]) -> tuple[str | None, list[str]]:
    """The folder of `--dir` before the other words, and these."""
    if words and words[0] == "--dir" and len(words) > 1:
        return words[1], list(words[2:])
    if words and words[0].startswith("--dir="):
        return words[0].removeprefix("--dir="), list(words[1:])
    return None, list(words)


def _virtengine(words: Sequence[str], devnet: Callable[[], Client]) -> CommandOutput:
    strict = os.environ.get(STRICT, "").lower() not in _OFF
    return execute(words, devnet, strict=strict, tells_hash=sys.stderr.isatty(), environment=os.environ)


def _journalctl(words: Sequence[str], devnet: Callable[[], Client]) -> CommandOutput:
    said = journalctl(words, devnet)
    if isinstance(said, CommandOutput):
        return said
    for line in said:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return CommandOutput()


def _shown(said: CommandOutput) -> int:
    sys.stderr.write(said.err)
    sys.stderr.flush()
    sys.stdout.write(said.out)
    sys.stdout.flush()
    return said.code


_TOOLS: dict[str, Callable[[Sequence[str], Callable[[], Client]], CommandOutput]] = {
    "virtengine": _virtengine,
    "journalctl": _journalctl,
    "systemctl": systemctl,
}

__all__ = ["DEFAULT_FOLDER", "run_tool"]
