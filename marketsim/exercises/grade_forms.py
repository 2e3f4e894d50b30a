"""A class's grades as lines, as JSON data, as JUnit's XML and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from marketsim.exercises.grading import Graded


def grade_lines(graded: Graded) -> list[str]:
    """What `exercise grade` prints of one learner."""
    kind = "practice, drawn without a secret" if graded.practice else "graded"
    lines = [f"{graded.exercise.name}: {graded.learner} ({kind})"]
    parts = graded.grade.parts
    width = max(len(part.name) for part in parts)
    lines += [f"  {part.name:<{width}}  {part.points:6.2f} of {part.most:<5.4g}  {part.seen}" for part in parts]
    lines.append(f"  {'score':<{width}}  {graded.grade.score:6.2f} of 100")
    if graded.before is not None:
        lines += [f"  {line}" for line in again_lines(graded)]
    return lines


def again_lines(graded: Graded) -> list[str]:
    """What is to be said of a bundle that was graded again."""
    assert graded.before is not None
    changed = graded.changed_versions()
    before, now = graded.before.score, graded.grade.score
    lines = [f"versions  {', '.join(changed)}: computed anew"] if changed else []
    if before == now:
        return [*lines, "again     the same score as in the bundle"]
    why = "" if changed else "; the versions are the same, so the bundle is not as it was written"
    return [*lines, f"again     {before:.2f} in the bundle, {now:.2f} now, {now - before:+.2f}{why}"]


def grade_data(graded: Graded) -> dict[str, Any]:
    """As JSON data."""
    before = graded.before
    return {
        "source": graded.source,
        **{key: value for key, value in graded.bundle().items() if key not in ("schema", "submission")},
        "before": None if before is None else before._asdict(),
        "changed_versions": graded.changed_versions(),
    }


def grades_junit(all_graded: Sequence[Graded]) -> bytes:
    """JUnit's XML: a suite a learner's exercise, a test a criterion, failed where points are missing."""
    suites = ElementTree.Element("testsuites", name="marketsim exercise")
    for graded in all_graded:
        parts = graded.grade.parts
        failed = sum(part.points < part.most for part in parts)
        name = f"{graded.exercise.name}.{graded.learner}"
        suite = ElementTree.SubElement(suites, "testsuite", name=name, tests=str(len(parts)), failures=str(failed), errors="0")
        properties = ElementTree.SubElement(suite, "properties")
        for key, value in (("score", f"{graded.grade.score:.2f}"), ("practice", str(graded.practice).lower())):
            ElementTree.SubElement(properties, "property", name=key, value=value)
        for part in parts:
            case = ElementTree.SubElement(suite, "testcase", classname=name, name=part.name, time="0")
            if part.points < part.most:
                message = f"{part.points:.2f} of {part.most:g} points"
                ElementTree.SubElement(case, "failure", message=message, type="points").text = _printable(part.seen)
    ElementTree.indent(suites)
    text: str = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def grades_csv(all_graded: Sequence[Graded]) -> str:
    """One row a learner's exercise; a column a criterion, empty where an exercise has it not."""
    names = list(dict.fromkeys(part.name for graded in all_graded for part in graded.grade.parts))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["learner", "exercise", "exercise_version", "kind", "score", *names, "source"])
    for graded in all_graded:
        points = {part.name: f"{part.points:.2f}" for part in graded.grade.parts}
        kind = "practice" if graded.practice else "graded"
        head = [graded.learner, graded.exercise.name, graded.exercise.version, kind, f"{graded.grade.score:.2f}"]
        writer.writerow([*head, *(points.get(name, "") for name in names), graded.source])
    return out.getvalue()
