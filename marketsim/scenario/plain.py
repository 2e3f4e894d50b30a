"""Turns what Python code gives for a scenario into what a YAML file would have given."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from marketsim.errors import InputError


def plain(value: Any, path: str = "") -> Any:
    """Return a copy made of dict, list, str, int, Decimal, bool and None.

    Tuples become lists, paths texts, numbers of numpy Python's own, floats the decimals that they print as, `timedelta` seconds or
    milliseconds, `datetime` its ISO text. Raises InputError for anything else and for keys that are no text.
    """
    if value is None or (isinstance(value, (str, bool, int, Decimal)) and not isinstance(value, Enum)):
        return value
    if isinstance(value, Enum):
        return plain(value.value, path)
    if isinstance(value, Mapping):
        return {_key(key, path): plain(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{path}.{number}") for number, item in enumerate(value)]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{path or 'scenario'}: {value} is not a number that can be used, give a finite one")
        return Decimal(repr(float(value)))
    if isinstance(value, timedelta):
        milliseconds, rest = divmod(value, timedelta(milliseconds=1))
        if rest:
            raise InputError(f"{path or 'scenario'}: {value} is finer than a millisecond, give whole milliseconds")
        return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):  # a scalar or an array, without importing numpy for it
        return plain(value.tolist(), path)
    raise InputError(f"{path or 'scenario'}: {type(value).__name__} cannot stand in a scenario, give texts, numbers, lists or mappings")


def _key(key: Any, path: str) -> Any:
    if isinstance(key, (str, int)):
        return key
    raise InputError(f"{path or 'scenario'}: the key {key!r} is not a text, keys are the names of docs/scenario.md")
