"""The exercises whose answers are figures: settlement against a market that is run, escrow against hand arithmetic."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hand_market import play, provider, tenant

from marketsim.exercises.escrow_monitoring import EscrowInstance, MonitoredAccount
from marketsim.exercises.exact_figures import figure_of, shown_figure
from marketsim.exercises.selftest import selftest, selftest_lines
from marketsim.exercises.settlement import LeaseToSettle, lease_figures
from marketsim.exercises.shelf import exercise_of

SECRET = bytes(range(3, 35))


@pytest.mark.parametrize("blocks", [301, 250])
def test_settlement_is_what_a_market_settles(blocks: int, tmp_path: Path) -> None:
    played = play(tmp_path, [tenant(tmp_path, "t", [20], lasts=blocks)], [provider(price="0.000143792uve")], take=0.2)
    leases, totals = played.record.leases, played.record.totals
    made, ended = int(leases["created_at"][0]), int(leases["closed_at"][0])
    price = Decimal("0.000143792")
    lease = LeaseToSettle(1000, 1024, 1024, price, Decimal(0), Decimal(0), Decimal(0), Decimal(20), 1000, made, made + 100, ended)
    found = lease_figures(lease)
    assert found["price"] == Decimal(int(leases["price_whole"][0])) + Decimal(int(leases["price_atto"][0])).scaleb(-18)
    assert found["paid_at_end"] == int(leases["withdrawn"][0])
    assert found["take_at_end"] == int(leases["fees"][0])
    assert found["net_at_end"] * 10**18 == totals["paid"]
    assert found["refund"] == totals["refunded"] // 10**18 - 10  # the provider's deposit for its bid goes back too


def test_settlement_of_the_documents_example() -> None:
    """0.00143792 uve a block; 80,000 blocks are 115.0336, 2 % of 115 are 2.3; 100,000 blocks are 143.792, 2 % of 143 are 2.86."""
    prices = (Decimal("0.000001"), Decimal("0.0000001"), Decimal("0.00000001"))
    found = lease_figures(LeaseToSettle(1000, 2048, 10240, *prices, Decimal(10), Decimal(2), 500, 20, 80_020, 100_020))
    shown = {key: shown_figure(value) for key, value in found.items()}
    assert shown["price"] == "0.00143792"
    assert [shown[f"{key}_then"] for key in ("accrued", "paid", "take", "net", "waiting")] == ["115.0336", "115", "2", "113", "0.0336"]
    assert [shown[f"{key}_at_end"] for key in ("accrued", "paid", "take", "net")] == ["143.792", "143", "2", "141"]
    assert shown["refund"] == "356"


def test_hours_of_an_account_by_hand() -> None:
    """100 uve, of which 2 × 10 are owed: 80 ÷ 2 = 40 blocks of 5 s, 200 s, 0.0555… hours; the other has nothing left."""
    prices = (Decimal("1.5"), Decimal("0.5"))
    accounts = (MonitoredAccount("a", 90, Decimal(100), prices), MonitoredAccount("b", 0, Decimal(100), prices))
    oracle = exercise_of("escrow").oracle(EscrowInstance(100, 5, accounts))
    assert oracle["hours.csv"] == "account,hours\na,0.05\nb,0.00\n"


def test_figures_are_read_as_people_write_them() -> None:
    assert figure_of("1,234.50 uve") == figure_of(1234.5) == figure_of("1234.50") == Decimal("1234.5")
    assert [figure_of(bad) for bad in ("", "abc", "nan", "inf", True, None, "1" * 100)] == [None] * 7


@pytest.mark.parametrize("name", ["escrow", "settlement"])
def test_figures_grade_as_they_say(name: str) -> None:
    lines = selftest(exercise_of(name), SECRET, learners=6)
    assert all(line.holds for line in lines), "\n".join(selftest_lines(lines))
