"""Machine code on disk: what somebody else could have written is never run, what is damaged is made again."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest

from marketsim.chain.events import hash64
from marketsim.errors import PlainWarning
from marketsim.kernel import code_store
from marketsim.kernel.compiled import Compiled, _entry_in, _file_of, _kept, _load, folder_of
from marketsim.kernel.modes import COMPILING

ROOT = Path(__file__).parents[2]
SOMEBODY = 4242
"""A user who is neither root nor whoever runs the tests."""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no owners and no modes there")
needs_compiler = pytest.mark.skipif(not COMPILING, reason="compilation is off")
needs_root = pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder and a folder of temporary files of one's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("MARKETSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    code_store._warn.cache_clear()


def spare() -> Path:
    return Path(tempfile.gettempdir()) / f"marketsim-{os.geteuid()}"


def kept(root: Path) -> Path:
    """Keep a file, and return where it is."""
    code_store.keep("money-1", "add-int", b"code")
    assert code_store.read("money-1", "add-int") == b"code"
    return root / "cache" / "money-1" / "add-int"


def spoil(path: Path, how: str) -> None:
    """Make what others could have put there of something of one's own."""
    if how == "foreign":
        os.chown(path, SOMEBODY, -1)
    elif how == "link":
        aside = path.rename(path.with_name("aside"))
        path.symlink_to(aside)
    else:
        path.chmod(int(how, 8))


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("how", ["666", "777", "775", "702", pytest.param("foreign", marks=needs_root), "link"])
def test_what_others_may_write_is_not_read(tmp_path: Path, level: int, how: str) -> None:
    file = kept(tmp_path)
    path = (file, file.parent, file.parent.parent)[level]
    spoil(path, how)
    if how == "link" and level == 2:  # one's own folder may stand elsewhere
        assert code_store.read("money-1", "add-int") == b"code"
        return
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(FileNotFoundError):
            code_store.read("money-1", "add-int")
        code_store.keep("money-1", "add-int", b"new")
        assert code_store.read("money-1", "add-int") == b"new"
    if how != "link":
        assert [str(path) in str(warning.message) for warning in told] == [True]
    if level:
        assert (spare() / "money-1" / "add-int").read_bytes() == b"new" and file.read_bytes() == b"code"


@pytest.mark.parametrize("how", ["777", pytest.param("foreign", marks=needs_root), "link"])
def test_a_temporary_folder_that_another_took_first_is_left_alone(tmp_path: Path, how: str) -> None:
    (tmp_path / "cache").write_text("in the way")
    trap = tmp_path / "trap"
    (trap / "money-1").mkdir(parents=True)
    (trap / "money-1" / "add-int").write_bytes(b"planted")
    if how == "link":
        spare().symlink_to(trap)
    else:
        trap.rename(spare())
        spoil(spare(), how)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(FileNotFoundError):
            code_store.read("money-1", "add-int")
        with pytest.raises(OSError):
            code_store.keep("money-1", "add-int", b"new")
    assert any("every process compiles anew" in str(warning.message) for warning in told)
    assert all(issubclass(warning.category, PlainWarning) for warning in told)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    file = kept(tmp_path)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(FileNotFoundError):
        code_store.read("money-1", "add-int")
    file.unlink()
    file.touch()
    os.truncate(file, 1 << 42)  # takes no room on the disk
    with pytest.raises(FileNotFoundError):
        code_store.read("money-1", "add-int")
    code_store.keep("money-1", "add-int", b"new")
    assert code_store.read("money-1", "add-int") == b"new"


def test_a_home_that_nobody_knows_is_not_the_folder_one_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MARKETSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert code_store.folders() == (spare(),)


@needs_compiler
def test_no_damage_is_loaded() -> None:
    whole = _kept({"symbol": "f", "enum": None}, bytes(range(256)))
    mutants = [whole[:cut] for cut in range(len(whole))] + [whole + b"x", b"[]\n", b"[]\n[]\n", b"{}\n{}\ncode", b""]
    mutants += [whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :] for at in range(len(whole)) for bit in (1, 32, 128)]
    for mutant in mutants:
        with pytest.raises(ValueError):
            _entry_in(mutant)


def planted() -> bytes:
    """A file for `hash64` that is whole, and whose code answers 42."""
    from numba import types

    from marketsim.kernel import compiler

    def answer(a: int, b: int, c: int, d: int) -> int:
        return a + 41

    assert isinstance(hash64, Compiled)
    code = compiler.emit(compiler.Inner(answer, inline=False), (types.int64,) * 4, "marketsim.chain.events.hash64")
    return _kept({"symbol": "marketsim.chain.events.hash64", "enum": None}, code)


@needs_compiler
@pytest.mark.parametrize("how, runs", [("755", True), ("777", False), pytest.param("foreign", False, marks=needs_root)])
def test_a_planted_object_does_not_run(tmp_path: Path, how: str, runs: bool) -> None:
    assert isinstance(hash64, Compiled)
    folder, name = _file_of(hash64, ("int",) * 4)
    assert folder == folder_of(ROOT / "marketsim" / "chain" / "events.py")
    code_store.keep(folder, name, planted())
    spoil(tmp_path / "cache", how)
    code = "from marketsim.chain.events import hash64; print(hash64(1, 2, 3, 4))"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout.strip() == "42") == runs, done.stderr
    assert ("compiled code is neither read from it" in done.stderr) != runs


@needs_root
@needs_compiler
@pytest.mark.parametrize("owner, runs", [(0, True), (SOMEBODY, True), (SOMEBODY + 1, False)])
def test_a_user_runs_what_root_and_oneself_have_kept(tmp_path: Path, owner: int, runs: bool) -> None:
    assert isinstance(hash64, Compiled)
    folder, name = _file_of(hash64, ("int",) * 4)
    code_store.keep(folder, name, planted())
    for path in (tmp_path / "cache", tmp_path / "cache" / folder, tmp_path / "cache" / folder / name):
        os.chown(path, owner, -1)
    for path in (tmp_path, *tmp_path.parents):
        path.chmod(path.stat().st_mode | 0o011)  # else the other user does not get this far
    child = os.fork()  # a new process of another user might not find its Python
    if child == 0:
        os.setgroups([])
        os.setgid(SOMEBODY)
        os.setuid(SOMEBODY)
        entry = _load(hash64, ("int",) * 4)
        os._exit(0 if entry is None else entry(1, 2, 3, 4))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (42 if runs else 0)


WINDOWS = """
import os, pathlib, sys, tempfile, warnings, marketsim.errors
sys.platform, os.O_BINARY = "win32", 0
from marketsim.kernel import code_store
code_store.keep("loop-0", "advance-int.x", b"code")
print(code_store.read("loop-0", "advance-int.x"), code_store.has("loop-0", "advance-", ".x"), code_store.has("loop-0", "other", ".x"))
try:
    code_store.read("loop-0", "absent")
except FileNotFoundError:
    print("absent")
print(sorted(path.name for path in pathlib.Path(os.environ["MARKETSIM_CACHE"], "loop-0").iterdir()))
"""


def test_code_is_kept_and_read_where_files_have_no_owners(tmp_path: Path) -> None:
    """The branch for Windows, run here: no checks can be made there, and nothing else may differ."""
    environment = os.environ | {"MARKETSIM_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", WINDOWS], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "b'code' True False\nabsent\n['advance-int.x']\n", done.stderr
