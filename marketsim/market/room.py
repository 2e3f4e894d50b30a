"""The room that the tables must have before an entry of the calendar, a message or an order is worked on."""

from __future__ import annotations

from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled
from marketsim.market.tables import Engine

EVENT_ROOM = 4_096
"""Free rows of events that one calendar entry may need beside those of bids that end with a deployment (E.event_room holds both)."""
ENTRY_ROOM = 4_096
"""Free calendar entries that one entry may need at most: a timeout for each bid of a block."""
ROW_ROOM = 64
"""Free rows of every other table that one entry may need at most (groups of a deployment, grants of a deposit)."""


@compiled
def has_rows(s: State, e: Engine) -> bool:
    """Return whether every table has the room that one more entry may need."""
    g = s.globals
    x = e.globals
    return bool(
        g.events + x.event_room <= s.events.shape[0]
        and x.calendar + x.waiting + ENTRY_ROOM < e.calendar.shape[0]
        and x.later + ENTRY_ROOM < e.later.shape[0]
        and g.orders + ROW_ROOM <= s.orders.shape[0]
        and g.orders + ROW_ROOM <= e.tracks.shape[0]
        and g.groups + ROW_ROOM <= s.groups.shape[0]
        and g.deployments + ROW_ROOM <= s.deployments.shape[0]
        and g.deployments + ROW_ROOM <= e.plan_of.shape[0]
        and g.leases + ROW_ROOM <= s.leases.shape[0]
        and g.usage + ROW_ROOM <= s.usage.shape[0]
        and g.accounts + ROW_ROOM <= s.accounts.shape[0]
        and g.accounts + ROW_ROOM <= e.accounts.shape[0]
        and g.deposits + ROW_ROOM <= s.deposits.shape[0]
        and g.bids + ROW_ROOM <= s.bids.shape[0]
        and g.bids_live * 2 + ROW_ROOM <= s.bid_index.shape[0]
        and g.bits + ROW_ROOM <= s.bid_bits.shape[0]
        and s.accounts.shape[0] <= e.audit_values.shape[0]
        and x.offers + x.providers * ROW_ROOM <= e.offers.shape[0]
        and x.samples < e.samples.shape[0]
        and x.outcomes + x.hears * x.event_room <= e.outcomes.shape[0]
        and x.bids_rows + ROW_ROOM <= e.bid_rows.shape[0]
        and x.decline_rows + x.keep_bid_rows * (x.providers + 1) * ROW_ROOM <= e.decline_rows.shape[0]
    )
