from __future__ import annotations

import math
from fractions import Fraction

import pytest
from synthetic_record import make_record

from marketsim.metrics.outcome import OutcomeError, parse_condition
from marketsim.metrics.paths import exact_at, metric_at, value_at
from marketsim.metrics.shape import summary_shape
from marketsim.metrics.summary import summarize

SUMMARY = summarize(make_record())
SHAPE = summary_shape()


@pytest.mark.parametrize(
    "text",
    [
        "fill_rate>=0.8",
        "0.5 < fill_rate <= 1",
        "leases.close_reasons.tenant_terminated / leases.closed < 0.9",
        "bids.rejected.price_too_high == 0",
        "bids.rejected.Panic == 0",
        "not (fill_rate < 0.1) and conserved",
        "conserved == True",
        "rules == 'seed'",
        "revenue.by_provider_uve['hyperscale/0'] > 0",
        "revenue.per_day_uve[0] + revenue.per_day_uve[5] > 1e6",
        "max(utilization.cpu, utilization.gpu) <= 1",
        "-shortfall_uve <= 0",
        "revenue.total == revenue.total_uve and revenue.total > 1e6",
        "escrow.deposited - escrow.held - escrow.paid - escrow.fees - escrow.refunded == escrow.dust",
        "revenue.by_provider['hyperscale/0'] + 0.5 > revenue.by_provider_uve['hyperscale/0']",
        "price.p90 - price.p10 == price.spread",
        "revenue.per_day[0] == revenue.per_day_uve[0]",
    ],
)
def test_holds(text: str) -> None:
    verdict = parse_condition(text).check(SHAPE).judge(SUMMARY)
    assert verdict.holds, str(verdict)
    negated = parse_condition(f"not ({text})").check(SHAPE).judge(SUMMARY)
    assert not negated.holds and negated.problem is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fil_rate>=0.8", "expected fill_rate"),
        ("leases.actve > 1", "expected leases.active"),
        ("leases > 1", "leases: has parts"),
        ("fill_rate.mean > 1", "fill_rate has no parts"),
        ("fill_rate", "compares nothing"),
        ("fill_rate >=", "is not a condition"),
        ("1 < 2", "names no outcome"),
        ("", "is not a condition"),
        ("fill_rate > 0.8; import os", "is not a condition"),
        ("__import__('os').system('true') == 0", "not allowed"),
        ("fill_rate ** 99 > 1", "not allowed"),
        ("[x for x in ()] == fill_rate", "not allowed"),
        ("(lambda: 1)() == fill_rate", "not allowed"),
        ("fill_rate.__class__ == 1", "fill_rate has no parts"),
        ("bids.rejected.nonsense == 0", "no such outcome"),
        ("fill_rate > " + "1+" * 400 + "1", "at most 500"),
    ],
)
def test_nonsense_is_refused_before_a_run(text: str, message: str) -> None:
    with pytest.raises(OutcomeError, match=message.replace("*", r"\*")):
        parse_condition(text).check(SHAPE)


def test_undefined_and_impossible_values_fail_with_a_reason() -> None:
    undefined = parse_condition("fill_rate >= 0").judge(SHAPE)
    assert not undefined.holds and undefined.problem == "fill_rate is undefined in this run"
    divided = parse_condition("fill_rate / stranded > 1").judge({"fill_rate": 1.0, "stranded": 0})
    assert not divided.holds and "division" in str(divided)
    mixed = parse_condition("rules > 1").judge(SUMMARY)
    assert not mixed.holds and mixed.problem


def test_a_name_of_another_run_is_refused_when_judged() -> None:
    condition = parse_condition("revenue.by_provider_uve['hyperscale/9'] > 0").check(SHAPE)
    with pytest.raises(OutcomeError, match="hyperscale/"):
        condition.judge(SUMMARY)


def test_one_reader_of_paths() -> None:
    revenue = {"total": "12.5", "total_uve": 12.5, "per_day": ["1"], "per_day_uve": [1]}
    summary = {"revenue": revenue, "price": {"p50": None}, "conserved": True}
    assert metric_at(summary, "revenue.total") == 12.5
    assert exact_at(summary, "revenue.total") == Fraction(25, 2)
    assert value_at(summary, "revenue.total") == "12.5"
    assert exact_at(summary, "revenue.per_day.0") == metric_at(summary, "revenue.per_day.0") == 1
    assert math.isnan(metric_at(summary, "price.p50"))
    for path in ("revenue.nothing", "fill", "conserved", "revenue", "revenue.per_day", "revenue.per_day.1", "revenue.per_day.-2"):
        with pytest.raises(OutcomeError):
            metric_at(summary, path)


def test_a_name_with_a_hyphen_is_a_name_in_a_path_and_a_minus_elsewhere() -> None:
    summary = {"revenue": {"by_cohort": {"gpu-1": "7"}, "by_cohort_uve": {"gpu-1": 7}}, "take": "2", "take_uve": 2}
    for text in ("revenue.by_cohort.gpu-1 - take == 5", "revenue.by_cohort['gpu-1']-take == 5", "9-take == revenue.by_cohort.gpu-1"):
        assert parse_condition(text).judge(summary).holds
    assert metric_at(summary, "revenue.by_cohort.gpu-1") == 7
