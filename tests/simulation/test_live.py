"""A market that is held: told, advanced, asked, forked, and at the end what the same scenario run at once is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marketsim import InputError, Market, run
from marketsim.chain.columns import Lease
from marketsim.chain.edge import Chain
from marketsim.market.fingerprint import settled
from marketsim.scenario import Scenario, load_scenario, scenario_from_mapping

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
SHIPPED = [*sorted(SCENARIOS.glob("*.yaml")), *sorted(SCENARIOS.glob("cases/*/*.yaml"))]
HEIGHT, STEPS = 400, 60
"""How long markets of cohorts are held here, cases to their own end; in about how many steps."""
PRICED = {
    "name": "own",
    "strategy": {"python": "marketsim.strategies.rules:MonthlyTargetScript"},
    "capacity": {"cpu": 64_000, "memory": "64Gi", "storage": "1Ti"},
}
UNIT = {"price": "1000000", "count": 1, "cpu": 1000, "memory": 1 << 30, "storage": 1 << 30}


@cache
def shipped(path: Path) -> Scenario:
    own = load_scenario(path)
    if path.parent != SCENARIOS:
        return own
    return load_scenario(path, ["warm_up=100 blocks", f"horizon={min(HEIGHT, own.horizon_blocks)} blocks"])


@cache
def at_once(path: Path) -> dict[str, Any]:
    return told(run(shipped(path)).summary)


def told(summary: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps({key: value for key, value in summary.items() if key != "timing"}))
    return found


def small(hours: int = 12) -> Scenario:
    return load_scenario(SCENARIOS / "small.yaml", [f"horizon={hours}h", "warm_up=1h"])


def steps(last: int, seed: int) -> Iterator[int]:
    """Heights at which a market stops: each block at first, then at random."""
    rng = np.random.default_rng(seed)
    yield from range(1, min(20, last))
    yield from sorted({int(at) for at in rng.integers(min(20, last), last + 1, STEPS)})
    yield last


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_stepped_looked_at_and_forked_it_is_the_run_at_once(path: Path) -> None:
    market = Market(shipped(path))
    middle = market.scenario.horizon_blocks // 2
    fork = None
    for height in steps(market.scenario.horizon_blocks, 1):
        market.advance(height)
        view = market.view()
        view.leases(limit=5), view.orders(state="open"), view.accounts(limit=3), view.wallets(limit=3)
        if fork is None and height >= middle:
            fork = market.fork()
            assert (fork.fingerprint(), fork.state_hash()) == (market.fingerprint(), market.state_hash())
    assert fork is not None
    found = told(market.finish().summary)
    assert found == at_once(path)
    assert told(fork.finish().summary) == found
    assert fork.state_hash() == market.state_hash()


def test_a_look_leaves_every_table_as_it_is_and_says_what_settling_would() -> None:
    market = Market(small())
    market.advance(7_000)
    clock = market._play.clock
    tables: list[Any] = [*clock.chain, *clock.engine]
    before = [table.copy() for table in tables]
    view = market.view()
    one_by_one = [view.lease(lease.id) for lease in view.leases(state="active", limit=200)]
    market.state_hash()
    assert all(np.array_equal(table, copy) for table, copy in zip(tables, before, strict=True))
    whole = settled(clock.chain, clock.engine)
    names = {market.view()._leases([row])[0].id: row for row in range(int(whole.globals.leases))}
    assert len(one_by_one) == 200
    for lease in one_by_one:
        assert lease is not None
        row = names[lease.id]
        assert int(whole.leases[row, Lease.withdrawn]) == lease.withdrawn
        assert int(lease.balance) == int(whole.leases[row, Lease.balance])


def test_a_view_stays_as_it_was_when_the_market_goes_on() -> None:
    market = Market(small())
    market.advance("1h")
    kept, other = market.view(), market.fork()
    market.advance("5h")
    fresh = other.view()
    assert kept.height == fresh.height == 600
    for name in ("deployments", "orders", "bids", "leases", "accounts", "providers", "wallets"):
        assert getattr(kept, name)() == getattr(fresh, name)() != getattr(market.view(), name)()


def test_pages_hold_on_where_the_one_before_ended() -> None:
    market = Market(small())
    market.advance("3h")
    view, found, after = market.view(), [], -1
    while True:
        page = view.leases(state="active", after=after, limit=7)
        found += page
        if page.next is None:
            break
        after = page.next
    assert tuple(found) == view.leases(state="active")
    mine = view.leases(owner=found[0].owner, provider=found[0].provider)
    assert found[0] in mine
    assert {lease.owner for lease in mine} == {found[0].owner}
    assert view.order(found[0].order).lease == found[0].id  # type: ignore[union-attr]
    assert view.bid(found[0].id).state == "active"  # type: ignore[union-attr]
    assert view.lease("nobody/1/1/1/large-0") is None
    assert view.account("web-0") is None


def deploy(owner: str, dseq: int) -> dict[str, Any]:
    return {
        "op": "create_deployment", "id": f"{owner}/{dseq}", "deposit": "5000000", "sources": ["balance"],
        "groups": [{"name": "g", "resources": [UNIT]}],
    }  # fmt: skip


def test_a_message_goes_into_the_next_block_and_its_receipt_says_what_happened() -> None:
    market = Market(scenario_from_mapping(small().effective() | {"start": {"wallets": {"zoe": "10VE"}}}, SCENARIOS))
    market.advance("1h")
    sent = market.submit(deploy("zoe", 9))
    assert market.receipt(sent) is None
    market.advance("1 block")
    receipt = market.receipt(sent)
    assert receipt is not None
    assert (receipt.height, receipt.result, receipt.id, receipt.gas) == (601, "ok", "zoe/9", 120_000)
    assert [event["event"] for event in receipt.events] == ["DeploymentCreated", "Deposited", "GroupOpened", "OrderCreated"]
    market.advance("20 blocks")
    bids = market.bids(order="zoe/9/1/1")
    assert bids
    stolen = market.submit({"op": "create_lease", "id": bids[0].id}, signer="mallory")
    taken = market.submit({"op": "create_lease", "id": bids[0].id})
    assert market.advance_until(taken, "1h").met
    assert market.receipt(stolen).result == "Unauthorized"  # type: ignore[union-attr]
    assert market.receipt(taken).result == "ok"  # type: ignore[union-attr]
    assert market.view().lease(bids[0].id).price == bids[0].price  # type: ignore[union-attr]
    assert market.fork().view().lease(bids[0].id) is not None


def test_advance_acts_when_it_is_called_and_tells_of_its_slices() -> None:
    market = Market(small())
    market.advance(10)
    assert market.height == 10
    market.advance("1h")
    assert market.height == 610
    market.advance("5 blocks")
    assert [step.height for step in market.advance(700, budget_blocks=40)] == [655, 695, 700]
    slices = market.slices(800, budget_blocks=50)
    assert market.height == 700
    assert next(slices).height == market.height == 750
    met = market.advance_until("LeaseCreated", "2h")
    assert met.met
    assert market.events(limit=10**6).events[-1]["height"] == met.height == market.height
    assert market.advance_until(lambda held: len(held.orders(state="open")) > 0, "2h").met


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (lambda market: market.advance(5), "advance: block 5 lies behind, the market stands at 10"),
        (lambda market: market.advance("soon"), "advance: 'soon' is not a duration"),
        (lambda market: market.advance("13h"), "advance: block 7810 lies behind the horizon (block 7200)"),
        (lambda market: market.advance(True), "advance: True is neither a height nor a time"),
        (lambda market: market.submit({"op": "jump"}), "message: 'jump' is not a message"),
        (lambda market: market.submit({"op": "withdraw"}), "message: id is missing; withdraw takes id"),
        (lambda market: market.submit({"op": "withdraw", "id": "a", "height": 10}), "message: block 10 is executed, the next one is 11"),
        (lambda market: market.submit({"op": "set_params", "params": {"speed": 1}}), "message.params.speed: is no parameter"),
        (lambda market: market.orders(state="opn"), "state: 'opn' is no state of an order, expected open"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(wrong: Any, line: str) -> None:
    market = Market(small())
    market.advance(10)
    before = market.state_hash(), market.fingerprint(), list(market._names.wallets)
    with pytest.raises(InputError) as caught:
        wrong(market)
    assert caught.value.lines[0].startswith(line)
    assert (market.state_hash(), market.fingerprint(), list(market._names.wallets)) == before


def test_forks_go_their_own_ways_and_a_snapshot_comes_back() -> None:
    market = Market(small())
    market.advance("2h")
    kept = market.snapshot()
    fork = market.fork()
    assert fork.origin is not None
    assert fork.origin.by == "copy"
    fork.submit({"op": "set_params", "params": {"take_percent": 50}})
    fork.advance("4h")
    market.advance("4h")
    assert fork.fingerprint() != market.fingerprint()
    assert len(market.log) == 0
    again = Market.restore(kept)
    assert again.height == 1_200
    again.advance("4h")
    assert (again.fingerprint(), again.state_hash()) == (market.fingerprint(), market.state_hash())
    assert Market.restore(kept).height == 1_200


def test_a_market_with_users_prices_is_forked_by_replay() -> None:
    mapping = load_scenario(SCENARIOS / "small.yaml", ["horizon=2h", "warm_up=0s"]).effective()
    mapping["providers"].append(PRICED)
    market = Market(mapping)
    market.advance("20m")
    market.submit({"op": "set_params", "params": {"take_percent": 5}})
    market.advance("20m")
    fork = market.fork()
    assert fork.origin is not None
    assert fork.origin.by == "replay"
    assert "Python" in fork.origin.reason
    assert (fork.fingerprint(), fork.state_hash()) == (market.fingerprint(), market.state_hash())
    assert told(fork.finish().summary) == told(market.finish().summary)


def test_the_log_is_all_there_is_beside_scenario_and_seed() -> None:
    scenario = scenario_from_mapping(small(6).effective() | {"start": {"wallets": {"zoe": "10VE"}}}, SCENARIOS)
    market = Market(scenario)
    for height, message in ((50, deploy("zoe", 1)), (900, deploy("nobody", 2)), (2000, {"op": "close_deployment", "id": "zoe/1"})):
        market.advance(height)
        market.submit(message)
    market.submit({"op": "settle_escrow", "id": "web-0/1", "height": 2_500})
    summary = told(market.finish().summary)
    again = Market(scenario)
    for entry in market.log:
        again.submit({**entry.message, "height": entry.height}, signer=entry.signer)
    assert told(again.finish().summary) == summary
    assert summary["messages"]["sent"] == 4


def test_a_notebook_shows_height_money_and_fill_rate() -> None:
    market = Market(small())
    assert "none yet" in market._repr_html_()
    market.advance("3h")
    shown = market._repr_html_()
    figures = market.figures()
    assert f"{figures['fill_rate']:.1%}" in shown
    assert f"{figures['held']:,} uve" in shown
    assert "1,800 of 7,200 (3.0 h)" in shown
    assert figures["orders"] == len(market.orders())
    assert "<table>" in market.orders(limit=3)._repr_html_()


def test_a_state_hash_knows_names_and_no_rows() -> None:
    """With and without bids that are kept rows differ, and the hash does not."""
    plain, kept = (Market(small(), messages=messages) for messages in (False, True))
    plain.advance("6h")
    kept.advance("6h")
    assert int(plain._play.clock.chain.globals.bids) < int(kept._play.clock.chain.globals.bids)
    assert plain.state_hash() == kept.state_hash()
    kept.submit({"op": "set_params", "params": {"grace": 77}})
    plain.advance("1 block")
    kept.advance("1 block")
    assert plain.state_hash() != kept.state_hash()


def test_the_page_prints_what_it_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    page = (SCENARIOS.parent / "docs" / "live.md").read_text("utf-8")
    code, rest = page.split("```python\n")[1].split("```\n", 1)
    printed = [line.removeprefix("    ") for line in rest.strip("\n").split("\n\n")[0].splitlines()]
    monkeypatch.chdir(SCENARIOS.parent)
    exec(code, {})
    assert capsys.readouterr().out.splitlines() == printed


def test_a_market_is_told_what_no_chain_would_take() -> None:
    market = Market(small(), audit=True)
    market.advance("2h")

    def answer(message: dict[str, Any], signer: str | None = None) -> str:
        ticket = market.submit(message, signer=signer)
        market.advance("1 block")
        receipt = market.receipt(ticket)
        assert receipt is not None
        return receipt.result

    assert answer({"op": "outage", "provider": "large/0", "lasts": "1h"}) == "ok"
    assert [each.name for each in market.providers() if not each.up] == ["large-0"]
    assert not market.leases(state="active", provider="large-0")
    assert answer({"op": "repair", "provider": "large-0"}, "mallory") == "Unauthorized"
    assert answer({"op": "repair", "provider": "large-0"}, "governance") == "ok"
    assert all(each.up for each in market.providers())
    assert answer({"op": "outage", "provider": "nobody", "lasts": "1h"}) == "ProviderNotFound"
    assert answer({"op": "faucet", "wallet": "zoe", "amount": 7_000_000}) == "ok"
    assert market.view().wallet("zoe").balance == 7_000_000  # type: ignore[union-attr]
    assert answer(deploy("zoe", 9)) == "ok"
    before = market.fork()
    off = {"bid_engine": {"enabled": False}}
    assert answer({"op": "configure", "provider": "large-0", "changes": off}) == "ok"
    assert answer({"op": "configure", "provider": "large-0", "changes": {"bid_engine": {"speed": 1}}}) == "InvalidParam"
    assert answer({"op": "configure", "provider": "large-0", "changes": {"filters": {"max_cpu": 1}}}) == "ok"
    for each in (market, before):
        each.advance(2_000)
    submitted = [each.view().provider("large-0").submitted for each in (market, before)]  # type: ignore[union-attr]
    assert submitted[0] < submitted[1]
    again = Market(small(), audit=True)
    for entry in market.log:
        again.submit({**entry.message, "height": entry.height}, signer=entry.signer)
    assert told(again.finish().summary) == told(market.finish().summary)
    for wrong, line in (
        ({"op": "outage", "provider": "large-0"}, "message.lasts: missing, outage takes provider and lasts"),
        ({"op": "faucet", "wallet": "a", "amount": -1}, "message.amount: -1 is no amount"),
        ({"op": "repair", "provider": "large-0", "speed": 1}, "message.speed: is no argument"),
    ):
        with pytest.raises(InputError) as caught:
            Market(small()).parse(wrong)
        assert caught.value.lines[0].startswith(line)


def test_a_market_without_an_end_is_that_of_every_longer_horizon() -> None:
    """Across the end of the first week, with tenants who react, bursts, an exact number of orders, forks and messages."""
    mapping = small().effective()
    mapping["tenants"][0] |= {
        "react": {"retry": 1, "raise_ceiling": 1.2},
        "demand": {"arrivals": "4/h", "bursts": {"every": "9h", "factor": 3, "lasts": "1h"}},
    }
    mapping["tenants"][1]["demand"] = {"orders": 60, "within": "8d"}
    mapping["horizon"], mapping["block_time"] = "9d", "30s"
    closed = Market(scenario_from_mapping(mapping, SCENARIOS))
    mapping["horizon"] = "2d"
    held = Market(scenario_from_mapping(mapping, SCENARIOS), open_end=True)
    for height in (2_000, 17_000, 21_000, 24_000):
        for market in (closed, held):
            market.advance(height)
            market.submit({"op": "set_params", "params": {"take_percent": 3}})
        assert held.fingerprint() == closed.fingerprint()
        held = held.fork()
    assert held.state_hash() == closed.state_hash()
    with pytest.raises(InputError, match="without an end has no last block"):
        held.finish()


def test_the_chain_of_names_can_be_copied() -> None:
    chain = Chain("seed", start={"wallets": {"ada": "5000"}})
    other = chain.copy(chain.state.copied(), chain._eligibility.copy())
    other.wallet("bob")
    assert "bob" not in chain.wallet_names
    assert other.row_of("wallet", "ada") == chain.row_of("wallet", "ada")


# --- between steps as in the file -----------------------------------------------------------------------------------------------------


def bid(name: str) -> dict[str, Any]:
    return {"op": "create_bid", "id": name, "price": "1.5", "deposit": "500000", "sources": ["balance"]}


def plan_of(seed: int, last: int) -> list[dict[str, Any]]:
    """Messages at random heights: sensible ones, refused ones, by strangers, about the background's deployments and about their own."""
    rng = np.random.default_rng(seed)
    names, own = ["zoe", "ann", "north", "large-0", "web-3"], [f"{who}/{dseq}" for who in ("zoe", "ann", "web-3") for dseq in (7, 8)]

    def pick(values: list[str]) -> str:
        return values[int(rng.integers(len(values)))]

    def about() -> str:
        return pick([*own, f"web-{rng.integers(12)}/{rng.integers(1, 400)}", "batch-1/1"])

    def message() -> dict[str, Any]:
        sources, order = ["balance"], f"{about()}/1/1"
        return [
            lambda: deploy(*pick(own).split("/")),  # type: ignore[arg-type]
            lambda: bid(f"{order}/{pick(['north', 'south', 'large-1'])}"),
            lambda: {"op": "create_lease", "id": f"{order}/{pick(['north', 'large-0', 'large-1', 'local-2'])}"},
            lambda: {"op": "close_deployment", "id": about()},
            lambda: {"op": "close_lease", "id": f"{order}/{pick(['north', 'large-0', 'large-1'])}", "signer": pick(names)},
            lambda: {"op": "account_deposit", "id": about(), "signer": pick(names), "deposit": "1000", "sources": sources},
            lambda: {"op": "create_provider", "provider": pick(["north", "south", "zoe"])},
            lambda: {"op": "grant", "granter": pick(names), "signer": pick(names), "limit": "50000", "scopes": ["deployment"]},
            lambda: {"op": "set_params", "params": {"take_percent": int(rng.integers(9))}},
            lambda: {"op": "block_provider", "provider": pick(["north", "large-0", "local-1", "nobody"])},
            lambda: {"op": "unblock_provider", "provider": "large-0"},
            lambda: {"op": "withdraw", "id": f"{order}/{pick(['north', 'large-0'])}"},
            lambda: {"op": "settle_escrow", "id": about()},
        ][int(rng.integers(13))]()  # fmt: skip

    heights = np.sort(rng.integers(1, last + 1, int(rng.integers(5, 30)))).tolist()
    return [{"height": int(height), **message()} for height in heights]


@pytest.mark.parametrize("seed", range(40))
def test_messages_between_steps_give_what_they_give_in_the_file(seed: int) -> None:
    base = small().effective() | {"horizon": "40m", "warm_up": "5m", "network_fees": seed % 3 == 0, "seed": seed % 5 + 1}
    base["start"] = base["start"] | {"wallets": {"zoe": "100VE", "ann": "3VE", "north": "2VE"}, "providers": {"north": {}}}
    plan = plan_of(seed, 400)
    written = run(scenario_from_mapping(base | {"messages": plan}, SCENARIOS), audit=True)
    market = Market(scenario_from_mapping(base, SCENARIOS), audit=True)
    tickets = []
    rng = np.random.default_rng(seed)
    for message in plan:
        if market.height < message["height"] - 1:
            market.advance(int(rng.integers(market.height, message["height"])))
            market.view().leases(limit=3)
            market.advance(message["height"] - 1)
        tickets.append(market.submit({key: value for key, value in message.items() if key != "height"}))
        if rng.random() < 0.1:
            market = market.fork()
    held = market.finish()
    told_written, told_held = told(written.summary), told(held.summary)
    assert told_held == told_written
    results = [market.receipt(ticket) for ticket in tickets]
    assert [each.result for each in results if each] == [each["result"] for each in told_written["messages"]["receipts"]]
    for table in ("orders", "leases"):
        mine, theirs = getattr(held.record, table), getattr(written.record, table)
        assert all(np.array_equal(mine[name], theirs[name]) for name in theirs if name != "tenant")
    assert held.record.providers["name"] == written.record.providers["name"]
    owners = [[record.tenants["name"][row] for row in record.orders["tenant"]] for record in (held.record, written.record)]
    assert owners[0] == owners[1]
