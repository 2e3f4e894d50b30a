"""What an order costs as markets grow in orders, in providers and in empty blocks."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from marketsim.agents.reference_market import ReferenceMarket, draw

SEED = 1

Design = Callable[[ReferenceMarket], tuple[str, float]]
"""Runs the market; gives its outcome's digest and the seconds from the market laid out to the last block, of
processor time (time.process_time), which a busy machine disturbs least."""


class Size(NamedTuple):
    """Orders, providers, tenants and blocks of a market."""

    orders: int
    providers: int
    tenants: int
    blocks: int

    def draw(self) -> ReferenceMarket:
        """Return the draws of a market of this size."""
        return draw(SEED, *self)


GROWTH = {
    "orders": [Size(orders, 100, 1_000, 432_000) for orders in (5_000, 50_000, 200_000, 1_000_000)],
    "providers": [Size(50_000, providers, 1_000, 432_000) for providers in (10, 100, 1_000)],
    "blocks": [Size(20_000, 100, 1_000, blocks) for blocks in (43_200, 432_000, 4_320_000)],
}
ORDERS_A_ROUND = 100_000
"""Small markets run several times a round, to about so many orders, and at most REPEATS times."""
REPEATS = 4


def growth(
    designs: Mapping[str, Design], rounds: int, say: Callable[[str], None], sizes: Mapping[str, list[Size]] = GROWTH
) -> dict[str, list[dict[str, Any]]]:
    """Return by what grows a row a size: the size, whether all designs agree, and medians over the rounds of microseconds per order of
    each design, with their least and greatest.

    The sizes of a table run in turn, round after round, so that what disturbs the machine disturbs all of them. Before that each design
    runs each of them once and is not timed: the first run of a size waits for fresh pages, which a process keeps from then on.
    """
    tables: dict[str, list[dict[str, Any]]] = {}
    for grows, those in sizes.items():
        draws = [size.draw() for size in those]
        taken: list[dict[str, list[float]]] = [{name: [] for name in designs} for _ in those]
        found: list[set[str]] = [set() for _ in those]
        for at, size in enumerate(those):
            for design in designs.values():
                found[at].add(design(draws[at])[0])
                gc.collect()
            say(f"{grows}, warm: {size.orders:,} orders, {size.providers:,} providers, {size.blocks:,} blocks")
        for number in range(rounds):
            for at, size in enumerate(those):
                for _ in range(min(max(ORDERS_A_ROUND // size.orders, 1), REPEATS)):
                    for name, each in taken[at].items():
                        outcome, seconds = designs[name](draws[at])
                        found[at].add(outcome)
                        each.append(seconds / size.orders * 1e6)
                        gc.collect()
                say(f"{grows}, round {number + 1}: {size.orders:,} orders, {size.providers:,} providers, {size.blocks:,} blocks")
        tables[grows] = [
            size._asdict()
            | {
                "identical": len(found[at]) == 1,
                "microseconds_per_order": {name: statistics.median(each) for name, each in taken[at].items()},
                "spread": {name: [min(each), max(each)] for name, each in taken[at].items()},
            }
            for at, size in enumerate(those)
        ]
    return tables
