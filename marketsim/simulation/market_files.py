"""The long tables of a market that goes on for ever, in files: what is over leaves the memory, and is still there for who asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marketsim.kernel.table_file import TableFile, can_be_in_files, in_file, let_go
from marketsim.kernel.table_set import Table
from marketsim.market.clock import BlockClock

OF_CHAIN = (
    "deployments", "groups", "resources", "drafts", "orders", "bids", "leases", "usage", "usage_escrows", "accounts", "deposits",
)  # fmt: skip
OF_ENGINE = ("plans", "tracks", "plan_of", "accounts", "alive", "samples", "audit_values", "order_nodes")
"""Tables that grow with what was ever ordered; all others are as large as the market is at a time."""


def move_to_files(clock: BlockClock, folder: Path) -> bool:
    """Move the long tables of a market into files of a folder; return whether that could be done. What happens does not change by it."""
    if not can_be_in_files():
        return False
    try:
        file = TableFile.of(folder)
        found: list[dict[str, Any]] = [{name: in_file(table, file) for name, table in tables} for tables in _long(clock)]
    except OSError:  # a file system without holes, too little of a limit on addresses: all stay in memory
        return False
    clock.chain, clock.engine = clock.chain._replace(**found[0]), clock.engine._replace(**found[1])
    return True


def let_rest(clock: BlockClock) -> None:
    """Let the memory of a market's long tables go; what the next blocks look at comes back by itself."""
    for tables in _long(clock):
        for _, table in tables:
            let_go(table)


def _long(clock: BlockClock) -> Iterator[list[tuple[str, Table]]]:
    sets: list[tuple[Any, tuple[str, ...]]] = [(clock.chain, OF_CHAIN), (clock.engine, OF_ENGINE)]
    for tables, names in sets:
        yield [(name, getattr(tables, name)) for name in names if len(getattr(tables, name))]


__all__ = ["let_rest", "move_to_files"]
