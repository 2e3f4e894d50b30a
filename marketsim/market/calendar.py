"""What is due at which block, in canonical order: a small heap of what comes soon, and lists of what comes later.

Blocks go in chunks of 256. The entries of later chunks wait, ten to a row of `Engine.later` and the rows of a chunk in a list, and
move into the heap when their chunk is opened, so that the heap stays small enough for the processor's nearest memory. In the
heap (`Engine.calendar`) row 1 is the first entry and the children of row k are 2k and 2k + 1, side by side in one cache line. Bids are
in neither: they wait in `Engine.ring`.
"""

from __future__ import annotations

from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.market.tables import PHASES, Engine, Later

FIRST = 1
"""Row of the first entry."""
KINDS = 64
"""Factor of the row in Entry.what, more than there are kinds."""
CHUNK_BITS = 8
"""A chunk is 2^CHUNK_BITS blocks."""


@compiled_inline
def precedes(e: Engine, row: int, key: int, tie: int, what: int) -> bool:
    """Return whether the entry in `row` comes before (key, tie, what): by block and phase, then tie, row and kind."""
    entry = e.calendar[row]
    if entry.key != key:
        return bool(entry.key < key)
    if entry.tie != tie:
        return bool(entry.tie < tie)
    return bool(entry.what < what)


@compiled_inline
def put(e: Engine, row: int, key: int, tie: int, what: int) -> None:
    """Write an entry."""
    entry = e.calendar[row]
    entry.key = key
    entry.tie = tie
    entry.what = what


@compiled_inline
def rise(e: Engine, key: int, tie: int, what: int) -> None:
    """Enter (key, tie, what) into the heap."""
    x = e.globals
    at = x.calendar + 1
    x.calendar = at
    while at > FIRST and not precedes(e, at >> 1, key, tie, what):
        above = e.calendar[at >> 1]
        put(e, at, above.key, above.tie, above.what)
        at >>= 1
    put(e, at, key, tie, what)


@compiled
def push(e: Engine, height: int, phase: int, tie: int, kind: int, row: int) -> None:
    """Enter `kind` for `row` at `height` in `phase`; room is guaranteed by the block loop."""
    x = e.globals
    chunk = min(height >> CHUNK_BITS, e.chunks.shape[0] - 1)  # the last holds everything beyond the horizon
    if chunk <= x.chunk:
        rise(e, height * PHASES + phase, tie, row * KINDS + kind)
        return
    entries = e.chunks[chunk]
    used = entries.used
    if used == Later.ENTRIES or entries.last < 0:
        at = x.free_later
        if at >= 0:
            x.free_later = e.later[at, Later.NEXT]
        else:
            at = x.later
            x.later = at + 1
        e.later[at, Later.NEXT] = entries.last
        entries.last = at
        used = 0
    entries.used = used + 1
    x.waiting += 1
    later = e.later[entries.last]
    column = Later.FIRST_ENTRY + 3 * used
    later[column] = height * PHASES + phase
    later[column + 1] = tie
    later[column + 2] = row * KINDS + kind


@compiled
def open_chunk(e: Engine) -> None:
    """Move the entries of the next chunk into the heap."""
    x = e.globals
    x.chunk += 1
    entries = e.chunks[x.chunk]
    at = entries.last
    used = entries.used
    entries.last = -1
    while at >= 0:
        later = e.later[at]
        for k in range(used):
            column = Later.FIRST_ENTRY + 3 * k
            rise(e, later[column], later[column + 1], later[column + 2])
        x.waiting -= used
        following = later[Later.NEXT]
        later[Later.NEXT] = x.free_later
        x.free_later = at
        at = following
        used = Later.ENTRIES


@compiled
def drop_first(e: Engine) -> None:
    """Remove the first entry of the heap."""
    x = e.globals
    last = x.calendar
    x.calendar = last - 1
    entry = e.calendar[last]
    key, tie, what = entry.key, entry.tie, entry.what
    at = FIRST
    child = 2 * FIRST
    while child < last:
        below = e.calendar[child]
        if child + 1 < last and precedes(e, child + 1, below.key, below.tie, below.what):
            child += 1
            below = e.calendar[child]
        if not precedes(e, child, key, tie, what):
            break
        put(e, at, below.key, below.tie, below.what)
        at = child
        child = 2 * at
    put(e, at, key, tie, what)
