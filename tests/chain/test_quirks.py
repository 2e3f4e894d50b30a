"""Each upstream defect in money: the same messages with the quirk and without, uve by uve."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from marketsim.errors import InputError
from marketsim.scenario import scenario_from_mapping
from marketsim.scenario.rulesets import DEFAULTS, QUIRKS, QUIRKS_LACKING, quirks_of
from marketsim.simulation import Run, run

ROOT = Path(__file__).parents[2]
UNIT = {"price": "50", "count": 1, "cpu": 100, "memory": 1 << 20, "storage": 5 << 20, "gpu": 0}
BOTH = ("virtengine", "akash")
EVERY = tuple(DEFAULTS)
WALLET = 10_000


def deploy(height: int, groups: int = 1) -> dict[str, Any]:
    return {
        "height": height, "op": "create_deployment", "id": "ada/1", "deposit": "5000", "sources": ["balance"],
        "hash": "a", "groups": [{"name": f"g{n}", "resources": [UNIT]} for n in range(groups)],
    }  # fmt: skip


def bid(height: int, id: str, price: str = "10") -> dict[str, Any]:
    return {
        "height": height, "op": "create_bid", "id": id, "price": price, "deposit": "500", "sources": ["balance"],
    }  # fmt: skip


def say(height: int, op: str, id: str, **more: Any) -> dict[str, Any]:
    return {"height": height, "op": op, "id": id, **more}


def played(rules: str, quirk: str | None, messages: list[dict[str, Any]], **keys: Any) -> Run:
    mapping = {
        "rules": rules,
        "quirks": [quirk] if quirk else [],
        "charging": "rate",
        "take": "0",
        "network_fees": False,
        "horizon": "60 blocks",
        "start": {
            "params": {"bid_min_deposit": 500, "deployment_min_deposit": 1000} | keys,
            "wallets": dict.fromkeys(("ada", "north", "south", "west"), WALLET),
            "providers": {"north": {}, "south": {}, "west": {}},
        },
        "messages": messages,
    }
    return run(scenario_from_mapping(mapping), audit=True)


def both(rules: str, quirk: str, messages: list[dict[str, Any]], **keys: Any) -> tuple[Run, Run]:
    """The messages under a rule set without the quirk, and with it."""
    return played(rules, None, messages, **keys), played(rules, quirk, messages, **keys)


def answers(result: Run) -> list[str]:
    return [receipt["result"] for receipt in result.summary["messages"]["receipts"]]


def revenue(result: Run) -> dict[str, int]:
    return {name: coins for name, coins in result.summary["revenue"]["by_provider_uve"].items() if coins}


def escrow(result: Run, key: str) -> int:
    return int(result.summary["escrow"][key])


TWO_LEASES = [
    deploy(2, groups=2), bid(3, "ada/1/1/1/north"), bid(3, "ada/1/2/1/south"),
    say(4, "create_lease", "ada/1/1/1/north"), say(4, "create_lease", "ada/1/2/1/south"),
]  # fmt: skip


@pytest.mark.parametrize("rules", BOTH)
def test_settle_same_height_strands_what_a_neighbour_has_just_settled(rules: str) -> None:
    """North withdraws in the block in which the tenant closes: south's 60 uve of six blocks reach nobody."""
    messages = [
        *TWO_LEASES,
        say(10, "withdraw", "ada/1/1/1/north"),
        say(10, "close_deployment", "ada/1"),
        say(11, "withdraw", "ada/1/2/1/south"),
    ]
    sound, quirky = both(rules, "settle_same_height", messages)
    assert revenue(sound) == {"north": 60, "south": 60}
    assert revenue(quirky) == {"north": 60}
    assert (escrow(sound, "stranded"), escrow(quirky, "stranded")) == (0, 60)
    assert escrow(sound, "refunded") == escrow(quirky, "refunded") == 5000 - 120 + 2 * 500
    assert answers(sound)[-1] == "PaymentClosed"
    assert answers(quirky)[-1] == "AccountClosed"


@pytest.mark.parametrize("rules", BOTH)
def test_payment_create_loses_what_the_others_earned(rules: str) -> None:
    """South's lease opens six blocks after north's: the 60 uve that north had earned by then are gone."""
    messages = [
        deploy(2, groups=2), bid(3, "ada/1/1/1/north"), bid(3, "ada/1/2/1/south"),
        say(4, "create_lease", "ada/1/1/1/north"), say(10, "create_lease", "ada/1/2/1/south"),
        say(20, "close_deployment", "ada/1"),
    ]  # fmt: skip
    sound, quirky = both(rules, "payment_create_loses", messages)
    assert revenue(sound) == {"north": 160, "south": 100}
    assert revenue(quirky) == {"north": 100, "south": 100}
    assert (escrow(sound, "stranded"), escrow(quirky, "stranded")) == (0, 60)
    assert escrow(sound, "refunded") == escrow(quirky, "refunded")


@pytest.mark.parametrize("rules", EVERY)
def test_losing_bids_stay_with_their_deposits_locked(rules: str) -> None:
    """Of two losers one gets its 500 uve back; the other one's stay until it closes the bid itself."""
    messages = [
        deploy(2), bid(3, "ada/1/1/1/north"), bid(3, "ada/1/1/1/south", "11"), bid(3, "ada/1/1/1/west", "12"),
        say(4, "create_lease", "ada/1/1/1/north"),
    ]  # fmt: skip
    sound, quirky = both(rules, "losing_bids_stay", messages)
    assert (escrow(sound, "refunded"), escrow(quirky, "refunded")) == (1000, 500)
    assert escrow(quirky, "held") == escrow(sound, "held") + 500
    closed = played(rules, "losing_bids_stay", [*messages, say(9, "close_bid", "ada/1/1/1/west", reason=10001)])
    assert escrow(closed, "refunded") == 1000


@pytest.mark.parametrize("rules", ["seed", "virtengine"])
def test_open_orders_stay_with_their_bids_deposits_locked(rules: str) -> None:
    """The deployment closes, its order and the bid on it do not: the bidder's 500 uve stay."""
    messages = [deploy(2), bid(3, "ada/1/1/1/north"), say(4, "close_deployment", "ada/1")]
    sound, quirky = both(rules, "open_orders_stay", messages)
    assert (escrow(sound, "refunded"), escrow(quirky, "refunded")) == (5500, 5000)
    assert (escrow(sound, "held"), escrow(quirky, "held")) == (0, 500)
    assert (sound.summary["orders"]["open"], quirky.summary["orders"]["open"]) == (0, 1)


@pytest.mark.parametrize("rules", ["seed", "virtengine"])
def test_pause_open_order_loses_the_business_after_the_pause(rules: str) -> None:
    """A tenant pauses before anybody is chosen and starts again: with the quirk it cannot, and north earns
    nothing where it would have earned 20 blocks at 10 uve."""
    messages = [
        deploy(2), bid(3, "ada/1/1/1/north"), say(4, "pause_group", "ada/1/1"), say(5, "start_group", "ada/1/1"),
        bid(6, "ada/1/1/2/north"), say(7, "create_lease", "ada/1/1/2/north"), say(27, "close_deployment", "ada/1"),
    ]  # fmt: skip
    sound, quirky = both(rules, "pause_open_order", messages)
    assert answers(sound) == ["ok"] * 7
    assert answers(quirky) == ["ok", "ok", "ok", "OrderActive", "OrderNotFound", "BidNotFound", "ok"]
    assert revenue(sound) == {"north": 200}
    assert revenue(quirky) == {}
    assert escrow(quirky, "refunded") == 5000 + 500


@pytest.mark.parametrize("rules", EVERY)
def test_max_bids_off_by_one_lets_one_more_compete(rules: str) -> None:
    """Two bids may be; the third one, two uve cheaper, gets in only with the quirk: 20 blocks, 40 uve."""
    messages = [
        deploy(2), bid(3, "ada/1/1/1/north"), bid(3, "ada/1/1/1/south", "11"), bid(3, "ada/1/1/1/west", "8"),
        say(4, "create_lease", "ada/1/1/1/west"), say(4, "create_lease", "ada/1/1/1/north"),
        say(24, "close_deployment", "ada/1"),
    ]  # fmt: skip
    sound, quirky = both(rules, "max_bids_off_by_one", messages, order_max_bids=2)
    assert revenue(sound) == {"north": 200}
    assert revenue(quirky) == {"west": 160}
    assert sum(sound.summary["bids"]["rejected"].values()) == 1


def test_each_quirk_has_its_test_and_its_rule_sets() -> None:
    tested = {name for name in globals() if name.startswith("test_")}
    for quirk in QUIRKS:
        assert any(name.startswith(f"test_{quirk}") for name in tested)
    for rules in DEFAULTS:
        assert set(quirks_of(rules)) == set(QUIRKS) - set(QUIRKS_LACKING[rules])
        for quirk, reason in QUIRKS_LACKING[rules].items():
            with pytest.raises(InputError, match="does not have quirk"):
                played(rules, quirk, [deploy(2)])
            assert len(reason) > 20


# --- the page ------------------------------------------------------------------------------------------------


def benchmark() -> ModuleType:
    path = ROOT / "benchmarks" / "quirks.py"
    spec = importlib.util.spec_from_file_location("quirks_benchmark", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_tells_every_quirk_of_every_rule_set() -> None:
    page = (ROOT / "docs" / "quirks.md").read_text("utf-8")
    script = benchmark()
    table = page.split(script.MARKERS[0])[1].split(script.MARKERS[1])[0]
    sections = {part.split("\n")[0]: part for part in table.split("### ")[1:]}
    for title in script.MARKETS:
        for rules in script.RULES:
            section = sections[f"{rules}, {title}"]
            for quirk in quirks_of(rules):
                assert f"| `{quirk}` | " in section
    assert "8 pairs of runs" in table
    for quirk in QUIRKS:
        assert f"`{quirk}`" in page.split(script.MARKERS[0])[0]


def test_the_tables_are_differences_of_paired_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    script = benchmark()
    monkeypatch.setattr(script, "MARKETS", {"small": ()})
    scenario = ROOT / "scenarios" / "small.yaml"
    text = script.tables(scenario, 2, extra=["horizon=600 blocks", "warm_up=0s", "initial=0"])
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(quirks_of("virtengine")) + len(quirks_of("akash"))
    assert all(len(row) == 1 + len(script.COLUMNS) for row in rows)
    assert "seeds 1 to 2" in text
    page = f"before\n{script.MARKERS[0]}\nold\n{script.MARKERS[1]}\nafter\n"
    assert script.replaced(page, "new") == page.replace("old\n", "\nnew\n\n")
    with pytest.raises(ValueError, match="lacks the markers"):
        script.replaced("nothing", "new")
