"""The training document's price formula and filters for one order, one line of the sum at a time.

The bid itself is the compiled rule's that desks of a run have (`market.quoting`). Money is atto-uve (10⁻¹⁸ uve). Memory and storage
are counted in started MiB, as the engine counts them.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import NamedTuple

from marketsim.errors import InputError
from marketsim.kernel.rows import row_of
from marketsim.market.list_prices import set_list_prices
from marketsim.market.quoting import linear_price
from marketsim.market.tables import Desk
from marketsim.money.units import ATTO, DECIMALS, MIB, PPM, WHOLE_MAX
from marketsim.strategies.rules import PriceRequest, ResourceUnit, Volume

EXPECTED_LIFETIME_BLOCKS = 14_400
"""Blocks by which a price ceiling is multiplied for `min_order_value` (protocol.md §10, D14)."""


QUANTITY_LIMIT = 1 << 41
"""Millicores, MiB or GPUs of an order that no price is made for."""


class Request(NamedTuple):
    """What one order asks for: millicores, bytes, bytes, GPUs, the region if it names one, and attributes
    with the values that would do.
    """

    cpu: int
    memory: int
    storage: int
    gpu: int = 0
    region: str | None = None
    attributes: Mapping[str, Set[str]] = {}

    def as_priced(self, price_ceiling: int = 0) -> PriceRequest:
        """The same order as pricing strategies see it."""
        unit = ResourceUnit(self.cpu, self.memory, (Volume(self.storage),), self.gpu)
        return PriceRequest((unit,), price_ceiling)

    @property
    def memory_mib(self) -> int:
        """Started MiB of memory."""
        return -(-self.memory // MIB)

    @property
    def storage_mib(self) -> int:
        """Started MiB of storage."""
        return -(-self.storage // MIB)


class PriceLine(NamedTuple):
    """One product of the base cost: `quantity` × `unit_price` = `amount`, in atto-uve."""

    resource: str
    quantity: int
    unit: str
    unit_price: int
    amount: int


class PriceBreakdown(NamedTuple):
    """The formula with its figures: base cost, margin in millionths, and the bid rounded once at 18
    decimals.
    """

    lines: tuple[PriceLine, ...]
    base: int
    margin_ppm: int
    bid: int
    exact: bool


class EngineRules(NamedTuple):
    """The parts of a provider file that decide on one order; maxima in millicores and MiB, None = no
    limit.
    """

    enabled: bool
    cpu_price: int
    memory_price: int
    storage_price: int
    gpu_price: int
    margin_ppm: int
    min_order_value: int | None
    max_cpu: int | None
    max_memory: int | None
    max_storage: int | None
    allowed_regions: tuple[str, ...] | None
    excluded_attributes: tuple[str, ...]


def price_breakdown(rules: EngineRules, request: Request) -> PriceBreakdown:
    """Base cost = Σ resources × unit prices, exact; bid = base × (1 + margin), half to even at 18
    decimals. Raises InputError for an order that costs more than money holds.
    """
    parts = (
        ("cpu", request.cpu, "millicores", rules.cpu_price),
        ("memory", request.memory_mib, "MB", rules.memory_price),
        ("storage", request.storage_mib, "MB", rules.storage_price),
        ("gpu", request.gpu, "units", rules.gpu_price),
    )
    lines = tuple(PriceLine(name, count, unit, price, count * price) for name, count, unit, price in parts)
    base = sum(line.amount for line in lines)
    product = base * (PPM + rules.margin_ppm)
    if product >= PPM * WHOLE_MAX * ATTO or max(line.quantity for line in lines) >= QUANTITY_LIMIT:
        raise InputError(
            f"a bid on {request.cpu}m CPU, {request.memory_mib} MB memory, {request.storage_mib} MB storage: more than money holds"
        )
    return PriceBreakdown(lines, base, rules.margin_ppm, _bid(lines, rules.margin_ppm), product % PPM == 0)


def _bid(lines: tuple[PriceLine, ...], margin_ppm: int) -> int:
    """Return what a desk of a run asks with these unit prices for these quantities: cpu, memory, storage, gpu."""
    used = [line.unit_price if line.quantity else 0 for line in lines]  # what costs nothing may have any price
    desk = row_of(Desk, multiplier_ppm=PPM, margin_ppm=margin_ppm, decimals=DECIMALS)
    set_list_prices(desk, used)
    cpu, memory, storage, gpu = (line.quantity for line in lines)
    whole, atto = linear_price(desk, cpu, memory, storage, gpu, 0, 0)
    return int(whole) * ATTO + int(atto)


class FilterResult(NamedTuple):
    """One filter of the engine: `passed` is None where it was not checked; `code` is the refusal's name."""

    name: str
    passed: bool | None
    code: str
    detail: str


def check_filters(
    rules: EngineRules,
    request: Request,
    bid: int,
    price_ceiling: int | None,
    show: Mapping[str, str] | None = None,
) -> list[FilterResult]:
    """Every filter in the order of protocol.md §4.5; `price_ceiling` is per block in atto-uve, None where
    unknown.

    The first refusal in the list is the one an engine would give. `show` maps amounts' names to how they are
    printed.
    """
    words = show or {}
    found = [
        FilterResult(
            "enabled",
            rules.enabled,
            "engine_disabled",
            "bidding is on" if rules.enabled else "bidding is off",
        )
    ]
    found.append(_region(rules.allowed_regions, request.region))
    found.append(_excluded(rules.excluded_attributes, request.attributes))
    maxima = (
        ("max_cpu", request.cpu, rules.max_cpu, "millicores"),
        ("max_memory", request.memory_mib, rules.max_memory, "MB"),
        ("max_storage", request.storage_mib, rules.max_storage, "MB"),
    )
    for name, asked, most, unit in maxima:
        if most is None:
            found.append(FilterResult(name, True, "insufficient_resources", f"asks {asked} {unit}, no limit set"))
        else:
            relation = "within" if asked <= most else "above"
            found.append(FilterResult(name, asked <= most, "insufficient_resources", f"asks {asked} {unit}, {relation} {most}"))
    found.append(_least_value(rules.min_order_value, price_ceiling, words))
    if price_ceiling is None:
        found.append(FilterResult("price_ceiling", None, "price_too_high", "not checked, the price ceiling is not known"))
    else:
        relation = "within" if bid <= price_ceiling else "above"
        allowed = words.get("ceiling", str(price_ceiling))
        detail = f"bid {words.get('bid', bid)} is {relation} the ceiling {allowed} uve/block"
        found.append(FilterResult("price_ceiling", bid <= price_ceiling, "price_too_high", detail))
    return found


def _region(allowed: tuple[str, ...] | None, region: str | None) -> FilterResult:
    name, code = "allowed_regions", "invalid_attributes"
    if allowed is None:
        return FilterResult(name, True, code, "every region is allowed")
    if region is None:
        return FilterResult(name, True, code, "the order names no region")
    relation = "is one of" if region in allowed else "is not one of"
    return FilterResult(name, region in allowed, code, f"region {region} {relation} {', '.join(allowed)}")


def _excluded(excluded: tuple[str, ...], asked: Mapping[str, Set[str]]) -> FilterResult:
    name, code = "excluded_attributes", "invalid_attributes"
    for pair in excluded:
        key, _, value = pair.partition("=")
        if value in asked.get(key, ()):
            return FilterResult(name, False, code, f"the order asks for {pair}, which is excluded")
    detail = "nothing is excluded" if not excluded else "the order asks for nothing excluded"
    return FilterResult(name, True, code, detail)


def _least_value(least: int | None, ceiling: int | None, words: Mapping[str, str]) -> FilterResult:
    name, code = "min_order_value", "below_min_order_value"
    if least is None:
        return FilterResult(name, True, code, "no least value set")
    if ceiling is None:
        return FilterResult(name, None, code, "not checked, the price ceiling is not known")
    value = ceiling * EXPECTED_LIFETIME_BLOCKS
    relation = "at least" if value >= least else "below"
    detail = f"price ceiling × {EXPECTED_LIFETIME_BLOCKS} blocks = {words.get('value', value)} uve, {relation} {words.get('least', least)}"
    return FilterResult(name, value >= least, code, detail)
