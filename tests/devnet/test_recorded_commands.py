"""51 commands that were recorded on a real chain, run in their order on a devnet: equal answers after masking what must differ."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ruamel.yaml import YAML

from marketsim.devnet.node import DevnetNode
from marketsim.devnet.words.execute import CommandOutput, execute

RECORDED = [json.loads(line) for line in (Path(__file__).parents[1] / "data/recordings/virtengine-cli.jsonl").read_text().splitlines()]
REFUSED = "as the training document has it"
SCENARIO: dict[str, Any] = {
    "name": "recorded",
    "rules": "virtengine",
    "horizon": "1000 blocks",
    "deployment_min_deposit": "500000uve",
    "bid_min_deposit": "500000uve",
    "messages": [{"height": 999, "op": "close_deployment", "id": "tenant/1"}],
}
MANIFEST = """\
version: "2.0"
services:
  web:
    image: nginx
    expose: [{port: 80, as: 80, to: [{global: true}]}]
profiles:
  compute: {web: {resources: {cpu: {units: 1}, memory: {size: 512Mi}, storage: {size: 1Gi}}}}
  placement: {west: {attributes: {region: us-west}, pricing: {web: {denom: uve, amount: 100}}}}
deployment: {web: {west: {profile: web, count: 1}}}
"""
REGISTRATION = "host: https://provider.example\nattributes:\n  - {key: region, value: us-west}\n"


class Answered(NamedTuple):
    """A recorded command, what the devnet said to it, in its own words and with VIRTENGINE_STRICT, and a mask of addresses."""

    recorded: dict[str, Any]
    said: CommandOutput
    strict: CommandOutput | None


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Answered]]:
    """All of them, after what the recording's chain had been through before it began: a deployment of number 58 that came and went."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "deployment.yaml").write_text(MANIFEST)
    (folder / "provider.yaml").write_text(REGISTRATION)
    node = DevnetNode.open(folder, SCENARIO, speed=0)

    def run(command: str, strict: bool = False) -> CommandOutput:
        words = re.sub(r"<(\w+)>", lambda match: node.keys[match[1]].address, command)
        words = re.sub(r"\w+\.yaml", lambda match: str(folder / match[0]), words)
        return execute(shlex.split(words)[1:], lambda: node, strict=strict)

    def begin(*commands: str) -> None:
        for command in commands:
            said = run(f"virtengine {command}")
            assert said.code == 0, (command, said.err)

    begin("keys add provider2", "tx provider update provider.yaml --from provider")
    node.faucet("provider2", 10**12)
    node.advance(until=58)
    begin(
        "tx provider create provider.yaml --from provider2",
        "tx deployment create deployment.yaml --from tenant --deposit 5000000uve --dseq 58",
        "tx market bid create --owner <tenant> --dseq 58 --price 40uve --from provider",
        "tx market bid create --owner <tenant> --dseq 58 --price 45uve --from provider2",
        "tx market lease create --dseq 58 --provider <provider> --from tenant",
        "tx deployment close --dseq 58 --from tenant",
    )
    node.advance(until=119)
    found = []
    for each in RECORDED:
        is_refused = each.get("note") == REFUSED
        # what the real chain refuses is said in both ways; the rest must be as recorded in both, and can be done but once
        found.append(Answered(each, run(each["command"]) if is_refused else run(each["command"], strict=len(found) % 2 == 1), None))
        if is_refused:
            found[-1] = found[-1]._replace(strict=run(each["command"], strict=True))
    yield found
    node.close()


def read(said: str) -> Any:
    """An answer as data: JSON, YAML, or the text of an error."""
    if said.startswith(("{", "[")):
        return json.loads(said, parse_float=str)
    return said.strip() if said.startswith("Error: ") else YAML(typ="safe").load(said)


def masked(value: Any, key: str = "") -> Any:
    """An answer with addresses, heights, hashes, gas and balances masked; keys, their order, types and all other values remain."""
    if isinstance(value, dict):
        return [(name, masked(each, name)) for name, each in value.items()]
    if isinstance(value, list):
        return [masked(each, key) for each in value]
    if isinstance(value, str):
        if value.startswith(("{", '"')):
            return masked(json.loads(value), key)
        value = re.sub(r"<\w+>|ve1[a-z0-9]{38}", "ADDRESS", value)
        value = re.sub(r"with gas used: '\d+'", "with gas used: 'GAS'", value)
        value = "MASKED" if key in ("hash", "height", "created_at", "closed_on", "settled_at", "gas_used") else value
        return re.sub(r"^\d[\d.]*$", "BALANCE", value) if key == "amount" else value
    return (type(value).__name__, value)


def test_the_real_command_lines_answers_are_equal(answered: list[Answered]) -> None:
    equal = [
        each.recorded["command"]
        for each in answered
        if each.recorded.get("note") != REFUSED
        and each.said.code == each.recorded["exit"]
        and masked(read(each.said.out or each.said.err)) == masked(read(each.recorded["output"]))
    ]
    assert (len(equal), len(RECORDED)) == (42, 51), [
        (each.recorded["command"], each.said) for each in answered if each.recorded["command"] not in equal
    ]


def test_rows_of_lists_come_in_the_chains_order(answered: list[Answered]) -> None:
    # Which row is whose: numbers of deployments and states in the recorded order, providers by their place among addresses.
    for each in answered:
        if each.recorded["command"].startswith("virtengine query") and each.recorded["exit"] == 0:
            mine, theirs = (re.findall(r'"?dseq"?: ?"(\d+)"|state"?: ?"?(\w+)', text) for text in (each.said.out, each.recorded["output"]))
            assert mine == theirs, each.recorded["command"]


def test_strictly_the_documents_form_is_refused_as_recorded(answered: list[Answered]) -> None:
    strict = [each for each in answered if each.strict is not None]
    assert len(strict) == 9
    for each in strict:
        assert each.strict is not None
        assert (each.strict.out, each.strict.err.rstrip("\n"), each.strict.code) == ("", each.recorded["output"], each.recorded["exit"])


def test_the_documents_form_says_how_the_real_one_is_written(answered: list[Answered]) -> None:
    for each in answered:
        notes = each.said.err.count("note: the training document's form; the real command line has ")
        assert notes == (each.recorded.get("note") == REFUSED), each.recorded["command"]


def test_a_query_in_the_documents_form_answers(answered: list[Answered]) -> None:
    by_command = {each.recorded["command"].split(" --")[0]: each.said for each in answered if each.strict is not None}
    for command in ("orders", "leases", "bids"):
        said = by_command[f"virtengine query market {command}"]
        assert said.code == 0 and command in YAML(typ="safe").load(said.out)
    # at this place of the sequence there is no such lease yet, and the real texts say so
    assert "lease not found" in by_command["virtengine query market lease"].err
    assert by_command["virtengine query escrow account"].code == 0
