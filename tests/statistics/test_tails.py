"""Tail risk on laws whose tails are known, and rare events counted by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from marketsim.statistics.tails import probability, probability_beyond, tail_risk


@pytest.mark.parametrize("share", [0.95, 0.99])
def test_expected_shortfall_by_its_definition(share: float) -> None:
    """The mean of the worst values, the one at the edge counted in part: by sorting and weighing."""
    x = np.random.default_rng(1).gamma(2.0, size=777)
    found = tail_risk(x, share)
    worst, room, total = np.sort(x)[::-1], (1 - share) * x.size, 0.0
    for value in worst:
        part = min(1.0, room)
        total, room = total + part * value, room - part
        if room <= 0:
            break
    assert found.beyond == pytest.approx(total / ((1 - share) * x.size))
    assert found.at_risk == np.quantile(x, share, method="inverted_cdf")
    assert tail_risk(-x, share, lower=True).beyond == pytest.approx(-found.beyond)
    assert tail_risk(-x, share, lower=True).at_risk_interval.high == -found.at_risk_interval.low


def test_intervals_cover_on_known_tails() -> None:
    rng = np.random.default_rng(2)
    quantile, beyond = -math.log(0.05), 1 - math.log(0.05)
    found = [tail_risk(row, 0.95) for row in rng.exponential(size=(500, 800))]
    assert np.mean([one.at_risk_interval.holds(quantile) for one in found]) >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / 500)
    assert np.mean([one.beyond_interval.holds(beyond) for one in found]) >= 0.92
    normal = [tail_risk(row, 0.99).beyond for row in rng.normal(size=(200, 2000))]
    assert np.mean(normal) == pytest.approx(stats.norm.pdf(stats.norm.isf(0.01)) / 0.01, abs=0.02)


def test_few_values_leave_the_tail_open() -> None:
    found = tail_risk(np.arange(20.0), 0.99)
    assert found.at_risk == 19
    assert found.at_risk_interval.high == math.inf
    assert found.beyond_interval.as_json()["high"] is None
    assert tail_risk([math.nan]).as_json()["value_at_risk"] is None


@given(st.integers(1, 400), st.data())
def test_exact_intervals_against_scipy(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    found = probability(hits, count)
    level = 0.95 if 0 < hits < count else 0.90
    expected = stats.binomtest(hits, count).proportion_ci(level, method="exact")
    assert found.interval.low == pytest.approx(expected.low, abs=1e-9)
    assert found.interval.high == pytest.approx(expected.high, abs=1e-9)


def test_nothing_in_sixty_runs_is_not_never() -> None:
    found = probability(0, 60)
    assert found.estimate == 0
    assert (1 - found.interval.high) ** 60 == pytest.approx(0.05)
    assert probability(0, 0).interval.high == 1
    with pytest.raises(ValueError, match="cannot be"):
        probability(3, 2)
    assert probability_beyond([1.0, 2.0, 5.0, math.nan], 1.5).hits == 2
    assert probability_beyond([1.0, 2.0, 5.0], 1.5, lower=True).as_json()["hits"] == 1


@pytest.mark.parametrize("p", [0.001, 0.02, 0.3])
def test_exact_intervals_cover_rare_events(p: float) -> None:
    hits = np.random.default_rng(3).binomial(120, p, 4000)
    known = {h: probability(h, 120).interval.holds(p) for h in set(hits.tolist())}
    assert np.mean([known[h] for h in hits.tolist()]) >= 0.95 - 2 * math.sqrt(0.05 * 0.95 / 4000)
