"""The folder of a devnet: its lock, the secrets of its keys, where its server answers."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from marketsim.errors import InputError

ADDRESS_FILE = "server.json"
"""Says where the server of a folder answers, while one runs."""
PATIENCE_SECONDS = 0.5
"""How long a lock is tried to be taken."""


def take_lock(folder: Path) -> Any:
    """Return the open lock of a folder, which is held until it is closed. Raises InputError while another process has it.

    Who asks whether a devnet runs (`is_locked`) has the lock for a moment, so that it is tried more than once.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while (file := _locked(folder)) is None:
        if time.monotonic() > until:
            raise InputError(
                f"{folder}: a devnet runs on this folder already, `marketsim devnet status --dir {folder}` asks it, "
                f"`marketsim devnet stop --dir {folder}` ends it"
            )
        time.sleep(PATIENCE_SECONDS / 50)
    return file


def _locked(folder: Path) -> Any:
    """The lock of a folder, taken; None while another has it."""
    file = (folder / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def is_locked(folder: Path) -> bool:
    """Return whether a process has the folder."""
    if not (folder / "lock").exists():
        return False
    file = _locked(folder)
    if file is None:
        return True
    file.close()
    return False


def keep_secret(folder: Path, devnet: str, name: str, secret: str) -> Path:
    """Write a key's secret into the folder's keyring, which only its owner reads; return the path."""
    keyring = folder / "keyring" / devnet
    keyring.mkdir(parents=True, exist_ok=True, mode=0o700)
    return write_private(keyring / name, secret)


def secret_of(folder: Path, devnet: str, name: str) -> str | None:
    """Return a key's secret out of the folder's keyring, None where it is not there."""
    path = folder / "keyring" / devnet / name
    return path.read_text() if "/" not in name and path.is_file() else None


def write_address(folder: Path, said: dict[str, Any]) -> None:
    """Say where the server answers: its url, the devnet's name, its process, and the token that it wants."""
    write_private(folder / ADDRESS_FILE, json.dumps(said))


def read_address(folder: Path) -> dict[str, Any] | None:
    """Return where the folder's server answers, None when none runs."""
    path = folder / ADDRESS_FILE
    if not path.is_file() or not is_locked(folder):
        return None
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner reads, whole or not at all."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    aside.replace(path)
    return path


__all__ = ["ADDRESS_FILE", "is_locked", "keep_secret", "read_address", "secret_of", "take_lock", "write_address", "write_private"]
