"""Charging ve_settlement in a run: figures worked out by hand from protocol reference 5.4, to the last uve.

The market of most tests: one order at block 10, a lease at block 20 at 1 uve a block, active from block 30. Reports
come every 600 blocks from the lease's creation: 590 blocks of use at 620, 600 at each of 1220, 1820, … The clock
starts at block 20, so the block that settles is 14,420, a day of 14,400 blocks later.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hand_market import heights, leases, play, provider, reasons, tenant

from marketsim.chain.columns import EventKind, Lease, PaymentState, Usage, UsageEscrow, UsageEscrowState
from marketsim.chain.escrow import usage_accounts
from marketsim.chain.ledger import AUDIT_SET_ASIDE, AUDIT_SPLIT, account_problem, audit_totals, recount_problems
from marketsim.chain.status import Status
from marketsim.errors import InputError
from marketsim.report.content import make_content
from marketsim.report.explain import explain
from marketsim.scenario import load_scenario
from marketsim.scenario.load import scenario_from_mapping
from marketsim.simulation import Run

running = importlib.import_module("marketsim.simulation.run")
SHIPPED = Path(__file__).parents[3] / "scenarios" / "ve-settlement.yaml"


def paid(folder: Path, *, price: str = "0.001uve", horizon: int = 16_000, **more: Any) -> Run:
    """A run of the market above; `more` goes to its tenant, `rules` and what a scenario has to the scenario."""
    keys = {"rules", "usage_every", "network_fees", "withdraw_every", "charging", "take"}
    whole = {"charging": "ve_settlement"} | {key: more.pop(key) for key in keys & more.keys()}
    asked = {"deposit": "20000uve", "lasts": 15_000} | more
    return play(folder, [tenant(folder, "t", [10], **asked)], [provider(price=price)], horizon=f"{horizon} blocks", **whole)


def settled(market: Run) -> list[tuple[int, int, int, int, int]]:
    """Every settlement as (block, gross, provider, platform, validators)."""
    events = market.record.events
    assert events is not None
    rows = list(zip(*(events[name].tolist() for name in ("height", "kind", "whole", "extra")), strict=True))
    gross = [(h, w) for h, kind, w, _ in rows if kind == EventKind.SETTLED]
    split = [(w, x) for _, kind, w, x in rows if kind == EventKind.FEES_SPLIT]
    net = [(w, x) for _, kind, w, x in rows if kind == EventKind.PAID]
    for (_, total), (platform, validators), (part, fee) in zip(gross, split, net, strict=True):
        assert (part + fee, fee) == (total, platform + validators)
    return [(*g, n[0], *s) for g, s, n in zip(gross, split, net, strict=True)]


def test_a_day_is_settled_by_the_block_and_the_rest_at_the_close(tmp_path: Path) -> None:
    market = paid(tmp_path)
    # blocks 30 … 14,420 and 14,420 … 15,020 at 1 uve; 5 % and 1 % cut off
    assert settled(market) == [(14_420, 14_390, 13_528, 719, 143), (15_020, 600, 564, 30, 6)]
    assert leases(market) == [(0, 20, 15_020, 14_990)]
    assert reasons(market) == {"lease_completed": 1}
    assert heights(market, EventKind.USAGE_RECORDED) == [*range(620, 15_020, 600), 15_020]
    totals = {key: value // 10**18 for key, value in market.record.totals.items()}
    assert (totals["paid"], totals["fees"], totals["platform_fees"], totals["validator_fees"]) == (14_092, 898, 749, 149)
    # 20,000 by the tenant and 10 with the bid were deposited
    assert (totals["refunded"], totals["held"], totals["shortfall"]) == (5_010 + 10, 0, 0)
    assert market.summary["fee_split"] == {
        "platform": "749", "platform_uve": 749, "validators": "149", "validators_uve": 149,
    }  # fmt: skip
    assert market.summary["take"] == "898"
    assert market.summary["revenue"]["total"] == "14092"


def test_only_what_is_used_is_settled(tmp_path: Path) -> None:
    market = paid(tmp_path, utilization=0.5)
    # 295 for the first record, 300 for each of the 23 others of the day, 300 at the close
    assert settled(market) == [(14_420, 7_195, 6_765, 359, 71), (15_020, 300, 282, 15, 3)]


def test_a_lease_may_use_more_than_it_reserved(tmp_path: Path) -> None:
    market = paid(tmp_path, utilization=1.25, horizon=14_500)
    # 737.5 cut to 737, then 23 records of 750
    assert settled(market) == [(14_420, 17_987, 16_909, 899, 179)]


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        # 600 x 0.0014 = 0.84 a record: nothing is ever paid
        ("600 blocks", []),
        # 1,190 and 1,200 blocks: 1.666 and 1.68, one uve a record, twelve a day, too little for a fee; the close
        # comes at block 15,020, after 600 blocks: 0.84
        ("1200 blocks", [(14_420, 12, 12, 0, 0)]),
        # 14,390 x 0.0014 = 20.146; 5 % and 1 % of 20
        ("14400 blocks", [(14_420, 20, 19, 1, 0)]),
    ],
)
def test_each_record_is_cut_to_whole_coins(tmp_path: Path, every: str, expected: list[tuple[int, ...]]) -> None:
    market = paid(tmp_path, price="0.0000014uve", usage_every=every)
    assert settled(market) == expected
    assert market.summary["shortfall"] == "0"


def test_full_use_costs_what_rate_costs(tmp_path: Path) -> None:
    more = {"deploy_delay": "0 blocks", "take": "0.06"}
    by_rate, by_usage = paid(tmp_path, charging="rate", **more), paid(tmp_path, **more)
    assert leases(by_usage) == leases(by_rate) == [(0, 20, 15_020, 15_000)]


def test_a_provider_leaves_when_the_reports_have_used_up_the_escrow(tmp_path: Path) -> None:
    market = paid(tmp_path, deposit="1000uve")
    # 590 at block 620, 1,190 at 1,220: more than 1,000; it leaves in the next block, which reports one more
    assert settled(market) == [(1_221, 1_000, 940, 50, 10)]
    assert market.summary["shortfall"] == "191"
    assert reasons(market) == {"provider_closed": 1}
    assert leases(market) == [(0, 20, 1_221, 1_000)]


def test_nothing_is_left_for_a_second_order(tmp_path: Path) -> None:
    """The same deployment, listed again, finds no coins for another escrow; its tenant ends it when it was to end."""
    market = paid(tmp_path, deposit="1000uve", restart={"probability": 1, "delay": "5 blocks"}, horizon=2_000)
    orders = market.summary["orders"]
    assert (orders["relisted"], len(leases(market)), orders["leased"]) == (1, 1, 1)
    assert market.record.orders["lease"].tolist() == [0, -1]
    assert heights(market, EventKind.USAGE_ESCROW_OPENED) == [20]


def test_an_escrow_expires_after_a_year_with_what_it_holds(tmp_path: Path) -> None:
    market = paid(
        tmp_path, deposit="6000000uve", wallet="9000000uve", lasts=5_300_000, usage_every="1000000 blocks", horizon=5_257_000
    )  # fmt: skip
    # reports at 1,000,020 … 5,000,020, each settled at once: the clock has been due for long; the use since is lost
    first = (1_000_020, 999_990, 939_992, 49_999, 9_999)
    assert settled(market)[0] == first
    assert [row[0] for row in settled(market)] == [1_000_020 + k * 1_000_000 for k in range(5)]
    # 365 days after block 20 is block 5,256,020; one later it is late
    assert heights(market, EventKind.USAGE_ESCROW_ENDED) == [5_256_021]
    assert leases(market) == [(0, 20, 5_256_022, 4_999_990)]
    assert market.summary["shortfall"] == "0"
    assert reasons(market) == {"provider_closed": 1}
    assert market.record.totals["refunded"] // 10**18 == 6_000_000 - 4_999_990 + 10


def test_under_virtengine_a_withdrawal_is_a_settlement(tmp_path: Path) -> None:
    market = paid(tmp_path, rules="virtengine", network_fees=False, withdraw_every="1h", lasts=2_000, horizon=3_000)
    # active from the lease on; the clock of the block never gets old
    assert settled(market) == [
        (620, 600, 564, 30, 6), (1_220, 600, 564, 30, 6), (1_820, 600, 564, 30, 6), (2_020, 200, 188, 10, 2),
    ]  # fmt: skip


def test_a_withdrawal_that_is_short_makes_the_provider_leave(tmp_path: Path) -> None:
    market = paid(tmp_path, rules="virtengine", network_fees=False, withdraw_every="1h", deposit="1000uve")
    # 600 at block 620, 400 of the next 600 at 1,220; it leaves in the block after, whose use nobody pays
    assert [row[:2] for row in settled(market)] == [(620, 600), (1_220, 400)]
    assert market.summary["shortfall"] == "201"
    assert leases(market) == [(0, 20, 1_221, 1_000)]


# --- by hand: several groups, records by message, settlement by governance ----------------------------------------


FULL = {"cpu": 12_000, "memory": 1_048_576 * 120, "storage": 5_242_880 * 120, "gpu": 120}  # 20 blocks of 6 s
GROUP = {
    "name": "web",
    "resources": [{"price": "50", "count": 1, "cpu": 100, "memory": 1_048_576, "storage": 5_242_880, "gpu": 1}],
}


def by_hand(*messages: dict[str, Any], **more: Any) -> Run:
    """Deployment ada/1 with 1,000 uve and three groups, whose orders take a bid of 10 uve at block 4 each."""
    start: list[dict[str, Any]] = [
        {"height": 2, "op": "create_deployment", "id": "ada/1", "deposit": "1000", "sources": ["balance"], "hash": "a",
         "groups": [GROUP, GROUP | {"name": "db"}, GROUP | {"name": "log"}]},
    ]  # fmt: skip
    for gseq in (1, 2, 3):
        bid = {"id": f"ada/1/{gseq}/1/north", "price": "10", "deposit": "500", "sources": ["balance"]}
        start.append({"height": 3, "op": "create_bid", **bid})
    start += [{"height": 4, "op": "create_lease", "id": f"ada/1/{gseq}/1/north"} for gseq in (1, 2, 3)]
    mapping = {
        "charging": "ve_settlement", "grace": "100 blocks", "horizon": "300 blocks", "record": "everything",
        "start": {
            "params": {"bid_min_deposit": 500, "deployment_min_deposit": 1000},
            "wallets": {"ada": 100_000, "north": 50_000},
            "providers": {"north": {}},
        },
        "messages": start + list(messages),
    } | more  # fmt: skip
    played = running.run(scenario_from_mapping(mapping, Path(), ()), audit=True)
    for receipt in played.summary["messages"]["receipts"]:
        assert "expected" not in receipt, receipt
    return played  # type: ignore[no-any-return]


def aside(market: Run) -> list[tuple[int, int]]:
    """What was set aside, as (block, uve)."""
    events = market.record.events
    assert events is not None
    rows = events["kind"] == EventKind.USAGE_ESCROW_OPENED
    return list(zip(events["height"][rows].tolist(), events["whole"][rows].tolist(), strict=True))


def test_each_group_without_an_escrow_has_an_equal_share() -> None:
    assert aside(by_hand()) == [(4, 333), (4, 333), (4, 334)]


def test_records_by_message_are_settled_by_governance() -> None:
    usage = {"op": "submit_usage", "id": "ada/1/1/1/north", "metrics": FULL}
    settle = {"op": "settle_escrow", "id": "ada/1"}
    market = by_hand(
        {"height": 24, **usage, "signer": "ada", "result": "Unauthorized"},
        {"height": 24, **usage, "metrics": {"cpu": -1}, "result": "UsageInvalid"},
        {"height": 24, **usage, "metrics": {"gpu": 1 << 60}, "result": "AmountTooLarge"},
        {"height": 24, **usage},
        {"height": 25, **settle},
        {"height": 44, **usage, "since": 20, "result": "UsageOverlap"},
        {"height": 44, **usage},
        {"height": 45, **settle},
        {"height": 46, **settle},  # nothing to pay: nothing happens
        {"height": 60, "op": "close_deployment", "id": "ada/1"},
        {"height": 61, **settle, "result": "AccountClosed"},
        {"height": 61, **usage, "result": "LeaseNotActive"},
    )
    # 20 blocks at 10 uve; then 200 more, of which 133 were left: 67 forgiven
    assert settled(market) == [(25, 200, 188, 10, 2), (45, 133, 126, 6, 1)]
    assert market.summary["shortfall"] == "67"
    # the two unused escrows and nothing of the first
    assert market.record.totals["refunded"] // 10**18 == 333 + 334 + 3 * 500


def test_a_paused_groups_refund_is_for_its_next_order() -> None:
    usage = {"op": "submit_usage", "id": "ada/1/1/1/north", "metrics": FULL}
    market = by_hand(
        {"height": 24, **usage},
        {"height": 30, "op": "close_bid", "id": "ada/1/1/1/north", "reason": 10_000},
        {"height": 31, "op": "start_group", "id": "ada/1/1"},
        {"height": 32, "op": "create_bid", "id": "ada/1/1/2/north", "price": "10", "deposit": "500", "sources": ["balance"]},
        {"height": 33, "op": "create_lease", "id": "ada/1/1/2/north"},
        {"height": 34, "op": "withdraw", "id": "ada/1/1/1/north", "result": "PaymentClosed"},
    )
    assert settled(market) == [(30, 200, 188, 10, 2)]
    assert aside(market)[3] == (33, 133)


def test_a_late_deposit_is_for_orders_without_an_escrow() -> None:
    """No message adds to an order's escrow: coins that come later are free, and go back with the account."""
    market = by_hand(
        {"height": 10, "op": "account_deposit", "signer": "ada", "id": "ada/1", "deposit": "5000", "sources": ["balance"]},
        {"height": 24, "op": "submit_usage", "id": "ada/1/1/1/north", "metrics": {k: v * 3 for k, v in FULL.items()},
         "result": "UsageInvalid"},
        {"height": 24, "op": "submit_usage", "id": "ada/1/1/1/north", "metrics": FULL},
        {"height": 44, "op": "submit_usage", "id": "ada/1/1/1/north", "metrics": FULL},
        {"height": 60, "op": "close_deployment", "id": "ada/1"},
    )  # fmt: skip
    assert settled(market) == [(60, 333, 314, 16, 3)]
    assert market.summary["shortfall"] == "67"
    assert market.record.totals["refunded"] // 10**18 == 6_000 - 333 + 3 * 500


# --- the ladder of the market's calls, and the audit --------------------------------------------------------------


@pytest.fixture
def chain(tmp_path: Path) -> Any:
    """The tables of the market above at block 1,000: one lease, one open account with 20,000 uve."""
    asked = [tenant(tmp_path, "t", [10], deposit="20000uve", lasts=15_000)]
    mapping = {
        "charging": "ve_settlement", "horizon": "1000 blocks", "grace": "40 blocks",
        "bid_min_deposit": "10uve", "deployment_min_deposit": "10uve",
        "tenants": asked, "providers": [provider()],
    }  # fmt: skip
    scenario = scenario_from_mapping(mapping, tmp_path, ())
    clock, _ = running.play(scenario, running.prepare(scenario, 1), 1)
    return clock.chain


def test_the_ladder_of_the_escrow_calls(chain: Any) -> None:
    account = int(chain.leases[0].account)
    second = int(chain.globals.leases)
    chain.leases[second] = chain.leases[0]
    row = chain.leases[second]

    def opening(**changes: int) -> Status:
        for name, value in changes.items():
            row[getattr(Lease, name)] = value
        return usage_accounts.payment_open(chain, 1_001, account, second)

    assert opening() == Status.PaymentExists
    assert opening(oseq=2) == Status.AccountOverdrawn  # everything is set aside
    assert opening(rate=0, rate_atto=0) == Status.PaymentRateZero
    assert opening(rate=10**10) == Status.AmountTooLarge
    assert int(chain.accounts[account].rates) == 0
    assert usage_accounts.payment_withdraw(chain, 1_001, 0) == Status.Ok
    assert usage_accounts.settle_forced(chain, 1_002, account) == Status.Ok
    assert usage_accounts.payment_close(chain, 1_003, 0) == Status.Ok
    # 590 reported at 620, 381 until the withdrawal, then one block and one block
    assert int(chain.leases[0].withdrawn) == 590 + 381 + 1 + 1
    assert usage_accounts.payment_close(chain, 1_003, 0) == Status.PaymentClosed
    assert usage_accounts.payment_withdraw(chain, 1_003, 0) == Status.PaymentClosed
    assert usage_accounts.record_usage(chain, 1_003, 0, 1, 1, 1, 1) == Status.LeaseNotActive
    assert usage_accounts.account_close(chain, 1_004, account) == Status.Ok
    assert usage_accounts.account_close(chain, 1_004, account) == Status.AccountClosed
    assert usage_accounts.settle_forced(chain, 1_004, account) == Status.AccountClosed
    assert opening(oseq=3) == Status.AccountClosed
    assert recount_problems(chain) == []


def test_a_dispute_stops_everything_but_the_refund(chain: Any) -> None:
    """No message of a run disputes; the rules hold all the same."""
    escrow = chain.usage_escrows[chain.leases[0].usage]
    escrow[UsageEscrow.state] = UsageEscrowState.DISPUTED
    account = int(chain.leases[0].account)
    assert usage_accounts.record_usage(chain, 1_001, 0, 1, 1, 1, 1) == Status.UsageInvalid  # it meters itself
    chain.usage[chain.leases[0].usage, Usage.utilization_ppm] = -1
    assert usage_accounts.record_usage(chain, 1_001, 0, 1, 1, 1, 1) == Status.LeaseNotActive
    assert usage_accounts.settle_forced(chain, 1_002, account) == Status.Ok
    assert int(chain.leases[0].withdrawn) == 0
    assert usage_accounts.is_spent(chain, 0)
    assert usage_accounts.payment_close(chain, 1_003, 0) == Status.Ok
    assert int(escrow[UsageEscrow.state]) == UsageEscrowState.REFUNDED
    assert int(chain.leases[0].shortfall) == 590  # reported at 620, before the dispute
    assert chain.leases[0].payment == PaymentState.CLOSED


def test_the_audit_looks_at_usage_escrows(chain: Any) -> None:
    account = int(chain.leases[0].account)
    assert usage_accounts.payment_withdraw(chain, 1_001, 0) == Status.Ok
    assert recount_problems(chain) == []
    chain.usage_escrows[chain.leases[0].usage, UsageEscrow.balance] += 1
    assert account_problem(chain, account) == AUDIT_SET_ASIDE
    chain.usage_escrows[chain.leases[0].usage, UsageEscrow.balance] -= 1
    chain.globals.platform_fees += 1
    assert audit_totals(chain) == AUDIT_SPLIT
    assert any("settlement module" in problem for problem in recount_problems(chain))


# --- what a user sees ---------------------------------------------------------------------------------------------


def test_report_and_explain_show_whose_the_fees_are(tmp_path: Path) -> None:
    market = paid(tmp_path)
    content = make_content(market.record, market.summary)
    [money] = [grid for grid in content.grids if grid.title == "Money, whole run"]
    rows = {str(row[0]).strip(): row[1] for row in money.rows}
    assert rows["fees of settlements"] == "898 uve"
    assert rows["of these the platform's"] == "749 uve"
    assert rows["of these the validators'"] == "149 uve"
    text = str(explain(market.record, "#0"))
    assert "14,990 uve paid out: 14,092 to the provider, 898 to the platform and the validators" in text
    assert "block 14,420: 14,390 uve of reported use settled, 13,528 paid, 719 to the platform, 143 to the validators" in text
    assert "usage escrow opened with 20,000 uve" in text
    assert "usage escrow ended, back to the deployment: 5,010 uve" in text
    assert "last of 25 usage records, 14,990 uve in all" in text


@pytest.mark.parametrize(
    ("lines", "where", "accepted"),
    [
        ("rules: akash\ncharging: ve_settlement", "2:11: charging:", "accepted rate, or rules: seed or virtengine"),
        ("rules: virtengine\ncharging: ve_settlement\nquirks: [settle_same_height]", "3:", "leave it out"),
        ("charging: ve_settlement\nmarket: {generator: rm1}", "2:", "accepted charging: rate (under rules: seed"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(tmp_path: Path, lines: str, where: str, accepted: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"{lines}\nhorizon: 1d\n")
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    told = [line for line in str(caught.value).splitlines() if accepted in line]
    assert len(told) == 1
    assert f"s.yaml:{where}" in told[0]


def test_all_quirks_are_those_that_can_show() -> None:
    mapping = {"rules": "virtengine", "charging": "ve_settlement", "quirks": "all", "horizon": "1d", "messages": []}
    path_like = mapping | {"tenants": [], "providers": [], "messages": [{"height": 1, "op": "close_deployment", "id": "a/1"}]}
    scenario = scenario_from_mapping(path_like, Path(), ())
    assert scenario.quirks == ("losing_bids_stay", "open_orders_stay", "pause_open_order", "max_bids_off_by_one")


def test_without_the_compiler_everything_is_the_same(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from marketsim.scenario import load_scenario;"
        "from marketsim.simulation import run;"
        "s = load_scenario(Path(sys.argv[1]), ['horizon=2000 blocks', 'warm_up=0s', 'record=summary']);"
        "print(run(s).summary['fingerprint'])"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(SHIPPED)],
            env=os.environ | {"MARKETSIM_COMPILE": compile_it}, capture_output=True, text=True, check=True, timeout=300,
        ).stdout
        for compile_it in ("0", "1")
    }  # fmt: skip
    assert len(found) == 1


def test_the_shipped_market_pays_and_conserves() -> None:
    scenario = load_scenario(SHIPPED, ["horizon=30h", "warm_up=0s"])
    summary = running.run(scenario, audit=True).summary
    split, fees = summary["fee_split"], summary["escrow"]["fees_uve"]
    assert split["platform_uve"] + split["validators_uve"] == fees > 0
    gross = fees + summary["escrow"]["paid_uve"]
    assert 0.05999 < fees / gross <= 0.06
    assert summary["leases"]["insufficient_funds"] == 0
    assert summary["leases"]["close_reasons"]["provider_closed"] > 10
    assert 0 < summary["shortfall_uve"] < 0.02 * gross
