"""The rule sets as values of the chain's globals: what each of them sets, and which defects it can have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from marketsim.chain.columns import Charging, EscrowRule, G, Quirk, Rules

RULES: Mapping[str, Rules] = {"seed": Rules.SEED, "virtengine": Rules.VIRTENGINE, "akash": Rules.AKASH}
"""Rule sets by name."""

QUIRKS: Mapping[str, Quirk] = {quirk.name.lower(): quirk for quirk in Quirk}
"""Upstream defects by name."""

QUIRKS_OF: Mapping[Rules, frozenset[Quirk]] = {
    Rules.SEED: frozenset(Quirk) - {Quirk.SETTLE_SAME_HEIGHT, Quirk.PAYMENT_CREATE_LOSES},
    Rules.VIRTENGINE: frozenset(Quirk),
    Rules.AKASH: frozenset(Quirk) - {Quirk.OPEN_ORDERS_STAY, Quirk.PAUSE_OPEN_ORDER},
}
"""Which defects a rule set can have."""

_SHARED: Mapping[int, int] = {
    G.order_max_bids: 20,
    G.bid_min_deposit: 500_000,
    G.deployment_min_deposit: 500_000,
    G.usage_grace: 14_400,
    G.block_ms: 6_000,
    G.window_min_seconds: 3_600,
    G.window_max_seconds: 2_592_000,
    G.keep_bids: 1,
}

_OWN: Mapping[Rules, Mapping[int, int]] = {
    Rules.SEED: {
        G.escrow: EscrowRule.EXACT,
        G.charging: Charging.USAGE_CAPPED,
        G.take_ppm: 20_000,
        G.settle_every: 600,
        G.grace: 14_400,
        G.order_timeout: 100,
    },
    Rules.VIRTENGINE: {G.escrow: EscrowRule.SEQUENTIAL, G.charging: Charging.RATE, G.take_ppm: 20_000},
    Rules.AKASH: {G.escrow: EscrowRule.SEQUENTIAL, G.charging: Charging.RATE, G.take_ppm: 0},
}


def rule_globals(rules: str, quirks: Iterable[str] | bool = ()) -> dict[int, int]:
    """Return the globals of a rule set with the named defects (True: all that it can have) at blocks of
    six seconds.

    Raises ValueError for a name that is none and for a defect that the rule set does not have.
    """
    if rules not in RULES:
        raise ValueError(f"'{rules}' is not a rule set, expected {', '.join(RULES)}")
    rule_set = RULES[rules]
    chosen = QUIRKS_OF[rule_set] if quirks is True else _quirks_of(rules, quirks or ())
    return {G.rules: rule_set, G.quirks: sum(chosen), **_SHARED, **_OWN[rule_set]}


def _quirks_of(rules: str, names: Iterable[str]) -> frozenset[Quirk]:
    chosen: set[Quirk] = set()
    for name in names:
        if name == "all":
            chosen |= QUIRKS_OF[RULES[rules]]
        elif name not in QUIRKS:
            raise ValueError(f"'{name}' is not a quirk, expected {', '.join(QUIRKS)} or all")
        elif QUIRKS[name] not in QUIRKS_OF[RULES[rules]]:
            raise ValueError(f"rule set {rules} does not have quirk '{name}'")
        else:
            chosen.add(QUIRKS[name])
    return frozenset(chosen)
