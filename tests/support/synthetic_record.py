"""A record drawn from distributions instead of a run: for tests of what reads records."""

from __future__ import annotations

from typing import Any

import numpy as np

from marketsim.chain.columns import BidState, EventKind, LeaseState, OrderEnd, OrderState, Reason
from marketsim.chain.status import Status
from marketsim.market.tables import LATENCY_BINS, Ended
from marketsim.money.units import ATTO
from marketsim.recording.record import DECLINE_CODES, UNFILLED, Record, Table, blank, day_count, exact_sum

DAY = 14_400
REASON = {
    Ended.RUNNING: Reason.NONE,
    Ended.TENANT_TERMINATED: Reason.OWNER,
    Ended.LEASE_COMPLETED: Reason.OWNER,
    Ended.INSUFFICIENT_FUNDS: Reason.INSUFFICIENT_FUNDS,
    Ended.PROVIDER_CLOSED: Reason.UNSTABLE,
}


def make_record(
    orders: int = 600,
    days: int = 7,
    warm_up: int = DAY,
    seed: int = 1,
    rules: str = "seed",
    record: str = "everything",
) -> Record:
    """Return a well-formed record; money identities hold, outcomes look like a market's."""
    rng = np.random.default_rng(seed)
    blocks = days * DAY
    cohorts = [("hyperscale", 4), ("regional", 10), ("edge", 6)]
    provider_names = [f"{name}/{number}" for name, count in cohorts for number in range(count)]
    provider_cohort = np.repeat(np.arange(len(cohorts)), [count for _, count in cohorts])
    tenant_cohorts = ["web", "batch", "training"]
    tenant_names = [f"{name}/{number}" for name in tenant_cohorts for number in range(5)]
    tenant_cohort = np.repeat(np.arange(3), 5)

    order = _orders(rng, orders, blocks, len(tenant_names))
    lease = _leases(rng, order, blocks, len(provider_names))
    settlements = _settlements(lease, blocks)
    providers = _providers(rng, order, lease, settlements, provider_cohort, blocks, warm_up)
    providers["name"] = provider_names
    net, take = int(settlements["net"].sum()), int(settlements["take"].sum())
    submitted = providers["submitted"].sum()
    latencies = np.minimum(rng.lognormal(np.log(1500), 0.73, submitted).astype(int), LATENCY_BINS - 1)
    dust = 123_456_789
    held, refunded = 40_000_000 * ATTO, 7_000_000 * ATTO
    totals = dict.fromkeys(("stranded", "debt", "network_fees", "accrued"), 0) | {
        "deposited": held + refunded + dust + (net + take) * ATTO,
        "held": held,
        "paid": net * ATTO,
        "fees": take * ATTO,
        "refunded": refunded,
        "dust": dust,
        "shortfall": exact_sum(lease["shortfall_whole"], lease["shortfall_atto"]),
        "supply": 10**12 * ATTO,
    }
    return Record(
        tenants={"name": tenant_names, "cohort": tenant_cohort.astype(np.int64)},
        providers=providers,
        tenant_cohorts=tenant_cohorts,
        provider_cohorts=[name for name, _ in cohorts],
        regions=["us-east-1", "eu-west-1"],
        orders=order,
        leases=lease,
        timeseries=_timeseries(order, lease, settlements, blocks),
        totals=totals,
        meta=_meta(blocks, warm_up, seed, rules, record, int(latencies.sum())),
        latency_histogram=np.bincount(latencies, minlength=LATENCY_BINS).astype(np.int64),
        bids=_bids(rng, order, lease, len(provider_names)) if record == "everything" else None,
        declines=_declines(order) if record == "everything" else None,
        settlements=None if record == "summary" else settlements,
        events=_events(order, lease) if record == "everything" else None,
    ).check()


def _orders(rng: np.random.Generator, count: int, blocks: int, tenants: int) -> Table:
    order = blank("orders", count)
    order["created_at"] = np.sort(rng.integers(1, blocks + 1, count))
    order["tenant"] = rng.integers(0, tenants, count)
    order["dseq"] = order["created_at"]
    order["gseq"][:] = order["oseq"][:] = 1
    order["cpu"] = rng.choice([1000, 2000, 4000, 16000], count)
    order["memory"] = order["cpu"] * 2 * 2**20
    order["storage"] = rng.choice([10, 50, 200], count) * 2**30
    order["gpu"] = rng.choice([0, 1, 8], count, p=[0.9, 0.08, 0.02])
    price = (order["cpu"] / 1000 * rng.lognormal(4, 0.4, count) + 2000 * order["gpu"]).astype(np.int64)
    order["ceiling_whole"] = price * 3
    order["value_whole"] = price * 2
    order["value_atto"] = rng.integers(0, ATTO, count)
    order["region"] = rng.integers(-1, 2, count)
    order["bids"] = rng.integers(0, 12, count)
    order["account"] = np.arange(count)
    order["relisted"] = (rng.random(count) < 0.03).astype(np.int64)
    order["decided"] = (order["created_at"] + 100 < blocks).astype(np.int64)
    leased = (rng.random(count) < 0.85) & (order["decided"] == 1)
    order["bids"] = np.where(leased, np.maximum(order["bids"], 1), order["bids"] // 4)
    order["lease"][leased] = np.arange(leased.sum())
    lost = ~leased & (order["decided"] == 1)
    cancelled = lost & (rng.random(count) < 0.1)
    order["unfilled"][lost] = rng.integers(0, len(UNFILLED) - 2, lost.sum())
    order["unfilled"][cancelled] = UNFILLED.index("cancelled")
    order["state"] = np.where(lost, OrderState.CLOSED, np.where(leased, OrderState.ACTIVE, OrderState.OPEN))
    order["end"] = np.where(cancelled, OrderEnd.CANCELLED, np.where(lost, OrderEnd.TIMEOUT, OrderEnd.NONE))
    order["closed_at"][lost] = order["created_at"][lost] + np.where(cancelled[lost], 40, 100)
    return order


def _leases(rng: np.random.Generator, order: Table, blocks: int, providers: int) -> Table:
    rows = np.flatnonzero(order["lease"] >= 0)
    lease = blank("leases", len(rows))
    lease["order"] = rows
    lease["provider"] = np.minimum(rng.geometric(0.12, len(rows)) - 1, providers - 1)
    lease["created_at"] = order["created_at"][rows] + 10
    lease["active_at"] = lease["created_at"] + 10
    end = lease["created_at"] + 1 + rng.exponential(DAY, len(rows)).astype(np.int64)
    closed = end <= blocks
    lease["closed_at"][closed] = end[closed]
    lease["state"] = np.where(closed, LeaseState.CLOSED, LeaseState.ACTIVE)
    lease["ended"] = np.where(closed, rng.choice([1, 2, 3, 4], len(rows), p=[0.45, 0.4, 0.1, 0.05]), 0)
    lease["reason"][:] = [REASON[Ended(ended)] for ended in lease["ended"]]
    lease["price_whole"] = order["ceiling_whole"][rows] // 3
    lease["price_atto"] = rng.integers(0, ATTO, len(rows))
    lease["shortfall_whole"] = np.where(lease["ended"] == Ended.INSUFFICIENT_FUNDS, 3, 0)
    order["end"][rows[closed]] = OrderEnd.LEASE_ENDED
    order["state"][rows[closed]] = OrderState.CLOSED
    order["closed_at"][rows[closed]] = lease["closed_at"][closed]
    return lease


def _settlements(lease: Table, blocks: int) -> Table:
    rows: list[tuple[int, ...]] = []
    for row, start in enumerate(lease["created_at"]):
        end = lease["closed_at"][row] if lease["closed_at"][row] >= 0 else blocks
        heights = [*range(int(start) + 600, int(end), 600), int(end)] if end > start else []
        price = int(lease["price_whole"][row]) * ATTO + int(lease["price_atto"][row])
        paid = withheld = 0
        before = int(start)
        for height in heights:
            moved = price * (height - before)
            gross = price * (height - int(start)) // ATTO - paid
            fee = (paid + gross) * 2 // 100 - withheld
            rows.append((height, row, height, moved // ATTO, moved % ATTO, gross - fee, fee))
            paid, withheld, before = paid + gross, withheld + fee, height
        lease["withdrawn"][row], lease["fees"][row] = paid, withheld
    rows.sort()
    table = blank("settlements", 0)
    columns = np.array(rows, np.int64).reshape(-1, len(table)).T
    return {name: columns[number].copy() for number, name in enumerate(table)}


def _providers(
    rng: np.random.Generator,
    order: Table,
    lease: Table,
    settlements: Table,
    cohort: Any,
    blocks: int,
    warm_up: int,
) -> dict[str, Any]:
    count = len(cohort)
    days = day_count(blocks, DAY)
    table: dict[str, Any] = blank("providers", count, days)
    table["cohort"] = cohort.astype(np.int64)
    scale = np.array([8, 2, 1])[cohort]
    table["cpu"], table["memory"] = scale * 64_000, scale * 2**38
    table["storage"], table["gpu"] = scale * 2**43, scale * 2
    table["lease_capacity"][cohort == 2] = 50
    table["won"] = np.bincount(lease["provider"], minlength=count)
    table["lost"] = table["won"] * 4 + rng.integers(0, 9, count)
    table["closed"] = rng.integers(0, 5, count)
    table["accepted"] = table["won"] + table["lost"] + table["closed"]
    table["rejected"][:, Status.OrderNotOpen] = rng.integers(0, 20, count)
    table["rejected"][:, Status.InvalidBid] = rng.integers(0, 20, count)
    table["rejected"][:, Status.ProviderBlocked] = rng.integers(0, 2, count)
    table["submitted"] = table["accepted"] + table["rejected"].sum(axis=1)
    for name in ("submitted", "accepted", "won", "lost", "closed"):
        table[f"{name}_window"] = table[name] * 6 // 7 if warm_up else table[name].copy()
    table["declined"][:, DECLINE_CODES.index("price_too_high")] = rng.integers(0, 300, count)
    table["declined"][:, DECLINE_CODES.index("insufficient_resources")] = rng.integers(0, 100, count)
    table["leases"] = table["won"].copy()
    owner = lease["provider"][settlements["lease"]]
    window = settlements["height"] > warm_up
    np.add.at(table["revenue_days"], (owner, (settlements["height"] - 1) // DAY), settlements["net"])
    np.add.at(table["revenue_net"], owner[window], settlements["net"][window])
    np.add.at(table["fees"], owner[window], settlements["take"][window])
    for name in ("cpu", "memory", "storage", "gpu"):
        table[f"unit_blocks_{name}"] = table[name] * float(blocks - warm_up) * rng.uniform(0.3, 0.9, count)
    return table


def _timeseries(order: Table, lease: Table, settlements: Table, blocks: int) -> Table:
    heights = np.array([*range(600, blocks, 600), blocks])
    series = blank("timeseries", len(heights))
    series["height"] = heights
    ends = np.where(lease["closed_at"] < 0, blocks + 1, lease["closed_at"])
    own = order["relisted"] == 0
    for row, height in enumerate(heights):
        alive = (lease["created_at"] <= height) & (ends > height)
        series["active_leases"][row] = alive.sum()
        for name in ("cpu", "memory", "storage", "gpu"):
            series[name][row] = order[name][lease["order"][alive]].sum()
        series["created"][row] = (own & (order["created_at"] <= height)).sum()
        series["leased"][row] = (own[lease["order"]] & (lease["created_at"] <= height)).sum()
        series["revenue_net"][row] = settlements["net"][settlements["height"] <= height].sum()
    series["submitted"] = series["created"] * 7
    series["insufficient_funds"] = series["active_leases"] // 30
    series["warnings"] = series["active_leases"] // 20
    series["held_whole"][:] = 40_000_000
    return series


def _bids(rng: np.random.Generator, order: Table, lease: Table, providers: int) -> Table:
    rows: list[tuple[int, ...]] = []
    for number, count in enumerate(order["bids"]):
        row = int(order["lease"][number])
        chosen = list(rng.permutation(providers)[: int(count)])
        if row >= 0 and lease["provider"][row] not in chosen:
            chosen[0] = lease["provider"][row]
        for slot in chosen:
            won = row >= 0 and slot == lease["provider"][row]
            whole = int(lease["price_whole"][row]) + (0 if won else 5) if row >= 0 else 100
            atto = int(lease["price_atto"][row]) if row >= 0 else 0
            state = BidState.ACTIVE if won else BidState.LOST
            height = int(order["created_at"][number]) + 1 + int(slot) % 3
            rows.append((height, number, int(slot), whole, atto, state, 1500 + int(slot)))
    rows.sort()
    table = blank("bids", 0)
    columns = np.array(rows, np.int64).reshape(-1, len(table)).T
    return {name: columns[number].copy() for number, name in enumerate(table)}


def _declines(order: Table) -> Table:
    table = blank("declines", int((order["lease"] < 0).sum()))
    table["order"] = np.flatnonzero(order["lease"] < 0)
    table["height"] = order["created_at"][table["order"]] + 1
    table["provider"][:] = 2
    table["reason"][:] = DECLINE_CODES.index("price_too_high")
    return table


def _events(order: Table, lease: Table) -> Table:
    rows: list[tuple[int, ...]] = []
    for number, height in enumerate(order["created_at"]):
        amount = int(order["ceiling_whole"][number])
        rows.append((int(height), EventKind.DEPOSITED, number, 5, amount * DAY, 0, 0))
        rows.append((int(height), EventKind.ORDER_CREATED, number, number, amount, 0, 0))
        if order["lease"][number] < 0:
            if order["closed_at"][number] >= 0:
                ended = (int(order["closed_at"][number]), EventKind.ORDER_CLOSED, number)
                rows.append((*ended, int(order["end"][number]), 0, 0, 0))
    for number, height in enumerate(lease["created_at"]):
        price = (int(lease["price_whole"][number]), int(lease["price_atto"][number]))
        rows.append((int(height), EventKind.LEASE_CREATED, number, int(lease["order"][number]), *price, 0))
        if lease["closed_at"][number] >= 0:
            ended = (int(lease["closed_at"][number]), EventKind.LEASE_CLOSED, number)
            rows.append((*ended, int(lease["reason"][number]), 0, 0, 0))
    rows.append((900, EventKind.OUTAGE, 3, 1, 0, 0, 0))
    rows.append((1500, EventKind.OUTAGE, 3, 0, 0, 0, 0))
    rows.append((DAY, EventKind.REPRICED, 3, 0, 950_000, 0, 0))
    rows.append((2 * DAY, EventKind.PROVIDER_BLOCKED, 3, 0, 0, 0, 0))
    rows.sort(key=lambda row: row[0])
    table = blank("events", 0)
    columns = np.array(rows, np.int64).reshape(-1, len(table)).T
    return {name: columns[number].copy() for number, name in enumerate(table)}


def _meta(blocks: int, warm_up: int, seed: int, rules: str, record: str, latency: int) -> dict[str, Any]:
    reasons = {"tenant_terminated": 0.45, "lease_completed": 0.4, "insufficient_funds": 0.1}
    scenario = {
        "name": "synthetic",
        "description": "drawn, not simulated",
        "seed": seed,
        "rules": rules,
        "charging": "usage_capped",
        "calibration": {
            "fill_rate": [0.75, 0.95],
            "close_reasons": reasons | {"provider_closed": 0.05},
            "within": 0.1,
        },
        "report": {"figures": True, "monthly_blocks": 429_909},
        "record": record,
    }
    return {
        "scenario": scenario,
        "seed": seed,
        "rules": rules,
        "blocks": blocks,
        "block_ms": 6000,
        "warm_up_blocks": warm_up,
        "start": "2026-01-05T00:00Z",
        "fingerprint": f"{seed:032x}",
        "record": record,
        "audit_blocks": 0,
        "latency_total_ms": latency,
        "versions": {"marketsim": "0.1.0", "numpy": np.__version__},
        "streams": ["tenant/*/*/arrivals", "provider/*/*/latency"],
        "wall_seconds": 0.5,
    }
