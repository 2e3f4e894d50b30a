"""Random scenarios and messages come out alike however they run: compiled, compiled with bounds, as plain Python, and audited.

`make differential` tries thousands. Every mode is a process that stays up; plain Python also holds what each step adds against what it
asked for, and the checked build ends at the first index outside its table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

SUPPORT = Path(__file__).parents[1] / "support"
SCENARIOS = int(os.environ.get("MARKETSIM_DIFFERENTIAL", "300"))
FIRST = int(os.environ.get("MARKETSIM_DIFFERENTIAL_FIRST", "0"))
SEQUENCES = max(10, SCENARIOS // 4) if SCENARIOS > 300 else 10
"""Sequences of 200 messages each."""
MODES = {"compiled": ("1", False), "checked": ("checked", False), "plain": ("0", False), "audited": ("1", True)}


FOUND = (1277,)
"""Scenarios that were told apart once: at the end of its warm-up more accounts are folded at once than its next step asks events for."""

Question = tuple[str, int | str]


def answers(mode: str, questions: Iterable[Question]) -> Iterator[Any]:
    """Ask a process of this mode, and yield what it answers."""
    compiling, audit = MODES[mode]
    path = os.pathsep.join((str(SUPPORT), str(SUPPORT.parents[1])))
    environment = os.environ | {"MARKETSIM_COMPILE": compiling, "PYTHONPATH": path}
    worker = subprocess.Popen(
        [sys.executable, str(SUPPORT / "outcome_worker.py")],
        env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert worker.stdin is not None and worker.stdout is not None and worker.stderr is not None
    with worker:
        for kind, what in questions:
            try:
                worker.stdin.write(json.dumps([kind, what, audit]) + "\n")
                worker.stdin.flush()
                line = worker.stdout.readline()
            except BrokenPipeError:
                line = ""
            if not line:  # ended by a signal, or by an error that no scenario should see
                yield ["ended", worker.wait(), worker.stderr.read()[-2000:]]
                return
            yield json.loads(line)[-1]
        worker.stdin.close()


def outcomes(questions: list[Question], modes: Iterable[str] = MODES) -> dict[str, list[Any]]:
    """Ask these modes side by side."""
    found: dict[str, list[Any]] = {mode: [] for mode in modes}

    def collect(mode: str) -> None:
        found[mode].extend(answers(mode, questions))

    with ExitStack() as stack:
        for mode in found:
            thread = Thread(target=collect, args=(mode,))
            thread.start()
            stack.callback(thread.join)
    return found


def differences(questions: list[Question], found: dict[str, list[Any]]) -> list[Any]:
    """Return every question to which the modes do not answer alike, or with anything but an outcome or a refusal, and the answers."""
    wrong: list[Any] = []
    for at, question in enumerate(questions):
        each = {mode: outcome[at] if at < len(outcome) else None for mode, outcome in found.items()}
        first = each["compiled"]
        if first is None or first[0] in {"broken", "ended"} or any(other != first for other in each.values()):
            wrong.append((question, each))
    return wrong


@pytest.mark.slow
def test_all_modes_come_out_alike() -> None:
    questions: list[Question] = [("scenario", number) for number in range(FIRST, FIRST + SCENARIOS)]
    questions += [("scenario", number) for number in FOUND if not FIRST <= number < FIRST + SCENARIOS]
    questions += [("messages", number) for number in range(FIRST, FIRST + SEQUENCES)]
    found = outcomes(questions)
    assert differences(questions, found)[:3] == []
    ran = [outcome for outcome in found["compiled"] if outcome[0] != "refused"]
    print(f"{len(ran)} of {len(questions)} ran, {sum(outcome[2] for outcome in ran[:SCENARIOS])} orders", file=sys.stderr)
    # random markets must be markets: hardly any refused, more than half with leases (the others are poor or tiny on purpose), and most
    # messages of a kind that changes something
    assert len(ran) > 0.9 * len(questions)
    assert sum(outcome[3] > 0 for outcome in found["compiled"][:SCENARIOS] if outcome[0] != "refused") > 0.5 * SCENARIOS
    assert sum(outcome[2] for outcome in found["compiled"][-SEQUENCES:]) > 20 * SEQUENCES


@pytest.mark.slow
def test_shipped_scenarios_stay_within_their_tables() -> None:
    """The long ones only for their first day here, and whole in `make differential`."""
    folder = SUPPORT.parents[1] / "scenarios"
    files = sorted(
        str(path.relative_to(folder)) for path in folder.glob("**/*.yaml") if path.parts[-2] not in {"providers", "sdl", "sweeps"}
    )
    assert len(files) > 40
    long = {"akash.yaml", "baseline.yaml", "training.yaml", "ve-settlement.yaml", "virtengine.yaml"}
    short = "" if SCENARIOS > 300 else "?horizon=1d?warm_up=1h"
    questions: list[Question] = [("shipped", file + short * (file in long)) for file in files]
    found = outcomes(questions, ("compiled", "checked"))
    assert differences(questions, found) == []
    assert all(outcome[0] != "refused" for outcome in found["checked"])


def test_a_difference_is_found() -> None:
    questions: list[Question] = [("scenario", 1), ("scenario", 2), ("scenario", 3)]
    same = ["f", "h", 1, 1]
    found: dict[str, list[Any]] = {mode: [same, same, same] for mode in MODES}
    assert differences(questions, found) == []
    found["checked"] = [same, ["f", "other", 1, 1], ["ended", -11, ""]]
    assert [question for question, _ in differences(questions, found)] == questions[1:]
    assert len(differences(questions, found | {"compiled": [["broken", "…"]] * 3})) == 3
