from __future__ import annotations

import base64
import cProfile
import io
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_record import make_record

from marketsim.export.results import as_recorded
from marketsim.metrics.summary import summarize
from marketsim.recording.record import Record
from marketsim.report import phrases
from marketsim.report.content import make_content
from marketsim.report.figures import draw_figures
from marketsim.report.pages import CAPTIONS, write_pages
from marketsim.report.terminal import WIDTH, print_report
from marketsim.scenario import scenario_from_mapping
from marketsim.simulation import run

RECORD = make_record(400)
SUMMARY = summarize(RECORD)
CONTENT = make_content(RECORD, SUMMARY)


def _printed(record: Record, summary: dict[str, Any]) -> str:
    out = io.StringIO()
    print_report(make_content(record, summary), out)
    return out.getvalue()


def test_the_dashboard_says_what_the_summary_says() -> None:
    text = _printed(RECORD, SUMMARY)
    for part in (
        f"Active leases: {SUMMARY['leases']['active']}",
        f"Order fill rate: {100 * SUMMARY['fill_rate']:.1f} %",
        f"Bids accepted: {100 * SUMMARY['acceptance_rate']:.1f} %",
        f"Bids won: {100 * SUMMARY['win_rate']:.1f} %",
        f"Mean bid time: {SUMMARY['bid_latency_seconds']['mean']:.1f} s ✓",
        "target < 5 s",
        "├─ Tenant terminated:",
        "└─ Provider closed:",
        "from the day before",
        "targets met",
        "VE a month",
        "hyperscale/0",
        "Escrow warnings:",
    ):
        assert part in text
    assert "▓" in text and "\x1b" not in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_a_narrow_terminal_gets_whole_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("marketsim.report.terminal.WIDTH", 80)
    text = _printed(RECORD, SUMMARY)
    assert max(map(len, text.splitlines())) <= 80
    assert "Left out for want of room:" in text and "Declines most for" in text
    header = next(line for line in text.splitlines() if line.startswith(" Provider ") and "Won" in line)
    assert header.split()[:3] == ["Provider", "Revenue,", "VE"]


def test_revenue_of_the_last_full_day_and_its_change() -> None:
    days = RECORD.providers["revenue_days"].sum(axis=0)
    tile = next(tile for tile in CONTENT.tiles if tile.label.startswith("Revenue"))
    assert tile.value == f"{days[6] / 1e6:,.2f} VE"
    assert f"{100 * (days[6] / days[5] - 1):+.0f} %" in tile.note


def test_a_cut_day_is_not_the_last_full_one() -> None:
    cut = replace(RECORD, meta=RECORD.meta | {"blocks": 7 * 14_400 - 1})
    tile = next(tile for tile in make_content(cut, SUMMARY).tiles if tile.label.startswith("Revenue"))
    assert tile.value == f"{RECORD.providers['revenue_days'].sum(axis=0)[5] / 1e6:,.2f} VE"


def test_lease_capacity_as_the_training_document_shows_it() -> None:
    providers = RECORD.providers | {"lease_capacity": np.full(20, 50, np.int64)}
    tile = make_content(replace(RECORD, providers=providers), SUMMARY).tiles[0]
    active = SUMMARY["leases"]["active"]
    assert tile.value == f"{active}/1,000 ({active / 10:.0f} %)" and tile.share == active / 1000


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = ["[red]a|b[/red]", "<script>x</script>", "edge"]
    record = replace(RECORD, provider_cohorts=odd)
    summary = summarize(record)
    assert "[red]a|b[/red]" in _printed(record, summary)
    write_pages(tmp_path, record, summary, figures=False)
    assert "<script>" not in (tmp_path / "report.html").read_text()
    assert r"\[red\]a\|b\[/red\]" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("orders", [0, 1])
def test_small_and_empty_markets_are_reported(tmp_path: Path, orders: int) -> None:
    record = make_record(orders, days=1, warm_up=0)
    summary = summarize(record)
    assert "Order fill rate" in _printed(record, summary)
    write_pages(tmp_path, record, summary)
    assert (tmp_path / "report.html").exists()


def test_network_fees_have_a_line_when_they_are_on() -> None:
    assert "Network fees" not in _printed(RECORD, SUMMARY)
    scenario = RECORD.meta["scenario"] | {"network_fees": True}
    on = replace(RECORD, meta=RECORD.meta | {"scenario": scenario})
    assert "Network fees" in _printed(on, SUMMARY)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]


DRAWN = set(CAPTIONS) - {"price_paths"}
"""Figures of a record in which no strategy kept a log of prices."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The same report, written twice."""
    made = [tmp_path_factory.mktemp("report") for _ in range(2)]
    for folder in made:
        write_pages(folder, make_record(400), SUMMARY)
    return made


def test_one_page_that_needs_no_network(folders: list[Path]) -> None:
    text = (folders[0] / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert len(page.sources) == len(DRAWN)
    for source in page.sources:
        head, _, data = source.partition(",")
        assert head == "data:image/png;base64" and base64.b64decode(data).startswith(b"\x89PNG")
    assert not re.search(r"https?://|@import|url\(", text) and "script" not in page.tags and "link" not in page.tags
    assert {path.stem for path in (folders[0] / "figures").iterdir()} == DRAWN
    markdown = (folders[0] / "report.md").read_text()
    for name in DRAWN:
        assert f"](figures/{name}.png)" in markdown


def test_pages_and_figures_have_the_same_bytes_again(folders: list[Path]) -> None:
    files = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    assert len(files) == 2 + len(DRAWN)
    for file in files:
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


def test_without_figures_older_ones_go(folders: list[Path], tmp_path: Path) -> None:
    shutil.copytree(folders[0], tmp_path / "again")
    write_pages(tmp_path / "again", RECORD, SUMMARY, figures=False)
    assert not list((tmp_path / "again" / "figures").iterdir())
    assert "<img" not in (tmp_path / "again" / "report.html").read_text()


def test_a_summary_record_draws_what_it_has() -> None:
    bare = as_recorded(replace(RECORD, meta=RECORD.meta | {"record": "summary"}))
    assert set(draw_figures(bare, SUMMARY)) == {"revenue_per_day", "utilization", "close_reasons"}
    content = make_content(bare, SUMMARY)
    assert any("not kept" in note for note in content.warnings)


def test_ceilings_drawn_apart_from_values_are_said_so() -> None:
    def facts(*cohorts: dict[str, object]) -> dict[str, str]:
        meta = RECORD.meta | {"scenario": RECORD.meta["scenario"] | {"tenants": cohorts}}
        orders = RECORD.orders | {"ceiling_whole": RECORD.orders["value_whole"] + (np.arange(len(RECORD.orders["tenant"])) % 4 == 0)}
        orders |= {"ceiling_atto": RECORD.orders["value_atto"]}
        return dict(make_content(replace(RECORD, meta=meta, orders=orders), SUMMARY).facts)

    share, apart = {"ceiling": {"share_of_value": 1.0, "times_cost": None}}, {"ceiling": {"share_of_value": None, "times_cost": 2.0}}
    names = [{"name": name} for name in ("web", "batch", "gpu")]
    assert "Ceilings" not in facts(*(name | share for name in names))
    assert "Ceilings" not in facts(names[0] | {"ceiling": None, "value": None})  # a manifest's prices are both
    everybody = facts(*(name | apart for name in names))["Ceilings"]
    assert everybody == "drawn apart from values by web, batch, gpu, above the value in 25 % of their orders"
    assert facts(names[0] | share, names[1] | apart)["Ceilings"].startswith("drawn apart from values by batch, above the value in ")
    assert "web" in facts(names[0] | {"ceiling": None, "value": {"times_cost": 1.5}})["Ceilings"]


def test_the_library_style_of_the_caller_does_not_matter(folders: list[Path]) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 20}):
        images = draw_figures(RECORD, SUMMARY)
    for name, image in images.items():
        assert image == (folders[0] / "figures" / f"{name}.png").read_bytes()


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (phrases.money(1_234_560_000), "1,234.56 VE"),
        (phrases.money(1_234.56), "1,234.56 uve"),
        (phrases.money(0.00143792), "0.001438 uve"),
        (phrases.money(0), "0 uve"),
        (phrases.money(None), "–"),
        (phrases.exact_uve(1_234_000_000_000_000_000_001), "1,234.000000000000000001 uve"),
        (phrases.exact_uve(-1), "-0.000000000000000001 uve"),
        (phrases.percent(0.853), "85.3 %"),
        (phrases.percent(None), "–"),
        (phrases.seconds(2.31), "2.3 s"),
        (phrases.seconds(0.25), "250 ms"),
        (phrases.size(2 * 2**30), "2 GiB"),
        (phrases.size(512), "512 B"),
        (phrases.resources(1500, 2**30, 2**33, 1), "1.5 cores, 1 GiB memory, 8 GiB storage, 1 GPU"),
        (phrases.moment(14_500, 6000), "block 14,500, day 2 00:10"),
        (phrases.moment(14_500, 6000, "2026-01-05T00:00Z"), "block 14,500, 2026-01-06 00:10"),
        (phrases.date_and_time("2026-01-05T00:00Z"), "2026-01-05 00:00 UTC"),
        (phrases.date_and_time("2026-01-05T00:00:00+00:00"), "2026-01-05 00:00 UTC"),
        (phrases.span(14_400, 6000), "24 h"),
        (phrases.span(100_800, 6000), "7 days"),
        (phrases.bar(0.5, 4), "▓▓░░"),
        (phrases.bar(7, 4), "▓▓▓▓"),
        (phrases.one_line("a\x07 b\n\x1b[2Jc"), "a b [2Jc"),
        (phrases.plural(1, "lease"), "1 lease"),
        (phrases.price(10**15, 429_909), "0.001 uve a block (429.91 uve a month)"),
    ],
)
def test_phrases(made: str, text: str) -> None:
    assert made == text


def calls_of_report(providers: int, folder: Path) -> int:
    """Number of Python calls that pages and print-out of a market of so many providers take."""
    mapping = {
        "name": "many",
        "horizon": "10m",
        "tenants": [{"name": "t", "demand": {"orders": 5}, "order": {"cpu": 100, "memory": "1Gi", "storage": "1Gi"}}],
        "providers": [
            {"name": "p", "count": providers, "strategy": "monthly_targets", "capacity": {"cpu": 1000, "memory": "4Gi", "storage": "4Gi"}}
        ],
    }
    result = run(scenario_from_mapping(mapping))
    profile = cProfile.Profile()
    profile.enable()
    print_report(write_pages(folder, as_recorded(result.record), result.summary, figures=False), io.StringIO())
    profile.disable()
    return sum(entry.callcount for entry in profile.getstats())


def test_a_report_grows_with_the_providers_and_no_faster(tmp_path: Path) -> None:
    calls_of_report(10, tmp_path)  # what is imported and looked up once
    few, more, many = (calls_of_report(count, tmp_path) for count in (100, 200, 800))
    assert many - few < 1.2 * 7 * (more - few)
