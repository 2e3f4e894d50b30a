"""The outcome of a run in one nested dict: `summary.json`.

Counts cover the whole run. Rates, revenue, take, utilization and price cover the window after `warm_up`. Revenue is what was settled;
`accrued` beside it is what leases that go on at the end have earned since their last settlement, net of take too.
Money is an exact decimal string of uve with the number beside it under `…_uve`. A rate whose denominator is
0 is None. Runs with messages by hand also have `messages`, runs with charging ve_settlement `fee_split` (whose part of
the take is whose), runs in which draws were cut off or rows of a trace left out `cut` (by key of the scenario, how
many). The orders' counts leave relisted orders out, which `relisted` counts, so created = leased + timed_out +
cancelled + open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from marketsim.chain.status import SEED_CODES, Status
from marketsim.errors import InvariantError
from marketsim.kernel.rows import Row, row_of
from marketsim.market.tables import Ended
from marketsim.metrics.amounts import number
from marketsim.money.text import format_amount, half_even
from marketsim.money.units import ATTO
from marketsim.recording.counts import LeaseCounts, OrderCounts, count_leases, count_orders
from marketsim.recording.record import RESOURCES, UNFILLED, Column, Record, bin_of_rank, decline_codes, exact, exact_sum

SCHEMA: Final = "marketsim-summary/1"
LEDGER: Final = ("held", "paid", "fees", "refunded", "dust", "stranded")
"""What became of every deposited coin: these add up to `deposited`."""
CLOSE_REASONS: Final = tuple(ended.name.lower() for ended in Ended if ended != Ended.RUNNING)
_SEED_CODES: Final = sorted(set(SEED_CODES.values()))


def summarize(record: Record) -> dict[str, Any]:
    """Return the summary of a record; raise InvariantError when its money or its bid counts do not add up."""
    meta = record.meta
    _require_conserved(record.totals)
    bids = _bids(record)
    orders, reasons = _orders(record)
    take = int(record.providers["fees"].sum()) * ATTO
    return {
        "schema": SCHEMA,
        "scenario": meta["scenario"].get("name"),
        "seed": meta["seed"],
        "rules": meta["rules"],
        "blocks": record.blocks,
        "fingerprint": meta["fingerprint"],
        "orders": orders,
        "fill_rate": fill_rate(record),
        "unserved": _shares(reasons),
        "bids": bids,
        "acceptance_rate": ratio(*_totals(record, "accepted_window", "submitted_window")),
        "win_rate": _win_rate(record),
        "bid_latency_seconds": _latency(record),
        "leases": _leases(record),
        "revenue": _revenue(record),
        **_money("take", take),
        **_money("network_fees", record.totals["network_fees"]),
        **_money("shortfall", record.totals["shortfall"]),
        "escrow": _merged(_money(key, record.totals[key]) for key in ("deposited", *LEDGER, "debt")),
        **_fee_split(record.totals),
        "conserved": True,
        "utilization": utilization(record),
        "price": price(record),
        "audit": {"blocks": meta["audit_blocks"]},
        **({"messages": _messages(meta["receipts"])} if "receipts" in meta else {}),
        **({"faults": [dict(fault) for fault in meta["faults"]]} if "faults" in meta else {}),
        **({"cut": dict(meta["cut"])} if "cut" in meta else {}),
        "versions": dict(meta["versions"]),
    }


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole, None when the whole is 0."""
    return part / whole if whole else None


def window_orders(record: Record) -> Column:
    """Return which orders count for the fill rate: created after warm_up, not relisted, bidding ended."""
    orders = record.orders
    counted: Column = (orders["created_at"] > record.warm_up_blocks) & (orders["relisted"] == 0) & (orders["decided"] == 1)
    return counted


def fill_rate(record: Record, among: Column | None = None) -> float | None:
    """Return orders leased / orders created over `window_orders`, optionally only among the orders of a
    mask."""
    counted = window_orders(record)
    if among is not None:
        counted = counted & among
    leased = counted & (record.orders["lease"] >= 0)
    return ratio(int(np.count_nonzero(leased)), int(np.count_nonzero(counted)))


def utilization(record: Record, among: Column | None = None) -> dict[str, float | None]:
    """Return the time-weighted mean of leased / capacity by resource, over the window and all (or some)
    providers."""
    providers = record.providers
    chosen = slice(None) if among is None else among
    blocks = record.blocks - record.warm_up_blocks
    return {
        name: ratio(
            float(providers[f"unit_blocks_{name}"][chosen].sum()),
            float(providers[name][chosen].astype(float).sum()) * blocks,
        )
        for name in RESOURCES
    }


def price(record: Record, among: Column | None = None) -> dict[str, Any]:
    """Return the price per block of the leases made in the window, optionally only of the leases of a mask.

    mean_won is rounded half to even at 18 decimals; p10, p50 and p90 are prices that occurred (nearest rank);
    spread is p90 - p10.
    """
    leases = record.leases
    chosen = leases["created_at"] > record.warm_up_blocks
    if among is not None:
        chosen = chosen & among
    whole, atto = leases["price_whole"][chosen], leases["price_atto"][chosen]
    count = len(whole)
    names = ("mean_won", "p10", "p50", "p90", "spread")
    if not count:
        return _merged({name: None, f"{name}_uve": None} for name in names)
    low, middle, high = _ranked(whole, atto, [max(0, -(-count * percent // 100) - 1) for percent in (10, 50, 90)])
    values = (half_even(exact_sum(whole, atto), count), low, middle, high, high - low)
    return _merged(_money(name, value) for name, value in zip(names, values, strict=True))


def _ranked(whole: Column, atto: Column, ranks: Sequence[int]) -> list[int]:
    """The amounts that stand at some places, from 0 on, of those in order; in atto-uve."""
    found = []
    for rank, in_uve in zip(ranks, np.partition(whole, ranks)[list(ranks)], strict=True):
        alike = atto[whole == in_uve]
        place = rank - int(np.count_nonzero(whole < in_uve))
        found.append(exact(in_uve, np.partition(alike, place)[place]))
    return found


def revenue_by_day(record: Record) -> list[int]:
    """Return the window's net revenue by simulated day, whole uve; a first day cut by warm_up holds its
    rest."""
    days = record.providers["revenue_days"].sum(axis=0)
    first = min(record.warm_up_blocks // record.day_blocks, len(days) - 1)
    total = int(record.providers["revenue_net"].sum())
    rest = [int(day) for day in days[first + 1 :]]
    begun = total - sum(rest)
    if not 0 <= begun <= int(days[first]):
        raise InvariantError(f"record: revenue_net {total} of the window does not fit revenue_days {days.tolist()}")
    return [begun, *rest]


def close_reasons(leases: Mapping[str, Column]) -> dict[str, int]:
    """Return closed leases by the dashboard's four reasons."""
    _, *closed = np.bincount(leases["ended"], minlength=len(Ended)).tolist()
    return dict(zip(CLOSE_REASONS, closed, strict=True))


def rejections(rejected: Column, rules: str) -> dict[str, int]:
    """Return chain refusals of bids by code: the training document's code under rule set seed, else the
    chain's name.

    `rejected` holds counts by Status number. The document's codes are always there, others when they
    occurred."""
    mapped = rules == "seed"
    counts: dict[str, int] = dict.fromkeys(_SEED_CODES, 0) if mapped else {}
    for status in map(Status, np.flatnonzero(rejected).tolist()):
        code = SEED_CODES.get(status, status.name) if mapped else status.name
        counts[code] = counts.get(code, 0) + int(rejected[status])
    return counts


def _fee_split(totals: Mapping[str, int]) -> dict[str, Any]:
    """Whose the `fees` of the whole run are, where charging is by usage escrows; nothing elsewhere."""
    if "platform_fees" not in totals:
        return {}
    parts = ("platform", totals["platform_fees"]), ("validators", totals["validator_fees"])
    if sum(part for _, part in parts) != totals["fees"]:
        raise InvariantError("fees: the platform's and the validators' parts do not add up to them")
    return {"fee_split": _merged(_money(name, part) for name, part in parts)}


def _messages(receipts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Hand-written messages and governance actions: how many were taken and refused, and each answer."""
    refused: dict[str, int] = {}
    for receipt in receipts:
        if receipt["result"] != "ok":
            refused[receipt["result"]] = refused.get(receipt["result"], 0) + 1
    return {
        "sent": len(receipts),
        "ok": len(receipts) - sum(refused.values()),
        "refused": dict(sorted(refused.items())),
        "receipts": [dict(receipt) for receipt in receipts],
    }


def _require_conserved(totals: Mapping[str, int]) -> None:
    found = sum(totals[key] for key in LEDGER)
    if totals["deposited"] != found:
        raise InvariantError(
            f"money is not conserved: deposited {format_amount(totals['deposited'])} uve, but "
            f"{' + '.join(LEDGER)} = {format_amount(found)} uve"
        )


def _orders(record: Record) -> tuple[dict[str, Any], dict[str, int]]:
    orders = record.orders
    counts, reasons = row_of(OrderCounts), np.zeros(len(UNFILLED), np.int64)
    relisted, lease, end, unfilled = _plain(orders, "relisted", "lease", "end", "unfilled")
    count_orders(relisted, lease, end, unfilled, counts, reasons)
    by_reason = dict(zip(UNFILLED, reasons.tolist(), strict=True))
    return {**_by_name(counts), "unfilled_reasons": by_reason}, by_reason


def _bids(record: Record) -> dict[str, Any]:
    providers = record.providers
    counts = dict(
        zip(
            ("submitted", "accepted", "won", "lost", "closed"),
            _totals(record, "submitted", "accepted", "won", "lost", "closed"),
            strict=True,
        )
    )
    refused = providers["rejected"].sum(axis=0)
    if counts["submitted"] != counts["accepted"] + int(refused.sum()):
        raise InvariantError(
            f"bids do not add up: {counts['submitted']} submitted, {counts['accepted']} accepted, {int(refused.sum())} rejected"
        )
    codes = decline_codes(record)
    declined = providers["declined"].sum(axis=0)
    return {
        "submitted": counts["submitted"],
        "accepted": counts["accepted"],
        "rejected": rejections(refused, record.meta["rules"]),
        "declined": {name: int(count) for name, count in zip(codes, declined, strict=False)},
        "won": counts["won"],
        "lost": counts["lost"],
        "closed": counts["closed"],
    }


def _win_rate(record: Record) -> float | None:
    won, lost, closed = _totals(record, "won_window", "lost_window", "closed_window")
    return ratio(won, won + lost + closed)


def _latency(record: Record) -> dict[str, float | None]:
    histogram = np.ascontiguousarray(record.latency_histogram, np.int64)
    bids = int(histogram.sum())
    if not bids:
        return {"mean": None, "p95": None}
    return {
        "mean": int(record.meta["latency_total_ms"]) / bids / 1000,
        "p95": int(bin_of_rank(histogram, -(-95 * bids // 100))) / 1000,
    }


def _leases(record: Record) -> dict[str, Any]:
    leases = record.leases
    counts = row_of(LeaseCounts)
    state, closed_at = _plain(leases, "state", "closed_at")
    count_leases(state, closed_at, counts)
    return {"created": len(leases["state"]), **_by_name(counts), "close_reasons": close_reasons(leases)}


def _plain(table: Mapping[str, Column], *names: str) -> list[Column]:
    """Columns as compiled code reads them: those of a record that somebody cut out of another may be every other row, or narrower."""
    columns = [np.ascontiguousarray(table[name], np.int64) for name in names]
    if len({len(column) for column in columns}) > 1:
        raise ValueError(f"columns {', '.join(names)} of {', '.join(str(len(column)) for column in columns)} rows, expected as many each")
    return columns


def _by_name(counts: Row) -> dict[str, int]:
    return {each.name: number for each, number in zip(type(counts).columns, counts.tolist(), strict=True)}


def _revenue(record: Record) -> dict[str, Any]:
    providers = record.providers
    total = int(providers["revenue_net"].sum())
    days = revenue_by_day(record)
    window_days = (record.blocks - record.warm_up_blocks) / record.day_blocks
    cohorts = np.zeros(len(record.provider_cohorts), np.int64)
    np.add.at(cohorts, providers["cohort"], providers["revenue_net"])
    by_provider = dict(zip(providers["name"], map(int, providers["revenue_net"]), strict=True))
    by_cohort = dict(zip(record.provider_cohorts, map(int, cohorts), strict=True))
    return {
        **_money("total", total * ATTO),
        **_money("accrued", record.totals["accrued"]),
        "per_day": [str(day) for day in days],
        "per_day_uve": days,
        "per_day_mean": ratio(total, window_days),
        "by_provider": {name: str(value) for name, value in by_provider.items()},
        "by_provider_uve": by_provider,
        "by_cohort": {name: str(value) for name, value in by_cohort.items()},
        "by_cohort_uve": by_cohort,
    }


def _money(name: str, atto: int) -> dict[str, Any]:
    return {name: format_amount(atto), f"{name}_uve": number(atto)}


def _merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total if total else 0.0 for name, count in counts.items()}


def _totals(record: Record, *names: str) -> list[int]:
    return [sum(record.providers[name].tolist()) for name in names]
