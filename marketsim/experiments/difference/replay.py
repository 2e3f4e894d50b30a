"""A run played again: cheaply up to a chunk of blocks, then block by block with every event and message in its hands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marketsim.agents.streams import listening
from marketsim.chain.columns import Event, EventKind, OrderEnd, Reason, Scope
from marketsim.chain.events import PAYING, PRICED, chunk_of, other_identity
from marketsim.chain.parsing import Message
from marketsim.chain.rendering import amount
from marketsim.experiments.difference.draws import DrawBook
from marketsim.experiments.difference.names import Names, kind_of_subject
from marketsim.kernel.table_set import Table
from marketsim.market.trail import close_chunk, desks_state
from marketsim.scenario.faults import FAULT_KINDS
from marketsim.scenario.model import Scenario
from marketsim.simulation.messages import wallet_names
from marketsim.simulation.play import Play, prepare

_OPS = {
    EventKind.DEPLOYMENT_CREATED: "create_deployment, of its tenant",
    EventKind.GROUP_OPENED: "create_deployment or start_group, of its tenant",
    EventKind.ORDER_CREATED: "create_deployment, of its tenant, or a lease that ended",
    EventKind.ORDER_ACTIVATED: "activate_lease: the workload runs",
    EventKind.BID_CREATED: "create_bid, of its provider",
    EventKind.BID_WON: "create_lease, of its tenant",
    EventKind.LEASE_CREATED: "create_lease, of its tenant",
    EventKind.BID_CLOSED: "close_bid, of its provider",
    EventKind.PROVIDER_BLOCKED: "block_provider, of governance",
    EventKind.PROVIDER_UNBLOCKED: "unblock_provider, of governance",
    EventKind.FORCED_SETTLEMENT: "settle_escrow, of governance",
    EventKind.OUTAGE: "none: an outage of the provider",
    EventKind.PROVIDER_FAULT: "fault or repair, of governance or the provider",
    EventKind.TENANT_FAULT: "fault or repair, of governance or the tenant",
    EventKind.REPRICED: "none: the provider's repricing",
}
_ENDS = {
    Reason.OWNER: "close_lease or close_deployment, of its tenant",
    Reason.UNSTABLE: "close_bid, of its provider",
    Reason.DECOMMISSION: "close_bid, of its provider",
    Reason.UNSPECIFIED: "close_bid, of its provider",
    Reason.MANIFEST_TIMEOUT: "close_bid, of its provider, who has no manifest",
    Reason.INSUFFICIENT_FUNDS: "none: the account is out of funds",
}


@dataclass(frozen=True, slots=True)
class Said:
    """A message by hand or of governance: its place in the scenario, its arguments and the answer."""

    height: int
    where: tuple[str | int, ...]
    message: Message
    result: str

    @property
    def content(self) -> tuple[Any, ...]:
        """What it says and was answered, to be compared; not where it stands."""
        said = {key: value for key, value in self.message.items() if key != "result"}
        return ("message", json.dumps(said, sort_keys=True, default=str), self.result)

    @property
    def place(self) -> str:
        """Its place as in the scenario: `messages[3]`."""
        return f"{self.where[0]}[{self.where[1]}]" if len(self.where) > 1 else str(self.where[0])


@dataclass(frozen=True, slots=True)
class Happened:
    """One event: a row of `Event`, what of it is compared, and the message by hand that it comes of, if any."""

    row: tuple[int, ...]
    content: tuple[Any, ...]
    cause: Said | None

    @property
    def kind(self) -> int:
        """Its EventKind."""
        return self.row[Event.kind]

    @property
    def identity(self) -> int:
        """The identity of its subject."""
        identity = self.row[Event.identity]
        return identity if identity >= 0 else ~identity

    @property
    def is_noted(self) -> bool:
        """Whether it follows from other events: what a cadence settled."""
        return self.row[Event.identity] < 0


Item = Said | Happened


@dataclass
class Block:
    """What happened in one block, messages by hand before their events."""

    height: int
    items: list[Item] = field(default_factory=list)


class PlayedAgain:
    """One run played again; `streams` says whether its draws are kept, which costs time."""

    def __init__(self, scenario: Scenario, seed: int, *, streams: bool) -> None:
        self.scenario = scenario.model_copy(update={"record": "summary"})
        self.scenario._base, self.scenario._places = scenario._base, scenario._places
        self.draws = DrawBook() if streams else None
        self._taken: list[Table] = []
        self._count = 0
        self._said: list[tuple[int, Said]] = []
        self._done = 0
        with self._listening():
            self._market = prepare(self.scenario, seed)
            self.play = Play(self.scenario, self._market, seed, tell=self._tell, trail=True)
            self.play.clock.advance(0)  # desks are ready from here on

    @property
    def height(self) -> int:
        """The last block that was played."""
        return self._done

    @property
    def chunk(self) -> NDArray[np.int64]:
        """The row of the trail of the last block, int64 (Trail.width,)."""
        chain = self.play.clock.chain
        row: NDArray[np.int64] = np.asarray(chain.trail[chunk_of(chain, self._done)])
        return row

    def row_of_chunk(self, end: int) -> NDArray[np.int64]:
        """The row of the trail of a block, int64 (Trail.width,)."""
        chain = self.play.clock.chain
        row: NDArray[np.int64] = np.asarray(chain.trail[chunk_of(chain, end)])
        return row

    def desks(self) -> int:
        """The hash of the desks' state as it is now."""
        return int(desks_state(self.play.clock.chain, self.play.clock.engine))

    def names(self) -> Names:
        """The names of what there is now."""
        clock = self.play.clock
        return Names(clock.chain, clock.engine, wallet_names(clock.chain, self._market))

    def advance(self, height: int) -> None:
        """Play up to and including a block, keeping nothing."""
        if height > self._done:
            with self._listening():
                self.play.advance(height)
            self._done = height
            self._said.clear()

    def record(self) -> None:
        """Keep events from now on."""
        self.play.clock.keep_events(self._take)

    def block(self) -> Block:
        """Play one more block; return what happened in it."""
        height = self._done + 1
        self._taken.clear()
        self._count = 0
        self._said.clear()
        with self._listening():
            self.play.advance(height)
        self._done = height
        self.play.clock.hand_over()
        return self._block(height)

    def finish(self) -> None:
        """Play to the end."""
        self.advance(self.scenario.horizon_blocks)
        clock = self.play.clock
        close_chunk(clock.chain, clock.engine, self.scenario.horizon_blocks)

    def _listening(self) -> Any:
        from contextlib import nullcontext

        return nullcontext() if self.draws is None else listening(self.draws)

    def _take(self, rows: Table) -> None:
        self._taken.append(np.array(rows))
        self._count += len(rows)

    def _tell(self, height: int, where: tuple[str | int, ...], message: Message, result: str) -> None:
        happened = self._count + int(self.play.clock.chain.globals.events)
        self._said.append((happened, Said(height, where, message, result)))

    def _block(self, height: int) -> Block:
        chain = self.play.clock.chain
        rows = [tuple(int(value) for value in row) for table in self._taken for row in table]
        block, at = Block(height), 0
        for until, said in self._said:
            block.items.append(said)
            block.items += [_happened(chain, row, said) for row in rows[at:until]]
            at = until
        block.items += [_happened(chain, row, None) for row in rows[at:]]
        return block


def _happened(chain: Any, row: tuple[int, ...], cause: Said | None) -> Happened:
    height, kind, _, other, whole, atto, extra, identity = row[:8]
    is_noted = identity < 0
    also = 0 if is_noted and (PAYING >> kind) & 1 else int(other_identity(chain, kind, other))
    more = 0 if kind <= EventKind.LEASE_CREATED else extra
    return Happened(row, (height, kind, identity, also, whole, atto, more), cause)


def ingredient_of(kind: int, *, is_noted: bool = False) -> str:
    """Return the ingredient that the figures of a kind of event are of."""
    if is_noted:
        return "settlements"
    if (PRICED >> kind) & 1:
        return "prices"
    return "payments" if (PAYING >> kind) & 1 else "states"


def compared(item: Item, ingredients: Sequence[str]) -> tuple[Any, ...] | None:
    """Return what of an item counts among some ingredients, None where nothing does."""
    if isinstance(item, Said):
        return item.content if "messages" in ingredients else None
    if item.is_noted and not (PAYING >> item.kind) & 1:
        return None  # a bid lost to a lease
    figures = ingredient_of(item.kind, is_noted=item.is_noted) in ingredients
    if item.is_noted:
        return item.content if figures else None
    if "events" in ingredients:
        return item.content if figures else item.content[:4]
    return item.content if figures and any(item.content[4:]) else None


def event_text(names: Names, event: Happened) -> str:
    """Return an event as a person reads it: what happened, to what, with which figures."""
    _, kind, subject, other, whole, atto, extra = event.row[:7]
    what = kind_of_subject(kind)
    text = EventKind(kind).name.lower().replace("_", " ")
    name = names.name(what, event.identity, subject)
    if kind in _OF_BIDS and other >= 0:
        name = f"{name}/{names.provider(other)}"
    parts = [f"{text}: {name}"]
    money = amount(whole, atto)
    if kind in (EventKind.DEPOSITED, EventKind.REFUNDED):
        parts.append(f"{money} uve {'by' if kind == EventKind.DEPOSITED else 'to'} {names.wallet(other)}")
    elif kind == EventKind.PAID:
        parts.append(f"{money} uve, take {extra} uve")
    elif kind == EventKind.SETTLED:
        parts.append(f"{money} uve for {extra} blocks")
    elif kind == EventKind.REPRICED:
        parts.append(f"to {whole} ppm")
    elif kind == EventKind.OUTAGE:
        parts.append("down" if other else "up")
    elif kind in (EventKind.PROVIDER_FAULT, EventKind.TENANT_FAULT):
        kinds = [name for name, each in FAULT_KINDS.items() if each.number == whole]
        parts.append(f"{' '.join(kinds)} {'begins' if other else 'ends'}")
    elif kind == EventKind.PARAMS_CHANGED:
        parts.append(f"to {whole}")
    elif kind == EventKind.MESSAGE_REFUSED:
        parts.append(f"status {other}")
    elif kind in (EventKind.ORDER_CLOSED, EventKind.LEASE_CLOSED):
        parts.append(f"reason {_reason(kind, other)}")
    elif whole or atto:
        parts.append(f"{money} uve")
    return ", ".join(parts)


_OF_BIDS = (EventKind.BID_CREATED, EventKind.BID_WON, EventKind.BID_LOST, EventKind.BID_CLOSED)


def _reason(kind: int, code: int) -> str:
    codes: Any = OrderEnd if kind == EventKind.ORDER_CLOSED else Reason
    return codes(code).name.lower() if code in set(codes) else str(code)


def op_of(names: Names, event: Happened) -> str:
    """Return the message of an agent that an event comes of, in words; what the chain does by itself comes of none."""
    kind, other = event.kind, event.row[Event.other]
    if kind == EventKind.DEPOSITED:
        account = names.row("account", event.identity)
        is_bid = account >= 0 and int(names.chain.accounts[account].scope) == Scope.BID
        is_new = account >= 0 and int(names.chain.accounts[account].created_at) == event.row[Event.height]
        if is_bid and is_new:
            return "create_bid, of its provider"
        return "create_deployment, of its tenant" if is_new else "account_deposit, a top-up"
    if kind == EventKind.LEASE_CLOSED:
        return _ENDS.get(other, "")  # type: ignore[call-overload, no-any-return]
    return _OPS.get(kind, "none: what follows from another event, or is due")  # type: ignore[call-overload, no-any-return]


def also_of(event: Happened) -> int:
    """Return the row of the provider that an event names beside its subject, -1 for none."""
    other = event.row[Event.other]
    return other if event.kind in (*_OF_BIDS,) and other >= 0 else -1
