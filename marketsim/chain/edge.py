"""The chain as people and files address it: messages with names in, receipts and events with names out.

Inside, everything is rows and numbers; here names meet rows. Messages have the form of the conformance
vectors: a mapping with `op`, its arguments and amounts as decimal strings; what a built-in agent does
in a simulated run never passes through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from marketsim.chain import deployments, due_work, metering, registry
from marketsim.chain import leasing as market
from marketsim.chain.columns import (
    Account,
    AccountState,
    Charging,
    Deployment,
    Draft,
    EscrowRule,
    G,
    OfferedUnit,
    Order,
    OrderState,
    Rules,
    Scope,
    Wallet,
)
from marketsim.chain.deployment_rows import DeploymentRows
from marketsim.chain.event_room import EVENTS_A_PAYMENT, EVENTS_AN_END, EVENTS_MORE, events_of
from marketsim.chain.parsing import NUMBER_MAX, OPERATIONS, Message, MessageError, Parsed, param_of, parse, parse_coins
from marketsim.chain.rendering import event_value
from marketsim.chain.requirements import Eligibility
from marketsim.chain.room import with_room
from marketsim.chain.rule_sets import rule_globals
from marketsim.chain.state import MODULES, State, identity, make_state
from marketsim.chain.status import Status

_NUMBERS = {"deployment": 1, "group": 2, "order": 3, "bid": 3, "lease": 3}
"""Numbers in the names of each kind of object, between its owner and its provider."""
CHARGING: Mapping[str, Charging] = {mode.name.lower(): mode for mode in Charging if mode != Charging.VE_SETTLEMENT}
"""What `Chain` can be made with; usage escrows need the settlement module's wallet, which a run brings."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """How one message was answered."""

    height: int
    op: str
    status: Status
    id: str = ""
    """What it addressed."""
    gas: int = 0
    """Units of gas, whether or not the scenario charges for them; 0 for a message without a measured figure."""
    fee: int = 0
    """Network fee that was paid, whole uve."""
    events: tuple[Mapping[str, Any], ...] = ()
    """What happened by it, as `View.event` says it; of a market that is held only."""

    @property
    def result(self) -> str:
        """The answer as the vectors spell it: `ok`, `panic`, or the refusal's name."""
        return result_of(self.status)


_RESULTS = {int(status): status.name for status in Status} | {
    int(Status.Ok): "ok",
    int(Status.Panic): "panic",
}


def result_of(status: int) -> str:
    """Return a status as the vectors spell it."""
    return _RESULTS[int(status)]


class Chain:
    """One chain with its names.

    `start` is a mapping of `params`, `wallets` (coins by name) and `providers` (`attributes` and, per
    auditor, what it `signed`). With `events` the record's rows are kept until `take_events` hands them
    out; without it they are only fingerprinted. Raises MessageError for a `start` that
    makes no sense, ValueError for an unknown rule set or quirk.
    """

    def __init__(
        self,
        rules: str = "seed",
        quirks: Iterable[str] | bool = (),
        *,
        start: Mapping[str, Any] | None = None,
        charging: str | None = None,
        params: Mapping[int, int] | None = None,
        events: bool = True,
        rows: int = 32,
    ) -> None:
        self.state: State = make_state(rows)
        for column, value in rule_globals(rules, quirks).items():
            self.state.globals[column] = value
        for column, value in (params or {}).items():
            self.state.globals[column] = value
        if charging is not None:
            self.state.globals.charging = CHARGING[charging]
        self.state.globals.event_mask = -1 if events else 0
        self.rules = Rules(int(self.state.globals.rules))
        self.wallet_names: list[str] = list(MODULES)
        self.deployment_names: list[str] = []
        self.group_names: list[str] = []
        self.order_names: list[str] = []
        self.bid_names: list[str] = []
        self.lease_names: list[str] = []
        self.wallets_seen: set[str] = set()
        self._wallets: dict[str, int] = {}
        self._deployments: dict[str, int] = {}
        self._groups: dict[str, int] = {}
        self._orders: dict[str, int] = {}
        self._bids: dict[str, int] = {}
        self._leases: dict[str, int] = {}
        self._texts: dict[str, int] = {}
        self._rows: DeploymentRows | None = None
        """Of a chain that others run: names are looked up when somebody asks, and none is kept."""
        self._ranked: list[str] = []
        self._eligibility = Eligibility()
        self._begin(start or {})

    @classmethod
    def over(cls, state: State, wallet_names: Sequence[str], eligibility: Eligibility) -> Chain:
        """Return the names of a chain that others run: hand `take` its tables before each message.

        `wallet_names` are the names of all wallets in the order of their rows, the modules' first.
        """
        chain = cls(rows=1)
        chain.rules = Rules(int(state.globals.rules))
        chain.wallet_names = list(wallet_names)
        chain._wallets = {name: row for row, name in enumerate(wallet_names) if row >= len(MODULES)}
        chain._ranked = sorted(chain._wallets)
        chain._texts = {"": 0}  # what deployments made without this edge have as their hash
        chain._eligibility = eligibility
        chain._rows = DeploymentRows()
        chain.take(state)
        return chain

    def copy(self, state: State, eligibility: Eligibility) -> Chain:
        """Return the names of a copied chain, which go their own way from here on."""
        other = copy(self)
        for name, held in vars(self).items():
            if isinstance(held, (list, dict, set)):
                setattr(other, name, held.copy())
        other.state, other._eligibility = state, eligibility
        other._rows = None if self._rows is None else self._rows.copy()
        return other

    def take(self, state: State) -> None:
        """Go on with these tables, to which others may have added."""
        self.state = state

    # --- the start ------------------------------------------------------------

    def _begin(self, start: Mapping[str, Any]) -> None:
        params = start.get("params", {})
        for name, value in params.items():
            column, scaled = param_of(name, value, "start.params")
            self.state.globals[column] = scaled
        wallets: Mapping[str, Any] = start.get("wallets", {})
        providers: Mapping[str, Any] = start.get("providers", {})
        self._intern_wallets([*wallets, *providers])
        for name, coins in wallets.items():
            balance = parse_coins(coins, f"start.wallets.{name}")
            self.state.wallets[self._wallets[name]].balance = balance
            self.state.globals.supply += balance
        for name, provider in providers.items():
            registry.create_provider(self.state, 0, self._wallets[name])
            slot = int(self.state.wallets[self._wallets[name]].provider)
            self.state = self._eligibility.set_provider(self.state, slot, provider.get("attributes", {}), provider.get("signed", {}))

    def _intern_wallets(self, names: Iterable[str]) -> None:
        new = [name for name in dict.fromkeys(names) if name not in self._wallets]
        self.state = with_room(self.state, wallets=len(new), providers=len(new))
        for name in new:
            row = int(self.state.globals.wallets)
            self.state.globals.wallets = row + 1
            self.state.wallets[row] = 0
            self.state.wallets[row].provider = -1
            self.state.wallets[row].id = identity(name)
            self._wallets[name] = row
            self.wallet_names.append(name)
        # The order of names stands for the order of addresses, in which the chain serves payments,
        # granters and losers.
        self._ranked = sorted([*self._ranked, *new])
        rows = [self._wallets[name] for name in self._ranked]
        self.state.wallets[rows, Wallet.rank] = np.arange(1, len(rows) + 1)

    def wallet(self, name: str) -> int:
        """Return the row of a name's wallet, made without coins at its first mention."""
        row = self._wallets.get(name)
        if row is None:
            if not name:
                raise MessageError("id", "a name is empty")
            self._intern_wallets([name])
            row = self._wallets[name]
        return row

    def _text(self, text: str) -> int:
        return self._texts.setdefault(text, len(self._texts))

    # --- names ------------------------------------------------------------

    def name_of(self, kind: str, row: int) -> str:
        """Return the name of an object: `kind` is deployment, group, order, bid, lease, account or
        provider; of a chain that others run, provider alone."""
        if kind == "account":
            scope, target = self.state.accounts[row, [Account.scope, Account.target]].tolist()
            return self.name_of("bid" if scope == Scope.BID else "deployment", target)
        if kind == "provider":
            return self.wallet_names[int(self.state.providers[row, 0])]
        names: list[str] = getattr(self, f"{kind}_names")
        return names[row]

    def row_of(self, kind: str, name: str) -> int:
        """Return the row of a named deployment, group, order, bid, lease, provider or wallet, -1 when
        there is none."""
        if kind == "provider":
            wallet = self._wallets.get(name, -1)
            return int(self.state.wallets[wallet].provider) if wallet >= 0 else -1
        if self._rows is not None and kind != "wallet":
            return self._looked_up(self._rows, kind, name)
        rows: dict[str, int] = getattr(self, f"_{kind}s")
        return rows.get(name, -1)

    def _looked_up(self, known: DeploymentRows, kind: str, name: str) -> int:
        """The row of a deployment, group, order, bid or lease, found by way of the tables."""
        s = self.state
        owner, *numbers = name.split("/")
        provider = numbers.pop() if kind in ("bid", "lease") and numbers else ""
        if len(numbers) != _NUMBERS[kind] or not all(part.isascii() and part.isdigit() and str(int(part)) == part for part in numbers):
            return -1
        dseq, gseq, oseq = ([int(part) for part in numbers] + [0, 0])[:3]
        row = known.find(s, self._wallets.get(owner, -1), dseq)
        if row < 0 or kind == "deployment":
            return row
        if not 1 <= gseq <= s.deployments[row].groups:
            return -1
        group = int(s.deployments[row].first_group) + gseq - 1
        if kind == "group":
            return group
        order = int(s.groups[group].last_order)
        while order >= 0 and s.orders[order].oseq != oseq:
            order = int(s.orders[order].previous)
        if order < 0 or kind == "order":
            return order
        if not s.globals.keep_bids:
            return -1  # rows of ended bids are used again: nobody asks for a bid by name
        wallet = self._wallets.get(provider, -1)
        if kind == "lease":
            lease = int(s.orders[order].lease)
            return lease if lease >= 0 and s.leases[lease].provider == wallet else -1
        bid = int(s.orders[order].first_bid)
        while bid >= 0 and s.bids[bid].provider != wallet:
            bid = int(s.bids[bid].next)
        return bid

    def _name_new_rows(self) -> None:
        if self._rows is not None:
            return
        fills = self.state.globals[G.deployments : G.leases + 1].tolist()
        while len(self.deployment_names) < fills[0]:
            row = len(self.deployment_names)
            owner, dseq = self.state.deployments[row, [Deployment.owner, Deployment.dseq]].tolist()
            self._register(self.deployment_names, self._deployments, f"{self.wallet_names[owner]}/{dseq}")
        count = fills[G.groups - G.deployments]
        while len(self.group_names) < count:
            row = len(self.group_names)
            owner, gseq = self.state.groups[row, [0, 1]].tolist()
            self._register(self.group_names, self._groups, f"{self.deployment_names[owner]}/{gseq}")
        count = fills[G.orders - G.deployments]
        while len(self.order_names) < count:
            row = len(self.order_names)
            group, oseq = self.state.orders[row, [Order.group, Order.oseq]].tolist()
            self._register(self.order_names, self._orders, f"{self.group_names[group]}/{oseq}")
        if not self.state.globals.keep_bids:
            return  # rows of ended bids are used again: nobody asks for a bid by name
        count = fills[G.bids - G.deployments]
        while len(self.bid_names) < count:
            row = len(self.bid_names)
            order, provider = self.state.bids[row, [0, 1]].tolist()
            self._register(self.bid_names, self._bids, f"{self.order_names[order]}/{self.wallet_names[provider]}")
        count = fills[G.leases - G.deployments]
        while len(self.lease_names) < count:
            bid = int(self.state.leases[len(self.lease_names), 0])
            self._register(self.lease_names, self._leases, self.bid_names[bid])

    @property
    def eligibility(self) -> Eligibility:
        """What providers claim and orders ask for."""
        return self._eligibility

    @property
    def texts(self) -> list[str]:
        """Manifest hashes and names of groups, by the numbers that stand for them in the tables."""
        return list(self._texts)

    @staticmethod
    def _register(names: list[str], rows: dict[str, int], name: str) -> None:
        rows[name] = len(names)
        names.append(name)

    # --- blocks ------------------------------------------------------------

    @property
    def height(self) -> int:
        """The height of the last block that was executed."""
        return int(self.state.globals.height)

    def execute_block(self, height: int, messages: Sequence[Message]) -> tuple[list[Receipt], list[dict[str, Any]]]:
        """Run what is due up to `height`, then the messages strictly in the order given; return
        receipts and events.

        Raises MessageError for a malformed message; those before it stay executed. Raises ValueError
        for a height in the past.
        """
        self.advance(height)
        receipts = [Receipt(height, str(message.get("op")), self.execute(message, height)) for message in messages]
        return receipts, self.take_events()

    def execute(self, message: Message | Parsed, height: int) -> Status:
        """Execute one message at a height and nothing else: what is due by then is the caller's.

        Raises MessageError for a malformed one, which leaves everything as it is, names included. A message that somebody else signed
        than who must (SIGNERS) is Unauthorized.
        """
        parsed = message if isinstance(message, Parsed) else parse(message)
        self.state.globals.height = height
        if not parsed.is_authorized:
            return Status.Unauthorized
        self._make_room(parsed.op, parsed.arguments)
        status = _HANDLERS[parsed.op](self, parsed.arguments, height)
        if status == Status.Ok:
            self._name_new_rows()
        return status

    def _make_room(self, op: str = "", arguments: Message = MappingProxyType({})) -> None:
        """Have room for a message, or for all that may be due where none is given."""
        g = self.state.globals
        groups = arguments["groups"] if op == "create_deployment" else ()
        offer = arguments["offer"] if op == "create_bid" else ()
        ended = 0
        if g.event_mask:
            if op:
                deployment = self.row_of("deployment", "/".join(str(arguments.get("id") or "").split("/")[:2]))
                ended = int(events_of(self.state, deployment)) + 2 * int(g.grants)
            else:
                ended = EVENTS_MORE + int(EVENTS_AN_END * (g.groups + g.orders + g.bids + g.deposits) + EVENTS_A_PAYMENT * g.leases)
        self.state = with_room(
            self.state,
            deployments=1,
            groups=len(groups),
            resources=sum(len(units) for _, _, units in groups),
            drafts=max(len(groups), len(offer)),
            orders=len(groups) + 1,
            bids=1,
            leases=1,
            usage=1,
            accounts=1,
            deposits=1 + int(g.grants),
            grants=1,
            providers=1,
            events=ended + 4 * len(groups),
        )

    def take_events(self) -> list[dict[str, Any]]:
        """Return the events since the last call and forget their rows."""
        count = int(self.state.globals.events)
        self.state.globals.events = 0
        return [event_value(self, values) for values in self.state.events[:count].tolist()]

    # --- what is due by itself ------------------------------------------------------------

    def advance(self, to_height: int) -> None:
        """Run every block up to `to_height` in which something is due by itself (rule set seed),
        skipping the others.

        Order timeouts, ends of grace and due settlements happen at their heights; settlements of the
        cadence commute, so they are applied when something else looks at the account, and here at the
        end. Within a block: settle, order timeouts, end of grace, due.
        """
        for _ in self.advance_steps(to_height):
            pass

    def advance_steps(self, to_height: int) -> Iterator[str]:
        """Do what `advance` does, one thing at a time; yield after each what it was.

        Raises ValueError for a height in the past.
        """
        if to_height < self.height:
            raise ValueError(f"height {to_height} is in the past, the chain is at {self.height}")
        while (height := self.next_due()) <= to_height:
            yield from self.due_steps(height)
        self.state.globals.height = to_height
        if self._is_exact:
            yield from self._settle_all(to_height)

    @property
    def _is_exact(self) -> bool:
        return bool(self.state.globals.escrow == EscrowRule.EXACT)

    def _accounts(self) -> Any:
        return self.state.accounts[: self.state.globals.accounts]

    def _timed_out_at(self) -> Any:
        orders = self.state.orders[: self.state.globals.orders]
        timeout = int(self.state.globals.order_timeout)
        if timeout == 0:
            return np.full(len(orders), NUMBER_MAX, np.int64)
        return np.where(orders[:, Order.state] == OrderState.OPEN, orders[:, Order.created_at] + timeout, NUMBER_MAX)

    def next_due(self) -> int:
        """Return the next height at which something is due by itself, 2^60 when there is none."""
        soonest = int(self._timed_out_at().min(initial=NUMBER_MAX))
        if self._is_exact:
            accounts = self._accounts()
            for column in (Account.due_at, Account.grace_at):
                at = accounts[:, column]
                soonest = min(soonest, int(np.where(at >= 0, at, NUMBER_MAX).min(initial=NUMBER_MAX)))
            if self.state.globals.charging == Charging.USAGE:
                # Use without a cap may run an account dry before its due height: every settlement of the
                # cadence is looked at.
                soonest = min(soonest, self._next_cadence())
        return max(soonest, self.height) if soonest < NUMBER_MAX else soonest

    def _next_cadence(self) -> int:
        every = int(self.state.globals.settle_every)
        accounts = self._accounts()
        accounts = accounts[accounts[:, Account.open] > 0]
        if every == 0 or not len(accounts):
            return NUMBER_MAX
        settled, created = accounts[:, Account.settled_at], accounts[:, Account.created_at]
        return int((created + ((settled - created) // every + 1) * every).min())

    def due_steps(self, height: int) -> Iterator[str]:
        """Run what is due by itself at a height, one thing at a time; yield after each what it was."""
        self.state.globals.height = height
        if self._is_exact:
            yield from self._settle_all(height)
        for order in np.flatnonzero(self._timed_out_at() <= height).tolist():
            self._room_for_events()
            market.timeout_order(self.state, height, order)
            yield "order_timeout"
        if self._is_exact:
            for account, at in self._reached(Account.grace_at, height):
                due_work.end_of_grace(self.state, at, account)
                yield "end_of_grace"
            for account, at in self._reached(Account.due_at, height):
                due_work.settle_due(self.state, at, account)
                yield "settlement"

    def _reached(self, column: int, height: int) -> Iterator[tuple[int, int]]:
        # Each with its own height: what `execute` passed over without advancing happens as of when it was
        # due.
        due = self._accounts()[:, column]
        for account in np.flatnonzero((due >= 0) & (due <= height)).tolist():
            self._room_for_events()
            yield account, int(due[account])

    def _settle_all(self, height: int) -> Iterator[str]:
        accounts = self._accounts()
        paying = (accounts[:, Account.open] > 0) & (accounts[:, Account.state] == AccountState.OPEN)
        for account in np.flatnonzero(paying).tolist():
            self._room_for_events()
            due_work.settle_cadence(self.state, height, account)
            yield "settlement"

    def _room_for_events(self) -> None:
        self._make_room()

    # --- messages ------------------------------------------------------------

    def _create_deployment(self, asked: Message, height: int) -> Status:
        name = asked["id"]
        first = int(self.state.globals.drafts)
        resource = int(self.state.globals.resources)
        for at, (group, requirements, units) in enumerate(asked["groups"]):
            self.state, spec = self._eligibility.spec(self.state, requirements)
            draft = self.state.drafts[first + at]
            draft[Draft.name] = self._text(group) if group else -1
            draft[Draft.spec] = spec
            draft[Draft.first_resource] = resource
            draft[Draft.resources] = len(units)
            for unit in units:
                self.state.resources[resource] = unit
                resource += 1
        owner = self.wallet(asked["owner"])
        row = int(self.state.globals.deployments)
        status = Status(
            deployments.create_deployment(
                self.state,
                height,
                owner,
                asked["dseq"],
                self.row_of("deployment", name),
                asked["deposit"],
                asked["sources"],
                self._text(asked["hash"]),
                asked["window"],
                first,
                len(asked["groups"]),
            )
        )
        if status == Status.Ok:
            self.state.globals.resources = resource
            self.state.deployments[row].by_hand = self.state.wallets[owner].by_hand
            self.state.wallets[owner].by_hand = row + 1
            if self._rows is None:
                self._register(self.deployment_names, self._deployments, name)
        return status

    def _update_deployment(self, asked: Message, height: int) -> Status:
        row = self.row_of("deployment", asked["id"])
        return Status(deployments.update_deployment(self.state, height, row, self._text(asked["hash"])))

    def _close_deployment(self, asked: Message, height: int) -> Status:
        return Status(deployments.close_deployment(self.state, height, self.row_of("deployment", asked["id"])))

    def _close_group(self, asked: Message, height: int) -> Status:
        return Status(deployments.close_group(self.state, height, self.row_of("group", asked["id"])))

    def _pause_group(self, asked: Message, height: int) -> Status:
        return Status(deployments.pause_group(self.state, height, self.row_of("group", asked["id"])))

    def _start_group(self, asked: Message, height: int) -> Status:
        return Status(deployments.start_group(self.state, height, self.row_of("group", asked["id"])))

    def _create_bid(self, asked: Message, height: int) -> Status:
        order, _, provider = asked["id"].rpartition("/")
        if order.partition("/")[0] == provider:
            return Status.Conflict  # the identifier's own check, before anything is looked up
        whole, atto = asked["price"]
        first = int(self.state.globals.drafts)
        for at, (unit, count) in enumerate(asked["offer"]):
            self.state.drafts[first + at, OfferedUnit.resource] = unit
            self.state.drafts[first + at, OfferedUnit.count] = count
        return Status(
            market.create_bid(
                self.state,
                height,
                self.row_of("order", order),
                self.wallet(provider) if provider else -1,
                self.row_of("provider", provider),
                whole,
                atto,
                asked["deposit"],
                asked["sources"],
                first,
                len(asked["offer"]),
                asked["window"],
            )
        )

    def _close_bid(self, asked: Message, height: int) -> Status:
        return Status(market.close_bid(self.state, height, self.row_of("bid", asked["id"]), asked["reason"]))

    def _create_lease(self, asked: Message, height: int) -> Status:
        return Status(market.create_lease(self.state, height, self.row_of("bid", asked["id"])))

    def _close_lease(self, asked: Message, height: int) -> Status:
        name = asked["id"]
        order = self.row_of("order", name.rpartition("/")[0])
        return Status(market.close_lease(self.state, height, order, self.row_of("bid", name)))

    def _withdraw(self, asked: Message, height: int) -> Status:
        return Status(market.withdraw(self.state, height, self.row_of("lease", asked["id"])))

    def _start_reclaim(self, asked: Message, height: int) -> Status:
        return Status(market.start_reclaim(self.state, height, self.row_of("lease", asked["id"]), asked["reason"]))

    def _account_deposit(self, asked: Message, height: int) -> Status:
        name = asked["id"]
        scope, kind = (Scope.DEPLOYMENT, "deployment") if name.count("/") == 1 else (Scope.BID, "bid")
        return Status(
            market.account_deposit(
                self.state,
                height,
                int(scope),
                self.row_of(kind, name),
                self.wallet(asked["signer"]),
                asked["deposit"],
                asked["sources"],
            )
        )

    def _grant(self, asked: Message, height: int) -> Status:
        granter, grantee = self.wallet(asked["granter"]), self.wallet(asked["signer"])
        return Status(registry.grant(self.state, height, granter, grantee, asked["limit"], asked["scopes"]))

    def _sign_attributes(self, asked: Message, height: int) -> Status:
        slot = self.slot_ever(asked["provider"])
        self.state = self._eligibility.sign(self.state, slot, asked["signer"], asked["attributes"])
        return Status.Ok

    def slot_ever(self, name: str) -> int:
        """Return the row that a name has or will have as a provider: signed attributes may come before
        it registers."""
        wallet = self.wallet(name)
        count = int(self.state.globals.providers)
        found = np.flatnonzero(self.state.providers[:count, 0] == wallet)
        if len(found):
            return int(found[0])
        self.state = with_room(self.state, providers=1)
        self.state.providers[count] = 0
        self.state.providers[count].wallet = wallet
        self.state.providers[count].id = self.state.wallets[wallet].id
        self.state.globals.providers = count + 1
        return count

    def _create_provider(self, asked: Message, height: int) -> Status:
        status = Status(registry.create_provider(self.state, height, self.wallet(asked["provider"])))
        if status == Status.Ok:
            self._set_attributes(asked)
        return status

    def _update_provider(self, asked: Message, height: int) -> Status:
        status = Status(registry.update_provider(self.state, height, self.wallet(asked["provider"])))
        if status == Status.Ok:
            self._set_attributes(asked)
        return status

    def _set_attributes(self, asked: Message) -> None:
        slot = int(self.state.wallets[self.wallet(asked["provider"])].provider)
        self.state = self._eligibility.set_provider(self.state, slot, asked["attributes"])

    def _delete_provider(self, asked: Message, height: int) -> Status:
        return Status(registry.delete_provider(self.state, height, self.wallet(asked["provider"])))

    def _block_provider(self, asked: Message, height: int) -> Status:
        return Status(registry.block_provider(self.state, height, 1, self.row_of("provider", asked["provider"])))

    def _unblock_provider(self, asked: Message, height: int) -> Status:
        return Status(registry.unblock_provider(self.state, height, 1, self.row_of("provider", asked["provider"])))

    def _set_params(self, asked: Message, height: int) -> Status:
        for column, value in asked["params"]:
            status = Status(registry.check_param(self.state, 1, int(column), value))
            if status != Status.Ok:
                return status
        for column, value in asked["params"]:
            registry.set_param(self.state, height, 1, int(column), value)
        return Status.Ok

    def _settle_escrow(self, asked: Message, height: int) -> Status:
        row = self.row_of("deployment", asked["id"])
        account = int(self.state.deployments[row].account) if row >= 0 else -1
        return Status(due_work.settle_escrow(self.state, height, 1, account))

    def _submit_usage(self, asked: Message, height: int) -> Status:
        lease = self.row_of("lease", asked["id"])
        usage = int(self.state.leases[lease].usage) if lease >= 0 else -1
        since, until = asked["since"], asked["until"]
        if since is None:
            since = int(self.state.usage[usage].until) if usage >= 0 else 0
        return Status(
            metering.submit_usage(
                self.state,
                height,
                lease,
                self.wallet(asked["signer"]),
                since,
                height if until is None else until,
                *asked["metrics"],
            )
        )

    def _activate_lease(self, asked: Message, height: int) -> Status:
        return Status(market.activate_lease(self.state, height, self.row_of("lease", asked["id"])))


Handler = Callable[[Chain, Message, int], Status]
_HANDLERS: dict[str, Handler] = {name: getattr(Chain, f"_{name}") for name in OPERATIONS}
