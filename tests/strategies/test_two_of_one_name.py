"""Two installed packages that offer something by the same name."""

from __future__ import annotations

from pathlib import Path

import pytest

from marketsim.errors import InputError
from marketsim.strategies.check import named_object
from marketsim.strategies.find import EXTENSION_KINDS, FAULT, ExtensionKind, problem_of


def offer(folder: Path, package: str, kind: ExtensionKind, value: str) -> None:
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{kind.group}]\nstorm = {value}\n")


@pytest.mark.parametrize("kind", EXTENSION_KINDS, ids=lambda kind: kind.noun)
def test_which_is_meant_has_to_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: ExtensionKind) -> None:
    offer(tmp_path, "east", kind, "east_weather:Storm")
    offer(tmp_path, "west", kind, "west_weather:Storm")
    monkeypatch.syspath_prepend(tmp_path)
    said = "'storm' is offered by east (east_weather:Storm) and west (west_weather:Storm), write module:"
    assert said in str(problem_of("storm", (), kind))
    with pytest.raises(InputError, match=r"here: 'storm' is offered by east"):
        named_object("storm", (), "here", kind)


def test_the_same_thing_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weather.py").write_text("def storm(scene):\n    return []\n")
    offer(tmp_path, "east", FAULT, "weather:storm")
    offer(tmp_path, "west", FAULT, "weather:storm")
    monkeypatch.syspath_prepend(tmp_path)
    assert problem_of("storm", (), FAULT) is None
    assert callable(named_object("storm", (), "here", FAULT))
