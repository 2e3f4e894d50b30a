"""An agent for the notebook `agent`: a provider that bids a little less than the lowest open bid."""

from __future__ import annotations

from typing import Any


def undercutter(me: Any) -> Any:
    """Wait until others have bid, go below the lowest by `cut`, but never below a `floor` in uve a core and block."""
    cut, floor = me.options.get("cut", 0.02), me.options.get("floor", 2.0)
    while True:
        order = yield me.next_order(me.may_bid)
        yield me.sleep("40s")
        lowest = me.lowest_bid(order)
        if lowest is None or not order.is_open:
            continue
        price = int(lowest * (1 - cut))
        if price < floor * order.cpu * 10**15:
            continue
        ticket = yield me.outcome(me.bid(order, price))
        me.log(price=price / 1e18, lowest=lowest / 1e18, result=ticket.result)
