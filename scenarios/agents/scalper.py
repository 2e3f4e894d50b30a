"""An agent that undercuts: the function of scalper.yaml (docs/agents.md)."""

from __future__ import annotations


def scalper(me):
    """Wait until others have bid on an order, then bid a little less than the lowest of them, never below the cost of a millicore."""
    cut, cost = me.options.get("cut", 0.01), me.options.get("cost", 0.001)
    while True:
        order = yield me.next_order(me.may_bid)
        yield me.sleep(me.options.get("wait", "45s"))
        lowest = me.lowest_bid(order)
        if lowest is None or not order.is_open:
            continue
        price = int(lowest * (1 - cut))
        if price < int(order.cpu * cost * 10**18):
            continue
        ticket = yield me.outcome(me.bid(order, price))
        me.log(price=price / 1e18 / order.cpu, lowest=lowest / 1e18 / order.cpu, result=ticket.result, reason=ticket.reason)
