"""Strategies that are asked in the order's block: what they hear is what happened, and it does not depend on how they are made."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_custom_pricing import PROVIDER, SCENARIO, module

from marketsim.errors import InputError
from marketsim.export.results import new_results, read_record
from marketsim.scenario.load import load_scenario
from marketsim.simulation.run import Run, run
from marketsim.strategies.check import StrategyError, check_strategy

PAGE = Path(__file__).parents[2] / "docs" / "hearing-strategies.md"

HEARS = """
import numpy as np
from marketsim import Prices

class Hears:
    hear_every = "12h"
    def __init__(self, uve=2):
        self.uve = uve
        self.counts = {}
    def start(self, me):
        self.me = me
    def tell(self, own, outcomes):
        for desk, kind in zip(outcomes.desk.tolist(), outcomes.kind.tolist()):
            key = own.names[desk], kind
            self.counts[key] = self.counts.get(key, 0) + 1
        assert (outcomes.winning[outcomes.kind == outcomes.LOST] > 0).all()
    def decide(self, batch, own, outcomes):
        self.tell(own, outcomes)
        assert all(batch[at].provider == own.names[desk] for at, desk in enumerate(batch.desk.tolist()))
        extra = np.asarray([int(name[-1]) for name in own.names])[batch.desk]
        return Prices(np.full(len(batch), self.uve), 1 + extra)
    def hear(self, own, outcomes):
        self.tell(own, outcomes)
        for row, name in enumerate(own.names):
            told = [self.counts.get((name, kind), 0) for kind in range(4)]
            self.me.log(name, lost=told[0], won=told[1], closed=told[2], ended=told[3], revenue=int(own.revenue[row]),
                        own_won=int(own.won[row]), own_lost=int(own.lost[row]))
"""


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    (tmp_path / "small.yaml").write_text(PROVIDER.format(margin=7.5, memory="0.0007"))
    (tmp_path / "large.yaml").write_text(PROVIDER.format(margin=12, memory="0.0005"))
    known = set(sys.modules)
    request.addfinalizer(lambda: [sys.modules.pop(name) for name in set(sys.modules) - known if name[:5] == "user_"])
    return tmp_path


def play(folder: Path, strategy: str, **changes: Any) -> Run:
    values: dict[str, Any] = {
        "horizon": "3d",
        "orders": 60,
        "order": "{cpu: {choice: {values: [500, 2000, 4000]}}, memory: 1Gi, storage: {uniform: [1Gi, 9Gi]}}",
        "ceiling": "ceiling: {uniform: [1uve, 9uve]}",
        "react": "",
        "more": "",
    }
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO.format(strategy=strategy, **(values | changes)))
    return run(load_scenario(path))


def test_what_is_heard_is_what_the_market_counts(folder: Path) -> None:
    """By the last block every bid that was decided has been heard, once."""
    strategy = module(folder, "hears", HEARS)
    played = play(folder, strategy)
    names, providers = played.record.providers["name"], played.record.providers
    assert sorted(played.record.logs) == ["large", "small"]
    for table in played.record.logs.values():
        assert table["height"].tolist()[-1] == 43_199
        for at in np.flatnonzero(table["height"] == 43_199).tolist():
            row = names.index(table["who"][at])
            assert table["won"][at] == table["own_won"][at] == providers["won"][row]
            assert table["lost"][at] == table["own_lost"][at] == providers["lost"][row]
            assert 0 <= table["won"][at] - table["ended"][at] <= 3
            assert table["revenue"][at] == providers["revenue_days"][row].sum()
    assert play(folder, strategy).summary == played.summary

    each = play(folder, strategy.replace("}", ", each: provider}"))
    assert each.summary["fingerprint"] == played.summary["fingerprint"]
    assert each.record.logs["small"]["revenue"].tolist() == played.record.logs["small"]["revenue"].tolist()

    with new_results(folder / "out", own=True) as write:
        write(played.record, played.summary)
    again = read_record(folder / "out").logs
    for name, table in played.record.logs.items():
        assert {key: list(column) for key, column in again[name].items()} == {key: list(column) for key, column in table.items()}


def test_options_are_arguments_and_factors(folder: Path) -> None:
    strategy = module(folder, "hears", HEARS).replace("}", ", options: {uve: 5}}")
    play(folder, strategy)
    scenario = load_scenario(folder / "scenario.yaml", overrides={"providers.large.strategy.options.uve": 3})
    prices = run(scenario).record.leases
    assert set(prices["price_whole"].tolist()) <= {3, 5} and 3 in prices["price_whole"]
    again = load_scenario(folder / "scenario.yaml")
    assert again.providers[0].strategy.options == {"uve": 5} and "options" in str(again.effective()["providers"][0]["strategy"])
    with pytest.raises(InputError, match=r"options is for a class of your own"):
        play(folder, "{undercut: {by: 0.1}, options: {a: 1}}")
    with pytest.raises(InputError, match=r"user_hears:Hears cannot be built: TypeError.*nothing"):
        play(folder, strategy.replace("uve: 5", "nothing: 5"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "def decide(self, b, o, u):\n        return 1 // 0",
            r"order web.*decide of small-0 to small-1 raises ZeroDiv.*bad.py:3\)",
        ),
        ("def decide(self, b, o, u):\n        raise SystemExit", r"decide of small-0 to small-1 raises SystemExit \(.*user_bad.py:3\)"),
        ("def decide(self, b, o, u):\n        return None", r"decide of \d+ orders returns NoneType, expected"),
        ("def decide(self, b, o, u):\n        return [0.5] * len(b)", "answers 0.5 of type float"),
        (
            "decide = None\n    def price(self, r):\n        return 10**18\n    hear_every = 'often'",
            "hear_every: 'often' is not a",
        ),
        (
            "def start(self, me):\n        me.log(x=[1])\n    def decide(self, b, o, u):\n        pass",
            r"log: x is \[1\]",
        ),
        ("def decide(self, b, o, u):\n        pass\n    def start(self, me):\n        me.log(height=1)", "no column height"),
        ("def decide(self, b, o, u):\n        return [None] * len(b)\n    def hear(self, o, u):\n        1 // 0", "hear of small-0 .*:5"),
    ],
)
def test_mistakes_are_named_with_file_and_line(folder: Path, body: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        play(folder, module(folder, "bad", f"class Bad:\n    {body}\n"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "def decide(self, b, o, u):\n        while True:\n            pass",
            r"decide of small-0 .* has worked for 0.5 s without an end \(.*user_stuck.py:[34]\)",
        ),
        ("def price(self, r):\n        while True:\n            pass", r"price of small-0 for order web.* has worked for 0.5 s .*:[34]\)"),
        (
            "def start(self, me):\n        while True:\n            pass\n    def decide(self, b, o, u):\n        pass",
            r"start of .* has worked",
        ),
    ],
)
def test_what_never_returns_is_ended(folder: Path, body: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketsim.strategies.stuck.STEP_SECONDS", 0.5)
    with pytest.raises(InputError, match=message):
        play(folder, module(folder, "stuck", f"class Bad:\n    {body}\n").replace("user_stuck:Stuck", "user_stuck:Bad"))


def test_the_pages_class_runs_and_keeps_its_contract(folder: Path) -> None:
    source, scenario = (re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)[0] for kind in ("python", "yaml"))
    assert "follower:Follower" in scenario
    played = play(folder, module(folder, "page", source).replace("}", ", options: {margin: 3}}"))
    log = played.record.logs["small"]
    assert played.summary["leases"]["created"] > 5 and log["asked"][-2:].max() < log["asked"][:2].max(), "who loses asks less"
    namespace: dict[str, Any] = {}
    exec(compile(source, str(PAGE), "exec"), namespace)
    check_strategy(sys.modules["user_page"].Follower)

    class Draws(namespace["Follower"]):  # type: ignore[misc,name-defined]
        def decide(self, batch: Any, own: Any, outcomes: Any) -> Any:
            np.random.random()
            return super().decide(batch, own, outcomes)

    with pytest.raises(StrategyError, match="global random generator"):
        check_strategy(Draws)
