"""Fronts of two objectives: what is undominated, a known front found under noise, fresh seeds, and the pages they leave."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest

from marketsim.cli.optimize import parse_goal
from marketsim.errors import InputError
from marketsim.experiments.optimize.front_report import front_files, front_lines
from marketsim.experiments.optimize.pareto import ParetoFront, pareto, scalarized, undominated
from marketsim.experiments.optimize.search import parse_constraint, parse_factor
from marketsim.experiments.runs.variants import SerialRuns, Variant


def two_aims(scenario: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """Revenue is best at (20, 10), the price lowest at (30, 10): the front is the line between them, y = 10 and 20 ≤ x ≤ 30."""
    x, y = float(scenario["take"]), float(scenario["initial"])
    common, own = np.random.default_rng(seed).normal(0, 30), np.random.default_rng([seed, int(x * 1000), int(y * 1000)]).normal(0, 0.3)
    return {
        "revenue": {"total_uve": 1000 - (x - 20) ** 2 - (y - 10) ** 2 + common + own},
        "price": {"p50_uve": 10 + 0.1 * ((x - 30) ** 2 + (y - 10) ** 2) + 0.1 * common},
        "fill_rate": 1 - x / 100,
        "rules": "seed",
    }


def front(budget: int = 150, **options: Any) -> ParetoFront:
    return pareto(
        Variant("m", {"take": 5.0, "initial": 2.0}, "."),
        SerialRuns(two_aims),
        [parse_factor("take=0.0..40.0"), parse_factor("initial=0.0..20.0")],
        (parse_goal("revenue.total", minimize=False), parse_goal("min: price.p50", minimize=False)),
        budget=budget,
        **options,
    )


def test_undominated_by_hand() -> None:
    rows = np.array([[1.0, 5.0], [2.0, 4.0], [2.0, 3.0], [0.5, 5.0], [3.0, np.nan], [2.0, 4.0]])
    assert undominated(rows).tolist() == [True, True, False, False, False, True]


def test_joining_prefers_what_its_weight_asks() -> None:
    rows = np.array([[0.0, 10.0], [6.0, 6.0], [10.0, 0.0], [5.0, 5.0]])
    assert scalarized(rows, 0.999).argmax() == 2
    assert scalarized(rows, 0.001).argmax() == 0
    assert scalarized(rows, 0.5).argmax() == 1
    assert scalarized(rows, 0.5)[3] < scalarized(rows, 0.5)[1], "a beaten point never wins"


@pytest.fixture(scope="module")
def found() -> ParetoFront:
    return front()


def test_finds_a_known_front(found: ParetoFront) -> None:
    points = [point for point in found.front if point.values is not None]
    assert len(points) >= 3
    for point in points:
        assert point.values is not None
        assert abs(point.values[1] - 10) < 3.5
        assert 17 < point.values[0] < 33
    spread = [point.values[0] for point in points if point.values is not None]
    assert max(spread) - min(spread) > 5, "both ends of the trade are shown"
    assert not found.points[0].on_front
    assert found.points[0].values is None
    assert found.runs <= found.budget


def test_figures_come_from_fresh_seeds(found: ParetoFront) -> None:
    assert found.confirm_seeds[0] == found.search_seeds[1] + 1
    seeds = range(found.confirm_seeds[0], found.confirm_seeds[1] + 1)
    point = found.front[0]
    assert point.values is not None
    again = [two_aims({"take": point.values[0], "initial": point.values[1]}, ".", seed) for seed in seeds]
    base = [two_aims({"take": 5.0, "initial": 2.0}, ".", seed) for seed in seeds]
    assert point.means[0] == pytest.approx(np.mean([one["revenue"]["total_uve"] for one in again]))
    lift = np.mean([b["price"]["p50_uve"] for b in again]) - np.mean([b["price"]["p50_uve"] for b in base])
    assert point.lifts[1] == pytest.approx(lift)
    assert point.lift_intervals[0].half_width < point.intervals[0].half_width / 5, "what all candidates share cancels in lifts"


def test_constraints_and_small_budgets() -> None:
    held = front(110, constraints=[parse_constraint("fill_rate>=0.76")])
    assert all(point.slack >= 0 for point in held.front)
    assert all(point.values is None or point.values[0] <= 24 for point in held.front)
    with pytest.raises(InputError, match=r"too few for a front and its confirmation, give at least (\d+)") as error:
        front(40)
    least = int(str(error.value).split()[-1])
    assert front(least).points
    with pytest.raises(InputError):
        front(least - 1)


def test_what_is_left_behind(found: ParetoFront) -> None:
    files = front_files(found)
    assert files == front_files(found), "equal bytes"
    content = json.loads(files["optimization.json"])
    assert content["schema"] == "marketsim.pareto/1"
    assert [one["direction"] for one in content["objectives"]] == ["maximize", "minimize"]
    rows = list(csv.DictReader(io.StringIO(files["front.csv"].decode())))
    assert len(rows) == len(found.points)
    assert rows[0]["point"] == "unchanged"
    assert sum(row["on_front"] == "1" for row in rows) == len(found.front)
    page = files["report.html"].decode()
    assert page.count("<td>yes</td>") == len(found.front)
    assert "smaller is better" not in page, "that stands in the figure"
    assert "unchanged   not on the front" in "\n".join(front_lines(found))
    assert files["figures/front.png"].startswith(b"\x89PNG")


def test_directions() -> None:
    assert not parse_goal("min:price.p50", minimize=False).maximize
    assert parse_goal("max:price.p50", minimize=True).maximize
    assert not parse_goal("price.p50", minimize=True).maximize
    with pytest.raises(InputError, match="names no metric"):
        parse_goal("min:3", minimize=False)
