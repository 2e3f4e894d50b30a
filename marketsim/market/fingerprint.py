"""What is known of a market's past as one number: the fingerprint of its events and of what it holds beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from marketsim.chain import due_work
from marketsim.chain.columns import G, Rules
from marketsim.chain.events import fingerprint as of_events
from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.modes import COMPILING
from marketsim.kernel.table_file import copied_on_write, let_go
from marketsim.kernel.table_set import Table
from marketsim.market.tables import Decline, Desk, Engine

_MASK = (1 << 64) - 1
_FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F
_SHIFT, _OTHER_SHIFT, _SIGN = 32, 29, 63
_COUNTS, _COUNTS_END = int(Desk.submitted) + 1, int(Desk.closed) + 1
_CAPACITY, _CAPACITY_END = int(Desk.cap_cpu), int(Desk.cap_gpu) + 1
"""Columns of desks in their fingerprint, behind the bids submitted."""

ROWS_AT_ONCE = 32_768
"""Rows after which those of tables in files are let go of."""
_BINS_AT_ONCE = 64
"""Bins of latencies that are passed over together where none has a bid: most are empty."""
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
    beside = _desks(chain, engine, refused or {}), int(latencies_hash(engine)) & _MASK
    parts = [int.from_bytes(half) for half in (events[:_HALF], events[_HALF:])]
    parts += *_rows(chain, engine), *beside
    parts += [value & _MASK for value in chain.globals[list(_TOTALS)].tolist()]
    numbers = np.asarray([1, *parts, 2], np.uint64).view(np.int64)
    return "".join(f"{int(numbers_hash(each)) & _MASK:016x}" for each in (numbers, numbers[::-1].copy()))


if COMPILING:
    _U_FIRST, _U_SECOND, _U32, _U29 = (np.uint64(number) for number in (_FIRST, _SECOND, _SHIFT, _OTHER_SHIFT))

    @compiled_inline
    def _first(number: int) -> int:
        """Return the hash of one number, with which that of a row begins."""
        found = np.uint64(number) * _U_FIRST
        found = (found ^ (found >> _U32)) * _U_FIRST
        return np.int64(found ^ (found >> _U29))  # type: ignore[return-value]

    @compiled_inline
    def _then(before: int, number: int) -> int:
        """Return the hash of a row with one number more."""
        found = (np.uint64(before) ^ np.uint64(number)) * _U_SECOND + _U_FIRST
        found = (found ^ (found >> _U32)) * _U_FIRST
        return np.int64(found ^ (found >> _U29))  # type: ignore[return-value]

    @compiled_inline
    def _plus(total: int, number: int) -> int:
        """Return a sum of hashes, which wraps round."""
        return np.int64(np.uint64(total) + np.uint64(number))  # type: ignore[return-value]

else:

    def _first(number: int) -> int:
        """Return the hash of one number, with which that of a row begins."""
        return _mixed(int(number) * _FIRST)

    def _then(before: int, number: int) -> int:
        """Return the hash of a row with one number more."""
        return _mixed(((int(before) & _MASK) ^ (int(number) & _MASK)) * _SECOND + _FIRST)

    def _plus(total: int, number: int) -> int:
        """Return a sum of hashes, which wraps round."""
        return _signed(int(total) + int(number) & _MASK)

    def _mixed(found: int) -> int:
        found &= _MASK
        found = (found ^ (found >> _SHIFT)) * _FIRST & _MASK
        return _signed(found ^ (found >> _OTHER_SHIFT))

    def _signed(number: int) -> int:
        return number - (1 << 64) if number >> _SIGN else number


@compiled
def numbers_hash(numbers: Table) -> int:
    """Return the hash of some numbers in their order, int64 (at least 1,)."""
    found = _first(numbers[0])
    for at in range(1, numbers.shape[0]):
        found = _then(found, numbers[at])
    return found


@compiled
def leases_hash(s: State, begin: int, end: int) -> int:
    """Return a hash of some leases that does not depend on where they stand."""
    total = 0
    for lease in range(begin, end):
        row = s.leases[lease]
        found = _then(_first(row.id), row.withdrawn)
        found = _then(_then(found, row.fees), row.balance)
        found = _then(_then(found, row.balance_atto), row.charged)
        found = _then(_then(found, row.charged_atto), row.shortfall)
        total = _plus(total, _then(found, row.shortfall_atto))
    return total


@compiled
def orders_hash(s: State, e: Engine, begin: int, end: int) -> int:
    """Return a hash of some orders and of their plans that does not depend on where they stand."""
    total = 0
    for order in range(begin, end):
        track = e.tracks[order]
        found = _then(_then(_first(s.orders[order].id), track.stage), track.bids)
        found = _then(_then(found, track.ended), track.decided_at)
        if e.plans.shape[0] > 0:
            never, value, value_atto = 0, 0, 0
            if track.plan >= 0:
                plan = e.plans[track.plan]
                never, value, value_atto = plan.never, plan.value, plan.value_atto
            found = _then(_then(_then(found, never), value), value_atto)
        total = _plus(total, found)
    return total


@compiled
def latencies_hash(e: Engine) -> int:
    """Return a hash of how many bids took how long."""
    total = 0
    for begin in range(0, e.latency.shape[0], _BINS_AT_ONCE):
        end, counted = min(begin + _BINS_AT_ONCE, e.latency.shape[0]), 0
        for ms in range(begin, end):
            counted |= e.latency[ms]
        if counted == 0:
            continue
        for ms in range(begin, end):
            if e.latency[ms] != 0:
                total = _plus(total, _then(_first(ms), e.latency[ms]))
    return total


@compiled
def desks_hash(s: State, e: Engine, rejected: Table, placed: Table, hashes: Table) -> int:
    """Return a hash of the desks that does not depend on their order: of whoever has or did anything.

    `rejected` (desks, statuses) are refusals of bids and `placed` (desks,) bids submitted, without messages by hand; `hashes` (desks,) is
    written. A status that nobody was answered with changes nothing, nor does a reason of the later ones that nobody gave.
    """
    count = hashes.shape[0]
    for desk in range(count):
        provider = s.providers[desk]
        there = placed[desk] != 0
        found = _then(_first(provider.id), placed[desk])
        for column in range(_COUNTS, _COUNTS_END):
            found = _then(found, e.desks[desk, column])
            there = there or e.desks[desk, column] != 0
        for column in range(_CAPACITY, _CAPACITY_END):
            found = _then(found, e.desks[desk, column])
            there = there or e.desks[desk, column] != 0
        for reason in range(e.declined.shape[0]):
            if reason < _ALWAYS:
                found = _then(found, e.declined[reason, desk])
            there = there or e.declined[reason, desk] != 0
        fees = s.wallets[provider.wallet].fees
        for status in range(rejected.shape[1]):
            there = there or rejected[desk, status] != 0
        # who neither has nor did anything is not there: a name that a refused message mentions
        hashes[desk] = _first(_then(found, fees)) if there or fees != 0 else 0
    for status in range(rejected.shape[1]):
        _add_counts(rejected, status, 1, status, hashes)
    for reason in range(_ALWAYS, e.declined.shape[0]):
        _add_counts(e.declined, reason, 0, _REASONS + reason, hashes)
    total = 0
    for desk in range(count):
        total = _plus(total, hashes[desk])
    return total


@compiled_inline
def _add_counts(counts: Table, at: int, axis: int, name: int, hashes: Table) -> None:
    """Add to the hash of every desk that is there how often something happened to it, if it happened to anybody: column `at` of counts
    where `axis` is 1, else row `at`."""
    happened = False
    for desk in range(hashes.shape[0]):
        happened = happened or (counts[desk, at] if axis == 1 else counts[at, desk]) != 0
    if happened:
        for desk in range(hashes.shape[0]):
            times = counts[desk, at] if axis == 1 else counts[at, desk]
            if hashes[desk] != 0:
                hashes[desk] = _then(hashes[desk], times * _CODES + name if times > 0 else 0)


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


def _rows(chain: State, engine: Engine) -> tuple[int, int]:
    """Return a hash of all leases and one of all orders."""
    of_leases, of_orders = 0, 0
    leases, orders = int(chain.globals.leases), int(chain.globals.orders)
    for begin in range(0, max(leases, orders), ROWS_AT_ONCE):
        end = begin + ROWS_AT_ONCE
        of_leases += int(leases_hash(chain, min(begin, leases), min(end, leases)))
        of_orders += int(orders_hash(chain, engine, min(begin, orders), min(end, orders)))
        for table in (chain.orders, engine.tracks):
            let_go(table, begin, min(end, orders))
        let_go(engine.plans)
    return of_leases & _MASK, of_orders & _MASK


def _desks(chain: State, engine: Engine, refused: Mapping[tuple[int, int], int]) -> int:
    count = min(int(chain.globals.providers), len(engine.desks))
    rejected = engine.rejected[:count].copy()
    placed = engine.desks[:count, Desk.submitted].copy()
    for (desk, status), times in refused.items():
        rejected[desk, status] -= times
        placed[desk] -= times
    return int(desks_hash(chain, engine, rejected, placed, np.zeros(count, np.int64))) & _MASK


__all__ = ["fingerprint", "settled"]
