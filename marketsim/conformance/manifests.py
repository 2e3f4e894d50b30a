"""Replay SDL manifests with the verdict of the chain's own parser, and the requests and prices of a provider's script."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from marketsim.conformance.report import MalformedVectorError, Result, Vector, compare
from marketsim.errors import InputError
from marketsim.money.text import format_amount, parse_atto
from marketsim.scenario.sdl import Sdl, SdlGroup, decode_text, manifest_source
from marketsim.simulation.manifest_orders import request_of
from marketsim.simulation.target_prices import DollarOrCoin
from marketsim.strategies.rules import MonthlyTargets, Refusal, script_input


def replay_sdl(lines: Iterable[Vector], /) -> Iterator[Result]:
    """One result per line, one manifest: is it taken, and what the parser makes of it."""
    for line in lines:
        name = str(line["id"])
        groups = _groups(_content(line))
        found: dict[str, object] = {"accepted": groups is not None}
        expected: dict[str, object] = {"accepted": line["accepted"]}
        if line["accepted"]:
            expected["groups"] = line["groups"]
            found["groups"] = None if groups is None else [_group(group) for group in groups]
        differences = tuple(compare(name, 0, "manifest", _by_number(expected), _by_number(found)))
        yield Result(name, 1, int(not differences), differences)


def replay_script(lines: Iterable[Vector], /) -> Iterator[Result]:
    """One result per line, one manifest: the bytes that a script reads, and the price by the built-in rule."""
    for line in lines:
        name = str(line["id"])
        groups = _groups(_content(line))
        if groups is None or len(groups) != 1:
            raise MalformedVectorError("sdl", "is no manifest of one placement, expected one that the chain takes")
        request = request_of(groups[0])
        price = _rule_of(line).price(request)
        found = {"request": script_input(request), "price": None if isinstance(price, Refusal) else format_amount(price)}
        expected = {"request": line["request"], "price": _price(line["price"])}
        differences = tuple(compare(name, 0, "script", expected, found))
        yield Result(name, 1, int(not differences), differences)


def _content(line: Vector) -> bytes:
    if "sdl_base64" not in line:
        text: str = line["sdl"]
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(line["sdl_base64"], validate=True)
    except (binascii.Error, ValueError):
        raise MalformedVectorError("sdl_base64", "is no base64") from None


def _groups(content: bytes) -> tuple[SdlGroup, ...] | None:
    """The groups of a manifest, None where it is refused."""
    try:
        source = manifest_source(decode_text(content, "sdl", wide=True), "sdl")
    except InputError:
        return None
    return None if source.problems else Sdl.of(source.data).groups()


def _group(group: SdlGroup) -> dict[str, Any]:
    """A group as the vectors write it."""
    return {
        "name": group.name,
        "attributes": group.attributes,
        "all_of": list(group.all_of),
        "any_of": list(group.any_of),
        "resources": [
            {
                "count": unit.count,
                "cpu": unit.cpu,
                "memory": unit.memory,
                "gpu": unit.gpu,
                "gpu_attributes": unit.gpu_attributes,
                "cpu_attributes": unit.cpu_attributes,
                "memory_attributes": {},
                "volumes": [{"name": v.name, "size": v.size, "attributes": v.attributes} for v in unit.volumes],
                "endpoints": [{"kind": endpoint.kind, "sequence": endpoint.sequence} for endpoint in unit.endpoints],
                "price": {"denom": unit.denom, "amount_atto": str(unit.price)},
            }
            for unit in group.resources
        ],
    }


def _by_number(value: object) -> object:
    """Lists as mappings from positions, so that a difference names its place."""
    if isinstance(value, Mapping):
        return {key: _by_number(part) for key, part in value.items()}
    if isinstance(value, list):
        return {str(number): _by_number(part) for number, part in enumerate(value)} or []
    return value


def _rule_of(line: Vector) -> DollarOrCoin:
    """The rule of a run's `monthly_targets`, with a line's targets."""
    try:
        plain = {key.lower(): text for key, text in line["targets"].items()}
        targets = MonthlyTargets.from_mapping(plain | {"gpu_mappings": line["gpu_mappings"]})
    except ValueError as error:
        raise MalformedVectorError("targets", str(error)) from None
    return DollarOrCoin(targets)


def _price(price: str | None) -> str | None:
    try:
        return None if price is None else format_amount(parse_atto(price))
    except ValueError as error:
        raise MalformedVectorError("price", str(error)) from None


__all__ = ["replay_script", "replay_sdl"]
