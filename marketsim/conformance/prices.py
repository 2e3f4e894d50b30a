"""Replay recorded questions to the bid engine's pricing and compare each answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from marketsim.conformance.report import MalformedVectorError, Result, Vector, compare
from marketsim.money.text import format_amount
from marketsim.strategies.rules import MonthlyTargets, MonthlyTargetScript, Refusal, request_from_script
from marketsim.strategies.virtengine import EngineConfig, EngineOrder, bid_price, matches


def replay(lines: Iterable[Vector], /) -> Iterator[Result]:
    """One result per line, one price: of VirtEngine's engine (`config`) or of Akash's script (`targets`)."""
    for line in lines:
        expected, found = _virtengine(line) if "config" in line else _script(line)
        name = str(line["id"])
        differences = tuple(compare(name, 0, "bid", expected, found))
        yield Result(name, 1, int(not differences), differences)


def _virtengine(line: Vector) -> tuple[dict[str, object], dict[str, object]]:
    order = EngineOrder.from_mapping(line["order"])
    config = EngineConfig.from_mapping(line["config"])
    price = bid_price(order, config.pricing)
    found: dict[str, object] = {
        "matches": matches(order, config) is None,
        "price": None if isinstance(price, Refusal) else format_amount(price),
    }
    return {"matches": line["matches"], "price": line["price"]}, found


def _script(line: Vector) -> tuple[dict[str, object], dict[str, object]]:
    try:
        script = MonthlyTargetScript(MonthlyTargets.from_mapping(line["targets"]))
    except ValueError as error:
        raise MalformedVectorError("targets", str(error)) from None
    try:
        request = request_from_script(line["request"])
    except ValueError as error:
        raise MalformedVectorError("request.price.amount", str(error)) from None
    return {"price": line["price"]}, {"price": script.printed(request)}
