"""The escrow vectors: a selection replayed in both modes of running, and a replay that notices every kind
of difference.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from marketsim.conformance.escrow import replay
from marketsim.conformance.report import MalformedVectorError, replay_file
from marketsim.conformance.shapes import check_escrow
from marketsim.kernel.modes import COMPILING

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
FILES = ("escrow-sequential.jsonl.gz", "escrow-sequential-quirks.jsonl.gz", "escrow-seed.jsonl.gz")

PROGRAM = """
import sys
from pathlib import Path
from marketsim.conformance.escrow import replay
from marketsim.conformance.report import replay_file
for name in sys.argv[1:]:
    report = replay_file(Path(name), replay)
    print(report.identical, report.compared, *report.differences)
"""


def lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(VECTORS / name, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


@pytest.mark.parametrize("name", FILES)
def test_every_operation_is_identical(name: str) -> None:
    report = replay_file(VECTORS / name, replay, check=check_escrow)
    assert report.differences == []
    assert report.identical == report.compared > 900


def test_the_other_mode_of_running_gives_the_same() -> None:
    environment = os.environ | {
        "MARKETSIM_COMPILE": "0" if COMPILING else "1",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *(str(VECTORS / name) for name in FILES)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    counts = [line.split() for line in done.stdout.splitlines()]
    assert len(counts) == len(FILES)
    for identical, compared, *differences in counts:
        assert identical == compared
        assert differences == []


def changed(line: dict[str, Any], at: int, **values: Any) -> dict[str, Any]:
    other = copy.deepcopy(line)
    other["ops"][at].update(values)
    return other


def with_auto() -> tuple[dict[str, Any], int]:
    for line in lines("escrow-seed.jsonl.gz"):
        for index, op in enumerate(line["ops"]):
            if op.get("auto") and op["op"] == "settle" and index + 1 < len(line["ops"]):
                return line, index
    raise AssertionError("the selection has no settlement of the cadence")


def test_a_wrong_result_and_a_wrong_state_are_found() -> None:
    line = lines("escrow-sequential.jsonl.gz")[0]
    (same,) = replay([line])
    assert same.identical == same.compared == len(line["ops"])
    (result,) = replay([changed(line, 0, result="InvalidDeposit")])
    assert result.identical == result.compared - 1
    assert [(d.field, d.expected, d.found) for d in result.differences] == [("result", "InvalidDeposit", "ok")]
    after = copy.deepcopy(line["ops"][0]["after"])
    after["account"]["funds"] = "1"
    (result,) = replay([changed(line, 0, after=after)])
    assert [d.field for d in result.differences] == ["account.funds"]


def test_what_an_account_does_by_itself_is_held_to_its_height_and_kind() -> None:
    line, index = with_auto()
    for values in ({"op": "deplete"}, {"op": "grace_end"}):
        (result,) = replay([changed(line, index, **values)])
        assert result.differences[0].field == "does"
    early = changed(line, index, height=line["ops"][index]["height"] - 1)
    (result,) = replay([early])
    assert result.differences[0].message == index
    # left out of the file, it is something that happened in between
    missing = copy.deepcopy(line)
    del missing["ops"][index]
    (result,) = replay([missing])
    assert result.differences[0].message == index
    assert result.identical < result.compared
    # and one more than there is does not happen
    extra = copy.deepcopy(line)
    extra["ops"].insert(index + 1, extra["ops"][index])
    (result,) = replay([extra])
    assert result.differences[0].message == index + 1


def test_operations_before_there_is_anything_are_answered() -> None:
    line = {
        "id": "x",
        "rule": "sequential",
        "take_percent": 2,
        "quirks": False,
        "opened_at": 1,
        "ops": [
            {
                "height": 1,
                "op": "account_close",
                "result": "AccountNotFound",
                "after": {"account": None, "payments": {}},
            },
        ],
    }
    (result,) = replay([line])
    assert result.identical == 1
    opened = lines("escrow-sequential.jsonl.gz")[0]
    first = opened["ops"][0]
    unknown = {"height": first["height"], "op": "payment_close", "payment": "9/9/nobody"}
    opened["ops"] = [first, unknown | {"result": "PaymentNotFound", "after": first["after"]}]
    (result,) = replay([opened])
    assert result.differences == ()


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("take_percent", {"take_percent": 101}),
        ("charging", {"charging": "by weight"}),
    ],
)
def test_parameters_that_no_rule_has_are_refused(key: str, values: dict[str, Any]) -> None:
    line = lines("escrow-seed.jsonl.gz")[0] | values
    with pytest.raises(MalformedVectorError) as caught:
        list(replay([line]))
    assert caught.value.key == key


@pytest.mark.parametrize("payment", ["1", "1/1", "1/1/", "a/1/p", "01/1/p", "1/-1/p", "1/1234567890/p"])
def test_keys_that_are_none_are_refused(payment: str) -> None:
    line = copy.deepcopy(lines("escrow-sequential.jsonl.gz")[0])
    line["ops"][0] = line["ops"][0] | {"op": "payment_close", "payment": payment}
    with pytest.raises(MalformedVectorError, match="gseq/oseq/provider"):
        list(replay([line]))


def test_amounts_beyond_the_range_are_refused() -> None:
    line = copy.deepcopy(lines("escrow-sequential.jsonl.gz")[0])
    opening = next(op for op in line["ops"] if op["op"] == "payment_create")
    opening["rate"] = "10000000000"
    with pytest.raises(MalformedVectorError, match="rate"):
        list(replay([line]))
    opening["rate"] = "1.0000000000000000001"
    with pytest.raises(MalformedVectorError, match="18 decimals"):
        list(replay([line]))
    line["ops"][0]["amount"] = "9" * 30
    with pytest.raises(MalformedVectorError, match="coins"):
        list(replay([line]))


def large(rule: str) -> dict[str, Any]:
    """Deposits of 10^12 uve, a rate of 10^7 with 18 decimals, five years of blocks between operations."""
    years = 5 * 5_259_600
    rate = "9999999.999999999999999999"
    moved = (9999999999999999999999999 * years) // 10**18
    deposit = 10**12
    assert moved > deposit
    ops: list[dict[str, Any]] = [
        {"height": 1, "op": "deposit", "owner": "tenant", "amount": str(deposit)},
        {"height": 1, "op": "payment_create", "payment": "2/1/p", "rate": rate},
        {"height": 1 + years, "op": "payment_withdraw", "payment": "2/1/p"},
        {"height": 1 + years, "op": "deposit", "owner": "tenant", "amount": str(deposit)},
    ]
    for op in ops:
        op |= {"result": "ok", "after": {}}
    return {"id": "large", "rule": rule, "take_percent": 2, "quirks": False, "opened_at": 1, "ops": ops}


def test_the_largest_amounts_stay_exact() -> None:
    line = large("sequential")
    (result,) = replay([line])
    found = {(d.message, d.field): d.found for d in result.differences}
    owed = 9999999999999999999999999 * (5 * 5_259_600) // 10**18
    assert json.loads(found[2, "account"])["funds"] == str(10**12 - owed)
    assert json.loads(found[3, "account"])["funds"] == str(10**12 - (owed - 10**12))
    assert json.loads(found[3, "payments"])["2/1/p"]["unsettled"] == str(owed - 2 * 10**12)
    assert json.loads(found[3, "payments"])["2/1/p"]["provider"] == str(2 * 10**12 * 98 // 100)
