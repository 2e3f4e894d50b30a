"""The block clock: SimPy's integer milliseconds on one side, the chain's blocks on the other, dated messages between them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import simpy

from marketsim.chain.ledger import AUDIT_PROBLEMS, recount_problems
from marketsim.chain.state import State
from marketsim.errors import InvariantError
from marketsim.kernel.compiled import bound
from marketsim.kernel.rows import row_of
from marketsim.kernel.table_file import file_for_copies
from marketsim.kernel.table_set import Table, rows_of
from marketsim.market import inbox
from marketsim.market.asking import quote_asked
from marketsim.market.calendar import FIRST, KINDS
from marketsim.market.loop import ASK, AUDIT_BROKEN, CHOOSE, DONE, MESSAGE, MISJUDGED, RECOUNT, SEEN, advance, fold_some
from marketsim.market.room import ask_room, make_room
from marketsim.market.tables import PHASES, Call, Engine, Kind, Phase

ALL_EVENTS = (1 << 62) - 1
"""Mask of every kind of event."""
LEAST_INBOX = 256

AFTER_AGENTS, AFTER_HANDS = 2, 3
"""Priorities within an instant: agents' events are SimPy's 0 and 1, then come messages by hand, then blocks."""


class BlockClock:
    """Turns simulated time into blocks, and is the only way for an agent to reach the chain.

    A block `h` executes at `h * block_ms`, after every other event of that instant: a message submitted at that very time is in it.
    Nothing is executed until somebody looks (`look`) or the record needs room: agents submit dated messages and go on.

    Attributes: `env` the SimPy environment (integer milliseconds), `chain` the chain's tables, `engine` the agents' tables; both
    are replaced when tables grow, so read them through the clock.
    """

    def __init__(
        self,
        env: simpy.Environment,
        chain: State,
        engine: Engine,
        *,
        take_events: Callable[[Table], None],
        take_bids: Callable[[Table], None],
        take_declines: Callable[[Table], None],
        audit: bool = False,
    ) -> None:
        self.env = env
        self._chain = chain
        self._engine = engine
        self._run: Callable[[int], int] | None = None
        self._quote: Callable[[], bool] | None = None
        self._leased: Callable[[int], bool] | None = None
        self._executed = int(engine.globals.executed)
        self.block_ms = int(engine.globals.block_ms)
        self._pending: list[Table] = []
        self._take_events = take_events
        self._take_bids = take_bids
        self._take_declines = take_declines
        self.recounts = 0
        self.answer: Callable[[], None] = _nobody_answers
        """Writes the prices of the orders that wait for them (`Engine.asking`) into quotes."""
        self.choose: Callable[[int], int] = _nobody_chooses
        """Makes a tenant's choice for the order in a row: the row of an offer, -1 for none."""
        self.misjudge: Callable[[int], None] = _nobody_judged
        """Raises what is to be said of a compiled rule that made no number of the bids for an order."""
        self.carry_out: Callable[[int, int], None] = _nobody_sent
        """Carries out the message with a number in a block: one of a user's agent (Kind.MESSAGE)."""
        self.take_outcomes: Callable[[Table], None] = _unheard
        """Takes over rows of `BidOutcome`; they are written over afterwards."""
        self.refused_by_hand: dict[tuple[int, int], int] = {}
        """Refused bids of hand-written messages by desk and Status: counted like any, and no part of the fingerprint."""
        engine.globals.audit = int(audit)
        chain.globals.auditing = int(audit)

    @property
    def chain(self) -> State:
        """The chain's tables as they are now."""
        return self._chain

    @chain.setter
    def chain(self, tables: State) -> None:
        self._chain = tables
        self._run = self._leased = self._quote = None

    @property
    def engine(self) -> Engine:
        """The agents' tables as they are now."""
        return self._engine

    @engine.setter
    def engine(self, tables: Engine) -> None:
        self._engine = tables
        self._run = self._leased = self._quote = None

    def copy(
        self,
        env: simpy.Environment,
        *,
        take_events: Callable[[Table], None],
        take_bids: Callable[[Table], None],
        take_declines: Callable[[Table], None],
        on_write: bool = False,
    ) -> BlockClock:
        """Return a clock that stands where this one does, over copies of the tables, in a SimPy environment of its own.

        The record's rows must have been handed over (`hand_over`). Nobody waits in the new environment yet. With `on_write` it is good for
        as long as this one stays where it is (`file_for_copies`).
        """
        into = file_for_copies(self.chain.orders, on_write)
        other = BlockClock(
            env,
            self.chain.copied(frozenset({"events"}), into),
            self.engine.copied(frozenset({"bid_rows", "decline_rows"}), into),
            take_events=take_events,
            take_bids=take_bids,
            take_declines=take_declines,
            audit=bool(self.engine.globals.audit),
        )
        other._pending = list(self._pending)
        other.recounts = self.recounts
        other.refused_by_hand = dict(self.refused_by_hand)
        return other

    def height_of(self, time_ms: int) -> int:
        """Return the block that takes a message submitted at `time_ms`."""
        return max(1, -(-time_ms // self.block_ms))

    def submit(self, kind: Kind, phase: Phase, at_ms: int | None = None, **arguments: int) -> None:
        """Submit one message now, or dated `at_ms`; arguments go by the names of columns of `Call`."""
        time = int(self.env.now) if at_ms is None else at_ms
        row = row_of(Call, key=self.height_of(time) * PHASES + phase, time=time, kind=kind, **arguments)
        self._pending.append(row.reshape(1, -1))

    def submit_rows(self, rows: Table) -> None:
        """Submit dated messages at once: int64 rows of `Call`, shape (messages, Call.width), sorted or not."""
        if len(rows):
            self._pending.append(rows)

    def sender(self, rows: Table) -> Callable[[int], None]:
        """Return a function that submits the message in one row of `rows`: for processes that send one message at a time.

        The rows are read when they are sent.
        """
        rows = np.ascontiguousarray(rows)
        engine: Engine | None = None
        put: Callable[[int, int], bool]

        def send(row: int) -> None:
            nonlocal engine, put
            if self._pending:
                self._take_pending()
            if engine is not self._engine:
                engine = self._engine
                put = bound(inbox.put, engine, rows)
            if not put(row, row + 1):
                self._grow_inbox(1)
                send(row)

        return send

    def look(self) -> None:
        """Execute every block before the present instant, so that the tables say what an agent sees now."""
        self.advance(-(-int(self.env.now) // self.block_ms) - 1)

    @property
    def executed(self) -> int:
        """The last block up to which everything that was due is done; -1 before the first."""
        return self._executed

    def has_lease(self, plan: int) -> bool:
        """Return whether the order of a plan, the newest of its first group, has a lease as far as blocks are executed."""
        if self._leased is None:
            self._leased = bound(inbox.has_lease, self._chain, self._engine)
        return self._leased(plan)

    def advance(self, until: int) -> None:
        """Execute every block up to and including `until`; does nothing when that is done already."""
        while self._executed < until:
            self._advance(until)

    def watch(self, until: int) -> None:
        """Execute blocks up to `until`, but none behind one in which there is something for agents to see (E.watching)."""
        self._advance(until)

    def _advance(self, until: int) -> None:
        if until <= self._executed:
            return
        if self._pending:
            self._take_pending()
        while True:
            if self._run is None:
                self._run = bound(advance, self._chain, self._engine)
            code = self._run(until)
            if code == DONE:
                self._executed = until
                return
            if code == ASK:
                self._ask()
            elif code == CHOOSE:
                engine = self.engine
                order = int(engine.calendar[FIRST].what) // KINDS
                chosen = self.choose(order)
                engine.globals.chosen_for, engine.globals.chosen = order, chosen
            elif code == MISJUDGED:
                self.misjudge(int(self.engine.globals.misjudged))
            elif code == MESSAGE:
                x = self.engine.globals
                number = int(self.engine.inbox[int(x.inbox)].plan)
                x.inbox += 1
                self.carry_out(number, int(x.last_block))
            elif code == SEEN:
                self._executed = int(self.engine.globals.executed)
                self.hand_over_outcomes()
                return
            elif code == RECOUNT:
                self._recount()
            elif code == AUDIT_BROKEN:
                height = int(self.engine.globals.last_block)
                raise InvariantError(f"block {height}: {AUDIT_PROBLEMS[int(self.engine.globals.audit_problem)]}")
            else:
                self.grow()

    def _ask(self) -> None:
        """Have the orders priced that wait for it, and let every desk look at them."""
        self.answer()
        while True:
            if self._quote is None:
                self._quote = bound(quote_asked, self._chain, self._engine)
            if self._quote():
                return
            self.grow()

    def open_block(self, height: int) -> None:
        """Execute every block before `height` and begin that one: what the caller then does to the tables comes before its phases."""
        self.advance(height - 1)
        x = self.engine.globals
        if height > x.last_block:
            x.last_block = height
        self.chain.globals.height = height

    def after_all(self, at_ms: int, priority: int = AFTER_AGENTS) -> simpy.Event:
        """Return an event of the instant `at_ms` that comes after those of all agents, whoever began to wait first."""
        event = simpy.Event(self.env)
        event._ok = True
        event._value = None
        self.env.schedule(event, priority=priority, delay=at_ms - self.env.now)  # type: ignore[arg-type]
        return event

    def finish(self) -> None:
        """Hand over what is left of the record and, when auditing, recount everything once more; this clock executes nothing any more.

        Who took the rows holds the clock, as a rule: it lets go of them here, so that its tables go with the last who looks at them and do
        not wait for the collector of garbage.
        """
        self.hand_over()
        if self.engine.globals.audit:
            self._recount()
        self._take_events = self._take_bids = self._take_declines = self.take_outcomes = _over
        self.answer, self.choose, self.misjudge, self.carry_out = _nobody_answers, _nobody_chooses, _nobody_judged, _nobody_sent

    def blocks_process(self, every: int, last: int, progress: Callable[[int], None]) -> Generator[Any, Any, None]:
        """SimPy process: execute what is due at least every `every` blocks and report the height reached."""
        height = max(0, self._executed)
        while height < last:
            height = min(last, height + every)
            at = height * self.block_ms
            if at > self.env.now:
                yield self.after_all(at, AFTER_HANDS)
            self.advance(height)
            progress(height)

    def _take_pending(self) -> None:
        """Put what was submitted in batches into the inbox."""
        if not self._pending:
            return
        engine = self.engine
        rest = engine.inbox[int(engine.globals.inbox) : int(engine.globals.inbox_end)]
        rows = self._pending[0] if len(self._pending) == 1 and not len(rest) else np.concatenate([rest, *self._pending])
        self._pending.clear()
        if len(rows) > 1 and not inbox.is_in_order(np.ascontiguousarray(rows)):
            rows = rows[np.lexsort((rows[:, Call.tie], rows[:, Call.time], rows[:, Call.key]))]
        if len(rows) > len(engine.inbox):  # else the table stays where it is, and compiled code knows where
            self._grow_inbox(len(rows))
            engine = self.engine
        engine.inbox[: len(rows)] = rows
        engine.globals.inbox = 0
        engine.globals.inbox_end = len(rows)

    def _grow_inbox(self, more: int) -> None:
        """Let the inbox hold `more` messages beside those that wait in it, with as much room again."""
        engine = self.engine
        waiting = engine.inbox[int(engine.globals.inbox) : int(engine.globals.inbox_end)]
        table = rows_of(max(2 * (len(waiting) + more), LEAST_INBOX), Call)
        table[: len(waiting)] = waiting
        self.engine = engine._replace(inbox=table)
        engine.globals.inbox = 0
        engine.globals.inbox_end = len(waiting)

    def hand_over(self) -> None:
        """Hand over what the record holds so far."""
        self.hand_over_outcomes()
        used = int(self.chain.globals.events)
        if used:
            self._take_events(self.chain.events[:used])
            self.chain.globals.events = 0
        rows = int(self.engine.globals.bids_rows)
        if rows:
            self._take_bids(self.engine.bid_rows[:rows])
            self.engine.globals.bids_rows = 0
        declines = int(self.engine.globals.decline_rows)
        if declines:
            self._take_declines(self.engine.decline_rows[:declines])
            self.engine.globals.decline_rows = 0

    def keep_events(self, take: Callable[[Table], None]) -> None:
        """Keep rows of all kinds of event from now on, and hand them to `take` alone; what happens does not change by it."""
        self.hand_over()
        self._take_events = take
        self.chain.globals.event_mask = ALL_EVENTS

    def make_room(self, orders: int = 0, entries: int = 0, events: int = 0) -> None:
        """Hand over what the record holds so far, and let the tables grow to what the caller is about to add: orders opened, entries of
        the calendar, events; one bid, one lease and a few rows of anything have room without being asked for.
        """
        ask_room(self.engine, orders, 0, entries, events)
        self.grow()

    def grow(self) -> None:
        """Hand over what the record holds so far, and let the tables grow to what compiled code has asked for."""
        self.hand_over()
        self.chain, self.engine = make_room(self.chain, self.engine)

    def settle(self) -> None:
        """Apply what cadences have settled up to the last executed block, so that everybody has been paid what was due by then."""
        height = int(self.engine.globals.executed)
        while not fold_some(self.chain, self.engine, height):
            self.make_room()

    def hand_over_outcomes(self) -> None:
        """Hand over what became of the bids of desks that hear of it."""
        used = int(self.engine.globals.outcomes)
        if used:
            self.take_outcomes(self.engine.outcomes[:used])
            self.engine.globals.outcomes = 0

    def _recount(self) -> None:
        self.recounts += 1
        problems = recount_problems(self.chain)
        if problems:
            height = int(self.engine.globals.last_block)
            raise InvariantError("; ".join(f"block {height}: {problem}" for problem in problems))


def _nobody_answers() -> None:
    raise InvariantError("orders wait for prices, and nobody prices them")


def _nobody_chooses(order: int) -> int:
    raise InvariantError(f"a choice for the order in row {order} is awaited, and nobody chooses")


def _nobody_judged(order: int) -> None:
    raise InvariantError(f"the bids for the order in row {order} have no score")


def _nobody_sent(number: int, height: int) -> None:
    raise InvariantError(f"block {height}: message {number} is nobody's")


def _over(rows: Table) -> None:
    raise RuntimeError(f"{len(rows)} rows of a record that was finished")


def _unheard(_: Table) -> None:
    return
