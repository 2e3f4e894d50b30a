"""What the real command line says when the chain refuses: one table of texts, which of them were recorded, and how they are wrapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from marketsim.chain.status import Status

RECORDED, SOURCE, OWN = "recorded", "source", "own"
"""Where a text is from: recorded on a chain; read in its sources and never recorded; this simulator's own, for what no chain refuses."""


class Text(NamedTuple):
    """What a refusal is called: the module that registers it, its number there, the text, and where that is from."""

    module: str
    code: int
    text: str
    origin: str = SOURCE


TEXTS: Mapping[Status, Text] = {
    Status.EmptyProvider: Text("market", 1, "empty provider"),
    Status.SameAccount: Text("market", 2, "owner and provider are the same account"),
    Status.Internal: Text("market", 3, "internal error"),
    Status.BidOverOrder: Text("market", 4, "bid price above max order price", RECORDED),
    Status.AttributeMismatch: Text("market", 5, "attribute mismatch"),
    Status.UnknownBid: Text("market", 6, "unknown bid"),
    Status.UnknownLease: Text("market", 7, "unknown lease"),
    Status.UnknownLeaseForBid: Text("market", 8, "unknown lease for bid"),
    Status.UnknownOrderForBid: Text("market", 9, "unknown order for bid"),
    Status.LeaseNotActive: Text("market", 10, "lease not active", RECORDED),
    Status.BidNotActive: Text("market", 11, "bid not active"),
    Status.BidNotOpen: Text("market", 12, "bid not open"),
    Status.OrderNotOpen: Text("market", 13, "bid: order not open"),
    Status.NoLeaseForOrder: Text("market", 14, "no lease for order"),
    Status.OrderNotFound: Text("market", 15, "invalid order: order not found"),
    Status.GroupNotFound: Text("market", 16, "group not found"),
    Status.GroupNotOpen: Text("market", 17, "group not open"),
    Status.BidNotFound: Text("market", 18, "invalid bid: bid not found"),
    Status.BidZeroPrice: Text("market", 19, "invalid bid: zero price"),
    Status.LeaseNotFound: Text("market", 20, "invalid lease: lease not found"),
    Status.BidExists: Text("market", 21, "invalid bid: bid exists from provider"),
    Status.BidInvalidPrice: Text("market", 22, "bid price is invalid"),
    Status.OrderActive: Text("market", 23, "order active"),
    Status.OrderClosed: Text("market", 24, "order closed"),
    Status.OrderExists: Text("market", 25, "order already exists in store"),
    Status.OrderDurationExceeded: Text("market", 26, "order duration has exceeded the bidding duration"),
    Status.OrderTooEarly: Text("market", 27, "order: chain height to low for bidding"),
    Status.InvalidDeposit: Text("market", 28, "deposit invalid"),
    Status.InvalidParam: Text("market", 29, "parameter invalid"),
    Status.UnknownProvider: Text("market", 30, "unknown provider"),
    Status.InvalidBid: Text("market", 31, "invalid bid"),
    Status.CapabilitiesMismatch: Text("market", 32, "capabilities mismatch"),
    Status.InvalidLeaseClosedReason: Text("market", 33, "invalid lease closed reason"),
    Status.InvalidEscrowID: Text("market", 34, "invalid escrow id"),
    Status.LeaseNotReclamable: Text("market", 35, "lease not reclaimable", OWN),
    Status.LeaseAlreadyReclaiming: Text("market", 36, "lease already reclaiming", OWN),
    Status.ReclamationNotStarted: Text("market", 37, "reclamation not started", OWN),
    Status.ReclamationWindowNotElapsed: Text("market", 38, "reclamation window not elapsed", OWN),
    Status.ReclamationWindowInvalid: Text("market", 39, "reclamation window invalid", OWN),
    Status.ReclamationRequired: Text("market", 40, "reclamation required", OWN),
    Status.ReclamationWindowTooShort: Text("market", 41, "reclamation window too short", OWN),
    Status.AccountExists: Text("escrow", 1, "account exists"),
    Status.AccountClosed: Text("escrow", 2, "account closed"),
    Status.AccountNotFound: Text("escrow", 3, "account not found"),
    Status.AccountOverdrawn: Text("escrow", 4, "account overdrawn"),
    Status.InvalidDenomination: Text("escrow", 5, "invalid denomination"),
    Status.PaymentExists: Text("escrow", 6, "payment exists"),
    Status.PaymentClosed: Text("escrow", 7, "payment closed"),
    Status.PaymentNotFound: Text("escrow", 8, "payment not found"),
    Status.PaymentRateZero: Text("escrow", 9, "payment rate zero"),
    Status.InvalidPayment: Text("escrow", 10, "invalid payment"),
    Status.InvalidSettlement: Text("escrow", 11, "invalid settlement"),
    Status.InvalidID: Text("escrow", 12, "invalid ID"),
    Status.InvalidAccount: Text("escrow", 13, "invalid account"),
    Status.InvalidAccountDepositor: Text("escrow", 14, "invalid account depositor"),
    Status.UnauthorizedDepositScope: Text("escrow", 15, "unauthorized deposit scope"),
    Status.InvalidAuthzScope: Text("escrow", 17, "invalid authz scope"),
    Status.DeploymentExists: Text("deployment", 3, "Deployment exists"),
    Status.DeploymentNotFound: Text("deployment", 4, "Deployment not found"),
    Status.DeploymentClosed: Text("deployment", 5, "Deployment closed", RECORDED),
    Status.InvalidGroups: Text("deployment", 7, "Invalid groups"),
    Status.InvalidHash: Text("deployment", 10, "Invalid: deployment hash"),
    Status.GroupClosed: Text("deployment", 15, "Group already closed"),
    Status.GroupOpen: Text("deployment", 16, "Group open"),
    Status.GroupPaused: Text("deployment", 17, "Group paused"),
    Status.InvalidPrice: Text("deployment", 19, "GroupSpec invalid"),
    Status.InvalidReclamation: Text("deployment", 24, "reclamation invalid", OWN),
    Status.Conflict: Text("sdk", 36, "conflict"),
    Status.InsufficientFunds: Text("sdk", 5, "insufficient funds"),
    Status.ProviderExists: Text("provider", 4, "invalid provider: already exists"),
    Status.ProviderNotFound: Text("provider", 3, "invalid provider: address not found"),
    Status.ProviderHasActiveLeases: Text("provider", 24, "provider has active leases"),
    Status.NotImplemented: Text("provider", 9, "not implemented", OWN),
    Status.Invalid: Text("sdk", 18, "invalid request"),
    Status.Panic: Text("sdk", 111222, "panic"),
    Status.ProviderBlocked: Text("marketsim", 101, "provider is blocked by governance", OWN),
    Status.Unauthorized: Text("sdk", 4, "unauthorized"),
    Status.UsageInvalid: Text("marketsim", 103, "usage record invalid", OWN),
    Status.UsageOverlap: Text("marketsim", 104, "usage record overlaps with an earlier one", OWN),
    Status.UsageTooLate: Text("marketsim", 105, "usage record is too late", OWN),
    Status.AmountTooLarge: Text("marketsim", 106, "amount too large", OWN),
}
"""Every refusal. Source: virtengine/virtengine sdk/go/node/market/v1/errors.go, deployment/v1/errors.go, escrow/module/error.go."""

_OF_MESSAGE: Mapping[tuple[str, Status], Text] = {
    ("create_deployment", Status.InvalidDeposit): Text("deployment", 20, "Deposit invalid"),
    ("account_deposit", Status.InvalidDeposit): Text("escrow", 16, "invalid deposit"),
    ("close_group", Status.GroupNotFound): Text("deployment", 14, "Group not found"),
    ("pause_group", Status.GroupNotFound): Text("deployment", 14, "Group not found"),
    ("start_group", Status.GroupNotFound): Text("deployment", 14, "Group not found"),
}
"""Refusals of one name that modules word in their own ways."""


def text_of(op: str, status: Status) -> Text:
    """Return what a refusal of a message is called."""
    return _OF_MESSAGE.get((op, status)) or TEXTS[status]


def refusal(text: str, gas: int) -> str:
    """Return what stands behind `Error: ` where a transaction is tried and fails; recorded three times."""
    what = f"failed to execute message; message index: 0: {text} with gas used: '{gas}'"
    return _wrapped("Unknown", _wrapped("Unknown", what)) + ": unknown request"


def not_found(text: str) -> str:
    """Return what stands behind `Error: ` where a query finds nothing (never recorded)."""
    return _wrapped("NotFound", text) + ": key not found"


def invalid_query(text: str) -> str:
    """Return what stands behind `Error: ` where a query's request is refused (never recorded)."""
    return _wrapped("InvalidArgument", _wrapped("InvalidArgument", text)) + ": invalid request"


def _wrapped(code: str, text: str) -> str:
    return f"rpc error: code = {code} desc = {text}"


__all__ = ["OWN", "RECORDED", "SOURCE", "TEXTS", "Text", "invalid_query", "not_found", "refusal", "text_of"]
