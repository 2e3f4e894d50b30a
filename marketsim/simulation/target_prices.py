"""The built-in strategies of a cohort that price by volume, endpoint, address and model of GPU, in the certified form.

For orders by sizes the block loop has the same rule as unit prices; `parity script` and `parity price` hold this one to the published
script.
"""

from __future__ import annotations

from decimal import Decimal

from marketsim.scenario.providers import ProviderCohort
from marketsim.scenario.sdl_parts import STORAGE_CLASSES
from marketsim.strategies.rules import (
    EPHEMERAL,
    TARGET_NAMES,
    Answer,
    MonthlyTargets,
    MonthlyTargetScript,
    PriceRequest,
    ScalePricing,
    Strategy,
)

DOLLAR_COINS = ("uact",)
"""Coins that are a dollar by themselves: the script prices them without a rate."""


class DollarOrCoin:
    """The published script: orders in a dollar coin by one branch of it, orders in another coin, worth a dollar, by the other."""

    def __init__(self, targets: MonthlyTargets) -> None:
        self._dollar, self._coin = MonthlyTargetScript(targets), MonthlyTargetScript(targets, "1")

    def price(self, request: PriceRequest, /) -> Answer:
        """What the script prints, as a price in the order's coin."""
        return (self._dollar if request.denom in DOLLAR_COINS else self._coin).price(request)


def built_in_strategy(cohort: ProviderCohort) -> Strategy | None:
    """The cohort's strategy in the certified form; None for strategies that price sizes alone."""
    targets, scale = cohort.strategy.monthly_targets, cohort.strategy.scale
    if targets is not None:
        written = {name: _digits(getattr(targets, name)) for name in TARGET_NAMES}
        mappings = tuple((model, _digits(usd)) for model, usd in targets.gpu_mappings.items())
        return DollarOrCoin(MonthlyTargets(**written, gpu_mappings=mappings))
    if scale is not None:
        storage = dict.fromkeys((EPHEMERAL, *STORAGE_CLASSES), int(scale.storage))
        return ScalePricing(int(scale.cpu), int(scale.memory), storage, int(scale.endpoint), int(scale.ip))
    return None


def _digits(usd: Decimal) -> str:
    return format(usd, "f")
