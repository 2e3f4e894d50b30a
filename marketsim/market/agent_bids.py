"""The bids of users' agents: they wait for their block beside those of the built-in engines, and count as theirs do."""

from __future__ import annotations

from marketsim.chain.columns import BidState
from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled
from marketsim.market.desks import append_offer, new_offer
from marketsim.market.tables import Engine
from marketsim.money.pairs import is_less


@compiled
def date_agents_bid(s: State, e: Engine, height: int, order: int, desk_row: int, price: int, price_atto: int, time: int, tie: int) -> bool:
    """Date a bid for block `height`, submitted at `time` in milliseconds; False, with nothing done, where there is no room for it."""
    x = e.globals
    if x.free_offer < 0 and x.offers >= e.offers.shape[0]:
        return False
    offer = new_offer(e)
    row = e.offers[offer]
    row.order = order
    row.desk = desk_row
    row.price = price
    row.price_atto = price_atto
    row.time = time
    row.tie = tie
    row.bid = -1
    append_offer(e, height, offer)
    return True


@compiled
def lowest_open_bid(s: State, order: int) -> int:
    """Return the row of the cheapest open bid on an order, the oldest of equal ones; -1 where there is none."""
    best = -1
    bid = s.orders[order].first_bid
    while bid >= 0:
        b = s.bids[bid]
        if b.state == BidState.OPEN:
            if best < 0 or is_less(b.price, b.price_atto, s.bids[best].price, s.bids[best].price_atto):
                best = bid
        bid = b.next
    return int(best)
