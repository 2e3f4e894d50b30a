"""Tells a gate's outcome: on the terminal, as Markdown for a pull request, as JUnit's XML, as annotations of a CI."""

from __future__ import annotations

import math
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np

from marketsim.experiments.gate.check import GateOutcome, GatePlan, MetricPlan, ScenarioOutcome
from marketsim.experiments.runs.metric_names import MetricName, fitting_name
from marketsim.statistics.fixed_n import Aim, GateWord, JudgedMetric, differ_most

_AIMS = {Aim.NO_LOWER: "no lower by", Aim.NO_HIGHER: "no higher by", Aim.EQUIVALENT: "within ±"}


def gate_lines(outcome: GateOutcome) -> list[str]:
    """What `check` prints: the red metrics in full, the green ones a line each, the verdict last."""
    lines = [f"baseline    {outcome.baseline}" + (f": {outcome.reason}" if outcome.reason else "")]
    if outcome.other_versions:
        lines.append(f"versions    {', '.join(outcome.other_versions)}: compared by statistics, fingerprints need not agree")
    lines += [f"note        {note}" for note in outcome.notes]
    if not outcome.exact:
        lines.append(f"promise     {promise(outcome.alpha, outcome.power, outcome.metrics)}")
    for one in outcome.scenarios:
        lines += ["", *_scenario_lines(outcome, one)]
    lines += ["", f"verdict     {headline(outcome)}; {duration(outcome.seconds)}"]
    return lines


def promise(alpha: float, power: float, metrics: int) -> str:
    """The two error rates of a gate in words."""
    return (
        f"a metric worse by its margin passes in at most {100 * alpha:g} % of gates; "
        f"without a shift at most {100 * (1 - power):.3g} % are red" + (f" (all {metrics} metrics together, Holm)" if metrics > 1 else "")
    )


def headline(outcome: GateOutcome) -> str:
    """The verdict in a sentence."""
    if outcome.exact:
        changed = sum(len(one.changed_seeds) for one in outcome.scenarios)
        runs = sum(len(one.seeds) for one in outcome.scenarios)
        return f"fail: {changed} of {runs} fingerprints differ" if changed else f"identical: all {runs} fingerprints agree"
    red = [(judged.word.value, plan.metric.name) for _, plan, judged in every_metric(outcome) if not judged.word.is_green]
    if red:
        return f"{outcome.word.value}: " + ", ".join(f"{name} {'fails' if word == 'fail' else 'is undecided'}" for word, name in red)
    if all(one.is_byte_equal for one in outcome.scenarios):
        return f"identical: every run is byte-equal in {sum(len(one.seeds) for one in outcome.scenarios)} seeds"
    return f"{outcome.word.value}: {outcome.metrics} of {outcome.metrics} metrics"


def every_metric(outcome: GateOutcome) -> Iterator[tuple[ScenarioOutcome, MetricPlan, JudgedMetric]]:
    """All metrics of all scenarios."""
    for one in outcome.scenarios:
        for plan, judged in zip(one.plans, one.judged, strict=True):
            yield one, plan, judged


def _scenario_lines(outcome: GateOutcome, one: ScenarioOutcome) -> list[str]:
    n = len(one.seeds)
    lines = [f"scenario    {one.path}, {_pairs_words(outcome, one)}, {duration(one.seconds)}"]
    if one.changed_content:
        lines.append("            the scenario, or a file that it reads, is not the one of the baseline")
    if one.is_byte_equal:
        bound = f": at most {100 * differ_most(n, outcome.alpha):.3g} % of seeds may differ"
        return [*lines, f"  identical every run is byte-equal to the baseline's{bound}"]
    lines.append(f"            {len(one.changed_seeds)} of {n} runs have another fingerprint, first seed {one.changed_seeds[0]}")
    if one.parted is not None:
        lines.append(f"            first difference: {one.parted}")
    width = max(len(plan.metric.name) for plan in one.plans)
    for plan, judged in zip(one.plans, one.judged, strict=True):
        if outcome.exact:
            known = _naming(plan, judged)
            lines.append(f"            {plan.metric.name:<{width}}  {_shift_words(judged, known)}")
        elif judged.word.is_green:
            lines.append(f"  {judged.word.value:<10}{plan.metric.name:<{width}}  {green_words(plan, judged)}")
        else:
            lines += red_lines(outcome, one, plan, judged)
    return lines


def _pairs_words(outcome: GateOutcome, one: ScenarioOutcome) -> str:
    n = len(one.seeds)
    if outcome.exact:
        return f"all {n} seeds"
    spread = "spreads of independent runs" if outcome.unpaired else "spreads of pairs"
    if n == one.planned:
        return f"n = {n} of {one.kept} seeds, planned from {spread}"
    return f"n = {n} of {one.kept} seeds, {one.planned} were planned from {spread}"


def green_words(plan: MetricPlan, judged: JudgedMetric) -> str:
    """A passing metric in one line."""
    if judged.word is GateWord.IDENTICAL:
        return judged.why
    known = _naming(plan, judged)
    beside = "" if plan.metric.aim is Aim.EQUIVALENT else f", {_equivalence_words(judged)}"
    return f"{_shift_words(judged, known)}, {_interval_words(judged, known)}, margin {margin_words(plan, judged, known)}{beside}"


def _equivalence_words(judged: JudgedMetric) -> str:
    """What stands beside a metric that is no worse."""
    if judged.equivalent:
        return "equivalent"
    better = judged.interval.low > judged.margin if judged.aim is Aim.NO_LOWER else judged.interval.high < -judged.margin
    return "better by more than the margin: time for a new baseline" if better else "not shown equivalent"


def red_lines(outcome: GateOutcome, one: ScenarioOutcome, plan: MetricPlan, judged: JudgedMetric) -> list[str]:
    """A red metric in full."""
    known = _naming(plan, judged)
    title = f"  ({known.title})" if known.title != plan.metric.name else ""
    means = f"from {_number(judged.before * known.scale)} to {_number(judged.after * known.scale)}{_unit(known)}"
    spread, planned = _number(judged.spread * known.scale), _number(plan.spread * known.scale)
    unit = _difference_unit(known)
    chance = plan.chances(judged.pairs, outcome.alpha, outcome.metrics)
    beside = "equivalent" if judged.equivalent else "not equivalent"
    lines = [
        f"  {judged.word.value.upper():<10}{plan.metric.name}{title}",
        f"            shift     {_shift_words(judged, known)}, {means}",
        f"            interval  {_interval_words(judged, known)}",
        f"            margin    {margin_words(plan, judged, known)}; {beside}",
        f"            p         {_p(judged.p)} for no shift{_against(plan)}, by Holm {_p(judged.p_holm)}",
        f"            n         {judged.pairs} pairs, spread of a pair {spread}{unit} (planned with {planned}{unit}): "
        f"no shift passes in {100 * chance.passes:.3g} %, the margin fails in {100 * chance.fails:.3g} %",
    ]
    if judged.word is GateWord.UNDECIDED:
        lines.append(f"            why       {judged.why}{_advice(outcome, one, plan, judged)}")
    return lines


def _advice(outcome: GateOutcome, one: ScenarioOutcome, plan: MetricPlan, judged: JudgedMetric) -> str:
    """What would decide an undecided metric."""
    if len(one.seeds) < one.planned:
        what = "--budget cuts it short" if outcome.budget is not None and len(one.seeds) < one.kept else "the baseline has fewer seeds"
        return f"; {one.planned} pairs are needed, {what}"
    if plan.spread > 0 and judged.spread > 1.5 * plan.spread:
        times = f"{judged.spread / plan.spread:.1f} times as much as the baseline's twins"
        return f"; pairs vary {times}: give the baseline more seeds (--seeds) and plan with --unpaired"
    return ""


def margin_words(plan: MetricPlan, judged: JudgedMetric, known: MetricName) -> str:
    """`no lower by 2 % (9.2 VE)`."""
    amount = f"{_number(judged.margin * known.scale)}{_difference_unit(known)}"
    aim = _AIMS[plan.metric.aim]
    blank = "" if aim.endswith("±") else " "
    if plan.metric.margin.relative:
        return f"{aim}{blank}{100 * plan.metric.margin.amount:g} % ({amount})"
    return f"{aim}{blank}{amount}"


def _against(plan: MetricPlan) -> str:
    return {Aim.NO_LOWER: " or a rise", Aim.NO_HIGHER: " or a fall", Aim.EQUIVALENT: ""}[plan.metric.aim]


def _naming(plan: MetricPlan, judged: JudgedMetric) -> MetricName:
    sizes = [abs(value) for value in (judged.before, judged.after) if math.isfinite(value)]
    return fitting_name(plan.metric.name, max(sizes, default=0.0))


def _unit(known: MetricName) -> str:
    return f" {known.unit}" if known.unit else ""


def _difference_unit(known: MetricName) -> str:
    return " points" if known.unit == "%" else _unit(known)


def _shift_words(judged: JudgedMetric, known: MetricName) -> str:
    share = f" ({100 * judged.shift / abs(judged.before):+.3g} %)" if judged.before else ""
    return f"{_signed(judged.shift * known.scale)}{_difference_unit(known)}{share}"


def _interval_words(judged: JudgedMetric, known: MetricName) -> str:
    level = f"{100 * judged.interval.level:.3g} %"
    if not math.isfinite(judged.interval.low):
        return f"open ({level})"
    low, high = judged.interval.low * known.scale, judged.interval.high * known.scale
    return f"[{_signed(low)}, {_signed(high)}]{_difference_unit(known)} ({level})"


def duration(seconds: float) -> str:
    """Seconds below two minutes, else minutes."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def plan_lines(plan: GatePlan, run_seconds: float | None, workers: int) -> list[str]:
    """What `--dry-run` prints: per metric what it needs, then runs and time."""
    lines = [f"baseline    {plan.name}", f"promise     {promise(plan.alpha, plan.power, plan.metrics)}"]
    runs = 0
    for number, kept in enumerate(plan.baseline.scenarios):
        wanted, pairs = plan.planned(number), plan.pairs(number)
        runs += pairs
        lines += [
            "",
            f"scenario    {kept.path}: n = {pairs} of {len(kept.runs)} seeds" + (f", {wanted} are needed" if wanted > pairs else ""),
        ]
        for one in plan.plans[number]:
            known = fitting_name(one.metric.name, float(np.nanmax(np.abs(kept.values(one.metric.name)))))
            unit = _difference_unit(known)
            chance = one.chances(pairs, plan.alpha, plan.metrics)
            spread = f"spread of {'a pair' if one.paired else 'two independent runs'} {_number(one.spread * known.scale)}{unit}"
            lines.append(
                f"  {one.metric.name}  needs {one.pairs}: margin {_number(one.margin * known.scale)}{unit}, {spread}; with {pairs} "
                f"no shift passes in {100 * chance.passes:.3g} %, the margin fails in {100 * chance.fails:.3g} %"
            )
    lines += ["", f"runs        {runs}"]
    if run_seconds is not None:
        rounds = sum(-(-plan.pairs(number) // workers) for number in range(len(plan.baseline.scenarios)))
        lines.append(f"time        about {duration(rounds * run_seconds)} ({run_seconds:.2f} s a run, {workers} at once)")
    return lines


_MARKS = {GateWord.IDENTICAL: "✅ identical", GateWord.PASS: "✅ pass", GateWord.FAIL: "❌ fail", GateWord.UNDECIDED: "❔ undecided"}


def gate_markdown(outcome: GateOutcome) -> str:
    """A comment for a pull request: the verdict, a table of metrics, where runs part."""
    lines = [f"### Market outcomes: {headline(outcome)}", ""]
    if outcome.other_versions:
        lines += [f"Compared by statistics, because versions differ: {', '.join(outcome.other_versions)}.", ""]
    lines += [f"Note: {note}.\n" for note in outcome.notes]
    if outcome.exact:
        lines += ["| Scenario | Seeds | Other fingerprints |", "|---|---|---|"]
        lines += [f"| {_cell(one.path)} | {len(one.seeds)} | {len(one.changed_seeds)} |" for one in outcome.scenarios]
    else:
        lines += ["| Verdict | Scenario | Metric | Shift | Interval | Margin | n |", "|---|---|---|---|---|---|---|"]
        for one, plan, judged in every_metric(outcome):
            known = _naming(plan, judged)
            same = judged.word is GateWord.IDENTICAL
            cells = [
                _MARKS[judged.word],
                one.path,
                plan.metric.name,
                "none" if same else _shift_words(judged, known),
                judged.why if same else _interval_words(judged, known),
                margin_words(plan, judged, known),
                str(judged.pairs),
            ]
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
    lines.append("")
    for one in outcome.scenarios:
        if one.parted is not None:
            lines += [f"First difference in `{one.path}`: {one.parted}.", ""]
    for _, plan, judged in every_metric(outcome):
        if judged.word is GateWord.UNDECIDED and not outcome.exact:
            lines += [f"`{plan.metric.name}` is undecided: {judged.why}.", ""]
    if not outcome.exact:
        lines.append(f"{promise(outcome.alpha, outcome.power, outcome.metrics).capitalize()}. {duration(outcome.seconds)}.")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def gate_junit(outcome: GateOutcome) -> bytes:
    """JUnit's XML: a suite a scenario, a case a metric; undecided metrics are failures of a type of their own."""
    root = ElementTree.Element("testsuites", name="marketsim check", time=f"{outcome.seconds:.3f}")
    for one in outcome.scenarios:
        cases: list[tuple[str, GateWord, str, str]] = []
        if outcome.exact:
            word = GateWord.IDENTICAL if one.is_byte_equal else GateWord.FAIL
            text = f"seeds with another fingerprint: {', '.join(map(str, one.changed_seeds))}" + (f"\n{one.parted}" if one.parted else "")
            cases.append(("fingerprints", word, f"{len(one.changed_seeds)} of {len(one.seeds)} differ", text))
        else:
            for plan, judged in zip(one.plans, one.judged, strict=True):
                lines = red_lines(outcome, one, plan, judged) + ([f"first difference: {one.parted}"] if one.parted else [])
                cases.append((plan.metric.name, judged.word, summary_words(plan, judged), "\n".join(line.strip() for line in lines)))
        red = sum(not word.is_green for _, word, _, _ in cases)
        suite = ElementTree.SubElement(
            root, "testsuite", name=one.path, tests=str(len(cases)), failures=str(red), errors="0", skipped="0", time=f"{one.seconds:.3f}"
        )
        for name, word, message, text in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=one.path, name=name, time=f"{one.seconds / len(cases):.3f}")
            if not word.is_green:
                ElementTree.SubElement(case, "failure", type=word.value, message=message).text = text
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def summary_words(plan: MetricPlan, judged: JudgedMetric) -> str:
    """A metric in one line, whatever its verdict: shift, interval and margin."""
    known = _naming(plan, judged)
    if judged.word is GateWord.IDENTICAL:
        return f"{plan.metric.name}: identical, {judged.why}"
    why = f" ({judged.why})" if judged.why else ""
    return (
        f"{plan.metric.name}: {judged.word.value}, shift {_shift_words(judged, known)}, interval {_interval_words(judged, known)}, "
        f"margin {margin_words(plan, judged, known)}, n = {judged.pairs}{why}"
    )


def gate_annotations(outcome: GateOutcome) -> list[str]:
    """Workflow commands of GitHub Actions: an error for each red metric, a notice with the verdict of the whole."""
    lines = []
    for one in outcome.scenarios:
        where = f"; first difference: {one.parted}" if one.parted else ""
        if outcome.exact and not one.is_byte_equal:
            lines.append(
                _command("error", outcome, "fingerprints", f"{len(one.changed_seeds)} of {len(one.seeds)} runs of {one.path} differ{where}")
            )
        for plan, judged in zip(one.plans, one.judged, strict=True):
            if not outcome.exact and not judged.word.is_green:
                lines.append(
                    _command(
                        "error", outcome, f"{plan.metric.name} {judged.word.value}", f"{one.path}: {summary_words(plan, judged)}{where}"
                    )
                )
    return [*lines, _command("notice", outcome, "market outcomes", f"{headline(outcome)}, {duration(outcome.seconds)}")]


def _command(kind: str, outcome: GateOutcome, title: str, text: str) -> str:
    def escaped(part: str, more: str = "") -> str:
        for sign in "%\r\n" + more:
            part = part.replace(sign, f"%{ord(sign):02X}")
        return part

    return f"::{kind} file={escaped(outcome.baseline, ':,')},title={escaped(title, ':,')}::{escaped(text)}"


def _number(value: float) -> str:
    return f"{value:,.5g}" if math.isfinite(value) else "–"


def _signed(value: float) -> str:
    return f"{value:+,.4g}" if math.isfinite(value) else "–"


def _p(value: float) -> str:
    return "< 1e-9" if value <= 1e-9 else f"{value:.3g}"
