"""VirtEngine's bid engine as recorded answers have it: which orders it takes up, and at which price; what `parity price` replays.

The provider daemon's rules (protocol reference 4.4, upstream `pkg/provider_daemon`): a static capacity
without any reservation, one formula with mandatory fields. Prices are Cosmos decimals in units of 10^-18, each
multiplication rounded half to even. In a run `DaemonPricing` asks the same formula; what an order wants counts in started cores and
GiB there, since the daemon knows whole ones only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from marketsim.money.text import format_amount, go_decimal_overflows, half_even, multiply_half_even, parse_go_decimal
from marketsim.money.units import ATTO, GIB, MILLICORES
from marketsim.strategies.rules import Answer, PriceRequest, Refusal, RefusalCode


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """An order as the daemon sees it: whole cores, GB and GPUs; an empty region or ceiling means none."""

    offering: str
    cpu_cores: int = 0
    memory_gb: int = 0
    storage_gb: int = 0
    gpus: int = 0
    region: str = ""
    max_price: str = ""

    @classmethod
    def from_mapping(cls, order: Mapping[str, Any]) -> EngineOrder:
        """From the vectors' field names; what is absent is zero or empty, as in the daemon's JSON."""
        return cls(
            offering=order.get("offering") or "",
            cpu_cores=order.get("cpu_cores") or 0,
            memory_gb=order.get("memory_gb") or 0,
            storage_gb=order.get("storage_gb") or 0,
            gpus=order.get("gpus") or 0,
            region=order.get("region") or "",
            max_price=order.get("max_price") or "",
        )


@dataclass(frozen=True, slots=True)
class EnginePricing:
    """Prices as the operator wrote them; a text that is no decimal is refused when it is needed."""

    cpu_price_per_core: str = ""
    memory_price_per_gb: str = ""
    storage_price_per_gb: str = ""
    gpu_price_per_hour: str = ""
    min_bid_price: str = ""
    bid_markup_percent: str = "0"

    @classmethod
    def from_mapping(cls, pricing: Mapping[str, Any]) -> EnginePricing:
        """From the daemon's field names; what is absent is empty, the markup 0."""
        texts = {name: str(pricing.get(name) or "") for name in cls.__dataclass_fields__}
        texts["bid_markup_percent"] = texts["bid_markup_percent"] or "0"
        return cls(**texts)


@dataclass(frozen=True, slots=True)
class EngineCapacity:
    """Static numbers from the operator's file: totals, and what is not for sale."""

    total_cpu_cores: int = 0
    total_memory_gb: int = 0
    total_storage_gb: int = 0
    total_gpus: int = 0
    reserved_cpu_cores: int = 0
    reserved_memory_gb: int = 0
    reserved_storage_gb: int = 0

    @classmethod
    def from_mapping(cls, capacity: Mapping[str, Any]) -> EngineCapacity:
        """From the daemon's field names; what is absent is 0."""
        return cls(**{name: capacity.get(name) or 0 for name in cls.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What the engine knows of its provider."""

    supported_offerings: tuple[str, ...]
    regions: tuple[str, ...] = ()
    capacity: EngineCapacity = EngineCapacity()
    pricing: EnginePricing = EnginePricing()

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> EngineConfig:
        """From the vectors' field names."""
        return cls(
            supported_offerings=tuple(config.get("supported_offerings") or ()),
            regions=tuple(config.get("regions") or ()),
            capacity=EngineCapacity.from_mapping(config.get("capacity") or {}),
            pricing=EnginePricing.from_mapping(config.get("pricing") or {}),
        )


def matches(order: EngineOrder, config: EngineConfig) -> Refusal | None:
    """The filters in the daemon's order; None where the order goes into the queue."""
    capacity = config.capacity
    if order.offering not in config.supported_offerings:
        return Refusal(RefusalCode.INVALID_ATTRIBUTES, f"offering {order.offering} is not supported")
    if order.region and order.region not in config.regions:
        return Refusal(RefusalCode.INVALID_ATTRIBUTES, f"region {order.region} is not served")
    if order.cpu_cores > capacity.total_cpu_cores - capacity.reserved_cpu_cores:
        return Refusal(RefusalCode.INSUFFICIENT_RESOURCES, "cores")
    if order.memory_gb > capacity.total_memory_gb - capacity.reserved_memory_gb:
        return Refusal(RefusalCode.INSUFFICIENT_RESOURCES, "memory")
    if order.storage_gb > capacity.total_storage_gb - capacity.reserved_storage_gb:
        return Refusal(RefusalCode.INSUFFICIENT_RESOURCES, "storage")
    if order.gpus > capacity.total_gpus:
        return Refusal(RefusalCode.INSUFFICIENT_RESOURCES, "gpus")
    return None


def bid_price(order: EngineOrder, pricing: EnginePricing) -> Answer:
    """The daemon's formula in units of 10^-18; every refusal is one of its errors.

    (cores x cpu + GB x memory + GB x storage + GPUs x gpu) x (1 + markup), at least the minimum, which is
    mandatory. A price is read only where it is needed or given; the minimum and the ceiling always.
    """
    if not pricing.min_bid_price:
        return _invalid("min_bid_price is empty")
    total = 0
    for name, quantity in (
        ("cpu_price_per_core", order.cpu_cores),
        ("memory_price_per_gb", order.memory_gb),
        ("storage_price_per_gb", order.storage_gb),
    ):
        text = getattr(pricing, name)
        if not text and quantity <= 0:
            continue
        price = _price(text)
        if price is None:
            return _invalid(f"{name} is {text!r}, expected a decimal of 0 or more")
        total += multiply_half_even(price, quantity * ATTO)
    minimum = _price(pricing.min_bid_price)
    if minimum is None:
        return _invalid(f"min_bid_price is {pricing.min_bid_price!r}, expected a decimal of 0 or more")
    if order.gpus > 0:
        price = _price(pricing.gpu_price_per_hour)
        if price is None:
            text = pricing.gpu_price_per_hour
            return _invalid(f"gpu_price_per_hour is {text!r}, expected a decimal of 0 or more")
        total += multiply_half_even(price, order.gpus * ATTO)
    markup = _markup(pricing.bid_markup_percent)
    if markup is None:
        return _invalid(f"bid_markup_percent is {pricing.bid_markup_percent!r}, expected 0 or more")
    total = multiply_half_even(total, ATTO + markup) if markup else total
    if go_decimal_overflows(total):
        return _invalid("the price is out of range")
    total = max(total, minimum)
    if order.max_price:
        ceiling = _price(order.max_price)
        if ceiling is None:
            return _invalid(f"max_price is {order.max_price!r}, expected a decimal of 0 or more")
        if total > ceiling:
            return Refusal(RefusalCode.PRICE_TOO_HIGH, "the price is above the order's ceiling")
    return total if total > 0 else _invalid("the price is not above zero")


class DaemonPricing:
    """How VirtEngine's provider daemon prices an order, for a run: `strategy: {python: marketsim:DaemonPricing, options: …}`.

    The options are the daemon's own keys, decimal numbers of 0 or more in the order's coin per block for a core, a GB and a GPU;
    `gpu_price_per_hour` too, as the daemon adds it as it is. `min_bid_price` is the least that is asked, `bid_markup_percent` is on
    top of the sum. Raises ValueError for an option that the daemon would refuse with its first order.

    >>> import marketsim as ms
    >>> from marketsim.strategies.rules import ResourceUnit
    >>> daemon = ms.DaemonPricing("0.001", "0.0005", "0.0001", min_bid_price="0.0001", bid_markup_percent=10)
    >>> daemon.price(ms.PriceRequest((ResourceUnit(cpu=1500, memory=1 << 30),), 10**18))
    2750000000000000
    """

    def __init__(
        self,
        cpu_price_per_core: str | float = "",
        memory_price_per_gb: str | float = "",
        storage_price_per_gb: str | float = "",
        gpu_price_per_hour: str | float = "",
        *,
        min_bid_price: str | float,
        bid_markup_percent: str | float = 0,
    ) -> None:
        prices = {
            "cpu_price_per_core": cpu_price_per_core,
            "memory_price_per_gb": memory_price_per_gb,
            "storage_price_per_gb": storage_price_per_gb,
            "gpu_price_per_hour": gpu_price_per_hour,
            "min_bid_price": min_bid_price,
        }
        texts = {name: _text(price) for name, price in prices.items()}
        for name, text in texts.items():
            if (text or name == "min_bid_price") and _price(text) is None:
                raise ValueError(f"{name}: {text!r} is no price, expected a decimal number of 0 or more such as 0.001")
        markup = _text(bid_markup_percent)
        if _markup(markup) is None:
            raise ValueError(f"bid_markup_percent: {markup!r} is no percentage, expected a number of 0 or more such as 10")
        self.pricing = EnginePricing(**texts, bid_markup_percent=markup)

    def price(self, request: PriceRequest, /) -> Answer:
        """The daemon's price in units of 10^-18 of the order's coin per block, or its refusal."""
        order = EngineOrder(
            offering="",
            cpu_cores=-(-request.total_cpu() // MILLICORES),
            memory_gb=-(-request.total_memory() // GIB),
            storage_gb=-(-request.total_storage() // GIB),
            gpus=request.total_gpu(),
            max_price=format_amount(request.price_ceiling),
        )
        return bid_price(order, self.pricing)


def _text(number: str | float) -> str:
    """A number as the daemon's file would have it, without an exponent; texts as they are."""
    return format(Decimal(repr(number)), "f") if isinstance(number, float) else str(number)


def _invalid(reason: str) -> Refusal:
    return Refusal(RefusalCode.INVALID_PRICE, reason)


def _price(text: str) -> int | None:
    value = parse_go_decimal(text)
    return None if value is None or value < 0 else value


def _markup(text: str) -> int | None:
    """The markup as a share in units of 10^-18, or None where the daemon errs.

    The daemon holds the percentage as a `double`, prints its shortest form without an exponent, and reads
    that as a decimal: more than 18 decimals are an error.
    """
    try:
        percent = float(text)
    except ValueError:
        return None
    if percent < 0:
        return None
    if percent == 0:
        return 0
    value = parse_go_decimal(format(Decimal(repr(percent)), "f").removesuffix(".0"))
    return None if value is None else half_even(value, 100)
