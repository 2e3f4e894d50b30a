"""What may happen, as data: every change of state with its cause, and every answer that a message can
get in every state of its object.

A reader can lay the tables beside protocol reference 1.2, 1.4 and 1.7; tests hold them equal to the
ladders, and `marketsim coverage` counts by them. A change is what one message (or one thing that
happens by itself) leaves behind, not the steps in between: PauseGroup that finds an overdraft takes a
group from open to insufficient_funds. Escrow is the default rule of each rule set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from marketsim.chain.columns import Bid, BidState, Deployment, Group, Lease, Order, Quirk, Rules
from marketsim.chain.rendering import ACCOUNT_STATES, BID_STATES, DEPLOYMENT_STATES, GROUP_STATES, LEASE_STATES, ORDER_STATES
from marketsim.chain.status import Status

if TYPE_CHECKING:
    from marketsim.chain.edge import Chain
    from marketsim.chain.parsing import Message

NONE = "none"
"""The state of what does not exist."""

SEED, VIRTENGINE, AKASH = Rules.SEED, Rules.VIRTENGINE, Rules.AKASH
ALL = (SEED, VIRTENGINE, AKASH)
CHAINS = (VIRTENGINE, AKASH)

ORDER_TIMEOUT, END_OF_GRACE, SETTLEMENT = "order_timeout", "end_of_grace", "settlement"
"""What happens by itself under rule set seed; a settlement is one of the cadence or the due one."""


class Transition(NamedTuple):
    """One change of state: of which kind of object, from, to, and the message that causes it."""

    object: str
    before: str
    after: str
    cause: str


class TableAnswer(NamedTuple):
    """One answer: to which message, in which state of the object that it addresses."""

    message: str
    state: str
    status: Status


class TransitionRow(NamedTuple):
    """Changes with the same conditions: `rules` that have them, quirks of which one is needed, quirks
    that together prevent them."""

    object: str
    before: str
    after: str
    causes: tuple[str, ...]
    rules: tuple[Rules, ...] = ALL
    needs: int = 0
    unless: int = 0


class OutcomeRow(NamedTuple):
    """Answers with the same conditions; `needs` are quirks of which one is needed."""

    message: str
    states: tuple[str, ...]
    statuses: tuple[Status, ...]
    rules: tuple[Rules, ...] = ALL
    needs: int = 0


STAY = int(Quirk.OPEN_ORDERS_STAY)
PAUSE = int(Quirk.PAUSE_OPEN_ORDER)
LOSERS = int(Quirk.LOSING_BIDS_STAY)
SAME_HEIGHT = int(Quirk.SETTLE_SAME_HEIGHT)

# Who ends a lease, an order or a group on purpose; and who may find an overdraft on the way (virtengine,
# akash).
_ENDING_LEASE = ("close_lease", "close_bid", "pause_group", "close_group", "close_deployment")
_FINDING = (*_ENDING_LEASE, "withdraw", "settle_escrow")
# Seed: who may find that an account is short. Closing the deployment ends its leases instead.
_SHORTENING = (
    "close_lease",
    "close_bid",
    "pause_group",
    "close_group",
    "withdraw",
    "settle_escrow",
    SETTLEMENT,
)

TRANSITIONS: tuple[TransitionRow, ...] = (
    TransitionRow("deployment", NONE, "active", ("create_deployment",)),
    TransitionRow("deployment", "active", "closed", ("close_deployment",)),
    TransitionRow(
        "deployment",
        "active",
        "closed",
        tuple(name for name in _FINDING if name != "close_deployment"),
        CHAINS,
    ),
    TransitionRow("deployment", "active", "closed", (ORDER_TIMEOUT, END_OF_GRACE), (SEED,)),
    # groups
    TransitionRow("group", NONE, "open", ("create_deployment",)),
    TransitionRow("group", "open", "paused", ("pause_group", "close_bid")),
    TransitionRow("group", "insufficient_funds", "paused", ("pause_group",)),
    TransitionRow("group", "paused", "open", ("start_group",)),
    TransitionRow("group", "insufficient_funds", "open", ("start_group",)),
    TransitionRow("group", "open", "closed", ("close_group", "close_deployment")),
    TransitionRow("group", "paused", "closed", ("close_group", "close_deployment")),
    TransitionRow("group", "insufficient_funds", "closed", ("close_group",)),
    TransitionRow("group", "open", "closed", (ORDER_TIMEOUT,), (SEED,)),
    TransitionRow("group", "paused", "closed", (ORDER_TIMEOUT,), (SEED,), needs=PAUSE),
    TransitionRow("group", "insufficient_funds", "closed", (ORDER_TIMEOUT,), (SEED,), needs=STAY),
    TransitionRow("group", "open", "insufficient_funds", _FINDING, CHAINS),
    TransitionRow("group", "paused", "insufficient_funds", _FINDING, CHAINS),
    TransitionRow("group", "open", "insufficient_funds", (END_OF_GRACE,), (SEED,)),
    TransitionRow("group", "paused", "insufficient_funds", (END_OF_GRACE,), (SEED,)),
    # orders
    TransitionRow("order", NONE, "open", ("create_deployment", "start_group", "close_lease")),
    TransitionRow("order", "open", "matched", ("create_lease",), (SEED,)),
    TransitionRow("order", "matched", "active", ("activate_lease",), (SEED,)),
    TransitionRow("order", "open", "active", ("create_lease",), CHAINS),
    TransitionRow("order", "open", "closed", ("pause_group",), (SEED,), unless=PAUSE),
    TransitionRow("order", "open", "closed", ("pause_group",), CHAINS, unless=PAUSE | STAY),
    TransitionRow("order", "open", "closed", ("close_group", "close_deployment"), unless=STAY),
    TransitionRow(
        "order",
        "open",
        "closed",
        ("close_lease", "close_bid", "withdraw", "settle_escrow"),
        CHAINS,
        unless=STAY,
    ),
    TransitionRow("order", "open", "closed", (END_OF_GRACE,), (SEED,), unless=STAY),
    TransitionRow("order", "open", "closed", (ORDER_TIMEOUT,), (SEED,)),
    TransitionRow("order", "matched", "closed", (*_ENDING_LEASE, END_OF_GRACE), (SEED,)),
    TransitionRow("order", "active", "closed", (*_ENDING_LEASE, END_OF_GRACE), (SEED,)),
    TransitionRow("order", "active", "closed", _FINDING, CHAINS),
    # bids
    TransitionRow("bid", NONE, "open", ("create_bid",)),
    TransitionRow("bid", "open", "active", ("create_lease",)),
    TransitionRow("bid", "open", "lost", ("create_lease",)),
    TransitionRow("bid", "open", "closed", ("close_bid",)),
    TransitionRow("bid", "open", "closed", ("pause_group",), (SEED,), unless=PAUSE),
    TransitionRow("bid", "open", "closed", ("pause_group",), CHAINS, unless=PAUSE | STAY),
    TransitionRow("bid", "open", "closed", ("close_group", "close_deployment"), unless=STAY),
    TransitionRow("bid", "open", "closed", ("close_lease", "withdraw", "settle_escrow"), CHAINS, unless=STAY),
    TransitionRow("bid", "open", "closed", (END_OF_GRACE,), (SEED,), unless=STAY),
    TransitionRow("bid", "open", "closed", (ORDER_TIMEOUT,), (SEED,)),
    # Losers that quirk losing_bids_stay left open end with the group of their order.
    TransitionRow("bid", "open", "closed", ("pause_group", "close_group", "close_deployment"), needs=LOSERS),
    TransitionRow("bid", "open", "closed", ("close_lease", "withdraw", "settle_escrow"), CHAINS, needs=LOSERS),
    TransitionRow("bid", "open", "closed", (END_OF_GRACE,), (SEED,), needs=LOSERS),
    TransitionRow("bid", "active", "closed", (*_ENDING_LEASE, END_OF_GRACE), (SEED,)),
    TransitionRow("bid", "active", "closed", _FINDING, CHAINS),
    # leases
    TransitionRow("lease", NONE, "active", ("create_lease",)),
    TransitionRow("lease", "active", "closed", _ENDING_LEASE),
    TransitionRow("lease", "active", "closed", ("withdraw", "settle_escrow"), (VIRTENGINE,)),
    TransitionRow("lease", "active", "insufficient_funds", _FINDING, (AKASH,)),
    TransitionRow("lease", "active", "reclaiming", ("start_reclaim",), (AKASH,)),
    TransitionRow("lease", "reclaiming", "closed", _ENDING_LEASE, (AKASH,)),
    TransitionRow("lease", "reclaiming", "insufficient_funds", _FINDING, (AKASH,)),
    TransitionRow("lease", "active", "insufficient_funds", _SHORTENING, (SEED,)),
    TransitionRow("lease", "insufficient_funds", "active", ("account_deposit",), (SEED,)),
    TransitionRow("lease", "insufficient_funds", "closed", (*_ENDING_LEASE, END_OF_GRACE), (SEED,)),
    # escrow accounts of deployments, of bids, and payments
    TransitionRow("account", NONE, "open", ("create_deployment",)),
    TransitionRow("account", "open", "closed", ("close_deployment",)),
    TransitionRow("account", "open", "closed", (ORDER_TIMEOUT, END_OF_GRACE), (SEED,)),
    TransitionRow("account", "open", "overdrawn", _FINDING, CHAINS),
    TransitionRow("account", "overdrawn", "closed", ("account_deposit",), CHAINS),
    TransitionRow("payment", NONE, "open", ("create_lease",)),
    TransitionRow("payment", "open", "closed", _ENDING_LEASE),
    TransitionRow("payment", "open", "overdrawn", _FINDING, CHAINS),
    TransitionRow("payment", "overdrawn", "closed", ("account_deposit",), CHAINS),
    TransitionRow("payment", "open", "overdrawn", _SHORTENING, (SEED,)),
    TransitionRow("payment", "overdrawn", "open", ("account_deposit",), (SEED,)),
    TransitionRow("payment", "overdrawn", "closed", (*_ENDING_LEASE, END_OF_GRACE), (SEED,)),
)
"""Every change of state that the protocol knows."""

Ok = Status.Ok
_DEPOSIT = (Status.InvalidDeposit, Status.InsufficientFunds)
_BID_FIRST = (Status.Conflict, Status.BidZeroPrice, Status.InvalidDeposit)
_DRAFTS = (Status.InvalidGroups, Status.Invalid)

OUTCOMES: tuple[OutcomeRow, ...] = (
    OutcomeRow("create_deployment", (NONE,), (*_DRAFTS, *_DEPOSIT, Ok)),
    OutcomeRow("create_deployment", (NONE,), (Status.InvalidReclamation,), (AKASH,)),
    OutcomeRow("create_deployment", ("active", "closed"), (*_DRAFTS, Status.DeploymentExists)),
    OutcomeRow("update_deployment", (NONE,), (Status.DeploymentNotFound,)),
    OutcomeRow("update_deployment", ("active",), (Status.InvalidHash, Ok)),
    OutcomeRow("update_deployment", ("closed",), (Status.DeploymentClosed,)),
    OutcomeRow("close_deployment", (NONE,), (Status.DeploymentNotFound,)),
    OutcomeRow("close_deployment", ("active",), (Ok,)),
    OutcomeRow("close_deployment", ("closed",), (Status.DeploymentClosed,)),
    OutcomeRow("close_group", (NONE,), (Status.GroupNotFound,)),
    OutcomeRow("close_group", ("open", "paused", "insufficient_funds"), (Ok,)),
    OutcomeRow("close_group", ("closed",), (Status.GroupClosed,)),
    OutcomeRow("pause_group", (NONE,), (Status.GroupNotFound,)),
    OutcomeRow("pause_group", ("open", "insufficient_funds"), (Ok,)),
    OutcomeRow("pause_group", ("paused",), (Status.GroupPaused,)),
    OutcomeRow("pause_group", ("closed",), (Status.GroupClosed,)),
    OutcomeRow("start_group", (NONE,), (Status.GroupNotFound,)),
    OutcomeRow("start_group", ("open",), (Status.GroupOpen,)),
    OutcomeRow("start_group", ("paused", "insufficient_funds"), (Ok,)),
    OutcomeRow("start_group", ("paused",), (Status.OrderActive,), (SEED, VIRTENGINE), needs=PAUSE),
    OutcomeRow("start_group", ("insufficient_funds",), (Status.OrderActive,), (SEED, VIRTENGINE), needs=STAY),
    OutcomeRow("start_group", ("closed",), (Status.GroupClosed,)),
    OutcomeRow("create_bid", (NONE,), (*_BID_FIRST, Status.OrderNotFound)),
    OutcomeRow(
        "create_bid",
        ("open",),
        (
            *_BID_FIRST,
            Status.InvalidBid,
            Status.BidInvalidPrice,
            Status.CapabilitiesMismatch,
            Status.EmptyProvider,
            Status.UnknownProvider,
            Status.ProviderBlocked,
            Status.AttributeMismatch,
            Status.InsufficientFunds,
            Status.BidExists,
            Ok,
        ),
    ),
    OutcomeRow("create_bid", ("open",), (Status.BidOverOrder,), (SEED, VIRTENGINE)),
    OutcomeRow(
        "create_bid",
        ("open",),
        (Status.ReclamationRequired, Status.ReclamationWindowTooShort, Status.ReclamationWindowInvalid),
        (AKASH,),
    ),
    OutcomeRow("create_bid", ("active",), (*_BID_FIRST, Status.InvalidBid, Status.OrderActive)),
    OutcomeRow("create_bid", ("matched",), (*_BID_FIRST, Status.InvalidBid, Status.OrderActive), (SEED,)),
    OutcomeRow("create_bid", ("closed",), (*_BID_FIRST, Status.InvalidBid, Status.OrderClosed)),
    OutcomeRow("close_bid", (NONE, "open", "active", "lost", "closed"), (Status.InvalidLeaseClosedReason,)),
    OutcomeRow("close_bid", (NONE,), (Status.UnknownBid,)),
    OutcomeRow("close_bid", ("open", "active"), (Ok,)),
    OutcomeRow("close_bid", ("lost", "closed"), (Status.UnknownLeaseForBid,)),
    OutcomeRow("close_bid", ("closed",), (Status.LeaseNotActive,)),
    OutcomeRow("close_bid", ("active",), (Status.ReclamationNotStarted, Status.ReclamationWindowNotElapsed), (AKASH,)),
    OutcomeRow("create_lease", (NONE,), (Status.BidNotFound,)),
    OutcomeRow("create_lease", ("active", "lost", "closed"), (Status.BidNotOpen,)),
    OutcomeRow("create_lease", ("open",), (Status.AccountClosed, Status.AccountOverdrawn, Status.AmountTooLarge, Ok)),
    OutcomeRow("create_lease", ("open",), (Status.OrderNotOpen,), needs=LOSERS),
    OutcomeRow("create_lease", ("open",), (Status.GroupNotOpen,), (SEED, VIRTENGINE), needs=STAY | PAUSE),
    OutcomeRow("close_lease", (NONE,), (Status.OrderNotFound,)),
    OutcomeRow("close_lease", ("open", "closed"), (Status.OrderClosed,)),
    OutcomeRow("close_lease", ("active",), (Status.BidNotFound, Status.BidNotActive, Ok)),
    OutcomeRow("close_lease", ("matched",), (Status.BidNotFound, Status.BidNotActive, Ok), (SEED,)),
    OutcomeRow("withdraw", (NONE,), (Status.UnknownLease,)),
    OutcomeRow("withdraw", ("active",), (Ok,)),
    OutcomeRow("withdraw", ("reclaiming",), (Ok,), (AKASH,)),
    OutcomeRow("withdraw", ("closed",), (Status.PaymentClosed,)),
    OutcomeRow("withdraw", ("insufficient_funds",), (Status.PaymentClosed,), (SEED, AKASH)),
    # E1 to E3: a payment that was not selected stays open, also on an account that has closed.
    OutcomeRow("withdraw", ("active",), (Status.Panic,), CHAINS, needs=SAME_HEIGHT),
    OutcomeRow("withdraw", ("reclaiming",), (Status.Panic,), (AKASH,), needs=SAME_HEIGHT),
    OutcomeRow("withdraw", ("closed",), (Status.Panic, Status.AccountClosed, Ok), CHAINS, needs=SAME_HEIGHT),
    OutcomeRow(
        "start_reclaim",
        (NONE, "active", "reclaiming", "insufficient_funds", "closed"),
        (Status.InvalidLeaseClosedReason,),
        (AKASH,),
    ),
    OutcomeRow("start_reclaim", (NONE,), (Status.UnknownLease,), (AKASH,)),
    OutcomeRow("start_reclaim", ("active",), (Status.LeaseNotReclamable, Ok), (AKASH,)),
    OutcomeRow("start_reclaim", ("reclaiming", "insufficient_funds", "closed"), (Status.LeaseNotActive,), (AKASH,)),
    OutcomeRow("account_deposit", (NONE,), (*_DEPOSIT, Status.AccountNotFound)),
    OutcomeRow("account_deposit", ("open",), (*_DEPOSIT, Ok)),
    OutcomeRow("account_deposit", ("overdrawn",), (*_DEPOSIT, Ok), CHAINS),
    OutcomeRow("account_deposit", ("closed",), (*_DEPOSIT, Status.AccountClosed)),
    OutcomeRow("grant", ("-",), (Status.InvalidDeposit, Status.InvalidAuthzScope, Ok)),
    OutcomeRow("sign_attributes", ("-",), (Ok,)),
    OutcomeRow("create_provider", (NONE,), (Ok,)),
    OutcomeRow("create_provider", ("registered",), (Status.ProviderExists,)),
    OutcomeRow("update_provider", (NONE,), (Status.ProviderNotFound,)),
    OutcomeRow("update_provider", ("registered",), (Ok,)),
    OutcomeRow("delete_provider", (NONE,), (Status.ProviderNotFound,)),
    OutcomeRow("delete_provider", ("registered",), (Status.ProviderHasActiveLeases, Ok), (SEED, VIRTENGINE)),
    OutcomeRow("delete_provider", ("registered",), (Status.NotImplemented,), (AKASH,)),
    OutcomeRow("block_provider", (NONE,), (Status.Unauthorized, Status.ProviderNotFound)),
    OutcomeRow("block_provider", ("registered",), (Status.Unauthorized, Ok)),
    OutcomeRow("unblock_provider", (NONE,), (Status.Unauthorized, Status.ProviderNotFound)),
    OutcomeRow("unblock_provider", ("registered",), (Status.Unauthorized, Ok)),
    OutcomeRow("set_params", ("-",), (Status.Unauthorized, Status.InvalidParam, Ok)),
    OutcomeRow("settle_escrow", (NONE,), (Status.Unauthorized, Status.AccountNotFound)),
    OutcomeRow("settle_escrow", ("open",), (Status.Unauthorized, Ok)),
    OutcomeRow("settle_escrow", ("overdrawn",), (Status.Unauthorized, Ok), CHAINS),
    OutcomeRow("settle_escrow", ("closed",), (Status.Unauthorized, Status.AccountClosed)),
    OutcomeRow("submit_usage", (NONE,), (Status.UnknownLease,), (SEED,)),
    OutcomeRow(
        "submit_usage",
        ("active",),
        (
            Status.Unauthorized,
            Status.UsageInvalid,
            Status.UsageOverlap,
            Status.UsageTooLate,
            Status.AmountTooLarge,
            Ok,
        ),
        (SEED,),
    ),
    OutcomeRow(
        "submit_usage",
        ("insufficient_funds", "closed"),
        (Status.Unauthorized, Status.UsageInvalid, Status.LeaseNotActive),
        (SEED,),
    ),
    OutcomeRow("activate_lease", (NONE,), (Status.UnknownLease,), (SEED,)),
    OutcomeRow("activate_lease", ("matched",), (Ok,), (SEED,)),
    OutcomeRow("activate_lease", ("active",), (Status.OrderActive,), (SEED,)),
    OutcomeRow("activate_lease", ("closed",), (Status.OrderClosed,), (SEED,)),
)
"""Every answer that the protocol knows, by message and state of what it addresses."""

RULES_OF_MESSAGE: Mapping[str, tuple[Rules, ...]] = {
    "start_reclaim": (AKASH,),
    "submit_usage": (SEED,),
    "activate_lease": (SEED,),
}
"""Messages that not every rule set has."""

ADDRESSED: Mapping[str, str] = {
    "create_deployment": "deployment",
    "update_deployment": "deployment",
    "close_deployment": "deployment",
    "close_group": "group",
    "pause_group": "group",
    "start_group": "group",
    "create_bid": "order",
    "close_bid": "bid",
    "create_lease": "bid",
    "close_lease": "order",
    "withdraw": "lease",
    "start_reclaim": "lease",
    "account_deposit": "account",
    "settle_escrow": "account",
    "submit_usage": "lease",
    "activate_lease": "order",
    "create_provider": "provider",
    "update_provider": "provider",
    "delete_provider": "provider",
    "block_provider": "provider",
    "unblock_provider": "provider",
}
"""Which kind of object a message addresses, where it addresses one."""


def transitions(rules: Rules, quirks: int = 0) -> frozenset[Transition]:
    """Return the changes of state that a rule set has with these quirks (bits of Quirk)."""
    return frozenset(
        Transition(row.object, row.before, row.after, cause)
        for row in TRANSITIONS
        if rules in row.rules and _holds(row.needs, row.unless, quirks)
        for cause in row.causes
    )


def outcomes(rules: Rules, quirks: int = 0) -> frozenset[TableAnswer]:
    """Return the answers that a rule set has with these quirks (bits of Quirk)."""
    return frozenset(
        TableAnswer(row.message, state, status)
        for row in OUTCOMES
        if rules in row.rules and _holds(row.needs, 0, quirks)
        for state in row.states
        for status in row.statuses
    )


def _holds(needs: int, unless: int, quirks: int) -> bool:
    return (needs == 0 or bool(quirks & needs)) and (unless == 0 or quirks & unless != unless)


def statuses(message: str, rules: Iterable[Rules] = ALL) -> frozenset[Status]:
    """Return every answer that a message can get under some of these rule sets with some quirks."""
    wanted = set(rules)
    return frozenset(status for row in OUTCOMES if row.message == message and wanted & set(row.rules) for status in row.statuses)


_TABLES: Mapping[str, tuple[str, int, Mapping[int, str]]] = {
    "deployment": ("deployments", Deployment.state, DEPLOYMENT_STATES),
    "group": ("groups", Group.state, GROUP_STATES),
    "order": ("orders", Order.state, ORDER_STATES),
    "bid": ("bids", Bid.state, BID_STATES),
    "lease": ("leases", Lease.state, LEASE_STATES),
}


def addressed_state(chain: Chain, message: Message) -> str:
    """Return the state of the object that a message addresses, before it is executed; `-` where it
    addresses none."""
    operation = message["op"]
    kind = ADDRESSED.get(operation)
    if kind is None:
        return "-"
    if kind == "provider":
        return "registered" if chain.row_of("provider", message["provider"]) >= 0 else NONE
    name: str = message["id"]
    if kind == "account":
        return _account_state(chain, name)
    if kind == "order":
        name = name.rpartition("/")[0]
        # An order is activated by the name of its lease.
        if operation == "activate_lease" and chain.row_of("lease", message["id"]) < 0:
            return NONE
    row = chain.row_of(kind, name)
    if row < 0:
        return NONE
    table, column, words = _TABLES[kind]
    return words[int(getattr(chain.state, table)[row, column])]


def _account_state(chain: Chain, name: str) -> str:
    of_bid = name.count("/") != 1
    row = chain.row_of("bid" if of_bid else "deployment", name)
    if row < 0:
        return NONE
    account = int(chain.state.bids[row].account if of_bid else chain.state.deployments[row].account)
    if account < 0:
        return "open" if chain.state.bids[row].state in {BidState.OPEN, BidState.ACTIVE} else "closed"
    return ACCOUNT_STATES[int(chain.state.accounts[account].state)]
