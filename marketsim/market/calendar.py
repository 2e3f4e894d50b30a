"""What is due at which block, in canonical order: a small heap of what comes soon, and lists of what comes later.

Blocks go in chunks of 256. The entries of later chunks wait, ten to a row of `Engine.later` and the rows of a chunk in a list, and
move into the heap when their chunk is opened, so that the heap stays small enough for the processor's nearest memory. In the
heap (`Engine.calendar`) row 1 is the first entry and the children of row k are 2k and 2k + 1, side by side in one cache line. Bids are
in neither: they wait in `Engine.ring`.
"""

from __future__ import annotations

from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.market.tables import Chunk, E, Engine, Entry, Later

FIRST = 1
"""Row of the first entry."""
KINDS = 64
"""Factor of the row in Entry.WHAT, more than there are kinds."""
CHUNK_BITS = 8
"""A chunk is 2^CHUNK_BITS blocks."""


@compiled_inline
def precedes(e: Engine, row: int, key: int, tie: int, what: int) -> bool:
    """Return whether the entry in `row` comes before (key, tie, what): by block and phase, then tie, row and kind."""
    entry = e.calendar[row]
    if entry[Entry.KEY] != key:
        return bool(entry[Entry.KEY] < key)
    if entry[Entry.TIE] != tie:
        return bool(entry[Entry.TIE] < tie)
    return bool(entry[Entry.WHAT] < what)


@compiled_inline
def put(e: Engine, row: int, key: int, tie: int, what: int) -> None:
    """Write an entry."""
    entry = e.calendar[row]
    entry[Entry.KEY] = key
    entry[Entry.TIE] = tie
    entry[Entry.WHAT] = what


@compiled_inline
def rise(e: Engine, key: int, tie: int, what: int) -> None:
    """Enter (key, tie, what) into the heap."""
    x = e.globals
    at = x[E.CALENDAR] + 1
    x[E.CALENDAR] = at
    while at > FIRST and not precedes(e, at >> 1, key, tie, what):
        above = e.calendar[at >> 1]
        put(e, at, above[Entry.KEY], above[Entry.TIE], above[Entry.WHAT])
        at >>= 1
    put(e, at, key, tie, what)


@compiled
def push(e: Engine, height: int, phase: int, tie: int, kind: int, row: int) -> None:
    """Enter `kind` for `row` at `height` in `phase`; room is guaranteed by the block loop."""
    x = e.globals
    chunk = min(height >> CHUNK_BITS, e.chunks.shape[0] - 1)  # the last holds everything beyond the horizon
    if chunk <= x[E.CHUNK]:
        rise(e, height * 16 + phase, tie, row * KINDS + kind)
        return
    entries = e.chunks[chunk]
    used = entries[Chunk.USED]
    if used == Later.ENTRIES or entries[Chunk.LAST] < 0:
        at = x[E.FREE_LATER]
        if at >= 0:
            x[E.FREE_LATER] = e.later[at, Later.NEXT]
        else:
            at = x[E.LATER]
            x[E.LATER] = at + 1
        e.later[at, Later.NEXT] = entries[Chunk.LAST]
        entries[Chunk.LAST] = at
        used = 0
    entries[Chunk.USED] = used + 1
    x[E.WAITING] += 1
    later = e.later[entries[Chunk.LAST]]
    column = Later.FIRST_ENTRY + 3 * used
    later[column] = height * 16 + phase
    later[column + 1] = tie
    later[column + 2] = row * KINDS + kind


@compiled
def open_chunk(e: Engine) -> None:
    """Move the entries of the next chunk into the heap."""
    x = e.globals
    x[E.CHUNK] += 1
    entries = e.chunks[x[E.CHUNK]]
    at = entries[Chunk.LAST]
    used = entries[Chunk.USED]
    entries[Chunk.LAST] = -1
    while at >= 0:
        later = e.later[at]
        for k in range(used):
            column = Later.FIRST_ENTRY + 3 * k
            rise(e, later[column], later[column + 1], later[column + 2])
        x[E.WAITING] -= used
        following = later[Later.NEXT]
        later[Later.NEXT] = x[E.FREE_LATER]
        x[E.FREE_LATER] = at
        at = following
        used = Later.ENTRIES + 0


@compiled
def drop_first(e: Engine) -> None:
    """Remove the first entry of the heap."""
    x = e.globals
    last = x[E.CALENDAR]
    x[E.CALENDAR] = last - 1
    key, tie, what = e.calendar[last, Entry.KEY], e.calendar[last, Entry.TIE], e.calendar[last, Entry.WHAT]
    at = FIRST
    child = 2 * FIRST
    while child < last:
        below = e.calendar[child]
        if child + 1 < last and precedes(e, child + 1, below[Entry.KEY], below[Entry.TIE], below[Entry.WHAT]):
            child += 1
            below = e.calendar[child]
        if not precedes(e, child, key, tie, what):
            break
        put(e, at, below[Entry.KEY], below[Entry.TIE], below[Entry.WHAT])
        at = child
        child = 2 * at
    put(e, at, key, tie, what)
