"""A price multiplier follows the resource that it is told to: one of four, or the one most used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hand_market import play, provider, tenant

from marketsim.chain.columns import EventKind
from marketsim.kernel.rows import row_of
from marketsim.market.quoting import PPM, reprice, scarcest
from marketsim.market.tables import Desk

CPU, MEMORY, STORAGE, GPU, SCARCEST = range(5)


def desk(follows: int, *, step: int = 0) -> Any:
    """Leased 10 of 100 cores, 95 of 100 MiB, 50 of 100 MiB; no GPUs."""
    row = row_of(Desk)
    row[Desk.cap_cpu : Desk.cap_gpu + 1] = 100, 100, 100, 0
    row[Desk.leased_cpu : Desk.leased_gpu + 1] = 10, 95, 50, 0
    row[[Desk.multiplier_ppm, Desk.reprice_follows, Desk.reprice_step_ppm]] = PPM, follows, step
    row[Desk.reprice_high_ppm : Desk.reprice_max_ppm + 1] = 800_000, 300_000, 1_050_000, 950_000, 500_000, 2_000_000
    return row


@pytest.mark.parametrize(
    ("follows", "multiplier"), [(CPU, 950_000), (MEMORY, 1_050_000), (STORAGE, PPM), (GPU, PPM), (SCARCEST, 1_050_000)]
)
def test_the_followed_resource_moves_the_price(follows: int, multiplier: int) -> None:
    row = desk(follows)
    assert reprice(row) == int(multiplier != PPM)
    assert row[Desk.multiplier_ppm] == multiplier


@pytest.mark.parametrize(("follows", "multiplier"), [(CPU, 650_000), (MEMORY, 1_925_000), (STORAGE, 1_250_000), (SCARCEST, 1_925_000)])
def test_a_multiplier_that_follows_use_in_steps_follows_the_same(follows: int, multiplier: int) -> None:
    row = desk(follows, step=1)
    assert reprice(row) == 1
    assert row[Desk.multiplier_ppm] == multiplier


def test_the_scarcest_is_of_those_that_there_are() -> None:
    row = desk(SCARCEST)
    assert scarcest(row) == MEMORY
    row[[Desk.leased_cpu, Desk.leased_memory]] = 95, 95
    assert scarcest(row) == CPU  # the first of equals
    row[[Desk.cap_gpu, Desk.leased_gpu]] = 8, 8
    assert scarcest(row) == GPU
    row[Desk.cap_cpu : Desk.cap_gpu + 1] = 0
    assert scarcest(row) == CPU


@pytest.mark.parametrize(("follows", "up"), [("scarcest", True), ("gpu", True), ("cpu", False)])
def test_a_market_short_of_gpus_raises_its_prices(tmp_path: Path, follows: str, up: bool) -> None:
    """Its cpu is idle: what follows that goes on cutting them."""
    rule = {"every": "50 blocks", "follows": follows}
    order = {"cpu": 1000, "memory": "1Gi", "storage": "1Gi", "gpu": 2}
    wants = tenant(tmp_path, "t", [5], lasts=300, order=order, ceiling="50uve")
    played = play(
        tmp_path, [wants], [provider(cores=64, capacity={"cpu": 64_000, "memory": "64Gi", "storage": "1Ti", "gpu": 2}, repricing=rule)]
    )
    events = played.record.events
    assert events is not None
    moves = events["whole"][events["kind"] == EventKind.REPRICED]
    assert moves[0] == (1_050_000 if up else 950_000)
