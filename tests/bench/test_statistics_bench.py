"""The bench of the statistics: its verdicts, its dealing of runs, and the small market it measures on."""

import numpy as np
import pytest

from marketsim.bench import statistics as statistics_bench
from marketsim.bench.statistics import PAIRS, Measured, bench, declarations


def synthetic(runs: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    own = rng.normal(1000, 50, (runs, 2))
    return own, own * shift + rng.normal(0, 1, (runs, 2))


def test_verdicts_of_declarations() -> None:
    a, b = synthetic(2400, 1.05, 1)
    found = {one.title: one for one in declarations(a, b, 1000, 1)}
    assert all(one.holds for one in found.values()), [one.line() for one in found.values() if not one.holds]
    blind = declarations(a, a + np.random.default_rng(2).normal(0, 50, a.shape), 200, 1)
    powers = [one for one in blind if "planted" in one.title]
    assert powers
    assert not any(one.holds for one in powers), "without a shift there is no power to report"


def test_rates_outside_their_range_fail() -> None:
    honest = Measured("A/A", 0.03, 1000, 0.0, 0.064)
    broken = Measured("A/A", 0.30, 1000, 0.0, 0.064)
    assert honest.line().endswith("ok")
    assert broken.line().endswith("FAILED")
    assert "at most 6.4 %" in broken.line()
    assert "at least 90.0 %" in Measured("power", 0.95, 10, 0.9, 1.0).line()


def test_runs_are_dealt_once_a_comparison() -> None:
    dealt = statistics_bench._dealt(np.random.default_rng(1), 600, 12)
    assert dealt.shape == (12, 2, PAIRS)
    for hand in dealt:
        assert len(set(hand.ravel().tolist())) == 2 * PAIRS
    pack = dealt[:5].ravel()
    assert sorted(pack.tolist()) == list(range(600)), "a pack is used up before it is shuffled again"
    with pytest.raises(ValueError, match="too few"):
        statistics_bench._dealt(np.random.default_rng(1), 100, 1)


def test_the_small_market_shifts_by_five_per_cent() -> None:
    a, b = statistics_bench.market_figures(1, 20, 20, workers=1)
    assert (a[:, 1] == b[:, 1]).all(), "prices far below the ceilings change no fill rate"
    assert b[:, 0] == pytest.approx(a[:, 0] * 1.05, rel=1e-6)
    assert 0.02 < a[:, 0].std() / a[:, 0].mean() < 0.10, "moderate noise"
    assert (a[:, 1] < 1).all()


@pytest.mark.slow
def test_the_whole_bench_holds() -> None:
    found = bench(1, workers=2)
    assert found.holds, "\n".join(found.lines())
