"""Keeps machine code on disk, and gives back only what nobody else can have written there.

Whatever comes out of here is run. So a file, its folder and the folder of all of them must belong to oneself, to root or to the owner of
marketsim's own files, and nobody else may write them. Each is looked at after it has been opened and opened within the one before, without
following links: nothing can be exchanged in between. Where no folder is safe, code is made anew in every process, and a warning says so.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from marketsim.errors import PlainWarning

SIZE_MAX = 1 << 26
"""Bytes of the largest file that is read; the largest that was ever written has 0.3 MB."""

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class ForeignCodeError(OSError):
    """Something that others could have put there."""


def folders() -> tuple[Path, ...]:
    """Return where code is looked for, the first choice first: `$MARKETSIM_CACHE` or the user's cache folder, then one in the folder of
    temporary files."""
    spare = Path(tempfile.gettempdir()) / (f"marketsim-{os.geteuid()}" if sys.platform != "win32" else "marketsim")
    named = os.environ.get("MARKETSIM_CACHE")
    if named:
        return Path(named), spare
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return (home / "marketsim", spare) if home.is_absolute() else (spare,)


def read(folder: str, name: str) -> bytes:
    """Return the contents of a file. Raises OSError when there is none that may be used."""
    for root in folders():
        with suppress(OSError), _opened(root, folder, make=False) as inside, _file(inside, name) as descriptor:
            return _contents(descriptor, root / folder / name)
    raise FileNotFoundError(name)


def keep(folder: str, name: str, contents: bytes) -> None:
    """Write a file whole or not at all: other processes may write it at the same time. Raises OSError when there is no place for it."""
    failure = OSError("no folder")
    for root in folders():
        try:
            with _opened(root, folder, make=True) as inside:
                _write(inside, name, contents)
            return
        except OSError as error:
            failure = error
    _warn(f"compiled code cannot be kept ({failure}), every process compiles anew: MARKETSIM_CACHE names another folder")
    raise failure


def has(folder: str, begin: str, end: str) -> bool:
    """Return whether a file is kept whose name begins and ends so."""
    for root in folders():
        with suppress(OSError), _opened(root, folder, make=False) as inside:
            if any(name.startswith(begin) and name.endswith(end) for name in os.listdir(inside)):
                return True
    return False


if sys.platform != "win32":

    @contextmanager
    def _opened(root: Path, folder: str, *, make: bool) -> Iterator[int]:
        """A folder within `root`, open and looked at."""
        if make:
            root.mkdir(0o755, parents=True, exist_ok=True)
        # A user's own folder may be a link. One in the folder of temporary files is somebody's trap.
        links = os.O_NOFOLLOW if root == folders()[-1] else 0
        with _held(os.open(root, os.O_RDONLY | os.O_DIRECTORY | links)) as outer:
            _look(outer, root)
            if make:
                with suppress(FileExistsError):
                    os.mkdir(folder, 0o755, dir_fd=outer)
            with _held(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=outer)) as inner:
                _look(inner, root / folder)
                yield inner

    @contextmanager
    def _file(inside: int, name: str) -> Iterator[int]:
        # not blocking: who waits for the writer of a pipe waits for ever
        with _held(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)) as descriptor:
            yield descriptor

    def _write(inside: int, name: str, contents: bytes) -> None:
        new = f".{secrets.token_hex(8)}"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=inside)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(contents)
            os.replace(new, name, src_dir_fd=inside, dst_dir_fd=inside)
        except BaseException:
            os.unlink(new, dir_fd=inside)
            raise

else:  # pragma: no cover  (no owners and no modes there: a user's folders are closed to others by their place)

    @contextmanager
    def _opened(root: Path, folder: str, *, make: bool) -> Iterator[Path]:
        if make:
            (root / folder).mkdir(parents=True, exist_ok=True)
        yield root / folder

    @contextmanager
    def _file(inside: Path, name: str) -> Iterator[int]:
        with _held(os.open(inside / name, os.O_RDONLY | os.O_BINARY)) as descriptor:
            yield descriptor

    def _write(inside: Path, name: str, contents: bytes) -> None:
        new = inside / f".{secrets.token_hex(8)}"
        new.write_bytes(contents)
        new.replace(inside / name)


@contextmanager
def _held(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _contents(descriptor: int, path: Path) -> bytes:
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_size > SIZE_MAX:
        raise OSError(f"{path} is no file that was kept")
    _look(descriptor, path)
    with os.fdopen(os.dup(descriptor), "rb") as stream:
        return stream.read(SIZE_MAX)


def _look(descriptor: int, path: Path) -> None:
    """Raise ForeignCodeError, and warn once, unless only trusted users can have written what is open."""
    if sys.platform == "win32":
        return
    about = os.fstat(descriptor)
    if about.st_uid not in {os.geteuid(), 0, _owner_of_sources()}:
        why = f"belongs to another user ({about.st_uid})"
    elif about.st_mode & _OTHERS_WRITE:
        why = f"can be written by others (mode {stat.S_IMODE(about.st_mode):o})"
    else:
        return
    _warn(f"{path} {why}: compiled code is neither read from it nor kept in it, MARKETSIM_CACHE names another folder")
    raise ForeignCodeError(why)


@cache
def _owner_of_sources() -> int:
    return os.stat(__file__).st_uid


@cache
def _warn(text: str) -> None:
    warnings.warn(text, PlainWarning, stacklevel=2)
