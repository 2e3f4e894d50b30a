"""What is due at which block: a binary heap over int64 columns, in canonical order."""

from __future__ import annotations

from marketsim.chain.compiled import compiled
from marketsim.policies.tables import E, Engine, Entry


@compiled
def precedes(e: Engine, a: int, b: int) -> bool:
    """Return whether calendar entry `a` comes before entry `b`: by block and phase, then submission time, then tie."""
    x = e.calendar[a, Entry.KEY]
    y = e.calendar[b, Entry.KEY]
    if x != y:
        return bool(x < y)
    x = e.calendar[a, Entry.TIME]
    y = e.calendar[b, Entry.TIME]
    if x != y:
        return bool(x < y)
    x = e.calendar[a, Entry.TIE]
    y = e.calendar[b, Entry.TIE]
    if x != y:
        return bool(x < y)
    x = e.calendar[a, Entry.ROW]
    y = e.calendar[b, Entry.ROW]
    if x != y:
        return bool(x < y)
    return bool(e.calendar[a, Entry.KIND] < e.calendar[b, Entry.KIND])


@compiled
def push(e: Engine, height: int, phase: int, time: int, tie: int, kind: int, row: int) -> None:
    """Enter `kind` for `row` at `height` in `phase`; room is guaranteed by the block loop."""
    key = height * 16 + phase
    calendar = e.calendar
    at = e.globals[E.CALENDAR]
    e.globals[E.CALENDAR] = at + 1
    while at > 0:
        parent = (at - 1) // 2
        if calendar[parent, Entry.KEY] < key:
            break
        if calendar[parent, Entry.KEY] == key:
            if calendar[parent, Entry.TIME] < time:
                break
            if calendar[parent, Entry.TIME] == time:
                if calendar[parent, Entry.TIE] < tie:
                    break
                if calendar[parent, Entry.TIE] == tie:
                    if calendar[parent, Entry.ROW] < row:
                        break
                    if calendar[parent, Entry.ROW] == row and calendar[parent, Entry.KIND] <= kind:
                        break
        for column in range(5):
            calendar[at, column] = calendar[parent, column]
        at = parent
    calendar[at, Entry.KEY] = key
    calendar[at, Entry.TIME] = time
    calendar[at, Entry.TIE] = tie
    calendar[at, Entry.KIND] = kind
    calendar[at, Entry.ROW] = row


@compiled
def drop_first(e: Engine) -> None:
    """Remove the first entry."""
    calendar = e.calendar
    last = e.globals[E.CALENDAR] - 1
    e.globals[E.CALENDAR] = last
    if last <= 0:
        return
    at = 0
    child = 1
    while child < last:
        if child + 1 < last and precedes(e, child + 1, child):
            child += 1
        if not precedes(e, child, last):
            break
        for column in range(5):
            calendar[at, column] = calendar[child, column]
        at = child
        child = 2 * at + 1
    for column in range(5):
        calendar[at, column] = calendar[last, column]
