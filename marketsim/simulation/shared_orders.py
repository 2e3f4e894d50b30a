"""Orders that several runs of one process share: design points that differ in their providers alone have, with one seed, one demand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

from marketsim.simulation.orders import CohortOrders

KEPT_BYTES = 1 << 26
"""Memory of the orders that a process keeps; those used longest ago go first."""


class _Kept:
    def __init__(self) -> None:
        self._orders: OrderedDict[Hashable, CohortOrders] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, key: Hashable) -> CohortOrders | None:
        with self._lock:
            found = self._orders.get(key)
            if found is not None:
                self._orders.move_to_end(key)
            return found

    def keep(self, key: Hashable, orders: CohortOrders) -> None:
        size = _bytes_of(orders)
        with self._lock:
            if key in self._orders or size > KEPT_BYTES:
                return
            self._orders[key] = orders
            self._bytes += size
            while self._bytes > KEPT_BYTES:
                self._bytes -= _bytes_of(self._orders.popitem(last=False)[1])


def _bytes_of(orders: CohortOrders) -> int:
    return sum(table.nbytes for table in (orders.calls, orders.plans, orders.drafts, orders.resources, orders.tenants, orders.value))


_KEPT = _Kept()
_DEMAND: ContextVar[Hashable] = ContextVar("demand", default=None)


@contextmanager
def sharing(demand: Hashable) -> Iterator[None]:
    """While it lasts, orders that are drawn are kept for other runs with the same `demand`, and taken from them; None keeps nothing.

    `demand` names everything that draws of orders depend on but for the seed.
    """
    token = _DEMAND.set(demand)
    try:
        yield
    finally:
        _DEMAND.reset(token)


def is_sharing() -> bool:
    """Return whether orders that are drawn are kept for other runs."""
    return _DEMAND.get() is not None


def shared(part: Hashable, seed: int, draw: Callable[[], CohortOrders]) -> CohortOrders:
    """Return the orders of a part of the demand, drawn by `draw` unless a run before has drawn them; nobody may write into them."""
    demand = _DEMAND.get()
    if demand is None:
        return draw()
    key = (demand, part, seed)
    found = _KEPT.get(key)
    if found is None:
        found = draw()
        for table in (found.calls, found.plans, found.drafts, found.resources, found.tenants, found.value):
            table.flags.writeable = False
        _KEPT.keep(key, found)
    return found
