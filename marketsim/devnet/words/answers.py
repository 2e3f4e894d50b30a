"""What the real chain's queries answer, made of a market's view: fields, their order and types as recorded.

64-bit numbers are texts, 32-bit ones numbers; decimals have 18 digits, pay-outs none. Lists are ordered as the chain's stores are: by
state, then by key, in which numbers count as numbers in the market's store and as text in the escrow's. Source: virtengine/virtengine
x/market/keeper/grpc_query.go, x/deployment/keeper/grpc_query.go, x/escrow/keeper/grpc_query.go.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, TypeVar

from marketsim.chain.requirements import Pairs
from marketsim.chain.status import Status
from marketsim.devnet.words.bech32_texts import bech32_problem
from marketsim.devnet.words.command_line import RefusedError
from marketsim.devnet.words.refusals import TEXTS, invalid_query, not_found
from marketsim.devnet.words.shapes import DENOM, Answer, coin, decimal_coin, id_of
from marketsim.simulation.views import (
    AccountRecord,
    BidRecord,
    DeploymentRecord,
    GroupRecord,
    LeaseRecord,
    OrderRecord,
    ProviderRecord,
    UnitRecord,
    View,
)

Asked = Mapping[str, Any]
R = TypeVar("R")

ORDER_STATES: Mapping[str, tuple[str, ...]] = {"open": ("open",), "active": ("active", "matched"), "closed": ("closed",)}
"""States as the chain knows them, in the order in which its lists go through them, and what they are in a market."""
BID_STATES: Mapping[str, tuple[str, ...]] = {state: (state,) for state in ("open", "active", "lost", "closed")}
LEASE_STATES: Mapping[str, tuple[str, ...]] = {
    "active": ("active", "reclaiming"),
    "insufficient_funds": ("insufficient_funds",),
    "closed": ("closed",),
}
DEPLOYMENT_STATES: Mapping[str, tuple[str, ...]] = {state: (state,) for state in ("active", "closed")}
ESCROW_STATES: Mapping[str, tuple[str, ...]] = {state: (state,) for state in ("open", "closed", "overdrawn")}
ROWS_MAX = 2_000
"""Most rows of a list, whatever its limit is."""
_ENDPOINT_KINDS = ("SHARED_HTTP", "RANDOM_PORT", "LEASED_IP")


class Facts(Protocol):
    """What answers are made of."""

    def view(self) -> View:
        """Return what the chain would answer now."""
        ...

    def address(self, name: str) -> str:
        """Return the address of a wallet."""
        ...

    def name(self, address: str) -> str:
        """Return the name of the wallet of an address."""
        ...

    def tx(self, hash: str) -> tuple[Mapping[str, Any], Mapping[str, Any], str] | None:
        """Return the receipt, the message and the time of a transaction by its hash, None for one that is not known."""
        ...

    def is_key(self, text: str) -> bool:
        """Return whether a text is the name of a key, or the name or the address of a wallet."""
        ...

    def sent_groups(self, deployment: str, height: int) -> Sequence[Mapping[str, Any]]:
        """Return the groups of the message that created a deployment at this height, none where it was no message by hand."""
        ...


class _Chosen(NamedTuple):
    """The objects of a page and what is said of the page."""

    found: list[Any]
    next_key: str | None
    total: int

    @property
    def pagination(self) -> Answer:
        return {"next_key": self.next_key, "total": str(self.total)}


def answer(facts: Facts, what: str, asked: Asked) -> Answer:
    """Return what a query answers, plain data.

    `what` is one of `QUERIES`, `asked` its filters and page by name. Raises RefusedError with what the real command line says.
    """
    missing = [key for key in _NEEDS.get(what, ()) if asked.get(key) is None]
    if missing:
        raise RefusedError(f"{what}: {', '.join(missing)} must be given")
    return QUERIES[what](facts, asked)


# --- ids ---------------------------------------------------------------------------------------------------------------------


def _xid(facts: Facts, name: str) -> str:
    """The name of an escrow account's target with addresses in it."""
    parts = name.split("/")
    parts[0] = facts.address(parts[0])
    if len(parts) == 5:
        parts[4] = facts.address(parts[4])
    return "/".join(parts)


def _pairs(pairs: Pairs) -> list[Answer]:
    return [{"key": key, "value": value} for key, value in pairs]


# --- one object ----------------------------------------------------------------------------------------------------------------


def _unit(number: int, unit: UnitRecord, group: GroupRecord, sent: Mapping[str, Any]) -> Answer:
    gpu_attributes = sent.get("gpu_attributes") or (dict(group.asks.gpus[0]) if group.asks.gpus and unit.gpu else {})
    storage_attributes = sent.get("storage_attributes") or {}
    return {
        "resource": {
            "id": number,
            "cpu": {"units": {"val": str(unit.cpu)}, "attributes": []},
            "memory": {"quantity": {"val": str(unit.memory)}, "attributes": []},
            "storage": [
                {"name": "default", "quantity": {"val": str(unit.storage)}, "attributes": _pairs(_texts(storage_attributes))},
            ],
            "gpu": {"units": {"val": str(unit.gpu)}, "attributes": _pairs(_texts(gpu_attributes))},
            "endpoints": [{"kind": _ENDPOINT_KINDS[0], "sequence_number": 0} for _ in range(unit.endpoints)],
        },
        "count": unit.replicas,
        "price": decimal_coin(unit.price),
    }


def _texts(attributes: Mapping[str, Any]) -> Pairs:
    return tuple(sorted((key, str(value).lower() if isinstance(value, bool) else str(value)) for key, value in attributes.items()))


def _spec(facts: Facts, group: GroupRecord) -> Answer:
    groups = facts.sent_groups(group.deployment, group.created_at)
    sent = groups[group.gseq - 1] if len(groups) >= group.gseq else {}
    units = sent.get("resources") or []
    asks = group.asks
    return {
        "name": str(sent.get("name") or group.deployment.partition("/")[0].rpartition("-")[0] or "group"),
        "requirements": {
            "signed_by": {
                "all_of": [facts.address(auditor) for auditor in asks.all_of],
                "any_of": [facts.address(auditor) for auditor in asks.any_of],
            },
            "attributes": _pairs(asks.attributes),
        },
        "resources": [
            _unit(number, unit, group, units[number - 1] if len(units) >= number else {}) for number, unit in enumerate(group.units, 1)
        ],
    }


def _group(facts: Facts, group: GroupRecord) -> Answer:
    return {
        "id": id_of(facts.address, group.id),
        "state": group.state,
        "group_spec": _spec(facts, group),
        "created_at": str(group.created_at),
    }


def _order(facts: Facts, view: View, order: OrderRecord) -> Answer:
    group = view.group(order.id.rpartition("/")[0])
    assert group is not None  # every order has one
    return {
        "id": id_of(facts.address, order.id),
        "state": _chain_state(order.state, ORDER_STATES),
        "spec": _spec(facts, group),
        "created_at": str(order.created_at),
    }


def _account(facts: Facts, account: AccountRecord) -> Answer:
    return {
        "id": {"scope": account.scope, "xid": _xid(facts, account.id)},
        "state": {
            "owner": facts.address(account.owner),
            "state": account.state,
            "transferred": [decimal_coin(account.transferred)],
            "settled_at": str(account.settled_at),
            "funds": [decimal_coin(account.funds)],
            "deposits": [
                {
                    "owner": facts.address(depositor),
                    "height": str(height),
                    "source": source,
                    "balance": decimal_coin(left),
                    "direct": False,
                }
                for (depositor, source, left), height in zip(account.deposits, account.deposited_at, strict=True)
            ],
        },
    }


def _bid(facts: Facts, view: View, bid: BidRecord) -> Answer:
    account = view.account(bid.id)
    if account is None:  # made without a deposit: nothing is kept of its account, which is empty and ends with the bid
        ended = bid.closed_at is not None
        settled_at = bid.closed_at if bid.closed_at is not None else bid.created_at
        state = "closed" if ended else "open"
        account = AccountRecord(bid.id, "bid", bid.provider, state, Decimal(0), Decimal(0), settled_at, Decimal(0), None, ())
    return {
        "bid": {
            "id": id_of(facts.address, bid.id),
            "state": bid.state,
            "price": decimal_coin(bid.price),
            "created_at": str(bid.created_at),
            "resources_offer": [],
        },
        "escrow_account": _account(facts, account),
    }


def _payment(facts: Facts, lease: LeaseRecord) -> Answer:
    deployment, rest = _payment_key(lease)
    *key, provider = rest.split("/")
    return {
        "id": {
            "aid": {"scope": "deployment", "xid": _xid(facts, deployment)},
            "xid": "/".join((*key, facts.address(provider))),
        },
        "state": {
            "owner": facts.address(lease.provider),
            "state": _payment_state(lease),
            "rate": decimal_coin(lease.price),
            "balance": decimal_coin(lease.balance),
            "unsettled": decimal_coin(lease.unsettled),
            "withdrawn": coin(lease.withdrawn),
        },
    }


def _payment_state(lease: LeaseRecord) -> str:
    return lease.payment if lease.payment in ESCROW_STATES else "overdrawn"


def _payment_key(lease: LeaseRecord) -> tuple[str, str]:
    """The deployment of a lease, and the rest of its name."""
    owner, dseq, rest = lease.id.split("/", 2)
    return f"{owner}/{dseq}", rest


def _lease(facts: Facts, lease: LeaseRecord) -> Answer:
    return {
        "lease": {
            "id": id_of(facts.address, lease.id),
            "state": _chain_state(lease.state, LEASE_STATES),
            "price": decimal_coin(lease.price),
            "created_at": str(lease.created_at),
            "closed_on": str(lease.closed_at or 0),
            "reason": "lease_closed_invalid",  # the chain stores none (akash-network/support#403)
        },
        "escrow_payment": _payment(facts, lease),
    }


def _deployment(facts: Facts, view: View, deployment: DeploymentRecord) -> Answer:
    account = view.account(deployment.id)
    assert account is not None  # every deployment has one
    groups = [view.group(f"{deployment.id}/{gseq}") for gseq in range(1, deployment.groups + 1)]
    return {
        "deployment": {
            "id": id_of(facts.address, deployment.id),
            "state": deployment.state,
            "hash": deployment.hash,
            "created_at": str(deployment.created_at),
        },
        "groups": [_group(facts, group) for group in groups if group is not None],
        "escrow_account": _account(facts, account),
    }


def _provider(facts: Facts, provider: ProviderRecord) -> Answer:
    return {
        "owner": facts.address(provider.name),
        "host_uri": f"https://{provider.name}.devnet:8443",
        "attributes": _pairs(provider.attributes),
        "info": {"email": "", "website": ""},
    }


def _chain_state(state: str, states: Mapping[str, Sequence[str]]) -> str:
    return next((name for name, within in states.items() if state in within), state)


# --- lists ---------------------------------------------------------------------------------------------------------------------


def _numeric(facts: Facts, name: str) -> tuple[Any, ...]:
    """The key of an object in the market's store."""
    owner, *parts = name.split("/")
    provider = facts.address(parts[3]) if len(parts) == 4 else ""
    return (facts.address(owner), *(int(part) for part in parts[:3]), provider)


def _filters(facts: Facts, asked: Asked) -> Callable[[str], bool]:
    """Whether an object is one of those asked for, by its name; 0 and nothing stand for all."""
    owner = asked.get("owner") and facts.name(str(asked["owner"]))
    provider = asked.get("provider") and facts.name(str(asked["provider"]))
    numbers = [int(asked.get(key) or 0) for key in ("dseq", "gseq", "oseq")]

    def fits(name: str) -> bool:
        first, *parts = name.split("/")
        if (owner and first != owner) or (provider and len(parts) == 4 and parts[3] != provider):
            return False
        return all(not number or int(part) == number for number, part in zip(numbers, parts, strict=False))

    return fits


def _states_of(asked: Asked, states: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The states to go through."""
    state = asked.get("state") or ""
    if not state:
        if int(asked.get("offset") or 0) > 0:
            raise RefusedError(invalid_query("invalid request parameters. if offset is set, filter.state must be provided"))
        return list(states)
    if state not in states:
        raise RefusedError(invalid_query("invalid state value"))
    return [state]


def _listed(
    asked: Asked, states: Mapping[str, tuple[str, ...]], of_state: Callable[[tuple[str, ...]], Iterable[R]], key: Callable[[R], Any]
) -> _Chosen:
    """The page that is asked for: states one after the other, within each by key, until there are as many as asked for.

    `next_key` says where the next page begins; as on the chain there is none where a page ends with a state.
    """
    limit, offset = min(int(asked.get("limit") or 0) or 100, ROWS_MAX), int(asked.get("offset") or 0)
    names, resume = _decoded(str(asked["page_key"]), states) if asked.get("page_key") else (_states_of(asked, states), 0)
    found: list[R] = []
    for at, state in enumerate(names):
        rows = sorted(of_state(states[state]), key=key, reverse=bool(asked.get("reverse")))
        begin = resume if at == 0 and resume else offset
        room = limit - len(found)
        found += rows[begin : begin + room]
        if len(found) == limit:
            following = begin + room
            next_key = _encoded(names[at:], following) if following < len(rows) else None
            return _Chosen(found, next_key, len(found))
    return _Chosen(found, None, len(found))


def _encoded(states: Sequence[str], begin: int) -> str:
    return base64.b64encode(json.dumps([list(states), begin], separators=(",", ":")).encode()).decode()


def _decoded(key: str, states: Mapping[str, tuple[str, ...]]) -> tuple[list[str], int]:
    """Where a page goes on; RefusedError for what is no key of this list."""
    try:
        names, begin = json.loads(base64.b64decode(key, validate=True))
        if names and all(name in states for name in names) and type(begin) is int and begin >= 0:
            return list(names), begin
    except (binascii.Error, ValueError, TypeError):
        pass
    raise RefusedError("invalid pagination key: invalid request")


def _orders(facts: Facts, asked: Asked) -> Answer:
    view, fits = facts.view(), _filters(facts, asked)
    owner = facts.name(str(asked["owner"])) if asked.get("owner") else None
    page = _listed(
        asked,
        ORDER_STATES,
        lambda states: [order for order in view.orders(state=states, owner=owner) if fits(order.id)],
        lambda order: _numeric(facts, order.id),
    )
    return {"orders": [_order(facts, view, order) for order in page.found], "pagination": page.pagination}


def _bids(facts: Facts, asked: Asked) -> Answer:
    view, fits = facts.view(), _filters(facts, asked)
    provider = facts.name(str(asked["provider"])) if asked.get("provider") else None
    page = _listed(
        asked,
        BID_STATES,
        lambda states: [bid for bid in view.bids(state=states, provider=provider) if fits(bid.id)],
        lambda bid: _numeric(facts, bid.id),
    )
    return {"bids": [_bid(facts, view, bid) for bid in page.found], "pagination": page.pagination}


def _leases(facts: Facts, asked: Asked) -> Answer:
    page = _listed(asked, LEASE_STATES, lambda states: _leases_of(facts, asked, states), lambda lease: _numeric(facts, lease.id))
    return {"leases": [_lease(facts, lease) for lease in page.found], "pagination": page.pagination}


def _leases_of(facts: Facts, asked: Asked, states: Sequence[str]) -> list[LeaseRecord]:
    view, fits = facts.view(), _filters(facts, asked)
    owner = facts.name(str(asked["owner"])) if asked.get("owner") else None
    provider = facts.name(str(asked["provider"])) if asked.get("provider") else None
    return [lease for lease in view.leases(state=states, owner=owner, provider=provider) if fits(lease.id)]


def _deployments(facts: Facts, asked: Asked) -> Answer:
    view, fits = facts.view(), _filters(facts, asked)
    owner = facts.name(str(asked["owner"])) if asked.get("owner") else None
    page = _listed(
        asked,
        DEPLOYMENT_STATES,
        lambda states: [each for each in view.deployments(state=states, owner=owner) if fits(each.id)],
        lambda each: _numeric(facts, each.id),
    )
    return {"deployments": [_deployment(facts, view, each) for each in page.found], "pagination": page.pagination}


def _whole(asked: Asked) -> Asked:
    """An escrow list's request: the chain counts none of its rows as a hit, so `limit` and `offset` change nothing."""
    return {**asked, "limit": ROWS_MAX, "offset": 0}


def _accounts(facts: Facts, asked: Asked) -> Answer:
    view, xid = facts.view(), str(asked.get("xid") or "")
    wanted = _accounts_served(facts, asked)

    def of_state(states: tuple[str, ...]) -> list[tuple[str, int]]:
        # the exact rule knows no overdrawn account: one whose funds are short stays open
        names = view.account_names(state=states)
        keys = ((f"{scope}/{_xid(facts, name)}", row) for row, scope, name in names if wanted is None or name in wanted)
        return [(key, row) for key, row in keys if key.startswith(xid)]

    alive = {state: within for state, within in ESCROW_STATES.items() if state != "closed"}
    states = ESCROW_STATES if wanted is None or asked.get("state") else alive
    page = _listed(_whole(asked), states, of_state, itemgetter(0))
    accounts = view.accounts_at([row for _, row in page.found])
    return {"accounts": [_account(facts, account) for account in accounts], "pagination": page.pagination}


def _accounts_served(facts: Facts, asked: Asked) -> set[str] | None:
    """In the document's form: the accounts out of which a provider is paid, and those of its own bids' deposits; None for all. Those that
    are closed are asked for by their state."""
    if not asked.get("provider"):
        return None
    provider = facts.name(str(asked["provider"]))
    served = {_payment_key(lease)[0] for lease in facts.view().leases(provider=provider)}
    return served | {bid.id for bid in facts.view().bids(provider=provider)}


def _payments(facts: Facts, asked: Asked) -> Answer:
    view, xid = facts.view(), str(asked.get("xid") or "")

    def key(lease: LeaseRecord) -> str:
        return f"deployment/{_xid(facts, lease.id)}"

    leases = [lease for lease in view.leases() if key(lease).startswith(xid)]
    page = _listed(_whole(asked), ESCROW_STATES, lambda states: [each for each in leases if _payment_state(each) in states], key)
    return {"payments": [_payment(facts, lease) for lease in page.found], "pagination": page.pagination}


def _providers(facts: Facts, asked: Asked) -> Answer:
    rows = sorted(facts.view().providers(registered=True), key=lambda each: facts.address(each.name), reverse=bool(asked.get("reverse")))
    limit, offset = min(int(asked.get("limit") or 0) or 100, ROWS_MAX), int(asked.get("offset") or 0)
    if asked.get("page_key"):
        _, offset = _decoded(str(asked["page_key"]), {"": ()})
    page, following = rows[offset : offset + limit], offset + limit
    next_key = _encoded([""], following) if following < len(rows) else None
    total = len(rows) if asked.get("count_total") else 0
    return {"providers": [_provider(facts, each) for each in page], "pagination": {"next_key": next_key, "total": str(total)}}


# --- one by its id -------------------------------------------------------------------------------------------------------------


def _named(facts: Facts, asked: Asked, keys: Sequence[str]) -> str:
    """The name of what is asked for."""
    parts = [facts.name(str(asked[key])) if key in ("owner", "provider") else str(asked[key]) for key in keys]
    return "/".join(parts)


_DEPLOYMENT_KEY = ("owner", "dseq")
_GROUP_KEY = (*_DEPLOYMENT_KEY, "gseq")
_ORDER_KEY = (*_GROUP_KEY, "oseq")
_BID_KEY = (*_ORDER_KEY, "provider")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _found(found: R | None, status: Status, text: str = "") -> R:
    if found is None:
        raise RefusedError(not_found(text or TEXTS[status].text))
    return found


def _one_order(facts: Facts, asked: Asked) -> Answer:
    view = facts.view()
    return _order(facts, view, _found(view.order(_named(facts, asked, _ORDER_KEY)), Status.OrderNotFound))


def _one_bid(facts: Facts, asked: Asked) -> Answer:
    view = facts.view()
    return _bid(facts, view, _found(view.bid(_named(facts, asked, _BID_KEY)), Status.BidNotFound))


def _one_lease(facts: Facts, asked: Asked) -> Answer:
    return _lease(facts, _found(facts.view().lease(_named(facts, asked, _BID_KEY)), Status.LeaseNotFound))


def _one_deployment(facts: Facts, asked: Asked) -> Answer:
    view = facts.view()
    return _deployment(facts, view, _found(view.deployment(_named(facts, asked, _DEPLOYMENT_KEY)), Status.DeploymentNotFound))


def _one_group(facts: Facts, asked: Asked) -> Answer:
    group = facts.view().group(_named(facts, asked, _GROUP_KEY))
    return _group(facts, _found(group, Status.GroupNotFound, "Group not found"))


def _one_account(facts: Facts, asked: Asked) -> Answer:
    return _account(facts, _found(_account_of(facts, str(asked["account_id"])), Status.AccountNotFound))


def _account_of(facts: Facts, text: str) -> AccountRecord | None:
    """The document's form: an account by the id of its deployment or bid, with or without the scope before it, or by its number among the
    accounts of deployments in the order in which they were made, from 1."""
    view = facts.view()
    if _is_number(text):
        number = int(text)
        page = view.deployments(limit=number) if number else ()
        return view.account(page[number - 1].id) if len(page) == number > 0 else None
    parts = text.strip("/").split("/")
    if parts[0] in ("deployment", "bid"):
        parts = parts[1:]
    if len(parts) not in (2, 5) or not all(_is_number(part) for part in parts[1:4]):
        return None
    parts[0] = facts.name(parts[0])
    if len(parts) == 5:
        parts[4] = facts.name(parts[4])
    return view.account("/".join(parts))


def _settled_account(facts: Facts, asked: Asked) -> Answer:
    """The id of a deployment's account that somebody wants to be settled."""
    account = _found(_account_of(facts, str(asked["account_id"])), Status.AccountNotFound)
    if account.scope != "deployment":
        raise RefusedError(f"{_xid(facts, account.id)} is the account of a bid, from which nobody is paid; give that of a deployment")
    return {"id": _xid(facts, account.id)}


def _lease_of(facts: Facts, asked: Asked) -> Answer:
    """The lease that a provider reports the use of: by its id, with or without the provider, or by its number among the provider's
    leases in the order in which they were made, from 1."""
    text, view, provider = str(asked["lease_id"]).strip("/"), facts.view(), facts.name(str(asked["provider"]))
    if _is_number(text):
        number = int(text)
        page = view.leases(provider=provider, limit=number) if number else ()
        found = page[number - 1] if len(page) == number > 0 else None
    else:
        parts = text.split("/")
        parts = [facts.name(parts[0]), *parts[1:4], facts.name(parts[4]) if len(parts) == 5 else provider]
        found = view.lease("/".join(parts)) if len(parts) == 5 and all(_is_number(part) for part in parts[1:4]) else None
    lease = _found(found, Status.LeaseNotFound)
    return {
        "id": _xid(facts, lease.id),
        "state": lease.state,
        "meters_itself": lease.meters_itself,
        "used_until": lease.used_until,
        "height": view.height,
        "block_ms": view.block_ms,
    }


def _one_provider(facts: Facts, asked: Asked) -> Answer:
    name = facts.name(str(asked["address"]))
    found = next((each for each in facts.view().providers(registered=True) if each.name == name), None)
    return _provider(facts, _found(found, Status.ProviderNotFound))


def _balances(facts: Facts, asked: Asked) -> Answer:
    balance = _balance(facts, str(asked["address"]))
    if asked.get("denom"):
        return coin(balance if asked["denom"] == DENOM else 0) | {"denom": str(asked["denom"])}
    pagination = {"total": "1" if balance else "0"} if asked.get("count_total") else {}
    return {"balances": [coin(balance)] if balance else [], "pagination": pagination}


def _spendable(facts: Facts, asked: Asked) -> Answer:
    found = _balances(facts, asked)
    return {"balance": found} if asked.get("denom") else found


def _balance(facts: Facts, address: str) -> int:
    name = facts.name(address)
    return next((wallet.balance for wallet in facts.view().wallets() if wallet.name == name), 0)


def _wallet(facts: Facts, asked: Asked) -> Answer:
    """The address of a wallet or key by its name; RefusedError where it is none, as the real chain refuses what is no address."""
    text = str(asked["text"])
    if not facts.is_key(text):
        raise RefusedError(bech32_problem(text))
    return {"address": facts.address(facts.name(text))}


def _least_deposits(facts: Facts, asked: Asked) -> Answer:
    return dict(facts.view().least_deposits())


def _tx(facts: Facts, asked: Asked) -> Answer:
    found = facts.tx(str(asked["hash"]))
    if found is None:
        raise RefusedError(f"RPC error -32603 - Internal error: tx ({str(asked['hash']).upper()}) not found")
    receipt, message, time = found
    return {"receipt": dict(receipt), "message": dict(message), "time": time}


def _supply(facts: Facts, asked: Asked) -> Answer:
    total = sum(wallet.balance for wallet in facts.view().wallets())
    if asked.get("denom"):
        return coin(total if asked["denom"] == DENOM else 0) | {"denom": str(asked["denom"])}
    return {"supply": [coin(total)], "pagination": {}}


QUERIES: Mapping[str, Callable[[Facts, Asked], Answer]] = {
    "list_orders": _orders,
    "get_order": _one_order,
    "list_bids": _bids,
    "get_bid": _one_bid,
    "list_leases": _leases,
    "get_lease": _one_lease,
    "list_deployments": _deployments,
    "get_deployment": _one_deployment,
    "get_group": _one_group,
    "list_accounts": _accounts,
    "get_account": _one_account,
    "list_payments": _payments,
    "list_providers": _providers,
    "get_provider": _one_provider,
    "balances": _balances,
    "spendable": _spendable,
    "supply": _supply,
    "wallet": _wallet,
    "least_deposits": _least_deposits,
    "settled_account": _settled_account,
    "lease_usage": _lease_of,
    "tx": _tx,
}
"""Every query by what the command tree calls it."""

_NEEDS: Mapping[str, Sequence[str]] = {
    "get_order": _ORDER_KEY,
    "get_bid": _BID_KEY,
    "get_lease": _BID_KEY,
    "get_deployment": _DEPLOYMENT_KEY,
    "get_group": _GROUP_KEY,
    "get_account": ("account_id",),
    "settled_account": ("account_id",),
    "lease_usage": ("lease_id", "provider"),
    "get_provider": ("address",),
    "balances": ("address",),
    "spendable": ("address",),
    "wallet": ("text",),
    "tx": ("hash",),
}
"""What must be given."""

__all__ = ["QUERIES", "Asked", "Facts", "answer"]
