"""The provider cohorts of a scenario: capacity, pricing strategy and behaviour around the bid engine."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_serializer, model_validator

from marketsim.scenario.distributions import Frozen, Lognormal
from marketsim.scenario.literals import (
    Coins,
    Count,
    Duration,
    Millicores,
    Money,
    Number,
    PositiveCount,
    PositiveNumber,
    PositiveSpan,
    Probability,
    Size,
    Span,
    Text,
    exact,
    number,
    parse_coins,
    parse_money,
    shown,
)
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.tenants import CountLaw, DurationLaw, MillicoresLaw, Name, SizeLaw

STRATEGIES = (
    "cost_plus",
    "scale",
    "monthly_targets",
    "random_range",
    "utilization",
    "undercut",
    "script",
    "python",
)
_STRATEGY_HELP = "strategies are " + ", ".join(STRATEGIES)


class Capacity(Frozen):
    """What one provider has: millicores, bytes, bytes, GPUs."""

    cpu: MillicoresLaw
    memory: SizeLaw
    storage: SizeLaw
    gpu: CountLaw = CountLaw(constant=0)


class Node(Frozen):
    """`count` machines alike; an order must fit on them unit by unit."""

    count: PositiveCount = 1
    cpu: Millicores
    memory: Size
    storage: Size
    gpu: Count = 0


class Overcommit(Frozen):
    """How much of a resource is promised per unit that exists; GPUs are never over-committed."""

    cpu: PositiveNumber = 1.0
    memory: PositiveNumber = 1.0
    storage: PositiveNumber = 1.0


class ScalePrices(Frozen):
    """Akash scale pricing: uve per millicore, MiB, MiB, endpoint and leased address (protocol.md §4.2)."""

    cpu: Money = parse_money("0.004uve")
    memory: Money = parse_money("0.0016uve")
    storage: Money = parse_money("0.00016uve")
    endpoint: Money = parse_money("1uve")
    ip: Money = parse_money("60uve")


Usd = Annotated[Decimal, exact("0", "1000000000", 18)]


class MonthlyTargets(Frozen):
    """The generic script's targets in USD a month (protocol.md §4.2); 1 VE is 1 USD."""

    cpu: Usd = Decimal("1.60")
    memory: Usd = Decimal("0.80")
    hd_ephemeral: Usd = Decimal("0.02")
    hd_pers_hdd: Usd = Decimal("0.01")
    hd_pers_ssd: Usd = Decimal("0.03")
    hd_pers_nvme: Usd = Decimal("0.04")
    endpoint: Usd = Decimal("0.05")
    ip: Usd = Decimal("5")
    gpu: Usd = Field(default=Decimal("100"), description="a model that gpu_mappings does not list")
    gpu_mappings: dict[Text, Usd] = Field(default={}, description="by model, model.ram or model.ram.interface")


Followed = Annotated[
    Literal["cpu", "memory", "storage", "gpu", "scarcest"],
    Field(description="the resource whose use counts; scarcest: of those that the provider has, the one most used at the time"),
]


class UtilizationPricing(Frozen):
    """Base cost × a multiplier from `low` (empty) to `high` (full), in steps of `step`."""

    follows: Followed = "scarcest"

    low: Number = 0.8
    high: Number = 1.5
    step: PositiveNumber = 0.05


class Undercut(Frozen):
    """The last winning price less this share, never below the base cost."""

    by: Annotated[float, number(0.0, 1.0)] = 0.01


class Strategy(Frozen):
    """How a provider prices an order."""

    short_forms = ({"enum": ["cost_plus", "random_range", "scale", "monthly_targets", "utilization", "undercut"]},)

    kind: Literal["cost_plus", "scale", "monthly_targets", "random_range", "utilization", "undercut", "script", "python"] = "cost_plus"
    scale: ScalePrices | None = None
    monthly_targets: MonthlyTargets | None = None
    utilization: UtilizationPricing | None = None
    undercut: Undercut | None = None
    script: Text | None = Field(default=None, description="an executable: request as JSON on stdin, price on stdout")
    python: Text | None = Field(default=None, description="module:Class, or the name of an entry point")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data in ("cost_plus", "random_range"):
                return {"kind": data}
            if data in ("scale", "monthly_targets", "utilization", "undercut"):
                return {"kind": data, data: {}}
            if data in ("script", "python"):
                raise ValueError(f"'{data}' needs a value, write {{{data}: …}}")
            raise ValueError(f"{shown(data)} is not a strategy, {_STRATEGY_HELP}")
        if isinstance(data, dict) and "kind" not in data:
            given = [key for key in STRATEGIES if key in data]
            if len(given) > 1:
                raise ValueError(f"found {' and '.join(given)}, give one strategy")
            if given:
                return {"kind": given[0]} | {k: {} if v is None else v for k, v in data.items() if k not in ("cost_plus", "random_range")}
            if data:
                raise ValueError(f"{shown(next(iter(data)))} is not a strategy, {_STRATEGY_HELP}")
            raise ValueError(f"is empty, {_STRATEGY_HELP}")
        return data

    @field_validator("python")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        parts = (value or "x").split(":")
        if len(parts) > 2 or not all(part and all(p.isidentifier() for p in part.replace("-", "_").split(".")) for part in parts):
            raise ValueError(f"{shown(value)} is not a class, write module:Class or the name of an entry point")
        return value

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any) -> Any:
        return self.kind if self.kind in ("cost_plus", "random_range") else {self.kind: handler(self)[self.kind]}


class Repricing(Frozen):
    """A price multiplier that follows utilization: above `high` × `up`, below `low` × `down`, clamped to
    [min, max].
    """

    follows: Followed = "scarcest"
    every: PositiveSpan = Duration(86_400_000)
    high: Probability = 0.8
    low: Probability = 0.3
    up: PositiveNumber = 1.05
    down: PositiveNumber = 0.95
    min: PositiveNumber = 0.5
    max: Annotated[float, number(0.0, above=True)] = Field(default=2.0, validate_default=True)

    @field_validator("max")
    @classmethod
    def _ordered(cls, value: float, info: ValidationInfo) -> float:
        if "min" in info.data and value < info.data["min"]:
            raise ValueError("is below min, give max of at least min")
        return value


class RateLimit(Frozen):
    """The most bids in any minute and any hour."""

    per_minute: PositiveCount | None = 10
    per_hour: PositiveCount | None = 100


class Outages(Frozen):
    """Exponential times between outages and exponential lengths; `closes` is the share of leases closed at
    one.
    """

    every: PositiveSpan
    lasts: PositiveSpan
    closes: Probability = 0.0


class Leave(Frozen):
    """The hazard, for each lease, that the provider closes it."""

    mean: PositiveSpan


class ProviderCohort(Frozen):
    """Providers of one kind."""

    name: Name
    count: PositiveCount = 1
    config: Annotated[ProviderFile | None, WithJsonSchema({"type": ["string", "object", "null"]})] = Field(
        default=None, description="path of a provider file; inlined when loaded"
    )
    nodes: tuple[Node, ...] | None = None
    capacity: Capacity | None = Field(default=None, validate_default=True, description="per provider")
    lease_capacity: PositiveCount | None = None
    overcommit: Overcommit = Overcommit()
    attributes: dict[Text, Text] = Field(default_factory=dict)
    regions: tuple[Text, ...] = ()
    signed_by: dict[Text, dict[Text, Text]] = Field(default={}, description="per auditor the attributes it signed")
    wallet: Coins = parse_coins("200VE")
    spread: Number = 0.0
    strategy: Strategy = Field(default=Strategy(kind="cost_plus"), validate_default=True)
    repricing: Repricing | None = None
    latency: DurationLaw = DurationLaw(lognormal=Lognormal[Span](median=Duration(1_500), p95=Duration(5_000)))
    rate_limit: RateLimit | None = None
    outages: Outages | None = None
    leave: Leave | None = None
    withdraw_every: PositiveSpan | None = Field(default=None, description="default: the scenario's")
    cost_share: Number = 1.0
    window: Span | None = Field(default=None, description="reclamation window offered (rules: akash)")

    @model_validator(mode="before")
    @classmethod
    def _default_strategy(cls, data: Any) -> Any:
        if isinstance(data, dict) and "strategy" not in data and data.get("config") is None:
            return data | {"strategy": "monthly_targets"}
        return data

    @field_validator("capacity")
    @classmethod
    def _some_capacity(cls, value: Capacity | None, info: ValidationInfo) -> Capacity | None:
        if "nodes" not in info.data or (value is None) != (info.data["nodes"] is None):
            return value
        if value is not None:
            raise ValueError("stands beside nodes, give one of the two (with nodes the capacity is their sum)")
        raise ValueError("is missing, write capacity: {cpu: 64000, memory: 256Gi, storage: 4Ti, gpu: 0} or nodes")

    @field_validator("strategy")
    @classmethod
    def _has_prices(cls, value: Strategy, info: ValidationInfo) -> Strategy:
        if value.kind in ("cost_plus", "utilization", "undercut") and info.data.get("config", "") is None:
            raise ValueError(f"'{value.kind}' needs unit prices, give config: with a provider file, or strategy: monthly_targets")
        return value
