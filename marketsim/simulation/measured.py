"""The figures that a scenario's own metrics take out of a finished run."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from marketsim.errors import InputError
from marketsim.metrics.own import Metric, figures_of
from marketsim.recording.record import Record
from marketsim.scenario.model import Scenario
from marketsim.strategies import users_code
from marketsim.strategies.check import named_object, numbers_of
from marketsim.strategies.find import METRIC

if TYPE_CHECKING:
    import pandas as pd


class MeasuredRun:
    """A finished run as metrics see it (`marketsim.metrics.own.FinishedRun`)."""

    def __init__(self, summary: Mapping[str, Any], record: Record) -> None:
        self.summary: Mapping[str, Any] = MappingProxyType(dict(summary))
        self.record = record

    def frame(self, table: str, *, exact: bool = False) -> pd.DataFrame:
        """Return a table as a frame: names in place of codes, amounts as float64 in uve, with `exact` as texts of decimals.

        Raises InputError for a table that there is not or that the run did not keep.
        """
        from marketsim.export.frames import frame

        return frame(self.record, table, is_exact=exact)


class MetricFailedError(InputError):
    """A metric of the user's own failed when a run was over; `run` is what it was, with None for the metric."""

    def __init__(self, lines: list[str], run: Any) -> None:
        super().__init__(lines)
        self.run = run


def own_metrics(scenario: Scenario) -> list[Metric]:
    """Return the functions under a scenario's `metrics:`. Raises InputError for one that is not there or is no function."""
    found = []
    for wish in scenario.metrics:
        where = f"metrics.{wish.name}.python"
        metric = named_object(wish.python, (scenario.base,), where, METRIC)
        if not callable(metric):
            raise InputError(f"{where}: {wish.python} is {users_code.answered(metric)}, expected a function metric(run, **options)")
        found.append(metric)
    return found


def own_figures(scenario: Scenario, metrics: list[Metric], summary: Mapping[str, Any], record: Record) -> tuple[dict[str, Any], list[str]]:
    """Return `metrics` of a run's summary: by name, of a metric that gives several by name.key; and a line for each that raised or gave
    no figure, which has none then, with its place in the scenario.
    """
    run = MeasuredRun(summary, record)
    figures: dict[str, Any] = {}
    failed: list[str] = []
    for wish, metric in zip(scenario.metrics, metrics, strict=True):
        try:
            figures |= figures_of(metric, wish.name, run, numbers_of(wish.options))
        except ValueError as error:
            figures[wish.name] = None
            failed += scenario.refusal(("metrics", wish.name, "python"), f"{wish.python} {error}").lines
    return figures, failed


__all__ = ["MeasuredRun", "MetricFailedError", "own_figures", "own_metrics"]
