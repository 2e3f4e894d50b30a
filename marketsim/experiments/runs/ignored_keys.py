"""Knows which scenario keys a run does not look at, so that a sweep does not vary them in vain."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Effective = Mapping[str, Any]

_SAID_ONLY = {
    "name": "it only names the run",
    "description": "it only describes the run",
    "record": "it decides what is written, not what happens",
    "report": "it decides what is written, not what happens",
    "calibration": "it is compared with the outcome and changes nothing in it",
}
_OWN_PRICES = {"scale", "monthly_targets"}
_UNIT_PRICES = ("config.bid_engine.pricing", "config.bid_engine.min_profit_margin")


def ignored_because(path: str, effective: Effective, *, welfare: bool = False) -> str | None:
    """Why a run of this effective scenario does not look at the key at `path`, None when it may.

    `welfare` says that a welfare metric is asked for. Only what can be told from the file is told: a key may still
    turn out to have no effect, which the report then says.
    """
    words = path.split(".")
    if words[0] in _SAID_ONLY:
        return _SAID_ONLY[words[0]]
    if words[0] == "market" and words[1:] == ["agents"]:
        return "it decides how a run is computed; outcomes are the same but for rounding"
    if words[0] in _SWITCHES and (reason := _SWITCHES[words[0]](effective)) is not None:
        return reason
    if words[0] in {"tenants", "providers"} and len(words) > 2:
        cohort = _cohort(effective.get(words[0]), words[1])
        if cohort is not None:
            below = ".".join(words[2:])
            if words[2] in {"value", "cost_share"} and not welfare and not _ceilings_follow(cohort):
                return "only welfare metrics depend on it, ask for one such as welfare.tenant_surplus"
            return (_tenant_key if words[0] == "tenants" else _provider_key)(below, cohort, effective)
    return None


def ignored_in(written: Any, effective: Effective) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the path of each key of a scenario as a person wrote it that no run looks at, with the reason.

    What only names, describes or measures a run is looked at by those who read it.
    """

    def below(node: Any, path: tuple[str | int, ...], words: str) -> Iterator[tuple[tuple[str | int, ...], str]]:
        inner = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
        for key, value in inner:
            here, word = (*path, key), f"{words}.{key}".removeprefix(".")
            if here[0] in _SAID_ONLY or here[0] == "market":
                continue
            if (reason := ignored_because(word, effective, welfare=True)) is not None:
                yield here, reason
            else:
                yield from below(value, here, word)

    yield from below(written, (), "")


def _no_usage(effective: Effective) -> str | None:
    if effective.get("charging") == "rate":
        return "`charging: rate` owes the price for every block and reads no usage"
    return None


def _no_reports(effective: Effective) -> str | None:
    if effective.get("charging") != "ve_settlement":
        return "only `charging: ve_settlement` has usage reports of that kind"
    return None


def _settles_by_usage(effective: Effective) -> str | None:
    if effective.get("charging") == "ve_settlement":
        return "`charging: ve_settlement` pays from usage escrows, which have clock and fees of their own"
    return None


def _withdraw(effective: Effective) -> str | None:
    if effective.get("escrow") == "exact":
        return "`escrow: exact` settles every `settle_every`, nobody withdraws"
    return None


def _gas(effective: Effective) -> str | None:
    return None if effective.get("network_fees") else "`network_fees: false` charges no gas"


_SWITCHES: dict[str, Callable[[Effective], str | None]] = {
    "usage_every": _no_reports,
    "usage_grace": _no_usage,
    "withdraw_every": _withdraw,
    "gas_price": _gas,
    **dict.fromkeys(("take", "escrow", "settle_every", "grace"), _settles_by_usage),
}


def _tenant_key(below: str, cohort: Effective, effective: Effective) -> str | None:
    if below.startswith("utilization"):
        return _no_usage(effective)
    if below.startswith("top_up") and effective.get("charging") == "ve_settlement":
        return "`charging: ve_settlement` has no message that adds to an order's escrow"
    top_up = cohort.get("top_up") or {}
    if below.startswith("top_up.") and not below.endswith(".probability") and top_up.get("probability") == 0:
        return "`top_up.probability` is 0, nobody tops up"
    if below.startswith("patience") and effective.get("order_timeout") is not None:
        return "orders end by `order_timeout`; patience is for rule sets without one"
    if below.startswith("order.window") and effective.get("rules") != "akash":
        return "only `rules: akash` has reclamation windows"
    if below.startswith("order.gpu_model") and not _asks_for_gpus([cohort]):
        return "no order of the cohort asks for a GPU"
    return None


def _provider_key(below: str, cohort: Effective, effective: Effective) -> str | None:
    strategy = cohort.get("strategy")
    kind = strategy if isinstance(strategy, str) else next(iter(strategy), "") if strategy else ""
    engine = (cohort.get("config") or {}).get("bid_engine") or {}
    if engine.get("enabled") is False and below.startswith("config.") and not below.endswith(".enabled"):
        return "the cohort's bid engine is disabled"
    if below.startswith(_UNIT_PRICES) and kind in _OWN_PRICES:
        return f"`strategy: {kind}` has prices of its own"
    if below == "config.bid_engine.min_profit_margin" and kind == "random_range":
        return "`strategy: random_range` adds no margin"
    if below == "config.bid_engine.pricing.gpu" and not _asks_for_gpus(effective.get("tenants") or ()):
        return "no order asks for a GPU"
    if below.startswith("withdraw_every"):
        return _withdraw(effective)
    if below.startswith("usage"):
        return _no_usage(effective)
    if below.startswith("window") and effective.get("rules") != "akash":
        return "only `rules: akash` has reclamation windows"
    return None


def _ceilings_follow(cohort: Effective) -> bool:
    """Whether a tenant cohort's ceilings are shares of its values."""
    return (cohort.get("ceiling") or {}).get("share_of_value") is not None


def _asks_for_gpus(tenants: Sequence[Effective]) -> bool:
    for cohort in tenants:
        order = cohort.get("order") or {}
        if order.get("sdl") is not None:
            return True
        if order.get("gpu") not in (None, 0, {"constant": 0}):
            return True
    return not tenants


def _cohort(cohorts: Any, name: str) -> Effective | None:
    for i, cohort in enumerate(cohorts or ()):
        if isinstance(cohort, Mapping) and (cohort.get("name") == name or str(i) == name):
            return cohort
    return None
