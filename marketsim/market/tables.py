"""What the built-in agents keep: provider desks, tenants' plans, offers under way and the calendar of what is due."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from marketsim.kernel.codes import Code
from marketsim.kernel.rows import Row, Rows, column, row_of, same_place
from marketsim.kernel.table_set import TableSet, register, rows_of

Table = NDArray[np.int64]
Codes = NDArray[np.int8]

RING = 4096
"""Blocks ahead that a bid can be dated: a power of two. Longer latencies are cut to RING - 2 blocks (6.8 hours at 6 s)."""

REFUSED = -2
"""Where a quote is a refusal with a reason: REFUSED less the number of its Decline."""

FAR = 1 << 58
"""A height that no block reaches."""

QUANTILES = 4096
"""Length of a latency profile: a power of two."""
LATENCY_MS = 1_500
"""Latency of a desk for which no law is given."""
LATENCY_BINS = 60_001
"""Bins of 1 ms in which bids are counted by latency; the last counts everything of a minute and longer."""

STATUSES = 128
"""Columns of `Engine.rejected`: more than there are statuses of the chain."""
BID_TIMES = 128
"""Bids of a desk of which the time is kept: more than a rate limit may let through in an hour."""
NEVER_MS = -(10**15)
"""A time before any."""

PHASES = 16
"""Places for the phases of a block in a key of the calendar or the inbox: height x PHASES + phase."""


class E(Row):
    """Engine globals (1-D)."""

    calendar = column("entries in the calendar")
    offers = column("next unused row of offers")
    free_offer = column("first free row of offers", default=-1)
    inbox = column("next message to execute")
    inbox_end = column()
    executed = column("last block that is certainly done", default=-1)
    tie_by_index = column("1: ties go to the lower row (reference market); 0: to a stateless hash")
    reserve_at_bid = column()
    price_floor = column("1: prices round down at 18 decimals; 0: half to even")
    seed = column()
    bid_window = column()
    queue_limit = column()
    block_ms = column(unit="milliseconds")
    manifest_blocks = column()
    sample_every = column(unit="blocks")
    warm_up = column()
    horizon = column()
    samples = column()
    alive = column("accounts in the alive list")
    fold_cursor = column()
    orders_open = column()
    orders_created = column()
    orders_leased = column()
    bids_submitted = column()
    providers = column()
    funds_monitor = column("between looks of the funds watcher (0 = none)", "blocks")
    last_block = column("last height at which something happened", default=-1)
    audit = column()
    least_value_blocks = column("expected lifetime behind min_order_value")
    bids_rows = column("rows in the bids record")
    keep_bid_rows = column()
    audited = column("blocks audited")
    audit_problem = column()
    last_audit = column("last height audited")
    last_won = column("last winning price per millicore: whole uve and nano-uve; -1 = none yet", default=-1)
    last_won_nano = column()
    sampled = column("height of the last sample")
    dry_ends_count = column("1: a lease out of funds that its tenant closes, with no top-up on its way, counts as insufficient funds")
    event_room = column("free rows of events beyond what is asked for", default=16_384)
    asked_orders = column("room asked for: orders that are opened and quoted")
    asked_bids = column("bids that are placed")
    asked_entries = column("entries of the calendar")
    asked_events = column("events")
    prepared = column("1: the desks' derived columns and `screen` are written")
    blockings = column("G.blockings that they know of")
    dated = column("offers dated for a block to come")
    next_bids = column("first block with dated offers, FAR when there is none", default=FAR)
    chunk = column("last chunk of blocks whose entries are in the calendar's heap")
    later = column("next unused row of later")
    free_later = column("first free row of later", default=-1)
    decline_rows = column("numbers in decline_rows")
    declined_at = column("the height that the last of them belong to", default=-1)
    waiting = column("entries in later")
    asks = column("1: orders of some specs wait for prices from Python (ask_specs), 2: every order does")
    asking = column("orders that wait for these prices")
    asking_at = column("the block in which they were opened", "height")
    quote_row = column("row of quotes that holds the prices of the order in hand", default=-1)
    hears = column("1: some desk is told what becomes of its bids")
    outcomes = column("rows in outcomes")
    heard = column("outcomes ever written down")
    agents = column("1: users' agents bid for some desks")
    watching = column("1: agents wait, and the loop stops behind a block in which an order was opened or something was heard")
    watched_orders = column("orders that the agents know of")
    watched_heard = column("outcomes that the agents know of")
    own_choices = column("1: some tenants choose by a rule of a user's own")
    chosen_for = column("the order for which Python has chosen, -1 = none", default=-1)
    chosen = column("the offer that it chose, -1 = none", default=-1)
    misjudged = column("the order of which a compiled rule made no number, -1 = none", default=-1)
    trail_until = column("last block of the trail's chunk under way, FAR where nobody keeps one", default=FAR)
    pay_first = column("1: the bids of this block wait until every account has settled")
    all_paid_at = column("height at which every account had last settled for that", default=-1)


class Desk(Row, width=112):
    """One provider's bid engine, a row a provider (the chain's provider slot).

    What every bid reads and writes comes first: two cache lines a desk (columns marked "derived" are written by `prepare_desks` and
    kept up). What every order reads of every desk stands apart, in `Engine.screen`. The limbs of a unit price are whole uve, the
    next twelve decimals and the last twelve: the unit price after spread and repricing, times 1 + margin, exact at 24 decimals.
    """

    shut = column("derived: 0 it may bid, else 1 + Decline (engine off or down, cut off, or provider blocked)")
    slots_left = column("derived: MAX_CONCURRENT less the bids whose outcome is unknown")
    queued = column()
    leases_left = column("derived: leases that it may still take")
    free_cpu = column("derived: capacity less what is leased and reserved", "millicores")
    free_memory = column(unit="MiB")
    free_storage = column(unit="MiB")
    free_gpu = column()
    wallet = column()
    rated = column("derived: 1 when bids a minute or an hour are limited")
    submitted = column()
    accepted = column()
    won = column()
    lost = column()
    closed = column()
    bid_timeout = column("0 = none", "blocks")
    cpu_whole = column()
    cpu_high = column()
    cpu_low = column()
    memory_whole = column()
    memory_high = column()
    memory_low = column()
    storage_whole = column()
    storage_high = column()
    storage_low = column()
    gpu_whole = column()
    gpu_high = column()
    gpu_low = column()
    min_value = column(unit="uve")
    min_value_atto = column(unit="atto-uve")
    latency_blocks = column("n > 0: 1 + hash % n whole blocks (reference market)")
    latency_profile = column("row in latencies")
    strategy = column("Pricing")
    plain = column("1: the price is the linear one, without a fixed part and without further rounding")
    window = column("akash: notice offered with bids, seconds")
    queue_head = column()
    queue_tail = column()
    since = column("height of the last change of what is leased")
    leased_cpu = column(unit="millicores")
    leased_memory = column(unit="MiB")
    leased_storage = column(unit="MiB")
    leased_gpu = column()
    sum_cpu = column("leased x blocks since warm-up")
    sum_memory = column()
    sum_storage = column()
    sum_gpu = column()
    reserved_cpu = column(unit="millicores")
    reserved_memory = column(unit="MiB")
    reserved_storage = column(unit="MiB")
    reserved_gpu = column()
    cap_cpu = column("over-commit included", "millicores")
    cap_memory = column(unit="MiB")
    cap_storage = column(unit="MiB")
    cap_gpu = column()
    max_cpu = column(unit="millicores")
    max_memory = column(unit="MiB")
    max_storage = column(unit="MiB")
    max_gpu = column()
    up = column("0 during an outage")
    enabled = column()
    max_concurrent = column()
    lease_capacity = column("most leases at a time, -1 = no limit")
    per_minute = column("bids, 0 = no limit")
    per_hour = column()
    list_cpu = column(unit="uve")
    list_cpu_atto = column(unit="atto-uve")
    list_memory = column()
    list_memory_atto = column(unit="atto-uve")
    list_storage = column()
    list_storage_atto = column(unit="atto-uve")
    list_gpu = column()
    list_gpu_atto = column(unit="atto-uve")
    margin_ppm = column(unit="ppm")
    multiplier_ppm = column(unit="ppm")
    reprice_every = column("0 = never", "blocks")
    reprice_high_ppm = column(unit="ppm")
    reprice_low_ppm = column(unit="ppm")
    reprice_up_ppm = column(unit="ppm")
    reprice_down_ppm = column(unit="ppm")
    reprice_min_ppm = column(unit="ppm")
    reprice_max_ppm = column(unit="ppm")
    nodes = column("> 1: capacity is packed node by node, on so many rows of nodes")
    leave_blocks = column("mean blocks until this provider ends a lease; 0 = never")
    withdraw_every = column("between withdrawals of a lease (chains that settle when touched)", "blocks")
    undercut_ppm = column(unit="ppm")
    uptime_ppm = column(unit="ppm")
    audited = column()
    decimals = column("price rounded to this many decimals, 18 = no further rounding")
    endpoint = column("price of an endpoint of an order given by sizes: whole uve, then atto")
    endpoint_atto = column(unit="atto-uve")
    region = column("number of its region, 0 = none: what the score choice compares with Plan.region")
    bid_times = column("entries written in the ring of bid times")
    base_submitted = column()
    base_accepted = column()
    base_won = column()
    base_lost = column()
    base_closed = column()
    reprice_step_ppm = column("> 0: the multiplier follows use from MIN to MAX in such steps", "ppm")
    cost_ppm = column("this provider's relative cost draw", "ppm")
    first_node = column()
    quoted = column("1: an order's price may stand in quotes, before spread and repricing; else it is the linear one")
    reprice_follows = column("0 cpu, 1 memory, 2 storage, 3 gpu, 4 the one most used")
    key = column("hash of its name: what its draws come from")
    hears = column("1: what becomes of its bids is written down in outcomes; 2: refused ones too")
    usage_by_hand = column("1: use of its leases from here on is reported by messages, 0: they meter themselves")
    out = column("1 during an outage that came by itself")
    held = column("1 during an outage of a fault; it is up while both are 0")
    cut = column("1: it cannot reach the chain: its bids, withdrawals, reports and notices are not sent")
    failing = column("1: workloads of its new leases do not start")
    withheld = column("1: it does not withdraw")
    unreported_ppm = column("share of use that the meters of its leases leave out", "ppm")
    lag = column("how late its meters are read, FAR while they are not", "blocks")


LANES = 8
"""Desks side by side in a row of `Engine.screen`: what the processor computes at once."""


class Screen(Code):
    """What is computed of each desk for every order, eight desks a row: field f of a row's desk k is column f x LANES + k.

    Made of columns of Desk, kept up by `screen_desk`; the last four are what `screen_desks` finds.
    """

    SHUT = 0  # Desk.shut; ALONE where it is 0 and the price is not the plain linear one
    MAX_CPU = 1
    MAX_MEMORY = 2
    MAX_STORAGE = 3
    MAX_GPU = 4
    MIN_VALUE = 5
    MIN_VALUE_ATTO = 6
    LATENCY = 7  # LATENCY_BLOCKS, and 2^32 modulo it shifted by 32
    CPU_WHOLE = 8  # unit prices in the order of Desk: three limbs a resource
    KEY = 20
    FOUND = 21  # 0 it bids, 1 + Decline, or one of the numbers beside `screen_desks`
    PRICE = 22
    PRICE_ATTO = 23
    DELAY = 24  # the latency in blocks less one; where it comes from a profile, ~quantile
    SIZE = 25


class Pricing(Code):
    """How a desk makes its price."""

    LINEAR = 0  # unit prices x quantities x (1 + margin): cost plus, scale, monthly targets
    RANDOM_RANGE = 1
    UNDERCUT = 2
    CUSTOM = 3  # a Python class or an operator's script, asked in the order's block; prices come in through the quotes table
    AGENT = 4  # a user's agent, which sends its bids itself


class Plan(Row):
    """A tenant's standing instructions for one deployment."""

    tenant = column("wallet")
    duration = column("from the first lease to the planned end", "blocks")
    terminate = column("to an early end, -1 = none", "blocks")
    leave_ppm = column("unit exponential x 10^6, scaled by the provider's mean", "ppm")
    leave_blocks = column("until the provider leaves, drawn with the order (reference market); -1 = none", "blocks")
    deploy_delay = column()
    choice = column("BidChoice")
    choice_k = column("among how many of the cheapest; of a rule of a user's own its entry in `Engine.rules`")
    never = column("1: never chooses")
    patience = column("0 = none", "blocks")
    top_up = column("TopUpTime")
    top_up_amount = column(unit="uve")
    top_up_left = column("times left")
    top_up_delay = column("after depletion", "blocks")
    top_up_at = column("what is left when it is due", "blocks")
    restart_left = column("restarts the tenant will still make")
    restart_delay = column()
    utilization_ppm = column(unit="ppm")
    value = column("per block (pair)", "uve")
    value_atto = column(unit="atto-uve")
    deployment = column()
    weight_price = column("score choice, ppm")
    weight_uptime = column()
    weight_audit = column()
    weight_region = column()
    top_up_delay_2 = column()
    top_up_delay_3 = column()
    top_ups_used = column()
    region = column("number of the tenant's home region, -1 = none or nobody's")
    deposit = column(unit="uve")
    first_lease = column("height of the deployment's first lease, 0 before")
    key = column("hash of its name: what the draws of its orders come from")


class Choosing(Code):
    """How far a tenant is with the choice for an order."""

    WINDOW = 0  # bids are awaited
    FIRST_BID = 1  # the window has passed without an acceptable bid: the first one is taken
    DECIDED = 2  # a bid was taken, or the tenant never chooses
    CLOSED = 3  # the order is closed, and whatever it held is let go of


class BidChoice(Code):
    """How a tenant picks a bid."""

    LOWEST_PRICE = 0
    SCORE = 1
    RANDOM_AMONG_CHEAPEST = 2
    OWN = 3  # a rule of a user's own, by its row in `Engine.rules`


class TopUpTime(Code):
    """When a tenant adds funds."""

    NEVER = 0
    BEFORE = 1  # when so many blocks are left
    AFTER_DEPLETION = 2


class Track(Row):
    """What the agents know of one order, a row an order."""

    plan = column("-1: nobody's plan (a message by hand)")
    first_offer = column()
    offers = column()
    choosing = column("Choosing")
    held_by = column("desk that holds capacity for its lease, -1")
    ended = column("Ended")
    stage = column("furthest check that any desk reached (Stage)")
    bids = column("bids accepted by the chain")
    cpu = column(unit="millicores")
    memory = column("rounded up", "MiB")
    storage = column("rounded up", "MiB")
    gpu = column()
    end_tag = column("Ended that its next closing means")
    decided_at = column()
    best = column("cheapest placed offer; -1 when none or unknown")
    key = column("hash of its name: what its draws come from")


class Ended(Code):
    """Why a lease ended, in the training document's terms."""

    RUNNING = 0
    TENANT_TERMINATED = 1
    LEASE_COMPLETED = 2
    INSUFFICIENT_FUNDS = 3
    PROVIDER_CLOSED = 4


class Stage(Code):
    """How far an order got, for the reasons of unserved demand."""

    NO_ELIGIBLE = 0
    LIMITS = 1  # maxima, rate limits, queue, engine off
    NO_CAPACITY = 2
    BELOW_MIN_VALUE = 3
    OVER_CEILING = 4
    NO_DEPOSIT = 5
    BID = 6  # at least one bid stood


class Decline(Code):
    """Why an engine did not bid."""

    ENGINE_DISABLED = 0
    ORDER_NOT_OPEN = 1
    PROVIDER_BLOCKED = 2
    INVALID_ATTRIBUTES = 3
    INSUFFICIENT_RESOURCES = 4
    RATE_LIMITED = 5
    QUEUE_FULL = 6
    BELOW_MIN_ORDER_VALUE = 7
    PRICE_TOO_HIGH = 8
    INSUFFICIENT_DEPOSIT = 9
    SCRIPT_FAILED = 10
    SCRIPT_TIMEOUT = 11
    INVALID_PRICE = 12
    NOT_CONNECTED = 13


DECLINES = 14
ORDER_SHIFT = 28
DESK_SHIFT = 4
"""Bits below the order, and below the desk, in a number of `Engine.decline_rows`."""


class Offer(Row):
    """One desk's bid under way: dated, queued or placed. A row is one cache line."""

    order = column("-1 in a free row")
    desk = column()
    price = column(unit="uve")
    price_atto = column(unit="atto-uve")
    time = column("of submission", "milliseconds")
    tie = column()
    next = column()
    bid = column("bid row once placed, -1 before")


class Call(Row, width=12):
    """One message of the inbox."""

    key = column("height x PHASES + phase")
    time = column("of submission", "milliseconds")
    tie = column()
    kind = column("Kind")
    plan = column("ARRIVE: plan of the tenant's deployment")
    deposit = column("ARRIVE", "uve")
    first_draft = column("ARRIVE: row in drafts of the first group")
    drafts = column("ARRIVE: groups")
    dseq = column("ARRIVE")
    window = column("ARRIVE: akash, notice asked for; 0 = none", "seconds")
    # messages of other kinds, in the same places
    desk = same_place(plan, "OUTAGE, BLOCK")
    begins = same_place(deposit, "OUTAGE, BLOCK: 1 it goes down or is blocked, 0 the end of that")
    share_ppm = same_place(first_draft, "OUTAGE: share of its leases that end", "ppm")
    account = same_place(plan, "SETTLE, DEPOSIT")
    wallet = same_place(deposit, "DEPOSIT: who pays")
    amount = same_place(first_draft, "DEPOSIT", "uve")
    deployment = same_place(plan, "CLOSE_DEPLOYMENT")
    param = same_place(plan, "SET_PARAM: column of the chain's globals")
    value = same_place(deposit, "SET_PARAM")


class Entry(Row, width=4):
    """One entry of the calendar's heap; two of them are a cache line."""

    key = column("height x PHASES + phase")
    tie = column()
    what = column("row x 64 + Kind")


class Later(Code):
    """Ten calendar entries of the same chunk of blocks, three columns each: key, tie, what."""

    NEXT = 0  # next row of the chunk, or next free row; -1 = none
    FIRST_ENTRY = 2
    ENTRIES = 10
    SIZE = 32


class Chunk(Row):
    """The calendar entries of a chunk of blocks that has not come yet."""

    last = column("row of later that takes the next entry, -1 = none yet; those before it are full", default=-1)
    used = column("entries in that row", default=-1)


class Phase(Code):
    """Canonical phases of a block (rules of this project; a bid of a block is after its acceptances)."""

    GOVERN = 0
    SETTLE = 2
    REPRICE = 3
    ACTIVATE = 4
    CLOSE = 5
    TIMEOUT = 6
    BID_TIMEOUT = 7
    GRACE = 8
    DEPLETE = 9
    TOP_UP = 10
    ACCEPT = 11
    BID = 12
    ARRIVE = 13
    LAST = 15


class Kind(Code):
    """Kinds of calendar entry, with what its row is of, and of inbox message, whose arguments stand in `Call`."""

    ARRIVE = 1  # message
    DECIDE = 2  # order
    BIDS = 3  # a bid: network fees
    ACTIVATE = 4  # lease
    PLANNED_END = 5  # lease
    TERMINATE = 6  # lease
    LEAVE = 7  # lease
    MANIFEST = 8  # lease
    ORDER_TIMEOUT = 9  # order
    PATIENCE = 10  # order
    BID_TIMEOUT = 11  # offer
    GRACE = 12  # account
    DUE = 13  # account
    TOP_UP = 14  # account
    SAMPLE = 15
    REPRICE = 16
    WARM_UP = 17
    WITHDRAW = 18  # lease
    WATCH = 19  # lease: the funds watcher looks
    START_GROUP = 20  # group
    OUTAGE = 21  # message
    BLOCK = 22  # message
    SETTLE = 23  # message
    DEPOSIT = 24  # message
    CLOSE_DEPLOYMENT = 25  # message; deployment
    SET_PARAM = 26  # message
    CLOSE_BID = 27  # bid
    PAUSE_GROUP = 28  # a message by hand: network fees
    CLOSE_LEASE = 29  # a message by hand: network fees
    MESSAGE = 30  # message of a user's agent, which Python carries out; `plan` is its number


class OutcomeKind(Code):
    """What became of a bid, or of the lease that it won."""

    LOST = 0  # another bid won
    WON = 1
    CLOSED = 2  # it ended without a lease: its order did, or it was withdrawn or timed out
    ENDED = 3  # its lease is over
    PLACED = 4  # the chain took the bid; agents alone hear this and the next two
    REFUSED = 5  # the chain did not
    DECLINED = 6  # the desk's own engine held it back


class BidOutcome(Row, width=8):
    """Columns of Engine.outcomes; a row is one cache line."""

    height = column(unit="height")
    desk = column()
    order = column()
    kind = column("OutcomeKind")
    price = column("of the desk's own bid", "uve")
    price_atto = column(unit="atto-uve")
    other = column("LOST: the price that won; ENDED: why (Ended); REFUSED: Status; DECLINED: Decline", "uve")
    other_atto = column(unit="atto-uve")


class Asking(Code):
    """What is asked of a desk about an order, a column an answer that is wanted: the rows of `pairs` in market/asking.py."""

    AT = 0  # place of the order among those that wait
    DESK = 1  # row of the desk among those of its cohort
    ORDER = 2  # Order.id, the same for everybody who is asked about it
    CPU = 3  # millicores
    MEMORY = 4  # bytes
    STORAGE = 5  # bytes
    GPU = 6
    CEILING = 7  # uve
    CEILING_ATTO = 8
    WHOLE = 9  # the answer: whole uve
    ATTO = 10
    SIZE = 11


class Node(Row):
    """Columns of Engine.nodes: what is free, over-commit included."""

    free_cpu = column(unit="millicores")
    free_memory = column(unit="MiB")
    free_storage = column(unit="MiB")
    free_gpu = column()


class Watch(Row):
    """Columns of Engine.accounts."""

    due = column("due height as last seen", default=-1)
    grace = column(default=-1)
    top_up = column("height of the next planned top-up", default=-1)
    alive = column("position in the alive list", default=-1)
    dated = column("height of the calendar's entry that will look at the due height", default=-1)


class Sample(Row):
    """Columns of the time series."""

    height = column(unit="height")
    active = column()
    short = column()
    open_orders = column()
    cpu = column(unit="millicores")
    memory = column(unit="MiB")
    storage = column(unit="MiB")
    gpu = column()
    paid = column()
    created = column()
    leased = column()
    submitted = column()
    held = column()
    warnings = column()


class BidRow(Row, width=8):
    """Columns of the bids record."""

    height = column(unit="height")
    order = column()
    desk = column()
    price = column(unit="uve")
    price_atto = column(unit="atto-uve")
    latency = column()
    status = column()


class _EngineTables(NamedTuple):
    """All tables of the built-in agents; every field an int64 array."""

    globals: E
    desks: Rows[Desk]
    screen: Table
    """(Screen, desks)."""
    plans: Rows[Plan]
    tracks: Rows[Track]
    """A row an order of the chain."""
    plan_of: Table
    """1-D, an entry a deployment of the chain: its plan or -1."""
    accounts: Rows[Watch]
    """A row an escrow account of the chain: due height in the calendar, position in the alive list, top-up in the calendar."""
    offers: Rows[Offer]
    ring: Table
    """(RING, 2): first and last offer dated for a block, -1."""
    batch: Table
    """1-D work space: the offers of one block in canonical order."""
    calendar: Rows[Entry]
    later: Table
    """Entries of the calendar whose chunk of blocks is not open yet."""
    chunks: Rows[Chunk]
    """A row a chunk of blocks (columns Chunk); the last holds everything beyond."""
    inbox: Rows[Call]
    alive: Table
    """1-D: accounts with open payments, in no particular order."""
    fits: Table
    """(specs, rows of `screen`): 0 the desk may bid, else 1 + Decline, a byte a desk (`codes_of`)."""
    declined: Table
    """(Decline, LANES x rows of `screen` or more): counts by desk."""
    rejected: Table
    """(desks, statuses): counts."""
    quotes: Table
    """(rows, 2 x desks): prices of custom and quoted desks, whole and atto; whole -1 = no bid, REFUSED - n = no bid for Decline n. A row an
    order that waits for its prices (`asking`)."""
    asking: Table
    """1-D: the orders of a block that wait for prices from Python, in the order in which they were opened."""
    ask_specs: Table
    """1-D, an entry a spec, or fewer: 1 where orders of the spec wait."""
    rules: Table
    """1-D, an entry a cohort of tenants: the address of the function by which it scores bids, 0 where Python chooses."""
    outcomes: Rows[BidOutcome]
    """What became of the bids of desks that hear of it, until it is handed over."""
    samples: Rows[Sample]
    latencies: Table
    """(profiles, QUANTILES): latency in milliseconds at evenly spaced quantiles; a stateless hash picks one."""
    latency: Table
    """1-D: bids by latency in milliseconds, the last bin longer ones."""
    bid_times: Table
    """(desks, 128): submission times of the last bids, milliseconds."""
    audit_values: Table
    """(accounts, 2): what each account held at the last audit."""
    audit_held: Table
    """1-D, a pair: the sum of `audit_values`."""
    bid_rows: Rows[BidRow]
    """Placed bids as a record, when every bid row is kept."""
    decline_rows: Table
    """1-D, then too: each order that a desk did not bid on as order << ORDER_SHIFT | desk << DESK_SHIFT | Decline, after ~height (which is
    negative) where the height is another than before."""
    nodes: Rows[Node]
    """The nodes of desks that have more than one, those of a desk side by side."""
    offer_nodes: Table
    """Where the replicas of offers with a reservation stand (`packing`); no rows where no desk has nodes."""
    order_nodes: Table
    """Where the replicas of leased orders stand."""


class Engine(TableSet, _EngineTables):
    """All tables of the built-in agents, passed to compiled code as one address."""

    lines = frozenset({"globals", "plan_of", "batch", "alive", "latency", "audit_held", "decline_rows", "asking", "ask_specs", "rules"})
    rows: ClassVar[Mapping[str, type[Row]]] = {
        "globals": E,
        "desks": Desk,
        "plans": Plan,
        "tracks": Track,
        "accounts": Watch,
        "offers": Offer,
        "calendar": Entry,
        "chunks": Chunk,
        "inbox": Call,
        "samples": Sample,
        "bid_rows": BidRow,
        "nodes": Node,
        "outcomes": BidOutcome,
    }
    widths: ClassVar[Mapping[str, int]] = {"screen": Screen.SIZE * LANES, "ring": 2, "later": Later.SIZE}


register(Engine)


def rows_of_lanes(desks: int) -> int:
    """Return how many rows of `Engine.screen` so many desks take: at least one."""
    return max(1, -(-desks // LANES))


def no_fits(specs: int, desks: int) -> Table:
    """Return a table `Engine.fits` in which every desk may bid on every spec."""
    return np.zeros((specs, rows_of_lanes(desks)), np.int64)


def codes_of(fits: Table) -> Codes:
    """Return the codes in a table `Engine.fits`, a column a desk: a view, as processors with the low byte first see them."""
    return fits.view(np.int8)


LEAST_ROWS = 64
"""Rows that a growing table begins with where nobody says how many there will be."""


def make_engine(desks: int, rows: int = LEAST_ROWS) -> Engine:
    """Return empty engine tables for `desks` providers with room for `rows` rows in each growing table."""
    tables: Mapping[str, Any] = {
        "globals": row_of(E, providers=desks),
        "desks": rows_of(max(desks, 1), Desk),
        "screen": rows_of(rows_of_lanes(desks), Screen.SIZE * LANES),
        "plans": rows_of(rows, Plan),
        "tracks": rows_of(rows, Track),
        "plan_of": np.full(rows, -1, np.int64),
        "accounts": rows_of(rows, Watch),
        "offers": rows_of(rows, Offer),
        "ring": np.full((RING, 2), -1, np.int64),
        "batch": np.zeros(rows, np.int64),
        "calendar": rows_of(rows, Entry),
        "later": rows_of(rows, Later.SIZE),
        "chunks": rows_of(1, Chunk),
        "inbox": rows_of(0, Call),
        "alive": np.zeros(rows, np.int64),
        "fits": no_fits(1, desks),
        "declined": np.zeros((DECLINES, LANES * rows_of_lanes(desks)), np.int64),
        "rejected": np.zeros((max(desks, 1), STATUSES), np.int64),
        "quotes": np.zeros((0, 2 * max(desks, 1)), np.int64),
        "asking": np.full(rows, -1, np.int64),
        "ask_specs": np.zeros(0, np.int64),
        "rules": np.zeros(1, np.int64),
        "outcomes": rows_of(0, BidOutcome),
        "samples": rows_of(rows, Sample),
        "latencies": np.full((1, QUANTILES), LATENCY_MS, np.int64),
        "latency": np.zeros(LATENCY_BINS, np.int64),
        "bid_times": np.full((max(desks, 1), BID_TIMES), NEVER_MS, np.int64),
        "audit_values": np.zeros((rows, 2), np.int64),
        "audit_held": np.zeros(2, np.int64),
        "bid_rows": rows_of(0, BidRow),
        "decline_rows": np.zeros(0, np.int64),
        "nodes": rows_of(0, Node),
        "offer_nodes": np.zeros((0, 1), np.int64),
        "order_nodes": np.zeros((0, 1), np.int64),
    }
    return Engine(**tables)
