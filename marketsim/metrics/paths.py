"""Finds values in a summary by dotted path: the one reader of conditions, targets, metrics and objectives.

Exact money stands as text in a summary with the number beside it: `total` and `total_uve`, `by_cohort` and `by_cohort_uve`.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from marketsim.chain.status import SEED_CODES, Status

Path = tuple[str, ...]

NAMED = (
    "revenue.by_provider",
    "revenue.by_provider_uve",
    "revenue.by_cohort",
    "revenue.by_cohort_uve",
    "metrics",
)
"""Parts whose keys are names of the scenario's own."""

OPEN = frozenset({*NAMED, "revenue.per_day", "revenue.per_day_uve", "versions"})
"""Parts of the summary whose keys depend on the run. Of `bids.rejected` every code exists, 0 when it did not
occur."""

_HYPHENATED = re.compile(rf"\b({'|'.join(re.escape(part) for part in NAMED)})\.(\w+(?:-\w+)+)")


class OutcomeError(ValueError):
    """A path or a condition that makes no sense; the message says what would."""


def parts_of(path: str) -> Path:
    """The keys of a dotted path; what follows a part with names of its own is one name, dots and all."""
    for parent in NAMED:
        if path.startswith(f"{parent}.") and len(path) > len(parent) + 1:
            return (*parent.split("."), path[len(parent) + 1 :])
    return tuple(path.split("."))


def bracketed(text: str) -> str:
    """An expression in which `revenue.by_cohort.gpu-training` is written `revenue.by_cohort["gpu-training"]`, as no minus."""
    return _HYPHENATED.sub(r'\1["\2"]', text)


def value_at(summary: Mapping[str, Any], path: str | Path) -> Any:
    """The value at a path, as it stands; raises OutcomeError when there is none or when it has parts."""
    parts = parts_of(path) if isinstance(path, str) else path
    dotted = ".".join(parts)
    value: Any = summary
    for depth, key in enumerate(parts):
        here = ".".join(parts[:depth])
        if isinstance(value, Mapping) and key in value:
            value = value[key]
        elif isinstance(value, list) and _is_index(key, len(value)):
            value = value[int(key)]
        elif here == "bids.rejected" and (key in Status.__members__ or key in SEED_CODES.values()):
            value = 0
        elif isinstance(value, Mapping):
            raise OutcomeError(f"{dotted}: no such outcome, {_near(key, here, value)}")
        elif isinstance(value, list):
            raise OutcomeError(f"{dotted}: no such outcome, {_elements(here, value)}")
        else:
            raise OutcomeError(f"{dotted}: {here} has no parts, expected {here} itself")
    if isinstance(value, Mapping):
        raise OutcomeError(f"{dotted}: has parts, {_near('', dotted, value)}")
    if isinstance(value, list):
        raise OutcomeError(f"{dotted}: has parts, {_elements(dotted, value)}")
    return value


def exact_at(summary: Mapping[str, Any], path: str | Path) -> Any:
    """As `value_at`, with exact money as a Fraction."""
    parts = parts_of(path) if isinstance(path, str) else path
    value = value_at(summary, parts)
    return Fraction(value) if isinstance(value, str) and any(_found(summary, one) is not None for one in _beside(parts)) else value


def metric_at(summary: Mapping[str, Any], path: str | Path) -> float:
    """The number at a path, NaN where it is null; of exact money the number that stands beside it.

    Raises OutcomeError when the path leads to nothing, or to no number.
    """
    parts = parts_of(path) if isinstance(path, str) else path
    for beside in _beside(parts):
        if (found := _found(summary, beside)) is not None:
            return _as_float(found[0], parts)
    return _as_float(value_at(summary, parts), parts)


def numbers_of(summary: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a summary by its dotted path, in its order; exact money under its own name as a float, NaN for null.

    Left out are lists, words, versions and the tables by provider.
    """
    for key, value in summary.items():
        path = f"{prefix}{key}"
        is_beside = key.endswith("_uve") and key.removesuffix("_uve") in summary
        if isinstance(value, Mapping):
            if not (is_beside or key in {"versions", "by_provider"}):
                yield from numbers_of(summary.get(f"{key}_uve", value), f"{path}.")
        elif not (is_beside or isinstance(value, bool | list) or (isinstance(value, str) and f"{key}_uve" not in summary)):
            number = summary.get(f"{key}_uve", value)
            yield path, math.nan if number is None else float(number)


def _as_float(value: Any, parts: Path) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OutcomeError(f"{'.'.join(parts)}: is no number")
    return float(value)


def _beside(parts: Path) -> Iterator[Path]:
    """Where the number of an exact amount can stand: `…_uve` in place of the last part, or of the one before."""
    for cut in range(1, min(len(parts), 2) + 1):
        yield (*parts[:-cut], f"{parts[-cut]}_uve", *parts[len(parts) - cut + 1 :])


def _found(summary: Mapping[str, Any], parts: Path) -> tuple[Any] | None:
    try:
        return (value_at(summary, parts),)
    except OutcomeError:
        return None


def _is_index(key: str, length: int) -> bool:
    return key.removeprefix("-").isdecimal() and -length <= int(key) < length


def _elements(here: str, value: list[Any]) -> str:
    return f"expected one element, {here}[0] to {here}[{len(value) - 1}]" if value else f"{here} is empty in this run"


def _near(key: str, here: str, value: Mapping[str, Any]) -> str:
    prefix = f"{here}." if here else ""
    close = difflib.get_close_matches(key, list(value), n=3) or list(value)[:8]
    return f"expected {', '.join(prefix + name for name in close)}"
