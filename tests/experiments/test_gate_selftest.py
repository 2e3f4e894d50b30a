"""The gate's own error rates on kept replications, and that the selftest finds a gate that errs more."""

from __future__ import annotations

import json

import numpy as np
import pytest

from marketsim.cli import main
from marketsim.experiments.gate import selftest as bench
from marketsim.experiments.gate.selftest import BASE, METRICS, SHIFTED, KeptArms, selftest, stored, stored_bytes


def test_replications_are_kept_whole(tmp_path: object) -> None:
    arms = stored()
    assert arms.count == 500
    assert set(arms.metrics) == set(METRICS)
    revenue = arms.values[SHIFTED][METRICS[0]].mean() / arms.values[BASE][METRICS[0]].mean()
    # A take of 5 in place of 2 % leaves 95/98 of the revenue.
    assert revenue == pytest.approx(95 / 98, abs=0.003)
    again = json.loads(stored_bytes(arms))
    assert all(np.array_equal(again["values"][arm][name], arms.values[arm][name]) for arm in arms.values for name in METRICS)


@pytest.mark.slow
def test_the_gate_keeps_its_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "selftest", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and len(found["rates"]) == 12
    assert {rate["gates"] for rate in found["rates"]} == {1000}


def test_a_gate_that_errs_more_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    judge, arms = bench.judge, stored()
    small = KeptArms(arms.scenario, arms.base, METRICS[:1], arms.values)
    honest = selftest(small, 150)
    assert honest.holds
    monkeypatch.setattr(bench, "judge", lambda before, after, margin, aim, alpha: judge(before, after, margin, aim, 4 * alpha))
    lax = selftest(small, 150)
    missed = [rate.title for rate in lax.rates if not rate.holds]
    assert "a shift as large as the margin passes, equal seeds" in missed
    monkeypatch.setattr(bench, "judge", lambda before, after, margin, aim, alpha: judge(before, after, margin / 3, aim, alpha))
    strict = selftest(small, 150)
    missed = [rate.title for rate in strict.rates if not rate.holds]
    assert any(title.startswith("A/A") for title in missed)
