"""Faults: each kind shows its own symptoms and nobody else's; planned or by hand, alone, together and ended they are the same."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import yaml

from marketsim import Market, check_fault
from marketsim.errors import InputError
from marketsim.exercises.plain_yaml import yaml_text
from marketsim.export.results import read_record
from marketsim.metrics.series import MarketSnapshot
from marketsim.metrics.snapshot import BidTimes, Moved
from marketsim.report.explain import explain
from marketsim.scenario.faults import FAULT_KINDS
from marketsim.scenario.load import load_scenario, scenario_from_mapping
from marketsim.simulation import Run
from marketsim.simulation.check_fault import FaultError
from marketsim.simulation.market_messages import fault_message
from marketsim.simulation.users_faults import FaultScene, MarketFault

OWN = "trainee-0"
FROM, TO, LAST = 7_200, 14_400, 21_600
"""Blocks in which the faults of the matrix begin and end, and the last one: twelve hours each."""
LATE = 0.45
"""Below this share of what is due payments come late: those of leases that end come in time whatever happens."""


def market_of(rules: str, charging: str, horizon: int = LAST, **more: Any) -> dict[str, Any]:
    """A trainee among three rivals of the same prices: tenants take any of the cheapest four, use half of it, and top up often."""
    capacity = {"cpu": 64_000, "memory": "128Gi", "storage": "1Ti"}
    return {
        "name": "matrix",
        "seed": 3,
        "rules": rules,
        "charging": charging,
        "network_fees": False,
        "horizon": f"{horizon} blocks",
        "deployment_min_deposit": "1uve",
        "tenants": [
            {
                "name": "web",
                "count": 6,
                "wallet": "10000VE",
                "demand": {"arrivals": "6/h"},
                "order": {"cpu": {"choice": {"values": [500, 2000]}}, "memory": "1Gi", "storage": "1Gi"},
                "ceiling": "20uve",
                "duration": {"exponential": {"mean": "8h"}},
                "deposit": {"price_blocks": 600},
                "utilization": 0.5,
                "choice": {"random_among_cheapest": 4},
                "top_up": {"when_blocks_left": 300, "blocks": 600, "times": 300},
                "deploy_delay": "3 blocks",
            }
        ],
        "providers": [
            {"name": "trainee", "regions": ["west"], "capacity": capacity, "config": FILE},
            {"name": "rival", "count": 3, "regions": ["east"], "capacity": capacity, "config": FILE},
        ],
        **more,
    }


FILE = {
    "bid_engine": {
        "min_profit_margin": 10,
        "max_concurrent_bids": 50,
        "pricing": {"cpu_millicores": "0.003uve", "memory_mb": "0.0005uve", "storage_mb": "0.00005uve", "gpu": "20uve"},
    }
}
SEED, CHAIN = ("seed", "usage_capped"), ("virtengine", "rate")
AT = {"at": f"{FROM} blocks", "until": f"{TO} blocks"}


class Case(NamedTuple):
    """A market with something wrong, and the symptoms that it must show: these and no others."""

    rules: tuple[str, str]
    fault: Mapping[str, Any] | None
    symptoms: frozenset[str]


def case(rules: tuple[str, str], fault: Mapping[str, Any] | None, *symptoms: str) -> Case:
    return Case(rules, fault and {**AT, **fault}, frozenset(symptoms))


TRAINEE = {"provider": "trainee/0"}
MATRIX = {
    "healthy": case(SEED, None),
    "outage": case(SEED, TRAINEE | {"kind": "outage"}, "no_bids_appear", "provider_is_down", "log_says_engine_off", "leases_close"),
    "outage, leases stay": case(
        SEED, {"region": "west", "kind": "outage", "closes": 0}, "no_bids_appear", "provider_is_down", "log_says_engine_off"
    ),
    "block": case(SEED, {"cohort": "trainee", "kind": "block"}, "no_bids_appear", "provider_is_blocked", "log_says_blocked"),
    "connectivity": case(SEED, TRAINEE | {"kind": "connectivity"}, "no_bids_appear", "log_says_not_connected", "payments_come_late"),
    "workloads fail": case(SEED, TRAINEE | {"kind": "workloads_fail"}, "workloads_do_not_start", "leases_close"),
    "escrow drain": case(SEED, {"cohort": "web", "kind": "escrow_drain"}, "escrow_runs_dry"),
    "part of use": case(SEED, TRAINEE | {"kind": "usage", "factor": 0.6}, "payments_are_small"),
    "use late": case(SEED, TRAINEE | {"kind": "usage", "delay": "11h"}, "payments_come_late"),
    "too dear": case(SEED, {"kind": "python", "python": "fault_of_tests:dear", **TRAINEE}, "bids_too_dear"),
    "healthy chain": case(CHAIN, None),
    "chain: connectivity": case(
        CHAIN, TRAINEE | {"kind": "connectivity"}, "no_bids_appear", "log_says_not_connected", "payments_come_late"
    ),
    "chain: settlement": case(CHAIN, TRAINEE | {"kind": "settlement"}, "payments_come_late"),
    "chain: workloads fail": case(CHAIN, TRAINEE | {"kind": "workloads_fail"}, "workloads_do_not_start", "leases_close"),
}


class Seen(NamedTuple):
    """What somebody sees who looks after the trainee: metrics when the fault begins and before it ends, the figures of the time between."""

    before: MarketSnapshot
    during: MarketSnapshot
    run: Run

    @property
    def slot(self) -> int:
        return list(self.during.providers).index(OWN)

    def more(self, column: str, code: str | None = None) -> float:
        """How much a counter of the trainee grew."""
        first, last = (getattr(each, column) for each in (self.before, self.during))
        if code is not None:
            first, last = first[code], last[code]
        return float(last[self.slot] - first[self.slot])

    def closed(self, reason: str) -> int:
        first, last = (
            sum(1 for slot, ended in zip(each.all_provider, each.all_ended, strict=True) if slot == self.slot and ended == reason)
            for each in (self.before, self.during)
        )
        return last - first

    def paid_share(self) -> float:
        """What the trainee was paid, as a share of what its leases' prices come to that ran in the meantime, at the use of the tenants."""
        leases, due = self.run.record.leases, 0.0
        for row in range(len(leases["order"])):
            begun, closed = int(leases["active_at"][row]), int(leases["closed_at"][row])
            if leases["provider"][row] == self.slot and begun >= 0:
                blocks = min(TO - 1, closed if closed >= 0 else LAST) - max(FROM, begun)
                due += max(0, blocks) * (int(leases["price_whole"][row]) + int(leases["price_atto"][row]) / 1e18)
        due *= 0.5 if self.run.record.meta["scenario"]["charging"] != "rate" else 1.0
        return self.more("net") / due if due else 1.0


# --- symptoms, in the words of the troubleshooting table ---------------------------------------------------------------------------


def no_bids_appear(seen: Seen) -> bool:
    return seen.more("submitted") == 0


def provider_is_down(seen: Seen) -> bool:
    return seen.during.up[seen.slot] == 0


def provider_is_blocked(seen: Seen) -> bool:
    return seen.during.blocked[seen.slot] == 1


def log_says_engine_off(seen: Seen) -> bool:
    return seen.more("declined", "engine_disabled") > 0


def log_says_blocked(seen: Seen) -> bool:
    return seen.more("declined", "provider_blocked") > 0


def log_says_not_connected(seen: Seen) -> bool:
    return seen.more("declined", "not_connected") > 0


def bids_too_dear(seen: Seen) -> bool:
    return seen.more("declined", "price_too_high") > 0


def leases_close(seen: Seen) -> bool:
    return seen.closed("provider_closed") > 0


def workloads_do_not_start(seen: Seen) -> bool:
    """Leases were won whose workload the provider gave up: the manifest timed out."""
    reasons = seen.run.record.leases["reason"][seen.run.record.leases["provider"] == seen.slot]
    return seen.more("won") > 0 and bool((reasons == 10_003).any())


def escrow_runs_dry(seen: Seen) -> bool:
    return seen.closed("insufficient_funds") > 0 or bool((~seen.during.lease_active & (seen.during.lease_provider == seen.slot)).any())


def payments_come_late(seen: Seen) -> bool:
    return bool((seen.during.lease_provider == seen.slot).any()) and seen.paid_share() < LATE


def payments_are_small(seen: Seen) -> bool:
    return LATE <= seen.paid_share() < 0.75 and not escrow_runs_dry(seen) and not provider_is_down(seen)


SYMPTOMS: dict[str, Callable[[Seen], bool]] = {
    each.__name__: each
    for each in (
        no_bids_appear,
        provider_is_down,
        provider_is_blocked,
        log_says_engine_off,
        log_says_blocked,
        log_says_not_connected,
        bids_too_dear,
        leases_close,
        workloads_do_not_start,
        escrow_runs_dry,
        payments_come_late,
        payments_are_small,
    )
}


class Dear:
    """Asks three times as much while it lasts."""

    def begin(self, scene: FaultScene) -> Iterator[dict[str, Any]]:
        for name in scene.providers:
            yield {"op": "configure", "provider": name, "changes": {"bid_engine": {"min_profit_margin": 300}}}

    def end(self, scene: FaultScene) -> Iterator[dict[str, Any]]:
        for name in scene.providers:
            yield {"op": "configure", "provider": name, "changes": {"bid_engine": {"min_profit_margin": 10}}}


@pytest.fixture(autouse=True, scope="module")
def module_of_faults() -> Iterator[None]:
    """A module of users' faults, as a scenario names one."""
    module = ModuleType("fault_of_tests")
    module.__dict__.update(dear=Dear, raises=raises, wrong=wrong, twice=twice, shuts=shuts)
    sys.modules[module.__name__] = module
    yield
    del sys.modules[module.__name__]


def raises(scene: FaultScene) -> list[dict[str, Any]]:
    raise RuntimeError("no such thing")


def wrong(scene: FaultScene) -> list[dict[str, Any]]:
    return [{"op": "dance"}]


def twice(scene: FaultScene) -> list[dict[str, Any]]:
    return [{"op": "fault", "kind": "python", "python": "fault_of_tests:twice", "share": 1}]


def shuts(scene: FaultScene) -> list[dict[str, Any]]:
    return [fault_message("block", provider=name) for name in scene.providers if scene.rng.random() < 2]


def seen_of(one: Case) -> Seen:
    """Play a case and look at it twice."""
    faults = [] if one.fault is None else [one.fault]
    market = Market(market_of(*one.rules, faults=faults), audit=True)

    def look(height: int) -> MarketSnapshot:
        market.advance(height)
        return deepcopy(market.measured(BidTimes(4), Moved()))  # its columns are the market's own

    return Seen(look(FROM - 1), look(TO - 1), market.finish())


@pytest.fixture(scope="module")
def seen() -> dict[str, Seen]:
    return {name: seen_of(one) for name, one in MATRIX.items()}


@pytest.mark.parametrize("name", MATRIX)
def test_a_fault_shows_its_symptoms_and_no_other(name: str, seen: Mapping[str, Seen]) -> None:
    shown = {symptom for symptom, shows in SYMPTOMS.items() if shows(seen[name])}
    assert shown == MATRIX[name].symptoms, f"paid share {seen[name].paid_share():.3f}"


def test_every_kind_stands_in_the_matrix_and_every_symptom_tells_something() -> None:
    kinds = {one.fault["kind"] for one in MATRIX.values() if one.fault is not None}
    assert kinds == set(FAULT_KINDS) - {"unblock"}
    assert set().union(*(one.symptoms for one in MATRIX.values())) == set(SYMPTOMS)
    for rules in (SEED, CHAIN):  # what looks alike is the same fault
        shown = [one.symptoms for one in MATRIX.values() if one.rules == rules]
        assert len(set(shown)) == len(shown)


@pytest.mark.parametrize("name", [name for name, one in MATRIX.items() if one.fault is not None])
def test_what_a_fault_does_is_over_when_it_ends(name: str, seen: Mapping[str, Seen]) -> None:
    run = seen[name].run
    after = run.record.leases["created_at"] > TO + 20
    own = run.record.leases["provider"] == seen[name].slot
    assert (after & own).sum() > 5  # it bids and wins again
    assert (run.record.leases["active_at"][after & own] >= 0).sum() > 5
    fault = run.summary["faults"][0]
    assert (fault["since"], fault["until"], fault["ended"]) == (FROM, TO, TO)
    receipts = [(each["op"], each["height"], each["result"]) for each in run.summary["messages"]["receipts"]]
    assert ("fault", FROM, "ok") in receipts and ("repair", TO, "ok") in receipts


def test_kept_back_payments_come_when_the_fault_is_over(seen: Mapping[str, Seen]) -> None:
    """Healthy and late are paid the same but for leases that ended in the meantime."""
    for healthy, name in (("healthy chain", "chain: settlement"),):
        paid = [seen[each].run.summary["revenue"]["by_provider_uve"][OWN] for each in (healthy, name)]
        assert paid[1] == pytest.approx(paid[0], rel=1e-3)


def test_explain_names_the_faults_of_a_provider_a_tenant_and_an_order(seen: Mapping[str, Seen]) -> None:
    def text(name: str, target: str) -> str:
        return str(explain(seen[name].run.record, target))

    assert "connectivity-7200" in text("connectivity", OWN) and FAULT_KINDS["connectivity"].text in text("connectivity", OWN)
    assert "connectivity-7200" not in text("connectivity", "rival-0")
    assert "fault" not in text("healthy", OWN).lower()
    assert "escrow_drain-7200" in text("escrow drain", "web-0")
    record = seen["connectivity"].run.record
    leases = record.leases
    running = (leases["provider"] == seen["connectivity"].slot) & (leases["created_at"] < FROM) & (leases["closed_at"] > TO)
    order = int(leases["order"][running][0])
    assert "fault connectivity-7200 of trainee-0 begins" in text("connectivity", f"#{order}")


# --- planned and by hand ------------------------------------------------------------------------------------------------------------

SHORT = 3_000
PLANS: dict[str, tuple[tuple[str, str], dict[str, Any]]] = {
    "outage": (SEED, {"cohort": "rival", "share": 0.5, "kind": "outage", "closes": 0.5}),
    "block": (SEED, {"region": "east", "kind": "block"}),
    "connectivity": (SEED, {"provider": "rival/1", "kind": "connectivity"}),
    "workloads_fail": (CHAIN, {"provider": "rival/1", "kind": "workloads_fail", "closes": 0.7}),
    "usage": (SEED, {"share": 1, "kind": "usage", "factor": 0.3, "delay": "30m"}),
    "settlement": (CHAIN, {"share": 0.7, "kind": "settlement"}),
    "escrow_drain": (SEED, {"tenant": "web/2", "kind": "escrow_drain"}),
    "python": (SEED, {"cohort": "rival", "kind": "python", "python": "fault_of_tests:dear", "options": {"x": 1}}),
}


def told(run: Run) -> dict[str, Any]:
    """What a run says, but for the time that it took."""
    return {key: value for key, value in run.summary.items() if key != "versions"}


@pytest.mark.parametrize("kind", PLANS)
def test_planned_is_the_same_as_by_hand_between_steps_and_in_a_fork(kind: str) -> None:
    rules, fault = PLANS[kind]
    times = {"until": "2000 blocks"} if kind != "block" else {"lasts": "1000 blocks"}
    data = market_of(*rules, horizon=SHORT)
    planned = Market(data | {"faults": [{"at": "1000 blocks", **times, **fault}]}, trail=True).finish()
    held = Market(data, trail=True)
    held.advance(400)
    held.advance(999)
    ticket = held.submit({"op": "fault", **times, **fault}, signer="governance")
    held.advance(1500)
    receipt = held.receipt(ticket)
    assert receipt is not None and (receipt.result, receipt.height) == ("ok", 1000)
    assert [each.kind for each in held.faults(active=True)] == [kind] if kind != "block" else held.faults(active=True)
    held = held.fork()
    assert held.origin is not None and held.origin.by == ("replay" if kind == "python" else "copy")
    held.advance(2500)
    assert held.faults(active=True) == ()
    by_hand = held.finish()
    assert told(by_hand) == told(planned)
    assert by_hand.record.trail is not None and planned.record.trail is not None
    assert by_hand.record.trail.text() == planned.record.trail.text()
    healthy = Market(data, trail=True).finish()
    assert healthy.record.trail is not None
    assert healthy.record.trail.text() != planned.record.trail.text()
    assert healthy.summary["fingerprint"] != planned.summary["fingerprint"]


def test_a_share_is_drawn_for_each_by_the_name_of_the_fault() -> None:
    def hit(count: int, name: str) -> list[str]:
        data = market_of(*SEED, horizon=20)
        data["providers"][1]["count"] = count
        data["faults"] = [{"at": 0, "name": name, "cohort": "rival", "share": 0.5, "kind": "connectivity"}]
        return list(Market(data).finish().summary["faults"][0]["providers"])

    ten, eleven = hit(40, "storm"), hit(41, "storm")
    assert [name for name in eleven if name != "rival-40"] == ten  # one more provider moves nobody else's draw
    assert 8 < len(ten) < 32  # 20 ± 3.8 standard deviations
    assert hit(40, "calm") != ten


# --- several at once, and repairs -----------------------------------------------------------------------------------------------------


def up(market: Market) -> list[int]:
    return market.measured(BidTimes(4), Moved()).up.tolist()


def test_a_provider_is_up_again_when_every_outage_is_over() -> None:
    market = Market(market_of(*SEED, horizon=900))
    market.submit(fault_message("outage", provider="trainee/0", lasts="100 blocks"))
    market.submit(fault_message("outage", share=1, lasts="300 blocks", name="storm"))
    market.advance(150)
    assert up(market) == [0, 0, 0, 0]
    assert [(each.name, each.ended) for each in market.faults()] == [("outage-1", 101), ("storm", None)]
    ticket = market.submit({"op": "repair", "provider": "rival-1"})
    market.advance(151)
    assert market.receipt(ticket).result == "ok"  # type: ignore[union-attr]
    assert up(market) == [0, 0, 1, 0]
    market.submit({"op": "fault", "kind": "python", "python": "fault_of_tests:dear", "provider": "rival/1", "name": "dear"})
    market.advance(155)
    market.submit({"op": "repair", "provider": "rival-1"})  # a user's fault says itself how it ends
    market.submit({"op": "repair", "fault": "storm"})
    market.advance(160)
    assert [each.name for each in market.faults(active=True)] == ["dear"]
    assert up(market) == [1, 1, 1, 1]
    events = [event for event in market.events(limit=10_000).events if event["event"] == "Outage"]
    assert [(event["id"], event["down"]) for event in events][:1] == [(OWN, 1)]
    assert sum(event["down"] for event in events) == 4 and len(events) == 8


def test_an_outage_by_itself_does_not_end_one_that_is_planned() -> None:
    data = market_of(*SEED, horizon=2_000)
    data["providers"][0]["outages"] = {"every": "5m", "lasts": "5m"}
    data["faults"] = [{"at": "600 blocks", "until": "1800 blocks", "kind": "outage", **TRAINEE}]
    market = Market(data)
    market.advance(600)
    for height in range(650, 1800, 50):
        market.advance(height)
        assert up(market)[0] == 0, height


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kind": "dance"}, "'dance'"),
    ({"kind": "outage", "provider": "trainee/0"}, "needs a length"),
    ({"kind": "connectivity"}, "does not say whom it hits"),
    ({"kind": "connectivity", "tenant": "web/0"}, "about providers"),
    ({"kind": "escrow_drain", "provider": "trainee/0"}, "about tenants"),
    ({"kind": "connectivity", "provider": "trainee/0", "closes": 0.5}, "stands beside kind: connectivity"),
    ({"kind": "usage", "provider": "trainee/0"}, "needs factor or delay"),
    ({"kind": "python", "share": 1}, "needs python:"),
    ({"kind": "block", "provider": "trainee/0", "lasts": "1h", "until": "2h"}, "stands beside until"),
    ({"kind": "outage", "provider": "trainee/0", "lasts": "1h", "share": 2}, "share"),
]


@pytest.mark.parametrize(("keys", "problem"), REFUSED, ids=[problem for _, problem in REFUSED])
def test_what_is_no_fault_is_refused_in_a_file_and_by_hand(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError) as in_file:
        scenario_from_mapping(market_of(*SEED, faults=[{"at": "1h", **keys}]))
    assert problem in str(in_file.value) and "faults" in str(in_file.value)
    market = Market(market_of(*SEED, horizon=100))
    with pytest.raises(InputError, match="message"):
        market.submit({"op": "fault", **keys})
    assert market.log == []


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"kind": "connectivity", "provider": "rival/3"}, "is not a provider"),
        ({"kind": "connectivity", "cohort": "web"}, "is not a cohort of providers"),
        ({"kind": "escrow_drain", "cohort": "rival"}, "is not a cohort of tenants"),
        ({"kind": "escrow_drain", "tenant": "web/6"}, "is not a tenant"),
        ({"kind": "connectivity", "region": "north"}, "is no provider's region"),
        ({"kind": "settlement", "provider": "rival/0"}, "rules: seed"),
        ({"kind": "block", "provider": "rival/0", "until": "30m"}, "is not after"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_who_is_not_there_is_refused_in_a_file(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        scenario_from_mapping(market_of(*SEED, faults=[{"at": "1h", **keys}]))


def test_a_message_that_hits_nobody_or_is_not_ones_own_is_refused_and_changes_nothing() -> None:
    market, twin = (Market(market_of(*SEED, horizon=200)) for _ in range(2))
    tickets = [
        market.submit(fault_message("connectivity", provider="nobody/0"), signer="governance"),
        market.submit(fault_message("connectivity", region="north")),
        market.submit(fault_message("settlement", provider="trainee/0")),
        market.submit(fault_message("connectivity", provider="trainee/0"), signer="rival-0"),
        market.submit(fault_message("block", provider="trainee/0"), signer=OWN),
        market.submit({"op": "repair", "fault": "storm"}),
    ]
    market.advance(200)
    twin.advance(200)
    results = [market.receipt(ticket).result for ticket in tickets]  # type: ignore[union-attr]
    assert results == ["ProviderNotFound", "InvalidParam", "InvalidParam", "Unauthorized", "Unauthorized", "InvalidParam"]
    assert market.faults() == () and market.state_hash() == twin.state_hash() and market.fingerprint() == twin.fingerprint()


# --- use ---------------------------------------------------------------------------------------------------------------------------

ONE_LEASE = {
    "name": "one",
    "rules": "seed",
    "charging": "usage_capped",
    "take": 0,
    "horizon": "3000 blocks",
    "bid_min_deposit": "1uve",
    "deployment_min_deposit": "1uve",
    "settle_every": "100 blocks",
    "tenants": [
        {
            "name": "t",
            "wallet": "1VE",
            "demand": {"trace": "orders.csv"},
            "order": {"cpu": 1000, "memory": "512Mi", "storage": "512Mi"},
            "ceiling": "100uve",
            "duration": "5000 blocks",
            "deposit": "90000uve",
            "deploy_delay": "0s",
        }
    ],
    "providers": [
        {
            "name": "p",
            "capacity": {"cpu": 64000, "memory": "256Gi", "storage": "4Ti"},
            "latency": "1s",
            "config": {
                "bid_engine": {
                    "min_profit_margin": 0,
                    "pricing": {"cpu_millicores": "0.01uve", "memory_mb": "0uve", "storage_mb": "0uve", "gpu": "0uve"},
                }
            },
        }
    ],
}
"""One core at 10 uve a block, fully used from block 30 on: an order in block 20, a bid window of ten blocks."""


def paid_at(tmp_path: Path, heights: tuple[int, ...], faults: list[dict[str, Any]], usage: Any = "metered") -> list[int]:
    """What the one lease has moved out of escrow by some heights."""
    (tmp_path / "orders.csv").write_text("at_seconds\n120\n")
    data = ONE_LEASE | {"faults": faults, "providers": [ONE_LEASE["providers"][0] | {"usage": usage}]}  # type: ignore[index]
    market = Market(scenario_from_mapping(data, tmp_path), audit=True)
    paid = []
    for height in heights:
        market.advance(height)
        paid.append(round(float(market.measured(BidTimes(1), Moved()).moved[0])))
    return paid


def test_use_that_is_reported_in_part_late_or_not_at_all_is_paid_as_by_hand(tmp_path: Path) -> None:
    """The account is of block 20 and settles at 120, 220, …; the workload runs from block 30."""
    at = (1020, 2020, 2920)
    fault = {"at": "1021 blocks", "until": "2021 blocks", "provider": "p/0"}
    assert paid_at(tmp_path, at, []) == [9_900, 19_900, 28_900]
    assert paid_at(tmp_path, at, [], {"factor": 0.6}) == [5_940, 11_940, 17_340]
    assert paid_at(tmp_path, at, [], {"delay": "100 blocks"}) == [8_900, 18_900, 27_900]
    assert paid_at(tmp_path, at, [], {"delay": "2d"}) == [0, 0, 0]  # later than the day of grace: refused and lost
    assert paid_at(tmp_path, at, [], "manual") == [0, 0, 0]
    assert paid_at(tmp_path, at, [fault | {"kind": "usage", "factor": 0.6}]) == [9_900, 15_900, 24_900]
    assert paid_at(tmp_path, at, [fault | {"kind": "usage", "factor": 0}]) == [9_900, 9_900, 18_900]
    assert paid_at(tmp_path, at, [fault | {"kind": "usage", "delay": "300 blocks"}]) == [9_900, 16_900, 28_900]
    assert paid_at(tmp_path, at, [fault | {"kind": "connectivity"}]) == [9_900, 9_900, 28_900]
    both = [fault | {"kind": "usage", "factor": 0.5}, fault | {"kind": "connectivity", "until": "1521 blocks"}]
    assert paid_at(tmp_path, at, both)[:2] == [9_900, 14_900]


def test_with_a_short_grace_what_was_kept_back_too_long_is_lost(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("at_seconds\n120\n")
    data = ONE_LEASE | {"usage_grace": "400 blocks"}
    data["faults"] = [{"at": "1021 blocks", "until": "2021 blocks", "provider": "p/0", "kind": "connectivity"}]
    market = Market(scenario_from_mapping(data, tmp_path), audit=True)
    market.advance(2920)
    assert float(market.measured(BidTimes(1), Moved()).moved[0]) == 9_900 + 400 * 10 + 900 * 10


# --- of users ------------------------------------------------------------------------------------------------------------------------


def test_a_fault_of_a_user_speaks_with_messages_that_have_receipts() -> None:
    data = market_of(*SEED, horizon=400)
    data["faults"] = [{"at": "100 blocks", "lasts": "100 blocks", "name": "dear", "cohort": "rival", "kind": "python"}]
    data["faults"][0]["python"] = "fault_of_tests:dear"
    receipts = Market(data).finish().summary["messages"]["receipts"]
    rivals = [f"rival-{number}" for number in range(3)]
    assert [(each["height"], each["op"], each["id"]) for each in receipts] == [
        (100, "fault", "dear"),
        *((100, "configure", name) for name in rivals),
        (200, "repair", "dear"),
        *((200, "configure", name) for name in rivals),
    ]
    assert isinstance(Dear(), MarketFault)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("raises", r"RuntimeError: no such thing \(.*test_faults\.py:\d+\)"),
        ("wrong", "'dance' is not a message"),
        ("twice", "begins no other"),
        ("gone", "has no gone"),
    ],
)
def test_a_fault_of_a_user_that_fails_says_where(name: str, problem: str) -> None:
    market = Market(market_of(*SEED, horizon=100))
    market.submit(fault_message("python", python=f"fault_of_tests:{name}", cohort="rival"))
    with pytest.raises(InputError, match=problem):
        market.advance(50)


def test_check_fault_lets_a_good_one_pass_and_says_what_is_wrong_with_others() -> None:
    check_fault(Dear)
    check_fault(shuts)
    calls = []

    def remembers(scene: FaultScene) -> list[dict[str, Any]]:
        calls.append(1)
        return [fault_message("block", provider=scene.providers[0])] * len(calls)

    def silent(scene: FaultScene) -> list[dict[str, Any]]:
        return []

    def refused(scene: FaultScene) -> list[dict[str, Any]]:
        return [{"op": "repair", "provider": "nobody"}]

    for fault, problem in (
        (raises, "no such thing"),
        (wrong, "is not a message"),
        (silent, "says nothing"),
        (refused, "ProviderNotFound"),
        (remembers, "the second time"),
    ):
        with pytest.raises(FaultError, match=problem):
            check_fault(fault)


def test_an_agent_lets_faults_begin_in_its_turn() -> None:
    def saboteur(me: Any) -> Iterator[Any]:
        yield me.sleep("10m")
        own = me.send(fault_message("connectivity", provider="rival/0"))
        law = me.send(fault_message("connectivity", provider="rival/0", name="cut", lasts="1h") | {"signer": "governance"})
        for ticket in (own, law):
            yield me.outcome(ticket)
            me.log(result=ticket.result, block=ticket.height)

    module = ModuleType("saboteur_of_tests")
    module.__dict__["saboteur"] = saboteur
    sys.modules[module.__name__] = module
    try:
        data = market_of(*SEED, horizon=900) | {"agents": [{"name": "eve", "python": "saboteur_of_tests:saboteur"}]}
        run = Market(data).finish()
    finally:
        del sys.modules[module.__name__]
    assert list(run.record.logs["eve"]["result"]) == ["Unauthorized", "ok"]
    assert [(each["name"], each["since"], each["ended"]) for each in run.summary["faults"]] == [("cut", 100, 700)]


def test_faults_of_a_record_are_read_again(tmp_path: Path) -> None:
    import marketsim as ms

    data = market_of(*SEED, horizon=600, faults=[{"at": "100 blocks", "kind": "connectivity", **TRAINEE}])
    result = ms.run(data, out=tmp_path / "run")
    record = read_record(tmp_path / "run")
    assert record.meta["faults"] == result.summary["faults"]
    assert record.providers["declined"].shape[1] == 14 and record.providers["declined"][0, 13] > 0


# --- the page, workers, the daemon's log ----------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


def test_the_page_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = PAGE.read_text("utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    held, own = (body for kind, body in blocks if kind == "python")
    monkeypatch.chdir(PAGE.parents[1])
    exec(compile(held, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        line[4:] for line in text.splitlines() if line.startswith("    ok") or line.startswith("    [(")
    ]
    (tmp_path / "storms.py").write_text(own)
    planned, users = (yaml.safe_load(body)["faults"] for kind, body in blocks if kind == "yaml")
    names = {"edge": "rival", "eu-west-1": "east"}
    for entries in (planned, users):
        for entry in entries:
            for key in ("provider", "cohort", "region"):
                if key in entry:
                    entry[key] = entry[key].replace("edge", "rival").replace("eu-west-1", names["eu-west-1"])
    market = market_of(*SEED, horizon=LAST + 8 * FROM, faults=planned + users)
    run = Market(scenario_from_mapping(market, tmp_path)).finish()
    assert [fault["name"] for fault in run.summary["faults"]] == ["outage-7200", "cable", "python-14400", "escrow_drain-28800"]
    scope: dict[str, Any] = {}
    exec(compile(own, "storms.py", "exec"), scope)
    check_fault(scope["Brownout"])
    rows = re.findall(r"^\| `(\w+)` \|", text.split("## Kinds")[1].split("## In a running")[0], re.MULTILINE)
    assert [*rows[1:3], "unblock", *rows[3:]] == list(FAULT_KINDS)  # below the heading


@pytest.mark.slow
def test_two_workers_say_what_one_says(tmp_path: Path) -> None:
    import marketsim as ms

    (tmp_path / "storms.py").write_text(re.findall(r"^```python\n(# storms.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)[0])
    market = market_of(*SEED, horizon=900)
    market["faults"] = [
        {"at": "100 blocks", "share": 0.5, "name": "cable", "kind": "connectivity", "lasts": "200 blocks"},
        {"at": "50 blocks", "lasts": "300 blocks", "cohort": "rival", "kind": "python", "python": "storms:Brownout"},
    ]
    (tmp_path / "market.yaml").write_text(yaml.safe_dump(market))
    share = {"name": "share", "path": "faults.0.share", "levels": [0.2, 0.9]}
    design = {"scenario": str(tmp_path / "market.yaml"), "factors": [share], "metrics": ["bids.submitted"], "replications": 1}
    tables = []
    for workers in (1, 2):
        ms.sweep(design, workers=workers, out=tmp_path / str(workers), progress=False)
        tables.append({path.name: path.read_bytes() for path in (tmp_path / str(workers)).rglob("results.csv")})
    assert tables[0] == tables[1] and tables[0]


def test_the_log_of_a_daemon_names_what_is_wrong() -> None:
    from datetime import datetime

    from marketsim.devnet.journal import Journal

    market = Market(market_of(*CHAIN, horizon=3_000), listens=True)
    journal = Journal(0, datetime(2026, 1, 5), 6_000, market.order_name)
    market.listen(journal)
    for number, kind in enumerate(("outage", "block", "connectivity", "workloads_fail", "settlement")):
        message = fault_message(kind, provider="trainee/0", lasts="400 blocks")
        market.submit(message | {"height": 500 * (number + 1)}, signer="governance")
    market.advance(3_000)
    market.events_heard()
    log = [line.partition("height=")[2] for line in journal.lines(1_000)]
    assert [line for line in log if not line.partition(" ")[2].startswith("bid-engine")] == [
        "500 daemon: host is down",
        "900 daemon: host is up again",
        "1000 chain: provider blocked by governance",
        "1400 chain: provider unblocked",
        "1500 chain: connection lost",
        "1900 chain: connected again",
        "2000 cluster: workloads do not start",
        "2400 cluster: workloads start again",
        "2500 settlement: withdrawals have stopped",
        "2900 settlement: withdrawals go on",
    ]
    assert any("filter=not_connected" in line for line in log)


@pytest.mark.parametrize(
    ("lines", "place", "accepted"),
    [
        ("rules: virtengine\ncharging: usage", "2:11: charging:", "accepted rate or ve_settlement, or rules: seed"),
        ("rules: virtengine\ncharging: usage_capped", "2:11: charging:", "accepted rate or ve_settlement, or rules: seed"),
        ("rules: akash\ncharging: usage_capped", "2:11: charging:", "accepted rate, or rules: seed"),
        ("rules: virtengine\n{fault}", "2:", "accepted with charging: ve_settlement"),
        ("charging: rate\n{fault}", "2:", "accepted with charging: usage_capped, usage or ve_settlement"),
        ("rules: akash\n{fault}", "2:", "accepted under rules: seed or virtengine"),
    ],
)
def test_use_that_would_move_no_money_is_refused_in_its_place(tmp_path: Path, lines: str, place: str, accepted: str) -> None:
    """An escrow that pays by the block reads no use: a report of half of it would be paid in full."""
    path = tmp_path / "s.yaml"
    fault = "faults: [{kind: usage, share: 1, at: 1h, factor: 0.5}]"
    cohorts = yaml_text({key: market_of(*SEED)[key] for key in ("tenants", "providers")})
    path.write_text(f"{lines.format(fault=fault)}\nhorizon: 1d\n{cohorts}")
    with pytest.raises(InputError) as refused:
        load_scenario(path)
    (line,) = str(refused.value).splitlines()
    assert f"s.yaml:{place}" in line and accepted in line


@pytest.mark.parametrize("rules", ["seed", "virtengine"])
def test_usage_escrows_pay_what_is_reported_under_both_rules(rules: str, tmp_path: Path) -> None:
    """10 uve a block for 5,000 blocks, less 5 and 1 percent of fees; half of it for reports of half."""
    (tmp_path / "orders.csv").write_text("at_seconds\n120\n")
    for factor, paid in ((1, 47_000), (0.5, 23_500)):
        data = {key: value for key, value in ONE_LEASE.items() if key not in ("settle_every", "take")}
        data |= {"rules": rules, "charging": "ve_settlement", "network_fees": False, "horizon": "16000 blocks"}
        data["providers"] = [ONE_LEASE["providers"][0] | {"usage": {"factor": factor}}]  # type: ignore[index]
        summary = Market(scenario_from_mapping(data, tmp_path), audit=True).finish().summary
        assert int(summary["escrow"]["paid"]) == paid
