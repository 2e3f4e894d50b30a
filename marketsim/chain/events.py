"""The chain's record: every event is fingerprinted, the chosen kinds are kept as rows.

The fingerprint is two 64-bit lanes, each a running product; it depends on every field of every event and on
their order. Compiled code computes in unsigned integers, which wrap; without compilation the same functions run
on Python integers with masks.
"""

from __future__ import annotations

from marketsim.chain.state import State
from marketsim.kernel.compiled import COMPILING, compiled, compiled_inline
from marketsim.kernel.intrinsics import rarely

_MASK = (1 << 64) - 1
_SIGN = 1 << 63

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
def emit(s: State, kind: int, subject: int, other: int, whole: int, atto: int, extra: int) -> None:
    """Put one event at G.height on the record: fingerprinted and counted, and kept when G.event_mask has its
    bit.

    The caller guarantees a free row in `events` for every event that a message can cause.
    """
    g = s.globals
    lane_a, lane_b = mix_event(g.fingerprint_a, g.fingerprint_b, g.height, kind, subject, other, whole, atto, extra)
    g.fingerprint_a = lane_a
    g.fingerprint_b = lane_b
    g.events_total += 1
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


@compiled_inline
def note(s: State, kind: int, subject: int, other: int, whole: int, atto: int, extra: int) -> None:
    """Keep a row of a kind that follows from other events (a bid lost to a lease), and fingerprint nothing."""
    g = s.globals
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


@compiled
def book_income(s: State, slot: int, net: int, take: int) -> None:
    """Add a pay-out to its provider's income by day; what is due at a day's last block is of that day."""
    g = s.globals
    if g.day_blocks == 0 or slot >= s.income.shape[0]:
        return
    height = max(g.height, 1)
    days = s.income.shape[1] - 2
    s.income[slot, min((height - 1) // g.day_blocks, days - 1)] += net
    if height > g.income_from:
        s.income[slot, days] += net
        s.income[slot, days + 1] += take


def fingerprint(state: State) -> str:
    """Return the fingerprint of the record so far: 32 hex digits."""
    lanes = (int(state.globals.fingerprint_a) & _MASK, int(state.globals.fingerprint_b) & _MASK)
    return f"{lanes[0]:016x}{lanes[1]:016x}"
