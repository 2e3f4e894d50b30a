"""Names and states of what a market's events are about, found by identity: rows may have moved since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from marketsim.chain.columns import (
    Account,
    BidState,
    Deployment,
    EventKind,
    Group,
    Lease,
    Order,
    Provider,
    Usage,
    UsageEscrowState,
    Wallet,
)
from marketsim.chain.events import bid_identity, group_identity
from marketsim.chain.rendering import (
    ACCOUNT_STATES,
    BID_STATES,
    DEPLOYMENT_STATES,
    GROUP_STATES,
    LEASE_STATES,
    ORDER_STATES,
    PAYMENT_STATES,
    amount,
)
from marketsim.chain.state import State
from marketsim.market.tables import Decline, Desk, Engine

Facts = Mapping[str, str]
"""What is known of an object: words and exact amounts by what they are."""

SUBJECTS: Final[Mapping[int, str]] = {
    **dict.fromkeys((EventKind.DEPLOYMENT_CREATED, EventKind.DEPLOYMENT_CLOSED), "deployment"),
    **dict.fromkeys(range(EventKind.GROUP_OPENED, EventKind.GROUP_CLOSED + 1), "group"),
    **dict.fromkeys(range(EventKind.ORDER_CREATED, EventKind.BID_CLOSED + 1), "order"),
    **dict.fromkeys((EventKind.DEPOSITED, EventKind.REFUNDED, EventKind.FORCED_SETTLEMENT), "account"),
    **dict.fromkeys((EventKind.PROVIDER_BLOCKED, EventKind.PROVIDER_UNBLOCKED, EventKind.OUTAGE, EventKind.REPRICED), "provider"),
    EventKind.PROVIDER_FAULT: "provider",
    **dict.fromkeys((EventKind.MESSAGE_REFUSED, EventKind.NETWORK_FEE, EventKind.TENANT_FAULT), "wallet"),
    EventKind.PARAMS_CHANGED: "parameter",
}
"""What a kind of event is about; a lease where nothing stands."""


def kind_of_subject(kind: int) -> str:
    """Return what a kind of event is about."""
    return SUBJECTS.get(kind, "lease")


class Names:
    """Objects of one market by name. `wallets` are the names of all wallets by row."""

    def __init__(self, chain: State, engine: Engine, wallets: Sequence[str]) -> None:
        self.chain = chain
        self.engine = engine
        self._wallets = wallets

    def wallet(self, row: int) -> str:
        """Return the name of the wallet in a row."""
        return self._wallets[row] if 0 <= row < len(self._wallets) and self._wallets[row] else f"wallet {row}"

    def provider(self, slot: int) -> str:
        """Return the name of the provider in a row."""
        return self.wallet(int(self.chain.providers[slot].wallet))

    def deployment(self, row: int) -> str:
        """Return the name of the deployment in a row: `owner/dseq`."""
        owner, dseq = self.chain.deployments[row, [Deployment.owner, Deployment.dseq]].tolist()
        return f"{self.wallet(owner)}/{dseq}"

    def group(self, row: int) -> str:
        """Return the name of the group in a row: `owner/dseq/gseq`."""
        deployment, gseq = self.chain.groups[row, [Group.deployment, Group.gseq]].tolist()
        return f"{self.deployment(deployment)}/{gseq}"

    def order(self, row: int) -> str:
        """Return the name of the order in a row: `owner/dseq/gseq/oseq`."""
        group, oseq = self.chain.orders[row, [Order.group, Order.oseq]].tolist()
        return f"{self.group(group)}/{oseq}"

    def lease(self, row: int) -> str:
        """Return the name of the lease in a row: `owner/dseq/gseq/oseq/provider`."""
        order, slot = self.chain.leases[row, [Lease.order, Lease.slot]].tolist()
        return f"{self.order(order)}/{self.provider(slot)}"

    def row(self, kind: str, identity: int) -> int:
        """Return the row of an object by its kind and identity, -1 where there is none; of a group by its identity too."""
        chain, g = self.chain, self.chain.globals
        if kind == "group":
            return next((row for row in range(int(g.groups)) if group_identity(chain, row) == identity), -1)
        table, column, count = {
            "deployment": (chain.deployments, Deployment.id, g.deployments),
            "order": (chain.orders, Order.id, g.orders),
            "lease": (chain.leases, Lease.id, g.leases),
            "account": (chain.accounts, Account.id, g.accounts),
            "wallet": (chain.wallets, Wallet.id, g.wallets),
            "provider": (chain.providers, Provider.id, g.providers),
        }[kind]
        rows = np.flatnonzero(np.asarray(table)[: int(count), column] == identity)
        return int(rows[-1]) if len(rows) else -1

    def name(self, kind: str, identity: int, row: int = -1) -> str:
        """Return the name of an object; `row` is where it stood when its event happened."""
        if kind == "parameter":
            return f"parameter {identity}"
        if kind == "account":
            return self._account_name(identity)
        found = row if kind == "group" and row >= 0 else self.row(kind, identity)
        if found < 0:
            return f"{kind} without a name"
        return str(getattr(self, kind)(found))

    def _account_name(self, identity: int) -> str:
        row = self.row("deployment", identity)
        if row >= 0:
            return self.deployment(row)
        bid = self.bid_of(identity)
        return self.bid_name(*bid) if bid is not None else "a bid that is gone"

    def bid_name(self, order: int, slot: int) -> str:
        """Return the name of a provider's bid on an order: `owner/dseq/gseq/oseq/provider`."""
        return f"{self.order(order)}/{self.provider(slot)}"

    def bid_of(self, identity: int) -> tuple[int, int] | None:
        """Return the rows of order and provider of a bid by its identity, where a row of it is left."""
        chain = self.chain
        bids = np.asarray(chain.bids)[: int(chain.globals.bids)]
        for order, slot in {(int(bid.order), int(bid.slot)) for bid in chain.bids[: len(bids)]}:
            if 0 <= order < chain.globals.orders and bid_identity(chain, order, slot) == identity:
                return order, slot
        return None

    # --- states ---------------------------------------------------------------

    def states(self, kind: str, identity: int, also: int = -1) -> dict[str, Facts]:
        """Return the states of an object and of what belongs to it, by name: of an order its deployment's account and its lease, of an
        account its deposits. `also` is a provider's row that the event names. Empty where there is no such object.
        """
        if kind == "parameter":
            return {}
        found: dict[str, Facts] = {}
        row = self.row(kind, identity) if kind != "account" else -1
        if kind == "account":
            self._add_account(found, identity)
        elif row < 0:
            return found
        elif kind == "deployment":
            found[f"deployment {self.deployment(row)}"] = self._deployment_state(row)
            self._add_account(found, identity)
        elif kind == "group":
            found[f"group {self.group(row)}"] = self._group_state(row)
        elif kind == "order":
            self._add_order(found, row)
        elif kind == "lease":
            order, slot = self.chain.leases[row, [Lease.order, Lease.slot]].tolist()
            found[f"lease {self.lease(row)}"] = self._lease_state(row)
            self._add_account(found, int(self.chain.deployments[int(self.chain.orders[order].deployment)].id))
            self._add_provider(found, slot)
        elif kind == "provider":
            self._add_provider(found, row)
        elif kind == "wallet":
            found[f"wallet {self.wallet(row)}"] = self._wallet_state(row)
        if also >= 0:
            if kind == "order":
                bid = self._bid_state(row, also)
                if bid:
                    found[f"bid {self.bid_name(row, also)}"] = bid
            self._add_provider(found, also)
        return found

    def states_named(self, message: Mapping[str, Any]) -> dict[str, Facts]:
        """Return the states of what a message by hand names: what its id is of, a provider, who gives and who signs."""
        found: dict[str, Facts] = {}
        parts = str(message.get("id") or "").split("/")
        owner = self._wallet_row(parts[0])
        if owner >= 0 and len(parts) > 1 and parts[1].isdecimal():
            rows = np.flatnonzero(np.asarray(self.chain.deployments)[: int(self.chain.globals.deployments), Deployment.owner] == owner)
            deployment = next((row for row in rows.tolist() if int(self.chain.deployments[row].dseq) == int(parts[1])), -1)
            if deployment >= 0:
                found |= self.states("deployment", int(self.chain.deployments[deployment].id))
            name = "/".join(parts[:4])
            orders = range(int(self.chain.globals.orders)) if len(parts) > 3 else range(0)
            of_it = (row for row in orders if int(self.chain.orders[row].deployment) == deployment and self.order(row) == name)
            order = next(of_it, -1)
            if order >= 0:
                slot = self._slot(parts[4]) if len(parts) > 4 else -1
                found |= self.states("order", int(self.chain.orders[order].id), slot)
        if message.get("provider"):
            slot = self._slot(str(message["provider"]))
            if slot >= 0:
                self._add_provider(found, slot)
        for key in ("signer", "granter", "grantee"):
            row = self._wallet_row(str(message.get(key) or ""))
            if row >= 0:
                found[f"wallet {self.wallet(row)}"] = self._wallet_state(row)
                for grant in self.chain.grants[: int(self.chain.globals.grants)]:
                    if row in (int(grant.granter), int(grant.grantee)):
                        name = f"grant {self.wallet(int(grant.granter))} to {self.wallet(int(grant.grantee))}"
                        found[name] = {"limit": f"{int(grant.limit)} uve"}
        return found

    def _wallet_row(self, name: str) -> int:
        return self._wallets.index(name) if name and name in self._wallets else -1

    def _slot(self, name: str) -> int:
        wallet = self._wallet_row(name)
        slots = np.flatnonzero(np.asarray(self.chain.providers)[: int(self.chain.globals.providers), Provider.wallet] == wallet)
        return int(slots[0]) if wallet >= 0 and len(slots) else -1

    def _deployment_state(self, row: int) -> Facts:
        one = self.chain.deployments[row]
        return {"state": DEPLOYMENT_STATES[int(one.state)], "created at": str(int(one.created_at)), "groups": str(int(one.groups))}

    def _group_state(self, row: int) -> Facts:
        one = self.chain.groups[row]
        return {
            "state": GROUP_STATES[int(one.state)],
            "ceiling": f"{amount(int(one.price), int(one.price_atto))} uve",
            "cpu": f"{int(one.cpu)} millicores",
            "memory": f"{int(one.memory)} bytes",
            "storage": f"{int(one.storage)} bytes",
            "gpu": str(int(one.gpu)),
        }

    def _add_order(self, found: dict[str, Facts], row: int) -> None:
        chain = self.chain
        one = chain.orders[row]
        state = {
            "state": ORDER_STATES[int(one.state)],
            "ceiling": f"{amount(int(one.price), int(one.price_atto))} uve",
            "bids open": str(int(one.bids_open)),
        }
        lease = int(one.lease)
        if lease >= 0:
            state["leased from"] = self.provider(int(chain.leases[lease].slot))
        found[f"order {self.order(row)}"] = state
        if lease >= 0:
            found[f"lease {self.lease(lease)}"] = self._lease_state(lease)
        self._add_account(found, int(chain.deployments[int(one.deployment)].id))

    def _lease_state(self, row: int) -> Facts:
        one = self.chain.leases[row]
        state = {
            "state": LEASE_STATES[int(one.state)],
            "payment": PAYMENT_STATES[int(one.payment)],
            "price": f"{amount(int(one.rate), int(one.rate_atto))} uve",
            "balance": f"{amount(int(one.balance), int(one.balance_atto))} uve",
            "paid out": f"{int(one.withdrawn)} uve",
            "take": f"{int(one.fees)} uve",
        }
        if one.shortfall or one.shortfall_atto:
            state["shortfall"] = f"{amount(int(one.shortfall), int(one.shortfall_atto))} uve"
        usage = int(one.usage)
        if usage >= 0 and usage < len(self.chain.usage_escrows) and self.chain.usage_escrows[usage].state:
            escrow = self.chain.usage_escrows[usage]
            state["usage escrow"] = f"{UsageEscrowState(int(escrow.state)).name.lower()}, {int(escrow.balance)} uve"
        elif 0 <= usage < len(self.chain.usage):
            state["use recorded until"] = str(int(self.chain.usage[usage, Usage.until]))
        return state

    def _add_account(self, found: dict[str, Facts], identity: int) -> None:
        row = self.row("account", identity)
        if row < 0:
            return
        one = self.chain.accounts[row]
        found[f"account {self._account_name(identity)}"] = {
            "state": ACCOUNT_STATES[int(one.state)],
            "funds": f"{amount(int(one.funds), int(one.funds_atto))} uve",
            "transferred": f"{amount(int(one.transferred), int(one.transferred_atto))} uve",
            "settled at": str(int(one.settled_at)),
        }
        found[f"wallet {self.wallet(int(one.owner))}"] = self._wallet_state(int(one.owner))

    def _wallet_state(self, row: int) -> Facts:
        return {"balance": f"{int(self.chain.wallets[row].balance)} uve"}

    def _bid_state(self, order: int, slot: int) -> Facts:
        bid = int(self.chain.orders[order].first_bid)
        while bid >= 0:
            one = self.chain.bids[bid]
            if int(one.slot) == slot:
                price = f"{amount(int(one.price), int(one.price_atto))} uve"
                return {"state": BID_STATES.get(int(one.state), BidState.CLOSED.name.lower()), "price": price}
            bid = int(one.next)
        return {}

    def _add_provider(self, found: dict[str, Facts], slot: int) -> None:
        one = self.chain.providers[slot]
        state = {"wallet": f"{int(self.chain.wallets[int(one.wallet)].balance)} uve", "blocked": "yes" if one.blocked else "no"}
        if slot < int(self.engine.globals.providers):
            state |= desk_state(self.engine, slot)
        found[f"provider {self.provider(slot)}"] = state


def desk_state(engine: Engine, slot: int) -> dict[str, str]:
    """Return the state of a provider's bid engine, as the trail knows it."""
    desk = engine.desks[slot]
    state = {
        "free": f"{int(desk.free_cpu)} millicores, {int(desk.free_memory)} MiB, {int(desk.free_storage)} MiB, {int(desk.free_gpu)} GPU",
        "bids accepted, won, lost, closed": ", ".join(str(int(desk[column])) for column in range(Desk.accepted, Desk.closed + 1)),
        "multiplier": f"{int(desk.multiplier_ppm)} ppm",
        "up": "yes" if desk.up else "no",
    }
    declined = {Decline(reason).name.lower(): int(engine.declined[reason, slot]) for reason in range(len(Decline))}
    state |= {f"declined, {reason}": str(times) for reason, times in declined.items() if times}
    return state


def touched(names: Sequence[Names], kind: str, identity: int, also: Sequence[int]) -> list[dict[str, Any]]:
    """Return what an event touches, one entry an object: `name` and, for each of two markets, its state, None where it does not exist."""
    found = [each.states(kind, identity, at) for each, at in zip(names, also, strict=True)]
    return side_by_side(*found)


def side_by_side(a: Mapping[str, Facts], b: Mapping[str, Facts]) -> list[dict[str, Any]]:
    """Return objects of two markets by name, with both states."""
    return [{"name": name, "a": a.get(name), "b": b.get(name)} for name in dict.fromkeys([*a, *b])]
