"""Arrivals are points below a rate: a higher rate adds points and moves none, and what arrives is a Poisson process."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketsim.agents.demand import (
    DAY_MS,
    HOUR_MS,
    ArrivalRate,
    Arrivals,
    between,
    burst_spans,
    exact_arrivals,
    poisson_arrivals,
    traced_arrivals,
)
from marketsim.agents.streams import stream

OFFICE = tuple(0.4 + 0.1 * (hour % 12) for hour in range(24))
WEEK = (1.2, 1.2, 1.2, 1.2, 1.2, 0.5, 0.5)


def rows(arrivals: Arrivals) -> set[tuple[int, int, float]]:
    return set(zip(arrivals.times.tolist(), arrivals.keys.tolist(), arrivals.levels.tolist(), strict=True))


def poisson(per_hour: float, days: int = 10, seed: int = 1, **more: object) -> Arrivals:
    return poisson_arrivals(seed, "tenant/web", ArrivalRate(per_hour, **more), days * DAY_MS)  # type: ignore[arg-type]


@pytest.mark.parametrize(("low", "high"), [(20, 28), (20, 20.5), (0.3, 1.7), (15.9, 16.1), (3, 300)])
def test_what_arrives_at_a_low_rate_arrives_at_a_higher_one(low: float, high: float) -> None:
    few, many = poisson(low, day=OFFICE, week=WEEK), poisson(high, day=OFFICE, week=WEEK)
    assert rows(few) < rows(many)
    assert (np.diff(many.times) >= 0).all()


def test_a_longer_horizon_leaves_the_first_days_as_they_were() -> None:
    short, long = poisson(20, 3, day=OFFICE), poisson(20, 9, day=OFFICE)
    assert rows(between(long, -1, 3 * DAY_MS)) == rows(short)
    part = poisson_arrivals(1, "tenant/web", ArrivalRate(20, OFFICE), 3 * DAY_MS // 2)
    assert rows(between(short, -1, 3 * DAY_MS // 2)) == rows(part)


def test_many_bursts_a_day_multiply_only_where_they_overlap() -> None:
    starts = np.arange(0.0, 96.0, 3.0) * HOUR_MS
    apart = np.column_stack([starts, starts + HOUR_MS, np.full(32, 9.0)])
    assert ArrivalRate(10, spans=apart).peaks(1, 1) == [90]
    assert ArrivalRate(10, spans=np.concatenate([apart, apart])).peaks(1, 2) == [810, 810]
    assert abs(len(poisson(10, 4, spans=apart).times) - 3520) < 5 * math.sqrt(3520)


def test_a_surge_adds_to_its_own_time_and_changes_nothing_else() -> None:
    surge = np.asarray([[30.0 * HOUR_MS, 33.0 * HOUR_MS, 5.0]])
    plain, surged = poisson(20), poisson(20, spans=surge)
    added = rows(surged) - rows(plain)
    assert rows(plain) < rows(surged)
    assert all(30 * HOUR_MS <= time < 33 * HOUR_MS for time, _, _ in added)
    assert abs(len(added) - 240) < 5 * math.sqrt(240)
    calm = poisson(20, spans=surge * [1, 1, 0])
    assert rows(plain) - rows(calm) == {row for row in rows(plain) if 30 * HOUR_MS <= row[0] < 33 * HOUR_MS}


def test_arrivals_are_a_poisson_process_of_the_rate() -> None:
    """Counts by the hour of the day against the profile; as many as they vary; uniform within an hour; seeds apart."""
    days = 600
    arrivals = poisson(7.3, days, day=OFFICE, start_ms=5 * HOUR_MS)
    by_hour = np.bincount((arrivals.times + 5 * HOUR_MS) // HOUR_MS % 24, minlength=24)
    expected = 7.3 * np.asarray(OFFICE) * days
    assert (np.abs(by_hour - expected) < 5 * np.sqrt(expected)).all()
    by_day = np.bincount(arrivals.times // DAY_MS, minlength=days)
    assert by_day.var(ddof=1) / by_day.mean() == pytest.approx(1, abs=5 * math.sqrt(2 / days))
    within = arrivals.times % HOUR_MS / HOUR_MS
    assert abs(within.mean() - 0.5) < 5 / math.sqrt(12 * len(within))
    other = np.bincount(poisson(7.3, days, 2, day=OFFICE, start_ms=5 * HOUR_MS).times // DAY_MS, minlength=days)
    assert abs(np.corrcoef(by_day, other)[0, 1]) < 5 / math.sqrt(days)
    neighbours = np.corrcoef(by_day[1:], by_day[:-1])[0, 1]
    assert abs(neighbours) < 5 / math.sqrt(days)


@given(
    st.lists(st.floats(0, 5), min_size=24, max_size=24),
    st.lists(st.floats(0, 5), min_size=7, max_size=7),
    st.integers(0, 7 * DAY_MS - 1),
    st.lists(st.tuples(st.integers(0, 3 * DAY_MS), st.integers(1, DAY_MS), st.floats(0, 9)), max_size=4),
    st.integers(0, 3 * DAY_MS - 1),
)
def test_no_moment_exceeds_its_day_s_peak(
    day: list[float], week: list[float], start: int, spans: list[tuple[int, int, float]], moment: int
) -> None:
    table = np.asarray([[at, at + lasts, factor] for at, lasts, factor in spans], np.float64).reshape(-1, 3)
    rate = ArrivalRate(3.0, day, week, start, table)
    there = float(rate.factors(np.asarray([moment]))[0])
    expected = day[(moment + start) // HOUR_MS % 24] * week[(moment + start) // DAY_MS % 7]
    for at, lasts, factor in spans:
        expected *= factor if at <= moment < at + lasts else 1.0
    assert there == pytest.approx(expected)
    assert 3.0 * there <= rate.peaks(moment // DAY_MS, 1)[0] * (1 + 1e-12)


def test_bursts_come_at_their_mean_gap_and_a_longer_horizon_keeps_them() -> None:
    spans = burst_spans(stream(3, "bursts"), 10 * HOUR_MS, HOUR_MS, 4000 * HOUR_MS, 3.0)
    assert len(spans) == pytest.approx(4000 / 11, abs=5 * math.sqrt(4000 / 11))
    assert spans[:, 1] - spans[:, 0] == pytest.approx(np.full(len(spans), float(HOUR_MS))) and (spans[:, 2] == 3.0).all()
    shorter = burst_spans(stream(3, "bursts"), 10 * HOUR_MS, HOUR_MS, 500 * HOUR_MS, 3.0)
    assert spans[: len(shorter)].tolist() == shorter.tolist()


def test_exact_orders_are_so_many_wherever_they_are_dense() -> None:
    even = exact_arrivals(1, "tenant/web", 1000, 10 * DAY_MS, 6000, ArrivalRate(1.0))
    assert len(even.times) == 1000 and (even.times % 6000 == 0).all() and even.times.min() >= 6000 and even.times.max() <= 10 * DAY_MS
    more = exact_arrivals(1, "tenant/web", 1001, 10 * DAY_MS, 6000, ArrivalRate(1.0))
    pairs = [set(zip(part.times.tolist(), part.keys.tolist(), strict=True)) for part in (even, more)]
    assert pairs[0] < pairs[1] and len(pairs[1]) == 1001
    surge = np.asarray([[0.0, DAY_MS, 9.0]])
    dense = exact_arrivals(1, "tenant/web", 1800, 10 * DAY_MS, 6000, ArrivalRate(1.0, spans=surge))
    assert len(dense.times) == 1800 and dense.times.max() <= 10 * DAY_MS
    assert (dense.times < DAY_MS).sum() == pytest.approx(900, abs=5 * math.sqrt(450))
    office = exact_arrivals(1, "tenant/web", 50_000, 10 * DAY_MS, 6000, ArrivalRate(1.0, OFFICE, start_ms=90 * 60_000))
    by_hour = np.bincount((office.times + 90 * 60_000) // HOUR_MS % 24, minlength=24)
    expected = 50_000 * np.asarray(OFFICE) / sum(OFFICE)
    assert (np.abs(by_hour - expected) < 5 * np.sqrt(expected)).all()


def test_rows_of_a_trace_have_keys_by_their_number() -> None:
    times = np.asarray([0, 5, 5, 90], np.int64)
    arrivals = traced_arrivals(1, "tenant/web", times)
    assert arrivals.times.tolist() == [1, 5, 5, 90]
    assert len(set(arrivals.keys.tolist())) == 4
    assert arrivals.keys[:2].tolist() == traced_arrivals(1, "tenant/web", times[:2]).keys.tolist()
