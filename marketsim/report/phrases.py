"""Numbers, money, times and codes as a reader likes them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from marketsim.chain.columns import Reason
from marketsim.metrics.amounts import number
from marketsim.money.text import format_amount

UVE_IN_VE: Final = 1_000_000
DASH: Final = "–"

UNFILLED_TEXT: Final = {
    "no_eligible_provider": "no provider could ever serve it (region, attributes, maxima)",
    "no_capacity": "every eligible provider was full",
    "over_ceiling": "every price was above its ceiling",
    "below_min_value": "worth less than the providers' minimum order value",
    "no_deposit": "the providers could not pay the bid deposit",
    "engine_limits": "the bid engines were at their limits (concurrency, rate, offline)",
    "tenant_never_chose": "it had bids, its tenant chose none",
    "capacity_lost": "the chosen provider had no capacity left",
    "cancelled": "its tenant withdrew it",
    "other": "another reason",
}
DECLINED_TEXT: Final = {
    "engine_disabled": "engine off or provider offline",
    "order_not_open": "order no longer open",
    "provider_blocked": "provider blocked by governance",
    "invalid_attributes": "region, attributes or auditors do not fit",
    "insufficient_resources": "too large or no free capacity",
    "rate_limited": "rate limit reached",
    "queue_full": "too many bids waiting",
    "below_min_order_value": "order worth too little",
    "price_too_high": "own price above the ceiling",
    "insufficient_deposit": "wallet cannot pay the deposit",
    "script_failed": "the price script failed",
    "script_timeout": "the price script was late",
    "invalid_price": "the script or class gave no price",
    "not_connected": "cut off from the chain",
}
ENDED_TEXT: Final = {
    "running": "still running",
    "tenant_terminated": "Tenant terminated",
    "lease_completed": "Lease completed",
    "insufficient_funds": "Insufficient funds",
    "provider_closed": "Provider closed",
}
REASON_TEXT: Final = {
    Reason.OWNER: "closed by its tenant",
    Reason.UNSTABLE: "closed by the provider: unstable",
    Reason.DECOMMISSION: "closed by the provider: decommissioned",
    Reason.UNSPECIFIED: "closed by the provider: no reason given",
    Reason.MANIFEST_TIMEOUT: "closed by the provider: no manifest in time",
    Reason.INSUFFICIENT_FUNDS: "out of funds",
}


def one_line(text: str) -> str:
    """Return a text on one line, without characters that a terminal would act on."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def count(value: float) -> str:
    """Return a whole number with thousands separated: `1,234`."""
    return f"{round(value):,}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as per cent: `85.3 %`; a dash when undefined."""
    return DASH if share is None else f"{100 * share:.{digits}f} %"


def plural(value: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: `1 lease`, `3 leases`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def unit_of(amounts: Iterable[float | None]) -> str:
    """Return the unit that suits amounts of uve standing together: VE when the largest is a tenth of one,
    else uve."""
    largest = max((abs(value) for value in amounts if value is not None), default=0)
    return "VE" if largest >= UVE_IN_VE / 10 else "uve"


def money(uve: float | None, unit: str | None = None) -> str:
    """Return an amount of uve in VE or uve, with two decimals or four significant digits: `1,234.56 VE`."""
    if uve is None:
        return DASH
    unit = unit or unit_of([uve])
    return f"{plain(uve / UVE_IN_VE if unit == 'VE' else uve)} {unit}"


def plain(value: float | None) -> str:
    """Return a number with two decimals, more where it is small: `1,234.56`, `0.001438`."""
    if value is None:
        return DASH
    if value == 0:
        return "0"
    if abs(value) >= 1:
        return f"{value:,.2f}"
    return f"{value:.4g}" if abs(value) >= 1e-4 else f"{value:.3e}"


def exact_uve(atto: int) -> str:
    """Return an exact amount with its unit, thousands separated: `1,234.000000000000000001 uve`."""
    whole, dot, fraction = format_amount(atto).partition(".")
    return f"{int(whole):,}{dot}{fraction} uve" if whole != "-0" else f"-0{dot}{fraction} uve"


def price(atto: int, monthly_blocks: int) -> str:
    """Return a price per block, exact, with what it comes to in a month."""
    return f"{exact_uve(atto)} a block ({money(number(atto) * monthly_blocks)} a month)"


def seconds(value: float | None) -> str:
    """Return a duration in seconds: `2.3 s`."""
    return DASH if value is None else f"{value:.1f} s" if value >= 0.95 else f"{1000 * value:.0f} ms"


def size(amount: int) -> str:
    """Return bytes in the largest binary unit that leaves no long fraction: `2 GiB`."""
    value, units = float(amount), ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:,.6g} {units[0]}"


def resources(cpu: int, memory: int, storage: int, gpu: int) -> str:
    """Return a request or a capacity: `4 cores, 8 GiB memory, 10 GiB storage, 1 GPU`."""
    parts = [f"{cpu / 1000:,g} cores", f"{size(memory)} memory", f"{size(storage)} storage"]
    return ", ".join([*parts, plural(gpu, "GPU")] if gpu else parts)


def moment(height: int, block_ms: int, start: str | None = None) -> str:
    """Return a height with its simulated time: `block 14,500, day 2 00:10`, or with the date when `start` is
    given."""
    when = f"day {1 + height * block_ms // 86_400_000} {_clock(height * block_ms)}"
    if start is not None:
        begun = datetime.fromisoformat(start.replace("Z", "+00:00"))
        when = (begun + timedelta(milliseconds=height * block_ms)).strftime("%Y-%m-%d %H:%M")
    return f"block {height:,}, {when}"


def date_and_time(start: str) -> str:
    """Return an ISO time as `2026-01-05 00:00 UTC`."""
    begun = datetime.fromisoformat(start.replace("Z", "+00:00"))
    return begun.strftime("%Y-%m-%d %H:%M %Z").strip()


def span(blocks: int, block_ms: int) -> str:
    """Return a number of blocks as a duration: `2.5 days`, `14 min`."""
    total = blocks * block_ms / 1000
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if total >= length * (2 if unit == "days" else 1):
            return f"{total / length:.3g} {unit}"
    return f"{total:.3g} s"


def bar(share: float, width: int = 20) -> str:
    """Return a bar of `width` characters, as the training document draws it."""
    filled = round(min(max(share, 0.0), 1.0) * width)
    return "▓" * filled + "░" * (width - filled)


def _clock(milliseconds: int) -> str:
    minutes = milliseconds // 60_000 % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
