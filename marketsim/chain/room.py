"""Room for more rows in the chain's tables: whoever adds some asks for them here first."""

from __future__ import annotations

from typing import Any

import numpy as np

from marketsim.chain.bid_index import closed_bids, fill_bid_index
from marketsim.chain.columns import Charging
from marketsim.chain.state import AS_WRITTEN, BITS_A_WORD, TABLES, State
from marketsim.kernel.table_set import Table, longer


def with_room(state: State, **needed: int) -> State:
    """Return the tables with at least `needed[name]` free rows in each named table, the contents kept.

    `bids` also makes room to remember who has bid on what. Growth doubles, so that filling costs linear time.
    """
    changes: dict[str, Any] = {}
    if "usage" in needed and state.globals.charging == Charging.VE_SETTLEMENT:
        needed["usage_escrows"] = needed["usage"]
    for name, free in needed.items():
        counter, width = TABLES[name]
        table: Table = getattr(state, name)
        used = int(state.globals[counter])
        if used + free > len(table):
            changes[name] = longer(table, used, used + free, width, name not in AS_WRITTEN)
    grown_state = state._replace(**changes) if changes else state
    if "bids" not in needed:
        return grown_state
    if state.globals.keep_bids == 0:
        return _with_bid_bits(grown_state, needed["bids"])
    return _with_bid_index(grown_state, int(state.globals.bids_live) + needed["bids"])


def _with_bid_index(state: State, live: int) -> State:
    """Return the tables with a bid index that `live` entries fill to half at most, to a quarter where it was made anew: without the bids on
    orders that are closed, which take none any more."""
    if 2 * live <= len(state.bid_index):
        return state
    gone = int(closed_bids(state))
    size = max(len(state.bid_index), 1 << (4 * max(live - gone, 1) - 1).bit_length())
    made = state._replace(bid_index=np.full(size, -1, np.int64))
    made.globals.bids_live -= gone
    fill_bid_index(made, state)
    return made


def _with_bid_bits(state: State, orders: int) -> State:
    """Return the tables with free rows of `bid_bits` for `orders` more orders, wide enough for every provider."""
    words = max(1, -(-int(state.globals.providers) // BITS_A_WORD))
    rows, width = state.bid_bits.shape
    used = int(state.globals.bits)
    if used + orders <= rows and words <= width:
        return state
    grown = np.zeros((max(used + orders, 2 * rows), max(words, width)), np.int64)
    grown[:rows, :width] = state.bid_bits
    return state._replace(bid_bits=grown)
