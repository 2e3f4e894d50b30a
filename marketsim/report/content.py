"""What a report says, independent of how it is shown: tiles, tables and notes made of a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np

from marketsim.metrics.amounts import number
from marketsim.metrics.calibration import Target, calibration_targets
from marketsim.metrics.summary import LEDGER
from marketsim.metrics.tables import ProviderRow, TenantRow, provider_cohort_rows, provider_rows, tenant_cohort_rows
from marketsim.money.units import ATTO, BLOCKS_A_MONTH
from marketsim.recording.record import Record
from marketsim.report import phrases
from marketsim.report.phrases import DASH, count, money, percent, plain, plural, unit_of

BID_TIME_TARGET: Final = 5.0
"""Seconds from the order being seen to the bid being submitted that the training document asks for."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the dashboard; `share` draws a bar, `good` a tick or a cross."""

    label: str
    value: str
    note: str = ""
    share: float | None = None
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """One line of the close-reasons tree."""

    label: str
    share: float | None
    leases: int
    target: str = ""
    good: bool | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """One table: the first column is text, the others stand to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    long: bool = False
    """May be cut where there is little room, rows being in order of weight."""


@dataclass(frozen=True, slots=True)
class Content:
    """A whole report."""

    title: str
    description: str
    facts: Sequence[tuple[str, str]]
    tiles: Sequence[Tile]
    reasons_title: str
    reasons: Sequence[Branch]
    grids: Sequence[Grid]
    warnings: Sequence[str] = field(default_factory=tuple)


def make_content(record: Record, summary: Mapping[str, Any]) -> Content:
    """Return the report of a record with its summary. Tables of orders are left out where none were
    recorded."""
    scenario = record.meta["scenario"]
    settings = scenario.get("report") or {}
    monthly = int(settings.get("monthly_blocks") or BLOCKS_A_MONTH)
    targets = calibration_targets(summary, scenario.get("calibration"))
    by_name = {target.name: target for target in targets}
    with_orders = record.meta["record"] != "summary"
    cohorts, providers = provider_cohort_rows(record), provider_rows(record)
    grids = [
        _calibration_grid(targets),
        _price_grid(summary, monthly),
        _provider_grid("Provider cohorts", cohorts, cohorts=True),
        _tenant_grid(tenant_cohort_rows(record), monthly) if with_orders else None,
        _unserved_grid(summary),
        _refusal_grid(summary),
        _receipt_grid(summary),
        _money_grid(record, summary),
        _provider_grid("Providers", sorted(providers, key=lambda row: -row.revenue), cohorts=False),
    ]
    return Content(
        title=phrases.one_line(str(scenario.get("name") or "run")),
        description=phrases.one_line(str(scenario.get("description") or "")),
        facts=_facts(record, summary),
        tiles=_tiles(record, summary, by_name),
        reasons_title=f"Lease close reasons ({plural(summary['leases']['closed'], 'lease')})",
        reasons=_reasons(summary, by_name),
        grids=[grid for grid in grids if grid is not None and grid.rows],
        warnings=_warnings(record, summary),
    )


def text_columns(grid: Grid) -> list[bool]:
    """Return whether each column reads from the left: the first one and those that hold more than figures."""
    signs = [{row[column][:1] for row in grid.rows} for column in range(len(grid.columns))]
    return [not at or not all(first.isdigit() or first in {"", DASH, "-", "✓", "✗"} for first in found) for at, found in enumerate(signs)]


def last_full_day(record: Record) -> tuple[int | None, float | None]:
    """Return the net revenue of the last whole simulated day and its change from the day before (None =
    undefined)."""
    days = record.providers["revenue_days"].sum(axis=0)
    whole = record.blocks // record.day_blocks
    if not whole:
        return None, None
    last = int(days[whole - 1])
    before = int(days[whole - 2]) if whole > 1 else 0
    return last, last / before - 1 if before else None


def _facts(record: Record, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    meta = record.meta
    block = meta["block_ms"]
    length = f"{phrases.span(record.blocks, block)} = {count(record.blocks)} blocks of {block / 1000:g} s"
    warm_up = record.warm_up_blocks
    window = f"after a warm-up of {phrases.span(warm_up, block)}; counts: the whole run"
    tenants, providers = len(record.tenants["name"]), len(record.providers["name"])
    audited = summary["audit"]["blocks"]
    return [
        ("Simulated", f"{length}, from {phrases.date_and_time(meta['start'])}"),
        (
            "Measured",
            f"rates, revenue, utilization and prices: {window}" if warm_up else "over the whole run",
        ),
        ("Market", f"{plural(tenants, 'tenant')}, {plural(providers, 'provider')}"),
        ("Rules", f"{summary['rules']}, charging {meta['scenario'].get('charging', DASH)}"),
        *_ceilings_apart(record),
        ("Seed", f"{summary['seed']}, fingerprint {summary['fingerprint']}"),
        ("Money", "conserved" + (f", audited after {plural(audited, 'block')}" if audited else "")),
        *_coins(meta["scenario"]),
    ]


def _coins(scenario: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the coins are worth in which manifests pay, where one is not the market's own."""
    own = "uakt" if scenario.get("rules") == "akash" else "uve"
    rates = scenario.get("rates") or {}
    paid = sorted(
        {
            price["denom"]
            for cohort in scenario.get("tenants") or ()
            for weighted in (cohort.get("order") or {}).get("sdl") or ()
            for placement in weighted["sdl"]["profiles"]["placement"].values()
            for price in placement.get("pricing", {}).values()
            if price is not None
        }
        - {own}
    )
    worth = [f"1 {coin} is {rates[coin]} {own}" + (" (by default)" if coin in ("uakt", "uve") else "") for coin in paid if coin in rates]
    return [("Coins", f"manifests pay in {', '.join(paid)}: {', '.join(worth)}")] if worth else []


def _ceilings_apart(record: Record) -> list[tuple[str, str]]:
    """Say of which cohorts the ceilings do not follow the values: what is said of their surplus means little."""
    cohorts = record.meta["scenario"].get("tenants") or []
    apart = [number for number, cohort in enumerate(cohorts) if _draws_ceilings_apart(cohort)]
    if not apart:
        return []
    text = f"drawn apart from values by {', '.join(cohorts[number]['name'] for number in apart)}"
    orders = record.orders
    mine = np.isin(record.tenants["cohort"][orders["tenant"]], apart) if len(orders["tenant"]) else np.zeros(0, bool)
    if mine.any():
        whole, value = orders["ceiling_whole"][mine], orders["value_whole"][mine]
        above = (whole > value) | ((whole == value) & (orders["ceiling_atto"][mine] > orders["value_atto"][mine]))
        text += f", above the value in {percent(float(above.mean()), 0)} of their orders"
    return [("Ceilings", text)]


def _draws_ceilings_apart(cohort: Mapping[str, Any]) -> bool:
    ceiling = cohort.get("ceiling")
    if ceiling is None:  # the prices of manifests, which are the values too where none is given
        return cohort.get("value") is not None
    return ceiling.get("share_of_value") is None


def _tiles(record: Record, summary: Mapping[str, Any], targets: Mapping[str, Target]) -> list[Tile]:
    bids, latency = summary["bids"], summary["bid_latency_seconds"]
    revenue, change = last_full_day(record)
    per_day = summary["revenue"]["per_day_mean"]
    trend = "" if change is None else f"{'▲' if change >= 0 else '▼'} {100 * change:+.0f} % from the day before"
    mean_note = "" if per_day is None else f"mean {money(per_day)} a day"
    fill = summary["fill_rate"]
    target = targets.get("fill_rate")
    on_time = None if latency["mean"] is None else latency["mean"] < BID_TIME_TARGET
    warnings = int(record.timeseries["warnings"][-1]) if len(record.timeseries["warnings"]) else 0
    short = summary["leases"]["insufficient_funds"]
    return [
        _active_tile(record, summary),
        Tile("Revenue, last full day", money(revenue), ", ".join(filter(None, (trend, mean_note)))),
        Tile(
            "Bids accepted",
            percent(summary["acceptance_rate"]),
            f"{count(bids['accepted'])} of {count(bids['submitted'])} submitted",
            summary["acceptance_rate"],
        ),
        Tile(
            "Mean bid time",
            phrases.seconds(latency["mean"]),
            f"target < {BID_TIME_TARGET:g} s, 95 % within {phrases.seconds(latency['p95'])}",
            good=on_time,
        ),
        Tile(
            "Order fill rate",
            percent(fill),
            "leased of created" + (f", target {_range(target)}" if target else ""),
            fill,
            target.met if target else None,
        ),
        Tile("Bids won", percent(summary["win_rate"]), "of bids that were decided", summary["win_rate"]),
        Tile(
            "Escrow warnings",
            count(warnings),
            f"leases with < 24 h of funds; {count(short)} out of funds",
        ),
        Tile(
            "Settled in the window",
            money(summary["revenue"]["total_uve"]),
            f"net; {'fees' if 'fee_split' in summary else 'take'} {money(summary['take_uve'])}; "
            f"accrued {money(summary['revenue']['accrued_uve'])}",
        ),
    ]


def _active_tile(record: Record, summary: Mapping[str, Any]) -> Tile:
    active = summary["leases"]["active"]
    limits = record.providers["lease_capacity"]
    peak = int(record.timeseries["active_leases"].max(initial=0))
    if len(limits) and (limits > 0).all():
        capacity = int(limits.sum())
        share = active / capacity
        return Tile(
            "Active leases",
            f"{count(active)}/{count(capacity)} ({100 * share:.0f} %)",
            f"peak {count(peak)}",
            share,
        )
    return Tile("Active leases", count(active), f"peak {count(peak)}", active / peak if peak else None)


def _reasons(summary: Mapping[str, Any], targets: Mapping[str, Target]) -> list[Branch]:
    counts = summary["leases"]["close_reasons"]
    closed = sum(counts.values())
    branches = []
    for reason, leases in counts.items():
        target = targets.get(f"close_reasons.{reason}")
        branches.append(
            Branch(
                phrases.ENDED_TEXT[reason],
                leases / closed if closed else None,
                leases,
                f"target {_aim(target)}" if target else "",
                target.met if target else None,
            )
        )
    return branches


def _aim(target: Target) -> str:
    if target.aim is None:
        return _range(target)
    return f"{100 * target.aim:g} ± {100 * (target.high - target.aim):g} %"


def _range(target: Target) -> str:
    return f"{100 * target.low:g}–{100 * target.high:g} %"


def _calibration_grid(targets: Sequence[Target]) -> Grid | None:
    if not targets:
        return None
    rows = [
        (
            phrases.ENDED_TEXT.get(target.name.removeprefix("close_reasons."), target.name.replace("_", " ")),
            *_as_shares(target),
            "✓" if target.met else "✗",
        )
        for target in targets
    ]
    met = sum(target.met for target in targets)
    return Grid("Calibration", ("Outcome", "Target", "Result", "Met"), rows, f"{met} of {len(targets)} targets met.")


def _as_shares(target: Target) -> tuple[str, str]:
    """Target and result as per cent where the range is one of shares, else as numbers."""
    if target.high <= 1.5:
        return _aim(target), percent(target.value)
    return f"{plain(target.low)} to {plain(target.high)}", plain(target.value)


def _price_grid(summary: Mapping[str, Any], monthly: int) -> Grid:
    price = summary["price"]
    names = {
        "mean_won": "mean",
        "p10": "10th percentile",
        "p50": "median",
        "p90": "90th percentile",
        "spread": "p90 − p10",
    }
    rows = []
    for key, label in names.items():
        uve = price[f"{key}_uve"]
        text = price[key]
        per_block = DASH if text is None else f"{float(uve):,.6f}"
        in_ve = DASH if uve is None else f"{uve / phrases.UVE_IN_VE:,.12f}"
        rows.append((label, per_block, in_ve, DASH if uve is None else plain(uve * monthly / phrases.UVE_IN_VE)))
    return Grid(
        "Winning prices",
        ("Price of a lease", "uve a block", "VE a block", "VE a month"),
        rows,
        f"Leases made in the window; a month is {count(monthly)} blocks.",
    )


def _provider_grid(title: str, rows: Sequence[ProviderRow], *, cohorts: bool) -> Grid:
    revenue_unit = unit_of([row.revenue for row in rows])
    gpus = any(row.utilization["gpu"] is not None for row in rows)
    fees = any(row.network_fees for row in rows)
    scale = phrases.UVE_IN_VE if revenue_unit == "VE" else 1
    cells = [
        (
            row.name,
            *([count(row.count)] if cohorts else []),
            plain(row.revenue / scale),
            *([plain(row.network_fees / scale)] if fees else []),
            count(row.won),
            percent(row.win_rate),
            percent(row.acceptance_rate),
            count(row.active),
            *(percent(row.utilization[name], 0) for name in ("cpu", "memory", "storage")),
            *([percent(row.utilization["gpu"], 0)] if gpus else []),
            row.declined[0] if row.declined else DASH,
        )
        for row in rows
    ]
    columns = (
        "Cohort" if cohorts else "Provider",
        *(["Count"] if cohorts else []),
        f"Revenue, {revenue_unit}",
        *([f"Network fees, {revenue_unit}"] if fees else []),
        "Won",
        "Win rate",
        "Accepted",
        "Active",
        "CPU",
        "Memory",
        "Storage",
        *(["GPU"] if gpus else []),
        "Declines most for",
    )
    note = "Revenue is net of take; CPU to GPU: leased share of capacity over time."
    return Grid(title, columns, cells, note, long=not cohorts)


def _tenant_grid(rows: Sequence[TenantRow], monthly: int) -> Grid:
    unit = unit_of([row.paid for row in rows])
    scale = phrases.UVE_IN_VE if unit == "VE" else 1
    cells = []
    for row in rows:
        closed = sum(row.close_reasons.values())
        common = max(row.unfilled, key=lambda code: row.unfilled[code], default=None)
        cells.append(
            (
                row.name,
                count(row.tenants),
                count(row.orders),
                percent(row.fill_rate),
                plain(None if row.price_p50_uve is None else row.price_p50_uve * monthly / phrases.UVE_IN_VE),
                plain(row.paid / scale),
                percent(row.close_reasons["insufficient_funds"] / closed if closed else None),
                common or DASH,
            )
        )
    return Grid(
        "Tenant cohorts",
        (
            *("Cohort", "Tenants", "Orders", "Fill rate", "Median price, VE a month", f"Paid, {unit}"),
            *("Ended unfunded", "Unserved most for"),
        ),
        cells,
    )


def _unserved_grid(summary: Mapping[str, Any]) -> Grid | None:
    reasons = summary["orders"]["unfilled_reasons"]
    total = sum(reasons.values())
    if not total:
        return None
    ranked = sorted(((code, n) for code, n in reasons.items() if n), key=lambda item: -item[1])
    rows = [(code, count(n), percent(n / total), phrases.UNFILLED_TEXT[code]) for code, n in ranked]
    return Grid(
        "Orders that ended without a lease",
        ("Reason", "Orders", "Share", "Meaning"),
        rows,
        f"{plural(total, 'order')}.",
    )


def _refusal_grid(summary: Mapping[str, Any]) -> Grid | None:
    bids = summary["bids"]
    rows = [
        (code, where, count(n))
        for where, codes in (
            ("bid engine, before a bid", bids["declined"]),
            ("chain, a bid", bids["rejected"]),
        )
        for code, n in sorted(codes.items(), key=lambda item: -item[1])
        if n
    ]
    return Grid("Refusals", ("Code", "Refused by", "Times"), rows) if rows else None


def _receipt_grid(summary: Mapping[str, Any]) -> Grid | None:
    """Each hand-written message with its answer."""
    messages = summary.get("messages") or {"sent": 0}
    if not messages["sent"]:
        return None
    refused = messages["sent"] - messages["ok"]
    return Grid(
        title="Messages by hand",
        columns=["Message", "About", "Block", "Answer"],
        rows=[[receipt["op"], receipt["id"] or DASH, count(receipt["height"]), _answer(receipt)] for receipt in messages["receipts"]],
        note=f"{plural(messages['sent'], 'message')}, {refused} refused.",
        long=True,
    )


def _answer(receipt: Mapping[str, Any]) -> str:
    expected = receipt.get("expected")
    return str(receipt["result"]) if expected is None else f"{receipt['result']}, expected {expected}"


def _money_grid(record: Record, summary: Mapping[str, Any]) -> Grid:
    texts = {
        "held": "still held in escrow",
        "paid": "paid to providers",
        "fees": "take of the network",
        "refunded": "refunded to tenants and bidders",
        "dust": "dust (fractions left at closing)",
        "stranded": "stranded by defects",
    }
    totals = record.totals
    deposited = totals["deposited"]
    rows = [("Deposited into escrow", phrases.exact_uve(deposited), "100 %")]
    for key in LEDGER:
        if totals[key] or key in {"held", "paid", "fees", "refunded"}:
            share = percent(float(Fraction(totals[key], deposited)) if deposited else None)
            rows.append((f"  {texts[key]}", phrases.exact_uve(totals[key]), share))
        if key == "fees" and "platform_fees" in totals:
            rows[-1] = ("  fees of settlements", *rows[-1][1:])
            for name, part in (("platform", totals["platform_fees"]), ("validators", totals["validator_fees"])):
                share = percent(float(Fraction(part, deposited)) if deposited else None)
                rows.append((f"    of these the {name}'{'s' * (name == 'platform')}", phrases.exact_uve(part), share))
    if totals["shortfall"]:
        rows.append(("Owed and forgiven (shortfall)", phrases.exact_uve(totals["shortfall"]), ""))
    if totals["debt"]:
        rows.append(("Owed and recorded as debt", phrases.exact_uve(totals["debt"]), ""))
    if totals["network_fees"] or record.meta["scenario"].get("network_fees"):
        rows.append(("Network fees, outside escrow", phrases.exact_uve(totals["network_fees"]), ""))
    sizes = ", ".join(f"{key} {money(summary['escrow'][f'{key}_uve'])}" for key in ("deposited", "held", "paid"))
    return Grid("Money, whole run", ("Account", "Exact amount", "Share"), rows, f"In round figures: {sizes}.")


def _warnings(record: Record, summary: Mapping[str, Any]) -> list[str]:
    notes = []
    if summary["fill_rate"] is None:
        notes.append("No order's bidding ended in the window: the fill rate is undefined.")
    if summary["orders"]["relisted"]:
        notes.append(f"{plural(summary['orders']['relisted'], 'relisted order')} stand apart from orders created.")
    if record.meta["record"] == "summary":
        notes.append("Orders and leases were not kept (record: summary): tables and figures of them are left out.")
    if record.totals["stranded"]:
        notes.append(f"Defects stranded {number(record.totals['stranded']):g} uve ({ATTO:.0e} atto each).")
    notes += [_cut_words(key, found) for key, found in summary.get("cut", {}).items()]
    return notes


def _cut_words(key: str, found: Mapping[str, Any]) -> str:
    """What became of draws that no order can have, or of rows of a trace."""
    if "left_out" in found:
        late = f"{plural(found['left_out'], 'row')} behind the horizon left out" if found["left_out"] else ""
        unread = f"{', '.join(found['not_read'])} not read, as the orders come from manifests" if found["not_read"] else ""
        return f"{key}: {'; '.join(filter(None, (late, unread)))}."
    raised = f"{found['raised']:,} raised to {found['low']}" if found["raised"] else ""
    lowered = f"{found['lowered']:,} lowered to {found['high']}" if found["lowered"] else ""
    return f"{key}: of {plural(found['draws'], 'draw')} {' and '.join(filter(None, (raised, lowered)))}, as no order can have them."
