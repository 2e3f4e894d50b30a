"""What a scenario draws stays as it is when something else in it changes: another rate, horizon, tenant or rival."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_market import play, provider
from hypothesis import given
from hypothesis import strategies as st

from marketsim.chain.columns import Draft, Resource
from marketsim.kernel.table_set import rows_of
from marketsim.market.order_rows import put_lives
from marketsim.market.tables import Call, Desk, Plan
from marketsim.scenario.load import load_scenario, scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.simulation import Run
from marketsim.simulation.build import build_market
from marketsim.simulation.desks import DeskBook
from marketsim.simulation.orders import draw_orders, mean_cpu, mean_life
from marketsim.simulation.shared_orders import sharing

SMALL = Path(__file__).resolve().parents[2] / "scenarios" / "small.yaml"
WEB = "tenants.web.demand"


def small(*overrides: str) -> Scenario:
    return load_scenario(SMALL, overrides)


def orders(scenario: Scenario, cohort: int = 0, seed: int = 3) -> dict[int, tuple[int, ...]]:
    """Everything that is drawn of a cohort's orders, by key."""
    part = draw_orders(scenario.tenants[cohort], scenario, seed)
    columns = [part.calls[:, [Call.time, Call.tie, Call.deposit, Call.window]], part.plans, part.resources, part.tenants[:, None]]
    return {row[4 + Plan.key]: tuple(row) for row in np.concatenate(columns, axis=1).tolist()}


def is_within(part: dict[int, tuple[int, ...]], whole: dict[int, tuple[int, ...]]) -> bool:
    return len(part) < len(whole) and all(whole.get(key) == row for key, row in part.items())


@pytest.mark.parametrize(
    "more",
    [
        [f"{WEB}.arrivals=28/h"],
        ["horizon=9d"],
        [f"{WEB}.surges=[{{at: 1d, lasts: 6h, factor: 3}}]"],
        [f"{WEB}.bursts={{every: 1d, lasts: 2h, factor: 4}}"],
    ],
)
def test_more_demand_adds_orders_and_changes_none(more: list[str]) -> None:
    assert is_within(orders(small()), orders(small(*more)))


def test_one_tenant_more_takes_no_order_from_another() -> None:
    few, many = (small(f"{WEB}={{arrivals_each: 0.7/h}}", f"tenants.web.count={count}") for count in (30, 31))
    mine, all_of_them = orders(few), orders(many)
    assert is_within(mine, all_of_them)
    assert {row[-1] for key, row in all_of_them.items() if key not in mine} == {30}
    each = np.bincount([row[-1] for row in mine.values()], minlength=30)
    assert (np.abs(each - 84) < 5 * np.sqrt(84)).all()


def test_arrivals_of_each_are_so_many_as_of_all() -> None:
    each, together = orders(small(f"{WEB}={{arrivals_each: 0.5/h}}")), orders(small(f"{WEB}={{arrivals: 15/h}}"))
    assert {key: row[:1] for key, row in each.items()} == {key: row[:1] for key, row in together.items()}


def test_orders_are_spread_over_the_horizon_of_the_file() -> None:
    wish = f"{WEB}={{orders: 400}}"
    written = orders(small(wish))
    assert len(written) == 400
    assert orders(small(wish, "horizon=11d")) == written
    assert is_within(orders(small(wish, "horizon=2d")), written)
    assert is_within(written, orders(small(f"{WEB}={{orders: 401}}")))
    first = orders(small(f"{WEB}={{orders: 400, within: 1d}}"))
    assert len(first) == 400 and max(row[0] for row in first.values()) <= 86_400_000
    again = scenario_from_mapping(small(wish).effective(), SMALL.parent, ["horizon=11d"])
    assert orders(again) == written


def test_plain_multipliers_multiply() -> None:
    profile = f"{WEB}.day_profile=[{', '.join(['0'] * 12 + ['2'] * 12)}]"
    relative, plain = small(profile), small(profile, f"{WEB}.normalise=false")
    assert orders(plain) == orders(relative)  # of mean 1 either way
    double = [f"{WEB}.day_profile=[{', '.join(['2'] * 24)}]", f"{WEB}.normalise=false"]
    assert orders(small(*double)) == orders(small(f"{WEB}={{arrivals: 40/h}}"))
    assert orders(small(double[0])) == orders(small(f"{WEB}={{arrivals: 20/h}}"))


def test_ceilings_are_shares_of_values() -> None:
    def pairs(*overrides: str) -> list[tuple[int, int]]:
        rows = orders(small(*overrides)).values()
        price = 4 + Plan.width
        value = 4 + Plan.value
        return [(row[price] * 10**18 + row[price + 1], row[value] * 10**18 + row[value + 1]) for row in rows]

    assert all(ceiling == value for ceiling, value in pairs())
    for ceiling, value in pairs("tenants.web.ceiling={share_of_value: {uniform: [0.5, 0.9]}}"):
        assert 0.5 * value - 10**12 <= ceiling <= 0.9 * value + 10**12
    apart = pairs("tenants.web.ceiling={times_cost: {uniform: [0.8, 1.6]}}")
    assert 0.4 < np.mean([ceiling > value for ceiling, value in apart]) < 0.6


def test_the_orders_at_the_start_are_those_of_a_longer_run_and_fill_their_share() -> None:
    def first(*overrides: str) -> list[set[int]]:
        market = build_market(small(*overrides), 5)
        return [set(market.engine.plans[rows[:, Call.plan], Plan.key].tolist()) for rows in market.calls[2:]]

    web, batch = first()
    assert first("horizon=15d") == [web, batch]
    fuller = first("initial=0.95")
    assert web < fuller[0] and batch < fuller[1]
    busier = first(f"{WEB}.arrivals=28/h")
    assert web < busier[0] and busier[1] < batch
    market = build_market(small(), 5)
    cpu = sum(
        int(market.chain.resources[market.chain.drafts[rows[:, Call.first_draft], Draft.first_resource], Resource.cpu].sum())
        for rows in market.calls[2:]
    )
    capacity = int(market.book.rows[:, Desk.cap_cpu].sum())
    assert 0.85 < cpu / capacity <= 0.9


@pytest.mark.parametrize(
    "change",
    [
        "initial=0.9",
        "initial=0",
        "initial=1",
        "tenants.web.order.gpu={choice: [0, 2]}",
        "tenants.web.order.gpu={choice: [0, 2]};tenants.batch.order.gpu_model=nvidia-a100;tenants.batch.order.gpu=1",
        "tenants.batch.order.cpu={lognormal: {median: 9000, sigma: 3}}",
        "tenants.web.demand={orders: 40}",
        "tenants.web.order.cpu={lognormal: {median: 200, sigma: 4}}",
        "tenants.batch.value={per_block: 40uve}",
        "tenants.web.order.cpu={choice: {values: [10, 384000], weights: [0.999, 0.001]}}",  # far more orders than the mean says
    ],
)
def test_orders_made_in_their_place_are_those_that_are_copied_there(change: str) -> None:
    scenario = small(*change.split(";"))
    placed = build_market(scenario, 5)
    with sharing(change):
        copied = build_market(scenario, 5)
    for name in ("resources", "drafts"):
        rows = int(getattr(placed.chain.globals, name))
        assert rows == len(placed.engine.plans)
        assert getattr(placed.chain, name)[:rows].tolist() == getattr(copied.chain, name)[:rows].tolist()
    assert placed.engine.plans.tolist() == copied.engine.plans.tolist()
    assert [calls.tolist() for calls in placed.calls] == [calls.tolist() for calls in copied.calls]
    assert placed.asked == copied.asked
    assert set(placed.chain.drafts[: int(placed.chain.globals.drafts), Draft.spec].tolist()) == set(range(len(placed.asked)))


def test_the_means_that_share_out_the_start_are_those_of_the_draws() -> None:
    scenario = small("horizon=400d")
    for number, cohort in enumerate(scenario.tenants):
        part = draw_orders(cohort, scenario, 1)
        early, planned = part.plans[:, Plan.terminate], part.plans[:, Plan.duration]
        life = np.where(early >= 0, np.minimum(early, planned), planned)
        for mean, drawn in ((mean_life(cohort, 6000), life), (mean_cpu(cohort), part.resources[:, 3])):
            error = drawn.std() / np.sqrt(len(drawn))
            assert abs(drawn.mean() - mean) < 5 * error + 0.01 * mean, number


def by_names(played: Run) -> list[tuple[Any, ...]]:
    """What became of every order: of whom, when, with whom and at which price; no row numbers."""
    record = played.record
    tenants, names, leases = record.tenants["name"], record.providers["name"], record.leases
    found = []
    for row in range(len(record.orders["tenant"])):
        lease = int(record.orders["lease"][row])
        won = [None] if lease < 0 else [names[leases["provider"][lease]], *(int(leases[c][lease]) for c in ("price_whole", "price_atto"))]
        found.append((tenants[record.orders["tenant"][row]], int(record.orders["created_at"][row]), *won))
    return sorted(found, key=str)


@pytest.mark.parametrize(("choice", "dear"), [("lowest_price", "0.09uve"), ({"random_among_cheapest": 3}, "0.2uve")])
def test_a_cohort_in_front_that_never_wins_changes_nothing_for_the_others(tmp_path: Path, choice: object, dear: str) -> None:
    """Latencies, ties, random prices and choices are drawn by names, so that rows may move."""
    cohort = {
        "name": "t",
        "count": 5,
        "wallet": "1000000uve",
        "demand": {"arrivals": "200/h"},
        "order": {"cpu": 500, "memory": "256Mi", "storage": "1Gi"},
        "value": "50uve",
        "deposit": "900uve",
        "duration": "20 blocks",
        "choice": choice,
    }
    law = {"lognormal": {"median": "9s", "p95": "40s"}}
    rivals = [
        provider("dice", cores=64, count=3, strategy="random_range", latency=law),
        provider(
            "even",
            price="0.0245uve",
            cores=64,
            count=3,
            latency=law,
            leave={"mean": "30 blocks"},
            outages={"every": "5m", "lasts": "1m", "closes": 0.5},
        ),
    ]
    # asks more than any other, or more than anybody pays
    idle = provider("idle", price=dear, cores=64, count=4, latency=law)
    alone = play(tmp_path, [cohort], rivals, audit=False)
    behind = play(tmp_path, [cohort], [idle, *rivals], audit=False)
    assert len(by_names(alone)) > 80 and len({row[2] for row in by_names(alone)}) > 3
    assert by_names(behind) == by_names(alone)
    turned = play(tmp_path, [cohort], rivals[::-1], audit=False)
    assert by_names(turned) == by_names(alone)


def test_capacity_and_cost_of_a_provider_are_drawn_by_its_name() -> None:
    spread = ["providers.large.capacity.cpu={lognormal: {median: 256000, sigma: 0.5}}"]
    few, many = DeskBook(small(*spread), 1), DeskBook(small(*spread, "providers.large.count=6"), 1)
    drawn = [Desk.key, Desk.cap_cpu, Desk.cost_ppm]
    assert many.rows[:4, drawn].tolist() == few.rows[:4, drawn].tolist()
    assert many.rows[6:, drawn].tolist() == few.rows[4:, drawn].tolist()
    assert len(set(many.rows[:6, Desk.cap_cpu].tolist())) == 6


@given(st.integers(1, 3), st.integers(1, 50), st.integers(1, 20), st.integers(0, 9), st.integers(0, 1 << 32), st.sampled_from([9, 10**9]))
def test_what_is_left_of_lives_is_drawn_in_proportion_to_them(
    pools: int, lives: int, each: int, fewer: int, seed: int, longest: int
) -> None:
    rng = np.random.default_rng(seed)
    planned, early = rng.integers(1, longest + 1, (pools, lives)), rng.integers(-1, longest + 1, (pools, lives))
    early[early == 0] = -1
    count = max(0, pools * each - fewer)
    draws = rng.random((2, count))
    draws[0, ::3] = 1 - 2.0**-53
    plans = rows_of(count, Plan)
    put_lives(planned, early, each, draws.view(np.int64), np.empty(lives, np.int64), plans)
    for pool in range(pools):
        ends_early = (early[pool] >= 0) & (early[pool] < planned[pool])
        life = np.where(ends_early, early[pool], planned[pool])
        mine = slice(pool * each, (pool + 1) * each)
        picked = np.minimum(np.searchsorted(np.cumsum(life), draws[0, mine] * life.sum(), side="right"), lives - 1)
        left = np.maximum(np.rint(life[picked] * draws[1, mine]), 1).astype(np.int64)
        assert plans[mine, Plan.duration].tolist() == (left + ends_early[picked]).tolist()
        assert plans[mine, Plan.terminate].tolist() == np.where(ends_early[picked], left, -1).tolist()
