"""The alerts exercise: when promtool says that rules fire, against when the figures say so; mutated rules; scores by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from marketsim.cli import main
from marketsim.exercises import folder as folders
from marketsim.exercises.alert_incidents import AlertTarget
from marketsim.exercises.alerts import (
    FILE,
    AlertsInstance,
    Fired,
    mutations,
    play,
    reference_rules,
    rules_text,
    target_score,
)
from marketsim.exercises.folder import draw_instance
from marketsim.exercises.judging import form_problem, grade_submission
from marketsim.exercises.selftest import selftest, selftest_lines
from marketsim.exercises.shelf import exercise_of

SECRET = bytes(range(2, 34))
ALERTS = exercise_of("alerts")
with_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)")


@pytest.fixture(scope="module")
def instance() -> AlertsInstance:
    drawn: AlertsInstance = draw_instance(ALERTS, "anna", SECRET)
    return drawn


@with_promtool
def test_promtool_fires_when_the_figures_say(instance: AlertsInstance) -> None:
    """The figures are whole numbers of leases, bids and minutes, and no PromQL at all."""
    for drawn in (instance, draw_instance(ALERTS, "ben", None)):
        for target, firing in zip(drawn.targets(), play(drawn, reference_rules(drawn.asked)), strict=True):
            keys = [key for key, _ in next(iter(target.holds))]
            seen: dict[tuple[tuple[str, str], ...], set[int]] = {}
            for minute, alerts in firing.items():
                for labels in alerts:
                    seen.setdefault(tuple((key, labels[key]) for key in keys), set()).add(minute)
            assert seen == {labels: minutes for labels, minutes in target.fires().items() if minutes}
            assert target_score(target, firing)[0] == pytest.approx(100)


def firing_of(target: AlertTarget, minutes: dict[tuple[tuple[str, str], ...], range]) -> Fired:
    found: Fired = {}
    for labels, span in minutes.items():
        for minute in span:
            found.setdefault(minute, []).append(dict(labels))
    return found


def test_scores_by_hand() -> None:
    one, other = (("provider", "a"),), (("provider", "b"),)
    target = AlertTarget("capacity", 5, {one: [100 <= minute < 205 for minute in range(361)], other: [False] * 361})
    assert target.fires()[one] == set(range(105, 205))
    # it fires from minute 105 to 204
    assert target_score(target, firing_of(target, {one: range(105, 205)}))[0] == pytest.approx(100)
    assert target_score(target, {})[0] == 0
    late = target_score(target, firing_of(target, {one: range(155, 205)}))[0]
    assert late == pytest.approx(40 * 51 / 100 + 30 + 0 + 10)
    beside = target_score(target, firing_of(target, {one: range(105, 205), other: range(105, 205)}))[0]
    assert beside == pytest.approx(40 + 30 * 0.5 + 20 + 10 * 0.5)
    wrong = target_score(target, firing_of(target, {other: range(105, 205)}))[0]
    assert wrong == 0
    noisy, seen = target_score(target, firing_of(target, {one: range(0, 361)}))
    assert noisy == 15 and "more than half of quiet time" in seen


@with_promtool
def test_names_do_not_count_and_cannot_speak_for_promtool(instance: AlertsInstance) -> None:
    rules = reference_rules(instance.asked)
    for at, rule in enumerate(rules):
        rule["alert"] = f"x, y {at}"
    text = rules_text([rules[2], rules[0], rules[1]]).replace("for:", "labels: {severity: 'alertname: alert0, time: 1m,'}\n        for:")
    assert grade_submission(ALERTS, instance, {FILE: text}).score == 100


def test_the_check_names_what_is_wrong(tmp_path: Path) -> None:
    def problem(text: str) -> str:
        return form_problem(ALERTS, {}, {}, {FILE: text}) or ""

    rules = reference_rules(draw_instance(ALERTS, "anna", None).asked)
    assert "has 2 alerts, 3 are asked for" in problem(rules_text(rules[:2]))
    assert "groups: is missing" in problem("rules: []")
    renamed = rules_text(rules).replace("virtengine_lease_rate", "virtengine_lease_price")
    assert "EscrowLow: expr: there is no series virtengine_lease_price" in problem(renamed)
    assert "LeasesAboveTarget: for: is missing" in problem(rules_text([{k: v for k, v in rule.items() if k != "for"} for rule in rules]))
    if shutil.which("promtool"):
        assert problem(rules_text(rules)) == ""
        assert problem(rules_text(rules).replace("/", "/ (")).startswith("submit/rules.yml: ")


def test_without_promtool_the_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], instance: AlertsInstance
) -> None:
    folders.start("alerts", "anna", tmp_path / "mine", None)
    (tmp_path / "mine" / "submit" / FILE).write_text(ALERTS.oracle(instance)[FILE])
    monkeypatch.setenv("PATH", str(tmp_path))
    for words in (["grade"], ["check"]):
        assert main(["exercise", *words, str(tmp_path / "mine")]) == 2
        assert "Debian package prometheus" in capsys.readouterr().err


@with_promtool
@pytest.mark.parametrize(
    ("expr", "problem"),
    [
        ("quantile_over_time(0.5, rate(virtengine_bid_total[1h])[6h:10s]) > 0", "err: query processing would load too many samples"),
        ("virtengine_escrow_balance * on () group_left virtengine_escrow_balance > 0", "err: found duplicate series"),
    ],
)
def test_a_rule_that_cannot_be_evaluated_to_the_end_is_named(expr: str, problem: str, instance: AlertsInstance) -> None:
    """promtool stops there. What it has said of the other alerts until then is not taken for the whole, nor kept for others."""
    rules = reference_rules(instance.asked)
    fresh = AlertsInstance(instance.asked, instance.providers, instance.example)
    grade = grade_submission(ALERTS, fresh, {FILE: rules_text([*rules[:2], rules[2] | {"expr": expr}])})
    assert grade.score == 0 and all(problem in part.seen and "alert2" in part.seen for part in grade.parts)
    assert grade_submission(ALERTS, fresh, {FILE: rules_text(rules)}).score == 100


@with_promtool
def test_rules_fire_alike_alone_and_in_company(instance: AlertsInstance) -> None:
    """Each is played once and kept; a rule that looks at others is played with them."""
    right, (_, _, wrong) = reference_rules(instance.asked), mutations(instance.asked)[0]
    together = play(instance, [*right, wrong])
    alone = AlertsInstance(instance.asked, instance.providers, instance.example)
    assert [play(alone, [rule])[0] for rule in (wrong, *right[::-1])] == [together[3], *together[2::-1]]
    recorded = {"record": "share", "expr": right[0]["expr"].partition(" >")[0]}
    by_record = right[0] | {"expr": f"share > {right[0]['expr'].partition('> ')[2]}"}
    assert play(alone, [recorded, by_record]) == [together[0]]
    after = {
        "alert": "After",
        "expr": f'ALERTS{{alertname="alert0", alertstate="firing"}} and on (provider) {right[0]["expr"]}',
        "for": "0m",
    }
    assert play(alone, [right[0], after])[1].keys() == together[0].keys()
    assert not play(alone, [wrong | {"expr": "virtengine_bid_total < 0"}, after])[1]


@with_promtool
@pytest.mark.slow
def test_alerts_grade_as_they_say() -> None:
    """Forty rules that are wrong in one thing are below the right ones, each on its own."""
    lines = selftest(ALERTS, SECRET, learners=2, guesses=2)
    assert all(line.holds for line in lines), "\n".join(selftest_lines(lines))
    assert sum(line.expected == "0 to 99.99" for line in lines) == 40
