"""`marketsim parity sdl` and `parity script`: what the chain's parser and the published script answered, and that one change is seen."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from marketsim.cli import main
from marketsim.conformance import manifests, shapes
from marketsim.conformance.report import replay_file

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
SDL, SCRIPT = VECTORS / "sdl-variants.jsonl.gz", VECTORS / "sdl-script-prices.jsonl.gz"

Line = dict[str, Any]


def lines_of(path: Path) -> list[Line]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def written(folder: Path, lines: list[Line]) -> Path:
    path = folder / "v.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_every_manifest_is_judged_as_by_the_chains_parser() -> None:
    report = replay_file(SDL, manifests.replay_sdl, check=shapes.check_sdl)
    assert (report.identical, report.compared, report.differences) == (244, 244, [])


def test_every_script_reads_the_same_bytes_and_the_built_in_rule_asks_its_price() -> None:
    report = replay_file(SCRIPT, manifests.replay_script, check=shapes.check_script)
    assert (report.identical, report.compared, report.differences) == (160, 160, [])


def _other_verdict(line: Line) -> None:
    line["accepted"] = not line["accepted"]
    line.setdefault("groups", [])


def _first(kind: str) -> Callable[[Line], Any]:
    return lambda line: line["groups"][0]["resources"][0][kind]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        pytest.param(_other_verdict, "manifest accepted: expected false, found true", id="verdict"),
        pytest.param(lambda line: line["groups"][0]["resources"][0].update(memory=1), "groups.0.resources.0.memory: expected 1", id="size"),
        pytest.param(
            lambda line: line["groups"][0]["resources"][0]["price"].update(amount_atto="1"), "price.amount_atto: expected 1", id="price"
        ),
        pytest.param(
            lambda line: line["groups"][0]["resources"][0]["endpoints"][0].update(kind=1), "endpoints.0.kind: expected 1", id="endpoint"
        ),
        pytest.param(
            lambda line: line["groups"][0]["attributes"].update(a="b"), "attributes.a: expected b, found (absent)", id="attribute"
        ),
    ],
)
def test_one_change_of_a_verdict_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Line], None], where: str
) -> None:
    lines = [line for line in lines_of(SDL) if line["accepted"]][:5]
    change(lines[2])
    assert main(["parity", "sdl", "--vectors", str(written(tmp_path, lines))]) == 1
    out = capsys.readouterr().out
    assert "4/5 identical" in out and where in out and lines[2]["id"] in out


def test_a_manifest_that_ought_to_be_taken_is_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = next(line for line in lines_of(SDL) if not line["accepted"])
    taken = next(line for line in lines_of(SDL) if line["accepted"])
    path = written(tmp_path, [refused | {"accepted": True, "groups": taken["groups"]}])
    assert main(["parity", "sdl", "--vectors", str(path)]) == 1
    assert "accepted: expected true, found false" in capsys.readouterr().out


@pytest.mark.parametrize("key", ["request", "price", "targets", "gpu_mappings"])
def test_one_changed_byte_of_a_request_or_price_is_seen(tmp_path: Path, key: str) -> None:
    lines = [line for line in lines_of(SCRIPT) if line["price"] is not None and '"units":1' in line["request"]][:3]
    last = lines[1]["price"][-1]
    lines[1] |= {
        "request": {"request": lines[1]["request"][:-1]},
        "price": {"price": lines[1]["price"][:-1] + ("1" if last != "1" else "2")},
        "targets": {"targets": lines[1]["targets"] | {"CPU": "99"}},
        "gpu_mappings": {"gpu_mappings": "a100=5000,h100=5001,t4=5002,rtx4090=5003"},
    }[key]
    assert main(["parity", "script", "--vectors", str(written(tmp_path, lines))]) == 1


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        (b"\xff\xfe\x00", False),
        (b"version: \xff", False),
        ("\ufeff".encode(), True),
        (b"\x00", False),
    ],
    ids=["cut UTF-16", "no UTF-8", "a mark before UTF-8", "NUL"],
)
def test_manifests_as_bytes(tmp_path: Path, content: bytes, accepted: bool) -> None:
    base = next(line for line in lines_of(SDL) if line["id"] == "base")
    packed = base64.b64encode(content + base["sdl"].encode()).decode()
    line = {"id": "bytes", "sdl_base64": packed, "accepted": accepted} | ({"groups": base["groups"]} if accepted else {})
    assert main(["parity", "sdl", "--quiet", "--vectors", str(written(tmp_path, [line]))]) == 0


@pytest.mark.parametrize(
    ("kind", "line", "words"),
    [
        ("sdl", {"id": "x", "sdl": "a: b"}, "v.jsonl:1:1: accepted: "),
        ("sdl", {"id": "x", "sdl": "a: b", "accepted": True}, "v.jsonl:1:1: groups: "),
        ("sdl", {"id": "x", "sdl_base64": "*", "accepted": True, "groups": []}, "sdl_base64: is no base64"),
        ("script", {"id": "x", "sdl": "a: b"}, "v.jsonl:1:1: targets: "),
        ("script", {"id": "x", "sdl": "a: b", "targets": {}, "gpu_mappings": "", "request": "", "price": None}, "sdl: is no manifest"),
    ],
)
def test_lines_of_another_kind_are_located(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, line: Line, words: str) -> None:
    assert main(["parity", kind, "--vectors", str(written(tmp_path, [line]))]) == 2
    assert words in capsys.readouterr().err
