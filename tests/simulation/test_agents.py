"""Users' agents in a run: what they do counts like anybody's, whatever steps a market takes, and what they do wrong is named."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from marketsim import Market, check_agent
from marketsim.errors import InputError
from marketsim.scenario.load import load_scenario, scenario_from_mapping
from marketsim.simulation import agents
from marketsim.simulation.check_agent import TRIAL, AgentError
from marketsim.simulation.run import Run, run

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
SHIPPED = Path(__file__).parents[2] / "scenarios" / "agents"
CAPACITY = {"capacity": {"cpu": 16_000, "memory": "128Gi", "storage": "4Ti"}}


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    known = set(sys.modules)
    names = ("user_agent", "scalper", "learner")
    request.addfinalizer(lambda: [sys.modules.pop(name) for name in set(sys.modules) - known if name in names])
    return tmp_path


def mapping(folder: Path, body: str, **agent: Any) -> dict[str, Any]:
    (folder / "user_agent.py").write_text(body)
    return TRIAL | {"agents": [{"name": "one", "python": "user_agent:agent"} | agent]}


def play(folder: Path, body: str, **agent: Any) -> Run:
    return run(scenario_from_mapping(mapping(folder, body, **agent), folder), audit=True)


SCALPER = """
def agent(me):
    while True:
        order = yield me.next_order(me.may_bid)
        yield me.sleep("30s")
        lowest = me.lowest_bid(order)
        if lowest is not None:
            ticket = yield me.outcome(me.bid(order, lowest * 9 // 10))
            me.log(order=order.id, won_at=(ticket.winning or 0) / 1e18, mine=lowest * 0.9 / 1e18, result=ticket.result)
"""


def test_a_bid_of_an_agent_takes_part_in_the_tenants_choice(folder: Path) -> None:
    """The scalper bids a tenth less than the best of three engines, within the window: what it bids on it wins, at its price."""
    source = mapping(folder, SCALPER, provider=CAPACITY)
    played = run(scenario_from_mapping(source, folder), audit=True)
    log, record = played.record.logs["one"], played.record
    row = record.providers["name"].index("one-0")
    won = [at for at, result in enumerate(log["result"]) if result == "won"]
    assert len(won) > 20 and len(won) == record.providers["won"][row] == (record.leases["provider"] == row).sum()
    assert set(log["result"]) <= {"won", "declined"}
    for at in won:
        assert log["won_at"][at] == pytest.approx(log["mine"][at])
    assert record.providers["revenue_net"][row] > 0 and record.provider_cohorts[record.providers["cohort"][row]] == "one"

    market = Market(scenario_from_mapping(source, folder))
    for height in (1, 2, 500, 501, 5_000, 9_001):
        market.advance(height)
        market.orders(state="open")
    fork = market.fork()
    assert fork.origin is not None and fork.origin.by == "replay" and "generators" in fork.origin.reason
    for each in (market, fork):
        ended = each.finish()
        assert ended.summary["fingerprint"] == played.summary["fingerprint"]
        assert ended.record.logs["one"]["order"].tolist() == log["order"].tolist()


COUNTING = """
def agent(me):
    while True:
        order = yield me.next_order(me.may_bid)
        yield me.sleep("30s")
        lowest = me.lowest_bid(order)
        if lowest is not None:
            me.bid(order, lowest * 9 // 10)
        me.log(coins=me.balance, earned=me.revenue)
"""


def test_what_an_agent_has_earned_does_not_hang_on_how_often_the_series_is_sampled(folder: Path) -> None:
    """Longer than a fortnight a run has a sample a day, else one an hour; the first days are the same market."""
    source = mapping(folder, COUNTING, provider=CAPACITY) | {"tenants": [TRIAL["tenants"][0] | {"demand": {"arrivals": "3/h"}}]}
    short, long = (run(scenario_from_mapping(source | {"horizon": horizon}, folder)).record.logs["one"] for horizon in ("2d", "15d"))
    rows = len(short["coins"])
    assert rows > 40 and len(set(short["earned"].tolist())) > 10
    assert {name: column[:rows].tolist() for name, column in long.items()} == {name: column.tolist() for name, column in short.items()}


TENANT = """
def agent(me):
    yield me.sleep(me.options["after"])
    spec = {"cpu": 1000, "memory": "1Gi", "storage": "5Gi", "price": "50uve"}
    before = me.balance
    made = yield me.outcome(me.create_deployment(spec, deposit="0.9VE"))
    again = yield me.outcome(me.create_deployment(spec, deposit="0.9VE", dseq=int(made.reason.partition("/")[2])))
    yield me.sleep("2m")
    bids = [bid for bid in me.view().bids(state="open") if bid.order.startswith(f"{made.reason}/")]
    taken = yield me.outcome(me.accept(min(bids, key=lambda bid: bid.price).id))
    topped = yield me.outcome(me.top_up(made.reason, "0.1VE"))
    other = yield me.outcome(me.close("web-0/1"))
    yield me.sleep("6h")
    closed = yield me.outcome(me.close(made.reason))
    me.log(made=made.result, again=again.result, bids=len(bids), taken=taken.result, topped=topped.result, other=other.result,
           closed=closed.result, spent=before - me.balance)
"""


def test_an_agent_orders_chooses_pays_and_closes(folder: Path) -> None:
    played = play(folder, TENANT, count=2, wallet="2VE", options={"after": "1h"})
    log = played.record.logs["one"]
    assert log["who"].tolist() == ["one-0", "one-1"]
    for key, value in {"made": "ok", "again": "DeploymentExists", "taken": "ok", "topped": "ok", "closed": "ok"}.items():
        assert log[key].tolist() == [value] * 2
    assert (log["bids"] == 3).all() and (log["other"] != "ok").all(), "nobody closes what is another's"
    assert (log["spent"] > 1_000).all() and (log["spent"] < 200_000).all()
    assert played.summary["conserved"] is True


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def agent(me):\n    yield me.sleep('1h')\n    1 // 0", r"one-0 after block 599 raises ZeroDiv.*user_agent\.py:3\)"),
        ("import sys\ndef agent(me):\n    sys.exit(0)\n    yield", r"raises SystemExit: 0 \(.*:3\)"),
        ("def agent(me):\n    raise KeyboardInterrupt\n    yield", r"raises KeyboardInterrupt \(.*:2\)"),
        ("def agent(me):\n    yield 5", r"yields 5 of type int \(.*user_agent\.py:2\), expected me.sleep"),
        ("def agent(me):\n    return 5", "is no generator function"),
        ("agent = 5", "is no generator function"),
        ("def agent(me):\n    yield me.sleep(0)", r"sleep: 0 is too short.*:2\)"),
        ("def agent(me):\n    yield me.sleep('soon')", r"sleep: 'soon' is not a duration.*:2\)"),
        ("def agent(me):\n    me.send({'op': 'fly'})\n    yield", r"'fly' is not a message.*:2\)"),
        ("def agent(me):\n    order = yield me.next_order()\n    me.bid(order, 1.5)", r"1.5 of type float is no price.*:3\)"),
        ("def agent(me):\n    yield me.next_order(lambda order: 1 // 0)", r"raises ZeroDivisionError.*:2\)"),
        (
            "def agent(me):\n    t = me.withdraw('a/1/1/1/b')\n    while True:\n        yield me.outcome(t)",
            "goes on 50 times",
        ),
        ("def agent(me):\n    while True:\n        pass\n    yield", r"has worked for 0.5 s without a yield \(.*user_agent\.py:[23]\)"),
    ],
)
def test_mistakes_are_named_with_file_and_line(folder: Path, body: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "STEPS_AT_ONCE", 50)
    monkeypatch.setattr("marketsim.strategies.stuck.STEP_SECONDS", 0.5)
    monkeypatch.setattr("marketsim.interrupts._STATE.has_taken_over", True)
    with pytest.raises(InputError, match=message) as raised:
        play(folder, body, provider=CAPACITY)
    assert "agents.one.python" in str(raised.value)


def test_who_sleeps_for_ever_or_returns_changes_nothing(folder: Path) -> None:
    one = play(folder, "def agent(me):\n    yield me.sleep('900d')\n    1 // 0")
    other = play(folder, "def agent(me):\n    return\n    yield")
    assert one.summary["fingerprint"] == other.summary["fingerprint"]


def test_the_pages_agents_run(folder: Path) -> None:
    python, scenario = (re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL) for kind in ("python", "yaml"))
    assert "my_agents:scalper" in scenario[0]
    namespace: dict[str, Any] = {}
    exec(compile(python[0], str(PAGE), "exec"), namespace)
    exec(compile(python[1], str(PAGE), "exec"), namespace)
    check_agent(namespace["tenant"])
    with pytest.raises(AgentError, match="KeyError: 'cut'"):
        check_agent(namespace["scalper"], provider=True)


@pytest.mark.parametrize("name", ["scalper", "learner"])
def test_shipped_agents_and_learners_run(folder: Path, name: str) -> None:
    played = run(load_scenario(SHIPPED / f"{name}.yaml", {"horizon": "6d"}))
    (log,) = played.record.logs.values()
    assert len(log["price"]) > 5 and (log["price"] > 0).all()
    assert run(load_scenario(SHIPPED / f"{name}.yaml", {"horizon": "6d"})).summary == played.summary


FOLLOWER = """
import numpy as np
from marketsim import Prices

class Follower:
    heard = set()

    def decide(self, batch, own, outcomes):
        self.heard.update(outcomes.desk.tolist())
        return Prices(np.full(len(batch.desk), 2), np.zeros(len(batch.desk), np.int64))
"""


def test_a_strategy_hears_of_its_own_bids_alone_where_an_agent_bids_beside_it(folder: Path) -> None:
    source = mapping(folder, SCALPER + FOLLOWER, provider=CAPACITY)
    own = {key: value for key, value in source["providers"][0].items() if key != "strategy"}
    source["providers"] = [*source["providers"], own | {"name": "own", "count": 2, "strategy": {"python": "user_agent:Follower"}}]
    record = run(scenario_from_mapping(source, folder), audit=True).record
    assert record.providers["submitted"][record.providers["name"].index("one-0")] > 0
    assert sys.modules["user_agent"].Follower.heard == {0, 1}
