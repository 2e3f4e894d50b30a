"""Results in Python: names in place of codes, amounts as numbers or exact texts, series that add up to the summary, files."""

from __future__ import annotations

import math
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import marketsim as ms
from marketsim.export.frames import LEVEL_OF, TABLES
from marketsim.export.images import FORMATS, look_of
from marketsim.face.series import UNITS, bands
from marketsim.money.units import ATTO

ROOT = Path(__file__).resolve().parents[2]
ROOM = {"cpu": 320000, "memory": "1Ti", "storage": "4Ti"}
SMALL = {"horizon": "1d", "warm_up": "6h", "name": "small-day"}


@pytest.fixture(scope="module")
def result() -> ms.RunResult:
    return ms.run(ROOT / "scenarios" / "small.yaml", seed=2, overrides=SMALL, record="everything")


@pytest.fixture(scope="module")
def replications() -> ms.ReplicatedRuns:
    return ms.replicate("small", seeds=(2, 3, 4), overrides=SMALL)


# Frames


def test_every_table_has_names_and_no_codes(result: ms.RunResult) -> None:
    coded = {"state", "end", "region", "unfilled", "ended", "reason", "kind", "cohort", "tenant", "provider", "tenant_cohort", "order"}
    for table in TABLES:
        frame = result.frame(table)
        assert len(frame), table
        for name in coded & set(frame.columns):
            assert isinstance(frame[name].dtype, pd.CategoricalDtype), f"{table}.{name}"
        assert not [name for name in frame.columns if name.endswith(("_whole", "_atto"))]
    assert set(result.leases["state"].cat.categories) >= {"active", "closed"}
    assert result.orders["tenant_cohort"].isin(["web", "batch"]).all()


def test_prices_are_numbers_and_exact_on_request(result: ms.RunResult) -> None:
    exact, leases = result.frame("leases", exact=True), result.record.leases
    assert result.leases["price"].dtype == np.float64
    for row in range(0, len(exact), 97):
        value = Decimal(int(leases["price_whole"][row])) + Decimal(int(leases["price_atto"][row])) / ATTO
        assert Decimal(exact["price"][row]) == value
        assert math.isclose(result.leases["price"][row], float(value))
    assert "e" not in "".join(exact["price"]).lower(), "a plain decimal"


def test_frames_refer_to_each_other(result: ms.RunResult) -> None:
    leased = result.orders[result.orders["lease"].notna()]
    back = result.leases.loc[leased["lease"].astype(int), "order"]
    assert back.astype(str).tolist() == leased["order"].astype(str).tolist()
    won = result.bids[result.bids["state"] == "active"]
    assert set(won["order"].astype(str)) <= set(result.leases["order"].astype(str))
    assert result.orders["closed_at"].isna().sum() == (result.record.orders["closed_at"] < 0).sum()


def test_units_stand_with_the_frame(result: ms.RunResult) -> None:
    units = result.orders.attrs["units"]
    assert units["ceiling"] == "uve a block"
    assert units["cpu"] == "millicores"
    assert units["created_at"] == "block"


def test_what_was_not_kept_says_how_it_is_kept(tmp_path: Path) -> None:
    short = ms.run("tiny", record="summary")
    with pytest.raises(ms.InputError, match=r"bids: were not kept \(record: summary\).*record='everything'"):
        _ = short.bids
    assert len(short.orders) == 4, "in memory there is what the run had"
    again = ms.load_result(short.save(tmp_path / "summary", figures=False))
    for table in LEVEL_OF:
        with pytest.raises(ms.InputError, match="were not kept"):
            again.frame(table)
    with pytest.raises(ms.InputError, match="series: orders and leases were not kept"):
        again.series()
    with pytest.raises(ms.InputError, match="'bid' is no table, tables are orders"):
        again.frame("bid")


# Series


def test_series_add_up_to_the_summary(result: ms.RunResult) -> None:
    summary, series = result.summary, result.series("5h")
    assert series["orders"].sum() == summary["orders"]["created"]
    assert series["leased"].sum() == summary["orders"]["leased"]
    assert series["begun"].sum() == summary["leases"]["created"]
    assert series["active"].iloc[-1] == summary["leases"]["active"] + summary["leases"]["insufficient_funds"]
    assert len(series) == 5, "the last span is shorter"
    window = result.series("6h").iloc[1:]
    for name in ("cpu", "memory", "storage"):
        assert math.isclose(window[f"utilization_{name}"].mean(), summary["utilization"][name], rel_tol=1e-9)
    assert window["revenue"].sum() == float(summary["revenue"]["total"])


def test_price_times_blocks_is_what_leases_earn_by_the_block() -> None:
    by_block = ms.run("small", overrides={**SMALL, "charging": "rate", "horizon": "8h"}, record="orders")
    leases = by_block.leases
    lived = leases["closed_at"].astype(float).fillna(by_block.record.blocks) - leases["created_at"]
    assert math.isclose(by_block.series("1h")["contracted"].sum(), (leases["price"] * lived).sum(), rel_tol=1e-9)
    as_earned = ((leases["earned"] - leases["price"] * lived).abs() < leases["price"]).mean()
    assert as_earned > 0.95, "all but those whose funds did not last"


@pytest.mark.parametrize("by", ["tenant_cohort", "provider_cohort", "tenant", "provider"])
def test_groups_add_up_to_the_whole(result: ms.RunResult, by: str) -> None:
    whole, parts = result.series("6h"), result.series("6h", by=by)
    assert list(parts.index.names) == [by, "time"]
    for column in ("begun", "ended", "active", "contracted", "revenue"):
        assert np.allclose(parts[column].groupby(level="time").sum(), whole[column]), column
    assert ("orders" in parts.columns) == by.startswith("tenant")
    if by.startswith("tenant"):
        assert np.allclose(parts["orders"].groupby(level="time").sum(), whole["orders"])


def test_use_of_a_cohort_is_a_share_of_its_own_capacity(result: ms.RunResult) -> None:
    by_cohort = result.series("1d", by="provider_cohort")["utilization_cpu"]
    capacity = result.providers.groupby("cohort", observed=True)["cpu"].sum()
    mean = sum(by_cohort.xs(name, level="provider_cohort").iloc[0] * capacity[name] for name in capacity.index) / capacity.sum()
    assert math.isclose(mean, result.series("1d")["utilization_cpu"].iloc[0])


def test_the_index_takes_the_mix_of_sizes_out() -> None:
    """Two providers at one margin: orders of any size cost the same share of the generic targets, so the index is flat."""
    flat = ms.run(
        ms.load_scenario(
            name="flat",
            horizon="1d",
            tenants=[
                {
                    "name": "web",
                    "demand": {"arrivals": "20/h"},
                    "order": {"cpu": {"uniform": [1000, 16000]}, "memory": "2Gi", "storage": "20Gi"},
                    "duration": "2h",
                    "ceiling": {"times_cost": 3},
                }
            ],
            providers=[
                {"name": "edge", "count": 3, "strategy": "monthly_targets", "capacity": {"cpu": 320000, "memory": "1Ti", "storage": "4Ti"}}
            ],
        )
    ).series("6h")
    assert flat["price"].std() / flat["price"].mean() > 0.01
    assert flat["price_index"].std() / flat["price_index"].mean() < 0.005


def test_moments_are_of_the_scenario(result: ms.RunResult) -> None:
    times = result.times(result.leases["created_at"].to_numpy())
    assert str(times.tz) == "UTC"
    assert times[0] == pd.Timestamp(result.record.meta["start"]) + pd.Timedelta(seconds=6 * int(result.leases["created_at"][0]))


@pytest.mark.parametrize(
    ("every", "by", "said"), [("soon", None, "every: 'soon'"), ("0s", None, "at least a block"), ("1h", "colour", "tenant_cohort")]
)
def test_what_no_series_can_be_made_of_is_refused(result: ms.RunResult, every: str, by: str | None, said: str) -> None:
    with pytest.raises(ms.InputError, match=said):
        result.series(every, by)


def test_bands_are_students_intervals(replications: ms.ReplicatedRuns) -> None:
    from scipy import stats

    table = replications.series("6h")
    values = [one.series("6h")["price_index"].iloc[2] for one in replications]
    low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    row = table["price_index"].iloc[2]
    assert (row["mean"], row["low"], row["high"], row["count"]) == pytest.approx((np.mean(values), low, high, 3))
    single = bands([replications[0].series("6h")])
    assert single["orders"]["low"].isna().all()
    assert single["orders"]["mean"].tolist() == replications[0].series("6h")["orders"].tolist()


def test_replications_are_single_runs(replications: ms.ReplicatedRuns) -> None:
    assert replications[1].fingerprint == ms.run("small", seed=3, overrides=SMALL).fingerprint
    assert replications.summaries.loc[3, "orders.created"] == replications[1].summary["orders"]["created"]
    assert replications.summaries.loc[3, "revenue.total"] == float(replications[1].summary["revenue"]["total"])
    assert len(replications[:2]) == 2
    for wrong in (0, (), (1, 1)):
        with pytest.raises(ms.InputError, match="seeds:"):
            ms.replicate("tiny", seeds=wrong)


# Files


def test_a_saved_result_is_the_same_again(result: ms.RunResult, tmp_path: Path) -> None:
    again = ms.load_result(result.save(tmp_path / "kept", figures=False))
    assert again.summary == result.summary
    for table in TABLES:
        pd.testing.assert_frame_equal(again.frame(table), result.frame(table))
    pd.testing.assert_frame_equal(again.series("6h"), result.series("6h"))
    assert (tmp_path / "kept" / "report.html").is_file()
    with pytest.raises(ms.InputError, match="not empty"):
        result.save(tmp_path / "kept")
    with pytest.raises(ms.InputError, match="no such results folder"):
        ms.load_result(tmp_path / "nowhere")


def test_out_writes_what_the_command_writes(tmp_path: Path) -> None:
    from marketsim.cli import main

    given = ms.run("tiny", out=tmp_path / "python", record="everything")
    assert main(["run", "tiny", "--quiet", "--record", "everything", "--out", str(tmp_path / "command")]) == 0
    mine, theirs = (sorted(p.relative_to(tmp_path / one) for p in (tmp_path / one).rglob("*")) for one in ("python", "command"))
    assert mine == theirs
    for name in mine:
        if (tmp_path / "python" / name).is_file() and name.name != "manifest.json":
            assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "command" / name).read_bytes(), name
    assert given.folder == tmp_path / "python"


# Scenarios


def test_scenarios_from_mappings_and_keywords(tmp_path: Path) -> None:
    scenario = ms.load_scenario("small", {"providers.local.count": 3, "take": 0.04}, horizon=timedelta(hours=50))
    assert scenario.horizon_blocks == 30_000
    assert scenario.take == Decimal("0.04")
    assert scenario.providers[1].count == 3 or scenario.providers[0].count == 3
    mapping = scenario.effective()
    assert ms.load_scenario(mapping, base=ROOT / "scenarios") == scenario
    assert ms.load_scenario(base=ROOT / "scenarios", **mapping) == scenario
    assert ms.load_scenario(scenario, ["seed=9"]).seed == 9
    assert scenario.replace({"providers.local.count": 4}).replace(seed=8).effective() == {
        **scenario.replace({"providers.local.count": 4}).effective(),
        "seed": 8,
    }


def test_replace_takes_the_defaults_of_other_rules_anew() -> None:
    seed = ms.load_scenario("small")
    assert seed.escrow == "exact"
    assert seed.replace(rules="akash").escrow == ms.load_scenario("small", ["rules=akash"]).escrow != "exact"
    assert seed.escrow == "exact", "the one that it was made of stays"


@pytest.mark.parametrize(
    ("source", "keys", "said"),
    [
        (None, {}, "scenario: is missing"),
        (7, {}, "int is no scenario"),
        ({"name": object()}, {}, "name: object cannot stand in a scenario"),
        ({"name": "x", "take": float("nan")}, {}, "take: nan is not a number"),
        ("smal", {}, "no shipped scenario of this name"),
        ("nowhere/small.yaml", {}, "nowhere/small.yaml"),
        ("small", {"horizn": "1d"}, "horizn"),
        ("refused-bids", {}, "cases/akash/refused-bids and cases/seed/refused-bids"),
    ],
)
def test_what_is_no_scenario_is_refused(source: object, keys: dict[str, object], said: str) -> None:
    with pytest.raises(ms.InputError, match=said):
        ms.load_scenario(source, **keys)  # type: ignore[arg-type]


def test_a_path_that_exists_wins_over_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ms.load_scenario("tiny").name == "tiny"
    (tmp_path / "tiny").write_text((ROOT / "scenarios" / "small.yaml").read_text("utf-8"), "utf-8")
    with pytest.raises(ms.InputError):
        ms.load_scenario("tiny")  # its provider files do not stand beside this one
    assert ms.load_scenario("cases/seed/usage").name == ms.load_scenario("usage").name


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_seeds_are_whole_numbers(seed: object) -> None:
    with pytest.raises(ms.InputError, match="is no seed"):
        ms.run("tiny", seed=seed)  # type: ignore[arg-type]


def test_progress_is_told(result: ms.RunResult) -> None:
    seen: list[tuple[int, int]] = []
    again = ms.run("small", seed=2, overrides=SMALL, record="everything", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (14_400, 14_400)
    assert seen == sorted(seen)
    assert again.fingerprint == result.fingerprint


# Figures and pages


def test_every_figure_gives_axes(result: ms.RunResult, replications: ms.ReplicatedRuns) -> None:
    from matplotlib.axes import Axes

    plot = result.plot
    made = [plot.revenue_per_day(), plot.fill_rate(), plot.utilization(), plot.winning_prices(), plot.close_reasons()]
    made += [plot.prices("6h"), plot.prices(by=None, index=False), plot.series("active", by="tenant_cohort", width=3.5)]
    made += [replications.plot.series("price_index", "6h"), replications.plot.series("begun", "6h", by="tenant_cohort")]
    assert all(isinstance(axes, Axes) and (axes.lines or axes.patches) for axes in made)
    assert len(made[-1].collections) == 2, "a band a group"
    with pytest.raises(ms.InputError, match="'prise' is no column here, columns are orders"):
        plot.series("prise")


def test_figures_go_into_axes_of_ones_own(result: ms.RunResult) -> None:
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    assert result.plot.fill_rate(left) is left
    assert result.plot.prices(axes=right, style=lambda whole: whole.suptitle("two")) is right
    assert left.get_legend() is not None, "its own: figures of several have no legend below"
    assert figure.get_suptitle() == "two"


def test_formats_and_styles(result: ms.RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    from marketsim.report import figures

    monkeypatch.setattr(figures, "IN_REPORTS", ("utilization",))
    draw_figures, record, summary = figures.draw_figures, result.record, result.summary
    starts = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for name in FORMATS:
        first, again = (draw_figures(record, summary, name) for _ in range(2))
        assert all(image.startswith(starts[name]) for image in first.values())
        assert first == again, "the same bytes"
    assert b'width="252pt"' in draw_figures(record, summary, "svg")["utilization"], "a column of 3.5 inches"
    assert draw_figures(record, summary, "png", {"font.size": 14}) != draw_figures(record, summary, "png")
    assert look_of(["svg", "pdf"], "grayscale").formats == ("png", "pdf", "svg")
    for formats, style, said in ((["jpg"], None, "format: 'jpg'"), ([], "no.mplstyle", "neither a file"), ([], {"font": 1}, "'font'")):
        with pytest.raises(ms.InputError, match=said):
            look_of(formats, style)


def test_notebooks_see_a_few_lines(result: ms.RunResult, replications: ms.ReplicatedRuns) -> None:
    scenario = ms.load_scenario("small", {"name": "a-b"})
    for shown, said in ((result, "fill rate"), (replications, "95 % intervals"), (scenario, "Scenario a-b")):
        html = shown._repr_html_()  # type: ignore[attr-defined]
        assert said in html
        assert html.count("<tr>") < 10
    assert repr(result).startswith("<Result of small-day, seed 2:")


def test_columns_are_named_with_units(result: ms.RunResult) -> None:
    assert set(result.series().columns) == set(UNITS)
    assert result.series().attrs["units"] == UNITS


def test_commands_write_figures_in_other_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from marketsim.cli import main

    assert main(["run", "tiny", "--quiet", "--format", "svg", "--style", "grayscale", "--out", str(tmp_path / "t")]) == 0
    drawn = {file.suffix for file in (tmp_path / "t" / "figures").iterdir()}
    assert drawn == {".png", ".svg"}
    assert main(["report", str(tmp_path / "t"), "--quiet"]) == 0
    assert {file.suffix for file in (tmp_path / "t" / "figures").iterdir()} == {".png"}, "what is not asked for goes"
    assert main(["run", "tiny", "--format", "gif", "--out", str(tmp_path / "g")]) == 2
    assert "format: 'gif' is none of png, pdf, svg" in capsys.readouterr().err
    assert not (tmp_path / "g").exists()


def test_reports_of_sweeps_and_comparisons_have_other_formats_and_a_style(tmp_path: Path) -> None:
    def compared(name: str, **look: Any) -> dict[str, bytes]:
        out = tmp_path / name
        ms.compare("tiny", overrides_b={"take": 0.1}, pairs=2, metrics=["take"], workers=1, out=out, progress=False, **look)
        return {file.name: file.read_bytes() for file in (out / "figures").iterdir()}

    plain, dark = compared("plain"), compared("dark", formats=["pdf", "svg"], style={"axes.facecolor": "black"})
    assert set(plain) == {"take.png"} and set(dark) == {"take.png", "take.pdf", "take.svg"}
    assert plain["take.png"] != dark["take.png"] and dark["take.pdf"].startswith(b"%PDF") and b"<svg" in dark["take.svg"]
    with pytest.raises(ms.InputError, match="gif"):
        compared("none", formats=["gif"])
    share = {"name": "share", "path": "take", "levels": [0.02, 0.1]}
    design = {"scenario": "tiny", "factors": [share], "metrics": ["take"], "replications": 1}
    folder = tmp_path / "sweep"
    ms.sweep(design, workers=1, out=folder, progress=False, formats=["svg"])
    stems = [{file.stem for file in (folder / "figures").glob(f"*.{format_}")} for format_ in ("svg", "png")]
    assert stems[0] == stems[1] != set()
    ms.sweep(design, workers=1, out=folder, progress=False)
    assert {file.suffix for file in (folder / "figures").iterdir()} == {".png"}, "what nobody asks for goes"
