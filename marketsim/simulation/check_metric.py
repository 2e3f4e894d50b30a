"""Try a user's metric on a small run: a battery that anybody may run on his own function."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from marketsim.metrics.own import Metric, figures_of
from marketsim.money.units import HOURS_A_DAY
from marketsim.scenario.load import scenario_from_mapping
from marketsim.simulation.check_agent import TRIAL
from marketsim.simulation.measured import MeasuredRun
from marketsim.simulation.run import run


class MetricError(AssertionError):
    """A metric breaks what it is held to; the text says how."""


def check_metric(metric: Metric, *, options: Mapping[str, Any] | None = None, record: str = "orders") -> None:
    """Raise MetricError unless a metric gives figures of a day of a small market, the same twice over, and changes nothing of it.

    `options` are its keyword arguments, `record` what the run keeps beside its summary. An empty market, in which nobody orders, is tried
    too: a figure that it has not is None.

    >>> import marketsim as ms
    >>> def share_of_long(run, blocks=600):
    ...     leases = run.frame("leases")
    ...     return float((leases["closed_at"] - leases["created_at"] > blocks).mean()) if len(leases) else None
    >>> ms.check_metric(share_of_long, options={"blocks": 1200})
    """
    late = {"surges": [], "arrivals": "1/h", "day_profile": [0] * (HOURS_A_DAY - 1) + [1]}
    nobody = [tenant | {"demand": late, "count": 1} for tenant in TRIAL["tenants"]]
    for market in ({}, {"tenants": nobody, "horizon": "1h"}):
        finished = run(scenario_from_mapping({**TRIAL, **market, "record": record}))
        seen = MeasuredRun(finished.summary, finished.record)
        before = _look(seen)
        try:
            first = figures_of(metric, "figure", seen, options or {})
            again = figures_of(metric, "figure", seen, options or {})
        except ValueError as error:
            raise MetricError(f"it {error}" + (" (of a market in which nobody orders)" if market else "")) from error.__cause__
        if first != again:
            raise MetricError(f"it gives {first} and, asked again, {again}: expected the same of the same run")
        if _look(seen) != before:
            raise MetricError("it changes the run that it is given")


def _look(seen: MeasuredRun) -> tuple[Any, ...]:
    tables = (seen.record.orders, seen.record.leases, seen.record.providers, seen.record.timeseries)
    columns = [(name, copy.copy(np.asarray(column).tobytes())) for table in tables for name, column in table.items()]
    return json.dumps(dict(seen.summary), default=str), columns


__all__ = ["MetricError", "check_metric"]
