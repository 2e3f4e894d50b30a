"""Plays the tutorial of docs/training/ and keeps what its pages print equal to what the commands print: `python docs/training_pages.py`.

The pages are played in their order, in one shell of one devnet, in an empty folder; the test does it with the package as a wheel installs
it (`tests/devnet/test_training_pages.py`). A block `sh` is a command or several; they must end with exit code 0. A block `text` right below
one is what it prints, standard error too. Two things differ from time to time, and are masked: the number of a process, and the port, which
is a free one here and 8443 in the pages. The rest is compared letter by letter.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

PAGES = (
    "index.md",
    "1-lifecycle.md",
    "2-bid-engine.md",
    "3-leases.md",
    "4-escrow.md",
    "5-monitoring.md",
    "6-troubleshooting.md",
    "7-exercises.md",
    "8-more-exercises.md",
    "trainers-guide.md",
)
FOLDER = Path(__file__).resolve().parent / "training"
BLOCK = re.compile(r"^```sh\n(?P<command>.*?)^```\n(?P<gap>\n*)(?:```text\n(?P<printed>.*?)^```\n)?", re.DOTALL | re.MULTILINE)
START, SHELL = "marketsim devnet start", "marketsim devnet shell"
MASKS = ((r"127\.0\.0\.1:\d+", "127.0.0.1:8443"), (r"process \d+", "process 4711"))
END = "@@ end of block"
NEEDS_PROMTOOL = "alerts"
"""In the commands of the exercise that cannot be graded without it, and in no others."""


class Block(NamedTuple):
    """A block of a page: what is typed, what the page shows (None where it shows nothing), what was printed, and the exit code."""

    page: str
    command: str
    shown: str | None
    printed: str
    code: int


class Tutorial:
    """Somebody who follows the pages in an empty folder: a terminal at first, from `marketsim devnet shell` on that shell.

    `python` is the one whose marketsim is used; tools lie beside the folder.
    """

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        tools = folder.parent / f"{folder.name}-tools"
        tools.mkdir()
        for name, words in (("marketsim", "-P -m marketsim"), ("python3", "-P")):
            script = tools / name
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(python)} {words} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        self.shell = self._open(f"export PATH={shlex.quote(str(tools))}:$PATH; exec bash --norc --noprofile")

    def _open(self, command: str) -> subprocess.Popen[str]:
        words = ["bash", "--norc", "--noprofile", "-c", command]
        # what a learner's shell would not have: paths to another marketsim, a course, switches
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and name != "MARKETSIM_COURSE"}
        return subprocess.Popen(
            words, cwd=self.folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
        )

    def play(self, command: str) -> tuple[str, int]:
        """Type a block, and return what it prints, masked, and the exit code of its last command."""
        if command.startswith(START):
            command = command.replace("--detach", "--detach --listen 127.0.0.1:0")
        if command.startswith(SHELL):
            command = f"exec {SHELL} -c 'exec bash --norc --noprofile'"
        assert self.shell.stdin is not None and self.shell.stdout is not None
        self.shell.stdin.write(f"{command}\necho {shlex.quote(END)} $?\n")
        self.shell.stdin.flush()
        printed = []
        for line in self.shell.stdout:
            before, found, code = line.partition(f"{END} ")
            printed.append(before)
            if found:
                text = "".join(printed)
                for pattern, instead in MASKS:
                    text = re.sub(pattern, instead, text)
                return text, int(code)
        raise RuntimeError(f"the shell has ended at: {command}")

    def close(self) -> None:
        """End the devnet, whatever it does, and the shell."""
        if self.shell.poll() is None:
            if (self.folder / ".devnet" / "server.json").exists():  # the pages stop it themselves, unless one went wrong
                self.play("marketsim devnet stop")
            self.shell.communicate()


def played(folder: Path, told: Callable[[Block], object], python: str = sys.executable) -> None:
    """Play every block of every page in a new folder, and tell what each prints as soon as it has ended.

    Where promtool is not installed the exercise that needs it is left out.
    """
    tutorial = Tutorial(folder, python)
    try:
        for page in PAGES:
            for match in BLOCK.finditer((FOLDER / page).read_text(encoding="utf-8")):
                if NEEDS_PROMTOOL in match["command"] and shutil.which("promtool") is None:
                    continue
                told(Block(page, match["command"], match["printed"], *tutorial.play(match["command"])))
    finally:
        tutorial.close()


def main() -> None:
    """Play the pages and write into them what is printed; every block that prints something gets a block `text`."""
    if shutil.which("promtool") is None:
        sys.exit("promtool is not installed, the pages show what it prints (Debian package prometheus)")
    blocks: list[Block] = []

    def told(block: Block) -> None:
        blocks.append(block)
        if block.code:
            print(f"{block.page}: exit code {block.code}\n{block.command}{block.printed}")
        sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        played(Path(folder) / "learner", told)
    waiting = iter(blocks)

    def filled(match: re.Match[str]) -> str:
        block = next(waiting)
        text = f"\n```text\n{block.printed}```\n" if block.printed else ""
        return f"```sh\n{block.command}```\n{text}" + ("" if match["printed"] is not None else match["gap"])

    for page in PAGES:
        path = FOLDER / page
        path.write_text(BLOCK.sub(filled, path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
