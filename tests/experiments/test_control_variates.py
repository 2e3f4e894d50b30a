"""Control variates of runs: 0 on average by their construction, used and printed where they help."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from queue_sweep import QueueScenarios

from marketsim.agents.demand import mean_burst_time
from marketsim.experiments.compare.paired import compare
from marketsim.experiments.compare.report import comparison_files, comparison_lines
from marketsim.experiments.runs.chance import arrivals_by_cohort, chance_of
from marketsim.experiments.runs.execute import Outcome, Runner, RunTask, attempt
from marketsim.experiments.runs.variants import SerialRuns, Variant
from marketsim.experiments.sweep.session import carry_out, read_plan
from marketsim.scenario import scenario_from_mapping
from marketsim.simulation import run
from marketsim.simulation.orders import arrivals_of, costs_of, expected_arrivals, horizon_of, lives_of, mean_arrivals, rate_of
from marketsim.statistics.sequential import Decision

SMALL: dict[str, Any] = {
    "name": "chance",
    "horizon": "12h",
    "warm_up": "3h",
    "tenants": [
        {
            "name": "web",
            "count": 5,
            "wallet": "2000VE",
            "demand": {
                "arrivals": "6/h",
                "day_profile": [1.0, 0.5] * 12,
                "bursts": {"every": "4h", "factor": 3, "lasts": "1h"},
                "surges": [{"at": "5h", "lasts": "2h", "factor": 2}],
            },
            "order": {"cpu": {"lognormal": {"median": 2000, "p90": 8000}, "min": 1900, "max": 4000}, "memory": "4Gi", "storage": "10Gi"},
            "value": {"times_cost": {"uniform": [0.8, 1.6]}},
            "duration": {"exponential": {"mean": "3h"}},
            "deposit": {"blocks": 7200},
        }
    ],
    "providers": [
        {
            "name": "p",
            "count": 3,
            "capacity": {"cpu": 64000, "memory": "256Gi", "storage": "4Ti"},
            "strategy": {"scale": {"cpu": "0.004uve"}},
            "spread": 0.1,
        }
    ],
}


def test_controls_have_mean_zero() -> None:
    """Over 300 seeds, with profile, bursts, a surge, and sizes cut off at both ends."""
    found = [one for one in (chance_of_small(seed) for seed in range(300))]
    for name in ("orders", "size", "work", "worth"):
        values = np.array([one[name] for one in found])
        assert abs(values.mean()) < 3.5 * values.std() / math.sqrt(values.size), name
        assert values.std() > 0


def chance_of_small(seed: int) -> dict[str, float]:
    without = {**SMALL, "providers": [{**SMALL["providers"][0], "spread": 0}]}
    scenario = scenario_from_mapping(without, Path())
    return chance_of(scenario, seed, None, arrivals_by_cohort(scenario, seed))  # type: ignore[arg-type]  # no provider draws costs


def test_controls_by_hand() -> None:
    """Number, size and work of one seed from its own orders, with expectations summed hour by hour and from other keys."""
    plain = {**SMALL, "tenants": [{**SMALL["tenants"][0], "demand": {"arrivals": "6/h", "day_profile": [1.0, 0.5] * 12}}]}
    scenario = scenario_from_mapping(plain, Path())
    cohort = scenario.tenants[0]
    assert expected_arrivals(cohort, scenario, 1) == pytest.approx(6 * (5 * 0.5 + 4 * 1.0) / 0.75), "a profile is read by its mean"
    arrivals = arrivals_of(cohort, scenario, 9, rate_of(cohort, scenario, 9), horizon_of(scenario))[0]
    late = arrivals.times > 3 * 3_600_000
    record = run(scenario, seed=9).record
    found = chance_of(scenario, 9, record, arrivals_by_cohort(scenario, 9))
    assert found["orders"] == pytest.approx(late.sum() - 52)
    assert found["cost"] == pytest.approx(np.log(record.providers["cost_ppm"] / 1e6).mean())
    many = np.concatenate(
        [arrivals_of(cohort, scenario, seed, rate_of(cohort, scenario, seed), horizon_of(scenario))[0].keys for seed in range(100, 600)]
    )
    (own, value), (cost, worth) = costs_of(cohort, scenario, arrivals.keys), costs_of(cohort, scenario, many)
    assert found["size"] == pytest.approx(own[late].sum() - late.sum() * cost.mean(), abs=4 * late.sum() * cost.std() / 30)
    assert found["worth"] == pytest.approx((value >= own)[late].sum() - late.sum() * (worth >= cost).mean(), abs=late.sum() * 0.06)
    begin = arrivals.times / 6_000
    served = np.clip(np.minimum(begin + lives_of(cohort, arrivals.keys, 6_000)[0], 7200) - np.maximum(begin, 1800), 0, None)
    lives = lives_of(cohort, many, 6_000)[0]
    expected = [(cost * (np.clip(np.minimum(at + lives, 7200) - max(at, 1800), 0, None))).mean() for at in begin]
    assert found["work"] == pytest.approx(float((own * served).sum() - sum(expected)), rel=0.05, abs=0.05 * float(np.sum(expected)))


def test_bursts_are_expected_as_often_as_they_come() -> None:
    """The exact mean of orders over all courses of bursts against the mean over 4,000 of them, and in the limits."""
    scenario = scenario_from_mapping(SMALL, Path())
    cohort = scenario.tenants[0]
    drawn = np.array([expected_arrivals(cohort, scenario, seed) for seed in range(4_000)])
    assert abs(drawn.mean() - mean_arrivals(cohort, scenario)) < 3.5 * drawn.std() / math.sqrt(drawn.size)
    moments = tuple(np.linspace(0, 400 * 3_600_000, 9).tolist())
    on = mean_burst_time(4 * 3.6e6, 3.6e6, moments)
    assert on[0] == 0
    assert np.diff(on) == pytest.approx(np.full(8, 50 * 3.6e6 / 5), rel=0.1), "an hour of five, once the first gap is forgotten"
    assert np.diff(on)[-3:] == pytest.approx(np.full(3, 50 * 3.6e6 / 5), rel=1e-9)
    assert mean_burst_time(1e15, 3.6e6, (3.6e6,)) == pytest.approx(3.6e6**2 / 2 / 1e15, rel=1e-6), "seldom: the chance grows with time"
    assert mean_burst_time(1.0, 3.6e6, (3.6e6 * 50,)) == pytest.approx(3.6e6 * 50 - 50, rel=1e-9), "hardly any gaps"


def told(scenario: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """A market whose revenue moves with its orders, in B twice as much as in A, and a little by itself."""
    rng = np.random.default_rng(seed)
    orders, own, other = rng.normal(0, 10), rng.normal(), np.random.default_rng([seed, int(scenario["slope"])]).normal()
    revenue = 1000 + scenario["slope"] * orders + own + 0.5 * other + scenario.get("more", 0)
    return {"revenue": {"total": revenue}, "fill_rate": 0.5, "rules": "seed", "chance": {"orders": orders}}


def test_compare_takes_known_chance_out_and_says_so() -> None:
    arms = Variant("a", {"slope": 1}, "."), Variant("b", {"slope": 2, "more": 2}, ".")
    found = compare(*arms, SerialRuns(told), metrics=["revenue.total", "fill_rate"], pairs=40)
    plain = compare(*arms, SerialRuns(told), metrics=["revenue.total", "fill_rate"], pairs=40, controls=False)
    first = found.first
    assert first.controlled is not None
    assert first.controlled.ratio > 20
    assert first.controlled.mean == pytest.approx(2, abs=0.6)
    assert first.verdict.decision is Decision.DIFFERENT
    assert plain.first.verdict.decision is Decision.UNDECIDED
    assert first.difference == plain.first.difference
    assert first.ruling.half_width < plain.first.ruling.half_width / 3
    text = "\n".join(comparison_lines(found))
    assert "number of orders (16 of 16 folds); variance ÷" in text
    assert "n 40" in text
    assert "none helped in 40 pairs" in text, "the fill rate never moves"
    assert found.as_json()["metrics"][0]["controlled"]["controls"] == {"orders": 16}
    page = comparison_files(found)["report.html"].decode()
    assert "What control variates bought" in page
    assert "not used (--no-controls)" in comparison_files(plain)["report.html"].decode()
    assert plain.first.controlled is None


def test_equal_policies_are_not_told_apart_by_controls() -> None:
    """Both arms alike but for noise: 5 % of 80 comparisons, at 5 % each, are declared different at most twice the binomial error off."""
    declared = 0
    for number in range(80):
        arms = (Variant("a", {"slope": 1, "more": 0}, "."), Variant("b", {"slope": 1, "more": 0}, "."))

        def noisy(scenario: dict[str, Any], base: str, seed: int, number: int = number) -> dict[str, Any]:
            rng = np.random.default_rng([seed, number])
            orders = rng.normal(0, 10)
            noisy.calls += 1  # type: ignore[attr-defined]
            own = np.random.default_rng([seed, number, noisy.calls]).normal(0, 5)  # type: ignore[attr-defined]
            return {"revenue": {"total": 1000 + 0.5 * orders + own}, "rules": "seed", "chance": {"orders": orders}}

        noisy.calls = 0  # type: ignore[attr-defined]
        found = compare(*arms, SerialRuns(noisy), metrics=["revenue.total"], pairs=24)
        declared += found.first.verdict.decision is Decision.DIFFERENT
    assert declared <= 80 * 0.05 + 2 * math.sqrt(80 * 0.05 * 0.95)


def told_by_price(values: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """Revenue rises by 10 × orders beyond the expected, and twice that at the higher price: the effect moves with the control."""
    rng = np.random.default_rng(seed)
    orders = rng.normal()
    price = float(values["price"])
    revenue = 100 * price + 10 * price * orders + np.random.default_rng([seed, int(price * 10)]).normal()
    return {
        "revenue": {"total_uve": revenue * 1e6, "per_day_mean": revenue * 1e6},
        "fill_rate": 0.5,
        "fingerprint": f"{seed}-{price}",
        "chance": {"orders": orders},
    }


class AtOnce:
    """A pool of this process for any runner."""

    workers = 1

    def __init__(self, runs: Path, runner: Runner) -> None:
        self._runs, self._runner = runs, runner

    def outcomes(self, tasks: Sequence[RunTask]) -> Iterator[tuple[RunTask, Outcome]]:
        for task in tasks:
            done = attempt(self._runner, task)
            if done.payload is not None:
                self._runs.mkdir(exist_ok=True)
                (self._runs / f"{task.key}.json").write_bytes(done.payload)
            yield task, done

    def close(self) -> None:
        """Nothing."""


def test_sweeps_print_means_and_effects_with_controls(tmp_path: Path) -> None:
    (tmp_path / "queue.yaml").write_text("name: queue\n")
    head = "name: s\nscenario: queue.yaml\nfactors:\n  - {name: price, path: price, levels: [1, 2]}\nmetrics: [revenue.total]\n"
    (tmp_path / "sweep.yaml").write_text(f"{head}replications: 30\n")
    plan = read_plan(tmp_path / "sweep.yaml", QueueScenarios())
    result, content = carry_out(plan, tmp_path / "out", lambda folder: AtOnce(folder.runs, told_by_price))
    first = content["points"][0]["metrics"]["revenue.total"]["controlled"]
    assert first["controls"] == {"orders": 16}
    assert first["variance_ratio"] > 20
    assert first["mean"] == pytest.approx(100e6, abs=1e6)
    values = result.values(0, "revenue.total")
    assert abs(first["mean"] - 100e6) < abs(float(np.mean(values)) - 100e6) or abs(float(np.mean(values)) - 100e6) < 0.5e6
    page = (tmp_path / "out" / "report.md").read_text()
    assert "number of orders at 2 of 2 points" in page
    assert "Means with controls and 95% t intervals" in page
    effects = page[page.index("## Effects") :]
    assert "variance ÷" in effects
    rows = (tmp_path / "out" / "points.csv").read_text().splitlines()
    assert "controlled_mean" in rows[0]
    # With fewer runs than a slope needs the report says so.
    (tmp_path / "few.yaml").write_text(f"{head}replications: 5\n")
    carry_out(read_plan(tmp_path / "few.yaml", QueueScenarios()), tmp_path / "few", lambda folder: AtOnce(folder.runs, told_by_price))
    assert "No control variates: fewer than 16 runs a point" in (tmp_path / "few" / "report.md").read_text()
