"""Markets small enough to work out by hand: orders at given blocks, prices per core, one record of everything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from marketsim.chain.columns import EventKind
from marketsim.recording.record import DECLINE_CODES
from marketsim.scenario.load import scenario_from_mapping
from marketsim.simulation import Run, run

ENGINE: dict[str, Any] = {
    "enabled": True,
    "min_profit_margin": 0,
    "max_concurrent_bids": 50,
    "bid_timeout": "5m",
    "pricing": {"cpu_millicores": "0.001uve", "memory_mb": "0uve", "storage_mb": "0uve", "gpu": "0uve"},
}


def provider(
    name: str = "p", *, price: str = "0.001uve", cores: int = 8, engine: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """A cohort of one provider that asks `price` a millicore and answers within a block."""
    changed = ENGINE | {"pricing": ENGINE["pricing"] | {"cpu_millicores": price}} | (engine or {})
    filters = changed.pop("filters", None)
    config: dict[str, Any] = {"bid_engine": changed}
    if filters is not None:
        config["filters"] = filters
    base = {"name": name, "config": config, "latency": "3s", "wallet": "1000uve"}
    return base | {"capacity": {"cpu": cores * 1000, "memory": "64Gi", "storage": "1Ti"}} | more


def tenant(folder: Path, name: str, blocks: Sequence[int], *, cores: int = 1, lasts: int = 50, **more: Any) -> dict[str, Any]:
    """A cohort of one tenant with an order at each of `blocks`; its leases end after `lasts` blocks."""
    trace = folder / f"{name}.csv"
    trace.write_text("at_seconds\n" + "".join(f"{block * 6}\n" for block in blocks))
    base: dict[str, Any] = {
        "name": name,
        "wallet": "100000uve",
        "demand": {"trace": str(trace)},
        "order": {"cpu": cores * 1000, "memory": "1Gi", "storage": "1Gi"},
        "ceiling": f"{5 * cores}uve",
        "deposit": "1000uve",
        "duration": f"{lasts} blocks",
        "restart": {"probability": 0},
    }
    return base | more


def play(
    folder: Path, tenants: list[dict[str, Any]], providers: list[dict[str, Any]], *, seed: int = 1, audit: bool = True, **more: Any
) -> Run:
    """Run a market of whole prices, no take and short times, and return everything recorded."""
    base: dict[str, Any] = {
        "name": "hand",
        "horizon": "400 blocks",
        "take": 0,
        "charging": "rate",
        "record": "everything",
        "bid_min_deposit": "10uve",
        "deployment_min_deposit": "10uve",
    }
    if more.get("rules", "seed") == "seed":
        base |= {"grace": "40 blocks", "settle_every": "100 blocks"}
    mapping = base | more | {"tenants": tenants, "providers": providers}
    return run(scenario_from_mapping(mapping, folder, ()), seed=seed, audit=audit)


def heights(played: Run, kind: EventKind, subject: int | None = None) -> list[int]:
    """The blocks of every event of a kind, in order."""
    events = played.record.events
    assert events is not None
    mine = events["kind"] == kind
    if subject is not None:
        mine &= events["subject"] == subject
    return sorted(events["height"][np.flatnonzero(mine)].tolist())


def bids_made(played: Run) -> list[int]:
    """The blocks of every bid that was handed in, in order."""
    bids = played.record.bids
    assert bids is not None
    return bids["height"].tolist()  # type: ignore[no-any-return]


def declines(played: Run) -> list[tuple[int, int, int, str]]:
    """Every order that an engine did not bid on as (height, order, provider, reason)."""
    table = played.record.declines
    assert table is not None
    rows = zip(*(table[name].tolist() for name in ("height", "order", "provider", "reason")), strict=True)
    return [(height, order, provider, DECLINE_CODES[reason]) for height, order, provider, reason in rows]


def leases(played: Run) -> list[tuple[int, int, int, int]]:
    """Every lease as (provider, made at, closed at, paid out gross)."""
    table = played.record.leases
    names = ("provider", "created_at", "closed_at", "withdrawn")
    return list(zip(*(table[name].tolist() for name in names), strict=True))


def reasons(played: Run) -> dict[str, int]:
    """How many leases closed for each reason, zeros left out."""
    counts: dict[str, int] = played.summary["leases"]["close_reasons"]
    return {reason: count for reason, count in counts.items() if count}
