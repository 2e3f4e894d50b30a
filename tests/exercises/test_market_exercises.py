"""The exercises that are judged by running a market: capacity, filters, incident replay."""

from __future__ import annotations

import csv
import io

import pytest

from marketsim.exercises.capacity import CapacityInstance
from marketsim.exercises.filters import LEAST_VALUES, MAX_CPU, FiltersInstance
from marketsim.exercises.folder import draw_instance
from marketsim.exercises.incident_replay import CAUSES, HOURS, PlantedEvent, ReplayInstance
from marketsim.exercises.judging import form_problem, grade_submission
from marketsim.exercises.selftest import selftest, selftest_lines
from marketsim.exercises.shelf import exercise_of

SECRET = bytes(range(5, 37))
CAPACITY, FILTERS, REPLAY = (exercise_of(name) for name in ("capacity", "filters", "incident-replay"))


def hours_of(instance: ReplayInstance) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(REPLAY.told(instance).record["hours.csv"])))


@pytest.mark.parametrize("cause", list(CAUSES))
def test_each_event_shows_in_its_hours_and_in_no_calm_one(cause: str) -> None:
    rows = hours_of(ReplayInstance((PlantedEvent(cause, 20, 5),), "18", 10, 3))
    assert [int(row["hour"]) for row in rows] == list(range(HOURS))
    during, calm = rows[20:25], rows[8:19]
    reason = {
        "outage": "declined_engine_disabled",
        "engine_off": "declined_engine_disabled",
        "blocked": "declined_provider_blocked",
        "price_raised": "declined_price_too_high",
        "cpu_filter": "declined_insufficient_resources",
        "region_filter": "declined_invalid_attributes",
    }.get(cause)
    if reason is None:
        assert sum(int(row["orders"]) for row in during) < 12 < min(sum(int(row["orders"]) for row in calm[at : at + 5]) for at in range(6))
    else:
        assert all(int(row[reason]) > 3 for row in during) and not any(int(row[reason]) for row in calm)
    closed = max(int(row["leases_closed"]) for row in rows[19:22])
    assert (closed > 40) == (cause == "outage")


def test_replay_points_by_hand() -> None:
    events = tuple(
        PlantedEvent(cause, 10 * at + 12, 4) for at, cause in enumerate(["outage", "blocked", "engine_off", "cpu_filter", "demand_drop"])
    )
    instance = ReplayInstance(events, "18", 10, 3)

    def points(text: str) -> tuple[float, ...]:
        return tuple(part.points for part in grade_submission(REPLAY, instance, {"timeline.yaml": text}).parts)

    assert points("events: [{cause: outage, hour: 13}, {cause: blocked, hour: 30}]") == (24, 8)
    assert points("events: [{cause: blocked, hour: 22}, {cause: outage, hour: 12}]") == (12, 16)
    assert points("events: [{cause: rain, hour: 22}]") == (0, 0)
    assert "1. cause: is none of outage" in (form_problem(REPLAY, {}, {}, {"timeline.yaml": "events: [{cause: rain, hour: 22}]"}) or "")
    assert "has 1, 5 are asked for" in (form_problem(REPLAY, {}, {}, {"timeline.yaml": "events: [{cause: outage, hour: 22}]"}) or "")


@pytest.fixture(scope="module")
def planned() -> CapacityInstance:
    drawn: CapacityInstance = draw_instance(CAPACITY, "anna", SECRET)
    return drawn


def test_the_fewest_cores_are_the_fewest(planned: CapacityInstance) -> None:
    fewest = planned.fewest()
    assert planned.fill_rate(fewest) * 100 >= planned.percent > planned.fill_rate(fewest - 1) * 100
    parts = grade_submission(CAPACITY, planned, {"capacity.yaml": f"cores: {2 * fewest}"}).parts
    assert [part.points for part in parts] == [30, 0]
    # 29 % off, of which 5 are free and 50 are none: 30 + 70 × 21 ÷ 45
    assert grade_submission(CAPACITY, planned, {"capacity.yaml": f"cores: {round(1.29 * fewest)}"}).score == pytest.approx(62.7, abs=2)
    assert "no whole number" in (form_problem(CAPACITY, {}, {}, {"capacity.yaml": "cores: 1.5"}) or "")
    assert "look at the unit" in (form_problem(CAPACITY, {}, {}, {"capacity.yaml": "cores: 64000"}) or "")


@pytest.fixture(scope="module")
def filtered() -> FiltersInstance:
    drawn: FiltersInstance = draw_instance(FILTERS, "anna", SECRET)
    return drawn


def test_filters_are_judged_by_what_they_leave(filtered: FiltersInstance) -> None:
    grid = filtered.grid()
    assert len(grid) == len(LEAST_VALUES) * sum(most is None or most >= filtered.promised for most in MAX_CPU)
    without, best = filtered.income({}), max(grid.values())
    assert best > 1.02 * without and grid[None, None] == without
    some = next(choice for choice, income in grid.items() if without < income < best)
    text = FILTERS.guess(filtered, Picks(list(grid).index(some)))["provider-config.yaml"]  # type: ignore[arg-type]
    assert grade_submission(FILTERS, filtered, {"provider-config.yaml": text}).score == pytest.approx(
        100 * (grid[some] - without) / (best - without), abs=0.01
    )
    told = FILTERS.told(filtered)
    record = {f"begun/{name}": begun for name, begun in told.submit.items()}

    def problem(old: str, new: str) -> str:
        return (
            form_problem(FILTERS, told.task, record, {"provider-config.yaml": told.submit["provider-config.yaml"].replace(old, new)}) or ""
        )

    assert problem("x" * 9, "") == "" == problem("filters:", "filters:\n  max_cpu: 4000\n  min_order_value: 5uve")
    assert "which you have promised" in problem("filters:", "filters:\n  max_cpu: 1000")
    assert "bid_engine.min_profit_margin: is not as it was" in problem("min_profit_margin: 10", "min_profit_margin: 11")


class Picks:
    """Dice that pick what they are told."""

    def __init__(self, number: int) -> None:
        self._number = number

    def pick(self, among: list[object]) -> object:
        return among[self._number]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["capacity", "filters", "incident-replay"])
def test_exercises_that_are_run_grade_as_they_say(name: str) -> None:
    lines = selftest(exercise_of(name), SECRET, learners=4, guesses=3)
    assert all(line.holds for line in lines), "\n".join(selftest_lines(lines))
