"""Vector files that are cut, swollen or changed: an answer or a located error, in bounded memory, and never a defect."""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from marketsim import cli
from marketsim.conformance.kinds import replay_of
from marketsim.conformance.report import LINE_MAX, read_vectors, replay_file
from marketsim.errors import InputError

VECTORS = Path(__file__).parents[1] / "data" / "vectors"
MANY = int(os.environ.get("MARKETSIM_MUTANTS", "120"))
FILES = {
    "escrow": ("escrow-sequential.jsonl.gz", "escrow-seed.jsonl.gz"),
    "market": ("market-virtengine.jsonl.gz", "market-akash.jsonl.gz"),
    "settlement": ("settlement-virtengine.jsonl.gz",),
    "price": ("price-script.jsonl", "price-virtengine.jsonl"),
}
ODD = (
    None, True, -1, 0, 1 << 31, 1 << 53, 1 << 62, (1 << 63) - 1, 1 << 64, 10**50, 1.5, "", "x", "-1", "1e9", "9" * 19, "9" * 30, "0.5",
    "a/1/1/1/b", "名", "\ud800", "\0", [], {}, [1], [[]], {"a": 1}, "=1",
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def mutant(line: Any, chance: random.Random) -> Any:
    """A vector with one to three places removed, doubled or changed."""
    changed = copy.deepcopy(line)
    for _ in range(chance.choice((1, 1, 2, 3))):
        path = chance.choice(list(places(changed)) or [()])
        if not path:
            return changed
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        how = chance.random()
        if how < 0.25:
            del holder[path[-1]]
        elif how < 0.3 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[path[-1]]))
        else:
            holder[path[-1]] = chance.choice(ODD)
    return changed


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in FILES.items() for name in names])
def test_mutants_are_answered_or_refused(tmp_path: Path, kind: str, name: str) -> None:
    replay, check = replay_of(kind)
    lines = [line for _, line in read_vectors(VECTORS / name)]
    lines = sorted(lines, key=lambda line: len(json.dumps(line)))[: max(8, len(lines) // 8)]
    chance = random.Random(name)
    refused = 0
    for number in range(MANY):
        file = tmp_path / f"{number}.jsonl"
        file.write_text(json.dumps(chance.choice(lines)) + "\n" + json.dumps(mutant(chance.choice(lines), chance)) + "\n")
        try:
            replay_file(file, replay, check=check)
        except InputError as error:
            (line,) = error.lines
            assert re.match(rf"{file}:2:1: \S", line) and len(line) < 600, line
            refused += 1
    assert refused > MANY // 8


def test_a_line_without_end_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "bomb.jsonl.gz"
    with gzip.open(file, "wb", compresslevel=1) as packed:
        packed.write(b'{"id": "x"}\n{"id": "')
        for _ in range(8 * (LINE_MAX >> 20)):
            packed.write(b" " * (1 << 20))
    tracemalloc.start()
    with pytest.raises(InputError, match=r"bomb.jsonl.gz:2:1: line: longer than 16 MiB, expected one vector"):
        list(read_vectors(file))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * LINE_MAX


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": ' + "9" * 10**6 + "}", "1:1: line: a number of 1000000 digits, expected at most 100"),
        ('{"id": NaN}', "1:1: line: NaN is no JSON, expected a number"),
        ('{"id": -Infinity}', "1:1: line: -Infinity is no JSON"),
        ("[" * 10**5, "1:1: line: nested too deeply"),
    ],
)
def test_numbers_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    file = tmp_path / "vectors.jsonl"
    file.write_text(text + "\n")
    for kind in FILES:
        assert cli.main(["parity", kind, "--quiet", "--vectors", str(file)]) == 2
        assert f"{file}:{said}" in capsys.readouterr().err
