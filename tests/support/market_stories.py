"""Small markets that together take every edge of the transition tables and get every answer of the outcome
tables.

Each story is played under every rule set and with every quirk; what differs between them is decided by the
tables, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from witness import Witness, group

from marketsim.chain.columns import G, Quirk, Rules

Make = Callable[..., Witness]

ENDINGS = ("close_lease", "close_bid", "pause_group", "close_group", "close_deployment")
FINDINGS = (*ENDINGS, "withdraw", "settle_escrow")


def act(w: Witness, op: str, lease: str) -> str:
    """Send the message `op` about a lease, its group or its deployment."""
    parts = lease.split("/")
    if op == "close_bid":
        return w.leave(lease)
    if op in {"pause_group", "close_group"}:
        return w.do(op, "/".join(parts[:3]))
    if op in {"close_deployment", "settle_escrow"}:
        return w.do(op, "/".join(parts[:2]))
    return w.do(op, lease)


def window_of(w: Witness) -> dict[str, int]:
    return {"window": 3600} if w.chain.rules == Rules.AKASH else {}


def crowded(w: Witness, reclaiming: bool = False, active: bool = False) -> None:
    """Deployment t1/1: groups 1 and 2 leased with losers beside, 3 with an open order and bid, 4 paused."""
    w.deploy(groups=5)
    for n in (1, 2):
        for name, price in (("p1", "12"), ("p2", "10"), ("p3", "11")):
            w.bid(f"t1/1/{n}/1/{name}", price, **(window_of(w) if reclaiming else {}))
        w.ok("create_lease", f"t1/1/{n}/1/p2")
    w.bid("t1/1/3/1/p1")
    w.lease("t1/1/4/1/p1")
    w.leave("t1/1/4/1/p1")
    if reclaiming and w.chain.rules == Rules.AKASH:
        w.ok("start_reclaim", "t1/1/1/1/p2", reason=10000)
        w.ok("start_reclaim", "t1/1/2/1/p2", reason=10000)
    if active and w.chain.rules == Rules.SEED:
        w.ok("activate_lease", "t1/1/1/1/p2")
        w.ok("activate_lease", "t1/1/2/1/p2")
    w.do("close_group", "t1/1/5")


def endings(make: Make) -> Iterator[Witness]:
    """Every way to end a lease on purpose, from each state that a lease or order can have."""
    for op in ENDINGS:
        for flag in (False, True):
            w = make()
            crowded(w, reclaiming=flag, active=flag)
            w.height += 700 if flag else 7
            assert act(w, op, "t1/1/1/1/p2") == "ok"
            for again in (*FINDINGS, "start_group", "create_lease"):
                act(w, again, "t1/1/1/1/p2")
            w.do("update_deployment", "t1/1", hash="b")
            yield w


def findings(make: Make) -> Iterator[Witness]:
    """Every message that may find the account dry, with something in each state for the cascade to meet."""
    for op in FINDINGS:
        for flag in (False, True):
            for group_three_open in (True, False):
                w = make(params={G.order_timeout: 0})
                crowded(w, reclaiming=flag, active=flag)
                if not group_three_open:
                    w.do("pause_group", "t1/1/3")
                w.height += 700
                assert act(w, op, "t1/1/1/1/p2") == "ok"
                aftermath(w)
                yield w


def aftermath(w: Witness) -> None:
    """What can still be said to a deployment whose account ran dry."""
    for n in (1, 2, 3, 4):
        w.do("create_lease", f"t1/1/{n}/1/p3")
        w.do("create_lease", f"t1/1/{n}/1/p1")
        w.do("withdraw", f"t1/1/{n}/1/p2")
    if w.chain.rules == Rules.AKASH:
        w.do("start_reclaim", "t1/1/2/1/p2", reason=10001)
        w.do("start_reclaim", "t1/1/2/1/p2", reason=1)
    w.do("start_group", "t1/1/2")
    w.bid("t1/1/2/2/p1")
    w.do("create_lease", "t1/1/2/2/p1")
    w.do("start_group", "t1/1/3")
    w.do("pause_group", "t1/1/3")
    w.do("start_group", "t1/1/3")
    w.do("close_group", "t1/1/4")
    w.do("settle_escrow", "t1/1")
    w.do("settle_escrow", "t1/1", signer="t1")
    w.deposit("t1/1", 1, sources=())
    w.deposit("t1/1", 100_000_000)
    no_coins_behind_the_grant(w, "t1", lambda: w.deposit("t1/1", 600, sources=("grant",)))
    w.deposit("t1/1", 5_000)
    w.deposit("t1/1", 5_000_000)
    w.deposit("t1/1", 1)
    w.do("settle_escrow", "t1/1")
    w.do("create_lease", "t1/1/2/2/p1")


def no_coins_behind_the_grant(w: Witness, grantee: str, pay: Callable[[], str]) -> None:
    w.ok("grant", signer=grantee, granter="empty", limit="1000000", scopes=["deployment", "bid"])
    assert pay() == "InsufficientFunds"
    w.ok("grant", signer=grantee, granter="empty", limit="0", scopes=["deployment", "bid"])


def deployments(make: Make) -> Iterator[Witness]:
    """CreateDeployment, UpdateDeployment and CloseDeployment, refused in each state."""
    w = make()
    for state in ("none", "closed"):
        w.deploy(groups=[])
        w.deploy(groups=[group(cpu=9)])
        if state == "none":
            w.deploy(deposit="999")
            w.deploy(groups=[group("a"), group("a")])
            if w.chain.rules == Rules.AKASH:
                w.deploy(window=1)
            no_coins_behind_the_grant(w, "t1", lambda: w.deploy(sources=["grant"]))
            w.do("update_deployment", "t1/1", hash="b")
            w.do("close_deployment", "t1/1")
        w.deploy()
        if state == "none":
            w.deploy(groups=[])
            w.deploy(groups=[group(cpu=9)])
            w.deploy()
        w.do("update_deployment", "t1/1", hash="a")
        w.do("update_deployment", "t1/1", hash="b")
        w.do("close_deployment", "t1/1")
    yield w


def groups(make: Make) -> Iterator[Witness]:
    """Close, pause and start in each state of a group, with a bid on the open order."""
    for first in ("close_group", "pause_group", "start_group"):
        for second in ("close_group", "pause_group", "start_group"):
            w = make()
            w.do(first, "t1/1/1")
            w.deploy(groups=2)
            w.bid("t1/1/1/1/p1")
            w.do(first, "t1/1/1")
            w.do("create_lease", "t1/1/1/1/p1")
            w.do(second, "t1/1/1")
            w.do(first, "t1/1/1")
            w.do("close_deployment", "t1/1")
            yield w


def bids(make: Make) -> Iterator[Witness]:
    """CreateBid and CloseBid, refused in each state of the order and of the bid."""
    w = make()
    needs = [
        group(attributes={"region": "west"}),
        group("g2", gpu=1, gpu_attributes={"vendor/nvidia/model/*": "true"}),
        group("g3"),
    ]
    refused_bids(w)
    w.deploy(groups=needs, **window_of(w))
    offered = {"window": 7200} if window_of(w) else {}
    refused_bids(w)
    w.bid("t1/1/1/1/p1", "60", **offered)
    w.bid("t1/1/1/1/p1", "-1", **offered)
    w.bid("t1/1/1/1/p1", offer=[[1, 2]], **offered)
    w.bid("t1/1/1/1/", **offered)
    w.bid("t1/1/1/1/p5", **offered)
    w.bid("t1/1/1/1/p4", **offered)
    w.bid("t1/1/2/1/p1", **offered)
    w.bid("t1/1/1/1/p1", window=60)
    w.bid("t1/1/1/1/p1", window=2_592_001)
    w.bid("t1/1/1/1/p1")
    w.ok("block_provider", provider="p1")
    w.bid("t1/1/1/1/p1", **offered)
    w.ok("unblock_provider", provider="p1")
    no_coins_behind_the_grant(w, "p2", lambda: w.bid("t1/1/1/1/p2", sources=["grant"], **offered))
    w.bid("t1/1/1/1/p1", **offered)
    w.bid("t1/1/1/1/p1", **offered)
    w.leave("t1/1/1/1/p1", 1)
    w.bid("t1/1/1/1/p2", **offered)
    w.bid("t1/1/1/1/p3", **offered)
    w.leave("t1/1/1/1/p3")
    refused_bids(w)
    w.do("close_lease", "t1/1/1/1/p1")
    w.ok("create_lease", "t1/1/1/1/p1")
    w.do("create_lease", "t1/1/1/1/p1")
    refused_bids(w)
    w.do("close_lease", "t1/1/1/1/p5")
    w.do("close_lease", "t1/1/1/1/p2")
    w.leave("t1/1/1/1/p1", 1)
    w.leave("t1/1/1/1/p2", 1)
    w.leave("t1/1/1/1/p2")
    w.do("create_lease", "t1/1/1/1/p2")
    if w.chain.rules == Rules.SEED:
        w.ok("activate_lease", "t1/1/1/1/p1")
        w.do("activate_lease", "t1/1/1/1/p1")
        w.do("activate_lease", "t1/1/1/1/p9")
        refused_bids(w)
        w.do("close_lease", "t1/1/1/1/p5")
        w.do("close_lease", "t1/1/1/1/p2")
    w.ok("close_lease", "t1/1/1/1/p1")
    w.do("activate_lease", "t1/1/1/1/p1") if w.chain.rules == Rules.SEED else None
    refused_bids(w)
    w.leave("t1/1/1/1/p1", 1)
    w.leave("t1/1/1/1/p1")
    w.bid("t1/1/3/1/p3", **offered)
    w.leave("t1/1/3/1/p3")
    w.leave("t1/1/3/1/p3")
    w.leave("t1/1/3/1/p3", 20000)
    yield w


def refused_bids(w: Witness) -> None:
    """The refusals of CreateBid that do not depend on the order's state, and of the other messages about
    t1/1/1/1/p1."""
    w.bid("t1/1/1/1/t1")
    w.bid("t1/1/1/1/p1", "0")
    w.bid("t1/1/1/1/p1", deposit="499")
    w.ok("set_params", params={"order_max_bids": 1})
    w.bid("t1/1/1/1/p4", window=3600)
    w.ok("set_params", params={"order_max_bids": 4})
    w.bid("t1/1/1/1/p4", window=3600)
    w.leave("t1/1/1/1/p9", 1)
    w.leave("t1/1/1/1/p9")
    for op in ("close_lease", "withdraw"):
        w.do(op, "t1/1/1/1/p9")
    w.do("create_lease", "t1/1/1/1/p9")
    w.deposit("t1/1/1/1/p1", 0)
    w.deposit("t1/1/1/1/p1", 1)
    no_coins_behind_the_grant(w, "t2", lambda: w.deposit("t1/1/1/1/p1", 600, "t2", ("grant",)))


def lost_bids(make: Make) -> Iterator[Witness]:
    """A bid loses; what can be said to it, and to the one that quirk losing_bids_stay leaves open on a
    closed order."""
    w = make()
    w.deploy()
    for name in ("p1", "p2", "p3"):
        w.bid(f"t1/1/1/1/{name}")
    w.ok("create_lease", "t1/1/1/1/p3")
    for name in ("p1", "p2"):
        w.do("create_lease", f"t1/1/1/1/{name}")
        w.leave(f"t1/1/1/1/{name}", 1)
        w.deposit(f"t1/1/1/1/{name}", 1)
        w.deposit(f"t1/1/1/1/{name}", 0)
    w.ok("close_lease", "t1/1/1/1/p3")
    w.leave("t1/1/1/1/p1")
    w.leave("t1/1/1/1/p2")
    yield w


def same_height(make: Make) -> Iterator[Witness]:
    """Two settlements at one height, and what quirk settle_same_height leaves open."""
    for reclaiming in (False, True):
        w = make()
        crowded(w, reclaiming=reclaiming)
        w.height += 7
        w.do("withdraw", "t1/1/1/1/p2")
        w.do("withdraw", "t1/1/1/1/p2")
        w.do("pause_group", "t1/1/1")
        w.do("withdraw", "t1/1/1/1/p2")
        w.height += 1
        w.do("withdraw", "t1/1/1/1/p2")
        w.do("withdraw", "t1/1/1/1/p2")
        w.do("close_deployment", "t1/1")
        for n in (1, 2):
            w.do("withdraw", f"t1/1/{n}/1/p2")
            w.do("close_lease", f"t1/1/{n}/1/p2")
        w.deposit("t1/1", 1)
        yield w


def reclamation(make: Make) -> Iterator[Witness]:
    """Notice on a lease with a window and on one without (akash)."""
    w = make()
    if w.chain.rules != Rules.AKASH:
        return
    w.deploy(groups=2, deposit="100000")
    w.do("start_reclaim", "t1/1/1/1/p1", reason=10000)
    w.do("start_reclaim", "t1/1/1/1/p1", reason=0)
    w.lease("t1/1/1/1/p1", window=3600)
    w.lease("t1/1/2/1/p2")
    w.do("start_reclaim", "t1/1/2/1/p2", reason=10000)
    w.do("start_reclaim", "t1/1/1/1/p1", reason=20000)
    assert w.leave("t1/1/1/1/p1") == "ReclamationNotStarted"
    w.ok("start_reclaim", "t1/1/1/1/p1", reason=10000)
    w.do("start_reclaim", "t1/1/1/1/p1", reason=10000)
    w.do("start_reclaim", "t1/1/1/1/p1", reason=1)
    assert w.leave("t1/1/1/1/p1") == "ReclamationWindowNotElapsed"
    w.height += 600
    w.do("withdraw", "t1/1/1/1/p1")
    assert w.leave("t1/1/1/1/p1") == "ok"
    w.do("start_reclaim", "t1/1/1/1/p1", reason=10000)
    w.do("start_reclaim", "t1/1/1/1/p1", reason=1)
    yield w


def too_much(make: Make) -> Iterator[Witness]:
    """A rate beyond the range of the escrow's arithmetic is refused, not wrapped."""
    w = make()
    w.deploy(groups=[group(price="10000000", count=190_000, cpu=100)])
    assert w.lease("t1/1/1/1/p1", "15000000000") == "AmountTooLarge"
    yield w


def registry(make: Make) -> Iterator[Witness]:
    """Providers, grants, parameters and governance."""
    w = make()
    for op in ("block_provider", "unblock_provider"):
        for name in ("p1", "p5"):
            w.do(op, provider=name)
            w.do(op, provider=name, signer="t1")
    for op in ("update_provider", "delete_provider", "create_provider", "create_provider", "update_provider"):
        w.do(op, provider="p5", attributes={"region": "west"})
    w.deploy(deposit="100000")
    w.lease("t1/1/1/1/p5")
    w.do("delete_provider", provider="p5")
    w.do("delete_provider", provider="p1")
    w.do("create_provider", provider="p1", attributes={"region": "west"})
    w.ok("sign_attributes", signer="auditor", provider="p5", attributes={"tier": "gold"})
    w.do("grant", signer="t1", granter="friend", limit="-1", scopes=["bid"])
    w.do("grant", signer="t1", granter="friend", limit="1", scopes=[])
    w.do("set_params", params={"order_max_bids": 501})
    w.do("set_params", params={"order_max_bids": 5}, signer="t1")
    w.do("settle_escrow", "t1/9")
    w.do("settle_escrow", "t1/9", signer="t1")
    w.do("settle_escrow", "t1/1")
    w.do("settle_escrow", "t1/1", signer="t1")
    w.deposit("t1/9", 0)
    w.deposit("t1/9", 1)
    w.deposit("t1/1", 1)
    w.deposit("t1/1", 0)
    for id in ("t1/9", "t1/1"):
        no_coins_behind_the_grant(w, "t1", lambda id=id: w.deposit(id, 600, sources=("grant",)))  # type: ignore[misc]
    w.ok("close_deployment", "t1/1")
    w.do("settle_escrow", "t1/1")
    w.do("settle_escrow", "t1/1", signer="t1")
    w.deposit("t1/1", 1)
    w.deposit("t1/1", 0)
    no_coins_behind_the_grant(w, "t1", lambda: w.deposit("t1/1", 600, sources=("grant",)))
    yield w


def timeouts(make: Make) -> Iterator[Witness]:
    """Orders without a lease end by themselves (seed), also those that quirks left behind on a group that
    is not open."""
    w = make(params={G.order_timeout: 100})
    if w.chain.rules != Rules.SEED:
        return
    w.deploy(groups=3)
    w.bid("t1/1/1/1/p1")
    w.do("pause_group", "t1/1/2")
    w.later(50)
    w.do("start_group", "t1/1/2")
    w.later(60)
    w.do("close_group", "t1/1/2")
    w.deploy("t2/1")
    w.later(200)
    assert w.state("deployment t2/1") == "closed"
    w.lease("t2/1/1/1/p1")
    yield w
    if w.has(Quirk.OPEN_ORDERS_STAY):
        w = make(params={G.order_timeout: 0, G.grace: 10})
        crowded(w)
        w.later(200)
        w.ok("set_params", params={"order_timeout": 100})
        w.later(1)
        assert w.state("group t1/1/3") == "closed"
        yield w


def shortages(make: Make) -> Iterator[Witness]:
    """Accounts that run short (seed): found by whom, revived, ended each way."""
    if make().chain.rules != Rules.SEED:
        return
    params = {G.order_timeout: 0, G.grace: 100}
    for op in ("close_lease", "close_bid", "pause_group", "close_group", "withdraw", "settle_escrow"):
        w = make(params=params)
        crowded(w)
        w.height += 60
        assert act(w, op, "t1/1/1/1/p2") == "ok"
        yield w
    for op in ENDINGS:
        w = make(params=params)
        crowded(w)
        w.later(60)
        assert w.state("lease t1/1/1/1/p2") == "insufficient_funds"
        w.do("create_lease", "t1/1/3/1/p1")
        w.do("withdraw", "t1/1/1/1/p2")
        w.deposit("t1/1", 1)
        assert w.state("lease t1/1/1/1/p2") == "insufficient_funds"
        w.deposit("t1/1", 1000)
        assert w.state("lease t1/1/1/1/p2") == "active"
        w.later(60)
        act(w, op, "t1/1/1/1/p2")
        w.later(10)
        yield w
    for active in (False, True):
        w = make(params=params)
        crowded(w, active=active)
        w.later(60)
        w.later(200)
        assert w.state("deployment t1/1") == "closed"
        w.do("start_group", "t1/1/1")
        w.do("start_group", "t1/1/3")
        w.bid("t1/1/1/2/p1")
        w.do("create_lease", "t1/1/1/2/p1")
        w.do("pause_group", "t1/1/2")
        w.do("close_group", "t1/1/4")
        w.do("close_group", "t1/1/2")
        w.do("pause_group", "t1/1/1")
        yield w


def usage(make: Make) -> Iterator[Witness]:
    """Usage records, refused and taken, in each state of a lease (seed)."""
    w = make(charging="usage_capped", params={G.order_timeout: 0, G.grace: 100, G.usage_grace: 20})
    if w.chain.rules != Rules.SEED:
        return
    lease = "t1/1/1/1/p1"
    full = {"cpu": 100 * 6 * 20, "memory": (1 << 20) * 6 * 20, "storage": (5 << 20) * 6 * 20, "gpu": 0}
    w.do("submit_usage", lease, metrics={})
    w.deploy(groups=[group(gpu=1)])
    w.lease(lease)
    for n in range(2):
        w.later(20)
        w.do("submit_usage", lease, metrics=full, signer="p2")
        w.do("submit_usage", lease, metrics={"cpu": -1})
        w.do("submit_usage", lease, metrics=full, until=w.height + 1)
        w.do("submit_usage", lease, metrics=full, since=w.height - 21 - 20 * n)
        w.do("submit_usage", lease, metrics={"gpu": 1 << 60})
        w.ok("submit_usage", lease, metrics=full)
    w.later(60)
    w.do("submit_usage", lease, metrics={}, since=140, until=160)
    w.height += 30
    w.do("submit_usage", lease, metrics=full, since=150, until=170)
    w.later(0)
    w.ok("submit_usage", lease, metrics=full)
    w.later(1000)
    spent(w, lease, full)
    yield w
    w = make(charging="usage_capped", params={G.order_timeout: 0, G.grace: 1000})
    w.deploy()
    w.lease(lease, "50")
    for _ in range(2):
        w.later(12)
        w.do("submit_usage", lease, metrics={kind: value * 12 // 20 for kind, value in full.items()})
    w.later(10)
    assert w.state(f"lease {lease}") == "insufficient_funds"
    spent(w, lease, full)
    w.ok("close_deployment", "t1/1")
    spent(w, lease, full)
    yield w


def spent(w: Witness, lease: str, full: dict[str, int]) -> None:
    w.do("submit_usage", lease, metrics=full, signer="t1")
    w.do("submit_usage", lease, metrics={"cpu": -1})
    w.do("submit_usage", lease, metrics=full)


STORIES = (
    endings,
    findings,
    deployments,
    groups,
    bids,
    lost_bids,
    same_height,
    reclamation,
    too_much,
    registry,
    timeouts,
    shortages,
    usage,
)
