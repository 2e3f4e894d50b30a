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
from drawn_market import DrawnMarket, Listing, OrderDraws, ProviderDraws, hashes  # noqa: E402
from small_market import play_small  # noqa: E402

from marketsim.chain.events import hash64  # noqa: E402
from marketsim.market.tables import Decline, Stage, TopUpTime  # noqa: E402
from marketsim.money.units import ATTO  # noqa: E402
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


def life_by_hand(charging: str, **plan: Any) -> DrawnMarket:
    """One provider at 2.5 uve a block, one order in block 7 with 1,000 uve; it runs 10 blocks after its lease and uses half of it."""
    provider = ProviderDraws(
        capacity=[4_000, 64, 64, 0],
        largest=[4_000, 64, 64, 0],
        prices=[ATTO // 400, 0, 0, 0],
        margin_ppm=0,
        max_bids=1,
        bid_timeout=50,
        stay=0,
        coins=2,
        key=1,
        latencies=[],
    )
    order = OrderDraws(
        tenant=0, height=7, time=42_000, tie=0, cpu=1_000, memory=1, storage=1, gpu=0, ceiling=3 * ATTO, deposit=1_000, duration=500,
        terminate=-1, leave_ppm=0, deploy_delay=10, never_chooses=False, top_up=TopUpTime.AFTER_DEPLETION, top_up_amount=500, top_ups=1,
        top_up_at=0, top_up_delays=[20, 1, 1], restarts=0, restart_delay=1, utilization_ppm=500_000, key=1,
    )._replace(**plan)  # fmt: skip
    return DrawnMarket(
        seed=1, blocks=1_000, block_ms=6_000, charging=charging, bid_window=10, order_timeout=100, order_max_bids=20, settle_every=600,
        grace=100, manifest_blocks=50, queue_limit=100, bid_deposit=2, least_deposit=1, take_ppm=20_000, sample_every=600, warm_up=0,
        day=14_400, tenants=[2_000], providers=[provider], orders=[order], listings=[Listing([6_000], [0], [0])],
    )  # fmt: skip


def test_a_life_followed_by_hand() -> None:
    """Every figure by mental arithmetic."""
    outcome = first_written_small.run(life_by_hand("usage_capped")).outcome
    assert (outcome.start.tolist(), outcome.runs_from.tolist(), outcome.end.tolist()) == ([17], [27], [517])
    assert outcome.fate.tolist() == [Fate.CLOSED_COMPLETED]
    assert outcome.moved.tolist() == [[612, ATTO // 2]]  # half of 490 blocks at 2.5
    assert outcome.taken.tolist() == [12] and outcome.revenue.tolist() == [[600]]
    assert outcome.tenants.tolist() == [2_000 - 1_000 + 387]
    assert outcome.dust.tolist() == [[1, 0]]  # a half of the lease's, a half of the account's
    assert outcome.tally.tolist() == [[1, 1, 1, 0, 0, 602]]
    assert outcome.used.tolist() == [[500_000, 500, 500, 0]]

    # by rate 400 blocks to 417, dry at 418; topped up at 438 for 200 blocks, dry at 639, grace over at 739
    dry = first_written_small.run(life_by_hand("rate", duration=900)).outcome
    assert (dry.fate.tolist(), dry.end.tolist()) == ([Fate.CLOSED_FUNDS], [739])
    assert dry.moved.tolist() == [[1_500, 0]] and dry.forgiven.tolist() == [[5, 0]]
    assert dry.top_ups.tolist() == [1] and dry.tenants.tolist() == [500]
    assert dry.revenue.tolist() == [[1_470]]

    # cleared away while it is dry: while the top-up is on its way it is complete, after it failed it ran out of funds
    meanwhile = first_written_small.run(life_by_hand("rate", duration=410)).outcome
    assert (meanwhile.fate.tolist(), meanwhile.end.tolist()) == ([Fate.CLOSED_COMPLETED], [427])
    late = first_written_small.run(life_by_hand("rate", duration=430, top_up_amount=1_500)).outcome
    assert (late.fate.tolist(), late.end.tolist(), late.top_ups.tolist()) == ([Fate.CLOSED_FUNDS], [447], [1])


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
