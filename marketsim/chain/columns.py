"""Which column of which table holds what: one table is one int64 array of shape (rows, columns), one row an object.

Ids as people see them (`owner/dseq/gseq/oseq/provider`) are made at the edge; inside, an object is its row number and -1 means none.
Money is a pair of columns, whole uve and atto (10^-18 uve) with 0 <= atto < 10^18; a negative amount has a negative whole part.
Coins (wallets, pay-outs, fees) are whole uve in one column. Heights are block numbers.
"""

from __future__ import annotations

from enum import IntEnum


class G(IntEnum):
    """Globals (1-D): rule set, parameters, table fills and ledger totals."""

    RULES = 0  # Rules
    ESCROW = 1  # EscrowRule
    CHARGING = 2  # Charging
    QUIRKS = 3  # bit mask of Quirk
    TAKE_PPM = 4  # take fee, parts per million of a pay-out
    ORDER_MAX_BIDS = 5
    BID_MIN_DEPOSIT = 6  # whole uve
    DEPLOYMENT_MIN_DEPOSIT = 7  # whole uve
    SETTLE_EVERY = 8  # blocks (seed)
    GRACE = 9  # blocks (seed)
    ORDER_TIMEOUT = 10  # blocks; 0 = none
    USAGE_GRACE = 11  # blocks
    BLOCK_MS = 12  # milliseconds a block
    WINDOW_MIN_SECONDS = 13  # akash reclamation bounds
    WINDOW_MAX_SECONDS = 14
    NETWORK_FEES = 15  # 1 = charge gas
    GAS_PRICE_ATTO = 16  # atto-uve a gas unit x 1.5 (gas price x adjustment)
    KEEP_BIDS = 17  # 1 = keep the rows of ended bids (messages by hand may name them)
    HEIGHT = 18  # height of the block being executed
    USAGE_EVERY = 19  # blocks between two usage records of a lease (usage escrow)
    SETTLEMENT_WALLET = 20  # row of the settlement module's wallet (usage escrow); 0 = none
    BLOCKINGS = 21  # times that a provider was blocked or unblocked
    DAY_BLOCKS = 22  # blocks a column of `income`; 0 = nobody keeps it
    INCOME_FROM = 23  # height after which the last two columns of `income` count
    # table fills: the next free row
    WALLETS = 30
    PROVIDERS = 31
    DEPLOYMENTS = 32
    GROUPS = 33
    RESOURCES = 34
    DRAFTS = 35
    ORDERS = 36
    BIDS = 37
    LEASES = 38
    USAGE = 39
    ACCOUNTS = 40
    DEPOSITS = 41
    GRANTS = 42
    EVENTS = 43
    SPECS = 44
    FREE_BID = 45  # first of the free bid rows (linked by Bid.NEXT), -1
    FREE_ACCOUNT = 46  # first of the free account rows (linked by Account.NEXT), -1
    FREE_DEPOSIT = 47  # first of the free deposit rows (linked by Deposit.NEXT), -1
    BIDS_LIVE = 48  # entries in the bid index
    # ledger totals over all escrow (whole uve; pairs where fractions occur)
    DEPOSITED = 60  # wallet -> escrow
    PAID = 61  # escrow -> providers, net of take
    FEES = 62  # escrow -> community pool (take)
    REFUNDED = 63  # escrow -> depositors
    HELD = 64  # deposits and unpaid payment balances still in escrow (pair)
    HELD_ATTO = 65
    DUST = 66  # fractions left at closing (pair); never paid out
    DUST_ATTO = 67
    STRANDED = 68  # coins that a defect lost inside the module (pair)
    STRANDED_ATTO = 69
    SHORTFALL = 70  # owed and forgiven (pair)
    SHORTFALL_ATTO = 71
    DEBT = 72  # recorded debt, sequential rule (pair)
    DEBT_ATTO = 73
    SUPPLY = 74  # all coins ever created at the edge
    NETWORK_FEES_PAID = 75  # wallets -> fee collector
    PLATFORM_FEES = 76  # usage escrow -> settlement module; FEES holds this and the next
    VALIDATOR_FEES = 77
    # record
    EVENT_MASK = 80  # bit mask of event kinds that are stored (all are fingerprinted)
    FINGERPRINT_A = 81
    FINGERPRINT_B = 82
    EVENTS_TOTAL = 83
    SEED = 84  # of stateless hashes
    BITS = 90  # next unused row of bid_bits
    FREE_BITS = 91  # first free row of bid_bits + 1, 0 = none
    AUDITING = 85  # 1 = keep the list of accounts touched since the last audit
    TOUCHED = 86  # first touched account, row + 1; 0 = none
    AUDITS = 87  # blocks audited
    RECOUNT_AT = 88  # audited blocks at which the next full recount is due
    SIZE = 96


class Rules(IntEnum):
    """Rule sets."""

    SEED = 0
    VIRTENGINE = 1
    AKASH = 2


class EscrowRule(IntEnum):
    """How an account shares out what it holds."""

    EXACT = 0  # rule set seed: fractions carried, eager shortfall
    SEQUENTIAL = 1  # truncated at each settle, served in key order, debt recorded
    PROPORTIONAL = 2  # Akash 2021-2025
    USAGE = 3  # a usage escrow an order (charging ve_settlement); accounts hold deposits and pay nothing by block


class Charging(IntEnum):
    """What a lease owes."""

    RATE = 0
    USAGE_CAPPED = 1
    USAGE = 2
    VE_SETTLEMENT = 3


class Quirk(IntEnum):
    """Bits of G.QUIRKS: upstream defects, off by default."""

    SETTLE_SAME_HEIGHT = 1
    PAYMENT_CREATE_LOSES = 2
    LOSING_BIDS_STAY = 4
    OPEN_ORDERS_STAY = 8
    PAUSE_OPEN_ORDER = 16
    MAX_BIDS_OFF_BY_ONE = 32


class Wallet(IntEnum):
    """Participants and module wallets."""

    BALANCE = 0  # whole uve
    RANK = 1  # position of the name among all names in string order
    PROVIDER = 2  # row in providers while registered, else -1
    FEES = 3  # network fees paid, whole uve
    SIZE = 4


ESCROW_WALLET = 0
"""Row of the escrow module's wallet."""
COMMUNITY_WALLET = 1
"""Row of the community pool: take fees."""
COLLECTOR_WALLET = 2
"""Row of the fee collector: network fees."""


class Provider(IntEnum):
    """Registered providers as the chain sees them (capacity is the engine's business, not the chain's)."""

    WALLET = 0
    REGISTERED = 1
    BLOCKED = 2
    ACTIVE_LEASES = 3
    SIZE = 4


class Deployment(IntEnum):
    """One tenant's deployment."""

    OWNER = 0  # wallet
    DSEQ = 1
    STATE = 2
    CREATED_AT = 3
    CLOSED_AT = 4
    ACCOUNT = 5
    FIRST_GROUP = 6  # its groups are consecutive rows
    GROUPS = 7
    HASH = 8  # interned id of the manifest hash
    WINDOW = 9  # akash: notice asked for, seconds; 0 = none
    SIZE = 12


class Group(IntEnum):
    """One group of a deployment: what an order asks for."""

    DEPLOYMENT = 0
    GSEQ = 1
    STATE = 2
    CREATED_AT = 3
    PRICE = 4  # ceiling per block
    PRICE_ATTO = 5
    SPEC = 6  # interned requirements (attributes, auditors, capabilities)
    FIRST_RESOURCE = 7
    RESOURCES = 8
    CPU = 9  # millicores, all units x counts
    MEMORY = 10  # bytes
    STORAGE = 11  # bytes
    GPU = 12  # units
    ORDERS = 13  # orders ever made
    CLOSED_ORDERS = 14
    LAST_ORDER = 15  # newest order, linked by Order.PREVIOUS
    SIZE = 16


class Resource(IntEnum):
    """One resource unit of a group; its id is its 1-based position."""

    PRICE = 0  # per unit and block
    PRICE_ATTO = 1
    COUNT = 2
    CPU = 3  # millicores a unit
    MEMORY = 4  # bytes a unit
    STORAGE = 5  # bytes a unit, all volumes
    GPU = 6
    GPU_ATTRIBUTES = 7  # 1 when it lists GPU attributes
    SMALLEST_VOLUME = 8  # bytes
    LARGEST_VOLUME = 9  # bytes
    SIZE = 10


class Draft(IntEnum):
    """A group as a CreateDeployment message brings it."""

    NAME = 0  # interned id; -1 = no name
    SPEC = 1
    FIRST_RESOURCE = 2
    RESOURCES = 3
    SIZE = 4


class Offer(IntEnum):
    """An entry of a bid's resource offer; it stands in a row of `drafts` while its message runs."""

    RESOURCE = 0  # 1-based position of a resource unit in the group
    COUNT = 1


class Order(IntEnum):
    """One order of a group."""

    GROUP = 0
    OSEQ = 1
    STATE = 2
    CREATED_AT = 3
    CLOSED_AT = 4
    PRICE = 5  # ceiling per block
    PRICE_ATTO = 6
    PREVIOUS = 7  # older order of the group
    FIRST_BID = 8  # linked by Bid.NEXT, oldest first
    LAST_BID = 9
    BIDS_OPEN = 10
    BIDS_ACTIVE = 11
    BIDS_CLOSED = 12
    BIDS_LOST = 13
    LEASE = 14
    REASON = 15  # OrderEnd
    DEPLOYMENT = 16
    BITS = 17  # row of bid_bits + 1 while it is open and ended bids are not kept; 0 = none
    SIZE = 20


class Bid(IntEnum):
    """One provider's bid on one order."""

    ORDER = 0
    PROVIDER = 1  # wallet
    STATE = 2
    CREATED_AT = 3
    CLOSED_AT = 4
    PRICE = 5
    PRICE_ATTO = 6
    ACCOUNT = 7  # its deposit's escrow account
    LEASE = 8
    NEXT = 9
    WINDOW = 10  # akash: notice offered, seconds; 0 = none
    SLOT = 11  # row in providers
    SIZE = 12


class Lease(IntEnum):
    """One lease and its escrow payment (key `gseq/oseq/provider` inside the deployment's account)."""

    BID = 0
    ORDER = 1
    PROVIDER = 2  # wallet
    STATE = 3  # LeaseState
    CREATED_AT = 4
    ACTIVE_AT = 5  # workload running since; -1 = not yet (seed's matched)
    CLOSED_AT = 6
    REASON = 7
    WINDOW = 8  # akash: notice, seconds; 0 = none
    DEADLINE = 9  # akash: reclaiming until, seconds of block time
    ACCOUNT = 10
    NEXT = 11  # next payment of the account in key order
    GSEQ = 12
    OSEQ = 13
    PAYMENT = 14  # PaymentState
    RATE = 15
    RATE_ATTO = 16
    BALANCE = 17  # earned, not yet paid
    BALANCE_ATTO = 18
    UNSETTLED = 19  # debt owed to it (sequential)
    UNSETTLED_ATTO = 20
    WITHDRAWN = 21  # gross, whole uve
    FEES = 22  # take paid so far, whole uve
    BLOCKS = 23  # accrued blocks (exact rule)
    CHARGED = 24  # cumulative amount moved or forgiven (exact rule)
    CHARGED_ATTO = 25
    USAGE = 26  # row in usage, -1 = not metered
    SHORTFALL = 27  # forgiven
    SHORTFALL_ATTO = 28
    SLOT = 29  # row in providers
    SIZE = 30


class Usage(IntEnum):
    """Metering of one lease: what is reserved, what a unit costs, what was used since it began."""

    LEASE = 0
    RESERVED_CPU = 1  # millicores
    RESERVED_MEMORY = 2  # bytes
    RESERVED_STORAGE = 3  # bytes
    RESERVED_GPU = 4
    UNIT_CPU = 5  # price of a unit (pair), only the ratios matter
    UNIT_CPU_ATTO = 6
    UNIT_MEMORY = 7
    UNIT_MEMORY_ATTO = 8
    UNIT_STORAGE = 9
    UNIT_STORAGE_ATTO = 10
    UNIT_GPU = 11
    UNIT_GPU_ATTO = 12
    USED_CPU = 13  # cpu milliseconds: high part (x 10^18) and low part
    USED_CPU_LOW = 14
    USED_MEMORY = 15  # byte-seconds
    USED_MEMORY_LOW = 16
    USED_STORAGE = 17
    USED_STORAGE_LOW = 18
    USED_GPU = 19  # gpu seconds
    USED_GPU_LOW = 20
    UNTIL = 21  # height up to which use is recorded
    UTILIZATION_PPM = 22  # built-in meter: share of the reservation that runs; -1 = reported by messages
    METERED = 23  # built-in meter: blocks metered so far
    SIZE = 24


class UsageEscrow(IntEnum):
    """The usage escrow of one order (protocol reference 5.4), in the row of its lease's metering; coins are whole uve, times seconds."""

    STATE = 0  # UsageEscrowState
    CUSTOMER = 1  # wallet
    RECIPIENT = 2  # wallet of the provider; -1 = none yet
    BALANCE = 3  # set aside from the account's funds, not yet paid or given back
    EXPIRES_AT = 4
    SETTLED_AT = 5
    SETTLEMENTS = 6  # records written
    UNSETTLED = 7  # cost of the usage records that no settlement has taken
    PRICED = 8  # priced use up to the last record (pair)
    PRICED_ATTO = 9
    REPORTED_AT = 10  # height of the last report
    SIZE = 12


class UsageEscrowState(IntEnum):
    """Where a usage escrow stands; the last three are final."""

    NONE = 0
    PENDING = 1
    ACTIVE = 2
    DISPUTED = 3
    RELEASED = 4
    REFUNDED = 5
    EXPIRED = 6


class Account(IntEnum):
    """One escrow account: of a deployment, or of a bid's deposit."""

    OWNER = 0  # wallet
    SCOPE = 1  # Scope
    TARGET = 2  # deployment row or bid row
    STATE = 3
    CREATED_AT = 4
    SETTLED_AT = 5
    FUNDS = 6  # sum of deposits; negative = debt (sequential)
    FUNDS_ATTO = 7
    TRANSFERRED = 8  # cumulative outflow to payments
    TRANSFERRED_ATTO = 9
    FIRST_DEPOSIT = 10
    LAST_DEPOSIT = 11
    FIRST_LEASE = 12  # payments in key order, linked by Lease.NEXT
    RATES = 13  # sum of the prices of open payments
    RATES_ATTO = 14
    OPEN = 15  # number of open payments
    SHORT = 16  # number of insufficient_funds payments (exact rule)
    DUE_AT = 17  # exact rule: first block that it may be unable to pay; -1 = none
    GRACE_AT = 18  # exact rule: end of grace; -1 = none
    SHORTFALL = 19
    SHORTFALL_ATTO = 20
    DUST = 21
    DUST_ATTO = 22
    NEXT = 23  # free list
    TOUCHED = 24  # audit: next touched account, row + 1; -1 = last of the list; 0 = not in it
    SIZE = 25


class Deposit(IntEnum):
    """One deposit record of an account, first in first out."""

    DEPOSITOR = 0  # wallet
    SOURCE = 1  # Source
    AMOUNT = 2  # what is left of it (pair)
    AMOUNT_ATTO = 3
    NEXT = 4
    HEIGHT = 5
    SIZE = 6


class Grant(IntEnum):
    """A deposit authorization: the granter lets the grantee spend from its wallet."""

    GRANTER = 0
    GRANTEE = 1
    LIMIT = 2  # whole uve left
    SCOPES = 3  # bit 1 deployment, bit 2 bid
    SIZE = 4


class Event(IntEnum):
    """One fact on the chain's record."""

    HEIGHT = 0
    KIND = 1  # EventKind
    SUBJECT = 2  # row of the object the event is about
    OTHER = 3  # a second row or number, by kind
    WHOLE = 4
    ATTO = 5
    EXTRA = 6
    SIZE = 8


class DeploymentState(IntEnum):
    """States of a deployment."""

    ACTIVE = 1
    CLOSED = 2


class GroupState(IntEnum):
    """States of a group."""

    OPEN = 1
    PAUSED = 2
    INSUFFICIENT_FUNDS = 3
    CLOSED = 4


class OrderState(IntEnum):
    """States of an order; `MATCHED` exists in rule set seed only."""

    OPEN = 1
    ACTIVE = 2
    CLOSED = 3
    MATCHED = 4


class BidState(IntEnum):
    """States of a bid."""

    OPEN = 1
    ACTIVE = 2
    LOST = 3
    CLOSED = 4


class LeaseState(IntEnum):
    """States of a lease."""

    ACTIVE = 1
    INSUFFICIENT_FUNDS = 2
    CLOSED = 3
    RECLAIMING = 4


class AccountState(IntEnum):
    """States of an escrow account."""

    OPEN = 1
    CLOSED = 2
    OVERDRAWN = 3


class PaymentState(IntEnum):
    """States of an escrow payment; under the exact rule OVERDRAWN reads insufficient_funds."""

    OPEN = 1
    CLOSED = 2
    OVERDRAWN = 3


class Scope(IntEnum):
    """What an escrow account belongs to; also the bits of a grant's scopes."""

    DEPLOYMENT = 1
    BID = 2


class Source(IntEnum):
    """Where a deposit came from."""

    BALANCE = 0
    GRANT = 1


class Reason(IntEnum):
    """Why a lease ended (protocol reference 1.7)."""

    NONE = 0
    OWNER = 1
    UNSTABLE = 10000
    DECOMMISSION = 10001
    UNSPECIFIED = 10002
    MANIFEST_TIMEOUT = 10003
    INSUFFICIENT_FUNDS = 20000


class OrderEnd(IntEnum):
    """Why an order ended."""

    NONE = 0
    LEASE_ENDED = 1
    TIMEOUT = 2
    CANCELLED = 3  # its group or deployment was closed or paused by the tenant
    INSUFFICIENT_FUNDS = 4


class EventKind(IntEnum):
    """Kinds of event; the bit `1 << kind` of G.EVENT_MASK says whether rows of it are kept."""

    DEPLOYMENT_CREATED = 1  # subject deployment, other account
    DEPLOYMENT_CLOSED = 2
    GROUP_OPENED = 3  # subject group
    GROUP_PAUSED = 4
    GROUP_INSUFFICIENT_FUNDS = 5
    GROUP_CLOSED = 6
    ORDER_CREATED = 7  # subject order, other group, amount = ceiling
    ORDER_ACTIVATED = 8  # seed: the workload runs
    ORDER_CLOSED = 9  # other = OrderEnd
    BID_CREATED = 10  # subject order, other provider slot, amount = price
    BID_WON = 11
    BID_LOST = 12
    BID_CLOSED = 13
    LEASE_CREATED = 14  # subject lease, other order, amount = price
    LEASE_INSUFFICIENT_FUNDS = 15
    LEASE_REACTIVATED = 16
    LEASE_RECLAIMING = 17
    LEASE_CLOSED = 18  # subject lease, other = reason
    DEPOSITED = 19  # subject account, other wallet, amount
    REFUNDED = 20  # subject account, other wallet, amount
    SETTLED = 21  # subject lease, other = settled up to height, amount moved to the payment
    PAID = 22  # subject lease, whole = net to the provider, extra = take
    SHORTFALL = 23  # subject lease, amount forgiven
    USAGE_RECORDED = 24  # subject lease, other = up to height; usage escrow: whole = its cost
    PARAMS_CHANGED = 25
    PROVIDER_BLOCKED = 26  # subject provider slot
    PROVIDER_UNBLOCKED = 27
    MESSAGE_REFUSED = 28  # subject = message kind, other = status
    FORCED_SETTLEMENT = 29  # subject account
    NETWORK_FEE = 31  # subject wallet, whole = fee, other = message kind
    OUTAGE = 32  # engine: subject provider slot, other = 1 down, 0 up
    REPRICED = 33  # engine: subject provider slot, whole = multiplier ppm
    USAGE_ESCROW_OPENED = 34  # subject lease, other account, whole = set aside, extra = expiry, seconds
    FEES_SPLIT = 35  # subject lease, other = number of the settlement, whole = platform's part, extra = validators' part
    USAGE_ESCROW_ENDED = 36  # subject lease, other = UsageEscrowState, whole = given back to the account
