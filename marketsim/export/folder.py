"""A folder that is written whole or not at all.

The contents go to a hidden sibling, which takes the folder's name when everything is written. A run that is
killed leaves at most that sibling; the next run removes it. A sibling in use is locked by its process (an
advisory lock on the folder, which the kernel drops with the process), so that a run never removes the folder
of another that lives."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from marketsim.errors import InputError
from marketsim.interrupts import Unwinding

PARTIAL: Final = ".marketsim-partial-"
"""In the names of unfinished folders: `.<name>.marketsim-partial-<random>`."""


@contextmanager
def written_whole(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `target` that becomes `target` when the block ends without an exception.

    An existing, non-empty `target` is refused with InputError, or with `replace` exchanged for the new one.
    Where `target` is a link to a folder, that folder is meant. Leftovers of killed runs in the same parent are
    removed first. On any exception (also Ctrl-C) what was written is removed; an OSError such as a full disk becomes
    an InputError.
    """
    with Unwinding():
        yield from _written_whole(free_folder(target, replace=replace), replace)


def _written_whole(target: Path, replace: bool) -> Iterator[Path]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.parent):
            remove_leftovers(target.parent)
            partial = Path(tempfile.mkdtemp(prefix=f".{target.name}{PARTIAL}", dir=target.parent))
            partial.chmod(0o777 & ~_umask())
            lock = os.open(partial, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise InputError(f"{target}: --out: cannot be written ({error.strerror}), choose another folder") from None
    try:
        yield partial
        free_folder(target, replace=replace)
        _take_place(partial, target)
    except OSError as error:
        where = error.filename or target
        raise InputError(f"{target}: nothing was kept: {where}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def free_folder(target: Path, *, replace: bool = False) -> Path:
    """Return the folder that `target` is or, as a link, leads to. Raises InputError unless it is new, empty or, with `replace`, to be
    exchanged, and of a kind that another folder can take the place of."""
    folder = Path(os.path.realpath(target)) if target.is_symlink() else target
    if folder.is_dir():
        if os.path.ismount(folder):
            raise InputError(f"{target}: --out: a file system is mounted there, expected a folder in it")
        if not replace and any(folder.iterdir()):
            raise InputError(f"{target}: --out: the folder is not empty, expected a new or an empty one")
    elif folder.exists():
        raise InputError(f"{target}: --out: is a file, expected a folder")
    elif folder.is_symlink():
        raise InputError(f"{target}: --out: is a link that leads round in a circle, expected a folder")
    return folder


def remove_leftovers(parent: Path) -> list[Path]:
    """Remove what killed runs left in `parent` and return it; folders whose run still lives are kept."""
    removed = []
    for path in sorted(parent.glob(f".*{PARTIAL}*")):
        try:
            lock = os.open(path, os.O_RDONLY)
        except OSError:
            continue  # another run has removed it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
        except OSError:
            pass  # its run lives
        finally:
            os.close(lock)
    return removed


def write_file(path: Path, content: bytes | str) -> None:
    """Replace a file in one step, so that a reader sees the old content or the new."""
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}{PARTIAL}{os.getpid()}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def safe_name(text: str) -> str:
    """Return a name as a file name: letters, digits, `.`, `_` and `-`, at most 80 characters."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "scenario"


def _take_place(partial: Path, target: Path) -> None:
    if not (target.is_dir() and any(target.iterdir())):
        partial.rename(target)
        return
    # A folder cannot replace a full one in one step: the old one steps aside under a name that the next run
    # removes.
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}{PARTIAL}", dir=target.parent))
    target.rename(aside)
    partial.rename(target)
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the parent between making a folder and locking it, so that nobody takes it for a leftover."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
