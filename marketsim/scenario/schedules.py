"""Values that change while a run goes on: the scenario as it stands after each change, made before anything is checked.

A key that may change takes a list in place of a value, `[{value: 0.02}, {at: 3d, value: 0.05}]`; a provider file takes `changes:`, each
`{at: 3d, bid_engine: {…}, filters: {…}}`. Each stage is a whole scenario, so that whatever a key must be holds for each of its values.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from marketsim.scenario.literals import Duration, parse_duration, shown
from marketsim.scenario.yaml_source import KeyPath, Problem

CHAIN_KEYS = ("take", "bid_window", "order_timeout")
"""Keys of the scenario that may change."""
TENANT_KEYS = ("value", "ceiling", "utilization", "duration")
"""Keys of a cohort of tenants that may change, beside `arrivals` and `arrivals_each`: of orders that arrive from then on."""
SCHEDULED: Mapping[str, Sequence[str]] = {
    "": CHAIN_KEYS,
    "TenantCohort": TENANT_KEYS,
    "Demand": ("arrivals", "arrivals_each"),
    "ProviderCohort": ("capacity",),
    "Capacity": ("cpu", "memory", "storage", "gpu"),
    "BidEngine": ("min_profit_margin",),
    "ListPrices": ("cpu_millicores", "memory_mb", "storage_mb", "gpu"),
    "ScalePrices": ("cpu", "memory", "storage", "endpoint"),
    "MonthlyTargetPrices": ("cpu", "memory", "hd_ephemeral", "endpoint", "gpu"),
}
"""Keys that may change by the class of the mapping that they stand in; "" is the scenario itself."""
PRICE_KEYS = ("cpu_millicores", "memory_mb", "storage_mb", "gpu")
HELP = "write a list such as [{value: …}, {at: 3d, value: …}]"


class Schedule(NamedTuple):
    """The values of one key: what it is at first, and from when on it is what."""

    path: KeyPath
    values: tuple[tuple[Duration, Any], ...]


class FileChange(NamedTuple):
    """Change `number` of the provider file at `path`: from when on which content is laid over it."""

    path: KeyPath
    number: int
    at: Duration
    content: dict[str, Any]


class Stages(NamedTuple):
    """The data of a scenario at the start, and as it stands from each moment of a change on; problems found on the way."""

    first: Any
    later: tuple[tuple[Duration, Any], ...]
    schedules: tuple[Schedule, ...] = ()
    problems: tuple[Problem, ...] = ()
    changes: tuple[FileChange, ...] = ()

    def written(self, path: KeyPath, ms: int, block_ms: int) -> KeyPath:
        """Return where in the file stands what is at `path` of the stage that begins at `ms`."""
        for place, values in self.schedules:
            if path[: len(place)] == place:
                at = max(number for number, (begin, _) in enumerate(values) if number == 0 or begin.milliseconds(block_ms) <= ms)
                return (*place, at, "value", *path[len(place) :])
        for change in reversed(self.changes):
            rest = path[len(change.path) :]
            if (
                change.at.milliseconds(block_ms) == ms
                and path[: len(change.path)] == change.path
                and _get(change.content, rest) is not None
            ):
                return (*change.path, "changes", change.number, *rest)
        return path


def staged(data: Any, block_ms: int) -> Stages:
    """Return the stages of raw data in which provider files are inlined; without schedules its `first` is the data itself."""
    if not isinstance(data, dict):
        return Stages(data, ())
    problems: list[Problem] = []
    schedules = [found for path, value in _places(data) if (found := _schedule(path, value, problems)) is not None]
    changes = list(_changes(data, problems))
    if not schedules and not changes:
        return Stages(data, (), (), tuple(problems))
    moments = {at.milliseconds(block_ms): at for schedule in schedules for at, _ in schedule.values[1:]}
    moments |= {change.at.milliseconds(block_ms): change.at for change in changes}
    first = _at(data, schedules, [], 0, block_ms)
    later = tuple((moments[ms], _at(data, schedules, changes, ms, block_ms)) for ms in sorted(moments))
    return Stages(first, later, tuple(schedules), tuple(problems), tuple(changes))


def _at(data: Any, schedules: Sequence[Schedule], changes: Sequence[FileChange], ms: int, block_ms: int) -> Any:
    """The data as it stands at a moment."""
    stage = copy.deepcopy(data)
    for path, values in schedules:
        now = [value for at, value in values if at.milliseconds(block_ms) <= ms]
        _put(stage, path, copy.deepcopy(now[-1] if now else values[0][1]))
    for change in sorted(changes, key=lambda each: each.at.milliseconds(block_ms)):
        if change.at.milliseconds(block_ms) <= ms:
            merge(_get(stage, change.path), copy.deepcopy(change.content))
    return stage


def _places(data: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    """Every key that may change and stands in the data, with its value."""
    for key in CHAIN_KEYS:
        if key in data:
            yield (key,), data[key]
    for at, cohort in _items(data, "tenants"):
        yield from ((("tenants", at, key), cohort[key]) for key in TENANT_KEYS if key in cohort)
        demand = cohort.get("demand")
        if isinstance(demand, dict):
            yield from ((("tenants", at, "demand", key), demand[key]) for key in ("arrivals", "arrivals_each") if key in demand)
        elif demand is not None:
            yield ("tenants", at, "demand"), demand
    for at, cohort in _items(data, "providers"):
        here: KeyPath = ("providers", at)
        for path in (
            ("capacity",),
            *(("capacity", key) for key in ("cpu", "memory", "storage", "gpu")),
            ("config", "bid_engine", "min_profit_margin"),
            *(("config", "bid_engine", "pricing", key) for key in PRICE_KEYS),
            *(("strategy", "scale", key) for key in ("cpu", "memory", "storage", "endpoint")),
            *(("strategy", "monthly_targets", key) for key in ("cpu", "memory", "hd_ephemeral", "endpoint", "gpu")),
        ):
            value = _get(cohort, path)
            if value is not None:
                yield (*here, *path), value


def _schedule(path: KeyPath, value: Any, problems: list[Problem]) -> Schedule | None:
    """The schedule that stands at a path, None where a plain value does."""
    if not isinstance(value, list) or not any(isinstance(each, dict) and {"at", "value"} & each.keys() for each in value):
        return None
    found: list[tuple[Duration, Any]] = []
    for number, each in enumerate(value):
        here = (*path, number)
        if not isinstance(each, dict) or not each.keys() <= {"at", "value"} or "value" not in each:
            problems.append(Problem(here, f"{shown(each)} is no part of a schedule, {HELP}"))
            continue
        at = _moment((*here, "at"), each.get("at", 0 if number == 0 else None), problems)
        if at is None:
            continue
        if number == 0 and at.amount > 0:
            problems.append(Problem(here, f"holds from {at} on, what holds before it must be given: begin with {{value: …}}"))
        elif found and at.in_blocks == found[-1][0].in_blocks and at.amount <= found[-1][0].amount:
            problems.append(Problem((*here, "at"), f"'{at}' is not after {found[-1][0]}, list changes in the order of their times"))
        found.append((at, each["value"]))
    return Schedule(path, tuple(found)) if found else None


def _changes(data: Mapping[str, Any], problems: list[Problem]) -> Iterator[FileChange]:
    """The changes of provider files."""
    for number, cohort in _items(data, "providers"):
        config = cohort.get("config")
        changes = config.get("changes") if isinstance(config, dict) else None
        for at, change in enumerate(changes if isinstance(changes, list) else ()):
            if isinstance(change, dict) and "at" in change:
                path: KeyPath = ("providers", number, "config")
                moment = _moment((*path, "changes", at, "at"), change["at"], [])
                if moment is not None:
                    yield FileChange(path, at, moment, {key: value for key, value in change.items() if key != "at"})


def _moment(path: KeyPath, value: Any, problems: list[Problem]) -> Duration | None:
    if value is None:
        problems.append(Problem(path[:-1], f"does not say from when on it holds, {HELP}"))
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        problems.append(Problem(path, str(error)))
        return None


def _items(data: Mapping[str, Any], key: str) -> list[tuple[int, dict[str, Any]]]:
    items = data.get(key)
    return [(at, item) for at, item in enumerate(items) if isinstance(item, dict)] if isinstance(items, list) else []


def _get(data: Any, path: Sequence[str | int]) -> Any:
    for key in path:
        data = data[key] if isinstance(data, list) and isinstance(key, int) else data.get(key) if isinstance(data, dict) else None
    return data


def _put(data: Any, path: KeyPath, value: Any) -> None:
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value


def merge(data: Any, change: Mapping[str, Any]) -> None:
    """Lay a change over data: mappings key by key, anything else in place of what was there."""
    for key, value in change.items():
        if isinstance(value, dict) and isinstance(data.get(key), dict):
            merge(data[key], value)
        else:
            data[key] = value


__all__ = ["FileChange", "Schedule", "Stages", "merge", "staged"]
