"""The search: what it reads, what it finds under noise, and that it reports the confirmation."""

import json
import math
import zlib
from typing import Any

import numpy as np
import pytest

from marketsim.errors import InputError
from marketsim.experiments.optimize import surrogate
from marketsim.experiments.optimize.asked import fitted
from marketsim.experiments.optimize.report import optimization_files, optimization_lines
from marketsim.experiments.optimize.search import Optimization, optimize, parse_constraint, parse_factor, parse_figure
from marketsim.experiments.runs.variants import SerialRuns, Variant


def noisy_market(scenario: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """Revenue peaks at a take of 20 with noise as large as the peak; fill falls with the take."""
    margin = float(scenario["take"])
    noise = np.random.default_rng(seed).normal(0, 30)
    own = np.random.default_rng([seed, int(margin * 1000)]).normal(0, 1)
    return {
        "revenue": {"total": "x", "total_uve": 100 - 0.25 * (margin - 20) ** 2 + noise + own},
        "fill_rate": 1 - margin / 40 + 0.001 * own,
        "price": {"p50": None},
        "rules": "seed",
    }


def search(budget: int = 300, **options: Any) -> Optimization:
    return optimize(
        Variant("m", {"take": 5.0}, "."),
        SerialRuns(noisy_market),
        [parse_factor("take=0.0..40.0")],
        parse_figure("revenue.total", "--objective"),
        budget=budget,
        **options,
    )


@pytest.mark.parametrize("seed", [1, 1000, 2000])
def test_finds_the_peak_under_common_noise_and_reports_fresh_seeds(seed: int) -> None:
    found = search(seed=seed)
    assert abs(found.best[0] - 20) < 4
    assert found.runs <= found.budget
    truth = 0.25 * 15**2 - 0.25 * (found.best[0] - 20) ** 2
    assert abs(found.confirmed.difference - truth) < 2 * found.confirmed.interval.half_width
    assert found.confirm_seeds[0] == found.search_seeds[1] + 1
    assert found.confirm_seeds[1] - found.confirm_seeds[0] + 1 == found.confirmed.pairs
    assert found.confirmed.reduction > 20, "the noise is common to both arms"


def test_what_is_reported_is_not_the_lucky_draw() -> None:
    """No setting matters: whatever the search picks, the confirmation on seeds of its own must not believe it."""

    def flat(scenario: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
        key = zlib.crc32(str(scenario["take"]).encode()) if "take" in scenario else 0
        return {"fill_rate": float(np.random.default_rng([seed, key]).normal())}

    confirmed, held = [], 0
    for seed in range(1, 2001, 200):
        found = optimize(
            Variant("m", {}, "."),
            SerialRuns(flat),
            [parse_factor("take=0.0..40.0")],
            parse_figure("fill_rate", "--objective"),
            budget=150,
            seed=seed,
        )
        confirmed.append(found.confirmed.difference)
        held += found.confirmed.interval.holds(0.0)
    assert abs(np.mean(confirmed)) < 0.35
    assert held >= 8


# Paths that every scenario has: what stands there is a number to the search, and is not checked.
FACTORS = ("take=-2.0..2.0", "initial=-2.0..2.0")


def rosenbrock(scenario: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
    """Best 0 at (1, 1); the noise of a seed is the same at every point, with a little of each point's own."""
    x, y = float(scenario["take"]), float(scenario["initial"])
    noise = np.random.default_rng(seed).normal(0, 5) + np.random.default_rng([seed, zlib.crc32(repr((x, y)).encode())]).normal(0, 0.1)
    return {"fill_rate": -(100 * (y - x * x) ** 2 + (1 - x) ** 2) + noise}


def test_regret_on_rosenbrock_with_ninety_runs() -> None:
    factors = [parse_factor(text) for text in FACTORS]
    objective = parse_figure("fill_rate", "--objective")
    regrets = []
    for seed in (1, 1000, 2000, 3000, 4000):
        found = optimize(
            Variant("m", {"take": -1.0, "initial": 1.5}, "."), SerialRuns(rosenbrock), factors, objective, budget=90, seed=seed
        )
        assert found.runs <= 90
        x, y = found.best
        regrets.append(100 * (y - x * x) ** 2 + (1 - x) ** 2)
    assert np.median(regrets) <= 1.0


@pytest.mark.parametrize("start", [{"take": 1.0, "initial": 1.0}, {}])
def test_what_is_best_already_is_left_as_it_is(start: dict[str, float]) -> None:
    """Whether or not the factors stand in the scenario, every other point is worse, and none is recommended."""

    def at_best(scenario: dict[str, Any], base: str, seed: int) -> dict[str, Any]:
        given = {"take": 1.0, "initial": 1.0} | scenario
        best = (float(given["take"]), float(given["initial"])) == (1.0, 1.0)
        return {"fill_rate": rosenbrock(given, base, seed)["fill_rate"] + best}

    factors = [parse_factor(text) for text in FACTORS]
    for seed in (1, 1000):
        found = optimize(
            Variant("m", start, "."), SerialRuns(at_best), factors, parse_figure("fill_rate", "--objective"), budget=60, seed=seed
        )
        assert found.unchanged
        assert found.settings == []
        assert found.as_json()["recommended"] == "unchanged"
        assert "the scenario as it is" in "\n".join(optimization_lines(found))


def test_the_surrogate_is_the_regression_it_says() -> None:
    """Posterior mean and deviation by the definition: solving the kernel's equations outright."""
    rng = np.random.default_rng(1)
    x, at = rng.random((12, 2)), rng.random((5, 2))
    y = np.sin(5 * x[:, 0]) + x[:, 1] + rng.normal(0, 0.05, 12)
    found = surrogate.fit(x, y)
    lengths, signal, noise = np.exp(found.logs[:2]), math.exp(found.logs[2]), math.exp(found.logs[3])

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        r = np.array([[math.dist(p / lengths, q / lengths) for q in b] for p in a])
        return signal**2 * (1 + math.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-math.sqrt(5) * r)

    covariance = kernel(x, x) + (noise**2 + 1e-8) * np.eye(12)
    cross = kernel(at, x)
    mean = y.mean() + cross @ np.linalg.solve(covariance, y - y.mean())
    variance = y.std() ** 2 * (signal**2 - np.einsum("ij,ji->i", cross, np.linalg.solve(covariance, cross.T)))
    assert found.predict(at)[0] == pytest.approx(mean, abs=1e-6)
    assert found.predict(at)[1] ** 2 == pytest.approx(variance, rel=1e-4, abs=1e-9)
    again = found.believing(at[0])
    assert again.predict(at[:1])[0] == pytest.approx(mean[:1], abs=1e-5)
    assert again.predict(at[:1])[1] < found.predict(at[:1])[1]
    smaller = surrogate._surprise(found.logs + 0.3, x, (y - y.mean()) / y.std())
    assert surrogate._surprise(found.logs, x, (y - y.mean()) / y.std()) < smaller


def test_a_constraint_moves_the_best_point() -> None:
    found = search(constraints=[parse_constraint("fill_rate>=0.75")])
    assert found.best[0] <= 10.2
    assert found.best[0] > 6
    assert found.feasible
    assert found.constraints[0].verdict in {"met", "met on average"}


def test_minimize_goes_the_other_way() -> None:
    found = search(maximize=False)
    assert found.best[0] > 36 or found.best[0] < 4
    assert found.confirmed.difference < 0


def test_same_seed_same_bytes_and_every_file() -> None:
    first, second = search(budget=120), search(budget=120)
    files = optimization_files(first)
    assert files == optimization_files(second)
    assert set(files) == {"optimization.json", "trials.csv", "report.md", "report.html", "figures/search.png"}
    content = json.loads(files["optimization.json"])
    assert content["confirmed"]["lift"] == pytest.approx(first.confirmed.difference)
    assert content["factors"][0]["best"] == first.factors[0].text(first.best[0])
    text = "\n".join(optimization_lines(first))
    assert "fresh seeds" in text
    assert "not to be quoted" in text
    assert len(files["trials.csv"].decode().splitlines()) == 1 + len(first.trials)


def test_a_budget_too_small_says_what_would_do() -> None:
    with pytest.raises(InputError, match="give at least") as error:
        search(budget=15)
    least = int(error.value.lines[0].rsplit(" ", 1)[1])
    assert search(budget=least).runs <= least


def test_factors() -> None:
    whole = parse_factor("bid_window=5..50 blocks")
    assert (whole.low, whole.high, whole.unit, whole.whole) == (5, 50, "blocks", True)
    assert whole.override(7.0) == "bid_window=7 blocks"
    price = parse_factor("a.b=0.000001uve..0.000002uve")
    assert not price.whole
    assert price.override(0.0000015) == "a.b=0.0000015uve"
    assert parse_factor("margin=0.5..40").override(12.25) == "margin=12.25"
    rate = parse_factor("tenants.web.demand.arrivals=10..60/h")
    assert rate.override(30.0) == "tenants.web.demand.arrivals=30/h"
    assert parse_factor("arrivals=10/h..60/h").override(10.0) == "arrivals=10/h"
    assert parse_factor("latency=2..20:{x * 3}s").override(4.0) == "latency=12s"
    assert parse_factor("arrivals=0.5..2.5:{x}/h").override(1.25) == "arrivals=1.25/h"
    tiny = parse_factor("a=0.0000000000000001uve..0.0000000000000009uve")
    assert tiny.override(0.00000000000000025) == "a=0.00000000000000025uve"


def test_factors_are_rounded_to_what_the_key_holds() -> None:
    scenario = {"tenants": [{"name": "web"}], "providers": [{"name": "p", "config": {"bid_engine": {}}}]}
    variant = Variant("v", scenario, ".")
    for text, number, value in (
        ("bid_window=2.5..50 blocks", 7.4, "7 blocks"),
        ("take=0.0..0.5", 0.12345678, "0.123457"),
        ("tenants.web.count=1.0..9.0", 4.4, "4"),
        ("tenants.web.order.cpu=0.5 cores..4.5 cores", 1.23456, "1.235 cores"),
        ("tenants.web.wallet=0.5uve..9uve", 3.7, "4uve"),
        ("tenants.web.ceiling=0.5uve..9uve", 1 / 3, "0.333333333333uve"),
        ("tenants.web.patience=0.5m..9m", 1.23456, "1.2346m"),
        ("tenants.web.top_up.delay=0.5..9:{x / 7}s", 1.5, "0.214s"),
        ("tenants.web.demand.arrivals=0.5..2.5/h", 1.23456, "1.23456/h"),
    ):
        assert fitted(variant, parse_factor(text)).text(number) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("margin", "not a range"),
        ("margin=5", "not a range"),
        ("margin=low..high", "not a range"),
        ("margin=5..5", "is empty"),
        ("margin=9..5", "is empty"),
        ("=1..2", "not a range"),
        ("window=5 blocks..5m", "two units"),
        ("window=5..50 blocks:{x}", "write the unit into the template"),
        ("window=5..50:{y}s", "not known in a template"),
        ("window=5..50:fixed", "has no field"),
    ],
)
def test_factors_that_make_no_sense(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_factor(text)


def test_figures_are_expressions_of_metrics() -> None:
    summary = noisy_market({"take": 20}, ".", 1)
    figure = parse_figure("revenue.total / 1e2 + 100 * fill_rate", "--objective")
    assert figure.metrics == ("revenue.total", "fill_rate")
    assert figure.of(summary) == pytest.approx(summary["revenue"]["total_uve"] / 100 + 100 * summary["fill_rate"])
    assert math.isnan(parse_figure("price.p50", "--objective").of(summary))
    assert parse_figure("fill_rate/20", "--objective").of({"fill_rate": 0.5}) == 0.025
    assert parse_figure("price.mean_won/20", "--objective").of({"price": {"mean_won": "8", "mean_won_uve": 8}}) == 0.4
    assert parse_figure("price.mean_won/take", "--objective").metrics == ("price.mean_won", "take")
    assert parse_figure("2*revenue.by_cohort.gpu-1", "--objective").metrics == ("revenue.by_cohort.gpu-1",)
    assert math.isnan(parse_figure("fill_rate/take", "--objective").of({"fill_rate": 0.5, "take": 0}))
    assert parse_constraint("fill_rate <= 0.9").slack.of({"fill_rate": 0.8}) == pytest.approx(0.1)
    for text in ("", "1 + 2", "revenue.total +", "__import__('os')", "fill_rate; 1", "fill_rate + 'x'"):
        with pytest.raises(InputError):
            parse_figure(text, "--objective")
    for text in ("fill_rate", "fill_rate == 1", "0.2 < fill_rate < 0.8", ">= 1"):
        with pytest.raises(InputError):
            parse_constraint(text)
