"""The page docs/tiny-walkthrough.md against the run that it describes: every block, amount and price."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from marketsim.chain.columns import EventKind
from marketsim.recording.record import Record
from marketsim.scenario import load_scenario
from marketsim.simulation import Run, run

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tiny-walkthrough.md").read_text(encoding="utf-8")
ORDERS = {"Alice": 0, "Bob": 1, "Carol": 2, "Dave": 3}
GOLDEN = "f75fb51cc49eee919db6552e12412631"
ATTO = 10**18


@cache
def tiny() -> Run:
    return run(load_scenario(ROOT / "scenarios" / "tiny.yaml"))


def section(title: str) -> str:
    """The text under a heading that starts with `title`."""
    return re.split(r"^## ", PAGE.split(f"\n## {title}", 1)[1], maxsplit=1, flags=re.M)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a section's table lines, heading and rule left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def number(text: str) -> Fraction:
    return Fraction(text.replace(",", ""))


def numbers(text: str) -> set[Fraction]:
    return {number(found) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}


def amount(table: dict[str, np.ndarray], row: int, name: str = "") -> Fraction:
    whole, atto = (f"{name}_whole", f"{name}_atto") if name else ("whole", "atto")
    return int(table[whole][row]) + Fraction(int(table[atto][row]), ATTO)


def balance(record: Record, order: int, height: int) -> Fraction:
    """What a tenant's account held after a block, out of deposits, settlements and refunds of the record."""
    events = record.events
    assert events is not None
    created, closed = int(record.orders["created_at"][order]), int(record.orders["closed_at"][order])
    account, lease = int(record.orders["account"][order]), int(record.orders["lease"][order])
    held = Fraction(0)
    for row, kind in enumerate(events["kind"]):
        at, subject = int(events["height"][row]), int(events["subject"][row])
        if at > height:
            continue
        if kind == EventKind.DEPOSITED and subject == account and created <= at < closed:
            held += amount(events, row)
        elif kind == EventKind.SETTLED and subject == lease and lease >= 0:
            held -= amount(events, row)
    return Fraction(0) if height >= closed else held


@pytest.mark.parametrize("name", ORDERS)
def test_each_line_of_an_order_is_a_block_in_which_something_happened(name: str) -> None:
    record, order = tiny().record, ORDERS[name]
    events = record.events
    assert events is not None
    heights = set(events["height"].tolist())
    lines = rows(section(name))
    blocks = [int(cells[0]) for cells in lines]
    assert blocks == sorted(blocks)
    assert blocks[0] == record.orders["created_at"][order]
    assert blocks[-1] == record.orders["closed_at"][order]
    assert set(blocks) <= heights
    for block, text, account in lines:
        if account:
            assert number(account) == balance(record, order, int(block)), (block, text)
    assert any(account for _, _, account in lines)


@pytest.mark.parametrize("name", ["Alice", "Bob", "Dave"])
def test_leases_and_bids_are_those_of_the_page(name: str) -> None:
    record, order = tiny().record, ORDERS[name]
    assert record.bids is not None
    lease = int(record.orders["lease"][order])
    lines = {(int(cells[0]), cells[1]) for cells in rows(section(name))}
    bids = np.flatnonzero(record.bids["order"] == order)
    for row in bids:
        provider = record.providers["name"][int(record.bids["provider"][row])].split("-")[0].title()
        start = f"{provider} bids {float(amount(record.bids, int(row), 'price')):g}"
        assert any(at == record.bids["height"][row] and text.startswith(start) for at, text in lines), start
    assert sum(" bids " in text for _, text in lines) == len(bids)
    winner = record.providers["name"][int(record.leases["provider"][lease])].split("-")[0].title()
    said = f"ease with {winner} at {float(amount(record.leases, lease, 'price')):g}"
    assert any(at == record.leases["created_at"][lease] and said in text for at, text in lines), said
    assert any(at == record.leases["active_at"][lease] and "workload runs" in text for at, text in lines)


def test_the_price_table_is_the_formula() -> None:
    unit = {"North": (Fraction(1), Fraction(12, 10)), "South": (Fraction(12, 10), Fraction(11, 10))}
    table = rows(section("Two price lists"))
    record = tiny().record
    for order, cells in enumerate(table):
        cores = Fraction(int(record.orders["cpu"][order]), 1000)
        assert number(cells[1]) == cores
        assert number(cells[4]) == amount(record.orders, order, "ceiling")
        for column, (per_core, margin) in enumerate(unit.values(), start=2):
            if re.fullmatch(r"[\d.]+", cells[column]):
                assert number(cells[column]) == (cores * per_core + Fraction(1, 4)) * margin
    assert record.bids is not None
    priced = {float(amount(record.bids, row, "price")) for row in range(len(record.bids["height"]))}
    assert priced == {float(cells[at]) for cells in table for at in (2, 3) if re.fullmatch(r"[\d.]+", cells[at])}


def test_payments_take_and_refunds_are_those_of_the_page() -> None:
    record = tiny().record
    leases, settled, events = record.leases, record.settlements, record.events
    assert settled is not None and events is not None
    # lease 0 is Alice's, 1 Bob's, 2 Dave's: gross, take
    assert leases["withdrawn"].tolist() == [297, 220, 296]
    assert leases["fees"].tolist() == [5, 4, 5]
    assert {297, 292, 5, 203} <= numbers(section("Alice"))
    assert {Fraction("296.45"), 296, 291, 5, 1203} <= numbers(section("Dave"))
    bob = settled["lease"] == 1
    assert settled["height"][bob].tolist() == [70, 107, 170, 208]
    assert settled["net"][bob].tolist() == [45, 53, 63, 55]
    assert settled["take"][bob].tolist() == [0, 2, 1, 1]
    assert "45, 53, 63 and 55: 216 uve" in section("Bob")
    moved = [amount(settled, int(row), "moved") for row in np.flatnonzero(bob)]
    assert moved == [45, 55, Fraction("64.5"), Fraction("55.5")]
    assert set(moved) <= numbers(section("Bob"))
    short = [amount(events, int(row)) for row in np.flatnonzero(events["kind"] == EventKind.SHORTFALL)]
    assert short == [Fraction("0.5"), Fraction("1.5")]
    refunds = {
        (int(events["height"][row]), int(events["whole"][row]))
        for row in np.flatnonzero(events["kind"] == EventKind.REFUNDED)
        if events["whole"][row] != 10
    }
    assert refunds == {(130, 500), (140, 203), (200, 1203)}


def test_the_sum_of_the_page_is_the_summary() -> None:
    summary = tiny().summary
    money = {cells[0].split(":")[0]: number(cells[1]) for cells in rows(section("The sum"))}
    escrow = summary["escrow"]
    assert money == {
        "deposited": number(escrow["deposited"]),
        "paid to providers": number(escrow["paid"]),
        "take": number(escrow["fees"]),
        "refunded": number(escrow["refunded"]),
        "dust": number(escrow["dust"]),
        "held at the end": number(escrow["held"]),
    }
    assert summary["revenue"]["by_provider"] == {"north-0": str(292 + 216), "south-0": "291"}
    assert summary["shortfall"] == "2"
    assert summary["fill_rate"] == 0.75
    assert summary["leases"]["close_reasons"] == {
        "tenant_terminated": 1,
        "lease_completed": 1,
        "insufficient_funds": 1,
        "provider_closed": 0,
    }
    assert summary["orders"]["timed_out"] == 1
    assert summary["bids"]["declined"]["insufficient_resources"] == 3


def test_explain_prints_what_the_page_says() -> None:
    from marketsim.report.explain import explain

    for name, at in ORDERS.items():
        text = str(explain(tiny().record, f"{name.lower()}-0/{10 * (1 + at)}"))
        for block, *_ in rows(section(name)):
            assert re.search(rf"block {block}\b", text), (name, block)
        assert "10 uve refunded" not in text  # a bidder's deposit is not this order's


def test_the_golden_fingerprint() -> None:
    assert tiny().summary["fingerprint"] == GOLDEN
