"""Writes a result folder whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from marketsim.export.folder import written_whole


def write_folder(folder: Path, files: Mapping[str, bytes], *, replace: bool = False) -> None:
    """Write `files` (relative path → content) as `folder`; what stood there goes only if `replace`.

    Raises InputError when the folder holds something and `replace` is not set.
    """
    with written_whole(folder, replace=replace) as fresh:
        for name, content in files.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
