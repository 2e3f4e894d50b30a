"""Messages of every kind with arguments that nobody would send: a receipt or an error, and the log gives the same devnet again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from devnets import order
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from marketsim.chain.parsing import ARGUMENTS
from marketsim.devnet.node import DevnetNode
from marketsim.errors import InputError
from marketsim.simulation.market_messages import OPERATIONS

TAKES = {op: tuple(arguments) for op, arguments in ARGUMENTS.items()} | dict(OPERATIONS)
HUGE = 2**63
IDS = ("tenant/400", "tenant/400/1", "tenant/400/1/1", "tenant/400/1/1/provider", "", "/", "a/b/c", "tenant/-1", f"tenant/{HUGE}", "é/1")
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2**31, 2**62, HUGE, -HUGE, 10**40]),
    st.floats(),
    st.sampled_from(["", "x", "0", "-5", "1.5", "1e9", "9" * 40, "0." + "9" * 18, "\x00", "\ud800", "provider", "tenant", "governance"]),
    st.sampled_from(IDS),
    st.lists(st.sampled_from(["balance", "grant", "deployment", "x", 3]), max_size=3),
    st.dictionaries(st.sampled_from(["cpu", "memory", "take_percent", "order_timeout", "bid_engine", "a"]), st.integers(-HUGE, HUGE)),
    st.just(order()["groups"]),
)
LIKELY: dict[str, Any] = {
    "id": st.sampled_from(IDS),
    "deposit": st.sampled_from(["500", "1", "-1", "9" * 30, 700]),
    "price": st.sampled_from(["1", "0", "0.5", "-1", "9" * 30]),
    "sources": st.sampled_from([["balance"], ["grant"], [], ["grant", "balance"]]),
    "groups": st.just(order()["groups"]),
    "provider": st.sampled_from(["provider", "north/0", "north-0", "nobody"]),
    "params": st.dictionaries(
        st.sampled_from(["take_percent", "order_timeout", "settle_every", "grace", "bid_min_deposit"]), st.integers(-5, 2**40), max_size=3
    ),
    "metrics": st.dictionaries(st.sampled_from(["cpu", "memory", "storage", "gpu"]), st.sampled_from([0, 1, -1, 10**6, 2**62, HUGE])),
}


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    op = draw(st.sampled_from(sorted(TAKES)))
    message: dict[str, Any] = {"op": op}
    for name in TAKES[op]:
        if draw(st.integers(0, 19)):
            message[name] = draw(LIKELY[name]) if name in LIKELY and draw(st.integers(0, 4)) else draw(ODD)
    if not draw(st.integers(0, 19)):
        message[draw(st.sampled_from(["signer", "height", "result", "colour"]))] = draw(ODD)
    return message


def test_strange_messages_do_no_harm(tmp_path: Path) -> None:
    node = DevnetNode.open(tmp_path, "tiny", speed=0)
    node.advance(400)
    node.submit(order("tenant/400"), "tenant")
    node.advance(5)
    done = dict.fromkeys(("receipt", "error"), 0)

    @settings(max_examples=250, deadline=None, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(messages(), st.sampled_from(["tenant", "provider", "validator", "friend"]))
    @seed(5)
    def send(message: dict[str, Any], signer: str) -> None:
        try:
            [receipt] = node.submit(message, signer)
        except InputError as error:
            assert error.lines[0]
            done["error"] += 1
        else:
            json.dumps(receipt, allow_nan=False)
            done["receipt"] += 1

    send()
    node.advance(50)
    assert min(done.values()) > 30, done
    place = (node.height, node.fingerprint(), node.state_hash(), node.orders(), node.wallets())
    node.close()
    again = DevnetNode.open(tmp_path)
    assert (again.height, again.fingerprint(), again.state_hash(), again.orders(), again.wallets()) == place
    again.close()
