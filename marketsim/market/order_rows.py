"""Rows of drawn orders, all that an order is at once: compiled; where nothing is, columns are made one by one (`simulation.orders`).
Beside it the numbers of their deployments."""

from __future__ import annotations

import numpy as np

from marketsim.chain.columns import Draft, Resource
from marketsim.chain.limits import CPU_MAX, CPU_MIN, GPU_MAX, MEMORY_MAX, MEMORY_MIN, UNIT_PRICE_MAX, VOLUME_MAX, VOLUME_MIN
from marketsim.kernel.codes import Code
from marketsim.kernel.compiled import compiled, compiled_inline
from marketsim.kernel.modes import COMPILING
from marketsim.kernel.rows import Row, Rows, column
from marketsim.kernel.table_set import Table
from marketsim.market.tables import PHASES, Call, Phase, Plan
from marketsim.money.units import ATTO, BLOCKS_A_MONTH, GIB, MIB, MILLICORES, UVE_PER_VE

DRAWN_MAX = 4e18
"""Draws beyond are cut: a column of whole numbers holds no more than 9.2e18."""
COUNT_MAX = 2.0**62
"""Last units of a price that are counted in one number."""
PRICE_UNITS = 1_000_000
"""Last units of a uve in a price of six decimals."""


class Rounding(Code):
    """How a draw becomes a whole number of a plan."""

    NEAREST = 0  # the nearest, at most `limit`, at least `least`
    DOWN = 1  # the whole part, at most `limit`
    BELOW = 2  # `least` for a draw below `limit`, else 0
    FUNDS = 3  # so many blocks at the ceiling, rounded up, at most `limit`, at least `least`


class PlanDraw(Row):
    """What a column of plans is drawn by: a draw times `times`, over `over`, rounded."""

    into = column("column of `Plan`")
    row = column("row of the draws, -1 = `only` for all")
    rounding = column("Rounding")
    times = column("bits of float64")
    over = column("bits of float64")
    limit = column("bits of float64")
    least = column()
    only = column("bits of float64")


class DepositOf(Code):
    """What a deposit is a multiple of."""

    CEILING = 0
    COST = 1
    ATTO_UVE = 2


class SizeDraw(Row):
    """Which row of the draws each part of an order is, -1 for one number for all, whose bits are beside it."""

    cpu = column()
    cpu_only = column()
    memory = column()
    memory_only = column()
    storage = column()
    storage_only = column()
    gpu = column()
    gpu_only = column()
    value = column("of the cost")
    value_only = column()
    ceiling = column("of the value, or of the cost")
    ceiling_only = column()
    deposit = column()
    deposit_only = column()
    memory_per_core = column("1: memory is drawn a core")
    ceiling_of_cost = column("1: the ceiling is a multiple of the cost")
    ceiling_is_value = column("1: no share is below 1")
    deposit_of = column("DepositOf")
    least_deposit = column(unit="uve")
    block_ms = column(unit="milliseconds")
    usd_thread = column("bits of float64", "USD a month")
    usd_memory = column("bits of float64, a GiB", "USD a month")
    usd_storage = column("bits of float64, a GiB", "USD a month")
    usd_gpu = column("bits of float64", "USD a month")


@compiled
def put_numbers(order: Table, calls: Rows[Call], plans: Rows[Plan], first: int, latest: Table) -> None:
    """Number the deployments of each tenant in their `order`, (n,): each by its height, plus one while an earlier one of it has that.
    `latest`, by tenant from `first` on, are the numbers that they had last, 0 for none; it is written on.
    """
    for at in range(order.shape[0]):
        row = order[at]
        tenant = plans[row].tenant - first
        number = max(calls[row].key // PHASES, latest[tenant] + 1)
        latest[tenant] = number
        calls[row].dseq = number


@compiled
def place_rows(
    calls: Rows[Call], plans: Rows[Plan], drafts: Rows[Draft], specs: Table, plan: int, draft: int, resource: int, tenant: int
) -> None:
    """Have the rows of orders, whose references count from 0, count from where they stand: the first plan, draft, resource and tenant, and
    the chain's spec for each of theirs.
    """
    for row in range(calls.shape[0]):
        calls[row].plan += plan
        calls[row].first_draft += draft
    for row in range(plans.shape[0]):
        plans[row].tenant += tenant
    for row in range(drafts.shape[0]):
        drafts[row].spec = specs[drafts[row].spec]
        drafts[row].first_resource += resource


@compiled
def put_lives(planned: Table, early: Table, picks: int, draws: Table, sums: Table, plans: Rows[Plan]) -> None:
    """Write into plans what is left of lives, (pools, lives), `picks` plans a pool at most: blocks to the planned end and to an early one,
    -1 for none. One of the pool is drawn for each plan with a chance proportional to the life, and a share of it is left, by `draws`: bits
    of float64 between 0 and 1, (2, plans). What stands in `sums`, (lives,), is written over.
    """
    pools, lives = planned.shape
    for pool in range(pools):
        total = 0
        for at in range(lives):
            total += min(planned[pool, at], early[pool, at]) if early[pool, at] >= 0 else planned[pool, at]
            sums[at] = total
        for row in range(pool * picks, min((pool + 1) * picks, plans.shape[0])):
            chance = np.int64(draws[0, row]).view(np.float64) * float(total)
            low, high = 0, lives - 1
            while low < high:
                middle = (low + high) // 2
                if float(sums[middle]) <= chance:
                    low = middle + 1
                else:
                    high = middle
            ends_early = 0 <= early[pool, low] < planned[pool, low]
            life = early[pool, low] if ends_early else planned[pool, low]
            left = max(int(np.rint(float(life) * np.int64(draws[1, row]).view(np.float64))), 1)
            plans[row].duration = left + 1 if ends_early else left
            plans[row].terminate = left if ends_early else -1


if COMPILING:

    @compiled_inline
    def _float(bits: int) -> float:
        """Return the number of some bits."""
        return np.int64(bits).view(np.float64)

    @compiled_inline
    def _drawn(draws: Table, row: int, only: int, at: int) -> float:
        """Return a draw of an order, or what all orders have."""
        return _float(draws[row, at]) if row >= 0 else _float(only)

    @compiled
    def put_orders(
        draws: Table,
        s: SizeDraw,
        rules: Rows[PlanDraw],
        orders: Table,
        first: int,
        begin: int,
        tenant: int,
        values: Table,
        like_call: Call,
        like_plan: Plan,
        like_draft: Draft,
        like_resource: Resource,
        calls: Rows[Call],
        plans: Rows[Plan],
        drafts: Rows[Draft],
        resources: Rows[Resource],
    ) -> int:
        """Fill in the rows of orders that are given by sizes, and what each is worth, bits of uve per block; return 0, and rows that mean
        nothing, where a draw would have to be cut.

        `draws` are bits of float64, (rows, n); `orders` are key, time in milliseconds and tenant, (3, n). Those from `first` on are made,
        as many as there are rows; the first row is number `begin`, and tenants count from `tenant`. The rows beside the tables say what
        stands in columns that are not drawn.
        """
        for row in range(calls.shape[0]):
            at = first + row
            cpu_drawn = _drawn(draws, s.cpu, s.cpu_only, at)
            memory_drawn = _drawn(draws, s.memory, s.memory_only, at)
            storage_drawn = _drawn(draws, s.storage, s.storage_only, at)
            gpu_drawn = _drawn(draws, s.gpu, s.gpu_only, at)
            times_cost = _drawn(draws, s.value, s.value_only, at)
            times_ceiling = _drawn(draws, s.ceiling, s.ceiling_only, at)
            deposit_drawn = _drawn(draws, s.deposit, s.deposit_only, at)
            if not (cpu_drawn >= 0.0 and memory_drawn >= 0.0 and storage_drawn >= 0.0 and gpu_drawn >= 0.0):
                return 0
            if not (times_cost >= 0.0 and times_ceiling >= 0.0 and deposit_drawn >= 0.0):
                return 0
            cpu = int(np.rint(min(cpu_drawn, DRAWN_MAX)))
            if s.memory_per_core:
                memory_drawn = memory_drawn * float(cpu) / float(MILLICORES)
            memory = int(np.rint(min(memory_drawn, DRAWN_MAX)))
            storage = int(np.rint(min(storage_drawn, DRAWN_MAX)))
            gpu = int(np.rint(min(gpu_drawn, DRAWN_MAX)))
            memory = (memory + (MIB - 1)) // MIB * MIB
            storage = (storage + (MIB - 1)) // MIB * MIB
            if not (CPU_MIN <= cpu <= CPU_MAX and MEMORY_MIN <= memory <= MEMORY_MAX):
                return 0
            if not (VOLUME_MIN <= storage <= VOLUME_MAX and gpu <= GPU_MAX):
                return 0
            usd = float(cpu) / float(MILLICORES) * _float(s.usd_thread) + float(memory) / float(GIB) * _float(s.usd_memory)
            usd = usd + float(storage) / float(GIB) * _float(s.usd_storage) + float(gpu) * _float(s.usd_gpu)
            cost = usd / float(BLOCKS_A_MONTH) * float(UVE_PER_VE)
            value = cost * times_cost
            units = np.rint(value * float(PRICE_UNITS))
            if not 1.0 <= units < COUNT_MAX:
                return 0
            in_uve = int(units) // PRICE_UNITS
            atto = (int(units) - in_uve * PRICE_UNITS) * (ATTO // PRICE_UNITS)
            ceiling, price, price_atto = value, in_uve, atto
            if s.ceiling_of_cost or not s.ceiling_is_value:
                ceiling = (cost if s.ceiling_of_cost else value) * times_ceiling
                units = np.rint(ceiling * float(PRICE_UNITS))
                if not 1.0 <= units < COUNT_MAX:
                    return 0
                if s.ceiling_of_cost or times_ceiling < 1.0:
                    price = int(units) // PRICE_UNITS
                    price_atto = (int(units) - price * PRICE_UNITS) * (ATTO // PRICE_UNITS)
                    if not s.ceiling_of_cost and (price > in_uve or (price == in_uve and price_atto > atto)):
                        price, price_atto = in_uve, atto
            if price >= UNIT_PRICE_MAX:
                return 0
            if s.deposit_of == DepositOf.CEILING:
                amount = deposit_drawn * ceiling
            elif s.deposit_of == DepositOf.COST:
                amount = deposit_drawn * cost
            else:
                amount = deposit_drawn / float(ATTO)
            deposit = int(max(np.ceil(min(amount, DRAWN_MAX)), float(s.least_deposit)))

            values[at] = np.float64(value).view(np.int64)
            unit = resources[row]
            for each in range(resources.shape[1]):
                unit[each] = like_resource[each]
            unit.price = price
            unit.price_atto = price_atto
            unit.cpu = cpu
            unit.memory = memory
            unit.storage = storage
            unit.gpu = gpu
            unit.smallest_volume = storage
            unit.largest_volume = storage
            draft = drafts[row]
            for each in range(drafts.shape[1]):
                draft[each] = like_draft[each]
            draft.first_resource = begin + row
            call = calls[row]
            for each in range(calls.shape[1]):
                call[each] = like_call[each]
            time = int(orders[1, at])
            call.time = time
            call.key = max((time + s.block_ms - 1) // s.block_ms, 1) * PHASES + Phase.ARRIVE
            call.tie = int(orders[0, at])
            call.plan = begin + row
            call.deposit = deposit
            call.first_draft = begin + row
            plan = plans[row]
            for each in range(plans.shape[1]):
                plan[each] = like_plan[each]
            plan.value = in_uve
            plan.value_atto = atto
            plan.tenant = tenant + int(orders[2, at])
            plan.key = int(orders[0, at])
            plan.deposit = deposit
            for each in range(rules.shape[0]):
                rule = rules[each]
                drawn = _drawn(draws, rule.row, rule.only, at)
                limit = _float(rule.limit)
                if not drawn >= 0.0:
                    return 0
                if rule.rounding == Rounding.BELOW:
                    found = rule.least if drawn < limit else 0
                elif rule.rounding == Rounding.FUNDS:
                    found = max(int(min(np.ceil(drawn * ceiling), limit)), rule.least)
                else:
                    scaled = min(drawn * _float(rule.times) / _float(rule.over), limit)
                    found = max(int(np.rint(scaled) if rule.rounding == Rounding.NEAREST else np.floor(scaled)), rule.least)
                plan[rule.into] = found
        return 1

else:

    def put_orders(
        draws: Table,
        s: SizeDraw,
        rules: Rows[PlanDraw],
        orders: Table,
        first: int,
        begin: int,
        tenant: int,
        values: Table,
        like_call: Call,
        like_plan: Plan,
        like_draft: Draft,
        like_resource: Resource,
        calls: Rows[Call],
        plans: Rows[Plan],
        drafts: Rows[Draft],
        resources: Rows[Resource],
    ) -> int:
        """Return 0: no order is made here."""
        return 0
