"""What the real chains answered, replayed through the chain: every result and every change of state
identical."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from witness import Witness

from marketsim.chain.columns import G
from marketsim.conformance.market import check, replay, replay_sequence
from marketsim.conformance.report import MalformedVectorError, read_vectors, replay_file

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
KINDS = ("virtengine", "virtengine-quirks", "akash", "akash-quirks")
FILES = [f"{prefix}-{kind}.jsonl.gz" for prefix in ("scenarios", "market") for kind in KINDS]

# The acceptance scenarios of protocol reference 1.13; S11 is the end of S10.
ACCEPTANCE = [f"S{n}" for n in range(1, 26) if n != 11] + ["S13b", "S22b"]


@pytest.mark.parametrize("name", FILES)
def test_every_message_is_identical(name: str) -> None:
    report = replay_file(VECTORS / name, replay, check=check)
    assert report.differences == []
    assert report.identical == report.compared
    assert report.compared > 500


def lines(name: str) -> Iterator[Any]:
    for _, line in read_vectors(VECTORS / name):
        yield copy.deepcopy(line)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scenario", ACCEPTANCE)
def test_acceptance_scenarios_as_the_real_chains_answered(kind: str, scenario: str) -> None:
    (line,) = (line for line in lines(f"scenarios-{kind}.jsonl.gz") if line["id"] == scenario)
    result = replay_sequence(line)
    assert result.differences == ()
    assert result.identical == len(line["messages"]) > 1


@pytest.mark.parametrize("name", FILES)
def test_what_the_real_chains_did_is_in_the_tables(name: str) -> None:
    """The witness fails on an answer or a change of state that the transition tables lack."""
    for line in lines(name):
        witness = Witness(line["rules"], line["quirks"], start=line["start"], charging=None)
        for message in line["messages"]:
            message.pop("changed", None)
            expected = message.pop("result")
            witness.height = message.pop("height")
            assert witness.do(**message) == expected


# Scenarios in which an account runs dry: there rule set seed has rules of its own (tests/chain/test_market.py).
DRY = {"S16", "S22", "S22b", "C", "C2", "C3", "C4", "C5", "D4", "P2", "P3", "P4", "P5"}


def states_and_coins(values: dict[str, Any]) -> dict[str, Any]:
    """What seed and virtengine have in common: coins, and states but for `matched`, which virtengine
    lacks."""
    found = {}
    for name, value in values.items():
        state = value["state"] if isinstance(value, dict) else value
        found[name] = "active" if name.startswith("order ") and state == "matched" else state
    return found


@pytest.mark.parametrize("scenario", [line["id"] for line in lines("scenarios-virtengine.jsonl.gz")])
def test_seed_answers_the_scenarios_as_virtengine_does_until_funds_run_out(scenario: str) -> None:
    (line,) = (line for line in lines("scenarios-virtengine.jsonl.gz") if line["id"] == scenario)
    start = line["start"]
    witness = Witness("seed", start=start, params={G.order_timeout: 0})
    expected: dict[str, Any] = {}
    answers = []
    for message in line["messages"]:
        expected |= message.pop("changed", {})
        result = message.pop("result")
        height = message.pop("height")
        if height > witness.height:
            witness.to(height)
        answers.append((result, witness.do(**message)))
    same = all(result == answer for result, answer in answers) and states_and_coins(expected).items() <= (
        states_and_coins(witness.changes.values).items()
    )
    assert same is (scenario not in DRY)


def a_line() -> Any:
    return next(lines("scenarios-akash.jsonl.gz"))


def differences(line: Any) -> list[tuple[str, str, str, str]]:
    result = replay_sequence(line)
    assert result.identical == result.compared - 1
    return [(d.object, d.field, d.expected, d.found) for d in result.differences]


def test_a_wrong_result_is_found() -> None:
    line = a_line()
    line["messages"][1]["result"] = "SameAccount"
    assert differences(line) == [("result", "", "SameAccount", "Conflict")]


def test_a_wrong_value_is_found() -> None:
    line = a_line()
    line["messages"][0]["changed"]["account tenant-1/1"]["funds"] = "500001"
    assert differences(line) == [("account tenant-1/1", "funds", "500001", "500000")]


def test_a_change_that_did_not_happen_is_found() -> None:
    line = a_line()
    line["messages"][1]["changed"] = {"wallet friend": "1"}
    assert differences(line) == [("wallet friend", "", "1", "(unchanged)")]


def test_a_change_that_nobody_expected_is_found() -> None:
    line = a_line()
    del line["messages"][0]["changed"]["wallet escrow"]
    assert differences(line) == [("wallet escrow", "", "(unchanged)", "500000")]


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (("rules",), "seed", "rules"),
        (("quirks",), "no", "quirks"),
        (("start",), [], "start"),
        (("messages",), {}, "messages"),
        (("messages", 0), 1, "messages[0]"),
        (("messages", 0, "op"), "dance", "messages[0].op"),
        (("messages", 0, "deposit"), "ten", "messages[0].deposit"),
        (("messages", 0, "sources"), ["loan"], "messages[0].sources"),
        (("messages", 0, "id"), "tenant-1", "messages[0].id"),
        (("messages", 0, "id"), "tenant-1/0", "messages[0].id"),
        (("messages", 0, "groups", 0, "resources", 0, "price"), "1e3", "messages[0].price"),
        (("messages", 0, "groups", 0, "resources", 0, "price"), "0." + "1" * 19, "messages[0].price"),
        (("messages", 0, "groups", 0, "resources", 0, "cpu"), "100", "messages[0].cpu"),
        (("messages", 0, "groups", 0, "resources"), 3, "messages[0]"),
        (("start", "params", "speed"), 3, "start.params.speed"),
        (("start", "wallets", "friend"), "x", "start.wallets.friend"),
    ],
)
def test_what_is_no_vector_is_named(path: tuple[Any, ...], value: Any, key: str) -> None:
    line = a_line()
    place = line
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(MalformedVectorError) as caught:
        check(line)
        replay_sequence(line)
    assert caught.value.key == key


@pytest.mark.parametrize("missing", ["id", "rules", "quirks", "start", "messages"])
def test_a_line_lacks_a_part(missing: str) -> None:
    line = a_line()
    del line[missing]
    with pytest.raises(MalformedVectorError) as caught:
        check(line)
    assert caught.value.key == missing


@pytest.mark.parametrize("missing", ["deposit", "groups", "sources", "height", "op", "result"])
def test_a_message_lacks_an_argument(missing: str) -> None:
    line = a_line()
    del line["messages"][0][missing]
    with pytest.raises(MalformedVectorError) as caught:
        check(line)
        replay_sequence(line)
    assert missing in caught.value.key
