"""The training document's metrics: the table, the page, the exported file, and its four queries on a real Prometheus."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from marketsim.cli import build_app
from marketsim.export.results import read_record
from marketsim.metrics import openmetrics
from marketsim.metrics.chain_names import CHAIN_SERIES, NOT_SIMULATED, with_chain_names
from marketsim.metrics.prometheus_folder import dashboard
from marketsim.metrics.series import LEASE_LABELS, SERIES, samples
from marketsim.recording.record import Record
from marketsim.scenario import load_scenario
from marketsim.simulation import run
from marketsim.simulation.observed import Observed, again

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus and promtool are not installed (Debian package prometheus)",
)
TWO_DAYS = ["horizon=2d", "warm_up=0s", "record=everything"]
DAY, HOUR = 86_400, 3_600

OF_THE_DOCUMENT = (
    "virtengine_market_active_leases",
    "virtengine_provider_active_leases",
    "virtengine_provider_lease_revenue",
    "virtengine_provider_lease_close_rate",
    "virtengine_escrow_balance",
    "virtengine_lease_rate",
    "virtengine_escrow_settlement_amount",
    "virtengine_bid_total",
    "virtengine_bid_success_total",
)
"""Every name in its table of metrics and its queries."""


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "run"
    answer = CliRunner().invoke(
        build_app(),
        ["run", "scenarios/training.yaml", *(f"--set={line}" for line in TWO_DAYS), "--out", str(folder), "--no-figures", "--quiet"],
    )
    assert answer.exit_code == 0, answer.output
    return folder


@pytest.fixture(scope="module")
def record(training: Path) -> Record:
    return read_record(training)


def test_every_name_of_the_document_is_in_the_table() -> None:
    exposed = [series.exposed for series in SERIES]
    assert set(OF_THE_DOCUMENT) <= set(exposed)
    assert len(set(exposed)) == len(exposed)


def test_the_page_has_the_table() -> None:
    rows = ["| Name | Type | Unit | Labels | What it is |", "|---|---|---|---|---|"]
    for series in SERIES:
        labels = "L" if series.labels == LEASE_LABELS else ", ".join(series.labels).replace("provider", "P")
        rows.append(f"| `{series.exposed}` | {series.kind} | {series.unit or '0 or 1'} | {labels or 'none'} | {series.help} |")
    page = Path("docs/metrics.md").read_text(encoding="utf-8")
    assert page.partition("<!-- series: begin -->\n")[2].partition("\n<!-- series: end -->")[0] == "\n".join(rows)


def test_real_names_are_exported_or_said_not_to_be() -> None:
    exposed = {series.exposed for series, _ in CHAIN_SERIES}
    assert not exposed & set(NOT_SIMULATED)
    assert not exposed & {series.exposed for series in SERIES}


def test_a_look_moves_nothing() -> None:
    scenario = load_scenario("scenarios/tiny.yaml")
    observed = Observed(scenario, scenario.seed)
    for height in range(0, scenario.horizon_blocks + 1, 7):
        observed.snapshot(height)
    observed.market.advance(scenario.horizon_blocks)
    assert observed.market.fingerprint() == run(scenario).summary["fingerprint"]


def test_a_market_that_has_not_begun_stands_at_block_0() -> None:
    scenario = load_scenario("scenarios/tiny.yaml")
    at = Observed(scenario, scenario.seed).snapshot(0)
    assert (at.height, at.orders_created, at.orders_open) == (0, 0, 0)


@pytest.mark.parametrize("name", ["training", "small", "akash", "virtengine", "ve-settlement"])
def test_what_was_moved_and_paid_is_what_the_record_says(name: str) -> None:
    # a day of each rule set and charging; settlements stand in the record under their own heights
    scenario = load_scenario(f"scenarios/{name}.yaml", ["horizon=1d", "warm_up=0s", "record=everything"])
    record = run(scenario).record
    assert record.settlements is not None and record.bids is not None
    observed, leases = Observed(scenario, scenario.seed), record.leases
    count = len(record.providers["name"])
    moved = record.settlements["moved_whole"] + record.settlements["moved_atto"] / 1e18
    for height in range(0, record.blocks + 1, record.blocks // 16):
        at = observed.snapshot(height)
        so_far = record.settlements["height"] <= height
        provider = leases["provider"][record.settlements["lease"][so_far]]
        for column, weights in ((at.moved, moved), (at.net, record.settlements["net"]), (at.take, record.settlements["take"])):
            assert column == pytest.approx(np.bincount(provider, weights[so_far], minlength=count), rel=1e-12, abs=1e-9)
        begun = (leases["created_at"] <= height) & ((leases["closed_at"] < 0) | (leases["closed_at"] > height))
        assert np.bincount(at.lease_provider, minlength=count).tolist() == np.bincount(leases["provider"][begun], minlength=count).tolist()
    assert at.submitted.tolist() == record.providers["submitted"].tolist()
    assert at.bid_seconds.sum(axis=1).tolist() == np.bincount(record.bids["provider"], minlength=count).tolist()
    assert at.bid_seconds_sum.sum() == pytest.approx(record.bids["latency_ms"].sum() / 1000)


def test_warnings_are_those_of_the_time_series(record: Record) -> None:
    # one lease an account there, so that counting leases counts accounts
    of_hours = dict(zip(record.timeseries["height"].tolist(), record.timeseries["warnings"].tolist(), strict=True))
    seen = {at.height: samples(at) for at in again(record, 600)}
    found = {height: sum(value for _, _, value in seen[height]["virtengine_escrow_warnings"]) for height in of_hours}
    assert found == of_hours
    assert sum(of_hours.values()) > 0


def test_a_page_is_what_the_file_says_of_the_same_height(record: Record, tmp_path: Path) -> None:
    heights = (600, 6_000, 28_800)
    seen = {at.height: samples(at) for at in again(record, 300)}
    openmetrics.write(tmp_path / "file.om", ((float(height), found) for height, found in seen.items()))
    lines = (tmp_path / "file.om").read_text().splitlines()
    for height in heights:
        page = {line for line in openmetrics.page(seen[height]).decode().splitlines() if not line.startswith("#")}
        suffix = f" {float(height)}"
        assert page == {line.removesuffix(suffix) for line in lines if line.endswith(suffix) and " NaN " not in line}


def test_a_series_that_ends_is_marked_once(record: Record, tmp_path: Path) -> None:
    openmetrics.write(tmp_path / "file.om", ((float(at.height), samples(at)) for at in again(record, 600)))
    ended = re.findall(r"^(virtengine_escrow_balance\{[^}]*\}) NaN ", (tmp_path / "file.om").read_text(), re.MULTILINE)
    assert len(ended) == len(set(ended))
    closed_before_the_end = (record.leases["closed_at"] >= 0).sum()
    assert 0 < len(ended) <= closed_before_the_end


@needs_prometheus
def test_promtool_finds_nothing_wrong_with_the_page(record: Record) -> None:
    *_, last = again(record, 7_200)
    page = openmetrics.page(samples(last))
    answer = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, b"", b"")
    names = with_chain_names(samples(last))
    assert b"provider_daemon_bids_submitted_total" in openmetrics.page(names, [series for series, _ in CHAIN_SERIES])


def test_every_query_of_the_dashboard_is_one_and_asks_for_what_there_is() -> None:
    import promql_parser

    known = {series.exposed for series in SERIES}
    known |= {series.name + suffix for series in SERIES if series.kind == "histogram" for suffix in ("_bucket", "_count", "_sum")}
    panels = json.loads(dashboard())["panels"]
    assert len(panels) >= 10
    for panel in panels:
        for target in panel["targets"]:
            query = target["expr"].replace("$provider", ".*")
            promql_parser.parse(query)
            assert set(re.findall(r"\b(?:virtengine|marketsim)_\w+", query)) <= known, target["expr"]


class _Server:
    """A Prometheus over backfilled data, on a free port of the loopback."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"
        order = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
        order += ["--storage.tsdb.retention.time=100y", f"--web.listen-address={self._address}", "--log.level=error"]
        self._process = subprocess.Popen(order, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self) -> _Server:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5).read()
                return self
            except (urllib.error.URLError, ConnectionError):
                assert self._process.poll() is None, "Prometheus ended"
                time.sleep(0.1)
        raise AssertionError("Prometheus was not ready within a minute")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def ask(self, query: str, at: float) -> list[tuple[dict[str, str], float]]:
        asked = urllib.parse.urlencode({"query": query, "time": at})
        with urllib.request.urlopen(f"http://{self._address}/api/v1/query?{asked}", timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success"
        return [(row["metric"], float(row["value"][1])) for row in found["data"]["result"]]


def _check_the_four_queries(folder: Path, exported: Path, hours: tuple[int, ...] = (27, 35, 47, 48)) -> None:
    """Compare them with the record at some hours of the run, whole ones, at which the record has samples."""
    record = read_record(folder)
    assert record.bids is not None and record.settlements is not None
    names, leases, block = record.providers["name"], record.leases, record.meta["block_ms"] / 1000
    begin = datetime.fromisoformat(record.meta["start"]).replace(tzinfo=UTC).timestamp()
    moved = record.settlements["moved_whole"] + record.settlements["moved_atto"] / 1e18
    by_hour = dict(zip(record.timeseries["height"].tolist(), record.timeseries["warnings"].tolist(), strict=True))
    day, hour = round(DAY / block), round(HOUR / block)
    asked = warned = 0
    with _Server(exported) as server:
        for height in (each * hour for each in hours):
            at = begin + height * block
            for row, name in enumerate(names):
                mine = leases["provider"] == row
                active = mine & (leases["active_at"] >= 0) & (leases["active_at"] <= height)
                active &= (leases["closed_at"] < 0) | (leases["closed_at"] > height)
                [(_, value)] = server.ask(f'virtengine_market_active_leases{{provider="{name}"}}', at)
                [(_, dry)] = server.ask(f'virtengine_provider_insufficient_leases{{provider="{name}"}}', at)
                waiting = mine & (leases["created_at"] <= height) & ((leases["active_at"] < 0) | (leases["active_at"] > height))
                waiting &= (leases["closed_at"] < 0) | (leases["closed_at"] > height)
                assert value + dry == active.sum() + waiting.sum()
                asked += 1
            share = {labels["provider"]: value for labels, value in server.ask(
                "rate(virtengine_bid_success_total[1h]) / rate(virtengine_bid_total[1h])", at)}  # fmt: skip
            for row, name in enumerate(names):
                within = (record.bids["height"] > height - hour) & (record.bids["height"] <= height) & (record.bids["provider"] == row)
                won = (leases["created_at"] > height - hour) & (leases["created_at"] <= height) & (leases["provider"] == row)
                if within.any():
                    assert share[name] == pytest.approx(won.sum() / within.sum(), rel=1e-9)
            within = (record.settlements["height"] > height - day) & (record.settlements["height"] <= height)
            [(_, revenue)] = server.ask("sum(rate(virtengine_escrow_settlement_amount[1d]))", at)
            assert revenue == pytest.approx(moved[within].sum() / DAY, rel=1e-9)
            low = server.ask("virtengine_escrow_balance < virtengine_lease_rate * 86400", at)
            # the record counts accounts that pay: leases of one account run out together, and those out of funds are at 0, which the
            # chains that settle when they are touched have not all noticed yet
            some = {(labels["owner"], labels["dseq"]) for labels, left in low if left > 0}
            none = {(labels["owner"], labels["dseq"]) for labels, left in low if left == 0} - some
            assert len(some) <= by_hour[height] <= len(some) + (0 if record.meta["rules"] == "seed" else len(none))
            warned += len(low)
    assert asked and warned


@needs_prometheus
def test_the_four_queries_of_the_document_return_the_records_figures(training: Path, tmp_path: Path) -> None:
    answer = CliRunner().invoke(build_app(), ["export", str(training), "--prometheus", str(tmp_path / "p")])
    assert answer.exit_code == 0, answer.output
    assert "prometheus --config.file" in answer.stderr
    _check_the_four_queries(training, tmp_path / "p")


HELD_BACK = {"small": (), "akash": (), "virtengine": (), "training": ("seed=11",)}


@needs_prometheus
@pytest.mark.parametrize("name", ["small", *(pytest.param(each, marks=pytest.mark.slow) for each in HELD_BACK if each != "small")])
def test_the_four_queries_on_other_markets_at_other_times(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    changes = [*TWO_DAYS, *HELD_BACK[name]]
    order = ["run", f"scenarios/{name}.yaml", *(f"--set={line}" for line in changes), "--out", str(folder), "--no-figures", "--quiet"]
    assert CliRunner().invoke(build_app(), order).exit_code == 0
    assert CliRunner().invoke(build_app(), ["export", str(folder), "--prometheus", str(tmp_path / "p"), "--quiet"]).exit_code == 0
    _check_the_four_queries(folder, tmp_path / "p", (24, 29, 31, 38, 43, 46))


@needs_prometheus
@pytest.mark.slow
def test_the_four_queries_on_two_days_of_the_baseline(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    order = ["run", "scenarios/baseline.yaml", *(f"--set={line}" for line in TWO_DAYS), "--out", str(folder), "--no-figures", "--quiet"]
    assert CliRunner().invoke(build_app(), order).exit_code == 0
    assert CliRunner().invoke(build_app(), ["export", str(folder), "--prometheus", str(tmp_path / "p"), "--quiet"]).exit_code == 0
    _check_the_four_queries(folder, tmp_path / "p")
