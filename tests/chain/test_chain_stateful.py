"""Random messages to the whole chain: money is conserved, no state changes but by the tables, a refusal
changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from witness import Witness, group

from marketsim.chain.columns import G, Quirk, Rules
from marketsim.chain.edge import Chain
from marketsim.chain.ledger import recount_problems
from marketsim.chain.rule_sets import QUIRKS_OF, RULES
from marketsim.chain.state import TABLES

# What a refused message may touch: the clock, and numbers for names and requirements seen for the first time.
IDLE = [G.height, G.specs]

deployments = st.sampled_from(["t1/1", "t1/2", "t2/1"])
sequences = st.sampled_from([1, 1, 1, 2, 2, 3])
providers = st.sampled_from(["p1", "p2", "p3", "p4", "p5"])
orders = st.builds("{}/{}/{}".format, deployments, sequences, sequences)
bids = st.builds("{}/{}".format, orders, providers)
wallets = st.sampled_from(["t1", "t2", "friend", "p1"])
amounts = st.sampled_from(["0", "1", "499", "500", "1000", "1500", "60000000"])
prices = st.sampled_from(["0", "0.000000000000000001", "0.5", "3.7", "10", "50", "50.1"])
sources = st.sampled_from([["balance"], ["grant"], ["grant", "balance"], ["balance", "grant"], []])
reasons = st.sampled_from([0, 10000, 10003, 20000])


def tables_of(chain: Chain) -> dict[str, bytes]:
    """Everything that a message may change, byte by byte."""
    totals = chain.state.globals.copy()
    totals[IDLE] = 0
    found = {name: getattr(chain.state, name)[: totals[counter]].tobytes() for name, (counter, _) in TABLES.items()}
    return found | {"globals": totals.tobytes(), "index": np.sort(chain.state.bid_index).tobytes()}


class RandomMarket(RuleBasedStateMachine):
    """Tenants, providers and governance who send whatever comes to mind."""

    rule_set: str

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        known = sorted(QUIRKS_OF[RULES[self.rule_set]])
        quirks = data.draw(st.sets(st.sampled_from(known), max_size=2))
        params = {G.settle_every: 30, G.grace: 40, G.order_timeout: data.draw(st.sampled_from([0, 50]))}
        self.w = Witness(
            self.rule_set,
            [Quirk(quirk).name.lower() for quirk in sorted(quirks)],
            charging="usage_capped" if self.rule_set == "seed" and data.draw(st.booleans()) else "rate",
            params=params if self.rule_set == "seed" else None,
        )

    def send(self, op: str, id: str | None = None, **arguments: Any) -> None:
        before = tables_of(self.w.chain)
        result = self.w.do(op, id, **arguments)  # the witness knows every transition and every answer
        if result != "ok":
            assert tables_of(self.w.chain) == before, (op, id, arguments, result)
        else:
            assert recount_problems(self.w.chain.state) == []

    @rule(blocks=st.sampled_from([1, 1, 5, 20, 60, 700]))
    def advance(self, blocks: int) -> None:
        self.w.later(blocks)
        assert recount_problems(self.w.chain.state) == []

    @rule(
        id=deployments,
        deposit=amounts,
        sources=sources,
        count=st.integers(1, 3),
        window=st.sampled_from([0, 3600]),
    )
    def create_deployment(self, id: str, deposit: str, sources: list[str], count: int, window: int) -> None:
        groups = [group(f"g{n}") for n in range(count)]
        self.send("create_deployment", id, deposit=deposit, sources=sources, groups=groups, hash="a", window=window)

    @rule(id=deployments, hash=st.sampled_from("ab"))
    def update_deployment(self, id: str, hash: str) -> None:
        self.send("update_deployment", id, hash=hash)

    @rule(id=deployments)
    def close_deployment(self, id: str) -> None:
        self.send("close_deployment", id)

    @rule(op=st.sampled_from(["pause_group", "start_group", "close_group"]), id=deployments, gseq=sequences)
    def change_group(self, op: str, id: str, gseq: int) -> None:
        self.send(op, f"{id}/{gseq}")

    @rule(id=bids, price=prices, deposit=amounts, sources=sources, window=st.sampled_from([0, 0, 3600]))
    def create_bid(self, id: str, price: str, deposit: str, sources: list[str], window: int) -> None:
        self.send("create_bid", id, price=price, deposit=deposit, sources=sources, window=window)

    @rule(id=deployments, gseq=sequences, provider=providers, price=st.sampled_from(["0.5", "3.7", "10"]))
    def lease(self, id: str, gseq: int, provider: str, price: str) -> None:
        """A market in which every message is random seldom gets to a lease: this one helps it along."""
        self.send("create_deployment", id, deposit="1000", sources=["balance"], groups=[group("a"), group("b")])
        for oseq in (1, 2, 3):
            name = f"{id}/{gseq}/{oseq}/{provider}"
            self.send("create_bid", name, price=price, deposit="500", sources=["balance"], window=3600)
            self.send("create_lease", name)

    @rule(id=bids)
    def create_lease(self, id: str) -> None:
        self.send("create_lease", id)

    @rule(id=bids, reason=reasons)
    def close_bid(self, id: str, reason: int) -> None:
        self.send("close_bid", id, reason=reason)

    @rule(data=st.data(), op=st.sampled_from(["close_lease", "close_bid", "withdraw"]))
    def end_a_lease(self, data: st.DataObject, op: str) -> None:
        names = self.w.chain.lease_names or ["t1/1/1/1/p1"]
        arguments = {"reason": 10001} if op == "close_bid" else {}
        self.send(op, data.draw(st.sampled_from(names)), **arguments)

    @rule(id=bids | deployments, signer=wallets, deposit=amounts, sources=sources)
    def account_deposit(self, id: str, signer: str, deposit: str, sources: list[str]) -> None:
        self.send("account_deposit", id, signer=signer, deposit=deposit, sources=sources)

    @rule(
        signer=wallets,
        granter=wallets,
        limit=amounts,
        scopes=st.sampled_from([["bid"], ["deployment", "bid"]]),
    )
    def grant(self, signer: str, granter: str, limit: str, scopes: list[str]) -> None:
        self.send("grant", signer=signer, granter=granter, limit=limit, scopes=scopes)

    @rule(provider=providers, op=st.sampled_from(["create", "delete", "block", "unblock"]))
    def change_provider(self, provider: str, op: str) -> None:
        self.send(f"{op}_provider", provider=provider, attributes={"region": "west"})

    @rule(params=st.sampled_from([{"order_max_bids": 1}, {"order_max_bids": 3}, {"take_percent": 7}]))
    def set_params(self, params: dict[str, int]) -> None:
        self.send("set_params", params=params)

    @rule(id=deployments)
    def settle_escrow(self, id: str) -> None:
        self.send("settle_escrow", id)

    @precondition(lambda self: self.rule_set == "akash")
    @rule(data=st.data(), reason=reasons)
    def start_reclaim(self, data: st.DataObject, reason: int) -> None:
        names = self.w.chain.lease_names or ["t1/1/1/1/p1"]
        self.send("start_reclaim", data.draw(st.sampled_from(names)), reason=reason)

    @precondition(lambda self: self.rule_set == "seed")
    @rule(data=st.data(), cpu=st.sampled_from([0, 3000, 60000]))
    def meter(self, data: st.DataObject, cpu: int) -> None:
        name = data.draw(st.sampled_from(self.w.chain.lease_names or ["t1/1/1/1/p1"]))
        self.send("activate_lease", name)
        self.send("submit_usage", name, metrics={"cpu": cpu, "memory": cpu << 10, "storage": cpu << 12})


@pytest.mark.parametrize("rules", RULES)
def test_random_messages(rules: str) -> None:
    machine = type(f"RandomMarket{rules.title()}", (RandomMarket,), {"rule_set": rules})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_rule_sets_are_three() -> None:
    assert [RULES[name] for name in RULES] == [Rules.SEED, Rules.VIRTENGINE, Rules.AKASH]
