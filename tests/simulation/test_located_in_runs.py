"""What only a run finds wrong in a scenario is told with its place in the file."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from marketsim.errors import InputError
from marketsim.scenario import load_scenario
from marketsim.scenario.load import scenario_from_mapping
from marketsim.simulation import run

GROUPS = "groups: [{name: web, resources: [{price: '50', count: COUNT, cpu: 100, memory: 1048576, storage: 5242880, gpu: 1}]}]"
HEAD = """\
name: m
horizon: 100 blocks
start: {wallets: {ada: 100000, north: 50000}, providers: {north: {}}, params: {order_max_bids: MAXIMUM}}
messages:
"""


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (
            f"- {{height: 2, op: create_deployment, id: ada/1, deposit: many, sources: [balance], hash: a,\n   {GROUPS}}}",
            "5:58: messages.0.deposit: 'many' is not a whole number of uve",
        ),
        (
            f"- {{height: 2, op: create_deployment, id: ada/1, deposit: 500000, sources: [balance], hash: a,\n   {GROUPS}}}".replace(
                "COUNT", "x"
            ),
            "6:58: messages.0.groups.web.resources.0.count: 'x' is not a whole number",
        ),
        (
            "- {height: 2, op: set_params, params: {take_percent: 2}}\n- {height: 3, op: set_params, params: {take_percent: all}}",
            "6:54: messages.1.params.take_percent: 'all' is not a whole number",
        ),
        (
            "- {height: 2, op: create_bid, id: ada/1/1/1/north, price: 1, deposit: 1, sources: [thin air]}",
            "5:83: messages.0.sources: 'thin air' is not a source, expected balance or grant",
        ),
        (
            "- {height: 2, op: create_bid, id: ada/1/1/1/north, price: 1, deposit: 1, sources: 7}",
            "5:3: messages.0: create_bid: has a value of the wrong kind",
        ),
    ],
)
def test_a_bad_value_in_a_message_by_hand(tmp_path: Path, message: str, told: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(HEAD.replace("MAXIMUM", "4") + message.replace("COUNT", "1") + "\n")
    with pytest.raises(InputError) as caught:
        run(load_scenario(path))
    assert len(caught.value.lines) == 1
    assert caught.value.lines[0].startswith(f"{path}:{told}")


def test_a_bad_parameter_at_the_start_and_by_governance(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    message = "- {height: 2, op: close_deployment, id: ada/1}\n"
    path.write_text(HEAD.replace("MAXIMUM", "many") + message)
    with pytest.raises(InputError, match=r"m\.yaml:3:96: start\.params\.order_max_bids: 'many' is not a whole number"):
        run(load_scenario(path))
    path.write_text(HEAD.replace("MAXIMUM", "4") + message + "governance:\n- {height: 9, op: set_params, params: {order_max_bids: x}}\n")
    with pytest.raises(InputError, match=r"m\.yaml:7:56: governance\.0\.params\.order_max_bids: 'x' is not"):
        run(load_scenario(path))


def test_a_draw_out_of_range_is_told_with_its_cohort(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "scenarios" / "tiny.yaml"
    with pytest.raises(InputError) as caught:
        run(load_scenario(shipped, ["tenants.dave.utilization=2000"]))
    assert caught.value.lines == ("--set: tenants.dave.utilization: a draw above 1000, accepted 0 to 1000",)


def test_without_a_file_the_path_is_told() -> None:
    mapping = {"horizon": "9 blocks", "messages": [{"height": 1, "op": "create_bid", "id": "a/1/1/1/p", "price": "1",
               "deposit": "x", "sources": []}]}  # fmt: skip
    with pytest.raises(InputError, match=r"^scenario: messages\.0\.deposit: 'x' is not a whole number of uve$"):
        run(scenario_from_mapping(mapping))


def test_the_place_is_no_part_of_a_scenario(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    for path in (one, two):
        path.write_text(HEAD.replace("MAXIMUM", "4") + "- {height: 2, op: close_deployment, id: ada/1}\n")
    first, second = load_scenario(one), load_scenario(two)
    assert first == second
    assert hash(first._places) == hash(second._places)
    assert pickle.loads(pickle.dumps(first)) == first
