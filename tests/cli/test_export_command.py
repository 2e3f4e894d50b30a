"""`marketsim export`: what it refuses, what it leaves behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from marketsim.cli import build_app
from marketsim.errors import InputError

FROM = ("--scenario", "scenarios/tiny.yaml")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "run"
    answer = CliRunner().invoke(build_app(), ["run", "scenarios/tiny.yaml", "--out", str(folder), "--no-figures", "--quiet"])
    assert answer.exit_code == 0, answer.output
    return folder


def _copied(folder: Path, target: Path, **changes: Any) -> Path:
    """A copy of a run's folder whose manifest says something else."""
    shutil.copytree(folder, target)
    manifest = json.loads((target / "manifest.json").read_text())
    (target / "manifest.json").write_text(json.dumps(manifest | changes))
    return target


def _refusal(*arguments: str) -> str:
    answer = CliRunner().invoke(build_app(), ["export", *arguments])
    assert isinstance(answer.exception, InputError), answer.output
    return str(answer.exception)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--step", "6m"], "--step: 6m is 60 blocks, expected from 1 block to 5m"),
        (["--step", "0s"], "--step: 0s is 0 blocks"),
        (["--step", "soon"], "--step: 'soon' is not a duration"),
        (["--provider", "nobody"], "--provider: nobody is not in this run, expected one of north-0, south-0"),
        (["--names", "real"], "--names: 'real' is none, expected document or chain"),
        (["--prometheus", "folder"], "one of the two"),
    ],
)
def test_options_that_make_no_sense(options: list[str], said: str, tiny: Path, tmp_path: Path) -> None:
    assert said in _refusal(str(tiny), *FROM, "--openmetrics", str(tmp_path / "file"), *options)
    assert not list(tmp_path.iterdir())


def test_nothing_to_write(tiny: Path) -> None:
    assert "expected --openmetrics FILE or --prometheus FOLDER" in _refusal(str(tiny))


def test_a_trace_that_is_not_where_it_was(tiny: Path, tmp_path: Path) -> None:
    moved = _copied(tiny, tmp_path / "run", origin={"folder": str(tmp_path)})
    said = _refusal(str(moved), "--openmetrics", str(tmp_path / "file"))
    assert f"traces/tiny-alice.csv, which is not in {tmp_path}: give the scenario file with --scenario" in said
    order = ["export", str(moved), *FROM, "--openmetrics", str(tmp_path / "file"), "--quiet"]
    assert CliRunner().invoke(build_app(), order).exit_code == 0


def test_a_place_that_cannot_be_written(tiny: Path, tmp_path: Path) -> None:
    assert "cannot be written" in _refusal(str(tiny), *FROM, "--openmetrics", str(tmp_path / "absent" / "file"))


def test_a_run_that_is_not_the_recorded_one_is_refused_and_nothing_kept(tiny: Path, tmp_path: Path) -> None:
    versions = json.loads((tiny / "manifest.json").read_text())["versions"] | {"numpy": "1.0"}
    changed = _copied(tiny, tmp_path / "run", fingerprint="0" * 32, versions=versions)
    said = _refusal(str(changed), *FROM, "--openmetrics", str(tmp_path / "file"))
    assert "run the scenario again" in said and "numpy 1.0 ->" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_one_providers_series_and_those_of_the_market(tiny: Path, tmp_path: Path) -> None:
    order = ["export", str(tiny), *FROM, "--openmetrics", str(tmp_path / "file"), "--provider", "south-0", "--names", "chain", "--quiet"]
    assert CliRunner().invoke(build_app(), order).exit_code == 0
    text = (tmp_path / "file").read_text()
    assert 'provider="south-0"' in text and 'provider="north-0"' not in text
    assert "virtengine_market_orders_created_total" in text and "provider_daemon_bids_submitted_total" in text
    assert text.endswith("# EOF\n")
