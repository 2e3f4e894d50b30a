"""VirtEngine's own bid formula as the strategy of a run: the recorded answers, prices by hand, refusals in place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hand_market import play, provider, tenant

import marketsim as ms
from marketsim.errors import InputError
from marketsim.money.text import format_amount, parse_atto
from marketsim.money.units import GIB
from marketsim.strategies.rules import ResourceUnit, Volume

VECTORS = Path(__file__).parents[1] / "data" / "vectors" / "price-virtengine.jsonl"
TRAINING = {"cpu_price_per_core": 0.001, "memory_price_per_gb": 0.0005, "storage_price_per_gb": 0.0001, "min_bid_price": 0.0001}


def unit(order: dict[str, Any]) -> ResourceUnit:
    """An order of whole cores and GB, as the daemon knows it."""
    return ResourceUnit(
        cpu=1000 * order.get("cpu_cores", 0),
        memory=GIB * order.get("memory_gb", 0),
        volumes=(Volume(GIB * order.get("storage_gb", 0)),),
        gpu=order.get("gpus", 0),
    )


def test_it_answers_as_the_daemon_did() -> None:
    """Every recorded question whose file the daemon can price from; a ceiling that it could not read is none of a run's."""
    asked = priced = 0
    for line in VECTORS.read_text().splitlines():
        recorded = json.loads(line)
        ceiling = recorded["order"].get("max_price") or "1" + "0" * 57
        try:
            strategy = ms.DaemonPricing(**{"min_bid_price": ""} | recorded["config"]["pricing"])
            request = ms.PriceRequest((unit(recorded["order"]),), parse_atto(ceiling))
        except ValueError:
            continue
        answer = strategy.price(request)
        assert (None if isinstance(answer, ms.Refusal) else format_amount(answer)) == recorded["price"], recorded["id"]
        asked += 1
        priced += recorded["price"] is not None
    assert asked >= 100
    assert priced > 60


def price_won(tmp_path: Path, options: dict[str, Any], **size: Any) -> str:
    desk = provider() | {"strategy": {"python": "marketsim:DaemonPricing", "options": options}}
    cohort = tenant(tmp_path, "a", [10], ceiling="90uve")
    cohort["order"] = cohort["order"] | size
    leases = play(tmp_path, [cohort], [desk]).record.leases
    return format_amount(int(leases["price_whole"][0]) * 10**18 + int(leases["price_atto"][0]))


@pytest.mark.parametrize(
    ("size", "markup", "price"),
    [
        # by hand: cores x 0.001 + GiB x 0.0005 + GiB x 0.0001, and the markup on top
        ({"cpu": 2000, "memory": "4Gi", "storage": "10Gi"}, 0, "0.005"),
        ({"cpu": 2000, "memory": "4Gi", "storage": "10Gi"}, 10, "0.0055"),
        ({"cpu": 1001, "memory": "1025Mi", "storage": "1Gi"}, 12.5, "0.0034875"),  # started cores and GiB count whole
        ({"cpu": 10, "memory": "1Mi", "storage": "5Mi"}, 0, "0.0016"),
    ],
)
def test_a_run_is_leased_at_the_daemons_price(tmp_path: Path, size: dict[str, Any], markup: float, price: str) -> None:
    assert price_won(tmp_path, TRAINING | {"bid_markup_percent": markup}, **size) == price


def test_the_least_bid_is_asked_where_the_sum_is_below_it(tmp_path: Path) -> None:
    assert price_won(tmp_path, TRAINING | {"min_bid_price": "0.75"}, cpu=1000) == "0.75"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"min_bid_price": ""}, "min_bid_price: '' is no price"),
        ({"cpu_price_per_core": -1}, "cpu_price_per_core: '-1' is no price, expected a decimal number of 0 or more"),
        ({"memory_price_per_gb": "1e-3"}, "memory_price_per_gb: '1e-3' is no price"),
        ({"gpu_price_per_hour": "a lot"}, "gpu_price_per_hour: 'a lot' is no price"),
        ({"bid_markup_percent": "ten"}, "bid_markup_percent: 'ten' is no percentage, expected a number of 0 or more"),
        ({"cpu_price": 1}, "cpu_price"),
    ],
)
def test_what_the_daemon_could_not_price_from_is_refused_before_the_run(tmp_path: Path, option: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=r"providers\.p\.strategy\.python: ") as error:
        price_won(tmp_path, TRAINING | option)
    assert said in str(error.value)


def test_it_holds_the_contract() -> None:
    ms.check_strategy(lambda: ms.DaemonPricing(**TRAINING))
