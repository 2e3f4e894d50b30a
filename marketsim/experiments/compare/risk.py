"""How bad runs of a scenario can get: tails of metrics and probabilities of events, over replications."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketsim.experiments.optimize.search import Constraint, parse_constraint
from marketsim.experiments.runs.metric_names import fitting_name, metric_value
from marketsim.experiments.runs.variants import Arm, Recorded, Runs, Summary
from marketsim.statistics.estimates import Interval
from marketsim.statistics.tails import Probability, TailRisk, probability, tail_risk

SHARES = (0.95, 0.99)
ROUND_RUNS = 8


@dataclass(frozen=True)
class RareEvent:
    """Something that a run does or does not do: a comparison of metrics, `revenue.total < 5e8`."""

    text: str
    condition: Constraint
    strict: bool

    def happens(self, summary: Summary) -> bool | None:
        """Whether it happened in a run, None where a metric is undefined there."""
        slack = self.condition.slack.of(summary)
        if np.isnan(slack):
            return None
        return slack > 0 if self.strict else slack >= 0


def parse_event(text: str) -> RareEvent:
    """`LEFT < RIGHT` or with <=, >=, >; raises InputError."""
    return RareEvent(text, parse_constraint(text, "--event"), re.search(r"[<>]=", text) is None)


@dataclass(frozen=True)
class Risk:
    """Tails of metrics at `SHARES`, on the low and on the high side, and the probabilities of events."""

    label: str
    seeds: tuple[int, ...]
    level: float
    tails: dict[str, tuple[TailRisk, ...]]
    events: dict[str, Probability]

    def as_json(self) -> dict[str, Any]:
        """Plain data: what `--json` prints."""
        return {
            "schema": "marketsim.risk/1",
            "scenario": self.label,
            "seeds": list(self.seeds),
            "runs": len(self.seeds),
            "level": self.level,
            "tails": {name: [tail.as_json() for tail in tails] for name, tails in self.tails.items()},
            "events": {text: found.as_json() for text, found in self.events.items()},
        }


def assess(
    arm: Arm,
    runs: Runs,
    *,
    metrics: Sequence[str],
    events: Sequence[RareEvent] = (),
    count: int = 200,
    first_seed: int = 1,
    level: float = 0.95,
    progress: Callable[[int, int], None] | None = None,
) -> Risk:
    """Make `count` runs (or take the finished ones) and estimate their tails; RunFailedError when a run fails."""
    seeds = sorted(arm.by_seed)[:count] if isinstance(arm, Recorded) else list(range(first_seed, first_seed + count))
    summaries: list[Summary] = []
    for begin in range(0, len(seeds), ROUND_RUNS):
        summaries += runs.summaries([arm], seeds[begin : begin + ROUND_RUNS])[0]
        if progress is not None:
            progress(len(summaries), len(seeds))
    tails = {}
    for name in metrics:
        values = np.array([metric_value(summary, name) for summary in summaries])
        tails[name] = tuple(tail_risk(values, share, lower=lower, level=level) for lower in (True, False) for share in SHARES)
    found = {}
    for event in events:
        outcomes = [outcome for summary in summaries if (outcome := event.happens(summary)) is not None]
        found[event.text] = probability(sum(outcomes), len(outcomes), level)
    return Risk(arm.label, tuple(seeds), level, tails, found)


def risk_lines(risk: Risk) -> list[str]:
    """What the command prints: one block a metric, one line an event."""
    confidence = f"{100 * risk.level:g} %"
    lines = [
        f"scenario    {risk.label}",
        f"runs        {len(risk.seeds)}, seeds {risk.seeds[0]} to {risk.seeds[-1]}; intervals {confidence}",
    ]
    for name, tails in risk.tails.items():
        known = fitting_name(name, max(abs(tail.at_risk) for tail in tails))
        lines += ["", f"{name}  ({known.label}), {tails[0].count} runs"]
        for tail in tails:
            side = "worst if small" if tail.lower else "worst if large"
            lines += [
                f"  {side}, {100 * tail.share:g} %  at risk {_number(tail.at_risk * known.scale)} "
                f"{_ends(tail.at_risk_interval, known.scale)}, "
                f"mean beyond {_number(tail.beyond * known.scale)} {_ends(tail.beyond_interval, known.scale)}"
            ]
    for text, found in risk.events.items():
        lines += [
            "",
            f"event       {text}: in {found.hits} of {found.count} runs, probability {100 * found.estimate:.3g} % "
            f"[{100 * found.interval.low:.3g} %, {100 * found.interval.high:.3g} %]",
        ]
    return lines


def _number(value: float) -> str:
    return f"{value:,.6g}" if np.isfinite(value) else "–"


def _ends(interval: Interval, scale: float) -> str:
    low = _number(interval.low * scale) if np.isfinite(interval.low) else "open"
    high = _number(interval.high * scale) if np.isfinite(interval.high) else "open"
    return f"[{low}, {high}]"
