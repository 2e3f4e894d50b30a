"""The dashboard over a recorded run: its figures are the record's at any block, keys go on, back and anywhere, screens are pinned."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Callable, Coroutine
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Label, TextArea

import marketsim as ms
from marketsim.cli import main
from marketsim.dash.recorded import RecordedMarket
from marketsim.dash.screen import DashboardScreen, Story
from marketsim.dash.table import ListTable
from marketsim.dash.watched import LeaseRow, Seen
from marketsim.errors import InputError

PINNED = Path("tests/data/dash")
SIZES = ((80, 24), (200, 50))
with_textual = f"textual=={version('textual')}" in Path("constraints.txt").read_text().splitlines()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("recorded") / "run"
    ms.run("training", overrides=["horizon=1d", "warm_up=0s", "record=summary"], out=place)
    return place


class Clock:
    """A wall clock that stands until it is told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def shown(app: DashboardScreen) -> str:
    """The letters of the whole screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


def walk(app: DashboardScreen, size: tuple[int, int], steps: Callable[[Pilot[None]], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            await steps(pilot)

    asyncio.run(run())


async def settled(pilot: Pilot[None]) -> None:
    """Wait until everything that was asked is answered and drawn."""
    for _ in range(200):
        await pilot.pause()
        await pilot.app.workers.wait_for_complete()
        if not pilot.app._again:  # type: ignore[attr-defined]
            break
    await pilot.pause()


def test_any_block_is_what_a_run_up_to_there_says(folder: Path) -> None:
    market = RecordedMarket(folder)
    seen = {}
    for height in (7_200, 14_400, 600, 6_000, 7_200):  # on, to the end, back to before anything was kept, on, on
        market.go(height)
        seen.setdefault(height, []).append((market.look(None, "leases"), market.look(None, "providers"), market.lines(20)))
    assert seen[7_200][0] == seen[7_200][1]
    for height in (600, 7_200):
        live = ms.Market(ms.load_result(folder).record.meta["scenario"])
        live.advance(height)
        leases = {each.id: each for each in live.leases(state=["active", "insufficient_funds"])}
        [(looked, providers, _), *_] = seen[height]
        assert {row.id: (row.price, row.state == "active") for row in looked.rows} == {
            name: (float(each.price), each.state == "active") for name, each in leases.items()
        }
        assert [(row.bids, row.won) for row in providers.rows] == [(each.submitted, each.won) for each in live.providers()]
        assert looked.figures["orders"]["open"] == len(live.orders(state="open"))
    assert seen[14_400][0][0].trouble == ""  # it is the recorded run, by its fingerprint


def test_it_plays_at_the_pace_that_it_is_told(folder: Path) -> None:
    clock = Clock()
    market = RecordedMarket(folder, now=clock)
    market.set_clock(paused=False, speed=60)
    heights = []
    for seconds in (0.05, 0.05, 1, 2.5):  # 10 blocks a second
        clock.seconds += seconds
        heights.append(market.look(None, "orders").figures["height"])
    assert heights == [0, 1, 11, 36]
    market.set_clock(paused=True)
    clock.seconds += 100
    assert market.look(None, "orders").figures["height"] == 36
    assert market.step(-6).endswith("--at 30") and market.look(None, "orders").figures["height"] == 30
    assert market.seek("+1h").endswith("--at 630") and market.look(None, "orders").figures["height"] == 630
    market.set_clock(paused=False, speed=86_400)
    clock.seconds += 3_600
    for _ in range(200):
        figures = market.look(None, "orders").figures
        clock.seconds += 1
        if figures["height"] == market.last:
            break
    assert figures["height"] == market.last and figures["paused"]  # the end of the run, where it rests


def test_a_key_that_is_pressed_while_a_look_is_being_answered_waits_for_it(folder: Path) -> None:
    during: list[Callable[[], None]] = []

    def now() -> float:
        for act in during:
            act()
        return 0.0

    market = RecordedMarket(folder, now=now)
    key = threading.Thread(target=lambda: market.seek("11h"))
    waited = []

    def press() -> None:
        during.clear()
        key.start()
        key.join(1.0)
        waited.append(key.is_alive())

    during.append(press)
    assert market.look(None, "leases").figures["height"] == 0
    key.join()
    assert waited == [True]
    market.go(7_200)
    fresh = RecordedMarket(folder)
    fresh.go(7_200)
    assert market.look(None, "leases") == fresh.look(None, "leases") and market.lines(500) == fresh.lines(500)


def test_places_that_there_are_not(folder: Path) -> None:
    market = RecordedMarket(folder)
    assert [market.block_of(text) for text in ("1,200", "12h", "end", "+600")] == [1200, 7200, 14_400, 600]
    for text, said in (
        ("-1", "block -1 is not in this run, which has blocks 0 to 14,400"),
        ("2d", "28,800"),
        ("noon", "'noon' is no place"),
    ):
        with pytest.raises(InputError, match=said):
            market.block_of(text)
    with pytest.raises(InputError, match="nobody is not in this run, expected one of trainee-0, rival-0"):
        RecordedMarket(folder, provider="nobody")
    with pytest.raises(InputError, match="run again with --record orders or everything"):
        market.why("students-1/1/1/1")


def test_a_run_that_is_not_to_be_had_again_is_refused_or_said(folder: Path, tmp_path: Path) -> None:
    for name, changes in (("other", {"fingerprint": "0" * 32}), ("packages", {"fingerprint": "0" * 32, "versions": {"numpy": "1.0"}})):
        shutil.copytree(folder, tmp_path / name)
        manifest = json.loads((folder / "manifest.json").read_text()) | changes
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    market = RecordedMarket(tmp_path / "other")
    assert market.look(None, "leases").trouble == ""
    market.go(market.last)
    assert "run the scenario again" in market.look(None, "leases").trouble
    with pytest.raises(InputError, match=r"numpy 1\.0 ->"):
        RecordedMarket(tmp_path / "packages")


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["dash", str(folder), "--at", "12h", "--once"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "block 7,200 of 14,400" in lines[0] and "all providers" in lines[2] and "bid-engine" in lines[-1]
    assert main(["dash", str(folder), "--provider", "rival-0", "--once"]) == 0
    assert "block 14,400 of 14,400" in (out := capsys.readouterr().out) and "Marketplace Metrics, rival-0" in out
    assert main(["dash", str(folder)]) == 2 and "is no terminal" in capsys.readouterr().err
    assert main(["dash", "--at", "12h"]) == 2 and "--at: is for a recorded run" in capsys.readouterr().err
    assert main(["dash", str(folder), "--at", "soon", "--once"]) == 2 and "'soon' is no place" in capsys.readouterr().err
    (tmp_path / "logs").mkdir()
    assert main(["dash", str(tmp_path)]) == 2 and "is a devnet's folder, `marketsim dash --devnet" in capsys.readouterr().err


@pytest.mark.skipif(not with_textual, reason=f"screens are pinned for the textual of constraints.txt, this is {version('textual')}")
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "200x50"])
def test_the_screen_is_as_it_was_looked_at(folder: Path, size: tuple[int, int]) -> None:
    """A changed screen is written beside the pinned one, as `….new`: look at it, and put it in its place."""
    market = RecordedMarket(folder)
    market.go(7_200)
    found: dict[str, str] = {}

    async def steps(pilot: Pilot[None]) -> None:
        found["leases"] = shown(app)
        await pilot.press("v", "3", "down")
        await settled(pilot)
        found["providers"] = shown(app)
        await pilot.press("5")
        await settled(pilot)
        found["log"] = shown(app)
        await pilot.press("question_mark")
        await settled(pilot)
        found["keys"] = shown(app)

    app = DashboardScreen(market, provider=None, own="trainee-0", every=3600)
    walk(app, size, steps)
    pinned = PINNED / f"{size[0]}x{size[1]}.txt"
    text = "".join(f"=== {name}\n{screen}\n" for name, screen in found.items()).replace(str(folder), "run")
    if text != pinned.read_text(encoding="utf-8"):
        pinned.with_suffix(".txt.new").write_text(text, encoding="utf-8")
    assert text == pinned.read_text(encoding="utf-8")
    assert all(len(line) <= size[0] for line in text.splitlines())


def test_keys_over_a_run(folder: Path) -> None:
    market = RecordedMarket(folder)
    market.go(7_200)

    async def steps(pilot: Pilot[None]) -> None:
        async def after(*keys: str) -> dict[str, Any]:
            await pilot.press(*keys)
            await settled(pilot)
            assert app._seen is not None
            return app._seen.figures

        table = app.query_one("#leases", ListTable)
        assert (await after("full_stop"))["height"] == 7_201 and app.command.endswith("--at 7201")
        assert (await after("left_square_bracket", "comma"))["height"] == 6_600
        assert (await after("g", *"12h", "enter"))["height"] == 7_200
        assert (await after("plus"))["speed"] == 21_600 and (await after("minus", "minus"))["speed"] == 600
        assert (await after("m"))["provider"] == "trainee-0" and (await after("m"))["provider"] is None
        hours = [row[0] for row in table.rows]
        assert len(hours) == 56 and hours == sorted(hours)
        await after("S", "home")
        assert [row[0] for row in table.rows] == hours[::-1]
        third = table.rows[3]
        await after("down", "down", "down", "s", "s")
        assert table.chosen == third and [row[2] for row in table.rows] == sorted(row[2] for row in table.rows)
        await after("slash", *"rival", "enter")
        assert 0 < len(table.rows) < 56 and all("rival" in row[-1] for row in table.rows)
        await after("escape", "home", "y")
        assert app.clipboard == table.rows[0][-1]
        await after("w")
        assert isinstance(app.screen, Story)  # this run has no orders in its record: the level that keeps them is named
        assert "run again with --record orders or everything" in app.screen.query_one(TextArea).text
        assert f"marketsim explain {folder} {table.rows[0][-1]}" in app.screen.query_one(TextArea).text
        await after("escape", "5")
        log = app.query_one("#journal", TextArea)
        assert "bid-engine: bid won" in log.text
        await after("up", "y")
        assert app.clipboard in log.text.splitlines() and app.clipboard
        await after("shift+up", "shift+up", "y")
        assert len(app.clipboard.splitlines()) in (2, 3)
        await after("c")
        assert app.clipboard.startswith("journalctl -u provider-daemon")
        await pilot.press("g", *"next week", "enter")
        await settled(pilot)
        assert any("is no place in a run" in each.message for each in app._notifications)
        await pilot.press("q")

    app = DashboardScreen(market, provider=None, own="trainee-0", every=3600)
    walk(app, (80, 24), steps)


class Crowd:
    """Five thousand leases, of which three change with every look."""

    speeds = (1.0,)
    looks = 0

    def __init__(self, figures: dict[str, Any]) -> None:
        self.figures = figures

    def look(self, provider: str | None, tab: str) -> Seen:
        self.looks += 1
        changed = self.looks if self.looks > 2 else 0
        rows = [LeaseRow(float(row), 1.0 + changed * (row in (0, 9, 4_999)), 0.5, "active", f"web-{row}/1/1/1/e-0") for row in range(5_000)]
        return Seen(self.figures, rows)

    def command(self, tab: str) -> str:
        return tab


def test_of_five_thousand_leases_only_those_that_are_seen_are_written_out(folder: Path) -> None:
    market = RecordedMarket(folder)
    market.go(600)
    crowd: Any = Crowd(market.look(None, "orders").figures)

    async def steps(pilot: Pilot[None]) -> None:
        table = app.query_one("#leases", ListTable)
        lines = table.size.height - 1
        assert len(table.rows) == 5_000 and 0 < table.formatted <= 3 * lines
        before = table.formatted
        app.look()
        await settled(pilot)
        assert crowd.looks == 2 and table.formatted == before  # the same rows: nothing is drawn
        app.look()
        await settled(pilot)
        assert before < table.formatted <= before + 2 * lines
        before = table.formatted
        await pilot.press("down")
        await settled(pilot)
        assert table.formatted <= before + 2  # the cursor: two lines
        before = table.formatted
        await pilot.press("end")
        await settled(pilot)
        assert table.chosen is not None and table.chosen[-1] == "web-4999/1/1/1/e-0"
        assert "web-4999/1/1/1/e-0" in shown(app) and table.formatted <= before + 3 * lines
        await pilot.press("slash", *"web-499", "enter")
        await settled(pilot)
        assert len(table.rows) == 11

    app = DashboardScreen(crowd, provider=None, every=3600)
    walk(app, (80, 24), steps)


def test_names_are_letters_and_neither_markup_nor_commands_to_a_terminal(folder: Path) -> None:
    market = RecordedMarket(folder)
    market.go(600)
    figures = market.look(None, "orders").figures | {"name": "[red]run[/red]", "scenario": "[@click=app.bell]x[/]"}
    named: Any = Crowd(figures)
    row = LeaseRow(1.0, 1.0, 1.0, "active", "[bold]web[/bold]\x1b[2J\x07/1/1/1/e-0")
    named.look = lambda provider, tab: Seen(figures, [row], trouble="[b]no[/b]\x1b]0;x\x07")

    async def steps(pilot: Pilot[None]) -> None:
        text = shown(app)
        assert "[red]run[/red] ([@click=app.bell]x[/])" in text and "[bold]web[/bold]\ufffd[2J\ufffd/1/1/1/e-0" in text
        assert "\x1b" not in text and "\x07" not in text
        assert str(app.query_one("#trouble", Label).content) == "[b]no[/b]\ufffd]0;x\ufffd"

    app = DashboardScreen(named, provider=None, every=3600)
    walk(app, (200, 50), steps)
