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
from marketsim.strategies.find import is_reference

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

    cpu: MillicoresLaw = Field(description="CPU of a provider")
    memory: SizeLaw = Field(description="memory of a provider")
    storage: SizeLaw = Field(description="storage of a provider")
    gpu: CountLaw = Field(default=CountLaw(constant=0), description="GPUs of a provider")


class Machines(Frozen):
    """`count` machines alike; an order must fit on them unit by unit."""

    count: PositiveCount = Field(default=1, description="machines of this kind")
    cpu: Millicores = Field(description="CPU of a machine")
    memory: Size = Field(description="memory of a machine")
    storage: Size = Field(description="storage of a machine")
    gpu: Count = Field(default=0, description="GPUs of a machine")


class Overcommit(Frozen):
    """How much of a resource is promised per unit that exists; GPUs are never over-committed."""

    cpu: PositiveNumber = Field(default=1.0, description="millicores promised for each that exists")
    memory: PositiveNumber = Field(default=1.0, description="bytes of memory promised for each that exists")
    storage: PositiveNumber = Field(default=1.0, description="bytes of storage promised for each that exists")


class ScalePrices(Frozen):
    """Akash scale pricing: uve per millicore, MiB, MiB, endpoint and leased address (protocol.md §4.2)."""

    cpu: Money = Field(default=parse_money("0.004uve"), description="price of a millicore per block")
    memory: Money = Field(default=parse_money("0.0016uve"), description="price of a MiB of memory per block")
    storage: Money = Field(default=parse_money("0.00016uve"), description="price of a MiB of storage per block")
    endpoint: Money = Field(default=parse_money("1uve"), description="price of an endpoint per block")
    ip: Money = Field(default=parse_money("60uve"), description="price of a leased address per block")


Usd = Annotated[Decimal, exact("0", "1000000000", 18)]


class MonthlyTargetPrices(Frozen):
    """The generic script's targets in USD a month (protocol.md §4.2); 1 VE is 1 USD."""

    cpu: Usd = Field(default=Decimal("1.60"), description="USD a month for 1000 millicores")
    memory: Usd = Field(default=Decimal("0.80"), description="USD a month for a GiB of memory")
    hd_ephemeral: Usd = Field(default=Decimal("0.02"), description="USD a month for a GiB of storage that is not kept")
    hd_pers_hdd: Usd = Field(default=Decimal("0.01"), description="USD a month for a GiB of class beta1 that is kept")
    hd_pers_ssd: Usd = Field(default=Decimal("0.03"), description="USD a month for a GiB of class beta2 that is kept")
    hd_pers_nvme: Usd = Field(default=Decimal("0.04"), description="USD a month for a GiB of class beta3 that is kept")
    endpoint: Usd = Field(default=Decimal("0.05"), description="USD a month for an endpoint")
    ip: Usd = Field(default=Decimal("5"), description="USD a month for a leased address")
    gpu: Usd = Field(
        default=Decimal("100"),
        description="USD a month for a GPU of a model that gpu_mappings does not list, where none of those listed is dearer",
    )
    gpu_mappings: dict[Text, Usd] = Field(default={}, description="USD a month for a GPU by model, model.ram or model.ram.interface")


Followed = Literal["cpu", "memory", "storage", "gpu", "scarcest"]


class UtilizationSteps(Frozen):
    """Base cost × a multiplier from `low` (empty) to `high` (full), in steps of `step`."""

    follows: Followed = Field(
        default="scarcest",
        description="the resource whose use counts; scarcest: of those that the provider has, the one most used at the time",
    )
    low: Number = Field(default=0.8, description="multiplier of an empty provider")
    high: Number = Field(default=1.5, description="multiplier of a full one")
    step: PositiveNumber = Field(
        default=0.05, description="the multiplier is rounded down to whole steps of this size above low; looked at every hour"
    )


class Undercut(Frozen):
    """The last winning price less this share, never below the base cost."""

    by: Annotated[float, number(0.0, 1.0)] = Field(default=0.01, description="share taken off the last winning price per millicore")


class StrategyChoice(Frozen):
    """How a provider prices an order."""

    short_forms = ({"enum": ["cost_plus", "random_range", "scale", "monthly_targets", "utilization", "undercut"]},)

    kind: Literal["cost_plus", "scale", "monthly_targets", "random_range", "utilization", "undercut", "script", "python", "agent"] = Field(
        default="cost_plus", description="the strategy by name; it need not stand where a key below does"
    )
    scale: ScalePrices | None = Field(default=None, description="a price for each unit of resource (Akash's scale pricing)")
    monthly_targets: MonthlyTargetPrices | None = Field(default=None, description="the targets of Akash's generic script")
    utilization: UtilizationSteps | None = Field(
        default=None, description="config's prices times a multiplier that follows the provider's own use"
    )
    undercut: Undercut | None = Field(
        default=None, description="a little less than the last price that won, never below config's price with its margin"
    )
    script: Text | None = Field(
        default=None, description="path of an executable: it gets the request as JSON on standard input and prints a price"
    )
    python: Text | None = Field(default=None, description="module:Class of your own, or the name of an entry point (docs/strategies.md)")
    options: dict[Text, Any] = Field(
        default_factory=dict, description="python: keyword arguments that the class is built with: numbers, texts, lists of them"
    )
    each: Literal["cohort", "provider"] | None = Field(
        default=None,
        description="python: whether one object prices for the whole cohort or each provider has its own; cohort where the class has "
        "`decide`, else provider",
    )

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
        if isinstance(data, dict) and data.get("kind") == "agent" and len(data) == 1:
            return data
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
        if value is not None and not is_reference(value):
            raise ValueError(f"{shown(value)} is not a class, write module:Class or the name of an entry point")
        return value

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any) -> Any:
        if self.kind in ("cost_plus", "random_range", "agent"):
            return self.kind
        dumped = handler(self)
        more = ("options",) * bool(self.options) + ("each",) * (self.each is not None)
        return {key: dumped[key] for key in (self.kind, *more)}

    @model_validator(mode="after")
    def _of_python(self) -> StrategyChoice:
        if self.kind != "python" and (self.options or self.each is not None):
            key = "options" if self.options else "each"
            raise ValueError(f"{key} is for a class of your own, give it beside python")
        return self


class Repricing(Frozen):
    """A price multiplier that follows utilization: above `high` × `up`, below `low` × `down`, clamped to
    [min, max].
    """

    follows: Followed = Field(
        default="scarcest",
        description="the resource whose use counts; scarcest: of those that the provider has, the one most used at the time",
    )
    every: PositiveSpan = Field(default=Duration(86_400_000), description="how often the multiplier moves")
    high: Probability = Field(default=0.8, description="share of the followed resource in use above which it rises")
    low: Probability = Field(default=0.3, description="share in use below which it falls")
    up: PositiveNumber = Field(default=1.05, description="what it is multiplied by to rise")
    down: PositiveNumber = Field(default=0.95, description="what it is multiplied by to fall")
    min: PositiveNumber = Field(default=0.5, description="the least multiplier")
    max: Annotated[float, number(0.0, above=True)] = Field(default=2.0, validate_default=True, description="the largest multiplier")

    @field_validator("max")
    @classmethod
    def _ordered(cls, value: float, info: ValidationInfo) -> float:
        if "min" in info.data and value < info.data["min"]:
            raise ValueError("is below min, give max of at least min")
        return value


class BidRates(Frozen):
    """The most bids in any minute and any hour."""

    per_minute: PositiveCount | None = Field(default=10, description="most bids in any minute, at most 128; null: no limit")
    per_hour: PositiveCount | None = Field(default=100, description="most bids in any hour, at most 128; null: no limit")


class Outages(Frozen):
    """Exponential times between outages and exponential lengths; `closes` is the share of leases closed at
    one.
    """

    every: PositiveSpan = Field(description="mean time from the end of an outage to the next, exponential")
    lasts: PositiveSpan = Field(description="mean length of an outage, exponential")
    closes: Probability = Field(default=0.0, description="share of a provider's leases that an outage ends")


class Leave(Frozen):
    """The hazard, for each lease, that the provider closes it."""

    mean: PositiveSpan = Field(description="mean time until a provider ends a lease, exponential, drawn for each lease")


class UsageReports(Frozen):
    """How the use of a provider's leases comes to the chain."""

    short_forms = ({"enum": ["metered", "manual"]},)

    kind: Literal["metered", "manual", "reported"] = Field(
        default="metered",
        description="metered: exact at every settlement; manual: by messages submit_usage alone; reported: by a report every usage_every",
    )
    factor: Annotated[float, number(0.0, 1.0)] = Field(default=1.0, description="reported: share of what was used that is reported")
    delay: Span = Field(default=Duration(0), description="reported: how late reports come; past the scenario's usage_grace they are lost")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data not in ("metered", "manual"):
                raise ValueError(f"{shown(data)} is no way to report use, write metered, manual or {{factor: 0.6, delay: 1h}}")
            return {"kind": data}
        return {"kind": "reported"} | data if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _of_reports(self) -> UsageReports:
        if self.kind != "reported" and (self.factor != 1.0 or self.delay.amount):
            raise ValueError(f"factor and delay stand beside kind: {self.kind}, they are for what is reported: leave kind out")
        return self

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any) -> Any:
        return handler(self) if self.kind == "reported" else self.kind


class ProviderCohort(Frozen):
    """Providers of one kind."""

    name: Name = Field(description="names the cohort: its providers are edge-0, edge-1, …, its random streams begin with it")
    count: PositiveCount = Field(default=1, description="number of providers")
    config: Annotated[ProviderFile | None, WithJsonSchema({"type": ["string", "object", "null"]})] = Field(
        default=None, description="path of a provider file: unit prices, margin, limits and filters of the bid engine; inlined when loaded"
    )
    nodes: tuple[Machines, ...] | None = Field(
        default=None, description="the machines of each provider: every unit of an order must fit on one; in place of capacity"
    )
    capacity: Capacity | None = Field(default=None, validate_default=True, description="what each provider has, drawn once")
    lease_capacity: PositiveCount | None = Field(default=None, description="most leases that a provider holds at a time; none: no limit")
    overcommit: Overcommit = Field(default=Overcommit(), description="how much is promised of what there is")
    attributes: dict[Text, Text] = Field(default_factory=dict, description="what providers claim: orders ask for it")
    regions: tuple[Text, ...] = Field(default=(), description="values of the attribute region, given to the providers in turn")
    signed_by: dict[Text, dict[Text, Text]] = Field(default={}, description="what auditors signed for them: attributes by auditor")
    wallet: Coins = Field(default=parse_coins("200VE"), description="what each owns at the start, for deposits of bids and fees")
    spread: Number = Field(
        default=0.0, description="standard deviation of the logarithm of a factor on each provider's unit prices, drawn once"
    )
    strategy: StrategyChoice = Field(
        default=StrategyChoice(kind="cost_plus"),
        validate_default=True,
        description="how orders are priced; cost_plus with config, else monthly_targets",
    )
    repricing: Repricing | None = Field(default=None, description="prices that follow the provider's own use")
    latency: DurationLaw = Field(
        default=DurationLaw(lognormal=Lognormal[Span](median=Duration(1_500), p95=Duration(5_000))),
        description="time from an order to the engine's bid, drawn for each bid; cut to 4094 blocks",
    )
    rate_limit: BidRates | None = Field(default=None, description="most bids in a time; none: no limit")
    outages: Outages | None = Field(default=None, description="random times at which a provider neither bids nor serves; none: always up")
    leave: Leave | None = Field(default=None, description="providers that end leases early; none: never")
    withdraw_every: PositiveSpan | None = Field(
        default=None, description="how often these providers withdraw, in place of the scenario's withdraw_every"
    )
    usage: UsageReports = Field(
        default=UsageReports(), description="how use is reported where a lease is charged by it: metered, manual, or {factor: …, delay: …}"
    )
    cost_share: Number = Field(
        default=1.0, description="cost of serving as a share of the unit prices without margin: only welfare metrics look at it"
    )
    window: Span | None = Field(default=None, description="notice that providers offer before they take a lease back (rules: akash)")

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
    def _has_prices(cls, value: StrategyChoice, info: ValidationInfo) -> StrategyChoice:
        if value.kind in ("cost_plus", "utilization", "undercut") and info.data.get("config", "") is None:
            raise ValueError(f"'{value.kind}' needs unit prices, give config: with a provider file, or strategy: monthly_targets")
        return value
