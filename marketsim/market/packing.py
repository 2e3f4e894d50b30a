"""Packs an order's units on the nodes of a desk, first fit; only desks with more than one node have any.

Each replica of each resource unit goes to the first node, in the order of the file, on which all four of its resources fit, and stays
there until the reservation or the lease ends. A desk has room for an order if that works out for every replica and, as for every
desk, the whole fits beside what it has leased and reserved. Rows of `offer_nodes` and `order_nodes` say where replicas stand: how many,
then for each the node and what it takes there.
"""

from __future__ import annotations

from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled
from marketsim.market.tables import Engine, Node, Table
from marketsim.money.units import MIB

REPLICA = 5
"""Columns a replica: the node, then millicores, MiB of memory, MiB of storage and GPUs."""


@compiled
def has_nodes(e: Engine, desk_row: int) -> bool:
    """Return whether the desk packs; where no desk does, nothing of the desk is read."""
    return bool(e.nodes.shape[0] > 0 and e.desks[desk_row].nodes > 1)


@compiled
def free_nodes(e: Engine, places: Table) -> None:
    """Give back what the replicas of one row of places take, and empty the row."""
    for replica in range(places[0]):
        at = 1 + REPLICA * replica
        node = e.nodes[places[at]]
        for k in range(4):
            node[Node.free_cpu + k] += places[at + 1 + k]
    places[0] = 0


@compiled
def find_node(e: Engine, desk_row: int, cpu: int, memory: int, storage: int, gpu: int) -> int:
    """Return the desk's first node with so much free, -1 if there is none."""
    first = e.desks[desk_row].first_node
    for at in range(first, first + e.desks[desk_row].nodes):
        node = e.nodes[at]
        if node.free_cpu >= cpu and node.free_memory >= memory:
            if node.free_storage >= storage and node.free_gpu >= gpu:
                return int(at)
    return -1


@compiled
def pack(s: State, e: Engine, desk_row: int, order: int, places: Table) -> bool:
    """Put every replica of the order on a node of the desk and write it into an empty row of places; all of them or none.

    Memory and storage of a replica count in whole MiB, rounded up.
    """
    group = s.groups[s.orders[order].group]
    first = group.first_resource
    replica = 0
    for unit in range(first, first + group.resources):
        row = s.resources[unit]
        memory = -(-row.memory // MIB)
        storage = -(-row.storage // MIB)
        for _ in range(row.count):
            at = 1 + REPLICA * replica
            node = -1
            if at + REPLICA <= places.shape[0]:
                node = find_node(e, desk_row, row.cpu, memory, storage, row.gpu)
            if node < 0:
                places[0] = replica
                free_nodes(e, places)
                return False
            places[at] = node
            places[at + 1] = row.cpu
            places[at + 2] = memory
            places[at + 3] = storage
            places[at + 4] = row.gpu
            for k in range(4):
                e.nodes[node, Node.free_cpu + k] -= places[at + 1 + k]
            replica += 1
    places[0] = replica
    return True


@compiled
def lacks_nodes(s: State, e: Engine, desk_row: int, order: int) -> bool:
    """Return whether the replicas of an order without a lease do not fit on the nodes of the desk as they are."""
    places = e.order_nodes[order]
    if not pack(s, e, desk_row, order, places):
        return True
    free_nodes(e, places)
    return False


@compiled
def lease_nodes(s: State, e: Engine, desk_row: int, order: int, offer: int) -> None:
    """Put the replicas of a leased order where its offer had reserved room for them, else pack them now."""
    places = e.order_nodes[order]
    if offer >= 0 and e.globals.reserve_at_bid == 1:
        reserved = e.offer_nodes[offer]
        for column in range(1 + REPLICA * reserved[0]):
            places[column] = reserved[column]
        reserved[0] = 0
    else:
        pack(s, e, desk_row, order, places)
