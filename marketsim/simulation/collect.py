"""The record out of the chain's and the agents' tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.columns import (
    Bid,
    BidState,
    EscrowRule,
    Event,
    EventKind,
    Lease,
    LeaseState,
    OrderEnd,
    OrderState,
    PaymentState,
)
from marketsim.chain.escrow.exact import owed
from marketsim.chain.income import paid_by_day, paid_in_window, taken_in_window
from marketsim.chain.ledger import totals
from marketsim.chain.state import State
from marketsim.export.long_tables import LongTable, Spill
from marketsim.export.words import Words, members
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.rows import Row, Rows, as_rows, column
from marketsim.kernel.table_set import Table
from marketsim.market.clock import BlockClock
from marketsim.market.fingerprint import fingerprint
from marketsim.market.quoting import account_use
from marketsim.market.tables import DESK_SHIFT, FAR, ORDER_SHIFT, BidRow, Desk, Engine, Sample, Stage
from marketsim.money.pairs import add, is_less, times
from marketsim.money.units import ATTO, MIB, PPM
from marketsim.recording.record import COLUMNS, DECLINE_CODES, RESOURCES, UNFILLED, Column, Record, day_blocks, day_count, exact_sum
from marketsim.recording.rows import PIECE, WaitingRows, pick_rows
from marketsim.scenario.effective import Effective
from marketsim.scenario.literals import Duration
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MarketSetup
from marketsim.simulation.faults import FaultRecord
from marketsim.simulation.stages import mean_capacity
from marketsim.strategies.run_log import RunLog

HEIGHT_SHIFT = 33
"""Bits below the height in a key that sorts by block, lease and kind: heights take 29 bits (money.BLOCKS_MAX)."""
SETTLING = 1 << EventKind.PAID | 1 << EventKind.SETTLED
"""Kinds of event, a bit each, that go into the settlements."""
ENOUGH = 16_384
"""Events of settlements that are put together at once, if no more have to wait."""
BY_HAND = "by hand"
"""The cohort of wallets and providers that only hand-written messages name."""
STAGES = {
    Stage.NO_ELIGIBLE: "no_eligible_provider",
    Stage.LIMITS: "engine_limits",
    Stage.NO_CAPACITY: "no_capacity",
    Stage.BELOW_MIN_VALUE: "below_min_value",
    Stage.OVER_CEILING: "over_ceiling",
    Stage.NO_DEPOSIT: "no_deposit",
    Stage.BID: "capacity_lost",
}
"""What an order that ended without a lease lacked, by the furthest check that a provider reached."""


UNITS = np.asarray([[1], [MIB], [MIB], [1]], np.int64)
"""What a desk counts each of RESOURCES in, (4, 1)."""


class Collector:
    """Takes the record from the block clock while a run goes on, and makes a Record of it at the end.

    Long tables do not wait for the end: see `marketsim.export.long_tables`. `out` is the folder into which the results are written. With
    `keeps` the collector can be copied with its market.
    """

    def __init__(self, scenario: Scenario, seed: int, market: MarketSetup, out: Path | None = None, keeps: bool = False) -> None:
        self._scenario = scenario
        self._seed = seed
        self._market = market
        self._spill = Spill(out, keeps)
        self.keeps = keeps
        self.reasons: Mapping[tuple[int, int, int, int], str] = {}
        """What users' code says of orders that it does not price, as `CustomPricing.reasons`."""
        self.log = RunLog()
        """What users' code has written down."""
        everything, orders = scenario.record == "everything", scenario.record != "summary"
        self._events = LongTable("events", self._spill, {"kind": members(EventKind)}) if everything else None
        self._bids = Bids(self._spill, market.book.names) if everything else None
        self._declines = Declines(self._spill, market.book.names) if everything else None
        self._settlements = Settlements(self._spill) if orders else None
        blocks = scenario.horizon_blocks
        days = day_count(blocks, day_blocks(scenario.block_ms))
        desks = len(market.book.names)
        self._income: Table = np.zeros((max(desks, 1), days + 2), np.int64)
        self._clock: BlockClock | None = None
        self._before: Table = np.zeros((3, 0), np.int64)
        """What each lease had earned (whole, atto) and paid as take when the window began."""

    def copy(self, market: MarketSetup) -> Collector:
        """Return the collector of a copied market, with the record as far as it is."""
        other = copy(self)
        other._market = market
        other._spill = spill = self._spill.copy()
        names = market.book.names
        other._events = None if self._events is None else self._events.copy(spill, {})
        other._bids = None if self._bids is None else self._bids.copy(spill, names)
        other._declines = None if self._declines is None else self._declines.copy(spill, names)
        other._settlements = None if self._settlements is None else self._settlements.copy(spill)
        other._clock = None
        return other

    def keep_nothing(self) -> None:
        """Keep no long tables: there will be no record."""
        self._events = self._bids = self._declines = self._settlements = None

    def watch(self, clock: BlockClock) -> None:
        """Name the clock whose rows are taken."""
        self._clock = clock

    @property
    def revenue(self) -> Table:
        """Paid out by provider and day, net, whole uve: shape (providers, days). The chain writes it."""
        income = self._income if self._clock is None else self._clock.chain.income  # which grows with the register
        return paid_by_day(income)

    def attach(self, chain: State) -> State:
        """Return the chain with its pay-outs added up by provider and day."""
        chain.globals.day_blocks = day_blocks(self._scenario.block_ms)
        chain.globals.income_from = self._scenario.warm_up_blocks
        return chain._replace(income=self._income)

    def begin_window(self, clock: BlockClock) -> None:
        """Note what leases have earned so far: the window after warm-up begins. It changes nothing."""
        self._before = earned(clock.chain, self._scenario.warm_up_blocks)

    def take_events(self, rows: Table) -> None:
        """Take rows of events that the record's level keeps."""
        for begin in range(0, len(rows), PIECE):
            end = min(begin + PIECE, len(rows))
            if self._settlements is not None:
                self._settlements.add(rows, begin, end)
            if self._events is not None:
                self._events.chunks.add(rows[begin:end])
        if self._settlements is not None:
            assert self._clock is not None
            # accounts settle every SETTLE_EVERY blocks, and are looked at when a sample is taken at the latest
            self._settlements.settle(int(self._clock.engine.globals.sample_every + 2 * self._clock.chain.globals.settle_every))

    def take_bids(self, rows: Table) -> None:
        """Take rows of placed bids."""
        if self._bids is not None:
            assert self._clock is not None
            self._bids.add(rows, self._clock.chain)

    def take_declines(self, rows: Table) -> None:
        """Take what desks did not bid on: numbers of `Engine.decline_rows`."""
        if self._declines is not None:
            self._declines.add(rows)

    def record(
        self,
        clock: BlockClock,
        versions: dict[str, str],
        wall_seconds: float,
        receipts: list[dict[str, Any]] | None = None,
        faults: Sequence[FaultRecord] = (),
    ) -> Record:
        """Return the record of the finished run; `receipts` are the answers to hand-written messages, `faults` those that began.

        The clock is not to go on afterwards: what it counts by day and by latency is the record's now.
        """
        scenario, market = self._scenario, self._market
        chain, engine = clock.chain, clock.engine
        blocks = scenario.horizon_blocks
        leases = lease_columns(clock, blocks, self._before)
        latency_ms = latency_total(engine)
        identity = fingerprint(chain, engine, clock.refused_by_hand)  # next to what reads the same tables: they are in the cache
        orders = self._orders(clock)
        return Record(
            tenants={"name": market.tenant_names, "cohort": np.asarray(market.tenant_cohorts, np.int64)},
            providers=self._providers(clock, leases["provider"]),
            tenant_cohorts=[cohort.name for cohort in scenario.tenants] + [BY_HAND] * (len(scenario.tenants) in market.tenant_cohorts),
            provider_cohorts=market.book.cohort_names,
            regions=market.regions,
            orders=orders,
            leases=leases,
            timeseries=sample_columns(clock),
            totals=totals(chain)
            | {
                "network_fees": int(chain.globals.network_fees_paid) * ATTO,
                "accrued": accrued(leases, int(chain.globals.take_ppm)),
            },
            meta={
                "scenario": Effective(scenario),
                "seed": self._seed,
                "rules": scenario.rules,
                "blocks": blocks,
                "block_ms": scenario.block_ms,
                "warm_up_blocks": scenario.warm_up_blocks,
                "start": scenario.start.time.isoformat(),
                "fingerprint": identity,
                "record": scenario.record,
                "audit_blocks": int(engine.globals.audited),
                "latency_total_ms": latency_ms,
                "versions": versions,
                "streams": ["tenant/<cohort>/<purpose>", "provider/<cohort>/<index>/<purpose>"],
                "wall_seconds": wall_seconds,
            }
            | ({} if receipts is None else {"receipts": receipts})
            | ({"faults": [each.as_data() for each in faults]} if faults else {})
            | self._refusals()
            | ({"cut": dict(market.cut)} if market.cut else {}),
            latency_histogram=engine.latency,
            bids=None if self._bids is None else self._bids.finish(chain),
            declines=None if self._declines is None else self._declines.finish(),
            settlements=None if self._settlements is None else self._settlements.finish(),
            events=None if self._events is None else self._events.finish(),
            logs=self.log.tables(),
            by_script=None if scenario.stages else any(cohort.strategy.kind == "script" for cohort in scenario.providers),
        ).check()

    def so_far(self, clock: BlockClock, height: int, versions: dict[str, str], faults: Sequence[FaultRecord] = ()) -> Record:
        """Return the record of a market that goes on, up to a height: orders, leases, and the bids that the chain has.

        The clock is not to be used afterwards: what its desks have in use is accounted for up to the height.
        """
        other = copy(self)
        other._scenario = self._scenario.model_copy(update={"horizon": Duration(height * self._scenario.block_ms), "record": "orders"})
        other._settlements = other._events = other._bids = other._declines = None
        found = other.record(clock, versions, 0.0, None, faults)
        return replace(found, meta=found.meta | {"running": True}, bids=chain_bids(clock.chain) if clock.chain.globals.keep_bids else None)

    def _refusals(self) -> dict[str, Any]:
        """What users' code said of orders that it did not price, where every bid is recorded."""
        if not self.reasons or self._scenario.record != "everything":
            return {}
        market, found = self._market, dict[str, dict[str, str]]()
        for (tenant, dseq, gseq, desk), reason in self.reasons.items():
            order = f"{market.tenant_names[tenant - market.first_tenant]}/{dseq}/{gseq}"
            found.setdefault(order, {})[market.book.names[desk]] = reason
        return {"refusals": found}

    def _providers(self, clock: BlockClock, slots: NDArray[np.int64]) -> dict[str, Any]:
        """Return the providers table of the record; `slots` is whose each lease is. What is leased is accounted for up to the horizon."""
        book, chain, engine = self._market.book, clock.chain, clock.engine
        blocks = self._scenario.horizon_blocks
        count = len(book.names)
        table = np.empty((ProviderColumns.width, count), np.int64)
        put_providers(chain, engine, blocks, table)
        table[ProviderColumns.cohort] = book.cohorts
        table[ProviderColumns.leases] = np.bincount(slots, minlength=count)[:count]
        table[ProviderColumns.revenue_net] = paid_in_window(chain.income)[:count]
        table[ProviderColumns.fees] = taken_in_window(chain.income)[:count]
        if (mean := mean_capacity(self._scenario, self._seed)) is not None:
            table[ProviderColumns.cpu : ProviderColumns.gpu + 1, : len(mean)] = mean.T * UNITS
        columns: dict[str, Any] = by_name(ProviderColumns, table)
        used = np.ascontiguousarray(engine.desks[:count, Desk.sum_cpu : Desk.sum_gpu + 1].T) * UNITS.astype(float)
        columns |= {f"unit_blocks_{name}": sums for name, sums in zip(RESOURCES, used, strict=True)}
        return columns | {
            "name": list(book.names),
            "rejected": engine.rejected[:count].copy(),
            "declined": engine.declined[:, :count].T.copy(),
            "revenue_days": self.revenue[:count, : day_count(blocks, day_blocks(self._scenario.block_ms))],
        }

    def _orders(self, clock: BlockClock) -> dict[str, NDArray[np.int64]]:
        """Return the orders table of the record: copies, column by column, for whole rows of a million orders are a quarter of a GiB a
        table."""
        chain, engine, market = clock.chain, clock.engine, self._market
        count = int(chain.globals.orders)
        regions = [-1 if kind.region is None else market.regions.index(kind.region) for kind in market.asked] or [-1]
        columns = np.empty((OrderColumns.width, count), np.int64)
        put_orders(chain, engine, np.asarray(regions, np.int64), _UNFILLED_BY_STAGE, market.first_tenant, columns)
        orders = by_name(OrderColumns, columns)
        if market.newcomers:
            owner = orders["tenant"] + market.first_tenant
            for wallet, place in market.newcomers.items():
                orders["tenant"][owner == wallet] = place
        return orders


def by_name(kind: type[Row], columns: Table) -> dict[str, NDArray[np.int64]]:
    """Return columns, int64 (kind.width, rows), by the names that a row class has for them."""
    return {each.name: numbers for each, numbers in zip(kind.columns, columns, strict=True)}


def unfilled(chain: State, engine: Engine) -> Any:
    """Return the index into UNFILLED of each order, int64 (orders,), -1 unless it ended without a lease."""
    found = np.empty(int(chain.globals.orders), np.int64)
    put_unfilled(chain, engine, _UNFILLED_BY_STAGE, found)
    return found


def chain_bids(chain: State) -> dict[str, NDArray[np.int64]]:
    """Return the bids that a chain has, as the record's table of that name; how long their engines took is not known."""
    rows = chain.bids[: int(chain.globals.bids)]
    rows = rows[rows[:, Bid.state] > 0]
    columns = {"height": Bid.created_at, "order": Bid.order, "provider": Bid.slot, "price_whole": Bid.price, "price_atto": Bid.price_atto}
    found = {name: rows[:, at].copy() for name, at in columns.items()}
    return found | {"state": rows[:, Bid.state].copy(), "latency_ms": np.full(len(rows), -1, np.int64)}


def leases_of(chain: State) -> int:
    """Return how many leases there are."""
    return int(chain.globals.leases)


def earned(chain: State, height: int) -> Table:
    """Return what each lease has earned by a height at which no settlement of a cadence is outstanding, and the take it has paid: int64
    (3, leases), whole uve, atto and whole uve; earned is gross, and of closed ones what was paid out.
    """
    columns = np.empty((3, leases_of(chain)), np.int64)
    put_earned(chain, height, columns[:2])
    columns[2] = chain.leases[: columns.shape[1], Lease.fees]
    return columns


def accrued(leases: Mapping[str, NDArray[np.int64]], take_ppm: int) -> int:
    """Return what leases have earned and nobody has paid out, less the take on it, in atto-uve."""
    gross = exact_sum(leases["earned_whole"] - leases["withdrawn"], leases["earned_atto"])
    return gross - gross * take_ppm // PPM


@compiled_inline
def earned_by(s: State, height: int, lease: int) -> tuple[int, int]:
    """Return what a lease has earned (`earned`), whole uve and atto."""
    row = s.leases[lease]
    whole, atto = row.withdrawn, 0
    if row.payment != PaymentState.CLOSED:
        whole, atto = add(whole, atto, row.balance, row.balance_atto)
    if row.payment == PaymentState.OPEN:
        account = s.accounts[row.account]
        more, more_atto = 0, 0
        if s.globals.escrow == EscrowRule.EXACT:
            more, more_atto = owed(s, height, lease)
        elif s.globals.escrow == EscrowRule.USAGE:
            more = s.usage_escrows[row.usage].unsettled
        else:
            more, more_atto = times(row.rate, row.rate_atto, height - account.settled_at)
            if is_less(account.funds, account.funds_atto, more, more_atto):
                more, more_atto = max(account.funds, 0), 0  # the chain has not looked yet; there is no more
        whole, atto = add(whole, atto, more, more_atto)
    return whole, atto


@compiled
def put_earned(s: State, height: int, columns: Table) -> None:
    """Put what each lease has earned, whole uve and atto, into `columns`, int64 (2, leases), as `earned` has it."""
    for lease in range(columns.shape[1]):
        columns[0, lease], columns[1, lease] = earned_by(s, height, lease)


class Bids:
    """The bids, each with how it fared, which is known when its order has a lease or is closed."""

    def __init__(self, spill: Spill, providers: Sequence[str]) -> None:
        words = {"provider": Words(providers), "state": members(BidState)}
        columns = (BidRow.height, BidRow.order, BidRow.desk, BidRow.price, BidRow.price_atto, BidRow.status, BidRow.latency)
        self._table = LongTable("bids", spill, words, columns)
        self._waiting = WaitingRows(BidRow.width, self._decided, self._put, spill.folder)
        self._chain: State | None = None

    def copy(self, spill: Spill, providers: Sequence[str]) -> Bids:
        """Return the bids of a copied market."""
        other = copy(self)
        other._table = self._table.copy(spill, {"provider": Words(providers)})
        other._waiting = self._waiting.copy(other._decided, other._put, spill.folder)
        return other

    def add(self, rows: Table, chain: State) -> None:
        """Take rows of placed bids; `chain` are the tables as they are now."""
        self._chain = chain
        self._waiting.add(rows)

    def finish(self, chain: State) -> Mapping[str, Column]:
        """Return the bids table of the record; `chain` are the tables after the last block."""
        self._chain = chain
        self._waiting.finish()
        self._chain = None
        return self._table.finish()

    def _decided(self, rows: Table) -> bool:
        assert self._chain is not None
        return bool(are_decided(self._chain, as_rows(BidRow, rows)))

    def _put(self, rows: Table) -> None:
        assert self._chain is not None
        put_outcomes(self._chain, as_rows(BidRow, rows))
        self._table.chunks.add(rows)


@compiled
def are_decided(s: State, rows: Rows[BidRow]) -> bool:
    """Return whether the order of every placed bid (rows of `BidRow`) has a lease or is closed."""
    for row in range(rows.shape[0]):
        order = rows[row].order
        if s.orders[order].lease < 0 and s.orders[order].state != OrderState.CLOSED:
            return False
    return True


@compiled
def put_outcomes(s: State, rows: Rows[BidRow]) -> None:
    """Put into BidRow.status of placed bids how each fared, as BidState: won, lost, or less than 0, refused for that Status."""
    for row in range(rows.shape[0]):
        if rows[row].status != 0:
            rows[row].status = -rows[row].status
            continue
        lease = s.orders[rows[row].order].lease
        if lease >= 0 and s.leases[lease].slot == rows[row].desk:
            rows[row].status = BidState.ACTIVE
        else:
            rows[row].status = BidState.LOST


@compiled
def unpack_declines(packed: Table, begin: int, end: int, height: Table, columns: Table, at: int) -> int:
    """Take the numbers of `Engine.decline_rows` from `begin` up to `end` apart into `columns`, int64 (4, length), from place `at` on:
    height, order, desk and Decline; return how many. `height`, one number, is that of the first ones and then of the next.
    """
    place = at
    for index in range(begin, end):
        number = packed[index]
        if number < 0:
            height[0] = ~number
            continue
        columns[0, place] = height[0]
        columns[1, place] = number >> ORDER_SHIFT
        columns[2, place] = (number & ((1 << ORDER_SHIFT) - 1)) >> DESK_SHIFT
        columns[3, place] = number & ((1 << DESK_SHIFT) - 1)
        place += 1
    return place - at


class Declines:
    """The orders that bid engines looked at and did not bid on, each with the reason."""

    def __init__(self, spill: Spill, providers: Sequence[str]) -> None:
        self._table = LongTable("declines", spill, {"provider": Words(providers), "reason": Words(DECLINE_CODES)})
        self._height: Table = np.zeros(1, np.int64)

    def copy(self, spill: Spill, providers: Sequence[str]) -> Declines:
        """Return the declines of a copied market."""
        other = copy(self)
        other._table = self._table.copy(spill, {"provider": Words(providers)})
        other._height = self._height.copy()
        return other

    def add(self, packed: Table) -> None:
        """Take numbers of `Engine.decline_rows`, the pieces in their order."""
        chunks, begin = self._table.chunks, 0
        while begin < len(packed):
            end = min(begin + min(chunks.room(), PIECE), len(packed))
            chunks.fill(partial(unpack_declines, packed, begin, end, self._height))
            begin = end

    def finish(self) -> Mapping[str, Column]:
        """Return the declines table of the record."""
        return self._table.finish()


class Settlements:
    """The settlements out of the events: what was moved to a payment, and what was paid out at the same settlement.

    A settlement is on the record when somebody looks at its account, under its own height; those of a block are put together when no
    more of them can come.
    """

    def __init__(self, spill: Spill) -> None:
        self._table = LongTable("settlements", spill, {})
        self._enough = ENOUGH
        self._waiting: Table = np.empty((2 * ENOUGH, Event.width), np.int64)
        self._used = 0

    def copy(self, spill: Spill) -> Settlements:
        """Return the settlements of a copied market."""
        other = copy(self)
        other._table = self._table.copy(spill, {})
        other._waiting = np.empty_like(self._waiting)
        other._waiting[: self._used] = self._waiting[: self._used]
        return other

    def add(self, rows: Table, begin: int, end: int) -> None:
        """Take those of the events from `begin` up to `end` that are of the kinds SETTLED and PAID."""
        room = self._used + end - begin
        if room > len(self._waiting):
            longer = np.empty((2 * room, Event.width), np.int64)
            longer[: self._used] = self._waiting[: self._used]
            self._waiting = longer
        self._used = int(pick_rows(rows, begin, end, Event.kind, SETTLING, self._waiting, self._used))

    def settle(self, late: int) -> None:
        """Put together what can be, now and then: no event to come is of a height more than `late` below one that came."""
        if self._used >= self._enough:
            self._put(int(self._waiting[: self._used, Event.height].max()) - late)
            self._enough = max(ENOUGH, 2 * self._used)

    def finish(self) -> Mapping[str, Column]:
        """Return the settlements table of the record."""
        self._put(FAR)
        return self._table.finish()

    def _put(self, limit: int) -> None:
        """Put together the settlements below the height `limit`; the events of the others go on waiting."""
        rows = self._waiting[: self._used]
        key = rows[:, Event.height] << HEIGHT_SHIFT | rows[:, Event.subject] << 1 | (rows[:, Event.kind] == EventKind.PAID)
        order = np.argsort(key, kind="stable")
        columns = np.empty((len(COLUMNS["settlements"]), len(rows)), np.int64)
        done = int(np.searchsorted(rows[order, Event.height], limit))
        count = int(put_settlements(as_rows(Event, rows), order[:done], columns))
        self._table.chunks.add_columns(columns[:, :count])
        left = rows[order[done:]]
        self._waiting[: len(left)] = left
        self._used = len(left)


@compiled
def latency_total(e: Engine) -> int:
    """Return how long all bids took together, in milliseconds."""
    total = 0
    for ms in range(e.latency.shape[0]):
        total += ms * e.latency[ms]
    return int(total)


@compiled
def put_settlements(rows: Rows[Event], order: Table, columns: Table) -> int:
    """Put the events of each settlement together, rows of `Event` that stand side by side in `order`, into the columns of the settlements
    table, int64 (7, at least as many); return how many there are.
    """
    height, lease, until, moved, moved_atto, net, take = range(7)
    at = -1
    for index in range(order.shape[0]):
        event = rows[order[index]]
        if at < 0 or columns[height, at] != event.height or columns[lease, at] != event.subject:
            at += 1
            for column in range(columns.shape[0]):
                columns[column, at] = 0
            columns[height, at] = event.height
            columns[lease, at] = event.subject
        if event.kind == EventKind.SETTLED:
            columns[until, at] = max(columns[until, at], event.other)
            columns[moved, at] += event.whole
            columns[moved_atto, at] += event.atto
        else:
            columns[net, at] += event.whole
            columns[take, at] += event.extra
    for row in range(at + 1):
        if columns[until, row] == 0:
            columns[until, row] = columns[height, row]
    return at + 1


class ProviderColumns(Row):
    """Columns of the record's providers table that are whole numbers, a provider each."""

    cohort = column()
    cpu = column()
    memory = column()
    storage = column()
    gpu = column()
    lease_capacity = column()
    leases = column()
    revenue_net = column()
    fees = column()
    network_fees = column()
    cost_ppm = column()
    submitted = column()
    submitted_window = column()
    accepted = column()
    accepted_window = column()
    won = column()
    won_window = column()
    lost = column()
    lost_window = column()
    closed = column()
    closed_window = column()


class OrderColumns(Row):
    """Columns of the record's orders table, in the order in which `put_orders` writes them."""

    tenant = column()
    dseq = column()
    gseq = column()
    oseq = column()
    created_at = column()
    closed_at = column()
    state = column()
    end = column()
    ceiling_whole = column()
    ceiling_atto = column()
    value_whole = column()
    value_atto = column()
    cpu = column()
    memory = column()
    storage = column()
    gpu = column()
    region = column()
    bids = column()
    lease = column()
    relisted = column()
    decided = column()
    unfilled = column()
    account = column()


class LeaseColumns(Row):
    """Columns of the record's leases table, in the order in which `put_leases` writes them."""

    order = column()
    provider = column()
    created_at = column()
    active_at = column()
    closed_at = column()
    state = column()
    reason = column()
    ended = column()
    price_whole = column()
    price_atto = column()
    withdrawn = column()
    fees = column()
    shortfall_whole = column()
    shortfall_atto = column()
    earned_whole = column()
    earned_atto = column()
    earned_before_whole = column()
    earned_before_atto = column()
    fees_before = column()


_UNFILLED_BY_STAGE = np.asarray([UNFILLED.index(STAGES[stage]) for stage in Stage], np.int64)
_NEVER_CHOSE, _CANCELLED, _OTHER = (UNFILLED.index(name) for name in ("tenant_never_chose", "cancelled", "other"))


@compiled_inline
def unfilled_code(s: State, e: Engine, by_stage: Table, order: int) -> int:
    """Return the index into UNFILLED of an order, -1 unless it ended without a lease."""
    row, track = s.orders[order], e.tracks[order]
    if row.state != OrderState.CLOSED or row.lease >= 0:
        return -1
    if row.reason == OrderEnd.INSUFFICIENT_FUNDS:
        return _OTHER
    if row.reason == OrderEnd.CANCELLED and track.decided_at < 0:
        return _CANCELLED
    if track.stage == Stage.BID and track.plan >= 0 and e.plans.shape[0] > 0 and e.plans[track.plan].never == 1:
        return _NEVER_CHOSE
    return int(by_stage[track.stage])


@compiled
def put_unfilled(s: State, e: Engine, by_stage: Table, out: Table) -> None:
    """Put `unfilled_code` of each order into `out`; `by_stage` is the index into UNFILLED by how far an order got."""
    for order in range(out.shape[0]):
        out[order] = unfilled_code(s, e, by_stage, order)


@compiled
def put_providers(s: State, e: Engine, height: int, columns: Table) -> None:
    """Put what desks and wallets say of the providers into columns, int64 (ProviderColumns.width, providers); what desks have in use is
    accounted for up to a height.
    """
    for provider in range(columns.shape[1]):
        account_use(e, provider, height)
        desk = e.desks[provider]
        columns[ProviderColumns.cpu, provider] = desk.cap_cpu
        columns[ProviderColumns.memory, provider] = desk.cap_memory * MIB
        columns[ProviderColumns.storage, provider] = desk.cap_storage * MIB
        columns[ProviderColumns.gpu, provider] = desk.cap_gpu
        columns[ProviderColumns.lease_capacity, provider] = desk.lease_capacity
        columns[ProviderColumns.network_fees, provider] = s.wallets[desk.wallet].fees
        columns[ProviderColumns.cost_ppm, provider] = desk.cost_ppm
        columns[ProviderColumns.submitted, provider] = desk.submitted
        columns[ProviderColumns.submitted_window, provider] = desk.submitted - desk.base_submitted
        columns[ProviderColumns.accepted, provider] = desk.accepted
        columns[ProviderColumns.accepted_window, provider] = desk.accepted - desk.base_accepted
        columns[ProviderColumns.won, provider] = desk.won
        columns[ProviderColumns.won_window, provider] = desk.won - desk.base_won
        columns[ProviderColumns.lost, provider] = desk.lost
        columns[ProviderColumns.lost_window, provider] = desk.lost - desk.base_lost
        columns[ProviderColumns.closed, provider] = desk.closed
        columns[ProviderColumns.closed_window, provider] = desk.closed - desk.base_closed


@compiled
def put_orders(s: State, e: Engine, regions: Table, by_stage: Table, first_tenant: int, columns: Table) -> None:
    """Put the orders into columns, int64 (OrderColumns.width, orders); `regions` are those that specs ask for, by spec."""
    for order in range(columns.shape[1]):
        row, track = s.orders[order], e.tracks[order]
        group, deployment = s.groups[row.group], s.deployments[row.deployment]
        closed = row.state == OrderState.CLOSED
        columns[OrderColumns.tenant, order] = deployment.owner - first_tenant
        columns[OrderColumns.dseq, order] = deployment.dseq
        columns[OrderColumns.gseq, order] = group.gseq
        columns[OrderColumns.oseq, order] = row.oseq
        columns[OrderColumns.created_at, order] = row.created_at
        columns[OrderColumns.closed_at, order] = row.closed_at if closed else -1
        columns[OrderColumns.state, order] = row.state
        columns[OrderColumns.end, order] = row.reason
        columns[OrderColumns.ceiling_whole, order] = row.price
        columns[OrderColumns.ceiling_atto, order] = row.price_atto
        planned = track.plan >= 0 and e.plans.shape[0] > 0  # orders by hand follow no plan
        columns[OrderColumns.value_whole, order] = e.plans[track.plan].value if planned else 0
        columns[OrderColumns.value_atto, order] = e.plans[track.plan].value_atto if planned else 0
        columns[OrderColumns.cpu, order] = group.cpu
        columns[OrderColumns.memory, order] = group.memory
        columns[OrderColumns.storage, order] = group.storage
        columns[OrderColumns.gpu, order] = group.gpu
        columns[OrderColumns.region, order] = regions[min(group.spec, regions.shape[0] - 1)]
        columns[OrderColumns.bids, order] = track.bids
        columns[OrderColumns.lease, order] = row.lease
        columns[OrderColumns.relisted, order] = 1 if row.oseq > 1 else 0
        columns[OrderColumns.decided, order] = 1 if closed or row.lease >= 0 else 0
        columns[OrderColumns.unfilled, order] = unfilled_code(s, e, by_stage, order)
        columns[OrderColumns.account, order] = deployment.account


@compiled
def put_leases(s: State, e: Engine, before: Table, columns: Table) -> None:
    """Put the leases into columns, int64 (LeaseColumns.width, leases), but for what they have earned; `before` is what the first ones had
    when the window began, as `earned` has it.
    """
    known = before.shape[1]
    for lease in range(columns.shape[1]):
        row = s.leases[lease]
        closed = row.state == LeaseState.CLOSED
        columns[LeaseColumns.order, lease] = row.order
        columns[LeaseColumns.provider, lease] = row.slot
        columns[LeaseColumns.created_at, lease] = row.created_at
        columns[LeaseColumns.active_at, lease] = row.active_at
        columns[LeaseColumns.closed_at, lease] = row.closed_at if closed else -1
        columns[LeaseColumns.state, lease] = row.state
        columns[LeaseColumns.reason, lease] = row.reason
        columns[LeaseColumns.ended, lease] = e.tracks[row.order].ended if closed or row.closed_at > 0 else 0
        columns[LeaseColumns.price_whole, lease] = row.rate
        columns[LeaseColumns.price_atto, lease] = row.rate_atto
        columns[LeaseColumns.withdrawn, lease] = row.withdrawn
        columns[LeaseColumns.fees, lease] = row.fees
        columns[LeaseColumns.shortfall_whole, lease] = row.shortfall
        columns[LeaseColumns.shortfall_atto, lease] = row.shortfall_atto
        columns[LeaseColumns.earned_before_whole, lease] = before[0, lease] if lease < known else 0
        columns[LeaseColumns.earned_before_atto, lease] = before[1, lease] if lease < known else 0
        columns[LeaseColumns.fees_before, lease] = before[2, lease] if lease < known else 0


def lease_columns(clock: BlockClock, height: int, before: Table) -> dict[str, NDArray[np.int64]]:
    """Return the leases table of the record, with what they have earned by a height; `before` as for `put_leases`."""
    columns = np.empty((LeaseColumns.width, leases_of(clock.chain)), np.int64)
    put_leases(clock.chain, clock.engine, before, columns)
    put_earned(clock.chain, height, columns[LeaseColumns.earned_whole : LeaseColumns.earned_atto + 1])
    return by_name(LeaseColumns, columns)


SAMPLES = (
    ("height", Sample.height, 1), ("active_leases", Sample.active, 1), ("insufficient_funds", Sample.short, 1),
    ("open_orders", Sample.open_orders, 1), ("cpu", Sample.cpu, 1), ("memory", Sample.memory, MIB),
    ("storage", Sample.storage, MIB), ("gpu", Sample.gpu, 1), ("revenue_net", Sample.paid, 1),
    ("created", Sample.created, 1), ("leased", Sample.leased, 1), ("submitted", Sample.submitted, 1),
    ("held_whole", Sample.held, 1), ("warnings", Sample.warnings, 1),
)  # fmt: skip
"""Columns of the record's time series: of each its name, that of the samples, and what one of the latter's units is."""


def sample_columns(clock: BlockClock) -> dict[str, NDArray[np.int64]]:
    """Return the time series of the record."""
    rows = clock.engine.samples[: int(clock.engine.globals.samples)]
    names, columns, units = zip(*SAMPLES, strict=True)
    numbers = np.asarray(rows.T)[list(columns)] * np.asarray(units, np.int64)[:, None]
    return dict(zip(names, numbers, strict=True))
