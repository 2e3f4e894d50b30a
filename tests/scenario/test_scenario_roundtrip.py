"""A scenario's effective content loads equal; its hash says the content and nothing else."""

from __future__ import annotations

import json
import math
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML

from marketsim.agents.streams import draw, key_of, keys_from
from marketsim.scenario import load_scenario, scenario_from_mapping
from marketsim.scenario.distributions import Distribution
from marketsim.scenario.effective import Effective
from marketsim.scenario.literals import Money, Span
from marketsim.scenario.tenants import CountLaw, DurationLaw, MillicoresLaw, NumberLaw, TextLaw

DATA = Path(__file__).parents[1] / "data" / "scenario"

numbers = st.floats(0.001, 1000, allow_nan=False).map(lambda x: round(x, 6))
wholes = st.integers(1, 10**6)
millicores = st.integers(10, 384_000)
sizes = st.integers(5 << 20, 2 << 40)
times = st.one_of(
    st.integers(1, 10**6).map(lambda n: f"{n}ms"),
    st.integers(1, 10**4).map(lambda n: f"{n}m"),
)
blocks = st.integers(1, 10**5).map(lambda n: f"{n} blocks")
amounts = st.decimals(0, 10**6, places=18).map(lambda d: f"{d:f}uve")


def laws(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Raw forms of a distribution over one kind of literal."""
    return st.one_of(
        values,
        values.map(lambda v: {"uniform": [v, v]}),
        values.map(lambda v: {"exponential": v}),
        values.map(lambda v: {"exponential": {"mean": v}, "min": v}),
        st.tuples(values, numbers).map(lambda p: {"lognormal": {"median": p[0], "sigma": min(p[1], 50.0)}, "max": p[0]}),
        st.lists(st.tuples(values, numbers), min_size=1, max_size=4).map(
            lambda ps: {"choice": {"values": [p[0] for p in ps], "weights": [p[1] for p in ps]}}
        ),
    )


tenants = st.fixed_dictionaries(
    {
        "count": st.integers(1, 500),
        "wallet": st.integers(0, 10**9).map(lambda n: f"{n}uve"),
        "demand": st.one_of(
            numbers.map(lambda n: {"arrivals": f"{n}/h"}),
            numbers.map(lambda n: {"arrivals_each": f"{n}/h", "week_profile": [n + 1] * 7, "normalise": False}),
            blocks.map(lambda d: {"orders": 5, "within": d, "surges": [{"at": d, "lasts": d, "factor": 2}]}),
            wholes.map(lambda n: {"orders": n, "day_profile": [n % 7 + i for i in range(24)]}),
        ),
        "order": st.fixed_dictionaries(
            {
                "cpu": laws(millicores),
                "storage": laws(sizes),
                "region": st.sampled_from([None, "east", {"choice": [None, "a"]}]),
            }
            | {"memory": laws(sizes)}
        ),
        "duration": st.one_of(laws(times), laws(blocks)),
        "utilization": laws(numbers),
        "deposit": st.one_of(
            wholes.map(lambda n: {"blocks": n}),
            st.just("5VE"),
            laws(wholes).map(lambda d: {"price_blocks": d}),
        ),
        "choice": st.sampled_from(["lowest_price", {"random_among_cheapest": 3}, {"score": {"uptime": 0.2}}]),
        "react": st.sampled_from([True, False, {"retry": 1}]),
        "top_up": st.one_of(st.none(), blocks.map(lambda d: {"after_depletion": {"delay": d}})),
    },
    optional={
        "ceiling": st.one_of(amounts, laws(numbers).map(lambda d: {"times_cost": d}), st.just({"share_of_value": {"uniform": [0.5, 1]}})),
        "value": amounts,
        "terminate_after": laws(blocks),
        "never_choose": st.floats(0, 1),
    },
)
providers = st.fixed_dictionaries(
    {
        "count": st.integers(1, 50),
        "capacity": st.fixed_dictionaries({"cpu": laws(wholes), "memory": laws(wholes), "storage": laws(wholes)}),
        "strategy": st.sampled_from(
            [
                "monthly_targets",
                "random_range",
                {"scale": {"cpu": "0.004uve"}},
                {"monthly_targets": {"cpu": 1.7}},
            ]
        ),
        "latency": laws(times),
    },
    optional={
        "spread": numbers,
        "attributes": st.dictionaries(st.sampled_from(["tier", "a/b"]), st.sampled_from(["gold", True, 3])),
        "repricing": st.just({}),
        "outages": times.map(lambda d: {"every": d, "lasts": d}),
    },
)
scenarios = st.fixed_dictionaries(
    {
        "horizon": st.integers(1, 10**4).map(lambda n: f"{n} blocks"),
        "tenants": st.lists(tenants, min_size=1, max_size=2),
        "providers": st.lists(providers, min_size=1, max_size=2),
        "rules": st.sampled_from(["seed", "virtengine", "akash"]),
    },
    optional={
        "take": st.decimals(0, 1, places=6).map(float),
        "gas_price": st.decimals(0, 6, places=18).map(lambda d: f"{d:f}uve"),
        "quirks": st.sampled_from(["all", [], ["losing_bids_stay"]]),
        "block_time": st.integers(1, 10**5).map(lambda n: f"{n}ms"),
        "start": st.sampled_from(["2026-01-05T00:00Z", "2025-12-31T12:30:15+02:00", {"wallets": {"a": 5}}]),
        "calibration": st.just({"fill_rate": [0.75, 0.95]}),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenarios)
def test_the_effective_scenario_loads_equal(raw: dict[str, Any]) -> None:
    for key in ("tenants", "providers"):
        raw[key] = [cohort | {"name": f"{key}-{i}"} for i, cohort in enumerate(raw[key])]
    scenario = scenario_from_mapping(raw)
    effective = scenario.effective()
    again = scenario_from_mapping(json.loads(json.dumps(effective)))
    assert again == scenario
    assert again.effective() == effective
    assert again.hash() == scenario.hash()


def test_every_key_of_the_contract_survives_the_round_trip(tmp_path: Path) -> None:
    scenario = load_scenario(DATA / "full.yaml")
    effective = scenario.effective()
    assert scenario_from_mapping(effective, DATA) == scenario
    dumped = DATA / "full.yaml"
    path = tmp_path / "dumped.yaml"
    with open(path, "w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(effective, stream)
    (tmp_path / "trace.csv").write_bytes((dumped.parent / "trace.csv").read_bytes())
    again = load_scenario(path)
    assert again.effective() == effective and again.hash() == scenario.hash()
    assert effective["providers"][0]["config"]["filters"]["max_cpu"] == 384_000
    assert all(effective[key] is not None for key in ("rules", "block_time", "settle_every", "order_max_bids"))


def test_the_hash_names_the_content_but_not_the_seed() -> None:
    scenario = load_scenario(DATA / "full.yaml")
    assert len(scenario.hash()) == 8 and int(scenario.hash(), 16) >= 0
    assert load_scenario(DATA / "full.yaml", ["seed=99"]).hash() == scenario.hash()
    assert load_scenario(DATA / "full.yaml", ["tenants.web.count=61"]).hash() != scenario.hash()
    cheaper = "providers.hyperscale.config.bid_engine.pricing.gpu=199uve"
    assert load_scenario(DATA / "full.yaml", [cheaper]).hash() != scenario.hash()


def test_scenarios_are_frozen() -> None:
    scenario = load_scenario(DATA / "full.yaml")
    with pytest.raises(ValueError, match="frozen"):
        scenario.seed = 5  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        scenario.tenants[0].count = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "bounds"),
    [
        (3, (3, 3)),
        ({"uniform": [1, 4]}, (1, 4)),
        ({"choice": [4, 2]}, (2, 4)),
        ({"exponential": 2, "max": 9}, (0, 9)),
        ({"exponential": 2, "min": 1}, (1, math.inf)),
        ({"normal": {"mean": 2, "sd": 1}}, (0, math.inf)),
        ({"normal": {"mean": 2, "sd": 0}}, (2, 2)),
        ({"lognormal": {"median": 2, "sigma": 1}, "min": 3, "max": 5}, (3, 5)),
        ({"lognormal": {"median": 2, "sigma": 0}}, (2, 2)),
    ],
)
def test_no_draw_is_outside_the_bounds(written: Any, bounds: tuple[float, float]) -> None:
    law = NumberLaw.model_validate(written)
    assert law.bounds() == bounds
    drawn = draw(law.law(), keys_from(key_of(1, "bounds"), 500), "bounds")
    assert bounds[0] <= drawn.min() and drawn.max() <= bounds[1]


def test_a_text_is_not_drawn_from_numbers() -> None:
    for written in ({"uniform": ["a", "b"]}, {"lognormal": {"median": "a", "p90": "b"}}, {"constant": "a", "min": "b"}, {}):
        with pytest.raises(ValidationError):
            TextLaw.model_validate(written)


def test_laws_are_plain_numbers() -> None:
    law = MillicoresLaw.model_validate({"lognormal": {"median": 4000, "p90": 32000}, "min": 10}).law()
    assert (law.family, law.a, law.low, law.unit, law.whole) == ("lognormal", 4000, 10, "", True)
    assert law.b == pytest.approx(1.6226, abs=1e-4)
    assert DurationLaw.model_validate("1..50 blocks").law()[:3] == ("uniform", 1, 50)
    assert DurationLaw.model_validate("1..50 blocks").law().unit == "blocks"
    assert DurationLaw.model_validate("1..5s") == DurationLaw.model_validate({"uniform": ["1s", "5s"]})
    assert DurationLaw.model_validate("1h").law().unit == "ms"
    assert CountLaw.model_validate({"choice": [0, 2]}).law().weights == (0.5, 0.5)
    assert DurationLaw.model_validate({"normal": {"mean": "60 blocks", "sd": 0}}).law().unit == "blocks"
    assert DurationLaw.model_validate({"uniform": [0, "60 blocks"]}).law().unit == "blocks"
    assert TextLaw.model_validate({"choice": {"values": [None, "a"], "weights": [1, 3]}}).law().values == (
        None,
        "a",
    )
    assert TextLaw.model_validate("a").law()[0] == "choice"
    assert Distribution[Money].model_validate("0.5uve").law().a == 5 * 10**17
    with pytest.raises(ValueError, match="mixes blocks and time"):
        Distribution[Span].model_validate({"uniform": ["1s", "5 blocks"]})


def test_what_is_made_when_it_is_read_is_the_same() -> None:
    scenario = load_scenario("small")
    lazy, whole = Effective(scenario), scenario.effective()
    assert lazy["name"] == whole["name"] == lazy.get("name") and lazy._all is None
    assert lazy == whole and whole == lazy and list(lazy) == list(whole) and len(lazy) == len(whole)
    assert lazy["providers"] == whole["providers"] and "horizon" in lazy and "horizons" not in lazy
    assert json.dumps(dict(lazy)) == json.dumps(whole) and repr(lazy) == repr(whole)
    assert lazy | {"name": "other"} == whole | {"name": "other"}
    for copied in (pickle.loads(pickle.dumps(lazy)), deepcopy(lazy)):
        assert type(copied) is dict and copied == whole
