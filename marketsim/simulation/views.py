"""What the chain of a held market would answer at one height: pages of frozen records, by name, money exact."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.columns import (
    Account,
    AccountState,
    Bid,
    BidState,
    Deployment,
    DeploymentState,
    Deposit,
    EventKind,
    Group,
    Lease,
    LeaseState,
    Order,
    OrderEnd,
    OrderState,
    Provider,
    Resource,
    Rules,
    Scope,
    Usage,
    Wallet,
)
from marketsim.chain.deployment_rows import DeploymentRows
from marketsim.chain.parsing import PARAMS
from marketsim.chain.rendering import (
    ACCOUNT_STATES,
    BID_STATES,
    DEPLOYMENT_STATES,
    GROUP_STATES,
    LEASE_STATES,
    ORDER_STATES,
    PAYMENT_STATES,
    SOURCES,
    SUBJECT_OF,
    amount,
)
from marketsim.chain.requirements import Eligibility, Requirements
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.errors import InputError
from marketsim.kernel.compiled import bound
from marketsim.kernel.table_file import let_go
from marketsim.kernel.table_set import Table
from marketsim.market.fingerprint import settled
from marketsim.market.looks import beside, look
from marketsim.market.tables import Desk, Engine
from marketsim.money.units import ATTO, MIB
from marketsim.scenario.faults import FAULT_KINDS

SINGLE_LOOKS = 1_000
"""Accounts of a page that are looked at one by one; for more all accounts are settled at once, on copies."""
_OTHERS = {
    int(EventKind.LEASE_CLOSED): "reason",
    int(EventKind.SETTLED): "until",
    int(EventKind.USAGE_RECORDED): "until",
    int(EventKind.OUTAGE): "down",
    int(EventKind.FEES_SPLIT): "settlement",
    int(EventKind.USAGE_ESCROW_ENDED): "state",
}
"""What the second number of an event is, where it is not the row of something that the id says already."""
_OF_LEASE = itemgetter(
    Lease.gseq, Lease.oseq, Lease.provider, Lease.state, Lease.created_at, Lease.active_at, Lease.closed_at, Lease.payment,
    Lease.withdrawn, Lease.reason, Lease.usage, Lease.rate, Lease.rate_atto, Lease.balance, Lease.balance_atto, Lease.shortfall,
    Lease.shortfall_atto, Lease.unsettled, Lease.unsettled_atto,
)  # fmt: skip
_ACCOUNT_OF_LEASE, _TARGET, _OWNER, _DSEQ = Lease.account, Account.target, Deployment.owner, Deployment.dseq
_SCOPES = {int(Scope.DEPLOYMENT): "deployment", int(Scope.BID): "bid"}
_USED = {
    "deployments": "deployments", "groups": "groups", "orders": "orders", "bids": "bids", "leases": "leases", "accounts": "accounts",
    "deposits": "deposits", "wallets": "wallets", "providers": "providers", "resources": "resources", "usage": "usage",
}  # fmt: skip
"""Tables that a view reads, with the global that counts their rows."""


PIECE = 16_384
"""Rows of a table that are looked at together."""
Kept = NDArray[np.bool_]


class _States(NamedTuple):
    """Where the state of a table's rows stands, its words, what a row is, and the states in which rows stay."""

    column: int
    words: Mapping[int, str]
    what: str
    final: Sequence[int]


_STATES = {
    "deployments": _States(Deployment.state, DEPLOYMENT_STATES, "deployment", [DeploymentState.CLOSED]),
    "orders": _States(Order.state, ORDER_STATES, "order", [OrderState.CLOSED]),
    "bids": _States(Bid.state, BID_STATES, "bid", [BidState.LOST, BidState.CLOSED]),
    "leases": _States(Lease.state, LEASE_STATES, "lease", [LeaseState.CLOSED]),
    "accounts": _States(Account.state, ACCOUNT_STATES, "account", [AccountState.CLOSED]),
}


class DeploymentRecord(NamedTuple):
    """A deployment; heights are block numbers, None where it has not come to that; `hash` is its manifest's, "" for none."""

    id: str
    owner: str
    dseq: int
    state: str
    created_at: int
    closed_at: int | None
    groups: int
    hash: str = ""


class UnitRecord(NamedTuple):
    """A unit of a group: `replicas` at `price` uve a block each; cpu in millicores, memory and storage (all volumes) in bytes, each
    of one."""

    replicas: int
    price: Decimal
    cpu: int
    memory: int
    storage: int
    gpu: int
    endpoints: int


class GroupRecord(NamedTuple):
    """A group of a deployment and what it asks for; `state` is open, paused, insufficient_funds or closed."""

    id: str
    deployment: str
    gseq: int
    state: str
    created_at: int
    units: tuple[UnitRecord, ...]
    asks: Requirements


class OrderRecord(NamedTuple):
    """An order: `ceiling` in uve a block, cpu in millicores, memory and storage in bytes, all units together; `bids` counts open ones."""

    id: str
    owner: str
    deployment: str
    state: str
    created_at: int
    closed_at: int | None
    ceiling: Decimal
    cpu: int
    memory: int
    storage: int
    gpu: int
    bids: int
    lease: str | None


class BidRecord(NamedTuple):
    """A bid: `price` in uve a block."""

    id: str
    order: str
    provider: str
    state: str
    created_at: int
    closed_at: int | None
    price: Decimal


class LeaseRecord(NamedTuple):
    """A lease and its payment: `price` in uve a block, `balance` earned and not paid out, `withdrawn` whole uve paid out with the take,
    `unsettled` debt of the account to it, `used_until` the height up to which its use is recorded (None: it is not metered),
    `meters_itself` whether no message may report it."""

    id: str
    order: str
    owner: str
    provider: str
    state: str
    created_at: int
    active_at: int | None
    closed_at: int | None
    price: Decimal
    payment: str
    balance: Decimal
    withdrawn: int
    shortfall: Decimal
    reason: int
    unsettled: Decimal = Decimal(0)
    used_until: int | None = None
    meters_itself: bool = False


class AccountRecord(NamedTuple):
    """An escrow account, named by its deployment or bid: `funds` in uve, `rate` what its open payments cost a block, `blocks_left` how long
    funds last from now at that rate (None: nothing is charged); `deposits` in the order in which they are spent: depositor, source, uve;
    `deposited_at` the height of each."""

    id: str
    scope: str
    owner: str
    state: str
    funds: Decimal
    transferred: Decimal
    settled_at: int
    rate: Decimal
    blocks_left: int | None
    deposits: tuple[tuple[str, str, Decimal], ...]
    deposited_at: tuple[int, ...] = ()


class ProviderRecord(NamedTuple):
    """A provider: what it has and has leased out (cpu in millicores, memory and storage in bytes; 0 for one that messages alone know),
    what became of its bids, and the attributes that it claims."""

    name: str
    registered: bool
    blocked: bool
    up: bool
    active_leases: int
    cpu: int
    memory: int
    storage: int
    gpu: int
    cpu_leased: int
    memory_leased: int
    storage_leased: int
    gpu_leased: int
    submitted: int
    won: int
    lost: int
    attributes: tuple[tuple[str, str], ...] = ()


class WalletRecord(NamedTuple):
    """A wallet: coins in whole uve, and network fees paid."""

    name: str
    balance: int
    fees: int


R = TypeVar("R", bound=tuple[Any, ...])


class Page(tuple[R, ...], Generic[R]):
    """Records in the order in which they came to be, at `height`; `next` is what to give as `after` for those behind, None at the end."""

    next: int | None
    height: int

    @classmethod
    def of(cls, records: Sequence[R], height: int, following: int | None = None) -> Page[R]:
        """Return a page of these records."""
        page = cls(records)
        page.next, page.height = following, height
        return page

    def _repr_html_(self) -> str:
        """Return the page as a table, as notebooks show it."""
        if not self:
            return f"<p>none at block {self.height}</p>"
        names: tuple[str, ...] = self[0]._fields  # type: ignore[attr-defined]
        head = "".join(f"<th>{escape(name)}</th>" for name in names)
        rows = "".join("<tr>" + "".join(f"<td>{escape(_cell(value))}</td>" for value in record) + "</tr>" for record in self)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


class WalletNames:
    """The names of a market's wallets by row, and the rows of wallets and deployments by name; both only grow."""

    def __init__(self, wallets: Sequence[str]) -> None:
        self.wallets = wallets
        self._rows: dict[str, int] = {}
        self._deployments = DeploymentRows()
        self.over: dict[str, set[int]] = {name: set() for name in _STATES}
        """By table, the pieces of it in which everything has come to its end."""

    def wallet(self, name: str) -> int:
        """Return the row of a wallet, -1 for none."""
        for row in range(len(self._rows), len(self.wallets)):
            self._rows[self.wallets[row]] = row
        return self._rows.get(name, -1)

    def deployment(self, chain: State, owner: int, dseq: int) -> int:
        """Return the row of a deployment, -1 for none."""
        return self._deployments.find(chain, owner, dseq)


class Looks:
    """The tables of a chain as plain arrays, and what accounts would be if somebody looked at them: made once for all views of a height."""

    def __init__(self, chain: State) -> None:
        self.chain = chain
        self.tables: dict[str, Table] = {name: np.asarray(getattr(chain, name)) for name in _USED}
        self._is_exact = bool(chain.globals.rules == Rules.SEED)
        self._height = -1
        self._looked: set[int] = set()
        self._aside: State | None = None
        self._settled: dict[str, Table] = self.tables
        self._look: Callable[[int, int], None]

    def settled(self, accounts: Iterable[int], height: int) -> dict[str, Table]:
        """Return tables in which these accounts, their payments and deposits are settled up to the height; other rows hold nothing."""
        if not self._is_exact:
            return self.tables
        if self._aside is None:
            self._aside = beside(self.chain)
            self._settled = {name: np.asarray(getattr(self._aside, name)) for name in _USED}
            self._look = bound(look, self.chain, self._aside)
        if height != self._height:
            self._height = height
            self._looked.clear()
        for account in accounts:
            if account not in self._looked:
                self._look(height, account)
                self._looked.add(account)
        return self._settled


class View:
    """What the chain would answer at one height. It stays as it is when the market goes on: what it has not copied by then it copies then,
    so drop a view that is not asked any more.

    Methods in the plural return pages of records that fit all of the given filters, `after` the record at which the page before ended
    (`Page.next`), at most `limit` of them (None: all). Those in the singular return one record by its name, None where there is none.
    Asking changes nothing: accounts are settled up to the height on copies. Amounts are exact decimals of uve.
    """

    def __init__(
        self,
        height: int,
        block_ms: int,
        looks: Looks,
        engine: Engine,
        names: WalletNames,
        eligibility: Eligibility | None = None,
        texts: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.height = height
        self.block_ms = block_ms
        self.now_ms = height * block_ms
        self._chain = looks.chain
        self._looks: Looks | None = looks
        self._tables = looks.tables
        self._engine = engine
        self._names = names
        self._eligibility = eligibility or Eligibility()
        self._texts = texts
        self._whole: dict[str, Table] | None = None

    def detach(self) -> None:
        """Copy what the view may be asked for: the market is about to go on."""
        if self._looks is None:
            return
        state = settled(self._chain, self._engine)
        copies: dict[str, Any] = {"globals": state.globals.copy()}
        for name, counter in _USED.items():
            copies[name] = getattr(state, name)[: int(getattr(state.globals, counter))].copy()
        self._chain = state._replace(**copies)
        self._tables = self._whole = {name: np.asarray(copies[name]) for name in _USED}
        self._engine = self._engine._replace(desks=self._engine.desks.copy())
        self._eligibility = self._eligibility.copy()
        self._looks = None

    # --- pages -------------------------------------------------------------------------------------------------------------------

    def deployments(
        self, *, state: str | Collection[str] | None = None, owner: str | None = None, after: int = -1, limit: int | None = None
    ) -> Page[DeploymentRecord]:
        """Return deployments. Raises InputError for a state that is none."""
        of_owner = None if owner is None else self._names.wallet(owner)

        def keep(rows: Table) -> Kept:
            return _all(len(rows)) if of_owner is None else rows[:, Deployment.owner] == of_owner

        rows, following = self._picked("deployments", state, keep, after, limit)
        return Page.of(self._deployments(rows), self.height, following)

    def orders(
        self,
        *,
        state: str | Collection[str] | None = None,
        owner: str | None = None,
        deployment: str | None = None,
        after: int = -1,
        limit: int | None = None,
    ) -> Page[OrderRecord]:
        """Return orders; `state` is open, matched, active or closed, or several of them. Raises InputError for another one."""
        of_owner = None if owner is None else self._names.wallet(owner)
        of_deployment = None if deployment is None else self._row_of_deployment(deployment)
        deployments = self._tables["deployments"]

        def keep(rows: Table) -> Kept:
            kept = _all(len(rows)) if of_deployment is None else rows[:, Order.deployment] == of_deployment
            return kept if of_owner is None else kept & (deployments[rows[:, Order.deployment], Deployment.owner] == of_owner)

        rows, following = self._picked("orders", state, keep, after, limit)
        return Page.of(self._orders(rows), self.height, following)

    def bids(
        self,
        *,
        state: str | Collection[str] | None = None,
        provider: str | None = None,
        order: str | None = None,
        after: int = -1,
        limit: int | None = None,
    ) -> Page[BidRecord]:
        """Return bids; `state` is open, active, lost or closed. A market that takes no messages keeps no bid that has ended."""
        of_provider = None if provider is None else self._names.wallet(provider)
        of_order = None if order is None else self._row_of_order(order)

        def keep(rows: Table) -> Kept:
            kept = rows[:, Bid.state] > 0
            if of_provider is not None:
                kept &= rows[:, Bid.provider] == of_provider
            return kept if of_order is None else kept & (rows[:, Bid.order] == of_order)

        free = () if self._chain.globals.keep_bids else _free_bids(self._chain)
        rows, following = self._picked("bids", state, keep, after, limit, free)
        return Page.of(self._bids(rows), self.height, following)

    def leases(
        self,
        *,
        state: str | Collection[str] | None = None,
        owner: str | None = None,
        provider: str | None = None,
        after: int = -1,
        limit: int | None = None,
    ) -> Page[LeaseRecord]:
        """Return leases with their payments; `state` is active, insufficient_funds, reclaiming or closed."""
        of_owner = None if owner is None else self._names.wallet(owner)
        of_provider = None if provider is None else self._names.wallet(provider)
        accounts = self._tables["accounts"]

        def keep(rows: Table) -> Kept:
            kept = _all(len(rows)) if of_provider is None else rows[:, Lease.provider] == of_provider
            return kept if of_owner is None else kept & (accounts[rows[:, Lease.account], Account.owner] == of_owner)

        rows, following = self._picked("leases", state, keep, after, limit)
        return Page.of(self._leases(rows), self.height, following)

    def accounts(
        self,
        *,
        state: str | Collection[str] | None = None,
        owner: str | None = None,
        scope: str | None = "deployment",
        after: int = -1,
        limit: int | None = None,
    ) -> Page[AccountRecord]:
        """Return escrow accounts; `state` is open, overdrawn or closed, `scope` deployment, bid or None for both."""
        rows, following = self._picked("accounts", state, self._kept_accounts(owner, scope), after, limit)
        return Page.of(self._accounts(rows), self.height, following)

    def account_names(self, *, state: str | Collection[str] | None = None, scope: str | None = None) -> list[tuple[int, str, str]]:
        """Return row, scope and name of accounts, which takes a small part of the time that the accounts do (`accounts_at`)."""
        rows, _ = self._picked("accounts", state, self._kept_accounts(None, scope), -1, None)
        return [(row, *named) for row, named in zip(rows, self._account_names(rows), strict=True)]

    def accounts_at(self, rows: Sequence[int]) -> Page[AccountRecord]:
        """Return the accounts in these rows, in this order."""
        return Page.of(self._accounts(rows), self.height)

    def _kept_accounts(self, owner: str | None, scope: str | None) -> Callable[[Table], Kept]:
        of_owner = None if owner is None else self._names.wallet(owner)
        scopes = None if scope is None else _numbers(scope, _SCOPES, "account's scope")
        of_ended = bool(self._chain.globals.keep_bids)

        def keep(rows: Table) -> Kept:
            kept = rows[:, Account.state] > 0
            if scopes is not None:
                kept &= np.isin(rows[:, Account.scope], scopes)
            if not of_ended:
                kept &= (rows[:, Account.scope] == Scope.DEPLOYMENT) | (rows[:, Account.state] == AccountState.OPEN)
            return kept if of_owner is None else kept & (rows[:, Account.owner] == of_owner)

        return keep

    def providers(self, *, registered: bool | None = None, after: int = -1, limit: int | None = None) -> Page[ProviderRecord]:
        """Return providers."""
        table = self._used("providers")
        keep = _all(len(table)) if registered is None else table[:, Provider.registered] == int(registered)
        rows, following = _cut((np.flatnonzero(keep[after + 1 :]) + after + 1).tolist(), after, limit)
        return Page.of([self._provider(row) for row in rows], self.height, following)

    def wallets(self, *, after: int = -1, limit: int | None = None) -> Page[WalletRecord]:
        """Return wallets, the modules' first."""
        table = self._all()["wallets"][: int(self._chain.globals.wallets)]
        rows, following = _cut(list(range(after + 1, len(table))), after, limit)
        return Page.of([self._wallet(row) for row in rows], self.height, following)

    def least_deposits(self) -> dict[str, int]:
        """Return the least deposits, whole uve, of a deployment and a bid."""
        g = self._chain.globals
        return {"deployment": int(g.deployment_min_deposit), "bid": int(g.bid_min_deposit)}

    # --- one by its name ---------------------------------------------------------------------------------------------------------

    def deployment(self, name: str) -> DeploymentRecord | None:
        """Return a deployment, owner/dseq."""
        row = self._row_of_deployment(name)
        return self._deployments([row])[0] if row >= 0 else None

    def group(self, name: str) -> GroupRecord | None:
        """Return a group, owner/dseq/gseq."""
        deployment, _, gseq = name.rpartition("/")
        row = self._row_of_deployment(deployment)
        if row < 0 or not gseq.isdigit():
            return None
        first, count = self._tables["deployments"][row, [Deployment.first_group, Deployment.groups]].tolist()
        return self._group(first + int(gseq) - 1, deployment) if 1 <= int(gseq) <= count else None

    def order(self, name: str) -> OrderRecord | None:
        """Return an order, owner/dseq/gseq/oseq."""
        row = self._row_of_order(name)
        return self._orders([row])[0] if row >= 0 else None

    def bid(self, name: str) -> BidRecord | None:
        """Return a bid, owner/dseq/gseq/oseq/provider."""
        row = self._row_of_bid(name)
        return self._bids([row])[0] if row >= 0 else None

    def lease(self, name: str) -> LeaseRecord | None:
        """Return a lease, owner/dseq/gseq/oseq/provider."""
        row = self._row_of_lease(name)
        return self._one_lease(row) if row >= 0 else None

    def account(self, name: str) -> AccountRecord | None:
        """Return the escrow account of a deployment or of a bid's deposit, by their name."""
        of_deployment = name.count("/") == 1
        row = self._row_of_deployment(name) if of_deployment else self._row_of_bid(name)
        table: Table = np.asarray(self._chain.deployments if of_deployment else self._chain.bids)
        account = int(table[row, Deployment.account if of_deployment else Bid.account]) if row >= 0 else -1
        return self._accounts([account])[0] if account >= 0 else None

    def provider(self, name: str) -> ProviderRecord | None:
        """Return a provider by its name."""
        wallet = self._names.wallet(name)
        rows = np.flatnonzero(self._used("providers")[:, Provider.wallet] == wallet).tolist()
        return self._provider(rows[0]) if rows and wallet >= 0 else None

    def wallet(self, name: str) -> WalletRecord | None:
        """Return a wallet by its name."""
        row = self._names.wallet(name)
        return self._wallet(row) if 0 <= row < int(self._chain.globals.wallets) else None

    def order_name(self, row: int) -> str:
        """Return the name of the order in a row of the chain's table."""
        return "/".join(self._named_orders([row])[0])

    # --- what is settled ---------------------------------------------------------------------------------------------------------

    def _all(self) -> dict[str, Table]:
        """The tables with every account settled."""
        if self._whole is None:
            state = settled(self._chain, self._engine)
            self._whole = {name: np.asarray(getattr(state, name)) for name in _USED}
        return self._whole

    def _with(self, accounts: Sequence[int]) -> dict[str, Table]:
        """The tables with these accounts settled, and perhaps no others."""
        if self._whole is not None or self._looks is None or len(accounts) > SINGLE_LOOKS:
            return self._all()
        return self._looks.settled(accounts, self.height)

    # --- events --------------------------------------------------------------------------------------------------------------------

    def event(self, values: Sequence[int]) -> dict[str, Any]:
        """Return an event, a row of `Event` as a list, by name: height, event, id of what it is about, amount in uve, and what else it
        says."""
        height, kind, subject, other, whole, atto, extra = values[:7]
        told: dict[str, Any] = {"height": height, "event": EventKind(kind).name.title().replace("_", "")}
        what = SUBJECT_OF.get(kind)
        if what == "bid":
            told["id"] = self._bids([extra])[0].id
        elif what == "lease":
            told["id"] = self._one_lease(subject).id
        elif what == "order":
            told["id"] = "/".join(self._named_orders([subject])[0])
        elif what == "deployment":
            told["id"] = self._deployments([subject])[0].id
        elif what == "group":
            deployment, gseq = self._tables["groups"][subject, [Group.deployment, Group.gseq]].tolist()
            told["id"] = f"{self._deployments([deployment])[0].id}/{gseq}"
        elif what == "account":
            told["id"] = self._accounts([subject])[0].id
        elif what == "provider" or kind in (EventKind.OUTAGE, EventKind.REPRICED, EventKind.PROVIDER_FAULT):
            told["id"] = self._names.wallets[int(self._tables["providers"][subject, Provider.wallet])]
        elif kind in (EventKind.MESSAGE_REFUSED, EventKind.NETWORK_FEE, EventKind.TENANT_FAULT):
            told["id"] = self._names.wallets[subject]
        elif kind == EventKind.PARAMS_CHANGED:
            told["id"] = next((name for name, (column, _) in PARAMS.items() if column == subject), str(subject))
        else:
            told["id"] = self._one_lease(subject).id
        if kind in (EventKind.PROVIDER_FAULT, EventKind.TENANT_FAULT):
            told["fault"] = next(name for name, each in FAULT_KINDS.items() if each.number == whole)
            return told | {"begins": bool(other)}
        told["amount"] = _money(whole, atto)
        if kind == EventKind.ORDER_CLOSED:
            told["reason"] = OrderEnd(other).name.lower()
        elif kind in (EventKind.DEPOSITED, EventKind.REFUNDED):
            told["wallet"] = self._names.wallets[other]
        elif kind == EventKind.MESSAGE_REFUSED:
            told["result"] = Status(other).name
        elif kind == EventKind.PAID:
            told["take"] = extra
        elif name := _OTHERS.get(kind):
            told[name] = other
        return told

    # --- rows ----------------------------------------------------------------------------------------------------------------------

    def _used(self, name: str) -> Table:
        """The rows of a table that hold something."""
        return self._tables[name][: int(getattr(self._chain.globals, _USED[name]))]

    def _picked(
        self,
        name: str,
        state: str | Collection[str] | None,
        keep: Callable[[Table], Kept],
        after: int,
        limit: int | None,
        free: Sequence[int] = (),
    ) -> tuple[list[int], int | None]:
        """The rows of a page of a table, and behind which one the next page begins; `free` hold nothing.

        Rows are looked at in pieces, and the memory of those that lie in files goes behind the look. A piece in which everything has come
        to its end is left out from then on, where nobody asks for what has.
        """
        states = _STATES[name]
        wanted = None if state is None else _numbers(state, states.words, states.what)
        table, found, at = self._used(name), list[int](), after + 1
        over = self._names.over[name] if self._looks is not None and self._chain.globals.keep_bids else None
        if wanted is None or not set(states.final).isdisjoint(wanted):
            over = None
        pieces = 0
        while at < len(table) and (limit is None or len(found) <= limit):
            piece = at // PIECE
            end = min((piece + 1) * PIECE, len(table))
            if over is None or piece not in over:
                rows = table[at:end]
                kept, now = keep(rows), rows[:, states.column]
                if wanted is not None:
                    kept &= np.isin(now, wanted)
                here = np.flatnonzero(kept) + at
                found += (here[~np.isin(here, free)] if len(free) else here).tolist()
                if over is not None and at == piece * PIECE and end - at == PIECE and np.isin(now, states.final).all():
                    over.add(piece)
                let_go(table, at, end)
                pieces += 1
            at = end
        if pieces > 1:
            for other in self._tables.values():
                let_go(other)
        return _cut(found, after, limit)

    def _row_of_deployment(self, name: str) -> int:
        owner, _, dseq = name.partition("/")
        wallet = self._names.wallet(owner)
        return self._names.deployment(self._chain, wallet, int(dseq)) if wallet >= 0 and dseq.isdigit() else -1

    def _row_of_order(self, name: str) -> int:
        parts = name.split("/")
        if len(parts) != 4 or not (parts[2].isdigit() and parts[3].isdigit()):
            return -1
        row = self._row_of_deployment(f"{parts[0]}/{parts[1]}")
        gseq, oseq = int(parts[2]), int(parts[3])
        if row < 0:
            return -1
        first, count = self._tables["deployments"][row, [Deployment.first_group, Deployment.groups]].tolist()
        if not 1 <= gseq <= count:
            return -1
        orders = self._tables["orders"]
        order = int(self._tables["groups"][first + gseq - 1, Group.last_order])
        while order >= 0 and int(orders[order, Order.oseq]) != oseq:
            order = int(orders[order, Order.previous])
        return order

    def _row_of_lease(self, name: str) -> int:
        order, _, provider = name.rpartition("/")
        row = self._row_of_order(order)
        lease = int(self._tables["orders"][row, Order.lease]) if row >= 0 else -1
        if lease < 0 or int(self._tables["leases"][lease, Lease.provider]) != self._names.wallet(provider):
            return -1
        return lease

    def _row_of_bid(self, name: str) -> int:
        order, _, provider = name.rpartition("/")
        row, wallet, bids = self._row_of_order(order), self._names.wallet(provider), self._tables["bids"]
        bid = int(self._tables["orders"][row, Order.first_bid]) if row >= 0 else -1
        while bid >= 0 and int(bids[bid, Bid.provider]) != wallet:
            bid = int(bids[bid, Bid.next])
        return bid

    def _named_orders(self, rows: Sequence[int]) -> list[tuple[str, str]]:
        """The owner and the name of each order's deployment, with the rest of the order's name behind."""
        wallets = self._names.wallets
        orders = self._tables["orders"][rows][:, [Order.deployment, Order.group, Order.oseq]]
        owners = self._tables["deployments"][orders[:, 0]][:, [Deployment.owner, Deployment.dseq]].tolist()
        gseqs = self._tables["groups"][orders[:, 1], Group.gseq].tolist()
        return [
            (f"{wallets[owner]}/{dseq}", f"{gseq}/{oseq}")
            for (owner, dseq), gseq, oseq in zip(owners, gseqs, orders[:, 2].tolist(), strict=True)
        ]

    def _deployments(self, rows: Sequence[int]) -> list[DeploymentRecord]:
        wallets, found, texts = self._names.wallets, [], self._texts()
        for values in self._tables["deployments"][rows].tolist():
            owner, dseq = wallets[values[Deployment.owner]], values[Deployment.dseq]
            state = DEPLOYMENT_STATES[values[Deployment.state]]
            closed = values[Deployment.closed_at] if state == "closed" else None
            found.append(
                DeploymentRecord(
                    f"{owner}/{dseq}",
                    owner,
                    dseq,
                    state,
                    values[Deployment.created_at],
                    closed,
                    values[Deployment.groups],
                    texts[values[Deployment.hash]] if texts else "",
                )
            )
        return found

    def _group(self, row: int, deployment: str) -> GroupRecord:
        values = self._tables["groups"][row].tolist()
        first = values[Group.first_resource]
        units = tuple(
            UnitRecord(
                unit[Resource.count],
                _money(unit[Resource.price], unit[Resource.price_atto]),
                unit[Resource.cpu],
                unit[Resource.memory],
                unit[Resource.storage],
                unit[Resource.gpu],
                unit[Resource.endpoints],
            )
            for unit in self._tables["resources"][first : first + values[Group.resources]].tolist()
        )
        gseq, spec, specs = values[Group.gseq], values[Group.spec], self._eligibility.specs
        asks = specs[spec] if 0 <= spec < len(specs) else Requirements()
        return GroupRecord(
            f"{deployment}/{gseq}", deployment, gseq, GROUP_STATES[values[Group.state]], values[Group.created_at], units, asks
        )

    def _orders(self, rows: Sequence[int]) -> list[OrderRecord]:
        wallets, found = self._names.wallets, []
        values = self._tables["orders"][rows].tolist()
        sizes = self._tables["groups"][[each[Order.group] for each in values]][:, Group.cpu : Group.gpu + 1].tolist() if values else []
        leases = self._tables["leases"]
        for order, (deployment, rest), size in zip(values, self._named_orders(rows), sizes, strict=True):
            name, state = f"{deployment}/{rest}", ORDER_STATES[order[Order.state]]
            lease = order[Order.lease]
            leased = None if lease < 0 else f"{name}/{wallets[int(leases[lease, Lease.provider])]}"
            cpu, memory, storage, gpu = size
            found.append(
                OrderRecord(
                    name,
                    deployment.partition("/")[0],
                    deployment,
                    state,
                    order[Order.created_at],
                    order[Order.closed_at] if state == "closed" else None,
                    _money(order[Order.price], order[Order.price_atto]),
                    cpu,
                    memory,
                    storage,
                    gpu,
                    order[Order.bids_open],
                    leased,
                )
            )
        return found

    def _bids(self, rows: Sequence[int]) -> list[BidRecord]:
        wallets, found = self._names.wallets, []
        values = self._tables["bids"][rows].tolist()
        for bid, (deployment, rest) in zip(values, self._named_orders([each[Bid.order] for each in values]), strict=True):
            order, provider, state = f"{deployment}/{rest}", wallets[bid[Bid.provider]], BID_STATES[bid[Bid.state]]
            closed = bid[Bid.closed_at] if state in ("lost", "closed") else None
            price = _money(bid[Bid.price], bid[Bid.price_atto])
            found.append(BidRecord(f"{order}/{provider}", order, provider, state, bid[Bid.created_at], closed, price))
        return found

    def _leases(self, rows: Sequence[int]) -> list[LeaseRecord]:
        wallets, tables = self._names.wallets, self._tables
        accounts = tables["leases"][rows, Lease.account]
        owners = tables["deployments"][tables["accounts"][accounts, Account.target]][:, [Deployment.owner, Deployment.dseq]].tolist()
        values = self._with(accounts.tolist())["leases"][rows].tolist()
        return [self._lease(lease, wallets[owner], dseq) for lease, (owner, dseq) in zip(values, owners, strict=True)]

    def _one_lease(self, row: int) -> LeaseRecord:
        tables = self._tables
        account = int(tables["leases"][row, _ACCOUNT_OF_LEASE])
        deployment = tables["deployments"][tables["accounts"][account, _TARGET]].tolist()
        values = self._with((account,))["leases"][row].tolist()
        return self._lease(values, self._names.wallets[deployment[_OWNER]], deployment[_DSEQ])

    def _lease(self, values: Sequence[int], owner: str, dseq: int) -> LeaseRecord:
        gseq, oseq, wallet, state, created, active, closed, payment, withdrawn, reason, usage, *money = _OF_LEASE(values)
        metered = self._tables["usage"][usage].tolist() if usage >= 0 else None
        order, provider = f"{owner}/{dseq}/{gseq}/{oseq}", self._names.wallets[wallet]
        return LeaseRecord(
            f"{order}/{provider}",
            order,
            owner,
            provider,
            LEASE_STATES[state],
            created,
            active if active >= 0 else None,
            closed if state == LeaseState.CLOSED else None,
            _money(money[0], money[1]),
            PAYMENT_STATES[payment],
            _money(money[2], money[3]),
            withdrawn,
            _money(money[4], money[5]),
            reason,
            _money(money[6], money[7]),
            None if metered is None else metered[Usage.until],
            metered is not None and metered[Usage.utilization_ppm] >= 0,
        )

    def _account_names(self, rows: Sequence[int]) -> list[tuple[str, str]]:
        """Scope and name of each account."""
        wallets = self._names.wallets
        targets = self._tables["accounts"][rows][:, [Account.scope, Account.target]].tolist()
        bids = self._tables["bids"][[target for scope, target in targets if scope == Scope.BID]][:, [Bid.order, Bid.provider]].tolist()
        orders = self._named_orders([order for order, _ in bids])
        of_bids = iter([f"{deployment}/{rest}/{wallets[provider]}" for (deployment, rest), (_, provider) in zip(orders, bids, strict=True)])
        deployments = self._tables["deployments"][[target for scope, target in targets if scope != Scope.BID]]
        owners = deployments[:, [Deployment.owner, Deployment.dseq]].tolist()
        of_deployments = iter([f"{wallets[owner]}/{dseq}" for owner, dseq in owners])
        return [(_SCOPES[scope], next(of_bids if scope == Scope.BID else of_deployments)) for scope, _ in targets]

    def _accounts(self, rows: Sequence[int]) -> list[AccountRecord]:
        wallets, found = self._names.wallets, []
        settled_tables = self._with(rows)
        deposits = settled_tables["deposits"]
        for account, (scope, name) in zip(settled_tables["accounts"][rows].tolist(), self._account_names(rows), strict=True):
            listed, heights, deposit = [], [], account[Account.first_deposit]
            while deposit >= 0:
                values = deposits[deposit].tolist()
                left = _money(values[Deposit.amount], values[Deposit.amount_atto])
                listed.append((wallets[values[Deposit.depositor]], SOURCES[values[Deposit.source]], left))
                heights.append(values[Deposit.height])
                deposit = values[Deposit.next]
            rate = account[Account.rates] * ATTO + account[Account.rates_atto]
            funds = account[Account.funds] * ATTO + account[Account.funds_atto]
            left_blocks = account[Account.settled_at] + max(0, funds) // rate - self.height if rate else None
            found.append(
                AccountRecord(
                    name,
                    scope,
                    wallets[account[Account.owner]],
                    ACCOUNT_STATES[account[Account.state]],
                    _money(account[Account.funds], account[Account.funds_atto]),
                    _money(account[Account.transferred], account[Account.transferred_atto]),
                    account[Account.settled_at],
                    _money(account[Account.rates], account[Account.rates_atto]),
                    None if left_blocks is None else max(0, left_blocks),
                    tuple(listed),
                    tuple(heights),
                )
            )
        return found

    def _provider(self, row: int) -> ProviderRecord:
        values = self._tables["providers"][row].tolist()
        desk = np.asarray(self._engine.desks)[row].tolist()
        return ProviderRecord(
            self._names.wallets[values[Provider.wallet]],
            bool(values[Provider.registered]),
            bool(values[Provider.blocked]),
            bool(desk[Desk.up]),
            values[Provider.active_leases],
            desk[Desk.cap_cpu],
            desk[Desk.cap_memory] * MIB,
            desk[Desk.cap_storage] * MIB,
            desk[Desk.cap_gpu],
            desk[Desk.leased_cpu],
            desk[Desk.leased_memory] * MIB,
            desk[Desk.leased_storage] * MIB,
            desk[Desk.leased_gpu],
            desk[Desk.submitted],
            desk[Desk.won],
            desk[Desk.lost],
            self._eligibility.claims(row),
        )

    def _wallet(self, row: int) -> WalletRecord:
        values = self._all()["wallets"][row].tolist()
        return WalletRecord(self._names.wallets[row], values[Wallet.balance], values[Wallet.fees])


def _free_bids(chain: State) -> list[int]:
    """Rows of bids that have ended and are used again."""
    rows, bid = [], int(chain.globals.free_bid)
    while bid >= 0:
        rows.append(bid)
        bid = int(chain.bids[bid].next)
    return rows


def _numbers(wanted: str | Collection[str], words: Mapping[int, str], what: str) -> list[int]:
    """The numbers of wanted words."""
    asked = [wanted] if isinstance(wanted, str) else list(wanted)
    numbers = {word: number for number, word in words.items()}
    for word in asked:
        if word not in numbers:
            raise InputError(f"state: {word!r} is no state of a{'n' if what[0] in 'ao' else ''} {what}, expected {', '.join(numbers)}")
    return [numbers[word] for word in asked]


def _all(count: int) -> Kept:
    return np.ones(count, bool)


def _cut(rows: list[int], after: int, limit: int | None) -> tuple[list[int], int | None]:
    """The rows of a page, and behind which one the next page begins."""
    if limit is None or len(rows) <= limit:
        return rows, None
    return rows[:limit], rows[limit - 1] if limit > 0 else after


def _money(whole: int, atto: int) -> Decimal:
    if whole < 0 and atto:
        return Decimal(amount(whole, atto))
    return Decimal(f"{whole}.{atto:018d}".rstrip("0")) if atto else Decimal(whole)


__all__ = [
    "AccountRecord",
    "BidRecord",
    "DeploymentRecord",
    "GroupRecord",
    "LeaseRecord",
    "OrderRecord",
    "Page",
    "ProviderRecord",
    "UnitRecord",
    "View",
    "WalletNames",
    "WalletRecord",
]
