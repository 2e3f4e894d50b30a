"""The market of the third exercise: four cohorts of tenants, the trainee's provider and three dearer rivals, and what may be wrong with it.

One tenant in six takes one of the four cheapest bids at random, so that the share of bids that are won is high whatever is wrong: the
symptom says nothing about the cause.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from marketsim.exercises.dice import Dice
from marketsim.recording.record import Record
from marketsim.scenario.load import scenario_from_mapping
from marketsim.simulation.run import run

DAYS: Final = 6
WARM_UP_DAYS: Final = 1
TRAINEE: Final = "trainee-0"
HOME: Final = "us-east-1"
_ELSEWHERE: Final = ("eu-west-1", "ap-south-1", "us-west-2", "eu-central-1")
_RATES: Final = (("0.8", "1.1"), ("1.1", "1.4"), ("0.28", "0.36"), ("0.5", "0.6"))
_DEARER: Final = (("1.20", "1.30"), ("1.35", "1.45"), ("1.50", "1.60"))

Settings = dict[str, Any]
"""Values of the trainee's two files by dotted key, such as `filters.max_cpu` or `host.lease_slots`."""

CONFIG_KEYS: Final = (
    "bid_engine.enabled",
    "bid_engine.min_profit_margin",
    "bid_engine.max_concurrent_bids",
    "bid_engine.bid_timeout",
    "bid_engine.pricing.cpu_millicores",
    "bid_engine.pricing.memory_mb",
    "bid_engine.pricing.storage_mb",
    "bid_engine.pricing.gpu",
    "filters.max_cpu",
    "filters.max_memory",
    "filters.max_storage",
    "filters.allowed_regions",
)
DAEMON_KEYS: Final = (
    "withdraw_every",
    "usage_reports.factor",
    "host.bid_delay",
    "host.lease_slots",
    "host.restarts_every",
    "host.restarts_last",
)


@dataclass(frozen=True)
class Cause:
    """Something wrong: which keys mend it, and how it is drawn."""

    name: str
    keys: tuple[str, ...]
    meaning: str
    plant: Callable[[Dice, Settings], Settings]


def _times(value: str, factor: Decimal) -> str:
    return f"{(Decimal(value.removesuffix('uve')) * factor).normalize():f}uve"


CAUSES: Final = (
    Cause(
        "memory_price_low",
        ("bid_engine.pricing.memory_mb",),
        "memory is sold far too cheaply",
        lambda dice, now: {
            "bid_engine.pricing.memory_mb": _times(now["bid_engine.pricing.memory_mb"], dice.decimal("0.08", "0.14", "0.01")),
        },
    ),
    Cause(
        "gpu_price_high",
        ("bid_engine.pricing.gpu",),
        "GPUs are dearer than what orders pay",
        lambda dice, now: {"bid_engine.pricing.gpu": _times(now["bid_engine.pricing.gpu"], dice.decimal("4", "6", "0.1"))},
    ),
    Cause(
        "max_cpu_low",
        ("filters.max_cpu",),
        "the CPU filter lets only small orders pass",
        lambda dice, now: {"filters.max_cpu": dice.pick((1500, 2000))},
    ),
    Cause(
        "max_memory_low",
        ("filters.max_memory",),
        "the memory filter lets only small orders pass",
        lambda dice, now: {"filters.max_memory": dice.pick((4096, 8192))},
    ),
    Cause(
        "region_filter",
        ("filters.allowed_regions",),
        "orders that name the provider's own region are not bid on",
        lambda dice, now: {"filters.allowed_regions": [dice.pick(_ELSEWHERE)]},
    ),
    Cause("late_bids", ("host.bid_delay",), "bids come late", lambda dice, now: {"host.bid_delay": f"{dice.whole(56, 64)}s"}),
    Cause(
        "lease_slots_few",
        ("host.lease_slots",),
        "the host has too few lease slots",
        lambda dice, now: {"host.lease_slots": dice.whole(14, 22)},
    ),
    Cause(
        "outages",
        ("host.restarts_every", "host.restarts_last"),
        "the host goes down again and again",
        lambda dice, now: {"host.restarts_every": f"{dice.whole(9, 14)}h", "host.restarts_last": f"{dice.whole(180, 300)}m"},
    ),
    Cause(
        "withdrawals_frequent",
        ("withdraw_every",),
        "gas for withdrawals eats the income",
        lambda dice, now: {"withdraw_every": f"{dice.whole(5, 8)}m"},
    ),
    Cause(
        "usage_reported_low",
        ("usage_reports.factor",),
        "the daemon reports less use than there was",
        lambda dice, now: {"usage_reports.factor": float(dice.decimal("0.50", "0.70", "0.01"))},
    ),
)
BY_NAME: Final = {cause.name: cause for cause in CAUSES}
NOT_PLANTED: Final = {
    "margin_low": "the margin is too small",
    "rivals_cheaper": "rivals take the orders with lower prices",
    "demand_lower": "there are fewer orders than there were",
}
"""Further names that a diagnosis may give; they are never what is wrong here."""


class OddSetting(NamedTuple):
    """A setting that looks like a cause and costs nothing: its key, the cause, the value that one would expect, and how it is drawn."""

    key: str
    cause: str
    usual: Any
    draw: Callable[[Dice], Any]


ODD: Final = (
    OddSetting("filters.max_cpu", "max_cpu_low", 35_000, lambda dice: 1000 * dice.whole(8, 10)),  # no order is larger
    OddSetting("filters.max_memory", "max_memory_low", 128_000, lambda dice: 1024 * dice.whole(48, 56)),
    OddSetting("filters.allowed_regions", "region_filter", None, lambda dice: [HOME]),  # no other region can be served anyway
    OddSetting("host.bid_delay", "late_bids", "3s", lambda dice: f"{dice.whole(9, 14)}s"),  # in time for any tenant
    OddSetting("host.lease_slots", "lease_slots_few", 300, lambda dice: dice.whole(110, 140)),  # some are always left
)
_ODD_ONES: Final = 2
"""So many are always there, that the files alone do not say what is wrong."""
PAIRS: Final = (
    ("memory_price_low", "late_bids"),
    ("memory_price_low", "withdrawals_frequent"),
    ("memory_price_low", "region_filter"),
    ("memory_price_low", "gpu_price_high"),
    ("gpu_price_high", "region_filter"),
    ("gpu_price_high", "late_bids"),
    ("late_bids", "region_filter"),
    ("memory_price_low", "outages"),
    ("gpu_price_high", "usage_reported_low"),
    ("late_bids", "usage_reported_low"),
    ("region_filter", "usage_reported_low"),
)
"""Causes that can be told apart when they come together: neither hides the other."""


@dataclass(frozen=True)
class RevenueMarket:
    """A drawn market: demand, rivals, and the trainee's settings as they should be and as they are."""

    rates: tuple[str, ...]
    """Orders an hour of web, apps, training, shoppers."""
    rivals: tuple[str, ...]
    """By how much each is dearer than the trainee's prices should be."""
    healthy: Settings
    broken: Settings
    causes: tuple[str, ...]
    odd: tuple[str, ...]
    """Keys of settings that look wrong and are not, unless a cause has them."""
    rules: str = "virtengine"
    """With those of the training document use is reported and no gas is paid, under `virtengine` leases owe their price and gas counts."""
    runs: dict[str, Income] = field(default_factory=dict, compare=False, repr=False)
    """What was run already, by settings and run."""

    def income(self, settings: Settings, number: int) -> Income:
        """What a provider with these settings earns in a run, by the run's number. Raises InputError for bad settings."""
        key = repr((sorted(settings.items()), number))
        if key not in self.runs:
            scenario = scenario_from_mapping(scenario_of(self, settings), name="settings")
            self.runs[key] = income_of(run(scenario, seed=number).record)
        return self.runs[key]


@dataclass(frozen=True)
class Income:
    """Of the trainee, after the warm-up: uve a day net of the network's take and of gas, and the share of decided bids that were won."""

    net: float
    won: float


def income_of(record: Record) -> Income:
    """Return what the trainee earned in a run."""
    providers = record.providers
    row = providers["name"].index(TRAINEE)
    days = (record.blocks - record.warm_up_blocks) / record.day_blocks
    gas = int(providers["network_fees"][row]) * days * record.day_blocks / record.blocks
    won, lost = int(providers["won_window"][row]), int(providers["lost_window"][row])
    return Income((int(providers["revenue_net"][row]) - gas) / days, won / max(1, won + lost))


def draw_market(dice: Dice) -> RevenueMarket:
    """Draw demand, rivals, settings, and one or two things that are wrong."""
    healthy: Settings = {
        "bid_engine.enabled": True,
        "bid_engine.min_profit_margin": dice.whole(11, 19),
        "bid_engine.max_concurrent_bids": dice.whole(150, 250),
        "bid_engine.bid_timeout": "5m",
        "bid_engine.pricing.cpu_millicores": f"{dice.decimal('0.0036', '0.0044', '0.0001')}uve",
        "bid_engine.pricing.memory_mb": f"{dice.decimal('0.00180', '0.00220', '0.00001')}uve",
        "bid_engine.pricing.storage_mb": f"{dice.decimal('0.000045', '0.000055', '0.000001')}uve",
        "bid_engine.pricing.gpu": f"{dice.whole(200, 240)}uve",
        "filters.max_cpu": 1000 * dice.whole(30, 40),
        "filters.max_memory": 1024 * dice.whole(100, 150),
        "filters.max_storage": 1024 * dice.whole(8000, 12000),
        "filters.allowed_regions": None,
        "withdraw_every": f"{dice.whole(9, 15)}h",
        "host.bid_delay": f"{dice.whole(20, 35) / 10}s",
        "host.lease_slots": dice.whole(250, 350),
        "host.restarts_every": None,
        "host.restarts_last": None,
        "usage_reports.factor": 1,
    }
    odd = dice.sample(ODD, _ODD_ONES)
    healthy |= {one.key: one.draw(dice) for one in odd}
    busy = dice.decimal("0.70", "1.40", "0.01")
    rates = tuple(str(busy * dice.decimal(low, high, "0.01")) for low, high in _RATES)
    rivals = tuple(str(dice.decimal(low, high, "0.01")) for low, high in _DEARER)
    causes = dice.pick(PAIRS) if dice.share() < 0.4 else (dice.pick(CAUSES).name,)
    broken = dict(healthy)
    for name in causes:
        broken |= BY_NAME[name].plant(dice, healthy)
    rules = dice.pick(("seed", "virtengine", "virtengine"))
    if "usage_reported_low" in causes or "withdrawals_frequent" in causes:
        rules = "seed" if "usage_reported_low" in causes else "virtengine"
    return RevenueMarket(rates, rivals, healthy, broken, causes, tuple(one.key for one in odd), rules)


def nested(settings: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Settings as a file has them: mappings in mappings, without what is not set."""
    found: dict[str, Any] = {}
    for key in keys:
        if settings[key] is not None:
            *way, last = key.split(".")
            part = found
            for step in way:
                part = part.setdefault(step, {})
            part[last] = settings[key]
    return found


def scenario_of(market: RevenueMarket, settings: Settings) -> dict[str, Any]:
    """The scenario with the trainee's settings."""
    config = nested(settings, CONFIG_KEYS)
    trainee: dict[str, Any] = {
        "name": "trainee",
        "config": config,
        "capacity": {"cpu": 1_000_000, "memory": "4Ti", "storage": "40Ti", "gpu": 200},
        "regions": [HOME],
        "wallet": "20000VE",
        "latency": {"lognormal": {"median": settings["host.bid_delay"], "sigma": 0.25}},
        "lease_capacity": settings["host.lease_slots"],
        "withdraw_every": settings["withdraw_every"],
    }
    if market.rules == "seed":  # under virtengine a lease owes its price, whatever is used
        trainee["usage"] = {"factor": settings["usage_reports.factor"]}
    if settings["host.restarts_every"] is not None:
        lasts = settings["host.restarts_last"] or "1m"
        trainee["outages"] = {"every": settings["host.restarts_every"], "lasts": lasts, "closes": 1.0}
    return {
        "name": "revenue",
        "rules": market.rules,
        "horizon": f"{DAYS}d",
        "warm_up": f"{WARM_UP_DAYS}d",
        "tenants": _tenants(market),
        "providers": [trainee, *_rivals(market)],
    }


def _tenants(market: RevenueMarket) -> list[dict[str, Any]]:
    regions = {"choice": {"values": [None, HOME, *_ELSEWHERE[:2]], "weights": [0.45, 0.3, 0.15, 0.1]}}
    shapes: dict[str, dict[str, Any]] = {
        "web": {"cpu": {"choice": [1000, 1500, 2000]}, "memory": {"choice": ["2Gi", "4Gi", "8Gi"]}, "storage": "20Gi"},
        "apps": {"cpu": {"choice": [3000, 4000, 6000, 8000]}, "memory": {"choice": ["16Gi", "24Gi", "32Gi", "48Gi"]}, "storage": "100Gi"},
        "training": {"cpu": 4000, "memory": "16Gi", "storage": "100Gi", "gpu": {"choice": [1, 1, 2]}},
        "shoppers": {"cpu": {"choice": [1000, 2000, 4000, 8000]}, "memory": {"choice": ["4Gi", "16Gi", "32Gi"]}, "storage": "50Gi"},
    }
    found = []
    for (name, shape), rate in zip(shapes.items(), market.rates, strict=True):
        cohort = {
            "name": name,
            "count": 20,
            "wallet": "5000VE",
            "demand": {"arrivals": f"{rate}/h"},
            "order": shape | {"region": regions},
            "value": {"times_cost": 5},
            "ceiling": {"times_cost": {"uniform": [1.9, 4]}},
            "duration": {"lognormal": {"median": "10h", "sigma": 0.7}},
            "deposit": {"blocks": 30_000},
            "top_up": {"when_blocks_left": 2_000, "blocks": 14_400, "times": 9},
            "restart": {"probability": 0},
            "patience": "50 blocks",
        }
        found.append(cohort | ({"choice": {"random_among_cheapest": 4}} if name == "shoppers" else {}))
    return found


def _rivals(market: RevenueMarket) -> list[dict[str, Any]]:
    margin = 1 + Decimal(market.healthy["bid_engine.min_profit_margin"]) / 100
    prices = nested(market.healthy, CONFIG_KEYS)["bid_engine"]["pricing"]
    found = []
    for name, region, dearer in zip(("north", "south", "west"), (*_ELSEWHERE[:2], HOME), market.rivals, strict=True):
        dear = {key: _times(price, Decimal(dearer) * margin) for key, price in prices.items()}
        found.append(
            {
                "name": name,
                "config": {"bid_engine": {"max_concurrent_bids": 200, "pricing": dear}},
                "capacity": {"cpu": 2_000_000, "memory": "8Ti", "storage": "80Ti", "gpu": 400},
                "regions": [region],
                "wallet": "20000VE",
                "latency": {"lognormal": {"median": "4s", "sigma": 0.25}},
                "withdraw_every": "12h",
            }
        )
    return found
