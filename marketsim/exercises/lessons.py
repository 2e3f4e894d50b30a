"""The training document's exercises from Python: begun, checked, graded, and tried themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marketsim.errors import InputError
from marketsim.face.finding import Finding

PathLike = str | os.PathLike[str]


def list_exercises() -> list[dict[str, Any]]:
    """Return the exercises: `name`, `title`, `version`, about how many `minutes` they take, the `files` to hand in, what grading `needs`.

    Raises nothing.
    """
    from marketsim.exercises.shelf import every_exercise

    return [
        {"name": e.name, "title": e.title, "version": e.version, "minutes": e.minutes, "files": list(e.files), "needs": e.needs or None}
        for e in every_exercise()
    ]


class StartedExercise:
    """A learner's folder of an exercise that was begun: by `start_exercise`, or before.

    `folder` is where it stands. Each method raises InputError for a folder that is none.
    """

    def __init__(self, folder: PathLike) -> None:
        self.folder = Path(folder)

    def check(self) -> str | None:
        """Return the first thing that is wrong with the form of what is handed in, None for nothing. Whether it is right, grading says."""
        from marketsim.exercises.folder import check

        return check(self.folder)

    def hint(self) -> str:
        """Return the next hint; how many were given is kept."""
        from marketsim.exercises.folder import hint

        return hint(self.folder)[2]

    def reset(self) -> Path:
        """Put the files to hand in back as they were at the beginning; return where what was there is kept."""
        from marketsim.exercises.folder import reset

        return reset(self.folder)

    def __repr__(self) -> str:
        return f"StartedExercise({str(self.folder)!r})"


def start_exercise(name: str, learner: str, folder: PathLike | None = None, *, course: PathLike | None = None) -> StartedExercise:
    """Begin an exercise in a new or empty folder (`./name` without one): the task, a record to look at, the files to hand in.

    `learner` says who learns: each has figures of their own. `course` is the folder of a course, whose secret draws them; without it (and
    without MARKETSIM_COURSE) it is practice, whose answers are no secret. Raises InputError for a name that is none and a folder in use.
    """
    from marketsim.exercises.course import course_secret
    from marketsim.exercises.folder import start

    place = Path(folder) if folder is not None else Path(name)
    start(name, learner, place, course_secret(None if course is None else Path(course)))
    return StartedExercise(place)


def grade(*sources: PathLike, course: PathLike | None = None, bundles: PathLike | None = None) -> Finding:
    """Grade learners' folders, or bundles again; `data` has a mapping a grade, `str()` their lines.

    `course` as for `start_exercise`. A bundle of each folder is written into `bundles`, by default into the folder itself. Raises
    InputError, with all that can be graded written, for what cannot be.
    """
    from marketsim.exercises.course import course_secret
    from marketsim.exercises.grade_forms import grade_data, grade_lines
    from marketsim.exercises.grading import Graded, grade_source, twice, write_bundle

    secret = course_secret(None if course is None else Path(course))
    found: list[Graded] = []
    errors: list[str] = []
    for source in map(Path, sources):
        try:
            graded = grade_source(source, secret)
            found.append(graded)
            if graded.before is None:
                write_bundle(graded, None if bundles is None else Path(bundles))
        except InputError as error:
            errors += error.lines
        except OSError as error:
            errors.append(f"{source}: the bundle cannot be written ({error.strerror}), give bundles another folder")
    if errors:
        raise InputError(errors)
    lines = [line for graded in found for line in grade_lines(graded)] + twice(found)
    return Finding([grade_data(graded) for graded in found], lines, found=found)


def check_exercise(
    name: str,
    *,
    learners: int = 8,
    guesses: int = 4,
    course: PathLike | None = None,
    tell: Callable[[str], None] | None = None,
) -> Finding:
    """Try whether an exercise grades as it says on drawn instances: oracle 100, nothing 0, guesses like chance.

    `learners` instances are tried with `guesses` each, of a `course` or of a secret made for it; `tell` gets a line now and then. `holds`
    says whether all hold. Raises InputError for a name that is none.
    """
    import secrets

    from marketsim.exercises.course import course_secret
    from marketsim.exercises.selftest import selftest, selftest_lines
    from marketsim.exercises.shelf import exercise_of

    secret = course_secret(None if course is None else Path(course)) or secrets.token_bytes(32)
    lines = selftest(exercise_of(name), secret, learners, guesses, tell or (lambda _: None))
    return Finding([line._asdict() for line in lines], selftest_lines(lines), holds=all(line.holds for line in lines), found=lines)


def new_course(folder: PathLike = "course") -> Path:
    """Make a course: a new or empty folder with a secret that only its trainer has; return the file of the secret.

    Raises InputError for a folder with something in it.
    """
    from marketsim.exercises.course import init_course

    return init_course(Path(folder))


__all__ = ["StartedExercise", "check_exercise", "grade", "list_exercises", "new_course", "start_exercise"]
