"""`small` and variations of it against a model that anybody can read: whatever happens there ends with equal digests, to the last unit."""

from __future__ import annotations

import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import first_written_small  # noqa: E402
from digest import Fate, MarketOutcome, digest, first_difference  # noqa: E402
from drawn_market import hashes  # noqa: E402
from small_market import play_small  # noqa: E402

from marketsim.chain.events import hash64  # noqa: E402
from marketsim.market.tables import Decline, Stage  # noqa: E402
from marketsim.scenario.load import load_scenario  # noqa: E402

SHORT = {"horizon": "2d", "warm_up": "7h"}
VARIATIONS: dict[str, dict[str, Any]] = {
    "charged by rate": {"charging": "rate"},
    "a day of short blocks": {"horizon": "1d", "warm_up": "0s", "initial": 0, "block_time": "1500ms"},
    "little in the accounts, tenants top up in time or not at all": SHORT
    | {
        "tenants.web.deposit.blocks": 700,
        "tenants.web.top_up.when_blocks_left": 100,
        "tenants.web.top_up.delay": {"uniform": ["0s", "20m"]},
        "tenants.web.wallet": "60VE",
        "tenants.batch.deposit.blocks": 300,
        "grace": "2h",
        "settle_every": "100 blocks",
    },
    "accounts that run dry before anybody adds to them": SHORT
    | {
        "charging": "rate",
        "tenants.web.deposit.blocks": 900,
        "tenants.web.top_up": {"after_depletion": {"delay": {"uniform": ["1m", "4h"]}}, "blocks": 40, "times": 9},
        "tenants.web.wallet": "200VE",
        "grace": "3h",
    },
    "providers that leave, tenants who may not come back": SHORT
    | {
        "providers.large.leave": {"mean": "12h"},
        "providers.local.leave": {"mean": "1d"},
        "tenants.web.restart.probability": 0.4,
        "tenants.batch.restart.delay": "30m",
        "tenants.batch.deploy_delay": {"uniform": ["0s", "6m"]},
    },
    "tenants who can hardly pay": SHORT | {"charging": "rate", "tenants.web.wallet": "1VE", "tenants.batch.wallet": "2VE"},
    "a tight market of poor providers": SHORT
    | {
        "tenants.web.demand.arrivals": "90/h",
        "providers.local.wallet": "10VE",
        "providers.large.count": 1,
        "providers.local.count": 24,
        "order_max_bids": 6,
        "take": 0.1,
        "tenants.web.utilization": 1.3,
    },
    "tenants who never choose, bids that are taken back, slow engines": SHORT
    | {
        "tenants.web.never_choose": 0.3,
        "bid_window": "3 blocks",
        "providers.local.latency": {"lognormal": {"median": "20s", "p95": "4m"}},
        "bid_min_deposit": "3VE",
        "deployment_min_deposit": "2VE",
    },
}  # fmt: skip
SEEDS = (1, 2)


@cache
def both(name: str, seed: int) -> tuple[MarketOutcome, MarketOutcome]:
    """The first-written model's outcome of a variation, and marketsim's."""
    scenario = load_scenario(ROOT / "scenarios/small.yaml", VARIATIONS.get(name, {}))
    played = play_small(scenario, seed)
    return first_written_small.run(played.draws).outcome, played.outcome


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_small_ends_as_its_first_written_model_does(seed: int) -> None:
    expected, found = both("small", seed)
    assert first_difference(expected, found) is None
    assert digest(expected) == digest(found)
    assert len(expected.fate) > 3_000 and expected.moved[:, 0].sum() > 10**8, "else the comparison is idle"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", VARIATIONS)
def test_so_does_every_variation_of_it(name: str, seed: int) -> None:
    expected, found = both(name, seed)
    assert first_difference(expected, found) is None
    assert digest(expected) == digest(found)


def test_what_is_recorded_moves_no_coin() -> None:
    """Providers that lack coins are paid for what they have earned before they bid, whether or not rows are kept of it."""
    name = "a tight market of poor providers"
    expected, _ = both(name, 1)
    scenario = load_scenario(ROOT / "scenarios/small.yaml", VARIATIONS[name] | {"record": "everything"})
    assert first_difference(expected, play_small(scenario, 1).outcome) is None


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("providers.local.outages", {"every": "1d", "lasts": "1h"}, "outages"),
        ("tenants.web.choice", {"random_among_cheapest": 2}, "a choice of bids"),
        ("rules", "virtengine", "rules"),
    ],
)
def test_what_the_model_has_not_is_refused_by_name(key: str, value: Any, named: str) -> None:
    scenario = load_scenario(ROOT / "scenarios/small.yaml", {key: value})
    with pytest.raises(ValueError, match=f"the first-written model has no .*{named}"):
        play_small(scenario, 1)


def test_an_outcome_that_differs_in_one_cell_is_told_apart() -> None:
    expected, _ = both("a day of short blocks", 1)
    for name, column in expected._asdict().items():
        changed = column.copy()
        changed.flat[-1] += 1
        other = expected._replace(**{name: changed})
        assert digest(other) != digest(expected)
        assert str(first_difference(expected, other)).startswith(name)


def test_the_draws_of_an_order_and_a_provider_are_marketsims() -> None:
    keys, others = np.array([0, 7, 2**62 + 5]), np.array([3, 2**63 - 1])
    for seed, salt in ((1, 11), (-5, 12)):
        expected = [[hash64(seed, salt, int(key), int(other)) for other in others] for key in keys]
        assert hashes(seed, salt, keys, others).tolist() == expected


def test_the_variations_reach_everything_that_the_rules_tell_apart() -> None:
    fates: Counter[int] = Counter()
    stages: Counter[int] = Counter()
    relisted = again = forgiven = refused = 0
    declined: Counter[int] = Counter()
    for name in VARIATIONS:
        for seed in SEEDS:
            outcome, _ = both(name, seed)
            fates.update(outcome.fate.tolist())
            stages.update(outcome.stage.tolist())
            relisted += int((outcome.listing > 1).sum())
            again += int((outcome.listing > 2).sum())
            forgiven += int(outcome.forgiven[:, 1].any())
            refused += int((outcome.opened == 0).sum())
            submitted, accepted, _, _, closed, _ = outcome.tally.T
            declined.update({code: int(count) for code, count in enumerate(outcome.declined.sum(axis=0)) if count})
            declined.update({"too many": int((submitted - accepted).sum()), "taken back": int(closed.sum())})
    assert set(fates) == set(Fate)
    assert set(stages) == set(Stage) - {Stage.NO_ELIGIBLE, Stage.BELOW_MIN_VALUE}  # all providers may bid, whatever an order is worth
    assert relisted > 100 and again > 5 and forgiven > 5 and refused > 100
    for code in (Decline.ORDER_NOT_OPEN, Decline.INSUFFICIENT_RESOURCES, Decline.QUEUE_FULL, Decline.PRICE_TOO_HIGH):
        assert declined[code] > 1_000
    assert declined[Decline.INSUFFICIENT_DEPOSIT] > 10 and declined["too many"] > 100 and declined["taken back"] > 100
