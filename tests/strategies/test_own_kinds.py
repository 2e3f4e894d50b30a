"""Demand processes, choice rules and metrics of users' own: what a run does with them, and what it says of those that are wrong."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import marketsim as ms
from marketsim.kernel.modes import COMPILING
from marketsim.metrics.paths import metric_at, numbers_of
from marketsim.simulation.check_metric import MetricError
from marketsim.strategies.check_choice import ChoiceError
from marketsim.strategies.check_demand import DemandError

MARKET: dict[str, Any] = {
    "name": "own",
    "horizon": "2d",
    "charging": "rate",
    "tenants": [
        {
            "name": "web",
            "count": 3,
            "demand": {"orders": 40},
            "order": {"cpu": {"choice": {"values": [500, 1000, 2000]}}, "memory": "1Gi", "storage": "5Gi"},
            "ceiling": {"uniform": ["10uve", "60uve"]},
            "duration": {"exponential": {"mean": "3h"}},
            "deposit": {"blocks": 7200},
        }
    ],
    "providers": [
        {"name": "east", "count": 2, "spread": 0.3, "regions": ["us-east"], "capacity": {"cpu": 16000, "memory": "64Gi", "storage": "1Ti"}},
        {"name": "west", "count": 2, "spread": 0.3, "regions": ["us-west"], "capacity": {"cpu": 16000, "memory": "64Gi", "storage": "1Ti"}},
    ],
}
CODE = '''
import math
from decimal import Decimal


class Noon:
    """Orders around noon, of one size, by the last tenant on Sundays."""

    def __init__(self, mean=20.0):
        self.mean = mean

    def orders(self, day, rng):
        count = rng.poisson(self.mean)
        at = (rng.normal(12, 1, count) * 3600).clip(0, 86_399)
        life = rng.exponential(7200, count) + 1
        return {"at_seconds": at, "cpu": [1500] * count, "duration_seconds": life, "tenant": [day.tenants - 1] * count}


class Cheapest:
    def choose(self, order, bids):
        assert list(bids) == sorted(bids, key=lambda bid: bid.price) and bids[0].price <= order.ceiling
        return 0


class Drawn:
    def choose(self, order, bids):
        return None if order.cpu == 2000 else int(order.rng.integers(len(bids)))


class AtHome:
    def __init__(self, worth=0.5):
        def score(price, lowest, ceiling, value, uptime, audited, home, provider):
            return lowest / price + worth * home

        self.score = score


class Dear:
    def score(self, price, lowest, ceiling, value, uptime, audited, home, provider):
        return price if provider < 3 else -math.inf


def shares(run, at=0):
    leases = run.frame("leases")
    paid = run.frame("leases", exact=True)["price"].map(Decimal)
    return {"west": float(leases["provider_cohort"].eq("west").mean()), "dearest": max(paid), "at": at, "none": None}
'''
NAMED = {"demand": "Noon", "choice": "Drawn"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own_kinds.py").write_text(CODE, "utf-8")
    return tmp_path


def run(folder: Path, tenant: dict[str, Any] | None = None, **keys: Any) -> ms.RunResult:
    scenario = ms.load_scenario({**MARKET, "tenants": [MARKET["tenants"][0] | (tenant or {})], **keys}, base=folder)
    return ms.run(scenario)


def test_orders_come_as_the_process_says(folder: Path) -> None:
    found = run(folder, {"demand": {"python": "own_kinds:Noon"}})
    orders = found.orders
    assert 15 <= len(orders) <= 70
    assert set(orders["cpu"]) == {1500} and set(orders["tenant"]) == {"web-2"}
    hours = (orders["created_at"] % 14_400) / 600
    assert hours.between(7, 17).all()
    longer = run(folder, {"demand": {"python": "own_kinds:Noon"}}, horizon="3d").orders
    assert longer["created_at"].tolist()[: len(orders)] == orders["created_at"].tolist(), "days are drawn by themselves"
    more = run(folder, {"demand": {"python": "own_kinds:Noon", "options": {"mean": 60}}})
    assert len(more.orders) > 1.5 * len(orders)


def test_demand_of_a_market_without_an_end_is_that_of_a_longer_run(folder: Path) -> None:
    scenario = ms.load_scenario({**MARKET, "tenants": [MARKET["tenants"][0] | {"demand": {"python": "own_kinds:Noon"}}]}, base=folder)
    market = ms.Market(scenario, open_end=True)
    for _ in market.advance("9d"):
        pass
    held = [order.id for order in market.view().orders(limit=1000)]
    assert len(held) > 100
    run_through = ms.run(scenario.replace({"horizon": "9d"}))
    assert sorted(held) == sorted(order for order in run_through.orders["order"])


def test_the_cheapest_bid_is_what_the_built_in_rule_takes(folder: Path) -> None:
    plain = run(folder)
    assert run(folder, {"choice": {"python": "own_kinds:Cheapest"}}).fingerprint == plain.fingerprint
    assert run(folder, {"choice": {"python": "own_kinds:AtHome", "options": {"worth": 0}}}).fingerprint == plain.fingerprint


def test_a_rule_draws_from_its_order_and_may_take_none(folder: Path) -> None:
    first = run(folder, {"choice": {"python": "own_kinds:Drawn"}})
    assert first.fingerprint == run(folder, {"choice": {"python": "own_kinds:Drawn"}}).fingerprint
    orders = first.orders
    assert orders.loc[orders["cpu"] == 2000, "lease"].isna().all() and orders.loc[orders["cpu"] < 2000, "lease"].notna().any()


def test_a_compiled_score_weighs_the_home_region(folder: Path) -> None:
    homes = {"home_region": "us-west", "choice": {"python": "own_kinds:AtHome", "options": {"worth": 9}}}
    weighed = run(folder, homes).leases["provider_cohort"].eq("west").mean()
    built_in = run(folder, {"home_region": "us-west", "choice": {"score": {"price": 1, "region": 9}}}).leases["provider_cohort"].eq("west")
    assert weighed == built_in.mean() > run(folder).leases["provider_cohort"].eq("west").mean()
    dear = run(folder, {"choice": {"python": "own_kinds:Dear"}}).leases
    assert "west-1" not in set(dear["provider"]) and dear["price"].mean() > run(folder).leases["price"].mean()


@pytest.mark.skipif(not COMPILING, reason="compiled code that calls back")
def test_without_the_compiler_compiled_code_calls_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "wrong.py").write_text(WRONG_CODE, "utf-8")
    compiled = [run(folder, {"choice": {"python": f"own_kinds:{name}"}}, horizon="12h").fingerprint for name in ("AtHome", "Dear")]
    monkeypatch.setattr("marketsim.strategies.choice.HAS_COMPILER", False)
    assert compiled == [run(folder, {"choice": {"python": f"own_kinds:{name}"}}, horizon="12h").fingerprint for name in ("AtHome", "Dear")]
    with pytest.raises(ms.InputError, match=r"score raises ValueError.*wrong\.py:\d+"):
        run(folder, {"choice": {"python": "wrong:Nan"}}, horizon="12h")


@pytest.mark.skipif(not COMPILING, reason="compares with compiled code")
def test_compiled_and_python_give_the_same(folder: Path) -> None:
    """A process without the compiler plays the same markets."""
    rules = [{"choice": {"python": f"own_kinds:{name}"}} for name in ("Drawn", "AtHome", "Dear")]
    (folder / "again.py").write_text(
        "import json, sys, marketsim as ms\nfor market in json.loads(sys.argv[1]):\n    print(ms.run(market).fingerprint)\n",
        "utf-8",
    )
    markets = [{**MARKET, "horizon": "6h", "tenants": [MARKET["tenants"][0] | rule]} for rule in rules]
    import os

    done = subprocess.run(
        [sys.executable, "again.py", json.dumps(markets)],
        cwd=folder, env=os.environ | {"MARKETSIM_COMPILE": "0"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [run(folder, rule, horizon="6h").fingerprint for rule in rules]


def test_figures_of_ones_own_stand_in_the_summary(folder: Path) -> None:
    found = run(folder, metrics=[{"name": "mix", "python": "own_kinds:shares", "options": {"at": 2.5}}])
    figures = found.summary["metrics"]
    assert list(figures) == ["mix.west", "mix.dearest", "mix.dearest_uve", "mix.at", "mix.none"]
    assert figures["mix.at"] == 2.5 and figures["mix.none"] is None and 0 <= figures["mix.west"] < 1
    assert Decimal(figures["mix.dearest"]) == max(map(Decimal, found.frame("leases", exact=True)["price"]))
    assert metric_at(found.summary, "metrics.mix.dearest") == pytest.approx(float(figures["mix.dearest"]))
    numbers = dict(numbers_of(found.summary))
    assert numbers["metrics.mix.west"] == figures["mix.west"] and math.isnan(numbers["metrics.mix.none"])
    assert found.fingerprint == run(folder).fingerprint, "a metric changes nothing"


def test_sweeps_and_comparisons_take_them(folder: Path) -> None:
    scenario = ms.load_scenario({**MARKET, "horizon": "6h", "metrics": [{"name": "mix", "python": "own_kinds:shares"}]}, base=folder)
    weigh = {"tenants.web.choice": {"python": "own_kinds:AtHome", "options": {"worth": 9}}, "tenants.web.home_region": "us-west"}
    found = ms.compare(scenario, overrides_b=weigh, pairs=3, workers=1, metrics=["metrics.mix.west"], progress=False)
    assert found.data["metrics"][0]["difference"] > 0
    with pytest.raises(ms.InputError, match="metrics"):
        ms.compare(scenario, overrides_b=weigh, pairs=3, workers=1, metrics=["metrics.mixed"], progress=False)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no module": ({"demand": {"python": "nowhere:Noon"}}, "nowhere"),
    "no method": ({"demand": {"python": "own_kinds:Cheapest"}}, r"has no method orders\(day, rng\)"),
    "an unknown option": ({"demand": {"python": "own_kinds:Noon", "options": {"men": 1}}}, "cannot be built.*men"),
    "orders of yesterday": (
        {"demand": {"python": "wrong:Early"}},
        r"web.demand.python: wrong:Early: day 0: at_seconds of order 1 is -3",
    ),
    "no columns": ({"demand": {"python": "wrong:Nothing"}}, "returns None of type NoneType, expected a mapping"),
    "an unknown column": ({"demand": {"python": "wrong:Cores"}}, "'cores' of type str is no column of orders, columns are at_seconds"),
    "unequal columns": ({"demand": {"python": "wrong:Short"}}, "cpu has 1 numbers and at_seconds 2"),
    "an exception of theirs": ({"demand": {"python": "wrong:Fails"}}, r"day 0: orders raises KeyError: 'x' \(.*wrong\.py:\d+\)"),
    "a bid that is not there": ({"choice": {"python": "wrong:Ninth"}}, r"order web-\d/\d+/1/1 in block \d+: choose returns 9 of type int"),
    "a rule that raises": ({"choice": {"python": "wrong:Raises"}}, r"choose raises AttributeError.*wrong\.py:\d+"),
    "a score that is none": ({"choice": {"python": "wrong:Nan"}}, r"wrong:Nan: order .* score (gives NaN|raises)"),
    "a score of too few": ({"choice": {"python": "wrong:Few"}}, "score cannot be called so"),
    "no rule": ({"choice": {"python": "own_kinds:Noon"}}, r"has no method choose\(order, bids\) and no function score"),
    "an unknown entry point": ({"choice": {"python": "unheard-of"}}, "'unheard-of' names no choice rule, write module:Class"),
}
WRONG_CODE = """
import math

class Early:
    def orders(self, day, rng):
        return {"at_seconds": [5, -3]}

class Nothing:
    def orders(self, day, rng):
        pass

class Cores:
    def orders(self, day, rng):
        return {"at_seconds": [5], "cores": [1]}

class Short:
    def orders(self, day, rng):
        return {"at_seconds": [5, 6], "cpu": [100]}

class Fails:
    def orders(self, day, rng):
        return {}["x"]

class Ninth:
    def choose(self, order, bids):
        return 9

class Raises:
    def choose(self, order, bids):
        return bids[0].cost

class Nan:
    def score(self, price, lowest, ceiling, value, uptime, audited, home, provider):
        return math.sqrt(-price)

class Few:
    def score(self, price):
        return price

def fails(run):
    return run.summary["nothing"]

def text(run):
    return "many"

def digits(run):
    return 10**400

def coins(run):
    from decimal import Decimal
    return Decimal("1e400")
"""


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case: str, folder: Path) -> None:
    (folder / "wrong.py").write_text(WRONG_CODE, "utf-8")
    tenant, said = WRONG[case]
    with pytest.raises(ms.InputError, match=said):
        run(folder, tenant, horizon="3h")


def test_what_is_wrong_with_a_metric_is_said(folder: Path) -> None:
    (folder / "wrong.py").write_text(WRONG_CODE, "utf-8")
    for name, said in (
        ("fails", r"metrics.odd.python: wrong:fails raises KeyError.*wrong\.py:\d+"),
        ("text", "gives 'many' of type str for odd"),
        ("digits", "gives .* of type int for odd, expected a finite number"),
        ("coins", "gives .* of type Decimal for odd, expected a finite number"),
        ("absent", "module wrong has no absent, expected module:function"),
    ):
        with pytest.raises(ms.InputError, match=said):
            run(folder, horizon="1h", metrics=[{"name": "odd", "python": f"wrong:{name}"}])
    twice = [{"name": "odd", "python": "wrong:text"}] * 2
    with pytest.raises(ms.InputError, match="two metrics are named 'odd'"):
        run(folder, metrics=twice)


def test_a_metric_that_fails_loses_no_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    import yaml

    from marketsim.cli import main

    (folder / "wrong.py").write_text(WRONG_CODE, "utf-8")
    file = folder / "failing.yaml"
    file.write_text(yaml.safe_dump({**MARKET, "horizon": "1h", "metrics": [{"name": "odd", "python": "wrong:fails"}]}))
    assert main(["run", str(file), "--out", str(folder / "out"), "--quiet", "--no-figures"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert "wrong:fails raises KeyError" in said[0] and said[1] == f"{folder / 'out'}: has the results without it"
    assert json.loads((folder / "out" / "summary.json").read_text())["metrics"] == {"odd": None}
    with pytest.raises(ms.InputError, match="wrong:fails raises KeyError"):
        ms.run(file, out=folder / "again")
    assert (folder / "again" / "summary.json").is_file()
    market = ms.Market(file)
    with pytest.raises(ms.InputError, match="wrong:fails raises KeyError"):
        market.finish()
    assert market.finish().summary["orders"]["created"] >= 0


def test_validate_finds_what_is_not_there_without_running_anything(folder: Path) -> None:
    import yaml

    tenant = MARKET["tenants"][0] | {"demand": {"python": "own_kinds:Non"}, "choice": {"python": "other:Rule"}}
    file = folder / "market.yaml"
    file.write_text(yaml.safe_dump({**MARKET, "tenants": [tenant], "metrics": [{"name": "a", "python": "own_kinds:missing"}]}), "utf-8")
    found = ms.validate(file)
    assert not found.holds
    assert all(text in str(found) for text in ("has no Non", "there is no module other", "has no missing"))


# The checks: each promise, broken


class Kept:
    """Draws from everywhere but the generator that it is given."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.draw = draw

    def orders(self, day: ms.DemandDay, rng: np.random.Generator) -> dict[str, Any]:
        return {"at_seconds": [1 + 1000 * self.draw()]}

    def choose(self, order: ms.OrderToLease, bids: Any) -> int:
        return int(self.draw() * len(bids))


class Counts:
    """Remembers how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def orders(self, day: ms.DemandDay, rng: np.random.Generator) -> dict[str, Any]:
        self.asked += 1
        return {"at_seconds": [self.asked]}


def test_the_check_of_demand() -> None:
    class Good:
        def orders(self, day: ms.DemandDay, rng: np.random.Generator) -> dict[str, Any]:
            return {"at_seconds": rng.uniform(0, 86_400, rng.poisson(3)), "gpu": []} if day.number == 99 else {"at_seconds": [day.number]}

    ms.check_demand(Good)
    with pytest.raises(DemandError, match="global random generator"):
        ms.check_demand(Kept(lambda: float(np.random.random())))
    with pytest.raises(DemandError, match="asked for backwards"):
        ms.check_demand(Counts)
    generator = np.random.default_rng(5)
    with pytest.raises(DemandError, match="day 0 comes out otherwise"):
        ms.check_demand(lambda: Kept(lambda: float(generator.random())))
    with pytest.raises(DemandError, match="has no method orders"):
        ms.check_demand(object)  # type: ignore[arg-type]


def test_the_check_of_choice_rules() -> None:
    class Good:
        def choose(self, order: ms.OrderToLease, bids: Any) -> int | None:
            return None if order.gpu == 2 else int(order.rng.integers(len(bids)))

    class Nan:
        def score(
            self, price: float, low: float, ceiling: float, value: float, up: float, audited: float, home: float, provider: float
        ) -> float:
            return (price - low) / (price - low)

    class Objects:
        def score(
            self, price: float, low: float, ceiling: float, value: float, up: float, audited: float, home: float, provider: float
        ) -> float:
            return {"a": object()}["a"].price  # type: ignore[attr-defined, no-any-return]

    ms.check_choice_rule(Good)
    ms.check_choice_rule(Good())
    with pytest.raises(ChoiceError, match="global random generator"):
        ms.check_choice_rule(Kept(lambda: float(np.random.random())))
    generator = np.random.default_rng(5)
    with pytest.raises(ChoiceError, match="a fresh object chooses otherwise"):
        ms.check_choice_rule(lambda: Kept(lambda: float(generator.random())))
    with pytest.raises(ChoiceError, match="expected a place in bids"):
        ms.check_choice_rule(Kept(lambda: 1.0))
    with pytest.raises(ChoiceError, match="score gives NaN"):
        ms.check_choice_rule(Nan)
    with pytest.raises(ChoiceError, match=r"score (cannot be compiled|raises).*test_own_kinds\.py:\d+"):
        ms.check_choice_rule(Objects)


def test_the_check_of_metrics() -> None:
    asked: list[int] = []

    def counts(run: ms.FinishedRun) -> int:
        asked.append(1)
        return len(asked)

    def writes(run: ms.FinishedRun) -> int:
        run.record.orders["tenant"][:] = 0
        run.record.orders["closed_at"][:] = 7
        return 1

    ms.check_metric(lambda run: {"leases": len(run.frame("leases")), "none": None})
    with pytest.raises(MetricError, match="the same of the same run"):
        ms.check_metric(counts)
    with pytest.raises(MetricError, match="changes the run"):
        ms.check_metric(writes)
    with pytest.raises(MetricError, match=r"raises ZeroDivisionError.*of a market in which nobody orders"):
        ms.check_metric(lambda run: 1 / len(run.frame("orders")))
