"""Desks are made of all cohorts at once: each is what it would be if its cohort were the only one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_market import provider

from marketsim.agents.streams import listening
from marketsim.errors import InputError
from marketsim.experiments.difference.draws import DrawBook
from marketsim.market.tables import Desk, Node
from marketsim.scenario import scenario_from_mapping
from marketsim.scenario.model import Scenario
from marketsim.simulation.desks import DeskBook, desk_rows

NODES = [
    {"count": 2, "cpu": 64_000, "memory": "256Gi", "storage": "1Ti", "gpu": 1},
    {"count": 1, "cpu": 8_000, "memory": "8Gi", "storage": "1Ti"},
]
DRAWN = {"cpu": {"uniform": [1000, 64_000]}, "memory": {"lognormal": {"median": "64Gi", "p90": "256Gi"}}, "storage": "1Ti"}
COHORTS: list[dict[str, Any]] = [
    provider("plain", count=2, spread=0.1, regions=["east", "west"], lease_capacity=7),
    provider("drawn", count=3, spread=0.3, capacity=DRAWN, overcommit={"cpu": 1.5}, latency="2 blocks", leave={"mean": "4d"}),
    provider("nodes", count=2, nodes=NODES, capacity=None, outages={"every": "9d", "lasts": "1d"}, rate_limit={"per_minute": 5}),
    provider("late", count=1, nodes=NODES[:1], capacity=None, repricing={"every": "9 blocks", "low": 0.5, "down": 0.9}),
]
BESIDE_OTHERS = (Desk.latency_profile, Desk.region, Desk.first_node)
"""Columns that number what other cohorts have as well."""


def scenario_of(*cohorts: dict[str, Any]) -> Scenario:
    wallets = {"start": {"wallets": {"ada": 1}}, "messages": [{"height": 1, "op": "close_deployment", "id": "ada/1"}]}
    return scenario_from_mapping({"name": "desks", "horizon": "9 blocks", "providers": list(cohorts)} | wallets, Path())


def book_of(*cohorts: dict[str, Any]) -> DeskBook:
    return DeskBook(scenario_of(*cohorts), 3)


def test_a_desk_is_the_same_beside_others() -> None:
    book = book_of(*COHORTS)
    alone = [book_of(cohort) for cohort in COHORTS]
    own = np.delete(np.arange(Desk.width), BESIDE_OTHERS)
    assert np.array_equal(book.rows[:, own], np.concatenate([each.rows for each in alone])[:, own])
    assert len(set(book.rows[:5, Desk.cost_ppm].tolist())) == len(set(book.rows[2:5, Desk.cap_cpu].tolist()) | {0, 1}) == 5
    assert book.rows[:, Desk.region].tolist() == [1, 2, 0, 0, 0, 0, 0, 0]
    assert book.rows[:, Desk.latency_profile].tolist() == [0, 0, 1, 1, 1, 2, 2, 3]
    assert np.array_equal(book.latencies, np.concatenate([each.latencies for each in alone]))
    assert book.names == [name for each in alone for name in each.names]


def test_what_is_not_drawn_is_what_a_draw_would_be() -> None:
    """While somebody listens, constants are drawn like anything else."""
    sizes = {"cpu": 12_345, "memory": "77Gi", "storage": "1Ti", "gpu": 3}
    cohort = provider(capacity=sizes, overcommit={"cpu": 1.7, "memory": 1.3, "storage": 2}, count=3)
    with listening(DrawBook()):
        heard = book_of(cohort).rows
    assert np.array_equal(heard, book_of(cohort).rows)
    assert heard[0, Desk.cap_cpu : Desk.cap_gpu + 1].tolist() == [20_986, 102_502, 2 << 20, 3]


def test_each_desk_has_nodes_of_its_own() -> None:
    book = book_of(*COHORTS)
    assert book.rows[:, Desk.nodes].tolist() == [0] * 5 + [3, 3, 2]
    assert book.rows[5:, Desk.first_node].tolist() == [0, 3, 6]
    assert book.nodes[:, Node.free_cpu].tolist() == [64_000, 64_000, 8_000] * 2 + [64_000] * 2


def test_latencies_are_the_run_s_own_to_write_into() -> None:
    one, other = book_of(COHORTS[0]), book_of(COHORTS[0])
    one.latencies[:] = 0
    assert other.latencies.all()


def test_no_desks() -> None:
    book = book_of()
    assert len(book.rows) == len(book.nodes) == 0 < len(book.latencies)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (provider("dear", price="2000000uve"), "providers.dear: a unit price above"),
        (provider("dear", engine={"min_profit_margin": 900_000}), "providers.dear.config.bid_engine.min_profit_margin: above"),
        (provider("dear", rate_limit={"per_hour": 200}), "providers.dear.rate_limit: above"),
    ],
)
def test_the_cohort_with_a_problem_is_named(wrong: dict[str, Any], told: str) -> None:
    scenario = scenario_of(*COHORTS, wrong)
    assert len(desk_rows(scenario.desks[: len(COHORTS)], scenario, 3)) == 8
    with pytest.raises(InputError, match=told):
        desk_rows(scenario.desks, scenario, 3)
