"""Pricing strategies: what a provider asks per block for an order, exactly, or why it does not bid.

Every strategy is a frozen value with one method, `price(request)`. It sees the request and nothing else: no
rival's cost, no tenant's reservation price. The answer is an int in units of 10^-18 uve per block, at most
the request's ceiling, or a `Refusal`. Formulas are exact in integers and rationals; the one rounding that
each names is its source's. Sources: protocol reference 4.2, rules 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, NamedTuple, Protocol, runtime_checkable

from marketsim.money.text import half_even, nearest_binary, parse_atto, parse_go_decimal, show_fixed
from marketsim.money.units import ATTO, BLOCKS_A_MONTH, GIB, MIB

EPHEMERAL = "ephemeral"


class RefusalCode(StrEnum):
    """Why an engine or a strategy does not bid (protocol reference 4.5); reported as `bids.declined`.

    >>> import marketsim as ms
    >>> ms.RefusalCode("price_too_high").name
    'PRICE_TOO_HIGH'
    """

    ENGINE_DISABLED = "engine_disabled"
    ORDER_NOT_OPEN = "order_not_open"
    PROVIDER_BLOCKED = "provider_blocked"
    INVALID_ATTRIBUTES = "invalid_attributes"
    INSUFFICIENT_RESOURCES = "insufficient_resources"
    RATE_LIMITED = "rate_limited"
    QUEUE_FULL = "queue_full"
    INVALID_PRICE = "invalid_price"
    PRICE_TOO_HIGH = "price_too_high"
    INSUFFICIENT_DEPOSIT = "insufficient_deposit"
    SCRIPT_FAILED = "script_failed"
    SCRIPT_TIMEOUT = "script_timeout"


@dataclass(frozen=True, slots=True)
class Refusal:
    """No bid: a code for the counts and a sentence for the reader.

    >>> import marketsim as ms
    >>> ms.Refusal(ms.RefusalCode.PRICE_TOO_HIGH).code.value
    'price_too_high'
    """

    code: RefusalCode
    reason: str = ""


Answer = int | Refusal
"""A price in units of 10^-18 uve per block, or why there is none."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume of a resource unit: bytes and class (`ephemeral`, `default`, `beta1` to `beta3`, `ram`)."""

    size: int
    storage_class: str = EPHEMERAL


@dataclass(frozen=True, slots=True)
class GpuModel:
    """One accepted GPU: vendor, model (`*` for any), and memory (`80Gi`) and interface (`sxm`) where asked for."""

    vendor: str
    model: str
    ram: str = ""
    interface: str = ""

    @classmethod
    def from_attribute(cls, key: str) -> GpuModel | None:
        """The GPU that an attribute such as `vendor/nvidia/model/a100/ram/80Gi` names, None for other attributes."""
        parts = key.split("/")
        named = dict(zip(parts[::2], parts[1::2], strict=False))
        if parts[0] != "vendor" or "model" not in named:
            return None
        return cls(named["vendor"], named["model"], named.get("ram", ""), named.get("interface", ""))


@dataclass(frozen=True, slots=True)
class ResourceUnit:
    """One resource unit, asked for `count` times: cpu in millicores, memory in bytes, GPUs in units.

    `endpoints` counts every exposed port and each of its addresses, `leased_ips` the addresses, those of several ports once.
    `gpu_models` are the GPUs that would do; to a provider that is asked for its price it is the one that this provider would give.
    """

    cpu: int = 0
    memory: int = 0
    volumes: tuple[Volume, ...] = ()
    gpu: int = 0
    gpu_models: tuple[GpuModel, ...] = ()
    count: int = 1
    endpoints: int = 0
    leased_ips: int = 0


@dataclass(frozen=True, slots=True)
class PriceRequest:
    """What a strategy may know of an order when it prices it.

    `price_ceiling` is in units of 10^-18 of the coin `denom` per block, and so is the price that is answered;
    `last_winning_price` is in 10^-18 uve; `utilization` is the provider's own use of its capacity, 0 to 1;
    `price_precision` is the number of decimals that the order's coin carries.

    >>> import marketsim as ms
    >>> one = ResourceUnit(cpu=500, memory=1 << 30, count=4)
    >>> ms.PriceRequest((one,), 10**18, "ann/7/1/1", "ann", "edge-0", 10).total_cpu()
    2000
    """

    resources: tuple[ResourceUnit, ...]
    price_ceiling: int
    order: str = ""
    owner: str = ""
    provider: str = ""
    height: int = 0
    denom: str = "uve"
    region: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    price_precision: int = 6
    utilization: Fraction = Fraction(0)
    last_winning_price: int | None = None

    def total_cpu(self) -> int:
        """Millicores over all units and their counts."""
        return sum(unit.cpu * unit.count for unit in self.resources)

    def total_memory(self) -> int:
        """Bytes of memory over all units and their counts."""
        return sum(unit.memory * unit.count for unit in self.resources)

    def total_storage(self) -> int:
        """Bytes of storage of every class over all units and their counts."""
        return sum(volume.size * unit.count for unit in self.resources for volume in unit.volumes)

    def total_gpu(self) -> int:
        """GPUs over all units and their counts."""
        return sum(unit.gpu * unit.count for unit in self.resources)


@runtime_checkable
class Strategy(Protocol):
    """The one call shape of pricing. `check_strategy` holds any class to what is promised here.

    A strategy is a pure rule: equal requests get equal answers, the request is left as it is, nothing
    outside is read or changed. It may also offer `price_many(requests)`, a sequence of answers equal to
    pricing one by one, for speed.

    >>> import marketsim as ms
    >>> class Fixed:
    ...     def price(self, request):
    ...         return min(5 * 10**18, request.price_ceiling)
    >>> from marketsim.strategies.check import sample_requests
    >>> Fixed().price(sample_requests()[0])
    1
    """

    def price(self, request: PriceRequest, /) -> Answer:
        """The price per block in units of 10^-18 uve, above 0 and at most the ceiling, or a Refusal."""
        ...


def within_ceiling(price: int, request: PriceRequest) -> Answer:
    """The price if it is above zero and the order pays that much (equal is enough), else the refusal."""
    if price <= 0:
        return Refusal(RefusalCode.INVALID_PRICE, "the price is not above zero")
    if price > request.price_ceiling:
        return Refusal(RefusalCode.PRICE_TOO_HIGH, "the price is above the order's ceiling")
    return price


# ---------------------------------------------------------------------- the training document's formula


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """The training document's unit prices in units of 10^-18 uve per block: millicore, MiB, MiB, GPU."""

    cpu_millicores: int
    memory_mb: int
    storage_mb: int
    gpu: int

    def base_cost(self, request: PriceRequest) -> int:
        """Resources times unit prices over all counts, exact, in units of 10^-18 uve per block.

        Memory and storage count in started MiB of the whole order, as in the compiled engine.
        """
        return (
            request.total_cpu() * self.cpu_millicores
            + -(-request.total_memory() // MIB) * self.memory_mb
            + -(-request.total_storage() // MIB) * self.storage_mb
            + request.total_gpu() * self.gpu
        )


# ---------------------------------------------------------------------- Akash: scale


@dataclass(frozen=True, slots=True)
class ScalePricing:
    """Akash's scale pricing: a price per millicore, MiB of memory and of storage, endpoint and leased IP.

    Scales are in units of 10^-18 uve. GPUs are not priced, endpoints and addresses are not multiplied by the count
    (upstream's quirks, protocol reference 8). A class of storage without a scale is refused, and so is a
    price of zero.
    """

    cpu: int
    memory: int
    storage: Mapping[str, int]
    endpoint: int = 0
    ip: int = 0

    def price(self, request: PriceRequest, /) -> Answer:
        """The exact sum, rounded half to even at 10^-18 where a size is no whole number of KiB."""
        total = Fraction(request.total_cpu() * self.cpu) + Fraction(request.total_memory() * self.memory, MIB)
        for unit in request.resources:
            for volume in unit.volumes:
                scale = self.storage.get(volume.storage_class)
                if scale is None:
                    reason = f"no price for storage class {volume.storage_class}"
                    return Refusal(RefusalCode.INVALID_PRICE, reason)
                total += Fraction(volume.size * unit.count * scale, MIB)
            total += unit.endpoints * self.endpoint + unit.leased_ips * self.ip
        return within_ceiling(half_even(total.numerator, total.denominator), request)


# ---------------------------------------------------------------------- Akash: the production script


GPU_DEFAULT_USD = "100"
_BC_SCALE = 20  # what `bc -l` keeps in a product or a quotient
_DOUBLE, _LONG_DOUBLE = 53, 64  # bits of mantissa: what awk computes in, and what the shell prints from


class _Bc(NamedTuple):
    """A number as bc holds it: an integer and how many of its digits stand behind the point."""

    digits: int
    scale: int

    @classmethod
    def read(cls, text: str) -> _Bc:
        whole, _, part = text.partition(".")
        return cls(int((whole or "0") + part), len(part))

    def times(self, other: _Bc) -> _Bc:
        """A product keeps all its digits up to 20 behind the point, or as many as its longer factor has."""
        full = self.scale + other.scale
        kept = min(full, max(_BC_SCALE, self.scale, other.scale))
        return _Bc(self.digits * other.digits // 10 ** (full - kept), kept)

    def plus(self, other: _Bc) -> _Bc:
        scale = max(self.scale, other.scale)
        return _Bc(self.digits * 10 ** (scale - self.scale) + other.digits * 10 ** (scale - other.scale), scale)

    def over(self, divisor: _Bc) -> _Bc:
        """A quotient keeps 20 digits behind the point, the rest is cut off."""
        numerator = self.digits * 10 ** (_BC_SCALE + divisor.scale)
        return _Bc(numerator // (divisor.digits * 10**self.scale), _BC_SCALE)

    def exact(self) -> Fraction:
        return Fraction(self.digits, 10**self.scale)


_MILLION = _Bc(1_000_000, 0)
_STORAGE_TARGETS = {
    EPHEMERAL: "hd_ephemeral",
    "beta1": "hd_pers_hdd",
    "beta2": "hd_pers_ssd",
    "beta3": "hd_pers_nvme",
}


@dataclass(frozen=True, slots=True)
class MonthlyTargets:
    """The script's targets in USD a month, decimal strings; GPUs as `model[.ram][.interface]` and price."""

    cpu: str = "1.60"
    memory: str = "0.80"
    hd_ephemeral: str = "0.02"
    hd_pers_hdd: str = "0.01"
    hd_pers_ssd: str = "0.03"
    hd_pers_nvme: str = "0.04"
    endpoint: str = "0.05"
    ip: str = "5"
    gpu: str = GPU_DEFAULT_USD
    gpu_mappings: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for a target that is not a decimal number of 0 or more."""
        named = {name: getattr(self, name) for name in TARGET_NAMES}
        for name, text in (*named.items(), *self.gpu_mappings):
            if not _is_bc_number(text):
                raise ValueError(f"{name}: {text!r} is not a price in USD a month, expected one such as 1.60")

    @classmethod
    def from_mapping(cls, targets: Mapping[str, str]) -> MonthlyTargets:
        """From the script's own settings: `gpu_mappings` is one string `model.ram.interface=USD,...`."""
        unknown = sorted(set(targets) - {*TARGET_NAMES, "gpu_mappings"})
        if unknown:
            raise ValueError(f"{unknown[0]}: no such target, expected one of {', '.join((*TARGET_NAMES, 'gpu_mappings'))}")
        plain = {name: targets[name] for name in TARGET_NAMES if name in targets}
        return cls(**plain, gpu_mappings=read_gpu_mappings(targets.get("gpu_mappings", "")))


TARGET_NAMES = (
    "cpu",
    "memory",
    "hd_ephemeral",
    "hd_pers_hdd",
    "hd_pers_ssd",
    "hd_pers_nvme",
    "endpoint",
    "ip",
    "gpu",
)


def _is_bc_number(text: str) -> bool:
    """Digits with at most one point among or before them, as bc reads a number."""
    return text.isascii() and text.replace(".", "", 1).isdigit()


def read_gpu_mappings(text: str) -> tuple[tuple[str, str], ...]:
    """The pairs of `a100.80Gi=1000,t4=60`, the last of equal names; without name or price they fall away."""
    pairs: dict[str, str] = {}
    for pair in text.split(","):
        name, _, rest = pair.partition("=")
        price = rest.partition("=")[0]
        if name:
            pairs[name] = price
    return tuple((name, price) for name, price in pairs.items() if price)


@dataclass(frozen=True, slots=True)
class MonthlyTargetScript:
    """Akash's production price script (helm charts, February 2025): USD a month to coins of 10^-6 per block.

    Its arithmetic is kept to the last digit: sizes divided in `double` and printed to 12 decimals, products
    and quotients cut off at 20 digits as bc does, the rate rounded once as `double` to the order's
    precision. Storage of class `default` and `ram` is free; endpoints and leased IPs count once a unit, the
    rest `count` times. `usd_per_coin`: for orders in a coin that is not a dollar.
    """

    targets: MonthlyTargets = field(default_factory=MonthlyTargets)
    usd_per_coin: str | None = None

    def price(self, request: PriceRequest, /) -> Answer:
        """What the script prints, as a price."""
        printed = self.printed(request)
        if printed is None:
            return Refusal(RefusalCode.PRICE_TOO_HIGH, "the script's rate is above the order's ceiling")
        value = parse_go_decimal(printed)
        if value is None:
            return Refusal(RefusalCode.INVALID_PRICE, f"the rate {printed} has more than 18 decimals")
        return within_ceiling(value, request)

    def printed(self, request: PriceRequest) -> str | None:
        """The script's standard output, or None where it exits with 1: its rate is above the ceiling."""
        ceiling = Fraction(request.price_ceiling, ATTO)
        usd = self.monthly_usd(request)
        month = _Bc(BLOCKS_A_MONTH, 0)
        if self.usd_per_coin is None:
            exact = usd.over(month).times(_MILLION).exact()
            rate = _printed_by_awk(exact, request.price_precision)
            refused = Fraction(rate) > ceiling
        else:
            exact = usd.over(_Bc.read(self.usd_per_coin)).times(_MILLION).over(month).exact()
            rate = _printed_by_shell(exact, request.price_precision)
            refused = exact > ceiling
        return None if refused else _printed_by_shell(Fraction(rate), request.price_precision)

    def monthly_usd(self, request: PriceRequest) -> _Bc:
        """The order's price in USD a month, as bc has it."""
        targets = self.targets
        total = _Bc(request.total_cpu(), 3).times(_Bc.read(targets.cpu))
        memory = [(unit.memory, unit.count) for unit in request.resources]
        total = total.plus(_gibibytes(memory).times(_Bc.read(targets.memory)))
        for name, setting in _STORAGE_TARGETS.items():
            sizes = [(volume.size, unit.count) for unit in request.resources for volume in unit.volumes if volume.storage_class == name]
            target: str = getattr(targets, setting)
            total = total.plus(_gibibytes(sizes).times(_Bc.read(target)))
        endpoints = sum(unit.endpoints for unit in request.resources)
        ips = sum(unit.leased_ips for unit in request.resources)
        total = total.plus(_Bc(endpoints, 0).times(_Bc.read(targets.endpoint)))
        total = total.plus(_Bc(ips, 0).times(_Bc.read(targets.ip)))
        for unit in request.resources:
            units = _Bc(unit.count * unit.gpu, 0)
            total = total.plus(units.times(_Bc.read(self.gpu_usd(unit))))
        return total

    def gpu_usd(self, unit: ResourceUnit) -> str:
        """USD a month for one GPU: by its full name, less the last part, its model, else the highest price.

        Only an NVIDIA card's memory and interface are looked at; of an AMD card the script sees the model
        alone.
        """
        listed = dict(self.targets.gpu_mappings)
        full = _script_model(unit.gpu_models)
        for name in (full, full.rpartition(".")[0] or full, full.partition(".")[0]):
            if name in listed:
                return listed[name]
        return max((self.targets.gpu, *listed.values()), key=lambda usd: _Bc.read(usd).exact())


def _script_model(models: Iterable[GpuModel]) -> str:
    by_vendor = {model.vendor: model for model in models}
    chosen = by_vendor.get("nvidia")
    if chosen is None:
        amd = by_vendor.get("amd")
        return amd.model if amd else "0"
    return ".".join(part for part in (chosen.model, chosen.ram, chosen.interface) if part)


def _gibibytes(sizes: Sequence[tuple[int, int]]) -> _Bc:
    """Bytes times counts as GiB: each product and each sum a `double`, the whole printed to 12 decimals."""
    total = Fraction(sum(size * count for size, count in sizes))
    if total >= 1 << _DOUBLE:  # only beyond 8 PiB does a step round
        total = Fraction(0)
        for size, count in sizes:
            product = nearest_binary(nearest_binary(Fraction(size), _DOUBLE) * count, _DOUBLE)
            total = nearest_binary(total + product, _DOUBLE)
    return _Bc.read(show_fixed(total / GIB, 12))


def _printed_by_awk(value: Fraction, places: int) -> str:
    return show_fixed(nearest_binary(value, _DOUBLE), places)


def _printed_by_shell(value: Fraction, places: int) -> str:
    return show_fixed(nearest_binary(value, _LONG_DOUBLE), places)


# ---------------------------------------------------------------------- what the script reads


def script_input(request: PriceRequest) -> str:
    """What an operator's script reads on standard input: one line of compact JSON (akash-network/provider bidengine)."""
    return json.dumps(script_document(request), separators=(",", ":"), ensure_ascii=False) + "\n"


def script_document(request: PriceRequest) -> dict[str, Any]:
    """The request as an operator's script reads it (protocol reference 4.2), its keys in the order of the real one."""
    return {
        "resources": [
            {
                "memory": unit.memory,
                "cpu": unit.cpu,
                "gpu": {"units": unit.gpu, "attributes": _script_gpu(unit.gpu_models)},
                "storage": [{"class": volume.storage_class, "size": volume.size} for volume in unit.volumes],
                "count": unit.count,
                "endpoint_quantity": unit.endpoints,
                "ip_lease_quantity": unit.leased_ips,
            }
            for unit in request.resources
        ],
        "price": {
            "denom": request.denom,
            "amount": show_fixed(Fraction(request.price_ceiling, ATTO), 18),
        },
        "price_precision": request.price_precision,
    }


def _script_gpu(models: Sequence[GpuModel]) -> dict[str, Any]:
    """By vendor the GPU that the script sees; of several of a vendor the last in the order of their attributes, as upstream has it."""
    vendors: dict[str, dict[str, str]] = {}
    for model in models:
        named = {"model": model.model, "ram": model.ram, "interface": model.interface}
        vendors[model.vendor] = {key: value for key, value in named.items() if value or key == "model"}
    return {"vendor": dict(sorted(vendors.items()))} if vendors else {}


def request_from_script(document: Mapping[str, Any], **others: Any) -> PriceRequest:
    """The request that `document`, a script's standard input, stands for; `others` are further fields of it.

    Raises ValueError for a price that is not a decimal.
    """
    price = document["price"]
    precision = document.get("price_precision")
    return PriceRequest(
        resources=tuple(_unit_from_script(unit) for unit in document["resources"]),
        price_ceiling=parse_atto(price["amount"]),
        denom=price["denom"],
        price_precision=6 if precision is None else precision,
        **others,
    )


def _unit_from_script(unit: Mapping[str, Any]) -> ResourceUnit:
    gpu = unit.get("gpu") or {}
    vendors = (gpu.get("attributes") or {}).get("vendor") or {}
    return ResourceUnit(
        cpu=unit["cpu"],
        memory=unit["memory"],
        volumes=tuple(Volume(volume["size"], volume["class"]) for volume in unit["storage"]),
        gpu=gpu.get("units") or 0,
        gpu_models=tuple(
            GpuModel(vendor, named["model"], named.get("ram") or "", named.get("interface") or "") for vendor, named in vendors.items()
        ),
        count=unit["count"],
        endpoints=unit.get("endpoint_quantity") or 0,
        leased_ips=unit.get("ip_lease_quantity") or 0,
    )
