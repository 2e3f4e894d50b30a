"""The training document's dashboard as lines of text: bars, shares and targets, for a terminal and for logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

LEAST_WIDTH = 64
REASONS = {
    "tenant_terminated": "Tenant Terminated",
    "lease_completed": "Lease Completed",
    "insufficient_funds": "Insufficient Funds",
    "provider_closed": "Provider Closed",
}
LIMITS = {"capacity": 0.9, "success": 0.5}
"""Above this share of its leases a provider is nearly full; below this share of bids that win something is wrong."""


def panel(found: Mapping[str, Any], width: int = 80, *, close: bool = False) -> list[str]:
    """Return what `DevnetNode.dashboard` answers as lines of exactly `width` letters, at least 64; `close` leaves out empty ones."""
    width = max(width, LEAST_WIDTH)
    inner = width - 4
    left = inner // 2
    rows: list[str] = []

    def beside(one: str, other: str) -> None:
        rows.append(f"{_fit(one, left)}{_fit(other, inner - left)}")

    leases, revenue, bids, orders = found["leases"], found["revenue"], found["bids"], found["orders"]
    bar = max(10, left - 6)
    beside(f"Active Leases: {active_of(leases)}", f"Revenue: {revenue['day_uve']:,.2f} UVE/day")
    beside(bar_of(leases["share"], bar), change_of(revenue["change"]))
    rows += [] if close else [" " * inner]
    beside(f"Bid Success Rate: {percent(bids['success'])}", f"Avg Bid Time: {seconds(bids['seconds'])}")
    beside(bar_of(bids["success"], bar), target_of(bids))
    rows += [] if close else [" " * inner]
    beside(f"Order Fill Rate: {percent(orders['fill_rate'])}", f"Escrow Warnings: {found['escrow']['warnings']:,}")
    beside(bar_of(orders["fill_rate"], bar), "Low balance alerts: below 24 h")
    rows += [] if close else [" " * inner]
    closed = found["closed"]
    total = sum(closed.values())
    rows.append(_fit(f"Lease Close Reasons: {total:,} in a day", inner))
    for at, (reason, words) in enumerate(REASONS.items()):
        branch = "└─" if at == len(REASONS) - 1 else "├─"
        rows.append(_fit(f"{branch} {words}: {percent(closed[reason] / total if total else None)}", inner))
    whose = "Marketplace Metrics, all providers" if found["provider"] is None else f"Marketplace Metrics, {found['provider'][:10]}…"
    edge = "─" * (width - 2)
    return [f"┌{edge}┐", f"│ {whose:^{inner}} │", f"├{edge}┤", *(f"│ {row} │" for row in rows), f"└{edge}┘"]


def headline(found: Mapping[str, Any]) -> str:
    """Return where the market stands, in a line."""
    if found.get("goal") is not None:
        pace = f"on its way to block {found['goal']:,}"
    elif found["paused"]:
        pace = "rests"
    elif found["speed"] == 0:
        pace = "a block a message"
    else:
        pace = f"speed {found['speed']:g}"
    last = f" of {found['last']:,}" if "last" in found else ""
    behind = f", {found['lag_blocks']:,} blocks behind" if found["lag_blocks"] else ""
    return f"{found['name']} ({found['scenario']})  block {found['height']:,}{last}  {found['time']}  {pace}{behind}"


def alarms(found: Mapping[str, Any]) -> list[str]:
    """Return the words of the panel that somebody should look at."""
    share, success, took = found["leases"]["share"], found["bids"]["success"], found["bids"]["seconds"]
    warned = {
        f"Active Leases: {active_of(found['leases'])}": share is not None and share > LIMITS["capacity"],
        f"Bid Success Rate: {percent(success)}": success is not None and success < LIMITS["success"],
        target_of(found["bids"]): took is not None and took >= found["bids"]["target_seconds"],
        f"Escrow Warnings: {found['escrow']['warnings']:,}": found["escrow"]["warnings"] > 0,
    }
    return [words for words, is_wrong in warned.items() if is_wrong]


def frame(found: Mapping[str, Any], lines: Sequence[str], width: int = 80) -> list[str]:
    """Return one picture of all: the head, the panel, the leases that run dry first, the last lines of the daemon."""
    shown = [headline(found), *panel(found, width), "Leases whose funds end first:"]
    shown += [f"  {hours(each['hours']):>9}  {each['lease']}" for each in found["escrow"]["lowest"][:5]] or ["  none"]
    return [*shown, "provider-daemon:", *(f"  {line}" for line in lines or ["nothing yet"])]


def active_of(leases: Mapping[str, Any]) -> str:
    """Return how many leases are active, of how many where providers have a limit, and apart from them where some have none."""
    if leases["capacity"] is None:
        return f"{leases['active']:,}"
    limited = f"{leases['limited']:,}/{leases['capacity']:,}"
    if leases["limited"] == leases["active"]:
        return f"{limited} ({percent(leases['share'])})"
    return f"{leases['active']:,} ({limited}, {percent(leases['share'])})"


def percent(share: float | None) -> str:
    """Return a share as the document writes it, a dash for none."""
    return "–" if share is None else f"{share:.0%}"


def seconds(value: float | None) -> str:
    """Return a time of bids."""
    return "–" if value is None else f"{value:.1f}s"


def hours(value: float) -> str:
    """Return how long funds last."""
    return f"{value:.1f} h" if value < 1000 else f"{value / 24:,.0f} d"


def change_of(change: float | None) -> str:
    """Return a change against the day before."""
    if change is None:
        return "no revenue the day before"
    return f"{'▲' if change >= 0 else '▼'} {change:+.0%} from yesterday"


def target_of(bids: Mapping[str, Any]) -> str:
    """Return the document's target of the bid time, and whether it is met."""
    if bids["seconds"] is None:
        return f"Target: < {bids['target_seconds']:g}s, no bid in the last hour"
    return f"Target: < {bids['target_seconds']:g}s {'✓' if bids['seconds'] < bids['target_seconds'] else '✗'}"


def bar_of(share: float | None, width: int) -> str:
    """Return a share as a bar; nothing filled for none."""
    filled = 0 if share is None else round(min(max(share, 0.0), 1.0) * width)
    return "▓" * filled + "░" * (width - filled)


def _fit(text: str, width: int) -> str:
    return f"{text[: width - 1]}…" if len(text) > width else f"{text:{width}}"


__all__ = ["alarms", "frame", "headline", "panel"]
