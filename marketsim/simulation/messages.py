"""Sends a scenario's hand-written messages and governance actions within a run, and keeps their receipts.

Messages of a block run in the order given, before that block's canonical phases; governance follows them as
the first of those. What the built-in agents know is brought up to what the chain says after each: provider
desks quote on the orders of hand-made deployments like on any other, but nobody's plan chooses among them.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

import numpy as np

from marketsim.chain.columns import (
    COLLECTOR_WALLET,
    BidState,
    Deployment,
    Event,
    EventKind,
    LeaseState,
    OrderState,
    Provider,
    Rules,
    Wallet,
)
from marketsim.chain.edge import Chain, Receipt, result_of
from marketsim.chain.events import SUM, chunk_of, emit
from marketsim.chain.ledger import move
from marketsim.chain.parsing import GOVERNANCE, Message, MessageError, Parsed, param_of, parse
from marketsim.chain.requirements import requirements_of, with_eligible
from marketsim.chain.room import with_room
from marketsim.chain.state import MODULES, State, identity
from marketsim.chain.status import Status
from marketsim.chain.transitions import addressed_state
from marketsim.errors import InputError
from marketsim.kernel.rows import as_rows
from marketsim.kernel.table_set import Table
from marketsim.market.calendar import push
from marketsim.market.clock import BlockClock
from marketsim.market.desks import tie_of
from marketsim.market.fees import GAS_REFUSED, fee_of, gas_of
from marketsim.market.loop import fold_some
from marketsim.market.tables import LANES, BidRow, Desk, Engine, Kind, Phase, Stage, codes_of, rows_of_lanes
from marketsim.market.tenants import follow_lease, sync_deployment, withdraw_offer
from marketsim.money.units import ATTO, PPM
from marketsim.scenario.model import Scenario, read_message
from marketsim.simulation.build import MODULE_WALLETS, SETTLEMENT, MarketSetup, requested_values
from marketsim.simulation.collect import BY_HAND
from marketsim.simulation.desks import DeskBook
from marketsim.simulation.faults import Faults, said
from marketsim.simulation.kept_list import KeptList
from marketsim.simulation.market_messages import OPERATIONS, act, parse_market_message, wallet_of
from marketsim.simulation.orders import OrderKind
from marketsim.simulation.stages import StageChange, parameters, reconfigure, stages_of
from marketsim.simulation.views import Looks, View, WalletNames

Observe = Callable[[Message, str, Status], None]
"""Told of each executed message: the message, the state of what it addressed before, the answer."""
Tell = Callable[[int, tuple[str | int, ...], Message, str], None]
"""Told of each message that was sent, executed or not: its block, its place in the scenario, the message, the answer."""

_GOVERNANCE = {
    "set_params": "set_params",
    "block": "block_provider",
    "unblock": "unblock_provider",
    "settle": "settle_escrow",
}
DATED_MAX = 4_096
"""Orders whose timeouts are known to be dated, until those that are not open any more are forgotten."""
_FAULTS = ("fault", "outage", "repair")
"""Messages that begin or end a fault."""
_WANT_OF_COINS = (Status.InvalidDeposit, Status.InsufficientFunds)
"""What the chain answers when a deposit, or what a granter gives to it, is more than there is."""
_PAID_FOR = {
    "create_deployment": Kind.ARRIVE,
    "create_bid": Kind.BIDS,
    "create_lease": Kind.DECIDE,
    "withdraw": Kind.WITHDRAW,
    "account_deposit": Kind.TOP_UP,
    "pause_group": Kind.PAUSE_GROUP,
    "start_group": Kind.START_GROUP,
    "close_bid": Kind.LEAVE,
    "close_lease": Kind.CLOSE_LEASE,
    "close_deployment": Kind.CLOSE_DEPLOYMENT,
}
"""What messages with a measured figure of gas are in `gas_of`; all others cost nothing."""


# --- who takes part -----------------------------------------------------------------------------------------


def actors(scenario: Scenario) -> tuple[list[str], list[str]]:
    """Return the names that hand-written messages use: tenants and others; those in a provider's place.

    A name may be both.
    """
    providers = dict.fromkeys(scenario.start.providers)
    others: dict[str, None] = {}
    for message in scenario.messages:
        named, served = actors_of(message)
        others |= dict.fromkeys(named)
        providers |= dict.fromkeys(served)
    others |= {name: None for name in scenario.start.wallets if name not in providers}
    others |= dict.fromkeys(agent_wallets(scenario))
    return list(others), list(providers)


def agent_wallets(scenario: Scenario) -> dict[str, int]:
    """Return the names of users' agents that are no providers, with what each owns, in whole uve."""
    return {
        f"{cohort.name}-{index}": int(cohort.wallet) // ATTO
        for cohort in scenario.agents
        if cohort.provider is None
        for index in range(cohort.count)
    }


def actors_of(message: Message) -> tuple[list[str], list[str]]:
    """Return the names that one message uses: tenants and others; those in a provider's place."""
    parts = _parts(message)
    others = parts[:1] if parts and parts[0] else []
    others += [str(message[key]) for key in ("signer", "granter") if message.get(key)]
    providers = [parts[4]] if len(parts) == 5 and parts[4] else []
    providers += [str(message["provider"])] if message.get("provider") else []
    return others, providers


def _parts(message: Message) -> list[str]:
    name = message.get("id")
    return name.split("/") if isinstance(name, str) else []


def with_actors(market: MarketSetup, scenario: Scenario) -> MarketSetup:
    """Return the market with the wallets, providers and parameters of `start:` and of the messages.

    Each name in a provider's place gets a row among the desks that never quotes, so that its bids and its
    revenue are counted. Raises InputError for parameters that are none and for more coins than there may be.
    """
    start = scenario.start
    if not (scenario.messages or scenario.agents or start.wallets or start.providers or start.params):
        return market
    chain, engine, book = market.chain, market.engine, market.book
    try:
        for name, value in start.params.items():
            column, scaled = param_of(name, value, "start.params")
            chain.globals[column] = scaled
    except MessageError as error:
        raise scenario.refusal(tuple(error.key.split(".")), error.problem) from None
    others, providers = actors(scenario)
    desks_before = market.first_tenant - MODULE_WALLETS
    names = [*MODULES, *market.book.names[:desks_before], *market.tenant_names]
    known = {name: row for row, name in enumerate(names)}
    tenants = [name for name in others if name not in known]
    new = [*tenants, *(name for name in providers if name not in known and name not in tenants)]
    first = int(chain.globals.wallets)
    known |= {name: first + at for at, name in enumerate(new)}
    slots = [name for name in providers if known[name] >= first]
    chain = with_room(chain, wallets=len(new), providers=len(slots))
    rows = chain.wallets[first : first + len(new)]
    rows[:] = 0
    rows[:, Wallet.provider] = -1
    rows[:, Wallet.id] = [identity(name) for name in new]
    chain.globals.wallets = first + len(new)
    coins = [known[name] for name in start.wallets]
    chain.wallets[coins, Wallet.balance] = [int(amount) // ATTO for amount in start.wallets.values()]
    for name, coins_of_agent in agent_wallets(scenario).items():
        chain.wallets[known[name]].balance = coins_of_agent
    total = sum(chain.wallets[: first + len(new), Wallet.balance].tolist())
    if total >= 9 * ATTO:
        raise scenario.refusal(("start", "wallets"), f"{total} uve in all, accepted up to {9 * ATTO}")
    chain.globals.supply = total
    rank(chain.wallets, {row: name for name, row in known.items()})
    for name in slots:
        chain, engine = with_desk(chain, engine, known[name])
        registered = start.providers.get(name)
        if registered is not None:
            slot = int(chain.globals.providers) - 1
            chain.wallets[known[name]].provider = slot
            chain.providers[slot].registered = 1
            chain = market.eligibility.set_provider(chain, slot, registered.attributes, registered.signed)
        list_provider(book, name, len(scenario.desks), {} if registered is None else dict(registered.attributes))
    return market._replace(
        chain=chain,
        engine=engine,
        tenant_names=market.tenant_names + tenants,
        tenant_cohorts=market.tenant_cohorts + [len(scenario.tenants)] * len(tenants),
    )


def with_desk(chain: State, engine: Engine, wallet: int) -> tuple[State, Engine]:
    """Return the tables with a provider of this wallet in the next row, unregistered, and a desk there that never quotes."""
    slot = int(chain.globals.providers)
    chain = with_room(chain, providers=1)
    chain.providers[slot] = 0
    chain.providers[slot].wallet = wallet
    chain.providers[slot].id = chain.wallets[wallet].id
    chain.globals.providers = slot + 1
    return with_desk_row(chain, engine, slot)


def with_desk_row(chain: State, engine: Engine, slot: int) -> tuple[State, Engine]:
    """Return the tables with a desk that never quotes for the provider in row `slot`, and a place for its income."""
    chain = with_eligible(chain, 1, slot + 1)
    if len(chain.income) <= slot and chain.globals.day_blocks > 0:
        chain = chain._replace(income=_longer(chain.income, slot))
    desks = as_rows(Desk, _longer(engine.desks, slot))
    rejected, bid_times = _longer(engine.rejected, slot), _longer(engine.bid_times, slot)
    desks[slot].wallet = chain.providers[slot].wallet
    desks[slot].lease_capacity = -1
    desks[slot, [Desk.multiplier_ppm, Desk.uptime_ppm]] = PPM
    declined = engine.declined
    if declined.shape[1] <= slot:
        declined = np.ascontiguousarray(_longer(declined.T, LANES * rows_of_lanes(slot + 1) - 1).T)
    return chain, engine._replace(desks=desks, rejected=rejected, bid_times=bid_times, declined=declined)


def list_provider(book: DeskBook, name: str, cohort: int, attributes: dict[str, Any]) -> None:
    """Enter a provider into the book of names; `cohort` is the number of those that messages by hand name."""
    if cohort == len(book.cohort_names):
        book.cohort_names.append(BY_HAND)
    book.names.append(name)
    book.attributes.append(attributes)
    book.signed.append({})
    book.cohorts.append(cohort)


def _longer(table: Table, last: int) -> Table:
    """Return a table in which row `last` is the last one, that row empty; it grows where it must."""
    grown = np.zeros((last + 1, table.shape[1]), np.int64)
    grown[: min(last, len(table))] = table[:last]
    return grown


def rank(wallets: Table, names: Mapping[int, str]) -> None:
    """Write the order of names into the wallets: it stands for the order of addresses."""
    rows = sorted((row for row in names if row >= MODULE_WALLETS), key=names.__getitem__)
    wallets[rows, Wallet.rank] = np.arange(1, len(rows) + 1)


# --- a run ----------------------------------------------------------------------------------------------


class Due(NamedTuple):
    """A message that waits for its block."""

    message: Message
    parsed: Parsed | None = None
    where: tuple[str | int, ...] = ("message",)
    ticket: int | None = None
    """Of a message that came while the market ran: by what its receipt is asked for."""
    stage: StageChange | None = None
    """In place of a message: the scenario goes on to its next stage."""
    at_ms: int | None = None
    """Of a fault of the scenario: when it begins, where that is within a block."""
    turn: tuple[int, int] | None = None
    """Of an agent's message: its time and what breaks ties; those come after all others, in this order."""
    answer: Callable[[str], None] | None = None
    """Told how an agent's message was answered."""


class ByHand:
    """The messages and governance actions of one run.

    `receipts` has one entry a message in the order of execution: height, op, id (what it addresses) and
    result as the vectors spell it; where the message names another `result`, also `expected`. `observe`
    is told of each message that was executed, `tell` of each that was sent. `answers` holds the receipts of messages with a ticket,
    and the rows of the events that they caused.
    """

    def __init__(
        self,
        clock: BlockClock,
        scenario: Scenario,
        market: MarketSetup,
        receipts: list[dict[str, Any]] | None = None,
        observe: Observe | None = None,
        tell: Tell | None = None,
    ) -> None:
        self.receipts = [] if receipts is None else receipts
        self.keeps_receipts = True
        self._done = 0
        self.answers: dict[int, tuple[Receipt, Table]] | KeptList[tuple[Receipt, Table]] = {}
        self._clock = clock
        self._scenario = scenario
        self._market = market
        self._observe = observe
        self._tell = tell
        self.names = Chain.over(clock.chain, wallet_names(clock.chain, market), market.eligibility)
        desks = zip(market.book.names, market.book.cohorts, strict=True)
        tenants = zip(market.tenant_names, market.tenant_cohorts, strict=True)
        self._cohorts = {*MODULES, *(name for name, cohort in desks if cohort < len(scenario.desks))}
        self._cohorts |= {name for name, cohort in tenants if cohort < len(scenario.tenants)}
        self._listed = {*market.tenant_names}
        self._dated: set[int] = set()
        self.faults = Faults(clock, scenario, market)
        self._due: dict[int, list[Due]] = {}
        for height, where, message in self._calendar():
            self._due.setdefault(height, []).append(Due(message, self.parsed(message, where), where))
        for number, stage in enumerate(stages_of(scenario)):
            changes = [Due({"op": "change"}, stage=stage)]
            if params := parameters(stage):
                message = {"op": "set_params", "params": params}
                changes.append(Due(message, self.parsed(message), ("stages", number)))
            self._due.setdefault(stage.height, []).extend(changes)
        for number, fault in enumerate(scenario.faults):
            at_ms = fault.at.milliseconds(clock.block_ms)
            message = said(fault)
            parsed = Parsed("fault", {"fault": fault}, GOVERNANCE, GOVERNANCE)
            self._due.setdefault(clock.height_of(at_ms), []).append(Due(message, parsed, ("faults", number), at_ms=at_ms))
        self._heights = deque(sorted(self._due))
        """Of the scenario's messages, which are waited for one after the other."""

    def copy(self, clock: BlockClock, market: MarketSetup) -> ByHand:
        """Return the messages of a copied market: those that were answered and those that wait."""
        other = copy(self)
        other._clock, other._market, other._observe, other._tell = clock, market, None, None
        other.names = self.names.copy(clock.chain, market.eligibility)
        other.receipts, other.answers = list(self.receipts), self.answers.copy()
        other._listed, other._dated = set(self._listed), set(self._dated)
        other.faults = self.faults.copy(clock, market)
        other._due = {height: list(each) for height, each in self._due.items()}
        other._heights = deque(self._heights)
        return other

    def begin(self) -> None:
        """Wait for the blocks of the messages at hand: they go before the block, and after what agents do at that instant."""
        first = self._heights[0] if self._heights else 0
        for height in sorted(height for height in self._due if height <= first or height not in self._heights):
            self._await(height)

    def submit(self, height: int, message: Message, parsed: Parsed, ticket: int) -> None:
        """Let a message wait for block `height`, which is not executed yet, behind those that wait for it already."""
        self._put(height, Due(message, parsed, ("log", ticket), ticket))

    def submit_for(
        self, name: str, height: int, message: Message, parsed: Parsed, turn: tuple[int, int], answer: Callable[[str], None]
    ) -> None:
        """Let an agent's message to the market wait for block `height`: it goes before the block, after those of scenario and log, by
        `turn` among those of agents.
        """
        self._put(height, Due(message, parsed, ("agents", name), turn=turn, answer=answer))

    def _put(self, height: int, due: Due) -> None:
        if height not in self._due:
            self._due[height] = []
            self._await(height)
        self._due[height].append(due)

    def _await(self, height: int) -> None:
        if height <= self._scenario.horizon_blocks:
            callbacks = self._clock.after_all(height * self._clock.block_ms).callbacks
            assert callbacks is not None
            callbacks.append(lambda _: self._send_due(height))

    def _send_due(self, height: int) -> None:
        for due in sorted(self._due.pop(height), key=lambda due: due.turn or (-1, 0)):
            if due.stage is not None:
                self._change(height, due.stage)
            elif due.parsed is not None and due.parsed.op in OPERATIONS:
                self._act(height, due)
            else:
                self._execute(height, due)
        if self._heights and self._heights[0] == height:
            self._heights.popleft()
            if self._heights:
                self._await(self._heights[0])

    def _calendar(self) -> list[tuple[int, tuple[str, int], dict[str, Any]]]:
        entries = [(message["height"], ("messages", number), message) for number, message in enumerate(self._scenario.messages)]
        for number, action in enumerate(self._scenario.governance):
            message: dict[str, Any] = {"op": _GOVERNANCE[action.op]}
            if action.params is not None:
                message["params"] = action.params
            if action.provider is not None:
                message["provider"] = wallet_of(action.provider)
            if action.id is not None:
                message["id"] = action.id
            entries.append((action.height, ("governance", number), message))
        return sorted(entries, key=lambda entry: entry[0])

    def send(self, height: int, message: Message, where: tuple[str | int, ...] = ("messages",)) -> Status:
        """Execute a message at the start of block `height`, after those sent before; return how the chain answered.

        Raises InputError at `where` for what is no message, which changes nothing.
        """
        return self._execute(height, Due(message, self.parsed(message, where), where)).status

    def _change(self, height: int, stage: StageChange) -> None:
        """Let the market go on to a scenario's next stage; what the chain must be told goes as a message."""
        clock, market = self._clock, self._market
        clock.open_block(height)
        clock.engine.globals.bid_window = stage.after.bid_window.blocks(clock.block_ms)
        if stage.before.providers != stage.after.providers:
            seed = int(clock.engine.globals.seed)
            self._judge(reconfigure(stage, seed, clock.chain, clock.engine, market.book))

    def _act(self, height: int, due: Due) -> None:
        """Carry out a message that no chain would take, before those parts of the block that agents have."""
        clock, names, market = self._clock, self.names, self._market
        parsed = due.parsed
        assert parsed is not None
        clock.open_block(height)
        clock.make_room()
        names.take(clock.chain)
        at_ms = height * clock.block_ms if due.at_ms is None else due.at_ms
        first = int(clock.chain.globals.events)
        done = act(parsed, height, at_ms, clock, names, market, self._scenario, self.faults)
        if done.status == Status.InsufficientFunds and self._pay_first(parsed, height):
            done = act(parsed, height, at_ms, clock, names, market, self._scenario, self.faults)
        if parsed.op == "configure" and done.status == Status.Ok:
            self._judge([names.row_of("provider", parsed.arguments["provider"])])
        if due.where[:1] == ("end",) and done.status != Status.Ok:
            return  # somebody has mended it before its time
        result = result_of(done.status)
        message = said(parsed.arguments["fault"]) if parsed.op == "fault" else due.message
        self._keep({"height": height, "op": parsed.op, "id": done.what, "result": result})
        leave_message(clock.chain, height, self._done, message, result)
        if self._tell is not None:
            self._tell(height, due.where, message, result)
        if due.ticket is not None:
            rows = clock.chain.events[first : int(clock.chain.globals.events)].copy() if parsed.op in _FAULTS else clock.chain.events[:0]
            self.answers[due.ticket] = Receipt(height, parsed.op, done.status, done.what), rows
        if due.answer is not None:
            due.answer(result)
        if done.status != Status.Ok or parsed.op not in _FAULTS:
            return
        if done.until is not None and done.until <= self._scenario.horizon_blocks:
            end = {"op": "repair", "fault": done.what}
            self._put(done.until, Due(end, Parsed("repair", {"fault": done.what}, GOVERNANCE, GOVERNANCE), ("end", done.what)))
        self._follow_users(height, done.what, parsed.op != "repair")

    def _keep(self, receipt: dict[str, Any]) -> None:
        self._done += 1
        if self.keeps_receipts:
            self.receipts.append(receipt)

    def _follow_users(self, height: int, name: str, begins: bool) -> None:
        """Execute the messages with which a user's own fault begins or ends."""
        clock = self._clock
        view = View(height - 1, clock.block_ms, Looks(clock.chain), clock.engine, WalletNames(self.names.wallet_names))
        messages = self.faults.messages(name, height, begins, view)
        view.detach()
        for message in messages:
            if message.get("op") == "fault" and message.get("kind") == "python":
                raise self.faults.wrong(name, message, "a user's fault begins no other one of users, expected any other message")
            try:
                parsed = self.parsed(message if message.get("op") in OPERATIONS else read_message({"height": height} | message))
            except (InputError, ValueError) as error:
                raise self.faults.wrong(name, message, str(error).removeprefix("message.").removeprefix("message: ")) from None
            due = Due(message, parsed, ("faults", name))
            if parsed.op in OPERATIONS:
                self._act(height, due)
            else:
                self._execute(height, due)

    def _execute(self, height: int, due: Due) -> Receipt:
        self._clock.open_block(height)
        self._clock.make_room()
        return self.execute_within(height, due)

    def execute_within(self, height: int, due: Due) -> Receipt:
        """Execute a message in a block that is under way; return how the chain answered."""
        message, parsed, where, ticket = due[:4]
        assert parsed is not None
        clock, names = self._clock, self.names
        names.take(clock.chain)
        if where[:1] not in (("governance",), ("stages",)):  # which names providers that must be there
            self._introduce(message)
        before = _Before(names, message)
        gas, fee = self._gas(message, before), 0
        rows: Table = clock.chain.events[:0]
        if parsed.op == "set_params" and parsed.is_authorized:
            self._settle(height - 1)
            names.take(clock.chain)
        signer = self._payer(parsed)
        fee = fee_of(clock.chain, gas) if signer >= 0 else 0
        if signer >= 0 and fee > clock.chain.wallets[signer].balance:
            self._pay_first(parsed, height)
        if signer >= 0 and fee > clock.chain.wallets[signer].balance:
            status, gas, fee = Status.InsufficientFunds, 0, 0  # no block takes it: the wallet cannot pay for its gas
        else:
            # The fee goes first, as on the chain: a deposit finds what it leaves.
            if signer >= 0:
                move(clock.chain, signer, COLLECTOR_WALLET, fee)
            status, rows = self._executed(parsed, height, ticket is not None)
            if status in _WANT_OF_COINS and self._pay_first(parsed, height):
                status, rows = self._executed(parsed, height, ticket is not None)
            clock.chain = names.state
            self._welcome(parsed, status)
            self._make_room(parsed, before)
            gas = gas if status == Status.Ok else min(gas, GAS_REFUSED)
            fee = self._book_fee(signer, fee, status)
            if self._observe is not None:
                self._observe(message, before.state, status)
            self._follow(height, message, parsed, before, status)
        what = str(message.get("id") or message.get("provider") or "")
        receipt = {"height": height, "op": message["op"], "id": what, "result": result_of(status)}
        if message.get("result", receipt["result"]) != receipt["result"]:
            receipt["expected"] = str(message["result"])
        if where[:1] != ("agents",):
            self._keep(receipt)
        leave_message(clock.chain, height, self._done, message, receipt["result"])
        if self._tell is not None:
            self._tell(height, where, message, receipt["result"])
        answer = Receipt(height, parsed.op, status, what, gas, fee)
        if ticket is not None:
            self.answers[ticket] = answer, rows
        return answer

    def _executed(self, parsed: Parsed, height: int, told: bool) -> tuple[Status, Table]:
        """Execute a message; when the sender wants to be told, the second is a copy of the rows of all events that it caused."""
        names = self.names
        if not told:
            return names.execute(parsed, height), names.state.events[:0]
        mask, first = int(names.state.globals.event_mask), int(names.state.globals.events)
        names.state.globals.event_mask = -1
        try:
            status = names.execute(parsed, height)
        finally:
            names.state.globals.event_mask = mask
        rows = names.state.events[first : int(names.state.globals.events)].copy()
        kept = rows[mask >> rows[:, Event.kind] & 1 == 1]
        names.state.events[first : first + len(kept)] = kept
        names.state.globals.events = first + len(kept)
        return status, rows

    def _introduce(self, message: Message) -> None:
        """Give the names of a message a wallet, and those in a provider's place a row that never quotes, where they have none."""
        others, providers = actors_of(message)
        market, names = self._market, self.names
        for name in others:
            if name not in self._cohorts and name not in self._listed:
                self._listed.add(name)
                market.newcomers[names.wallet(name)] = len(market.tenant_names)
                market.tenant_names.append(name)
                market.tenant_cohorts.append(len(self._scenario.tenants))
        for name in providers:
            if name not in self._cohorts:
                names.slot_ever(name)
        self._clock.chain = names.state
        self._welcome()
        names.take(self._clock.chain)

    def parsed(self, message: Message, where: tuple[str | int, ...] = ()) -> Parsed:
        """Return a message as the chain takes it, which changes nothing.

        Raises InputError for what is no message, at `where` in the scenario; without it the message came from elsewhere.
        """
        try:
            return parse_market_message(message) if message.get("op") in OPERATIONS else parse(message)
        except MessageError as error:
            path, problem = tuple(error.key.split(".")), error.problem
        except (TypeError, AttributeError, ValueError, OverflowError) as error:
            path, problem = (), f"{message['op']}: has a value of the wrong kind ({error})"
        if where:
            raise self._scenario.refusal((*where, *path), problem)
        raise InputError(f"{'.'.join(('message', *path))}: {problem}")

    def _settle(self, height: int) -> None:
        """Apply what cadences have settled: what comes after may change by which rules, and nobody may have looked for long."""
        clock = self._clock
        while not fold_some(clock.chain, clock.engine, height):
            clock.grow()

    def _pay_first(self, parsed: Parsed, height: int) -> bool:
        """Apply what cadences have settled where the signer lacks coins and serves a lease; return whether it does.

        Under `rules: seed` what settlements have brought reaches a wallet when somebody looks: whoever is refused for want of coins has to
        have them first.
        """
        chain, slot = self._clock.chain, self.names.row_of("provider", parsed.signer)
        if chain.globals.rules != Rules.SEED or not parsed.is_authorized or slot < 0 or chain.providers[slot].active_leases == 0:
            return False
        self._settle(height - 1)
        self.names.take(self._clock.chain)
        return True

    def _make_room(self, parsed: Parsed, before: _Before) -> None:
        """Ask for what `_follow` may add: orders that are opened and quoted, their timeouts, bids that losers close."""
        chain, engine = self._clock.chain, self._clock.engine
        orders, entries = 1, 0
        if parsed.op == "create_deployment":
            orders = len(parsed.arguments["groups"])
        elif parsed.op == "set_params":
            entries = int(chain.globals.orders)
        if before.deployment >= 0:
            entries += int(chain.deployments[before.deployment].groups)
        if before.order >= 0:
            entries += int(engine.tracks[before.order].offers)
        self._clock.make_room(orders=orders, entries=entries)

    def _welcome(self, parsed: Parsed | None = None, status: Status = Status.Panic) -> None:
        """Give a desk to a provider that the run did not know, and a place among the tenants to such an owner."""
        clock, market, scenario = self._clock, self._market, self._scenario
        while len(market.book.names) < clock.chain.globals.providers:
            slot = len(market.book.names)
            clock.chain, clock.engine = with_desk_row(clock.chain, clock.engine, slot)
            name = self.names.name_of("provider", slot)
            list_provider(market.book, name, len(scenario.desks), {})
        if parsed is None or parsed.op != "create_deployment" or status != Status.Ok:
            return
        owner = self.names.row_of("wallet", parsed.arguments["owner"])
        known = len(market.tenant_names) - len(market.newcomers)
        if owner not in market.newcomers and not 0 <= owner - market.first_tenant < known:
            market.newcomers[owner] = len(market.tenant_names)
            market.tenant_names.append(parsed.arguments["owner"])
            market.tenant_cohorts.append(len(scenario.tenants))

    # --- network fees ------------------------------------------------------------------------------------

    def _payer(self, parsed: Parsed) -> int:
        """Return the wallet that pays for a message's gas, -1 for none: gas is free, or nobody signed who may."""
        if parsed.op not in _PAID_FOR or not self._clock.chain.globals.network_fees or not parsed.is_authorized:
            return -1
        return self.names.row_of("wallet", parsed.signer)

    def _gas(self, message: Message, before: _Before) -> int:
        if message["op"] not in _PAID_FOR:
            return 0
        detail = int(before.leases)
        if message["op"] == "create_lease":
            detail = max(0, len(before.open_bids) - 1)
        return int(gas_of(int(_PAID_FOR[message["op"]]), detail))

    def _book_fee(self, signer: int, fee: int, status: Status) -> int:
        """Give back what a refused message did not use of its gas, and put the fee on the record; return it."""
        if signer < 0:
            return 0
        chain = self._clock.chain
        if status != Status.Ok:
            refused = min(fee, fee_of(chain, GAS_REFUSED))
            move(chain, COLLECTOR_WALLET, signer, fee - refused)
            fee = refused
        chain.globals.network_fees_paid += fee
        chain.wallets[signer].fees += fee
        emit(chain, EventKind.NETWORK_FEE, signer, 0, fee, 0, 0)
        return fee

    # --- what the agents know ----------------------------------------------------------------------------

    def _follow(self, height: int, message: Message, parsed: Parsed, before: _Before, status: Status) -> None:
        operation = parsed.op
        if operation == "create_bid":
            self._count_bid(height, parsed, status)
        elif operation == "create_deployment" and parsed.is_authorized:
            self._know_specs(message)
        if status != Status.Ok and before.deployment < 0:
            return
        chain = self._clock.chain
        if operation == "create_deployment" and status == Status.Ok:
            row = self.names.row_of("deployment", message["id"])
            engine = self._clock.engine
            engine.plan_of[row] = -1
            engine.accounts[chain.deployments[row].account] = -1
            before.deployment = row
        elif operation == "close_bid" and status == Status.Ok and before.bid_state == BidState.OPEN:
            self._withdraw_offer(height, before)
        elif operation == "create_lease" and status == Status.Ok:
            self._take_lease(height, before)
        elif operation in {"sign_attributes", "create_provider", "update_provider"} and status == Status.Ok:
            self._know_provider(message["provider"])
        if operation == "set_params":
            self._dated.clear()
            self._date_timeouts(range(int(chain.globals.deployments)), height)
        if before.deployment >= 0:
            sync_deployment(chain, self._clock.engine, height, before.deployment)
            self._date_timeouts([before.deployment], height)

    def _date_timeouts(self, deployments: Iterable[int], height: int) -> None:
        """Date the timeouts of open orders that nobody's plan follows."""
        chain, engine = self._clock.chain, self._clock.engine
        limit = int(chain.globals.order_timeout)
        if limit == 0:
            return
        if len(self._dated) > DATED_MAX:
            self._dated = {order for order in self._dated if chain.orders[order].state == OrderState.OPEN}
        for deployment in deployments:
            if engine.plan_of[deployment] >= 0:
                continue
            first, count = chain.deployments[deployment, [Deployment.first_group, Deployment.groups]].tolist()
            for group in range(first, first + count):
                order = int(chain.groups[group].last_order)
                if chain.orders[order].state != OrderState.OPEN or order in self._dated:
                    continue
                self._dated.add(order)
                at = max(height, int(chain.orders[order].created_at) + limit)
                tie = tie_of(engine, int(Kind.ORDER_TIMEOUT), int(engine.tracks[order].key))
                push(engine, at, int(Phase.TIMEOUT), tie, int(Kind.ORDER_TIMEOUT), order)

    def _know_specs(self, message: Message) -> None:
        """Let the desks judge requirements that no order had before."""
        asked = []
        for group in message["groups"]:
            wanted = tuple((str(key), str(value)) for key, value in (group.get("attributes") or {}).items())
            asked.append(OrderKind(requirements_of(group), dict(wanted).get("region"), wanted))
        self.learn(asked)

    def learn(self, kinds: Sequence[OrderKind]) -> Table:
        """Return the chain's number of each kind of order, int64 (kinds), after the desks have judged those that are new."""
        market, clock = self._market, self._clock
        numbers = np.zeros(max(1, len(kinds)), np.int64)
        known = len(market.asked)
        for at, kind in enumerate(kinds):
            clock.chain, numbers[at] = market.eligibility.spec(clock.chain, kind.requirements)
            if numbers[at] < len(market.asked):
                continue
            market.asked.append(kind)
            if kind.region is not None and kind.region not in market.regions:
                market.regions.append(kind.region)
        specs, fits = market.eligibility.specs, clock.engine.fits
        if len(fits) < len(specs):
            grown = np.zeros((2 * len(specs), fits.shape[1]), np.int64)
            grown[: len(fits)] = fits
            clock.engine = clock.engine._replace(fits=grown)
        if len(market.asked) > known:
            self._judge(range(int(clock.engine.globals.providers)))
        return numbers

    def _know_provider(self, name: str) -> None:
        slot = self.names.row_of("provider", name)
        if 0 <= slot < self._clock.engine.globals.providers:
            self._judge([slot])

    def _judge(self, desks: Iterable[int]) -> None:
        chain, fits = self._clock.chain, codes_of(self._clock.engine.fits)
        for desk in desks:
            for number, asked in enumerate(self._market.asked):
                fit = int(chain.eligible[number, desk])
                wanted = requested_values(asked)
                fits[number, desk] = self._market.book.refusal(desk, asked.requirements, asked.region, wanted, fit)

    def _count_bid(self, height: int, parsed: Parsed, status: Status) -> None:
        chain, engine = self._clock.chain, self._clock.engine
        order_name, _, name = parsed.arguments["id"].rpartition("/")
        wallet = self.names.row_of("wallet", name)
        slots = np.flatnonzero(chain.providers[: chain.globals.providers, Provider.wallet] == wallet)
        if wallet < 0 or not len(slots):
            return
        slot = int(slots[0])
        engine.desks[slot].submitted += 1
        engine.globals.bids_submitted += 1
        order = self.names.row_of("order", order_name)
        if engine.globals.keep_bid_rows and order >= 0:
            row = engine.bid_rows[engine.globals.bids_rows]
            row[: BidRow.status + 1] = (height, order, slot, *parsed.arguments["price"], -1, int(status))
            engine.globals.bids_rows += 1
        if status != Status.Ok:
            engine.rejected[slot, int(status)] += 1
            refused = self._clock.refused_by_hand
            refused[slot, int(status)] = refused.get((slot, int(status)), 0) + 1
            return
        engine.desks[slot].accepted += 1
        engine.tracks[order].bids += 1
        engine.tracks[order].stage = int(Stage.BID)

    def _withdraw_offer(self, height: int, before: _Before) -> None:
        """Let a desk forget the open bid that a message has just closed for it."""
        offer = self._offered(before.order).get(before.bid, -1)
        if offer >= 0:
            withdraw_offer(self._clock.engine, height, offer)
        else:
            self._clock.engine.desks[before.slot].closed += 1

    def _take_lease(self, height: int, before: _Before) -> None:
        """Do what follows when a message has accepted a bid; bids by hand that lose are nobody's offer."""
        chain, engine = self._clock.chain, self._clock.engine
        offered = self._offered(before.order)
        for bid in before.open_bids:
            if bid not in offered and bid != before.bid:
                engine.desks[chain.bids[bid].slot].lost += 1
        follow_lease(chain, engine, height, before.order, offered.get(before.bid, -1))

    def _offered(self, order: int) -> dict[int, int]:
        """The placed offers of an order by their bids."""
        engine = self._clock.engine
        bids, offer = dict[int, int](), int(engine.tracks[order].first_offer)
        while offer >= 0:
            bids[int(engine.offers[offer].bid)] = offer
            offer = int(engine.offers[offer].next)
        return bids


def leave_message(chain: State, height: int, number: int, message: Message, result: str) -> None:
    """Take a message and its answer into the trail, where somebody keeps one; `number` counts the run's messages from 1."""
    if not len(chain.trail):
        return
    row = chain.trail[chunk_of(chain, height)]
    said = {key: value for key, value in message.items() if key != "result"}  # what the file expects changes nothing
    text = json.dumps([height, number, said, result], sort_keys=True, default=str)
    row.messages = (int(row.messages) + (identity(text) & SUM)) & SUM


class _Before:
    """What a message addresses, as rows (-1 = none), before it is executed."""

    def __init__(self, names: Chain, message: Message) -> None:
        parts = _parts(message)
        self.state = addressed_state(names, message)
        self.deployment = names.row_of("deployment", "/".join(parts[:2])) if len(parts) > 1 else -1
        self.order = names.row_of("order", "/".join(parts[:4])) if len(parts) > 3 else -1
        self.bid = names.row_of("bid", "/".join(parts)) if len(parts) == 5 else -1
        bids = names.state.bids
        self.bid_state = int(bids[self.bid].state) if self.bid >= 0 else 0
        self.slot = int(bids[self.bid].slot) if self.bid >= 0 else -1
        self.open_bids: list[int] = []
        if self.order >= 0:
            bid = int(names.state.orders[self.order].first_bid)
            while bid >= 0:
                if bids[bid].state == BidState.OPEN:
                    self.open_bids.append(bid)
                bid = int(bids[bid].next)
        self.leases = self._has_lease(names)

    def _has_lease(self, names: Chain) -> bool:
        """Whether the message is about something with a lease that it would end."""
        if self.bid >= 0:
            return self.bid_state == BidState.ACTIVE
        if self.deployment < 0:
            return False
        account = int(names.state.deployments[self.deployment].account)
        lease = int(names.state.accounts[account].first_lease)
        while lease >= 0:
            if names.state.leases[lease].state != LeaseState.CLOSED:
                return True
            lease = int(names.state.leases[lease].next)
        return False


def wallet_names(chain: State, market: MarketSetup) -> Sequence[str]:
    """Return the names of all wallets by row: modules, desks, tenants, then who takes part by hand."""
    names = [""] * int(chain.globals.wallets)
    names[:MODULE_WALLETS] = MODULES
    if chain.globals.settlement_wallet > 0:
        names[int(chain.globals.settlement_wallet)] = SETTLEMENT
    desks = market.first_tenant - MODULE_WALLETS
    names[MODULE_WALLETS : market.first_tenant] = market.book.names[:desks]
    tenants = market.tenant_names
    names[market.first_tenant : market.first_tenant + len(tenants)] = tenants
    for slot in range(desks, len(market.book.names)):
        names[int(chain.providers[slot].wallet)] = market.book.names[slot]
    return names


__all__ = ["BY_HAND", "ByHand", "Observe", "Tell", "actors", "wallet_names", "with_actors"]
