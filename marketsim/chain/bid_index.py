"""Remember which provider has bid on which order, for as long as the order is not closed.

Where ended bids are kept, an open-addressed hash finds the bid row of (order row, wallet row). It
stores no keys, an entry's row names its order and provider, and nothing is taken out: when it is half
full it is made anew without the bids on closed orders. Where they are not kept, an open order has a bit for each provider instead.
"""

from __future__ import annotations

from marketsim.chain.columns import OrderState
from marketsim.chain.state import BITS_A_WORD, State
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.intrinsics import rarely

EMPTY = -1


@compiled_inline
def has_bid(s: State, order: int, wallet: int, slot: int) -> bool:
    """Return whether the provider has ever bid on the order, which is open: by the order's bits, or by
    the index where ended bids are kept."""
    if rarely(s.globals.keep_bids == 1):
        return bid_slot(s, order, wallet) < 0
    row = s.orders[order].bits
    return bool(row > 0 and (s.bid_bits[row - 1, slot // BITS_A_WORD] >> (slot % BITS_A_WORD)) & 1 == 1)


@compiled_inline
def enter_bid(s: State, order: int, wallet: int, slot: int, bid: int) -> None:
    """Remember a new bid, whose row already names its order and provider."""
    g = s.globals
    if rarely(g.keep_bids == 1):
        bid_insert(s, bid_slot(s, order, wallet), bid)
        return
    row = s.orders[order].bits
    if rarely(row == 0):
        row = g.free_bits
        if row > 0:
            g.free_bits = s.bid_bits[row - 1, 0]
            s.bid_bits[row - 1, 0] = 0
        else:
            row = g.bits + 1
            g.bits = row
        s.orders[order].bits = row
    s.bid_bits[row - 1, slot // BITS_A_WORD] |= 1 << (slot % BITS_A_WORD)


@compiled
def forget_bids(s: State, order: int) -> None:
    """Give back the bits of an order that is no longer open: from now on its state refuses every bid."""
    row = s.orders[order].bits
    if row > 0:
        for word in range(s.bid_bits.shape[1]):
            s.bid_bits[row - 1, word] = 0
        s.bid_bits[row - 1, 0] = s.globals.free_bits
        s.globals.free_bits = row
        s.orders[order].bits = 0


@compiled
def home_slot(order: int, wallet: int, mask: int) -> int:
    """Return the slot at which the search for a key begins; rows stay below 2^30, so that nothing wraps."""
    mixed = order * 2654435761 + wallet * 2246822519
    return (mixed ^ (mixed >> 29)) & mask


@compiled
def bid_slot(s: State, order: int, wallet: int) -> int:
    """Return the free slot for a new bid, or -1 - slot when the provider has one on the order already."""
    mask = s.bid_index.shape[0] - 1
    slot = home_slot(order, wallet, mask)
    bid = s.bid_index[slot]
    while bid != EMPTY:
        if s.bids[bid].order == order and s.bids[bid].provider == wallet:
            return -1 - slot
        slot = (slot + 1) & mask
        bid = s.bid_index[slot]
    return slot


@compiled
def bid_insert(s: State, slot: int, bid: int) -> None:
    """Enter a bid at the free slot that `bid_slot` returned; its row already names order and provider."""
    s.bid_index[slot] = bid
    s.globals.bids_live += 1


@compiled
def closed_bids(s: State) -> int:
    """Return how many bids of the index are on orders that are closed: their state refuses every other one."""
    found = 0
    for at in range(s.bid_index.shape[0]):
        bid = s.bid_index[at]
        if bid >= 0 and s.orders[s.bids[bid].order].state == OrderState.CLOSED:
            found += 1
    return found


@compiled
def fill_bid_index(s: State, old: State) -> None:
    """Enter the bids of `old`'s index on orders that are not closed into the index of `s`, which is empty
    and large enough; the bids are the same rows."""
    for at in range(old.bid_index.shape[0]):
        bid = old.bid_index[at]
        if bid >= 0 and s.orders[s.bids[bid].order].state != OrderState.CLOSED:
            s.bid_index[bid_slot(s, s.bids[bid].order, s.bids[bid].provider)] = bid
