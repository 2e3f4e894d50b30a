"""Rare events: importance sampling on probabilities that are known, leases and providers as groups, what cannot be tilted."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from marketsim.cli import main
from marketsim.experiments.compare.risk import assess, parse_event, risk_lines
from marketsim.experiments.compare.tilted import likelihood_ratio, rates_of, tilted_probability
from marketsim.experiments.runs.items import items_of
from marketsim.experiments.runs.simulated import runner_for
from marketsim.experiments.runs.variants import SerialRuns, Variant
from marketsim.scenario.literals import parse_rate
from marketsim.statistics.tails import clustered_tail_risk, weighted_probability

SCENARIO: dict[str, Any] = {
    "name": "rare",
    "horizon": "10h",
    "tenants": [
        {
            "name": "web",
            "count": 3,
            "wallet": "900VE",
            "demand": "10/h",
            "order": {"cpu": 1000, "memory": "1Gi", "storage": "5Gi"},
            "value": {"times_cost": 2},
            "duration": "1h",
            "deposit": {"blocks": 7200},
        }
    ],
    "providers": [
        {"name": "p", "count": 2, "capacity": {"cpu": 64000, "memory": "256Gi", "storage": "4Ti"}, "strategy": "monthly_targets"}
    ],
}


def counted(scenario: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """A Poisson number of orders in ten hours, and a revenue that has nothing to do with it."""
    demand = scenario["tenants"][0]["demand"]
    expected = parse_rate(demand if isinstance(demand, str) else demand["arrivals"]).count * 10
    rng = np.random.default_rng(seed)
    arrivals = int(rng.poisson(expected))
    return {
        "orders": {"created": arrivals},
        "revenue": {"total": float(rng.normal())},
        "demand": {"arrivals": arrivals, "expected": expected},
        "rules": "seed",
    }


@pytest.mark.parametrize(("event", "truth"), [
    ("orders.created<=65", stats.poisson.cdf(65, 100)),
    ("orders.created>=140", stats.poisson.sf(139, 100)),
])  # fmt: skip
def test_a_known_tail_takes_a_twentieth_of_the_runs(event: str, truth: float) -> None:
    """P(Poisson(100) ≤ 65) = 1.3e-4 and P(≥ 140) = 9e-5 by 200 runs each, over 60 seeds: unbiased, covered, and ≥ 20 × cheaper."""
    condition = parse_event(event)
    found = [
        tilted_probability(Variant("v", SCENARIO, "."), SerialRuns(counted), condition.slack, condition.reached, 200, 1000 * k)
        for k in range(60)
    ]
    measured = [one.found for one in found if one.found is not None and not one.reason]
    assert len(measured) == 60
    estimates = np.array([one.estimate for one in measured])
    assert abs(estimates.mean() - truth) < 3.5 * estimates.std() / math.sqrt(60)
    assert np.mean([one.interval.holds(truth) for one in measured]) >= 0.95 - 2.5 * math.sqrt(0.05 * 0.95 / 60)
    # Variance of the share of hits in 200 plain runs ÷ that of these estimates, pilot runs included in the 200.
    assert truth * (1 - truth) / 200 / estimates.var() > 20
    assert np.median([one.gain for one in measured]) > 20
    assert all((one.factor < 1) == (event[14] == "<") for one in found)


def test_likelihood_ratio_is_that_of_the_poisson_law() -> None:
    n = np.arange(60, 140)
    expected = stats.poisson.logpmf(n, 100) - stats.poisson.logpmf(n, 70)
    assert likelihood_ratio(n.astype(float), np.full(n.size, 100.0), 0.7) == pytest.approx(expected)


def test_what_does_not_follow_demand_is_left_to_plain_runs() -> None:
    condition = parse_event("revenue.total<-4")
    found = tilted_probability(Variant("v", SCENARIO, "."), SerialRuns(counted), condition.slack, condition.reached, 200, 1)
    assert found.reason
    assert "not used" in found.words() or "too few" in found.words() or "helps nothing" in found.words()
    fixed = {**SCENARIO, "tenants": [{**SCENARIO["tenants"][0], "demand": {"orders": 50}}]}
    assert "no cohort orders by a Poisson process" in str(rates_of(Variant("v", fixed, ".")))
    both = {**SCENARIO, "initial": 0.5, "tenants": [SCENARIO["tenants"][0], {**fixed["tenants"][0], "name": "rest"}]}
    assert "rest has none to multiply" in str(rates_of(Variant("v", both, ".")))


def test_runs_tell_their_arrivals_and_tilted_ones_have_more() -> None:
    """In the simulator itself: 100 orders are expected, and under 1.5 × the demand 150, the first of them the same ones."""
    runner = runner_for(["orders.created"])
    plain = [runner(SCENARIO, ".", seed) for seed in (1, 2, 3)]
    variant = Variant("v", SCENARIO, ".").changed("w", {"tenants.web.demand": "15/h"})
    more = [runner(variant.mapping, ".", seed) for seed in (1, 2, 3)]
    for a, b in zip(plain, more, strict=True):
        assert a["demand"]["expected"] == pytest.approx(100)
        assert b["demand"]["expected"] == pytest.approx(150)
        assert a["demand"]["arrivals"] == a["orders"]["created"]
        assert b["demand"]["arrivals"] > a["demand"]["arrivals"]


def test_weights_by_hand() -> None:
    weights, happened = np.array([0.5, 2.0, 0.1]), np.array([1.0, 0.0, 1.0])
    found = weighted_probability([(weights, happened), (np.array([1.0, 1.0]), np.array([0.0, 1.0]))])
    assert found.estimate == pytest.approx((0.5 + 0.1 + 1.0) / 5)
    assert found.error == pytest.approx(math.sqrt(3 * np.var([0.5, 0, 0.1], ddof=1) + 2 * np.var([0, 1], ddof=1)) / 5)
    assert (found.interval.low, found.interval.high) == (0, 1), "three hits are too few"


def test_groups_are_the_sample() -> None:
    """Leases of a run share its luck: intervals over leases would be far too short, those over runs cover."""
    rng = np.random.default_rng(4)
    quantile = stats.norm(0, math.sqrt(2)).ppf(0.95)
    shortfall = math.sqrt(2) * stats.norm.pdf(stats.norm.ppf(0.95)) / 0.05
    held = [0, 0, 0]
    for _ in range(200):
        groups = [rng.normal() + rng.normal(size=rng.integers(5, 40)) for _ in range(60)]
        found = clustered_tail_risk(groups)
        naive = clustered_tail_risk([np.array([value]) for value in np.concatenate(groups)])
        held[0] += found.at_risk_interval.holds(quantile)
        held[1] += found.beyond_interval.holds(shortfall)
        held[2] += naive.at_risk_interval.holds(quantile)
    assert min(held[:2]) >= 200 * 0.87
    assert held[2] < 200 * 0.8
    single = rng.gamma(2.0, size=400)
    found = clustered_tail_risk([np.array([value]) for value in single], 0.9, lower=True)
    assert found.at_risk == pytest.approx(-np.quantile(-single, 0.9, method="inverted_cdf"))
    assert found.clusters == 400


def test_leases_and_providers_of_a_market() -> None:
    arm = Variant("v", SCENARIO, ".")
    names = ["lease.paid", "provider.revenue"]
    events = [parse_event("provider.revenue<1"), parse_event("lease.blocks>=600"), parse_event("provider.idle_days>=7")]
    runner = runner_for([*names, *(name for event in events for name in event.condition.slack.metrics)])
    summaries = [runner(SCENARIO, ".", seed) for seed in range(1, 5)]
    found = assess(arm, SerialRuns(runner), metrics=names, events=events, count=4)
    paid = np.concatenate([one["items"]["lease.paid"] for one in summaries])
    tail = found.tails["lease.paid"][2]
    assert (tail.count, tail.clusters) == (len(paid), 4)
    assert tail.at_risk == np.quantile(paid, 0.95, method="inverted_cdf")
    assert sum(summaries[0]["items"]["provider.revenue"]) == summaries[0]["revenue"]["total_uve"]
    lived = found.events["lease.blocks>=600"]
    assert lived.items is not None
    assert lived.items[0] == sum(value >= 600 for one in summaries for value in one["items"]["lease.blocks"])
    assert lived.runs.hits == 4, "in every run some lease lives its hour"
    never = found.events["provider.idle_days>=7"]
    assert (never.runs.hits, never.runs.interval.high) == (0, pytest.approx(1 - 0.05 ** (1 / 4)))
    text = "\n".join(risk_lines(found))
    assert "leases of 4 runs, which are the sample" in text
    assert "a run counts if one of its providers does" in text


def test_days_without_income_by_hand() -> None:
    class Record:
        blocks, day_blocks = 80, 10
        providers = {"revenue_days": np.array([[5, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1, 1, 1]])}  # noqa: RUF012

    assert items_of(Record(), ["provider.idle_days"])["provider.idle_days"] == [3, 8, 0]  # type: ignore[arg-type]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rare.yaml"
    path.write_text(json.dumps(SCENARIO))
    options = [
        "--event",
        "orders.created<80",
        "--metric",
        "lease.price",
        "--runs",
        "8",
        "--tilted",
        "100",
        "--workers",
        "1",
        "--quiet",
        "--json",
    ]
    assert main(["risk", str(path), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    event = found["events"]["orders.created<80"]
    assert event["tilted"]["demand_factor"] < 0.9
    assert event["tilted"]["probability"] == pytest.approx(stats.poisson.cdf(79, 100), rel=0.9)
    assert found["tails"]["lease.price"][0]["clusters"] == 8
    assert main(["risk", str(path), "--event", "provider.idle>=7"]) == 2
    assert "`provider.idle` is not a metric of a lease or provider; provider.idle_days" in capsys.readouterr().err
    assert main(["risk", str(path), "--event", "provider.idle_days>lease.paid"]) == 2
