"""What became of the orders and leases of a record, counted in one pass over its columns."""

from __future__ import annotations

from marketsim.chain.columns import LeaseState, OrderEnd
from marketsim.kernel.compiled import compiled
from marketsim.kernel.rows import Row, column
from marketsim.kernel.table_set import Table


class OrderCounts(Row):
    """Orders by what became of them; relisted ones are counted in `relisted` alone."""

    created = column()
    relisted = column()
    leased = column()
    timed_out = column()
    cancelled = column("ended in any other way without a lease")
    open = column()


class LeaseCounts(Row):
    """Leases by how they stand; one whose order is closed is closed."""

    active = column()
    insufficient_funds = column()
    closed = column()


@compiled
def count_orders(relisted: Table, lease: Table, end: Table, unfilled: Table, counts: OrderCounts, reasons: Table) -> None:
    """Add the orders of those columns, int64 (orders,), to counts, and those that ended without a lease to `reasons` by their number in
    UNFILLED, its last one for those of which nobody gave a reason.
    """
    for order in range(relisted.shape[0]):
        if relisted[order] != 0:
            counts.relisted += 1
            continue
        counts.created += 1
        if lease[order] >= 0:
            counts.leased += 1
        elif end[order] == OrderEnd.NONE:
            counts.open += 1
        else:
            if end[order] == OrderEnd.TIMEOUT:
                counts.timed_out += 1
            else:
                counts.cancelled += 1
            reasons[unfilled[order] if 0 <= unfilled[order] < reasons.shape[0] else reasons.shape[0] - 1] += 1


@compiled
def count_leases(state: Table, closed_at: Table, counts: LeaseCounts) -> None:
    """Add the leases of those columns, int64 (leases,), to counts."""
    for lease in range(state.shape[0]):
        over = closed_at[lease] >= 0
        if state[lease] == LeaseState.ACTIVE or state[lease] == LeaseState.RECLAIMING:
            counts.active += 1
        if state[lease] == LeaseState.CLOSED or over:
            counts.closed += 1
        elif state[lease] == LeaseState.INSUFFICIENT_FUNDS:
            counts.insufficient_funds += 1
