"""A course: a folder of the trainer's with the secret that its learners' instances are drawn with."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from marketsim.errors import InputError

SECRET: Final = "secret"
FOLDER_VARIABLE: Final = "MARKETSIM_COURSE"
"""The environment variable that names the course's folder where no option does."""
_BYTES: Final = 32
_README: Final = """# A course

`secret` decides what every learner of this course is asked, and what the answers are. Keep it to yourself, keep a copy: without it
nothing that was handed in can be graded again. Nobody needs it to learn.

    marketsim exercise start pricing --learner anna --dir anna/pricing --course {folder}
    marketsim exercise grade anna/pricing ben/pricing --course {folder} --csv class.csv
"""


def init_course(folder: Path) -> Path:
    """Make a course's folder with a new secret; return the secret's file. Raises InputError where there is one."""
    target = folder / SECRET
    if target.exists():
        raise InputError(f"{target}: is there already, what was drawn with it could not be graded with another; give a new folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: the folder is not empty, give a new or an empty one")
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(_BYTES) + "\n")
    (folder / "README.md").write_text(_README.format(folder=folder), encoding="utf-8")
    return target


def course_secret(folder: Path | None) -> bytes | None:
    """Return the secret of a course, of the folder named by the environment where none is given, None without either.

    Raises InputError for a folder that is no course's.
    """
    if folder is None:
        named = os.environ.get(FOLDER_VARIABLE)
        if not named:
            return None
        folder = Path(named)
    file = folder / SECRET
    try:
        secret = bytes.fromhex(file.read_text(encoding="ascii").strip())
    except FileNotFoundError:
        raise InputError(
            f"{folder}: is no course, it has no file '{SECRET}'; `marketsim exercise course init {folder}` makes one"
        ) from None
    except (OSError, ValueError, UnicodeDecodeError):
        raise InputError(f"{file}: cannot be read as a secret, expected {2 * _BYTES} hexadecimal digits") from None
    if len(secret) < _BYTES:
        raise InputError(f"{file}: is too short for a secret, expected {2 * _BYTES} hexadecimal digits")
    return secret
