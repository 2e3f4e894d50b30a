"""How bad runs of a scenario can get: tails of metrics and probabilities of events, over replications, leases and providers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from marketsim.experiments.compare.tilted import Tilted, tilted_probability
from marketsim.experiments.optimize.search import Constraint, parse_constraint
from marketsim.experiments.runs.items import is_item, item_name, item_values
from marketsim.experiments.runs.metric_names import MetricName, fitting_name, metric_value
from marketsim.experiments.runs.variants import Arm, Recorded, Runs, Summary, Variant
from marketsim.metrics.expressions import ExpressionError
from marketsim.statistics.estimates import FloatArray, Interval
from marketsim.statistics.tails import Probability, TailRisk, clustered_tail_risk, probability, tail_risk

SHARES = (0.95, 0.99)
ROUND_RUNS = 8
# An event that fewer runs show is looked for with tilted demand.
RARE_HITS = 10


@dataclass(frozen=True)
class RareEvent:
    """Something that a run does or does not do: a comparison of metrics, `revenue.total < 5e8`.

    Of metrics of leases or providers (`provider.idle_days >= 7`) it happens in a run in which one of them does it.
    """

    text: str
    condition: Constraint
    strict: bool

    @property
    def of_items(self) -> bool:
        """Whether it is about single leases or providers."""
        return any(is_item(name) for name in self.condition.slack.metrics)

    def slack(self, summary: Summary) -> float:
        """How far the run is into the event: above 0 where it happens (from 0 on where equality counts), NaN where undefined."""
        if not self.of_items:
            return self.condition.slack.of(summary)
        values = self.slacks(summary)
        values = values[np.isfinite(values)]
        return float(values.max()) if values.size else math.nan

    def slacks(self, summary: Summary) -> FloatArray:
        """The same of each lease or provider, NaN where undefined."""
        figure = self.condition.slack
        columns = {name: item_values(summary, name) for name in figure.metrics if is_item(name)}
        shared = {name: metric_value(summary, name) for name in figure.metrics if not is_item(name)}
        count = len(next(iter(columns.values())))
        found = np.full(count, math.nan)
        for k in range(count):
            values = {**shared, **{name: float(column[k]) for name, column in columns.items()}}
            if not any(math.isnan(value) for value in values.values()):
                try:
                    found[k] = float(figure.expression.value(values))
                except ExpressionError:
                    continue
        return found

    def reached(self, slack: float) -> bool:
        """Whether a slack is that of the event."""
        return slack > 0 if self.strict else slack >= 0

    def happens(self, summary: Summary) -> bool | None:
        """Whether it happened in a run, None where a metric is undefined there."""
        slack = self.slack(summary)
        return None if math.isnan(slack) else self.reached(slack)


def parse_event(text: str) -> RareEvent:
    """`LEFT < RIGHT` or with <=, >=, >; raises InputError."""
    return RareEvent(text, parse_constraint(text, "--event"), re.search(r"[<>]=", text) is None)


@dataclass(frozen=True)
class EventRisk:
    """How likely an event is: in how many runs, of how many leases or providers (None where it is about neither), and by runs with tilted
    demand where it was rare.
    """

    runs: Probability
    items: tuple[int, int] | None
    tilted: Tilted | None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **self.runs.as_json(),
            "items": None if self.items is None else {"hits": self.items[0], "n": self.items[1]},
            "tilted": self.tilted.as_json() if self.tilted else None,
        }


@dataclass(frozen=True)
class Risk:
    """Tails of metrics at `SHARES`, on the low and on the high side, and the probabilities of events."""

    label: str
    seeds: tuple[int, ...]
    level: float
    tails: dict[str, tuple[TailRisk, ...]]
    events: dict[str, EventRisk]

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
    tilted_runs: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Risk:
    """Make `count` runs (or take the finished ones) and estimate their tails; RunFailedError when a run fails.

    Metrics of leases and providers (`lease.paid`, `provider.revenue`) are judged over all leases or providers of all runs, with the runs
    as the sample. An event that fewer than `RARE_HITS` runs show gets up to `tilted_runs` more runs with tilted demand.
    """
    seeds = sorted(arm.by_seed)[:count] if isinstance(arm, Recorded) else list(range(first_seed, first_seed + count))
    summaries: list[Summary] = []
    for begin in range(0, len(seeds), ROUND_RUNS):
        summaries += runs.summaries([arm], seeds[begin : begin + ROUND_RUNS])[0]
        if progress is not None:
            progress(len(summaries), len(seeds))
    tails = {}
    for name in metrics:
        sides = [(lower, share) for lower in (True, False) for share in SHARES]
        if is_item(name):
            groups = [item_values(summary, name) for summary in summaries]
            tails[name] = tuple(clustered_tail_risk(groups, share, lower=lower, level=level) for lower, share in sides)
        else:
            values = np.array([metric_value(summary, name) for summary in summaries])
            tails[name] = tuple(tail_risk(values, share, lower=lower, level=level) for lower, share in sides)
    found = {}
    after = max(seeds) + 1
    for event in events:
        outcomes = [outcome for summary in summaries if (outcome := event.happens(summary)) is not None]
        seen = probability(sum(outcomes), len(outcomes), level)
        items = None
        if event.of_items:
            slacks = np.concatenate([event.slacks(summary) for summary in summaries])
            slacks = slacks[np.isfinite(slacks)]
            items = (sum(event.reached(float(slack)) for slack in slacks), int(slacks.size))
        tilted = None
        if seen.hits < RARE_HITS and tilted_runs and isinstance(arm, Variant):
            tilted = tilted_probability(arm, runs, event.slack, event.reached, tilted_runs, after, level, progress)
            after += tilted_runs
        found[event.text] = EventRisk(seen, items, tilted)
    return Risk(arm.label, tuple(seeds), level, tails, found)


def risk_lines(risk: Risk) -> list[str]:
    """What the command prints: one block a metric, one line an event."""
    confidence = f"{100 * risk.level:g} %"
    lines = [
        f"scenario    {risk.label}",
        f"runs        {len(risk.seeds)}, seeds {risk.seeds[0]} to {risk.seeds[-1]}; intervals {confidence}",
    ]
    for name, tails in risk.tails.items():
        known = _naming(name, max(abs(tail.at_risk) for tail in tails))
        of = f"{name.partition('.')[0]}s of {tails[0].clusters} runs, which are the sample" if is_item(name) else "runs"
        lines += ["", f"{name}  ({known.label}), {tails[0].count:,} {of}"]
        for tail in tails:
            side = "worst if small" if tail.lower else "worst if large"
            lines += [
                f"  {side}, {100 * tail.share:g} %  at risk {_number(tail.at_risk * known.scale)} "
                f"{_ends(tail.at_risk_interval, known.scale)}, "
                f"mean beyond {_number(tail.beyond * known.scale)} {_ends(tail.beyond_interval, known.scale)}"
            ]
    for text, event in risk.events.items():
        found = event.runs
        lines += [
            "",
            f"event       {text}: in {found.hits} of {found.count} runs, probability {100 * found.estimate:.3g} % "
            f"[{100 * found.interval.low:.3g} %, {100 * found.interval.high:.3g} %]",
        ]
        if event.items is not None:
            kind = next(name for name in re.findall(r"(lease|provider)\.", text))
            lines.append(f"  of {kind}s    {event.items[0]:,} of {event.items[1]:,}; a run counts if one of its {kind}s does")
        if event.tilted is not None:
            lines.append(f"  {event.tilted.words()}")
    return lines


def _naming(name: str, largest: float) -> MetricName:
    if not is_item(name):
        return fitting_name(name, largest)
    known = item_name(name)
    return MetricName(known.title, "uve") if known.unit == "VE" and largest * known.scale < 0.01 else known


def _number(value: float) -> str:
    return f"{value:,.6g}" if np.isfinite(value) else "–"


def _ends(interval: Interval, scale: float) -> str:
    low = _number(interval.low * scale) if np.isfinite(interval.low) else "open"
    high = _number(interval.high * scale) if np.isfinite(interval.high) else "open"
    return f"[{low}, {high}]"
