"""VirtEngine's bid engine: which orders it takes up, how often it may bid, and at which price.

The provider daemon's rules (protocol reference 4.4, upstream `pkg/provider_daemon`): a static capacity
without any reservation, two sliding windows of rate limits, one formula with mandatory fields. Prices are
Cosmos decimals in units of 10^-18, each multiplication rounded half to even.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from marketsim.money.text import format_amount, go_decimal_overflows, half_even, multiply_half_even, parse_go_decimal
from marketsim.money.units import ATTO, GIB, HOUR_MS
from marketsim.strategies.rules import Answer, PriceRequest, Refusal, RefusalCode, within_ceiling

MINUTE_MS = 60_000
QUEUE_LENGTH = 100
"""Orders that wait for the single worker; what does not fit is dropped until the next poll."""


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
    """What the engine knows of its provider, with upstream's default limits."""

    supported_offerings: tuple[str, ...]
    regions: tuple[str, ...] = ()
    capacity: EngineCapacity = EngineCapacity()
    pricing: EnginePricing = EnginePricing()
    active: bool = True
    bids_per_minute: int = 10
    bids_per_hour: int = 100

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> EngineConfig:
        """From the vectors' field names; limits and `active` keep their defaults."""
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


@dataclass(slots=True)
class RateLimit:
    """Two sliding windows over the times (ms) at which a bid was let through; both must have room.

    A bid leaves a window when it is exactly as old as the window is long. A refused attempt takes no room;
    one that is let through does, even if pricing then fails.
    """

    per_minute: int = 10
    per_hour: int = 100
    minute: deque[int] = field(default_factory=deque)
    hour: deque[int] = field(default_factory=deque)

    def allow(self, now_ms: int) -> bool:
        """Take a place in both windows at `now_ms`, which never goes back; False where one is full."""
        while self.minute and self.minute[0] <= now_ms - MINUTE_MS:
            self.minute.popleft()
        while self.hour and self.hour[0] <= now_ms - HOUR_MS:
            self.hour.popleft()
        if len(self.minute) >= self.per_minute or len(self.hour) >= self.per_hour:
            return False
        self.minute.append(now_ms)
        self.hour.append(now_ms)
        return True


class VirtEngineEngine:
    """One provider's engine: poll puts matching orders into the queue, work takes one out and prices it.

    It keeps no memory of orders it has bid on, so that an order still open enters again with each poll and
    takes places in the rate limit; duplicates are left for the chain to refuse.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.config = config
        self.limit = RateLimit(config.bids_per_minute, config.bids_per_hour)
        self.queue: deque[EngineOrder] = deque()

    def poll(self, orders: tuple[EngineOrder, ...]) -> tuple[Refusal | None, ...]:
        """What became of each open order: None for queued, else why it was passed over."""
        return tuple(self._take_up(order) for order in orders)

    def _take_up(self, order: EngineOrder) -> Refusal | None:
        if not self.config.active:
            return Refusal(RefusalCode.ENGINE_DISABLED)
        refusal = matches(order, self.config)
        if refusal is not None:
            return refusal
        if len(self.queue) >= QUEUE_LENGTH:
            return Refusal(RefusalCode.QUEUE_FULL)
        self.queue.append(order)
        return None

    def work(self, now_ms: int) -> tuple[EngineOrder, Answer] | None:
        """The next queued order and its price, or None; a place in the limit is taken before pricing."""
        if not self.queue:
            return None
        order = self.queue.popleft()
        if not self.limit.allow(now_ms):
            return order, Refusal(RefusalCode.RATE_LIMITED)
        return order, bid_price(order, self.config.pricing)


@dataclass(frozen=True, slots=True)
class VirtEngineFormula:
    """The daemon's formula as a strategy over requests: cores and GB are rounded up to whole ones."""

    pricing: EnginePricing

    def price(self, request: PriceRequest, /) -> Answer:
        """The formula's price; above the ceiling it is refused, never lowered."""
        order = EngineOrder(
            offering="",
            cpu_cores=-(-request.total_cpu() // 1000),
            memory_gb=-(-request.total_memory() // GIB),
            storage_gb=-(-request.total_storage() // GIB),
            gpus=request.total_gpu(),
            max_price=format_amount(request.price_ceiling),
        )
        answer = bid_price(order, self.pricing)
        return answer if isinstance(answer, Refusal) else within_ceiling(answer, request)
