"""What is known of a market's past as one number: the fingerprint of its events and of what it holds beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketsim.chain import due_work
from marketsim.chain.columns import G, Lease, Order, Provider, Rules, Wallet
from marketsim.chain.events import fingerprint as of_events
from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled
from marketsim.kernel.table_file import copied_on_write, let_go
from marketsim.market.tables import Decline, Desk, Engine, Plan, Track

Numbers = NDArray[np.uint64]
_FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT, _OTHER_SHIFT = np.uint64(32), np.uint64(29)

ROWS_AT_ONCE = 32_768
"""Rows that are hashed together: what all of a table takes in between would be larger than the market."""
_OF_LEASES = (
    Lease.id,
    Lease.withdrawn,
    Lease.fees,
    Lease.balance,
    Lease.balance_atto,
    Lease.charged,
    Lease.charged_atto,
    Lease.shortfall,
    Lease.shortfall_atto,
)
_OF_ORDERS = (Track.stage, Track.bids, Track.ended, Track.decided_at)
_OF_PLANS = (Plan.never, Plan.value, Plan.value_atto)
_OF_DESKS = (
    *range(Desk.submitted, Desk.closed + 1),
    *range(Desk.cap_cpu, Desk.cap_gpu + 1),
)
_ALWAYS = int(Decline.SCRIPT_FAILED)
"""Reasons of declines below this one are always mixed in, the others where somebody gave them."""
_HALF = 8
"""Bytes of one of the two hashes of the events."""
_CODES, _REASONS = 256, 128
"""Counts by status and reason of a desk are written as numbers of this base; reasons begin at the second."""
_TOTALS = (*range(G.deposited, G.supply), *range(G.network_fees_paid, G.validator_fees + 1))


def fingerprint(chain: State, engine: Engine, refused: Mapping[tuple[int, int], int] | None = None) -> str:
    """Return the fingerprint of what happened up to the last executed block, 32 hex digits; the tables stay as they are.

    It depends on the names of things, on events and their order, and on whatever else a summary is made of: counts by desk, capacities, how
    far orders got, what each lease was charged and paid. It does not depend on where rows stand in memory, on how often somebody
    looked, on the horizon, or on what a scenario only reports. `refused` counts the bids by hand that were refused, by desk and Status:
    a refused message has no part in it.
    """
    chain = settled(chain, engine)
    events = bytes.fromhex(of_events(chain))
    parts = [int.from_bytes(half) for half in (events[:_HALF], events[_HALF:])]
    parts += _leases(chain), _orders(chain, engine), _desks(chain, engine, refused or {}), _latencies(engine)
    parts += [int(value) % 2**64 for value in chain.globals[list(_TOTALS)]]
    row = [np.asarray([part], np.uint64) for part in (1, *parts, 2)]
    return f"{int(_mix(row)[0]):016x}{int(_mix(row[::-1])[0]):016x}"


@compiled
def settle_cadences(s: State, e: Engine, height: int) -> None:
    """Apply what the cadence of every living account has settled up to `height`."""
    for at in range(e.globals.alive):
        due_work.settle_cadence(s, height, e.alive[at])


def settled(chain: State, engine: Engine) -> State:
    """Return the chain as it is when everybody has looked at every account: copies of the tables that this changes, if any."""
    height = int(engine.globals.executed)
    if chain.globals.rules != Rules.SEED or engine.globals.sampled == height or height < 0:
        return chain
    used = {"accounts": G.accounts, "leases": G.leases, "deposits": G.deposits, "usage": G.usage, "wallets": G.wallets}
    copies: dict[str, Any] = {name: copied_on_write(getattr(chain, name), int(chain.globals[count])) for name, count in used.items()}
    copies |= {
        "globals": chain.globals.copy(),
        "income": chain.income.copy(),
        "providers": chain.providers.copy(),
        "scratch": chain.scratch.copy(),
    }
    copies["trail"] = chain.trail[:0]  # what a look settles has no part in it
    copies["globals"][[G.event_mask, G.auditing]] = 0
    looked = chain._replace(**copies)
    settle_cadences(looked, engine, height)
    return looked


def _mix(columns: Iterable[NDArray[np.int64] | Numbers]) -> Numbers:
    """Return a hash of each row of some columns of equal length."""
    found: Numbers | None = None
    for column in columns:
        numbers = np.ascontiguousarray(column).view(np.uint64)
        found = numbers * _FIRST if found is None else (found ^ numbers) * _SECOND + _FIRST
        found ^= found >> _SHIFT
        found = found * _FIRST
        found ^= found >> _OTHER_SHIFT
    assert found is not None
    return found


def _sum(columns: Iterable[NDArray[np.int64]]) -> int:
    """Return a hash of rows that does not depend on their order."""
    return int(np.add.reduce(_mix(columns), dtype=np.uint64))


def _in_parts(count: int, columns: Callable[[int, int], Iterable[NDArray[np.int64]]]) -> int:
    """Return `_sum` of rows of which `columns` gives those from one up to another."""
    starts = range(0, count, ROWS_AT_ONCE)
    return sum(_sum(columns(begin, min(begin + ROWS_AT_ONCE, count))) for begin in starts) % 2**64


def _leases(chain: State) -> int:
    return _in_parts(int(chain.globals.leases), lambda begin, end: [chain.leases[begin:end, column] for column in _OF_LEASES])


def _orders(chain: State, engine: Engine) -> int:
    def columns(begin: int, end: int) -> list[NDArray[np.int64]]:
        tracks = engine.tracks[begin:end]
        found = [chain.orders[begin:end, Order.id].copy(), *(tracks[:, column].copy() for column in _OF_ORDERS)]
        plan = tracks[:, Track.plan]
        if len(engine.plans):
            found += [np.where(plan >= 0, engine.plans[np.maximum(plan, 0), column], 0) for column in _OF_PLANS]
        for table in (chain.orders, engine.tracks):
            let_go(table, begin, end)
        let_go(engine.plans)
        return found

    return _in_parts(int(chain.globals.orders), columns)


def _desks(chain: State, engine: Engine, refused: Mapping[tuple[int, int], int]) -> int:
    count = min(int(chain.globals.providers), len(engine.desks))
    rejected = engine.rejected[:count].copy()
    counts = engine.desks[:count][:, list(_OF_DESKS)]
    for (desk, status), times in refused.items():
        rejected[desk, status] -= times
        counts[desk, 0] -= times
    providers = chain.providers[:count]
    fees = chain.wallets[providers[:, Provider.wallet], Wallet.fees]
    statuses = np.flatnonzero(rejected.any(axis=0)).tolist()
    declined = engine.declined[:, :count]
    table = np.column_stack([counts, declined[:_ALWAYS].T, fees])
    # who neither has nor did anything is not there: a name that a refused message mentions
    there = table.any(axis=1) | rejected.any(axis=1) | declined.any(axis=0)
    whole = _mix([providers[there, Provider.id], *table[there].T])
    columns = [whole]
    for status in statuses:  # a status that nobody was answered with changes nothing
        columns.append(np.where(rejected[there, status] > 0, rejected[there, status] * _CODES + status, 0))
    for reason in range(_ALWAYS, len(declined)):  # nor does a reason that nobody gave
        times_given = declined[reason, there]
        if times_given.any():
            columns.append(np.where(times_given > 0, times_given * _CODES + _REASONS + reason, 0))
    return int(np.add.reduce(_mix(columns), dtype=np.uint64)) if there.any() else 0


def _latencies(engine: Engine) -> int:
    at = np.flatnonzero(engine.latency)
    return _sum([at, engine.latency[at]]) if len(at) else 0


__all__ = ["fingerprint", "settled"]
