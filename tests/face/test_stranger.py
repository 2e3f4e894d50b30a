"""What a stranger begins with: an empty folder, and the scenarios that come with marketsim."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import marketsim as ms
from marketsim.cli import main

ROOT = Path(__file__).resolve().parents[2]


def test_init_refuses_a_folder_with_something_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept").write_text("mine", "utf-8")
    assert main(["init", str(tmp_path)]) == 2
    assert "the folder is not empty" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["kept"]


def test_init_in_the_folder_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--quiet"]) == 0
    assert {"scenario.yaml", "provider.yaml", "sweep.yaml", "my_prices.py", "test_my_prices.py", "README.md"} <= set(os.listdir())
    assert ms.validate("scenario.yaml", "sweep.yaml", "provider.yaml").holds


def test_every_shipped_scenario_can_be_copied_and_is_whole(tmp_path: Path) -> None:
    for name in ("tiny", "training", "cases/seed/usage", "sweeps/pricing"):
        files = ms.copy_scenario(name, tmp_path / name.replace("/", "-"))
        copied_one = next(file for file in files if file.stem == Path(name).name)
        assert ms.validate(copied_one).holds
    with pytest.raises(ms.InputError, match="is there already"):
        ms.copy_scenario("tiny", tmp_path / "tiny")
    with pytest.raises(ms.InputError, match="no shipped scenario"):
        ms.copy_scenario("nothing", tmp_path)
