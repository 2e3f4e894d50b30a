"""A scenario's calibration targets laid beside what the run gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marketsim.metrics.paths import value_at

_WHOLE = {"utilization": "utilization.cpu"}
"""Targets on something with parts mean its main part."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target: a name, the range it asks for, the value of the run (None = undefined) and the aim if it
    has one."""

    name: str
    low: float
    high: float
    value: float | None
    aim: float | None = None

    @property
    def met(self) -> bool:
        """Whether the value lies in the range, ends included."""
        return self.value is not None and self.low <= self.value <= self.high


def calibration_targets(summary: Mapping[str, Any], calibration: Mapping[str, Any] | None) -> list[Target]:
    """Return the targets of a scenario's `calibration:` with the run's values.

    `close_reasons` are shares of the closed leases, each within `within` (default 0.10); every other key is
    a path into the summary with a range [low, high].
    """
    targets: list[Target] = []
    settings = dict(calibration or {})
    within = float(settings.pop("within", None) or 0.10)
    reasons = settings.pop("close_reasons", None) or {}
    for path, limits in settings.items():
        if limits is not None:
            low, high = limits
            path = _WHOLE.get(path, path)
            value = value_at(summary, path)
            targets.append(Target(path, float(low), float(high), None if value is None else float(value)))
    counts = summary["leases"]["close_reasons"]
    closed = sum(counts.values())
    for reason, aim in reasons.items():
        if aim is None:
            continue
        share = counts[reason] / closed if closed else None
        # Shares carry the noise of binary fractions: 0.45 + 0.10 must not refuse 0.55.
        targets.append(Target(f"close_reasons.{reason}", round(aim - within, 12), round(aim + within, 12), share, float(aim)))
    return targets
