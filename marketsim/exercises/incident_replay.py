"""Incident replay: five things that happened to a provider in four days, in which order, when, and what each was."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from marketsim.errors import InputError
from marketsim.exercises.dice import Dice
from marketsim.exercises.exact_figures import figure_of
from marketsim.exercises.exercise import Chance, Judged, NearMiss, Submission, Told
from marketsim.exercises.plain_yaml import read_mapping, yaml_text
from marketsim.face.runs import RunResult
from marketsim.face.runs import run as run_whole

FILE: Final = "timeline.yaml"
EVENTS: Final = 5
MOST: Final = {"causes": 60.0, "times": 40.0}
HOURS: Final = 96
_FIRST_HOUR: Final = 12
_BLOCKS_AN_HOUR: Final = 600
_NEAR: Final = 1
"""Hours by which a time may be off."""
PROVIDER: Final = "edge-0"
CAUSES: Final = {
    "outage": "the host went down, and its leases with it",
    "engine_off": "bidding was switched off; leases went on",
    "blocked": "governance blocked the provider",
    "price_raised": "its prices were raised above what orders pay",
    "cpu_filter": "a CPU filter let only the smallest orders pass",
    "region_filter": "orders that name its region were no longer bid on",
    "demand_drop": "hardly any orders came",
}


@dataclass(frozen=True)
class PlantedEvent:
    """Something that happens from the start of an hour on, for some hours."""

    cause: str
    hour: int
    lasts: int


@dataclass(frozen=True)
class ReplayInstance:
    """Five events in order, the demand, and the number of the run."""

    events: tuple[PlantedEvent, ...]
    rate: str
    margin: int
    number: int


class ReplayExercise:
    """Incident replay."""

    name = "incident-replay"
    title = "Incident replay: what happened, when, and why"
    version = 1
    minutes = 30
    needs = ""
    files = (FILE,)
    most = MOST
    chance = Chance(28.5, 9.6, "the events of somebody else, on the instances of 200 learners")
    hints = (
        "Look for hours in which bids stop or become few, and read on the same line why orders were declined.",
        "`engine_disabled` is bidding that is switched off or a host that is down: when a host goes down, its leases close.",
        "`provider_blocked`, `price_too_high`, `insufficient_resources` and `invalid_attributes` each have one cause here.",
        "Fewer bids without more declines: look at the orders themselves.",
    )

    def drawn(self, dice: Dice, *, practice: bool) -> ReplayInstance:
        """Draw five causes, one after another with calm hours between."""
        hour, events = _FIRST_HOUR, []
        for cause in dice.sample(tuple(CAUSES), EVENTS):
            hour += dice.whole(3, 9)
            lasts = dice.whole(4, 6)
            events.append(PlantedEvent(cause, hour, lasts))
            hour += lasts + 1
        return ReplayInstance(tuple(events), str(dice.decimal("14", "20", "0.1")), dice.whole(8, 16), dice.whole(1, 10**6))

    def draw(self, dice: Dice, *, practice: bool) -> ReplayInstance:
        """Draw the events."""
        return self.drawn(dice, practice=practice)

    def told(self, instance: ReplayInstance) -> Told:
        """What is seen of the provider by the hour."""
        played = run_whole(replay_scenario(instance), seed=instance.number, progress=False)
        names = "\n".join(f"- `{name}`: {meaning}" for name, meaning in CAUSES.items())
        readme = f"""
`record/hours.csv` shows {HOURS} hours of the provider `{PROVIDER}` and its market, hour by hour: orders created, its bids, leases made
and closed, leases active at the end of the hour, the mean price of its bids, and why it declined orders. Five different things happened,
one after another, each for a few hours. Write `submit/{FILE}`:

    events:
      - {{cause: blocked, hour: 3}}
      - …

with the five events in the order in which they happened, each with its cause and the hour in which it began. Causes:

{names}

60 points for the causes in the right order (the longest part of your list that is in the true order, 12 an event), 40 for the hours:
8 for each event whose cause you named and whose hour is right or off by one.
"""
        return Told({"hours": HOURS, "provider": PROVIDER}, readme, {"hours.csv": _hours(played)}, {FILE: "events: []\n"})

    def problem(self, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
        """The first entry that is no event."""
        events = _events(submission[FILE], f"submit/{FILE}")
        if len(events) != EVENTS:
            return f"submit/{FILE}: events: has {len(events)}, {EVENTS} are asked for"
        hours = [hour for _, hour in events]
        if hours != sorted(hours):
            return f"submit/{FILE}: events: are not in the order of their hours"
        return None

    def judge(self, instance: ReplayInstance, submission: Submission) -> Mapping[str, Judged]:
        """Compare order and hours; entries after the fifth do not count."""
        mine = _events(submission[FILE], FILE)[:EVENTS]
        true = {event.cause: event.hour for event in instance.events}
        in_order = _common([event.cause for event in instance.events], [cause for cause, _ in mine])
        first = dict(reversed(mine))
        on_time = sum(cause in true and abs(hour - true[cause]) <= _NEAR for cause, hour in first.items())
        return {
            "causes": Judged(in_order / EVENTS, f"{in_order} of {EVENTS} in their order"),
            "times": Judged(on_time / EVENTS, f"{on_time} of {EVENTS} on time"),
        }

    def answers(self, instance: ReplayInstance) -> Sequence[str]:
        """The events as the file has them."""
        return [f"cause: {event.cause}, hour: {event.hour}" for event in instance.events]

    def oracle(self, instance: ReplayInstance) -> Submission:
        """The events."""
        return _file([(event.cause, event.hour) for event in instance.events])

    def guess(self, instance: ReplayInstance, dice: Dice) -> Submission:
        """The events of somebody else."""
        return self.oracle(self.drawn(dice, practice=False))

    def near_misses(self, instance: ReplayInstance) -> Sequence[NearMiss]:
        """Two events exchanged, hours off, a cause wrong, everything listed."""
        right = [(event.cause, event.hour) for event in instance.events]
        spare = next(cause for cause in CAUSES if cause not in dict(right))
        swapped = [(right[1][0], right[0][1]), (right[0][0], right[1][1]), *right[2:]]
        late = [(cause, hour + 3) for cause, hour in right]
        return [
            NearMiss("two causes exchanged", _file(swapped), 72, 72),
            NearMiss("all three hours late", _file(late), 60, 60),
            NearMiss("an hour late", _file([(cause, hour + 1) for cause, hour in right]), 100, 100),
            NearMiss("one cause wrong", _file([(spare, right[0][1]), *right[1:]]), 80, 80),
            NearMiss("the order turned round", _file(right[::-1]), 52, 52),
            NearMiss("one cause five times", _file([(right[0][0], hour) for _, hour in right]), 20, 20),
        ]


def replay_scenario(instance: ReplayInstance) -> dict[str, Any]:
    """The market in which the events happen."""
    margin = instance.margin
    changes: list[dict[str, Any]] = []
    faults: list[dict[str, Any]] = []
    arrivals: list[dict[str, Any]] = [{"value": f"{instance.rate}/h"}]
    switched: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "engine_off": ({"bid_engine": {"enabled": False}}, {"bid_engine": {"enabled": True}}),
        "price_raised": ({"bid_engine": {"min_profit_margin": 400}}, {"bid_engine": {"min_profit_margin": margin}}),
        "cpu_filter": ({"filters": {"max_cpu": 500}}, {"filters": {"max_cpu": 64_000}}),
        "region_filter": ({"filters": {"allowed_regions": ["ap-south-1"]}}, {"filters": {"allowed_regions": ["us-east-1"]}}),
    }
    for event in instance.events:
        at, until = f"{event.hour}h", f"{event.hour + event.lasts}h"
        if event.cause in switched:
            begin, end = switched[event.cause]
            changes += [{"at": at, **begin}, {"at": until, **end}]
        elif event.cause == "demand_drop":
            arrivals += [{"at": at, "value": "1/h"}, {"at": until, "value": f"{instance.rate}/h"}]
        else:
            kind = "outage" if event.cause == "outage" else "block"
            faults.append({"kind": kind, "provider": "edge/0", "at": at, "lasts": f"{event.lasts}h"})
    prices = {"cpu_millicores": "0.004uve", "memory_mb": "0.002uve", "storage_mb": "0.00005uve", "gpu": "220uve"}
    config: dict[str, Any] = {
        "bid_engine": {"min_profit_margin": margin, "max_concurrent_bids": 200, "pricing": prices},
        "filters": {"max_cpu": 64_000, "allowed_regions": ["us-east-1"]},
        "changes": changes,
    }
    capacity = {"cpu": 1_000_000, "memory": "4Ti", "storage": "40Ti"}
    tenant = {
        "name": "web",
        "count": 20,
        "wallet": "5000VE",
        "demand": {"arrivals": arrivals if len(arrivals) > 1 else f"{instance.rate}/h"},
        "order": {
            "cpu": {"choice": [500, 1000, 2000, 4000]},
            "memory": {"choice": ["2Gi", "4Gi", "8Gi"]},
            "storage": "20Gi",
            "region": {"choice": {"values": [None, "us-east-1"], "weights": [0.4, 0.6]}},
        },
        "value": {"times_cost": 5},
        "ceiling": {"times_cost": {"uniform": [2, 4]}},
        "duration": {"lognormal": {"median": "8h", "sigma": 0.6}},
        "deposit": {"blocks": 30_000},
        "restart": {"probability": 0},
        "patience": "50 blocks",
    }
    provider = {"name": "edge", "config": config, "capacity": capacity, "regions": ["us-east-1"], "wallet": "20000VE"}
    return {
        "name": "replay",
        "horizon": f"{HOURS}h",
        "warm_up": "0s",
        "record": "everything",
        "tenants": [tenant],
        "providers": [provider | {"latency": {"lognormal": {"median": "3s", "sigma": 0.2}}}],
        **({"faults": faults} if faults else {}),
    }


def _hours(played: RunResult) -> str:
    """What is seen, by the hour."""
    bids, leases, orders, declines = played.bids, played.leases, played.orders, played.declines

    def hour_of(heights: Any) -> Any:
        return (heights // _BLOCKS_AN_HOUR).clip(upper=HOURS - 1)

    def by_hour(heights: Any) -> list[int]:
        counts = hour_of(heights).value_counts()
        return [int(counts.get(hour, 0)) for hour in range(HOURS)]

    reasons = [reason for reason, count in declines.reason.value_counts().items() if count]
    price = bids.price.astype(float).groupby(hour_of(bids.height)).mean()
    ended = leases.closed_at[leases.closed_at >= 0].astype(int)
    made, closed = by_hour(leases.created_at), by_hour(ended)
    active = 0
    columns = {
        "orders": by_hour(orders.created_at),
        "bids": by_hour(bids.height),
        "leases_made": made,
        "leases_closed": closed,
        **{reason: by_hour(declines.height[declines.reason == reason]) for reason in sorted(reasons)},
    }
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["hour", *list(columns)[:4], "active_at_end", "mean_bid", *(f"declined_{reason}" for reason in list(columns)[4:])])
    for hour in range(HOURS):
        active += made[hour] - closed[hour]
        values = [column[hour] for column in columns.values()]
        mean = f"{price[hour]:.2f}" if hour in price.index else ""
        writer.writerow([hour, *values[:4], active, mean, *values[4:]])
    return out.getvalue()


def _events(text: str, name: str) -> list[tuple[str, float]]:
    """The events of a file. Raises InputError for what is no list of events."""
    events = read_mapping(text, name).get("events")
    if not isinstance(events, list) or not events:
        raise InputError(f"{name}: events: is missing or no list")
    found = []
    for number, event in enumerate(events, 1):
        if not isinstance(event, Mapping) or str(event.get("cause")) not in CAUSES:
            raise InputError(f"{name}: events: {number}. cause: is none of {', '.join(CAUSES)}")
        hour = figure_of(event.get("hour", ""))
        if hour is None or not 0 <= hour < HOURS:
            raise InputError(f"{name}: events: {number}. hour: is no hour, expected a number of 0 to {HOURS - 1}")
        found.append((str(event["cause"]), float(hour)))
    return found


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest sequence that both have in this order."""
    best = [0] * (len(other) + 1)
    for name in one:
        row = [0]
        for at, mine in enumerate(other):
            row.append(best[at] + 1 if mine == name else max(row[at], best[at + 1]))
        best = row
    return best[-1]


def _file(events: Sequence[tuple[str, float]]) -> Submission:
    return {FILE: yaml_text({"events": [{"cause": cause, "hour": hour} for cause, hour in events]})}


EXERCISE: Final = ReplayExercise()
