"""The chain against the models that anybody can read: random small reference markets give equal digests in the
first-written model, the compiled chain and the uncompiled one, however agents hand over their orders, under every
rule set.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import first_written  # noqa: E402
from digest import digest, first_difference  # noqa: E402
from marketsim_designs import RULE_SETS, market_of, play, play_outcome, scenario_of  # noqa: E402

from marketsim.agents.reference_market import ReferenceMarket, draw  # noqa: E402

AGENTS = ("batch", "per_order", "reacting", "python", "python_batch")
MARKETS = 24
UNCOMPILED = 20

UNCOMPILED_RUN = """
import json, sys
sys.path[:0] = sys.argv[1:3]
from digest import digest
from marketsim.agents.reference_market import draw
from marketsim.kernel.modes import COMPILING
from marketsim_designs import RULE_SETS, play_outcome
assert not COMPILING
for case in json.load(sys.stdin):
    outcome, _ = play_outcome(draw(*case["market"]), case["agents"], **RULE_SETS[case["rules"]])
    print(digest(outcome))
"""


def market(number: int) -> tuple[int, int, int, int, int, float]:
    """Arguments of `draw` for one random small market: seed, orders, providers, tenants, blocks, load."""
    rng = random.Random(f"reference market {number}")
    return (
        number,
        rng.choice([1, 5, 40, 150, 400]),
        rng.choice([1, 2, 7, 25]),
        rng.choice([1, 3, 60]),
        rng.choice([300, 4_000, 20_000, 45_000]),
        rng.choice([0.2, 0.8, 3.0]),
    )


@cache
def drawn(number: int) -> ReferenceMarket:
    return draw(*market(number))


@cache
def expected(number: int, rules: str) -> first_written.Outcome:
    return first_written.run(drawn(number), first_written.RULE_SETS[rules]).outcome


@pytest.mark.parametrize("agents", AGENTS)
@pytest.mark.parametrize("number", range(MARKETS))
def test_however_orders_are_handed_over_the_outcome_is_the_first_written_models(number: int, agents: str) -> None:
    outcome, _ = play_outcome(drawn(number), agents)
    assert first_difference(expected(number, "seed"), outcome) is None, market(number)


@pytest.mark.parametrize("rules", [name for name in RULE_SETS if name != "seed"])
@pytest.mark.parametrize("number", range(MARKETS))
def test_each_rule_set_is_its_own_first_written_model(number: int, rules: str) -> None:
    agents = AGENTS[number % 3]
    outcome, _ = play_outcome(drawn(number), agents, **RULE_SETS[rules])
    assert first_difference(expected(number, rules), outcome) is None, market(number)


def test_the_markets_reach_what_they_are_to_compare() -> None:
    """Leases end in every way, tenants top up, desks reprice: else equal digests would say little."""
    fates: set[int] = set()
    top_ups = bids = 0
    for number in range(MARKETS):
        outcome = expected(number, "seed")
        fates |= set(outcome.fate.tolist())
        top_ups += int(outcome.top_ups.sum())
        bids += int(outcome.bids.sum())
    assert fates >= {1, 2, 4, 5, 6, 7}
    assert top_ups > 20 and bids > 3_000


def test_the_uncompiled_chain_gives_the_same_outcomes() -> None:
    """One process of plain Python; small markets, each rule set and each way to hand over in turn."""
    names = list(RULE_SETS)
    small = [number for number in range(400) if market(number)[1] <= 40][:UNCOMPILED]
    cases = []
    for at, number in enumerate(small):
        rules = names[at % 4] if at % 2 else "seed"
        agents = AGENTS[at % len(AGENTS)] if rules == "seed" else AGENTS[at % 3]
        cases.append({"market": market(number), "agents": agents, "rules": rules})
    done = subprocess.run(
        [sys.executable, "-c", UNCOMPILED_RUN, str(ROOT), str(ROOT / "benchmarks")],
        input=json.dumps(cases),
        env={**os.environ, "MARKETSIM_COMPILE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wanted = [digest(expected(number, case["rules"])) for number, case in zip(small, cases, strict=True)]
    assert len(wanted) == UNCOMPILED
    assert done.stdout.split() == wanted


def test_rows_of_ended_bids_are_used_again() -> None:
    """Nobody names a bid of the generated market: keeping all of them once made it four times as slow."""
    draws = draw(1, 400, 10, 20, 40_000, 0.5)
    scenario = scenario_of(draws, "batch")
    clock, _ = play(scenario, market_of(draws, scenario, 1), 1)
    assert clock.engine.globals.bids_submitted > 400
    assert clock.chain.globals.bids < clock.engine.globals.bids_submitted / 2
