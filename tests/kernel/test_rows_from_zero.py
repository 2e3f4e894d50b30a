"""Compiled code never indexes below zero: it is compiled without Python's meaning of that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from watch_rows import Watched

ROOT = Path(__file__).parents[2]
SHORT = "?horizon=600 blocks&warm_up=0 blocks"
MARKETS = [f"{ROOT}/scenarios/{name}.yaml{SHORT}" for name in ("baseline", "akash", "virtengine")]
CASES = sorted(map(str, (ROOT / "scenarios").glob("cases/**/*.yaml")))


def test_the_watch_sees_rows_and_columns_below_zero() -> None:
    Watched.places.clear()
    table = np.zeros((3, 2), np.int64).view(Watched)
    row = table[1]
    row[0] = table[2, 1]
    assert not Watched.places
    row[-1] = 5
    assert table[-2, 0] == 0
    assert len(Watched.places) == 2
    Watched.places.clear()


@pytest.mark.parametrize("names", [MARKETS, CASES], ids=["markets", "cases"])
def test_compiled_code_never_indexes_below_zero(names: list[str]) -> None:
    environment = os.environ | {"MARKETSIM_COMPILE": "0", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "support" / "watch_rows.py"), *names],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    looks, *places = done.stdout.split("\n")
    assert int(looks.split()[0]) > 100_000
    assert [place for place in places if place] == []
