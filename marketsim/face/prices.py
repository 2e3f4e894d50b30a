"""What a provider file asks for an order, and which filter would refuse it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from marketsim.errors import InputError
from marketsim.face.finding import Finding
from marketsim.money.text import format_amount
from marketsim.money.units import BLOCKS_A_MONTH
from marketsim.scenario.files import load_provider, load_sdl
from marketsim.scenario.literals import parse_cores, parse_money, parse_size
from marketsim.scenario.model import EQUAL_COINS
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.shipped import found_file
from marketsim.strategies.exact import (
    EXPECTED_LIFETIME_BLOCKS,
    EngineRules,
    FilterResult,
    PriceBreakdown,
    Request,
    check_filters,
    price_breakdown,
)

DAY_BLOCKS = 14_400
"""Blocks of 6 s in a day."""


def price(
    provider: str | os.PathLike[str],
    sdl: str | os.PathLike[str] | None = None,
    *,
    cpu: str | int | None = None,
    memory: str | None = None,
    storage: str | None = None,
    gpu: int = 0,
    region: str | None = None,
    attributes: Mapping[str, str] | None = None,
    price_max: str | None = None,
) -> Finding:
    """Return what a provider file asks for an order and which of its filters would refuse it.

    The order is an SDL manifest, or sizes: `cpu` in millicores (`"1000m"`) or cores (`"0.5"`), `memory` and `storage` with a unit
    (`"2Gi"`), `gpu` units; `price_max` is its ceiling per block (`"0.5uve"`), `attributes` what it requires. `data["orders"]` has for
    each order the bid (uve a block, an exact text), its lines and the filters; `holds` says whether all would be bid on. Raises
    InputError for files and sizes that make no sense.

    >>> import marketsim as ms
    >>> ms.price("providers/training", cpu="1000m", memory="2048Mi", storage="10Gi").data["orders"][0]["bid"]
    '0.00143792'
    """
    file = str(found_file(provider, "providers"))
    rules = engine_rules(load_provider(file))
    pairs = [f"{key}={value}" for key, value in (attributes or {}).items()]
    manifest = None if sdl is None else str(found_file(sdl, "sdl"))
    orders = asked_orders(manifest, None if cpu is None else str(cpu), memory, storage, gpu, region, pairs, price_max)
    quotes = [quote_of(name, rules, request, ceiling) for name, request, ceiling in orders]
    bids = all(quote["refused_by"] is None for quote in quotes)
    lines = [line for (_, request, _), quote in zip(orders, quotes, strict=True) for line in [*quote_lines(file, request, quote), ""]]
    return Finding({"provider": file, "bids": bids, "orders": quotes}, lines[:-1], holds=bids)


def engine_rules(config: ProviderFile) -> EngineRules:
    """The parts of a provider file that decide on one order."""
    engine, filters = config.bid_engine, config.filters
    return EngineRules(
        enabled=engine.enabled,
        cpu_price=engine.pricing.cpu_millicores,
        memory_price=engine.pricing.memory_mb,
        storage_price=engine.pricing.storage_mb,
        gpu_price=engine.pricing.gpu,
        margin_ppm=engine.margin_ppm,
        min_order_value=filters.min_order_value,
        max_cpu=filters.max_cpu,
        max_memory=filters.max_memory,
        max_storage=filters.max_storage,
        allowed_regions=filters.allowed_regions,
        excluded_attributes=filters.excluded_attributes,
    )


def asked_orders(
    sdl: str | None,
    cpu: str | None,
    memory: str | None,
    storage: str | None,
    gpu: int,
    region: str | None,
    attributes: Sequence[str],
    price_max: str | None,
) -> list[tuple[str, Request, int | None]]:
    """Name, request and price ceiling of each order; InputError for options that make no sense, all at
    once.
    """
    errors: list[str] = []

    def read(option: str, parse: Any, text: str | None) -> Any:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            errors.append(f"{option}: {error}")
            return None

    sizes = {"--cpu": cpu, "--memory": memory, "--storage": storage}
    if sdl is None:
        missing = [option for option, value in sizes.items() if value is None]
        if missing:
            errors.append(f"{', '.join(missing)}: missing, give an SDL or --cpu 1000m --memory 2048Mi --storage 10Gi")
    elif any(value is not None for value in sizes.values()) or gpu:
        errors.append(f"{sdl}: stands beside --cpu, --memory, --storage or --gpu, give either an SDL or sizes")
    wanted: dict[str, set[str]] = {}
    for pair in attributes:
        key, equals, value = pair.partition("=")
        if not (equals and key.strip() and value.strip()):
            errors.append(f"--attribute: '{pair}' is not an attribute, write key=value such as gpu-type=nvidia-a100")
        wanted.setdefault(key.strip(), set()).add(value.strip())
    ceiling = read("--price-max", parse_money, price_max)
    cores, memory_bytes, storage_bytes = (
        read("--cpu", parse_cores, cpu),
        read("--memory", parse_size, memory),
        read("--storage", parse_size, storage),
    )
    manifest = None
    if sdl is not None:
        try:
            manifest = load_sdl(sdl)
        except InputError as error:
            errors += error.lines
    if errors:
        raise InputError(errors)
    if manifest is None:
        named = region if region is not None else next(iter(wanted.get("region", ())), None)
        return [("order", Request(cores, memory_bytes, storage_bytes, gpu, named, wanted), ceiling)]
    orders: list[tuple[str, Request, int | None]] = []
    for group in manifest.groups():
        asked = group.requested()
        for key, values in wanted.items():
            asked.setdefault(key, set()).update(values)
        named = region if region is not None else group.attributes.get("region")
        request = Request(group.cpu, group.memory, group.storage, group.gpu, named, asked)
        known = group.ceiling if group.denom in EQUAL_COINS else None  # what other coins are worth only a scenario says
        orders.append((group.name, request, known if ceiling is None else ceiling))
    return orders


def quote_of(name: str, rules: EngineRules, request: Request, ceiling: int | None) -> dict[str, Any]:
    """One order's figures as plain data; money as exact decimal text in uve."""
    breakdown = price_breakdown(rules, request)
    words = {"bid": format_amount(breakdown.bid)}
    if ceiling is not None:
        words |= {
            "ceiling": format_amount(ceiling),
            "value": format_amount(ceiling * EXPECTED_LIFETIME_BLOCKS),
        }
    if rules.min_order_value is not None:
        words["least"] = format_amount(rules.min_order_value)
    filters = check_filters(rules, request, breakdown.bid, ceiling, words)
    refusal = next((result for result in filters if result.passed is False), None)
    return {
        "order": name,
        "cpu_millicores": request.cpu,
        "memory_mb": request.memory_mib,
        "storage_mb": request.storage_mib,
        "gpu": request.gpu,
        "region": request.region,
        "lines": _formula(breakdown),
        "base": format_amount(breakdown.base),
        "margin_percent": _percent(breakdown.margin_ppm),
        "bid": format_amount(breakdown.bid),
        "bid_exact": breakdown.exact,
        "bid_ve": _ve(breakdown.bid),
        "per_day_uve": format_amount(breakdown.bid * DAY_BLOCKS),
        "per_month_uve": format_amount(breakdown.bid * BLOCKS_A_MONTH),
        "per_month_ve": _ve(breakdown.bid * BLOCKS_A_MONTH),
        "filters": [_filter(result) for result in filters],
        "refused_by": None if refusal is None else refusal.name,
        "code": None if refusal is None else refusal.code,
    }


def _formula(breakdown: PriceBreakdown) -> list[dict[str, Any]]:
    return [
        {
            "resource": line.resource,
            "quantity": line.quantity,
            "unit": line.unit,
            "unit_price": format_amount(line.unit_price),
            "amount": format_amount(line.amount),
        }
        for line in breakdown.lines
    ]


def _filter(result: FilterResult) -> dict[str, Any]:
    state = {True: "passes", False: "refuses", None: "not checked"}[result.passed]
    return {"name": result.name, "state": state, "code": result.code, "detail": result.detail}


def _ve(atto: int) -> str:
    """An amount in VE, exact: 1 VE = 10⁶ uve, so up to 24 decimals."""
    whole, rest = divmod(atto, 10**24)
    return f"{whole}" + (f".{rest:024d}".rstrip("0") if rest else "")


def _percent(ppm: int) -> str:
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}" + (f".{rest:04d}".rstrip("0") if rest else "")


def quote_lines(provider: str, request: Request, quote: dict[str, Any]) -> list[str]:
    """The quote as a terminal shows it."""
    asked = f"{request.cpu}m CPU, {request.memory_mib} MB memory, {request.storage_mib} MB storage"
    asked += f", {request.gpu} GPU" if request.gpu else ""
    asked += f", region {request.region}" if request.region else ""
    title = quote["order"] if quote["order"] != "order" else "Order"
    out = [f"{title}: {asked}", f"Provider file: {provider}", ""]
    shown = [line for line in quote["lines"] if line["quantity"] or line["resource"] != "gpu"]
    widths = [max(len(str(line[key])) for line in shown) for key in ("quantity", "unit_price", "amount")]
    for line in shown:
        product = f"{line['quantity']:>{widths[0]}} {line['unit']:<10} × {line['unit_price']:<{widths[1]}} uve"
        out.append(f"  {line['resource']:<8} {product} = {line['amount']:>{widths[2]}} uve")
    margin = quote["margin_percent"]
    out += [
        f"  base cost = {quote['base']} uve/block",
        f"  bid = {quote['base']} × (1 + {margin} %) = {quote['bid']} uve/block"
        + ("" if quote["bid_exact"] else " (rounded half to even at 18 decimals)"),
    ]
    if any(len(quote[key].partition(".")[2]) > 6 for key in ("base", "bid")):
        cuts = f"{_cut(quote['base'])} and {_cut(quote['bid'])}"
        out.append(f"  cut to six decimals, as the training document prints them: {cuts}")
    out += [
        f"  = {quote['bid_ve']} VE/block",
        f"  = {quote['per_day_uve']} uve a day ({DAY_BLOCKS:,} blocks of 6 s)",
        f"  = {quote['per_month_uve']} uve = {quote['per_month_ve']} VE a month ({BLOCKS_A_MONTH:,} blocks)",
        "",
        "Filters, in the engine's order:",
    ]
    for result in quote["filters"]:
        detail = result["detail"].removeprefix("not checked, ")
        reason = f" [{result['code']}]" if result["state"] == "refuses" else ""
        hint = " (give --price-max)" if result["state"] == "not checked" else ""
        out.append(f"  {result['name']:<20} {result['state']:<12} {detail}{hint}{reason}")
    if quote["refused_by"] is None:
        out += ["", f"The engine bids {quote['bid']} uve/block."]
    else:
        out += ["", f"The engine does not bid: {quote['refused_by']} refuses ({quote['code']})."]
    return out


def _cut(amount: str) -> str:
    """The amount cut after six decimals, as the training document prints it."""
    whole, _, decimals = amount.partition(".")
    return f"{whole}.{decimals[:6].ljust(6, '0')}"
