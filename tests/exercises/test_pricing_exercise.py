"""The pricing exercise: the document's own figures in practice, and grades by hand arithmetic."""

from __future__ import annotations

from marketsim.exercises.exercise import Told
from marketsim.exercises.folder import draw_instance
from marketsim.exercises.judging import form_problem, grade_submission
from marketsim.exercises.selftest import selftest, selftest_lines
from marketsim.exercises.shelf import exercise_of
from marketsim.face.prices import engine_rules
from marketsim.scenario.files import load_provider, provider_of_text
from marketsim.strategies.exact import Request, price_breakdown

SECRET = bytes(range(1, 33))
PRICING = exercise_of("pricing")


def told_of(learner: str, secret: bytes | None) -> Told:
    return PRICING.told(draw_instance(PRICING, learner, secret))


def test_practice_has_the_documents_figures() -> None:
    instance = draw_instance(PRICING, "anybody", None)
    begun = provider_of_text(told_of("anybody", None).submit["provider-config.yaml"], "begun")
    assert begun == load_provider("scenarios/providers/training.yaml")
    right = engine_rules(provider_of_text(PRICING.oracle(instance)["provider-config.yaml"], "right"))
    bid = price_breakdown(right, Request(1000, 2048 << 20, 10240 << 20)).bid
    assert bid == 2_888_800_000_000_000  # (0.002 + 0.0004096 + 0.0001024) × 1.15 = 0.0028888 uve
    assert right.max_cpu == 32_000


def test_the_check_names_file_key_and_unit() -> None:
    told = told_of("anna", None)
    record = {f"begun/{name}": text for name, text in told.submit.items()}
    text = told.submit["provider-config.yaml"]

    def problem(changed: str) -> str:
        return form_problem(PRICING, told.task, record, {"provider-config.yaml": changed}) or ""

    assert problem(text).startswith("submit/provider-config.yaml: bid_engine.pricing.cpu_millicores: is still as it was")
    set_all = text.replace("0.000001uve", "0.000002uve").replace("0.0000001uve", "0.0000002uve")
    set_all = set_all.replace("min_profit_margin: 10", "min_profit_margin: 15").replace("max_cpu: 64000", "max_cpu: 32000")
    assert problem(set_all) == ""
    assert "counts millicores" in problem(set_all.replace("max_cpu: 32000", "max_cpu: 32"))
    assert "percentage" in problem(set_all.replace("min_profit_margin: 15", "min_profit_margin: 0.15"))
    assert "look at its unit" in problem(set_all.replace("0.000002uve", "0.000002VE"))
    assert "filters.max_memory: is not as it was" in problem(set_all.replace("262144", "131072"))
    assert "provider-config.yaml:4:" in problem(set_all.replace("enabled: true", "enabled: maybe"))


def test_filters_inside_the_engine_are_the_same_file() -> None:
    instance = draw_instance(PRICING, "anna", SECRET)
    head, _, tail = PRICING.oracle(instance)["provider-config.yaml"].partition("# Only bid on certain orders\n")
    nested = head + "".join(f"  {line}\n" for line in tail.splitlines())
    assert grade_submission(PRICING, instance, {"provider-config.yaml": nested}).score == 100


def test_pricing_grades_as_it_says() -> None:
    lines = selftest(PRICING, SECRET, learners=3, guesses=4)
    assert all(line.holds for line in lines), "\n".join(selftest_lines(lines))
