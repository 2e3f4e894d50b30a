"""Sizes, prices and rows that no order can have are refused, or cut, counted and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from marketsim.chain.columns import Resource
from marketsim.cli import main
from marketsim.errors import InputError
from marketsim.report.content import _cut_words
from marketsim.scenario import load_scenario, scenario_from_mapping
from marketsim.simulation.generic_cost import to_pair
from marketsim.simulation.orders import draw_orders

SIZES = {"cpu": 1000, "memory": "1Gi", "storage": "1Gi"}
SCENARIO: dict[str, Any] = {
    "name": "t",
    "horizon": "2h",
    "deployment_min_deposit": "1uve",
    "tenants": [{"name": "a", "demand": {"orders": 400}, "order": SIZES, "duration": "10m"}],
    "providers": [{"name": "p", "strategy": "monthly_targets", "capacity": {"cpu": 64000, "memory": "64Gi", "storage": "1Ti"}}],
}


def scenario(**tenant: Any) -> dict[str, Any]:
    order = SIZES | tenant.pop("order", {})
    return SCENARIO | {"tenants": [SCENARIO["tenants"][0] | tenant | {"order": order}]}


@pytest.mark.parametrize(
    ("tenant", "key", "words"),
    [
        ({"order": {"cpu": 4}}, "order.cpu", "give 10 millicores to 384000 millicores; '4' cores are written 4000 or 4 cores"),
        ({"order": {"cpu": "0.009 cores"}}, "order.cpu", "'9' millicores is below"),
        ({"order": {"cpu": 384_001}}, "order.cpu", "'384001' millicores is above"),
        ({"order": {"cpu": "2..8"}}, "order.cpu", "'2' cores are written 2000 or 2 cores"),
        ({"order": {"cpu": {"uniform": [1000, 400_000]}}}, "order.cpu", "'400000' millicores is above"),
        ({"order": {"cpu": {"lognormal": {"median": 5, "sigma": 1}}}}, "order.cpu", "below"),
        ({"order": {"cpu": {"choice": [1000, 9]}}}, "order.cpu", "below"),
        ({"order": {"cpu": {"exponential": 1000, "min": 1}}}, "order.cpu", "below"),
        ({"order": {"memory": 1000}}, "order.memory", "give 1Mi to 2Ti"),
        ({"order": {"memory": "3Ti"}}, "order.memory", "above"),
        ({"order": {"storage": "1Mi"}}, "order.storage", "give 5Mi to 32Ti"),
        ({"order": {"storage": "33Ti"}}, "order.storage", "above"),
        ({"order": {"gpu": 25}}, "order.gpu", "give 0 to 24"),
        ({"ceiling": "10000001uve"}, "ceiling", "give at most 10000000uve a block"),
        ({"ceiling": {"uniform": ["1uve", "11VE"]}}, "ceiling", "11000000uve is above"),
        ({"ceiling": {"times_cost": 0}}, "ceiling", "above 0"),
        ({"deposit": "0uve"}, "deposit", "cannot be deposited"),
        ({"deposit": "1.5uve"}, "deposit", "give whole uve"),
        ({"deposit": "5000000000000VE"}, "deposit", "give whole uve from 1uve to 4000000000000000000uve"),
    ],
)
def test_what_no_order_can_have_is_refused(tenant: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        scenario_from_mapping(scenario(**tenant))
    [line] = error.value.lines
    assert f"tenants.0.{key}" in line or f"tenants.a.{key}" in line
    assert words in line


def test_a_gas_price_that_fees_cannot_hold_is_refused() -> None:
    assert scenario_from_mapping(SCENARIO | {"gas_price": "6uve"}).gas_price == 6 * 10**18
    with pytest.raises(InputError, match="give at most 6uve"):
        scenario_from_mapping(SCENARIO | {"gas_price": "6.1uve"})


@pytest.mark.parametrize("text", ["4 cores", "4cores", "4000", "4000m", "4.0 cores", 4000, "4e0 cores"])
def test_cores_are_accepted_where_millicores_are(text: object) -> None:
    assert scenario_from_mapping(scenario(order={"cpu": text})).tenants[0].order.cpu.law().a == 4000  # type: ignore[union-attr]
    assert scenario_from_mapping(scenario(order={"cpu": "0.5 cores..1 core"})).tenants[0].order.cpu.law().a == 500  # type: ignore[union-attr]
    with pytest.raises(InputError, match="not a whole number of millicores"):
        scenario_from_mapping(scenario(order={"cpu": "0.0005 cores"}))


@pytest.mark.parametrize("amount", ["0.000000000000000001uve", "1.000000000000000001uve", "0.0000004uve", "9999999.999999999999999999uve"])
def test_an_amount_that_the_file_names_is_that_amount(amount: str) -> None:
    atto = int(amount.removesuffix("uve").replace(".", ""))
    atto *= 10 ** (18 - len(amount.removesuffix("uve").partition(".")[2]))
    for law in (amount, {"choice": [amount, amount]}, {"constant": amount}):
        made = scenario_from_mapping(scenario(ceiling=law, value=law))
        orders = draw_orders(made.tenants[0], made, 1)
        pairs = {tuple(row) for row in orders.resources[:, [Resource.price, Resource.price_atto]].tolist()}
        assert pairs == {divmod(atto, 10**18)}
        assert not orders.cuts


def test_drawn_amounts_have_the_decimals_of_their_ends() -> None:
    made = scenario_from_mapping(scenario(ceiling={"uniform": ["0.0000000001uve", "0.0000000009uve"]}))
    atto = draw_orders(made.tenants[0], made, 1).resources[:, Resource.price_atto]
    assert set(atto.tolist()) == {k * 10**8 for k in range(1, 10)}


def test_prices_beyond_the_count_of_last_units_do_not_wrap() -> None:
    whole, atto = to_pair(np.asarray([1e13 + 0.5, 8.5e18, 0.25, 0.0]))
    assert whole.tolist() == [10**13, 8_500_000_000_000_000_000, 0, 0]
    assert atto.tolist() == [5 * 10**17, 0, 25 * 10**16, 10**12]


def test_a_tail_that_is_cut_is_counted() -> None:
    tenant = {
        "order": {
            "cpu": {"normal": {"mean": 1000, "sd": 1000}},
            "memory": {"lognormal": {"median": "2Mi", "sigma": 20}},
            "gpu": {"exponential": 20},
        },
        "ceiling": {"lognormal": {"median": "1VE", "sigma": 14}},
        "utilization": {"normal": {"mean": 0.5, "sd": 0.5}},
        "duration": {"normal": {"mean": "1h", "sd": "2h"}, "min": "0s"},
    }
    made = scenario_from_mapping(scenario(**tenant))
    orders = draw_orders(made.tenants[0], made, 1)
    assert {key: (cut.low, cut.high) for key, cut in orders.cuts.items()} == {
        "order.cpu": ("10 millicores", "384000 millicores"),
        "order.memory": ("1Mi", "2Ti"),
        "order.gpu": ("0", "24"),
        "ceiling": ("0.000001uve", "10000000uve"),
        "utilization": ("0", ""),
    }
    rows = orders.resources
    assert ((orders.cuts["order.cpu"].side < 0) <= (rows[:, Resource.cpu] == 10)).all() and (orders.cuts["order.cpu"].side < 0).sum() > 20
    assert (orders.cuts["order.gpu"].side > 0).sum() > 20 and (rows[:, Resource.gpu] <= 24).all()
    sides = orders.cuts["order.memory"].side
    assert (sides < 0).any() and ((sides > 0) == (rows[:, Resource.memory] == 2 << 40)).all()
    assert ((orders.cuts["ceiling"].side > 0) <= (rows[:, Resource.price] == 10_000_000)).all()


def test_bounds_that_the_author_gave_cut_without_a_count() -> None:
    made = scenario_from_mapping(scenario(order={"cpu": {"normal": {"mean": 1000, "sd": 1000}, "min": 10, "max": 2000}}))
    assert not draw_orders(made.tenants[0], made, 1).cuts


def test_the_report_says_what_was_cut_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    (tmp_path / "t.csv").write_text("at_seconds\n60\n7200\n7201\n9000\n")
    later = {"name": "later", "demand": {"trace": "t.csv"}, "order": SIZES}
    tenants = [*scenario(order={"cpu": {"normal": {"mean": 1000, "sd": 1000}}})["tenants"], later]
    path.write_text(json.dumps(SCENARIO | {"tenants": tenants, "initial": 0.3}))
    out = tmp_path / "out"
    assert main(["run", str(path), "--no-figures", "--out", str(out)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    cut = json.loads((out / "summary.json").read_text())["cut"]
    assert cut["tenants.later.demand.trace"] == {"left_out": 2, "not_read": []}
    assert cut["tenants.a.order.cpu"]["raised"] > 20 and cut["tenants.a.order.cpu"]["draws"] > 400
    for key, found in cut.items():
        assert _cut_words(key, found) in shown
    assert main(["report", str(out)]) == 0
    assert "tenants.later.demand.trace: 2 rows behind the horizon left out" in " ".join(capsys.readouterr().out.split())
    assert load_scenario(path).initial == 0.3
