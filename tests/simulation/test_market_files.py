"""A market whose tables lie in files is the same market: what is over goes from memory, and answers like before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from marketsim.kernel import table_file, table_set
from marketsim.kernel.table_file import can_be_in_files, file_of
from marketsim.scenario import load_scenario
from marketsim.simulation import views
from marketsim.simulation.live import LiveMarket
from marketsim.simulation.market_files import OF_CHAIN, OF_ENGINE

pytestmark = pytest.mark.skipif(not can_be_in_files(), reason="this system cannot let go of a part of a file's memory")
KINDS = ("deployments", "orders", "bids", "leases", "accounts")
GROUP = {"name": "web", "resources": [{"price": "9", "count": 1, "cpu": 100, "memory": 1 << 27, "storage": 1 << 27, "gpu": 0}]}
ORDER = {"op": "create_deployment", "deposit": "5000000", "sources": ["balance"], "groups": [GROUP]}


def market(tables: Path | None) -> LiveMarket:
    small = load_scenario("small", ["horizon=6h", "warm_up=1h"])
    return LiveMarket(small, open_end=True, listens=True, tables=tables)


def told(held: LiveMarket, height: int) -> Any:
    """A deployment by hand, closed later, and the receipts of both."""
    held.advance(height)
    owner = next(name for name in held.wallet_names if name.startswith("web"))
    sent = [held.submit(ORDER | {"id": f"{owner}/{height}"}, signer=owner)]
    held.advance(height + 40)
    bids = held.view().bids(order=f"{owner}/{height}/1/1")
    if bids:
        sent.append(held.submit({"op": "create_lease", "id": bids[0].id}, signer=owner))
        held.advance(height + 41)
        sent.append(held.submit({"op": "close_bid", "id": bids[-1].id}, signer=bids[-1].provider))
    sent.append(held.submit({"op": "close_deployment", "id": f"{owner}/{height}"}, signer=owner))
    held.advance(height + 45)
    return [held.receipt(ticket) for ticket in sent]


def everything(held: LiveMarket) -> dict[str, Any]:
    """Whatever can be asked for, page by page and one by one."""
    found: dict[str, Any] = {"fingerprint": held.fingerprint(), "state": held.state_hash(), "events": held.events(0, 10**6)}
    for kind in KINDS:
        more = {"scope": None} if kind == "accounts" else {}
        whole, after = [], -1
        while after is not None:
            page = getattr(held.view(), kind)(after=after, limit=700, **more)
            whole, after = [*whole, *page], page.next
        assert whole == list(getattr(held.view(), kind)(**more))
        found[kind] = whole
        for state in sorted({record.state for record in whole}):
            for _ in range(2):  # the second time pieces are left out in which all is over
                found[kind, state] = list(getattr(held.view(), kind)(state=state, **more))
            assert found[kind, state] == [record for record in whole if record.state == state]
        one = getattr(held.view(), kind[:-1])
        for record in whole[:: max(1, len(whole) // 50)]:
            assert one(record.id) == record
            held.rest()
            assert one(record.id) == record
    return found


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that grow often, and pages that are looked at in many pieces."""
    monkeypatch.setattr(table_file, "STEP_BYTES", 1 << 14)
    monkeypatch.setattr(table_set, "STEP_BYTES", 1 << 14)
    monkeypatch.setattr(views, "PIECE", 512)


def test_with_and_without_files_all_answers_are_equal_and_so_are_forks(tmp_path: Path) -> None:
    in_memory, in_files = market(None), market(tmp_path)
    clock = in_files._play.clock
    for held in (in_memory, in_files):
        receipts = told(held, 500)
        assert next(receipt.result for receipt in receipts) == "ok"
        held.rest()
        receipts += told(held, 2_000)
        held.advance(6_000)
        held.rest()
        vars(held)["receipts"] = receipts
    for name in OF_CHAIN + OF_ENGINE:
        table = getattr(clock.chain if name in OF_CHAIN else clock.engine, name)
        assert not len(table) or file_of(table) is not None, name
    assert vars(in_memory)["receipts"] == vars(in_files)["receipts"]
    expected = everything(in_memory)
    assert everything(in_files) == expected
    assert sum(lease.state == "closed" for lease in expected["leases"]) > 50

    trial = in_files.fork(trial=True)
    trial.advance(20_000)
    trial.rest()
    before = trial.state_hash()
    assert everything(in_files) == expected  # of which a trial changes nothing
    assert trial.state_hash() == before

    snapshot = in_files.snapshot()
    in_files.advance(8_000)  # its own files go on growing, the fork's stay
    in_files.rest()
    back = LiveMarket.restore(snapshot)
    assert everything(back) == expected
    for held in (in_memory, back):
        held.advance(90_000)  # with the demand of the next week, whose plans stand behind the others
    back.rest()
    assert (back.state_hash(), back.fingerprint()) == (in_memory.state_hash(), in_memory.fingerprint())
    in_files.advance(20_000)
    assert in_files.state_hash() == before
    in_files.advance(90_000)
    assert in_files.state_hash() == back.state_hash()


def test_a_view_that_is_held_stays_as_it_was(tmp_path: Path) -> None:
    held = market(tmp_path)
    held.advance(2_000)
    view, orders = held.view(), list(held.view().orders(state="open"))
    held.advance(4_000)
    held.rest()
    assert list(view.orders(state="open")) == orders and list(held.view().orders(state="open")) != orders


def test_where_there_are_no_such_files_the_tables_stay_in_memory(tmp_path: Path) -> None:
    held = market(tmp_path / "nowhere")
    held.advance(500)
    assert file_of(held._play.clock.chain.orders) is None
    other = market(tmp_path)
    other.advance(500)
    assert held.state_hash() == other.state_hash()
