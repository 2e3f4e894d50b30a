"""Reads what somebody asks a comparison for, and refuses what no run could answer."""

from __future__ import annotations

from collections.abc import Sequence

from marketsim.errors import InputError
from marketsim.experiments.compare.paired import Margin
from marketsim.experiments.runs.metric_names import unknown_metric
from marketsim.experiments.runs.scenario_source import ScenarioFiles
from marketsim.experiments.runs.variants import Arm, Variant
from marketsim.statistics.group_sequential import Stopping


def parse_margin(text: str) -> Margin:
    """`2%` as a share of A's mean, a bare number in the metric's unit; raises InputError."""
    relative = text.strip().endswith("%")
    try:
        amount = float(text.strip().removesuffix("%"))
    except ValueError:
        amount = -1.0
    if not 0 < amount < float("inf"):
        raise InputError(f"--margin: '{text}' is not a margin, write 2% or a positive number such as 150")
    return Margin(amount / 100 if relative else amount, relative)


def parse_stopping(text: str, *, until_decided: bool) -> Stopping:
    """The stopping rule by its name; raises InputError."""
    if text not in list(Stopping):
        raise InputError(f"--stopping: '{text}' is not a rule, give one of {', '.join(Stopping)}")
    if until_decided and text == Stopping.FIXED:
        raise InputError("--stopping: fixed looks once, at the end; leave out --until-decided or give obrien-fleming")
    return Stopping(text)


def check_metrics(arms: Sequence[Arm], metrics: Sequence[str], *, independent: bool) -> None:
    """Refuse what no run could answer, before the first run; raises InputError with a line each."""
    wrong = []
    for name in metrics:
        for arm in arms:
            if isinstance(arm, Variant):
                problem = ScenarioFiles().unknown_metric(name, arm.effective())
            else:
                problem = unknown_metric(name)
            if problem is not None:
                wrong.append(f"--metric: {problem}")
    if independent and not all(isinstance(arm, Variant) for arm in arms):
        wrong.append("--independent: finished runs have the seeds they have, give scenario files")
    if wrong:
        raise InputError(dict.fromkeys(wrong))
