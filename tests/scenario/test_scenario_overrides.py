"""Dotted paths: what `--set` and sweeps may name, and what they are told when it makes no sense."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from marketsim.errors import InputError
from marketsim.scenario import PathError, apply_override, known_path, load_scenario, path_problem, scenario_from_mapping
from marketsim.scenario.yaml_source import read_source

DATA = Path(__file__).parents[1] / "data" / "scenario"
FULL = DATA / "full.yaml"


def raw() -> dict[str, Any]:
    data: dict[str, Any] = read_source(FULL).data
    return data


def test_overrides_reach_cohorts_by_name_and_index_and_provider_files() -> None:
    scenario = load_scenario(
        FULL,
        [
            "seed=9",
            "tenants.web.count=5",
            "tenants.1.count=6",
            "tenants.web.order.cpu.lognormal.median=2000",
            "tenants.web.demand.bursts.factor=2.5",
            "tenants.web.order.attributes.tier=silver",
            "providers.hyperscale.config.bid_engine.pricing.cpu_millicores=0.000002uve",
            "providers.hyperscale.config.bid_engine.filters.max_cpu=1000",
            "providers.busy.config=providers/hyperscale.yaml",
            "providers.busy.config.bid_engine.min_profit_margin=1.5",
            "providers.farm.repricing.up=1.2",
            "report.figures=false",
            "horizon=2d",
            "governance=[]",
        ],
    )
    web = scenario.tenants[0]
    assert (scenario.seed, web.count, scenario.tenants[1].count) == (9, 5, 6)
    assert web.order.cpu is not None and web.order.cpu.law().a == 2000
    assert web.demand.bursts is not None and web.demand.bursts.factor == 2.5
    assert web.order.attributes["tier"] == "silver"
    configs = [cohort.config for cohort in scenario.providers]
    assert configs[0] is not None and configs[4] is not None and configs[5] is not None
    assert configs[0].bid_engine.pricing.cpu_millicores == 2 * 10**12
    assert configs[0].filters.max_cpu == 1000 and configs[5].filters.max_cpu == 384_000
    assert configs[4].bid_engine.margin_ppm == 15_000
    assert scenario.providers[1].repricing is not None and scenario.providers[1].repricing.up == 1.2
    assert not scenario.report.figures and scenario.governance == ()


_PRICING = "providers.hyperscale.config.bid_engine.pricing"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("tenants.web.cuont", "5", "unknown key 'cuont' in tenants.web, did you mean 'count'?"),
        ("tenants.wbe.count", "5", "tenants has no item 'wbe', did you mean 'web'?"),
        ("tenants.7.count", "5", "tenants has no item '7', accepted here: web, batch, manifests"),
        ("tenents.web.count", "5", "unknown key 'tenents', did you mean 'tenants'?"),
        ("tenants.web.count", "-1", "'-1' is below 1, write a whole number of at least 1"),
        ("tenants.web.count", "", "nothing is not a number, write a whole number of at least 1"),
        ("tenants.web.name.x", "1", "tenants.web.name is a single value, nothing can be set below it"),
        ("tenants..count", "1", "an empty word in the path, write words joined by single dots"),
        ("horizon", "3pc", "'3pc' has the unknown unit 'pc', units are ms, s, m, h, d and blocks"),
        (
            "providers.hyperscale.config",
            "no.yaml",
            f"{DATA}/no.yaml does not exist, give the path of a YAML file",
        ),
        (f"{_PRICING}.cpu", "1uve", f"unknown key 'cpu' in {_PRICING}, did you mean 'cpu_millicores'?"),
        (f"{_PRICING}.gpu", "-1uve", "'-1uve' is negative, an amount is 0 or more"),
        (
            "tenants.web.order.cpu.uniform.9",
            "5",
            "tenants.web.order.cpu.uniform has no item '9', the list is empty",
        ),
    ],
)
def test_overrides_that_make_no_sense(path: str, value: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_scenario(FULL, [f"{path}={value}"])
    assert caught.value.lines[0] == f"--set: {path}: {message}"


@pytest.mark.parametrize("override", ["foo", "=5", ""])
def test_overrides_that_assign_nothing(override: str) -> None:
    with pytest.raises(InputError, match=r"is not an assignment, write path=value such as tenants\.web\.count=5"):
        load_scenario(FULL, [override])


def test_errors_of_overrides_and_of_the_file_come_together() -> None:
    with pytest.raises(InputError) as caught:
        load_scenario(DATA / "bad" / "many.yaml", ["tenants.web.count=3", "block_time=6s", "nonsense.path=1"])
    lines = caught.value.lines
    assert lines[0].startswith("--set: nonsense.path: unknown key 'nonsense'")
    assert not any("tenants.web.count" in line or "block_time" in line for line in lines)
    assert any("many.yaml:2:10: horizon" in line for line in lines)


def test_an_override_repairs_a_missing_file() -> None:
    with pytest.raises(InputError) as caught:
        load_scenario(DATA / "bad" / "many.yaml", ["providers.lost.config=../providers/hyperscale.yaml"])
    assert not any("nowhere" in line for line in caught.value.lines)


def test_apply_override_leaves_its_argument_alone() -> None:
    mapping = raw()
    before = copy.deepcopy(mapping)
    changed = apply_override(mapping, "tenants.web.count", 3, DATA)
    changed = apply_override(changed, "providers.hyperscale.config.bid_engine.enabled", False, DATA)
    assert mapping == before
    scenario = scenario_from_mapping(changed, DATA)
    assert scenario.tenants[0].count == 3
    assert scenario.providers[0].config is not None and not scenario.providers[0].config.bid_engine.enabled
    with pytest.raises(PathError, match="did you mean 'count'"):
        apply_override(mapping, "tenants.web.cuont", 3)


def test_known_paths_in_files_as_written_and_as_effective() -> None:
    effective = load_scenario(FULL).effective()
    for mapping in (raw(), effective):
        for path in (
            "seed",
            "take",
            "tenants.web",
            "tenants.web.ceiling.times_cost",
            "tenants.batch.top_up.after_depletion.delay",
            "tenants.web.order.cpu.lognormal.median",
            "tenants.web.order.signed_by.any_of",
            "providers.hyperscale.config.bid_engine.min_profit_margin",
            "providers.farm.nodes.0.cpu",
            "providers.farm.outages.every",
            "start.time",
            "start.params.order_max_bids",
            "calibration.within",
            "market.load",
        ):
            assert known_path(mapping, path, DATA), (path, path_problem(mapping, path, DATA))
        for path in (
            "sede",
            "tenants.nobody.count",
            "tenants.web.seed",
            "report.figures.big",
            "providers.farm.nodes.9.cpu",
            "",
        ):
            assert not known_path(mapping, path, DATA)
            assert path_problem(mapping, path, DATA)


def test_numbers_of_a_sweep_stay_exact() -> None:
    changed = apply_override(apply_override(raw(), "take", 0.03), "tenants.web.never_choose", 0.1)
    scenario = scenario_from_mapping(changed, DATA)
    assert scenario.take_ppm == 30_000 and scenario.tenants[0].never_choose == 0.1
