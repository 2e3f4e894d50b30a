"""The record: what is kept, what is fingerprinted, and that both modes of running agree to the bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from marketsim.chain.columns import Event, EventKind, Lease, Order, Provider, Wallet
from marketsim.chain.events import emit, fingerprint, hash64, mix_event, note
from marketsim.chain.state import make_state
from marketsim.kernel.modes import COMPILING

ROOT = Path(__file__).resolve().parents[3]
EDGES = (0, 1, -1, 2, 10**9, -(10**18), 2**62, 2**63 - 1, -(2**63))

PROGRAM = """
import json, sys
from marketsim.chain.events import hash64, mix_event
rows = json.load(sys.stdin)
print(json.dumps([[int(hash64(*r[:4])), *map(int, mix_event(*r))] for r in rows]))
"""


def other_mode(rows: list[tuple[int, ...]]) -> list[list[int]]:
    environment = os.environ | {"MARKETSIM_COMPILE": "0" if COMPILING else "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    answer: list[list[int]] = json.loads(done.stdout)
    return answer


def test_hashes_and_fingerprints_are_the_same_compiled_and_not() -> None:
    rows = [tuple(EDGES[(i * k + i + k) % len(EDGES)] for k in range(1, 10)) for i in range(60)]
    here = [[int(hash64(*r[:4])), *map(int, mix_event(*r))] for r in rows]
    assert other_mode(rows) == here
    assert len({tuple(answer) for answer in here}) == len(set(rows))


integers = st.integers(-(2**63), 2**63 - 1)


@given(integers, integers, integers, integers)
def test_a_hash_is_a_non_negative_int63(seed: int, a: int, b: int, c: int) -> None:
    assert 0 <= int(hash64(seed, a, b, c)) < 2**63


def test_hashes_of_neighbours_spread_evenly() -> None:
    high = [int(hash64(1, order, provider, 0)) >> 53 for order in range(200) for provider in range(50)]
    low = [int(hash64(1, order, provider, 0)) & 1023 for order in range(200) for provider in range(50)]
    for sample in (high, low):
        counts = [sample.count(value) for value in range(1024)]
        # 10,000 draws in 1,024 boxes: chi-squared with 1,023 degrees of freedom has a standard deviation
        # of 45
        assert abs(sum((n - 9.765625) ** 2 / 9.765625 for n in counts) - 1023) < 5 * 45.2


def record(events: list[tuple[int, ...]], mask: int, height: int = 5, moved: int = 0) -> tuple[str, list[list[int]]]:
    """The fingerprint and the kept rows; `moved` rows further on stand the same objects."""
    state = make_state(64)
    state.globals.event_mask = mask
    state.globals.height = height
    for table in (state.orders[:, Order.id], state.providers[:, Provider.id], state.leases[:, Lease.id], state.wallets[:, Wallet.id]):
        table[moved:] = np.arange(1000, 1000 + len(table) - moved)
    for kind, subject, other, *rest in events:
        emit(state, kind, subject + moved, other + moved, *rest)
    return fingerprint(state), state.events[: state.globals.events].tolist()


BID = (int(EventKind.BID_CREATED), 1, 2, 3, 4, 5)
PAID = (int(EventKind.PAID), 6, 7, 8, 9, 10)


def test_rows_are_kept_by_kind_and_the_fingerprint_does_not_care() -> None:
    everything, rows = record([BID, PAID], -1)
    assert rows == [[5, *BID, 1001], [5, *PAID, 1006]]  # with the identities of order and lease
    assert (Event.extra, Event.identity) == (6, 7)
    some, rows = record([BID, PAID], 1 << EventKind.PAID)
    assert rows == [[5, *PAID, 1006]]
    none, rows = record([BID, PAID], 0)
    assert rows == []
    assert everything == some == none
    assert len(none) == 32


def test_the_fingerprint_sees_order_height_names_and_amounts() -> None:
    seen = {
        record([BID, PAID], 0)[0],
        record([PAID, BID], 0)[0],
        record([BID, PAID], 0, height=6)[0],
        record([BID], 0)[0],
    }
    for field in range(5):
        changed = list(BID)
        changed[field] += 1
        seen.add(record([tuple(changed), PAID], 0)[0])
    assert len(seen) == 9


def test_the_fingerprint_does_not_see_where_rows_stand() -> None:
    other_bid_row = (*BID[:5], 17)
    assert record([BID, PAID], 0)[0] == record([BID, PAID], 0, moved=9)[0] == record([other_bid_row, PAID], 0)[0]


def test_what_only_looking_brings_on_the_record_is_kept_and_not_fingerprinted() -> None:
    state = make_state(64)
    state.globals.event_mask = -1
    before = fingerprint(state)
    note(state, *PAID)
    assert fingerprint(state) == before
    assert state.globals.events == 1
