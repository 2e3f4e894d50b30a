"""Capsules: made again elsewhere they agree to the byte, a flipped byte is located, hostile ones are refused."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.experiments.difference.archive import Archive, write_archive
from marketsim.experiments.difference.capsule import OUTPUTS, make_capsule, verify_capsule

SCENARIO = """
name: sealed
rules: seed
horizon: 600 blocks
record: everything
tenants:
  - name: web
    count: 3
    demand: {trace: traces/web.csv}
    order: {cpu: 1000, memory: 1Gi, storage: 5Gi}
    ceiling: {times_cost: 4}
    duration: 20m
  - name: batch
    count: 2
    demand: {arrivals: 30/h}
    order: {sdl: sdl/web.yaml}
    duration: 10m
providers:
  - {name: edge, count: 2, strategy: {python: shop:Price}, capacity: {cpu: 64000, memory: 64Gi, storage: 1Ti}}
"""
TRACE = "at_seconds,cpu\n10,1000\n400,2000\n900,1500\n"
SHOP = "from prices import PRICE\n\n\nclass Price:\n    def price(self, request):\n        return PRICE\n"
SWEEP = """
name: counts
scenario: ../market/sealed.yaml
factors:
  - {name: lasts, path: tenants.batch.duration, levels: [5m, 10m]}
replications: 2
metrics: [fill_rate]
"""


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario with a trace, a manifest and a class whose module imports another; a sweep of it beside."""
    root = tmp_path_factory.mktemp("home")
    folder = root / "market"
    for name, text in (("sealed.yaml", SCENARIO), ("traces/web.csv", TRACE), ("shop.py", SHOP), ("prices.py", "PRICE = 2 * 10**15\n")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    shutil.copytree(Path(__file__).parents[2] / "scenarios" / "sdl", folder / "sdl")
    (root / "sweeps").mkdir()
    (root / "sweeps" / "counts.yaml").write_text(SWEEP)
    return folder


@pytest.fixture(scope="module")
def results(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("results") / "sealed"
    assert main(["run", str(market / "sealed.yaml"), "--seed", "5", "--quiet", "--no-figures", "--audit", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def capsule(results: Path) -> Path:
    out = results.parent / "sealed.capsule"
    assert main(["capsule", "create", str(results), "-o", str(out), "--quiet"]) == 0
    return out


def copy_with(capsule: Path, target: Path, change: Callable[[bytearray], None]) -> Path:
    content = bytearray(capsule.read_bytes())
    change(content)
    target.write_bytes(content)
    return target


def test_a_capsule_holds_what_the_run_read_and_is_the_same_bytes(capsule: Path, results: Path) -> None:
    members = Archive(capsule).members
    names = set(members)
    assert {"inputs/traces/web.csv", "inputs/shop.py", "inputs/prices.py", "inputs/capsule-scenario.json"} <= names
    assert {"outputs/summary.json", "outputs/manifest.json", "outputs/events.parquet", "outputs/trail.csv"} <= names
    assert not any("report." in name or "figures" in name for name in names)
    head = json.loads(members["capsule.json"])
    assert head["seeds"] == [5] and head["audit"] and head["user_code"] == ["shop:Price"]
    assert make_capsule(results) == capsule.read_bytes()
    assert zipfile.ZipFile(capsule).testzip() is None


def test_a_capsule_agrees_in_a_process_that_knows_nothing_of_its_home(capsule: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere" / "x.capsule"
    alone.parent.mkdir()
    shutil.copy(capsule, alone)
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "marketsim", "capsule", "verify", alone.name]
    done = subprocess.run(command, cwd=alone.parent, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "all" in done.stdout and "byte for byte" in done.stdout and "it brings code that is run: shop:Price" in done.stderr
    assert sorted(path.name for path in alone.parent.iterdir()) == ["x.capsule"]


def test_a_flipped_byte_is_located_wherever_it_is(capsule: Path, tmp_path: Path) -> None:
    draw = random.Random(4)
    archive = Archive(capsule)
    content = capsule.read_bytes()
    for name in ("outputs/summary.json", "outputs/trail.csv", "inputs/shop.py", "capsule.json", "outputs/orders.parquet"):
        member = archive.members[name]
        at = draw.randrange(len(member))
        place = content.index(member) + at

        def flip(changed: bytearray, place: int = place) -> None:
            changed[place] ^= 1

        flipped = Archive(copy_with(capsule, tmp_path / "flipped.capsule", flip))
        assert flipped.damage is not None
        assert (flipped.damage.member, flipped.damage.offset, flipped.damage.was) == (name, at, member[at])


def test_a_byte_that_the_run_does_not_give_is_named(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The flip was there before the capsule was made, so that its hashes are right: only the run knows."""
    folder = tmp_path / "changed"
    shutil.copytree(results, folder)
    for name, place in (("leases.csv", "line 2"), ("summary.json", "")):
        content = bytearray((folder / name).read_bytes())
        at = content.index(b"\n") + 3 if name == "leases.csv" else content.index(b'"fill_rate": 1.') + 15
        content[at] = ord("9") if content[at] != ord("9") else ord("8")
        (folder / name).write_bytes(content)
        assert main(["capsule", "create", str(folder), "-o", str(tmp_path / "x"), "--replace", "--quiet"]) == 0
        assert main(["capsule", "verify", str(tmp_path / "x"), "--json"]) == 1
        found = json.loads(capsys.readouterr().out)["differing"]
        assert [one["file"] for one in found] == [name] and found[0]["offset"] == at and place in found[0]["place"]
        shutil.copy(results / name, folder / name)


def test_what_is_not_installed_is_said(capsule: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = dict(Archive(capsule).members)
    head = json.loads(members["capsule.json"])
    head["versions"]["numpy"], head["code"] = "1.0", "0" * 16
    other = tmp_path / "other.capsule"
    other.write_bytes(write_archive({**members, "capsule.json": json.dumps(head).encode()}))
    assert main(["capsule", "verify", str(other)]) == 1
    said = capsys.readouterr().out
    assert "needs what is not installed here" in said and "numpy 1.0" in said and "0" * 16 in said
    assert main(["capsule", "verify", str(other), "--no-code", "--anyway"]) == 2
    assert "--no-code" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_agrees_with_another_number_of_workers(market: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    _ask("sweep", str(market.parent / "sweeps" / "counts.yaml"), "--workers", "2", "--quiet", "--out", str(folder))
    file = tmp_path / "counts.capsule"
    _ask("capsule", "create", str(folder), "-o", str(file), "--quiet")
    names = set(Archive(file).members)
    assert {"inputs/sweeps/counts.yaml", "inputs/market/sealed.yaml", "inputs/market/sdl/web.yaml", "inputs/market/shop.py"} <= names
    assert json.loads(_ask("capsule", "verify", str(file), "--workers", "1", "--json"))["agrees"]


def _ask(*arguments: str) -> str:
    """What a command of its own process prints: in this one, modules of other tests may have the names of the market's."""
    done = subprocess.run([sys.executable, "-m", "marketsim", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hostile(members: dict[str, Any], name: str, content: bytes = b"x", **changes: Any) -> bytes:
    """An archive with one member more, as nobody here writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for known, kept in members.items():
            archive.writestr(known, kept)
        info = zipfile.ZipInfo(name)
        for key, value in changes.items():
            setattr(info, key, value)
        archive.writestr(info, content)
    return buffer.getvalue()


def test_hostile_capsules_are_refused(capsule: Path, tmp_path: Path) -> None:
    members = Archive(capsule).members
    file = tmp_path / "hostile.capsule"
    cases = [
        hostile(members, "../outside"),
        hostile(members, "/etc/passwd"),
        hostile(members, "inputs/../../outside"),
        hostile(members, "inputs\\..\\outside"),
        hostile(members, "inputs/link", b"/etc/passwd", create_system=3, external_attr=(stat.S_IFLNK | 0o777) << 16),
        hostile(members, "inputs/bomb", bytes(1 << 20), compress_type=zipfile.ZIP_DEFLATED),
        hostile(members, "inputs/shop.py/inner"),
        hostile(members, "inputs/more"),
        b"PK\x05\x06",
        b"",
        write_archive({"capsule.json": b"[" * 100_000}),
        write_archive({"capsule.json": b"{}"}),
    ]
    for content in cases:
        file.write_bytes(content)
        with pytest.raises(InputError):
            verify_capsule(file)
    for named in ("/etc/passwd", "../../../etc/passwd"):
        scenario = json.loads(members["inputs/capsule-scenario.json"])
        scenario["tenants"][0]["demand"]["trace"] = named
        changed = {**members, "inputs/capsule-scenario.json": json.dumps(scenario).encode()}
        file.write_bytes(write_archive(changed))
        with pytest.raises(InputError, match="outside of the capsule"):
            verify_capsule(file)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.capsule"]


def test_an_empty_file_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "none.capsule").touch()
    with pytest.raises(InputError, match=r"none\.capsule: an empty file, expected a capsule"):
        Archive(tmp_path / "none.capsule")


def test_create_refuses_what_cannot_be_made_again(market: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["-o", str(tmp_path / "x.capsule")]
    (market / "traces" / "web.csv").write_text(TRACE + "1000,1000\n")
    try:
        assert main(["capsule", "create", str(results), *out]) == 2
        assert "have changed since" in capsys.readouterr().err
    finally:
        (market / "traces" / "web.csv").write_text(TRACE)
    assert main(["capsule", "create", str(tmp_path), *out]) == 2
    assert main(["capsule", "create", str(tmp_path / "none"), *out]) == 2
    assert main(["capsule", "create", str(results), "-o", str(tmp_path)]) == 2
    (tmp_path / "x.capsule").write_text("mine")
    assert main(["capsule", "create", str(results), *out]) == 2
    assert (tmp_path / "x.capsule").read_text() == "mine"


def test_the_tree_of_hashes_is_of_the_members(capsule: Path) -> None:
    members = Archive(capsule).members
    changed = {**members, f"{OUTPUTS}/summary.json": members[f"{OUTPUTS}/summary.json"] + b" "}
    other = capsule.with_name("longer.capsule")
    other.write_bytes(write_archive(changed))
    verdict = verify_capsule(other)
    assert "outputs/summary.json is not what the tree of hashes says" in verdict.damage
    assert [one["file"] for one in verdict.differing] == ["summary.json"] and not verdict.agrees
