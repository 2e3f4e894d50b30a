"""The alerting rules over simulated incidents: each fires in its own, at the times that the series say, and in no quiet one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from marketsim.errors import InputError
from marketsim.metrics.prometheus_folder import RULES, rule_file
from marketsim.metrics.rule_tests import alert_names, fired, input_series
from marketsim.metrics.series import Sample, samples
from marketsim.scenario import load_scenario
from marketsim.simulation.observed import Observed

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)")
Found = dict[str, list[Sample]]

QUIET = [
    "horizon=12h",
    "warm_up=0s",
    "initial=0",
    "providers.trainee.lease_capacity=200",
    "providers.trainee.leave=null",
    "providers.rival.capacity={cpu: 100, memory: 1Gi, storage: 1Gi}",
    "tenants.students.deposit={uniform: [290uve, 300uve]}",
    "tenants.students.duration=20h",
    "tenants.students.terminate_after=null",
    "tenants.students.top_up=null",
    "tenants.students.never_choose=0",
]
"""Twelve hours of the training market with nothing to warn of: room, long leases, full accounts, a rival that has no room."""
INCIDENTS = {
    "quiet": [],
    "few_slots": ["providers.trainee.lease_capacity=12"],
    "closing": ["faults=[{kind: outage, provider: trainee/0, at: 8h, lasts: 1h}]"],
    "poor_accounts": ["tenants.students.deposit=20uve", "tenants.students.duration=36h"],
    "outbid": ["providers.rival.capacity={cpu: 128000, memory: 512Gi, storage: 10Ti}"],
}
EXPECTED = {
    "LeaseCapacityNearlyTaken": {"few_slots"},
    "LeasesAboveCapacityTarget": {"few_slots"},
    "LeasesCloseFast": {"closing"},
    "EscrowLastsLessThanADay": {"poor_accounts"},
    "EscrowBelowOneDay": {"poor_accounts"},
    "BidsSeldomWin": {"outbid"},
}


@pytest.fixture(scope="module")
def incidents() -> dict[str, list[Found]]:
    found = {}
    for name, changes in INCIDENTS.items():
        scenario = load_scenario("scenarios/training.yaml", [*QUIET, *changes])
        observed = Observed(scenario, scenario.seed)
        found[name] = [samples(observed.snapshot(height)) for height in range(0, scenario.horizon_blocks + 1, 10)]
    return found


def _value(found: Found, name: str) -> float | None:
    return next((value for _, labels, value in found[name] if labels[0] == "trainee-0"), None)


def _above(share: float) -> Callable[[Found], bool]:
    def holds(found: Found) -> bool:
        active, room = (_value(found, f"virtengine_provider_{name}") for name in ("active_leases", "lease_capacity"))
        return active is not None and room is not None and active / room > share

    return holds


def _closing(found: Found) -> bool:
    return (_value(found, "virtengine_provider_lease_close_rate") or 0.0) > 0.1


def _pending(holds: Callable[[Found], bool], minutes: int, times: list[Found]) -> list[int]:
    """The minutes at which an alert with `for` fires whose condition is looked at every minute."""
    run, out = 0, []
    for at, found in enumerate(times):
        run = run + 1 if holds(found) else 0
        if run > minutes:
            out.append(at)
    return out


def test_each_alert_fires_in_its_incident_and_in_no_quiet_one(incidents: dict[str, list[Found]], tmp_path: Path) -> None:
    for name in RULES:
        (tmp_path / name).write_text(rule_file(name))
        for incident, times in incidents.items():
            alerts = fired(tmp_path / name, input_series(times), 60, len(times), every=5)
            if incident == "quiet":
                assert not any(alerts.values()), (name, alerts)
            for alert, seen in alerts.items():
                if incident in EXPECTED[alert]:
                    assert seen, (incident, alert)


@pytest.mark.parametrize(
    ("rules", "alert", "incident", "holds", "minutes"),
    [
        ("document.yml", "LeaseCapacityNearlyTaken", "few_slots", _above(0.9), 5),
        ("exercise-2.yml", "LeasesAboveCapacityTarget", "few_slots", _above(0.8), 5),
        ("document.yml", "LeasesCloseFast", "closing", _closing, 0),
    ],
)
def test_an_alert_fires_when_the_series_say(
    rules: str,
    alert: str,
    incident: str,
    holds: Callable[[Found], bool],
    minutes: int,
    incidents: dict[str, list[Found]],
    tmp_path: Path,
) -> None:
    times = incidents[incident]
    (tmp_path / rules).write_text(rule_file(rules))
    seen = fired(tmp_path / rules, input_series(times), 60, len(times))[alert]
    mine = [at for at, alerts in seen.items() if any(labels["provider"] == "trainee-0" for labels in alerts)]
    assert mine == _pending(holds, minutes, times)


def test_a_rule_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text("groups:\n  - name: a\n    rules:\n      - {alert: A, expr: 'rate(x[1h'}\n")
    with pytest.raises(InputError, match=r"rules\.yml: .*parse"):
        alert_names(tmp_path / "rules.yml")


def test_without_promtool_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="Debian package prometheus"):
        alert_names(tmp_path / "rules.yml")
