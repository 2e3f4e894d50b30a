from __future__ import annotations

import pytest
from synthetic_record import make_record

from marketsim.metrics.outcome import OutcomeError, parse_condition
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
