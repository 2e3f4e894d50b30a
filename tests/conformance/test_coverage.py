"""The coverage certificate: full for the shipped cases, held to the tables and to what the real chains
answered."""

from __future__ import annotations

import json
import shutil
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest

from marketsim.chain.columns import Rules
from marketsim.chain.edge import Chain, result_of
from marketsim.chain.parsing import ARGUMENTS, OPERATIONS, SIGNERS
from marketsim.chain.rule_sets import QUIRKS_OF, RULES
from marketsim.chain.transitions import ADDRESSED, TableAnswer, addressed_state, outcomes
from marketsim.cli import main
from marketsim.conformance.coverage import AllowedAnswer, Coverage, allowed_rows, cover, row_of
from marketsim.conformance.report import read_vectors
from marketsim.errors import InputError

ROOT = Path(__file__).parents[2]
CASES = ROOT / "scenarios" / "cases"
VECTORS = Path(__file__).parents[1] / "data" / "vectors"
KINDS = ("virtengine", "virtengine-quirks", "akash", "akash-quirks")
FILES = [f"{prefix}-{kind}.jsonl.gz" for prefix in ("scenarios", "market") for kind in KINDS]


@cache
def certificate() -> Coverage:
    return cover(CASES)


@pytest.mark.parametrize("rules", RULES)
def test_the_shipped_cases_reach_every_answer_and_no_other(rules: str) -> None:
    found = certificate()
    assert found.missing(rules) == []
    assert found.outside[rules] == {}
    assert len(found.allowed[rules]) > 130


def test_each_case_alone_reaches_something() -> None:
    found = certificate()
    assert len(found.scenarios) == len(list(CASES.rglob("*.yaml")))
    assert [name for name, rows in found.only_reached_by().items() if rows == 0] == []


def test_without_one_case_the_certificate_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "scenarios"
    shutil.copytree(CASES / "akash", folder / "deep" / "akash")
    arguments = ["coverage", str(folder), "--json", "--require"]
    total = sum(map(len, certificate().allowed.values()))
    reached = len(certificate().allowed["akash"])
    assert main([*arguments, str(100 * reached / total - 0.01)]) == 0
    (folder / "deep" / "akash" / "too-large.yaml").unlink()
    capsys.readouterr()
    assert main([*arguments, str(100 * reached / total - 0.01)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["reached"] == reached - 1
    assert document["missing"]["akash"] == [{"object": "bid", "state": "open", "message": "create_lease", "outcome": "AmountTooLarge"}]


def test_the_table_is_printed_with_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("providers", "sdl", "sweeps", "traces"):
        shutil.copytree(ROOT / "scenarios" / kind, tmp_path / kind)
    shutil.copy(ROOT / "scenarios" / "tiny.yaml", tmp_path / "tiny.yaml")
    shutil.copy(CASES / "seed" / "refused-groups.yaml", tmp_path / "one.yml")
    assert main(["coverage", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "missing under virtengine: create_bid about an order that is open: BidExists" in text
    assert "rows reached by 1 scenarios" in text
    assert main(["coverage", str(tmp_path), "--require", "50", "--quiet"]) == 1


def test_a_folder_without_scenarios_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        cover(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no scenarios"):
        cover(tmp_path)
    (tmp_path / "bad.yaml").write_text("horizon: soon\nmessages: []\n")
    (tmp_path / "worse.yaml").write_text("horizon: [\n")
    with pytest.raises(InputError) as caught:
        cover(tmp_path)
    assert any("bad.yaml:1:10: horizon" in line for line in caught.value.lines)
    assert any("worse.yaml" in line for line in caught.value.lines)


@pytest.mark.parametrize("rules", RULES)
def test_the_rows_are_those_of_the_tables_with_any_quirks(rules: str) -> None:
    """The tables themselves are held to the ladders in test_transitions."""
    quirks = sorted(QUIRKS_OF[RULES[rules]])
    found: set[AllowedAnswer] = set()
    for size in range(len(quirks) + 1):
        for chosen in combinations(quirks, size):
            found |= set(map(row_of, outcomes(RULES[rules], sum(map(int, chosen)))))
    assert found == allowed_rows(RULES[rules])


def test_every_message_can_be_written_by_hand() -> None:
    assert set(SIGNERS) == set(OPERATIONS) == set(ARGUMENTS)
    assert {row.message for rules in Rules for row in allowed_rows(rules)} == set(OPERATIONS)


@pytest.mark.parametrize("name", FILES)
def test_what_the_real_chains_answered_is_a_row(name: str) -> None:
    allowed = {rules: allowed_rows(number) for rules, number in RULES.items()}
    seen: set[AllowedAnswer] = set()
    for _, line in read_vectors(VECTORS / name):
        chain = Chain(line["rules"], line["quirks"], start=line["start"], events=False)
        for message in line["messages"]:
            state = addressed_state(chain, message)
            status = chain.execute(message, message["height"])
            assert result_of(status) == message["result"]
            row = AllowedAnswer(ADDRESSED.get(message["op"], "-"), state, message["op"], message["result"])
            assert row == row_of(TableAnswer(message["op"], state, status))
            assert row in allowed[line["rules"]], (line["id"], message)
            seen.add(row)
    assert len(seen) > 40
