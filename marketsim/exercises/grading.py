"""Grades learners' folders, and bundles again: a bundle is what was handed in, the versions it was graded with, and its score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from marketsim.errors import InputError
from marketsim.exercises.exercise import Exercise, ExerciseGrade, GradePart, Submission
from marketsim.exercises.folder import draw_instance, is_learner, read_folder
from marketsim.exercises.judging import grade_submission
from marketsim.exercises.shelf import exercise_of
from marketsim.experiments.runs.execute import write_atomically
from marketsim.metrics.rule_tests import promtool_version
from marketsim.simulation.play import versions

BUNDLE: Final = "bundle.json"
SCHEMA: Final = "marketsim-exercise-bundle/1"
_BUNDLE_MOST: Final = 16 * 2**20


class Before(NamedTuple):
    """What a bundle says of its first grading."""

    score: float
    exercise_version: int
    versions: dict[str, str]


class Graded(NamedTuple):
    """One grade with all that it depends on but the secret."""

    source: str
    exercise: Exercise
    learner: str
    practice: bool
    submission: Submission
    grade: ExerciseGrade
    versions: dict[str, str]
    untouched: bool = False
    """Whether every file is still as it was at the beginning, as the folder says."""
    before: Before | None = None

    def changed_versions(self) -> list[str]:
        """What is another version than when the bundle was made, empty where nothing is or it is the first grading."""
        if self.before is None:
            return []
        pairs = {"exercise": (str(self.before.exercise_version), str(self.exercise.version))}
        pairs |= {name: (self.before.versions.get(name, "none"), now) for name, now in self.versions.items()}
        return [f"{name} {then} -> {now}" for name, (then, now) in pairs.items() if then != now]

    def bundle(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "schema": SCHEMA,
            "exercise": self.exercise.name,
            "exercise_version": self.exercise.version,
            "learner": self.learner,
            "practice": self.practice,
            "versions": self.versions,
            "untouched": self.untouched,
            "score": self.grade.score,
            "criteria": [part._asdict() for part in self.grade.parts],
            "submission": dict(self.submission),
        }


def grade_source(source: Path, secret: bytes | None) -> Graded:
    """Grade a learner's folder, or a bundle again. Raises InputError for what is neither, and for a course's without its secret."""
    if source.is_file():
        return _again(source, secret)
    found = read_folder(source)
    _same_kind(source, practice=not found.graded, secret=secret)
    untouched = all(found.submission.get(name) == found.record.get(f"begun/{name}") for name in found.exercise.files)
    return _graded(source, found.exercise, found.learner, found.submission, secret, untouched)


def _graded(
    source: Path,
    exercise: Exercise,
    learner: str,
    submission: Submission,
    secret: bytes | None,
    untouched: bool,
    before: Before | None = None,
) -> Graded:
    grade = grade_submission(exercise, draw_instance(exercise, learner, secret), submission)
    found = versions() | ({"promtool": promtool_version()} if exercise.needs == "promtool" else {})
    return Graded(str(source), exercise, learner, secret is None, submission, grade, found, untouched, before)


def _same_kind(source: Path, *, practice: bool, secret: bytes | None) -> None:
    if practice and secret is not None:
        raise InputError(f"{source}: is practice, not of a course; leave --course out (and MARKETSIM_COURSE)")
    if not practice and secret is None:
        raise InputError(f"{source}: is of a course, whose trainer grades it; give --course with the course's folder")


def _again(source: Path, secret: bytes | None) -> Graded:
    """Grade a bundle anew: its submission counts, its score is compared."""
    try:
        with source.open("rb") as opened:
            data = json.loads(opened.read(_BUNDLE_MOST))
    except (ValueError, RecursionError):
        raise InputError(f"{source}: is no bundle, expected JSON such as `marketsim exercise grade` writes") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f"{source}: is no bundle, expected a file with schema {SCHEMA}")
    kinds: dict[str, Any] = {
        "exercise": str,
        "exercise_version": int,
        "learner": str,
        "practice": bool,
        "versions": dict,
        "score": (int, float),
        "submission": dict,
    }
    for key, kind in kinds.items():
        if not isinstance(data.get(key), kind):
            raise InputError(f"{source}: {key}: is missing or of another kind than a bundle has")
    if not is_learner(data["learner"]):
        raise InputError(f"{source}: learner: {data['learner'][:80]!a} cannot name a learner")
    if not 0 <= data["score"] <= 100:
        raise InputError(f"{source}: score: is none, expected 0 to 100")
    exercise = exercise_of(data["exercise"])
    _same_kind(source, practice=data["practice"], secret=secret)
    handed_in = {name: str(text) for name, text in data["submission"].items() if name in exercise.files}
    before = Before(
        float(data["score"]), data["exercise_version"], {ascii(k)[1:-1]: ascii(v).strip("'") for k, v in data["versions"].items()}
    )
    return _graded(source, exercise, data["learner"], handed_in, secret, data.get("untouched") is True, before)


def write_bundle(graded: Graded, folder: Path | None) -> Path:
    """Write the bundle of a grade into the learner's folder, or into one for all; return the file."""
    if folder is None:
        place = Path(graded.source) / BUNDLE
    else:
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"{graded.exercise.name}-{graded.learner}.json"
    write_atomically(place, (json.dumps(graded.bundle(), indent=1, ensure_ascii=False) + "\n").encode())
    return place


def twice(all_graded: list[Graded]) -> list[str]:
    """Say what a trainer should look at: one learner's exercise given twice, and answers that are the same letter by letter."""
    lines = []
    for at, one in enumerate(all_graded):
        for other in all_graded[:at]:
            if one.exercise is not other.exercise:
                continue
            if one.learner == other.learner:
                lines.append(f"{one.source}: {one.exercise.name} of {one.learner} is graded twice, {other.source} too")
            elif one.submission == other.submission and not _is_nothing(one):
                lines.append(f"{one.source}: {one.learner} handed in the same as {other.learner} ({other.source})")
    return lines


def _is_nothing(graded: Graded) -> bool:
    """Whether nothing was done: two of those are alike and have copied nothing. The folder's word counts where there are no points."""
    return not any(text.strip() for text in graded.submission.values()) or (graded.untouched and graded.grade.score == 0)


__all__ = ["BUNDLE", "Before", "GradePart", "Graded", "grade_source", "twice", "write_bundle"]
