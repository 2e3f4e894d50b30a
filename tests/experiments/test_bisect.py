"""A planted error in a copy of the chain is found in a repository of 12 commits, whatever else stands in its history."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import marketsim
from marketsim.cli import main

SCENARIO = """
name: history
rules: seed
horizon: 300 blocks
tenants:
  - name: web
    count: 3
    demand: {arrivals: 60/h}
    order: {cpu: 1000, memory: 1Gi, storage: 5Gi}
    ceiling: {times_cost: 2}
    duration: 8m
providers:
  - {name: edge, count: 2, strategy: monthly_targets, capacity: {cpu: 64000, memory: 64Gi, storage: 1Ti}}
"""
PLANTED = 8
BROKEN = 6
ACCOUNTS = Path("marketsim", "chain", "escrow", "accounts.py")


def git(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def history(root: Path, change: Callable[[int], str]) -> list[str]:
    """A repository of 12 commits, made by `change`, which returns the first line of commit 0 to 11; their hashes."""
    git(root, "init", "--quiet", "--initial-branch=main")
    hashes = []
    for number in range(12):
        subject = change(number)
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--allow-empty", "-m", subject)
        hashes.append(git(root, "rev-parse", "HEAD"))
    return hashes


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A copy of marketsim in 12 commits: one charges a take of one uve more, one before it cannot be imported."""
    root = tmp_path_factory.mktemp("history")
    package = Path(marketsim.__file__).parent
    shutil.copytree(package, root / "marketsim", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "scenario.yaml").write_text(SCENARIO)

    def change(number: int) -> str:
        accounts = root / ACCOUNTS
        if number == BROKEN:
            accounts.write_text(accounts.read_text() + "\nthis is no Python\n")
            return "Half a thought"
        if number == BROKEN + 1:
            accounts.write_text(accounts.read_text().replace("\nthis is no Python\n", ""))
            return "The other half"
        if number == PLANTED:
            text = accounts.read_text()
            assert text.count("share_ppm(p.withdrawn + gross, take) - p.fees") == 1
            accounts.write_text(
                text.replace("share_ppm(p.withdrawn + gross, take) - p.fees", "share_ppm(p.withdrawn + gross, take) + 1 - p.fees")
            )
            return "Round the take up"
        with (root / "notes.md").open("a") as notes:
            notes.write(f"day {number}\n")
        return f"Notes of day {number}"

    return root, history(root, change)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of commits go as plain Python: compiling each takes longer than these runs."""
    monkeypatch.setenv("MARKETSIM_COMPILE", "0")


def left_behind(root: Path) -> list[str]:
    return git(root, "worktree", "list").splitlines()[1:] + git(root, "status", "--porcelain").splitlines()


@pytest.mark.usefixtures("plain")
def test_the_commit_that_moved_an_outcome_is_found(repository: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    root, hashes = repository
    scenario = str(root / "scenario.yaml")
    assert main(["bisect", scenario, "--good", hashes[0], "--bad", "main", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["first_bad"] == hashes[PLANTED] and not said["suspects"] and said["last_good"] == hashes[PLANTED - 1]
    assert len(said["tried"]) <= 7 and said["commits"] == 11
    assert said["difference"]["known_from"] == "recorded events" and "paid" in said["difference"]["event"]["b"]["text"]
    assert left_behind(root) == []


@pytest.mark.usefixtures("plain")
def test_where_all_between_fail_the_suspects_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A strategy in a repository of its own, whose price moves while it cannot be imported."""
    (tmp_path / "scenario.yaml").write_text(SCENARIO.replace("strategy: monthly_targets", "strategy: {python: shop:Price}"))

    def change(number: int) -> str:
        price = 2 * 10**15 if number < 5 else 3 * 10**15
        body = f"class Price:\n    def price(self, request):\n        return {price}\n"
        (tmp_path / "shop.py").write_text(f"# {number}\n" + ("import nothing_like_it\n" if number in (4, 5) else "") + body)
        return f"Price of day {number}"

    hashes = history(tmp_path, change)
    line = ["bisect", str(tmp_path / "scenario.yaml"), "--good", hashes[2], "--bad", hashes[7], "--metric", "price.mean_won"]
    assert main(line) == 0
    said, progress = capsys.readouterr()
    assert "could not be run:\n" + "\n".join(f"  {hashes[at][:10]}" for at in (4,)) in said
    suspects = said.partition("could not be run:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in suspects] == [commit[:10] for commit in hashes[4:7]]
    skipped = [line for line in said.splitlines() if line.startswith("  skipped")]
    assert len(skipped) == 2 and all("nothing_like_it" in line for line in skipped)
    assert f"  good     {hashes[2][:10]}  price.mean_won = 0.002" in said and "is run" in progress
    assert left_behind(tmp_path) == []


def test_bad_input_of_the_command_is_refused(
    repository: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, hashes = repository
    scenario = str(root / "scenario.yaml")
    (tmp_path / "scenario.yaml").write_text(SCENARIO)
    for line, said in (
        ([str(root / "none.yaml"), "--good", hashes[0]], "no such file"),
        ([str(tmp_path / "scenario.yaml"), "--good", "HEAD"], "give a folder in a git repository"),
        ([scenario, "--good", "nobody"], "--good: nobody: names no commit"),
        ([scenario, "--good", "--upload-pack=x"], "names no commit"),
        ([scenario, "--good", hashes[3], "--bad", hashes[2]], "comes not before"),
        ([scenario, "--good", hashes[3], "--bad", hashes[3]], "give a later commit"),
        ([scenario, "--good", hashes[3], "--metric", "a", "--event", "b"], "give one of the two"),
        ([scenario, "--good", hashes[3], "--metric", "fill_rate +"], "--metric"),
    ):
        assert main(["bisect", *line]) == 2, line
        assert said in capsys.readouterr().err, line


def test_ctrl_c_leaves_nothing_behind(repository: tuple[Path, list[str]], tmp_path: Path) -> None:
    root, hashes = repository
    environment = {**os.environ, "MARKETSIM_COMPILE": "0", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "marketsim", "bisect", str(root / "scenario.yaml"), "--good", hashes[0]]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("marketsim-bisect-*/tree-*")) and time.monotonic() < until:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and b"interrupted" in said
    assert not list(tmp_path.glob("marketsim-bisect-*")) and left_behind(root) == []
