"""How a message was answered: one name a refusal, as the chain spells it, and the training document's code for it."""

from __future__ import annotations

from marketsim.kernel.codes import Code


class Status(Code):
    """The answer to a message. `Ok` is 0; every other name is a refusal that changed nothing (protocol reference 1.10)."""

    Ok = 0
    # market
    EmptyProvider = 1
    SameAccount = 2
    Internal = 3
    BidOverOrder = 4
    AttributeMismatch = 5
    UnknownBid = 6
    UnknownLease = 7
    UnknownLeaseForBid = 8
    UnknownOrderForBid = 9
    LeaseNotActive = 10
    BidNotActive = 11
    BidNotOpen = 12
    OrderNotOpen = 13
    NoLeaseForOrder = 14
    OrderNotFound = 15
    GroupNotFound = 16
    GroupNotOpen = 17
    BidNotFound = 18
    BidZeroPrice = 19
    LeaseNotFound = 20
    BidExists = 21
    BidInvalidPrice = 22
    OrderActive = 23
    OrderClosed = 24
    OrderExists = 25
    OrderDurationExceeded = 26
    OrderTooEarly = 27
    InvalidDeposit = 28
    InvalidParam = 29
    UnknownProvider = 30
    InvalidBid = 31
    CapabilitiesMismatch = 32
    InvalidLeaseClosedReason = 33
    InvalidEscrowID = 34
    LeaseNotReclamable = 35
    LeaseAlreadyReclaiming = 36
    ReclamationNotStarted = 37
    ReclamationWindowNotElapsed = 38
    ReclamationWindowInvalid = 39
    ReclamationRequired = 40
    ReclamationWindowTooShort = 41
    # escrow
    AccountExists = 51
    AccountClosed = 52
    AccountNotFound = 53
    AccountOverdrawn = 54
    InvalidDenomination = 55
    PaymentExists = 56
    PaymentClosed = 57
    PaymentNotFound = 58
    PaymentRateZero = 59
    InvalidPayment = 60
    InvalidSettlement = 61
    InvalidID = 62
    InvalidAccount = 63
    InvalidAccountDepositor = 64
    UnauthorizedDepositScope = 65
    InvalidAuthzScope = 66
    # deployment
    DeploymentExists = 71
    DeploymentNotFound = 72
    DeploymentClosed = 73
    InvalidHash = 74
    InvalidGroups = 75
    InvalidPrice = 76
    GroupClosed = 77
    GroupOpen = 78
    GroupPaused = 79
    InvalidReclamation = 80
    # others
    Conflict = 91
    InsufficientFunds = 92
    ProviderExists = 93
    ProviderNotFound = 94
    ProviderHasActiveLeases = 95
    NotImplemented = 96
    Invalid = 97
    Panic = 98
    # messages that upstream lacks (rules.md 3) and limits of this simulator
    ProviderBlocked = 101
    Unauthorized = 102
    UsageInvalid = 103
    UsageOverlap = 104
    UsageTooLate = 105
    AmountTooLarge = 106


SEED_CODES: dict[Status, str] = {
    Status.BidOverOrder: "price_too_high",
    Status.BidInvalidPrice: "price_too_high",
    Status.AttributeMismatch: "invalid_attributes",
    Status.CapabilitiesMismatch: "invalid_attributes",
    Status.UnknownProvider: "provider_blocked",
    Status.ProviderBlocked: "provider_blocked",
    Status.OrderNotOpen: "order_not_open",
    Status.OrderClosed: "order_not_open",
    Status.OrderActive: "order_not_open",
    Status.OrderNotFound: "order_not_open",
    Status.InvalidBid: "too_many_bids",
    Status.BidExists: "duplicate_bid",
    Status.InvalidDeposit: "insufficient_deposit",
    Status.InsufficientFunds: "insufficient_deposit",
}
"""The training document's rejection code for a chain refusal, where it has one (protocol reference 1.10)."""
