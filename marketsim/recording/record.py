"""The record of one run: tables of numpy columns from which every report, figure and metric is computed.

A table is a dict of equally long columns; row numbers are the references between tables (an order's `lease`,
a lease's `provider`), -1 means none. Money is a pair of int64 columns `…_whole` and `…_atto` (value = whole
+ atto / 10^18 uve, 0 <= atto < 10^18); coins (pay-outs, fees) are whole uve in one column. Heights are block
numbers, 1 is the first block of the run. Names are Python strings at the edge only.

`orders` and `leases` are in memory whatever the scenario's `record:` says; `bids`, `declines`,
`settlements` and `events` are None unless they were recorded, and where they are long, in files that the run has written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from marketsim.errors import InvariantError
from marketsim.kernel.compiled import compiled
from marketsim.market.tables import LATENCY_BINS, STATUSES, Ended
from marketsim.money.units import ATTO
from marketsim.recording.trail import RunTrail

Column = NDArray[Any]
Table = dict[str, Column]
LongTable = Mapping[str, Column]
"""A table of which there may be many rows: a dict of columns, or one that reads a column from a file when it is asked for."""


DECLINE_CODES: Final = (
    "engine_disabled",
    "order_not_open",
    "provider_blocked",
    "invalid_attributes",
    "insufficient_resources",
    "rate_limited",
    "queue_full",
    "below_min_order_value",
    "price_too_high",
    "insufficient_deposit",
    "script_failed",
    "script_timeout",
    "invalid_price",
    "not_connected",
)
"""Why a bid engine did not bid, by code number, in the order in which it looks; an offline provider counts
as engine_disabled. After the first ten come three answers of users' scripts and classes, then what only faults cause."""

CODES_OF_ENGINES: Final = 10
"""So many of DECLINE_CODES are of every engine; what follows is shown where users' code sets prices."""
CODES_WITHOUT_FAULTS: Final = 13
"""So many are of engines or users' code; what follows is shown where it occurred."""


UNFILLED: Final = (
    "no_eligible_provider",
    "no_capacity",
    "over_ceiling",
    "below_min_value",
    "no_deposit",
    "engine_limits",
    "tenant_never_chose",
    "capacity_lost",
    "cancelled",
    "other",
)
"""Why an order ended without a lease, by code number."""

LEVELS: Final = ("summary", "orders", "everything")
"""Values of the scenario's `record:`."""


RESOURCES: Final = ("cpu", "memory", "storage", "gpu")
"""Millicores, bytes, bytes, units."""

_INT, _FLOAT = np.dtype(np.int64), np.dtype(np.float64)


def _ints(names: str) -> dict[str, np.dtype[Any]]:
    return dict.fromkeys(names.split(), _INT)


COLUMNS: Final[Mapping[str, Mapping[str, np.dtype[Any]]]] = {
    "tenants": _ints("cohort"),
    # Capacity in millicores, bytes, bytes, units. `…_window` counts the bids submitted, accepted or resolved
    # after warm_up, the columns without it the whole run. revenue_net and fees are whole uve of the window;
    # network_fees whole uve of the whole run. cost_ppm = its relative cost draw (`spread:`), 10^6 = none, 0
    # = not known. unit_blocks_… = sum over the window's blocks of what was
    # leased (units x blocks; float because petabytes x years leave int64).
    "providers": {
        **_ints("cohort cpu memory storage gpu lease_capacity"),
        **_ints("submitted accepted won lost closed"),
        **_ints("submitted_window accepted_window won_window lost_window closed_window"),
        **_ints("leases revenue_net fees network_fees cost_ppm"),
        **dict.fromkeys((f"unit_blocks_{name}" for name in RESOURCES), _FLOAT),
    },
    # ceiling and value per block; state and end as chain.columns.OrderState and OrderEnd; bids = bids that
    # the chain accepted; decided 1 = bidding ended before the horizon (a lease, a timeout, a cancellation);
    # unfilled -1 = leased or still open; account = row of the deployment's escrow account in the chain.
    "orders": _ints(
        "tenant dseq gseq oseq created_at closed_at state end ceiling_whole ceiling_atto value_whole "
        "value_atto cpu memory storage gpu region bids lease relisted decided unfilled account"
    ),
    # withdrawn is gross, fees the take in it, both whole uve; shortfall was owed and forgiven. earned = withdrawn and, of a lease that goes
    # on, what is owed for the blocks up to the end; earned_before and fees_before are the same at the end of warm_up.
    "leases": _ints(
        "order provider created_at active_at closed_at state reason ended price_whole price_atto withdrawn "
        "fees shortfall_whole shortfall_atto earned_whole earned_atto earned_before_whole earned_before_atto fees_before"
    ),
    "bids": _ints("height order provider price_whole price_atto state latency_ms"),
    # an order that a bid engine looked at and did not bid on; reason = number in DECLINE_CODES
    "declines": _ints("height order provider reason"),
    # moved = owed and taken from the account; net and take = paid out at that settlement, whole uve.
    "settlements": _ints("height lease until moved_whole moved_atto net take"),
    # Samples at rising heights, the last one the run's last block; revenue_net, created, leased and
    # submitted are cumulative; created and leased leave relisted orders out; warnings = leases with less
    # than 24 h of funds at their price.
    "timeseries": _ints(
        "height active_leases insufficient_funds open_orders cpu memory storage gpu revenue_net created "
        "leased submitted held_whole warnings"
    ),
    # as chain.columns.Event, but for bids made and lost, which are in `bids`: subject and other are rows of the tables that the kind names.
    "events": _ints("height kind subject other whole atto extra"),
}
"""Columns of each table with their dtypes. Two-dimensional ones stand in `WIDE`; names in `tenants["name"]`,
`providers["name"]`."""

WIDE: Final[Mapping[str, int | None]] = {
    "rejected": STATUSES,
    "declined": len(DECLINE_CODES),
    "revenue_days": None,
}
"""2-D int64 columns of `providers`: refusals by Status number, engine refusals by code, net revenue by
simulated day of the whole run.

Day d holds the blocks after `day_blocks(meta) * d` up to `day_blocks(meta) * (d + 1)`."""

MINUS_ONE: Final = frozenset({"lease_capacity", "closed_at", "active_at", "lease", "region", "unfilled", "account", "latency_ms"})
"""Columns that `blank` fills with -1."""

OPTIONAL: Final = ("bids", "declines", "settlements", "events")

TOTALS: Final = (
    "deposited",
    "held",
    "paid",
    "fees",
    "refunded",
    "dust",
    "stranded",
    "debt",
    "shortfall",
    "network_fees",
    "supply",
    "accrued",
)
"""Keys of `Record.totals`: exact amounts of the whole run in atto-uve, as Python integers; `accrued` is
what leases that go on have earned and nobody has settled, less its take."""

META: Final = (
    "scenario",
    "seed",
    "rules",
    "blocks",
    "block_ms",
    "warm_up_blocks",
    "start",
    "fingerprint",
    "record",
    "audit_blocks",
    "latency_total_ms",
    "versions",
    "streams",
    "wall_seconds",
)
"""Keys of `Record.meta`.

scenario: the effective scenario, a mapping of plain values; dict() of it is JSON-able. rules: name of the rule set. blocks: height of the
last block. start: ISO date and time of block 0. fingerprint: hex digits. record: one of LEVELS.
audit_blocks: blocks audited (0 without --audit). latency_total_ms: sum of all bid latencies. versions:
package -> version. streams: names or patterns of the random streams. wall_seconds: seconds the run took.
Runs with hand-written messages, governance or faults also have `receipts`: height, op, id and result of each. Runs with faults have
`faults`: of each its name and kind, the heights of its begin and end (None: it lasted to the end), and whom it hit. Where users' code
set prices and gave reasons for not doing so, `refusals` has by `tenant/dseq/gseq` and provider what it said (record: everything). Runs in
which draws
were cut off or rows of a trace left out have `cut`: by key of the scenario `draws`, how many of them were `raised` to `low` and
`lowered` to `high`, or how many rows were `left_out` and which columns `not_read`.
"""


@dataclass(frozen=True)
class Record:
    """Everything recorded of one run; `check` says whether it is well formed."""

    tenants: dict[str, Any]
    """`name` (list of str) and `cohort` (row in tenant_cohorts)."""
    providers: dict[str, Any]
    """`name` (list of str), `cohort` (row in provider_cohorts) and the columns of COLUMNS and WIDE."""
    tenant_cohorts: list[str]
    provider_cohorts: list[str]
    regions: list[str]
    orders: Table
    leases: Table
    timeseries: Table
    totals: dict[str, int]
    meta: dict[str, Any]
    latency_histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(LATENCY_BINS, np.int64))
    """Bids by milliseconds from the engine seeing the order to submitting, (LATENCY_BINS,), whole run."""
    bids: LongTable | None = None
    declines: LongTable | None = None
    settlements: LongTable | None = None
    events: LongTable | None = None
    logs: dict[str, Table] = field(default_factory=dict)
    """What users' strategies and agents wrote down, a table a cohort or agent: `height`, `who`, then columns of their own."""
    by_script: bool | None = None
    """Whether a script sets some provider's prices; None where `meta["scenario"]` has to say so."""
    trail: RunTrail | None = None
    """The run's trail, where it was kept: a file of its own beside the tables."""

    @property
    def blocks(self) -> int:
        """Height of the last block."""
        return int(self.meta["blocks"])

    @property
    def warm_up_blocks(self) -> int:
        """Blocks before the window in which rates, revenue, utilization and price are measured."""
        return int(self.meta["warm_up_blocks"])

    @property
    def day_blocks(self) -> int:
        """Blocks of a simulated day, at least 1."""
        return day_blocks(int(self.meta["block_ms"]))

    def check(self) -> Record:
        """Return the record itself; raise InvariantError naming the first column that is missing, misshapen
        or points nowhere. Tables in files are left out."""
        for table in COLUMNS:
            columns = getattr(self, table)
            if isinstance(columns, dict):
                _check_table(table, columns)
        _check_providers(self.providers, len(self.providers["name"]), day_count(self.blocks, self.day_blocks))
        for table, names in (("tenants", self.tenants), ("providers", self.providers)):
            if len(names["name"]) != len(names["cohort"]):
                raise InvariantError(f"record: {table}: {len(names['name'])} names for {len(names['cohort'])} rows")
        for key in TOTALS:
            if not isinstance(self.totals.get(key), int):
                raise InvariantError(f"record: totals: {key} is missing or not an integer")
        for key in META:
            if key not in self.meta:
                raise InvariantError(f"record: meta: {key} is missing")
        if self.latency_histogram.shape != (LATENCY_BINS,):
            raise InvariantError(f"record: latency_histogram: shape {self.latency_histogram.shape}, not ({LATENCY_BINS},)")
        self._check_references()
        return self

    def _check_references(self) -> None:
        orders, leases = len(self.orders["tenant"]), len(self.leases["order"])
        limits: list[tuple[str, LongTable | None, str, int, int]] = [
            ("orders", self.orders, "tenant", 0, len(self.tenants["name"])),
            ("orders", self.orders, "lease", -1, leases),
            ("orders", self.orders, "region", -1, len(self.regions)),
            ("orders", self.orders, "unfilled", -1, len(UNFILLED)),
            ("leases", self.leases, "order", 0, orders),
            ("leases", self.leases, "provider", 0, len(self.providers["name"])),
            ("leases", self.leases, "ended", 0, len(Ended)),
            ("bids", self.bids, "order", 0, orders),
            ("bids", self.bids, "provider", 0, len(self.providers["name"])),
            ("declines", self.declines, "order", 0, orders),
            ("declines", self.declines, "provider", 0, len(self.providers["name"])),
            ("declines", self.declines, "reason", 0, len(DECLINE_CODES)),
            ("settlements", self.settlements, "lease", 0, leases),
            ("tenants", self.tenants, "cohort", 0, len(self.tenant_cohorts)),
            ("providers", self.providers, "cohort", 0, len(self.provider_cohorts)),
        ]
        for table, columns, name, low, high in limits:
            if not isinstance(columns, dict) or not len(columns[name]):
                continue
            if columns[name].min() < low or columns[name].max() >= high:
                raise InvariantError(f"record: {table}: {name} has a value outside {low}..{high - 1}")


def decline_codes(record: Record) -> tuple[str, ...]:
    """Return the codes that a run's tables show: those of users' code only where a script sets prices, or where they occurred."""
    declined = record.providers["declined"]
    if declined[:, CODES_WITHOUT_FAULTS:].any():
        return DECLINE_CODES
    if declined[:, CODES_OF_ENGINES:].any() or (_by_script(record.meta["scenario"]) if record.by_script is None else record.by_script):
        return DECLINE_CODES[:CODES_WITHOUT_FAULTS]
    return DECLINE_CODES[:CODES_OF_ENGINES]


def _by_script(scenario: Mapping[str, Any]) -> bool:
    strategies = [cohort.get("strategy") for cohort in scenario.get("providers") or ()]
    return any(isinstance(strategy, Mapping) and "script" in strategy for strategy in strategies)


def day_blocks(block_ms: int) -> int:
    """Blocks of `block_ms` milliseconds in a simulated day, rounded down, at least 1."""
    return max(1, 86_400_000 // block_ms)


def day_count(blocks: int, blocks_a_day: int) -> int:
    """Simulated days that `blocks` blocks begin, at least 1."""
    return max(1, -(-blocks // blocks_a_day))


def blank(table: str, rows: int, days: int = 1) -> Table:
    """Return the columns of a table, `rows` long, filled with 0, or -1 where that means none; without names.

    `days` is the width of `providers["revenue_days"]`.
    """
    columns: Table = {name: np.full(rows, -1 if name in MINUS_ONE else 0, dtype) for name, dtype in COLUMNS[table].items()}
    if table == "providers":
        columns |= {name: np.zeros((rows, width or days), np.int64) for name, width in WIDE.items()}
    return columns


def exact(whole: Any, atto: Any = 0) -> int:
    """One amount of a money pair in atto-uve, as a Python integer of any size."""
    return int(whole) * ATTO + int(atto)


def exact_sum(whole: Column, atto: Column | None = None) -> int:
    """The sum of a money column in atto-uve, exact however large."""
    return _sum(whole) * ATTO + (0 if atto is None else _sum(atto))


def _sum(column: Column) -> int:
    halves = np.zeros(2, np.int64)
    add_halves(np.ascontiguousarray(column, np.int64), halves)
    upper, lower = halves.tolist()
    return (upper << 32) + lower


@compiled
def add_halves(column: NDArray[np.int64], halves: NDArray[np.int64]) -> None:
    """Add the upper and the lower 32 bits of the numbers of a column to two sums, which so many numbers cannot lead out of int64."""
    for row in range(column.shape[0]):
        halves[0] += column[row] >> 32
        halves[1] += column[row] & 0xFFFFFFFF


@compiled
def bin_of_rank(histogram: NDArray[np.int64], rank: int) -> int:
    """Return the bin in which the number of a rank stands, from 1 on, of those that a histogram, int64 (at least 1,), has counted: the last
    one where they are fewer.
    """
    place, below = 0, histogram[0]
    while below < rank and place + 1 < histogram.shape[0]:
        place += 1
        below += histogram[place]
    return place


def _check_table(table: str, columns: Mapping[str, Any]) -> None:
    lengths = set()
    for name, dtype in COLUMNS[table].items():
        column = columns.get(name)
        if not isinstance(column, np.ndarray) or column.ndim != 1 or column.dtype != dtype:
            raise InvariantError(f"record: {table}: {name} is missing or not a column of {dtype}")
        lengths.add(len(column))
    if len(lengths) > 1:
        raise InvariantError(f"record: {table}: columns of different lengths {sorted(lengths)}")


def _check_providers(providers: Mapping[str, Any], rows: int, days: int) -> None:
    for name, width in WIDE.items():
        column = providers.get(name)
        shape = (rows, width or days)
        if not isinstance(column, np.ndarray) or column.shape != shape or column.dtype != _INT:
            raise InvariantError(f"record: providers: {name} is missing or not int64 of shape {shape}")
