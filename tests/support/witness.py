"""A chain under observation: every answer and every change of state is written down and held against the
tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from marketsim.chain.columns import Quirk
from marketsim.chain.edge import Chain, result_of
from marketsim.chain.rendering import Changes
from marketsim.chain.transitions import NONE, TableAnswer, Transition, addressed_state, outcomes, transitions

WALLETS = {name: "50000000" for name in ("friend", "p1", "p2", "p3", "p4", "p5", "t1", "t2", "t3")}
PROVIDERS: dict[str, Any] = {
    "p1": {"attributes": {"region": "west"}, "signed": {"auditor": {"region": "west"}}},
    "p2": {"attributes": {"region": "west"}},
    "p3": {"attributes": {"region": "west"}},
    "p4": {"attributes": {"region": "east"}},
}
PARAMS = {"order_max_bids": 4, "bid_min_deposit": 500, "deployment_min_deposit": 1000}
UNIT = {"price": "50", "count": 1, "cpu": 100, "memory": 1 << 20, "storage": 5 << 20, "gpu": 0}


def group(name: str = "g1", **changes: Any) -> dict[str, Any]:
    unit = UNIT | {key: changes.pop(key) for key in list(changes) if key in UNIT or key.endswith("_attributes")}
    return {"name": name, "resources": [unit], **changes}


class Witness:
    """Executes messages by short names and records outcomes and transitions; `check` fails on what the
    tables lack."""

    def __init__(
        self,
        rules: str,
        quirks: Iterable[str] | bool = (),
        *,
        start: dict[str, Any] | None = None,
        charging: str | None = "rate",
        params: dict[int, int] | None = None,
        check: bool = True,
    ) -> None:
        start = start or {"params": PARAMS, "wallets": WALLETS, "providers": PROVIDERS}
        self.chain = Chain(rules, quirks, start=start, charging=charging, params=params)
        self.changes = Changes(self.chain)
        self.height = 100
        self.outcomes: set[TableAnswer] = set()
        self.transitions: set[Transition] = set()
        self.changed: dict[str, Any] = {}
        mask = int(self.chain.state.globals.quirks)
        self.allowed_outcomes = outcomes(self.chain.rules, mask) if check else None
        self.allowed_transitions = transitions(self.chain.rules, mask)
        self.quirks = mask
        self._states: dict[str, str] = {}

    def has(self, quirk: Quirk) -> bool:
        return bool(self.quirks & quirk)

    # --- doing -------------------------------------------------------------------------------------------

    def do(self, op: str, id: str | None = None, **arguments: Any) -> str:
        """Execute one message at `self.height`, nothing due before it; return its result."""
        message = {"op": op, **arguments} if id is None else {"op": op, "id": id, **arguments}
        state = addressed_state(self.chain, message)
        status = self.chain.execute(message, self.height)
        outcome = TableAnswer(op, state, status)
        self.outcomes.add(outcome)
        if self.allowed_outcomes is not None:
            assert outcome in self.allowed_outcomes, (outcome, message)
        self._observe(op)
        if result_of(status) != "ok":
            assert not self.changed, (message, self.changed)
        return result_of(status)

    def ok(self, op: str, id: str | None = None, **arguments: Any) -> None:
        result = self.do(op, id, **arguments)
        assert result == "ok", (op, id, arguments, result)

    def to(self, height: int) -> None:
        """Advance: everything due up to `height` happens by itself."""
        for cause in self.chain.advance_steps(height):
            self._observe(cause)
        self.height = height

    def later(self, blocks: int) -> None:
        self.to(self.height + blocks)

    def _observe(self, cause: str) -> None:
        self.changed = self.changes.collect()
        for name, value in self.changed.items():
            kind = name.partition(" ")[0]
            if not isinstance(value, dict) or (kind == "account" and name.count("/") > 1):
                continue
            before, after = self._states.get(name, NONE), value["state"]
            self._states[name] = after
            if before != after:
                transition = Transition(kind, before, after, cause)
                self.transitions.add(transition)
                assert transition in self.allowed_transitions, (name, transition)

    # --- reading -----------------------------------------------------------------------------------------

    def value(self, name: str) -> Any:
        return self.changes.values[name]

    def state(self, name: str) -> str:
        return str(self.changes.values[name]["state"])

    def coins(self, name: str) -> int:
        return int(self.changes.values.get(f"wallet {name}", "0"))

    # --- short messages ----------------------------------------------------------------------------------

    def deploy(self, id: str = "t1/1", groups: int | list[dict[str, Any]] = 1, **arguments: Any) -> str:
        made = [group(f"g{n + 1}") for n in range(groups)] if isinstance(groups, int) else groups
        defaults: dict[str, Any] = {"deposit": "1000", "sources": ["balance"], "hash": "a"}
        return self.do("create_deployment", id, **(defaults | {"groups": made} | arguments))

    def bid(self, id: str, price: str = "10", **arguments: Any) -> str:
        defaults: dict[str, Any] = {"deposit": "500", "sources": ["balance"]}
        return self.do("create_bid", id, **(defaults | {"price": price} | arguments))

    def lease(self, id: str, price: str = "10", **arguments: Any) -> str:
        """Bid and accept the bid."""
        result = self.bid(id, price, **arguments)
        return result if result != "ok" else self.do("create_lease", id)

    def deposit(self, id: str, amount: int | str = 1000, signer: str = "t1", sources: Any = ("balance",)) -> str:
        return self.do("account_deposit", id, signer=signer, deposit=str(amount), sources=list(sources))

    def leave(self, id: str, reason: int = 10001) -> str:
        return self.do("close_bid", id, reason=reason)
