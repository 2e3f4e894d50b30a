"""Messages and governance by hand: their order, their receipts, and how a running market takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from marketsim.chain.edge import Chain
from marketsim.chain.ledger import totals
from marketsim.chain.parsing import ARGUMENTS
from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.scenario import load_scenario, scenario_from_mapping
from marketsim.simulation import Run, run
from marketsim.simulation.run import play, prepare

SCENARIOS = Path(__file__).parents[2] / "scenarios"
CASES = SCENARIOS / "cases"
FILES = sorted(CASES.rglob("*.yaml"))

UNIT = {"price": "50", "count": 1, "cpu": 100, "memory": 1 << 20, "storage": 5 << 20, "gpu": 0}
GROUP = {"name": "web", "resources": [UNIT]}
START = {
    "params": {"bid_min_deposit": 500, "deployment_min_deposit": 1000},
    "wallets": {"ada": 50_000, "north": 10_000, "south": 10_000},
    "providers": {"north": {}, "south": {}},
}


def deploy(height: int, id: str = "ada/1", deposit: str = "1000", **more: Any) -> dict[str, Any]:
    return {
        "height": height, "op": "create_deployment", "id": id, "deposit": deposit, "sources": ["balance"],
        "hash": "a", "groups": [GROUP], **more,
    }  # fmt: skip


def bid(height: int, id: str, price: str = "10") -> dict[str, Any]:
    return {
        "height": height, "op": "create_bid", "id": id, "price": price, "deposit": "500",
        "sources": ["balance"],
    }  # fmt: skip


def say(height: int, op: str, id: str, **more: Any) -> dict[str, Any]:
    return {"height": height, "op": op, "id": id, **more}


def tiny() -> dict[str, Any]:
    return json.loads(json.dumps(load_scenario(SCENARIOS / "tiny.yaml").effective()))


def simulated(mapping: dict[str, Any]) -> Run:
    return run(scenario_from_mapping(mapping, SCENARIOS), audit=True)


def ran(messages: list[dict[str, Any]], **keys: Any) -> Run:
    mapping = {"horizon": "300 blocks", "start": START, "charging": "rate", "messages": messages, **keys}
    return run(scenario_from_mapping(mapping), audit=True)


def answers(result: Run) -> list[str]:
    return [receipt["result"] for receipt in result.summary["messages"]["receipts"]]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_cases_are_answered_as_they_say_and_as_the_bare_chain_does(path: Path) -> None:
    scenario = load_scenario(path)
    receipts: list[dict[str, Any]] = []
    clock, _ = play(scenario, prepare(scenario, 1), 1, audit=True, receipts=receipts)
    assert [receipt for receipt in receipts if "expected" in receipt] == []
    assert len(receipts) == len(scenario.messages) > 2
    # The same through the chain's own edge, where what is due in a block comes before its messages.
    start = scenario.start.model_dump(mode="json")
    start["wallets"] = {name: amount // 10**18 for name, amount in scenario.start.wallets.items()}
    chain = Chain(scenario.rules, scenario.quirks, start=start, charging=scenario.charging)
    if scenario.rules == "seed":
        assert scenario.grace is not None and scenario.order_timeout is not None
        chain.execute(
            {"op": "set_params", "params": {
                "grace": scenario.grace.blocks(6000),
                "order_timeout": scenario.order_timeout.blocks(6000),
                "usage_grace": scenario.usage_grace.blocks(6000),
            }},
            0,
        )  # fmt: skip
    found = []
    for message in scenario.messages:
        chain.advance(message["height"])
        (receipt,), _ = chain.execute_block(message["height"], [message])
        found.append(receipt.result)
    chain.advance(scenario.horizon_blocks)
    assert found == [receipt["result"] for receipt in receipts]
    assert totals(chain.state) == totals(clock.chain)


def test_messages_of_a_block_run_in_their_order_and_before_its_phases() -> None:
    result = ran([
        deploy(5),
        bid(5, "ada/1/1/1/north"),
        say(5, "create_lease", "ada/1/1/1/north"),
        # funds end in block 105, where the account would settle by itself: the message is first
        say(106, "withdraw", "ada/1/1/1/north"),
    ])  # fmt: skip
    assert answers(result) == ["ok"] * 4
    assert result.summary["shortfall"] == "10"
    assert result.summary["leases"]["insufficient_funds"] == 1
    late = ran([*result.record.meta["scenario"]["messages"][:3], say(107, "withdraw", "ada/1/1/1/north")])
    assert answers(late)[-1] == "PaymentClosed"
    assert late.summary["escrow"]["paid"] == result.summary["escrow"]["paid"]


def test_governance_follows_the_messages_of_its_block() -> None:
    result = ran(
        [deploy(2), bid(3, "ada/1/1/1/north"), deploy(3, "ada/2", "1500"), bid(4, "ada/2/1/1/north")],
        governance=[
            {"height": 3, "op": "block", "provider": "north"},
            {"height": 3, "op": "set_params", "params": {"deployment_min_deposit": 2000}},
            {"height": 9, "op": "settle", "id": "ada/1"},
            {"height": 10, "op": "unblock", "provider": "nobody"},
        ],
    )
    said = [(r["height"], r["op"], r["result"]) for r in result.summary["messages"]["receipts"]]
    assert said == [
        (2, "create_deployment", "ok"),
        (3, "create_bid", "ok"),
        (3, "create_deployment", "ok"),
        (3, "block_provider", "ok"),
        (3, "set_params", "ok"),
        (4, "create_bid", "ProviderBlocked"),
        (9, "settle_escrow", "ok"),
        (10, "unblock_provider", "ProviderNotFound"),
    ]
    assert result.summary["messages"]["refused"] == {"ProviderBlocked": 1, "ProviderNotFound": 1}
    assert result.summary["bids"]["submitted"] == 2
    assert result.summary["bids"]["accepted"] == 1


def test_a_run_of_messages_alone_counts_and_records_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    arguments = ["run", str(CASES / "seed" / "out-of-funds.yaml"), "--no-figures", "--out", str(out)]
    assert main([*arguments, "--json", "--record", "everything", "--audit"]) == 0
    summary = json.loads(capsys.readouterr().out)
    messages = summary["messages"]
    assert messages["sent"] == len(messages["receipts"]) == messages["ok"] + 4
    assert messages["refused"] == {"AccountClosed": 1, "AccountOverdrawn": 1, "PaymentClosed": 2}
    assert messages["receipts"][5] == {
        "height": 4, "op": "activate_lease", "id": "ada/1/1/1/north", "result": "ok",
    }  # fmt: skip
    assert summary["revenue"]["by_cohort"] == {"by hand": summary["revenue"]["total"]}
    assert summary["leases"]["close_reasons"]["insufficient_funds"] == 2
    assert json.loads((out / "summary.json").read_text()) == summary
    assert main(["report", str(out), "--no-figures"]) == 0
    assert "AccountOverdrawn" in capsys.readouterr().out
    assert "AccountOverdrawn" in (out / "report.md").read_text()


def test_desks_quote_on_hand_made_orders_and_nobody_chooses() -> None:
    mapping = tiny()
    mapping |= {"record": "everything", "horizon": "400 blocks"}
    plain = simulated(mapping)
    price = "1000000"
    group = GROUP | {"resources": [UNIT | {"price": price, "cpu": 1000}]}
    mapping["start"] = {"wallets": {"zoe": "10VE"}}
    mapping["messages"] = [deploy(2, "zoe/1", "5000000") | {"groups": [group]}]
    offered = simulated(mapping)
    names = offered.record.providers["name"]
    assert offered.record.bids is not None
    mine = offered.record.orders["tenant"] == offered.record.tenants["name"].index("zoe")
    (row,) = mine.nonzero()[0]
    bidders = {names[slot] for slot in offered.record.bids["provider"][offered.record.bids["order"] == row]}
    assert bidders
    assert offered.record.orders["lease"][row] == -1
    assert offered.record.orders["value_whole"][row] == 0
    assert offered.record.orders["bids"][row] == len(bidders)
    assert "messages" not in plain.summary
    assert offered.summary["orders"]["timed_out"] == plain.summary["orders"]["timed_out"] + 1
    winner = sorted(bidders)[0]
    mapping["messages"] += [
        say(20, "create_lease", f"zoe/1/1/1/{winner}"),
        say(60, "close_deployment", "zoe/1"),
    ]
    leased = simulated(mapping)
    assert answers(leased) == ["ok"] * 3
    (row,) = (leased.record.orders["tenant"] == leased.record.tenants["name"].index("zoe")).nonzero()[0]
    lease = leased.record.orders["lease"][row]
    assert names[leased.record.leases["provider"][lease]] == winner
    assert leased.record.leases["closed_at"][lease] == 60
    slot = names.index(winner)
    assert leased.record.providers["unit_blocks_cpu"][slot] >= 1000 * 40
    won = offered.record.providers["won"].sum()
    assert leased.record.providers["won"].sum() == won + 1


def test_a_hand_made_lease_is_withdrawn_by_its_desk_under_virtengine() -> None:
    mapping = tiny()
    for key in ("settle_every", "grace", "order_timeout", "escrow", "charging", "take", "network_fees"):
        del mapping[key]
    mapping |= {"rules": "virtengine", "horizon": "400 blocks", "withdraw_every": "50 blocks"}
    mapping |= {"network_fees": False}
    group = GROUP | {"resources": [UNIT | {"price": "1000000", "cpu": 1000}]}
    mapping["start"] = {"wallets": {"zoe": "10VE"}}
    mapping["messages"] = [deploy(2, "zoe/1", "5000000") | {"groups": [group]}]
    first = simulated(mapping | {"record": "everything"})
    assert first.record.bids is not None
    zoe = first.record.tenants["name"].index("zoe")
    (row,) = (first.record.orders["tenant"] == zoe).nonzero()[0]
    slot = int(first.record.bids["provider"][first.record.bids["order"] == row][0])
    name = first.record.providers["name"][slot]
    mapping["messages"].append(say(20, "create_lease", f"zoe/1/1/1/{name}"))
    second = simulated(mapping)
    assert answers(second) == ["ok", "ok"]
    lease = second.record.orders["lease"][row]
    leases = second.record.leases
    price = int(leases["price_whole"][lease]) * 10**18 + int(leases["price_atto"][lease])
    assert leases["withdrawn"][lease] == 7 * (price * 50 // 10**18) > 0


def test_network_fees_are_taken_also_from_messages_by_hand() -> None:
    mapping: dict[str, Any] = {
        "rules": "virtengine",
        "horizon": "50 blocks",
        "start": START | {"wallets": {"ada": 20_000, "north": 5_000, "south": 100}},
        "messages": [
            deploy(2), bid(3, "ada/1/1/1/north"), bid(3, "ada/1/1/1/south"),
            say(4, "create_lease", "ada/1/1/1/north"), say(4, "create_lease", "ada/1/1/1/north"),
        ],
    }  # fmt: skip
    free = run(scenario_from_mapping(mapping | {"network_fees": False}))
    assert answers(free) == ["ok", "ok", "InvalidDeposit", "ok", "BidNotOpen"]
    assert free.summary["network_fees"] == "0"
    result = run(scenario_from_mapping(mapping), audit=True)
    # south's 100 uve do not pay for the gas of a bid: no block takes it
    assert answers(result) == ["ok", "ok", "InsufficientFunds", "ok", "BidNotOpen"]
    gas = (120_000, 110_000, 129_000, 40_000)
    assert result.summary["network_fees_uve"] == sum(-(-g * 375 // 10_000) for g in gas)
    # the fee goes first: 4,500 of 5,400 uve leave too little for the deposit
    poor = mapping | {"start": START | {"wallets": {"ada": 5_400}}, "messages": [deploy(2)]}
    result = run(scenario_from_mapping(poor), audit=True)
    assert answers(result) == ["InvalidDeposit"]
    assert result.summary["network_fees_uve"] == 1_500


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            {"messages": [{"height": 2, "op": "create_lease"}]},
            "scenario: messages.0: id is missing; create_lease takes id",
        ),
        (
            {"messages": [bid(3, "ada/1/1/1/north") | {"prize": "1"}]},
            "scenario: messages.0: 'prize' is no argument; create_bid takes id, price, deposit, sources, offer if",
        ),
        ({"messages": [deploy(2) | {"groups": [{}]}]}, "scenario: messages.0.resources: missing in a create_deployment"),
        ({"messages": [deploy(2) | {"deposit": "ten"}]}, "scenario: messages.0.deposit: 'ten' is not a whole number"),
        ({"messages": [deploy(2), bid(3, "ada/1/1/1/north", "0x1")]}, "scenario: messages.1.price: '0x1'"),
        ({"messages": [deploy(2) | {"groups": 3}]}, "scenario: messages.0: create_deployment: has a value of the wrong"),
        ({"messages": [deploy(2) | {"id": 17}]}, "scenario: messages.0"),
        ({"start": START | {"params": {"speed": 1}}}, "scenario: start.params.speed: is no parameter"),
        (
            {"governance": [{"height": 2, "op": "set_params", "params": {"speed": 1}}]},
            "scenario: governance.0.params.speed: is no parameter",
        ),
        ({"start": START | {"wallets": {"ada": "9000000000000VE"}}}, "scenario: start.wallets: "),
        ({"market": {"generator": "rm1"}}, "scenario: messages: stands beside market"),
    ],
)
def test_what_is_no_message_is_bad_input(keys: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError) as caught:
        ran(**({"messages": [deploy(2)]} | keys))
    assert caught.value.lines[0].startswith(line)


def test_a_wrong_expectation_is_named() -> None:
    result = ran([deploy(2, result="InvalidDeposit"), bid(3, "ada/1/1/1/north") | {"result": "ok"}])
    first, second = result.summary["messages"]["receipts"]
    assert first["expected"] == "InvalidDeposit"
    assert "expected" not in second


def test_names_stand_for_addresses_also_beside_cohorts() -> None:
    """Quirk losing_bids_stay tells the loser of the lowest name, whichever bid was first."""
    messages = [
        deploy(2), bid(3, "ada/1/1/1/west"), bid(3, "ada/1/1/1/south"), bid(3, "ada/1/1/1/north"),
        say(4, "create_lease", "ada/1/1/1/west"),
        say(5, "close_bid", "ada/1/1/1/north", reason=10001), say(5, "close_bid", "ada/1/1/1/south", reason=10001),
    ]  # fmt: skip
    start = START | {"wallets": dict.fromkeys(("ada", "north", "south", "west"), 5000)}
    start["providers"] = {"west": {}, "south": {}, "north": {}}
    result = ran(messages, start=start, quirks=["losing_bids_stay"])
    assert answers(result)[-2:] == ["UnknownLeaseForBid", "ok"]


def test_the_page_s_example_runs_as_it_says(tmp_path: Path) -> None:
    page = (SCENARIOS.parent / "docs" / "messages.md").read_text("utf-8")
    path = tmp_path / "two-bids.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    receipts = run(load_scenario(path)).summary["messages"]["receipts"]
    assert len(receipts) == 6
    assert all("expected" not in receipt for receipt in receipts)
    for operation, arguments in ARGUMENTS.items():
        row = next(line for line in page.splitlines() if line.startswith("| ") and f"`{operation}`" in line)
        assert all(f"`{name}`" in row for name in arguments if name != "signer")
