"""Where two runs part: every pair differs in something known, and that is what must be named."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.experiments.difference.find import FirstDifference, chosen_ingredients, first_difference
from marketsim.experiments.difference.report import difference_lines, difference_markdown
from marketsim.experiments.difference.sides import Side, side_of_scenario
from marketsim.recording.trail import INGREDIENTS
from marketsim.scenario import load_scenario, scenario_from_mapping
from marketsim.simulation import run

HORIZON = 2_400
GROUP = {"name": "web", "resources": [{"price": "50", "count": 1, "cpu": 100, "memory": 1048576, "storage": 5242880, "gpu": 0}]}
MARKET: dict[str, Any] = {
    "name": "pairs",
    "rules": "seed",
    "horizon": f"{HORIZON} blocks",
    "start": {
        "params": {"order_max_bids": 20, "bid_min_deposit": 500, "deployment_min_deposit": 1000},
        "wallets": {"ada": 10_000_000, "friend": 5_000_000, "north": 5_000_000, "south": 5_000_000},
        "providers": {"north": {}, "south": {}},
    },
    "tenants": [
        {
            "name": "web",
            "count": 4,
            "demand": {"arrivals": "12/h"},
            "order": {"cpu": {"choice": [1000, 2000]}, "memory": "1Gi", "storage": "5Gi"},
            "ceiling": {"times_cost": 2},
            "duration": "30m",
        }
    ],
    "providers": [
        {"name": "edge", "count": 3, "strategy": "monthly_targets", "capacity": {"cpu": 64000, "memory": "64Gi", "storage": "1Ti"}},
    ],
}


def hand_messages(draw: random.Random) -> list[dict[str, Any]]:
    """A story of two dozen messages at random heights: every operation with an amount, some of them refused."""
    heights = sorted(draw.sample(range(1, HORIZON - 300), 3))
    messages: list[dict[str, Any]] = [{"height": heights[0], "op": "grant", "signer": "ada", "granter": "friend", "limit": "90000",
                                       "scopes": ["deployment"]}]  # fmt: skip
    for number in range(1, 5):
        at = draw.randrange(heights[0] + 1, HORIZON - 250)
        name = f"ada/{number}"
        group = copy.deepcopy(GROUP)
        messages.append({"height": at, "op": "create_deployment", "id": name, "deposit": str(draw.randrange(20_000, 60_000)),
                         "sources": ["balance"], "hash": "a", "groups": [group]})  # fmt: skip
        bids = [{"height": at + 1, "op": "create_bid", "id": f"{name}/1/1/{who}", "price": str(draw.randrange(5, 45)),
                 "deposit": str(draw.randrange(500, 900)), "sources": ["balance"]} for who in ("north", "south")]  # fmt: skip
        messages += bids
        messages.append({"height": at + 5, "op": "create_lease", "id": f"{name}/1/1/{draw.choice(['north', 'south'])}"})
        for _ in range(2):
            source = draw.choice(["balance", "grant"])
            messages.append({"height": at + draw.randrange(6, 200), "op": "account_deposit", "id": name, "signer": "ada",
                             "deposit": str(draw.randrange(1_000, 9_000)), "sources": [source]})  # fmt: skip
        # refused: there is no such account
        messages.append({"height": at, "op": "account_deposit", "id": "ada/99", "signer": "ada",
                         "deposit": str(draw.randrange(100, 900)), "sources": ["balance"]})  # fmt: skip
        messages.append({"height": at + 210, "op": "withdraw", "id": f"{name}/1/1/north"})
    messages.append({"height": heights[1], "op": "set_params", "params": {"bid_min_deposit": draw.randrange(100, 400)}})
    return sorted(messages, key=lambda message: message["height"])


def one_uve_more(message: dict[str, Any], draw: random.Random) -> dict[str, Any] | None:
    """The message with one of its amounts one uve higher, None where it has none."""
    changed = copy.deepcopy(message)
    amounts = [key for key in ("deposit", "price", "limit") if key in message]
    amounts += ["groups"] * ("groups" in message) + ["params"] * ("params" in message)
    if not amounts:
        return None
    key = draw.choice(amounts)
    if key == "groups":
        changed["groups"][0]["resources"][0]["price"] = "51"
    elif key == "params":
        changed["params"]["bid_min_deposit"] += 1
    else:
        changed[key] = str(int(message[key]) + 1)
    return changed


def side(mapping: dict[str, Any], label: str = "scenario", seed: int | None = None) -> Side:
    return side_of_scenario(scenario_from_mapping(mapping, name=label), seed, label)


def difference_of(a: dict[str, Any], b: dict[str, Any], **options: Any) -> FirstDifference:
    return first_difference(side(a, "a"), side(b, "b"), **options)


def test_a_message_that_differs_by_one_uve_is_named_in_100_of_100_pairs() -> None:
    draw = random.Random(26)
    named = 0
    for number in range(100):
        if number % 10 == 0:  # ten stories, ten changes of each
            messages = hand_messages(draw)
            first = side({**MARKET, "seed": number // 10, "messages": messages}, "a")
        while True:
            at = draw.randrange(len(messages))
            changed = one_uve_more(messages[at], draw)
            if changed is not None:
                break
        other = [*messages[:at], changed, *messages[at + 1 :]]
        found = first_difference(first, side({**MARKET, "seed": number // 10, "messages": other}, "b"))
        assert not found.equal and found.how == "replay" and found.message is not None, (number, changed)
        assert found.height == changed["height"], (number, changed)
        for name, said in (("a", messages[at]), ("b", changed)):
            assert found.message[name]["place"] == f"messages[{at}]", (number, changed)
            assert found.message[name]["message"] == said, (number, changed)
        assert not found.draws and len(found.scenario) == 1
        named += 1
    assert named == 100


def test_a_governance_action_is_named_like_a_message() -> None:
    actions = [{"height": 1000, "op": "set_params", "params": {"bid_min_deposit": 700}}]
    other = [{"height": 1000, "op": "set_params", "params": {"bid_min_deposit": 701}}]
    found = difference_of({**MARKET, "governance": actions}, {**MARKET, "governance": other})
    assert found.height == 1000 and found.message is not None
    assert [found.message[name]["place"] for name in ("a", "b")] == ["governance[0]"] * 2
    assert found.message["b"]["message"]["params"] == {"bid_min_deposit": 701}


def test_a_message_that_only_one_run_sends_is_named_alone() -> None:
    draw = random.Random(3)
    messages = hand_messages(draw)
    at = next(i for i, message in enumerate(messages) if message["op"] == "account_deposit" and message["id"] != "ada/99")
    found = difference_of({**MARKET, "messages": messages}, {**MARKET, "messages": messages[:at] + messages[at + 1 :]})
    assert found.height == messages[at]["height"] and found.message is not None
    assert found.message["a"]["place"] == f"messages[{at}]"
    assert found.message["b"] is None or found.message["b"]["message"] != messages[at]
    assert found.event is not None and "deposited" in found.event["a"]["text"]


def test_equal_runs_are_equal_whatever_is_only_reported() -> None:
    found = difference_of(MARKET, {**MARKET, "record": "everything", "description": "the same"})
    assert found.equal and set(found.parted.values()) == {None}


def test_the_draws_that_differ_are_named_by_stream_and_number() -> None:
    changed = copy.deepcopy(MARKET)
    changed["tenants"][0]["order"]["cpu"] = {"choice": [1000, 2001]}
    found = difference_of(MARKET, changed)
    assert found.draws and found.height is not None
    assert {draw.stream.split("/day/")[0] for draw in found.draws} == {"tenant/web"}
    assert {draw.purpose for draw in found.draws} == {"cpu"}
    assert {(draw.a, draw.b) for draw in found.draws} == {(2000.0, 2001.0)}
    assert found.event is not None and "web-" in found.event["a"]["text"]


def test_an_outage_that_one_run_has_is_the_first_event() -> None:
    fault = {"kind": "outage", "provider": "edge/1", "at": "1234 blocks", "lasts": "50 blocks"}
    found = difference_of(MARKET, {**MARKET, "faults": [fault]})
    assert found.height == 1234 and found.event == {"a": None, "b": {"height": 1234, "text": "outage: edge-1, down"}}
    assert found.message is not None and (found.message["op"], found.message["a"]) == ("fault", None)
    assert found.message["b"]["message"] == {"op": "fault", **{key: value for key, value in fault.items() if key != "at"}}
    states = {entry["name"]: entry for entry in found.states}
    assert (states["provider edge-1"]["a"]["up"], states["provider edge-1"]["b"]["up"]) == ("yes", "no")


def test_capacity_that_differs_is_there_before_the_first_block() -> None:
    changed = copy.deepcopy(MARKET)
    changed["providers"][0]["capacity"]["cpu"] = 64001
    found = difference_of(MARKET, changed)
    assert found.height == 0 and found.differing == ["states"]
    assert [entry["name"] for entry in found.states] == ["provider edge-0", "provider edge-1", "provider edge-2"]


def test_what_is_ignored_does_not_count() -> None:
    draw = random.Random(5)
    messages = hand_messages(draw)
    at = next(i for i, message in enumerate(messages) if message["id"] == "ada/99") if all("id" in m for m in messages) else next(
        i for i, message in enumerate(messages) if message.get("id") == "ada/99"
    )  # fmt: skip
    other = [*messages[:at], {**messages[at], "deposit": "99"}, *messages[at + 1 :]]
    pair = side({**MARKET, "messages": messages}, "a"), side({**MARKET, "messages": other}, "b")
    assert first_difference(*pair).differing == ["messages"]  # a refused message changes nothing else
    assert first_difference(*pair, ingredients=chosen_ingredients(ignored=["messages"])).equal
    with pytest.raises(InputError, match="no ingredient, give some of"):
        chosen_ingredients(["figures"])
    with pytest.raises(InputError, match="no ingredient is left"):
        chosen_ingredients(["events"], ["events"])


def test_the_trail_changes_nothing_and_is_the_same_bytes() -> None:
    scenario = scenario_from_mapping({**MARKET, "messages": hand_messages(random.Random(1))})
    with_trail, again, without = run(scenario, trail=True), run(scenario, trail=True), run(scenario)
    assert with_trail.summary == without.summary and without.record.trail is None
    assert with_trail.record.trail is not None and again.record.trail is not None
    assert with_trail.record.trail.text() == again.record.trail.text()


def test_a_trail_of_the_first_blocks_is_the_same_for_every_longer_run() -> None:
    shorter, longer = side({**MARKET, "horizon": "1000 blocks"}), side(MARKET)
    assert shorter.trail is not None and longer.trail is not None
    found = first_difference(shorter, longer)
    assert not found.equal and found.differing == ["horizon"] and set(found.parted.values()) == {None}
    assert shorter.trail.upto(900)[:4] == longer.trail.upto(900)[:4]


def write(folder: Path, mapping: dict[str, Any], *more: str) -> Path:
    file = folder.parent / f"{folder.name}.json"
    file.write_text(json.dumps(mapping))
    assert main(["run", str(file), "--quiet", "--no-figures", "--out", str(folder), *more]) == 0
    return folder


def test_the_command_compares_folders_and_scenarios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = hand_messages(random.Random(9))
    at = next(i for i, message in enumerate(messages) if message["op"] == "create_bid")
    other = [*messages[:at], {**messages[at], "deposit": str(int(messages[at]["deposit"]) + 1)}, *messages[at + 1 :]]
    a = write(tmp_path / "a", {**MARKET, "messages": messages})
    b = write(tmp_path / "b", {**MARKET, "messages": other})
    assert main(["diff", str(a), str(a)]) == 0
    assert main(["diff", str(a), str(tmp_path / "a.json"), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["diff", str(a), str(b), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["height"] == messages[at]["height"] and said["message"]["a"]["place"] == f"messages[{at}]"
    assert said["differing"][0] == "messages" and said["known_from"] == "replay"
    assert main(["diff", str(tmp_path / "a.json"), "--set-b", "take=0.03", "--markdown"]) == 1
    text = capsys.readouterr().out
    assert text.startswith("# ") and "## Scenario" in text and "take" in text
    assert main(["diff", str(a), str(b), "--ignore", "messages,payments,settlements"]) == 0


def test_bad_input_of_the_command_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "a", MARKET)
    file = str(tmp_path / "a.json")
    for line, said in (
        ([str(tmp_path / "nothing"), file], "nothing"),
        ([str(folder), str(folder), "--set-b", "seed=3"], "a finished run cannot be changed"),
        ([str(folder)], "is missing"),
        ([file, "--ingredients", "figures"], "is no ingredient"),
        ([file, "--json", "--markdown"], "give one of the two"),
        ([file, "--set-b", "block_time=5s"], "block_time"),
    ):
        assert main(["diff", *line]) == 2, line
        assert said in capsys.readouterr().err, line
    (folder / "trail.csv").write_text("block\n1\n")
    assert main(["diff", str(folder), str(folder)]) == 2
    assert "trail.csv:1:1: not a trail" in capsys.readouterr().err


def other_sources(folder: Path) -> None:
    """Have a folder say that other sources made it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["origin"]["code"] = "0" * 16
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_folders_of_other_sources_are_told_apart_by_what_they_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = hand_messages(random.Random(11))
    at = next(i for i, message in enumerate(messages) if message["op"] == "create_deployment")
    other = [*messages[:at], {**messages[at], "deposit": str(int(messages[at]["deposit"]) + 1)}, *messages[at + 1 :]]
    mappings = {"a": {**MARKET, "messages": messages}, "b": {**MARKET, "messages": other}}
    for record, known in (("everything", "recorded events"), ("summary", "trails")):
        a, b = (write(tmp_path / f"{name}-{record}", mapping, "--record", record) for name, mapping in mappings.items())
        other_sources(a)
        capsys.readouterr()
        assert main(["diff", str(a), str(b), "--json"]) == 1
        said = json.loads(capsys.readouterr().out)
        assert said["known_from"] == known and any("cannot be played again here" in note for note in said["notes"])
        assert said["chunk"][0] <= messages[at]["height"] <= said["chunk"][1]
        if record == "everything":
            assert said["height"] == messages[at]["height"]
            assert said["event"]["a"]["text"].startswith("deposited: ada/") and said["message"]["b"]["message"]["op"] == "create_deployment"


def test_classes_of_one_name_are_not_taken_for_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two folders with a module of one name: one process would price both with the first."""
    mapping = copy.deepcopy(MARKET) | {"horizon": "600 blocks"}
    mapping["providers"][0]["strategy"] = {"python": "tariff:Price"}
    for name, price in (("a", 10**15), ("b", 10**15 + 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tariff.py").write_text(f"class Price:\n    def price(self, request):\n        return {price}\n")
        (tmp_path / name / "market.json").write_text(json.dumps(mapping))
    assert main(["diff", *(str(tmp_path / name / "market.json") for name in "ab"), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["known_from"] == "recorded events" and said["differing"][0] == "prices"
    assert "bid" in said["event"]["a"]["text"] or "lease" in said["event"]["a"]["text"]
    assert any("of one name and other contents" in note for note in said["notes"])


def test_a_folder_without_a_trail_is_made_again_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = write(tmp_path / "a", MARKET)
    b = write(tmp_path / "b", {**MARKET, "name": "pairs", "take": 0.03})
    (b / "trail.csv").unlink()
    capsys.readouterr()
    assert main(["diff", str(a), str(b), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["known_from"] == "replay"
    other_sources(b)
    assert main(["diff", str(a), str(b)]) == 2
    assert "has no trail and its run cannot be made again here" in capsys.readouterr().err


def test_what_is_printed_names_everything(tmp_path: Path) -> None:
    messages = hand_messages(random.Random(13))
    at = next(i for i, message in enumerate(messages) if message["op"] == "create_bid")
    other = [*messages[:at], {**messages[at], "price": str(int(messages[at]["price"]) + 1)}, *messages[at + 1 :]]
    found = difference_of({**MARKET, "messages": messages}, {**MARKET, "messages": other})
    text = "\n".join(difference_lines(found))
    for part in (f"block {messages[at]['height']:,}", f"messages[{at}]", "create_bid", "in A", "in B", "Streams drawn differently\n  none"):
        assert part in text
    assert found.event is not None and found.event["a"]["text"] in text
    assert all(f"## {title}" in difference_markdown(found) for title in ("Message", "First event that differs", "Scenario"))
    assert set(found.parted) == set(INGREDIENTS)


def test_a_sweeps_runs_keep_trails_where_asked() -> None:
    from marketsim.experiments.runs.simulated import Simulated

    scenario = load_scenario("scenarios/tiny.yaml")
    plain, kept = Simulated(), Simulated(trail=True)
    summary = kept(scenario.effective(), str(scenario.base), 1)
    recorded = run(scenario, seed=1, trail=True).record.trail
    assert recorded is not None and summary.pop("trail") == recorded.text()
    assert summary == plain(scenario.effective(), str(scenario.base), 1)
    assert plain.extent != kept.extent
