"""Which column of which table holds what: one table is one int64 array of shape (rows, columns), one row an object.

Ids as people see them (`owner/dseq/gseq/oseq/provider`) are made at the edge; inside, an object is its row number and -1 means none.
Where an object stands in memory decides nothing: what has a name has a column ID, a 63-bit hash of that name, which events are
fingerprinted by and ties and draws are keyed by.
Money is a pair of columns, whole uve and atto (10^-18 uve) with 0 <= atto < 10^18; a negative amount has a negative whole part.
Coins (wallets, pay-outs, fees) are whole uve in one column. Heights are block numbers.
"""

from __future__ import annotations

from marketsim.kernel.codes import Code
from marketsim.kernel.rows import Row, column, same_place


class G(Row):
    """Globals (1-D): rule set, parameters, table fills and ledger totals."""

    rules = column("Rules")
    escrow = column("EscrowRule")
    charging = column("Charging")
    quirks = column("bit mask of Quirk")
    take_ppm = column("take fee, of a pay-out", "ppm")
    order_max_bids = column()
    bid_min_deposit = column(unit="uve")
    deployment_min_deposit = column(unit="uve")
    settle_every = column("seed", "blocks")
    grace = column("seed", "blocks")
    order_timeout = column("0 = none", "blocks")
    usage_grace = column(unit="blocks")
    block_ms = column("length of a block", "milliseconds", default=6000)
    window_min_seconds = column("akash reclamation bounds")
    window_max_seconds = column()
    network_fees = column("1 = charge gas")
    gas_price_atto = column("of a gas unit x 1.5 (gas price x adjustment)", "atto-uve")
    keep_bids = column("1 = keep the rows of ended bids (messages by hand may name them)")
    height = column("of the block being executed", "height")
    usage_every = column("between two usage records of a lease (usage escrow)", "blocks")
    settlement_wallet = column("row of the settlement module's wallet (usage escrow); 0 = none")
    blockings = column("times that a provider was blocked or unblocked")
    day_blocks = column("a column of `income`; 0 = nobody keeps it", "blocks")
    income_from = column("height after which the last two columns of `income` count")
    # table fills: the next free row
    wallets = column(default=3)
    providers = column()
    deployments = column()
    groups = column()
    resources = column()
    drafts = column()
    orders = column()
    bids = column()
    leases = column()
    usage = column()
    accounts = column()
    deposits = column()
    grants = column()
    events = column()
    specs = column()
    free_bid = column("first of the free bid rows (linked by Bid.next)", default=-1)
    free_account = column("first of the free account rows (linked by Account.next)", default=-1)
    free_deposit = column("first of the free deposit rows (linked by Deposit.next)", default=-1)
    bids_live = column("entries in the bid index")
    # ledger totals over all escrow (whole uve; pairs where fractions occur)
    deposited = column("wallet -> escrow")
    paid = column("escrow -> providers, net of take")
    fees = column("escrow -> community pool (take)", "uve")
    refunded = column("escrow -> depositors")
    held = column("deposits and unpaid payment balances still in escrow (pair)")
    held_atto = column(unit="atto-uve")
    dust = column("fractions left at closing (pair); never paid out", "uve")
    dust_atto = column(unit="atto-uve")
    stranded = column("coins that a defect lost inside the module (pair)")
    stranded_atto = column(unit="atto-uve")
    shortfall = column("owed and forgiven (pair)", "uve")
    shortfall_atto = column(unit="atto-uve")
    debt = column("recorded debt, sequential rule (pair)")
    debt_atto = column(unit="atto-uve")
    supply = column("all coins ever created at the edge")
    network_fees_paid = column("wallets -> fee collector")
    platform_fees = column("usage escrow -> settlement module; FEES holds this and the next")
    validator_fees = column()
    # record
    event_mask = column("bit mask of event kinds that are stored (all are fingerprinted)")
    fingerprint_a = column()
    fingerprint_b = column()
    bits = column("next unused row of bid_bits")
    free_bits = column("first free row of bid_bits + 1, 0 = none")
    auditing = column("1 = keep the list of accounts touched since the last audit")
    touched = column("first touched account, row + 1; 0 = none")
    audits = column("blocks audited")
    recount_at = column("audited blocks at which the next full recount is due")


class Rules(Code):
    """Rule sets."""

    SEED = 0
    VIRTENGINE = 1
    AKASH = 2


class EscrowRule(Code):
    """How an account shares out what it holds."""

    EXACT = 0  # rule set seed: fractions carried, eager shortfall
    SEQUENTIAL = 1  # truncated at each settle, served in key order, debt recorded
    PROPORTIONAL = 2  # Akash 2021-2025
    USAGE = 3  # a usage escrow an order (charging ve_settlement); accounts hold deposits and pay nothing by block


class Charging(Code):
    """What a lease owes."""

    RATE = 0
    USAGE_CAPPED = 1
    USAGE = 2
    VE_SETTLEMENT = 3


class Quirk(Code):
    """Bits of G.quirks: upstream defects, off by default."""

    SETTLE_SAME_HEIGHT = 1
    PAYMENT_CREATE_LOSES = 2
    LOSING_BIDS_STAY = 4
    OPEN_ORDERS_STAY = 8
    PAUSE_OPEN_ORDER = 16
    MAX_BIDS_OFF_BY_ONE = 32


class Wallet(Row, width=8):
    """Participants and module wallets."""

    balance = column(unit="uve")
    rank = column("position of the name among all names in string order")
    provider = column("row in providers while registered, else -1")
    fees = column("network fees paid, whole uve")
    id = column("hash of the name: what events, ties and draws know it by")
    dseq = column("sequence number of its newest deployment that a plan made")
    by_hand = column("its newest deployment that a message by hand made, row + 1; 0 = none")


ESCROW_WALLET = 0
"""Row of the escrow module's wallet."""
COMMUNITY_WALLET = 1
"""Row of the community pool: take fees."""
COLLECTOR_WALLET = 2
"""Row of the fee collector: network fees."""


class Provider(Row, width=8):
    """Registered providers as the chain sees them (capacity is the engine's business, not the chain's)."""

    wallet = column()
    registered = column()
    blocked = column()
    active_leases = column()
    id = column("of its wallet")
    earned = column("paid out to it, net of take", "uve")
    taken = column("take of what it was paid", "uve")


class Deployment(Row):
    """One tenant's deployment."""

    owner = column("wallet")
    dseq = column()
    state = column()
    created_at = column(unit="height")
    closed_at = column(unit="height")
    account = column()
    first_group = column("its groups are consecutive rows")
    groups = column()
    hash = column("interned id of the manifest hash")
    window = column("akash: notice asked for, seconds; 0 = none")
    id = column("hash of owner and dseq")
    by_hand = column("the owner's deployment by hand before this one, row + 1; 0 = none, or not made by hand")


class Group(Row):
    """One group of a deployment: what an order asks for."""

    deployment = column()
    gseq = column()
    state = column()
    created_at = column(unit="height")
    price = column("ceiling per block", "uve")
    price_atto = column(unit="atto-uve")
    spec = column("interned requirements (attributes, auditors, capabilities)")
    first_resource = column()
    resources = column()
    cpu = column("all units x counts", "millicores")
    memory = column("all units x counts", "bytes")
    storage = column("all units x counts", "bytes")
    gpu = column("all units x counts")
    orders = column("orders ever made")
    closed_orders = column()
    last_order = column("newest order, linked by Order.previous")


class Resource(Row):
    """One resource unit of a group; its id is its 1-based position."""

    price = column("per unit and block", "uve")
    price_atto = column(unit="atto-uve")
    count = column()
    cpu = column("of a unit", "millicores")
    memory = column("of a unit", "bytes")
    storage = column("of a unit, all volumes", "bytes")
    gpu = column()
    gpu_attributes = column("1 when it lists GPU attributes")
    smallest_volume = column(unit="bytes")
    largest_volume = column(unit="bytes")
    endpoints = column("of the unit, whatever its count")


class Draft(Row):
    """A group as a CreateDeployment message brings it."""

    name = column("interned id; -1 = no name")
    spec = column()
    first_resource = column()
    resources = column()


class OfferedUnit(Row):
    """An entry of a bid's resource offer; it stands in a row of `drafts` while its message runs."""

    resource = column("1-based position of a resource unit in the group")
    count = column()


class Order(Row, width=20):
    """One order of a group."""

    group = column()
    oseq = column()
    state = column()
    created_at = column(unit="height")
    closed_at = column(unit="height")
    price = column("ceiling per block", "uve")
    price_atto = column(unit="atto-uve")
    previous = column("older order of the group")
    first_bid = column("linked by Bid.next, oldest first")
    last_bid = column()
    bids_open = column()
    bids_active = column()
    bids_closed = column()
    bids_lost = column()
    lease = column()
    reason = column("OrderEnd")
    deployment = column()
    bits = column("row of bid_bits + 1 while it is open and ended bids are not kept; 0 = none")
    id = column("hash of the deployment's ID, gseq and oseq")


class Bid(Row):
    """One provider's bid on one order."""

    order = column()
    provider = column("wallet")
    state = column()
    created_at = column(unit="height")
    closed_at = column(unit="height")
    price = column(unit="uve")
    price_atto = column(unit="atto-uve")
    account = column("its deposit's escrow account")
    lease = column()
    next = column()
    window = column("akash: notice offered, seconds; 0 = none")
    slot = column("row in providers")


class Lease(Row):
    """One lease and its escrow payment (key `gseq/oseq/provider` inside the deployment's account)."""

    bid = column()
    order = column()
    provider = column("wallet")
    state = column("LeaseState")
    created_at = column(unit="height")
    active_at = column("workload running since; -1 = not yet (seed's matched)", "height")
    closed_at = column(unit="height")
    reason = column()
    window = column("akash: notice, seconds; 0 = none")
    deadline = column("akash: reclaiming until, seconds of block time")
    account = column()
    next = column("next payment of the account in key order")
    gseq = column()
    oseq = column()
    payment = column("PaymentState")
    rate = column(unit="uve")
    rate_atto = column(unit="atto-uve")
    balance = column("earned, not yet paid", "uve")
    balance_atto = column(unit="atto-uve")
    unsettled = column("debt owed to it (sequential)", "uve")
    unsettled_atto = column(unit="atto-uve")
    withdrawn = column("gross, whole uve")
    fees = column("take paid so far, whole uve")
    blocks = column("accrued blocks (exact rule)")
    charged = column("cumulative amount moved or forgiven (exact rule)", "uve")
    charged_atto = column(unit="atto-uve")
    usage = column("row in usage, -1 = not metered")
    shortfall = column("forgiven", "uve")
    shortfall_atto = column(unit="atto-uve")
    slot = column("row in providers")
    id = column("hash of the order's ID and the provider's")


class Usage(Row):
    """Metering of one lease: what is reserved, what a unit costs, what was used since it began."""

    lease = column()
    reserved_cpu = column(unit="millicores")
    reserved_memory = column("under the built-in meter MiB, of which the unit prices are then", "bytes")
    reserved_storage = column("likewise", "bytes")
    reserved_gpu = column()
    unit_cpu = column("price of a unit (pair): what is used weighs as it does in what is reserved, so only ratios matter")
    unit_cpu_atto = column(unit="atto-uve")
    unit_memory = column()
    unit_memory_atto = column(unit="atto-uve")
    unit_storage = column()
    unit_storage_atto = column(unit="atto-uve")
    unit_gpu = column()
    unit_gpu_atto = column(unit="atto-uve")
    used_cpu = column("cpu milliseconds: high part (x 10^18) and low part")
    used_cpu_low = column()
    used_memory = column(unit="byte-seconds")
    used_memory_low = column()
    used_storage = column()
    used_storage_low = column()
    used_gpu = column(unit="gpu seconds")
    used_gpu_low = column()
    until = column("height up to which use is recorded")
    utilization_ppm = column("built-in meter: share of the reservation that runs; -1 = reported by messages", "ppm")
    metered = column("built-in meter: blocks metered so far")
    closed_form = column("built-in meter: ClosedForm, how the columns below say what its use costs")
    step_cpu = column("what is used in a block beyond whole units, 10^-9 of one")
    step_memory = column()
    step_storage = column()
    step_gpu = column()
    loss_cpu = column("what a unit that is cut off takes from the price: 10^9 x millionths (pair)", "uve")
    loss_cpu_atto = column(unit="atto-uve")
    loss_memory = column()
    loss_memory_atto = column()
    loss_storage = column()
    loss_storage_atto = column()
    loss_gpu = column()
    loss_gpu_atto = column()
    units_cpu = same_place(loss_cpu, "of ClosedForm.MARKED_UP: whole units that are used in a block")
    units_memory = same_place(loss_memory)
    units_storage = same_place(loss_storage)
    units_gpu = same_place(loss_gpu)
    mark_up = same_place(loss_cpu_atto, "of ClosedForm.MARKED_UP: what use costs is unit prices times this, over the next column")
    mark_up_divisor = same_place(loss_memory_atto)
    mark_up_blocks = same_place(loss_storage_atto, "of ClosedForm.MARKED_UP: up to so many metered blocks its products fit")


class ClosedForm(Code):
    """How the price of what a lease meters is computed (`exact`)."""

    UNKNOWN = 0
    MARKED_UP = 1  # the price is the unit prices of what is reserved, times a simple ratio: so is the price of use
    LINEAR = 2  # the price of the metered blocks, less what the cuts of units take off
    FAILS = 3  # neither fits: wide integers


class UsageEscrow(Row, width=12):
    """The usage escrow of one order (protocol reference 5.4), in the row of its lease's metering; coins are whole uve, times seconds."""

    state = column("UsageEscrowState")
    customer = column("wallet")
    recipient = column("wallet of the provider; -1 = none yet")
    balance = column("set aside from the account's funds, not yet paid or given back", "uve")
    expires_at = column()
    settled_at = column()
    settlements = column("records written")
    unsettled = column("cost of the usage records that no settlement has taken", "uve")
    priced = column("priced use up to the last record (pair)")
    priced_atto = column(unit="atto-uve")
    reported_at = column("height of the last report")


class UsageEscrowState(Code):
    """Where a usage escrow stands; the last three are final."""

    NONE = 0
    PENDING = 1
    ACTIVE = 2
    DISPUTED = 3
    RELEASED = 4
    REFUNDED = 5
    EXPIRED = 6


class Account(Row):
    """One escrow account: of a deployment, or of a bid's deposit."""

    owner = column("wallet")
    scope = column("Scope")
    target = column("deployment row or bid row")
    state = column()
    created_at = column(unit="height")
    settled_at = column(unit="height")
    funds = column("sum of deposits; negative = debt (sequential)", "uve")
    funds_atto = column(unit="atto-uve")
    transferred = column("cumulative outflow to payments", "uve")
    transferred_atto = column(unit="atto-uve")
    first_deposit = column()
    last_deposit = column()
    first_lease = column("payments in key order, linked by Lease.next")
    rates = column("sum of the prices of open payments", "uve")
    rates_atto = column(unit="atto-uve")
    open = column("number of open payments")
    short = column("number of insufficient_funds payments (exact rule)")
    due_at = column("exact rule: first block that it may be unable to pay; -1 = none", "height")
    grace_at = column("exact rule: end of grace; -1 = none", "height")
    shortfall = column(unit="uve")
    shortfall_atto = column(unit="atto-uve")
    dust = column(unit="uve")
    dust_atto = column(unit="atto-uve")
    next = column("free list")
    touched = column("audit: next touched account, row + 1; -1 = last of the list; 0 = not in it")
    id = column("of its deployment or its bid")


class Deposit(Row):
    """One deposit record of an account, first in first out."""

    depositor = column("wallet")
    source = column("DepositSource")
    amount = column("what is left of it (pair)", "uve")
    amount_atto = column(unit="atto-uve")
    next = column()
    height = column(unit="height")


class Grant(Row):
    """A deposit authorization: the granter lets the grantee spend from its wallet."""

    granter = column()
    grantee = column()
    limit = column("what is left of it", "uve")
    scopes = column("bit 1 deployment, bit 2 bid")


class Event(Row, width=8):
    """One fact on the chain's record."""

    height = column(unit="height")
    kind = column("EventKind")
    subject = column("row of the object the event is about")
    other = column("a second row or number, by kind")
    whole = column()
    atto = column()
    extra = column()
    identity = column("of the subject; ~identity of what is only noted")


class Trail(Row, width=8):
    """What happened in a chunk of blocks, by names: hashes of 62 bits; those beside `events` are sums, which know no order."""

    events = column("which, about whom, in which order")
    prices = column("amounts of ceilings, bids, leases and repricings")
    payments = column("amounts of what moved when something happened")
    settlements = column("amounts of what a cadence settled, as somebody looked at it")
    states = column("what no event says: sizes asked for, latencies, other figures of events")
    messages = column("sent by hand or by governance, with their answers; who sends them writes it")
    desks = column("the state of all desks at the end; 0 = as before")


class DeploymentState(Code):
    """States of a deployment."""

    ACTIVE = 1
    CLOSED = 2


class GroupState(Code):
    """States of a group."""

    OPEN = 1
    PAUSED = 2
    INSUFFICIENT_FUNDS = 3
    CLOSED = 4


class OrderState(Code):
    """States of an order; `MATCHED` exists in rule set seed only."""

    OPEN = 1
    ACTIVE = 2
    CLOSED = 3
    MATCHED = 4


class BidState(Code):
    """States of a bid."""

    OPEN = 1
    ACTIVE = 2
    LOST = 3
    CLOSED = 4


class LeaseState(Code):
    """States of a lease."""

    ACTIVE = 1
    INSUFFICIENT_FUNDS = 2
    CLOSED = 3
    RECLAIMING = 4


class AccountState(Code):
    """States of an escrow account."""

    OPEN = 1
    CLOSED = 2
    OVERDRAWN = 3


class PaymentState(Code):
    """States of an escrow payment; under the exact rule OVERDRAWN reads insufficient_funds."""

    OPEN = 1
    CLOSED = 2
    OVERDRAWN = 3


class Scope(Code):
    """What an escrow account belongs to; also the bits of a grant's scopes."""

    DEPLOYMENT = 1
    BID = 2


class DepositSource(Code):
    """Where a deposit came from."""

    BALANCE = 0
    GRANT = 1


class Reason(Code):
    """Why a lease ended (protocol reference 1.7)."""

    NONE = 0
    OWNER = 1
    UNSTABLE = 10000
    DECOMMISSION = 10001
    UNSPECIFIED = 10002
    MANIFEST_TIMEOUT = 10003
    INSUFFICIENT_FUNDS = 20000


class OrderEnd(Code):
    """Why an order ended."""

    NONE = 0
    LEASE_ENDED = 1
    TIMEOUT = 2
    CANCELLED = 3  # its group or deployment was closed or paused by the tenant
    INSUFFICIENT_FUNDS = 4


class EventKind(Code):
    """Kinds of event; the bit `1 << kind` of G.event_mask says whether rows of it are kept."""

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
    MESSAGE_REFUSED = 28  # subject wallet, other = status, whole = message kind
    FORCED_SETTLEMENT = 29  # subject account
    NETWORK_FEE = 31  # subject wallet, whole = fee, other = message kind
    OUTAGE = 32  # engine: subject provider slot, other = 1 down, 0 up
    REPRICED = 33  # engine: subject provider slot, whole = multiplier ppm
    USAGE_ESCROW_OPENED = 34  # subject lease, other account, whole = set aside, extra = expiry, seconds
    FEES_SPLIT = 35  # subject lease, other = number of the settlement, whole = platform's part, extra = validators' part
    USAGE_ESCROW_ENDED = 36  # subject lease, other = UsageEscrowState, whole = given back to the account
    PROVIDER_FAULT = 37  # engine: subject provider slot, other = 1 begins, 0 ends, whole = number of the fault's kind
    TENANT_FAULT = 38  # engine: subject wallet, other and whole as above
