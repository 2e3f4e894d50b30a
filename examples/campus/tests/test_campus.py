"""Each extension keeps its contract, and a week with all of them comes out the same twice."""

from pathlib import Path

import pytest
from marketsim_campus.choices import Near, Sticky
from marketsim_campus.figures import night_share
from marketsim_campus.lectures import Lectures
from marketsim_campus.night_owl import night_owl
from marketsim_campus.power_cut import PowerCut
from marketsim_campus.prices import IdleDiscount

import marketsim as ms

SCENARIO = Path(__file__).parents[1] / "scenario.yaml"


def test_each_keeps_its_contract():
    ms.check_demand(Lectures)
    ms.check_choice_rule(Near)
    ms.check_choice_rule(Sticky)
    ms.check_strategy(IdleDiscount)
    ms.check_agent(night_owl)
    ms.check_metric(night_share)
    ms.check_fault(PowerCut, options={"chance": 1})


@pytest.fixture(scope="module")
def week():
    return ms.run(SCENARIO)


def test_a_week_with_all_of_them(week):
    assert week.fingerprint == ms.run(SCENARIO).fingerprint
    students = week.orders[week.orders["tenant_cohort"] == "students"]
    assert set(students["cpu"]) == {1000, 4000}, "what the lectures ask for"
    assert week.leases.query("tenant_cohort == 'students'")["provider_cohort"].eq("basement").any()
    assert set(week.record.logs) == {"owl"} and week.record.logs["owl"]["taken"].any()
    assert [fault["kind"] for fault in week.summary["faults"]] == ["python", "outage", "outage"]
    figures = week.summary["metrics"]
    assert set(figures) >= {"night.all", "night.students", "night.staff"}
    assert figures["night.students"] == 0, "no lecture begins at night"


def test_its_options_can_be_swept():
    changes = {"horizon": "1d", "tenants.students.demand.options.per_lecture": 2}
    assert len(ms.run(SCENARIO, overrides=changes).orders) < len(ms.run(SCENARIO, overrides={"horizon": "1d"}).orders)
