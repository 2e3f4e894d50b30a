"""Room in the tables: what is done next says by number how many rows it may add, before its first write; here they are counted and made.

Compiled code writes without looking at the length of a table. So whatever adds rows asks first, the block loop for each thing that is due
(`asked_by_next`) and Python for what it is about to do (`BlockClock.make_room`). Four numbers say it: orders that are opened and quoted,
bids that are placed, entries of the calendar, and events. Everything else comes with these or has the room of a few rows at any time.
"""

from __future__ import annotations

from typing import Any

from marketsim.chain.columns import EscrowRule
from marketsim.chain.event_room import EVENTS_AN_END, EVENTS_MORE, events_of, events_of_bid
from marketsim.chain.room import with_room
from marketsim.chain.state import BITS_A_WORD, State
from marketsim.kernel.compiled import address_of, compiled, compiled_inline
from marketsim.kernel.intrinsics import LINE, rarely
from marketsim.kernel.table_set import Table, longer, rows_of
from marketsim.market.calendar import CHUNK_BITS, FIRST, KINDS
from marketsim.market.tables import BidOutcome, BidRow, Chunk, Desk, Engine, Entry, Kind, Later, Offer, Sample, Track, Watch

NOWHERE, CALENDAR, INBOX, RING_OF_BIDS = 0, 1, 2, 3
"""Where what is due next waits."""

ROWS = 64
"""Free rows of every table beyond what is asked for."""
ENTRIES = 4_096
"""Free entries of the calendar beyond what is asked for."""
ENTRIES_AN_ORDER = 4
"""Entries of the calendar for an order that is opened: its decision, its timeout, and what its account needs."""
ENTRIES_A_BID = 2
"""Entries of the calendar for a bid: its timeout, and the look of a tenant who waits for it."""
EVENTS_A_BID = 4
"""Events of a bid that is placed: its deposit, itself, its fee."""
OUTCOMES = 65_536
"""Free rows of outcomes beyond what is asked for, where somebody hears; more bids than that do not end at once."""
EVENTS_AHEAD = 65_536
"""Rows of events beyond what must be free where any are kept, so that the record is not handed over too often."""

WRITTEN_FIRST = ("accounts", "offers", "calendar", "later")
"""Tables of which nothing is read before it is written."""


@compiled
def ask_room(e: Engine, orders: int, bids: int, entries: int, events: int) -> None:
    """Write down what room is asked for."""
    x = e.globals
    x.asked_orders = orders
    x.asked_bids = bids
    x.asked_entries = entries
    x.asked_events = events


@compiled_inline
def asked_by_next(s: State, e: Engine, source: int) -> tuple[int, int, int, int]:
    """Return the orders, bids, entries of the calendar and events that the thing due next may add; `source` is where it waits."""
    x = e.globals
    orders, bids, entries, events = 0, 0, 0, 0
    if source == RING_OF_BIDS:
        bids = x.dated
    elif source == INBOX:
        call = e.inbox[x.inbox]
        if call.kind == Kind.ARRIVE:
            orders = call.drafts
        elif rarely(call.kind == Kind.OUTAGE):
            entries = s.providers[call.desk].active_leases
    elif source == CALENDAR:
        what = e.calendar[FIRST].what
        kind = what % KINDS
        if kind == Kind.DECIDE:
            entries = e.tracks[what // KINDS].offers
        elif kind == Kind.START_GROUP:
            orders = 1
        elif rarely(s.globals.escrow == EscrowRule.USAGE):
            deployment = deployment_of(s, e, kind, what // KINDS)
            if deployment >= 0:
                entries = s.accounts[s.deployments[deployment].account].open
    if rarely(s.globals.event_mask != 0):
        events = events_of_next(s, e, source)
    return orders, bids, entries, events


@compiled
def deployment_of(s: State, e: Engine, kind: int, row: int) -> int:
    """Return the deployment that an entry of the calendar is about, -1 for none."""
    order = -1
    if kind == Kind.DECIDE or kind == Kind.ORDER_TIMEOUT or kind == Kind.PATIENCE:
        order = row
    elif kind == Kind.BID_TIMEOUT:
        order = e.offers[row].order
    elif kind == Kind.CLOSE_BID:
        order = s.bids[row].order
    elif kind == Kind.GRACE or kind == Kind.DUE or kind == Kind.TOP_UP:
        return int(s.accounts[row].target)
    elif kind == Kind.START_GROUP:
        return int(s.groups[row].deployment)
    elif kind == Kind.CLOSE_DEPLOYMENT:
        return int(row)
    elif kind != Kind.SAMPLE and kind != Kind.REPRICE and kind != Kind.WARM_UP:
        order = s.leases[row].order
    return int(s.orders[order].deployment) if order >= 0 else -1


@compiled
def events_of_next(s: State, e: Engine, source: int) -> int:
    """Return how many events the thing due next may cause, of all kinds; bids that are placed apart."""
    x = e.globals
    deployment = -1
    more = 0
    if source == INBOX:
        call = e.inbox[x.inbox]
        if call.kind == Kind.ARRIVE:
            return EVENTS_MORE + 2 * EVENTS_AN_END * call.drafts
        if call.kind == Kind.SETTLE or call.kind == Kind.DEPOSIT:
            deployment = s.accounts[call.account].target
        elif call.kind == Kind.CLOSE_DEPLOYMENT:
            deployment = call.deployment
    elif source == CALENDAR:
        what = e.calendar[FIRST].what
        kind = what % KINDS
        if kind == Kind.REPRICE:
            return int(x.providers)
        if kind == Kind.SAMPLE:
            deployment = next_folded(s, e)
        else:
            deployment = deployment_of(s, e, kind, what // KINDS)
            if kind == Kind.CLOSE_BID:
                more = events_of_bid(s, what // KINDS)
    elif source == RING_OF_BIDS:
        deployment = next_folded(s, e)
    return more + events_of(s, deployment)


@compiled
def next_folded(s: State, e: Engine) -> int:
    """Return the deployment of the account that is next where all living ones are settled, -1 when they are."""
    x = e.globals
    return int(s.accounts[e.alive[x.fold_cursor]].target) if x.fold_cursor < x.alive else -1


@compiled_inline
def has_rows(s: State, e: Engine, orders: int, bids: int, entries: int, events: int) -> bool:
    """Return whether every table has the room that is asked for."""
    g = s.globals
    x = e.globals
    rows = orders + ROWS
    entries += ENTRIES + ENTRIES_AN_ORDER * orders + ENTRIES_A_BID * bids
    return bool(
        g.events + x.event_room + events + EVENTS_A_BID * bids <= s.events.shape[0]
        and x.calendar + x.waiting + entries < e.calendar.shape[0]
        and x.later + rows_of_later(entries, e.chunks.shape[0]) < e.later.shape[0]
        and g.orders + rows <= s.orders.shape[0]
        and g.orders + rows <= e.tracks.shape[0]
        and g.groups + rows <= s.groups.shape[0]
        and g.deployments + ROWS <= s.deployments.shape[0]
        and g.deployments + ROWS <= e.plan_of.shape[0]
        and g.leases + ROWS <= s.leases.shape[0]
        and g.usage + ROWS <= s.usage.shape[0]
        and g.accounts + bids + ROWS <= s.accounts.shape[0]
        and g.accounts + bids + ROWS <= e.accounts.shape[0]
        and x.audit * s.accounts.shape[0] <= e.audit_values.shape[0]
        and s.accounts.shape[0] <= e.alive.shape[0]
        and g.deposits + bids + ROWS <= s.deposits.shape[0]
        and g.bids + bids + ROWS <= s.bids.shape[0]
        and has_bid_places(s, bids)
        and bids <= e.batch.shape[0]
        and x.offers + x.providers * rows <= e.offers.shape[0]
        and x.samples < e.samples.shape[0]
        and x.outcomes + x.hears * (OUTCOMES + bids) <= e.outcomes.shape[0]
        and x.bids_rows + x.keep_bid_rows * (bids + ROWS) <= e.bid_rows.shape[0]
        and x.decline_rows + x.keep_bid_rows * most_declines(e, rows, bids) <= e.decline_rows.shape[0]
    )


@compiled_inline
def rows_of_later(entries: int, chunks: int) -> int:
    """Return the rows of `later` that so many entries may take: each chunk of blocks has one that is not full."""
    return entries // Later.ENTRIES + min(entries, chunks)


@compiled_inline
def most_declines(e: Engine, rows: int, bids: int) -> int:
    """Return the numbers in the record of declines that so many orders and bids may add, with the heights before them."""
    return max((e.globals.providers + 1) * rows, bids + 1)


@compiled_inline
def has_bid_places(s: State, bids: int) -> bool:
    """Return whether so many more bids can be remembered: in the index where ended bids are kept, else in the bits of their orders."""
    g = s.globals
    if rarely(g.keep_bids == 1):
        return bool((g.bids_live + bids) * 2 + ROWS <= s.bid_index.shape[0])
    return bool(g.bits + bids + ROWS <= s.bid_bits.shape[0] and g.providers <= s.bid_bits.shape[1] * BITS_A_WORD)


def make_room(chain: State, engine: Engine) -> tuple[State, Engine]:
    """Return the tables with the room that was asked for last (`ask_room`), at least that of anything usual.

    Raises RuntimeError where they still lack it, which no run should see: better no result than one written over others.
    """
    x = engine.globals
    orders, bids, entries, events = (int(number) for number in (x.asked_orders, x.asked_bids, x.asked_entries, x.asked_events))
    bids = max(bids, int(x.offers))  # all offers that there are may be dated for one block
    rows = orders + ROWS
    entries += ENTRIES + ENTRIES_AN_ORDER * orders + ENTRIES_A_BID * bids + ROWS
    chain = with_room(
        chain,
        events=int(x.event_room) + events + EVENTS_A_BID * bids + (EVENTS_AHEAD if chain.globals.event_mask else 0),
        orders=rows,
        groups=rows,
        deployments=ROWS,
        leases=ROWS,
        usage=ROWS,
        accounts=ROWS + bids,
        deposits=ROWS + bids,
        bids=ROWS + bids,
    )
    changes: dict[str, Any] = {}
    chunks = max(len(engine.chunks), (int(x.horizon) >> CHUNK_BITS) + 2)
    wanted: dict[str, tuple[int, Any]] = {  # by table, the rows that it needs and what they are of
        "tracks": (len(chain.orders), Track),
        "accounts": (len(chain.accounts), Watch),
        "offers": (int(x.offers) + int(x.providers) * rows, Offer),
        "calendar": (int(x.calendar + x.waiting) + entries, Entry),
        "later": (int(x.later) + rows_of_later(entries, chunks) + ROWS, Later.SIZE),
        "samples": (int(x.samples) + ROWS, Sample),
        "audit_values": (int(x.audit) * len(chain.accounts), 2),
        "bid_rows": (int(x.bids_rows) + int(x.keep_bid_rows) * (bids + ROWS), BidRow),
        "outcomes": (int(x.outcomes) + int(x.hears) * (2 * OUTCOMES + bids), BidOutcome),
    }
    if address_of(engine.desks) % LINE:
        changes["desks"] = rows_of(len(engine.desks), Desk)
        changes["desks"][:] = engine.desks
    if len(engine.chunks) == 1:
        changes["chunks"] = rows_of(chunks, Chunk)
    for name, (needed, kind) in wanted.items():
        table: Table = getattr(engine, name)
        if len(table) < needed:
            changes[name] = longer(table, len(table), needed, kind, name not in WRITTEN_FIRST)
    if len(engine.nodes):  # where replicas stand, row for row beside offers and orders
        for name, beside in (("offer_nodes", "offers"), ("order_nodes", "tracks")):
            wanted_rows, places = len(changes.get(beside, getattr(engine, beside))), getattr(engine, name)
            if len(places) < wanted_rows:
                changes[name] = longer(places, len(places), wanted_rows, places.shape[1])
    lines = {
        "plan_of": len(chain.deployments),
        "alive": len(chain.accounts),
        "batch": bids + ROWS,
        "decline_rows": int(x.decline_rows + most_declines(engine, rows, bids)) if x.keep_bid_rows else 0,
    }
    for name, needed in lines.items():
        line: Table = getattr(engine, name)
        if len(line) < needed:
            changes[name] = longer(line, len(line), needed, 0)
    engine = engine._replace(**changes) if changes else engine
    if not has_rows_asked(chain, engine):
        raise RuntimeError(f"tables without the room for {orders} orders, {bids} bids, {entries} entries and {events} events")
    return chain, engine


@compiled
def has_rows_asked(s: State, e: Engine) -> bool:
    """Return whether every table has the room that was asked for last."""
    x = e.globals
    return has_rows(s, e, x.asked_orders, x.asked_bids, x.asked_entries, x.asked_events)
