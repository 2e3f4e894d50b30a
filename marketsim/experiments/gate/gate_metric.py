"""What a gate asks of one metric, as it is written on the command line and kept in a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from marketsim.errors import InputError
from marketsim.experiments.compare.paired import Margin
from marketsim.statistics.fixed_n import Aim

DEFAULT_MARGIN: Final = Margin(0.02, relative=True)
RARE_SHARE: Final = 0.05
"""What `:rare` alone means: at most so many seeds may differ."""

_GROWS = (
    "fill_rate", "acceptance_rate", "win_rate", "revenue", "take", "utilization", "orders.leased", "bids.accepted", "bids.won",
    "leases.created", "leases.active", "escrow.paid", "welfare.tenant_surplus", "welfare.provider_profit", "welfare.protocol_take",
    "welfare.total", "welfare.efficiency",
)  # fmt: skip
_SHRINKS = (
    "shortfall", "bid_latency_seconds", "orders.timed_out", "orders.unfilled_reasons", "unserved", "bids.rejected", "bids.declined",
    "leases.insufficient_funds", "leases.close_reasons.insufficient_funds", "escrow.debt", "escrow.stranded", "escrow.dust",
    "welfare.hhi", "welfare.gini",
)  # fmt: skip
_FORM = "write NAME[:MARGIN][:AIM][:rare[=SHARE]] such as revenue.total:2% or shortfall:1000:no-higher:rare=5%"


@dataclass(frozen=True)
class GateMetric:
    """A metric of a gate: its margin, what it must show, and for rare ones the share of seeds that may differ unseen."""

    name: str
    margin: Margin
    aim: Aim
    rare: float | None = None

    def __str__(self) -> str:
        """As the command line takes it."""
        amount = f"{100 * self.margin.amount:.12g}%" if self.margin.relative else f"{self.margin.amount:.12g}"
        rare = f":rare={100 * self.rare:.12g}%" if self.rare is not None else ""
        return f"{self.name}:{amount}:{self.aim.value}{rare}"


def default_aim(name: str) -> Aim:
    """Which change of a metric is to the worse, equivalence where neither is known to be."""

    def among(names: tuple[str, ...]) -> bool:
        return any(name == one or name.startswith(f"{one}.") for one in names)

    if among(_SHRINKS):
        return Aim.NO_HIGHER
    return Aim.NO_LOWER if among(_GROWS) else Aim.EQUIVALENT


def parse_gate_metric(text: str) -> GateMetric:
    """Read `NAME[:MARGIN][:AIM][:rare[=SHARE]]`; raises InputError."""
    name, *rest = text.split(":")
    margin: Margin | None = None
    aim: Aim | None = None
    rare: float | None = None
    for part in rest:
        word, _, value = part.partition("=")
        if word == "rare" and rare is None:
            rare = RARE_SHARE if not value else _positive(value, text).amount
            if not 0 < rare < 1 or (value and not value.endswith("%")):
                raise InputError(f"--metric: {text}: '{value}' is no share of seeds, write rare=5%")
        elif part in list(Aim) and aim is None:
            aim = Aim(part)
        elif margin is None and aim is None and rare is None:
            margin = _positive(part, text)
        else:
            raise InputError(f"--metric: {text}: '{part}' is not understood, {_FORM}; aims are {', '.join(Aim)}")
    return GateMetric(name, margin or DEFAULT_MARGIN, aim or default_aim(name), rare)


def _positive(part: str, text: str) -> Margin:
    relative = part.endswith("%")
    try:
        amount = float(part.removesuffix("%"))
    except ValueError:
        amount = -1.0
    if not 0 < amount < float("inf"):
        raise InputError(f"--metric: {text}: '{part}' is neither a margin nor an aim, {_FORM}; aims are {', '.join(Aim)}")
    return Margin(amount / 100 if relative else amount, relative)
