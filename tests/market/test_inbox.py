"""The inbox against a stable sort of all that was submitted, and tenants that react."""

from typing import Any

import numpy as np
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from marketsim.agents import tenants
from marketsim.chain.state import make_state
from marketsim.kernel.table_set import Table, rows_of
from marketsim.market import inbox
from marketsim.market.clock import BlockClock
from marketsim.market.tables import Call, E, Kind, make_engine

SORTED_BY = [Call.key, Call.time, Call.tie]


def rows_by(keys: list[tuple[int, int, int]], first_mark: int) -> Table:
    rows = rows_of(len(keys), Call)
    rows[:, SORTED_BY] = np.array(keys, np.int64).reshape(-1, 3)
    rows[:, Call.plan] = first_mark + np.arange(len(keys))
    return rows


def clock_of() -> BlockClock:
    engine = make_engine(1)
    engine.globals.block_ms = 6000
    return BlockClock(simpy.Environment(), make_state(), engine, take_events=_drop, take_bids=_drop, take_declines=_drop)


def _drop(rows: Table) -> None:
    del rows


key = st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2))
step = st.one_of(
    st.tuples(st.just("one"), st.lists(key, min_size=1, max_size=6)),
    st.tuples(st.just("batch"), st.lists(key, max_size=6)),
    st.tuples(st.just("take"), st.integers(1, 5)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(step, max_size=12), st.integers(0, 6))
def test_messages_stand_in_order(steps: list[tuple[str, Any]], room: int) -> None:
    clock = clock_of()
    clock.engine = clock.engine._replace(inbox=rows_of(room, Call))
    expected: list[list[int]] = []
    mark = 0
    for what, value in steps:
        if what == "take":  # what the block loop does
            clock._take_pending()
            taken = min(value, len(expected))
            clock.engine.globals.inbox += taken
            expected = expected[taken:]
            continue
        rows = rows_by(value, mark)
        mark += len(value)
        if what == "batch":
            clock.submit_rows(rows)
        else:
            send = clock.sender(rows)
            for at in range(len(rows)):
                send(at)
        expected = sorted(expected + rows.tolist(), key=lambda row: [row[column] for column in SORTED_BY])
    clock._take_pending()
    x = clock.engine.globals
    assert clock.engine.inbox[x[E.inbox] : x[E.inbox_end]].tolist() == expected


def test_a_full_inbox_is_left_as_it_is() -> None:
    engine = make_engine(1)._replace(inbox=rows_by([(1, 1, 1), (2, 1, 1), (3, 1, 1), (0, 0, 0)], 0))
    engine.globals[[E.inbox, E.inbox_end]] = 1, 4
    before = engine.inbox.copy()
    assert not inbox.put(engine, rows_by([(1, 1, 2)], 9), 0, 1)
    assert engine.inbox.tolist() == before.tolist()
    assert engine.globals[[E.inbox, E.inbox_end]].tolist() == [1, 4]


class Watched(BlockClock):
    """A clock whose chain executes nothing, and which writes down what agents do."""

    log: list[tuple[str, int, int]]
    leased: frozenset[int]

    def sender(self, rows: Table) -> Any:
        return lambda row: self.log.append(("order", int(self.env.now), int(rows[row, Call.plan])))

    def submit_rows(self, rows: Table) -> None:
        self.log.append(("order", int(self.env.now), int(rows[0, Call.plan])))

    def look(self) -> None:
        return

    def has_lease(self, plan: int) -> bool:
        self.log.append(("look", int(self.env.now), plan))
        return plan in self.leased


def test_tenants_look_after_their_wait_and_order_again() -> None:
    engine = make_engine(1)
    engine.globals.block_ms = 6000
    clock = Watched(simpy.Environment(), make_state(), engine, take_events=_drop, take_bids=_drop, take_declines=_drop)
    clock.log, clock.leased = [], frozenset({1, 12})
    calls = rows_of(3, Call)
    calls[:, Call.time] = 5, 5, 20
    calls[:, Call.plan] = 0, 1, 2
    calls[:, Call.kind] = Kind.ARRIVE

    def again(plan: int) -> Table | None:
        message = rows_of(1, Call)
        message[0, Call.plan] = plan + 10
        return message if plan in {0, 2} else None

    clock.env.process(tenants.reacting(clock, calls, 15, again))
    clock.env.run()
    assert clock.log == [
        ("order", 5, 0),
        ("order", 5, 1),
        ("order", 20, 2),
        ("look", 20, 0),
        ("order", 20, 10),
        ("look", 20, 1),
        ("look", 35, 2),
        ("order", 35, 12),
        ("look", 35, 10),
        ("look", 50, 12),
    ]
    assert clock.env.now == 50


def test_an_outcome_is_the_lease_of_the_newest_order() -> None:
    clock = clock_of()
    engine, chain = clock.engine, clock.chain
    engine.plans[3].deployment = -1
    assert not clock.has_lease(3)
    engine.plans[3].deployment = 2
    chain.deployments[2] = 0
    chain.groups[0] = 0
    chain.orders[0].lease = -1
    assert not clock.has_lease(3)
    chain.orders[0].lease = 0
    assert clock.has_lease(3)
    clock.chain = make_state()
    clock.chain.orders[0].lease = -1
    assert not clock.has_lease(3)
