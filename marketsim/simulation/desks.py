"""Bid engines out of provider cohorts: unit prices, limits, latency, and which orders a desk may look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np

from marketsim.agents.streams import Keys, constant, draw, key_of, normal, quantiles
from marketsim.chain.requirements import FITS, Requirements
from marketsim.kernel.rows import Rows, row_of
from marketsim.kernel.table_set import Table, rows_of
from marketsim.market.list_prices import set_each_list_prices
from marketsim.market.quoting import FACTOR_MAX
from marketsim.market.tables import LATENCY_MS, QUANTILES, Decline, Desk, Node, Pricing
from marketsim.money.units import ATTO, BLOCKS_A_MONTH, DECIMALS, HOUR_MS, MIB, MIB_A_GIB, MILLICORES, PERCENT, PPM, SECOND_MS, UVE_PER_VE
from marketsim.scenario.distributions import Law
from marketsim.scenario.model import Scenario
from marketsim.scenario.provider_file import ProviderFile
from marketsim.scenario.providers import ProviderCohort

RESOURCES = ("cpu", "memory", "storage", "gpu")
FOLLOWED = (*RESOURCES, "scarcest")
"""What Desk.reprice_follows counts."""
NO_LIMIT = 1 << 60
BID_TIMEOUT_MS = 300_000
"""When a bid without an answer is taken back, unless a provider file says otherwise (training document)."""
CAPACITY_MAX = 1 << 45
"""Most of a resource that a desk may have, in its own unit."""
PROFILES_KEPT = 256
"""Latency profiles kept for the next run: a sweep's runs have mostly the same."""
RATE_LIMIT_MAX = 128
"""Bids a minute or hour that a rate limit may count: as many times as a desk remembers."""
WHOLE_PRICE_MAX = 10**6
"""Whole uve a unit price may have: quantities up to 2^40 MiB times it stay far inside int64."""


class DeskBook:
    """All desks of a run, with their names and what they claim.

    Attributes: `rows` int64 (desks, Desk.width); `nodes` int64 (nodes, Node.width) of the desks that have more
    than one; `names`; `cohorts` row of the cohort by desk; `attributes`, `signed` by desk; `latencies` int64
    (profiles, QUANTILES) in milliseconds; `cohort_names`; `custom` the Python or script strategy by desk, where
    it has one.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.names: list[str] = []
        self.cohorts: list[int] = []
        self.cohort_names = [cohort.name for cohort in scenario.desks]
        self.attributes: list[dict[str, str]] = []
        self.signed: list[dict[str, dict[str, str]]] = []
        self.wallets: list[int] = []
        self.custom: dict[int, Any] = {}
        self._files: list[Any] = []
        cohorts = scenario.desks
        for number, cohort in enumerate(cohorts):
            for index in range(cohort.count):
                self.names.append(f"{cohort.name}-{index}")
                self.cohorts.append(number)
                self.attributes.append(attributes_of(cohort, index))
                self.signed.append({auditor: dict(claims) for auditor, claims in cohort.signed_by.items()})
                self.wallets.append(int(cohort.wallet) // ATTO)
                self._files.append(cohort.config)
                if cohort.strategy.kind in ("python", "script"):
                    self.custom[len(self.names) - 1] = cohort.strategy
        regions = region_codes(scenario)
        self.rows = desk_rows(cohorts, scenario, seed)
        self.rows[:, Desk.latency_profile] = self.cohorts
        self.rows[:, Desk.region] = [regions.get(claims.get("region", ""), 0) for claims in self.attributes]
        self.nodes: Table = node_rows(self.rows, cohorts)
        profiles = [latency_profile(cohort.latency.law(), scenario.block_ms) for cohort in cohorts]
        self.latencies: Table = np.array(profiles or [np.full(QUANTILES, LATENCY_MS)], np.int64)

    def copy(self) -> DeskBook:
        """Return another book that providers may be entered into; those in it are shared, nobody changes them."""
        other = copy(self)
        other.names, other.cohorts, other.cohort_names = list(self.names), list(self.cohorts), list(self.cohort_names)
        other.attributes, other.signed = list(self.attributes), list(self.signed)
        return other

    def file_of(self, desk: int) -> ProviderFile | None:
        """Return a desk's provider file as it is now, None for one without."""
        file: ProviderFile | None = self._files[desk] if desk < len(self._files) else None
        return file

    def set_file(self, desk: int, file: ProviderFile) -> None:
        """Let a desk have another provider file, which acts by its filters here."""
        self._files = [*self._files[:desk], file, *self._files[desk + 1 :]]

    def take_filters(self, before: DeskBook, after: DeskBook) -> list[int]:
        """Let the desks have the filters of another book where they are not those of the one before; return which."""
        changed = [
            desk
            for desk, (old, new) in enumerate(zip(before._files, after._files, strict=True))
            if old is not None and new is not None and old.filters != new.filters
        ]
        self._files = [after._files[desk] if desk in changed else file for desk, file in enumerate(self._files)]
        return changed

    def refusal(self, desk: int, asked: Requirements, region: str | None, requested: Mapping[str, set[str]], fit: int) -> int:
        """Return 0 or 1 + Decline: allowed regions, then attributes and auditors (`fit`, the chain's answer),
        then excluded attributes.
        """
        file = self.file_of(desk)
        filters = None if file is None else file.filters
        refused = 1 + int(Decline.INVALID_ATTRIBUTES)
        if filters is not None and region is not None and filters.allowed_regions is not None:
            if region not in filters.allowed_regions:
                return refused
        if fit != FITS:
            return refused
        if filters is not None:
            for pair in filters.excluded_attributes:
                key, _, value = pair.partition("=")
                if value in requested.get(key, set()):
                    return refused
        return 0


def attributes_of(cohort: ProviderCohort, index: int) -> dict[str, str]:
    """Return what one provider of a cohort claims; several regions go round robin."""
    claims = dict(cohort.attributes)
    if cohort.regions:
        claims["region"] = cohort.regions[index % len(cohort.regions)]
    return claims


def region_codes(scenario: Scenario) -> dict[str, int]:
    """Return a number above 0 for each region that a provider of a cohort claims, by name."""
    claimed = (attributes_of(cohort, index).get("region") for cohort in scenario.desks for index in range(len(cohort.regions) or 1))
    return {region: code for code, region in enumerate(dict.fromkeys(filter(None, claimed)), 1)}


@lru_cache(maxsize=PROFILES_KEPT)
def latency_profile(law: Law, block_ms: int) -> Table:
    """Return a law of latencies as milliseconds at QUANTILES evenly spaced quantiles; nobody may write into them."""
    profile = np.rint(quantiles(law, QUANTILES) * (block_ms if law.unit == "blocks" else 1)).astype(np.int64)
    profile.flags.writeable = False
    return profile


def unit_prices(cohort: ProviderCohort) -> tuple[list[int], int, int, int, int]:
    """Return a cohort's prices: atto-uve per millicore, MiB, MiB and GPU; margin in ppm; atto-uve per endpoint;
    decimals; Strategy.
    """
    kind = cohort.strategy.kind
    if kind == "scale":
        scale = cohort.strategy.scale
        assert scale is not None
        return [scale.cpu, scale.memory, scale.storage, 0], 0, scale.endpoint, DECIMALS, Pricing.LINEAR
    if kind == "monthly_targets":
        targets = cohort.strategy.monthly_targets
        assert targets is not None
        micro = Decimal(UVE_PER_VE) / BLOCKS_A_MONTH
        usd = [targets.cpu / MILLICORES, targets.memory / MIB_A_GIB, targets.hd_ephemeral / MIB_A_GIB, targets.gpu]
        return (
            [int(x * micro * ATTO) for x in usd],
            0,
            int(targets.endpoint * micro * ATTO),
            6,
            Pricing.LINEAR,
        )
    if cohort.config is None:
        strategy = {"random_range": Pricing.RANDOM_RANGE, "agent": Pricing.AGENT}.get(kind, Pricing.CUSTOM)
        return [0, 0, 0, 0], 0, 0, DECIMALS, strategy
    engine = cohort.config.bid_engine
    prices = engine.pricing
    units = [prices.cpu_millicores, prices.memory_mb, prices.storage_mb, prices.gpu]
    strategy = {
        "undercut": Pricing.UNDERCUT,
        "random_range": Pricing.RANDOM_RANGE,
        "python": Pricing.CUSTOM,
        "script": Pricing.CUSTOM,
    }.get(kind, Pricing.LINEAR)
    return units, engine.margin_ppm, 0, DECIMALS, strategy


def desk_rows(cohorts: Sequence[ProviderCohort], scenario: Scenario, seed: int) -> Rows[Desk]:
    """Return the desks of cohorts, int64 (desks, Desk.width); each provider draws from streams of its own
    name.
    """
    owners = [cohort for cohort in cohorts for _ in range(cohort.count)]
    names = [f"provider/{cohort.name}/{index}" for cohort in cohorts for index in range(cohort.count)]
    keys = np.asarray([key_of(seed, name) for name in names], np.uint64)
    rows = rows_of(len(owners), Desk)
    units: list[list[int]] = []
    for cohort in cohorts:
        mine = slice(len(units), len(units) + cohort.count)
        rows[mine], each_units = desk_of(cohort, scenario)
        units += [each_units] * cohort.count
        set_capacity(rows[mine], cohort, keys[mine])
    rows[:, Desk.key] = keys.view(np.int64)
    spread = np.asarray([cohort.spread for cohort in owners], np.float64)
    rows[:, Desk.cost_ppm] = np.maximum(1, np.rint(float(PPM) * np.exp(spread * normal(keys, "cost"))))
    prices = [[unit * ppm // PPM for unit in each] for each, ppm in zip(units, rows[:, Desk.cost_ppm].tolist(), strict=True)]
    for cohort, each in zip(owners, prices, strict=True):
        if max(each) >= (WHOLE_PRICE_MAX + 1) * ATTO:
            problem = f"a unit price above {WHOLE_PRICE_MAX}uve, accepted up to that"
            raise scenario.refusal(("providers", cohort.name), problem)
    set_each_list_prices(rows, prices)
    return rows


def desk_of(cohort: ProviderCohort, scenario: Scenario) -> tuple[Desk, list[int]]:
    """Return what the desks of a cohort have in common, and their unit prices before each one's draw (`unit_prices`)."""
    block_ms = scenario.block_ms
    units, margin, fixed, decimals, strategy = unit_prices(cohort)
    if margin + PPM > FACTOR_MAX:
        problem = f"above {(FACTOR_MAX - PPM) * PERCENT // PPM} percent, accepted up to that"
        raise scenario.refusal(("providers", cohort.name, "min_profit_margin"), problem)
    desk = row_of(Desk, up=1, enabled=1, margin_ppm=margin, decimals=decimals, strategy=strategy)
    desk.max_cpu = desk.max_memory = desk.max_storage = desk.max_gpu = desk.max_concurrent = NO_LIMIT
    desk.multiplier_ppm = desk.uptime_ppm = PPM
    desk.lease_capacity = -1 if cohort.lease_capacity is None else cohort.lease_capacity
    desk.usage_by_hand = int(cohort.usage.kind == "manual")
    desk.unreported_ppm, desk.lag = reporting(cohort, scenario)
    desk.audited = int(bool(cohort.signed_by))
    desk.window = 0 if cohort.window is None else cohort.window.milliseconds(block_ms) // SECOND_MS
    desk.withdraw_every = (cohort.withdraw_every or scenario.withdraw_every).blocks(block_ms)
    desk.bid_timeout = max(1, BID_TIMEOUT_MS // block_ms)
    desk.endpoint, desk.endpoint_atto = divmod(fixed, ATTO)
    if cohort.strategy.undercut is not None:
        desk.undercut_ppm = round(cohort.strategy.undercut.by * PPM)
    if cohort.config is not None:
        set_limits(desk, cohort.config, block_ms)
    set_repricing(desk, cohort, block_ms)
    if cohort.rate_limit is not None:
        if max(cohort.rate_limit.per_minute or 0, cohort.rate_limit.per_hour or 0) > RATE_LIMIT_MAX:
            problem = f"above {RATE_LIMIT_MAX} bids, accepted up to that"
            raise scenario.refusal(("providers", cohort.name, "rate_limit"), problem)
        desk.per_minute = cohort.rate_limit.per_minute or 0
        desk.per_hour = cohort.rate_limit.per_hour or 0
    if cohort.leave is not None:
        desk.leave_blocks = max(1, cohort.leave.mean.blocks(block_ms))
    if cohort.outages is not None:
        up = cohort.outages.every.milliseconds(block_ms)
        desk.uptime_ppm = round(float(PPM) * up / (up + cohort.outages.lasts.milliseconds(block_ms)))
    return desk, units


def reporting(cohort: ProviderCohort, scenario: Scenario) -> tuple[int, int]:
    """Return what a cohort's meters leave out, in ppm, and how late they are read, in blocks; what comes too late is left out."""
    usage, block_ms = cohort.usage, scenario.block_ms
    if usage.delay.blocks(block_ms) > scenario.usage_grace.blocks(block_ms):
        return PPM, 0
    return PPM - round(usage.factor * PPM), usage.delay.blocks(block_ms)


def set_limits(desk: Desk, config: Any, block_ms: int) -> None:
    """Write the filters and limits of a provider file (training document, Bid Engine Configuration)."""
    engine, filters = config.bid_engine, config.filters
    desk.enabled = int(engine.enabled)
    desk.max_concurrent = engine.max_concurrent_bids
    desk.bid_timeout = engine.bid_timeout.blocks(block_ms)
    for column, limit in (
        (Desk.max_cpu, filters.max_cpu),
        (Desk.max_memory, filters.max_memory),
        (Desk.max_storage, filters.max_storage),
    ):
        if limit is not None:
            desk[column] = limit
    if filters.min_order_value is not None:
        desk.min_value, desk.min_value_atto = divmod(filters.min_order_value, ATTO)


def set_repricing(desk: Desk, cohort: ProviderCohort, block_ms: int) -> None:
    """Write how the cohort's multiplier moves: its repricing rule, or the strategy that follows
    utilization.
    """
    if cohort.repricing is not None:
        rule = cohort.repricing
        desk.reprice_follows = FOLLOWED.index(rule.follows)
        desk.reprice_every = rule.every.blocks(block_ms)
        names = (rule.high, rule.low, rule.up, rule.down, rule.min, rule.max)
        desk[Desk.reprice_high_ppm : Desk.reprice_max_ppm + 1] = [round(x * PPM) for x in names]
    elif cohort.strategy.utilization is not None:
        follow = cohort.strategy.utilization
        desk.reprice_follows = FOLLOWED.index(follow.follows)
        desk.reprice_every = max(1, HOUR_MS // block_ms)
        desk.reprice_min_ppm = round(follow.low * PPM)
        desk.reprice_max_ppm = round(follow.high * PPM)
        desk.reprice_step_ppm = max(1, round(follow.step * PPM))
        desk.multiplier_ppm = round(follow.low * PPM)


def set_capacity(rows: Table, cohort: ProviderCohort, keys: Keys) -> None:
    """Write the providers' capacity, over-commit included; GPUs are never over-committed."""
    more = cohort.overcommit
    for column, name, factor, unit in (
        (Desk.cap_cpu, "cpu", more.cpu, 1),
        (Desk.cap_memory, "memory", more.memory, MIB),
        (Desk.cap_storage, "storage", more.storage, MIB),
        (Desk.cap_gpu, "gpu", 1, 1),
    ):
        if cohort.nodes is not None:
            rows[:, column] = _capacity(sum(node.count * getattr(node, name) for node in cohort.nodes), factor, unit)
            continue
        assert cohort.capacity is not None
        law = getattr(cohort.capacity, name).law()
        only = constant(law)
        if only is not None:
            rows[:, column] = _capacity(math.floor(only), factor, unit)
        else:
            drawn = np.floor(draw(law, keys, f"capacity/{name}"))
            rows[:, column] = np.minimum(np.floor(drawn * factor) // unit, float(CAPACITY_MAX))


def _capacity(amount: int, factor: float, unit: int = 1) -> int:
    """Return an amount with its over-commit, cut where sums over all providers would not fit a column any more."""
    return min(int(amount * factor) // unit, CAPACITY_MAX)


def node_rows(rows: Rows[Desk], cohorts: Sequence[ProviderCohort]) -> Table:
    """Return the nodes of the desks of cohorts that have more than one, all free, in the order of the file, and write into `rows` where
    each desk's begin; over-commit as in the desk's capacity, per node.
    """
    found: list[tuple[int, int, int, int]] = []
    first = 0
    for cohort in cohorts:
        mine: list[tuple[int, int, int, int]] = []
        more = cohort.overcommit
        for node in cohort.nodes or ():
            memory, storage = _capacity(node.memory, more.memory, MIB), _capacity(node.storage, more.storage, MIB)
            mine += [(_capacity(node.cpu, more.cpu), memory, storage, _capacity(node.gpu, 1))] * node.count
        if len(mine) > 1:
            for desk in range(first, first + cohort.count):
                rows[desk].nodes, rows[desk].first_node = len(mine), len(found)
                found += mine
        first += cohort.count
    return np.asarray(found, np.int64).reshape(len(found), Node.width)


def repricing_periods(rows: Table) -> Sequence[int]:
    """Return the distinct periods, in blocks, at which some desk reprices."""
    return sorted({int(every) for every in rows[:, Desk.reprice_every] if every > 0})
