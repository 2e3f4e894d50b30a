"""Machine code that a wheel carries: one shared library beside the sources, and an index of its entries.

A wheel made by `make wheel` runs without a compiler. The library is made for any x86-64-v3 processor under Linux and belongs to the
sources that lie beside it: the index holds a hash of them, and one of the library. Whoever could write either could write the sources as
well, so no more is asked of their owners than of theirs. A source tree has neither file, and compiles (`marketsim.kernel.compiled`).
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import platform
import sys
from functools import cache
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).resolve().parent.parent
FOLDER = _PACKAGE / "machine_code"
INDEX = "index.json"
LIBRARY = "code.so"
COMPILED = ("kernel", "money", "chain", "market")
"""Packages whose sources are compiled."""
WITH_ENTRIES = (*COMPILED, "simulation", "recording", "export")
"""Packages that have functions which are compiled."""
LEVEL = "x86-64-v3"
FEATURES = frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "abm"})
"""What Linux calls the features of that level."""


def sources_digest() -> str:
    """Return 64 hex digits that change with any source file that is compiled."""
    digest = hashlib.sha256()
    for file in sorted(file for package in WITH_ENTRIES for file in (_PACKAGE / package).glob("**/*.py")):
        contents = file.read_bytes()
        digest.update(f"{os.path.relpath(file, _PACKAGE)} {len(contents)}\n".encode() + contents)
    return digest.hexdigest()


def why_not() -> str | None:
    """Return why the machine code beside the sources cannot be used here, or that there is none; None where it can."""
    return _found()[1]


def compiler_version() -> str | None:
    """Return the version of numba that made the code which is used here, None where none of a wheel is."""
    index, _ = _found()
    return None if index is None else str(index["numba"])


def entry_of(name: str) -> tuple[int, str, list[str] | None] | None:
    """Return address, symbol and enumeration of an entry, by the name of its file in the cache; None where the wheel has none."""
    index, _ = _found()
    about = None if index is None else index["entries"].get(name)
    if about is None:
        return None
    address = ctypes.cast(getattr(_library(), about["symbol"]), ctypes.c_void_p).value
    assert address is not None
    return address, about["symbol"], about["enum"]


@cache
def _found() -> tuple[dict[str, Any] | None, str | None]:
    try:
        index = json.loads((FOLDER / INDEX).read_bytes())
    except (OSError, ValueError):
        return None, "there is no machine code beside the sources"
    if sys.platform != "linux" or platform.machine() != "x86_64" or sys.implementation.name != "cpython":
        return None, f"the machine code of this wheel is for CPython on Linux, x86-64, not {sys.implementation.name} on {sys.platform}"
    missing = FEATURES - _features()
    if missing:
        return None, f"the machine code of this wheel is for processors of level {LEVEL}, this one has no {', '.join(sorted(missing))}"
    if index["sources"] != sources_digest():
        return None, "the machine code of this wheel is of other sources than lie beside it"
    if index["library"] != hashlib.sha256((FOLDER / LIBRARY).read_bytes()).hexdigest():
        return None, "the machine code of this wheel is damaged"
    return index, None


@cache
def _library() -> Any:
    return ctypes.PyDLL(str(FOLDER / LIBRARY))


def _features() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
