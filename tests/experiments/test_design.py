from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import qmc

from marketsim.experiments.sweep.design import DesignError, _latin_hypercube, make_design, morris_sample, saltelli_sample
from marketsim.experiments.sweep.file import Budget, Factor, Range, Replications, Seeds, SweepFile
from marketsim.metrics.expressions import ExpressionError, parse_expression, parse_template

MARGIN = {"name": "margin", "path": "a.margin", "levels": [5, 10, 20]}
DEMAND = {"name": "demand", "path": "b", "levels": [20, 40], "template": "{}/h"}


def sweep(*factors: dict[str, Any], **keys: Any) -> SweepFile:
    return SweepFile.model_validate({"name": "s", "scenario": "x.yaml", "factors": list(factors), **keys})


def labels(file: SweepFile) -> list[tuple[str, ...]]:
    return [point.labels() for point in make_design(file).points]


def test_a_grid_has_every_combination_in_the_order_of_the_file() -> None:
    file = sweep(MARGIN, DEMAND)
    assert labels(file) == [(m, d) for m in ("5", "10", "20") for d in ("20", "40")]
    assert make_design(file).points[1].setting(file.factors) == {"a.margin": 5, "b": "40/h"}


def test_a_range_in_a_grid_is_cut_into_steps() -> None:
    linear = {"name": "x", "path": "p", "range": {"low": 0, "high": 1, "steps": 5}}
    log = {"name": "y", "path": "q", "range": {"low": 1, "high": 100, "steps": 3, "scale": "log"}}
    assert [a for (a,) in labels(sweep(linear))] == ["0", "0.25", "0.5", "0.75", "1"]
    assert [a for (a,) in labels(sweep(log))] == ["1", "10", "100"]
    with pytest.raises(DesignError, match="steps") as caught:
        make_design(sweep({"name": "x", "path": "p", "range": [0, 1]}))
    assert caught.value.location == ("factors", 0, "range")


def test_linked_paths_follow_one_level() -> None:
    same = Factor.model_validate({"name": "d", "paths": ["a", "b"], "levels": [3]})
    assert same.setting(same.levels[0]) == {"a": 3, "b": 3}  # type: ignore[index]
    scaled = Factor.model_validate({"name": "d", "paths": {"a": "{}/h", "b": "{x / 2}"}, "levels": [3]})
    assert scaled.setting(scaled.levels[0]) == {"a": "3/h", "b": 1.5}  # type: ignore[index]
    assert scaled.writes() == ("a", "b")
    free = Factor.model_validate({"name": "r", "levels": [{"label": "exact", "set": {"rules": "seed", "grace": "1h"}}]})
    assert free.setting(free.levels[0]) == {"rules": "seed", "grace": "1h"}  # type: ignore[index]


def test_constraints_remove_points_of_a_grid_and_are_counted() -> None:
    file = sweep(MARGIN, DEMAND, constraints=["margin < 20 or demand == 40"])
    assert labels(file) == [("5", "20"), ("5", "40"), ("10", "20"), ("10", "40"), ("20", "40")]
    assert make_design(file).removed == 1


@pytest.mark.parametrize(
    ("keys", "location", "words"),
    [
        ({"constraints": ["margin > 10", "margin < 10"]}, ("constraints",), "no point"),
        ({"constraints": ["price > 1"]}, ("constraints", 0), "not a factor"),
        ({"constraints": ["margin.real > 1"]}, ("constraints", 0), "`margin.real` is not a factor"),
        ({"constraints": ["margin > 'a'"]}, ("constraints", 0), "cannot evaluate"),
        (
            {"design": {"kind": "list", "points": [{"margin": 7, "demand": 20}]}},
            ("design", "points", 0, "margin"),
            "levels are 5, 10, 20",
        ),
        ({"design": {"kind": "list", "points": [{"margin": 5}]}}, ("design", "points", 0), "no value"),
        (
            {"design": {"kind": "list", "points": [{"margin": 5, "demand": 20, "x": 1}]}},
            ("design", "points", 0, "x"),
            "not a factor",
        ),
        (
            {
                "design": {"kind": "list", "points": [{"margin": 5, "demand": 20}]},
                "constraints": ["margin > 5"],
            },
            ("design", "points", 0),
            "contradicts",
        ),
        (
            {"design": {"kind": "sobol", "samples": 4}, "constraints": ["margin > 5"]},
            ("constraints",),
            "leave points out",
        ),
    ],
)
def test_an_impossible_design_says_where(keys: dict[str, Any], location: tuple[str | int, ...], words: str) -> None:
    with pytest.raises(DesignError, match=words) as caught:
        make_design(sweep(MARGIN, DEMAND, **keys))
    assert caught.value.location == location


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        ({"name": "m", "path": "a", "levels": []}, "at least 1 item"),
        ({"name": "m", "path": "a", "levels": [1, 1.0]}, "given twice"),
        ({"name": "m", "path": "a", "range": [3, 3]}, "is empty"),
        ({"name": "m", "path": "a", "range": {"low": 1.2, "high": 1.8, "integer": True}}, "no integer"),
        ({"name": "m", "path": "a", "range": {"low": 0, "high": 1, "scale": "log"}}, "above 0"),
        ({"name": "m", "path": "a", "range": {"low": 1.04, "high": 1.06, "steps": 3, "decimals": 1}}, "no number of 1 decimal lies"),
        ({"name": "m", "path": "a", "range": {"low": 1.04, "high": 1.16, "steps": 3, "decimals": 1}}, "is 1.1"),
        ({"name": "m", "path": "a", "range": {"low": 1, "high": 2, "steps": 3, "integer": True}}, "only 2 different whole numbers"),
        ({"name": "m", "path": "a", "range": {"low": 1, "high": 1.2, "steps": 9, "decimals": 1}}, "only 3 different numbers of 1 decimal"),
        ({"name": "m", "path": "a"}, "either"),
        ({"name": "m", "path": "a", "levels": [1], "range": [1, 2]}, "either"),
        ({"name": "m", "levels": [1]}, "needs `set:`"),
        ({"name": "m", "path": "a", "levels": [{"set": {"b": 1}}]}, "excludes"),
        ({"name": "m", "path": "a", "paths": ["b"], "levels": [1]}, "exclude each other"),
        ({"name": "not", "path": "a", "levels": [1]}, "cannot be a factor's name"),
        ({"name": "seed", "path": "a", "levels": [1]}, "cannot be a factor's name"),
        ({"name": "m", "path": "a", "levels": [1], "template": "{y}"}, "not known"),
        ({"name": "m", "path": "a", "levels": [1], "template": "{x.real}"}, "not known"),
        ({"name": "m", "path": "a", "levels": [1], "template": "fixed"}, "no field"),
    ],
)
def test_a_bad_factor_is_refused(factor: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        sweep(factor)


def test_two_factors_on_one_path_contradict() -> None:
    with pytest.raises(ValidationError, match="contradict"):
        sweep(MARGIN, {"name": "whole", "path": "a", "levels": [1]})
    with pytest.raises(ValidationError, match="contradict"):
        sweep(MARGIN, set={"a.margin": 3})


def test_latin_hypercube_fills_every_stratum_once() -> None:
    file = sweep(
        {"name": "x", "path": "p", "range": [0, 1]},
        {"name": "y", "path": "q", "range": {"low": 1, "high": 9, "integer": True}},
        design={"kind": "latin_hypercube", "points": 16},
    )
    design = make_design(file)
    for column in design.unit.T:
        assert sorted((column * 16).astype(int)) == list(range(16))
    assert {point.levels[1].value for point in design.points} <= set(range(1, 10))
    assert make_design(file).points == design.points


def test_constraints_thin_a_latin_hypercube_and_its_matrix_alike() -> None:
    file = sweep(
        {"name": "x", "path": "p", "range": [0, 1]},
        {"name": "y", "path": "q", "range": [0, 1]},
        design={"kind": "latin_hypercube", "points": 40},
        constraints=["x < y"],
    )
    design = make_design(file)
    assert 0 < len(design.points) < 40
    assert design.removed == 40 - len(design.points)
    assert np.all(design.unit[:, 0] < design.unit[:, 1])


def test_saltelli_blocks_take_one_column_from_b() -> None:
    matrix = saltelli_sample(3, 8, seed=1)
    a, b, *mixed = matrix.reshape(5, 8, 3)
    for j, block in enumerate(mixed):
        assert np.array_equal(block[:, j], b[:, j])
        others = [k for k in range(3) if k != j]
        assert np.array_equal(block[:, others], a[:, others])
    assert not np.array_equal(a, b)


def test_morris_moves_each_factor_once_by_half_the_grid() -> None:
    paths = morris_sample(4, 25, 4, seed=2).reshape(25, 5, 4)
    steps = np.diff(paths, axis=1)
    assert np.all(np.isclose(np.abs(steps).sum(axis=2), 2 / 3))
    assert np.all((np.abs(steps) > 0).sum(axis=1) == 1)
    assert np.allclose((paths * 3) % 1 % 1, 0, atol=1e-9) or np.allclose(paths * 3, np.round(paths * 3))
    assert paths.min() >= 0 and paths.max() <= 1


def test_sampled_levels_are_chosen_by_share() -> None:
    file = sweep(
        {"name": "rule", "path": "p", "levels": ["a", "b"]},
        {"name": "x", "path": "q", "range": [0, 1]},
        design={"kind": "sobol", "samples": 8},
    )
    design = make_design(file)
    assert len(design.points) == 8 * 4
    for point, row in zip(design.points, design.unit, strict=True):
        assert point.levels[0].value == ("a" if row[0] < 0.5 else "b")


@given(st.floats(0, 1), st.integers(-50, 50), st.integers(1, 60), st.sampled_from(["linear", "log"]))
def test_a_range_never_leaves_its_ends(share: float, low: int, width: int, scale: str) -> None:
    low = abs(low) + 1 if scale == "log" else low
    for integer in (False, True):
        within = Range(low=low, high=low + width, integer=integer, scale=scale)  # type: ignore[arg-type]
        number = within.at(share)
        assert low <= number <= low + width
        assert not integer or isinstance(number, int)


def test_expressions_compute_and_refuse_code() -> None:
    assert parse_expression("a * 2 + max(b, 1) >= 7 and not c == 'x'").value({"a": 3, "b": 0, "c": "y"})
    assert parse_expression("c in ['x', 'y']").value({"c": "y"})
    assert parse_expression("1 < a < 3").value({"a": 2})
    for text in (
        "__import__('os')",
        "a().b",
        "a[b]",
        "abs()",
        "a ** 65",
        "lambda: 1",
        "open('x')",
        "[i for i in a]",
        "a +",
        "f'{a}'",
    ):
        with pytest.raises(ExpressionError):
            parse_expression(text)
    for text in ("a / 0", "9 ** 9999", "'x' * 3", "missing + 1"):
        with pytest.raises(ExpressionError):
            parse_expression(text).value({"a": 1})


def test_templates_keep_a_lone_fields_type() -> None:
    assert parse_template("{}").fill(3) == 3
    assert parse_template("{x * 0.1}").fill(3) == 0.3
    assert parse_template("{} blocks").fill(600) == "600 blocks"
    assert parse_template("{x * 1.0}h").fill(2) == "2h"
    assert parse_template("{}").fill("seed") == "seed"


def test_replications_say_one_rule() -> None:
    assert Replications.model_validate(7).most == 7
    assert Replications.model_validate({"budget": "200 runs"}).budget == Budget(runs=200)
    assert Replications.model_validate({"budget": "10m"}).budget == Budget(seconds=600)
    until = Replications.model_validate({"until": {"metric": "fill_rate", "relative_half_width": "2%"}}).until
    assert until is not None and until.relative_half_width == pytest.approx(0.02)
    for bad in ({}, {"fixed": 3, "budget": 5}, {"until": {"metric": "x"}}, {"budget": "soon"}, 0):
        with pytest.raises(ValidationError):
            Replications.model_validate(bad)


def test_seeds_are_common_or_counted() -> None:
    common, independent = Seeds(), Seeds(pairing="independent", first=5)
    assert [common.seed(point, 2) for point in range(3)] == [3, 3, 3]
    assert len({independent.seed(p, r) for p in range(4) for r in range(4)}) == 16


def test_levels_stay_inside_their_range_and_apart() -> None:
    assert Range(low=1.04, high=2.06, steps=3, decimals=1).cut() == [1.1, 1.6, 2]
    assert Range(low=1_000_000, high=1_000_001, steps=3).cut() == [1_000_000, 1_000_000.5, 1_000_001]
    assert Range(low=0.00000123, high=0.00000125, steps=3).cut() == [0.00000123, 0.00000124, 0.00000125]
    assert parse_template("{}uve").fill(0.00000123) == "0.00000123uve"
    assert parse_template("{x / 3}").fill(1, 0) == 0
    assert parse_template("{x * 2.5} blocks").fill(3, 0) == "8 blocks"
    assert parse_template("{}uve").fill(Decimal("1.000000000000000001")) == "1.000000000000000001uve"


@pytest.mark.parametrize(("factors", "count"), [(3, 10), (2, 20)])
def test_latin_hypercubes_are_spread_evenly(factors: int, count: int) -> None:
    """One point in each of `count` slices of every factor, and a centred discrepancy far below that of a plain hypercube."""
    unit = _latin_hypercube(factors, count, 7)
    assert (np.sort(np.floor(unit * count), axis=0) == np.arange(count)[:, None]).all()
    plain = [qmc.discrepancy(qmc.LatinHypercube(factors, rng=seed).random(count)) for seed in range(30)]
    assert qmc.discrepancy(unit) < min(plain)
    assert (unit == _latin_hypercube(factors, count, 7)).all()
