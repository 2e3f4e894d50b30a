"""Thirteen errors planted in the rules, one at a time in a copy of the package: the theory bench has to find at least twelve.

Each is one changed line of the source. The copy runs uncompiled in a process of its own, and only the markets that are named run:
they are part of the bench, so what they find the bench finds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from marketsim.bench.rule_markets import RULE_MARKETS

ROOT = Path(__file__).resolve().parents[2]
BOOKS, BY_ROW, _, QUOTES, RESCUES, SHARED, TOUCHES = (market.name for market in RULE_MARKETS)

PLANTED: dict[str, tuple[str, list[tuple[str, str]], list[str]]] = {
    "due settlement a block early": (
        "chain/escrow/exact.py",
        [("return settled + covered + 1", "return settled + max(covered, 1)")],
        [BOOKS],
    ),
    "grace + 1": ("chain/escrow/exact.py", [("= h + s.globals.grace", "= h + s.globals.grace + 1")], [BOOKS]),
    "bid window 2 → 3": (
        "market/tenants.py",
        [("push(e, height + x.bid_window, Phase.ACCEPT", "push(e, height + x.bid_window + 1, Phase.ACCEPT")],
        [BOOKS],
    ),
    "first block free": (
        "chain/escrow/exact.py",
        [
            (
                "    start_meter(s, h, lease)\n    schedule(s, account)\n    touch(s, account)\n    return Status.Ok",
                "    start_meter(s, h, lease)\n    s.accounts[account].settled_at = h + 1\n    schedule(s, account)\n"
                "    touch(s, account)\n    return Status.Ok",
            )
        ],
        [BOOKS],
    ),
    "tie reversed": (
        "market/desks.py",
        [
            ("return bool(one.desk < other.desk)", "return bool(one.desk > other.desk)"),
            ("return bool(one.tie < other.tie)", "return bool(one.tie > other.tie)"),
        ],
        [BY_ROW],
    ),
    "take per pay-out": ("chain/escrow/exact.py", [("pay(s, lease, True)", "pay(s, lease, False)")], [BOOKS]),
    "top-ups halved": (
        "market/tenants.py",
        [
            (
                "deployment, owner, planned.top_up_amount, 1)",
                "deployment, owner, planned.top_up_amount // 2, 1)",
            )
        ],
        [RESCUES],
    ),
    "shortfall all to the last": (
        "chain/escrow/exact.py",
        [
            (
                "share, share_atto = mul_div_floor(s.scratch, funds, funds_atto, due_whole, due_atto, total, total_atto)",
                "share, share_atto = (left, left_atto) if is_less(left, left_atto, due_whole, due_atto) else (due_whole, due_atto)",
            )
        ],
        [SHARED],
    ),
    "a bid at the ceiling refused": (
        "chain/leasing.py",
        [("price_atto > o.price_atto", "price_atto >= o.price_atto")],
        [BY_ROW],
    ),
    "take doubled": ("chain/escrow/accounts.py", [("take = s.globals.take_ppm", "take = 2 * s.globals.take_ppm")], [BOOKS]),
    "withdraw period + 1": (
        "market/loop.py",
        [("e.desks[p.slot].withdraw_every", "e.desks[p.slot].withdraw_every + 1")],
        [TOUCHES],
    ),
    "dearest bid taken": (
        "market/desks.py",
        [
            ("other.price, other.price_atto):\n        return True", "other.price, other.price_atto):\n        return False"),
            ("one.price, one.price_atto):\n        return False", "one.price, one.price_atto):\n        return True"),
        ],
        [QUOTES],
    ),
    "capacity leaked": (
        "market/desks.py",
        [("e.tracks[order], Desk.leased_cpu, -1)", "e.tracks[order], Desk.leased_cpu, -1 if order % 50 > 0 else 0)")],
        [BOOKS],
    ),
}

LOOK = """
import sys
from marketsim.bench.theory import bench

found = bench(1, replications=2, only=sys.argv[1:])
print("\\n".join(found.lines()[:-1]))
print("AGREES" if found.agrees else "DIFFERS")
"""


def found_by_the_bench(folder: Path, name: str) -> str:
    """What the bench says of a copy of the package with the error planted."""
    file, changes, markets = PLANTED[name]
    shutil.copytree(ROOT / "marketsim", folder / "marketsim", ignore=shutil.ignore_patterns("__pycache__"))
    source = folder / "marketsim" / file
    text = source.read_text("utf-8")
    for old, new in changes:
        assert text.count(old) == 1, f"{name}: where it was planted has changed: {old}"
        text = text.replace(old, new)
    source.write_text(text, "utf-8")
    environment = os.environ | {"MARKETSIM_COMPILE": "0", "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *markets], cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.slow
def test_at_least_twelve_of_thirteen_planted_errors_are_found(tmp_path: Path) -> None:
    said = {}
    for number, name in enumerate(PLANTED):
        said[name] = found_by_the_bench(tmp_path / str(number), name)
        shutil.rmtree(tmp_path / str(number))
    missed = {name: text for name, text in said.items() if "DIFFERS" not in text}
    assert len(PLANTED) == 13
    assert len(missed) <= 1, "\n".join(f"{name}:\n{text}" for name, text in missed.items())


def test_every_error_can_be_planted_where_it_stands() -> None:
    for name, (file, changes, _) in PLANTED.items():
        text = (ROOT / "marketsim" / file).read_text("utf-8")
        assert all(text.count(old) == 1 for old, _ in changes), name
