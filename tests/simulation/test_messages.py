"""Messages and governance by hand: their order, their receipts, and how a running market takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_market import heights, leases, provider, tenant
from hand_market import play as play_market

from marketsim import Market
from marketsim.chain.columns import EventKind
from marketsim.chain.edge import Chain
from marketsim.chain.ledger import totals
from marketsim.chain.parsing import ARGUMENTS, NEEDED, SIGNERS, MessageError, parse
from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.market.loop import fold_some
from marketsim.metrics.summary import summarize
from marketsim.scenario import load_scenario, scenario_from_mapping
from marketsim.simulation import Run, run
from marketsim.simulation.play import Play, play, prepare, versions

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


@pytest.mark.parametrize("horizon", ["300 blocks", "20d"], ids=["a sample an hour", "a sample a day"])
@pytest.mark.parametrize("fees", [False, True], ids=["no fees", "fees"])
def test_a_provider_has_what_its_leases_earned_when_it_bids(horizon: str, fees: bool) -> None:
    """It has what one bid takes and earns 10 a block, settled 100 blocks after its lease began; with fees, a bid takes 8 more."""
    result = ran(
        [
            deploy(5, deposit="40000"),
            bid(5, "ada/1/1/1/south"),
            say(5, "create_lease", "ada/1/1/1/south"),
            deploy(80, "ada/2"),
            bid(105, "ada/2/1/1/south"),
            bid(106, "ada/2/1/1/south"),
        ],
        start=START | {"wallets": START["wallets"] | {"south": 510 if fees else 500}},
        settle_every="100 blocks",
        horizon=horizon,
        network_fees=fees,
        gas_price="0.000045uve",
    )
    # A block's messages come before its settlements: those of block 105 are not there for its own.
    assert answers(result) == ["ok"] * 4 + ["InsufficientFunds" if fees else "InvalidDeposit", "ok"]


def test_a_provider_sends_on_what_its_leases_earned() -> None:
    """A lease at 10 a block since block 5 has paid 800 of its 1,000 by block 106, after a take of a fifth."""
    messages = [deploy(5, deposit="40000"), bid(5, "ada/1/1/1/south"), say(5, "create_lease", "ada/1/1/1/south")]
    keys = {"horizon": "300 blocks", "charging": "rate", "settle_every": "100 blocks", "take": 0.2, "messages": messages}
    market = Market(scenario_from_mapping(keys | {"start": START | {"wallets": START["wallets"] | {"south": 500}}}))
    sent = []
    for height, amount in ((105, 1), (106, 801), (106, 800)):
        market.advance(height - 1)
        sent.append(market.submit({"op": "send", "wallet": "south", "to": "ada", "amount": amount}))
    market.advance(106)
    receipts = [market.receipt(ticket) for ticket in sent]
    assert [receipt and (receipt.height, receipt.result) for receipt in receipts] == [
        (105, "InsufficientFunds"),
        (106, "InsufficientFunds"),
        (106, "ok"),
    ]


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


# --- who signs, what is malformed, who comes later -------------------------------------------------------------------------------------

EVERY: dict[str, dict[str, Any]] = {
    "create_deployment": {"id": "ada/7", "deposit": "1000", "sources": ["balance"], "hash": "a", "groups": [GROUP]},
    "update_deployment": {"id": "ada/1", "hash": "b"},
    "close_deployment": {"id": "ada/1"},
    "close_group": {"id": "ada/1/1"},
    "pause_group": {"id": "ada/1/1"},
    "start_group": {"id": "ada/1/1"},
    "create_bid": {"id": "ada/1/1/1/south", "price": "10", "deposit": "500", "sources": ["balance"]},
    "close_bid": {"id": "ada/1/1/1/north", "reason": 10000},
    "create_lease": {"id": "ada/1/1/1/north"},
    "close_lease": {"id": "ada/1/1/1/north"},
    "withdraw": {"id": "ada/1/1/1/north"},
    "activate_lease": {"id": "ada/1/1/1/north"},
    "start_reclaim": {"id": "ada/1/1/1/north", "reason": 10000},
    "account_deposit": {"id": "ada/1", "signer": "ada", "deposit": "100", "sources": ["balance"]},
    "grant": {"granter": "ada", "signer": "north", "limit": "5", "scopes": ["bid"]},
    "sign_attributes": {"signer": "auditor", "provider": "north", "attributes": {"a": "b"}},
    "create_provider": {"provider": "west", "attributes": {"a": "b"}},
    "update_provider": {"provider": "north", "attributes": {"a": "b"}},
    "delete_provider": {"provider": "south"},
    "set_params": {"params": {"order_max_bids": 5}},
    "block_provider": {"provider": "north"},
    "unblock_provider": {"provider": "north"},
    "settle_escrow": {"id": "ada/1"},
    "submit_usage": {"id": "ada/1/1/1/north", "metrics": {"cpu": 1}},
}
"""A message of every kind, on a chain where ada/1 has an open bid of north."""


def begun() -> Chain:
    chain = Chain("seed", start=START, charging="rate")
    for height, message in enumerate((deploy(1), bid(2, "ada/1/1/1/north")), 1):
        assert chain.execute(message, height).name == "Ok"
    return chain


def everything(chain: Chain) -> tuple[Any, ...]:
    names = (chain.wallet_names, chain.deployment_names, chain.group_names, chain.order_names, chain.bid_names, chain.lease_names)
    return tuple(map(tuple, names)), tuple(table.tobytes() for table in chain.state), len(chain._texts), len(chain._eligibility.specs)


def test_every_kind_of_message_is_here() -> None:
    assert set(EVERY) == set(ARGUMENTS) == set(SIGNERS)


@pytest.mark.parametrize("operation", EVERY)
def test_a_malformed_message_changes_nothing_at_all(operation: str) -> None:
    chain = begun()
    before = everything(chain)
    names = {"id": "new/9/1/1/newer", "signer": "newest", "provider": "new", "granter": "newer"}
    message = {"op": operation, **EVERY[operation]}
    message |= {key: names[key] for key in names if key in message and not (key == "id" and operation == "create_deployment")}
    for key in ARGUMENTS[operation]:
        with pytest.raises((MessageError, TypeError, ValueError, AttributeError)):
            chain.execute(message | {key: [[]]}, 5)
        assert everything(chain) == before, key
        if ARGUMENTS[operation][key].default is NEEDED:
            with pytest.raises(MessageError):
                chain.execute({name: value for name, value in message.items() if name != key}, 5)
            assert everything(chain) == before, key
    with pytest.raises(MessageError):
        chain.execute(message | {"op": "dance"}, 5)
    assert everything(chain) == before


@pytest.mark.parametrize("operation", EVERY)
def test_who_must_sign_may_be_left_out_and_another_is_refused(operation: str) -> None:
    message = {"op": operation, **EVERY[operation]}
    alone = begun().execute(message, 5)
    must = parse(message).must
    if operation == "grant":  # `signer` names the grantee
        assert must == "ada"
        return
    if not must:
        assert operation in {"account_deposit", "sign_attributes"}
        return
    assert must == {"owner": "ada", "provider": "north", "governance": "governance"}.get(SIGNERS[operation], must) or operation in {
        "create_bid", "create_provider", "delete_provider",
    }  # fmt: skip
    assert begun().execute(message | {"signer": must}, 5) == alone
    chain = begun()
    before = totals(chain.state), list(chain.order_names)
    refused = chain.execute(message | {"signer": "mallory"}, 5)
    assert refused.name == ("UnknownLease" if operation == "submit_usage" else "Unauthorized")
    assert (totals(chain.state), list(chain.order_names)) == before


def test_nobody_closes_another_s_deployment_in_a_run_and_nobody_pays_for_the_attempt() -> None:
    attempt = say(4, "close_deployment", "ada/1", signer="north")
    for rules in ("seed", "virtengine"):
        with_, without = (
            ran([deploy(2), *more, say(9, "close_deployment", "ada/1", signer="ada")], rules=rules) for more in ([attempt], [])
        )
        assert answers(with_)[1] == "Unauthorized"
        assert with_.summary["fingerprint"] == without.summary["fingerprint"]
        assert with_.summary["network_fees"] == without.summary["network_fees"]


def test_a_provider_that_registers_while_a_market_runs_can_bid_and_be_paid() -> None:
    mapping = tiny() | {
        "horizon": "300 blocks",
        "record": "everything",
        "charging": "rate",
        "start": {"wallets": {"ada": 50_000, "west": 10_000}},
    }
    for key in ("bid_min_deposit", "deployment_min_deposit"):
        mapping[key] = "500uve"
    scenario = scenario_from_mapping(mapping, SCENARIOS)
    market = prepare(scenario, 1)
    market.chain.globals.keep_bids = 1
    playing = Play(scenario, market, 1, audit=True)
    playing.advance(20)
    sent: list[tuple[dict[str, Any], str]] = [
        ({"op": "create_provider", "provider": "faraway"}, "Ok"),
        ({"op": "account_deposit", "id": "ada/1", "signer": "ada", "deposit": "1", "sources": ["balance"]}, "AccountNotFound"),
        ({"op": "create_provider", "provider": "west", "attributes": {"tier": "gold"}}, "Ok"),
        ({"op": "create_deployment", **EVERY["create_deployment"], "id": "ada/5", "deposit": "5000"}, "Ok"),
        ({"op": "create_bid", **EVERY["create_bid"], "id": "ada/5/1/1/west"}, "Ok"),
        ({"op": "create_bid", **EVERY["create_bid"], "id": "ada/5/1/1/faraway"}, "InvalidDeposit"),
        ({"op": "create_lease", "id": "ada/5/1/1/west"}, "Ok"),
    ]
    for height, (message, answer) in enumerate(sent, 21):
        assert playing.by_hand.send(height, message).name == answer, message
    clock, collector = playing.finish()
    record = collector.record(clock, versions(), 0.0)
    at = record.providers["name"].index("west")
    assert record.providers["revenue_net"][at] == record.providers["revenue_days"][at].sum() > 1000
    assert record.providers["won"][at] == 1
    assert summarize(record)["conserved"] is True
    mine = np.flatnonzero(record.orders["dseq"] == 5)
    assert [record.tenants["name"][row] for row in record.orders["tenant"][mine]] == ["ada"]


def test_a_newcomer_who_orders_is_a_tenant_of_the_record() -> None:
    scenario = scenario_from_mapping(tiny() | {"horizon": "60 blocks", "deployment_min_deposit": "0uve"}, SCENARIOS)
    playing = Play(scenario, prepare(scenario, 1), 1)
    message = {"op": "create_deployment", **EVERY["create_deployment"], "id": "late/30", "deposit": "0"}
    assert playing.by_hand.send(30, message).name == "Ok"
    assert playing.by_hand.send(31, message | {"id": "north-0/31"}).name == "Ok"
    clock, collector = playing.finish()
    record = collector.record(clock, versions(), 0.0)
    names = [record.tenants["name"][row] for row in record.orders["tenant"]]
    assert {"late", "north-0"} < set(names)
    cohorts = [record.tenant_cohorts[record.tenants["cohort"][record.tenants["name"].index(name)]] for name in ("late", "north-0")]
    assert cohorts == ["by hand", "by hand"]


def test_in_one_instant_nothing_depends_on_who_began_to_wait_first(tmp_path: Path) -> None:
    """A tenant looks at block 22, when a message by hand takes its bid: it sees what was before, whenever hands began to wait."""

    def found(irrelevant: int) -> tuple[int, list[str]]:
        cohort = tenant(tmp_path, "a", [10], react={"retry": 1, "raise_ceiling": 1.1}, never_choose=1.0)
        messages = [
            say(irrelevant, "account_deposit", "nobody/1", signer="nobody", deposit="1", sources=["balance"]),
            say(22, "create_lease", "a-0/10/1/1/p-0"),
        ]
        mapping = {
            "name": "hand", "horizon": "200 blocks", "bid_min_deposit": "10uve", "deployment_min_deposit": "10uve", "charging": "rate",
            "tenants": [cohort], "providers": [provider()], "messages": sorted(messages, key=lambda message: message["height"]),
        }  # fmt: skip
        result = run(scenario_from_mapping(mapping, tmp_path))
        return result.summary["orders"]["created"], sorted(answers(result))

    assert found(5) == found(21) == found(105) == (2, ["InvalidDeposit", "ok"])


def test_parameters_change_after_what_was_due_before_whoever_looked() -> None:
    """The take falls at block 250: what was settled until then bears the old one, with a look before it or without."""

    def paid(look: bool) -> tuple[str, str]:
        messages = [deploy(2, deposit="9000"), bid(3, "ada/1/1/1/north"), say(4, "create_lease", "ada/1/1/1/north")]
        mapping = {"horizon": "300 blocks", "start": START, "charging": "rate", "take": 0.5, "settle_every": "100 blocks"}
        governance = [{"height": 250, "op": "set_params", "params": {"take_percent": 0}}]
        scenario = scenario_from_mapping(mapping | {"messages": messages, "governance": governance})
        playing = Play(scenario, prepare(scenario, 1), 1)
        playing.advance(249)
        if look:
            assert fold_some(playing.clock.chain, playing.clock.engine, 249)
        clock, collector = playing.finish()
        summary = summarize(collector.record(clock, versions(), 0.0, []))
        return summary["escrow"]["fees"], summary["fingerprint"]

    assert paid(False) == paid(True)
    assert int(paid(False)[0]) == 990


def test_a_lease_by_hand_on_a_tenants_order_is_followed_like_its_own(tmp_path: Path) -> None:
    """Sent five blocks before the tenant would choose: what it planned follows from there, and nothing happens twice."""
    played = play_market(
        tmp_path,
        [tenant(tmp_path, "t", [20])],
        [provider(), provider("dear", price="0.002uve")],
        messages=[say(25, "create_lease", "t-0/20/1/1/p-0")],
        start={"wallets": {"ada": 1}},
    )
    assert answers(played) == ["ok"]
    assert heights(played, EventKind.LEASE_CREATED) == [25]
    assert heights(played, EventKind.ORDER_ACTIVATED) == [35]
    assert leases(played) == [(0, 25, 75, 50)]
    assert [int(played.record.providers[name].sum()) for name in ("won", "lost")] == [1, 1]
