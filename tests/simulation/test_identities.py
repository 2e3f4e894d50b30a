"""A record knows names: its fingerprint is of what happened, whatever lies where in memory, whoever looked, however long the run."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_market import play, provider, reasons, tenant

from marketsim.market.tables import LATENCY_BINS
from marketsim.scenario import Scenario, load_scenario, scenario_from_mapping
from marketsim.simulation import run
from marketsim.simulation.play import Play, prepare
from marketsim.strategies.rules import EPHEMERAL, MonthlyTargets, MonthlyTargetScript, PriceRequest, ResourceUnit, ScalePricing, Volume

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
SHIPPED = [*sorted(SCENARIOS.glob("*.yaml")), *sorted(SCENARIOS.glob("cases/*/*.yaml"))]
HEIGHT, LOOKS = 500, 250
"""Where markets of cohorts are looked at, cases at their own end; about how many looks at cases that are longer."""
NOBODY = {"op": "close_deployment", "id": "nobody/1"}


@cache
def shipped(path: Path, blocks: int | None = None) -> Scenario:
    return load_scenario(path, [] if blocks is None else ["warm_up=0s", f"horizon={blocks} blocks"])


def height_of(path: Path) -> int:
    own = shipped(path).horizon_blocks
    return min(HEIGHT, own) if path.parent == SCENARIOS else own


def played(scenario: Scenario) -> Play:
    return Play(scenario, prepare(scenario, scenario.seed), scenario.seed)


def with_refusal(scenario: Scenario) -> Scenario:
    mapping = json.loads(json.dumps(scenario.effective()))
    last = max((message["height"] for message in mapping["messages"]), default=3)
    mapping["messages"] = [
        *mapping["messages"],
        {"height": last, **NOBODY},
        {"height": last, **NOBODY, "op": "pause_group", "id": "nobody/1/1"},
    ]
    return scenario_from_mapping(mapping, scenario.base)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_fingerprint_at_a_block_is_of_what_happened_until_then(path: Path) -> None:
    """For a horizon twice as long, with messages that are refused, with looks in between."""
    height = height_of(path)
    alone = run(shipped(path, height)).summary["fingerprint"]
    longer = played(shipped(path, 2 * height))
    longer.advance(height)
    assert longer.fingerprint() == alone
    assert longer.finish()[0].engine is not None  # it goes on after the look
    assert run(with_refusal(shipped(path, height))).summary["fingerprint"] == alone
    looked = played(shipped(path, height))
    seen = set()
    for block in range(1, height + 1, 1 if path.parent == SCENARIOS else -(-height // LOOKS)):
        looked.advance(block)
        seen.add(looked.fingerprint())
    looked.advance(height)
    assert looked.fingerprint() == alone
    assert len(seen) > 1


def test_a_look_leaves_every_table_as_it_is() -> None:
    market = played(shipped(SCENARIOS / "small.yaml", HEIGHT))
    market.advance(HEIGHT - 1)
    tables: list[Any] = [*market.clock.chain, *market.clock.engine]
    before = [table.copy() for table in tables]
    market.fingerprint()
    assert all(np.array_equal(table, copy) for table, copy in zip(tables, before, strict=True))


def test_bids_that_are_kept_take_other_rows_and_leave_the_fingerprint() -> None:
    def found(kept: int) -> tuple[str, int]:
        scenario = shipped(SCENARIOS / "small.yaml", HEIGHT)
        market = prepare(scenario, 1)
        market.chain.globals.keep_bids = kept
        clock, _ = (playing := Play(scenario, market, 1)).finish()
        return playing.fingerprint(), int(clock.chain.globals.bids)

    (dropped, few), (kept, many) = found(0), found(1)
    assert dropped == kept
    assert few < many


SMALL = ["horizon=12h", "warm_up=0s"]


def of(*overrides: str, name: str = "small") -> str:
    return str(run(load_scenario(SCENARIOS / f"{name}.yaml", [*SMALL, *overrides])).summary["fingerprint"])


@cache
def plain(name: str = "small") -> str:
    return of(name=name)


@pytest.mark.parametrize(
    "override",
    [
        "providers.large.capacity.cpu=2560000",
        "providers.large.capacity.gpu=8",
        "providers.local.capacity.storage=20Ti",
        "tenants.web.utilization=0.5",
        "tenants.batch.value={times_cost: {uniform: [0.7, 1.31]}}",
        "tenants.web.deposit={blocks: 7201}",
        "take=0.03",
        "settle_every=700 blocks",
        "bid_window=9 blocks",
        "order_max_bids=5",
        "providers.local.latency=4s",
        "faults=[{at: 6h, kind: outage, provider: large/0, lasts: 1h}]",
    ],
)
def test_what_changes_what_happens_changes_the_fingerprint(override: str) -> None:
    assert of(override) != plain()


@pytest.mark.parametrize(
    "override",
    [
        "description=the same market in other words",
        "name=another",
        "warm_up=3h",
        "record=everything",
        "calibration={fill_rate: [0.1, 0.2]}",
        "grace=25h",
        "usage_grace=1h",
        "providers.large.cost_share=0.5",
        "faults=[{at: 13h, kind: outage, provider: large/0, lasts: 1h}]",
        "governance=[{height: 8000, op: set_params, params: {take_percent: 9}}]",
        "tenants.web.patience=3h",
        "gas_price=1uve",
    ],
)
def test_what_changes_nothing_leaves_the_fingerprint(override: str) -> None:
    assert of(override) == plain()


# --- sequence numbers -----------------------------------------------------------------------------------------------------------------


def test_a_deployment_has_the_height_of_its_creation_as_number_plus_one_while_taken(tmp_path: Path) -> None:
    blocks = [10, 10, 10, 11, 12, 30, 31]
    result = play(tmp_path, [tenant(tmp_path, "a", blocks)], [provider()])
    assert result.record.orders["created_at"].tolist() == blocks
    assert result.record.orders["dseq"].tolist() == [10, 11, 12, 13, 14, 30, 31]


def test_a_number_that_a_message_by_hand_took_is_left_out(tmp_path: Path) -> None:
    unit = {"price": "5", "count": 1, "cpu": 1000, "memory": 1 << 30, "storage": 1 << 30}
    message = {
        "height": 3, "op": "create_deployment", "id": "a-0/11", "deposit": "1000", "sources": ["balance"],
        "groups": [{"name": "g", "resources": [unit]}],
    }  # fmt: skip
    result = play(tmp_path, [tenant(tmp_path, "a", [10, 10, 20])], [provider()], messages=[message])
    assert sorted(result.record.orders["dseq"].tolist()) == [10, 11, 12, 20]
    assert result.record.orders["tenant"].tolist() == [0, 0, 0, 0]


def test_numbers_of_orders_that_are_made_again_are_heights_too(tmp_path: Path) -> None:
    again = tenant(tmp_path, "a", [10], cores=100, react={"retry": 2, "raise_ceiling": 1.1})
    result = play(tmp_path, [again], [provider()])
    assert len(result.record.orders["dseq"]) == 3
    assert result.record.orders["dseq"].tolist() == result.record.orders["created_at"].tolist()


# --- why things end -------------------------------------------------------------------------------------------------------------------

SDL = """
version: "2.0"
services:
  web: {image: nginx, expose: [{port: 80, as: 80, to: [{global: true}]}]}
  api: {image: nginx, expose: [{port: 81, to: [{global: true}]}]}
profiles:
  compute:
    web: {resources: {cpu: {units: 1}, memory: {size: 1Gi}, storage: [{size: 1Gi}]}}
  placement:
    here: {pricing: {web: {denom: uve, amount: 5}}}
    there: {pricing: {web: {denom: uve, amount: 5}}}
deployment:
  web: {here: {profile: web, count: 1}}
  api: {there: {profile: web, count: 1}}
"""


def two_groups(folder: Path, rules: str, **changes: Any) -> Any:
    (folder / "two.yaml").write_text(SDL)
    cohort = tenant(folder, "a", [10, 20, 30], **{"lasts": 60, **changes})
    del cohort["ceiling"]
    cohort["order"] = {"sdl": "two.yaml"}
    more: dict[str, Any] = {} if rules == "seed" else {"network_fees": False}
    return play(folder, [cohort], [provider(**changes.pop("desk", {}))], rules=rules, **more)


@pytest.mark.parametrize("rules", ["seed", "virtengine", "akash"])
def test_what_ends_an_order_of_two_groups_ends_both_leases(tmp_path: Path, rules: str) -> None:
    assert reasons(two_groups(tmp_path, rules)) == {"lease_completed": 6}
    assert reasons(two_groups(tmp_path, rules, terminate_after="30 blocks")) == {"tenant_terminated": 6}


def test_a_top_up_after_the_end_of_grace_is_not_on_its_way(tmp_path: Path) -> None:
    """Funds for 40 blocks at 1 uve, grace of 40; planned to end 20 blocks into it."""

    def ended(delay: int) -> dict[str, int]:
        cohort = tenant(
            tmp_path, "a", [10], lasts=60, deposit="40uve",
            top_up={"after_depletion": {"delay": f"{delay} blocks"}, "times": 1, "blocks": 60},
        )  # fmt: skip
        found: dict[str, int] = reasons(play(tmp_path, [cohort], [provider()]))
        return found

    assert ended(10) == {"lease_completed": 1}
    assert ended(30) == {"lease_completed": 1}
    assert ended(41) == {"insufficient_funds": 1}
    assert ended(500) == {"insufficient_funds": 1}


# --- endpoints ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["scale", "monthly_targets"])
def test_an_order_given_by_sizes_has_the_endpoints_that_it_says(tmp_path: Path, strategy: str) -> None:
    settings: dict[str, Any] = {"scale": {"cpu": "0.001uve", "memory": "0.0001uve", "storage": "0.00001uve", "endpoint": "0.25uve"}}
    desk = {key: value for key, value in provider().items() if key != "config"} | {
        "strategy": settings if strategy == "scale" else "monthly_targets"
    }
    for endpoints in (0, 1, 3):
        cohort = tenant(tmp_path, "a", [10], ceiling="90uve")
        cohort["order"] = cohort["order"] | ({"endpoints": endpoints} if endpoints else {})
        result = play(tmp_path, [cohort], [desk])
        price = int(result.record.leases["price_whole"][0]) * 10**18 + int(result.record.leases["price_atto"][0])
        unit = ResourceUnit(cpu=1000, memory=1 << 30, volumes=(Volume(1 << 30),), endpoints=endpoints)
        scale = ScalePricing(10**15, 10**14, {EPHEMERAL: 10**13}, 25 * 10**16)
        rule = scale if strategy == "scale" else MonthlyTargetScript(MonthlyTargets())
        answer = rule.price(PriceRequest((unit,), price_ceiling=10**30))
        assert isinstance(answer, int)
        assert abs(price - answer) <= (0 if strategy == "scale" else 10**12)


@pytest.mark.parametrize("latency", [0, 63, 64, LATENCY_BINS - 2, LATENCY_BINS - 1])
def test_every_latency_is_in_the_fingerprint(latency: int) -> None:
    playing = played(shipped(SCENARIOS / "tiny.yaml"))
    before, counts = playing.fingerprint(), playing.clock.engine.latency
    assert counts[latency] == 0
    counts[latency] = 1
    once = playing.fingerprint()
    counts[latency] = 2
    assert len({before, once, playing.fingerprint()}) == 3
    counts[latency] = 0
    assert playing.fingerprint() == before
