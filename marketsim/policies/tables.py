"""What the built-in agents keep: provider desks, tenants' plans, offers under way and the calendar of what is due."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from marketsim.chain.table_set import TableSet, register

Table = NDArray[np.int64]

RING = 4096
"""Blocks ahead that a bid can be dated: a power of two. Longer latencies are cut to RING - 2 blocks (6.8 hours at 6 s)."""

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
    SIZE = 52


class Desk(IntEnum):
    """One provider's bid engine, a row a provider (the chain's provider slot).

    What every order reads comes first, then what every bid reads and writes: few cache lines a desk. The limbs of a unit price are whole
    uve, the next nine decimals, the next nine and the last six: the unit price after spread and repricing, times 1 + margin, exact at
    24 decimals.
    """

    UP = 0  # 0 during an outage
    ENABLED = 1
    STRATEGY = 2  # Strategy
    PLAIN = 3  # 1: the price is the linear one, without a fixed part and without further rounding
    MAX_CPU = 4
    MAX_MEMORY = 5
    MAX_STORAGE = 6
    MAX_GPU = 7
    CPU_WHOLE = 8
    CPU_NANO = 9
    CPU_ATTO = 10
    CPU_TINY = 11
    MEMORY_WHOLE = 12
    MEMORY_NANO = 13
    MEMORY_ATTO = 14
    MEMORY_TINY = 15
    STORAGE_WHOLE = 16
    STORAGE_NANO = 17
    STORAGE_ATTO = 18
    STORAGE_TINY = 19
    GPU_WHOLE = 20
    GPU_NANO = 21
    GPU_ATTO = 22
    GPU_TINY = 23
    MIN_VALUE = 24  # whole uve
    MIN_VALUE_ATTO = 25
    LATENCY_BLOCKS = 26  # n > 0: 1 + hash % n whole blocks (reference market)
    LATENCY_PROFILE = 27  # row in latencies
    OPEN_BIDS = 28  # bids whose outcome is unknown
    MAX_CONCURRENT = 29
    QUEUED = 30
    WALLET = 31
    CAP_CPU = 32  # millicores, over-commit included
    CAP_MEMORY = 33  # MiB
    CAP_STORAGE = 34  # MiB
    CAP_GPU = 35
    LEASED_CPU = 36
    LEASED_MEMORY = 37
    LEASED_STORAGE = 38
    LEASED_GPU = 39
    RESERVED_CPU = 40
    RESERVED_MEMORY = 41
    RESERVED_STORAGE = 42
    RESERVED_GPU = 43
    LEASES = 44
    LEASE_CAPACITY = 45  # most leases at a time, -1 = no limit
    PER_MINUTE = 46  # bids, 0 = no limit
    PER_HOUR = 47
    SUBMITTED = 48
    ACCEPTED = 49
    WON = 50
    LOST = 51
    CLOSED = 52
    WINDOW = 53  # akash: notice offered with bids, seconds
    BID_TIMEOUT = 54  # blocks, 0 = none
    LIST_CPU = 55  # whole, then atto
    LIST_CPU_ATTO = 56
    LIST_MEMORY = 57
    LIST_MEMORY_ATTO = 58
    LIST_STORAGE = 59
    LIST_STORAGE_ATTO = 60
    LIST_GPU = 61
    LIST_GPU_ATTO = 62
    MARGIN_PPM = 63
    QUEUE_HEAD = 64
    QUEUE_TAIL = 65
    MULTIPLIER_PPM = 66
    REPRICE_EVERY = 67  # blocks, 0 = never
    REPRICE_HIGH_PPM = 68
    REPRICE_LOW_PPM = 69
    REPRICE_UP_PPM = 70
    REPRICE_DOWN_PPM = 71
    REPRICE_MIN_PPM = 72
    REPRICE_MAX_PPM = 73
    NODES = 74  # 1: capacity is packed node by node
    LEAVE_BLOCKS = 75  # mean blocks until this provider ends a lease; 0 = never
    WITHDRAW_EVERY = 76  # blocks between withdrawals of a lease (chains that settle when touched)
    UNDERCUT_PPM = 77
    UPTIME_PPM = 78
    AUDITED = 79
    DECIMALS = 80  # price rounded to this many decimals, 18 = no further rounding
    RANDOM_LOW = 81  # random range
    SINCE = 82  # height of the last change of what is leased
    SUM_CPU = 83  # leased x blocks since warm-up
    SUM_MEMORY = 84
    SUM_STORAGE = 85
    SUM_GPU = 86
    FIXED_WHOLE = 87  # added to every price (endpoints)
    FIXED_ATTO = 88
    REGION = 89  # interned region, for the score choice
    BID_TIMES = 90  # entries written in the ring of bid times
    BASE_SUBMITTED = 91
    BASE_ACCEPTED = 92
    BASE_WON = 93
    BASE_LOST = 94
    BASE_CLOSED = 95
    REPRICE_STEP_PPM = 96  # > 0: the multiplier follows use from MIN to MAX in such steps
    COST_PPM = 97  # this provider's relative cost draw
    SIZE = 104


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


class Offer(IntEnum):
    """One desk's bid under way: dated, queued or placed."""

    ORDER = 0
    DESK = 1
    PRICE = 2
    PRICE_ATTO = 3
    TIME = 4  # milliseconds of submission
    TIE = 5
    NEXT = 6
    BID = 7  # bid row once placed, -1 before
    STATE = 8  # 0 dated, 1 queued, 2 placed
    LATENCY = 9  # milliseconds
    PLACED_AT = 10
    SIZE = 12


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
    """One calendar entry."""

    KEY = 0
    TIME = 1
    TIE = 2
    KIND = 3
    ROW = 4
    SIZE = 6


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
    BIDS = 3  # the offers dated for this block
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


class _EngineTables(NamedTuple):
    """All tables of the built-in agents; every field an int64 array."""

    globals: Table
    desks: Table
    plans: Table
    tracks: Table
    """A row an order of the chain."""
    plan_of: Table
    """1-D, an entry a deployment of the chain: its plan or -1."""
    accounts: Table
    """A row an escrow account of the chain: due height in the calendar, position in the alive list, top-up in the calendar."""
    offers: Table
    ring: Table
    """(RING, 3): first and last offer dated for a block, and how many."""
    batch: Table
    """1-D work space: the offers of one block in canonical order."""
    calendar: Table
    inbox: Table
    alive: Table
    """1-D: accounts with open payments, in no particular order."""
    fits: Table
    """(specs, desks): 0 the desk may bid, else 1 + Decline."""
    declined: Table
    """(desks, Decline): counts."""
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


class Engine(TableSet, _EngineTables):
    """All tables of the built-in agents, passed to compiled code as one address."""

    lines = frozenset({"globals", "plan_of", "batch", "alive", "latency", "audit_held"})


register(Engine)


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


def make_engine(desks: int, rows: int = 64) -> Engine:
    """Return empty engine tables for `desks` providers with room for `rows` rows in each growing table."""
    values = np.zeros(E.SIZE, np.int64)
    values[E.FREE_OFFER] = -1
    values[E.PROVIDERS] = desks
    values[E.EVENT_ROOM] = 16_384
    values[E.EXECUTED] = -1
    values[E.LAST_BLOCK] = -1
    values[E.LAST_WON] = -1
    watch = np.full((rows, Watch.SIZE), -1, np.int64)
    tables: Mapping[str, Any] = {
        "globals": values,
        "desks": np.zeros((max(desks, 1), Desk.SIZE), np.int64),
        "plans": np.zeros((rows, Plan.SIZE), np.int64),
        "tracks": np.zeros((rows, Track.SIZE), np.int64),
        "plan_of": np.full(rows, -1, np.int64),
        "accounts": watch,
        "offers": np.zeros((rows, Offer.SIZE), np.int64),
        "ring": np.full((RING, 3), [-1, -1, 0], np.int64),
        "batch": np.zeros(rows, np.int64),
        "calendar": np.zeros((rows, Entry.SIZE), np.int64),
        "inbox": np.zeros((0, Call.SIZE), np.int64),
        "alive": np.zeros(rows, np.int64),
        "fits": np.zeros((1, max(desks, 1)), np.int64),
        "declined": np.zeros((max(desks, 1), DECLINES), np.int64),
        "rejected": np.zeros((max(desks, 1), 128), np.int64),
        "quotes": np.zeros((0, 2 * max(desks, 1)), np.int64),
        "samples": np.zeros((rows, Sample.SIZE), np.int64),
        "latencies": np.full((1, QUANTILES), 1500, np.int64),
        "latency": np.zeros(60_001, np.int64),
        "bid_times": np.full((max(desks, 1), 128), -(10**15), np.int64),
        "audit_values": np.zeros((rows, 2), np.int64),
        "audit_held": np.zeros(2, np.int64),
        "bid_rows": np.zeros((0, BidRow.SIZE), np.int64),
    }
    return Engine(**tables)
