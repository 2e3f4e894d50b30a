"""Writes a result folder whole or not at all: a temporary neighbour, then a rename."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from marketsim.errors import InputError

_TEMPORARY = ".tmp-"


def refuse_unless_free(folder: Path) -> None:
    """Raises InputError when the folder exists and holds something."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out: {folder} is a file, a folder is needed")
    if folder.is_dir() and any(not path.name.startswith(_TEMPORARY) for path in folder.iterdir()):
        raise InputError(f"--out: {folder} is not empty, name another folder")


def write_folder(folder: Path, files: Mapping[str, bytes], *, replace: bool = False) -> None:
    """Write `files` (relative path → content) as `folder`; what stood there goes only if `replace`.

    Raises InputError when the folder holds something and `replace` is not set.
    """
    if not replace:
        refuse_unless_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=folder.parent))
    try:
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        temporary.chmod(0o755)
        if folder.is_dir():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
