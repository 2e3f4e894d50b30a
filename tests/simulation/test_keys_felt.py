"""Every key of a scenario file does what it says: a market in which it is set to two values and feels the difference.

The list of keys is the models' own, so that a new key without a row here fails, and so does a row of a key that is gone. A key
without effect is a defect of the key: there is no way to say so here.
"""

from __future__ import annotations

import copy
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from marketsim.errors import InputError
from marketsim.experiments.runs.welfare import welfare_of
from marketsim.metrics.calibration import calibration_targets
from marketsim.metrics.outcome import value_at
from marketsim.report.content import make_content
from marketsim.report.pages import write_pages
from marketsim.scenario import Scenario
from marketsim.scenario.key_list import every_model, keys_in
from marketsim.scenario.load import scenario_from_mapping
from marketsim.scenario.sdl import Sdl
from marketsim.simulation import Run, run

TRACE = "at_seconds,cpu\n" + "".join(f"{60 * n},{2000}\n" for n in range(1, 31))
SCRIPT = "#!/bin/sh\nread -r request\necho {price}\n"
STRATEGY = """
class Dear:
    def price(self, request):
        return 40 * 10**18

class Cheap:
    def price(self, request):
        return 10**18

class Asks:
    def __init__(self, uve=1):
        self.uve = uve
    def price(self, request):
        self.uve += 1
        return self.uve * 10**18

def bids(me):
    while True:
        order = yield me.next_order(me.may_bid)
        for _ in range(me.options.get("times", 1)):
            me.bid(order, "2uve")
            order = yield me.next_order(me.may_bid)

def orders(me):
    yield me.sleep("1m")
    me.create_deployment({"cpu": 1000, "price": "50uve"}, deposit="600VE")

def none(me):
    yield me.block()

def blocks(scene):
    for name in scene.providers[: scene.options.get("times", 9)]:
        yield {"op": "block_provider", "provider": name}

def fails(scene):
    return []

class Hourly:
    def __init__(self, each=1):
        self.each = each
    def orders(self, day, rng):
        return {"at_seconds": [3600 * hour for hour in range(24) for _ in range(self.each)]}

class Last:
    def __init__(self, place=-1):
        self.place = place
    def choose(self, order, bids):
        return self.place % len(bids)

def orders_of(run, cpu=0):
    return int((run.frame("orders")["cpu"] > cpu).sum())

def providers_of(run):
    return len(run.frame("providers"))
"""
MANIFEST = """
version: "2.0"
services: {web: {image: web, expose: [{port: 80, as: 80, to: [{global: true}]}]}}
profiles:
  compute: {web: {resources: {cpu: {units: CORES}, memory: {size: 1Gi}, storage: {size: 10Gi}}}}
  placement: {dc: {pricing: {web: {denom: uve, amount: 90}}}}
deployment: {web: {dc: {profile: web, count: 1}}}
"""

# ------------------------------------------------------------------ markets in which keys are felt

ENGINE: dict[str, Any] = {
    "bid_engine": {
        "min_profit_margin": 10,
        "max_concurrent_bids": 50,
        "pricing": {"cpu_millicores": "0.004uve", "memory_mb": "0.001uve", "storage_mb": "0.0001uve", "gpu": "20uve"},
    },
    "filters": {},
}
ORDER = {"cpu": 1000, "memory": "1Gi", "storage": "10Gi"}
PLAIN: dict[str, Any] = {
    "horizon": "1200 blocks",
    "bid_min_deposit": "1uve",
    "deployment_min_deposit": "1uve",
    "tenants": [
        {
            "name": "web",
            "count": 3,
            "wallet": "1VE",
            "demand": {"orders": 60},
            "order": dict(ORDER),
            "ceiling": "500uve",
            "duration": "200 blocks",
            "deposit": "20000uve",
            "deploy_delay": "2 blocks",
        }
    ],
    "providers": [
        {"name": "north", "count": 2, "capacity": {"cpu": 64000, "memory": "256Gi", "storage": "4Ti", "gpu": 8}, "latency": "1s"},
    ],
}
"""Sixty orders of one core for two providers at the monthly targets, each about 6 uve a block."""


def changed(market: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
    """A copy with other top-level parts; `tenant`, `provider` and `filters` are merged into the first cohort's."""
    made = copy.deepcopy(dict(market))
    parts = copy.deepcopy(parts)
    made["tenants"][0] |= parts.pop("tenant", {})
    made["providers"][0] |= parts.pop("provider", {})
    return made | parts


PRICED = changed(PLAIN, provider={"config": ENGINE, "strategy": "cost_plus"})
"""The same with providers of a provider file: 6.6 uve a block, margin included."""
TWO_KINDS = changed(PRICED)
TWO_KINDS["providers"] += changed(PRICED, provider={"name": "south", "count": 1})["providers"]
DEAR_SOUTH = changed(TWO_KINDS)
DEAR_SOUTH["providers"][1]["config"]["bid_engine"]["min_profit_margin"] = 60
"""A provider more, dearer than the two others."""
DEAR_AND_FULL = changed(DEAR_SOUTH, provider={"capacity": {"cpu": 4000, "memory": "16Gi", "storage": "400Gi"}})
"""The cheap ones have room for four orders each, so that the dear one wins now and then."""
WITH_CHANGE = changed(PRICED)
WITH_CHANGE["providers"][0]["config"]["changes"] = [{"at": "1 block", "bid_engine": {"min_profit_margin": 50}}]
VALUED = changed(PLAIN, tenant={"value": "400uve"})
POOR = changed(
    PLAIN, tenant={"ceiling": "10uve", "deposit": "600uve", "duration": "400 blocks"}, grace="100 blocks", settle_every="10 blocks"
)
"""Deposits last half as long as the workloads."""
AKASH = changed(PLAIN, rules="akash", tenant={"wallet": "100VE"}, provider={"wallet": "100VE"})
FULL = changed(PLAIN, provider={"capacity": {"cpu": 4000, "memory": "16Gi", "storage": "400Gi", "gpu": 8}})
"""Room for four orders a provider."""
BUSY = changed(FULL, horizon="2d", tenant={"demand": {"orders": 400}, "ceiling": "90uve", "duration": "600 blocks"})
BY_USE = changed(PLAIN, charging="ve_settlement", tenant={"duration": "600 blocks"})
DAYS = changed(PLAIN, horizon="4d", tenant={"demand": {"arrivals": "10/h"}})
REFERENCE: dict[str, Any] = {
    "name": "rm1",
    "horizon": "1500 blocks",
    "market": {"generator": "rm1", "orders": 200, "providers": 10, "tenants": 20, "load": 0.8},
}
BIDDER = {
    "name": "ann",
    "python": "felt_strategies:bids",
    "provider": {"capacity": {"cpu": 16000, "memory": "64Gi", "storage": "4Ti"}},
}
AGENTS = PLAIN | {"agents": [BIDDER]}
OWN_METRIC = {"name": "asked", "python": "felt_strategies:orders_of"}
MEASURED = PLAIN | {"metrics": [OWN_METRIC]}
CLAIM = {"a": "b"}
HAND: dict[str, Any] = {
    "horizon": "60 blocks",
    "charging": "usage_capped",
    "grace": "100 blocks",
    "start": {
        "params": {"bid_min_deposit": 500, "deployment_min_deposit": 1000},
        "wallets": {"ada": 100_000, "north": 50_000},
        "providers": {"north": {"attributes": {"region": "west"}, "signed": {"eve": {"region": "west"}}}},
    },
    "messages": [
        {
            "height": 2,
            "op": "create_deployment",
            "id": "ada/1",
            "deposit": "2000",
            "sources": ["balance"],
            "groups": [
                {
                    "name": "web",
                    "attributes": {"region": "west"},
                    "all_of": ["eve"],
                    "resources": [{"price": "50", "count": 1, "cpu": 100, "memory": 2**20, "storage": 5 * 2**20, "gpu": 0}],
                }
            ],
        },
        {"height": 3, "op": "create_bid", "id": "ada/1/1/1/north", "price": "10", "deposit": "500", "sources": ["balance"]},
        {"height": 4, "op": "create_lease", "id": "ada/1/1/1/north"},
        {"height": 40, "op": "submit_usage", "id": "ada/1/1/1/north", "until": 20, "metrics": {}},
    ],
}
"""One deployment by hand, with a provider that must be known, signed and able to pay its deposit."""

# ------------------------------------------------------------------ what of an outcome is looked at

Measure = Callable[[Run, Scenario], Any]


def of(path: str) -> Measure:
    """A number of summary.json."""
    return lambda result, _: value_at(result.summary, path)


def report_text(result: Run, _: Scenario) -> str:
    return repr(make_content(result.record, result.summary))


def pages(result: Run, scenario: Scenario) -> int:
    """How many files the report takes."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        write_pages(Path(folder), result.record, result.summary, figures=scenario.report.figures)
        return sum(1 for _ in Path(folder).rglob("*.*"))


def met(result: Run, _: Scenario) -> str:
    targets = calibration_targets(result.summary, result.record.meta["scenario"]["calibration"])
    return " ".join(f"{target.name}={target.met}" for target in targets)


def results(result: Run, _: Scenario) -> list[str]:
    return [receipt["result"] for receipt in result.record.meta["receipts"]]


def welfare(name: str) -> Measure:
    return lambda result, scenario: welfare_of(scenario, scenario.seed, result.record, hindsight=False)[name]


def settlements(result: Run, _: Scenario) -> int:
    return len(result.record.settlements["height"])


def tables(result: Run, _: Scenario) -> int:
    return sum(getattr(result.record, name) is not None for name in ("bids", "declines", "settlements", "events"))


def wait(result: Run, _: Scenario) -> float:
    """Mean blocks from an order to its lease."""
    leases, orders = result.record.leases, result.record.orders
    return float((leases["created_at"] - orders["created_at"][leases["order"]]).mean())


def active_after(result: Run, _: Scenario) -> float:
    """Mean blocks from a lease to its activation."""
    leases = result.record.leases
    begun = leases["active_at"] >= 0
    return float((leases["active_at"] - leases["created_at"])[begun].mean())


def life(result: Run, _: Scenario) -> float:
    """Mean blocks that closed leases lasted."""
    leases = result.record.leases
    closed = leases["closed_at"] >= 0
    return float((leases["closed_at"] - leases["created_at"])[closed].mean())


def asked(column: str) -> Measure:
    return lambda result, _: float(result.record.orders[column].mean())


def spread_of(column: str) -> Measure:
    return lambda result, _: float(result.record.orders[column].std())


def first_order(result: Run, _: Scenario) -> int:
    return int(result.record.orders["created_at"].min())


def last_order(result: Run, _: Scenario) -> int:
    return int(result.record.orders["created_at"].max())


def has(column: str, table: str = "providers") -> Measure:
    """The sum of a column of the record's tables."""
    return lambda result, _: int(getattr(result.record, table)[column].sum())


def won_by(name: str) -> Measure:
    """Leases of the cohort's providers."""

    def count(result: Run, _: Scenario) -> int:
        cohorts = [result.record.provider_cohorts[row] for row in result.record.providers["cohort"]]
        return int(sum(won for won, cohort in zip(result.record.providers["won"], cohorts, strict=True) if cohort == name))

    return count


def by_name(scenario: Scenario, name: str) -> str:
    """What an override of the weight of the manifest of that name makes of a scenario."""
    try:
        return scenario_from_mapping(scenario.effective(), overrides=[f"tenants.web.order.sdl.{name}.weight=7"]).hash()
    except InputError as error:
        return str(error)


def won_by_ann(result: Run, _: Scenario) -> int:
    """Bids that the last provider won: the agent's."""
    return int(result.record.providers["won"][-1])


def trace_of(result: Run, _: Scenario) -> Any:
    return result.summary["fingerprint"]


def whole(result: Run, _: Scenario) -> Any:
    return result.summary


CREATED, LEASED, WON, PAID = of("orders.created"), of("orders.leased"), of("price.mean_won_uve"), of("escrow.paid_uve")
LATENCY = of("bid_latency_seconds.mean")
DECLINED, REJECTED = "bids.declined.", "bids.rejected."


class Felt(NamedTuple):
    """A key: where it stands (nowhere: the values are whole markets), two values of it, in which market, and how the outcome of the
    second differs from the first's.
    """

    path: str
    first: Any
    second: Any
    market: Mapping[str, Any]
    measure: Measure
    effect: str
    """`more`, `less` or `other`."""
    given: Mapping[str, Any] = {}
    """Other keys that make it felt, path by path."""


def laws(section: str, path: str, low: Any, high: Any, measure: Measure, market: Mapping[str, Any] = PLAIN) -> dict[str, list[Felt]]:
    """What each key of a distribution does to something drawn: `low` and `high` are literals, an order or so apart."""

    def moved(key: str, first: Any, second: Any, effect: str = "more") -> tuple[str, list[Felt]]:
        return f"{section}.{key}", [Felt(path, first, second, market, measure, effect)]

    return dict(
        (
            moved("constant", {"constant": low}, {"constant": high}),
            moved("uniform", {"uniform": [low, low]}, {"uniform": [low, high]}),
            moved("lognormal", {"lognormal": {"median": low, "sigma": 0.1}}, {"lognormal": {"median": high, "sigma": 0.1}}),
            moved("exponential", {"exponential": low}, {"exponential": high}),
            moved("normal", {"normal": {"mean": low, "sd": low}}, {"normal": {"mean": high, "sd": low}}),
            moved("choice", {"choice": [low]}, {"choice": [low, high]}),
            moved("min", {"exponential": low, "min": low}, {"exponential": low, "min": high}),
            moved("max", {"exponential": high, "max": low}, {"exponential": high, "max": high}),
        )
    )


def families(path: str, low: str, high: str, measure: Measure) -> list[tuple[str, Felt]]:
    """What the parameters of the families do."""
    wide = [
        (f"Lognormal.{key}", {"lognormal": {"median": low, key: low}}, {"lognormal": {"median": low, key: high}})
        for key in ("p90", "p95", "p99")
    ]
    return [
        (key, Felt(path, first, second, PLAIN, measure, "more"))
        for key, first, second in (
            ("Lognormal.median", {"lognormal": {"median": low, "sigma": 0}}, {"lognormal": {"median": high, "sigma": 0}}),
            ("Lognormal.sigma", {"lognormal": {"median": low, "sigma": 0}}, {"lognormal": {"median": low, "sigma": 1}}),
            *wide,
            ("Exponential.mean", {"exponential": {"mean": low}}, {"exponential": {"mean": high}}),
            ("Normal.mean", {"normal": {"mean": low, "sd": 0}}, {"normal": {"mean": high, "sd": 0}}),
            ("Normal.sd", {"normal": {"mean": 0, "sd": low}}, {"normal": {"mean": 0, "sd": high}}),
            ("Choice.values", {"choice": {"values": [low]}}, {"choice": {"values": [high]}}),
            (
                "Choice.weights",
                {"choice": {"values": [low, high], "weights": [9, 1]}},
                {"choice": {"values": [low, high], "weights": [1, 9]}},
            ),
        )
    ]


def fault_felt(
    key: str, first: Any, second: Any, measure: Measure, effect: str, market: Mapping[str, Any] = PLAIN, given: Any = None, **fault: Any
) -> Felt:
    """A key of a fault, an outage of some hours from the start on unless it says otherwise; `given` are other keys of the market."""
    entry = {"at": 0, "kind": "outage"} | fault
    if "outage" in (entry["kind"],) and not {"lasts"} & entry.keys() and key != "until":
        entry["lasts"] = "1d"
    return Felt(f"faults.0.{key}", first, second, market, measure, effect, {"faults": [entry]} | (given or {}))


def hit(result: Run, _: Scenario) -> list[str]:
    """Whom the first fault hits."""
    return [*result.summary["faults"][0]["providers"], *result.summary["faults"][0]["tenants"]]


def unfunded(name: str) -> Measure:
    """Leases of a tenant that ended for lack of funds."""

    def count(result: Run, _: Scenario) -> int:
        orders, leases = result.record.orders, result.record.leases
        own = orders["tenant"][leases["order"]] == result.record.tenants["name"].index(name)
        return int((own & (leases["ended"] == 3)).sum())

    return count


TOPS_UP = {"tenants.0.top_up": {"when_blocks_left": 20, "blocks": 60, "times": 50}}
LEAVES = {"leave": {"mean": "60 blocks"}}
DRY = {"after_depletion": {"delay": "5 blocks"}}
SCORED: dict[str, Any] = {"tenants.0.choice": {"score": {"price": 1}}}
CALIBRATED: dict[str, Any] = {"calibration": {}}
TARGETS: dict[str, Any] = {"providers.0.strategy": {"monthly_targets": {}}}
KEPT = {kind: {"capabilities/storage/1/class": kind, "capabilities/storage/1/persistent": True} for kind in ("beta1", "beta2", "beta3")}
"""What a provider claims that keeps volumes of a class."""
WEST: dict[str, Any] = {"providers.0.regions": ["west"]}

FELT: dict[str, Felt | list[Felt]] = {
    # ------------------------------------------------------------ the run and its rules
    "Scenario.name": Felt("name", "a", "b", PLAIN, of("scenario"), "other"),
    "Scenario.description": Felt("description", "of apples", "of pears", PLAIN, report_text, "other"),
    "Scenario.seed": Felt("seed", 1, 2, PLAIN, trace_of, "other"),
    "Scenario.salt": Felt("salt", 0, 1, PLAIN, trace_of, "other"),
    "Scenario.rules": Felt("rules", "seed", "akash", PLAIN, of("network_fees_uve"), "more"),
    "Scenario.charging": Felt("charging", "rate", "usage_capped", PLAIN, PAID, "less", {"tenants.0.utilization": 0.5}),
    "Scenario.escrow": Felt(
        "escrow",
        "sequential",
        "proportional",
        AKASH,
        trace_of,
        "other",
        {"tenants.0.deposit": "600uve", "tenants.0.duration": "400 blocks"},
    ),
    "Scenario.settle_every": Felt("settle_every", "20 blocks", "600 blocks", PLAIN, settlements, "less"),
    "Scenario.usage_every": Felt("usage_every", "50 blocks", "600 blocks", BY_USE, trace_of, "other"),
    "Scenario.usage_grace": Felt("usage_grace", "10 blocks", "30 blocks", HAND, results, "other"),
    "Scenario.grace": Felt("grace", "10 blocks", "600 blocks", POOR, of("leases.insufficient_funds"), "more"),
    "Scenario.order_timeout": Felt(
        "order_timeout", "20 blocks", "400 blocks", PLAIN, of("orders.timed_out"), "less", {"tenants.0.never_choose": 1}
    ),
    "Scenario.bid_window": Felt("bid_window", "5 blocks", "30 blocks", PLAIN, wait, "more"),
    "Scenario.take": Felt("take", 0.02, 0.2, PLAIN, of("take_uve"), "more"),
    "Scenario.bid_min_deposit": Felt("bid_min_deposit", "1uve", "90VE", PLAIN, of(f"{DECLINED}insufficient_deposit"), "more"),
    "Scenario.deployment_min_deposit": Felt(
        "deployment_min_deposit", "1uve", "2000uve", PLAIN, of("escrow.deposited_uve"), "more", {"tenants.0.deposit": {"blocks": 2}}
    ),
    "Scenario.order_max_bids": Felt("order_max_bids", 20, 1, PLAIN, of(f"{REJECTED}too_many_bids"), "more"),
    "Scenario.quirks": Felt("quirks", [], ["losing_bids_stay"], TWO_KINDS, trace_of, "other"),
    "Scenario.reserve": Felt("reserve", "at_bid", "at_acceptance", FULL, of(f"{DECLINED}insufficient_resources"), "less"),
    "Scenario.tie": Felt("tie", "hash", "provider_index", PLAIN, of("revenue.by_provider_uve.north-0"), "more"),
    "Scenario.price_rounding": Felt(
        "price_rounding",
        "half_even",
        "floor",
        PRICED,
        WON,
        "less",
        {"providers.0.config.bid_engine.pricing.cpu_millicores": "0.000000000000000009uve"}
        | {f"providers.0.config.bid_engine.pricing.{name}": 0 for name in ("memory_mb", "storage_mb")}
        | {"providers.0.config.bid_engine.min_profit_margin": 0.0066},
    ),
    "Scenario.network_fees": Felt("network_fees", False, True, PLAIN, of("network_fees_uve"), "more", {"tenants.0.wallet": "9VE"}),
    "Scenario.gas_price": Felt("gas_price", "0.025uve", "0.05uve", AKASH, of("network_fees_uve"), "more"),
    "Scenario.rates": Felt(
        "rates",
        {"uact": 1},
        {"uact": 2},
        PLAIN,
        asked("ceiling_whole"),
        "more",
        {"tenants.0.order": {"sdl": "uact.yaml"}, "tenants.0.ceiling": ...},
    ),
    "Scenario.withdraw_every": Felt("withdraw_every", "20 blocks", "150 blocks", AKASH, settlements, "less"),
    "Scenario.block_time": Felt("block_time", "6s", "3s", PLAIN, of("blocks"), "more", {"horizon": "2h"}),
    "Scenario.horizon": Felt("horizon", "300 blocks", "600 blocks", PLAIN, of("blocks"), "more"),
    "Scenario.warm_up": Felt("warm_up", 0, "600 blocks", PLAIN, of("revenue.total_uve"), "less"),
    "Scenario.start": Felt("start", "2026-01-05T00:00Z", "2026-01-05T12:00Z", DAYS, report_text, "other"),
    "Scenario.initial": Felt("initial", 0, 0.2, PLAIN, CREATED, "more"),
    "Scenario.record": Felt("record", "summary", "everything", PLAIN, tables, "more"),
    "Scenario.market": Felt("market", REFERENCE["market"], REFERENCE["market"] | {"orders": 100}, REFERENCE, CREATED, "less"),
    "Scenario.tenants": Felt("tenants", PLAIN["tenants"], [PLAIN["tenants"][0] | {"demand": {"orders": 9}}], PLAIN, CREATED, "less"),
    "Scenario.providers": Felt("providers", PRICED["providers"], TWO_KINDS["providers"], PRICED, of("bids.submitted"), "more"),
    "Scenario.messages": Felt("messages", HAND["messages"][:2], HAND["messages"], HAND, LEASED, "more"),
    "Scenario.metrics": Felt("metrics", [], [OWN_METRIC], PLAIN, lambda run, _: sorted(run.summary.get("metrics", {})), "other"),
    "OwnMetric.name": Felt("metrics.0.name", "asked", "ordered", MEASURED, lambda run, _: sorted(run.summary["metrics"]), "other"),
    "OwnMetric.python": Felt(
        "metrics.0.python", "felt_strategies:orders_of", "felt_strategies:providers_of", MEASURED, of("metrics.asked"), "less"
    ),
    "OwnMetric.options": Felt("metrics.0.options", {"cpu": 0}, {"cpu": 4000}, MEASURED, of("metrics.asked"), "less"),
    "Scenario.agents": Felt("agents", [], [BIDDER], PLAIN, of("bids.submitted"), "more"),
    "AgentCohort.name": Felt("agents.0.name", "ann", "ben", AGENTS, lambda run, _: run.record.providers["name"], "other"),
    "AgentCohort.python": Felt("agents.0.python", "felt_strategies:none", "felt_strategies:bids", AGENTS, of("bids.submitted"), "more"),
    "AgentCohort.count": Felt("agents.0.count", 1, 2, AGENTS, of("bids.submitted"), "more"),
    "AgentCohort.wallet": Felt(
        "agents.0.wallet",
        "500VE",
        "700VE",
        AGENTS,
        CREATED,
        "more",
        {"agents.0.python": "felt_strategies:orders", "agents.0.provider": ...},
    ),
    "AgentCohort.options": Felt("agents.0.options", {"times": 0}, {"times": 1}, AGENTS, of("bids.submitted"), "more"),
    "AgentCohort.provider": Felt("agents.0.provider.capacity.cpu", 1000, 16000, AGENTS, won_by_ann, "more"),
    "AgentProvider.capacity": Felt("agents.0.provider.capacity.memory", "1Gi", "64Gi", AGENTS, won_by_ann, "more"),
    "AgentProvider.lease_capacity": Felt("agents.0.provider.lease_capacity", 1, 50, AGENTS, won_by_ann, "more"),
    "AgentProvider.attributes": Felt(
        "agents.0.provider.attributes",
        {"a": "b"},
        {"a": "c"},
        AGENTS,
        of("bids.submitted"),
        "less",
        {"tenants.0.order.attributes": {"a": "b"}},
    ),
    "AgentProvider.regions": Felt(
        "agents.0.provider.regions", ["west"], ["mars"], AGENTS, of("bids.submitted"), "less", {"tenants.0.order.region": "west"}
    ),
    "AgentProvider.signed_by": Felt(
        "agents.0.provider.signed_by",
        {"eve": {"a": "b"}},
        {},
        AGENTS,
        of("bids.submitted"),
        "less",
        {
            "tenants.0.order.attributes": {"a": "b"},
            "agents.0.provider.attributes": {"a": "b"},
            "tenants.0.order.signed_by": {"all_of": ["eve"]},
        },
    ),
    "Scenario.faults": Felt(
        "faults",
        [],
        [{"at": 0, "provider": "north/0", "kind": "outage", "lasts": "400 blocks"}],
        PLAIN,
        of(f"{DECLINED}engine_disabled"),
        "more",
    ),
    "Scenario.governance": Felt(
        "governance", [], [{"height": 100, "op": "block", "provider": "north/0"}], PLAIN, of(f"{DECLINED}provider_blocked"), "more"
    ),
    "Scenario.calibration": Felt("calibration", None, {"fill_rate": [0, 1]}, PLAIN, report_text, "other"),
    "Scenario.report": Felt("report", {"figures": False}, {"figures": True}, PLAIN, pages, "more"),
    "Start.time": Felt(
        "start.time",
        "2026-01-05T00:00Z",
        "2026-01-05T12:00Z",
        DAYS,
        trace_of,
        "other",
        {"tenants.0.demand.day_profile": [1] * 12 + [0] * 12},
    ),
    "Start.params": Felt("start.params.deployment_min_deposit", 1000, 5000, HAND, results, "other"),
    "Start.wallets": Felt("start.wallets.ada", 100_000, 10, HAND, results, "other"),
    "Start.providers": Felt("start.providers", {}, HAND["start"]["providers"], HAND, results, "other"),
    "RegisteredProvider.attributes": Felt(
        "start.providers.north.attributes", {}, {"region": "west"}, HAND, results, "other", {"messages.0.groups.0.all_of": []}
    ),
    "RegisteredProvider.signed": Felt("start.providers.north.signed", {}, {"eve": {"region": "west"}}, HAND, results, "other"),
    "Fault.at": Felt(
        "faults.0.at",
        "100 blocks",
        "900 blocks",
        PLAIN,
        LEASED,
        "more",
        {"faults": [{"provider": "north/0", "kind": "outage", "lasts": "1d"}], "providers.0.count": 1},
    ),
    "Fault.provider": Felt(
        "faults.0.provider",
        "north/0",
        "north/1",
        PLAIN,
        of("revenue.by_provider_uve.north-0"),
        "more",
        {"faults": [{"at": 0, "kind": "outage", "lasts": "1d"}]},
    ),
    "Fault.kind": Felt(
        "faults.0.kind",
        "outage",
        "block",
        PLAIN,
        of(f"{DECLINED}provider_blocked"),
        "more",
        {"faults": [{"at": 0, "provider": "north/0", "lasts": "1d"}]},
    ),
    "Fault.lasts": Felt(
        "faults.0.lasts",
        "100 blocks",
        "900 blocks",
        PLAIN,
        of(f"{DECLINED}engine_disabled"),
        "more",
        {"faults": [{"at": 0, "provider": "north/0", "kind": "outage"}]},
    ),
    "Fault.cohort": fault_felt("cohort", "north", "south", won_by("north"), "more", TWO_KINDS),
    "Fault.region": fault_felt(
        "region", "west", "east", of("revenue.by_provider_uve.north-0"), "more", given={"providers.0.regions": ["west", "east"]}
    ),
    "Fault.tenant": fault_felt("tenant", "web/0", "web/1", unfunded("web-0"), "less", POOR, TOPS_UP, kind="escrow_drain"),
    "Fault.share": fault_felt("share", 0, 1, of(f"{DECLINED}engine_disabled"), "more"),
    "Fault.name": fault_felt("name", "a", "b", hit, "other", given={"providers.0.count": 30}, share=0.5),
    "Fault.until": fault_felt("until", "100 blocks", "900 blocks", of(f"{DECLINED}engine_disabled"), "more", provider="north/0"),
    "Fault.closes": fault_felt(
        "closes", 0, 1, of("leases.close_reasons.provider_closed"), "more", at="400 blocks", share=1, lasts="100 blocks"
    ),
    "Fault.factor": fault_felt("factor", 1, 0.2, PAID, "less", kind="usage", share=1),
    "Fault.delay": fault_felt("delay", "0s", "10m", PAID, "less", kind="usage", share=1),
    "Fault.python": fault_felt(
        "python", "felt_strategies:fails", "felt_strategies:blocks", of(f"{DECLINED}provider_blocked"), "more", kind="python", share=1
    ),
    "Fault.options": fault_felt(
        "options",
        {"times": 0},
        {"times": 1},
        of(f"{DECLINED}provider_blocked"),
        "more",
        kind="python",
        python="felt_strategies:blocks",
        share=1,
    ),
    "Governance.height": Felt(
        "governance.0.height",
        100,
        600,
        PLAIN,
        of(f"{DECLINED}provider_blocked"),
        "less",
        {"governance": [{"op": "block", "provider": "north/0"}]},
    ),
    "Governance.op": Felt(
        "governance.0.op",
        "block",
        "unblock",
        PLAIN,
        of(f"{DECLINED}provider_blocked"),
        "less",
        {"governance": [{"height": 100, "provider": "north/0"}]},
    ),
    "Governance.params": Felt(
        "governance.0.params",
        {"take_percent": 2},
        {"take_percent": 20},
        PLAIN,
        of("take_uve"),
        "more",
        {"governance": [{"height": 100, "op": "set_params"}]},
    ),
    "Governance.provider": Felt(
        "governance.0.provider",
        "north/0",
        "north/1",
        PLAIN,
        of("revenue.by_provider_uve.north-0"),
        "more",
        {"governance": [{"height": 10, "op": "block"}]},
    ),
    "Governance.id": Felt("governance.0.id", "ada/1", "ada/2", HAND, results, "other", {"governance": [{"height": 30, "op": "settle"}]}),
    "Calibration.fill_rate": Felt("calibration.fill_rate", [0, 1], [2, 3], PLAIN, met, "other"),
    "Calibration.acceptance_rate": Felt("calibration.acceptance_rate", [0, 1], [2, 3], PLAIN, met, "other"),
    "Calibration.win_rate": Felt("calibration.win_rate", [0, 1], [2, 3], PLAIN, met, "other"),
    "Calibration.utilization": Felt("calibration.utilization", [0, 1], [2, 3], PLAIN, met, "other"),
    "Calibration.close_reasons": Felt("calibration.close_reasons", {}, {"lease_completed": 1}, PLAIN, met, "other"),
    "Calibration.within": Felt(
        "calibration.within", 0.1, 1, PLAIN, met, "other", {"calibration": {"close_reasons": {"lease_completed": 0.5}}}
    ),
    "Window.low": Felt("calibration.fill_rate.low", 0, 2, PLAIN, met, "other", {"calibration": {"fill_rate": {"high": 3}}}),
    "Window.high": Felt("calibration.fill_rate.high", 1, 0.01, PLAIN, met, "other", {"calibration": {"fill_rate": {"low": 0}}}),
    **{
        f"CloseReasons.{name}": Felt(f"calibration.close_reasons.{name}", 0.05, 0.95, PLAIN, met, "other")
        for name in ("tenant_terminated", "lease_completed", "insufficient_funds", "provider_closed")
    },
    "Report.figures": Felt("report.figures", False, True, PLAIN, pages, "more"),
    "Report.monthly_blocks": Felt("report.monthly_blocks", 400_000, 500_000, PLAIN, report_text, "other"),
    "MarketGenerator.generator": Felt("", HAND, REFERENCE, HAND, CREATED, "more"),
    "MarketGenerator.orders": Felt("market.orders", 100, 200, REFERENCE, CREATED, "more"),
    "MarketGenerator.providers": Felt("market.providers", 5, 10, REFERENCE, of("bids.submitted"), "more"),
    "MarketGenerator.tenants": Felt("market.tenants", 10, 20, REFERENCE, lambda result, _: len(result.record.tenants["name"]), "more"),
    "MarketGenerator.load": Felt("market.load", 0.2, 2, REFERENCE, of("utilization.cpu"), "more"),
    "MarketGenerator.agents": Felt("market.agents", "batch", "python", REFERENCE, trace_of, "other"),
    # ------------------------------------------------------------ tenants
    "TenantCohort.name": Felt("tenants.0.name", "web", "app", PLAIN, lambda result, _: result.record.tenant_cohorts, "other"),
    "TenantCohort.count": Felt("tenants.0.count", 1, 5, PLAIN, lambda result, _: len(set(result.record.orders["tenant"])), "more"),
    "TenantCohort.wallet": Felt("tenants.0.wallet", "1VE", "30000uve", PLAIN, CREATED, "less"),
    "TenantCohort.demand": Felt("tenants.0.demand", {"orders": 9}, {"orders": 60}, PLAIN, CREATED, "more"),
    "TenantCohort.order": Felt("tenants.0.order", ORDER, ORDER | {"cpu": 2000}, PLAIN, asked("cpu"), "more"),
    "TenantCohort.ceiling": Felt("tenants.0.ceiling", "50uve", "5uve", PLAIN, of("unserved.over_ceiling"), "more"),
    "TenantCohort.value": Felt("tenants.0.value", "10uve", "20uve", PLAIN, welfare("tenant_surplus_uve"), "more"),
    "TenantCohort.duration": Felt("tenants.0.duration", "100 blocks", "300 blocks", PLAIN, life, "more"),
    "TenantCohort.terminate_after": Felt(
        "tenants.0.terminate_after", None, "50 blocks", PLAIN, of("leases.close_reasons.tenant_terminated"), "more"
    ),
    "TenantCohort.patience": Felt(
        "tenants.0.patience", "20 blocks", "400 blocks", AKASH, of("orders.open"), "more", {"tenants.0.never_choose": 1}
    ),
    "TenantCohort.choice": Felt("tenants.0.choice", "lowest_price", {"random_among_cheapest": 3}, DEAR_SOUTH, WON, "more"),
    "TenantCohort.home_region": Felt(
        "tenants.0.home_region",
        "north",
        "south",
        DEAR_SOUTH,
        won_by("south"),
        "more",
        {"tenants.0.choice": {"score": {"price": 1, "region": 2}}, "providers.0.regions": ["north"], "providers.1.regions": ["south"]},
    ),
    "TenantCohort.never_choose": Felt("tenants.0.never_choose", 0, 1, PLAIN, of("unserved.tenant_never_chose"), "more"),
    "TenantCohort.deposit": Felt("tenants.0.deposit", "20000uve", "9000uve", PLAIN, of("escrow.deposited_uve"), "less"),
    "TenantCohort.top_up": Felt("tenants.0.top_up", None, {}, POOR, of("escrow.deposited_uve"), "more"),
    "TenantCohort.deploy_delay": Felt("tenants.0.deploy_delay", "2 blocks", "20 blocks", PLAIN, active_after, "more"),
    "TenantCohort.restart": Felt(
        "tenants.0.restart", {"probability": 0}, {"probability": 1}, changed(PLAIN, provider=LEAVES), of("orders.relisted"), "more"
    ),
    "TenantCohort.utilization": Felt("tenants.0.utilization", 1, 0.5, PLAIN, PAID, "less"),
    "TenantCohort.react": Felt("tenants.0.react", False, True, PLAIN, CREATED, "more", {"tenants.0.ceiling": "5uve"}),
    "Demand.arrivals": Felt("tenants.0.demand.arrivals", "10/h", "60/h", PLAIN, CREATED, "more", {"tenants.0.demand": {}}),
    "Demand.trace": Felt("tenants.0.demand.trace", "few.csv", "trace.csv", PLAIN, CREATED, "more", {"tenants.0.demand": {}}),
    "Demand.python": Felt("tenants.0.demand", {"orders": 40}, {"python": "felt_strategies:Hourly"}, PLAIN, CREATED, "less"),
    "Demand.options": Felt(
        "tenants.0.demand.options",
        {"each": 1},
        {"each": 3},
        PLAIN,
        CREATED,
        "more",
        {"tenants.0.demand": {"python": "felt_strategies:Hourly"}},
    ),
    "Demand.orders": Felt("tenants.0.demand.orders", 20, 60, PLAIN, CREATED, "more"),
    "Demand.arrivals_each": Felt("tenants.0.demand.arrivals_each", "5/h", "20/h", PLAIN, CREATED, "more", {"tenants.0.demand": {}}),
    "Demand.within": Felt("tenants.0.demand.within", "100 blocks", "1100 blocks", PLAIN, last_order, "more"),
    "Demand.normalise": Felt(
        "tenants.0.demand.normalise", True, False, DAYS, CREATED, "less", {"tenants.0.demand.day_profile": [0.1] * 24}
    ),
    "Demand.surges": Felt("tenants.0.demand.surges", [], [{"at": "1d", "lasts": "1d", "factor": 9}], DAYS, CREATED, "more"),
    "Surge.at": Felt(
        "tenants.0.demand.surges.0.at", "2d", "9d", DAYS, CREATED, "less", {"tenants.0.demand.surges": [{"lasts": "1d", "factor": 9}]}
    ),
    "Surge.lasts": Felt(
        "tenants.0.demand.surges.0.lasts", "1h", "2d", DAYS, CREATED, "more", {"tenants.0.demand.surges": [{"at": "1d", "factor": 9}]}
    ),
    "Surge.factor": Felt(
        "tenants.0.demand.surges.0.factor", 2, 9, DAYS, CREATED, "more", {"tenants.0.demand.surges": [{"at": "1d", "lasts": "1d"}]}
    ),
    "Demand.day_profile": Felt("tenants.0.demand.day_profile", [1] * 12 + [0] * 12, [0] * 12 + [1] * 12, DAYS, first_order, "more"),
    "Demand.week_profile": Felt("tenants.0.demand.week_profile", [1, 0, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0], DAYS, first_order, "more"),
    "Demand.bursts": Felt("tenants.0.demand.bursts", None, {"every": "6h", "factor": 9, "lasts": "2h"}, DAYS, CREATED, "more"),
    "Bursts.every": Felt(
        "tenants.0.demand.bursts.every", "2h", "2d", DAYS, CREATED, "less", {"tenants.0.demand.bursts": {"factor": 9, "lasts": "1h"}}
    ),
    "Bursts.factor": Felt(
        "tenants.0.demand.bursts.factor", 2, 9, DAYS, CREATED, "more", {"tenants.0.demand.bursts": {"every": "6h", "lasts": "1h"}}
    ),
    "Bursts.lasts": Felt(
        "tenants.0.demand.bursts.lasts", "1h", "9h", DAYS, CREATED, "more", {"tenants.0.demand.bursts": {"every": "6h", "factor": 9}}
    ),
    "OrderShape.sdl": Felt(
        "tenants.0.order", {"sdl": "one.yaml"}, {"sdl": "two.yaml"}, PLAIN, asked("cpu"), "more", {"tenants.0.ceiling": ...}
    ),
    "OrderShape.cpu": Felt("tenants.0.order.cpu", 1000, 2000, PLAIN, asked("cpu"), "more"),
    "OrderShape.memory": Felt("tenants.0.order.memory", "1Gi", "2Gi", PLAIN, asked("memory"), "more"),
    "OrderShape.memory_per_core": Felt(
        "tenants.0.order.memory_per_core", "1Gi", "2Gi", PLAIN, asked("memory"), "more", {"tenants.0.order.memory": ...}
    ),
    "OrderShape.storage": Felt("tenants.0.order.storage", "10Gi", "20Gi", PLAIN, asked("storage"), "more"),
    "OrderShape.gpu": Felt("tenants.0.order.gpu", 0, 1, PLAIN, asked("gpu"), "more"),
    "OrderShape.endpoints": Felt("tenants.0.order.endpoints", 0, 2, PLAIN, WON, "more"),
    "OrderShape.gpu_model": Felt(
        "tenants.0.order.gpu_model", None, "nvidia-a100", PLAIN, of("unserved.no_eligible_provider"), "more", {"tenants.0.order.gpu": 1}
    ),
    "OrderShape.region": Felt("tenants.0.order.region", None, "mars", PLAIN, of("unserved.no_eligible_provider"), "more"),
    "OrderShape.attributes": Felt("tenants.0.order.attributes", {}, {"tier": "gold"}, PLAIN, of("unserved.no_eligible_provider"), "more"),
    "OrderShape.signed_by": Felt(
        "tenants.0.order.signed_by",
        {},
        {"all_of": ["eve"]},
        PLAIN,
        of("unserved.no_eligible_provider"),
        "more",
        {"tenants.0.order.attributes": {"tier": "gold"}, "providers.0.attributes": {"tier": "gold"}},
    ),
    "OrderShape.window": Felt("tenants.0.order.window", "1d", "9d", AKASH, LEASED, "less", {"providers.0.window": "2d"}),
    "WeightedSdl.sdl": Felt(
        "tenants.0.order.sdl.0.sdl",
        "one.yaml",
        "two.yaml",
        PLAIN,
        asked("cpu"),
        "more",
        {"tenants.0.order": {"sdl": [{"weight": 1}]}, "tenants.0.ceiling": ...},
    ),
    "WeightedSdl.name": Felt(
        "tenants.0.order.sdl.0.name",
        "one",
        "other",
        PLAIN,
        lambda _, scenario: by_name(scenario, "one"),
        "other",
        {"tenants.0.order": {"sdl": [{"sdl": "one.yaml"}, {"sdl": "two.yaml"}]}, "tenants.0.ceiling": ...},
    ),
    "WeightedSdl.weight": Felt(
        "tenants.0.order.sdl.1.weight",
        0.1,
        10,
        PLAIN,
        asked("cpu"),
        "more",
        {"tenants.0.order": {"sdl": [{"sdl": "one.yaml"}, {"sdl": "two.yaml"}]}, "tenants.0.ceiling": ...},
    ),
    "Signers.all_of": Felt(
        "tenants.0.order.signed_by.all_of",
        ["eve"],
        ["eve", "bob"],
        PLAIN,
        LEASED,
        "less",
        {
            "providers.0.signed_by": {"eve": {"tier": "gold"}},
            "tenants.0.order.attributes": {"tier": "gold"},
            "providers.0.attributes": {"tier": "gold"},
        },
    ),
    "Signers.any_of": Felt(
        "tenants.0.order.signed_by.any_of",
        ["bob"],
        ["eve", "bob"],
        PLAIN,
        LEASED,
        "more",
        {
            "providers.0.signed_by": {"eve": {"tier": "gold"}},
            "tenants.0.order.attributes": {"tier": "gold"},
            "providers.0.attributes": {"tier": "gold"},
        },
    ),
    "PriceRule.times_cost": Felt("tenants.0.value", {"times_cost": 2}, {"times_cost": 3}, PLAIN, asked("value_whole"), "more"),
    "PriceRule.per_block": Felt("tenants.0.value", {"per_block": "20uve"}, {"per_block": "30uve"}, PLAIN, asked("value_whole"), "more"),
    "Ceiling.share_of_value": Felt(
        "tenants.0.ceiling", {"share_of_value": 0.5}, {"share_of_value": 1}, VALUED, asked("ceiling_whole"), "more"
    ),
    "Ceiling.times_cost": Felt("tenants.0.ceiling", {"times_cost": 2}, {"times_cost": 3}, PLAIN, asked("ceiling_whole"), "more"),
    "Ceiling.per_block": Felt("tenants.0.ceiling", {"per_block": "20uve"}, {"per_block": "30uve"}, PLAIN, asked("ceiling_whole"), "more"),
    "RuleChoice.kind": Felt(
        "tenants.0.choice", {"kind": "lowest_price"}, {"kind": "random_among_cheapest", "random_among_cheapest": 3}, DEAR_SOUTH, WON, "more"
    ),
    "RuleChoice.score": Felt(
        "tenants.0.choice",
        {"score": {"price": 1}},
        {"score": {"price": 0, "audit": 1}},
        DEAR_SOUTH,
        won_by("south"),
        "more",
        {"providers.1.signed_by": {"eve": {}}},
    ),
    "RuleChoice.python": Felt(
        "tenants.0.choice",
        "lowest_price",
        {"python": "felt_strategies:Last"},
        DEAR_SOUTH,
        WON,
        "more",
    ),
    "RuleChoice.options": Felt(
        "tenants.0.choice.options",
        {"place": 0},
        {"place": -1},
        DEAR_SOUTH,
        WON,
        "more",
        {"tenants.0.choice": {"python": "felt_strategies:Last"}},
    ),
    "RuleChoice.random_among_cheapest": Felt(
        "tenants.0.choice.random_among_cheapest", 1, 3, DEAR_SOUTH, WON, "more", {"tenants.0.choice": {}}
    ),
    "Score.price": [
        Felt(
            "tenants.0.choice.score.price",
            0.1,
            2,
            DEAR_SOUTH,
            WON,
            "less",
            {"tenants.0.choice": {"score": {"audit": 0.5}}, "providers.1.signed_by": {"eve": {}}},
        ),
        Felt("tenants.0.choice.score.price", 1, -1, DEAR_SOUTH, WON, "more", {"tenants.0.choice": {"score": {}}}),
    ],
    "Score.uptime": Felt(
        "tenants.0.choice.score.uptime",
        0,
        2,
        DEAR_SOUTH,
        won_by("south"),
        "more",
        SCORED | {"providers.0.outages": {"every": "2h", "lasts": "2h"}},
    ),
    "Score.audit": Felt(
        "tenants.0.choice.score.audit", 0, 2, DEAR_SOUTH, won_by("south"), "more", SCORED | {"providers.1.signed_by": {"eve": {}}}
    ),
    "Score.region": Felt(
        "tenants.0.choice.score.region",
        0,
        2,
        DEAR_SOUTH,
        won_by("south"),
        "more",
        SCORED | {"providers.1.regions": ["south"], "tenants.0.home_region": "south"},
    ),
    "DepositRule.blocks": Felt("tenants.0.deposit", {"blocks": 200}, {"blocks": 400}, PLAIN, of("escrow.deposited_uve"), "more"),
    "DepositRule.price_blocks": Felt(
        "tenants.0.deposit", {"price_blocks": 200}, {"price_blocks": 400}, PLAIN, of("escrow.deposited_uve"), "more"
    ),
    "DepositRule.amount": Felt(
        "tenants.0.deposit", {"amount": "5000uve"}, {"amount": "8000uve"}, PLAIN, of("escrow.deposited_uve"), "more"
    ),
    "TopUp.after_depletion": Felt(
        "tenants.0.top_up", {"when_blocks_left": 60}, {"after_depletion": {"delay": "9 blocks"}}, POOR, trace_of, "other"
    ),
    "AfterDepletion.delay": Felt(
        "tenants.0.top_up.after_depletion.delay", "1 block", "60 blocks", POOR, PAID, "less", {"tenants.0.top_up": {"blocks": 20}}
    ),
    "TopUp.when_blocks_left": Felt(
        "tenants.0.top_up.when_blocks_left", 5, 90, POOR, trace_of, "other", {"tenants.0.top_up": {"blocks": 20}}
    ),
    "TopUp.blocks": Felt("tenants.0.top_up.blocks", 5, 20, POOR, PAID, "more", {"tenants.0.top_up": DRY}),
    "TopUp.times": Felt("tenants.0.top_up.times", 1, 3, POOR, PAID, "more", {"tenants.0.top_up": DRY | {"blocks": 5}}),
    "TopUp.probability": Felt("tenants.0.top_up.probability", 0, 1, POOR, PAID, "more", {"tenants.0.top_up": DRY}),
    "TopUp.delay": Felt(
        "tenants.0.top_up.delay", 0, "90 blocks", POOR, trace_of, "other", {"tenants.0.top_up": {"when_blocks_left": 60, "blocks": 20}}
    ),
    "Restart.probability": Felt("tenants.0.restart.probability", 0, 1, changed(PLAIN, provider=LEAVES), of("orders.relisted"), "more"),
    "Restart.delay": Felt("tenants.0.restart.delay", "1 block", "200 blocks", changed(PLAIN, provider=LEAVES), PAID, "less"),
    "React.retry": Felt("tenants.0.react.retry", 1, 3, PLAIN, CREATED, "more", {"tenants.0.ceiling": "1uve"}),
    "React.raise_ceiling": Felt("tenants.0.react.raise_ceiling", 1.1, 2, PLAIN, LEASED, "more", {"tenants.0.ceiling": "4uve"}),
    # ------------------------------------------------------------ providers
    "ProviderCohort.name": Felt("providers.0.name", "north", "west", PLAIN, lambda result, _: result.record.provider_cohorts, "other"),
    "ProviderCohort.count": Felt("providers.0.count", 1, 3, PLAIN, of("bids.submitted"), "more"),
    "ProviderCohort.config": Felt("providers.0.config", "cheap.yaml", "dear.yaml", PRICED, WON, "more"),
    "ProviderCohort.nodes": Felt(
        "providers.0.nodes",
        [{"count": 8, "cpu": 8000, "memory": "32Gi", "storage": "1Ti"}],
        [{"count": 64, "cpu": 999, "memory": "4Gi", "storage": "1Ti"}],
        PLAIN,
        LEASED,
        "less",
        {"providers.0.capacity": ...},
    ),
    "ProviderCohort.capacity": Felt(
        "providers.0.capacity", FULL["providers"][0]["capacity"], PLAIN["providers"][0]["capacity"], PLAIN, LEASED, "more"
    ),
    "ProviderCohort.lease_capacity": Felt("providers.0.lease_capacity", 1, 9, PLAIN, LEASED, "more"),
    "ProviderCohort.overcommit": Felt("providers.0.overcommit", {}, {"cpu": 4, "memory": 4, "storage": 4}, FULL, LEASED, "more"),
    "ProviderCohort.attributes": Felt(
        "providers.0.attributes", {}, {"tier": "gold"}, PLAIN, LEASED, "more", {"tenants.0.order.attributes": {"tier": "gold"}}
    ),
    "ProviderCohort.regions": Felt("providers.0.regions", [], ["west"], PLAIN, LEASED, "more", {"tenants.0.order.region": "west"}),
    "ProviderCohort.signed_by": Felt(
        "providers.0.signed_by",
        {},
        {"eve": {"tier": "gold"}},
        PLAIN,
        LEASED,
        "more",
        {
            "tenants.0.order.signed_by": {"all_of": ["eve"]},
            "tenants.0.order.attributes": {"tier": "gold"},
            "providers.0.attributes": {"tier": "gold"},
        },
    ),
    "ProviderCohort.wallet": Felt("providers.0.wallet", "1VE", "200VE", PLAIN, of("bids.accepted"), "more", {"bid_min_deposit": "0.9VE"}),
    "ProviderCohort.spread": Felt(
        "providers.0.spread", 0, 0.5, PLAIN, lambda result, _: float(result.record.providers["cost_ppm"].std()), "more"
    ),
    "ProviderCohort.strategy": Felt("providers.0.strategy", "monthly_targets", "scale", PLAIN, WON, "more"),
    "ProviderCohort.repricing": Felt(
        "providers.0.repricing", None, {"every": "50 blocks", "high": 0.9, "low": 0.8, "down": 0.5, "min": 0.1}, PRICED, WON, "less"
    ),
    **{
        f"Repricing.{key}": Felt(
            f"providers.0.repricing.{key}",
            first,
            second,
            PRICED,
            WON,
            effect,
            {"providers.0.repricing": {"every": "20 blocks", "high": 0.01, "low": 0, "up": 1.1, "down": 0.9, "min": 0.5, "max": 2} | given},
        )
        for key, first, second, effect, given in (
            ("follows", "cpu", "gpu", "less", {"high": 0.0001}),
            ("every", "20 blocks", "200 blocks", "less", {}),
            ("high", 0.01, 1, "less", {}),
            ("low", 0, 1, "less", {"high": 1}),
            ("up", 1.1, 1.5, "more", {"max": 9}),
            ("down", 0.9, 0.5, "less", {"high": 1, "low": 1, "min": 0.1}),
            ("min", 0.1, 0.9, "more", {"high": 1, "low": 1, "down": 0.5}),
            ("max", 1.1, 9, "more", {}),
        )
    },
    "ProviderCohort.latency": Felt("providers.0.latency", "1s", "30s", PLAIN, of("bid_latency_seconds.mean"), "more"),
    "ProviderCohort.rate_limit": Felt("providers.0.rate_limit", None, {"per_hour": 5}, PLAIN, of(f"{DECLINED}rate_limited"), "more"),
    "ProviderCohort.outages": Felt(
        "providers.0.outages", None, {"every": "10m", "lasts": "20m"}, PLAIN, of(f"{DECLINED}engine_disabled"), "more"
    ),
    "ProviderCohort.leave": Felt(
        "providers.0.leave", None, {"mean": "60 blocks"}, PLAIN, of("leases.close_reasons.provider_closed"), "more"
    ),
    "ProviderCohort.withdraw_every": Felt("providers.0.withdraw_every", "20 blocks", "150 blocks", AKASH, settlements, "less"),
    "ProviderCohort.usage": Felt("providers.0.usage", "metered", "manual", PLAIN, PAID, "less"),
    "UsageReports.kind": Felt("providers.0.usage.kind", "metered", "manual", PLAIN, PAID, "less"),
    "UsageReports.factor": Felt("providers.0.usage.factor", 1, 0.5, PLAIN, PAID, "less"),
    "UsageReports.delay": Felt("providers.0.usage.delay", "0s", "10m", PLAIN, PAID, "less"),
    "ProviderCohort.cost_share": Felt("providers.0.cost_share", 0.5, 1, PLAIN, welfare("provider_profit_uve"), "less"),
    "ProviderCohort.window": Felt("providers.0.window", "1d", "9d", AKASH, LEASED, "more", {"tenants.0.order.window": "2d"}),
    "ProviderFile.bid_engine": Felt(
        "providers.0.config.bid_engine", ENGINE["bid_engine"], ENGINE["bid_engine"] | {"enabled": False}, PRICED, LEASED, "less"
    ),
    "ProviderFile.filters": Felt("providers.0.config.filters", {}, {"max_cpu": 500}, PRICED, LEASED, "less"),
    "ProviderFile.changes": Felt(
        "providers.0.config.changes", [], [{"at": "1 block", "bid_engine": {"min_profit_margin": 50}}], PRICED, WON, "more"
    ),
    "ProviderChange.at": Felt("providers.0.config.changes.0.at", "1h", "1 block", WITH_CHANGE, WON, "more"),
    "ProviderChange.bid_engine": Felt(
        "providers.0.config.changes.0.bid_engine", {"min_profit_margin": 10}, {"min_profit_margin": 50}, WITH_CHANGE, WON, "more"
    ),
    "ProviderChange.filters": Felt("providers.0.config.changes.0.filters", {}, {"max_cpu": 500}, WITH_CHANGE, LEASED, "less"),
    "BidEngine.enabled": Felt("providers.0.config.bid_engine.enabled", True, False, PRICED, of(f"{DECLINED}engine_disabled"), "more"),
    "BidEngine.min_profit_margin": Felt("providers.0.config.bid_engine.min_profit_margin", 0, 50, PRICED, WON, "more"),
    "BidEngine.max_concurrent_bids": Felt(
        "providers.0.config.bid_engine.max_concurrent_bids", 50, 1, PRICED, wait, "more", {"tenants.0.demand.orders": 600}
    ),
    "BidEngine.bid_timeout": Felt(
        "providers.0.config.bid_engine.bid_timeout",
        "20 blocks",
        "1000 blocks",
        PRICED,
        of("bids.closed"),
        "less",
        {"tenants.0.never_choose": 1, "order_timeout": "200 blocks"},
    ),
    "BidEngine.pricing": Felt(
        "providers.0.config.bid_engine.pricing", {"cpu_millicores": "0.004uve"}, {"cpu_millicores": "0.006uve"}, PRICED, WON, "more"
    ),
    **{
        f"ListPrices.{name}": Felt(
            f"providers.0.config.bid_engine.pricing.{name}", "0.0001uve", "0.0002uve", PRICED, WON, "more", {"tenants.0.order.gpu": 1}
        )
        for name in ("cpu_millicores", "memory_mb", "storage_mb", "gpu")
    },
    "Filters.min_order_value": Felt(
        "providers.0.config.filters.min_order_value", None, "9VE", PRICED, of(f"{DECLINED}below_min_order_value"), "more"
    ),
    "Filters.max_cpu": Felt("providers.0.config.filters.max_cpu", None, 999, PRICED, of(f"{DECLINED}insufficient_resources"), "more"),
    "Filters.max_memory": Felt(
        "providers.0.config.filters.max_memory", None, 1023, PRICED, of(f"{DECLINED}insufficient_resources"), "more"
    ),
    "Filters.max_storage": Felt(
        "providers.0.config.filters.max_storage", None, 10239, PRICED, of(f"{DECLINED}insufficient_resources"), "more"
    ),
    "Filters.allowed_regions": Felt(
        "providers.0.config.filters.allowed_regions",
        ["east"],
        ["east", "west"],
        PRICED,
        LEASED,
        "more",
        {"tenants.0.order.region": "west", "providers.0.regions": ["west"]},
    ),
    "Filters.excluded_attributes": Felt(
        "providers.0.config.filters.excluded_attributes",
        [],
        ["gpu-type=nvidia-a100"],
        PRICED,
        LEASED,
        "less",
        {
            "tenants.0.order.gpu": 1,
            "tenants.0.order.gpu_model": "nvidia-a100",
            "providers.0.attributes": {"capabilities/gpu/vendor/nvidia/model/a100": True},
        },
    ),
    "Machines.count": Felt(
        "providers.0.nodes.0.count",
        1,
        9,
        PLAIN,
        LEASED,
        "more",
        {"providers.0.capacity": ..., "providers.0.nodes": [{"cpu": 2000, "memory": "8Gi", "storage": "1Ti"}]},
    ),
    **{
        f"Machines.{name}": Felt(
            f"providers.0.nodes.0.{name}",
            few,
            many,
            PLAIN,
            LEASED,
            "more",
            {
                "providers.0.capacity": ...,
                "providers.0.nodes": [{"count": 2, "cpu": 4000, "memory": "8Gi", "storage": "1Ti", "gpu": 4}],
                "tenants.0.order.gpu": 1,
            },
        )
        for name, few, many in (("cpu", 1000, 4000), ("memory", "1Gi", "8Gi"), ("storage", "10Gi", "1Ti"), ("gpu", 1, 4))
    },
    **{
        f"Capacity.{name}": Felt(
            f"providers.0.capacity.{name}", few, many, PLAIN, LEASED, "more", {"tenants.0.order.gpu": 1, "providers.0.count": 1}
        )
        for name, few, many in (("cpu", 1000, 8000), ("memory", "1Gi", "8Gi"), ("storage", "10Gi", "1Ti"), ("gpu", 1, 8))
    },
    **{
        f"Overcommit.{name}": Felt(f"providers.0.overcommit.{name}", 1, 4, PLAIN, LEASED, "more", {f"providers.0.capacity.{name}": few})
        for name, few in (("cpu", 1000), ("memory", "1Gi"), ("storage", "10Gi"))
    },
    "StrategyChoice.kind": Felt("providers.0.strategy", {"kind": "cost_plus"}, {"kind": "random_range"}, PRICED, WON, "other"),
    "StrategyChoice.scale": Felt("providers.0.strategy.scale", {}, {"cpu": "0.008uve"}, PLAIN, WON, "more"),
    "StrategyChoice.monthly_targets": Felt("providers.0.strategy.monthly_targets", {}, {"cpu": 3}, PLAIN, WON, "more"),
    "StrategyChoice.utilization": Felt(
        "providers.0.strategy.utilization", {"low": 0.8}, {"low": 1.2}, PRICED, WON, "more", {"providers.0.strategy": ...}
    ),
    "StrategyChoice.undercut": Felt(
        "providers.0.strategy.undercut", {"by": 0.01}, {"by": 0.3}, DEAR_AND_FULL, WON, "less", {"providers.0.strategy": ...}
    ),
    "StrategyChoice.script": Felt("providers.0.strategy.script", "five.sh", "nine.sh", PLAIN, WON, "more"),
    "StrategyChoice.options": Felt(
        "providers.0.strategy.options", {"uve": 1}, {"uve": 40}, PLAIN, WON, "more", {"providers.0.strategy.python": "felt_strategies:Asks"}
    ),
    "StrategyChoice.each": Felt(
        "providers.0.strategy.each", "provider", "cohort", PLAIN, WON, "more", {"providers.0.strategy.python": "felt_strategies:Asks"}
    ),
    "StrategyChoice.python": Felt("providers.0.strategy.python", "felt_strategies:Cheap", "felt_strategies:Dear", PLAIN, WON, "more"),
    **{
        f"ScalePrices.{name}": Felt(
            f"providers.0.strategy.scale.{name}", "0.0005uve", "0.001uve", PLAIN, WON, "more", {"tenants.0.order.endpoints": 1}
        )
        for name in ("cpu", "memory", "storage", "endpoint")
    },
    **{
        f"MonthlyTargetPrices.{name}": Felt(
            f"providers.0.strategy.monthly_targets.{name}",
            1,
            2,
            PLAIN,
            WON,
            "more",
            {"tenants.0.order.gpu": 1, "tenants.0.order.endpoints": 1},
        )
        for name in ("cpu", "memory", "hd_ephemeral", "endpoint", "gpu")
    },
    **{
        f"MonthlyTargetPrices.hd_pers_{kind}": Felt(
            f"providers.0.strategy.monthly_targets.hd_pers_{kind}",
            1,
            2,
            PLAIN,
            WON,
            "more",
            {"tenants.0.order": {"sdl": f"{storage}.yaml"}, "tenants.0.ceiling": ..., "providers.0.attributes": KEPT[storage]},
        )
        for kind, storage in (("hdd", "beta1"), ("ssd", "beta2"), ("nvme", "beta3"))
    },
    "MonthlyTargetPrices.ip": Felt(
        "providers.0.strategy.monthly_targets.ip",
        1,
        20,
        PLAIN,
        WON,
        "more",
        {"tenants.0.order": {"sdl": "ip.yaml"}, "tenants.0.ceiling": ...},
    ),
    "ScalePrices.ip": Felt(
        "providers.0.strategy.scale.ip",
        "1uve",
        "20uve",
        PLAIN,
        WON,
        "more",
        {"tenants.0.order": {"sdl": "ip.yaml"}, "tenants.0.ceiling": ...},
    ),
    "MonthlyTargetPrices.gpu_mappings": Felt(
        "providers.0.strategy.monthly_targets.gpu_mappings",
        {"a100": 10},
        {"a100": 20},
        PLAIN,
        WON,
        "more",
        {
            "tenants.0.order.gpu": 1,
            "tenants.0.order.gpu_model": "nvidia-a100",
            "providers.0.attributes": {"capabilities/gpu/vendor/nvidia/model/a100": True},
        },
    ),
    "UtilizationSteps.low": Felt("providers.0.strategy.utilization.low", 0.8, 1.2, PRICED, WON, "more", {"providers.0.strategy": ...}),
    "UtilizationSteps.follows": Felt(
        "providers.0.strategy.utilization.follows",
        "gpu",
        "cpu",
        BUSY,
        WON,
        "more",
        {"providers.0.config": ENGINE, "providers.0.strategy": ...},
    ),
    "UtilizationSteps.high": Felt(
        "providers.0.strategy.utilization.high",
        1,
        4,
        BUSY,
        WON,
        "more",
        {"providers.0.config": ENGINE, "providers.0.strategy": ...},
    ),
    "UtilizationSteps.step": Felt(
        "providers.0.strategy.utilization.step",
        0.05,
        0.5,
        BUSY,
        WON,
        "less",
        {"providers.0.config": ENGINE, "providers.0.strategy": ...},
    ),
    "Undercut.by": Felt("providers.0.strategy.undercut.by", 0.01, 0.3, DEAR_AND_FULL, WON, "less", {"providers.0.strategy": ...}),
    "BidRates.per_minute": Felt(
        "providers.0.rate_limit",
        {"per_minute": 1, "per_hour": None},
        {"per_minute": 9, "per_hour": None},
        PLAIN,
        of(f"{DECLINED}rate_limited"),
        "less",
    ),
    "BidRates.per_hour": Felt("providers.0.rate_limit.per_hour", 5, 20, PLAIN, of(f"{DECLINED}rate_limited"), "less"),
    "Outages.every": Felt(
        "providers.0.outages.every", "10m", "1h", PLAIN, of(f"{DECLINED}engine_disabled"), "less", {"providers.0.outages": {"lasts": "10m"}}
    ),
    "Outages.lasts": Felt(
        "providers.0.outages.lasts", "1m", "30m", PLAIN, of(f"{DECLINED}engine_disabled"), "more", {"providers.0.outages": {"every": "10m"}}
    ),
    "Outages.closes": Felt(
        "providers.0.outages.closes",
        0,
        1,
        PLAIN,
        of("leases.close_reasons.provider_closed"),
        "more",
        {"providers.0.outages": {"every": "10m", "lasts": "10m"}},
    ),
    # ------------------------------------------------------------ distributions
    **laws("MillicoresLaw", "tenants.0.order.cpu", 1000, 3000, asked("cpu")),
    **laws("SizeLaw", "tenants.0.order.storage", "10Gi", "30Gi", asked("storage")),
    **laws("CountLaw", "tenants.0.deposit.blocks", 10, 30, of("escrow.deposited_uve")),
    **laws("NumberLaw", "tenants.0.ceiling.times_cost", 20, 60, asked("ceiling_whole")),
    **laws("ShareLaw", "tenants.0.ceiling.share_of_value", 0.1, 0.9, asked("ceiling_whole"), VALUED),
    **laws("MoneyLaw", "tenants.0.ceiling.per_block", "100uve", "300uve", asked("ceiling_whole")),
    **laws("DurationLaw", "tenants.0.duration", "60 blocks", "180 blocks", life),
    "TextLaw.constant": Felt("tenants.0.order.region", {"constant": "west"}, {"constant": "mars"}, PLAIN, LEASED, "less", WEST),
    "TextLaw.choice": Felt("tenants.0.order.region", {"choice": ["west"]}, {"choice": ["west", "mars"]}, PLAIN, LEASED, "less", WEST),
    "Leave.mean": Felt("providers.0.leave.mean", "60 blocks", "900 blocks", PLAIN, of("leases.close_reasons.provider_closed"), "less"),
}
for _key, _felt in (
    *families("tenants.0.duration", "60 blocks", "180 blocks", life),
    *families("providers.0.latency", "1s", "3s", LATENCY),
):
    FELT.setdefault(_key, []).append(_felt)  # type: ignore[union-attr]
for _key, _felts in laws("DurationLaw", "providers.0.latency", "1s", "3s", LATENCY).items():
    FELT[_key] += _felts  # type: ignore[operator]


def put(market: dict[str, Any], path: str, value: Any) -> None:
    """Set, or with `...` remove, what stands at a dotted path; mappings on the way are made."""
    *way, last = path.split(".")
    here: Any = market
    for word in way:
        if isinstance(here, list):
            here = here[int(word)]
        else:
            if not isinstance(here.get(word), (dict, list)):
                here[word] = {}
            here = here[word]
    if value is ...:
        here.pop(last, None)
    else:
        here[last] = copy.deepcopy(value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that markets name."""
    made = tmp_path_factory.mktemp("felt")
    (made / "trace.csv").write_text(TRACE)
    (made / "few.csv").write_text("\n".join(TRACE.splitlines()[:9]) + "\n")
    (made / "felt_strategies.py").write_text(STRATEGY)
    for name, price in (("five.sh", 5), ("nine.sh", 9)):
        (made / name).write_text(SCRIPT.replace("{price}", str(price)))
        (made / name).chmod(stat.S_IRWXU)
    for name, margin in (("cheap.yaml", 0), ("dear.yaml", 90)):
        (made / name).write_text(f"bid_engine: {{min_profit_margin: {margin}, pricing: {{cpu_millicores: 0.004uve}}}}\n")
    for name, cores in (("one.yaml", "1"), ("two.yaml", "2")):
        (made / name).write_text(MANIFEST.replace("CORES", cores))
    (made / "uact.yaml").write_text(MANIFEST.replace("CORES", "1").replace("denom: uve", "denom: uact"))
    kept = "storage: [{name: data, size: 10Gi, attributes: {persistent: true, class: KIND}}]"
    mounted = "{image: web, params: {storage: {data: {mount: /data}}},"
    for kind in KEPT:
        text = MANIFEST.replace("CORES", "1").replace("storage: {size: 10Gi}", kept.replace("KIND", kind)).replace("{image: web,", mounted)
        (made / f"{kind}.yaml").write_text(text)
    with_address = MANIFEST.replace("CORES", "1").replace("{global: true}", "{global: true, ip: front}")
    (made / "ip.yaml").write_text(with_address + "endpoints: {front: {kind: ip}}\n")
    return made


def outcome(felt: Felt, value: Any, folder: Path) -> Any:
    market = copy.deepcopy(dict(felt.market))
    for path, other in felt.given.items():
        put(market, path, other)
    if felt.path:
        put(market, felt.path, value)
    else:
        market = value
    scenario = scenario_from_mapping(market, folder)
    return felt.measure(run(scenario), scenario)


def rows() -> list[Any]:
    found = []
    for key, felt in FELT.items():
        for number, row in enumerate(felt if isinstance(felt, list) else [felt]):
            found.append(pytest.param(row, id=key if number == 0 else f"{key}-{number}"))
    return found


@pytest.mark.parametrize("felt", rows())
def test_a_market_feels_the_key(felt: Felt, folder: Path) -> None:
    first, second = outcome(felt, felt.first, folder), outcome(felt, felt.second, folder)
    assert {"more": lambda: second > first, "less": lambda: second < first, "other": lambda: second != first}[felt.effect](), (
        first,
        second,
    )


def test_every_key_has_a_row_and_every_row_a_key() -> None:
    models = [model for model in every_model(Scenario) if model.__module__ != Sdl.__module__]
    keys = {f"{model.__name__.partition('[')[0]}.{key.name}" for model in models for key in keys_in(model)}
    assert keys - FELT.keys() == set(), "a key without a row: say in which market it is felt"
    assert FELT.keys() - keys == set(), "a row without a key"
