"""The orders of a block whose prices come from Python: which desks are asked about them, and the quotes once they have answered."""

from __future__ import annotations

from marketsim.chain.state import State
from marketsim.kernel.compiled import compiled
from marketsim.kernel.table_set import Table
from marketsim.market.desks import know_blockings, quote_order
from marketsim.market.quoting import CODE
from marketsim.market.room import ask_room, has_rows
from marketsim.market.tables import LANES, Asking, Engine
from marketsim.money.units import ATTO, MIB

NO_PRICE = -1
"""The whole part of an answer that is none."""


@compiled
def list_asked(s: State, e: Engine, pairs: Table, first: int, last: int) -> int:
    """Write into `pairs`, shape (Asking.SIZE, room), what the desks `first` to `last` - 1 are asked: order by order, desk by desk.

    A desk is asked about the orders that its standing filters let through while it may bid at all; what depends on its use is looked at
    when its bid goes out. Returns how many columns are written; the caller sees to it that there are as many as orders times desks.
    """
    know_blockings(s, e)
    count = 0
    for at in range(e.globals.asking):
        order = e.asking[at]
        o = s.orders[order]
        group = s.groups[o.group]
        memory, storage = -(-group.memory // MIB), -(-group.storage // MIB)
        for desk_row in range(first, last):
            desk = e.desks[desk_row]
            fit = (e.fits[group.spec, desk_row // LANES] >> (8 * (desk_row % LANES))) & CODE
            if fit != 0 or desk.shut != 0 or group.cpu > desk.max_cpu or memory > desk.max_memory:
                continue
            if storage > desk.max_storage or group.gpu > desk.max_gpu:
                continue
            pairs[Asking.AT, count] = at
            pairs[Asking.DESK, count] = desk_row - first
            pairs[Asking.ORDER, count] = o.id
            pairs[Asking.CPU, count] = group.cpu
            pairs[Asking.MEMORY, count] = group.memory
            pairs[Asking.STORAGE, count] = group.storage
            pairs[Asking.GPU, count] = group.gpu
            pairs[Asking.CEILING, count] = o.price
            pairs[Asking.CEILING_ATTO, count] = o.price_atto
            count += 1
    return count


@compiled
def check_answers(pairs: Table, count: int, dear: int) -> int:
    """Return the first of `count` prices in `pairs` that is neither above 0 nor NO_PRICE, -1 where there is none; NO_PRICE, and whatever is
    more than `dear` whole uve, becomes `dear`.
    """
    for at in range(count):
        whole, atto = pairs[Asking.WHOLE, at], pairs[Asking.ATTO, at]
        if whole == NO_PRICE or whole > dear:
            pairs[Asking.WHOLE, at] = dear
            pairs[Asking.ATTO, at] = 0
        elif whole < 0 or atto < 0 or atto >= ATTO or (whole == 0 and atto == 0):
            return at
    return -1


@compiled
def take_answers(e: Engine, pairs: Table, first: int, count: int) -> None:
    """Write `count` answers of the desks from `first` on into quotes."""
    for at in range(count):
        row, column = pairs[Asking.AT, at], 2 * (first + pairs[Asking.DESK, at])
        e.quotes[row, column] = pairs[Asking.WHOLE, at]
        e.quotes[row, column + 1] = pairs[Asking.ATTO, at]


@compiled
def quote_asked(s: State, e: Engine) -> bool:
    """Let every desk look at the orders that have waited for prices; False where tables must grow before it is called again."""
    x = e.globals
    while x.quote_row + 1 < x.asking:
        if not has_rows(s, e, 1, 0, 0, 0):
            ask_room(e, 1, 0, 0, 0)
            return False
        x.quote_row += 1
        quote_order(s, e, x.asking_at, e.asking[x.quote_row])
    x.quote_row = -1
    x.asking = 0
    return True
