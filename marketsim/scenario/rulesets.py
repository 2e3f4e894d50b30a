"""The rule sets by name: which switches each of them sets, and which revision of its source it follows."""

from __future__ import annotations

from typing import Any

REVISIONS: dict[str, str] = {
    "seed": "training document 1.0.0 of 2026-01-31",
    "virtengine": "virtengine/virtengine of 2026-02-15",
    "akash": "akash-network/node of 2026-04-28 (v2.1 pre-release)",
}
"""What `marketsim --version` and a manifest say about each rule set."""

DEFAULTS: dict[str, dict[str, Any]] = {
    "seed": {
        "charging": "usage_capped",
        "escrow": "exact",
        "settle_every": "600 blocks",
        "grace": "24h",
        "order_timeout": "100 blocks",
        "take": "0.02",
        "network_fees": False,
    },
    "virtengine": {
        "charging": "rate",
        "escrow": "sequential",
        "settle_every": None,
        "grace": None,
        "order_timeout": None,
        "take": "0.02",
        "network_fees": True,
    },
    "akash": {
        "charging": "rate",
        "escrow": "sequential",
        "settle_every": None,
        "grace": None,
        "order_timeout": None,
        "take": "0",
        "network_fees": True,
    },
}
"""The switches that differ between rule sets; every other switch has one default for all."""

QUIRKS: tuple[str, ...] = (
    "settle_same_height",
    "payment_create_loses",
    "losing_bids_stay",
    "open_orders_stay",
    "pause_open_order",
    "max_bids_off_by_one",
)
"""The named upstream defects (protocol.md §1.9 and §3.8), all off by default."""

_SETTLES_EXACTLY = "accrual is exact under seed, nothing is lost when a payment is settled twice or opened"
_AKASH_CLOSES = "akash closes open orders with their group, it never had this defect"

QUIRKS_LACKING: dict[str, dict[str, str]] = {
    "seed": {"settle_same_height": _SETTLES_EXACTLY, "payment_create_loses": _SETTLES_EXACTLY},
    "virtengine": {},
    "akash": {"open_orders_stay": _AKASH_CLOSES, "pause_open_order": _AKASH_CLOSES},
}
"""Per rule set the quirks that it does not have, with the reason."""


QUIRKS_OF_STREAMS: frozenset[str] = frozenset({"settle_same_height", "payment_create_loses"})
"""The quirks of payments that are owed by the block; charging: ve_settlement has no such payment."""


def quirks_of(rules: str, charging: str = "") -> tuple[str, ...]:
    """The quirks that a rule set has (under a charging mode); what `all` stands for."""
    lacking = QUIRKS_OF_STREAMS if charging == "ve_settlement" else frozenset()
    return tuple(quirk for quirk in QUIRKS if quirk not in QUIRKS_LACKING[rules] and quirk not in lacking)


ESCROW_RULES: dict[str, tuple[str, ...]] = {
    "seed": ("exact",),
    "virtengine": ("sequential",),
    "akash": ("sequential", "proportional"),
}
"""The escrow rules that each rule set can be run with."""
