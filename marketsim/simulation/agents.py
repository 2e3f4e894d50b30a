"""Users' agents: generator functions that act in a running market as SimPy processes, through one port each.

An agent sees what blocks have left that are over, and submits messages; they go into the block that its time leads to, in the canonical
phases like everybody's, by submission time, then by a stateless hash of (seed, agent's name, serial). Bids wait beside those of the
built-in engines, in compiled code; other messages are carried out by Python when their turn comes. An agent that waits for the market wakes
a millisecond after the block in which there was something to see.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np
import simpy

from marketsim.agents.streams import key_of, stream
from marketsim.chain.columns import Deployment, Group, Order, OrderState, Reason, Rules, Wallet
from marketsim.chain.edge import Receipt
from marketsim.chain.events import hash64
from marketsim.chain.parsing import Message, MessageError, Parsed, parse_price
from marketsim.chain.state import State
from marketsim.chain.status import Status
from marketsim.errors import InputError, StopRunError
from marketsim.kernel.compiled import bound
from marketsim.kernel.table_set import Table, rows_of
from marketsim.market.agent_bids import date_agents_bid, lowest_open_bid
from marketsim.market.clock import BlockClock
from marketsim.market.tables import PHASES, BidOutcome, Call, Decline, Desk, Kind, OutcomeKind, Phase, codes_of
from marketsim.money.units import ATTO, MIB
from marketsim.scenario.agent_cohorts import AgentCohort
from marketsim.scenario.literals import parse_coins, parse_duration, parse_money, parse_size
from marketsim.scenario.model import Scenario
from marketsim.simulation.build import MarketSetup
from marketsim.simulation.market_messages import OPERATIONS
from marketsim.simulation.messages import ByHand, Due
from marketsim.simulation.views import Looks, View, WalletNames
from marketsim.strategies import users_code
from marketsim.strategies.check import named_object, numbers_of
from marketsim.strategies.find import AGENT
from marketsim.strategies.run_log import RunLog
from marketsim.strategies.stuck import StuckError, Watchdog

AFTER_ALL = 4
"""Priority within an instant: behind everybody, so that what the instant brings is known."""
STEPS_AT_ONCE = 100_000
"""How often an agent may go on within one millisecond."""
SALT_AGENT = 41
SERIALS = 1 << 20
"""Messages that an agent may send within one millisecond and keep in order."""
KEYS = (1 << 62) - 1
"""The bits of a hash that a key or tie of an agent has."""
BEYOND = 1 << 60
"""A time in milliseconds and a price in whole uve beyond all others."""
PRICE_BITS = 120
"""Bits that a price in 10^-18 uve may have: more is no price in any coin."""
_PHASES = {
    "create_deployment": Phase.ARRIVE,
    "start_group": Phase.ARRIVE,
    "create_bid": Phase.BID,
    "create_lease": Phase.ACCEPT,
    "account_deposit": Phase.TOP_UP,
    "withdraw": Phase.SETTLE,
    "submit_usage": Phase.SETTLE,
    "activate_lease": Phase.ACTIVATE,
    "close_deployment": Phase.CLOSE,
    "close_group": Phase.CLOSE,
    "pause_group": Phase.CLOSE,
    "close_bid": Phase.CLOSE,
    "close_lease": Phase.CLOSE,
    "start_reclaim": Phase.CLOSE,
}
"""The phase of each message; those about the register, and grants, come with governance, as the first."""
_RESULTS = {
    int(OutcomeKind.LOST): "lost",
    int(OutcomeKind.WON): "won",
    int(OutcomeKind.CLOSED): "closed",
    int(OutcomeKind.REFUSED): "refused",
    int(OutcomeKind.DECLINED): "declined",
}


class AgentTicket:
    """What an agent holds for a message: `result` is None until it is known.

    Of a bid: won, lost, closed (its order ended, or the bid did), refused by the chain or declined by the agent's own desk, for `reason`;
    `winning` is the price that won in 10^-18 uve; `ended` turns true when its lease is over. Of another message the chain's answer: ok or
    the refusal's name. `height` is the block that it went into.
    """

    __slots__ = ("ended", "height", "is_bid", "op", "placed", "reason", "result", "winning")

    def __init__(self, op: str, height: int, is_bid: bool) -> None:
        self.op = op
        self.height = height
        self.is_bid = is_bid
        self.placed = False
        self.result: str | None = None
        self.winning: int | None = None
        self.reason = ""
        self.ended = False

    def __repr__(self) -> str:
        return f"AgentTicket({self.op}, block {self.height}, {self.result or 'not known yet'})"


class OpenOrder:
    """An order as the chain shows it: cpu in millicores, memory and storage in bytes, `ceiling` in 10^-18 uve per block."""

    __slots__ = ("_agents", "ceiling", "cpu", "gpu", "height", "memory", "row", "storage")

    def __init__(self, agents: Agents, row: int) -> None:
        chain = agents.clock.chain
        order = chain.orders[row]
        group = chain.groups[order.group]
        self._agents = agents
        self.row = row
        self.height = int(order.created_at)
        self.cpu, self.memory, self.storage, self.gpu = (int(each) for each in group[Group.cpu : Group.gpu + 1])
        self.ceiling = int(order.price) * ATTO + int(order.price_atto)

    @property
    def id(self) -> str:
        """owner/dseq/gseq/oseq."""
        return self._agents.order_name(self.row)

    @property
    def owner(self) -> str:
        """Who ordered."""
        return self.id.partition("/")[0]

    @property
    def is_open(self) -> bool:
        """Whether bids can still come."""
        return bool(self._agents.clock.chain.orders[self.row].state == OrderState.OPEN)

    def __repr__(self) -> str:
        return f"OpenOrder({self.id})"


class Wait:
    """What an agent yields: something to wait for. The port makes them."""

    def __init__(self, wait: Callable[[], Generator[Any, Any, Any]]) -> None:
        self.wait = wait


class AgentPort:
    """`me`: what an agent sees, can do, and can wait for.

    >>> import marketsim as ms
    >>> def saver(me):
    ...     yield me.block()
    ...     me.log(coins=me.balance, block=me.height)
    >>> ms.check_agent(saver)
    """

    def __init__(self, agents: Agents, cohort: AgentCohort, index: int, desk: int, wallet: int) -> None:
        seed = agents.seed
        self.name = f"{cohort.name}-{index}"
        """The agent's name, also as tenant and provider."""
        self.index = index
        """Its number among those of its name, from 0."""
        self.options: Mapping[str, Any] = numbers_of(cohort.options)
        """What stands under `options:`."""
        self.rng = stream(seed, f"agent/{cohort.name}/{index}")
        """Draws that depend on the seed and the agent's name alone."""
        self._agents = agents
        self._cohort = cohort
        self._desk = desk
        self._wallet = wallet
        self._key = key_of(seed, f"agent/{cohort.name}/{index}") & KEYS
        self._serial = 0
        self._sent_at = -1
        self._sent_first = 0
        self._dseq = 0
        self._cursor = 0
        self._steps = 0
        self._stepped_at = -1
        self._heard: list[AgentTicket] = []

    # --- what it waits for ------------------------------------------------------------------------------

    def sleep(self, time: str | int) -> Wait:
        """Wait for a time such as "6h" or "100 blocks", or so many milliseconds, one at least."""
        ms = time
        if not isinstance(time, int) or isinstance(time, bool):
            try:
                ms = parse_duration(time).milliseconds(self._agents.clock.block_ms)
            except ValueError as error:
                raise ValueError(f"sleep: {error}") from None
        if not isinstance(ms, int) or ms < 1:
            raise ValueError(f"sleep: {time!r} is too short, give at least a millisecond")
        return Wait(partial(self._sleeping, ms))

    def block(self) -> Wait:
        """Wait until the next block is over; gives its height."""
        return Wait(self._next_block)

    def next_order(self, wanted: Callable[[OpenOrder], bool] | None = None) -> Wait:
        """Wait for the next order that is open, of those for which `wanted` is true; each is given once. Gives an OpenOrder."""
        return Wait(partial(self._ordered, wanted))

    def outcome(self, ticket: AgentTicket) -> Wait:
        """Wait until the result of a message or a bid is known; gives the ticket."""
        if not isinstance(ticket, AgentTicket):
            raise TypeError(f"outcome: {users_code.answered(ticket)} is no ticket, give what bid or send returned")
        return Wait(partial(self._resolved, ticket))

    def _sleeping(self, ms: int) -> Generator[Any, Any, None]:
        yield self._agents.clock.env.timeout(ms)

    def _next_block(self) -> Generator[Any, Any, int]:
        clock = self._agents.clock
        height = clock.height_of(int(clock.env.now) + 1)
        yield clock.env.timeout(height * clock.block_ms + 1 - int(clock.env.now))
        return height

    def _ordered(self, wanted: Callable[[OpenOrder], bool] | None) -> Generator[Any, Any, OpenOrder]:
        agents = self._agents
        while True:
            agents.clock.look()
            while self._cursor < agents.clock.chain.globals.orders:
                row = self._cursor
                self._cursor += 1
                if agents.clock.chain.orders[row].state == OrderState.OPEN:
                    order = OpenOrder(agents, row)
                    if wanted is None or agents.guarded(self, wanted, order):
                        return order
            yield agents.something()

    def _resolved(self, ticket: AgentTicket) -> Generator[Any, Any, AgentTicket]:
        clock = self._agents.clock
        after = ticket.height * clock.block_ms + 1 - int(clock.env.now)
        if after > 0:
            yield clock.env.timeout(after)
        clock.look()
        clock.hand_over_outcomes()
        while ticket.result is None:
            yield self._agents.something()
        return ticket

    # --- what it does -----------------------------------------------------------------------------------

    def bid(self, order: OpenOrder | str, price: int | str | Decimal) -> AgentTicket:
        """Bid on an order at a price per block: an int in 10^-18 uve, or a text such as "12.5uve".

        It goes into the next block, is held to the desk's capacity there like a built-in engine's, and takes part in the tenants' choice.
        """
        if self._desk < 0:
            raise ValueError("bid: this agent is no provider, give it provider: in the scenario")
        agents = self._agents
        row = order.row if isinstance(order, OpenOrder) else agents.order_row(order)
        if row < 0:
            raise ValueError(f"bid: there is no order {order}")
        whole, atto = _price(price)
        return agents.bid(self, self._desk, row, whole, atto)

    def send(self, message: Message) -> AgentTicket:
        """Send any message of the chain, a mapping as in `messages:`, signed by the agent."""
        if not isinstance(message, Mapping):
            raise TypeError(f"send: {users_code.answered(message)} is no message, give a mapping such as {{'op': 'withdraw', 'id': …}}")
        return self._agents.send(self, dict(message))

    def create_deployment(
        self, spec: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str, deposit: str | int = "5VE", dseq: int | None = None
    ) -> AgentTicket:
        """Create a deployment: an order a group. The ticket's `reason` is its id, owner/dseq.

        `spec` is a mapping with `cpu` (millicores), `memory`, `storage` (bytes or texts such as "2Gi"), `price` (the ceiling per block,
        "20uve"), and if need be `gpu`, `count`, `attributes`; a list of groups as in `messages:`; or the path of an SDL manifest.
        """
        self._dseq = max(self._dseq + 1, self._agents.clock.height_of(self.now)) if dseq is None else dseq
        name = f"{self.name}/{self._dseq}"
        groups = self._agents.groups_of(spec)
        message = {"op": "create_deployment", "id": name, "deposit": _coins(deposit), "sources": ["balance"], "groups": groups}
        ticket = self.send(message)
        ticket.reason = name
        return ticket

    def accept(self, bid: str) -> AgentTicket:
        """Take a bid, owner/dseq/gseq/oseq/provider: a lease."""
        return self.send({"op": "create_lease", "id": bid})

    def top_up(self, deployment: str, amount: str | int) -> AgentTicket:
        """Deposit into a deployment's account, owner/dseq, out of the wallet: "5VE" or whole uve."""
        return self.send(
            {"op": "account_deposit", "id": deployment, "signer": self.name, "deposit": _coins(amount), "sources": ["balance"]}
        )

    def withdraw(self, lease: str) -> AgentTicket:
        """Withdraw what a lease has earned, owner/dseq/gseq/oseq/provider."""
        return self.send({"op": "withdraw", "id": lease})

    def close(self, name: str, reason: int = Reason.UNSTABLE) -> AgentTicket:
        """Close a deployment (owner/dseq), a group (owner/dseq/gseq) or a bid or lease (owner/dseq/gseq/oseq/provider)."""
        match str(name).count("/"):
            case 1:
                return self.send({"op": "close_deployment", "id": name})
            case 2:
                return self.send({"op": "close_group", "id": name})
        if name.partition("/")[0] == self.name:
            return self.send({"op": "close_lease", "id": name})
        return self.send({"op": "close_bid", "id": name, "reason": reason})

    def log(self, **values: Any) -> None:
        """Write a row, with the last block and the agent's name, into the results' table of the agents' name."""
        agents = self._agents
        agents.log.write(self._cohort.name, agents.executed(), self.name, values, agents.label(self))

    # --- what it sees -----------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Milliseconds from the start."""
        return int(self._agents.clock.env.now)

    @property
    def height(self) -> int:
        """The last block that is over."""
        return self._agents.executed()

    @property
    def balance(self) -> int:
        """Whole uve in the wallet."""
        return int(self._agents.paid_out(self._desk).wallets[self._wallet, Wallet.balance])

    @property
    def revenue(self) -> int:
        """Paid out to it as a provider, net of take, in whole uve."""
        return int(self._agents.paid_out(self._desk).providers[self._desk].earned) if self._desk >= 0 else 0

    @property
    def utilization(self) -> float:
        """Leased cpu over capacity; 0 for who is no provider."""
        if self._desk < 0:
            return 0.0
        self._agents.clock.look()
        desk = self._agents.clock.engine.desks[self._desk]
        return float(desk.leased_cpu / max(int(desk.cap_cpu), 1))

    def may_bid(self, order: OpenOrder) -> bool:
        """Whether the agent's attributes and regions are what an order asks for."""
        engine = self._agents.clock.engine
        chain = self._agents.clock.chain
        spec = int(chain.groups[chain.orders[order.row].group].spec)
        return self._desk >= 0 and codes_of(engine.fits)[spec, self._desk] == 0

    def lowest_bid(self, order: OpenOrder | str) -> int | None:
        """The price of the cheapest open bid on an order in 10^-18 uve, None where there is none."""
        return self._agents.lowest(order.row if isinstance(order, OpenOrder) else self._agents.order_row(order))

    def heard(self) -> list[AgentTicket]:
        """The bids whose result has become known since this was last asked, in that order."""
        self._agents.clock.look()
        self._agents.clock.hand_over_outcomes()
        found, self._heard = self._heard, []
        return found

    def view(self) -> View:
        """All that the chain shows to everybody as of the last block: `view().orders(state="open")`, bids, leases, accounts, providers."""
        return self._agents.view()

    def __repr__(self) -> str:
        return f"AgentPort({self.name})"


class Agent(Protocol):
    """A user's agent: a generator function of one argument that acts in a running market.

    A scenario names one under `agents:`. Each agent has a generator of its own, a wallet and a stream of random numbers.

    >>> import marketsim as ms
    >>> def buyer(me):
    ...     yield me.sleep("1h")
    ...     yield me.outcome(me.create_deployment({"cpu": 1000, "price": "20uve"}))
    >>> ms.check_agent(buyer)
    """

    def __call__(self, me: AgentPort, /) -> Generator[Wait, Any, None]:
        """Yield what `me` gives to wait for (`sleep`, `block`, `next_order`, `outcome`), send messages between, return when done.

        Times are durations such as `"6h"`, `"100 blocks"`, or milliseconds; prices ints of 10^-18 uve per block or texts such as
        `"12.5uve"`. Draws come from `me.rng` alone. What it raises ends the run with its name, the block, file and line.
        """


class Agents:
    """The agents of one run: their ports, their processes, and who wakes them."""

    def __init__(self, clock: BlockClock, scenario: Scenario, market: MarketSetup, by_hand: ByHand, seed: int, log: RunLog) -> None:
        """Find the functions. Raises InputError, located in the scenario, for what is no generator function."""
        self.clock = clock
        self.seed = seed
        self.log = log
        self._paid_at = -1
        self._scenario = scenario
        self._market = market
        self._by_hand = by_hand
        self._waiting: list[simpy.Event] = []
        self._idle: simpy.Event | None = None
        self._known = (0, 0)
        self._messages: dict[int, tuple[AgentPort, Message, Parsed, AgentTicket]] = {}
        self._count = 0
        self._bids: dict[tuple[int, int], tuple[AgentPort, AgentTicket]] = {}
        self._row = rows_of(1, Call)
        self._send = clock.sender(self._row)
        self._bound: tuple[Any, ...] = ()
        self._views: WeakSet[View] = WeakSet()
        self._others = clock.take_outcomes
        self._watchdog = Watchdog()
        clock.take_outcomes = self._take_outcomes
        clock.carry_out = self._carry_out
        self.ports: list[tuple[AgentPort, Callable[[AgentPort], Any]]] = []
        row = sum(cohort.count for cohort in scenario.providers)
        x = clock.engine.globals
        for cohort in scenario.agents:
            function = self._function(cohort)
            for index in range(cohort.count):
                desk = -1
                if cohort.provider is not None:
                    desk, row = row, row + 1
                    clock.engine.desks[desk, Desk.hears] = 2
                    x.agents = x.hears = 1
                wallet = by_hand.names.row_of("wallet", f"{cohort.name}-{index}")
                self.ports.append((AgentPort(self, cohort, index, desk, wallet), function))

    def _function(self, cohort: AgentCohort) -> Callable[[AgentPort], Any]:
        where = f"agents.{cohort.name}.python"
        function = named_object(cohort.python, (self._scenario.base,), where, AGENT)
        if not inspect.isgeneratorfunction(inspect.unwrap(function) if callable(function) else function):
            raise InputError(f"{where}: {cohort.python} is no generator function, write `def agent(me):` with at least one yield")
        return function  # type: ignore[no-any-return]

    def processes(self) -> Iterator[Generator[Any, Any, None]]:
        """SimPy processes: one an agent, and who wakes them."""
        for me, function in self.ports:
            yield self._drive(me, function)
        yield self._watch()

    # --- the agents' steps ------------------------------------------------------------------------------

    def label(self, me: AgentPort) -> str:
        """How errors call an agent's code."""
        return f"agents.{me._cohort.name}.python: {me._cohort.python}: {me.name} after block {self.executed()}"

    def executed(self) -> int:
        """The last block that is over at this instant, whether or not anybody has looked."""
        return max(0, -(-int(self.clock.env.now) // self.clock.block_ms) - 1)

    def paid_out(self, desk: int) -> State:
        """The chain at this instant; a desk that serves has been paid what was due by then (under `rules: seed` that waits for a look)."""
        clock = self.clock
        clock.look()
        now = clock.executed
        if desk >= 0 and clock.chain.globals.rules == Rules.SEED and now > self._paid_at and clock.chain.providers[desk].active_leases > 0:
            clock.settle()
            self._paid_at = now
        return clock.chain

    def guarded(self, me: AgentPort, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call users' code; what it raises is an InputError with file and line. What a generator returns comes as StopIteration."""
        watchdog = self._watchdog
        try:
            try:
                watchdog.begin()
                return function(*arguments)
            finally:
                watchdog.end()
        except StopRunError:
            raise
        except StuckError as error:
            place = users_code.place_of(error)
            raise InputError(
                f"{self.label(me)} has worked for {watchdog.seconds:g} s without a yield ({place}), expected it to yield now and then"
            ) from None
        except BaseException as error:
            if users_code.passes(error) or (isinstance(error, StopIteration) and inspect.isbuiltin(function)):
                raise
            raise InputError(f"{self.label(me)} raises {users_code.raised(error)}, expected it to yield, or to return") from error

    def _drive(self, me: AgentPort, function: Callable[[AgentPort], Any]) -> Generator[Any, Any, None]:
        steps = self.guarded(me, function, me)
        given: Any = None
        while True:
            now = int(self.clock.env.now)
            me._steps = me._steps + 1 if now == me._stepped_at else 1
            me._stepped_at = now
            if me._steps > STEPS_AT_ONCE:
                raise InputError(
                    f"{self.label(me)} goes on {STEPS_AT_ONCE:,} times within a millisecond, expected it to sleep now and then"
                )
            try:
                wait = self.guarded(me, steps.send, given)
            except StopIteration:
                return
            for view in list(self._views):
                view.detach()
            self._views.clear()
            if not isinstance(wait, Wait):
                line = steps.gi_frame.f_lineno if steps.gi_frame is not None else 0
                raise InputError(
                    f"{self.label(me)} yields {users_code.answered(wait)} ({steps.gi_code.co_filename}:{line}), "
                    "expected me.sleep(…), me.block(), me.next_order(…) or me.outcome(…)"
                )
            given = yield from wait.wait()

    def view(self) -> View:
        """Return what the chain shows now."""
        clock = self.clock
        clock.look()
        view = View(self.executed(), clock.block_ms, Looks(clock.chain), clock.engine, WalletNames(self._by_hand.names.wallet_names))
        self._views.add(view)
        return view

    # --- waking -----------------------------------------------------------------------------------------

    def something(self) -> simpy.Event:
        """Return an event that comes when there is something new to see."""
        event = simpy.Event(self.clock.env)
        self._waiting.append(event)
        if self._idle is not None and not self._idle.triggered:
            self._idle.succeed()
        return event

    def _watch(self) -> Generator[Any, Any, None]:
        """Execute blocks ahead of the agents' clock as far as nobody else can act, and wake who waits behind a block with something new.

        Only blocks before the next event of all are executed: until then nobody can send anything that would be in them.
        """
        clock, env, ms = self.clock, self.clock.env, self.clock.block_ms
        while True:
            if not self._waiting:
                self._idle = env.event()
                yield self._idle
                self._idle = None
                self._known = self._seen()
            x = clock.engine.globals
            if self._seen() == self._known:
                upcoming = env.peek()
                until = min(-(-int(min(upcoming, BEYOND)) // ms) - 1, int(x.horizon))
                if until > clock.executed:
                    x.watching, (x.watched_orders, x.watched_heard) = 1, self._known
                    clock.watch(until)
                    clock.engine.globals.watching = 0
                elif upcoming == float("inf"):
                    return
                else:
                    yield clock.after_all(int(upcoming), AFTER_ALL)
                continue
            self._known = self._seen()
            at = int(clock.engine.globals.last_block) * ms + 1
            if at > env.now:
                yield env.timeout(at - int(env.now))
            clock.hand_over_outcomes()
            waiting, self._waiting = self._waiting, []
            for event in waiting:
                event.succeed()
            yield env.timeout(0)

    def _seen(self) -> tuple[int, int]:
        x = self.clock.engine.globals
        return int(self.clock.chain.globals.orders), int(x.heard)

    def _take_outcomes(self, rows: Table) -> None:
        self._others(rows)
        for row in rows[np.isin(rows[:, BidOutcome.kind], list(_OF_AGENTS))].tolist():
            key = row[BidOutcome.desk], row[BidOutcome.order]
            found = self._bids.get(key)
            if found is None:
                continue
            me, ticket = found
            kind = row[BidOutcome.kind]
            if kind == OutcomeKind.PLACED:
                ticket.placed = True
            elif kind == OutcomeKind.ENDED:
                ticket.ended = True
                del self._bids[key]
            else:
                ticket.result = _RESULTS[kind]
                if kind in (OutcomeKind.LOST, OutcomeKind.WON):
                    ticket.winning = row[BidOutcome.other] * ATTO + row[BidOutcome.other_atto]
                elif kind == OutcomeKind.REFUSED:
                    ticket.reason = Status(row[BidOutcome.other]).name
                elif kind == OutcomeKind.DECLINED:
                    ticket.reason = Decline(row[BidOutcome.other]).name.lower()
                if kind != OutcomeKind.WON:
                    del self._bids[key]
                me._heard.append(ticket)

    # --- messages ---------------------------------------------------------------------------------------

    def _tie(self, me: AgentPort) -> int:
        """What breaks ties with others of the same instant: a hash of seed, agent and serial; its own messages stay in order."""
        now = int(self.clock.env.now)
        if now != me._sent_at:
            me._sent_at, me._sent_first = now, me._serial
        tie = hash64(self.seed, SALT_AGENT, me._key, me._sent_first)
        place = me._serial - me._sent_first
        me._serial += 1
        if place >= SERIALS:
            raise ValueError(f"more than {SERIALS:,} messages within a millisecond")
        return int(tie) & ~(SERIALS - 1) & KEYS | place

    def bid(self, me: AgentPort, desk: int, order: int, whole: int, atto: int) -> AgentTicket:
        """Let a bid wait for its block."""
        clock = self.clock
        clock.look()
        now = int(clock.env.now)
        height = clock.height_of(now)
        ticket = AgentTicket("create_bid", height, True)
        self._bind()
        if (desk, order) in self._bids and self._bids[desk, order][1].result is None:
            ticket.result, ticket.reason = "refused", Status.BidExists.name
            return ticket
        tie = self._tie(me)
        while not self._date(height, order, desk, whole, atto, now, tie):
            clock.make_room()
            self._bind()
        self._bids[desk, order] = me, ticket
        return ticket

    def _bind(self) -> None:
        chain, engine = self.clock.chain, self.clock.engine
        if self._bound[:2] != (id(chain), id(engine)):
            self._date = bound(date_agents_bid, chain, engine)
            self._lowest = bound(lowest_open_bid, chain)
            self._bound = id(chain), id(engine), chain, engine

    def lowest(self, order: int) -> int | None:
        """The cheapest open bid's price."""
        self.clock.look()
        self._bind()
        bid = self._lowest(order) if order >= 0 else -1
        if bid < 0:
            return None
        row = self.clock.chain.bids[bid]
        return int(row.price) * ATTO + int(row.price_atto)

    def send(self, me: AgentPort, message: dict[str, Any]) -> AgentTicket:
        """Let a message wait for its block."""
        clock = self.clock
        if message.get("op") != "grant":
            message.setdefault("signer", me.name)
        try:
            parsed = self._by_hand.parsed(message)
        except InputError as error:
            raise ValueError(str(error)) from None
        now = int(clock.env.now)
        height = clock.height_of(now)
        ticket = AgentTicket(parsed.op, height, False)
        if parsed.op in OPERATIONS:
            self._by_hand.submit_for(me.name, height, message, parsed, (now, self._tie(me)), partial(setattr, ticket, "result"))
            return ticket
        number, self._count = self._count, self._count + 1
        self._messages[number] = me, message, parsed, ticket
        call = self._row[0]
        call.key = height * PHASES + _PHASES.get(parsed.op, Phase.GOVERN)
        call.time, call.tie, call.kind, call.plan = now, self._tie(me), Kind.MESSAGE, number
        clock.look()
        self._send(0)
        return ticket

    def _carry_out(self, number: int, height: int) -> None:
        me, message, parsed, ticket = self._messages.pop(number)
        answer: Receipt = self._by_hand.execute_within(height, Due(message, parsed, ("agents", me.name)))
        ticket.result = answer.result

    # --- names ------------------------------------------------------------------------------------------

    def order_name(self, row: int) -> str:
        """owner/dseq/gseq/oseq."""
        chain = self.clock.chain
        order = chain.orders[row]
        owner, dseq = chain.deployments[order.deployment, [Deployment.owner, Deployment.dseq]].tolist()
        gseq = int(chain.groups[order.group].gseq)
        return f"{self._by_hand.names.wallet_names[owner]}/{dseq}/{gseq}/{int(chain.orders[row, Order.oseq])}"

    def order_row(self, name: str) -> int:
        """The row of an order, -1 for none."""
        self.clock.look()
        self._by_hand.names.take(self.clock.chain)
        return self._by_hand.names.row_of("order", str(name))

    def groups_of(self, spec: Mapping[str, Any] | Sequence[Mapping[str, Any]] | str) -> list[dict[str, Any]]:
        """The groups of a deployment as messages have them."""
        if isinstance(spec, (str, Path)):
            from marketsim.scenario.files import load_sdl

            return [_group_of_manifest(group) for group in load_sdl(self._scenario.base / spec).groups()]
        if not isinstance(spec, Mapping):
            return [dict(group) for group in spec]
        unknown = set(spec) - {"cpu", "memory", "storage", "gpu", "count", "price", "attributes"}
        if unknown or not {"cpu", "price"} <= set(spec):
            raise ValueError("create_deployment: give cpu and price, and if need be memory, storage, gpu, count, attributes")
        unit = {
            "price": _text(_price(spec["price"])),
            "count": spec.get("count", 1),
            "cpu": spec["cpu"],
            "memory": _bytes(spec.get("memory", MIB)),
            "storage": _bytes(spec.get("storage", 5 * MIB)),
            "gpu": spec.get("gpu", 0),
        }
        return [{"name": "group", "resources": [unit], "attributes": dict(spec.get("attributes", {}))}]


_OF_AGENTS = (*_RESULTS, int(OutcomeKind.PLACED), int(OutcomeKind.ENDED))


def _group_of_manifest(group: Any) -> dict[str, Any]:
    units = [
        {
            "price": _text(divmod(unit.price, ATTO)),
            "count": unit.count,
            "cpu": unit.cpu,
            "memory": unit.memory,
            "storage": unit.storage,
            "gpu": unit.gpu,
            "endpoints": len(unit.endpoints),
        }
        for unit in group.resources
    ]
    return {
        "name": group.name,
        "resources": units,
        "attributes": dict(group.attributes),
        "all_of": list(group.all_of),
        "any_of": list(group.any_of),
    }


def _price(price: int | str | Decimal) -> tuple[int, int]:
    """A price per block as whole uve and 10^-18 uve. Raises ValueError for what is none."""
    if isinstance(price, bool) or not isinstance(price, (int, str, Decimal, np.integer)):
        raise ValueError(f"{users_code.answered(price)} is no price, give an int in 10^-18 uve or a text such as '12.5uve'")
    if isinstance(price, str):
        price = parse_money(price)
    elif isinstance(price, Decimal):
        try:
            return parse_price(str(price), "price")
        except MessageError as error:
            raise ValueError(str(error)) from None
    if not 0 < price < 1 << PRICE_BITS:
        raise ValueError(f"{users_code.answered(price)} is no price, give one above 0")
    whole, atto = divmod(int(price), ATTO)
    return min(whole, BEYOND), atto


def _text(price: tuple[int, int]) -> str:
    return f"{price[0]}.{price[1]:018d}"


def _coins(amount: str | int) -> str:
    """Whole uve as messages have them."""
    return str(amount) if isinstance(amount, int) else str(int(parse_coins(amount)) // ATTO)


def _bytes(size: int | str) -> int:
    return size if isinstance(size, int) else int(parse_size(size))


__all__ = ["AgentPort", "AgentTicket", "Agents", "OpenOrder", "Wait"]
