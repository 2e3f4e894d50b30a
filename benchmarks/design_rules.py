"""What each rule of the fast path's design buys: a copy of marketsim without it, in turn with marketsim as it is.

    python benchmarks/design_rules.py [--providers 100] [--rounds 12]

Each copy compiles for half a minute before it is timed. Prints how many times as long RM-1 takes without the rule: the median of ratios of
neighbours with its quartiles. The row `nothing` holds marketsim against itself and says what a ratio is worth.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]


class Without(NamedTuple):
    """How to take one rule away: (file below marketsim/, text, what to write instead), and settings of the compiler."""

    edits: Sequence[tuple[str, str, str]] = ()
    environment: tuple[tuple[str, str], ...] = ()


RULES = {
    "nothing": Without(),
    "desks eight at a time": Without(environment=(("NUMBA_LOOP_VECTORIZE", "0"), ("NUMBA_SLP_VECTORIZE", "0"))),
    "rows asked for ahead": Without([
        ("market/loop.py", "        bring_near(s, e)\n", ""),
        ("market/loop.py", "    bring_next(s, e, at)\n", ""),
        ("market/loop.py", "            prefetch_line(e.desks, e.offers[following].desk)\n", "            pass\n"),
        ("chain/leasing.py", "        prefetch(s.bids, following)\n", ""),
    ]),
    "calls in line": Without([("kernel/compiler.py", '"forceinline": inline', '"forceinline": False')]),
    "a calendar by chunks": Without([("market/calendar.py", "CHUNK_BITS = 8", "CHUNK_BITS = 40")]),
    "rows from zero": Without([("kernel/compiler.py", "fix_integer_index = from_zero", "fix_integer_index = usual")]),
    "what is rare kept apart": Without([
        ("kernel/compiler.py", "        if self.is_ladder:\n", "        if False:\n"),
        ("kernel/table_set_numba.py", "    return builder.call(function, [arguments[0], truth(0)])\n", "    return arguments[0]\n"),
    ]),
}  # fmt: skip


def copy_without(rule: Without, folder: Path) -> Path:
    """Return a copy of the sources without a rule; raises ValueError where a text to change is not there once."""
    for name in ("marketsim", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, before, after in rule.edits:
        file = folder / "marketsim" / name
        text = file.read_text("utf-8")
        if text.count(before) != 1:
            raise ValueError(f"{file}: {before!r} stands there {text.count(before)} times, expected once")
        file.write_text(text.replace(before, after), "utf-8")
    return folder


class Player:
    """A process that runs RM-1 when asked, with the sources of one folder."""

    def __init__(self, folder: Path, rule: Without, providers: int) -> None:
        environment = os.environ | dict(rule.environment) | {"PYTHONPATH": str(folder), "MARKETSIM_CACHE": str(folder / "cache")}
        command = [sys.executable, str(folder / "benchmarks" / "design_rules.py"), "--play", "--providers", str(providers)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"a copy ended with exit code {self._process.wait()}")
        return line

    def digest(self) -> str:
        """Wait until everything is compiled; return the outcome's digest."""
        return self._answer()

    def seconds(self) -> float:
        """Run the market once; return its processor seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write("run\n")
        self._process.stdin.flush()
        return float(self._answer())

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def play(providers: int) -> None:
    """What a player does: a digest once ready, then the seconds of a run for each line that it reads."""
    from digest import digest
    from marketsim_designs import play_outcome
    from reference_market import HEADLINE

    from marketsim.simulation.memory import keep_memory

    keep_memory()
    draws = HEADLINE._replace(providers=providers).draw()
    print(digest(play_outcome(draws)[0]), flush=True)
    for _ in sys.stdin:
        seconds = play_outcome(draws)[1]
        gc.collect()
        print(seconds, flush=True)


def measure(providers: int, rounds: int) -> dict[str, list[float]]:
    """Return by rule the ratios, sorted, of the time without it to that of a neighbour with it."""
    ratios: dict[str, list[float]] = {name: [] for name in RULES}
    players: dict[str, Player] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, rule in [("", Without()), *RULES.items()]:
                players[name] = Player(copy_without(rule, Path(folder) / str(len(players))), rule, providers)
            if len({player.digest() for player in players.values()}) > 1:
                raise SystemExit("a copy has another outcome")
            for number in range(rounds):
                for name in RULES:
                    ratios[name].append(players[name].seconds() / players[""].seconds())
                print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        finally:
            for player in players.values():
                player.end()
    return {name: sorted(each) for name, each in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--providers", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.play:
        play(arguments.providers)
        return
    table = Table(title=f"RM-1, {arguments.providers:,} providers: time without a rule, over that with it", title_justify="left")
    for column in ("without", "median", "quartiles"):
        table.add_column(column, justify="left" if column == "without" else "right")
    for name, each in measure(arguments.providers, arguments.rounds).items():
        low, _, high = statistics.quantiles(each, n=4) if len(each) > 1 else each * 3
        table.add_row(name, f"{statistics.median(each):.2f}", f"{low:.2f} … {high:.2f}")
    Console(width=100, highlight=False).print(table)


if __name__ == "__main__":
    main()
