"""The document's dashboard of a running devnet: its figures, on a terminal with keys, as text for logs."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from devnets import served
from textual.widgets import Label, Static, TextArea

from marketsim.cli import main
from marketsim.dash.panel import alarms, panel
from marketsim.dash.running import RunningDevnet
from marketsim.dash.screen import DashboardScreen, Story
from marketsim.dash.table import ListTable
from marketsim.dash.watched import TABS
from marketsim.devnet.client import Client
from marketsim.devnet.node_error import NodeError

DAY = 14_400
PROVIDERS = {"trainee-0", "rival-0", "provider-0"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dashboard")


@pytest.fixture(scope="module")
def client(place: Path) -> Iterator[Client]:
    with served(place, "training", speed=0) as found:
        found.advance(2 * DAY)
        yield found


def series(client: Client, name: str) -> dict[str, float]:
    """What /metrics has of a series, by provider or by what stands between its braces."""
    lines = re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", client.metrics().decode(), re.MULTILINE)
    return {labels: float(value) for labels, value in lines}


def everything(client: Client) -> list[dict[str, object]]:
    """All events."""
    found, after = [], 0
    while True:
        page = client.events(after, 1000)
        if not page["events"]:
            return found
        found += page["events"]
        after = page["next"]


def test_its_figures_are_those_of_the_metrics_and_of_the_events(client: Client) -> None:
    all_of_them = client.dashboard()
    height = all_of_them["height"]
    assert all_of_them["leases"]["active"] == sum(series(client, "virtengine_market_active_leases").values()) > 0
    assert all_of_them["leases"]["capacity"] == sum(series(client, "virtengine_provider_lease_capacity").values())
    assert all_of_them["escrow"]["warnings"] == sum(series(client, "virtengine_escrow_warnings").values()) > 0
    events = everything(client)
    moved = {0: 0.0, 1: 0.0}
    for event in events:
        if event["event"] == "Settled":
            moved[(height - int(str(event["height"]))) // DAY] += float(str(event["amount"]))
    revenue = all_of_them["revenue"]
    assert revenue["day_uve"] == pytest.approx(moved[0]) and revenue["change"] == pytest.approx(moved[0] / moved[1] - 1)
    made = [event for event in events if event["event"] == "BidCreated" and int(str(event["height"])) > height - 600]
    assert all_of_them["bids"]["hour"] == len(made) > 0
    gone = [event for event in events if event["event"] == "LeaseClosed" and int(str(event["height"])) > height - DAY]
    assert sum(all_of_them["closed"].values()) == len(gone) > 0
    mine = client.dashboard("provider")
    assert mine["leases"]["active"] == client.status()["provider"]["active_leases"]
    assert mine["provider"] == client.status()["provider"]["address"] and mine["orders"] == all_of_them["orders"]
    with pytest.raises(NodeError, match="'tenant' is no provider"):
        client.dashboard("tenant")


def test_a_snapshot_brings_the_figures_back(client: Client) -> None:
    before = client.dashboard()
    client.snapshot("before")
    client.advance(700)
    assert client.dashboard()["bids"] != before["bids"]
    client.revert("before")
    assert client.dashboard() == before


def test_a_frame_as_text(client: Client, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["dash", "--dir", str(place), "--provider", "all", "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = client.dashboard()
    assert f"block {found['height']:,}" in lines[0] and lines[1:19] == panel(found) and {len(line) for line in lines[1:19]} == {80}
    assert f"Escrow Warnings: {found['escrow']['warnings']}" in alarms(found)
    assert "bid-engine" in lines[-1]
    assert main(["dash", "--dir", str(place)]) == 2 and "is no terminal" in capsys.readouterr().err
    assert main(["dash", "--dir", str(place / "none"), "--once"]) == 2 and "no devnet runs" in capsys.readouterr().err
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "textual" else there(name, *more))
    assert main(["dash", "--dir", str(place)]) == 2
    assert "textual is not installed, `pip install 'marketsim[dash]'`" in capsys.readouterr().err


def test_keys_of_the_terminal(client: Client) -> None:
    async def walk(size: tuple[int, int]) -> None:
        app = DashboardScreen(RunningDevnet(client), provider="provider", every=0.1)
        async with app.run_test(size=size) as pilot:

            async def until(text: str, where: str = "#panel") -> None:
                for _ in range(200):
                    if text in str(app.query_one(where, Static).content):
                        return
                    await pilot.pause(0.05)
                raise AssertionError(f"{text!r} is not in {app.query_one(where, Static).content}")

            async def until_true(holds: Callable[[], bool]) -> None:
                for _ in range(200):
                    if holds():
                        return
                    await pilot.pause(0.05)
                raise AssertionError(shown(app))

            height = client.clock()["height"]
            await until(f"block {height:,}", "#head")
            await until("Active Leases: ")
            assert len(str(app.query_one("#panel", Static).content).splitlines()[0]) == size[0]
            if size[1] > 24:
                return
            await pilot.press("p")
            await until("rests", "#head")
            assert client.clock()["paused"]
            await pilot.press("a")
            await until(f"block {height + 100:,}", "#head")
            await pilot.press("r", "m", "5")
            await until("a block a message", "#head")
            await until("all providers")
            assert not client.clock()["paused"] and not app.query_one("#trouble", Label).display
            await until_true(lambda: "bid-engine" in app.query_one("#journal", TextArea).text)
            await pilot.press("1")
            table = app.query_one("#leases", ListTable)
            lowest = client.dashboard(lowest=10_000)["escrow"]["lowest"]
            await until_true(lambda: [row[-1] for row in table.rows] == [each["lease"] for each in lowest])
            owner = lowest[0]["lease"].partition("/")[0][-5:]
            await pilot.press("slash", *owner, "enter")
            await until_true(lambda: len(table.rows) == sum(owner in each["lease"] for each in lowest))
            await pilot.press("escape", "4")
            await until_true(lambda: len(app.query_one("#warnings", ListTable).rows) == client.dashboard()["escrow"]["warnings"])
            await pilot.press("3")
            await until_true(lambda: {row[-1].split()[1] for row in app.query_one("#providers", ListTable).rows} == PROVIDERS)
            await pilot.press("1", "home", "w")
            await until_true(lambda: isinstance(app.screen, Story))
            story = app.screen.query_one(TextArea).text
            assert "order created" in story and f"virtengine query market lease get --owner {lowest[0]['lease'][:8]}" in story
            await pilot.press("escape", "comma")
            await until_true(lambda: any("a devnet goes on only" in each.message for each in app._notifications))
            await pilot.press("q")

    asyncio.run(walk((80, 24)))
    asyncio.run(walk((200, 50)))


def shown(app: DashboardScreen) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def test_why_is_told_as_of_a_run(client: Client) -> None:
    [lease] = client.leases({"state": "active", "provider": "provider"}, limit=1)["leases"]
    order, before = lease["order"], client.dashboard()
    [bid, *_] = client.bids({"order": order})["bids"]
    told = client.explain(lease["id"])
    assert told == client.explain(order) == client.explain(bid["id"])
    for part in ("order created", "lease created with provider-0", "Bids\n  1. ", "settlements are not kept by a market that goes on"):
        assert part in told
    assert f"order={order} price=" in told.partition("provider-daemon of provider\n")[2]
    assert told.splitlines()[0].partition("/")[2] == order.partition("/")[2]
    for name in ("provider", "rival-0", lease["owner"]):
        assert client.explain(name).startswith(("Provider ", "Tenant "))
    assert client.dashboard() == before
    with pytest.raises(NodeError, match="no such order"):
        client.explain("tenant/1/1/1")


def test_commands_that_are_shown_are_commands(client: Client, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    market = RunningDevnet(client)
    [lease] = client.leases({"state": "active", "provider": "provider"}, limit=1)["leases"]
    lines = [market.command(tab) for tab in TABS]
    lines += [line for target in (lease["id"], lease["order"], lease["provider"]) for line in market.commands(target)]
    asked = [shlex.split(line)[1:] for line in lines if line.startswith("virtengine query")]
    assert len(asked) == 9
    for words in asked:
        assert main(["virtengine", "--dir", str(place), *words]) == 0, words
        assert capsys.readouterr().out.strip(), words
    sent = [shlex.split(line)[1:] for line in lines if line.startswith("virtengine tx")]
    for words in sent:  # nobody has the key of a tenant of the market
        code = main(["virtengine", "--dir", str(place), *words, "--dry-run"])
        said = capsys.readouterr().err
        assert "unknown flag" not in said and "required flag" not in said and (code == 0 or "key not found" in said), (words, said)
