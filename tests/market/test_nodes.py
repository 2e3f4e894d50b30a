"""Nodes: an order needs room on single machines, replica by replica, first fit; what is taken comes back."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_market import heights, leases, play, provider, tenant

from marketsim.chain.columns import EventKind
from marketsim.market.tables import Desk, Node, Track
from marketsim.scenario.load import scenario_from_mapping
from marketsim.simulation import Run

running = importlib.import_module("marketsim.simulation.run")


def farm(nodes: list[dict[str, Any]], name: str = "p", **more: Any) -> dict[str, Any]:
    """A provider with nodes instead of a capacity; a node has 64 GiB and 1 TiB unless it says otherwise."""
    whole = provider(name, **more)
    del whole["capacity"]
    return whole | {"nodes": [{"memory": "64Gi", "storage": "1Ti"} | node for node in nodes]}


def declined(market: Run) -> int:
    return int(market.summary["bids"]["declined"]["insufficient_resources"])


def test_the_sum_of_two_machines_is_no_machine(tmp_path: Path) -> None:
    """8 cores in one piece take an order of 5; twice 4 cores do not. One machine of 8 is the capacity itself."""
    asked = [tenant(tmp_path, "t", [10], cores=5)]
    for nodes, made in (([{"count": 2, "cpu": 4000}], 0), ([{"cpu": 8000}], 1), ([{"cpu": 3000}, {"cpu": 5000}], 1)):
        market = play(tmp_path, asked, [farm(nodes)])
        assert (len(leases(market)), declined(market)) == (made, 1 - made)
    assert len(leases(play(tmp_path, asked, [provider(cores=8)]))) == 1


def test_first_fit_and_release(tmp_path: Path) -> None:
    """Two machines of 4 cores. 3 + 3 cores leave 1 + 1: an order of 2 has room on neither, though 2 are free. When the
    first lease ends, at block 70, it has."""
    asked = [
        tenant(tmp_path, "a", [10], cores=3, lasts=50),
        tenant(tmp_path, "b", [11], cores=3, lasts=300),
        tenant(tmp_path, "c", [30, 80], cores=2, lasts=20),
    ]
    market = play(tmp_path, asked, [farm([{"count": 2, "cpu": 4000}])])
    assert [row[1] for row in leases(market)] == [20, 21, 90]
    assert declined(market) == 1
    # by the sum of capacities the order of block 30 would have had its lease
    summed = play(tmp_path, asked, [provider(cores=8)])
    assert [row[1] for row in leases(summed)] == [20, 21, 40, 90]


def test_the_first_node_that_fits_is_taken(tmp_path: Path) -> None:
    """Machines of 2 and 4 cores: an order of 1 goes to the first, so that 4 are left for the next; had it gone to the
    larger, 4 would be nowhere."""
    asked = [tenant(tmp_path, "a", [10], cores=1, lasts=300), tenant(tmp_path, "b", [30], cores=4, lasts=300)]
    market = play(tmp_path, asked, [farm([{"cpu": 2000}, {"cpu": 4000}])])
    assert len(leases(market)) == 2
    swapped = play(tmp_path, asked, [farm([{"cpu": 4000}, {"cpu": 2000}])])
    assert (len(leases(swapped)), declined(swapped)) == (1, 1)


@pytest.mark.parametrize(
    ("node", "resource"),
    [({"cpu": 2000, "memory": "1000Mi"}, "memory"), ({"cpu": 2000, "storage": "1000Mi"}, "storage"), ({"cpu": 999}, "cpu")],
)
def test_each_resource_counts(tmp_path: Path, node: dict[str, Any], resource: str) -> None:
    market = play(tmp_path, [tenant(tmp_path, "t", [10])], [farm([{"count": 3} | node])])
    assert (len(leases(market)), declined(market)) == (0, 1), resource


def test_gpus_are_not_put_together_from_two_machines(tmp_path: Path) -> None:
    order = {"cpu": 1000, "memory": "1Gi", "storage": "1Gi", "gpu": 3}
    asked = [tenant(tmp_path, "t", [10], order=order)]
    apart = play(tmp_path, asked, [farm([{"count": 2, "cpu": 8000, "gpu": 2}])])
    beside = play(tmp_path, asked, [farm([{"cpu": 8000, "gpu": 4}, {"cpu": 8000}])])
    assert (len(leases(apart)), len(leases(beside))) == (0, 1)


SDL = """\
version: "2.0"
services:
  web: {image: nginx, expose: [{port: 80, to: [{global: true}]}]}
profiles:
  compute:
    web: {resources: {cpu: {units: 3}, memory: {size: 1Gi}, storage: {size: 1Gi}}}
  placement:
    here: {pricing: {web: {denom: uve, amount: 20}}}
deployment:
  web: {here: {profile: web, count: COUNT}}
"""


@pytest.mark.parametrize(("count", "made"), [(1, 1), (2, 1), (3, 0)])
def test_replicas_go_to_machines_of_their_own(tmp_path: Path, count: int, made: int) -> None:
    """Replicas of 3 cores on two machines of 5: 2 fit, one on each; 3 are 9 of 10 cores and do not."""
    (tmp_path / "web.yaml").write_text(SDL.replace("COUNT", str(count)))
    asked = tenant(tmp_path, "t", [10], deposit="5000uve") | {"order": {"sdl": "web.yaml"}}
    del asked["ceiling"]
    market = play(tmp_path, [asked], [farm([{"count": 2, "cpu": 5000}])])
    assert (len(leases(market)), declined(market)) == (made, 1 - made)


@pytest.mark.parametrize("reserve", ["at_bid", "at_acceptance"])
def test_reservations_and_lost_bids_give_back_what_they_held(tmp_path: Path, reserve: str) -> None:
    """Many orders over two providers with nodes and one without: at the end everything is free but what is leased."""
    mapping = {
        "horizon": "3000 blocks", "reserve": reserve, "bid_min_deposit": "10uve", "deployment_min_deposit": "10uve",
        "tenants": [tenant(tmp_path, name, list(range(5 + k, 2960, 37 + k)), cores=cores, lasts=200 + 50 * k, wallet="9000000uve")
                    for k, (name, cores) in enumerate((("a", 1), ("b", 2), ("c", 3), ("d", 4)))],
        "providers": [farm([{"count": 3, "cpu": 4000}, {"cpu": 8000}], "p"), farm([{"count": 2, "cpu": 6000}], "q", price="0.0011uve"),
                      provider("r", price="0.0012uve", cores=6)],
    }  # fmt: skip
    scenario = scenario_from_mapping(mapping, tmp_path, ())
    market = running.prepare(scenario, 1)
    began = market.engine.nodes.copy()
    assert began[:, Node.free_cpu].tolist() == [4000, 4000, 4000, 8000, 6000, 6000]
    clock, _ = running.play(scenario, market, 1, audit=True)
    engine = clock.engine
    assert (engine.nodes >= 0).all()
    assert int(engine.declined[:, :2].sum()) > 20
    taken = began - engine.nodes
    rows = np.asarray([0, 0, 0, 0, 1, 1])
    for desk in (0, 1):
        leased = engine.desks[desk, [Desk.leased_cpu, Desk.leased_memory, Desk.leased_storage, Desk.leased_gpu]]
        reserved = engine.desks[desk, [Desk.reserved_cpu, Desk.reserved_memory, Desk.reserved_storage, Desk.reserved_gpu]]
        assert taken[rows == desk].sum(axis=0).tolist() == (leased + reserved).tolist()
    held = engine.tracks[: int(clock.chain.globals.orders), Track.held_by]
    assert (engine.order_nodes[: len(held), 0] > 0).tolist() == ((held == 0) | (held == 1)).tolist()
    assert engine.order_nodes[len(held) :, 0].sum() == 0
    assert engine.desks[:2, Desk.leased_cpu].sum() > 0


def test_a_market_of_single_machines_is_what_it_was(tmp_path: Path) -> None:
    """One node is the capacity; the events are the same to the last."""
    asked = [tenant(tmp_path, "a", [10, 20, 30], cores=3, lasts=60), tenant(tmp_path, "b", [15, 40], cores=2, lasts=90)]
    one, other = (play(tmp_path, asked, [made]) for made in (farm([{"cpu": 8000}]), provider(cores=8)))
    assert one.summary["fingerprint"] == other.summary["fingerprint"]
    assert heights(one, EventKind.LEASE_CREATED)
