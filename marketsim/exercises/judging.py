"""What every exercise does with a submission before it looks at it: files that are missing, too long or cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from marketsim.errors import InputError, LackingError
from marketsim.exercises.exercise import Exercise, ExerciseGrade, GradePart, Submission

ANSWER_MOST: Final = 64 * 1024
"""Bytes of a file that is handed in: the longest right answer has two thousand, and as many as these are read in a second."""
_SEEN_MOST: Final = 300


def grade_submission(exercise: Exercise, instance: Any, submission: Submission) -> ExerciseGrade:
    """Grade a submission. What cannot be read gets no points and says why; raises LackingError for what the machine lacks."""
    if not any(name in submission for name in exercise.files):
        return _no_points(exercise, "nothing was handed in")
    if (long := _too_long(submission)) is not None:
        return _no_points(exercise, long)
    try:
        judged = exercise.judge(instance, submission)
    except LackingError:
        raise
    except InputError as error:
        return _no_points(exercise, error.lines[0])
    return ExerciseGrade(
        tuple(GradePart(name, most * judged[name].share, round(most, 2), _shown(judged[name].seen)) for name, most in exercise.most.items())
    )


def form_problem(exercise: Exercise, task: Mapping[str, Any], record: Mapping[str, str], submission: Submission) -> str | None:
    """Return the first thing that is wrong with the form of a submission, None for nothing. Raises LackingError."""
    for name in exercise.files:
        if name not in submission:
            return f"submit/{name}: is missing"
        if not submission[name].strip():
            return f"submit/{name}: is empty"
    if (long := _too_long(submission)) is not None:
        return f"submit/{long}"
    try:
        problem = exercise.problem(task, record, submission)
    except LackingError:
        raise
    except InputError as error:
        problem = error.lines[0]
    return None if problem is None else _shown(problem)


def _no_points(exercise: Exercise, why: str) -> ExerciseGrade:
    return ExerciseGrade(tuple(GradePart(name, 0.0, round(most, 2), _shown(why)) for name, most in exercise.most.items()))


def _too_long(submission: Submission) -> str | None:
    for name, text in submission.items():
        if len(text.encode(errors="replace")) > ANSWER_MOST:
            return f"{name}: is larger than {ANSWER_MOST // 1024} KiB, no answer needs to be"
    return None


def _shown(text: str) -> str:
    """A text that may quote what a learner wrote, as one line that no terminal takes for a command."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return line if len(line) <= _SEEN_MOST else f"{line[:_SEEN_MOST]}…"
