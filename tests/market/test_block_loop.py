"""The block loop in markets small enough to work out by hand: every height and amount below was computed on paper."""

from __future__ import annotations

from pathlib import Path

import pytest
from hand_market import bids_made, declines, heights, leases, play, provider, reasons, tenant

from marketsim.chain.columns import EventKind


def test_one_order_from_its_creation_to_its_end(tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20])], [provider()])
    assert bids_made(played) == [21]
    assert heights(played, EventKind.LEASE_CREATED) == [30]
    assert heights(played, EventKind.ORDER_ACTIVATED) == [40]
    assert leases(played) == [(0, 30, 80, 50)]
    assert reasons(played) == {"lease_completed": 1}
    assert played.summary["escrow"]["refunded"] == str(1000 - 50 + 10)


def test_bids_of_the_window_count_and_a_later_bid_does_not(tmp_path: Path) -> None:
    """South is cheaper: its bid of block h+9 wins, one of h+10 comes after the choice of that block."""
    for latency, winner in (("54s", 1), ("55s", 0)):
        rivals = [provider("north", price="0.002uve"), provider("south", latency=latency)]
        played = play(tmp_path, [tenant(tmp_path, "t", [20])], rivals)
        assert leases(played)[0][:2] == (winner, 30)
        assert bids_made(played) == ([21, 29] if winner else [21])


def test_without_a_bid_in_the_window_the_first_one_is_taken(tmp_path: Path) -> None:
    rivals = [provider("late", price="0.001uve", latency="130s"), provider("early", price="0.002uve", latency="120s")]
    played = play(tmp_path, [tenant(tmp_path, "t", [20])], rivals)
    assert bids_made(played) == [40]
    assert leases(played)[0][:2] == (1, 41)


@pytest.mark.parametrize(("latency", "made"), [("588s", [119]), ("589s", []), ("594s", [])])
def test_the_last_lease_is_made_99_blocks_after_the_order(tmp_path: Path, latency: str, made: list[int]) -> None:
    """A bid in block 118 is taken in block 119; one in block 119 would be taken in 120, when the order has timed out."""
    played = play(tmp_path, [tenant(tmp_path, "t", [20])], [provider(latency=latency, engine={"bid_timeout": "1h"})])
    assert heights(played, EventKind.LEASE_CREATED) == made
    assert played.summary["orders"]["timed_out"] == 1 - len(made)
    closed = played.record.orders["closed_at"].tolist()
    assert closed == ([119 + 50] if made else [120])
    if not made:
        # everything comes back: the tenant's deposit, and the bid's where there was one
        assert played.summary["escrow"]["refunded"] == played.summary["escrow"]["deposited"]


def test_an_order_that_nobody_may_serve_times_out_and_is_refunded(tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20], cores=9)], [provider()])
    assert played.record.orders["closed_at"].tolist() == [120]
    assert played.summary["orders"]["unfilled_reasons"]["no_capacity"] == 1
    assert played.summary["escrow"]["refunded"] == "1000"


def test_an_order_timeout_within_the_bid_window(tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20])], [provider()], order_timeout="6 blocks")
    assert played.record.orders["closed_at"].tolist() == [26]
    assert leases(played) == []


def test_capacity_is_reserved_by_a_bid_and_free_again_when_the_lease_ends(tmp_path: Path) -> None:
    """Two cores: the second order of 2 cores finds them reserved, the third finds them free (80 = the first one's end)."""
    played = play(tmp_path, [tenant(tmp_path, "t", [20, 25, 80], cores=2)], [provider(cores=2)])
    assert [lease[:3] for lease in leases(played)] == [(0, 30, 80), (0, 90, 140)]
    assert played.summary["bids"]["declined"]["insufficient_resources"] == 1
    assert declines(played) == [(26, 1, 0, "insufficient_resources")]  # looked at in the block of its bid


def test_a_reservation_ends_with_a_lost_bid(tmp_path: Path) -> None:
    """Both bid on the first order; dear loses it in block 30 and has its 2 cores again for the order of block 30."""
    rivals = [provider("cheap", cores=2), provider("dear", cores=2, price="0.002uve")]
    played = play(tmp_path, [tenant(tmp_path, "t", [20, 30], cores=2)], rivals)
    assert [lease[:2] for lease in leases(played)] == [(0, 30), (1, 40)]


def test_lease_capacity(tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20, 21, 22])], [provider(lease_capacity=2)])
    assert len(leases(played)) == 2


def test_more_orders_than_concurrent_bids_wait_in_line(tmp_path: Path) -> None:
    """One bid at a time: the second waits until the first is decided in block 30, and goes out in the next block."""
    one = provider(engine={"max_concurrent_bids": 1})
    played = play(tmp_path, [tenant(tmp_path, "t", [20, 21])], [one])
    assert bids_made(played) == [21, 31]
    assert [lease[1] for lease in leases(played)] == [30, 32]  # its window was over at 31: taken in the next block


def test_a_bid_without_an_answer_is_withdrawn_after_its_timeout(tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20], never_choose=1)], [provider()])
    assert bids_made(played) == [21]
    assert heights(played, EventKind.BID_CLOSED) == [21 + 50]
    assert played.record.orders["closed_at"].tolist() == [120]
    assert played.summary["orders"]["unfilled_reasons"]["tenant_never_chose"] == 1
    assert played.summary["bids"]["closed"] == 1


def test_a_bid_that_times_out_within_the_window(tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20])], [provider(engine={"bid_timeout": "5 blocks"})])
    assert heights(played, EventKind.BID_CLOSED) == [26]
    assert leases(played) == []


def test_a_ceiling_equal_to_the_price_is_enough(tmp_path: Path) -> None:
    for ceiling, fill in (("1uve", 1.0), ("0.999999uve", 0.0)):
        played = play(tmp_path, [tenant(tmp_path, "t", [20], ceiling=ceiling)], [provider()])
        assert played.summary["fill_rate"] == fill
    assert played.summary["bids"]["declined"]["price_too_high"] == 1
    assert declines(played) == [(20, 0, 0, "price_too_high")]  # known when the order is seen


def test_a_wallet_without_the_deposit_does_not_bid(tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20, 21])], [provider(wallet="15uve")])
    assert played.summary["bids"]["declined"]["insufficient_deposit"] == 1
    assert len(leases(played)) == 1


def test_the_rate_limit_of_a_minute(tmp_path: Path) -> None:
    limited = provider(rate_limit={"per_minute": 2, "per_hour": None})
    played = play(tmp_path, [tenant(tmp_path, "t", [20, 21, 22, 31])], [limited])
    assert bids_made(played) == [21, 22, 32]
    assert played.summary["bids"]["declined"]["rate_limited"] == 1


def test_during_an_outage_nobody_bids_and_leases_close(tmp_path: Path) -> None:
    fault = [{"at": "300s", "provider": "p/0", "kind": "outage", "lasts": "180s"}]
    played = play(tmp_path, [tenant(tmp_path, "t", [20, 60, 80])], [provider()], faults=fault)
    assert [lease[:3] for lease in leases(played)] == [(0, 30, 50), (0, 90, 140)]
    assert reasons(played) == {"provider_closed": 1, "lease_completed": 1}
    assert played.summary["bids"]["declined"]["engine_disabled"] == 1


def test_a_blocked_provider_keeps_its_leases_and_does_not_bid(tmp_path: Path) -> None:
    fault = [{"at": "240s", "provider": "p/0", "kind": "block", "lasts": "120s"}]
    played = play(tmp_path, [tenant(tmp_path, "t", [20, 45, 60])], [provider()], faults=fault)
    assert [lease[:3] for lease in leases(played)] == [(0, 30, 80), (0, 70, 120)]
    assert played.summary["bids"]["declined"]["provider_blocked"] == 1


def test_funds_run_out_and_the_grace_ends_the_lease(tmp_path: Path) -> None:
    """60 uve pay the blocks 31 to 90; block 91 is the first that cannot be paid, 40 blocks of grace follow."""
    played = play(tmp_path, [tenant(tmp_path, "t", [20], deposit="60uve", lasts=300)], [provider()])
    assert heights(played, EventKind.LEASE_INSUFFICIENT_FUNDS) == [91]
    assert leases(played) == [(0, 30, 131, 60)]
    assert reasons(played) == {"insufficient_funds": 1}
    assert played.summary["shortfall"] == "1"


def test_a_top_up_after_depletion(tmp_path: Path) -> None:
    """Out of funds at 91, 100 uve more at 101 last to block 201; the second depletion is final."""
    more = {"after_depletion": {"delay": "10 blocks"}, "times": 1, "blocks": 20}
    played = play(tmp_path, [tenant(tmp_path, "t", [20], deposit="60uve", lasts=300, top_up=more)], [provider()])
    assert heights(played, EventKind.LEASE_INSUFFICIENT_FUNDS) == [91, 202]
    assert heights(played, EventKind.LEASE_REACTIVATED) == [101]
    assert leases(played) == [(0, 30, 242, 160)]


def test_a_top_up_later_than_the_grace_comes_too_late(tmp_path: Path) -> None:
    more = {"after_depletion": {"delay": "41 blocks"}, "times": 1, "blocks": 20}
    played = play(tmp_path, [tenant(tmp_path, "t", [20], deposit="60uve", lasts=300, top_up=more)], [provider()])
    assert leases(played) == [(0, 30, 131, 60)]


def test_a_top_up_while_blocks_are_left(tmp_path: Path) -> None:
    """15 blocks before the 60 uve are gone (block 75) 50 uve come in, and again after 50 more blocks."""
    more = {"when_blocks_left": 15, "times": 2, "blocks": 10}
    played = play(tmp_path, [tenant(tmp_path, "t", [20], deposit="60uve", lasts=300, top_up=more)], [provider()])
    assert heights(played, EventKind.DEPOSITED, 0) == [20, 75, 125]
    assert heights(played, EventKind.LEASE_INSUFFICIENT_FUNDS) == [191]


def test_a_top_up_with_a_delay_may_come_after_the_depletion(tmp_path: Path) -> None:
    """The tenant notices at block 75 and pays 30 blocks later: out of funds at 91, active again at 105."""
    more = {"when_blocks_left": 15, "times": 1, "blocks": 10, "delay": "30 blocks"}
    played = play(tmp_path, [tenant(tmp_path, "t", [20], deposit="60uve", lasts=300, top_up=more)], [provider()])
    assert heights(played, EventKind.LEASE_INSUFFICIENT_FUNDS)[0] == 91
    assert heights(played, EventKind.LEASE_REACTIVATED) == [105]


def test_a_planned_end_while_out_of_funds_counts_as_out_of_funds(tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20], deposit="60uve", lasts=80)], [provider()])
    assert leases(played) == [(0, 30, 110, 60)]
    assert reasons(played) == {"insufficient_funds": 1}


def test_a_deposit_below_the_minimum(tmp_path: Path) -> None:
    """Funds for so many blocks are raised to the minimum; an amount is sent as written, and refused."""
    raised = play(tmp_path, [tenant(tmp_path, "t", [20], deposit={"blocks": 1})], [provider()])
    assert heights(raised, EventKind.DEPOSITED, 0) == [20]
    assert raised.summary["orders"]["created"] == 1
    refused = play(tmp_path, [tenant(tmp_path, "t", [20], deposit="9uve")], [provider()])
    assert refused.summary["orders"]["created"] == 0
    assert heights(refused, EventKind.MESSAGE_REFUSED) == [20]


def test_after_a_provider_left_the_tenant_starts_again_and_keeps_its_end(tmp_path: Path) -> None:
    """The outage of block 50 closes the lease; the group is listed again at 53, leased at 63, and ends 50 blocks after block 30."""
    fault = [{"at": "300s", "provider": "p/0", "kind": "outage", "lasts": "6s"}]
    again = tenant(tmp_path, "t", [20], restart={"probability": 1, "delay": "3 blocks"})
    played = play(tmp_path, [again], [provider()], faults=fault)
    assert [lease[:3] for lease in leases(played)] == [(0, 30, 50), (0, 63, 80)]
    assert played.record.orders["oseq"].tolist() == [1, 2]
    assert played.summary["orders"]["relisted"] == 1
    assert played.summary["orders"]["created"] == 1
    assert reasons(played) == {"provider_closed": 1, "lease_completed": 1}


def test_a_workload_that_never_runs_is_ended_by_the_provider_after_five_minutes(tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20], deploy_delay="51 blocks", lasts=300)], [provider()])
    assert leases(played)[0][1:3] == (30, 80)
    assert played.record.leases["reason"].tolist() == [10003]


def test_settlement_every_hundred_blocks_of_the_account(tmp_path: Path) -> None:
    """Created in block 20 and looked at by nobody until the lease ends at 330: one record for what fell due at 120, 220 and 320."""
    played = play(tmp_path, [tenant(tmp_path, "t", [20], lasts=300)], [provider()])
    settled = played.record.settlements
    assert settled is not None
    assert settled["moved_whole"].sum() == 300
    assert leases(played) == [(0, 30, 330, 300)]


def test_akash_an_overdrawn_lease_is_final(tmp_path: Path) -> None:
    """The funds of 60 blocks are gone in block 90, when the provider's watcher withdraws them; it looks again 100 blocks later
    and only then finds the account overdrawn: 100 blocks were free."""
    dry = tenant(tmp_path, "t", [20], deposit="60uve", lasts=300)
    played = play(tmp_path, [dry], [provider(wallet="100000uve")], rules="akash", network_fees=False)
    (lease,) = leases(played)
    assert lease[3] == 60
    assert reasons(played) == {"insufficient_funds": 1}
    assert heights(played, EventKind.PAID) == [90]
    assert heights(played, EventKind.LEASE_INSUFFICIENT_FUNDS) == [190]
    assert played.summary["escrow"]["debt"] == "100"


def test_virtengine_patience_ends_an_order_without_bids(tmp_path: Path) -> None:
    waiting = tenant(tmp_path, "t", [20], cores=9, patience="70 blocks")
    played = play(tmp_path, [waiting], [provider()], rules="virtengine", network_fees=False)
    assert played.record.orders["closed_at"].tolist() == [90]
    assert played.summary["orders"]["cancelled"] == 1


def test_virtengine_providers_withdraw_at_their_cadence(tmp_path: Path) -> None:
    hourly = provider(withdraw_every="60 blocks")
    played = play(tmp_path, [tenant(tmp_path, "t", [20], lasts=200)], [hourly], rules="virtengine", network_fees=False)
    paid = heights(played, EventKind.PAID)
    assert paid == [90, 150, 210, 230]
    assert leases(played) == [(0, 30, 230, 200)]


def test_akash_a_provider_gives_notice_before_it_leaves(tmp_path: Path) -> None:
    fault = [{"at": "300s", "provider": "p/0", "kind": "outage", "lasts": "6s"}]
    asks = tenant(tmp_path, "t", [20], lasts=5000, deposit="9000uve")
    played = play(tmp_path, [asks], [provider(window="2h")], rules="akash", network_fees=False, faults=fault, horizon="2000 blocks")
    assert heights(played, EventKind.LEASE_RECLAIMING) == [50]
    assert leases(played)[0][1:3] == (30, 50 + 1200)
    assert reasons(played) == {"provider_closed": 1}


@pytest.mark.parametrize("horizon", ["400 blocks", "250000 blocks"], ids=["a sample an hour", "a sample a day"])
def test_a_provider_pays_for_leaving_from_what_its_lease_has_earned(tmp_path: Path, horizon: str) -> None:
    """Of its 13 uve a bid takes all but one (a deposit of 10, a fee of 2); leaving costs 4, and in block 250 it has been paid twice."""
    fault = [{"at": "1500s", "provider": "p/0", "kind": "outage", "lasts": "60s"}]
    fees = {"network_fees": True, "gas_price": "0.00001uve"}
    stays = tenant(tmp_path, "t", [20], lasts=360)
    played = play(tmp_path, [stays], [provider(wallet="13uve")], faults=fault, horizon=horizon, **fees)
    made, closed = leases(played)[0][1:3]
    assert made < 100
    assert closed == 250


def test_network_fees_go_from_every_wallet_to_the_collector(tmp_path: Path) -> None:
    """Gas x 1.5 x 0.025, rounded up: deployment 4,500, bid 4,125, lease 4,838, closing 9,300 uve."""
    rich = tenant(tmp_path, "t", [20], wallet="1000000uve")
    played = play(tmp_path, [rich], [provider(wallet="1000000uve", withdraw_every="1000 blocks")], rules="virtengine", network_fees=True)
    assert played.summary["network_fees"] == str(4500 + 4125 + 4838 + 9300)
    assert leases(played)[0][1:3] == (30, 80)
