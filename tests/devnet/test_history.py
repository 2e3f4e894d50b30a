"""What a devnet's log has told so far: steps and transactions out of a database, as lists and mappings would have them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from marketsim.devnet.history import History, Step
from marketsim.devnet.node import DevnetNode, tx_hash
from marketsim.simulation.live import Ticket

GROUPS = [{"name": "web", "resources": []}]


def messages(number: int) -> dict[str, Any]:
    made = {"op": "create_deployment", "id": f"tenant/{number}", "groups": [*GROUPS, number]}
    return {"kind": "messages", "height": number, "signer": "tenant", "messages": [made, {"op": "configure", "number": number}]}


def test_steps_are_kept_merged_and_cut_like_a_list(tmp_path: Path) -> None:
    history, model, chance, least = History(tmp_path / ".one.sqlite"), list[Step](), random.Random(3), 0
    for number in range(300):
        kind = chance.choice(["advance", "advance", "messages", "checkpoint"])
        entry = messages(number) if kind == "messages" else {"kind": kind, "advance": number}
        history.append(entry | {"n": number, "before": "x", "hash": "y"}, f"line-{number}")
        model.append(Step(entry, f"line-{number}"))
        history.merge(least)
        while len(model) >= max(2, least + 2) and all(step.entry["kind"] == "advance" for step in model[-2:]):
            del model[-2]
        if number % 50 == 20:
            least = len(model)
        if number % 90 == 89:
            del model[least:]
            history.cut(least)
        assert len(history) == len(model)
    assert list(history) == model
    assert list(tmp_path.iterdir()) == []
    history.close()


def test_transactions_are_found_until_their_step_is_cut(tmp_path: Path) -> None:
    (tmp_path / ".one.sqlite").write_bytes(b"of a process that was killed")
    history = History(tmp_path / ".one.sqlite")
    hashes = []
    for step in range(40):
        entry = messages(step)
        history.append(entry, f"line-{step}")
        for place, message in enumerate(entry["messages"]):
            hashes.append(tx_hash(f"line-{step}", place))
            history.enter(hashes[-1], step, place, Ticket(2 * step + place, step), message)
    for at, name in enumerate(hashes):
        tx = history.tx(name)
        assert tx is not None and tx == (Ticket(at, at // 2), messages(at // 2)["messages"][at % 2], "tenant")
    assert history.configured() == hashes[1::2]
    assert history.sent_groups("tenant/7", 7) == [*GROUPS, 7] and history.sent_groups("tenant/7", 8) == ()
    history.cut(10)
    assert history.tx(hashes[19]) is not None and history.tx(hashes[20]) is None and history.tx("no hash") is None
    assert history.configured() == hashes[1:20:2] and history.sent_groups("tenant/12", 12) == ()
    history.close()


def test_old_receipts_are_answered_after_a_revert_and_from_the_log_alone(tmp_path: Path) -> None:
    order = {"op": "create_deployment", "id": "tenant", "deposit": "500", "sources": ["balance"]}
    unit = {"price": "1", "count": 1, "cpu": 1000, "memory": 2**30, "storage": 2**30, "gpu": 0}
    node = DevnetNode.open(tmp_path, "tiny", speed=0)
    sent = [node.submit(order | {"groups": [{"name": "web", "resources": [unit]}]}, "tenant")[0] for _ in range(5)]
    node.snapshot("here")
    [gone] = node.submit({"op": "close_deployment", "id": sent[0]["id"]}, "tenant")
    assert node.tx(gone["hash"]) == gone and gone["result"] == "ok"
    node.revert()
    assert [node.tx(each["hash"]) for each in sent] == sent and node.tx(gone["hash"]) is None
    [again] = node.submit({"op": "close_deployment", "id": sent[1]["id"]}, "tenant")
    state = node.state_hash()
    node.close()
    other = DevnetNode.open(tmp_path)
    assert other.state_hash() == state and other.tx(gone["hash"]) is None
    assert [other.tx(each["hash"]) for each in [*sent, again]] == [*sent, again]
    other.close()
