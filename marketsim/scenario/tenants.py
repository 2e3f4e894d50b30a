"""The tenant cohorts of a scenario: demand, orders, what they pay and how they behave."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, ValidationInfo, WithJsonSchema, field_validator, model_serializer, model_validator

from marketsim.chain.limits import CPU_MAX, CPU_MIN, GPU_MAX, MEMORY_MAX, MEMORY_MIN, UNIT_PRICE_MAX, VOLUME_MAX, VOLUME_MIN
from marketsim.money.units import ATTO
from marketsim.scenario.distributions import FAMILIES, Choice, Distribution, Frozen, Law, Lognormal
from marketsim.scenario.literals import (
    Coins,
    Count,
    Duration,
    EventRate,
    Millicores,
    Money,
    Number,
    OptionalText,
    PositiveCount,
    PositiveNumber,
    PositiveSpan,
    Probability,
    Reading,
    Size,
    Span,
    Text,
    format_money,
    number,
    parse_coins,
    shown,
)
from marketsim.scenario.own_code import own_options, own_reference
from marketsim.scenario.sdl import Sdl

_PROFILES_KEPT = 256
_NAME = "(?![0-9]+$)[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"
_NAME_HELP = "write up to 80 of the letters A to Z and a to z, digits, _ and, not as the first, -; digits alone are no name"


def _name(value: object) -> str:
    if not isinstance(value, str) or re.fullmatch(_NAME, value) is None:
        raise ValueError(f"{shown(value)} is not a name, {_NAME_HELP}")
    return value


Name = Annotated[str, Reading(_name, {"type": "string", "pattern": f"^{_NAME}$"}, takes="name (up to 80 letters, digits, - and _)")]


class DurationLaw(Distribution[Span]):
    """A duration, or a distribution of durations."""


class MoneyLaw(Distribution[Money]):
    """An amount of money, or a distribution of amounts."""


class NumberLaw(Distribution[Number]):
    """A number, or a distribution of numbers."""


class ShareLaw(Distribution[Probability]):
    """A share of 0 to 1, or a distribution of shares; draws above 1 count as 1."""


class CountLaw(Distribution[Count]):
    """A whole number, or a distribution of whole numbers."""


class SizeLaw(Distribution[Size]):
    """Bytes, or a distribution of bytes."""


class MillicoresLaw(Distribution[Millicores]):
    """Millicores, or a distribution of millicores."""


class TextLaw(Frozen):
    """A text, or a choice of texts (null: none)."""

    short_forms = ("constant",)

    constant: OptionalText = Field(default=None, description="always this; a bare text means the same")
    choice: Choice[OptionalText] | None = Field(default=None, description="one of several texts, null for none")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data if isinstance(data, cls) else {"constant": data}
        if len([key for key in ("constant", "choice") if data.get(key) is not None]) != 1:
            raise ValueError("is no text, write one, or {choice: {values: [a, b], weights: [1, 2]}}")
        return data

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any) -> Any:
        if self.choice is None:
            return self.constant
        return {"choice": {key: part for key, part in handler(self)["choice"].items() if part is not None}}

    def law(self) -> Law:
        """The texts and their shares, for whoever draws."""
        values, shares = ((self.constant,), (1.0,)) if self.choice is None else self.choice.shares()
        return Law("choice", 0.0, 0.0, values, shares, 0.0, math.inf, "", False)


def is_law(data: object) -> bool:
    """Whether raw data is the mapping form of a distribution."""
    return isinstance(data, dict) and any(family in data for family in FAMILIES)


class Bursts(Frozen):
    """Times of multiplied demand: exponential gaps of mean `every`, each lasting `lasts`."""

    every: PositiveSpan = Field(description="mean time from the end of a burst to the next, exponential")
    factor: PositiveNumber = Field(description="what the rate is multiplied by")
    lasts: PositiveSpan = Field(description="length of a burst")


class Surge(Frozen):
    """One time of multiplied demand: `factor` times as much from `at` on, for `lasts`; surges that overlap multiply."""

    at: Span = Field(description="time from the start of the run")
    lasts: PositiveSpan = Field(description="length of the surge")
    factor: Number = Field(description="what the rate is multiplied by")


SOURCES = ("arrivals", "arrivals_each", "trace", "python", "orders")


class Demand(Frozen):
    """When orders arrive: exactly one of `arrivals`, `arrivals_each`, `trace`, `python`, `orders`.

    Profiles, bursts and surges say how the rate moves; of `orders` they move the times and not the number.
    """

    short_forms = ("arrivals",)

    arrivals: EventRate | None = Field(default=None, description="mean rate of the whole cohort's orders, a Poisson process")
    arrivals_each: EventRate | None = Field(
        default=None, description="mean rate of each tenant's orders; one tenant more changes no other's"
    )
    trace: Text | None = Field(
        default=None,
        description="path of a CSV or parquet file with a column at_seconds, and if need be cpu, memory, storage, gpu and duration_seconds",
    )
    python: Text | None = Field(
        default=None,
        description="module:Class of your own that says day by day when orders arrive and how large they are, "
        "or the name of an entry point (docs/demand.md)",
    )
    options: dict[Text, Any] = Field(
        default_factory=dict, description="python: keyword arguments that the class is built with: numbers, texts, lists of them"
    )
    orders: PositiveCount | None = Field(
        default=None, validate_default=True, description="exactly so many orders; profiles, bursts and surges move their times"
    )
    within: PositiveSpan | None = Field(
        default=None, description="what orders are spread over; the horizon written in the file unless given"
    )
    day_profile: tuple[Number, ...] | None = Field(
        default=None, description="24 numbers by which the rate is multiplied, one for each hour of the day (UTC)"
    )
    week_profile: tuple[Number, ...] | None = Field(default=None, description="7 numbers by which the rate is multiplied, Monday first")
    normalise: StrictBool = Field(
        default=True, validate_default=True, description="true: profiles are relative, scaled to a mean of 1; false: plain multipliers"
    )
    bursts: Bursts | None = Field(default=None, description="times at which orders come faster")
    surges: tuple[Surge, ...] = Field(default=(), description="times of multiplied demand at given moments")

    @model_validator(mode="before")
    @classmethod
    def _whole_cohort(cls, data: object) -> object:
        return {"arrivals": data} if isinstance(data, str) else data

    @field_validator("orders")
    @classmethod
    def _one_source(cls, value: int | None, info: ValidationInfo) -> int | None:
        if not {*SOURCES[:4]} <= info.data.keys():
            return value
        given = [key for key in SOURCES[:4] if info.data[key] is not None]
        given += ["orders"] if value is not None else []
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"found {found}, give exactly one of {', '.join(SOURCES)}")
        return value

    @field_validator("python")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        return own_reference(value, "module:Class")

    @field_validator("options")
    @classmethod
    def _of_a_class(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return own_options(value, info)

    @field_validator("within")
    @classmethod
    def _of_orders(cls, value: Duration | None, info: ValidationInfo) -> Duration | None:
        if value is not None and "orders" in info.data and info.data["orders"] is None:
            raise ValueError("says what orders: is spread over, give orders or leave it out")
        return value

    @field_validator("day_profile", "week_profile")
    @classmethod
    def _profile(cls, value: tuple[float, ...] | None, info: ValidationInfo) -> tuple[float, ...] | None:
        wanted = 24 if info.field_name == "day_profile" else 7
        if value is not None and len(value) != wanted:
            raise ValueError(f"has {len(value)} numbers, give {wanted}")
        if value is not None and sum(value) <= 0:
            raise ValueError("is all zero, give at least one number above 0")
        return value

    @field_validator("normalise")
    @classmethod
    def _of_profiles(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and {"day_profile", "week_profile"} <= info.data.keys():
            if info.data["day_profile"] is None and info.data["week_profile"] is None:
                raise ValueError("stands without a profile, give day_profile or week_profile or leave it out")
        return value

    @field_validator("day_profile", "week_profile", "bursts", "surges")
    @classmethod
    def _beside_a_rate(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("trace") is not None:
            raise ValueError(f"a trace has its own times, leave {info.field_name} out")
        if value and info.data.get("python") is not None:
            raise ValueError(f"a class of your own says the times, leave {info.field_name} out")
        return value

    @property
    def day_multipliers(self) -> tuple[float, ...]:
        """24 multipliers, of mean 1 where profiles are relative."""
        return _multipliers(self.day_profile or (1.0,) * 24, self.normalise)

    @property
    def week_multipliers(self) -> tuple[float, ...]:
        """7 multipliers, Monday first, of mean 1 where profiles are relative."""
        return _multipliers(self.week_profile or (1.0,) * 7, self.normalise)


@lru_cache(maxsize=_PROFILES_KEPT)
def _multipliers(profile: tuple[float, ...], normalise: bool) -> tuple[float, ...]:
    mean = sum(profile) / len(profile) if normalise else 1.0
    return tuple(value / mean for value in profile)


class Signers(Frozen):
    """Auditors whose signatures an order asks for."""

    all_of: tuple[Text, ...] = Field(default=(), description="auditors that must all have signed")
    any_of: tuple[Text, ...] = Field(default=(), description="auditors of whom one must have signed")


_SDL_SCHEMA = {
    "description": "path of a manifest, or a list of {sdl: path, weight: number}",
    "anyOf": [{"type": "string"}, {"type": "object"}, {"type": "array"}, {"type": "null"}],
}


class WeightedSdl(Frozen):
    """A manifest (inlined) and how often it is chosen."""

    sdl: Sdl = Field(description="path of a manifest")
    weight: PositiveNumber = Field(default=1.0, description="how often it is chosen, relative to the others")
    name: Text = Field(
        default="manifest",
        description="what paths such as tenants.web.order.sdl.NAME.weight call it; the name of the file without its ending",
    )


_ORDER_LIMITS = {
    "cpu": (CPU_MIN, CPU_MAX, " millicores"),
    "memory": (MEMORY_MIN, MEMORY_MAX, ""),
    "storage": (VOLUME_MIN, VOLUME_MAX, ""),
    "gpu": (0, GPU_MAX, ""),
}


def _size_text(value: int, unit: str) -> str:
    for size, name in ((1 << 40, "Ti"), (1 << 20, "Mi")):
        if value >= size and value % size == 0:
            return f"{value // size}{name}"
    return f"{value}{unit}"


class OrderShape(Frozen):
    """What an order asks for: sizes drawn from distributions, or SDL manifests."""

    sdl: Annotated[tuple[WeightedSdl, ...] | None, WithJsonSchema(_SDL_SCHEMA)] = Field(
        default=None, description="path of a manifest, or a list of {sdl: path, weight: number}, in place of cpu, memory and storage"
    )
    cpu: MillicoresLaw | None = Field(default=None, validate_default=True, description="CPU of an order")
    memory: SizeLaw | None = Field(default=None, description="memory of an order")
    memory_per_core: SizeLaw | None = Field(
        default=None, validate_default=True, description="memory for each 1000 millicores, in place of memory"
    )
    storage: SizeLaw | None = Field(default=None, validate_default=True, description="storage of an order, one volume")
    gpu: CountLaw = Field(default=CountLaw(constant=0), description="GPUs of an order")
    gpu_model: TextLaw | None = Field(
        default=None,
        description=(
            "model of the GPUs as vendor-model such as nvidia-a100; providers need the attribute capabilities/gpu/vendor/nvidia/model/a100"
        ),
    )
    endpoints: Count = Field(default=0, validate_default=True, description="endpoints of an order given by sizes")
    region: TextLaw | None = Field(default=None, description="the attribute region that a provider must have; null for none")
    attributes: dict[Text, Text] = Field(default_factory=dict, description="attributes that a provider must have")
    signed_by: Signers = Field(default=Signers(), description="auditors that must have signed the attributes")
    window: Span | None = Field(default=None, description="notice that a provider must give before it takes a lease back (rules: akash)")

    @model_validator(mode="before")
    @classmethod
    def _manifests(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("sdl") is None or isinstance(data["sdl"], (list, tuple)):
            return data
        return data | {"sdl": [{"sdl": data["sdl"]}]}

    @field_validator("cpu", "memory", "storage", "gpu")
    @classmethod
    def _in_limits(cls, value: Any, info: ValidationInfo) -> Any:
        low, high, unit = _ORDER_LIMITS[str(info.field_name)]
        for literal in () if value is None else value.literals(spread=False):
            if not low <= literal <= high:
                hint = f"; {shown(literal)} cores are written {literal * 1000} or {literal} cores" if unit and 0 < literal < low else ""
                raise ValueError(
                    f"{shown(literal)}{unit} is {'below' if literal < low else 'above'} what an order can ask for, "
                    f"give {_size_text(low, unit)} to {_size_text(high, unit)}{hint}"
                )
        return value

    @field_validator("cpu", "storage")
    @classmethod
    def _sizes_or_sdl(cls, value: Any, info: ValidationInfo) -> Any:
        if "sdl" in info.data and (value is None) == (info.data["sdl"] is None):
            wrong = "is missing" if value is None else "stands beside sdl"
            raise ValueError(f"{wrong}, an order has either cpu, memory and storage or sdl")
        return value

    @field_validator("endpoints")
    @classmethod
    def _endpoints_of_sizes(cls, value: int, info: ValidationInfo) -> int:
        if value and info.data.get("sdl") is not None:
            raise ValueError("stands beside sdl, a manifest says what it exposes")
        return value

    @field_validator("memory_per_core")
    @classmethod
    def _one_memory(cls, value: Any, info: ValidationInfo) -> Any:
        if not {"sdl", "memory"} <= info.data.keys():
            return value
        memory = info.data["memory"]
        if info.data["sdl"] is not None:
            if value is not None or memory is not None:
                raise ValueError("memory stands beside sdl, an order has either cpu, memory and storage or sdl")
        elif (value is None) == (memory is None):
            raise ValueError(f"found {'neither' if value is None else 'both'}, give either memory or memory_per_core")
        return value


class PriceRule(Frozen):
    """A price per block: a multiple of the generic-target cost, or an amount."""

    short_forms = ("per_block",)

    times_cost: NumberLaw | None = Field(
        default=None,
        description=(
            "multiple of what the order costs at the generic monthly targets (1.60 USD a core, 0.80 a GiB of memory, 0.02 "
            "of storage, 100 a GPU)"
        ),
    )
    per_block: MoneyLaw | None = Field(default=None, validate_default=True, description="amount per block")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, cls) or (isinstance(data, dict) and not is_law(data)):
            return data
        return {"per_block": data}

    @field_validator("per_block")
    @classmethod
    def _one(cls, value: Any, info: ValidationInfo) -> Any:
        if "times_cost" in info.data and (value is None) == (info.data["times_cost"] is None):
            raise ValueError("give exactly one of times_cost and per_block, or a bare price per block such as 25uve")
        return value


class Ceiling(PriceRule):
    """The most an order pays per block: a share of its value, or a price drawn apart from it."""

    share_of_value: ShareLaw | None = Field(default=None, validate_default=True, description="share of the order's value")
    times_cost: NumberLaw | None = Field(
        default=None, description="multiple of what the order costs at the generic monthly targets, drawn apart from its value"
    )
    per_block: MoneyLaw | None = Field(default=None, description="amount per block, drawn apart from its value")

    @field_validator("share_of_value")
    @classmethod
    def _one(cls, value: Any, info: ValidationInfo) -> Any:
        if {"times_cost", "per_block"} <= info.data.keys():
            given = sum(v is not None for v in (info.data["times_cost"], info.data["per_block"], value))
            if given != 1:
                raise ValueError("give exactly one of share_of_value, times_cost and per_block, or a bare price per block such as 25uve")
        return value


DEPOSIT_MAX = 4 * 10**18
"""The most whole uve that an order's deposit may be."""


class DepositRule(Frozen):
    """What a tenant deposits: an amount, or funds for so many blocks at the ceiling or at the generic
    cost.
    """

    short_forms = ("amount",)

    blocks: CountLaw | None = Field(default=None, description="so many blocks at the order's ceiling")
    price_blocks: CountLaw | None = Field(default=None, description="so many blocks at the generic cost")
    amount: MoneyLaw | None = Field(default=None, validate_default=True, description="an amount, sent as it is")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, cls) or (isinstance(data, dict) and not is_law(data)):
            return data
        return {"amount": data}

    @field_validator("amount")
    @classmethod
    def _one(cls, value: Any, info: ValidationInfo) -> Any:
        for amount in () if value is None else value.literals(spread=False):
            if amount % ATTO or not 0 < amount <= DEPOSIT_MAX * ATTO:
                raise ValueError(f"{format_money(amount)} cannot be deposited, give whole uve from 1uve to {DEPOSIT_MAX}uve")
        if {"blocks", "price_blocks"} <= info.data.keys():
            given = sum(v is not None for v in (info.data["blocks"], info.data["price_blocks"], value))
            if given != 1:
                raise ValueError("give exactly one of blocks, price_blocks and amount, or a bare amount such as 5VE")
        return value


class AfterDepletion(Frozen):
    """Top up only once the account has run dry, `delay` later."""

    delay: DurationLaw = Field(
        default=DurationLaw(constant=Duration(1, in_blocks=True)), description="time from running dry to the top-up, drawn each time"
    )


class TopUp(Frozen):
    """When and how a tenant adds funds: while few blocks are left, or after depletion."""

    after_depletion: AfterDepletion | None = Field(default=None, description="top up once the account has run dry, rather than before")
    when_blocks_left: PositiveCount | None = Field(
        default=None, validate_default=True, description="top up when funds are left for so many blocks; 1200 unless after_depletion stands"
    )
    blocks: CountLaw = Field(default=CountLaw(constant=14_400), description="how much: so many blocks at the order's ceiling")
    times: CountLaw = Field(default=CountLaw(constant=3), description="how many times at most, for each order")
    probability: Probability = Field(default=1.0, description="share of orders whose tenant tops up at all")
    delay: DurationLaw = Field(default=DurationLaw(constant=Duration(0)), description="how much later than when_blocks_left says")

    @field_validator("delay")
    @classmethod
    def _own_delay(cls, value: DurationLaw, info: ValidationInfo) -> DurationLaw:
        if info.data.get("after_depletion") is not None and value != DurationLaw(constant=Duration(0)):
            raise ValueError("stands beside after_depletion, which has a delay of its own: write after_depletion: {delay: …}")
        return value

    @field_validator("when_blocks_left")
    @classmethod
    def _one_trigger(cls, value: int | None, info: ValidationInfo) -> int | None:
        if "after_depletion" not in info.data:
            return value
        if value is not None and info.data["after_depletion"] is not None:
            raise ValueError("stands beside after_depletion, give one of the two")
        return 1_200 if value is None and info.data["after_depletion"] is None else value


class Score(Frozen):
    """Weights of a bid's score; the highest score wins.

    Score = `price` x cheapest price / price + `uptime` x share of time up + `audit` when signed + `region` when in
    the tenant's home region.
    """

    price: Annotated[float, number(-1e6, 1e6)] = Field(default=1.0, description="weight of cheapness: the cheapest price over the bid's")
    uptime: Annotated[float, number(-1e6, 1e6)] = Field(
        default=0.0, description="weight of the share of time that the provider is up, by its outages"
    )
    audit: Annotated[float, number(-1e6, 1e6)] = Field(default=0.0, description="weight of having been signed by an auditor")
    region: Annotated[float, number(-1e6, 1e6)] = Field(default=0.0, description="weight of being in the tenant's home_region")


class RuleChoice(Frozen):
    """Which bid a tenant takes."""

    short_forms = ({"enum": ["lowest_price", "score"]},)

    kind: Literal["lowest_price", "score", "random_among_cheapest", "python"] = Field(
        default="lowest_price", description="the rule by name; it need not stand where score, random_among_cheapest or python does"
    )
    score: Score | None = Field(default=None, description="take the bid of the highest score, by these weights")
    random_among_cheapest: PositiveCount | None = Field(default=None, description="take one of so many cheapest bids at random")
    python: Text | None = Field(default=None, description="module:Class of your own, or the name of an entry point (docs/choice-rules.md)")
    options: dict[Text, Any] = Field(
        default_factory=dict, description="python: keyword arguments that the class is built with: numbers, texts, lists of them"
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data == "score":
                return {"kind": data, "score": {}}
            if data == "lowest_price":
                return {"kind": data}
            raise ValueError(
                f"{shown(data)} is not a choice rule, write lowest_price, {{score: {{price: 1}}}}, {{random_among_cheapest: 3}} "
                "or {python: module:Class}"
            )
        if isinstance(data, dict) and "kind" not in data:
            given = [key for key in ("score", "random_among_cheapest", "python") if data.get(key) is not None]
            if len(given) > 1:
                raise ValueError(f"found {' and '.join(given)}, give one of them")
            if given:
                return data | {"kind": given[0]}
        return data

    @field_validator("python")
    @classmethod
    def _reference(cls, value: str | None) -> str | None:
        return own_reference(value, "module:Class")

    @field_validator("options")
    @classmethod
    def _of_a_class(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return own_options(value, info)

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any) -> Any:
        if self.kind == "lowest_price":
            return self.kind
        dumped = handler(self)
        return {key: dumped[key] for key in (self.kind, *("options",) * bool(self.options))}


class Restart(Frozen):
    """Whether a tenant starts its group again after a provider left."""

    probability: Probability = Field(default=0.9, description="chance, each time, that it does")
    delay: DurationLaw = Field(default=DurationLaw(constant=Duration(1, in_blocks=True)), description="how long that takes")


class React(Frozen):
    """A tenant that reads the outcome of its order and may order again, with a raised ceiling."""

    short_forms = ({"type": "boolean"},)

    retry: Count = Field(default=2, description="how many times at most an order is made again")
    raise_ceiling: PositiveNumber = Field(default=1.2, description="what the ceiling is multiplied by each time")


class TenantCohort(Frozen):
    """Tenants of one kind."""

    name: Name = Field(description="names the cohort: its tenants are web-0, web-1, …, its random streams begin with it")
    count: PositiveCount = Field(default=1, description="number of tenants; the cohort's orders are spread over them evenly at random")
    wallet: Coins = Field(
        default=parse_coins("5000VE"), description="what each owns at the start; who cannot pay a deposit or fee is refused"
    )
    demand: Demand = Field(description="when the cohort's orders arrive: a rate for the whole cohort, or a mapping")
    order: OrderShape = Field(description="what an order asks for")
    value: PriceRule | None = Field(
        default=None,
        validate_default=True,
        description="what a block of service is worth to the tenant; without it 1.5 times the generic cost, with sdl the manifest's prices",
    )
    ceiling: Ceiling | None = Field(
        default=None,
        validate_default=True,
        description="the most an order pays per block, drawn for each order; without it all of its value, with sdl the manifest's prices",
    )
    duration: DurationLaw = Field(
        default=DurationLaw(lognormal=Lognormal[Span](median=Duration(86_400_000), sigma=1.2)),
        description="how long a workload runs from its first lease to its planned end",
    )
    terminate_after: DurationLaw | None = Field(
        default=None, description="when the tenant ends a workload early, counted from its first lease; none, or later than duration: never"
    )
    patience: Span = Field(
        default=Duration(100, in_blocks=True),
        description="how long a tenant leaves an order open that found no lease, where there is no order_timeout",
    )
    home_region: TextLaw | None = Field(
        default=None,
        description=(
            "region of the tenant's own users, drawn once for each tenant; a choice by score weighs it, nothing is required of providers"
        ),
    )
    choice: RuleChoice = Field(default=RuleChoice(), validate_default=True, description="which of the acceptable bids a tenant takes")
    never_choose: Probability = Field(default=0.0, description="share of orders for which the tenant takes no bid at all")
    deposit: DepositRule = Field(
        default=DepositRule(blocks=CountLaw(constant=14_400)), description="what an order's escrow account gets at the start"
    )
    top_up: TopUp | None = Field(default=None, description="when and how a tenant adds funds; without it never")
    deploy_delay: DurationLaw = Field(
        default=DurationLaw(constant=Duration(10, in_blocks=True)),
        description="time from a lease to its activation; above 5 minutes the lease is closed for want of a manifest (rules: seed)",
    )
    restart: Restart = Field(default=Restart(), description="whether a tenant whose provider left lists its order again")
    utilization: NumberLaw = Field(
        default=NumberLaw(constant=1.0),
        description="share of what it leases that a workload uses, drawn for each order (charging by usage)",
    )
    react: React | None = Field(
        default=None, description="tenants that watch their orders and order again with a higher ceiling; true stands for its defaults"
    )

    @field_validator("ceiling")
    @classmethod
    def _ceiling_in_limits(cls, value: Ceiling | None) -> Ceiling | None:
        amounts = [] if value is None or value.per_block is None else value.per_block.literals(spread=False)
        for amount in amounts:
            if amount > UNIT_PRICE_MAX * ATTO:
                raise ValueError(f"{format_money(amount)} is above what an order can offer, give at most {UNIT_PRICE_MAX}uve a block")
        if value is not None and value.times_cost is not None and value.times_cost.constant == 0:
            raise ValueError("0 times the cost is no price, give a number above 0")
        return value

    @field_validator("value")
    @classmethod
    def _default_value(cls, value: PriceRule | None, info: ValidationInfo) -> PriceRule | None:
        if value is not None or "order" not in info.data or info.data["order"].sdl is not None:
            return value
        return PriceRule(times_cost=NumberLaw(constant=1.5))

    @field_validator("ceiling")
    @classmethod
    def _default_ceiling(cls, value: Ceiling | None, info: ValidationInfo) -> Ceiling | None:
        if "order" not in info.data:
            return value
        if info.data["order"].sdl is None:
            return value or Ceiling(share_of_value=ShareLaw(constant=1.0))
        if value is not None:
            raise ValueError("stands beside sdl, whose prices are the ceiling, leave it out")
        return None

    @field_validator("choice")
    @classmethod
    def _home_is_scored(cls, value: RuleChoice, info: ValidationInfo) -> RuleChoice:
        if "home_region" not in info.data:
            return value
        weighs = value.score is not None and value.score.region != 0
        if weighs and info.data["home_region"] is None:
            raise ValueError("score.region prefers a tenant's home_region, and there is none: write home_region: us-east")
        if info.data["home_region"] is not None and value.score is None and value.python is None:
            raise ValueError("does not look at home_region, write choice: {score: {region: 0.2}} or leave home_region out")
        return value

    @field_validator("react", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        return {True: {}, False: None}[value] if isinstance(value, bool) else value
