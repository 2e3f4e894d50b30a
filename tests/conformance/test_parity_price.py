"""`marketsim parity price`: recorded prices, the count, what a difference and a bad line look like."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from marketsim.cli import main
from marketsim.conformance import prices, shapes
from marketsim.conformance.report import Difference, Result, compare, read_vectors, replay_file
from marketsim.errors import InputError, InvariantError

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
ENGINE, SCRIPT = VECTORS / "price-virtengine.jsonl", VECTORS / "price-script.jsonl"
SETTLEMENT = VECTORS / "settlement-virtengine.jsonl.gz"


@pytest.mark.parametrize(("path", "count"), [(ENGINE, 122), (SCRIPT, 95)])
def test_every_recorded_price_is_identical(path: Path, count: int) -> None:
    report = replay_file(path, prices.replay, check=shapes.check_price)
    assert (report.identical, report.compared, report.differences) == (count, count, [])


def lines_of(path: Path, count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[:count]]


def written(folder: Path, lines: list[Any], name: str = "v.jsonl") -> Path:
    path = folder / name
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def test_command_counts_each_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", "price", "--vectors", str(ENGINE), str(SCRIPT)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{ENGINE}: 122/122 identical")
    assert second.startswith(f"{SCRIPT}: 95/95 identical")


def test_command_reads_gzip_under_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = written(tmp_path, lines_of(SCRIPT, 3), "v.gz").rename(tmp_path / "v.jsonl")
    assert main(["parity", "price", "--vectors", str(packed), "--vectors", str(SCRIPT)]) == 0
    assert "3/3 identical" in capsys.readouterr().out
    assert main(["parity", "settlement", "--vectors", str(SETTLEMENT)]) == 0
    assert "2116/2116 identical" in capsys.readouterr().out


def test_a_difference_is_named_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(ENGINE, 4)
    right, lines[1]["price"] = lines[1]["price"], "7"
    lines[2]["matches"] = not lines[2]["matches"]
    path = written(tmp_path, lines)
    assert main(["parity", "price", "--vectors", str(path)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{path}: 2/4 identical")
    found = "null" if right is None else right
    assert out[1] == f"  sequence {lines[1]['id']}, message 0: bid price: expected 7, found {found}"
    assert "bid matches: expected" in out[2]
    assert main(["parity", "price", "--vectors", str(path), "--differences", "1"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "  and 1 more differences"
    assert main(["parity", "price", "--quiet", "--vectors", str(SCRIPT), str(path)]) == 1
    assert str(SCRIPT) not in capsys.readouterr().out


def test_json_is_one_object_without_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(SCRIPT, 2)
    lines[0]["price"] = "0.5"
    path = written(tmp_path, lines)
    assert main(["parity", "price", "--json", "--vectors", str(path)]) == 1
    printed = capsys.readouterr().out
    document = json.loads(printed)
    (report,) = document["files"]
    assert (document["kind"], document["identical"]) == ("price", False)
    assert (report["identical"], report["compared"], report["sequences"]) == (1, 2, 2)
    assert report["differences"][0]["expected"] == "0.5"
    main(["parity", "price", "--json", "--vectors", str(path)])
    assert capsys.readouterr().out == printed


def changed(path: Path, change: Any) -> Any:
    (line,) = lines_of(path, 1)
    change(line)
    return line


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", ":1:2: line: not JSON"),
        (b"\xff\xfe", ":1:1: line: not UTF-8"),
        ("[]", ":1:1: line: list, expected one JSON object"),
        ("", "holds no vectors"),
        ("\n  \n", "holds no vectors"),
        ({"id": "x"}, ":1:1: line: has neither config"),
        (changed(ENGINE, lambda d: d.pop("order")), ":1:1: order: is missing, expected an object"),
        (changed(ENGINE, lambda d: d["order"].update(gpus="two")), "order.gpus: 'two', expected an integer"),
        (changed(ENGINE, lambda d: d["order"].update(gpus=True)), "order.gpus: True, expected an integer"),
        (
            changed(ENGINE, lambda d: d["config"].update(regions="us")),
            "config.regions: 'us', expected a list",
        ),
        (
            changed(ENGINE, lambda d: d["config"].update(capacity=[])),
            "config.capacity: [], expected an object",
        ),
        (
            changed(ENGINE, lambda d: d.update(matches=None)),
            "matches: is missing or null, expected true or false",
        ),
        (changed(SCRIPT, lambda d: d["targets"].update(cpu="x")), "targets: cpu: 'x' is not a price"),
        (
            changed(SCRIPT, lambda d: d["request"]["resources"][0].update(cpu=-1)),
            "request.resources[0].cpu: -1, expected an integer of 0 or more",
        ),
        (
            changed(SCRIPT, lambda d: d["request"]["price"].update(amount=5)),
            "request.price.amount: 5, expected a decimal in a string",
        ),
    ],
)
def test_a_bad_line_is_located(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: Any, said: str) -> None:
    path = tmp_path / "v.jsonl"
    text = json.dumps(line) if isinstance(line, dict) else line
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(["parity", "price", "--vectors", str(path)]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"{path}:1:")
    assert said in error


def test_the_line_of_an_error_is_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(SCRIPT, 3)
    lines[2]["targets"] = {"cpu": "free"}
    path = written(tmp_path, lines)
    path.write_text("\n" + path.read_text())
    assert main(["parity", "price", "--vectors", str(path)]) == 2
    assert f"{path}:4:1: targets" in capsys.readouterr().err


def test_every_bad_file_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(SCRIPT.read_bytes())[:500])
    arguments = [str(tmp_path / "absent"), str(tmp_path), str(cut), str(SETTLEMENT), str(SCRIPT)]
    assert main(["parity", "price", "--vectors", *arguments]) == 2
    captured = capsys.readouterr()
    assert "95/95 identical" in captured.out
    no_file, folder, broken, other_kind = captured.err.splitlines()
    assert "no such file" in no_file
    assert "is a folder" in folder
    assert "cannot be read" in broken
    assert "has neither config" in other_kind


def test_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", "prices", "--vectors", str(SCRIPT)]) == 2
    assert "expected one of escrow, market, settlement, price" in capsys.readouterr().err
    assert main(["parity", "price"]) == 2
    assert "expected at least one file" in capsys.readouterr().err


def test_progress_of_a_long_file(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("marketsim.cli.parity._PROGRESS_EVERY_SECONDS", 0.0)
    assert main(["parity", "price", "--vectors", str(SCRIPT)]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"{SCRIPT}: 95 sequences, 95 prices"
    assert main(["parity", "price", "--quiet", "--vectors", str(SCRIPT)]) == 0
    assert capsys.readouterr() == ("", "")


SETTLE = {"time": 5, "op": "settle", "order": "o", "result": "EscrowNotFound"}


@pytest.mark.parametrize(
    ("check", "line", "key"),
    [
        (shapes.check_settlement, {"id": "s", "wallets": {"a": "1.5"}, "ops": []}, "wallets.a"),
        (shapes.check_settlement, {"id": "s", "wallets": {}, "ops": 3}, "ops"),
        (shapes.check_settlement, {"id": "s", "wallets": {}, "ops": [3]}, "ops[0]"),
        (shapes.check_settlement, {"id": "s", "wallets": {}, "ops": [SETTLE | {"op": "pay"}]}, "ops[0].op"),
        (shapes.check_settlement, {"id": "s", "wallets": {}, "ops": [SETTLE | {"op": None}]}, "ops[0].op"),
        (
            shapes.check_settlement,
            {"id": "s", "wallets": {}, "ops": [SETTLE, SETTLE | {"time": 4}]},
            "ops[1].time",
        ),
        (
            shapes.check_settlement,
            {"id": "s", "wallets": {}, "ops": [SETTLE | {"usage_ids": [""]}]},
            "ops[0].usage_ids[0]",
        ),
        (shapes.check_escrow, {"id": "e", "rule": "fair"}, "rule"),
        (shapes.check_escrow, {"id": "e", "rule": "seed"}, "take_percent"),
        (shapes.check_escrow, {"id": "e", "rule": "sequential", "take_percent": 2, "quirks": 1}, "quirks"),
        (
            shapes.check_escrow,
            {
                "id": "e",
                "rule": "sequential",
                "take_percent": 2,
                "quirks": True,
                "opened_at": 1,
                "ops": [{"height": 1, "op": "deposit", "owner": "a", "amount": "x", "result": "ok", "after": {}}],
            },
            "ops[0].amount",
        ),
        (
            shapes.check_market,
            {
                "id": "m",
                "rules": "seed",
                "quirks": False,
                "start": {"params": {}, "wallets": {}, "providers": {}},
            },
            "rules",
        ),
    ],
)
def test_shapes_name_the_key(check: Any, line: Any, key: str) -> None:
    with pytest.raises(ValueError, match="expected") as caught:
        check(line)
    assert caught.value.key == key  # type: ignore[attr-defined]


def test_comparison_descends_into_objects() -> None:
    expected = {"a": 1, "b": {"c": "x", "d": True}, "e": [1, 2]}
    found = {"a": 1, "b": {"c": "y", "d": 1}, "f": None, "e": [1, 2]}
    assert list(compare("s", 3, "thing", expected, found)) == [
        Difference("s", 3, "thing", "b.c", "x", "y"),
        Difference("s", 3, "thing", "b.d", "true", "1"),
        Difference("s", 3, "thing", "f", "(absent)", "null"),
    ]
    assert list(compare("s", 0, "thing", None, {"a": 1})) == [Difference("s", 0, "thing", "", "null", '{"a":1}')]
    assert list(compare("s", 0, "thing", expected, expected)) == []


def test_a_replay_that_skips_a_line_is_a_defect(tmp_path: Path) -> None:
    path = written(tmp_path, [{"id": "a"}, {"id": "b"}])

    def skipping(lines: Any, /) -> Any:
        list(lines)
        yield Result("a", 1, 1)

    with pytest.raises(InvariantError, match="1 of 2 lines"):
        replay_file(path, skipping)


def test_reading_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read_vectors(tmp_path / "absent"))
