"""Orders out of tenant cohorts: every draw of a cohort's demand, sizes, prices and plans, as columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from marketsim.agents import demand
from marketsim.agents.streams import (
    BLOCKS_MAX,
    Keys,
    constant,
    draw,
    draw_index,
    draw_rows,
    exponential,
    is_heard,
    key_of,
    keys_from,
    quantiles,
    stream,
    to_block_count,
    to_blocks,
    uniform,
)
from marketsim.chain.columns import Draft, Resource
from marketsim.chain.limits import CPU_MAX, CPU_MIN, GPU_MAX, MEMORY_MAX, MEMORY_MIN, UNIT_PRICE_MAX, VOLUME_MAX, VOLUME_MIN
from marketsim.chain.requirements import Requirements, pairs_of
from marketsim.kernel.modes import COMPILING
from marketsim.kernel.rows import R, Rows, as_rows, row_of
from marketsim.kernel.table_set import Table
from marketsim.market.order_rows import DRAWN_MAX, DepositOf, PlanDraw, Rounding, SizeDraw, place_rows, put_orders
from marketsim.market.tables import PHASES, BidChoice, Call, Kind, Phase, Plan, TopUpTime
from marketsim.money.text import format_amount
from marketsim.money.units import ATTO, DAY_MS, DECIMALS, HOUR_MS, HOURS_A_DAY, MIB, MILLICORES, MINUTE_MS, PPM, SECOND_MS
from marketsim.scenario.distributions import Law
from marketsim.scenario.model import Scenario
from marketsim.scenario.tenants import PriceRule, RuleChoice, ShareLaw, TenantCohort, TopUp
from marketsim.scenario.trace import SIZES, read_trace
from marketsim.simulation.demand_days import days_of, process_of
from marketsim.simulation.generic_cost import (
    USD_GPU,
    USD_MEMORY_GIB,
    USD_STORAGE_GIB,
    USD_THREAD,
    generic_cost,
    to_pair,
    whole,
    whole_number,
)
from marketsim.simulation.manifest_orders import manifest_order, worth

SHARES = 1024
"""Quantiles that stand for a law where its mean is asked for."""
Ints = NDArray[np.int64]
Columns = dict[str, NDArray[np.float64]]
_TAILED = {
    "duration": "duration", "terminate": "terminate_after", "deploy_delay": "deploy_delay", "utilization": "utilization",
    "restart_delay": "restart.delay", "deposit": "deposit", "top_up_times": "top_up.times", "top_up_blocks": "top_up.blocks",
}  # fmt: skip
"""Keys by purpose whose normal draws are cut at 0; sizes and prices have limits of their own."""

_UNIT = Law("uniform", 0.0, 1.0, (), (), 0.0, math.inf, "", False)
_STANDARD = Law("exponential", 1.0, 0.0, (), (), 0.0, math.inf, "", False)
"""What chances and exponential draws of mean 1 are made of."""
_TOP_UP_DELAYS = {"top_up_delay": "top_up_delay/0", "top_up_delay_2": "top_up_delay/1", "top_up_delay_3": "top_up_delay/2"}
"""By column of `Plan` what the delays of a tenant's first, second and third top-up are drawn for."""
FAR_MS = 1 << 62
"""Later than every order."""
TIES = 1 << 62
"""Draws that break ties of submission time."""
RESTARTS_MAX = 1_000_000
SAMPLED_DAYS = 7
"""Days that a user's demand process is asked about where its mean is wanted."""
MICRO = 1_000_000
"""Micro-uve of a uve: in what the ceilings of manifests are handed on."""
LAWS_KEPT = 256
"""Laws of which the means are kept."""
BITS_KEPT = 1_024
"""Numbers of laws of which the bits are kept."""
UTILIZATION_MAX = 1_000
"""Most use of what is reserved, as a share."""


class OrderKind(NamedTuple):
    """What kind of place an order asks for; one chain spec and one line of engine filters each."""

    requirements: Requirements
    region: str | None
    requested: tuple[tuple[str, str], ...]
    """Key and value pairs that an excluded attribute of an engine may name."""


class CohortOrders(NamedTuple):
    """All orders of a cohort, one row an order sorted by time. `resources`, `drafts` and `plans` are rows to
    append; references in `drafts` (FIRST_RESOURCE, SPEC) and `calls` (plan, draft) and tenants count from 0 within this
    cohort, but for those of orders that stand among all (`OrderPlace`).
    """

    calls: Table
    plans: Table
    drafts: Table
    resources: Table
    asked: list[OrderKind]
    tenants: Ints
    value: NDArray[np.float64]
    cuts: dict[str, Cut]
    """By key below the cohort: draws that no order can have, and what became of them."""
    late: int = 0
    """Rows of the cohort's trace that lie behind the horizon."""
    unread: tuple[str, ...] = ()
    """Columns of the trace that say what manifests say already."""


class OrderTables(NamedTuple):
    """What orders are made of: where they are given by sizes, one row of each table an order."""

    calls: Rows[Call]
    plans: Rows[Plan]
    drafts: Rows[Draft]
    resources: Rows[Resource]

    @classmethod
    def of(cls, orders: int) -> OrderTables:
        """Return tables for so many orders given by sizes, in which anything stands."""
        return cls._make(as_rows(schema, np.empty((orders, schema.width), np.int64)) for schema in (Call, Plan, Draft, Resource))

    def longer(self, used: int, orders: int) -> OrderTables:
        """Return tables for so many orders, which begin with the first `used` ones."""
        other = OrderTables.of(orders)
        other.rows(0, used).put(self.rows(0, used))
        return other

    def put(self, tables: Iterable[Table]) -> None:
        """Write the rows of other tables over these."""
        mine: Iterable[Table] = self
        for rows, others in zip(mine, tables, strict=True):
            rows[:] = others

    def rows(self, first: int, count: int) -> OrderTables:
        """Return some orders given by sizes, in the same memory."""
        return OrderTables._make(table[first : first + count] for table in self)


class OrderPlace(NamedTuple):
    """Where orders stand among all: their rows, the number of the first, and the wallet of their cohort's first tenant; their references to
    rows and wallets count from there.
    """

    tables: OrderTables
    row: int
    tenant: int


class Cut(NamedTuple):
    """What was cut off a distribution: per order -1 where a draw was below `low`, 1 where it was above `high`."""

    low: str
    high: str
    side: NDArray[np.int8]


def rate_of(cohort: TenantCohort, scenario: Scenario, seed: int) -> demand.ArrivalRate:
    """Return how many orders an hour a cohort makes; for `orders:` what they are spread by."""
    wish = cohort.demand
    begin = scenario.start.time
    start_ms = begin.weekday() * DAY_MS + begin.hour * HOUR_MS + begin.minute * MINUTE_MS + begin.second * SECOND_MS
    per_hour = _hourly(cohort)
    return demand.ArrivalRate(per_hour, wish.day_multipliers, wish.week_multipliers, start_ms, multiplied_spans(cohort, scenario, seed))


def _hourly(cohort: TenantCohort) -> float:
    """The rate of a cohort before profiles, bursts and surges, orders an hour; 1 where times are not drawn from a rate."""
    wish = cohort.demand
    if wish.arrivals is not None:
        return wish.arrivals.per_millisecond * HOUR_MS
    if wish.arrivals_each is not None:
        return wish.arrivals_each.per_millisecond * HOUR_MS * cohort.count
    return 1.0


def multiplied_spans(cohort: TenantCohort, scenario: Scenario, seed: int) -> NDArray[np.float64]:
    """Return the bursts and surges of a cohort as (start, end, factor), times in milliseconds."""
    wish, block_ms = cohort.demand, scenario.block_ms
    parts = [np.zeros((0, 3))]
    for surge in wish.surges:
        at = surge.at.milliseconds(block_ms)
        parts.append(np.asarray([[at, at + surge.lasts.milliseconds(block_ms), surge.factor]]))
    if wish.bursts is not None:
        every, lasts = wish.bursts.every.milliseconds(block_ms), wish.bursts.lasts.milliseconds(block_ms)
        until = max(scenario.horizon_blocks * block_ms, within_ms(cohort, scenario))
        rng = stream(seed, f"tenant/{cohort.name}/bursts")
        parts.append(demand.burst_spans(rng, every, lasts, until, wish.bursts.factor))
    return np.concatenate(parts)


def within_ms(cohort: TenantCohort, scenario: Scenario) -> int:
    """Return what `orders:` is spread over, in milliseconds: whole blocks, at least one."""
    within = cohort.demand.within or scenario.horizon
    return max(1, within.milliseconds(scenario.block_ms) // scenario.block_ms) * scenario.block_ms


def mean_per_hour(cohort: TenantCohort, scenario: Scenario) -> float:
    """Return how many orders an hour a cohort makes on average, in a week without surges; a trace's mean is that until its last order."""
    wish, block_ms = cohort.demand, scenario.block_ms
    if wish.trace is not None:
        seconds = read_trace(scenario.base / wish.trace)["at_seconds"]
        return len(seconds) * (HOUR_MS // SECOND_MS) / max(float(seconds.max(initial=0.0)), 1.0)
    if wish.orders is not None:
        return wish.orders * HOUR_MS / within_ms(cohort, scenario)
    if wish.python is not None:
        days = min(SAMPLED_DAYS, -(-scenario.horizon_blocks * block_ms // DAY_MS))
        found = days_of(process_of(cohort, scenario), cohort, scenario, scenario.seed, range(days))
        return sum(len(day["at_seconds"]) for day in found) / (HOURS_A_DAY * days)
    mean = _hourly(cohort) * sum(wish.day_multipliers) / HOURS_A_DAY * sum(wish.week_multipliers) / 7
    if wish.bursts is not None:
        every, lasts = wish.bursts.every.milliseconds(block_ms), wish.bursts.lasts.milliseconds(block_ms)
        mean *= 1 + (wish.bursts.factor - 1) * lasts / (every + lasts)
    return mean


class Stretch(NamedTuple):
    """A part of the run: after `begin_ms`, until `end_ms`."""

    begin_ms: int
    end_ms: int


def horizon_of(scenario: Scenario) -> Stretch:
    """Return the whole run."""
    return Stretch(-1, scenario.horizon_blocks * scenario.block_ms)


def arrivals_of(
    cohort: TenantCohort, scenario: Scenario, seed: int, rate: demand.ArrivalRate, stretch: Stretch
) -> tuple[demand.Arrivals, Columns, int]:
    """Return when the orders of a cohort arrive within a stretch, its trace's columns and how many rows of it lie behind the stretch."""
    name = f"tenant/{cohort.name}"
    begin_ms, horizon_ms = stretch
    wish = cohort.demand
    if wish.trace is not None:
        columns = read_trace(scenario.base / wish.trace)
        times = whole(columns["at_seconds"] * SECOND_MS)
        kept = (times <= horizon_ms) & (times > begin_ms)
        arrivals = demand.traced_arrivals(seed, name, times, kept)
        return arrivals, {key: column[kept] for key, column in columns.items()}, int((times > horizon_ms).sum())
    if wish.python is not None:
        arrivals, columns = _of_process(cohort, scenario, seed, stretch)
        return arrivals, columns, 0
    if wish.orders is not None:
        arrivals = demand.exact_arrivals(seed, name, wish.orders, within_ms(cohort, scenario), scenario.block_ms, rate)
        return demand.between(arrivals, begin_ms, horizon_ms), {}, 0
    return demand.poisson_arrivals(seed, name, rate, horizon_ms, begin_ms), {}, 0


def _of_process(cohort: TenantCohort, scenario: Scenario, seed: int, stretch: Stretch) -> tuple[demand.Arrivals, Columns]:
    """The orders of a stretch that a user's demand process makes: each is named by its day and its number there."""
    name = f"tenant/{cohort.name}"
    days = range(max(0, stretch.begin_ms) // DAY_MS, -(-stretch.end_ms // DAY_MS))
    found = days_of(process_of(cohort, scenario), cohort, scenario, seed, days)
    times, keys = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for day, columns in zip(days, found, strict=True):
        times.append(day * DAY_MS + whole(columns["at_seconds"] * SECOND_MS))
        keys.append(keys_from(key_of(seed, f"{name}/day/{day}/process"), len(columns["at_seconds"])))
    at = np.concatenate(times)
    kept = (at > stretch.begin_ms) & (at <= stretch.end_ms)
    arrivals = demand.Arrivals(np.maximum(at[kept], 1), np.concatenate(keys)[kept], np.full(int(kept.sum()), np.nan))
    given = [columns for columns in found if len(columns["at_seconds"])]
    names = [name for name in (given[0] if given else ()) if name != "at_seconds"]
    return arrivals, {name: np.concatenate([columns[name] for columns in given])[kept] for name in names}


def expected_arrivals(cohort: TenantCohort, scenario: Scenario, seed: int, *, whole: bool = False) -> float:
    """Return how many orders a cohort with a rate makes on average after `warm_up` (or in the `whole` run) and within the horizon, given
    the seed's bursts.
    """
    rate = rate_of(cohort, scenario, seed)
    begin = 0 if whole else scenario.warm_up_blocks * scenario.block_ms
    end = scenario.horizon_blocks * scenario.block_ms
    edges = np.unique(np.clip(np.append(rate.edges(end), begin), begin, end))
    return rate.per_hour / HOUR_MS * float(np.diff(edges) @ rate.factors((edges[1:] + edges[:-1]) / 2))


def mean_arrivals(cohort: TenantCohort, scenario: Scenario) -> float:
    """Return how many orders a cohort with a rate makes on average after `warm_up` and within the horizon, over all courses of bursts."""
    wish, block_ms = cohort.demand, scenario.block_ms
    calm = cohort.model_copy(update={"demand": wish.model_copy(update={"bursts": None})})
    rate = rate_of(calm, scenario, 0)
    begin, end = scenario.warm_up_blocks * block_ms, scenario.horizon_blocks * block_ms
    edges = np.unique(np.clip(np.append(rate.edges(end), begin), begin, end))
    spans = np.diff(edges)
    if wish.bursts is not None:
        every, lasts = wish.bursts.every.milliseconds(block_ms), wish.bursts.lasts.milliseconds(block_ms)
        spans = spans + (wish.bursts.factor - 1) * np.diff(demand.mean_burst_time(every, lasts, tuple(edges.tolist())))
    return rate.per_hour / HOUR_MS * float(spans @ rate.factors((edges[1:] + edges[:-1]) / 2))


def costs_of(cohort: TenantCohort, scenario: Scenario, keys: Keys) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each key what an order of a cohort costs at generic prices and what it is worth to its tenant, both uve per block."""
    draws = _Draws(keys)
    if cohort.order.sdl is None:
        cost = generic_cost(*_amounts(cohort, draws, {}))
        assert cohort.value is not None
        return cost, _price_uve(cohort.value, draws, "value", cost)
    *_, per_order, cost = _manifests(cohort, draws, scenario)
    value = per_order[:, 2] / MICRO if cohort.value is None else _price_uve(cohort.value, draws, "value", cost)
    return cost, value


def tenants_at(cohort: TenantCohort, rate: demand.ArrivalRate, arrivals: demand.Arrivals) -> Ints:
    """Return who of a cohort orders at each arrival, 0 … count − 1.

    Where each tenant has a rate of its own, tenant i has the levels between i and i + 1 times that rate: one tenant more takes no order
    from another.
    """
    if cohort.demand.arrivals_each is None:
        return tenants_of(cohort, arrivals.keys)
    each = cohort.demand.arrivals_each.per_millisecond * HOUR_MS * rate.factors(arrivals.times)
    return _floor_of(arrivals.levels / each, cohort.count)


def tenants_of(cohort: TenantCohort, keys: Keys) -> Ints:
    """Return for each key a tenant of a cohort, all alike: 0 … count − 1."""
    return _tenants(cohort, uniform(keys, "who"))


def _tenants(cohort: TenantCohort, who: NDArray[np.float64]) -> Ints:
    """Tenants of a cohort by draws between 0 and 1."""
    return _floor_of(who * cohort.count, cohort.count)


def _floor_of(numbers: NDArray[np.float64], count: int) -> Ints:
    return np.minimum(numbers.astype(np.int64), count - 1)


@lru_cache(maxsize=BITS_KEPT)
def _bits(number: float) -> int:
    return int(np.float64(number).view(np.int64))


_USD = {
    "usd_thread": _bits(USD_THREAD), "usd_memory": _bits(USD_MEMORY_GIB), "usd_storage": _bits(USD_STORAGE_GIB), "usd_gpu": _bits(USD_GPU),
}  # fmt: skip


class _Rule(NamedTuple):
    """A column of plans that is drawn where the orders are made: columns of `PlanDraw`."""

    row: int
    rounding: Rounding
    limit: float
    least: int = 0
    times: float = 1.0
    over: float = 1.0
    only: float = 0.0

    def columns(self, into: int) -> tuple[int, ...]:
        """What stands in the row of a rule for column `into` of plans."""
        return (into, self.row, self.rounding, _bits(self.times), _bits(self.over), _bits(self.limit), self.least, _bits(self.only))


class _Draws:
    """Draws of a cohort's orders: each a hash of the order's key and the purpose.

    `laws` are those by purpose that will be asked for, if they are known: all of them are drawn at once. While `at_once`, numbers of plans
    that are drawn are given as rules.
    """

    def __init__(self, keys: Keys, laws: Mapping[str, Law] = MappingProxyType({})) -> None:
        self.keys = keys
        self.size = len(keys)
        self.cuts: dict[str, Cut] = {}
        self.at_once = False
        self._laws = laws
        self._rows, self.values = draw_rows({purpose: law for purpose, law in laws.items() if law.family != "constant"}, keys)

    def _drawn(self, purpose: str) -> NDArray[np.float64] | None:
        row = self._rows.get(purpose)
        return None if row is None else self.values[row]

    @property
    def all_placed(self) -> bool:
        """Whether each law has a row in `values` or no other number than one."""
        return all(purpose in self._rows or law.family == "constant" for purpose, law in self._laws.items())

    def place(self, purpose: str) -> tuple[int, int]:
        """The row of a purpose in `values` and 0, or -1 and the bits of what all its draws are."""
        row = self._rows.get(purpose)
        return (-1, _bits(constant(self._laws[purpose]) or 0.0)) if row is None else (row, 0)

    def least(self, purpose: str) -> float:
        """The smallest of the draws of a purpose that is placed."""
        row = self._rows.get(purpose)
        return (constant(self._laws[purpose]) or 0.0) if row is None else float(self.values[row].min())

    def numbers(self, purpose: str, law: Any) -> NDArray[np.float64]:
        plain = self._laws.get(purpose) or _uncut(purpose, law)
        drawn = self._drawn(purpose)
        if drawn is None:
            drawn = draw(plain, self.keys, purpose)
        if plain.low > -math.inf:
            return drawn
        self.count(_TAILED[purpose], "0", "", -(drawn < 0).astype(np.int8))
        return np.maximum(drawn, 0.0)

    def any_number(self, purpose: str, law: Any) -> NDArray[np.float64] | float:
        """Like `numbers`, but one number alone where the law has no other."""
        only = constant(self._laws.get(purpose) or law.law())
        return self.numbers(purpose, law) if only is None else only

    def within(self, key: str, values: Ints, low: int, high: int, texts: tuple[str, str]) -> Ints:
        """The values with those out of range brought to its ends, and counted."""
        if values.min(initial=low) >= low and values.max(initial=high) <= high:
            return values
        self.count(key, *texts, (values > high).astype(np.int8) - (values < low).astype(np.int8))
        return np.clip(values, low, high)

    def count(self, key: str, low: str, high: str, side: NDArray[np.int8]) -> None:
        if side.any():
            before = self.cuts.get(key)
            self.cuts[key] = Cut(low, high, side) if before is None else Cut(before.low or low, before.high or high, before.side + side)

    def ints(self, purpose: str, law: Any) -> Any:
        if self.at_once:
            row = self._rows.get(purpose)
            return _whole(self.any_number(purpose, law)) if row is None else _Rule(row, Rounding.NEAREST, DRAWN_MAX)
        return whole(self.numbers(purpose, law))

    def blocks(self, purpose: str, law: Any, block_ms: int, least: int = 0) -> Any:
        """Whole blocks, `least` of them at least: one number where the law has no other."""
        row = self._rows.get(purpose) if self.at_once else None
        if row is not None:
            return _Rule(row, Rounding.NEAREST, BLOCKS_MAX, least, over=1.0 if law.law().unit == "blocks" else block_ms)
        drawn = self.any_number(purpose, law)
        if isinstance(drawn, float):
            return max(to_block_count(drawn, law.law().unit, block_ms), least)
        return np.maximum(to_blocks(drawn, law.law().unit, block_ms), least)

    def millionths(self, purpose: str, law: Any) -> Any:
        """Shares in ppm."""
        row = self._rows.get(purpose) if self.at_once else None
        return _whole(self.any_number(purpose, law) * PPM) if row is None else _Rule(row, Rounding.NEAREST, DRAWN_MAX, times=PPM)

    def funds(self, purpose: str, law: Any, ceiling: NDArray[np.float64] | None) -> Any:
        """Funds for so many blocks at the ceiling, whole uve, at least one."""
        if ceiling is None:
            row, only = self._rows.get(purpose, -1), constant(self._laws[purpose]) or 0.0
            return _Rule(row, Rounding.FUNDS, DRAWN_MAX, 1, only=only)
        amount = np.ceil(self.any_number(purpose, law) * ceiling)
        return np.maximum(np.minimum(amount, DRAWN_MAX).astype(np.int64), 1)

    def leaves(self) -> Any:
        """Unit exponential draws in ppm."""
        row = self._rows.get("leave") if self.at_once else None
        return np.rint(self._exponential("leave") * PPM) if row is None else _Rule(row, Rounding.NEAREST, DRAWN_MAX, times=PPM)

    def restarts(self, probability: float) -> Any:
        """How often in a row something of this probability comes about, RESTARTS_MAX at most."""
        if not 0 < probability < 1:
            return math.floor(RESTARTS_MAX * probability)
        scale = math.log(max(probability, 1e-9))
        row = self._rows.get("restart") if self.at_once else None
        if row is not None:
            return _Rule(row, Rounding.DOWN, RESTARTS_MAX, times=-1.0, over=scale)
        return np.minimum(np.floor(-self._exponential("restart") / scale), RESTARTS_MAX)

    def _exponential(self, purpose: str) -> NDArray[np.float64]:
        drawn = self._drawn(purpose)
        return exponential(self.keys, purpose) if drawn is None else drawn

    def chance(self, purpose: str, probability: float, then: int = 1) -> Any:
        """`then` with a probability, else 0."""
        if not 0 < probability < 1 and not is_heard():
            return then if probability >= 1 else 0
        row = self._rows.get(purpose) if self.at_once else None
        if row is not None:
            return _Rule(row, Rounding.BELOW, probability, then)
        drawn = self._drawn(purpose)
        return np.where((uniform(self.keys, purpose) if drawn is None else drawn) < probability, then, 0)


def _whole(drawn: NDArray[np.float64] | float) -> Any:
    """Draws, or what all of them are, as whole numbers."""
    return whole_number(drawn) if isinstance(drawn, float) else whole(drawn)


def _uncut(purpose: str, law: Any) -> Law:
    """The law that is drawn: where a normal one reaches below 0, as no other does, what is cut off is counted."""
    plain: Law = law.law()
    return plain._replace(low=-math.inf) if plain.family == "normal" and law.min is None and purpose in _TAILED else plain


def _laws(cohort: TenantCohort, trace: Columns) -> dict[str, Law]:
    """The laws that orders of a cohort are drawn by, by purpose, but for what a trace or a manifest says."""
    shape, top_up, deposit = cohort.order, cohort.top_up, cohort.deposit
    found: dict[str, Any] = {
        "duration": cohort.duration if "duration_seconds" not in trace else None,
        "terminate": cohort.terminate_after,
        "deploy_delay": cohort.deploy_delay,
        "restart_delay": cohort.restart.delay,
        "utilization": cohort.utilization,
        "value": cohort.value and _price_law(cohort.value),
        "deposit": deposit.blocks or deposit.price_blocks or deposit.amount,
    }
    chances = {"never": cohort.never_choose}
    standard = ("leave", "restart") if 0 < cohort.restart.probability < 1 else ("leave",)
    if shape.sdl is None:
        sizes = {"cpu": shape.cpu, "memory": shape.memory or shape.memory_per_core, "storage": shape.storage, "gpu": shape.gpu}
        found |= {name: law for name, law in sizes.items() if name not in trace}
        if cohort.ceiling is not None:
            found["ceiling"] = cohort.ceiling.share_of_value or _price_law(cohort.ceiling)
    if top_up is not None:
        found |= {"top_up_times": top_up.times, "top_up_blocks": top_up.blocks} | dict.fromkeys(_TOP_UP_DELAYS.values(), _delay_of(top_up))
        chances["top_up"] = top_up.probability
    laws = {purpose: _uncut(purpose, law) for purpose, law in found.items() if law is not None}
    return laws | {purpose: _UNIT for purpose, chance in chances.items() if 0 < chance < 1} | dict.fromkeys(standard, _STANDARD)


def _price_law(rule: PriceRule) -> Any:
    """The distribution of which the numbers of a price are drawn; None where one of several amounts is."""
    return rule.times_cost or (None if rule.per_block is None or rule.per_block.family == "choice" else rule.per_block)


def _table(schema: type[R], size: int, **columns: NDArray[Any] | float) -> Rows[R]:
    """Return a table of so many rows: of each column one number for all of them or one a row, of all others the default."""
    table = as_rows(schema, np.empty((size, schema.width), np.int64))
    row = row_of(schema)
    for name, value in columns.items():
        if not isinstance(value, np.ndarray):
            row[getattr(schema, name)] = int(value)
    table[:] = row
    for name, value in columns.items():
        if isinstance(value, np.ndarray):
            table[:, getattr(schema, name)] = value
    return table


def staged_orders(number: int, scenario: Scenario, seed: int, stretch: Stretch | None = None) -> CohortOrders:
    """Return every order that cohort `number` makes within a stretch, each as the cohort is when it arrives.

    The same draws serve every stage: a change moves no order but those that arrive after it.
    """
    cohort = scenario.tenants[number]
    stages = [(0, scenario)]
    for at, stage in scenario.stages:
        if stage.tenants[number] != stages[-1][1].tenants[number]:
            stages.append((at.milliseconds(scenario.block_ms), stage))
    if len(stages) == 1:
        return draw_orders(cohort, scenario, seed, stretch)
    ends = [at for at, _ in stages[1:]] + [FAR_MS]
    parts = [
        within(draw_orders(stage.tenants[number], stage, seed, stretch), begin, end)
        for (begin, stage), end in zip(stages, ends, strict=True)
    ]
    return joined(parts)


class Arrived(NamedTuple):
    """Orders of a cohort of which is known when they arrive, in milliseconds, from which keys the rest is drawn, and by which tenants, None
    where all are alike and are drawn with the rest.
    """

    times: Ints
    keys: Keys
    tenants: Ints | None


def arrived_orders(number: int, scenario: Scenario, seed: int, stretch: Stretch | None) -> Arrived | None:
    """Return when the orders of `staged_orders` arrive; None for those of a cohort that changes, whose orders a trace, a process or
    manifests say, and while somebody listens.
    """
    cohort, stretch = scenario.tenants[number], stretch or horizon_of(scenario)
    wish = cohort.demand
    changes = any(stage.tenants[number] != cohort for _, stage in scenario.stages)
    if changes or wish.trace is not None or wish.python is not None or cohort.order.sdl is not None or is_heard():
        return None
    rate = _rate_within(cohort, scenario, seed, stretch)
    arrivals, _, _ = arrivals_of(cohort, scenario, seed, rate, stretch)
    return Arrived(arrivals.times, arrivals.keys, None if wish.arrivals_each is None else tenants_at(cohort, rate, arrivals))


def orders_with_first(
    cohort: TenantCohort, scenario: Scenario, arrived: Arrived, first: Keys, into: tuple[OrderPlace, OrderPlace] | None = None
) -> tuple[CohortOrders, CohortOrders]:
    """Return the orders that have arrived and beside them what `first_orders` does for some keys, drawn in one go. Of the two places to
    write `into` the first is for those that have arrived; where draws are cut, orders stand by themselves all the same.
    """
    keys = np.concatenate([first, arrived.keys])
    times = np.concatenate([np.full(len(first), scenario.block_ms, np.int64), arrived.times])
    laws = _laws(cohort, {})
    draws = _Draws(keys, laws if arrived.tenants is not None else laws | {"who": _UNIT})
    if arrived.tenants is None:
        tenants = _tenants(cohort, draws.numbers("who", None))
    else:
        tenants = np.append(tenants_of(cohort, first), arrived.tenants)
    rows = slice(len(first), len(keys)), slice(0, len(first))
    made = _made_at_once(cohort, scenario, draws, times, tenants, rows, into)
    if made is None:
        return orders_at(cohort, scenario, arrived.times, arrived.keys, tenants[rows[0]], {}), first_orders(cohort, scenario, first)
    return made[0], made[1]


def moved(orders: CohortOrders, place: OrderPlace) -> CohortOrders:
    """Return orders given by sizes, which stood by themselves, in a place of their own among all."""
    place.tables.put((orders.calls, orders.plans, orders.drafts, orders.resources))
    calls, plans, drafts, _ = place.tables
    place_rows(calls, plans, drafts, np.arange(max(1, len(orders.asked))), place.row, place.row, place.row, place.tenant)
    return orders._replace(**place.tables._asdict())


def first_orders(cohort: TenantCohort, scenario: Scenario, keys: Keys) -> CohortOrders:
    """Return orders of a cohort in the first block, one a key."""
    return orders_at(cohort, scenario, np.full(len(keys), scenario.block_ms, np.int64), keys, tenants_of(cohort, keys), {})


def within(orders: CohortOrders, begin_ms: int, end_ms: int) -> CohortOrders:
    """Return the orders that arrive from `begin_ms` on and before `end_ms`."""
    times = orders.calls[:, Call.time]
    rows = np.flatnonzero((times >= begin_ms) & (times < end_ms))
    calls = orders.calls[rows]
    calls[:, Call.plan] = np.arange(len(rows))
    cuts = {key: cut._replace(side=cut.side[rows]) for key, cut in orders.cuts.items() if cut.side[rows].any()}
    return orders._replace(calls=calls, plans=orders.plans[rows], tenants=orders.tenants[rows], value=orders.value[rows], cuts=cuts)


def joined(parts: Sequence[CohortOrders]) -> CohortOrders:
    """Return the orders of several stages as one cohort's."""
    calls, drafts, asked = [], [], list[OrderKind]()
    plans, first_draft, first_resource = 0, 0, 0
    cuts: dict[str, Cut] = {}
    for part in parts:
        rows, groups = part.calls.copy(), part.drafts.copy()
        rows[:, Call.plan] += plans
        rows[:, Call.first_draft] += first_draft
        groups[:, Draft.spec] += len(asked)
        groups[:, Draft.first_resource] += first_resource
        for key, cut in part.cuts.items():
            before = cuts.get(key, Cut("", "", cut.side[:0]))
            cuts[key] = Cut(before.low or cut.low, before.high or cut.high, np.concatenate([before.side, cut.side]))
        calls.append(rows)
        drafts.append(groups)
        asked += part.asked
        plans, first_draft, first_resource = plans + len(rows), first_draft + len(groups), first_resource + len(part.resources)
    return parts[0]._replace(
        calls=np.concatenate(calls),
        plans=np.concatenate([part.plans for part in parts]),
        drafts=np.concatenate(drafts),
        resources=np.concatenate([part.resources for part in parts]),
        asked=asked,
        tenants=np.concatenate([part.tenants for part in parts]),
        value=np.concatenate([part.value for part in parts]),
        cuts=cuts,
    )


def draw_orders(cohort: TenantCohort, scenario: Scenario, seed: int, stretch: Stretch | None = None) -> CohortOrders:
    """Return every order that a cohort makes within a stretch, unless it is given the horizon."""
    stretch = stretch or horizon_of(scenario)
    rate = _rate_within(cohort, scenario, seed, stretch)
    arrivals, trace, late = arrivals_of(cohort, scenario, seed, rate, stretch)
    tenants = trace.pop("tenant").astype(np.int64) if "tenant" in trace else tenants_at(cohort, rate, arrivals)
    unread = tuple(name for name in trace if name in SIZES) if cohort.order.sdl is not None else ()
    return orders_at(cohort, scenario, arrivals.times, arrivals.keys, tenants, trace)._replace(late=late, unread=unread)


def _rate_within(cohort: TenantCohort, scenario: Scenario, seed: int, stretch: Stretch) -> demand.ArrivalRate:
    """The rate of a cohort, of bursts and surges those that touch a stretch."""
    rate = rate_of(cohort, scenario, seed)
    if cohort.demand.orders is not None or not len(rate.spans):  # of an exact number what lies before and behind decides as well
        return rate
    return replace(rate, spans=rate.spans[(rate.spans[:, 1] > stretch.begin_ms) & (rate.spans[:, 0] < stretch.end_ms + DAY_MS)])


def orders_at(
    cohort: TenantCohort,
    scenario: Scenario,
    times: Ints,
    keys: Keys,
    tenants: Ints,
    trace: Columns,
) -> CohortOrders:
    """Return the orders of a cohort at given times, by given tenants of it; what an order is comes from its key and, where it is given
    there, from the trace.
    """
    size = len(times)
    draws = _Draws(keys, _laws(cohort, trace))
    if not trace and (made := _made_at_once(cohort, scenario, draws, times, tenants, (slice(0, size),))) is not None:
        return made[0]
    block_ms = scenario.block_ms
    shape = cohort.order
    first_draft: Ints
    of_order: Ints | int
    if shape.sdl is not None:
        drafts, resources, asked, per_order, cost = _manifests(cohort, draws, scenario)
        first_draft, of_order, ceiling = per_order[:, 0], per_order[:, 1], per_order[:, 2] / MICRO
        value, plan_value = (ceiling, to_pair(ceiling)) if cohort.value is None else _price(cohort.value, draws, "value", cost)
    else:
        drafts, resources, asked, cost, ceiling, value, plan_value = _sizes(cohort, draws, trace)
        first_draft, of_order = np.arange(size), 1
    deposits = np.maximum(_deposits(cohort, draws, cost, ceiling, scenario.deployment_min_deposit // ATTO), 1)
    plans = _table(
        Plan,
        size,
        **_plans(cohort, scenario, draws, ceiling, trace),
        value=plan_value[0],
        value_atto=plan_value[1],
        tenant=tenants,
        key=keys.view(np.int64),
        deposit=deposits,
    )
    calls = _table(
        Call,
        size,
        time=times,
        key=np.maximum(-(-times // block_ms), 1) * PHASES + Phase.ARRIVE,
        tie=keys.view(np.int64),
        kind=Kind.ARRIVE,
        plan=np.arange(size),
        deposit=deposits,
        first_draft=first_draft,
        drafts=of_order,
        window=_window(cohort, block_ms),
    )
    return CohortOrders(calls, plans, drafts, resources, asked, tenants, value, draws.cuts)


def _window(cohort: TenantCohort, block_ms: int) -> int:
    window = cohort.order.window
    return 0 if window is None else window.milliseconds(block_ms) // SECOND_MS


def _made_at_once(
    cohort: TenantCohort,
    scenario: Scenario,
    draws: _Draws,
    times: Ints,
    tenants: Ints,
    parts: Sequence[slice],
    into: Sequence[OrderPlace] | None = None,
) -> list[CohortOrders] | None:
    """The orders of a cohort in some parts, all that an order is at once: bit by bit what is made of them column by column, in less time.

    None for what is left to that: without a compiler, for a listener, for manifests and for amounts as prices, and where a draw is cut.
    """
    shape, value, ceiling = cohort.order, cohort.value, cohort.ceiling
    if not COMPILING or is_heard() or shape.sdl is not None or value is None or value.times_cost is None:
        return None
    if ceiling is None or ceiling.per_block is not None or not draws.all_placed or not draws.size:
        return None
    size = _size_draws(cohort, scenario, draws)
    rules, plan = _plan_draws(cohort, scenario, draws)
    likes = (
        row_of(Call, kind=Kind.ARRIVE, drafts=1, window=_window(cohort, scenario.block_ms)),
        row_of(Plan, **plan),
        row_of(Draft, resources=1),
        row_of(Resource, count=1, endpoints=shape.endpoints),
    )
    orders = np.asarray((draws.keys.view(np.int64), times, tenants))
    values = np.empty(draws.size)
    made = []
    for number, rows in enumerate(parts):
        tables, row, tenant = OrderPlace(OrderTables.of(rows.stop - rows.start), 0, 0) if into is None else into[number]
        drawn = draws.values.view(np.int64)
        if not put_orders(drawn, size, rules, orders, rows.start, row, tenant, values.view(np.int64), *likes, *tables):
            draws.cuts.clear()
            return None
        asked, spec, gpu_attributes = _kinds_asked(cohort, draws.keys[rows], tables.resources[:, Resource.gpu])
        if not isinstance(spec, int):  # else both are 0
            tables.drafts[:, Draft.spec], tables.resources[:, Resource.gpu_attributes] = spec, gpu_attributes
        made.append(CohortOrders(*tables, asked, tenants[rows], values[rows], {}))
    return made


def _size_draws(cohort: TenantCohort, scenario: Scenario, draws: _Draws) -> SizeDraw:
    """Which draws are the sizes, prices and deposits of a cohort's orders."""
    ceiling, deposit = cohort.ceiling, cohort.deposit
    assert ceiling is not None
    parts: dict[str, int] = {}
    for purpose in ("cpu", "memory", "storage", "gpu", "value", "ceiling", "deposit"):
        parts[purpose], parts[f"{purpose}_only"] = draws.place(purpose)
    by_amount = deposit.blocks is None and deposit.price_blocks is None
    return row_of(
        SizeDraw,
        **parts,
        memory_per_core=int(cohort.order.memory is None),
        ceiling_of_cost=int(ceiling.share_of_value is None),
        ceiling_is_value=int(ceiling.share_of_value is not None and draws.least("ceiling") >= 1.0),
        deposit_of=DepositOf.ATTO_UVE if by_amount else DepositOf.COST if deposit.blocks is None else DepositOf.CEILING,
        least_deposit=1 if by_amount else max(scenario.deployment_min_deposit // ATTO, 1),
        block_ms=scenario.block_ms,
        **_USD,
    )


def _plan_draws(cohort: TenantCohort, scenario: Scenario, draws: _Draws) -> tuple[Rows[PlanDraw], dict[str, int]]:
    """By which draws the columns of a cohort's plans are made, and what stands in the others."""
    draws.at_once = True
    rules, fixed = list[Any](), dict[str, int]()
    for name, number in _plans(cohort, scenario, draws, None, {}).items():
        if isinstance(number, _Rule):
            rules.append(number.columns(getattr(Plan, name)))
        else:
            fixed[name] = int(number)
    draws.at_once = False
    return as_rows(PlanDraw, np.asarray(rules, np.int64).reshape(-1, PlanDraw.width)), fixed


def _kinds_asked(cohort: TenantCohort, keys: Keys, gpu: Ints) -> tuple[list[OrderKind], Ints | int, Ints | int]:
    """What orders by sizes ask for, and of each order its place there and whether it lists GPU attributes."""
    shape = cohort.order
    if shape.region is None and shape.gpu_model is None and not gpu.any():
        return [_asked(cohort, None, None)] if len(gpu) else [], 0, 0
    regions, region_at = _texts(shape.region, keys, "region")
    models, model_at = _texts(shape.gpu_model, keys, "gpu_model")
    model_at = np.where(gpu > 0, model_at, -1)
    code = region_at * (len(models) + 1) + model_at + 1
    there = np.bincount(code) > 0
    asked = [
        _asked(
            cohort,
            regions[kind // (len(models) + 1)],
            models[kind % (len(models) + 1) - 1] if kind % (len(models) + 1) else None,
        )
        for kind in np.flatnonzero(there).tolist()
    ]
    has_model = np.asarray([*(model is not None for model in models), False], np.int64)
    return asked, (np.cumsum(there) - 1)[code], has_model[model_at]


def _sizes(
    cohort: TenantCohort, draws: _Draws, trace: Columns
) -> tuple[Table, Table, list[OrderKind], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], tuple[Ints, Ints]]:
    """Rows of orders given by sizes: drafts, resources, specs; per order generic cost, ceiling and value in uve per block, and the value
    exact as whole and atto uve.
    """
    shape, size = cohort.order, draws.size
    cpu, memory, storage, gpu = _amounts(cohort, draws, trace)
    cost = generic_cost(cpu, memory, storage, gpu)
    assert cohort.ceiling is not None and cohort.value is not None
    value, plan_value = _price(cohort.value, draws, "value", cost)
    if cohort.ceiling.share_of_value is not None:
        ceiling, (in_uve, atto) = _share_of(value, plan_value, draws, cohort.ceiling.share_of_value)
    else:
        ceiling, (in_uve, atto) = _price(cohort.ceiling, draws, "ceiling", cost)
    if in_uve.max(initial=0) >= UNIT_PRICE_MAX:
        too_high = (in_uve > UNIT_PRICE_MAX) | ((in_uve == UNIT_PRICE_MAX) & (atto > 0))
        draws.count("ceiling", "", f"{UNIT_PRICE_MAX}uve", too_high.astype(np.int8))
        in_uve, atto = np.where(too_high, UNIT_PRICE_MAX, in_uve), np.where(too_high, 0, atto)
    asked, spec, gpu_attributes = _kinds_asked(cohort, draws.keys, gpu)
    resources = _table(
        Resource,
        size,
        price=in_uve,
        price_atto=atto,
        count=1,
        cpu=cpu,
        memory=memory,
        storage=storage,
        gpu=gpu,
        gpu_attributes=gpu_attributes,
        smallest_volume=storage,
        largest_volume=storage,
        endpoints=shape.endpoints,
    )
    drafts = _table(Draft, size, spec=spec, first_resource=np.arange(size), resources=1)
    return drafts, resources, asked, cost, ceiling, value, plan_value


def _amounts(cohort: TenantCohort, draws: _Draws, trace: Columns) -> tuple[Ints, Ints, Ints, Ints]:
    """What orders by sizes ask for: millicores, bytes, bytes, units."""
    shape = cohort.order
    cpu = _traced(trace, "cpu") if "cpu" in trace else draws.ints("cpu", shape.cpu)
    if "memory" in trace:
        memory = _traced(trace, "memory")
    elif shape.memory is not None:
        memory = draws.ints("memory", shape.memory)
    else:
        memory = whole(draws.numbers("memory", shape.memory_per_core) * cpu / MILLICORES)
    storage = _traced(trace, "storage") if "storage" in trace else draws.ints("storage", shape.storage)
    gpu = _traced(trace, "gpu") if "gpu" in trace else draws.ints("gpu", shape.gpu)
    cpu = draws.within("order.cpu", cpu, CPU_MIN, CPU_MAX, ("10 millicores", "384000 millicores"))
    memory = draws.within("order.memory", (memory + (MIB - 1)) // MIB * MIB, MEMORY_MIN, MEMORY_MAX, ("1Mi", "2Ti"))
    storage = draws.within("order.storage", (storage + (MIB - 1)) // MIB * MIB, VOLUME_MIN, VOLUME_MAX, ("5Mi", "32Ti"))
    gpu = draws.within("order.gpu", gpu, 0, GPU_MAX, ("0", "24"))
    return cpu, memory, storage, gpu


def _traced(trace: Columns, name: str) -> Ints:
    return whole(trace[name])


def _texts(law: Any, keys: Keys, purpose: str) -> tuple[list[str | None], Ints]:
    if law is None:
        return [None], np.zeros(len(keys), np.int64)
    plain = law.law()
    return list(plain.values) or [None], draw_index(plain, keys, purpose)


def _asked(cohort: TenantCohort, region: str | None, model: str | None) -> OrderKind:
    attributes = dict(cohort.order.attributes)
    if region is not None:
        attributes["region"] = region
    gpus: tuple[tuple[tuple[str, str], ...], ...] = ()
    requested = list(attributes.items())
    if model is not None:
        vendor, _, name = model.partition("-")
        gpus = (((f"vendor/{vendor}/model/{name}", "true"),),)
        requested += [("gpu-type", model), (f"vendor/{vendor}/model/{name}", "true")]
    signers = cohort.order.signed_by
    return OrderKind(
        Requirements(pairs_of(attributes), signers.all_of, signers.any_of, (), gpus),
        attributes.get("region"),
        tuple(requested),
    )


def _manifests(cohort: TenantCohort, draws: _Draws, scenario: Scenario) -> tuple[Table, Table, list[OrderKind], Ints, NDArray[np.float64]]:
    """Rows of the manifests of a cohort, shared by its orders: drafts, resources, specs; per order first
    draft, drafts, ceiling x 10^6.
    """
    manifests = cohort.order.sdl or ()
    drafts: list[list[int]] = []
    resources: list[list[int]] = []
    asked: list[OrderKind] = []
    heads: list[tuple[int, int, int]] = []
    costs: list[float] = []
    for manifest in manifests:
        first, ceiling, cost = len(drafts), 0, 0.0
        for name, group in enumerate(manifest.sdl.groups()):
            rate = scenario.rates.get(group.denom)
            if rate is None:
                problem = (
                    f"manifest '{manifest.name}' pays in {group.denom} and the scenario does not say what that is worth, "
                    f"add rates: {{{group.denom}: 1}} with its worth in {scenario.coin}"
                )
                raise scenario.refusal(("tenants", cohort.name, "order", "sdl"), problem)
            requested = tuple((key, value) for key, values in group.requested().items() for value in sorted(values))
            attributes = dict(group.attributes)
            requirements = Requirements(
                pairs_of(attributes),
                group.all_of,
                group.any_of,
                tuple(pairs_of(v.attributes) for unit in group.resources for v in unit.volumes if v.attributes),
                tuple(pairs_of(unit.gpu_attributes) for unit in group.resources if unit.gpu_attributes and unit.gpu),
                beyond=(known := manifest_order(group, Fraction(rate))),
            )
            asked.append(OrderKind(requirements, attributes.get("region"), requested))
            drafts.append([name, len(asked) - 1, len(resources), len(group.resources)])
            for unit in group.resources:
                in_uve, atto = divmod(worth(unit.price, Fraction(rate)), ATTO)
                sizes = [volume.size for volume in unit.volumes]
                resources.append(
                    [
                        in_uve,
                        atto,
                        unit.count,
                        unit.cpu,
                        unit.memory,
                        sum(sizes),
                        unit.gpu,
                        int(bool(unit.gpu_attributes)),
                        min(sizes, default=0),
                        max(sizes, default=0),
                        len(unit.endpoints),
                    ]
                )
            ceiling += known.ceiling_uve * MICRO // ATTO
            cost += float(
                generic_cost(
                    np.asarray([group.cpu]),
                    np.asarray([group.memory]),
                    np.asarray([group.storage]),
                    np.asarray([group.gpu]),
                )[0]
            )
        heads.append((first, len(drafts) - first, ceiling))
        costs.append(cost)
    weights = np.asarray([manifest.weight for manifest in manifests])
    edges = np.cumsum(weights) / weights.sum()
    at = np.searchsorted(edges, uniform(draws.keys, "manifest"), side="right")
    return (
        np.asarray(drafts, np.int64),
        np.asarray(resources, np.int64),
        asked,
        np.asarray(heads, np.int64)[at],
        np.asarray(costs)[at],
    )


def _price(rule: PriceRule, draws: _Draws, purpose: str, cost: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[Ints, Ints]]:
    """Prices in uve per block, as numbers and exact as whole and atto uve: a multiple of the generic cost, or an amount.

    An amount that the file names is that amount; what is computed or drawn between two has six decimals, or as many
    as the amounts of its law.
    """
    if rule.times_cost is not None:
        return _rounded(cost * draws.numbers(purpose, rule.times_cost), 6, draws, purpose)
    assert rule.per_block is not None
    law = rule.per_block.law()
    if law.family in ("constant", "choice"):
        amounts = [int(value) for value in law.values or (law.a,)]
        low, high = int(law.low), None if math.isinf(law.high) else int(law.high)
        exact = [max(low, amount if high is None else min(amount, high)) for amount in amounts]
        at = draw_index(law, draws.keys, purpose)
        pairs = np.asarray([divmod(amount, ATTO) for amount in exact], np.int64)[at]
        return np.asarray([float(amount) for amount in exact])[at] / ATTO, (pairs[:, 0], pairs[:, 1])
    uve = draws.numbers(purpose, rule.per_block) / ATTO
    finest = max(len(format_amount(amount).partition(".")[2]) for amount in rule.per_block.literals())
    return _rounded(uve, max(6, finest), draws, purpose)


def _price_uve(rule: PriceRule, draws: _Draws, purpose: str, cost: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers of `_price` alone."""
    return _price(rule, draws, purpose, cost)[0] if rule.times_cost is None else cost * draws.numbers(purpose, rule.times_cost)


def _share_of(
    value: NDArray[np.float64], exact: tuple[Ints, Ints], draws: _Draws, law: ShareLaw
) -> tuple[NDArray[np.float64], tuple[Ints, Ints]]:
    """Ceilings that are shares of values: exact where the share is all, else with six decimals and no more than the whole."""
    share = draws.any_number("ceiling", law)
    if np.min(share, initial=1.0) >= 1.0:
        return value, exact
    uve, (whole, atto) = _rounded(value * share, 6, draws, "ceiling")
    everything = (share >= 1.0) | (whole > exact[0]) | ((whole == exact[0]) & (atto > exact[1]))
    return uve, (np.where(everything, exact[0], whole), np.where(everything, exact[1], atto))


def _rounded(uve: NDArray[np.float64], decimals: int, draws: _Draws, key: str) -> tuple[NDArray[np.float64], tuple[Ints, Ints]]:
    """Prices with so many decimals, at least one last unit; those below it are counted."""
    if np.rint(uve.min(initial=1.0) * 10.0**decimals) < 1:
        least = format_amount(10 ** (DECIMALS - decimals), "uve")
        draws.count(key, least, "", -(np.rint(uve * 10.0**decimals) < 1).astype(np.int8))
    return uve, to_pair(uve, decimals)


def _deposits(cohort: TenantCohort, draws: _Draws, cost: NDArray[np.float64], ceiling: NDArray[np.float64], least: int) -> Ints:
    """Return deposits in whole uve: funds for so many blocks are at least what the chain asks for, an amount
    is sent as written.
    """
    rule = cohort.deposit
    if rule.blocks is not None:
        amount = draws.any_number("deposit", rule.blocks) * ceiling
    elif rule.price_blocks is not None:
        amount = draws.any_number("deposit", rule.price_blocks) * cost
    else:
        return np.ceil(np.minimum(draws.numbers("deposit", rule.amount) / ATTO, DRAWN_MAX)).astype(np.int64)
    return np.maximum(np.ceil(np.minimum(amount, DRAWN_MAX)), least).astype(np.int64)


def _plans(cohort: TenantCohort, scenario: Scenario, draws: _Draws, ceiling: NDArray[np.float64] | None, trace: Columns) -> dict[str, Any]:
    """Columns of `Plan` by name: what tenants will do, each for all orders of a cohort, one an order, or, without ceilings, a rule."""
    block_ms = scenario.block_ms
    if "duration_seconds" in trace:
        duration: Ints | int = np.maximum(to_blocks(trace["duration_seconds"] * SECOND_MS, "ms", block_ms), 1)
    else:
        duration = draws.blocks("duration", cohort.duration, block_ms, 1)
    used = draws.any_number("utilization", cohort.utilization)
    if scenario.charging != "rate" and (used if isinstance(used, float) else used.max(initial=0.0)) > UTILIZATION_MAX:
        problem = f"a draw above {UTILIZATION_MAX}, accepted 0 to {UTILIZATION_MAX}"
        raise scenario.refusal(("tenants", cohort.name, "utilization"), problem)
    return {
        "deployment": -1,
        "leave_blocks": -1,
        "region": -1,
        "duration": duration,
        "terminate": _early_ends(cohort, draws, block_ms),
        "leave_ppm": draws.leaves(),
        "deploy_delay": draws.blocks("deploy_delay", cohort.deploy_delay, block_ms),
        "never": draws.chance("never", cohort.never_choose),
        "patience": cohort.patience.blocks(block_ms),
        **_choice(cohort.choice),
        **({} if cohort.top_up is None else _top_ups(cohort.top_up, draws, ceiling, block_ms)),
        "restart_left": draws.restarts(cohort.restart.probability),
        "restart_delay": draws.blocks("restart_delay", cohort.restart.delay, block_ms, 1),
        "utilization_ppm": draws.millionths("utilization", cohort.utilization),
    }


def _choice(choice: RuleChoice) -> dict[str, float]:
    """Columns of `Plan`: how tenants choose among bids."""
    if choice.kind == "score":
        assert choice.score is not None
        weights = {name: round(getattr(choice.score, name) * PPM) for name in ("price", "uptime", "audit", "region")}
        return {"choice": BidChoice.SCORE, **{f"weight_{name}": weight for name, weight in weights.items()}}
    if choice.kind == "python":
        return {"choice": BidChoice.OWN}
    if choice.kind == "random_among_cheapest":
        return {"choice": BidChoice.RANDOM_AMONG_CHEAPEST, "choice_k": choice.random_among_cheapest or 1}
    return {}


def lives_of(cohort: TenantCohort, keys: Keys, block_ms: int) -> tuple[Ints, Ints]:
    """Return for each key the blocks to the planned end and to an early end, -1 for none."""
    draws = _Draws(
        keys, {name: _uncut(name, law) for name, law in (("duration", cohort.duration), ("terminate", cohort.terminate_after)) if law}
    )
    planned, early = draws.blocks("duration", cohort.duration, block_ms, 1), _early_ends(cohort, draws, block_ms)
    return tuple(each if isinstance(each, np.ndarray) else np.full(len(keys), each) for each in (planned, early))  # type: ignore[return-value]


def _early_ends(cohort: TenantCohort, draws: _Draws, block_ms: int) -> Ints | int:
    return -1 if cohort.terminate_after is None else draws.blocks("terminate", cohort.terminate_after, block_ms, 1)


def mean_life(cohort: TenantCohort, block_ms: int) -> float:
    """Return the mean of the blocks until a cohort's lease ends as planned or early."""
    return _mean_life(cohort.duration.law(), None if cohort.terminate_after is None else cohort.terminate_after.law(), block_ms)


@lru_cache(maxsize=LAWS_KEPT)
def _mean_life(planned: Law, early: Law | None, block_ms: int) -> float:
    first, second = (
        None if law is None else np.maximum(to_blocks(quantiles(law, SHARES), law.unit, block_ms), 1) for law in (planned, early)
    )
    assert first is not None
    if second is None:
        return float(first.mean())
    below = np.searchsorted(second, first)  # ascending both: the mean of the smaller of two, over all pairs
    sums = np.concatenate([[0], np.cumsum(second)])[below] + first * (SHARES - below)
    return float(sums.sum(dtype=np.float64)) / SHARES**2


def mean_cpu(cohort: TenantCohort) -> float:
    """Return the mean of the millicores that an order of a cohort asks for."""
    shape = cohort.order
    if shape.cpu is not None:
        return _mean_size(shape.cpu.law())
    manifests = shape.sdl or ()
    cpu = [sum(group.cpu for group in manifest.sdl.groups()) for manifest in manifests]
    return float(np.average(cpu, weights=[manifest.weight for manifest in manifests]))


@lru_cache(maxsize=LAWS_KEPT)
def _mean_size(cpu: Law) -> float:
    return float(np.clip(quantiles(cpu, SHARES), CPU_MIN, CPU_MAX).mean())


def cpu_of(orders: CohortOrders) -> Ints:
    """Return the millicores that each order asks for, all its groups and replicas together."""
    each = orders.resources[:, Resource.cpu] * orders.resources[:, Resource.count]
    if len(each) == len(orders.drafts) == len(orders.calls) and (np.diff(orders.calls[:, Call.first_draft]) == 1).all():
        return np.asarray(each)  # one resource a group, one group an order
    sums = np.concatenate([[0], np.cumsum(each)])
    first = orders.drafts[:, Draft.first_resource]
    of_drafts = np.concatenate([[0], np.cumsum(sums[first + orders.drafts[:, Draft.resources]] - sums[first])])
    first = orders.calls[:, Call.first_draft]
    return np.asarray(of_drafts[first + orders.calls[:, Call.drafts]] - of_drafts[first])


def _top_ups(rule: TopUp, draws: _Draws, ceiling: NDArray[np.float64] | None, block_ms: int) -> dict[str, Any]:
    """Columns of `Plan`: when tenants send more funds, how often and how much."""
    after = rule.after_depletion
    when = TopUpTime.AFTER_DEPLETION if after is not None else TopUpTime.BEFORE
    return {
        "top_up": draws.chance("top_up", rule.probability, when),
        "top_up_left": draws.ints("top_up_times", rule.times),
        "top_up_at": rule.when_blocks_left or 0,
        "top_up_amount": draws.funds("top_up_blocks", rule.blocks, ceiling),
        **{name: draws.blocks(purpose, _delay_of(rule), block_ms) for name, purpose in _TOP_UP_DELAYS.items()},
    }


def _delay_of(rule: TopUp) -> Any:
    """The distribution of how long tenants take to add funds."""
    return rule.delay if rule.after_depletion is None else rule.after_depletion.delay


__all__ = [
    "Arrived",
    "CohortOrders",
    "OrderKind",
    "OrderPlace",
    "OrderTables",
    "Stretch",
    "arrivals_of",
    "arrived_orders",
    "costs_of",
    "cpu_of",
    "draw_orders",
    "expected_arrivals",
    "first_orders",
    "lives_of",
    "mean_arrivals",
    "mean_cpu",
    "mean_life",
    "mean_per_hour",
    "moved",
    "orders_at",
    "orders_with_first",
    "rate_of",
    "staged_orders",
    "tenants_of",
]
