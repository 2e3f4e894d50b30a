"""The provider file: the training document's `bid_engine` and `filters` blocks, read as they stand there."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, StrictBool, field_validator, model_serializer, model_validator

from marketsim.money.units import MIB
from marketsim.scenario.distributions import Frozen
from marketsim.scenario.literals import (
    Count,
    Money,
    PositiveCount,
    PositiveSpan,
    Reading,
    Span,
    Text,
    exact,
    parse_duration,
    parse_money,
    shown,
)


def _attribute_pair(value: object) -> str:
    if not isinstance(value, str) or "=" not in value or not all(part.strip() for part in value.split("=", 1)):
        raise ValueError(f"{shown(value)} is not an attribute, write key=value such as gpu-type=nvidia-a100")
    key, _, wanted = value.partition("=")
    return f"{key.strip()}={wanted.strip()}"


AttributePair = Annotated[str, Reading(_attribute_pair, {"type": "string", "pattern": "^.+=.+$"}, takes="key=value")]


class ListPrices(Frozen):
    """Prices per unit and block; what is left out has the training document's price."""

    cpu_millicores: Money = Field(default=parse_money("0.000001uve"), description="price of one millicore per block")
    memory_mb: Money = Field(default=parse_money("0.0000001uve"), description="price of one MiB of memory per block")
    storage_mb: Money = Field(default=parse_money("0.00000001uve"), description="price of one MiB of storage per block")
    gpu: Money = Field(default=parse_money("0.001uve"), description="price of one GPU per block")


class Filters(Frozen):
    """Which orders the engine bids on; a filter that is left out lets everything pass."""

    min_order_value: Money | None = Field(default=None, description="least price ceiling × 14,400 blocks that an order must have")
    max_cpu: Count | None = Field(default=None, description="most millicores that an order may ask for")
    max_memory: Count | None = Field(default=None, description="most MiB of memory")
    max_storage: Count | None = Field(default=None, description="most MiB of storage")
    allowed_regions: tuple[Text, ...] | None = Field(
        default=None, description="regions of orders that are bid on; orders that name none pass"
    )
    excluded_attributes: tuple[AttributePair, ...] = Field(
        default=(), description="attributes, key=value, of orders that are not bid on, gpu-type=vendor-model among them"
    )

    @field_validator("allowed_regions")
    @classmethod
    def _some_region(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and not value:
            raise ValueError("is an empty list, name regions, or leave the key out to allow every region")
        return value

    @field_validator("excluded_attributes", mode="before")
    @classmethod
    def _empty_block(cls, value: object) -> object:
        return () if value is None else value


class BidEngine(Frozen):
    """The `bid_engine` block; `filters` may be nested in it or stand beside it."""

    enabled: StrictBool = Field(default=True, description="whether it bids at all")
    min_profit_margin: Annotated[Decimal, exact("0", "1000000", 4)] = Field(
        default=Decimal(0), description="percent on top of the base cost"
    )
    max_concurrent_bids: PositiveCount = Field(
        default=50, description="most bids whose outcome is not known yet; a hundred more orders wait in a queue"
    )
    bid_timeout: PositiveSpan = Field(
        default=parse_duration("5m"), description="after how long an unanswered bid is closed and its capacity freed"
    )
    pricing: ListPrices = Field(default=ListPrices(), description="unit prices")

    @property
    def margin_ppm(self) -> int:
        """The margin in millionths: 10 percent is 100,000."""
        return int(self.min_profit_margin * 10_000)


class ProviderChange(Frozen):
    """What is otherwise in a provider's file from a moment on; what is left out stays as it is."""

    at: Span = Field(description="time from the start of the run from which on it holds")
    bid_engine: dict[str, Any] = Field(default_factory=dict, description="keys of bid_engine that change, such as {min_profit_margin: 20}")
    filters: dict[str, Any] = Field(default_factory=dict, description="keys of filters that change, such as {max_cpu: 32000}")


class ProviderFile(Frozen):
    """One provider's configuration, with `filters` at the top level (a nested block is lifted there)."""

    bid_engine: BidEngine = Field(description="what the engine bids and how much")
    filters: Filters = Field(default=Filters(), description="which orders it bids on")
    changes: tuple[ProviderChange, ...] = Field(default=(), description="what changes in this file while a run goes on, and when")

    @model_validator(mode="before")
    @classmethod
    def _lift_filters(cls, data: Any) -> Any:
        return lift_filters(data) if isinstance(data, dict) else data

    @field_validator("filters", mode="before")
    @classmethod
    def _empty_block(cls, value: object) -> object:
        return {} if value is None else value

    @model_serializer(mode="wrap")
    def _without_none(self, handler: Any) -> Any:
        data = handler(self)
        if not self.changes:
            del data["changes"]
        return data


def lift_filters(data: dict[str, Any]) -> dict[str, Any]:
    """The mapping with `bid_engine.filters` moved to `filters`; unchanged when both are there."""
    engine = data.get("bid_engine")
    if not isinstance(engine, dict) or "filters" not in engine or "filters" in data:
        return data
    return {
        "bid_engine": {key: value for key, value in engine.items() if key != "filters"},
        "filters": engine["filters"],
    } | {key: value for key, value in data.items() if key not in ("bid_engine", "filters")}


__all__ = ["MIB", "BidEngine", "Filters", "ListPrices", "ProviderChange", "ProviderFile", "lift_filters"]
