"""The chain's record: every event is fingerprinted by the names of what it is about, the chosen kinds are kept as rows.

The fingerprint is two 64-bit lanes, each a running product; it depends on every event and on their order. A kept row says where the
object stands in memory, the fingerprint knows its name alone (columns ID): the same events have the same fingerprint wherever rows are
used again or kept. Compiled code computes in unsigned integers, which wrap; without compilation the same functions run on Python
integers with masks.
"""

from __future__ import annotations

from marketsim.chain.columns import EventKind
from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.intrinsics import rarely
from marketsim.kernel.modes import COMPILING

_MASK = (1 << 64) - 1
SIZES = 62
"""What a group asks for, in the fingerprint beside the kinds of event."""
OF_DEPLOYMENT, OF_GROUP, OF_ORDER, OF_BID = 41, 42, 43, 44
_SIGN = 1 << 63
TRAIL_BLOCKS = 100
"""Blocks of a chunk of the trail; chunk 0 is what stands before the first block."""
SUM = (1 << 62) - 1
"""What the sums of a trail are taken modulo, less one: two of them fit in an int64."""
PRICED = 1 << EventKind.ORDER_CREATED | 1 << EventKind.BID_CREATED | 1 << EventKind.LEASE_CREATED | 1 << EventKind.REPRICED
"""Kinds of event, a bit each, whose figures are prices."""
PAYING = (
    1 << EventKind.DEPOSITED
    | 1 << EventKind.REFUNDED
    | 1 << EventKind.SETTLED
    | 1 << EventKind.PAID
    | 1 << EventKind.SHORTFALL
    | 1 << EventKind.USAGE_RECORDED
    | 1 << EventKind.NETWORK_FEE
    | 1 << EventKind.USAGE_ESCROW_OPENED
    | 1 << EventKind.FEES_SPLIT
    | 1 << EventKind.USAGE_ESCROW_ENDED
)
"""Kinds of event whose figures are payments."""

# Odd constants with well-spread bits, as int64: the first from the golden ratio, the others from the
# finalizers of splitmix64 and murmur3 and from primes of xxhash.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_A = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_B = 0x94D049BB133111EB - (1 << 64)
_MIX_C = 0xFF51AFD7ED558CCD - (1 << 64)
_MIX_D = 0xC4CEB9FE1A85EC53 - (1 << 64)
_MIX_E = 0xC2B2AE3D27D4EB4F - (1 << 64)
_MIX_F = 0x165667B19E3779F9
_MIX_G = 0x27D4EB2F165667C5

if COMPILING:
    import numpy as np

    # Signed products that overflow are undefined in compiled code (numba marks them "no signed wrap", and the
    # optimizer once made other fingerprints of the same events); unsigned ones wrap by definition.
    _U_GOLDEN, _U_A, _U_B, _U_C, _U_D, _U_E, _U_F, _U_G = (
        np.uint64(x & _MASK) for x in (_GOLDEN, _MIX_A, _MIX_B, _MIX_C, _MIX_D, _MIX_E, _MIX_F, _MIX_G)
    )
    _U1, _U27, _U29, _U30, _U31, _U32 = (np.uint64(x) for x in (1, 27, 29, 30, 31, 32))
    _U_POSITIVE = np.uint64(0x7FFFFFFFFFFFFFFF)

    @compiled_inline
    def hash64(seed: int, a: int, b: int, c: int) -> int:
        """Return a hash of four integers, 0 <= hash < 2^63; stateless, the same compiled and not."""
        z = np.uint64(seed) * _U_GOLDEN + np.uint64(a) * _U_C + np.uint64(b) * _U_D + np.uint64(c) * _U_E + _U_F
        z = (z ^ (z >> _U30)) * _U_A
        z = (z ^ (z >> _U27)) * _U_B
        z ^= z >> _U31
        z = (z + _U_GOLDEN) * _U_C
        z ^= z >> _U29
        return np.int64(z & _U_POSITIVE)  # type: ignore[return-value]

    @compiled_inline
    def mix_event(
        lane_a: int,
        lane_b: int,
        height: int,
        kind: int,
        subject: int,
        other: int,
        whole: int,
        atto: int,
        extra: int,
    ) -> tuple[int, int]:
        """Return the two lanes of the fingerprint after one more event."""
        near = np.uint64(kind) * _U_A + np.uint64(subject) * _U_B + np.uint64(other) * _U_C + np.uint64(height) * _U_F
        far = np.uint64(whole) * _U_D + np.uint64(atto) * _U_E + np.uint64(extra) * _U_G
        near ^= near >> _U32
        far ^= far >> _U32
        a = (np.uint64(lane_a) ^ (near + far)) * _U_A
        b = (np.uint64(lane_b) + (near ^ (far * _U_F)) + _U1) * _U_B
        return np.int64(a ^ (a >> _U32)), np.int64(b ^ (b >> _U29))  # type: ignore[return-value]

else:

    def _signed(value: int) -> int:
        value &= _MASK
        return value - (1 << 64) if value & _SIGN else value

    def hash64(seed: int, a: int, b: int, c: int) -> int:
        """Return a hash of four integers, 0 <= hash < 2^63; stateless, the same compiled and not."""
        z = (int(seed) * _GOLDEN + int(a) * _MIX_C + int(b) * _MIX_D + int(c) * _MIX_E + _MIX_F) & _MASK
        z = (z ^ (z >> 30)) * _MIX_A & _MASK
        z = (z ^ (z >> 27)) * _MIX_B & _MASK
        z ^= z >> 31
        z = (z + _GOLDEN) * _MIX_C & _MASK
        z ^= z >> 29
        return z & 0x7FFFFFFFFFFFFFFF

    def mix_event(
        lane_a: int,
        lane_b: int,
        height: int,
        kind: int,
        subject: int,
        other: int,
        whole: int,
        atto: int,
        extra: int,
    ) -> tuple[int, int]:
        """Return the two lanes of the fingerprint after one more event."""
        near = (int(kind) * _MIX_A + int(subject) * _MIX_B + int(other) * _MIX_C + int(height) * _MIX_F) & _MASK
        far = (int(whole) * _MIX_D + int(atto) * _MIX_E + int(extra) * _MIX_G) & _MASK
        near ^= near >> 32
        far ^= far >> 32
        lane_a = ((int(lane_a) & _MASK) ^ ((near + far) & _MASK)) * _MIX_A & _MASK
        lane_b = (int(lane_b) + (near ^ (far * _MIX_F & _MASK)) + 1) * _MIX_B & _MASK
        return _signed(lane_a ^ (lane_a >> 32)), _signed(lane_b ^ (lane_b >> 29))


@compiled_inline
def deployment_identity(s: State, owner: int, dseq: int) -> int:
    """Return the identity of a deployment."""
    return hash64(s.wallets[owner].id, dseq, 0, OF_DEPLOYMENT)


@compiled_inline
def group_identity(s: State, group: int) -> int:
    """Return the identity of a group, which has no column of its own."""
    row = s.groups[group]
    return hash64(s.deployments[row.deployment].id, row.gseq, 0, OF_GROUP)


@compiled_inline
def order_identity(s: State, deployment: int, gseq: int, oseq: int) -> int:
    """Return the identity of an order."""
    return hash64(s.deployments[deployment].id, gseq, oseq, OF_ORDER)


@compiled_inline
def bid_identity(s: State, order: int, slot: int) -> int:
    """Return the identity of a bid by the provider in row `slot`, of its deposit's account and of its lease."""
    return hash64(s.orders[order].id, s.providers[slot].id, 0, OF_BID)


@compiled_inline
def subject_identity(s: State, kind: int, subject: int) -> int:
    """Return the identity of what an event is about."""
    if kind <= EventKind.DEPLOYMENT_CLOSED:
        return s.deployments[subject].id
    if kind <= EventKind.GROUP_CLOSED:
        return group_identity(s, subject)
    if kind <= EventKind.BID_CLOSED:
        return s.orders[subject].id
    if kind == EventKind.DEPOSITED or kind == EventKind.REFUNDED or kind == EventKind.FORCED_SETTLEMENT:
        return s.accounts[subject].id
    if kind == EventKind.PROVIDER_BLOCKED or kind == EventKind.PROVIDER_UNBLOCKED or kind == EventKind.OUTAGE or kind == EventKind.REPRICED:
        return s.providers[subject].id
    if kind == EventKind.MESSAGE_REFUSED or kind == EventKind.NETWORK_FEE:
        return s.wallets[subject].id
    if kind == EventKind.PARAMS_CHANGED:
        return subject
    if kind == EventKind.PROVIDER_FAULT:
        return s.providers[subject].id
    if kind == EventKind.TENANT_FAULT:
        return s.wallets[subject].id
    return s.leases[subject].id


@compiled_inline
def other_identity(s: State, kind: int, other: int) -> int:
    """Return what an event says beside its subject: an identity or a number; 0 for a row that the subject's name implies."""
    if kind == EventKind.DEPOSITED or kind == EventKind.REFUNDED:
        return s.wallets[other].id
    if kind == EventKind.BID_CREATED or kind == EventKind.BID_WON:
        return s.providers[other].id
    if kind == EventKind.ORDER_CLOSED:
        return other
    if kind <= EventKind.LEASE_CREATED or kind == EventKind.PAID or kind == EventKind.USAGE_ESCROW_OPENED:
        return 0
    return other


@compiled_inline
def chunk_of(s: State, height: int) -> int:
    """Return the row of the trail of a block; what lies behind its last one stays in that one."""
    return min((height + TRAIL_BLOCKS - 1) // TRAIL_BLOCKS, s.trail.shape[0] - 1)


@compiled
def leave_trail(s: State, kind: int, identity: int, other: int, whole: int, atto: int, extra: int) -> None:
    """Take one event at G.height into the trail."""
    height = s.globals.height
    row = s.trail[chunk_of(s, height)]
    what = hash64(identity, kind, other, height)
    row.events = hash64(row.events, what, 0, 0)
    if whole == 0 and atto == 0 and extra == 0:
        return
    figures = hash64(what, whole, atto, extra) & SUM
    if (PRICED >> kind) & 1 == 1:
        row.prices = (row.prices + figures) & SUM
    elif (PAYING >> kind) & 1 == 1:
        row.payments = (row.payments + figures) & SUM
    else:
        row.states = (row.states + figures) & SUM


@compiled
def leave_settlement(s: State, kind: int, identity: int, other: int, whole: int, atto: int, extra: int) -> None:
    """Take what a cadence settled into the trail, in the chunk of its own height."""
    height = s.globals.height
    row = s.trail[chunk_of(s, height)]
    row.settlements = (row.settlements + (hash64(hash64(identity, kind, other, height), whole, atto, extra) & SUM)) & SUM


@compiled
def leave_fact(s: State, identity: int, a: int, b: int, c: int) -> None:
    """Take into the trail what no event says of a thing, where somebody keeps one."""
    if s.trail.shape[0] == 0:
        return
    height = s.globals.height
    row = s.trail[chunk_of(s, height)]
    row.states = (row.states + (hash64(hash64(identity, a, b, c), height, 0, 0) & SUM)) & SUM


@compiled_inline
def mix_identities(s: State, kind: int, subject: int, other: int, whole: int, atto: int, extra: int) -> int:
    """Take one event at G.height into the fingerprint and the trail; `subject` and `other` are rows or numbers as in its row.

    Returns the identity of the subject.
    """
    g = s.globals
    more = extra
    if kind <= EventKind.LEASE_CREATED:
        more = 0  # rows
    identity, also = subject_identity(s, kind, subject), other_identity(s, kind, other)
    lane_a, lane_b = mix_event(g.fingerprint_a, g.fingerprint_b, g.height, kind, identity, also, whole, atto, more)
    g.fingerprint_a = lane_a
    g.fingerprint_b = lane_b
    if s.trail.shape[0] > 0:
        leave_trail(s, kind, identity, also, whole, atto, more)
    return identity


@compiled_inline
def mix_sizes(s: State, group: int) -> None:
    """Take what a new group asks for into the fingerprint: no event says it."""
    g = s.globals
    row = s.groups[group]
    lane_a, lane_b = mix_event(
        g.fingerprint_a,
        g.fingerprint_b,
        g.height,
        SIZES,
        group_identity(s, group),
        row.cpu,
        row.memory,
        row.storage,
        row.gpu,
    )
    g.fingerprint_a = lane_a
    g.fingerprint_b = lane_b
    leave_fact(s, hash64(group_identity(s, group), row.cpu, row.memory, row.storage), row.gpu, SIZES, 0)


@compiled_inline
def emit(s: State, kind: int, subject: int, other: int, whole: int, atto: int, extra: int) -> None:
    """Put one event at G.height on the record: fingerprinted, and kept when G.event_mask has its bit.

    The caller guarantees a free row in `events` for every event that a message can cause.
    """
    g = s.globals
    identity = mix_identities(s, kind, subject, other, whole, atto, extra)
    if rarely((g.event_mask >> kind) & 1 == 1):
        row = g.events
        g.events = row + 1
        event = s.events[row]
        event.height = g.height
        event.kind = kind
        event.subject = subject
        event.other = other
        event.whole = whole
        event.atto = atto
        event.extra = extra
        event.identity = identity


@compiled_inline
def note(s: State, kind: int, subject: int, other: int, whole: int, atto: int, extra: int) -> None:
    """Keep a row of a kind that follows from other events, and fingerprint nothing: a bid lost to a lease; what a cadence settles, which is
    on the record when somebody looks at the account.
    """
    g = s.globals
    if s.trail.shape[0] > 0 and (PAYING >> kind) & 1 == 1:
        leave_settlement(s, kind, s.leases[subject].id, 0, whole, atto, extra)
    if rarely((g.event_mask >> kind) & 1 == 1):
        row = g.events
        g.events = row + 1
        event = s.events[row]
        event.height = g.height
        event.kind = kind
        event.subject = subject
        event.other = other
        event.whole = whole
        event.atto = atto
        event.extra = extra
        event.identity = ~subject_identity(s, kind, subject)


@compiled
def book_income(s: State, slot: int, net: int, take: int) -> None:
    """Add a pay-out to its provider's income by day; what is due at a day's last block is of that day."""
    g = s.globals
    if g.day_blocks == 0 or slot >= s.income.shape[0]:
        return
    s.providers[slot].earned += net
    s.providers[slot].taken += take
    height = max(g.height, 1)
    days = s.income.shape[1] - 2
    s.income[slot, min((height - 1) // g.day_blocks, days - 1)] += net
    if height > g.income_from:
        s.income[slot, days] += net
        s.income[slot, days + 1] += take


def fingerprint(state: State) -> str:
    """Return the fingerprint of the events so far, 32 hex digits; what a market holds beside them is in `marketsim.market.identity`."""
    lanes = (int(state.globals.fingerprint_a) & _MASK, int(state.globals.fingerprint_b) & _MASK)
    return f"{lanes[0]:016x}{lanes[1]:016x}"
