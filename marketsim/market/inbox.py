"""Put dated messages into the inbox in the order in which blocks take them, and read what became of an order."""

from __future__ import annotations

from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled
from marketsim.kernel.table_set import Table
from marketsim.market.tables import Call, Engine


@compiled
def put(e: Engine, rows: Table, first: int, last: int) -> bool:
    """Insert rows first to last - 1 of a table of `Call`: by key, time and tie, after those that are equal to them.

    Returns False, with nothing done, when there is no room. Cheap for messages that come nearly in order.
    """
    x = e.globals
    begin, end = x.inbox, x.inbox_end
    room = e.inbox.shape[0]
    if end + last - first > room:
        live = end - begin
        if 2 * (live + last - first) > room:  # rows are moved to the front at most once for each that comes
            return False
        for at in range(live):
            for column in range(e.inbox.shape[1]):
                e.inbox[at, column] = e.inbox[begin + at, column]
        begin, end = 0, live
    for row in range(first, last):
        at = end
        while at > begin and goes_before(rows, row, e.inbox, at - 1):
            for column in range(e.inbox.shape[1]):
                e.inbox[at, column] = e.inbox[at - 1, column]
            at -= 1
        for column in range(e.inbox.shape[1]):
            e.inbox[at, column] = rows[row, column]
        end += 1
    x.inbox = begin
    x.inbox_end = end
    return True


@compiled
def goes_before(some: Table, row: int, others: Table, other: int) -> bool:
    """Return whether a message is due before another."""
    for column in (Call.key, Call.time, Call.tie):
        if some[row, column] != others[other, column]:
            return bool(some[row, column] < others[other, column])
    return False


@compiled
def is_in_order(rows: Table) -> bool:
    """Return whether messages stand in the order in which blocks take them: by key, then time, then tie."""
    row = 1
    while row < rows.shape[0] and not goes_before(rows, row, rows, row - 1):
        row += 1
    return bool(row >= rows.shape[0])


@compiled
def has_lease(s: State, e: Engine, plan: int) -> bool:
    """Return whether the deployment of a plan has a lease on its first group's newest order."""
    deployment = e.plans[plan].deployment
    if deployment < 0:
        return False
    group = s.deployments[deployment].first_group
    order = s.groups[group].last_order
    return bool(s.orders[order].lease >= 0)
