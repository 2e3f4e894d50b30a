"""Exercise 2 of the training document: three alerting rules, judged by when they fire in twelve incidents that nobody has seen.

promtool is asked for every minute which alerts fire, with none expected: what it reports as differences are the alerts. They are matched
by labels and time; names are the learner's.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import Any, Final

from marketsim.errors import InputError, LackingError
from marketsim.exercises.alert_incidents import (
    LOUD,
    MINUTES,
    QUIET,
    AlertTarget,
    Labels,
    ProviderHours,
    Thresholds,
    alert_targets,
    draw_hours,
    promtool_series,
)
from marketsim.exercises.dice import Dice
from marketsim.exercises.exercise import Chance, Judged, NearMiss, Submission, Told
from marketsim.exercises.plain_yaml import read_mapping, yaml_text
from marketsim.metrics.rule_tests import alert_names, fired
from marketsim.metrics.series import SERIES

FILE: Final = "rules.yml"
TARGETS: Final = ("capacity", "funds", "bids")
MOST: Final = dict.fromkeys(TARGETS, 100 / 3)
ALERTS: Final = 3
_RULES_MOST: Final = 9
_CAPACITIES: Final = (20, 25, 40, 50)
_NOISY_MOST: Final = 15.0
_WAITS: Final = ("for", "keep_firing_for")
_SECONDS_MOST: Final = 30
"""Three alerts take half a second, the forty wrong ones five."""
_GRACE: Final = 1
"""Minutes by which an alert may begin or end otherwise: versions of Prometheus differ by one sample of a range."""
_SHOWN: Final = (
    "virtengine_provider_active_leases",
    "virtengine_market_active_leases",
    "virtengine_provider_lease_capacity",
    "virtengine_bid_total",
    "virtengine_bid_accepted_total",
    "virtengine_bid_success_total",
    "virtengine_escrow_balance",
    "virtengine_lease_rate",
)

Fired = dict[int, list[dict[str, str]]]
"""The alerts of a rule that fire, each as its labels but for its name, by minute."""


@dataclass(frozen=True)
class AlertsInstance:
    """What is asked, the hidden hours, an example of others, and the three alerts as they should fire."""

    asked: Thresholds
    providers: tuple[ProviderHours, ...] = ()
    example: tuple[ProviderHours, ...] = ()
    played: dict[str, Fired] = field(default_factory=dict, compare=False, repr=False)
    """When rules fire that were played already."""

    def targets(self) -> list[AlertTarget]:
        """The three alerts as they should fire."""
        return alert_targets(self.providers, self.asked)


class AlertsExercise:
    """Exercise 2: monitor lease health."""

    name = "alerts"
    title = "Exercise 2: monitor lease health"
    version = 1
    minutes = 45
    needs = "promtool"
    files = (FILE,)
    most = MOST
    chance = Chance(45.5, 21.0, "the right rules with figures of somebody else, on the instances of 60 learners")
    hints = (
        "Each alert compares two series that have the same labels: one divided by the other, or one against the other times a constant.",
        "`virtengine_lease_rate` is by second: funds that last h hours are the rate × 3600 × h.",
        "A share of bids over the last hour is `rate(…[1h]) / rate(…[1h])`; a shorter window sees short bad spells that an hour does not.",
        '`for` is how long the condition holds before the alert fires; "more than" and "less than" do not include the threshold itself.',
        "`promtool test rules record/try.yml` plays an example against your file: what it got is what fired.",
    )

    def drawn(self, dice: Dice, *, practice: bool) -> AlertsInstance:
        """Draw the thresholds; in practice they are the training document's."""
        capacity = dice.pick(_CAPACITIES)
        leases = dice.pick([k for k in range(int(0.6 * capacity), capacity - 3) if _exact(k, capacity)])
        asked = Thresholds(
            leases=leases,
            capacity=capacity,
            hours=float(dice.decimal("12", "48", "0.5")),
            bids_percent=float(dice.decimal("35", "65", "0.5")),
            capacity_minutes=dice.whole(4, 9),
            hours_minutes=dice.whole(4, 9),
            bids_minutes=dice.whole(10, 20),
        )
        if practice:
            asked = Thresholds(40, 50, 24.0, 50.0, 5, 5, 15)
        return AlertsInstance(asked)

    def draw(self, dice: Dice, *, practice: bool) -> AlertsInstance:
        """Draw the thresholds and the hours."""
        asked = self.drawn(dice, practice=practice).asked
        example = draw_hours(dice, asked, ("capacity", "funds_low"), "example")
        return AlertsInstance(asked, tuple(draw_hours(dice, asked, (*LOUD, *QUIET))), tuple(example))

    def told(self, instance: AlertsInstance) -> Told:
        """The three thresholds, a page of the metrics, and an example for promtool."""
        asked = instance.asked
        task = {
            "asked": {
                "capacity": {
                    "active_leases_more_than_percent": Decimal(_short(asked.capacity_percent)),
                    "for_minutes": asked.capacity_minutes,
                },
                "funds": {"last_less_than_hours": Decimal(_short(asked.hours)), "for_minutes": asked.hours_minutes},
                "bids": {"won_of_the_last_hour_less_than_percent": Decimal(_short(asked.bids_percent)), "for_minutes": asked.bids_minutes},
            }
        }
        readme = f"""
Write `submit/{FILE}`, a file of Prometheus alerting rules with three alerts:

- a provider has more than {_short(asked.capacity_percent)} % of its lease capacity in active leases, for {asked.capacity_minutes} minutes;
- a lease's funds in escrow last less than {_short(asked.hours)} hours, for {asked.hours_minutes} minutes;
- a provider has won less than {_short(asked.bids_percent)} % of the bids of the last hour, for {asked.bids_minutes} minutes.

The alerts keep the labels of what they warn of: `provider`, and for a lease all five of its own. Names are yours. The rules are evaluated
every minute in six hours of twelve providers that you do not see; some have an incident, some nearly one. For each alert: 40 % of its
points for the minutes in which it is to fire, 30 for not firing in others, 20 for being in time, 10 for not going on and off. One that
fires in more than half of the quiet time gets next to nothing.

`record/metrics.txt` is a page of the metrics there are. `promtool test rules record/try.yml` plays an example against your file: it
expects no alert of the name `MyAlert`, so what it reports is when yours fires.
"""
        tried = {
            "rule_files": [f"../submit/{FILE}"],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": promtool_series(instance.example, asked.capacity),
                    "alert_rule_test": [{"eval_time": f"{at}m", "alertname": "MyAlert", "exp_alerts": []} for at in range(0, MINUTES, 15)],
                }
            ],
        }
        return Told(task, readme, {"metrics.txt": _page(instance), "try.yml": yaml_text(tried)}, {})

    def problem(self, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
        """The first thing wrong: the file, the number of alerts, a series that there is not, what promtool says of the rules."""
        name = f"submit/{FILE}"
        rules = _alerting(submission[FILE], name)
        for rule in rules:
            known = {*_SHOWN, *(other.get("record", "") for other in rules)}
            for series in re.findall(r"\bvirtengine_\w+", rule["expr"]):
                if series not in known:
                    return f"{name}: {_named(rule)}: expr: there is no series {series}, record/metrics.txt has their names"
            if "alert" in rule and "for" not in rule:
                return f"{name}: {_named(rule)}: for: is missing, such as for: 5m"
        with tempfile.TemporaryDirectory(prefix="marketsim-alerts-") as folder:
            place = Path(folder) / FILE
            place.write_text(submission[FILE], encoding="utf-8")
            try:
                alert_names(place)
            except LackingError:
                raise
            except InputError as error:
                return error.lines[0].replace(str(place), name)
        return None

    def judge(self, instance: AlertsInstance, submission: Submission) -> Mapping[str, Judged]:
        """Let promtool say when the rules fire, and compare by labels and minute."""
        return _judged(instance, play(instance, _alerting(submission[FILE], FILE)))

    def answers(self, instance: AlertsInstance) -> Sequence[str]:
        """The expressions, and the names of the hidden providers."""
        return [rule["expr"] for rule in reference_rules(instance.asked)] + [f'provider="{each.name}"' for each in instance.providers]

    def oracle(self, instance: AlertsInstance) -> Submission:
        """The three rules as the metrics page has them, with the thresholds that are asked for."""
        return {FILE: rules_text(reference_rules(instance.asked))}

    def guess(self, instance: AlertsInstance, dice: Dice) -> Submission:
        """The right rules with the figures of somebody else."""
        return self.oracle(self.drawn(dice, practice=False))

    def near_misses(self, instance: AlertsInstance) -> Sequence[NearMiss]:
        """The reference with one rule changed, and rules that always or never fire."""
        found = []
        play(instance, [rule for _, _, rule in mutations(instance.asked)])  # all in one call of promtool; grading one then takes none
        for name, target, rule in mutations(instance.asked):
            rules = reference_rules(instance.asked)
            rules[TARGETS.index(target)] = rule
            found.append(NearMiss(name, {FILE: rules_text(rules)}, 0, 99.99))
        always = [
            ("virtengine_provider_active_leases >= 0", "0m"),
            ("virtengine_escrow_balance >= 0", "0m"),
            ("virtengine_bid_total >= 0", "0m"),
        ]
        always_rules = [{"alert": f"Always{at}", "expr": expr, "for": wait} for at, (expr, wait) in enumerate(always)]
        found.append(NearMiss("rules that always fire", {FILE: rules_text(always_rules)}, 0, 19.99))
        never = [{"alert": f"Never{at}", "expr": "virtengine_provider_active_leases < 0", "for": "5m"} for at in range(ALERTS)]
        found.append(NearMiss("rules that never fire", {FILE: rules_text(never)}, 0, 0))
        return found


def reference_rules(asked: Thresholds) -> list[dict[str, str]]:
    """The three rules, in the order of `TARGETS`."""
    return [
        _capacity_rule(asked),
        _funds_rule(asked),
        _bids_rule(asked),
    ]


def _capacity_rule(asked: Thresholds, share: float | None = None, sign: str = ">", wait: int | None = None) -> dict[str, str]:
    line = _short((asked.leases / asked.capacity) if share is None else share)
    expr = f"virtengine_provider_active_leases / virtengine_provider_lease_capacity {sign} {line}"
    return {"alert": "LeasesAboveTarget", "expr": expr, "for": f"{asked.capacity_minutes if wait is None else wait}m"}


def _funds_rule(
    asked: Thresholds, hours: float | None = None, sign: str = "<", wait: int | None = None, second: float = 3600
) -> dict[str, str]:
    line = _short((asked.hours if hours is None else hours) * second)
    expr = f"virtengine_escrow_balance {sign} virtengine_lease_rate * {line}"
    return {"alert": "EscrowLow", "expr": expr, "for": f"{asked.hours_minutes if wait is None else wait}m"}


def _bids_rule(
    asked: Thresholds, percent: float | None = None, sign: str = "<", wait: int | None = None, window: str = "1h"
) -> dict[str, str]:
    line = _short((asked.bids_percent if percent is None else percent) / 100)
    expr = f"rate(virtengine_bid_success_total[{window}]) / rate(virtengine_bid_total[{window}]) {sign} {line}"
    return {"alert": "BidsSeldomWin", "expr": expr, "for": f"{asked.bids_minutes if wait is None else wait}m"}


def mutations(asked: Thresholds) -> list[tuple[str, str, dict[str, str]]]:
    """Forty rules that are wrong in one thing each: what, which of the three, and the rule."""
    a = asked
    capacity = {
        "one lease too early": _capacity_rule(a, (a.leases - 1) / a.capacity),
        "one lease too late": _capacity_rule(a, (a.leases + 1) / a.capacity),
        "two leases too early": _capacity_rule(a, (a.leases - 2) / a.capacity),
        "two leases too late": _capacity_rule(a, (a.leases + 2) / a.capacity),
        "at the threshold too": _capacity_rule(a, sign=">="),
        "below in place of above": _capacity_rule(a, sign="<"),
        "percent in place of a share": _capacity_rule(a, a.capacity_percent),
        "capacity without for": _capacity_rule(a, wait=0),
        "capacity half an hour late": _capacity_rule(a, wait=a.capacity_minutes + 30),
        "capacity an hour late": _capacity_rule(a, wait=a.capacity_minutes + 60),
        "free leases": _capacity_rule(a) | {"expr": f"1 - {_capacity_rule(a)['expr']}"},
        "a number of leases": _capacity_rule(a) | {"expr": f"virtengine_provider_active_leases > {_short(a.capacity_percent)}"},
        "all providers together": _capacity_rule(a)
        | {"expr": f"sum(virtengine_provider_active_leases) / sum(virtengine_provider_lease_capacity) > {a.leases / a.capacity}"},
    }
    funds = {
        "half an hour too early": _funds_rule(a, a.hours + 0.5),
        "half an hour too late": _funds_rule(a, a.hours - 0.5),
        "an hour too early": _funds_rule(a, a.hours + 1),
        "an hour too late": _funds_rule(a, a.hours - 1),
        "a day more": _funds_rule(a, a.hours + 24),
        "above in place of below": _funds_rule(a, sign=">"),
        "a rate by block": _funds_rule(a, second=600),
        "minutes for hours": _funds_rule(a, second=60),
        "hours without seconds": _funds_rule(a, second=1),
        "a rate by block, seconds": _funds_rule(a, second=21600),
        "funds without for": _funds_rule(a, wait=0),
        "funds half an hour late": _funds_rule(a, wait=a.hours_minutes + 30),
        "funds two hours late": _funds_rule(a, wait=a.hours_minutes + 120),
        "funds without a rate": _funds_rule(a) | {"expr": f"virtengine_escrow_balance < {_short(a.hours)}"},
    }
    bids = {
        "two points too early": _bids_rule(a, a.bids_percent + 2),
        "two points too late": _bids_rule(a, a.bids_percent - 2),
        "five points too early": _bids_rule(a, a.bids_percent + 5),
        "five points too late": _bids_rule(a, a.bids_percent - 5),
        "often in place of seldom": _bids_rule(a, sign=">"),
        "percent of bids": _bids_rule(a, a.bids_percent * 100),
        "a window of five minutes": _bids_rule(a, window="5m"),
        "a window of a quarter": _bids_rule(a, window="15m"),
        "a window of six hours": _bids_rule(a, window="6h"),
        "a window of a minute": _bids_rule(a, window="1m"),
        "bids without for": _bids_rule(a, wait=0),
        "bids three quarters late": _bids_rule(a, wait=a.bids_minutes + 45),
        "accepted, not won": _bids_rule(a) | {"expr": _bids_rule(a)["expr"].replace("success", "accepted")},
    }
    found = [(name, target, rule) for target, rules in zip(TARGETS, (capacity, funds, bids), strict=True) for name, rule in rules.items()]
    assert len(found) == 40
    return found


def rules_text(rules: Sequence[Mapping[str, str]]) -> str:
    """A rule file of one group."""
    return yaml_text({"groups": [{"name": "lease-health", "rules": [dict(rule) for rule in rules]}]})


def play(instance: AlertsInstance, rules: Sequence[Mapping[str, str]]) -> list[Fired]:
    """Return for each alerting rule when it fires, by minute, with its labels. Raises InputError without promtool and for bad rules.

    Only what decides when an alert fires is played: names, labels and texts of the learner's stay out of what promtool prints.
    """
    if any("record" in rule or "ALERTS" in rule["expr"] for rule in rules):
        return _played(instance, rules)
    # alerts that look at no other rule fire alike in any company, so each is played once
    keys = [json.dumps([rule.get(key) for key in ("expr", *_WAITS)]) for rule in rules]
    new = {key: rule for key, rule in zip(keys, rules, strict=True) if key not in instance.played}
    if new:
        instance.played.update(zip(new, _played(instance, list(new.values())), strict=True))
    return [instance.played[key] for key in keys]


def _played(instance: AlertsInstance, rules: Sequence[Mapping[str, str]]) -> list[Fired]:
    kept: list[dict[str, str]] = []
    names: list[str] = []
    for rule in rules:
        if "record" in rule:
            kept.append({"record": rule["record"], "expr": rule["expr"]})
        else:
            names.append(f"alert{len(names)}")
            kept.append({"alert": names[-1], "expr": rule["expr"], **{key: rule[key] for key in _WAITS if key in rule}})
    with tempfile.TemporaryDirectory(prefix="marketsim-alerts-") as folder:
        place = Path(folder) / FILE
        place.write_text(json.dumps({"groups": [{"name": "handed-in", "rules": kept}]}), encoding="utf-8")
        try:
            series = promtool_series(instance.providers, instance.asked.capacity)
            found = fired(place, series, 60, MINUTES + 1, limit_seconds=_SECONDS_MOST)
        except LackingError:
            raise
        except InputError as error:
            raise InputError(line.replace(str(place), FILE) for line in error.lines) from None
    return [
        {
            minute: [{key: value for key, value in labels.items() if key != "alertname"} for labels in alerts]
            for minute, alerts in by.items()
        }
        for by in (found[name] for name in names)
    ]


def _alerting(text: str, name: str) -> list[dict[str, str]]:
    """The rules of a file, as texts. Raises InputError for what is no rule file, and for another number of alerts."""
    content = read_mapping(text, name)
    groups = content.get("groups")
    if not isinstance(groups, list) or not groups:
        raise InputError(f"{name}: groups: is missing or no list, expected groups: with rules:")
    found = []
    for group in groups:
        rules = group.get("rules") if isinstance(group, Mapping) else None
        if not isinstance(rules, list):
            raise InputError(f"{name}: groups: rules: is missing or no list")
        for rule in rules:
            if not isinstance(rule, Mapping) or not ({"alert", "record"} & rule.keys()) or not str(rule.get("expr") or "").strip():
                raise InputError(f"{name}: rules: each has alert: (or record:) and expr:")
            found.append({str(key): str(value) for key, value in rule.items()})
    alerts = sum("alert" in rule for rule in found)
    if alerts != ALERTS:
        raise InputError(f"{name}: has {alerts} alerts, {ALERTS} are asked for")
    if len(found) > _RULES_MOST:
        raise InputError(f"{name}: has {len(found)} rules, at most {_RULES_MOST} are read")
    return found


def _named(rule: Mapping[str, str]) -> str:
    return rule.get("alert") or rule.get("record") or "a rule"


def _judged(instance: AlertsInstance, firing: Sequence[Fired]) -> dict[str, Judged]:
    """The best way of taking the alerts for the three that are asked for."""
    targets = instance.targets()
    scores = [[target_score(target, fired_by) for fired_by in firing] for target in targets]
    best = max(permutations(range(len(firing))), key=lambda order: sum(scores[at][one][0] for at, one in enumerate(order)))
    return {TARGETS[at]: Judged(scores[at][one][0] / 100, scores[at][one][1]) for at, one in enumerate(best)}


def target_score(target: AlertTarget, firing: Fired) -> tuple[float, str]:
    """Return the points, of 100, of an alert that is taken for a target, and what was seen.

    Recall 40, precision 30, delay 20, flapping 10; at most 15 for one that fires in more than half of quiet time.
    """
    keys = [key for key, _ in next(iter(target.holds))]
    mine: dict[Labels, set[int]] = {}
    for minute, alerts in firing.items():
        for labels in alerts:
            mine.setdefault(tuple((key, labels.get(key, "")) for key in keys), set()).add(minute)
    right = {labels: minutes for labels, minutes in target.fires().items() if minutes}
    due = sum(len(minutes) for minutes in right.values())
    hit = sum(len(minutes & _wider(mine.get(labels, set()))) for labels, minutes in right.items())
    made = sum(len(minutes) for minutes in mine.values())
    true = sum(len(minutes & _wider(right.get(labels, set()))) for labels, minutes in mine.items())
    recall, precision = hit / due, true / made if made else 0.0
    delays = [
        _in_time(begin, end, target.wait, mine.get(labels, set())) for labels, minutes in right.items() for begin, end in _episodes(minutes)
    ]
    in_time = sum(delays) / len(delays)
    runs, wanted = sum(len(_episodes(minutes)) for minutes in mine.values()), sum(len(_episodes(minutes)) for minutes in right.values())
    steady = min(1.0, wanted / runs) if runs else 0.0
    points = 40 * recall + 30 * precision + 20 * in_time + 10 * steady * (hit > 0)
    loud = set().union(*right.values())
    quiet = set(range(MINUTES + 1)) - loud
    noise = len({minute for minutes in mine.values() for minute in minutes} & quiet)
    seen = f"recall {100 * recall:.0f} %, precision {100 * precision:.0f} %, in time {100 * in_time:.0f} %, {runs} times on for {wanted}"
    if quiet and noise > len(quiet) / 2:
        return min(points, _NOISY_MOST), seen + "; fires in more than half of quiet time"
    return points, seen


def _wider(minutes: set[int]) -> set[int]:
    return {minute + by for minute in minutes for by in range(-_GRACE, _GRACE + 1)}


def _episodes(minutes: set[int]) -> list[tuple[int, int]]:
    """First and last minute of each unbroken stretch."""
    found: list[tuple[int, int]] = []
    for minute in sorted(minutes):
        if found and found[-1][1] == minute - 1:
            found[-1] = found[-1][0], minute
        else:
            found.append((minute, minute))
    return found


def _in_time(begin: int, end: int, wait: int, mine: set[int]) -> float:
    """How much of being in time an alert has: all of it up to `for` and two minutes after the condition, none after half an hour."""
    first = next((minute for minute in range(begin - _GRACE, end + _GRACE + 1) if minute in mine), None)
    if first is None:
        return 0.0
    delay = first - (begin - wait)
    best, worst = wait + 2, 30
    return 1.0 if delay <= best else max(0.0, (worst - delay) / (worst - best))


def _exact(leases: int, capacity: int) -> bool:
    """Whether any way of writing the comparison decides alike at the threshold."""
    percent = 100 * leases / capacity
    return (
        percent == round(percent, 1)
        and float(_short(leases / capacity)) * capacity == leases
        and float(f"{percent:g}") / 100 * capacity == leases
    )


def _short(value: float) -> str:
    return f"{round(value, 6):.10g}"


def _page(instance: AlertsInstance) -> str:
    """The metrics that there are, as an exporter shows them, with the values of one minute of the example."""
    help_of = {series.exposed: series for series in SERIES}
    lines: list[str] = []
    for name in _SHOWN:
        series = help_of[name]
        lines += [f"# HELP {name} {series.help}" + (f" Unit: {series.unit}." if series.unit else ""), f"# TYPE {name} {series.kind}"]
        for row in promtool_series(instance.example, instance.asked.capacity):
            if row["series"].partition("{")[0] == name:
                lines.append(f"{row['series']} {row['values'].split()[0]}")
    return "\n".join(lines) + "\n"


EXERCISE: Final = AlertsExercise()
