"""The tenant cohorts of a scenario: demand, orders, what they pay and how they behave."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, ValidationInfo, WithJsonSchema, field_validator, model_serializer, model_validator

from marketsim.scenario.distributions import FAMILIES, Distribution, Frozen, Lognormal
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
    number,
    parse_coins,
    shown,
)
from marketsim.scenario.sdl import Sdl

_NAME_HELP = "write letters, digits, - and _ (no dots or slashes)"


def _name(value: object) -> str:
    if not isinstance(value, str) or not value or not value.replace("-", "").replace("_", "").isalnum() or value.isdigit():
        raise ValueError(f"{shown(value)} is not a name, {_NAME_HELP}")
    return value


Name = Annotated[str, Reading(_name, {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"})]


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


class TextLaw(Distribution[OptionalText]):
    """A text, or a choice of texts (null: none)."""


def is_law(data: object) -> bool:
    """Whether raw data is the mapping form of a distribution."""
    return isinstance(data, dict) and any(family in data for family in FAMILIES)


class Bursts(Frozen):
    """Times of multiplied demand: exponential gaps of mean `every`, each lasting `lasts`."""

    every: PositiveSpan
    factor: PositiveNumber
    lasts: PositiveSpan


class Surge(Frozen):
    """One time of multiplied demand: `factor` times as much from `at` on, for `lasts`; surges that overlap multiply."""

    at: Span
    lasts: PositiveSpan
    factor: Number


SOURCES = ("arrivals", "arrivals_each", "trace", "orders")


class Demand(Frozen):
    """When orders arrive: exactly one of `arrivals`, `arrivals_each`, `trace`, `orders`.

    Profiles, bursts and surges say how the rate moves; of `orders` they move the times and not the number.
    """

    short_forms = ("arrivals",)

    arrivals: EventRate | None = Field(default=None, description="of the whole cohort, a Poisson process")
    arrivals_each: EventRate | None = Field(default=None, description="of each tenant; one tenant more changes no other's orders")
    trace: Text | None = Field(default=None, description="CSV or parquet with a column at_seconds")
    orders: PositiveCount | None = Field(default=None, validate_default=True, description="exactly so many")
    within: PositiveSpan | None = Field(default=None, description="what `orders` is spread over; default: the horizon written in the file")
    day_profile: tuple[Number, ...] | None = Field(default=None, description="24 numbers, one for each hour of the day (UTC)")
    week_profile: tuple[Number, ...] | None = Field(default=None, description="7 numbers, Monday first")
    normalise: StrictBool = Field(
        default=True,
        validate_default=True,
        description="true: profiles are relative, scaled to mean 1, and leave the mean rate as it is; false: plain multipliers",
    )
    bursts: Bursts | None = None
    surges: tuple[Surge, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _whole_cohort(cls, data: object) -> object:
        return {"arrivals": data} if isinstance(data, str) else data

    @field_validator("orders")
    @classmethod
    def _one_source(cls, value: int | None, info: ValidationInfo) -> int | None:
        if not {*SOURCES[:3]} <= info.data.keys():
            return value
        given = [key for key in SOURCES[:3] if info.data[key] is not None]
        given += ["orders"] if value is not None else []
        if len(given) != 1:
            found = " and ".join(given) if given else "none of them"
            raise ValueError(f"found {found}, give exactly one of {', '.join(SOURCES)}")
        return value

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
        return value

    @property
    def day_multipliers(self) -> tuple[float, ...]:
        """24 multipliers, of mean 1 where profiles are relative."""
        return self._multipliers(self.day_profile or (1.0,) * 24)

    @property
    def week_multipliers(self) -> tuple[float, ...]:
        """7 multipliers, Monday first, of mean 1 where profiles are relative."""
        return self._multipliers(self.week_profile or (1.0,) * 7)

    def _multipliers(self, values: tuple[float, ...]) -> tuple[float, ...]:
        mean = sum(values) / len(values) if self.normalise else 1.0
        return tuple(value / mean for value in values)


class Signers(Frozen):
    """Auditors whose signatures an order asks for."""

    all_of: tuple[Text, ...] = ()
    any_of: tuple[Text, ...] = ()


_SDL_SCHEMA = {
    "description": "path of a manifest, or a list of {sdl: path, weight: number}",
    "anyOf": [{"type": "string"}, {"type": "object"}, {"type": "array"}, {"type": "null"}],
}


class WeightedSdl(Frozen):
    """A manifest (inlined) and how often it is chosen."""

    sdl: Sdl
    weight: PositiveNumber = 1.0
    name: Text = "manifest"


class OrderShape(Frozen):
    """What an order asks for: sizes drawn from distributions, or SDL manifests."""

    sdl: Annotated[tuple[WeightedSdl, ...] | None, WithJsonSchema(_SDL_SCHEMA)] = None
    cpu: MillicoresLaw | None = Field(default=None, validate_default=True, description="millicores")
    memory: SizeLaw | None = None
    memory_per_core: SizeLaw | None = Field(default=None, validate_default=True, description="bytes per 1000 millicores")
    storage: SizeLaw | None = Field(default=None, validate_default=True, description="bytes")
    gpu: CountLaw = CountLaw(constant=0)
    gpu_model: TextLaw | None = Field(default=None, description="vendor-model such as nvidia-a100")
    endpoints: Count = Field(default=0, validate_default=True, description="endpoints of an order given by sizes")
    region: TextLaw | None = None
    attributes: dict[Text, Text] = Field(default_factory=dict)
    signed_by: Signers = Signers()
    window: Span | None = Field(default=None, description="reclamation window asked for (rules: akash)")

    @model_validator(mode="before")
    @classmethod
    def _manifests(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("sdl") is None or isinstance(data["sdl"], (list, tuple)):
            return data
        return data | {"sdl": [{"sdl": data["sdl"]}]}

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

    times_cost: NumberLaw | None = None
    per_block: MoneyLaw | None = Field(default=None, validate_default=True)

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

    share_of_value: ShareLaw | None = Field(default=None, validate_default=True)

    @field_validator("share_of_value")
    @classmethod
    def _one(cls, value: Any, info: ValidationInfo) -> Any:
        if {"times_cost", "per_block"} <= info.data.keys():
            given = sum(v is not None for v in (info.data["times_cost"], info.data["per_block"], value))
            if given != 1:
                raise ValueError("give exactly one of share_of_value, times_cost and per_block, or a bare price per block such as 25uve")
        return value


class Deposit(Frozen):
    """What a tenant deposits: an amount, or funds for so many blocks at the ceiling or at the generic
    cost.
    """

    short_forms = ("amount",)

    blocks: CountLaw | None = None
    price_blocks: CountLaw | None = None
    amount: MoneyLaw | None = Field(default=None, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, cls) or (isinstance(data, dict) and not is_law(data)):
            return data
        return {"amount": data}

    @field_validator("amount")
    @classmethod
    def _one(cls, value: Any, info: ValidationInfo) -> Any:
        if {"blocks", "price_blocks"} <= info.data.keys():
            given = sum(v is not None for v in (info.data["blocks"], info.data["price_blocks"], value))
            if given != 1:
                raise ValueError("give exactly one of blocks, price_blocks and amount, or a bare amount such as 5VE")
        return value


class AfterDepletion(Frozen):
    """Top up only once the account has run dry, `delay` later."""

    delay: DurationLaw = DurationLaw(constant=Duration(1, in_blocks=True))


class TopUp(Frozen):
    """When and how a tenant adds funds: while few blocks are left, or after depletion."""

    after_depletion: AfterDepletion | None = None
    when_blocks_left: PositiveCount | None = Field(default=None, validate_default=True)
    blocks: CountLaw = CountLaw(constant=14_400)
    times: CountLaw = CountLaw(constant=3)
    probability: Probability = 1.0
    delay: DurationLaw = DurationLaw(constant=Duration(0))

    @field_validator("when_blocks_left")
    @classmethod
    def _one_trigger(cls, value: int | None, info: ValidationInfo) -> int | None:
        if "after_depletion" not in info.data:
            return value
        if value is not None and info.data["after_depletion"] is not None:
            raise ValueError("stands beside after_depletion, give one of the two")
        return 1_200 if value is None and info.data["after_depletion"] is None else value


class Score(Frozen):
    """Weights of a bid's score; the highest score wins."""

    price: Annotated[float, number(None)] = 1.0
    uptime: Annotated[float, number(None)] = 0.0
    audit: Annotated[float, number(None)] = 0.0
    region: Annotated[float, number(None)] = 0.0


class ChoiceRule(Frozen):
    """Which bid a tenant takes."""

    short_forms = ({"enum": ["lowest_price", "score"]},)

    kind: Literal["lowest_price", "score", "random_among_cheapest"] = "lowest_price"
    score: Score | None = None
    random_among_cheapest: PositiveCount | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, str):
            if data == "score":
                return {"kind": data, "score": {}}
            if data == "lowest_price":
                return {"kind": data}
            raise ValueError(
                f"{shown(data)} is not a choice rule, write lowest_price, {{score: {{price: 1}}}} or {{random_among_cheapest: 3}}"
            )
        if isinstance(data, dict) and "kind" not in data:
            given = [key for key in ("score", "random_among_cheapest") if data.get(key) is not None]
            if len(given) > 1:
                raise ValueError("found score and random_among_cheapest, give one of the two")
            if given:
                return data | {"kind": given[0]}
        return data

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any) -> Any:
        return "lowest_price" if self.kind == "lowest_price" else {self.kind: handler(self)[self.kind]}


class Restart(Frozen):
    """Whether a tenant starts its group again after a provider left."""

    probability: Probability = 0.9
    delay: DurationLaw = DurationLaw(constant=Duration(1, in_blocks=True))


class React(Frozen):
    """A tenant that reads the outcome of its order and may order again, with a raised ceiling."""

    short_forms = ({"type": "boolean"},)

    retry: Count = 2
    raise_ceiling: PositiveNumber = 1.2


class TenantCohort(Frozen):
    """Tenants of one kind."""

    name: Name
    count: PositiveCount = 1
    wallet: Coins = parse_coins("5000VE")
    demand: Demand
    order: OrderShape
    value: PriceRule | None = Field(
        default=None,
        validate_default=True,
        description="what an order is worth to its tenant per block; default: 1.5 times the generic cost, with sdl: its prices",
    )
    ceiling: Ceiling | None = Field(
        default=None,
        validate_default=True,
        description="the most an order pays per block; default: all of its value, with sdl: its prices",
    )
    duration: DurationLaw = DurationLaw(lognormal=Lognormal[Span](median=Duration(86_400_000), sigma=1.2))
    terminate_after: DurationLaw | None = None
    patience: Span = Duration(100, in_blocks=True)
    choice: ChoiceRule = ChoiceRule()
    never_choose: Probability = 0.0
    deposit: Deposit = Deposit(blocks=CountLaw(constant=14_400))
    top_up: TopUp | None = None
    deploy_delay: DurationLaw = DurationLaw(constant=Duration(10, in_blocks=True))
    restart: Restart = Restart()
    utilization: NumberLaw = NumberLaw(constant=1.0)
    react: React | None = Field(default=None, description="false, true or a mapping")

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

    @field_validator("react", mode="before")
    @classmethod
    def _switch(cls, value: object) -> object:
        return {True: {}, False: None}[value] if isinstance(value, bool) else value
