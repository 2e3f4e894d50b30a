"""The document's dashboard of a running devnet: its figures, on a terminal with keys, as text for logs."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from devnets import served
from textual.widgets import DataTable, Label, RichLog, Static

from marketsim.cli import main
from marketsim.devnet.client import Client
from marketsim.devnet.node_error import NodeError
from marketsim.devnet.panel import alarms, panel
from marketsim.devnet.screen import DashboardScreen

DAY = 14_400


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
        app = DashboardScreen(client, provider="provider", every=0.1)
        async with app.run_test(size=size) as pilot:

            async def until(text: str, where: str = "#panel") -> None:
                for _ in range(200):
                    if text in str(app.query_one(where, Static).content):
                        return
                    await pilot.pause(0.05)
                raise AssertionError(f"{text!r} is not in {app.query_one(where, Static).content}")

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
            await pilot.press("r", "m", "3")
            await until("a block a message", "#head")
            await until("all providers")
            assert not client.clock()["paused"]
            assert app.query_one("#leases-table", DataTable).row_count == 20
            assert app.query_one("#log", RichLog).lines and not app.query_one("#trouble", Label).display
            lowest = client.dashboard()["escrow"]["lowest"]
            table = app.query_one("#leases-table", DataTable)
            owner = lowest[0]["lease"].partition("/")[0][-5:]
            await pilot.press("1", "s", "s", "s", "slash", *owner, "enter")
            await pilot.pause()
            assert table.row_count == sum(owner in each["lease"] for each in lowest)
            await pilot.press("escape")
            await pilot.pause()
            assert [str(table.get_row_at(row)[3]) for row in range(20)] == sorted(each["lease"] for each in lowest)
            await pilot.press("q")

    asyncio.run(walk((80, 24)))
    asyncio.run(walk((200, 50)))


def test_the_page_asks_nobody_else(client: Client) -> None:
    with urllib.request.urlopen(f"{client.url}/dash") as answer:
        page, rule = answer.read().decode(), answer.headers["Content-Security-Policy"]
    assert rule.startswith("default-src 'none'") and "connect-src 'self'" in rule
    assert not re.findall(r"https?:|//[a-z]|@import|url\(", page)
    parts = set(re.findall(r'\bid="([a-z-]+)"', page))
    assert set(re.findall(r'\b(?:at|put|bar|rows)\("([a-z-]+)"', page)) <= parts
    assert all(f'id="{name}"' in page for name in ("leases", "revenue", "success", "time", "fill", "warnings", "closed"))
    assert "href='/dash'" in urllib.request.urlopen(f"{client.url}/").read().decode()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed (Debian package chromium)")
def test_the_page_in_a_browser(client: Client, tmp_path: Path) -> None:
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run(["chromium", *words, f"{client.url}/dash"], capture_output=True, text=True, timeout=120, check=False)
    found = client.dashboard("provider")
    shown = dict(re.findall(r'<[a-z0-9]+ [^>]*\bid="([a-z-]+)"[^>]*>([^<]*)<', done.stdout))
    assert f"block {found['height']:,}" in shown["clock"], done.stderr[-2000:]
    leases, warnings = found["leases"], found["escrow"]["warnings"]
    assert shown["leases"] == f"{leases['active']}/{leases['capacity']}" and shown["warnings"] == f"{warnings}"
    assert done.stdout.count("<td>active</td>") == sum(each["active"] for each in found["escrow"]["lowest"]) > 0
    assert shown["said"] == "" and shown["lease-note"].startswith(f"{found['escrow']['lowest'][0]['balance_uve']:,.2f} uve")
