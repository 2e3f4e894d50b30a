"""Replay recorded messages to VirtEngine's usage escrow and compare result and complete state after each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from marketsim.chain.escrow.usage_settlement import UsageSettlementChain
from marketsim.conformance.report import Difference, MalformedVectorError, Result, Vector, compare
from marketsim.money.text import parse_atto


def replay(lines: Iterable[Vector], /) -> Iterator[Result]:
    """One result per sequence; an operation is identical when result and every changed object are."""
    for line in lines:
        yield _sequence(line)


def _sequence(line: Vector) -> Result:
    name = str(line["id"])
    chain = UsageSettlementChain({wallet: int(coins) for wallet, coins in line["wallets"].items()})
    before = _objects(chain)
    differences: list[Difference] = []
    identical = 0
    for index, op in enumerate(line["ops"]):
        result = _apply(chain, op, index)
        after = _objects(chain)
        changed = {key: value for key, value in after.items() if before.get(key) != value}
        found = list(compare(name, index, op["op"], {"result": op["result"]}, {"result": result}))
        expected = op.get("changed", {})
        for key in sorted(set(expected) | set(changed)):
            # an object that one side leaves out is as it was before the message
            was = before.get(key)
            found += compare(name, index, key, expected.get(key, was), changed.get(key, was))
        identical += not found
        differences += found
        before = after
    return Result(name, len(line["ops"]), identical, tuple(differences))


def _apply(chain: UsageSettlementChain, op: Vector, index: int) -> str:
    """Hand one recorded operation to the chain; the answer's name."""
    now, kind = op["time"], op["op"]
    match kind:
        case "create":
            return chain.create(now, op["order"], op["by"], int(op["amount"]), op["seconds"])
        case "activate":
            return chain.activate(now, op["order"], op["by"])
        case "usage":
            try:
                price = parse_atto(op["unit_price"])
            except ValueError as error:
                raise MalformedVectorError(f"ops[{index}].unit_price", str(error)) from None
            return chain.record_usage(op["order"], op["by"], op["usage"], op["units"], price)
        case "settle":
            return chain.settle(now, op["order"], op.get("usage_ids", ()), final=op.get("final", False))
        case "release":
            return chain.release(now, op["order"])
        case "refund":
            return chain.refund(op["order"])
        case "dispute":
            return chain.dispute(now, op["order"])
        case "block":
            chain.begin_block(now)
            chain.end_block(now)
            return "ok"
    raise MalformedVectorError(f"ops[{index}].op", f"{kind!r}, expected an operation of the usage escrow")


def _objects(chain: UsageSettlementChain) -> dict[str, Any]:
    """The complete state, object by object, in the vectors' words."""
    objects: dict[str, Any] = {f"wallet {name}": str(coins) for name, coins in chain.wallets.items()}
    for order, escrow in chain.escrows.items():
        objects[f"escrow {order}"] = {
            "balance": str(escrow.balance),
            "recipient": escrow.recipient,
            "state": str(escrow.state),
        }
    for key, record in chain.usage.items():
        objects[f"usage {key}"] = {"cost": str(record.cost), "order": record.order, "settled": record.settled}
    for paid in chain.settlements:
        objects[f"settlement {paid.order}/{paid.number}"] = {
            "type": str(paid.type),
            "total": str(paid.total),
            "provider": str(paid.provider),
            "platform": str(paid.platform),
            "validator": str(paid.validator),
            "final": paid.final,
        }
    return objects
