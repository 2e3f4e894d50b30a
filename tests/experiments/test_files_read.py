"""What a run reads beside its scenario is part of its key, and what users' code does to reproducibility is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from marketsim.cli import main
from marketsim.experiments.runs.files_read import Contents, user_code
from marketsim.experiments.sweep.session import read_plan

SCENARIO = """
name: mine
horizon: 4h
warm_up: 0s
deployment_min_deposit: 1uve
tenants:
  - name: t
    demand: {trace: orders.csv}
    order: {cpu: 1000, memory: 1Gi, storage: 1Gi}
    duration: 1h
providers:
  - {name: plain, strategy: monthly_targets, capacity: {cpu: 4000, memory: 8Gi, storage: 100Gi}}
  - {name: own, strategy: {python: "prices.mine:Mine"}, capacity: {cpu: 64000, memory: 64Gi, storage: 1Ti}}
"""
SWEEP = "name: s\nscenario: mine.yaml\nfactors:\n  - {name: crowd, path: providers.plain.count, levels: [1, 2]}\nreplications: 2\n"
STRATEGY = """
import numpy as np
from marketsim import PriceRequest
from . import rates
class Mine:
    def price(self, request: PriceRequest) -> int:
        return int(rates.RATE * SHARE)
"""


def write(folder: Path, share: str = "1") -> Path:
    (folder / "prices").mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(SCENARIO)
    (folder / "orders.csv").write_text("at_seconds\n" + "".join(f"{60 * k}\n" for k in range(1, 30)))
    (folder / "prices" / "__init__.py").write_text("")
    (folder / "prices" / "rates.py").write_text("RATE = 10**18\n")
    (folder / "prices" / "mine.py").write_text(STRATEGY.replace("SHARE", share))
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder / "sweep.yaml"


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("orders.csv", "at_seconds\n60\n"),
        ("prices/mine.py", STRATEGY.replace("SHARE", "2")),
        ("prices/rates.py", "RATE = 10**17\n"),
        ("prices/__init__.py", "X = 1\n"),
    ],
)
def test_a_key_knows_the_content_of_every_file_that_the_run_reads(tmp_path: Path, file: str, text: str) -> None:
    sweep = write(tmp_path)
    before = read_plan(sweep)
    assert read_plan(sweep).task(0, 0).key == before.task(0, 0).key
    assert read_plan(sweep).digest() == before.digest()
    (tmp_path / file).write_text(text)
    assert read_plan(sweep).task(0, 0).key != before.task(0, 0).key
    assert read_plan(sweep).digest() != before.digest()


def test_scripts_are_read_and_nothing_is_executed(tmp_path: Path) -> None:
    (tmp_path / "price.sh").write_text("exit 1")
    (tmp_path / "boom.py").write_text("raise SystemExit(3)")
    scripted = {"providers": [{"strategy": {"script": "price.sh"}}, {"strategy": {"python": "boom:Class"}}]}
    assert user_code(scripted) == ("price.sh", "boom:Class")
    first = Contents(tmp_path).digest(scripted)
    (tmp_path / "price.sh").write_text("exit 0")
    assert Contents(tmp_path).digest(scripted) not in ("", first)
    free_text: dict[str, Any] = {"tenants": [{"order": {"attributes": {"python": "3"}}}]}
    assert user_code(free_text) == () and Contents(tmp_path).digest(free_text) == ""


@pytest.mark.parametrize(
    ("share", "alike"),
    [("1", True), ("np.random.uniform(0.5, 1.5)", False), ("__import__('random').uniform(0.5, 1.5)", False)],
)
def test_a_strategy_that_draws_from_a_global_generator_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], share: str, alike: bool
) -> None:
    out = tmp_path / "out"
    words = ["sweep", str(write(tmp_path, share)), "--workers", "1", "--out", str(out), "--quiet"]
    assert main(words) == 0
    shown = capsys.readouterr().err
    assert ("not reproducible: a run with prices.mine:Mine was made twice with seed 1" in shown) != alike
    assert json.loads((out / "sweep.json").read_text())["reproducible"] == alike
    assert ("came out differently" in (out / "report.md").read_text()) != alike
    assert len(list((out / "runs").iterdir())) == 4


def test_a_resumed_sweep_has_no_rows_of_an_earlier_strategy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["sweep", str(write(tmp_path)), "--workers", "1", "--out", str(out)]
    assert main([*words, "--quiet"]) == 0
    before = {path.name for path in (out / "runs").iterdir()}
    write(tmp_path, "0.5")
    assert main([*words, "--resume"]) == 0
    assert not before & {path.name for path in (out / "runs").iterdir()}
    assert "4 runs of an earlier state of this sweep" in capsys.readouterr().err
