"""How much memory a run of a scenario takes, told from the scenario alone, before anything is made.

The figure is what the whole process takes at its peak. It follows the tables: their widths, and how many rows the numbers of the scenario
ask for. What depends on how a market turns out (orders that are made again, offers that wait) is taken as it comes out in the shipped ones.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from marketsim.errors import InputError, PlainWarning
from marketsim.money.units import DAY_MS, GIB
from marketsim.scenario.distributions import Distribution
from marketsim.scenario.literals import parse_size

if TYPE_CHECKING:
    from marketsim.scenario.model import Scenario
    from marketsim.scenario.tenants import TenantCohort

LIMIT = 8 * GIB
VARIABLE = "MARKETSIM_MEMORY"
"""The limit of this process and of those that it starts, where it is not `LIMIT`; `--memory` sets it."""

_BASE = 150 << 20
"""Python, numpy and the compiled code."""
_ORDER = 1_900
"""Bytes of an order: its rows in the chain's and the engine's tables, as it was drawn and as it is recorded."""
_THINNED = 100
"""Bytes of an arrival that is drawn at the highest rate and may be thinned out."""
_TENANT = 180
_PROVIDER = 12_000
_BID_ROOM = 80 * 8 * 8 * 2
"""Bytes of events for which room is kept for each bid that an order may get."""
_OFFER = 800
"""Bytes of a provider's offer for an order of the first block: offer, bid, deposit and account, with their spare rows."""
_HOUR = 14 * 8 * 3
_NODE = 250
_BURST = 120
_TRACE_ROW = 8
"""Least bytes of an order in the file of a trace."""


class Estimate(NamedTuple):
    """Bytes that a run takes at its peak, and the key that asks for most of them, with its share."""

    total: int
    key: tuple[str | int, ...]
    share: int


def estimate(scenario: Scenario) -> Estimate:
    """Return what a run of the scenario takes."""
    parts: dict[tuple[str | int, ...], float] = {}
    for key, size in _parts(scenario):
        parts[key] = parts.get(key, 0.0) + size
    key = max(parts, key=lambda key: parts[key])
    return Estimate(int(_BASE + sum(parts.values())), key, int(parts[key]))


def limit() -> int:
    """Return how many bytes a run may take. Raises InputError for a limit that is no size."""
    text = os.environ.get(VARIABLE)
    if not text:
        return LIMIT
    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(f"--memory: {error}") from None


def excess(scenario: Scenario) -> tuple[tuple[str | int, ...], str] | None:
    """Return the key that is to blame and what is wrong where a run would take more than `limit`, else None."""
    found, most = estimate(scenario), limit()
    if found.total <= most:
        return None
    problem = (
        f"a run would take about {in_gib(found.total)} of memory, {in_gib(found.share)} of them for this, "
        f"accepted up to {in_gib(most)} (--memory)"
    )
    return found.key, problem


def warn_if_scarce(scenario: Scenario) -> None:
    """Warn where a run would take more memory than the machine has free."""
    found, free = estimate(scenario).total, _free_memory()
    if free is not None and found > free:
        text = f"the run takes about {in_gib(found)} of memory, {in_gib(free)} are free on this machine"
        warnings.warn(text, PlainWarning, stacklevel=2)


def _free_memory() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as table:
            return next(int(line.split()[1]) << 10 for line in table if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def in_gib(size: int) -> str:
    """Return bytes in GiB, three digits."""
    return f"{size / GIB:.3g} GiB" if size < 1000 * GIB else f"{size // GIB:,} GiB"


def _parts(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], float]]:
    blocks, block_ms = scenario.horizon_blocks, scenario.block_ms
    days = blocks * block_ms / DAY_MS
    yield ("order_max_bids",), _BID_ROOM * scenario.order_max_bids
    yield ("horizon",), blocks / 256 * 16 + (24 * min(days, 14) + days) * _HOUR
    if scenario.market is not None:
        market = scenario.market
        yield ("market", "orders"), _ORDER * market.orders
        yield ("market", "providers"), market.providers * (_PROVIDER + 24 * days)
        yield ("market", "tenants"), _TENANT * market.tenants
        return
    providers = sum(cohort.count for cohort in scenario.providers)
    capacity = 0.0
    for number, desk in enumerate(scenario.providers):
        yield ("providers", number, "count"), desk.count * (_PROVIDER + 24 * days)
        nodes = sum(node.count for node in desk.nodes or ())
        yield ("providers", number, "nodes"), desk.count * nodes * _NODE
        cpu = float(sum(node.count * node.cpu for node in desk.nodes or ()))
        if desk.capacity is not None:
            cpu = max(_mean(desk.capacity.cpu), 0)
        capacity += desk.count * cpu * desk.overcommit.cpu
    for number, cohort in enumerate(scenario.tenants):
        yield ("tenants", number, "count"), _TENANT * cohort.count
        for key, size in _demand(scenario, cohort):
            yield ("tenants", number, "demand", *key), size
    if scenario.tenants and scenario.initial > 0:
        sizes = [max(_mean(cohort.order.cpu), 10.0) for cohort in scenario.tenants if cohort.order.cpu is not None] or [1000.0]
        least = min(sizes) if len(sizes) < 2 else len(sizes) / sum(1 / size for size in sizes)
        orders = scenario.initial * capacity / least
        yield ("initial",), orders * (2 * _ORDER + _OFFER * providers)


def _demand(scenario: Scenario, cohort: TenantCohort) -> Iterator[tuple[tuple[str, ...], float]]:
    wish = cohort.demand
    span = scenario.horizon_blocks * scenario.block_ms
    if wish.trace is not None:
        yield ("trace",), _size_of(scenario.base / wish.trace) / _TRACE_ROW * (_ORDER + _THINNED)
        return
    if wish.python is not None:  # how many orders its class makes is known when it has made them
        return
    orders = float(wish.orders or 0) if wish.arrivals is None else wish.arrivals.per_millisecond * span
    key = ("orders",) if wish.arrivals is None else ("arrivals",)
    peak = max(wish.day_multipliers) * max(wish.week_multipliers)
    if wish.bursts is not None:
        every, lasts = wish.bursts.every.milliseconds(scenario.block_ms), wish.bursts.lasts.milliseconds(scenario.block_ms)
        count = span / (every + lasts)
        yield ("bursts", "every"), _BURST * count
        yield ("bursts", "factor"), max(wish.bursts.factor - 1.0, 0.0) * orders * (_THINNED * peak + _ORDER * lasts / (every + lasts))
    retries = 0 if cohort.react is None else min(cohort.react.retry, 3)
    yield key, orders * (_ORDER * (1 + retries / 4) + _THINNED * peak)


def _mean(law: Distribution[int] | None) -> float:
    if law is None:
        return 0.0
    found = law.law()
    return min(max(law.mean(), found.low), found.high)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


__all__ = ["LIMIT", "VARIABLE", "Estimate", "estimate", "excess", "in_gib", "limit", "warn_if_scarce"]
