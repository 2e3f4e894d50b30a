from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_record import DAY, make_record

from marketsim.chain.columns import LeaseState, OrderEnd
from marketsim.chain.status import Status
from marketsim.errors import InvariantError
from marketsim.kernel.rows import row_of
from marketsim.market.tables import STATUSES
from marketsim.metrics.amounts import number
from marketsim.metrics.calibration import calibration_targets
from marketsim.metrics.shape import summary_shape
from marketsim.metrics.summary import rejections, summarize
from marketsim.metrics.tables import provider_cohort_rows, provider_rows, tenant_cohort_rows
from marketsim.money.text import format_amount, half_even
from marketsim.money.units import ATTO
from marketsim.recording.counts import LeaseCounts, OrderCounts, count_leases, count_orders
from marketsim.recording.record import UNFILLED, Record

RECORD = make_record()
SUMMARY = summarize(RECORD)


@given(st.integers(-(10**40), 10**40))
def test_amounts_are_exact_as_text(atto: int) -> None:
    assert Fraction(format_amount(atto)) * ATTO == atto
    assert "e" not in format_amount(atto).lower()
    assert number(atto * ATTO) == atto


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**6))
def test_half_even_agrees_with_fractions(numerator: int, denominator: int) -> None:
    assert half_even(numerator, denominator) == round(Fraction(numerator, denominator))


def test_keys_of_the_contract() -> None:
    assert set(SUMMARY) == {
        *("schema", "scenario", "seed", "rules", "blocks", "fingerprint", "orders", "fill_rate", "unserved"),
        *(
            "bids",
            "acceptance_rate",
            "win_rate",
            "bid_latency_seconds",
            "leases",
            "revenue",
            "take",
            "take_uve",
        ),
        *("network_fees", "network_fees_uve", "shortfall", "shortfall_uve", "escrow", "conserved"),
        *("utilization", "price", "audit", "versions"),
    }
    assert SUMMARY["conserved"] is True


def test_counts_add_up() -> None:
    orders, bids, leases = SUMMARY["orders"], SUMMARY["bids"], SUMMARY["leases"]
    assert orders["created"] == sum(orders[key] for key in ("leased", "timed_out", "cancelled", "open"))
    assert orders["created"] + orders["relisted"] == len(RECORD.orders["tenant"])
    assert sum(orders["unfilled_reasons"].values()) == orders["timed_out"] + orders["cancelled"]
    assert sum(SUMMARY["unserved"].values()) == pytest.approx(1)
    assert bids["submitted"] == bids["accepted"] + sum(bids["rejected"].values())
    assert leases["created"] == leases["active"] + leases["insufficient_funds"] + leases["closed"]
    assert leases["closed"] == sum(leases["close_reasons"].values())


def test_money_adds_up_exactly() -> None:
    escrow = {key: Decimal(value) for key, value in SUMMARY["escrow"].items() if isinstance(value, str)}
    parts = ("held", "paid", "fees", "refunded", "dust", "stranded")
    assert escrow["deposited"] == sum(escrow[key] for key in parts)
    revenue = SUMMARY["revenue"]
    total = int(revenue["total"])
    for split in ("by_provider", "by_cohort"):
        assert sum(map(int, revenue[split].values())) == total
        assert {name: int(value) for name, value in revenue[split].items()} == revenue[f"{split}_uve"]
    assert sum(map(int, revenue["per_day"])) == total == sum(revenue["per_day_uve"])
    assert revenue["per_day_mean"] == pytest.approx(total / 6)


def test_a_leak_of_one_atto_is_a_broken_invariant() -> None:
    with pytest.raises(InvariantError, match="not conserved"):
        summarize(replace(RECORD, totals={**RECORD.totals, "held": RECORD.totals["held"] + 1}))


def test_a_lost_bid_is_a_broken_invariant() -> None:
    providers = {**RECORD.providers, "submitted": RECORD.providers["submitted"].copy()}
    providers["submitted"][0] += 1
    with pytest.raises(InvariantError, match="bids do not add up"):
        summarize(replace(RECORD, providers=providers))


def test_fill_rate_by_hand() -> None:
    orders = RECORD.orders
    counted = leased = 0
    for row in range(len(orders["tenant"])):
        if orders["created_at"][row] <= DAY or orders["relisted"][row] or not orders["decided"][row]:
            continue
        counted += 1
        leased += orders["lease"][row] >= 0
    assert 0 < leased < counted
    assert SUMMARY["fill_rate"] == leased / counted


def test_window_revenue_against_the_settlements() -> None:
    settlements = RECORD.settlements
    assert settlements is not None
    for warm_up in (0, DAY, DAY + 5000, 6 * DAY + 1):
        record = make_record(200, warm_up=warm_up)
        assert record.settlements is not None
        heights, net = record.settlements["height"], record.settlements["net"]
        expected = [int(net[(heights > max(warm_up, day * DAY)) & (heights <= (day + 1) * DAY)].sum()) for day in range(warm_up // DAY, 7)]
        summary = summarize(record)
        assert summary["revenue"]["per_day_uve"] == expected
        assert summary["revenue"]["total_uve"] == int(net[heights > warm_up].sum())


def test_price_statistics_by_hand() -> None:
    leases = RECORD.leases
    prices = sorted(
        int(whole) * ATTO + int(atto)
        for whole, atto, at in zip(leases["price_whole"], leases["price_atto"], leases["created_at"], strict=True)
        if at > DAY
    )
    count = len(prices)
    price = {key: Fraction(value) * ATTO for key, value in SUMMARY["price"].items() if isinstance(value, str)}
    assert price["mean_won"] == round(Fraction(sum(prices), count))
    for percent in (10, 50, 90):
        value = price[f"p{percent}"]
        assert sum(one < value for one in prices) < count * percent / 100 <= sum(one <= value for one in prices)
    assert price["spread"] == price["p90"] - price["p10"]


def test_latency_by_hand() -> None:
    values = np.repeat(np.arange(len(RECORD.latency_histogram)), RECORD.latency_histogram)
    assert SUMMARY["bid_latency_seconds"]["mean"] == pytest.approx(values.mean() / 1000)
    assert SUMMARY["bid_latency_seconds"]["p95"] == np.percentile(values, 95, method="inverted_cdf") / 1000


def test_utilization_is_between_the_providers_own() -> None:
    rows = provider_rows(RECORD)
    own = [row.utilization["cpu"] for row in rows if row.utilization["cpu"] is not None]
    assert min(own) < SUMMARY["utilization"]["cpu"] < max(own)


def test_nothing_happened_is_undefined_not_zero() -> None:
    shape = summary_shape()
    assert shape["fill_rate"] is shape["win_rate"] is shape["price"]["mean_won"] is None
    assert shape["bid_latency_seconds"] == {"mean": None, "p95": None}
    assert _keys(shape) == _keys(SUMMARY)


def _keys(value: object, depth: int = 0) -> object:
    if not isinstance(value, dict):
        return None
    if depth == 2 or "by_provider" in value:
        return sorted(value)
    return {key: _keys(part, depth + 1) for key, part in value.items() if key != "versions"}


def test_rejections_use_the_documents_codes_under_seed_only() -> None:
    counts = np.zeros(STATUSES, np.int64)
    counts[Status.UnknownProvider], counts[Status.ProviderBlocked], counts[Status.Panic] = 2, 3, 1
    seed = rejections(counts, "seed")
    assert (seed["provider_blocked"], seed["Panic"], seed["price_too_high"]) == (5, 1, 0)
    assert rejections(counts, "akash") == {"UnknownProvider": 2, "ProviderBlocked": 3, "Panic": 1}


def test_tables_add_up_to_the_summary() -> None:
    rows, cohorts = provider_rows(RECORD), provider_cohort_rows(RECORD)
    for part in (rows, cohorts):
        assert sum(row.revenue for row in part) == SUMMARY["revenue"]["total_uve"]
        assert sum(row.won for row in part) == SUMMARY["bids"]["won"]
        assert sum(row.active for row in part) == SUMMARY["leases"]["active"]
    tenants = tenant_cohort_rows(RECORD)
    leased = sum(round((row.fill_rate or 0) * row.orders) for row in tenants)
    assert leased / sum(row.orders for row in tenants) == pytest.approx(SUMMARY["fill_rate"])
    assert sum(row.close_reasons["tenant_terminated"] for row in tenants) == (SUMMARY["leases"]["close_reasons"]["tenant_terminated"])


def test_an_ended_order_without_a_reason_is_other() -> None:
    orders = {**RECORD.orders, "unfilled": np.full_like(RECORD.orders["unfilled"], -1)}
    summary = summarize(replace(RECORD, orders=orders))
    ended = (orders["lease"] < 0) & (orders["end"] != OrderEnd.NONE) & (orders["relisted"] == 0)
    assert summary["orders"]["unfilled_reasons"]["other"] == ended.sum() > 0


@pytest.mark.parametrize(("share", "met"), [(0.55, True), (0.5500001, False), (0.35, True), (0.3499, False), (None, False)])
def test_close_reasons_within_ten_points(share: float | None, met: bool) -> None:
    closed = 10_000_000
    counts = dict.fromkeys(("lease_completed", "insufficient_funds", "provider_closed"), 0)
    mine = 0 if share is None else round(share * closed)
    counts |= {"tenant_terminated": mine, "lease_completed": 0 if share is None else closed - mine}
    summary = {"leases": {"close_reasons": counts}}
    (target,) = calibration_targets(summary, {"close_reasons": {"tenant_terminated": 0.45}, "within": 0.1})
    assert target.met is met


def test_calibration_ranges_read_the_summary() -> None:
    calibration = {"fill_rate": [0.75, 0.95], "utilization.cpu": [0.9, 1.0]}
    targets = {target.name: target for target in calibration_targets(SUMMARY, calibration)}
    assert targets["fill_rate"].met and targets["fill_rate"].value == SUMMARY["fill_rate"]
    assert not targets["utilization.cpu"].met
    (whole,) = calibration_targets(SUMMARY, {"utilization": [0, 1], "fill_rate": None})
    assert whole.name == "utilization.cpu" and whole.met
    assert calibration_targets(SUMMARY, None) == []


def test_summary_does_not_depend_on_what_was_recorded() -> None:
    bare: Record = replace(RECORD, bids=None, settlements=None, events=None)
    assert summarize(bare) == SUMMARY


def test_orders_and_leases_are_counted_by_what_became_of_them() -> None:
    """By hand: a relisted order, a leased one, an open one, timeouts of which one has no reason, one closed; leases in each state."""
    columns: dict[str, list[int]] = {
        "relisted": [1, 0, 0, 0, 0, 0],
        "lease": [-1, 3, -1, -1, -1, -1],
        "end": [OrderEnd.TIMEOUT, OrderEnd.LEASE_ENDED, OrderEnd.NONE, OrderEnd.TIMEOUT, OrderEnd.TIMEOUT, OrderEnd.CANCELLED],
        "unfilled": [0, -1, -1, UNFILLED.index("no_capacity"), -1, UNFILLED.index("cancelled")],
    }
    counts, reasons = row_of(OrderCounts), np.zeros(len(UNFILLED), np.int64)
    count_orders(*(np.array(columns[name], np.int64) for name in columns), counts, reasons)
    assert counts.tolist() == [5, 1, 1, 2, 1, 1]
    assert {name: count for name, count in zip(UNFILLED, reasons.tolist(), strict=True) if count} == {
        "no_capacity": 1, "cancelled": 1, "other": 1
    }  # fmt: skip
    states = [LeaseState.ACTIVE, LeaseState.RECLAIMING, LeaseState.INSUFFICIENT_FUNDS, LeaseState.INSUFFICIENT_FUNDS, LeaseState.CLOSED]
    leases = row_of(LeaseCounts)
    count_leases(np.array(states, np.int64), np.array([-1, -1, -1, 7, 9], np.int64), leases)
    assert {each.name: leases.tolist()[each.number] for each in LeaseCounts.columns} == {"active": 2, "insufficient_funds": 1, "closed": 2}


def test_a_record_whose_columns_do_not_fit_is_no_reason_to_read_on() -> None:
    """Compiled code looks at no end of a table: columns of other lengths and a histogram of fewer bids than its sum says."""
    short = {name: column[:-1] if name == "end" else column for name, column in RECORD.orders.items()}
    with pytest.raises(ValueError, match="columns relisted, lease, end, unfilled of"):
        summarize(replace(RECORD, orders=short))
    below = np.asarray([-5, 0, 0], np.int64)
    assert summarize(replace(RECORD, latency_histogram=below))["bid_latency_seconds"]["p95"] == 0.002


def test_a_record_cut_out_of_another_is_summed_up() -> None:
    """Columns that do not lie in one piece, or are narrower: users' own metrics cut records."""
    orders = {name: np.repeat(column, 2)[::2].astype(np.int32) for name, column in RECORD.orders.items()}
    leases = {name: np.repeat(column, 2)[::2] for name, column in RECORD.leases.items()}
    latency = np.repeat(RECORD.latency_histogram, 2)[::2]
    assert summarize(replace(RECORD, orders=orders, leases=leases, latency_histogram=latency)) == SUMMARY
