"""How the real chain writes amounts and ids."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

Answer = dict[str, Any]
DENOM = "uve"
"""The market's coin."""


def decimal_coin(amount: Decimal) -> Answer:
    """Return an amount with its 18 digits."""
    return {"denom": DENOM, "amount": f"{amount:.18f}"}


def coin(amount: int) -> Answer:
    """Return a number of whole coins."""
    return {"denom": DENOM, "amount": str(amount)}


def id_of(address: Callable[[str], str], name: str) -> Answer:
    """Return the id of a deployment, group, order, bid or lease by its name; `address` turns names of wallets into addresses."""
    owner, *parts = name.split("/")
    found: Answer = {"owner": address(owner)}
    for key, part in zip(("dseq", "gseq", "oseq", "provider"), parts, strict=False):
        found[key] = part if key == "dseq" else address(part) if key == "provider" else int(part)
    if "provider" in found:
        found["bseq"] = 0
    return found


__all__ = ["DENOM", "Answer", "coin", "decimal_coin", "id_of"]
