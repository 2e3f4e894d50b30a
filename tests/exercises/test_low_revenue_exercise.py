"""The low-revenue exercise: each cause leaves its sign, the fix is what it brings back, five accepted instances grade as stated."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from functools import cache

import pytest

from marketsim.exercises import low_revenue
from marketsim.exercises.dice import Dice
from marketsim.exercises.exercise import Submission
from marketsim.exercises.folder import draw_instance
from marketsim.exercises.judging import form_problem, grade_submission
from marketsim.exercises.low_revenue import CONFIG, DAEMON, DIAGNOSIS, RevenueInstance, is_accepted, read_settings, settings_files
from marketsim.exercises.plain_yaml import yaml_text
from marketsim.exercises.revenue_market import BY_NAME, CAUSES, Settings, draw_market, scenario_of
from marketsim.exercises.selftest import selftest, selftest_lines
from marketsim.exercises.shelf import exercise_of
from marketsim.face.runs import run

SECRET = bytes(range(4, 36))
REVENUE = exercise_of("low-revenue")
MARKET = draw_market(Dice.of(SECRET, "low-revenue", "signs"))


@cache
def figures(cause: str) -> dict[str, float]:
    """What `week.csv` says of one market with nothing wrong, or with one cause."""
    settings = MARKET.healthy | (BY_NAME[cause].plant(Dice.of(SECRET, "plant", cause), MARKET.healthy) if cause else {})
    rules = "seed" if cause.startswith("usage") else "virtengine"
    week = run(scenario_of(replace(MARKET, rules=rules), settings) | {"record": "everything"}, seed=5, progress=False)
    rows = list(csv.reader(io.StringIO(low_revenue._figures(week))))[1:]
    return {name: float(value) for name, value in rows}


def change(cause: str, figure: str) -> float:
    """How much more of a figure there is with the cause than without."""
    return figures(cause).get(figure, 0.0) / figures("").get(figure, 1e-9)


PRICE, BIDS, TIME, GAS = "mean price of new leases, uve a block", "bids a day", "mean bid time, seconds", "gas a day, uve"
PAID = "paid of price times blocks, leases that ended, percent"
RESOURCES, ATTRIBUTES = "declined a day: insufficient_resources", "declined a day: invalid_attributes"


def test_every_cause_leaves_its_sign_and_bids_are_won_all_the_same() -> None:
    assert change("memory_price_low", PRICE) < 0.8 and change("memory_price_low", BIDS) == pytest.approx(1, abs=0.03)
    assert figures("gpu_price_high").get("declined a day: price_too_high", 0) > 3 + figures("").get("declined a day: price_too_high", 0)
    for cause in ("max_cpu_low", "max_memory_low"):
        assert figures(cause)[RESOURCES] > 10 and change(cause, PRICE) < 0.5
    assert change("region_filter", ATTRIBUTES) > 1.5 and change("region_filter", PRICE) > 0.8
    assert figures("late_bids")[TIME] > 30 and figures("late_bids").get("declined a day: order_not_open", 0) > 5
    assert figures("lease_slots_few")[RESOURCES] > 5 and figures("lease_slots_few")["active leases"] <= 15
    assert figures("outages").get("declined a day: engine_disabled", 0) > 5
    assert change("withdrawals_frequent", GAS) > 10 and change("withdrawals_frequent", PRICE) == pytest.approx(1, abs=0.03)
    assert figures("")[PAID] > 99 and 45 < figures("usage_reported_low")[PAID] < 75
    for cause in CAUSES:
        assert 75 < figures(cause.name)["bids won, percent"] < 99, cause.name


@pytest.fixture(scope="module")
def instance() -> RevenueInstance:
    drawn: RevenueInstance = draw_instance(REVENUE, "anna", SECRET)
    return drawn


def handed_in(instance: RevenueInstance, settings: Settings, causes: list[str] | None = None, income: float = 0) -> Submission:
    diagnosis = {"causes": causes or list(instance.market.causes), "evidence": "e", "predicted_income_per_day": income}
    return {DIAGNOSIS: yaml_text(diagnosis), **settings_files(settings)}


def points(instance: RevenueInstance, submission: Submission) -> dict[str, float]:
    return {part.name: round(part.points, 2) for part in grade_submission(REVENUE, instance, submission).parts}


def test_points_by_hand(instance: RevenueInstance) -> None:
    market = instance.market
    assert is_accepted(instance)
    healthy = instance.net(market.healthy)
    right = list(market.causes)
    assert points(instance, handed_in(instance, market.healthy, right, round(1.09 * healthy))) == {
        "causes": 45,
        "fix": 45,
        "prediction": 10,
    }
    assert points(instance, handed_in(instance, market.healthy, right, round(1.11 * healthy)))["prediction"] == 0
    # one name too many: precision n / (n + 1), recall 1
    n = len(right)
    assert points(instance, handed_in(instance, market.healthy, [*right, "demand_lower"]))["causes"] == round(45 * 2 * n / (2 * n + 1), 2)
    # two changes that nobody needed and that change nothing
    more = market.healthy | {"bid_engine.max_concurrent_bids": 300, "bid_engine.bid_timeout": "6m"}
    assert points(instance, handed_in(instance, more))["fix"] == round(45 * 0.7, 2)
    assert points(instance, handed_in(instance, market.broken))["fix"] == 0
    key = next(key for key in ("filters.max_storage",) if key not in {k for name in right for k in BY_NAME[name].keys})
    worse = market.healthy | {key: 1}
    assert points(instance, handed_in(instance, worse))["fix"] == 0


def test_files_are_read_and_what_is_wrong_is_named(instance: RevenueInstance) -> None:
    files = dict(handed_in(instance, instance.market.healthy, None, 5))
    settings, others = read_settings(files, "")
    assert {key: str(value) for key, value in settings.items()} == {key: str(value) for key, value in instance.market.healthy.items()}
    assert others == []

    def problem(name: str, old: str, new: str) -> str:
        changed = files | {name: files[name].replace(old, new)}
        return form_problem(REVENUE, {}, {}, changed) or ""

    assert problem(DIAGNOSIS, "x" * 9, "") == ""
    assert "'memory_price' is no cause" in problem(DIAGNOSIS, f"- {instance.market.causes[0]}", "- memory_price")
    assert "predicted_income_per_day: is missing or no number" in problem(DIAGNOSIS, "per_day: 5", "per_day: much")
    assert "evidence: is missing" in problem(DIAGNOSIS, "evidence: e", "evidence:")
    assert "daemon.yaml: host.lease_slots: 'many'" in problem(
        DAEMON, f"lease_slots: {instance.market.healthy['host.lease_slots']}", "lease_slots: many"
    )
    assert "withdraw_every: 1s is too short" in problem(
        DAEMON, f"withdraw_every: {instance.market.healthy['withdraw_every']}", "withdraw_every: 1s"
    )
    assert "filters.min_order_value: is no key" in problem(CONFIG, "filters:", "filters:\n  min_order_value: 5uve")
    assert "submit/provider-config.yaml:" in problem(CONFIG, "enabled: true", "enabled: perhaps")


def test_a_setting_that_no_run_takes_gets_no_fix_and_keeps_the_rest(instance: RevenueInstance) -> None:
    files = dict(handed_in(instance, instance.market.healthy))
    files[DAEMON] = files[DAEMON].replace("withdraw_every", "withdraw_every: 1s #")
    found = points(instance, files)
    assert found["fix"] == 0 and found["causes"] == 45


@pytest.mark.slow
def test_five_accepted_instances_grade_as_they_say() -> None:
    lines = selftest(REVENUE, SECRET, learners=5, guesses=2)
    assert all(line.holds for line in lines), "\n".join(selftest_lines(lines))
    assert any(line.claim.startswith("the symptom alone") for line in lines) and any(line.claim == "everything changed" for line in lines)
