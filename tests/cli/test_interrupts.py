"""Ctrl-C and kill at any moment: one line and 130, no half results, and a sweep that goes on where it stopped.

Moments are counted in what the interpreter reports to audit hooks (imports, files, processes) or in time. A few of each are tried here,
`make crash` tries hundreds.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from marketsim import interrupts

ROOT = Path(__file__).parents[2]
MANY = int(os.environ.get("MARKETSIM_CRASHES", "0"))
SEED = int(os.environ.get("MARKETSIM_CRASH_SEED", "2"))

CHILD = """
import os, signal, sys, threading, time

number, when = int(sys.argv[1]), sys.argv[2]
sys.argv = ["marketsim", *sys.argv[3:]]
from marketsim.__main__ import main

seen = 0

def hit():
    if number:
        os.killpg(0, number)  # as a terminal does: everybody in the group

def count(event, arguments):
    global seen
    seen += 1
    if f"e{seen}" == when:
        hit()

if when[0] == "s":
    timer = threading.Timer(float(when[1:]), hit)
    timer.daemon = True
    timer.start()
begun = time.monotonic()
sys.addaudithook(count)
code = main()
if not number:
    print(seen, time.monotonic() - begun, file=sys.stderr)
sys.exit(code)
"""

SCENARIO = """
name: crash
horizon: 6h
tenants:
  - {name: t, demand: {orders: 60}, order: {cpu: 500, memory: 1Gi, storage: 1Gi}, duration: 1h}
providers:
  - {name: p, count: 3, strategy: monthly_targets, capacity: {cpu: 64000, memory: 64Gi, storage: 1Ti}}
"""

SWEEP = """
name: crash
scenario: scenario.yaml
factors:
  - {name: providers, path: providers.p.count, levels: [1, 2]}
replications: 3
metrics: [fill_rate]
"""


class Command:
    """A command line, how many moments it has, and how long it takes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.arguments = arguments
        (folder / "scenario.yaml").write_text(SCENARIO)
        (folder / "sweep.yaml").write_text(SWEEP)
        done = self.run("e0", 0)
        assert done.returncode == 0, done.stderr
        events, seconds = done.stderr.split()[-2:]
        self.events, self.seconds = int(events), float(seconds)
        self.whole = contents(folder / "out")

    def run(self, when: str, number: int, *more: str, keep: bool = False) -> subprocess.CompletedProcess[str]:
        """Run it, and send a signal to its group at a moment."""
        if not keep:
            shutil.rmtree(self.folder / "out", ignore_errors=True)
        command = [sys.executable, "-c", CHILD, str(number), when, *self.arguments, "--quiet", "--out", str(self.folder / "out"), *more]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        begun = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            out, err = begun.communicate(timeout=300)
        except subprocess.TimeoutExpired:
            os.killpg(begun.pid, signal.SIGKILL)
            pytest.fail(f"{when}: did not end")
        return subprocess.CompletedProcess(command, begun.returncode, out, err)

    def moments(self, few: int) -> list[str]:
        """Moments to try, half by what happens, half by time, the same ones for the same seed."""
        chance = random.Random(SEED)
        count = MANY or few
        events = [f"e{chance.randint(1, self.events)}" for _ in range((count + 1) // 2)]
        return events + [f"s{chance.uniform(0, self.seconds):.3f}" for _ in range(count // 2)]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but what says when it was made."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def run_command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return Command(tmp_path_factory.mktemp("run"), "run", "scenario.yaml")


@pytest.fixture(scope="module")
def sweep_command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    return Command(tmp_path_factory.mktemp("sweep"), "sweep", "sweep.yaml", "--workers", "2")


def holds_one_line(err: str) -> bool:
    lines = err.split("\n")
    return [line.startswith("interrupted") for line in lines if line] == [True]


@pytest.mark.slow
def test_an_interrupted_run_says_so_and_leaves_no_half_results(run_command: Command) -> None:
    for when in [*run_command.moments(2), "e1"]:
        done = run_command.run(when, signal.SIGINT)
        if done.returncode != 0:  # else all was done
            assert done.returncode == interrupts.EXIT and holds_one_line(done.stderr), (when, done)
        left = contents(run_command.folder / "out")
        assert left == run_command.whole if done.returncode == 0 else not left or left.keys() == run_command.whole.keys(), when
        assert not list(run_command.folder.glob(".out*")), when


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_results(run_command: Command) -> None:
    for when in run_command.moments(2):
        assert run_command.run(when, signal.SIGKILL).returncode in {0, -signal.SIGKILL}, when
        left = contents(run_command.folder / "out")
        assert not left or left.keys() == run_command.whole.keys(), when
    assert run_command.run("e0", signal.SIGINT).returncode == 0
    assert contents(run_command.folder / "out") == run_command.whole
    assert not list(run_command.folder.glob(".out*"))  # what was left behind has been removed


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_sweep_goes_on_to_the_same_bytes(sweep_command: Command, number: signal.Signals) -> None:
    for when in sweep_command.moments(1):
        done = sweep_command.run(when, number)
        assert done.returncode in {0, interrupts.EXIT if number == signal.SIGINT else -number}, (when, done)
        if done.returncode == interrupts.EXIT:
            assert holds_one_line(done.stderr), (when, done)
        done = sweep_command.run("e0", signal.SIGINT, "--resume", keep=True)
        assert done.returncode == 0, (when, done)
        assert contents(sweep_command.folder / "out") == sweep_command.whole, when


def child(code: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_nothing_swallows_an_interrupt() -> None:
    done = child(
        "import os, signal, sys, time\n"
        "from marketsim import interrupts\n"
        "interrupts.take_over()\n"
        "class Last:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        for _ in range(10): pass\n"
        "try:\n"
        "    with interrupts.Unwinding():\n"
        "        Last()\n"  # raised where it can only be lost
        "        time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    print('put away')\n"
    )
    assert done.stdout == "put away\n" and done.stderr == ""
    done = child(
        "import os, signal\n"
        "from marketsim import interrupts\n"
        "interrupts.take_over()\n"
        "try:\n"
        "    with interrupts.Unwinding():\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "        except BaseException:\n"
        "            pass\n"
        "        print('goes on')\n"
        "except KeyboardInterrupt:\n"
        "    print('put away')\n"
    )
    assert done.stdout == "goes on\nput away\n" and done.stderr == ""


def test_a_second_interrupt_does_not_wait() -> None:
    begun = time.monotonic()
    done = child(
        "import os, signal, time\n"
        "from marketsim import interrupts\n"
        "interrupts.take_over()\n"
        "with interrupts.Unwinding():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally:\n"
        "        signal.setitimer(signal.ITIMER_REAL, 0.2)\n"
        "        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))\n"
        "        time.sleep(200)\n"
    )
    assert (done.returncode, done.stderr) == (interrupts.EXIT, "interrupted\n")
    assert time.monotonic() - begun < 100


def test_where_interrupts_are_ignored_they_stay_so() -> None:
    done = child(
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from marketsim import interrupts\n"
        "interrupts.take_over()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('lives')\n"
    )
    assert (done.returncode, done.stdout) == (0, "lives\n")
