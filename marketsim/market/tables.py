"""What the built-in agents keep: provider desks, tenants' plans, offers under way and the calendar of what is due."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from marketsim.kernel.table_set import TableSet, register, rows_of

Table = NDArray[np.int64]
Codes = NDArray[np.int8]

RING = 4096
"""Blocks ahead that a bid can be dated: a power of two. Longer latencies are cut to RING - 2 blocks (6.8 hours at 6 s)."""

FAR = 1 << 58
"""A height that no block reaches."""

QUANTILES = 4096
"""Length of a latency profile: a power of two."""


class E(IntEnum):
    """Engine globals (1-D)."""

    CALENDAR = 0  # entries in the calendar
    OFFERS = 1  # next unused row of offers
    FREE_OFFER = 2  # first free row of offers, -1
    INBOX = 3  # next message to execute
    INBOX_END = 4
    EXECUTED = 5  # last block that is certainly done
    TIE_BY_INDEX = 6  # 1: ties go to the lower row (reference market); 0: to a stateless hash
    RESERVE_AT_BID = 7
    PRICE_FLOOR = 8  # 1: prices round down at 18 decimals; 0: half to even
    SEED = 9
    BID_WINDOW = 10
    QUEUE_LIMIT = 11
    BLOCK_MS = 12
    BID_TIMEOUT_SCAN = 13  # 1: bid timeouts are in use
    MANIFEST_BLOCKS = 14
    SAMPLE_EVERY = 15  # blocks
    DAY_BLOCKS = 16
    WARM_UP = 17
    HORIZON = 18
    SAMPLES = 19
    ALIVE = 20  # accounts in the alive list
    FOLD_CURSOR = 21
    LEASES_ACTIVE = 22
    LEASES_SHORT = 23
    ORDERS_OPEN = 24
    ORDERS_CREATED = 25
    ORDERS_LEASED = 26
    BIDS_SUBMITTED = 27
    PROVIDERS = 28
    DEPLOY_FEES = 29
    FUNDS_MONITOR = 30  # blocks between looks of the funds watcher (0 = none)
    LAST_BLOCK = 31  # last height at which something happened
    BLOCKS_EXECUTED = 32  # blocks in which something happened
    AUDIT = 33
    NEED_QUOTE_ORDER = 34
    RELISTED = 35
    LEAST_VALUE_BLOCKS = 36  # expected lifetime behind min_order_value
    ANY_CUSTOM = 37  # 1 when a provider is priced by Python
    BID_FEE = 38
    REACT = 39
    BIDS_ROWS = 40  # rows in the bids record
    KEEP_BID_ROWS = 41
    AUDITED = 42  # blocks audited
    AUDIT_PROBLEM = 46
    LAST_AUDIT = 47  # last height audited
    LAST_WON = 43  # last winning price per millicore: whole uve and nano-uve; -1 = none yet
    LAST_WON_NANO = 44
    SAMPLED = 45  # height of the last sample
    DRY_ENDS_COUNT = 48  # 1: a lease out of funds that its tenant closes, with no top-up on its way, counts as insufficient funds
    EVENT_ROOM = 49  # free rows of events that one entry may need
    PREPARED = 50  # 1: the desks' derived columns and `screen` are written
    BLOCKINGS = 51  # G.BLOCKINGS that they know of
    DATED = 52  # offers dated for a block to come
    NEXT_BIDS = 53  # first block with dated offers, FAR when there is none
    CHUNK = 54  # last chunk of blocks whose entries are in the calendar's heap
    LATER = 55  # next unused row of later
    FREE_LATER = 56  # first free row of later, -1
    DECLINE_ROWS = 57  # numbers in decline_rows
    DECLINED_AT = 58  # the height that the last of them belong to, -1
    WAITING = 59  # entries in later
    SIZE = 60


class Desk(IntEnum):
    """One provider's bid engine, a row a provider (the chain's provider slot).

    What every bid reads and writes comes first: two cache lines a desk (columns marked "derived" are written by `prepare_desks` and
    kept up). What every order reads of every desk stands apart, in `Engine.screen`. The limbs of a unit price are whole uve, the
    next twelve decimals and the last twelve: the unit price after spread and repricing, times 1 + margin, exact at 24 decimals.
    """

    SHUT = 0  # derived: 0 it may bid, else 1 + Decline (engine off or down, or provider blocked)
    SLOTS_LEFT = 1  # derived: MAX_CONCURRENT less the bids whose outcome is unknown
    QUEUED = 2
    LEASES_LEFT = 3  # derived: leases that it may still take
    FREE_CPU = 4  # derived: capacity less what is leased and reserved
    FREE_MEMORY = 5
    FREE_STORAGE = 6
    FREE_GPU = 7
    WALLET = 8
    RATED = 9  # derived: 1 when bids a minute or an hour are limited
    SUBMITTED = 10
    ACCEPTED = 11
    WON = 12
    LOST = 13
    CLOSED = 14
    BID_TIMEOUT = 15  # blocks, 0 = none
    CPU_WHOLE = 16
    CPU_HIGH = 17
    CPU_LOW = 18
    MEMORY_WHOLE = 19
    MEMORY_HIGH = 20
    MEMORY_LOW = 21
    STORAGE_WHOLE = 22
    STORAGE_HIGH = 23
    STORAGE_LOW = 24
    GPU_WHOLE = 25
    GPU_HIGH = 26
    GPU_LOW = 27
    MIN_VALUE = 28  # whole uve
    MIN_VALUE_ATTO = 29
    LATENCY_BLOCKS = 30  # n > 0: 1 + hash % n whole blocks (reference market)
    LATENCY_PROFILE = 31  # row in latencies
    STRATEGY = 32  # Strategy
    PLAIN = 33  # 1: the price is the linear one, without a fixed part and without further rounding
    WINDOW = 34  # akash: notice offered with bids, seconds
    QUEUE_HEAD = 35
    QUEUE_TAIL = 36
    SINCE = 37  # height of the last change of what is leased
    LEASED_CPU = 38
    LEASED_MEMORY = 39
    LEASED_STORAGE = 40
    LEASED_GPU = 41
    SUM_CPU = 42  # leased x blocks since warm-up
    SUM_MEMORY = 43
    SUM_STORAGE = 44
    SUM_GPU = 45
    RESERVED_CPU = 46
    RESERVED_MEMORY = 47
    RESERVED_STORAGE = 48
    RESERVED_GPU = 49
    CAP_CPU = 50  # millicores, over-commit included
    CAP_MEMORY = 51  # MiB
    CAP_STORAGE = 52  # MiB
    CAP_GPU = 53
    MAX_CPU = 54
    MAX_MEMORY = 55
    MAX_STORAGE = 56
    MAX_GPU = 57
    UP = 58  # 0 during an outage
    ENABLED = 59
    MAX_CONCURRENT = 60
    LEASE_CAPACITY = 61  # most leases at a time, -1 = no limit
    PER_MINUTE = 62  # bids, 0 = no limit
    PER_HOUR = 63
    LIST_CPU = 64  # whole, then atto
    LIST_CPU_ATTO = 65
    LIST_MEMORY = 66
    LIST_MEMORY_ATTO = 67
    LIST_STORAGE = 68
    LIST_STORAGE_ATTO = 69
    LIST_GPU = 70
    LIST_GPU_ATTO = 71
    MARGIN_PPM = 72
    MULTIPLIER_PPM = 73
    REPRICE_EVERY = 74  # blocks, 0 = never
    REPRICE_HIGH_PPM = 75
    REPRICE_LOW_PPM = 76
    REPRICE_UP_PPM = 77
    REPRICE_DOWN_PPM = 78
    REPRICE_MIN_PPM = 79
    REPRICE_MAX_PPM = 80
    NODES = 81  # > 1: capacity is packed node by node, on so many rows of nodes
    LEAVE_BLOCKS = 82  # mean blocks until this provider ends a lease; 0 = never
    WITHDRAW_EVERY = 83  # blocks between withdrawals of a lease (chains that settle when touched)
    UNDERCUT_PPM = 84
    UPTIME_PPM = 85
    AUDITED = 86
    DECIMALS = 87  # price rounded to this many decimals, 18 = no further rounding
    RANDOM_LOW = 88  # random range
    FIXED_WHOLE = 89  # added to every price (endpoints)
    FIXED_ATTO = 90
    REGION = 91  # interned region, for the score choice
    BID_TIMES = 92  # entries written in the ring of bid times
    BASE_SUBMITTED = 93
    BASE_ACCEPTED = 94
    BASE_WON = 95
    BASE_LOST = 96
    BASE_CLOSED = 97
    REPRICE_STEP_PPM = 98  # > 0: the multiplier follows use from MIN to MAX in such steps
    COST_PPM = 99  # this provider's relative cost draw
    FIRST_NODE = 100
    SIZE = 104


LANES = 8
"""Desks side by side in a row of `Engine.screen`: what the processor computes at once."""


class Screen(IntEnum):
    """What is computed of each desk for every order, eight desks a row: field f of a row's desk k is column f x LANES + k.

    Made of columns of Desk, kept up by `screen_desk`; the last four are what `screen_desks` finds.
    """

    SHUT = 0  # Desk.SHUT; ALONE where it is 0 and the price is not the plain linear one
    MAX_CPU = 1
    MAX_MEMORY = 2
    MAX_STORAGE = 3
    MAX_GPU = 4
    MIN_VALUE = 5
    MIN_VALUE_ATTO = 6
    LATENCY = 7  # LATENCY_BLOCKS, and 2^32 modulo it shifted by 32
    CPU_WHOLE = 8  # unit prices in the order of Desk: three limbs a resource
    FOUND = 20  # 0 it bids, 1 + Decline, or one of the numbers beside `screen_desks`
    PRICE = 21
    PRICE_ATTO = 22
    DELAY = 23  # the latency in blocks less one; where it comes from a profile, ~quantile
    SIZE = 24


class Strategy(IntEnum):
    """How a desk makes its price."""

    LINEAR = 0  # unit prices x quantities x (1 + margin): cost plus, scale, monthly targets
    RANDOM_RANGE = 1
    UNDERCUT = 2
    CUSTOM = 3  # a Python class or an operator's script; prices come in through the quotes table


class Plan(IntEnum):
    """A tenant's standing instructions for one deployment."""

    COHORT = 0
    TENANT = 1  # wallet
    DURATION = 2  # blocks from the first lease to the planned end
    TERMINATE = 3  # blocks to an early end, -1 = none
    LEAVE_PPM = 4  # unit exponential x 10^6, scaled by the provider's mean
    LEAVE_BLOCKS = 5  # blocks until the provider leaves, drawn with the order (reference market); -1 = none
    DEPLOY_DELAY = 6
    CHOICE = 7  # Choice
    CHOICE_K = 8
    NEVER = 9  # 1: never chooses
    PATIENCE = 10  # blocks, 0 = none
    TOP_UP = 11  # TopUp
    TOP_UP_AMOUNT = 12  # whole uve
    TOP_UP_LEFT = 13  # times left
    TOP_UP_DELAY = 14  # blocks (after depletion)
    TOP_UP_AT = 15  # blocks left that trigger it
    RESTART_LEFT = 16  # restarts the tenant will still make
    RESTART_DELAY = 17
    UTILIZATION_PPM = 18
    VALUE = 19  # per block (pair)
    VALUE_ATTO = 20
    DEPLOYMENT = 21
    QUOTE = 22  # row of the first group's prices in quotes, -1
    WEIGHT_PRICE = 23  # score choice, ppm
    WEIGHT_UPTIME = 24
    WEIGHT_AUDIT = 25
    WEIGHT_REGION = 26
    TOP_UP_DELAY_2 = 27
    TOP_UP_DELAY_3 = 28
    TOP_UPS_USED = 29
    STATUS = 30  # how the CreateDeployment was answered
    REGION = 31
    DEPOSIT = 32  # whole uve
    FIRST_LEASE = 33  # height of the deployment's first lease, 0 before
    SIZE = 34


class Choice(IntEnum):
    """How a tenant picks a bid."""

    LOWEST_PRICE = 0
    SCORE = 1
    RANDOM_AMONG_CHEAPEST = 2


class TopUp(IntEnum):
    """When a tenant adds funds."""

    NEVER = 0
    BEFORE = 1  # when so many blocks are left
    AFTER_DEPLETION = 2


class Track(IntEnum):
    """What the agents know of one order, a row an order."""

    PLAN = 0  # -1: nobody's plan (a message by hand)
    FIRST_OFFER = 1
    OFFERS = 2
    CHOOSING = 3  # 0 window open, 1 takes the first acceptable bid, 2 decided
    HELD_BY = 4  # desk that holds capacity for its lease, -1
    ENDED = 5  # Ended
    STAGE = 6  # furthest check that any desk reached (Stage)
    BIDS = 7  # bids accepted by the chain
    CPU = 8
    MEMORY = 9  # MiB, rounded up
    STORAGE = 10  # MiB, rounded up
    GPU = 11
    END_TAG = 12  # Ended that its next closing means
    DECIDED_AT = 13
    BEST = 14  # cheapest placed offer; -1 when none or unknown
    SIZE = 16


class Ended(IntEnum):
    """Why a lease ended, in the training document's terms."""

    RUNNING = 0
    TENANT_TERMINATED = 1
    LEASE_COMPLETED = 2
    INSUFFICIENT_FUNDS = 3
    PROVIDER_CLOSED = 4


class Stage(IntEnum):
    """How far an order got, for the reasons of unserved demand."""

    NO_ELIGIBLE = 0
    LIMITS = 1  # maxima, rate limits, queue, engine off
    NO_CAPACITY = 2
    BELOW_MIN_VALUE = 3
    OVER_CEILING = 4
    NO_DEPOSIT = 5
    BID = 6  # at least one bid stood


class Decline(IntEnum):
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


DECLINES = 10
ORDER_SHIFT = 28
DESK_SHIFT = 4
"""Bits below the order, and below the desk, in a number of `Engine.decline_rows`."""


class Offer(IntEnum):
    """One desk's bid under way: dated, queued or placed. A row is one cache line."""

    ORDER = 0  # -1 in a free row
    DESK = 1
    PRICE = 2
    PRICE_ATTO = 3
    TIME = 4  # milliseconds of submission
    TIE = 5
    NEXT = 6
    BID = 7  # bid row once placed, -1 before
    SIZE = 8


class Call(IntEnum):
    """One message of the inbox."""

    KEY = 0  # height x 16 + phase
    TIME = 1  # milliseconds of submission
    TIE = 2
    KIND = 3  # Kind
    A = 4
    B = 5
    C = 6
    D = 7
    E = 8
    F = 9
    G = 10
    H = 11
    SIZE = 12


class Entry(IntEnum):
    """One entry of the calendar's heap; two of them are a cache line."""

    KEY = 0  # height x 16 + phase
    TIE = 1
    WHAT = 2  # row x 64 + Kind
    SIZE = 4


class Later(IntEnum):
    """Ten calendar entries of the same chunk of blocks, three columns each: key, tie, what."""

    NEXT = 0  # next row of the chunk, or next free row; -1 = none
    FIRST_ENTRY = 2
    ENTRIES = 10
    SIZE = 32


class Chunk(IntEnum):
    """The calendar entries of a chunk of blocks that has not come yet."""

    LAST = 0  # row of later that takes the next entry, -1 = none yet; those before it are full
    USED = 1  # entries in that row
    SIZE = 2


class Phase(IntEnum):
    """Canonical phases of a block (rules of this project; a bid of a block is after its acceptances)."""

    GOVERN = 0
    USAGE = 1
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


class Kind(IntEnum):
    """Kinds of calendar entry and of inbox message."""

    ARRIVE = 1  # A plan, B deposit, C first draft, D drafts, E dseq, F window
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
    OUTAGE = 21  # A desk, B 1 down 0 up, C share of leases closed (ppm)
    BLOCK = 22  # A desk, B 1 block 0 unblock
    SETTLE = 23  # A account
    DEPOSIT = 24  # A account, B wallet, C amount
    CLOSE_DEPLOYMENT = 25  # A deployment
    SET_PARAM = 26  # A column of globals, B value
    CLOSE_BID = 27  # A bid, B reason


class Node(IntEnum):
    """Columns of Engine.nodes: what is free, over-commit included."""

    FREE_CPU = 0  # millicores
    FREE_MEMORY = 1  # MiB
    FREE_STORAGE = 2  # MiB
    FREE_GPU = 3
    SIZE = 4


class Watch(IntEnum):
    """Columns of Engine.accounts."""

    DUE = 0  # due height that stands in the calendar
    GRACE = 1
    TOP_UP = 2  # height of the next planned top-up, -1
    ALIVE = 3  # position in the alive list, -1
    SIZE = 4


class Sample(IntEnum):
    """Columns of the time series."""

    HEIGHT = 0
    ACTIVE = 1
    SHORT = 2
    OPEN_ORDERS = 3
    CPU = 4
    MEMORY = 5
    STORAGE = 6
    GPU = 7
    PAID = 8
    CREATED = 9
    LEASED = 10
    SUBMITTED = 11
    HELD = 12
    WARNINGS = 13
    SIZE = 14


class BidRow(IntEnum):
    """Columns of the bids record."""

    HEIGHT = 0
    ORDER = 1
    DESK = 2
    PRICE = 3
    PRICE_ATTO = 4
    LATENCY = 5
    STATUS = 6
    SIZE = 8


class _EngineTables(NamedTuple):
    """All tables of the built-in agents; every field an int64 array."""

    globals: Table
    desks: Table
    screen: Table
    """(Screen, desks)."""
    plans: Table
    tracks: Table
    """A row an order of the chain."""
    plan_of: Table
    """1-D, an entry a deployment of the chain: its plan or -1."""
    accounts: Table
    """A row an escrow account of the chain: due height in the calendar, position in the alive list, top-up in the calendar."""
    offers: Table
    ring: Table
    """(RING, 2): first and last offer dated for a block, -1."""
    batch: Table
    """1-D work space: the offers of one block in canonical order."""
    calendar: Table
    later: Table
    """Entries of the calendar whose chunk of blocks is not open yet."""
    chunks: Table
    """A row a chunk of blocks (columns Chunk); the last holds everything beyond."""
    inbox: Table
    alive: Table
    """1-D: accounts with open payments, in no particular order."""
    fits: Table
    """(specs, rows of `screen`): 0 the desk may bid, else 1 + Decline, a byte a desk (`codes_of`)."""
    declined: Table
    """(Decline, LANES x rows of `screen` or more): counts by desk."""
    rejected: Table
    """(desks, statuses): counts."""
    quotes: Table
    """(rows, 2 x desks): prices of custom desks, whole and atto; whole -1 = no bid."""
    samples: Table
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
    bid_rows: Table
    """Placed bids as a record, when every bid row is kept."""
    decline_rows: Table
    """1-D, then too: each order that a desk did not bid on as order << ORDER_SHIFT | desk << DESK_SHIFT | Decline, after ~height (which is
    negative) where the height is another than before."""
    nodes: Table
    """The nodes of desks that have more than one, those of a desk side by side."""
    offer_nodes: Table
    """Where the replicas of offers with a reservation stand (`packing`); no rows where no desk has nodes."""
    order_nodes: Table
    """Where the replicas of leased orders stand."""


class Engine(TableSet, _EngineTables):
    """All tables of the built-in agents, passed to compiled code as one address."""

    lines = frozenset({"globals", "plan_of", "batch", "alive", "latency", "audit_held", "decline_rows"})
    widths: ClassVar[Mapping[str, int]] = {
        "desks": Desk.SIZE + 0,
        "screen": Screen.SIZE * LANES,
        "plans": Plan.SIZE + 0,
        "tracks": Track.SIZE + 0,
        "accounts": Watch.SIZE + 0,
        "offers": Offer.SIZE + 0,
        "ring": 2,
        "calendar": Entry.SIZE + 0,
        "later": Later.SIZE + 0,
        "chunks": Chunk.SIZE + 0,
        "inbox": Call.SIZE + 0,
        "samples": Sample.SIZE + 0,
        "bid_rows": BidRow.SIZE + 0,
    }


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


def make_engine(desks: int, rows: int = 64) -> Engine:
    """Return empty engine tables for `desks` providers with room for `rows` rows in each growing table."""
    values = np.zeros(E.SIZE, np.int64)
    values[E.FREE_OFFER] = -1
    values[E.PROVIDERS] = desks
    values[E.EVENT_ROOM] = 16_384
    values[E.EXECUTED] = -1
    values[E.LAST_BLOCK] = -1
    values[E.DECLINED_AT] = -1
    values[E.LAST_WON] = -1
    values[E.NEXT_BIDS] = FAR
    values[E.FREE_LATER] = -1
    watch = np.full((rows, Watch.SIZE), -1, np.int64)
    tables: Mapping[str, Any] = {
        "globals": values,
        "desks": rows_of(max(desks, 1), Desk.SIZE),
        "screen": rows_of(rows_of_lanes(desks), Screen.SIZE * LANES),
        "plans": np.zeros((rows, Plan.SIZE), np.int64),
        "tracks": rows_of(rows, Track.SIZE),
        "plan_of": np.full(rows, -1, np.int64),
        "accounts": watch,
        "offers": rows_of(rows, Offer.SIZE),
        "ring": np.full((RING, 2), -1, np.int64),
        "batch": np.zeros(rows, np.int64),
        "calendar": rows_of(rows, Entry.SIZE),
        "later": rows_of(rows, Later.SIZE),
        "chunks": np.full((1, Chunk.SIZE), -1, np.int64),
        "inbox": np.zeros((0, Call.SIZE), np.int64),
        "alive": np.zeros(rows, np.int64),
        "fits": no_fits(1, desks),
        "declined": np.zeros((DECLINES, LANES * rows_of_lanes(desks)), np.int64),
        "rejected": np.zeros((max(desks, 1), 128), np.int64),
        "quotes": np.zeros((0, 2 * max(desks, 1)), np.int64),
        "samples": np.zeros((rows, Sample.SIZE), np.int64),
        "latencies": np.full((1, QUANTILES), 1500, np.int64),
        "latency": np.zeros(60_001, np.int64),
        "bid_times": np.full((max(desks, 1), 128), -(10**15), np.int64),
        "audit_values": np.zeros((rows, 2), np.int64),
        "audit_held": np.zeros(2, np.int64),
        "bid_rows": np.zeros((0, BidRow.SIZE), np.int64),
        "decline_rows": np.zeros(0, np.int64),
        "nodes": np.zeros((0, Node.SIZE), np.int64),
        "offer_nodes": np.zeros((0, 1), np.int64),
        "order_nodes": np.zeros((0, 1), np.int64),
    }
    return Engine(**tables)
