from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_type_hints

import numpy as np
import pytest
from synthetic_record import make_record

from marketsim.errors import InputError
from marketsim.export.results import as_recorded
from marketsim.recording.record import UNFILLED, Record
from marketsim.report.explain import Explanation, explain, order_id
from marketsim.report.phrases import UNFILLED_TEXT

RECORD = make_record(400)


def _section(story: Explanation, title: str) -> list[str]:
    return next(list(section.lines) for section in story.sections if section.title == title)


def _leased(record: Record, nth: int = 0) -> int:
    return int(np.flatnonzero((record.orders["lease"] >= 0) & (record.orders["bids"] > 2))[nth])


def test_a_leased_order_is_told_to_the_end() -> None:
    row = _leased(RECORD)
    story = explain(RECORD, order_id(RECORD, row))
    lease = int(RECORD.orders["lease"][row])
    provider = RECORD.providers["name"][RECORD.leases["provider"][lease]]
    bids = _section(story, "Bids")
    assert RECORD.bids is not None and sum(line[0].isdigit() for line in bids) == (RECORD.bids["order"] == row).sum()
    assert any(line.startswith(f"1. {provider}:") and "won" in line for line in bids)
    happened = "\n".join(_section(story, "What happened"))
    for part in ("order created", "deposited", f"lease created with {provider}", "the workload runs"):
        assert part in happened
    payments = _section(story, "Payments")
    gross = int(RECORD.leases["withdrawn"][lease])
    assert payments[0].startswith(f"{gross:,} uve paid out")
    assert RECORD.settlements is not None
    assert sum(line.startswith("block") for line in payments) == min(24, (RECORD.settlements["lease"] == lease).sum())
    assert f"{provider} won with the lowest of" in _section(story, "Why")[0]


def test_facts_stand_in_the_order_of_their_heights() -> None:
    lines = _section(explain(RECORD, f"#{_leased(RECORD, 3)}"), "What happened")
    heights = [int(line.split(",  ")[0].split(", 2026")[0].removeprefix("block ").replace(",", "")) for line in lines]
    assert len(heights) > 3 and heights == sorted(heights)


def test_an_order_without_a_lease_says_why() -> None:
    row = int(np.flatnonzero(RECORD.orders["unfilled"] >= 0)[2])
    story = explain(RECORD, f"#{row}")
    assert UNFILLED_TEXT[UNFILLED[RECORD.orders["unfilled"][row]]] in _section(story, "Why")[0]
    assert any("price_too_high" in line for line in _section(story, "Bids"))


def test_a_dearer_winner_is_not_called_the_lowest() -> None:
    row = _leased(RECORD)
    assert RECORD.bids is not None
    lease = int(RECORD.orders["lease"][row])
    own = (RECORD.bids["order"] == row) & (RECORD.bids["provider"] == RECORD.leases["provider"][lease])
    bids = {**RECORD.bids, "price_whole": np.where(own, 10**9, RECORD.bids["price_whole"])}
    assert "above the lowest" in _section(explain(replace(RECORD, bids=bids), f"#{row}"), "Why")[0]


def test_ids_may_be_cut_and_lengthened() -> None:
    row = _leased(RECORD)
    whole = order_id(RECORD, row)
    tenant_dseq = whole.rsplit("/", 2)[0]
    provider = RECORD.providers["name"][RECORD.leases["provider"][RECORD.orders["lease"][row]]]
    for text in (tenant_dseq, f"{whole}/{provider}", f" {whole}/ ", f"#{row}"):
        assert explain(RECORD, text).name == whole


def test_a_provider_beside_its_siblings() -> None:
    story = explain(RECORD, "hyperscale/3")
    slot = RECORD.providers["name"].index("hyperscale/3")
    won = int(RECORD.providers["won"][slot])
    assert any(f"{won} won" in line for line in _section(story, "Bids"))
    assert "its 3 siblings" in _section(story, "Beside its siblings")[0]
    events = "\n".join(_section(story, "Events"))
    for part in ("offline", "online again", "prices now × 0.9500", "blocked by governance"):
        assert part in events


def test_a_provider_that_wins_far_more_is_said_to() -> None:
    providers = {
        **RECORD.providers,
        "won": RECORD.providers["won"].copy(),
        "cost_ppm": np.full(20, 10**6, np.int64),
    }
    providers["won"][19] = 4000
    providers["cost_ppm"][19] = 930_000
    lines = _section(explain(replace(RECORD, providers=providers), "edge/5"), "Beside its siblings")
    assert "beyond chance" in lines[1]
    providers["won"][14:19] = 0
    lines = _section(explain(replace(RECORD, providers=providers), "edge/5"), "Beside its siblings")
    assert "beyond chance, while they won none" in lines[1]
    assert any("cost draw 0.9300, siblings' mean 1.0000" in line for line in lines)


def test_a_tenant_lists_its_orders() -> None:
    story = explain(RECORD, "web/1")
    assert story.kind == "tenant" and any(line.startswith("web/1/") for line in _section(story, "Orders"))


@pytest.mark.parametrize(
    ("target", "near"),
    [
        ("hyperscle/3", "hyperscale/3"),
        ("web/9", "web/"),
        ("#99999", "expected"),
        ("", "expected"),
        ("edge", "edge/"),
    ],
)
def test_near_matches_of_what_is_not_there(target: str, near: str) -> None:
    with pytest.raises(InputError) as error:
        explain(RECORD, target)
    assert near in str(error.value) and len(error.value.lines) == 1


def test_near_orders_of_the_tenant() -> None:
    row = _leased(RECORD)
    tenant, dseq = order_id(RECORD, row).rsplit("/", 3)[:2]
    with pytest.raises(InputError, match=f"{tenant}/{dseq}/1/1"):
        explain(RECORD, f"{tenant}/{dseq}/1/7")


def test_what_was_not_recorded_is_said() -> None:
    row = _leased(RECORD)
    orders = as_recorded(replace(RECORD, bids=None, declines=None, events=None, meta=RECORD.meta | {"record": "orders"}))
    text = str(explain(orders, f"#{row}"))
    assert "the bids themselves were not recorded (record: orders)" in text
    assert "were not recorded" in str(explain(orders, "edge/1"))
    summary = as_recorded(replace(RECORD, meta=RECORD.meta | {"record": "summary"}))
    assert "its leases were not recorded" in str(explain(summary, "edge/1"))
    with pytest.raises(InputError, match="orders were not recorded"):
        explain(summary, f"#{row}")


def test_names_are_taken_as_results_and_as_scenarios_write_them() -> None:
    def hyphenated(table: dict[str, Any]) -> dict[str, Any]:
        return {**table, "name": [name.replace("/", "-") for name in table["name"]]}

    record = replace(RECORD, providers=hyphenated(RECORD.providers), tenants=hyphenated(RECORD.tenants))
    row = _leased(record)
    whole = order_id(record, row)
    provider = record.providers["name"][record.leases["provider"][record.orders["lease"][row]]]
    assert "-" in whole and "-" in provider
    for text in (whole, whole.replace("-", "/"), f"{whole}/{provider}", f"{whole}/{provider}".replace("-", "/"), str(row), f"#{row}"):
        assert explain(record, text).name == whole
    assert explain(record, "edge/0").name == explain(record, "edge-0").name == "edge-0"
    assert explain(record, "web/1").name == explain(record, "web-1").name == "web-1"


def test_the_help_names_what_is_taken() -> None:
    from marketsim.cli.explain import explain as command

    [words] = [one.help for one in get_type_hints(command, include_extras=True)["target"].__metadata__]
    for name in re.findall(r"such as ([a-z]+-\d+)", words):
        assert name.partition("-")[0] in {"edge", "web"}
        assert explain(RECORD, name.replace("-", "/")).name == name.replace("-", "/")
    assert explain(RECORD, re.findall(r"row (\d+)", words)[0]).kind == "order"
